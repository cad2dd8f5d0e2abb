/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "identity/vault.h"
#include "identity/vault_priv.h"

/* plain: kind u8, at i64le, length of name u16le, name, value */
enum {
	PLAIN_HEAD = 1 + 8 + 2,
	NUMBER_LEN = 8,
	TAG_LEN = crypto_aead_xchacha20poly1305_ietf_ABYTES,
};
static_assert(VAULT_RECORD_MAX >= PLAIN_HEAD + VAULT_NAME_MAX + VAULT_VALUE_MAX + TAG_LEN,
	"the largest record fits");

static void put_le(unsigned char *out, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		out[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get_le(const char *from, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value |= (uint64_t)(unsigned char)from[i] << (8 * i);
	return value;
}

static void bind_to(unsigned char out[VAULT_ID_LEN + NUMBER_LEN],
	const unsigned char id[VAULT_ID_LEN], uint64_t number)
{
	memcpy(out, id, VAULT_ID_LEN);
	put_le(out + VAULT_ID_LEN, number, NUMBER_LEN);
}

int vault_record_seal(const struct vault_record *r, const unsigned char id[VAULT_ID_LEN],
	uint64_t number, const struct secret *key, struct buf *out)
{
	size_t plain_len = PLAIN_HEAD + r->name.len + r->value.len;
	size_t sealed_len = plain_len + TAG_LEN;
	unsigned char bound[VAULT_ID_LEN + NUMBER_LEN], *at, *plain;
	unsigned long long made;
	char *bytes;
	struct secret *held;
	int rc = buf_reserve(out, VAULT_RECORD_HEAD + sealed_len);

	if (rc != 0)
		return rc;
	held = secret_alloc(plain_len, &bytes);
	plain = (unsigned char *)bytes;
	plain[0] = (unsigned char)r->kind;
	put_le(plain + 1, (uint64_t)r->at.us, 8);
	put_le(plain + 9, r->name.len, 2);
	if (r->name.len)
		memcpy(plain + PLAIN_HEAD, r->name.ptr, r->name.len);
	if (r->value.len)
		memcpy(plain + PLAIN_HEAD + r->name.len, r->value.ptr, r->value.len);
	at = (unsigned char *)buf_tail(out);
	put_le(at, sealed_len, 4);
	randombytes_buf(at + 4, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
	bind_to(bound, id, number);
	must(crypto_aead_xchacha20poly1305_ietf_encrypt(at + VAULT_RECORD_HEAD,
		     &made,
		     plain,
		     plain_len,
		     bound,
		     sizeof(bound),
		     NULL,
		     at + 4,
		     (const unsigned char *)secret_reveal(key).ptr) == 0);
	must(made == sealed_len);
	buf_grew(out, VAULT_RECORD_HEAD + sealed_len);
	secret_free(held);
	return 0;
}

int vault_record_parse(struct sv plain, struct vault_record *out_record)
{
	struct vault_record r = { 0 };
	size_t name_len;

	if (plain.len < PLAIN_HEAD || (unsigned char)plain.ptr[0] >= VAULT_RECORD_KIND_COUNT)
		return RC_CORRUPT;
	r.kind = (enum vault_record_kind)plain.ptr[0];
	r.at.us = (int64_t)get_le(plain.ptr + 1, 8);
	name_len = (size_t)get_le(plain.ptr + 9, 2);
	if (name_len > VAULT_NAME_MAX || plain.len - PLAIN_HEAD < name_len ||
		(r.kind != VAULT_RECORD_CHECK && name_len == 0))
		return RC_CORRUPT;
	r.name = sv_make(plain.ptr + PLAIN_HEAD, name_len);
	r.value = sv_skip(plain, PLAIN_HEAD + name_len);
	if (r.value.len > VAULT_VALUE_MAX || (r.kind != VAULT_RECORD_PUT && r.value.len))
		return RC_CORRUPT;
	*out_record = r;
	return 0;
}

int vault_record_open(struct sv bytes, const unsigned char id[VAULT_ID_LEN], uint64_t number,
	const struct secret *key, struct secret **out_plain, struct vault_record *out_record,
	size_t *out_used)
{
	unsigned char bound[VAULT_ID_LEN + NUMBER_LEN];
	const unsigned char *at = (const unsigned char *)bytes.ptr;
	unsigned long long made;
	struct secret *plain;
	size_t sealed_len;
	char *out;
	int rc;

	if (bytes.len < VAULT_RECORD_HEAD)
		return RC_LIMIT;
	sealed_len = (size_t)get_le(bytes.ptr, 4);
	if (sealed_len < PLAIN_HEAD + TAG_LEN || sealed_len > VAULT_RECORD_MAX)
		return RC_CORRUPT;
	if (bytes.len - VAULT_RECORD_HEAD < sealed_len)
		return RC_LIMIT;
	plain = secret_alloc(sealed_len - TAG_LEN, &out);
	bind_to(bound, id, number);
	rc = crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *)out,
		&made,
		NULL,
		at + VAULT_RECORD_HEAD,
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
	*out_used = VAULT_RECORD_HEAD + sealed_len;
	return 0;
}
