/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"

/*
 * The one form in which a message is kept and sent on, whatever door it came by: lines end in CR LF and hold
 * no other CR, LF or NUL. A bare LF, and CRs before an LF, are a line end; a CR that ends no line is one in
 * the body (the progress bars in the output of jobs) and a blank in the header, where a line end would let
 * whoever chose a Subject add fields; a NUL becomes '?'.
 * Where a message ends is decided before this, from the bytes as they came (smtp/server_body.c): what this
 * makes of a line is never looked at for a dot.
 */
struct mail_lines {
	bool cr; /* one or more CR were seen: a line end comes, or they are bare */
};

/*
 * Takes bytes from the front of *in and gives what they become, a view of them or of a constant. False:
 * nothing is left to give. In the header a piece ends with its line, so that the caller can say whether the
 * next one is header still.
 */
NODISCARD bool mail_lines_next(
	struct mail_lines *l, struct sv *in, bool in_header, struct sv *out_piece);
/* The end of the message: what is still owed. */
struct sv mail_lines_end(struct mail_lines *l);
