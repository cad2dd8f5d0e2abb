/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The events to come, by the tick in which they happen: a wheel whose slots are lists. Putting and taking are
 * O(1), which a heap of ten thousand mailboxes is not. Events of one tick come in the order in which they were put.
 */
enum {
	WHEEL_TICKS_A_SECOND = 4,
};
struct wheel;

struct wheel_event {
	uint64_t tick;
	uint32_t kind, who;
};

NODISCARD struct wheel *wheel_new(void);
void wheel_free(struct wheel *w);
/* Not before the tick that is being taken. */
void wheel_put(struct wheel *w, const struct wheel_event *e);
/* The next one in order of time; false: none is left. */
NODISCARD bool wheel_take(struct wheel *w, struct wheel_event *out);
/* Whether another one happens in the tick of the last that was taken. */
bool wheel_has_more(const struct wheel *w);
