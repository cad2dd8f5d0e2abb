/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/route.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"

#include <stdlib.h>

/* Between where mail waits (sched/order) and the lanes that take it: who is a taker of what, and who should look for work. */

/* ---- members ---- */

struct member *member_of_lane(struct outbound *o, const struct lane *l)
{
	struct sv key = limit_scope_key(l->scope);
	struct member *m = htable_get(&o->members, key);

	if (m)
		return m;
	m = xcalloc(1, sizeof(*m));
	m->sched = sched_member_get(o->order, key);
	list_init(&m->lanes);
	htable_put(&o->members, key, m);
	return m;
}

void members_free(struct outbound *o)
{
	htable_each (&o->members, slot)
		free(slot->value);
	htable_deinit(&o->members);
}

/* Its lanes are there from when mail first waits for one of them. */
static void make_lanes(struct outbound *o, struct sv queue)
{
	const struct conf_member *members[CONF_THROUGH_MAX];
	size_t count = conf_queue_members(o->conf, queue, members);

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < members[i]->lane_count; k++)
			(void)lane_get(o, members[i]->lanes[k].key);
}

struct sched_flow *flow_get(struct outbound *o, const struct mail_flow *key)
{
	make_lanes(o, key->queue);
	return sched_flow_get(o->order, key);
}

struct lane *lane_of_flow(struct outbound *o, const struct mail_flow *key)
{
	struct sched_taker *t = sched_flow_taker(flow_get(o, key));

	return t ? sched_taker_owner(t) : NULL;
}

struct lane *lane_first_of(struct outbound *o, const struct mail_flow *key)
{
	const struct conf_member *members[CONF_THROUGH_MAX];

	return conf_queue_members(o->conf, key->queue, members) > 0
		       ? lane_get(o, members[0]->lanes[0].key)
		       : NULL;
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

const struct mail_flow *flow_without(const struct lane *by, bool other_tenant,
	const struct store_message *m, const struct store_recipient *r, struct arena *a)
{
	const struct conf_member *members[CONF_THROUGH_MAX], *own = by->c ? by->c->member : NULL;
	const struct conf *conf = by->o->conf;
	size_t count = conf_queue_members(conf, r->flow.queue, members), left = 0;
	struct mail_flow *flow;

	for (size_t i = 0; i < count; i++)
		if (members[i] != own && !(other_tenant && own && is_of_tenant(members[i], own)) &&
			conf_member_takes(conf, members[i], r->address, m->size))
			members[left++] = members[i];
	if (left == 0)
		return NULL;
	flow = arena_alloc(a, sizeof(*flow));
	*flow = r->flow;
	flow->queue = conf_queue_key(conf, members, left, r->address, m->size, a, &flow->external);
	return flow;
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
	while ((t = sched_wake(o->order, outbound_due_now(o))))
		lane_poke(sched_taker_owner(t));
	set_due_timer(o);
}

void outbound_wake(struct outbound *o)
{
	io_task_post(o->loop, &o->wake);
}

void flow_add(
	struct outbound *o, const struct mail_flow *key, uint32_t recipients, struct wall_time due)
{
	sched_flow_add(flow_get(o, key), recipients, due);
	outbound_wake(o);
}

/* ---- queues without a member ---- */

/*
 * Nothing of what its queue names is configured any more, or no route matched: each message of the flow looks for its route
 * when it comes, at the start and after a reload. It waits on if there is none.
 */
struct resolve {
	struct list node; /* in o->resolves */
	struct outbound *o;
	struct mail_flow flow;
	struct store_list list;
	struct arena own, page;
};

static void resolve_free(struct resolve *r)
{
	list_remove(&r->node);
	arena_reset(&r->own);
	arena_reset(&r->page);
	free(r);
}

/* The rows of a page that belong to one message, which come side by side. */
static size_t resolve_message(struct resolve *r, size_t first)
{
	const struct store_list_row *rows = &r->list.out_rows[first];
	size_t left = r->list.out_count - first, count = 1;
	struct store_recipient *recipients;
	struct store_message m = rows[0].message;

	while (count < left && rows[count].message.id == m.id)
		count++;
	recipients = arena_alloc(&r->page, count * sizeof(*recipients));
	for (size_t i = 0; i < count; i++)
		recipients[i] = rows[i].recipient;
	m.recipients = recipients;
	m.recipient_count = count;
	waiting_reroute(lane_get(r->o, SV("")), &m);
	return count;
}

static void resolve_page(struct store_op *op)
{
	struct resolve *r = CONTAINER_OF(op, struct resolve, list.op);

	if (op->rc != 0)
		log_line(LOG_WARN,
			"qmgr",
			"mail without a route could not be read: %s",
			op->err.text);
	for (size_t i = 0; op->rc == 0 && i < r->list.out_count;)
		i += resolve_message(r, i);
	arena_reset(&r->page);
	if (op->rc == 0 && r->list.out_more && !r->o->draining)
		store_submit(r->o->store, op);
	else
		resolve_free(r);
}

static bool is_resolving(const struct outbound *o, const struct mail_flow *flow, uint64_t id)
{
	list_each (at, &o->resolves) {
		const struct resolve *r = list_entry(at, struct resolve, node);

		if (r->list.filter.id == id && mail_flow_eq(&r->flow, flow))
			return true;
	}
	return false;
}

/* Of one message; id 0: of all. */
static void resolve(struct outbound *o, const struct mail_flow *flow, uint64_t id)
{
	struct resolve *r;

	if (is_resolving(o, flow, id))
		return;
	r = xcalloc(1, sizeof(*r));
	r->o = o;
	r->flow = (struct mail_flow){ .queue = arena_sv(&r->own, flow->queue),
		.class = flow->class,
		.principal = arena_sv(&r->own, flow->principal),
		.external = flow->external,
		.sender = arena_sv(&r->own, flow->sender) };
	r->list = (struct store_list){ .op.kind = STORE_OP_LIST,
		.op.done = resolve_page,
		.filter = { .id = id, .state = STORE_RCPT_QUEUED, .flow = &r->flow },
		.after_index = UINT32_MAX,
		.limit = LIMIT_PAGE,
		.out_arena = &r->page };
	list_append(&o->resolves, &r->node);
	store_submit(o->store, &r->list.op);
}

void outbound_queued(
	void *outbound, uint64_t message_id, const struct mail_flow *flow, uint32_t recipients)
{
	const struct conf_member *members[CONF_THROUGH_MAX];
	struct outbound *o = outbound;

	flow_add(o, flow, recipients, outbound_due_now(o));
	overdue_expect_new(o);
	if (o->started && conf_queue_members(o->conf, flow->queue, members) == 0)
		resolve(o, flow, message_id);
}

/* ---- what a clock that was ahead has planned ---- */

/* Nothing of ours waits so long. */
static struct wall_time far_from_now(struct outbound *o)
{
	uint64_t ceiling = conf_general(o->conf)->retry_ceiling_us;

	return wall_add(
		outbound_due_now(o), 2 * (int64_t)(ceiling > US_PER_DAY ? ceiling : US_PER_DAY));
}

static void made_near(struct store_op *op)
{
	struct outbound *o = CONTAINER_OF(op, struct outbound, flows.near.op);

	if (op->rc == 0 && o->flows.near.out_more && !o->draining) {
		store_submit(o->store, op);
		return;
	}
	o->flows.near.op.done = NULL;
	if (op->rc == 0 && !o->draining)
		flows_look(o, NULL);
	else if (op->rc != 0)
		log_line(LOG_WARN,
			"qmgr",
			"mail that a clock far ahead has planned could not be made due: %s",
			op->err.text);
}

/* Mail that is due in years is due now: all flows at once, as each of them may have some. */
static void make_near(struct outbound *o)
{
	if (!o->flows.is_far || o->flows.near.op.done || o->draining)
		return;
	log_line(LOG_WARN,
		"qmgr",
		"mail in the queue was planned by a clock that was far ahead: it is due now");
	o->flows.near = (struct store_edit){ .op.kind = STORE_OP_EDIT,
		.op.done = made_near,
		.kind = STORE_EDIT_RETRY,
		.filter = { .state = STORE_RCPT_QUEUED,
			.waiting_only = true,
			.due_after = far_from_now(o) },
		.at = outbound_due_now(o) };
	store_submit(o->store, &o->flows.near.op);
}

/* ---- what the queue holds ---- */

static void take_over(struct outbound *o, const struct store_flow_info *info)
{
	const struct conf_member *members[CONF_THROUGH_MAX];
	struct sched_flow *f = flow_get(o, &info->key);
	uint64_t known = sched_flow_waiting(f);

	o->flows.is_far |= info->last_at.us > far_from_now(o).us;
	if (conf_queue_members(o->conf, info->key.queue, members) == 0)
		resolve(o, &info->key, 0);
	sched_flow_add(
		f, info->waiting > known ? (uint32_t)(info->waiting - known) : 0, info->next_at);
}

void flows_take_over(void *outbound)
{
	struct outbound *o = outbound;
	struct mono_time began = io_clock_mono();

	while (o->flows.at < o->flows.op.out_count) {
		take_over(o, &o->flows.op.out_flows[o->flows.at++]);
		if (o->flows.at % 8 == 0 && io_slice_is_over(began)) {
			io_task_post(o->loop, &o->flows.task);
			return;
		}
	}
	o->flows.running = false;
	if (o->flows.then)
		o->flows.then(o);
	o->flows.then = NULL;
	make_near(o);
	arena_reset(&o->flows.arena);
	if (o->flows.again)
		flows_look(o, NULL);
	outbound_wake(o);
}

static void flows_read(struct store_op *op)
{
	struct outbound *o = CONTAINER_OF(op, struct outbound, flows.op.op);

	if (op->rc != 0) {
		log_line(LOG_ERROR, "qmgr", "the queue could not be read: %s", op->err.text);
		o->flows.op.out_count = 0;
		io_timer_start(&o->flows.retry,
			mono_add(io_now(o->loop),
				outbound_queue_pause(op->rc, o->flows.failures++)));
	} else {
		o->flows.failures = 0;
	}
	o->flows.at = 0;
	o->flows.is_far = false;
	flows_take_over(o);
}

void flows_read_again(void *outbound)
{
	flows_look(outbound, NULL);
}

void flows_look(struct outbound *o, void (*then)(struct outbound *o))
{
	if (then)
		o->flows.then = then;
	o->flows.again = o->flows.running;
	if (o->flows.running)
		return;
	o->flows.running = true;
	o->flows.op = (struct store_flows){
		.op.kind = STORE_OP_FLOWS, .op.done = flows_read, .out_arena = &o->flows.arena
	};
	store_submit(o->store, &o->flows.op.op);
}
