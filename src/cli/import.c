/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/import.h"

#include "base/must.h"
#include "cli/cli.h"
#include "cli/init_priv.h"
#include "cli/prompt.h"
#include "conf/conf.h"
#include "io/file.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
	"usage: postern import postfix|smtp2graph|msmtp FILE|DIR [--output FILE] [--sender "
	"ADDRESS]\n\n"
	"Reads an existing set-up and writes a postern.yaml, with each password in a file of its "
	"own\n"
	"beside it (mode 0600). No password is shown. What cannot be carried over is listed, here "
	"and\n"
	"in the file. Nothing that exists is replaced.\n\n"
	"  postfix     main.cf: relayhost, sender_dependent_relayhost_maps, "
	"smtp_sasl_password_maps\n"
	"              (their text sources), mynetworks, names\n"
	"  smtp2graph  config.yml: app, listener, users, senders\n"
	"  msmtp       msmtprc: all accounts\n\n"
	"  --output FILE     default: that of --config, /etc/postern/postern.yaml\n"
	"  --sender ADDRESS  who sends, where smtp2graph lets everybody\n\n"
	"examples:\n"
	"  postern import postfix /etc/postfix\n"
	"  postern import msmtp /etc/msmtprc --output ./postern.yaml\n";

static const struct kind {
	const char *name, *file; /* in a folder */
	setup_import_fn *read;
} kinds[] = {
	{ "postfix", "main.cf", setup_import_postfix },
	{ "smtp2graph", "config.yml", setup_import_smtp2graph },
	{ "msmtp", "msmtprc", setup_import_msmtp },
};

struct import {
	struct cli_context *ctx;
	const struct kind *kind;
	const char *output, *sender;
	char path[PATH_MAX], base[PATH_MAX]; /* of what is read, and its folder */
	char folder[PATH_MAX];               /* of what is written */
	struct sv plain;
	struct setup_import read;
};

static void forget(struct buf *b)
{
	if (b->cap)
		secret_wipe(b->ptr, b->cap);
	buf_deinit(b);
}

/* Maps lie where main.cf says; in a copy of /etc/postfix, beside it. */
static int read_other(void *arg, struct sv path, struct buf *out)
{
	struct import *im = arg;
	char text[PATH_MAX * 2];
	ptrdiff_t slash = sv_rfind_char(path, '/');

	(void)snprintf(text,
		sizeof(text),
		"%s/%.*s",
		im->base,
		SV_ARG(sv_skip(path, (size_t)(slash + 1))));
	if (access(text, F_OK) != 0)
		(void)snprintf(text, sizeof(text), "%.*s", SV_ARG(path));
	return io_file_read(text, SETUP_IMPORT_FILE_MAX, out, NULL);
}

static int find_source(struct import *im, const char *path)
{
	struct stat st;
	char *real = realpath(path, NULL), *slash;
	bool folder = real && stat(real, &st) == 0 && S_ISDIR(st.st_mode);
	int n = snprintf(im->path,
		sizeof(im->path),
		"%s%s%s",
		real ? real : "",
		folder ? "/" : "",
		folder ? im->kind->file : "");

	free(real);
	if (!im->path[0] || n < 0 || (size_t)n >= sizeof(im->path))
		return cli_fail(EX_NOINPUT, "%s: there is no such file", path);
	memcpy(im->base, im->path, sizeof(im->base));
	slash = strrchr(im->base, '/');
	if (slash)
		*slash = '\0';
	return EX_OK;
}

static int read_source(struct import *im)
{
	struct buf text = BUF_INIT(SETUP_IMPORT_FILE_MAX);
	struct setup_import_source from = { .read = read_other,
		.arg = im,
		.base = sv_from(im->base),
		.sender = sv_from(im->sender) };
	struct err err = { 0 };
	int rc = io_file_read(im->path, SETUP_IMPORT_FILE_MAX, &text, &err);

	if (rc != 0) {
		forget(&text);
		return cli_fail(EX_NOINPUT, "%s", err.text);
	}
	from.text = buf_sv(&text);
	rc = im->kind->read(&im->read, &from, &err);
	forget(&text);
	return rc == 0 ? EX_OK : cli_fail(EX_DATAERR, "%s: %s", im->path, err.text);
}

/* A listener with a certificate that is not here would keep the daemon from starting. */
static void check_certificate(struct setup_import *r)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%.*s", SV_ARG(r->certificate));
	if (!r->certificate.len || access(path, F_OK) == 0)
		return;
	r->certificate = SV("");
	(void)cli_fail(0, "%s is not here: the listener is written without TLS", path);
}

static bool secret_path(const struct import *im, size_t i, char out[PATH_MAX])
{
	struct sv folder = sv_from(im->folder), file = im->read.secrets[i].file;

	if (folder.len + 1 + file.len >= PATH_MAX)
		return false;
	memcpy(out, folder.ptr, folder.len);
	out[folder.len] = '/';
	memcpy(out + folder.len + 1, file.ptr, file.len);
	out[folder.len + 1 + file.len] = '\0';
	return true;
}

/* Before the first write: nothing may stand in the way of one of them. */
static int check_absent(const struct import *im)
{
	char path[PATH_MAX];

	if (access(im->output, F_OK) == 0)
		return cli_fail(EX_CANTCREAT,
			"%s exists and is left alone: remove it, or name another --output",
			im->output);
	for (size_t i = 0; i < im->read.secret_count; i++)
		if (!secret_path(im, i, path) || access(path, F_OK) == 0)
			return cli_fail(EX_CANTCREAT,
				"%s exists and is left alone: remove it, or name an --output in "
				"another "
				"folder",
				path);
	return EX_OK;
}

static int write_secrets(const struct import *im)
{
	char path[PATH_MAX];
	struct err err = { 0 };
	int code = EX_OK;

	for (size_t i = 0; i < im->read.secret_count && code == EX_OK; i++) {
		const struct setup_secret *s = &im->read.secrets[i];

		(void)secret_path(im, i, path);
		if (s->is_user)
			code = cli_write_verifier(s->value, path);
		else if (io_file_write_durably(path, secret_reveal(s->value), 0600, &err) != 0)
			code = cli_fail(EX_CANTCREAT, "%s", err.text);
		if (code == EX_OK)
			(void)printf(
				"wrote %s (%s)\n", path, s->is_user ? "of a user" : "a password");
	}
	return code;
}

static int write_all(struct import *im)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SETUP_IMPORT_TEXT_MAX);
	struct conf_findings findings;
	struct err err = { 0 };
	struct conf *c;
	int code = EX_OK;

	if (setup_import_config(&im->read, sv_from(im->kind->name), im->plain, &text) != 0)
		return cli_fail(EX_DATAERR, "the configuration is larger than 16 MB");
	c = conf_load_text(buf_sv(&text), &findings);
	for (size_t i = 0; i < findings.count && !c; i++)
		if (!findings.items[i].warning)
			code = cli_fail(EX_DATAERR,
				"%s says what postern.yaml cannot hold: %s",
				im->path,
				findings.items[i].text);
	conf_findings_free(&findings);
	conf_unref(c);
	if (code == EX_OK)
		code = check_absent(im);
	if (code == EX_OK)
		code = write_secrets(im);
	if (code == EX_OK && io_file_write_durably(im->output, buf_sv(&text), 0640, &err) != 0)
		code = cli_fail(EX_CANTCREAT, "%s", err.text);
	return code;
}

static void say_rest(const struct import *im)
{
	(void)printf("wrote %s\n", im->output);
	if (im->read.secret_count)
		(void)printf(
			"\nThe daemon must be able to read the passwords: chown root:postern and "
			"chmod 0640 them.\n");
	if (im->read.note_count)
		(void)printf("\nNot carried over:\n");
	for (size_t i = 0; i < im->read.note_count; i++)
		(void)printf("  - %.*s\n", SV_ARG(im->read.notes[i]));
}

static int run(struct import *im, const char *path)
{
	int code = init_find_folder(im->output, im->folder, &im->plain);

	if (code == EX_OK && !im->plain.len)
		code = cli_fail(EX_CANTCREAT,
			"%s: secrets cannot lie there: name an --output in a folder without blanks "
			"and "
			"other such signs",
			im->folder);
	if (code == EX_OK)
		code = find_source(im, path);
	if (code == EX_OK)
		code = read_source(im);
	if (code != EX_OK)
		return code;
	check_certificate(&im->read);
	code = write_all(im);
	if (code != EX_OK)
		return code;
	say_rest(im);
	return init_check(im->ctx, im->output);
}

int cli_import(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = {
		{ "output", true }, { "sender", true }, { NULL, false }
	};
	const char *values[2] = { NULL, NULL }, *value = NULL;
	struct import *im;
	int seen, code = EX_USAGE;

	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0)
		values[seen] = value;
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	im = xcalloc(1, sizeof(*im));
	im->ctx = ctx;
	im->output = values[0] ? values[0] : ctx->config_path;
	im->sender = values[1];
	for (size_t i = 0; i < COUNT_OF(kinds) && argc - optind == 2; i++)
		if (strcmp(argv[optind], kinds[i].name) == 0)
			im->kind = &kinds[i];
	if (im->kind)
		code = run(im, argv[optind + 1]);
	else
		(void)fputs(help, stderr);
	setup_import_deinit(&im->read);
	free(im);
	return code;
}
