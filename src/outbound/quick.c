/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/route.h"
#include "outbound/attempt_priv.h"

/* The quick way of a fresh message: its attempt is in the commit that accepts it, and its body is still in memory. */

/* What it may send is taken before its claim, and in the ledger with it. */
static size_t reserve(struct delivery *d)
{
	return limit_slots_take(&d->slots,
		&d->lane->limits,
		flow_side(&d->recipients[0].r.flow),
		io_now(d->lane->o->loop),
		(uint32_t)d->count,
		d->ledger);
}

static void set_attempt(struct delivery *d)
{
	d->attempt = (struct store_attempt){ .message_id = d->m.id,
		.number = 1,
		.lane = d->lane->key,
		.at = io_wall(d->lane->o->loop),
		.recipients = d->indexes,
		.recipient_count = d->count };
}

static bool is_way_free(struct lane *l, const struct store_message *m)
{
	for (size_t i = 0; i < m->recipient_count; i++) {
		struct sv address = m->recipients[i].address;

		if (park_find(l, m->sender, address) ||
			conf_lane_obstacle(l->o->conf, l->c, address, m->size) !=
				CONF_OBSTACLE_NONE)
			return false;
	}
	return true;
}

static bool may_claim(
	struct lane *l, struct sched_flow *f, struct store_put *put, const struct store_message *m)
{
	struct sched_lane_now state = lane_now(l);

	return l->c && !l->o->draining && l->o->started && put->chunk_count == 0 && !state.held &&
	       !state.probing &&
	       /* Nobody must call it uncertain that never had a connection (decision 0103). */
	       l->fresh_count + l->claims_running + l->takes_running < lane_ready_connections(l) &&
	       lane_room(l, m->recipients, m->recipient_count) == m->recipient_count &&
	       is_way_free(l, m) &&
	       /* Behind mail that waits already it queues up like the rest. */
	       sched_may_pass(f, l->taker, outbound_due_now(l->o));
}

static void show_hold(struct lane *l, struct arena *a, struct store_message *m,
	struct store_recipient *recipients)
{
	const struct sched_hold *p = park_find(l, m->sender, recipients[0].address);
	struct sched_lane_now state = lane_now(l);
	const struct sched_hold_reason *why = p ? sched_hold_why(p) : state.held ? state.why : NULL;

	for (size_t i = 0; why && i < m->recipient_count; i++) {
		recipients[i].last_cause = arena_sv(a, sv_from(cause_name(why->cause)));
		recipients[i].last_reply = arena_sv(a, sv_from(why->reply));
	}
}

void *outbound_claim(void *outbound, struct arena *arena, struct store_put *put,
	struct store_message *message, struct store_recipient *recipients)
{
	struct outbound *o = outbound;
	struct sched_taker *t;
	struct sched_flow *f;
	struct delivery *d;
	struct lane *l;

	for (size_t i = 1; i < message->recipient_count; i++)
		if (!mail_flow_eq(&recipients[i].flow, &recipients[0].flow) ||
			!sv_eq(recipients[i].rewrite_from, recipients[0].rewrite_from))
			return NULL;
	f = flow_get(o, &recipients[0].flow);
	t = sched_flow_taker(f);
	if (!t)
		return NULL;
	l = sched_taker_owner(t);
	if (!may_claim(l, f, put, message)) {
		show_hold(l, arena, message, recipients);
		return NULL;
	}
	for (size_t i = 0; i < message->recipient_count; i++)
		recipients[i].lane = l->key;
	d = delivery_new(l);
	d->m = *message;
	delivery_set_recipients(d, recipients, message->recipient_count);
	for (size_t i = 0; i < d->count; i++)
		d->recipients[i].r.attempts = 1;
	set_attempt(d);
	put->attempts = &d->attempt;
	put->attempt_count = 1;
	put->ledger = d->ledger;
	put->ledger_count = reserve(d);
	l->claims_running++;
	return d;
}

void outbound_committed(void *outbound, void *claim, struct arena *arena, struct buf *body)
{
	struct delivery *d = claim;
	struct lane *l = d->lane;
	struct arena own = d->arena;

	(void)outbound;
	/* The message lives in the caller's arena, our arrays in ours: the first is appended to the other. */
	arena_join(arena, &own);
	d->arena = *arena;
	*arena = (struct arena){ 0 };
	buf_deinit(&d->body);
	d->body = *body;
	*body = (struct buf){ 0 };
	delivery_set_state(d, ATTEMPT_READY);
	flow_left_by(l, &d->recipients[0].r.flow, d->count);
	l->claims_running--;
	if (lane_now(l).held || l->o->draining) {
		delivery_withdraw(d, NULL, SV(""));
		return;
	}
	delivery_wait(d);
	lane_poke(l);
}

void outbound_withdrawn(void *outbound, void *claim)
{
	struct delivery *d = claim;
	struct lane *l = d->lane;

	(void)outbound;
	l->claims_running--;
	(void)limit_slots_withdraw(&d->slots, NULL);
	delivery_free(d);
	/* Its connection is free for what came meanwhile. */
	lane_poke(l);
}
