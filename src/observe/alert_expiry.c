/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "identity/expiry.h"
#include "io/log.h"
#include "observe/alerts_priv.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * The watch over what ends some day: a worker reads files and the vault, at the start, after a reload and
 * four times a day. What it found is kept for `status`; each stage (60, 30, 7 days, over) is told once.
 */
#define LOOK_EVERY_US (6 * US_PER_HOUR)
#define LOOK_AGAIN_US US_PER_MIN /* all workers were busy */

struct alert_look {
	struct observe_alerts *a;
	struct conf *conf;
	struct identity_vault *vault;
	struct wall_time now;
	struct alert_end *found;
	size_t count;
};

/* ---- in a worker ---- */

static void keep(void *arg, const struct identity_expiry *e)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(4096), scope = BUF_INIT(1024);
	struct alert_look *look = arg;
	int stage = identity_expiry_stage(look->now, e->ends);

	if (stage < 0 || look->count == ALERT_ENDS_MAX ||
		identity_expiry_text(e, look->now, &text) != 0 ||
		buf_printf(
			&scope, "%s:%.*s", identity_expiry_kind_name(e->kind), SV_ARG(e->name)) !=
			0)
		return;
	look->found = xrealloc(look->found, (look->count + 1) * sizeof(*look->found));
	look->found[look->count++] = (struct alert_end){ .scope = sv_dup(buf_sv(&scope)),
		.text = sv_dup(buf_sv(&text)),
		.ends = e->ends,
		.stage = stage };
}

static void look(void *arg)
{
	struct alert_look *l = arg;

	identity_expiry_each(l->conf, l->vault, keep, l);
}

/* ---- on the loop ---- */

void alert_ends_forget(struct observe_alerts *a)
{
	for (size_t i = 0; i < a->end_count; i++) {
		free(a->ends[i].scope);
		free(a->ends[i].text);
	}
	free(a->ends);
	a->ends = NULL;
	a->end_count = 0;
}

static void looked(void *arg)
{
	struct alert_look *l = arg;
	struct observe_alerts *a = l->a;

	alert_ends_forget(a);
	a->ends = l->found;
	a->end_count = l->count;
	a->looking = false;
	for (size_t i = 0; i < a->end_count; i++)
		alert_tell_end(a, &a->ends[i]);
	conf_unref(l->conf);
	free(l);
	io_timer_start(&a->look_timer, mono_add(io_now(a->loop), LOOK_EVERY_US));
}

void alert_look_for_ends(void *alerts)
{
	struct observe_alerts *a = alerts;
	struct alert_look *l;

	if (a->looking)
		return;
	l = xcalloc(1, sizeof(*l));
	*l = (struct alert_look){
		.a = a, .conf = conf_ref(a->conf), .vault = a->vault, .now = io_wall(a->loop)
	};
	if (io_workers_run(a->workers, look, looked, l) == 0) {
		a->looking = true;
		return;
	}
	conf_unref(l->conf);
	free(l);
	io_timer_start(&a->look_timer, mono_add(io_now(a->loop), LOOK_AGAIN_US));
}

void observe_alerts_each_end(
	struct observe_alerts *a, void (*each)(void *arg, struct sv text), void *arg)
{
	for (size_t i = 0; i < a->end_count; i++)
		each(arg, sv_from(a->ends[i].text));
}
