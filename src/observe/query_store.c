/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/query_priv.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "conf/conf.h"
#include "mail/address.h"

#include <sysexits.h>

/* A mailbox or connector may be given by its name, or by the key that stands in the queue. */
static struct sv lane_key(struct observe_query *q, struct sv name)
{
	const struct conf *c = q->sources->conf ? *q->sources->conf : NULL;
	const struct conf_lane *lane = c ? conf_lane_named(c, name) : NULL;

	return arena_sv(&q->arena, lane ? lane->key : name);
}

static bool parse_state(struct sv name, int *out_state)
{
	for (int i = 0; i < STORE_RCPT_COUNT; i++) {
		if (sv_eq_nocase(name,
			    sv_from(store_recipient_state_name((enum store_recipient_state)i)))) {
			*out_state = i;
			return true;
		}
	}
	return false;
}

/* "2026-11-23", or with "T20:22:17" and an optional "Z". UTC. */
static bool parse_instant(struct sv text, struct wall_time *out_at)
{
	static const struct {
		size_t at, len;
		uint32_t max;
	} parts[6] = {
		{ 0, 4, 9999 },
		{ 5, 2, 12 },
		{ 8, 2, 31 },
		{ 11, 2, 23 },
		{ 14, 2, 59 },
		{ 17, 2, 60 },
	};
	uint32_t v[6] = { 0 };
	int64_t year, days;

	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		struct sv digits = sv_head(sv_skip(text, parts[i].at), parts[i].len);

		if (i >= 3 && text.len <= 10)
			break;
		if (digits.len != parts[i].len || sv_parse_u32(digits, parts[i].max, &v[i]) != 0)
			return false;
	}
	if (v[1] == 0 || v[2] == 0)
		return false;
	/* Days from civil: the inverse of base/time.c. */
	year = (int64_t)v[0] - (v[1] <= 2);
	days = 365 * year + year / 4 - year / 100 + year / 400 +
	       (153 * ((int64_t)v[1] + (v[1] > 2 ? -3 : 9)) + 2) / 5 + (int64_t)v[2] - 1 - 719468;
	out_at->us = ((days * 24 + v[3]) * 60 + v[4]) * 60 * (int64_t)US_PER_S +
		     (int64_t)v[5] * (int64_t)US_PER_S;
	return true;
}

static bool filter_age(struct observe_query *q, const char *key, struct wall_time *out_at)
{
	struct sv text = observe_json_get_sv(q->request, key);
	uint64_t us;

	if (text.len == 0)
		return true;
	if (text_parse_duration(text, &us) != 0) {
		observe_query_fail(q, EX_USAGE, "an age is a number with a unit: 30s, 5m, 1h, 2d");
		return false;
	}
	*out_at = wall_add(io_wall(q->sources->loop), -(int64_t)us);
	return true;
}

static bool filter_instant(struct observe_query *q, const char *key, struct wall_time *out_at)
{
	struct sv text = observe_json_get_sv(q->request, key);
	uint64_t us;

	if (text.len == 0)
		return true;
	if (text_parse_duration(text, &us) == 0) {
		*out_at = wall_add(io_wall(q->sources->loop), -(int64_t)us);
		return true;
	}
	if (!parse_instant(text, out_at)) {
		observe_query_fail(q,
			EX_USAGE,
			"a time is 2026-11-23, 2026-11-23T20:22:17Z (UTC), or an age as 2h");
		return false;
	}
	return true;
}

static bool filter_patterns(struct observe_query *q, struct store_filter *f)
{
	f->sender = arena_sv(&q->arena, observe_json_get_sv(q->request, "sender"));
	f->recipient = arena_sv(&q->arena, observe_json_get_sv(q->request, "recipient"));
	if ((f->sender.len && address_pattern_check(f->sender) != 0) ||
		(f->recipient.len && address_pattern_check(f->recipient) != 0)) {
		observe_query_fail(q,
			EX_USAGE,
			"an address filter is an address or a pattern as *@contoso.com");
		return false;
	}
	return true;
}

bool observe_query_filter(struct observe_query *q, struct store_filter *f)
{
	struct sv id = observe_json_get_sv(q->request, "id");
	struct sv state = observe_json_get_sv(q->request, "state");
	struct sv lane = observe_json_get_sv(q->request, "mailbox");

	*f = (struct store_filter){ .state = -1 };
	if (id.len && text_parse_id(id, &f->id) != 0) {
		observe_query_fail(
			q, EX_USAGE, "a queue id has 11 letters and digits, as in the log");
		return false;
	}
	if (state.len && !parse_state(state, &f->state)) {
		observe_query_fail(q,
			EX_USAGE,
			"a state is queued, open, held, delivered, bounced, expired or dropped");
		return false;
	}
	if (lane.len)
		f->lane = lane_key(q, lane);
	f->cause = arena_sv(&q->arena, observe_json_get_sv(q->request, "reason"));
	return filter_patterns(q, f) && filter_age(q, "older", &f->accepted_until) &&
	       filter_age(q, "newer", &f->accepted_from) &&
	       filter_instant(q, "since", &f->accepted_from) &&
	       filter_instant(q, "until", &f->accepted_until);
}

static json_t *message_json(const struct store_message *m)
{
	json_t *o = json_object();
	char id[TEXT_ID_MAX];

	observe_json_sv(o, "id", sv_from(text_id(m->id, id)));
	/* The null sender is a value, not a missing one. */
	must(json_object_set_new(o, "sender", json_string("")) == 0);
	observe_json_sv(o, "sender", m->sender);
	observe_json_wall(o, "accepted_at", m->accepted_at);
	observe_json_wall(o, "expires_at", m->expires_at);
	observe_json_int(o, "size", m->size);
	observe_json_sv(o, "message_id", m->message_id);
	observe_json_sv(o, "subject", m->subject);
	observe_json_sv(o, "user", m->user);
	observe_json_sv(o, "client", m->client);
	observe_json_sv(o, "listener", m->listener);
	observe_json_sv(o, "device", m->device);
	observe_json_sv(o, "envid", m->envid);
	if (m->flags & STORE_MSG_BOUNCE)
		must(json_object_set_new(o, "bounce", json_true()) == 0);
	if (m->bounce_of)
		observe_json_sv(o, "bounce_of", sv_from(text_id(m->bounce_of, id)));
	return o;
}

/* The lanes that are taken while the first is parked. */
static void alternatives_json(json_t *o, struct sv keys)
{
	json_t *list = json_array();
	struct sv key;

	while (keys.len) {
		(void)sv_cut_char(&keys, '\n', &key);
		/* What is no UTF-8 cannot come from a configuration. */
		(void)json_array_append_new(list, json_stringn(key.ptr, key.len));
	}
	must(json_object_set_new(o, "alternatives", list) == 0);
}

static void recipient_json(json_t *o, const struct store_recipient *r)
{
	observe_json_sv(o, "recipient", r->address);
	observe_json_sv(o, "state", sv_from(store_recipient_state_name(r->state)));
	observe_json_sv(o, "lane", r->lane);
	if (r->alternatives.len)
		alternatives_json(o, r->alternatives);
	observe_json_sv(o, "rewrite_from", r->rewrite_from);
	if (r->state == STORE_RCPT_QUEUED)
		observe_json_wall(o, "next_at", r->next_at);
	observe_json_int(o, "attempts", r->attempts);
	if (r->uncertain)
		observe_json_int(o, "uncertain", r->uncertain);
	observe_json_sv(o, "reason", r->last_cause);
	observe_json_sv(o, "reply", r->last_reply);
}

/* ---- list ---- */

static void list_page(struct observe_query *q);

static void list_rows(struct observe_query *q)
{
	for (size_t i = 0; i < q->list.out_count; i++) {
		json_t *o = message_json(&q->list.out_rows[i].message);

		recipient_json(o, &q->list.out_rows[i].recipient);
		observe_json_wall(o, "finished_at", q->list.out_rows[i].finished_at);
		observe_query_emit(q, o);
		q->rows++;
	}
	arena_reset(&q->page);
	if (!q->list.out_more || (q->rows_max && q->rows >= q->rows_max)) {
		observe_query_end(q);
		return;
	}
	list_page(q);
}

static void list_page(struct observe_query *q)
{
	uint64_t left = q->rows_max ? q->rows_max - q->rows : LIMIT_PAGE;

	q->step = list_page;
	if (!q->sink.has_room(q->sink.arg)) {
		q->paused = true;
		return;
	}
	q->list.limit = (uint32_t)(left < LIMIT_PAGE ? left : LIMIT_PAGE);
	q->list.out_arena = &q->page;
	q->list.out_count = 0;
	observe_query_submit(q, STORE_OP_LIST, list_rows);
}

void observe_query_list(struct observe_query *q)
{
	if (!observe_query_filter(q, &q->list.filter))
		return;
	q->list.filter.waiting_only = !json_is_true(json_object_get(q->request, "history"));
	q->list.after_index = UINT32_MAX;
	q->rows_max = (uint64_t)json_integer_value(json_object_get(q->request, "limit"));
	list_page(q);
}

/* ---- show ---- */

static json_t *attempt_json(const struct store_show *show, const struct store_attempt_story *a)
{
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("attempt"));
	observe_json_int(o, "attempt", a->number);
	observe_json_wall(o, "at", a->at);
	observe_json_wall(o, "ended_at", a->ended_at);
	observe_json_sv(o, "lane", a->lane);
	observe_json_sv(o, "relay", a->relay);
	observe_json_sv(o, "stage", a->stage);
	if (a->index < show->out_message->recipient_count)
		observe_json_sv(o, "recipient", show->out_message->recipients[a->index].address);
	if (a->uncertain)
		must(json_object_set_new(o, "uncertain", json_true()) == 0);
	if (a->ended_at.us != 0) {
		observe_json_sv(o, "verdict", sv_from(verdict_kind_name(a->kind)));
		observe_json_sv(o, "scope", sv_from(verdict_scope_name(a->scope)));
	}
	observe_json_sv(o, "reason", a->cause);
	observe_json_sv(o, "reply", a->reply);
	observe_json_sv(o, "remote_message_id", a->remote_message_id);
	return o;
}

static void show_rows(struct observe_query *q)
{
	const struct store_message *m = q->show.out_message;
	json_t *o;

	if (!m) {
		observe_query_fail(q, EX_NOINPUT, "there is no message with this id");
		return;
	}
	o = message_json(m);
	observe_json_sv(o, "type", SV("message"));
	observe_json_wall(o, "finished_at", q->show.out_finished_at);
	observe_query_emit(q, o);
	for (size_t i = 0; i < m->recipient_count; i++) {
		o = json_object();
		observe_json_sv(o, "type", SV("recipient"));
		recipient_json(o, &m->recipients[i]);
		observe_query_emit(q, o);
	}
	for (size_t i = 0; i < q->show.out_attempt_count; i++)
		observe_query_emit(q, attempt_json(&q->show, &q->show.out_attempts[i]));
	q->rows = 1;
	observe_query_end(q);
}

void observe_query_show(struct observe_query *q)
{
	if (text_parse_id(observe_json_get_sv(q->request, "id"), &q->show.message_id) != 0) {
		observe_query_fail(
			q, EX_USAGE, "a queue id has 11 letters and digits, as in the log");
		return;
	}
	q->show.out_arena = &q->page;
	observe_query_submit(q, STORE_OP_SHOW, show_rows);
}

/* ---- edit ---- */

static void edit_page(struct observe_query *q);

static void edit_done(struct observe_query *q)
{
	json_t *o;

	q->changed += q->edit.out_changed;
	if (q->edit.out_more) {
		edit_page(q);
		return;
	}
	o = json_object();
	observe_json_int(o, "changed", q->changed);
	observe_query_emit(q, o);
	q->rows = q->changed;
	observe_query_edited(q);
	observe_query_end(q);
}

static void edit_page(struct observe_query *q)
{
	q->edit.out_changed = 0;
	observe_query_submit(q, STORE_OP_EDIT, edit_done);
}

void observe_query_edit(struct observe_query *q)
{
	static const struct {
		const char *name;
		enum store_edit_kind kind;
	} kinds[] = {
		{ "retry", STORE_EDIT_RETRY },
		{ "hold", STORE_EDIT_HOLD },
		{ "release", STORE_EDIT_RELEASE },
		{ "drop", STORE_EDIT_DROP },
		{ "reroute", STORE_EDIT_REROUTE },
	};
	struct sv name = observe_json_get_sv(q->request, "kind");
	size_t i = 0;

	while (i < COUNT_OF(kinds) && !sv_eq(name, sv_from(kinds[i].name)))
		i++;
	if (i == COUNT_OF(kinds)) {
		observe_query_fail(
			q, EX_USAGE, "\"kind\" is none of retry, hold, release, drop, reroute");
		return;
	}
	if (!observe_query_filter(q, &q->edit.filter))
		return;
	q->edit.kind = kinds[i].kind;
	q->edit.at = io_wall(q->sources->loop);
	q->edit.filter.waiting_only = true;
	if (q->edit.kind == STORE_EDIT_REROUTE) {
		struct sv to = observe_json_get_sv(q->request, "to");
		const struct conf *c = q->sources->conf ? *q->sources->conf : NULL;
		const struct conf_lane *lane = c ? conf_lane_named(c, to) : NULL;

		if (!lane) {
			observe_query_fail(
				q, EX_USAGE, "no mailbox or connector of this name to reroute to");
			return;
		}
		q->edit.lane = arena_sv(&q->arena, lane->key);
	}
	edit_page(q);
}

/* ---- summary ---- */

void observe_query_emit_waiting(struct observe_query *q)
{
	for (size_t i = 0; i < q->summary.out_count; i++) {
		const struct store_summary_row *row = &q->summary.out_rows[i];
		json_t *o = json_object();

		observe_json_sv(o, "type", SV("waiting"));
		observe_json_sv(o, "lane", row->lane);
		observe_json_sv(o, "state", sv_from(store_recipient_state_name(row->state)));
		observe_json_sv(o, "reason", row->cause);
		observe_json_int(o, "count", row->count);
		observe_json_wall(o, "oldest_at", row->oldest_at);
		observe_query_emit(q, o);
		q->rows++;
	}
}

static void summary_rows(struct observe_query *q)
{
	json_t *o;

	observe_query_emit_waiting(q);
	o = json_object();
	observe_json_sv(o, "type", SV("totals"));
	observe_json_int(o, "messages_waiting", q->summary.out_messages_waiting);
	observe_json_int(o, "bytes_waiting", q->summary.out_bytes_waiting);
	observe_json_int(o, "history_messages", q->summary.out_history_messages);
	observe_json_int(o, "delivered_day", q->summary.out_delivered_day);
	observe_json_int(o, "bounced_day", q->summary.out_bounced_day);
	observe_query_emit(q, o);
	observe_query_end(q);
}

void observe_query_summary(struct observe_query *q)
{
	q->summary.out_arena = &q->page;
	observe_query_submit(q, STORE_OP_SUMMARY, summary_rows);
}
