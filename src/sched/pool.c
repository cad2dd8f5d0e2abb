/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/pool.h"

#include "base/heap.h"
#include "base/htable.h"
#include "base/list.h"
#include "base/must.h"
#include "sched/turn.h"

#include <stdlib.h>

enum {
	SIDES = 2,
	CAP_UNKNOWN = 10000, /* a mailbox without a limit is spread as one with Microsoft's */
};
#define STALE_US (15 * (int64_t)US_PER_MIN)
/* One that has just found nothing is not asked again at once. */
#define REST_US ((int64_t)US_PER_S)

struct sched_pools {
	struct list pools, touched;
	struct heap timers;
	struct htable domains;
	struct list told; /* seats that have used something, the one that was told first first */
	struct wall_time now;
};

struct domain {
	uint32_t stops;
	struct list seats;
};

struct sched_pool {
	struct sched_pools *all;
	struct list of_all, touched;
	struct heap_node timer;
	struct sched_taker *front;
	struct list seats, doubted;
	struct heap ready[SIDES]; /* by what they have used */
	struct heap later;        /* that will be, by when */
	uint64_t due[SIDES];
	uint64_t granted[SIDES];
	struct list granting; /* seats with grants, the oldest first */
	struct list probing, ripe;
	size_t bound; /* seats that are */
	size_t configured, usable, passing;
	uint32_t stops;
};

struct sched_seat {
	struct sched_pool *pool;
	struct list of_pool, of_domain;
	struct domain *domain;
	struct sched_member *member;
	uint32_t weight;
	void *owner;
	struct sched_seat_state state;
	bool is_usable;
	struct sched_load load;
	struct wall_time rests_until, told_at, granted_at;
	struct heap_node ready[SIDES], later;
	uint32_t granted[SIDES];
	struct list granting, probing, told;
	bool is_bound;    /* something waits that it alone may carry */
	struct list ripe; /* it is ready for that, and is to be woken */
};

/* ---- all ---- */

struct sched_pools *sched_pools_new(uint64_t seed)
{
	struct sched_pools *all = xcalloc(1, sizeof(*all));

	all->domains.seed = seed;
	all->now.us = INT64_MIN;
	list_init(&all->pools);
	list_init(&all->touched);
	list_init(&all->told);
	return all;
}

void sched_pools_free(struct sched_pools *all)
{
	if (!all)
		return;
	list_each_safe (at, after, &all->pools) {
		struct sched_pool *p = list_entry(at, struct sched_pool, of_all);

		list_each_safe (seat, next, &p->seats)
			free(list_entry(seat, struct sched_seat, of_pool));
		for (size_t i = 0; i < SIDES; i++)
			heap_deinit(&p->ready[i]);
		heap_deinit(&p->later);
		free(p);
	}
	htable_each (&all->domains, slot)
		free(slot->value);
	htable_deinit(&all->domains);
	heap_deinit(&all->timers);
	free(all);
}

struct sched_pool *sched_pools_add(struct sched_pools *all, struct sched_taker *front)
{
	struct sched_pool *p = xcalloc(1, sizeof(*p));

	p->all = all;
	p->front = front;
	list_init(&p->touched);
	list_init(&p->seats);
	list_init(&p->doubted);
	list_init(&p->granting);
	list_init(&p->probing);
	list_init(&p->ripe);
	list_init(&p->of_all);
	list_append(&all->pools, &p->of_all);
	return p;
}

struct sched_taker *sched_pool_front(const struct sched_pool *p)
{
	return p->front;
}

void sched_pool_touch(struct sched_pool *p)
{
	if (list_empty(&p->touched))
		list_append(&p->all->touched, &p->touched);
}

/* ---- who is ready ---- */

static struct wall_time ready_at(const struct sched_seat *s)
{
	return s->rests_until.us > s->load.ready_at.us ? s->rests_until : s->load.ready_at;
}

static uint32_t grants_of(const struct sched_seat *s)
{
	return s->granted[0] + s->granted[1];
}

/* What it has used, with what it may be about to, of what it may. Past 2^31 nothing is told apart any more. */
static uint64_t key_of(const struct sched_seat *s)
{
	uint64_t used = s->load.used + grants_of(s);
	uint64_t cap = s->load.cap ? s->load.cap : CAP_UNKNOWN;

	return ((used < INT32_MAX ? used : INT32_MAX) << 32) / (cap * s->weight);
}

static void set_place(struct heap *h, struct heap_node *node, bool is_in, uint64_t key)
{
	if (!is_in)
		heap_remove(h, node);
	else if (!heap_holds(node) || node->key != key)
		heap_update(h, node, key);
}

static void seat_place(struct sched_seat *s)
{
	struct sched_pool *p = s->pool;
	bool may = s->is_usable && grants_of(s) < s->load.slots;
	bool later = ready_at(s).us > p->all->now.us;

	list_remove(&s->ripe);
	if (s->is_bound && sched_seat_is_ready(s, p->all->now))
		list_append(&p->ripe, &s->ripe);
	set_place(&p->later, &s->later, (may || s->is_bound) && later, sched_due_key(ready_at(s)));
	for (size_t i = 0; i < SIDES; i++)
		set_place(
			&p->ready[i], &s->ready[i], may && !later && s->state.takes[i], key_of(s));
}

/* ---- grants ---- */

static void give_back(struct sched_seat *s)
{
	for (size_t i = 0; i < SIDES; i++) {
		s->pool->granted[i] -= s->granted[i];
		s->granted[i] = 0;
	}
	list_remove(&s->granting);
}

static struct wall_time late_at(const struct sched_seat *s)
{
	return wall_add(s->granted_at, SCHED_GRANT_US);
}

uint32_t sched_seat_granted(const struct sched_seat *s, bool external)
{
	return s->pool->stops == 0 && s->is_usable ? s->granted[external] : 0;
}

void sched_seat_use(struct sched_seat *s, bool external, bool by_grant)
{
	/* Whoever tries for a hold has no grant. */
	if (by_grant && s->granted[external] > 0) {
		s->granted[external]--;
		s->pool->granted[external]--;
	}
	if (grants_of(s) == 0)
		list_remove(&s->granting);
	/* Until its owner tells. */
	s->load.used++;
	seat_place(s);
	sched_pool_touch(s->pool);
}

static struct wall_time latest(struct wall_time a, struct wall_time b)
{
	return a.us > b.us ? a : b;
}

void sched_seat_decline(struct sched_seat *s)
{
	if (grants_of(s) == 0)
		return;
	give_back(s);
	if (s->pool->due[0] + s->pool->due[1] > 0)
		s->rests_until = latest(s->load.bulk_at, wall_add(s->pool->all->now, REST_US));
	seat_place(s);
	sched_pool_touch(s->pool);
}

/* ---- what it has to carry ---- */

bool sched_seat_is_ready(const struct sched_seat *s, struct wall_time now)
{
	return s->is_usable && s->load.slots > 0 && s->load.ready_at.us <= now.us;
}

void sched_seat_bound(struct sched_seat *s, bool due)
{
	if (due == s->is_bound)
		return;
	s->pool->bound += (size_t)due - (size_t)s->is_bound;
	s->is_bound = due;
	seat_place(s);
	sched_pool_touch(s->pool);
}

/* ---- seats ---- */

static bool usable_now(const struct sched_seat *s)
{
	return (s->state.takes[0] || s->state.takes[1]) && s->domain->stops == 0;
}

static void seat_settle(struct sched_seat *s)
{
	bool usable = usable_now(s);

	s->pool->usable += (size_t)usable - (size_t)s->is_usable;
	s->is_usable = usable;
	if (!usable)
		give_back(s);
	seat_place(s);
	sched_pool_touch(s->pool);
}

static struct domain *domain_get(struct sched_pools *all, struct sv name)
{
	struct domain *d = htable_get(&all->domains, name);

	if (d)
		return d;
	d = xcalloc(1, sizeof(*d));
	list_init(&d->seats);
	htable_put(&all->domains, name, d);
	return d;
}

struct sched_seat *sched_seat_new(struct sched_pool *p, struct sv domain, struct sched_member *m)
{
	struct sched_seat *s = xcalloc(1, sizeof(*s));

	s->pool = p;
	s->member = m;
	s->weight = 1;
	s->domain = domain_get(p->all, domain);
	s->rests_until.us = INT64_MIN;
	list_init(&s->of_pool);
	list_init(&s->of_domain);
	list_init(&s->granting);
	list_init(&s->probing);
	list_init(&s->told);
	list_init(&s->ripe);
	list_append(&p->seats, &s->of_pool);
	list_append(&s->domain->seats, &s->of_domain);
	return s;
}

static void set_stop(struct sched_seat *s, bool stops)
{
	struct sched_pool *p = s->pool;
	struct domain *d = s->domain;
	bool was = d->stops > 0;

	if (stops && p->stops == 0)
		list_each (at, &p->seats) {
			give_back(list_entry(at, struct sched_seat, of_pool));
			seat_place(list_entry(at, struct sched_seat, of_pool));
		}
	p->stops += (uint32_t)stops - (uint32_t)s->state.stops;
	d->stops += (uint32_t)stops - (uint32_t)s->state.stops;
	s->state.stops = stops;
	if (was == (d->stops > 0))
		return;
	list_each (at, &d->seats)
		seat_settle(list_entry(at, struct sched_seat, of_domain));
}

void sched_seat_set(struct sched_seat *s, const struct sched_seat_state *state)
{
	struct sched_pool *p = s->pool;

	set_stop(s, state->stops);
	p->configured += (size_t)(state->any != NULL) - (size_t)(s->state.any != NULL);
	p->passing += (size_t)state->passes - (size_t)s->state.passes;
	s->state = *state;
	list_remove(&s->probing);
	if (state->probes)
		list_append(&p->probing, &s->probing);
	seat_settle(s);
}

void sched_seat_leave(struct sched_seat *s)
{
	sched_seat_set(s, &(struct sched_seat_state){ .any = NULL });
	sched_seat_bound(s, false);
	list_remove(&s->told);
	list_remove(&s->of_pool);
	list_remove(&s->of_domain);
	free(s);
}

void sched_pool_doubt(struct sched_pool *p)
{
	while (!list_empty(&p->seats)) {
		struct list *at = p->seats.next;

		list_remove(at);
		list_append(&p->doubted, at);
	}
}

void sched_seat_keep(struct sched_seat *s, uint32_t weight, void *owner)
{
	s->weight = weight;
	s->owner = owner;
	list_remove(&s->of_pool);
	list_append(&s->pool->seats, &s->of_pool);
}

struct sched_member *sched_pool_doubted(struct sched_pool *p)
{
	return list_empty(&p->doubted)
		       ? NULL
		       : list_entry(p->doubted.next, struct sched_seat, of_pool)->member;
}

struct sched_pool *sched_seat_pool(const struct sched_seat *s)
{
	return s->pool;
}

void sched_seat_load(struct sched_seat *s, const struct sched_load *load)
{
	struct sched_pools *all = s->pool->all;

	s->load = *load;
	list_remove(&s->told);
	if (load->used > 0) {
		s->told_at = all->now;
		list_append(&all->told, &s->told);
	}
	seat_place(s);
	if (s->is_bound || heap_holds(&s->later) || heap_holds(&s->ready[0]) ||
		heap_holds(&s->ready[1]))
		sched_pool_touch(s->pool);
}

void *sched_pools_stale(struct sched_pools *all, struct wall_time now)
{
	struct sched_seat *s;

	if (list_empty(&all->told))
		return NULL;
	s = list_entry(all->told.next, struct sched_seat, told);
	if (now.us - s->told_at.us < STALE_US)
		return NULL;
	list_remove(&s->told);
	return s->owner;
}

/* ---- pools ---- */

struct sched_pool_state sched_pool_state(const struct sched_pool *p)
{
	return (struct sched_pool_state){ .is_configured = p->configured > 0,
		.held = p->stops > 0 || p->usable == 0,
		.stopped = p->stops > 0,
		.may_elsewhere = p->stops == 0 && p->passing == p->configured };
}

static struct sched_taker *taker_of(const struct sched_seat *s, bool external)
{
	return s->state.takes[external] ? s->state.takes[external] : s->state.any;
}

struct sched_taker *sched_pool_next(const struct sched_pool *p, bool external)
{
	struct heap_node *ready = heap_first(&p->ready[external]);
	struct heap_node *later = heap_first(&p->later);

	if (ready && p->stops == 0)
		return CONTAINER_OF(ready, struct sched_seat, ready[external])
			->state.takes[external];
	if (!list_empty(&p->granting))
		return taker_of(
			list_entry(p->granting.next, struct sched_seat, granting), external);
	if (later)
		return taker_of(CONTAINER_OF(later, struct sched_seat, later), external);
	/* For people: what is held for reputation is why all of it waits. */
	list_each (at, &p->seats)
		if (list_entry(at, struct sched_seat, of_pool)->state.stops)
			return list_entry(at, struct sched_seat, of_pool)->state.any;
	list_each (at, &p->seats)
		if (list_entry(at, struct sched_seat, of_pool)->state.any)
			return list_entry(at, struct sched_seat, of_pool)->state.any;
	return NULL;
}

struct sched_seat *sched_pool_probing(const struct sched_pool *p, const struct sched_seat *last)
{
	struct list *at = last ? last->probing.next : p->probing.next;
	size_t n = 0;

	for (const struct list *k = p->probing.next; k != at; k = k->next)
		n++;
	return at == &p->probing || n >= SCHED_POOL_PROBES
		       ? NULL
		       : list_entry(at, struct sched_seat, probing);
}

struct sched_taker *sched_seat_probes(const struct sched_seat *s)
{
	return s->state.probes;
}

void sched_pool_due(struct sched_pool *p, const uint64_t due[2])
{
	p->due[0] = due[0];
	p->due[1] = due[1];
}

static bool wants(const struct sched_pool *p, size_t side)
{
	return p->stops == 0 && p->due[side] > p->granted[side];
}

/* When time alone lets it grant more. */
static void set_timer(struct sched_pool *p)
{
	const struct heap_node *later = heap_first(&p->later);
	uint64_t key = UINT64_MAX, late;

	if (later && (p->bound > 0 || wants(p, 0) || wants(p, 1)))
		key = later->key;
	if (!list_empty(&p->granting)) {
		late = sched_due_key(
			late_at(list_entry(p->granting.next, struct sched_seat, granting)));
		key = late < key ? late : key;
	}
	set_place(&p->all->timers, &p->timer, key != UINT64_MAX, key);
}

/* What has come to its time. */
static void pool_fire(struct sched_pool *p)
{
	const uint64_t now = sched_due_key(p->all->now);
	struct heap_node *node;

	while ((node = heap_first(&p->later)) != NULL && node->key <= now)
		seat_place(CONTAINER_OF(node, struct sched_seat, later));
	while (!list_empty(&p->granting)) {
		struct sched_seat *s = list_entry(p->granting.next, struct sched_seat, granting);

		if (late_at(s).us > p->all->now.us)
			break;
		give_back(s);
		s->rests_until = wall_add(p->all->now, SCHED_GRANT_US);
		seat_place(s);
	}
}

struct sched_pool *sched_pools_touched(struct sched_pools *all, struct wall_time now)
{
	struct heap_node *node;
	struct sched_pool *p;

	all->now = now;
	while ((node = heap_first(&all->timers)) != NULL && node->key <= sched_due_key(now)) {
		heap_remove(&all->timers, node);
		sched_pool_touch(CONTAINER_OF(node, struct sched_pool, timer));
	}
	if (list_empty(&all->touched))
		return NULL;
	p = list_entry(all->touched.next, struct sched_pool, touched);
	list_remove(&p->touched);
	pool_fire(p);
	return p;
}

struct sched_taker *sched_pool_grant(struct sched_pool *p)
{
	if (!list_empty(&p->ripe)) {
		struct sched_seat *s = list_entry(p->ripe.next, struct sched_seat, ripe);

		list_remove(&s->ripe);
		return s->state.takes[1] ? s->state.takes[1] : s->state.takes[0];
	}
	for (size_t i = SIDES; i-- > 0;) {
		struct heap_node *node = heap_first(&p->ready[i]);
		struct sched_seat *s;

		if (!node || !wants(p, i))
			continue;
		s = CONTAINER_OF(node, struct sched_seat, ready[i]);
		s->granted[i]++;
		p->granted[i]++;
		s->granted_at = p->all->now;
		list_remove(&s->granting);
		list_append(&p->granting, &s->granting);
		seat_place(s);
		return s->state.takes[i];
	}
	set_timer(p);
	return NULL;
}

struct wall_time sched_pools_next(const struct sched_pools *all)
{
	const struct heap_node *first = heap_first(&all->timers);

	if (!first)
		return SCHED_NEVER;
	return (struct wall_time){ (int64_t)(first->key ^ (UINT64_C(1) << 63)) };
}
