/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include "base/text.h"
#include "provider/remedy.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"usage: postern status [--config FILE] [--json]\n\n"
	"One screen: what waits, what is parked and why, each mailbox against its limits.\n"
	"SACDWV: six things that must be right at once, see `postern mailboxes`.\n\n"
	"example:\n"
	"  watch -n 2 postern status\n";

static long long number(const json_t *line, const char *key)
{
	return (long long)json_integer_value(json_object_get(line, key));
}

static void print_relay(struct cli_context *ctx, const json_t *line)
{
	char span[TEXT_DURATION_MAX], size[TEXT_DURATION_MAX], waiting[TEXT_DURATION_MAX];

	(void)printf("%spostern %s%s",
		cli_style(ctx, "bold"),
		cli_text(line, "version"),
		cli_style(ctx, "off"));
	if (json_is_true(json_object_get(line, "running")))
		(void)printf(" on %s, up %s, pid %lld\n",
			cli_text(line, "hostname"),
			text_span((uint64_t)number(line, "uptime_seconds") * US_PER_S, span),
			number(line, "pid"));
	else
		(void)printf(
			": %sthe daemon does not run%s; this is the queue as it lies on disk\n",
			cli_style(ctx, "red"),
			cli_style(ctx, "off"));
	cli_print(9,
		"queue    %lld waiting (%s), last 24 h %lld delivered, %lld bounced; %s free on "
		"disk\n",
		number(line, "messages_waiting"),
		text_size((uint64_t)number(line, "bytes_waiting"), waiting),
		number(line, "delivered_day"),
		number(line, "bounced_day"),
		text_size((uint64_t)number(line, "disk_free_bytes"), size));
	if (json_is_true(json_object_get(line, "disk_full")))
		(void)printf("         %sthe disk is full: new mail gets 452, delivery goes on%s\n",
			cli_style(ctx, "red"),
			cli_style(ctx, "off"));
}

static void print_listener(struct cli_context *ctx, const json_t *line)
{
	(void)printf("listen   %-24s %lld sessions, %lld accepted, %lld refused\n",
		cli_text(line, "name"),
		number(line, "sessions"),
		number(line, "accepted"),
		number(line, "refused"));
	if (json_is_true(json_object_get(line, "legacy_tls")))
		(void)printf("         %slegacy TLS%s  %s speaks TLS 1.0 and 1.1, too: %lld "
			     "sessions and %lld messages used them\n",
			cli_style(ctx, "yellow"),
			cli_style(ctx, "off"),
			cli_text(line, "name"),
			number(line, "legacy_sessions"),
			number(line, "legacy_messages"));
}

static void put_window(struct buf *out, const json_t *line, const char *used_key,
	const char *capacity_key, const char *unit)
{
	if (number(line, capacity_key))
		(void)!buf_printf(out,
			"  %lld/%lld %s",
			number(line, used_key),
			number(line, capacity_key),
			unit);
}

static void print_device(struct cli_context *ctx, const json_t *line)
{
	long long capacity = number(line, "day_capacity");
	bool used_up = capacity && number(line, "day_used") >= capacity;

	(void)printf("device   %-24s %lld accepted, %lld refused",
		cli_text(line, "name"),
		number(line, "accepted"),
		number(line, "refused"));
	(void)printf("  %s%lld", cli_style(ctx, used_up ? "red" : "off"), number(line, "day_used"));
	if (capacity)
		(void)printf("/%lld", capacity);
	(void)printf(" recipients/24h%s", cli_style(ctx, "off"));
	if (number(line, "quota_refused"))
		(void)printf("  %lld over the quota", number(line, "quota_refused"));
	if (number(line, "legacy_sessions"))
		(void)printf("  %lld sessions in legacy TLS", number(line, "legacy_sessions"));
	(void)printf("\n");
}

/* The same words as explain and check have, with this mailbox in them. */
static void print_remedy(const struct provider_remedy *remedy, const char *lane)
{
	CLEANUP(buf_deinitp) struct buf step = BUF_INIT(4096), command = BUF_INIT(4096);
	const char *slash = strchr(lane, '/');
	const struct provider_facts facts = { .mailbox = sv_from(slash ? slash + 1 : lane) };

	cli_print(9, "         who      %s\n", provider_owner_words(remedy->owner));
	if (remedy->steps[0] && provider_remedy_fill(remedy->steps[0], &facts, &step) == 0)
		cli_print(18, "         first    %.*s\n", SV_ARG(buf_sv(&step)));
	if (remedy->powershell[0] &&
		provider_remedy_fill(remedy->powershell[0], &facts, &command) == 0)
		cli_print(18, "         shell    %.*s\n", SV_ARG(buf_sv(&command)));
}

static void print_lane(struct cli_context *ctx, const json_t *line)
{
	const struct provider_remedy *remedy =
		provider_remedy(cause_parse(sv_from(cli_text(line, "reason"))), NULL);
	const char *state = cli_text(line, "state");
	CLEANUP(buf_deinitp) struct buf head = BUF_INIT(4096);
	char marks[CLI_SIX_MAX];
	const char *style = strcmp(state, "parked") == 0    ? "red"
			    : strcmp(state, "waiting") == 0 ? "yellow"
							    : "green";

	(void)!buf_printf(&head,
		"lane     %-32s %s%-8s%s %lld conn",
		cli_text(line, "lane"),
		cli_style(ctx, style),
		state,
		cli_style(ctx, "off"),
		number(line, "connections"));
	put_window(&head, line, "minute_used", "minute_capacity", "this minute");
	put_window(&head, line, "day_used", "day_capacity", "recipients/24h");
	if (json_object_get(line, "delivered_month"))
		(void)!buf_printf(&head,
			"  %lld recipients this month, $%lld.%02lld",
			number(line, "delivered_month"),
			number(line, "cost_cents") / 100,
			number(line, "cost_cents") % 100);
	if (strcmp(cli_text(line, "sign_in"), "app") == 0 ||
		strcmp(cli_text(line, "sign_in"), "user") == 0)
		(void)!buf_printf(&head, "  token of the %s", cli_text(line, "sign_in"));
	(void)!buf_printf(&head, "  SACDWV %s", cli_six(json_object_get(line, "checks"), marks));
	if (cli_text(line, "next_at")[0])
		(void)!buf_printf(&head, "  next %.19s", cli_text(line, "next_at"));
	cli_print(9, "%.*s\n", SV_ARG(buf_sv(&head)));
	if (number(line, "moved"))
		(void)printf("         %lld recipients went by another door, %s\n",
			number(line, "moved"),
			cli_text(line, "moved_to"));
	if (cli_text(line, "reason")[0])
		cli_print(9,
			"         %s%s%s  %s\n",
			cli_style(ctx, style),
			cli_text(line, "reason"),
			cli_style(ctx, "off"),
			remedy ? remedy->title : cli_text(line, "summary"));
	if (remedy)
		print_remedy(remedy, cli_text(line, "lane"));
	if (cli_text(line, "reply")[0])
		cli_print(9, "         said: %.300s\n", cli_text(line, "reply"));
}

/* Thousands of them may be well: only what is not is said. */
static void print_token(struct cli_context *ctx, const json_t *line)
{
	if (!cli_text(line, "reason")[0])
		return;
	cli_print(9,
		"token    %s%s%-24s %s%s%s%s\n         said: %.300s\n",
		cli_text(line, "tenant"),
		cli_text(line, "user")[0] ? " " : "",
		cli_text(line, "user"),
		cli_style(ctx, "red"),
		cli_text(line, "reason"),
		cli_style(ctx, "off"),
		cli_text(line, "expires_at")[0] ? "  the last one still lives" : "",
		cli_text(line, "reply"));
}

static void print_line(void *arg, const json_t *line)
{
	struct cli_context *ctx = arg;
	const char *type = cli_text(line, "type");

	if (strcmp(type, "relay") == 0)
		print_relay(ctx, line);
	else if (strcmp(type, "notice") == 0)
		cli_print(9,
			"%snotice   %s%s\n",
			cli_style(ctx, "yellow"),
			cli_text(line, "text"),
			cli_style(ctx, "off"));
	else if (strcmp(type, "listener") == 0)
		print_listener(ctx, line);
	else if (strcmp(type, "device") == 0)
		print_device(ctx, line);
	else if (strcmp(type, "lane") == 0)
		print_lane(ctx, line);
	else if (strcmp(type, "token") == 0)
		print_token(ctx, line);
	else if (strcmp(type, "waiting") == 0)
		cli_print(9,
			"waiting  %-32s %8lld %-7s %-20s oldest %.19s\n",
			cli_text(line, "lane")[0] ? cli_text(line, "lane") : "(no route)",
			number(line, "count"),
			cli_text(line, "state"),
			cli_text(line, "reason"),
			cli_text(line, "oldest_at"));
}

static int simple_request(struct cli_context *ctx, int argc, char **argv, const char *verb,
	const char *usage, cli_line_fn *each)
{
	const char *value = NULL;
	json_t *request;
	int seen = cli_option(ctx, argc, argv, NULL, usage, &value);

	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	if (optind < argc)
		return cli_fail(EX_USAGE, "%s takes no operand: '%s'", verb, argv[optind]);
	request = json_object();
	(void)json_object_set_new(request, "do", json_string(verb));
	return cli_ask(ctx, request, each, ctx);
}

int cli_status(struct cli_context *ctx, int argc, char **argv)
{
	return simple_request(ctx, argc, argv, "status", help, print_line);
}

static void print_finding(void *arg, const json_t *line)
{
	(void)arg;
	(void)fprintf(stderr, "%s\n", cli_text(line, "finding"));
}

int cli_reload(struct cli_context *ctx, int argc, char **argv)
{
	return simple_request(ctx,
		argc,
		argv,
		"reload",
		"usage: postern reload [--config FILE]\n\n"
		"Makes the running daemon read its configuration again (as SIGHUP does) and says "
		"what is\n"
		"wrong with it. A bad file keeps the old configuration in force.\n",
		print_finding);
}
