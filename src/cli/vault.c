/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "base/text.h"
#include "cli/ask.h"
#include "cli/prompt.h"
#include "cli/start.h"
#include "identity/vault.h"
#include "io/loop.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"usage: postern vault put NAME [--file FILE]\n"
	"       postern vault list [--json]\n"
	"       postern vault remove NAME\n"
	"       postern vault key\n"
	"       postern vault rekey --new-key FILE\n\n"
	"The vault keeps secrets sealed in data_dir/vault; postern.yaml names them as vault:NAME. "
	"It "
	"needs a key:\n"
	"  vault: { key: file:/etc/postern/vault.key }     or  credential:NAME  (systemd)\n\n"
	"`put` asks for the secret (twice, on a terminal; else it reads all of standard input). "
	"`list` shows names,\n"
	"never values. `key` prints a new key. `rekey` seals everything with another key: then put "
	"that key into\n"
	"place and run `postern reload`; until then both keys open the vault. `postern doctor` "
	"looks "
	"after it.\n\n"
	"  --file FILE       read the secret from a file\n"
	"  --new-key FILE    the key to change to\n"
	"  --config FILE     default /etc/postern/postern.yaml\n\n"
	"examples:\n"
	"  postern vault key | install -m 0640 -o root -g postern /dev/stdin "
	"/etc/postern/vault.key\n"
	"  postern vault put contoso-app-secret\n"
	"  postern vault put connector-key --file connector.key\n";

static int open_vault(struct cli_context *ctx, bool make, struct identity_vault **out_vault)
{
	CLEANUP(conf_unrefp) struct conf *c = cli_load_conf(ctx);
	struct err err = { 0 };

	int code;

	if (!c)
		return cli_conf_failed(ctx);
	code = cli_become_daemon(ctx, c);
	if (code != EX_OK)
		return code;
	if (identity_vault_open(c, make, out_vault, &err) != 0)
		return cli_fail(EX_CONFIG, "%s", err.text);
	return EX_OK;
}

static int put(struct cli_context *ctx, const char *name, const char *file)
{
	CLEANUP(secret_freep) struct secret *value = NULL;
	CLEANUP(identity_vault_freep) struct identity_vault *v = NULL;
	struct err err = { 0 };
	/* A file of root's, before root becomes the daemon's user. */
	int code = file ? cli_read_secret("secret", file, true, &value) : EX_OK;

	if (code == EX_OK)
		code = open_vault(ctx, true, &v);
	if (code == EX_OK && !file)
		code = cli_read_secret("secret", NULL, true, &value);
	if (code != EX_OK)
		return code;
	if (identity_vault_put(v, sv_from(name), secret_reveal(value), &err) != 0)
		return cli_fail(EX_CANTCREAT, "%s", err.text);
	if (!ctx->json)
		(void)printf("kept as vault:%s; `postern reload` makes the daemon read it\n", name);
	return EX_OK;
}

static void print_entry(void *arg, const struct identity_vault_entry *entry)
{
	const struct cli_context *ctx = arg;
	char at[WALL_RFC3339_MAX];
	json_t *o;

	(void)wall_rfc3339(entry->changed_at, at);
	if (!ctx->json) {
		(void)printf("%-48.*s %.19s %6zu bytes\n", SV_ARG(entry->name), at, entry->bytes);
		return;
	}
	o = json_object();
	(void)json_object_set_new(o, "name", json_stringn(entry->name.ptr, entry->name.len));
	(void)json_object_set_new(o, "changed_at", json_string(at));
	(void)json_object_set_new(o, "bytes", json_integer((json_int_t)entry->bytes));
	cli_put_json(o);
}

static int list(struct cli_context *ctx)
{
	CLEANUP(identity_vault_freep) struct identity_vault *v = NULL;
	struct err err = { 0 };
	int code = open_vault(ctx, false, &v);

	if (code != EX_OK)
		return code;
	if (identity_vault_each(v, print_entry, ctx, &err) != 0)
		return cli_fail(EX_UNAVAILABLE, "%s", err.text);
	return EX_OK;
}

static int remove_one(struct cli_context *ctx, const char *name)
{
	CLEANUP(identity_vault_freep) struct identity_vault *v = NULL;
	struct err err = { 0 };
	int code = open_vault(ctx, false, &v);
	int rc;

	if (code != EX_OK)
		return code;
	rc = identity_vault_remove(v, sv_from(name), &err);
	if (rc != 0)
		return cli_fail(rc == RC_NOT_FOUND ? EX_NOUSER : EX_CANTCREAT, "%s", err.text);
	return EX_OK;
}

static int print_key(void)
{
	unsigned char key[32];

	io_random(key, sizeof(key));
	for (size_t i = 0; i < sizeof(key); i++)
		(void)printf("%02x", key[i]);
	(void)printf("\n");
	secret_wipe(key, sizeof(key));
	return EX_OK;
}

static int rekey(struct cli_context *ctx, const char *file)
{
	CLEANUP(secret_freep) struct secret *key = NULL;
	CLEANUP(identity_vault_freep) struct identity_vault *v = NULL;
	struct err err = { 0 };
	int code = cli_read_secret("key", file, false, &key);

	if (code == EX_OK)
		code = open_vault(ctx, true, &v);
	if (code != EX_OK)
		return code;
	if (identity_vault_rekey(v, key, &err) != 0)
		return cli_fail(EX_CONFIG, "%s", err.text);
	(void)printf(
		"sealed with the new key; the old one opens the vault as well until the daemon has "
		"read the new one:\nput it where `vault: { key }` points, then run `postern "
		"reload` (a "
		"credential of systemd: restart postern)\n");
	return EX_OK;
}

int cli_vault(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = {
		{ "file", true }, { "new-key", true }, { NULL, false }
	};
	const char *values[2] = { NULL, NULL }, *value = NULL, *verb;
	int seen, operands;

	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0)
		values[seen] = value;
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	verb = optind < argc ? argv[optind] : "";
	operands = argc - optind;
	if (strcmp(verb, "put") == 0 && operands == 2)
		return put(ctx, argv[optind + 1], values[0]);
	if (strcmp(verb, "list") == 0 && operands == 1)
		return list(ctx);
	if (strcmp(verb, "remove") == 0 && operands == 2)
		return remove_one(ctx, argv[optind + 1]);
	if (strcmp(verb, "key") == 0 && operands == 1)
		return print_key();
	if (strcmp(verb, "rekey") == 0 && operands == 1 && values[1])
		return rekey(ctx, values[1]);
	(void)fputs(help, stderr);
	return EX_USAGE;
}
