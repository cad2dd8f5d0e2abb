/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/secret.h"
#include "conf/conf.h"

#include <limits.h>

/*
 * The vault: secrets by name, sealed in one file (data_dir/vault) with libsodium. The key comes from a
 * file or a systemd credential. A change is durable when the call returns, and a crash leaves the old
 * or the new value. Commands and the daemon share it: every call takes a file lock and reads what another
 * has written. A damaged record costs its own secret and no other. Any thread may call; put() and remove() wait
 * for the disk.
 */
struct identity_vault;

enum {
	VAULT_NAME_MAX = 400,
	VAULT_VALUE_MAX = 65536,
	VAULT_ENTRIES_MAX = 20000,
};

/*
 * Opens, or with `make` makes, the vault of a configuration; key and file are checked, and a file of format 1
 * becomes one of today's. Without `vault: { key }` RC_CONFIG, with a sentence that says how to begin. A wrong key
 * is RC_CORRUPT, a file whose header cannot be read -EUCLEAN.
 */
NODISCARD int identity_vault_open(
	const struct conf *c, bool make, struct identity_vault **out_vault, struct err *err);
/* The same from its parts. */
NODISCARD int identity_vault_open_at(struct sv data_dir, const struct conf_secret *key, bool make,
	struct identity_vault **out_vault, struct err *err);
/*
 * For the daemon, which serves what needs no vault: *out_vault is there even when the call fails, and each later
 * use tries again. NULL: none is configured, or data_dir is too long.
 */
NODISCARD int identity_vault_open_later(
	const struct conf *c, struct identity_vault **out_vault, struct err *err);
void identity_vault_free(struct identity_vault *v);
DEFINE_CLEANUP(struct identity_vault, identity_vault_free);
/* The key of its text: 64 hexadecimal digits. RC_CONFIG. */
NODISCARD int identity_vault_key(
	const struct secret *text, struct secret **out_key, struct err *err);

/*
 * RC_NOT_FOUND when there is none of that name, -EBADMSG when its record is damaged, -ENOKEY when the vault does not
 * open, whatever the reason: the words say it. Every reader of secrets by reference hands these on.
 */
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
/*
 * Seals everything with another key (its text, as in the key file), atomically. Both keys open the vault from now
 * on, so that no moment is without one, until settle() finds the new one where the configuration says.
 */
NODISCARD int identity_vault_rekey(
	struct identity_vault *v, const struct secret *new_key, struct err *err);
/* After a start and a reload: reads the key again; if it is the newest, the others open nothing any more. */
NODISCARD int identity_vault_settle(struct identity_vault *v, struct err *err);

/* ---- for `postern doctor` ---- */

struct identity_vault_health {
	unsigned format; /* 0: there is no file */
	uint64_t generation;
	size_t secrets;
	size_t lost; /* names whose newest record was damaged */
	uint64_t damaged_records, damaged_bytes;
	bool header_damaged; /* one of its two copies */
	bool two_keys;       /* `rekey` waits for its new key */
	bool new_key;        /* of two, the configured one is the new one */
};
NODISCARD int identity_vault_look(
	struct identity_vault *v, struct identity_vault_health *out, struct err *err);
/*
 * Writes the file anew from what can be read of it; without a header that can be read, from vault.1, and without
 * that one an empty vault. What was there stays under the name that comes in out_kept (empty: nothing was).
 */
NODISCARD int identity_vault_repair(
	struct identity_vault *v, char out_kept[PATH_MAX], struct err *err);
