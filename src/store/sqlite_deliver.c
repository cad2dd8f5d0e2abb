/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/sqlite_priv.h"

/* ---- attempts ---- */

int store_next_attempt(struct store_sqlite *s, uint64_t message_id, uint32_t *out, struct err *err)
{
	sqlite3_stmt *q = store_sql(s, SQL_ATTEMPT_LAST);
	int rc;

	(void)sqlite3_bind_int64(q, 1, row_id(message_id, 0));
	(void)sqlite3_bind_int64(q, 2, row_id(message_id, STORE_NUMBER_MAX));
	rc = store_step(s, q, err);
	if (rc < 0)
		return rc;
	*out = 1 + (rc == 1 && sqlite3_column_type(q, 0) != SQLITE_NULL
				   ? row_number(sqlite3_column_int64(q, 0))
				   : 0);
	(void)sqlite3_reset(q);
	/* Past 4095 attempts the last place is written over: the story ends there, the mail does not. */
	if (*out > STORE_NUMBER_MAX)
		*out = STORE_NUMBER_MAX;
	return 0;
}

/* ---- outcome ---- */

static int attempt_was_open(struct store_sqlite *s, struct err *err)
{
	return sqlite3_changes(s->db) == 1
		       ? 0
		       : err_set(err, RC_NOT_FOUND, "there is no such open attempt");
}

static int end_attempt(struct store_sqlite *s, const struct store_outcome *op,
	uint32_t *out_story_bytes, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf story = BUF_INIT(LIMIT_RCPT * (2 * LIMIT_REPLY_KEPT));
	sqlite3_stmt *q;
	int64_t id = row_id(op->message_id, op->attempt);
	bool uncertain = false;
	int rc = 0;

	if (op->withdrawn) {
		q = store_sql(s, SQL_ATTEMPT_DROP);
		(void)sqlite3_bind_int64(q, 1, id);
		rc = store_run(s, q, err);
		return rc ? rc : attempt_was_open(s, err);
	}
	for (size_t i = 0; i < op->recipient_count && rc == 0; i++) {
		rc = story_add(&story, &op->recipients[i]);
		uncertain |= op->recipients[i].uncertain;
	}
	if (rc != 0)
		return err_set(err, rc, "the story of the attempt is too long");
	q = store_sql(s, SQL_ATTEMPT_END);
	(void)sqlite3_bind_int64(q, 1, id);
	(void)sqlite3_bind_int64(q, 2, op->at.us);
	(void)sqlite3_bind_int64(q, 3, uncertain);
	store_bind_sv(q, 4, op->relay);
	store_bind_sv(q, 5, op->stage);
	store_bind_sv(q, 6, buf_sv(&story));
	rc = store_run(s, q, err);
	(void)sqlite3_clear_bindings(q);
	*out_story_bytes = (uint32_t)(story.len + op->relay.len + 64);
	return rc ? rc : attempt_was_open(s, err);
}

/* Only of a failure: the usual message pays nothing for it. */
static int put_transcript(struct store_sqlite *s, const struct store_outcome *op, struct err *err)
{
	sqlite3_stmt *q = store_sql(s, SQL_TRANSCRIPT_SET);
	int rc;

	(void)sqlite3_bind_int64(q, 1, (int64_t)op->message_id);
	(void)sqlite3_bind_int64(q, 2, op->attempt);
	store_bind_sv(q, 3, op->transcript);
	rc = store_run(s, q, err);
	(void)sqlite3_clear_bindings(q);
	if (rc != 0)
		return rc;
	q = store_sql(s, SQL_TRANSCRIPT_TRIM);
	(void)sqlite3_bind_int64(q, 1, STORE_TRANSCRIPTS_KEPT);
	return store_run(s, q, err);
}

/* What the row says of it, before it changes: its flow, and whether it counts there. */
struct before {
	int64_t flow;
	bool queued;
};

static int read_before(struct store_sqlite *s, int64_t row, struct before *out, struct err *err)
{
	sqlite3_stmt *q = store_sql(s, SQL_RECIPIENT_FLOW);
	int rc;

	*out = (struct before){ 0 };
	(void)sqlite3_bind_int64(q, 1, row);
	rc = store_step(s, q, err);
	if (rc == 1) {
		out->flow = sqlite3_column_int64(q, 0);
		out->queued = sqlite3_column_int64(q, 1) == STORE_RCPT_QUEUED;
	}
	(void)sqlite3_reset(q);
	return rc < 0 ? rc : 0;
}

/* From attempts and to finals nothing is counted: that is the usual message. */
static int count_flow(struct store_sqlite *s, struct store_outcome *op,
	const struct store_recipient_outcome *r, const struct before *before, int64_t flow,
	struct store_tallies *t)
{
	bool queued = r->state == STORE_RCPT_QUEUED;
	int rc = 0;

	if (!queued && !before->queued)
		return 0;
	if (!t->size && (rc = store_message_size(s, op->message_id, &t->size, &op->op.err)) != 0)
		return rc;
	if (before->queued)
		rc = store_flow_tally(s, &t->from, before->flow, -1, t->size, &op->op.err);
	if (rc == 0 && queued)
		rc = store_flow_tally(
			s, &t->to, flow ? flow : before->flow, 1, t->size, &op->op.err);
	return rc;
}

static void bind_outcome(sqlite3_stmt *q, const struct store_outcome *op,
	const struct store_recipient_outcome *r, int64_t flow, int64_t cause)
{
	/* NULL leaves what is there. */
	bool keep_words = op->withdrawn && !r->verdict.cause && r->reply.len == 0;

	(void)sqlite3_bind_int64(q, 1, row_id(op->message_id, r->index));
	if (flow)
		(void)sqlite3_bind_int64(q, 2, flow);
	(void)sqlite3_bind_int64(q, 3, r->state);
	if (r->state == STORE_RCPT_QUEUED)
		(void)sqlite3_bind_int64(q, 4, r->next_at.us);
	else if (r->state == STORE_RCPT_HELD)
		(void)sqlite3_bind_int64(q, 4, DUE_HELD);
	if (!keep_words) {
		(void)sqlite3_bind_int64(q, 5, cause);
		store_bind_sv(q, 6, sv_head(r->reply, LIMIT_REPLY_KEPT));
	}
	(void)sqlite3_bind_int64(q, 7, r->uncertain);
	(void)sqlite3_bind_int64(q, 8, op->withdrawn && op->attempt);
	if (r->rewrite_from.ptr)
		store_bind_sv(q, 9, r->rewrite_from);
	if (r->look_at.us)
		(void)sqlite3_bind_int64(q, 10, r->look_at.us);
}

static int end_recipient(struct store_sqlite *s, struct store_outcome *op,
	const struct store_recipient_outcome *r, uint32_t *final, struct store_tallies *t)
{
	struct err *err = &op->op.err;
	struct before before = { 0 };
	int64_t flow = 0, cause;
	sqlite3_stmt *q;
	int rc = store_cause_number(s, sv_from(cause_name(r->verdict.cause)), &cause, err);

	if (rc == 0 && r->flow)
		rc = store_flow_number(s, r->flow, &flow, err);
	/* Of whoever leaves an attempt for good no flow knows. */
	if (rc == 0 && !(op->attempt && r->state != STORE_RCPT_QUEUED))
		rc = read_before(s, row_id(op->message_id, r->index), &before, err);
	if (rc != 0)
		return rc;
	q = store_sql(s, op->attempt ? SQL_RECIPIENT_UPDATE : SQL_RECIPIENT_CHANGE);
	(void)sqlite3_clear_bindings(q);
	bind_outcome(q, op, r, flow, cause);
	rc = store_run(s, q, err);
	(void)sqlite3_clear_bindings(q);
	if (rc != 0)
		return rc;
	if (sqlite3_changes(s->db) != 1)
		return op->attempt ? err_set(err,
					     RC_NOT_FOUND,
					     "recipient %u is not in an attempt",
					     r->index)
				   : 0;
	*final += store_state_is_final(r->state);
	s->delivered_now += r->state == STORE_RCPT_DELIVERED;
	s->bounced_now += r->state == STORE_RCPT_BOUNCED || r->state == STORE_RCPT_EXPIRED;
	return count_flow(s, op, r, &before, flow, t);
}

static int end_recipients(struct store_sqlite *s, struct store_outcome *op, uint32_t *final)
{
	struct store_tallies t = { 0 };
	int rc = 0;

	for (size_t i = 0; i < op->recipient_count && rc == 0; i++)
		rc = end_recipient(s, op, &op->recipients[i], final, &t);
	if (rc == 0)
		rc = store_flow_tally_end(s, &t.from, &op->op.err);
	return rc ? rc : store_flow_tally_end(s, &t.to, &op->op.err);
}

static int end_story(struct store_sqlite *s, const struct store_outcome *op,
	uint32_t *out_story_bytes, struct err *err)
{
	int rc = end_attempt(s, op, out_story_bytes, err);

	return rc == 0 && op->transcript.len ? put_transcript(s, op, err) : rc;
}

static int add_count(struct store_sqlite *s, const struct store_count *c, struct err *err)
{
	sqlite3_stmt *q;

	if (c->amount == 0 || !store_part_begin(s, STORE_PART_LEDGER))
		return 0;
	q = store_sql(s, SQL_COUNT_ADD);
	(void)sqlite3_bind_int64(q, 1, c->period);
	store_bind_sv(q, 2, c->name);
	(void)sqlite3_bind_int64(q, 3, (int64_t)c->amount);
	return store_part_end(s, store_run(s, q, err));
}

int store_do_outcome(struct store *front, struct store_outcome *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	struct err *err = &op->op.err;
	uint32_t final = 0, story_bytes = 0;
	int rc = 0;

	if (op->attempt && store_part_begin(s, STORE_PART_ATTEMPT))
		rc = store_part_end(s, end_story(s, op, &story_bytes, err));
	if (rc == 0)
		rc = end_recipients(s, op, &final);
	if (rc == 0 && store_part_begin(s, STORE_PART_MESSAGE))
		rc = store_part_end(s,
			store_message_settle(s,
				op->message_id,
				final,
				op->set_flags,
				op->at,
				story_bytes,
				&op->out_finished,
				err));
	if (rc == 0)
		rc = store_add_ledger(s, op->ledger, op->ledger_count, err);
	return rc ? rc : add_count(s, &op->count, err);
}

/* ---- body ---- */

int store_read_body(struct store_sqlite *s, uint64_t message_id, uint64_t offset, struct buf *out,
	struct err *err)
{
	int rc = 1;

	while (rc == 1 && buf_room(out) > 0) {
		sqlite3_stmt *q = store_sql(s, SQL_CHUNK_READ);
		uint64_t index = offset / LIMIT_CHUNK;
		struct sv bytes;

		if (index > STORE_NUMBER_MAX)
			break;
		(void)sqlite3_bind_int64(q, 1, row_id(message_id, (uint32_t)index));
		rc = store_step(s, q, err);
		bytes = rc == 1 ? store_column_sv(q, 0) : sv_make(NULL, 0);
		if (rc == 1 &&
			!store_sum_fits(
				q, 1, store_sum_chunk(row_id(message_id, (uint32_t)index), bytes)))
			rc = err_set(err, RC_CORRUPT, "the body of the message is damaged");
		if (rc == 1) {
			bytes = sv_skip(bytes, (size_t)(offset % LIMIT_CHUNK));
			bytes = sv_head(bytes, buf_room(out));
			must(buf_append(out, bytes) == 0);
			offset += bytes.len;
			/* A short chunk is the last one. */
			if (bytes.len == 0 || offset % LIMIT_CHUNK != 0)
				rc = 0;
		}
		(void)sqlite3_reset(q);
	}
	return rc < 0 ? rc : 0;
}

int store_do_body(struct store *front, struct store_body *op)
{
	must(op->out->len >= op->begun_len);
	op->out->len = op->begun_len;
	return store_read_body(
		store_sqlite_of(front), op->message_id, op->offset, op->out, &op->op.err);
}
