/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/route.h"
#include "io/log.h"
#include "mail/address.h"
#include "outbound/outbound_priv.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * One attempt. It ends in exactly one outcome in the queue:
 *   attempt committed -> transaction -> [dot released] -> verdicts -> notices -> outcome
 * The dot is released only after the attempt was committed (I5), so whatever dies, the queue knows of it.
 */
/* ---- life ---- */

#define AFTER(state) (1U << (state))

/* What follows what. Once the dot is released, nothing takes the attempt back. */
static const unsigned may_follow[ATTEMPT_STATE_COUNT] = {
	[ATTEMPT_TAKING] = AFTER(ATTEMPT_READY),
	[ATTEMPT_READY] = AFTER(ATTEMPT_RUNNING) | AFTER(ATTEMPT_ENDING),
	[ATTEMPT_RUNNING] = AFTER(ATTEMPT_RELEASED) | AFTER(ATTEMPT_ENDING),
	[ATTEMPT_RELEASED] = AFTER(ATTEMPT_RELEASED) | AFTER(ATTEMPT_ENDING),
};

void delivery_set_state(struct delivery *d, enum attempt_state next)
{
	must(may_follow[d->state] & AFTER(next));
	d->state = next;
}

void attempt_release(struct delivery *d)
{
	delivery_set_state(d, ATTEMPT_RELEASED);
	d->stayed = false;
}

struct delivery *delivery_new(struct lane *l)
{
	struct delivery *d = xcalloc(1, sizeof(*d));

	d->lane = l;
	list_init(&d->node);
	buf_init(&d->body, BODY_PIECE);
	d->begun_at = io_now(l->o->loop);
	work_begin(&d->work, l->o);
	return d;
}

void delivery_free(struct delivery *d)
{
	buf_deinit(&d->body);
	buf_deinit(&d->head);
	arena_reset(&d->arena);
	work_end(&d->work);
	lane_room_changed(d->lane);
	free(d);
}

void delivery_set_recipients(
	struct delivery *d, const struct store_recipient *recipients, size_t count)
{
	d->work.message = d->m.id;
	d->count = count;
	d->recipients = arena_alloc(&d->arena, count * sizeof(*d->recipients));
	d->envelope = arena_alloc(&d->arena, count * sizeof(*d->envelope));
	d->indexes = arena_alloc(&d->arena, count * sizeof(*d->indexes));
	for (size_t i = 0; i < count; i++) {
		d->recipients[i].r = recipients[i];
		d->envelope[i] = (struct smtp_client_recipient){ .address = recipients[i].address,
			.dsn_notify = recipients[i].dsn_notify,
			.orcpt = recipients[i].orcpt };
		d->indexes[i] = recipients[i].index;
	}
}

/* ---- the fresh way ---- */

/* What it may send is taken before its claim, and in the ledger with it. */
static size_t reserve(struct delivery *d)
{
	return limit_slot_take(
		&d->slot, d->lane->scope, io_now(d->lane->o->loop), (uint32_t)d->count, d->ledger);
}

static void set_attempt(struct delivery *d)
{
	d->attempt = (struct store_attempt){ .message_id = d->m.id,
		.number = 1,
		.lane = d->lane->key,
		.at = io_wall(d->lane->o->loop),
		.recipients = d->indexes,
		.recipient_count = d->count };
}

static bool is_way_free(struct lane *l, const struct store_message *m)
{
	for (size_t i = 0; i < m->recipient_count; i++) {
		struct sv address = m->recipients[i].address;

		if (park_find(l, m->sender, address) ||
			conf_lane_obstacle(l->o->conf, l->c, address, m->size) !=
				CONF_OBSTACLE_NONE)
			return false;
	}
	return true;
}

static bool may_claim(struct lane *l, struct store_put *put, const struct store_message *m)
{
	struct sched_lane_now state = lane_now(l);

	return l->c && !l->o->draining && l->o->started && put->chunk_count == 0 && !state.held &&
	       !state.probing &&
	       /* Nobody must call it uncertain that never had a connection (decision 0103). */
	       l->fresh_count + l->claims_running + l->takes_running < lane_ready_connections(l) &&
	       lane_room(l, m->recipients, m->recipient_count) == m->recipient_count &&
	       is_way_free(l, m) &&
	       /* Behind mail that waits already it queues up like the rest. */
	       sched_may_pass(
		       flow_get(l->o, &m->recipients[0].flow), l->taker, outbound_due_now(l->o));
}

static void show_hold(struct lane *l, struct arena *a, struct store_message *m,
	struct store_recipient *recipients)
{
	const struct sched_hold *p = park_find(l, m->sender, recipients[0].address);
	struct sched_lane_now state = lane_now(l);
	const struct sched_hold_reason *why = p ? sched_hold_why(p) : state.held ? state.why : NULL;

	for (size_t i = 0; why && i < m->recipient_count; i++) {
		recipients[i].last_cause = arena_sv(a, sv_from(cause_name(why->cause)));
		recipients[i].last_reply = arena_sv(a, sv_from(why->reply));
	}
}

void *outbound_claim(void *outbound, struct arena *arena, struct store_put *put,
	struct store_message *message, struct store_recipient *recipients)
{
	struct outbound *o = outbound;
	struct delivery *d;
	struct lane *l;

	for (size_t i = 1; i < message->recipient_count; i++)
		if (!mail_flow_eq(&recipients[i].flow, &recipients[0].flow) ||
			!sv_eq(recipients[i].rewrite_from, recipients[0].rewrite_from))
			return NULL;
	l = lane_of_flow(o, &recipients[0].flow);
	if (!l)
		return NULL;
	if (!may_claim(l, put, message)) {
		show_hold(l, arena, message, recipients);
		return NULL;
	}
	for (size_t i = 0; i < message->recipient_count; i++)
		recipients[i].lane = l->key;
	d = delivery_new(l);
	d->m = *message;
	delivery_set_recipients(d, recipients, message->recipient_count);
	for (size_t i = 0; i < d->count; i++)
		d->recipients[i].r.attempts = 1;
	set_attempt(d);
	put->attempts = &d->attempt;
	put->attempt_count = 1;
	put->ledger = d->ledger;
	put->ledger_count = reserve(d);
	l->claims_running++;
	return d;
}

void outbound_committed(void *outbound, void *claim, struct arena *arena, struct buf *body)
{
	struct delivery *d = claim;
	struct lane *l = d->lane;
	struct arena own = d->arena;

	(void)outbound;
	/* The message lives in the caller's arena, our arrays in ours: the first is appended to the other. */
	arena_join(arena, &own);
	d->arena = *arena;
	*arena = (struct arena){ 0 };
	buf_deinit(&d->body);
	d->body = *body;
	*body = (struct buf){ 0 };
	delivery_set_state(d, ATTEMPT_READY);
	delivery_count_moved(d);
	l->claims_running--;
	list_append(&l->fresh, &d->node);
	l->fresh_count++;
	if (lane_now(l).held || l->o->draining) {
		list_remove(&d->node);
		l->fresh_count--;
		delivery_withdraw(d, NULL, SV(""));
		return;
	}
	lane_poke(l);
}

void outbound_withdrawn(void *outbound, void *claim)
{
	struct delivery *d = claim;
	struct lane *l = d->lane;

	(void)outbound;
	l->claims_running--;
	(void)limit_slot_withdraw(&d->slot, NULL);
	delivery_free(d);
	/* Its connection is free for what came meanwhile. */
	lane_poke(l);
}

/* ---- the transaction ---- */

static void body_unreadable(struct delivery *d, struct sv why)
{
	const struct verdict v = cause_verdict(CAUSE_QUEUE_UNREADABLE);
	struct connection *c = d->connection && d->connection->begun ? d->connection : NULL;

	log_event(LOG_ERROR,
		"qmgr",
		SV(""),
		"a body could not be read",
		(const struct log_field[]){ LOG_F("why", why) },
		1);
	delivery_judge_rest(d,
		&v,
		arena_sv(&d->arena,
			why.len ? why : SV("the body in the queue is shorter than it should be")),
		SCHED_SAID_SESSION);
	delivery_finish(d);
	if (c)
		connection_abandon(c);
}

static void edit_failed(struct delivery *d)
{
	const struct verdict v = cause_verdict(CAUSE_HEADER_TOO_LARGE);

	delivery_judge_rest(d, &v, SV("the header could not be changed"), SCHED_SAID_SESSION);
	delivery_finish(d);
}

static int edit_header(struct delivery *d)
{
	struct sv *recipients = arena_alloc(&d->arena, d->count * sizeof(*recipients));

	for (size_t i = 0; i < d->count; i++)
		recipients[i] = d->recipients[i].r.address;
	buf_init(&d->head, d->m.header_size + REWRITE_REDIRECTED_MAX + 4 * LIMIT_ADDRESS);
	return rewrite_header(&d->rewrite,
		sv_head(buf_sv(&d->body), d->m.header_size),
		recipients,
		d->count,
		&d->head);
}

static void redirect(struct delivery *d)
{
	d->envelope = arena_alloc(&d->arena, sizeof(*d->envelope));
	d->envelope[0] = (struct smtp_client_recipient){ .address = d->rewrite.redirect,
		.dsn_notify = d->recipients[0].r.dsn_notify };
}

bool delivery_ready(struct delivery *d)
{
	struct connection *c = d->connection;
	bool edit =
		rewrite_plan(&d->rewrite, c->conf, c->c, &d->m, d->recipients[0].r.rewrite_from);

	/* A message that is not rewritten, nearly every one, needs nothing more. */
	if (!edit)
		return true;
	/* The buffer is the store's until it says so. */
	if (d->reads)
		return false;
	if (d->body.len < d->m.header_size) {
		body_unreadable(d, sv_from(d->body_op.op.err.text));
		return false;
	}
	if (d->m.header_size && edit_header(d) != 0) {
		edit_failed(d);
		return false;
	}
	if (d->rewrite.redirect.len)
		redirect(d);
	if (d->head.len)
		d->body_given = d->m.header_size;
	return true;
}

/* Of this attempt: what goes elsewhere, and what the client said of it, do not matter. */
static bool has_utf8_address(const struct delivery *d, size_t count)
{
	bool found = address_needs_utf8(d->rewrite.sender);

	for (size_t i = 0; i < count && !found; i++)
		found = address_needs_utf8(d->envelope[i].address);
	return found;
}

const struct smtp_client_message *delivery_message(struct delivery *d)
{
	size_t count = d->rewrite.redirect.len ? 1 : d->count;

	d->message = (struct smtp_client_message){ .sender = d->rewrite.sender,
		.recipients = d->envelope,
		.recipient_count = count,
		.size = d->m.size + d->head.len - (d->head.len ? d->m.header_size : 0),
		.needs_8bit = d->m.flags & STORE_MSG_8BIT,
		.needs_utf8 = has_utf8_address(d, count),
		.wants_utf8 = d->m.flags & STORE_MSG_UTF8,
		.dsn_ret = d->m.dsn_ret,
		.envid = d->m.envid };
	return &d->message;
}

static void body_read(struct store_op *op)
{
	struct delivery *d = CONTAINER_OF(op, struct delivery, body_op.op);

	d->reads = false;
	if (d->state == ATTEMPT_ENDING) {
		delivery_end(d, d->end);
		return;
	}
	if (d->connection && !d->connection->begun)
		connection_begin(d->connection);
	else if (op->rc != 0 || d->body.len == 0)
		body_unreadable(d, sv_from(op->err.text));
	else if (d->connection)
		connection_pump(d->connection);
}

static void read_body(struct delivery *d)
{
	witness_keep_header(d);
	buf_reset(&d->body);
	/* A header that will be edited must be there as a whole. */
	if (d->body.max < d->m.header_size)
		d->body.max = d->m.header_size;
	d->body_at = d->body_given;
	d->body_op = (struct store_body){ .op.kind = STORE_OP_BODY,
		.op.done = body_read,
		.message_id = d->m.id,
		.offset = d->body_at,
		.out = &d->body };
	d->reads = true;
	store_submit(d->lane->o->store, &d->body_op.op);
}

/* Bytes that have not been given yet. */
static uint64_t rest_of(const struct delivery *d)
{
	return d->head.len - d->head_given + d->m.size - d->body_given;
}

void delivery_feed(struct delivery *d)
{
	while (d->wants_body && !d->reads && connection_has_room(d->connection)) {
		struct sv piece = sv_skip(buf_sv(&d->head), d->head_given);
		bool edited = piece.len > 0, last;

		if (!edited)
			piece = sv_skip(buf_sv(&d->body), (size_t)(d->body_given - d->body_at));
		piece = sv_head(piece, LIMIT_CHUNK);
		if (piece.len == 0) {
			read_body(d);
			return;
		}
		last = rest_of(d) == piece.len;
		if (edited)
			d->head_given += piece.len;
		else
			d->body_given += piece.len;
		d->wants_body = !last;
		connection_body(d->connection, piece, last);
	}
}
