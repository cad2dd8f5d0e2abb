/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/init_priv.h"

#include "base/buf.h"
#include "base/must.h"
#include "cli/start.h"
#include "conf/conf.h"
#include "io/file.h"
#include "provider/domain_facts.h"
#include "setup/config.h"
#include "setup/domain.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"usage: postern init [--output FILE] [--from-report FILE.csv] [OPTION...]\n\n"
	"Asks for a mail domain, a door, a sender and who reads root's mail, looks up what\n"
	"it can, writes a postern.yaml with comments and checks it. A file that exists is\n"
	"never replaced without a question; the sample of the package counts as none. It\n"
	"keeps owner, group and mode, and a new one as root is root:postern 0640.\n\n"
	"  --domain DOMAIN       instead of the question; an address in it does as well\n"
	"  --door DOOR           submission, hve, connector or graph (docs/doors.md)\n"
	"  --sender ADDRESS,...  who sends; a name alone is one in the domain\n"
	"  --root ADDRESS        who reads root's mail: cron, and programs that write to root\n"
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
	OPTION_ROOT,
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
	char suggested[LIMIT_ADDRESS + 1]; /* a sender; empty: none */
	char root[LIMIT_ADDRESS];
	char hostname[2 * LIMIT_DOMAIN];
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

/* What was made of what was written: the administrator must see it. */
static void say_domain(const struct init *in, struct sv written, const struct setup_domain *d)
{
	if (d->was_address || d->was_url)
		(void)printf("  The domain is %s.\n", in->domain);
	else if (d->was_unicode)
		(void)printf("  %.*s is %s in mail and DNS.\n", SV_ARG(written), in->domain);
	if (d->was_unicode && (d->was_address || d->was_url))
		(void)printf("  That is how mail and DNS write it.\n");
}

static bool take_domain(struct init *in, struct sv written)
{
	struct setup_domain d;
	char text[LIMIT_ADDRESS];
	struct sv address;

	if (!setup_domain_read(written, &d) ||
		!setup_domain(sv_from(d.text), in->domain, &in->choice.domain))
		return false;
	/* Whoever writes an address there means to send from it. */
	if (d.was_address && setup_address(sv_trim(written), text, &address))
		(void)snprintf(in->suggested, sizeof(in->suggested), "%.*s", SV_ARG(address));
	say_domain(in, sv_trim(written), &d);
	return true;
}

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
		if (take_domain(in, sv_from(text ? text : answer)))
			return EX_OK;
		if (text)
			return cli_fail(
				EX_USAGE, "--domain needs a mail domain. Example: contoso.com");
		(void)printf("  Not a domain name. Example: contoso.com\n");
	}
}

/* The other domains of a report: recipients there are internal, too. */
static void find_more_domains(struct init *in)
{
	struct sv *all = arena_alloc(&in->arena, (in->report.count + 1) * sizeof(*all));
	size_t count = 0;

	for (size_t i = 0; i < in->report.count; i++) {
		struct sv address = in->report.clients[i].address, unused;
		struct sv domain = sv_skip(address, (size_t)(sv_rfind_char(address, '@') + 1));
		char text[LIMIT_DOMAIN + 1];
		bool again = sv_eq(domain, in->choice.domain);

		for (size_t k = 0; k < count && !again; k++)
			again = sv_eq(all[k], domain);
		if (!again && setup_domain(domain, text, &unused))
			all[count++] = domain;
	}
	in->choice.more_domains = all;
	in->choice.more_domain_count = count;
}

static void show_fact(const char *name, const struct init_fact *fact)
{
	static const char *const words[] = { "could not be looked up: ", "not found: ", "" };

	(void)printf("  %-7s %s%s\n", name, words[fact->known], fact->text);
}

static void look_up(struct init *in)
{
	const char *login = in->given[OPTION_LOGIN], *ca = in->given[OPTION_CA_FILE];
	const struct init_lookup q = {
		.domain = in->choice.domain,
		.cloud = in->choice.cloud,
		.login_url = login ? sv_from(login) : provider_cloud(in->choice.cloud)->login,
		.ca_file = sv_from(ca),
		.dns = sv_from(in->given[OPTION_DNS]),
	};

	in->choice.login_url = sv_from(login);
	in->choice.ca_file = sv_from(ca);
	if (in->given[OPTION_OFFLINE])
		return;
	init_lookup(&q, &in->facts);
	if (in->facts.tenant.known == INIT_FOUND)
		in->choice.tenant_id = sv_from(in->facts.tenant.text);
	show_fact("tenant", &in->facts.tenant);
	show_fact("MX", &in->facts.mx);
	show_fact("SPF", &in->facts.spf);
}

/* ---- the door, and who sends ---- */

static int choose_door(struct init *in)
{
	char answer[INIT_ANSWER_MAX];
	const char *text = in->given[OPTION_DOOR];

	if (!text && is_quiet(in))
		text = "submission";
	if (!text) {
		(void)printf("\nBy which door should the mail leave? docs/doors.md tells more.\n");
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

/* A name alone is one in the domain; a domain of other letters is written as mail has it. */
static int complete(const struct init *in, struct sv part, char *out, size_t size)
{
	ptrdiff_t at = sv_rfind_char(part, '@');
	struct setup_domain d;

	if (at < 0)
		return snprintf(out, size, "%.*s@%s", SV_ARG(part), in->domain);
	if (setup_domain_read(sv_skip(part, (size_t)at + 1), &d) && d.was_unicode)
		return snprintf(out, size, "%.*s@%s", SV_ARG(sv_head(part, (size_t)at)), d.text);
	return snprintf(out, size, "%.*s", SV_ARG(part));
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
		n = complete(in, part, whole, sizeof(whole));
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
	char answer[INIT_ANSWER_MAX], otherwise[LIMIT_ADDRESS + 1];
	const char *text = in->given[OPTION_SENDER];

	if (in->suggested[0])
		(void)snprintf(otherwise, sizeof(otherwise), "%s", in->suggested);
	else
		(void)snprintf(otherwise, sizeof(otherwise), "relay@%s", in->domain);
	if (in->choice.door == SETUP_DOOR_CONNECTOR)
		return EX_OK;
	for (;;) {
		if (!text &&
			!ask(in, "\nWhich mailboxes send? Several with commas", otherwise, answer))
			return no_answer();
		if (read_senders(in, sv_from(text ? text : answer)))
			return EX_OK;
		if (text)
			return cli_fail(
				EX_USAGE, "--sender needs addresses. Example: erp@contoso.com");
		(void)printf(
			"  Addresses like erp@%s, at most %d.\n", in->domain, INIT_SENDERS_MAX);
	}
}

/* Empty: nobody. */
static bool read_root(struct init *in, struct sv text)
{
	char whole[INIT_ANSWER_MAX + LIMIT_DOMAIN];
	int n;

	text = sv_trim(text);
	if (!text.len)
		return true;
	n = complete(in, text, whole, sizeof(whole));
	return n > 0 && (size_t)n < sizeof(whole) &&
	       setup_address(sv_from(whole), in->root, &in->choice.root);
}

static int choose_root(struct init *in)
{
	char answer[INIT_ANSWER_MAX];
	const char *text = in->given[OPTION_ROOT];

	if (!text && is_quiet(in))
		return EX_OK;
	for (;;) {
		if (!text && !ask(in,
				     "\nWho reads mail to root (from cron, say)? Empty: root@ in "
				     "the domain",
				     "",
				     answer))
			return no_answer();
		if (read_root(in, sv_from(text ? text : answer)))
			return EX_OK;
		if (text)
			return cli_fail(
				EX_USAGE, "--root needs an address. Example: it@contoso.com");
		(void)printf("  One address, like it@%s.\n", in->domain);
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
	if (init_is_sample(in->output)) {
		(void)printf("%s is the sample of the package: it is replaced\n", in->output);
		return EX_OK;
	}
	if (is_quiet(in))
		return cli_fail(EX_CANTCREAT,
			"%s exists and is left alone: remove it, or name another --output",
			in->output);
	(void)snprintf(question, sizeof(question), "%s exists. Replace it? yes or no", in->output);
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
	if (code == EX_OK &&
		io_file_replace_durably(
			in->output, buf_sv(&text), 0640, cli_service_group(), &err) != 0)
		code = cli_fail(EX_CANTCREAT, "%s", err.text);
	if (code == EX_OK)
		(void)printf("\nwrote %s\n", in->output);
	return code;
}

/* A second SPF record makes both void: without a look at the first nothing is advised but a look. */
static void say_spf(const struct init *in)
{
	const struct domain_change *spf = domain_plan_of(&in->facts.plan, "SPF");
	struct sv include = provider_domain(in->choice.cloud)->spf_include;

	if (in->given[OPTION_OFFLINE] || in->facts.spf.known == INIT_UNKNOWN || !spf)
		cli_print(4,
			"  - DNS: see that the SPF record of %s contains include:%.*s (nobody has "
			"looked; never publish a second one)\n",
			in->domain,
			SV_ARG(include));
	else if (spf->deed == DOMAIN_BLOCKED)
		cli_print(4, "  - DNS: SPF: %.*s. %.*s\n", SV_ARG(spf->why), SV_ARG(spf->step));
	else if (spf->deed == DOMAIN_CHANGES)
		cli_print(4,
			"  - DNS: %.*s. The one SPF record of %s should be: %.*s (`postern domain "
			"plan "
			"%s` shows it beside what is there, and the other records)\n",
			SV_ARG(spf->why),
			in->domain,
			SV_ARG(spf->after[0].data),
			in->domain);
	if (in->choice.door == SETUP_DOOR_CONNECTOR)
		(void)printf("  - DNS: put this relay's public address into the SPF record, too: "
			     "ip4:ADDRESS\n");
}

static void say_tenant(const struct init *in)
{
	if (in->given[OPTION_OFFLINE] || in->facts.tenant.known == INIT_FOUND)
		return;
	if (in->facts.tenant.known == INIT_ABSENT)
		cli_print(4,
			"  - Microsoft knows no tenant with the domain %s: is the name right? If "
			"so, put the tenant's id into %s (Entra admin center, Overview)\n",
			in->domain,
			in->output);
	else
		cli_print(4,
			"  - the tenant could not be looked up: the domain stands for it in %s, "
			"which works where it is one of the tenant's\n",
			in->output);
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
	say_tenant(in);
	cli_print(4,
		"  - an administrator runs what `postern setup powershell --config %s` prints\n",
		in->output);
	if (in->choice.door != SETUP_DOOR_CONNECTOR)
		cli_print(4, "  - the app's client id and secret go where %s says\n", in->output);
	if (in->choice.report)
		cli_print(4, "  - the sheets say what to set at each device\n");
	if (!in->choice.root.len)
		cli_print(4,
			"  - nobody was named who reads root's mail: it goes to root@%s "
			"(`aliases:` in %s)\n",
			in->domain,
			in->output);
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

/* Where the machine's own name would do in EHLO, nothing is written. */
static void choose_hostname(struct init *in)
{
	char name[LIMIT_DOMAIN + 1] = "";

	if (gethostname(name, sizeof(name) - 1) != 0 || conf_hostname_ok(sv_from(name)))
		return;
	name[strcspn(name, ".")] = '\0';
	(void)snprintf(in->hostname, sizeof(in->hostname), "%s.%s", name, in->domain);
	if (!conf_hostname_ok(sv_from(in->hostname)))
		(void)snprintf(in->hostname, sizeof(in->hostname), "relay.%s", in->domain);
	in->choice.hostname = sv_from(in->hostname);
}

/* The questions that may end it come first. */
static int run(struct init *in)
{
	int code = find_folder(in);

	if (code == EX_OK)
		code = may_replace(in);
	if (code == EX_OK && in->given[OPTION_REPORT])
		code = read_report(in);
	if (code == EX_OK)
		code = choose_domain(in);
	if (code == EX_OK) {
		find_more_domains(in);
		choose_hostname(in);
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
		code = choose_root(in);
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
	const char *door = in->given[OPTION_DOOR];

	if (in->given[OPTION_CLOUD] &&
		(provider_cloud_parse(sv_from(in->given[OPTION_CLOUD]), &in->choice.cloud) != 0 ||
			in->choice.cloud == PROVIDER_CLOUD_GOOGLE))
		return cli_fail(EX_USAGE, "--cloud is global, gcc-high, dod or 21vianet");
	if (login && (!sv_starts(sv_from(login), SV("https://")) || strlen(login) > INIT_TEXT_MAX))
		return cli_fail(EX_USAGE, "--login needs an address that begins with https://");
	if (ca && ca[0] != '/')
		return cli_fail(EX_USAGE, "--ca-file needs a full path");
	if (ca && !login)
		return cli_fail(EX_USAGE, "--ca-file belongs to --login");
	if (is_quiet(in) && !in->given[OPTION_SENDER] && !in->given[OPTION_REPORT] &&
		strcmp(door ? door : "", "connector") != 0 && strcmp(door ? door : "", "3") != 0)
		return cli_fail(EX_USAGE, "--yes needs --sender ADDRESS: who sends?");
	return EX_OK;
}

int cli_init(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = {
		[OPTION_DOMAIN] = { "domain", true },
		[OPTION_DOOR] = { "door", true },
		[OPTION_SENDER] = { "sender", true },
		[OPTION_ROOT] = { "root", true },
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
	domain_plan_deinit(&in.facts.plan);
	arena_reset(&in.arena);
	return code;
}

bool init_is_sample(const char *path)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SETUP_CONFIG_MAX);

	return io_file_read(path, SETUP_CONFIG_MAX, &text, NULL) == 0 &&
	       setup_is_sample(buf_sv(&text));
}
