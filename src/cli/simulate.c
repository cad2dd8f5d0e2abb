/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/simulate.h"

#include "base/must.h"
#include "cli/cli.h"
#include "cli/of_conf.h"
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
	"usage: postern simulate [--days N] [--mailboxes N] [--each N] [OPTION...]\n"
	"       postern simulate --from-config [--config FILE] [OPTION...]\n\n"
	"Days of sending in seconds: the engine that sends for you, on a virtual clock, against\n"
	"the sandbox's model of Exchange and receivers that defer mailboxes which they do not\n"
	"know. A line a day: what came, left, was deferred and waits, how much of each limit\n"
	"was used, and how often one was broken. Nothing is sent, and no file is written.\n\n"
	"  --days N       default 90\n"
	"  --mailboxes N  default 20\n"
	"  --from-config  the Microsoft 365 mailboxes of the configuration, with the limits,\n"
	"                 shares and tenants that it gives them\n"
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
	"  postern simulate --days 10 --faults --seed 7\n"
	"  postern simulate --from-config --each 60\n";

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
	OPTION_FROM_CONFIG,
};

struct request {
	struct simulate_options o;
	uint32_t share, seed;
	uint32_t given; /* a bit for each option that was */
};

static bool is_given(const struct request *r, enum simulate_option option)
{
	return (r->given & (UINT32_C(1) << option)) != 0;
}

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

static int read_option(struct request *r, enum simulate_option option, const char *value)
{
	r->given |= UINT32_C(1) << option;
	if (option == OPTION_FROM_CONFIG)
		return EX_OK;
	if (option == OPTION_FAULTS) {
		set_faults(&r->o);
		return EX_OK;
	}
	return cli_number(&numbers[option], value, r);
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

/* ---- of a configuration ---- */

static struct simulate_box box_of(const struct conf_lane *l, uint32_t tenant)
{
	const struct conf_limits *of = &l->limits;

	return (struct simulate_box){ .tenant = tenant,
		.by_graph = provider_defaults(l->provider)->is_http,
		.messages_per_minute = sched_share(of->messages_per_minute, of->share_percent),
		.recipients_per_day = sched_share(of->recipients_per_day, of->share_percent),
		.connections = sched_share_of_connections(of->connections, of->share_percent) };
}

/* Of a tenant of which nothing is said: a licence for each of its mailboxes. */
static void set_licences(const struct simulate_options *o, struct provider_tenant *tenants)
{
	for (uint32_t i = 0; i < o->tenants; i++) {
		uint32_t own = 0;

		for (uint32_t k = 0; k < o->mailboxes; k++)
			own += o->boxes[k].tenant == i;
		if (tenants[i].licences == 0)
			tenants[i].licences = own;
	}
}

/* `boxes` has room for all lanes. */
static int add_boxes(const struct conf *c, struct simulate_options *o, struct simulate_box *boxes,
	struct provider_tenant *tenants)
{
	struct cli_tenants all = { 0 };
	size_t count;
	const struct conf_lane *lanes = conf_lanes(c, &count);

	for (size_t i = 0; i < count; i++) {
		const struct conf_lane *l = &lanes[i];
		uint32_t tenant;
		int rc;

		/* The first door of each; what is behind another kind of door nobody models here. */
		if (l->kind != CONF_LANE_MAILBOX || l->door > 0 || l->is_wildcard ||
			!provider_limit_counts(
				provider_limit(PROVIDER_LIMIT_MAILBOX_MINUTE), l->provider))
			continue;
		rc = cli_tenant_number(&all, l->tenant, &tenant);
		if (rc != EX_OK)
			return rc;
		tenants[tenant] =
			l->tenant ? conf_tenant_is(l->tenant, o->start)
				  : (struct provider_tenant){ .age_days = PROVIDER_AGE_UNKNOWN };
		boxes[o->mailboxes++] = box_of(l, tenant);
	}
	o->tenants = all.count;
	return o->mailboxes
		       ? EX_OK
		       : cli_fail(EX_CONFIG,
				 "the configuration has no mailbox of Microsoft 365 that sends "
				 "by submission or graph");
}

static int run(struct cli_context *ctx, struct request *r)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(4096);
	struct simulate_total total;

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

static int simulate_conf(struct cli_context *ctx, struct request *r)
{
	CLEANUP(conf_unrefp) struct conf *c = NULL;
	struct provider_tenant tenants[CLI_TENANTS_MAX] = { 0 };
	struct simulate_box *boxes;
	size_t count;
	int rc = cli_conf_load(ctx, &c);

	if (rc != EX_OK)
		return rc;
	(void)conf_lanes(c, &count);
	boxes = xcalloc(count + 1, sizeof(*boxes));
	r->o.mailboxes = 0;
	r->o.boxes = boxes;
	r->o.tenant_is = tenants;
	rc = add_boxes(c, &r->o, boxes, tenants);
	if (rc == EX_OK) {
		set_licences(&r->o, tenants);
		rc = run(ctx, r);
	}
	free(boxes);
	return rc;
}

static int simulate_alike(struct cli_context *ctx, struct request *r)
{
	const struct provider_defaults *d = provider_defaults(provider_usual());

	r->o.alike = (struct simulate_box){
		.messages_per_minute = sched_share(d->messages_per_minute, r->share),
		.recipients_per_day = sched_share(d->recipients_per_day, r->share),
		.connections = sched_share_of_connections(d->connections, r->share),
	};
	if (r->o.tenants > r->o.mailboxes)
		return cli_fail(EX_USAGE, "--tenants: more tenants than mailboxes");
	return run(ctx, r);
}

static int simulate(struct cli_context *ctx, struct request *r)
{
	static const enum simulate_option of_conf[] = {
		OPTION_MAILBOXES, OPTION_SHARE, OPTION_TENANTS, OPTION_LICENCES
	};
	const int64_t now = io_clock_wall().us;

	r->o.seed = r->seed;
	r->o.start.us = now - now % (int64_t)US_PER_DAY;
	if (!is_given(r, OPTION_FROM_CONFIG))
		return simulate_alike(ctx, r);
	for (size_t i = 0; i < COUNT_OF(of_conf); i++)
		if (is_given(r, of_conf[i]))
			return cli_fail(EX_USAGE,
				"--%s or --from-config, which has its own: not both",
				numbers[of_conf[i]].name);
	return simulate_conf(ctx, r);
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
		[OPTION_FROM_CONFIG] = { "from-config", false },
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
		rc = read_option(&r, (enum simulate_option)seen, value);
	if (rc != EX_OK)
		return rc;
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_WRONG ? EX_USAGE : EX_OK;
	if (optind < argc)
		return cli_fail(EX_USAGE, "simulate takes no operand: '%s'", argv[optind]);
	return simulate(ctx, &r);
}
