/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/order.h"

#include "base/must.h"
#include "base/rng.h"
#include "sched/test_order.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * Pools, by what is promised of them: days of sending with random sizes, holds and mail, under seeds. The mailboxes of a test take as lanes
 * do: only when they are named, and until they find nothing.
 */
enum {
	SEEDS = 20,
	MAILBOXES_MAX = 2000,
};
#define HOUR (INT64_C(3600) * (int64_t)US_PER_S)
#define DAY (24 * HOUR)

struct mailbox {
	struct sched_member *m;
	struct sched_taker *t;
	struct sched_taker_state state;
	uint32_t cap, weight;
	uint64_t used; /* today */
	uint64_t own;  /* of mail that is its alone */
	uint64_t asked;
	bool asks;
};

struct world {
	uint64_t seed;
	struct prng rng;
	struct sched_order *o;
	struct wall_time now;
	struct mailbox boxes[MAILBOXES_MAX];
	size_t count;
	uint64_t left;
};

static void check(const struct world *w, bool holds, const char *what, int line)
{
	if (!holds)
		fail_msg("seed %u: line %d: %s", (unsigned)w->seed, line, what);
}
#define CHECK(w, cond) check(w, cond, #cond, __LINE__)

static void tell(struct mailbox *b)
{
	bool full = b->cap && b->used >= b->cap;

	sched_member_load(b->m,
		&(struct sched_load){ .used = b->used,
			.cap = b->cap,
			.slots = 2,
			.ready_at = { full ? INT64_MAX : INT64_MIN },
			.bulk_at = { INT64_MIN } });
}

static void pool_set(struct world *w, const char *key, size_t from, size_t to, const char *domain)
{
	struct sched_pool_member *seats = xcalloc(to - from + 1, sizeof(*seats));

	for (size_t i = from; i < to; i++)
		seats[i - from] = (struct sched_pool_member){ .member = w->boxes[i].m,
			.domain = sv_from(domain),
			.weight = w->boxes[i].weight,
			.owner = &w->boxes[i] };
	sched_pool_set(w->o, sv_from(key), seats, to - from);
	for (size_t i = from; i < to; i++)
		tell(&w->boxes[i]);
	free(seats);
}

static struct world *world_new(uint64_t seed, size_t count, uint32_t cap)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->seed = seed;
	prng_seed(&w->rng, seed);
	w->o = sched_order_new(seed);
	w->now = AT(1000);
	w->count = count;
	for (size_t i = 0; i < count; i++) {
		struct mailbox *b = &w->boxes[i];
		char key[32];

		(void)snprintf(key, sizeof(key), "m:%zu@go.example", i);
		*b = (struct mailbox){ .cap = cap, .weight = 1, .state = ready };
		b->m = sched_member_get(w->o, sv_from(key));
		b->t = sched_taker_new(b->m, 0, b);
		sched_taker_set(b->t, &b->state);
	}
	return w;
}

static void world_free(struct world *w)
{
	sched_order_free(w->o);
	free(w);
}

static struct sched_flow *flow(struct world *w, const char *queue, enum mail_class class)
{
	return sched_flow_get(w->o,
		&(struct mail_flow){ .queue = sv_from(queue),
			.class = class,
			.principal = SV("crm"),
			.external = true });
}

/* One message of one recipient. False: it found nothing. */
static bool take(struct world *w, struct mailbox *b)
{
	bool full = b->cap && b->used >= b->cap;
	const struct sched_room room = { full ? 0 : 1, full ? 0 : 1, 0 };
	struct sched_pick pick;

	if (!sched_pick(b->t, w->now, &room, &pick))
		return false;
	CHECK(w, !b->state.held || b->state.probing);
	b->used++;
	b->own += sv_starts(sched_flow_key(pick.flow)->queue, SV("m:"));
	tell(b);
	w->left++;
	sched_took(&pick, 1, sched_flow_waiting(pick.flow) > 1 ? w->now : SCHED_NEVER);
	return true;
}

/* Those that were named take in turns, one message each, until they find nothing. */
static void run(struct world *w)
{
	struct sched_taker *t;
	bool any;

	do {
		while ((t = sched_wake(w->o, w->now))) {
			struct mailbox *b = sched_taker_owner(t);

			b->asked++;
			b->asks = true;
		}
		any = false;
		for (size_t i = 0; i < w->count; i++)
			if (w->boxes[i].asks) {
				w->boxes[i].asks = take(w, &w->boxes[i]);
				any = true;
			}
	} while (any);
}

static void add(struct world *w, struct sched_flow *f, uint32_t n)
{
	sched_flow_add(f, n, w->now);
	run(w);
}

static void state_set(struct mailbox *b, struct sched_taker_state s)
{
	b->state = s;
	sched_taker_set(b->t, &b->state);
}

static uint64_t least_used(const struct world *w)
{
	uint64_t n = UINT64_MAX;

	for (size_t i = 0; i < w->count; i++)
		n = w->boxes[i].used < n ? w->boxes[i].used : n;
	return n;
}

static uint64_t most_used(const struct world *w)
{
	uint64_t n = 0;

	for (size_t i = 0; i < w->count; i++)
		n = w->boxes[i].used > n ? w->boxes[i].used : n;
	return n;
}

/* Mail in bursts of any size over a day, less than all of it may carry: equal mailboxes within 5 %, or one message. */
static void equal_ones_share_equally(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = world_new(seed, 20, 400);
		uint64_t mail = 0;

		pool_set(w, "p:out", 0, 20, "go.example");
		while (mail < 20 * 400 * 9 / 10) {
			uint32_t n = 1 + (uint32_t)prng_below(&w->rng, 80);

			add(w, flow(w, "p:out", MAIL_CLASS_BULK), n);
			mail += n;
			w->now.us += (int64_t)prng_below(&w->rng, 600) * (int64_t)US_PER_S;
		}
		CHECK(w, w->left == mail);
		CHECK(w, most_used(w) * 20 <= mail + mail / 20 + 20);
		CHECK(w, least_used(w) * 20 + mail / 20 + 20 >= mail);
		world_free(w);
	}
}

/* As long as it comes piece by piece: a burst is taken by all that are ready. */
static void weights_divide(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = world_new(seed, 10, 0);
		uint64_t weights = 0;

		for (size_t i = 0; i < w->count; i++) {
			w->boxes[i].weight = 1 + (uint32_t)prng_below(&w->rng, 5);
			weights += w->boxes[i].weight;
		}
		pool_set(w, "p:out", 0, 10, "go.example");
		for (int i = 0; i < 600; i++)
			add(w, flow(w, "p:out", MAIL_CLASS_BULK), 5);
		for (size_t i = 0; i < w->count; i++) {
			uint64_t due = 3000 * w->boxes[i].weight / weights;

			CHECK(w, w->boxes[i].used <= due + due / 20 + 1);
			CHECK(w, w->boxes[i].used + due / 20 + 1 >= due);
		}
		world_free(w);
	}
}

/* More mail than the pool may carry: each day is used up, and none goes past it; the rest waits for the next one. */
static void day_is_used_up(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = world_new(seed, 20, 0);
		uint64_t caps = 0;

		for (size_t i = 0; i < w->count; i++) {
			w->boxes[i].cap = 5 + (uint32_t)prng_below(&w->rng, 45);
			caps += w->boxes[i].cap;
		}
		pool_set(w, "p:out", 0, 20, "go.example");
		add(w, flow(w, "p:out", MAIL_CLASS_BULK), 3000);
		for (int day = 1; day <= 2; day++) {
			CHECK(w, w->left == caps * (uint64_t)day);
			for (size_t i = 0; i < w->count; i++)
				CHECK(w, w->boxes[i].used == w->boxes[i].cap);
			w->now.us += DAY;
			for (size_t i = 0; i < w->count; i++) {
				w->boxes[i].used = 0;
				tell(&w->boxes[i]);
			}
			run(w);
		}
		world_free(w);
	}
}

/* Holds come and go, of all kinds but reputation, and in the end all mail has left. What is held takes nothing but to try. */
static void held_ones_cost_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = world_new(seed, 12, 0);
		uint64_t mail = 0;

		pool_set(w, "p:out", 0, 12, "go.example");
		for (int step = 0; step < 400; step++) {
			struct mailbox *b = &w->boxes[prng_below(&w->rng, w->count)];
			uint32_t n = 1 + (uint32_t)prng_below(&w->rng, 9);
			struct sched_taker_state s = ready;
			size_t free_ones = 0;

			s.held = prng_below(&w->rng, 3) > 0;
			s.may_elsewhere = prng_below(&w->rng, 2) > 0;
			state_set(b, s);
			mail += n;
			add(w, flow(w, "p:out", MAIL_CLASS_NORMAL), n);
			for (size_t i = 0; i < w->count; i++)
				free_ones += !w->boxes[i].state.held;
			/* One that is free is enough, at once. */
			CHECK(w, free_ones == 0 || w->left == mail);
			w->now.us += (int64_t)prng_below(&w->rng, 60) * (int64_t)US_PER_S;
		}
		for (size_t i = 0; i < w->count; i++)
			state_set(&w->boxes[i], ready);
		run(w);
		CHECK(w, w->left == mail);
		world_free(w);
	}
}

/* One that is held tries when its time has come, though all mail leaves by others; others are not asked for it. */
static void held_one_may_try(void **state)
{
	struct world *w = world_new(1, 3, 0);
	struct sched_taker_state s = ready;

	(void)state;
	pool_set(w, "p:out", 0, 3, "go.example");
	s.held = s.may_elsewhere = true;
	state_set(&w->boxes[0], s);
	add(w, flow(w, "p:out", MAIL_CLASS_NORMAL), 9);
	assert_int_equal(w->boxes[0].used, 0);
	s.probing = true;
	state_set(&w->boxes[0], s);
	run(w);
	assert_int_equal(w->boxes[0].used, 0);
	/* It is named with the others, and takes what it finds. */
	sched_flow_add(flow(w, "p:out", MAIL_CLASS_NORMAL), 1, w->now);
	assert_true(take(w, &w->boxes[0]));
	assert_int_equal(w->boxes[0].used, 1);
	/* All are held: it tries still. */
	s.probing = false;
	state_set(&w->boxes[1], s);
	state_set(&w->boxes[2], s);
	add(w, flow(w, "p:out", MAIL_CLASS_NORMAL), 2);
	assert_true(w->boxes[0].used >= 2);
	world_free(w);
}

/* Reputation: the pool waits, and its domain in other pools; other domains there go on. A release lets all go. */
static void reputation_stops_pool_and_domain(void **state)
{
	struct world *w = world_new(1, 6, 0);
	struct sched_taker_state s = ready;

	(void)state;
	pool_set(w, "p:a", 0, 2, "one.example");
	pool_set(w, "p:b", 2, 4, "one.example");
	pool_set(w, "p:c", 4, 6, "two.example");
	s.held = s.stops_pool = true;
	state_set(&w->boxes[0], s);
	add(w, flow(w, "p:a", MAIL_CLASS_NORMAL), 5);
	add(w, flow(w, "p:b", MAIL_CLASS_NORMAL), 5);
	add(w, flow(w, "p:c", MAIL_CLASS_NORMAL), 5);
	assert_int_equal(w->left, 5);
	assert_int_equal(w->boxes[4].used + w->boxes[5].used, 5);
	/* Nor does mail that a mailbox of it has to carry; its own does. */
	add(w, flow(w, "b:a:1@go.example", MAIL_CLASS_NORMAL), 1);
	assert_int_equal(w->left, 5);
	add(w, flow(w, "m:1@go.example", MAIL_CLASS_NORMAL), 1);
	assert_int_equal(w->boxes[1].own, 1);
	state_set(&w->boxes[0], ready);
	run(w);
	assert_int_equal(w->left, 17);
	world_free(w);
}

/* Where one goes by another member after all of the pool is held. */
static void next_member_takes_over(void **state)
{
	struct world *w = world_new(1, 3, 0);
	struct sched_taker_state s = ready;

	(void)state;
	pool_set(w, "p:out", 0, 2, "go.example");
	s.held = s.may_elsewhere = true;
	state_set(&w->boxes[0], s);
	add(w, flow(w, "p:out\nm:2@go.example", MAIL_CLASS_NORMAL), 4);
	assert_int_equal(w->boxes[1].used, 4);
	state_set(&w->boxes[1], s);
	add(w, flow(w, "p:out\nm:2@go.example", MAIL_CLASS_NORMAL), 4);
	assert_int_equal(w->boxes[2].used, 4);
	s.may_elsewhere = false;
	state_set(&w->boxes[1], s);
	add(w, flow(w, "p:out\nm:2@go.example", MAIL_CLASS_NORMAL), 4);
	assert_int_equal(w->boxes[2].used, 4);
	world_free(w);
}

/* What one has to carry goes by it alone, and waits while it is not in the pool. */
static void bound_mail_waits_for_its_mailbox(void **state)
{
	struct world *w = world_new(1, 3, 0);

	(void)state;
	pool_set(w, "p:out", 0, 3, "go.example");
	add(w, flow(w, "b:out:1@go.example", MAIL_CLASS_NORMAL), 3);
	assert_int_equal(w->boxes[1].used, 3);
	pool_set(w, "p:out", 2, 3, "go.example");
	add(w, flow(w, "b:out:1@go.example", MAIL_CLASS_NORMAL), 2);
	add(w, flow(w, "p:out", MAIL_CLASS_NORMAL), 4);
	assert_int_equal(w->boxes[1].used, 3);
	assert_int_equal(w->boxes[2].used, 4);
	pool_set(w, "p:other", 1, 2, "go.example");
	run(w);
	assert_int_equal(w->boxes[1].used, 3);
	pool_set(w, "p:out", 0, 3, "go.example");
	run(w);
	assert_int_equal(w->boxes[1].used, 5);
	world_free(w);
}

/* Own mail of every class beside that of the pool: neither starves, by any of the classes. */
static void neither_source_starves(void **state)
{
	(void)state;
	for (int own = 0; own < MAIL_CLASS_COUNT; own++)
		for (int pool = 0; pool < MAIL_CLASS_COUNT; pool++) {
			struct world *w = world_new(1, 1, 2000);

			pool_set(w, "p:out", 0, 1, "go.example");
			sched_flow_add(
				flow(w, "m:0@go.example", (enum mail_class)own), 5000, w->now);
			sched_flow_add(flow(w, "p:out", (enum mail_class)pool), 5000, w->now);
			run(w);
			CHECK(w, w->left == 2000);
			CHECK(w, w->boxes[0].own >= 10 && w->boxes[0].own <= 1990);
			CHECK(w,
				own == pool  ? w->boxes[0].own > 900 && w->boxes[0].own < 1100
				: own < pool ? w->boxes[0].own > 1000
					     : w->boxes[0].own < 1000);
			world_free(w);
		}
}

/* A mailbox that is named and takes nothing does not keep the mail: its grant goes to another one. */
static void silent_ones_delay_nobody_for_long(void **state)
{
	struct world *w = world_new(1, 3, 0);
	struct sched_taker *t;
	size_t silent = 0;

	(void)state;
	pool_set(w, "p:out", 0, 3, "go.example");
	sched_flow_add(flow(w, "p:out", MAIL_CLASS_NORMAL), 2, w->now);
	while ((t = sched_wake(w->o, w->now)))
		silent++;
	assert_int_equal(silent, 2);
	assert_true(sched_order_next(w->o).us <= w->now.us + 30 * (int64_t)US_PER_S);
	w->now = sched_order_next(w->o);
	run(w);
	assert_int_equal(w->left, 2);
	world_free(w);
}

/* Who is not ready yet is when its time comes, and the order says when that is. */
static void ready_later_takes_later(void **state)
{
	struct world *w = world_new(1, 2, 0);

	(void)state;
	pool_set(w, "p:out", 0, 2, "go.example");
	for (size_t i = 0; i < 2; i++)
		sched_member_load(w->boxes[i].m,
			&(struct sched_load){ .slots = 2, .ready_at = AT(2000 + i) });
	add(w, flow(w, "p:out", MAIL_CLASS_NORMAL), 3);
	assert_int_equal(w->left, 0);
	assert_int_equal(sched_order_next(w->o).us, AT(2000).us);
	assert_ptr_equal(sched_flow_taker(flow(w, "p:out", MAIL_CLASS_NORMAL)), w->boxes[0].t);
	/* Nor does mail that it alone may carry leave before; its own does (below). */
	add(w, flow(w, "b:out:1@go.example", MAIL_CLASS_NORMAL), 2);
	assert_int_equal(w->left, 0);
	w->now = AT(2000);
	run(w);
	assert_int_equal(w->boxes[0].used, 3);
	assert_int_equal(sched_order_next(w->o).us, AT(2001).us);
	w->now = AT(2001);
	run(w);
	assert_int_equal(w->boxes[1].used, 2);
	sched_member_load(w->boxes[1].m, &(struct sched_load){ .slots = 2, .ready_at = AT(3000) });
	sched_flow_add(flow(w, "b:out:1@go.example", MAIL_CLASS_NORMAL), 1, w->now);
	add(w, flow(w, "m:1@go.example", MAIL_CLASS_NORMAL), 1);
	assert_int_equal(w->boxes[1].own, 1);
	world_free(w);
}

/* 2,000 mailboxes, a message at a time: one is asked for each, not all. */
static void idle_ones_are_not_asked(void **state)
{
	struct world *w = world_new(1, 2000, 50);
	uint64_t asked = 0;

	(void)state;
	pool_set(w, "p:out", 0, 2000, "go.example");
	for (int i = 0; i < 1000; i++) {
		add(w, flow(w, "p:out", MAIL_CLASS_BULK), 1);
		w->now.us += (int64_t)US_PER_S;
	}
	assert_int_equal(w->left, 1000);
	assert_int_equal(most_used(w), 1);
	for (size_t i = 0; i < w->count; i++)
		asked += w->boxes[i].asked;
	assert_true(asked <= 2000);
	world_free(w);
}

/* A day that goes on without anything being told: who has used something is asked for it, the others are not. */
static void stale_loads_are_named(void **state)
{
	struct world *w = world_new(1, 10, 50);
	struct mailbox *b;

	(void)state;
	pool_set(w, "p:out", 0, 10, "go.example");
	add(w, flow(w, "p:out", MAIL_CLASS_BULK), 3);
	assert_ptr_equal(sched_load_stale(w->o, w->now), NULL);
	w->now.us += HOUR;
	for (int i = 0; i < 3; i++) {
		b = sched_load_stale(w->o, w->now);
		assert_non_null(b);
		assert_int_equal(b->used, 1);
	}
	assert_ptr_equal(sched_load_stale(w->o, w->now), NULL);
	world_free(w);
}

/* ---- whatever happens ---- */

enum {
	CHAOS_BOXES = 8,
	CHAOS_STEPS = 3000,
	CHAOS_TAKES = 12,
};
static const char *const chaos_queues[] = { "p:a",
	"p:b",
	"p:a\nm:7@go.example",
	"m:1@go.example",
	"b:a:1@go.example",
	"b:a:2@go.example",
	"p:b\np:a" };
enum {
	CHAOS_FLOWS = COUNT_OF(chaos_queues) * 2 /* to both sides */
};

struct chaos {
	struct world *w;
	bool is_over;
	uint32_t left[CHAOS_FLOWS];
	struct {
		struct sched_pick pick;
		size_t flow;
	} takes[CHAOS_TAKES];
	size_t take_count;
};

static unsigned below(struct chaos *c, unsigned n)
{
	return (unsigned)prng_below(&c->w->rng, n);
}

static struct sched_flow *chaos_flow(struct chaos *c, size_t i)
{
	return sched_flow_get(c->w->o,
		&(struct mail_flow){ .queue = sv_from(chaos_queues[i / 2]),
			.class = (enum mail_class)(i % MAIL_CLASS_COUNT),
			.principal = SV("crm"),
			.external = i % 2 == 0 });
}

static size_t chaos_index(struct chaos *c, const struct sched_flow *f)
{
	for (size_t i = 0; i < CHAOS_FLOWS; i++)
		if (chaos_flow(c, i) == f)
			return i;
	fail_msg("seed %u: a flow that nobody made", (unsigned)c->w->seed);
	return 0;
}

static void chaos_pools(struct chaos *c, size_t first, size_t middle, size_t end)
{
	pool_set(c->w, "p:a", first, middle, "one.example");
	pool_set(c->w, "p:b", middle, end, "one.example");
}

static void chaos_state(struct chaos *c)
{
	struct mailbox *b = &c->w->boxes[below(c, CHAOS_BOXES)];
	struct sched_taker_state s = { .is_configured = below(c, 8) > 0,
		.held = below(c, 3) == 0,
		.may_elsewhere = below(c, 3) > 0,
		.external_held = below(c, 6) == 0,
		.external_full = below(c, 6) == 0,
		.internal_full = below(c, 6) == 0 };

	/* Its lane goes, and comes again. */
	if (below(c, 20) == 0) {
		sched_taker_free(b->t);
		b->t = sched_taker_new(b->m, below(c, 3), b);
		b->asks = false;
	}
	s.probing = s.held && below(c, 3) == 0;
	s.stops_pool = s.held && !s.may_elsewhere && below(c, 2) == 0;
	state_set(b, s);
	b->asks &= s.is_configured && (!s.held || s.probing);
}

static void chaos_load(struct chaos *c)
{
	struct mailbox *b = &c->w->boxes[below(c, CHAOS_BOXES)];
	int64_t at =
		below(c, 2) ? INT64_MIN : c->w->now.us + (int64_t)below(c, 90) * (int64_t)US_PER_S;

	sched_member_load(b->m,
		&(struct sched_load){ .used = below(c, 50),
			.cap = below(c, 3) * 20,
			.slots = below(c, 4),
			.ready_at = { at },
			.bulk_at = { INT64_MIN } });
}

static void chaos_take(struct chaos *c, struct mailbox *b)
{
	const struct sched_room room = { 1, c->is_over || below(c, 4) > 0, 0 };
	struct sched_pick pick;
	size_t i;

	if (c->take_count == CHAOS_TAKES)
		return;
	b->asks = sched_pick(b->t, c->w->now, &room, &pick);
	if (!b->asks)
		return;
	i = chaos_index(c, pick.flow);
	CHECK(c->w, !b->state.held || b->state.probing);
	c->takes[c->take_count].pick = pick;
	c->takes[c->take_count++].flow = i;
}

static void chaos_end(struct chaos *c)
{
	size_t at = c->take_count ? below(c, (unsigned)c->take_count) : 0;
	size_t i = c->takes[at].flow;

	if (c->take_count == 0)
		return;
	if (below(c, 5) == 0) {
		sched_pick_withdraw(&c->takes[at].pick);
	} else {
		/* One that ends before those that were picked before it may find nothing. */
		uint32_t taken = c->left[i] > 0;

		c->left[i] -= taken;
		sched_took(&c->takes[at].pick, taken, c->left[i] ? c->w->now : SCHED_NEVER);
	}
	c->takes[at] = c->takes[--c->take_count];
}

static void chaos_ask(struct chaos *c)
{
	struct sched_taker *t;

	while ((t = sched_wake(c->w->o, c->w->now)))
		((struct mailbox *)sched_taker_owner(t))->asks = true;
	for (size_t i = 0; i < CHAOS_BOXES; i++)
		if (c->w->boxes[i].asks && below(c, 2))
			chaos_take(c, &c->w->boxes[i]);
}

static void chaos_step(struct chaos *c)
{
	size_t i = below(c, CHAOS_FLOWS), middle;

	switch (below(c, 8)) {
	case 0:
	case 1:
		c->left[i]++;
		sched_flow_add(chaos_flow(c, i), 1, c->w->now);
		break;
	case 2:
		chaos_state(c);
		break;
	case 3:
		chaos_load(c);
		break;
	case 4:
		middle = below(c, CHAOS_BOXES + 1);
		if (below(c, 10) == 0)
			chaos_pools(c, below(c, (unsigned)middle + 1), middle, CHAOS_BOXES);
		break;
	case 5:
		c->w->now.us += (int64_t)below(c, 20) * (int64_t)US_PER_S;
		break;
	default:
		chaos_end(c);
		break;
	}
	chaos_ask(c);
}

/* All are well again: whoever is named, and nobody else, takes all that is left; time goes on as the order says. */
static void chaos_heals(struct chaos *c)
{
	uint64_t left = 1;

	c->is_over = true;
	for (size_t i = 0; i < CHAOS_BOXES; i++) {
		c->w->boxes[i].cap = 0;
		/* Who had no room for bulk knows by himself when there is some. */
		c->w->boxes[i].asks = true;
		state_set(&c->w->boxes[i], ready);
	}
	chaos_pools(c, 0, 4, CHAOS_BOXES);
	for (int turns = 0; left > 0 && turns < 20000; turns++) {
		chaos_ask(c);
		chaos_end(c);
		left = 0;
		for (size_t i = 0; i < CHAOS_FLOWS; i++)
			left += c->left[i];
		if (turns % 50 == 49)
			c->w->now.us += (int64_t)US_PER_S;
	}
	CHECK(c->w, left == 0);
}

static void whatever_happens_all_leaves(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3 * SEEDS; seed++) {
		struct chaos c = { .w = world_new(seed, CHAOS_BOXES, 0) };

		chaos_pools(&c, 0, 4, CHAOS_BOXES);
		for (int step = 0; step < CHAOS_STEPS; step++)
			chaos_step(&c);
		chaos_heals(&c);
		world_free(c.w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_ones_share_equally),
		cmocka_unit_test(weights_divide),
		cmocka_unit_test(day_is_used_up),
		cmocka_unit_test(held_ones_cost_nothing),
		cmocka_unit_test(held_one_may_try),
		cmocka_unit_test(reputation_stops_pool_and_domain),
		cmocka_unit_test(next_member_takes_over),
		cmocka_unit_test(bound_mail_waits_for_its_mailbox),
		cmocka_unit_test(neither_source_starves),
		cmocka_unit_test(silent_ones_delay_nobody_for_long),
		cmocka_unit_test(ready_later_takes_later),
		cmocka_unit_test(idle_ones_are_not_asked),
		cmocka_unit_test(stale_loads_are_named),
		cmocka_unit_test(whatever_happens_all_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
