/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/plan.h"

#include "base/err.h"
#include "base/rng.h"

#include "cmocka_all.h"

static struct plan_ask ask_of(uint64_t a_day, uint32_t mailboxes, uint32_t each)
{
	struct plan_ask ask = { .volume = a_day,
		.per_us = US_PER_DAY,
		.recipients_per_message = 1,
		.external_percent = 100,
		.share_percent = PLAN_SHARE_USUAL,
		.fixed = mailboxes > 0,
		.group_count = 1,
		.tenant_count = 1 };

	ask.groups[0] = plan_group_of(PROVIDER_SUBMISSION, PLAN_SHARE_USUAL);
	ask.groups[0].count = mailboxes;
	ask.groups[0].each_per_day = each;
	if (!mailboxes)
		ask.groups[0].count = 1;
	ask.tenants[0] =
		(struct plan_tenant){ .is.age_days = PROVIDER_AGE_UNKNOWN, .licence_each = true };
	return ask;
}

static struct plan plan_of(const struct plan_ask *ask)
{
	struct err err = { 0 };
	struct plan p;

	assert_int_equal(plan_compute(ask, &p, &err), 0);
	return p;
}

static struct plan_line line(const struct plan *p, const char *name)
{
	for (size_t i = 0; i < p->line_count; i++)
		if (strcmp(p->lines[i].name, name) == 0)
			return p->lines[i];
	fail_msg("no line %s", name);
	return (struct plan_line){ 0 };
}

static const char *first(const struct plan *p)
{
	for (size_t i = 0; i < p->line_count; i++)
		if (p->lines[i].binds)
			return p->lines[i].name;
	return "";
}

/* The example of docs/plan.md. */
static void a_thousand_strangers_a_day(void **state)
{
	const struct plan_ask ask = ask_of(1000, 0, PLAN_EACH_USUAL);
	const struct plan p = plan_of(&ask);

	(void)state;
	assert_int_equal(p.mailboxes, 20);
	assert_int_equal(p.days, 1);
	assert_true(p.fits);
	assert_string_equal(first(&p), "each-day");
	assert_int_equal(line(&p, "each-day").mailboxes, 20);
	assert_int_equal(line(&p, "mailbox-day").mailboxes, 1);
	assert_int_equal(line(&p, "tenant-external").allowed, 10856);
	/* 20 times 24 a minute. */
	assert_int_equal(p.step_count, 3);
	assert_int_equal(p.steps[0].left, 480);
	assert_string_equal(p.steps[0].binds, "mailbox-minute");
	assert_int_equal(p.steps[2].left, 40);
	assert_string_equal(p.steps[2].binds, "");
	assert_int_equal(p.finished_us, 3 * US_PER_MIN);
}

static void one_mailbox_waits_for_its_day(void **state)
{
	const struct plan_ask ask = ask_of(30000, 1, 0);
	const struct plan p = plan_of(&ask);

	(void)state;
	assert_false(p.fits);
	assert_int_equal(p.days, 0);
	assert_int_equal(p.carries, 8000);
	assert_string_equal(first(&p), "mailbox-day");
	/* 24 a minute until 8,000: in the quarter from 5:30. */
	assert_int_equal(p.step_us, 15 * US_PER_MIN);
	assert_int_equal(p.step_count, 24);
	assert_int_equal(p.steps[0].left, 360);
	assert_string_equal(p.steps[0].binds, "mailbox-minute");
	assert_int_equal(p.steps[22].left, 80);
	assert_string_equal(p.steps[22].binds, "mailbox-day");
	assert_int_equal(p.steps[23].left, 0);
	assert_string_equal(p.steps[23].binds, "mailbox-day");
}

static void a_tenant_binds_and_names_its_licences(void **state)
{
	struct plan_ask ask = ask_of(30000, 0, 0);
	struct plan p;

	(void)state;
	ask.tenants[0].licence_each = false;
	ask.tenants[0].is.licences = 1;
	p = plan_of(&ask);
	assert_string_equal(first(&p), "tenant-external");
	assert_int_equal(p.mailboxes, 4); /* by their own limits */
	assert_int_equal(p.carries, 8000);
	assert_false(p.fits);
	assert_int_equal(p.licences, 315);
	ask.tenants[0].is.licences = 315;
	p = plan_of(&ask);
	assert_true(p.fits);
	assert_int_equal(p.licences, 0);
	/* Half of it stays inside, and counts for the mailboxes only. */
	ask.tenants[0].is.licences = 70;
	ask.external_percent = 50;
	assert_true(plan_of(&ask).fits);
	ask.tenants[0].is.trial = true;
	p = plan_of(&ask);
	assert_int_equal(p.carries, 800);
	assert_int_equal(p.licences, 0);
	ask.tenants[0].is.trial = false;
	ask.tenants[0].onmicrosoft = true;
	p = plan_of(&ask);
	assert_string_equal(first(&p), "onmicrosoft-external");
	assert_int_equal(p.carries, 160);
}

static void once_in_days(void **state)
{
	struct plan_ask ask = ask_of(24000, 0, PLAN_EACH_USUAL);
	struct plan p;

	(void)state;
	ask.per_us = 0;
	ask.in_days = 20;
	p = plan_of(&ask);
	assert_int_equal(p.mailboxes, 24);
	assert_int_equal(p.days, 20);
	ask.fixed = true;
	ask.groups[0].count = 10;
	p = plan_of(&ask);
	assert_int_equal(p.days, 48);
	assert_false(p.fits);
	ask.in_days = 0;
	assert_true(plan_of(&ask).fits);
	/* So many days that it never ends: no division of nothing. */
	ask.volume = UINT32_MAX;
	p = plan_of(&ask);
	assert_false(p.fits);
	assert_int_equal(p.finished_us, 0);
}

static void two_tenants_and_different_mailboxes(void **state)
{
	struct plan_ask ask = ask_of(9000, 1, 0);
	struct plan p;

	(void)state;
	ask.group_count = ask.tenant_count = 2;
	ask.groups[1] = ask.groups[0];
	ask.groups[1].tenant = 1;
	ask.groups[1].recipients_per_day = 500;
	ask.tenants[1] = ask.tenants[0];
	p = plan_of(&ask);
	assert_int_equal(p.mailboxes, 2);
	assert_int_equal(p.carries, 8500);
	assert_int_equal(line(&p, "mailbox-day").allowed, 0); /* differs */
	assert_int_equal(line(&p, "tenant-external").carries, 16000);
}

/* What goes past a limit is nothing that the limit binds. */
static void a_connector_beside_a_mailbox(void **state)
{
	struct plan_ask ask = ask_of(1000, 1, 50);
	struct plan p;

	(void)state;
	ask.group_count = 2;
	ask.groups[1] = plan_group_of(PROVIDER_SMTP, PLAN_SHARE_USUAL);
	ask.groups[1].count = 1;
	ask.groups[1].is_connector = true;
	p = plan_of(&ask);
	assert_true(p.fits);
	assert_string_equal(first(&p), "");
	assert_int_equal(line(&p, "each-day").percent, 0);
	ask.groups[1].recipients_per_day = 100;
	p = plan_of(&ask);
	assert_false(p.fits);
	assert_int_equal(p.carries, 150);
	assert_int_equal(line(&p, "each-day").carries, 50);
	assert_int_equal(line(&p, "each-day").percent, 1800);
	assert_string_equal(first(&p), "each-day");
}

static void questions_without_sense(void **state)
{
	struct plan_ask ask = ask_of(1, 1, 0);
	struct err err = { 0 };
	struct plan p;

	(void)state;
	ask.volume = 0;
	assert_int_equal(plan_compute(&ask, &p, &err), RC_STATE);
	ask.volume = 1;
	ask.group_count = 0;
	assert_int_equal(plan_compute(&ask, &p, &err), RC_STATE);
	ask = ask_of(1, PLAN_MAILBOXES_MAX + 1, 0);
	assert_int_equal(plan_compute(&ask, &p, &err), RC_STATE);
}

static void volumes(void **state)
{
	static const char *const bad[] = { "",
		"x",
		"1000/",
		"1000/month",
		"/day",
		"1000 /day",
		"-1",
		"1,000/day",
		"1000/day/day",
		"99999999999/day" };
	uint64_t volume, per;

	(void)state;
	assert_int_equal(plan_parse_volume(SV("1000/day"), &volume, &per), 0);
	assert_true(volume == 1000 && per == US_PER_DAY);
	assert_int_equal(plan_parse_volume(SV("50/hour"), &volume, &per), 0);
	assert_true(volume == 50 && per == US_PER_HOUR);
	assert_int_equal(plan_parse_volume(SV("7000/week"), &volume, &per), 0);
	assert_true(per == 7 * US_PER_DAY);
	assert_int_equal(plan_parse_volume(SV("24000"), &volume, &per), 0);
	assert_true(volume == 24000 && per == 0);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_true(plan_parse_volume(sv_from(bad[i]), &volume, &per) != 0);
}

/* Whatever is asked: no limit is passed, nothing is lost, and one mailbox less would not do. */
static void any_question(void **state)
{
	struct prng rng;

	(void)state;
	prng_seed(&rng, 7);
	for (int i = 0; i < 300; i++) {
		struct plan_ask ask = ask_of(1 + prng_below(&rng, 60000),
			0,
			prng_below(&rng, 2) ? 1 + (uint32_t)prng_below(&rng, 200) : 0);
		uint64_t sum = 0;
		struct plan p;

		ask.recipients_per_message = 1 + (uint32_t)prng_below(&rng, 5);
		ask.external_percent = (uint32_t)prng_below(&rng, 101);
		p = plan_of(&ask);
		assert_true(p.fits);
		for (size_t k = 0; k < p.step_count; k++)
			sum += p.steps[k].left;
		assert_int_equal(sum, ask.volume);
		for (size_t k = 0; k < p.line_count; k++)
			assert_true(p.lines[k].carries >= ask.volume);
		if (p.mailboxes == 1)
			continue;
		ask.fixed = true;
		ask.groups[0].count = p.mailboxes - 1;
		p = plan_of(&ask);
		assert_false(p.fits);
		assert_true(p.carries < ask.volume);
	}
}

static void bars_and_words(void **state)
{
	CLEANUP(buf_deinitp) struct buf plain = BUF_INIT(65536), shown = BUF_INIT(65536);
	const struct plan_ask ask = ask_of(1000, 0, PLAN_EACH_USUAL);
	const struct plan p = plan_of(&ask);
	struct sv text, row;

	(void)state;
	assert_int_equal(plan_write(&ask, &p, &(struct plan_style){ false, 80 }, &plain), 0);
	assert_int_equal(plan_write(&ask, &p, &(struct plan_style){ true, 80 }, &shown), 0);
	text = buf_sv(&plain);
	assert_true(sv_find(text, SV("20 mailboxes")) > 0 && sv_find(text, SV("####")) > 0);
	assert_true(sv_find(text, SV("Do not do that")) > 0);
	for (size_t i = 0; i < text.len; i++)
		assert_true(text.ptr[i] == '\n' || (text.ptr[i] >= ' ' && text.ptr[i] <= '~'));
	while (sv_cut_char(&text, '\n', &row))
		assert_true(row.len <= 80);
	assert_true(sv_find(buf_sv(&shown), SV("\u2588")) > 0);
	assert_true(sv_find(buf_sv(&shown), SV("#")) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thousand_strangers_a_day),
		cmocka_unit_test(one_mailbox_waits_for_its_day),
		cmocka_unit_test(a_tenant_binds_and_names_its_licences),
		cmocka_unit_test(once_in_days),
		cmocka_unit_test(two_tenants_and_different_mailboxes),
		cmocka_unit_test(a_connector_beside_a_mailbox),
		cmocka_unit_test(questions_without_sense),
		cmocka_unit_test(volumes),
		cmocka_unit_test(any_question),
		cmocka_unit_test(bars_and_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
