/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/text.h"
#include "identity/tokens.h"
#include "inbound/inbound.h"
#include "observe/alerts.h"
#include "observe/query_priv.h"
#include "outbound/outbound.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

/* `postern status`: the relay, its listeners, its lanes, and what waits. */

static void emit_relay(struct observe_query *q)
{
	const struct observe_sources *s = q->sources;
	struct store_stats stats;
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("relay"));
	observe_json_sv(o, "version", SV(POSTERN_VERSION));
	(void)json_object_set_new(o, "running", json_boolean(s->outbound != NULL));
	observe_json_sv(o, "hostname", conf_general(*s->conf)->hostname);
	observe_json_int(o, "uptime_seconds", mono_span(s->started_at, io_now(s->loop)) / US_PER_S);
	observe_json_int(o, "pid", (uint64_t)getpid());
	observe_json_int(o, "messages_waiting", q->summary.out_messages_waiting);
	observe_json_int(o, "bytes_waiting", q->summary.out_bytes_waiting);
	observe_json_int(o, "history_messages", q->summary.out_history_messages);
	observe_json_int(o, "delivered_day", q->summary.out_delivered_day);
	observe_json_int(o, "bounced_day", q->summary.out_bounced_day);
	/* Asking measures the disk when nobody did lately. */
	(void)json_object_set_new(o, "disk_full", json_boolean(store_room(s->store, 0, 0) != 0));
	stats = store_stats(s->store);
	observe_json_int(o, "disk_free_bytes", stats.free_bytes);
	observe_json_int(o, "commits", stats.commits);
	observe_json_int(o, "failed_commits", stats.failed_commits);
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

static void emit_device(void *arg, const struct inbound_device_status *status)
{
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("device"));
	observe_json_sv(o, "name", status->name);
	observe_json_int(o, "day_used", status->used);
	observe_json_int(o, "day_capacity", status->per_day);
	observe_json_int(o, "accepted", status->accepted);
	observe_json_int(o, "refused", status->refused);
	observe_json_int(o, "quota_refused", status->quota_refused);
	observe_json_int(o, "legacy_sessions", status->legacy_sessions);
	observe_query_emit(arg, o);
}

/* Whose token it is and how long it lasts, never the token. */
static void emit_token(void *arg, const struct identity_token_status *status)
{
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("token"));
	observe_json_sv(o, "tenant", status->tenant);
	observe_json_sv(o, "user", status->user);
	observe_json_sv(o, "scope", status->scope);
	observe_json_int(o, "refreshes", status->refreshes);
	if (status->expires_at.us) {
		observe_json_wall(o, "expires_at", status->expires_at);
		observe_json_wall(o, "refreshed_at", status->refreshed_at);
	}
	if (status->cause.len) {
		observe_json_sv(o, "reason", status->cause);
		observe_json_sv(o, "reply", status->reply);
	}
	observe_query_emit(arg, o);
}

static void emit_lane(void *arg, const struct outbound_lane_status *status)
{
	bool held = status->state != SCHED_LANE_READY;
	struct observe_query *q = arg;
	json_t *o;

	/* Mail without a route shows among what waits. */
	if (status->lane.len == 0)
		return;
	o = json_object();
	observe_json_sv(o, "type", SV("lane"));
	observe_json_sv(o, "lane", status->lane);
	observe_json_sv(o, "state", sv_from(sched_lane_state_name(status->state)));
	observe_json_int(o, "connections", status->connections);
	observe_json_int(o, "minute_used", status->use.minute_used);
	observe_json_int(o, "minute_capacity", status->use.minute_capacity);
	observe_json_int(o, "day_used", status->use.day_used);
	observe_json_int(o, "day_capacity", status->use.day_capacity);
	observe_json_sv(o, "sign_in", status->sign_in);
	(void)json_object_set_new(
		o, "checks", observe_six(conf_lane(*q->sources->conf, status->lane), status));
	if (status->has_cost) {
		observe_json_int(o, "delivered_month", status->delivered_month);
		observe_json_int(o, "cost_cents", status->cost_cents);
	}
	if (status->moved) {
		observe_json_int(o, "moved", status->moved);
		observe_json_sv(o, "moved_to", status->moved_to);
	}
	if (held) {
		observe_json_wall(o, "next_at", status->next_at);
		observe_json_wall(o, "since", status->since);
		observe_json_sv(o, "reason", status->cause);
		observe_json_sv(o, "summary", status->summary);
		observe_json_sv(o, "reply", status->reply);
	}
	observe_query_emit(arg, o);
}

static void emit_notice(struct observe_query *q, const char *text)
{
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("notice"));
	observe_json_sv(o, "text", sv_from(text));
	observe_query_emit(q, o);
}

static void emit_end(void *arg, struct sv text)
{
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("notice"));
	observe_json_sv(o, "text", text);
	observe_query_emit(arg, o);
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

static void emit_notices(struct observe_query *q)
{
	const struct conf *conf = *q->sources->conf;
	struct sv redirect = conf_general(conf)->redirect_all;
	char text[LIMIT_ADDRESS + 128];

	if (redirect.len) {
		(void)snprintf(text,
			sizeof(text),
			"STAGING: redirect_all sends every message to %.*s and to nobody else",
			SV_ARG(redirect));
		emit_notice(q, text);
	}
	if (q->sources->alerts)
		observe_alerts_each_end(q->sources->alerts, emit_end, q);
	for (unsigned p = 0; p < PROVIDER_COUNT; p++) {
		const char *ends = outbound_password_notice(conf, p);

		if (ends && !is_said(q, ends))
			emit_notice(q, ends);
	}
}

static void summed(struct observe_query *q)
{
	emit_relay(q);
	emit_notices(q);
	if (q->sources->inbound)
		inbound_each_listener(q->sources->inbound, emit_listener, q);
	if (q->sources->inbound)
		inbound_each_device(q->sources->inbound, emit_device, q);
	if (q->sources->outbound)
		outbound_each_lane(q->sources->outbound, emit_lane, q);
	if (q->sources->tokens)
		identity_tokens_each(q->sources->tokens, emit_token, q);
	observe_query_emit_waiting(q);
	observe_query_end(q);
}

void observe_query_status(struct observe_query *q)
{
	q->summary.out_arena = &q->page;
	observe_query_submit(q, STORE_OP_SUMMARY, summed);
}

void observe_query_edited(struct observe_query *q)
{
	const struct sv kind = observe_json_get_sv(q->request, "kind");

	/* The lane may never have had mail: it learns of it here. */
	if (q->sources->outbound && q->edit.kind == STORE_EDIT_REROUTE)
		outbound_queued(q->sources->outbound, q->edit.lane);
	if (q->sources->outbound)
		outbound_kick(q->sources->outbound,
			sv_eq(kind, SV("retry")) || sv_eq(kind, SV("release")),
			q->edit.filter.lane);
}
