/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/sandbox.h"

#include "base/buf.h"
#include "base/text.h"
#include "cli/cli.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
	"usage: postern sandbox [OPTION...]\n\n"
	"A Microsoft 365 on loopback to test against: SMTP AUTH client submission with its own "
	"CA,\n"
	"Exchange Online's limits and error texts, scripted faults, an HTTP API, and a verdict "
	"when it\n"
	"ends (SIGINT or SIGTERM): which limit was broken, when, by whom. Exit code 1 if one "
	"was.\n\n"
	"  --smtp ADDRESS        default 127.0.0.1:2587\n"
	"  --http ADDRESS        default 127.0.0.1:2580; \"\" for none\n"
	"  --https ADDRESS       sign-in (Entra) and Graph; default 127.0.0.1:2543; \"\" for none\n"
	"  --hve ADDRESS         High Volume Email; default 127.0.0.1:2588; \"\" for none\n"
	"  --connector ADDRESS   the tenant's MX, as port 25; default 127.0.0.1:2526; \"\" for "
	"none\n"
	"  --folder DIR          for ca.pem and the certificate; default ./sandbox\n"
	"  --name HOST           one more name in the certificate\n"
	"  --password TEXT       any address signs in with it; default \"sandbox\"\n"
	"  --scenario NAME       start with switches and faults (see --scenarios)\n"
	"  --scenarios           list them\n"
	"  --events FILE         event log, JSON lines; \"-\" for standard output\n"
	"  --keep SIZE           messages kept for the API; default 256MB\n"
	"  --speed N             its clock runs N times as fast\n"
	"  --rewrite-ids         gives messages new Message-IDs, as Exchange may\n"
	"  --no-starttls         offers no STARTTLS\n"
	"  --beyond-loopback     lets addresses be others than loopback: whoever reaches them\n"
	"                        may hand in mail (nothing is ever sent on)\n"
	"  --show, --quiet       a line for each mail on standard error, or none; default: on a\n"
	"                        terminal only\n\n"
	"examples:\n"
	"  postern sandbox --scenario smtp-auth-off\n"
	"  swaks --server 127.0.0.1:2587 -tls -a LOGIN -au a@contoso.com -ap sandbox -f "
	"a@contoso.com -t b@example.org\n"
	"  curl 'http://127.0.0.1:2580/messages/wait?to=b@example.org&timeout=10'\n"
	"  curl -d '{\"at\":\"dot\",\"do\":\"cut-after\",\"times\":1}' "
	"http://127.0.0.1:2580/faults\n";

static void stop(void *arg, int signum)
{
	(void)signum;
	io_loop_stop(arg);
}

static void tell(void *arg, const char *line)
{
	time_t now = (time_t)(io_wall(arg).us / (int64_t)US_PER_S);
	struct tm local;
	char at[16] = "";

	if (localtime_r(&now, &local))
		(void)strftime(at, sizeof(at), "%H:%M:%S", &local);
	(void)fprintf(stderr, "%s %s\n", at, line);
}

static int list_scenarios(void)
{
	const char *does;
	const char *name;

	for (size_t i = 0; (name = sandbox_scenario_name(i, &does)) != NULL; i++)
		(void)printf("%-18s %s\n", name, does);
	return EX_OK;
}

static int run(const struct sandbox_options *options)
{
	CLEANUP(buf_deinitp) struct buf verdict = BUF_INIT(1 << 20);
	struct io_loop *loop = io_loop_new();
	struct sandbox_options with_loop = *options;
	struct err err = { 0 };
	struct sandbox *s;
	bool broken;

	with_loop.tell_arg = loop;
	s = sandbox_new(loop, &with_loop, &err);
	if (!s) {
		io_loop_free(loop);
		return cli_fail(EX_CONFIG, "sandbox: %s", err.text);
	}
	io_signal_watch(loop, SIGINT, stop, loop);
	io_signal_watch(loop, SIGTERM, stop, loop);
	(void)fprintf(stderr,
		"sandbox: SMTP on port %d, HVE on port %d, connector on port %d, HTTP on port %d, "
		"HTTPS on port %d, CA in %.*s, password %.*s\n",
		sandbox_smtp_port(s),
		sandbox_hve_port(s),
		sandbox_connector_port(s),
		sandbox_http_port(s),
		sandbox_https_port(s),
		SV_ARG(sandbox_ca_path(s)),
		SV_ARG(options->password));
	if (options->beyond_loopback)
		(void)fprintf(stderr,
			"sandbox: WARNING: it may listen beyond loopback. Whoever reaches these "
			"ports can "
			"hand in mail, read all messages and change every setting; there is no "
			"password "
			"on the API. Nothing is sent on.\n");
	io_loop_run(loop);
	if (sandbox_verdict(s, &verdict) == 0)
		(void)fprintf(stderr, "%.*s", SV_ARG(buf_sv(&verdict)));
	broken = sandbox_totals(s).violations != 0;
	sandbox_free(s);
	io_loop_free(loop);
	return broken ? 1 : EX_OK;
}

enum {
	OPT_SMTP,
	OPT_HTTP,
	OPT_HTTPS,
	OPT_HVE,
	OPT_CONNECTOR,
	OPT_FOLDER,
	OPT_NAME,
	OPT_PASSWORD,
	OPT_SCENARIO,
	OPT_SCENARIOS,
	OPT_EVENTS,
	OPT_KEEP,
	OPT_SPEED,
	OPT_REWRITE,
	OPT_NO_STARTTLS,
	OPT_BEYOND,
	OPT_SHOW,
	OPT_QUIET
};

static const struct cli_option options_known[] = {
	[OPT_SMTP] = { "smtp", true },
	[OPT_HTTP] = { "http", true },
	[OPT_HTTPS] = { "https", true },
	[OPT_HVE] = { "hve", true },
	[OPT_CONNECTOR] = { "connector", true },
	[OPT_FOLDER] = { "folder", true },
	[OPT_NAME] = { "name", true },
	[OPT_PASSWORD] = { "password", true },
	[OPT_SCENARIO] = { "scenario", true },
	[OPT_SCENARIOS] = { "scenarios", false },
	[OPT_EVENTS] = { "events", true },
	[OPT_KEEP] = { "keep", true },
	[OPT_SPEED] = { "speed", true },
	[OPT_REWRITE] = { "rewrite-ids", false },
	[OPT_NO_STARTTLS] = { "no-starttls", false },
	[OPT_BEYOND] = { "beyond-loopback", false },
	[OPT_SHOW] = { "show", false },
	[OPT_QUIET] = { "quiet", false },
	{ NULL, false },
};

/* Returns 0, or an exit code after a message. */
static int take_option(struct sandbox_options *o, int seen, const char *value)
{
	struct sv *const texts[] = {
		[OPT_SMTP] = &o->smtp_address,
		[OPT_HTTP] = &o->http_address,
		[OPT_HTTPS] = &o->https_address,
		[OPT_HVE] = &o->hve_address,
		[OPT_CONNECTOR] = &o->connector_address,
		[OPT_FOLDER] = &o->folder,
		[OPT_NAME] = &o->host_name,
		[OPT_PASSWORD] = &o->password,
		[OPT_SCENARIO] = &o->scenario,
		[OPT_EVENTS] = &o->events_path,
	};
	uint32_t speed;

	if (seen == OPT_REWRITE)
		o->rewrite_ids = true;
	else if (seen == OPT_NO_STARTTLS)
		o->implicit_tls_off = true;
	else if (seen == OPT_BEYOND)
		o->beyond_loopback = true;
	else if (seen == OPT_SHOW || seen == OPT_QUIET)
		o->tell = seen == OPT_SHOW ? tell : NULL;
	else if (seen == OPT_KEEP && text_parse_size(sv_from(value), &o->keep_bytes) != 0)
		return cli_fail(EX_USAGE, "--keep needs a size, for example 64MB, not '%s'", value);
	else if (seen == OPT_SPEED &&
		 (sv_parse_u32(sv_from(value), 1000000, &speed) != 0 || speed == 0))
		return cli_fail(
			EX_USAGE, "--speed needs a number from 1 to 1000000, not '%s'", value);
	else if (seen == OPT_SPEED)
		o->speed = speed;
	else if (seen != OPT_KEEP)
		*texts[seen] = sv_from(value);
	return 0;
}

int cli_sandbox(struct cli_context *ctx, int argc, char **argv)
{
	struct sandbox_options o = {
		.smtp_address = SV("127.0.0.1:2587"),
		.http_address = SV("127.0.0.1:2580"),
		.https_address = SV("127.0.0.1:2543"),
		.hve_address = SV("127.0.0.1:2588"),
		.connector_address = SV("127.0.0.1:2526"),
		.folder = SV("sandbox"),
		.password = SV("sandbox"),
		.keep_bytes = UINT64_C(256) << 20,
		.speed = 1,
		.tell = isatty(STDERR_FILENO) ? tell : NULL,
	};
	const char *value = NULL;
	int seen;

	while ((seen = cli_option(ctx, argc, argv, options_known, help, &value)) >= 0) {
		int code;

		if (seen == OPT_SCENARIOS)
			return list_scenarios();
		code = take_option(&o, seen, value);
		if (code != 0)
			return code;
	}
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	if (optind < argc)
		return cli_fail(EX_USAGE, "sandbox takes no operand: '%s'", argv[optind]);
	return run(&o);
}
