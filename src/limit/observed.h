/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/time.h"

/*
 * What the receiver's own counter says of a day: what others have used beside us, as it was when it was asked and as it may have grown
 * since, and what there is of it. Others are people: they go on spending between two questions, as fast as they have at most of late.
 * Never too few at the time of the question; after a day without an answer nothing is known any more. Pure.
 */
struct limit_observed {
	uint32_t threshold;        /* 0: it was not said */
	uint32_t others;           /* at `at` */
	uint32_t growth, previous; /* in an hour: most of the last two spans; that of the last */
	struct mono_time at;       /* 0: nothing was observed */
	struct wall_time wall;     /* likewise, for people */
};

struct limit_observation {
	uint32_t observed, threshold;
	uint32_t ours; /* that were counted there for certain when it was asked */
	struct mono_time asked;
	struct wall_time wall;
};
void limit_observed_take(struct limit_observed *o, const struct limit_observation *seen);
uint32_t limit_observed_others(const struct limit_observed *o, struct mono_time now);
