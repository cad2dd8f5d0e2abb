/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/time.h"
#include "conf/conf.h"
#include "identity/vault.h"

/*
 * What `postern login` leaves in the vault, under "login/TENANT/USER": the refresh token of a person. It
 * changes with each use, so the one before it stays until the new one has worked once.
 */
struct identity_login {
	struct secret *refresh_token;
	struct secret *previous; /* NULL: none */
	char client_id[256];     /* the app that it was given to; it is of no use to another */
	char scope[512];
	bool confidential; /* the token service wants the app's secret with it */
	struct wall_time signed_in_at, obtained_at;
};
void identity_login_free(struct identity_login *l); /* from identity_login_load() */
DEFINE_CLEANUP(struct identity_login, identity_login_free);

/* The person who signs in for this lane: `login`, or the mailbox itself; in lower case. */
enum {
	IDENTITY_USER_MAX = 321
};
struct sv identity_login_user(const struct conf_lane *lane, char out[IDENTITY_USER_MAX]);
/* The name in the vault. */
NODISCARD int identity_login_name(
	const struct conf_tenant *tenant, struct sv user, struct buf *out);

/* RC_NOT_FOUND: nobody has signed in. RC_CORRUPT: what lies there is no login, or damaged. -ENOKEY: the vault does not
 * open. */
NODISCARD int identity_login_load(struct identity_vault *vault, struct sv name,
	struct identity_login **out_login, struct err *err);
NODISCARD int identity_login_save(struct identity_vault *vault, struct sv name,
	const struct identity_login *login, struct err *err);
/* For the fuzz target. */
NODISCARD int identity_login_parse(struct sv text, struct identity_login **out_login);
