/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/limits.h"
#include "cli/ask.h"
#include "cli/setup_priv.h"
#include "setup/powershell.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"usage: postern setup powershell [--address IP] [--config FILE]\n"
	"       postern setup apply --admin UPN [--yes] [--address IP] [--config FILE]\n"
	"       postern setup undo --admin UPN [--yes] [--config FILE]\n"
	"       postern setup survey {--admin UPN [--tenant NAME] | --report FILE.csv} [--json]\n\n"
	"`powershell` prints the administrator's script for the present configuration: app "
	"registration\n"
	"and its permissions, mailbox permissions, SMTP AUTH for just these mailboxes, no copies "
	"in Sent\n"
	"Items, SendAs, connectors, High Volume Email accounts, DKIM. It holds no secret, looks "
	"before it\n"
	"changes anything, and can be run again.\n\n"
	"`apply` does the same itself, after the administrator has signed in with a code: each "
	"step is\n"
	"shown before it is done, and how to take it back is kept in data_dir/setup-TENANT.json. "
	"What "
	"Microsoft's\n"
	"endpoint refuses is printed as PowerShell. `undo` takes the changes back.\n\n"
	"`survey` lists who in the tenant still signs in to SMTP AUTH with a password, device by "
	"device,\n"
	"and where each moves. It asks Graph's sign-in log (Entra ID P1, an administrator who may "
	"read\n"
	"it), or reads an export: Entra's sign-in log as CSV, or the Exchange admin center's "
	"report "
	"of\n"
	"SMTP AUTH clients. It changes nothing.\n\n"
	"  --admin UPN     who signs in: admin@contoso.com\n"
	"  --yes           do all steps without a question\n"
	"  --report FILE   survey: a CSV export instead of Graph\n"
	"  --tenant NAME   survey: only this tenant of the configuration\n"
	"  --address IP    the public IPv4 address of this relay, for connectors without a "
	"certificate\n"
	"  --exchange URL  another address of Exchange's admin endpoint\n"
	"  --client-id ID  another app to sign in with; it must be a public client\n"
	"  --config FILE   default /etc/postern/postern.yaml\n\n"
	"examples:\n"
	"  postern setup powershell > postern-setup.ps1\n"
	"  postern setup survey --report sign-ins.csv\n";

static int print_script(const struct cli_context *ctx, const char *address)
{
	CLEANUP(conf_unrefp) struct conf *c = cli_load_conf(ctx);
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(SETUP_SCRIPT_MAX);
	struct setup_plan plan;
	int rc;

	if (!c)
		return cli_conf_failed(ctx);
	setup_plan_make(&plan, c, sv_from(address));
	rc = setup_powershell(&plan, &out);
	setup_plan_deinit(&plan);
	if (rc != 0)
		return cli_fail(EX_SOFTWARE, "the script is longer than 16 MB");
	return fwrite(out.ptr + out.head, 1, out.len, stdout) == out.len
		       ? EX_OK
		       : cli_fail(EX_IOERR, "could not write the script");
}

enum setup_option {
	OPTION_ADDRESS,
	OPTION_ADMIN,
	OPTION_EXCHANGE,
	OPTION_CLIENT_ID,
	OPTION_YES,
	OPTION_REPORT,
	OPTION_TENANT,
	OPTION_COUNT,
};

static int check_given(const struct setup_given *g)
{
	struct in_addr ignored;

	if (g->address && inet_pton(AF_INET, g->address, &ignored) != 1)
		return cli_fail(EX_USAGE, "--address needs an IPv4 address, for example 192.0.2.7");
	if (g->admin && (!strchr(g->admin, '@') || strpbrk(g->admin, "\r\n ") ||
				strlen(g->admin) > LIMIT_ADDRESS))
		return cli_fail(
			EX_USAGE, "--admin needs a sign-in name, for example admin@contoso.com");
	if (g->exchange && (!sv_starts(sv_from(g->exchange), SV("https://")) ||
				   strlen(g->exchange) > LIMIT_ADDRESS))
		return cli_fail(EX_USAGE, "--exchange needs an address that begins with https://");
	return EX_OK;
}

int cli_setup(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = {
		[OPTION_ADDRESS] = { "address", true },
		[OPTION_ADMIN] = { "admin", true },
		[OPTION_EXCHANGE] = { "exchange", true },
		[OPTION_CLIENT_ID] = { "client-id", true },
		[OPTION_YES] = { "yes", false },
		[OPTION_REPORT] = { "report", true },
		[OPTION_TENANT] = { "tenant", true },
		[OPTION_COUNT] = { NULL, false },
	};
	const char *values[OPTION_COUNT] = { NULL }, *value = NULL, *verb;
	struct setup_given given;
	int seen;

	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0)
		values[seen] = options[seen].has_value ? value : "";
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	given = (struct setup_given){ .address = values[OPTION_ADDRESS],
		.admin = values[OPTION_ADMIN],
		.exchange = values[OPTION_EXCHANGE],
		.client_id = values[OPTION_CLIENT_ID],
		.report = values[OPTION_REPORT],
		.tenant = values[OPTION_TENANT],
		.yes = values[OPTION_YES] != NULL };
	if (check_given(&given) != EX_OK)
		return EX_USAGE;
	verb = argc - optind == 1 ? argv[optind] : "";
	if (ctx->json && strcmp(verb, "survey") != 0)
		return cli_fail(EX_USAGE, "--json: only `setup survey` has JSON output");
	if (strcmp(verb, "powershell") == 0)
		return print_script(ctx, given.address);
	if (strcmp(verb, "survey") == 0 && given.report)
		return setup_survey(ctx, &given);
	if (strcmp(verb, "apply") != 0 && strcmp(verb, "undo") != 0 &&
		strcmp(verb, "survey") != 0) {
		(void)fputs(help, stderr);
		return EX_USAGE;
	}
	if (!given.admin)
		return cli_fail(EX_USAGE, "--admin UPN is missing: who signs in?");
	if (strcmp(verb, "survey") == 0)
		return setup_survey(ctx, &given);
	return strcmp(verb, "apply") == 0 ? setup_apply(ctx, &given) : setup_undo(ctx, &given);
}
