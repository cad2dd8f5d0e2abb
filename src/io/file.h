/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/sv.h"
#include "io/fs.h"

#include <stdint.h>
#include <sys/types.h>

/* Whole files and folders, with errors that name the path. Single calls are in io/fs.h. */

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
