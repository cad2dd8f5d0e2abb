/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/look.h"

#define PAUSE_US_MIN US_PER_S
enum {
	PAUSE_FACTOR = 20 /* a twentieth of the time at most */
};

static struct wall_time with_try(const struct sched_waiting *w, struct wall_time at)
{
	return at.us > w->started_at.us ? at : wall_add(w->started_at, (int64_t)w->try_us);
}

enum sched_look sched_look(
	const struct sched_waiting *w, struct wall_time now, struct wall_time *out_next)
{
	struct wall_time ends = w->expires_at, parked = w->accepted_at, notice = w->accepted_at;

	parked = wall_add(parked, (int64_t)w->parked_expire_us);
	notice = wall_add(notice, (int64_t)w->notice_us);
	if (w->parked && ends.us < parked.us)
		ends = parked;
	ends = with_try(w, ends);
	notice = with_try(w, notice);
	if (now.us >= ends.us)
		return SCHED_LOOK_EXPIRE;
	*out_next = ends;
	if (w->notice_us == 0 || w->noticed)
		return SCHED_LOOK_LATER;
	if (now.us >= notice.us)
		return SCHED_LOOK_NOTICE;
	if (notice.us < ends.us)
		*out_next = notice;
	return SCHED_LOOK_LATER;
}

uint64_t sched_look_pause(uint64_t took_us)
{
	uint64_t pause = took_us * PAUSE_FACTOR;

	return pause < PAUSE_US_MIN ? PAUSE_US_MIN : pause;
}
