/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "cli/cli.h"
#include "conf/conf.h"
#include "domain/look.h"

/* `postern domain check`: options and questions (domain_check.c), what is printed (domain_print.c). */
enum {
	DOMAIN_NAMES_MAX = 5000,
};

struct domain_options {
	struct cli_context *ctx;
	bool all, brief, verbose;
	struct sv selectors[DOMAIN_SELECTORS_MAX];
	size_t selector_count;
	struct sv lists[DOMAIN_LISTS_MAX];
	size_t list_count;
	struct domain_address addresses[DOMAIN_ADDRESSES_MAX];
	size_t address_count;
	const char *dns;
};

struct domain_sum {
	size_t meets, fails, unknown;
};

void domain_print(const struct domain_options *o, const struct domain_report *r);
void domain_print_sum(const struct domain_options *o, const struct domain_sum *sum);
