/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/lane.h"

#include "base/must.h"
#include "limit/window.h"

#include <stdlib.h>

enum {
	DAY_BUCKET_US = 5 * 60 * 1000000,
};
#define PROBE_FIRST_US (5 * US_PER_MIN)
#define PROBE_CEILING_US US_PER_HOUR

struct sched_lane {
	struct sched_lane_limits limits;
	/* NULL: there was no limit yet. Without one now they count what is settled, and stop nothing. */
	struct limit_window *minute, *day;
	/* Reserved in these windows: less than what is under way when a limit came later than that. */
	uint32_t minute_open, day_open;
	enum sched_lane_state state; /* READY, WAITING or PARKED */
	struct mono_time until;
	uint32_t holds; /* in a row */
};

const char *sched_lane_state_name(enum sched_lane_state state)
{
	static const char *const names[] = { "ready", "waiting", "parked", "parked" };

	return names[state];
}

static void set_window(
	struct limit_window **w, uint32_t capacity, uint64_t length_us, uint64_t bucket_us)
{
	if (capacity == 0)
		return;
	if (*w)
		limit_window_set_capacity(*w, capacity);
	else
		*w = limit_window_new(
			&(struct limit_window_options){ capacity, length_us, bucket_us });
}

/* The window where it is a limit; NULL: none. */
static struct limit_window *minute_of(const struct sched_lane *l)
{
	return l->limits.messages_per_minute ? l->minute : NULL;
}

static struct limit_window *day_of(const struct sched_lane *l)
{
	return l->limits.recipients_per_day ? l->day : NULL;
}

bool sched_lane_counts_messages(const struct sched_lane *l)
{
	return l->minute != NULL;
}

bool sched_lane_counts_recipients(const struct sched_lane *l)
{
	return l->day != NULL;
}

struct sched_lane *sched_lane_new(const struct sched_lane_limits *limits)
{
	struct sched_lane *l = xcalloc(1, sizeof(*l));

	sched_lane_set_limits(l, limits);
	l->until = MONO_NEVER;
	return l;
}

void sched_lane_free(struct sched_lane *l)
{
	if (!l)
		return;
	limit_window_free(l->minute);
	limit_window_free(l->day);
	free(l);
}

void sched_lane_set_limits(struct sched_lane *l, const struct sched_lane_limits *limits)
{
	l->limits = *limits;
	set_window(&l->minute, limits->messages_per_minute, US_PER_MIN, 0);
	set_window(&l->day, limits->recipients_per_day, US_PER_DAY, DAY_BUCKET_US);
}

/* ---- windows ---- */

uint32_t sched_lane_room(struct sched_lane *l, struct mono_time now, uint32_t wanted)
{
	uint32_t room = wanted;

	if (minute_of(l) && limit_window_room(l->minute, now) == 0)
		return 0;
	if (l->limits.recipients_per_message && room > l->limits.recipients_per_message)
		room = l->limits.recipients_per_message;
	if (day_of(l) && room > limit_window_room(l->day, now))
		room = limit_window_room(l->day, now);
	return room;
}

uint32_t sched_lane_messages_room(struct sched_lane *l, struct mono_time now)
{
	uint32_t minute = minute_of(l) ? limit_window_room(l->minute, now) : UINT32_MAX;
	uint32_t day = day_of(l) ? limit_window_room(l->day, now) : UINT32_MAX;

	return minute < day ? minute : day;
}

struct mono_time sched_lane_room_at(struct sched_lane *l, struct mono_time now)
{
	struct mono_time at = now, day;

	if (minute_of(l))
		at = limit_window_room_at(l->minute, now, 1);
	day = day_of(l) ? limit_window_room_at(l->day, now, 1) : now;
	return mono_before(at, day) ? day : at;
}

void sched_lane_reserve(struct sched_lane *l, struct mono_time now, uint32_t recipients)
{
	if (minute_of(l)) {
		limit_window_reserve(l->minute, now, 1);
		l->minute_open++;
	}
	if (day_of(l)) {
		limit_window_reserve(l->day, now, recipients);
		l->day_open += recipients;
	}
}

static uint32_t take_open(uint32_t *open, uint32_t wanted)
{
	uint32_t n = wanted < *open ? wanted : *open;

	*open -= n;
	return n;
}

void sched_lane_settle(struct sched_lane *l, struct mono_time now, uint32_t recipients)
{
	uint32_t n;

	if (l->minute) {
		n = take_open(&l->minute_open, 1);
		limit_window_settle(l->minute, now, n);
		limit_window_restore(l->minute, mono_add(now, US_PER_MIN), 1 - n);
	}
	if (l->day) {
		n = take_open(&l->day_open, recipients);
		limit_window_settle(l->day, now, n);
		limit_window_restore(l->day, mono_add(now, US_PER_DAY), recipients - n);
	}
}

void sched_lane_withdraw(struct sched_lane *l, uint32_t recipients)
{
	if (l->minute)
		limit_window_withdraw(l->minute, take_open(&l->minute_open, 1));
	if (l->day)
		limit_window_withdraw(l->day, take_open(&l->day_open, recipients));
}

void sched_lane_restore_messages(struct sched_lane *l, struct mono_time used_at, uint32_t n)
{
	set_window(&l->minute, l->minute ? 0 : 1, US_PER_MIN, 0);
	limit_window_restore(l->minute, mono_add(used_at, US_PER_MIN), n);
}

void sched_lane_restore_recipients(struct sched_lane *l, struct mono_time used_at, uint32_t n)
{
	set_window(&l->day, l->day ? 0 : 1, US_PER_DAY, DAY_BUCKET_US);
	limit_window_restore(l->day, mono_add(used_at, US_PER_DAY), n);
}

struct sched_lane_use sched_lane_use(struct sched_lane *l, struct mono_time now)
{
	return (struct sched_lane_use){
		.minute_used = minute_of(l) ? limit_window_used(l->minute, now) : 0,
		.minute_capacity = minute_of(l) ? limit_window_capacity(l->minute) : 0,
		.day_used = day_of(l) ? limit_window_used(l->day, now) : 0,
		.day_capacity = day_of(l) ? limit_window_capacity(l->day) : 0,
	};
}

/* ---- state ---- */

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
