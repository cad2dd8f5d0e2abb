/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/sqlite_priv.h"

/* Lanes with waiting mail, the ledger, and what is parked. */

enum {
	LANE_COUNT_MAX = 10000
};

/* The first column of a lane's first row. 1: it is there. */
static int read_of_lane(struct store_sqlite *s, sqlite3_stmt *q, int64_t *out, struct err *err)
{
	int rc = store_step(s, q, err);

	if (rc == 1)
		*out = sqlite3_column_int64(q, 0);
	(void)sqlite3_reset(q);
	return rc;
}

static int read_lane(struct store_sqlite *s, struct store_lanes *op, int64_t number)
{
	struct store_lane_info *info = &op->out_lanes[op->out_count];
	struct err *err = &op->op.err;
	sqlite3_stmt *q = store_sql(s, SQL_LANE_FIRST);
	int64_t waiting = 0;
	int rc;

	*info = (struct store_lane_info){ 0 };
	(void)sqlite3_bind_int64(q, 1, number);
	rc = read_of_lane(s, q, &info->next_at.us, err);
	if (rc != 1)
		return rc;
	q = store_sql(s, SQL_LANE_LAST);
	(void)sqlite3_bind_int64(q, 1, number);
	rc = read_of_lane(s, q, &info->last_at.us, err);
	if (rc < 0)
		return rc;
	q = store_sql(s, SQL_LANE_COUNT);
	(void)sqlite3_bind_int64(q, 1, number);
	(void)sqlite3_bind_int64(q, 2, LANE_COUNT_MAX);
	rc = read_of_lane(s, q, &waiting, err);
	if (rc < 0)
		return rc;
	info->waiting = (uint64_t)waiting;
	info->lane = arena_sv(op->out_arena, store_lane_text(s, number));
	op->out_count++;
	return 0;
}

int store_do_lanes(struct store *front, struct store_lanes *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	int rc = 0;

	op->out_count = 0;
	op->out_lanes = arena_alloc(op->out_arena, (s->lanes.count + 1) * sizeof(*op->out_lanes));
	/* Number 0: mail without a route. */
	for (size_t i = 0; i <= s->lanes.count && rc == 0; i++)
		rc = read_lane(s, op, (int64_t)i);
	return rc;
}

/* Each text once a page: the names belong to this thread, the page to the loop's. */
static struct sv scope_copy(
	const struct store_sqlite *s, int64_t number, struct sv *copies, struct arena *arena)
{
	struct sv text = store_scope_text(s, number);

	if (text.len && !copies[number - 1].len)
		copies[number - 1] = arena_sv(arena, text);
	return text.len ? copies[number - 1] : text;
}

int store_do_ledger_read(struct store *front, struct store_ledger_read *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	sqlite3_stmt *q = store_sql(s, SQL_LEDGER_READ);
	struct sv *copies = arena_alloc(op->out_arena, (s->scopes.count + 1) * sizeof(*copies));
	size_t rows = 0;
	int rc;

	memset(copies, 0, (s->scopes.count + 1) * sizeof(*copies));
	op->out_count = 0;
	op->out_entries = arena_alloc(op->out_arena, op->limit * sizeof(*op->out_entries));
	(void)sqlite3_bind_int64(q, 1, op->begun_resumed ? op->begun_bucket : op->since);
	(void)sqlite3_bind_int64(q, 2, op->begun_resumed ? op->begun_scope : INT64_MAX);
	(void)sqlite3_bind_int64(q, 3, (int64_t)op->limit);
	while ((rc = store_step(s, q, &op->op.err)) == 1) {
		struct limit_entry e = { .bucket = sqlite3_column_int64(q, 0),
			.messages = (int32_t)sqlite3_column_int64(q, 2),
			.recipients = (int32_t)sqlite3_column_int64(q, 3),
			.bytes = sqlite3_column_int64(q, 4) };

		op->after_bucket = e.bucket;
		op->after_scope = sqlite3_column_int64(q, 1);
		e.scope = scope_copy(s, op->after_scope, copies, op->out_arena);
		rows++;
		if (e.scope.len && strchr(op->kinds, e.scope.ptr[0]))
			op->out_entries[op->out_count++] = e;
	}
	op->resumed = rows > 0;
	op->out_more = rows == op->limit;
	return rc;
}

int store_do_counts_read(struct store *front, struct store_counts_read *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	sqlite3_stmt *q = store_sql(s, SQL_COUNTS);
	size_t cap = 0;
	int rc;

	op->out_count = 0;
	op->out_counts = NULL;
	(void)sqlite3_bind_int64(q, 1, op->period);
	while ((rc = store_step(s, q, &op->op.err)) == 1) {
		op->out_counts = arena_more(op->out_arena,
			op->out_counts,
			op->out_count,
			&cap,
			sizeof(*op->out_counts));
		op->out_counts[op->out_count++] =
			(struct store_count){ .name = store_column_copy(q, 0, op->out_arena),
				.period = op->period,
				.amount = (uint64_t)sqlite3_column_int64(q, 1) };
	}
	return rc;
}

/* Rows of the first format have none. */
static enum verdict_nature read_nature(sqlite3_stmt *q, int column)
{
	int64_t n = sqlite3_column_int64(q, column);

	return n > 0 && n < VERDICT_NATURE_COUNT ? (enum verdict_nature)n : VERDICT_NATURE_OTHER;
}

int store_do_parks_read(struct store *front, struct store_parks_read *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	sqlite3_stmt *q = store_sql(s, SQL_PARKS);
	size_t cap = 0;
	int rc;

	op->out_count = 0;
	op->out_rows = NULL;
	while ((rc = store_step(s, q, &op->op.err)) == 1) {
		op->out_rows = arena_more(
			op->out_arena, op->out_rows, op->out_count, &cap, sizeof(*op->out_rows));
		op->out_rows[op->out_count++] =
			(struct store_park_row){ .key = store_column_copy(q, 0, op->out_arena),
				.cause = store_column_copy(q, 1, op->out_arena),
				.summary = store_column_copy(q, 2, op->out_arena),
				.reply = store_column_copy(q, 3, op->out_arena),
				.since.us = sqlite3_column_int64(q, 4),
				.probe_at.us = sqlite3_column_int64(q, 5),
				.nature = read_nature(q, 6),
				.proof = store_column_copy(q, 7, op->out_arena),
				.transcript = store_column_copy(q, 8, op->out_arena) };
	}
	return rc;
}

int store_do_park(struct store *front, struct store_park *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	sqlite3_stmt *q = store_sql(s, op->clear ? SQL_PARK_CLEAR : SQL_PARK_SET);
	int rc;

	store_bind_sv(q, 1, op->row.key);
	if (!op->clear) {
		store_bind_sv(q, 2, op->row.cause);
		store_bind_sv(q, 3, op->row.summary);
		store_bind_sv(q, 4, op->row.reply);
		(void)sqlite3_bind_int64(q, 5, op->row.since.us);
		(void)sqlite3_bind_int64(q, 6, op->row.probe_at.us);
		(void)sqlite3_bind_int64(q, 7, op->row.nature);
		store_bind_sv(q, 8, op->row.proof);
		store_bind_optional(q, 9, op->row.transcript);
	}
	rc = store_run(s, q, &op->op.err);
	(void)sqlite3_clear_bindings(q);
	return rc;
}
