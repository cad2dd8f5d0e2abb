/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/yaml_slip.h"

#include <stdio.h>
#include <string.h>

/*
 * libyaml says what its grammar missed; people want to know which of the usual slips it was: a tab, a value
 * that begins with * or @, ": " inside of a value. Told apart by the parser's words and by the line itself.
 */

/* The line of that number (from 1), without its end. */
static struct sv line_of(struct sv text, unsigned number)
{
	struct sv line = SV("");

	for (unsigned i = 0; i < number && text.len; i++)
		(void)sv_cut_char(&text, '\n', &line);
	return line;
}

/* libyaml counts characters, not bytes. */
static struct sv from_column(struct sv line, unsigned column)
{
	size_t at = 0;

	for (unsigned i = 1; i < column && at < line.len; i++) {
		at++;
		while (at < line.len && ((unsigned char)line.ptr[at] & 0xc0) == 0x80)
			at++;
	}
	return sv_skip(line, at);
}

static size_t indent_of(struct sv line)
{
	size_t n = 0;

	while (n < line.len && (line.ptr[n] == ' ' || line.ptr[n] == '\t'))
		n++;
	return n;
}

static bool is_indented_with_tab(struct sv line)
{
	return sv_find_char(sv_head(line, indent_of(line)), '\t') >= 0;
}

static bool is_blank(struct sv line)
{
	size_t n = indent_of(line);

	return n == line.len || line.ptr[n] == '#' || line.ptr[n] == '\r';
}

/* The line with something on it before `number`; 0: none. */
static unsigned line_above(struct sv text, unsigned number)
{
	while (number > 1)
		if (!is_blank(line_of(text, --number)))
			return number;
	return 0;
}

/* "qualify:contoso.com" */
static bool lacks_space_after_colon(struct sv line)
{
	ptrdiff_t colon = sv_find_char(line, ':');

	return colon > 0 && (size_t)colon + 1 < line.len && line.ptr[colon + 1] != ' ' &&
	       line.ptr[colon + 1] != '\r' && sv_find(line, SV(": ")) < 0;
}

static void mapping_value(const struct conf_yaml_trouble *t, char out[CONF_YAML_SLIP_MAX])
{
	struct sv line = line_of(t->text, t->line);
	struct sv before = sv_head(line, line.len - from_column(line, t->column).len);
	unsigned above = line_above(t->text, t->line);

	if (sv_find(before, SV(": ")) >= 0)
		(void)snprintf(out,
			CONF_YAML_SLIP_MAX,
			"a value that contains ': ' needs quotes around all of it");
	else if (above && lacks_space_after_colon(line_of(t->text, above)))
		(void)snprintf(out,
			CONF_YAML_SLIP_MAX,
			"line %u has no space after the colon: write `key: value`",
			above);
	else
		(void)snprintf(out,
			CONF_YAML_SLIP_MAX,
			"this line is indented deeper than the key above it, which has a value "
			"already: begin both in the same column");
}

static void no_key(const struct conf_yaml_trouble *t, char out[CONF_YAML_SLIP_MAX])
{
	struct sv line = line_of(t->text, t->line);
	bool is_first = from_column(line, t->column).len == line.len - indent_of(line);

	if (!is_first)
		(void)snprintf(out,
			CONF_YAML_SLIP_MAX,
			"text follows the closing quote: put one pair of quotes around the whole "
			"value, and write ' inside of single quotes twice");
	else if (sv_starts(sv_skip(line, indent_of(line)), SV("- ")))
		(void)snprintf(out,
			CONF_YAML_SLIP_MAX,
			"a list item (- ) in a place for a key: indent it as the items of its list "
			"are (what it interrupts begins on line %u)",
			t->context_line);
	else
		(void)snprintf(out,
			CONF_YAML_SLIP_MAX,
			"the indentation of this line fits nothing above it: begin it in the "
			"column of the keys beside it (they begin on line %u)",
			t->context_line);
}

/* `*` and `&` are read before libyaml stumbles, and so is the place where it did. */
static bool bad_start(
	const struct conf_yaml_trouble *t, char out[CONF_YAML_SLIP_MAX], bool *out_from_context)
{
	struct sv rest = from_column(line_of(t->text, t->line), t->column);
	char first = rest.len ? rest.ptr[0] : ' ';

	*out_from_context = true;
	if (strcmp(t->context, "while scanning an alias") == 0)
		first = '*';
	else if (strcmp(t->context, "while scanning an anchor") == 0)
		first = '&';
	else
		*out_from_context = false;
	if (!strchr("@`%*&", first))
		return false;
	if (first == '*')
		(void)snprintf(out,
			CONF_YAML_SLIP_MAX,
			"a value that begins with * needs quotes: \"*@contoso.com\", \"*:587\"");
	else
		(void)snprintf(out,
			CONF_YAML_SLIP_MAX,
			"a value that begins with %c needs quotes around it",
			first);
	return true;
}

struct slip {
	const char *problem, *context; /* of libyaml; NULL: any */
	const char *text;              /* may name the line where it began */
	bool from_context;             /* said at the place where it began */
};

static const struct slip slips[] = {
	{ "found unexpected end of stream",
		"while scanning a quoted scalar",
		"a quote is opened here and never closed",
		true },
	{ "found unknown escape character",
		NULL,
		"\\ has a meaning of its own inside of double quotes: use single quotes",
		false },
	{ "did not find expected node content",
		"while parsing a flow node",
		"a value that begins with [ or { is a list or a map; one that is neither, like the "
		"address \"[::1]:25\", needs quotes",
		false },
	{ "did not find expected ',' or ']'",
		NULL,
		"a list is opened with [ here and not closed with ], or a comma is missing in it",
		true },
	{ "did not find expected ',' or '}'",
		NULL,
		"a map is opened with { here and not closed with }, or a comma is missing in it",
		true },
	{ "did not find expected '-' indicator",
		NULL,
		"a key in a place for a list item: begin it with `- `, or indent it as the keys of "
		"its item are",
		false },
	{ "could not find expected ':'",
		NULL,
		"there is no colon with a space after it: write `key: value`",
		true },
	{ "block sequence entries are not allowed in this context",
		NULL,
		"a list item (- ) begins on a line of its own, under its key",
		false },
	{ "invalid leading UTF-8 octet", NULL, "the file is not UTF-8: save it as UTF-8", false },
	{ "invalid trailing UTF-8 octet", NULL, "the file is not UTF-8: save it as UTF-8", false },
	{ "incomplete UTF-8 octet sequence",
		NULL,
		"the file is not UTF-8: save it as UTF-8",
		false },
};

static bool known_slip(
	const struct conf_yaml_trouble *t, char out[CONF_YAML_SLIP_MAX], bool *out_from_context)
{
	for (size_t i = 0; i < sizeof(slips) / sizeof(slips[0]); i++) {
		const struct slip *s = &slips[i];

		if (strcmp(s->problem, t->problem) != 0 ||
			(s->context && strcmp(s->context, t->context) != 0))
			continue;
		(void)snprintf(out, CONF_YAML_SLIP_MAX, "%s", s->text);
		*out_from_context = s->from_context && t->context_line;
		return true;
	}
	return false;
}

bool conf_yaml_slip(const struct conf_yaml_trouble *t, char out[CONF_YAML_SLIP_MAX])
{
	bool from_context = false;

	if (is_indented_with_tab(line_of(t->text, t->line)) || strstr(t->problem, "tab character"))
		(void)snprintf(out,
			CONF_YAML_SLIP_MAX,
			"a tab indents this line, and YAML allows spaces only: replace it");
	else if (strcmp(t->problem, "mapping values are not allowed in this context") == 0)
		mapping_value(t, out);
	else if (strcmp(t->problem, "did not find expected key") == 0)
		no_key(t, out);
	else if (bad_start(t, out, &from_context) || known_slip(t, out, &from_context))
		return from_context;
	else
		(void)snprintf(out,
			CONF_YAML_SLIP_MAX,
			"%s%s%s; look at the indentation, the colons and the quotes up to here",
			t->context,
			t->context[0] ? ", " : "",
			t->problem);
	return false;
}

const char *conf_yaml_foreign(struct sv text)
{
	static const char *const quotes[] = { "\xe2\x80\x9c",
		"\xe2\x80\x9d",
		"\xe2\x80\x9e",
		"\xe2\x80\x98",
		"\xe2\x80\x99",
		"\xe2\x80\x9a",
		"\xc2\xab",
		"\xc2\xbb" };

	for (size_t i = 0; i < sizeof(quotes) / sizeof(quotes[0]); i++)
		if (sv_starts(text, sv_from(quotes[i])))
			return "typographic quotes are no quotes: write \" or '";
	if (sv_find(text, SV("\xc2\xa0")) >= 0)
		return "there is a no-break space in it, which looks like a space but is none "
		       "(pasted from a web page?): replace it";
	return NULL;
}
