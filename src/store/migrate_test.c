/* SPDX-License-Identifier: Apache-2.0 */
#include "store/fault_vfs.h"

#include "store/sqlite_priv.h"
#include "store/test_bench.h"

/* Queues that an older postern wrote open, and lose nothing, whatever fails on the way. */

/* The first format, word for word. */
static const char format_1[] =
	"CREATE TABLE state(one INTEGER PRIMARY KEY CHECK(one=1), commits, messages, bytes, "
	"history,"
	" history_bytes, steady_us, mono_us, boot_id);"
	"CREATE TABLE day(hour INTEGER PRIMARY KEY, delivered INTEGER, bounced INTEGER);"
	"CREATE TABLE lane(id INTEGER PRIMARY KEY, key TEXT UNIQUE);"
	"CREATE TABLE cause(id INTEGER PRIMARY KEY, key TEXT UNIQUE);"
	"CREATE TABLE partial(message_id INTEGER PRIMARY KEY, chunks INTEGER);"
	"CREATE TABLE dead(message_id INTEGER PRIMARY KEY, chunks INTEGER);"
	"CREATE TABLE chunk(id INTEGER PRIMARY KEY, bytes BLOB);"
	"CREATE TABLE message(id INTEGER PRIMARY KEY, accepted_at, expires_at, finished_at,"
	" pending, flags,"
	" chunks, size, header_size, story_bytes, bounce_of, dsn_ret, sender, envid, message_id,"
	" subject,"
	" user, client, listener);"
	"CREATE TABLE recipient(id INTEGER PRIMARY KEY, lane, state, due, cause, attempts,"
	" uncertain,"
	" dsn_notify, address, orcpt, last_reply);"
	"CREATE INDEX recipient_due ON recipient(lane, due, id, cause) WHERE due IS NOT NULL;"
	"CREATE INDEX recipient_wait ON recipient(id) WHERE due IS NOT NULL;"
	"CREATE TABLE attempt(id INTEGER PRIMARY KEY, lane, at, ended_at, uncertain, relay, stage,"
	" story);"
	"CREATE INDEX attempt_open ON attempt(id) WHERE ended_at IS NULL;"
	"CREATE TABLE ledger(key TEXT, bucket INTEGER, amount INTEGER, PRIMARY KEY(key, bucket))"
	" WITHOUT ROWID;"
	"CREATE TABLE park(key TEXT PRIMARY KEY, cause, summary, reply, since, probe_at) WITHOUT"
	" ROWID;"
	"PRAGMA user_version=1;";

/* What the second format had more, word for word. */
static const char more_2[] = "ALTER TABLE message ADD COLUMN device;"
			     "ALTER TABLE recipient ADD COLUMN alternatives;"
			     "ALTER TABLE recipient ADD COLUMN rewrite_from;"
			     "ALTER TABLE park ADD COLUMN nature;"
			     "UPDATE park SET nature=4;"
			     "PRAGMA user_version=2;";

/*
 * What it held: message 1000 with one recipient that waits, one delivered, and one in an open attempt;
 * message 2000 in the history; a limit in use and a parked tenant.
 */
static const char contents_1[] =
	"INSERT INTO state VALUES(1,7,1,4,1,56,5000000,5000000,'other-boot');"
	"INSERT INTO lane VALUES(1,'submission/a'),(2,'smtp/lab');"
	"INSERT INTO cause VALUES(1,'greylisted'),(2,'delivered');"
	"INSERT INTO chunk VALUES(1000<<12, CAST('body' AS BLOB));"
	"INSERT INTO message VALUES(1000,11,1<<60,0,2,2,1,4,2,64,0,1,'erp@contoso.com','env',"
	"'<1@h>','Invoice','erp','[10.0.5.30]:4711','smtp');"
	"INSERT INTO message VALUES(2000,12,1<<60,9000000000000000,0,0,0,4,2,56,0,0,"
	"'a@contoso.com','','<2@h>','','','unix','submit');"
	"INSERT INTO recipient VALUES((1000<<12)|0,1,0,77,1,1,0,5,'r0@example.com','rfc822;x',"
	"'451 later');"
	"INSERT INTO recipient VALUES((1000<<12)|1,1,3,NULL,2,1,0,0,'r1@example.com','','250 ok');"
	"INSERT INTO recipient VALUES((1000<<12)|2,2,1,NULL,0,1,0,0,'r2@example.com','','');"
	"INSERT INTO recipient VALUES((2000<<12)|0,1,3,NULL,2,1,0,0,'r3@example.com','','250 ok');"
	"INSERT INTO attempt VALUES((1000<<12)|1,2,70,NULL,0,NULL,NULL,'2');"
	/* A day of five minutes, minutes of five seconds; another door of the same mailbox. */
	"INSERT INTO ledger "
	"VALUES('submission/erp@contoso.com/recipients-day',60000000*19215358410,3);"
	"INSERT INTO ledger "
	"VALUES('submission/erp@contoso.com/messages-minute',60000000*19215358410,1);"
	"INSERT INTO ledger VALUES('submission/erp@contoso.com/messages-minute',"
	"60000000*19215358410-55000000,1);"
	"INSERT INTO ledger VALUES('graph/erp@contoso.com/recipients-day',60000000*19215358410,2);"
	"INSERT INTO ledger VALUES('graph/a/b@contoso.com/recipients-day',60000000*19215358410,4);"
	"INSERT INTO ledger VALUES('smtp/lab/recipients-day',60000000*19215358410,1);"
	"INSERT INTO ledger VALUES('device/scanner-3/recipients-day',60000000*19215358410,9);"
	"INSERT INTO ledger VALUES('hve/bulk@contoso.com/delivered-202611',1<<60,5);"
	"INSERT INTO ledger VALUES('hve/bulk@contoso.com/delivered-202611',1<<61,6);"
	"INSERT INTO ledger VALUES('what nobody knows',1,1);"
	"INSERT INTO park VALUES('tenant:x','cause','words','reply',1,2);";

/* And the third. */
static const char more_3[] = "ALTER TABLE park ADD COLUMN proof;"
			     "PRAGMA user_version=3;";

/* And the fourth. */
static const char more_4[] = "ALTER TABLE chunk ADD COLUMN sum;"
			     "ALTER TABLE message ADD COLUMN sum;"
			     "ALTER TABLE recipient ADD COLUMN sum;"
			     "PRAGMA user_version=4;";

/* And the fifth; what it makes of the ledger is written as it left it. */
static const char more_5[] =
	"ALTER TABLE park ADD COLUMN transcript;"
	"CREATE TABLE transcript(id INTEGER PRIMARY KEY, message_id INTEGER UNIQUE, attempt, text);"
	"DROP TABLE ledger;"
	"CREATE TABLE scope(id INTEGER PRIMARY KEY, key TEXT UNIQUE);"
	"CREATE TABLE ledger(bucket INTEGER, scope INTEGER, messages, recipients, bytes,"
	" PRIMARY KEY(bucket, scope)) WITHOUT ROWID;"
	"CREATE TABLE count(period INTEGER, name TEXT, amount, PRIMARY KEY(period, name)) "
	"WITHOUT ROWID;"
	"INSERT INTO scope VALUES(1,'c:lab'),(2,'d:scanner-3'),(3,'m:a/b@contoso.com'),"
	"(4,'m:erp@contoso.com');"
	"INSERT INTO ledger VALUES(19215358410,1,0,1,0),(19215358410,2,0,9,0),"
	"(19215358410,3,0,4,0),(19215358410,4,0,5,0),(19215358411,4,2,0,0);"
	"INSERT INTO count VALUES(202611,'hve m:bulk@contoso.com',11);"
	"PRAGMA user_version=5;";

/* And the sixth; what has a time to be looked at keeps it. */
static const char more_6[] = "ALTER TABLE recipient ADD COLUMN look DEFAULT 0;"
			     "CREATE INDEX recipient_look ON recipient(look) WHERE state=0;"
			     "PRAGMA user_version=6;";

/* Alternatives came with the second format: three ways, of which two are one mailbox; and one that leads nowhere. */
static const char plans_2[] =
	"INSERT INTO lane VALUES(3,'graph/erp@contoso.com');"
	"INSERT INTO message(id,accepted_at,expires_at,finished_at,pending,flags,chunks,size,"
	"header_size,story_bytes,bounce_of,dsn_ret,sender,envid,message_id,subject,user,client,"
	"listener,device) VALUES(3000,11,1<<60,0,2,0,1,6,2,0,0,0,'erp@contoso.com','','<3@h>','',"
	"'','unix','submit','scanner-3');"
	"INSERT INTO chunk(id,bytes) VALUES(3000<<12, CAST('bodies' AS BLOB));"
	"INSERT INTO recipient(id,lane,state,due,cause,attempts,uncertain,dsn_notify,address,"
	"orcpt,last_reply,alternatives) VALUES((3000<<12)|0,3,0,77,1,1,0,0,'r0@example.com','','',"
	"'submission/erp@contoso.com'||char(10)||'smtp/lab'),"
	"((3000<<12)|1,0,2,9223372036854775807,1,0,0,0,'r1@example.com','','',NULL);"
	"UPDATE state SET messages=2, bytes=10;";

static void make_old(struct bench *b, unsigned format)
{
	static const char *const more[] = { more_2, more_3, more_4, more_5, more_6 };
	char path[2 * BENCH_PATH_MAX];
	sqlite3 *db = NULL;

	(void)snprintf(path, sizeof(path), "%s/queue.db", b->folder);
	must(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, b->disk.vfs) ==
		SQLITE_OK);
	must(sqlite3_exec(db,
		     "PRAGMA locking_mode=EXCLUSIVE; PRAGMA page_size=4096;"
		     "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL;"
		     "PRAGMA synchronous=FULL;",
		     NULL,
		     NULL,
		     NULL) == SQLITE_OK);
	must(sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK);
	must(sqlite3_exec(db, format_1, NULL, NULL, NULL) == SQLITE_OK);
	if (sqlite3_exec(db, contents_1, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	for (unsigned i = 0; i + 1 < format; i++) {
		must(sqlite3_exec(db, more[i], NULL, NULL, NULL) == SQLITE_OK);
		if (i == 0 && sqlite3_exec(db, plans_2, NULL, NULL, NULL) != SQLITE_OK)
			fail_msg("%s", sqlite3_errmsg(db));
	}
	must(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
	must(sqlite3_close(db) == SQLITE_OK);
}

static void expect_message_1000(struct bench *b)
{
	struct arena a = { 0 };
	struct store_show show;
	const struct store_recipient *r;

	assert_int_equal(bench_show(b, 1000, &a, &show), 0);
	assert_true(sv_eq(show.out_message->sender, SV("erp@contoso.com")));
	assert_true(sv_eq(show.out_message->listener, SV("smtp")));
	assert_int_equal(show.out_message->device.len, 0);
	assert_int_equal(show.out_message->recipient_count, 3);
	r = show.out_message->recipients;
	assert_int_equal(r[0].state, STORE_RCPT_QUEUED);
	assert_true(sv_eq(r[0].lane, SV("submission/a")));
	assert_true(sv_eq(r[0].orcpt, SV("rfc822;x")));
	assert_true(sv_eq(r[0].last_reply, SV("451 later")));
	assert_true(sv_eq(r[0].flow.queue, SV("c:a")));
	assert_true(sv_eq(r[0].flow.principal, SV("erp")));
	assert_int_equal(r[0].flow.class, MAIL_CLASS_NORMAL);
	assert_true(sv_eq(r[2].flow.queue, SV("c:lab")));
	assert_true(sv_eq(r[2].lane, SV("smtp/lab")));
	assert_int_equal(r[0].rewrite_from.len, 0);
	assert_int_equal(r[1].state, STORE_RCPT_DELIVERED);
	assert_true(r[2].state <= STORE_RCPT_HELD);
	assert_int_equal(show.out_attempt_count, 1);
	arena_reset(&a);
	assert_int_equal(bench_show(b, 2000, &a, &show), 0);
	assert_true(show.out_finished_at.us != 0);
	arena_reset(&a);
	expect_body(b, 1000, SV("body"));
}

/* Its ways became a queue of members, each once. */
static void expect_message_3000(struct bench *b)
{
	struct arena a = { 0 };
	struct store_show show;
	const struct store_recipient *r;

	assert_int_equal(bench_show(b, 3000, &a, &show), 0);
	r = show.out_message->recipients;
	assert_true(sv_eq(r[0].flow.queue, SV("m:erp@contoso.com\nc:lab")));
	assert_true(sv_eq(r[0].flow.principal, SV("scanner-3")));
	assert_false(r[0].flow.external);
	assert_int_equal(r[0].next_at.us, 77);
	assert_int_equal(r[1].flow.queue.len, 0);
	assert_int_equal(r[1].state, STORE_RCPT_HELD);
	arena_reset(&a);
	expect_body(b, 3000, SV("bodies"));
}

/* By scope, not by door. */
static void expect_ledger(struct bench *b)
{
	static const struct limit_entry expected[] = {
		{ SV_INIT("c:lab"), 19215358410, 0, 1, 0 },
		{ SV_INIT("d:scanner-3"), 19215358410, 0, 9, 0 },
		{ SV_INIT("m:a/b@contoso.com"), 19215358410, 0, 4, 0 },
		{ SV_INIT("m:erp@contoso.com"), 19215358410, 0, 5, 0 },
		/* Instants, each with the message of one. */
		{ SV_INIT("m:erp@contoso.com"), 19215358411, 2, 0, 0 },
	};
	struct store_ledger_read ledger = {
		.op.kind = STORE_OP_LEDGER_READ, .kinds = "mcd", .limit = 100
	};
	struct store_counts_read counts = { .op.kind = STORE_OP_COUNTS_READ, .period = 202611 };
	struct arena a = { 0 };

	ledger.out_arena = counts.out_arena = &a;
	assert_int_equal(bench_run(b, &ledger.op), 0);
	assert_int_equal(ledger.out_count, COUNT_OF(expected));
	for (size_t i = 0; i < COUNT_OF(expected); i++) {
		assert_true(sv_eq(ledger.out_entries[i].scope, expected[i].scope));
		assert_int_equal(ledger.out_entries[i].bucket, expected[i].bucket);
		assert_int_equal(ledger.out_entries[i].messages, expected[i].messages);
		assert_int_equal(ledger.out_entries[i].recipients, expected[i].recipients);
	}
	assert_int_equal(bench_run(b, &counts.op), 0);
	assert_int_equal(counts.out_count, 1);
	assert_true(sv_eq(counts.out_counts[0].name, SV("hve m:bulk@contoso.com")));
	assert_int_equal(counts.out_counts[0].amount, 11);
	arena_reset(&a);
}

/* Nothing is known of it: soon. */
static void expect_look(struct bench *b, unsigned format)
{
	struct arena a = { 0 };
	struct store_look look = { .op.kind = STORE_OP_LOOK, .limit = 10, .out_arena = &a };

	assert_int_equal(bench_run(b, &look.op), 0);
	assert_int_equal(look.out_count, format > 1 ? 2 : 1);
	assert_true(look.out_messages[0].id == 1000);
	assert_int_equal(look.out_messages[0].recipient_count, 2);
	arena_reset(&a);
}

static void expect_contents(struct bench *b, unsigned format)
{
	struct store_parks_read parks = { .op.kind = STORE_OP_PARKS_READ };
	struct arena a = { 0 };

	expect_message_1000(b);
	expect_look(b, format);
	if (format > 1)
		expect_message_3000(b);
	parks.out_arena = &a;
	expect_ledger(b);
	assert_int_equal(bench_run(b, &parks.op), 0);
	assert_int_equal(parks.out_count, 1);
	assert_true(sv_eq(parks.out_rows[0].reply, SV("reply")));
	assert_int_equal(parks.out_rows[0].nature,
		format > 1 ? VERDICT_NATURE_REPUTATION : VERDICT_NATURE_OTHER);
	assert_int_equal(parks.out_rows[0].proof.len, 0);
	assert_int_equal(parks.out_rows[0].transcript.len, 0);
	arena_reset(&a);
}

/* What waited there is delivered, and new mail with a plan stands beside it. */
static void use_it(struct bench *b)
{
	const struct mail_flow flow = bench_flow("c:a");
	struct taken taken;
	struct mail mail;

	assert_int_equal(bench_take(b, &flow, 5, &taken), 0);
	assert_true(taken.id == 1000 && taken.count == 1 && taken.attempt == 2);
	assert_int_equal(bench_end(b, 1000, 2, 1, STORE_RCPT_DELIVERED), 0);
	mail_make(b, &mail, 2, "submission/a");
	assert_int_equal(bench_put(b, &mail, SV("body")), 0);
	expect_plan(b, &mail);
	mail_free(&mail);
}

/* What the new column is for. */
static void keep_a_proof(struct bench *b)
{
	struct store_park park = { .op.kind = STORE_OP_PARK,
		.row = { .key = SV("tenant:x"),
			.reply = SV("reply"),
			.proof = SV("1,2;3,4"),
			.transcript = SV("0 < 220 x\n") } };
	struct store_parks_read parks = { .op.kind = STORE_OP_PARKS_READ };
	struct arena a = { 0 };

	parks.out_arena = &a;
	assert_int_equal(bench_run(b, &park.op), 0);
	assert_int_equal(bench_run(b, &parks.op), 0);
	assert_int_equal(parks.out_count, 1);
	assert_true(sv_eq(parks.out_rows[0].proof, SV("1,2;3,4")));
	assert_true(sv_eq(parks.out_rows[0].transcript, SV("0 < 220 x\n")));
	arena_reset(&a);
}

static void open_old(struct bench *b, unsigned format)
{
	make_old(b, format);
	bench_open(b);
	assert_int_equal(b->found.queued_count, format > 1 ? 3 : 1);
	assert_int_equal(b->found.uncertain_count, 1);
	bench_resolve(b, STORE_UNCERTAIN_RETRY);
	expect_contents(b, format);
	use_it(b);
	keep_a_proof(b);
	shut_and_audit(b);
	/* It is of the new format now: the second opening has nothing to do. */
	bench_open(b);
	shut_and_audit(b);
}

static void old_queue_opens_and_loses_nothing(void **state)
{
	open_old(*state, 1);
}

static void queue_of_the_third_format_does_as_well(void **state)
{
	open_old(*state, 3);
}

static void queue_of_the_fourth_format_opens(void **state)
{
	open_old(*state, 4);
}

static void queue_of_the_fifth_format_opens(void **state)
{
	open_old(*state, 5);
}

static void queue_of_the_sixth_format_opens(void **state)
{
	open_old(*state, 6);
}

static void queue_of_the_second_format_opens_too(void **state)
{
	open_old(*state, 2);
}

static int64_t shape(struct bench *b, const char *sql, char *out, size_t size)
{
	sqlite3 *db = bench_db(b);
	sqlite3_stmt *q = NULL;
	int64_t version = bench_number(db, "SELECT user_version FROM pragma_user_version");

	must(sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK);
	must(sqlite3_step(q) == SQLITE_ROW);
	(void)snprintf(out, size, "%s", (const char *)sqlite3_column_text(q, 0));
	(void)sqlite3_finalize(q);
	must(sqlite3_close(db) == SQLITE_OK);
	return version;
}

/* Statements count the columns from the left: both ways must lead to the same table. */
static void have_one_shape(struct bench *old, unsigned format)
{
	static const char sql[] =
		"SELECT group_concat(t.name || '.' || c.cid || '.' || c.name, ' ')"
		" FROM (SELECT name FROM sqlite_master WHERE type='table' ORDER BY name) t,"
		" pragma_table_info(t.name) c";
	struct bench fresh;
	char a[4096], b[4096];
	int64_t version;

	make_old(old, format);
	bench_open(old);
	bench_shut(old);
	bench_make(&fresh);
	bench_open(&fresh);
	bench_shut(&fresh);
	version = shape(&fresh, sql, b, sizeof(b));
	assert_int_equal(shape(old, sql, a, sizeof(a)), version);
	assert_true(version > 1);
	assert_string_equal(a, b);
	bench_remove(&fresh);
}

static void old_and_new_have_one_shape(void **state)
{
	have_one_shape(*state, 1);
}

static void the_second_format_becomes_it_too(void **state)
{
	have_one_shape(*state, 2);
}

static void so_does_the_fourth(void **state)
{
	have_one_shape(*state, 4);
}

static void and_the_fifth(void **state)
{
	have_one_shape(*state, 5);
}

static void and_the_sixth(void **state)
{
	have_one_shape(*state, 6);
}

static uint64_t run_fault(const struct fault_plan *plan, bool power, unsigned format)
{
	struct bench b;
	struct err err = { 0 };
	uint64_t calls;

	bench_make(&b);
	b.disk.vfs = FAULT_VFS_NAME;
	fault_vfs_reset();
	make_old(&b, format);
	fault_vfs_plan(plan);
	if (bench_try_open(&b, &err) == 0)
		bench_shut(&b);
	calls = fault_vfs_calls();
	if (power)
		fault_vfs_power_loss(plan->nth);
	fault_vfs_clear();
	bench_open(&b);
	bench_resolve(&b, STORE_UNCERTAIN_RETRY);
	expect_contents(&b, format);
	use_it(&b);
	shut_and_audit(&b);
	bench_remove(&b);
	return calls;
}

static void survive_every_fault(unsigned format)
{
	const struct fault_plan none = { .nth = UINT64_MAX, .write_code = SQLITE_IOERR_WRITE };
	static const int codes[] = { SQLITE_IOERR_WRITE, SQLITE_FULL };
	uint64_t calls = run_fault(&none, false, format);

	assert_true(calls > 5);
	for (uint64_t n = 1; n <= calls; n++) {
		for (size_t c = 0; c < COUNT_OF(codes); c++)
			(void)run_fault(
				&(struct fault_plan){
					.nth = n, .write_code = codes[c], .half = n & 1 },
				false,
				format);
		(void)run_fault(&(struct fault_plan){ .nth = n,
					.mode = FAULT_ALWAYS,
					.write_code = SQLITE_IOERR_WRITE,
					.half = n & 1 },
			true,
			format);
	}
}

static void migration_survives_every_fault(void **state)
{
	(void)state;
	survive_every_fault(1);
}

static void migration_of_the_second_format_does_too(void **state)
{
	(void)state;
	survive_every_fault(2);
}

static void migration_of_the_third_format_as_well(void **state)
{
	(void)state;
	survive_every_fault(3);
}

static void so_does_that_of_the_fourth_format(void **state)
{
	(void)state;
	survive_every_fault(4);
}

static void that_of_the_fifth_format_survives_too(void **state)
{
	(void)state;
	survive_every_fault(5);
}

static void that_of_the_sixth_format_survives_too(void **state)
{
	(void)state;
	survive_every_fault(6);
}

/* ---- a large queue ---- */

enum {
	LARGE = 100000,
	LARGE_HELD = LARGE / 10,
	LARGE_OPEN = LARGE / 1000,
	LARGE_POINTS = 8, /* at which it is cut */
};

/* Every tenth is held, every thousandth in an attempt, every third has another way; seven users, three mailboxes. */
static const char large_6[] =
	"CREATE TEMP TABLE n AS WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM c"
	" WHERE i<99999) SELECT i, 10000+i AS id FROM c;"
	"INSERT INTO lane VALUES(4,'submission/b@contoso.com'),(5,'hve/c@contoso.com');"
	"INSERT INTO message(id,accepted_at,expires_at,finished_at,pending,flags,chunks,size,"
	"header_size,story_bytes,bounce_of,dsn_ret,sender,envid,message_id,subject,user,client,"
	"listener) SELECT id,11,1<<60,0,1,0,1,4,2,0,0,0,'erp@contoso.com','','<1@h>','',"
	"'user'||(i%7),'unix','submit' FROM n;"
	"INSERT INTO chunk(id,bytes) SELECT id<<12, CAST('body' AS BLOB) FROM n;"
	"INSERT INTO recipient(id,lane,state,due,cause,attempts,uncertain,dsn_notify,address,"
	"orcpt,last_reply,alternatives,look) SELECT id<<12, 3+i%3,"
	" CASE WHEN i%1000=7 THEN 1 WHEN i%10=9 THEN 2 ELSE 0 END,"
	" CASE WHEN i%1000=7 THEN NULL WHEN i%10=9 THEN 9223372036854775807 ELSE 70+i END,"
	" 1,1,0,0,'r'||i||'@example.com','','451 later',"
	" CASE WHEN i%3=0 THEN 'smtp/lab'||char(10)||'graph/b@contoso.com' END, 90+i FROM n;"
	"INSERT INTO attempt SELECT (id<<12)|1,3+i%3,70,NULL,0,NULL,NULL,'0' FROM n"
	" WHERE i%1000=7;"
	"INSERT INTO park(key,cause,summary,reply,since,probe_at) VALUES"
	"('mailbox:submission/b@contoso.com','c','s','r',1,2),"
	"('sender:smtp/lab:erp@contoso.com','c','s','r',1,2);"
	"UPDATE state SET messages=messages+100000, bytes=bytes+400000;"
	"DROP TABLE n;";

static uint64_t sum_of_flows(struct bench *b, size_t *out_count)
{
	struct arena a = { 0 };
	struct store_flows flows = { .op.kind = STORE_OP_FLOWS, .out_arena = &a };
	uint64_t sum = 0;

	assert_int_equal(bench_run(b, &flows.op), 0);
	for (size_t i = 0; i < flows.out_count; i++)
		sum += flows.out_flows[i].waiting;
	*out_count = flows.out_count;
	arena_reset(&a);
	return sum;
}

static size_t count_parks(struct bench *b)
{
	struct arena a = { 0 };
	struct store_parks_read parks = { .op.kind = STORE_OP_PARKS_READ, .out_arena = &a };

	assert_int_equal(bench_run(b, &parks.op), 0);
	arena_reset(&a);
	return parks.out_count;
}

/* Cut at a call, or never; then it is opened again, and everything is there. How many calls there were. */
static uint64_t run_large(uint64_t nth)
{
	struct bench b;
	struct err err = { 0 };
	uint64_t calls;
	size_t flows;

	bench_make(&b);
	b.disk.vfs = FAULT_VFS_NAME;
	fault_vfs_reset();
	make_old(&b, 6);
	bench_exec(&b, large_6);
	fault_vfs_plan(&(struct fault_plan){ .nth = nth,
		.mode = FAULT_ALWAYS,
		.write_code = SQLITE_IOERR_WRITE,
		.half = nth & 1 });
	if (bench_try_open(&b, &err) == 0)
		bench_shut(&b);
	calls = fault_vfs_calls();
	if (nth <= calls)
		fault_vfs_power_loss(nth);
	fault_vfs_clear();
	bench_open(&b);
	assert_int_equal(b.found.queued_count, LARGE - LARGE_OPEN + 3);
	assert_int_equal(b.found.uncertain_count, LARGE_OPEN + 1);
	bench_resolve(&b, STORE_UNCERTAIN_HOLD);
	expect_message_1000(&b);
	expect_message_3000(&b);
	/* Two of the small ones are queued. Three queues for seven users, and the two. */
	assert_int_equal(sum_of_flows(&b, &flows), LARGE - LARGE_HELD - LARGE_OPEN + 2);
	assert_int_equal(flows, 3 * 7 + 2);
	assert_int_equal(count_parks(&b), 3);
	shut_and_audit(&b);
	bench_remove(&b);
	return calls;
}

static void a_large_queue_survives_too(void **state)
{
	uint64_t calls = run_large(UINT64_MAX);

	(void)state;
	assert_true(calls > LARGE_POINTS);
	for (uint64_t i = 0; i < LARGE_POINTS; i++)
		(void)run_large(1 + i * (calls - 1) / (LARGE_POINTS - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(old_queue_opens_and_loses_nothing),
		BENCH_TEST(queue_of_the_second_format_opens_too),
		BENCH_TEST(queue_of_the_third_format_does_as_well),
		BENCH_TEST(queue_of_the_fourth_format_opens),
		BENCH_TEST(queue_of_the_fifth_format_opens),
		BENCH_TEST(queue_of_the_sixth_format_opens),
		BENCH_TEST(old_and_new_have_one_shape),
		BENCH_TEST(the_second_format_becomes_it_too),
		BENCH_TEST(so_does_the_fourth),
		BENCH_TEST(and_the_fifth),
		BENCH_TEST(and_the_sixth),
		cmocka_unit_test(migration_survives_every_fault),
		cmocka_unit_test(migration_of_the_second_format_does_too),
		cmocka_unit_test(migration_of_the_third_format_as_well),
		cmocka_unit_test(so_does_that_of_the_fourth_format),
		cmocka_unit_test(that_of_the_fifth_format_survives_too),
		cmocka_unit_test(that_of_the_sixth_format_survives_too),
		cmocka_unit_test(a_large_queue_survives_too),
	};

	return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}
