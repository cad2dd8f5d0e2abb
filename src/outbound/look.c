/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "outbound/outbound_priv.h"
#include "provider/defaults.h"
#include "provider/remedy.h"

/* What others see of lanes and of what holds mail. Changes nothing. */

static struct wall_time wall_of(struct outbound *o, struct mono_time at)
{
	if (at.us == MONO_NEVER.us)
		return (struct wall_time){ 0 };
	return wall_add(io_wall(o->loop), (int64_t)mono_span(io_now(o->loop), at));
}

/* ---- a lane ---- */

/* A lane whose limit is used up is ready, but to the reader it waits. */
static void show_full_window(
	struct lane *l, struct outbound_lane_status *status, struct mono_time *until)
{
	struct mono_time now = io_now(l->o->loop);

	if (status->state != SCHED_LANE_READY || limit_set_room(&l->limits, LIMIT_BOTH, now, 1) > 0)
		return;
	status->state = SCHED_LANE_WAITING;
	status->cause = sv_from(cause_name(CAUSE_LIMIT));
	status->summary = sv_from(provider_remedy(CAUSE_LIMIT, NULL)->means);
	status->reply = SV("");
	*until = limit_set_room_at(&l->limits, LIMIT_BOTH, now);
}

static const struct sv sign_ins[] = {
	[CONF_SIGN_IN_NONE] = SV_INIT("none"),
	[CONF_SIGN_IN_PASSWORD] = SV_INIT("password"),
	[CONF_SIGN_IN_APP] = SV_INIT("app"),
	[CONF_SIGN_IN_USER] = SV_INIT("user"),
};

/* Cents, rounded up. */
static void show_cost(const struct lane *l, struct outbound_lane_status *status)
{
	const uint64_t million = 1000000;

	if (!l->c || !provider_defaults(l->c->provider)->has_cost)
		return;
	status->has_cost = true;
	status->delivered_month = l->month == outbound_month(l->o) ? l->delivered_month : 0;
	status->cost_cents = (status->delivered_month * conf_general(l->o->conf)->hve_price_cents +
				     million - 1) /
			     million;
}

static struct outbound_lane_status status_of(struct lane *l)
{
	struct outbound *o = l->o;
	struct mono_time now = io_now(o->loop);
	struct sched_lane_now state = lane_now(l);
	struct mono_time until = state.until;
	struct outbound_lane_status status = { .lane = l->key,
		.state = sched_lane_state(l->sched, now),
		.connections = l->connection_count,
		.connections_max = lane_connections_max(l),
		.connections_limit = lane_connections_limit(l),
		.probing = state.probing,
		.slot_at = wall_of(o, limit_set_room_at(&l->limits, LIMIT_BOTH, now)),
		.delivered_at = l->delivered_at,
		.use = limit_set_use(&l->limits, LIMIT_INTERNAL, now),
		.sign_in = l->c ? sign_ins[l->c->sign_in] : SV(""),
		.moved = l->moved,
		.moved_to = l->moved ? sv_from(l->moved_to) : SV("") };

	show_cost(l, &status);
	if (state.why) {
		status.since = state.why->since;
		status.nature = state.why->nature;
		status.cause = sv_from(cause_name(state.why->cause));
		status.summary = sv_from(state.why->summary);
		status.reply = sv_from(state.why->reply);
	}
	if (state.held && state.parked)
		status.state = SCHED_LANE_PARKED;
	show_full_window(l, &status, &until);
	status.next_at = wall_of(o, until);
	return status;
}

void outbound_look_begin(struct outbound *o)
{
	o->crowds.looked_at++;
}

void outbound_look_end(struct outbound *o)
{
	must(o->crowds.looked_at > 0);
	o->crowds.looked_at--;
}

uint32_t outbound_wildcard_count(const struct outbound *o, struct sv wildcard, bool *out_crowded)
{
	return crowd_count(o, wildcard, out_crowded);
}

size_t outbound_lane_count(const struct outbound *o)
{
	return o->lane_count;
}

struct sv outbound_lane_key(const struct outbound *o, size_t at)
{
	return at < o->lane_count ? o->all_lanes[at]->key : SV("");
}

struct outbound_lane_status outbound_lane_at(struct outbound *o, size_t at)
{
	must(at < o->lane_count);
	return status_of(o->all_lanes[at]);
}

bool outbound_lane_look(struct outbound *o, struct sv lane, struct outbound_lane_status *out)
{
	struct lane *l = htable_get(&o->lanes, lane);

	if (l)
		*out = status_of(l);
	return l != NULL;
}

static void show_observed(
	const struct limit_observed *seen, struct mono_time now, struct outbound_limit *out)
{
	if (seen->at.us == 0)
		return;
	out->others = limit_observed_others(seen, now);
	out->threshold = seen->threshold;
	out->observed_at = seen->wall;
}

/* One window of a part, with all else left out. False: it is no limit, and open. */
static bool look_at_window(
	struct outbound *o, const struct limit_part *p, unsigned window, struct outbound_limit *out)
{
	const struct limit_part one = { p->scope, (uint8_t)(p->windows & window), p->side };
	static const struct limit_learned nothing;
	const struct limit_learned *l =
		window == LIMIT_MONTH ? &nothing : limit_scope_learned(p->scope, window);
	struct mono_time now = io_now(o->loop), free_at;
	struct limit_window_use use;

	if (!one.windows || !limit_part_stops(&one))
		return false;
	use = limit_part_window_use(&one, window, now);
	free_at = limit_part_free_at(&one, now, 1, 1);
	*out = (struct outbound_limit){ .scope = limit_scope_key(p->scope),
		.window = window,
		.side = (enum limit_side)p->side,
		.used = use.used,
		.capacity = use.capacity,
		.learned = l->limit };
	if (mono_before(now, free_at))
		out->free_at = wall_of(o, free_at);
	if (l->limit)
		out->learned_at = l->at;
	if (mono_before(now, l->shut_till))
		out->shut_till = wall_of(o, l->shut_till);
	if (window == LIMIT_DAY)
		show_observed(limit_scope_observed(p->scope), now, out);
	return true;
}

size_t outbound_lane_limits(
	struct outbound *o, struct sv lane, struct outbound_limit out[OUTBOUND_LIMITS_MAX])
{
	static const unsigned windows[] = {
		LIMIT_MINUTE, LIMIT_HOUR, LIMIT_DAY, LIMIT_DAY_MESSAGES, LIMIT_MONTH
	};
	const struct lane *l = htable_get(&o->lanes, lane);
	size_t n = 0;

	for (size_t i = 0; l && i < l->limits.count; i++)
		for (size_t k = 0; k < COUNT_OF(windows); k++)
			n += look_at_window(o, &l->limits.parts[i], windows[k], &out[n]);
	return n;
}

/* ---- why, and when ---- */

static void look_at_limits(
	struct lane *l, enum mail_class class, enum limit_side side, struct sched_reason *r)
{
	const struct mono_time now = io_now(l->o->loop);
	const struct sched_better *better = &l->member->better;
	const struct limit_use all = limit_set_use(&l->limits, side, now);
	bool bulk = class == MAIL_CLASS_BULK;
	const struct limit_use use = bulk ? sched_room_bulk_use(&all, better, now) : all;
	struct mono_time room_at = bulk ? sched_room_bulk_at(&l->limits, side, better, now)
					: limit_set_room_at(&l->limits, side, now);

	/* All of it is under way, and counts for a minute from when it has left. */
	if (room_at.us == MONO_NEVER.us)
		room_at = mono_add(now, US_PER_MIN);
	sched_why_limits(r, &use, now, room_at);
}

struct sched_reason outbound_why(
	struct outbound *o, const struct mail_flow *flow, uint64_t before, struct wall_time due)
{
	struct sched_question q = {
		.flow = flow_get(o, flow), .before = before, .due = due, .now = outbound_due_now(o)
	};
	uint64_t waiting = sched_flow_waiting(q.flow);
	struct sched_reason r;

	if (before == UINT64_MAX)
		q.before = waiting > 0 ? waiting - 1 : 0;
	r = sched_why(&q);
	if (r.taker)
		look_at_limits(sched_taker_owner(r.taker), flow->class, flow_side(flow), &r);
	else if (flow_is_crowded_out(o, flow))
		r.why = SCHED_WHY_CROWDED;
	if (before == UINT64_MAX && r.why != SCHED_WHY_DUE)
		r.wait_us = UINT64_MAX;
	return r;
}

struct sched_reason outbound_lane_pace(struct outbound *o, struct sv lane, uint64_t waiting)
{
	struct sched_reason r = { .why = waiting > 1 ? SCHED_WHY_TURN : SCHED_WHY_NEXT,
		.ahead = waiting > 1 ? waiting - 1 : 0,
		.wait_us = UINT64_MAX };
	struct lane *l = htable_get(&o->lanes, lane);

	if (l && waiting > 0)
		look_at_limits(l, MAIL_CLASS_NORMAL, LIMIT_BOTH, &r);
	return r;
}

bool outbound_holds_for(const struct outbound *o, struct sv cause)
{
	for (const struct sched_hold *h = sched_holds_next(o->holds, NULL); h;
		h = sched_holds_next(o->holds, h))
		if (sched_hold_holds(h) &&
			sv_eq(sv_from(cause_name(sched_hold_why(h)->cause)), cause))
			return true;
	return false;
}

/* ---- what holds mail ---- */

static struct outbound_hold hold_of(
	struct outbound *o, struct sv key, const struct sched_hold *h, struct mono_time until)
{
	const struct sched_hold_reason *why = sched_hold_why(h);

	return (struct outbound_hold){ .key = key,
		.cause = sv_from(cause_name(why->cause)),
		.summary = sv_from(why->summary),
		.reply = sv_from(why->reply),
		.transcript = sv_from(why->transcript),
		.nature = why->nature,
		.parked = true,
		.since = why->since,
		.next_at = wall_of(o, until) };
}

void outbound_each_hold(
	struct outbound *o, void (*each)(void *arg, const struct outbound_hold *hold), void *arg)
{
	const struct mono_time now = io_now(o->loop);

	for (const struct sched_hold *h = sched_holds_next(o->holds, NULL); h;
		h = sched_holds_next(o->holds, h)) {
		struct outbound_hold hold =
			hold_of(o, sched_hold_key(h), h, sched_hold_until(h, now));

		if (sched_hold_scope(h) != SCHED_HOLD_MAILBOX)
			each(arg, &hold);
	}
}

bool outbound_hold_of(struct outbound *o, struct sv lane, struct sv sender, struct sv recipient,
	struct outbound_hold *out)
{
	struct lane *l = htable_get(&o->lanes, lane);
	const struct sched_hold *h;
	struct sched_lane_now now;

	if (!l)
		return false;
	now = lane_now(l);
	if (now.by) {
		bool own = now.by == sched_lane_own(l->sched);

		*out = hold_of(o, own ? SV("mailbox") : SV("tenant"), now.by, now.until);
		out->parked = now.parked;
		return true;
	}
	h = park_of(l, sender, recipient);
	if (!h)
		return false;
	*out = hold_of(o,
		sched_hold_scope(h) == SCHED_HOLD_SENDER ? SV("sender") : SV("tenant-external"),
		h,
		sched_hold_until(h, io_now(o->loop)));
	return true;
}
