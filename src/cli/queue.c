/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include "base/buf.h"
#include "base/guess.h"
#include "base/sv.h"
#include "base/text.h"
#include "cli/pager.h"
#include "cli/transcript.h"
#include "cli/when.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"usage: postern queue ACTION [FILTER...] [ID...]\n\n"
	"  list        waiting mail, one line a recipient\n"
	"  show ID     one message: each attempt, its verdict and the whole reply;\n"
	"              --transcript: what was said in the last one that failed\n"
	"  summary     how much waits, by mailbox, state and reason\n"
	"  retry       try now; hold, release: keep back and give free again\n"
	"  reroute     --through NAME: send by another mailbox or connector\n"
	"  drop        delete without a bounce (asks for --yes when it is more than an ID)\n\n"
	"filters (--tenant, --sort, --limit: of list only):\n" CLI_FILTER_HELP
	"  --yes                 really, for drop\n\n"
	"examples:\n"
	"  postern queue list --state parked\n"
	"  postern queue list --older 1h --sort size --limit 20\n"
	"  postern queue show 065YK9MWV98\n"
	"  postern queue retry --mailbox erp@contoso.com\n"
	"  postern queue hold --sender '*@go.contoso.com'\n"
	"  postern queue reroute --reason send-as-denied --through crm@contoso.com\n";

/* ---- list ---- */

const char *cli_state(const json_t *line)
{
	return json_is_true(json_object_get(line, "parked")) ? "parked" : cli_text(line, "state");
}

static long long number(const json_t *line, const char *key)
{
	return (long long)json_integer_value(json_object_get(line, key));
}

void cli_print_totals(const json_t *totals)
{
	char n[3][CLI_COUNT_MAX], size[TEXT_DURATION_MAX];
	long long recipients = number(totals, "recipients"), shown = number(totals, "shown");
	bool more = json_is_true(json_object_get(totals, "more"));

	if (recipients == 0) {
		(void)printf("nothing matches\n");
		return;
	}
	(void)printf("\n%s%s recipient%s of %s message%s, %s",
		more ? "the first " : "",
		cli_count(recipients, n[0]),
		recipients == 1 ? "" : "s",
		cli_count(number(totals, "messages"), n[1]),
		number(totals, "messages") == 1 ? "" : "s",
		text_size((uint64_t)number(totals, "bytes"), size));
	if (number(totals, "parked"))
		(void)printf("; %s parked", cli_count(number(totals, "parked"), n[0]));
	if (number(totals, "held"))
		(void)printf("; %s held", cli_count(number(totals, "held"), n[0]));
	if (shown < recipients)
		(void)printf("; %s shown", cli_count(shown, n[2]));
	(void)printf("%s\n", more ? "; there are more" : "");
}

static void print_row(void *arg, const json_t *line)
{
	struct cli_context *ctx = arg;
	const json_t *hold = json_object_get(line, "hold");
	const char *reason = cli_text(hold, "reason"), *sender = cli_text(line, "sender");
	const char *next_at = cli_text(hold, "next_at"), *state = cli_state(line);
	const json_t *wait = json_object_get(line, "wait");
	CLEANUP(buf_deinitp) struct buf words = BUF_INIT(2048);
	char at[CLI_WHEN_MAX];

	if (json_object_get(line, "totals")) {
		cli_print_totals(json_object_get(line, "totals"));
		return;
	}
	if (!next_at[0])
		next_at = cli_text(line, "next_at");
	(void)printf("%s%s%s  %s%-9s%s %s  %s -> %s",
		cli_style(ctx, "bold"),
		cli_text(line, "id"),
		cli_style(ctx, "off"),
		cli_style(ctx, strcmp(state, "parked") == 0 ? "red" : "off"),
		state,
		cli_style(ctx, "off"),
		cli_clock(cli_text(line, "accepted_at"), at),
		sender[0] ? sender : "<>",
		cli_text(line, "recipient"));
	if (cli_waits_for_limits(line) || (!hold && wait))
		cli_put_waits_for(line, &words);
	if (words.len)
		(void)printf("  %.*s", SV_ARG(buf_sv(&words)));
	else if (next_at[0])
		(void)printf("  next try %s", cli_relative(next_at, at));
	(void)printf("\n");
	if (reason[0] || cli_text(line, "reply")[0])
		cli_print(13,
			"             %s%s%s  %.300s\n",
			cli_style(ctx, "yellow"),
			reason[0] ? reason : cli_text(line, "reason"),
			cli_style(ctx, "off"),
			cli_text(line, "reply"));
}

/* ---- show ---- */

static void print_message(struct cli_context *ctx, const json_t *line)
{
	static const struct {
		const char *key, *label;
		bool is_time;
	} keys[] = {
		{ "sender", "from", false },
		{ "subject", "subject", false },
		{ "message_id", "message-id", false },
		{ "accepted_at", "accepted", true },
		{ "finished_at", "finished", true },
		{ "expires_at", "expires", true },
		{ "user", "user", false },
		{ "client", "client", false },
		{ "device", "device", false },
		{ "bounce_of", "bounce of", false },
	};
	char size[TEXT_DURATION_MAX], at[CLI_WHEN_MAX];

	(void)printf("%s%s%s  %s\n",
		cli_style(ctx, "bold"),
		cli_text(line, "id"),
		cli_style(ctx, "off"),
		text_size((uint64_t)number(line, "size"), size));
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		const char *value = cli_text(line, keys[i].key);

		/* What is finished does not expire any more. */
		if (strcmp(keys[i].key, "expires_at") == 0 && cli_text(line, "finished_at")[0])
			continue;
		if (value[0] || strcmp(keys[i].key, "sender") == 0)
			(void)printf("  %-11s %s\n",
				keys[i].label,
				keys[i].is_time ? cli_when(value, at)
				: value[0]      ? value
						: "<>");
	}
}

static void print_attempt(struct cli_context *ctx, const json_t *line)
{
	const char *verdict = cli_text(line, "verdict");
	const char *style = strcmp(verdict, "delivered") == 0 ? "green" : "yellow";
	char at[CLI_WHEN_MAX];

	(void)printf("  %s  attempt %lld  %s  ",
		cli_clock(cli_text(line, "at"), at),
		number(line, "attempt"),
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

/* What holds it: the reason, till when, who can fix it, how. */
static void print_hold(struct cli_context *ctx, const json_t *line, const json_t *hold)
{
	const char *title = cli_text(hold, "title"), *next = cli_text(hold, "next_at");
	const char *scope = cli_text(hold, "scope"), *since = cli_text(hold, "since");
	char at[CLI_WHEN_MAX];

	cli_print(14,
		"    waits     %s%s (%s)%s%s\n",
		strcmp(scope, "recipient") == 0         ? ""
		: strcmp(scope, "tenant-external") == 0 ? "mail of its tenant to the outside: "
		: strcmp(scope, "sender") == 0          ? "its sender at this mailbox: "
		: strcmp(scope, "tenant") == 0          ? "its tenant: "
							: "its mailbox or connector: ",
		title[0]                       ? title
		: cli_text(hold, "summary")[0] ? cli_text(hold, "summary")
					       : cli_text(line, "reply"),
		cli_text(hold, "reason"),
		since[0] ? ", since " : "",
		since[0] ? cli_when(since, at) : "");
	if (next[0])
		cli_print(14, "    next try  %s\n", cli_when(next, at));
	cli_print_remedy(ctx, hold, 4);
}

/* Nothing holds it: a limit, or those that leave before it. */
static void print_wait(const json_t *line)
{
	CLEANUP(buf_deinitp) struct buf words = BUF_INIT(2048);
	const json_t *wait = json_object_get(line, "wait");
	const char *about = cli_text(wait, "about_at");
	char at[CLI_WHEN_MAX], n[CLI_COUNT_MAX], pace[CLI_PACE_MAX];
	long long ahead = number(wait, "ahead");

	if (!wait) {
		(void)printf("    waits until postern runs\n");
		return;
	}
	cli_put_waits_for(line, &words);
	if (words.len == 0)
		return;
	if (ahead)
		(void)!buf_printf(&words,
			": %s message%s before it",
			cli_count(ahead, n),
			ahead == 1 ? "" : "s");
	if (about[0])
		(void)!buf_printf(&words, "; leaves about %s", cli_when(about, at));
	if (cli_pace(wait, pace)[0])
		(void)!buf_printf(&words, "; the binding limit is %s", pace);
	cli_print(14, "    %.*s\n", SV_ARG(buf_sv(&words)));
}

static void print_recipient(struct cli_context *ctx, const json_t *line)
{
	const json_t *hold = json_object_get(line, "hold");
	const char *state = cli_state(line);
	bool queued = strcmp(cli_text(line, "state"), "queued") == 0;
	bool waits = queued || strcmp(cli_text(line, "state"), "held") == 0;

	(void)printf("  %-11s %s: %s%s%s",
		"to",
		cli_text(line, "recipient"),
		cli_style(ctx, strcmp(state, "parked") == 0 ? "red" : "bold"),
		state,
		cli_style(ctx, "off"));
	if (!waits && cli_text(line, "reason")[0])
		(void)printf(" (%s)", cli_text(line, "reason"));
	if (number(line, "uncertain"))
		(void)printf("; %lld uncertain attempts: it may have arrived",
			number(line, "uncertain"));
	(void)printf("\n");
	if (waits && hold)
		print_hold(ctx, line, hold);
	if (queued && (!hold || cli_waits_for_limits(line)))
		print_wait(line);
	else if (strcmp(state, "open") == 0)
		(void)printf("    being sent right now\n");
}

struct show {
	struct cli_context *ctx;
	bool transcript;
	bool any_transcript;
	char id[TEXT_ID_MAX];
};

static void print_transcript(struct show *s, const json_t *line)
{
	const json_t *lines = json_object_get(line, "lines"), *one;
	size_t i;

	s->any_transcript = true;
	if (!s->transcript)
		return;
	if (json_object_get(line, "attempt"))
		(void)printf("  what was said in attempt %lld (seconds, > we, < the server):\n",
			number(line, "attempt"));
	else
		cli_print(4,
			"  what was said when %s was last tried (%s; seconds, > we, < the "
			"server):\n",
			cli_text(line, "lane"),
			cli_text(line, "reason"));
	json_array_foreach(lines, i, one)
	{
		const struct smtp_transcript_line l = { .ms = (uint64_t)number(one, "ms"),
			.side = cli_transcript_side(cli_text(one, "from")),
			.text = sv_from(cli_text(one, "text")) };

		cli_transcript_line(s->ctx, stdout, &l);
	}
}

/* What was asked for and is not there, and what is there and was not asked for. */
static void end_show(const struct show *s)
{
	if (s->transcript && !s->any_transcript)
		(void)printf("  no transcript: no session of it failed, or it was too long ago\n");
	else if (!s->transcript && s->any_transcript)
		(void)printf("  what was said: `postern queue show --transcript %s`\n", s->id);
}

static void print_story(void *arg, const json_t *line)
{
	struct show *s = arg;
	struct cli_context *ctx = s->ctx;
	const char *type = cli_text(line, "type");

	if (strcmp(type, "message") == 0)
		print_message(ctx, line);
	else if (strcmp(type, "recipient") == 0)
		print_recipient(ctx, line);
	else if (strcmp(type, "transcript") == 0)
		print_transcript(s, line);
	else
		print_attempt(ctx, line);
}

/* ---- summary, edit ---- */

static void print_summary(void *arg, const json_t *line)
{
	char size[TEXT_DURATION_MAX], at[CLI_WHEN_MAX];
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
	(void)printf("%8lld  %-8s %-32s %-24s oldest %s\n",
		(long long)json_integer_value(json_object_get(line, "count")),
		cli_text(line, "state"),
		lane[0] ? lane : "(no route)",
		cli_text(line, "reason"),
		cli_when(cli_text(line, "oldest_at"), at));
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

struct options {
	char *action;
	bool yes, transcript;
};

static int list(struct cli_context *ctx, json_t *request)
{
	int code;

	cli_pager_open(ctx);
	code = cli_ask(ctx, request, print_row, ctx);
	cli_pager_close();
	return code;
}

static int show(struct cli_context *ctx, json_t *request, const char *id, bool transcript)
{
	struct show s = { .ctx = ctx, .transcript = transcript };
	int code;

	(void)snprintf(s.id, sizeof(s.id), "%s", id);
	cli_pager_open(ctx);
	code = cli_ask(ctx, request, print_story, &s);
	if (code == EX_OK && !ctx->json)
		end_show(&s);
	cli_pager_close();
	return code;
}

static int act(
	struct cli_context *ctx, json_t *request, const struct options *o, int ids, char **id)
{
	static const char *const edits[] = { "retry", "hold", "release", "drop", "reroute" };
	char *action = o->action;
	struct guess g = { .name = sv_from(action) };

	if (strcmp(action, "list") == 0) {
		set(request, "do", "list");
		if (ids == 1)
			set(request, "id", id[0]);
		return list(ctx, request);
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
		return show(ctx, request, id[0], o->transcript);
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
	struct cli_context *ctx, int argc, char **argv, json_t *request, struct options *out)
{
	enum {
		YES = CLI_FILTER_OPTIONS,
		THROUGH,
		TRANSCRIPT,
		ALL
	};
	struct cli_option options[ALL + 1];
	const char *value = NULL;
	int seen;

	memcpy(options, cli_filter_options, sizeof(options[0]) * CLI_FILTER_OPTIONS);
	options[YES] = (struct cli_option){ "yes", false };
	options[THROUGH] = (struct cli_option){ "through", true };
	options[TRANSCRIPT] = (struct cli_option){ "transcript", false };
	options[ALL] = (struct cli_option){ NULL, false };
	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0) {
		if (seen == YES)
			out->yes = true;
		else if (seen == TRANSCRIPT)
			out->transcript = true;
		else if (seen == THROUGH)
			set(request, "to", value);
		else if (cli_filter_set(request, options[seen].name, value) != EX_OK)
			return CLI_OPTION_WRONG;
	}
	return seen;
}

int cli_queue(struct cli_context *ctx, int argc, char **argv)
{
	json_t *request = json_object();
	struct options o = { 0 };
	int seen = read_options(ctx, argc, argv, request, &o);

	if (seen != CLI_OPTION_END) {
		json_decref(request);
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	}
	if (optind >= argc) {
		json_decref(request);
		(void)fputs(help, stderr);
		return EX_USAGE;
	}
	o.action = argv[optind++];
	if (strcmp(o.action, "drop") == 0 && optind == argc && !o.yes) {
		json_decref(request);
		return cli_fail(EX_USAGE, "drop by filter deletes mail for good: add --yes");
	}
	return act(ctx, request, &o, argc - optind, argv + optind);
}
