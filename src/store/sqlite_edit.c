/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/sqlite_priv.h"

struct edited {
	int64_t flow;
	enum store_recipient_state state;
	int64_t due;
	int64_t cause;
};

/* What becomes of one recipient; false: this edit does not touch it. */
static bool plan(const struct store_edit *op, const struct store_recipient *r, struct edited *e)
{
	if (r->state != STORE_RCPT_QUEUED && r->state != STORE_RCPT_HELD)
		return false;
	e->state = STORE_RCPT_QUEUED;
	e->due = op->at.us;
	switch (op->kind) {
	case STORE_EDIT_RETRY:
		/* What somebody holds, somebody must release. */
		return r->state == STORE_RCPT_QUEUED;
	case STORE_EDIT_REROUTE:
		e->state = r->state;
		e->due = r->state == STORE_RCPT_HELD ? DUE_HELD : op->at.us;
		return true;
	case STORE_EDIT_RELEASE:
		return r->state == STORE_RCPT_HELD;
	case STORE_EDIT_HOLD:
		e->state = STORE_RCPT_HELD;
		e->due = DUE_HELD;
		return r->state == STORE_RCPT_QUEUED;
	case STORE_EDIT_DROP:
		e->state = STORE_RCPT_DROPPED;
		return true;
	}
	return false;
}

static int plan_flow(struct store_sqlite *s, struct store_edit *op, const struct store_recipient *r,
	struct edited *e)
{
	struct mail_flow flow = r->flow;

	if (op->kind == STORE_EDIT_REROUTE) {
		flow.queue = op->queue;
		flow.sender = SV("");
		/* Of which tenant it is outside now, whoever takes it finds out (outbound/take.c). */
		flow.external = false;
	}
	return store_flow_number(s, &flow, &e->flow, &op->op.err);
}

static int count_flow(struct store_sqlite *s, struct store_edit *op,
	const struct store_recipient *r, const struct edited *e, int64_t size)
{
	int64_t before = store_flow_known(s, &r->flow);
	bool was = r->state == STORE_RCPT_QUEUED, is = e->state == STORE_RCPT_QUEUED;
	int rc = 0;

	if (was && is && before == e->flow)
		return 0;
	if (was)
		rc = store_flow_count(s, before, -1, -size, &op->op.err);
	return rc == 0 && is ? store_flow_count(s, e->flow, 1, size, &op->op.err) : rc;
}

static int write_edit(
	struct store_sqlite *s, struct store_edit *op, int64_t row, const struct edited *e)
{
	sqlite3_stmt *q = store_sql(s, SQL_RECIPIENT_EDIT);
	bool finished;
	int rc;

	(void)sqlite3_bind_int64(q, 1, row);
	(void)sqlite3_bind_int64(q, 2, e->flow);
	(void)sqlite3_bind_int64(q, 3, e->state);
	if (store_state_is_final(e->state))
		(void)sqlite3_bind_null(q, 4);
	else
		(void)sqlite3_bind_int64(q, 4, e->due);
	(void)sqlite3_bind_int64(q, 5, e->cause);
	rc = store_run(s, q, &op->op.err);
	if (rc != 0 || !store_state_is_final(e->state))
		return rc;
	return store_message_settle(s, row_message(row), 1, 0, op->at, 64, &finished, &op->op.err);
}

static int edit_row(struct store_sqlite *s, struct store_edit *op, int64_t row, struct arena *a)
{
	struct store_message m;
	struct store_recipient r = { 0 };
	struct edited e = { 0 };
	sqlite3_stmt *q = store_sql(s, SQL_RECIPIENT_READ);
	struct sv cause;
	int rc;

	(void)sqlite3_bind_int64(q, 1, row);
	rc = store_step(s, q, &op->op.err);
	if (rc == 1)
		store_recipient_row(s, q, a, &r);
	(void)sqlite3_reset(q);
	if (rc <= 0)
		return rc;
	rc = store_read_message(s, row_message(row), a, &m, NULL, &op->op.err);
	if (rc != 0)
		return rc;
	if (!store_filter_matches(s, &op->filter, &m, &r) || !plan(op, &r, &e))
		return 0;
	cause = op->kind == STORE_EDIT_HOLD   ? sv_from(cause_name(CAUSE_HELD))
		: op->kind == STORE_EDIT_DROP ? SV("dropped")
					      : r.last_cause;
	rc = store_cause_number(s, cause, &e.cause, &op->op.err);
	if (rc == 0)
		rc = plan_flow(s, op, &r, &e);
	if (rc == 0)
		rc = count_flow(s, op, &r, &e, (int64_t)m.size);
	if (rc == 0)
		rc = write_edit(s, op, row, &e);
	if (rc == 0)
		op->out_changed++;
	return rc;
}

/* A recipient on a damaged page changes nothing for the others: the edit runs once more without it. */
static bool is_left_out(const struct store_sqlite *s, int64_t row)
{
	for (size_t i = 0; i < s->left_out_count; i++)
		if (s->left_out[i] == row)
			return true;
	return false;
}

static int leave_out_if_damaged(struct store_sqlite *s, int64_t row, int rc)
{
	if (rc != RC_CORRUPT || s->left_out_count == STORE_LEFT_OUT_MAX)
		return rc;
	s->left_out[s->left_out_count++] = row;
	s->part = STORE_PART_ROW;
	return rc;
}

/* What this call looks at. */
static size_t edit_rows(struct store_sqlite *s, struct store_edit *op,
	int64_t out[STORE_NUMBER_MAX + 1], int *out_rc)
{
	struct store_filter waiting = op->filter;

	if (op->rows) {
		must(op->row_count <= LIMIT_PAGE);
		for (size_t i = 0; i < op->row_count; i++)
			out[i] = row_id(op->rows[i].id, op->rows[i].index);
		return op->row_count;
	}
	waiting.waiting_only = true;
	return store_filter_rows(s,
		&waiting,
		op->after_id,
		STORE_NUMBER_MAX,
		out,
		STORE_NUMBER_MAX + 1,
		out_rc,
		&op->op.err);
}

int store_do_edit(struct store *front, struct store_edit *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	int64_t rows[STORE_NUMBER_MAX + 1];
	struct arena a = { 0 };
	uint64_t last = 0;
	size_t count;
	bool full;
	int rc = 0;

	op->out_changed = 0;
	op->after_id = op->begun_id;
	count = edit_rows(s, op, rows, &rc);
	full = count == COUNT_OF(rows);
	/* Pages end between messages: the cursor has no place for half of one. The largest message fits
	 * into a page. */
	if (full && row_message(rows[0]) != row_message(rows[count - 1]))
		while (row_message(rows[count - 1]) == row_message(rows[COUNT_OF(rows) - 1]))
			count--;
	for (size_t i = 0; i < count && rc == 0; i++) {
		if (!is_left_out(s, rows[i]))
			rc = leave_out_if_damaged(s, rows[i], edit_row(s, op, rows[i], &a));
		last = row_message(rows[i]);
		arena_reset(&a);
	}
	op->out_more = rc == 0 && full;
	if (op->out_more)
		op->after_id = last;
	return rc;
}
