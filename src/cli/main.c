/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const struct {
	const char *name;
	int (*run)(struct cli_context *ctx, int argc, char **argv);
	const char *does;
} commands[] = {
	{ "init", cli_init, "a few questions, and a configuration is written" },
	{ "import", cli_import, "a configuration from Postfix, smtp2graph or msmtp" },
	{ "serve", cli_serve, "run the relay" },
	{ "check", cli_check, "check the configuration: all errors at once" },
	{ "status", cli_status, "one screen: what waits, what is parked and why" },
	{ "mailboxes",
		cli_mailboxes,
		"each mailbox against its limits; what holds it, what frees it" },
	{ "explain", cli_explain, "what a reply of a mail server means, and what to do" },
	{ "queue", cli_queue, "list, show, retry, hold, release, reroute, drop waiting mail" },
	{ "trace", cli_trace, "the story of messages, delivered ones too" },
	{ "user", cli_user, "add, list, remove inbound users" },
	{ "vault", cli_vault, "keep secrets sealed: put, list, remove" },
	{ "login", cli_login, "sign a person in for a mailbox: device code or browser" },
	{ "setup", cli_setup, "the administrator's script for Microsoft 365" },
	{ "reload", cli_reload, "make the running daemon read its configuration again" },
	{ "sandbox", cli_sandbox, "a Microsoft 365 on loopback to test against" },
	{ "demo", cli_demo, "relay + sandbox + a burst of mail in a scratch folder" },
};

static void print_help(FILE *to)
{
	(void)fprintf(
		to, "postern %s: the outbound mail relay for Microsoft 365\n\n", POSTERN_VERSION);
	(void)fprintf(to, "usage: postern COMMAND [OPTION...] [--config FILE] [--json]\n\n");
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		(void)fprintf(to, "  %-9s  %s\n", commands[i].name, commands[i].does);
	(void)fprintf(to,
		"\nexamples:\n"
		"  postern check                      is the configuration right?\n"
		"  postern status                     what is going on?\n"
		"  postern queue list --reason smtp-auth-off\n"
		"  postern trace --to anna@example.org --since 1d\n"
		"\n`postern COMMAND --help` tells the rest; man postern(8), postern.yaml(5).\n");
}

int cli_fail(int exit_code, const char *fmt, ...)
{
	va_list args;

	(void)fflush(stdout);
	(void)fprintf(stderr, "postern: ");
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args);
	va_end(args);
	(void)fprintf(stderr, "\n");
	return exit_code;
}

const char *cli_style(const struct cli_context *ctx, const char *name)
{
	static const char *const styles[][2] = {
		{ "bold", "\x1b[1m" },
		{ "dim", "\x1b[2m" },
		{ "red", "\x1b[31m" },
		{ "green", "\x1b[32m" },
		{ "yellow", "\x1b[33m" },
		{ "off", "\x1b[0m" },
	};

	for (size_t i = 0; ctx->color && i < COUNT_OF(styles); i++) {
		if (strcmp(styles[i][0], name) == 0)
			return styles[i][1];
	}
	return "";
}

enum {
	OPT_CONFIG = 1000,
	OPT_JSON,
	OPT_HELP,
	OPTIONS_MAX = 32
};

int cli_option(struct cli_context *ctx, int argc, char **argv, const struct cli_option *options,
	const char *help, const char **out_value)
{
	struct option all[OPTIONS_MAX] = {
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "help", no_argument, NULL, OPT_HELP },
	};
	size_t n = 3;

	for (size_t i = 0; options && options[i].name && n + 1 < OPTIONS_MAX; i++, n++) {
		all[n].name = options[i].name;
		all[n].has_arg = options[i].has_value ? required_argument : no_argument;
		all[n].val = (int)i;
	}
	opterr = 0;
	for (;;) {
		int seen = getopt_long(argc, argv, ":h", all, NULL);

		switch (seen) {
		case -1:
			return CLI_OPTION_END;
		case 'h':
		case OPT_HELP:
			(void)fputs(help, stdout);
			return CLI_OPTION_HELP;
		case OPT_CONFIG:
			ctx->config_path = optarg;
			break;
		case OPT_JSON:
			ctx->json = true;
			ctx->color = false;
			break;
		case ':':
			(void)cli_fail(0, "%s wants a value", argv[optind - 1]);
			return CLI_OPTION_WRONG;
		case '?':
			(void)cli_fail(0, "no such option: %s (try --help)", argv[optind - 1]);
			return CLI_OPTION_WRONG;
		default:
			*out_value = optarg;
			return seen;
		}
	}
}

int main(int argc, char **argv)
{
	const char *config = getenv("POSTERN_CONFIG"), *term = getenv("TERM");
	struct cli_context ctx = {
		.config_path = config && config[0] ? config : "/etc/postern/postern.yaml",
		.color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR") &&
			 strcmp(term ? term : "", "dumb") != 0,
	};
	int first = 1;

	/* Passwords live in this process: no core file, no ptrace by other processes of the user. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	if (argc > 2 && strcmp(argv[1], "--config") == 0) {
		ctx.config_path = argv[2];
		first = 3;
	}
	if (argc <= first || strcmp(argv[first], "--help") == 0 || strcmp(argv[first], "-h") == 0 ||
		strcmp(argv[first], "help") == 0) {
		print_help(argc <= first ? stderr : stdout);
		return argc <= first ? EX_USAGE : EX_OK;
	}
	if (strcmp(argv[first], "--version") == 0 || strcmp(argv[first], "-V") == 0) {
		(void)printf("postern %s\n", POSTERN_VERSION);
		return EX_OK;
	}
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		int code;

		if (strcmp(argv[first], commands[i].name) != 0)
			continue;
		code = commands[i].run(&ctx, argc - first, argv + first);
		if (fflush(stdout) != 0 && code == EX_OK)
			return cli_fail(EX_IOERR, "could not write to standard output");
		return code;
	}
	return cli_fail(
		EX_USAGE, "no command called '%s'; `postern --help` lists them", argv[first]);
}
