/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Two clocks that must never mix, hence two structs. Mono is CLOCK_BOOTTIME: it measures waiting and
 * limits, and no operator can turn it. Wall is CLOCK_REALTIME: it is written into headers, history
 * and the queue's due times, and may jump.
 */
struct mono_time {
	uint64_t us;
};

struct wall_time {
	int64_t us; /* since 1970-01-01 UTC */
};

#define US_PER_MS UINT64_C(1000)
#define US_PER_S UINT64_C(1000000)
#define US_PER_MIN (60 * US_PER_S)
#define US_PER_HOUR (3600 * US_PER_S)
#define US_PER_DAY (86400 * US_PER_S)

#define MONO_NEVER ((struct mono_time){ UINT64_MAX })

static inline bool mono_before(struct mono_time a, struct mono_time b)
{
	return a.us < b.us;
}

/* Saturates, so that MONO_NEVER plus anything stays never. */
static inline struct mono_time mono_add(struct mono_time t, uint64_t us)
{
	return (struct mono_time){ us > UINT64_MAX - t.us ? UINT64_MAX : t.us + us };
}

/* Microseconds from `from` to `to`; 0 when `to` is earlier. */
static inline uint64_t mono_span(struct mono_time from, struct mono_time to)
{
	return to.us > from.us ? to.us - from.us : 0;
}

static inline struct mono_time mono_min(struct mono_time a, struct mono_time b)
{
	return a.us < b.us ? a : b;
}

static inline struct wall_time wall_add(struct wall_time t, int64_t us)
{
	return (struct wall_time){ t.us + us };
}

/* Calendar fields of a wall time in UTC, without libc's locale or time zone. */
struct civil_time {
	int year, month, day; /* month and day from 1 */
	int hour, minute, second;
	int weekday; /* 0 = Sunday */
	int micros;
};

struct civil_time wall_civil(struct wall_time t);

enum {
	WALL_RFC3339_MAX = 32,
	WALL_RFC5322_MAX = 40
};

/* "2026-11-23T20:22:17.123456Z", NUL-ended; returns `out`. */
const char *wall_rfc3339(struct wall_time t, char out[WALL_RFC3339_MAX]);
/* "Mon, 23 Nov 2026 20:22:17 +0000" (RFC 5322 3.3), NUL-ended; returns `out`. */
const char *wall_rfc5322(struct wall_time t, char out[WALL_RFC5322_MAX]);
/*
 * "2026-11-23", "2026-11-23T20:22:17" (or a space for the T; seconds and a fraction may be absent), then
 * "Z", "+01:00", " +01:00" or nothing, which is UTC. RC_PARSE.
 */
NODISCARD int wall_parse(struct sv text, struct wall_time *out_at);
/*
 * "Mon, 23 Nov 2026 21:22:17 +0100 (CET)": day of the week, seconds, zone and comment may be absent. A zone of letters is
 * taken as UTC (RFC 5322 4.3). RC_PARSE.
 */
NODISCARD int wall_parse_rfc5322(struct sv text, struct wall_time *out_at);
