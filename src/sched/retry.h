/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/rng.h"
#include "base/time.h"
#include "provider/verdict.h"

#include <stdint.h>

/* When to try again: doubling from `first` to `ceiling`, a fifth of jitter either way. */
struct sched_retry {
	uint64_t first_us, ceiling_us;
};
/* Where only the line broke the first pause is no longer than that: most outages last seconds, and a try costs nobody
 * anything. */
#define SCHED_RETRY_OF_LINE_US (5 * US_PER_S)
struct sched_retry sched_retry_after(const struct sched_retry *r, const struct verdict *v);

/* The pause after attempt number `attempts` (1 for the first). Never 0. */
uint64_t sched_retry_pause(const struct sched_retry *r, uint32_t attempts, struct prng *rng);

/* One back-off: pauses that grow as long as nothing succeeds. All zero: nothing has failed. */
struct sched_backoff {
	uint32_t in_row;
	struct mono_time until;
};
/* Once more; at least `least_us`. Returns the pause. */
uint64_t sched_backoff_fail(struct sched_backoff *b, const struct sched_retry *r, uint64_t least_us,
	struct mono_time now, struct prng *rng);
/* No other failure, but it is to last at least that long. */
void sched_backoff_lengthen(struct sched_backoff *b, uint64_t least_us, struct mono_time now);
