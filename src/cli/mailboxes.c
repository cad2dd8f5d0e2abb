/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include "base/buf.h"
#include "base/sv.h"
#include "cli/pager.h"
#include "cli/when.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"usage: postern mailboxes [FILTER...] [--long] [ADDRESS]\n"
	"       postern mailboxes --retry MAILBOX\n\n"
	"Every mailbox and connector: what it has used of its limits, what holds it and\n"
	"since when, how much mail waits, and what frees it: time, a probe (one message\n"
	"that tries), or a person. With an ADDRESS, that one, and the six points that must\n"
	"be right at once.\n\n"
	"  --long           the six points, the reply, who can fix it and how, for each\n"
	"  --retry MAILBOX  try that one now. A stop for reputation is released by it:\n"
	"                   first make sure that the cause is gone, or it gets worse\n"
	"  --tenant NAME    of this tenant\n"
	"  --pool NAME      of this pool, and what it has used and what waits for it\n"
	"  --state STATE    ready, waiting, parked, probing, unused, gone, stopped, wildcard\n"
	"  --cause CAUSE    held for this reason, or with mail that waits for it\n"
	"                   (also --reason)\n"
	"  --sort KEY       state (what needs looking at first), name, tenant, waiting,\n"
	"                   oldest, used\n"
	"  --limit N        at most N\n"
	"  --config FILE    default /etc/postern/postern.yaml\n"
	"  --json           one object a line\n\n"
	"examples:\n"
	"  postern mailboxes --state parked\n"
	"  postern mailboxes erp@contoso.com\n"
	"  postern mailboxes --retry erp@contoso.com\n";

struct table {
	struct cli_context *ctx;
	bool is_long;
	size_t rows;
};

static const struct {
	const char *key, *words;
} six[] = {
	{ "settings", "settings" },
	{ "smtp_auth", "SMTP AUTH on" },
	{ "credentials", "credentials" },
	{ "domain", "domain authenticated" },
	{ "warmed", "warmed up" },
	{ "volume", "volume under the limits" },
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

static void print_use(const json_t *line, const char *used, const char *capacity, int width)
{
	char text[64];

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

static void print_freed(struct cli_context *ctx, const json_t *line)
{
	const char *by = cli_text(line, "freed_by"), *next = cli_text(line, "next_at");
	const char *name = cli_text(line, "name");
	char at[CLI_WHEN_MAX];

	if (strcmp(by, "time") == 0)
		cli_print(2, "  goes on by itself %s\n", cli_relative(next, at));
	else if (strcmp(by, "probe") == 0 && next[0])
		cli_print(2,
			"  next try %s; now: postern mailboxes --retry %s\n",
			cli_relative(next, at),
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

static void print_hold(struct table *t, const json_t *line)
{
	const char *title = cli_text(line, "title"), *since = cli_text(line, "since");
	const char *state = cli_text(line, "state");
	struct cli_context *ctx = t->ctx;
	char at[CLI_WHEN_MAX];

	if (!cli_text(line, "reason")[0])
		return;
	cli_print(2,
		"  %s%s%s%s%s: %s (%s)\n",
		cli_style(ctx, style_of(state)),
		strcmp(state, "probing") == 0 ? "parked, trying now" : state,
		cli_style(ctx, "off"),
		since[0] ? " since " : "",
		cli_when(since, at),
		title[0] ? title : cli_text(line, "summary"),
		cli_text(line, "reason"));
	if (t->is_long && cli_text(line, "reply")[0])
		cli_print(12, "  reply     %.300s\n", cli_text(line, "reply"));
	if (t->is_long)
		cli_print_remedy(ctx, line, 2);
	print_freed(ctx, line);
}

/* yes, no with the step, or what would look at it. */
static void print_six(struct table *t, const json_t *line)
{
	static const char *const words[][2] = {
		{ "ok", "yes" },
		{ "warn", "nearly" },
		{ "fail", "no" },
		{ "none", "-" },
		{ "unknown", "not looked at" },
	};
	const json_t *checks = json_object_get(line, "checks");

	for (size_t i = 0; i < COUNT_OF(six); i++) {
		const json_t *one = json_object_get(checks, six[i].key);
		const char *state = cli_text(one, "state"), *step = cli_text(one, "step");
		const char *word = state;

		for (size_t w = 0; w < COUNT_OF(words); w++)
			if (strcmp(state, words[w][0]) == 0)
				word = words[w][1];
		cli_print(28,
			"  %-25s %s%s%s%s%s%s%s%s\n",
			six[i].words,
			cli_style(t->ctx, style_of(state)),
			word,
			cli_style(t->ctx, "off"),
			strcmp(state, "unknown") == 0 && step[0] ? ": " : "",
			strcmp(state, "unknown") == 0 ? step : "",
			cli_text(one, "text")[0] ? "  (" : "",
			cli_text(one, "text"),
			cli_text(one, "text")[0] ? ")" : "");
		if (strcmp(state, "fail") == 0 && step[0])
			cli_print(28, "%28s%s\n", "", step);
	}
}

static void print_times(const json_t *line)
{
	char at[CLI_WHEN_MAX], pace[CLI_PACE_MAX];

	if (cli_text(line, "delivered_at")[0])
		(void)printf(
			"  last message left %s\n", cli_when(cli_text(line, "delivered_at"), at));
	if (cli_text(line, "oldest_at")[0])
		(void)printf(
			"  oldest that waits came %s\n", cli_when(cli_text(line, "oldest_at"), at));
	if (cli_text(line, "done_at")[0])
		cli_print(2,
			"  all that waits has left about %s%s%s\n",
			cli_when(cli_text(line, "done_at"), at),
			cli_pace(json_object_get(line, "pace"), pace)[0] ? "; the binding limit is "
									 : "",
			pace);
	if (json_object_get(line, "delivered_month"))
		(void)printf("  %lld recipients this month, $%lld.%02lld\n",
			number(line, "delivered_month"),
			number(line, "cost_cents") / 100,
			number(line, "cost_cents") % 100);
}

/* "24 of 24 messages in a minute of the account it@contoso.com, the next at 12:00:07; learned 20 from Microsoft's reply at ..." */
static void print_limit(const json_t *line, const json_t *limit)
{
	static const char *const whose[][2] = { { "account", "the account" },
		{ "tenant", "the tenant" },
		{ "onmicrosoft", "onmicrosoft.com senders of the tenant" } };
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(1024);
	const char *of = cli_text(limit, "limit_of"), *window = cli_text(limit, "limit");
	char n[2][CLI_COUNT_MAX], at[CLI_WHEN_MAX];
	bool gmail = strcmp(cli_text(line, "provider"), "gmail") == 0;

	(void)!buf_printf(&text, "%s ", cli_count(number(limit, "used"), n[0]));
	if (json_object_get(limit, "capacity"))
		(void)!buf_printf(&text, "of %s ", cli_count(number(limit, "capacity"), n[1]));
	(void)!buf_printf(&text,
		"%s in %s",
		cli_text(limit, "unit"),
		strcmp(window, "minute") == 0  ? "a minute"
		: strcmp(window, "hour") == 0  ? "an hour"
		: strcmp(window, "month") == 0 ? "this month (its budget)"
					       : "24 hours");
	for (size_t i = 0; i < COUNT_OF(whose); i++)
		if (strcmp(of, whose[i][0]) == 0)
			(void)!buf_printf(
				&text, ", of %s %s", whose[i][1], cli_text(limit, "limit_name"));
	if (cli_text(limit, "free_at")[0])
		(void)!buf_printf(&text, "; the next %s", cli_when(cli_text(limit, "free_at"), at));
	if (json_object_get(limit, "learned"))
		(void)!buf_printf(&text,
			"; learned %s a %s from %s reply %s",
			cli_count(number(limit, "learned"), n[0]),
			window,
			gmail ? "Google's" : "Microsoft's",
			cli_when(cli_text(limit, "learned_at"), at));
	if (cli_text(limit, "observed_at")[0])
		(void)!buf_printf(&text,
			"; %s of these by others, as Exchange counted %s",
			cli_count(number(limit, "others"), n[0]),
			cli_when(cli_text(limit, "observed_at"), at));
	if (cli_text(limit, "shut_until")[0])
		(void)!buf_printf(&text,
			"; used up by its reply, tried again %s",
			cli_when(cli_text(limit, "shut_until"), at));
	cli_print(2, "  %.*s\n", SV_ARG(buf_sv(&text)));
}

/* All of them, or those of which a reply has said something. */
static void print_limits(const json_t *line, bool all)
{
	const json_t *limits = json_object_get(line, "limits");

	for (size_t i = 0; i < json_array_size(limits); i++) {
		const json_t *limit = json_array_get(limits, i);

		if (all || json_object_get(limit, "learned") || cli_text(limit, "shut_until")[0])
			print_limit(line, limit);
	}
}

static void print_head(void)
{
	(void)printf(
		"%-34s %-8s %7s %9s %13s\n", "MAILBOX", "STATE", "WAITING", "MINUTE", "24 HOURS");
}

static void print_row(struct table *t, const json_t *line)
{
	const char *state = cli_text(line, "state");

	if (t->rows++ == 0)
		print_head();
	(void)printf("%-34s %s%-8s%s %7lld",
		cli_text(line, "name"),
		cli_style(t->ctx, style_of(state)),
		state,
		cli_style(t->ctx, "off"),
		number(line, "waiting"));
	print_use(line, "minute_used", "minute_capacity", 9);
	print_use(line, "day_used", "day_capacity", 13);
	(void)printf("\n");
	print_hold(t, line);
	if (number(line, "held"))
		cli_print(2,
			"  %lld of them are held by an operator: postern queue list --mailbox %s "
			"--state held\n",
			number(line, "held"),
			cli_text(line, "name"));
	if (cli_text(line, "moved_to")[0])
		cli_print(2,
			"  %lld recipients went by %s meanwhile\n",
			number(line, "moved"),
			cli_text(line, "moved_to"));
	if (strcmp(state, "gone") == 0)
		(void)printf(
			"  not in the configuration any more: its mail looks for another route\n");
	if (strcmp(state, "wildcard") == 0)
		cli_print(2,
			"  %lld of its mailboxes are at work, of %lld at once (at_once)%s\n",
			number(line, "made"),
			number(line, "at_once"),
			json_is_true(json_object_get(line, "crowded"))
				? "; mail waits until one of them is idle"
				: "");
	if (t->is_long && cli_text(line, "made_of")[0])
		(void)printf("  of %s\n", cli_text(line, "made_of"));
	print_limits(line, t->is_long);
	if (t->is_long) {
		print_times(line);
		print_six(t, line);
	}
}

/* "pool outreach: 20 mailboxes; 310 of 1,000 recipients in 24 hours; 412 wait for it" */
static void print_pool(struct cli_context *ctx, const json_t *pool)
{
	const char *by = cli_text(pool, "stopped_by");
	char n[3][CLI_COUNT_MAX];

	(void)printf("\npool %s: %s mailboxes; %s",
		cli_text(pool, "name"),
		cli_count(number(pool, "mailboxes"), n[0]),
		cli_count(number(pool, "day_used"), n[1]));
	if (number(pool, "day_capacity"))
		(void)printf(" of %s", cli_count(number(pool, "day_capacity"), n[2]));
	(void)printf(" recipients in 24 hours; %s wait for it\n",
		cli_count(number(pool, "waiting"), n[0]));
	if (by[0])
		cli_print(2,
			"  %sall of it is stopped%s for the reputation of %s: remove the cause, "
			"then "
			"postern mailboxes --retry %s\n",
			cli_style(ctx, "red"),
			cli_style(ctx, "off"),
			by,
			by);
}

static void print_totals(const json_t *totals)
{
	const json_t *states = json_object_get(totals, "states");
	long long all = number(totals, "mailboxes"), shown = number(totals, "shown");
	char n[CLI_COUNT_MAX];
	const char *name;
	const json_t *count;
	bool first = true;

	if (all == 0) {
		(void)printf("no mailbox or connector matches\n");
		return;
	}
	if (all == 1)
		return;
	(void)printf("\n%s mailboxes and connectors: ", cli_count(all, n));
	json_object_foreach((json_t *)(uintptr_t)states, name, count)
	{
		(void)printf("%s%s %s",
			first ? "" : ", ",
			cli_count((long long)json_integer_value(count), n),
			name);
		first = false;
	}
	(void)printf("; %s recipients wait", cli_count(number(totals, "waiting"), n));
	if (shown < all)
		(void)printf(" (%s shown)", cli_count(shown, n));
	(void)printf("\n");
}

static void print_line(void *arg, const json_t *line)
{
	struct table *t = arg;

	if (strcmp(cli_text(line, "type"), "mailbox") == 0) {
		print_row(t, line);
		return;
	}
	if (strcmp(cli_text(line, "type"), "pool") == 0) {
		print_pool(t->ctx, line);
		return;
	}
	if (json_object_get(line, "totals")) {
		print_totals(json_object_get(line, "totals"));
		return;
	}
	if (json_is_true(json_object_get(line, "released_reputation")))
		(void)printf(
			"the stop for reputation is released: if the provider still objects, it is "
			"held again\n");
	(void)printf("%s tries now; %lld recipients wait for it\n",
		cli_text(line, "mailbox"),
		number(line, "waiting"));
}

static int read_options(struct table *t, int argc, char **argv, json_t *request)
{
	enum {
		LONG,
		RETRY,
		FILTERS
	};
	static const struct cli_option options[] = {
		[LONG] = { "long", false },
		[RETRY] = { "retry", true },
		{ "tenant", true },
		{ "pool", true },
		{ "state", true },
		{ "cause", true },
		{ "reason", true },
		{ "sort", true },
		{ "limit", true },
		{ NULL, false },
	};
	const char *value = NULL;
	int seen;

	while ((seen = cli_option(t->ctx, argc, argv, options, help, &value)) >= 0) {
		if (seen == LONG) {
			t->is_long = true;
		} else if (seen == RETRY) {
			(void)json_object_set_new(request, "do", json_string("probe"));
			(void)json_object_set_new(request, "mailbox", json_string(value));
		} else if (cli_filter_set(request, options[seen].name, value) != EX_OK) {
			return CLI_OPTION_WRONG;
		}
	}
	return seen;
}

int cli_mailboxes(struct cli_context *ctx, int argc, char **argv)
{
	struct table t = { .ctx = ctx };
	json_t *request = json_object();
	int seen, code;

	(void)json_object_set_new(request, "do", json_string("mailboxes"));
	seen = read_options(&t, argc, argv, request);
	if (seen == CLI_OPTION_END && optind + 1 == argc && !json_object_get(request, "mailbox")) {
		(void)json_object_set_new(request, "mailbox", json_string(argv[optind++]));
		t.is_long = true;
	}
	if (seen != CLI_OPTION_END || optind < argc) {
		json_decref(request);
		if (seen == CLI_OPTION_HELP)
			return EX_OK;
		return seen == CLI_OPTION_END ? cli_fail(EX_USAGE,
							"mailboxes takes one address, not '%s'",
							argv[optind])
					      : EX_USAGE;
	}
	cli_pager_open(ctx);
	code = cli_ask(ctx, request, print_line, &t);
	cli_pager_close();
	return code;
}
