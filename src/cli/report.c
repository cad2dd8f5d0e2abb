/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include "base/text.h"
#include "io/loop.h"
#include "provider/remedy.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char help[] =
	"usage: postern report [--since WHEN] [--until WHEN] [--limit N] [--json]\n\n"
	"A page of plain text, for cron: what was accepted in a day and what became\n"
	"of it, by sender, mailbox and cause, for as far back as history.keep goes.\n\n"
	"  --since WHEN    yesterday (the default: the whole day), today, 2026-11-29 (from\n"
	"                  midnight here), 2026-11-29T20:00:00Z, or an age: 12h, 7d\n"
	"  --until WHEN    likewise\n"
	"  --limit N       at most N lines of a kind; default 20\n"
	"  --config FILE   default /etc/postern/postern.yaml\n"
	"  --json          one object a line\n\n"
	"examples:\n"
	"  postern report | mail -s \"mail of yesterday\" root\n"
	"  postern report --since 7d --limit 100\n";

enum {
	REPLY_SHOWN = 110
};

struct page {
	const char *kind; /* of the last line */
};

static long long number(const json_t *line, const char *key)
{
	return (long long)json_integer_value(json_object_get(line, key));
}

/* ---- the span ---- */

/* Midnight of the day `days` before today, in the zone of this machine, as the daemon takes it. */
static const char *midnight(int days, char out[WALL_RFC3339_MAX])
{
	time_t now = (time_t)(io_clock_wall().us / (int64_t)US_PER_S);
	struct tm tm = { 0 };

	(void)localtime_r(&now, &tm);
	tm.tm_mday -= days;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_isdst = -1;
	return wall_rfc3339((struct wall_time){ (int64_t)mktime(&tm) * (int64_t)US_PER_S }, out);
}

/* "2026-11-29" means from midnight here; other forms are the daemon's to read. */
static const char *instant(const char *text, char out[WALL_RFC3339_MAX])
{
	struct tm tm = { .tm_isdst = -1 };
	const char *end = strptime(text, "%Y-%m-%d", &tm);

	if (strcmp(text, "yesterday") == 0)
		return midnight(1, out);
	if (strcmp(text, "today") == 0)
		return midnight(0, out);
	if (!end || *end)
		return text;
	return wall_rfc3339((struct wall_time){ (int64_t)mktime(&tm) * (int64_t)US_PER_S }, out);
}

/* ---- the page ---- */

static const char *local_minute(const char *rfc3339, char out[64])
{
	struct tm tm = { 0 };
	time_t at;

	out[0] = '\0';
	if (!strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm))
		return out;
	at = timegm(&tm);
	if (localtime_r(&at, &tm))
		(void)strftime(out, 64, "%Y-%m-%d %H:%M %Z", &tm);
	return out;
}

static void print_state(const json_t *line, const char *key, const char *words)
{
	if (number(line, key))
		(void)printf("  %-10s %8lld  %s\n", key, number(line, key), words);
}

static void print_total(const json_t *line)
{
	char since[64], until[64], size[TEXT_DURATION_MAX], mean[TEXT_DURATION_MAX],
		longest[TEXT_DURATION_MAX];

	(void)printf("Mail accepted from %s to %s\n\n",
		cli_text(line, "since")[0] ? local_minute(cli_text(line, "since"), since)
					   : "the beginning",
		cli_text(line, "until")[0] ? local_minute(cli_text(line, "until"), until) : "now");
	(void)printf("  %-10s %8lld  for %lld recipients, %s\n",
		"messages",
		number(line, "messages"),
		number(line, "recipients"),
		text_size((uint64_t)number(line, "bytes"), size));
	(void)printf("  %-10s %8lld", "delivered", number(line, "delivered"));
	if (number(line, "delivered"))
		(void)printf("  after %s on average, %s at most",
			text_span((uint64_t)number(line, "delay_us"), mean),
			text_span((uint64_t)number(line, "delay_us_max"), longest));
	(void)printf("\n");
	print_state(line, "bounced", "returned to the sender");
	print_state(line, "expired", "given up after the time limit");
	print_state(line, "dropped", "deleted by an operator");
	print_state(
		line, "held", "until an operator releases them: postern queue list --state held");
	print_state(line, "waiting", "for their next attempt: postern queue list");
}

static void print_group(const json_t *line, const char *kind)
{
	char size[TEXT_DURATION_MAX], others[64];
	const char *name = cli_text(line, "name");

	if (json_is_true(json_object_get(line, "others"))) {
		(void)snprintf(others, sizeof(others), "(%lld others)", number(line, "names"));
		name = others;
	} else if (name[0] == '\0') {
		name = strcmp(kind, "sender") == 0 ? "<> (bounces and notices)" : "(no route)";
	}
	(void)printf("  %-44s %10lld %10lld %8lld %8lld %10s\n",
		name,
		number(line, "recipients"),
		number(line, "delivered"),
		number(line, "bounced") + number(line, "expired") + number(line, "dropped"),
		number(line, "waiting") + number(line, "held"),
		text_size((uint64_t)number(line, "bytes"), size));
}

/* A line of mail is short; the whole reply is in `postern trace`. */
static struct sv cut(struct sv reply)
{
	size_t len = reply.len > REPLY_SHOWN ? REPLY_SHOWN : reply.len;

	while (len && len < reply.len && ((unsigned char)reply.ptr[len] & 0xc0) == 0x80)
		len--;
	return sv_head(reply, len);
}

static void print_cause(const json_t *line)
{
	struct sv reply = sv_from(cli_text(line, "reply"));
	const struct provider_remedy *remedy =
		provider_remedy(cause_parse(sv_from(cli_text(line, "name"))), NULL);

	if (json_is_true(json_object_get(line, "others"))) {
		(void)printf("  %8lld  (%lld other causes)\n",
			number(line, "recipients"),
			number(line, "names"));
		return;
	}
	(void)printf("  %8lld  %s", number(line, "recipients"), cli_text(line, "name"));
	if (remedy)
		(void)printf(": %s", remedy->title);
	(void)printf("\n");
	if (reply.len)
		(void)printf("            %.*s%s\n",
			SV_ARG(cut(reply)),
			cut(reply).len < reply.len ? "..." : "");
}

static void print_line(void *arg, const json_t *line)
{
	static const char columns[] = "recipients  delivered   failed  waiting       size";
	struct page *p = arg;
	const char *kind = cli_text(line, "type");
	bool first = !p->kind || strcmp(p->kind, kind) != 0;

	if (strcmp(kind, "total") == 0) {
		print_total(line);
	} else if (strcmp(kind, "cause") == 0) {
		if (first)
			(void)printf("\nnot delivered, by cause\n");
		p->kind = "cause";
		print_cause(line);
	} else {
		bool sender = strcmp(kind, "sender") == 0;

		if (first)
			(void)printf("\n%-46s %s\n", sender ? "by sender" : "by mailbox", columns);
		p->kind = sender ? "sender" : "mailbox";
		print_group(line, kind);
	}
}

int cli_report(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = {
		{ "since", true }, { "until", true }, { "limit", true }, { NULL, false }
	};
	const char *value = NULL, *since = NULL, *until = NULL;
	char from[WALL_RFC3339_MAX], to[WALL_RFC3339_MAX];
	struct page page = { 0 };
	uint32_t limit = 0;
	json_t *request;
	int seen;

	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0) {
		if (seen == 0)
			since = value;
		else if (seen == 1)
			until = value;
		else if (sv_parse_u32(sv_from(value), UINT32_MAX, &limit) != 0 || limit == 0)
			return cli_fail(EX_USAGE, "--limit: '%s' is not a number above 0", value);
	}
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	if (optind < argc)
		return cli_fail(EX_USAGE,
			"report takes no operand: '%s'; did you mean --since %s?",
			argv[optind],
			argv[optind]);
	/* A report of yesterday is one of the whole day. */
	if (!until && (!since || strcmp(since, "yesterday") == 0))
		until = "today";
	request = json_object();
	(void)json_object_set_new(request, "do", json_string("report"));
	(void)json_object_set_new(
		request, "since", json_string(instant(since ? since : "yesterday", from)));
	if (until)
		(void)json_object_set_new(request, "until", json_string(instant(until, to)));
	if (limit)
		(void)json_object_set_new(request, "limit", json_integer(limit));
	return cli_ask(ctx, request, print_line, &page);
}
