/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"
#include "outbound/test_bench.h"

#include <errno.h>
#include <sqlite3.h>

/* Mailboxes with several doors, classes, and what of a flow or a take cannot be read. */

#define LAB(limits)                                                                         \
	"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, connections: 1, " \
	"limits: { share: 100%, " limits " } } ]\nroutes: [ { through: lab } ]\n"
#define PLAIN LAB("messages_per_minute: 0")

static const struct letter plain = { .sender = "erp@contoso.com",
	.recipients = "anna@example.org" };
static const struct letter bulk = {
	.sender = "news@contoso.com", .recipients = "anna@example.org", .class = MAIL_CLASS_BULK
};
static const struct letter urgent = { .sender = "shop@contoso.com",
	.recipients = "anna@example.org",
	.class = MAIL_CLASS_TRANSACTIONAL };

/* ---- a mailbox with two doors ---- */

#define TWO_DOORS                                                                        \
	BENCH_CLEAR                                                                      \
	"hostname: relay.example.com\n"                                                  \
	"tenants: [ { name: c, id: contoso.com, domains: [contoso.com], app: { "         \
	"client_id: 11111111-2222-3333-4444-555555555555, secret: \"file:@F/secret\" } " \
	"} ]\n"                                                                          \
	"mailboxes:\n"                                                                   \
	"  - { address: erp@contoso.com, tenant: c, doors: [submission, graph],\n"       \
	"      password: \"file:@F/secret\", endpoint: { host: 127.0.0.1, port: @A },\n" \
	"      limits: { recipients_per_day: 100, share: 100% } }\n"                     \
	"connectors: [ { name: other, host: 127.0.0.1, port: @B, tls: none } ]\n"        \
	"routes: [ { through: [erp@contoso.com, other] } ]\n"

#define SUBMISSION "submission/erp@contoso.com"
#define GRAPH "graph/erp@contoso.com"

static void assert_stands_at(struct bench *b, const char *queue, const char *lane)
{
	const struct mail_flow f = {
		.queue = sv_from(queue), .class = MAIL_CLASS_NORMAL, .external = true
	};
	struct sv at = outbound_lane_of(b->o, &f);

	if (!sv_eq(at, sv_from(lane)))
		fail_msg("it stands at %.*s, not at %s", SV_ARG(at), lane);
}

/* The test has no HTTPS: whoever goes to the second door finds it shut, too, and the third way is another member. */
static void the_doors_of_a_mailbox_are_taken_in_their_order(void **state)
{
	static const struct letter by_one = { .sender = "erp@contoso.com",
		.recipients = "anna@example.org",
		.class = MAIL_CLASS_NORMAL,
		.queue = "m:erp@contoso.com" };
	struct letter by_two = by_one;
	uint64_t stays, goes;
	char path[128];
	struct bench b;

	(void)state;
	by_two.queue = "m:erp@contoso.com\nc:other";
	bench_open(&b, PLAIN);
	(void)snprintf(path, sizeof(path), "%s/secret", b.folder);
	must(io_file_write_durably(path, SV("right"), 0600, NULL) == 0);
	bench_reload(&b, TWO_DOORS);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_AUTH_PASSWORD,
		.times = 1000,
		.code = 535,
		.enhanced = "5.7.139",
		.text = "Authentication unsuccessful, SmtpClientAuthentication is disabled" };
	bench_start(&b);
	assert_stands_at(&b, by_one.queue, SUBMISSION);
	stays = bench_queue(&b, &by_one);
	/* The first door is shut; the second is asked, and is shut as well. */
	while (!bench_lane(&b, GRAPH).status.cause.len)
		bench_turn(&b);
	assert_int_equal(bench_lane(&b, SUBMISSION).status.state, SCHED_LANE_PARKED);
	assert_string_equal(bench_lane(&b, GRAPH).cause, "graph-not-configured");
	bench_wait_for(&b, stays, 0, STORE_RCPT_QUEUED, NULL);
	/* Another member has what may go by it; the other mail waits, and was not touched. */
	goes = bench_queue(&b, &by_two);
	bench_wait_for(&b, goes, 0, STORE_RCPT_DELIVERED, NULL);
	assert_stands_at(&b, by_two.queue, "smtp/other");
	bench_wait_for_mails(&b, 0, 1);
	/* It opens again, and nothing has moved: both find it. */
	b.a.rules[0].times = 0;
	bench_retry(&b);
	bench_wait_for(&b, stays, 0, STORE_RCPT_DELIVERED, NULL);
	assert_stands_at(&b, by_two.queue, SUBMISSION);
	goes = bench_queue(&b, &by_two);
	bench_wait_for(&b, goes, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for_mails(&b, 2, 1);
	/* One mailbox, one window, whichever door. */
	assert_int_equal(bench_lane(&b, SUBMISSION).status.use.day.used, 2);
	assert_int_equal(bench_lane(&b, GRAPH).status.use.day.used, 2);
	bench_close(&b);
}

/* The second door would be refused, too, for nothing: that it is not asked shows in that nobody finds it shut. */
static void a_limit_of_the_mailbox_shuts_all_of_its_doors(void **state)
{
	struct letter by_one = { .sender = "erp@contoso.com",
		.recipients = "anna@example.org",
		.class = MAIL_CLASS_NORMAL,
		.queue = "m:erp@contoso.com" };
	struct letter by_two = by_one;
	uint64_t stays, goes;
	char path[128];
	struct bench b;

	(void)state;
	by_two.queue = "m:erp@contoso.com\nc:other";
	bench_open(&b, PLAIN);
	(void)snprintf(path, sizeof(path), "%s/secret", b.folder);
	must(io_file_write_durably(path, SV("right"), 0600, NULL) == 0);
	bench_reload(&b, TWO_DOORS);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_END,
		.times = 1000,
		.code = 554,
		.enhanced = "5.2.0",
		.text = "STOREDRV.Submission.Exception:SubmissionQuotaExceededException" };
	bench_start(&b);
	(void)bench_queue(&b, &by_one);
	while (!bench_lane(&b, SUBMISSION).status.cause.len)
		bench_turn(&b);
	assert_string_equal(bench_lane(&b, SUBMISSION).cause, "daily-limit");
	stays = bench_queue(&b, &by_one);
	/* Another member has what may go by it. */
	goes = bench_queue(&b, &by_two);
	bench_wait_for(&b, goes, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for_mails(&b, 0, 1);
	assert_string_equal(bench_lane(&b, GRAPH).cause, "limit");
	b.a.rules[0].times = 0;
	bench_retry(&b);
	bench_wait_for(&b, stays, 0, STORE_RCPT_DELIVERED, NULL);
	assert_string_equal(bench_lane(&b, GRAPH).cause, "");
	bench_close(&b);
}

/* ---- classes ---- */

static void bulk_leaves_room_for_better_mail(void **state)
{
	struct bench b;
	uint64_t last;

	(void)state;
	bench_open(&b, LAB("recipients_per_day: 10"));
	bench_start(&b);
	(void)bench_queue(&b, &urgent);
	bench_wait_for_mails(&b, 1, 0);
	for (unsigned i = 0; i < 12; i++)
		last = bench_queue(&b, &bulk);
	/* A fiftieth of a day, rounded up: one. */
	bench_wait_for_mails(&b, 9, 0);
	for (unsigned i = 0; i < 20; i++)
		bench_turn(&b);
	assert_int_equal(b.a.mail_count, 9);
	(void)bench_queue(&b, &urgent);
	bench_wait_for_mails(&b, 10, 0);
	assert_string_equal(b.a.mails[9].sender, "shop@contoso.com");
	bench_wait_for(&b, last, 0, STORE_RCPT_QUEUED, NULL);
	bench_close(&b);
}

static void bulk_alone_has_all_of_the_day(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, LAB("recipients_per_day: 10"));
	bench_start(&b);
	for (unsigned i = 0; i < 12; i++)
		(void)bench_queue(&b, &bulk);
	bench_wait_for_mails(&b, 10, 0);
	bench_close(&b);
}

static void better_mail_leaves_before_bulk_that_waits(void **state)
{
	struct bench b;
	size_t at = 0;

	(void)state;
	bench_open(&b, PLAIN);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_MAIL, .times = 1, .hold = true };
	bench_start(&b);
	for (unsigned i = 0; i < 8; i++)
		(void)bench_queue(&b, &bulk);
	while (!up_is_holding(&b.a))
		bench_turn(&b);
	(void)bench_queue(&b, &urgent);
	up_release(&b.a, SMTP_SERVER_EV_MAIL);
	bench_wait_for_mails(&b, 9, 0);
	while (strcmp(b.a.mails[at].sender, "shop@contoso.com") != 0)
		at++;
	/* Behind the one that was under way. */
	assert_int_equal(at, 1);
	bench_close(&b);
}

/* Its time to live runs through any hold; that of other mail does not. */
static void a_class_ends_by_its_own_time(void **state)
{
	struct letter old_bulk = bulk, old_plain = plain;
	uint64_t over, waits;
	struct bench b;

	(void)state;
	old_bulk.age_us = old_plain.age_us = 2 * US_PER_HOUR;
	old_plain.class = MAIL_CLASS_NORMAL;
	bench_open(&b, "classes: { bulk: { expire: 1h } }\n" PLAIN);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_GREET,
		.times = 1000,
		.code = 421,
		.enhanced = "4.3.2",
		.text = "Service not active" };
	bench_start(&b);
	b.o->started_at.us = 0;
	(void)bench_queue(&b, &plain);
	while (!bench_lane(&b, "smtp/lab").status.cause.len)
		bench_turn(&b);
	over = bench_queue(&b, &old_bulk);
	waits = bench_queue(&b, &old_plain);
	outbound_kick(b.o, false);
	bench_wait_for(&b, over, 0, STORE_RCPT_EXPIRED, NULL);
	bench_wait_for(&b, waits, 0, STORE_RCPT_QUEUED, NULL);
	b.a.rules[0].times = 0;
	bench_retry(&b);
	bench_wait_for(&b, waits, 0, STORE_RCPT_DELIVERED, NULL);
	for (size_t i = 0; i < b.a.mail_count; i++)
		assert_string_not_equal(b.a.mails[i].sender, "news@contoso.com");
	bench_close(&b);
}

/* ---- what cannot be read ---- */

static void (*flows_done)(struct store_op *op);

static void fails(struct store_op *op)
{
	op->rc = -EIO;
	(void)err_set(&op->err, -EIO, "the disk does not answer");
	flows_done(op);
}

static void flows_that_cannot_be_read_are_read_again(void **state)
{
	struct bench b;
	uint64_t id;

	(void)state;
	bench_open(&b, PLAIN);
	id = bench_queue(&b, &plain);
	log_setup((enum log_level)(LOG_ERROR + 1), false);
	outbound_start(b.o);
	flows_done = b.o->flows.op.op.done;
	b.o->flows.op.op.done = fails;
	bench_until(&b, bench_started);
	assert_int_equal(b.o->flows.failures, 1);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	assert_int_equal(b.o->flows.failures, 0);
	bench_close(&b);
}

/* As a disk does it: behind the queue's back. */
static void lose_bodies(struct bench *b)
{
	char path[128];
	sqlite3 *db;

	(void)snprintf(path, sizeof(path), "%s/queue.db", b->folder);
	must(sqlite3_open(path, &db) == SQLITE_OK);
	must(sqlite3_exec(db, "DELETE FROM chunk", NULL, NULL, NULL) == SQLITE_OK);
	must(sqlite3_changes(db) > 0);
	must(sqlite3_close(db) == SQLITE_OK);
}

static void a_body_that_is_lost_stops_only_its_message(void **state)
{
	struct bench b;
	uint64_t lost, good;
	struct look look;

	(void)state;
	bench_open(&b, LAB("recipients_per_day: 100"));
	lost = bench_queue(&b, &plain);
	bench_close_queue(&b);
	lose_bodies(&b);
	log_setup((enum log_level)(LOG_ERROR + 1), false);
	bench_open_queue(&b);
	good = bench_queue(&b, &plain);
	bench_start(&b);
	bench_wait_for(&b, good, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for(&b, lost, 0, STORE_RCPT_QUEUED, "queue-unreadable");
	bench_look(&b, lost, 0, &look);
	assert_int_equal(look.attempts, 1);
	assert_int_equal(b.a.mail_count, 1);
	/* The lane goes on, and nothing of the lost message counts as sent. */
	assert_int_equal(bench_lane(&b, "smtp/lab").status.state, SCHED_LANE_READY);
	assert_int_equal(bench_lane(&b, "smtp/lab").status.use.day.used, 1);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_doors_of_a_mailbox_are_taken_in_their_order),
		cmocka_unit_test(a_limit_of_the_mailbox_shuts_all_of_its_doors),
		cmocka_unit_test(bulk_leaves_room_for_better_mail),
		cmocka_unit_test(bulk_alone_has_all_of_the_day),
		cmocka_unit_test(better_mail_leaves_before_bulk_that_waits),
		cmocka_unit_test(a_class_ends_by_its_own_time),
		cmocka_unit_test(flows_that_cannot_be_read_are_read_again),
		cmocka_unit_test(a_body_that_is_lost_stops_only_its_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
