/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/lines.h"

#include <endian.h>
#include <limits.h>
#include <string.h>

/* Of eight bytes, the top bit of the first one up to CR is set, and none before it. */
static uint64_t low_bytes(uint64_t word)
{
	const uint64_t each = UINT64_C(0x0101010101010101);

	return (word - each * ('\r' + 1)) & ~word & each << 7;
}

/* The next byte up to CR from `at` on, or the end: eight at a time, since nearly all are text. */
static size_t next_low(struct sv v, size_t at)
{
	uint64_t word, low;

	for (; at + sizeof(word) <= v.len; at += sizeof(word)) {
		memcpy(&word, v.ptr + at, sizeof(word));
		low = low_bytes(le64toh(word));
		if (low)
			return at + (size_t)__builtin_ctzll(low) / CHAR_BIT;
	}
	while (at < v.len && (unsigned char)v.ptr[at] > '\r')
		at++;
	return at;
}

/*
 * How many bytes at the front are right as they are; it ends behind a CR LF, or before a byte of doubt. In one
 * pass: with memchr() for each of three bytes a line of nothing but CRs would cost its square.
 */
static size_t right_len(struct sv v, bool in_header)
{
	for (size_t i = next_low(v, 0); i < v.len; i = next_low(v, i + 1)) {
		char c = v.ptr[i];

		if (c == '\r' && i + 1 < v.len && v.ptr[i + 1] == '\n') {
			i++;
			if (in_header)
				return i + 1;
		} else if (c == '\r' || c == '\n' || c == '\0') {
			return i;
		}
	}
	return v.len;
}

static bool begins_with_line_end(struct sv v)
{
	return v.len > 1 && v.ptr[0] == '\r' && v.ptr[1] == '\n';
}

bool mail_lines_next(struct mail_lines *l, struct sv *in, bool in_header, struct sv *out_piece)
{
	size_t n;

	while (in->len && in->ptr[0] == '\r') {
		/* The usual line end stays where it lies. */
		if (!l->cr && begins_with_line_end(*in))
			break;
		l->cr = true;
		*in = sv_skip(*in, 1);
	}
	if (in->len == 0)
		return false;
	if (in->ptr[0] == '\n') {
		l->cr = false;
		*in = sv_skip(*in, 1);
		*out_piece = SV("\r\n");
		return true;
	}
	if (l->cr) {
		l->cr = false;
		*out_piece = in_header ? SV(" ") : SV("\r\n");
		return true;
	}
	if (in->ptr[0] == '\0') {
		*in = sv_skip(*in, 1);
		*out_piece = SV("?");
		return true;
	}
	n = right_len(*in, in_header);
	*out_piece = sv_head(*in, n);
	*in = sv_skip(*in, n);
	return true;
}

struct sv mail_lines_end(struct mail_lines *l)
{
	bool owed = l->cr;

	l->cr = false;
	return owed ? SV("\r\n") : SV("");
}
