/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/vault_priv.h"
#include "io/file.h"
#include "io/loop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	KEPT_MAX = 1000
};

int vault_file_failed(const char *what, const char *path, struct err *err)
{
	int rc = errno ? -errno : -EIO;

	return err_set(err, rc, "cannot %s %.150s: %s", what, path, rc_text(rc));
}

static int too_long(struct err *err)
{
	return err_set(err, -ENAMETOOLONG, "data_dir is too long");
}

static int path_in(const struct identity_vault *v, const char *name, char out[PATH_MAX])
{
	int n = snprintf(out, PATH_MAX, "%s/%s", v->folder, name);

	return n > 0 && n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* The owner of the folder owns what is in it: root may write for the daemon. Before anybody sees the file. */
static int give_to_folder(const struct identity_vault *v, int fd)
{
	struct stat st;

	if (geteuid() != 0 || stat(v->folder, &st) != 0)
		return 0;
	return fchown(fd, st.st_uid, st.st_gid);
}

int vault_file_make_folder(const struct identity_vault *v, struct err *err)
{
	return io_folder_make(v->folder, 0700, err);
}

/* ---- the lock ---- */

/* With its owner from the first moment: a lock that root made and the daemon cannot open would shut it out. */
static int make_lock(const struct identity_vault *v)
{
	CLEANUP(io_closep) int fd = -1;
	char temporary[PATH_MAX];
	int rc = path_in(v, "vault.lock.XXXXXX", temporary);

	if (rc != 0)
		return rc;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (give_to_folder(v, fd) != 0 || (link(temporary, v->lock_path) != 0 && errno != EEXIST))
		rc = -errno;
	(void)unlink(temporary);
	return rc;
}

/* Whether the path still names the file that was locked: somebody may have deleted it meanwhile. */
static bool is_still(int fd, const char *path)
{
	struct stat mine, named;

	return fstat(fd, &mine) == 0 && stat(path, &named) == 0 && mine.st_dev == named.st_dev &&
	       mine.st_ino == named.st_ino;
}

int vault_file_lock(struct identity_vault *v, int how, int *out_fd, struct err *err)
{
	for (;;) {
		int fd = open(v->lock_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW), rc = 0;

		if (fd < 0 && errno == ENOENT) {
			rc = make_lock(v);
			/* ENOENT: somebody has swept our temporary file away, or there is no folder. */
			if (rc == 0 || (rc == -ENOENT && access(v->folder, F_OK) == 0))
				continue;
			errno = -rc;
		}
		if (fd < 0)
			return vault_file_failed("lock", v->path, err);
		while (rc == 0 && flock(fd, how) != 0)
			if (errno != EINTR)
				rc = vault_file_failed("lock", v->path, err);
		if (rc == 0 && is_still(fd, v->lock_path)) {
			*out_fd = fd;
			return 0;
		}
		io_closep(&fd);
		if (rc != 0)
			return rc;
	}
}

/* ---- rewriting ---- */

/*
 * "vault.new", and "vault.lock.XXXXXX" as mkostemp(3) makes it. No wider: `vault.backup` is an administrator's.
 */
static bool is_temporary(struct sv name)
{
	return sv_eq(name, SV("vault.new")) ||
	       (sv_starts(name, SV("vault.lock.")) && name.len == 11 + 6);
}

void vault_file_sweep(const struct identity_vault *v)
{
	DIR *folder = opendir(v->folder);
	const struct dirent *entry;
	char path[PATH_MAX];

	if (!folder)
		return;
	while ((entry = readdir(folder)) != NULL)
		if (is_temporary(sv_from(entry->d_name)) && path_in(v, entry->d_name, path) == 0)
			(void)unlink(path);
	(void)closedir(folder);
}

static int write_all(int fd, struct sv bytes, off_t at)
{
	while (bytes.len) {
		ssize_t n = pwrite(fd, bytes.ptr, bytes.len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n == 0 ? EIO : errno;
			return -1;
		}
		at += n;
		bytes = sv_skip(bytes, (size_t)n);
	}
	return 0;
}

static int write_new(const struct identity_vault *v, const char *path, struct sv bytes)
{
	CLEANUP(io_closep)
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	return give_to_folder(v, fd) != 0 || write_all(fd, bytes, 0) != 0 || fsync(fd) != 0 ? -1
											    : 0;
}

/* A second name for what is there, which nothing takes away. */
static int keep_copy(const struct identity_vault *v, char out_kept[PATH_MAX], struct err *err)
{
	char at[WALL_RFC3339_MAX], name[64];

	(void)wall_rfc3339(io_clock_wall(), at);
	for (int i = 0; i < KEPT_MAX; i++) {
		(void)snprintf(name, sizeof(name), "vault.damaged-%.10s-%d", at, i + 1);
		if (path_in(v, name, out_kept) != 0)
			return too_long(err);
		if (link(v->path, out_kept) == 0)
			return 0;
		if (errno != EEXIST)
			break;
	}
	return vault_file_failed("keep a copy of", v->path, err);
}

int vault_file_replace(struct identity_vault *v, struct sv bytes, enum vault_keep keep,
	char out_kept[PATH_MAX], struct err *err)
{
	char path[PATH_MAX];
	bool exists = access(v->path, F_OK) == 0;
	int rc;

	if (path_in(v, "vault.new", path) != 0)
		return too_long(err);
	vault_file_sweep(v);
	if (keep == VAULT_KEEP_DAMAGED && exists) {
		rc = keep_copy(v, out_kept, err);
		if (rc != 0)
			return rc;
	}
	if (write_new(v, path, bytes) != 0) {
		rc = vault_file_failed("write", path, err);
		(void)unlink(path);
		return rc;
	}
	/* Two names of one file for a moment. Where the file system has no links, there is no vault.1. */
	if (exists && (unlink(v->before_path) == 0 || errno == ENOENT) &&
		keep != VAULT_KEEP_NOTHING)
		(void)!link(v->path, v->before_path);
	if (rename(path, v->path) != 0) {
		rc = vault_file_failed("write", v->path, err);
		(void)unlink(path);
		return rc;
	}
	return io_folder_sync(v->folder, err);
}

/* ---- appending ---- */

int vault_file_append(struct identity_vault *v, struct sv record, struct err *err)
{
	CLEANUP(io_closep) int fd = open(v->path, O_RDWR | O_CLOEXEC);
	off_t at = (off_t)v->at.read_bytes;
	struct stat st;
	int rc;

	if (fd < 0 || fstat(fd, &st) != 0)
		return vault_file_failed("write", v->path, err);
	/* We hold the lock, so this is somebody who does not know of it. */
	if ((uint64_t)st.st_size != v->at.seen_bytes)
		return err_set(err, RC_STATE, "%.150s was changed by another program", v->path);
	/* Only the beginning of a record that was never promised goes: everything else was read or skipped. */
	if (v->at.seen_bytes > v->at.read_bytes && ftruncate(fd, at) != 0)
		return vault_file_failed("write", v->path, err);
	v->at.seen_bytes = v->at.read_bytes;
	if (write_all(fd, record, at) == 0 && fdatasync(fd) == 0) {
		v->at.seen_bytes += record.len;
		return 0;
	}
	rc = vault_file_failed("write", v->path, err);
	/* Whatever of it is there is the end of the file, and a record that nobody was promised. */
	(void)!ftruncate(fd, at);
	vault_map_forget(v);
	return rc;
}
