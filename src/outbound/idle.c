/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/made.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"

#include <stdlib.h>

/*
 * Mailboxes that a wildcard made go when they have been idle for a while, and at once when mail of others waits for their
 * place. What they have used of their limits stays in the book for as long as it counts, so who comes back finds it; in
 * the ledger it is anyway.
 */
enum {
	IDLE_STEPS = 500, /* in one slice */
};

static bool has_mail(const struct member *m)
{
	return sched_member_has_mail(m->sched);
}

static bool is_at_rest(const struct lane *l)
{
	return l->connection_count == 0 && list_empty(&l->fresh) && l->uses == 0 &&
	       l->claims_running + l->takes_running == 0 && !l->secrets_job;
}

/* A sign-in or a host that failed says nothing a day later, and no mail is left to try it. What is for a person to release stays. */
static void forgive_old(struct outbound *o, struct lane *l, const struct member *m)
{
	struct sched_hold *own = sched_lane_own(l->sched);
	const struct sched_hold_reason *why = sched_hold_why(own);
	struct mono_time now = io_now(o->loop);

	if (!why || why->nature == VERDICT_NATURE_REPUTATION ||
		mono_before(now, mono_add(m->quiet_since, US_PER_DAY)))
		return;
	sched_hold_clear(own, mono_add(now, 1));
	parks_execute(o, l);
}

/* `crowded`: others wait for its place. */
static bool may_go(struct outbound *o, struct member *m, bool crowded)
{
	bool may =
		crowded || !mono_before(io_now(o->loop), mono_add(m->quiet_since, CROWD_QUIET_US));

	list_each (at, &m->lanes) {
		struct lane *l = list_entry(at, struct lane, of_member);

		for (struct connection *c = crowded ? lane_idle_connection(l) : NULL; c;
			c = lane_idle_connection(l))
			connection_quit(c);
		forgive_old(o, l, m);
		may = may && is_at_rest(l) && sched_hold_may_go(sched_lane_own(l->sched));
	}
	return may;
}

static void drop(struct outbound *o, struct member *m)
{
	struct sched_member *sched = m->sched;
	struct sv key = limit_scope_key(list_entry(m->lanes.next, struct lane, of_member)->scope);

	crowd_leave(o, m);
	(void)htable_take(&o->members, key);
	list_each_safe (at, after, &m->lanes) {
		struct lane *l = list_entry(at, struct lane, of_member);
		struct sched_hold *own = sched_lane_own(l->sched);

		lane_forget_secrets(l);
		lane_remove(l);
		sched_hold_drop(own);
	}
	sched_member_forget(sched);
	free(m);
}

/* Nobody goes while others walk over the lanes. */
static bool may_look(const struct outbound *o)
{
	return o->started && !o->draining && !o->flows.running && o->crowds.looked_at == 0 &&
	       !io_task_is_queued(&o->reload.task) && !io_task_is_queued(&o->poke_walk.task);
}

static void look_at(struct outbound *o, struct member *m, bool crowded)
{
	if (has_mail(m))
		m->quiet_since = (struct mono_time){ 0 };
	else if (m->quiet_since.us == 0)
		m->quiet_since = io_now(o->loop);
	if (m->quiet_since.us && may_go(o, m, crowded)) {
		drop(o, m);
		o->crowds.dropped++;
	}
}

/* Of a lane that is there, or of an account that several sign in as. */
static bool is_kept(void *arg, struct sv scope)
{
	const struct outbound *o = arg;
	CLEANUP(buf_deinitp) struct buf member = BUF_INIT(LIMIT_ADDRESS + 160);
	struct sv name = sv_skip(scope, 2);

	if (!sv_starts(scope, SV("m:")) && !sv_starts(scope, SV("e:")) &&
		!sv_starts(scope, SV("i:")))
		return true;
	if (!conf_wildcard_of(o->conf, name) || conf_has_account(o->conf, scope))
		return true;
	return buf_printf(&member, "m:%.*s", SV_ARG(name)) != 0 ||
	       htable_get(&o->members, buf_sv(&member)) != NULL;
}

static void looked(struct outbound *o)
{
	struct mono_time now = io_now(o->loop);

	conf_made_sweep(o->conf);
	if (!mono_before(now, mono_add(o->crowds.book_at, US_PER_HOUR))) {
		(void)limit_book_sweep(o->book, now, is_kept, o);
		o->crowds.book_at = now;
	}
	/* Who was told that there is no place asks again, in the order of the queue. */
	if (o->crowds.dropped && crowd_is_denied(o)) {
		crowd_forgive(o);
		flows_look(o, NULL);
	}
	o->crowds.dropped = 0;
}

void idle_look(void *outbound)
{
	struct outbound *o = outbound;
	bool crowded = crowd_is_denied(o);
	size_t steps;

	if (!conf_has_wildcards(o->conf) && list_empty(&o->crowds.members))
		return;
	io_timer_start(&o->crowds.timer, mono_add(io_now(o->loop), CROWD_LOOK_US));
	if (!may_look(o))
		return;
	/* Each goes to the end of the list, so that the next look begins with the others. */
	steps = o->crowds.count < IDLE_STEPS ? o->crowds.count : IDLE_STEPS;
	for (size_t i = 0; i < steps; i++) {
		struct member *m = list_entry(o->crowds.members.next, struct member, of_crowd);

		list_remove(&m->of_crowd);
		list_append(&o->crowds.members, &m->of_crowd);
		look_at(o, m, crowded);
	}
	looked(o);
}
