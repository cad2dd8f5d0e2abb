/* SPDX-License-Identifier: Apache-2.0 */
#include "outbound/overdue.h"

#include "base/must.h"
#include "conf/route.h"
#include "io/log.h"
#include "sched/look.h"

#include <stdlib.h>

/*
 * Mail that waits too long ends, or its sender hears of the delay, whatever it waits for: a hold, a limit, its turn. The
 * queue knows which mail is to be looked at, and when; sched/look says what becomes of it. One look for the whole
 * relay: a page, and the next one when everything of it is written.
 *
 * Only here mail ends for its age. What is too old when its turn comes is not sent, and a look is asked for.
 */
#define UNDER_WAY_US US_PER_S
#define TRY_US_MAX US_PER_HOUR /* of what was over before the start */

static void on_timer(void *arg);

struct overdue *overdue_new(struct outbound *o)
{
	struct overdue *v = xcalloc(1, sizeof(*v));

	v->o = o;
	v->at.us = INT64_MAX;
	io_timer_init(&v->timer, o->loop, on_timer, v);
	return v;
}

void overdue_free(struct overdue *v)
{
	if (!v)
		return;
	io_timer_stop(&v->timer);
	arena_reset(&v->arena);
	free(v);
}

/* ---- what becomes of it ---- */

/* No route is for an administrator, too. */
static bool is_parked(
	struct lane *l, const struct store_message *m, const struct store_recipient *r)
{
	return !l->c || lane_now(l).parked || park_find(l, m->sender, r->address);
}

static enum sched_look look_of(
	struct lane *l, const struct store_message *m, struct wall_time *out_next)
{
	const struct conf_general *g = conf_general(l->o->conf);
	const struct sched_waiting w = { .accepted_at = m->accepted_at,
		.expires_at = m->expires_at,
		.class_end =
			conf_class_end(l->o->conf, m->recipients[0].flow.class, m->accepted_at),
		.parked = is_parked(l, m, &m->recipients[0]),
		.noticed = m->flags & STORE_MSG_DELAY_NOTICED,
		.started_at = l->o->started_at,
		.try_us = g->retry_expire_us < TRY_US_MAX ? g->retry_expire_us : TRY_US_MAX,
		.parked_expire_us = g->parked_expire_us,
		.notice_us = g->delay_notice_us };

	return sched_look(&w, outbound_age_now(l->o), out_next);
}

static bool is_ending(const struct overdue *v, uint64_t id)
{
	for (size_t i = 0; i < v->ending_count; i++)
		if (v->ending[i] == id)
			return true;
	return false;
}

/* ---- the page ---- */

static void wait_for_queue(struct overdue *v, const struct store_op *op)
{
	v->at.us = 0;
	v->from = mono_add(io_now(v->o->loop), outbound_queue_pause(op->rc, v->failures++));
	log_line(LOG_WARN,
		"qmgr",
		"what waits too long could not be looked at, trying again: %s",
		op->err.text);
}

static void later_written(struct store_op *op)
{
	struct overdue *v = CONTAINER_OF(op, struct overdue, later.op);

	/* The same page comes again. */
	if (op->rc != 0)
		wait_for_queue(v, op);
	overdue_part_ends(v);
}

static void write_later(struct overdue *v)
{
	if (v->later.count == 0)
		return;
	v->later.op = (struct store_op){ .kind = STORE_OP_LOOK_LATER, .done = later_written };
	v->later.looks = v->looks;
	v->open++;
	store_submit(v->o->store, &v->later.op);
}

static void ask_later(struct overdue *v, const struct store_message *m, struct wall_time at)
{
	for (size_t i = 0; i < m->recipient_count; i++)
		v->looks[v->later.count++] = (struct store_look_at){
			.message_id = m->id, .index = m->recipients[i].index, .at = at
		};
}

/* Recipients of a message that wait for the same. */
static void look_at(struct overdue *v, struct lane *l, const struct store_message *m)
{
	struct wall_time next = { INT64_MAX };

	switch (look_of(l, m, &next)) {
	case SCHED_LOOK_EXPIRE:
		if (!is_ending(v, m->id))
			v->ending[v->ending_count++] = m->id;
		waiting_expire(l, m);
		break;
	case SCHED_LOOK_NOTICE:
		waiting_delayed(l, m, next);
		break;
	case SCHED_LOOK_LATER:
		ask_later(v, m, next);
		break;
	}
	overdue_lower(v, next);
}

/* The lane by which it would leave now. */
static struct lane *lane_for(struct outbound *o, const struct mail_flow *flow)
{
	struct lane *l = lane_of_flow(o, flow);

	if (!l)
		l = lane_first_of(o, flow);
	return l ? l : lane_get(o, SV(""));
}

static void look_at_message(struct overdue *v, const struct store_message *m)
{
	struct store_message part = *m;

	for (size_t i = 0; i < m->recipient_count; i += part.recipient_count) {
		const struct store_recipient *r = &m->recipients[i];
		struct lane *l = lane_for(v->o, &r->flow);
		bool parked = is_parked(l, m, r);

		part.recipients = r;
		part.recipient_count = 1;
		while (i + part.recipient_count < m->recipient_count &&
			mail_flow_eq(&r[part.recipient_count].flow, &r->flow) &&
			is_parked(l, m, &r[part.recipient_count]) == parked)
			part.recipient_count++;
		look_at(v, l, &part);
	}
}

/* A lane has it, or something is written of it: it is looked at when that has ended, if it waits then. */
static void mark_under_way(const struct overdue *v, bool marks[OVERDUE_PAGE])
{
	uint64_t ids[OVERDUE_PAGE];

	for (size_t i = 0; i < v->look.out_count; i++)
		ids[i] = v->look.out_messages[i].id;
	list_each (at, &v->o->work)
		for (size_t i = 0; i < v->look.out_count; i++)
			marks[i] |= list_entry(at, struct work, node)->message == ids[i];
}

static void look_at_page(struct overdue *v)
{
	bool under_way[OVERDUE_PAGE] = { false };
	size_t room = 0;

	for (size_t i = 0; i < v->look.out_count; i++)
		room += v->look.out_messages[i].recipient_count;
	v->looks = arena_alloc(&v->arena, (room + 1) * sizeof(*v->looks));
	v->later.count = 0;
	mark_under_way(v, under_way);
	v->in_page = true;
	for (size_t i = 0; i < v->look.out_count; i++) {
		if (!under_way[i]) {
			look_at_message(v, &v->look.out_messages[i]);
			continue;
		}
		v->at.us = 0;
		v->from = mono_add(io_now(v->o->loop), UNDER_WAY_US);
	}
	v->in_page = false;
	write_later(v);
}

static void looked(struct store_op *op)
{
	struct overdue *v = CONTAINER_OF(op, struct overdue, look.op);

	v->open = 1; /* till all parts have begun */
	if (op->rc == 0) {
		v->failures = 0;
		overdue_lower(v, v->look.out_next_at);
		look_at_page(v);
	} else {
		wait_for_queue(v, op);
	}
	overdue_part_ends(v);
}

static void on_timer(void *arg)
{
	struct overdue *v = arg;
	struct outbound *o = v->o;
	struct wall_time now = outbound_age_now(o);

	if (v->running || o->draining)
		return;
	if (v->at.us > now.us) {
		overdue_set_timer(v);
		return;
	}
	v->running = true;
	v->begun_at = io_now(o->loop);
	/* Lowered by what is found, and by what comes meanwhile. */
	v->at.us = INT64_MAX;
	v->look = (struct store_look){ .op.kind = STORE_OP_LOOK,
		.op.done = looked,
		.until = now,
		.limit = OVERDUE_PAGE,
		.out_arena = &v->arena };
	store_submit(o->store, &v->look.op);
}

/* ---- what others ask ---- */

struct ask {
	struct store_look_later later;
	struct store_look_at looks[];
};

static void asked(struct store_op *op)
{
	free(CONTAINER_OF(op, struct ask, later.op));
}

/* Its time is to come, but something has changed: it is looked at now. */
static void ask_now(struct outbound *o, const struct store_message *m)
{
	struct ask *a = xcalloc(1, sizeof(*a) + m->recipient_count * sizeof(a->looks[0]));
	struct wall_time now = outbound_age_now(o);

	for (size_t i = 0; i < m->recipient_count; i++)
		if (m->recipients[i].look_at.us > now.us)
			a->looks[a->later.count++] = (struct store_look_at){ .message_id = m->id,
				.index = m->recipients[i].index };
	a->later.op = (struct store_op){ .kind = STORE_OP_LOOK_LATER, .done = asked };
	a->later.looks = a->looks;
	if (a->later.count)
		store_submit(o->store, &a->later.op);
	else
		free(a);
}

bool overdue_passes_over(struct lane *l, const struct store_message *m)
{
	struct wall_time next = { 0 };

	if (is_ending(l->o->overdue, m->id))
		return true;
	if (look_of(l, m, &next) != SCHED_LOOK_EXPIRE)
		return false;
	ask_now(l->o, m);
	overdue_expect(l->o, (struct wall_time){ 0 });
	return true;
}
