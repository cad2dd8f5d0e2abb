/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/look.h"

#define LOOK_US_MAX US_PER_DAY
#define LOOK_PARKED_US US_PER_HOUR

enum {
	PAUSE_FACTOR = 4
};
#define PAUSE_US_MAX US_PER_MIN

static struct wall_time with_try(const struct sched_waiting *w, struct wall_time at)
{
	return at.us > w->started_at.us ? at : wall_add(w->started_at, (int64_t)w->try_us);
}

static struct wall_time earlier(struct wall_time a, struct wall_time b)
{
	return a.us < b.us ? a : b;
}

struct wall_time sched_look_first(
	struct wall_time accepted_at, struct wall_time expires_at, uint64_t notice_us)
{
	return notice_us ? earlier(wall_add(accepted_at, (int64_t)notice_us), expires_at)
			 : expires_at;
}

enum sched_look sched_look(
	const struct sched_waiting *w, struct wall_time now, struct wall_time *out_next)
{
	struct wall_time own = with_try(w, w->expires_at), ends = w->expires_at;
	struct wall_time parked = wall_add(w->accepted_at, (int64_t)w->parked_expire_us);
	struct wall_time notice = wall_add(w->accepted_at, (int64_t)w->notice_us);
	struct wall_time next;

	if (w->parked && ends.us < parked.us)
		ends = parked;
	ends = with_try(w, ends);
	if (w->class_end.us) {
		ends = earlier(ends, w->class_end);
		own = earlier(own, w->class_end);
	}
	notice = with_try(w, notice);
	if (now.us >= ends.us)
		return SCHED_LOOK_EXPIRE;
	next = now.us < own.us ? own : earlier(ends, wall_add(now, LOOK_PARKED_US));
	next = earlier(next, wall_add(now, LOOK_US_MAX));
	*out_next = next;
	if (w->notice_us == 0 || w->noticed)
		return SCHED_LOOK_LATER;
	if (now.us >= notice.us)
		return SCHED_LOOK_NOTICE;
	*out_next = earlier(notice, next);
	return SCHED_LOOK_LATER;
}

uint64_t sched_look_pause(uint64_t took_us)
{
	return took_us < PAUSE_US_MAX / PAUSE_FACTOR ? took_us * PAUSE_FACTOR : PAUSE_US_MAX;
}
