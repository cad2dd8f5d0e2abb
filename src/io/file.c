/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"

#include "base/must.h"
#include "io/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
	READ_STEP = 16384
};

void io_closep(int *fd)
{
	int keep = errno;

	/* After EINTR the descriptor is gone on Linux, so it is never closed twice. */
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = keep;
}

static int failed(struct err *err, const char *verb, const char *path)
{
	int code = errno ? -errno : -EIO;

	return err_set(err, code, "cannot %s %s: %s", verb, path, io_confine_rc_text(code, path));
}

int io_file_read(const char *path, size_t max, struct buf *out, struct err *err)
{
	CLEANUP(io_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP(buf_deinitp) struct buf bytes = BUF_INIT(max + 1);

	if (fd < 0)
		return failed(err, "open", path);
	for (;;) {
		size_t step = buf_room(&bytes) < READ_STEP ? buf_room(&bytes) : READ_STEP;
		ssize_t n;

		if (step == 0)
			return err_set(err, RC_LIMIT, "%s is larger than %zu bytes", path, max);
		must(buf_reserve(&bytes, step) == 0);
		n = read(fd, buf_tail(&bytes), step);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return failed(err, "read", path);
		if (n > 0)
			buf_grew(&bytes, (size_t)n);
	}
	if (bytes.len > max || buf_append(out, buf_sv(&bytes)) != 0)
		return err_set(err, RC_LIMIT, "%s is larger than %zu bytes", path, max);
	return 0;
}

int io_write_all(int fd, struct sv bytes)
{
	while (bytes.len) {
		ssize_t n = write(fd, bytes.ptr, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n == 0 ? EIO : errno;
			return -errno;
		}
		bytes = sv_skip(bytes, (size_t)n);
	}
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
	CLEANUP(io_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return failed(err, "open", path);
	if (fsync(fd) != 0)
		return failed(err, "sync", path);
	return 0;
}

struct rights {
	unsigned mode;
	uid_t uid; /* -1: as it is */
	gid_t gid;
};

static int fill_durably(
	char *temporary, struct sv bytes, const struct rights *rights, struct err *err)
{
	CLEANUP(io_closep) int fd = mkostemp(temporary, O_CLOEXEC);

	if (fd < 0)
		return failed(err, "create", temporary);
	/* The owner first: it takes bits of the mode away. Who is not root gives what he may. */
	if ((fchown(fd, rights->uid, rights->gid) != 0 && geteuid() == 0) ||
		fchmod(fd, rights->mode) != 0 || io_write_all(fd, bytes) != 0 || fsync(fd) != 0) {
		int rc = failed(err, "write", temporary);

		(void)unlink(temporary);
		return rc;
	}
	return 0;
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
	if (rename(temporary, path) != 0) {
		rc = failed(err, "write", path);
		(void)unlink(temporary);
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

	if (stat(path, &st) == 0)
		rights = (struct rights){
			st.st_mode & 07777, geteuid() == 0 ? st.st_uid : (uid_t)-1, st.st_gid
		};
	return write_durably(path, bytes, &rights, err);
}

static int make_one(const char *path, unsigned mode, struct err *err)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno == EEXIST && stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return 0;
		errno = ENOTDIR;
	}
	return failed(err, "make folder", path);
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

int io_disk_free(const char *path, uint64_t *out_bytes, struct err *err)
{
	struct statvfs st;

	if (statvfs(path, &st) != 0)
		return failed(err, "measure the disk of", path);
	/* f_bavail: without the blocks that are kept for root. */
	*out_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

bool io_disk_is_network(const char *path)
{
	/* From statfs(2) and linux/magic.h; the newer ones are missing in older headers. FUSE may be
	 * local (ntfs-3g), but nothing says so, and its fsync is whatever its author thought. */
	static const uint32_t magics[] = {
		0x6969,     /* NFS */
		0x517b,     /* SMB */
		0xff534d42, /* CIFS */
		0xfe534d42, /* SMB2 */
		0x65735546, /* FUSE: sshfs, s3fs, GlusterFS */
		0x01021997, /* 9p */
		0x00c36400, /* CEPH */
		0x5346414f, /* AFS (OpenAFS, kAFS) */
		0x6b414653, /* AFS (Linux's own) */
		0x73757245, /* CODA */
		0x564c,     /* NCP */
		0x01161970, /* GFS2 */
		0x7461636f, /* OCFS2 */
		0x0bd00bd0, /* Lustre */
		0x19830326, /* BeeGFS */
		0x47504653, /* GPFS */
	};
	struct statfs st;

	if (statfs(path, &st) != 0)
		return false;
	for (size_t i = 0; i < COUNT_OF(magics); i++)
		if ((uint32_t)st.f_type == magics[i])
			return true;
	return false;
}
