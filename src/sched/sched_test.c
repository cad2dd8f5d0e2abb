/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/domain_room.h"
#include "sched/act.h"

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

/* ---- what a verdict does ---- */

enum when {
	EARLY,   /* before it expires */
	EXPIRED, /* past that, but not past the time of parked mail */
	BOTH,    /* past both */
	WHEN_COUNT
};

#define NOW 1000000000000
#define HOUR ((int64_t)US_PER_HOUR)

static struct sched_fact fact_at(enum when when)
{
	return (struct sched_fact){ .attempts = 1,
		.now = { NOW },
		.accepted_at = { when == BOTH ? NOW - 20 * HOUR : NOW - 6 * HOUR },
		.expires_at = { when == EARLY ? NOW + HOUR : NOW },
		.parked_expire_us = 20 * US_PER_HOUR };
}

static const struct sched_policy policies[] = {
	{ { US_PER_MIN, US_PER_HOUR }, SCHED_UNCERTAIN_RETRY },
	{ { US_PER_MIN, US_PER_HOUR }, SCHED_UNCERTAIN_HOLD },
	{ { US_PER_MIN, US_PER_HOUR }, SCHED_UNCERTAIN_ASSUME_SENT },
};

/* D elivered, B ounce, E xpire, R etry at a time, W ait for the lane, H old. */
static char letter(enum sched_deed deed)
{
	static const char letters[] = { [SCHED_DELIVERED] = 'D',
		[SCHED_RETRY_AT] = 'R',
		[SCHED_WAIT_LANE] = 'W',
		[SCHED_HOLD] = 'H',
		[SCHED_BOUNCE] = 'B',
		[SCHED_EXPIRE] = 'E' };

	return letters[deed];
}

/* One letter for each time; a certain end is the same under every policy. */
static const char *const expected[VERDICT_KIND_COUNT][VERDICT_SCOPE_COUNT] = {
	[VERDICT_DELIVERED] = { "DDD", "DDD", "DDD", "DDD", "DDD", "DDD", "DDD", "DDD" },
	[VERDICT_BOUNCE] = { "BBB", "BBB", "BBB", "BBB", "BBB", "BBB", "BBB", "BBB" },
	[VERDICT_RETRY] = {
		[VERDICT_SCOPE_RECIPIENT] = "REE",
		[VERDICT_SCOPE_MESSAGE] = "REE",
		[VERDICT_SCOPE_SENDER] = "REE",
		[VERDICT_SCOPE_MAILBOX] = "WEE",
		[VERDICT_SCOPE_MAILBOX_WINDOW] = "WEE",
		[VERDICT_SCOPE_TENANT] = "WEE",
		[VERDICT_SCOPE_TENANT_EXTERNAL] = "REE",
		[VERDICT_SCOPE_ROUTE] = "WEE",
	},
	[VERDICT_PARK] = {
		[VERDICT_SCOPE_RECIPIENT] = "RRE",
		[VERDICT_SCOPE_MESSAGE] = "RRE",
		[VERDICT_SCOPE_SENDER] = "RRE",
		[VERDICT_SCOPE_MAILBOX] = "WWE",
		[VERDICT_SCOPE_MAILBOX_WINDOW] = "WWE",
		[VERDICT_SCOPE_TENANT] = "WWE",
		[VERDICT_SCOPE_TENANT_EXTERNAL] = "RRE",
		[VERDICT_SCOPE_ROUTE] = "WWE",
	},
};

static void check_certain(const struct verdict *v, enum when when, const struct sched_policy *p,
	struct prng *rng, bool of_session, bool alone)
{
	char want = expected[v->kind][v->scope][when];
	struct sched_fact fact = fact_at(when);
	struct sched_answer a;

	/* Only what no message caused waits for the lane; who may have caused it has its own back-off. */
	if (want == 'W' && (!of_session || alone))
		want = 'R';
	fact.of_session = of_session;
	fact.alone = alone;
	fact.verdict = v;
	a = sched_act(&fact, p, rng);
	if (letter(a.deed) != want)
		fail_msg("%s of %s at %d under %d: %c instead of %c",
			verdict_kind_name(v->kind),
			verdict_scope_name(v->scope),
			(int)when,
			(int)p->uncertain,
			letter(a.deed),
			want);
	if (want != 'R')
		assert_true(a.next_at.us == NOW);
	else if (v->retry_after_us && !(alone && v->kind == VERDICT_PARK))
		assert_true(a.next_at.us == NOW + (int64_t)v->retry_after_us);
	else
		assert_true(a.next_at.us > NOW + 47 * (int64_t)US_PER_S &&
			    a.next_at.us < NOW + 73 * (int64_t)US_PER_S);
}

static void every_verdict_of_every_scope_does_what_the_table_says(void **state)
{
	struct prng rng;

	(void)state;
	prng_seed(&rng, 4);
	for (unsigned kind = 0; kind < VERDICT_KIND_COUNT; kind++)
		for (unsigned scope = 0; scope < VERDICT_SCOPE_COUNT; scope++)
			for (unsigned after = 0; after < 2; after++) {
				const struct verdict v = { .kind = kind,
					.scope = scope,
					.retry_after_us = after * 7 * US_PER_MIN };

				for (unsigned when = 0; when < WHEN_COUNT; when++)
					for (size_t p = 0; p < COUNT_OF(policies); p++)
						for (unsigned how = 0; how < 4; how++)
							check_certain(&v,
								when,
								&policies[p],
								&rng,
								how & 1,
								how & 2);
			}
}

/* Whatever the verdict says of a broken line: the policy decides, and nothing expires by a doubt. */
static void an_uncertain_end_is_the_policys(void **state)
{
	static const char want[] = { 'R', 'H', 'D' };
	struct prng rng;

	(void)state;
	prng_seed(&rng, 5);
	for (unsigned kind = 0; kind < VERDICT_KIND_COUNT; kind++)
		for (unsigned when = 0; when < WHEN_COUNT; when++)
			for (size_t p = 0; p < COUNT_OF(policies); p++) {
				const struct verdict v = { .kind = kind };
				struct sched_fact fact = fact_at(when);
				struct sched_answer a;

				fact.verdict = &v;
				fact.uncertain = true;
				a = sched_act(&fact, &policies[p], &rng);
				assert_int_equal(letter(a.deed), want[p]);
				/* Three steps later than a refusal: 8 minutes, less a fifth. */
				if (want[p] == 'R')
					assert_true(a.next_at.us > NOW + 380 * (int64_t)US_PER_S);
			}
}

static void parked_mail_may_wait_for_ever(void **state)
{
	const struct verdict v = { .kind = VERDICT_PARK, .scope = VERDICT_SCOPE_SENDER };
	struct sched_fact fact = fact_at(BOTH);
	struct prng rng;

	(void)state;
	prng_seed(&rng, 6);
	fact.verdict = &v;
	fact.parked_expire_us = 0;
	assert_int_equal(sched_act(&fact, &policies[0], &rng).deed, SCHED_RETRY_AT);
}

/* What came in vain goes on by itself until its class says that nobody waits for it any more. */
static void a_class_ends_its_mail_whatever_holds_it(void **state)
{
	struct prng rng;

	(void)state;
	prng_seed(&rng, 7);
	for (unsigned scope = 0; scope < VERDICT_SCOPE_COUNT; scope++) {
		const struct verdict park = { .kind = VERDICT_PARK, .scope = scope };
		const struct verdict retry = { .kind = VERDICT_RETRY, .scope = scope };
		struct sched_fact fact = fact_at(EARLY);

		fact.of_session = true;
		fact.class_end.us = NOW + 1;
		fact.verdict = &park;
		assert_int_not_equal(sched_act(&fact, &policies[0], &rng).deed, SCHED_EXPIRE);
		fact.verdict = &retry;
		assert_int_not_equal(sched_act(&fact, &policies[0], &rng).deed, SCHED_EXPIRE);
		fact.class_end.us = NOW;
		assert_int_equal(sched_act(&fact, &policies[0], &rng).deed, SCHED_EXPIRE);
		fact.verdict = &park;
		assert_int_equal(sched_act(&fact, &policies[0], &rng).deed, SCHED_EXPIRE);
	}
}

static void only_lasting_trouble_of_a_door_holds_the_lane(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < VERDICT_KIND_COUNT; kind++)
		for (unsigned scope = 0; scope < VERDICT_SCOPE_COUNT; scope++) {
			const struct verdict v = { .kind = kind, .scope = scope };

			assert_int_equal(sched_holds_lane(&v), expected[kind][scope][EARLY] == 'W');
		}
}

static void reputation_of_a_message_is_an_operators(void **state)
{
	struct verdict v = { .kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MESSAGE,
		.nature = VERDICT_NATURE_REPUTATION };
	struct sched_fact fact = fact_at(EARLY);
	struct prng rng;

	(void)state;
	prng_seed(&rng, 13);
	fact.verdict = &v;
	assert_int_equal(sched_act(&fact, &policies[0], &rng).deed, SCHED_HOLD);
	v.scope = VERDICT_SCOPE_MAILBOX;
	fact.of_session = true;
	assert_int_equal(sched_act(&fact, &policies[0], &rng).deed, SCHED_WAIT_LANE);
	/* Said to one message, of more than it: it is not the message that is suspected. */
	fact.of_session = false;
	fact.alone = true;
	assert_int_equal(sched_act(&fact, &policies[0], &rng).deed, SCHED_RETRY_AT);
	fact.alone = false;
	v.scope = VERDICT_SCOPE_SENDER;
	assert_int_equal(sched_act(&fact, &policies[0], &rng).deed, SCHED_RETRY_AT);
}

static void one_too_many_goes_in_the_next_transaction(void **state)
{
	const struct verdict v = { .kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_RECIPIENT,
		.retry_after_us = US_PER_HOUR };
	struct sched_fact fact = fact_at(EARLY);
	struct sched_answer a;
	struct prng rng;

	(void)state;
	prng_seed(&rng, 14);
	fact.verdict = &v;
	fact.next_transaction = true;
	a = sched_act(&fact, &policies[0], &rng);
	assert_int_equal(a.deed, SCHED_RETRY_AT);
	assert_true(a.next_at.us <= NOW + (int64_t)US_PER_S);
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
		cmocka_unit_test(every_verdict_of_every_scope_does_what_the_table_says),
		cmocka_unit_test(an_uncertain_end_is_the_policys),
		cmocka_unit_test(parked_mail_may_wait_for_ever),
		cmocka_unit_test(a_class_ends_its_mail_whatever_holds_it),
		cmocka_unit_test(only_lasting_trouble_of_a_door_holds_the_lane),
		cmocka_unit_test(reputation_of_a_message_is_an_operators),
		cmocka_unit_test(one_too_many_goes_in_the_next_transaction),
		cmocka_unit_test(a_message_has_so_many_of_a_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
