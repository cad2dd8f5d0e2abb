/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/test_order.h"

#include "base/rng.h"

#include "cmocka_all.h"

/* Whose turn it is: classes and principals. */

/* ---- classes ---- */

enum {
	MUCH = 1000000
};

static struct sched_flow *flood(struct sched_order *o, enum mail_class class, const char *principal)
{
	struct sched_flow *f = flow_of(o, "m:a", class, principal);

	sched_flow_add(f, MUCH, AT(0));
	return f;
}

/* One take of one message with so many recipients. */
static enum mail_class take(struct sched_taker *t, uint32_t recipients)
{
	struct sched_pick p;

	assert_true(sched_pick(t, SOON, &all, &p));
	sched_took(&p, recipients, AT(0));
	return sched_flow_key(p.flow)->class;
}

static void classes_have_their_weights_and_none_starves(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *t = door(o, "m:a", 0);
	unsigned count[MAIL_CLASS_COUNT];

	(void)state;
	for (unsigned i = 0; i < MAIL_CLASS_COUNT; i++)
		flood(o, i, "erp");
	for (unsigned round = 0; round < 20; round++) {
		memset(count, 0, sizeof(count));
		for (unsigned i = 0; i < 111; i++)
			count[take(t, round % 3 ? 1 : 200)]++;
		assert_in_range(count[MAIL_CLASS_TRANSACTIONAL], 99, 101);
		assert_in_range(count[MAIL_CLASS_NORMAL], 9, 11);
		assert_in_range(count[MAIL_CLASS_BULK], 1, 2);
	}
	sched_order_free(o);
}

/* However long bulk has had everything to itself. */
static void who_wakes_up_goes_before_bulk_and_is_owed_nothing(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *t = door(o, "m:a", 0);
	struct sched_flow *reset = flow_of(o, "m:a", MAIL_CLASS_TRANSACTIONAL, "shop");
	unsigned bulk = 0;

	(void)state;
	flood(o, MAIL_CLASS_BULK, "news");
	for (unsigned i = 0; i < 5000; i++)
		assert_int_equal(take(t, 500), MAIL_CLASS_BULK);
	for (unsigned i = 0; i < 50; i++) {
		struct sched_pick p;

		sched_flow_add(reset, 1, AT(0));
		assert_true(sched_pick(t, SOON, &all, &p));
		assert_ptr_equal(p.flow, reset);
		sched_took(&p, 1, SCHED_NEVER);
		assert_int_equal(take(t, 1), MAIL_CLASS_BULK);
	}
	/* Not everything for as long as bulk had it. */
	flood(o, MAIL_CLASS_TRANSACTIONAL, "shop");
	for (unsigned i = 0; i < 202; i++)
		bulk += take(t, 1) == MAIL_CLASS_BULK;
	assert_in_range(bulk, 1, 3);
	sched_order_free(o);
}

/* What a minute keeps for better mail is not kept from bulk while that mail is there: it would fill every minute. */
static void bulk_has_its_turn_beside_better_mail(void **state)
{
	static const struct sched_room kept = { 500, 0, 500 };
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *t = door(o, "m:a", 0);
	struct sched_flow *reset = flow_of(o, "m:a", MAIL_CLASS_TRANSACTIONAL, "shop");
	struct sched_pick p;
	unsigned bulk = 0;

	(void)state;
	flood(o, MAIL_CLASS_BULK, "news");
	assert_false(sched_pick(t, SOON, &kept, &p));
	sched_flow_add(reset, 1010, AT(0));
	for (unsigned i = 0; i < 1010; i++) {
		assert_true(sched_pick(t, SOON, &kept, &p));
		bulk += sched_flow_key(p.flow)->class == MAIL_CLASS_BULK;
		sched_took(&p, 1, AT(0));
	}
	assert_in_range(bulk, 9, 11);
	sched_order_free(o);
}

static void bulk_without_room_is_left_out(void **state)
{
	static const struct sched_room headroom = { 500, 0 }, none = { 0, 0 };
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *t = door(o, "m:a", 0);
	struct sched_pick p;

	(void)state;
	flood(o, MAIL_CLASS_BULK, "news");
	assert_false(sched_pick(t, SOON, &headroom, &p));
	flood(o, MAIL_CLASS_NORMAL, "erp");
	for (unsigned i = 0; i < 5000; i++) {
		assert_true(sched_pick(t, SOON, &headroom, &p));
		assert_int_equal(sched_flow_key(p.flow)->class, MAIL_CLASS_NORMAL);
		sched_took(&p, 1, AT(0));
	}
	assert_false(sched_pick(t, SOON, &none, &p));
	/* Once it has room it is not owed what it could not have. */
	{
		unsigned bulk = 0;

		for (unsigned i = 0; i < 110; i++)
			bulk += take(t, 1) == MAIL_CLASS_BULK;
		assert_in_range(bulk, 9, 11);
	}
	sched_order_free(o);
}

/* A take that finds nothing is no turn of its class. */
static void an_empty_take_costs_no_turn(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *t = door(o, "m:a", 0);
	struct sched_flow *bulk = flood(o, MAIL_CLASS_BULK, "news");
	struct sched_pick p;

	(void)state;
	flood(o, MAIL_CLASS_NORMAL, "erp");
	do
		assert_true(sched_pick(t, SOON, &all, &p));
	while (p.flow != bulk && (sched_took(&p, 1, AT(0)), true));
	sched_pick_withdraw(&p);
	assert_int_equal(take(t, 1), MAIL_CLASS_BULK);
	sched_order_free(o);
}

/* ---- principals ---- */

enum {
	PRINCIPALS = 20,
	AT_ONCE = 10,
};

static double jain(const double *x, size_t n)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < n; i++) {
		sum += x[i];
		squares += x[i] * x[i];
	}
	return sum * sum / ((double)n * squares);
}

struct under_way {
	struct sched_pick pick;
	uint32_t recipients;
};

/*
 * Ten takes at a time, of messages of 1 to so many recipients; each principal has sizes of its own, and the first sends to 500 at
 * once. Takes end in any order.
 */
static void share_out(uint64_t seed, struct sched_taker *t, double *had)
{
	struct under_way takes[AT_ONCE];
	struct prng rng;
	size_t count = 0;

	prng_seed(&rng, seed);
	for (unsigned i = 0; i < 20000; i++) {
		struct under_way *u = &takes[count];
		uint32_t who = 0;

		assert_true(sched_pick(t, SOON, &all, &u->pick));
		assert_int_equal(
			sv_parse_u32(sched_flow_key(u->pick.flow)->principal, PRINCIPALS, &who), 0);
		u->recipients = who ? 1 + (uint32_t)prng_below(&rng, 3 * who) : 500;
		had[who] += u->recipients;
		if (++count < AT_ONCE)
			continue;
		u = &takes[prng_below(&rng, count)];
		sched_took(&u->pick, u->recipients, AT(0));
		*u = takes[--count];
	}
	while (count-- > 0)
		sched_took(&takes[count].pick, takes[count].recipients, AT(0));
}

static void principals_share_by_recipients(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct sched_order *o = sched_order_new(seed);
		struct sched_taker *t = door(o, "m:a", 0);
		double had[PRINCIPALS] = { 0 };

		for (unsigned i = 0; i < PRINCIPALS; i++) {
			char name[] = "00";

			name[0] = (char)('0' + i / 10);
			name[1] = (char)('0' + i % 10);
			flood(o, MAIL_CLASS_NORMAL, name);
		}
		share_out(seed, t, had);
		if (jain(had, PRINCIPALS) < 0.99)
			fail_msg("seed %u: %f", (unsigned)seed, jain(had, PRINCIPALS));
		sched_order_free(o);
	}
}

/* It has one large message at a time; its share is no larger for that. */
static void who_comes_back_with_each_message_has_no_more(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *t = door(o, "m:a", 0);
	struct sched_flow *large = flow_of(o, "m:a", MAIL_CLASS_NORMAL, "large");
	uint64_t had = 0, others = 0;

	(void)state;
	flood(o, MAIL_CLASS_NORMAL, "small");
	flood(o, MAIL_CLASS_NORMAL, "tiny");
	for (unsigned i = 0; i < 30000; i++) {
		struct sched_pick p;

		if (sched_flow_waiting(large) == 0)
			sched_flow_add(large, 500, AT(0));
		assert_true(sched_pick(t, SOON, &all, &p));
		if (p.flow == large)
			had += 500;
		else
			others++;
		sched_took(&p, p.flow == large ? 500 : 1, p.flow == large ? SCHED_NEVER : AT(0));
	}
	assert_in_range(had * 100 / others, 45, 55);
	sched_order_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classes_have_their_weights_and_none_starves),
		cmocka_unit_test(who_wakes_up_goes_before_bulk_and_is_owed_nothing),
		cmocka_unit_test(bulk_has_its_turn_beside_better_mail),
		cmocka_unit_test(bulk_without_room_is_left_out),
		cmocka_unit_test(an_empty_take_costs_no_turn),
		cmocka_unit_test(principals_share_by_recipients),
		cmocka_unit_test(who_comes_back_with_each_message_has_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
