/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include "cli/pager.h"
#include "cli/when.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"usage: postern trace [FILTER...]\n\n"
	"The story of messages, delivered ones too, for as long as history.keep says.\n\n"
	"filters:\n" CLI_FILTER_HELP "\nexamples:\n"
	"  postern trace --to anna@example.org --since 1d\n"
	"  postern trace --sender erp@contoso.com --state bounced\n"
	"  postern trace --state uncertain --sort newest --limit 20\n"
	"  postern trace --id 065YK9MWV98 --json\n";

static void print_row(void *arg, const json_t *line)
{
	struct cli_context *ctx = arg;
	const char *state = cli_state(line);
	const char *style = strcmp(state, "delivered") == 0 ? "green"
			    : strcmp(state, "bounced") == 0 || strcmp(state, "expired") == 0 ||
					    strcmp(state, "parked") == 0
				    ? "red"
				    : "yellow";
	long long uncertain = (long long)json_integer_value(json_object_get(line, "uncertain"));
	char at[CLI_WHEN_MAX];

	if (json_object_get(line, "totals")) {
		cli_print_totals(json_object_get(line, "totals"));
		return;
	}
	(void)printf("%s  %s  %s%-9s%s %s -> %s\n",
		cli_clock(cli_text(line, "accepted_at"), at),
		cli_text(line, "id"),
		cli_style(ctx, style),
		state,
		cli_style(ctx, "off"),
		cli_text(line, "sender")[0] ? cli_text(line, "sender") : "<>",
		cli_text(line, "recipient"));
	if (cli_text(line, "subject")[0])
		(void)printf("    subject: %s\n", cli_text(line, "subject"));
	if (cli_text(line, "reply")[0])
		(void)printf("    %s%s%s%s: %.400s\n",
			cli_text(line, "finished_at")[0] ? "" : "last try, ",
			cli_text(line, "reason"),
			cli_text(line, "reason")[0] ? ", " : "",
			cli_text(line, "lane"),
			cli_text(line, "reply"));
	if (uncertain)
		(void)printf("    %suncertain%s: %lld attempt%s got no final reply; it may have "
			     "arrived %s\n",
			cli_style(ctx, "yellow"),
			cli_style(ctx, "off"),
			uncertain,
			uncertain == 1 ? "" : "s",
			strcmp(state, "delivered") == 0 ? "twice" : "already");
}

int cli_trace(struct cli_context *ctx, int argc, char **argv)
{
	json_t *request = json_object();
	const char *value = NULL;
	int seen = CLI_OPTION_END, code = EX_OK;

	while (code == EX_OK &&
		(seen = cli_option(ctx, argc, argv, cli_filter_options, help, &value)) >= 0)
		code = cli_filter_set(request, cli_filter_options[seen].name, value);
	if (code != EX_OK || seen != CLI_OPTION_END || optind < argc) {
		json_decref(request);
		if (code == EX_OK && seen == CLI_OPTION_HELP)
			return EX_OK;
		return code == EX_OK && optind < argc && seen == CLI_OPTION_END
			       ? cli_fail(EX_USAGE,
					 "what is '%s'? trace takes filters only (--help)",
					 argv[optind])
			       : EX_USAGE;
	}
	(void)json_object_set_new(request, "do", json_string("list"));
	(void)json_object_set_new(request, "history", json_true());
	cli_pager_open(ctx);
	code = cli_ask(ctx, request, print_row, ctx);
	cli_pager_close();
	return code;
}
