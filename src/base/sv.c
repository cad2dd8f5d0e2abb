/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sv.h"

#include "base/err.h"
#include "base/must.h"

bool sv_eq(struct sv a, struct sv b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool sv_eq_nocase(struct sv a, struct sv b)
{
	/* Most that are equal are so to the letter. */
	return a.len == b.len && (sv_eq(a, b) || sv_starts_nocase(a, b));
}

int sv_cmp(struct sv a, struct sv b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.ptr, b.ptr, len) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

bool sv_starts(struct sv v, struct sv prefix)
{
	return v.len >= prefix.len && sv_eq(sv_head(v, prefix.len), prefix);
}

bool sv_starts_nocase(struct sv v, struct sv prefix)
{
	if (v.len < prefix.len)
		return false;
	for (size_t i = 0; i < prefix.len; i++) {
		if (ascii_lower(v.ptr[i]) != ascii_lower(prefix.ptr[i]))
			return false;
	}
	return true;
}

bool sv_ends_nocase(struct sv v, struct sv suffix)
{
	return v.len >= suffix.len && sv_eq_nocase(sv_skip(v, v.len - suffix.len), suffix);
}

ptrdiff_t sv_find_char(struct sv v, char c)
{
	const char *hit = v.len ? memchr(v.ptr, c, v.len) : NULL;

	return hit ? hit - v.ptr : -1;
}

ptrdiff_t sv_rfind_char(struct sv v, char c)
{
	const char *hit = v.len ? memrchr(v.ptr, c, v.len) : NULL;

	return hit ? hit - v.ptr : -1;
}

ptrdiff_t sv_find(struct sv v, struct sv needle)
{
	const char *hit;

	if (needle.len == 0)
		return 0;
	if (v.len < needle.len)
		return -1;
	hit = memmem(v.ptr, v.len, needle.ptr, needle.len);
	return hit ? hit - v.ptr : -1;
}

ptrdiff_t sv_find_nocase(struct sv v, struct sv needle)
{
	for (size_t at = 0; at + needle.len <= v.len; at++) {
		if (sv_starts_nocase(sv_skip(v, at), needle))
			return (ptrdiff_t)at;
	}
	return -1;
}

struct sv sv_trim(struct sv v)
{
	while (v.len && (v.ptr[0] == ' ' || v.ptr[0] == '\t'))
		v = sv_skip(v, 1);
	while (v.len && (v.ptr[v.len - 1] == ' ' || v.ptr[v.len - 1] == '\t'))
		v.len--;
	return v;
}

bool sv_cut_char(struct sv *v, char c, struct sv *out_part)
{
	ptrdiff_t at = sv_find_char(*v, c);

	if (at < 0) {
		*out_part = *v;
		*v = sv_skip(*v, v->len);
		return false;
	}
	*out_part = sv_head(*v, (size_t)at);
	*v = sv_skip(*v, (size_t)at + 1);
	return true;
}

bool sv_cut_line(struct sv *v, struct sv *out_line)
{
	ptrdiff_t at = sv_find(*v, SV("\r\n"));

	if (at < 0)
		return false;
	*out_line = sv_head(*v, (size_t)at);
	*v = sv_skip(*v, (size_t)at + 2);
	return true;
}

int sv_parse_u64(struct sv v, uint64_t max, uint64_t *out_value)
{
	uint64_t value = 0;

	if (v.len == 0)
		return RC_PARSE;
	for (size_t i = 0; i < v.len; i++) {
		if (v.ptr[i] < '0' || v.ptr[i] > '9')
			return RC_PARSE;
		if (__builtin_mul_overflow(value, 10U, &value) ||
			__builtin_add_overflow(value, (uint64_t)(v.ptr[i] - '0'), &value))
			return RC_LIMIT;
	}
	if (value > max)
		return RC_LIMIT;
	*out_value = value;
	return 0;
}

int sv_parse_u32(struct sv v, uint32_t max, uint32_t *out_value)
{
	uint64_t value;
	int rc = sv_parse_u64(v, max, &value);

	if (rc == 0)
		*out_value = (uint32_t)value;
	return rc;
}

char *sv_dup(struct sv v)
{
	char *copy = xmalloc(v.len + 1);

	must(sv_find_char(v, '\0') < 0);
	if (v.len)
		memcpy(copy, v.ptr, v.len);
	copy[v.len] = '\0';
	return copy;
}

uint64_t sv_hash(struct sv v, uint64_t seed)
{
	uint64_t h = seed ^ 0x9e3779b97f4a7c15U;

	for (size_t i = 0; i < v.len; i++) {
		h ^= (unsigned char)v.ptr[i];
		h *= 0xff51afd7ed558ccdU;
		h ^= h >> 32;
	}
	return h;
}

/*
 * `*` is tried at its shortest and lengthened on a mismatch. Going back to the last star only is
 * enough for a pattern of stars and bytes, so the work is at most pattern times text.
 */
bool sv_matches_nocase(struct sv pattern, struct sv text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;

	while (t < text.len) {
		if (p < pattern.len && pattern.ptr[p] == '*') {
			star = p++;
			star_text = t;
		} else if (p < pattern.len &&
			   ascii_lower(pattern.ptr[p]) == ascii_lower(text.ptr[t])) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++star_text;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.ptr[p] == '*')
		p++;
	return p == pattern.len;
}
