/* SPDX-License-Identifier: Apache-2.0 */
#include "outbound/outbound_priv.h"
#include "sched/look.h"

/*
 * While a lane is held, its mail that has another door goes there: page by page, now and then, and when a door opens.
 * The same pages find, after a start, what a clock that was ahead has planned.
 */
#define SWEEP_EVERY_US (15 * US_PER_MIN)
#define EVERYTHING ((struct wall_time){ INT64_MAX - 1 }) /* but what a person holds */

static bool looks_elsewhere(const struct lane *l, const struct sched_lane_now *state)
{
	return state->held && l->o->has_alternatives && sched_hold_may_leave(state->by);
}

struct mono_time elsewhere_at(const struct lane *l, const struct sched_lane_now *state)
{
	if (l->sweeping || !looks_elsewhere(l, state))
		return MONO_NEVER;
	return mono_add(l->swept_at, SWEEP_EVERY_US + US_PER_S);
}

/* Nothing of ours waits so long. */
static struct wall_time far_from_now(struct outbound *o)
{
	uint64_t ceiling = conf_general(o->conf)->retry_ceiling_us;

	return wall_add(
		outbound_due_now(o), 2 * (int64_t)(ceiling > US_PER_DAY ? ceiling : US_PER_DAY));
}

void elsewhere_start(struct lane *l, struct wall_time last_due)
{
	l->is_far = last_due.us > far_from_now(l->o).us;
}

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

size_t elsewhere_move(struct lane *l, const struct store_message *m)
{
	struct sched_lane_now state = lane_now(l);

	return m->recipients[0].next_at.us <= outbound_due_now(l->o).us &&
			       looks_elsewhere(l, &state)
		       ? move_recipients(l, m)
		       : 0;
}

static void sweep_page(struct lane *l)
{
	struct wall_time far = far_from_now(l->o);

	for (; lane_page_has_more(l); lane_page_skip(l)) {
		const struct store_message *m = &l->due.out_messages[l->page_at];

		l->sweep_after_at = m->recipients[m->recipient_count - 1].next_at;
		l->sweep_after_id = m->id;
		if (m->recipients[0].next_at.us > far.us)
			waiting_is_due(l, m);
		else
			(void)elsewhere_move(l, m);
	}
	if (l->due.out_count > 0 && l->due.out_next_at.us <= l->due.until.us)
		return;
	l->sweeping = false;
	l->next_due.us = 0; /* of what is due nothing is known any more */
	/* Mail that comes later is due later than what was looked at. */
	l->sweep_after_at = outbound_due_now(l->o);
	l->sweep_after_id = 0;
}

static void begin(struct lane *l, struct wall_time after, struct wall_time until)
{
	l->sweeping = true;
	l->sweep_until = until;
	l->sweep_after_at = after;
	l->sweep_after_id = 0;
}

bool elsewhere_sweep(struct lane *l, const struct sched_lane_now *state)
{
	struct mono_time now = io_now(l->o->loop);
	bool elsewhere = looks_elsewhere(l, state);

	if (l->due_running)
		return l->sweeping;
	if (l->sweeping) {
		sweep_page(l);
	} else if (l->is_far) {
		l->is_far = false;
		begin(l, far_from_now(l->o), EVERYTHING);
	} else if (elsewhere &&
		   (l->swept_at.us == 0 || mono_span(l->swept_at, now) > SWEEP_EVERY_US)) {
		l->swept_at = now;
		begin(l, (struct wall_time){ 0 }, outbound_due_now(l->o));
	} else if (elsewhere && l->new_mail) {
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
