/* SPDX-License-Identifier: Apache-2.0 */
#include "outbound/outbound.h"

#include "base/must.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	START_LANES_MAX = 500, /* in one slice, whatever the clock says */
};

static void drain_check(void *arg);

static const struct outbound_hands hands = {
	.pump = lane_pump, .serve = endpoint_serve, .resolve = flows_resolve
};

struct outbound *outbound_new(const struct outbound_options *options)
{
	struct outbound *o = xcalloc(1, sizeof(*o));

	o->hands = &hands;
	o->loop = options->loop;
	o->store = options->store;
	o->resolver = options->resolver;
	o->https = options->https;
	o->tokens = options->tokens;
	o->workers = options->workers;
	o->vault = options->vault;
	o->dnssec = options->dnssec;
	o->by_smtp = &connection_smtp;
	o->by_web = &connection_web;
	o->event = options->event;
	o->event_arg = options->event_arg;
	o->conf = conf_ref(options->conf);
	o->holds = sched_holds_new();
	list_init(&o->starved);
	list_init(&o->idle);
	list_init(&o->quiet);
	list_init(&o->resolves);
	list_init(&o->crowds.members);
	io_timer_init(&o->crowds.timer, o->loop, idle_look, o);
	o->order = sched_order_new(io_random_u64());
	o->wake = (struct io_task){ .run = flows_wake, .arg = o };
	io_timer_init(&o->due_timer, o->loop, flows_wake, o);
	io_timer_init(&o->flows.retry, o->loop, flows_read_again, o);
	io_timer_init(&o->park_timer, o->loop, parks_tell_order, o);
	list_init(&o->work);
	o->overdue = overdue_new(o);
	o->slots = (struct io_task){ .run = connections_serve, .arg = o };
	o->drain_check = (struct io_task){ .run = drain_check, .arg = o };
	o->last_wall = io_wall(o->loop);
	o->last_mono = io_now(o->loop);
	o->first_wall = o->last_wall;
	o->first_mono = o->last_mono;
	o->started_at = o->first_wall;
	o->doubtful_us = store_doubtful_us(o->store);
	o->doubted_at = o->first_mono;
	o->book =
		limit_book_new(store_steady_now(o->store, (struct mono_time){ 0 }), o->first_mono);
	return o;
}

void outbound_free(struct outbound *o)
{
	if (!o)
		return;
	io_task_cancel(o->loop, &o->drain_check);
	io_task_cancel(o->loop, &o->slots);
	io_task_cancel(o->loop, &o->reload.task);
	io_task_cancel(o->loop, &o->wake);
	io_timer_stop(&o->due_timer);
	io_timer_stop(&o->park_timer);
	io_timer_stop(&o->flows.retry);
	io_timer_stop(&o->crowds.timer);
	io_task_cancel(o->loop, &o->flows.task);
	io_task_cancel(o->loop, &o->used_walk.task);
	io_task_cancel(o->loop, &o->poke_walk.task);
	outbound_fresh_free(o->reload.fresh);
	htable_each (&o->lanes, slot) {
		lane_forget_secrets(slot->value);
		lane_free(slot->value);
	}
	htable_deinit(&o->lanes);
	htable_deinit(&o->pools);
	free(o->all_lanes);
	endpoints_free(o);
	sched_holds_free(o->holds);
	htable_each (&o->tls, slot)
		io_tls_unref(slot->value);
	htable_deinit(&o->tls);
	counters_end(o);
	members_free(o);
	crowds_free(o);
	sched_order_free(o->order);
	arena_reset(&o->flows.arena);
	arena_reset(&o->parks_arena);
	arena_reset(&o->ledger_arena);
	arena_reset(&o->counts_arena);
	overdue_free(o->overdue);
	limit_book_free(o->book);
	conf_unref(o->conf);
	free(o);
}

/* ---- start ---- */

void outbound_restore_uncertain(void *arg, struct sv lane, uint32_t messages, uint32_t recipients)
{
	(void)lane;
	(void)messages;
	outbound_count_uncertain(arg, recipients);
}

/*
 * It stands at the latest instant at which it may have been counted, so that another start counts it, too.
 * What its claim has written stays: at which time of the ledger that was is not known any more.
 */
size_t outbound_uncertain_ledger(
	void *arg, struct sv lane, uint32_t recipients, struct limit_entry out[LIMIT_ENTRIES_MAX])
{
	struct outbound *o = arg;
	struct limit_set limits;

	limits_of(o, lane, conf_lane(o->conf, lane), &limits);
	return limit_set_expect(
		&limits, mono_add(io_now(o->loop), UNCERTAIN_SETTLE_US), recipients, out);
}

const struct mail_flow *outbound_uncertain_flow(
	void *arg, struct sv lane, const struct mail_flow *flow, struct arena *arena)
{
	return flow_bound(lane_get(arg, lane), flow, arena);
}

/* One step for each lane, some in a turn of the loop. True: all are done. */
static bool walk(struct outbound *o, struct start_walk *w, size_t count,
	void (*step)(struct outbound *o, size_t at))
{
	struct mono_time began = io_clock_mono();

	for (size_t i = 0; i < START_LANES_MAX && w->at < count; i++) {
		if (i % 8 == 7 && io_slice_is_over(began))
			break;
		step(o, w->at++);
	}
	if (w->at < count)
		io_task_post(o->loop, &w->task);
	return w->at >= count;
}

static void poke_lane(struct outbound *o, size_t at)
{
	struct lane *l = o->all_lanes[at];

	/* What it shares may be known only now. */
	limits_of(o, l->key, l->c, &l->limits);
	lane_tell_order(l);
	/* Nothing else brings it to the end of what holds it. */
	if (lane_now(l).held)
		lane_poke(l);
}

static void poke_lanes(void *arg)
{
	struct outbound *o = arg;

	(void)walk(o, &o->poke_walk, o->lane_count, poke_lane);
}

static void read_done(struct outbound *o)
{
	if (--o->reads_left > 0)
		return;
	o->started = true;
	pools_start(o);
	idle_look(o);
	counters_configure(o);
	/* Where the flows could not be read, there may be some. */
	overdue_start(o, o->flows.op.op.rc != 0 || o->flows.op.out_count > 0);
	arena_reset(&o->parks_arena);
	outbound_wake(o);
	poke_lanes(o);
	parks_tell_order(o);
}

static bool read_failed(struct outbound *o, const struct store_op *op)
{
	if (op->rc != 0)
		log_line(LOG_ERROR, "qmgr", "the queue could not be read: %s", op->err.text);
	if (op->rc != 0)
		read_done(o);
	return op->rc != 0;
}

static void parks_read(struct store_op *op)
{
	struct outbound *o = CONTAINER_OF(op, struct outbound, parks_op.op);

	if (read_failed(o, op))
		return;
	for (size_t i = 0; i < o->parks_op.out_count; i++)
		park_loaded(o, &o->parks_op.out_rows[i]);
	read_done(o);
}

static void show_lane(struct outbound *o, size_t at)
{
	size_t count;
	const struct conf_lane *lane = &conf_lanes(o->conf, &count)[at];

	if (limit_book_knows(o->book, lane->key))
		(void)lane_get(o, lane->key);
}

/* What has sent is seen, too, where nothing waits. */
static void show_used(void *arg)
{
	struct outbound *o = arg;
	size_t count;

	(void)conf_lanes(o->conf, &count);
	if (walk(o, &o->used_walk, count, show_lane))
		read_done(o);
}

static void ledger_read(struct store_op *op)
{
	struct outbound *o = CONTAINER_OF(op, struct outbound, ledger_op.op);

	if (read_failed(o, op))
		return;
	for (size_t i = 0; i < o->ledger_op.out_count; i++)
		limit_book_restore(o->book, &o->ledger_op.out_entries[i]);
	arena_reset(&o->ledger_arena);
	if (o->ledger_op.out_more) {
		store_submit(o->store, op);
		return;
	}
	show_used(o);
}

static void counts_read(struct store_op *op)
{
	struct outbound *o = CONTAINER_OF(op, struct outbound, counts_op.op);

	if (read_failed(o, op))
		return;
	for (size_t i = 0; i < o->counts_op.out_count; i++) {
		const struct store_count *c = &o->counts_op.out_counts[i];
		char key[LIMIT_ADDRESS + 128];

		/* Behind the kind of the scope: "hve m:bulk@contoso.com". */
		if (!sv_starts(c->name, SV(COUNT_HVE)) || c->name.len < sizeof(COUNT_HVE) + 2)
			continue;
		(void)snprintf(key,
			sizeof(key),
			"hve/%.*s",
			SV_ARG(sv_skip(c->name, sizeof(COUNT_HVE) + 1)));
		lane_count_delivered(lane_get(o, sv_from(key)), c->period, c->amount);
	}
	arena_reset(&o->counts_arena);
	read_done(o);
}

void outbound_start(struct outbound *o)
{
	outbound_say_loudly(o->conf);
	o->reads_left = 4;
	o->flows.task = (struct io_task){ .run = flows_take_over, .arg = o };
	o->used_walk.task = (struct io_task){ .run = show_used, .arg = o };
	o->poke_walk.task = (struct io_task){ .run = poke_lanes, .arg = o };
	o->ledger_op = (struct store_ledger_read){ .op.kind = STORE_OP_LEDGER_READ,
		.op.done = ledger_read,
		.since = limit_book_since(o->book),
		.kinds = LIMIT_SCOPE_KINDS,
		.limit = LEDGER_PAGE,
		.out_arena = &o->ledger_arena };
	o->counts_op = (struct store_counts_read){ .op.kind = STORE_OP_COUNTS_READ,
		.op.done = counts_read,
		.period = outbound_month(o),
		.out_arena = &o->counts_arena };
	o->parks_op = (struct store_parks_read){
		.op.kind = STORE_OP_PARKS_READ, .op.done = parks_read, .out_arena = &o->parks_arena
	};
	store_submit(o->store, &o->ledger_op.op);
	store_submit(o->store, &o->counts_op.op);
	store_submit(o->store, &o->parks_op.op);
	flows_look(o, read_done);
}

/* ---- drain ---- */

static void drain_check(void *arg)
{
	struct outbound *o = arg;
	void (*drained)(void *arg) = o->drained;

	if (o->deliveries || o->connections || !drained)
		return;
	o->drained = NULL;
	drained(o->drained_arg);
}

void outbound_drain(struct outbound *o, void (*done)(void *arg), void *arg)
{
	o->draining = true;
	counters_stop(o);
	o->drained = done;
	o->drained_arg = arg;
	htable_each (&o->lanes, slot) {
		struct lane *l = slot->value;
		struct delivery *d;

		while ((d = delivery_next(l)))
			delivery_withdraw(d, NULL, SV(""));
		lane_drain_connections(l);
	}
	outbound_check_drained(o);
}

void outbound_give_up(struct outbound *o)
{
	must(o->draining);
	htable_each (&o->lanes, slot)
		lane_give_up_connections(slot->value);
}

/* ---- what others ask ---- */

/* A person says that it is put right: nothing of before is believed, neither a password nor a refusal. */
static void forget_sign_in(struct lane *l)
{
	l->secrets_stale = true;
	if (l->o->tokens && l->c && lane_needs_token(l->c))
		identity_tokens_retry(l->o->tokens, l->o->conf, l->c);
}

void outbound_kick(struct outbound *o, bool probe)
{
	if (probe)
		park_probe_all(o);
	htable_each (&o->lanes, slot) {
		struct lane *l = slot->value;
		const struct sched_hold_reason *why = sched_hold_why(sched_lane_own(l->sched));

		if (probe && why)
			forget_sign_in(l);
		if (probe && why && why->nature != VERDICT_NATURE_REPUTATION)
			sched_hold_probe_now(sched_lane_own(l->sched), io_now(o->loop));
		if (probe)
			limits_reopen(l);
		lane_tell_order(l);
		lane_poke(l);
	}
	parks_tell_order(o);
	flows_look(o, NULL);
	/* What a person released may be old. */
	overdue_expect(o, (struct wall_time){ 0 });
}

bool outbound_probe(struct outbound *o, struct sv lane)
{
	struct lane *l = lane_get(o, lane);
	bool stopped = park_probe_lane(l);

	forget_sign_in(l);
	limits_reopen(l);
	lane_tell_order(l);
	parks_tell_order(o);
	lane_poke(l);
	return stopped;
}

bool outbound_is_healthy(struct outbound *o, struct sv lane)
{
	struct lane *l;
	struct sched_lane_now now;

	if (!conf_lane(o->conf, lane))
		return false;
	l = lane_get(o, lane);
	now = lane_now(l);
	return !now.held && !now.probing;
}
