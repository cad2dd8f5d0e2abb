/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf.h"
#include "observe/query_priv.h"
#include "observe/where.h"

#include <sysexits.h>

/* What an operator changes in the queue, and how much waits. */

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

/* What the store cannot select by must not be left out silently: too much mail would be changed. */
static bool only_selects(struct observe_query *q)
{
	static const char *const keys[] = { "tenant", "sort", "limit" };

	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		if (!json_object_get(q->request, keys[i]))
			continue;
		observe_query_fail(q,
			EX_USAGE,
			"--tenant, --sort and --limit are for `queue list`: select by --mailbox, "
			"--reason, --sender, --recipient, --state or age");
		return false;
	}
	return true;
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
	if (!only_selects(q) || !observe_query_filter(q, &q->edit.filter))
		return;
	q->edit.kind = kinds[i].kind;
	q->edit.at = io_wall(q->sources->loop);
	q->edit.filter.waiting_only = true;
	if (q->edit.kind == STORE_EDIT_REROUTE) {
		struct sv to = observe_json_get_sv(q->request, "to");
		const struct conf *c = q->sources->conf ? *q->sources->conf : NULL;
		const struct conf_member *m = c ? conf_member_named(c, to) : NULL;

		if (!m) {
			observe_query_fail(
				q, EX_USAGE, "no mailbox or connector of this name to reroute to");
			return;
		}
		q->edit.queue = arena_sv(&q->arena, m->key);
	}
	edit_page(q);
}

/* ---- summary ---- */

static void emit_waiting(struct observe_query *q, size_t at)
{
	const struct store_summary_row *row = &q->summary.out_rows[at];
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("waiting"));
	observe_json_sv(o, "lane", observe_flow_lane(q->sources->outbound, q->conf, &row->flow));
	observe_json_sv(o, "class", mail_class_name(row->flow.class));
	observe_json_sv(o, "state", sv_from(store_recipient_state_name(row->state)));
	observe_json_sv(o, "reason", observe_flow_cause(q->sources->outbound, row));
	observe_json_int(o, "count", row->count);
	observe_json_wall(o, "oldest_at", row->oldest_at);
	observe_query_emit(q, o);
	q->rows++;
}

void observe_query_emit_waiting(struct observe_query *q, void (*done)(struct observe_query *q))
{
	observe_query_turns(q, q->summary.out_count, emit_waiting, done);
}

static void waiting_shown(struct observe_query *q)
{
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("totals"));
	observe_json_int(o, "messages_waiting", q->summary.out_messages_waiting);
	observe_json_int(o, "bytes_waiting", q->summary.out_bytes_waiting);
	observe_json_int(o, "history_messages", q->summary.out_history_messages);
	observe_json_int(o, "delivered_day", q->summary.out_delivered_day);
	observe_json_int(o, "bounced_day", q->summary.out_bounced_day);
	observe_query_emit(q, o);
	observe_query_end(q);
}

static void summary_rows(struct observe_query *q)
{
	observe_query_emit_waiting(q, waiting_shown);
}

void observe_query_summary(struct observe_query *q)
{
	q->summary.out_arena = &q->page;
	observe_query_submit(q, STORE_OP_SUMMARY, summary_rows);
}
