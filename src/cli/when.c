/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/when.h"

#include "base/time.h"
#include "io/loop.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static bool read_instant(const char *at, struct wall_time *out)
{
	return wall_parse(sv_from(at), out) == 0;
}

/* "+01:00" */
static void put_offset(const struct tm *tm, char out[16])
{
	long minutes = tm->tm_gmtoff / 60, size = minutes < 0 ? -minutes : minutes;

	(void)snprintf(
		out, 16, "%c%02ld:%02ld", minutes < 0 ? '-' : '+', size / 60 % 100, size % 60);
}

static const char *put_local(struct wall_time at, bool seconds, char out[CLI_WHEN_MAX])
{
	time_t then = (time_t)(at.us / (int64_t)US_PER_S);
	time_t today = (time_t)(io_clock_wall().us / (int64_t)US_PER_S);
	struct tm tm = { 0 }, now = { 0 };
	char day[32] = "", clock[32], offset[16];

	if (!localtime_r(&then, &tm) || !localtime_r(&today, &now))
		return "";
	if (tm.tm_yday != now.tm_yday || tm.tm_year != now.tm_year)
		(void)strftime(day, sizeof(day), "%Y-%m-%d ", &tm);
	(void)strftime(clock, sizeof(clock), seconds ? "%H:%M:%S" : "%H:%M", &tm);
	put_offset(&tm, offset);
	(void)snprintf(out, CLI_WHEN_MAX, "%s%s %s", day, clock, offset);
	return out;
}

static const char *as_it_is(const char *at, char out[CLI_WHEN_MAX])
{
	(void)snprintf(out, CLI_WHEN_MAX, "%.40s", at);
	return out;
}

const char *cli_clock(const char *at, char out[CLI_WHEN_MAX])
{
	struct wall_time t;

	return read_instant(at, &t) ? put_local(t, true, out) : as_it_is(at, out);
}

const char *cli_span(long long seconds, char out[CLI_WHEN_MAX])
{
	static const struct {
		long long from, unit;
		const char *name;
	} units[] = {
		{ 48 * 3600, 86400, "days" },
		{ 100 * 60, 3600, "h" },
		{ 100, 60, "min" },
		{ 0, 1, "s" },
	};
	size_t i = 0;

	if (seconds < 0)
		seconds = 0;
	while (seconds < units[i].from)
		i++;
	(void)snprintf(out,
		CLI_WHEN_MAX,
		"%lld %s",
		(seconds + units[i].unit / 2) / units[i].unit,
		units[i].name);
	return out;
}

const char *cli_relative(const char *at, char out[CLI_WHEN_MAX])
{
	struct wall_time t;
	char span[CLI_WHEN_MAX];
	long long seconds;

	if (!read_instant(at, &t))
		return as_it_is(at, out);
	seconds = (t.us - io_clock_wall().us) / (long long)US_PER_S;
	if (seconds == 0)
		(void)snprintf(out, CLI_WHEN_MAX, "now");
	else if (seconds > 0)
		(void)snprintf(out, CLI_WHEN_MAX, "in %.60s", cli_span(seconds, span));
	else
		(void)snprintf(out, CLI_WHEN_MAX, "%.60s ago", cli_span(-seconds, span));
	return out;
}

const char *cli_when(const char *at, char out[CLI_WHEN_MAX])
{
	char clock[CLI_WHEN_MAX], relative[CLI_WHEN_MAX];
	struct wall_time t;

	if (!read_instant(at, &t))
		return as_it_is(at, out);
	(void)snprintf(out,
		CLI_WHEN_MAX,
		"%.40s (%.40s)",
		put_local(t, false, clock),
		cli_relative(at, relative));
	return out;
}

const char *cli_count(long long number, char out[CLI_COUNT_MAX])
{
	return text_count(number, out);
}
