/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "conf/route.h"
#include "io/log.h"
#include "mail/address.h"
#include "outbound/outbound_priv.h"

#include <stdio.h>

/* How an attempt ends: answers become verdicts, verdicts become deeds, deeds one outcome in the queue. */
enum {
	NO_ROUTE_PAUSE_S = 900,
};

static void outcome_written(struct store_op *op);

/* ---- verdicts ---- */

static struct sv keep_reply(struct delivery *d, const struct smtp_reply *r)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LIMIT_REPLY + 64);

	if (r->code == 0 || smtp_reply_line(r, &line) != 0)
		return SV("");
	return arena_sv(&d->arena, sv_head(buf_sv(&line), LIMIT_REPLY_KEPT));
}

static struct verdict judge(
	struct delivery *d, const struct smtp_client_event *e, uint32_t uncertain)
{
	const struct provider_answer answer = { .provider = d->lane->c ? d->lane->c->provider
								       : PROVIDER_SMTP,
		.stage = e->stage,
		.reply = &e->reply,
		.after_uncertain = uncertain > 0,
		.token = d->connection && d->connection->token,
		.own = witness_words(d, e->stage, e->index) };

	struct verdict v = provider_judge(&answer);

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
		v = provider_judge_failure(
			d->lane->c ? d->lane->c->provider : PROVIDER_SMTP, e->stage, e->failure);
	/* A connection that broke under one message says nothing of the others. */
	if (!e->uncertain && v.kind == VERDICT_RETRY && e->stage >= SMTP_CLIENT_STAGE_MAIL &&
		e->failure != SMTP_CLIENT_FAIL_REPLY)
		v.scope = VERDICT_SCOPE_MESSAGE;
	delivery_judge_rest(d, &v, broken_text(d, e), said_at(e->stage));
	for (size_t i = 0; i < d->count && e->uncertain; i++)
		if (d->recipients[i].accepted)
			d->recipients[i].r.uncertain++;
	d->released = e->uncertain;
	d->outcome.stage = arena_sv(&d->arena, sv_from(smtp_client_stage_text(e->stage)));
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

static void log_recipient(struct delivery *d, const struct store_recipient_outcome *out,
	struct sv address, struct sv relay)
{
	char id[TEXT_ID_MAX], delay[32];
	int64_t age = io_wall(d->lane->o->loop).us - d->m.accepted_at.us;

	(void)text_id(d->m.id, id);
	(void)snprintf(
		delay, sizeof(delay), "%.2f", (double)(age > 0 ? age : 0) / (double)US_PER_S);
	/* The order is that of Postfix up to the reply: pflogsumm and logwatch insist on it. */
	log_record(LOG_INFO,
		sv_starts(d->lane->key, SV("graph/")) ? "graph" : "smtp",
		sv_from(id),
		"attempt",
		SV(""),
		(const struct log_field[]){ LOG_A("to", address),
			LOG_F("relay", relay.len ? relay : SV("none")),
			LOG_N("delay", sv_from(delay)),
			LOG_F("dsn", sv_from(out->verdict.enhanced)),
			LOG_F("status", sv_from(status_word(out->state))),
			LOG_R("reply", out->reply),
			LOG_F("cause",
				out->state == STORE_RCPT_DELIVERED
					? SV("")
					: sv_from(cause_name(out->verdict.cause))),
			LOG_F("lane", d->lane->key),
			LOG_F("redirected_to", d->rewrite.redirect) },
		9);
}

/* What sched/verdict is told of it. In the delivery's memory. */
static struct sched_attempt facts_of(struct delivery *d)
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
		.parked_expire_us = conf_general(d->lane->o->conf)->parked_expire_us };

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

/* The door to which it moves at once; NULL: it stays. */
static const struct lane *other_door(struct delivery *d, size_t i, enum sched_move move)
{
	const struct lane *other;

	if (move == SCHED_MOVE_NOT || !d->lane->c)
		return NULL;
	other = door_other(d->lane, &d->m, &d->recipients[i].r);
	if (other && move == SCHED_MOVE_TO_OTHER_TENANT && other->c->tenant && d->lane->c->tenant &&
		sv_eq(other->c->tenant->name, d->lane->c->tenant->name))
		return NULL;
	return other;
}

static void decide(struct delivery *d, const struct sched_attempt *a, size_t i)
{
	const struct delivery_recipient *r = &d->recipients[i];
	struct outbound *o = d->lane->o;
	const struct sched_policy policy = outbound_policy(o);
	const struct sched_answer answer = sched_attempt_answer(a, i, &policy, io_prng(o->loop));
	const struct lane *other = other_door(d, i, answer.move);

	d->outcomes[i] = (struct store_recipient_outcome){ .index = r->r.index,
		.state = state_of(answer.deed),
		/* Due times follow the clock that cannot go back. */
		.next_at = other ? outbound_due_now(o)
				 : wall_add(outbound_due_now(o), answer.next_at.us - a->now.us),
		.lane = other ? other->key : d->lane->key,
		.verdict = r->verdict,
		.reply = r->reply,
		.remote_message_id = d->remote_message_id,
		.uncertain = a->parts[i].uncertain };
	if (a->parts[i].uncertain)
		outbound_count_uncertain(o, 1);
}

/* What the verdicts mean beyond this message. */
static void tell_lane(struct delivery *d, const struct sched_attempt *a)
{
	const struct sched_part *own = park_spread(d, a);

	if (own)
		lane_hold(d->lane, own->verdict, own->reply, d->transcript);
}

static size_t settle(struct delivery *d)
{
	struct lane *l = d->lane;
	struct mono_time now = io_now(l->o->loop);
	bool any_uncertain = false;

	for (size_t i = 0; i < d->count; i++)
		any_uncertain |= is_uncertain(&d->recipients[i]);
	if (any_uncertain)
		return limit_slot_expect(&d->slot, mono_add(now, UNCERTAIN_SETTLE_US), d->ledger);
	if (!d->released)
		return limit_slot_withdraw(&d->slot, d->ledger);
	return limit_slot_settle(&d->slot, now, d->ledger);
}

static void write_outcome(struct delivery *d)
{
	store_submit(d->lane->o->store, &d->outcome.op);
}

/* Where each delivered recipient costs: counted by months, durably. */
static struct store_count count_month(struct delivery *d)
{
	struct lane *l = d->lane;
	struct store_count count = { .period = outbound_month(l->o) };
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(LIMIT_ADDRESS + 128);

	if (!l->c || l->c->provider != PROVIDER_HVE)
		return count;
	for (size_t i = 0; i < d->count; i++)
		count.amount += d->outcomes[i].state == STORE_RCPT_DELIVERED;
	must(buf_printf(&name, COUNT_HVE "%.*s", SV_ARG(limit_scope_key(l->scope))) == 0);
	count.name = arena_sv(&d->arena, buf_sv(&name));
	lane_count_delivered(l, count.period, count.amount);
	return count;
}

static void prepare_outcome(struct delivery *d, uint32_t attempt)
{
	struct sv stage = d->outcome.stage;

	d->outcome = (struct store_outcome){ .op.kind = STORE_OP_OUTCOME,
		.op.done = outcome_written,
		.message_id = d->m.id,
		.attempt = attempt,
		.at = io_wall(d->lane->o->loop),
		.stage = stage,
		.recipients = d->outcomes,
		.recipient_count = d->count,
		.ledger = d->ledger };
}

static bool reached_all(const struct delivery *d)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->recipients[i].verdict.kind != VERDICT_DELIVERED)
			return false;
	return true;
}

/* The attempt is over: verdicts to deeds, deeds to the queue. The connection is free from here on. */
void delivery_finish(struct delivery *d)
{
	struct sched_attempt a;
	struct sv relay;

	d->over = true;
	if (d->connection) {
		if (!reached_all(d))
			d->transcript = connection_transcript(d->connection, &d->arena);
		d->outcome.relay = arena_sv(&d->arena, sv_from(d->connection->relay));
		d->connection->delivery = NULL;
		d->connection = NULL;
	}
	if (d->claim_running || d->body_running)
		return;
	if (d->taken_back) {
		delivery_withdraw(d, NULL, SV(""));
		return;
	}
	relay = d->outcome.relay;
	park_weigh(d);
	a = facts_of(d);
	d->outcomes = arena_alloc(&d->arena, d->count * sizeof(*d->outcomes));
	for (size_t i = 0; i < d->count; i++) {
		decide(d, &a, i);
		log_recipient(d, &d->outcomes[i], d->recipients[i].r.address, relay);
	}
	prepare_outcome(d, d->attempt.number);
	d->outcome.relay = relay;
	d->outcome.transcript = d->transcript;
	d->outcome.ledger_count = settle(d);
	d->outcome.count = count_month(d);
	tell_lane(d, &a);
	bounce_send(d, write_outcome);
}

/* The queue shows it on its way until it is repaired: then it is held, as nobody can tell what became of it. */
static void stays_open(const struct delivery *d)
{
	char id[TEXT_ID_MAX];

	(void)text_id(d->m.id, id);
	log_record(LOG_ERROR,
		"qmgr",
		sv_from(id),
		"unrecorded",
		SV("what became of this attempt cannot be recorded, as its place in the queue is "
		   "damaged: "
		   "stop postern and run `postern doctor --repair`"),
		(const struct log_field[]){ LOG_F("to", d->recipients[0].r.address),
			LOG_F("status", sv_from(status_word(d->outcomes[0].state))) },
		2);
}

static void outcome_written(struct store_op *op)
{
	struct delivery *d = CONTAINER_OF(op, struct delivery, outcome.op);
	struct lane *l = d->lane;

	if (op->rc == RC_CORRUPT && d->write_failures >= OUTCOME_TRIES_MAX) {
		stays_open(d);
		delivery_free(d);
		return;
	}
	if (op->rc != 0 && op->rc != RC_NOT_FOUND) {
		log_line(LOG_ERROR,
			"qmgr",
			"an outcome could not be written, trying again: %s",
			op->err.text);
		io_timer_start(&d->again,
			mono_add(io_now(l->o->loop),
				outbound_queue_pause(op->rc, d->write_failures++)));
		return;
	}
	for (size_t i = 0; i < d->count; i++) {
		const struct store_recipient_outcome *out = &d->outcomes[i];
		struct lane *to = l;

		if (out->state != STORE_RCPT_QUEUED)
			continue;
		if (!sv_eq(out->lane, l->key))
			to = lane_get(l->o, out->lane);
		/* Only now: a page that was asked for before this commit has come back by now. */
		overdue_expect(l->o, out->look_at.us ? out->look_at : d->recipients[i].r.look_at);
		if (out->next_at.us < to->next_due.us) {
			to->next_due = out->next_at;
			lane_poke(to);
		}
	}
	delivery_free(d);
}

/* ---- outcomes without an attempt of their own ---- */

void delivery_set_outcomes(struct delivery *d, enum store_recipient_state state,
	struct wall_time next_at, const struct verdict *v, struct sv reply)
{
	d->outcomes = arena_alloc(&d->arena, d->count * sizeof(*d->outcomes));
	for (size_t i = 0; i < d->count; i++) {
		d->outcomes[i] =
			(struct store_recipient_outcome){ .index = d->recipients[i].r.index,
				.state = state,
				.next_at = next_at,
				.lane = d->lane->key,
				.reply = reply };
		if (v)
			d->outcomes[i].verdict = *v;
	}
}

void delivery_withdraw(struct delivery *d, const struct verdict *v, struct sv reply)
{
	if (d->connection)
		d->connection->delivery = NULL;
	d->connection = NULL;
	/* The queue still works on it: once more when that is done. */
	if (d->claim_running || d->body_running) {
		d->over = true;
		d->taken_back = true;
		return;
	}
	delivery_set_outcomes(
		d, STORE_RCPT_QUEUED, outbound_due_now(d->lane->o), v, arena_sv(&d->arena, reply));
	prepare_outcome(d, d->attempt.number);
	d->outcome.withdrawn = true;
	d->outcome.ledger_count = limit_slot_withdraw(&d->slot, d->ledger);
	park_withdraw(d);
	write_outcome(d);
}

void delivery_postpone(struct lane *l, const struct store_message *m,
	const struct store_recipient *recipients, size_t count, const struct sched_hold *park)
{
	struct delivery *d = delivery_new(l);
	struct verdict v = { .kind = VERDICT_PARK, .scope = VERDICT_SCOPE_SENDER };

	delivery_copy_message(d, m, recipients, count);
	v.cause = sched_hold_why(park)->cause;
	delivery_set_outcomes(d,
		STORE_RCPT_QUEUED,
		wall_add(outbound_due_now(l->o),
			(int64_t)sched_hold_look_us(park, io_now(l->o->loop))),
		&v,
		arena_sv(&d->arena, sv_from(sched_hold_why(park)->reply)));
	prepare_outcome(d, 0);
	write_outcome(d);
}

/* A delivery for mail that waits for its lane: the lane's reason is its reason. */
static struct delivery *new_waiting(
	struct lane *l, const struct store_message *m, enum store_recipient_state state)
{
	struct delivery *d = delivery_new(l);
	const struct sched_hold_reason *why = lane_now(l).why;
	const struct sched_hold *p = park_find(l, m->sender, m->recipients[0].address);
	bool full = limit_scope_room(l->scope, io_now(l->o->loop), 1) == 0;
	struct verdict v = cause_verdict(full   ? CAUSE_LIMIT
					 : l->c ? CAUSE_EXPIRED
						: CAUSE_NO_ROUTE);
	struct sv reply;

	delivery_copy_message(d, m, m->recipients, m->recipient_count);
	why = why ? why : sched_hold_why(p);
	v.kind = VERDICT_RETRY;
	v.scope = VERDICT_SCOPE_MESSAGE;
	(void)snprintf(v.enhanced, sizeof(v.enhanced), "4.4.7");
	v.cause = why ? why->cause : v.cause;
	v.summary = why ? arena_str(&d->arena, sv_from(why->summary)) : v.summary;
	/* What the last attempt was told, where nothing holds the lane and it waits for its turn. */
	reply = why    ? arena_sv(&d->arena, sv_from(why->reply))
		: full ? SV("the limit of the mailbox or connector is used up")
		       : d->recipients[0].r.last_reply;
	delivery_set_outcomes(d, state, m->recipients[0].next_at, &v, reply);
	for (size_t i = 0; i < d->count; i++) {
		d->outcomes[i].next_at = d->recipients[i].r.next_at;
		d->recipients[i].verdict = v;
		d->recipients[i].reply = reply;
	}
	prepare_outcome(d, 0);
	return d;
}

void delivery_change(struct delivery *d)
{
	prepare_outcome(d, 0);
	write_outcome(d);
}

void delivery_decide(struct delivery *d)
{
	const struct sched_attempt a = facts_of(d);

	d->outcomes = arena_alloc(&d->arena, d->count * sizeof(*d->outcomes));
	for (size_t i = 0; i < d->count; i++) {
		decide(d, &a, i);
		log_recipient(d, &d->outcomes[i], d->recipients[i].r.address, SV(""));
	}
	prepare_outcome(d, 0);
	bounce_send(d, write_outcome);
}

void delivery_expire(struct lane *l, const struct store_message *m)
{
	struct delivery *d = new_waiting(l, m, STORE_RCPT_EXPIRED);

	for (size_t i = 0; i < d->count; i++)
		log_recipient(d, &d->outcomes[i], d->recipients[i].r.address, SV(""));
	bounce_send(d, write_outcome);
}

void delivery_is_due(struct lane *l, const struct store_message *m)
{
	struct delivery *d = delivery_new(l);

	delivery_copy_message(d, m, m->recipients, m->recipient_count);
	delivery_set_outcomes(d, STORE_RCPT_QUEUED, outbound_due_now(l->o), NULL, SV(""));
	for (size_t i = 0; i < d->count; i++) {
		d->outcomes[i].verdict.cause = cause_parse(d->recipients[i].r.last_cause);
		d->outcomes[i].reply = d->recipients[i].r.last_reply;
	}
	delivery_change(d);
}

void delivery_delayed(struct lane *l, const struct store_message *m, struct wall_time look_at)
{
	struct delivery *d = new_waiting(l, m, STORE_RCPT_QUEUED);

	for (size_t i = 0; i < d->count; i++)
		d->outcomes[i].look_at = look_at;
	bounce_send(d, write_outcome);
}

/* The header lies in the queue: routes by a header do not match here. */
static bool no_header(void *arg, struct sv name, struct sv *out_value)
{
	(void)arg;
	(void)name;
	(void)out_value;
	return false;
}

static struct sv further_lanes(struct delivery *d, const struct conf_route_answer *a)
{
	CLEANUP(buf_deinitp) struct buf keys = BUF_INIT(CONF_THROUGH_MAX * (LIMIT_ADDRESS + 64));

	for (size_t i = 1; i < a->lane_count; i++)
		must(buf_printf(&keys, "%s%.*s", i > 1 ? "\n" : "", SV_ARG(a->lanes[i]->key)) == 0);
	return arena_sv(&d->arena, buf_sv(&keys));
}

/* Local mail whose recipient got no domain when the maildrop was read: no route can ever lead there. */
static bool end_without_domain(struct delivery *d, size_t i)
{
	const struct store_recipient *r = &d->recipients[i].r;
	struct store_recipient_outcome *o = &d->outcomes[i];

	if (address_at(r->address) >= 0)
		return false;
	o->state = STORE_RCPT_BOUNCED;
	o->verdict = cause_verdict(CAUSE_BAD_RECIPIENT_ADDRESS);
	o->verdict.kind = VERDICT_BOUNCE;
	(void)snprintf(o->verdict.enhanced, sizeof(o->verdict.enhanced), "5.1.3");
	o->reply = r->last_reply.len ? r->last_reply : SV("553 5.1.3 The recipient has no domain");
	log_recipient(d, o, r->address, SV(""));
	return true;
}

void delivery_reroute(struct lane *l, const struct store_message *m)
{
	const struct verdict none = cause_verdict(CAUSE_NO_ROUTE);
	struct delivery *d = delivery_new(l);
	struct wall_time now = outbound_due_now(l->o);
	bool bounces = false;

	delivery_copy_message(d, m, m->recipients, m->recipient_count);
	delivery_set_outcomes(d,
		STORE_RCPT_QUEUED,
		wall_add(now, NO_ROUTE_PAUSE_S * (int64_t)US_PER_S),
		&none,
		SV("no route leads to a mailbox or connector: change `routes:` or use `postern "
		   "queue reroute`"));
	for (size_t i = 0; i < d->count; i++) {
		const struct conf_route_query q = { .sender = d->m.sender,
			.recipient = d->recipients[i].r.address,
			.user = d->m.user,
			.listener = d->m.listener,
			.device = d->m.device,
			.has_body = true,
			.size = d->m.size,
			.header = no_header };
		struct conf_route_answer a = { 0 };

		if (end_without_domain(d, i)) {
			bounces = true;
			continue;
		}
		a = conf_route_find(l->o->conf, &q);
		if (!a.lane)
			continue;
		d->outcomes[i].new_plan = true;
		d->outcomes[i].alternatives = further_lanes(d, &a);
		d->outcomes[i].rewrite_from = arena_sv(&d->arena, a.route->rewrite_from);
		d->outcomes[i].lane = arena_sv(&d->arena, a.lane->key);
		d->outcomes[i].next_at = now;
		d->outcomes[i].verdict.cause = CAUSE_NONE;
		d->outcomes[i].reply = SV("");
	}
	prepare_outcome(d, 0);
	if (bounces)
		bounce_send(d, write_outcome);
	else
		write_outcome(d);
}
