/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"
#include "conf/conf.h"
#include "io/worker.h"
#include "smtp/scram.h"

/*
 * The inbound users: their verifiers, loaded from the files that the configuration names, and password
 * checks in the worker pool, one at a time, so that logins cannot stop the loop.
 */
struct identity_users;

/*
 * Loads all verifiers of the snapshot; a file that cannot be used is an error with its place. `key_file` keeps
 * what made-up verifiers are made with, and is written when it is missing: their salts stay over a restart, as
 * real ones do. NULL: they last as long as this.
 */
NODISCARD struct identity_users *identity_users_new(
	const struct conf *c, struct io_workers *workers, const char *key_file, struct err *err);
void identity_users_unref(struct identity_users *u); /* running checks keep it alive */

/* For SCRAM: the verifier of `name`; for unknown names a stable made-up one (same salt each time), and
 * false. The proof of a made-up one never passes. */
bool identity_users_verifier(
	const struct identity_users *u, struct sv name, struct smtp_scram_verifier *out_verifier);

/* Has this user the same password in both? */
NODISCARD bool identity_users_same(
	const struct identity_users *a, const struct identity_users *b, struct sv name);

/*
 * `done` comes on the loop with ok or not. -EAGAIN: too many checks wait; answer 454 4.7.0. An unknown
 * name costs the same time. `password` is copied and wiped.
 *
 * Peers take turns: whoever has many passwords waiting has them checked between those of the others, not
 * before. `late`: so many turns behind the others, for a peer that has failed often.
 */
struct identity_ask {
	struct sv name, password;
	struct sv peer; /* who asks: any text that tells peers apart */
	uint32_t late;
};
typedef void identity_check_fn(void *arg, bool ok);
struct identity_check;
NODISCARD int identity_users_check(struct identity_users *u, const struct identity_ask *ask,
	identity_check_fn *done, void *arg, struct identity_check **out_check);
void identity_check_cancel(struct identity_check *c); /* `done` will not come */

/* May this user use this envelope sender? The null sender: always, for an authenticated user. */
NODISCARD bool identity_sender_allowed(const struct conf_user *user, struct sv sender);
