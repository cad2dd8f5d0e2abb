/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "mail/address.h"
#include "store/sqlite_priv.h"

/* Looking at the queue and the history. Each call looks at a bounded number of rows. */

/* ---- filters ---- */

/* A member of a queue, or what stays with a mailbox of a pool: "b:outreach:a@go.contoso.com" is of both. */
static bool is_member(struct sv key, struct sv member)
{
	struct sv name = sv_skip(member, 2), rest = sv_skip(key, 2), pool;

	if (sv_eq(key, member))
		return true;
	if (!sv_starts(key, SV("b:")) || !sv_cut_char(&rest, ':', &pool))
		return false;
	return (sv_starts(member, SV("m:")) && sv_eq(rest, name)) ||
	       (sv_starts(member, SV("p:")) && sv_eq(pool, name));
}

/* Does the queue begin with this member, or have it at all? */
static bool has_member(struct sv queue, struct sv member, bool any)
{
	struct sv key;

	do {
		(void)sv_cut_char(&queue, '\n', &key);
		if (is_member(key, member))
			return true;
	} while (any && queue.len);
	return false;
}

static bool is_lane(struct sv key, struct sv asked)
{
	ptrdiff_t slash = sv_find_char(key, '/');

	return sv_eq(key, asked) || sv_eq(sv_skip(key, (size_t)(slash + 1)), asked);
}

/* What waits is in no lane, but in a queue; the rest is, or was, in a lane. */
static bool place_matches(const struct store_filter *f, const struct store_recipient *r)
{
	bool waits = r->state == STORE_RCPT_QUEUED || r->state == STORE_RCPT_HELD;

	if (f->flow && !(waits && mail_flow_eq(f->flow, &r->flow)))
		return false;
	if (f->lane.len == 0 && f->member.len == 0)
		return true;
	return waits ? f->member.len && has_member(r->flow.queue, f->member, f->any_member)
		     : f->lane.len && is_lane(r->lane, f->lane);
}

bool store_filter_matches(const struct store_sqlite *s, const struct store_filter *f,
	const struct store_message *m, const struct store_recipient *r)
{
	(void)s;
	if (f->state >= 0 && (int)r->state != f->state)
		return false;
	if (f->waiting_only && store_state_is_final(r->state))
		return false;
	if (!place_matches(f, r))
		return false;
	if (f->cause.len && !sv_eq(f->cause, r->last_cause))
		return false;
	if (f->recipient.len && !address_matches(f->recipient, r->address))
		return false;
	if (f->sender.len && !address_matches(f->sender, m->sender))
		return false;
	if (f->due_after.us && (r->state != STORE_RCPT_QUEUED || r->next_at.us <= f->due_after.us))
		return false;
	if (f->accepted_from.us && m->accepted_at.us < f->accepted_from.us)
		return false;
	return !f->accepted_until.us || m->accepted_at.us < f->accepted_until.us;
}

/* The range of rows that can match; ids rise with the time of acceptance. */
static void filter_range(const struct store_filter *f, uint64_t after_id, uint32_t after_index,
	int64_t *out_after, int64_t *out_before)
{
	*out_after =
		after_id ? row_id(after_id,
				   after_index > STORE_NUMBER_MAX ? STORE_NUMBER_MAX : after_index)
			 : -1;
	*out_before = INT64_MAX;
	if (f->id) {
		if (*out_after < row_id(f->id, 0) - 1)
			*out_after = row_id(f->id, 0) - 1;
		*out_before = row_id(f->id + 1, 0);
	} else if (f->accepted_from.us > STORE_EPOCH_US) {
		/* An id is made when MAIL comes, a while before the message is accepted. */
		int64_t from = f->accepted_from.us - STORE_EPOCH_US - (int64_t)US_PER_DAY;

		if (from > 0 && *out_after < row_id((uint64_t)from, 0))
			*out_after = row_id((uint64_t)from, 0);
	}
}

size_t store_filter_rows(struct store_sqlite *s, const struct store_filter *f, uint64_t after_id,
	uint32_t after_index, int64_t *out_rows, size_t max, int *out_rc, struct err *err)
{
	bool waiting =
		f->waiting_only ||
		(f->state >= 0 && !store_state_is_final((enum store_recipient_state)f->state));
	sqlite3_stmt *q = store_sql(s, waiting ? SQL_WAITING_FROM : SQL_ALL_FROM);
	int64_t after, before;
	size_t count = 0;
	int rc = 0;

	filter_range(f, after_id, after_index, &after, &before);
	(void)sqlite3_bind_int64(q, 1, after);
	(void)sqlite3_bind_int64(q, 2, before);
	(void)sqlite3_bind_int64(q, 3, (int64_t)max);
	while (count < max && (rc = store_step(s, q, err)) == 1)
		out_rows[count++] = sqlite3_column_int64(q, 0);
	(void)sqlite3_reset(q);
	*out_rc = rc < 0 ? rc : 0;
	return count;
}

/* ---- list ---- */

struct list_walk {
	struct arena keep; /* the message under way, and one recipient */
	struct store_message message;
	struct wall_time finished_at;
};

static int walk_row(struct store_sqlite *s, struct list_walk *w, int64_t row,
	struct store_recipient *out, struct err *err)
{
	sqlite3_stmt *q;
	int rc;

	if (w->message.id != row_message(row)) {
		arena_reset(&w->keep);
		w->message.id = 0;
		rc = store_read_message(
			s, row_message(row), &w->keep, &w->message, &w->finished_at, err);
		if (rc != 0)
			return rc;
	}
	q = store_sql(s, SQL_RECIPIENT_READ);
	(void)sqlite3_bind_int64(q, 1, row);
	rc = store_step(s, q, err);
	if (rc == 1)
		store_recipient_row(s, q, &w->keep, out);
	(void)sqlite3_reset(q);
	return rc == 1 ? 0 : rc < 0 ? rc : RC_NOT_FOUND;
}

static void copy_row(struct arena *a, const struct list_walk *w, const struct store_recipient *r,
	struct store_list_row *out)
{
	struct sv *const views[] = { &out->message.sender,
		&out->message.envid,
		&out->message.message_id,
		&out->message.subject,
		&out->message.user,
		&out->message.client,
		&out->message.listener,
		&out->message.device,
		&out->recipient.address,
		&out->recipient.orcpt,
		&out->recipient.lane,
		&out->recipient.flow.queue,
		&out->recipient.flow.principal,
		&out->recipient.flow.sender,
		&out->recipient.rewrite_from,
		&out->recipient.last_reply,
		&out->recipient.last_cause };

	*out = (struct store_list_row){
		.message = w->message, .recipient = *r, .finished_at = w->finished_at
	};
	for (size_t i = 0; i < COUNT_OF(views); i++)
		*views[i] = arena_sv(a, *views[i]);
}

int store_do_list(struct store *front, struct store_list *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	int64_t rows[LIMIT_PAGE];
	uint32_t limit = op->limit && op->limit < LIMIT_PAGE ? op->limit : LIMIT_PAGE;
	struct list_walk w = { 0 };
	size_t count, scanned = 0;
	int rc = 0;

	op->out_count = 0;
	op->out_rows = arena_alloc(op->out_arena, limit * sizeof(*op->out_rows));
	op->after_id = op->begun_id;
	op->after_index = op->begun_index;
	do {
		count = store_filter_rows(s,
			&op->filter,
			op->after_id,
			op->after_index,
			rows,
			COUNT_OF(rows),
			&rc,
			&op->op.err);
		for (size_t i = 0; i < count && rc == 0 && op->out_count < limit; i++) {
			struct store_recipient r;

			rc = walk_row(s, &w, rows[i], &r, &op->op.err);
			op->after_id = row_message(rows[i]);
			op->after_index = row_number(rows[i]);
			/* The damage is told elsewhere; the others are shown. */
			if (rc == RC_CORRUPT && sqlite3_get_autocommit(s->db)) {
				rc = 0;
				continue;
			}
			if (rc == 0 && store_filter_matches(s, &op->filter, &w.message, &r))
				copy_row(op->out_arena, &w, &r, &op->out_rows[op->out_count++]);
		}
		scanned += count;
	} while (rc == 0 && count == COUNT_OF(rows) && op->out_count < limit &&
		 scanned < STORE_LIST_SCAN_MAX);
	op->out_more = count == COUNT_OF(rows) || op->out_count == limit;
	arena_reset(&w.keep);
	return rc;
}

/* ---- show ---- */

static int show_recipients(struct store_sqlite *s, struct store_show *op)
{
	sqlite3_stmt *q = store_sql(s, SQL_RECIPIENTS_OF);
	struct store_recipient *list = arena_alloc(op->out_arena, LIMIT_RCPT * sizeof(*list));
	size_t count = 0;
	int rc;

	(void)sqlite3_bind_int64(q, 1, row_id(op->message_id, 0));
	(void)sqlite3_bind_int64(q, 2, row_id(op->message_id, STORE_NUMBER_MAX));
	while ((rc = store_step(s, q, &op->op.err)) == 1 && count < LIMIT_RCPT)
		store_recipient_row(s, q, op->out_arena, &list[count++]);
	(void)sqlite3_reset(q);
	op->out_message->recipients = list;
	op->out_message->recipient_count = count;
	return rc < 0 ? rc : 0;
}

enum {
	AHEAD_RECIPIENTS = 8,
	AHEAD_ROWS_MAX = 20000,
};

static int count_ahead(struct store_sqlite *s, struct store_show *op, int64_t flow, size_t at)
{
	const struct store_recipient *r = &op->out_message->recipients[at];
	sqlite3_stmt *q = store_sql(s, SQL_AHEAD);
	uint64_t count = 0, last = 0;
	int rc;

	(void)sqlite3_bind_int64(q, 1, flow);
	(void)sqlite3_bind_int64(q, 2, r->next_at.us);
	(void)sqlite3_bind_int64(q, 3, row_id(op->message_id, 0));
	(void)sqlite3_bind_int64(q, 4, AHEAD_ROWS_MAX);
	while ((rc = store_step(s, q, &op->op.err)) == 1) {
		uint64_t id = row_message(sqlite3_column_int64(q, 0));

		/* Recipients of one message that are due at one time lie together. */
		count += id != last;
		last = id;
	}
	(void)sqlite3_reset(q);
	op->out_ahead[at] = count;
	return rc < 0 ? rc : 0;
}

static int show_ahead(struct store_sqlite *s, struct store_show *op)
{
	const struct store_message *m = op->out_message;
	size_t counted = 0;
	int rc = 0;

	op->out_ahead =
		arena_alloc(op->out_arena, (m->recipient_count + 1) * sizeof(*op->out_ahead));
	for (size_t i = 0; i < m->recipient_count && rc == 0; i++) {
		op->out_ahead[i] = STORE_AHEAD_UNKNOWN;
		if (m->recipients[i].state != STORE_RCPT_QUEUED || counted++ >= AHEAD_RECIPIENTS)
			continue;
		rc = count_ahead(s, op, store_flow_known(s, &m->recipients[i].flow), i);
	}
	return rc;
}

struct story_list {
	struct store_attempt_story *items;
	size_t count, cap;
};

static struct store_attempt_story *story_more(struct arena *a, struct story_list *l)
{
	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		struct store_attempt_story *items = arena_alloc(a, cap * sizeof(*items));

		if (l->count)
			memcpy(items, l->items, l->count * sizeof(*items));
		l->items = items;
		l->cap = cap;
	}
	return &l->items[l->count++];
}

/* One attempt row: an entry for each of its recipients. */
static void add_attempt(
	struct store_sqlite *s, sqlite3_stmt *q, struct arena *a, struct story_list *l)
{
	struct store_attempt_story base = {
		.number = row_number(sqlite3_column_int64(q, 0)),
		.lane = arena_sv(a, store_lane_text(s, sqlite3_column_int64(q, 1))),
		.at.us = sqlite3_column_int64(q, 2),
		.ended_at.us = sqlite3_column_int64(q, 3),
		.uncertain = sqlite3_column_int(q, 4) != 0,
		.relay = store_column_copy(q, 5, a),
		.stage = store_column_copy(q, 6, a),
	};
	struct sv text = store_column_copy(q, 7, a), number;
	bool more = text.len > 0;

	if (base.ended_at.us) {
		struct store_attempt_story one = base;

		while (story_next(&text, &one))
			*story_more(a, l) = one;
		return;
	}
	while (more) {
		more = sv_cut_char(&text, ' ', &number);
		if (sv_parse_u32(number, UINT32_MAX, &base.index) == 0)
			*story_more(a, l) = base;
	}
}

static int show_transcript(struct store_sqlite *s, struct store_show *op)
{
	sqlite3_stmt *q = store_sql(s, SQL_TRANSCRIPT_READ);
	int rc;

	(void)sqlite3_bind_int64(q, 1, (int64_t)op->message_id);
	rc = store_step(s, q, &op->op.err);
	op->out_transcript = rc == 1 ? store_column_copy(q, 1, op->out_arena) : SV("");
	op->out_transcript_attempt = rc == 1 ? (uint32_t)sqlite3_column_int64(q, 0) : 0;
	(void)sqlite3_reset(q);
	return rc < 0 ? rc : 0;
}

int store_do_show(struct store *front, struct store_show *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	struct story_list l = { 0 };
	sqlite3_stmt *q;
	int rc;

	op->out_message = arena_alloc(op->out_arena, sizeof(*op->out_message));
	op->out_attempts = NULL;
	op->out_attempt_count = 0;
	rc = store_read_message(s,
		op->message_id,
		op->out_arena,
		op->out_message,
		&op->out_finished_at,
		&op->op.err);
	if (rc == 0)
		rc = show_recipients(s, op);
	if (rc == 0)
		rc = show_ahead(s, op);
	if (rc != 0)
		return rc;
	q = store_sql(s, SQL_ATTEMPTS_OF);
	(void)sqlite3_bind_int64(q, 1, row_id(op->message_id, 0));
	(void)sqlite3_bind_int64(q, 2, row_id(op->message_id, STORE_NUMBER_MAX));
	while (l.count < STORE_SCAN_MAX && (rc = store_step(s, q, &op->op.err)) == 1)
		add_attempt(s, q, op->out_arena, &l);
	(void)sqlite3_reset(q);
	op->out_attempts = l.items;
	op->out_attempt_count = l.count;
	return rc < 0 ? rc : show_transcript(s, op);
}

/* ---- summary ---- */

/*
 * Counting goes on over several turns; the counts live in the op's arena meanwhile. Rows of one flow come
 * one behind the other: only those from `begin` on are looked at.
 */
static struct store_summary_row *summary_row(struct store_sqlite *s, struct store_summary *op,
	int64_t flow, int64_t cause, enum store_recipient_state state)
{
	struct sv cause_text = store_cause_text(s, cause);
	struct store_summary_row *rows;

	for (size_t i = op->begin; i < op->out_count; i++) {
		struct store_summary_row *r = &op->out_rows[i];

		if (r->state == state && r->number == flow && sv_eq(r->cause, cause_text))
			return r;
	}
	if ((op->out_count & (op->out_count - 1)) == 0) {
		rows = arena_alloc(
			op->out_arena, (op->out_count ? op->out_count * 2 : 1) * sizeof(*rows));
		if (op->out_count)
			memcpy(rows, op->out_rows, op->out_count * sizeof(*rows));
		op->out_rows = rows;
	}
	op->out_rows[op->out_count] =
		(struct store_summary_row){ .flow = store_flow_copy(s, flow, op->out_arena),
			.number = flow,
			.cause = arena_sv(op->out_arena, cause_text),
			.state = state };
	return &op->out_rows[op->out_count++];
}

static void count_row(struct store_summary_row *r, int64_t id)
{
	int64_t at = STORE_EPOCH_US + (int64_t)row_message(id);

	r->count++;
	if (r->oldest_at.us == 0 || at < r->oldest_at.us)
		r->oldest_at.us = at;
}

/* Where the first recipient of an attempt waited. */
static int64_t flow_of(struct store_sqlite *s, int64_t attempt, struct sv list)
{
	sqlite3_stmt *q = store_sql(s, SQL_RECIPIENT_FLOW);
	struct sv number;
	uint32_t index = 0;
	int64_t flow = 0;

	(void)sv_cut_char(&list, ' ', &number);
	if (sv_parse_u32(number, STORE_NUMBER_MAX, &index) != 0)
		return 0;
	(void)sqlite3_bind_int64(q, 1, row_id(row_message(attempt), index));
	if (store_step(s, q, NULL) == 1)
		flow = sqlite3_column_int64(q, 0);
	(void)sqlite3_reset(q);
	return flow;
}

/* What is on its way right now: as many as there are connections. */
static int summary_open(struct store_sqlite *s, struct store_summary *op)
{
	sqlite3_stmt *q = store_sql(s, SQL_ATTEMPTS_OPEN);
	int rc;

	op->begin = op->out_count;

	while ((rc = store_step(s, q, &op->op.err)) == 1) {
		struct sv list = store_column_sv(q, 2), number;
		int64_t id = sqlite3_column_int64(q, 0), flow = flow_of(s, id, list);

		do
			count_row(summary_row(s, op, flow, 0, STORE_RCPT_OPEN), id);
		while (sv_cut_char(&list, ' ', &number));
	}
	return rc;
}

static int summary_totals(struct store_sqlite *s, struct store_summary *op)
{
	sqlite3_stmt *q = store_sql(s, SQL_DAY_SUM);
	int rc;

	(void)sqlite3_bind_int64(q, 1, io_clock_wall().us / (int64_t)US_PER_HOUR - 24);
	rc = store_step(s, q, &op->op.err);
	if (rc == 1) {
		op->out_delivered_day = (uint64_t)sqlite3_column_int64(q, 0);
		op->out_bounced_day = (uint64_t)sqlite3_column_int64(q, 1);
	}
	(void)sqlite3_reset(q);
	op->out_messages_waiting = (uint64_t)s->state.messages;
	op->out_bytes_waiting = (uint64_t)s->state.bytes;
	op->out_history_messages = (uint64_t)s->state.history;
	return rc < 0 ? rc : 0;
}

int store_do_summary(struct store *front, struct store_summary *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	sqlite3_stmt *q = store_sql(s, SQL_SUMMARY);
	uint64_t counted = 0;
	int rc;

	if (!op->resumed) {
		op->out_count = 0;
		op->out_rows = NULL;
		op->after_flow = op->after_due = op->after_id = -1;
		op->begin = 0;
		op->resumed = true;
	}
	(void)sqlite3_bind_int64(q, 1, op->after_flow);
	(void)sqlite3_bind_int64(q, 2, op->after_due);
	(void)sqlite3_bind_int64(q, 3, op->after_id);
	(void)sqlite3_bind_int64(q, 4, STORE_SCAN_MAX);
	while ((rc = store_step(s, q, &op->op.err)) == 1) {
		if (op->after_flow != sqlite3_column_int64(q, 0))
			op->begin = op->out_count;
		op->after_flow = sqlite3_column_int64(q, 0);
		op->after_due = sqlite3_column_int64(q, 1);
		op->after_id = sqlite3_column_int64(q, 2);
		count_row(summary_row(s,
				  op,
				  op->after_flow,
				  sqlite3_column_int64(q, 3),
				  op->after_due == DUE_HELD ? STORE_RCPT_HELD : STORE_RCPT_QUEUED),
			op->after_id);
		counted++;
	}
	if (rc != 0)
		return rc;
	if (counted == STORE_SCAN_MAX)
		return STORE_AGAIN;
	op->resumed = false;
	rc = summary_open(s, op);
	return rc ? rc : summary_totals(s, op);
}
