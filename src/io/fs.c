/* SPDX-License-Identifier: Apache-2.0 */
#include "io/fs.h"

#include "base/must.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Of a call that says -1 and errno. */
static int result(int rc)
{
	if (rc >= 0)
		return rc;
	return errno ? -errno : -EIO;
}

void io_closep(int *fd)
{
	int keep = errno;

	/* After EINTR the descriptor is gone on Linux, so it is never closed twice. */
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = keep;
}

/* ---- descriptors ---- */

/* Opening waits where somebody has a lease, and on file systems that go over a network. */
static int open_file(const char *path, int flags, unsigned mode)
{
	return result((int)TEMP_FAILURE_RETRY(open(path, flags | O_CLOEXEC, mode)));
}

int io_fs_open(const char *path, int flags)
{
	must((flags & O_CREAT) == 0);
	return open_file(path, flags, 0);
}

int io_fs_create(const char *path, int flags, unsigned mode)
{
	return open_file(path, flags | O_CREAT, mode);
}

int io_fs_create_temporary(char *path)
{
	return result(mkostemp(path, O_CLOEXEC));
}

ssize_t io_fs_read(int fd, void *out, size_t max)
{
	ssize_t n = TEMP_FAILURE_RETRY(read(fd, out, max));

	return n < 0 ? result(-1) : n;
}

ssize_t io_fs_read_at(int fd, uint64_t at, void *out, size_t max)
{
	size_t len = 0;

	while (len < max) {
		ssize_t n = pread(fd, (char *)out + len, max - len, (off_t)(at + len));

		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return result(-1);
		if (n > 0)
			len += (size_t)n;
	}
	return (ssize_t)len;
}

/* How many bytes went, or what was wrong. */
static ssize_t went(ssize_t n)
{
	if (n > 0)
		return n;
	if (n == 0)
		return -EIO;
	return errno == EINTR ? 0 : result(-1);
}

int io_fs_write_at(int fd, uint64_t at, struct sv bytes)
{
	while (bytes.len) {
		ssize_t n = went(pwrite(fd, bytes.ptr, bytes.len, (off_t)at));

		if (n < 0)
			return (int)n;
		at += (uint64_t)n;
		bytes = sv_skip(bytes, (size_t)n);
	}
	return 0;
}

int io_write_all(int fd, struct sv bytes)
{
	while (bytes.len) {
		ssize_t n = went(write(fd, bytes.ptr, bytes.len));

		if (n < 0)
			return (int)n;
		bytes = sv_skip(bytes, (size_t)n);
	}
	return 0;
}

int io_fs_truncate(int fd, uint64_t size)
{
	return result((int)TEMP_FAILURE_RETRY(ftruncate(fd, (off_t)size)));
}

int io_fs_allocate(int fd, uint64_t size)
{
	int error;

	do
		error = posix_fallocate(fd, 0, (off_t)size);
	while (error == EINTR);
	return -error;
}

int io_fs_sync(int fd)
{
	return result((int)TEMP_FAILURE_RETRY(fsync(fd)));
}

int io_fs_sync_data(int fd)
{
	return result((int)TEMP_FAILURE_RETRY(fdatasync(fd)));
}

int io_fs_lock(int fd, int how)
{
	return result((int)TEMP_FAILURE_RETRY(flock(fd, how)));
}

int io_fs_give(int fd, uid_t uid, gid_t gid)
{
	bool is_root = geteuid() == 0;
	int rc = result(fchown(fd, is_root ? uid : (uid_t)-1, gid));

	return is_root ? rc : 0;
}

int io_fs_give_to_owner_of(const char *folder, int fd)
{
	struct stat st;

	if (geteuid() != 0 || stat(folder, &st) != 0)
		return 0;
	return result(fchown(fd, st.st_uid, st.st_gid));
}

int io_fs_chmod_open(int fd, unsigned mode)
{
	return result(fchmod(fd, mode));
}

/* ---- what is there ---- */

int io_fs_stat(const char *path, struct stat *out_st)
{
	return result(stat(path, out_st));
}

int io_fs_stat_link(const char *path, struct stat *out_st)
{
	return result(lstat(path, out_st));
}

int io_fs_stat_open(int fd, struct stat *out_st)
{
	return result(fstat(fd, out_st));
}

bool io_fs_is_at(int fd, const char *path)
{
	struct stat mine, named;

	return fstat(fd, &mine) == 0 && stat(path, &named) == 0 && io_fs_is_same(&mine, &named);
}

bool io_fs_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

bool io_fs_is_readable(const char *path)
{
	return access(path, R_OK) == 0;
}

/* ---- names ---- */

int io_fs_rename(const char *from, const char *to)
{
	return result(rename(from, to));
}

int io_fs_link(const char *from, const char *to)
{
	return result(link(from, to));
}

int io_fs_unlink(const char *path)
{
	return result(unlink(path));
}

int io_fs_make_folder(const char *path, unsigned mode)
{
	return result(mkdir(path, mode));
}

int io_fs_remove_folder(const char *path)
{
	return result(rmdir(path));
}

int io_fs_chmod(const char *path, unsigned mode)
{
	return result(chmod(path, mode));
}

int io_fs_give_to_group(const char *path, gid_t group)
{
	return result(chown(path, (uid_t)-1, group));
}

/* ---- folders ---- */

struct io_fs_list {
	DIR *stream;
};

int io_fs_list_open(const char *path, struct io_fs_list **out_list)
{
	DIR *stream = opendir(path);

	*out_list = NULL;
	if (!stream)
		return result(-1);
	*out_list = xmalloc(sizeof(**out_list));
	(*out_list)->stream = stream;
	return 0;
}

int io_fs_list_next(struct io_fs_list *l, const char **out_name)
{
	const struct dirent *e;

	do {
		errno = 0;
		e = readdir(l->stream);
	} while (e && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0));
	*out_name = e ? e->d_name : NULL;
	return e || errno == 0 ? 0 : -errno;
}

void io_fs_list_close(struct io_fs_list *l)
{
	if (!l)
		return;
	(void)closedir(l->stream);
	free(l);
}

/* ---- disks ---- */

int io_disk_free(const char *path, uint64_t *out_bytes)
{
	struct statvfs st;
	int rc = result(statvfs(path, &st));

	/* f_bavail: without the blocks that are kept for root. */
	if (rc == 0)
		*out_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	return rc;
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

bool io_disk_is_read_only(const char *path)
{
	struct statvfs st;

	return statvfs(path, &st) == 0 && st.f_flag & ST_RDONLY;
}
