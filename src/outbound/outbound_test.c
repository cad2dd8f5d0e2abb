/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/dsn.h"
#include "outbound/test_bench.h"
#include "store/store_health.h"

/* How mail leaves: attempts, their outcomes, and who is told. held_test.c has what stops it. */

#define LAB                                                                                     \
	"hostname: relay.example.com\n"                                                         \
	"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, connections: 1 } ]\n" \
	"routes: [ { through: lab } ]\n"

static void assert_body(const struct up_mail *m, struct sv body)
{
	assert_int_equal(m->body.len, body.len);
	assert_memory_equal(buf_sv(&m->body).ptr, body.ptr, body.len);
}

static const struct letter plain = { .sender = "erp@contoso.com",
	.recipients = "anna@example.org" };

/* ---- both ways ---- */

static void a_fresh_message_takes_two_commits(void **state)
{
	uint64_t id = 0, least = UINT64_MAX;
	struct bench b;

	(void)state;
	bench_open(&b, LAB);
	bench_start(&b);
	for (unsigned i = 1; i < 6; i++) {
		uint64_t before = store_health(b.store).commits, taken;
		bool claimed;

		id = bench_fresh(&b, &plain, &claimed);
		/* Only where a connection waits: nothing may be uncertain that never had one. */
		assert_int_equal(claimed, i > 1);
		bench_wait_for_mails(&b, i, 0);
		/* The queue tidies up when it likes, which may come on top of one of them. */
		taken = store_health(b.store).commits - before;
		least = taken < least ? taken : least;
	}
	assert_int_equal(least, 2);
	assert_string_equal(b.a.mails[0].sender, "erp@contoso.com");
	assert_string_equal(b.a.mails[0].recipients, "anna@example.org ");
	assert_body(&b.a.mails[0], SV(BENCH_TEXT));
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	/* Each but the first found the connection open. */
	assert_int_equal(b.a.asked[SMTP_SERVER_EV_GREET], 1);
	bench_close(&b);
}

static void mail_of_an_earlier_life_leaves_at_the_start(void **state)
{
	struct bench b;
	uint64_t first, second;
	struct look look;

	(void)state;
	bench_open(&b, LAB);
	first = bench_queue(&b, &plain);
	second = bench_queue(&b, &plain);
	bench_start(&b);
	bench_wait_for_mails(&b, 2, 0);
	bench_wait_for(&b, first, 0, STORE_RCPT_DELIVERED, NULL);
	bench_look(&b, second, 0, &look);
	assert_int_equal(look.state, STORE_RCPT_DELIVERED);
	assert_int_equal(look.attempts, 1);
	assert_int_equal(look.stories, 1);
	(void)bench_queue(&b, &plain);
	bench_wait_for_mails(&b, 3, 0);
	assert_int_equal(bench_summary(&b).out_messages_waiting, 0);
	bench_close(&b);
}

static void recipients_are_split_as_the_limit_says(void **state)
{
	struct bench b;
	bool claimed;
	uint64_t id;

	(void)state;
	bench_open(&b,
		"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, connections: 1,"
		" limits: { recipients_per_message: 2 } } ]\nroutes: [ { through: lab } ]\n");
	bench_start(&b);
	id = bench_fresh(&b,
		&(struct letter){ .sender = "erp@contoso.com",
			.recipients =
				"a@x.example b@x.example c@x.example d@x.example e@x.example" },
		&claimed);
	assert_false(claimed);
	bench_wait_for_mails(&b, 3, 0);
	assert_string_equal(b.a.mails[0].recipients, "a@x.example b@x.example ");
	assert_string_equal(b.a.mails[1].recipients, "c@x.example d@x.example ");
	assert_string_equal(b.a.mails[2].recipients, "e@x.example ");
	for (uint32_t i = 0; i < 5; i++)
		bench_wait_for(&b, id, i, STORE_RCPT_DELIVERED, NULL);
	bench_close(&b);
}

static void a_large_body_streams(void **state)
{
	struct bench b;
	struct buf body = BUF_INIT(UP_BODY_MAX);

	(void)state;
	must(buf_append(&body, SV("Subject: large\r\n\r\n")) == 0);
	for (unsigned i = 0; body.len < 5 << 20; i++)
		must(buf_printf(&body, "%s%u of a long list\r\n", i % 3 ? "" : ".", i) == 0);
	bench_open(&b, LAB);
	bench_start(&b);
	(void)bench_queue(&b,
		&(struct letter){ .sender = "erp@contoso.com",
			.recipients = "anna@example.org",
			.body = buf_sv(&body) });
	bench_wait_for_mails(&b, 1, 0);
	assert_body(&b.a.mails[0], buf_sv(&body));
	buf_deinit(&body);
	bench_close(&b);
}

static void lanes_share_the_budget_of_connections(void **state)
{
	struct bench b;
	uint64_t to_a, to_b;

	(void)state;
	bench_open(&b,
		"limits: { upstream_connections: 1 }\n"
		"connectors:\n"
		"  - { name: lab, host: 127.0.0.1, port: @A, tls: none }\n"
		"  - { name: other, host: 127.0.0.1, port: @B, tls: none }\n"
		"routes: [ { through: lab } ]\n");
	to_a = bench_queue(&b, &plain);
	to_b = bench_queue(&b,
		&(struct letter){ .sender = "erp@contoso.com",
			.recipients = "bea@example.org",
			.queue = "c:other" });
	bench_start(&b);
	bench_wait_for(&b, to_a, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for(&b, to_b, 0, STORE_RCPT_DELIVERED, NULL);
	assert_int_equal(b.a.most_sessions, 1);
	bench_close(&b);
}

/* ---- refusals and notices ---- */

static void a_refused_recipient_is_told_of(void **state)
{
	struct bench b;
	struct look look;
	struct sv notice;
	uint64_t id;

	(void)state;
	bench_open(&b, LAB);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_RCPT,
		.match = "bad@",
		.times = 1,
		.code = 550,
		.enhanced = "5.1.1",
		.text = "No such user here" };
	bench_start(&b);
	id = bench_queue(&b,
		&(struct letter){ .sender = "erp@contoso.com",
			.recipients = "good@example.org bad@example.org" });
	bench_wait_for_mails(&b, 2, 0);
	assert_string_equal(b.a.mails[0].recipients, "good@example.org ");
	assert_string_equal(b.a.mails[1].sender, "");
	assert_string_equal(b.a.mails[1].recipients, "erp@contoso.com ");
	notice = buf_sv(&b.a.mails[1].body);
	assert_true(sv_find(notice, SV("bad@example.org")) > 0);
	assert_true(sv_find(notice, SV("good@example.org")) < 0);
	assert_true(sv_find(notice, SV("5.1.1")) > 0);
	assert_true(sv_find(notice, SV("Subject: hello")) > 0);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_look(&b, id, 1, &look);
	assert_int_equal(look.state, STORE_RCPT_BOUNCED);
	assert_non_null(strstr(look.reply, "No such user here"));
	bench_close(&b);
}

static void nobody_is_told_who_did_not_ask_or_is_nobody(void **state)
{
	static const struct letter quiet[] = {
		{ .sender = "", .recipients = "bad@example.org" },
		{ .sender = "erp@contoso.com",
			.recipients = "bad@example.org",
			.notify = DSN_NOTIFY_NEVER },
	};
	struct bench b;

	(void)state;
	bench_open(&b, LAB);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_RCPT,
		.match = "bad@",
		.times = 9,
		.code = 550,
		.enhanced = "5.1.1",
		.text = "No such user here" };
	bench_start(&b);
	for (size_t i = 0; i < COUNT_OF(quiet); i++)
		bench_wait_for(&b, bench_queue(&b, &quiet[i]), 0, STORE_RCPT_BOUNCED, NULL);
	assert_int_equal(bench_summary(&b).out_messages_waiting, 0);
	assert_int_equal(bench_summary(&b).out_history_messages, COUNT_OF(quiet));
	assert_int_equal(b.a.mail_count, 0);
	/* Somebody can be named who wants to know of mail without sender. */
	bench_reload(&b, "bounces: { to: it@contoso.com }\n" LAB);
	(void)bench_queue(&b, &quiet[0]);
	bench_wait_for_mails(&b, 1, 0);
	assert_string_equal(b.a.mails[0].recipients, "it@contoso.com ");
	bench_close(&b);
}

/* I7 */
static void a_notice_never_causes_a_notice(void **state)
{
	struct bench b;
	uint64_t id;

	(void)state;
	bench_open(&b, LAB);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_END,
		.times = 99,
		.code = 554,
		.enhanced = "5.6.0",
		.text = "Bad content" };
	bench_start(&b);
	id = bench_queue(&b, &plain);
	bench_wait_for(&b, id, 0, STORE_RCPT_BOUNCED, NULL);
	while (bench_summary(&b).out_messages_waiting > 0 || b.o->deliveries)
		bench_turn(&b);
	assert_int_equal(bench_summary(&b).out_history_messages, 2);
	assert_int_equal(b.a.asked[SMTP_SERVER_EV_END], 2);
	bench_close(&b);
}

static void a_refused_message_is_one_notice_for_all(void **state)
{
	struct bench b;
	struct sv notice;

	(void)state;
	bench_open(&b, LAB);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_END,
		.times = 1,
		.code = 554,
		.enhanced = "5.6.0",
		.text = "Bad content" };
	bench_start(&b);
	(void)bench_queue(&b,
		&(struct letter){ .sender = "erp@contoso.com",
			.recipients = "anna@example.org bea@example.org" });
	bench_wait_for_mails(&b, 1, 0);
	notice = buf_sv(&b.a.mails[0].body);
	assert_true(sv_find(notice, SV("anna@example.org")) > 0);
	assert_true(sv_find(notice, SV("bea@example.org")) > 0);
	bench_close(&b);
}

static void a_refusal_for_now_waits_and_comes_again(void **state)
{
	struct bench b;
	struct look look;
	uint64_t id;

	(void)state;
	bench_open(&b, LAB);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_END,
		.times = 1,
		.code = 451,
		.enhanced = "4.6.0",
		.text = "Not now" };
	bench_start(&b);
	id = bench_queue(&b, &plain);
	bench_wait_for(&b, id, 0, STORE_RCPT_QUEUED, NULL);
	while (b.a.asked[SMTP_SERVER_EV_END] == 0 || b.o->deliveries)
		bench_turn(&b);
	bench_look(&b, id, 0, &look);
	assert_int_equal(look.state, STORE_RCPT_QUEUED);
	assert_int_equal(look.attempts, 1);
	assert_int_equal(b.a.mail_count, 0);
	bench_retry(&b);
	bench_wait_for_mails(&b, 1, 0);
	bench_look(&b, id, 0, &look);
	assert_int_equal(look.state, STORE_RCPT_DELIVERED);
	assert_int_equal(look.stories, 2);
	bench_close(&b);
}

/* ---- broken lines ---- */

static void a_line_that_breaks_before_the_dot_leaves_no_doubt(void **state)
{
	static const enum smtp_server_event_kind at[] = {
		SMTP_SERVER_EV_MAIL, SMTP_SERVER_EV_RCPT, SMTP_SERVER_EV_DATA
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(at); i++) {
		struct bench b;
		struct look look;
		uint64_t id;

		bench_open(&b, "uncertain: hold\n" LAB);
		b.a.rules[0] = (struct up_rule){ .at = at[i], .times = 1, .cut = true };
		bench_start(&b);
		id = bench_queue(&b, &plain);
		while (b.a.asked[at[i]] == 0 || b.o->deliveries)
			bench_turn(&b);
		bench_look(&b, id, 0, &look);
		assert_int_equal(look.state, STORE_RCPT_QUEUED);
		assert_int_equal(look.uncertain, 0);
		bench_retry(&b);
		bench_wait_for_mails(&b, 1, 0);
		bench_close(&b);
	}
}

static void a_line_that_breaks_behind_the_dot_is_a_matter_of_policy(void **state)
{
	static const struct {
		const char *policy;
		enum store_recipient_state then;
	} rows[] = {
		{ "uncertain: retry\n" LAB, STORE_RCPT_QUEUED },
		{ "uncertain: hold\n" LAB, STORE_RCPT_HELD },
		{ "uncertain: assume-sent\n" LAB, STORE_RCPT_DELIVERED },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bench b;
		struct look look;
		bool claimed;
		uint64_t id;

		bench_open(&b, rows[i].policy);
		b.a.rules[0] =
			(struct up_rule){ .at = SMTP_SERVER_EV_END, .times = 1, .cut = true };
		bench_start(&b);
		id = bench_fresh(&b, &plain, &claimed);
		bench_wait_for(&b, id, 0, rows[i].then, "uncertain");
		bench_look(&b, id, 0, &look);
		assert_int_equal(look.uncertain, 1);
		assert_int_equal(look.attempts, 1);
		/* No lane waits for one message's doubt. */
		assert_int_equal(bench_lane(&b, "smtp/lab").status.state, SCHED_LANE_READY);
		assert_int_equal(b.a.mail_count, 1);
		bench_retry(&b);
		if (rows[i].then == STORE_RCPT_QUEUED)
			bench_wait_for_mails(&b, 2, 0);
		else
			bench_wait_for(&b, id, 0, rows[i].then, "uncertain");
		bench_close(&b);
	}
}

/* Who was refused at RCPT has a certain answer, whatever becomes of the others. */
static void a_doubt_is_only_of_those_who_were_taken(void **state)
{
	struct bench b;
	struct look look;
	uint64_t id;

	(void)state;
	bench_open(&b, "uncertain: hold\n" LAB);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_END, .times = 1, .cut = true };
	b.a.rules[1] = (struct up_rule){ .at = SMTP_SERVER_EV_RCPT,
		.match = "bad@",
		.times = 1,
		.code = 550,
		.enhanced = "5.1.1",
		.text = "No such user here" };
	bench_start(&b);
	id = bench_queue(&b,
		&(struct letter){ .sender = "erp@contoso.com",
			.recipients = "good@example.org bad@example.org" });
	bench_wait_for(&b, id, 0, STORE_RCPT_HELD, "uncertain");
	bench_look(&b, id, 1, &look);
	assert_int_equal(look.state, STORE_RCPT_BOUNCED);
	assert_int_equal(look.uncertain, 0);
	bench_wait_for_mails(&b, 2, 0); /* the notice */
	bench_close(&b);
}

static void a_message_past_its_time_expires_with_its_next_failure(void **state)
{
	struct bench b;
	struct post p;

	(void)state;
	bench_open(&b, LAB);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_END,
		.match = "erp@",
		.times = 1,
		.code = 451,
		.enhanced = "4.6.0",
		.text = "Not now" };
	bench_start(&b);
	post_make(&p, &b, &plain);
	p.m.expires_at = p.m.accepted_at;
	p.put.body = buf_sv(&p.body);
	must(bench_run(&b, &p.put.op) == 0);
	bench_say_queued(&b, &p);
	bench_wait_for(&b, p.m.id, 0, STORE_RCPT_EXPIRED, NULL);
	bench_wait_for_mails(&b, 1, 0);
	assert_string_equal(b.a.mails[0].recipients, "erp@contoso.com ");
	post_free(&p);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fresh_message_takes_two_commits),
		cmocka_unit_test(mail_of_an_earlier_life_leaves_at_the_start),
		cmocka_unit_test(recipients_are_split_as_the_limit_says),
		cmocka_unit_test(a_large_body_streams),
		cmocka_unit_test(lanes_share_the_budget_of_connections),
		cmocka_unit_test(a_refused_recipient_is_told_of),
		cmocka_unit_test(nobody_is_told_who_did_not_ask_or_is_nobody),
		cmocka_unit_test(a_notice_never_causes_a_notice),
		cmocka_unit_test(a_refused_message_is_one_notice_for_all),
		cmocka_unit_test(a_refusal_for_now_waits_and_comes_again),
		cmocka_unit_test(a_line_that_breaks_before_the_dot_leaves_no_doubt),
		cmocka_unit_test(a_line_that_breaks_behind_the_dot_is_a_matter_of_policy),
		cmocka_unit_test(a_doubt_is_only_of_those_who_were_taken),
		cmocka_unit_test(a_message_past_its_time_expires_with_its_next_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
