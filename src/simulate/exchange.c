/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/simulate_priv.h"

#include "base/must.h"

enum {
	/* A receiver knows a mailbox after so much mail. */
	KNOWN_AFTER = 200,
	MESSAGE_BYTES = 20000,
};

static void note_use(struct world *w, enum simulate_limit limit, uint64_t used, uint64_t allowed)
{
	simulate_note_use(&w->today,
		limit,
		used > UINT32_MAX ? UINT32_MAX : (uint32_t)used,
		allowed > UINT32_MAX ? UINT32_MAX : (uint32_t)allowed);
}

static void note_uses(struct world *w, const struct box *b)
{
	struct sandbox_model *m = w->tenants[b->is.tenant];
	const struct sandbox_limits *l = sandbox_model_limits(m);
	uint64_t allowed, used = sandbox_model_external(m, w->now_us, &allowed);

	note_use(w, SIMULATE_MINUTE, b->exchange->messages.sum, l->messages_per_minute);
	note_use(w, SIMULATE_DAY, b->exchange->recipients.sum, l->recipients_per_day);
	note_use(w, SIMULATE_TENANT, used, allowed);
}

/* What comes back of a message that Exchange has counted. */
static const struct answer *receiver(struct world *w, struct box *b)
{
	const struct simulate_options *o = w->o;

	if (b->delivered < KNOWN_AFTER && prng_below(&w->rng, 100) < o->defer_percent)
		return &w->answers.later;
	if (w->answers.count && prng_below(&w->rng, 1000) < o->trouble_permille)
		return &w->answers.list[prng_below(&w->rng, w->answers.count)];
	b->delivered++;
	return &w->answers.taken;
}

void exchange_take(struct world *w, struct attempt *a)
{
	struct box *b = &w->boxes[a->box];
	struct sandbox_reply *reply = &w->reply;
	const struct sandbox_submission s = {
		.mailbox = b->exchange,
		.counting = b->is.by_graph ? SANDBOX_COUNT_DAY : SANDBOX_COUNT_ALL,
		.sender = b->name,
		.recipients = 1,
		.external = 1,
		.bytes = MESSAGE_BYTES,
		.now_us = w->now_us,
	};

	sandbox_model_submit(w->tenants[b->is.tenant], &s, reply);
	a->counted = true;
	if (reply->code != 250) {
		a->own = xcalloc(1, sizeof(*a->own));
		answer_judge(a->own, reply->code, reply->enhanced, reply->text);
		a->said = a->own;
		a->refused = true;
		return;
	}
	note_uses(w, b);
	a->said = receiver(w, b);
	a->refused = a->said->verdict.kind != VERDICT_DELIVERED;
	/* The line breaks before the reply: nobody knows. */
	a->breaks = prng_below(&w->rng, 2000) < w->o->trouble_permille;
}
