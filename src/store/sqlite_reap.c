/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/loop.h"
#include "store/sqlite_priv.h"

#include <stdio.h>

/*
 * What is done when nobody waits, a bounded step at a time: bodies of finished messages that were too
 * large to go with the outcome, history past its time, old ledger rows, the ballast, checkpoints.
 */
enum {
	HISTORY_EVERY_US = 60 * 1000000,
	HISTORY_AHEAD_US = 1800 * 1000000, /* where all of it must be read */
	ROOM_LOOK_EVERY_US = 1000000,
	LEDGER_EVERY_US = 600 * 1000000,
	LEDGER_KEPT_HOURS = 25,
	PROBE_EVERY_US = 1000000,
};

static int64_t free_pages(struct store_sqlite *s)
{
	int64_t pages = 0;
	sqlite3_stmt *q = NULL;

	if (!s->db || sqlite3_prepare_v2(s->db, "PRAGMA freelist_count", -1, &q, NULL) != SQLITE_OK)
		return 0;
	if (sqlite3_step(q) == SQLITE_ROW)
		pages = sqlite3_column_int64(q, 0);
	(void)sqlite3_finalize(q);
	return pages;
}

void store_measure(struct store_sqlite *s)
{
	atomic_store_explicit(&s->front.free_pages_bytes,
		(uint64_t)free_pages(s) * STORE_PAGE_BYTES,
		memory_order_relaxed);
}

/* ---- steps, each in a transaction of its own ---- */

static int drop_some_chunks(struct store_sqlite *s)
{
	sqlite3_stmt *q = store_sql(s, SQL_DEAD_FIRST);
	int64_t id, chunks;
	uint32_t first;
	int rc = store_step(s, q, NULL);

	if (rc <= 0)
		s->dead_left = false;
	if (rc <= 0)
		return rc;
	id = sqlite3_column_int64(q, 0);
	chunks = sqlite3_column_int64(q, 1);
	(void)sqlite3_reset(q);
	first = chunks > STORE_REAP_CHUNKS ? (uint32_t)chunks - STORE_REAP_CHUNKS : 0;
	for (uint32_t i = first; i < chunks && rc >= 0; i++) {
		q = store_sql(s, SQL_CHUNK_DROP);
		(void)sqlite3_bind_int64(q, 1, row_id((uint64_t)id, i));
		rc = store_run(s, q, NULL);
	}
	/* What stands on a damaged page stays until a repair. */
	s->dead_left = rc != RC_CORRUPT;
	if (rc < 0)
		return rc;
	q = store_sql(s, first ? SQL_DEAD_ADD : SQL_DEAD_DROP);
	(void)sqlite3_bind_int64(q, 1, id);
	if (first)
		(void)sqlite3_bind_int64(q, 2, first);
	return store_run(s, q, NULL);
}

static int drop_range(struct store_sqlite *s, enum store_sql which, uint64_t id)
{
	sqlite3_stmt *q = store_sql(s, which);

	(void)sqlite3_bind_int64(q, 1, row_id(id, 0));
	(void)sqlite3_bind_int64(q, 2, row_id(id, STORE_NUMBER_MAX));
	return store_run(s, q, NULL);
}

static int drop_row(struct store_sqlite *s, enum store_sql which, uint64_t id)
{
	sqlite3_stmt *q = store_sql(s, which);

	(void)sqlite3_bind_int64(q, 1, (int64_t)id);
	return store_run(s, q, NULL);
}

static int drop_message(struct store_sqlite *s, uint64_t id, int64_t story_bytes)
{
	int rc = drop_range(s, SQL_HISTORY_DROP_RECIPIENTS, id);

	if (rc == 0)
		rc = drop_range(s, SQL_HISTORY_DROP_ATTEMPTS, id);
	if (rc == 0)
		rc = drop_row(s, SQL_TRANSCRIPT_DROP, id);
	if (rc == 0)
		rc = drop_row(s, SQL_HISTORY_DROP_MESSAGE, id);
	s->state.history--;
	s->state.history_bytes -= story_bytes;
	return rc;
}

struct finished {
	uint64_t id;
	int64_t story;
	bool ahead; /* the clock was wrong when it ended: its time begins now */
};

static int restamp(struct store_sqlite *s, uint64_t id)
{
	sqlite3_stmt *q = store_sql(s, SQL_HISTORY_RESTAMP);

	(void)sqlite3_bind_int64(q, 1, (int64_t)id);
	(void)sqlite3_bind_int64(q, 2, io_clock_wall().us);
	return store_run(s, q, NULL);
}

/* Past its time, or stamped by a clock that was ahead. How many; the cursor stands behind the last that was read. */
static size_t read_finished(struct store_sqlite *s, struct finished out[STORE_REAP_MESSAGES])
{
	sqlite3_stmt *q = store_sql(s, SQL_HISTORY_FROM);
	int64_t now = io_clock_wall().us, cutoff = now - (int64_t)s->front.history_keep_us;
	int64_t ahead = io_clock_is_synced() ? now + (int64_t)US_PER_DAY : INT64_MAX;
	bool too_large = s->front.history_bytes_max &&
			 (uint64_t)s->state.history_bytes > s->front.history_bytes_max;
	bool reached_young = false;
	size_t count = 0;
	int rows = 0;

	(void)sqlite3_bind_int64(q, 1, s->reap_from);
	(void)sqlite3_bind_int64(q, 2, STORE_REAP_MESSAGES);
	while (!reached_young && store_step(s, q, NULL) == 1) {
		int64_t id = sqlite3_column_int64(q, 0), finished = sqlite3_column_int64(q, 1);

		rows++;
		s->reap_from = id;
		/* Ids rise with time, so nothing behind a young one is old; but one of a clock that was ahead
		 * says nothing of those behind it. */
		reached_young =
			!too_large && STORE_EPOCH_US + id > cutoff && STORE_EPOCH_US + id <= now;
		s->ids_ahead |= STORE_EPOCH_US + id > now;
		if (finished && (too_large || finished < cutoff || finished > ahead))
			out[count++] = (struct finished){ (uint64_t)id,
				sqlite3_column_int64(q, 2),
				!too_large && finished >= cutoff };
	}
	(void)sqlite3_reset(q);
	s->history_left = !reached_young && rows == STORE_REAP_MESSAGES;
	if (!s->history_left)
		s->reap_from = 0;
	return count;
}

static int drop_old_history(struct store_sqlite *s)
{
	struct finished old[STORE_REAP_MESSAGES];
	size_t count = read_finished(s, old);
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++) {
		if (store_damage_knows(&s->front, old[i].id, STORE_HISTORY_OF))
			continue;
		rc = old[i].ahead ? restamp(s, old[i].id)
				  : drop_message(s, old[i].id, old[i].story);
		/* It stays, and the next step passes over it. */
		if (rc == RC_CORRUPT)
			store_damage_note(
				&s->front, old[i].id, STORE_HISTORY_OF, "the queue is damaged");
	}
	return rc;
}

static int drop_old_ledger(struct store_sqlite *s)
{
	sqlite3_stmt *q = store_sql(s, SQL_LEDGER_DROP);
	int64_t steady = (int64_t)io_clock_mono().us + s->front.steady_base_us;

	(void)sqlite3_bind_int64(
		q, 1, (steady - LEDGER_KEPT_HOURS * (int64_t)US_PER_HOUR) / (int64_t)US_PER_MIN);
	return store_run(s, q, NULL);
}

static int give_back_pages(struct store_sqlite *s)
{
	char sql[64];
	int64_t before = free_pages(s);
	int rc;

	s->shrink_left = false;
	if (before == 0)
		return 0;
	(void)snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%d)", (int)STORE_SHRINK_PAGES);
	s->writing = true;
	rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return store_fail(s, rc, NULL);
	s->shrink_left = free_pages(s) < before;
	/* The file becomes shorter when it is written. */
	s->checkpoint_soon = true;
	return 0;
}

static void checkpoint(struct store_sqlite *s)
{
	/* PASSIVE with no reader but us: all of the WAL goes into the file. */
	if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) ==
		SQLITE_OK)
		s->wal_pages = 0;
	/* While the disk stays full, every operation that meets its end asks again. */
	s->checkpoint_soon = false;
}

/* Without a ballast to make again, the next message tries the disk. */
static void look_for_room(struct store_sqlite *s)
{
	if (s->front.ballast_given && store_ballast_make(&s->front))
		s->front.ballast_given = false;
	/* The room may be in our own file: what has left stays in it as free pages. */
	s->shrink_left = s->front.ballast_given;
	if (!s->front.ballast_given)
		atomic_store_explicit(&s->front.disk_full, false, memory_order_relaxed);
}

/* Any commit will do. */
static int touch(struct store_sqlite *s)
{
	s->writing = true;
	return 0;
}

bool store_reap(struct store_sqlite *s, struct mono_time now)
{
	if (!s->db)
		return false;
	if (s->checkpoint_soon || s->wal_pages >= STORE_WAL_PAGES)
		checkpoint(s);
	if (!mono_before(now, s->front.room_look_at)) {
		s->front.room_look_at = mono_add(now, ROOM_LOOK_EVERY_US);
		look_for_room(s);
	}
	if (s->shrink_left)
		return store_group_step(s, give_back_pages);
	/* Nothing is accepted meanwhile: only we find out that the disk is well again. */
	if (atomic_load(&s->front.trouble) != STORE_TROUBLE_NONE) {
		if (!mono_before(now, s->probe_at)) {
			s->probe_at = mono_add(now, PROBE_EVERY_US);
			return store_group_step(s, touch);
		}
		return false;
	}
	/* A step that fails is not tried again at once: the disk needs a moment too. */
	if (s->dead_left)
		return store_group_step(s, drop_some_chunks);
	if (s->history_left || !mono_before(now, s->history_at)) {
		s->history_at = mono_add(now, s->ids_ahead ? HISTORY_AHEAD_US : HISTORY_EVERY_US);
		s->ids_ahead = false;
		return store_group_step(s, drop_old_history);
	}
	if (!mono_before(now, s->ledger_at)) {
		s->ledger_at = mono_add(now, LEDGER_EVERY_US);
		return store_group_step(s, drop_old_ledger);
	}
	return store_sweep(s, now);
}
