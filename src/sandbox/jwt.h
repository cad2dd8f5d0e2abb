/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/sv.h"

#include <jansson.h>
#include <openssl/types.h>

/* JSON Web Tokens (RFC 7519) in the compact form, signed RS256 or PS256. "none" is no algorithm here. */
enum {
	SANDBOX_JWT_MAX = 16384,
	SANDBOX_JWT_SIGNATURE_MAX = 1024,
};

struct sandbox_jwt {
	json_t *header, *claims; /* objects */
	struct sv signed_part;   /* borrowed from the text */
	char signature[SANDBOX_JWT_SIGNATURE_MAX];
	size_t signature_len;
};

NODISCARD int sandbox_jwt_parse(struct sv text, struct sandbox_jwt *out_jwt); /* RC_PARSE */
void sandbox_jwt_deinit(struct sandbox_jwt *j);
/* By the algorithm that its header names. */
NODISCARD bool sandbox_jwt_verify(const struct sandbox_jwt *j, EVP_PKEY *key);
/* Appends a token signed RS256. Takes neither object. */
NODISCARD int sandbox_jwt_sign(
	struct buf *out, const json_t *header, const json_t *claims, EVP_PKEY *key);

/* Strings and numbers of a claims object; empty and 0 when absent or of another type. */
struct sv sandbox_jwt_text(const json_t *claims, const char *name);
uint64_t sandbox_jwt_number(const json_t *claims, const char *name);

/* RFC 4648 5 without padding. */
NODISCARD int sandbox_base64url(struct buf *out, struct sv bytes);
NODISCARD int sandbox_base64url_decode(struct buf *out, struct sv text); /* RC_PARSE, RC_LIMIT */
