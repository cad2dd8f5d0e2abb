/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/domain.h"

#include "base/guess.h"
#include "base/must.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"usage: postern domain check DOMAIN... | --all [OPTION...]\n"
	"       postern domain plan DOMAIN... | --all [OPTION...]\n"
	"       postern domain verify [OPTION...] MESSAGE.eml | -\n\n"
	"What a domain publishes about its mail, and what that is worth.\n\n"
	"  check   SPF, DKIM, DMARC and more of a domain: who takes bulk mail from it\n"
	"  plan    what its records should become, beside what they are\n"
	"  verify  SPF, DKIM, ARC and DMARC of a received message: why it passed or failed\n\n"
	"`postern domain ACTION --help` tells the rest.\n\n"
	"examples:\n"
	"  postern domain check contoso.com\n"
	"  postern domain verify message.eml\n";

static const struct {
	const char *name;
	int (*run)(struct cli_context *ctx, int argc, char **argv);
} actions[] = {
	{ "check", cli_domain_check },
	{ "plan", cli_domain_plan },
	{ "verify", cli_domain_verify },
};

static int no_such_action(const char *name)
{
	struct guess g = { .name = sv_from(name) };

	for (size_t i = 0; i < COUNT_OF(actions); i++)
		guess_try(&g, sv_from(actions[i].name));
	if (g.best.len)
		return cli_fail(EX_USAGE,
			"domain: no such action: %s; did you mean %.*s?",
			name,
			SV_ARG(g.best));
	return cli_fail(EX_USAGE, "domain: no such action: %s (try --help)", name);
}

int cli_domain(struct cli_context *ctx, int argc, char **argv)
{
	const char *value = NULL;
	int seen;

	for (size_t i = 0; argc > 1 && i < COUNT_OF(actions); i++)
		if (strcmp(argv[1], actions[i].name) == 0)
			return actions[i].run(ctx, argc - 1, argv + 1);
	seen = cli_option(ctx, argc, argv, NULL, help, &value);
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	if (optind < argc)
		return no_such_action(argv[optind]);
	(void)fputs(help, stderr);
	return EX_USAGE;
}
