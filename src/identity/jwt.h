/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/limits.h"
#include "base/secret.h"
#include "base/sv.h"
#include "base/time.h"
#include "conf/conf.h"

/*
 * Signed assertions (RFC 7515, 7519, 7523): how an app with a certificate, or a service account with a key,
 * signs in. And a look into the claims of a token that the token service gave.
 */
struct identity_jwt_key;

/*
 * A private RSA key in PEM, with the certificate that Entra knows it by. `certificate` empty: none (a
 * service account). Errors are one sentence: not PEM, wrong passphrase, not RSA, key and certificate that
 * do not match.
 */
NODISCARD int identity_jwt_key_pem(struct sv key, const struct secret *passphrase,
	struct sv certificate, struct identity_jwt_key **out_key, struct err *err);
/* Both in PKCS#12 (.pfx, .p12). */
NODISCARD int identity_jwt_key_pkcs12(struct sv bytes, const struct secret *passphrase,
	struct identity_jwt_key **out_key, struct err *err);
void identity_jwt_key_free(struct identity_jwt_key *k);
DEFINE_CLEANUP(struct identity_jwt_key, identity_jwt_key_free);

/* RC_CONFIG with a sentence when the certificate has expired or is not valid yet. */
NODISCARD int identity_jwt_key_check(
	const struct identity_jwt_key *k, struct wall_time now, struct err *err);
/* The certificate's end; 0 without one. */
struct wall_time identity_jwt_key_not_after(const struct identity_jwt_key *k);

struct identity_jwt_order {
	enum conf_jwt form;
	struct sv audience; /* the token URL */
	struct sv issuer;   /* client id, or the service account's address */
	struct sv subject;  /* the same, or the user for whom the account speaks */
	struct sv scope;    /* empty: no such claim */
	struct sv key_id;   /* empty: no such header */
	struct wall_time now;
};
/* Signs for ten minutes. Takes milliseconds: in a worker. */
NODISCARD int identity_jwt_sign(const struct identity_jwt_key *k,
	const struct identity_jwt_order *order, struct secret **out_assertion, struct err *err);

/* Of a token that came over TLS from the token service itself: nothing is verified. */
struct identity_jwt_claims {
	char user[LIMIT_ADDRESS + 1]; /* upn, preferred_username, unique_name or email; "" none */
	char tenant[64];              /* tid */
};
/* RC_PARSE: no JWT (Microsoft's access tokens need not be). */
NODISCARD int identity_jwt_claims_read(struct sv token, struct identity_jwt_claims *out_claims);
