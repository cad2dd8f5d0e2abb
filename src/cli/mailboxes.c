/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include "base/sv.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"usage: postern mailboxes [--long] [--config FILE] [--json]\n"
	"       postern mailboxes --retry MAILBOX\n\n"
	"Every mailbox and connector: what it has used of its limits, what holds it and\n"
	"since when, how much mail waits, and what frees it: time, a probe (one message\n"
	"that tries), or a person.\n\n"
	"  --long           the six things that must be right at once, in words\n"
	"  --retry MAILBOX  try that one now. A stop for reputation is released by it:\n"
	"                   first make sure that the cause is gone, or it gets worse\n"
	"  --config FILE    default /etc/postern/postern.yaml\n"
	"  --json           one object a line\n\n"
	"examples:\n"
	"  postern mailboxes\n"
	"  postern mailboxes --retry erp@contoso.com\n";

struct table {
	struct cli_context *ctx;
	bool is_long;
	size_t rows;
};

static const struct {
	const char *key, *words;
	char letter;
} six[] = {
	{ "settings", "settings", 'S' },
	{ "smtp_auth", "SMTP AUTH on", 'A' },
	{ "credentials", "credentials", 'C' },
	{ "domain", "domain authenticated", 'D' },
	{ "warmed", "warmed up", 'W' },
	{ "volume", "volume under the caps", 'V' },
};

static long long number(const json_t *line, const char *key)
{
	return (long long)json_integer_value(json_object_get(line, key));
}

static const char *style_of(const char *state)
{
	if (strcmp(state, "parked") == 0 || strcmp(state, "fail") == 0)
		return "red";
	if (strcmp(state, "ready") == 0 || strcmp(state, "ok") == 0)
		return "green";
	return strcmp(state, "unused") == 0 || strcmp(state, "none") == 0 ? "dim" : "yellow";
}

static char mark_of(const char *state)
{
	static const struct {
		const char *state;
		char mark;
	} marks[] = { { "ok", '+' }, { "warn", '!' }, { "fail", '-' }, { "none", '.' } };

	for (size_t i = 0; i < COUNT_OF(marks); i++)
		if (strcmp(state, marks[i].state) == 0)
			return marks[i].mark;
	return '?';
}

static void print_use(const json_t *line, const char *used, const char *capacity, int width)
{
	char text[32];

	if (number(line, capacity))
		(void)snprintf(text,
			sizeof(text),
			"%lld/%lld",
			number(line, used),
			number(line, capacity));
	else
		(void)snprintf(text, sizeof(text), "no limit");
	(void)printf(" %*s", width, text);
}

/* "2026-11-25T12:40:07", or only the time of day where the day is plain. */
static void print_freed(struct cli_context *ctx, const json_t *line)
{
	const char *by = cli_text(line, "freed_by"), *next = cli_text(line, "next_at");
	const char *name = cli_text(line, "name");

	if (strcmp(by, "time") == 0)
		cli_print(2, "  goes on by itself at %.19s\n", next);
	else if (strcmp(by, "probe") == 0 && next[0])
		cli_print(2,
			"  a probe tries at %.19s; now: postern mailboxes --retry %s\n",
			next,
			name);
	else if (strcmp(by, "probe") == 0)
		(void)printf("  the next message tries\n");
	else if (strcmp(by, "person") == 0)
		cli_print(2,
			"  %sa person must release it%s: remove the cause, then postern mailboxes "
			"--retry %s\n",
			cli_style(ctx, "red"),
			cli_style(ctx, "off"),
			name);
}

static void print_hold(struct cli_context *ctx, const json_t *line)
{
	if (!cli_text(line, "reason")[0])
		return;
	cli_print(2,
		"  %s%s%s%s%.19s: %s\n",
		cli_style(ctx, "bold"),
		cli_text(line, "reason"),
		cli_style(ctx, "off"),
		cli_text(line, "since")[0] ? " since " : "",
		cli_text(line, "since"),
		cli_text(line, "summary"));
	if (cli_text(line, "reply")[0])
		cli_print(2, "  said: %.300s\n", cli_text(line, "reply"));
	print_freed(ctx, line);
}

static void print_six(struct table *t, const json_t *line)
{
	const json_t *checks = json_object_get(line, "checks");

	for (size_t i = 0; i < COUNT_OF(six); i++) {
		const json_t *one = json_object_get(checks, six[i].key);
		const char *state = cli_text(one, "state");

		cli_print(32,
			"  %s%-7s%s %-21s %s\n",
			cli_style(t->ctx, style_of(state)),
			strcmp(state, "none") == 0 ? "-" : state,
			cli_style(t->ctx, "off"),
			six[i].words,
			cli_text(one, "text"));
	}
}

const char *cli_six(const json_t *checks, char out[CLI_SIX_MAX])
{
	static_assert(COUNT_OF(six) < CLI_SIX_MAX, "a mark each");
	for (size_t i = 0; i < COUNT_OF(six); i++)
		out[i] = mark_of(cli_text(json_object_get(checks, six[i].key), "state"));
	out[COUNT_OF(six)] = '\0';
	return out;
}

static void print_row(struct table *t, const json_t *line)
{
	const json_t *checks = json_object_get(line, "checks");
	const char *state = cli_text(line, "state");
	char marks[CLI_SIX_MAX];

	if (t->rows++ == 0) {
		(void)printf("%-30s %-8s %7s %9s %13s  ",
			"MAILBOX",
			"STATE",
			"WAITING",
			"MINUTE",
			"24 HOURS");
		for (size_t i = 0; i < COUNT_OF(six); i++)
			(void)printf("%c", six[i].letter);
		(void)printf("\n");
	}
	(void)printf("%-30s %s%-8s%s %7lld",
		cli_text(line, "name"),
		cli_style(t->ctx, style_of(state)),
		state,
		cli_style(t->ctx, "off"),
		number(line, "waiting"));
	print_use(line, "minute_used", "minute_capacity", 9);
	print_use(line, "day_used", "day_capacity", 13);
	(void)printf("  ");
	(void)printf("%s", cli_six(checks, marks));
	(void)printf("\n");
	print_hold(t->ctx, line);
	if (number(line, "held"))
		(void)printf("  %lld of them are held by an operator\n", number(line, "held"));
	if (strcmp(state, "gone") == 0)
		(void)printf(
			"  not in the configuration any more: its mail looks for another route\n");
	if (t->is_long) {
		if (cli_text(line, "slot_at")[0])
			(void)printf("  next slot %.19s\n", cli_text(line, "slot_at"));
		print_six(t, line);
	}
}

static void print_line(void *arg, const json_t *line)
{
	struct table *t = arg;

	if (strcmp(cli_text(line, "type"), "mailbox") == 0) {
		print_row(t, line);
		return;
	}
	if (json_is_true(json_object_get(line, "released_reputation")))
		(void)printf(
			"the stop for reputation is released: if the provider still objects, it is "
			"held again\n");
	(void)printf("%s tries now; %lld recipients wait for it\n",
		cli_text(line, "lane"),
		number(line, "waiting"));
}

int cli_mailboxes(struct cli_context *ctx, int argc, char **argv)
{
	enum {
		LONG,
		RETRY
	};
	static const struct cli_option options[] = {
		[LONG] = { "long", false },
		[RETRY] = { "retry", true },
		{ NULL, false },
	};
	struct table t = { .ctx = ctx };
	const char *value = NULL, *retry = NULL;
	json_t *request;
	int seen, code;

	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) != CLI_OPTION_END) {
		if (seen < 0)
			return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
		if (seen == LONG)
			t.is_long = true;
		else
			retry = value;
	}
	if (optind < argc)
		return cli_fail(EX_USAGE, "mailboxes takes no operand: '%s'", argv[optind]);
	request = json_object();
	(void)json_object_set_new(request, "do", json_string(retry ? "probe" : "mailboxes"));
	if (retry)
		(void)json_object_set_new(request, "mailbox", json_string(retry));
	code = cli_ask(ctx, request, print_line, &t);
	if (t.rows && !t.is_long)
		(void)printf(
			"\nS settings, A SMTP AUTH on, C credentials, D domain authenticated, W "
			"warmed up, V volume:\n+ ok, ! nearly, - wrong, ? not known, . does not "
			"apply; --long says it in words\n");
	return code;
}
