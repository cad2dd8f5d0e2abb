/* SPDX-License-Identifier: Apache-2.0 */
#include "store/fault_vfs.h"

#include "store/test_bench.h"

#include "store/sqlite_priv.h"

#include <stdio.h>
#include <stdlib.h>

/* The WAL that holds what is written until it must be there: sqlite_wal.c. */

static void use_fault_vfs(struct bench *b)
{
	b->disk.vfs = FAULT_VFS_NAME;
	fault_vfs_reset();
}

static uint64_t calls_of_a_put(struct bench *b)
{
	struct mail mail;
	uint64_t calls;

	mail_make(b, &mail, 2, "submission/a");
	fault_vfs_plan(&(struct fault_plan){ .nth = UINT64_MAX });
	assert_int_equal(bench_put_claimed(b, &mail, SV("body")), 0);
	calls = fault_vfs_calls();
	mail_free(&mail);
	return calls;
}

/* Half a dozen pages and their headers: one call, and one that syncs. */
static void a_commit_is_one_write(void **state)
{
	struct bench *b = *state;

	use_fault_vfs(b);
	bench_open(b);
	(void)calls_of_a_put(b);
	assert_int_equal(calls_of_a_put(b), 2);
	shut_and_audit(b);
}

static void run_sql(sqlite3 *db, const char *sql)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	if (rc != SQLITE_OK)
		(void)fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
	assert_int_equal(rc, SQLITE_OK);
}

static sqlite3 *open_gathering(const struct bench *b, struct store_sqlite *s)
{
	sqlite3 *db = NULL;

	(void)snprintf(s->path, sizeof(s->path), "%s/gathered.db", b->folder);
	store_wal_gather(s, b->disk.vfs);
	assert_int_equal(sqlite3_vfs_register(&s->gathering, 0), SQLITE_OK);
	assert_int_equal(sqlite3_open_v2(s->path,
				 &db,
				 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
				 s->gathering.zName),
		SQLITE_OK);
	assert_int_equal(sqlite3_vfs_unregister(&s->gathering), SQLITE_OK);
	run_sql(db,
		"PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
		"PRAGMA wal_autocheckpoint=0; CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, "
		"n, b)");
	return db;
}

#define ROWS(from, to)                                                                             \
	"INSERT INTO t WITH RECURSIVE c(x) AS (SELECT " from " UNION ALL SELECT x+1 FROM c WHERE " \
	"x<" to ") SELECT x, 0, zeroblob(100 + x%17*300) FROM c;"

/* With room for ten pages in memory: what a transaction has written it reads again, and takes back in part. */
static void what_is_held_is_read(void **state)
{
	struct bench *b = *state;
	struct store_sqlite *s = xcalloc(1, sizeof(*s));
	sqlite3 *db;

	use_fault_vfs(b);
	db = open_gathering(b, s);
	run_sql(db, "PRAGMA cache_size=10; BEGIN;" ROWS("1", "2000") "UPDATE t SET n=id;");
	run_sql(db, "SAVEPOINT a; UPDATE t SET n=n+1; DELETE FROM t WHERE id%3=0; ROLLBACK TO a;");
	run_sql(db, "UPDATE t SET n=n+7 WHERE id>1500; COMMIT");
	assert_int_equal(bench_number(db, "SELECT sum(n) FROM t"), 2000 * 2001 / 2 + 500 * 7);
	run_sql(db, "BEGIN; DELETE FROM t WHERE id>100;" ROWS("3000", "4000") "ROLLBACK");
	run_sql(db, "BEGIN; UPDATE t SET n=1 WHERE id<=10;" ROWS("2001", "2100") "COMMIT");
	assert_int_equal(bench_number(db, "SELECT count(*) FROM t"), 2100);
	assert_int_equal(bench_number(db,
				 "SELECT count(*) FROM pragma_integrity_check WHERE "
				 "integrity_check='ok'"),
		1);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	db = open_gathering(b, s);
	assert_int_equal(bench_number(db, "SELECT count(*) FROM t"), 2100);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(unlink(s->path), 0);
	free(s);
}

#define SOME_ROWS "INSERT INTO t SELECT NULL, 0, zeroblob(3000) FROM pragma_function_list LIMIT 60;"

/* 60 rows, and 60 more, and a write of them fails. */
static void fail_at(sqlite3 *db, uint64_t n)
{
	int64_t before = bench_number(db, "SELECT count(*) FROM t"), after;
	bool first, second;

	run_sql(db, "BEGIN");
	fault_vfs_plan(
		&(struct fault_plan){ .nth = n, .write_code = SQLITE_FULL, .half = (n & 1) != 0 });
	first = sqlite3_exec(db, SOME_ROWS, NULL, NULL, NULL) == SQLITE_OK;
	second = first && sqlite3_exec(db, SOME_ROWS, NULL, NULL, NULL) == SQLITE_OK;
	fault_vfs_clear();
	if (!sqlite3_get_autocommit(db))
		run_sql(db, "COMMIT");
	else
		first = false;
	after = bench_number(db, "SELECT count(*) FROM t");
	assert_int_equal(after, before + 60 * (first + (first && second)));
}

/* The call that finds out is a later one: it fails, and what was committed before stands. */
static void a_write_that_fails_is_told(void **state)
{
	struct bench *b = *state;
	struct store_sqlite *s = xcalloc(1, sizeof(*s));
	sqlite3 *db;

	use_fault_vfs(b);
	db = open_gathering(b, s);
	run_sql(db, "PRAGMA cache_size=10");
	for (uint64_t n = 1; n < 20; n++) {
		fail_at(db, n);
		assert_int_equal(bench_number(db,
					 "SELECT count(*) FROM pragma_integrity_check WHERE "
					 "integrity_check='ok'"),
			1);
	}
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(unlink(s->path), 0);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(a_commit_is_one_write),
		BENCH_TEST(what_is_held_is_read),
		BENCH_TEST(a_write_that_fails_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
