/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/must.h"

#include <stdint.h>

/*
 * A reader of PowerShell that shares nothing with what writes it (about_Quoting_Rules, about_Comments):
 * enough of the language to see where a string or a comment ends.
 */

/* One character; a broken one is passed byte by byte, which no quote is made of. */
static inline uint32_t ps_char(struct sv text, size_t *at)
{
	unsigned char c = (unsigned char)text.ptr[(*at)++];
	unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 ? 1 : 0;
	uint32_t value = more == 3 ? c & 7 : more == 2 ? c & 15 : more == 1 ? c & 31 : c;

	if (more > text.len - *at)
		return c;
	for (unsigned i = 0; i < more; i++)
		value = value << 6 | ((unsigned char)text.ptr[*at + i] & 0x3f);
	*at += more;
	return value;
}

static inline bool ps_is_single(uint32_t c)
{
	return c == '\'' || (c >= 0x2018 && c <= 0x201b);
}

static inline bool ps_is_double(uint32_t c)
{
	return c == '"' || (c >= 0x201c && c <= 0x201e);
}

/* Behind the opening quote: goes behind the closing one, whatever is in between to `out` (or NULL). */
static inline bool ps_string(struct sv text, size_t *at, bool single, struct buf *out)
{
	while (*at < text.len) {
		size_t start = *at, next;
		uint32_t c = ps_char(text, at);

		if (!single && c == '`' && *at < text.len) {
			(void)ps_char(text, at);
			continue;
		}
		if (single ? ps_is_single(c) : ps_is_double(c)) {
			next = *at;
			if (next == text.len)
				return true;
			c = ps_char(text, &next);
			if (!(single ? ps_is_single(c) : ps_is_double(c)))
				return true;
			start = *at;
			*at = next;
		}
		if (out)
			must(buf_append(out, sv_make(text.ptr + start, *at - start)) == 0);
	}
	return false;
}

/* What is left of a script without its strings and comments: S for each string. */
static inline bool ps_skeleton(struct sv text, struct buf *out)
{
	bool fresh = true; /* a token may begin here */

	for (size_t at = 0; at < text.len;) {
		size_t start = at;
		uint32_t c = ps_char(text, &at);

		if (ps_is_single(c) || ps_is_double(c)) {
			if (!ps_string(text, &at, ps_is_single(c), NULL))
				return false;
			must(buf_append_char(out, 'S') == 0);
			fresh = false;
		} else if (c == '#' && fresh) {
			while (at < text.len && text.ptr[at] != '\n' && text.ptr[at] != '\r')
				at++;
		} else {
			must(buf_append(out, sv_make(text.ptr + start, at - start)) == 0);
			fresh = c <= ' ' || c == ';' || c == '(' || c == '{';
		}
	}
	return true;
}

/* "[char]0xNNNN" at the front of `text`. */
static inline bool ps_code(struct sv *text, uint32_t *out_code)
{
	uint32_t code = 0;

	if (!sv_starts(*text, SV("[char]0x")) || text->len < 12)
		return false;
	for (size_t i = 8; i < 12; i++) {
		char c = text->ptr[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F')))
			return false;
		code = code << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'A' + 10);
	}
	*text = sv_skip(*text, 12);
	*out_code = code;
	return true;
}

/* UTF-16, as PowerShell holds it, little end first. */
static inline void ps_put_unit(struct buf *out, uint32_t unit)
{
	must(buf_append_char(out, (char)(unit & 0xff)) == 0);
	must(buf_append_char(out, (char)(unit >> 8)) == 0);
}

/* The value of 'text', or of ('text' + [char]0x1234 + ...), the whole of `text`; false: it is neither. */
static inline bool ps_value(struct sv text, struct buf *out)
{
	bool many = sv_starts(text, SV("("));
	uint32_t code;

	if (many && text.ptr[text.len - 1] != ')')
		return false;
	text = many ? sv_make(text.ptr + 1, text.len - 2) : text;
	for (;;) {
		struct buf part = BUF_INIT(1 << 20);
		size_t at = 1;

		if (ps_code(&text, &code)) {
			ps_put_unit(out, code);
		} else if (text.len && ps_is_single((unsigned char)text.ptr[0]) &&
			   ps_string(text, &at, true, &part)) {
			for (size_t i = 0; i < part.len;)
				ps_put_unit(out, ps_char(buf_sv(&part), &i));
			text = sv_skip(text, at);
		} else {
			buf_deinit(&part);
			return false;
		}
		buf_deinit(&part);
		if (!text.len)
			return true;
		if (!many || !sv_starts(text, SV(" + ")))
			return false;
		text = sv_skip(text, 3);
	}
}
