/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/verdict.h"

/* An uncertain attempt is tried again later than a refused one: a copy may be on its way. */
enum {
	UNCERTAIN_STEPS = 3
};
#define NEXT_TRANSACTION_US US_PER_S

bool sched_holds_lane(const struct verdict *v)
{
	if (v->kind != VERDICT_RETRY && v->kind != VERDICT_PARK)
		return false;
	return v->scope == VERDICT_SCOPE_MAILBOX || v->scope == VERDICT_SCOPE_MAILBOX_WINDOW ||
	       v->scope == VERDICT_SCOPE_TENANT || v->scope == VERDICT_SCOPE_ROUTE;
}

/* ---- a recipient, and the message ---- */

/* 4.5.3 at RCPT: it was only one too many for this transaction, which took others. */
static bool goes_next(const struct sched_attempt *a, const struct sched_part *p)
{
	bool others = false;

	for (size_t i = 0; i < a->count; i++)
		others |= a->parts[i].accepted;
	return others && !p->accepted && p->verdict->kind == VERDICT_RETRY &&
	       p->verdict->scope == VERDICT_SCOPE_RECIPIENT &&
	       p->verdict->cause == CAUSE_TOO_MANY_RECIPIENTS;
}

static struct sched_answer at(enum sched_deed deed, struct wall_time when)
{
	return (struct sched_answer){ .deed = deed, .next_at = when };
}

static struct sched_answer after(const struct sched_attempt *a, uint64_t pause)
{
	return at(SCHED_RETRY_AT, wall_add(a->now, (int64_t)pause));
}

static struct sched_answer after_uncertain(const struct sched_attempt *a,
	const struct sched_part *p, const struct sched_policy *policy, struct prng *rng)
{
	switch (policy->uncertain) {
	case SCHED_UNCERTAIN_HOLD:
		return at(SCHED_HOLD, a->now);
	case SCHED_UNCERTAIN_ASSUME_SENT:
		return at(SCHED_DELIVERED, a->now);
	case SCHED_UNCERTAIN_RETRY:
		break;
	}
	/* Not even past its time does it expire here: nobody knows whether it arrived. */
	return after(a, sched_retry_pause(&policy->retry, p->attempts + UNCERTAIN_STEPS, rng));
}

/*
 * Due as soon as the lane goes on, if no message caused the hold. Who may have caused it tries again by
 * its own back-off, so that others find out first.
 */
static bool waits_for_lane(const struct sched_part *p)
{
	return sched_holds_lane(p->verdict) && p->said == SCHED_SAID_SESSION && !p->alone;
}

static bool is_past_class(const struct sched_attempt *a)
{
	return a->class_end.us && a->now.us >= a->class_end.us;
}

static struct sched_answer after_retry(const struct sched_attempt *a, const struct sched_part *p,
	const struct sched_policy *policy, struct prng *rng)
{
	const struct sched_retry retry = sched_retry_after(&policy->retry, p->verdict);
	uint64_t pause = p->verdict->retry_after_us;

	/* Only an attempt that has just failed lets mail expire: a clock that jumps cannot. */
	if (a->now.us >= a->expires_at.us || is_past_class(a))
		return at(SCHED_EXPIRE, a->now);
	if (waits_for_lane(p))
		return at(SCHED_WAIT_LANE, a->now);
	if (goes_next(a, p))
		pause = NEXT_TRANSACTION_US;
	return after(a, pause ? pause : sched_retry_pause(&retry, p->attempts, rng));
}

static struct sched_answer after_park(const struct sched_attempt *a, const struct sched_part *p,
	const struct sched_policy *policy, struct prng *rng)
{
	const struct verdict *v = p->verdict;

	/* Parked mail has its own, longer time: a fault of configuration must not bounce it. */
	if (is_past_class(a) ||
		(a->parked_expire_us &&
			a->now.us >= a->accepted_at.us + (int64_t)a->parked_expire_us &&
			a->now.us >= a->expires_at.us))
		return at(SCHED_EXPIRE, a->now);
	if (waits_for_lane(p))
		return at(SCHED_WAIT_LANE, a->now);
	/* Suspected of abuse: trying again by itself would make it worse. */
	if (v->nature == VERDICT_NATURE_REPUTATION &&
		(v->scope == VERDICT_SCOPE_RECIPIENT || v->scope == VERDICT_SCOPE_MESSAGE))
		return at(SCHED_HOLD, a->now);
	return after(a,
		v->retry_after_us && !p->alone
			? v->retry_after_us
			: sched_retry_pause(&policy->retry, p->attempts, rng));
}

/*
 * This door cannot carry this one message, though it carries others, or what it was refused for is not proved: another
 * member of its queue may. What is proved holds the door, and sched/order goes past that by itself.
 */
static enum sched_move move_of(const struct sched_part *p, enum sched_deed deed)
{
	const struct verdict *v = p->verdict;
	bool own = v->kind == VERDICT_PARK && v->scope == VERDICT_SCOPE_MESSAGE;

	if ((deed != SCHED_RETRY_AT && deed != SCHED_WAIT_LANE) || p->uncertain ||
		(!own && !p->alone) || !verdict_may_go_elsewhere(v))
		return SCHED_MOVE_NOT;
	return v->scope == VERDICT_SCOPE_TENANT_EXTERNAL ? SCHED_MOVE_TO_OTHER_TENANT
							 : SCHED_MOVE_ANYWHERE;
}

static struct sched_answer answer(const struct sched_attempt *a, const struct sched_part *p,
	const struct sched_policy *policy, struct prng *rng)
{
	if (p->uncertain)
		return after_uncertain(a, p, policy, rng);
	switch (p->verdict->kind) {
	case VERDICT_DELIVERED:
		return at(SCHED_DELIVERED, a->now);
	case VERDICT_BOUNCE:
		return at(SCHED_BOUNCE, a->now);
	case VERDICT_PARK:
		return after_park(a, p, policy, rng);
	case VERDICT_RETRY:
	case VERDICT_KIND_COUNT:
		break;
	}
	return after_retry(a, p, policy, rng);
}

struct sched_answer sched_attempt_answer(const struct sched_attempt *a, size_t part,
	const struct sched_policy *policy, struct prng *rng)
{
	const struct sched_part *p = &a->parts[part];
	struct sched_answer out = answer(a, p, policy, rng);

	out.move = move_of(p, out.deed);
	return out;
}

/* ---- what it speaks of beyond the message ---- */

struct sched_hold *sched_verdict_hold(
	const struct sched_lane *l, struct sv sender, const struct verdict *v)
{
	bool narrow = v->scope == VERDICT_SCOPE_SENDER || v->scope == VERDICT_SCOPE_TENANT_EXTERNAL;

	/* What passes by itself holds no sender, nor all mail to the outside: each message has its own back-off. */
	if (!sched_is_wide(v) || (narrow && v->kind != VERDICT_PARK))
		return NULL;
	return sched_lane_hold_of(l, v, sender);
}

bool sched_verdict_weigh(
	const struct sched_lane *l, struct sv sender, const struct sched_refusal *r)
{
	struct sched_hold *h =
		sched_is_wide(r->verdict) ? sched_lane_hold_of(l, r->verdict, sender) : NULL;

	/* Where there is no such scope nothing is held, and nobody else waits. */
	return !h || sched_hold_weigh(h, r);
}

static void succeed(const struct sched_attempt *a)
{
	struct sched_mail mail = a->mail;
	bool delivered = false;

	mail.external = false;
	for (size_t i = 0; i < a->count; i++) {
		if (a->parts[i].verdict->kind != VERDICT_DELIVERED)
			continue;
		delivered = true;
		mail.external |= a->parts[i].external;
	}
	if (delivered)
		sched_lane_succeed(a->lane, &mail, a->begun);
}

const struct sched_part *sched_attempt_spread(
	const struct sched_attempt *a, const struct sched_heard *heard)
{
	const struct sched_part *own = NULL;

	for (size_t i = 0; i < a->count; i++) {
		const struct sched_part *p = &a->parts[i];
		struct sched_hold *h =
			p->alone ? NULL : sched_verdict_hold(a->lane, a->mail.sender, p->verdict);
		struct sched_heard said = *heard;

		said.verdict = p->verdict;
		said.reply = p->reply;
		if (h && h != sched_lane_own(a->lane))
			(void)sched_hold_set(h, &said);
		else if (h)
			own = p;
	}
	succeed(a);
	sched_lane_end(a->lane, &a->mail, a->probe, true);
	return own;
}
