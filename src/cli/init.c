/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/init_priv.h"

#include "base/buf.h"
#include "base/must.h"
#include "conf/conf.h"
#include "io/file.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"usage: postern init [--output FILE] [--from-report FILE.csv] [OPTION...]\n\n"
	"Asks for a mail domain, a door and a sender, looks up what it can, writes a\n"
	"postern.yaml with comments and checks it. A file that exists is never replaced\n"
	"without a question.\n\n"
	"  --domain DOMAIN       instead of the question\n"
	"  --door DOOR           submission, hve, connector or graph (docs/doors.md)\n"
	"  --sender ADDRESS,...  who sends; a name alone is one in the domain\n"
	"  --yes                 no questions at all: for scripts\n"
	"  --from-report FILE    the admin center's report of SMTP AUTH clients: a user\n"
	"                        and a mailbox for each sender, and a sheet for each\n"
	"                        device\n"
	"  --sheets DIR          where the sheets go; default: devices, beside the output\n"
	"  --cloud CLOUD         global, gcc-high, dod or 21vianet\n"
	"  --offline             looks nothing up\n"
	"  --login URL           another sign-in service, and the certificates to trust\n"
	"                        there\n"
	"  --ca-file FILE\n"
	"  --dns ADDRESS         another name server\n"
	"  --output FILE         default: that of --config, /etc/postern/postern.yaml\n\n"
	"examples:\n"
	"  postern init\n"
	"  postern init --yes --domain contoso.com --sender erp --output ./postern.yaml\n";

enum init_option {
	OPTION_DOMAIN,
	OPTION_DOOR,
	OPTION_SENDER,
	OPTION_OUTPUT,
	OPTION_REPORT,
	OPTION_SHEETS,
	OPTION_CLOUD,
	OPTION_LOGIN,
	OPTION_CA_FILE,
	OPTION_DNS,
	OPTION_YES,
	OPTION_OFFLINE,
	OPTION_COUNT,
};

struct init {
	struct cli_context *ctx;
	const char *given[OPTION_COUNT];
	const char *output;
	char folder[PATH_MAX]; /* of the output */
	char domain[LIMIT_DOMAIN + 1];
	struct setup_choice choice;
	struct setup_report report;
	struct init_facts facts;
	struct arena arena;
	struct sv senders[INIT_SENDERS_MAX];
	struct sv *report_senders;
};

static bool is_quiet(const struct init *in)
{
	return in->given[OPTION_YES] != NULL;
}

/* One line, without the spaces around it; empty: the default. False: there is no more input. */
static bool ask(const struct init *in, const char *question, const char *otherwise,
	char out[INIT_ANSWER_MAX])
{
	struct sv answer;

	(void)printf("%s%s%s", cli_style(in->ctx, "bold"), question, cli_style(in->ctx, "off"));
	if (otherwise[0])
		(void)printf(" [%s]", otherwise);
	(void)printf(": ");
	(void)fflush(stdout);
	if (!fgets(out, INIT_ANSWER_MAX, stdin))
		return false;
	out[strcspn(out, "\r\n")] = '\0';
	answer = sv_trim(sv_from(out));
	if (!answer.len)
		answer = sv_from(otherwise);
	memmove(out, answer.ptr, answer.len);
	out[answer.len] = '\0';
	return true;
}

static int no_answer(void)
{
	(void)printf("\n");
	return cli_fail(EX_NOINPUT,
		"the questions were not answered: nothing was written. For scripts: --yes --domain "
		"DOMAIN --sender ADDRESS");
}

/* ---- the domain, and what is known of it ---- */

static int choose_domain(struct init *in)
{
	char answer[INIT_ANSWER_MAX];
	const char *text = in->given[OPTION_DOMAIN];
	struct sv first = in->report.count ? in->report.clients[0].address : SV("");
	char otherwise[LIMIT_DOMAIN + 1] = "";

	(void)snprintf(otherwise,
		sizeof(otherwise),
		"%.*s",
		SV_ARG(sv_skip(first, (size_t)(sv_rfind_char(first, '@') + 1))));
	if (!text && is_quiet(in))
		text = otherwise;
	for (;;) {
		if (!text && !ask(in, "Your mail domain", otherwise, answer))
			return no_answer();
		if (setup_domain(sv_from(text ? text : answer), in->domain, &in->choice.domain))
			return EX_OK;
		if (text)
			return cli_fail(EX_USAGE, "--domain wants a mail domain, like contoso.com");
		(void)printf("  That is no domain; it looks like contoso.com.\n");
	}
}

static void show_fact(const char *name, const char *value, const char *why)
{
	(void)printf("  %-7s %s%s\n", name, value[0] ? value : "not found: ", value[0] ? "" : why);
}

static void look_up(struct init *in)
{
	const char *login = in->given[OPTION_LOGIN], *ca = in->given[OPTION_CA_FILE];
	const struct init_lookup q = {
		.domain = in->choice.domain,
		.login_url = login ? sv_from(login) : provider_cloud(in->choice.cloud)->login,
		.ca_file = sv_from(ca),
		.dns = sv_from(in->given[OPTION_DNS]),
	};

	in->choice.login_url = sv_from(login);
	in->choice.ca_file = sv_from(ca);
	if (in->given[OPTION_OFFLINE])
		return;
	init_lookup(&q, &in->facts);
	in->choice.tenant_id = sv_from(in->facts.tenant_id);
	show_fact("tenant", in->facts.tenant_id, in->facts.tenant_why);
	show_fact("MX", in->facts.mx, in->facts.mx_why);
	show_fact("SPF", in->facts.spf, in->facts.spf_why);
}

/* ---- the door, and who sends ---- */

static int choose_door(struct init *in)
{
	char answer[INIT_ANSWER_MAX];
	const char *text = in->given[OPTION_DOOR];

	if (!text && is_quiet(in))
		text = "submission";
	if (!text) {
		(void)printf("\nBy which door shall the mail leave? docs/doors.md tells more.\n");
		for (unsigned i = 0; i < SETUP_DOOR_COUNT; i++)
			cli_print(5,
				"  %u  %s%s%s\n     %s\n",
				i + 1,
				cli_style(in->ctx, "bold"),
				setup_door_name((enum setup_door)i),
				cli_style(in->ctx, "off"),
				setup_door_words((enum setup_door)i));
	}
	for (;;) {
		if (!text && !ask(in, "Door", "1", answer))
			return no_answer();
		if (setup_door_parse(sv_from(text ? text : answer), &in->choice.door) == 0)
			return EX_OK;
		if (text)
			return cli_fail(EX_USAGE, "--door is submission, hve, connector or graph");
		(void)printf("  A number from 1 to 4, or a name.\n");
	}
}

/* "erp, crm@contoso.com" */
static bool read_senders(struct init *in, struct sv list)
{
	size_t count = 0;
	struct sv part;

	while (list.len) {
		char text[LIMIT_ADDRESS], whole[INIT_ANSWER_MAX + LIMIT_DOMAIN];
		struct sv address;
		bool again = false;
		int n;

		(void)sv_cut_char(&list, ',', &part);
		part = sv_trim(part);
		n = sv_find_char(part, '@') >= 0
			    ? snprintf(whole, sizeof(whole), "%.*s", SV_ARG(part))
			    : snprintf(whole, sizeof(whole), "%.*s@%s", SV_ARG(part), in->domain);
		if (n < 0 || (size_t)n >= sizeof(whole) || count == INIT_SENDERS_MAX ||
			!setup_address(sv_from(whole), text, &address))
			return false;
		for (size_t i = 0; i < count; i++)
			again = again || sv_eq(in->senders[i], address);
		if (!again)
			in->senders[count++] = arena_sv(&in->arena, address);
	}
	in->choice.senders = in->senders;
	in->choice.sender_count = count;
	return count > 0;
}

static int choose_senders(struct init *in)
{
	char answer[INIT_ANSWER_MAX], otherwise[LIMIT_DOMAIN + 16];
	const char *text = in->given[OPTION_SENDER];

	(void)snprintf(otherwise, sizeof(otherwise), "relay@%s", in->domain);
	if (in->choice.door == SETUP_DOOR_CONNECTOR)
		return EX_OK;
	if (!text && is_quiet(in))
		return cli_fail(EX_USAGE, "--yes wants --sender ADDRESS: who sends?");
	for (;;) {
		if (!text &&
			!ask(in, "\nWhich mailboxes send? Several with commas", otherwise, answer))
			return no_answer();
		if (read_senders(in, sv_from(text ? text : answer)))
			return EX_OK;
		if (text)
			return cli_fail(EX_USAGE, "--sender wants addresses, like erp@contoso.com");
		(void)printf(
			"  Addresses like erp@%s, at most %d.\n", in->domain, INIT_SENDERS_MAX);
	}
}

/* ---- the report ---- */

static int read_report(struct init *in)
{
	CLEANUP(buf_deinitp) struct buf bytes = BUF_INIT(SETUP_REPORT_MAX);
	const char *path = in->given[OPTION_REPORT];
	struct err err = { 0 };

	if (io_file_read(path, SETUP_REPORT_MAX, &bytes, &err) != 0)
		return cli_fail(EX_NOINPUT, "%s", err.text);
	if (setup_report_read(buf_sv(&bytes), &in->report, &err) != 0)
		return cli_fail(EX_DATAERR, "%s: %s", path, err.text);
	in->report_senders = xcalloc(in->report.count, sizeof(struct sv));
	for (size_t i = 0; i < in->report.count; i++)
		in->report_senders[i] = in->report.clients[i].address;
	in->choice.report = &in->report;
	in->choice.senders = in->report_senders;
	in->choice.sender_count = in->report.count;
	(void)printf("%s: %zu sender%s", path, in->report.count, in->report.count == 1 ? "" : "s");
	if (in->report.skipped)
		(void)printf("; %zu rows without an address are left out", in->report.skipped);
	(void)printf("\n");
	return EX_OK;
}

/* ---- what is written ---- */

int init_find_folder(const char *output, char folder[PATH_MAX], struct sv *out_plain)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "/._-+@";
	const char *slash = strrchr(output, '/');
	char *real;

	(void)snprintf(folder,
		PATH_MAX,
		"%.*s",
		slash ? (int)(slash - output) + (slash == output) : 1,
		slash ? output : ".");
	real = realpath(folder, NULL);
	if (!real)
		return cli_fail(EX_CANTCREAT,
			"%s: %s: make the folder, or write elsewhere: --output ./postern.yaml",
			folder,
			strerror(errno));
	(void)snprintf(folder, PATH_MAX, "%s", real);
	free(real);
	*out_plain = strlen(folder) < INIT_TEXT_MAX && folder[strspn(folder, plain)] == '\0'
			     ? sv_from(folder)
			     : SV("");
	return EX_OK;
}

static int find_folder(struct init *in)
{
	int code;

	in->output = in->given[OPTION_OUTPUT] ? in->given[OPTION_OUTPUT] : in->ctx->config_path;
	code = init_find_folder(in->output, in->folder, &in->choice.folder);
	if (!in->choice.folder.len)
		in->choice.folder = SV("/etc/postern");
	return code;
}

static int may_replace(struct init *in)
{
	char question[PATH_MAX + 32], answer[INIT_ANSWER_MAX];

	if (access(in->output, F_OK) != 0)
		return EX_OK;
	if (is_quiet(in))
		return cli_fail(EX_CANTCREAT,
			"%s exists and is left alone: remove it, or name another --output",
			in->output);
	(void)snprintf(
		question, sizeof(question), "\n%s exists. Replace it? yes or no", in->output);
	if (!ask(in, question, "no", answer))
		return no_answer();
	if (strcmp(answer, "yes") == 0 || strcmp(answer, "y") == 0)
		return EX_OK;
	return cli_fail(EX_CANTCREAT, "%s is left alone; nothing was written", in->output);
}

static int write_config(struct init *in)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SETUP_CONFIG_MAX);
	struct conf_findings findings;
	struct err err = { 0 };
	struct conf *c;
	int code = EX_OK;

	if (setup_config(&in->choice, &text) != 0)
		return cli_fail(EX_DATAERR, "the configuration is larger than 8 MB");
	c = conf_load_text(buf_sv(&text), &findings);
	for (size_t i = 0; i < findings.count && !c; i++)
		if (!findings.items[i].warning)
			code = cli_fail(EX_DATAERR,
				"line %u: %s",
				findings.items[i].line,
				findings.items[i].text);
	conf_findings_free(&findings);
	conf_unref(c);
	if (code == EX_OK && io_file_write_durably(in->output, buf_sv(&text), 0640, &err) != 0)
		code = cli_fail(EX_CANTCREAT, "%s", err.text);
	if (code == EX_OK)
		(void)printf("\nwrote %s\n", in->output);
	return code;
}

static void say_spf(const struct init *in)
{
	static const char ours[] = "include:spf.protection.outlook.com";

	if (in->given[OPTION_OFFLINE] || in->choice.cloud != PROVIDER_CLOUD_GLOBAL)
		return;
	if (!in->facts.spf[0])
		cli_print(4, "  - DNS: publish an SPF record: v=spf1 %s -all\n", ours);
	else if (sv_find_nocase(sv_from(in->facts.spf), SV("spf.protection.outlook.com")) < 0)
		cli_print(4, "  - DNS: put %s into the SPF record\n", ours);
	if (in->choice.door == SETUP_DOOR_CONNECTOR)
		(void)printf("  - DNS: put this relay's public address into the SPF record, too: "
			     "ip4:ADDRESS\n");
}

int init_check(struct cli_context *ctx, const char *path)
{
	char name[] = "check", *argv[] = { name, NULL };

	(void)printf("\npostern check --config %s\n", path);
	(void)fflush(stdout);
	ctx->config_path = path;
	optind = 0; /* getopt begins anew */
	return cli_check(ctx, 1, argv);
}

static int say_next(struct init *in)
{
	(void)printf("\nWhat is left to do:\n");
	if (!in->given[OPTION_OFFLINE] && !in->facts.tenant_id[0])
		cli_print(4,
			"  - no tenant was found for %s: is the name right? If so, put the "
			"tenant's "
			"id into %s (Entra admin center, Overview)\n",
			in->domain,
			in->output);
	cli_print(4,
		"  - an administrator runs what `postern setup powershell --config %s` prints\n",
		in->output);
	if (in->choice.door != SETUP_DOOR_CONNECTOR)
		cli_print(4, "  - the app's client id and secret go where %s says\n", in->output);
	if (in->choice.report)
		cli_print(4,
			"  - the sheets say what to set at each device; the daemon must be able to "
			"read the users:\n    chgrp -R postern %.*s/users\n",
			SV_ARG(in->choice.folder));
	say_spf(in);
	return init_check(in->ctx, in->output);
}

static int make_users(struct init *in)
{
	char sheets[PATH_MAX], host[LIMIT_DOMAIN + 16];
	int n = in->given[OPTION_SHEETS]
			? snprintf(sheets, sizeof(sheets), "%s", in->given[OPTION_SHEETS])
			: snprintf(sheets, sizeof(sheets), "%s/devices", in->folder);

	if (n < 0 || (size_t)n >= sizeof(sheets))
		return cli_fail(EX_CANTCREAT, "the path of the sheets is too long");
	if (gethostname(host, sizeof(host)) != 0)
		(void)snprintf(host, sizeof(host), "relay.%s", in->domain);
	return init_make_users(
		&(struct init_users){ &in->report, sv_from(host), in->choice.folder, sheets });
}

static int run(struct init *in)
{
	int code = find_folder(in);

	if (code == EX_OK && in->given[OPTION_REPORT])
		code = read_report(in);
	if (code == EX_OK)
		code = choose_domain(in);
	if (code == EX_OK) {
		look_up(in);
		code = choose_door(in);
	}
	if (code == EX_OK && in->choice.report && in->choice.door == SETUP_DOOR_CONNECTOR)
		return cli_fail(EX_USAGE,
			"--from-report makes a mailbox for each sender, and a connector has none: "
			"take another door");
	if (code == EX_OK && !in->choice.report)
		code = choose_senders(in);
	if (code == EX_OK)
		code = may_replace(in);
	if (code == EX_OK)
		code = write_config(in);
	if (code == EX_OK && in->choice.report)
		code = make_users(in);
	return code == EX_OK ? say_next(in) : code;
}

/* What goes into the file as it is. */
static int check_given(struct init *in)
{
	const char *login = in->given[OPTION_LOGIN], *ca = in->given[OPTION_CA_FILE];

	if (in->given[OPTION_CLOUD] &&
		(provider_cloud_parse(sv_from(in->given[OPTION_CLOUD]), &in->choice.cloud) != 0 ||
			in->choice.cloud == PROVIDER_CLOUD_GOOGLE))
		return cli_fail(EX_USAGE, "--cloud is global, gcc-high, dod or 21vianet");
	if (login && (!sv_starts(sv_from(login), SV("https://")) || strlen(login) > INIT_TEXT_MAX))
		return cli_fail(EX_USAGE, "--login wants an address that begins with https://");
	if (ca && ca[0] != '/')
		return cli_fail(EX_USAGE, "--ca-file wants a full path");
	if (ca && !login)
		return cli_fail(EX_USAGE, "--ca-file belongs to --login");
	return EX_OK;
}

int cli_init(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = {
		[OPTION_DOMAIN] = { "domain", true },
		[OPTION_DOOR] = { "door", true },
		[OPTION_SENDER] = { "sender", true },
		[OPTION_OUTPUT] = { "output", true },
		[OPTION_REPORT] = { "from-report", true },
		[OPTION_SHEETS] = { "sheets", true },
		[OPTION_CLOUD] = { "cloud", true },
		[OPTION_LOGIN] = { "login", true },
		[OPTION_CA_FILE] = { "ca-file", true },
		[OPTION_DNS] = { "dns", true },
		[OPTION_YES] = { "yes", false },
		[OPTION_OFFLINE] = { "offline", false },
		[OPTION_COUNT] = { NULL, false },
	};
	struct init in = { .ctx = ctx };
	const char *value = NULL;
	int seen, code;

	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0)
		in.given[seen] = options[seen].has_value ? value : "";
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	if (optind < argc) {
		(void)fputs(help, stderr);
		return EX_USAGE;
	}
	ctx->json = false;
	code = check_given(&in);
	if (code == EX_OK)
		code = run(&in);
	setup_report_deinit(&in.report);
	free(in.report_senders);
	arena_reset(&in.arena);
	return code;
}
