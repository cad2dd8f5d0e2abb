/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/text.h"
#include "identity/tokens.h"
#include "inbound/inbound.h"
#include "io/confine.h"
#include "observe/alerts.h"
#include "observe/cause.h"
#include "observe/groups.h"
#include "observe/query_priv.h"
#include "outbound/outbound.h"
#include "store/store_health.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

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

static void emit_relay(struct observe_query *q)
{
	const struct observe_sources *s = q->sources;
	struct store_health stats;
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
	observe_json_int(o, "disk_free_bytes", stats.free_bytes);
	observe_json_int(o, "commits", stats.commits);
	observe_json_int(o, "failed_commits", stats.failed_commits);
	put_confined(o);
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

static void emit_quota(void *arg, const struct inbound_quota_status *status)
{
	static const char *const names[QUOTA_COUNT][2] = {
		[QUOTA_RECIPIENTS] = { "day_used", "day_capacity" },
		[QUOTA_MESSAGES] = { "day_messages_used", "day_messages_capacity" },
		[QUOTA_BYTES] = { "day_bytes_used", "day_bytes_capacity" },
	};
	json_t *o = json_object();

	observe_json_sv(o, "type", status->is_device ? SV("device") : SV("user"));
	observe_json_sv(o, "name", status->name);
	for (size_t i = 0; i < QUOTA_COUNT; i++) {
		if (!status->of[i].limit && !(i == QUOTA_RECIPIENTS && status->is_device))
			continue;
		observe_json_int(o, names[i][0], status->of[i].used);
		observe_json_int(o, names[i][1], status->of[i].limit);
	}
	observe_json_int(o, "accepted", status->accepted);
	observe_json_int(o, "refused", status->refused);
	observe_json_int(o, "quota_refused", status->quota_refused);
	if (status->is_device)
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
	if (q->sources->outbound && !io_confine_state()->entered)
		emit_notice(q,
			"NOT CONFINED: it was started with `confine: false`, and has every right "
			"of "
			"its "
			"user; remove the line and restart it when the support case is closed");
	else if (q->sources->outbound && !conf_general(conf)->confine)
		emit_notice(q, "`confine: false` is new: it is heeded at the next start");
	if (q->sources->alerts)
		observe_alerts_each_end(q->sources->alerts, emit_end, q);
	for (unsigned p = 0; p < PROVIDER_COUNT; p++) {
		const char *ends = outbound_password_notice(conf, p);

		if (ends && !is_said(q, ends))
			emit_notice(q, ends);
	}
}

/* ---- what is held ---- */

struct look {
	struct observe_query *q;
	struct observe_groups groups;
	struct observe_rows rows;
};

static struct sv tenant_of(const struct conf_lane *c)
{
	return c && c->tenant ? c->tenant->name : SV("");
}

static struct observe_group fact_of(const struct observe_row *r, enum observe_scope scope)
{
	return (struct observe_group){ .scope = scope,
		.tenant = tenant_of(r->c),
		.lane = r->c,
		.names = { r->c ? r->c->name : r->key } };
}

static void add_held_lane(struct look *l, const struct observe_row *r)
{
	const struct outbound_lane_status *s = &r->status;
	bool parked = s->state == SCHED_LANE_PARKED || s->probing;
	struct observe_group fact = fact_of(r,
		r->c->kind == CONF_LANE_MAILBOX ? OBSERVE_SCOPE_MAILBOX : OBSERVE_SCOPE_CONNECTOR);

	fact.state = parked ? SV("parked") : SV("waiting");
	fact.needs = parked && observe_cause_needs_person(s->cause, s->nature)
			     ? OBSERVE_NEEDS_PERSON
			     : OBSERVE_NEEDS_TIME;
	fact.cause = s->cause;
	fact.summary = s->summary;
	fact.reply = s->reply;
	fact.nature = s->nature;
	fact.waiting = r->waiting - r->held;
	fact.oldest_at = r->oldest_at;
	fact.since = s->since;
	fact.next_at = s->next_at;
	observe_groups_add(&l->groups, &fact);
}

/* The minute's limit only sets the pace; the day's keeps mail back for hours. */
static bool is_pace(const struct observe_row *r)
{
	const struct sched_lane_use *use = &r->status.use;

	return sv_eq(r->status.cause, SV("limit")) &&
	       !(use->day_capacity && use->day_used >= use->day_capacity);
}

static bool is_held(const struct observe_row *r)
{
	return observe_row_is_held(r) && !is_pace(r);
}

struct held_cause {
	struct sv lane, tenant, cause;
	bool found;
};

/* Does a hold of a sender or of a tenant's outside tell of these already? */
static void look_for_hold(void *arg, const struct outbound_hold *hold)
{
	struct held_cause *w = arg;
	struct sv rest = hold->key, kind;

	(void)sv_cut_char(&rest, ':', &kind);
	if (!sv_eq(hold->cause, w->cause))
		return;
	w->found |= sv_eq(kind, SV("sender")) ? sv_starts(rest, w->lane) : sv_eq(rest, w->tenant);
}

/* Recipients that wait on a door that is well, each for an answer of its own. */
static void add_recipients(
	struct look *l, const struct observe_row *r, const struct store_summary_row *s)
{
	struct observe_group fact = fact_of(r, OBSERVE_SCOPE_RECIPIENT);
	struct held_cause already = { .lane = r->key, .tenant = fact.tenant, .cause = s->cause };
	bool held = s->state == STORE_RCPT_HELD, parked;

	if (!held) {
		if (s->state != STORE_RCPT_QUEUED || s->cause.len == 0 || is_held(r) ||
			sv_eq(s->cause, SV("limit")))
			return;
		observe_each_hold(l->q, look_for_hold, &already);
		if (already.found)
			return;
	}
	parked = !held && observe_cause_parks(s->cause);
	fact.cause = s->cause.len ? s->cause : SV("held");
	fact.state = held ? SV("held") : parked ? SV("parked") : SV("waiting");
	fact.needs = held || (parked && observe_cause_needs_person(s->cause, VERDICT_NATURE_OTHER))
			     ? OBSERVE_NEEDS_PERSON
			     : OBSERVE_NEEDS_TIME;
	fact.waiting = s->count;
	fact.oldest_at = s->oldest_at;
	observe_groups_add(&l->groups, &fact);
}

static uint64_t waiting_for(
	const struct observe_row *r, struct sv cause, struct wall_time *oldest_at)
{
	uint64_t count = 0;

	for (const struct observe_waiting *w = r->first; w; w = w->next) {
		if (w->row->state != STORE_RCPT_QUEUED || !sv_eq(w->row->cause, cause))
			continue;
		count += w->row->count;
		if (oldest_at->us == 0 || w->row->oldest_at.us < oldest_at->us)
			*oldest_at = w->row->oldest_at;
	}
	return count;
}

/* A sender on a mailbox, or what a tenant sends to the outside; where no daemon runs, mailboxes, too. */
static void add_hold(void *arg, const struct outbound_hold *hold)
{
	struct look *l = arg;
	struct sv rest = hold->key, kind;
	struct observe_group fact = { .state = SV("parked"),
		.cause = hold->cause,
		.summary = hold->summary,
		.reply = hold->reply,
		.nature = hold->nature,
		.since = hold->since,
		.next_at = hold->next_at };

	(void)sv_cut_char(&rest, ':', &kind);
	fact.needs = observe_cause_needs_person(hold->cause, hold->nature) ? OBSERVE_NEEDS_PERSON
									   : OBSERVE_NEEDS_TIME;
	if (sv_eq(kind, SV("tenant-external")))
		fact.scope = OBSERVE_SCOPE_TENANT_EXTERNAL;
	else if (sv_eq(kind, SV("sender")))
		fact.scope = OBSERVE_SCOPE_SENDER;
	else if (l->q->sources->outbound)
		return; /* its mailboxes tell it */
	fact.names[0] = rest;
	for (size_t i = 0; i < l->rows.count; i++) {
		const struct observe_row *r = &l->rows.items[i];
		bool own = sv_eq(kind, SV("mailbox")) ? sv_eq(rest, r->key)
			   : fact.scope == OBSERVE_SCOPE_SENDER
				   ? sv_starts(rest, r->key) &&
					     sv_starts(sv_skip(rest, r->key.len), SV(":"))
				   : r->c && r->c->tenant && sv_eq(rest, r->c->tenant->name);

		if (!own || r->key.len == 0)
			continue;
		fact.tenant = tenant_of(r->c);
		fact.lane = fact.scope == OBSERVE_SCOPE_TENANT_EXTERNAL ? NULL : r->c;
		if (fact.scope == OBSERVE_SCOPE_SENDER)
			fact.names[0] = fact.sender = sv_skip(rest, r->key.len + 1);
		else if (fact.scope == OBSERVE_SCOPE_MAILBOX && r->c)
			fact.names[0] = r->c->name;
		fact.waiting += waiting_for(r, hold->cause, &fact.oldest_at);
	}
	observe_groups_add(&l->groups, &fact);
}

static const struct conf_tenant *tenant_named(const struct conf *conf, struct sv name)
{
	size_t count;
	const struct conf_tenant *const *tenants = conf_tenants(conf, &count);

	for (size_t i = 0; name.len && i < count; i++)
		if (sv_eq(tenants[i]->name, name))
			return tenants[i];
	return NULL;
}

static void emit_group(struct observe_query *q, const struct observe_group *g)
{
	const struct observe_cause_facts facts = { .lane = g->count == 1 ? g->lane : NULL,
		.tenant = tenant_named(q->conf, g->tenant),
		.sender = g->sender };
	json_t *o = json_object(), *names = json_array();

	observe_json_sv(o, "type", SV("group"));
	observe_json_sv(o, "needs", g->needs == OBSERVE_NEEDS_PERSON ? SV("person") : SV("time"));
	observe_json_sv(o, "scope", sv_from(observe_scope_name(g->scope)));
	observe_json_sv(o, "state", g->state);
	observe_json_int(o, "count", g->count);
	observe_json_sv(o, "tenant", g->tenant);
	observe_json_int(o, "tenants", g->tenants);
	for (size_t i = 0; i < OBSERVE_GROUP_NAMES && g->names[i].len; i++)
		(void)json_array_append_new(names, json_stringn(g->names[i].ptr, g->names[i].len));
	(void)json_object_set_new(o, "names", names);
	if (g->lane)
		observe_json_sv(o, "mailbox", g->lane->name);
	observe_json_sv(o, "reason", g->cause);
	observe_json_sv(o, "nature", sv_from(verdict_nature_name(g->nature)));
	observe_json_int(o, "waiting", g->waiting);
	observe_json_wall(o, "oldest_at", g->oldest_at);
	observe_json_wall(o, "since", g->since);
	observe_json_wall(o, "next_at", g->next_at);
	observe_json_sv(o, "summary", g->summary);
	observe_json_sv(o, "reply", g->reply);
	observe_cause_put(o, g->cause, &facts);
	observe_query_emit(q, o);
}

static void emit_groups(struct look *l)
{
	l->groups.arena = &l->q->arena;
	for (size_t i = 0; i < l->rows.count; i++) {
		const struct observe_row *r = &l->rows.items[i];

		if (is_held(r))
			add_held_lane(l, r);
		for (const struct observe_waiting *w = r->first; w; w = w->next)
			add_recipients(l, r, w->row);
	}
	observe_each_hold(l->q, add_hold, l);
	observe_groups_sort(&l->groups);
	for (size_t i = 0; i < l->groups.count && i < OBSERVE_GROUPS_MAX; i++)
		emit_group(l->q, l->groups.items[i]);
	observe_groups_deinit(&l->groups);
}

/* ---- what is well ---- */

struct well {
	struct sv tenant;
	uint64_t mailboxes, connectors, used, capacity, waiting;
	struct wall_time done_at;
};

static int by_use(const void *a, const void *b)
{
	const struct well *x = a, *y = b;

	if (x->used != y->used)
		return x->used > y->used ? -1 : 1;
	return sv_cmp(x->tenant, y->tenant);
}

static void add_well(struct well *t, const struct observe_row *r, struct wall_time now)
{
	struct sched_lane_use use = observe_row_use(r);
	struct wall_time done = observe_row_done_at(r, now);

	t->mailboxes += r->c->kind == CONF_LANE_MAILBOX;
	t->connectors += r->c->kind == CONF_LANE_CONNECTOR;
	t->used += use.day_used;
	t->capacity += use.day_capacity;
	t->waiting += r->waiting - r->held;
	if (done.us > t->done_at.us)
		t->done_at = done;
}

static void emit_well(struct look *l)
{
	struct well *wells = arena_alloc(&l->q->arena, (l->rows.count + 1) * sizeof(*wells));
	struct htable by_tenant = { 0 };
	size_t count = 0;

	for (size_t i = 0; i < l->rows.count; i++) {
		const struct observe_row *r = &l->rows.items[i];
		struct well *t;

		if (!r->c || is_held(r))
			continue;
		t = htable_get(&by_tenant, tenant_of(r->c));
		if (!t) {
			t = &wells[count++];
			t->tenant = tenant_of(r->c);
			htable_put(&by_tenant, t->tenant, t);
		}
		add_well(t, r, io_wall(l->q->sources->loop));
	}
	htable_deinit(&by_tenant);
	if (count)
		qsort(wells, count, sizeof(*wells), by_use);
	for (size_t i = 0; i < count; i++) {
		json_t *o = json_object();

		observe_json_sv(o, "type", SV("healthy"));
		observe_json_sv(o, "tenant", wells[i].tenant);
		observe_json_int(o, "mailboxes", wells[i].mailboxes);
		observe_json_int(o, "connectors", wells[i].connectors);
		observe_json_int(o, "day_used", wells[i].used);
		observe_json_int(o, "day_capacity", wells[i].capacity);
		observe_json_int(o, "waiting", wells[i].waiting);
		observe_json_wall(o, "done_at", wells[i].done_at);
		observe_query_emit(l->q, o);
	}
}

/* ---- all of it ---- */

static void emit_lane(struct observe_query *q, size_t at)
{
	struct observe_row *r = &q->shown_rows[at];
	json_t *o;

	/* Mail without a route shows among what waits. */
	if (r->key.len == 0 || !q->sources->outbound ||
		!outbound_lane_look(q->sources->outbound, r->key, &r->status))
		return;
	o = observe_row_json(q, r);
	observe_json_sv(o, "type", SV("lane"));
	observe_query_emit(q, o);
}

static void lanes_shown(struct observe_query *q)
{
	observe_query_emit_waiting(q);
	observe_query_end(q);
}

static void summed(struct observe_query *q)
{
	struct look l = { .q = q };

	observe_rows_make(&q->page, q->conf, q->sources->outbound, &q->summary, &l.rows);
	emit_relay(q);
	emit_notices(q);
	emit_groups(&l);
	if (q->sources->outbound)
		emit_well(&l);
	if (q->sources->inbound) {
		emit_clients(q);
		inbound_each_listener(q->sources->inbound, emit_listener, q);
		inbound_each_quota(q->sources->inbound, emit_quota, q);
	}
	if (q->sources->tokens)
		identity_tokens_each(q->sources->tokens, emit_token, q);
	if (!json_is_true(json_object_get(q->request, "lanes"))) {
		observe_query_end(q);
		return;
	}
	q->shown_rows = l.rows.items;
	observe_query_turns(q, l.rows.count, emit_lane, lanes_shown);
}

static void with_holds(struct observe_query *q)
{
	q->summary = (struct store_summary){ .out_arena = &q->page };
	observe_query_submit(q, STORE_OP_SUMMARY, summed);
}

void observe_query_status(struct observe_query *q)
{
	/* The queue would not answer now: what is known without it must be seen at once. */
	if (q->sources->outbound && store_health(q->sources->store).trouble != STORE_TROUBLE_NONE) {
		summed(q);
		return;
	}
	observe_query_with_holds(q, with_holds);
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
