/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/loop.h"
#include "store/sqlite_priv.h"

#include <errno.h>

/*
 * Group commit. All operations of a chain share one transaction; their answers are given only after the COMMIT.
 * What can go wrong, and what then holds:
 *   an operation fails      if it has changed nothing, the others go on; else the transaction is rolled back
 *                           and the chain runs again, each operation in a savepoint that is rolled back alone
 *   the disk is full        the transaction is rolled back, the ballast is given up, and the chain runs
 *                           again without what needs room (accepting): RC_DISK_FULL for those, until
 *                           the ballast is back (sqlite_reap.c)
 *   the disk fails before   the transaction is rolled back and runs once more; then each operation for
 *   COMMIT                  itself, so that one unreadable page does not fail its neighbours. A group
 *                           that only reads has no transaction: what failed in it reads once more
 *   COMMIT fails            nobody knows whether it happened (I4): the queue is opened again and the
 *                           commit counter inside it tells
 */
enum {
	REOPEN_PAUSE_US = 50000,
	REOPEN_QUIET_TRIES = 20,
};

struct store_mark store_mark_now(const struct store_sqlite *s)
{
	return (struct store_mark){ s->state,
		store_names_now(&s->lanes),
		store_names_now(&s->causes),
		store_names_now(&s->scopes),
		store_names_now(&s->flows),
		s->delivered_now,
		s->bounced_now,
		s->writing };
}

void store_mark_back(struct store_sqlite *s, const struct store_mark *m)
{
	s->state = m->state;
	s->delivered_now = m->delivered;
	s->bounced_now = m->bounced;
	s->writing = m->writing;
	store_names_cut(&s->lanes, m->lanes);
	store_names_cut(&s->causes, m->causes);
	store_names_cut(&s->scopes, m->scopes);
	store_names_cut(&s->flows, m->flows);
}

/*
 * Whatever I/O fails, SQLite rolls the whole transaction back, even when it was only a read. Of one that met a damaged
 * page nothing more can be written.
 */
static bool is_lost(struct store_sqlite *s, int rc)
{
	return sqlite3_get_autocommit(s->db) || rc == RC_DISK_FULL || rc == RC_CORRUPT;
}

/*
 * A savepoint is not free: SQLite keeps a copy of each page that is changed behind it, a quarter of a message's work.
 * Nearly always no operation fails, and then none was needed.
 */
static int run_hoping(struct store_sqlite *s, struct store_op *op, bool *out_broken)
{
	struct store_mark mark = store_mark_now(s);
	int64_t changes = sqlite3_total_changes64(s->db);
	int rc = store_op_run(&s->front, op);

	if (is_lost(s, rc)) {
		*out_broken = true;
		return rc ? rc : -EIO;
	}
	if (rc == 0)
		return 0;
	store_mark_back(s, &mark);
	s->half_done = sqlite3_total_changes64(s->db) != changes;
	*out_broken = s->half_done;
	return rc;
}

static int run_in_savepoint(struct store_sqlite *s, struct store_op *op, bool *out_broken)
{
	struct store_mark mark = store_mark_now(s);
	int rc = store_run(s, store_sql(s, SQL_SAVEPOINT), &op->err);

	if (rc == 0)
		rc = store_op_run(&s->front, op);
	if (is_lost(s, rc)) {
		*out_broken = true;
		return rc ? rc : -EIO;
	}
	if (rc == 0) {
		rc = store_run(s, store_sql(s, SQL_RELEASE), &op->err);
		*out_broken = rc != 0;
		return rc;
	}
	store_mark_back(s, &mark);
	if (store_run(s, store_sql(s, SQL_ROLLBACK_TO), NULL) != 0 ||
		store_run(s, store_sql(s, SQL_RELEASE), NULL) != 0)
		*out_broken = true;
	s->writing = mark.writing;
	return rc;
}

/* 0, STORE_AGAIN or the operation's own failure. A failure of the transaction comes in *out_broken. */
static int run_op(struct store_sqlite *s, struct store_op *op, bool *out_broken)
{
	int rc;

	if (!store_op_only_reads(op))
		return s->savepoints ? run_in_savepoint(s, op, out_broken)
				     : run_hoping(s, op, out_broken);
	rc = store_op_run(&s->front, op);
	*out_broken = is_lost(s, rc);
	return rc;
}

int store_write_state(struct store_sqlite *s)
{
	sqlite3_stmt *q = store_sql(s, SQL_STATE_WRITE);
	struct mono_time now = io_clock_mono();
	int rc;

	s->state.commits++;
	s->state.mono_us = (int64_t)now.us;
	s->state.steady_us = (int64_t)now.us + s->front.steady_base_us;
	(void)sqlite3_bind_int64(q, 1, s->state.commits);
	(void)sqlite3_bind_int64(q, 2, s->state.messages);
	(void)sqlite3_bind_int64(q, 3, s->state.bytes);
	(void)sqlite3_bind_int64(q, 4, s->state.history);
	(void)sqlite3_bind_int64(q, 5, s->state.history_bytes);
	(void)sqlite3_bind_int64(q, 6, s->state.steady_us);
	(void)sqlite3_bind_int64(q, 7, s->state.mono_us);
	store_bind_sv(q, 8, sv_from(s->front.boot_id));
	rc = store_run(s, q, NULL);
	if (rc != 0 || (s->delivered_now == 0 && s->bounced_now == 0) ||
		!store_part_begin(s, STORE_PART_DAY))
		return rc;
	q = store_sql(s, SQL_DAY_ADD);
	(void)sqlite3_bind_int64(q, 1, io_clock_wall().us / (int64_t)US_PER_HOUR);
	(void)sqlite3_bind_int64(q, 2, s->delivered_now);
	(void)sqlite3_bind_int64(q, 3, s->bounced_now);
	return store_part_end(s, store_run(s, q, NULL));
}

void store_roll_back(struct store_sqlite *s)
{
	if (!s->db)
		return;
	if (!sqlite3_get_autocommit(s->db))
		(void)sqlite3_step(store_sql(s, SQL_ROLLBACK));
	(void)sqlite3_reset(s->sql[SQL_ROLLBACK]);
}

/*
 * Opens the queue anew. What SQLite finds in the WAL may be in the kernel's memory only, when its fsync
 * has failed; a second fsync would say that all is well. So a commit that is found there counts only
 * after a whole checkpoint has written it again, elsewhere, and synced that.
 */
static bool open_and_look(struct store_sqlite *s, int64_t commits_before)
{
	int rc;

	/* Where the queue was there may be another file by now, or none: that one knows nothing. */
	if (!store_folder_is_there(&s->front) || store_db_open(s, NULL) != 0)
		return false;
	if (s->state.commits == commits_before)
		return true;
	rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	if (rc == SQLITE_OK)
		return true;
	if (store_fail(s, rc, NULL) == RC_DISK_FULL)
		store_ballast_give(&s->front);
	store_db_close(s);
	return false;
}

/*
 * However long it takes: only the queue knows what happened. Those behind it do not wait for that. False when
 * the store is closed meanwhile.
 */
static bool reopen(struct store_sqlite *s, int64_t commits_before)
{
	unsigned tries = 0;

	store_db_close(s);
	while (!open_and_look(s, commits_before)) {
		if (atomic_load(&s->front.closing))
			return false;
		io_sleep(REOPEN_PAUSE_US);
		if (++tries > REOPEN_QUIET_TRIES)
			store_fail_waiting(&s->front);
	}
	store_trouble_clear(&s->front);
	s->wal_pages = 0;
	atomic_fetch_add_explicit(&s->front.stat_reopened, 1, memory_order_relaxed);
	return true;
}

enum outcome {
	COMMITTED,
	NOT_COMMITTED,
	HALF_DONE, /* and not committed: an operation failed behind changes of its own, and had no savepoint */
	NO_ROOM,
	UNKNOWN
};

static enum outcome finish(struct store_sqlite *s)
{
	int64_t before = s->committed.commits;
	bool full;
	int rc;

	if (s->writing) {
		rc = store_write_state(s);
		if (rc != 0) {
			store_roll_back(s);
			return rc == RC_DISK_FULL ? NO_ROOM : NOT_COMMITTED;
		}
	}
	rc = store_run(s, store_sql(s, SQL_COMMIT), NULL);
	if (rc == 0) {
		s->committed = s->state;
		if (s->writing && store_trouble_now(&s->front) != STORE_TROUBLE_NONE &&
			store_folder_is_there(&s->front))
			store_trouble_clear(&s->front);
		atomic_fetch_add_explicit(&s->front.stat_commits, s->writing, memory_order_relaxed);
		return COMMITTED;
	}
	atomic_fetch_add_explicit(&s->front.stat_failed, 1, memory_order_relaxed);
	full = rc == RC_DISK_FULL;
	/* The one failure that leaves no doubt: a write met the end of the disk, so the frame that commits,
	 * which is the last, is not whole. (No room at an fsync comes as an I/O error.) */
	if (sqlite3_errcode(s->db) == SQLITE_FULL) {
		store_roll_back(s);
		return NO_ROOM;
	}
	if (full)
		store_ballast_give(&s->front);
	if (!reopen(s, before))
		return UNKNOWN;
	return s->state.commits > before ? COMMITTED : full ? NO_ROOM : NOT_COMMITTED;
}

static bool reads_only(const struct store_op *first)
{
	for (const struct store_op *op = first; op; op = op->next)
		if (!store_op_only_reads(op))
			return false;
	return true;
}

static void look(struct store_sqlite *s, struct store_op *op)
{
	op->err.text[0] = '\0';
	op->rc = store_op_run(&s->front, op);
}

/* Without a transaction: what of it is damaged can be passed over. Whether a read has writers beside it is chance. */
static void look_only(struct store_sqlite *s, struct store_op *first)
{
	for (struct store_op *op = first; op; op = op->next) {
		look(s, op);
		if (op->rc == -EIO)
			look(s, op);
	}
}

/* One transaction over the chain. Every op's rc is set. */
static enum outcome run_once(struct store_sqlite *s, struct store_op *first, bool no_room)
{
	struct store_mark mark;
	bool broken = false, full = false, gone;

	if (!s->db)
		return NOT_COMMITTED;
	if (reads_only(first)) {
		look_only(s, first);
		return COMMITTED;
	}
	s->state = s->committed;
	s->delivered_now = s->bounced_now = 0;
	s->writing = s->half_done = false;
	mark = store_mark_now(s);
	if (store_run(s, store_sql(s, SQL_BEGIN), NULL) != 0)
		return NOT_COMMITTED;
	s->writing = false;
	gone = !store_folder_is_there(&s->front);
	for (struct store_op *op = first; op && !broken; op = op->next) {
		op->err.text[0] = '\0';
		/* What waits may still leave; what comes would be gone with the next restart. */
		if (gone && store_op_needs_room(op)) {
			op->rc = store_trouble_fail(&s->front, &op->err);
			continue;
		}
		if (no_room && store_op_needs_room(op)) {
			op->rc = err_set(&op->err, RC_DISK_FULL, "the disk is full");
			continue;
		}
		op->rc = run_op(s, op, &broken);
		full = op->rc == RC_DISK_FULL;
	}
	if (!broken) {
		enum outcome o = finish(s);

		if (o != COMMITTED)
			store_mark_back(s, &mark);
		return o;
	}
	store_roll_back(s);
	store_mark_back(s, &mark);
	if (s->half_done)
		return HALF_DONE;
	return full ? NO_ROOM : NOT_COMMITTED;
}

static int answer_of(enum outcome o)
{
	switch (o) {
	case COMMITTED:
		return 0;
	case NOT_COMMITTED:
	case HALF_DONE:
		return -EIO;
	case NO_ROOM:
		return RC_DISK_FULL;
	case UNKNOWN:
		return RC_UNKNOWN_OUTCOME;
	}
	return RC_STATE;
}

static enum outcome run_again_without_room(struct store_sqlite *s, struct store_op *first)
{
	store_ballast_give(&s->front);
	atomic_store_explicit(&s->front.disk_full, true, memory_order_relaxed);
	/* A checkpoint soon: behind it the WAL begins again in the room that it has already. */
	s->checkpoint_soon = true;
	return run_once(s, first, true);
}

static bool is_damaged(const struct store_op *first)
{
	for (const struct store_op *op = first; op; op = op->next)
		if (op->rc == RC_CORRUPT)
			return true;
	return false;
}

static enum outcome run_chain(struct store_sqlite *s, struct store_op *first)
{
	/* What the ballast has left belongs to the outcomes. */
	bool no_room = s->front.ballast_given;
	enum outcome o;

	s->savepoints = false;
	o = run_once(s, first, no_room);
	s->savepoints = true;
	if (o == HALF_DONE)
		o = run_once(s, first, no_room);
	if (o == NOT_COMMITTED && !is_damaged(first))
		o = run_once(s, first, no_room);
	return o == NO_ROOM ? run_again_without_room(s, first) : o;
}

static void fail(struct store_op *op, int rc)
{
	/* The words of the operation itself say more. */
	if (op->rc >= 0 || op->err.text[0] == '\0')
		(void)err_set(&op->err, rc, "the queue could not be written: %s", rc_text(rc));
	/* Likewise where it stands: others may do better elsewhere. */
	if (op->rc != RC_CORRUPT)
		op->rc = rc;
}

/* Once more without each part that met a damaged page; what else did has failed. */
static enum outcome run_one(struct store_sqlite *s, struct store_op *op)
{
	enum outcome o = NOT_COMMITTED;
	bool again = true;

	s->without = 0;
	s->left_out_count = 0;
	while (again) {
		s->part = STORE_PART_NONE;
		o = run_once(s, op, s->front.ballast_given);
		if (o == NO_ROOM)
			o = run_again_without_room(s, op);
		again = o == NOT_COMMITTED && s->part != STORE_PART_NONE && s->db;
		if (again)
			s->without |= 1U << s->part;
	}
	s->without = 0;
	s->left_out_count = 0;
	s->part = STORE_PART_NONE;
	return o;
}

static void run_singly(struct store_sqlite *s, struct store_op *first)
{
	for (struct store_op *op = first; op; op = op->next) {
		struct store_op *next = op->next;
		enum outcome o;

		op->next = NULL;
		o = run_one(s, op);
		if (o != COMMITTED)
			fail(op, answer_of(o));
		op->next = next;
	}
}

/* The message that an operation is about, if it is about one that waits; else 0. */
static uint64_t message_of(struct store_op *op)
{
	if (op->kind == STORE_OP_TAKE) {
		const struct store_take *take = CONTAINER_OF(op, struct store_take, op);

		return take->out_message ? take->out_message->id : 0;
	}
	if (op->kind == STORE_OP_OUTCOME)
		return CONTAINER_OF(op, struct store_outcome, op)->message_id;
	return op->kind == STORE_OP_BODY ? CONTAINER_OF(op, struct store_body, op)->message_id : 0;
}

static void note_damage(struct store_sqlite *s, struct store_op *op)
{
	uint64_t id = op->rc == RC_CORRUPT ? message_of(op) : 0;

	if (id)
		store_damage_note(&s->front, id, STORE_WHOLE_MESSAGE, op->err.text);
}

static void run_group(struct store_sqlite *s, struct store_op *first)
{
	enum outcome o = run_chain(s, first);

	if (o == COMMITTED)
		return;
	if (o != UNKNOWN && s->db && (first->next || s->part != STORE_PART_NONE)) {
		run_singly(s, first);
		return;
	}
	for (struct store_op *op = first; op; op = op->next)
		fail(op, answer_of(o));
}

void store_group_run(struct store_sqlite *s, struct store_op *first)
{
	run_group(s, first);
	for (struct store_op *op = first; op; op = op->next)
		note_damage(s, op);
}

bool store_group_step(struct store_sqlite *s, int (*step)(struct store_sqlite *s))
{
	struct store_mark mark;
	int rc;

	s->state = s->committed;
	s->delivered_now = s->bounced_now = 0;
	mark = store_mark_now(s);
	if (store_run(s, store_sql(s, SQL_BEGIN), NULL) != 0)
		return false;
	s->writing = false;
	rc = step(s);
	if (rc == 0 && !sqlite3_get_autocommit(s->db) && finish(s) == COMMITTED)
		return true;
	store_roll_back(s);
	store_mark_back(s, &mark);
	return false;
}
