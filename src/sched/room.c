/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/room.h"

enum {
	OF_MINUTE = 10, /* a tenth */
	OF_DAY = 50,
};

void sched_better_left(struct sched_better *b, enum mail_class class, struct mono_time now)
{
	if (class == MAIL_CLASS_BULK)
		return;
	b->ever = true;
	b->at = now;
}

static bool expects_better(const struct sched_better *b, struct mono_time now)
{
	return b->ever && mono_span(b->at, now) < SCHED_HEADROOM_MEMORY_US;
}

/* Of a limit: nothing at 1, where who goes first is a matter of classes. */
static uint32_t headroom(uint32_t capacity, uint32_t part)
{
	uint32_t kept = capacity / part + (capacity % part != 0);

	if (capacity == 0)
		return 0;
	return kept < capacity ? kept : capacity - 1;
}

struct sched_room sched_room_of(uint32_t room, const struct limit_use *use,
	const struct sched_better *better, struct mono_time now)
{
	struct sched_room out = { .wanted = room, .wanted_bulk = room };
	uint32_t minute = use->minute_capacity - headroom(use->minute_capacity, OF_MINUTE);
	uint32_t day = use->day_capacity - headroom(use->day_capacity, OF_DAY);

	if (!expects_better(better, now))
		return out;
	if (use->minute_capacity > 0 && use->minute_used >= minute)
		out.wanted_bulk = 0;
	if (use->day_capacity > 0) {
		uint32_t left = use->day_used < day ? day - use->day_used : 0;

		out.wanted_bulk = out.wanted_bulk < left ? out.wanted_bulk : left;
	}
	return out;
}

struct mono_time sched_room_bulk_at(
	struct limit_scope *s, const struct sched_better *better, struct mono_time now)
{
	const struct limit_use use = limit_scope_use(s, now);
	struct mono_time at;

	if (!expects_better(better, now))
		return limit_scope_room_at(s, now);
	at = limit_scope_free_at(s,
		now,
		headroom(use.minute_capacity, OF_MINUTE) + 1,
		headroom(use.day_capacity, OF_DAY) + 1);
	/* Then it may have all. */
	return mono_min(at, mono_add(better->at, SCHED_HEADROOM_MEMORY_US));
}
