/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/text.h"
#include "domain/watch.h"
#include "identity/tokens.h"
#include "inbound/inbound.h"
#include "io/confine.h"
#include "io/machine.h"
#include "observe/alerts.h"
#include "observe/query_priv.h"
#include "outbound/outbound.h"
#include "store/store_health.h"

#include <jansson.h>
#include <stdio.h>

/*
 * `postern status`: the relay; what needs a person and what heals by itself, by cause; what is well, a line
 * a tenant; its listeners. With "lanes" (--json) each lane and what waits, too.
 */

static struct wall_time oldest(const struct observe_query *q)
{
	struct wall_time at = { 0 };

	for (size_t i = 0; i < q->summary.out_count; i++)
		if (at.us == 0 || q->summary.out_rows[i].oldest_at.us < at.us)
			at = q->summary.out_rows[i].oldest_at;
	return at;
}

/* What the process that answers has given up; nothing when that is not the daemon. */
static void put_confined(json_t *o)
{
	const struct io_confine_state *s = io_confine_state();
	char text[IO_CONFINE_TEXT_MAX];

	if (!s->entered)
		return;
	observe_json_sv(o, "confined", sv_from(io_confine_text(s, text)));
	observe_json_sv(o, "confined_lacks", sv_from(s->lacks));
	(void)json_object_set_new(o, "confined_system_calls", json_boolean(s->system_calls));
	(void)json_object_set_new(o, "confined_files", json_boolean(s->files));
	(void)json_object_set_new(o, "confined_tcp", json_boolean(s->tcp));
}

/* How long others waited while the loop was busy. */
static void put_turns(json_t *o, const struct io_loop *loop)
{
	struct io_loop_turns turns = io_loop_turns(loop);
	json_t *over = json_object();
	char step[16];

	observe_json_int(o, "loop_turns", turns.count);
	observe_json_int(o, "loop_turn_us_max", turns.longest_us);
	observe_json_int(o, "loop_turn_us_max_recent", turns.recent_us);
	for (size_t i = 0; i < IO_LOOP_TURN_STEPS; i++) {
		(void)snprintf(step, sizeof(step), "%u", io_loop_turn_steps_ms[i]);
		observe_json_int(over, step, turns.over[i]);
	}
	(void)json_object_set_new(o, "loop_turns_over_ms", over);
}

static void emit_damage(json_t *o, struct store *s)
{
	struct store_damage d = store_damage(s);
	json_t *ids = json_array();
	char id[TEXT_ID_MAX];

	if (d.met) {
		observe_json_int(o, "damaged_messages", d.messages);
		observe_json_sv(o, "damage_words", sv_from(d.words));
		for (size_t i = 0; i < STORE_DAMAGE_NAMED && i < d.messages; i++)
			(void)json_array_append_new(ids, json_string(text_id(d.named[i], id)));
		(void)json_object_set(o, "damaged_ids", ids);
	}
	json_decref(ids);
}

static void emit_relay(struct observe_query *q)
{
	const struct observe_sources *s = q->sources;
	struct store_health stats;
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("relay"));
	observe_json_sv(o, "version", SV(POSTERN_VERSION));
	(void)json_object_set_new(o, "running", json_boolean(s->outbound != NULL));
	observe_json_sv(o, "hostname", conf_general(q->conf)->hostname);
	observe_json_int(o, "uptime_seconds", mono_span(s->started_at, io_now(s->loop)) / US_PER_S);
	observe_json_int(o, "pid", io_machine_process_id());
	observe_json_int(o, "messages_waiting", q->summary.out_messages_waiting);
	observe_json_int(o, "bytes_waiting", q->summary.out_bytes_waiting);
	observe_json_int(o, "history_messages", q->summary.out_history_messages);
	observe_json_int(o, "delivered_day", q->summary.out_delivered_day);
	observe_json_int(o, "bounced_day", q->summary.out_bounced_day);
	if (s->outbound)
		observe_json_int(o, "uncertain_day", outbound_uncertain_day(s->outbound));
	observe_json_wall(o, "oldest_at", oldest(q));
	/* Asking measures the disk when nobody did lately. */
	(void)json_object_set_new(
		o, "disk_full", json_boolean(store_room(s->store, 0, 0) == RC_DISK_FULL));
	stats = store_health(s->store);
	if (stats.trouble != STORE_TROUBLE_NONE) {
		observe_json_sv(o, "disk_trouble", sv_from(store_trouble_name(stats.trouble)));
		observe_json_sv(o, "disk_words", sv_from(stats.trouble_words));
	}
	emit_damage(o, s->store);
	observe_json_int(o, "disk_free_bytes", stats.free_bytes);
	observe_json_int(o, "operations", stats.operations);
	observe_json_int(o, "commits", stats.commits);
	observe_json_int(o, "failed_commits", stats.failed_commits);
	put_confined(o);
	if (s->outbound)
		put_turns(o, s->loop);
	observe_query_emit(q, o);
}

/* All that come in, together. */
static void emit_clients(struct observe_query *q)
{
	const struct inbound_status status = inbound_status(q->sources->inbound);
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("clients"));
	observe_json_int(o, "sessions", status.sessions);
	observe_json_int(o, "sessions_max", status.sessions_max);
	observe_json_int(o, "memory_bytes", status.memory_bytes);
	observe_json_int(o, "memory_max_bytes", status.memory_max_bytes);
	observe_json_int(o, "refused", status.refused);
	observe_json_int(o, "quota_refused", status.quota_refused);
	observe_json_int(o, "sign_ins_failed", status.sign_ins_failed);
	observe_json_int(o, "sign_ins_blocked", status.sign_ins_blocked);
	observe_query_emit(q, o);
}

static void emit_listener(void *arg, const struct inbound_listener_status *status)
{
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("listener"));
	observe_json_sv(o, "name", status->name);
	observe_json_int(o, "sessions", status->sessions);
	observe_json_int(o, "accepted", status->accepted);
	observe_json_int(o, "refused", status->refused);
	if (status->legacy_tls) {
		(void)json_object_set_new(o, "legacy_tls", json_true());
		observe_json_int(o, "legacy_sessions", status->legacy_sessions);
		observe_json_int(o, "legacy_messages", status->legacy_messages);
	}
	observe_query_emit(arg, o);
}

static void emit_quota(struct observe_query *q, size_t at)
{
	static const char *const names[QUOTA_COUNT][2] = {
		[QUOTA_RECIPIENTS] = { "day_used", "day_capacity" },
		[QUOTA_MESSAGES] = { "day_messages_used", "day_messages_capacity" },
		[QUOTA_BYTES] = { "day_bytes_used", "day_bytes_capacity" },
	};
	struct inbound_quota_status status;
	json_t *o;

	if (!inbound_quota_look(q->sources->inbound, q->names.items[at], &status))
		return;
	o = json_object();
	observe_json_sv(o, "type", status.is_device ? SV("device") : SV("user"));
	observe_json_sv(o, "name", status.name);
	for (size_t i = 0; i < QUOTA_COUNT; i++) {
		if (!status.of[i].limit && !(i == QUOTA_RECIPIENTS && status.is_device))
			continue;
		observe_json_int(o, names[i][0], status.of[i].used);
		observe_json_int(o, names[i][1], status.of[i].limit);
	}
	observe_json_int(o, "accepted", status.accepted);
	observe_json_int(o, "refused", status.refused);
	observe_json_int(o, "quota_refused", status.quota_refused);
	if (status.is_device)
		observe_json_int(o, "legacy_sessions", status.legacy_sessions);
	observe_query_emit(q, o);
}

/* Whose token it is and how long it lasts, never the token. */
static void emit_token(struct observe_query *q, size_t at)
{
	struct identity_token_status status;
	json_t *o;

	if (!identity_token_look(q->sources->tokens, q->names.items[at], &status))
		return;
	o = json_object();
	observe_json_sv(o, "type", SV("token"));
	observe_json_sv(o, "tenant", status.tenant);
	observe_json_sv(o, "user", status.user);
	observe_json_sv(o, "scope", status.scope);
	observe_json_int(o, "refreshes", status.refreshes);
	if (status.expires_at.us) {
		observe_json_wall(o, "expires_at", status.expires_at);
		observe_json_wall(o, "refreshed_at", status.refreshed_at);
	}
	if (status.cause.len) {
		observe_json_sv(o, "reason", status.cause);
		observe_json_sv(o, "reply", status.reply);
	}
	observe_query_emit(q, o);
}

static void emit_notice(struct observe_query *q, size_t at)
{
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("notice"));
	observe_json_sv(o, "text", q->names.items[at]);
	observe_query_emit(q, o);
}

enum {
	NOTICES_MAX = 1200, /* what ends soon has its own maximum, which is less */
};

static void add_notice(void *arg, struct sv text)
{
	struct observe_query *q = arg;

	if (q->names.count < NOTICES_MAX)
		q->names.items[q->names.count++] = arena_sv(&q->page, text);
}

struct said {
	struct sv text;
	bool found;
};

static void look_for(void *arg, struct sv text)
{
	struct said *s = arg;

	s->found = s->found || sv_find(text, s->text) >= 0;
}

/* Within its last 60 days the end of passwords is told with the day. */
static bool is_said(const struct observe_query *q, const char *text)
{
	struct said s = { .text = sv_from(text) };

	if (q->sources->alerts)
		observe_alerts_each_end(q->sources->alerts, look_for, &s);
	return s.found;
}

enum {
	DOMAIN_NOTICE_MAX = 1024,
};
#define CHANGE_SHOWN_US ((int64_t)US_PER_DAY)

/* A domain that fails, and what changed within a day. */
static void add_domain(void *arg, struct sv domain, const struct domain_state *state)
{
	struct observe_query *q = arg;
	char text[DOMAIN_NOTICE_MAX];

	if (state->meets == DOMAIN_FAILS) {
		(void)snprintf(text,
			sizeof(text),
			"%.*s is not ready for bulk mail. %.*s. Step: %.*s",
			SV_ARG(domain),
			SV_ARG(sv_head(state->why, 300)),
			SV_ARG(sv_head(state->step, 300)));
		add_notice(q, sv_from(text));
	}
	if (state->change.len &&
		io_wall(q->sources->loop).us - state->changed_at.us < CHANGE_SHOWN_US) {
		(void)snprintf(text,
			sizeof(text),
			"what %.*s publishes has changed: %.*s",
			SV_ARG(domain),
			SV_ARG(sv_head(state->change, 600)));
		add_notice(q, sv_from(text));
	}
}

static void show_notices(struct observe_query *q, void (*done)(struct observe_query *q))
{
	const struct conf *conf = q->conf;
	struct sv redirect = conf_general(conf)->redirect_all;
	char text[LIMIT_ADDRESS + 128];

	q->names.items = arena_alloc(&q->page, NOTICES_MAX * sizeof(*q->names.items));
	q->names.count = 0;
	if (redirect.len) {
		(void)snprintf(text,
			sizeof(text),
			"STAGING: redirect_all sends every message to %.*s and to nobody else",
			SV_ARG(redirect));
		add_notice(q, sv_from(text));
	}
	if (q->sources->outbound && !io_confine_state()->entered)
		add_notice(q,
			SV("NOT CONFINED: it was started with `confine: false`, and has every "
			   "right "
			   "of its user; remove the line and restart it when the support case is "
			   "closed"));
	else if (q->sources->outbound && !conf_general(conf)->confine)
		add_notice(q, SV("`confine: false` is new: it takes effect at the next start"));
	if (q->sources->alerts)
		observe_alerts_each_end(q->sources->alerts, add_notice, q);
	domain_watch_each(q->sources->domains, add_domain, q);
	for (unsigned p = 0; p < PROVIDER_COUNT; p++) {
		const char *ends = outbound_password_notice(conf, p);

		if (ends && !is_said(q, ends))
			add_notice(q, sv_from(ends));
	}
	observe_query_turns(q, q->names.count, emit_notice, done);
}

/* ---- all of it ---- */

static void emit_lane(struct observe_query *q, size_t at)
{
	struct observe_row *r = q->table.items[at];
	json_t *o;

	/* Mail without a route shows among what waits. */
	if (r->key.len == 0 || !r->has_status)
		return;
	o = observe_row_json(q, r);
	observe_json_sv(o, "type", SV("lane"));
	observe_query_emit(q, o);
}

static void lanes_shown(struct observe_query *q)
{
	observe_query_emit_waiting(q, observe_query_end);
}

static void show_lanes(struct observe_query *q)
{
	if (json_is_true(json_object_get(q->request, "lanes")))
		observe_query_turns(q, q->table.count, emit_lane, lanes_shown);
	else
		observe_query_end(q);
}

static void show_tokens(struct observe_query *q)
{
	q->names.count = 0;
	if (q->sources->tokens)
		q->names.items =
			identity_tokens_keys(q->sources->tokens, &q->page, &q->names.count);
	observe_query_turns(q, q->names.count, emit_token, show_lanes);
}

static void show_listeners(struct observe_query *q)
{
	if (!q->sources->inbound) {
		show_tokens(q);
		return;
	}
	emit_clients(q);
	inbound_each_listener(q->sources->inbound, emit_listener, q);
	q->names.items = inbound_quota_keys(q->sources->inbound, &q->page, &q->names.count);
	observe_query_turns(q, q->names.count, emit_quota, show_tokens);
}

static void rows_made(struct observe_query *q)
{
	observe_query_look(q, show_listeners);
}

static void notices_shown(struct observe_query *q)
{
	observe_query_rows(q, rows_made);
}

static void summed(struct observe_query *q)
{
	emit_relay(q);
	show_notices(q, notices_shown);
}

static void with_holds(struct observe_query *q)
{
	q->summary = (struct store_summary){ .out_arena = &q->page };
	observe_query_submit(q, STORE_OP_SUMMARY, summed);
}

void observe_query_status(struct observe_query *q)
{
	/* What could be counted is shown, and that it is damaged. */
	q->in_spite_of_damage = true;
	/* The queue would not answer now: what is known without it must be seen at once. */
	if (q->sources->outbound && store_health(q->sources->store).trouble != STORE_TROUBLE_NONE) {
		summed(q);
		return;
	}
	observe_query_with_holds(q, with_holds);
}

/* Even what was stopped: it was named. */
static void probe_named(struct observe_query *q)
{
	const struct conf *c = *q->sources->conf;
	struct sv name = observe_json_get_sv(q->request, "mailbox");
	const struct conf_member *m = conf_member_named(c, name);
	const struct conf_lane *lane = conf_lane(c, name);

	for (size_t i = 0; m && i < m->lane_count; i++)
		(void)outbound_probe(q->sources->outbound, m->lanes[i].key);
	if (!m && lane)
		(void)outbound_probe(q->sources->outbound, lane->key);
}

void observe_query_edited(struct observe_query *q)
{
	const struct sv kind = observe_json_get_sv(q->request, "kind");

	bool probe = sv_eq(kind, SV("retry")) || sv_eq(kind, SV("release"));

	if (!q->sources->outbound)
		return;
	if (probe)
		probe_named(q);
	outbound_kick(q->sources->outbound, probe);
}
