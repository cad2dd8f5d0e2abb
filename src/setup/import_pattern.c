/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "mail/address.h"
#include "setup/import_priv.h"

/*
 * Regular expressions of strangers are never run. What people write into their maps is nearly always a text
 * with some ".*" in it, and that is a pattern with stars: `^root@.*\.local$` is `root@*.local`. Each part of an
 * expression becomes the set of texts that it stands for, at most IMPORT_PATTERNS_MAX of them.
 */
enum {
	DEPTH_MAX = 6,
	CLASS_MAX = 4, /* characters of [...] that are told apart */
};

struct set {
	char text[IMPORT_PATTERNS_MAX][IMPORT_PATTERN_BYTES];
	size_t len[IMPORT_PATTERNS_MAX];
	size_t count;
};

struct parser {
	struct sv rest;
	bool wider;
	bool open_start, open_end; /* an alternative without ^ or $ */
	unsigned depth;
	int rc;
};

static void set_one(struct set *s, const char *text, size_t len)
{
	s->count = 1;
	s->len[0] = len;
	memcpy(s->text[0], text, len);
}

static void fail(struct parser *p, int rc)
{
	if (p->rc == 0)
		p->rc = rc;
	p->rest = SV("");
}

/* Adds the texts of `more` as further ones. */
static void set_join(struct parser *p, struct set *to, const struct set *more)
{
	for (size_t i = 0; i < more->count; i++) {
		if (to->count == IMPORT_PATTERNS_MAX) {
			fail(p, RC_LIMIT);
			return;
		}
		to->len[to->count] = more->len[i];
		memcpy(to->text[to->count++], more->text[i], more->len[i]);
	}
}

/* Each text of `to` with each of `next` behind it. */
static void set_append(struct parser *p, struct set *to, const struct set *next)
{
	struct set all = { 0 };

	for (size_t i = 0; i < to->count; i++) {
		for (size_t k = 0; k < next->count; k++) {
			size_t n = to->len[i] + next->len[k];

			if (all.count == IMPORT_PATTERNS_MAX || n >= IMPORT_PATTERN_BYTES) {
				fail(p, RC_LIMIT);
				return;
			}
			memcpy(all.text[all.count], to->text[i], to->len[i]);
			memcpy(all.text[all.count] + to->len[i], next->text[k], next->len[k]);
			all.len[all.count++] = n;
		}
	}
	*to = all;
}

static char take(struct parser *p)
{
	char c = p->rest.len ? p->rest.ptr[0] : '\0';

	p->rest = sv_skip(p->rest, 1);
	return c;
}

static bool take_if(struct parser *p, struct sv text)
{
	if (!sv_starts(p->rest, text))
		return false;
	p->rest = sv_skip(p->rest, text.len);
	return true;
}

/* "[.]", "[ab]"; a range or a long one stands for anything. */
static void read_class(struct parser *p, struct set *out)
{
	char members[CLASS_MAX];
	size_t n = 0;
	bool plain = !take_if(p, SV("^")), first = true, closed = false;

	while (p->rest.len && !closed) {
		char c = take(p);

		if (c == ']' && !first) {
			closed = true;
			break;
		}
		first = false;
		plain = plain && c != '[' &&
			!(c == '-' && n && p->rest.len && p->rest.ptr[0] != ']');
		if (c == '[' && take_if(p, SV(":")))
			while (p->rest.len && !take_if(p, SV(":]")))
				(void)take(p);
		if (c == '\\' && p->rest.len)
			c = take(p);
		if (n < CLASS_MAX)
			members[n] = c;
		n++;
	}
	if (!closed)
		fail(p, RC_PARSE);
	*out = (struct set){ 0 };
	if (!plain || !n || n > CLASS_MAX) {
		p->wider = true;
		set_one(out, "*", 1);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct set one;

		set_one(&one, &members[i], 1);
		set_join(p, out, &one);
	}
}

static void read_choice(struct parser *p, struct set *out);

static void read_group(struct parser *p, struct set *out)
{
	bool start = p->open_start, end = p->open_end;

	if (take_if(p, SV("?:")) == false && sv_starts(p->rest, SV("?")))
		fail(p, RC_PARSE);
	if (++p->depth > DEPTH_MAX)
		fail(p, RC_LIMIT);
	read_choice(p, out);
	p->depth--;
	p->open_start = start;
	p->open_end = end;
	if (!take_if(p, SV(")")))
		fail(p, RC_PARSE);
}

static void read_escape(struct parser *p, struct set *out)
{
	char c = take(p);

	if (c == 'b' || c == 'B' || c == '<' || c == '>') {
		set_one(out, "", 0);
		p->wider = true;
	} else if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
		set_one(out, "*", 1);
		p->wider = true;
	} else if (c == '\0' || c == '*') {
		fail(p, RC_PARSE);
		set_one(out, "", 0);
	} else {
		set_one(out, &c, 1);
	}
}

/* What stands behind an atom: `*`, `+`, `?`, `{2,3}`, each with a `?` for lazy ones. True: there was one. */
static bool read_count(struct parser *p, bool *out_optional)
{
	bool seen = false;

	*out_optional = false;
	while (p->rest.len) {
		if (take_if(p, SV("*")) || take_if(p, SV("+"))) {
			seen = true;
		} else if (take_if(p, SV("?"))) {
			*out_optional = !seen;
			seen = true;
		} else if (sv_starts(p->rest, SV("{"))) {
			while (p->rest.len && take(p) != '}')
				;
			seen = true;
		} else {
			break;
		}
	}
	return seen;
}

static void read_atom(struct parser *p, struct set *out)
{
	char c = take(p);
	bool dot = c == '.', optional, plain_dot;

	if (c == '(')
		read_group(p, out);
	else if (c == '[')
		read_class(p, out);
	else if (c == '\\')
		read_escape(p, out);
	else if (c == '*' || c == '+' || c == '?')
		fail(p, RC_PARSE);
	else
		set_one(out, &c, 1);
	if (p->rc != 0)
		set_one(out, "", 0);
	/* A dot alone was nearly always meant as one: root@example.com. */
	plain_dot = dot && sv_starts(p->rest, SV("?"));
	if (!read_count(p, &optional))
		return;
	if (optional && !plain_dot) {
		struct set none;

		set_one(&none, "", 0);
		set_join(p, out, &none);
		return;
	}
	p->wider = p->wider || !dot;
	set_one(out, "*", 1);
}

/* A sequence, up to `|`, `)` or the end. */
static void read_sequence(struct parser *p, struct set *out)
{
	bool anchored = false, ended = false, top = p->depth == 0;

	set_one(out, "", 0);
	while (p->rest.len && p->rest.ptr[0] != '|' && p->rest.ptr[0] != ')') {
		struct set next = { 0 };

		if (take_if(p, SV("^"))) {
			anchored = true;
			continue;
		}
		if (take_if(p, SV("$"))) {
			ended = true;
			continue;
		}
		read_atom(p, &next);
		set_append(p, out, &next);
		if (p->rc != 0)
			return;
	}
	if (!top)
		return;
	for (size_t i = 0; i < out->count && p->rc == 0; i++) {
		size_t n = out->len[i];

		if (n + 2 >= IMPORT_PATTERN_BYTES) {
			fail(p, RC_LIMIT);
			return;
		}
		if (!anchored) {
			memmove(out->text[i] + 1, out->text[i], n);
			out->text[i][0] = '*';
			n++;
		}
		if (!ended)
			out->text[i][n++] = '*';
		out->len[i] = n;
	}
}

static void read_choice(struct parser *p, struct set *out)
{
	*out = (struct set){ 0 };
	do {
		struct set one;

		read_sequence(p, &one);
		if (p->rc == 0)
			set_join(p, out, &one);
	} while (p->rc == 0 && take_if(p, SV("|")));
}

/* "**" is "*". */
static size_t squeeze(char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		if (text[i] != '*' || n == 0 || text[n - 1] != '*')
			text[n++] = text[i];
	return n;
}

static bool is_printable(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return true;
}

int import_patterns(struct sv expression, struct import_patterns *out)
{
	struct parser p = { .rest = expression };
	struct set all;

	*out = (struct import_patterns){ 0 };
	(void)take_if(&p, SV("(?i)"));
	read_choice(&p, &all);
	if (p.rc == 0 && p.rest.len)
		p.rc = RC_PARSE;
	for (size_t i = 0; i < all.count && p.rc == 0; i++) {
		size_t n = squeeze(all.text[i], all.len[i]);

		if (!is_printable(all.text[i], n))
			p.rc = RC_PARSE;
		memcpy(out->text[i], all.text[i], n);
		out->text[i][n] = '\0';
		out->count++;
	}
	out->wider = p.wider;
	return p.rc;
}

/* ---- addresses ---- */

static int add_address(struct import_patterns *out, struct sv text)
{
	if (sv_eq(text, SV("*")) || sv_eq(text, SV("*@*")))
		text = SV("");
	if (out->count == IMPORT_PATTERNS_MAX || text.len >= IMPORT_PATTERN_BYTES)
		return RC_LIMIT;
	if (text.len && address_pattern_check(text) != 0)
		return RC_PARSE;
	if (text.len)
		memcpy(out->text[out->count], text.ptr, text.len);
	out->text[out->count++][text.len] = '\0';
	return 0;
}

int import_address_patterns(struct sv expression, struct import_patterns *out)
{
	struct import_patterns any;
	int rc = import_patterns(expression, &any);

	*out = (struct import_patterns){ .wider = any.wider };
	for (size_t i = 0; i < any.count && rc == 0; i++) {
		struct sv text = sv_from(any.text[i]);
		char with[IMPORT_PATTERN_BYTES + 2];

		if (sv_find_char(text, '@') >= 0 || sv_eq(text, SV("*"))) {
			rc = add_address(out, text);
			continue;
		}
		/* Without an @ it may stand on either side of it. */
		if (text.len + 2 >= sizeof(with))
			return RC_LIMIT;
		memcpy(with, text.ptr, text.len);
		memcpy(with + text.len, "@*", 2);
		rc = add_address(out, sv_make(with, text.len + 2));
		memcpy(with, "*@", 2);
		memcpy(with + 2, text.ptr, text.len);
		if (rc == 0 && text.len && text.ptr[0] == '*')
			rc = add_address(out, sv_make(with, text.len + 2));
	}
	return rc;
}
