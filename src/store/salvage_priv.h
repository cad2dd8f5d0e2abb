/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"

#include <sqlite3.h>
#include <stdint.h>

/*
 * SQLite's file without SQLite: pages, whichever of them can be read, and the rows on them. The format is that of
 * https://www.sqlite.org/fileformat2.html. Nothing here trusts a byte of the file.
 *
 * salvage_pages.c  the file and its WAL, pages, records (bytes -> rows)
 * salvage.c        rows -> a new queue, and what became of each message
 */
enum {
	SALVAGE_PAGE = 4096,
	SALVAGE_COLUMNS_MAX = 32,
	SALVAGE_ROW_MAX = 64 << 20,
	SALVAGE_PAGES_MAX = 1 << 28, /* a terabyte */
};

struct salvage_value {
	enum salvage_type {
		SALVAGE_NULL,
		SALVAGE_INT,
		SALVAGE_REAL,
		SALVAGE_TEXT,
		SALVAGE_BLOB
	} type;
	int64_t number; /* of REAL: its bits */
	struct sv bytes;
};

struct salvage_row {
	bool is_table; /* else of an index, or of a table WITHOUT ROWID */
	/* Nothing says that its page is in use: it may be an old copy of a row that lives elsewhere. */
	bool doubtful;
	int64_t id;
	size_t count;
	struct salvage_value columns[SALVAGE_COLUMNS_MAX];
};

struct salvage_pages;
/* Opens the database and its WAL, if there is one. RC_NOT_FOUND: there is no such file. */
NODISCARD int salvage_open(const char *path, struct salvage_pages **out_pages, struct err *err);
void salvage_close(struct salvage_pages *p);
DEFINE_CLEANUP(struct salvage_pages, salvage_close);

uint32_t salvage_page_count(const struct salvage_pages *p);
/*
 * Calls for each row that can be read on this page (1..); views until it returns. False: the page should hold rows
 * and some of them, or all, cannot be read.
 */
typedef void salvage_row_fn(void *arg, const struct salvage_row *row);
NODISCARD bool salvage_page_rows(
	struct salvage_pages *p, uint32_t page, salvage_row_fn *each, void *arg);
/* Bytes of the WAL that follow a damaged frame and were therefore lost to SQLite; they are read here. */
uint64_t salvage_wal_lost(const struct salvage_pages *p);

/* ---- salvage.c ---- */

enum salvage_table {
	SALVAGE_TABLE_STATE,
	SALVAGE_TABLE_DAY,
	SALVAGE_TABLE_LANE,
	SALVAGE_TABLE_CAUSE,
	SALVAGE_TABLE_FLOW,
	SALVAGE_TABLE_CHUNK,
	SALVAGE_TABLE_MESSAGE,
	SALVAGE_TABLE_RECIPIENT,
	SALVAGE_TABLE_ATTEMPT,
	SALVAGE_TABLE_SCOPE,
	SALVAGE_TABLE_LEDGER,
	SALVAGE_TABLE_LEDGER_4,
	SALVAGE_TABLE_COUNTS,
	SALVAGE_TABLE_PARK,
	SALVAGE_TABLE_TRANSCRIPT,
	SALVAGE_TABLE_COUNT,
};
/* `partial` and `dead` speak of bodies that go: they are not kept. */
const char *salvage_table_name(enum salvage_table table);

struct store_salvage_options;
struct store_salvage_report;

struct salvage {
	const struct store_salvage_options *o;
	struct store_salvage_report *report;
	sqlite3 *db; /* the new one */
	sqlite3_stmt *insert[SALVAGE_TABLE_COUNT], *note;
	size_t columns[SALVAGE_TABLE_COUNT];
	bool doubtful_pass, any_doubtful;
	int rc; /* the first failure; then everything else does nothing */
	struct err *err;
};
void salvage_fail(struct salvage *s);
void salvage_run(struct salvage *s, sqlite3_stmt *q);
void salvage_exec(struct salvage *s, const char *sql);
sqlite3_stmt *salvage_prepare(struct salvage *s, const char *sql);

/* ---- salvage_sort.c: what belongs together, and what is told ---- */
void salvage_sort(struct salvage *s);

/* ---- salvage_replace.c: the new queue takes the place of the old one ---- */
/* Makes the new file durable. */
NODISCARD int salvage_commit(struct salvage *s, const char *fresh);
NODISCARD int salvage_replace(struct salvage *s, const char *fresh);
