/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/observed.h"

#include "base/must.h"
#include "base/rng.h"
#include "limit/set.h"

#include "cmocka_all.h"

/* A tenant whose people send beside us, and whose counter we ask: never more than it has, and not much less. */
enum {
	STEP_S = 10,
	DAY_STEPS = 86400 / STEP_S,
	DAYS = 4,
	ASK_STEPS = 900 / STEP_S,
};

static struct mono_time at_step(uint64_t step)
{
	return (struct mono_time){ US_PER_HOUR + step * STEP_S * US_PER_S };
}

/* What Exchange counts: by the step, over a day. */
struct tenant {
	uint32_t by_step[DAYS * DAY_STEPS];
	uint64_t used, ours, people;
};

static void pass(struct tenant *t, uint64_t step)
{
	if (step >= DAY_STEPS)
		t->used -= t->by_step[step - DAY_STEPS];
}

static void count(struct tenant *t, uint64_t step, uint32_t n)
{
	t->by_step[step] += n;
	t->used += n;
}

struct run {
	struct limit_book *b;
	struct limit_scope *s;
	struct limit_part p;
	uint32_t threshold, violations, least, rest;
};

static void ask(struct run *r, const struct tenant *t, uint64_t step)
{
	limit_scope_observe(r->s,
		&(struct limit_observation){ .observed = (uint32_t)t->used,
			.threshold = r->threshold,
			.ours = limit_scope_ours(r->s, at_step(step)),
			.asked = at_step(step) });
}

/* As much as may leave, in messages of up to 20. */
static void send(struct run *r, struct tenant *t, uint64_t step, struct prng *dice)
{
	for (unsigned i = 0; i < 10; i++) {
		uint32_t wanted = 1 + (uint32_t)prng_below(dice, 20);
		uint32_t n = limit_part_room(&r->p, at_step(step), wanted);
		struct limit_slot slot = { 0 };
		struct limit_entry e[LIMIT_SLOT_ENTRIES];

		if (n == 0)
			return;
		(void)limit_slot_take(&slot, &r->p, at_step(step), n, e);
		(void)limit_slot_settle(&slot, at_step(step), e);
		count(t, step, n);
		t->ours += n;
		r->violations += t->used > r->threshold;
	}
}

static void run(uint64_t seed, uint32_t people_an_hour)
{
	struct tenant *t = xcalloc(1, sizeof(*t));
	struct prng dice;
	struct run r = { .b = limit_book_new(INT64_C(1) << 50, at_step(0)), .threshold = 10000 };
	uint64_t owed = 0;

	prng_seed(&dice, seed);
	r.s = limit_book_scope(r.b, SV("t:contoso"));
	limit_scope_set(r.s, &(struct limit_caps){ .recipients_per_day = r.threshold });
	r.p = (struct limit_part){ r.s, LIMIT_DAY, LIMIT_EXTERNAL };
	for (uint64_t step = 0; step < DAYS * DAY_STEPS; step++) {
		pass(t, step);
		owed += (uint64_t)people_an_hour * STEP_S;
		count(t, step, (uint32_t)(owed / 3600));
		t->people += owed / 3600;
		owed %= 3600;
		if (step % ASK_STEPS == 0 || step == 6)
			ask(&r, t, step);
		if (step >= 6)
			send(&r, t, step, &dice);
	}
	if (r.violations)
		fail_msg("seed %llu, %u an hour: %u above",
			(unsigned long long)seed,
			people_an_hour,
			r.violations);
	/* Of all that a day had in the last three, nine tenths were used. */
	assert_true(t->ours + t->people > (DAYS - 1) * 9000);
	limit_book_free(r.b);
	free(t);
}

static void people_who_spend_are_never_passed(void **state)
{
	static const uint32_t people[] = { 0, 1, 30, 100, 250, 400 };

	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		for (size_t i = 0; i < COUNT_OF(people); i++)
			run(seed, people[i]);
}

static void what_is_ours_is_no_others(void **state)
{
	struct limit_observed o = { 0 };

	(void)state;
	limit_observed_take(&o,
		&(struct limit_observation){
			.observed = 70, .ours = 50, .threshold = 100, .asked = at_step(0) });
	assert_in_range(limit_observed_others(&o, at_step(60)), 20, 21);
	limit_observed_take(&o,
		&(struct limit_observation){
			.observed = 40, .ours = 50, .threshold = 100, .asked = at_step(360) });
	assert_int_equal(limit_observed_others(&o, at_step(360)), 0);
	/* Sixty in an hour, and on like that and a quarter more. */
	limit_observed_take(&o,
		&(struct limit_observation){
			.observed = 110, .ours = 50, .threshold = 100, .asked = at_step(720) });
	assert_int_equal(limit_observed_others(&o, at_step(720)), 60);
	assert_in_range(limit_observed_others(&o, at_step(1080)), 120, 140);
	/* A day without an answer: nobody knows. */
	assert_int_equal(limit_observed_others(&o, at_step(720 + DAY_STEPS)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(people_who_spend_are_never_passed),
		cmocka_unit_test(what_is_ours_is_no_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
