/* SPDX-License-Identifier: Apache-2.0 */
#include "base/htable.h"
#include "base/must.h"
#include "observe/query_priv.h"
#include "outbound/outbound.h"
#include "provider/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>

/*
 * `postern mailboxes`: every mailbox and connector, those without mail too, and those that are gone from
 * the configuration while mail waits for them. And the six things that must be right at once.
 */
struct row {
	struct sv key;
	const struct conf_lane *c;                 /* NULL: not configured any more */
	const struct outbound_lane_status *status; /* NULL: never had mail, or no daemon */
	uint64_t waiting, held;
	struct wall_time oldest_at;
};

struct rows {
	struct observe_query *q;
	struct outbound_lane_status *statuses;
	size_t count;
};

enum {
	CHECK_TEXT_MAX = 256,
	VOLUME_WARN_PERCENT = 80,
};

/* ---- the six ---- */

struct check {
	const char *state; /* "ok", "warn", "fail", "unknown", "none" (does not apply) */
	char text[CHECK_TEXT_MAX];
};

static struct check PRINTF_LIKE(2, 3) check(const char *state, const char *fmt, ...)
{
	struct check c = { .state = state };
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(c.text, sizeof(c.text), fmt, args);
	va_end(args);
	return c;
}

/* What is known only from mail that went: `from` is what a success shows. */
static struct check from_mail(const struct row *r, const char *from)
{
	char at[WALL_RFC3339_MAX];

	if (!r->status || r->status->delivered_at.us == 0)
		return check("unknown", "no message has left since the start of the daemon");
	return check("ok",
		"%s, as of the last message at %s",
		from,
		wall_rfc3339(r->status->delivered_at, at));
}

static bool holds(const struct row *r, enum verdict_nature nature)
{
	return r->status && r->status->cause.len && r->status->nature == nature;
}

static bool is_smtp_auth_off(const struct row *r)
{
	return holds(r, VERDICT_NATURE_AUTHENTICATION) &&
	       sv_eq(r->status->cause, SV("smtp-auth-off"));
}

static struct check settings_check(const struct row *r)
{
	if (holds(r, VERDICT_NATURE_OUTAGE))
		return check("fail",
			"%.*s: %.*s",
			SV_ARG(r->status->cause),
			SV_ARG(sv_head(r->status->summary, 160)));
	return from_mail(r, "server, port and TLS work");
}

static struct check smtp_auth_check(const struct row *r)
{
	if (!r->c || r->c->kind == CONF_LANE_CONNECTOR || r->c->provider != PROVIDER_SUBMISSION)
		return check("none", "this door does not need it");
	if (is_smtp_auth_off(r))
		return check("fail", "SMTP AUTH is off for this mailbox or its tenant");
	return from_mail(r, "SMTP AUTH is on");
}

static struct check credentials_check(const struct row *r)
{
	if (!r->c || r->c->sign_in == CONF_SIGN_IN_NONE)
		return check("none", "nobody signs in");
	if (holds(r, VERDICT_NATURE_AUTHENTICATION) && !is_smtp_auth_off(r))
		return check("fail",
			"%.*s: %.*s",
			SV_ARG(r->status->cause),
			SV_ARG(sv_head(r->status->summary, 160)));
	if (is_smtp_auth_off(r))
		return check("unknown", "not looked at by the server while SMTP AUTH is off");
	return from_mail(r,
		r->c->sign_in == CONF_SIGN_IN_PASSWORD ? "the password is accepted"
						       : "the token is accepted");
}

static struct check volume_check(const struct sched_lane_use *use)
{
	bool full = (use->day_capacity && use->day_used >= use->day_capacity) ||
		    (use->minute_capacity && use->minute_used >= use->minute_capacity);
	bool near = use->day_capacity && (uint64_t)use->day_used * 100 >=
						 (uint64_t)use->day_capacity * VOLUME_WARN_PERCENT;

	if (use->day_capacity == 0 && use->minute_capacity == 0)
		return check("none", "no limit is configured");
	return check(full   ? "fail"
		     : near ? "warn"
			    : "ok",
		"%u of %u recipients in 24 hours",
		use->day_used,
		use->day_capacity);
}

static void put_check(json_t *checks, const char *name, const struct check *c)
{
	json_t *o = json_object();

	observe_json_sv(o, "state", sv_from(c->state));
	observe_json_sv(o, "text", sv_from(c->text));
	must(json_object_set_new(checks, name, o) == 0);
}

static json_t *checks_json(const struct row *r, const struct sched_lane_use *use)
{
	const struct check six[] = { settings_check(r),
		smtp_auth_check(r),
		credentials_check(r),
		check("unknown", "not checked: SPF, DKIM and DMARC are not looked at here"),
		check("none", "no ramp is configured"),
		volume_check(use) };
	static const char *const names[] = {
		"settings", "smtp_auth", "credentials", "domain", "warmed", "volume"
	};
	json_t *checks = json_object();

	for (size_t i = 0; i < COUNT_OF(six); i++)
		put_check(checks, names[i], &six[i]);
	return checks;
}

/* ---- a row ---- */

static uint32_t share_of(uint32_t limit, uint32_t percent)
{
	uint64_t share = (uint64_t)limit * percent / 100;

	return limit && share == 0 ? 1 : (uint32_t)share;
}

static struct sched_lane_use use_of(const struct row *r)
{
	const struct conf_limits *limits = r->c ? &r->c->limits : NULL;

	if (r->status)
		return r->status->use;
	if (!limits)
		return (struct sched_lane_use){ 0 };
	return (struct sched_lane_use){
		.minute_capacity = share_of(limits->messages_per_minute, limits->share_percent),
		.day_capacity = share_of(limits->recipients_per_day, limits->share_percent),
	};
}

/* What frees it: time, a probe, a person; or nothing holds it. */
static const char *freed_by(const struct outbound_lane_status *s)
{
	if (s->state == SCHED_LANE_WAITING)
		return "time";
	if (s->probing)
		return "probe";
	if (s->state != SCHED_LANE_PARKED)
		return "";
	return s->next_at.us ? "probe" : "person";
}

static const char *state_of(const struct observe_query *q, const struct row *r)
{
	if (!r->c)
		return "gone";
	if (!q->sources->outbound)
		return "stopped";
	if (!r->status)
		return "unused";
	return r->status->state == SCHED_LANE_READY && r->status->probing
		       ? "probing"
		       : sched_lane_state_name(r->status->state);
}

static void put_status(json_t *o, const struct outbound_lane_status *s)
{
	bool held = s->state != SCHED_LANE_READY || s->probing;

	observe_json_int(o, "connections", s->connections);
	observe_json_wall(o, "slot_at", s->slot_at);
	observe_json_wall(o, "delivered_at", s->delivered_at);
	if (!held)
		return;
	observe_json_sv(o, "freed_by", sv_from(freed_by(s)));
	observe_json_wall(o, "next_at", s->next_at);
	observe_json_wall(o, "since", s->since);
	observe_json_sv(o, "reason", s->cause);
	observe_json_sv(o, "nature", sv_from(verdict_nature_name(s->nature)));
	observe_json_sv(o, "summary", s->summary);
	observe_json_sv(o, "reply", s->reply);
}

static void emit_row(struct observe_query *q, const struct row *r)
{
	struct sched_lane_use use = use_of(r);
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("mailbox"));
	observe_json_sv(o, "name", r->c ? r->c->name : r->key);
	observe_json_sv(o, "lane", r->key);
	if (r->c) {
		observe_json_sv(o,
			"kind",
			r->c->kind == CONF_LANE_MAILBOX ? SV("mailbox") : SV("connector"));
		observe_json_sv(o, "provider", sv_from(provider_name(r->c->provider)));
	}
	observe_json_sv(o, "state", sv_from(state_of(q, r)));
	observe_json_int(o, "minute_used", use.minute_used);
	observe_json_int(o, "minute_capacity", use.minute_capacity);
	observe_json_int(o, "day_used", use.day_used);
	observe_json_int(o, "day_capacity", use.day_capacity);
	observe_json_int(o, "waiting", r->waiting);
	observe_json_int(o, "held", r->held);
	observe_json_wall(o, "oldest_at", r->oldest_at);
	if (r->status)
		put_status(o, r->status);
	must(json_object_set_new(o, "checks", checks_json(r, &use)) == 0);
	observe_query_emit(q, o);
	q->rows++;
}

json_t *observe_six(const struct conf_lane *c, const struct outbound_lane_status *status)
{
	const struct row r = { .c = c, .status = status };

	return checks_json(&r, &status->use);
}

/* ---- all of them ---- */

static void count_lane(void *arg, const struct outbound_lane_status *status)
{
	size_t *count = arg;

	(void)status;
	++*count;
}

/* The views in it live as long as the lanes do: nothing runs in between. */
static void keep_status(void *arg, const struct outbound_lane_status *status)
{
	struct rows *all = arg;

	all->statuses[all->count++] = *status;
}

static void count_waiting(const struct observe_query *q, struct row *r)
{
	for (size_t i = 0; i < q->summary.out_count; i++) {
		const struct store_summary_row *s = &q->summary.out_rows[i];

		if (!sv_eq(s->lane, r->key))
			continue;
		r->waiting += s->count;
		if (s->state == STORE_RCPT_HELD)
			r->held += s->count;
		if (r->oldest_at.us == 0 || s->oldest_at.us < r->oldest_at.us)
			r->oldest_at = s->oldest_at;
	}
}

static bool shown_before(const struct observe_query *q, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (sv_eq(q->summary.out_rows[i].lane, q->summary.out_rows[at].lane))
			return true;
	return false;
}

static void emit_configured(struct rows *all, struct htable *by_key)
{
	size_t count;
	const struct conf_lane *lanes = conf_lanes(*all->q->sources->conf, &count);

	for (size_t i = 0; i < count; i++) {
		struct row r = { .key = lanes[i].key,
			.c = &lanes[i],
			.status = htable_get(by_key, lanes[i].key) };

		count_waiting(all->q, &r);
		emit_row(all->q, &r);
	}
}

static void emit_gone(struct rows *all)
{
	struct observe_query *q = all->q;

	for (size_t i = 0; i < q->summary.out_count; i++) {
		struct row r = { .key = q->summary.out_rows[i].lane };

		if (r.key.len == 0 || conf_lane(*q->sources->conf, r.key) || shown_before(q, i))
			continue;
		count_waiting(q, &r);
		emit_row(q, &r);
	}
}

static void summed(struct observe_query *q)
{
	struct rows all = { .q = q };
	struct htable by_key = { 0 };
	size_t count = 0;

	if (q->sources->outbound) {
		outbound_each_lane(q->sources->outbound, count_lane, &count);
		all.statuses = arena_alloc(&q->page, (count + 1) * sizeof(*all.statuses));
		outbound_each_lane(q->sources->outbound, keep_status, &all);
	}
	for (size_t i = 0; i < all.count; i++)
		htable_put(&by_key, all.statuses[i].lane, &all.statuses[i]);
	emit_configured(&all, &by_key);
	emit_gone(&all);
	htable_deinit(&by_key);
	observe_query_end(q);
}

void observe_query_mailboxes(struct observe_query *q)
{
	q->summary.out_arena = &q->page;
	observe_query_submit(q, STORE_OP_SUMMARY, summed);
}

/* ---- one is tried now ---- */

static void probe_page(struct observe_query *q);

/* Its mail is due now: the probe takes the first of it. */
static void made_due(struct observe_query *q)
{
	bool stopped;
	json_t *o;

	q->changed += q->edit.out_changed;
	if (q->edit.out_more) {
		probe_page(q);
		return;
	}
	stopped = outbound_probe(q->sources->outbound, q->edit.filter.lane);
	o = json_object();
	observe_json_sv(o, "type", SV("probe"));
	observe_json_sv(o, "lane", q->edit.filter.lane);
	observe_json_int(o, "waiting", q->changed);
	must(json_object_set_new(o, "released_reputation", json_boolean(stopped)) == 0);
	observe_query_emit(q, o);
	observe_query_end(q);
}

static void probe_page(struct observe_query *q)
{
	q->edit.out_changed = 0;
	observe_query_submit(q, STORE_OP_EDIT, made_due);
}

void observe_query_probe(struct observe_query *q)
{
	struct sv name = observe_json_get_sv(q->request, "mailbox");
	const struct conf_lane *lane;

	if (!q->sources->outbound) {
		observe_query_fail(q,
			EX_UNAVAILABLE,
			"the daemon does not run: start it, and it tries by itself");
		return;
	}
	lane = conf_lane_named(*q->sources->conf, name);
	lane = lane ? lane : conf_lane(*q->sources->conf, name);
	if (!lane) {
		observe_query_fail(q, EX_NOUSER, "there is no mailbox or connector of this name");
		return;
	}
	q->edit.kind = STORE_EDIT_RETRY;
	q->edit.at = io_wall(q->sources->loop);
	q->edit.filter = (struct store_filter){ .state = STORE_RCPT_QUEUED,
		.waiting_only = true,
		.lane = arena_sv(&q->arena, lane->key) };
	probe_page(q);
}
