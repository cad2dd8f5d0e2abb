/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "conf/conf.h"
#include "identity/secrets.h"
#include "io/stream.h"
#include "smtp/scram.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] = "usage: postern check [--config FILE] [--json]\n\n"
			   "Checks the configuration without touching the network: all errors at "
			   "once, each with file, line and\n"
			   "column and the fix; then whether every secret and certificate that it "
			   "names can be read. Exit code 0\n"
			   "when the daemon would start with it, 78 when not.\n\n"
			   "example:\n"
			   "  postern check --config ./postern.yaml && systemctl reload postern\n";

struct checker {
	struct cli_context *ctx;
	size_t errors, warnings;
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
		char *dumped = o ? json_dumps(o, JSON_COMPACT) : NULL;

		(void)printf("%s\n", dumped ? dumped : "{}");
		free(dumped);
		json_decref(o);
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

/* A lane without its password parks, with its mail; a user without a verifier keeps the daemon from starting. */
static void check_secret(struct checker *c, const struct conf_secret *where, bool is_verifier)
{
	struct smtp_scram_verifier verifier;
	struct secret *secret = NULL;
	const char *warning = NULL;
	struct err err = { 0 };

	if (where->kind == CONF_SECRET_NONE)
		return;
	if (identity_secret_load(where, NULL, &secret, &warning, &err) != 0)
		say(c,
			!is_verifier,
			where->place.file,
			where->place.line,
			where->place.column,
			err.text);
	else if (is_verifier && smtp_scram_parse(sv_trim(secret_reveal(secret)), &verifier) != 0)
		say(c,
			false,
			where->place.file,
			where->place.line,
			where->place.column,
			"this is no verifier: make it with `postern user add`");
	else if (warning)
		say(c, true, where->place.file, where->place.line, where->place.column, warning);
	secret_free(secret);
}

/* What the daemon would stumble over at its start. */
static void check_files(struct checker *c, const struct conf *conf)
{
	size_t count;
	const struct conf_lane *lanes = conf_lanes(conf, &count);
	const struct conf_user *users;
	const struct conf_listener *listeners;

	for (size_t i = 0; i < count; i++)
		check_secret(c, &lanes[i].password, false);
	users = conf_users(conf, &count);
	for (size_t i = 0; i < count; i++)
		check_secret(c, &users[i].password, true);
	listeners = conf_listeners(conf, &count);
	for (size_t i = 0; i < count; i++) {
		struct err err = { 0 };
		char certificate[1024], key[1024];
		struct io_tls *tls;

		if (listeners[i].tls == CONF_TLS_NONE)
			continue;
		(void)snprintf(
			certificate, sizeof(certificate), "%.*s", SV_ARG(listeners[i].certificate));
		(void)snprintf(key, sizeof(key), "%.*s", SV_ARG(listeners[i].key.name));
		tls = io_tls_server_new(certificate, key, &err);
		if (!tls)
			say(c,
				false,
				listeners[i].place.file,
				listeners[i].place.line,
				listeners[i].place.column,
				err.text);
		io_tls_unref(tls);
	}
}

static void print_sum(const struct checker *c, const struct conf *conf)
{
	size_t listeners, lanes, routes;

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
	(void)conf_listeners(conf, &listeners);
	(void)conf_lanes(conf, &lanes);
	(void)conf_routes(conf, &routes);
	(void)printf("%sok%s: %zu listener%s, %zu mailbox%s or connector%s, %zu route%s, %zu "
		     "warning%s\n",
		cli_style(c->ctx, "green"),
		cli_style(c->ctx, "off"),
		listeners,
		listeners == 1 ? "" : "s",
		lanes,
		lanes == 1 ? "" : "es",
		lanes == 1 ? "" : "s",
		routes,
		routes == 1 ? "" : "s",
		c->warnings,
		c->warnings == 1 ? "" : "s");
}

int cli_check(struct cli_context *ctx, int argc, char **argv)
{
	struct checker c = { .ctx = ctx };
	struct conf_findings findings;
	const char *value = NULL;
	struct conf *conf;
	int seen = cli_option(ctx, argc, argv, NULL, help, &value);

	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	if (optind < argc)
		return cli_fail(EX_USAGE, "check takes no operand: '%s'", argv[optind]);
	conf = conf_load(ctx->config_path, &findings);
	for (size_t i = 0; i < findings.count; i++)
		say(&c,
			findings.items[i].warning,
			findings.items[i].file,
			findings.items[i].line,
			findings.items[i].column,
			findings.items[i].text);
	if (conf)
		check_files(&c, conf);
	print_sum(&c, conf);
	conf_findings_free(&findings);
	conf_unref(conf);
	return c.errors || !conf ? EX_CONFIG : EX_OK;
}
