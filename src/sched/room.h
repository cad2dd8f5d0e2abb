/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "limit/set.h"
#include "mail/flow.h"
#include "sched/order.h"

/*
 * Headroom: bulk leaves a part of a mailbox to the better classes, or a password reset waits for a minute that newsletters have used
 * up. Of a minute a tenth, rounded up, but never the whole: at one message a minute the order by class alone decides. Of a day the
 * last fiftieth, rounded up. Of the minute it has its turn by weight all the same while better mail waits beside it, or such mail could
 * fill every minute and starve it. Only where mail of a better class left within a day: a mailbox that sends nothing but bulk has all of
 * it. Pure.
 */
#define SCHED_HEADROOM_MEMORY_US US_PER_DAY

/* When mail of a better class than bulk left by this mailbox last. All zero: not since the start. */
struct sched_better {
	bool ever;
	struct mono_time at;
};
void sched_better_left(struct sched_better *b, enum mail_class class, struct mono_time now);

/* `room`: recipients that the next message may carry by all of its limits (limit_set_room()). */
struct sched_room sched_room_of(uint32_t room, const struct limit_use *use,
	const struct sched_better *better, struct mono_time now);
/* The limits as they are for bulk. */
struct limit_use sched_room_bulk_use(
	const struct limit_use *use, const struct sched_better *better, struct mono_time now);
/* When bulk may have room for one more message, if nothing else leaves; `now` if it has. (For all others: limit_set_room_at().) */
struct mono_time sched_room_bulk_at(const struct limit_set *set, enum limit_side side,
	const struct sched_better *better, struct mono_time now);
