/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "limit/book.h"
#include "sched/room.h"
#include "sched/test_order.h"

/* A mailbox with windows, whose messages leave one by one, for tests of what its limits let through. */

struct mailbox {
	struct limit_book *book;
	struct limit_set limits;
	struct sched_order *order;
	struct sched_taker *taker;
	struct sched_better better;
	struct limit_entry entries[LIMIT_ENTRIES_MAX];
};

static inline void mailbox_open(
	struct mailbox *m, struct mono_time now, uint32_t minute, uint32_t day)
{
	*m = (struct mailbox){ .book = limit_book_new(0, now), .order = sched_order_new(1) };
	limit_set_add(&m->limits,
		limit_book_of_lane(m->book, SV("submission/a@contoso.com")),
		LIMIT_ALL,
		LIMIT_BOTH);
	limit_scope_set(m->limits.parts[0].scope, &(struct limit_caps){ minute, day });
	m->taker = door(m->order, "m:a", 0);
}

static inline void mailbox_close(struct mailbox *m)
{
	sched_order_free(m->order);
	limit_book_free(m->book);
}

/* Takes a message of one recipient, if it may; its reply comes at once. Its flow; NULL: none may. */
static inline struct sched_flow *mailbox_leave(
	struct mailbox *m, struct mono_time now, struct wall_time wall)
{
	const struct limit_use use = limit_set_use(&m->limits, LIMIT_BOTH, now);
	const struct sched_room room = sched_room_of(
		limit_set_room(&m->limits, LIMIT_BOTH, now, 1), &use, &m->better, now);
	struct wall_time next = SCHED_NEVER;
	struct limit_slots slots = { .count = 0 };
	struct sched_pick p;

	if (!sched_pick(m->taker, wall, &room, &p))
		return NULL;
	(void)limit_slots_take(&slots, &m->limits, LIMIT_BOTH, now, 1, m->entries);
	(void)limit_slots_settle(&slots, now, m->entries);
	if (sched_flow_waiting(p.flow) > 1)
		next.us = 0;
	sched_took(&p, 1, next);
	return p.flow;
}
