/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"
#include "conf/conf.h"

/*
 * What `plan` and `simulate` take of a configuration.
 */

/* EX_CONFIG when it has errors, which have been told then. */
int cli_conf_load(const struct cli_context *ctx, struct conf **out);

enum {
	CLI_TENANTS_MAX = 64
};
/* Tenants as Microsoft counts: those with one id are one, however they are called here. */
struct cli_tenants {
	const struct conf_tenant *list[CLI_TENANTS_MAX]; /* NULL: whoever has none */
	uint32_t count;
};
/* Adds it where it is new. EX_CONFIG when there are too many, which has been told then. */
int cli_tenant_number(struct cli_tenants *all, const struct conf_tenant *t, uint32_t *out);
