/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "base/buf.h"
#include "base/secret.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/prompt.h"
#include "cli/start.h"
#include "io/file.h"
#include "io/loop.h"
#include "smtp/scram.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"usage: postern user add NAME [--password-file FILE] [--output FILE]\n"
	"       postern user list\n"
	"       postern user remove NAME\n\n"
	"An inbound user signs in with a password of which only a SCRAM-SHA-256 verifier is kept. "
	"`add` asks for\n"
	"the password (twice, on a terminal; else it reads a line), writes the verifier and prints "
	"the lines for\n"
	"postern.yaml. `list` shows the users of the configuration, `remove` deletes a user's "
	"verifier file.\n\n"
	"  --password-file FILE  read the password from a file (its first line)\n"
	"  --output FILE         the verifier file; default /etc/postern/NAME.scram\n"
	"  --config FILE         default /etc/postern/postern.yaml\n\n"
	"examples:\n"
	"  postern user add erp\n"
	"  pwgen -s 24 1 | tee erp.pass | postern user add erp --output ./erp.scram\n";

enum {
	ITERATIONS =
		15000, /* about 10 ms here; NIST's 600,000 is for stolen files, these lie beside worse */
};

/* ---- add, list, remove ---- */

static bool name_ok(const char *name)
{
	for (const char *at = name; *at; at++)
		if ((unsigned char)*at <= ' ' || *at == '/' || *at == ',' || *at == 0x7f)
			return false;
	return name[0] && name[0] != '-' && strlen(name) <= 200 && strncmp(name, "local:", 6) != 0;
}

int cli_write_verifier(const struct secret *password, const char *path)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(512);
	struct smtp_scram_verifier v;
	unsigned char salt[16];
	struct err err = { 0 };

	io_random(salt, sizeof(salt));
	smtp_scram_derive(secret_reveal(password), ITERATIONS, salt, &v);
	if (smtp_scram_render(&v, &text) != 0 || buf_append(&text, SV("\n")) != 0)
		return cli_fail(EX_SOFTWARE, "the verifier does not fit");
	secret_wipe(&v, sizeof(v));
	if (io_file_replace_durably(path, buf_sv(&text), 0640, cli_service_group(), &err) != 0)
		return cli_fail(EX_CANTCREAT, "%s", err.text);
	cli_made(path);
	return EX_OK;
}

static int add(const char *name, const char *password_file, const char *output)
{
	CLEANUP(secret_freep) struct secret *password = NULL;
	char path[512];
	int code;

	if (!name_ok(name))
		return cli_fail(
			EX_USAGE, "'%s' cannot be a user name: no spaces, slashes or commas", name);
	if (output)
		(void)snprintf(path, sizeof(path), "%s", output);
	else
		(void)snprintf(path, sizeof(path), "/etc/postern/%s.scram", name);
	code = cli_read_secret("password", password_file, false, &password);
	if (code == EX_OK)
		code = cli_write_verifier(password, path);
	if (code != EX_OK)
		return code;
	(void)printf("wrote %s; in postern.yaml, under users:\n"
		     "  - { name: %s, password: file:%s, senders: [%s@example.com] }\n"
		     "then: chgrp postern %s, and `postern reload`\n",
		path,
		name,
		path,
		name,
		path);
	return EX_OK;
}

static int list(struct cli_context *ctx)
{
	CLEANUP(conf_unrefp) struct conf *c = cli_load_conf(ctx);
	size_t count;
	const struct conf_user *users;

	if (!c)
		return cli_conf_failed(ctx);
	users = conf_users(c, &count);
	for (size_t i = 0; i < count; i++) {
		json_t *o = json_object(), *senders = json_array();

		for (size_t j = 0; j < users[i].sender_count; j++)
			(void)json_array_append_new(senders,
				json_stringn(users[i].senders[j].ptr, users[i].senders[j].len));
		if (!ctx->json) {
			(void)printf("%-24.*s", SV_ARG(users[i].name));
			for (size_t j = 0; j < users[i].sender_count; j++)
				(void)printf(" %.*s", SV_ARG(users[i].senders[j]));
			(void)printf("\n");
		}
		(void)json_object_set_new(
			o, "name", json_stringn(users[i].name.ptr, users[i].name.len));
		(void)json_object_set_new(o, "senders", senders);
		if (ctx->json)
			cli_put_json(o);
		else
			json_decref(o);
	}
	return EX_OK;
}

static int remove_user(struct cli_context *ctx, const char *name)
{
	CLEANUP(conf_unrefp) struct conf *c = cli_load_conf(ctx);
	const struct conf_user *u;
	char path[1024];

	if (!c)
		return cli_conf_failed(ctx);
	u = conf_user(c, sv_from(name));
	if (!u)
		return cli_fail(
			EX_NOUSER, "there is no user called '%s' in %s", name, ctx->config_path);
	if (u->password.kind != CONF_SECRET_FILE)
		return cli_fail(
			EX_UNAVAILABLE, "the verifier of '%s' does not lie in a file", name);
	(void)snprintf(path, sizeof(path), "%.*s", SV_ARG(u->password.name));
	if (unlink(path) != 0)
		return cli_fail(EX_OSERR, "cannot remove %s", path);
	(void)printf("removed %s; now take the line out (%s:%u) and `postern reload`\n",
		path,
		u->place.file,
		u->place.line);
	return EX_OK;
}

int cli_user(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = {
		{ "password-file", true }, { "output", true }, { NULL, false }
	};
	const char *values[2] = { NULL, NULL }, *value = NULL, *verb;
	int seen;

	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0)
		values[seen] = value;
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	verb = optind < argc ? argv[optind] : "";
	if (strcmp(verb, "list") == 0 && argc - optind == 1)
		return list(ctx);
	if (strcmp(verb, "add") == 0 && argc - optind == 2)
		return add(argv[optind + 1], values[0], values[1]);
	if (strcmp(verb, "remove") == 0 && argc - optind == 2)
		return remove_user(ctx, argv[optind + 1]);
	(void)fputs(help, stderr);
	return EX_USAGE;
}
