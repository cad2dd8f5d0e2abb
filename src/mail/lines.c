/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/lines.h"

/*
 * How many bytes at the front are right as they are; it ends behind a CR LF, or before a byte of doubt. Byte by
 * byte: with memchr() for each of three bytes a line of nothing but CRs would cost its square.
 */
static size_t right_len(struct sv v, bool in_header)
{
	for (size_t i = 0; i < v.len; i++) {
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
