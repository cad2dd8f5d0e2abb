/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include "base/buf.h"
#include "base/sv.h"
#include "cli/when.h"

#include <stdio.h>
#include <string.h>

/* Why mail waits, and about when it leaves, in words. */

static long long number(const json_t *line, const char *key)
{
	return (long long)json_integer_value(json_object_get(line, key));
}

static const char *unit_of(const json_t *pace, bool one)
{
	const char *limit = cli_text(pace, "limit");

	if (strcmp(limit, "minute") == 0)
		return one ? "message a minute" : "messages a minute";
	if (strcmp(limit, "hour") == 0)
		return one ? "recipient an hour" : "recipients an hour";
	if (strcmp(cli_text(pace, "unit"), "messages") == 0)
		return one ? "message in 24 h" : "messages in 24 h";
	if (strcmp(limit, "month") == 0)
		return "recipients this month, by its budget";
	return one ? "recipient in 24 h" : "recipients in 24 h";
}

/* Whose it is, where it is not the mailbox's own; else its part of what is configured. */
static void put_whose(const json_t *pace, struct buf *out)
{
	static const struct {
		const char *of, *before, *behind;
		bool named;
	} all[] = {
		{ "account", " of ", ", who signs in", true },
		{ "tenant", " to the outside, of the tenant ", "", true },
		{ "onmicrosoft",
			" to the outside, of addresses below onmicrosoft.com of the tenant ",
			"",
			true },
		{ "external", " to the outside", "", false },
		{ "internal", " to the inside", "", false },
	};
	const char *of = cli_text(pace, "limit_of");
	char whole[CLI_COUNT_MAX];

	for (size_t i = 0; i < COUNT_OF(all); i++)
		if (strcmp(of, all[i].of) == 0)
			(void)!buf_printf(out,
				"%s%s%s",
				all[i].before,
				all[i].named ? cli_text(pace, "limit_name") : "",
				all[i].behind);
	if (!of[0] && json_object_get(pace, "share") && number(pace, "share") < 100)
		(void)!buf_printf(out,
			" (%lld %% of %s)",
			number(pace, "share"),
			cli_count(number(pace, "configured"), whole));
}

const char *cli_pace(const json_t *pace, char out[CLI_PACE_MAX])
{
	CLEANUP(buf_deinitp) struct buf whose = BUF_INIT(CLI_PACE_MAX);
	const char *limit = cli_text(pace, "limit");
	char rate[CLI_COUNT_MAX];

	out[0] = '\0';
	if (!limit[0])
		return out;
	put_whose(pace, &whose);
	(void)snprintf(out,
		CLI_PACE_MAX,
		"%s %s%.*s",
		cli_count(number(pace, "rate"), rate),
		unit_of(pace, number(pace, "rate") == 1),
		SV_ARG(buf_sv(&whose)));
	return out;
}

/* Of its lane: the name, without the door. */
static struct sv name_of(const json_t *line)
{
	struct sv lane = sv_from(cli_text(line, "lane"));

	return sv_skip(lane, (size_t)(sv_find_char(lane, '/') + 1));
}

void cli_put_waits_for(const json_t *line, struct buf *out)
{
	static const struct {
		const char *why, *words;
		bool of_name;
	} all[] = {
		{ "minute", "waits for the minute of ", true },
		{ "day", "waits for the day of ", true },
		{ "hour", "waits for the hour of ", true },
		{ "month", "waits for the next month: the budget is used up of ", true },
		{ "turn", "waits for its turn at ", true },
		{ "next", "waits for a connection of ", true },
		{ "held", "waits for ", true },
		{ "sender-held", "waits for its sender at ", true },
		{ "external-held", "waits until mail to the outside may leave by ", true },
		{ "crowded",
			"waits until another mailbox of its wildcard is idle (at_once)",
			false },
		{ "no-lane", "no mailbox or connector of its queue is configured", false },
	};
	const char *why = cli_text(json_object_get(line, "wait"), "why");
	struct sv name = name_of(line);

	for (size_t i = 0; i < COUNT_OF(all); i++)
		if (strcmp(why, all[i].why) == 0)
			(void)!buf_printf(out,
				"%s%.*s",
				all[i].words,
				SV_ARG(all[i].of_name ? name : SV("")));
}

bool cli_waits_for_limits(const json_t *line)
{
	static const char *const all[] = { "minute", "hour", "day", "month", "turn", "next" };
	const char *why = cli_text(json_object_get(line, "wait"), "why");

	for (size_t i = 0; i < COUNT_OF(all); i++)
		if (strcmp(why, all[i]) == 0)
			return true;
	return false;
}
