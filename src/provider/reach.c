/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/reply_priv.h"

/*
 * How far a verdict may reach. The row says what the reply speaks of; this says whether that is more than
 * words. (Whether it then holds others, too, is for sched/hold.)
 */

static bool is_of_message(const struct provider_question *q)
{
	return q->stages & PROVIDER_AT_MESSAGE;
}

/* "SC-001 (BAY004-MC1F22) Unfortunately, ...": the words begin behind what marks the reply. */
static struct sv behind_tags(struct sv text)
{
	for (unsigned i = 0; i < 2; i++) {
		size_t n = 0;

		while (n < text.len && text.ptr[n] != ' ') {
			char c = text.ptr[n++];

			if ((c >= 'a' && c <= 'z') || c == '@' || c == '<' || c == '"')
				return text;
		}
		text = sv_skip(text, n + 1);
	}
	return text;
}

/*
 * Found by a piece of free text alone: neither by a number of its own, nor by words that begin the
 * reply, nor beside a status of the kind x.7.x, which is about who may do what.
 */
static bool is_free_text(const struct provider_row *row, const struct provider_question *q,
	const struct smtp_reply *reply)
{
	const struct provider_pattern *on = &row->on;
	struct sv enhanced =
		sv_make(reply->enhanced, strnlen(reply->enhanced, sizeof(reply->enhanced)));

	if (!on->text || on->text[0] == '^' || (on->enhanced && on->enhanced[0]))
		return false;
	if (sv_starts(sv_skip(enhanced, 1), SV(".7.")))
		return false;
	return !provider_says(reply->text, sv_from(on->text), true, &q->own) &&
	       !provider_says(behind_tags(reply->text), sv_from(on->text), true, &q->own);
}

/* The numbers alone say as much. */
static const struct provider_row *by_numbers(const struct provider_row *row,
	const struct provider_question *q, const struct smtp_reply *reply)
{
	struct smtp_reply bare = *reply;
	const struct provider_row *other;

	bare.text = SV("");
	other = provider_find_row(q, &bare);
	return other && other->on.enhanced && other->on.enhanced[0] && other->scope == row->scope
		       ? other
		       : NULL;
}

static bool is_wide(enum verdict_scope scope)
{
	return scope != VERDICT_SCOPE_RECIPIENT && scope != VERDICT_SCOPE_MESSAGE;
}

void provider_bound(struct verdict *v, const struct provider_row *row,
	const struct provider_question *q, const struct smtp_reply *reply)
{
	bool at_rcpt = q->stages & PROVIDER_AT_RCPT, free_text;

	if (!row || !is_wide(v->scope))
		return;
	free_text = is_of_message(q) && is_free_text(row, q, reply);
	if (free_text && by_numbers(row, q, reply)) {
		row = by_numbers(row, q, reply);
		free_text = false;
	}
	/* A limit that the service tells by its own numbers, where it counts: no message causes it. */
	v->proved = v->nature == VERDICT_NATURE_QUOTA && v->scope != VERDICT_SCOPE_MAILBOX &&
		    v->scope != VERDICT_SCOPE_SENDER && row->on.code && row->on.enhanced &&
		    row->on.enhanced[0] && !(q->providers & PROVIDER_OF_SMTP);
	if (!free_text)
		return;
	v->scope = at_rcpt ? VERDICT_SCOPE_RECIPIENT : VERDICT_SCOPE_MESSAGE;
	if (at_rcpt && v->nature == VERDICT_NATURE_REPUTATION)
		v->nature = VERDICT_NATURE_OTHER;
}
