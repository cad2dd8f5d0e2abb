/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/*
 * Pseudo-random numbers for jitter and simulation (xoshiro256**), never for secrets. Seeded by io/
 * from the kernel in the daemon, by the test from a printed seed.
 */
struct prng {
	uint64_t state[4];
};

void prng_seed(struct prng *r, uint64_t seed);
uint64_t prng_next(struct prng *r);
uint64_t prng_below(struct prng *r, uint64_t bound); /* 0 <= x < bound; bound > 0 */
