/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf.h"
#include "observe/query_priv.h"
#include "observe/where.h"

/* How much waits. */

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
