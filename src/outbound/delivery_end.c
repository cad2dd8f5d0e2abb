/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "conf/route.h"
#include "io/log.h"
#include "mail/address.h"
#include "outbound/attempt_priv.h"
#include "provider/defaults.h"

#include <stdio.h>

/* How an attempt ends: answers become verdicts, verdicts become deeds, deeds one outcome in the queue. */

/* ---- verdicts ---- */

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
		return limit_slots_expect(&d->slots, mono_add(now, UNCERTAIN_SETTLE_US), out);
	if (!left)
		return limit_slots_withdraw(&d->slots, out);
	return limit_slots_settle(&d->slots, now, out);
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

/* Who was refused as a limit is used up: it stood behind that many of this message. Before what holds the lane is told. */
static void tell_limits(const struct delivery *d, bool left)
{
	struct limits_cost cost = { 0 };

	if (left)
		cost = (struct limits_cost){ 1, (uint32_t)d->count };
	for (size_t i = 0; i < d->count; i++)
		if (d->recipients[i].verdict.nature == VERDICT_NATURE_QUOTA &&
			!d->recipients[i].alone) {
			limits_refused(
				d->lane, &d->recipients[i].verdict, d->recipients[i].reply, cost);
			return;
		}
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
	tell_limits(d, left);
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
	c->op.ledger_count = limit_slots_withdraw(&d->slots, c->ledger);
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

static void leave_connection(struct delivery *d, bool reached_all)
{
	if (d->connection)
		d->by->leave(d->connection, d, reached_all);
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
	leave_connection(d, reached_all(d));
	delivery_end(d, ATTEMPT_JUDGED);
}

void delivery_withdraw(struct delivery *d, const struct verdict *v, struct sv reply)
{
	must(d->state != ATTEMPT_RELEASED);
	leave_connection(d, true);
	if (!ends_later(d, ATTEMPT_WITHDRAWN))
		end_withdrawn(d, v, reply);
}
