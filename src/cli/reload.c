/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/reload.h"

#include "base/must.h"
#include "cli/confine.h"
#include "identity/tokens.h"
#include "identity/vault.h"
#include "io/confine.h"
#include "io/log.h"
#include "io/notify.h"

#include <errno.h>
#include <stdlib.h>

enum {
	TEXT_MAX = 1 << 20,
	SLICE_MAX = 500,
};
#define AGAIN_US (100 * US_PER_MS) /* all workers are busy */

/* In the hands of the worker, then of the loop. */
struct reading {
	struct cli_reload *reload; /* NULL: it is gone */
	bool handed;               /* a worker has it, and gives it back */
	const char *config_path;
	char *salt_key_file;
	struct io_workers *workers;
	struct identity_vault *vault;
	/* What came of it. */
	int rc;
	struct buf text; /* a line a finding */
	struct conf *conf;
	struct inbound_fresh *inbound;
	struct outbound_fresh *outbound;
};

struct cli_reload {
	struct cli_reload_parts p;
	bool running, again, stopped;
	struct list now, next; /* who waits for this one, and for the one after it */
	struct reading *reading;
	struct io_timer retry;
	struct io_task slice;
	void (*step)(struct cli_reload *r);
	/* The identities that change over. */
	struct arena arena;
	struct sv *keys;
	size_t key_at, key_count;
	/* What is told at the end. */
	int rc;
	struct buf text;
	struct sv untold;
};

static void reading_free(struct reading *g)
{
	if (!g)
		return;
	inbound_fresh_free(g->inbound);
	outbound_fresh_free(g->outbound);
	conf_unref(g->conf);
	buf_deinit(&g->text);
	free(g->salt_key_file);
	free(g);
}

/* ---- in a worker ---- */

static void put_findings(const struct conf_findings *f, struct buf *out)
{
	int rc = 0;

	for (size_t i = 0; i < f->count && rc == 0; i++)
		rc = buf_printf(out,
			"%s:%u:%u: %s: %s\n",
			f->items[i].file,
			f->items[i].line,
			f->items[i].column,
			f->items[i].warning ? "warning" : "error",
			f->items[i].text);
}

static void settle_vault(struct reading *g)
{
	struct err err = { 0 };

	if (g->vault && identity_vault_settle(g->vault, &err) != 0)
		(void)!buf_printf(&g->text, "warning: %s\n", err.text);
	if (!g->vault && conf_general(g->conf)->vault_key.kind != CONF_SECRET_NONE)
		(void)!buf_append(&g->text,
			SV("warning: `vault:` is new: it is opened when the daemon starts "
			   "again\n"));
}

static void read_all(void *arg)
{
	struct reading *g = arg;
	struct conf_findings findings;
	struct err err = { 0 };

	g->conf = conf_load(g->config_path, &findings);
	put_findings(&findings, &g->text);
	conf_findings_free(&findings);
	g->rc = g->conf && cli_confine_allows(g->conf, &g->text) ? 0 : RC_CONFIG;
	if (g->rc != 0)
		return;
	g->inbound = inbound_fresh_read(g->conf, g->workers, g->salt_key_file, &err);
	if (!g->inbound) {
		(void)!buf_printf(&g->text, "error: %s\n", err.text);
		g->rc = RC_CONFIG;
		return;
	}
	settle_vault(g);
	outbound_fresh_read(g->outbound, g->conf);
}

/* ---- telling ---- */

static void begin(struct cli_reload *r);

static void tell_waiters(struct cli_reload *r)
{
	while (!list_empty(&r->now)) {
		struct observe_reload *w = list_entry(r->now.next, struct observe_reload, node);

		list_remove(&w->node);
		w->done(w, r->rc, buf_sv(&r->text));
	}
}

/* Whoever asked for it: what comes of it is in the log, too. */
static void tell_some(struct cli_reload *r)
{
	struct mono_time began = io_clock_mono();
	struct sv line;

	for (size_t i = 0; i < SLICE_MAX && r->untold.len && !io_slice_is_over(began); i++) {
		(void)sv_cut_char(&r->untold, '\n', &line);
		log_line(sv_find(line, SV("warning: ")) >= 0 ? LOG_WARN : LOG_ERROR,
			"serve",
			"%.*s",
			SV_ARG(line));
	}
	if (r->untold.len) {
		io_task_post(r->p.loop, &r->slice);
		return;
	}
	log_line(r->rc ? LOG_ERROR : LOG_INFO,
		"serve",
		"%s",
		r->rc ? "the configuration has errors: the old one stays in force"
		      : "configuration reloaded");
	if (!r->stopped)
		io_notify_ready();
	r->running = false;
	tell_waiters(r);
	buf_deinit(&r->text);
	if (r->again && !r->stopped)
		begin(r);
}

static void finish(struct cli_reload *r, int rc)
{
	r->rc = rc;
	r->untold = buf_sv(&r->text);
	r->step = tell_some;
	io_task_post(r->p.loop, &r->slice);
}

/* ---- taking over ---- */

static void lanes_done(void *arg)
{
	finish(arg, 0);
}

static void take_lanes(struct cli_reload *r)
{
	struct outbound_fresh *fresh = TAKE(r->reading->outbound);

	reading_free(TAKE(r->reading));
	outbound_reload(r->p.outbound, *r->p.conf, fresh, lanes_done, r);
}

static void take_identities(struct cli_reload *r)
{
	struct mono_time began = io_clock_mono();

	for (size_t i = 0; i < SLICE_MAX && r->key_at < r->key_count && !io_slice_is_over(began);
		i++)
		identity_token_reload(r->p.tokens, r->keys[r->key_at++], *r->p.conf);
	if (r->key_at == r->key_count) {
		arena_reset(&r->arena);
		r->step = take_lanes;
	}
	io_task_post(r->p.loop, &r->slice);
}

static void take_over(struct cli_reload *r)
{
	struct reading *g = r->reading;
	struct conf *old = *r->p.conf, *fresh;

	fresh = *r->p.conf = TAKE(g->conf);
	conf_unref(old);
	io_https_set_proxy(r->p.https, conf_general(fresh)->proxy);
	observe_alerts_reload(r->p.alerts, fresh);
	r->p.configured(fresh);
	r->p.reloaded(r->p.reloaded_arg);
	r->keys = identity_tokens_keys(r->p.tokens, &r->arena, &r->key_count);
	r->key_at = 0;
	r->step = take_identities;
	io_task_post(r->p.loop, &r->slice);
}

static void read_done(void *arg)
{
	struct reading *g = arg;
	struct cli_reload *r = g->reload;
	struct err err = { 0 };
	int rc = g->rc;

	if (!r || r->stopped) {
		if (r)
			r->reading = NULL;
		reading_free(g);
		return;
	}
	if (rc == 0)
		rc = inbound_reload(r->p.inbound, g->conf, g->inbound, &err);
	if (err.code != 0)
		(void)!buf_printf(&g->text,
			"error: %s%s\n",
			err.text,
			err.code == -EACCES && io_confine_state()->entered
				? "; ports below 1024 are opened at the start only; restart "
				  "needed: systemctl restart postern"
				: "");
	r->text = g->text;
	buf_init(&g->text, TEXT_MAX);
	if (rc == 0) {
		take_over(r);
		return;
	}
	reading_free(TAKE(r->reading));
	finish(r, RC_CONFIG);
}

/* ---- asking ---- */

static void hand_over(void *arg)
{
	struct cli_reload *r = arg;

	r->reading->handed = io_workers_run(r->p.workers, read_all, read_done, r->reading) == 0;
	if (!r->reading->handed)
		io_timer_start(&r->retry, mono_add(io_now(r->p.loop), AGAIN_US));
}

static void begin(struct cli_reload *r)
{
	struct reading *g = xcalloc(1, sizeof(*g));

	r->running = true;
	r->again = false;
	while (!list_empty(&r->next)) {
		struct list *node = r->next.next;

		list_remove(node);
		list_append(&r->now, node);
	}
	io_notify_reloading();
	*g = (struct reading){ .reload = r,
		.config_path = r->p.config_path,
		.salt_key_file = sv_dup(sv_from(r->p.salt_key_file)),
		.workers = r->p.workers,
		.vault = r->p.vault,
		.outbound = outbound_fresh_new(r->p.outbound) };
	buf_init(&g->text, TEXT_MAX);
	r->reading = g;
	hand_over(r);
}

void cli_reload_ask(void *reload, struct observe_reload *waiter)
{
	struct cli_reload *r = reload;

	if (r->stopped) {
		if (waiter)
			waiter->done(waiter, RC_CONFIG, SV("error: the daemon ends\n"));
		return;
	}
	if (waiter)
		list_append(&r->next, &waiter->node);
	if (r->running)
		r->again = true;
	else
		begin(r);
}

static void on_slice(void *arg)
{
	struct cli_reload *r = arg;

	r->step(r);
}

struct cli_reload *cli_reload_new(const struct cli_reload_parts *parts)
{
	struct cli_reload *r = xcalloc(1, sizeof(*r));

	r->p = *parts;
	list_init(&r->now);
	list_init(&r->next);
	buf_init(&r->text, TEXT_MAX);
	io_timer_init(&r->retry, parts->loop, hand_over, r);
	r->slice = (struct io_task){ .run = on_slice, .arg = r };
	return r;
}

void cli_reload_stop(struct cli_reload *r)
{
	r->stopped = true;
}

void cli_reload_free(struct cli_reload *r)
{
	if (!r)
		return;
	if (r->reading && r->reading->handed)
		r->reading->reload = NULL;
	else
		reading_free(r->reading);
	io_timer_stop(&r->retry);
	io_task_cancel(r->p.loop, &r->slice);
	arena_reset(&r->arena);
	buf_deinit(&r->text);
	free(r);
}
