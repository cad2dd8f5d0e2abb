/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "limit/book.h"

/*
 * All scopes that a message counts in: of Exchange, the account that signs in by the minute, the mailbox in From by the
 * day, and its tenant for what goes to the outside. A message leaves when each of them has room, and holds a slot of
 * each. All recipients of a message that is taken are of one side (mail/flow.h).
 */
enum limit_side {
	LIMIT_BOTH, /* of a part: it counts all */
	LIMIT_INTERNAL,
	LIMIT_EXTERNAL,
};
struct limit_set {
	struct limit_part parts[LIMIT_PARTS_MAX]; /* the first is its own mailbox or connector */
	size_t count;
};
void limit_set_add(
	struct limit_set *set, struct limit_scope *s, unsigned windows, enum limit_side side);

/* One of its parts that others count in, too, has a limit. */
bool limit_set_shares(const struct limit_set *set);

/* As limit_part_...(), of the parts that count this side. */
uint32_t limit_set_room(
	const struct limit_set *set, enum limit_side side, struct mono_time now, uint32_t wanted);
uint32_t limit_set_messages(
	const struct limit_set *set, enum limit_side side, struct mono_time now);
struct mono_time limit_set_free_at(const struct limit_set *set, enum limit_side side,
	struct mono_time now, uint32_t messages, uint32_t recipients);
/* When there is room for one more message; `now` if there is. */
struct mono_time limit_set_room_at(
	const struct limit_set *set, enum limit_side side, struct mono_time now);
/* Of each window, that of the part which has the least left of it. */
struct limit_use limit_set_use(
	const struct limit_set *set, enum limit_side side, struct mono_time now);

/* What one message holds; all zero: nothing. Calls and entries as limit_slot_...(). */
struct limit_slots {
	struct limit_slot slots[LIMIT_PARTS_MAX];
	size_t count;
};
size_t limit_slots_take(struct limit_slots *slots, const struct limit_set *set,
	enum limit_side side, struct mono_time now, uint32_t recipients,
	struct limit_entry out[LIMIT_ENTRIES_MAX]);
void limit_slots_shrink(struct limit_slots *slots, uint32_t recipients);
size_t limit_slots_settle(
	struct limit_slots *slots, struct mono_time now, struct limit_entry out[LIMIT_ENTRIES_MAX]);
size_t limit_slots_expect(struct limit_slots *slots, struct mono_time latest,
	struct limit_entry out[LIMIT_ENTRIES_MAX]);
size_t limit_slots_withdraw(struct limit_slots *slots, struct limit_entry *out);
/* An attempt of an earlier life. Which side its recipients were of nobody knows: they count on both. */
size_t limit_set_expect(const struct limit_set *set, struct mono_time latest, uint32_t recipients,
	struct limit_entry out[LIMIT_ENTRIES_MAX]);
