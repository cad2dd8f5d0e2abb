/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/secret.h"
#include "conf/conf.h"
#include "identity/vault.h"

/*
 * What a tenant's app presents to the token service: its secret, or an assertion that it signs with the
 * key of its certificate. Loading reads files and may wait for a command, signing takes milliseconds: both
 * in a worker.
 */
struct identity_app;

/*
 * RC_CONFIG and others with one clear sentence: a tenant id that is none, the ID of a secret in place of
 * the secret, an expired certificate, a key that does not match, a wrong passphrase ...
 * An app without secret and key is loaded, too: it can sign in people, but not itself.
 */
NODISCARD int identity_app_load(const struct conf_tenant *tenant, struct identity_vault *vault,
	struct identity_app **out_app, struct err *err);
void identity_app_free(struct identity_app *a);
DEFINE_CLEANUP(struct identity_app, identity_app_free);

/* NULL: the app has none. */
const struct secret *identity_app_secret(const struct identity_app *a);
bool identity_app_has_key(const struct identity_app *a);

/* For whom the assertion speaks. Google: the user and the scope; else empty. */
struct identity_app_subject {
	struct sv user, scope;
};
/* Signs for the token service at `token_url`. Without a key RC_CONFIG. */
NODISCARD int identity_app_sign(const struct identity_app *a, struct sv token_url,
	const struct identity_app_subject *subject, struct secret **out_assertion, struct err *err);

/* For `check`: loads the app of `tenant`, if it has one, and tells when its certificate ends (0: none). */
NODISCARD int identity_app_check(const struct conf_tenant *tenant, struct identity_vault *vault,
	struct wall_time *out_not_after, struct err *err);

/* "https://login.microsoftonline.com/TENANT/oauth2/v2.0/token"; `path` of provider_cloud(). */
enum {
	IDENTITY_URL_MAX = 1024
};
NODISCARD int identity_app_url(const struct conf_tenant *tenant, const char *path,
	char out[IDENTITY_URL_MAX], struct err *err);
