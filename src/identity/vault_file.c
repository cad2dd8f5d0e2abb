/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/vault_priv.h"
#include "io/file.h"
#include "io/loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	KEPT_MAX = 1000
};

int vault_file_failed(int rc, const char *what, const char *path, struct err *err)
{
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
	fd = io_fs_create_temporary(temporary);
	if (fd < 0)
		return fd;
	rc = io_fs_give_to_owner_of(v->folder, fd);
	if (rc == 0)
		rc = io_fs_link(temporary, v->lock_path);
	(void)io_fs_unlink(temporary);
	return rc == -EEXIST ? 0 : rc;
}

int vault_file_lock(struct identity_vault *v, int how, int *out_fd, struct err *err)
{
	for (;;) {
		int fd = io_fs_open(v->lock_path, O_RDWR | O_NOFOLLOW);
		int rc = fd < 0 ? fd : io_fs_lock(fd, how);

		if (fd == -ENOENT) {
			rc = make_lock(v);
			/* ENOENT: somebody has swept our temporary file away, or there is no folder. */
			if (rc == 0 || (rc == -ENOENT && io_fs_exists(v->folder)))
				continue;
		}
		/* Somebody may have deleted it meanwhile. */
		if (rc == 0 && io_fs_is_at(fd, v->lock_path)) {
			*out_fd = fd;
			return 0;
		}
		io_closep(&fd);
		if (rc != 0)
			return vault_file_failed(rc, "lock", v->path, err);
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
	CLEANUP(io_fs_list_closep) struct io_fs_list *list = NULL;
	const char *name;
	char path[PATH_MAX];

	if (io_fs_list_open(v->folder, &list) != 0)
		return;
	while (io_fs_list_next(list, &name) == 0 && name)
		if (is_temporary(sv_from(name)) && path_in(v, name, path) == 0)
			(void)io_fs_unlink(path);
}

static int write_new(const struct identity_vault *v, const char *path, struct sv bytes)
{
	CLEANUP(io_closep) int fd = io_fs_create(path, O_WRONLY | O_EXCL | O_NOFOLLOW, 0600);
	/* The owner of the folder owns what is in it: root may write for the daemon. */
	int rc = fd < 0 ? fd : io_fs_give_to_owner_of(v->folder, fd);

	if (rc == 0)
		rc = io_fs_write_at(fd, 0, bytes);
	return rc == 0 ? io_fs_sync(fd) : rc;
}

/* A second name for what is there, which nothing takes away. */
static int keep_copy(const struct identity_vault *v, char out_kept[PATH_MAX], struct err *err)
{
	char at[WALL_RFC3339_MAX], name[64];
	int rc = 0;

	(void)wall_rfc3339(io_clock_wall(), at);
	for (int i = 0; i < KEPT_MAX; i++) {
		(void)snprintf(name, sizeof(name), "vault.damaged-%.10s-%d", at, i + 1);
		if (path_in(v, name, out_kept) != 0)
			return too_long(err);
		rc = io_fs_link(v->path, out_kept);
		if (rc == 0)
			return 0;
		if (rc != -EEXIST)
			break;
	}
	return vault_file_failed(rc, "keep a copy of", v->path, err);
}

/* Two names of one file for a moment. Where the file system has no links, there is no vault.1. */
static void keep_before(const struct identity_vault *v, enum vault_keep keep)
{
	int rc = io_fs_unlink(v->before_path);

	if ((rc == 0 || rc == -ENOENT) && keep != VAULT_KEEP_NOTHING)
		(void)!io_fs_link(v->path, v->before_path);
}

int vault_file_replace(struct identity_vault *v, struct sv bytes, enum vault_keep keep,
	char out_kept[PATH_MAX], struct err *err)
{
	char path[PATH_MAX];
	bool exists = io_fs_exists(v->path);
	int rc;

	if (path_in(v, "vault.new", path) != 0)
		return too_long(err);
	vault_file_sweep(v);
	if (keep == VAULT_KEEP_DAMAGED && exists) {
		rc = keep_copy(v, out_kept, err);
		if (rc != 0)
			return rc;
	}
	rc = write_new(v, path, bytes);
	if (rc != 0) {
		rc = vault_file_failed(rc, "write", path, err);
		(void)io_fs_unlink(path);
		return rc;
	}
	if (exists)
		keep_before(v, keep);
	rc = io_fs_rename(path, v->path);
	if (rc != 0) {
		rc = vault_file_failed(rc, "write", v->path, err);
		(void)io_fs_unlink(path);
		return rc;
	}
	return io_folder_sync(v->folder, err);
}

/* ---- appending ---- */

int vault_file_append(struct identity_vault *v, struct sv record, struct err *err)
{
	CLEANUP(io_closep) int fd = io_fs_open(v->path, O_RDWR);
	uint64_t at = v->at.read_bytes;
	struct stat st;
	int rc = fd < 0 ? fd : io_fs_stat_open(fd, &st);

	if (rc != 0)
		return vault_file_failed(rc, "write", v->path, err);
	/* We hold the lock, so this is somebody who does not know of it. */
	if ((uint64_t)st.st_size != v->at.seen_bytes)
		return err_set(err, RC_STATE, "%.150s was changed by another program", v->path);
	/* Only the beginning of a record that was never promised goes: everything else was read or skipped. */
	if (v->at.seen_bytes > v->at.read_bytes)
		rc = io_fs_truncate(fd, at);
	if (rc != 0)
		return vault_file_failed(rc, "write", v->path, err);
	v->at.seen_bytes = v->at.read_bytes;
	rc = io_fs_write_at(fd, at, record);
	if (rc == 0)
		rc = io_fs_sync_data(fd);
	if (rc == 0) {
		v->at.seen_bytes += record.len;
		return 0;
	}
	rc = vault_file_failed(rc, "write", v->path, err);
	/* Whatever of it is there is the end of the file, and a record that nobody was promised. */
	(void)!io_fs_truncate(fd, at);
	vault_map_forget(v);
	return rc;
}
