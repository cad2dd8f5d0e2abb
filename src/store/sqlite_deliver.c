/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/sqlite_priv.h"

/* ---- claim ---- */

static int next_attempt(struct store_sqlite *s, uint64_t message_id, uint32_t *out, struct err *err)
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

int store_do_claim(struct store *front, struct store_claim *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	struct store_attempt *a = op->attempt;
	struct err *err = &op->op.err;
	int64_t lane;
	int rc = store_lane_number(s, a->lane, &lane, err);

	for (size_t i = 0; i < a->recipient_count && rc == 0; i++) {
		sqlite3_stmt *q = store_sql(s, SQL_RECIPIENT_CLAIM);

		(void)sqlite3_bind_int64(q, 1, row_id(a->message_id, a->recipients[i]));
		(void)sqlite3_bind_int64(q, 2, lane);
		rc = store_run(s, q, err);
		if (rc == 0 && sqlite3_changes(s->db) != 1)
			rc = err_set(err,
				RC_STATE,
				"recipient %u does not wait any more",
				a->recipients[i]);
	}
	if (rc == 0)
		rc = next_attempt(s, a->message_id, &a->number, err);
	if (rc == 0)
		rc = store_put_attempt(s, a, err);
	return rc ? rc : store_add_ledger(s, op->ledger, op->ledger_count, err);
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

static int end_recipient(struct store_sqlite *s, const struct store_outcome *op,
	const struct store_recipient_outcome *r, uint32_t *final, struct err *err)
{
	/* NULL leaves what is there. */
	bool keep_lane = r->lane.len == 0 && r->state != STORE_RCPT_QUEUED;
	bool keep_words = op->withdrawn && !r->verdict.cause && r->reply.len == 0;
	sqlite3_stmt *q;
	int64_t lane, cause;
	int rc = store_lane_number(s, r->lane, &lane, err);

	if (rc == 0)
		rc = store_cause_number(s, sv_from(cause_name(r->verdict.cause)), &cause, err);
	if (rc != 0)
		return rc;
	q = store_sql(s, op->attempt ? SQL_RECIPIENT_UPDATE : SQL_RECIPIENT_CHANGE);
	(void)sqlite3_bind_int64(q, 1, row_id(op->message_id, r->index));
	if (keep_lane)
		(void)sqlite3_bind_null(q, 2);
	else
		(void)sqlite3_bind_int64(q, 2, lane);
	(void)sqlite3_bind_int64(q, 3, r->state);
	if (r->state == STORE_RCPT_QUEUED)
		(void)sqlite3_bind_int64(q, 4, r->next_at.us);
	else if (r->state == STORE_RCPT_HELD)
		(void)sqlite3_bind_int64(q, 4, DUE_HELD);
	else
		(void)sqlite3_bind_null(q, 4);
	if (!keep_words) {
		(void)sqlite3_bind_int64(q, 5, cause);
		store_bind_sv(q, 6, sv_head(r->reply, LIMIT_REPLY_KEPT));
	}
	(void)sqlite3_bind_int64(q, 7, r->uncertain);
	(void)sqlite3_bind_int64(q, 8, op->withdrawn);
	if (r->new_plan) {
		store_bind_sv(q, 9, r->alternatives);
		store_bind_sv(q, 10, r->rewrite_from);
	}
	if (r->look_at.us)
		(void)sqlite3_bind_int64(q, 11, r->look_at.us);
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
	return 0;
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
	for (size_t i = 0; i < op->recipient_count && rc == 0; i++)
		rc = end_recipient(s, op, &op->recipients[i], &final, err);
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

int store_do_body(struct store *front, struct store_body *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	uint64_t offset = op->offset;
	int rc = 1;

	must(op->out->len >= op->begun_len);
	op->out->len = op->begun_len;
	while (rc == 1 && buf_room(op->out) > 0) {
		sqlite3_stmt *q = store_sql(s, SQL_CHUNK_READ);
		uint64_t index = offset / LIMIT_CHUNK;
		struct sv bytes;

		if (index > STORE_NUMBER_MAX)
			break;
		(void)sqlite3_bind_int64(q, 1, row_id(op->message_id, (uint32_t)index));
		rc = store_step(s, q, &op->op.err);
		bytes = rc == 1 ? store_column_sv(q, 0) : sv_make(NULL, 0);
		if (rc == 1 &&
			!store_sum_fits(q,
				1,
				store_sum_chunk(row_id(op->message_id, (uint32_t)index), bytes)))
			rc = err_set(&op->op.err, RC_CORRUPT, "the body of the message is damaged");
		if (rc == 1) {
			bytes = sv_skip(bytes, (size_t)(offset % LIMIT_CHUNK));
			bytes = sv_head(bytes, buf_room(op->out));
			must(buf_append(op->out, bytes) == 0);
			offset += bytes.len;
			/* A short chunk is the last one. */
			if (bytes.len == 0 || offset % LIMIT_CHUNK != 0)
				rc = 0;
		}
		(void)sqlite3_reset(q);
	}
	return rc < 0 ? rc : 0;
}
