/* SPDX-License-Identifier: Apache-2.0 */
#include "outbound/test_bench.h"

#include "conf/conf.h"
#include "io/file.h"

/* What several lanes have together: the minute of the account that they sign in as, and what their tenant may send. */

#define LAB                                                              \
	"hostname: relay.example.com\nconnectors: [ { name: lab, host: " \
	"127.0.0.1, port: @A, tls: none } ]\nroutes: [ { through: lab } ]\n"

enum {
	TURNS = 60, /* in which what may not leave would */
};

static void rest(struct bench *b)
{
	for (unsigned i = 0; i < TURNS || b->o->deliveries; i++)
		bench_turn(b);
}

static void open_with_secret(struct bench *b, const char *conf)
{
	char path[128];

	bench_open(b, LAB);
	(void)snprintf(path, sizeof(path), "%s/secret", b->folder);
	must(io_file_write_durably(path, SV("right"), 0600, NULL) == 0);
	bench_reload(b, conf);
}

#define MAILBOX(name, more)                                                                     \
	"  - { address: " name "@contoso.com, tenant: c, provider: submission, sender: force, " \
	"endpoint: { host: 127.0.0.1, port: @A }, password: \"file:@F/secret\", " more " }\n"
#define OFFICE(tenant, more)                                                         \
	BENCH_CLEAR "hostname: relay.example.com\n"                                  \
		    "tenants: [ { name: c, domains: [contoso.com], " tenant " } ]\n" \
		    "mailboxes:\n" MAILBOX("a", more) MAILBOX("b", more)             \
			    MAILBOX("it", "") "routes: [ { through: sender } ]\n"

static uint64_t queue(struct bench *b, const char *from, const char *to)
{
	char member[64];

	(void)snprintf(member, sizeof(member), "m:%s", from);
	return bench_queue(
		b, &(struct letter){ .sender = from, .recipients = to, .queue = member });
}

/* Three mailboxes that one account signs in for: 4 messages a minute, not 12. */
static void an_account_has_one_minute(void **state)
{
	struct bench b;

	(void)state;
	open_with_secret(&b,
		OFFICE("",
			"login: it@contoso.com, limits: { share: 100%, messages_per_minute: 4 }"));
	bench_start(&b);
	for (unsigned i = 0; i < 3; i++) {
		(void)queue(&b, "a@contoso.com", "x@example.org");
		(void)queue(&b, "b@contoso.com", "x@example.org");
		(void)queue(&b, "it@contoso.com", "x@example.org");
	}
	outbound_kick(b.o, false);
	bench_wait_for_mails(&b, 4, 0);
	rest(&b);
	assert_int_equal(b.a.mail_count, 4);
	/* Whoever of them sent: it is used up for all, after a restart, too. */
	for (unsigned life = 0; life < 2; life++) {
		assert_string_equal(bench_lane(&b, "submission/a@contoso.com").cause, "limit");
		assert_string_equal(bench_lane(&b, "submission/b@contoso.com").cause, "limit");
		assert_string_equal(bench_lane(&b, "submission/it@contoso.com").cause, "limit");
		assert_int_equal(
			bench_lane(&b, "submission/b@contoso.com").status.use.minute.used, 4);
		/* Of the day each has what it sent itself. */
		assert_int_equal(
			bench_lane(&b, "submission/a@contoso.com").status.use.day.used +
				bench_lane(&b, "submission/b@contoso.com").status.use.day.used +
				bench_lane(&b, "submission/it@contoso.com").status.use.day.used,
			4);
		bench_restart(&b);
		rest(&b);
	}
	assert_int_equal(b.a.mail_count, 4);
	bench_close(&b);
}

/* The tenant's part of the outside is used up, by whichever mailbox; inside it goes on. */
static void a_tenant_has_one_outside(void **state)
{
	const struct mail_flow outside = { .queue = SV("m:b@contoso.com"),
		.class = MAIL_CLASS_NORMAL,
		.principal = SV(""),
		.external = true };
	struct sched_reason why;
	struct bench b;
	uint64_t id;

	(void)state;
	open_with_secret(&b, OFFICE("external_per_day: 3", ""));
	bench_start(&b);
	(void)queue(&b, "a@contoso.com", "x@example.org y@example.org");
	bench_wait_for_mails(&b, 1, 0);
	(void)queue(&b, "b@contoso.com", "z@example.org");
	bench_wait_for_mails(&b, 2, 0);
	id = queue(&b, "b@contoso.com", "late@example.org");
	(void)queue(&b, "b@contoso.com", "in@contoso.com");
	(void)queue(&b, "a@contoso.com", "in@contoso.com");
	bench_wait_for_mails(&b, 4, 0);
	bench_wait_for(&b, id, 0, STORE_RCPT_QUEUED, NULL);
	why = outbound_why(b.o, &outside, 0, (struct wall_time){ 0 });
	assert_int_equal(why.why, SCHED_WHY_DAY);
	assert_int_equal(why.binding, SCHED_LIMIT_DAY);
	assert_true(sv_eq(limit_scope_key(why.binding_of), SV("t:c")));
	/* Nobody who starts again has forgotten it. */
	bench_restart(&b);
	rest(&b);
	assert_int_equal(b.a.mail_count, 4);
	/* More is allowed: it leaves without being told. */
	bench_reload(&b, OFFICE("external_per_day: 4", ""));
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	/* What leaves while there is no limit counts when it comes back, over a restart, too. */
	bench_reload(&b, OFFICE("", ""));
	id = queue(&b, "a@contoso.com", "fifth@example.org");
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_restart(&b);
	id = queue(&b, "a@contoso.com", "sixth@example.org");
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_reload(&b, OFFICE("external_per_day: 6", ""));
	id = queue(&b, "a@contoso.com", "seventh@example.org");
	rest(&b);
	bench_wait_for(&b, id, 0, STORE_RCPT_QUEUED, NULL);
	bench_close(&b);
}

/* Two that are due at one instant, two connections that are free, and room for one. */
static void the_last_of_the_outside_goes_once(void **state)
{
	struct letter l = { .sender = "a@contoso.com",
		.recipients = "in@contoso.com",
		.queue = "m:a@contoso.com",
		.due_us = US_PER_S / 5 };
	struct bench b;

	(void)state;
	open_with_secret(&b, OFFICE("external_per_day: 1", "limits: { share: 100% }"));
	bench_start(&b);
	for (unsigned i = 0; i < 6; i++)
		(void)bench_queue(&b, &l);
	bench_wait_for_mails(&b, 6, 0);
	assert_int_equal(bench_lane(&b, "submission/a@contoso.com").status.connections, 2);
	l.recipients = "x@example.org";
	(void)bench_queue(&b, &l);
	(void)bench_queue(&b, &l);
	bench_wait_for_mails(&b, 7, 0);
	rest(&b);
	assert_int_equal(b.a.mail_count, 7);
	bench_close(&b);
}

/* By the policy of the tenant: what stays inside goes on. */
static void the_outside_has_an_hour(void **state)
{
	struct bench b;

	(void)state;
	open_with_secret(
		&b, OFFICE("", "limits: { share: 100%, external_recipients_per_hour: 2 }"));
	bench_start(&b);
	for (unsigned i = 0; i < 3; i++) {
		(void)queue(&b, "a@contoso.com", "x@example.org");
		(void)queue(&b, "a@contoso.com", "in@contoso.com");
	}
	bench_wait_for_mails(&b, 5, 0);
	rest(&b);
	assert_int_equal(b.a.mail_count, 5);
	assert_int_equal(bench_summary(&b).out_messages_waiting, 1);
	bench_close(&b);
}

/* Likewise what stays inside, and the outside goes on; after a restart, too. */
static void the_inside_has_an_hour(void **state)
{
	struct bench b;

	(void)state;
	open_with_secret(
		&b, OFFICE("", "limits: { share: 100%, internal_recipients_per_hour: 2 }"));
	bench_start(&b);
	for (unsigned i = 0; i < 3; i++) {
		(void)queue(&b, "a@contoso.com", "in@contoso.com");
		(void)queue(&b, "a@contoso.com", "x@example.org");
	}
	bench_wait_for_mails(&b, 5, 0);
	rest(&b);
	assert_int_equal(b.a.mail_count, 5);
	bench_restart(&b);
	(void)queue(&b, "a@contoso.com", "y@example.org");
	bench_wait_for_mails(&b, 6, 0);
	rest(&b);
	assert_int_equal(b.a.mail_count, 6);
	assert_int_equal(bench_summary(&b).out_messages_waiting, 1);
	bench_close(&b);
}

/* As Google has it: messages, recipients, and those outside. */
static void a_day_has_three_limits(void **state)
{
	const struct mail_flow inside = { .queue = SV("m:a@contoso.com"),
		.class = MAIL_CLASS_TRANSACTIONAL,
		.principal = SV("") };
	struct sched_reason why;
	struct bench b;

	(void)state;
	open_with_secret(&b,
		OFFICE("",
			"limits: { share: 100%, messages_per_day: 4, recipients_per_day: 7, "
			"external_recipients_per_day: 2 }"));
	bench_start(&b);
	(void)queue(&b, "a@contoso.com", "x@example.org y@example.org");
	bench_wait_for_mails(&b, 1, 0);
	/* The outside is full. */
	(void)queue(&b, "a@contoso.com", "z@example.org");
	(void)queue(&b, "a@contoso.com", "in@contoso.com in2@contoso.com");
	(void)queue(&b, "a@contoso.com", "in@contoso.com");
	(void)queue(&b, "b@contoso.com", "in@contoso.com");
	bench_wait_for_mails(&b, 4, 0);
	/* And after the fourth message, with one recipient left, the day is. */
	(void)queue(&b, "a@contoso.com", "in3@contoso.com");
	bench_wait_for_mails(&b, 5, 0);
	bench_restart(&b);
	(void)queue(&b, "a@contoso.com", "in4@contoso.com");
	rest(&b);
	assert_int_equal(b.a.mail_count, 5);
	why = outbound_why(b.o, &inside, 0, (struct wall_time){ 0 });
	assert_int_equal(why.why, SCHED_WHY_DAY);
	assert_int_equal(why.binding, SCHED_LIMIT_DAY_MESSAGES);
	bench_close(&b);
}

#define BUDGET(amount)                                                                        \
	BENCH_CLEAR "hostname: relay.example.com\nprices: { hve: 10000 }\n"                   \
		    "tenants: [ { name: c, domains: [contoso.com] } ]\n"                      \
		    "mailboxes: [ { address: a@contoso.com, tenant: c, provider: hve, "       \
		    "endpoint: { host: 127.0.0.1, port: @A }, password: \"file:@F/secret\", " \
		    "limits: { budget: " amount " } } ]\nroutes: [ { through: sender } ]\n"

/* A cent for each recipient, and three of them. */
static void a_budget_ends_with_its_month(void **state)
{
	const struct mail_flow flow = { .queue = SV("m:a@contoso.com"),
		.class = MAIL_CLASS_TRANSACTIONAL,
		.principal = SV("") };
	struct sched_reason why;
	struct bench b;
	uint64_t id;

	(void)state;
	open_with_secret(&b, BUDGET("0.03"));
	bench_start(&b);
	(void)queue(&b, "a@contoso.com", "x@contoso.com y@contoso.com");
	bench_wait_for_mails(&b, 1, 0);
	/* Two more leave one behind; and nobody who starts again has forgotten it. */
	id = queue(&b, "a@contoso.com", "x@contoso.com y@contoso.com");
	bench_wait_for_mails(&b, 2, 0);
	for (unsigned life = 0; life < 2; life++) {
		rest(&b);
		assert_int_equal(b.a.mail_count, 2);
		why = outbound_why(b.o, &flow, 0, (struct wall_time){ 0 });
		assert_int_equal(why.why, SCHED_WHY_MONTH);
		assert_int_equal(why.binding, SCHED_LIMIT_MONTH);
		assert_true(why.wait_us > 0 && why.wait_us <= 31 * US_PER_DAY);
		assert_string_equal(bench_lane(&b, "hve/a@contoso.com").cause, "limit");
		bench_restart(&b);
	}
	bench_reload(&b, BUDGET("0.04"));
	bench_wait_for(&b, id, 1, STORE_RCPT_DELIVERED, NULL);
	bench_close(&b);
}

/* What a reader sees of the account's minute, at a mailbox that only shares it. */
static void see_the_minute(struct bench *b)
{
	struct outbound_limit all[OUTBOUND_LIMITS_MAX];
	size_t n = outbound_lane_limits(b->o, SV("submission/b@contoso.com"), all), seen = 0;

	for (size_t i = 0; i < n; i++) {
		if (all[i].window != LIMIT_MINUTE)
			continue;
		seen++;
		assert_true(sv_eq(all[i].scope, SV("m:it@contoso.com")));
		assert_int_equal(all[i].capacity, 2);
		assert_int_equal(all[i].learned, 2);
		assert_true(all[i].learned_at.us > 0 && all[i].shut_till.us > 0);
		assert_true(all[i].free_at.us > 0);
	}
	assert_int_equal(seen, 1);
}

/* One is told that the minute of its account is used up: nobody who signs in as it tries, and what was learned outlives a restart. */
static void a_reply_shuts_the_account(void **state)
{
	const struct limit_learned *learned;
	struct bench b;
	uint64_t id;

	(void)state;
	open_with_secret(&b,
		OFFICE("",
			"login: it@contoso.com, limits: { share: 100%, messages_per_minute: 4 }"));
	bench_start(&b);
	(void)queue(&b, "a@contoso.com", "x@example.org");
	(void)queue(&b, "b@contoso.com", "x@example.org");
	bench_wait_for_mails(&b, 2, 0);
	b.a.rules[0] = (struct up_rule){
		.at = SMTP_SERVER_EV_END,
		.times = 9,
		.code = 451,
		.enhanced = "4.4.2",
		.text = "Message submission rate for this client has exceeded the configured limit"
	};
	id = queue(&b, "a@contoso.com", "late@example.org");
	bench_wait_for(&b, id, 0, STORE_RCPT_QUEUED, "rate-exceeded");
	for (unsigned life = 0; life < 2; life++) {
		(void)queue(&b, "b@contoso.com", "later@example.org");
		(void)queue(&b, "it@contoso.com", "later@example.org");
		rest(&b);
		assert_int_equal(b.a.asked[SMTP_SERVER_EV_END], 3);
		learned = limit_scope_learned(
			limit_book_scope(b.o->book, SV("m:it@contoso.com")), LIMIT_MINUTE);
		assert_int_equal(learned->limit, 2);
		assert_true(learned->trying && mono_before(io_now(b.loop), learned->shut_till));
		see_the_minute(&b);
		bench_restart(&b);
	}
	bench_close(&b);
}

/* The tenant's outside, of which nobody has said how much it is: its other mailbox does not ask, and a person may. */
static void a_reply_shuts_the_outside(void **state)
{
	struct bench b;
	uint64_t id;

	(void)state;
	open_with_secret(&b, OFFICE("", ""));
	bench_start(&b);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_END,
		.times = 1,
		.code = 550,
		.enhanced = "5.7.233",
		.text = "Your message can't be sent because your tenant exceeded its daily limit" };
	(void)queue(&b, "a@contoso.com", "x@example.org");
	id = queue(&b, "b@contoso.com", "in@contoso.com");
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	for (unsigned life = 0; life < 2; life++) {
		id = queue(&b, "b@contoso.com", "y@example.org");
		rest(&b);
		bench_wait_for(&b, id, 0, STORE_RCPT_QUEUED, NULL);
		bench_restart(&b);
	}
	assert_int_equal(b.a.asked[SMTP_SERVER_EV_END], 2);
	bench_retry(&b);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_close(&b);
}

/* Two entries of one id, for two apps: what one has sent to the outside counts for the other. */
static void tenants_of_one_id_have_one_outside(void **state)
{
	struct bench b;

	(void)state;
	open_with_secret(&b,
		BENCH_CLEAR
		"hostname: relay.example.com\n"
		"tenants: [ { name: c, id: contoso.com, domains: [contoso.com], external_per_day: "
		"2 }, { name: d, id: Contoso.com } ]\nmailboxes:\n" MAILBOX(
			"a", "") "  - { address: b@contoso.com, tenant: d, provider: submission, "
				 "sender: force, "
				 "endpoint: { host: 127.0.0.1, port: @A }, password: "
				 "\"file:@F/secret\" }\n"
				 "routes: [ { through: sender } ]\n");
	bench_start(&b);
	(void)queue(&b, "a@contoso.com", "x@example.org y@example.org");
	bench_wait_for_mails(&b, 1, 0);
	(void)queue(&b, "b@contoso.com", "z@example.org");
	rest(&b);
	assert_int_equal(b.a.mail_count, 1);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tenants_of_one_id_have_one_outside),
		cmocka_unit_test(an_account_has_one_minute),
		cmocka_unit_test(a_tenant_has_one_outside),
		cmocka_unit_test(the_last_of_the_outside_goes_once),
		cmocka_unit_test(the_outside_has_an_hour),
		cmocka_unit_test(the_inside_has_an_hour),
		cmocka_unit_test(a_day_has_three_limits),
		cmocka_unit_test(a_budget_ends_with_its_month),
		cmocka_unit_test(a_reply_shuts_the_account),
		cmocka_unit_test(a_reply_shuts_the_outside),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
