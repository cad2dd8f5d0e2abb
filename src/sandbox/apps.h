/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"

#include <jansson.h>
#include <openssl/types.h>

/* The app registrations of the sandbox's tenant, with what Exchange knows of their service principals. */
enum {
	SANDBOX_APPS_MAX = 10000,
	SANDBOX_APP_CERTIFICATES_MAX = 16,
	SANDBOX_THUMBPRINT_MAX = 64,
};

struct sandbox_app_certificate {
	EVP_PKEY *key;
	char x5t[SANDBOX_THUMBPRINT_MAX];      /* base64url of SHA-1 */
	char x5t_s256[SANDBOX_THUMBPRINT_MAX]; /* base64url of SHA-256 */
};

struct sandbox_texts {
	char **items;
	size_t count;
};

struct sandbox_app {
	char *client_id;
	char *secret; /* NULL: none */
	struct sandbox_app_certificate certificates[SANDBOX_APP_CERTIFICATES_MAX];
	size_t certificate_count;
	struct sandbox_texts roles;     /* application permissions: "SMTP.SendAsApp", "Mail.Send" */
	struct sandbox_texts scopes;    /* delegated permissions: "SMTP.Send", "Mail.Send" */
	struct sandbox_texts mailboxes; /* patterns: FullAccess for its service principal */
	bool secret_expired, disabled, no_consent, confidential;
	bool unregistered; /* no New-ServicePrincipal was run: Exchange does not know it */
};

struct sandbox_apps {
	struct sandbox_app **items;
	size_t count;
};

#define SANDBOX_APP_DEFAULT "11111111-1111-1111-1111-111111111111"

void sandbox_apps_init(
	struct sandbox_apps *a); /* holds SANDBOX_APP_DEFAULT with secret "sandbox" */
void sandbox_apps_deinit(struct sandbox_apps *a);
struct sandbox_app *sandbox_apps_find(const struct sandbox_apps *a, struct sv client_id);
/*
 * [{"client_id":..., "secret":..., "certificates":[PEM], "roles":[...], ...}]: a known client_id is
 * changed in what is given, another is added. RC_PARSE.
 */
NODISCARD int sandbox_apps_apply(struct sandbox_apps *a, const json_t *list, struct err *err);
json_t *sandbox_apps_json(const struct sandbox_apps *a);

bool sandbox_texts_hold(const struct sandbox_texts *t, struct sv text); /* ASCII case ignored */
/* Replaces by the strings of an array; others are passed over. */
void sandbox_texts_set(struct sandbox_texts *t, const json_t *array);
void sandbox_texts_deinit(struct sandbox_texts *t);
json_t *sandbox_texts_json(const struct sandbox_texts *t);
