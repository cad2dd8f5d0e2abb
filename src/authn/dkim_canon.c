/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/dkim_canon.h"

static void put(const struct authn_sink *sink, struct sv bytes)
{
	if (bytes.len)
		sink->put(sink->arg, bytes);
}

/* ---- a field ---- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static void relaxed_name(struct sv name, const struct authn_sink *sink)
{
	char small[64];
	size_t n = 0;

	while (name.len && is_space(name.ptr[name.len - 1]))
		name.len--;
	for (size_t i = 0; i < name.len; i++) {
		small[n++] = ascii_lower(name.ptr[i]);
		if (n == sizeof(small)) {
			put(sink, sv_make(small, n));
			n = 0;
		}
	}
	put(sink, sv_make(small, n));
	put(sink, SV(":"));
}

/* Unfolded; each run of blanks becomes one, those at both ends none. */
static void relaxed_value(struct sv value, const struct authn_sink *sink)
{
	bool any = false, blank = false;

	while (value.len) {
		size_t n = 0;

		if (sv_starts(value, SV("\r\n"))) {
			value = sv_skip(value, 2);
			continue;
		}
		if (is_space(value.ptr[0])) {
			blank = true;
			value = sv_skip(value, 1);
			continue;
		}
		while (n < value.len && !is_space(value.ptr[n]) &&
			!(value.ptr[n] == '\r' && sv_starts(sv_skip(value, n), SV("\r\n"))))
			n++;
		if (blank && any)
			put(sink, SV(" "));
		put(sink, sv_head(value, n));
		value = sv_skip(value, n);
		any = true;
		blank = false;
	}
}

void authn_canon_field(
	enum authn_canon canon, struct sv field, bool with_end, const struct authn_sink *sink)
{
	struct sv name;

	if (field.len >= 2 && sv_ends_nocase(field, SV("\r\n")))
		field.len -= 2;
	if (canon == AUTHN_SIMPLE) {
		put(sink, field);
	} else {
		(void)sv_cut_char(&field, ':', &name);
		relaxed_name(name, sink);
		relaxed_value(field, sink);
	}
	if (with_end)
		put(sink, SV("\r\n"));
}

/* ---- the body ---- */

void authn_body_init(
	struct authn_body *b, enum authn_canon canon, uint64_t max, const struct authn_sink *sink)
{
	*b = (struct authn_body){ .canon = canon, .sink = *sink, .max = max };
}

static void emit(struct authn_body *b, struct sv bytes)
{
	uint64_t room = b->max > b->total ? b->max - b->total : 0;

	b->total += bytes.len;
	put(&b->sink, bytes.len > room ? sv_head(bytes, (size_t)room) : bytes);
}

/* What waited counts, as something follows it. */
static void emit_held(struct authn_body *b)
{
	for (; b->line_ends; b->line_ends--)
		emit(b, SV("\r\n"));
	if (b->blank)
		emit(b, SV(" "));
	if (b->cr)
		emit(b, SV("\r"));
	b->blank = b->cr = false;
	b->any = true;
}

static size_t plain_run(const struct authn_body *b, struct sv bytes)
{
	size_t n = 0;

	if (b->canon == AUTHN_SIMPLE) {
		ptrdiff_t at = sv_find_char(bytes, '\r');

		return at < 0 ? bytes.len : (size_t)at;
	}
	while (n < bytes.len && bytes.ptr[n] != '\r' && !is_space(bytes.ptr[n]))
		n++;
	return n;
}

void authn_body_feed(struct authn_body *b, struct sv bytes)
{
	while (bytes.len) {
		char c = bytes.ptr[0];
		size_t n;

		if (b->cr && c == '\n') {
			/* Blanks at the end of a line do not count. */
			b->blank = b->cr = false;
			b->line_ends++;
			bytes = sv_skip(bytes, 1);
			continue;
		}
		/* A CR that no LF followed. */
		if (b->cr)
			emit_held(b);
		if (c == '\r') {
			b->cr = true;
			bytes = sv_skip(bytes, 1);
			continue;
		}
		if (b->canon == AUTHN_RELAXED && is_space(c)) {
			b->blank = true;
			bytes = sv_skip(bytes, 1);
			continue;
		}
		emit_held(b);
		n = plain_run(b, bytes);
		emit(b, sv_head(bytes, n));
		bytes = sv_skip(bytes, n);
	}
}

void authn_body_end(struct authn_body *b)
{
	if (b->cr)
		emit_held(b);
	/* Simple: one line end in any case, of an empty body, too (3.4.3). Relaxed: of an empty one none (3.4.4). */
	if (b->canon == AUTHN_SIMPLE || b->any)
		emit(b, SV("\r\n"));
	b->line_ends = 0;
	b->blank = false;
}
