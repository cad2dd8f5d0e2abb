/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include "base/guess.h"
#include "base/sv.h"
#include "base/text.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"usage: postern queue ACTION [FILTER...] [ID...]\n\n"
	"  list        waiting mail, one line a recipient\n"
	"  show ID     one message: each attempt, its verdict and the whole reply\n"
	"  summary     how much waits, by mailbox, state and reason\n"
	"  retry       try now; hold, release: keep back and give free again\n"
	"  reroute     --through NAME: send by another mailbox or connector\n"
	"  drop        delete without a bounce (asks for --yes when it is more than an ID)\n\n"
	"filters:\n" CLI_FILTER_HELP "  --limit N             at most N rows\n"
	"  --yes                 really, for drop\n\n"
	"examples:\n"
	"  postern queue list --older 1h\n"
	"  postern queue show 065YK9MWV98\n"
	"  postern queue retry --mailbox erp@contoso.com\n"
	"  postern queue hold --sender '*@go.contoso.com'\n"
	"  postern queue reroute --reason send-as-denied --through crm@contoso.com\n";

static void print_row(void *arg, const json_t *line)
{
	struct cli_context *ctx = arg;
	const char *reason = cli_text(line, "reason");
	const char *sender = cli_text(line, "sender");
	const char *next_at = cli_text(line, "next_at");

	(void)printf("%s%s%s  %-9s %.19s  %s -> %s",
		cli_style(ctx, "bold"),
		cli_text(line, "id"),
		cli_style(ctx, "off"),
		cli_text(line, "state"),
		cli_text(line, "accepted_at"),
		sender[0] ? sender : "<>",
		cli_text(line, "recipient"));
	if (next_at[0])
		(void)printf("  next %.19s", next_at);
	(void)printf("\n");
	if (reason[0] || cli_text(line, "reply")[0])
		(void)printf("             %s%s%s  %.300s\n",
			cli_style(ctx, "yellow"),
			reason,
			cli_style(ctx, "off"),
			cli_text(line, "reply"));
}

static void print_message(struct cli_context *ctx, const json_t *line)
{
	static const char *const keys[][2] = {
		{ "sender", "from" },
		{ "subject", "subject" },
		{ "message_id", "message-id" },
		{ "accepted_at", "accepted" },
		{ "finished_at", "finished" },
		{ "expires_at", "expires" },
		{ "user", "user" },
		{ "client", "client" },
		{ "device", "device" },
		{ "bounce_of", "bounce of" },
	};
	char size[TEXT_DURATION_MAX];

	(void)printf("%s%s%s  %s\n",
		cli_style(ctx, "bold"),
		cli_text(line, "id"),
		cli_style(ctx, "off"),
		text_size((uint64_t)json_integer_value(json_object_get(line, "size")), size));
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		if (cli_text(line, keys[i][0])[0] || strcmp(keys[i][0], "sender") == 0)
			(void)printf("  %-11s %s\n",
				keys[i][1],
				cli_text(line, keys[i][0])[0] ? cli_text(line, keys[i][0]) : "<>");
	}
}

static void print_attempt(struct cli_context *ctx, const json_t *line)
{
	const char *verdict = cli_text(line, "verdict");
	const char *style = strcmp(verdict, "delivered") == 0 ? "green" : "yellow";

	(void)printf("  %.19s  attempt %lld  %s  ",
		cli_text(line, "at"),
		(long long)json_integer_value(json_object_get(line, "attempt")),
		cli_text(line, "recipient"));
	if (!cli_text(line, "ended_at")[0]) {
		(void)printf("running\n");
		return;
	}
	(void)printf("%s%s%s%s",
		cli_style(ctx, style),
		verdict,
		json_is_true(json_object_get(line, "uncertain")) ? " (uncertain: no final reply)"
								 : "",
		cli_style(ctx, "off"));
	if (strcmp(verdict, "delivered") != 0)
		(void)printf(" %s: %s", cli_text(line, "scope"), cli_text(line, "reason"));
	(void)printf("\n      via %s", cli_text(line, "lane"));
	if (cli_text(line, "relay")[0])
		(void)printf(", %s", cli_text(line, "relay"));
	if (cli_text(line, "stage")[0])
		(void)printf(", %s", cli_text(line, "stage"));
	(void)printf("\n");
	if (cli_text(line, "reply")[0])
		(void)printf("      %s\n", cli_text(line, "reply"));
	if (cli_text(line, "remote_message_id")[0])
		(void)printf("      known there as %s\n", cli_text(line, "remote_message_id"));
}

static void print_story(void *arg, const json_t *line)
{
	struct cli_context *ctx = arg;
	const char *type = cli_text(line, "type");

	if (strcmp(type, "message") == 0) {
		print_message(ctx, line);
	} else if (strcmp(type, "recipient") == 0) {
		(void)printf("  %-11s %s: %s%s%s",
			"to",
			cli_text(line, "recipient"),
			cli_style(ctx, "bold"),
			cli_text(line, "state"),
			cli_style(ctx, "off"));
		if (cli_text(line, "reason")[0])
			(void)printf(" (%s)", cli_text(line, "reason"));
		if (cli_text(line, "next_at")[0])
			(void)printf(", next try %.19s", cli_text(line, "next_at"));
		(void)printf("\n");
	} else {
		print_attempt(ctx, line);
	}
}

static void print_summary(void *arg, const json_t *line)
{
	char size[TEXT_DURATION_MAX];
	const char *lane = cli_text(line, "lane");

	(void)arg;
	if (strcmp(cli_text(line, "type"), "totals") == 0) {
		(void)printf("%lld messages wait (%s); history holds %lld; last 24 h: %lld "
			     "delivered, %lld bounced\n",
			(long long)json_integer_value(json_object_get(line, "messages_waiting")),
			text_size((uint64_t)json_integer_value(
					  json_object_get(line, "bytes_waiting")),
				size),
			(long long)json_integer_value(json_object_get(line, "history_messages")),
			(long long)json_integer_value(json_object_get(line, "delivered_day")),
			(long long)json_integer_value(json_object_get(line, "bounced_day")));
		return;
	}
	(void)printf("%8lld  %-8s %-32s %-24s oldest %.19s\n",
		(long long)json_integer_value(json_object_get(line, "count")),
		cli_text(line, "state"),
		lane[0] ? lane : "(no route)",
		cli_text(line, "reason"),
		cli_text(line, "oldest_at"));
}

static void print_changed(void *arg, const json_t *line)
{
	(void)printf("%lld recipients: %s\n",
		(long long)json_integer_value(json_object_get(line, "changed")),
		(const char *)arg);
}

static void set(json_t *request, const char *key, const char *value)
{
	(void)json_object_set_new(request, key, json_string(value));
}

static bool has_filter(const json_t *request)
{
	for (size_t i = 0; i < CLI_FILTER_OPTIONS; i++) {
		if (json_object_get(request, cli_filter_options[i].name))
			return true;
	}
	return false;
}

static int edit(struct cli_context *ctx, json_t *request, char *action, int ids, char **id)
{
	int code = EX_OK;

	set(request, "do", "edit");
	set(request, "kind", action);
	if (ids == 0) {
		if (!has_filter(request)) {
			json_decref(request);
			return cli_fail(EX_USAGE,
				"%s what? Give an ID or a filter; --older 0s means everything",
				action);
		}
		return cli_ask(ctx, request, print_changed, action);
	}
	for (int i = 0; i < ids && code == EX_OK; i++) {
		json_t *one = json_deep_copy(request);

		set(one, "id", id[i]);
		code = cli_ask(ctx, one, print_changed, action);
	}
	json_decref(request);
	return code;
}

static int act(struct cli_context *ctx, json_t *request, char *action, int ids, char **id)
{
	static const char *const edits[] = { "retry", "hold", "release", "drop", "reroute" };
	struct guess g = { .name = sv_from(action) };

	if (strcmp(action, "list") == 0) {
		set(request, "do", "list");
		if (ids == 1)
			set(request, "id", id[0]);
		return cli_ask(ctx, request, print_row, ctx);
	}
	if (strcmp(action, "summary") == 0) {
		set(request, "do", "summary");
		return cli_ask(ctx, request, print_summary, ctx);
	}
	if (strcmp(action, "show") == 0) {
		if (ids != 1) {
			json_decref(request);
			return cli_fail(EX_USAGE, "show needs one queue id");
		}
		set(request, "do", "show");
		set(request, "id", id[0]);
		return cli_ask(ctx, request, print_story, ctx);
	}
	for (size_t i = 0; i < COUNT_OF(edits); i++) {
		if (strcmp(action, edits[i]) == 0)
			return edit(ctx, request, action, ids, id);
	}
	json_decref(request);
	guess_try(&g, SV("list"));
	guess_try(&g, SV("show"));
	guess_try(&g, SV("summary"));
	for (size_t i = 0; i < COUNT_OF(edits); i++)
		guess_try(&g, sv_from(edits[i]));
	return cli_fail(EX_USAGE,
		"queue %s: no such action%s%.*s%s Actions: list, show, summary, retry, hold, "
		"release, reroute, drop",
		action,
		g.best.len ? "; did you mean " : "",
		SV_ARG(g.best),
		g.best.len ? "?" : ".");
}

/* The filter options, and what only `queue` has. */
static int read_options(
	struct cli_context *ctx, int argc, char **argv, json_t *request, bool *out_yes)
{
	struct cli_option options[CLI_FILTER_OPTIONS + 5];
	const char *value = NULL;
	int seen;

	memcpy(options, cli_filter_options, sizeof(options[0]) * CLI_FILTER_OPTIONS);
	options[CLI_FILTER_OPTIONS] = (struct cli_option){ "to", true };
	options[CLI_FILTER_OPTIONS + 1] = (struct cli_option){ "limit", true };
	options[CLI_FILTER_OPTIONS + 2] = (struct cli_option){ "yes", false };
	options[CLI_FILTER_OPTIONS + 3] = (struct cli_option){ "through", true };
	options[CLI_FILTER_OPTIONS + 4] = (struct cli_option){ NULL, false };
	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0) {
		uint32_t limit;

		if (seen < CLI_FILTER_OPTIONS) {
			set(request, options[seen].name, value);
		} else if (seen == CLI_FILTER_OPTIONS) {
			set(request, "recipient", value);
		} else if (seen == CLI_FILTER_OPTIONS + 1) {
			if (sv_parse_u32(sv_from(value), UINT32_MAX, &limit) != 0) {
				(void)cli_fail(0, "--limit: '%s' is not a number", value);
				return CLI_OPTION_WRONG;
			}
			(void)json_object_set_new(request, "limit", json_integer(limit));
		} else if (seen == CLI_FILTER_OPTIONS + 2) {
			*out_yes = true;
		} else {
			set(request, "to", value);
		}
	}
	return seen;
}

int cli_queue(struct cli_context *ctx, int argc, char **argv)
{
	json_t *request = json_object();
	bool yes = false;
	char *action;
	int seen = read_options(ctx, argc, argv, request, &yes);

	if (seen != CLI_OPTION_END) {
		json_decref(request);
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	}
	if (optind >= argc) {
		json_decref(request);
		(void)fputs(help, stderr);
		return EX_USAGE;
	}
	action = argv[optind++];
	if (strcmp(action, "drop") == 0 && optind == argc && !yes) {
		json_decref(request);
		return cli_fail(EX_USAGE, "drop by filter deletes mail for good: add --yes");
	}
	return act(ctx, request, action, argc - optind, argv + optind);
}
