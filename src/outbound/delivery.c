/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/route.h"
#include "io/log.h"
#include "mail/address.h"
#include "outbound/attempt_priv.h"

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
	l->uses++;
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
	d->lane->uses--;
	free(d);
}

void delivery_wait(struct delivery *d)
{
	list_append(&d->lane->fresh, &d->node);
	d->lane->fresh_count++;
}

struct delivery *delivery_next(struct lane *l)
{
	struct delivery *d;

	if (list_empty(&l->fresh))
		return NULL;
	d = list_entry(l->fresh.next, struct delivery, node);
	list_remove(&d->node);
	l->fresh_count--;
	return d;
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

/* ---- the transaction ---- */

static void body_unreadable(struct delivery *d, struct sv why)
{
	const struct verdict v = cause_verdict(CAUSE_QUEUE_UNREADABLE);
	const struct delivery_carrier *by = d->by;
	struct connection *c = d->begun ? d->connection : NULL;

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
		by->abandon(c);
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

bool delivery_ready(struct delivery *d, const struct conf *conf, const struct conf_lane *c)
{
	bool edit = rewrite_plan(&d->rewrite, conf, c, &d->m, &d->recipients[0].r);

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
	if (d->connection && !d->begun)
		d->by->begin(d->connection);
	else if (op->rc != 0 || d->body.len == 0)
		body_unreadable(d, sv_from(op->err.text));
	else if (d->connection)
		d->by->pump(d->connection);
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
	while (d->wants_body && !d->reads && d->connection && d->by->has_room(d->connection)) {
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
		d->by->body(d->connection, piece, last);
	}
}
