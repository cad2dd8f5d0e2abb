/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "mail/address.h"
#include "outbound/outbound_priv.h"

#include <stdlib.h>

/* Pools: which mailboxes the order of mail knows in each, and what it is told that they may take. */

/* ---- what one may take ---- */

static struct wall_time due_of(struct outbound *o, struct mono_time at)
{
	struct mono_time now = io_now(o->loop);

	if (at.us == MONO_NEVER.us)
		return (struct wall_time){ INT64_MAX };
	if (!mono_before(now, at))
		return (struct wall_time){ INT64_MIN };
	return wall_add(outbound_due_now(o), (int64_t)mono_span(now, at));
}

/* Its first door that is configured; NULL: none is, or it is in no pool. */
static struct lane *lane_in_pool(const struct member *m)
{
	list_each (at, &m->lanes) {
		struct lane *l = list_entry(at, struct lane, of_member);

		if (l->c && l->c->member->pool)
			return l;
	}
	return NULL;
}

void pool_tell(struct member *m)
{
	struct lane *l = lane_in_pool(m);
	struct sched_load load = { 0 };
	struct limit_window_use day;
	enum limit_side side;
	struct sched_room room;
	struct mono_time now;

	if (!l || !l->o->started)
		return;
	now = io_now(l->o->loop);
	side = limits_take_side(l);
	day = limit_part_window_use(&l->limits.parts[0], LIMIT_DAY, now);
	room = lane_room_now(l);
	load.used = day.used;
	load.cap = day.capacity;
	/* One that is taken, and one ahead, of each connection (sender.c). */
	load.slots = 2 * lane_connections_max(l);
	load.ready_at = due_of(l->o, room.wanted ? now : limits_room_at(l, side));
	load.bulk_at = due_of(l->o,
		room.wanted_bulk ? now : sched_room_bulk_at(&l->limits, side, &m->better, now));
	sched_member_load(m->sched, &load);
	outbound_wake(l->o);
}

void pools_tell_stale(struct outbound *o)
{
	struct member *m;

	while ((m = sched_load_stale(o->order, outbound_due_now(o))) != NULL)
		pool_tell(m);
}

/* ---- who is in it ---- */

static struct member *member_of_seat(struct outbound *o, const struct conf_member *m)
{
	struct member *member = NULL;

	for (size_t i = 0; i < m->lane_count; i++)
		member = lane_get(o, m->lanes[i].key)->member;
	must(member != NULL);
	return member;
}

/* All lanes of it are there from when mail first waits for it. */
static void fill(struct outbound *o, const struct conf_pool *p)
{
	struct sched_pool_member *members = xcalloc(p->seat_count, sizeof(*members));

	for (size_t i = 0; i < p->seat_count; i++) {
		const struct conf_seat *seat = &p->seats[i];
		struct member *m = member_of_seat(o, seat->member);

		members[i] = (struct sched_pool_member){ .member = m->sched,
			.domain = sv_skip(
				seat->member->name, (size_t)(address_at(seat->member->name) + 1)),
			.weight = seat->weight,
			.owner = m };
	}
	sched_pool_set(o->order, p->key, members, p->seat_count);
	for (size_t i = 0; i < p->seat_count; i++)
		pool_tell(members[i].owner);
	free(members);
}

void pool_make(struct outbound *o, const struct conf_pool *p)
{
	if (htable_get(&o->pools, p->key))
		return;
	htable_put(&o->pools, p->key, o);
	fill(o, p);
}

void pools_reload(struct outbound *o)
{
	htable_each (&o->pools, slot) {
		struct sv key = sv_make(slot->key, slot->key_len);
		const struct conf_pool *p = conf_pool(o->conf, sv_skip(key, SV("p:").len));

		if (p)
			fill(o, p);
		else
			sched_pool_set(o->order, key, NULL, 0);
	}
	outbound_wake(o);
}

void pools_start(struct outbound *o)
{
	htable_each (&o->members, slot)
		pool_tell(slot->value);
}
