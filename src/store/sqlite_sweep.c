/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/sqlite_priv.h"

#include <stdlib.h>
#include <string.h>

/*
 * Flows whose mail has left. A sender that was held, a user who has gone, a queue of an old configuration: each has had its name in
 * `flow`, and nobody asks for it again. When there are many, the recipients are read from the first to the last, a step at a time
 * when nobody waits; a flow that none of them names, and that none was given meanwhile, goes, and its number is free. Recipients of
 * the history count: where they waited is shown as long as they are.
 */
enum {
	FLOWS_LEFT_ALONE = 10000,
	ROWS_A_STEP = 5000,
	DROPPED_A_STEP = 500,
};
#define FIRST_AFTER_US (10 * US_PER_MIN) /* a start has other work */
#define EVERY_US US_PER_HOUR

static bool is_worth_it(const struct store_sqlite *s)
{
	size_t flows = s->flows.count - s->flows.spare_count;

	return flows >= FLOWS_LEFT_ALONE && flows >= 2 * s->sweep.kept;
}

void store_sweep_stop(struct store_sqlite *s)
{
	free(s->sweep.named);
	s->sweep.named = NULL;
	s->sweep.running = false;
}

static void begin(struct store_sqlite *s)
{
	struct store_sweep *w = &s->sweep;

	w->running = true;
	w->reads = true;
	w->cap = s->flows.count;
	w->named = xcalloc(w->cap, 1);
	w->after = -1;
	w->dropped = 0;
	/* These are free already. */
	for (size_t i = 0; i < s->flows.spare_count; i++)
		store_sweep_named(s, s->flows.spare[i]);
}

/* ---- what is named ---- */

static void read_some(struct store_sqlite *s)
{
	sqlite3_stmt *q = store_sql(s, SQL_FLOWS_NAMED);
	size_t count = 0;
	int rc;

	(void)sqlite3_bind_int64(q, 1, s->sweep.after);
	(void)sqlite3_bind_int64(q, 2, ROWS_A_STEP);
	while ((rc = store_step(s, q, NULL)) == 1) {
		s->sweep.after = sqlite3_column_int64(q, 0);
		store_sweep_named(s, sqlite3_column_int64(q, 1));
		count++;
	}
	/* What a damaged page names is not known. */
	if (rc < 0)
		store_sweep_stop(s);
	s->sweep.reads = count == ROWS_A_STEP;
}

/* ---- what is not ---- */

/* In a transaction. */
static int drop_some(struct store_sqlite *s)
{
	struct store_sweep *w = &s->sweep;
	size_t count = 0;
	int rc = 0;

	for (size_t i = w->dropped; i < w->cap && count < DROPPED_A_STEP && rc == 0; i++) {
		sqlite3_stmt *q = store_sql(s, SQL_FLOW_DROP);

		if (w->named[i])
			continue;
		(void)sqlite3_bind_int64(q, 1, (int64_t)i + 1);
		rc = store_run(s, q, NULL);
		count++;
	}
	return rc;
}

/* The same ones, in memory, when that is committed. True: there are more. */
static bool forget_some(struct store_sqlite *s)
{
	struct store_sweep *w = &s->sweep;
	size_t count = 0;

	for (; w->dropped < w->cap && count < DROPPED_A_STEP; w->dropped++)
		if (!w->named[w->dropped]) {
			store_names_spare(&s->flows, (int64_t)w->dropped + 1);
			w->named[w->dropped] = 1;
			count++;
		}
	return w->dropped < w->cap;
}

bool store_sweep(struct store_sqlite *s, struct mono_time now)
{
	struct store_sweep *w = &s->sweep;

	if (!w->running) {
		if (w->at.us != 0 && mono_before(now, w->at))
			return false;
		if (w->at.us == 0 || !is_worth_it(s)) {
			w->at = mono_add(now, w->at.us == 0 ? FIRST_AFTER_US : EVERY_US);
			return false;
		}
		w->at = mono_add(now, EVERY_US);
		begin(s);
	}
	if (w->reads) {
		read_some(s);
		return w->running;
	}
	if (!store_group_step(s, drop_some)) {
		store_sweep_stop(s);
		return false;
	}
	if (forget_some(s))
		return true;
	w->kept = s->flows.count - s->flows.spare_count;
	store_sweep_stop(s);
	return false;
}
