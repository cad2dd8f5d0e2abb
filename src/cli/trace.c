/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"usage: postern trace [FILTER...]\n\n"
	"The story of messages, delivered ones too, for as long as history.keep says.\n\n"
	"filters:\n" CLI_FILTER_HELP "\nexamples:\n"
	"  postern trace --to anna@example.org --since 1d\n"
	"  postern trace --sender erp@contoso.com --state bounced\n"
	"  postern trace --id 065YK9MWV98 --json\n";

static void print_row(void *arg, const json_t *line)
{
	struct cli_context *ctx = arg;
	const char *state = cli_text(line, "state");
	const char *style = strcmp(state, "delivered") == 0 ? "green"
			    : strcmp(state, "bounced") == 0 || strcmp(state, "expired") == 0
				    ? "red"
				    : "yellow";

	(void)printf("%.19s  %s  %s%-9s%s %s -> %s\n",
		cli_text(line, "accepted_at"),
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
}

int cli_trace(struct cli_context *ctx, int argc, char **argv)
{
	struct cli_option options[CLI_FILTER_OPTIONS + 3];
	json_t *request = json_object();
	const char *value = NULL;
	int seen;

	memcpy(options, cli_filter_options, sizeof(options[0]) * CLI_FILTER_OPTIONS);
	options[CLI_FILTER_OPTIONS] = (struct cli_option){ "to", true };
	options[CLI_FILTER_OPTIONS + 1] = (struct cli_option){ "from", true };
	options[CLI_FILTER_OPTIONS + 2] = (struct cli_option){ NULL, false };
	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0) {
		const char *key = options[seen].name;

		if (seen == CLI_FILTER_OPTIONS)
			key = "recipient";
		else if (seen == CLI_FILTER_OPTIONS + 1)
			key = "sender";
		(void)json_object_set_new(request, key, json_string(value));
	}
	if (seen != CLI_OPTION_END || optind < argc) {
		json_decref(request);
		if (seen == CLI_OPTION_HELP)
			return EX_OK;
		return optind < argc && seen == CLI_OPTION_END
			       ? cli_fail(EX_USAGE,
					 "what is '%s'? trace takes filters only (--help)",
					 argv[optind])
			       : EX_USAGE;
	}
	(void)json_object_set_new(request, "do", json_string("list"));
	(void)json_object_set_new(request, "history", json_true());
	return cli_ask(ctx, request, print_row, ctx);
}
