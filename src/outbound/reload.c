/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"
#include "provider/defaults.h"

#include <stdlib.h>

/*
 * A new snapshot. A worker has read what its lanes need (secrets, TLS contexts); the lanes change over some at a time,
 * and until then each goes on as it did. What has not changed is kept: a secret, a TLS context with its sessions.
 */
enum {
	RELOAD_LANES_MAX = 500, /* in one slice, whatever the clock says */
};

static void reload_lane(struct outbound *o, struct lane *l)
{
	const struct sched_hold_reason *why = sched_hold_why(sched_lane_own(l->sched));

	lane_configure(l);
	if (l->c && why && why->nature != VERDICT_NATURE_REPUTATION)
		sched_hold_probe_now(sched_lane_own(l->sched), io_now(o->loop));
	lane_tell_order(l);
	lane_poke(l);
}

static void reload_ends(struct outbound *o)
{
	void (*done)(void *arg) = o->reload.done;

	outbound_fresh_free(TAKE(o->reload.fresh));
	pools_reload(o);
	/* What was held is tried; queues may have lost their last member, or mail without a route found one. */
	if (o->started) {
		parks_tell_order(o);
		flows_look(o, NULL);
	}
	idle_look(o);
	counters_configure(o);
	o->reload.done = NULL;
	if (done)
		done(o->reload.arg);
}

static void reload_some(void *arg)
{
	struct outbound *o = arg;
	struct mono_time began = io_clock_mono();

	for (size_t i = 0; i < RELOAD_LANES_MAX && o->reload.at < o->reload.count; i++) {
		if (i % 8 == 7 && io_slice_is_over(began))
			break;
		reload_lane(o, o->all_lanes[o->reload.at++]);
	}
	if (o->reload.at < o->reload.count)
		io_task_post(o->loop, &o->reload.task);
	else
		reload_ends(o);
}

void outbound_reload(struct outbound *o, struct conf *conf, struct outbound_fresh *fresh,
	void (*done)(void *arg), void *arg)
{
	struct conf *old = o->conf;

	must(!io_task_is_queued(&o->reload.task));
	o->conf = conf_ref(conf);
	conf_unref(old);
	outbound_say_loudly(o->conf);
	/* What an administrator changed may have freed it. */
	park_probe_all(o);
	outbound_take_tls(o, fresh);
	o->reload.task = (struct io_task){ .run = reload_some, .arg = o };
	o->reload.fresh = fresh;
	o->reload.done = done;
	o->reload.arg = arg;
	o->reload.at = 0;
	/* A lane that comes later begins with the new snapshot. */
	o->reload.count = o->lane_count;
	reload_some(o);
}

/* ---- what is said of it ---- */

const char *outbound_password_notice(const struct conf *conf, enum provider_kind provider)
{
	return conf_has_password(conf, provider) ? provider_defaults(provider)->password_ends
						 : NULL;
}

/* What an administrator should not overlook, at the start and after each reload. */
void outbound_say_loudly(const struct conf *conf)
{
	const struct conf_general *g = conf_general(conf);

	for (unsigned p = 0; p < PROVIDER_COUNT; p++) {
		const char *notice = outbound_password_notice(conf, p);

		if (notice)
			log_line(LOG_WARN, "qmgr", "%s", notice);
	}
	if (g->redirect_all.len)
		log_line(LOG_WARN,
			"qmgr",
			"STAGING: redirect_all sends every message to %.*s and to nobody else",
			SV_ARG(g->redirect_all));
}
