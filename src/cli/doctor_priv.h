/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"
#include "conf/conf.h"

#include <limits.h>
#include <sys/types.h>

/*
 * `postern doctor`:
 *   doctor.c        the command, and what it says
 *   doctor_files.c  folders and rights, the maildrop
 *   doctor_queue.c  the queue, page by page
 *   doctor_vault.c  the vault
 */
enum doctor_level {
	DOCTOR_OK,
	DOCTOR_NOTE,
	DOCTOR_FAULT,
	DOCTOR_REPAIRED,
	DOCTOR_LEVEL_COUNT,
};

struct doctor {
	struct cli_context *ctx;
	struct conf *conf;
	bool repair, running;
	unsigned count[DOCTOR_LEVEL_COUNT];
	bool stop_first; /* --repair has to wait for the end of the daemon */
};

/* A line about one part: "queue", "vault", "maildrop", "files". `step` is what to do; NULL: nothing. */
void doctor_say(struct doctor *d, enum doctor_level level, const char *part, const char *step,
	const char *fmt, ...) PRINTF_LIKE(5, 6);

void doctor_files(struct doctor *d);
void doctor_maildrop(struct doctor *d);
void doctor_queue(struct doctor *d);
void doctor_vault(struct doctor *d);
