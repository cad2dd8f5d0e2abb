/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/secret.h"
#include "base/sv.h"

#include <stdint.h>

/*
 * OAuth 2.0 as bytes: the bodies of requests, and what the answers say. Nothing here opens a connection or
 * looks at a clock. RFC 6749 (grants), 7523 (assertions), 7636 (PKCE), 8628 (device code), and Microsoft's
 * and Google's pages where they differ.
 */
enum {
	IDENTITY_OAUTH_ANSWER_MAX = 65536, /* bytes of an answer; real ones have a few KB */
	/* Bearer tokens travel base64-coded in an AUTH line (LIMIT_AUTH_LINE). */
	IDENTITY_OAUTH_TOKEN_MAX = 8192,
	IDENTITY_OAUTH_VERIFIER_MAX = 44, /* PKCE: 43 letters and NUL */
};

/*
 * Once in a program, before other threads use jansson: what it frees is wiped from then on, since its
 * copies of an answer hold tokens.
 */
void identity_oauth_init(void);

/* Who asks. At most one of secret and assertion; none for a public client. */
struct identity_oauth_client {
	struct sv id;
	const struct secret *secret;
	const struct secret *assertion; /* a signed JWT (identity/jwt.h) */
};

/* Client credentials: a token of the app itself. */
NODISCARD struct secret *identity_oauth_app_body(
	const struct identity_oauth_client *client, struct sv scope);
/* The app speaks for the user whom `assertion` names: Google's service accounts. */
NODISCARD struct secret *identity_oauth_service_body(const struct secret *assertion);
NODISCARD struct secret *identity_oauth_refresh_body(const struct identity_oauth_client *client,
	const struct secret *refresh_token, struct sv scope);
NODISCARD struct secret *identity_oauth_device_body(
	const struct identity_oauth_client *client, struct sv scope);
NODISCARD struct secret *identity_oauth_poll_body(
	const struct identity_oauth_client *client, const struct secret *device_code);
/* Authorization code: `verifier` is PKCE's. */
struct identity_oauth_code {
	const struct secret *code;
	struct sv redirect_uri, verifier, scope;
};
NODISCARD struct secret *identity_oauth_code_body(
	const struct identity_oauth_client *client, const struct identity_oauth_code *code);

/* PKCE (RFC 7636 4): random letters, and what is shown of them. Both NUL-ended. */
void identity_oauth_verifier_new(char out[IDENTITY_OAUTH_VERIFIER_MAX]);
void identity_oauth_challenge(struct sv verifier, char out[IDENTITY_OAUTH_VERIFIER_MAX]);

/*
 * A refusal: `error` is the word of RFC 6749 5.2, empty when the answer is none of a token service.
 * `description` is one line, fit for a log; long runs of letters that might be a secret are left out.
 */
struct identity_oauth_refusal {
	char error[64];
	char description[600];
};

/* Tokens of an answer. Zeroed is valid; deinit frees. */
struct identity_oauth_tokens {
	struct secret *access_token;  /* NULL: refused */
	struct secret *refresh_token; /* NULL: none came */
	struct secret *id_token;      /* likewise */
	uint64_t life_us;             /* of the access token: at least a minute, at most 28 hours */
	struct identity_oauth_refusal refusal;
};
void identity_oauth_tokens_deinit(struct identity_oauth_tokens *t);
/* Reads any bytes: what is not understood is a refusal. *out is filled in every case. */
/*
 * Does the answer repeat what was sent in confidence: a value of the form `sent` but those that everybody may
 * know (client_id, scope and the like), as it is or as the form has it?
 */
NODISCARD bool identity_oauth_repeats(struct sv body, const struct secret *sent);
void identity_oauth_read_tokens(unsigned status, struct sv body, struct identity_oauth_tokens *out);

struct identity_oauth_device {
	struct secret *device_code; /* NULL: refused */
	char user_code[64];
	char address[512]; /* where to type it: verification_uri */
	char message[800]; /* of the service, to be shown; empty: none */
	uint64_t life_us, interval_us;
	struct identity_oauth_refusal refusal;
};
void identity_oauth_device_deinit(struct identity_oauth_device *d);
void identity_oauth_read_device(unsigned status, struct sv body, struct identity_oauth_device *out);

/*
 * What the browser brings to the loopback address: "GET /?code=...&state=... HTTP/1.1" and the rest of the
 * request. RC_NOT_FOUND: another page (a browser asks for its icon); RC_PARSE: no request, or one whose
 * state is not ours. *out_code is NULL when the service refused: *out_refusal says why.
 */
NODISCARD int identity_oauth_read_redirect(struct sv request, struct sv state,
	struct secret **out_code, struct identity_oauth_refusal *out_refusal);
