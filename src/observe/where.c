/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/where.h"

#include "conf/route.h"

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

json_t *observe_queue_json(struct sv queue)
{
	json_t *list = json_array();
	struct sv key;

	while (queue.len) {
		(void)sv_cut_char(&queue, '\n', &key);
		key = sv_skip(key, 2);
		/* What is no UTF-8 cannot come from a configuration. */
		(void)json_array_append_new(list, json_stringn(key.ptr, key.len));
	}
	return list;
}
