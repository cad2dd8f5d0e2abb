/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/import.h"

#include "base/must.h"
#include "cli/cli.h"
#include "cli/import_priv.h"
#include "cli/init_priv.h"
#include "io/file.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
	"usage: postern import postfix|smtp2graph|msmtp FILE|DIR [--output FILE] [--sender "
	"ADDRESS]\n"
	"       postern import postfix-queue [DIR]\n\n"
	"Reads an existing set-up and writes a postern.yaml, with each password in a file of its "
	"own\n"
	"beside it (mode 0600; for the daemon's user when root imports). No password is shown. "
	"What "
	"cannot\n"
	"be carried over is listed with its line, here and in the file. Nothing that exists is "
	"replaced.\n\n"
	"  postfix        main.cf, master.cf and the maps that they name (their text sources), "
	"aliases,\n"
	"                 sasl-xoauth2's tokens\n"
	"  smtp2graph     config.yml: app, listener, users, senders\n"
	"  msmtp          msmtprc: all accounts, aliases\n"
	"  postfix-queue  hands mail that waits in Postfix's queue (/var/spool/postfix) to "
	"postern, "
	"with\n"
	"                 its envelope. Stop Postfix first: systemctl stop postfix. May be "
	"repeated: "
	"nothing\n"
	"                 is sent twice. What was handed over is kept in DIR/postern-imported\n\n"
	"  --output FILE     default: that of --config, /etc/postern/postern.yaml\n"
	"  --sender ADDRESS  who sends, where smtp2graph lets everybody\n\n"
	"examples:\n"
	"  postern import postfix /etc/postfix\n"
	"  postern import postfix-queue\n"
	"  postern import msmtp /etc/msmtprc --output ./postern.yaml\n";

static const struct kind {
	const char *name, *file; /* in a folder */
	setup_import_fn *read;
} kinds[] = {
	{ "postfix", "main.cf", setup_import_postfix },
	{ "smtp2graph", "config.yml", setup_import_smtp2graph },
	{ "msmtp", "msmtprc", setup_import_msmtp },
};

#define POSTFIX_QUEUE "/var/spool/postfix"

/* Maps lie where main.cf says; in a copy of /etc/postfix, beside it. */
static int read_other(void *arg, struct sv path, struct buf *out)
{
	struct import *im = arg;
	char text[PATH_MAX * 2];
	ptrdiff_t slash = sv_rfind_char(path, '/');
	struct stat st;

	if (path.len >= PATH_MAX)
		return RC_LIMIT;
	(void)snprintf(text,
		sizeof(text),
		"%s/%.*s",
		im->base,
		SV_ARG(sv_skip(path, (size_t)(slash + 1))));
	if (path.len && path.ptr[0] == '/' && access(text, F_OK) != 0)
		(void)snprintf(text, sizeof(text), "%.*s", SV_ARG(path));
	/* A map may be a fifo or a device by mistake. */
	if (stat(text, &st) != 0 || !S_ISREG(st.st_mode))
		return RC_NOT_FOUND;
	return io_file_read(text, SETUP_IMPORT_FILE_MAX, out, NULL);
}

static int find_source(struct import *im, const struct kind *kind, const char *path)
{
	struct stat st;
	char *real = realpath(path, NULL), *slash;
	bool folder = real && stat(real, &st) == 0 && S_ISDIR(st.st_mode);
	int n = snprintf(im->path,
		sizeof(im->path),
		"%s%s%s",
		real ? real : "",
		folder ? "/" : "",
		folder ? kind->file : "");

	free(real);
	if (!im->path[0] || n < 0 || (size_t)n >= sizeof(im->path))
		return cli_fail(EX_NOINPUT, "%s: there is no such file", path);
	memcpy(im->base, im->path, sizeof(im->base));
	slash = strrchr(im->base, '/');
	if (slash)
		*slash = '\0';
	return EX_OK;
}

static int read_source(struct import *im, const struct kind *kind)
{
	struct buf text = BUF_INIT(SETUP_IMPORT_FILE_MAX);
	struct setup_import_source from = { .read = read_other,
		.arg = im,
		.base = sv_from(im->base),
		.file = sv_from(strrchr(im->path, '/') + 1),
		.sender = sv_from(im->sender) };
	struct err err = { 0 };
	int rc = io_file_read(im->path, SETUP_IMPORT_FILE_MAX, &text, &err);

	if (rc == 0) {
		from.text = buf_sv(&text);
		rc = kind->read(&im->read, &from, &err);
		if (rc != 0)
			(void)cli_fail(EX_DATAERR, "%s: %s", im->path, err.text);
		rc = rc == 0 ? EX_OK : EX_DATAERR;
	} else {
		rc = cli_fail(EX_NOINPUT, "%s", err.text);
	}
	if (text.cap)
		secret_wipe(text.ptr, text.cap);
	buf_deinit(&text);
	return rc;
}

static void say_notes(const struct import *im)
{
	for (int kind = 0; kind < SETUP_NOTE_KINDS; kind++) {
		bool head = false;

		for (size_t i = 0; i < im->read.note_count; i++) {
			if (im->read.notes[i].kind != (enum setup_note_kind)kind)
				continue;
			if (!head)
				(void)printf("\n%s\n", setup_note_title(im->read.notes[i].kind));
			head = true;
			cli_print(4, "  - %.*s\n", SV_ARG(im->read.notes[i].text));
		}
	}
	if (im->read.notes_beyond)
		(void)printf("  - and %zu more\n", im->read.notes_beyond);
}

/* Mail that waits there would be forgotten. */
static void say_queue(const struct import *im)
{
	size_t n = strcmp(im->kind_name, "postfix") == 0 && strcmp(im->base, "/etc/postfix") == 0
			   ? import_queue_count(POSTFIX_QUEUE)
			   : 0;

	if (!n)
		return;
	cli_print(2,
		"\n%s%zu message%s wait%s in Postfix's queue.%s When postern runs: systemctl stop "
		"postfix, "
		"then: postern import postfix-queue\n",
		cli_style(im->ctx, "bold"),
		n,
		n == 1 ? "" : "s",
		n == 1 ? "s" : "",
		cli_style(im->ctx, "off"));
}

static int run(struct import *im, const struct kind *kind, const char *path)
{
	int code = init_find_folder(im->output, im->folder, &im->plain);

	im->kind_name = kind->name;
	if (code == EX_OK && !im->plain.len)
		code = cli_fail(EX_CANTCREAT,
			"%s: secrets cannot lie there: name an --output in a folder without blanks "
			"and other such signs",
			im->folder);
	if (code == EX_OK)
		code = find_source(im, kind, path);
	if (code == EX_OK)
		code = read_source(im, kind);
	if (code == EX_OK)
		code = import_write(im);
	if (code != EX_OK)
		return code;
	say_notes(im);
	say_queue(im);
	return init_check(im->ctx, im->output);
}

int cli_import(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = {
		{ "output", true }, { "sender", true }, { NULL, false }
	};
	const char *values[2] = { NULL, NULL }, *value = NULL, *what;
	struct import *im;
	int seen, operands, code = EX_USAGE;

	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0)
		values[seen] = value;
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	operands = argc - optind;
	what = operands ? argv[optind] : "";
	if (strcmp(what, "postfix-queue") == 0 && operands <= 2)
		return import_queue(ctx, operands == 2 ? argv[optind + 1] : POSTFIX_QUEUE);
	im = xcalloc(1, sizeof(*im));
	im->ctx = ctx;
	im->output = values[0] ? values[0] : ctx->config_path;
	im->sender = values[1];
	for (size_t i = 0; i < COUNT_OF(kinds) && operands == 2; i++)
		if (strcmp(what, kinds[i].name) == 0)
			code = run(im, &kinds[i], argv[optind + 1]);
	if (!im->kind_name)
		(void)fputs(help, stderr);
	setup_import_deinit(&im->read);
	free(im);
	return code;
}
