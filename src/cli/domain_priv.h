/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "cli/cli.h"
#include "conf/conf.h"
#include "domain/look.h"

/* `postern domain check`: options and questions (domain_check.c), what is printed (domain_print.c). */
struct domain_options {
	struct cli_context *ctx;
	bool all, brief, verbose;
	const char *dns;
};

struct domain_sum {
	size_t meets, fails, unknown;
};

void domain_print(const struct domain_options *o, const struct domain_report *r);
void domain_print_sum(const struct domain_options *o, const struct domain_sum *sum);
