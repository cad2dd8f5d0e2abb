/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/vault_priv.h"

/*
 * Format 1 (until postern 1.0): "postern-vault-1\n" id[16] { length u32le nonce[24] ciphertext[length] } ...
 * Each record is sealed with the configured key itself and bound to the id and its number. Record 0 holds nothing.
 */
enum {
	NUMBER_LEN = 8,
	/* Of a search: numbers that a gap may have used, and bytes that are opened on trial. */
	AHEAD_MAX = 8,
	TRIAL_BYTES_MAX = 1 << 26,
};

static int read_length(struct sv bytes, size_t *out_len)
{
	if (bytes.len < VAULT_OLD_HEAD_LEN)
		return RC_LIMIT;
	*out_len = (size_t)vault_get_le(bytes.ptr, 4);
	if (*out_len < VAULT_PLAIN_HEAD + VAULT_SEAL_LEN || *out_len > VAULT_CIPHER_MAX)
		return RC_CORRUPT;
	return *out_len <= bytes.len - VAULT_OLD_HEAD_LEN ? 0 : RC_LIMIT;
}

int vault_old_open(struct sv bytes, const unsigned char id[VAULT_ID_LEN], uint64_t number,
	const struct secret *key, struct secret **out_plain, struct vault_record *out_record,
	size_t *out_used)
{
	unsigned char bound[VAULT_ID_LEN + NUMBER_LEN];
	const unsigned char *at = (const unsigned char *)bytes.ptr;
	unsigned long long made;
	struct secret *plain;
	size_t sealed_len = 0;
	char *out;
	int rc = read_length(bytes, &sealed_len);

	if (rc != 0)
		return rc;
	plain = secret_alloc(sealed_len - VAULT_SEAL_LEN, &out);
	memcpy(bound, id, VAULT_ID_LEN);
	vault_put_le(bound + VAULT_ID_LEN, number, NUMBER_LEN);
	rc = crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *)out,
		&made,
		NULL,
		at + VAULT_OLD_HEAD_LEN,
		sealed_len,
		bound,
		sizeof(bound),
		at + 4,
		(const unsigned char *)secret_reveal(key).ptr);
	if (rc == 0)
		rc = vault_record_parse(secret_reveal(plain), out_record);
	if (rc != 0) {
		secret_free(plain);
		return RC_CORRUPT;
	}
	*out_plain = plain;
	*out_used = VAULT_OLD_HEAD_LEN + sealed_len;
	return 0;
}

static bool opens(struct sv bytes, const unsigned char id[VAULT_ID_LEN], uint64_t number,
	const struct secret *key)
{
	struct secret *plain = NULL;
	struct vault_record r;
	size_t used;

	if (vault_old_open(bytes, id, number, key, &plain, &r, &used) != 0)
		return false;
	secret_free(plain);
	return true;
}

bool vault_old_next(struct sv bytes, const unsigned char id[VAULT_ID_LEN], uint64_t number,
	const struct secret *key, size_t *out_at, uint64_t *out_number)
{
	size_t budget = TRIAL_BYTES_MAX, len;

	if (read_length(bytes, &len) == 0 &&
		opens(sv_skip(bytes, VAULT_OLD_HEAD_LEN + len), id, number + 1, key)) {
		*out_at = VAULT_OLD_HEAD_LEN + len;
		*out_number = number + 1;
		return true;
	}
	for (size_t at = 1; at < bytes.len; at++) {
		if (read_length(sv_skip(bytes, at), &len) != 0)
			continue;
		for (uint64_t ahead = 1; ahead <= AHEAD_MAX && budget >= len; ahead++) {
			budget -= len;
			if (!opens(sv_skip(bytes, at), id, number + ahead, key))
				continue;
			*out_at = at;
			*out_number = number + ahead;
			return true;
		}
	}
	return false;
}
