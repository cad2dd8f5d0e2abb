/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/rows.h"

#include "base/htable.h"
#include "base/must.h"
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

void observe_rows_make(struct arena *a, const struct conf *conf, struct outbound *outbound,
	const struct store_summary *summary, struct observe_rows *out)
{
	struct htable by_key = { 0 };
	size_t count;
	const struct conf_lane *lanes = conf_lanes(conf, &count);

	*out = (struct observe_rows){
		.items = arena_alloc(a, (count + summary->out_count + 1) * sizeof(*out->items))
	};
	for (size_t i = 0; i < count; i++) {
		struct observe_row *r = &out->items[out->count++];

		*r = (struct observe_row){ .key = lanes[i].key, .c = &lanes[i] };
		htable_put(&by_key, r->key, r);
	}
	for (size_t i = 0; i < summary->out_count; i++) {
		const struct store_summary_row *s = &summary->out_rows[i];
		struct observe_row *r = htable_get(&by_key, s->lane);

		if (!r) {
			r = &out->items[out->count++];
			*r = (struct observe_row){ .key = s->lane };
			htable_put(&by_key, r->key, r);
		}
		add_waiting(a, r, s);
	}
	for (size_t i = 0; outbound && i < out->count; i++)
		out->items[i].has_status =
			outbound_lane_look(outbound, out->items[i].key, &out->items[i].status);
	htable_deinit(&by_key);
}

bool observe_row_is_held(const struct observe_row *r)
{
	return r->c && r->has_status && (r->status.state != SCHED_LANE_READY || r->status.probing);
}

const char *observe_row_state(const struct observe_row *r, bool running)
{
	if (!r->c)
		return "gone";
	if (!running)
		return "stopped";
	if (!r->has_status)
		return "unused";
	return r->status.state == SCHED_LANE_READY && r->status.probing
		       ? "probing"
		       : sched_lane_state_name(r->status.state);
}

struct sched_lane_use observe_row_use(const struct observe_row *r)
{
	const struct conf_limits *limits = r->c ? &r->c->limits : NULL;

	if (r->has_status)
		return r->status.use;
	if (!limits)
		return (struct sched_lane_use){ 0 };
	return (struct sched_lane_use){
		.minute_capacity = sched_share(limits->messages_per_minute, limits->share_percent),
		.day_capacity = sched_share(limits->recipients_per_day, limits->share_percent),
	};
}

struct wall_time observe_row_done_at(const struct observe_row *r, struct wall_time now)
{
	struct sched_lane_use use = observe_row_use(r);
	uint64_t waiting = r->waiting - r->held;

	if (waiting == 0 || !r->has_status || use.minute_capacity == 0 ||
		r->status.state == SCHED_LANE_PARKED || r->status.probing)
		return (struct wall_time){ 0 };
	/* The day's limit is used up first: its slots come back one by one, nobody knows when. */
	if (use.day_capacity && waiting + use.day_used > use.day_capacity)
		return (struct wall_time){ 0 };
	return wall_add(now, (int64_t)(waiting * US_PER_MIN / use.minute_capacity));
}
