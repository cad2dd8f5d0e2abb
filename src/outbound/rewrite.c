/* SPDX-License-Identifier: Apache-2.0 */
#include "outbound/rewrite.h"

#include "base/err.h"
#include "base/limits.h"
#include "conf/route.h"
#include "mail/header.h"
#include "provider/defaults.h"

enum {
	FOLD_AT = 76,  /* RFC 5322 2.1.1 */
	AND_MORE = 64, /* room for the note that there are more */
	ONE_FIELD = 2, /* what is added may be a field more than was allowed at acceptance */
};

static bool is_one_line(struct sv v)
{
	return sv_find_char(v, '\r') < 0 && sv_find_char(v, '\n') < 0 && sv_find_char(v, '\0') < 0;
}

/* A pool says it for its mail. No door that takes its own address alone can be in one (conf/read_pools). */
static enum conf_sender sender_of(const struct conf_lane *lane, const struct store_recipient *plan)
{
	const struct conf_pool *pool = conf_queue_pool(lane->member, plan->flow.queue);

	if (!pool)
		return lane->sender;
	if (pool->keeps_sender)
		return CONF_SENDER_KEEP;
	return lane->sender == CONF_SENDER_FORCE ? CONF_SENDER_FORCE : CONF_SENDER_REWRITE;
}

bool rewrite_plan(struct rewrite *out, const struct conf *conf, const struct conf_lane *lane,
	const struct store_message *m, const struct store_recipient *plan)
{
	const enum conf_sender sender = sender_of(lane, plan);
	bool own = lane->kind == CONF_LANE_MAILBOX && sender != CONF_SENDER_KEEP;

	*out = (struct rewrite){ .sender = m->sender,
		.redirect = conf_general(conf)->redirect_all };
	/* A door that takes only its own address goes before the route. */
	out->from = own ? lane->name : plan->rewrite_from;
	out->reply_to = out->from.len && !(m->flags & STORE_MSG_FORCE) &&
			!(own && sender == CONF_SENDER_FORCE);
	/* The null sender stays where it is taken: notices must not cause notices. */
	if (out->from.len && (m->sender.len || !provider_defaults(lane->provider)->null_sender))
		out->sender = out->from;
	return out->from.len || out->redirect.len;
}

/* "X-Postern-Redirected-To: a@b, c@d", folded; past the maximum the rest is counted. */
static int add_redirected(const struct sv *recipients, size_t count, struct buf *out)
{
	size_t line = out->len;
	int rc = buf_append(out, SV("X-Postern-Redirected-To:"));

	for (size_t i = 0; i < count && rc == 0; i++) {
		const struct sv comma = i + 1 < count ? SV(",") : SV("");

		if (out->len + recipients[i].len + AND_MORE > REWRITE_REDIRECTED_MAX) {
			rc = buf_printf(out, "\r\n\tand %zu more", count - i);
			break;
		}
		if (i && out->len - line + recipients[i].len + 2 > FOLD_AT) {
			rc = buf_append(out, SV("\r\n\t"));
			line = out->len;
		} else {
			rc = buf_append_char(out, ' ');
		}
		if (rc == 0)
			rc = buf_append(out, recipients[i]);
		if (rc == 0)
			rc = buf_append(out, comma);
	}
	return rc ? rc : buf_append(out, SV("\r\n"));
}

int rewrite_header(const struct rewrite *r, struct sv header, const struct sv *recipients,
	size_t recipient_count, struct buf *out)
{
	CLEANUP(header_block_freep)
	struct header_block *h = header_block_new(
		header.len + LIMIT_CHUNK, LIMIT_HEADER_FIELDS + LIMIT_RECEIVED_HOPS + ONE_FIELD);
	CLEANUP(buf_deinitp) struct buf added = BUF_INIT(REWRITE_REDIRECTED_MAX);
	struct header_edits edits = { .from = r->from };
	struct header_facts facts;
	size_t used;
	int rc = header_block_feed(h, header, &used);

	if (rc == 0)
		rc = header_block_end(h);
	if (rc < 0)
		return rc;
	rc = 0;
	header_block_facts(h, &facts);
	if (r->reply_to && facts.from.len && !sv_eq_nocase(facts.from, r->from) &&
		is_one_line(facts.from))
		edits.reply_to_missing = facts.from;
	if (r->redirect.len) {
		rc = add_redirected(recipients, recipient_count, &added);
		edits.added = buf_sv(&added);
	}
	return rc ? rc : header_block_render(h, &edits, out);
}
