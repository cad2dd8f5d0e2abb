/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/explain_priv.h"

/* Where in a text a reply begins and ends. */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char char_at(struct sv text, size_t at)
{
	return at < text.len ? text.ptr[at] : '\0';
}

/* "5.7.139" not followed by more of a number or name. Its length; 0: none. */
static size_t read_enhanced(struct sv text, size_t at, char out[12])
{
	size_t n = 0;
	char behind;

	if ((char_at(text, at) != '4' && char_at(text, at) != '5') || char_at(text, at + 1) != '.')
		return 0;
	n = 2;
	for (unsigned part = 0; part < 2; part++) {
		size_t from = n;

		while (n - from < 3 && is_digit(char_at(text, at + n)))
			n++;
		if (n == from || (part == 0 && char_at(text, at + n) != '.'))
			return 0;
		n += part == 0;
	}
	behind = char_at(text, at + n);
	if (is_digit(behind) || is_letter(behind) || behind == '_' ||
		(behind == '.' && is_digit(char_at(text, at + n + 1))))
		return 0;
	memcpy(out, text.ptr + at, n);
	out[n] = '\0';
	return n;
}

/* What may stand between code and enhanced code: "550-5.1.1", "550 #5.1.1", "(550, b'5.1.1 ...". */
static size_t skip_between(struct sv text, size_t at)
{
	size_t n = 0;

	while (n < 6) {
		char c = char_at(text, at + n);

		if (c == 'b' &&
			(char_at(text, at + n + 1) == '\'' || char_at(text, at + n + 1) == '"'))
			c = ' ';
		if (c != ' ' && c != '\t' && c != '-' && c != ',' && c != '\'' && c != '"' &&
			c != '(' && c != '#' && c != ':' && c != '\r' && c != '\n')
			break;
		n++;
	}
	return n;
}

/* The last byte before `at` that is no space; '\n' at the start of a line. */
static char byte_before(struct sv text, size_t at)
{
	for (unsigned n = 0; at > 0 && n < 4; n++) {
		char c = text.ptr[--at];

		if (c != ' ' && c != '\t')
			return c == '\r' ? '\n' : c;
	}
	return at == 0 ? '\n' : 'x';
}

static bool word_before(struct sv text, size_t at, struct sv word)
{
	while (at > 0 && (text.ptr[at - 1] == ' ' || text.ptr[at - 1] == '\t'))
		at--;
	return at >= word.len && sv_eq_nocase(sv_make(text.ptr + at - word.len, word.len), word);
}

static bool begins_words(char c)
{
	return c == '\n' || c == ':' || c == ';' || c == '#' || c == '"' || c == '\'' || c == '(' ||
	       c == '[' || c == '<' || c == '>' || c == '=' || c == ',' || c == '-';
}

static void read_bare(struct sv text, size_t at, char before, struct explain_start *s)
{
	size_t n = read_enhanced(text, at, s->enhanced);

	if (n == 0)
		return;
	if (word_before(text, at, SV("Status:"))) {
		s->sign = EXPLAIN_STATUS;
	} else if (begins_words(before) || word_before(text, at, SV("was"))) {
		s->sign = EXPLAIN_BARE;
	} else {
		return;
	}
	s->code = (uint16_t)(text.ptr[at] - '0');
	s->behind = at + n;
}

static void read_coded(struct sv text, size_t at, char before, struct explain_start *s)
{
	size_t between = skip_between(text, at + 3);
	size_t n;
	char c;

	s->code = (uint16_t)((text.ptr[at] - '0') * 100 + (text.ptr[at + 1] - '0') * 10 +
			     (text.ptr[at + 2] - '0'));
	if (between == 0)
		return;
	n = read_enhanced(text, at + 3 + between, s->enhanced);
	s->behind = at + 3 + between + n;
	if (n) {
		s->sign = EXPLAIN_STRONG;
		return;
	}
	c = char_at(text, at + 3);
	if (!begins_words(before) || before == ',' || (c != ' ' && c != '-'))
		return;
	s->behind = at + 4;
	c = char_at(text, at + 4);
	if (is_letter(c) || c == '<' || c == '\'' || c == '"' || c == '[')
		s->sign = EXPLAIN_WEAK;
}

struct explain_start explain_start_at(struct sv text, size_t at)
{
	struct explain_start s = { .at = at };
	char c = char_at(text, at), before;

	if (c != '4' && c != '5')
		return s;
	before = at ? text.ptr[at - 1] : '\n';
	if (is_digit(before) || is_letter(before) || before == '.' || before == '-' ||
		before == '_' || before == '@' || before == '/' || before == '+')
		return s;
	before = byte_before(text, at);
	s.quoted = at && (text.ptr[at - 1] == '\'' || text.ptr[at - 1] == '"');
	s.nested = word_before(text, at, SV("->")) || word_before(text, at, SV("-&gt;"));
	if (char_at(text, at + 1) == '.')
		read_bare(text, at, before, &s);
	else if (is_digit(char_at(text, at + 1)) && is_digit(char_at(text, at + 2)))
		read_coded(text, at, before, &s);
	return s;
}

/* ---- words ---- */

/* Behind a line end: does the reply go on there? Returns how much to skip, or 0 when it does not. */
static size_t continues(struct sv text, size_t at, const struct explain_start *start)
{
	size_t n = 0;

	while (char_at(text, at + n) == ' ' || char_at(text, at + n) == '\t')
		n++;
	if (at + n >= text.len || char_at(text, at + n) == '\n' || char_at(text, at + n) == '\r')
		return 0;
	if (start->code >= 100 && at + n + 3 < text.len) {
		const char *p = text.ptr + at + n;

		if (p[0] == '0' + start->code / 100 && p[1] == '0' + start->code / 10 % 10 &&
			p[2] == '0' + start->code % 10 && (p[3] == '-' || p[3] == ' ')) {
			struct sv enhanced = sv_from(start->enhanced);

			n += 4;
			if (enhanced.len && sv_starts(sv_skip(text, at + n), enhanced))
				n += enhanced.len;
			return n;
		}
	}
	return n;
}

/* "... this message is 550-5.7.1 likely ...": lines that were joined. How much to skip; 0: none. */
static size_t joined(struct sv text, size_t at, const struct explain_start *start)
{
	struct sv enhanced = sv_from(start->enhanced);
	char code[4];

	if (start->code < 100 || !enhanced.len || char_at(text, start->at + 3) != '-')
		return 0;
	code[0] = (char)('0' + start->code / 100);
	code[1] = (char)('0' + start->code / 10 % 10);
	code[2] = (char)('0' + start->code % 10);
	code[3] = '\0';
	if (!sv_starts(sv_skip(text, at), sv_make(code, 3)) ||
		(char_at(text, at + 3) != '-' && char_at(text, at + 3) != ' ') ||
		!sv_starts(sv_skip(text, at + 4), enhanced))
		return 0;
	return 4 + enhanced.len;
}

size_t explain_words(struct sv text, const struct explain_start *start, size_t end, struct buf *out)
{
	char closing = start->quoted ? text.ptr[start->at - 1] : '\0';
	size_t at = start->behind, skip;

	while (at < end && buf_room(out) > 0) {
		char c = text.ptr[at];

		if (closing && c == closing && !is_letter(char_at(text, at + 1)))
			break;
		if (c == '\n' || c == '\r') {
			at += c == '\r' && char_at(text, at + 1) == '\n' ? 2 : 1;
			skip = continues(text, at, start);
			if (!skip && !closing)
				break;
			at += skip;
			c = ' ';
		} else {
			at++;
			if (c == ' ')
				at += joined(text, at, start);
		}
		if ((unsigned char)c < 0x20 || c == 0x7f)
			c = ' ';
		if (c == ' ' && (out->len == 0 || buf_sv(out).ptr[out->len - 1] == ' '))
			continue;
		if (buf_append_char(out, c) != 0)
			break;
	}
	return at < end ? at : end;
}
