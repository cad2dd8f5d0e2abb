/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "conf/made.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"
#include "provider/defaults.h"

#include <stdlib.h>

/* What is known of a lane, and how it stands; what it does is sender.c's. */

/* ---- members ---- */

static struct member *member_of_lane(struct outbound *o, const struct lane *l)
{
	struct sv key = limit_scope_key(l->scope);
	struct member *m = htable_get(&o->members, key);

	if (m)
		return m;
	m = xcalloc(1, sizeof(*m));
	m->sched = sched_member_get(o->order, key);
	list_init(&m->lanes);
	list_init(&m->of_crowd);
	htable_put(&o->members, key, m);
	return m;
}

void members_free(struct outbound *o)
{
	htable_each (&o->members, slot)
		free(slot->value);
	htable_deinit(&o->members);
}

/* ---- life ---- */

static void pump(void *arg)
{
	struct lane *l = arg;

	l->o->hands->pump(l);
}

struct conf *lane_take_conf(struct lane *l)
{
	const struct conf_lane *c = conf_lane(l->o->conf, l->key);
	struct conf *old = l->conf;

	l->conf = conf_ref(l->o->conf);
	l->c = c;
	conf_made_keep(c);
	if (c && c->made_of && !l->member->share)
		crowd_join(l->member, l->o, c);
	else if (c && !c->made_of)
		crowd_leave(l->o, l->member);
	sched_lane_set(
		l->sched, c && c->tenant ? c->tenant->name : SV(""), c && lane_needs_token(c));
	limits_of(l->o, l->key, c, &l->limits);
	limits_set_month(l);
	list_remove(&l->starved);
	l->endpoint = c && !provider_defaults(c->provider)->is_http ? endpoint_get(l->o, c) : NULL;
	l->stale_serial = 0;
	if (c)
		sched_taker_rank(l->taker, c->door);
	return old;
}

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
	io_timer_init(&l->timer, o->loop, pump, l);
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
	l->at = o->lane_count;
	o->all_lanes[o->lane_count++] = l;
	/* Its secrets are read before its first connection. */
	l->secrets_stale = true;
	(void)lane_take_conf(l);
	lane_tell_order(l);
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
	conf_unref(l->conf);
	free(l->moved_to);
	free((void *)(uintptr_t)l->key.ptr);
	free(l);
}

void lane_remove(struct lane *l)
{
	struct outbound *o = l->o;
	struct lane *last = o->all_lanes[o->lane_count - 1];

	o->all_lanes[l->at] = last;
	last->at = l->at;
	o->lane_count--;
	(void)htable_take(&o->lanes, l->key);
	conf_made_release(l->c);
	lane_free(l);
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
	limits_set_month(l);
}

enum provider_kind lane_provider(const struct lane *l)
{
	return l->c ? l->c->provider : provider_unknown();
}

struct sched_lane_now lane_now(struct lane *l)
{
	return sched_lane_now(l->sched, io_now(l->o->loop));
}

/* A limit of the mailbox, or a block, of which one door has heard, shuts all of them: that one alone finds out when it is over. */
static bool is_shut_with(const struct lane *l, const struct lane *other)
{
	const struct sched_hold_reason *why = sched_hold_why(sched_lane_own(other->sched));
	struct verdict v;

	if (other == l || !other->c || !why)
		return false;
	v = cause_verdict(why->cause);
	return v.kind == VERDICT_PARK && v.scope == VERDICT_SCOPE_MAILBOX_WINDOW;
}

static bool is_shut_by_another(const struct lane *l)
{
	list_each (at, &l->member->lanes)
		if (is_shut_with(l, list_entry(at, struct lane, of_member)))
			return true;
	return false;
}

/* Until a message has got through that tries after a person has released it. */
static bool is_of_reputation(const struct sched_lane_now *state, const struct sched_hold *outside)
{
	const struct sched_hold_reason *why = outside ? sched_hold_why(outside) : NULL;

	return (state->why && state->why->nature == VERDICT_NATURE_REPUTATION) ||
	       (why && why->nature == VERDICT_NATURE_REPUTATION);
}

void lane_tell_order(struct lane *l)
{
	struct mono_time now = io_now(l->o->loop);
	struct sched_lane_now state = sched_lane_now(l->sched, now);
	const struct sched_hold *outside = sched_lane_stops_outside(l->sched, now);
	const enum limit_side side = limits_take_side(l);
	bool shut = is_shut_by_another(l);

	if (!state.held && !state.probing)
		l->moved = 0;
	if (sched_taker_set(l->taker,
		    &(struct sched_taker_state){ .is_configured = l->c != NULL,
			    .held = shut || state.held || state.probing,
			    .may_elsewhere = shut || (state.by && sched_hold_may_leave(state.by)),
			    .probing = !shut && state.probing && !state.held,
			    .external_held = outside != NULL,
			    .external_elsewhere = outside && sched_hold_may_leave(outside),
			    .external_full = side == LIMIT_INTERNAL,
			    .internal_full = side == LIMIT_EXTERNAL,
			    .stops_pool = is_of_reputation(&state, outside) }))
		outbound_wake(l->o);
	pool_tell(l->member);
}

void lane_tell_doors(const struct lane *l)
{
	list_each (at, &l->member->lanes)
		lane_tell_order(list_entry(at, struct lane, of_member));
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
static struct sched_room room_for(struct lane *l, enum limit_side side, size_t most)
{
	struct mono_time now = io_now(l->o->loop);
	uint32_t max = l->c->limits.recipients_per_message;
	struct limit_use use = limit_set_use(&l->limits, side, now);

	if (max && most > max)
		most = max;
	return sched_room_of(limit_set_room(&l->limits, side, now, (uint32_t)most),
		&use,
		&l->member->better,
		now);
}

struct sched_room lane_room_now(struct lane *l)
{
	return room_for(l, limits_take_side(l), LIMIT_RCPT);
}

uint32_t lane_room(struct lane *l, const struct store_recipient *recipients, size_t count)
{
	const struct sched_room room = room_for(l,
		flow_side(&recipients[0].flow),
		mail_domain_room(count, lane_per_domain(l), address_of, recipients));

	return recipients[0].flow.class == MAIL_CLASS_BULK ? room.wanted_bulk : room.wanted;
}

void lane_room_changed(const struct lane *l)
{
	list_each (at, &l->member->lanes) {
		struct lane *other = list_entry(at, struct lane, of_member);

		if (other != l && other->waits_for_room)
			lane_poke(other);
	}
	pool_tell(l->member);
}

void lane_poke(struct lane *l)
{
	io_task_post(l->o->loop, &l->task);
}

/* ---- who looks for work ---- */

void outbound_wake(struct outbound *o)
{
	io_task_post(o->loop, &o->wake);
}

bool lane_needs_token(const struct conf_lane *c)
{
	return c->sign_in == CONF_SIGN_IN_APP || c->sign_in == CONF_SIGN_IN_USER;
}
