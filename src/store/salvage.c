/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_salvage.h"

#include "base/must.h"
#include "io/fs.h"
#include "store/salvage_priv.h"
#include "store/sqlite_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Rows of the damaged file are put into a new database of today's schema, whatever tree they hung on; then SQL finds
 * out what belongs together (salvage_sort.c). While only looking, that database is a temporary one.
 */
enum {
	PROGRESS_PAGES = 256,
	LANES_MAX = 10000000, /* far below the minutes that the ledger counts since 1970 */
};

/* A row is known by its shape. The most columns are those of the schema, the fewest those of format 1. */
static const struct table {
	const char *name;
	bool has_row_id;
	size_t columns_min;
	size_t at; /* a column of this type tells it from others of as many */
	enum salvage_type type;
} tables[SALVAGE_TABLE_COUNT] = {
	[SALVAGE_TABLE_STATE] = { "state", true, 9, 8, SALVAGE_TEXT },
	[SALVAGE_TABLE_DAY] = { "day", true, 3, 1, SALVAGE_INT },
	[SALVAGE_TABLE_LANE] = { "lane", true, 2, 1, SALVAGE_TEXT },
	[SALVAGE_TABLE_CAUSE] = { "cause", true, 2, 1, SALVAGE_TEXT },
	[SALVAGE_TABLE_FLOW] = { "flow", true, 4, 1, SALVAGE_TEXT },
	[SALVAGE_TABLE_CHUNK] = { "chunk", true, 2, 1, SALVAGE_BLOB },
	[SALVAGE_TABLE_MESSAGE] = { "message", true, 19, 12, SALVAGE_TEXT },
	[SALVAGE_TABLE_RECIPIENT] = { "recipient", true, 11, 8, SALVAGE_TEXT },
	[SALVAGE_TABLE_ATTEMPT] = { "attempt", true, 8, 7, SALVAGE_TEXT },
	[SALVAGE_TABLE_SCOPE] = { "scope", true, 2, 1, SALVAGE_TEXT },
	[SALVAGE_TABLE_LEDGER] = { "ledger", false, 5, 0, SALVAGE_INT },
	[SALVAGE_TABLE_LEDGER_4] = { "ledger_4", false, 3, 0, SALVAGE_TEXT },
	[SALVAGE_TABLE_COUNTS] = { "count", false, 3, 1, SALVAGE_TEXT },
	[SALVAGE_TABLE_PARK] = { "park", false, 6, 0, SALVAGE_TEXT },
	[SALVAGE_TABLE_TRANSCRIPT] = { "transcript", true, 4, 3, SALVAGE_TEXT },
};

const char *salvage_table_name(enum salvage_table table)
{
	return tables[table].name;
}

static bool is_int(const struct salvage_row *row, size_t at)
{
	return row->columns[at].type == SALVAGE_INT;
}

/* Three tables have names and nothing else: "m:a/b@contoso.com", "submission/erp@contoso.com", "mailbox-full". */
static enum salvage_table table_of_name(struct sv name)
{
	if (name.len > 1 && name.ptr[1] == ':')
		return SALVAGE_TABLE_SCOPE;
	return sv_find_char(name, '/') >= 0 ? SALVAGE_TABLE_LANE : SALVAGE_TABLE_CAUSE;
}

static bool is_of(const struct salvage *s, enum salvage_table which, const struct salvage_row *row)
{
	const struct table *t = &tables[which];

	if (row->is_table != t->has_row_id || row->count < t->columns_min ||
		row->count > s->columns[which] || row->columns[t->at].type != t->type ||
		(t->has_row_id && (row->columns[0].type != SALVAGE_NULL || row->id <= 0)))
		return false;
	switch (which) {
	case SALVAGE_TABLE_STATE:
		return row->id == 1;
	case SALVAGE_TABLE_DAY:
		return is_int(row, 2);
	case SALVAGE_TABLE_LANE:
	case SALVAGE_TABLE_CAUSE:
	case SALVAGE_TABLE_SCOPE:
		return table_of_name(row->columns[1].bytes) == which;
	case SALVAGE_TABLE_FLOW:
		return is_int(row, 2) && is_int(row, 3) &&
		       sv_find_char(row->columns[1].bytes, '\t') == 1;
	case SALVAGE_TABLE_CHUNK:
		return row->columns[1].bytes.len <= LIMIT_CHUNK;
	case SALVAGE_TABLE_MESSAGE:
	case SALVAGE_TABLE_RECIPIENT:
	case SALVAGE_TABLE_ATTEMPT:
	case SALVAGE_TABLE_TRANSCRIPT:
		return is_int(row, 1) && is_int(row, 2);
	case SALVAGE_TABLE_LEDGER:
		/* Rows of the index of what waits are numbers, too; they begin with that of a lane. */
		return is_int(row, 1) && is_int(row, 2) && row->columns[0].number > LANES_MAX;
	case SALVAGE_TABLE_LEDGER_4:
		return is_int(row, 1) && is_int(row, 2);
	case SALVAGE_TABLE_COUNTS:
		return is_int(row, 0) && is_int(row, 2);
	case SALVAGE_TABLE_PARK:
		return true;
	case SALVAGE_TABLE_COUNT:
		break;
	}
	return false;
}

/* ---- sums ---- */

static struct sv text_at(const struct salvage_row *row, size_t at)
{
	return at < row->count ? row->columns[at].bytes : sv_make(NULL, 0);
}

static int64_t number_at(const struct salvage_row *row, size_t at)
{
	return at < row->count ? row->columns[at].number : 0;
}

static int64_t message_sum(const struct salvage_row *row)
{
	const struct store_message m = { .id = (uint64_t)row->id,
		.accepted_at.us = number_at(row, 1),
		.expires_at.us = number_at(row, 2),
		.flags = (uint32_t)number_at(row, 5),
		.size = (uint64_t)number_at(row, 7),
		.header_size = (uint32_t)number_at(row, 8),
		.bounce_of = (uint64_t)number_at(row, 10),
		.dsn_ret = (uint8_t)number_at(row, 11),
		.sender = text_at(row, 12),
		.envid = text_at(row, 13),
		.message_id = text_at(row, 14),
		.subject = text_at(row, 15),
		.user = text_at(row, 16),
		.client = text_at(row, 17),
		.listener = text_at(row, 18),
		.device = text_at(row, 19) };

	return store_sum_message(&m);
}

static int64_t recipient_sum(const struct salvage_row *row)
{
	const struct store_recipient r = { .index = row_number(row->id),
		.dsn_notify = (uint8_t)number_at(row, 7),
		.address = text_at(row, 8),
		.orcpt = text_at(row, 9) };

	return store_sum_recipient(row_message(row->id), &r);
}

/* Where the sum stands in the row, or 0. */
static bool fits(enum salvage_table which, const struct salvage_row *row)
{
	static const size_t places[SALVAGE_TABLE_COUNT] = { [SALVAGE_TABLE_CHUNK] = 2,
		[SALVAGE_TABLE_MESSAGE] = 20,
		[SALVAGE_TABLE_RECIPIENT] = 13 };
	size_t at = places[which];

	if (at == 0 || at >= row->count || row->columns[at].type == SALVAGE_NULL)
		return true;
	if (!is_int(row, at))
		return false;
	if (which == SALVAGE_TABLE_CHUNK)
		return row->columns[at].number == store_sum_chunk(row->id, text_at(row, 1));
	return row->columns[at].number ==
	       (which == SALVAGE_TABLE_MESSAGE ? message_sum(row) : recipient_sum(row));
}

/* ---- rows into the new database ---- */

static void bind_value(sqlite3_stmt *q, int at, const struct salvage_value *v)
{
	double real;

	switch (v->type) {
	case SALVAGE_NULL:
		(void)sqlite3_bind_null(q, at);
		break;
	case SALVAGE_INT:
		(void)sqlite3_bind_int64(q, at, v->number);
		break;
	case SALVAGE_REAL:
		memcpy(&real, &v->number, sizeof(real));
		(void)sqlite3_bind_double(q, at, real);
		break;
	case SALVAGE_TEXT:
		store_bind_sv(q, at, v->bytes);
		break;
	case SALVAGE_BLOB:
		(void)sqlite3_bind_blob64(q, at, v->bytes.ptr, v->bytes.len, SQLITE_STATIC);
		break;
	}
}

static void note(struct salvage *s, const char *what, int64_t id)
{
	sqlite3_stmt *q = s->note;

	(void)sqlite3_bind_text(q, 1, what, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(q, 2, id);
	salvage_run(s, q);
}

static void insert(struct salvage *s, enum salvage_table which, const struct salvage_row *row)
{
	sqlite3_stmt *q = s->insert[which];

	(void)sqlite3_clear_bindings(q);
	for (size_t i = 0; i < row->count; i++)
		bind_value(q, (int)i + 1, &row->columns[i]);
	if (tables[which].has_row_id)
		(void)sqlite3_bind_int64(q, 1, row->id);
	salvage_run(s, q);
	if (row->doubtful && sqlite3_changes(s->db) == 1 &&
		(which == SALVAGE_TABLE_MESSAGE || which == SALVAGE_TABLE_RECIPIENT))
		note(s,
			"doubt",
			which == SALVAGE_TABLE_MESSAGE ? row->id : (int64_t)row_message(row->id));
}

/* The index of what waits names recipients whose own row may be lost. */
static void take_index(struct salvage *s, const struct salvage_row *row)
{
	for (size_t i = 0; i < row->count; i++)
		if (!is_int(row, i))
			return;
	if (row->count >= 4 && !row->doubtful)
		note(s, "waits", row->columns[2].number);
}

static void take_row(void *arg, const struct salvage_row *row)
{
	struct salvage *s = arg;

	if (row->doubtful != s->doubtful_pass) {
		s->any_doubtful |= row->doubtful;
		return;
	}
	for (enum salvage_table t = 0; t < SALVAGE_TABLE_COUNT; t++) {
		if (!is_of(s, t, row))
			continue;
		if (fits(t, row)) {
			insert(s, t, row);
		} else {
			s->report->bad_rows++;
			note(s,
				"bad",
				t == SALVAGE_TABLE_MESSAGE ? row->id
							   : (int64_t)row_message(row->id));
		}
		return;
	}
	if (!row->is_table)
		take_index(s, row);
}

static void scan(struct salvage *s, struct salvage_pages *pages)
{
	uint32_t count = salvage_page_count(pages);

	for (uint32_t page = 1; page <= count && s->rc == 0; page++) {
		bool whole = salvage_page_rows(pages, page, take_row, s);

		if (!whole && !s->doubtful_pass)
			s->report->damaged_pages++;
		if (s->o->progress && (page % PROGRESS_PAGES == 0 || page == count))
			s->o->progress(s->o->arg, page, count);
	}
}

/* ---- the new database ---- */

void salvage_fail(struct salvage *s)
{
	if (s->rc == 0)
		s->rc = err_set(s->err, -EIO, "the new queue: %s", sqlite3_errmsg(s->db));
}

void salvage_run(struct salvage *s, sqlite3_stmt *q)
{
	if (s->rc == 0 && sqlite3_step(q) != SQLITE_DONE)
		salvage_fail(s);
	(void)sqlite3_reset(q);
}

void salvage_exec(struct salvage *s, const char *sql)
{
	if (s->rc == 0 && sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		salvage_fail(s);
}

sqlite3_stmt *salvage_prepare(struct salvage *s, const char *sql)
{
	sqlite3_stmt *q = NULL;

	if (s->rc == 0 && sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK)
		salvage_fail(s);
	return q;
}

static void prepare_insert(struct salvage *s, enum salvage_table t)
{
	char sql[256];
	int n;
	sqlite3_stmt *q;

	(void)snprintf(sql, sizeof(sql), "SELECT * FROM %s", tables[t].name);
	q = salvage_prepare(s, sql);
	s->columns[t] = q ? (size_t)sqlite3_column_count(q) : 0;
	(void)sqlite3_finalize(q);
	n = snprintf(sql, sizeof(sql), "INSERT OR IGNORE INTO %s VALUES(?1", tables[t].name);
	for (size_t i = 2; i <= s->columns[t] && n > 0 && (size_t)n < sizeof(sql); i++)
		n += snprintf(sql + n, sizeof(sql) - (size_t)n, ",?%zu", i);
	if (n > 0 && (size_t)n + 2 < sizeof(sql))
		(void)snprintf(sql + n, sizeof(sql) - (size_t)n, ")");
	s->insert[t] = salvage_prepare(s, sql);
}

static void open_new(struct salvage *s, const char *path)
{
	if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
		SQLITE_OK) {
		salvage_fail(s);
		return;
	}
	salvage_exec(s,
		"PRAGMA locking_mode=EXCLUSIVE; PRAGMA page_size=4096;"
		"PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=MEMORY;"
		"PRAGMA synchronous=OFF; PRAGMA temp_store=FILE; BEGIN;");
	salvage_exec(s, store_schema());
	salvage_exec(s,
		"DELETE FROM state;"
		"CREATE TEMP TABLE ledger_4(key TEXT, bucket, amount, PRIMARY KEY(key, bucket)) "
		"WITHOUT ROWID;"
		"CREATE TEMP TABLE note(what TEXT, id INTEGER, PRIMARY KEY(what, id)) WITHOUT "
		"ROWID;");
	s->note = salvage_prepare(s, "INSERT OR IGNORE INTO note VALUES(?,?)");
	for (enum salvage_table t = 0; t < SALVAGE_TABLE_COUNT; t++)
		prepare_insert(s, t);
}

static void close_new(struct salvage *s)
{
	for (enum salvage_table t = 0; t < SALVAGE_TABLE_COUNT; t++)
		(void)sqlite3_finalize(s->insert[t]);
	(void)sqlite3_finalize(s->note);
	(void)sqlite3_close(s->db);
	s->db = NULL;
}

/* ---- the whole ---- */

static int lock_folder(const struct store_salvage_options *o, int *out_fd, struct err *err)
{
	char path[STORE_PATH_MAX + 16];
	int n = snprintf(path, sizeof(path), "%.*s/lock", SV_ARG(o->data_dir));

	if (n < 0 || n >= (int)sizeof(path) || o->data_dir.len >= STORE_PATH_MAX - 64)
		return err_set(err, -ENAMETOOLONG, "data_dir is too long");
	*out_fd = io_fs_open(path, O_RDWR);
	if (*out_fd == -ENOENT)
		return 0;
	if (*out_fd < 0)
		return err_set(err, *out_fd, "cannot open %s: %s", path, rc_text(*out_fd));
	if (io_fs_lock(*out_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return err_set(
		err, -EBUSY, "the queue in %.*s is in use by another postern", SV_ARG(o->data_dir));
}

static void check_by_sqlite(struct salvage *s, const char *path)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *q = NULL;
	char wal[STORE_PATH_MAX + 64];
	bool has_wal;

	(void)snprintf(wal, sizeof(wal), "%s-wal", path);
	has_wal = io_fs_exists(wal);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK) {
		/* Looking changes nothing: what is in the WAL stays there. */
		(void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_wal, NULL);
		(void)sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL);
		if (sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &q, NULL) ==
				SQLITE_OK &&
			sqlite3_step(q) == SQLITE_ROW &&
			strcmp((const char *)sqlite3_column_text(q, 0), "ok") != 0)
			(void)snprintf(s->report->sqlite,
				sizeof(s->report->sqlite),
				"%s",
				(const char *)sqlite3_column_text(q, 0));
	}
	if (sqlite3_errcode(db) != SQLITE_OK && sqlite3_errcode(db) != SQLITE_ROW &&
		sqlite3_errcode(db) != SQLITE_DONE)
		(void)snprintf(
			s->report->sqlite, sizeof(s->report->sqlite), "%s", sqlite3_errmsg(db));
	(void)sqlite3_finalize(q);
	(void)sqlite3_close(db);
}

static bool is_needed(const struct store_salvage_report *r)
{
	return r->damaged_pages || r->wal_bytes || r->partly || r->lost || r->bad_rows ||
	       r->sqlite[0];
}

static int look(struct salvage *s, const char *path, const char *fresh)
{
	CLEANUP(salvage_closep) struct salvage_pages *pages = NULL;

	s->rc = salvage_open(path, &pages, s->err);
	if (s->rc != 0)
		return s->rc;
	s->report->pages = salvage_page_count(pages);
	s->report->wal_bytes = salvage_wal_lost(pages);
	open_new(s, fresh);
	scan(s, pages);
	s->doubtful_pass = true;
	if (s->any_doubtful)
		scan(s, pages);
	if (!s->o->running) {
		salvage_exec(s, store_ledger_from_4());
		salvage_sort(s);
	}
	if (s->rc == 0 && !s->o->running && s->report->damaged_pages == 0)
		check_by_sqlite(s, path);
	s->report->needed = is_needed(s->report);
	return s->rc;
}

int store_salvage(const struct store_salvage_options *options, struct store_salvage_report *out,
	struct err *err)
{
	struct salvage s = { .o = options, .report = out, .err = err };
	char path[STORE_PATH_MAX + 32], fresh[STORE_PATH_MAX + 32] = "";
	CLEANUP(io_closep) int lock = -1;
	int rc = options->running ? 0 : lock_folder(options, &lock, err);

	*out = (struct store_salvage_report){ 0 };
	if (rc == 0 && !options->running)
		rc = store_finish_repair(options->data_dir, err);
	if (rc != 0)
		return rc;
	(void)snprintf(path, sizeof(path), "%.*s/queue.db", SV_ARG(options->data_dir));
	if (options->repair) {
		(void)snprintf(
			fresh, sizeof(fresh), "%.*s/queue.db.new", SV_ARG(options->data_dir));
		(void)io_fs_unlink(fresh);
	}
	rc = look(&s, path, fresh);
	if (rc == 0 && options->repair && out->needed)
		rc = salvage_commit(&s, fresh);
	close_new(&s);
	if (rc == 0 && options->repair && out->needed)
		rc = salvage_replace(&s, fresh);
	else if (options->repair)
		(void)io_fs_unlink(fresh);
	return rc;
}
