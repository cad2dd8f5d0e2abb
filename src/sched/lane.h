/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/time.h"
#include "sched/retry.h"

#include <stdbool.h>

/*
 * What one lane may do now: its windows (limits as the receiver sees them, limit/window.h) and its state.
 * Pure. The owner reserves before dot release, settles at the final reply, withdraws what never left.
 */
struct sched_lane;

struct sched_lane_limits {
	uint32_t messages_per_minute;    /* after the share; 0: no limit */
	uint32_t recipients_per_day;     /* likewise */
	uint32_t recipients_per_message; /* 0: no limit */
};

enum sched_lane_state {
	SCHED_LANE_READY,
	SCHED_LANE_WAITING, /* until a time: then ready again */
	SCHED_LANE_PARKED,  /* until somebody fixes it; a probe finds out */
	SCHED_LANE_PROBING, /* parked, and its probe is due: one message may try */
};
const char *sched_lane_state_name(enum sched_lane_state state); /* "ready", "waiting", "parked" */

NODISCARD struct sched_lane *sched_lane_new(const struct sched_lane_limits *limits);
void sched_lane_free(struct sched_lane *l);
/* A limit that is taken away is counted on: it may come back within its window. */
void sched_lane_set_limits(struct sched_lane *l, const struct sched_lane_limits *limits);
/* Whether it counts messages by the minute, recipients by the day: it has, or had, a limit. */
bool sched_lane_counts_messages(const struct sched_lane *l);
bool sched_lane_counts_recipients(const struct sched_lane *l);

/*
 * How many of `wanted` recipients the next message may carry at `now`: 0 when nothing may leave. Looks at
 * the windows only; the state is the owner's next question.
 */
uint32_t sched_lane_room(struct sched_lane *l, struct mono_time now, uint32_t wanted);
/* How many messages, of a recipient each, could leave now; UINT32_MAX: no limit. */
uint32_t sched_lane_messages_room(struct sched_lane *l, struct mono_time now);
/* When the windows have room for one more message; `now` if they have. */
struct mono_time sched_lane_room_at(struct sched_lane *l, struct mono_time now);

void sched_lane_reserve(struct sched_lane *l, struct mono_time now, uint32_t recipients);
void sched_lane_settle(struct sched_lane *l, struct mono_time now, uint32_t recipients);
void sched_lane_withdraw(struct sched_lane *l, uint32_t recipients);
/* From the ledger: slots that were used before the start. Kept also where there is no limit, yet. */
void sched_lane_restore_messages(struct sched_lane *l, struct mono_time used_at, uint32_t n);
void sched_lane_restore_recipients(struct sched_lane *l, struct mono_time used_at, uint32_t n);

enum sched_lane_state sched_lane_state(const struct sched_lane *l, struct mono_time now);
/* When the state changes by itself; MONO_NEVER when it does not. */
struct mono_time sched_lane_until(const struct sched_lane *l);
/*
 * Each hold in a row lasts longer, by `retry`; at least `least_us`. What is heard while one is in force
 * belongs to it. Returns the pause; UINT64_MAX while it is stopped.
 */
uint64_t sched_lane_wait(struct sched_lane *l, struct mono_time now, uint64_t least_us,
	const struct sched_retry *retry, struct prng *rng);
uint64_t sched_lane_park(
	struct sched_lane *l, struct mono_time now, uint64_t least_us, struct prng *rng);
/* Parked without a probe, until probe_now(): a person must say so (reputation). */
void sched_lane_stop(struct sched_lane *l);
/* A message got through, or a person said so. */
void sched_lane_clear(struct sched_lane *l);
/* The next look is due now (an operator's `retry`). */
void sched_lane_probe_now(struct sched_lane *l, struct mono_time now);

struct sched_lane_use {
	uint32_t minute_used, minute_capacity; /* capacity 0: no limit */
	uint32_t day_used, day_capacity;
};
struct sched_lane_use sched_lane_use(struct sched_lane *l, struct mono_time now);
