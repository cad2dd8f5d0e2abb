/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/sv.h"

#include <stdint.h>
#include <sys/types.h>

/* Files and folders, with errors that name the path. */

void io_closep(int *fd); /* for CLEANUP() */

/* To a blocking descriptor, until all is written; a negative error and errno. */
NODISCARD int io_write_all(int fd, struct sv bytes);
/* The whole file, at most `max` bytes. */
NODISCARD int io_file_read(const char *path, size_t max, struct buf *out, struct err *err);
/* Write to a temporary name, fsync, rename, fsync of the folder. */
NODISCARD int io_file_write_durably(
	const char *path, struct sv bytes, unsigned mode, struct err *err);
/*
 * The same with the rights of the file that is replaced; a new one gets `mode`, and belongs to `gid` when that
 * is not -1 and we may give it away.
 */
NODISCARD int io_file_replace_durably(
	const char *path, struct sv bytes, unsigned mode, gid_t gid, struct err *err);
NODISCARD int io_folder_make(const char *path, unsigned mode, struct err *err); /* parents too */
NODISCARD int io_folder_sync(const char *path, struct err *err);
/* Free bytes for us on the file system of `path`. */
NODISCARD int io_disk_free(const char *path, uint64_t *out_bytes, struct err *err);
/* True for NFS, CIFS, FUSE and the like: no place for a queue. */
NODISCARD bool io_disk_is_network(const char *path);
