/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/queue.h"

#include "base/buf.h"
#include "base/htable.h"
#include "base/must.h"
#include "sched/pool.h"

#include <stdlib.h>

struct sched_queues {
	struct sched_order *owner;
	struct htable members, lots;
	struct htable senders; /* lots of one sender each */
	struct list moved;
};

struct sched_member {
	struct sched_queues *queues;
	char *key;
	struct list doors; /* by rank */
	struct list lots;  /* tiers of those that stand here or have passed */
	struct list bonds; /* of a pool: tiers of mail that one of its mailboxes has to carry */
	struct sched_pool *pool;
	struct sched_seat *seat; /* in a pool */
	struct list tiers;       /* of all that name it */
	bool is_known;           /* outside: it stays when nothing names it */
	struct sched_door *way
		[2]; /* the door for mail to the inside, and to the outside; NULL: on to the next tier */
};

struct sched_door {
	struct list of_member;
	struct sched_member *member;
	struct sched_taker *taker;
	uint32_t rank;
	struct sched_taker_state state;
	struct htable held_senders; /* the value says nothing */
};

struct tier {
	struct list watch;     /* in member.lots */
	struct list of_member; /* in member.tiers */
	struct sched_lot *lot;
	struct sched_member *member;
	struct sched_member *bond; /* the pool that the member has to be in; NULL: none */
	struct list of_bond;
};

struct sched_lot {
	struct sched_queues *queues;
	char *key, *sender; /* sender: NULL: all */
	bool external;
	struct list flows, moved, of_sender;
	struct sched_door *door;
	bool passed_all; /* door: only where it would begin */
	bool is_stopped;
	size_t tier_count;
	struct tier tiers[];
};

/* ---- members ---- */

struct sched_queues *sched_queues_new(uint64_t seed, struct sched_order *owner)
{
	struct sched_queues *q = xcalloc(1, sizeof(*q));

	q->owner = owner;
	q->members.seed = q->lots.seed = q->senders.seed = seed;
	list_init(&q->moved);
	return q;
}

void sched_queues_free(struct sched_queues *q)
{
	if (!q)
		return;
	must(q->lots.count == 0 && q->senders.count == 0);
	htable_each (&q->members, slot) {
		struct sched_member *m = slot->value;

		must(list_empty(&m->doors));
		free(m->key);
		free(m);
	}
	htable_deinit(&q->members);
	htable_deinit(&q->lots);
	htable_deinit(&q->senders);
	free(q);
}

static struct sched_member *member_of(struct sched_queues *q, struct sv key)
{
	struct sched_member *m = htable_get(&q->members, key);

	if (m)
		return m;
	m = xcalloc(1, sizeof(*m));
	m->queues = q;
	m->key = sv_dup(key);
	list_init(&m->doors);
	list_init(&m->lots);
	list_init(&m->bonds);
	list_init(&m->tiers);
	htable_put(&q->members, key, m);
	return m;
}

struct sched_member *sched_queues_member(struct sched_queues *q, struct sv key)
{
	struct sched_member *m = member_of(q, key);

	m->is_known = true;
	return m;
}

static void drop_unused(struct sched_member *m)
{
	if (m->is_known || m->pool || m->seat || !list_empty(&m->bonds) || !list_empty(&m->tiers) ||
		!list_empty(&m->doors))
		return;
	(void)htable_take(&m->queues->members, sv_from(m->key));
	free(m->key);
	free(m);
}

void sched_member_forget(struct sched_member *m)
{
	must(list_empty(&m->doors));
	m->is_known = false;
	drop_unused(m);
}

struct sched_lot *sched_member_lot(const struct sched_member *m, const struct sched_lot *last)
{
	bool passed = !last;

	list_each (at, &m->tiers) {
		struct sched_lot *lot = list_entry(at, struct tier, of_member)->lot;

		if (passed)
			return lot;
		passed = lot == last;
	}
	return NULL;
}

struct sched_order *sched_member_order(const struct sched_member *m)
{
	return m->queues->owner;
}

/* ---- the way of a lot ---- */

enum pass {
	HERE,
	ON, /* to the next door */
};

static enum pass pass_of(const struct sched_taker_state *s, bool external)
{
	if (!s->is_configured || (s->held && s->may_elsewhere))
		return ON;
	if (s->held)
		return HERE;
	return external && s->external_held && s->external_elsewhere ? ON : HERE;
}

static struct sched_door *way_of(const struct sched_member *m, bool external)
{
	list_each (at, &m->doors) {
		struct sched_door *d = list_entry(at, struct sched_door, of_member);

		if (pass_of(&d->state, external) == HERE)
			return d;
	}
	return NULL;
}

static bool is_open(const struct tier *t)
{
	const struct sched_seat *seat = t->member->seat;

	return !t->bond || (seat && sched_seat_pool(seat) == t->bond->pool);
}

static struct sched_door *first_configured(const struct sched_lot *lot)
{
	for (size_t i = 0; i < lot->tier_count; i++)
		list_each (at, &lot->tiers[i].member->doors) {
			struct sched_door *d = list_entry(at, struct sched_door, of_member);

			if (d->state.is_configured && is_open(&lot->tiers[i]))
				return d;
		}
	return NULL;
}

static bool holds_sender(const struct sched_door *d, const struct sched_lot *lot)
{
	return lot->sender && htable_get(&d->held_senders, sv_from(lot->sender)) != NULL;
}

bool sched_lot_is_bond(const struct sched_lot *lot)
{
	return lot->tier_count > 0 && lot->tiers[0].bond != NULL;
}

struct sched_pool *sched_lot_stopping_pool(const struct sched_lot *lot)
{
	for (size_t i = 0; i < lot->tier_count; i++) {
		struct sched_member *bond = lot->tiers[i].bond;
		const struct sched_door *front;

		if (!bond || list_empty(&bond->doors))
			continue;
		front = list_entry(bond->doors.next, struct sched_door, of_member);
		if (front->state.stops_pool)
			return bond->pool;
	}
	return NULL;
}

/* Stands at the first tier that lets it, and is told of changes by that and those before, no others. */
static void lot_resolve(struct sched_lot *lot)
{
	lot->door = NULL;
	for (size_t i = 0; i < lot->tier_count; i++) {
		struct tier *t = &lot->tiers[i];

		if (lot->door) {
			list_remove(&t->watch);
			continue;
		}
		/* One that watches already stays where it is: the list may be walked just now. */
		if (list_empty(&t->watch))
			list_append(&t->member->lots, &t->watch);
		lot->door = is_open(t) ? t->member->way[lot->external] : NULL;
	}
	lot->passed_all = lot->door == NULL;
	if (lot->passed_all)
		lot->door = first_configured(lot);
	lot->is_stopped =
		lot->door && (holds_sender(lot->door, lot) || sched_lot_stopping_pool(lot) != NULL);
	list_remove(&lot->moved);
	list_append(&lot->queues->moved, &lot->moved);
}

struct sched_lot *sched_queues_moved(struct sched_queues *q)
{
	struct sched_lot *lot;

	if (list_empty(&q->moved))
		return NULL;
	lot = list_entry(q->moved.next, struct sched_lot, moved);
	list_remove(&lot->moved);
	return lot;
}

struct sched_door *sched_lot_door(const struct sched_lot *lot)
{
	return lot->door;
}

bool sched_lot_is_stopped(const struct sched_lot *lot)
{
	return lot->is_stopped;
}

/* ---- what has been passed ---- */

static bool could_have(const struct sched_door *d, const struct sched_lot *lot)
{
	return d->state.is_configured && d != lot->door && !holds_sender(d, lot);
}

struct sched_door *sched_lot_passed(const struct sched_lot *lot, const struct sched_door *last)
{
	for (size_t i = 0; i < lot->tier_count; i++)
		list_each (at, &lot->tiers[i].member->doors) {
			struct sched_door *d = list_entry(at, struct sched_door, of_member);

			if (d == lot->door && !lot->passed_all)
				return NULL;
			if (!last && could_have(d, lot) && is_open(&lot->tiers[i]))
				return d;
			if (d == last)
				last = NULL;
		}
	return NULL;
}

static bool has_passed(const struct sched_lot *lot, const struct sched_door *d)
{
	for (struct sched_door *at = sched_lot_passed(lot, NULL); at;
		at = sched_lot_passed(lot, at))
		if (at == d)
			return true;
	return false;
}

static const struct list *watch_of(const struct sched_lot *lot, const struct sched_member *m)
{
	for (size_t i = 0; i < lot->tier_count; i++)
		if (lot->tiers[i].member == m)
			return &lot->tiers[i].watch;
	return &m->lots;
}

struct sched_lot *sched_door_passed(const struct sched_door *d, const struct sched_lot *last)
{
	const struct sched_member *m = d->member;
	const struct list *from = last ? watch_of(last, m) : &m->lots;

	for (struct list *at = from->next; at != &m->lots; at = at->next) {
		struct sched_lot *lot = list_entry(at, struct tier, watch)->lot;

		if (has_passed(lot, d))
			return lot;
	}
	return NULL;
}

/* ---- what changes ---- */

/* `doors`: there are others than before, or in another order: so what stands at the same one may have passed others. */
static void member_changed(struct sched_member *m, bool doors)
{
	struct sched_door *now[2] = { way_of(m, false), way_of(m, true) };
	bool changed[2] = { now[0] != m->way[0], now[1] != m->way[1] };

	if (!changed[0] && !changed[1] && !doors)
		return;
	m->way[0] = now[0];
	m->way[1] = now[1];
	list_each_safe (at, after, &m->lots) {
		struct sched_lot *lot = list_entry(at, struct tier, watch)->lot;

		if (changed[lot->external] || doors)
			lot_resolve(lot);
	}
}

static void insert_by_rank(struct sched_door *d)
{
	struct list *before = &d->member->doors;

	/* Of equals the older one is first. */
	list_each (at, &d->member->doors)
		if (list_entry(at, struct sched_door, of_member)->rank > d->rank) {
			before = at;
			break;
		}
	list_append(before, &d->of_member);
}

/* ---- pools ---- */

struct sched_seat *sched_member_seat(const struct sched_member *m)
{
	return m->seat;
}

void sched_member_set_seat(struct sched_member *m, struct sched_seat *seat)
{
	m->seat = seat;
	list_each_safe (at, after, &m->lots)
		lot_resolve(list_entry(at, struct tier, watch)->lot);
}

void sched_member_set_pool(struct sched_member *m, struct sched_pool *pool)
{
	m->pool = pool;
}

static struct sched_taker *taking(const struct sched_member *m, bool external)
{
	const struct sched_door *d = m->way[external];

	if (!d || !sched_door_takes(d, external) ||
		(external ? d->state.external_full : d->state.internal_full))
		return NULL;
	return d->taker;
}

struct sched_door *sched_member_door(const struct sched_member *m, const struct sched_door *last)
{
	struct list *at = last ? last->of_member.next : m->doors.next;

	return at == &m->doors ? NULL : list_entry(at, struct sched_door, of_member);
}

struct sched_seat_state sched_member_stand(const struct sched_member *m)
{
	struct sched_seat_state s = { .takes = { taking(m, false), taking(m, true) } };

	list_each (at, &m->doors) {
		const struct sched_door *d = list_entry(at, struct sched_door, of_member);

		if (!d->state.is_configured)
			continue;
		s.any = s.any ? s.any : d->taker;
		s.stops |= d->state.stops_pool;
		if (d->state.probing && !s.probes)
			s.probes = d->taker;
	}
	s.passes = s.any && !m->way[0] && !m->way[1];
	return s;
}

/* ---- doors ---- */

struct sched_door *sched_door_new(struct sched_member *m, uint32_t rank, struct sched_taker *taker)
{
	struct sched_door *d = xcalloc(1, sizeof(*d));

	d->member = m;
	d->rank = rank;
	d->taker = taker;
	d->held_senders.seed = m->queues->members.seed;
	insert_by_rank(d);
	return d;
}

void sched_door_free(struct sched_door *d)
{
	sched_door_set(d, &(struct sched_taker_state){ 0 });
	list_remove(&d->of_member);
	htable_deinit(&d->held_senders);
	free(d);
}

struct sched_taker *sched_door_taker(const struct sched_door *d)
{
	return d->taker;
}

const struct sched_taker_state *sched_door_state(const struct sched_door *d)
{
	return &d->state;
}

void sched_door_set(struct sched_door *d, const struct sched_taker_state *s)
{
	bool doors = d->state.is_configured != s->is_configured;
	bool stops = d->state.stops_pool != s->stops_pool;

	d->state = *s;
	member_changed(d->member, doors);
	if (stops)
		list_each (at, &d->member->bonds)
			lot_resolve(list_entry(at, struct tier, of_bond)->lot);
}

void sched_door_rank(struct sched_door *d, uint32_t rank)
{
	if (d->rank == rank)
		return;
	d->rank = rank;
	list_remove(&d->of_member);
	insert_by_rank(d);
	member_changed(d->member, true);
}

bool sched_door_takes(const struct sched_door *d, bool external)
{
	const struct sched_taker_state *s = &d->state;

	return s->is_configured && !s->held && !(external && s->external_held);
}

/* ---- senders ---- */

void sched_door_hold(struct sched_door *d, struct sv sender, bool held)
{
	struct list *lots = htable_get(&d->member->queues->senders, sender);

	if (held)
		htable_put(&d->held_senders, sender, d);
	else
		(void)htable_take(&d->held_senders, sender);
	if (!lots)
		return;
	list_each (at, lots)
		lot_resolve(list_entry(at, struct sched_lot, of_sender));
}

static void join_sender(struct sched_lot *lot, struct sv sender)
{
	struct list *lots = htable_get(&lot->queues->senders, sender);

	if (!lots) {
		lots = xmalloc(sizeof(*lots));
		list_init(lots);
		htable_put(&lot->queues->senders, sender, lots);
	}
	lot->sender = sv_dup(sender);
	list_append(lots, &lot->of_sender);
}

static void leave_sender(struct sched_lot *lot)
{
	struct list *lots = htable_get(&lot->queues->senders, sv_from(lot->sender));

	list_remove(&lot->of_sender);
	if (!list_empty(lots))
		return;
	(void)htable_take(&lot->queues->senders, sv_from(lot->sender));
	free(lots);
}

/* ---- lots ---- */

static bool names_member(const struct sched_lot *lot, const struct sched_member *m)
{
	for (size_t i = 0; i < lot->tier_count; i++)
		if (lot->tiers[i].member == m)
			return true;
	return false;
}

static size_t count_tiers(struct sv queue)
{
	size_t n = queue.len ? 1 : 0;

	for (size_t i = 0; i < queue.len; i++)
		n += queue.ptr[i] == '\n';
	return n;
}

/* "b:outreach:a@go.contoso.com": that mailbox, while it is in the pool. */
static void tier_set(struct sched_queues *q, struct tier *t, struct sv part)
{
	struct sv rest = sv_skip(part, 2), name;
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(part.len + 4);

	if (!sv_starts(part, SV("b:")) || !sv_cut_char(&rest, ':', &name)) {
		t->member = member_of(q, part);
		return;
	}
	must(buf_printf(&key, "p:%.*s", SV_ARG(name)) == 0);
	t->bond = member_of(q, buf_sv(&key));
	buf_reset(&key);
	must(buf_printf(&key, "m:%.*s", SV_ARG(rest)) == 0);
	t->member = member_of(q, buf_sv(&key));
}

static struct sched_lot *lot_new(struct sched_queues *q, const struct mail_flow *key)
{
	size_t most = count_tiers(key->queue);
	struct sched_lot *lot = xcalloc(1, sizeof(*lot) + most * sizeof(lot->tiers[0]));
	struct sv rest = key->queue, part;
	bool more = most > 0;

	lot->queues = q;
	lot->external = key->external;
	list_init(&lot->flows);
	list_init(&lot->moved);
	list_init(&lot->of_sender);
	while (more) {
		struct tier *t = &lot->tiers[lot->tier_count];
		more = sv_cut_char(&rest, '\n', &part);
		*t = (struct tier){ .lot = lot };
		tier_set(q, t, part);
		if (names_member(lot, t->member))
			continue;
		list_init(&t->watch);
		list_init(&t->of_member);
		list_append(&t->member->tiers, &t->of_member);
		list_init(&t->of_bond);
		if (t->bond)
			list_append(&t->bond->bonds, &t->of_bond);
		lot->tier_count++;
	}
	if (key->sender.len)
		join_sender(lot, key->sender);
	return lot;
}

struct sched_lot *sched_lot_get(struct sched_queues *q, const struct mail_flow *key)
{
	CLEANUP(buf_deinitp)
	struct buf text = BUF_INIT(key->queue.len + key->sender.len + 4);
	struct sched_lot *lot;

	/* No address has a line's end, so nothing else makes the same text. */
	must(buf_append_char(&text, key->external ? 'e' : 'i') == 0);
	must(buf_append(&text, key->sender) == 0);
	must(buf_append_char(&text, '\n') == 0);
	must(buf_append(&text, key->queue) == 0);
	lot = htable_get(&q->lots, buf_sv(&text));
	if (lot)
		return lot;
	lot = lot_new(q, key);
	lot->key = sv_dup(buf_sv(&text));
	htable_put(&q->lots, buf_sv(&text), lot);
	lot_resolve(lot);
	return lot;
}

void sched_lot_free(struct sched_lot *lot)
{
	must(list_empty(&lot->flows));
	for (size_t i = 0; i < lot->tier_count; i++) {
		list_remove(&lot->tiers[i].watch);
		list_remove(&lot->tiers[i].of_bond);
		list_remove(&lot->tiers[i].of_member);
		drop_unused(lot->tiers[i].member);
		if (lot->tiers[i].bond)
			drop_unused(lot->tiers[i].bond);
	}
	list_remove(&lot->moved);
	if (lot->sender)
		leave_sender(lot);
	(void)htable_take(&lot->queues->lots, sv_from(lot->key));
	free(lot->sender);
	free(lot->key);
	free(lot);
}

struct list *sched_lot_flows(struct sched_lot *lot)
{
	return &lot->flows;
}
