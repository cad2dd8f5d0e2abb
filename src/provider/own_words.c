/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/own_words.h"

/* So many equal characters beside a pattern, and it is the repeated text, not a common word. */
enum {
	BESIDE_MIN = 3
};

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') ||
	       (unsigned char)c >= 0x80;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* ---- what a server marks as the words of others ---- */

/* Behind these words stands what the message says in that place. */
static bool introduces(struct sv text, size_t at)
{
	static const struct sv words[] = { SV_INIT("subject"), SV_INIT("header field") };

	if (at > 0 && is_word(text.ptr[at - 1]))
		return false;
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		struct sv rest = sv_skip(text, at);

		if (!sv_starts_nocase(rest, words[i]))
			continue;
		rest = sv_skip(rest, words[i].len);
		if (rest.len && (is_blank(rest.ptr[0]) || rest.ptr[0] == ':') &&
			!sv_starts_nocase(rest, SV(" to ")))
			return true;
	}
	return false;
}

/* The end of what begins with the mark at `at`: behind its closing one; `at` itself when nothing closes it. */
static size_t behind_mark(struct sv text, size_t at, char close)
{
	for (size_t i = at + 1; i < text.len; i++) {
		if (close == '"' && text.ptr[i] == '\\')
			i++;
		else if (text.ptr[i] == close)
			return i + 1;
	}
	return at;
}

static size_t behind_word(struct sv text, size_t at, bool *out_address)
{
	*out_address = false;
	for (; at < text.len && !is_blank(text.ptr[at]); at++)
		*out_address |= text.ptr[at] == '@';
	return at;
}

/* Whether all of [begin, end) lies in something that is marked. */
static bool is_marked(struct sv text, size_t begin, size_t end)
{
	size_t at = 0;

	while (at <= begin) {
		char c = text.ptr[at];
		size_t behind = at;
		bool address = false;

		if (introduces(text, at))
			return true;
		if (c == '"' || c == '<')
			behind = behind_mark(text, at, c == '<' ? '>' : '"');
		else if (at == 0 || is_blank(text.ptr[at - 1]))
			behind = behind_word(text, at, &address);
		/* "..."@example.org is one address. */
		if (c == '"' && behind > at && behind < text.len && text.ptr[behind] == '@')
			behind = behind_word(text, behind, &address);
		if (behind > at && (c == '"' || c == '<' || address)) {
			if (end <= behind)
				return true;
			at = behind;
			continue;
		}
		at++;
	}
	return false;
}

/* ---- what is known of the message ---- */

static size_t equal_before(struct sv a, size_t at_a, struct sv b, size_t at_b)
{
	size_t n = 0;

	while (n < BESIDE_MIN && n < at_a && n < at_b &&
		ascii_lower(a.ptr[at_a - 1 - n]) == ascii_lower(b.ptr[at_b - 1 - n]))
		n++;
	return n;
}

static size_t equal_behind(struct sv a, size_t at_a, struct sv b, size_t at_b)
{
	size_t n = 0;

	while (n < BESIDE_MIN && at_a + n < a.len && at_b + n < b.len &&
		ascii_lower(a.ptr[at_a + n]) == ascii_lower(b.ptr[at_b + n]))
		n++;
	return n;
}

/* The pattern stands at `at` of the reply: is that a piece of `word`? */
static bool repeats_word(struct sv text, size_t at, struct sv pattern, struct sv word)
{
	size_t from = 0;

	for (unsigned i = 0; i < PROVIDER_SAID_OCCURRENCES; i++) {
		ptrdiff_t found = sv_find_nocase(sv_skip(word, from), pattern);
		size_t begin, end, before, behind;

		if (found < 0)
			return false;
		begin = from + (size_t)found;
		end = begin + pattern.len;
		before = equal_before(text, at, word, begin);
		behind = equal_behind(text, at + pattern.len, word, end);
		/* The whole of it, or so much around the pattern that it is no accident. */
		if ((before == begin && behind == word.len - end) || before == BESIDE_MIN ||
			behind == BESIDE_MIN)
			return true;
		from = begin + 1;
	}
	/* Somebody wrote it more than often enough. */
	return true;
}

static bool is_repeated(
	struct sv text, size_t at, struct sv pattern, const struct provider_own *own)
{
	for (size_t i = 0; i < own->count && i < PROVIDER_OWN_MAX; i++)
		if (repeats_word(text, at, pattern, sv_head(own->words[i], PROVIDER_OWN_BYTES)))
			return true;
	return false;
}

bool provider_says(struct sv text, struct sv pattern, bool first, const struct provider_own *own)
{
	size_t from = 0;

	text = sv_head(text, PROVIDER_SAID_BYTES);
	if (pattern.len == 0)
		return true;
	for (unsigned i = 0; i < PROVIDER_SAID_OCCURRENCES; i++) {
		ptrdiff_t found = sv_find_nocase(sv_skip(text, from), pattern);
		size_t at = from + (size_t)(found < 0 ? 0 : found);

		if (found < 0 || (first && at > 0))
			return false;
		if (!is_marked(text, at, at + pattern.len) && !is_repeated(text, at, pattern, own))
			return true;
		from = at + 1;
	}
	return false;
}
