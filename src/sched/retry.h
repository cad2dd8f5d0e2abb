/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/rng.h"

#include <stdint.h>

/* When to try again: doubling from `first` to `ceiling`, a fifth of jitter either way. */
struct sched_retry {
	uint64_t first_us, ceiling_us;
};

/* The pause after attempt number `attempts` (1 for the first). Never 0. */
uint64_t sched_retry_pause(const struct sched_retry *r, uint32_t attempts, struct prng *rng);
