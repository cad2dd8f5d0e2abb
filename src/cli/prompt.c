/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/prompt.h"

#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum {
	LINE_MAX_BYTES = 1024
};

static int read_line(FILE *from, const char *what, struct secret **out_secret)
{
	char line[LINE_MAX_BYTES];
	size_t len;

	if (!fgets(line, sizeof(line), from))
		return cli_fail(EX_DATAERR, "no %s was given", what);
	len = strcspn(line, "\r\n");
	if (len)
		*out_secret = secret_new(sv_make(line, len));
	secret_wipe(line, sizeof(line));
	return len ? EX_OK : cli_fail(EX_DATAERR, "the %s is empty", what);
}

static int ask_once(const char *prompt, const char *what, struct secret **out_secret)
{
	struct termios before, quiet;
	int code;

	(void)fprintf(stderr, "%s: ", prompt);
	(void)tcgetattr(STDIN_FILENO, &before);
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	code = read_line(stdin, what, out_secret);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	(void)fprintf(stderr, "\n");
	return code;
}

static int ask_twice(const char *what, struct secret **out_secret)
{
	CLEANUP(secret_freep) struct secret *first = NULL;
	CLEANUP(secret_freep) struct secret *again = NULL;
	int code = ask_once(what, what, &first);

	if (code == EX_OK)
		code = ask_once("again", what, &again);
	if (code != EX_OK)
		return code;
	if (!secret_eq(first, secret_reveal(again)))
		return cli_fail(EX_DATAERR, "the two differ");
	*out_secret = TAKE(first);
	return EX_OK;
}

static int read_whole(FILE *from, const char *what, struct secret **out_secret)
{
	char *bytes;
	CLEANUP(secret_freep) struct secret *all = secret_alloc(CLI_SECRET_MAX + 1, &bytes);
	size_t len;

	(void)setvbuf(from, NULL, _IONBF, 0); /* no copy in stdio's buffer */
	len = fread(bytes, 1, CLI_SECRET_MAX + 1, from);
	if (len > CLI_SECRET_MAX)
		return cli_fail(
			EX_DATAERR, "the %s is longer than %d bytes", what, (int)CLI_SECRET_MAX);
	if (len && bytes[len - 1] == '\n')
		len--;
	if (len && bytes[len - 1] == '\r')
		len--;
	if (len == 0)
		return cli_fail(EX_DATAERR, "the %s is empty", what);
	*out_secret = secret_new(sv_make(bytes, len));
	return EX_OK;
}

int cli_read_secret(const char *what, const char *file, bool whole, struct secret **out_secret)
{
	FILE *from = stdin;
	int code;

	if (!file && isatty(STDIN_FILENO))
		return ask_twice(what, out_secret);
	if (file)
		from = fopen(file, "re");
	if (!from)
		return cli_fail(EX_NOINPUT, "cannot open %s", file);
	code = whole ? read_whole(from, what, out_secret) : read_line(from, what, out_secret);
	if (file)
		(void)fclose(from);
	return code;
}
