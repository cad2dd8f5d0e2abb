/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/domain_plan.h"

#include "authn/spf_merge.h"
#include "base/arena.h"
#include "base/must.h"
#include "cli/domain.h"
#include "cli/domain_priv.h"
#include "cli/start.h"
#include "conf/conf.h"
#include "domain/dkim_targets.h"
#include "domain/set.h"
#include "io/file.h"
#include "mail/address.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"usage: postern domain plan DOMAIN... [OPTION...]\n"
	"       postern domain plan --all [OPTION...] [--config FILE]\n\n"
	"What a domain's records should become so that Microsoft 365 sends for it, beside what\n"
	"they are. Nothing is changed. SPF is merged: every address that passes now passes\n"
	"then, but those of terms that you drop; one record stays one, within its ten look-ups.\n"
	"DMARC goes by stages. Targets of DKIM and of the MX are Microsoft's to give: paste\n"
	"what Get-DkimSigningConfig and the admin center show. What cannot be planned safely\n"
	"says why. Exit code 0 when all can be published, 69 when something needs you first.\n\n"
	"  --all              every domain of the configuration\n"
	"  --add TERM         one more of SPF: include:NAME, ip4:ADDRESS, ip6:ADDRESS, a, mx;\n"
	"                     several times\n"
	"  --drop TERM        one that goes, as it stands in the record; several times\n"
	"  --spf-all MARK     -all, ~all or ?all at the end of SPF; as it is otherwise, and\n"
	"                     ~all in a new record\n"
	"  --dmarc STAGE      none, quarantine-test, quarantine, reject-test or reject; as it\n"
	"                     is otherwise, and none in a new record\n"
	"  --reports ADDRESS  where DMARC's reports go (rua)\n"
	"  --dkim FILE        output of `Get-DkimSigningConfig | fl` or its JSON; - for standard\n"
	"                     input\n"
	"  --mx NAME          the MX of the admin center, for one domain\n"
	"  --format FORMAT    diff (the default), zone (lines of a zone file) or paste (name\n"
	"                     and value for a host's form)\n"
	"  --dns ADDRESS      another name server: 192.0.2.1 or 127.0.0.1:5300\n"
	"  --json             one object a domain\n\n"
	"examples:\n"
	"  postern domain plan contoso.com --reports dmarc@contoso.com\n"
	"  postern domain plan contoso.com --drop include:old.example --dmarc quarantine-test\n"
	"  Get-DkimSigningConfig | fl | postern domain plan contoso.com --dkim - --format paste\n";

enum {
	PASTED_MAX = 4 << 20,
};

enum plan_option {
	OPTION_ALL,
	OPTION_ADD,
	OPTION_DROP,
	OPTION_SPF_ALL,
	OPTION_DMARC,
	OPTION_REPORTS,
	OPTION_DKIM,
	OPTION_MX,
	OPTION_FORMAT,
	OPTION_DNS,
};

struct planner {
	struct domain_plan_options o;
	bool all;
	const char *dns, *dkim;
	struct sv add[DOMAIN_TERMS_MAX], drop[DOMAIN_TERMS_MAX];
	struct domain_wish wish; /* what all domains have in common */
	struct domain_wish *wishes;
	struct buf pasted;
	struct arena arena;
	struct conf *conf; /* NULL: there is none, and none is needed */
	struct domain_set set;
	size_t blocked;
};

/* ---- options ---- */

static int read_add(struct planner *p, const char *value)
{
	if (p->wish.spf_add_count == DOMAIN_TERMS_MAX)
		return cli_fail(EX_USAGE, "--add: at most %d", DOMAIN_TERMS_MAX);
	if (!spf_merge_takes(sv_from(value)))
		return cli_fail(EX_USAGE,
			"--add: '%s' is no term of SPF that lets pass. Example: --add "
			"ip4:203.0.113.25",
			value);
	p->add[p->wish.spf_add_count++] = sv_from(value);
	return EX_OK;
}

static int read_drop(struct planner *p, const char *value)
{
	if (p->wish.spf_drop_count == DOMAIN_TERMS_MAX)
		return cli_fail(EX_USAGE, "--drop: at most %d", DOMAIN_TERMS_MAX);
	p->drop[p->wish.spf_drop_count++] = sv_from(value);
	return EX_OK;
}

static int read_spf_all(struct planner *p, const char *value)
{
	if (strlen(value) != 4 || strcmp(value + 1, "all") != 0 || !strchr("-~?", value[0]))
		return cli_fail(EX_USAGE, "--spf-all: '%s' is neither -all, ~all nor ?all", value);
	p->wish.spf_all = value[0];
	return EX_OK;
}

static int read_stage(struct planner *p, const char *value)
{
	for (unsigned s = DOMAIN_STAGE_NONE; s < DOMAIN_STAGE_COUNT; s++) {
		if (strcmp(value, domain_stage_name((enum domain_stage)s)) == 0) {
			p->wish.stage = (enum domain_stage)s;
			return EX_OK;
		}
	}
	return cli_fail(EX_USAGE,
		"--dmarc: '%s' is none of none, quarantine-test, quarantine, reject-test, reject",
		value);
}

static int read_reports(struct planner *p, const char *value)
{
	struct sv text = sv_from(value);
	struct address parsed;
	char rua[LIMIT_ADDRESS + 16];

	if (sv_starts_nocase(text, SV("mailto:")))
		text = sv_skip(text, 7);
	/* A comma would begin another address of rua, a semicolon another tag. */
	if (address_parse(text, 0, &parsed) != 0 || sv_find_char(text, ';') >= 0 ||
		sv_find_char(text, ',') >= 0 || sv_find_char(text, '!') >= 0)
		return cli_fail(EX_USAGE,
			"--reports: '%s' is no address. Example: --reports dmarc@contoso.com",
			value);
	(void)snprintf(rua, sizeof(rua), "mailto:%.*s", SV_ARG(text));
	p->wish.report_to = arena_sv(&p->arena, sv_from(rua));
	return EX_OK;
}

static int read_format(struct planner *p, const char *value)
{
	static const char *const names[] = { "diff", "zone", "paste" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(value, names[i]) == 0) {
			p->o.format = (enum domain_format)i;
			return EX_OK;
		}
	}
	return cli_fail(EX_USAGE, "--format: '%s' is neither diff, zone nor paste", value);
}

static int read_option(struct planner *p, enum plan_option option, const char *value)
{
	switch (option) {
	case OPTION_ALL:
		p->all = true;
		break;
	case OPTION_ADD:
		return read_add(p, value);
	case OPTION_DROP:
		return read_drop(p, value);
	case OPTION_SPF_ALL:
		return read_spf_all(p, value);
	case OPTION_DMARC:
		return read_stage(p, value);
	case OPTION_REPORTS:
		return read_reports(p, value);
	case OPTION_DKIM:
		p->dkim = value;
		break;
	case OPTION_MX:
		if (!authn_name_is_valid(sv_from(value)))
			return cli_fail(EX_USAGE, "--mx: %s is no name", value);
		p->wish.mx = sv_from(value);
		break;
	case OPTION_FORMAT:
		return read_format(p, value);
	case OPTION_DNS:
		p->dns = value;
		break;
	}
	return EX_OK;
}

static int read_options(struct planner *p, int argc, char **argv)
{
	static const struct cli_option options[] = {
		[OPTION_ALL] = { "all", false },
		[OPTION_ADD] = { "add", true },
		[OPTION_DROP] = { "drop", true },
		[OPTION_SPF_ALL] = { "spf-all", true },
		[OPTION_DMARC] = { "dmarc", true },
		[OPTION_REPORTS] = { "reports", true },
		[OPTION_DKIM] = { "dkim", true },
		[OPTION_MX] = { "mx", true },
		[OPTION_FORMAT] = { "format", true },
		[OPTION_DNS] = { "dns", true },
		{ NULL, false },
	};
	const char *value;
	int met, code = EX_OK;

	while ((met = cli_option(p->o.ctx, argc, argv, options, help, &value)) >= 0) {
		code = read_option(p, (enum plan_option)met, value);
		if (code != EX_OK)
			return code;
	}
	if (met == CLI_OPTION_HELP)
		return CLI_OPTION_HELP;
	if (met == CLI_OPTION_WRONG)
		return EX_USAGE;
	if (p->all != (optind == argc))
		return cli_fail(EX_USAGE,
			"name one domain or several, or --all. Example: postern domain plan "
			"contoso.com");
	if (p->wish.mx.len && (p->all || argc - optind > 1))
		return cli_fail(EX_USAGE, "--mx is for one domain: each has an MX of its own");
	return EX_OK;
}

/* ---- what is wished for each ---- */

static int read_pasted(struct planner *p)
{
	struct err err = { 0 };

	if (!p->dkim)
		return EX_OK;
	if (io_file_read(strcmp(p->dkim, "-") == 0 ? "/dev/stdin" : p->dkim,
		    PASTED_MAX,
		    &p->pasted,
		    &err) != 0)
		return cli_fail(EX_NOINPUT, "--dkim: %s", err.text);
	return EX_OK;
}

static int wish_dkim(struct planner *p, struct domain_wish *w)
{
	int rc;

	if (!p->dkim)
		return EX_OK;
	rc = domain_dkim_targets(buf_sv(&p->pasted), w->domain, w->dkim);
	if (rc == 0)
		return EX_OK;
	w->dkim[0] = w->dkim[1] = SV("");
	/* Of many domains, those that the output does not name are planned without. */
	if (p->set.name_count > 1)
		return EX_OK;
	return cli_fail(EX_DATAERR,
		rc == RC_NOT_FOUND ? "--dkim: there is no Selector1CNAME and Selector2CNAME in %s; "
				     "paste `Get-DkimSigningConfig -Identity %.*s | fl`"
				   : "--dkim: %s does not give names of Microsoft's for keys of "
				     "%.*s; first, in PowerShell: New-DkimSigningConfig "
				     "-DomainName DOMAIN -Enabled $false",
		strcmp(p->dkim, "-") == 0 ? "what was pasted" : p->dkim,
		SV_ARG(w->domain));
}

static int make_wishes(struct planner *p)
{
	int code = read_pasted(p);

	p->wish.spf_add = p->add;
	p->wish.spf_drop = p->drop;
	p->wishes = xcalloc(p->set.name_count + 1, sizeof(*p->wishes));
	for (size_t i = 0; code == EX_OK && i < p->set.name_count; i++) {
		struct domain_wish *w = &p->wishes[i];

		*w = p->wish;
		w->domain = p->set.names[i];
		w->cloud = p->set.questions[i].cloud;
		code = wish_dkim(p, w);
	}
	return code;
}

/* ---- the run ---- */

static bool run_plan(void *arg, size_t index, struct authn_memo *memo)
{
	struct planner *p = arg;
	struct domain_plan plan = { 0 };
	bool done = domain_plan(&p->wishes[index], memo, &plan);

	if (done) {
		p->blocked += domain_plan_count(&plan, DOMAIN_BLOCKED);
		domain_plan_print(&p->o, &plan);
	}
	domain_plan_deinit(&plan);
	return done;
}

static int look(struct planner *p)
{
	int code = domain_ask(p->conf, p->dns, p->set.name_count, run_plan, p);

	return code != EX_OK ? code : p->blocked ? EX_UNAVAILABLE : EX_OK;
}

static int run(struct planner *p, int argc, char **argv)
{
	int code = domain_load_conf(p->o.ctx, p->all, &p->conf);

	if (code == EX_OK)
		code = domain_add_named(&p->set, argc, argv);
	if (code != EX_OK)
		return code;
	if (p->all)
		domain_set_add_all(&p->set, p->conf);
	if (p->set.name_count == 0)
		return cli_fail(EX_CONFIG,
			"the configuration names no domain: neither `domains:` of a tenant nor a "
			"mailbox");
	domain_set_ask(&p->set, p->conf);
	code = make_wishes(p);
	/* The pasted file is the caller's to read; names from the network are read by the daemon's user. */
	if (code == EX_OK)
		code = cli_become_daemon(p->o.ctx, p->conf);
	return code == EX_OK ? look(p) : code;
}

int cli_domain_plan(struct cli_context *ctx, int argc, char **argv)
{
	struct planner p = { .o.ctx = ctx, .pasted = BUF_INIT(PASTED_MAX) };
	int code = read_options(&p, argc, argv);

	if (code == EX_OK)
		code = run(&p, argc, argv);
	domain_set_deinit(&p.set);
	buf_deinit(&p.pasted);
	arena_reset(&p.arena);
	free(p.wishes);
	conf_unref(p.conf);
	return code == CLI_OPTION_HELP ? EX_OK : code;
}
