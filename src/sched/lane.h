/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/time.h"
#include "sched/retry.h"

#include <stdbool.h>

/* The state of one lane: may it deliver now, and when again. Pure. What its limits leave is limit/book.h's. */
struct sched_lane;

enum sched_lane_state {
	SCHED_LANE_READY,
	SCHED_LANE_WAITING, /* until a time: then ready again */
	SCHED_LANE_PARKED,  /* until somebody fixes it; a probe finds out */
	SCHED_LANE_PROBING, /* parked, and its probe is due: one message may try */
};
const char *sched_lane_state_name(enum sched_lane_state state); /* "ready", "waiting", "parked" */

NODISCARD struct sched_lane *sched_lane_new(void);
void sched_lane_free(struct sched_lane *l);

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
