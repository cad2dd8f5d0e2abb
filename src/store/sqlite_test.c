/* SPDX-License-Identifier: Apache-2.0 */
#include "store/test_bench.h"

#include "store/sqlite_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is SQLite's alone: its file, its format, its plans. The operations: store_test.c, look_test.c. */

static void newer_format_is_refused(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };

	bench_open(b);
	bench_shut(b);
	bench_exec(b, "PRAGMA user_version=99");
	/* Not RC_CORRUPT: nobody must repair it. */
	assert_int_equal(bench_try_open(b, &err), -ENOTSUP);
}

static void no_database_is_refused(void **state)
{
	struct bench *b = *state;
	char path[2 * BENCH_PATH_MAX];
	struct err err = { 0 };
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/queue.db", b->folder);
	f = fopen(path, "we");
	assert_non_null(f);
	for (int i = 0; i < 1000; i++)
		(void)fputs("this is not a queue", f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(bench_try_open(b, &err), RC_CORRUPT);
	assert_non_null(strstr(err.text, path));
}

/* Bytes, address and envelope: what does not fit its sum does not leave. */
static void what_the_disk_changed_is_not_sent(void **state)
{
	static const char *const changes[] = {
		"UPDATE chunk SET bytes=CAST('Subject: X' AS BLOB)",
		"UPDATE recipient SET address='mallory'||substr(address,8)",
		"UPDATE message SET sender='mallory@contoso.com'",
	};

	for (size_t i = 0; i < COUNT_OF(changes); i++) {
		CLEANUP(buf_deinitp) struct buf body = BUF_INIT(1000);
		struct bench b;
		struct arena a = { 0 };
		struct mail mail;
		const struct mail_flow flow = bench_flow("submission/a");
		struct store_look look = { .op.kind = STORE_OP_LOOK,
			.until.us = INT64_MAX,
			.limit = 10,
			.out_arena = &a };
		struct taken taken;

		(void)state;
		bench_make(&b);
		bench_open(&b);
		mail_make(&b, &mail, 1, "submission/a");
		assert_int_equal(bench_put(&b, &mail, SV("Subject: x")), 0);
		bench_shut(&b);
		bench_exec(&b, changes[i]);
		bench_open(&b);
		assert_int_equal(bench_run(&b, &look.op), 0);
		assert_int_equal(look.out_count, i == 0 ? 1 : 0);
		assert_int_equal(bench_take(&b, &flow, 1, &taken), i == 0 ? 0 : RC_NOT_FOUND);
		assert_int_equal(bench_body(&b, mail.m.id, 0, &body), i == 0 ? RC_CORRUPT : 0);
		assert_int_equal(store_damage(b.s).messages, 1);
		assert_true(store_damage(b.s).named[0] == mail.m.id);
		arena_reset(&a);
		mail_free(&mail);
		bench_remove(&b);
	}
}

/* Rows without those that they belong to: they cost themselves, and no start. */
static void bad_rows_stop_no_start(void **state)
{
	struct bench *b = *state;
	struct mail mail, other;

	bench_open(b);
	mail_make(b, &mail, 2, "submission/a");
	mail_make(b, &other, 1, "submission/a");
	assert_int_equal(bench_put_claimed(b, &mail, SV("Subject: x")), 0);
	assert_int_equal(bench_put(b, &other, SV("Subject: y")), 0);
	bench_shut(b);
	/* An attempt without its message, one with a recipient that is gone, one with words for numbers; and a gap in the
	 * names. */
	bench_exec(b, "INSERT INTO attempt VALUES((77<<12)|1,1,5,NULL,0,NULL,NULL,'0 1')");
	bench_exec(b, "INSERT INTO attempt VALUES((78<<12)|1,9,5,NULL,0,NULL,NULL,'x y')");
	bench_exec(b, "DELETE FROM recipient WHERE (id&4095)=1");
	bench_exec(b, "INSERT INTO lane SELECT max(id)+3,'smtp/late' FROM lane");
	bench_open(b);
	bench_resolve(b, STORE_UNCERTAIN_RETRY);
	assert_int_equal(store_health(b->s).bad_rows, 3);
	expect_state(b, mail.m.id, 0, STORE_RCPT_QUEUED);
	expect_state(b, other.m.id, 0, STORE_RCPT_QUEUED);
	bench_shut(b);
	assert_int_equal(bench_sql(b, "SELECT count(*) FROM attempt WHERE ended_at IS NULL"), 0);
	bench_open(b);
	assert_int_equal(b->found.uncertain_count, 0);
	mail_free(&mail);
	mail_free(&other);
}

/* What the kernel says of its clock is the test's. */
static bool is_synced;

bool io_clock_is_synced(void)
{
	return is_synced;
}

/* The clock at a boot is 25 hours, or six days, ahead of what the queue knew. */
static void a_clock_that_jumped_over_a_boot_is_doubted(void **state)
{
	static const int64_t hours[] = { 25, 6 * 24 };
	struct bench *b = *state;
	char sql[128];

	bench_open(b);
	bench_shut(b);
	for (size_t i = 0; i < COUNT_OF(hours); i++) {
		int64_t ahead = hours[i] * (int64_t)US_PER_HOUR, known = io_clock_wall().us - ahead;

		(void)snprintf(sql,
			sizeof(sql),
			"UPDATE state SET boot_id='other', steady_us=%lld",
			(long long)known);
		bench_exec(b, sql);
		/* Nobody knows: the windows are as they were, and no mail has got older. */
		is_synced = false;
		bench_open(b);
		assert_true(store_doubtful_us(b->s) >= (uint64_t)ahead);
		assert_true(store_steady_now(b->s, io_clock_mono()) < known + (int64_t)US_PER_HOUR);
		bench_shut(b);
		/* A time server has set it. */
		is_synced = true;
		bench_open(b);
		assert_int_equal(store_doubtful_us(b->s), 0);
		assert_true(store_steady_now(b->s, io_clock_mono()) >= known + ahead);
		bench_shut(b);
	}
	/* Half an hour is nothing. */
	(void)snprintf(sql,
		sizeof(sql),
		"UPDATE state SET boot_id='other', steady_us=%lld",
		(long long)(io_clock_wall().us - (int64_t)US_PER_HOUR / 2));
	bench_exec(b, sql);
	is_synced = false;
	bench_open(b);
	assert_int_equal(store_doubtful_us(b->s), 0);
	bench_shut(b);
}

/* Any operation: behind it the store does its housekeeping, and the end waits for that. */
static void bench_steps(struct bench *b)
{
	struct store_park op = { .op.kind = STORE_OP_PARK, .row.key = SV("tenant:x") };

	for (int i = 0; i < 3; i++)
		assert_int_equal(bench_run(b, &op.op), 0);
}

static int64_t history_left(struct bench *b)
{
	bench_shut(b);
	return bench_sql(b, "SELECT count(*) FROM message");
}

/* Messages of a clock that was ten years ahead: they go some day, and hide none that are old. */
static void history_of_a_wrong_clock_goes(void **state)
{
	struct bench *b = *state;
	const int64_t now = io_clock_wall().us, ahead = 3650 * (int64_t)US_PER_DAY;
	const int64_t old = 20 * (int64_t)US_PER_DAY;
	char sql[400];

	bench_open(b);
	bench_shut(b);
	/* One whose id and end lie ahead, one whose id alone does; one behind them that is young. */
	(void)snprintf(sql,
		sizeof(sql),
		"INSERT INTO message(id, accepted_at, expires_at, finished_at, pending, flags, "
		"chunks, size, story_bytes) "
		"VALUES(%lld,0,0,%lld,0,0,0,0,0),(%lld,0,0,%lld,0,0,0,0,0),"
		"(%lld,0,0,%lld,0,0,0,0,0); UPDATE state SET history=3",
		(long long)(now + ahead - STORE_EPOCH_US),
		(long long)(now + ahead),
		(long long)(now + ahead - STORE_EPOCH_US + 1),
		(long long)(now - old),
		(long long)(now + ahead - STORE_EPOCH_US + 2),
		(long long)now);
	bench_exec(b, sql);
	/* While nobody knows the time, what lies ahead stays as it is. */
	is_synced = false;
	bench_open(b);
	bench_steps(b);
	assert_int_equal(history_left(b), 2);
	assert_int_equal(
		bench_sql(b, "SELECT count(*) FROM message WHERE finished_at>2000000000000000"), 1);
	is_synced = true;
	bench_open(b);
	bench_steps(b);
	assert_int_equal(history_left(b), 2);
	assert_int_equal(
		bench_sql(b, "SELECT count(*) FROM message WHERE finished_at>2000000000000000"), 0);
	/* Its time has begun, and ends. */
	b->options.history_keep_us = 1;
	bench_open(b);
	bench_steps(b);
	assert_int_equal(history_left(b), 0);
}

static void steady_time_goes_on(void **state)
{
	struct bench *b = *state;
	struct store_park op = { .op.kind = STORE_OP_PARK, .row.key = SV("tenant:x") };
	struct mono_time now = { UINT64_C(1) << 50 };
	int64_t before, future = io_clock_wall().us + 100 * (int64_t)US_PER_DAY;
	char sql[128];

	bench_open(b);
	before = store_steady_now(b->s, now);
	assert_int_equal(store_steady_now(b->s, mono_add(now, 5)), before + 5);
	assert_int_equal(bench_run(b, &op.op), 0);
	/* The same boot: exactly the same clock, whatever the wall clock does. */
	bench_reopen(b);
	assert_int_equal(store_steady_now(b->s, now), before);
	bench_shut(b);
	/* Another boot, and the wall clock far behind what was stored: never back. */
	(void)snprintf(sql,
		sizeof(sql),
		"UPDATE state SET boot_id='other', steady_us=%lld",
		(long long)future);
	bench_exec(b, sql);
	bench_open(b);
	assert_true(store_steady_now(b->s, io_clock_mono()) >= future);
	assert_true(store_steady_now(b->s, io_clock_mono()) < future + (int64_t)US_PER_HOUR);
	bench_shut(b);
	/* Another boot in due order: the wall clock. */
	bench_exec(b, "UPDATE state SET boot_id='other', steady_us=5");
	bench_open(b);
	assert_true(llabs(store_steady_now(b->s, io_clock_mono()) - io_clock_wall().us) <
		    (int64_t)US_PER_HOUR);
	bench_shut(b);
}

/* Tables that stay small, and the index of what is open, which is as long as there are connections. */
static bool may_be_scanned(const char *detail)
{
	static const char *const small[] = { "SCAN partial",
		"SCAN dead",
		"SCAN ledger",
		"SCAN park",
		"SCAN (",
		"SCAN attempt USING INDEX attempt_open" };

	for (size_t i = 0; i < COUNT_OF(small); i++)
		if (strncmp(detail, small[i], strlen(small[i])) == 0)
			return true;
	return false;
}

static void check_plan(struct bench *b, enum store_sql which)
{
	const char *sql = sqlite3_sql(store_sqlite_of(b->s)->sql[which]);
	char *explain = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sql);
	sqlite3_stmt *q = NULL;

	assert_int_equal(
		sqlite3_prepare_v2(store_sqlite_of(b->s)->db, explain, -1, &q, NULL), SQLITE_OK);
	while (sqlite3_step(q) == SQLITE_ROW) {
		const char *detail = (const char *)sqlite3_column_text(q, 3);

		if ((strncmp(detail, "SCAN ", 5) == 0 && !may_be_scanned(detail)) ||
			strstr(detail, "AUTOMATIC") != NULL ||
			(strstr(detail, "TEMP B-TREE") != NULL && which != SQL_WAITING_FROM))
			fail_msg("%s: %s", sql, detail);
	}
	assert_int_equal(sqlite3_finalize(q), SQLITE_OK);
	sqlite3_free(explain);
}

/* I10: no statement reads more than it answers. What it would do with a million rows, it says now. */
static void statements_use_their_indexes(void **state)
{
	struct bench *b = *state;

	bench_open(b);
	for (int i = 0; i < SQL_COUNT; i++)
		check_plan(b, (enum store_sql)i);
	bench_shut(b);
}

/* ---- flows whose mail has left ---- */

static int put_in(struct bench *b, const char *queue, struct mail *mail)
{
	mail_make(b, mail, 1, queue);
	return bench_put(b, mail, SV("body"));
}

/* A number is given back when what it was given for is rolled back. */
static void put_into_new_flows(struct bench *b)
{
	struct mail twice, mail;

	mail_make(b, &twice, 2, "m:new-0");
	twice.recipients[1].index = 0; /* fails behind the name of its flow */
	assert_int_not_equal(bench_put(b, &twice, SV("body")), 0);
	mail_free(&twice);
	assert_int_equal(put_in(b, "m:new-1", &mail), 0);
	mail_free(&mail);
	assert_int_equal(put_in(b, "m:new-2", &mail), 0);
	mail_free(&mail);
}

static void flows_without_mail_go(void **state)
{
	enum {
		OLD = 12000
	};
	static const char old[] =
		"INSERT INTO flow WITH RECURSIVE c(i) AS (SELECT 101 UNION ALL SELECT i+1 FROM c"
		" WHERE i<12100) SELECT i, 'n'||char(9)||'i'||char(9)||'user'||i||char(9)||char(9)"
		"||'m:a', 0, 0 FROM c";
	struct bench *b = *state;
	struct mail waits, gone;
	struct arena a = { 0 };
	struct store_show show;
	uint64_t commits;

	bench_open(b);
	assert_int_equal(put_in(b, "m:waits", &waits), 0);
	mail_make(b, &gone, 1, "m:gone");
	assert_int_equal(bench_put_claimed(b, &gone, SV("body")), 0);
	assert_int_equal(bench_end(b, gone.m.id, 1, 1, STORE_RCPT_DELIVERED), 0);
	bench_shut(b);
	bench_exec(b, old);
	bench_open(b);
	store_sqlite_of(b->s)->sweep.at.us = 1; /* not in ten minutes */
	commits = store_health(b->s).commits;
	assert_int_equal(bench_show(b, gone.m.id, &a, &show), 0);
	arena_reset(&a);
	for (int i = 0; i < 3000 && store_health(b->s).commits < commits + OLD / 500; i++)
		bench_sleep(20);
	put_into_new_flows(b);
	bench_shut(b);
	assert_int_equal(bench_sql(b, "SELECT count(*) FROM flow"), 4);
	/* In the place of old ones. */
	assert_int_equal(bench_sql(b, "SELECT count(*) FROM flow WHERE id>12100"), 0);
	/* There are holes now. */
	bench_open(b);
	put_into_new_flows(b);
	assert_int_equal(bench_show(b, gone.m.id, &a, &show), 0);
	assert_true(sv_eq(show.out_message->recipients[0].flow.queue, SV("m:gone")));
	arena_reset(&a);
	assert_int_equal(bench_show(b, waits.m.id, &a, &show), 0);
	assert_true(sv_eq(show.out_message->recipients[0].flow.queue, SV("m:waits")));
	arena_reset(&a);
	shut_and_audit(b);
	assert_int_equal(bench_sql(b, "SELECT count(*) FROM flow"), 4);
	mail_free(&waits);
	mail_free(&gone);
}

/* Where the name of a flow is lost, its mail is found all the same: a queue that nobody has is routed anew. */
static void mail_of_a_flow_without_a_name_is_found(void **state)
{
	struct bench *b = *state;
	struct arena a = { 0 };
	struct store_flows flows = { .op.kind = STORE_OP_FLOWS, .out_arena = &a };
	struct store_list list = { .op.kind = STORE_OP_LIST,
		.filter = { .state = STORE_RCPT_QUEUED },
		.after_index = UINT32_MAX,
		.out_arena = &a };
	struct mail mail;

	bench_open(b);
	assert_int_equal(put_in(b, "m:lost", &mail), 0);
	mail_free(&mail);
	assert_int_equal(put_in(b, "m:kept", &mail), 0);
	mail_free(&mail);
	bench_shut(b);
	bench_exec(b, "DELETE FROM flow WHERE key LIKE '%lost'");
	bench_open(b);
	assert_int_equal(bench_run(b, &flows.op), 0);
	assert_int_equal(flows.out_count, 2);
	assert_int_equal(flows.out_flows[0].key.queue.len, 0);
	list.filter.flow = &flows.out_flows[0].key;
	assert_int_equal(bench_run(b, &list.op), 0);
	assert_int_equal(list.out_count, 1);
	arena_reset(&a);
	bench_shut(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(newer_format_is_refused),
		BENCH_TEST(no_database_is_refused),
		cmocka_unit_test(what_the_disk_changed_is_not_sent),
		BENCH_TEST(bad_rows_stop_no_start),
		BENCH_TEST(steady_time_goes_on),
		BENCH_TEST(a_clock_that_jumped_over_a_boot_is_doubted),
		BENCH_TEST(history_of_a_wrong_clock_goes),
		BENCH_TEST(statements_use_their_indexes),
		BENCH_TEST(flows_without_mail_go),
		BENCH_TEST(mail_of_a_flow_without_a_name_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
