/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/pace.h"

#include "base/rng.h"

#include "cmocka_all.h"

/* How many connections, as the server lets it. */

static void nothing_is_lowered_before_a_reply(void **state)
{
	struct sched_pace p = { 0 };

	(void)state;
	assert_int_equal(sched_pace_connections(&p, 10), 10);
	for (unsigned i = 0; i < 100; i++)
		sched_pace_passed(&p, 10, 10);
	assert_int_equal(sched_pace_connections(&p, 10), 10);
	assert_int_equal(sched_pace_connections(&p, 3), 3);
}

static void a_reply_halves_and_successes_bring_them_back_one_by_one(void **state)
{
	struct sched_pace p = { 0 };

	(void)state;
	assert_true(sched_pace_too_many(&p, sched_pace_era(&p), 10, 10));
	assert_int_equal(sched_pace_connections(&p, 10), 5);
	for (uint32_t n = 5; n < 10; n++) {
		for (uint32_t i = 0; i < n * SCHED_PACE_ROUNDS; i++) {
			assert_int_equal(sched_pace_connections(&p, 10), n);
			sched_pace_passed(&p, n, 10);
		}
		assert_int_equal(sched_pace_connections(&p, 10), n + 1);
	}
	/* Then it is as if there had been none: a reload may allow more. */
	assert_int_equal(sched_pace_connections(&p, 20), 20);
}

static void several_replies_to_the_same_connections_are_one(void **state)
{
	struct sched_pace p = { 0 };
	uint64_t before = sched_pace_era(&p);

	(void)state;
	assert_true(sched_pace_too_many(&p, before, 16, 16));
	for (uint32_t open = 15; open > 8; open--)
		assert_false(sched_pace_too_many(&p, before, open, 16));
	assert_int_equal(sched_pace_connections(&p, 16), 8);
	assert_true(sched_pace_too_many(&p, sched_pace_era(&p), 8, 16));
	assert_int_equal(sched_pace_connections(&p, 16), 4);
	/* Fewer were open than might have been: the half of those. */
	assert_true(sched_pace_too_many(&p, sched_pace_era(&p), 2, 16));
	assert_int_equal(sched_pace_connections(&p, 16), 1);
	/* There is always one. */
	assert_false(sched_pace_too_many(&p, sched_pace_era(&p), 1, 16));
	assert_int_equal(sched_pace_connections(&p, 16), 1);
}

static void what_was_not_used_up_proves_nothing(void **state)
{
	struct sched_pace p = { 0 };

	(void)state;
	assert_true(sched_pace_too_many(&p, 0, 8, 8));
	for (unsigned i = 0; i < 1000; i++)
		sched_pace_passed(&p, 3, 8);
	assert_int_equal(sched_pace_connections(&p, 8), 4);
}

/* Each of its connections sends one; those beyond what the server allows are refused. How many were. */
static uint32_t one_round(struct sched_pace *p, uint32_t allowed)
{
	uint32_t n = sched_pace_connections(p, 10), refused = n > allowed ? n - allowed : 0;
	uint64_t era = sched_pace_era(p);

	for (uint32_t k = 0; k < n - refused; k++)
		sched_pace_passed(p, n, 10);
	for (uint32_t k = 0; k < refused; k++)
		(void)sched_pace_too_many(p, era, n - k, 10);
	return refused;
}

/*
 * A server that allows fewer than are configured: hardly any message is refused in the long run, and its connections are used; when it allows
 * all, all are used again.
 */
static void it_finds_what_the_server_allows(void **state)
{
	enum {
		ROUNDS = 2000
	};

	(void)state;
	for (uint32_t allowed = 1; allowed <= 9; allowed++) {
		struct sched_pace p = { 0 };
		uint32_t refused = 0, tried = 0;

		for (uint32_t i = 0; i < ROUNDS; i++) {
			tried += sched_pace_connections(&p, 10);
			refused += one_round(&p, allowed);
		}
		assert_true(tried >= ROUNDS * ((allowed + 1) / 2));
		if (refused * 9 > tried)
			fail_msg("allowed %u: %u of %u refused", allowed, refused, tried);
		for (uint32_t i = 0; i < 1000; i++)
			(void)one_round(&p, 10);
		assert_int_equal(sched_pace_connections(&p, 10), 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lowered_before_a_reply),
		cmocka_unit_test(a_reply_halves_and_successes_bring_them_back_one_by_one),
		cmocka_unit_test(several_replies_to_the_same_connections_are_one),
		cmocka_unit_test(what_was_not_used_up_proves_nothing),
		cmocka_unit_test(it_finds_what_the_server_allows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
