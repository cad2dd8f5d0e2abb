/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/simulate.h"

#include "base/rng.h"

#include "cmocka_all.h"

/* 2026-12-01 and 2028-02-27, midnight. */
#define DECEMBER ((struct wall_time){ INT64_C(1796083200) * (int64_t)US_PER_S })
#define LEAP ((struct wall_time){ INT64_C(1835222400) * (int64_t)US_PER_S })

/* At Exchange's own ceilings: nothing is left for an error. */
static struct simulate_options at_ceilings(uint64_t seed, uint32_t days, uint32_t each)
{
	return (struct simulate_options){ .seed = seed,
		.days = days,
		.mailboxes = 2,
		.tenants = 1,
		.each_per_day = each,
		.batch = 120,
		.alike = { .messages_per_minute = 30,
			.recipients_per_day = 10000,
			.connections = 3 },
		.external_per_day = 1000000,
		.start = DECEMBER,
		.defer_percent = 10,
		.trouble_permille = 10,
		.delay_us_max = 5 * US_PER_S };
}

struct days {
	struct simulate_day list[16];
	size_t count;
};

static void keep(void *arg, const struct simulate_day *d)
{
	struct days *all = arg;

	assert_true(all->count < COUNT_OF(all->list));
	all->list[all->count++] = *d;
}

static struct simulate_total run(const struct simulate_options *o, struct days *out)
{
	struct simulate_total t;

	*out = (struct days){ 0 };
	simulate_run(o, keep, out, &t);
	return t;
}

static void no_limit_was_broken(const struct simulate_options *o, const struct simulate_total *t)
{
	if (t->sum.violations)
		fail_msg("seed %u: %s", (unsigned)o->seed, t->first_violation);
}

static void same_seed_same_days(void **state)
{
	struct simulate_options o = at_ceilings(7, 3, 200);
	struct days one, two, other;

	(void)state;
	(void)run(&o, &one);
	(void)run(&o, &two);
	o.seed = 8;
	(void)run(&o, &other);
	for (size_t i = 0; i < one.count; i++) {
		assert_int_equal(one.list[i].deferred, two.list[i].deferred);
		assert_int_equal(one.list[i].uncertain, two.list[i].uncertain);
		assert_int_equal(one.list[i].used[SIMULATE_DAY], two.list[i].used[SIMULATE_DAY]);
	}
	assert_int_not_equal(one.list[1].deferred, other.list[1].deferred);
}

static void all_that_came_has_left_or_waits(void **state)
{
	const struct simulate_options o = at_ceilings(1, 5, 300);
	struct days days;
	const struct simulate_total t = run(&o, &days);

	(void)state;
	no_limit_was_broken(&o, &t);
	assert_int_equal(t.sum.came, 3000);
	assert_int_equal(t.sum.came, t.sum.sent + t.sum.waiting + t.sum.bounced + t.sum.held);
	assert_true(t.sum.deferred > 20);
	/* A minute was used up, and never more than that. */
	assert_int_equal(t.sum.used[SIMULATE_MINUTE], 30);
	assert_string_equal(days.list[4].date, "2026-12-05");
}

/* What a relay does that takes more than there is. */
static void the_judge_sees_it(void **state)
{
	struct simulate_options o = at_ceilings(1, 1, 300);
	struct days days;
	struct simulate_total t;

	(void)state;
	o.alike.messages_per_minute = 31;
	t = run(&o, &days);
	assert_true(t.sum.violations > 0);
	assert_non_null(strstr(t.first_violation, "messages-per-minute of m"));
}

static void a_day_is_used_up(void **state)
{
	struct simulate_options o = at_ceilings(3, 3, 12000);
	struct days days;
	struct simulate_total t;

	(void)state;
	o.mailboxes = 1;
	o.batch = 12000;
	t = run(&o, &days);
	no_limit_was_broken(&o, &t);
	assert_true(t.sum.used[SIMULATE_DAY] > 9900);
	assert_true(t.sum.waiting > 1000);
}

/* A day of 23 hours is no reason to send 24 hours' mail in it. */
static void clocks_of_people_change(void **state)
{
	static const struct {
		int32_t minutes;
		uint32_t hours;
	} rows[] = { { 60, 23 }, { -60, 25 } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct simulate_options o = at_ceilings(i, 4, 10500);
		struct days days;
		struct simulate_total t;

		o.mailboxes = 1;
		o.batch = 10500;
		o.shift_day = 3;
		o.shift_minutes = rows[i].minutes;
		t = run(&o, &days);
		no_limit_was_broken(&o, &t);
		assert_int_equal(days.list[1].hours, 24);
		assert_int_equal(days.list[2].hours, rows[i].hours);
		assert_int_equal(days.list[3].hours, 24);
		assert_true(days.list[3].came == 10500);
	}
}

static void leap_day_two_tenants_and_other_doors(void **state)
{
	struct simulate_options o = at_ceilings(5, 4, 2000);
	struct days days;
	struct simulate_total t;

	(void)state;
	o.start = LEAP;
	o.mailboxes = 4;
	o.tenants = 2;
	o.door_day = 2;
	o.restarts = 1;
	t = run(&o, &days);
	no_limit_was_broken(&o, &t);
	assert_string_equal(days.list[2].date, "2028-02-29");
	assert_string_equal(days.list[3].date, "2028-03-01");
	assert_int_equal(t.sum.came, t.sum.sent + t.sum.waiting + t.sum.bounced + t.sum.held);
}

/* The tenant's limit stops all of its mailboxes, and not the other tenant. */
static void a_tenant_is_full(void **state)
{
	struct simulate_options o = at_ceilings(2, 2, 400);
	struct days days;
	struct simulate_total t;

	(void)state;
	o.external_per_day = 300;
	t = run(&o, &days);
	assert_int_equal(t.sum.used[SIMULATE_TENANT], 300);
	assert_true(days.list[0].sent <= 300 && days.list[0].sent > 200);
	assert_true(t.sum.waiting > 800);
}

/* As a configuration has it: a mailbox of each kind, tenants of each kind. */
static void each_mailbox_has_its_own(void **state)
{
	static const struct simulate_box boxes[] = {
		{ 1, 5, 10000, 1, false },
		{ 0, 30, 10000, 3, false },
		{ 1, 0, 150, 3, true },
	};
	static const struct provider_tenant tenants[] = {
		{ .external_per_day = 250, .age_days = PROVIDER_AGE_UNKNOWN },
		{ .licences = 3, .age_days = PROVIDER_AGE_UNKNOWN },
	};
	struct simulate_options o = at_ceilings(4, 1, 400);
	struct days days;
	struct simulate_total t;

	(void)state;
	o.boxes = boxes;
	o.tenant_is = tenants;
	o.mailboxes = COUNT_OF(boxes);
	o.tenants = COUNT_OF(tenants);
	o.external_per_day = 0;
	t = run(&o, &days);
	no_limit_was_broken(&o, &t);
	/* All of the first; of the second its tenant's, of the third its own: tries that were deferred count there, too. */
	assert_true(t.sum.sent > 400 + 180 + 100 && t.sum.sent <= 400 + 250 + 150);
	assert_int_equal(t.sum.came, t.sum.sent + t.sum.waiting + t.sum.bounced + t.sum.held);
	/* What is shown is that of the tenant that is nearest to its limit. */
	assert_int_equal(t.sum.used[SIMULATE_TENANT], 250);
	assert_int_equal(t.sum.allowed[SIMULATE_TENANT], 250);
}

/* Kills, clocks that are set, slow lines: the property of which 10^5 days were run by hand (docs/simulate.md). */
static void many_days_with_faults(void **state)
{
	struct prng rng;

	(void)state;
	prng_seed(&rng, 11);
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct simulate_options o =
			at_ceilings(seed, 10, 40 + (uint32_t)prng_below(&rng, 300));
		struct days days;
		struct simulate_total t;

		o.batch = 1 + (uint32_t)prng_below(&rng, 200);
		o.restarts = (uint32_t)prng_below(&rng, 20);
		o.clock_steps = (uint32_t)prng_below(&rng, 5);
		o.door_day = (uint32_t)prng_below(&rng, 10);
		t = run(&o, &days);
		no_limit_was_broken(&o, &t);
		assert_int_equal(
			t.sum.came, t.sum.sent + t.sum.waiting + t.sum.bounced + t.sum.held);
	}
}

static void a_line_a_day(void **state)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(8192);
	const struct simulate_options o = at_ceilings(1, 1, 100);
	struct days days;
	const struct simulate_total t = run(&o, &days);
	struct sv rest, line;

	(void)state;
	assert_int_equal(simulate_write_head(&text), 0);
	assert_int_equal(simulate_write_day(&days.list[0], &text), 0);
	rest = buf_sv(&text);
	while (sv_cut_char(&rest, '\n', &line))
		assert_true(line.len < 100);
	assert_int_equal(simulate_write_total(&o, &t, &text), 0);
	assert_true(sv_find(buf_sv(&text), SV("limits broken: 0")) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_seed_same_days),
		cmocka_unit_test(all_that_came_has_left_or_waits),
		cmocka_unit_test(the_judge_sees_it),
		cmocka_unit_test(a_day_is_used_up),
		cmocka_unit_test(clocks_of_people_change),
		cmocka_unit_test(leap_day_two_tenants_and_other_doors),
		cmocka_unit_test(a_tenant_is_full),
		cmocka_unit_test(each_mailbox_has_its_own),
		cmocka_unit_test(many_days_with_faults),
		cmocka_unit_test(a_line_a_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
