/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "cli/doctor_priv.h"
#include "cli/start.h"

#include <getopt.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char help[] =
	"usage: postern doctor [--repair] [--config FILE] [--json]\n\n"
	"Looks at what postern keeps on the disk: folders and rights, the maildrop, the vault, and "
	"the queue page by\n"
	"page, also without a daemon and with a damaged disk. Says what is wrong and who can fix "
	"it; changes nothing.\n\n"
	"  --repair       repair what can be repaired; what was there is kept beside it\n"
	"  --config FILE  default /etc/postern/postern.yaml\n"
	"  --json         one object a line\n\n"
	"The queue is repaired while the daemon does not run: every message that is whole is taken "
	"over, byte for byte;\n"
	"what is not is listed and never sent. What may have been sent before is held, until "
	"`postern queue release`.\n\n"
	"exit codes: 0 all is well, or was repaired; 65 something is damaged; 75 the daemon has to "
	"be stopped first;\n"
	"77 permission denied; 78 the configuration has errors\n\n"
	"examples:\n"
	"  postern doctor\n"
	"  systemctl stop postern && postern doctor --repair; systemctl start postern\n"
	"  postern doctor --json | jq 'select(.fate == \"lost\")'\n";

/* ---- what is said ---- */

static const char *const level_names[DOCTOR_LEVEL_COUNT] = { "ok", "note", "fault", "repaired" };

static void say_json(enum doctor_level level, const char *part, const char *step, const char *text)
{
	json_t *o = json_object();

	(void)json_object_set_new(o, "part", json_string(part));
	(void)json_object_set_new(o, "level", json_string(level_names[level]));
	(void)json_object_set_new(o, "text", json_string(text));
	if (step)
		(void)json_object_set_new(o, "step", json_string(step));
	cli_put_json(o);
}

void doctor_say(struct doctor *d, enum doctor_level level, const char *part, const char *step,
	const char *fmt, ...)
{
	static const char *const styles[DOCTOR_LEVEL_COUNT] = { "green", "yellow", "red", "green" };
	char text[2048];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	d->count[level]++;
	if (d->ctx->json) {
		say_json(level, part, step, text);
		return;
	}
	(void)printf("%s%-8s%s  ",
		cli_style(d->ctx, styles[level]),
		level_names[level],
		cli_style(d->ctx, "off"));
	cli_print(20, "%-8s  %s\n", part, text);
	if (step && level != DOCTOR_REPAIRED)
		cli_print(20, "%20s%s\n", "", step);
}

static void say_sum(const struct doctor *d)
{
	unsigned faults = d->count[DOCTOR_FAULT], repaired = d->count[DOCTOR_REPAIRED];

	if (d->ctx->json) {
		(void)printf("{\"faults\":%u,\"repaired\":%u,\"notes\":%u}\n",
			faults,
			repaired,
			d->count[DOCTOR_NOTE]);
		return;
	}
	if (faults == 0 && repaired == 0)
		(void)printf("\nNothing is damaged.\n");
	else if (faults == 0)
		(void)printf("\n%u repaired.\n", repaired);
	else if (d->stop_first)
		(void)printf("\nThe queue can be repaired while the daemon does not run:\n"
			     "  systemctl stop postern && postern doctor --repair; systemctl start "
			     "postern\n");
	else if (!d->repair)
		(void)printf(
			"\n%u fault%s. `postern doctor --repair` repairs what it can and keeps "
			"a copy.\n",
			faults,
			faults == 1 ? "" : "s");
	else
		(void)printf("\n%u repaired, %u left.\n", repaired, faults);
}

/* ---- the command ---- */

/* The files belong to the daemon's user: root looks at the rights first, then does the rest as that user. */
static int become(const struct doctor *d)
{
	struct cli_account account;

	if (!cli_daemon_account(d->ctx->config_path, d->conf, &account))
		return EX_OK;
	return cli_become(&account);
}

static int may_look(const struct doctor *d)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%.*s", SV_ARG(conf_general(d->conf)->data_dir));
	if (access(path, F_OK) == 0 && access(path, R_OK | W_OK | X_OK) != 0)
		return cli_fail(EX_NOPERM,
			"%s may not be looked at by this user: run `postern doctor` as root",
			path);
	return EX_OK;
}

int cli_doctor(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = { { "repair", false }, { NULL, false } };
	struct doctor d = { .ctx = ctx };
	const char *value = NULL;
	int seen, code;

	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0)
		d.repair = true;
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	if (optind < argc)
		return cli_fail(EX_USAGE, "doctor takes no operand: '%s'", argv[optind]);
	d.conf = cli_load_conf(ctx);
	if (!d.conf)
		return cli_conf_failed(ctx);
	doctor_files(&d);
	code = become(&d);
	if (code == EX_OK)
		code = may_look(&d);
	if (code == EX_OK) {
		d.running = cli_daemon_runs(d.conf);
		doctor_maildrop(&d);
		doctor_vault(&d);
		doctor_queue(&d);
		say_sum(&d);
		code = d.stop_first ? EX_TEMPFAIL : d.count[DOCTOR_FAULT] ? EX_DATAERR : EX_OK;
	}
	conf_unref(d.conf);
	return code;
}
