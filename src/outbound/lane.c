/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"
#include "provider/defaults.h"

#include <stdlib.h>

/*
 * A lane decides what leaves next, and when it looks again. lane_pump() is the whole of it: as long as
 * there is work, room in the windows and a connection, it gives the work to the connection.
 */
#define TOKEN_ASK_FIRST_US (5 * US_PER_S)
#define TOKEN_ASK_CEILING_US US_PER_MIN

static void on_timer(void *arg);
static void pump(void *arg);

/* ---- life ---- */

struct lane *lane_get(struct outbound *o, struct sv key)
{
	struct lane *l = htable_get(&o->lanes, key);

	if (l)
		return l;
	l = xcalloc(1, sizeof(*l));
	l->o = o;
	l->key = sv_from(sv_dup(key));
	list_init(&l->fresh);
	list_init(&l->connections);
	list_init(&l->starved);
	io_timer_init(&l->timer, o->loop, on_timer, l);
	l->task = (struct io_task){ .run = pump, .arg = l };
	l->sched = sched_lane_new(o->holds, key);
	l->scope = limit_book_of_lane(o->book, key);
	l->member = member_of_lane(o, l);
	list_init(&l->of_member);
	list_append(&l->member->lanes, &l->of_member);
	l->taker = sched_taker_new(l->member->sched, 0, l);
	htable_put(&o->lanes, key, l);
	if (o->lane_count == o->lane_cap) {
		o->lane_cap = o->lane_cap ? 2 * o->lane_cap : 16;
		o->all_lanes = xrealloc(o->all_lanes, o->lane_cap * sizeof(struct lane *));
	}
	o->all_lanes[o->lane_count++] = l;
	lane_configure(l);
	return l;
}

void lane_free(struct lane *l)
{
	io_timer_stop(&l->timer);
	io_task_cancel(l->o->loop, &l->task);
	list_remove(&l->starved);
	list_remove(&l->of_member);
	sched_taker_free(l->taker);
	sched_lane_free(l->sched);
	lane_forget_secrets(l);
	conf_unref(l->conf);
	free((void *)(uintptr_t)l->key.ptr);
	free(l);
}

void lane_configure(struct lane *l)
{
	const struct conf_lane *c = conf_lane(l->o->conf, l->key), *before = l->c;
	struct conf *old = l->conf;

	l->conf = conf_ref(l->o->conf);
	l->c = c;
	sched_lane_set(
		l->sched, c && c->tenant ? c->tenant->name : SV(""), c && lane_needs_token(c));
	/* Of one that is gone they stay: it may come back within its windows. */
	if (c)
		limit_scope_set(l->scope,
			&(struct limit_caps){
				sched_share(c->limits.messages_per_minute, c->limits.share_percent),
				sched_share(
					c->limits.recipients_per_day, c->limits.share_percent) });
	list_remove(&l->starved);
	l->endpoint = c && !provider_defaults(c->provider)->is_http ? endpoint_get(l->o, c) : NULL;
	/* They were opened by the old settings. */
	for (struct connection *open = lane_idle_connection(l); open;
		open = lane_idle_connection(l))
		connection_quit(open);
	l->stale_serial = 0;
	if (c)
		sched_taker_rank(l->taker, c->door);
	lane_reload_secrets(l, before);
	lane_tell_order(l);
	conf_unref(old);
}

/* ---- how many connections ---- */

uint32_t lane_connections_limit(const struct lane *l)
{
	return l->c ? sched_share_of_connections(
			      l->c->limits.connections, l->c->limits.share_percent)
		    : 0;
}

uint32_t lane_connections_max(const struct lane *l)
{
	return sched_pace_connections(&l->pace, lane_connections_limit(l));
}

bool lane_has_too_many(struct lane *l, uint64_t era)
{
	bool known = era != sched_pace_era(&l->pace);
	bool fewer =
		sched_pace_too_many(&l->pace, era, l->connection_count, lane_connections_limit(l));

	if (fewer)
		log_line(LOG_INFO,
			"qmgr",
			"%.*s: its server has too many connections of it; at most %u from now on",
			SV_ARG(l->key),
			lane_connections_max(l));
	/* Alone, they are those of others: it waits. */
	return (known || fewer) && l->connection_count > 1;
}

void lane_message_passed(struct lane *l)
{
	sched_pace_passed(&l->pace, l->connection_count, lane_connections_limit(l));
}

/* ---- being held ---- */

static void withdraw_fresh(struct lane *l, const struct verdict *v, struct sv reply)
{
	while (!list_empty(&l->fresh)) {
		struct delivery *d = list_entry(l->fresh.next, struct delivery, node);

		list_remove(&d->node);
		l->fresh_count--;
		delivery_withdraw(d, v, reply);
	}
}

/* One refused sign-in is enough: who is on the way to the door turns round. */
static void stop_opening(struct lane *l)
{
	list_each_safe (at, after, &l->connections) {
		struct connection *c = list_entry(at, struct connection, node);

		/* One that has ended says so itself, further up. */
		if (c->state < CONNECTION_IDLE && !c->ended) {
			c->ended = true;
			connection_pump(c);
		}
	}
}

static void hold(struct lane *l, const struct verdict *v, struct sv reply, struct sv transcript,
	const struct sched_retry *retry)
{
	struct sched_hold *own = sched_lane_own(l->sched);
	unsigned what = park_set(l,
		own,
		&(struct park_heard){
			.verdict = v, .reply = reply, .transcript = transcript, .retry = retry });

	if (what & SCHED_HOLD_HELD && sched_hold_parks(own, v)) {
		/* Not now: whoever puts it right in its file does so before the next try, not before this. */
		if (v->scope == VERDICT_SCOPE_MAILBOX)
			l->secrets_stale = true;
		stop_opening(l);
	}
	withdraw_fresh(l, v, reply);
	lane_tell_order(l);
	if (what)
		lane_poke(l);
}

void lane_hold(struct lane *l, const struct verdict *v, struct sv reply, struct sv transcript)
{
	const struct sched_policy policy = outbound_policy(l->o);
	const struct sched_retry retry = sched_retry_after(&policy.retry, v);

	hold(l, v, reply, transcript, &retry);
}

void lane_hold_for_token(struct lane *l, const struct verdict *v, struct sv reply)
{
	/* The broker paces what is asked of the token service: the lane only asks the broker. */
	static const struct sched_retry ask = { TOKEN_ASK_FIRST_US, TOKEN_ASK_CEILING_US };

	hold(l, v, reply, SV(""), &ask);
}

void lane_goes_on(struct lane *l)
{
	l->moved = 0;
	lane_tell_order(l);
}

uint32_t outbound_month(const struct outbound *o)
{
	char text[WALL_RFC3339_MAX];
	uint32_t month = 0;

	/* "2026-11-25T..." */
	(void)wall_rfc3339(io_wall(o->loop), text);
	for (size_t i = 0; i < 7; i++)
		if (i != 4)
			month = month * 10 + (uint32_t)(text[i] - '0');
	return month;
}

void lane_count_delivered(struct lane *l, uint32_t month, uint64_t count)
{
	if (month < l->month)
		return;
	if (month > l->month)
		l->delivered_month = 0;
	l->month = month;
	l->delivered_month += count;
}

enum provider_kind lane_provider(const struct lane *l)
{
	return l->c ? l->c->provider : provider_unknown();
}

struct sched_lane_now lane_now(struct lane *l)
{
	return sched_lane_now(l->sched, io_now(l->o->loop));
}

void lane_tell_order(struct lane *l)
{
	struct mono_time now = io_now(l->o->loop);
	struct sched_lane_now state = sched_lane_now(l->sched, now);
	const struct sched_hold *outside = sched_lane_stops_outside(l->sched, now);

	sched_taker_set(l->taker,
		&(struct sched_taker_state){ .is_configured = l->c != NULL,
			.held = state.held || state.probing,
			.may_elsewhere = state.by && sched_hold_may_leave(state.by),
			.probing = state.probing && !state.held,
			.external_held = outside != NULL,
			.external_elsewhere = outside && sched_hold_may_leave(outside) });
	outbound_wake(l->o);
}

/* ---- what leaves next ---- */

static struct sv address_of(const void *arg, size_t i)
{
	return ((const struct store_recipient *)arg)[i].address;
}

/* All go to one address then: the domain of the others does not matter. */
uint32_t lane_per_domain(const struct lane *l)
{
	return conf_general(l->o->conf)->redirect_all.len ? 0 : l->c->limits.recipients_per_domain;
}

/* By its limits, for whatever comes next, with at most so many recipients. */
static struct sched_room room_for(struct lane *l, size_t most)
{
	struct mono_time now = io_now(l->o->loop);
	uint32_t max = l->c->limits.recipients_per_message;
	struct limit_use use = limit_scope_use(l->scope, now);

	if (max && most > max)
		most = max;
	return sched_room_of(
		limit_scope_room(l->scope, now, (uint32_t)most), &use, &l->member->better, now);
}

static struct sched_room room_of(struct lane *l)
{
	return room_for(l, LIMIT_RCPT);
}

uint32_t lane_room(struct lane *l, const struct store_recipient *recipients, size_t count)
{
	const struct sched_room room =
		room_for(l, mail_domain_room(count, lane_per_domain(l), address_of, recipients));

	return recipients[0].flow.class == MAIL_CLASS_BULK ? room.wanted_bulk : room.wanted;
}

uint32_t lane_ready_connections(const struct lane *l)
{
	uint32_t n = 0;

	list_each (at, &l->connections) {
		const struct connection *c = list_entry(at, struct connection, node);

		n += c->state == CONNECTION_IDLE &&
		     mono_before(io_now(l->o->loop), connection_token_until(c));
	}
	return n;
}

struct connection *lane_idle_connection(const struct lane *l)
{
	list_each (at, &l->connections) {
		struct connection *c = list_entry(at, struct connection, node);

		if (c->state == CONNECTION_IDLE)
			return c;
	}
	return NULL;
}

static uint32_t due_count(struct lane *l)
{
	uint64_t n = sched_due_count(l->taker, outbound_due_now(l->o));

	return n > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)n;
}

/* How it stands with its connections. */
static struct sched_burst burst_of(struct lane *l, bool probing)
{
	bool has_session = false;
	struct sched_burst b = {
		.waiting = l->fresh_count + l->takes_running + due_count(l),
		.room = limit_scope_messages(l->scope, io_now(l->o->loop)),
		.open = l->connection_count,
		.max = lane_connections_max(l),
	};

	list_each (at, &l->connections) {
		const struct connection *c = list_entry(at, struct connection, node);

		b.handshakes += c->state < CONNECTION_IDLE;
		b.idle += c->state == CONNECTION_IDLE;
		has_session |= c->state == CONNECTION_IDLE || c->state == CONNECTION_BUSY;
	}
	/* One sign-in at a time until one is known to work: a refused one must be the only one. */
	b.one_at_a_time = probing || (l->c && l->c->sign_in != CONF_SIGN_IN_NONE && !has_session);
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

/* ---- the pump ---- */

void lane_room_changed(const struct lane *l)
{
	list_each (at, &l->member->lanes) {
		struct lane *other = list_entry(at, struct lane, of_member);

		if (other != l && other->waits_for_room)
			lane_poke(other);
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
	struct mono_time now = io_now(l->o->loop), at;
	struct sched_room room;

	l->waits_for_room = false;
	if (!l->c)
		return MONO_NEVER;
	if (state->held)
		return state->until;
	if (due_count(l) == 0)
		return MONO_NEVER;
	room = room_of(l);
	l->waits_for_room = room.wanted == 0 || room.wanted_bulk == 0;
	if (room.wanted == 0)
		return limit_scope_room_at(l->scope, now);
	at = is_at_work(l) ? MONO_NEVER : mono_add(now, US_PER_S);
	return room.wanted_bulk
		       ? at
		       : mono_min(at, sched_room_bulk_at(l->scope, &l->member->better, now));
}

static void withdraw_all(struct lane *l, const struct sched_lane_now *state)
{
	const struct verdict v = { .kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.cause = state->why->cause,
		.summary = state->why->summary };

	withdraw_fresh(l, &v, sv_from(state->why->reply));
}

/* Messages that may be in our hands now: one for each connection that has none, and one for each that is about to end its own. */
static uint32_t takes_max(const struct lane *l)
{
	uint32_t n = lane_ready_connections(l);

	/* Of those nobody could tell that they never left. */
	if (conf_general(l->o->conf)->uncertain != CONF_UNCERTAIN_RETRY)
		return n;
	list_each (at, &l->connections)
		n += connection_ends_soon(list_entry(at, struct connection, node));
	return n;
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
		struct sched_room room = room_of(l);
		struct sched_pick pick;

		if (!sched_pick(l->taker, outbound_due_now(l->o), &room, &pick))
			return;
		delivery_take(l, &pick, probing);
	}
}

static void give_fresh(struct lane *l)
{
	while (!list_empty(&l->fresh)) {
		struct connection *c = lane_idle_connection(l);
		struct delivery *d;

		if (!c)
			return;
		/* A token that ends is not used for another message. */
		if (!mono_before(io_now(l->o->loop), connection_token_until(c))) {
			connection_quit(c);
			continue;
		}
		d = list_entry(l->fresh.next, struct delivery, node);
		list_remove(&d->node);
		l->fresh_count--;
		connection_give(c, d);
	}
}

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

static void pump(void *arg)
{
	lane_pump(arg);
}

void lane_pump(struct lane *l)
{
	struct outbound *o = l->o;
	struct sched_lane_now state = lane_now(l);

	if (!o->started)
		return;
	/* Time alone may have changed it. */
	lane_tell_order(l);
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

static void on_timer(void *arg)
{
	lane_pump(arg);
}

void lane_poke(struct lane *l)
{
	io_task_post(l->o->loop, &l->task);
}
