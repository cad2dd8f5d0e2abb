/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/htable.h"
#include "base/secret.h"
#include "base/time.h"
#include "conf/conf.h"
#include "identity/vault.h"
#include "io/mutex.h"

#include <limits.h>
#include <sodium.h>
#include <sys/types.h>

/*
 * vault.c         what others ask: names, values, keys
 * vault_map.c     the secrets in memory, and how they follow the file
 * vault_file.c    locks, the file on disk, what a killed writer left
 * vault_header.c  the header: who the file is, and the keys that open it
 * vault_record.c  one record: sealed, opened
 * vault_old.c     format 1, which is only read
 *
 * The file (format 2) is a log of sealed records, so that a change is one short append and one fsync:
 *
 *   header    4096 bytes, twice, so that a damaged page costs neither:
 *               "postern-vault-2\n"  id[16]  generation u64le  keys u32le
 *               2 x { nonce[24]  sealed[64 + 16] }  sum[32]  zeros
 *             Each of the `keys` (1 or 2) seals the same 64 bytes: the key of the records and that of the
 *             name tags. `sum` is BLAKE2b of what stands before it: damage, as against a wrong key.
 *   records   { mark[8]  length u32le  number u64le  tag[8]  nonce[24]  proof[8]  ciphertext[length] } ...
 *             mark: the first bytes of the id, by which the next record is found after a damaged one
 *             tag: keyed BLAKE2b of the name: a damaged record tells whose it was, to who has the key
 *             proof: keyed BLAKE2b of the head before it: a length that can be relied on
 *             The ciphertext (XChaCha20-Poly1305) is bound to the id and the whole head, and numbers rise:
 *             records cannot be exchanged, repeated or moved into another vault.
 *   plain     kind u8, changed at i64le, length of the name u16le, name, value
 *
 * The id changes with each rewrite (to compact, for another key): it says which file this is. An inode's number
 * does not, it is given again. The file before a rewrite stays as `vault.1`.
 */
enum {
	VAULT_MAGIC_LEN = 16,
	VAULT_ID_LEN = 16,
	VAULT_KEY_LEN = crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
	VAULT_NONCE_LEN = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
	VAULT_SEAL_LEN = crypto_aead_xchacha20poly1305_ietf_ABYTES,
	VAULT_KEYS_MAX = 2,
	VAULT_INNER_LEN = 2 * VAULT_KEY_LEN, /* the key of the records, that of the tags */
	VAULT_SLOT_LEN = VAULT_NONCE_LEN + VAULT_INNER_LEN + VAULT_SEAL_LEN,
	VAULT_HEADER_LEN = 4096,
	VAULT_RECORDS_AT = 2 * VAULT_HEADER_LEN,
	VAULT_MARK_LEN = 8,
	VAULT_TAG_LEN = 8,
	VAULT_HEAD_LEN = VAULT_MARK_LEN + 4 + 8 + VAULT_TAG_LEN + VAULT_NONCE_LEN + 8,
	VAULT_PLAIN_HEAD = 1 + 8 + 2,
	VAULT_RECORD_MIN = VAULT_HEAD_LEN + VAULT_PLAIN_HEAD + VAULT_SEAL_LEN,
	VAULT_CIPHER_MAX = VAULT_PLAIN_HEAD + VAULT_NAME_MAX + VAULT_VALUE_MAX + VAULT_SEAL_LEN,
	VAULT_FILE_MAX = 1 << 28,
	VAULT_LOST_MAX = 1000, /* names of damaged records that are remembered */
};

/* ---- records ---- */

enum vault_record_kind {
	VAULT_RECORD_CHECK, /* format 1 only: record 0, which told a wrong key */
	VAULT_RECORD_PUT,
	VAULT_RECORD_REMOVE,
	VAULT_RECORD_LOST, /* what had this tag was damaged before a rewrite; without a name */
	VAULT_RECORD_KIND_COUNT,
};

struct vault_record {
	enum vault_record_kind kind;
	struct wall_time at;
	struct sv name, value;
	unsigned char tag[VAULT_TAG_LEN];
};

/* What seals records: of the file, not of the configuration. */
struct vault_seal {
	unsigned char id[VAULT_ID_LEN];
	const struct secret *inner; /* VAULT_INNER_LEN */
};

void vault_record_tag(const struct secret *inner, struct sv name, unsigned char out[VAULT_TAG_LEN]);
/* Appends the sealed record. */
NODISCARD int vault_record_seal(const struct vault_record *r, const struct vault_seal *seal,
	uint64_t number, struct buf *out);

/*
 * Opens the first record of `bytes`, whose number is at least `number`. *out_plain keeps what *out_record
 * looks at.
 *   0            *out_used, *out_number
 *   RC_LIMIT     the bytes are the beginning of a record and no more: its writer was killed
 *   -EBADMSG     the head is whole, the rest is not: *out_record has the tag, *out_number
 *   RC_CORRUPT   this is no record
 */
NODISCARD int vault_record_open(struct sv bytes, const struct vault_seal *seal, uint64_t number,
	struct secret **out_plain, struct vault_record *out_record, size_t *out_used,
	uint64_t *out_number);
/* The plain form; for the fuzz target too. RC_CORRUPT. */
NODISCARD int vault_record_parse(struct sv plain, struct vault_record *out_record);

/* Little-endian numbers of both formats. */
void vault_put_le(unsigned char *out, uint64_t value, size_t bytes);
NODISCARD uint64_t vault_get_le(const char *from, size_t bytes);

/* ---- format 1 ---- */

#define VAULT_OLD_MAGIC "postern-vault-1\n"
enum {
	VAULT_OLD_HEADER_LEN = VAULT_MAGIC_LEN + VAULT_ID_LEN,
	VAULT_OLD_HEAD_LEN = 4 + VAULT_NONCE_LEN, /* length u32le, nonce; then the ciphertext */
};
/* Like vault_record_open(); numbers are not in the file, so this one must be `number` itself. */
NODISCARD int vault_old_open(struct sv bytes, const unsigned char id[VAULT_ID_LEN], uint64_t number,
	const struct secret *key, struct secret **out_plain, struct vault_record *out_record,
	size_t *out_used);
/*
 * After a damaged record: where the next one begins in `bytes`, and its number. A bounded search, by the length
 * that the damaged one names and then byte by byte. False: there is none.
 */
NODISCARD bool vault_old_next(struct sv bytes, const unsigned char id[VAULT_ID_LEN],
	uint64_t number, const struct secret *key, size_t *out_at, uint64_t *out_number);

/* ---- the header ---- */

#define VAULT_MAGIC "postern-vault-2\n"

struct vault_header {
	unsigned char id[VAULT_ID_LEN];
	uint64_t generation;
	uint32_t keys;
	unsigned char slots[VAULT_KEYS_MAX][VAULT_SLOT_LEN];
};

/* Seals `inner` with one more key; the newest is the last. At most VAULT_KEYS_MAX. */
void vault_header_add_key(
	struct vault_header *h, const struct secret *inner, const struct secret *key);
/* Appends both copies. */
NODISCARD int vault_header_write(const struct vault_header *h, struct buf *out);
/* One copy. RC_CORRUPT. */
NODISCARD int vault_header_parse(struct sv bytes, struct vault_header *out);
/* RC_CORRUPT when `key` opens none of it. *out_newest: it is the last key. */
NODISCARD int vault_header_open(const struct vault_header *h, const struct secret *key,
	struct secret **out_inner, bool *out_newest);

/* ---- the vault ---- */

struct vault_entry {
	struct secret *value;
	struct wall_time changed_at;
	size_t record_bytes;
};

/* How much of the file is in memory, and of which file. */
struct vault_place {
	unsigned format; /* 0: nothing was read */
	struct vault_header header;
	bool copy_damaged;   /* one of the two headers */
	bool newest_key;     /* ours is the last of the header's keys */
	uint64_t read_bytes; /* up to here; what follows is the beginning of a record, or nothing */
	uint64_t seen_bytes; /* the size of the file then */
	uint64_t live_bytes;
	uint64_t number; /* at least that of the next record */
	uint64_t slack;  /* so many numbers may have been used by damaged records since */
	/* The last record that was read: while it stands there, so does all that stood before it. */
	uint64_t last_at;
	unsigned char last_head[VAULT_HEAD_LEN];
	size_t last_len; /* 0: none yet */
	uint64_t damaged_records, damaged_bytes;
};

struct identity_vault {
	struct io_mutex lock;
	char folder[PATH_MAX], path[PATH_MAX], before_path[PATH_MAX], lock_path[PATH_MAX];
	struct conf_secret source; /* our copy: where the key is */
	struct secret *key;        /* NULL: not read yet */
	struct secret *inner;      /* of the file that was read; NULL: none, or format 1 */
	struct htable entries;
	unsigned char lost[VAULT_LOST_MAX][VAULT_TAG_LEN];
	size_t lost_count;
	struct vault_place at;
};

/* ---- vault_map.c ---- */
void vault_map_forget(struct identity_vault *v);
/* Brings the map up to what other processes have written, under the file's lock. */
NODISCARD int vault_map_refresh(struct identity_vault *v, struct err *err);
/* From this file instead of `vault`, anew. */
NODISCARD int vault_map_read(struct identity_vault *v, const char *path, struct err *err);
void vault_map_apply(struct identity_vault *v, const struct vault_record *r, size_t record_bytes);
NODISCARD bool vault_map_is_lost(const struct identity_vault *v, struct sv name);
/* Appends a whole file with everything in the map: sealed by `inner`, which the keys of `h` open. */
NODISCARD int vault_map_write(const struct identity_vault *v, const struct secret *inner,
	const struct vault_header *h, struct buf *out);

/* ---- vault_file.c ---- */
NODISCARD int vault_file_lock(struct identity_vault *v, int how, int *out_fd, struct err *err);
NODISCARD int vault_file_make_folder(const struct identity_vault *v, struct err *err);
/* Under the exclusive lock: temporary files of killed rewrites go. */
void vault_file_sweep(const struct identity_vault *v);
/* What becomes of the file that is replaced. */
enum vault_keep {
	VAULT_KEEP_BEFORE,  /* it is vault.1 */
	VAULT_KEEP_DAMAGED, /* and stays under a name of its own, which comes in out_kept */
	VAULT_KEEP_NOTHING, /* it goes, and vault.1 as well: a key was given up */
};
NODISCARD int vault_file_replace(struct identity_vault *v, struct sv bytes, enum vault_keep keep,
	char out_kept[PATH_MAX], struct err *err);
/* One record at the end of what was read. Nothing else is ever cut off. */
NODISCARD int vault_file_append(struct identity_vault *v, struct sv record, struct err *err);
NODISCARD int vault_file_failed(int rc, const char *what, const char *path, struct err *err);
