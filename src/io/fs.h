/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>

/*
 * The file system, call by call: what the modules of the daemon want of it, and no more. Flags and types are those
 * of the manual (open(2), stat(2), flock(2)). What is the same everywhere: a failure is the result, a negative errno;
 * EINTR is none; reads and writes go on until all is done; descriptors are closed on exec, and are the caller's.
 *
 * Whole files and folders, with errors that name the path, are in io/file.h.
 */

void io_closep(int *fd); /* for CLEANUP(); keeps errno */

/* ---- descriptors ---- */

/* The descriptor. */
NODISCARD int io_fs_open(const char *path, int flags);
NODISCARD int io_fs_create(const char *path, int flags, unsigned mode); /* with O_CREAT */
/* A new file, 0600, whose name ends in XXXXXX until now. */
NODISCARD int io_fs_create_temporary(char *path);
/* What is there, at most `max` bytes, where the descriptor stands; 0 at the end. */
NODISCARD ssize_t io_fs_read(int fd, void *out, size_t max);
/* How many bytes are in `out`: fewer than `max` only at the end of the file. */
NODISCARD ssize_t io_fs_read_at(int fd, uint64_t at, void *out, size_t max);
/* All of it, or a failure; how much of it is in the file then, nobody knows. */
NODISCARD int io_fs_write_at(int fd, uint64_t at, struct sv bytes);
/* The same where a descriptor stands; it is one that blocks. */
NODISCARD int io_write_all(int fd, struct sv bytes);
NODISCARD int io_fs_truncate(int fd, uint64_t size);
/* Has the disk give `size` bytes to the file. */
NODISCARD int io_fs_allocate(int fd, uint64_t size);
NODISCARD int io_fs_sync(int fd);
NODISCARD int io_fs_sync_data(int fd); /* and of what is known of the file, its size only */
/* LOCK_SH, LOCK_EX; with LOCK_NB -EWOULDBLOCK when another has it. The lock goes with the descriptor. */
NODISCARD int io_fs_lock(int fd, int how);
/* -1: as it is. Who is not root gives only the group, if he may: that he may not is no failure. */
NODISCARD int io_fs_give(int fd, uid_t uid, gid_t gid);
/* Root writes for the owner of the folder, and gives him the file; who is not root, nothing. */
NODISCARD int io_fs_give_to_owner_of(const char *folder, int fd);
NODISCARD int io_fs_chmod_open(int fd, unsigned mode);

/* ---- what is there ---- */

NODISCARD int io_fs_stat(const char *path, struct stat *out_st);
NODISCARD int io_fs_stat_link(
	const char *path, struct stat *out_st); /* of a link, not of where it leads */
NODISCARD int io_fs_stat_open(int fd, struct stat *out_st);
/* One and the same file, while both exist: its number is given again after that. */
static inline bool io_fs_is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}
/* `path` still leads to the file that is open. */
NODISCARD bool io_fs_is_at(int fd, const char *path);
/* False also when nobody can say. */
NODISCARD bool io_fs_exists(const char *path);
NODISCARD bool io_fs_is_readable(const char *path); /* for us */

/* ---- names ---- */

NODISCARD int io_fs_rename(const char *from, const char *to);
NODISCARD int io_fs_link(const char *from, const char *to); /* a second name; -EEXIST */
int io_fs_unlink(const char *path);
NODISCARD int io_fs_make_folder(const char *path, unsigned mode); /* one; -EEXIST */
NODISCARD int io_fs_remove_folder(const char *path);
NODISCARD int io_fs_chmod(const char *path, unsigned mode);
NODISCARD int io_fs_give_to_group(const char *path, gid_t group);

/* ---- folders ---- */

struct io_fs_list;
NODISCARD int io_fs_list_open(const char *path, struct io_fs_list **out_list);
/* The next name, in no order and valid until the next call; NULL after the last. "." and ".." are none. */
NODISCARD int io_fs_list_next(struct io_fs_list *l, const char **out_name);
void io_fs_list_close(struct io_fs_list *l); /* NULL is allowed */
static inline void io_fs_list_closep(struct io_fs_list **l)
{
	io_fs_list_close(*l);
}

/* ---- disks ---- */

/* Free bytes for us on the file system of `path`. */
NODISCARD int io_disk_free(const char *path, uint64_t *out_bytes);
/* True for NFS, CIFS, FUSE and the like: no place for a queue. */
NODISCARD bool io_disk_is_network(const char *path);
/* Mounted so, or become so by a fault. */
NODISCARD bool io_disk_is_read_only(const char *path);
