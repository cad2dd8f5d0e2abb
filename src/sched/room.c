/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/room.h"

#include "base/number.h"

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

struct limit_use sched_room_bulk_use(
	const struct limit_use *use, const struct sched_better *better, struct mono_time now)
{
	struct limit_use out = *use;

	if (!expects_better(better, now))
		return out;
	out.minute.capacity -= headroom(use->minute.capacity, OF_MINUTE);
	out.hour.capacity -= headroom(use->hour.capacity, OF_MINUTE);
	out.day.capacity -= headroom(use->day.capacity, OF_DAY);
	return out;
}

static uint32_t left(uint32_t used, uint32_t capacity)
{
	if (capacity == 0)
		return UINT32_MAX;
	return used < capacity ? capacity - used : 0;
}

struct sched_room sched_room_of(uint32_t room, const struct limit_use *use,
	const struct sched_better *better, struct mono_time now)
{
	const struct limit_use bulk = sched_room_bulk_use(use, better, now);
	uint32_t of_day = u32_min(room,
		u32_min(left(bulk.day.used, bulk.day.capacity),
			left(bulk.hour.used, bulk.hour.capacity)));

	return (struct sched_room){
		.wanted = room,
		.wanted_bulk = left(bulk.minute.used, bulk.minute.capacity) ? of_day : 0,
		.wanted_turn = of_day,
	};
}

struct mono_time sched_room_bulk_at(const struct limit_set *set, enum limit_side side,
	const struct sched_better *better, struct mono_time now)
{
	const struct limit_use use = limit_set_use(set, side, now);
	struct mono_time at;

	if (!expects_better(better, now))
		return limit_set_room_at(set, side, now);
	at = limit_set_free_at(set,
		side,
		now,
		headroom(use.minute.capacity, OF_MINUTE) + 1,
		headroom(use.day.capacity, OF_DAY) + 1);
	/* Then it may have all. */
	return mono_min(at, mono_add(better->at, SCHED_HEADROOM_MEMORY_US));
}
