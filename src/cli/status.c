/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "cli/when.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * One screen, however many mailboxes there are: the lines are kept until all have come, so that what needs
 * a person has all the room that the rest leaves.
 */
static const char help[] =
	"usage: postern status [--config FILE] [--json]\n\n"
	"One screen: what needs a person, what heals by itself, what is well. What has the\n"
	"same cause is one line, with who can fix it and the first step.\n\n"
	"  --config FILE  default /etc/postern/postern.yaml\n"
	"  --json         one object a line: the groups, then each lane and what waits\n\n"
	"Exit status: 0, or 69 when the daemon does not run: then the queue on disk is shown.\n\n"
	"examples:\n"
	"  watch -n 2 postern status\n"
	"  postern mailboxes --state parked   each mailbox of a group\n";

enum {
	LABEL = 11,
	SCREEN_LINES = 38,
	KIND_MAX = 64, /* lines of one kind: the daemon sends fewer groups */
	TENANT_LINES = 8,
	FEW = 3,
};

struct kept {
	json_t *items[KIND_MAX];
	size_t count, all;
};

struct screen {
	struct cli_context *ctx;
	struct kept relays, notices, groups, wells, clients, listeners, devices, users, tokens;
	/* Of all, kept or not. */
	long long mailboxes, connectors, tenants, used, capacity;
	long long sessions, accepted, refused;
	char done_at[CLI_WHEN_MAX];
	char done_by[CLI_PACE_MAX +
		     LIMIT_ADDRESS]; /* the one that takes until then, and its limit */
};

static long long number(const json_t *line, const char *key)
{
	return (long long)json_integer_value(json_object_get(line, key));
}

static const char *style(const struct screen *s, const char *name)
{
	return cli_style(s->ctx, name);
}

/* ---- the pieces ---- */

static void PRINTF_LIKE(2, 3) put(struct buf *out, const char *fmt, ...)
{
	va_list args;
	char line[8192];

	va_start(args, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	must(cli_fold(out, sv_from(line), 0, LABEL, cli_columns()) == 0);
}

/* What the disk has damaged costs what stands on it; the rest goes on. */
static void put_damage(struct screen *s, const json_t *line, struct buf *out)
{
	CLEANUP(buf_deinitp) struct buf ids = BUF_INIT(1024);
	json_t *list = json_object_get(line, "damaged_ids");
	long long count = number(line, "damaged_messages");

	if (!cli_text(line, "damage_words")[0])
		return;
	for (size_t i = 0; i < json_array_size(list); i++)
		(void)!buf_printf(
			&ids, "%s%s", i ? " " : "", json_string_value(json_array_get(list, i)));
	if (count > (long long)json_array_size(list))
		(void)!buf_append(&ids, SV(" ..."));
	put(out,
		"%s%-10s %s. %lld message%s on damaged pages wait%s%s%.*s; everything else goes "
		"on. "
		"Stop postern and run `postern doctor --repair`.%s",
		style(s, "red"),
		"damage",
		cli_text(line, "damage_words"),
		count,
		count == 1 ? "" : "s",
		count == 1 ? "s" : "",
		ids.len ? ": " : "",
		SV_ARG(buf_sv(&ids)),
		style(s, "off"));
}

static void put_relay(struct screen *s, const json_t *line, struct buf *out)
{
	char span[TEXT_DURATION_MAX], size[TEXT_DURATION_MAX], waiting[TEXT_DURATION_MAX];
	char n[4][CLI_COUNT_MAX], age[CLI_WHEN_MAX];
	const char *oldest = cli_text(line, "oldest_at");

	if (json_is_true(json_object_get(line, "running")))
		put(out,
			"%spostern %s%s on %s, up %s, pid %lld",
			style(s, "bold"),
			cli_text(line, "version"),
			style(s, "off"),
			cli_text(line, "hostname"),
			text_span((uint64_t)number(line, "uptime_seconds") * US_PER_S, span),
			number(line, "pid"));
	else
		put(out,
			"%spostern %s%s: %sthe daemon does not run%s; this is the queue as it lies "
			"on "
			"disk",
			style(s, "bold"),
			cli_text(line, "version"),
			style(s, "off"),
			style(s, "red"),
			style(s, "off"));
	put(out,
		"queue      %s waiting (%s)%s%s; last 24 h: %s sent, %s uncertain, %s bounced; %s "
		"free "
		"on disk",
		cli_count(number(line, "messages_waiting"), n[0]),
		text_size((uint64_t)number(line, "bytes_waiting"), waiting),
		oldest[0] ? ", oldest " : "",
		oldest[0] ? cli_relative(oldest, age) : "",
		cli_count(number(line, "delivered_day"), n[1]),
		cli_count(number(line, "uncertain_day"), n[2]),
		cli_count(number(line, "bounced_day"), n[3]),
		text_size((uint64_t)number(line, "disk_free_bytes"), size));
	if (cli_text(line, "disk_trouble")[0])
		put(out,
			"%s%-10s %s. New mail is refused (451) until that is over; `postern check` "
			"and the log say more.%s",
			style(s, "red"),
			"disk fails",
			cli_text(line, "disk_words"),
			style(s, "off"));
	put_damage(s, line, out);
	if (json_is_true(json_object_get(line, "disk_full")))
		put(out,
			"%sdisk full  new mail is refused (452) until there is room; delivery goes "
			"on. "
			"Free some space in data_dir, or lower `history: { max }`.%s",
			style(s, "red"),
			style(s, "off"));
}

/* "mailbox erp@contoso.com", "250 mailboxes of tenant t03", "sender a@b at erp@contoso.com". */
static void put_subject(const json_t *g, struct buf *out)
{
	const char *scope = cli_text(g, "scope"), *tenant = cli_text(g, "tenant");
	const char *first = json_string_value(json_array_get(json_object_get(g, "names"), 0));
	bool recipients = strcmp(scope, "recipient") == 0;
	long long count = recipients ? number(g, "waiting") : number(g, "count");
	char n[CLI_COUNT_MAX];

	if (strcmp(scope, "tenant-external") == 0) {
		(void)!buf_printf(out, "mail of tenant %s to the outside", first ? first : tenant);
		return;
	}
	if (count == 1 && first && !recipients) {
		(void)!buf_printf(out, "%s %s", scope, first);
		if (strcmp(scope, "sender") == 0)
			(void)!buf_printf(out, " at %s", cli_text(g, "mailbox"));
		return;
	}
	(void)!buf_printf(out,
		"%s %s%s",
		cli_count(count, n),
		scope,
		count == 1                      ? ""
		: strcmp(scope, "mailbox") == 0 ? "es"
						: "s");
	if (recipients && number(g, "count") == 1 && first && first[0])
		(void)!buf_printf(out, " of %s", first);
	else if (tenant[0])
		(void)!buf_printf(out, " of tenant %s", tenant);
	else if (number(g, "tenants") > 1)
		(void)!buf_printf(out, " in %s tenants", cli_count(number(g, "tenants"), n));
}

/* "parked since 00:12 +01:00 (2 h ago), 500 waiting, next try in 12 min" */
static void put_state(const json_t *g, struct buf *out)
{
	char n[CLI_COUNT_MAX], at[CLI_WHEN_MAX];
	const char *since = cli_text(g, "since"), *next = cli_text(g, "next_at");

	(void)!buf_printf(out, "%s", cli_text(g, "state"));
	if (since[0])
		(void)!buf_printf(out, " since %s", cli_when(since, at));
	(void)!buf_printf(out, ", %s waiting", cli_count(number(g, "waiting"), n));
	if (next[0])
		(void)!buf_printf(out, ", next try %s", cli_relative(next, at));
	else if (strcmp(cli_text(g, "nature"), "reputation") == 0)
		(void)!buf_printf(out, ", until a person releases it");
}

static const char *label_of(const struct screen *s, const json_t *g, size_t at)
{
	bool person = strcmp(cli_text(g, "needs"), "person") == 0;
	const char *before = at ? cli_text(s->groups.items[at - 1], "needs") : "";

	if (strcmp(before, cli_text(g, "needs")) == 0)
		return "";
	return person ? "needs you" : "by itself";
}

/* Where each one of it is listed. */
static void put_more(const json_t *g, struct buf *out)
{
	const char *scope = cli_text(g, "scope"), *tenant = cli_text(g, "tenant");
	const char *first = json_string_value(json_array_get(json_object_get(g, "names"), 0));
	bool lanes = strcmp(scope, "mailbox") == 0 || strcmp(scope, "connector") == 0;

	if (lanes && number(g, "count") == 1)
		put(out, "           more: postern mailboxes %s", first ? first : "");
	else
		put(out,
			"           more: postern %s --reason %s%s%s",
			lanes ? "mailboxes" : "queue list",
			cli_text(g, "reason"),
			tenant[0] ? " --tenant " : "",
			tenant);
}

/* Without Exchange's [HOST TIME ID] at the end: `queue show` has the whole. */
static struct sv short_reply(const char *reply)
{
	struct sv text = sv_head(sv_from(reply), 240);
	ptrdiff_t bracket = sv_find(text, SV(" ["));

	return bracket > 0 ? sv_head(text, (size_t)bracket) : text;
}

static void put_group(struct screen *s, size_t at, bool brief, struct buf *out)
{
	CLEANUP(buf_deinitp) struct buf subject = BUF_INIT(4096), state = BUF_INIT(1024);
	const json_t *g = s->groups.items[at];
	bool person = strcmp(cli_text(g, "needs"), "person") == 0;
	const char *title = cli_text(g, "title");

	put_subject(g, &subject);
	put_state(g, &state);
	put(out,
		"%s%-10s%s %.*s: %s%s%s%s%s%s",
		style(s, person ? "red" : "yellow"),
		label_of(s, g, at),
		style(s, "off"),
		SV_ARG(buf_sv(&subject)),
		style(s, "bold"),
		title[0] ? title : cli_text(g, "reason"),
		style(s, "off"),
		title[0] ? " (" : "",
		title[0] ? cli_text(g, "reason") : "",
		title[0] ? ")" : "");
	put(out, "           %.*s", SV_ARG(buf_sv(&state)));
	if (brief)
		return;
	/* Of many, each was told its own words, with its own numbers. */
	if (cli_text(g, "reply")[0] && number(g, "count") == 1)
		put(out, "           said: %.*s", SV_ARG(short_reply(cli_text(g, "reply"))));
	if (person && cli_text(g, "step")[0])
		put(out, "           %s: %s", cli_text(g, "who"), cli_text(g, "step"));
	else if (person && cli_text(g, "summary")[0])
		put(out, "           %s", cli_text(g, "summary"));
	if (person && cli_text(g, "or")[0])
		put(out, "           or: %s", cli_text(g, "or"));
	if (person && cli_text(g, "command")[0] && number(g, "count") == 1)
		put(out, "           %s", cli_text(g, "command"));
	if (person)
		put_more(g, out);
}

/* ---- what is well ---- */

static void put_use(long long used, long long capacity, struct buf *out)
{
	char n[2][CLI_COUNT_MAX];

	(void)!buf_printf(out, "%s", cli_count(used, n[0]));
	if (capacity)
		(void)!buf_printf(out,
			" of %s recipients in 24 h (%lld %%)",
			cli_count(capacity, n[1]),
			(used * 100 + capacity / 2) / capacity);
	else
		(void)!buf_printf(out, " recipients in 24 h");
}

static void put_wells(struct screen *s, struct buf *out)
{
	CLEANUP(buf_deinitp) struct buf use = BUF_INIT(512), who = BUF_INIT(512);
	char n[CLI_COUNT_MAX], at[CLI_WHEN_MAX];

	if (s->wells.all == 0)
		return;
	put_use(s->used, s->capacity, &use);
	if (s->mailboxes)
		(void)!buf_printf(&who,
			"%s mailbox%s",
			cli_count(s->mailboxes, n),
			s->mailboxes == 1 ? "" : "es");
	if (s->connectors)
		(void)!buf_printf(&who,
			"%s%s connector%s",
			s->mailboxes ? " and " : "",
			cli_count(s->connectors, n),
			s->connectors == 1 ? "" : "s");
	if (s->tenants > 1)
		(void)!buf_printf(&who, " in %s tenants", cli_count(s->tenants, n));
	put(out,
		"%shealthy%s    %.*s; %.*s%s%s%s",
		style(s, "green"),
		style(s, "off"),
		SV_ARG(buf_sv(&who)),
		SV_ARG(buf_sv(&use)),
		s->done_at[0] ? ", done about " : "",
		s->done_at[0] ? cli_when(s->done_at, at) : "",
		s->done_by);
	for (size_t i = 0; s->tenants > 1 && i < s->wells.count && i < TENANT_LINES; i++) {
		const json_t *w = s->wells.items[i];

		use.len = 0;
		put_use(number(w, "day_used"), number(w, "day_capacity"), &use);
		put(out,
			"           %-8s %s mailboxes, %.*s",
			cli_text(w, "tenant")[0] ? cli_text(w, "tenant") : "(no tenant)",
			cli_count(number(w, "mailboxes") + number(w, "connectors"), n),
			SV_ARG(buf_sv(&use)));
	}
	if (s->wells.all > TENANT_LINES)
		put(out,
			"           and %s more: postern mailboxes --sort tenant",
			cli_count((long long)(s->wells.all - TENANT_LINES), n));
}

/* ---- doors in ---- */

static void put_legacy(struct screen *s, const json_t *l, struct buf *out)
{
	if (json_is_true(json_object_get(l, "legacy_tls")))
		put(out,
			"           %slegacy TLS%s  %s speaks TLS 1.0 and 1.1, too: %lld sessions "
			"and "
			"%lld messages used them",
			style(s, "yellow"),
			style(s, "off"),
			cli_text(l, "name"),
			number(l, "legacy_sessions"),
			number(l, "legacy_messages"));
}

static void put_listeners(struct screen *s, struct buf *out)
{
	char n[3][CLI_COUNT_MAX];

	if (s->listeners.all > FEW)
		put(out,
			"listen     %zu listeners: %s sessions, %s accepted, %s refused",
			s->listeners.all,
			cli_count(s->sessions, n[0]),
			cli_count(s->accepted, n[1]),
			cli_count(s->refused, n[2]));
	for (size_t i = 0; i < s->listeners.count; i++) {
		const json_t *l = s->listeners.items[i];

		if (s->listeners.all <= FEW)
			put(out,
				"listen     %-24s %s sessions, %s accepted, %s refused",
				cli_text(l, "name"),
				cli_count(number(l, "sessions"), n[0]),
				cli_count(number(l, "accepted"), n[1]),
				cli_count(number(l, "refused"), n[2]));
		put_legacy(s, l, out);
	}
}

static void put_count(struct buf *out, const json_t *line, const char *key, const char *what)
{
	char n[CLI_COUNT_MAX];

	if (number(line, key))
		(void)!buf_printf(out, "; %s %s", cli_count(number(line, key), n), what);
}

static void put_clients(const struct screen *s, struct buf *out)
{
	CLEANUP(buf_deinitp) struct buf more = BUF_INIT(512);
	char n[2][CLI_COUNT_MAX], size[2][TEXT_DURATION_MAX];
	const json_t *c;

	if (s->clients.count == 0)
		return;
	c = s->clients.items[0];
	put_count(&more, c, "sign_ins_failed", "sign-ins failed since the start");
	put_count(&more, c, "sign_ins_blocked", "were not checked (too many had failed)");
	put_count(&more, c, "quota_refused", "refused over a quota");
	put(out,
		"clients    %s of %s sessions, %s of %s memory%.*s",
		cli_count(number(c, "sessions"), n[0]),
		cli_count(number(c, "sessions_max"), n[1]),
		text_size((uint64_t)number(c, "memory_bytes"), size[0]),
		text_size((uint64_t)number(c, "memory_max_bytes"), size[1]),
		SV_ARG(buf_sv(&more)));
}

static bool is_full(const json_t *line, const char *used, const char *capacity)
{
	return number(line, capacity) && number(line, used) >= number(line, capacity);
}

static bool is_used_up(const json_t *line)
{
	return is_full(line, "day_used", "day_capacity") ||
	       is_full(line, "day_messages_used", "day_messages_capacity") ||
	       is_full(line, "day_bytes_used", "day_bytes_capacity");
}

static void put_quota(struct screen *s, const char *kind, const json_t *line, struct buf *out)
{
	CLEANUP(buf_deinitp) struct buf use = BUF_INIT(512);
	char n[2][CLI_COUNT_MAX], size[2][TEXT_DURATION_MAX];

	if (json_object_get(line, "day_used"))
		put_use(number(line, "day_used"), number(line, "day_capacity"), &use);
	if (json_object_get(line, "day_messages_used"))
		(void)!buf_printf(&use,
			"%s%s of %s messages in 24 h",
			use.len ? ", " : "",
			cli_count(number(line, "day_messages_used"), n[0]),
			cli_count(number(line, "day_messages_capacity"), n[1]));
	if (json_object_get(line, "day_bytes_used"))
		(void)!buf_printf(&use,
			"%s%s of %s in 24 h",
			use.len ? ", " : "",
			text_size((uint64_t)number(line, "day_bytes_used"), size[0]),
			text_size((uint64_t)number(line, "day_bytes_capacity"), size[1]));
	put(out,
		"%-10s %-24s %s%.*s%s; %lld accepted, %lld refused, %lld over the quota%s",
		kind,
		cli_text(line, "name"),
		style(s, is_used_up(line) ? "red" : "off"),
		SV_ARG(buf_sv(&use)),
		style(s, "off"),
		number(line, "accepted"),
		number(line, "refused"),
		number(line, "quota_refused"),
		number(line, "legacy_sessions") ? "; uses legacy TLS" : "");
}

static void put_quotas(
	struct screen *s, const char *kind, const struct kept *lines, struct buf *out)
{
	size_t used_up = 0;

	for (size_t i = 0; i < lines->count; i++) {
		used_up += is_used_up(lines->items[i]);
		if (lines->all <= FEW || (is_used_up(lines->items[i]) && used_up <= FEW))
			put_quota(s, kind, lines->items[i], out);
	}
	if (lines->all > FEW)
		put(out,
			"%-10s %zu %ss; %zu have used up their quota",
			kind,
			lines->all,
			kind,
			used_up);
}

/* A sign-in that fails while its last token still lives holds nothing yet: no group tells it. */
static void put_tokens(struct screen *s, struct buf *out)
{
	for (size_t i = 0; i < s->tokens.count && i < FEW; i++) {
		const json_t *t = s->tokens.items[i];
		char at[CLI_WHEN_MAX];

		put(out,
			"token      %s%s%s: %s%s%s, the last token lives until %s",
			cli_text(t, "tenant"),
			cli_text(t, "user")[0] ? " " : "",
			cli_text(t, "user"),
			style(s, "red"),
			cli_text(t, "reason"),
			style(s, "off"),
			cli_when(cli_text(t, "expires_at"), at));
	}
	if (s->tokens.all > FEW)
		put(out,
			"           and %zu more sign-ins fail: postern status --json",
			s->tokens.all - FEW);
}

/* ---- what it has given up ---- */

static void put_confined(const struct screen *s, struct buf *out)
{
	for (size_t i = 0; i < s->relays.count; i++) {
		const char *what = cli_text(s->relays.items[i], "confined");
		const char *lacks = cli_text(s->relays.items[i], "confined_lacks");

		if (what[0])
			put(out, "confined   %s%s%s", what, lacks[0] ? "; not: " : "", lacks);
	}
}

/* ---- the screen ---- */

static size_t lines_of(struct sv text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += text.ptr[i] == '\n';
	return n;
}

/* How many lines the groups behind `at` need at least. */
static size_t least_lines(struct screen *s, size_t at)
{
	size_t n = 0;

	for (size_t i = at; i < s->groups.count; i++) {
		CLEANUP(buf_deinitp) struct buf brief = BUF_INIT(1 << 16);

		put_group(s, i, true, &brief);
		n += lines_of(buf_sv(&brief));
	}
	return n;
}

/* Each in full as long as the others have room to be named with their state. */
static void put_groups(struct screen *s, size_t room, struct buf *out)
{
	char n[CLI_COUNT_MAX];

	for (size_t i = 0; i < s->groups.count; i++) {
		CLEANUP(buf_deinitp) struct buf full = BUF_INIT(1 << 16), brief = BUF_INIT(1 << 16);
		size_t left = least_lines(s, i + 1);
		struct buf *taken = &full;

		put_group(s, i, false, &full);
		put_group(s, i, true, &brief);
		if (lines_of(buf_sv(&full)) + left > room)
			taken = &brief;
		if (lines_of(buf_sv(taken)) + (left > 0) > room) {
			put(out,
				"           and %s more causes: postern mailboxes; postern queue "
				"summary",
				cli_count((long long)(s->groups.count - i), n));
			return;
		}
		room -= lines_of(buf_sv(taken));
		must(buf_append(out, buf_sv(taken)) == 0);
	}
}

static void print_screen(struct screen *s)
{
	CLEANUP(buf_deinitp) struct buf top = BUF_INIT(1 << 20), groups = BUF_INIT(1 << 20);
	CLEANUP(buf_deinitp) struct buf rest = BUF_INIT(1 << 20);
	size_t used;

	for (size_t i = 0; i < s->relays.count; i++)
		put_relay(s, s->relays.items[i], &top);
	for (size_t i = 0; i < s->notices.count && i < FEW; i++)
		put(&top,
			"%snotice     %s%s",
			style(s, "yellow"),
			cli_text(s->notices.items[i], "text"),
			style(s, "off"));
	if (s->notices.all > FEW)
		put(&top,
			"           and %zu more notices: postern status --json",
			s->notices.all - FEW);
	put_wells(s, &rest);
	put_listeners(s, &rest);
	put_clients(s, &rest);
	put_quotas(s, "device", &s->devices, &rest);
	put_quotas(s, "user", &s->users, &rest);
	put_tokens(s, &rest);
	put_confined(s, &rest);
	used = lines_of(buf_sv(&top)) + lines_of(buf_sv(&rest));
	put_groups(s, used < SCREEN_LINES ? SCREEN_LINES - used : 0, &groups);
	(void)printf("%.*s%.*s%.*s",
		SV_ARG(buf_sv(&top)),
		SV_ARG(buf_sv(&groups)),
		SV_ARG(buf_sv(&rest)));
}

/* ---- the lines of the daemon ---- */

static void keep(struct kept *k, const json_t *line)
{
	k->all++;
	if (k->count < KIND_MAX)
		k->items[k->count++] = json_deep_copy(line);
}

static void keep_done(struct screen *s, const json_t *line)
{
	const json_t *pace = json_object_get(line, "pace");
	char text[CLI_PACE_MAX];

	(void)snprintf(s->done_at, sizeof(s->done_at), "%s", cli_text(line, "done_at"));
	s->done_by[0] = '\0';
	if (cli_pace(pace, text)[0])
		(void)snprintf(s->done_by,
			sizeof(s->done_by),
			" (%.*s: %s)",
			SV_ARG(sv_head(sv_from(cli_text(pace, "mailbox")), LIMIT_ADDRESS - 8)),
			text);
}

static void keep_well(struct screen *s, const json_t *line)
{
	s->mailboxes += number(line, "mailboxes");
	s->connectors += number(line, "connectors");
	s->tenants += cli_text(line, "tenant")[0] != '\0';
	s->used += number(line, "day_used");
	s->capacity += number(line, "day_capacity");
	/* RFC 3339 in UTC: the later one is the greater one. */
	if (strcmp(cli_text(line, "done_at"), s->done_at) > 0)
		keep_done(s, line);
	keep(&s->wells, line);
}

static void keep_listener(struct screen *s, const json_t *line)
{
	s->sessions += number(line, "sessions");
	s->accepted += number(line, "accepted");
	s->refused += number(line, "refused");
	keep(&s->listeners, line);
}

static void take_line(void *arg, const json_t *line)
{
	struct screen *s = arg;
	const char *type = cli_text(line, "type");

	if (strcmp(type, "relay") == 0)
		keep(&s->relays, line);
	else if (strcmp(type, "notice") == 0)
		keep(&s->notices, line);
	else if (strcmp(type, "group") == 0)
		keep(&s->groups, line);
	else if (strcmp(type, "healthy") == 0)
		keep_well(s, line);
	else if (strcmp(type, "clients") == 0)
		keep(&s->clients, line);
	else if (strcmp(type, "listener") == 0)
		keep_listener(s, line);
	else if (strcmp(type, "device") == 0)
		keep(&s->devices, line);
	else if (strcmp(type, "user") == 0)
		keep(&s->users, line);
	else if (strcmp(type, "token") == 0 && cli_text(line, "reason")[0] &&
		 cli_text(line, "expires_at")[0])
		keep(&s->tokens, line);
}

static void forget(struct screen *s)
{
	struct kept *const all[] = { &s->relays,
		&s->notices,
		&s->groups,
		&s->wells,
		&s->clients,
		&s->listeners,
		&s->devices,
		&s->users,
		&s->tokens };

	for (size_t k = 0; k < COUNT_OF(all); k++)
		for (size_t i = 0; i < all[k]->count; i++)
			json_decref(all[k]->items[i]);
}

static int no_operands(struct cli_context *ctx, int argc, char **argv, const char *usage)
{
	const char *value = NULL;
	int seen = cli_option(ctx, argc, argv, NULL, usage, &value);

	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	return optind < argc
		       ? cli_fail(EX_USAGE, "%s takes no operand: '%s'", argv[0], argv[optind])
		       : -1;
}

int cli_status(struct cli_context *ctx, int argc, char **argv)
{
	struct screen s = { .ctx = ctx };
	int code = no_operands(ctx, argc, argv, help);
	json_t *request;

	if (code >= 0)
		return code;
	request = json_object();
	(void)json_object_set_new(request, "do", json_string("status"));
	if (ctx->json)
		(void)json_object_set_new(request, "lanes", json_true());
	code = cli_ask(ctx, request, take_line, &s);
	if (!ctx->json)
		print_screen(&s);
	forget(&s);
	return code == EX_OK && ctx->offline ? EX_UNAVAILABLE : code;
}

static void print_finding(void *arg, const json_t *line)
{
	(void)arg;
	(void)fprintf(stderr, "%s\n", cli_text(line, "finding"));
}

int cli_reload(struct cli_context *ctx, int argc, char **argv)
{
	json_t *request;
	int code = no_operands(ctx,
		argc,
		argv,
		"usage: postern reload [--config FILE]\n\n"
		"Makes the running daemon read its configuration again (as SIGHUP does) and says "
		"what is\n"
		"wrong with it. A bad file keeps the old configuration in force.\n\n"
		"example:\n"
		"  postern check && postern reload\n");

	if (code >= 0)
		return code;
	request = json_object();
	(void)json_object_set_new(request, "do", json_string("reload"));
	return cli_ask(ctx, request, print_finding, ctx);
}
