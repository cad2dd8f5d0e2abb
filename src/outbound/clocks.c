/* SPDX-License-Identifier: Apache-2.0 */
#include "outbound/outbound_priv.h"

/* Time as mail has it: when it is due, how old it is, when it is tried again; and what ended uncertain, by the hour. */
#define DOUBT_US_MAX US_PER_DAY
#define DOUBT_EVERY_US US_PER_MIN
#define CLOCK_STEP_US US_PER_MIN /* smaller steps of the clock are followed */

/* A disk that is busy is soon well again; a damaged page never is. */
#define QUEUE_PAUSE_US US_PER_S
enum {
	TROUBLE_DOUBLINGS = 2,
	DAMAGE_DOUBLINGS = 6,
};

struct wall_time outbound_due_now(struct outbound *o)
{
	struct wall_time wall = io_wall(o->loop);
	struct mono_time mono = io_now(o->loop);
	int64_t expected =
		o->last_wall.us + o->due_ahead_us + (int64_t)mono_span(o->last_mono, mono);

	/* The wall clock was turned back: mail that is due stays due. Small steps are followed. */
	o->due_ahead_us = expected - wall.us > (int64_t)US_PER_S ? expected - wall.us : 0;
	o->last_wall = wall;
	o->last_mono = mono;
	return wall_add(wall, o->due_ahead_us);
}

/* A clock that was far ahead at the start, and that no time server has set, is believed after a day. */
static bool is_doubtful(struct outbound *o, uint64_t ran)
{
	if (o->doubtful_us == 0)
		return false;
	if (ran >= DOUBT_US_MAX)
		o->doubtful_us = 0;
	else if (mono_span(o->doubted_at, io_now(o->loop)) >= DOUBT_EVERY_US) {
		o->doubted_at = io_now(o->loop);
		if (io_clock_is_synced())
			o->doubtful_us = 0;
	}
	return o->doubtful_us != 0;
}

struct wall_time outbound_age_now(struct outbound *o)
{
	struct wall_time wall = io_wall(o->loop), most;
	struct mono_time now = io_now(o->loop);
	uint64_t ran = mono_span(o->first_mono, now);

	/* A clock is slewed by half a thousandth at most. */
	most = wall_add(o->first_wall, (int64_t)(ran + ran / 1000 + CLOCK_STEP_US));
	if (is_doubtful(o, ran))
		most = wall_add(most, -(int64_t)o->doubtful_us);
	return wall.us < most.us ? wall : most;
}

uint64_t outbound_queue_pause(int rc, unsigned failures)
{
	unsigned most = rc == RC_CORRUPT ? DAMAGE_DOUBLINGS : TROUBLE_DOUBLINGS;
	unsigned doublings = failures > most ? most : failures;

	return QUEUE_PAUSE_US << doublings;
}

struct sched_policy outbound_policy(const struct outbound *o)
{
	const struct conf_general *g = conf_general(o->conf);

	return (struct sched_policy){ .retry = { g->retry_first_us, g->retry_ceiling_us },
		.uncertain = g->uncertain == CONF_UNCERTAIN_HOLD ? SCHED_UNCERTAIN_HOLD
			     : g->uncertain == CONF_UNCERTAIN_ASSUME_SENT
				     ? SCHED_UNCERTAIN_ASSUME_SENT
				     : SCHED_UNCERTAIN_RETRY };
}

/* ---- what ended uncertain ---- */

static int64_t hour_of(const struct outbound *o)
{
	return io_wall(o->loop).us / (int64_t)US_PER_HOUR;
}

void outbound_count_uncertain(struct outbound *o, uint64_t recipients)
{
	int64_t hour = hour_of(o);
	size_t at = (size_t)(hour % HOURS_KEPT);

	if (o->uncertain[at].hour != hour)
		o->uncertain[at].count = 0;
	o->uncertain[at].hour = hour;
	o->uncertain[at].count += recipients;
}

uint64_t outbound_uncertain_day(const struct outbound *o)
{
	int64_t hour = hour_of(o);
	uint64_t count = 0;

	for (size_t i = 0; i < HOURS_KEPT; i++)
		if (o->uncertain[i].hour > hour - HOURS_KEPT)
			count += o->uncertain[i].count;
	return count;
}
