/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/heap.h"
#include "base/htable.h"
#include "base/list.h"
#include "sched/order.h"
#include "sched/pool.h"
#include "sched/queue.h"
#include "sched/turn.h"

/* What order.c and order_pool.c share: the first knows flows and takes, the second what pools have to do with them. */
enum sched_source {
	SCHED_OWN,     /* mail of this taker's member alone */
	SCHED_OF_POOL, /* of the pool that it is in, by a grant */
	SCHED_BOUND,   /* of the pool, and its alone: when it is ready for mail of the pool */
	SCHED_SOURCES,
};

struct sched_order {
	struct sched_queues *queues;
	uint64_t seed;
	struct htable flows;
	struct htable pools; /* by their key: struct sched_pool */
	struct sched_pools *all_pools;
	bool ends;
	struct list takers, turns;
	struct heap timers; /* flows in which more becomes due */
	struct list wakes;  /* takers that sched_wake() will name */
	struct list empty;  /* flows, the one that has been empty for longest first */
	size_t empty_count;
	struct wall_time now; /* as told last */
	uint64_t serial;      /* of the last pick */
};

struct sched_taker {
	struct sched_order *order;
	struct list of_order, wake;
	struct sched_member *member;
	struct sched_door *door;
	void *owner;
	struct sched_turns *turns; /* NULL: nothing has waited here yet */
	struct sched_turns *bound; /* likewise: SCHED_BOUND */
	struct sched_pool *pool; /* whose mail stands here, for its mailboxes; NULL: it is a door */
	/* Between its own mail and that of its pool, as sched/turn does it between classes. */
	uint64_t clocks[SCHED_SOURCES], present;
	bool is_awake; /* named, or about to be, since its last pick that found nothing */
};

bool sched_taker_may_ask(const struct sched_taker *t);
void sched_order_moved(
	struct sched_order *o); /* flows of lots that stand elsewhere now are settled */
void sched_taker_wake(struct sched_taker *t); /* if it has not been named since it found nothing */

/* ---- order_pool.c ---- */
/* How the member stands has changed: its pool is told. */
void sched_order_tell_pool(struct sched_order *o, struct sched_member *m);
/* The next of the pool's mail that a grant lets it take; NULL: none. */
struct sched_turn *sched_pool_turn(const struct sched_taker *t, const struct sched_turn_rule *rule);
/* Of the mail of its pool, while it is held and may try. */
struct sched_turn *sched_pool_probe_turn(
	const struct sched_taker *t, const struct sched_turn_rule *rule);
uint64_t sched_pool_due_of(const struct sched_taker *t, const struct sched_turn_rule *rule);
/* Of what it has to carry; NULL: none, or it is not ready. */
struct sched_turn *sched_bound_turn(
	const struct sched_taker *t, const struct sched_turn_rule *rule);
uint64_t sched_bound_due(const struct sched_taker *t, const struct sched_turn_rule *rule);
void sched_bound_changed(const struct sched_taker *t); /* what waits there */
/* Which of those that have mail it takes now, and what that costs. */
enum sched_source sched_source_next(
	const struct sched_taker *t, struct sched_turn *const turns[SCHED_SOURCES]);
void sched_source_charge(struct sched_taker *t, enum sched_source source, enum mail_class class);
/* Wakes those of a pool that are held and may try. */
void sched_pool_wake_probes(const struct sched_pool *p, bool external);
void sched_pools_serve(struct sched_order *o, struct wall_time now);
