/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "inbound/inbound_priv.h"
#include "io/folder_watch.h"
#include "io/fs.h"
#include "mail/drop_format.h"

#include <limits.h>

enum {
	STALE_TMP_S = 86400,
	STALE_BAD_S = 30 * 86400, /* time enough for a person */
	DROP_BATCH = 4096,        /* names of one reading of the folder */
	DROP_RUNNING = 16, /* files under way: they share a sync of the folder, and a commit */
};
#define DROP_TMP_PREFIX_SV SV(DROP_TMP_PREFIX)
#define DROP_BAD_PREFIX "bad." /* set aside for a person; never taken */

struct drop {
	struct inbound *in;
	char path[PATH_MAX / 2];
	struct io_folder_watch *watch;
	struct io_timer timer;
	unsigned running;          /* files under way */
	struct drop_file *renamed; /* a chain: their names are to be synced, all at once */
	struct io_task sync, next;
	struct io_fs_list *list; /* being read, by `scan` */
	struct io_task scan;
	char *batch[DROP_BATCH]; /* names on the heap, by time */
	size_t batch_count, batch_at;
	size_t batch_max;         /* DROP_BATCH; tests take less */
	bool more_behind;         /* names that the batch does not hold */
	bool arrived;             /* a file came since the folder was read */
	unsigned troubles;        /* scans in a row that met one */
	bool from_first;          /* the next scan is of all names again */
	bool trouble;             /* something passing was in the way: the next scan comes soon */
	char after[NAME_MAX + 1]; /* the scan goes on behind this name */
	bool closing;
};

bool drop_is_older(const struct stat *st, int64_t seconds); /* since it got its name */
void drop_free(struct drop *d);
/* Takes one file; calls drop_done() when it is done with it. `name` is what it is called by then. */
void drop_done(struct drop *d, const char *name);
/* Syncs the names of d->renamed, whose files then go on. */
void drop_files_renamed(void *arg);
void drop_file_begin(struct drop *d, const char *name, uint64_t id);
/* A passing trouble, which is no fault of a file: says so, and has the folder looked at again soon. */
void drop_trouble(struct drop *d, int rc, const char *what);
