/* SPDX-License-Identifier: Apache-2.0 */
#include "store/test_bench.h"

#include "io/file.h"
#include "store/salvage_priv.h"
#include "store/sqlite_priv.h"
#include "store/store_salvage.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * A queue whose file is damaged on purpose, page by page: whoever is told to be whole comes out as he went in, the new
 * queue passes the audit, and nothing of what is lost can be sent.
 */
enum {
	MESSAGES = 40,
	INNER_PAGES = 12, /* roots and maps stand in front */
	ROUNDS = 12,
};

struct known {
	struct mail mail;
	struct buf body;
	bool open, finished, told_whole;
};

static struct known all[MESSAGES];
static struct sv queue_now; /* where what waits is expected; empty: where it was */

static void fill_queue(struct bench *b)
{
	bench_open(b);
	for (size_t i = 0; i < MESSAGES; i++) {
		struct known *k = &all[i];
		size_t chunks = i % 12 == 5 ? 2 : 0;
		int rc;

		*k = (struct known){ .open = i % 7 == 3, .finished = i % 10 == 9 };
		mail_make(b, &k->mail, 1 + i % 4, i % 2 ? "submission/a" : "smtp/lab");
		fill_body(&k->body, chunks * LIMIT_CHUNK + 200 + i * 97, i);
		if (chunks)
			rc = bench_put_large(b, &k->mail, buf_sv(&k->body));
		else if (k->open || k->finished)
			rc = bench_put_claimed(b, &k->mail, buf_sv(&k->body));
		else
			rc = bench_put(b, &k->mail, buf_sv(&k->body));
		assert_int_equal(rc, 0);
		k->open = k->open && !chunks && !k->finished;
		if (k->finished && !chunks)
			assert_int_equal(bench_end(b,
						 k->mail.m.id,
						 1,
						 k->mail.m.recipient_count,
						 STORE_RCPT_DELIVERED),
				0);
		k->finished = k->finished && !chunks;
	}
	bench_shut(b);
}

static void free_queue(void)
{
	for (size_t i = 0; i < MESSAGES; i++) {
		mail_free(&all[i].mail);
		buf_deinit(&all[i].body);
	}
}

static struct known *find(uint64_t id)
{
	for (size_t i = 0; i < MESSAGES; i++)
		if (all[i].mail.m.id == id)
			return &all[i];
	return NULL;
}

static void on_message(void *arg, const struct store_salvaged *m)
{
	struct known *k = find(m->id);

	(void)arg;
	if (m->fate == STORE_SALVAGE_LOST)
		return;
	assert_non_null(k);
	assert_true(!k->finished);
	assert_true(sv_eq(m->sender, k->mail.m.sender) && sv_eq(m->subject, k->mail.m.subject));
	k->told_whole = m->fate == STORE_SALVAGE_WHOLE;
}

static int salvage(struct bench *b, bool repair, struct store_salvage_report *out)
{
	const struct store_salvage_options options = {
		.data_dir = sv_from(b->folder), .repair = repair, .each = on_message
	};
	struct err err = { 0 };
	int rc;

	for (size_t i = 0; i < MESSAGES; i++)
		all[i].told_whole = false;
	rc = store_salvage(&options, out, &err);
	if (rc != 0)
		(void)fprintf(stderr, "%s\n", err.text);
	return rc;
}

/* ---- files ---- */

static const char *queue_path(struct bench *b, const char *name)
{
	static char path[BENCH_PATH_MAX + 512];

	(void)snprintf(path, sizeof(path), "%s/%s", b->folder, name);
	return path;
}

static void put_back(struct bench *b, struct sv file)
{
	DIR *dir = opendir(b->folder);
	const struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		char inner[200];

		if (strncmp(entry->d_name, "damaged-", 8) != 0)
			continue;
		(void)snprintf(inner, sizeof(inner), "%.100s/queue.db", entry->d_name);
		(void)unlink(queue_path(b, inner));
		(void)snprintf(inner, sizeof(inner), "%.100s/queue.db-wal", entry->d_name);
		(void)unlink(queue_path(b, inner));
		(void)rmdir(queue_path(b, entry->d_name));
	}
	(void)closedir(dir);
	(void)unlink(queue_path(b, "queue.db-wal"));
	assert_int_equal(io_file_write_durably(queue_path(b, "queue.db"), file, 0600, NULL), 0);
}

enum damage {
	ZEROS,
	NOISE,
	ONE_BYTE,
	DAMAGE_COUNT
};

static void damage(char *page, enum damage how, uint64_t seed)
{
	struct prng dice;

	prng_seed(&dice, seed);

	if (how == ZEROS)
		memset(page, 0, SALVAGE_PAGE);
	else if (how == ONE_BYTE)
		page[prng_below(&dice, SALVAGE_PAGE)] ^= (char)(1 + prng_below(&dice, 255));
	else
		for (size_t i = 0; i < SALVAGE_PAGE; i++)
			page[i] = (char)prng_below(&dice, 256);
}

/* ---- what must hold ---- */

/* Every recipient and every byte, or the message is not in the queue at all. */
static void expect_as_it_was(struct bench *b, struct known *k)
{
	CLEANUP(buf_deinitp) struct buf body = BUF_INIT(1 << 20);
	struct arena a = { 0 };
	struct store_show show;
	int rc = bench_show(b, k->mail.m.id, &a, &show);

	assert_true(rc == 0 || (rc == RC_NOT_FOUND && !k->told_whole));
	if (rc == 0 && !k->finished) {
		assert_true(sv_eq(show.out_message->sender, k->mail.m.sender));
		for (size_t i = 0; i < show.out_message->recipient_count; i++) {
			const struct store_recipient *r = &show.out_message->recipients[i];

			assert_true(sv_eq(r->address, k->mail.m.recipients[r->index].address));
			/* Or it is routed anew. */
			assert_true(
				r->flow.queue.len == 0 ||
				sv_eq(r->flow.queue,
					queue_now.len ? queue_now
						      : k->mail.m.recipients[r->index].flow.queue));
		}
		if (k->told_whole)
			assert_int_equal(
				show.out_message->recipient_count, k->mail.m.recipient_count);
		assert_int_equal(bench_body(b, k->mail.m.id, 0, &body), 0);
		assert_true(sv_eq(buf_sv(&body), buf_sv(&k->body)));
	}
	arena_reset(&a);
}

static void expect_all_as_they_were(struct bench *b)
{
	bench_audit(b);
	bench_open(b);
	bench_resolve(b, STORE_UNCERTAIN_HOLD);
	for (size_t i = 0; i < MESSAGES; i++)
		expect_as_it_was(b, &all[i]);
	bench_shut(b);
}

static void repair_and_verify(struct bench *b)
{
	struct store_salvage_report r;

	assert_int_equal(salvage(b, true, &r), 0);
	expect_all_as_they_were(b);
	bench_audit(b);
	/* The second time there is nothing to do. */
	assert_int_equal(salvage(b, true, &r), 0);
	assert_true(!r.needed && r.kept[0] == '\0');
}

static void read_queue(struct bench *b, struct buf *out)
{
	assert_int_equal(io_file_read(queue_path(b, "queue.db"), 1 << 28, out, NULL), 0);
	assert_true(access(queue_path(b, "queue.db-wal"), F_OK) != 0);
}

static void a_good_queue_is_left_alone(void **state)
{
	CLEANUP(buf_deinitp) struct buf before = BUF_INIT(1 << 28);
	CLEANUP(buf_deinitp) struct buf after = BUF_INIT(1 << 28);
	struct bench *b = *state;
	struct store_salvage_report r;

	fill_queue(b);
	read_queue(b, &before);
	for (int repair = 0; repair < 2; repair++) {
		assert_int_equal(salvage(b, repair, &r), 0);
		assert_true(!r.needed && r.damaged_pages == 0);
		assert_string_equal(r.sqlite, "");
		for (size_t i = 0; i < MESSAGES; i++)
			assert_int_equal(all[i].told_whole, !all[i].finished);
	}
	read_queue(b, &after);
	assert_true(sv_eq(buf_sv(&before), buf_sv(&after)));
	free_queue();
}

/* Without its last checkpoint: half of the queue stands in the WAL. */
static void what_is_in_the_wal_counts(void **state)
{
	struct bench *b = *state;
	struct store_salvage_report r;
	sqlite3 *db;

	fill_queue(b);
	db = bench_db(b);
	must(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) == SQLITE_OK);
	must(sqlite3_exec(
		     db, "UPDATE message SET sender=sender; DELETE FROM lane", NULL, NULL, NULL) ==
		SQLITE_OK);
	must(sqlite3_close(db) == SQLITE_OK);
	assert_int_equal(access(queue_path(b, "queue.db-wal"), F_OK), 0);
	assert_int_equal(salvage(b, false, &r), 0);
	assert_true(r.damaged_pages == 0 && r.lost == 0);
	assert_int_equal(access(queue_path(b, "queue.db-wal"), F_OK), 0);
	assert_int_equal(bench_sql(b, "SELECT count(*) FROM lane"), 0);
	free_queue();
}

static void every_page_in_turn(void **state)
{
	CLEANUP(buf_deinitp) struct buf file = BUF_INIT(1 << 28);
	struct bench *b = *state;

	fill_queue(b);
	read_queue(b, &file);
	for (size_t page = 0; page < file.len / SALVAGE_PAGE; page++) {
		for (enum damage how = 0; how < DAMAGE_COUNT; how++) {
			char *at = file.ptr + file.head + page * SALVAGE_PAGE, saved[SALVAGE_PAGE];

			/* Each page in one of three ways, the first ones in all. */
			if (page > INNER_PAGES && (page + how) % DAMAGE_COUNT != 0)
				continue;
			memcpy(saved, at, sizeof(saved));
			damage(at, how, page + 1);
			put_back(b, buf_sv(&file));
			memcpy(at, saved, sizeof(saved));
			repair_and_verify(b);
		}
	}
	put_back(b, buf_sv(&file));
	free_queue();
}

static void many_pages_at_once(void **state)
{
	CLEANUP(buf_deinitp) struct buf file = BUF_INIT(1 << 28);
	CLEANUP(buf_deinitp) struct buf bad = BUF_INIT(1 << 28);
	struct bench *b = *state;
	struct prng dice;

	prng_seed(&dice, 7);
	fill_queue(b);
	read_queue(b, &file);
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t pages = file.len / SALVAGE_PAGE;

		buf_reset(&bad);
		assert_int_equal(buf_append(&bad, buf_sv(&file)), 0);
		for (unsigned i = 0; i < 1 + 3 * round; i++)
			damage(bad.ptr + bad.head + prng_below(&dice, pages) * SALVAGE_PAGE,
				(enum damage)prng_below(&dice, DAMAGE_COUNT),
				round * 100 + i);
		put_back(b, buf_sv(&bad));
		repair_and_verify(b);
	}
	put_back(b, buf_sv(&file));
	free_queue();
}

/* What was said in an attempt that failed comes along. */
static void transcripts_come_out(void **state)
{
	CLEANUP(buf_deinitp) struct buf file = BUF_INIT(1 << 28);
	struct bench *b = *state;
	struct store_salvage_report r;
	struct mail *mail = &all[0].mail;

	bench_open(b);
	mail_make(b, mail, 1, "submission/a");
	all[0].finished = false;
	assert_int_equal(bench_put_claimed(b, mail, SV("body")), 0);
	assert_int_equal(bench_end(b, mail->m.id, 1, 1, STORE_RCPT_QUEUED), 0);
	bench_shut(b);
	assert_int_equal(bench_count(b, BENCH_TRANSCRIPTS), 1);
	read_queue(b, &file);
	damage(file.ptr + file.head, NOISE, 1);
	put_back(b, buf_sv(&file));
	assert_int_equal(salvage(b, true, &r), 0);
	assert_true(r.needed && r.lost == 0 && r.partly == 0);
	assert_int_equal(bench_count(b, BENCH_TRANSCRIPTS), 1);
	put_back(b, buf_sv(&file));
	mail_free(mail);
}

/* An older format: fewer columns, no sums. */
static void an_old_queue_comes_out_too(void **state)
{
	CLEANUP(buf_deinitp) struct buf file = BUF_INIT(1 << 28);
	struct bench *b = *state;
	struct store_salvage_report r;

	fill_queue(b);
	bench_exec(b, "ALTER TABLE message DROP COLUMN sum");
	bench_exec(b, "ALTER TABLE message DROP COLUMN device");
	bench_exec(b, "DROP INDEX recipient_look");
	bench_exec(b, "DROP INDEX recipient_due");
	bench_exec(b, "ALTER TABLE recipient RENAME COLUMN flow TO alternatives");
	bench_exec(b,
		"UPDATE recipient SET alternatives=NULL, lane=(SELECT id FROM lane WHERE "
		"key='smtp/lab')");
	bench_exec(b,
		"UPDATE attempt SET lane=(SELECT id FROM lane WHERE key='smtp/lab') WHERE ended_at "
		"IS NULL");
	bench_exec(b, "DROP TABLE flow");
	bench_exec(b,
		"CREATE INDEX recipient_due ON recipient(lane, due, id, cause) WHERE due IS NOT "
		"NULL");
	bench_exec(b, "ALTER TABLE recipient DROP COLUMN look");
	bench_exec(b, "ALTER TABLE recipient DROP COLUMN sum");
	bench_exec(b, "ALTER TABLE chunk DROP COLUMN sum");
	bench_exec(b, "PRAGMA user_version=3");
	read_queue(b, &file);
	damage(file.ptr + file.head, NOISE, 1);
	put_back(b, buf_sv(&file));
	assert_int_equal(salvage(b, true, &r), 0);
	assert_true(r.needed && r.lost == 0 && r.partly == 0);
	for (size_t i = 0; i < MESSAGES; i++)
		assert_int_equal(all[i].told_whole, !all[i].finished);
	queue_now = SV("c:lab");
	expect_all_as_they_were(b);
	assert_int_equal(
		bench_sql(b, "SELECT count(*) FROM flow WHERE waiting>0 AND key NOT LIKE '%c:lab'"),
		0);
	queue_now = SV("");
	put_back(b, buf_sv(&file));
	free_queue();
}

/* A repair that was cut short between its steps is finished by whoever opens the queue next. */
static void a_cut_repair_is_finished(void **state)
{
	CLEANUP(buf_deinitp) struct buf file = BUF_INIT(1 << 28);
	struct bench *b = *state;

	fill_queue(b);
	read_queue(b, &file);
	assert_int_equal(io_file_write_durably(
				 queue_path(b, "queue.db.repaired"), buf_sv(&file), 0600, NULL),
		0);
	assert_int_equal(
		io_file_write_durably(queue_path(b, "queue.db"), SV("the damaged one"), 0600, NULL),
		0);
	assert_int_equal(
		io_file_write_durably(queue_path(b, "queue.db-wal"), SV("its WAL"), 0600, NULL), 0);
	bench_open(b);
	bench_resolve(b, STORE_UNCERTAIN_HOLD);
	expect_as_it_was(b, &all[0]);
	assert_int_equal(access(queue_path(b, "queue.db.repaired"), F_OK), -1);
	bench_shut(b);
	free_queue();
}

/* Whoever adds a table or a column says here what a salvage does with it. */
static void salvage_knows_every_table(void **state)
{
	struct bench *b = *state;

	bench_open(b);
	bench_shut(b);
	assert_int_equal(bench_sql(b, "SELECT count(*) FROM sqlite_schema WHERE type='table'"),
		SALVAGE_TABLE_COUNT - 1 + 2); /* ledger_4 is none; partial, dead */
	for (enum salvage_table t = 0; t < SALVAGE_TABLE_COUNT; t++) {
		static const int64_t columns[SALVAGE_TABLE_COUNT] = {
			9, 3, 2, 2, 4, 3, 21, 15, 8, 2, 5, 0, 3, 9, 4
		};
		char sql[128];

		(void)snprintf(sql,
			sizeof(sql),
			"SELECT count(*) FROM pragma_table_info('%s')",
			salvage_table_name(t));
		assert_int_equal(bench_sql(b, sql), columns[t]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(a_good_queue_is_left_alone),
		BENCH_TEST(what_is_in_the_wal_counts),
		BENCH_TEST(every_page_in_turn),
		BENCH_TEST(many_pages_at_once),
		BENCH_TEST(transcripts_come_out),
		BENCH_TEST(an_old_queue_comes_out_too),
		BENCH_TEST(a_cut_repair_is_finished),
		BENCH_TEST(salvage_knows_every_table),
	};

	return cmocka_run_group_tests_name("salvage", tests, NULL, NULL);
}
