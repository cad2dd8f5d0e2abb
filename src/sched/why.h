/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "limit/book.h"
#include "sched/order.h"

/*
 * Why waiting mail does not leave now, and about when it may: for people. "waits for the minute of erp@contoso.com; about 42 min at 24
 * per minute". Pure.
 *
 * First sched_why(), which knows holds, due times and turns; then, since only the owner of a taker knows its limits,
 * sched_why_limits() with those of `taker`.
 */
enum sched_why {
	SCHED_WHY_NO_DOOR, /* no member of its queue is configured */
	SCHED_WHY_CROWDED, /* as its owner says: none has a place yet (conf/made.h) */
	SCHED_WHY_HELD, /* `taker` is held, and lets nothing go elsewhere, or nobody else takes it */
	SCHED_WHY_EXTERNAL, /* `taker` takes no mail to the outside */
	SCHED_WHY_SENDER,   /* its sender is held on the member of `taker` */
	SCHED_WHY_DUE,      /* it was tried, and is tried again at `due` */
	SCHED_WHY_DAY,      /* a day's limit is used up */
	SCHED_WHY_HOUR,     /* an hour's */
	SCHED_WHY_MINUTE,   /* its minute; or what of it is not kept for better mail */
	SCHED_WHY_MONTH,    /* a month's budget */
	SCHED_WHY_TURN,     /* `ahead` recipients leave before it */
	SCHED_WHY_NEXT,     /* nothing: it is next, as soon as there is a connection */
};
const char *sched_why_name(enum sched_why why); /* "no-lane", "held", "minute" ... */

enum sched_limit {
	SCHED_LIMIT_NONE,
	SCHED_LIMIT_MINUTE,
	SCHED_LIMIT_HOUR,
	SCHED_LIMIT_DAY, /* of recipients */
	SCHED_LIMIT_DAY_MESSAGES,
	SCHED_LIMIT_MONTH,
};

struct sched_question {
	const struct sched_flow *flow;
	uint64_t before;      /* recipients of this flow that are before it; 0: it is the first */
	struct wall_time due; /* its own */
	struct wall_time now;
};

struct sched_reason {
	enum sched_why why;
	struct sched_taker *taker; /* NULL: SCHED_WHY_NO_DOOR */
	struct wall_time due;
	uint64_t ahead; /* about so many, of its own class and better ones */
	/* Of sched_why_limits(); before that, and where nobody can say: UINT64_MAX. From now on, about. */
	uint64_t wait_us;
	/* The one that makes it wait for so long, whose it is, and how many of these it lets go: messages a minute, recipients an hour
	 * or a day. */
	enum sched_limit binding;
	const struct limit_scope *binding_of;
	uint32_t rate;
};
struct sched_reason sched_why(const struct sched_question *q);

/*
 * `use`: of the windows of `r->taker`; for bulk sched_room_bulk_use(). `room_at`: when they have room for one more message of this class
 * (limit_set_room_at(); for bulk sched_room_bulk_at()). Each recipient ahead is counted as a message of its own, which is the worst case and the usual one. What is held or not
 * due stays as it is.
 */
void sched_why_limits(struct sched_reason *r, const struct limit_use *use, struct mono_time now,
	struct mono_time room_at);
