/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"
#include "conf/conf.h"
#include "identity/vault.h"

/* The part of `check` that goes on the network. */
struct check_live_options {
	struct cli_context *ctx;
	struct conf *conf;
	struct identity_vault *vault; /* NULL: none */
	const char *what;             /* mailbox, connector, sender, or "all" */
	const char *to;               /* NULL: none */
	const char *report;           /* NULL: none */
	bool send;
};
/* An exit code of sysexits.h. */
int check_live(const struct check_live_options *options);
