/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/set.h"

#include "base/must.h"

void limit_set_add(
	struct limit_set *set, struct limit_scope *s, unsigned windows, enum limit_side side)
{
	must(set->count < LIMIT_PARTS_MAX);
	set->parts[set->count++] = (struct limit_part){ s, (uint8_t)windows, (uint8_t)side };
}

bool limit_set_shares(const struct limit_set *set)
{
	bool any = false;

	for (size_t i = 1; i < set->count; i++)
		any |= limit_part_stops(&set->parts[i]);
	return any;
}

static bool counts(const struct limit_part *p, enum limit_side side)
{
	return p->side == LIMIT_BOTH || side == LIMIT_BOTH || p->side == side;
}

uint32_t limit_set_room(
	const struct limit_set *set, enum limit_side side, struct mono_time now, uint32_t wanted)
{
	for (size_t i = 0; i < set->count; i++)
		if (counts(&set->parts[i], side))
			wanted = limit_part_room(&set->parts[i], now, wanted);
	return wanted;
}

uint32_t limit_set_messages(const struct limit_set *set, enum limit_side side, struct mono_time now)
{
	uint32_t least = UINT32_MAX;

	for (size_t i = 0; i < set->count; i++) {
		uint32_t n = counts(&set->parts[i], side) ? limit_part_messages(&set->parts[i], now)
							  : UINT32_MAX;

		least = n < least ? n : least;
	}
	return least;
}

struct mono_time limit_set_free_at(const struct limit_set *set, enum limit_side side,
	struct mono_time now, uint32_t messages, uint32_t recipients)
{
	struct mono_time at = now;

	for (size_t i = 0; i < set->count; i++) {
		struct mono_time free =
			counts(&set->parts[i], side)
				? limit_part_free_at(&set->parts[i], now, messages, recipients)
				: now;

		at = mono_before(at, free) ? free : at;
	}
	return at;
}

struct mono_time limit_set_room_at(
	const struct limit_set *set, enum limit_side side, struct mono_time now)
{
	return limit_set_free_at(set, side, now, 1, 1);
}

static uint32_t left(const struct limit_window_use *u)
{
	if (u->shut)
		return 0;
	return u->capacity == 0 ? UINT32_MAX : u->capacity > u->used ? u->capacity - u->used : 0;
}

static void keep_least(struct limit_window_use *all, const struct limit_window_use *its)
{
	if (its->of && (!all->of || left(its) < left(all) || (its->shut && !all->shut)))
		*all = *its;
}

struct limit_use limit_set_use(
	const struct limit_set *set, enum limit_side side, struct mono_time now)
{
	struct limit_use all = { 0 };

	for (size_t i = 0; i < set->count; i++) {
		struct limit_use its;

		if (!counts(&set->parts[i], side))
			continue;
		its = limit_part_use(&set->parts[i], now);
		keep_least(&all.minute, &its.minute);
		keep_least(&all.hour, &its.hour);
		keep_least(&all.day, &its.day);
		keep_least(&all.day_messages, &its.day_messages);
		keep_least(&all.month, &its.month);
	}
	return all;
}

/* ---- what a message holds ---- */

size_t limit_slots_take(struct limit_slots *slots, const struct limit_set *set,
	enum limit_side side, struct mono_time now, uint32_t recipients,
	struct limit_entry out[LIMIT_ENTRIES_MAX])
{
	size_t n = 0;

	slots->count = 0;
	for (size_t i = 0; i < set->count; i++)
		if (counts(&set->parts[i], side))
			n += limit_slot_take(&slots->slots[slots->count++],
				&set->parts[i],
				now,
				recipients,
				out + n);
	return n;
}

void limit_slots_shrink(struct limit_slots *slots, uint32_t recipients)
{
	for (size_t i = 0; i < slots->count; i++)
		limit_slot_shrink(&slots->slots[i], recipients);
}

size_t limit_slots_settle(
	struct limit_slots *slots, struct mono_time now, struct limit_entry out[LIMIT_ENTRIES_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < slots->count; i++)
		n += limit_slot_settle(&slots->slots[i], now, out + n);
	slots->count = 0;
	return n;
}

size_t limit_slots_expect(struct limit_slots *slots, struct mono_time latest,
	struct limit_entry out[LIMIT_ENTRIES_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < slots->count; i++)
		n += limit_slot_expect(&slots->slots[i], latest, out + n);
	slots->count = 0;
	return n;
}

size_t limit_slots_withdraw(struct limit_slots *slots, struct limit_entry *out)
{
	size_t n = 0;

	for (size_t i = 0; i < slots->count; i++)
		n += limit_slot_withdraw(&slots->slots[i], out ? out + n : NULL);
	slots->count = 0;
	return n;
}

size_t limit_set_expect(const struct limit_set *set, struct mono_time latest, uint32_t recipients,
	struct limit_entry out[LIMIT_ENTRIES_MAX])
{
	for (size_t i = 0; i < set->count; i++)
		out[i] = limit_part_expect(&set->parts[i], latest, recipients);
	return set->count;
}
