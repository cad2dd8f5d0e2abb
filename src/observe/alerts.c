/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/alerts.h"

#include "base/must.h"
#include "base/text.h"
#include "io/log.h"
#include "observe/alerts_priv.h"
#include "observe/json.h"
#include "store/store_health.h"

#include <stdio.h>
#include <stdlib.h>

/* Events to alerts, each once; the watch over the disk. */
#define DISK_EVERY_US (2 * US_PER_S)
#define DAMAGE_EVERY_US US_PER_HOUR

/* What is to be said; its views are borrowed. */
struct news {
	const char *event; /* docs/monitoring.md lists them */
	struct sv scope, lane, cause, text, reply;
	struct wall_time since, next_at, ends;
	const char *freed_by; /* "": nothing is held */
};

/* ---- what was told ---- */

static void recorded(struct store_op *op)
{
	if (op->rc != 0)
		log_line(LOG_WARN,
			"alert",
			"it could not be recorded that it was told: %s",
			op->err.text);
	free(op);
}

/* `what` empty: forgotten. */
static void record(struct observe_alerts *a, struct sv key, struct sv what)
{
	struct store_park *op = xcalloc(1, sizeof(*op) + key.len + what.len);
	char *at = (char *)(op + 1);
	char *old = htable_take(&a->told, key);

	free(old);
	if (what.len)
		htable_put(&a->told, key, sv_dup(what));
	memcpy(at, key.ptr, key.len);
	memcpy(at + key.len, what.ptr ? what.ptr : "", what.len);
	op->op = (struct store_op){ .kind = STORE_OP_PARK, .done = recorded };
	op->clear = what.len == 0;
	op->row = (struct store_park_row){ .key = sv_make(at, key.len),
		.cause = sv_make(at + key.len, what.len),
		.since = io_wall(a->loop),
		.probe_at = { INT64_MAX } };
	store_submit(a->store, &op->op);
}

/* ---- an alert ---- */

static char *json_of(const struct observe_alerts *a, const struct news *n)
{
	json_t *o = json_object();
	char *text;

	observe_json_sv(o, "event", sv_from(n->event));
	observe_json_wall(o, "at", io_wall(a->loop));
	observe_json_sv(o, "hostname", conf_general(a->conf)->hostname);
	observe_json_sv(o, "scope", n->scope);
	observe_json_sv(o, "lane", n->lane);
	observe_json_sv(o, "reason", n->cause);
	observe_json_sv(o, "text", n->text);
	observe_json_sv(o, "reply", sv_head(n->reply, 1024));
	observe_json_wall(o, "since", n->since);
	observe_json_sv(o, "freed_by", sv_from(n->freed_by));
	observe_json_wall(o, "next_at", n->next_at);
	observe_json_wall(o, "ends_at", n->ends);
	text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(o);
	must(text != NULL);
	return text;
}

static void put_text(const struct observe_alerts *a, const struct news *n, struct buf *out)
{
	char at[WALL_RFC3339_MAX];

	/* The buffer is larger than all of it. */
	must(buf_printf(out,
		     "%.*s\n\nEvent:   %s\nScope:   %.*s\nReason:  %.*s\nRelay:   %.*s\n",
		     SV_ARG(sv_head(n->text, 2048)),
		     n->event,
		     SV_ARG(sv_head(n->scope, 1024)),
		     SV_ARG(n->cause),
		     SV_ARG(conf_general(a->conf)->hostname)) == 0);
	if (n->since.us)
		must(buf_printf(out, "Since:   %s\n", wall_rfc3339(n->since, at)) == 0);
	if (n->reply.len)
		must(buf_printf(out, "Said:    %.*s\n", SV_ARG(sv_head(n->reply, 1024))) == 0);
	if (n->next_at.us)
		must(buf_printf(out, "Next:    a probe at %s\n", wall_rfc3339(n->next_at, at)) ==
			0);
	if (strcmp(n->freed_by, "person") == 0)
		must(buf_printf(out,
			     "\nNothing goes on by itself: remove the cause, then run\n"
			     "    postern mailboxes --retry %.*s\n",
			     SV_ARG(n->lane)) == 0);
	must(buf_append(out,
		     SV("\n`postern mailboxes` and `postern status` show how it stands.\n")) == 0);
}

static void tell(struct observe_alerts *a, const struct news *n)
{
	const struct conf_alerts *c = &conf_general(a->conf)->alerts;
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(16384), subject = BUF_INIT(4096);
	struct alert alert;

	if (c->log)
		log_event(LOG_WARN,
			"alert",
			SV(""),
			n->event,
			(const struct log_field[]){ LOG_F("scope", n->scope),
				LOG_F("cause", n->cause),
				LOG_F("why", n->text) },
			3);
	put_text(a, n, &text);
	must(buf_printf(&subject,
		     "[postern] %s: %.*s %.*s",
		     n->event,
		     SV_ARG(sv_head(n->scope, 1024)),
		     SV_ARG(n->cause)) == 0);
	must(buf_append(&text, sv_make("", 1)) == 0 && buf_append(&subject, sv_make("", 1)) == 0);
	alert = (struct alert){ .json = json_of(a, n),
		.subject = (char *)(uintptr_t)buf_sv(&subject).ptr,
		.text = (char *)(uintptr_t)buf_sv(&text).ptr,
		.lane = sv_dup(n->freed_by[0] ? n->lane : SV("")) };
	if (c->webhook_url.len)
		alert_way_put(&a->webhook, &alert);
	if (c->command.len)
		alert_way_put(&a->command, &alert);
	if (c->mail_to.len)
		alert_way_put(&a->mail, &alert);
	free(alert.json);
	free(alert.lane);
}

/* ---- events of outbound ---- */

/* While one park lasts its reasons may change to and fro: each is told once. */
static bool is_new(struct observe_alerts *a, struct sv scope, struct sv cause)
{
	CLEANUP(buf_deinitp) struct buf all = BUF_INIT(4096);
	char *told = htable_get(&a->told, scope);
	struct sv rest = told ? sv_from(told) : SV(""), one;

	while (rest.len) {
		(void)sv_cut_char(&rest, ' ', &one);
		if (sv_eq(one, cause))
			return false;
	}
	if (buf_printf(&all, "%s %.*s", told ? told : "", SV_ARG(cause)) != 0)
		return false;
	free(htable_take(&a->told, scope));
	htable_put(&a->told, scope, sv_dup(buf_sv(&all)));
	return true;
}

void observe_alerts_event(void *alerts, const struct outbound_event *e)
{
	struct observe_alerts *a = alerts;
	bool reputation = e->nature == VERDICT_NATURE_REPUTATION;
	struct news n = { .event = e->ended     ? "released"
				   : reputation ? "reputation-hold"
						: "parked",
		.scope = e->scope,
		.lane = e->lane,
		.cause = e->cause,
		.text = e->ended ? SV("Mail goes on: what held it is over.") : e->summary,
		.reply = e->ended ? SV("") : e->reply,
		.since = e->since,
		.next_at = e->next_at,
		.freed_by = e->ended        ? ""
			    : e->next_at.us ? "probe"
					    : "person" };

	if (e->ended) {
		n.next_at.us = 0;
		free(htable_take(&a->told, e->scope));
		tell(a, &n);
	} else if (is_new(a, e->scope, e->cause)) {
		tell(a, &n);
	}
}

/* ---- domains ---- */

/* Until it is known what was told before; a start has at most a few events a domain. */
static void hold_domain(struct observe_alerts *a, const struct domain_event *e)
{
	struct alert_held *h = arena_alloc(&a->held_arena, sizeof(*h));

	h->event = (struct domain_event){
		arena_sv(&a->held_arena, e->domain), e->news, arena_sv(&a->held_arena, e->text)
	};
	if (!a->held)
		a->held_end = &a->held;
	*a->held_end = h;
	a->held_end = &h->next;
}

static void tell_held(struct observe_alerts *a)
{
	for (const struct alert_held *h = a->held; h; h = h->next)
		observe_alerts_domain(a, &h->event);
	a->held = NULL;
	arena_reset(&a->held_arena);
}

void observe_alerts_domain(void *alerts, const struct domain_event *e)
{
	static const char *const events[] = { "domain-fails", "domain-meets", "domain-changed" };
	struct observe_alerts *a = alerts;
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(512), scope = BUF_INIT(512);
	const char *told;

	if (a->stopped)
		return;
	if (!a->told_read) {
		hold_domain(a, e);
		return;
	}
	must(buf_printf(&key, "alert:domain:%.*s", SV_ARG(e->domain)) == 0);
	must(buf_printf(&scope, "domain:%.*s", SV_ARG(e->domain)) == 0);
	told = htable_get(&a->told, buf_sv(&key));
	if (e->news == DOMAIN_NEWS_FAILS) {
		if (told)
			return;
		record(a, buf_sv(&key), SV("fails"));
	}
	if (e->news == DOMAIN_NEWS_MEETS) {
		if (!told)
			return;
		record(a, buf_sv(&key), SV(""));
	}
	tell(a,
		&(struct news){ .event = events[e->news],
			.scope = buf_sv(&scope),
			.cause = sv_from(events[e->news]),
			.text = e->news == DOMAIN_NEWS_MEETS
					? SV("The domain meets the receivers' rules again.")
					: e->text,
			.freed_by = "" });
}

/* ---- what ends ---- */

void alert_tell_end(struct observe_alerts *a, const struct alert_end *end)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(2048);
	char what[64];
	const char *told;

	/* The next start looks again. */
	if (a->stopped)
		return;
	must(buf_printf(&key, "alert:expiry:%s", end->scope) == 0);
	(void)snprintf(what, sizeof(what), "%d %lld", end->stage, (long long)end->ends.us);
	told = htable_get(&a->told, buf_sv(&key));
	if (told && strcmp(told, what) == 0)
		return;
	record(a, buf_sv(&key), sv_from(what));
	tell(a,
		&(struct news){ .event = end->stage ? "expiry" : "expired",
			.scope = sv_from(end->scope),
			.cause = end->stage ? SV("expiry") : SV("expired"),
			.text = sv_from(end->text),
			.ends = end->ends,
			.freed_by = "" });
}

/* ---- the disk ---- */

static const char *const trouble_steps[STORE_TROUBLE_COUNT] = {
	[STORE_TROUBLE_NONE] = "The disk of data_dir works again: new mail is accepted.",
	[STORE_TROUBLE_FAILS] =
		"New mail is deferred (451). Look at the disk (dmesg, smartctl); postern "
		"goes on by itself when it works again.",
	[STORE_TROUBLE_READ_ONLY] =
		"New mail is deferred (451). Find out why the kernel made the file system "
		"read-only "
		"(dmesg), repair it, and mount it read-write; postern goes on by itself.",
	[STORE_TROUBLE_GONE] =
		"New mail is deferred (451); what waits still leaves. Put data_dir back in its "
		"place, "
		"or let the queue run empty before you restart postern: a restart begins with what "
		"is in that place.",
	[STORE_TROUBLE_HANGS] =
		"New mail is deferred (451). Look at the disk, or at the host below it.",
};

/* Said once, and once when it is over. In the memory only: the queue cannot be written now. */
static void look_at_trouble(struct observe_alerts *a)
{
	struct store_health h = store_health(a->store);
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(1024);

	if (h.trouble == a->trouble_told)
		return;
	a->trouble_told = h.trouble;
	if (buf_printf(&text,
		    "%s%s%s",
		    h.trouble ? h.trouble_words : "",
		    h.trouble ? ". " : "",
		    trouble_steps[h.trouble]) != 0)
		return;
	tell(a,
		&(struct news){ .event = h.trouble ? "disk-trouble" : "disk-well",
			.scope = SV("disk"),
			.cause = sv_from(h.trouble ? store_trouble_name(h.trouble) : "disk-well"),
			.text = buf_sv(&text),
			.freed_by = "" });
}

/* In the memory only, as well. Each message is in the log; of the first an alert tells, and once an hour of more. */
static void look_at_damage(struct observe_alerts *a)
{
	struct store_damage d = store_damage(a->store);
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(2048);
	struct mono_time now = io_now(a->loop);
	char id[TEXT_ID_MAX];
	int rc = 0;

	if (!d.met || (a->damage_told && d.messages == a->damage_named) ||
		(a->damage_told && mono_span(a->damage_at, now) < DAMAGE_EVERY_US))
		return;
	a->damage_told = true;
	a->damage_named = d.messages;
	a->damage_at = now;
	rc = buf_printf(&text, "The queue is damaged: %s. ", d.words);
	if (rc == 0 && d.messages)
		rc = buf_printf(&text,
			"%llu messages stand on damaged pages and wait:",
			(unsigned long long)d.messages);
	for (size_t i = 0; i < STORE_DAMAGE_NAMED && i < d.messages && rc == 0; i++)
		rc = buf_printf(&text, " %s", text_id(d.named[i], id));
	if (rc == 0 && d.messages)
		rc = buf_printf(&text, "%s. ", d.messages > STORE_DAMAGE_NAMED ? " ..." : "");
	if (rc == 0)
		rc = buf_append(&text,
			SV("Everything else goes on. `postern doctor` says what is damaged; stop "
			   "postern and run `postern doctor --repair`. Look at the disk (dmesg, "
			   "smartctl)."));
	if (rc != 0)
		return;
	tell(a,
		&(struct news){ .event = "queue-damaged",
			.scope = SV("disk"),
			.cause = SV("queue-damaged"),
			.text = buf_sv(&text),
			.freed_by = "person" });
}

static void on_disk_timer(void *arg)
{
	static const struct sv key = SV_INIT("alert:disk");
	struct observe_alerts *a = arg;
	bool full = store_room(a->store, conf_general(a->conf)->min_free_bytes, 0) == RC_DISK_FULL;
	bool told = htable_get(&a->told, key) != NULL;

	if (full != told) {
		record(a, key, full ? SV("full") : SV(""));
		tell(a,
			&(struct news){ .event = full ? "disk-full" : "disk-free",
				.scope = SV("disk"),
				.cause = full ? SV("disk-full") : SV("disk-free"),
				.text = full ? SV("The disk of data_dir is full: new mail is "
						  "deferred (452), delivery goes on. Free some "
						  "space, or lower `history: { max }`.")
					     : SV("There is room on the disk again: new mail is "
						  "accepted."),
				.freed_by = "" });
	}
	look_at_trouble(a);
	look_at_damage(a);
	io_timer_start(&a->disk_timer, mono_add(io_now(a->loop), DISK_EVERY_US));
}

/* ---- life ---- */

struct observe_alerts *observe_alerts_new(const struct observe_alerts_options *options)
{
	struct observe_alerts *a = xcalloc(1, sizeof(*a));

	a->loop = options->loop;
	a->store = options->store;
	a->https = options->https;
	a->workers = options->workers;
	a->vault = options->vault;
	a->conf = conf_ref(options->conf);
	alert_ways_init(a);
	io_timer_init(&a->disk_timer, a->loop, on_disk_timer, a);
	io_timer_init(&a->look_timer, a->loop, alert_look_for_ends, a);
	return a;
}

void observe_alerts_stop(struct observe_alerts *a)
{
	a->stopped = true;
}

void observe_alerts_free(struct observe_alerts *a)
{
	if (!a)
		return;
	io_timer_stop(&a->disk_timer);
	io_timer_stop(&a->look_timer);
	alert_ends_forget(a);
	alert_ways_deinit(a);
	htable_each (&a->told, slot)
		free(slot->value);
	htable_deinit(&a->told);
	arena_reset(&a->parks_arena);
	arena_reset(&a->held_arena);
	conf_unref(a->conf);
	free(a);
}

static void told_read(struct store_op *op)
{
	struct observe_alerts *a = CONTAINER_OF(op, struct observe_alerts, parks.op);

	/* Unread, all would be told again: that is better than never. */
	if (op->rc != 0)
		log_line(LOG_WARN, "alert", "what was told before is unknown: %s", op->err.text);
	for (size_t i = 0; op->rc == 0 && i < a->parks.out_count; i++) {
		const struct store_park_row *row = &a->parks.out_rows[i];

		if (!htable_get(&a->told, row->key))
			htable_put(&a->told, row->key, sv_dup(row->cause));
	}
	arena_reset(&a->parks_arena);
	a->told_read = true;
	tell_held(a);
	on_disk_timer(a);
	alert_look_for_ends(a);
}

void observe_alerts_start(struct observe_alerts *a, struct outbound *outbound)
{
	a->outbound = outbound;
	a->parks =
		(struct store_parks_read){ .op = { .kind = STORE_OP_PARKS_READ, .done = told_read },
			.out_arena = &a->parks_arena };
	store_submit(a->store, &a->parks.op);
}

void observe_alerts_reload(struct observe_alerts *a, struct conf *conf)
{
	struct conf *old = a->conf;

	a->conf = conf_ref(conf);
	conf_unref(old);
	if (a->told_read)
		alert_look_for_ends(a);
}
