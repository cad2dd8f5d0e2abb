/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/order_priv.h"

#include "base/buf.h"
#include "base/must.h"

/* Pools in the order of mail: their mail stands at a front, a taker without a door, and their mailboxes take it there by grants. */

/* ---- how a pool stands ---- */

static void front_settle(struct sched_pool *p)
{
	const struct sched_pool_state s = sched_pool_state(p);

	(void)sched_taker_set(sched_pool_front(p),
		&(struct sched_taker_state){ .is_configured = s.is_configured,
			.held = s.held,
			.may_elsewhere = s.held && s.may_elsewhere,
			.stops_pool = s.held && s.stopped });
}

static void tell_seat(struct sched_member *m)
{
	const struct sched_seat_state stand = sched_member_stand(m);

	sched_seat_set(sched_member_seat(m), &stand);
	front_settle(sched_seat_pool(sched_member_seat(m)));
}

void sched_order_tell_pool(struct sched_order *o, struct sched_member *m)
{
	if (!o->ends && sched_member_seat(m))
		tell_seat(m);
}

/* ---- who is in it ---- */

static struct sched_pool *pool_get(struct sched_order *o, struct sv key)
{
	struct sched_pool *p = htable_get(&o->pools, key);
	struct sched_member *m;
	struct sched_taker *front;

	if (p)
		return p;
	m = sched_member_get(o, key);
	front = sched_taker_new(m, 0, NULL);
	p = front->pool = sched_pools_add(o->all_pools, front);
	sched_member_set_pool(m, p);
	htable_put(&o->pools, key, p);
	return p;
}

static void leave(struct sched_member *m)
{
	struct sched_seat *seat = sched_member_seat(m);
	struct sched_pool *p = sched_seat_pool(seat);

	sched_member_set_seat(m, NULL);
	sched_seat_leave(seat);
	front_settle(p);
}

static void join(struct sched_pool *p, const struct sched_pool_member *who)
{
	struct sched_seat *seat = sched_member_seat(who->member);

	if (seat && sched_seat_pool(seat) != p)
		leave(who->member);
	seat = sched_member_seat(who->member);
	if (!seat) {
		seat = sched_seat_new(p, who->domain, who->member);
		sched_member_set_seat(who->member, seat);
	}
	sched_seat_keep(seat, who->weight, who->owner);
	tell_seat(who->member);
}

void sched_pool_set(
	struct sched_order *o, struct sv key, const struct sched_pool_member *members, size_t count)
{
	struct sched_pool *p = pool_get(o, key);
	struct sched_member *gone;

	sched_pool_doubt(p);
	for (size_t i = 0; i < count; i++)
		join(p, &members[i]);
	while ((gone = sched_pool_doubted(p)))
		leave(gone);
	sched_order_moved(o);
}

void sched_member_load(struct sched_member *m, const struct sched_load *load)
{
	if (sched_member_seat(m))
		sched_seat_load(sched_member_seat(m), load);
}

void *sched_load_stale(struct sched_order *o, struct wall_time now)
{
	return sched_pools_stale(o->all_pools, now);
}

/* ---- what its mailboxes take ---- */

static const struct sched_seat *seat_of(const struct sched_taker *t)
{
	return sched_member_seat(t->member);
}

static const struct sched_turns *turns_of_pool(const struct sched_taker *t)
{
	const struct sched_seat *seat = seat_of(t);

	return seat ? sched_pool_front(sched_seat_pool(seat))->turns : NULL;
}

struct sched_turn *sched_pool_turn(const struct sched_taker *t, const struct sched_turn_rule *rule)
{
	const struct sched_turns *turns = turns_of_pool(t);
	struct sched_turn_rule granted = *rule;

	if (!turns)
		return NULL;
	granted.internal = rule->internal && sched_seat_granted(seat_of(t), false) > 0;
	granted.external = rule->external && sched_seat_granted(seat_of(t), true) > 0;
	return sched_turns_next(turns, &granted);
}

struct sched_turn *sched_pool_probe_turn(
	const struct sched_taker *t, const struct sched_turn_rule *rule)
{
	const struct sched_turns *turns = turns_of_pool(t);

	return turns ? sched_turns_next(turns, rule) : NULL;
}

uint64_t sched_pool_due_of(const struct sched_taker *t, const struct sched_turn_rule *rule)
{
	const struct sched_turns *turns = turns_of_pool(t);
	uint64_t n = 0;

	for (int external = 0; turns && external < 2; external++) {
		uint64_t due = sched_turns_due(turns, external);
		uint64_t granted = sched_seat_granted(seat_of(t), external);

		if (external ? rule->external : rule->internal)
			n += due < granted ? due : granted;
	}
	return n;
}

/* ---- what one of them has to carry ---- */

static bool is_ready(const struct sched_taker *t)
{
	const struct sched_seat *seat = seat_of(t);

	return t->bound && seat && sched_seat_is_ready(seat, t->order->now);
}

struct sched_turn *sched_bound_turn(const struct sched_taker *t, const struct sched_turn_rule *rule)
{
	return is_ready(t) ? sched_turns_next(t->bound, rule) : NULL;
}

uint64_t sched_bound_due(const struct sched_taker *t, const struct sched_turn_rule *rule)
{
	if (!is_ready(t))
		return 0;
	return (rule->internal ? sched_turns_due(t->bound, false) : 0) +
	       (rule->external ? sched_turns_due(t->bound, true) : 0);
}

void sched_bound_changed(const struct sched_taker *t)
{
	const struct sched_member *m = t->member;
	struct sched_seat *seat = sched_member_seat(m);
	uint64_t due = 0;

	for (struct sched_door *d = sched_member_door(m, NULL); d; d = sched_member_door(m, d)) {
		const struct sched_turns *bound = sched_door_taker(d)->bound;

		due += bound ? sched_turns_due(bound, false) + sched_turns_due(bound, true) : 0;
	}
	if (seat)
		sched_seat_bound(seat, due > 0);
}

/* ---- turns between them ---- */

static uint64_t start_of(const struct sched_taker *t, enum sched_source source)
{
	return t->clocks[source] > t->present ? t->clocks[source] : t->present;
}

enum sched_source sched_source_next(
	const struct sched_taker *t, struct sched_turn *const turns[SCHED_SOURCES])
{
	enum sched_source best = SCHED_OWN;

	for (enum sched_source i = SCHED_OWN; i < SCHED_SOURCES; i++)
		if (turns[i] && (!turns[best] || start_of(t, i) < start_of(t, best)))
			best = i;
	return best;
}

void sched_source_charge(struct sched_taker *t, enum sched_source source, enum mail_class class)
{
	t->present = start_of(t, source);
	t->clocks[source] = t->present + sched_class_stride(class);
}

/* ---- who takes ---- */

void sched_pool_wake_probes(const struct sched_pool *p, bool external)
{
	struct sched_seat *seat = NULL;

	while ((seat = sched_pool_probing(p, seat)) != NULL) {
		struct sched_taker *t = sched_seat_probes(seat);
		const struct sched_taker_state *s = sched_taker_state(t);

		if (external ? !s->external_held && !s->external_full : !s->internal_full)
			sched_taker_wake(t);
	}
}

void sched_pools_serve(struct sched_order *o, struct wall_time now)
{
	struct sched_pool *p;
	struct sched_taker *t;

	while ((p = sched_pools_touched(o->all_pools, now)) != NULL) {
		const struct sched_turns *turns = sched_pool_front(p)->turns;
		const uint64_t due[2] = { turns ? sched_turns_due(turns, false) : 0,
			turns ? sched_turns_due(turns, true) : 0 };

		front_settle(p);
		sched_pool_due(p, due);
		while ((t = sched_pool_grant(p)) != NULL)
			sched_taker_wake(t);
	}
}
