/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/sqlite_priv.h"

/* The ledger, what is counted by months, and what is parked. */

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
