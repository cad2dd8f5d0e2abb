/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/lane.h"

#include "base/must.h"

#include <stdlib.h>

#define PROBE_FIRST_US (5 * US_PER_MIN)
#define PROBE_CEILING_US US_PER_HOUR

struct sched_lane {
	enum sched_lane_state state; /* READY, WAITING or PARKED */
	struct mono_time until;
	uint32_t holds; /* in a row */
};

const char *sched_lane_state_name(enum sched_lane_state state)
{
	static const char *const names[] = { "ready", "waiting", "parked", "parked" };

	return names[state];
}

struct sched_lane *sched_lane_new(void)
{
	struct sched_lane *l = xcalloc(1, sizeof(*l));

	l->until = MONO_NEVER;
	return l;
}

void sched_lane_free(struct sched_lane *l)
{
	free(l);
}

enum sched_lane_state sched_lane_state(const struct sched_lane *l, struct mono_time now)
{
	bool over = !mono_before(now, l->until);

	if (l->state == SCHED_LANE_WAITING && over)
		return SCHED_LANE_READY;
	if (l->state == SCHED_LANE_PARKED && over)
		return SCHED_LANE_PROBING;
	return l->state;
}

struct mono_time sched_lane_until(const struct sched_lane *l)
{
	return l->state == SCHED_LANE_READY ? MONO_NEVER : l->until;
}

static uint64_t hold(struct sched_lane *l, enum sched_lane_state state, struct mono_time now,
	uint64_t least_us, const struct sched_retry *retry, struct prng *rng)
{
	bool stopped = l->state == SCHED_LANE_PARKED && l->until.us == MONO_NEVER.us;
	/* Several connections hear the same refusal: while a hold is in force, that is no second one. */
	bool held = l->state >= state && mono_before(now, l->until);
	uint64_t pause;

	if (stopped)
		return UINT64_MAX;
	pause = held ? mono_span(now, l->until) : sched_retry_pause(retry, ++l->holds, rng);
	if (pause < least_us)
		pause = least_us;
	/* A lane that is parked stays parked: the probe may hear of something else than the park. */
	if (l->state < state)
		l->state = state;
	l->until = mono_add(now, pause);
	return pause;
}

uint64_t sched_lane_wait(struct sched_lane *l, struct mono_time now, uint64_t least_us,
	const struct sched_retry *retry, struct prng *rng)
{
	return hold(l, SCHED_LANE_WAITING, now, least_us, retry, rng);
}

uint64_t sched_lane_park(
	struct sched_lane *l, struct mono_time now, uint64_t least_us, struct prng *rng)
{
	const struct sched_retry probes = { least_us ? least_us : PROBE_FIRST_US,
		least_us > PROBE_CEILING_US ? least_us : PROBE_CEILING_US };

	return hold(l, SCHED_LANE_PARKED, now, least_us, &probes, rng);
}

void sched_lane_stop(struct sched_lane *l)
{
	l->state = SCHED_LANE_PARKED;
	l->until = MONO_NEVER;
	l->holds++;
}

void sched_lane_clear(struct sched_lane *l)
{
	l->state = SCHED_LANE_READY;
	l->until = MONO_NEVER;
	l->holds = 0;
}

void sched_lane_probe_now(struct sched_lane *l, struct mono_time now)
{
	if (l->state != SCHED_LANE_READY)
		l->until = now;
}
