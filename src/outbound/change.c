/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * A change of recipients in the queue: how an attempt has ended, or what becomes of mail that waits (waiting.c).
 * Its sender is told, where he wants that; then it is written, until that succeeds.
 */

/* ---- life ---- */

static void write_again(void *arg);
static void written(struct store_op *op);

static void copy_message(struct arena *a, struct store_message *m)
{
	struct sv *const views[] = { &m->sender,
		&m->envid,
		&m->message_id,
		&m->subject,
		&m->user,
		&m->client,
		&m->listener,
		&m->device };

	for (size_t i = 0; i < COUNT_OF(views); i++)
		*views[i] = arena_sv(a, *views[i]);
}

static void copy_recipient(struct arena *a, struct store_recipient *r)
{
	struct sv *const views[] = { &r->address,
		&r->orcpt,
		&r->lane,
		&r->last_reply,
		&r->last_cause,
		&r->rewrite_from,
		&r->flow.queue,
		&r->flow.principal,
		&r->flow.sender };

	for (size_t i = 0; i < COUNT_OF(views); i++)
		*views[i] = arena_sv(a, *views[i]);
}

struct change *change_of(struct lane *l, struct arena *arena, const struct store_message *m,
	struct store_recipient *recipients, size_t count)
{
	struct change *c = xcalloc(1, sizeof(*c));

	work_begin(&c->work, l->o);
	c->work.message = m->id;
	c->of_look = overdue_adopts(l->o);
	c->lane = l;
	l->uses++;
	c->arena = *arena;
	*arena = (struct arena){ 0 };
	c->m = *m;
	c->recipients = recipients;
	c->count = count;
	c->outcomes = arena_alloc(&c->arena, count * sizeof(*c->outcomes));
	c->op = (struct store_outcome){ .op.kind = STORE_OP_OUTCOME,
		.op.done = written,
		.message_id = m->id,
		.at = io_wall(l->o->loop),
		.recipients = c->outcomes,
		.recipient_count = count,
		.ledger = c->ledger };
	io_timer_init(&c->again, l->o->loop, write_again, c);
	return c;
}

struct change *change_new(struct lane *l, const struct store_message *m,
	const struct store_recipient *recipients, size_t count)
{
	struct arena arena = { 0 };
	struct store_recipient *own = arena_alloc(&arena, count * sizeof(*own));
	struct store_message copy = *m;

	copy_message(&arena, &copy);
	for (size_t i = 0; i < count; i++) {
		own[i] = recipients[i];
		copy_recipient(&arena, &own[i]);
	}
	return change_of(l, &arena, &copy, own, count);
}

static void change_free(struct change *c)
{
	struct outbound *o = c->lane->o;
	bool of_look = c->of_look;

	io_timer_stop(&c->again);
	arena_reset(&c->arena);
	work_end(&c->work);
	c->lane->uses--;
	free(c);
	if (of_look)
		overdue_written(o);
}

/* ---- what becomes of its recipients ---- */

void change_set(struct change *c, enum store_recipient_state state, struct wall_time next_at,
	const struct verdict *v, struct sv reply)
{
	reply = arena_sv(&c->arena, reply);
	for (size_t i = 0; i < c->count; i++) {
		c->outcomes[i] = (struct store_recipient_outcome){ .index = c->recipients[i].index,
			.state = state,
			.next_at = next_at,
			.reply = reply };
		if (v)
			c->outcomes[i].verdict = *v;
	}
}

static enum store_recipient_state state_of(enum sched_deed deed)
{
	switch (deed) {
	case SCHED_DELIVERED:
		return STORE_RCPT_DELIVERED;
	case SCHED_HOLD:
		return STORE_RCPT_HELD;
	case SCHED_BOUNCE:
		return STORE_RCPT_BOUNCED;
	case SCHED_EXPIRE:
		return STORE_RCPT_EXPIRED;
	case SCHED_RETRY_AT:
	case SCHED_WAIT_LANE:
		break;
	}
	return STORE_RCPT_QUEUED;
}

/* Another member of its queue, to which it moves at once; NULL: it stays. */
static const struct mail_flow *other_flow(struct change *c, size_t i, enum sched_move move)
{
	const struct mail_flow *flow;

	if (move == SCHED_MOVE_NOT)
		return NULL;
	flow = flow_without(
		c->lane, move == SCHED_MOVE_TO_OTHER_TENANT, &c->m, &c->recipients[i], &c->arena);
	return flow && lane_of_flow(c->lane->o, flow) ? flow : NULL;
}

void change_decide_one(struct change *c, const struct sched_attempt *a, size_t part, size_t i)
{
	struct outbound *o = c->lane->o;
	const struct sched_policy policy = outbound_policy(o);
	const struct sched_part *p = &a->parts[part];
	const struct sched_answer answer = sched_attempt_answer(a, part, &policy, io_prng(o->loop));
	const struct mail_flow *other = other_flow(c, i, answer.move);

	c->outcomes[i] = (struct store_recipient_outcome){ .index = c->recipients[i].index,
		.state = state_of(answer.deed),
		/* Due times follow the clock that cannot go back. */
		.next_at = other ? outbound_due_now(o)
				 : wall_add(outbound_due_now(o), answer.next_at.us - a->now.us),
		.flow = other,
		.verdict = *p->verdict,
		.reply = p->reply,
		.uncertain = p->uncertain };
	if (p->uncertain)
		outbound_count_uncertain(o, 1);
	if (!other && (p->uncertain || p->verdict->nature == VERDICT_NATURE_REPUTATION))
		c->outcomes[i].flow = flow_bound(c->lane, &c->recipients[i].flow, &c->arena);
}

void change_pass_on(struct change *c)
{
	struct outbound *o = c->lane->o;

	for (size_t i = 0; i < c->count; i++) {
		struct store_recipient_outcome *out = &c->outcomes[i];
		const struct lane *other;

		if (out->state != STORE_RCPT_QUEUED || out->flow || out->uncertain ||
			!verdict_may_go_elsewhere(&out->verdict))
			continue;
		other = lane_of_flow(o, &c->recipients[i].flow);
		if (other && other != c->lane)
			out->next_at = outbound_due_now(o);
	}
}

/* ---- the log ---- */

static const char *status_word(enum store_recipient_state state)
{
	switch (state) {
	case STORE_RCPT_DELIVERED:
		return "sent";
	case STORE_RCPT_BOUNCED:
		return "bounced";
	case STORE_RCPT_EXPIRED:
		return "expired";
	case STORE_RCPT_HELD:
		return "held";
	case STORE_RCPT_QUEUED:
	case STORE_RCPT_OPEN:
	case STORE_RCPT_DROPPED:
	case STORE_RCPT_COUNT:
		break;
	}
	return "deferred";
}

void change_log(const struct change *c, size_t i, struct sv redirected_to)
{
	const struct store_recipient_outcome *out = &c->outcomes[i];
	struct sv relay = c->op.relay;
	char id[TEXT_ID_MAX], delay[32];
	int64_t age = io_wall(c->lane->o->loop).us - c->m.accepted_at.us;

	(void)text_id(c->m.id, id);
	(void)snprintf(
		delay, sizeof(delay), "%.2f", (double)(age > 0 ? age : 0) / (double)US_PER_S);
	/* The order is that of Postfix up to the reply: pflogsumm and logwatch insist on it. */
	log_record(LOG_INFO,
		sv_starts(c->lane->key, SV("graph/")) ? "graph" : "smtp",
		sv_from(id),
		"attempt",
		SV(""),
		(const struct log_field[]){ LOG_A("to", c->recipients[i].address),
			LOG_F("relay", relay.len ? relay : SV("none")),
			LOG_N("delay", sv_from(delay)),
			LOG_F("dsn", sv_from(out->verdict.enhanced)),
			LOG_F("status", sv_from(status_word(out->state))),
			LOG_R("reply", out->reply),
			LOG_F("cause",
				out->state == STORE_RCPT_DELIVERED
					? SV("")
					: sv_from(cause_name(out->verdict.cause))),
			LOG_F("lane", c->lane->key),
			LOG_F("redirected_to", redirected_to) },
		9);
}

/* ---- the queue ---- */

void change_write(struct change *c)
{
	store_submit(c->lane->o->store, &c->op.op);
}

static void write_again(void *arg)
{
	change_write(arg);
}

/* The queue shows it on its way until it is repaired: then it is held, as nobody can tell what became of it. */
static void stays_open(const struct change *c)
{
	char id[TEXT_ID_MAX];

	(void)text_id(c->m.id, id);
	log_record(LOG_ERROR,
		"qmgr",
		sv_from(id),
		"unrecorded",
		SV("what became of this attempt cannot be recorded, as its place in the queue is "
		   "damaged: "
		   "stop postern and run `postern doctor --repair`"),
		(const struct log_field[]){ LOG_F("to", c->recipients[0].address),
			LOG_F("status", sv_from(status_word(c->outcomes[0].state))) },
		2);
}

static void look_again(const struct change *c, size_t i)
{
	const struct store_recipient_outcome *out = &c->outcomes[i];
	const struct mail_flow *flow = out->flow ? out->flow : &c->recipients[i].flow;
	struct outbound *o = c->lane->o;

	/* It waited, without an attempt, and does so there no more. */
	if (!c->op.attempt && c->recipients[i].state == STORE_RCPT_QUEUED &&
		(out->state != STORE_RCPT_QUEUED || out->flow))
		sched_flow_left(flow_get(o, &c->recipients[i].flow), 1);
	if (out->state != STORE_RCPT_QUEUED)
		return;
	/* Only now: a page that was asked for before this commit has come back by now. */
	overdue_expect(o, out->look_at.us ? out->look_at : c->recipients[i].look_at);
	/* What waited already is counted where it was. */
	flow_add(o, flow, c->op.attempt || out->flow, out->next_at);
}

static void written(struct store_op *op)
{
	struct change *c = CONTAINER_OF(op, struct change, op.op);

	if (op->rc == RC_CORRUPT && c->failures >= OUTCOME_TRIES_MAX) {
		stays_open(c);
		change_free(c);
		return;
	}
	if (op->rc != 0 && op->rc != RC_NOT_FOUND) {
		log_line(LOG_ERROR,
			"qmgr",
			"an outcome could not be written, trying again: %s",
			op->err.text);
		io_timer_start(&c->again,
			mono_add(io_now(c->lane->o->loop),
				outbound_queue_pause(op->rc, c->failures++)));
		return;
	}
	for (size_t i = 0; i < c->count; i++)
		look_again(c, i);
	change_free(c);
}
