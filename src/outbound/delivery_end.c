/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "conf/route.h"
#include "io/log.h"
#include "mail/address.h"
#include "outbound/outbound_priv.h"
#include "provider/defaults.h"

#include <stdio.h>

/* How an attempt ends: answers become verdicts, verdicts become deeds, deeds one outcome in the queue. */

/* ---- verdicts ---- */

static struct sv keep_reply(struct delivery *d, const struct smtp_reply *r)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LIMIT_REPLY + 64);

	if (r->code == 0 || smtp_reply_line(r, &line) != 0)
		return SV("");
	return arena_sv(&d->arena, sv_head(buf_sv(&line), LIMIT_REPLY_KEPT));
}

/* Only a refusal repeats words of the message in which a cause could be seen. */
static struct provider_own own_words(struct delivery *d, const struct smtp_client_event *e)
{
	if (e->reply.code / 100 == 2)
		return (struct provider_own){ 0 };
	return witness_words(d, e->stage, e->index);
}

static struct verdict judge(
	struct delivery *d, const struct smtp_client_event *e, uint32_t uncertain)
{
	const struct provider_answer answer = { .provider = lane_provider(d->lane),
		.stage = e->stage,
		.reply = &e->reply,
		.after_uncertain = uncertain > 0,
		.token = d->connection && d->connection->token,
		.own = own_words(d, e) };

	struct verdict v = provider_judge(&answer);

	if (d->connection)
		(void)connection_is_too_many(d->connection, &v);
	/* Trouble of the session, or of the host behind it, must not meet the next message there. */
	if (d->connection && (e->reply.code == 503 ||
				     (v.kind == VERDICT_RETRY && v.scope == VERDICT_SCOPE_ROUTE)))
		d->connection->worn = true;
	return v;
}

static enum sched_said said_at(enum smtp_client_stage stage)
{
	if (stage == SMTP_CLIENT_STAGE_MAIL)
		return SCHED_SAID_SENDER;
	if (stage == SMTP_CLIENT_STAGE_RCPT)
		return SCHED_SAID_RECIPIENT;
	return stage == SMTP_CLIENT_STAGE_DATA || stage == SMTP_CLIENT_STAGE_BODY ||
			       stage == SMTP_CLIENT_STAGE_DOT
		       ? SCHED_SAID_CONTENT
		       : SCHED_SAID_SESSION;
}

void delivery_judge_rest(
	struct delivery *d, const struct verdict *v, struct sv reply, enum sched_said said)
{
	for (size_t i = 0; i < d->count; i++) {
		struct delivery_recipient *r = &d->recipients[i];

		/* A refusal at RCPT stands; everything else shares the end of the transaction. */
		if (r->answered && !r->accepted)
			continue;
		r->answered = true;
		r->said = said;
		r->verdict = *v;
		r->reply = reply;
	}
}

static struct verdict local_verdict(const struct smtp_client_event *e)
{
	bool utf8 = sv_eq(sv_from(e->reply.enhanced), SV("5.6.7"));
	struct verdict v = cause_verdict(e->reply.code == 552 ? CAUSE_MESSAGE_TOO_LARGE
					 : utf8               ? CAUSE_NEEDS_SMTPUTF8
							      : CAUSE_NOT_SUPPORTED_THERE);

	/* What we found by what was offered, not what was said: the message can never go there. */
	v.kind = VERDICT_BOUNCE;
	v.scope = VERDICT_SCOPE_MESSAGE;
	memcpy(v.enhanced, e->reply.enhanced, sizeof(v.enhanced));
	return v;
}

static void on_result(struct delivery *d, const struct smtp_client_event *e)
{
	struct verdict v = e->local ? local_verdict(e) : judge(d, e, d->recipients[0].r.uncertain);

	if (d->connection && d->connection->client)
		d->next_hop_dsn = smtp_client_offers(d->connection->client)->dsn;
	if (e->reply.code / 100 == 2)
		d->remote_message_id = arena_sv(&d->arena, smtp_reply_message_id(&e->reply));
	delivery_judge_rest(d, &v, keep_reply(d, &e->reply), said_at(e->stage));
	delivery_finish(d);
}

static struct sv broken_text(struct delivery *d, const struct smtp_client_event *e)
{
	static const char *const words[SMTP_CLIENT_FAIL_COUNT] = { "the server refused",
		"no STARTTLS is offered",
		"no way to sign in is offered",
		"the server broke the protocol",
		"timeout",
		"the connection was lost" };
	const struct err *err = d->connection && d->connection->stream
					? io_stream_error(d->connection->stream)
					: NULL;
	char text[400];

	if (e->reply.code)
		return keep_reply(d, &e->reply);
	(void)snprintf(text,
		sizeof(text),
		"%s while %s%s%s",
		words[e->failure],
		smtp_client_stage_text(e->stage),
		err && err->code ? ": " : "",
		err && err->code ? err->text : "");
	return arena_sv(&d->arena, sv_from(text));
}

static void on_failed(struct delivery *d, const struct smtp_client_event *e)
{
	struct verdict v;

	if (e->uncertain)
		v = cause_verdict(CAUSE_UNCERTAIN);
	else if (e->failure == SMTP_CLIENT_FAIL_REPLY)
		v = judge(d, e, 0);
	else
		v = provider_judge_failure(lane_provider(d->lane), e->stage, e->failure);
	/* A connection that broke under one message says nothing of the others. */
	if (!e->uncertain && v.kind == VERDICT_RETRY && e->stage >= SMTP_CLIENT_STAGE_MAIL &&
		e->failure != SMTP_CLIENT_FAIL_REPLY)
		v.scope = VERDICT_SCOPE_MESSAGE;
	delivery_judge_rest(d, &v, broken_text(d, e), said_at(e->stage));
	for (size_t i = 0; i < d->count && e->uncertain; i++)
		if (d->recipients[i].accepted)
			d->recipients[i].r.uncertain++;
	/* Behind the dot a line may break before the dot has left us. */
	d->stayed = !e->uncertain;
	d->stage = arena_sv(&d->arena, sv_from(smtp_client_stage_text(e->stage)));
	delivery_finish(d);
}

static void on_rcpt(
	struct delivery *d, struct delivery_recipient *r, const struct smtp_client_event *e)
{
	r->answered = true;
	r->accepted = e->reply.code < 400;
	if (r->accepted)
		return;
	r->said = SCHED_SAID_RECIPIENT;
	r->verdict = judge(d, e, r->r.uncertain);
	r->reply = keep_reply(d, &e->reply);
}

void delivery_event(struct delivery *d, const struct smtp_client_event *e)
{
	switch (e->kind) {
	case SMTP_CLIENT_EV_RCPT:
		must(e->index < d->count);
		for (size_t i = 0; i < d->count; i++)
			/* One address stands for all who are redirected to it. */
			if (i == e->index || d->rewrite.redirect.len)
				on_rcpt(d, &d->recipients[i], e);
		return;
	case SMTP_CLIENT_EV_BODY:
		d->wants_body = true;
		delivery_feed(d);
		return;
	case SMTP_CLIENT_EV_RESULT:
		on_result(d, e);
		return;
	case SMTP_CLIENT_EV_FAILED:
		on_failed(d, e);
		return;
	case SMTP_CLIENT_EV_STARTTLS:
	case SMTP_CLIENT_EV_READY:
	case SMTP_CLIENT_EV_CLOSED:
	case SMTP_CLIENT_EV_COUNT:
		return;
	}
}

/* ---- the outcome ---- */

static bool is_uncertain(const struct delivery_recipient *r)
{
	return r->accepted && r->verdict.cause == CAUSE_UNCERTAIN;
}

struct sched_attempt delivery_facts(struct delivery *d)
{
	struct sched_part *parts = arena_alloc(&d->arena, d->count * sizeof(*parts));
	struct sched_attempt a = { .lane = d->lane->sched,
		.mail = park_mail(d),
		.parts = parts,
		.count = d->count,
		.begun = d->begun_at,
		.probe = d->probe,
		.now = outbound_age_now(d->lane->o),
		.accepted_at = d->m.accepted_at,
		.expires_at = d->m.expires_at,
		.parked_expire_us = conf_general(d->lane->o->conf)->parked_expire_us,
		/* All of an attempt come from one flow, or go with one message to one. */
		.class_end = conf_class_end(
			d->lane->o->conf, d->recipients[0].r.flow.class, d->m.accepted_at) };

	for (size_t i = 0; i < d->count; i++) {
		const struct delivery_recipient *r = &d->recipients[i];

		parts[i] = (struct sched_part){ .verdict = &r->verdict,
			.reply = r->reply,
			.said = r->said,
			.accepted = r->accepted,
			.uncertain = is_uncertain(r),
			.alone = r->alone,
			.external = park_is_external(d->lane, r->r.address),
			.attempts = r->r.attempts };
	}
	return a;
}

/* What the verdicts mean beyond this message. */
static void tell_lane(struct delivery *d, const struct sched_attempt *a)
{
	const struct sched_part *own = park_spread(d, a);
	bool reached = false;

	for (size_t i = 0; i < a->count; i++)
		reached |= a->parts[i].verdict->kind == VERDICT_DELIVERED;
	if (reached) {
		sched_better_left(&d->lane->member->better,
			d->recipients[0].r.flow.class,
			io_now(d->lane->o->loop));
		lane_message_passed(d->lane);
	}
	if (own)
		lane_hold(d->lane, own->verdict, own->reply, d->transcript);
}

/* Into `out`: what its slot leaves in the ledger. */
static size_t settle(struct delivery *d, bool left, struct limit_entry *out)
{
	struct mono_time now = io_now(d->lane->o->loop);
	bool any_uncertain = false;

	for (size_t i = 0; i < d->count; i++)
		any_uncertain |= is_uncertain(&d->recipients[i]);
	if (any_uncertain)
		return limit_slot_expect(&d->slot, mono_add(now, UNCERTAIN_SETTLE_US), out);
	if (!left)
		return limit_slot_withdraw(&d->slot, out);
	return limit_slot_settle(&d->slot, now, out);
}

/* Where each delivered recipient costs: counted by months, durably. */
static struct store_count count_month(struct change *c)
{
	struct lane *l = c->lane;
	struct store_count count = { .period = outbound_month(l->o) };
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(LIMIT_ADDRESS + 128);

	if (!l->c || !provider_defaults(l->c->provider)->has_cost)
		return count;
	for (size_t i = 0; i < c->count; i++)
		count.amount += c->outcomes[i].state == STORE_RCPT_DELIVERED;
	must(buf_printf(&name, COUNT_HVE "%.*s", SV_ARG(limit_scope_key(l->scope))) == 0);
	count.name = arena_sv(&c->arena, buf_sv(&name));
	lane_count_delivered(l, count.period, count.amount);
	return count;
}

static bool reached_all(const struct delivery *d)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->recipients[i].verdict.kind != VERDICT_DELIVERED)
			return false;
	return true;
}

/* The end of the attempt in the queue: it takes over the memory, and with it what was found out. */
static struct change *change_of_end(struct delivery *d)
{
	struct store_recipient *recipients = arena_alloc(&d->arena, d->count * sizeof(*recipients));
	struct change *c;

	for (size_t i = 0; i < d->count; i++)
		recipients[i] = d->recipients[i].r;
	c = change_of(d->lane, &d->arena, &d->m, recipients, d->count);
	c->op.attempt = d->attempt.number;
	c->op.stage = d->stage;
	return c;
}

static void end_judged(struct delivery *d, bool left)
{
	struct sched_attempt a;
	struct change *c;

	park_weigh(d);
	a = delivery_facts(d);
	c = change_of_end(d);
	c->op.relay = d->relay;
	c->op.transcript = d->transcript;
	c->next_hop_dsn = d->next_hop_dsn;
	for (size_t i = 0; i < c->count; i++) {
		change_decide_one(c, &a, i, i);
		c->outcomes[i].remote_message_id = d->remote_message_id;
		change_log(c, i, d->rewrite.redirect);
	}
	c->op.ledger_count = settle(d, left, c->ledger);
	c->op.count = count_month(c);
	tell_lane(d, &a);
	change_pass_on(c);
	delivery_free(d);
	change_tell(c);
}

struct change *delivery_return(struct delivery *d)
{
	struct wall_time now = outbound_due_now(d->lane->o);
	struct change *c = change_of_end(d);

	change_set(c, STORE_RCPT_QUEUED, now, NULL, SV(""));
	/* Nor has it lost its place among those that wait. */
	for (size_t i = 0; i < c->count; i++)
		if (c->recipients[i].next_at.us > 0 && c->recipients[i].next_at.us < now.us)
			c->outcomes[i].next_at = c->recipients[i].next_at;
	c->op.withdrawn = true;
	if (d->apart)
		c->op.set_flags |= STORE_MSG_APART;
	c->op.ledger_count = limit_slot_withdraw(&d->slot, c->ledger);
	park_withdraw(d);
	delivery_free(d);
	return c;
}

static void end_withdrawn(struct delivery *d, const struct verdict *v, struct sv reply)
{
	struct change *c = delivery_return(d);

	for (size_t i = 0; i < c->count && v; i++) {
		c->outcomes[i].verdict = *v;
		c->outcomes[i].reply = arena_sv(&c->arena, reply);
	}
	change_write(c);
}

static void leave_connection(struct delivery *d)
{
	if (d->connection)
		d->connection->delivery = NULL;
	d->connection = NULL;
}

/* True: the queue still reads its body, and it ends when that is done. */
static bool ends_later(struct delivery *d, enum attempt_end end)
{
	if (d->state != ATTEMPT_ENDING) {
		delivery_set_state(d, ATTEMPT_ENDING);
		d->end = end;
	}
	return d->reads;
}

void delivery_end(struct delivery *d, enum attempt_end end)
{
	bool left = d->state == ATTEMPT_RELEASED && !d->stayed;

	if (ends_later(d, end))
		return;
	if (d->end == ATTEMPT_JUDGED)
		end_judged(d, left);
	else
		end_withdrawn(d, NULL, SV(""));
}

void delivery_finish(struct delivery *d)
{
	if (d->connection) {
		if (!reached_all(d))
			d->transcript = connection_transcript(d->connection, &d->arena);
		d->relay = arena_sv(&d->arena, sv_from(d->connection->relay));
	}
	leave_connection(d);
	delivery_end(d, ATTEMPT_JUDGED);
}

void delivery_withdraw(struct delivery *d, const struct verdict *v, struct sv reply)
{
	must(d->state != ATTEMPT_RELEASED);
	leave_connection(d);
	if (!ends_later(d, ATTEMPT_WITHDRAWN))
		end_withdrawn(d, v, reply);
}
