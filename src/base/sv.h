/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * A borrowed view of bytes. Passed by value, never assumed to end in NUL; print it with
 * "%.*s", SV_ARG(v). An empty view may have a NULL pointer.
 */
struct sv {
	const char *ptr;
	size_t len;
};

#define SV(literal) ((struct sv){ "" literal, sizeof(literal) - 1 })
#define SV_INIT(literal)                        \
	{                                       \
		"" literal, sizeof(literal) - 1 \
	}
#define SV_ARG(v) (int)(v).len, (v).ptr

static inline struct sv sv_make(const char *ptr, size_t len)
{
	return (struct sv){ ptr, len };
}

/* A view of a C string; NULL gives an empty view. */
static inline struct sv sv_from(const char *text)
{
	return (struct sv){ text, text ? strlen(text) : 0 };
}

/* `v` without its first `n` bytes (all of them when n is larger). */
static inline struct sv sv_skip(struct sv v, size_t n)
{
	if (n > v.len)
		n = v.len;
	return (struct sv){ v.len ? v.ptr + n : v.ptr, v.len - n };
}

/* The first `n` bytes of `v` (all of them when n is larger). */
static inline struct sv sv_head(struct sv v, size_t n)
{
	return (struct sv){ v.ptr, n < v.len ? n : v.len };
}

NODISCARD bool sv_eq(struct sv a, struct sv b);
NODISCARD bool sv_eq_nocase(struct sv a, struct sv b); /* ASCII case only */
NODISCARD int sv_cmp(struct sv a, struct sv b);        /* by bytes, for sorting: < 0, 0, > 0 */
/* A `*` in the pattern stands for any bytes, or none. ASCII case only. */
NODISCARD bool sv_matches_nocase(struct sv pattern, struct sv text);
NODISCARD bool sv_starts(struct sv v, struct sv prefix);
NODISCARD bool sv_starts_nocase(struct sv v, struct sv prefix);
NODISCARD bool sv_ends_nocase(struct sv v, struct sv suffix);
NODISCARD ptrdiff_t sv_find_char(struct sv v, char c);  /* index, or -1 */
NODISCARD ptrdiff_t sv_rfind_char(struct sv v, char c); /* index of the last one, or -1 */
NODISCARD ptrdiff_t sv_find(struct sv v, struct sv needle);
NODISCARD ptrdiff_t sv_find_nocase(struct sv v, struct sv needle);
NODISCARD struct sv sv_trim(struct sv v); /* without SP and HT at both ends */

/*
 * Cuts what stands before the first `c` off the front of *v into *out_part and swallows the `c`.
 * Without a `c`, the whole rest is the part and false is returned.
 */
bool sv_cut_char(struct sv *v, char c, struct sv *out_part);

/*
 * Cuts a line that ends in CRLF off the front; the line comes without it. False, with nothing
 * touched, when there is no CRLF yet. A bare CR or LF does not end a line.
 */
NODISCARD bool sv_cut_line(struct sv *v, struct sv *out_line);

/* Decimal digits only, the whole of `v`, at most `max`. Returns 0, RC_PARSE or RC_LIMIT. */
NODISCARD int sv_parse_u64(struct sv v, uint64_t max, uint64_t *out_value);
NODISCARD int sv_parse_u32(struct sv v, uint32_t max, uint32_t *out_value);

/* A NUL-ended copy on the heap; the caller frees it. A NUL inside `v` is a bug of the caller. */
NODISCARD char *sv_dup(struct sv v);

NODISCARD uint64_t sv_hash(struct sv v, uint64_t seed); /* SipHash-like mix; seed it at start */

static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}
