/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"
#include "domain/plan.h"

/* `postern domain plan`: options and the run (domain_plan.c), what is printed (domain_plan_print.c). */
enum domain_format {
	DOMAIN_FORMAT_DIFF,
	DOMAIN_FORMAT_ZONE,
	DOMAIN_FORMAT_PASTE,
};
struct domain_plan_options {
	struct cli_context *ctx;
	enum domain_format format;
};

void domain_plan_print(const struct domain_plan_options *o, const struct domain_plan *p);
