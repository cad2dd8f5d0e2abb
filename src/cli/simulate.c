/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/simulate.h"

#include "base/must.h"
#include "cli/cli.h"
#include "io/loop.h"
#include "provider/defaults.h"
#include "sched/burst.h"

#include <getopt.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"usage: postern simulate [--days N] [--mailboxes N] [--each N] [OPTION...]\n\n"
	"Days of sending in seconds: the engine that sends for you, on a virtual clock, against\n"
	"the sandbox's model of Exchange and receivers that defer mailboxes which they do not\n"
	"know. A line a day: what came, left, was deferred and waits, how much of each limit\n"
	"was used, and how often one was broken. Nothing is sent, and no file is written.\n\n"
	"  --days N       default 90\n"
	"  --mailboxes N  default 20\n"
	"  --each N       messages a day for each mailbox, from 8:00 to 18:00; default 40\n"
	"  --batch N      they come so many at once; default 10\n"
	"  --share N      percent of Microsoft's limits that mail may use; default 80\n"
	"  --tenants N    the mailboxes are spread over so many; default 1\n"
	"  --licences N   of each tenant; default: as many as its mailboxes\n"
	"  --defer N      percent of the mail from an unknown mailbox that receivers defer;\n"
	"                 default 20\n"
	"  --faults       each day three kills and starts of the relay, two steps of the\n"
	"                 clock, and delays up to 5 s each way\n"
	"  --seed N       other dice; the same seed gives the same days\n"
	"  --json         one object a day, and the total\n\n"
	"Exits with 0 when no limit was broken, else with 1.\n\n"
	"examples:\n"
	"  postern simulate --days 30\n"
	"  postern simulate --days 7 --mailboxes 200 --each 50\n"
	"  postern simulate --days 10 --faults --seed 7\n";

enum simulate_option {
	OPTION_DAYS,
	OPTION_MAILBOXES,
	OPTION_EACH,
	OPTION_BATCH,
	OPTION_SHARE,
	OPTION_TENANTS,
	OPTION_LICENCES,
	OPTION_DEFER,
	OPTION_SEED,
	OPTION_FAULTS,
};

struct request {
	struct simulate_options o;
	uint32_t share, seed;
};

#define AT(field) offsetof(struct request, field)
static const struct cli_number numbers[] = {
	[OPTION_DAYS] = { "days", 1, 1000000, AT(o.days) },
	[OPTION_MAILBOXES] = { "mailboxes", 1, 100000, AT(o.mailboxes) },
	[OPTION_EACH] = { "each", 1, 100000, AT(o.each_per_day) },
	[OPTION_BATCH] = { "batch", 1, 100000, AT(o.batch) },
	[OPTION_SHARE] = { "share", 1, 100, AT(share) },
	[OPTION_TENANTS] = { "tenants", 1, 1000, AT(o.tenants) },
	[OPTION_LICENCES] = { "licences", 1, 10000000, AT(o.licences) },
	[OPTION_DEFER] = { "defer", 0, 100, AT(o.defer_percent) },
	[OPTION_SEED] = { "seed", 0, UINT32_MAX, AT(seed) },
};

static void set_faults(struct simulate_options *o)
{
	o->restarts = 3;
	o->clock_steps = 2;
	o->delay_us_max = 5 * US_PER_S;
}

/* ---- output ---- */

static void put_json(const char *type, const struct simulate_day *d)
{
	json_t *o = json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
		"type",
		type,
		"day",
		d->date,
		"hours",
		(int)d->hours,
		"came",
		(json_int_t)d->came,
		"sent",
		(json_int_t)d->sent,
		"deferred",
		(json_int_t)d->deferred,
		"uncertain",
		(json_int_t)d->uncertain,
		"bounced",
		(json_int_t)d->bounced,
		"held",
		(json_int_t)d->held,
		"waiting",
		(json_int_t)d->waiting,
		"restarts",
		(json_int_t)d->restarts,
		"violations",
		(json_int_t)d->violations);
	json_t *limits = json_array();

	for (unsigned i = 0; i < SIMULATE_LIMIT_COUNT; i++)
		(void)json_array_append_new(limits,
			json_pack("{s:s, s:I, s:I}",
				"limit",
				simulate_limit_name((enum simulate_limit)i),
				"used",
				(json_int_t)d->used[i],
				"allowed",
				(json_int_t)d->allowed[i]));
	(void)json_object_set_new(o, "limits", limits);
	cli_put_json(o);
}

static void print_day(void *arg, const struct simulate_day *d)
{
	const struct cli_context *ctx = arg;
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(1024);

	if (ctx->json) {
		put_json("day", d);
		return;
	}
	must(simulate_write_day(d, &line) == 0);
	(void)printf("%.*s", SV_ARG(buf_sv(&line)));
}

static int simulate(struct cli_context *ctx, struct request *r)
{
	const struct provider_defaults *d = provider_defaults(provider_usual());
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(4096);
	const int64_t now = io_clock_wall().us;
	struct simulate_total total;

	r->o.seed = r->seed;
	r->o.start.us = now - now % (int64_t)US_PER_DAY;
	r->o.messages_per_minute = sched_share(d->messages_per_minute, r->share);
	r->o.recipients_per_day = sched_share(d->recipients_per_day, r->share);
	r->o.connections = sched_share_of_connections(d->connections, r->share);
	if (r->o.tenants > r->o.mailboxes)
		return cli_fail(EX_USAGE, "--tenants: more tenants than mailboxes");
	if (!ctx->json) {
		must(simulate_write_head(&text) == 0);
		(void)printf("%.*s", SV_ARG(buf_sv(&text)));
		buf_reset(&text);
	}
	simulate_run(&r->o, print_day, ctx, &total);
	if (ctx->json) {
		put_json("total", &total.sum);
	} else {
		must(simulate_write_total(&r->o, &total, &text) == 0);
		(void)printf("%.*s", SV_ARG(buf_sv(&text)));
	}
	return total.sum.violations ? 1 : EX_OK;
}

int cli_simulate(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = {
		[OPTION_DAYS] = { "days", true },
		[OPTION_MAILBOXES] = { "mailboxes", true },
		[OPTION_EACH] = { "each", true },
		[OPTION_BATCH] = { "batch", true },
		[OPTION_SHARE] = { "share", true },
		[OPTION_TENANTS] = { "tenants", true },
		[OPTION_LICENCES] = { "licences", true },
		[OPTION_DEFER] = { "defer", true },
		[OPTION_SEED] = { "seed", true },
		[OPTION_FAULTS] = { "faults", false },
		{ NULL, false },
	};
	struct request r = { .o = { .days = 90,
				     .mailboxes = 20,
				     .each_per_day = 40,
				     .tenants = 1,
				     .defer_percent = 20,
				     .trouble_permille = 5 },
		.share = 80,
		.seed = 1 };
	const char *value = NULL;
	int seen, rc = EX_OK;

	while (rc == EX_OK && (seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0)
		if (seen == OPTION_FAULTS)
			set_faults(&r.o);
		else
			rc = cli_number(&numbers[seen], value, &r);
	if (rc != EX_OK)
		return rc;
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_WRONG ? EX_USAGE : EX_OK;
	if (optind < argc)
		return cli_fail(EX_USAGE, "simulate takes no operand: '%s'", argv[optind]);
	return simulate(ctx, &r);
}
