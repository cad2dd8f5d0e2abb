/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "inbound/inbound_priv.h"
#include "mail/drop_format.h"

#include <limits.h>

enum {
	STALE_TMP_S = 86400
};
#define DROP_TMP_PREFIX_SV SV(DROP_TMP_PREFIX)
#define DROP_BAD_PREFIX "bad." /* set aside for a person; never taken */

struct drop {
	struct inbound *in;
	char path[PATH_MAX / 2];
	int notify_fd;
	struct io_watch *watch;
	struct io_timer timer;
	struct drop_file *file;   /* the one under way */
	char after[NAME_MAX + 1]; /* the scan goes on behind this name */
	bool closing;
};

void drop_next(struct drop *d);
void drop_free(struct drop *d);
/* Takes one file; calls drop_next() when it is done with it. */
void drop_file_begin(struct drop *d, const char *name, uint64_t id);
