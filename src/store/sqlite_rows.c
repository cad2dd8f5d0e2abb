/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/sqlite_priv.h"

int store_read_message(struct store_sqlite *s, uint64_t id, struct arena *a,
	struct store_message *out, struct wall_time *out_finished_at, struct err *err)
{
	sqlite3_stmt *q = store_sql(s, SQL_MESSAGE_READ);
	int rc;

	(void)sqlite3_bind_int64(q, 1, (int64_t)id);
	rc = store_step(s, q, err);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(err, RC_NOT_FOUND, "there is no such message");
	*out = (struct store_message){
		.id = (uint64_t)sqlite3_column_int64(q, 0),
		.accepted_at.us = sqlite3_column_int64(q, 1),
		.expires_at.us = sqlite3_column_int64(q, 2),
		.flags = (uint32_t)sqlite3_column_int64(q, 4),
		.size = (uint64_t)sqlite3_column_int64(q, 5),
		.header_size = (uint32_t)sqlite3_column_int64(q, 6),
		.bounce_of = (uint64_t)sqlite3_column_int64(q, 7),
		.dsn_ret = (uint8_t)sqlite3_column_int64(q, 8),
		.sender = store_column_copy(q, 9, a),
		.envid = store_column_copy(q, 10, a),
		.message_id = store_column_copy(q, 11, a),
		.subject = store_column_copy(q, 12, a),
		.user = store_column_copy(q, 13, a),
		.client = store_column_copy(q, 14, a),
		.listener = store_column_copy(q, 15, a),
		.device = store_column_copy(q, 16, a),
	};
	if (out_finished_at)
		out_finished_at->us = sqlite3_column_int64(q, 3);
	(void)sqlite3_reset(q);
	return 0;
}

void store_recipient_row(
	struct store_sqlite *s, sqlite3_stmt *q, struct arena *a, struct store_recipient *out)
{
	*out = (struct store_recipient){
		.index = row_number(sqlite3_column_int64(q, 0)),
		.lane = arena_sv(a, store_lane_text(s, sqlite3_column_int64(q, 1))),
		.state = (enum store_recipient_state)sqlite3_column_int(q, 2),
		.next_at.us = sqlite3_column_int64(q, 3),
		.last_cause = arena_sv(a, store_cause_text(s, sqlite3_column_int64(q, 4))),
		.attempts = (uint32_t)sqlite3_column_int64(q, 5),
		.uncertain = (uint32_t)sqlite3_column_int64(q, 6),
		.dsn_notify = (uint8_t)sqlite3_column_int(q, 7),
		.address = store_column_copy(q, 8, a),
		.orcpt = store_column_copy(q, 9, a),
		.last_reply = store_column_copy(q, 10, a),
		.flow = store_flow_copy(s, sqlite3_column_int64(q, 11), a),
		.rewrite_from = store_column_copy(q, 12, a),
		.look_at.us = sqlite3_column_int64(q, 14),
	};
	if (out->state == STORE_RCPT_HELD)
		out->next_at.us = 0;
}

static int message_fits(struct store_sqlite *s, const struct store_message *m, struct err *err)
{
	sqlite3_stmt *q = store_sql(s, SQL_MESSAGE_SUM);
	int rc;

	(void)sqlite3_bind_int64(q, 1, (int64_t)m->id);
	rc = store_step(s, q, err);
	if (rc == 1 && !store_sum_fits(q, 0, store_sum_message(m)))
		rc = err_set(err, RC_CORRUPT, "the envelope of the message is damaged");
	(void)sqlite3_reset(q);
	return rc < 0 ? rc : 0;
}

int store_read_whole_message(struct store_sqlite *s, uint64_t id, struct arena *a,
	struct store_message *out, struct err *err)
{
	int rc = store_read_message(s, id, a, out, NULL, err);

	if (rc == RC_NOT_FOUND)
		rc = err_set(err, RC_CORRUPT, "a waiting recipient has no message");
	return rc ? rc : message_fits(s, out, err);
}

int store_read_whole_recipient(struct store_sqlite *s, int64_t id, struct arena *a,
	struct store_recipient *out, struct err *err)
{
	sqlite3_stmt *q = store_sql(s, SQL_RECIPIENT_READ);
	int rc;

	(void)sqlite3_bind_int64(q, 1, id);
	rc = store_step(s, q, err);
	if (rc == 1) {
		store_recipient_row(s, q, a, out);
		/* An address that the disk has changed is somebody else's. */
		if (!store_sum_fits(q, 13, store_sum_recipient(row_message(id), out)))
			rc = err_set(err, RC_CORRUPT, "recipient %u is damaged", out->index);
	}
	(void)sqlite3_reset(q);
	return rc == 1  ? 0
	       : rc < 0 ? rc
			: err_set(err, RC_CORRUPT, "a waiting recipient has no row");
}

int store_message_size(struct store_sqlite *s, uint64_t id, int64_t *out, struct err *err)
{
	sqlite3_stmt *q = store_sql(s, SQL_MESSAGE_PENDING);
	int rc;

	if (!store_part_begin(s, STORE_PART_FLOW))
		return 0;
	(void)sqlite3_bind_int64(q, 1, (int64_t)id);
	rc = store_step(s, q, err);
	if (rc == 1)
		*out = sqlite3_column_int64(q, 3);
	(void)sqlite3_reset(q);
	return store_part_end(s, rc < 0 ? rc : 0);
}

bool store_part_begin(struct store_sqlite *s, enum store_part part)
{
	if (s->without & (1U << part))
		return false;
	s->part = part;
	return true;
}

int store_part_end(struct store_sqlite *s, int rc)
{
	if (rc != RC_CORRUPT)
		s->part = STORE_PART_NONE;
	return rc;
}

int store_add_ledger(
	struct store_sqlite *s, const struct limit_entry *rows, size_t count, struct err *err)
{
	int rc = 0;

	if (count == 0 || !store_part_begin(s, STORE_PART_LEDGER))
		return 0;
	for (size_t i = 0; i < count && rc == 0; i++) {
		sqlite3_stmt *q;
		int64_t scope;

		rc = store_scope_number(s, rows[i].scope, &scope, err);
		if (rc != 0)
			break;
		q = store_sql(s, SQL_LEDGER_ADD);
		(void)sqlite3_bind_int64(q, 1, rows[i].bucket);
		(void)sqlite3_bind_int64(q, 2, scope);
		(void)sqlite3_bind_int64(q, 3, rows[i].messages);
		(void)sqlite3_bind_int64(q, 4, rows[i].recipients);
		(void)sqlite3_bind_int64(q, 5, rows[i].bytes);
		rc = store_run(s, q, err);
	}
	return store_part_end(s, rc);
}

static int drop_body(struct store_sqlite *s, uint64_t id, uint32_t chunks, struct err *err)
{
	sqlite3_stmt *q;
	int rc = 0;

	if (chunks > STORE_INLINE_CHUNKS) {
		q = store_sql(s, SQL_DEAD_ADD);
		(void)sqlite3_bind_int64(q, 1, (int64_t)id);
		(void)sqlite3_bind_int64(q, 2, chunks);
		s->dead_left = true;
		return store_run(s, q, err);
	}
	for (uint32_t i = 0; i < chunks && rc == 0; i++) {
		q = store_sql(s, SQL_CHUNK_DROP);
		(void)sqlite3_bind_int64(q, 1, row_id(id, i));
		rc = store_run(s, q, err);
	}
	return rc;
}

int store_message_settle(struct store_sqlite *s, uint64_t id, uint32_t final, uint32_t set_flags,
	struct wall_time at, uint32_t story_bytes, bool *out_finished, struct err *err)
{
	sqlite3_stmt *q = store_sql(s, SQL_MESSAGE_PENDING);
	int64_t pending, flags, size, story;
	uint32_t chunks;
	bool finished;
	int rc;

	(void)sqlite3_bind_int64(q, 1, (int64_t)id);
	rc = store_step(s, q, err);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(err, RC_NOT_FOUND, "there is no such message");
	pending = sqlite3_column_int64(q, 0) - final;
	flags = sqlite3_column_int64(q, 1) | set_flags;
	chunks = (uint32_t)sqlite3_column_int64(q, 2);
	size = sqlite3_column_int64(q, 3);
	story = sqlite3_column_int64(q, 4) + story_bytes;
	finished = sqlite3_column_int64(q, 5) != 0;
	(void)sqlite3_reset(q);
	if (finished) {
		/* Only by a change that came too late for all of its recipients. */
		*out_finished = true;
		return final ? err_set(err,
				       RC_CORRUPT,
				       "a finished message had recipients that waited")
			     : 0;
	}
	*out_finished = pending <= 0;
	q = store_sql(s, SQL_MESSAGE_UPDATE);
	(void)sqlite3_bind_int64(q, 1, (int64_t)id);
	(void)sqlite3_bind_int64(q, 2, pending);
	(void)sqlite3_bind_int64(q, 3, flags);
	(void)sqlite3_bind_int64(q, 4, *out_finished ? at.us : 0);
	(void)sqlite3_bind_int64(q, 5, story);
	rc = store_run(s, q, err);
	if (rc != 0 || !*out_finished)
		return rc;
	s->state.messages--;
	s->state.bytes -= size;
	s->state.history++;
	s->state.history_bytes += story;
	return store_part_begin(s, STORE_PART_BODY)
		       ? store_part_end(s, drop_body(s, id, chunks, err))
		       : 0;
}
