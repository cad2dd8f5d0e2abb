/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "domain/watch.h"
#include "observe/cause.h"
#include "observe/query_priv.h"
#include "observe/where.h"
#include "provider/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One mailbox or connector, with the six things that must be right at once. */
enum {
	CHECK_TEXT_MAX = 256,
	VOLUME_WARN_PERCENT = 80,
};

/* ---- the six ---- */

struct check {
	const char *state; /* "ok", "warn", "fail", "unknown", "none" (does not apply) */
	char text[CHECK_TEXT_MAX];
	bool by_cause;  /* the step is that of what holds it */
	bool by_check;  /* the step is `postern check` */
	bool by_domain; /* `postern domain check` */
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
static struct check from_mail(const struct observe_row *r, const char *from)
{
	struct check c = check("ok", "%s, as of the last message", from);

	if (r->has_status && r->status.delivered_at.us != 0)
		return c;
	c = check("unknown", "no message has left since the start of the daemon");
	c.by_check = true;
	return c;
}

static struct check failed(const struct observe_row *r)
{
	struct check c = check("fail", "%.*s", SV_ARG(sv_head(r->status.cause, 200)));

	c.by_cause = true;
	return c;
}

static bool holds(const struct observe_row *r, enum verdict_nature nature)
{
	return r->has_status && r->status.cause.len && r->status.nature == nature;
}

static bool is_smtp_auth_off(const struct observe_row *r)
{
	return holds(r, VERDICT_NATURE_AUTHENTICATION) &&
	       sv_eq(r->status.cause, SV("smtp-auth-off"));
}

static struct check settings_check(const struct observe_row *r)
{
	return holds(r, VERDICT_NATURE_OUTAGE) ? failed(r)
					       : from_mail(r, "server, port and TLS work");
}

static struct check smtp_auth_check(const struct observe_row *r)
{
	if (!r->c || !provider_defaults(r->c->provider)->is_smtp_auth)
		return check("none", "this door does not need it");
	return is_smtp_auth_off(r) ? failed(r) : from_mail(r, "SMTP AUTH is on");
}

static struct check credentials_check(const struct observe_row *r)
{
	struct check c;

	if (!r->c || r->c->sign_in == CONF_SIGN_IN_NONE)
		return check("none", "this door needs no sign-in");
	if (holds(r, VERDICT_NATURE_AUTHENTICATION) && !is_smtp_auth_off(r))
		return failed(r);
	if (!is_smtp_auth_off(r))
		return from_mail(r,
			r->c->sign_in == CONF_SIGN_IN_PASSWORD ? "the password is accepted"
							       : "the token is accepted");
	c = check("unknown", "the server does not look at them while SMTP AUTH is off");
	c.by_check = true;
	return c;
}

/* As receivers of bulk mail judge the sender's domain (domain/watch.h). */
static struct check domain_mark(const struct observe_row *r, const struct domain_watch *watch)
{
	ptrdiff_t at = r->c ? sv_rfind_char(r->c->name, '@') : -1;
	struct sv domain = at >= 0 ? sv_skip(r->c->name, (size_t)at + 1) : SV("");
	const struct domain_state *state = domain_watch_get(watch, domain);
	struct check c = check("unknown", "SPF, DKIM and DMARC of its domain");

	if (state && state->meets == DOMAIN_MEETS)
		c = check("ok",
			"SPF, DKIM and DMARC of %.*s are as receivers want them",
			SV_ARG(sv_head(domain, 100)));
	else if (state && state->meets == DOMAIN_FAILS)
		c = check("fail", "%.*s", SV_ARG(sv_head(state->why, CHECK_TEXT_MAX - 1)));
	c.by_domain = domain.len && strcmp(c.state, "ok") != 0;
	return c;
}

static bool is_full(const struct limit_window_use *u)
{
	return u->shut || (u->capacity && u->used >= u->capacity);
}

static struct check volume_check(const struct observe_row *r)
{
	struct limit_use use = observe_row_use(r);
	bool full = is_full(&use.day) || is_full(&use.day_messages) || is_full(&use.minute);
	bool near = use.day.capacity && (uint64_t)use.day.used * 100 >=
						(uint64_t)use.day.capacity * VOLUME_WARN_PERCENT;

	if (holds(r, VERDICT_NATURE_QUOTA) || holds(r, VERDICT_NATURE_REPUTATION))
		return failed(r);
	if (use.day.capacity == 0 && use.minute.capacity == 0)
		return check("none", "no limit is configured");
	return check(full   ? "fail"
		     : near ? "warn"
			    : "ok",
		"%u of %u messages in this minute, %u of %u recipients in 24 hours",
		use.minute.used,
		use.minute.capacity,
		use.day.used,
		use.day.capacity);
}

static void put_check(json_t *checks, const char *name, const struct check *c,
	const struct observe_row *r, const json_t *row)
{
	const char *step = json_string_value(json_object_get(row, "step"));
	const char *title = json_string_value(json_object_get(row, "title"));

	json_t *o = json_object();
	char by_check[CHECK_TEXT_MAX];

	observe_json_sv(o, "state", sv_from(c->state));
	observe_json_sv(o, "text", sv_from(c->by_cause && title ? title : c->text));
	if (c->by_cause && step)
		observe_json_sv(o, "step", sv_from(step));
	if (c->by_check && r->c && r->c->kind == CONF_LANE_MAILBOX) {
		(void)snprintf(
			by_check, sizeof(by_check), "postern check %.*s", SV_ARG(r->c->name));
		observe_json_sv(o, "step", sv_from(by_check));
	}
	if (c->by_domain) {
		struct sv domain = sv_skip(r->c->name, (size_t)sv_rfind_char(r->c->name, '@') + 1);

		(void)snprintf(
			by_check, sizeof(by_check), "postern domain check %.*s", SV_ARG(domain));
		observe_json_sv(o, "step", sv_from(by_check));
	}
	must(json_object_set_new(checks, name, o) == 0);
}

static json_t *checks_json(
	const struct observe_row *r, const json_t *row, const struct domain_watch *domains)
{
	const struct check six[] = { settings_check(r),
		smtp_auth_check(r),
		credentials_check(r),
		domain_mark(r, domains),
		check("none", "no ramp is configured"),
		volume_check(r) };
	static const char *const names[] = {
		"settings", "smtp_auth", "credentials", "domain", "warmed", "volume"
	};
	json_t *checks = json_object();

	for (size_t i = 0; i < COUNT_OF(six); i++)
		put_check(checks, names[i], &six[i], r, row);
	return checks;
}

/* ---- a row ---- */

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

static void put_status(json_t *o, const struct observe_row *r)
{
	const struct outbound_lane_status *s = &r->status;
	const struct observe_cause_facts facts = { .lane = r->c };

	observe_json_int(o, "connections", s->connections);
	observe_json_int(o, "connections_max", s->connections_max);
	observe_json_int(o, "connections_limit", s->connections_limit);
	observe_json_sv(o, "sign_in", s->sign_in);
	observe_json_wall(o, "slot_at", s->slot_at);
	observe_json_wall(o, "delivered_at", s->delivered_at);
	if (s->has_cost) {
		observe_json_int(o, "delivered_month", s->delivered_month);
		observe_json_int(o, "cost_cents", s->cost_cents);
	}
	if (s->moved) {
		observe_json_int(o, "moved", s->moved);
		observe_json_sv(o, "moved_to", s->moved_to);
	}
	if (!observe_row_is_held(r))
		return;
	observe_json_sv(o, "freed_by", sv_from(freed_by(s)));
	observe_json_wall(o, "next_at", s->next_at);
	observe_json_wall(o, "since", s->since);
	observe_json_sv(o, "reason", s->cause);
	observe_json_sv(o, "nature", sv_from(verdict_nature_name(s->nature)));
	observe_json_sv(o, "summary", s->summary);
	observe_json_sv(o, "reply", s->reply);
	observe_cause_put(o, s->cause, &facts);
}

static void put_pace(const struct observe_query *q, json_t *o, const struct observe_row *r)
{
	struct wall_time done = observe_row_done_at(r, io_wall(q->sources->loop));
	json_t *pace = json_object();

	observe_json_wall(o, "done_at", done);
	if (done.us)
		observe_pace_put(pace, &r->pace, r->c);
	if (json_object_size(pace))
		(void)json_object_set(o, "pace", pace);
	json_decref(pace);
}

static const char *unit_of(const struct outbound_limit *l)
{
	if (l->window == LIMIT_MINUTE || l->window == LIMIT_DAY_MESSAGES)
		return "messages";
	return l->side == LIMIT_EXTERNAL   ? "external recipients"
	       : l->side == LIMIT_INTERNAL ? "internal recipients"
					   : "recipients";
}

static json_t *limit_json(const struct outbound_limit *l, const struct observe_row *r)
{
	bool own = r->c && sv_eq(l->scope, r->c->member->key);
	json_t *o = json_object();

	observe_json_sv(o,
		"limit",
		l->window == LIMIT_MINUTE  ? SV("minute")
		: l->window == LIMIT_HOUR  ? SV("hour")
		: l->window == LIMIT_MONTH ? SV("month")
					   : SV("day"));
	observe_json_sv(o, "limit_of", own ? SV("own") : sv_from(observe_scope_kind(l->scope)));
	observe_json_sv(o, "limit_name", sv_skip(l->scope, 2));
	observe_json_sv(o, "unit", sv_from(unit_of(l)));
	observe_json_int(o, "used", l->used);
	if (l->capacity) {
		observe_json_int(o, "capacity", l->capacity);
		observe_json_int(o, "left", l->used < l->capacity ? l->capacity - l->used : 0);
	}
	observe_json_wall(o, "free_at", l->free_at);
	if (l->learned)
		observe_json_int(o, "learned", l->learned);
	observe_json_wall(o, "learned_at", l->learned_at);
	observe_json_wall(o, "shut_until", l->shut_till);
	if (l->observed_at.us) {
		observe_json_int(o, "others", l->others);
		observe_json_int(o, "threshold", l->threshold);
		observe_json_wall(o, "observed_at", l->observed_at);
	}
	return o;
}

static void put_limits(const struct observe_query *q, json_t *o, const struct observe_row *r)
{
	struct outbound_limit all[OUTBOUND_LIMITS_MAX];
	size_t n =
		q->sources->outbound ? outbound_lane_limits(q->sources->outbound, r->key, all) : 0;
	json_t *list;

	if (n == 0)
		return;
	list = json_array();
	for (size_t i = 0; i < n; i++)
		must(json_array_append_new(list, limit_json(&all[i], r)) == 0);
	must(json_object_set_new(o, "limits", list) == 0);
}

/* "*@contoso.com": how many of its mailboxes are at work. One of them: which wildcard made it. */
static void put_wildcard(const struct observe_query *q, json_t *o, const struct conf_lane *c)
{
	bool crowded = false;
	uint32_t made = 0;

	if (c && c->made_of)
		observe_json_sv(o, "made_of", c->made_of->name);
	if (!c || !c->is_wildcard)
		return;
	if (q->sources->outbound)
		made = outbound_wildcard_count(q->sources->outbound, c->name, &crowded);
	observe_json_int(o, "made", made);
	observe_json_int(o, "at_once", c->at_once);
	must(json_object_set_new(o, "crowded", json_boolean(crowded)) == 0);
}

static void put_pool(json_t *o, const struct conf_member *m)
{
	observe_json_sv(o, "pool", m->pool->name);
	observe_json_int(o, "weight", m->weight);
}

json_t *observe_row_json(const struct observe_query *q, const struct observe_row *r)
{
	struct limit_use use = observe_row_use(r);
	json_t *o = json_object();

	observe_json_sv(o, "name", r->c ? r->c->name : r->key);
	observe_json_sv(o, "lane", r->key);
	if (r->c) {
		observe_json_sv(o,
			"kind",
			r->c->kind == CONF_LANE_MAILBOX ? SV("mailbox") : SV("connector"));
		observe_json_sv(o, "provider", sv_from(provider_name(r->c->provider)));
	}
	if (r->c && r->c->tenant)
		observe_json_sv(o, "tenant", r->c->tenant->name);
	if (r->c && r->c->member->pool)
		put_pool(o, r->c->member);
	observe_json_sv(o, "state", sv_from(observe_row_state(r, q->sources->outbound != NULL)));
	observe_json_int(o, "minute_used", use.minute.used);
	observe_json_int(o, "minute_capacity", use.minute.capacity);
	observe_json_int(o, "day_used", use.day.used);
	observe_json_int(o, "day_capacity", use.day.capacity);
	observe_json_int(o, "waiting", r->waiting);
	observe_json_int(o, "held", r->held);
	observe_json_wall(o, "oldest_at", r->oldest_at);
	put_wildcard(q, o, r->c);
	put_pace(q, o, r);
	put_limits(q, o, r);
	if (r->has_status)
		put_status(o, r);
	must(json_object_set_new(o, "checks", checks_json(r, o, q->sources->domains)) == 0);
	return o;
}
