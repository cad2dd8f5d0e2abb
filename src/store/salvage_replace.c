/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/file.h"
#include "io/loop.h"
#include "store/salvage_priv.h"
#include "store/sqlite_priv.h"
#include "store/store_salvage.h"

#include <errno.h>
#include <stdio.h>

/*
 * Two files make the old queue (queue.db, and what is only in its WAL), one the new. They change places in steps of
 * which each may be the last before the power goes:
 *   1. a folder of its own gets second names (links) of both old files
 *   2. the new file, complete and synced, is renamed to queue.db.repaired: from here on it is the queue
 *   3. the old WAL goes, the new file becomes queue.db
 * Whoever opens a queue finishes step 3 first: a WAL of the old file must never meet the new one.
 */
enum {
	FOLDERS_MAX = 1000
};

struct paths {
	char folder[STORE_PATH_MAX], queue[STORE_PATH_MAX + 32], wal[STORE_PATH_MAX + 32],
		ready[STORE_PATH_MAX + 32];
};

static int set_paths(struct paths *p, struct sv data_dir, struct err *err)
{
	if (data_dir.len == 0 || data_dir.len + 64 > STORE_PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "data_dir is too long");
	(void)snprintf(p->folder, sizeof(p->folder), "%.*s", SV_ARG(data_dir));
	(void)snprintf(p->queue, sizeof(p->queue), "%s/queue.db", p->folder);
	(void)snprintf(p->wal, sizeof(p->wal), "%s/queue.db-wal", p->folder);
	(void)snprintf(p->ready, sizeof(p->ready), "%s/queue.db.repaired", p->folder);
	return 0;
}

static int failed(int rc, const char *what, const char *path, struct err *err)
{
	return err_set(err, rc, "cannot %s %s: %s", what, path, rc_text(rc));
}

int store_finish_repair(struct sv data_dir, struct err *err)
{
	struct paths p;
	int rc = set_paths(&p, data_dir, err);

	if (rc != 0 || !io_fs_exists(p.ready))
		return rc;
	rc = io_fs_unlink(p.wal);
	if (rc != 0 && rc != -ENOENT)
		return failed(rc, "remove", p.wal, err);
	rc = io_folder_sync(p.folder, err);
	if (rc != 0)
		return rc;
	rc = io_fs_rename(p.ready, p.queue);
	return rc ? failed(rc, "rename", p.ready, err) : io_folder_sync(p.folder, err);
}

int salvage_commit(struct salvage *s, const char *fresh)
{
	CLEANUP(io_closep) int fd = -1;
	sqlite3_stmt *q = salvage_prepare(s, "PRAGMA integrity_check(1)");

	if (s->rc == 0 && (sqlite3_step(q) != SQLITE_ROW ||
				  strcmp((const char *)sqlite3_column_text(q, 0), "ok") != 0))
		s->rc = err_set(
			s->err, RC_CORRUPT, "the new queue is not in order; nothing was changed");
	(void)sqlite3_finalize(q);
	if (s->rc != 0)
		return s->rc;
	fd = io_fs_open(fresh, O_RDONLY);
	s->rc = fd < 0 ? fd : io_fs_sync(fd);
	return s->rc ? failed(s->rc, "write", fresh, s->err) : 0;
}

static int keep_old(struct salvage *s, const struct paths *p)
{
	char at[WALL_RFC3339_MAX], name[STORE_KEPT_MAX + 32];
	int rc;

	(void)wall_rfc3339(io_clock_wall(), at);
	for (int i = 1; i <= FOLDERS_MAX; i++) {
		(void)snprintf(s->report->kept,
			sizeof(s->report->kept),
			"%s/damaged-%.10s-%d",
			p->folder,
			at,
			i);
		rc = io_fs_make_folder(s->report->kept, 0700);
		if (rc == 0)
			break;
		if (rc != -EEXIST || i == FOLDERS_MAX)
			return failed(rc, "make", s->report->kept, s->err);
	}
	(void)snprintf(name, sizeof(name), "%s/queue.db", s->report->kept);
	rc = io_fs_link(p->queue, name);
	if (rc != 0)
		return failed(rc, "keep a copy of", p->queue, s->err);
	(void)snprintf(name, sizeof(name), "%s/queue.db-wal", s->report->kept);
	rc = io_fs_link(p->wal, name);
	if (rc != 0 && rc != -ENOENT)
		return failed(rc, "keep a copy of", p->wal, s->err);
	return io_folder_sync(s->report->kept, s->err);
}

int salvage_replace(struct salvage *s, const char *fresh)
{
	struct paths p;
	int rc = set_paths(&p, s->o->data_dir, s->err);

	if (rc == 0)
		rc = keep_old(s, &p);
	if (rc != 0)
		return rc;
	rc = io_fs_chmod(fresh, 0600);
	if (rc != 0)
		return failed(rc, "write", fresh, s->err);
	rc = io_fs_rename(fresh, p.ready);
	if (rc != 0)
		return failed(rc, "rename", fresh, s->err);
	rc = io_folder_sync(p.folder, s->err);
	return rc ? rc : store_finish_repair(s->o->data_dir, s->err);
}
