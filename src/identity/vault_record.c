/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "identity/vault_priv.h"
#include "io/loop.h"

#include <errno.h>

enum {
	LENGTH_AT = VAULT_MARK_LEN,
	NUMBER_AT = LENGTH_AT + 4,
	TAG_AT = NUMBER_AT + 8,
	NONCE_AT = TAG_AT + VAULT_TAG_LEN,
	PROOF_AT = NONCE_AT + VAULT_NONCE_LEN,
	PROOF_LEN = VAULT_HEAD_LEN - PROOF_AT,
	BOUND_LEN = VAULT_ID_LEN + VAULT_HEAD_LEN,
	HASH_LEN = crypto_generichash_BYTES_MIN,
};
static_assert(PROOF_LEN == 8, "the head ends with its proof");

void vault_put_le(unsigned char *out, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		out[i] = (unsigned char)(value >> (8 * i));
}

uint64_t vault_get_le(const char *from, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value |= (uint64_t)(unsigned char)from[i] << (8 * i);
	return value;
}

static const unsigned char *seal_key(const struct secret *inner)
{
	return (const unsigned char *)secret_reveal(inner).ptr;
}

static void keyed_hash(const unsigned char key[VAULT_KEY_LEN], struct sv a, struct sv b,
	unsigned char out[HASH_LEN])
{
	crypto_generichash_state state;

	(void)crypto_generichash_init(&state, key, VAULT_KEY_LEN, HASH_LEN);
	(void)crypto_generichash_update(&state, (const unsigned char *)a.ptr, a.len);
	(void)crypto_generichash_update(&state, (const unsigned char *)b.ptr, b.len);
	(void)crypto_generichash_final(&state, out, HASH_LEN);
	secret_wipe(&state, sizeof(state));
}

void vault_record_tag(const struct secret *inner, struct sv name, unsigned char out[VAULT_TAG_LEN])
{
	unsigned char hash[HASH_LEN];

	keyed_hash(seal_key(inner) + VAULT_KEY_LEN, SV("name"), name, hash);
	memcpy(out, hash, VAULT_TAG_LEN);
}

static void head_proof(
	const struct vault_seal *seal, const unsigned char *head, unsigned char out[HASH_LEN])
{
	keyed_hash(seal_key(seal->inner) + VAULT_KEY_LEN,
		sv_make((const char *)seal->id, VAULT_ID_LEN),
		sv_make((const char *)head, PROOF_AT),
		out);
}

static void bind_to(
	const struct vault_seal *seal, const unsigned char *head, unsigned char out[BOUND_LEN])
{
	memcpy(out, seal->id, VAULT_ID_LEN);
	memcpy(out + VAULT_ID_LEN, head, VAULT_HEAD_LEN);
}

static void write_head(const struct vault_record *r, const struct vault_seal *seal, uint64_t number,
	size_t sealed_len, unsigned char *head)
{
	unsigned char hash[HASH_LEN];

	memcpy(head, seal->id, VAULT_MARK_LEN);
	vault_put_le(head + LENGTH_AT, sealed_len, 4);
	vault_put_le(head + NUMBER_AT, number, 8);
	if (r->kind == VAULT_RECORD_LOST)
		memcpy(head + TAG_AT, r->tag, VAULT_TAG_LEN);
	else
		vault_record_tag(seal->inner, r->name, head + TAG_AT);
	io_random(head + NONCE_AT, VAULT_NONCE_LEN);
	head_proof(seal, head, hash);
	memcpy(head + PROOF_AT, hash, PROOF_LEN);
}

int vault_record_seal(const struct vault_record *r, const struct vault_seal *seal, uint64_t number,
	struct buf *out)
{
	size_t plain_len = VAULT_PLAIN_HEAD + r->name.len + r->value.len;
	size_t sealed_len = plain_len + VAULT_SEAL_LEN;
	unsigned char bound[BOUND_LEN], *head, *plain;
	unsigned long long made;
	char *bytes;
	struct secret *held;
	int rc = buf_reserve(out, VAULT_HEAD_LEN + sealed_len);

	if (rc != 0)
		return rc;
	held = secret_alloc(plain_len, &bytes);
	plain = (unsigned char *)bytes;
	plain[0] = (unsigned char)r->kind;
	vault_put_le(plain + 1, (uint64_t)r->at.us, 8);
	vault_put_le(plain + 9, r->name.len, 2);
	if (r->name.len)
		memcpy(plain + VAULT_PLAIN_HEAD, r->name.ptr, r->name.len);
	if (r->value.len)
		memcpy(plain + VAULT_PLAIN_HEAD + r->name.len, r->value.ptr, r->value.len);
	head = (unsigned char *)buf_tail(out);
	write_head(r, seal, number, sealed_len, head);
	bind_to(seal, head, bound);
	must(crypto_aead_xchacha20poly1305_ietf_encrypt(head + VAULT_HEAD_LEN,
		     &made,
		     plain,
		     plain_len,
		     bound,
		     sizeof(bound),
		     NULL,
		     head + NONCE_AT,
		     seal_key(seal->inner)) == 0);
	must(made == sealed_len);
	buf_grew(out, VAULT_HEAD_LEN + sealed_len);
	secret_free(held);
	return 0;
}

int vault_record_parse(struct sv plain, struct vault_record *out_record)
{
	struct vault_record r = { 0 };
	size_t name_len;
	bool nameless;

	if (plain.len < VAULT_PLAIN_HEAD || (unsigned char)plain.ptr[0] >= VAULT_RECORD_KIND_COUNT)
		return RC_CORRUPT;
	r.kind = (enum vault_record_kind)plain.ptr[0];
	r.at.us = (int64_t)vault_get_le(plain.ptr + 1, 8);
	name_len = (size_t)vault_get_le(plain.ptr + 9, 2);
	nameless = r.kind == VAULT_RECORD_CHECK || r.kind == VAULT_RECORD_LOST;
	if (name_len > VAULT_NAME_MAX || plain.len - VAULT_PLAIN_HEAD < name_len ||
		(!nameless && name_len == 0))
		return RC_CORRUPT;
	r.name = sv_make(plain.ptr + VAULT_PLAIN_HEAD, name_len);
	r.value = sv_skip(plain, VAULT_PLAIN_HEAD + name_len);
	if (r.value.len > VAULT_VALUE_MAX || (r.kind != VAULT_RECORD_PUT && r.value.len))
		return RC_CORRUPT;
	*out_record = r;
	return 0;
}

/* A head that ends early: its beginning is that of a record, as far as it goes. */
static bool begins_record(struct sv bytes, const struct vault_seal *seal)
{
	size_t len = bytes.len < VAULT_MARK_LEN ? bytes.len : VAULT_MARK_LEN;

	return memcmp(bytes.ptr, seal->id, len) == 0;
}

static bool head_is_whole(struct sv bytes, const struct vault_seal *seal, uint64_t number,
	size_t *out_sealed_len, uint64_t *out_number)
{
	unsigned char hash[HASH_LEN];

	head_proof(seal, (const unsigned char *)bytes.ptr, hash);
	*out_sealed_len = (size_t)vault_get_le(bytes.ptr + LENGTH_AT, 4);
	*out_number = vault_get_le(bytes.ptr + NUMBER_AT, 8);
	return memcmp(hash, bytes.ptr + PROOF_AT, PROOF_LEN) == 0 && *out_number >= number &&
	       *out_sealed_len >= VAULT_PLAIN_HEAD + VAULT_SEAL_LEN &&
	       *out_sealed_len <= VAULT_CIPHER_MAX;
}

int vault_record_open(struct sv bytes, const struct vault_seal *seal, uint64_t number,
	struct secret **out_plain, struct vault_record *out_record, size_t *out_used,
	uint64_t *out_number)
{
	const unsigned char *head = (const unsigned char *)bytes.ptr;
	unsigned char bound[BOUND_LEN];
	struct vault_record r = { 0 };
	unsigned long long made;
	struct secret *plain;
	size_t sealed_len;
	char *out;
	int rc;

	if (bytes.len == 0 || !begins_record(bytes, seal))
		return RC_CORRUPT;
	if (bytes.len < VAULT_HEAD_LEN)
		return RC_LIMIT;
	if (!head_is_whole(bytes, seal, number, &sealed_len, out_number))
		return RC_CORRUPT;
	memcpy(out_record->tag, head + TAG_AT, VAULT_TAG_LEN);
	if (bytes.len - VAULT_HEAD_LEN < sealed_len)
		return RC_LIMIT;
	plain = secret_alloc(sealed_len - VAULT_SEAL_LEN, &out);
	bind_to(seal, head, bound);
	rc = crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *)out,
		&made,
		NULL,
		head + VAULT_HEAD_LEN,
		sealed_len,
		bound,
		sizeof(bound),
		head + NONCE_AT,
		seal_key(seal->inner));
	if (rc == 0)
		rc = vault_record_parse(secret_reveal(plain), &r);
	if (rc != 0) {
		secret_free(plain);
		return -EBADMSG;
	}
	memcpy(r.tag, head + TAG_AT, VAULT_TAG_LEN);
	*out_record = r;
	*out_plain = plain;
	*out_used = VAULT_HEAD_LEN + sealed_len;
	return 0;
}
