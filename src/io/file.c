/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"

#include "base/must.h"
#include "io/confine.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
	READ_STEP = 16384
};

static int failed(struct err *err, int rc, const char *verb, const char *path)
{
	return err_set(err, rc, "cannot %s %s: %s", verb, path, io_confine_rc_text(rc, path));
}

int io_file_read(const char *path, size_t max, struct buf *out, struct err *err)
{
	CLEANUP(io_closep) int fd = io_fs_open(path, O_RDONLY);
	CLEANUP(buf_deinitp) struct buf bytes = BUF_INIT(max + 1);

	if (fd < 0)
		return failed(err, fd, "open", path);
	for (;;) {
		size_t step = buf_room(&bytes) < READ_STEP ? buf_room(&bytes) : READ_STEP;
		ssize_t n;

		if (step == 0)
			return err_set(err, RC_LIMIT, "%s is larger than %zu bytes", path, max);
		must(buf_reserve(&bytes, step) == 0);
		n = io_fs_read(fd, buf_tail(&bytes), step);
		if (n == 0)
			break;
		if (n < 0)
			return failed(err, (int)n, "read", path);
		buf_grew(&bytes, (size_t)n);
	}
	if (bytes.len > max || buf_append(out, buf_sv(&bytes)) != 0)
		return err_set(err, RC_LIMIT, "%s is larger than %zu bytes", path, max);
	return 0;
}

static int folder_of(const char *path, char out_folder[PATH_MAX], struct err *err)
{
	char copy[PATH_MAX];
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(copy))
		return err_set(err, -ENAMETOOLONG, "path '%.80s' is too long or empty", path);
	memcpy(copy, path, len + 1);
	(void)snprintf(out_folder, PATH_MAX, "%s", dirname(copy));
	return 0;
}

int io_folder_sync(const char *path, struct err *err)
{
	CLEANUP(io_closep) int fd = io_fs_open(path, O_RDONLY | O_DIRECTORY);
	int rc;

	if (fd < 0)
		return failed(err, fd, "open", path);
	rc = io_fs_sync(fd);
	return rc == 0 ? 0 : failed(err, rc, "sync", path);
}

struct rights {
	unsigned mode;
	uid_t uid; /* -1: as it is */
	gid_t gid;
};

static int fill(int fd, struct sv bytes, const struct rights *rights)
{
	/* The owner first: it takes bits of the mode away. */
	int rc = io_fs_give(fd, rights->uid, rights->gid);

	if (rc == 0)
		rc = io_fs_chmod_open(fd, rights->mode);
	if (rc == 0)
		rc = io_write_all(fd, bytes);
	return rc == 0 ? io_fs_sync(fd) : rc;
}

static int fill_durably(
	char *temporary, struct sv bytes, const struct rights *rights, struct err *err)
{
	CLEANUP(io_closep) int fd = io_fs_create_temporary(temporary);
	int rc;

	if (fd < 0)
		return failed(err, fd, "create", temporary);
	rc = fill(fd, bytes, rights);
	if (rc == 0)
		return 0;
	rc = failed(err, rc, "write", temporary);
	(void)io_fs_unlink(temporary);
	return rc;
}

static int write_durably(
	const char *path, struct sv bytes, const struct rights *rights, struct err *err)
{
	char folder[PATH_MAX], temporary[PATH_MAX];
	int rc = folder_of(path, folder, err);
	int n;

	if (rc != 0)
		return rc;
	n = snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
	if (n < 0 || (size_t)n >= sizeof(temporary))
		return err_set(err, -ENAMETOOLONG, "path '%.80s' is too long", path);
	rc = fill_durably(temporary, bytes, rights, err);
	if (rc != 0)
		return rc;
	rc = io_fs_rename(temporary, path);
	if (rc != 0) {
		rc = failed(err, rc, "write", path);
		(void)io_fs_unlink(temporary);
		return rc;
	}
	return io_folder_sync(folder, err);
}

int io_file_write_durably(const char *path, struct sv bytes, unsigned mode, struct err *err)
{
	const struct rights rights = { mode, (uid_t)-1, (gid_t)-1 };

	return write_durably(path, bytes, &rights, err);
}

int io_file_replace_durably(
	const char *path, struct sv bytes, unsigned mode, gid_t gid, struct err *err)
{
	struct rights rights = { mode, (uid_t)-1, gid };
	struct stat st;

	if (io_fs_stat(path, &st) == 0)
		rights = (struct rights){ st.st_mode & 07777, st.st_uid, st.st_gid };
	return write_durably(path, bytes, &rights, err);
}

static int make_one(const char *path, unsigned mode, struct err *err)
{
	int rc = io_fs_make_folder(path, mode);
	struct stat st;

	if (rc == -EEXIST && io_fs_stat(path, &st) == 0)
		rc = S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	return rc == 0 ? 0 : failed(err, rc, "make folder", path);
}

int io_folder_make(const char *path, unsigned mode, struct err *err)
{
	char part[PATH_MAX];
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(part))
		return err_set(err, -ENAMETOOLONG, "path '%.80s' is too long or empty", path);
	memcpy(part, path, len + 1);
	for (size_t i = 1; i < len; i++) {
		int rc;

		if (part[i] != '/')
			continue;
		part[i] = '\0';
		rc = make_one(part, mode, err);
		if (rc != 0)
			return rc;
		part[i] = '/';
	}
	return make_one(part, mode, err);
}
