/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "base/guess.h"
#include "conf/conf.h"
#include "io/log.h"

#include <getopt.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const struct {
	const char *name;
	int (*run)(struct cli_context *ctx, int argc, char **argv);
	const char *does; /* NULL: other programs call it */
	bool json;
	const char *actions; /* the words that may follow it, for completion; NULL: none */
} commands[] = {
	{ "init", cli_init, "a few questions, and a configuration is written", false },
	{ "import",
		cli_import,
		"a configuration from Postfix, smtp2graph or msmtp",
		false,
		"postfix postfix-queue smtp2graph msmtp" },
	{ "serve", cli_serve, "run the relay", false },
	{ "check", cli_check, "check the configuration: all errors at once", true },
	{ "domain",
		cli_domain,
		"is a domain ready to send, and why did mail from it fail?",
		true,
		"check verify" },
	{ "doctor", cli_doctor, "look after the files: queue, vault, maildrop; repair them", true },
	{ "status", cli_status, "one screen: what waits, what is parked and why", true },
	{ "health", cli_health, "one line and an exit code for Nagios, Icinga and Zabbix", false },
	{ "mailboxes",
		cli_mailboxes,
		"each mailbox against its limits; what holds it, what frees it",
		true },
	{ "plan", cli_plan, "how many mailboxes and days a volume needs; what binds", true },
	{ "simulate", cli_simulate, "days of sending in seconds: what leaves, what waits", true },
	{ "explain", cli_explain, "what a reply of a mail server means, and what to do", true },
	{ "queue",
		cli_queue,
		"list, show, retry, hold, release, reroute, drop waiting mail",
		true,
		"list show summary retry hold release reroute drop" },
	{ "trace", cli_trace, "the story of messages, delivered ones too", true },
	{ "report", cli_report, "a page for cron: what was sent, what failed and why", true },
	{ "user", cli_user, "add, list, remove inbound users", true, "add list remove" },
	{ "vault",
		cli_vault,
		"keep secrets sealed: put, list, remove",
		true,
		"put list remove key rekey" },
	{ "login", cli_login, "sign a person in for a mailbox: device code or browser", true },
	{ "setup",
		cli_setup,
		"the administrator's script for Microsoft 365",
		true,
		"powershell apply undo survey" },
	{ "reload", cli_reload, "make the running daemon read its configuration again", true },
	{ "sandbox", cli_sandbox, "a Microsoft 365 on loopback to test against", false },
	{ "demo", cli_demo, "relay + sandbox + a burst of mail in a scratch folder", false },
	{ "mailq", cli_mailq, NULL, false },
};

static void print_help(FILE *to)
{
	(void)fprintf(
		to, "postern %s: the outbound mail relay for Microsoft 365\n\n", POSTERN_VERSION);
	(void)fprintf(to, "usage: postern COMMAND [OPTION...] [--config FILE] [--json]\n\n");
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		if (commands[i].does)
			(void)fprintf(to, "  %-9s  %s\n", commands[i].name, commands[i].does);
	}
	(void)fprintf(to,
		"\nexamples:\n"
		"  postern check                      is the configuration right?\n"
		"  postern status                     what is going on?\n"
		"  postern queue list --reason smtp-auth-off\n"
		"  postern trace --to anna@example.org --since 1d\n"
		"\n`postern COMMAND --help` tells the rest; man postern(8), postern.yaml(5).\n");
}

/* For the shells (packaging/completion): what stands here is what they offer. */
static int list_words(const char *command)
{
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		if (!command && commands[i].does)
			(void)printf("%s\t%s\n", commands[i].name, commands[i].does);
		else if (command && strcmp(command, commands[i].name) == 0 && commands[i].actions)
			(void)printf("%s\n", commands[i].actions);
	}
	return EX_OK;
}

/* ---- failing ---- */

static struct {
	bool json;
	const char *log_part; /* NULL: not to the log */
} fail_way;

void cli_fail_to_log(const char *part)
{
	fail_way.log_part = part;
}

static void print_error_object(const char *key, const char *text, int code)
{
	json_t *o = json_object();
	char *dumped;

	(void)json_object_set_new(o, key, json_string(text));
	if (code)
		(void)json_object_set_new(o, "code", json_integer(code));
	dumped = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
	if (dumped)
		(void)fprintf(stderr, "%s\n", dumped);
	free(dumped);
	json_decref(o);
}

void cli_put_json(json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	(void)printf("%s\n", text ? text : "{}");
	free(text);
	json_decref(o);
}

int cli_fail(int exit_code, const char *fmt, ...)
{
	char text[4096];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)fflush(stdout);
	if (fail_way.json)
		print_error_object("error", text, exit_code);
	else if (fail_way.log_part)
		log_line(LOG_ERROR, fail_way.log_part, "%s", text);
	else
		(void)fprintf(stderr, "postern: %s\n", text);
	return exit_code;
}

int cli_number(const struct cli_number *n, const char *value, void *into)
{
	uint32_t given;

	if (sv_parse_u32(sv_from(value), n->max, &given) != 0 || given < n->min)
		return cli_fail(EX_USAGE,
			"--%s: %s is no number from %u to %u",
			n->name,
			value,
			n->min,
			n->max);
	memcpy((char *)into + n->at, &given, sizeof(given));
	return EX_OK;
}

void cli_print_finding(const struct conf_finding *f)
{
	char text[2048];

	/* A line of the log says how bad it is by itself. */
	(void)snprintf(text,
		sizeof(text),
		"%s:%u:%u: %s%s",
		f->file,
		f->line,
		f->column,
		fail_way.log_part && !fail_way.json ? ""
		: f->warning                        ? "warning: "
						    : "error: ",
		f->text);
	if (fail_way.json)
		print_error_object("finding", text, 0);
	else if (fail_way.log_part)
		log_line(f->warning ? LOG_WARN : LOG_ERROR, fail_way.log_part, "%s", text);
	else
		(void)fprintf(stderr, "%s\n", text);
}

/* Before options are read: the first error may be about one. */
static void choose_fail_way(int argc, char **argv)
{
	log_open(LOG_JOURNAL_PATH);
	if (log_is_journal())
		fail_way.log_part = "cli";
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		fail_way.json = fail_way.json || strcmp(argv[i], "--json") == 0;
	cli_screen_open(fail_way.json);
}

/* ---- options ---- */

const char *cli_style(const struct cli_context *ctx, const char *name)
{
	static const char *const styles[] = {
		[CLI_MARK_OFF] = "off",
		[CLI_MARK_BOLD] = "bold",
		[CLI_MARK_DIM] = "dim",
		[CLI_MARK_RED] = "red",
		[CLI_MARK_GREEN] = "green",
		[CLI_MARK_YELLOW] = "yellow",
	};

	for (size_t i = 0; ctx->color && i < COUNT_OF(styles); i++) {
		if (strcmp(styles[i], name) == 0)
			return cli_mark((enum cli_mark)i);
	}
	return "";
}

enum {
	OPT_CONFIG = 1000,
	OPT_JSON,
	OPT_HELP,
	OPT_LIST,
	OPTIONS_MAX = 40
};

/* "--name", and "=" after those that take a value. */
static void list_options(const struct cli_context *ctx, const struct option *all)
{
	for (; all->name; all++)
		if (all->val != OPT_LIST && (all->val != OPT_JSON || ctx->takes_json))
			(void)printf("--%s%s\n", all->name, all->has_arg ? "=" : "");
}

/* "--stauts": the nearest name. Short ones are too short to guess. */
static void say_unknown(const char *word, const struct option *all)
{
	struct guess g = { .name = sv_skip(sv_from(word), 2) };

	if (strncmp(word, "--", 2) == 0) {
		ptrdiff_t equals = sv_find_char(g.name, '=');

		if (equals >= 0)
			g.name = sv_head(g.name, (size_t)equals);
		for (const struct option *o = all; o->name; o++)
			if (o->val != OPT_LIST)
				guess_try(&g, sv_from(o->name));
	}
	if (g.best.len)
		(void)cli_fail(
			EX_USAGE, "no such option: %s; did you mean --%.*s?", word, SV_ARG(g.best));
	else
		(void)cli_fail(EX_USAGE, "no such option: %s (try --help)", word);
}

int cli_option(struct cli_context *ctx, int argc, char **argv, const struct cli_option *options,
	const char *help, const char **out_value)
{
	struct option all[OPTIONS_MAX] = {
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "help", no_argument, NULL, OPT_HELP },
		{ "list-options", no_argument, NULL, OPT_LIST },
	};
	size_t n = 4;

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
		case OPT_LIST:
			list_options(ctx, all);
			return CLI_OPTION_HELP;
		case OPT_CONFIG:
			ctx->config_path = optarg;
			break;
		case OPT_JSON:
			if (!ctx->takes_json) {
				(void)cli_fail(EX_USAGE, "--json: %s has no JSON output", argv[0]);
				return CLI_OPTION_WRONG;
			}
			ctx->json = true;
			ctx->color = false;
			break;
		case ':':
			(void)cli_fail(EX_USAGE, "%s needs a value", argv[optind - 1]);
			return CLI_OPTION_WRONG;
		case '?':
			say_unknown(argv[optind - 1], all);
			return CLI_OPTION_WRONG;
		default:
			*out_value = optarg;
			return seen;
		}
	}
}

static int no_such_command(const char *name)
{
	struct guess g = { .name = sv_from(name) };

	for (size_t i = 0; i < COUNT_OF(commands); i++)
		guess_try(&g, sv_from(commands[i].name));
	if (g.best.len)
		return cli_fail(EX_USAGE,
			"no command called '%s'; did you mean `postern %.*s`?",
			name,
			SV_ARG(g.best));
	return cli_fail(EX_USAGE, "no command called '%s'; `postern --help` lists them", name);
}

int main(int argc, char **argv)
{
	const char *config = getenv("POSTERN_CONFIG"), *term = getenv("TERM");
	struct cli_context ctx = {
		.config_path = config && config[0] ? config : CLI_CONFIG_PATH,
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
	choose_fail_way(argc - first, argv + first);
	if (strcmp(argv[first], "--version") == 0 || strcmp(argv[first], "-V") == 0) {
		(void)printf("postern %s\n", POSTERN_VERSION);
		return EX_OK;
	}
	if (strcmp(argv[first], "--list-words") == 0)
		return list_words(argc > first + 1 ? argv[first + 1] : NULL);
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		int code;

		if (strcmp(argv[first], commands[i].name) != 0)
			continue;
		ctx.takes_json = commands[i].json;
		code = commands[i].run(&ctx, argc - first, argv + first);
		if (fflush(stdout) != 0 && code == EX_OK)
			return cli_fail(EX_IOERR, "could not write to standard output");
		return code;
	}
	return no_such_command(argv[first]);
}
