/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "cli/check_live.h"
#include "cli/start.h"

#include "base/htable.h"
#include "conf/conf.h"
#include "identity/app.h"
#include "identity/expiry.h"
#include "identity/logins.h"
#include "identity/secrets.h"
#include "identity/vault.h"
#include "io/loop.h"
#include "io/stream.h"
#include "mail/address.h"
#include "smtp/scram.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"usage: postern check [--config FILE] [--json]\n"
	"       postern check MAILBOX|CONNECTOR|SENDER|all [--send] [--to ADDRESS]\n"
	"             [--verbose] [--report FILE]\n\n"
	"Checks the configuration without touching the network: all errors at once, each\n"
	"with file, line and column and the fix; then whether every secret, app and\n"
	"certificate that it names can be read, fits and is in time, and what else would\n"
	"keep the daemon from starting: ports that others have, folders that it cannot\n"
	"write. As root it looks with the rights of the daemon's user. Exit code 0 when\n"
	"the daemon would start, 78 when the file is wrong, 69 when something is in the\n"
	"way.\n\n"
	"With a mailbox, a connector, a sender (whose routes are followed) or `all`, it\n"
	"then connects as the relay would, step by step: name, connection, TLS, token,\n"
	"sign-in, senders, limits. The first cause is named, with who can fix it and what to\n"
	"do first. Exit code 0 ok, 69 not reachable, 75 try later, 77 refused, 78\n"
	"configuration. No mail is sent without --send.\n\n"
	"  --send          send one message from each sender to its own mailbox, or to\n"
	"                  --to\n"
	"  --to ADDRESS    would this recipient be taken? (nothing is sent without\n"
	"                  --send)\n"
	"  --verbose       what both sides say, line by line, without secrets\n"
	"  --report FILE   everything that was seen, without secrets: for a ticket\n\n"
	"examples:\n"
	"  postern check --config ./postern.yaml && systemctl reload postern\n"
	"  postern check erp@contoso.com\n"
	"  postern check all --report check.txt\n";

enum {
	SOON_DAYS = 60, /* in which a certificate is renewed without haste */
	OBSTACLES_MAX = 20,
	OBSTACLE_TEXT_MAX = 600,
};

struct checker {
	struct cli_context *ctx;
	size_t errors, warnings;
	size_t obstacles; /* the configuration is right, and yet it would not start */
	/* Those of the ports: looked at as root, told later. */
	struct obstacle {
		unsigned line, column;
		char text[OBSTACLE_TEXT_MAX];
	} held[OBSTACLES_MAX];
	size_t held_count;
	struct identity_vault *vault; /* NULL: none, or it does not open */
	struct htable seen;           /* secrets, by where they are */
};

static void say(struct checker *c, bool warning, const char *file, unsigned line, unsigned column,
	const char *text)
{
	if (warning)
		c->warnings++;
	else
		c->errors++;
	if (c->ctx->json) {
		json_t *o = json_pack("{s:s, s:s, s:i, s:i, s:s}",
			"level",
			warning ? "warning" : "error",
			"file",
			file,
			"line",
			(int)line,
			"column",
			(int)column,
			"text",
			text);

		cli_put_json(o);
		return;
	}
	(void)printf("%s%s:%u:%u:%s %s%s:%s %s\n",
		cli_style(c->ctx, "bold"),
		file,
		line,
		column,
		cli_style(c->ctx, "off"),
		cli_style(c->ctx, warning ? "yellow" : "red"),
		warning ? "warning" : "error",
		cli_style(c->ctx, "off"),
		text);
}

static void say_at(
	struct checker *c, bool warning, const struct conf_place *place, const char *text)
{
	say(c, warning, place->file, place->line, place->column, text);
}

static void PRINTF_LIKE(3, 4)
	warn_at(struct checker *c, const struct conf_place *place, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say_at(c, true, place, text);
}

static const char *path_of(struct sv path, char out[PATH_MAX])
{
	(void)snprintf(out, PATH_MAX, "%.*s", SV_ARG(path));
	return out;
}

/* Looked at already, for another mailbox? Thousands may name one file, and a command takes its time. */
static bool is_again(struct checker *c, const struct conf_secret *where)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(16384);

	if (buf_printf(&key, "%d:%.*s", (int)where->kind, SV_ARG(where->name)) != 0)
		return false;
	if (htable_get(&c->seen, buf_sv(&key)))
		return true;
	htable_put(&c->seen, buf_sv(&key), c);
	return false;
}

static bool path_is_absent(struct sv name)
{
	char path[PATH_MAX];

	return name.len && access(path_of(name, path), F_OK) != 0 && errno == ENOENT;
}

static bool is_absent(const struct conf_secret *where)
{
	return where->kind == CONF_SECRET_FILE && path_is_absent(where->name);
}

/*
 * A lane whose secret is missing parks, with its mail: a warning. What keeps the daemon from starting is
 * an error. NULL when it could not be had, with the reason said.
 */
static struct secret *load_secret(
	struct checker *c, const struct conf_secret *where, bool must_be_there)
{
	struct conf_secret bare = *where;
	struct secret *secret = NULL;
	const char *warning = NULL;
	struct err err = { 0 };

	/* Said already: a file that is not there by the load, a vault that does not open by open_vault(). */
	if (is_absent(where) || (where->kind == CONF_SECRET_VAULT && !c->vault))
		return NULL;
	/* The place is said before the text, so the text need not begin with it. */
	bare.place = (struct conf_place){ 0 };
	if (identity_secret_load(&bare, c->vault, &secret, &warning, &err) != 0)
		say_at(c, !must_be_there, &where->place, err.text);
	else if (warning)
		say_at(c, true, &where->place, warning);
	return secret;
}

/* Copied with a space or a line end around it; nobody sees that in a file. */
static void check_padding(
	struct checker *c, const struct conf_secret *where, const struct secret *secret)
{
	struct sv text = secret ? secret_reveal(secret) : SV("");
	char first = text.len ? text.ptr[0] : 'x', last = text.len ? text.ptr[text.len - 1] : 'x';

	if (strchr(" \t\r\n", first) || strchr(" \t\r\n", last))
		say_at(c,
			true,
			&where->place,
			"the secret begins or ends with white space, which counts as part of it "
			"(pasted?): write it again without");
}

static void check_secret(struct checker *c, const struct conf_secret *where)
{
	struct secret *secret;

	if (where->kind == CONF_SECRET_NONE || is_again(c, where))
		return;
	secret = load_secret(c, where, false);
	check_padding(c, where, secret);
	secret_free(secret);
}

static void check_user(struct checker *c, const struct conf_user *u)
{
	struct smtp_scram_verifier verifier;
	struct secret *secret = load_secret(c, &u->password, true);

	if (secret && smtp_scram_parse(sv_trim(secret_reveal(secret)), &verifier) != 0)
		say_at(c,
			false,
			&u->password.place,
			"this is no verifier: make it with `postern user add`");
	secret_free(secret);
}

/* ---- certificates ---- */

static void warn_end(struct checker *c, const struct conf_place *place, struct sv certificate,
	struct wall_time end)
{
	bool over = end.us < io_clock_wall().us;
	char text[WALL_RFC3339_MAX];

	warn_at(c,
		place,
		over ? "certificate %.*s: it expired on %.10s, and others will refuse it: a new "
		       "one "
		       "is needed"
		     : "certificate %.*s: it ends on %.10s: renew it before",
		SV_ARG(certificate),
		wall_rfc3339(end, text));
}

/* Ours is said to end while there is time to get another one. */
static void check_end(struct checker *c, const struct conf_place *place, struct sv certificate,
	const struct io_tls *tls)
{
	struct wall_time end = io_tls_not_after(tls);

	if (end.us - io_clock_wall().us < (int64_t)(SOON_DAYS * US_PER_DAY))
		warn_end(c, place, certificate, end);
}

static void check_listener(struct checker *c, const struct conf_listener *l)
{
	char certificate[PATH_MAX], key[PATH_MAX];
	struct err err = { 0 };
	struct io_tls *tls;

	if (l->tls == CONF_TLS_NONE)
		return;
	if (!is_again(c, &l->key)) {
		struct secret *text = load_secret(c, &l->key, true);
		bool loaded = text != NULL;

		secret_free(text);
		if (!loaded)
			return;
	}
	tls = io_tls_server_new_profile(path_of(l->certificate, certificate),
		path_of(l->key.name, key),
		l->legacy_tls ? IO_TLS_LEGACY : IO_TLS_MODERN,
		&err);
	if (tls)
		check_end(c, &l->place, l->certificate, tls);
	else
		say_at(c, false, &l->place, err.text);
	io_tls_unref(tls);
}

/* The certificate that a connector shows: whole, in time, and the key's own. */
static void check_identity(struct checker *c, const struct conf_lane *l)
{
	struct secret *key, *passphrase = NULL;
	char certificate[PATH_MAX], ca[PATH_MAX];
	struct err err = { 0 };
	struct io_tls *tls;

	if (!l->certificate.len)
		return;
	key = load_secret(c, &l->certificate_key, false);
	if (key && l->passphrase.kind != CONF_SECRET_NONE)
		passphrase = load_secret(c, &l->passphrase, false);
	if (key && (passphrase || l->passphrase.kind == CONF_SECRET_NONE)) {
		tls = io_tls_client_new(l->ca_file.len ? path_of(l->ca_file, ca) : NULL, &err);
		if (!tls || io_tls_client_identity(tls,
				    path_of(l->certificate, certificate),
				    secret_reveal(key),
				    passphrase,
				    &err) != 0)
			say_at(c, true, &l->place, err.text);
		else
			check_end(c, &l->place, l->certificate, tls);
		io_tls_unref(tls);
	}
	secret_free(passphrase);
	secret_free(key);
}

/* ---- apps of tenants ---- */

/* Modes of files, and whether they can be read; then what identity/ says of the whole. */
static void check_app(struct checker *c, const struct conf_tenant *t)
{
	const struct conf_secret *parts[] = { &t->app.secret, &t->app.key, &t->app.passphrase };
	struct conf_tenant bare = *t;
	struct wall_time end;
	struct err err = { 0 };

	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		struct secret *secret;

		if (parts[i]->kind == CONF_SECRET_NONE)
			continue;
		secret = load_secret(c, parts[i], false);
		if (!secret)
			return;
		if (parts[i] != &t->app.key)
			check_padding(c, parts[i], secret);
		secret_free(secret);
	}
	/* As in load_secret(): absent files are said already, and so is the place. */
	if (path_is_absent(t->app.certificate) || path_is_absent(t->app.pkcs12))
		return;
	bare.app.place = bare.app.secret.place = (struct conf_place){ 0 };
	bare.app.key.place = bare.app.passphrase.place = (struct conf_place){ 0 };
	if (identity_app_check(&bare, c->vault, &end, &err) != 0)
		say_at(c, true, &t->app.place, err.text);
	else if (end.us && end.us - io_clock_wall().us < (int64_t)(SOON_DAYS * US_PER_DAY))
		warn_end(c,
			&t->app.place,
			t->app.certificate.len ? t->app.certificate : t->app.pkcs12,
			end);
}

/* Has the person signed in, and to this app? */
static void check_login(struct checker *c, const struct conf_lane *l)
{
	char user[IDENTITY_USER_MAX];
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(VAULT_NAME_MAX);
	CLEANUP(identity_login_freep) struct identity_login *login = NULL;
	struct err err = { 0 };
	int rc;

	if (conf_person_door(l->member) != l || !c->vault ||
		identity_login_name(l->tenant, identity_login_user(l, user), &name) != 0)
		return;
	rc = identity_login_load(c->vault, buf_sv(&name), &login, &err);
	if (rc == RC_NOT_FOUND)
		warn_at(c,
			&l->place,
			"auth: user, but nobody has signed in for %.*s yet: `postern login "
			"--browser %.*s`; "
			"until then its mail waits",
			SV_ARG(l->name),
			SV_ARG(l->name));
	else if (rc != 0)
		say_at(c, true, &l->place, err.text);
	else if (!sv_eq(sv_from(login->client_id), l->tenant->app.client_id))
		warn_at(c,
			&l->place,
			"auth: user, but %.*s signed in to another app than tenant '%.*s' has now: "
			"`postern login --browser %.*s`",
			SV_ARG(l->name),
			SV_ARG(l->tenant->name),
			SV_ARG(l->name));
}

/* What nobody sees in a file; certificates, and passwords as such, are said elsewhere. */
static void warn_expiry(void *arg, const struct identity_expiry *e)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(4096);
	struct wall_time now = io_clock_wall();
	struct checker *c = arg;

	if ((e->kind != IDENTITY_EXPIRY_SECRET && e->kind != IDENTITY_EXPIRY_LOGIN) ||
		identity_expiry_stage(now, e->ends) < 0 || identity_expiry_text(e, now, &text) != 0)
		return;
	warn_at(c, e->place, "%.*s", SV_ARG(buf_sv(&text)));
}

/* ---- the whole ---- */

static void open_vault(struct checker *c, const struct conf *conf)
{
	const struct conf_general *g = conf_general(conf);
	struct secret *key;
	struct err err = { 0 };

	if (g->vault_key.kind == CONF_SECRET_NONE)
		return;
	key = load_secret(c, &g->vault_key, false);
	if (key && identity_vault_open(conf, false, &c->vault, &err) != 0)
		say_at(c, true, &g->vault_key.place, err.text);
	secret_free(key);
}

/* What is allowed but must not be forgotten. */
static void name_legacy_tls(struct checker *c, const struct conf *conf)
{
	CLEANUP(buf_deinitp) struct buf names = BUF_INIT(200);
	size_t count, devices;
	const struct conf_listener *l = conf_listeners(conf, &count);
	const struct conf_device *d = conf_devices(conf, &devices);

	for (size_t i = 0; i < devices; i++)
		if (d[i].legacy_tls &&
			buf_printf(&names, "%s%.*s", names.len ? ", " : "", SV_ARG(d[i].name)) != 0)
			break;
	for (size_t i = 0; i < count; i++)
		if (l[i].legacy_tls)
			warn_at(c,
				&l[i].place,
				"legacy_tls: TLS 1.0 is spoken here, which who listens in can "
				"break, "
				"for the devices %.*s: replace them when you can",
				SV_ARG(buf_sv(&names)));
}

/* What the daemon would stumble over, at its start or with the first mail. */
static void check_files(struct checker *c, const struct conf *conf)
{
	size_t count;
	const struct conf_tenant *const *tenants = conf_tenants(conf, &count);
	const struct conf_lane *lanes;
	const struct conf_user *users;
	const struct conf_listener *listeners;

	open_vault(c, conf);
	for (size_t i = 0; i < count; i++)
		check_app(c, tenants[i]);
	lanes = conf_lanes(conf, &count);
	for (size_t i = 0; i < count; i++) {
		check_secret(c, &lanes[i].password);
		check_identity(c, &lanes[i]);
		check_login(c, &lanes[i]);
	}
	users = conf_users(conf, &count);
	for (size_t i = 0; i < count; i++)
		if (!users[i].local)
			check_user(c, &users[i]);
	listeners = conf_listeners(conf, &count);
	for (size_t i = 0; i < count; i++)
		check_listener(c, &listeners[i]);
	identity_expiry_each(conf, c->vault, warn_expiry, c);
	name_legacy_tls(c, conf);
}

/* ---- what would be in the way of a start ---- */

static void count_obstacle(struct checker *c, unsigned line, unsigned column, const char *text)
{
	say(c, false, c->ctx->config_path, line, column, text);
	c->errors--;
	c->obstacles++;
}

static void say_obstacle(void *arg, const struct conf_place *place, const char *text)
{
	(void)place;
	count_obstacle(arg, 1, 1, text);
}

static void hold_obstacle(void *arg, const struct conf_place *place, const char *text)
{
	struct checker *c = arg;
	struct obstacle *o = &c->held[c->held_count];

	if (c->held_count == OBSTACLES_MAX)
		return;
	c->held_count++;
	o->line = place->line;
	o->column = place->column;
	(void)snprintf(o->text, sizeof(o->text), "%s", text);
}

static void say_held(struct checker *c)
{
	for (size_t i = 0; i < c->held_count; i++)
		count_obstacle(c, c->held[i].line, c->held[i].column, c->held[i].text);
}

static void print_sum(const struct checker *c, const struct conf *conf)
{
	size_t listeners, members, routes;

	if (c->ctx->json)
		return;
	if (c->errors || !conf) {
		(void)printf("%s%zu error%s%s, %zu warning%s: the daemon would not start with this "
			     "file\n",
			cli_style(c->ctx, "red"),
			c->errors,
			c->errors == 1 ? "" : "s",
			cli_style(c->ctx, "off"),
			c->warnings,
			c->warnings == 1 ? "" : "s");
		return;
	}
	if (c->obstacles) {
		(void)printf("%sthe file is right, but the daemon would not start now%s: see "
			     "above\n",
			cli_style(c->ctx, "red"),
			cli_style(c->ctx, "off"));
		return;
	}
	(void)conf_listeners(conf, &listeners);
	(void)conf_members(conf, &members);
	(void)conf_routes(conf, &routes);
	(void)printf("%sok%s: %zu listener%s, %zu mailbox%s or connector%s, %zu route%s, %zu "
		     "warning%s\n",
		cli_style(c->ctx, "green"),
		cli_style(c->ctx, "off"),
		listeners,
		listeners == 1 ? "" : "s",
		members,
		members == 1 ? "" : "es",
		members == 1 ? "" : "s",
		routes,
		routes == 1 ? "" : "s",
		c->warnings,
		c->warnings == 1 ? "" : "s");
}

enum {
	OPT_SEND,
	OPT_TO,
	OPT_VERBOSE,
	OPT_REPORT
};

static int read_options(
	struct check_live_options *o, struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option known[] = {
		[OPT_SEND] = { "send", false },
		[OPT_TO] = { "to", true },
		[OPT_VERBOSE] = { "verbose", false },
		[OPT_REPORT] = { "report", true },
		{ NULL, false },
	};
	const char *value = NULL;
	struct address to;
	int seen;

	while ((seen = cli_option(ctx, argc, argv, known, help, &value)) >= 0) {
		if (seen == OPT_SEND)
			o->send = true;
		else if (seen == OPT_TO)
			o->to = value;
		else if (seen == OPT_VERBOSE)
			o->verbose = true;
		else
			o->report = value;
	}
	if (seen == CLI_OPTION_HELP)
		return seen;
	if (seen != CLI_OPTION_END)
		return EX_USAGE;
	if (argc - optind > 1)
		return cli_fail(EX_USAGE, "check takes one operand: '%s'", argv[optind + 1]);
	o->what = optind < argc ? argv[optind] : NULL;
	if (!o->what && (o->send || o->to || o->report || o->verbose))
		return cli_fail(EX_USAGE,
			"--send, --to, --verbose and --report need a mailbox, a connector, a "
			"sender or `all`");
	if (o->to && address_parse(sv_from(o->to), 0, &to) != 0)
		return cli_fail(EX_USAGE, "--to needs an address, not '%s'", o->to);
	return 0;
}

static struct conf *load(struct checker *c)
{
	struct conf_findings findings;
	struct conf *conf = conf_load(c->ctx->config_path, &findings);

	for (size_t i = 0; i < findings.count; i++)
		say(c,
			findings.items[i].warning,
			findings.items[i].file,
			findings.items[i].line,
			findings.items[i].column,
			findings.items[i].text);
	conf_findings_free(&findings);
	return conf;
}

/*
 * The daemon's user sees less than root. Only ports are looked at before root's rights are given up: whose
 * they are, others are not told.
 */
static int take_the_daemons_eyes(struct checker *c)
{
	struct conf_findings findings;
	CLEANUP(conf_unrefp) struct conf *conf = conf_load(c->ctx->config_path, &findings);
	struct cli_account account;

	conf_findings_free(&findings);
	if (conf)
		cli_start_ports(conf, hold_obstacle, c);
	if (!cli_daemon_account(c->ctx->config_path, conf, &account))
		return EX_OK;
	if (!c->ctx->json)
		(void)printf("as user %s, like the daemon\n", account.name);
	return cli_become(&account);
}

static int check(struct checker *c, struct check_live_options *live)
{
	CLEANUP(conf_unrefp) struct conf *conf = NULL;
	int code;

	if (cli_conf_is_absent(c->ctx)) {
		say(c, false, c->ctx->config_path, 1, 1, CLI_NO_CONF_TEXT);
		return EX_CONFIG;
	}
	code = check_live_open_report(live);
	if (code == EX_OK)
		code = take_the_daemons_eyes(c);
	if (code != EX_OK)
		return code;
	conf = load(c);
	if (conf) {
		say_held(c);
		cli_start_folders(conf, say_obstacle, c);
		check_files(c, conf);
	}
	print_sum(c, conf);
	live->conf = conf;
	live->vault = c->vault;
	if (c->errors || !conf)
		return EX_CONFIG;
	if (live->what)
		return check_live(live);
	return c->obstacles ? EX_UNAVAILABLE : EX_OK;
}

int cli_check(struct cli_context *ctx, int argc, char **argv)
{
	struct checker c = { .ctx = ctx };
	struct check_live_options live = { .ctx = ctx };
	int code = read_options(&live, ctx, argc, argv);

	if (code != 0)
		return code == CLI_OPTION_HELP ? EX_OK : code;
	code = check(&c, &live);
	identity_vault_free(c.vault);
	htable_deinit(&c.seen);
	return code;
}
