/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/observed.h"

enum {
	OTHERS_MAX = UINT32_MAX / 4,
	/* Of the threshold, in an hour: so much they are taken to spend where they have spent less of late, since they may begin. */
	LEAST_PART = 100,
};

static uint32_t most(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* In an hour: a quarter more than was seen, and one that may have come just after. */
static uint32_t growth_of(uint32_t before, uint32_t now, uint64_t span_us)
{
	uint64_t n;

	if (now <= before || span_us == 0)
		return 0;
	n = ((uint64_t)(now - before + 1) * US_PER_HOUR * 5 / 4 + span_us - 1) / span_us;
	return n < OTHERS_MAX ? (uint32_t)n : OTHERS_MAX;
}

void limit_observed_take(struct limit_observed *o, const struct limit_observation *seen)
{
	uint32_t others = seen->observed > seen->ours ? seen->observed - seen->ours : 0;
	bool first = o->at.us == 0 || !mono_before(o->at, seen->asked);
	uint32_t growth = first ? 0 : growth_of(o->others, others, mono_span(o->at, seen->asked));

	o->growth = most(growth, o->previous);
	o->previous = growth;
	o->threshold = seen->threshold;
	o->others = others < OTHERS_MAX ? others : OTHERS_MAX;
	o->at = seen->asked;
	o->wall = seen->wall;
}

uint32_t limit_observed_others(const struct limit_observed *o, struct mono_time now)
{
	uint64_t span = o->at.us && mono_before(o->at, now) ? mono_span(o->at, now) : 0, n;

	if (o->at.us == 0 || span >= US_PER_DAY)
		return 0;
	n = o->others +
	    ((uint64_t)most(o->growth, o->threshold / LEAST_PART) * span + US_PER_HOUR - 1) /
		    US_PER_HOUR;
	return n < OTHERS_MAX ? (uint32_t)n : OTHERS_MAX;
}
