/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/secret.h"

/* Encodings of OAuth and JWT. */

/* Appends base64url without padding (RFC 4648 5, RFC 7515 2). RC_LIMIT when the buffer is full. */
NODISCARD int identity_base64url_encode(struct buf *out, struct sv bytes);
/* Strict: no padding, no other letters, no bits left over. RC_PARSE, RC_LIMIT. */
NODISCARD int identity_base64url_decode(struct buf *out, struct sv text);

/* "8c3f7a52-0d1e-4b6a-9f00-5d2f6c1b7e44", in either case. */
NODISCARD bool identity_is_guid(struct sv text);
enum {
	IDENTITY_GUID_MAX = 37
};
/* A random one (RFC 9562 5.4), NUL-ended. */
void identity_guid_random(char out[IDENTITY_GUID_MAX]);

/* One name and value of a form. A value with a NULL pointer leaves the pair out. */
struct identity_pair {
	const char *name; /* letters, digits, '_' */
	struct sv value;
};
/* application/x-www-form-urlencoded, built in one piece: no copy of a value stays behind. */
NODISCARD struct secret *identity_form(const struct identity_pair *pairs, size_t count);
/* The same behind `url` and a '?'; RC_LIMIT when `out` is full. For values that are no secret. */
NODISCARD int identity_form_url(
	struct buf *out, struct sv url, const struct identity_pair *pairs, size_t count);
/* Decodes one value of a form: %XX and '+'. RC_PARSE for anything that is no text. */
NODISCARD int identity_form_decode(struct buf *out, struct sv value);
