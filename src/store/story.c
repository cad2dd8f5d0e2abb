/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/must.h"
#include "store/store_priv.h"

/*
 * attempt.story: text, so that the queue can be read with the sqlite3 shell. Records end in RS (0x1e),
 * fields in US (0x1f); control characters of replies become spaces on the way in.
 *   open:   "0 1 2" (the recipients' numbers, spaces between)
 *   ended:  number US uncertain US kind US scope US cause US reply US remote-message-id US RS
 */
#define US "\x1f"
#define RS "\x1e"

int story_open(struct buf *out, const uint32_t *recipients, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (buf_printf(out, i ? " %u" : "%u", recipients[i]) != 0)
			return RC_LIMIT;
	return 0;
}

static int put_field(struct buf *out, struct sv text)
{
	size_t at;

	text = sv_head(text, LIMIT_REPLY_KEPT);
	if (buf_append(out, text) != 0)
		return RC_LIMIT;
	at = out->head + out->len - text.len;
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)out->ptr[at + i] < ' ' && out->ptr[at + i] != '\n')
			out->ptr[at + i] = ' ';
	return buf_append(out, SV(US));
}

int story_add(struct buf *out, const struct store_recipient_outcome *r)
{
	int rc = buf_printf(out,
		"%u" US "%d" US "%s" US "%s" US,
		r->index,
		(int)r->uncertain,
		verdict_kind_name(r->verdict.kind),
		verdict_scope_name(r->verdict.scope));

	if (rc == 0)
		rc = put_field(out, sv_from(cause_name(r->verdict.cause)));
	if (rc == 0)
		rc = put_field(out, r->reply);
	if (rc == 0)
		rc = put_field(out, r->remote_message_id);
	return rc == 0 ? buf_append(out, SV(RS)) : rc;
}

bool story_next(struct sv *text, struct store_attempt_story *out)
{
	struct sv record, number, uncertain, kind, scope;

	if (!sv_cut_char(text, RS[0], &record))
		return false;
	(void)sv_cut_char(&record, US[0], &number);
	(void)sv_cut_char(&record, US[0], &uncertain);
	(void)sv_cut_char(&record, US[0], &kind);
	(void)sv_cut_char(&record, US[0], &scope);
	(void)sv_cut_char(&record, US[0], &out->cause);
	(void)sv_cut_char(&record, US[0], &out->reply);
	(void)sv_cut_char(&record, US[0], &out->remote_message_id);
	out->uncertain = sv_eq(uncertain, SV("1"));
	return sv_parse_u32(number, UINT32_MAX, &out->index) == 0 &&
	       verdict_kind_parse(kind, &out->kind) == 0 &&
	       verdict_scope_parse(scope, &out->scope) == 0;
}
