/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/health.h"
#include "base/must.h"
#include "base/text.h"
#include "cli/cli.h"
#include "io/file.h"
#include "io/loop.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

/*
 * The check for Nagios, Icinga and Zabbix. It reads one file that everybody may read, and neither the
 * configuration nor the control socket: a monitoring agent belongs into no group that can drop mail.
 */
static const char help[] =
	"usage: postern health [--file FILE] [--oldest WARN,CRIT] [--waiting WARN,CRIT]\n\n"
	"One line, and exit code 0 (OK), 1 (WARNING) or 2 (CRITICAL), as Nagios, Icinga and\n"
	"Zabbix take it. Any user may ask. CRITICAL: the daemon does not run, refuses mail for\n"
	"want of disk, or the oldest mail is too old. WARNING: something waits for a person.\n\n"
	"  --oldest WARN,CRIT   age of the oldest mail that waits; default 1h,1d\n"
	"  --waiting WARN,CRIT  messages that wait; default: any number\n"
	"  --file FILE          default /run/postern/health\n\n"
	"A limit of 0 is none.\n\n"
	"examples:\n"
	"  postern health\n"
	"  postern health --oldest 30m,4h --waiting 500,5000\n";

#define DEFAULT_FILE "/run/postern/health"

enum health_option {
	OPTION_FILE,
	OPTION_OLDEST,
	OPTION_WAITING,
};

static bool read_pair(const char *text, bool is_time, uint64_t *out_warning, uint64_t *out_critical)
{
	struct sv rest = sv_from(text), first;
	bool two = sv_cut_char(&rest, ',', &first);
	uint64_t *const to[] = { out_warning, out_critical };
	const struct sv from[] = { first, rest };

	for (size_t i = 0; i < COUNT_OF(to) && two; i++) {
		bool none = sv_eq(from[i], SV("0"));
		int rc = is_time && !none ? text_parse_duration(from[i], to[i])
					  : sv_parse_u64(from[i], INT64_MAX, to[i]);

		if (rc != 0)
			return false;
		if (is_time)
			*to[i] /= US_PER_S;
	}
	return two;
}

static int no_file(const char *path, const struct err *err)
{
	if (err->code == -ENOENT)
		(void)printf("POSTERN CRITICAL - the daemon does not run: there is no %s\n", path);
	else
		(void)printf("POSTERN CRITICAL - %s\n", err->text);
	return OBSERVE_HEALTH_CRITICAL;
}

static int look(const char *path, const struct observe_health_limits *limits)
{
	CLEANUP(buf_deinitp)
	struct buf text = BUF_INIT(OBSERVE_HEALTH_FILE_MAX),
		   line = BUF_INIT(OBSERVE_HEALTH_FILE_MAX);
	struct observe_health_figures f;
	enum observe_health_state state;
	struct err err = { 0 };

	if (io_file_read(path, OBSERVE_HEALTH_FILE_MAX, &text, &err) != 0)
		return no_file(path, &err);
	if (observe_health_parse(buf_sv(&text), &f) != 0) {
		(void)printf("POSTERN CRITICAL - %s is no health file\n", path);
		return OBSERVE_HEALTH_CRITICAL;
	}
	state = observe_health_judge(&f, limits, io_clock_mono().us / US_PER_S, &line);
	(void)printf("%.*s\n", SV_ARG(buf_sv(&line)));
	return (int)state;
}

int cli_health(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = {
		[OPTION_FILE] = { "file", true },
		[OPTION_OLDEST] = { "oldest", true },
		[OPTION_WAITING] = { "waiting", true },
		{ NULL, false },
	};
	struct observe_health_limits limits = { .oldest_warning_s = 3600,
		.oldest_critical_s = 86400 };
	const char *value = NULL, *path = DEFAULT_FILE;
	bool good = true;
	int seen;

	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0) {
		if (seen == OPTION_FILE)
			path = value;
		else if (seen == OPTION_OLDEST)
			good = good && read_pair(value,
					       true,
					       &limits.oldest_warning_s,
					       &limits.oldest_critical_s);
		else
			good = good && read_pair(value,
					       false,
					       &limits.waiting_warning,
					       &limits.waiting_critical);
	}
	if (seen == CLI_OPTION_HELP)
		return EX_OK;
	/* 1 and 2 have a meaning here, and 3 is "unknown" to those who ask. */
	if (seen == CLI_OPTION_WRONG)
		return 3;
	if (!good) {
		(void)cli_fail(0, "a limit is two values: --oldest 30m,4h --waiting 500,5000");
		return 3;
	}
	if (optind < argc) {
		(void)cli_fail(0, "health takes no operand: '%s'", argv[optind]);
		return 3;
	}
	return look(path, &limits);
}
