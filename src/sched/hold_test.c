/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/hold.h"
#include "sched/lane.h"

#include "base/must.h"

#include "cmocka_all.h"

/* What is held, for how long, and who tries. hold_model_test.c has what is true of any schedule. */

static const struct sched_retry minutes = { US_PER_MIN, US_PER_HOUR };
static const struct verdict waits = { .kind = VERDICT_RETRY,
	.scope = VERDICT_SCOPE_ROUTE,
	.nature = VERDICT_NATURE_OUTAGE,
	.cause = CAUSE_TIMEOUT,
	.summary = "The server does not answer." };
static const struct verdict parks = { .kind = VERDICT_PARK,
	.scope = VERDICT_SCOPE_MAILBOX,
	.nature = VERDICT_NATURE_AUTHENTICATION,
	.cause = CAUSE_SMTP_AUTH_OFF,
	.summary = "SMTP AUTH is off." };
static const struct verdict banned = { .kind = VERDICT_PARK,
	.scope = VERDICT_SCOPE_MAILBOX,
	.nature = VERDICT_NATURE_REPUTATION,
	.cause = CAUSE_MAILBOX_RESTRICTED,
	.summary = "Restricted." };

struct table {
	struct sched_holds *holds;
	struct sched_lane *lanes[3]; /* the first two are of one tenant */
	struct prng rng;
	struct mono_time now;
};

static struct mono_time at_s(uint64_t s)
{
	return (struct mono_time){ (1000 + s) * US_PER_S };
}

static void open_table(struct table *t)
{
	static const char *const names[] = {
		"submission/a@x.test", "submission/b@x.test", "smtp/lab"
	};

	*t = (struct table){ .holds = sched_holds_new(), .now = at_s(0) };
	prng_seed(&t->rng, 7);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		t->lanes[i] = sched_lane_new(t->holds, sv_from(names[i]));
		sched_lane_set(t->lanes[i], i < 2 ? SV("contoso") : SV(""), i < 2);
	}
}

static void close_table(struct table *t)
{
	for (size_t i = 0; i < COUNT_OF(t->lanes); i++)
		sched_lane_free(t->lanes[i]);
	sched_holds_free(t->holds);
}

static struct sched_hold *own(const struct table *t)
{
	return sched_lane_own(t->lanes[0]);
}

static unsigned hear(struct table *t, struct sched_hold *h, const struct verdict *v)
{
	return sched_hold_set(h,
		&(struct sched_heard){ .verdict = v,
			.reply = SV("no"),
			.retry = &minutes,
			.now = t->now,
			.rng = &t->rng });
}

/* The pause from now on. */
static uint64_t pause_of(struct table *t, struct sched_hold *h, const struct verdict *v)
{
	(void)hear(t, h, v);
	return mono_span(t->now, sched_hold_until(h, t->now));
}

/* Everything that has happened since it was asked last. */
static unsigned what_happened(struct table *t)
{
	struct sched_hold_event e;
	unsigned what = 0;

	while (sched_holds_next_event(t->holds, &e))
		what |= e.what;
	return what;
}

static struct mono_time later(struct mono_time t)
{
	return mono_add(t, 1);
}

static enum sched_lane_state state_of(const struct table *t)
{
	return sched_lane_state(t->lanes[0], t->now);
}

/* ---- one scope ---- */

static void a_waiting_lane_goes_on_by_itself(void **state)
{
	struct table t;
	uint64_t pause;

	(void)state;
	open_table(&t);
	assert_int_equal(state_of(&t), SCHED_LANE_READY);
	assert_true(sched_hold_until(own(&t), t.now).us == MONO_NEVER.us);
	pause = pause_of(&t, own(&t), &waits);
	assert_int_equal(state_of(&t), SCHED_LANE_WAITING);
	t.now.us += pause - 1;
	assert_int_equal(state_of(&t), SCHED_LANE_WAITING);
	assert_true(sched_lane_now(t.lanes[0], t.now).held);
	t.now.us++;
	assert_int_equal(state_of(&t), SCHED_LANE_READY);
	/* But one message at a time, until one gets through. */
	assert_true(sched_lane_now(t.lanes[0], t.now).probing);
	sched_hold_clear(own(&t), t.now);
	assert_false(sched_lane_now(t.lanes[0], t.now).probing);
	close_table(&t);
}

static void each_time_in_a_row_lasts_longer(void **state)
{
	uint64_t plain = US_PER_MIN;
	struct table t;

	(void)state;
	open_table(&t);
	for (unsigned i = 0; i < 10; i++) {
		uint64_t pause = pause_of(&t, own(&t), &waits);

		assert_true(pause >= plain - plain / 5 && pause <= plain + plain / 5 + 1);
		t.now.us += pause;
		plain = plain * 2 < US_PER_HOUR ? plain * 2 : US_PER_HOUR;
	}
	sched_hold_clear(own(&t), t.now);
	assert_int_equal(state_of(&t), SCHED_LANE_READY);
	assert_true(pause_of(&t, own(&t), &waits) <= US_PER_MIN / 5 * 6 + 1);
	close_table(&t);
}

/* Ten connections that break at once must not make an hour out of a minute. */
static void what_is_heard_while_it_is_in_force_belongs_to_it(void **state)
{
	const struct verdict in_an_hour = { .kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_ROUTE,
		.cause = CAUSE_TIMEOUT,
		.retry_after_us = US_PER_HOUR };
	struct table t;
	uint64_t pause;

	(void)state;
	open_table(&t);
	pause = pause_of(&t, own(&t), &waits);
	for (unsigned i = 1; i < 10; i++) {
		t.now = at_s(i);
		assert_int_equal(pause_of(&t, own(&t), &waits), pause - i * US_PER_S);
	}
	/* But what the server asks for is kept. */
	assert_int_equal(pause_of(&t, own(&t), &in_an_hour), US_PER_HOUR);
	close_table(&t);
}

static void what_is_parked_is_probed_and_stays_parked(void **state)
{
	struct verdict slow = parks;
	struct table t;
	uint64_t first, second;

	(void)state;
	open_table(&t);
	slow.retry_after_us = 15 * US_PER_MIN;
	/* A refusal while it waits makes a park of it. */
	(void)hear(&t, own(&t), &waits);
	first = pause_of(&t, own(&t), &slow);
	assert_true(first >= 15 * US_PER_MIN);
	assert_int_equal(state_of(&t), SCHED_LANE_PARKED);
	/* A broken line of another connection neither frees it nor brings the probe nearer. */
	t.now = at_s(1);
	assert_int_equal(pause_of(&t, own(&t), &waits), first - US_PER_S);
	t.now = sched_hold_until(own(&t), t.now);
	assert_int_equal(state_of(&t), SCHED_LANE_PROBING);
	second = pause_of(&t, own(&t), &slow);
	assert_true(second > first);
	/* The probe hears of something that passes: still parked. */
	t.now.us += second;
	(void)hear(&t, own(&t), &waits);
	assert_int_equal(state_of(&t), SCHED_LANE_PARKED);
	sched_hold_probe_now(own(&t), t.now);
	assert_int_equal(state_of(&t), SCHED_LANE_PROBING);
	sched_hold_clear(own(&t), later(t.now));
	assert_int_equal(state_of(&t), SCHED_LANE_READY);
	sched_hold_probe_now(own(&t), t.now);
	assert_int_equal(state_of(&t), SCHED_LANE_READY);
	close_table(&t);
}

static void probes_come_at_least_hourly_unless_asked_otherwise(void **state)
{
	struct verdict tomorrow = parks;
	struct table t;

	(void)state;
	tomorrow.retry_after_us = US_PER_DAY;
	for (size_t i = 0; i < 2; i++) {
		struct sched_hold *h;

		open_table(&t);
		h = i == 0 ? own(&t) : sched_hold_of_sender(own(&t), SV("a@x.test"), true);
		assert_in_range(pause_of(&t, h, &parks) / US_PER_MIN, i ? 12 : 4, i ? 18 : 6);
		for (unsigned k = 0; k < 20; k++) {
			t.now = sched_hold_until(h, t.now);
			assert_true(pause_of(&t, h, &parks) <= US_PER_HOUR / 5 * 6 + 1);
		}
		t.now = sched_hold_until(h, t.now);
		assert_true(pause_of(&t, h, &tomorrow) >= US_PER_DAY);
		close_table(&t);
	}
}

/* Only a person ends it: no time, no other refusal, no mail that was under way. */
static void a_stop_waits_for_a_person(void **state)
{
	struct table t;

	(void)state;
	open_table(&t);
	assert_int_not_equal(hear(&t, own(&t), &banned) & SCHED_HOLD_HELD, 0);
	(void)what_happened(&t);
	t.now = at_s(365 * 86400);
	assert_int_equal(state_of(&t), SCHED_LANE_PARKED);
	assert_int_equal(hear(&t, own(&t), &parks), 0);
	assert_int_equal(hear(&t, own(&t), &waits), 0);
	sched_hold_clear(own(&t), t.now);
	sched_holds_probe_all(t.holds, t.now);
	assert_int_equal(what_happened(&t), 0);
	assert_int_equal(state_of(&t), SCHED_LANE_PARKED);
	assert_int_equal(sched_hold_why(own(&t))->cause, banned.cause);
	assert_false(sched_hold_may_leave(own(&t)));
	assert_true(sched_lane_probe_now(t.lanes[0], t.now));
	/* And it is no stop after a restart, either. */
	assert_int_equal(what_happened(&t), SCHED_HOLD_RECORD);
	assert_int_equal(state_of(&t), SCHED_LANE_PROBING);
	sched_hold_clear(own(&t), later(t.now));
	assert_int_equal(state_of(&t), SCHED_LANE_READY);
	close_table(&t);
}

static void what_had_left_before_says_nothing(void **state)
{
	struct table t;
	struct mono_time begun;

	(void)state;
	open_table(&t);
	begun = t.now;
	t.now = at_s(1);
	(void)hear(&t, own(&t), &parks);
	(void)what_happened(&t);
	t.now = at_s(2);
	sched_hold_clear(own(&t), begun);
	assert_int_equal(what_happened(&t), 0);
	assert_int_equal(state_of(&t), SCHED_LANE_PARKED);
	sched_hold_clear(own(&t), t.now);
	assert_int_equal(what_happened(&t), SCHED_HOLD_ENDED | SCHED_HOLD_FORGET | SCHED_HOLD_TELL);
	assert_int_equal(state_of(&t), SCHED_LANE_READY);
	close_table(&t);
}

static void news_is_told_once_and_so_is_the_end(void **state)
{
	struct verdict other = parks;
	struct table t;

	(void)state;
	open_table(&t);
	other.cause = CAUSE_WRONG_CREDENTIALS;
	/* Nobody is told of what only waits. */
	assert_int_equal(
		hear(&t, own(&t), &waits), SCHED_HOLD_HELD | SCHED_HOLD_NEWS | SCHED_HOLD_LOG);
	assert_int_equal(hear(&t, own(&t), &waits), SCHED_HOLD_HELD);
	assert_int_equal(hear(&t, own(&t), &parks) & (SCHED_HOLD_RECORD | SCHED_HOLD_TELL),
		SCHED_HOLD_RECORD | SCHED_HOLD_TELL);
	t.now = sched_hold_until(own(&t), t.now);
	assert_int_equal(
		hear(&t, own(&t), &parks), SCHED_HOLD_HELD | SCHED_HOLD_RECORD | SCHED_HOLD_LOG);
	assert_int_equal(hear(&t, own(&t), &other) & (SCHED_HOLD_NEWS | SCHED_HOLD_TELL),
		SCHED_HOLD_NEWS | SCHED_HOLD_TELL);
	assert_int_not_equal(what_happened(&t), 0);
	assert_int_equal(what_happened(&t), 0);
	close_table(&t);
}

/* ---- which lanes and which mail ---- */

static void a_tenants_hold_is_tried_by_one_lane(void **state)
{
	struct verdict of_tenant = parks;
	struct sched_hold *h;
	struct table t;

	(void)state;
	open_table(&t);
	of_tenant.scope = VERDICT_SCOPE_TENANT;
	h = sched_lane_hold_of(t.lanes[1], &of_tenant, SV(""));
	(void)hear(&t, h, &of_tenant);
	assert_true(sched_lane_now(t.lanes[0], t.now).held);
	assert_ptr_equal(sched_lane_now(t.lanes[0], t.now).by, h);
	assert_false(sched_lane_now(t.lanes[2], t.now).held);
	/* A connector has no tenant: it is the lane's own. */
	assert_ptr_equal(
		sched_lane_hold_of(t.lanes[2], &of_tenant, SV("")), sched_lane_own(t.lanes[2]));
	t.now = sched_hold_until(h, t.now);
	assert_true(sched_lane_now(t.lanes[1], t.now).probing);
	sched_lane_take_turn(t.lanes[0], t.now);
	assert_true(sched_lane_now(t.lanes[0], t.now).probing);
	assert_true(sched_lane_now(t.lanes[1], t.now).held);
	/* It is silent: another one may. */
	t.now = sched_lane_now(t.lanes[1], t.now).until;
	assert_true(sched_lane_now(t.lanes[1], t.now).probing);
	sched_lane_take_turn(t.lanes[1], t.now);
	assert_true(sched_lane_now(t.lanes[0], t.now).held);
	sched_lane_succeed(t.lanes[1], &(struct sched_mail){ .message = 1 }, t.now);
	assert_false(sched_lane_now(t.lanes[0], t.now).held);
	close_table(&t);
}

static void a_senders_hold_stops_that_sender(void **state)
{
	const struct sched_mail his = { .message = 1, .sender = SV_INIT("Erp@X.test") },
				also_his = { .message = 2, .sender = SV_INIT("erp@x.test") },
				hers = { .message = 3, .sender = SV_INIT("crm@x.test") };
	struct sched_hold *h;
	struct table t;

	(void)state;
	open_table(&t);
	h = sched_hold_of_sender(own(&t), his.sender, true);
	assert_ptr_equal(sched_hold_of_sender(own(&t), also_his.sender, false), h);
	(void)hear(&t, h, &parks);
	assert_true(sv_eq(sched_hold_key(h), SV("sender:submission/a@x.test:erp@x.test")));
	assert_ptr_equal(sched_lane_stops(t.lanes[0], &also_his, t.now), h);
	assert_null(sched_lane_stops(t.lanes[0], &hers, t.now));
	assert_null(sched_lane_stops(t.lanes[1], &his, t.now));
	t.now = sched_hold_until(h, t.now);
	assert_null(sched_lane_stops(t.lanes[0], &his, t.now));
	/* One tries, the other waits for it; in vain, and then it is the other's turn. */
	sched_lane_begin(t.lanes[0], &his, false, t.now);
	assert_ptr_equal(sched_lane_stops(t.lanes[0], &also_his, t.now), h);
	sched_lane_end(t.lanes[0], &his, false, true);
	assert_null(sched_lane_stops(t.lanes[0], &also_his, t.now));
	assert_true(sched_hold_is_culprit(h, his.message));
	assert_false(sched_hold_is_culprit(h, also_his.message));
	sched_lane_begin(t.lanes[0], &also_his, false, t.now);
	sched_lane_succeed(t.lanes[0], &also_his, t.now);
	assert_int_not_equal(what_happened(&t) & SCHED_HOLD_ENDED, 0);
	assert_null(sched_hold_of_sender(own(&t), his.sender, false));
	close_table(&t);
}

static void mail_to_the_outside_has_a_hold_of_its_own(void **state)
{
	const struct sched_mail in = { .message = 1 }, out = { .message = 2, .external = true };
	struct verdict external = parks;
	struct sched_hold *h;
	struct table t;

	(void)state;
	open_table(&t);
	external.scope = VERDICT_SCOPE_TENANT_EXTERNAL;
	assert_null(sched_lane_hold_of(t.lanes[2], &external, SV("")));
	h = sched_lane_hold_of(t.lanes[0], &external, SV(""));
	assert_false(sched_lane_minds_external(t.lanes[1]));
	(void)hear(&t, h, &external);
	assert_true(sched_lane_minds_external(t.lanes[1]));
	assert_ptr_equal(sched_lane_stops(t.lanes[1], &out, t.now), h);
	assert_null(sched_lane_stops(t.lanes[1], &in, t.now));
	sched_lane_succeed(t.lanes[1], &in, later(t.now));
	assert_ptr_equal(sched_lane_holds(t.lanes[1], &out), h);
	sched_lane_succeed(t.lanes[1], &out, later(t.now));
	assert_null(sched_lane_holds(t.lanes[1], &out));
	close_table(&t);
}

/* Whoever may send as anybody must not fill the memory with senders that are refused once. */
static void suspects_are_few(void **state)
{
	const struct verdict v = { .kind = VERDICT_PARK, .scope = VERDICT_SCOPE_SENDER };
	struct table t;
	size_t known = 0;
	char sender[64];

	(void)state;
	open_table(&t);
	for (unsigned i = 0; i < 10000; i++) {
		const struct sched_refusal r = { .verdict = &v,
			.said = SCHED_SAID_SENDER,
			.who = { .message = i + 1, .cause = 1 } };

		(void)snprintf(sender, sizeof(sender), "u%u@x.test", i);
		assert_false(
			sched_hold_weigh(sched_lane_hold_of(t.lanes[0], &v, sv_from(sender)), &r));
	}
	for (unsigned i = 0; i < 10000; i++) {
		(void)snprintf(sender, sizeof(sender), "u%u@x.test", i);
		known += sched_hold_of_sender(own(&t), sv_from(sender), false) != NULL;
	}
	assert_in_range(known, 1, 4096);
	assert_null(sched_holds_next(t.holds, NULL));
	close_table(&t);
}

static void keys_are_read_back(void **state)
{
	enum sched_hold_scope scope;
	struct sv name;

	(void)state;
	assert_true(sched_hold_parse_key(SV("tenant-sign-in:contoso"), &scope, &name));
	assert_int_equal(scope, SCHED_HOLD_SIGN_IN);
	assert_true(sv_eq(name, SV("contoso")));
	assert_true(sched_hold_parse_key(SV("sender:smtp/lab:a@b"), &scope, &name));
	assert_int_equal(scope, SCHED_HOLD_SENDER);
	assert_true(sv_eq(name, SV("smtp/lab:a@b")));
	assert_false(sched_hold_parse_key(SV("alert:disk"), &scope, &name));
	assert_false(sched_hold_parse_key(SV("mailbox"), &scope, &name));
	assert_false(sched_hold_parse_key(SV(""), &scope, &name));
}

static void states_have_names(void **state)
{
	(void)state;
	assert_string_equal(sched_lane_state_name(SCHED_LANE_READY), "ready");
	assert_string_equal(sched_lane_state_name(SCHED_LANE_WAITING), "waiting");
	assert_string_equal(sched_lane_state_name(SCHED_LANE_PARKED), "parked");
	assert_string_equal(sched_lane_state_name(SCHED_LANE_PROBING), "parked");
	sched_lane_free(NULL);
	sched_holds_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_waiting_lane_goes_on_by_itself),
		cmocka_unit_test(each_time_in_a_row_lasts_longer),
		cmocka_unit_test(what_is_heard_while_it_is_in_force_belongs_to_it),
		cmocka_unit_test(what_is_parked_is_probed_and_stays_parked),
		cmocka_unit_test(probes_come_at_least_hourly_unless_asked_otherwise),
		cmocka_unit_test(a_stop_waits_for_a_person),
		cmocka_unit_test(what_had_left_before_says_nothing),
		cmocka_unit_test(news_is_told_once_and_so_is_the_end),
		cmocka_unit_test(a_tenants_hold_is_tried_by_one_lane),
		cmocka_unit_test(a_senders_hold_stops_that_sender),
		cmocka_unit_test(mail_to_the_outside_has_a_hold_of_its_own),
		cmocka_unit_test(suspects_are_few),
		cmocka_unit_test(keys_are_read_back),
		cmocka_unit_test(states_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
