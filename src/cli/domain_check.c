/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/domain.h"

#include "cli/domain_priv.h"

#include "cli/ask.h"
#include "cli/start.h"
#include "domain/set.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"usage: postern domain check DOMAIN... [OPTION...]\n"
	"       postern domain check --all [OPTION...] [--config FILE]\n\n"
	"Is a domain ready to send through Microsoft 365? Looks up what it publishes and\n"
	"judges it as receivers do: SPF with every include and its budget of ten look-ups,\n"
	"DKIM by both forms of Microsoft's CNAMEs and the keys behind them, DMARC by RFC\n"
	"9989, MX, autodiscover, MTA-STS, TLS-RPT and DANE; then whether Gmail, Yahoo and\n"
	"Outlook.com take bulk mail from it, and if not, why and what to do. The name, EHLO\n"
	"and listings of addresses that connectors leave from (`source:`) are looked at,\n"
	"too. No mail is sent. Exit code 0 when all domains meet the rules, 69 when one\n"
	"fails, 75 when a name server did not tell.\n\n"
	"  --all              every domain of the configuration: the tenants' and those of\n"
	"                     the mailboxes\n"
	"  --ip ADDRESS       would SPF let this address send? May be given several times\n"
	"  --selector NAME    a DKIM selector beside selector1 and selector2; several times\n"
	"  --block-list ZONE  is a connector's address, or that of --ip, on this list?\n"
	"                     Several times\n"
	"  --dns ADDRESS      another name server: 192.0.2.1 or 127.0.0.1:5300\n"
	"  --verbose          of many domains, too, everything that was found\n"
	"  --json             one object a domain\n\n"
	"examples:\n"
	"  postern domain check contoso.com\n"
	"  postern domain check contoso.com --ip 203.0.113.25 --selector mail2026\n"
	"  postern domain check --all --json | jq -r 'select(.meets!=\"meets\").domain'\n";

enum domain_option {
	OPTION_ALL,
	OPTION_IP,
	OPTION_SELECTOR,
	OPTION_BLOCK_LIST,
	OPTION_DNS,
	OPTION_VERBOSE,
};

struct checker {
	struct domain_options o;
	struct conf *conf; /* NULL: there is none, and none is needed */
	struct domain_set set;
	struct domain_sum sum;
};

/* ---- options ---- */

static int read_address(struct domain_set *s, const char *text)
{
	struct domain_address *a = &s->addresses[s->address_count];

	if (s->address_count == DOMAIN_ADDRESSES_MAX)
		return cli_fail(EX_USAGE, "--ip: at most %d addresses", DOMAIN_ADDRESSES_MAX);
	*a = (struct domain_address){
		.text = sv_from(text), .why = SV("--ip"), .is_ipv6 = strchr(text, ':') != NULL
	};
	if (inet_pton(a->is_ipv6 ? AF_INET6 : AF_INET, text, a->bytes) != 1)
		return cli_fail(EX_USAGE, "--ip: %s is no address. Example: 203.0.113.25", text);
	s->address_count++;
	return EX_OK;
}

static int read_name(
	const char *option, const char *text, struct sv *list, size_t max, size_t *count)
{
	if (*count == max)
		return cli_fail(EX_USAGE, "--%s: at most %zu", option, max);
	if (!authn_name_is_valid(sv_from(text)))
		return cli_fail(EX_USAGE, "--%s: %s is no name", option, text);
	list[(*count)++] = sv_from(text);
	return EX_OK;
}

static int read_option(struct checker *c, enum domain_option option, const char *value)
{
	switch (option) {
	case OPTION_ALL:
		c->o.all = true;
		break;
	case OPTION_IP:
		return read_address(&c->set, value);
	case OPTION_SELECTOR:
		return read_name("selector",
			value,
			c->set.selectors,
			DOMAIN_SELECTORS_MAX,
			&c->set.selector_count);
	case OPTION_BLOCK_LIST:
		return read_name(
			"block-list", value, c->set.lists, DOMAIN_LISTS_MAX, &c->set.list_count);
	case OPTION_DNS:
		c->o.dns = value;
		break;
	case OPTION_VERBOSE:
		c->o.verbose = true;
		break;
	}
	return EX_OK;
}

static int read_options(struct checker *c, int argc, char **argv)
{
	static const struct cli_option options[] = {
		[OPTION_ALL] = { "all", false },
		[OPTION_IP] = { "ip", true },
		[OPTION_SELECTOR] = { "selector", true },
		[OPTION_BLOCK_LIST] = { "block-list", true },
		[OPTION_DNS] = { "dns", true },
		[OPTION_VERBOSE] = { "verbose", false },
		{ NULL, false },
	};
	const char *value;
	int met, code = EX_OK;

	while ((met = cli_option(c->o.ctx, argc, argv, options, help, &value)) >= 0) {
		code = read_option(c, (enum domain_option)met, value);
		if (code != EX_OK)
			return code;
	}
	if (met == CLI_OPTION_HELP)
		return CLI_OPTION_HELP;
	if (met == CLI_OPTION_WRONG)
		return EX_USAGE;
	if (c->o.all != (optind == argc))
		return cli_fail(EX_USAGE,
			"name one domain or several, or --all. Example: postern domain check "
			"contoso.com");
	/* Who names lists means the addresses that he names, too. */
	for (size_t i = 0; i < c->set.address_count; i++)
		c->set.addresses[i].sends = c->set.list_count > 0;
	return EX_OK;
}

/* ---- the run ---- */

static void on_done(struct checker *c, const struct domain_report *r)
{
	switch (domain_report_meets(r)) {
	case DOMAIN_MEETS:
		c->sum.meets++;
		break;
	case DOMAIN_FAILS:
		c->sum.fails++;
		break;
	case DOMAIN_MEETS_UNKNOWN:
	case DOMAIN_MEETS_COUNT:
		c->sum.unknown++;
		break;
	}
	domain_print(&c->o, r);
}

static bool run_check(void *arg, size_t index, struct authn_memo *memo)
{
	struct checker *c = arg;
	struct domain_report r = { 0 };
	bool done = domain_check(&c->set.questions[index], memo, &r);

	if (done)
		on_done(c, &r);
	domain_report_deinit(&r);
	return done;
}

static int look(struct checker *c)
{
	int code = domain_ask(c->conf, c->o.dns, c->set.name_count, run_check, c);

	if (code != EX_OK)
		return code;
	domain_print_sum(&c->o, &c->sum);
	return c->sum.fails ? EX_UNAVAILABLE : c->sum.unknown ? EX_TEMPFAIL : EX_OK;
}

static int run(struct checker *c, int argc, char **argv)
{
	int code = EX_OK;

	code = domain_load_conf(c->o.ctx, c->o.all, &c->conf);
	if (code != EX_OK)
		return code;
	if (c->conf)
		domain_set_read(&c->set, c->conf);
	code = cli_become_daemon(c->o.ctx, c->conf);
	if (code != EX_OK)
		return code;
	if (c->o.all)
		domain_set_add_all(&c->set, c->conf);
	else
		code = domain_add_named(&c->set, argc, argv);
	if (code != EX_OK)
		return code;
	if (c->set.name_count == 0)
		return cli_fail(EX_CONFIG,
			"the configuration names no domain: neither `domains:` of a tenant nor a "
			"mailbox");
	c->o.brief = c->set.name_count > 1 && !c->o.verbose;
	domain_set_ask(&c->set, c->conf);
	return look(c);
}

int cli_domain_check(struct cli_context *ctx, int argc, char **argv)
{
	struct checker c = { .o.ctx = ctx };
	int code = read_options(&c, argc, argv);

	if (code == EX_OK)
		code = run(&c, argc, argv);
	domain_set_deinit(&c.set);
	conf_unref(c.conf);
	return code == CLI_OPTION_HELP ? EX_OK : code;
}
