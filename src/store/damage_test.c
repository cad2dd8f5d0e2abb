/* SPDX-License-Identifier: Apache-2.0 */
#include "store/test_bench.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* Pages that the disk has damaged: they cost what stands on them, and everything else goes on. */
enum {
	PAGE = 4096,
	MAILS = 200,
	DAMAGED_AT = 90, /* its row stands on the page that is damaged */
};
static const char lane[] = "smtp/hop";

struct many {
	uint64_t ids[MAILS];
};

/* All in one commit. */
static void fill(struct bench *b, struct many *many)
{
	static const char text[] = "Subject: x\r\n\r\nx\r\n";
	static struct mail mails[MAILS];
	static struct store_put puts[MAILS];
	CLEANUP(buf_deinitp) struct buf large = BUF_INIT(0);

	fill_body(&large, 3 * PAGE, 1); /* with pages of its own */
	for (size_t i = 0; i < MAILS; i++) {
		mail_make(b, &mails[i], 2, lane);
		many->ids[i] = mails[i].m.id;
		puts[i] = (struct store_put){ .op.kind = STORE_OP_PUT,
			.message = &mails[i].m,
			.body = i == DAMAGED_AT ? buf_sv(&large) : sv_from(text) };
		mails[i].m.size = puts[i].body.len;
		bench_hand(b, &puts[i].op);
	}
	bench_wait(b);
	for (size_t i = 0; i < MAILS; i++) {
		must(puts[i].op.rc == 0);
		mail_free(&mails[i]);
	}
}

/* The page of this table or index on which the row of a key in the middle stands, or its only one. */
static int64_t page_of(struct bench *b, const char *name, bool overflow)
{
	char sql[400];

	(void)snprintf(sql,
		sizeof(sql),
		"SELECT pageno FROM dbstat WHERE name='%s' AND pagetype='%s' ORDER BY path LIMIT 1 "
		"OFFSET (SELECT count(*)/2 FROM dbstat WHERE name='%s' AND pagetype='%s')",
		name,
		overflow ? "overflow" : "leaf",
		name,
		overflow ? "overflow" : "leaf");
	return bench_sql(b, sql);
}

static void damage(struct bench *b, int64_t page)
{
	char path[2 * BENCH_PATH_MAX], bytes[PAGE];
	int fd;

	bench_exec(b, "PRAGMA wal_checkpoint(TRUNCATE)");
	(void)snprintf(path, sizeof(path), "%s/queue.db", b->folder);
	memset(bytes, 0xff, sizeof(bytes));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	must(fd >= 0);
	must(pwrite(fd, bytes, sizeof(bytes), (off_t)(page - 1) * PAGE) == PAGE);
	must(close(fd) == 0);
}

struct looked {
	size_t messages, recipients;
	int rc;
};

/* As a lane takes: one message after another, till nothing is due. */
static struct looked send_all(struct bench *b)
{
	const struct mail_flow flow = bench_flow(lane);
	struct looked l = { 0 };
	struct taken taken;

	while ((l.rc = bench_take(b, &flow, 2, &taken)) == 0) {
		struct store_recipient_outcome out[2];
		struct store_outcome end = { .op.kind = STORE_OP_OUTCOME,
			.message_id = taken.id,
			.attempt = taken.attempt,
			.recipients = out,
			.recipient_count = taken.count };

		for (size_t r = 0; r < taken.count; r++)
			out[r] = (struct store_recipient_outcome){
				.index = taken.first + (uint32_t)r, .state = STORE_RCPT_DELIVERED
			};
		if (bench_run(b, &end.op) != 0)
			fail_msg("%s", end.op.err.text);
		l.messages++;
		l.recipients += taken.count;
		assert_true(l.messages <= 2 * MAILS);
	}
	/* What cannot be read is looked for again, but not at once. */
	assert_true(l.rc != RC_NOT_FOUND || taken.next_due.us > io_clock_wall().us);
	return l;
}

static void damaged_queue(struct bench *b, const char *name, bool overflow, struct many *many)
{
	bench_make(b);
	bench_open(b);
	fill(b, many);
	bench_shut(b);
	damage(b, page_of(b, name, overflow));
	b->options.in_spite_of_damage = true;
	bench_open(b);
}

/* What stands on a page of this table waits and is named; everything else leaves, and nothing goes in a circle. */
static void a_page_costs_what_stands_on_it(void **state)
{
	static const struct {
		const char *table;
		size_t cost_max; /* messages */
	} rows[] = { { "message", 40 }, { "recipient", 60 } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bench b;
		struct many many;
		struct looked l;
		struct store_damage d;

		damaged_queue(&b, rows[i].table, false, &many);
		l = send_all(&b);
		d = store_damage(b.s);
		assert_int_equal(l.rc, RC_NOT_FOUND);
		assert_true(d.met && d.messages > 0 && d.messages <= rows[i].cost_max);
		assert_true(l.messages >= MAILS - d.messages);
		assert_true(l.recipients < 2 * (size_t)MAILS);
		assert_non_null(strstr(d.words, "malformed"));
		/* Nothing is tried again at once. */
		assert_int_equal(send_all(&b).messages, 0);
		assert_true(store_damage(b.s).messages == d.messages);
		bench_shut(&b);
		bench_remove(&b);
	}
}

/* Where the attempts of some would stand is damaged: these wait, the same take has the next one. */
static void a_take_leaves_out_what_it_cannot_open(void **state)
{
	static const char attempts[] =
		"INSERT INTO attempt SELECT m.id<<12|(i+100),1,1,1,0,'relay','stage','0 0 0 0 0 0'"
		" FROM message m, (WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM c"
		" WHERE i<39) SELECT i FROM c)";
	struct bench b;
	struct many many;
	struct looked l;
	struct store_damage d;

	(void)state;
	bench_make(&b);
	bench_open(&b);
	fill(&b, &many);
	bench_shut(&b);
	bench_exec(&b, attempts);
	damage(&b, page_of(&b, "attempt", false));
	bench_open(&b);
	l = send_all(&b);
	d = store_damage(b.s);
	assert_int_equal(l.rc, RC_NOT_FOUND);
	assert_true(d.messages > 0 && d.messages < 10);
	assert_int_equal(l.messages, MAILS - d.messages);
	assert_int_equal(send_all(&b).messages, 0);
	bench_shut(&b);
	bench_remove(&b);
}

static void a_damaged_body_is_named(void **state)
{
	CLEANUP(buf_deinitp) struct buf body = BUF_INIT(5 * PAGE);
	struct bench b;
	struct many many;
	struct store_damage d;

	(void)state;
	damaged_queue(&b, "chunk", true, &many);
	assert_int_equal(bench_body(&b, many.ids[DAMAGED_AT], 0, &body), RC_CORRUPT);
	d = store_damage(b.s);
	assert_int_equal(d.messages, 1);
	assert_true(d.named[0] == many.ids[DAMAGED_AT]);
	assert_int_equal(send_all(&b).messages, MAILS - 1);
	bench_shut(&b);
	bench_remove(&b);
}

/* Pages of attempts, of the ledger, of figures: what is done without there is done. */
static void what_is_not_the_mail_stops_no_outcome(void **state)
{
	static const struct {
		const char *table;
		bool overflow;
	} rows[] = { { "chunk", false }, { "day", false } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bench b;
		struct many many;
		struct looked l;

		damaged_queue(&b, rows[i].table, rows[i].overflow, &many);
		l = send_all(&b);
		assert_int_equal(l.rc, RC_NOT_FOUND);
		assert_int_equal(l.messages, MAILS);
		assert_true(store_damage(b.s).met);
		bench_shut(&b);
		bench_remove(&b);
	}
}

/* An index or a list at which new rows are put down: such a queue is for a repair, before it is opened. */
static void a_damaged_index_is_found_at_the_start(void **state)
{
	static const char *const names[] = { "recipient_due",
		"recipient_wait",
		"attempt_open",
		"sqlite_autoindex_lane_1",
		"sqlite_autoindex_flow_1",
		"recipient_look",
		"flow",
		"lane",
		"state",
		"day",
		"attempt",
		"partial",
		"dead" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct bench b;
		struct many many;
		struct err err = { 0 };

		bench_make(&b);
		bench_open(&b);
		fill(&b, &many);
		bench_shut(&b);
		damage(&b, page_of(&b, names[i], false));
		if (bench_try_open(&b, &err) != RC_CORRUPT)
			fail_msg("%s", names[i]);
		bench_remove(&b);
	}
}

/* The page on which the newest rows stand: nothing new goes there, and what is not there leaves. */
static void new_mail_is_refused_where_it_has_no_place(void **state)
{
	struct bench b;
	struct many many;
	struct mail mail;
	char sql[] = "SELECT pageno FROM dbstat WHERE name='message' AND pagetype='leaf' ORDER BY "
		     "path DESC LIMIT 1";
	struct looked l;

	(void)state;
	bench_make(&b);
	bench_open(&b);
	fill(&b, &many);
	bench_shut(&b);
	damage(&b, bench_sql(&b, sql));
	b.options.in_spite_of_damage = true;
	bench_open(&b);
	mail_make(&b, &mail, 1, lane);
	assert_true(mail.m.id > many.ids[MAILS - 1]);
	assert_int_equal(bench_put(&b, &mail, SV("Subject: x\r\n\r\n")), RC_CORRUPT);
	mail_free(&mail);
	l = send_all(&b);
	assert_int_equal(l.rc, RC_NOT_FOUND);
	assert_true(l.messages >= MAILS - 40 && l.messages < MAILS);
	assert_int_equal(store_damage(b.s).messages, MAILS - l.messages);
	bench_shut(&b);
	bench_remove(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_costs_what_stands_on_it),
		cmocka_unit_test(a_take_leaves_out_what_it_cannot_open),
		cmocka_unit_test(a_damaged_body_is_named),
		cmocka_unit_test(what_is_not_the_mail_stops_no_outcome),
		cmocka_unit_test(a_damaged_index_is_found_at_the_start),
		cmocka_unit_test(new_mail_is_refused_where_it_has_no_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
