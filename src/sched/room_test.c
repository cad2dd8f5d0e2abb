/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/test_mailbox.h"

#include "base/must.h"
#include "base/rng.h"

#include "cmocka_all.h"

/* Headroom for what matters more than bulk. */

enum {
	ALL = 500
};

static struct mono_time at_s(uint64_t s)
{
	return (struct mono_time){ US_PER_DAY + s * US_PER_S };
}

static const struct sched_better never = { 0 };

static struct sched_better just_now(void)
{
	struct sched_better b = { 0 };

	sched_better_left(&b, MAIL_CLASS_TRANSACTIONAL, at_s(0));
	return b;
}

static uint32_t bulk_of(uint32_t minute_used, uint32_t minute, uint32_t day_used, uint32_t day)
{
	const struct limit_use use = { .minute = { minute_used, minute, false, NULL },
		.day = { day_used, day, false, NULL } };
	const struct sched_better b = just_now();
	struct sched_room room = sched_room_of(ALL, &use, &b, at_s(1));

	assert_int_equal(room.wanted, ALL);
	return room.wanted_bulk;
}

static void bulk_leaves_a_tenth_of_a_minute(void **state)
{
	(void)state;
	assert_int_equal(bulk_of(26, 30, 0, 0), ALL);
	assert_int_equal(bulk_of(27, 30, 0, 0), 0);
	/* Rounded up. */
	assert_int_equal(bulk_of(20, 24, 0, 0), ALL);
	assert_int_equal(bulk_of(21, 24, 0, 0), 0);
	assert_int_equal(bulk_of(0, 2, 0, 0), ALL);
	assert_int_equal(bulk_of(1, 2, 0, 0), 0);
	/* Never the whole. */
	assert_int_equal(bulk_of(0, 1, 0, 0), ALL);
	/* No limit, no headroom. */
	assert_int_equal(bulk_of(1000000, 0, 1000000, 0), ALL);
}

static void bulk_leaves_a_fiftieth_of_a_day(void **state)
{
	(void)state;
	assert_int_equal(bulk_of(0, 30, 9000, 10000), ALL);
	assert_int_equal(bulk_of(0, 30, 9700, 10000), 100);
	assert_int_equal(bulk_of(0, 30, 9800, 10000), 0);
	assert_int_equal(bulk_of(0, 30, 10100, 10000), 0);
	assert_int_equal(bulk_of(0, 0, 0, 1), 1);
}

static void only_where_better_mail_left_within_a_day(void **state)
{
	const struct limit_use use = { .minute = { 29, 30, false, NULL },
		.day = { 9400, 10000, false, NULL } };
	struct sched_better b = { 0 };

	(void)state;
	assert_int_equal(sched_room_of(ALL, &use, &never, at_s(0)).wanted_bulk, ALL);
	sched_better_left(&b, MAIL_CLASS_BULK, at_s(0));
	assert_int_equal(sched_room_of(ALL, &use, &b, at_s(0)).wanted_bulk, ALL);
	sched_better_left(&b, MAIL_CLASS_NORMAL, at_s(0));
	assert_int_equal(sched_room_of(ALL, &use, &b, at_s(86399)).wanted_bulk, 0);
	assert_int_equal(sched_room_of(ALL, &use, &b, at_s(86400)).wanted_bulk, ALL);
	/* What is full is full for all. */
	assert_int_equal(sched_room_of(0, &use, &b, at_s(0)).wanted, 0);
	assert_int_equal(sched_room_of(0, &use, &never, at_s(0)).wanted_bulk, 0);
}

/* ---- with windows ---- */

static struct sched_flow *flow(struct mailbox *m, enum mail_class class)
{
	return flow_of(m->order, "m:a", class, "");
}

/* Of which class the next message is that leaves; -1: none may. */
static int leave(struct mailbox *m, struct mono_time now)
{
	const struct sched_flow *f = mailbox_leave(m, now, (struct wall_time){ (int64_t)now.us });

	if (!f)
		return -1;
	sched_better_left(&m->better, sched_flow_key(f)->class, now);
	return (int)sched_flow_key(f)->class;
}

static unsigned leave_all(struct mailbox *m, struct mono_time now)
{
	unsigned bulk = 0;
	int class;

	while ((class = leave(m, now)) >= 0)
		bulk += class == MAIL_CLASS_BULK;
	return bulk;
}

/* At `minute` a minute for ten minutes, of which headroom leaves so many percent. */
static void use_of_bulk(uint32_t minute, uint32_t percent)
{
	struct mailbox m;
	unsigned bulk = 0;

	mailbox_open(&m, at_s(0), minute, 0);
	sched_flow_add(flow(&m, MAIL_CLASS_BULK), 100000, (struct wall_time){ 0 });
	m.better = just_now();
	for (unsigned s = 0; s < 600; s++)
		bulk += leave_all(&m, at_s(s));
	assert_in_range(bulk, minute * 10 * percent / 100, minute * 10);
	mailbox_close(&m);
}

static void bulk_uses_nearly_all(void **state)
{
	(void)state;
	use_of_bulk(1, 100);
	use_of_bulk(2, 50);
	use_of_bulk(10, 90);
	use_of_bulk(14, 85);
	use_of_bulk(24, 85);
	use_of_bulk(30, 85);
	use_of_bulk(60, 85);
	use_of_bulk(1000, 85);
}

/*
 * While 100,000 newsletters wait, resets come at any time, never more within a minute than there is headroom for: each leaves in the
 * second in which it comes.
 */
static void no_reset_waits_for_newsletters(void **state)
{
	enum {
		MINUTE = 30,
		KEPT = 3
	};

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		uint64_t last[KEPT] = { 0 };
		struct mailbox m;
		struct prng rng;
		size_t resets = 0;

		prng_seed(&rng, seed);
		mailbox_open(&m, at_s(0), MINUTE, 0);
		sched_flow_add(flow(&m, MAIL_CLASS_BULK), 100000, (struct wall_time){ 0 });
		m.better = just_now();
		for (uint64_t s = 100; s < 4000; s++) {
			(void)leave_all(&m, at_s(s));
			if (prng_below(&rng, 20) > 0 || s <= last[resets % KEPT] + 61)
				continue;
			last[resets++ % KEPT] = s;
			sched_flow_add(
				flow(&m, MAIL_CLASS_TRANSACTIONAL), 1, (struct wall_time){ 0 });
			if (leave(&m, at_s(s)) != MAIL_CLASS_TRANSACTIONAL)
				fail_msg("seed %u: second %u", (unsigned)seed, (unsigned)s);
		}
		assert_true(resets > 100);
		mailbox_close(&m);
	}
}

static void at_one_a_minute_the_class_alone_decides(void **state)
{
	struct mailbox m;

	(void)state;
	mailbox_open(&m, at_s(0), 1, 0);
	m.better = just_now();
	sched_flow_add(flow(&m, MAIL_CLASS_BULK), 100, (struct wall_time){ 0 });
	sched_flow_add(flow(&m, MAIL_CLASS_TRANSACTIONAL), 2, (struct wall_time){ 0 });
	assert_int_equal(leave(&m, at_s(0)), MAIL_CLASS_TRANSACTIONAL);
	assert_int_equal(leave(&m, at_s(59)), -1);
	/* One of a hundred and one is bulk's, and it has waited for as long. */
	assert_true(leave(&m, at_s(61)) >= 0);
	assert_true(leave(&m, at_s(122)) >= 0);
	assert_int_equal(sched_flow_waiting(flow(&m, MAIL_CLASS_TRANSACTIONAL)), 0);
	assert_int_equal(leave(&m, at_s(183)), MAIL_CLASS_BULK);
	mailbox_close(&m);
}

/* Better mail could fill every minute: of a hundred and one takes one is bulk's all the same. */
static void bulk_never_starves(void **state)
{
	struct mailbox m;
	unsigned bulk = 0;

	(void)state;
	mailbox_open(&m, at_s(0), 60, 0);
	m.better = just_now();
	sched_flow_add(flow(&m, MAIL_CLASS_BULK), 100000, (struct wall_time){ 0 });
	sched_flow_add(flow(&m, MAIL_CLASS_TRANSACTIONAL), 100000, (struct wall_time){ 0 });
	for (unsigned s = 0; s < 1010; s++)
		bulk += leave_all(&m, at_s(s));
	assert_in_range(bulk, 9, 11);
	mailbox_close(&m);
}

static void bulk_is_told_when_it_has_room(void **state)
{
	struct mailbox m;
	struct mono_time at;

	(void)state;
	mailbox_open(&m, at_s(0), 30, 0);
	sched_flow_add(flow(&m, MAIL_CLASS_BULK), 100, (struct wall_time){ 0 });
	assert_true(sched_room_bulk_at(&m.limits, LIMIT_BOTH, &m.better, at_s(0)).us == at_s(0).us);
	m.better = just_now();
	for (unsigned s = 0; s < 27; s++)
		assert_int_equal(leave(&m, at_s(s)), MAIL_CLASS_BULK);
	assert_int_equal(leave(&m, at_s(27)), -1);
	at = sched_room_bulk_at(&m.limits, LIMIT_BOTH, &m.better, at_s(27));
	assert_true(at.us == at_s(60).us);
	assert_true(limit_set_room_at(&m.limits, LIMIT_BOTH, at_s(27)).us == at_s(27).us);
	/* Or once nothing better has left for a day. */
	m.better.at.us = at_s(40).us - US_PER_DAY;
	assert_true(
		sched_room_bulk_at(&m.limits, LIMIT_BOTH, &m.better, at_s(27)).us == at_s(40).us);
	assert_int_equal(leave(&m, at_s(39)), -1);
	m.better = just_now();
	assert_int_equal(leave(&m, (struct mono_time){ at.us - 1 }), -1);
	assert_int_equal(leave(&m, at), MAIL_CLASS_BULK);
	mailbox_close(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bulk_leaves_a_tenth_of_a_minute),
		cmocka_unit_test(bulk_leaves_a_fiftieth_of_a_day),
		cmocka_unit_test(only_where_better_mail_left_within_a_day),
		cmocka_unit_test(bulk_uses_nearly_all),
		cmocka_unit_test(no_reset_waits_for_newsletters),
		cmocka_unit_test(at_one_a_minute_the_class_alone_decides),
		cmocka_unit_test(bulk_never_starves),
		cmocka_unit_test(bulk_is_told_when_it_has_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
