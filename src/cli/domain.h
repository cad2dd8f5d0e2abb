/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"

/* One action of `postern domain` each; argv[0] is its name. */
int cli_domain_check(struct cli_context *ctx, int argc, char **argv);
int cli_domain_plan(struct cli_context *ctx, int argc, char **argv);
int cli_domain_verify(struct cli_context *ctx, int argc, char **argv);
