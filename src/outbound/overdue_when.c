/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/route.h"
#include "outbound/overdue.h"
#include "sched/look.h"

/* When mail is looked at for its age, and when all of a page is written. */
#define AFTER_START_US (10 * US_PER_S)  /* what can leave leaves first */
#define CLOCK_LOOK_US (15 * US_PER_MIN) /* the clock may be set in between */

void overdue_set_timer(struct overdue *v)
{
	struct outbound *o = v->o;
	struct mono_time now = io_now(o->loop);
	int64_t wait = v->at.us - outbound_age_now(o).us;
	struct mono_time at;

	if (!o->started || v->running || o->draining || v->at.us == INT64_MAX)
		return;
	at = mono_add(now,
		wait <= 0                       ? 0
		: wait > (int64_t)CLOCK_LOOK_US ? CLOCK_LOOK_US
						: (uint64_t)wait);
	io_timer_start(&v->timer, mono_before(at, v->from) ? v->from : at);
}

void overdue_lower(struct overdue *v, struct wall_time at)
{
	if (at.us < v->at.us)
		v->at = at;
}

void overdue_expect(struct outbound *o, struct wall_time at)
{
	struct overdue *v = o->overdue;

	if (at.us >= v->at.us)
		return;
	v->at = at;
	overdue_set_timer(v);
}

void overdue_expect_new(struct outbound *o)
{
	struct wall_time now = io_wall(o->loop);
	const struct conf_general *g = conf_general(o->conf);
	struct wall_time ends = wall_add(now, (int64_t)g->retry_expire_us);

	for (unsigned c = 0; c < MAIL_CLASS_COUNT; c++) {
		struct wall_time end = conf_class_end(o->conf, c, now);

		ends = end.us < ends.us ? end : ends;
	}
	overdue_expect(o, sched_look_first(now, ends, g->delay_notice_us));
}

void overdue_start(struct outbound *o, bool waits)
{
	struct overdue *v = o->overdue;

	if (waits) {
		v->at.us = 0;
		v->from = mono_add(io_now(o->loop), AFTER_START_US);
	}
	overdue_set_timer(v);
}

static void page_ends(struct overdue *v)
{
	struct mono_time now = io_now(v->o->loop);
	struct mono_time rested = mono_add(now, sched_look_pause(mono_span(v->begun_at, now)));

	v->running = false;
	v->ending_count = 0;
	arena_reset(&v->arena);
	if (mono_before(v->from, rested))
		v->from = rested;
	overdue_set_timer(v);
}

void overdue_part_ends(struct overdue *v)
{
	if (--v->open == 0)
		page_ends(v);
}

void overdue_written(struct outbound *o)
{
	overdue_part_ends(o->overdue);
}

bool overdue_adopts(struct outbound *o)
{
	o->overdue->open += o->overdue->in_page;
	return o->overdue->in_page;
}
