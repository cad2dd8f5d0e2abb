/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"
#include "setup/import.h"

#include <limits.h>

/*
 * import.c        the command: what is read
 * import_write.c  postern.yaml, the files of the secrets, the vault
 * import_queue.c  mail that waits in Postfix's queue
 */
struct import {
	struct cli_context *ctx;
	const char *kind_name;
	const char *output, *sender;
	char path[PATH_MAX], base[PATH_MAX]; /* of what is read, and its folder */
	char folder[PATH_MAX];               /* of what is written */
	struct sv plain;
	struct setup_import read;
};

/* All of it or, when a name is taken, nothing. Returns an exit code. */
NODISCARD int import_write(struct import *im);

/* `postern import postfix-queue`. Returns an exit code. */
NODISCARD int import_queue(struct cli_context *ctx, const char *folder);
/* How many messages wait in that queue; 0 too when it cannot be read. */
size_t import_queue_count(const char *folder);
