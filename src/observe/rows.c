/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/rows.h"

#include "base/must.h"
#include "observe/where.h"
#include "sched/burst.h"

static void add_waiting(struct arena *a, struct observe_row *r, const struct store_summary_row *s)
{
	struct observe_waiting *w = arena_alloc(a, sizeof(*w));

	*w = (struct observe_waiting){ .row = s, .next = r->first };
	r->first = w;
	r->waiting += s->count;
	if (s->state == STORE_RCPT_HELD)
		r->held += s->count;
	if (r->oldest_at.us == 0 || s->oldest_at.us < r->oldest_at.us)
		r->oldest_at = s->oldest_at;
}

void observe_rows_begin(struct observe_rows *r, struct arena *a, const struct conf *conf,
	struct outbound *outbound, const struct store_summary *summary)
{
	*r = (struct observe_rows){
		.arena = a, .conf = conf, .outbound = outbound, .summary = summary
	};
	r->lanes = conf_lanes(conf, &r->lane_count);
	r->made_count = outbound ? outbound_lane_count(outbound) : 0;
	r->steps = r->lane_count + r->made_count + summary->out_count;
	/* One by one: to clear all of 10,000 at once is a long turn. */
	r->items = arena_alloc(a, (r->steps + 1) * sizeof(*r->items));
}

static struct observe_row *new_row(
	struct observe_rows *r, struct sv key, const struct conf_lane *lane)
{
	struct observe_row *row = arena_alloc(r->arena, sizeof(*row));

	r->items[r->count++] = row;
	*row = (struct observe_row){ .key = key, .c = lane };
	htable_put(&r->by_key, key, row);
	return row;
}

/* The others are in the snapshot's list. */
static void add_made(struct observe_rows *r, struct sv key)
{
	const struct conf_lane *lane = conf_lane(r->conf, key);

	if (lane && lane->made_of && !observe_rows_find(r, key))
		(void)new_row(r, lane->key, lane);
}

void observe_rows_add(struct observe_rows *r, size_t step)
{
	const struct store_summary_row *s;
	struct observe_row *row;
	struct sv lane;

	if (step < r->lane_count) {
		(void)new_row(r, r->lanes[step].key, &r->lanes[step]);
		return;
	}
	step -= r->lane_count;
	if (step < r->made_count) {
		add_made(r, outbound_lane_key(r->outbound, step));
		return;
	}
	s = &r->summary->out_rows[step - r->made_count];
	lane = arena_sv(r->arena, observe_flow_lane(r->outbound, r->conf, &s->flow));
	row = observe_rows_find(r, lane);
	/* Of a wildcard's mailbox that has no place yet the snapshot knows. */
	add_waiting(r->arena, row ? row : new_row(r, lane, conf_lane(r->conf, lane)), s);
}

/* The lane's own texts may be gone in the next turn; what holds nothing has none. */
void observe_row_look(struct observe_rows *r, size_t at)
{
	struct observe_row *row = r->items[at];

	row->has_status = outbound_lane_look(r->outbound, row->key, &row->status);
	if (!row->has_status)
		return;
	row->pace = outbound_lane_pace(r->outbound, row->key, row->waiting - row->held);
	if (row->status.summary.len)
		row->status.summary = arena_sv(r->arena, row->status.summary);
	if (row->status.reply.len)
		row->status.reply = arena_sv(r->arena, row->status.reply);
}

struct observe_row *observe_rows_find(const struct observe_rows *r, struct sv key)
{
	return htable_get(&r->by_key, key);
}

void observe_rows_deinit(struct observe_rows *r)
{
	htable_deinit(&r->by_key);
}

bool observe_row_is_held(const struct observe_row *r)
{
	return r->c && r->has_status && (r->status.state != SCHED_LANE_READY || r->status.probing);
}

const char *observe_row_state(const struct observe_row *r, bool running)
{
	if (!r->c)
		return "gone";
	if (r->c->is_wildcard)
		return "wildcard";
	if (!running)
		return "stopped";
	if (!r->has_status)
		return "unused";
	return r->status.state == SCHED_LANE_READY && r->status.probing
		       ? "probing"
		       : sched_lane_state_name(r->status.state);
}

struct limit_use observe_row_use(const struct observe_row *r)
{
	const struct conf_limits *limits = r->c ? &r->c->limits : NULL;

	if (r->has_status)
		return r->status.use;
	if (!limits)
		return (struct limit_use){ 0 };
	return (struct limit_use){
		.minute.capacity = sched_share(limits->messages_per_minute, limits->share_percent),
		.day.capacity = sched_share(limits->recipients_per_day, limits->share_percent),
	};
}

struct wall_time observe_row_done_at(const struct observe_row *r, struct wall_time now)
{
	if (r->waiting == r->held || !r->has_status || r->pace.wait_us == UINT64_MAX ||
		r->status.state == SCHED_LANE_PARKED || r->status.probing)
		return (struct wall_time){ 0 };
	return wall_add(now, (int64_t)r->pace.wait_us);
}
