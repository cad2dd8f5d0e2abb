/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/time.h"

#include <sodium.h>

/*
 * vault.c         the map in memory, locks, the file on disk
 * vault_record.c  one record: sealed, opened
 *
 * The file is a log of sealed records, so that a change is one short append and one fsync, however
 * many secrets there are:
 *
 *   "postern-vault-1\n"  id[16]  { length u32le  nonce[24]  ciphertext[length] } ...
 *
 * Each record is sealed by itself (XChaCha20-Poly1305); the id and its number are authenticated with
 * it, so that records cannot be exchanged, repeated or moved into another vault. Record 0 holds
 * nothing: it tells a wrong key from a broken file. A last record that is cut short was never promised
 * to anybody and is dropped.
 */
enum {
	VAULT_MAGIC_LEN = 16,
	VAULT_ID_LEN = 16,
	VAULT_HEADER_LEN = VAULT_MAGIC_LEN + VAULT_ID_LEN,
	VAULT_RECORD_HEAD = 4 + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
	VAULT_RECORD_MAX = 16 + 400 + 65536 + crypto_aead_xchacha20poly1305_ietf_ABYTES,
	VAULT_KEY_LEN = crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
};
#define VAULT_MAGIC "postern-vault-1\n"

enum vault_record_kind {
	VAULT_RECORD_CHECK,
	VAULT_RECORD_PUT,
	VAULT_RECORD_REMOVE,
	VAULT_RECORD_KIND_COUNT,
};

struct vault_record {
	enum vault_record_kind kind;
	struct wall_time at;
	struct sv name, value;
};

/* Appends the sealed record. */
NODISCARD int vault_record_seal(const struct vault_record *r, const unsigned char id[VAULT_ID_LEN],
	uint64_t number, const struct secret *key, struct buf *out);

/*
 * Opens the first record of `bytes`. *out_plain keeps what *out_record looks at. Returns 0 with
 * *out_used, RC_LIMIT when `bytes` end before the record does, RC_CORRUPT when it cannot be opened.
 */
NODISCARD int vault_record_open(struct sv bytes, const unsigned char id[VAULT_ID_LEN],
	uint64_t number, const struct secret *key, struct secret **out_plain,
	struct vault_record *out_record, size_t *out_used);

/* The plain form; for the fuzz target too. RC_CORRUPT. */
NODISCARD int vault_record_parse(struct sv plain, struct vault_record *out_record);
