/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sqlite3.h>

/* Part of test_bench.h: SQLite's side of it. The database itself, while no store has it open. */

static inline sqlite3 *bench_db(struct bench *b)
{
	char path[2 * BENCH_PATH_MAX];
	sqlite3 *db = NULL;

	must(b->s == NULL);
	(void)snprintf(path, sizeof(path), "%s/queue.db", b->folder);
	must(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, b->disk.vfs) == SQLITE_OK);
	must(sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL) == SQLITE_OK);
	return db;
}

static inline int64_t bench_number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *q = NULL;
	int64_t n;

	if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
		(void)fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
	must(q != NULL);
	must(sqlite3_step(q) == SQLITE_ROW);
	n = sqlite3_column_int64(q, 0);
	(void)sqlite3_finalize(q);
	return n;
}

static inline int64_t bench_sql(struct bench *b, const char *sql)
{
	sqlite3 *db = bench_db(b);
	int64_t n = bench_number(db, sql);

	must(sqlite3_close(db) == SQLITE_OK);
	return n;
}

static inline void bench_exec(struct bench *b, const char *sql)
{
	sqlite3 *db = bench_db(b);

	must(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
	must(sqlite3_close(db) == SQLITE_OK);
}

/*
 * What must hold of the rows at every moment (docs/design-queue.md, "What the audit checks"). Each
 * counts what contradicts it.
 */
#define OF_MESSAGE "BETWEEN m.id<<12 AND (m.id<<12)|4095"

static const char *const bench_audit_sql[] = {
	/* The counters agree with the rows (I8). */
	"SELECT messages - (SELECT count(*) FROM message WHERE finished_at=0) FROM state",
	"SELECT bytes - (SELECT coalesce(sum(size),0) FROM message WHERE finished_at=0) FROM state",
	"SELECT history - (SELECT count(*) FROM message WHERE finished_at<>0) FROM state",
	"SELECT history_bytes - (SELECT coalesce(sum(story_bytes),0) FROM message"
	" WHERE finished_at<>0) FROM state",
	/* Pending counts those that are not final; none is left exactly when it is finished (I3). */
	"SELECT count(*) FROM message m WHERE pending <>"
	" (SELECT count(*) FROM recipient WHERE id " OF_MESSAGE " AND state<3)",
	"SELECT count(*) FROM message WHERE (pending=0) <> (finished_at<>0)",
	/* Due exactly while it waits (I9). */
	"SELECT count(*) FROM recipient WHERE (due IS NOT NULL) <> (state IN (0,2))",
	"SELECT count(*) FROM recipient WHERE (due=9223372036854775807) <> (state=2)",
	/* Whatever waits is looked at some day, and for nothing else a time is kept. */
	"SELECT count(*) FROM recipient WHERE look IS NULL OR (look<>0 AND state>2)",
	"SELECT count(*) FROM recipient INDEXED BY recipient_look WHERE state=0 AND look IS NULL",
	/* Whatever waits or is on its way has a flow (I9); flows count what is queued in them (I15). */
	"SELECT count(*) FROM recipient WHERE state<3 AND NOT EXISTS (SELECT 1 FROM flow WHERE"
	" id=recipient.flow)",
	"SELECT count(*) FROM flow f WHERE waiting <> (SELECT count(*) FROM recipient"
	" WHERE flow=f.id AND due IS NOT NULL AND state=0)",
	"SELECT count(*) FROM flow f WHERE bytes <> (SELECT coalesce(sum(m.size),0)"
	" FROM recipient r JOIN message m ON m.id=r.id>>12"
	" WHERE r.flow=f.id AND r.due IS NOT NULL AND r.state=0)",
	/* Open exactly while in an open attempt (I5). */
	"SELECT (SELECT count(*) FROM recipient WHERE state=1) - (SELECT"
	" coalesce(sum(length(story)-length(replace(story,' ',''))+1),0)"
	" FROM attempt WHERE ended_at IS NULL)",
	/* What carries it is what its attempt says (I9). */
	"SELECT count(*) FROM recipient r WHERE state=1 AND NOT EXISTS (SELECT 1 FROM attempt a"
	" WHERE a.id BETWEEN (r.id & ~4095) AND (r.id | 4095) AND a.ended_at IS NULL"
	" AND a.lane IS r.lane)",
	/* The body is whole while the message waits, and nothing else is kept (I2, I6). */
	"SELECT count(*) FROM message m WHERE finished_at=0 AND size <>"
	" (SELECT coalesce(sum(length(bytes)),0) FROM chunk WHERE id " OF_MESSAGE ")",
	"SELECT count(*) FROM chunk c WHERE NOT EXISTS"
	" (SELECT 1 FROM message WHERE id=c.id>>12 AND finished_at=0) AND NOT EXISTS"
	" (SELECT 1 FROM dead WHERE message_id=c.id>>12 AND (c.id&4095)<chunks) AND NOT EXISTS"
	" (SELECT 1 FROM partial WHERE message_id=c.id>>12 AND (c.id&4095)<chunks)",
	/* Nothing without its message. */
	"SELECT count(*) FROM recipient r WHERE NOT EXISTS"
	" (SELECT 1 FROM message WHERE id=r.id>>12)",
	"SELECT count(*) FROM attempt a WHERE NOT EXISTS"
	" (SELECT 1 FROM message WHERE id=a.id>>12)",
};

static inline void bench_sqlite_audit(struct bench *b)
{
	sqlite3 *db = bench_db(b);

	assert_int_equal(
		bench_number(db,
			"SELECT count(*) FROM pragma_integrity_check WHERE integrity_check<>'ok'"),
		0);
	for (size_t i = 0; i < COUNT_OF(bench_audit_sql); i++) {
		int64_t n = bench_number(db, bench_audit_sql[i]);

		if (n != 0)
			(void)fprintf(stderr, "%s: %lld\n", bench_audit_sql[i], (long long)n);
		assert_int_equal(n, 0);
	}
	must(sqlite3_close(db) == SQLITE_OK);
}

static inline int64_t bench_sqlite_count(struct bench *b, enum bench_kept what)
{
	static const char *const sql[] = {
		[BENCH_MESSAGES] = "SELECT count(*) FROM message",
		[BENCH_CHUNKS] = "SELECT count(*) FROM chunk",
		[BENCH_DEAD] = "SELECT count(*) FROM dead",
		[BENCH_LANES] = "SELECT count(*) FROM lane",
		[BENCH_FLOWS] = "SELECT count(*) FROM flow",
		[BENCH_WAITING] = "SELECT messages FROM state",
		[BENCH_HISTORY] = "SELECT history FROM state",
		[BENCH_HISTORY_BYTES] = "SELECT history_bytes FROM state",
		[BENCH_TRANSCRIPTS] = "SELECT count(*) FROM transcript",
	};

	return bench_sql(b, sql[what]);
}

static const struct bench_backend bench_backend = {
	.audit = bench_sqlite_audit,
	.count = bench_sqlite_count,
};
