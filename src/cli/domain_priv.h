/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "cli/cli.h"
#include "conf/conf.h"
#include "domain/look.h"
#include "domain/set.h"

/* What actions that look at domains have in common (domain_ask.c). Each returns an exit code, after a message. */

/* Without a configuration a domain can be looked at, too: then NULL, unless it is `needed`, or was named. */
int domain_load_conf(struct cli_context *ctx, bool needed, struct conf **out_conf);
/* The operands of the command line. */
int domain_add_named(struct domain_set *s, int argc, char **argv);
/* Runs `run` for each of `count`, until all are done. `dns`: another name server; NULL: those of the machine. */
int domain_ask(
	const struct conf *conf, const char *dns, size_t count, domain_run_fn *run, void *arg);

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
