/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
	TEXT_MAX = 8192,
	COLUMNS_MIN = 60,
	COLUMNS_USUAL = 80
};

static bool columns_kept;
static size_t columns;

void cli_columns_keep(void)
{
	columns = cli_columns();
	columns_kept = true;
}

size_t cli_columns(void)
{
	struct winsize size = { 0 };

	if (columns_kept)
		return columns;
	if (!isatty(STDOUT_FILENO))
		return 0;
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= COLUMNS_MIN
		       ? size.ws_col
		       : COLUMNS_USUAL;
}

bool cli_is_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		const char *value = getenv(names[i]);

		/* The first that says something says it. */
		if (value && value[0])
			return sv_find_nocase(sv_from(value), SV("UTF-8")) >= 0 ||
			       sv_find_nocase(sv_from(value), SV("utf8")) >= 0;
	}
	return false;
}

/* What of `word` is seen: a style of cli_style() takes no column. */
static size_t word_columns(struct sv word)
{
	size_t n = 0;
	bool style = false;

	for (size_t i = 0; i < word.len; i++) {
		unsigned char c = (unsigned char)word.ptr[i];

		if (style)
			style = c != 'm';
		else if (c == '\x1b')
			style = true;
		else
			n += (c & 0xc0) != 0x80;
	}
	return n;
}

/* What stands together: up to the next gap of two spaces. */
static struct sv group_of(struct sv text)
{
	ptrdiff_t gap = sv_find(text, SV("  "));

	return gap < 0 ? text : sv_head(text, (size_t)gap);
}

int cli_fold(struct buf *out, struct sv text, size_t at, size_t indent, size_t width)
{
	size_t spaces = 0;
	bool first = true;
	struct sv word;
	int rc = 0;

	while (text.len && rc == 0) {
		size_t n, group = spaces > 1 ? word_columns(group_of(text)) : 0;

		(void)sv_cut_char(&text, ' ', &word);
		if (!word.len) {
			spaces++;
			continue;
		}
		n = word_columns(word);
		if (indent + group <= width)
			n = group > n ? group : n;
		if (width && !first && at + spaces + n > width) {
			rc = buf_printf(out, "\n%*s", (int)indent, "");
			at = indent;
		} else {
			rc = buf_printf(out, "%*s", (int)spaces, "");
			at += spaces;
		}
		if (rc == 0)
			rc = buf_append(out, word);
		at += word_columns(word);
		spaces = 1;
		first = false;
	}
	return rc ? rc : buf_append_char(out, '\n');
}

void cli_print(size_t indent, const char *fmt, ...)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(1 << 17);
	char text[TEXT_MAX];
	struct sv rest, line;
	va_list args;
	int rc = 0;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	rest = sv_from(text);
	while (rc == 0 && rest.len) {
		(void)sv_cut_char(&rest, '\n', &line);
		rc = cli_fold(&out, line, 0, indent, cli_columns());
	}
	(void)printf("%.*s", SV_ARG(buf_sv(&out)));
}
