/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/sqlite_priv.h"

#include <stdlib.h>

/* After a crash: attempts without an outcome, and bodies of messages that never came to be ours. */

static int read_one(struct store_sqlite *s, const char *sql, int64_t *out, struct err *err)
{
	sqlite3_stmt *q = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(q);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(q, 0);
	(void)sqlite3_finalize(q);
	return rc == SQLITE_ROW ? 0 : store_fail(s, rc == SQLITE_OK ? SQLITE_ERROR : rc, err);
}

/* What a damaged place hides is done without, if that is asked for. */
static int look_at(struct store_sqlite *s, const char *sql, int64_t *out, struct err *err)
{
	int rc = read_one(s, sql, out, err);

	return rc == RC_CORRUPT && s->front.in_spite_of_damage ? 0 : rc;
}

/* New rows go beside the newest: these are read, and the indexes as a whole. */
static int look_at_places(struct store_sqlite *s, struct store_recovery *out, struct err *err)
{
	static const char *const places[] = {
		"SELECT count(*) FROM recipient INDEXED BY recipient_due WHERE due IS NOT NULL",
		"SELECT count(*) FROM recipient INDEXED BY recipient_look WHERE state=0",
		"SELECT max(id) FROM recipient",
		"SELECT max(id) FROM chunk",
		"SELECT max(id) FROM attempt",
		"SELECT count(key) FROM lane INDEXED BY sqlite_autoindex_lane_1 WHERE key>''",
		"SELECT count(key) FROM flow INDEXED BY sqlite_autoindex_flow_1 WHERE key>''",
		"SELECT count(key) FROM cause INDEXED BY sqlite_autoindex_cause_1 WHERE key>''",
		"SELECT count(*) FROM day",
		"SELECT count(*) FROM park",
	};
	int64_t queued = 0, open = 0, any;
	int rc = look_at(s,
		"SELECT count(*) FROM recipient INDEXED BY recipient_wait WHERE due IS NOT NULL",
		&queued,
		err);

	if (rc == 0)
		rc = look_at(s,
			"SELECT count(*) FROM attempt INDEXED BY attempt_open WHERE ended_at IS "
			"NULL",
			&open,
			err);
	for (size_t i = 0; i < COUNT_OF(places) && rc == 0; i++)
		rc = look_at(s, places[i], &any, err);
	if (out) {
		out->queued_count = (uint64_t)queued;
		out->uncertain_count = (uint64_t)open;
	}
	return rc;
}

/* Ids rise, whatever the clock says: the newest is known by all that hangs on it. */
static int find_last_id(struct store_sqlite *s, struct err *err)
{
	static const char *const newest[] = {
		"SELECT coalesce(max(id),0) FROM message",
		"SELECT coalesce(max(message_id),0) FROM partial",
		"SELECT coalesce(max(id),0)>>12 FROM recipient",
		"SELECT coalesce(max(id),0)>>12 FROM chunk",
	};
	int rc = 0;

	for (size_t i = 0; i < COUNT_OF(newest) && rc == 0; i++) {
		int64_t last = 0;

		rc = look_at(s, newest[i], &last, err);
		if ((uint64_t)last > s->front.last_id)
			s->front.last_id = (uint64_t)last;
	}
	return rc;
}

static int orphans_to_dead(struct store_sqlite *s, struct err *err)
{
	sqlite3_stmt *q = store_sql(s, SQL_DEAD_FROM_PARTIAL);
	int rc;

	(void)sqlite3_bind_int64(q, 1, 0);
	rc = store_run(s, q, err);
	if (rc != 0)
		return rc;
	q = store_sql(s, SQL_PARTIAL_DROP);
	(void)sqlite3_bind_int64(q, 1, 0);
	return store_run(s, q, err);
}

int store_recover(struct store_sqlite *s, struct store_recovery *out, struct err *err)
{
	int64_t orphans = 0, dead = 0;
	int rc;

	if (out)
		*out = (struct store_recovery){ 0 };
	rc = find_last_id(s, err);
	if (rc == 0)
		rc = look_at_places(s, out, err);
	if (rc == 0)
		rc = look_at(s, "SELECT coalesce(sum(chunks),0) FROM partial", &orphans, err);
	if (rc == 0 && orphans) {
		rc = orphans_to_dead(s, err);
		if (rc == RC_CORRUPT && s->front.in_spite_of_damage)
			rc = 0;
	}
	if (rc == 0)
		rc = look_at(s, "SELECT count(*) FROM dead", &dead, err);
	if (rc != 0)
		return rc;
	s->dead_left = dead > 0;
	if (out)
		out->orphan_chunks = (uint64_t)orphans;
	return 0;
}

/* ---- attempts without an outcome ---- */

struct open_attempt {
	int64_t id;
	struct sv lane;
	uint32_t *recipients;
	size_t count;
};

static void take_numbers(struct arena *a, struct sv list, struct open_attempt *out)
{
	size_t spaces = 1;
	bool more = list.len > 0;
	struct sv number;

	for (size_t i = 0; i < list.len; i++)
		spaces += list.ptr[i] == ' ';
	out->recipients = arena_alloc(a, spaces * sizeof(*out->recipients));
	while (more) {
		more = sv_cut_char(&list, ' ', &number);
		if (sv_parse_u32(number, STORE_NUMBER_MAX, &out->recipients[out->count]) == 0)
			out->count++;
	}
}

static int read_open_ids(struct store_sqlite *s, struct arena *a, struct open_attempt **out,
	size_t *out_count, struct err *err)
{
	sqlite3_stmt *q = store_sql(s, SQL_ATTEMPT_OPEN_IDS);
	size_t cap = 0;
	int rc;

	*out = NULL;
	*out_count = 0;
	while ((rc = store_step(s, q, err)) == 1) {
		*out = arena_more(a, *out, *out_count, &cap, sizeof(**out));
		(*out)[(*out_count)++] = (struct open_attempt){ .id = sqlite3_column_int64(q, 0) };
	}
	return rc == RC_CORRUPT && s->front.in_spite_of_damage ? 0 : rc;
}

/*
 * Bounded by the connections that were open at the crash. Of one that cannot be read the recipients stay in it until a
 * repair.
 */
static int read_open(struct store_sqlite *s, struct arena *a, struct open_attempt **out,
	size_t *out_count, struct err *err)
{
	size_t count, kept = 0;
	int rc = read_open_ids(s, a, out, &count, err);

	for (size_t i = 0; i < count && rc == 0; i++) {
		struct open_attempt *at = &(*out)[kept];
		sqlite3_stmt *q = store_sql(s, SQL_ATTEMPT_READ);

		*at = (struct open_attempt){ .id = (*out)[i].id };
		(void)sqlite3_bind_int64(q, 1, at->id);
		rc = store_step(s, q, err);
		if (rc == 1) {
			at->lane = arena_sv(a, store_lane_text(s, sqlite3_column_int64(q, 0)));
			take_numbers(a, store_column_sv(q, 1), at);
			kept++;
		}
		(void)sqlite3_reset(q);
		if (rc == RC_CORRUPT)
			store_damage_note(&s->front,
				row_message(at->id),
				STORE_WHOLE_MESSAGE,
				"the queue is damaged");
		rc = rc == 1 || rc == RC_CORRUPT ? 0 : rc;
	}
	*out_count = kept;
	return rc;
}

int store_sqlite_each_uncertain(struct store *front,
	void (*each)(void *arg, struct sv lane, uint32_t messages, uint32_t recipients), void *arg,
	struct err *err)
{
	struct store_sqlite *s = store_sqlite_of(front);
	struct arena a = { 0 };
	struct open_attempt *list;
	size_t count;
	int rc = read_open(s, &a, &list, &count, err);

	for (size_t i = 0; i < count && rc == 0; i++)
		each(arg, list[i].lane, 1, (uint32_t)list[i].count);
	arena_reset(&a);
	return rc;
}

/* Where it waits from now on. Of what cannot be read the change says so. */
static const struct mail_flow *flow_after(struct store_sqlite *s, const struct open_attempt *a,
	uint32_t index, const struct store_uncertain *how, struct arena *arena)
{
	sqlite3_stmt *q = store_sql(s, SQL_RECIPIENT_FLOW);
	struct mail_flow flow = { 0 };
	bool found;

	if (!how->flow)
		return NULL;
	(void)sqlite3_bind_int64(q, 1, row_id(row_message(a->id), index));
	found = store_step(s, q, NULL) == 1;
	if (found)
		flow = store_flow_copy(s, sqlite3_column_int64(q, 0), arena);
	(void)sqlite3_reset(q);
	return found ? how->flow(how->arg, a->lane, &flow, arena) : NULL;
}

static int resolve_one(struct store_sqlite *s, const struct open_attempt *a,
	const struct store_uncertain *how, struct arena *arena, struct err *err)
{
	static const enum store_recipient_state states[] = {
		STORE_RCPT_QUEUED, STORE_RCPT_HELD, STORE_RCPT_DELIVERED
	};
	struct store_recipient_outcome *list = arena_alloc(arena, (a->count + 1) * sizeof(*list));
	struct limit_entry ledger[LIMIT_ENTRIES_MAX];
	struct store_outcome op = { .op.kind = STORE_OP_OUTCOME,
		.message_id = row_message(a->id),
		.attempt = row_number(a->id),
		.at = how->now,
		.stage = SV("postern ended before the answer came"),
		.recipients = list,
		.recipient_count = a->count,
		.ledger = ledger };
	int rc;

	if (how->ledger)
		op.ledger_count = how->ledger(how->arg, a->lane, (uint32_t)a->count, ledger);
	for (size_t i = 0; i < a->count; i++)
		list[i] = (struct store_recipient_outcome){ .index = a->recipients[i],
			.state = states[how->policy],
			.next_at = how->retry_at,
			.flow = flow_after(s, a, a->recipients[i], how, arena),
			.uncertain = true,
			.verdict = { .kind = how->policy == STORE_UNCERTAIN_ASSUME_SENT
						     ? VERDICT_DELIVERED
						     : VERDICT_RETRY,
				.scope = VERDICT_SCOPE_MESSAGE,
				.cause = CAUSE_UNCERTAIN },
			.reply = SV("the outcome of the last attempt is unknown: postern ended "
				    "before the "
				    "answer came") };
	rc = store_do_outcome(&s->front, &op);
	if (rc != 0 && err)
		*err = op.op.err;
	return rc;
}

/* Those that the queue still has, in an attempt. */
static void keep_known(struct store_sqlite *s, struct open_attempt *a)
{
	size_t kept = 0;

	for (size_t i = 0; i < a->count; i++) {
		sqlite3_stmt *q = store_sql(s, SQL_RECIPIENT_READ);

		(void)sqlite3_bind_int64(q, 1, row_id(row_message(a->id), a->recipients[i]));
		if (store_step(s, q, NULL) == 1 && sqlite3_column_int(q, 2) == STORE_RCPT_OPEN)
			a->recipients[kept++] = a->recipients[i];
		(void)sqlite3_reset(q);
	}
	a->count = kept;
}

/* Nothing of it is known any more: it must not be found again at each start. */
static int end_alone(struct store_sqlite *s, const struct open_attempt *a, struct wall_time now)
{
	sqlite3_stmt *q = store_sql(s, SQL_ATTEMPT_END);
	int rc;

	(void)sqlite3_bind_int64(q, 1, a->id);
	(void)sqlite3_bind_int64(q, 2, now.us);
	(void)sqlite3_bind_int64(q, 3, 1);
	store_bind_sv(q, 4, SV(""));
	store_bind_sv(q, 5, SV("its message is missing or damaged"));
	store_bind_sv(q, 6, SV(""));
	rc = store_run(s, q, NULL);
	(void)sqlite3_clear_bindings(q);
	return rc;
}

static int back_to_savepoint(struct store_sqlite *s, const struct store_mark *before)
{
	store_mark_back(s, before);
	return store_run(s, store_sql(s, SQL_ROLLBACK_TO), NULL);
}

/* A row that contradicts the others costs what it speaks of, and never the start. */
static bool is_bad_row(const struct store_sqlite *s, int rc)
{
	return (rc == RC_NOT_FOUND || rc == RC_STATE || rc == RC_CORRUPT) &&
	       !sqlite3_get_autocommit(s->db);
}

static int resolve_alone(struct store_sqlite *s, struct open_attempt *a,
	const struct store_uncertain *how, struct arena *arena, struct err *err)
{
	const struct store_mark before = store_mark_now(s);
	uint64_t corrupt = s->corrupt;
	int rc;

	if (store_damage_knows(&s->front, row_message(a->id), STORE_WHOLE_MESSAGE))
		return 0;
	rc = store_run(s, store_sql(s, SQL_SAVEPOINT), err);
	if (rc != 0)
		return rc;
	rc = resolve_one(s, a, how, arena, err);
	/* The transaction is lost, and runs again without it. */
	if (s->corrupt != corrupt) {
		store_damage_note(
			&s->front, row_message(a->id), STORE_WHOLE_MESSAGE, "the queue is damaged");
		return RC_CORRUPT;
	}
	if (is_bad_row(s, rc)) {
		atomic_fetch_add_explicit(&s->front.stat_bad_rows, 1, memory_order_relaxed);
		rc = back_to_savepoint(s, &before);
		keep_known(s, a);
		if (rc == 0)
			rc = a->count ? resolve_one(s, a, how, arena, err) : RC_NOT_FOUND;
		if (is_bad_row(s, rc)) {
			rc = back_to_savepoint(s, &before);
			if (rc == 0 && end_alone(s, a, how->now) != 0)
				rc = back_to_savepoint(s, &before);
		}
	}
	return rc ? rc : store_run(s, store_sql(s, SQL_RELEASE), err);
}

static int resolve_all(struct store_sqlite *s, const struct store_uncertain *how, struct err *err)
{
	struct arena a = { 0 };
	struct open_attempt *list;
	size_t count;
	int rc;

	rc = read_open(s, &a, &list, &count, err);
	if (rc == 0)
		rc = store_run(s, store_sql(s, SQL_BEGIN), err);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = resolve_alone(s, &list[i], how, &a, err);
	if (rc == 0)
		rc = store_write_state(s);
	if (rc == 0)
		rc = store_run(s, store_sql(s, SQL_COMMIT), err);
	arena_reset(&a);
	if (rc != 0) {
		store_roll_back(s);
		s->state = s->committed;
		return rc;
	}
	s->committed = s->state;
	return 0;
}

int store_sqlite_resolve_uncertain(
	struct store *front, const struct store_uncertain *how, struct err *err)
{
	struct store_sqlite *s = store_sqlite_of(front);
	size_t damaged;
	int rc;

	do {
		damaged = front->damaged_count;
		rc = resolve_all(s, how, err);
	} while (rc == RC_CORRUPT && front->damaged_count > damaged);
	if (rc == RC_DISK_FULL) {
		store_ballast_give(front);
		rc = resolve_all(s, how, err);
	}
	return rc;
}
