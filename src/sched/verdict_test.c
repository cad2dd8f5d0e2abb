/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/verdict.h"

#include "cmocka_all.h"

/* What the answers of an attempt do: to its recipients, and beyond the message. */

/* ---- a recipient ---- */

enum when {
	EARLY,   /* before it expires */
	EXPIRED, /* past that, but not past the time of parked mail */
	BOTH,    /* past both */
	WHEN_COUNT
};

#define NOW 1000000000000
#define HOUR ((int64_t)US_PER_HOUR)

static struct sched_attempt attempt_at(enum when when, const struct sched_part *part)
{
	return (struct sched_attempt){ .parts = part,
		.count = 1,
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
	const struct sched_part part = { .verdict = v,
		.attempts = 1,
		.said = of_session ? SCHED_SAID_SESSION : SCHED_SAID_CONTENT,
		.alone = alone };
	const struct sched_attempt attempt = attempt_at(when, &part);
	struct sched_answer a;

	/* Only what no message caused waits for the lane; who may have caused it has its own back-off. */
	if (want == 'W' && (!of_session || alone))
		want = 'R';
	a = sched_attempt_answer(&attempt, 0, p, rng);
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
				const struct sched_part part = {
					.verdict = &v, .attempts = 1, .uncertain = true
				};
				const struct sched_attempt attempt = attempt_at(when, &part);
				struct sched_answer a =
					sched_attempt_answer(&attempt, 0, &policies[p], &rng);

				assert_int_equal(a.move, SCHED_MOVE_NOT);
				assert_int_equal(letter(a.deed), want[p]);
				/* Three steps later than a refusal: 8 minutes, less a fifth. */
				if (want[p] == 'R')
					assert_true(a.next_at.us > NOW + 380 * (int64_t)US_PER_S);
			}
}

static void parked_mail_may_wait_for_ever(void **state)
{
	const struct verdict v = { .kind = VERDICT_PARK, .scope = VERDICT_SCOPE_SENDER };
	const struct sched_part part = { .verdict = &v, .attempts = 1, .said = SCHED_SAID_SENDER };
	struct sched_attempt attempt = attempt_at(BOTH, &part);
	struct prng rng;

	(void)state;
	prng_seed(&rng, 6);
	attempt.parked_expire_us = 0;
	assert_int_equal(
		sched_attempt_answer(&attempt, 0, &policies[0], &rng).deed, SCHED_RETRY_AT);
}

/* What came in vain goes on by itself until its class says that nobody waits for it any more. */
static void a_class_ends_its_mail_whatever_holds_it(void **state)
{
	struct prng rng;

	(void)state;
	prng_seed(&rng, 7);
	for (unsigned kind = VERDICT_RETRY; kind <= VERDICT_PARK; kind++)
		for (unsigned scope = 0; scope < VERDICT_SCOPE_COUNT; scope++) {
			const struct verdict v = { .kind = kind, .scope = scope };
			const struct sched_part part = {
				.verdict = &v, .attempts = 1, .said = SCHED_SAID_SESSION
			};
			struct sched_attempt a = attempt_at(EARLY, &part);

			a.class_end.us = NOW + 1;
			assert_int_not_equal(
				sched_attempt_answer(&a, 0, &policies[0], &rng).deed, SCHED_EXPIRE);
			a.class_end.us = NOW;
			assert_int_equal(
				sched_attempt_answer(&a, 0, &policies[0], &rng).deed, SCHED_EXPIRE);
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

static enum sched_deed deed_of(const struct verdict *v, enum sched_said said, bool alone)
{
	const struct sched_part part = {
		.verdict = v, .attempts = 1, .said = said, .alone = alone
	};
	const struct sched_attempt attempt = attempt_at(EARLY, &part);
	struct prng rng;

	prng_seed(&rng, 13);
	return sched_attempt_answer(&attempt, 0, &policies[0], &rng).deed;
}

static void reputation_of_a_message_is_an_operators(void **state)
{
	struct verdict v = { .kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MESSAGE,
		.nature = VERDICT_NATURE_REPUTATION };

	(void)state;
	assert_int_equal(deed_of(&v, SCHED_SAID_CONTENT, false), SCHED_HOLD);
	v.scope = VERDICT_SCOPE_MAILBOX;
	assert_int_equal(deed_of(&v, SCHED_SAID_SESSION, false), SCHED_WAIT_LANE);
	/* Said to one message, of more than it: it is not the message that is suspected. */
	assert_int_equal(deed_of(&v, SCHED_SAID_CONTENT, true), SCHED_RETRY_AT);
	v.scope = VERDICT_SCOPE_SENDER;
	assert_int_equal(deed_of(&v, SCHED_SAID_CONTENT, false), SCHED_RETRY_AT);
}

static void one_too_many_goes_in_the_next_transaction(void **state)
{
	const struct verdict many = { .kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_RECIPIENT,
		.cause = CAUSE_TOO_MANY_RECIPIENTS,
		.retry_after_us = US_PER_HOUR };
	const struct verdict done = { .kind = VERDICT_DELIVERED };
	struct sched_part parts[2] = { { .verdict = &many, .attempts = 1 },
		{ .verdict = &done, .attempts = 1, .accepted = true } };
	struct sched_attempt attempt = attempt_at(EARLY, parts);
	struct prng rng;

	(void)state;
	prng_seed(&rng, 14);
	attempt.count = 2;
	assert_true(sched_attempt_answer(&attempt, 0, &policies[0], &rng).next_at.us ==
		    NOW + (int64_t)US_PER_S);
	/* Nobody was taken: no transaction of one is too long. */
	parts[1].accepted = false;
	assert_true(sched_attempt_answer(&attempt, 0, &policies[0], &rng).next_at.us == NOW + HOUR);
}

/* What this door cannot do for this one message; never what a person must release. */
static void another_door_is_tried_where_only_this_one_is_at_fault(void **state)
{
	struct prng rng;

	(void)state;
	prng_seed(&rng, 15);
	for (unsigned kind = 0; kind < VERDICT_KIND_COUNT; kind++)
		for (unsigned scope = 0; scope < VERDICT_SCOPE_COUNT; scope++)
			for (unsigned nature = 0; nature < VERDICT_NATURE_COUNT; nature++)
				for (unsigned alone = 0; alone < 2; alone++) {
					const struct verdict v = {
						.kind = kind, .scope = scope, .nature = nature
					};
					const struct sched_part part = { .verdict = &v,
						.attempts = 1,
						.said = SCHED_SAID_CONTENT,
						.alone = alone };
					const struct sched_attempt attempt =
						attempt_at(EARLY, &part);
					bool of_door = kind == VERDICT_PARK &&
						       scope == VERDICT_SCOPE_MESSAGE;
					bool waits = kind == VERDICT_PARK || kind == VERDICT_RETRY;
					enum sched_move want =
						!waits || !(of_door || alone) ||
								!verdict_may_go_elsewhere(&v)
							? SCHED_MOVE_NOT
						: scope == VERDICT_SCOPE_TENANT_EXTERNAL
							? SCHED_MOVE_TO_OTHER_TENANT
							: SCHED_MOVE_ANYWHERE;

					assert_int_equal(sched_attempt_answer(
								 &attempt, 0, &policies[0], &rng)
								 .move,
						want);
				}
}

/* ---- beyond the message ---- */

struct door {
	struct sched_holds *holds;
	struct sched_lane *lane;
	struct prng rng;
	struct mono_time now;
};

static void open_door(struct door *d, const char *tenant)
{
	*d = (struct door){ .holds = sched_holds_new(), .now = { US_PER_DAY } };
	prng_seed(&d->rng, 16);
	d->lane = sched_lane_new(d->holds, SV("submission/a@x.test"));
	sched_lane_set(d->lane, sv_from(tenant), true);
}

static void close_door(struct door *d)
{
	sched_lane_free(d->lane);
	sched_holds_free(d->holds);
}

/* One attempt of a message begins and ends. */
static const struct sched_part *try(
	struct door *d, uint64_t message, const struct sched_part *parts, size_t count)
{
	struct sched_attempt a = { .lane = d->lane,
		.mail = { .message = message, .sender = SV_INIT("erp@x.test"), .external = true },
		.parts = parts,
		.count = count,
		.begun = d->now };

	sched_lane_begin(d->lane, &a.mail, false, d->now);
	d->now.us += US_PER_S;
	return sched_attempt_spread(&a,
		&(struct sched_heard){
			.now = d->now, .rng = &d->rng, .retry = &policies[0].retry });
}

static const char *held_by(const struct door *d)
{
	const struct sched_hold *h = sched_holds_next(d->holds, NULL);

	return h ? sched_hold_key(h).ptr : "";
}

/* What each radius holds, for what passes by itself and for what an administrator puts right; with a tenant and without. */
static void each_radius_holds_its_own(void **state)
{
	static const struct {
		enum verdict_scope scope;
		const char *retry, *park, *no_tenant; /* key; "lane": the part is handed back */
	} rows[] = {
		{ VERDICT_SCOPE_RECIPIENT, "", "", "" },
		{ VERDICT_SCOPE_MESSAGE, "", "", "" },
		{ VERDICT_SCOPE_SENDER,
			"",
			"sender:submission/a@x.test:erp@x.test",
			"sender:submission/a@x.test:erp@x.test" },
		{ VERDICT_SCOPE_MAILBOX, "lane", "lane", "lane" },
		{ VERDICT_SCOPE_MAILBOX_WINDOW, "lane", "lane", "lane" },
		{ VERDICT_SCOPE_TENANT, "tenant:x", "tenant:x", "lane" },
		{ VERDICT_SCOPE_TENANT_EXTERNAL, "", "tenant-external:x", "" },
		{ VERDICT_SCOPE_ROUTE, "lane", "lane", "lane" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		for (unsigned how = 0; how < 3; how++) {
			const struct verdict v = { .kind = how ? VERDICT_PARK : VERDICT_RETRY,
				.scope = rows[i].scope };
			const struct sched_part part = { .verdict = &v };
			const char *want = how == 0   ? rows[i].retry
					   : how == 1 ? rows[i].park
						      : rows[i].no_tenant;
			struct door d;
			bool own;

			open_door(&d, how == 2 ? "" : "x");
			own = try(&d, 1, &part, 1) == &part;
			assert_string_equal(own ? "lane" : held_by(&d), want);
			close_door(&d);
		}
}

static void what_waits_alone_holds_nothing(void **state)
{
	const struct verdict v = { .kind = VERDICT_PARK, .scope = VERDICT_SCOPE_TENANT };
	const struct sched_part part = { .verdict = &v, .alone = true };
	struct door d;

	(void)state;
	open_door(&d, "x");
	assert_null(try(&d, 1, &part, 1));
	assert_string_equal(held_by(&d), "");
	close_door(&d);
}

/* The limit for mail to the outside is met in the midst of a message: who was taken before it does not end the hold. */
static void what_is_refused_with_a_success_stays_held(void **state)
{
	const struct verdict full = { .kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_TENANT_EXTERNAL,
		.nature = VERDICT_NATURE_QUOTA };
	const struct verdict done = { .kind = VERDICT_DELIVERED };
	struct sched_part parts[2] = { { .verdict = &done, .external = true },
		{ .verdict = &full, .external = true } };
	struct door d;

	(void)state;
	open_door(&d, "x");
	(void)try(&d, 1, parts, 2);
	assert_string_equal(held_by(&d), "tenant-external:x");
	/* Inside it goes on, and that says nothing of the outside. */
	parts[0].external = false;
	(void)try(&d, 2, parts, 1);
	assert_string_equal(held_by(&d), "tenant-external:x");
	parts[0].external = true;
	(void)try(&d, 3, parts, 1);
	assert_string_equal(held_by(&d), "");
	close_door(&d);
}

static void a_second_message_widens(void **state)
{
	const struct verdict v = { .kind = VERDICT_PARK, .scope = VERDICT_SCOPE_TENANT };
	struct sched_refusal r = { .verdict = &v,
		.said = SCHED_SAID_SENDER,
		.who = { .message = 1, .sender = 1, .cause = 9 } };
	struct door d;

	(void)state;
	open_door(&d, "x");
	assert_false(sched_verdict_weigh(d.lane, SV("erp@x.test"), &r));
	assert_false(sched_verdict_weigh(d.lane, SV("erp@x.test"), &r));
	r.who.message = 2;
	assert_true(sched_verdict_weigh(d.lane, SV("erp@x.test"), &r));
	close_door(&d);
	/* Without a tenant there is no outside to hold. */
	open_door(&d, "");
	r.verdict = &(const struct verdict){ .kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_TENANT_EXTERNAL };
	assert_true(sched_verdict_weigh(d.lane, SV("erp@x.test"), &r));
	close_door(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_verdict_of_every_scope_does_what_the_table_says),
		cmocka_unit_test(an_uncertain_end_is_the_policys),
		cmocka_unit_test(parked_mail_may_wait_for_ever),
		cmocka_unit_test(a_class_ends_its_mail_whatever_holds_it),
		cmocka_unit_test(only_lasting_trouble_of_a_door_holds_the_lane),
		cmocka_unit_test(reputation_of_a_message_is_an_operators),
		cmocka_unit_test(one_too_many_goes_in_the_next_transaction),
		cmocka_unit_test(another_door_is_tried_where_only_this_one_is_at_fault),
		cmocka_unit_test(each_radius_holds_its_own),
		cmocka_unit_test(what_waits_alone_holds_nothing),
		cmocka_unit_test(what_is_refused_with_a_success_stays_held),
		cmocka_unit_test(a_second_message_widens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
