/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/time.h"
#include "conf/conf.h"
#include "identity/vault.h"

/*
 * What ends some day, and mail with it: client secrets, certificates, logins, basic authentication.
 * Warned 60, 30 and 7 days ahead, and when it is over.
 */
enum identity_expiry_kind {
	IDENTITY_EXPIRY_SECRET,      /* of an app: only the configuration knows */
	IDENTITY_EXPIRY_CERTIFICATE, /* of an app, a connector or a listener */
	IDENTITY_EXPIRY_LOGIN,       /* a refresh token: 90 days after its last use */
	IDENTITY_EXPIRY_PASSWORD,    /* basic authentication, by provider */
	IDENTITY_EXPIRY_KIND_COUNT,
};
const char *identity_expiry_kind_name(enum identity_expiry_kind kind); /* "client-secret", ... */

/* 60, 30 or 7: that many days or less are left; 0: it is over; -1: not soon. Pure. */
int identity_expiry_stage(struct wall_time now, struct wall_time ends);

struct identity_expiry {
	enum identity_expiry_kind kind;
	struct sv name; /* tenant, mailbox, connector, listener or provider */
	struct wall_time ends;
	const struct conf_place *place; /* NULL: many */
	const char *remedy;             /* a sentence; static */
};
typedef void identity_expiry_fn(void *arg, const struct identity_expiry *e);
/*
 * Everything of which the end is known, soon or not. Reads files and the vault (NULL: no logins): not on the
 * loop. What cannot be read is left out: others say so.
 */
void identity_expiry_each(
	const struct conf *conf, struct identity_vault *vault, identity_expiry_fn *each, void *arg);

/* "client-secret of contoso ends on 2027-03-01, in 23 days: make a new one ..." */
NODISCARD int identity_expiry_text(
	const struct identity_expiry *e, struct wall_time now, struct buf *out);
