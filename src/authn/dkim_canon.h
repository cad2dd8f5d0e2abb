/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/buf.h"
#include "base/sv.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Canonicalisation (RFC 6376 3.4): the form of header and body that a signature covers, so that what usual relays do
 * to a message does not break it. Lines end in CR LF here; a CR or LF alone is a character as others.
 */
enum authn_canon {
	AUTHN_SIMPLE,  /* as it is, without the empty lines at the end of the body */
	AUTHN_RELAXED, /* white space does not count, nor the case of field names */
};

/* Where canonical bytes go: a digest, or a buffer. */
struct authn_sink {
	void (*put)(void *arg, struct sv bytes);
	void *arg;
};

/*
 * One field, with its fold and line end: "Subject: a\r\n b\r\n". `with_end`: its CRLF counts, too; the field of the
 * signature itself goes without.
 */
void authn_canon_field(
	enum authn_canon canon, struct sv field, bool with_end, const struct authn_sink *sink);

/*
 * A body in pieces. Nothing is held but how many line ends and whether blanks wait for what follows.
 */
struct authn_body {
	enum authn_canon canon;
	struct authn_sink sink;
	uint64_t max;   /* l=: so many canonical bytes go to the sink; UINT64_MAX: all */
	uint64_t total; /* canonical bytes so far */
	uint64_t line_ends;
	bool blank, cr;
	bool any; /* something but line ends came */
};
void authn_body_init(
	struct authn_body *b, enum authn_canon canon, uint64_t max, const struct authn_sink *sink);
void authn_body_feed(struct authn_body *b, struct sv bytes);
void authn_body_end(struct authn_body *b);
