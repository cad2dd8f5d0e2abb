/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/secret.h"
#include "conf/conf.h"

/*
 * The vault: secrets by name, sealed in one file (data_dir/vault) with libsodium. The key comes from a
 * file or a systemd credential. A change is durable when the call returns, and a crash leaves the old
 * or the new value. Commands and the daemon share it: every call takes a file lock and reads what another
 * has written. Any thread may call; put() and remove() wait for the disk.
 */
struct identity_vault;

enum {
	VAULT_NAME_MAX = 400,
	VAULT_VALUE_MAX = 65536,
	VAULT_ENTRIES_MAX = 20000,
};

/*
 * Opens, or with `make` makes, the vault of a configuration; key and file are checked. Without
 * `vault: { key }` RC_CONFIG, with a sentence that says how to begin. A wrong key is RC_CORRUPT.
 */
NODISCARD int identity_vault_open(
	const struct conf *c, bool make, struct identity_vault **out_vault, struct err *err);
/* The same from its parts. */
NODISCARD int identity_vault_open_at(struct sv data_dir, const struct conf_secret *key, bool make,
	struct identity_vault **out_vault, struct err *err);
void identity_vault_free(struct identity_vault *v);
DEFINE_CLEANUP(struct identity_vault, identity_vault_free);
/* The key of its text: 64 hexadecimal digits. RC_CONFIG. */
NODISCARD int identity_vault_key(
	const struct secret *text, struct secret **out_key, struct err *err);

/* RC_NOT_FOUND when there is none of that name. */
NODISCARD int identity_vault_get(
	struct identity_vault *v, struct sv name, struct secret **out_value, struct err *err);
NODISCARD int identity_vault_put(
	struct identity_vault *v, struct sv name, struct sv value, struct err *err);
NODISCARD int identity_vault_remove(struct identity_vault *v, struct sv name, struct err *err);
/* Names and days, never values. */
struct identity_vault_entry {
	struct sv name;
	struct wall_time changed_at;
	size_t bytes;
};
NODISCARD int identity_vault_each(struct identity_vault *v,
	void (*each)(void *arg, const struct identity_vault_entry *entry), void *arg,
	struct err *err);
/* Seals everything with another key (its text, as in the key file), atomically. Who has the vault open
 * with the old key must open it again. */
NODISCARD int identity_vault_rekey(
	struct identity_vault *v, const struct secret *new_key, struct err *err);
