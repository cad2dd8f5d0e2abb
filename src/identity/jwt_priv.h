/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"
#include "base/time.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>

struct identity_jwt_key {
	EVP_PKEY *key;
	bool has_certificate;
	struct wall_time not_before, not_after;
	char x5t[32], x5t_s256[48]; /* of the certificate: SHA-1 and SHA-256, base64url */
};

/* The claims of a token whose signature nobody here can check, as an object; NULL: it has none. */
json_t *identity_jwt_body(struct sv token);
