/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "identity/vault_priv.h"
#include "io/loop.h"

enum {
	ID_AT = VAULT_MAGIC_LEN,
	GENERATION_AT = ID_AT + VAULT_ID_LEN,
	KEYS_AT = GENERATION_AT + 8,
	SLOTS_AT = KEYS_AT + 4,
	SUM_AT = SLOTS_AT + VAULT_KEYS_MAX * VAULT_SLOT_LEN,
	SUM_LEN = 32,
};
static_assert(SUM_AT + SUM_LEN <= VAULT_HEADER_LEN, "the header fits its page");

/* A slot stays valid in every generation, as a rewrite by one holder does not know the other's key. */
static const unsigned char slot_bound[] = VAULT_MAGIC;

static void sum_of(const unsigned char *bytes, unsigned char out[SUM_LEN])
{
	(void)crypto_generichash(out, SUM_LEN, bytes, SUM_AT, NULL, 0);
}

void vault_header_add_key(
	struct vault_header *h, const struct secret *inner, const struct secret *key)
{
	unsigned char *slot;
	unsigned long long made;

	must(h->keys < VAULT_KEYS_MAX);
	slot = h->slots[h->keys++];
	io_random(slot, VAULT_NONCE_LEN);
	must(crypto_aead_xchacha20poly1305_ietf_encrypt(slot + VAULT_NONCE_LEN,
		     &made,
		     (const unsigned char *)secret_reveal(inner).ptr,
		     VAULT_INNER_LEN,
		     slot_bound,
		     VAULT_MAGIC_LEN,
		     NULL,
		     slot,
		     (const unsigned char *)secret_reveal(key).ptr) == 0);
}

int vault_header_write(const struct vault_header *h, struct buf *out)
{
	unsigned char page[VAULT_HEADER_LEN] = { 0 };
	int rc = 0;

	memcpy(page, VAULT_MAGIC, VAULT_MAGIC_LEN);
	memcpy(page + ID_AT, h->id, VAULT_ID_LEN);
	vault_put_le(page + GENERATION_AT, h->generation, 8);
	vault_put_le(page + KEYS_AT, h->keys, 4);
	for (size_t i = 0; i < h->keys; i++)
		memcpy(page + SLOTS_AT + i * VAULT_SLOT_LEN, h->slots[i], VAULT_SLOT_LEN);
	sum_of(page, page + SUM_AT);
	for (int copy = 0; copy < 2 && rc == 0; copy++)
		rc = buf_append(out, sv_make((const char *)page, sizeof(page)));
	return rc;
}

int vault_header_parse(struct sv bytes, struct vault_header *out)
{
	const unsigned char *page = (const unsigned char *)bytes.ptr;
	struct vault_header h = { 0 };
	unsigned char sum[SUM_LEN];

	if (bytes.len < VAULT_HEADER_LEN || !sv_starts(bytes, SV(VAULT_MAGIC)))
		return RC_CORRUPT;
	sum_of(page, sum);
	if (memcmp(sum, page + SUM_AT, SUM_LEN) != 0)
		return RC_CORRUPT;
	memcpy(h.id, page + ID_AT, VAULT_ID_LEN);
	h.generation = vault_get_le(bytes.ptr + GENERATION_AT, 8);
	h.keys = (uint32_t)vault_get_le(bytes.ptr + KEYS_AT, 4);
	if (h.keys < 1 || h.keys > VAULT_KEYS_MAX)
		return RC_CORRUPT;
	memcpy(h.slots, page + SLOTS_AT, sizeof(h.slots));
	*out = h;
	return 0;
}

static bool opens(const unsigned char *slot, const struct secret *key, char *out)
{
	unsigned long long made;

	return crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *)out,
		       &made,
		       NULL,
		       slot + VAULT_NONCE_LEN,
		       VAULT_INNER_LEN + VAULT_SEAL_LEN,
		       slot_bound,
		       VAULT_MAGIC_LEN,
		       slot,
		       (const unsigned char *)secret_reveal(key).ptr) == 0;
}

int vault_header_open(const struct vault_header *h, const struct secret *key,
	struct secret **out_inner, bool *out_newest)
{
	char *bytes;
	struct secret *inner = secret_alloc(VAULT_INNER_LEN, &bytes);

	for (size_t i = h->keys; i-- > 0;) {
		if (!opens(h->slots[i], key, bytes))
			continue;
		*out_inner = inner;
		*out_newest = i + 1 == h->keys;
		return 0;
	}
	secret_free(inner);
	return RC_CORRUPT;
}
