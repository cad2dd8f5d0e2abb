/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/act.h"

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

static struct sched_answer at(enum sched_deed deed, struct wall_time when)
{
	return (struct sched_answer){ deed, when };
}

static struct sched_answer after_uncertain(
	const struct sched_fact *f, const struct sched_policy *p, struct prng *rng)
{
	uint64_t pause;

	switch (p->uncertain) {
	case SCHED_UNCERTAIN_HOLD:
		return at(SCHED_HOLD, f->now);
	case SCHED_UNCERTAIN_ASSUME_SENT:
		return at(SCHED_DELIVERED, f->now);
	case SCHED_UNCERTAIN_RETRY:
		break;
	}
	/* Not even past its time does it expire here: nobody knows whether it arrived. */
	pause = sched_retry_pause(&p->retry, f->attempts + UNCERTAIN_STEPS, rng);
	return at(SCHED_RETRY_AT, wall_add(f->now, (int64_t)pause));
}

/*
 * Due as soon as the lane goes on, if no message caused the hold. Who may have caused it tries again by
 * its own back-off, so that others find out first.
 */
static bool waits_for_lane(const struct sched_fact *f)
{
	return sched_holds_lane(f->verdict) && f->of_session && !f->alone;
}

static bool is_past_class(const struct sched_fact *f)
{
	return f->class_end.us && f->now.us >= f->class_end.us;
}

static struct sched_answer retry(
	const struct sched_fact *f, const struct sched_policy *p, struct prng *rng)
{
	const struct sched_retry policy = sched_retry_after(&p->retry, f->verdict);
	uint64_t pause = f->verdict->retry_after_us;

	/* Only an attempt that has just failed lets mail expire: a clock that jumps cannot. */
	if (f->now.us >= f->expires_at.us || is_past_class(f))
		return at(SCHED_EXPIRE, f->now);
	if (waits_for_lane(f))
		return at(SCHED_WAIT_LANE, f->now);
	if (f->next_transaction)
		pause = NEXT_TRANSACTION_US;
	if (pause == 0)
		pause = sched_retry_pause(&policy, f->attempts, rng);
	return at(SCHED_RETRY_AT, wall_add(f->now, (int64_t)pause));
}

static struct sched_answer park(
	const struct sched_fact *f, const struct sched_policy *p, struct prng *rng)
{
	/* Parked mail has its own, longer time: a fault of configuration must not bounce it. */
	if (is_past_class(f) ||
		(f->parked_expire_us &&
			f->now.us >= f->accepted_at.us + (int64_t)f->parked_expire_us &&
			f->now.us >= f->expires_at.us))
		return at(SCHED_EXPIRE, f->now);
	if (waits_for_lane(f))
		return at(SCHED_WAIT_LANE, f->now);
	/* Suspected of abuse: trying again by itself would make it worse. */
	if (f->verdict->nature == VERDICT_NATURE_REPUTATION &&
		(f->verdict->scope == VERDICT_SCOPE_RECIPIENT ||
			f->verdict->scope == VERDICT_SCOPE_MESSAGE))
		return at(SCHED_HOLD, f->now);
	return at(SCHED_RETRY_AT,
		wall_add(f->now,
			(int64_t)(f->verdict->retry_after_us && !f->alone
					  ? f->verdict->retry_after_us
					  : sched_retry_pause(&p->retry, f->attempts, rng))));
}

struct sched_answer sched_act(
	const struct sched_fact *fact, const struct sched_policy *policy, struct prng *rng)
{
	if (fact->uncertain)
		return after_uncertain(fact, policy, rng);
	switch (fact->verdict->kind) {
	case VERDICT_DELIVERED:
		return at(SCHED_DELIVERED, fact->now);
	case VERDICT_BOUNCE:
		return at(SCHED_BOUNCE, fact->now);
	case VERDICT_PARK:
		return park(fact, policy, rng);
	case VERDICT_RETRY:
	case VERDICT_KIND_COUNT:
		break;
	}
	return retry(fact, policy, rng);
}
