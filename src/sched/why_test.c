/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/why.h"

#include "base/rng.h"
#include "sched/test_mailbox.h"

#include "cmocka_all.h"

/* Why mail waits, and about how long. */

#define NOW AT(1000)
#define MONO ((struct mono_time){ US_PER_DAY })

static struct sched_flow *flow(
	struct sched_order *o, enum mail_class class, const char *who, uint32_t waiting)
{
	struct sched_flow *f = flow_of(o, "m:a\nm:b", class, who);

	/* Told of the time. */
	(void)sched_wake(o, NOW);
	if (waiting)
		sched_flow_add(f, waiting, AT(0));
	return f;
}

static struct sched_reason ask(const struct sched_flow *f, uint64_t before)
{
	return sched_why(
		&(struct sched_question){ .flow = f, .before = before, .due = AT(0), .now = NOW });
}

static void a_hold_comes_before_all_else(void **state)
{
	struct sched_taker_state s = ready;
	struct sched_order *o = sched_order_new(1);
	struct sched_flow *f = flow(o, MAIL_CLASS_NORMAL, "erp", 1);
	const struct limit_use full = { .minute = { 30, 30, false, NULL },
		.day = { 10000, 10000, false, NULL } };
	struct sched_taker *a, *b;
	struct sched_reason r;

	(void)state;
	r = ask(f, 0);
	assert_int_equal(r.why, SCHED_WHY_NO_DOOR);
	assert_null(r.taker);
	a = door(o, "m:a", 0);
	b = door(o, "m:b", 0);
	assert_int_equal(ask(f, 0).why, SCHED_WHY_NEXT);
	s.held = true;
	sched_taker_set(a, &s);
	r = ask(f, 0);
	assert_int_equal(r.why, SCHED_WHY_HELD);
	assert_ptr_equal(r.taker, a);
	/* No limit is to blame. */
	sched_why_limits(&r, &full, MONO, mono_add(MONO, US_PER_MIN));
	assert_int_equal(r.why, SCHED_WHY_HELD);
	assert_true(r.wait_us == UINT64_MAX);
	s.may_elsewhere = true;
	sched_taker_set(a, &s);
	r = ask(f, 0);
	assert_int_equal(r.why, SCHED_WHY_NEXT);
	assert_ptr_equal(r.taker, b);
	/* Where nobody has it, the first is to blame. */
	sched_taker_set(b, &s);
	assert_int_equal(ask(f, 0).why, SCHED_WHY_HELD);
	assert_ptr_equal(ask(f, 0).taker, a);
	sched_order_free(o);
}

static void senders_the_outside_and_due_times(void **state)
{
	struct sched_taker_state s = ready;
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0);
	const struct mail_flow key = {
		.queue = SV("m:a"), .external = true, .sender = SV("boss@example.com")
	};
	struct sched_flow *f = sched_flow_get(o, &key);
	struct sched_reason r;

	(void)state;
	sched_flow_add(f, 2, AT(0));
	s.external_held = true;
	sched_taker_set(a, &s);
	assert_int_equal(ask(f, 0).why, SCHED_WHY_EXTERNAL);
	sched_sender_set(a, key.sender, true);
	assert_int_equal(ask(f, 0).why, SCHED_WHY_SENDER);
	sched_taker_set(a, &ready);
	assert_int_equal(ask(f, 0).why, SCHED_WHY_SENDER);
	sched_sender_set(a, key.sender, false);
	r = sched_why(&(struct sched_question){ .flow = f, .due = AT(1090), .now = NOW });
	assert_int_equal(r.why, SCHED_WHY_DUE);
	assert_int_equal(r.wait_us, 90 * US_PER_S);
	assert_true(r.due.us == AT(1090).us);
	sched_order_free(o);
}

static struct sched_flow *one_in(struct sched_order *o, const char *queue, bool external)
{
	struct sched_flow *f = sched_flow_get(
		o, &(struct mail_flow){ .queue = sv_from(queue), .external = external });

	sched_flow_add(f, 1, AT(0));
	return f;
}

/* One inside by a door that is free, one whose mailbox is parked, one outside of a tenant that may send nothing there. */
static void three_recipients_wait_for_three_reasons(void **state)
{
	const struct sched_taker_state parked = { .is_configured = true, .held = true },
				       inside = { .is_configured = true, .external_held = true };
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *hve = door(o, "m:hve", 0), *b = door(o, "m:b", 0),
			   *c = door(o, "m:c", 0);
	const struct sched_flow *first = one_in(o, "m:hve", false), *second, *third;

	(void)state;
	second = one_in(o, "m:b", false);
	third = one_in(o, "m:c", true);
	sched_taker_set(b, &parked);
	sched_taker_set(c, &inside);
	assert_int_equal(ask(first, 0).why, SCHED_WHY_NEXT);
	assert_ptr_equal(ask(first, 0).taker, hve);
	assert_int_equal(ask(second, 0).why, SCHED_WHY_HELD);
	assert_ptr_equal(ask(second, 0).taker, b);
	assert_int_equal(ask(third, 0).why, SCHED_WHY_EXTERNAL);
	assert_ptr_equal(ask(third, 0).taker, c);
	/* Each goes on by itself. */
	sched_taker_set(c, &ready);
	assert_int_equal(ask(second, 0).why, SCHED_WHY_HELD);
	assert_int_equal(ask(third, 0).why, SCHED_WHY_NEXT);
	sched_order_free(o);
}

static void the_minute_the_day_or_its_turn(void **state)
{
	static const struct limit_use
		minute = { .minute = { 24, 24, false, NULL }, .day = { 500, 10000, false, NULL } },
		day = { .minute = { 3, 24, false, NULL }, .day = { 10000, 10000, false, NULL } },
		some = { .minute = { 4, 24, false, NULL }, .day = { 500, 10000, false, NULL } },
		little = { .minute = { 4, 24, false, NULL }, .day = { 9990, 10000, false, NULL } },
		none = { 0 },
		messages = { .minute = { 3, 24, false, NULL },
			.day_messages = { 2000, 2000, false, NULL } },
		shut = { .minute = { 3, 24, false, NULL }, .day = { 0, 0, true, NULL } };
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0);
	struct sched_flow *f = flow(o, MAIL_CLASS_NORMAL, "erp", 1001);
	struct sched_reason r = ask(f, 1000);

	(void)state;
	assert_int_equal(r.why, SCHED_WHY_TURN);
	assert_int_equal(r.ahead, 1000);
	sched_why_limits(&r, &minute, MONO, mono_add(MONO, 10 * US_PER_S));
	assert_int_equal(r.why, SCHED_WHY_MINUTE);
	assert_ptr_equal(r.taker, a);
	assert_int_equal(r.binding, SCHED_LIMIT_MINUTE);
	assert_int_equal(r.rate, 24);
	assert_int_equal(r.wait_us / US_PER_MIN, 41);
	r = ask(f, 0);
	sched_why_limits(&r, &day, MONO, mono_add(MONO, 3 * US_PER_HOUR));
	assert_int_equal(r.why, SCHED_WHY_DAY);
	assert_int_equal(r.binding, SCHED_LIMIT_DAY);
	assert_int_equal(r.wait_us, 3 * US_PER_HOUR);
	r = ask(f, 0);
	sched_why_limits(&r, &some, MONO, MONO);
	assert_int_equal(r.why, SCHED_WHY_NEXT);
	assert_int_equal(r.wait_us, 0);
	assert_int_equal(r.binding, SCHED_LIMIT_NONE);
	/* It has slots now, but not so many; then it is the day that counts. */
	r = ask(f, 1000);
	sched_why_limits(&r, &some, MONO, MONO);
	assert_int_equal(r.why, SCHED_WHY_TURN);
	assert_int_equal(r.binding, SCHED_LIMIT_MINUTE);
	r = ask(f, 1000);
	sched_why_limits(&r, &little, MONO, MONO);
	assert_int_equal(r.binding, SCHED_LIMIT_DAY);
	assert_int_equal(r.rate, 10000);
	/* Messages of a day, and what a reply has shut: nobody knows how much that window has. */
	r = ask(f, 0);
	sched_why_limits(&r, &messages, MONO, mono_add(MONO, 3 * US_PER_HOUR));
	assert_int_equal(r.why, SCHED_WHY_DAY);
	assert_int_equal(r.binding, SCHED_LIMIT_DAY_MESSAGES);
	assert_int_equal(r.rate, 2000);
	r = ask(f, 0);
	sched_why_limits(&r, &shut, MONO, mono_add(MONO, 3 * US_PER_HOUR));
	assert_int_equal(r.why, SCHED_WHY_DAY);
	assert_int_equal(r.wait_us, 3 * US_PER_HOUR);
	assert_int_equal(r.binding, SCHED_LIMIT_NONE);
	r = ask(f, 1000);
	sched_why_limits(&r, &none, MONO, MONO);
	assert_int_equal(r.why, SCHED_WHY_TURN);
	assert_true(r.wait_us == UINT64_MAX);
	assert_int_equal(r.binding, SCHED_LIMIT_NONE);
	assert_string_equal(sched_why_name(r.why), "turn");
	sched_order_free(o);
}

static void a_flood_of_others_is_not_ahead(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_flow *f, *bulk;

	(void)state;
	(void)door(o, "m:a", 0);
	flow(o, MAIL_CLASS_NORMAL, "flood", 100000);
	flow(o, MAIL_CLASS_NORMAL, "some", 3);
	f = flow(o, MAIL_CLASS_NORMAL, "erp", 20);
	bulk = flow(o, MAIL_CLASS_BULK, "news", 1000);
	assert_int_equal(ask(f, 0).ahead, 2);
	assert_int_equal(ask(f, 9).ahead, 9 + 10 + 3);
	assert_int_equal(ask(bulk, 0).ahead, 10);
	assert_int_equal(ask(bulk, 99).ahead, 99 + 1000);
	sched_order_free(o);
}

/* ---- and is it so? ---- */

enum {
	MINUTE = 24,
	WHO = 4,
};

static struct sched_reason answer(struct mailbox *m, struct sched_flow *f, uint64_t before)
{
	const struct limit_use use = limit_set_use(&m->limits, LIMIT_BOTH, MONO);
	const struct limit_use for_bulk = sched_room_bulk_use(&use, &m->better, MONO);
	bool is_bulk = sched_flow_key(f)->class == MAIL_CLASS_BULK;
	struct sched_reason r = ask(f, before);

	sched_why_limits(&r,
		is_bulk ? &for_bulk : &use,
		MONO,
		is_bulk ? sched_room_bulk_at(&m->limits, LIMIT_BOTH, &m->better, MONO)
			: limit_set_room_at(&m->limits, LIMIT_BOTH, MONO));
	return r;
}

/* In steps of a second; UINT64_MAX: it never left. */
static uint64_t waited(struct mailbox *m, const struct sched_flow *f, uint64_t before)
{
	for (uint64_t s = 0; s < 100000; s++) {
		struct mono_time now = mono_add(MONO, s * US_PER_S);
		struct sched_flow *left;

		while ((left = mailbox_leave(m, now, NOW)) != NULL)
			if (left == f && before-- == 0)
				return s * US_PER_S;
	}
	return UINT64_MAX;
}

/* Random queues: what was said and what came differ by a fifth and a minute and a half. */
static void it_is_about_so(void **state)
{
	static const char *const who[WHO] = { "erp", "crm", "shop", "news" };

	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct sched_flow *flows[WHO];
		struct sched_reason r;
		struct mailbox m;
		struct prng rng;
		uint64_t before, real, off;
		size_t which;

		prng_seed(&rng, seed);
		mailbox_open(&m, MONO, MINUTE, 0);
		sched_better_left(&m.better, MAIL_CLASS_NORMAL, MONO);
		for (size_t i = 0; i < WHO; i++)
			flows[i] = flow(m.order,
				1 + (unsigned)prng_below(&rng, 2),
				who[i],
				1 + (uint32_t)prng_below(&rng, 800));
		for (uint64_t n = prng_below(&rng, MINUTE + 1); n > 0; n--)
			(void)mailbox_leave(&m, MONO, NOW);
		which = prng_below(&rng, WHO);
		if (sched_flow_waiting(flows[which]) == 0)
			sched_flow_add(flows[which], 1, AT(0));
		before = prng_below(&rng, sched_flow_waiting(flows[which]));
		r = answer(&m, flows[which], before);
		real = waited(&m, flows[which], before);
		off = real > r.wait_us ? real - r.wait_us : r.wait_us - real;
		if (r.wait_us != UINT64_MAX && off > real / 5 + 90 * US_PER_S)
			fail_msg("seed %u: %s, %u s instead of %u s",
				(unsigned)seed,
				sched_why_name(r.why),
				(unsigned)(r.wait_us / US_PER_S),
				(unsigned)(real / US_PER_S));
		mailbox_close(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hold_comes_before_all_else),
		cmocka_unit_test(senders_the_outside_and_due_times),
		cmocka_unit_test(three_recipients_wait_for_three_reasons),
		cmocka_unit_test(the_minute_the_day_or_its_turn),
		cmocka_unit_test(a_flood_of_others_is_not_ahead),
		cmocka_unit_test(it_is_about_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
