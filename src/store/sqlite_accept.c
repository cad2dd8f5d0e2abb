/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/sqlite_priv.h"

static int note_partial(struct store_sqlite *s, uint64_t id, uint32_t chunks, struct err *err)
{
	sqlite3_stmt *q = store_sql(s, SQL_PARTIAL_ADD);

	(void)sqlite3_bind_int64(q, 1, (int64_t)id);
	(void)sqlite3_bind_int64(q, 2, chunks);
	return store_run(s, q, err);
}

static int forget_partial(struct store_sqlite *s, uint64_t id, struct err *err)
{
	sqlite3_stmt *q = store_sql(s, SQL_PARTIAL_DROP);

	(void)sqlite3_bind_int64(q, 1, (int64_t)id);
	return store_run(s, q, err);
}

static int put_chunk(
	struct store_sqlite *s, uint64_t id, uint32_t index, struct sv bytes, struct err *err)
{
	sqlite3_stmt *q = store_sql(s, SQL_CHUNK_ADD);
	int rc;

	(void)sqlite3_bind_int64(q, 1, row_id(id, index));
	(void)sqlite3_bind_blob64(q, 2, bytes.ptr, bytes.len, SQLITE_STATIC);
	(void)sqlite3_bind_int64(q, 3, store_sum_chunk(row_id(id, index), bytes));
	rc = store_run(s, q, err);
	/* The body's memory is the caller's: no binding may outlive the call. */
	(void)sqlite3_clear_bindings(q);
	return rc;
}

int store_do_chunk(struct store *front, struct store_chunk *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	int rc;

	must(op->index < STORE_NUMBER_MAX);
	must(op->bytes.len <= LIMIT_CHUNK);
	rc = put_chunk(s, op->message_id, op->index, op->bytes, &op->op.err);
	/* What a crash leaves behind is found here, without a look at all chunks. */
	return rc ? rc : note_partial(s, op->message_id, op->index + 1, &op->op.err);
}

static int put_message(
	struct store_sqlite *s, const struct store_put *op, uint32_t chunks, struct err *err)
{
	const struct store_message *m = op->message;
	sqlite3_stmt *q = store_sql(s, SQL_MESSAGE_ADD);
	const struct sv views[] = {
		m->sender, m->envid, m->message_id, m->subject, m->user, m->client, m->listener
	};
	int at = 1;

	(void)sqlite3_bind_int64(q, at++, (int64_t)m->id);
	(void)sqlite3_bind_int64(q, at++, m->accepted_at.us);
	(void)sqlite3_bind_int64(q, at++, m->expires_at.us);
	(void)sqlite3_bind_int64(q, at++, (int64_t)m->recipient_count);
	(void)sqlite3_bind_int64(q, at++, m->flags);
	(void)sqlite3_bind_int64(q, at++, chunks);
	(void)sqlite3_bind_int64(q, at++, (int64_t)m->size);
	(void)sqlite3_bind_int64(q, at++, m->header_size);
	(void)sqlite3_bind_int64(q, at++, (int64_t)m->bounce_of);
	(void)sqlite3_bind_int64(q, at++, m->dsn_ret);
	for (size_t i = 0; i < COUNT_OF(views); i++)
		store_bind_sv(q, at++, views[i]);
	store_bind_optional(q, at++, m->device);
	(void)sqlite3_bind_int64(q, at, store_sum_message(m));
	return store_run(s, q, err);
}

static bool is_claimed(const struct store_put *op, uint32_t index)
{
	for (size_t i = 0; i < op->attempt_count; i++)
		for (size_t j = 0; j < op->attempts[i].recipient_count; j++)
			if (op->attempts[i].recipients[j] == index)
				return true;
	return false;
}

/* The flow of the recipient before, which is that of the next as well, as a rule. */
struct placed {
	const struct mail_flow *flow; /* NULL: there was none */
	int64_t number;
};

static int place(
	struct store_sqlite *s, const struct mail_flow *flow, struct placed *last, struct err *err)
{
	int rc = 0;

	if (!last->flow || !mail_flow_eq(last->flow, flow))
		rc = store_flow_number(s, flow, &last->number, err);
	last->flow = rc == 0 ? flow : NULL;
	return rc;
}

static int put_recipient(struct store_sqlite *s, const struct store_put *op,
	const struct store_recipient *r, struct placed *last, struct store_tally *tally,
	struct err *err)
{
	bool claimed = op->attempt_count && is_claimed(op, r->index);
	sqlite3_stmt *q;
	int64_t lane, cause;
	int rc = store_lane_number(s, r->lane, &lane, err);

	must(r->index <= STORE_NUMBER_MAX);
	if (rc == 0)
		rc = store_cause_number(s, r->last_cause, &cause, err);
	if (rc == 0)
		rc = place(s, &r->flow, last, err);
	if (rc == 0 && !claimed && r->state == STORE_RCPT_QUEUED)
		rc = store_flow_tally(s, tally, last->number, 1, (int64_t)op->message->size, err);
	if (rc != 0)
		return rc;
	q = store_sql(s, SQL_RECIPIENT_ADD);
	(void)sqlite3_bind_int64(q, 1, row_id(op->message->id, r->index));
	(void)sqlite3_bind_int64(q, 2, lane);
	(void)sqlite3_bind_int64(q, 3, claimed ? STORE_RCPT_OPEN : r->state);
	if (claimed)
		(void)sqlite3_bind_null(q, 4);
	else
		(void)sqlite3_bind_int64(
			q, 4, r->state == STORE_RCPT_HELD ? DUE_HELD : r->next_at.us);
	(void)sqlite3_bind_int64(q, 5, cause);
	(void)sqlite3_bind_int64(q, 6, claimed);
	(void)sqlite3_bind_int64(q, 7, r->dsn_notify);
	store_bind_sv(q, 8, r->address);
	store_bind_sv(q, 9, r->orcpt);
	store_bind_sv(q, 10, r->last_reply);
	(void)sqlite3_bind_int64(q, 11, last->number);
	store_bind_optional(q, 12, r->rewrite_from);
	(void)sqlite3_bind_int64(q, 13, store_sum_recipient(op->message->id, r));
	(void)sqlite3_bind_int64(q, 14, r->look_at.us);
	return store_run(s, q, err);
}

int store_put_attempt(struct store_sqlite *s, const struct store_attempt *a, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf story = BUF_INIT(LIMIT_RCPT * 8);
	sqlite3_stmt *q;
	int64_t lane;
	int rc = store_lane_number(s, a->lane, &lane, err);

	if (rc != 0)
		return rc;
	must(story_open(&story, a->recipients, a->recipient_count) == 0);
	q = store_sql(s, SQL_ATTEMPT_ADD);
	(void)sqlite3_bind_int64(q, 1, row_id(a->message_id, a->number));
	(void)sqlite3_bind_int64(q, 2, lane);
	(void)sqlite3_bind_int64(q, 3, a->at.us);
	store_bind_sv(q, 4, buf_sv(&story));
	rc = store_run(s, q, err);
	(void)sqlite3_clear_bindings(q);
	return rc;
}

int store_do_put(struct store *front, struct store_put *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	const struct store_message *m = op->message;
	struct err *err = &op->op.err;
	uint32_t chunks = op->chunk_count + (op->body.len > 0);
	struct store_tally tally = { 0 };
	struct placed last = { 0 };
	int rc = 0;

	must(chunks <= STORE_NUMBER_MAX);
	/* Reading finds a place in the body by division. */
	must(op->body.len <= LIMIT_CHUNK);
	must(m->recipient_count > 0);
	must(m->recipient_count <= LIMIT_RCPT);
	if (op->body.len)
		rc = put_chunk(s, m->id, op->chunk_count, op->body, err);
	if (rc == 0 && op->chunk_count)
		rc = forget_partial(s, m->id, err);
	if (rc == 0)
		rc = put_message(s, op, chunks, err);
	for (size_t i = 0; i < m->recipient_count && rc == 0; i++)
		rc = put_recipient(s, op, &m->recipients[i], &last, &tally, err);
	if (rc == 0)
		rc = store_flow_tally_end(s, &tally, err);
	for (size_t i = 0; i < op->attempt_count && rc == 0; i++) {
		struct store_attempt a = op->attempts[i];

		a.number = (uint32_t)i + 1;
		rc = store_put_attempt(s, &a, err);
	}
	if (rc == 0)
		rc = store_add_ledger(s, op->ledger, op->ledger_count, err);
	if (rc != 0)
		return rc;
	s->state.messages++;
	s->state.bytes += (int64_t)m->size;
	return 0;
}

int store_do_abort(struct store *front, struct store_abort *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	sqlite3_stmt *q = store_sql(s, SQL_DEAD_FROM_PARTIAL);
	int rc;

	/* 0 is every message, and only the start may say that. */
	must(op->message_id != 0);
	(void)sqlite3_bind_int64(q, 1, (int64_t)op->message_id);
	rc = store_run(s, q, &op->op.err);
	s->dead_left = true;
	return rc ? rc : forget_partial(s, op->message_id, &op->op.err);
}
