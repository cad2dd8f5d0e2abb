/* SPDX-License-Identifier: Apache-2.0 */
#include "store/fault_vfs.h"

#include "base/must.h"
#include "base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILES_MAX = 8,
	PATH_LEN_MAX = 512,
	PAGE = 4096,
	SECTOR = 512,
};

/* What is known of one path. `base` is what a power cut would leave. */
struct tracked {
	char path[PATH_LEN_MAX];
	char *base;
	size_t base_len, base_cap;
	bool *dirty; /* pages written since the last sync */
	size_t dirty_len;
	bool size_dirty;
};

struct fault_file {
	sqlite3_file head;
	struct tracked *t; /* NULL: not watched */
	sqlite3_file *real;
};

static struct {
	pthread_mutex_t lock;
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	struct tracked files[FILES_MAX];
	struct fault_plan plan;
	uint64_t calls;
	bool struck;
	uint64_t quota_bytes;
	char ballast[PATH_LEN_MAX];
	int last_errno;
} vfs = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void lock(void)
{
	must(pthread_mutex_lock(&vfs.lock) == 0);
}

static void unlock(void)
{
	must(pthread_mutex_unlock(&vfs.lock) == 0);
}

/* ---- what was synced ---- */

static struct tracked *find(const char *path)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		if (strcmp(vfs.files[i].path, path) == 0)
			return &vfs.files[i];
	return NULL;
}

static void forget(struct tracked *t)
{
	free(t->base);
	free(t->dirty);
	*t = (struct tracked){ 0 };
}

static size_t size_now(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

static char *read_all(const char *path, size_t len)
{
	char *bytes = xcalloc(1, len + 1);
	FILE *f = len ? fopen(path, "re") : NULL;

	if (f) {
		must(fread(bytes, 1, len, f) == len);
		must(fclose(f) == 0);
	}
	return bytes;
}

/* A file that was there already counts as synced. */
static struct tracked *watch(const char *path)
{
	struct tracked *t = find(path);

	if (t)
		return t;
	t = find("");
	must(t != NULL);
	must(strlen(path) < sizeof(t->path));
	(void)snprintf(t->path, sizeof(t->path), "%s", path);
	t->base_len = t->base_cap = size_now(path);
	t->base = read_all(path, t->base_len);
	return t;
}

static void mark(struct tracked *t, uint64_t offset, uint64_t len)
{
	size_t last = (size_t)((offset + len + PAGE - 1) / PAGE);

	if (last > t->dirty_len) {
		t->dirty = xrealloc(t->dirty, last * sizeof(*t->dirty));
		memset(t->dirty + t->dirty_len, 0, (last - t->dirty_len) * sizeof(*t->dirty));
		t->dirty_len = last;
	}
	for (size_t page = (size_t)(offset / PAGE); page < last; page++)
		t->dirty[page] = true;
	t->size_dirty = true;
}

static void clean(struct tracked *t)
{
	if (t->dirty_len)
		memset(t->dirty, 0, t->dirty_len * sizeof(*t->dirty));
	t->size_dirty = false;
}

static void reserve(struct tracked *t, size_t len)
{
	if (len <= t->base_cap)
		return;
	t->base_cap = len + len / 2;
	t->base = xrealloc(t->base, t->base_cap);
}

/* base[at..at+len) becomes what stands in `now`. */
static void take(struct tracked *t, const char *now, size_t now_len, size_t at, size_t len)
{
	if (at >= now_len)
		return;
	if (len > now_len - at)
		len = now_len - at;
	if (at + len > t->base_len) {
		reserve(t, at + len);
		memset(t->base + t->base_len, 0, at + len - t->base_len);
		t->base_len = at + len;
	}
	memcpy(t->base + at, now + at, len);
}

static void resize(struct tracked *t, size_t len)
{
	/* Whole pages, for those who read one. */
	reserve(t, len + PAGE);
	if (len > t->base_len)
		memset(t->base + t->base_len, 0, len - t->base_len);
	t->base_len = len;
}

static void synced(struct tracked *t)
{
	size_t len = size_now(t->path);
	int fd = t->size_dirty ? open(t->path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	resize(t, len);
	for (size_t page = 0; page < t->dirty_len && page * PAGE < len; page++)
		if (t->dirty[page])
			must(pread(fd, t->base + page * PAGE, PAGE, (off_t)(page * PAGE)) >= 0);
	(void)close(fd);
	clean(t);
}

/* What the kernel had written by itself before the power went. */
static void survive_by_chance(struct tracked *t, struct prng *dice)
{
	size_t len = size_now(t->path);
	char *now = read_all(t->path, len);

	for (size_t page = 0; page < t->dirty_len; page++) {
		uint64_t fate = t->dirty[page] ? prng_next(dice) % 8 : 7;

		if (fate < 3)
			take(t, now, len, page * PAGE, PAGE);
		else if (fate == 3)
			for (size_t at = page * PAGE; at < (page + 1) * PAGE; at += SECTOR)
				if (prng_next(dice) & 1)
					take(t, now, len, at, SECTOR);
	}
	if (t->size_dirty && (prng_next(dice) & 1))
		resize(t, len);
	free(now);
}

void fault_vfs_power_loss(uint64_t seed)
{
	struct prng dice;

	prng_seed(&dice, seed);
	lock();
	for (size_t i = 0; i < FILES_MAX; i++) {
		struct tracked *t = &vfs.files[i];
		FILE *f;

		if (t->path[0] == '\0' || access(t->path, F_OK) != 0)
			continue;
		survive_by_chance(t, &dice);
		f = fopen(t->path, "we");
		must(f != NULL);
		must(fwrite(t->base, 1, t->base_len, f) == t->base_len);
		must(fclose(f) == 0);
		clean(t);
	}
	unlock();
}

/* ---- whether a call fails ---- */

static bool strikes(enum fault_calls kind)
{
	const struct fault_plan *p = &vfs.plan;
	bool counts = p->calls == kind || (p->calls == FAULT_CHANGES && kind == FAULT_SYNCS);

	if (p->nth == 0 || !counts)
		return false;
	vfs.calls++;
	if (vfs.calls < p->nth || (vfs.calls > p->nth && p->mode == FAULT_ONCE))
		return false;
	vfs.struck = true;
	if (p->struck) {
		struct fault_plan plan = *p;

		vfs.plan = (struct fault_plan){ 0 };
		unlock();
		plan.struck(plan.arg);
		lock();
		return false;
	}
	return true;
}

static int code_of(int own)
{
	vfs.last_errno = vfs.plan.write_code == SQLITE_FULL ? ENOSPC : EIO;
	return own == SQLITE_IOERR_WRITE ? vfs.plan.write_code : own;
}

static bool past_quota(const struct tracked *t, uint64_t end)
{
	uint64_t used = 0;

	if (vfs.quota_bytes == 0 || end <= size_now(t->path))
		return false;
	for (size_t i = 0; i < FILES_MAX; i++)
		if (vfs.files[i].path[0])
			used += &vfs.files[i] == t ? end : size_now(vfs.files[i].path);
	if (vfs.ballast[0])
		used += size_now(vfs.ballast);
	return used > vfs.quota_bytes;
}

/* ---- a file ---- */

static struct fault_file *file_of(sqlite3_file *f)
{
	return (struct fault_file *)(void *)f;
}

static int file_close(sqlite3_file *f)
{
	sqlite3_file *real = file_of(f)->real;

	return real->pMethods ? real->pMethods->xClose(real) : SQLITE_OK;
}

static int file_read(sqlite3_file *f, void *out, int len, sqlite3_int64 at)
{
	sqlite3_file *real = file_of(f)->real;
	bool fails;

	lock();
	fails = file_of(f)->t && strikes(FAULT_READS);
	if (fails)
		vfs.last_errno = EIO;
	unlock();
	return fails ? SQLITE_IOERR_READ : real->pMethods->xRead(real, out, len, at);
}

static int file_write(sqlite3_file *f, const void *bytes, int len, sqlite3_int64 at)
{
	struct fault_file *file = file_of(f);
	sqlite3_file *real = file->real;
	int rc = SQLITE_OK;

	if (!file->t)
		return real->pMethods->xWrite(real, bytes, len, at);
	lock();
	if (past_quota(file->t, (uint64_t)at + (uint64_t)len)) {
		vfs.last_errno = ENOSPC;
		rc = SQLITE_FULL;
	} else if (strikes(FAULT_CHANGES)) {
		rc = code_of(SQLITE_IOERR_WRITE);
		if (vfs.plan.half) {
			(void)real->pMethods->xWrite(real, bytes, len / 2, at);
			mark(file->t, (uint64_t)at, (uint64_t)len / 2);
		}
	} else {
		rc = real->pMethods->xWrite(real, bytes, len, at);
		mark(file->t, (uint64_t)at, (uint64_t)len);
	}
	unlock();
	return rc;
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct fault_file *file = file_of(f);
	int rc = SQLITE_OK;

	lock();
	if (file->t && strikes(FAULT_CHANGES))
		rc = code_of(SQLITE_IOERR_TRUNCATE);
	else if (file->t)
		file->t->size_dirty = true;
	if (rc == SQLITE_OK)
		rc = file->real->pMethods->xTruncate(file->real, size);
	unlock();
	return rc;
}

static int file_sync(sqlite3_file *f, int flags)
{
	struct fault_file *file = file_of(f);
	int rc = SQLITE_OK;

	(void)flags;
	if (!file->t)
		return SQLITE_OK;
	lock();
	if (strikes(FAULT_SYNCS)) {
		rc = code_of(SQLITE_IOERR_FSYNC);
		if (vfs.plan.sync_loses)
			clean(file->t);
	} else {
		synced(file->t);
	}
	unlock();
	return rc;
}

static int file_size(sqlite3_file *f, sqlite3_int64 *out)
{
	sqlite3_file *real = file_of(f)->real;

	return real->pMethods->xFileSize(real, out);
}

static int file_lock(sqlite3_file *f, int level)
{
	sqlite3_file *real = file_of(f)->real;

	return real->pMethods->xLock(real, level);
}

static int file_unlock(sqlite3_file *f, int level)
{
	sqlite3_file *real = file_of(f)->real;

	return real->pMethods->xUnlock(real, level);
}

static int file_check_lock(sqlite3_file *f, int *out)
{
	sqlite3_file *real = file_of(f)->real;

	return real->pMethods->xCheckReservedLock(real, out);
}

static int file_control(sqlite3_file *f, int what, void *arg)
{
	sqlite3_file *real = file_of(f)->real;

	return real->pMethods->xFileControl(real, what, arg);
}

static int file_sector(sqlite3_file *f)
{
	sqlite3_file *real = file_of(f)->real;

	return real->pMethods->xSectorSize(real);
}

static int file_traits(sqlite3_file *f)
{
	sqlite3_file *real = file_of(f)->real;

	return real->pMethods->xDeviceCharacteristics(real);
}

/* Version 1: no shared memory and no mapping, as the store uses neither. */
static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check_lock,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_traits,
};

/* ---- the VFS ---- */

static int open_file(
	sqlite3_vfs *self, const char *path, sqlite3_file *f, int flags, int *out_flags)
{
	struct fault_file *file = file_of(f);
	int rc;

	(void)self;
	*file = (struct fault_file){ .real = (sqlite3_file *)(void *)(file + 1) };
	memset(file->real, 0, (size_t)vfs.real->szOsFile);
	lock();
	if (path && !(flags & SQLITE_OPEN_DELETEONCLOSE))
		file->t = watch(path);
	unlock();
	rc = vfs.real->xOpen(vfs.real, path, file->real, flags, out_flags);
	file->head.pMethods = file->real->pMethods ? &methods : NULL;
	return rc;
}

static int delete_file(sqlite3_vfs *self, const char *path, int sync_folder)
{
	struct tracked *t;
	int rc;

	(void)self;
	lock();
	rc = strikes(FAULT_CHANGES) ? code_of(SQLITE_IOERR_DELETE)
				    : vfs.real->xDelete(vfs.real, path, sync_folder);
	t = rc == SQLITE_OK ? find(path) : NULL;
	/* The record stays for whoever has the file open. */
	if (t) {
		t->base_len = 0;
		clean(t);
	}
	unlock();
	return rc;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the VFS interface */
static int last_error(sqlite3_vfs *self, int len, char *out)
{
	(void)self;
	(void)len;
	(void)out;
	return vfs.last_errno;
}

void fault_vfs_reset(void)
{
	lock();
	if (!vfs.real) {
		vfs.real = sqlite3_vfs_find(NULL);
		must(vfs.real != NULL);
		vfs.vfs = *vfs.real;
		vfs.vfs.zName = FAULT_VFS_NAME;
		vfs.vfs.pNext = NULL;
		vfs.vfs.szOsFile = (int)sizeof(struct fault_file) + vfs.real->szOsFile;
		vfs.vfs.xOpen = open_file;
		vfs.vfs.xDelete = delete_file;
		vfs.vfs.xGetLastError = last_error;
		must(sqlite3_vfs_register(&vfs.vfs, 0) == SQLITE_OK);
	}
	for (size_t i = 0; i < FILES_MAX; i++)
		forget(&vfs.files[i]);
	unlock();
	fault_vfs_clear();
}

void fault_vfs_plan(const struct fault_plan *plan)
{
	lock();
	vfs.plan = *plan;
	vfs.calls = 0;
	vfs.struck = false;
	unlock();
}

void fault_vfs_clear(void)
{
	lock();
	/* The count goes on, for whoever asks afterwards. */
	vfs.plan = (struct fault_plan){ .nth = UINT64_MAX };
	vfs.quota_bytes = 0;
	vfs.ballast[0] = '\0';
	unlock();
}

void fault_vfs_quota(uint64_t bytes, const char *ballast)
{
	lock();
	vfs.quota_bytes = bytes;
	(void)snprintf(vfs.ballast, sizeof(vfs.ballast), "%s", ballast ? ballast : "");
	unlock();
}

uint64_t fault_vfs_calls(void)
{
	uint64_t calls;

	lock();
	calls = vfs.calls;
	unlock();
	return calls;
}

bool fault_vfs_struck(void)
{
	bool struck;

	lock();
	struck = vfs.struck;
	unlock();
	return struck;
}
