/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "cli/ask.h"
#include "setup/powershell.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] = "usage: postern setup powershell [--address IP] [--config FILE]\n\n"
			   "Prints the administrator's script for the present configuration: app "
			   "registration and its\n"
			   "permissions, mailbox permissions, SMTP AUTH for just these mailboxes, "
			   "no copies in Sent Items,\n"
			   "SendAs, connectors, High Volume Email accounts, DKIM. It holds no "
			   "secret, looks before it\n"
			   "changes anything, and can be run again.\n\n"
			   "  --address IP   the public IPv4 address of this relay, for connectors "
			   "without a certificate\n"
			   "  --config FILE  default /etc/postern/postern.yaml\n\n"
			   "example:\n"
			   "  postern setup powershell > postern-setup.ps1\n";

static int print_script(const struct cli_context *ctx, const char *address)
{
	CLEANUP(conf_unrefp) struct conf *c = cli_load_conf(ctx);
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(SETUP_SCRIPT_MAX);
	struct setup_plan plan;
	int rc;

	if (!c)
		return cli_fail(EX_CONFIG, "%s has errors: see above", ctx->config_path);
	setup_plan_make(&plan, c, sv_from(address));
	rc = setup_powershell(&plan, &out);
	setup_plan_deinit(&plan);
	if (rc != 0)
		return cli_fail(EX_SOFTWARE, "the script is longer than 16 MB");
	return fwrite(out.ptr + out.head, 1, out.len, stdout) == out.len
		       ? EX_OK
		       : cli_fail(EX_IOERR, "could not write the script");
}

int cli_setup(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = { { "address", true }, { NULL, false } };
	const char *address = NULL, *value = NULL;
	struct in_addr ignored;
	int seen;

	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0)
		address = value;
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	if (address && inet_pton(AF_INET, address, &ignored) != 1)
		return cli_fail(EX_USAGE, "--address wants an IPv4 address, like 192.0.2.7");
	if (argc - optind == 1 && strcmp(argv[optind], "powershell") == 0)
		return print_script(ctx, address);
	(void)fputs(help, stderr);
	return EX_USAGE;
}
