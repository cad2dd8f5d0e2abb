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

const char *cli_pace(const json_t *pace, char out[CLI_PACE_MAX])
{
	bool day = strcmp(cli_text(pace, "limit"), "day") == 0, one = number(pace, "rate") == 1;
	char rate[CLI_COUNT_MAX], whole[CLI_COUNT_MAX], of[64] = "";

	out[0] = '\0';
	if (!cli_text(pace, "limit")[0])
		return out;
	if (number(pace, "share") < 100)
		(void)snprintf(of,
			sizeof(of),
			" (%lld %% of %s)",
			number(pace, "share"),
			cli_count(number(pace, "configured"), whole));
	(void)snprintf(out,
		CLI_PACE_MAX,
		"%s %s%s",
		cli_count(number(pace, "rate"), rate),
		one   ? day ? "recipient in 24 h" : "message a minute"
		: day ? "recipients in 24 h"
		      : "messages a minute",
		of);
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
		{ "turn", "waits for its turn at ", true },
		{ "next", "waits for a connection of ", true },
		{ "held", "waits for ", true },
		{ "sender-held", "waits for its sender at ", true },
		{ "external-held", "waits until mail to the outside may leave by ", true },
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
	static const char *const all[] = { "minute", "day", "turn", "next" };
	const char *why = cli_text(json_object_get(line, "wait"), "why");

	for (size_t i = 0; i < COUNT_OF(all); i++)
		if (strcmp(why, all[i]) == 0)
			return true;
	return false;
}
