/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/domain_room.h"
#include "sched/retry.h"

#include "base/must.h"

#include "cmocka_all.h"

/* ---- pauses ---- */

static const struct sched_retry minutes = { US_PER_MIN, US_PER_HOUR };

static void pauses_double_up_to_the_ceiling_with_a_fifth_of_jitter(void **state)
{
	struct prng rng;

	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		prng_seed(&rng, seed);
		for (uint32_t attempts = 1; attempts < 40; attempts++) {
			uint64_t plain = attempts < 7 ? US_PER_MIN << (attempts - 1) : US_PER_HOUR;
			uint64_t pause = sched_retry_pause(&minutes, attempts, &rng);

			if (pause < plain - plain / 5 || pause > plain + plain / 5 + 1)
				fail_msg("seed %u, attempt %u: %u",
					(unsigned)seed,
					attempts,
					(unsigned)pause);
		}
	}
}

static void jitter_is_the_seeds_alone(void **state)
{
	struct prng a, b, c;
	unsigned same = 0;

	(void)state;
	prng_seed(&a, 1);
	prng_seed(&b, 1);
	prng_seed(&c, 2);
	for (uint32_t i = 1; i < 50; i++) {
		uint64_t pause = sched_retry_pause(&minutes, 1, &a);

		assert_int_equal(pause, sched_retry_pause(&minutes, 1, &b));
		same += pause == sched_retry_pause(&minutes, 1, &c);
	}
	assert_true(same < 5);
}

/* An outage of 20 s, found out at once or when TCP gives up after 25 s: tried again before a minute is over. */
static void a_short_outage_does_not_last(void **state)
{
	static const struct sched_retry plain = { US_PER_MIN, US_PER_HOUR },
					quick = { US_PER_S, US_PER_S };
	const struct verdict of_line = { .kind = VERDICT_RETRY, .of_line = true };
	const struct verdict said = { .kind = VERDICT_RETRY };
	const struct sched_retry soon = sched_retry_after(&plain, &of_line);
	struct prng rng;

	(void)state;
	prng_seed(&rng, 3);
	assert_int_equal(sched_retry_after(&plain, &said).first_us, US_PER_MIN);
	assert_int_equal(sched_retry_after(&quick, &of_line).first_us, US_PER_S);
	assert_int_equal(soon.ceiling_us, US_PER_HOUR);
	for (unsigned round = 0; round < 2000; round++) {
		uint64_t at = round % 2 ? 0 : 25 * US_PER_S;

		for (uint32_t i = 1; i == 1 || at < 20 * US_PER_S; i++)
			at += sched_retry_pause(&soon, i, &rng);
		assert_in_range(at, 20 * US_PER_S, 60 * US_PER_S);
	}
}

static void a_pause_is_never_nothing(void **state)
{
	static const struct sched_retry odd[] = { { 0, 0 },
		{ 0, 5 },
		{ 1, 0 },
		{ 1, 1 },
		{ 10, 1 },
		{ US_PER_HOUR, US_PER_MIN },
		{ US_PER_MIN, UINT64_C(1) << 60 } };
	struct prng rng;

	(void)state;
	prng_seed(&rng, 3);
	for (size_t i = 0; i < COUNT_OF(odd); i++)
		for (uint32_t attempts = 0; attempts < 100; attempts++) {
			uint64_t pause = sched_retry_pause(&odd[i], attempts, &rng);

			assert_true(pause > 0);
			if (odd[i].ceiling_us)
				assert_true(pause <= odd[i].ceiling_us / 5 * 6 + 2);
		}
	/* UINT32_MAX attempts are as quick to compute as one. */
	assert_true(sched_retry_pause(&minutes, UINT32_MAX, &rng) >= US_PER_HOUR / 5 * 4);
}

static struct sv one_of(const void *arg, size_t i)
{
	return sv_from(((const char *const *)arg)[i]);
}

static void a_message_has_so_many_of_a_domain(void **state)
{
	static const char *const to[] = {
		"a@x.example", "b@X.EXAMPLE", "c@y.example", "d@x.example", "e@y.example"
	};

	(void)state;
	assert_int_equal(mail_domain_room(5, 0, one_of, to), 5);
	assert_int_equal(mail_domain_room(5, 5, one_of, to), 5);
	assert_int_equal(mail_domain_room(5, 3, one_of, to), 5);
	assert_int_equal(mail_domain_room(5, 2, one_of, to), 3);
	assert_int_equal(mail_domain_room(5, 1, one_of, to), 1);
	assert_int_equal(mail_domain_room(1, 1, one_of, to), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pauses_double_up_to_the_ceiling_with_a_fifth_of_jitter),
		cmocka_unit_test(jitter_is_the_seeds_alone),
		cmocka_unit_test(a_short_outage_does_not_last),
		cmocka_unit_test(a_pause_is_never_nothing),
		cmocka_unit_test(a_message_has_so_many_of_a_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
