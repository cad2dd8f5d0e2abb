/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sched/order.h"

#include "base/list.h"

/*
 * Queues: which door the mail of a queue leaves by now. Flows that always go the same way (of one queue, to the same side of the
 * tenant's border, of one sender that is held somewhere) are a lot; a lot stands at a door. A change of a door looks only at lots that stand
 * there or have passed it. Pure.
 */
struct sched_queues;
struct sched_door; /* a taker, as the queues see it */
struct sched_lot;
struct sched_pool;
struct sched_seat;
struct sched_seat_state;

NODISCARD struct sched_queues *sched_queues_new(uint64_t seed, struct sched_order *owner);
/* No lot is left. */
void sched_queues_free(struct sched_queues *q);
struct sched_member *sched_queues_member(struct sched_queues *q, struct sv key);
struct sched_order *sched_member_order(const struct sched_member *m);
/* The lots that name it, one after the other; `last` NULL: the first. NULL: no more. */
struct sched_lot *sched_member_lot(const struct sched_member *m, const struct sched_lot *last);

/* Of a mailbox: its place in a pool, NULL: none. Of a pool's member: the pool. */
struct sched_seat *sched_member_seat(const struct sched_member *m);
void sched_member_set_seat(struct sched_member *m, struct sched_seat *seat);
void sched_member_set_pool(struct sched_member *m, struct sched_pool *pool);
struct sched_seat_state sched_member_stand(const struct sched_member *m); /* as its pool sees it */

struct sched_door *sched_member_door(const struct sched_member *m,
	const struct sched_door *last); /* the next after `last` (NULL: the first); NULL: no more */

struct sched_door *sched_door_new(struct sched_member *m, uint32_t rank, struct sched_taker *taker);
void sched_door_free(struct sched_door *d);
struct sched_taker *sched_door_taker(const struct sched_door *d);
const struct sched_taker_state *sched_door_state(const struct sched_door *d);
void sched_door_set(struct sched_door *d, const struct sched_taker_state *s);
void sched_door_rank(struct sched_door *d, uint32_t rank);
void sched_door_hold(struct sched_door *d, struct sv sender, bool held);
/* Does it take mail now: all, or that to the outside? */
bool sched_door_takes(const struct sched_door *d, bool external);

/* Made at first use, by the key of one of its flows. */
struct sched_lot *sched_lot_get(struct sched_queues *q, const struct mail_flow *key);
void sched_lot_free(struct sched_lot *lot);          /* its list of flows is empty */
struct list *sched_lot_flows(struct sched_lot *lot); /* kept by whoever knows what a flow is */
/*
 * The door that its mail leaves by, or waits at until a hold ends. Where all are passed: the first that is configured. NULL: none
 * is.
 */
struct sched_door *sched_lot_door(const struct sched_lot *lot);
/* Mail of a pool that one of its mailboxes has to carry. */
bool sched_lot_is_bond(const struct sched_lot *lot);
bool sched_lot_is_stopped(const struct sched_lot *lot); /* its sender is held there, or its pool */
/* The pool that is stopped, of mail that one of its mailboxes has to carry; NULL: it is not that. */
struct sched_pool *sched_lot_stopping_pool(const struct sched_lot *lot);
/* The doors that it has passed and could have: the next after `last` (NULL: the first); NULL: no more. */
struct sched_door *sched_lot_passed(const struct sched_lot *lot, const struct sched_door *last);
/* The lots that have passed a door, likewise. */
struct sched_lot *sched_door_passed(const struct sched_door *d, const struct sched_lot *last);
/* A lot that may stand elsewhere since it was asked last, have passed others, or be stopped, or no more; NULL: none. */
struct sched_lot *sched_queues_moved(struct sched_queues *q);
