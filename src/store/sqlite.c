/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sqlite_priv.h"

#include <stdio.h>

/* The embedded backend: one file, one connection, WAL (docs/design-queue.md). */

enum {
	FOLDER_LOOK_US = 1000000
};

static int open_queue(struct store *front, struct store_recovery *out, struct err *err)
{
	struct store_sqlite *s = store_sqlite_of(front);
	int rc;

	/* Its own count of memory nobody reads, and each piece would cost a lock twice. Refused once SQLite is in use. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	(void)snprintf(s->path, sizeof(s->path), "%s/queue.db", front->folder);
	(void)snprintf(front->db_path, sizeof(front->db_path), "%s", s->path);
	rc = store_finish_repair(sv_from(front->folder), err);
	if (rc == 0)
		rc = store_db_open(s, err);
	if (rc == 0)
		rc = store_recover(s, out, err);
	if (rc == 0)
		store_folder_note(front);
	if (rc != RC_DISK_FULL)
		return rc;
	store_ballast_give(front);
	/* Opening writes, too: then there is no database yet. */
	rc = s->db ? 0 : store_db_open(s, err);
	if (rc == 0)
		rc = store_recover(s, out, err);
	if (rc == 0)
		store_folder_note(front);
	return rc;
}

static void close_queue(struct store *front)
{
	struct store_sqlite *s = store_sqlite_of(front);

	store_db_close(s);
	store_sweep_stop(s);
	store_names_free(&s->lanes);
	store_names_free(&s->causes);
	store_names_free(&s->scopes);
	store_names_free(&s->flows);
}

static void run(struct store *front, struct store_op *first)
{
	store_group_run(store_sqlite_of(front), first);
}

static bool step(struct store *front, struct mono_time now)
{
	/* For who only looks; before mail is accepted each group asks for itself. */
	if (mono_before(front->folder_look_at, now) ||
		store_trouble_now(front) != STORE_TROUBLE_NONE) {
		front->folder_look_at = mono_add(now, FOLDER_LOOK_US);
		(void)store_folder_is_there(front);
	}
	return store_reap(store_sqlite_of(front), now);
}

static void rest(struct store *front)
{
	store_measure(store_sqlite_of(front));
}

const struct store_backend store_backend_sqlite = {
	.size = sizeof(struct store_sqlite),
	.open = open_queue,
	.close = close_queue,
	.run = run,
	.step = step,
	.rest = rest,
	.each_uncertain = store_sqlite_each_uncertain,
	.resolve_uncertain = store_sqlite_resolve_uncertain,
	.do_chunk = store_do_chunk,
	.do_put = store_do_put,
	.do_abort = store_do_abort,
	.do_take = store_do_take,
	.do_outcome = store_do_outcome,
	.do_look = store_do_look,
	.do_look_later = store_do_look_later,
	.do_body = store_do_body,
	.do_list = store_do_list,
	.do_show = store_do_show,
	.do_edit = store_do_edit,
	.do_summary = store_do_summary,
	.do_flows = store_do_flows,
	.do_ledger_read = store_do_ledger_read,
	.do_counts_read = store_do_counts_read,
	.do_parks_read = store_do_parks_read,
	.do_park = store_do_park,
};
