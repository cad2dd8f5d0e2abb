/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/time.h"
#include "mail/flow.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Whose turn it is at one taker: between classes by weight, between the principals of a class by recipients, between the flows of a
 * principal by due time. Start-time fair queueing: each class, and each principal in it, has a clock of its own that advances by what it
 * was given; the one whose clock is behind is next. A clock that has fallen behind the present, since there was nothing to give or it was
 * not allowed, is set to the present when its turn comes: nobody saves up. Pure.
 *
 * A principal without waiting mail is remembered until the present has reached its clock, so that who sends one large message at a
 * time has no more than others. Not longer: memory is what waits.
 */
struct sched_turns;
struct sched_share; /* a principal's of a class */

/* A flow's place, in the flow's storage. All zero: in none. */
struct sched_turn {
	struct heap_node node;
	struct sched_share *share; /* NULL: in none */
	bool external;
	uint64_t count;
};

/* A due time as the key of a heap. Signed, as the clock of the wall may be; the order stays. */
static inline uint64_t sched_due_key(struct wall_time t)
{
	return (uint64_t)t.us ^ (UINT64_C(1) << 63);
}

/* What a take costs a class: the inverse of its weight. */
uint64_t sched_class_stride(enum mail_class class);

/* It joins `home`, a list of the caller's. */
NODISCARD struct sched_turns *sched_turns_new(uint64_t seed, struct list *home);
/* No flow is in it. With takes under way it goes with the last of them. */
void sched_turns_free(struct sched_turns *all);
/* All that are left in `home`, and what is in them: no take will end, no flow will leave. */
void sched_turns_free_home(struct list *home);

/* `recipients`: so many are due. */
void sched_turn_enter(struct sched_turns *all, struct sched_turn *turn, const struct mail_flow *key,
	struct wall_time due, uint64_t recipients);
void sched_turn_leave(struct sched_turn *turn); /* nothing when it is in none */
void sched_turn_set(struct sched_turn *turn, struct wall_time due, uint64_t recipients);

/* Recipients that are due, to one side. */
uint64_t sched_turns_due(const struct sched_turns *all, bool external);
/*
 * About how many recipients leave before one that has `before` others of its flow before it: those of its own class, and of better
 * ones; by their weights, and by what its principal has of them.
 */
uint64_t sched_turns_ahead(
	const struct sched_turns *all, const struct mail_flow *key, uint64_t before);

/* Which classes may take, and to which side. */
struct sched_turn_rule {
	bool class[MAIL_CLASS_COUNT];
	bool internal, external;
};
/* NULL: none. */
struct sched_turn *sched_turns_next(
	const struct sched_turns *all, const struct sched_turn_rule *rule);
/* A take begins. It counts as one recipient until it ends, whichever flow the share has then. */
struct sched_share *sched_turn_begin(struct sched_turn *turn);
/* Once for each begin(). 0 recipients: it was no turn. */
void sched_share_end(struct sched_share *share, uint32_t recipients);
