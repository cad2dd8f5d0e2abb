/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"
#include "outbound/test_bench.h"

/* What stops mail, and what lets it go on: parks, limits, reload, drain, restart. */

#define LAB                                                                                     \
	"hostname: relay.example.com\n"                                                         \
	"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, connections: 1 } ]\n" \
	"routes: [ { through: lab } ]\n"

static const struct letter erp = { .sender = "erp@contoso.com", .recipients = "anna@example.org" };
static const struct letter crm = { .sender = "crm@contoso.com", .recipients = "bea@example.org" };

static void assert_state(struct bench *b, uint64_t id, enum store_recipient_state state,
	const char *lane, const char *cause)
{
	struct look look;

	bench_look(b, id, 0, &look);
	assert_int_equal(look.state, state);
	assert_string_equal(look.lane, lane);
	assert_string_equal(look.cause, cause);
}

static void rule_off(struct bench *b)
{
	b->a.rules[0].times = 0;
}

/* ---- senders ---- */

static const struct up_rule no_send_as = { .at = SMTP_SERVER_EV_MAIL,
	.match = "crm@",
	.times = 99,
	.code = 550,
	.enhanced = "5.7.60",
	.text = "SMTP; Client does not have permissions to send as this sender" };

static void a_parked_sender_does_not_stop_the_others(void **state)
{
	struct bench b;
	uint64_t first, second, third;

	(void)state;
	bench_open(&b, LAB);
	b.a.rules[0] = no_send_as;
	bench_start(&b);
	first = bench_queue(&b, &crm);
	bench_wait_for(&b, first, 0, STORE_RCPT_QUEUED, "send-as-denied");
	assert_int_equal(bench_parks(&b), 0);
	second = bench_queue(&b, &crm);
	bench_wait_for(&b, second, 0, STORE_RCPT_QUEUED, "send-as-denied");
	assert_int_equal(bench_parks(&b), 1);
	third = bench_queue(&b, &crm);
	(void)bench_queue(&b, &erp);
	bench_wait_for_mails(&b, 1, 0);
	bench_wait_for(&b, third, 0, STORE_RCPT_QUEUED, "send-as-denied");
	assert_string_equal(b.a.mails[0].sender, "erp@contoso.com");
	assert_state(&b, first, STORE_RCPT_QUEUED, "smtp/lab", "send-as-denied");
	/* The third was not tried: two different ones had proved it. */
	assert_int_equal(b.a.asked[SMTP_SERVER_EV_MAIL], 3);
	assert_int_equal(bench_lane(&b, "smtp/lab").status.state, SCHED_LANE_READY);
	rule_off(&b);
	bench_retry(&b);
	bench_wait_for_mails(&b, 4, 0);
	bench_wait_for(&b, first, 0, STORE_RCPT_DELIVERED, NULL);
	assert_int_equal(bench_parks(&b), 0);
	bench_close(&b);
}

static void a_parked_sender_stays_so_over_a_restart(void **state)
{
	struct bench b;
	bool claimed;
	uint64_t id;

	(void)state;
	bench_open(&b, LAB);
	b.a.rules[0] = no_send_as;
	bench_start(&b);
	for (unsigned i = 0; i < 2; i++) {
		id = bench_fresh(&b, &crm, &claimed);
		bench_wait_for(&b, id, 0, STORE_RCPT_QUEUED, "send-as-denied");
	}
	bench_restart(&b);
	assert_int_equal(bench_parks(&b), 1);
	/* New mail of this sender is not tried either; it says why from its first moment. */
	id = bench_fresh(&b, &crm, &claimed);
	assert_false(claimed);
	bench_wait_for(&b, id, 0, STORE_RCPT_QUEUED, "send-as-denied");
	assert_int_equal(b.a.asked[SMTP_SERVER_EV_MAIL], 2);
	bench_close(&b);
}

/* ---- the door itself ---- */

#define SIGNED                                                                              \
	"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, connections: 1, " \
	"login: relay, password: \"file:@F/secret\" } ]\nroutes: [ { through: lab } ]\n"

static void write_password(struct bench *b, const char *password)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/secret", b->folder);
	must(io_file_write_durably(path, sv_from(password), 0600, NULL) == 0);
}

/* The file must be there before the configuration names it. */
static void open_signed(struct bench *b)
{
	bench_open(b, LAB);
	write_password(b, "wrong");
	bench_reload(b, SIGNED);
	b->a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_AUTH_PASSWORD,
		.times = 99,
		.code = 535,
		.enhanced = "5.7.8",
		.text = "Authentication unsuccessful" };
	bench_start(b);
}

static void a_refused_sign_in_parks_the_lane_until_one_succeeds(void **state)
{
	struct lane_look lane;
	struct bench b;
	bool claimed;
	uint64_t first, second;

	(void)state;
	open_signed(&b);
	first = bench_fresh(&b, &erp, &claimed);
	assert_false(claimed);
	bench_wait_for(&b, first, 0, STORE_RCPT_QUEUED, "wrong-credentials");
	lane = bench_lane(&b, "smtp/lab");
	assert_int_equal(lane.status.state, SCHED_LANE_PARKED);
	assert_string_equal(lane.cause, "wrong-credentials");
	/* What comes now waits, and says why. */
	second = bench_fresh(&b, &crm, &claimed);
	assert_false(claimed);
	bench_wait_for(&b, second, 0, STORE_RCPT_QUEUED, "wrong-credentials");
	assert_int_equal(b.a.asked[SMTP_SERVER_EV_AUTH_PASSWORD], 1);
	/* A probe that fails holds on; the mail was never tried. */
	bench_retry(&b);
	while (b.a.asked[SMTP_SERVER_EV_AUTH_PASSWORD] < 2 || b.o->connections)
		bench_turn(&b);
	assert_int_equal(bench_lane(&b, "smtp/lab").status.state, SCHED_LANE_PARKED);
	assert_int_equal(b.a.mail_count, 0);
	write_password(&b, "right");
	rule_off(&b);
	bench_reload(&b, SIGNED);
	bench_wait_for_mails(&b, 2, 0);
	assert_string_equal(b.a.user, "relay");
	assert_string_equal(b.a.password, "right");
	assert_int_equal(bench_lane(&b, "smtp/lab").status.state, SCHED_LANE_READY);
	assert_state(&b, first, STORE_RCPT_DELIVERED, "smtp/lab", "accepted");
	/* Nor is it parked in the next life. */
	bench_restart(&b);
	assert_int_equal(bench_lane(&b, "smtp/lab").status.state, SCHED_LANE_READY);
	bench_close(&b);
}

static void a_parked_lane_is_parked_after_a_restart_and_soon_probed(void **state)
{
	struct bench b;
	bool claimed;
	uint64_t id;

	(void)state;
	open_signed(&b);
	id = bench_fresh(&b, &erp, &claimed);
	bench_wait_for(&b, id, 0, STORE_RCPT_QUEUED, "wrong-credentials");
	rule_off(&b);
	bench_restart(&b);
	assert_string_equal(bench_lane(&b, "smtp/lab").cause, "wrong-credentials");
	bench_wait_for_mails(&b, 1, 0);
	assert_int_equal(bench_lane(&b, "smtp/lab").status.state, SCHED_LANE_READY);
	bench_close(&b);
}

static void a_password_that_cannot_be_read_parks_too(void **state)
{
	struct bench b;
	bool claimed;
	uint64_t id;

	(void)state;
	open_signed(&b);
	rule_off(&b);
	write_password(&b, "");
	bench_reload(&b, SIGNED);
	id = bench_fresh(&b, &erp, &claimed);
	bench_wait_for(&b, id, 0, STORE_RCPT_QUEUED, "password-unreadable");
	assert_int_equal(bench_lane(&b, "smtp/lab").status.state, SCHED_LANE_PARKED);
	assert_int_equal(b.a.asked[SMTP_SERVER_EV_GREET], 0);
	write_password(&b, "right");
	bench_reload(&b, SIGNED);
	bench_wait_for_mails(&b, 1, 0);
	bench_close(&b);
}

/* Several connections hear the same refusal: one hold, and the next look frees them all. */
static void a_door_that_is_shut_for_now_makes_the_lane_wait(void **state)
{
	struct bench b;
	bool claimed;

	(void)state;
	bench_open(&b,
		"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, connections: 4 } "
		"]\n"
		"routes: [ { through: lab } ]\n");
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_GREET,
		.times = 99,
		.code = 421,
		.enhanced = "4.3.2",
		.text = "Service not active" };
	bench_start(&b);
	for (unsigned i = 0; i < 4; i++)
		(void)bench_fresh(&b, &erp, &claimed);
	while (b.a.asked[SMTP_SERVER_EV_GREET] == 0 || b.o->deliveries || b.o->connections)
		bench_turn(&b);
	assert_int_equal(bench_lane(&b, "smtp/lab").status.state, SCHED_LANE_WAITING);
	assert_int_equal(bench_summary(&b).out_messages_waiting, 4);
	rule_off(&b);
	bench_retry(&b);
	bench_wait_for_mails(&b, 4, 0);
	bench_close(&b);
}

/* ---- reload ---- */

#define BOTH                                                                          \
	"connectors:\n"                                                               \
	"  - { name: lab, host: 127.0.0.1, port: @A, tls: none, connections: 1 }\n"   \
	"  - { name: other, host: 127.0.0.1, port: @B, tls: none, connections: 1 }\n" \
	"routes: [ { through: lab } ]\n"
#define OTHER                                                                     \
	"connectors: [ { name: other, host: 127.0.0.1, port: @B, tls: none } ]\n" \
	"routes: [ { sender: \"erp@contoso.com\", through: other } ]\n"

static const struct up_rule not_now = {
	.at = SMTP_SERVER_EV_END, .times = 99, .code = 451, .enhanced = "4.6.0", .text = "Not now"
};

static void mail_of_a_lane_that_is_gone_finds_another_or_says_so(void **state)
{
	struct bench b;
	uint64_t moves, stays;

	(void)state;
	bench_open(&b, BOTH);
	b.a.rules[0] = not_now;
	bench_start(&b);
	moves = bench_queue(&b, &erp);
	stays = bench_queue(&b, &crm);
	while (b.a.asked[SMTP_SERVER_EV_END] < 2 || b.o->deliveries)
		bench_turn(&b);
	bench_reload(&b, OTHER);
	bench_wait_for_mails(&b, 0, 1);
	assert_state(&b, moves, STORE_RCPT_DELIVERED, "smtp/other", "accepted");
	bench_wait_for(&b, stays, 0, STORE_RCPT_QUEUED, "no-route");
	/* A route comes: it leaves without waiting for its next look. */
	rule_off(&b);
	bench_reload(&b, BOTH);
	bench_wait_for_mails(&b, 1, 1);
	bench_wait_for(&b, stays, 0, STORE_RCPT_DELIVERED, NULL);
	bench_close(&b);
}

static void mail_without_a_route_leaves_when_one_comes(void **state)
{
	const struct letter lost = {
		.sender = "crm@contoso.com", .recipients = "bea@example.org", .queue = ""
	};
	const struct sched_flow *flow;
	struct arena arena = { 0 };
	struct mail_flow key;
	struct bench b;
	uint64_t id;

	(void)state;
	bench_open(&b, OTHER);
	id = bench_queue(&b, &lost);
	bench_start(&b);
	bench_wait_for(&b, id, 0, STORE_RCPT_QUEUED, "no-route");
	key = bench_flow(&b, &lost, SV("bea@example.org"), &arena);
	flow = flow_get(b.o, &key);
	assert_int_equal(sched_flow_waiting(flow), 1);
	bench_reload(&b, BOTH);
	bench_wait_for_mails(&b, 1, 0);
	assert_state(&b, id, STORE_RCPT_DELIVERED, "smtp/lab", "accepted");
	assert_int_equal(sched_flow_waiting(flow), 0);
	arena_reset(&arena);
	bench_close(&b);
}

/* What an administrator changed may have freed it: the mail that waits for the sender's hold tries now, not in an hour. */
static void a_parked_sender_is_tried_after_a_reload(void **state)
{
	static const char *const to[] = {
		"one@example.org", "two@example.org", "three@example.org"
	};
	uint64_t last = 0;
	struct bench b;

	(void)state;
	bench_open(&b, LAB);
	b.a.rules[0] = no_send_as;
	bench_start(&b);
	for (unsigned i = 0; i < 3; i++) {
		last = bench_queue(
			&b, &(struct letter){ .sender = "crm@contoso.com", .recipients = to[i] });
		bench_wait_for(&b, last, 0, STORE_RCPT_QUEUED, "send-as-denied");
	}
	assert_int_equal(b.a.asked[SMTP_SERVER_EV_MAIL], 2);
	rule_off(&b);
	bench_reload(&b, LAB);
	bench_wait_for(&b, last, 0, STORE_RCPT_DELIVERED, NULL);
	/* Nor is it those that were refused whose next try frees it. */
	assert_non_null(strstr(b.a.mails[0].recipients, to[2]));
	assert_int_equal(bench_parks(&b), 0);
	bench_close(&b);
}

static void mail_that_was_about_to_leave_by_a_lane_that_goes_moves_too(void **state)
{
	struct bench b;
	bool claimed;
	uint64_t id;

	(void)state;
	bench_open(&b, BOTH);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_GREET, .times = 1, .hold = true };
	bench_start(&b);
	id = bench_fresh(&b, &erp, &claimed);
	assert_false(claimed);
	while (!up_is_holding(&b.a))
		bench_turn(&b);
	bench_reload(&b, OTHER);
	bench_wait_for_mails(&b, 0, 1);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	up_release(&b.a, SMTP_SERVER_EV_GREET);
	bench_close(&b);
	assert_int_equal(b.a.asked[SMTP_SERVER_EV_MAIL], 0);
}

static void a_lane_that_moved_does_not_use_its_old_connection(void **state)
{
	struct bench b;
	bool claimed;

	(void)state;
	bench_open(&b, LAB);
	bench_start(&b);
	(void)bench_fresh(&b, &erp, &claimed);
	bench_wait_for_mails(&b, 1, 0);
	bench_reload(&b,
		"connectors: [ { name: lab, host: 127.0.0.1, port: @B, tls: none } ]\n"
		"routes: [ { through: lab } ]\n");
	(void)bench_fresh(&b, &erp, &claimed);
	bench_wait_for_mails(&b, 1, 1);
	bench_close(&b);
}

/* ---- limits ---- */

#define SLOW(n)                                                                             \
	"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, connections: 1, " \
	"limits: { messages_per_minute: " n ", recipients_per_day: 1000 } } ]\n"            \
	"routes: [ { through: lab } ]\n"

static bool is_full(struct bench *b)
{
	return bench_lane(b, "smtp/lab").status.state == SCHED_LANE_WAITING &&
	       b->o->deliveries == 0;
}

static void the_minute_is_kept_over_a_restart(void **state)
{
	struct lane_look lane;
	struct bench b;
	bool claimed;

	(void)state;
	bench_open(&b, SLOW("3"));
	bench_start(&b);
	for (unsigned i = 0; i < 5; i++)
		(void)bench_fresh(&b, &erp, &claimed);
	bench_until(&b, is_full);
	lane = bench_lane(&b, "smtp/lab");
	assert_string_equal(lane.cause, "limit");
	assert_int_equal(lane.status.use.minute.used, 3);
	assert_int_equal(lane.status.use.day.used, 3);
	assert_int_equal(b.a.mail_count, 3);
	bench_restart(&b);
	bench_until(&b, is_full);
	lane = bench_lane(&b, "smtp/lab");
	assert_int_equal(lane.status.use.minute.used, 3);
	assert_int_equal(lane.status.use.day.used, 3);
	assert_int_equal(b.a.mail_count, 3);
	bench_reload(&b, SLOW("10"));
	bench_wait_for_mails(&b, 5, 0);
	assert_int_equal(bench_lane(&b, "smtp/lab").status.use.minute.used, 5);
	bench_close(&b);
}

static void what_was_refused_before_the_dot_uses_nothing(void **state)
{
	struct bench b;
	bool claimed;
	uint64_t id;

	(void)state;
	bench_open(&b, SLOW("3"));
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_RCPT,
		.times = 1,
		.code = 450,
		.enhanced = "4.2.1",
		.text = "Mailbox busy" };
	bench_start(&b);
	id = bench_fresh(&b, &erp, &claimed);
	while (b.a.asked[SMTP_SERVER_EV_RCPT] == 0 || b.o->deliveries)
		bench_turn(&b);
	bench_wait_for(&b, id, 0, STORE_RCPT_QUEUED, NULL);
	assert_int_equal(bench_lane(&b, "smtp/lab").status.use.minute.used, 0);
	bench_restart(&b);
	assert_int_equal(bench_lane(&b, "smtp/lab").status.use.minute.used, 0);
	bench_close(&b);
}

static void a_mailbox_that_comes_back_has_its_windows(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, SLOW("1"));
	bench_start(&b);
	(void)bench_queue(&b, &erp);
	bench_wait_for_mails(&b, 1, 0);
	bench_reload(&b, OTHER);
	bench_reload(&b, SLOW("1"));
	assert_int_equal(bench_lane(&b, "smtp/lab").status.use.minute.used, 1);
	assert_int_equal(bench_lane(&b, "smtp/lab").status.use.day.used, 1);
	bench_reload(&b, SLOW("0"));
	(void)bench_queue(&b, &erp);
	bench_wait_for_mails(&b, 2, 0);
	bench_reload(&b, SLOW("5"));
	assert_int_equal(bench_lane(&b, "smtp/lab").status.use.minute.used, 2);
	/* And over a restart, with no limit in between. */
	bench_reload(&b, SLOW("0"));
	bench_restart(&b);
	bench_reload(&b, SLOW("5"));
	assert_int_equal(bench_lane(&b, "smtp/lab").status.use.minute.used, 2);
	bench_close(&b);
}

static void waiting_for_a_limit_ends_too(void **state)
{
	struct bench b;
	uint64_t over, late;

	(void)state;
	bench_open(&b, "delay_notice: 4h\n" SLOW("1"));
	bench_start(&b);
	/* It has run for longer than anything has to wait for. */
	b.o->started_at.us = 0;
	(void)bench_queue(&b, &erp);
	bench_wait_for_mails(&b, 1, 0);
	over = bench_queue(&b,
		&(struct letter){ .sender = "erp@contoso.com",
			.recipients = "anna@example.org",
			.age_us = 25 * US_PER_HOUR });
	late = bench_queue(&b,
		&(struct letter){ .sender = "erp@contoso.com",
			.recipients = "anna@example.org",
			.age_us = 5 * US_PER_HOUR });
	outbound_kick(b.o, false);
	bench_wait_for(&b, over, 0, STORE_RCPT_EXPIRED, "limit");
	bench_wait_for(&b, late, 0, STORE_RCPT_QUEUED, "limit");
	/* It waits, and so do the bounce of the other and the notice of its delay; there is no second one. */
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(bench_summary(&b).out_messages_waiting, 3);
		bench_restart(&b);
		b.o->started_at.us = 0;
		outbound_kick(b.o, false);
	}
	assert_int_equal(b.a.mail_count, 1);
	bench_close(&b);
}

/* The order of mail still counts it, when a look has ended it. */
static void what_a_look_has_ended_does_not_end_once_more(void **state)
{
	struct bench b;
	uint64_t over;

	(void)state;
	bench_open(&b, SLOW("1"));
	bench_start(&b);
	b.o->started_at.us = 0;
	(void)bench_queue(&b, &erp);
	bench_wait_for_mails(&b, 1, 0);
	over = bench_queue(&b,
		&(struct letter){ .sender = "erp@contoso.com",
			.recipients = "anna@example.org",
			.age_us = 25 * US_PER_HOUR });
	(void)bench_queue(&b, &crm);
	/* It would have been looked at before it had this age. */
	outbound_kick(b.o, false);
	bench_wait_for(&b, over, 0, STORE_RCPT_EXPIRED, "limit");
	bench_reload(&b, SLOW("9"));
	/* The other one, and one notice. */
	bench_wait_for_mails(&b, 3, 0);
	while (b.o->deliveries || bench_summary(&b).out_messages_waiting)
		bench_turn(&b);
	assert_int_equal(b.a.mail_count, 3);
	bench_close(&b);
}

static void mail_without_a_route_ends_too(void **state)
{
	struct bench b;
	uint64_t id;

	(void)state;
	bench_open(&b, "parked_expire: 1h\ndelay_notice: off\n" OTHER);
	bench_start(&b);
	b.o->started_at.us = 0;
	id = bench_queue(&b,
		&(struct letter){ .sender = "crm@contoso.com",
			.recipients = "bea@example.org",
			.queue = "",
			.age_us = 25 * US_PER_HOUR });
	outbound_kick(b.o, false);
	bench_wait_for(&b, id, 0, STORE_RCPT_EXPIRED, "no-route");
	bench_close(&b);
}

/* What a clock that was ahead has planned does not wait for that time. */
static void mail_that_was_planned_too_far_is_due_after_a_start(void **state)
{
	struct bench b;
	uint64_t id, now;

	(void)state;
	bench_open(&b, LAB);
	id = bench_queue(&b,
		&(struct letter){ .sender = "erp@contoso.com",
			.recipients = "anna@example.org",
			.due_us = 4000 * US_PER_DAY });
	now = bench_queue(&b, &crm);
	bench_start(&b);
	bench_wait_for(&b, now, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_close(&b);
}

static void what_was_over_before_the_start_has_its_try(void **state)
{
	struct bench b;
	uint64_t id;

	(void)state;
	bench_open(&b, LAB);
	id = bench_queue(&b,
		&(struct letter){ .sender = "erp@contoso.com",
			.recipients = "anna@example.org",
			.age_us = 25 * US_PER_HOUR });
	bench_start(&b);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_close(&b);
}

/* The receiver may count it as long as its own time for the dot runs: longer than the minute. */
static void what_ended_uncertain_is_counted_over_restarts(void **state)
{
	struct outbound_lane_status now;
	struct bench b;
	uint64_t id;

	(void)state;
	bench_open(&b, "uncertain: hold\n" SLOW("1"));
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_END, .times = 1, .cut = true };
	bench_start(&b);
	id = bench_queue(&b, &erp);
	bench_wait_for(&b, id, 0, STORE_RCPT_HELD, "uncertain");
	for (unsigned i = 0; i < 3; i++) {
		now = bench_lane(&b, "smtp/lab").status;
		assert_int_equal(now.use.minute.used, 1);
		/* Ten minutes for the dot, the minute behind them, at most two of the ledger's grid. */
		assert_in_range(now.slot_at.us,
			(uint64_t)io_clock_wall().us + 10 * US_PER_MIN,
			(uint64_t)io_clock_wall().us + 13 * US_PER_MIN);
		bench_restart(&b);
	}
	bench_close(&b);
}

/* It died under the attempt: its start writes what the next ones need. */
static void attempts_without_an_outcome_are_counted_over_restarts(void **state)
{
	struct limit_entry rows[LIMIT_ENTRIES_MAX];
	struct bench b;

	(void)state;
	bench_open(&b, SLOW("3"));
	assert_int_equal(outbound_uncertain_ledger(b.o, SV("smtp/lab"), 7, rows), 1);
	assert_true(sv_eq(rows[0].scope, SV("c:lab")));
	assert_int_equal(rows[0].messages, 1);
	assert_int_equal(rows[0].recipients, 7);
	assert_true(rows[0].bucket * (int64_t)US_PER_MIN >=
		    store_steady_now(b.store, io_now(b.loop)) + 10 * (int64_t)US_PER_MIN);
	bench_close(&b);
}

/* A limit appears, and goes, while a message is under way. */
static void limits_may_change_under_a_delivery(void **state)
{
	struct bench b;
	bool claimed;

	(void)state;
	bench_open(&b, LAB);
	bench_start(&b);
	for (unsigned i = 0; i < 2; i++) {
		b.a.rules[0] =
			(struct up_rule){ .at = SMTP_SERVER_EV_END, .times = 1, .hold = true };
		(void)bench_fresh(&b, &erp, &claimed);
		while (!up_is_holding(&b.a))
			bench_turn(&b);
		bench_reload(&b, i == 0 ? SLOW("5") : LAB);
		up_release(&b.a, SMTP_SERVER_EV_END);
		bench_wait_for_mails(&b, i + 1, 0);
		assert_int_equal(bench_lane(&b, "smtp/lab").status.use.minute.used, i == 0);
	}
	bench_close(&b);
}

/* ---- drain ---- */

static void draining_ends_what_runs_and_takes_nothing_new(void **state)
{
	struct bench b;
	bool claimed;
	uint64_t running, next;

	(void)state;
	bench_open(&b, LAB);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_END, .times = 1, .hold = true };
	bench_start(&b);
	running = bench_fresh(&b, &erp, &claimed);
	while (!up_is_holding(&b.a))
		bench_turn(&b);
	next = bench_fresh(&b, &crm, &claimed);
	assert_false(claimed);
	outbound_drain(b.o, bench_on_drained, &b);
	for (unsigned i = 0; i < 10; i++)
		bench_turn(&b);
	assert_false(b.drained);
	up_release(&b.a, SMTP_SERVER_EV_END);
	bench_until(&b, bench_drained);
	assert_int_equal(b.o->connections, 0);
	assert_int_equal(b.a.mail_count, 1);
	assert_state(&b, running, STORE_RCPT_DELIVERED, "smtp/lab", "accepted");
	assert_state(&b, next, STORE_RCPT_QUEUED, "smtp/lab", "");
	(void)bench_fresh(&b, &erp, &claimed);
	assert_false(claimed);
	bench_restart(&b);
	bench_wait_for_mails(&b, 3, 0);
	assert_string_equal(b.a.mails[0].sender, "erp@contoso.com");
	bench_close(&b);
}

static void draining_gives_up_a_connection_that_is_not_there_yet(void **state)
{
	struct bench b;
	bool claimed;
	uint64_t id;

	(void)state;
	bench_open(&b, LAB);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_GREET, .times = 1, .hold = true };
	bench_start(&b);
	id = bench_fresh(&b, &erp, &claimed);
	while (!up_is_holding(&b.a))
		bench_turn(&b);
	bench_drain(&b);
	assert_state(&b, id, STORE_RCPT_QUEUED, "smtp/lab", "");
	assert_int_equal(b.o->connections, 0);
	bench_close(&b);
}

/* Time is up: only what the server has whole is in doubt. */
static void giving_up_withdraws_what_has_not_left(void **state)
{
	static const struct {
		enum smtp_server_event_kind at;
		uint32_t uncertain;
	} rows[] = {
		{ SMTP_SERVER_EV_GREET, 0 },
		{ SMTP_SERVER_EV_MAIL, 0 },
		{ SMTP_SERVER_EV_RCPT, 0 },
		{ SMTP_SERVER_EV_DATA, 0 },
		{ SMTP_SERVER_EV_END, 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bench b;
		struct look look;
		bool claimed;
		uint64_t id;

		bench_open(&b, LAB);
		b.a.rules[0] = (struct up_rule){ .at = rows[i].at, .times = 1, .hold = true };
		bench_start(&b);
		id = bench_fresh(&b, &erp, &claimed);
		while (!up_is_holding(&b.a))
			bench_turn(&b);
		outbound_drain(b.o, bench_on_drained, &b);
		outbound_give_up(b.o);
		bench_until(&b, bench_drained);
		assert_int_equal(b.o->connections, 0);
		bench_look(&b, id, 0, &look);
		assert_int_equal(look.state, STORE_RCPT_QUEUED);
		assert_int_equal(look.uncertain, rows[i].uncertain);
		assert_string_equal(look.cause, rows[i].uncertain ? "uncertain" : "");
		bench_close(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_parked_sender_does_not_stop_the_others),
		cmocka_unit_test(a_parked_sender_stays_so_over_a_restart),
		cmocka_unit_test(a_refused_sign_in_parks_the_lane_until_one_succeeds),
		cmocka_unit_test(a_parked_lane_is_parked_after_a_restart_and_soon_probed),
		cmocka_unit_test(a_password_that_cannot_be_read_parks_too),
		cmocka_unit_test(a_door_that_is_shut_for_now_makes_the_lane_wait),
		cmocka_unit_test(mail_of_a_lane_that_is_gone_finds_another_or_says_so),
		cmocka_unit_test(mail_without_a_route_leaves_when_one_comes),
		cmocka_unit_test(a_parked_sender_is_tried_after_a_reload),
		cmocka_unit_test(mail_that_was_about_to_leave_by_a_lane_that_goes_moves_too),
		cmocka_unit_test(a_lane_that_moved_does_not_use_its_old_connection),
		cmocka_unit_test(the_minute_is_kept_over_a_restart),
		cmocka_unit_test(what_was_refused_before_the_dot_uses_nothing),
		cmocka_unit_test(a_mailbox_that_comes_back_has_its_windows),
		cmocka_unit_test(waiting_for_a_limit_ends_too),
		cmocka_unit_test(what_a_look_has_ended_does_not_end_once_more),
		cmocka_unit_test(mail_without_a_route_ends_too),
		cmocka_unit_test(mail_that_was_planned_too_far_is_due_after_a_start),
		cmocka_unit_test(what_was_over_before_the_start_has_its_try),
		cmocka_unit_test(what_ended_uncertain_is_counted_over_restarts),
		cmocka_unit_test(attempts_without_an_outcome_are_counted_over_restarts),
		cmocka_unit_test(limits_may_change_under_a_delivery),
		cmocka_unit_test(draining_ends_what_runs_and_takes_nothing_new),
		cmocka_unit_test(draining_gives_up_a_connection_that_is_not_there_yet),
		cmocka_unit_test(giving_up_withdraws_what_has_not_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
