/* SPDX-License-Identifier: Apache-2.0 */
#include "outbound/outbound_priv.h"
#include "sched/look.h"

/*
 * Looks at all mail that waits in a lane: what is past its time, whose sender should hear of the delay, and,
 * while the lane is held, what has another door. Whatever it waits for: a hold, a limit, its turn.
 *
 * A lane knows a time before which nothing of its mail needs a look (look_at). When that has come, a sweep
 * reads the mail page by page and finds the next such time; mail that comes later lowers it.
 */
#define SWEEP_EVERY_US (15 * US_PER_MIN)                 /* of a held lane, for other doors */
#define SWEEP_AFTER_START_US (10 * US_PER_S)             /* what can leave leaves first */
#define TRY_US_MAX US_PER_HOUR                           /* of what was over before the start */
#define EVERYTHING ((struct wall_time){ INT64_MAX - 1 }) /* but what a person holds */

static enum sched_look look_of(
	struct lane *l, const struct store_message *m, bool parked, struct wall_time *out_next)
{
	const struct conf_general *g = conf_general(l->o->conf);
	const struct sched_waiting w = { .accepted_at = m->accepted_at,
		.expires_at = m->expires_at,
		.parked = parked,
		.noticed = m->flags & STORE_MSG_DELAY_NOTICED,
		.started_at = l->o->started_at,
		.try_us = g->retry_expire_us < TRY_US_MAX ? g->retry_expire_us : TRY_US_MAX,
		.parked_expire_us = g->parked_expire_us,
		.notice_us = g->delay_notice_us };

	return sched_look(&w, outbound_age_now(l->o), out_next);
}

static bool is_parked(struct lane *l, const struct store_message *m)
{
	return lane_now(l).parked || park_find(l, m->sender, m->recipients[0].address);
}

/* ---- when ---- */

static void look_before(struct lane *l, struct wall_time at)
{
	if (at.us < l->look_at.us)
		l->look_at = at;
}

void lane_expect_look(struct lane *l)
{
	const struct conf_general *g = conf_general(l->o->conf);
	uint64_t first = g->retry_expire_us;

	if (g->delay_notice_us && g->delay_notice_us < first)
		first = g->delay_notice_us;
	look_before(l, wall_add(io_wall(l->o->loop), (int64_t)first));
}

void lane_expect_look_at(struct lane *l, const struct store_message *m)
{
	struct wall_time next = { 0 };

	/* Over already, or due for its notice: soon. */
	(void)look_of(l, m, false, &next);
	look_before(l, next);
}

void lane_look_after_start(struct lane *l)
{
	l->look_at.us = 0;
	l->sweep_from = mono_add(io_now(l->o->loop), SWEEP_AFTER_START_US);
}

static bool looks_elsewhere(const struct lane *l, const struct sched_lane_now *state)
{
	return state->held && l->o->has_alternatives && sched_hold_may_leave(state->by);
}

struct mono_time lane_sweep_at(const struct lane *l, const struct sched_lane_now *state)
{
	struct mono_time now = io_now(l->o->loop), at = MONO_NEVER;
	int64_t wait = l->look_at.us - outbound_age_now(l->o).us;

	if (l->sweeping)
		return MONO_NEVER;
	/* The clock may be set in between: a look at it now and then. */
	if (l->look_at.us != INT64_MAX)
		at = mono_add(now,
			wait <= 0                         ? 0
			: (uint64_t)wait > SWEEP_EVERY_US ? SWEEP_EVERY_US
							  : (uint64_t)wait);
	if (mono_before(at, l->sweep_from))
		at = l->sweep_from;
	if (looks_elsewhere(l, state))
		at = mono_min(at, mono_add(l->swept_at, SWEEP_EVERY_US + US_PER_S));
	return at;
}

/* ---- one page ---- */

/* Those that have another door go there. How many. */
static size_t move_recipients(struct lane *l, const struct store_message *m)
{
	size_t moved = 0, count;

	for (size_t i = 0; i < m->recipient_count; i += count) {
		struct lane *to = door_other(l, m, &m->recipients[i]);

		count = 1;
		while (i + count < m->recipient_count &&
			door_other(l, m, &m->recipients[i + count]) == to)
			count++;
		if (!to)
			continue;
		door_move(l, m, &m->recipients[i], count, to);
		moved += count;
	}
	return moved;
}

bool lane_expire_if_over(struct lane *l, const struct store_message *m)
{
	struct wall_time next = { 0 };

	if (look_of(l, m, is_parked(l, m), &next) != SCHED_LOOK_EXPIRE)
		return false;
	delivery_expire(l, m);
	return true;
}

/* Planned by a clock that was ahead: nothing of ours waits so long. */
static bool is_far(struct lane *l, const struct store_message *m)
{
	uint64_t ceiling = conf_general(l->o->conf)->retry_ceiling_us;
	uint64_t most = 2 * (ceiling > US_PER_DAY ? ceiling : US_PER_DAY);

	return m->recipients[0].next_at.us > wall_add(outbound_due_now(l->o), (int64_t)most).us;
}

static void sweep_message(
	struct lane *l, const struct sched_lane_now *state, const struct store_message *m)
{
	struct wall_time next = { INT64_MAX };
	bool due = m->recipients[0].next_at.us <= outbound_due_now(l->o).us;

	switch (look_of(l, m, is_parked(l, m), &next)) {
	case SCHED_LOOK_EXPIRE:
		delivery_expire(l, m);
		break;
	case SCHED_LOOK_NOTICE:
		/* Whoever has another door hears of it at the next look, if it waits there, too. */
		if (!(due && looks_elsewhere(l, state) && move_recipients(l, m) > 0))
			delivery_delayed(l, m);
		break;
	case SCHED_LOOK_LATER:
		if (is_far(l, m))
			delivery_is_due(l, m);
		else if (due && looks_elsewhere(l, state))
			(void)move_recipients(l, m);
		break;
	}
	look_before(l, next);
}

static void sweep_page(struct lane *l, const struct sched_lane_now *state)
{
	for (; lane_page_has_more(l); lane_page_skip(l)) {
		const struct store_message *m = &l->due.out_messages[l->page_at];

		l->sweep_after_at = m->recipients[m->recipient_count - 1].next_at;
		l->sweep_after_id = m->id;
		sweep_message(l, state, m);
	}
	if (l->due.out_count > 0 && l->due.out_next_at.us <= l->due.until.us)
		return;
	l->sweeping = false;
	l->next_due.us = 0; /* of what is due nothing is known any more */
	/* Mail that comes later is due later than what was looked at. */
	l->sweep_after_at = outbound_due_now(l->o);
	l->sweep_after_id = 0;
	l->sweep_from = mono_add(
		io_now(l->o->loop), sched_look_pause(mono_span(l->swept_at, io_now(l->o->loop))));
}

/* ---- the sweep ---- */

static void begin(struct lane *l, struct mono_time now)
{
	l->sweeping = true;
	l->sweep_until = EVERYTHING;
	l->sweep_after_at.us = 0;
	l->sweep_after_id = 0;
	l->swept_at = now;
	/* Lowered by what is found, and by what comes meanwhile. */
	l->look_at.us = INT64_MAX;
}

static bool is_look_due(const struct lane *l, struct mono_time now)
{
	return l->look_at.us <= outbound_age_now(l->o).us && !mono_before(now, l->sweep_from);
}

bool lane_sweep(struct lane *l, const struct sched_lane_now *state)
{
	struct mono_time now = io_now(l->o->loop);
	bool elsewhere = looks_elsewhere(l, state);

	if (l->due_running)
		return l->sweeping;
	if (l->sweeping)
		sweep_page(l, state);
	else if (is_look_due(l, now) ||
		 (elsewhere &&
			 (l->swept_at.us == 0 || mono_span(l->swept_at, now) > SWEEP_EVERY_US)))
		begin(l, now);
	else if (elsewhere && l->new_mail) {
		l->sweeping = true;
		l->sweep_until = outbound_due_now(l->o);
	}
	if (l->sweeping) {
		l->new_mail = false;
		lane_read_page(l);
	} else if (state->held) {
		l->next_due.us = 0; /* whatever is due is read anew when the lane goes on */
	}
	return l->sweeping;
}
