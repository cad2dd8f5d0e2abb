/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/plan.h"

#include "base/err.h"
#include "base/must.h"
#include "cli/cli.h"
#include "cli/of_conf.h"
#include "io/loop.h"
#include "sched/burst.h"

#include <getopt.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
	"usage: postern plan --volume N/day [--mailboxes N] [OPTION...]\n"
	"       postern plan --volume N/day --from-config [--config FILE]\n\n"
	"How many mailboxes and days an amount of mail needs, and which limit binds when.\n"
	"Nothing is sent, and nothing is asked of the network.\n\n"
	"  --volume N/day    recipients: N/hour, N/day, N/week, or N for once\n"
	"  --mailboxes N     there are so many; without it: as many as it needs\n"
	"  --from-config     the mailboxes, connectors and limits of the configuration\n"
	"  --each N          what one mailbox sends a day at most; default 50, which suits\n"
	"                    mail to people who do not expect it; --each 0: only the\n"
	"                    limits of the service, for mail that is expected\n"
	"  --days N          of a volume that comes once: send it in so many days\n"
	"  --door DOOR       submission (default), graph, hve, connector, direct, gmail\n"
	"  --recipients N    recipients of one message; default 1\n"
	"  --external N      percent of them outside of the tenant; default 100\n"
	"  --licences N      of the tenant; default: as many as mailboxes\n"
	"  --tenant-age N    of a young tenant, in days: it is allowed less\n"
	"  --trial           a trial tenant: it is allowed much less\n"
	"  --tenant-limit N  external recipients a day that Microsoft shows for the tenant\n"
	"  --share N         percent of the service's limits that mail may use; default 80\n"
	"  --json            one object\n\n"
	"Exits with 0 when it fits, with 69 when the mailboxes cannot carry it.\n\n"
	"examples:\n"
	"  postern plan --volume 1000/day\n"
	"  postern plan --volume 1000/day --mailboxes 8\n"
	"  postern plan --volume 24000 --days 20\n"
	"  postern plan --volume 5000/day --each 0 --from-config\n";

enum plan_option {
	OPTION_VOLUME,
	OPTION_MAILBOXES,
	OPTION_FROM_CONFIG,
	OPTION_EACH,
	OPTION_DAYS,
	OPTION_DOOR,
	OPTION_RECIPIENTS,
	OPTION_EXTERNAL,
	OPTION_LICENCES,
	OPTION_TENANT_AGE,
	OPTION_TRIAL,
	OPTION_TENANT_LIMIT,
	OPTION_SHARE,
};

struct request {
	struct plan_ask ask;
	enum provider_kind door;
	uint32_t mailboxes, each, licences, age, tenant_limit;
	uint32_t given; /* a bit for each option that was */
};

static bool is_given(const struct request *r, enum plan_option option)
{
	return (r->given & (UINT32_C(1) << option)) != 0;
}

/* ---- options ---- */

#define AT(field) offsetof(struct request, field)
static const struct cli_number numbers[] = {
	[OPTION_MAILBOXES] = { "mailboxes", 1, PLAN_MAILBOXES_MAX, AT(mailboxes) },
	[OPTION_EACH] = { "each", 0, 1000000, AT(each) },
	[OPTION_DAYS] = { "days", 1, PLAN_DAYS_MAX, AT(ask.in_days) },
	[OPTION_RECIPIENTS] = { "recipients", 1, 1000, AT(ask.recipients_per_message) },
	[OPTION_EXTERNAL] = { "external", 0, 100, AT(ask.external_percent) },
	[OPTION_LICENCES] = { "licences", 0, 10000000, AT(licences) },
	[OPTION_TENANT_AGE] = { "tenant-age", 0, 36500, AT(age) },
	[OPTION_TENANT_LIMIT] = { "tenant-limit", 1, 1000000000, AT(tenant_limit) },
	[OPTION_SHARE] = { "share", 1, 100, AT(ask.share_percent) },
};

static int read_option(struct request *r, enum plan_option option, const char *value)
{
	r->given |= UINT32_C(1) << option;
	switch (option) {
	case OPTION_VOLUME:
		if (plan_parse_volume(sv_from(value), &r->ask.volume, &r->ask.per_us) != 0 ||
			r->ask.volume == 0)
			return cli_fail(EX_USAGE,
				"--volume: %s: expected N/day, N/hour, N/week, or N for once. "
				"Example: 1000/day",
				value);
		return EX_OK;
	case OPTION_DOOR:
		if (provider_parse(sv_from(value), &r->door) != 0)
			return cli_fail(EX_USAGE,
				"--door: %s: expected submission, graph, hve, connector, direct, "
				"gmail or smtp",
				value);
		return EX_OK;
	case OPTION_FROM_CONFIG:
	case OPTION_TRIAL:
		return EX_OK;
	case OPTION_MAILBOXES:
	case OPTION_EACH:
	case OPTION_DAYS:
	case OPTION_RECIPIENTS:
	case OPTION_EXTERNAL:
	case OPTION_LICENCES:
	case OPTION_TENANT_AGE:
	case OPTION_TENANT_LIMIT:
	case OPTION_SHARE:
		break;
	}
	return cli_number(&numbers[option], value, r);
}

static int check_options(const struct request *r)
{
	if (!is_given(r, OPTION_VOLUME))
		return cli_fail(EX_USAGE, "--volume is missing. Example: --volume 1000/day");
	if (is_given(r, OPTION_FROM_CONFIG) && is_given(r, OPTION_MAILBOXES))
		return cli_fail(EX_USAGE,
			"--mailboxes or --from-config, which has its mailboxes: not both");
	if (r->ask.in_days && r->ask.per_us)
		return cli_fail(EX_USAGE,
			"--days is for a volume that comes once. Example: --volume 24000 --days "
			"20");
	return EX_OK;
}

/* ---- what there is ---- */

static void set_tenant(const struct request *r, struct plan_tenant *t)
{
	if (is_given(r, OPTION_TENANT_AGE))
		t->is.age_days = r->age;
	if (is_given(r, OPTION_TRIAL))
		t->is.trial = true;
	if (is_given(r, OPTION_TENANT_LIMIT))
		t->is.external_per_day = r->tenant_limit;
	if (is_given(r, OPTION_LICENCES)) {
		t->is.licences = r->licences;
		t->licence_each = false;
	}
}

static void ask_of_options(struct request *r)
{
	struct plan_ask *ask = &r->ask;

	ask->group_count = ask->tenant_count = 1;
	ask->fixed = is_given(r, OPTION_MAILBOXES);
	ask->groups[0] = plan_group_of(r->door, ask->share_percent);
	ask->groups[0].count = is_given(r, OPTION_MAILBOXES) ? r->mailboxes : 1;
	ask->tenants[0] =
		(struct plan_tenant){ .licence_each = true, .is.age_days = PROVIDER_AGE_UNKNOWN };
	set_tenant(r, &ask->tenants[0]);
	/* Doors to the tenant itself, whose people are no strangers. */
	if (!is_given(r, OPTION_EXTERNAL) && provider_defaults(r->door)->internal_only)
		ask->external_percent = 0;
	/* Behind a connector may be any number of mailboxes. */
	if (is_given(r, OPTION_EACH) ||
		!(provider_defaults(r->door)->internal_only || ask->groups[0].is_connector))
		ask->groups[0].each_per_day = r->each;
}

static int tenant_of(
	struct request *r, struct cli_tenants *all, const struct conf_tenant *t, uint32_t *out)
{
	static_assert((int)CLI_TENANTS_MAX <= (int)PLAN_TENANTS_MAX, "as many as a plan has");
	struct plan_ask *ask = &r->ask;
	struct plan_tenant *own;
	int rc = cli_tenant_number(all, t, out);

	if (rc != EX_OK || *out < ask->tenant_count)
		return rc;
	own = &ask->tenants[ask->tenant_count++];
	own->is = t ? conf_tenant_is(t, io_clock_wall())
		    : (struct provider_tenant){ .age_days = PROVIDER_AGE_UNKNOWN };
	own->licence_each = own->is.licences == 0;
	set_tenant(r, own);
	return EX_OK;
}

static bool is_alike(const struct plan_group *a, const struct plan_group *b)
{
	return a->door == b->door && a->is_connector == b->is_connector && a->tenant == b->tenant &&
	       a->messages_per_minute == b->messages_per_minute &&
	       a->recipients_per_day == b->recipients_per_day && a->each_per_day == b->each_per_day;
}

/* Lanes that are alike share a group. */
static int add_lane(struct plan_ask *ask, const struct plan_group *g)
{
	for (size_t i = 0; i < ask->group_count; i++)
		if (is_alike(&ask->groups[i], g)) {
			ask->groups[i].count++;
			return 0;
		}
	if (ask->group_count == PLAN_GROUPS_MAX)
		return cli_fail(
			EX_CONFIG, "more than %d kinds of mailboxes and limits", PLAN_GROUPS_MAX);
	ask->groups[ask->group_count++] = *g;
	return 0;
}

static int ask_of_conf(struct request *r, const struct conf *c)
{
	struct cli_tenants tenants = { 0 };
	size_t count;
	const struct conf_lane *lanes = conf_lanes(c, &count);
	int rc = 0;

	r->ask.fixed = true;
	for (size_t i = 0; i < count && rc == 0; i++) {
		const struct conf_lane *l = &lanes[i];
		struct plan_group g;

		/* The doors of a mailbox share its limits; how many a wildcard has nobody knows. */
		if (l->door > 0 || l->is_wildcard)
			continue;
		g = (struct plan_group){ .door = l->provider, .count = 1 };
		g.is_connector = l->kind != CONF_LANE_MAILBOX;
		g.messages_per_minute =
			sched_share(l->limits.messages_per_minute, l->limits.share_percent);
		g.recipients_per_day =
			sched_share(l->limits.recipients_per_day, l->limits.share_percent);
		g.each_per_day = g.is_connector ? 0 : r->each;
		rc = tenant_of(r, &tenants, l->tenant, &g.tenant);
		rc = rc == 0 ? add_lane(&r->ask, &g) : rc;
	}
	return rc;
}

static int read_conf(const struct cli_context *ctx, struct request *r)
{
	CLEANUP(conf_unrefp) struct conf *c = NULL;
	int rc = cli_conf_load(ctx, &c);

	return rc == EX_OK ? ask_of_conf(r, c) : rc;
}

/* ---- answers ---- */

static void set_number(json_t *o, const char *key, uint64_t n)
{
	(void)json_object_set_new(
		o, key, n > INT64_MAX ? json_null() : json_integer((json_int_t)n));
}

static json_t *lines_json(const struct plan *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->line_count; i++) {
		const struct plan_line *l = &p->lines[i];
		json_t *o = json_object();

		(void)json_object_set_new(o, "limit", json_string(l->name));
		(void)json_object_set_new(o, "scope", json_string(l->per));
		(void)json_object_set_new(o, "unit", json_string(l->unit));
		set_number(o, "window_s", l->window_us / US_PER_S);
		(void)json_object_set_new(o,
			"allowed",
			l->allowed ? json_integer((json_int_t)l->allowed) : json_null());
		set_number(o, "carries_per_day", l->carries);
		set_number(o, "used_percent", l->percent);
		set_number(o, "mailboxes", l->mailboxes);
		(void)json_object_set_new(o, "binds_first", json_boolean(l->binds));
		(void)json_array_append_new(list, o);
	}
	return list;
}

static json_t *steps_json(const struct plan *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->step_count; i++) {
		json_t *o = json_object();

		set_number(o, "from_s", p->steps[i].from_us / US_PER_S);
		set_number(o, "recipients", p->steps[i].left);
		(void)json_object_set_new(o, "binds", json_string(p->steps[i].binds));
		(void)json_array_append_new(list, o);
	}
	return list;
}

static void print_json(const struct plan *p)
{
	json_t *o = json_object();

	set_number(o, "mailboxes", p->mailboxes);
	set_number(o, "recipients_per_day", p->a_day);
	set_number(o, "carries_per_day", p->carries);
	(void)json_object_set_new(o, "fits", json_boolean(p->fits));
	(void)json_object_set_new(o,
		"finished_s",
		p->finished_us ? json_integer((json_int_t)(p->finished_us / US_PER_S))
			       : json_null());
	(void)json_object_set_new(o, "days", p->days ? json_integer(p->days) : json_null());
	set_number(o, "licences_needed", p->licences);
	(void)json_object_set_new(o, "limits", lines_json(p));
	set_number(o, "step_s", p->step_us / US_PER_S);
	(void)json_object_set_new(o, "steps", steps_json(p));
	cli_put_json(o);
}

static int answer(struct cli_context *ctx, struct request *r)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(65536);
	const struct plan_style style = { cli_is_utf8(), cli_columns() ? cli_columns() : 80 };
	struct err err = { 0 };
	struct plan p;

	if (plan_compute(&r->ask, &p, &err) != 0)
		return cli_fail(EX_USAGE, "%s", err.text);
	if (ctx->json) {
		print_json(&p);
	} else {
		must(plan_write(&r->ask, &p, &style, &out) == 0);
		(void)printf("%.*s", SV_ARG(buf_sv(&out)));
	}
	return p.fits ? EX_OK : EX_UNAVAILABLE;
}

int cli_plan(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = {
		[OPTION_VOLUME] = { "volume", true },
		[OPTION_MAILBOXES] = { "mailboxes", true },
		[OPTION_FROM_CONFIG] = { "from-config", false },
		[OPTION_EACH] = { "each", true },
		[OPTION_DAYS] = { "days", true },
		[OPTION_DOOR] = { "door", true },
		[OPTION_RECIPIENTS] = { "recipients", true },
		[OPTION_EXTERNAL] = { "external", true },
		[OPTION_LICENCES] = { "licences", true },
		[OPTION_TENANT_AGE] = { "tenant-age", true },
		[OPTION_TRIAL] = { "trial", false },
		[OPTION_TENANT_LIMIT] = { "tenant-limit", true },
		[OPTION_SHARE] = { "share", true },
		{ NULL, false },
	};
	struct request *r = xcalloc(1, sizeof(*r));
	const char *value = NULL;
	int seen, rc = EX_OK;

	r->ask.recipients_per_message = 1;
	r->ask.external_percent = 100;
	r->ask.share_percent = PLAN_SHARE_USUAL;
	r->each = PLAN_EACH_USUAL;
	while (rc == EX_OK && (seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0)
		rc = read_option(r, (enum plan_option)seen, value);
	if (rc == EX_OK && seen == CLI_OPTION_END) {
		rc = optind < argc ? cli_fail(EX_USAGE, "plan takes no operand: '%s'", argv[optind])
				   : check_options(r);
		if (rc == EX_OK && is_given(r, OPTION_FROM_CONFIG))
			rc = read_conf(ctx, r);
		else if (rc == EX_OK)
			ask_of_options(r);
		rc = rc == EX_OK ? answer(ctx, r) : rc;
	} else if (rc == EX_OK) {
		rc = seen == CLI_OPTION_WRONG ? EX_USAGE : EX_OK;
	}
	free(r);
	return rc;
}
