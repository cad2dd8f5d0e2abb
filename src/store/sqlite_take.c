/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "mail/domain_room.h"
#include "store/sqlite_priv.h"

/* TAKE: one message of a flow, with as many recipients as may go together, into an attempt. */

struct due {
	int64_t id, at;
};

/* Rows of one message. Usually one, however many are wanted. */
struct run {
	struct due *rows;
	size_t count, cap;
};

/* The next run of rows of one message, not more than are wanted. */
static int read_rows(struct store_sqlite *s, struct store_take *op, int64_t flow, struct due after,
	struct run *run)
{
	/* Nearly always the first that is due is taken, and the general statement costs twice as much. */
	bool first = after.at < 0;
	sqlite3_stmt *q = store_sql(s, first ? SQL_DUE_FIRST : SQL_DUE);
	int at = 1, rc = 0;

	run->count = 0;
	(void)sqlite3_bind_int64(q, at++, flow);
	if (!first) {
		(void)sqlite3_bind_int64(q, at++, after.at);
		(void)sqlite3_bind_int64(q, at++, after.id);
	}
	(void)sqlite3_bind_int64(q, at++, op->now.us);
	(void)sqlite3_bind_int64(q, at, op->wanted);
	while (run->count < op->wanted && (rc = store_step(s, q, &op->op.err)) == 1) {
		struct due row = { sqlite3_column_int64(q, 0), sqlite3_column_int64(q, 1) };

		if (run->count && row_message(row.id) != row_message(run->rows[0].id))
			break;
		run->rows = arena_more(
			op->out_arena, run->rows, run->count, &run->cap, sizeof(*run->rows));
		run->rows[run->count++] = row;
	}
	(void)sqlite3_reset(q);
	return rc < 0 ? rc : 0;
}

static bool comes_last(const struct store_take *op, uint64_t message)
{
	for (size_t i = 0; i < op->last_count; i++)
		if (op->last[i] == message)
			return true;
	return false;
}

static bool pass_over(struct store_sqlite *s, uint64_t id, uint32_t index, int *rc, struct err *err)
{
	if (*rc != RC_CORRUPT)
		return false;
	store_damage_note(&s->front, id, index, err->text);
	/* Of a transaction that met a damaged page nothing more can be written: it runs again, and knows of it. */
	if (s->corrupt != s->take_corrupt || sqlite3_get_autocommit(s->db)) {
		if (store_damage_knows(&s->front, id, index))
			s->part = STORE_PART_ROW;
		return false;
	}
	err->text[0] = '\0';
	*rc = 0;
	return true;
}

static struct sv address_of(const void *arg, size_t i)
{
	return ((const struct store_recipient *)arg)[i].address;
}

/* Those of the run that may go in one message: whole, of one plan, and not too many of a domain. */
static int read_run(
	struct store_sqlite *s, struct store_take *op, const struct due *rows, size_t count)
{
	struct store_message *m = op->out_message;
	struct store_recipient *list;
	size_t n = 0;
	int rc = 0;

	list = arena_alloc(op->out_arena, count * sizeof(*list));
	for (size_t i = 0; i < count && rc == 0; i++) {
		uint32_t index = row_number(rows[i].id);

		if (store_damage_knows(&s->front, m->id, index))
			continue;
		rc = store_read_whole_recipient(
			s, rows[i].id, op->out_arena, &list[n], &op->op.err);
		if (pass_over(s, m->id, index, &rc, &op->op.err) || rc != 0)
			continue;
		if (n && ((op->apart && m->flags & STORE_MSG_APART) ||
				 !sv_eq(list[n].rewrite_from, list[0].rewrite_from)))
			break;
		n++;
	}
	m->recipients = list;
	m->recipient_count = mail_domain_room(n, op->per_domain, address_of, list);
	return rc;
}

/* 1: the message is read, with at least one recipient. 0: nothing of it can be had. */
static int read_message(
	struct store_sqlite *s, struct store_take *op, const struct due *rows, size_t count)
{
	uint64_t id = row_message(rows[0].id);
	struct err *err = &op->op.err;
	int rc;

	if (store_damage_knows(&s->front, id, STORE_WHOLE_MESSAGE))
		return 0;
	s->take_corrupt = s->corrupt;
	rc = store_read_whole_message(s, id, op->out_arena, op->out_message, err);
	if (pass_over(s, id, STORE_WHOLE_MESSAGE, &rc, err))
		return 0;
	if (rc == 0)
		rc = read_run(s, op, rows, count);
	return rc ? rc : op->out_message->recipient_count > 0;
}

/* ---- which ---- */

/* 1: found. Of those that come last, or of the others. */
static int find_among(struct store_sqlite *s, struct store_take *op, int64_t flow, bool last)
{
	struct run run = { 0 };
	struct due after = { 0, -1 };
	size_t scanned = 0;
	int rc;

	do {
		rc = read_rows(s, op, flow, after, &run);
		if (rc != 0 || run.count == 0)
			return rc;
		after = run.rows[run.count - 1];
		if (comes_last(op, row_message(run.rows[0].id)) == last)
			rc = read_message(s, op, run.rows, run.count);
		if (rc != 0)
			return rc;
		scanned += run.count;
	} while (scanned < STORE_SCAN_MAX);
	return 0;
}

static int find(struct store_sqlite *s, struct store_take *op, int64_t flow)
{
	int found = find_among(s, op, flow, false);

	return found == 0 && op->last_count ? find_among(s, op, flow, true) : found;
}

/* ---- into the attempt ---- */

static int open_recipients(struct store_sqlite *s, struct store_take *op, int64_t lane)
{
	struct store_message *m = op->out_message;
	struct store_recipient *list = (struct store_recipient *)(uintptr_t)m->recipients;

	for (size_t i = 0; i < m->recipient_count; i++) {
		sqlite3_stmt *q = store_sql(s, SQL_RECIPIENT_CLAIM);
		int rc;

		(void)sqlite3_bind_int64(q, 1, row_id(m->id, list[i].index));
		(void)sqlite3_bind_int64(q, 2, lane);
		rc = store_run(s, q, &op->op.err);
		if (rc == 0 && sqlite3_changes(s->db) != 1)
			rc = err_set(
				&op->op.err, RC_STATE, "recipient %u does not wait", list[i].index);
		if (rc != 0)
			return rc;
		list[i].state = STORE_RCPT_OPEN;
		list[i].attempts++;
		list[i].lane = op->lane;
	}
	return 0;
}

static int open_attempt(struct store_sqlite *s, struct store_take *op)
{
	const struct store_message *m = op->out_message;
	uint32_t *indexes = arena_alloc(op->out_arena, m->recipient_count * sizeof(*indexes));
	struct store_attempt a = { .message_id = m->id,
		.lane = op->lane,
		.at = op->at,
		.recipients = indexes,
		.recipient_count = m->recipient_count };
	int rc;

	for (size_t i = 0; i < m->recipient_count; i++)
		indexes[i] = m->recipients[i].index;
	rc = store_next_attempt(s, m->id, &a.number, &op->op.err);
	op->out_attempt = a.number;
	return rc ? rc : store_put_attempt(s, &a, &op->op.err);
}

static int charge(struct store_sqlite *s, struct store_take *op)
{
	for (size_t i = 0; i < op->ledger_count; i++) {
		int32_t n = (int32_t)op->out_message->recipient_count;

		/* 0: this one counts messages alone. */
		if (op->ledger[i].recipients)
			op->ledger[i].recipients = op->ledger[i].recipients < 0 ? -n : n;
	}
	return store_add_ledger(s, op->ledger, op->ledger_count, &op->op.err);
}

static int take_body(struct store_sqlite *s, struct store_take *op)
{
	uint64_t header = op->out_message->header_size;

	op->body->len = 0;
	if (!store_part_begin(s, STORE_PART_BODY))
		return 0;
	if (op->body->max < header)
		op->body->max = (size_t)header;
	if (store_part_end(s, store_read_body(s, op->out_message->id, 0, op->body, &op->op.err)) !=
		0) {
		/* Of a sum that does not fit; a damaged page is met again, and then left out. */
		if (s->corrupt != s->take_corrupt)
			return RC_CORRUPT;
		s->part = STORE_PART_NONE;
		op->body->len = 0;
		op->op.err.text[0] = '\0';
	}
	return 0;
}

static int next_due(struct store_sqlite *s, struct store_take *op, int64_t flow)
{
	sqlite3_stmt *q = store_sql(s, SQL_FLOW_FIRST);
	int rc;

	(void)sqlite3_bind_int64(q, 1, flow);
	rc = store_step(s, q, &op->op.err);
	op->out_next_due.us = rc == 1 ? sqlite3_column_int64(q, 0) : INT64_MAX;
	(void)sqlite3_reset(q);
	return rc < 0 ? rc : 0;
}

static int take_found(struct store_sqlite *s, struct store_take *op, int64_t flow)
{
	const struct store_message *m = op->out_message;
	struct err *err = &op->op.err;
	int64_t lane;
	int rc = store_lane_number(s, op->lane, &lane, err);

	if (rc == 0)
		rc = open_recipients(s, op, lane);
	if (rc == 0)
		rc = open_attempt(s, op);
	if (rc == 0)
		rc = charge(s, op);
	if (rc == 0)
		rc = store_flow_count(s,
			flow,
			-(int64_t)m->recipient_count,
			-(int64_t)(m->recipient_count * m->size),
			err);
	return rc ? rc : take_body(s, op);
}

/* Where its attempt would be written is damaged: it waits, and the take runs again for the next. Not for ever: it may be an index. */
static int without_it(struct store_sqlite *s, struct store_take *op, int rc)
{
	uint64_t id = op->out_message->id;

	if (rc != RC_CORRUPT || s->part != STORE_PART_NONE)
		return rc;
	store_damage_note(&s->front, id, STORE_WHOLE_MESSAGE, op->op.err.text);
	if (s->left_out_count < STORE_LEFT_OUT_MAX &&
		store_damage_knows(&s->front, id, STORE_WHOLE_MESSAGE)) {
		s->left_out_count++;
		s->part = STORE_PART_ROW;
	}
	return rc;
}

int store_do_take(struct store *front, struct store_take *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	int64_t flow = store_flow_known(s, op->flow);
	struct err *err = &op->op.err;
	int rc = 0, found;

	op->out_next_due.us = INT64_MAX;
	op->out_message = arena_alloc(op->out_arena, sizeof(*op->out_message));
	*op->out_message = (struct store_message){ 0 };
	if (flow <= 0)
		return err_set(err, RC_NOT_FOUND, "there is no such flow");
	found = find(s, op, flow);
	if (found < 0)
		return found;
	if (found)
		rc = without_it(s, op, take_found(s, op, flow));
	if (rc == 0)
		rc = next_due(s, op, flow);
	if (rc == 0 && !found) {
		/* What is due and cannot be read is passed over until a repair. */
		if (op->out_next_due.us <= op->now.us)
			op->out_next_due.us = op->now.us + (int64_t)US_PER_MIN;
		return err_set(err, RC_NOT_FOUND, "nothing is due");
	}
	return rc;
}
