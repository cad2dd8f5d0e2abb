/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/where.h"

#include "base/must.h"
#include "conf/route.h"
#include "observe/json.h"

/* Where mail waits, for a reader: the lane by which it would leave now. */

struct sv observe_flow_lane(
	struct outbound *outbound, const struct conf *conf, const struct mail_flow *flow)
{
	const struct conf_member *members[CONF_THROUGH_MAX];
	struct sv queue = flow->queue, first;

	if (outbound) {
		struct sv lane = outbound_lane_of(outbound, flow);

		if (lane.len)
			return lane;
	}
	if (conf_queue_members(conf, flow->queue, members) > 0)
		return members[0]->lanes[0].key;
	/* Not configured any more: its name, without the kind. */
	(void)sv_cut_char(&queue, '\n', &first);
	return sv_skip(first, 2);
}

struct sv observe_flow_cause(struct outbound *outbound, const struct store_summary_row *row)
{
	struct outbound_lane_status status;
	struct sv lane = outbound && row->state == STORE_RCPT_QUEUED
				 ? outbound_lane_of(outbound, &row->flow)
				 : SV("");

	return lane.len && outbound_lane_look(outbound, lane, &status) && status.cause.len
		       ? status.cause
		       : row->cause;
}

void observe_set_lane(struct outbound *outbound, const struct conf *conf, struct store_recipient *r)
{
	if (r->state == STORE_RCPT_QUEUED || r->state == STORE_RCPT_HELD || !r->lane.len)
		r->lane = observe_flow_lane(outbound, conf, &r->flow);
}

void observe_set_lanes(struct outbound *outbound, const struct conf *conf, struct arena *arena,
	struct store_message *m)
{
	struct store_recipient *list = arena_alloc(arena, (m->recipient_count + 1) * sizeof(*list));

	for (size_t i = 0; i < m->recipient_count; i++) {
		list[i] = m->recipients[i];
		observe_set_lane(outbound, conf, &list[i]);
	}
	m->recipients = list;
}

const char *observe_scope_kind(struct sv key)
{
	static const struct {
		char letter;
		const char *name;
	} all[] = {
		{ 'm', "account" },
		{ 't', "tenant" },
		{ 'o', "onmicrosoft" },
		{ 'e', "external" },
		{ 'i', "internal" },
	};

	for (size_t i = 0; i < COUNT_OF(all); i++)
		if (key.len && key.ptr[0] == all[i].letter)
			return all[i].name;
	return "other";
}

void observe_pace_put(json_t *o, const struct sched_reason *why, const struct conf_lane *lane)
{
	static const char *const windows[] = { [SCHED_LIMIT_MINUTE] = "minute",
		[SCHED_LIMIT_HOUR] = "hour",
		[SCHED_LIMIT_DAY] = "day",
		[SCHED_LIMIT_DAY_MESSAGES] = "day",
		[SCHED_LIMIT_MONTH] = "month" };
	uint32_t configured[COUNT_OF(windows)] = { 0 };
	struct sv of;

	if (why->binding == SCHED_LIMIT_NONE || !lane)
		return;
	observe_json_sv(o, "limit", sv_from(windows[why->binding]));
	observe_json_int(o, "rate", why->rate);
	if (why->binding == SCHED_LIMIT_DAY_MESSAGES)
		observe_json_sv(o, "unit", SV("messages"));
	of = why->binding_of ? limit_scope_key(why->binding_of) : lane->member->key;
	if (!sv_eq(of, lane->member->key)) {
		observe_json_sv(o, "limit_of", sv_from(observe_scope_kind(of)));
		observe_json_sv(o, "limit_name", sv_skip(of, 2));
		return;
	}
	if (why->binding == SCHED_LIMIT_MONTH)
		return;
	configured[SCHED_LIMIT_MINUTE] = lane->limits.messages_per_minute;
	configured[SCHED_LIMIT_HOUR] = lane->limits.recipients_per_hour;
	configured[SCHED_LIMIT_DAY] = lane->limits.recipients_per_day;
	configured[SCHED_LIMIT_DAY_MESSAGES] = lane->limits.messages_per_day;
	observe_json_int(o, "configured", configured[why->binding]);
	observe_json_int(o, "share", lane->limits.share_percent);
}

void observe_wait_put(json_t *o, struct outbound *outbound, const struct conf *conf,
	const struct store_recipient *r, uint64_t before, struct wall_time now)
{
	struct sched_reason why;
	json_t *wait;

	if (!outbound || r->state != STORE_RCPT_QUEUED)
		return;
	why = outbound_why(outbound, &r->flow, before, r->next_at);
	wait = json_object();
	observe_json_sv(wait, "why", sv_from(sched_why_name(why.why)));
	if (before != STORE_AHEAD_UNKNOWN)
		observe_json_int(wait, "ahead", why.ahead);
	if (why.wait_us != UINT64_MAX && why.wait_us > 0)
		observe_json_wall(wait, "about_at", wall_add(now, (int64_t)why.wait_us));
	observe_pace_put(wait, &why, conf_lane(conf, r->lane));
	must(json_object_set_new(o, "wait", wait) == 0);
}

json_t *observe_queue_json(struct sv queue)
{
	json_t *list = json_array();
	struct sv key;

	while (queue.len) {
		(void)sv_cut_char(&queue, '\n', &key);
		/* Of mail that stays with a mailbox of a pool that mailbox: the pool stands beside it. */
		if (sv_starts(key, SV("b:")))
			key = sv_skip(key, conf_queue_pool_name(key).len + 1);
		key = sv_skip(key, 2);
		/* What is no UTF-8 cannot come from a configuration. */
		(void)json_array_append_new(list, json_stringn(key.ptr, key.len));
	}
	return list;
}
