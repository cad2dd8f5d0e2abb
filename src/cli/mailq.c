/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include "base/text.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/*
 * The queue as Postfix's mailq prints it: scripts and monitoring read that (check_mailq -M postfix reads
 * the last line, -M sendmail the one before). `postern queue list` is for people.
 */
static const char help[] =
	"usage: postern mailq [--config FILE]\n\n"
	"The queue in the form of Postfix's mailq, for scripts; `mailq` runs it.\n"
	"'*' marks a message in an open attempt, '!' one that is held.\n";

enum {
	REPLY_SHOWN = 300
};

struct listing {
	char id[TEXT_ID_MAX];
	uint64_t messages, bytes;
};

/* "Mon Nov 30 02:00:00", in the zone of this machine. */
static void print_arrival(const char *rfc3339)
{
	struct tm tm = { 0 };
	char text[64] = "";
	time_t at;

	if (strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm)) {
		at = timegm(&tm);
		if (localtime_r(&at, &tm))
			(void)strftime(text, sizeof(text), "%a %b %e %H:%M:%S", &tm);
	}
	(void)printf("%s", text);
}

static void print_row(void *arg, const json_t *line)
{
	struct listing *l = arg;
	const char *id = cli_text(line, "id"), *state = cli_text(line, "state");
	json_int_t size = json_integer_value(json_object_get(line, "size"));
	const char *mark = strcmp(state, "open") == 0   ? "*"
			   : strcmp(state, "held") == 0 ? "!"
							: " ";

	/* The sums at the end are for `postern queue list`. */
	if (!id[0])
		return;
	if (strcmp(id, l->id) != 0) {
		if (l->messages == 0)
			(void)printf("-Queue ID-  --Size-- ----Arrival Time---- "
				     "-Sender/Recipient-------\n");
		(void)snprintf(l->id, sizeof(l->id), "%s", id);
		l->messages++;
		l->bytes += (uint64_t)size;
		(void)printf("%s%s%s %8" JSON_INTEGER_FORMAT " ",
			l->messages > 1 ? "\n" : "",
			id,
			mark,
			size);
		print_arrival(cli_text(line, "accepted_at"));
		(void)printf("  %s\n",
			cli_text(line, "sender")[0] ? cli_text(line, "sender") : "MAILER-DAEMON");
	}
	if (cli_text(line, "reply")[0])
		(void)printf("%*s(%.*s)\n", 12, "", REPLY_SHOWN, cli_text(line, "reply"));
	(void)printf("%*s%s\n", 41, "", cli_text(line, "recipient"));
}

int cli_mailq(struct cli_context *ctx, int argc, char **argv)
{
	struct listing l = { 0 };
	const char *value = NULL;
	json_t *request;
	int seen = cli_option(ctx, argc, argv, NULL, help, &value);
	int code;

	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	if (optind < argc)
		return cli_fail(EX_USAGE, "mailq takes no operand: '%s'", argv[optind]);
	request = json_object();
	(void)json_object_set_new(request, "do", json_string("list"));
	code = cli_ask(ctx, request, print_row, &l);
	if (code != EX_OK)
		return code;
	(void)printf("%s                Total Requests: %" PRIu64 "\n",
		l.messages ? "\n" : "",
		l.messages);
	if (l.messages == 0)
		(void)printf("Mail queue is empty\n");
	else
		(void)printf("-- %" PRIu64 " Kbytes in %" PRIu64 " Request%s.\n",
			(l.bytes + 1023) / 1024,
			l.messages,
			l.messages == 1 ? "" : "s");
	return EX_OK;
}
