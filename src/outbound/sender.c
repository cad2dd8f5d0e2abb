/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "outbound/outbound_priv.h"
#include "provider/defaults.h"

/*
 * A lane decides what leaves next, and when it looks again. lane_pump() is the whole of it: as long as
 * there is work, room in the windows and a connection, it gives the work to the connection.
 */
/* ---- after a new snapshot ---- */

void lane_configure(struct lane *l)
{
	const struct conf_lane *before = l->c;
	struct conf *old = lane_take_conf(l);

	/* They were opened by the old settings. */
	for (struct connection *open = lane_idle_connection(l); open;
		open = lane_idle_connection(l))
		connection_quit(open);
	lane_reload_secrets(l, before);
	lane_tell_order(l);
	conf_unref(old);
}

/* ---- being held ---- */

static void withdraw_fresh(struct lane *l, const struct verdict *v, struct sv reply)
{
	struct delivery *d;

	while ((d = delivery_next(l)))
		delivery_withdraw(d, v, reply);
}

static void withdraw_all(struct lane *l, const struct sched_lane_now *state)
{
	const struct verdict v = { .kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.cause = state->why->cause,
		.summary = state->why->summary };

	withdraw_fresh(l, &v, sv_from(state->why->reply));
}

/* ---- what leaves next ---- */

static uint32_t due_count(struct lane *l)
{
	uint64_t n = sched_due_count(l->taker, outbound_due_now(l->o));

	return n > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)n;
}

/* How it stands with its connections. */
static struct sched_burst burst_of(struct lane *l, bool probing)
{
	const struct lane_sessions now = lane_sessions(l);
	struct sched_burst b = {
		.waiting = l->fresh_count + l->takes_running + due_count(l),
		.room = limit_set_messages(&l->limits, limits_take_side(l), io_now(l->o->loop)),
		.open = l->connection_count,
		.max = lane_connections_max(l),
		.handshakes = now.opening,
		.idle = now.idle,
	};

	/* One sign-in at a time until one is known to work: a refused one must be the only one. */
	b.one_at_a_time =
		probing || (l->c && l->c->sign_in != CONF_SIGN_IN_NONE && !now.has_session);
	b.scarce = connections_are_scarce(l);
	/* These have their slots already. */
	if (b.room < UINT32_MAX)
		b.room += l->fresh_count + l->takes_running;
	return b;
}

bool lane_rests(struct lane *l)
{
	const struct sched_burst b = burst_of(l, false);

	return !l->c || lane_now(l).held ||
	       (sched_burst_rests(&b) && l->claims_running + l->takes_running == 0);
}

/* Opens as many connections as the waiting work is worth. */
static void open_connections(struct lane *l, bool probing)
{
	struct outbound *o = l->o;
	struct sched_burst b;
	uint32_t wanted;

	/* They may be readable, or right, by now. */
	if (l->secrets_failed || l->secrets_stale)
		lane_load_secrets(l);
	if (l->secrets_failed || l->secrets_job || o->draining)
		return;
	b = burst_of(l, probing);
	for (wanted = sched_burst_wanted(&b); wanted > 0; wanted--) {
		if (!connections_have_room(o)) {
			connections_wait(o, l);
			return;
		}
		/* Whoever needs a token asks at once, and waits for its turn with it. */
		if (l->endpoint && !lane_needs_token(l->c) && !endpoint_has_room(l->endpoint)) {
			endpoint_wait(l->endpoint, l);
			return;
		}
		if (!connection_open(l))
			return;
	}
}

/* It has something to do whose end brings it here again. */
static bool is_at_work(const struct lane *l)
{
	return l->connection_count + l->claims_running + l->takes_running > 0 || l->secrets_job ||
	       !list_empty(&l->starved) || l->o->draining;
}

/* When time alone lets it do more. What its own connections, or those of its other doors, hold back ends with them. */
static struct mono_time next_look(struct lane *l, const struct sched_lane_now *state)
{
	struct mono_time now = io_now(l->o->loop), at, out_at;
	struct sched_room room;
	enum limit_side side;

	l->waits_for_room = false;
	if (!l->c)
		return MONO_NEVER;
	if (state->held)
		return state->until;
	side = limits_take_side(l);
	out_at = side == LIMIT_BOTH
			 ? MONO_NEVER
			 : limits_room_at(
				   l, side == LIMIT_INTERNAL ? LIMIT_EXTERNAL : LIMIT_INTERNAL);
	if (due_count(l) == 0)
		return out_at;
	room = lane_room_now(l);
	l->waits_for_room = room.wanted == 0 || room.wanted_bulk == 0;
	if (room.wanted == 0)
		return limits_room_at(l, side);
	at = mono_min(out_at, is_at_work(l) ? MONO_NEVER : mono_add(now, US_PER_S));
	return room.wanted_bulk
		       ? at
		       : mono_min(
				 at, sched_room_bulk_at(&l->limits, side, &l->member->better, now));
}

/* Messages that may be in our hands now: one for each connection that has none, and one for each that is about to end its own. */
static uint32_t takes_max(const struct lane *l)
{
	uint32_t n = lane_ready_connections(l);

	/* Of those nobody could tell that they never left. */
	if (conf_general(l->o->conf)->uncertain != CONF_UNCERTAIN_RETRY)
		return n;
	return n + lane_sessions(l).ending;
}

/* One message at a time may try. */
static bool is_trying(const struct lane *l)
{
	return l->probe_taken || sched_lane_is_trying(l->sched);
}

static void take_some(struct lane *l, bool probing)
{
	while (l->takes_running + l->claims_running + l->fresh_count < takes_max(l) &&
		!(probing && is_trying(l))) {
		struct sched_room room = lane_room_now(l);
		struct sched_pick pick;

		/* What was taken last may have been the last of what may go to its side. */
		lane_tell_order(l);
		if (!sched_pick(l->taker, outbound_due_now(l->o), &room, &pick))
			return;
		delivery_take(l, &pick, probing);
	}
}

static void give_fresh(struct lane *l)
{
	while (!list_empty(&l->fresh)) {
		struct connection *c = lane_idle_connection(l);

		if (!c)
			return;
		/* A token that ends is not used for another message. */
		if (!mono_before(io_now(l->o->loop), connection_token_until(c))) {
			connection_quit(c);
			continue;
		}
		connection_give(c, delivery_next(l));
	}
}

/* ---- the pump ---- */

static void send_pump(struct lane *l, bool probing)
{
	if (l->o->draining)
		return;
	give_fresh(l);
	if (probing && !is_trying(l) && due_count(l))
		sched_lane_take_turn(l->sched, io_now(l->o->loop));
	take_some(l, probing);
	if (!(probing && is_trying(l) && list_empty(&l->fresh)))
		open_connections(l, probing);
}

void lane_pump(struct lane *l)
{
	struct outbound *o = l->o;
	struct sched_lane_now state = lane_now(l);

	if (!o->started)
		return;
	/* Time alone may have changed it. */
	limits_try_more(l);
	limits_set_month(l);
	lane_tell_order(l);
	if (l->turns_back)
		lane_turn_back(l);
	if (!l->c)
		withdraw_fresh(l, NULL, SV(""));
	else if (state.held)
		withdraw_all(l, &state);
	else
		/* After a hold, one message at a time until one gets through. */
		send_pump(l, state.probing);
	io_timer_start(&l->timer, next_look(l, &state));
	/* Else one of its connections brings it here again. */
	if (l->connection_count < lane_connections_max(l))
		sched_taker_watch(l->taker);
	connections_give_way(l);
}
