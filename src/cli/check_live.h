/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"
#include "conf/conf.h"
#include "identity/vault.h"

#include <stdio.h>

/* The part of `check` that goes on the network. */
struct check_live_options {
	struct cli_context *ctx;
	struct conf *conf;
	struct identity_vault *vault; /* NULL: none */
	const char *what;             /* mailbox, connector, sender, or "all" */
	const char *to;               /* NULL: none */
	const char *report;           /* NULL: none */
	FILE *report_file;            /* of it, open; check_live() closes it */
	bool send;
	bool verbose; /* what is said, too */
};
/* Before the rights of root are given up. An exit code. */
NODISCARD int check_live_open_report(struct check_live_options *options);
/* An exit code of sysexits.h. */
int check_live(const struct check_live_options *options);
