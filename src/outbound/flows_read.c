/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/route.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"

#include <stdlib.h>

/* What waits where, read from the queue; and mail that has lost its members, or whose time a wrong clock has set. */

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
void flows_resolve(struct outbound *o, const struct mail_flow *flow, uint64_t id)
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
	if (conf_queue_members(o->conf, info->key.queue, members) == 0 &&
		!conf_queue_is_bond(o->conf, info->key.queue))
		flows_resolve(o, &info->key, 0);
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
