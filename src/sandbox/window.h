/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * A sliding window as the receiver keeps it: what was counted, and when, to the microsecond. All zero: empty. It shares
 * nothing with limit/window.h, as the one is here to find the faults of the other.
 */
struct sandbox_window {
	struct sandbox_counted {
		uint64_t at_us;
		uint32_t n;
	} * ring;              /* oldest first */
	size_t head, len, cap; /* cap: a power of two */
	uint64_t sum;
};

void sandbox_window_deinit(struct sandbox_window *w); /* empty, and usable again */
/* What was counted in the `length_us` before `now_us`; what is older goes. */
uint64_t sandbox_window_used(struct sandbox_window *w, uint64_t now_us, uint64_t length_us);
/* `at_us` is not before any that was counted. */
void sandbox_window_add(struct sandbox_window *w, uint64_t at_us, uint32_t n);

/* Others who spend the same limit beside us, evenly. */
struct sandbox_people {
	uint32_t per_hour; /* 0: nobody */
	uint64_t from_us;  /* counted until then */
};
/* What they have spent until `now_us`. */
void sandbox_people_spend(
	struct sandbox_people *p, struct sandbox_window *w, uint64_t now_us, uint64_t length_us);
