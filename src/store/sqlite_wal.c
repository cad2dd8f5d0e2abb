/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/sqlite_priv.h"

#include <stdlib.h>
#include <string.h>

/*
 * A VFS around the usual one, for the WAL. SQLite writes each page of a commit by two calls, its header and the page,
 * and a commit has some twenty of them; the disk has promised nothing before the sync at the end. So the file holds
 * what continues the bytes that it holds already, and writes them at once when it is enough, or before anything else
 * that is asked of it.
 *
 * Nothing that SQLite was told is written is let go: what fails is tried again by the next call, which fails as well,
 * until the file is closed. Then there are only bytes that no sync has promised.
 */
enum {
	HELD_MAX = 16 * (STORE_PAGE_BYTES + 24),
};

struct wal_file {
	sqlite3_file head;
	sqlite3_file *real;
	sqlite3_int64 at; /* where `held` belongs */
	size_t len;
	unsigned char *held;
};

static struct wal_file *wal_of(sqlite3_file *f)
{
	return (struct wal_file *)(void *)f;
}

static int write_held(struct wal_file *w)
{
	int rc;

	if (w->len == 0)
		return SQLITE_OK;
	rc = w->real->pMethods->xWrite(w->real, w->held, (int)w->len, w->at);
	if (rc == SQLITE_OK)
		w->len = 0;
	return rc;
}

static int wal_close(sqlite3_file *f)
{
	struct wal_file *w = wal_of(f);

	free(TAKE(w->held));
	return w->real->pMethods->xClose(w->real);
}

static int wal_read(sqlite3_file *f, void *out, int len, sqlite3_int64 at)
{
	struct wal_file *w = wal_of(f);
	int rc = at + len > w->at ? write_held(w) : SQLITE_OK;

	return rc == SQLITE_OK ? w->real->pMethods->xRead(w->real, out, len, at) : rc;
}

static int wal_write(sqlite3_file *f, const void *bytes, int len, sqlite3_int64 at)
{
	struct wal_file *w = wal_of(f);
	size_t size = (size_t)len;

	if (at != w->at + (sqlite3_int64)w->len || size > HELD_MAX - w->len) {
		int rc = write_held(w);

		if (rc != SQLITE_OK)
			return rc;
		w->at = at;
	}
	if (size > HELD_MAX)
		return w->real->pMethods->xWrite(w->real, bytes, len, at);
	memcpy(w->held + w->len, bytes, size);
	w->len += size;
	return SQLITE_OK;
}

static int wal_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct wal_file *w = wal_of(f);
	int rc = write_held(w);

	return rc == SQLITE_OK ? w->real->pMethods->xTruncate(w->real, size) : rc;
}

static int wal_sync(sqlite3_file *f, int flags)
{
	struct wal_file *w = wal_of(f);
	int rc = write_held(w);

	return rc == SQLITE_OK ? w->real->pMethods->xSync(w->real, flags) : rc;
}

static int wal_size(sqlite3_file *f, sqlite3_int64 *out)
{
	struct wal_file *w = wal_of(f);
	int rc = write_held(w);

	return rc == SQLITE_OK ? w->real->pMethods->xFileSize(w->real, out) : rc;
}

static int wal_lock(sqlite3_file *f, int level)
{
	sqlite3_file *real = wal_of(f)->real;

	return real->pMethods->xLock(real, level);
}

static int wal_unlock(sqlite3_file *f, int level)
{
	sqlite3_file *real = wal_of(f)->real;

	return real->pMethods->xUnlock(real, level);
}

static int wal_check_lock(sqlite3_file *f, int *out)
{
	sqlite3_file *real = wal_of(f)->real;

	return real->pMethods->xCheckReservedLock(real, out);
}

static int wal_control(sqlite3_file *f, int what, void *arg)
{
	sqlite3_file *real = wal_of(f)->real;

	return real->pMethods->xFileControl(real, what, arg);
}

static int wal_sector(sqlite3_file *f)
{
	sqlite3_file *real = wal_of(f)->real;

	return real->pMethods->xSectorSize(real);
}

static int wal_traits(sqlite3_file *f)
{
	sqlite3_file *real = wal_of(f)->real;

	return real->pMethods->xDeviceCharacteristics(real);
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = wal_close,
	.xRead = wal_read,
	.xWrite = wal_write,
	.xTruncate = wal_truncate,
	.xSync = wal_sync,
	.xFileSize = wal_size,
	.xLock = wal_lock,
	.xUnlock = wal_unlock,
	.xCheckReservedLock = wal_check_lock,
	.xFileControl = wal_control,
	.xSectorSize = wal_sector,
	.xDeviceCharacteristics = wal_traits,
};

/* Any other file is the usual VFS's own. */
static int open_file(
	sqlite3_vfs *self, const char *path, sqlite3_file *f, int flags, int *out_flags)
{
	sqlite3_vfs *real = self->pAppData;
	struct wal_file *w = wal_of(f);
	int rc;

	if (!(flags & SQLITE_OPEN_WAL))
		return real->xOpen(real, path, f, flags, out_flags);
	*w = (struct wal_file){ .real = (sqlite3_file *)(void *)(w + 1) };
	memset(w->real, 0, (size_t)real->szOsFile);
	rc = real->xOpen(real, path, w->real, flags, out_flags);
	if (rc != SQLITE_OK) {
		if (w->real->pMethods)
			(void)w->real->pMethods->xClose(w->real);
		return rc;
	}
	w->held = xmalloc(HELD_MAX);
	w->head.pMethods = &methods;
	return SQLITE_OK;
}

void store_wal_gather(struct store_sqlite *s, const char *usual)
{
	sqlite3_vfs *real = sqlite3_vfs_find(usual);

	must(real != NULL);
	/* The methods that it shares with the usual one do not ask which of the two they are called for. */
	s->gathering = *real;
	s->gathering.pNext = NULL;
	s->gathering.zName = s->path;
	s->gathering.szOsFile = (int)sizeof(struct wal_file) + real->szOsFile;
	s->gathering.pAppData = real;
	s->gathering.xOpen = open_file;
}
