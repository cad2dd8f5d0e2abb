/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/account.h"

#include "base/must.h"
#include "base/rng.h"

#include <stdio.h>

#include "cmocka_all.h"

#define CONNECTIONS LIMIT_RESOURCE_CONNECTIONS
#define BYTES LIMIT_RESOURCE_BYTES

static const struct mono_time start = { US_PER_HOUR };

static struct mono_time after(uint64_t us)
{
	return mono_add(start, us);
}

static struct limit_payer payer_of(struct limit_accounts *all, const char *key, unsigned share)
{
	struct limit_payer p;

	limit_payer_init(&p, all);
	limit_payer_add(&p, sv_from(key), share);
	return p;
}

/* As many of one as it gets. */
static unsigned take_all(struct limit_payer *p, enum limit_resource resource)
{
	unsigned n = 0;

	while (limit_payer_take(p, resource, 1) == LIMIT_ANSWER_YES)
		n++;
	return n;
}

static void test_one_leaves_a_part_of_everything(void **state)
{
	static const struct {
		unsigned capacity, share, taken;
	} rows[] = {
		{ 1000, 3, 750 },
		{ 1000, 7, 875 },
		{ 1000, 1, 500 },
		{ 4, 3, 3 },
		/* Of very little nothing can be kept back. */
		{ 2, 3, 2 },
		{ 1, 3, 1 },
		{ 0, 3, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct limit_accounts *all = limit_accounts_new(i);
		struct limit_payer p = payer_of(all, "ip/192.0.2.1", rows[i].share);

		limit_accounts_set(all, CONNECTIONS, rows[i].capacity);
		assert_int_equal(take_all(&p, CONNECTIONS), rows[i].taken);
		limit_payer_end(&p, start);
		assert_int_equal(limit_accounts_used(all, CONNECTIONS), 0);
		limit_accounts_free(all);
	}
}

/* However many take what they can: there is something for whoever comes next. */
static void test_many_leave_something_for_the_next(void **state)
{
	struct limit_accounts *all = limit_accounts_new(1);
	struct limit_payer bad[40], good;
	char key[32];

	(void)state;
	limit_accounts_set(all, CONNECTIONS, 100000);
	for (unsigned i = 0; i < COUNT_OF(bad); i++) {
		(void)snprintf(key, sizeof(key), "ip/192.0.2.%u", i);
		bad[i] = payer_of(all, key, 3);
		assert_true(take_all(&bad[i], CONNECTIONS) > 0);
		good = payer_of(all, "ip/198.51.100.1", 3);
		assert_int_equal(limit_payer_take(&good, CONNECTIONS, 1), LIMIT_ANSWER_YES);
		limit_payer_end(&good, start);
	}
	for (unsigned i = 0; i < COUNT_OF(bad); i++)
		limit_payer_end(&bad[i], start);
	limit_accounts_free(all);
}

static void test_who_has_too_much_is_told_apart_from_all_is_taken(void **state)
{
	struct limit_accounts *all = limit_accounts_new(1);
	struct limit_payer a = payer_of(all, "uid/33", 3), b = payer_of(all, "uid/0", 3);

	(void)state;
	limit_accounts_set(all, BYTES, 100);
	assert_int_equal(limit_payer_take(&a, BYTES, 80), LIMIT_ANSWER_YES);
	assert_int_equal(limit_payer_take(&a, BYTES, 1), LIMIT_ANSWER_TOO_MUCH);
	assert_int_equal(limit_payer_take(&b, BYTES, 21), LIMIT_ANSWER_FULL);
	assert_int_equal(limit_payer_take(&b, BYTES, 20), LIMIT_ANSWER_YES);
	assert_int_equal(limit_payer_take(&b, BYTES, 0), LIMIT_ANSWER_YES);
	limit_payer_give(&a, BYTES, 70);
	assert_int_equal(limit_payer_take(&a, BYTES, 1), LIMIT_ANSWER_YES);
	/* Less than is held takes nothing away. */
	limit_accounts_set(all, BYTES, 5);
	assert_int_equal(limit_payer_take(&a, BYTES, 1), LIMIT_ANSWER_FULL);
	assert_int_equal(limit_accounts_used(all, BYTES), 31);
	limit_payer_end(&a, start);
	limit_payer_end(&b, start);
	limit_accounts_free(all);
}

/* Each connection pays from its address, its listener and its user: any of them may have had enough. */
static void test_a_session_pays_for_all_its_principals(void **state)
{
	struct limit_accounts *all = limit_accounts_new(1);
	struct limit_account *user;
	struct limit_payer a, b;
	unsigned taken;

	(void)state;
	limit_accounts_set(all, CONNECTIONS, 100);
	a = payer_of(all, "ip/192.0.2.1", 3);
	limit_payer_add(&a, SV("listener/0.0.0.0:587"), 7);
	assert_int_equal(take_all(&a, CONNECTIONS), 75);
	/* A principal that is known later is charged for what is held. */
	limit_payer_add(&a, SV("user/erp"), 3);
	user = limit_account_open(all, SV("user/erp"), 3);
	assert_int_equal(limit_account_used(user, CONNECTIONS), 75);
	b = payer_of(all, "ip/192.0.2.2", 3);
	limit_payer_add(&b, SV("listener/0.0.0.0:587"), 7);
	taken = take_all(&b, CONNECTIONS);
	assert_int_equal(limit_accounts_used(all, CONNECTIONS), 75 + taken);
	/* The listener has its part now, though another address comes. */
	assert_true(taken > 0 && taken < 14);
	limit_payer_end(&b, start);
	/* The same user from elsewhere. */
	b = payer_of(all, "ip/192.0.2.3", 3);
	limit_payer_add(&b, SV("user/erp"), 3);
	assert_int_equal(limit_payer_take(&b, CONNECTIONS, 1), LIMIT_ANSWER_TOO_MUCH);
	limit_payer_end(&b, start);
	limit_payer_end(&a, start);
	assert_int_equal(limit_account_used(user, CONNECTIONS), 0);
	limit_account_close(user, start);
	limit_accounts_free(all);
}

static void test_failures_outlive_the_connection_and_sink(void **state)
{
	struct limit_accounts *all = limit_accounts_new(1);
	struct limit_account *a = limit_account_open(all, SV("ip/192.0.2.1"), 3);

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		limit_account_failed(a, start);
	limit_account_close(a, start);
	a = limit_account_open(all, SV("ip/192.0.2.1"), 3);
	assert_int_equal(limit_account_failures(a, start), 10);
	assert_int_equal(limit_account_below_at(a, start, 11).us, start.us);
	assert_int_equal(limit_account_below_at(a, start, 10).us, after(LIMIT_FAILURE_US).us);
	assert_int_equal(limit_account_below_at(a, start, 8).us, after(3 * LIMIT_FAILURE_US).us);
	assert_int_equal(limit_account_failures(a, after(LIMIT_FAILURE_US - 1)), 10);
	assert_int_equal(limit_account_failures(a, after(LIMIT_FAILURE_US)), 9);
	/* One more in the middle of a step does not begin the step anew. */
	limit_account_failed(a, after(LIMIT_FAILURE_US * 3 / 2));
	assert_int_equal(limit_account_failures(a, after(LIMIT_FAILURE_US * 3 / 2)), 10);
	assert_int_equal(limit_account_failures(a, after(2 * LIMIT_FAILURE_US)), 9);
	assert_int_equal(limit_account_failures(a, after(US_PER_DAY)), 0);
	for (unsigned i = 0; i < LIMIT_FAILURES_MAX + 5; i++)
		limit_account_failed(a, start);
	assert_int_equal(limit_account_failures(a, start), LIMIT_FAILURES_MAX);
	limit_account_succeeded(a, start);
	assert_int_equal(limit_account_failures(a, start), 0);
	assert_true(limit_account_is_good(a, after(LIMIT_GOOD_US - 1)));
	assert_false(limit_account_is_good(a, after(LIMIT_GOOD_US)));
	limit_account_close(a, start);
	limit_accounts_free(all);
}

static void test_what_is_remembered_is_bounded(void **state)
{
	struct limit_accounts *all = limit_accounts_new(7);
	struct limit_account *a;
	char key[32];

	(void)state;
	for (unsigned i = 0; i < LIMIT_ACCOUNTS_KEPT + 2; i++) {
		(void)snprintf(key, sizeof(key), "ip/%u", i);
		a = limit_account_open(all, sv_from(key), 3);
		limit_account_failed(a, start);
		limit_account_close(a, start);
		/* The one that is in use now and then stays. */
		a = limit_account_open(all, SV("ip/0"), 3);
		limit_account_close(a, start);
	}
	for (unsigned i = 0; i < 4; i++) {
		(void)snprintf(key, sizeof(key), "ip/%u", i);
		a = limit_account_open(all, sv_from(key), 3);
		assert_int_equal(limit_account_failures(a, start), i == 1 || i == 2 ? 0 : 1);
		limit_account_close(a, start);
	}
	limit_accounts_free(all);
}

static void test_refusals_are_told_once_in_a_while(void **state)
{
	struct limit_accounts *all = limit_accounts_new(1);
	struct limit_account *a = limit_account_open(all, SV("ip/192.0.2.1"), 3);
	uint64_t count = 0;

	(void)state;
	assert_true(limit_account_refused(a, start, &count));
	assert_int_equal(count, 1);
	for (unsigned i = 0; i < 9; i++) {
		/* Not even by coming again. */
		limit_account_close(a, start);
		a = limit_account_open(all, SV("ip/192.0.2.1"), 3);
		assert_false(limit_account_refused(a, start, &count));
	}
	assert_true(limit_account_refused(a, after(LIMIT_TELL_US), &count));
	assert_int_equal(count, 10);
	limit_account_close(a, start);
	limit_accounts_free(all);
}

static void test_a_connection_may_outlive_the_table(void **state)
{
	struct limit_accounts *all = limit_accounts_new(1);
	struct limit_payer p = payer_of(all, "uid/0", 3), q;

	(void)state;
	limit_accounts_set(all, CONNECTIONS, 10);
	assert_int_equal(limit_payer_take(&p, CONNECTIONS, 1), LIMIT_ANSWER_YES);
	limit_payer_copy(&q, &p);
	assert_int_equal(q.held[CONNECTIONS], 0);
	limit_accounts_free(all);
	limit_payer_end(&p, start);
	limit_payer_end(&p, start);
	assert_int_equal(limit_payer_take(&q, CONNECTIONS, 1), LIMIT_ANSWER_YES);
	limit_payer_end(&q, start);
}

/* Whatever comes and goes: the sums are right, and no principal has more than its share of the rest. */
static void test_sums_stay_right(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct limit_accounts *all = limit_accounts_new(seed);
		struct limit_payer payers[40] = { 0 };
		uint64_t sum = 0;
		struct prng dice;

		prng_seed(&dice, seed);
		limit_accounts_set(all, BYTES, 10000);
		for (unsigned step = 0; step < 3000; step++) {
			struct limit_payer *p = &payers[prng_next(&dice) % COUNT_OF(payers)];
			uint64_t n = prng_next(&dice) % 300;
			char key[8];

			if (!p->all) {
				(void)snprintf(
					key, sizeof(key), "k%u", (unsigned)(prng_next(&dice) % 6));
				*p = payer_of(all, key, 1 + (unsigned)(prng_next(&dice) % 3));
			} else if (prng_next(&dice) % 4 == 0) {
				sum -= p->held[BYTES];
				limit_payer_end(p, start);
			} else if (prng_next(&dice) % 4 == 0 && n <= p->held[BYTES]) {
				limit_payer_give(p, BYTES, n);
				sum -= n;
			} else if (limit_payer_take(p, BYTES, n) == LIMIT_ANSWER_YES) {
				sum += n;
			}
			assert_int_equal(limit_accounts_used(all, BYTES), sum);
			assert_true(sum <= 10000);
		}
		for (unsigned i = 0; i < COUNT_OF(payers); i++)
			limit_payer_end(&payers[i], start);
		assert_int_equal(limit_accounts_used(all, BYTES), 0);
		limit_accounts_free(all);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_leaves_a_part_of_everything),
		cmocka_unit_test(test_many_leave_something_for_the_next),
		cmocka_unit_test(test_who_has_too_much_is_told_apart_from_all_is_taken),
		cmocka_unit_test(test_a_session_pays_for_all_its_principals),
		cmocka_unit_test(test_failures_outlive_the_connection_and_sink),
		cmocka_unit_test(test_what_is_remembered_is_bounded),
		cmocka_unit_test(test_refusals_are_told_once_in_a_while),
		cmocka_unit_test(test_a_connection_may_outlive_the_table),
		cmocka_unit_test(test_sums_stay_right),
	};

	return cmocka_run_group_tests_name("limit/account", tests, NULL, NULL);
}
