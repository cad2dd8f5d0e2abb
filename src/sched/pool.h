/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sched/order.h"

/*
 * Who of a pool takes next. Mail of a pool waits at the pool, and a mailbox takes some of it when it may: it is granted a take, the
 * least used of those that are ready first, by used / (cap x weight). A mailbox that is held, full or outside of its hours has no grant and
 * costs its pool nothing, nor does one that is ready cost anything until its turn comes. A change of one of n mailboxes takes O(log n).
 *
 * A grant names no message: one that is not used in time (a host that says nothing) goes to another mailbox. A hold for the reputation of one mailbox stops its pool, and in other pools the mailboxes of its domain. Pure.
 */
struct sched_pools;
struct sched_pool;
struct sched_seat; /* a mailbox in a pool */

/* A grant that is not used for so long is given back, and whoever had it rests for as long. */
#define SCHED_GRANT_US (30 * (int64_t)US_PER_S)
enum {
	SCHED_POOL_PROBES = 4 /* mailboxes of a pool that are held, and may try at once */
};

NODISCARD struct sched_pools *sched_pools_new(uint64_t seed);
void sched_pools_free(struct sched_pools *all);
/* Made at first use; lives as long as all of them. `front`: the taker at which its mail stands. */
struct sched_pool *sched_pools_add(struct sched_pools *all, struct sched_taker *front);
struct sched_taker *sched_pool_front(const struct sched_pool *p);

/* Nothing is granted to it before sched_seat_load(). `domain`: of its address. */
struct sched_seat *sched_seat_new(struct sched_pool *p, struct sv domain, struct sched_member *m);
void sched_seat_leave(struct sched_seat *s); /* it is gone */
/* Those that are not kept after a doubt are to leave: one of them, NULL: no more. */
void sched_pool_doubt(struct sched_pool *p);
void sched_seat_keep(struct sched_seat *s, uint32_t weight, void *owner);
struct sched_member *sched_pool_doubted(struct sched_pool *p);
struct sched_pool *sched_seat_pool(const struct sched_seat *s);

struct sched_seat_state {
	struct sched_taker
		*takes[2];       /* mail to the inside, and to the outside, now; NULL: none does */
	struct sched_taker *any; /* of one that is configured; NULL: none is */
	struct sched_taker *probes; /* is held, and may try; NULL: none may */
	bool stops;                 /* held for reputation */
	bool passes;                /* what holds it lets its mail go elsewhere */
};
void sched_seat_set(struct sched_seat *s, const struct sched_seat_state *state);
void sched_seat_load(struct sched_seat *s, const struct sched_load *load);

/* What holds the whole pool. */
struct sched_pool_state {
	bool is_configured;
	bool held, may_elsewhere;
	bool stopped; /* for reputation */
};
struct sched_pool_state sched_pool_state(const struct sched_pool *p);
/* The mailbox that takes next; where none is ready the one that is so first, or any. NULL: it has none. */
struct sched_taker *sched_pool_next(const struct sched_pool *p, bool external);
/* Those that are held and may try: the next after `last` (NULL: the first). At most SCHED_POOL_PROBES. */
struct sched_seat *sched_pool_probing(const struct sched_pool *p, const struct sched_seat *last);
struct sched_taker *sched_seat_probes(const struct sched_seat *s);

/* Something that it alone may carry is due: it is woken when it is ready. */
void sched_seat_bound(struct sched_seat *s, bool due);
bool sched_seat_is_ready(const struct sched_seat *s, struct wall_time now);

/* ---- grants ---- */

/* So much is due there; to be told at each change that it should look at. */
void sched_pool_due(struct sched_pool *p, const uint64_t due[2]);
void sched_pool_touch(struct sched_pool *p); /* something has changed: it is looked at */
/* One that was touched, or has come to its time; NULL: no more. Then sched_pool_due() and grants until there is none. */
struct sched_pool *sched_pools_touched(struct sched_pools *all, struct wall_time now);
struct sched_taker *sched_pool_grant(struct sched_pool *p);
/* When one comes to its time: SCHED_NEVER: none does. */
struct wall_time sched_pools_next(const struct sched_pools *all);

uint32_t sched_seat_granted(const struct sched_seat *s, bool external);
void sched_seat_use(struct sched_seat *s, bool external, bool by_grant);
/* Its limits let it take nothing of what is due, or there is nothing: its grants are given back, and it rests. */
void sched_seat_decline(struct sched_seat *s);
/* A seat whose load was told long ago and that had used something: its owner tells it anew. NULL: none. */
void *sched_pools_stale(struct sched_pools *all, struct wall_time now);
