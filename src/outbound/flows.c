/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/route.h"
#include "outbound/outbound_priv.h"

#include <stdlib.h>

/* Between where mail waits (sched/order) and the lanes that take it: who is a taker of what, and who should look for work. */

/* One that a wildcard makes needs a place first. */
static bool has_place(struct outbound *o, const struct conf_member *m, struct sv principal)
{
	return !m->lanes[0].made_of || htable_get(&o->members, m->key) ||
	       crowd_has_room(o, &m->lanes[0], principal);
}

/* Its lanes are there from when mail first waits for one of them. How many members are configured. */
static size_t make_lanes(struct outbound *o, const struct mail_flow *flow)
{
	const struct conf_member *members[CONF_THROUGH_MAX];
	size_t count = conf_queue_members(o->conf, flow->queue, members);

	o->crowds.principal = flow->principal;
	for (size_t i = 0; i < count; i++) {
		bool of_pool = members[i]->kind == CONF_LANE_POOL ||
			       conf_queue_pool(members[i], flow->queue) != NULL;

		for (size_t k = 0;
			k < members[i]->lane_count && has_place(o, members[i], flow->principal);
			k++)
			(void)lane_get(o, members[i]->lanes[k].key);
		if (of_pool)
			pool_make(o, members[i]->pool);
	}
	o->crowds.principal = SV("");
	return count;
}

struct sched_flow *flow_get(struct outbound *o, const struct mail_flow *key)
{
	(void)make_lanes(o, key);
	return sched_flow_get(o->order, key);
}

bool flow_is_crowded_out(struct outbound *o, const struct mail_flow *key)
{
	const struct conf_member *members[CONF_THROUGH_MAX];
	size_t count = conf_queue_members(o->conf, key->queue, members);
	bool all = count > 0;

	for (size_t i = 0; i < count; i++)
		all = all && members[i]->lanes[0].made_of &&
		      !htable_get(&o->members, members[i]->key);
	return all;
}

struct lane *lane_of_flow(struct outbound *o, const struct mail_flow *key)
{
	struct sched_taker *t = sched_flow_taker(flow_get(o, key));

	return t ? sched_taker_owner(t) : NULL;
}

struct lane *lane_first_of(struct outbound *o, const struct mail_flow *key)
{
	const struct conf_member *members[CONF_THROUGH_MAX];

	if (conf_queue_members(o->conf, key->queue, members) == 0)
		return NULL;
	(void)make_lanes(o, key);
	return htable_get(&o->lanes, members[0]->lanes[0].key);
}

struct sv outbound_lane_of(struct outbound *o, const struct mail_flow *flow)
{
	struct lane *l = lane_of_flow(o, flow);

	if (!l)
		l = lane_first_of(o, flow);
	return l ? l->key : SV("");
}

static bool is_of_tenant(const struct conf_member *m, const struct conf_member *of)
{
	return m->tenant && of->tenant && sv_eq(m->tenant->name, of->tenant->name);
}

/* What one mailbox refuses is not offered to all others of its pool, one after the other. */
static bool is_own_pool(const struct conf_member *m, const struct conf_member *own)
{
	return m->kind == CONF_LANE_POOL && own && own->pool == m->pool;
}

const struct mail_flow *flow_without(const struct lane *by, bool other_tenant,
	const struct store_message *m, const struct store_recipient *r, struct arena *a)
{
	const struct conf_member *members[CONF_THROUGH_MAX], *own = by->c ? by->c->member : NULL;
	const struct conf *conf = by->o->conf;
	size_t count = conf_queue_members(conf, r->flow.queue, members), left = 0;
	struct mail_flow *flow;

	for (size_t i = 0; i < count; i++)
		if (members[i] != own && !is_own_pool(members[i], own) &&
			!(other_tenant && own && is_of_tenant(members[i], own)) &&
			conf_member_takes(conf, members[i], r->address, m->size))
			members[left++] = members[i];
	if (left == 0)
		return NULL;
	flow = arena_alloc(a, sizeof(*flow));
	*flow = r->flow;
	flow->queue = conf_queue_key(conf, members, left, r->address, m->size, a, &flow->external);
	return flow;
}

const struct mail_flow *flow_bound(
	const struct lane *l, const struct mail_flow *flow, struct arena *a)
{
	struct mail_flow *bound;

	if (!l->c || !conf_queue_pool(l->c->member, flow->queue))
		return NULL;
	bound = arena_alloc(a, sizeof(*bound));
	*bound = *flow;
	bound->queue = conf_bond_key(l->c->member, a);
	return bound;
}

/* ---- who looks for work ---- */

static void set_due_timer(struct outbound *o)
{
	struct wall_time next = sched_order_next(o->order);
	int64_t wait = next.us - outbound_due_now(o).us;

	io_timer_start(&o->due_timer,
		next.us == SCHED_NEVER.us
			? MONO_NEVER
			: mono_add(io_now(o->loop), wait > 0 ? (uint64_t)wait : 0));
}

void flows_wake(void *outbound)
{
	struct outbound *o = outbound;
	struct sched_taker *t;

	/* Nobody takes anything yet, and who was told is not told again. */
	if (!o->started)
		return;
	pools_tell_stale(o);
	while ((t = sched_wake(o->order, outbound_due_now(o))))
		lane_poke(sched_taker_owner(t));
	set_due_timer(o);
}

void flow_add(
	struct outbound *o, const struct mail_flow *key, uint32_t recipients, struct wall_time due)
{
	sched_flow_add(flow_get(o, key), recipients, due);
	outbound_wake(o);
}

void outbound_queued(
	void *outbound, uint64_t message_id, const struct mail_flow *flow, uint32_t recipients)
{
	struct outbound *o = outbound;
	size_t members = make_lanes(o, flow);

	sched_flow_add(sched_flow_get(o->order, flow), recipients, outbound_due_now(o));
	outbound_wake(o);
	overdue_expect_new(o);
	if (o->started && members == 0 && !conf_queue_is_bond(o->conf, flow->queue))
		o->hands->resolve(o, flow, message_id);
}

/* There no mailbox is the first. */
static bool is_in_pool(const struct lane *l, const struct mail_flow *key)
{
	return l->c && conf_queue_pool(l->c->member, key->queue);
}

void flow_left_by(const struct lane *l, const struct mail_flow *key, size_t recipients)
{
	struct lane *first = lane_first_of(l->o, key);

	if (!first || first == l || !lane_now(first).held || is_in_pool(l, key))
		return;
	first->moved += recipients;
	if (first->moved_to && sv_eq(sv_from(first->moved_to), l->key))
		return;
	free(first->moved_to);
	first->moved_to = sv_dup(l->key);
}
