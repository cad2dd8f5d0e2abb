/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/dkim_key.h"

#include "authn/tags.h"
#include "base/err.h"
#include "base/must.h"
#include "mail/mime.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

enum {
	ED25519_BYTES = 32,
};

int authn_base64_decode(struct buf *out, struct sv text)
{
	struct mime_decoder d = { .encoding = MIME_BASE64 };
	size_t before = out->len, letters = 0, pads = 0;
	uint64_t count = 0;

	/* Whole groups of four. Who cut a key or a signature off left no whole one, most of the time. */
	for (size_t i = 0; i < text.len; i++) {
		letters += !authn_is_blank(text.ptr[i]);
		pads += text.ptr[i] == '=';
	}
	if (letters == 0 || letters % 4 != 0 || pads > 2)
		return RC_PARSE;
	if (mime_decode(&d, text, out, &count) != 0 || mime_decode_end(&d, out, &count) != 0) {
		out->len = before;
		return RC_LIMIT;
	}
	if (!d.broken)
		return 0;
	out->len = before;
	return RC_PARSE;
}

static EVP_PKEY *read_rsa(struct sv der, bool *out_bare)
{
	const unsigned char *at = (const unsigned char *)der.ptr;
	const unsigned char *end = at + der.len;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)der.len);

	if (!key) {
		at = (const unsigned char *)der.ptr;
		key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, (long)der.len);
		*out_bare = key != NULL;
	}
	ERR_clear_error();
	if (key && (at != end || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)) {
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

static enum authn_key_fault read_public_key(struct sv text, struct authn_dkim_key *out)
{
	CLEANUP(buf_deinitp) struct buf der = BUF_INIT(LIMIT_DNS_TEXT);

	if (authn_base64_decode(&der, text) != 0)
		return AUTHN_KEY_BASE64;
	if (out->type == AUTHN_KEY_RSA) {
		out->public_key = read_rsa(buf_sv(&der), &out->bare);
	} else if (der.len == ED25519_BYTES) {
		out->public_key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519,
			NULL,
			(const unsigned char *)buf_sv(&der).ptr,
			ED25519_BYTES);
		ERR_clear_error();
	}
	if (!out->public_key)
		return AUTHN_KEY_DATA;
	out->bits = out->type == AUTHN_KEY_RSA ? (unsigned)EVP_PKEY_get_bits(out->public_key)
					       : 8 * ED25519_BYTES;
	return AUTHN_KEY_GOOD;
}

/* What says how the key may be used; before the key itself, so that it is known of a revoked one, too. */
static void read_uses(const struct authn_tags *tags, struct authn_dkim_key *out)
{
	struct sv value;
	bool given = authn_tags_get(tags, SV("h"), &value);

	out->sha256 = !given || authn_list_has(value, SV("sha256"));
	out->sha1 = !given || authn_list_has(value, SV("sha1"));
	(void)authn_tags_get(tags, SV("t"), &value);
	out->testing = authn_list_has(value, SV("y"));
	out->strict = authn_list_has(value, SV("s"));
	(void)authn_tags_get(tags, SV("n"), &out->note);
}

static enum authn_key_fault read_type(const struct authn_tags *tags, struct authn_dkim_key *out)
{
	struct sv value;

	if (!authn_tags_get(tags, SV("k"), &value) || sv_eq_nocase(value, SV("rsa")))
		out->type = AUTHN_KEY_RSA;
	else if (sv_eq_nocase(value, SV("ed25519")))
		out->type = AUTHN_KEY_ED25519;
	else
		return AUTHN_KEY_TYPE;
	return AUTHN_KEY_GOOD;
}

static enum authn_key_fault read_record(struct sv record, struct authn_dkim_key *out)
{
	struct authn_tags tags;
	enum authn_key_fault fault;
	struct sv value;

	if (authn_tags_parse(record, &tags) != 0)
		return AUTHN_KEY_SYNTAX;
	if (authn_tags_get(&tags, SV("v"), &value) &&
		(!sv_eq(value, SV("DKIM1")) || !sv_eq(tags.tags[0].name, SV("v"))))
		return AUTHN_KEY_VERSION;
	read_uses(&tags, out);
	fault = read_type(&tags, out);
	if (fault != AUTHN_KEY_GOOD)
		return fault;
	if (!authn_tags_get(&tags, SV("p"), &value))
		return AUTHN_KEY_ABSENT;
	if (value.len == 0)
		return AUTHN_KEY_REVOKED;
	fault = read_public_key(value, out);
	if (fault != AUTHN_KEY_GOOD)
		return fault;
	if (authn_tags_get(&tags, SV("s"), &value) && !authn_list_has(value, SV("*")) &&
		!authn_list_has(value, SV("email")))
		return AUTHN_KEY_SERVICE;
	return out->sha256 || out->sha1 ? AUTHN_KEY_GOOD : AUTHN_KEY_HASHES;
}

void authn_dkim_key_parse(struct sv record, struct authn_dkim_key *out_key)
{
	*out_key = (struct authn_dkim_key){ 0 };
	out_key->fault = read_record(record, out_key);
}

void authn_dkim_key_deinit(struct authn_dkim_key *key)
{
	EVP_PKEY_free(key->public_key);
	*key = (struct authn_dkim_key){ 0 };
}

bool authn_dkim_key_find(const struct authn_answer *a, struct authn_dkim_key *out_key)
{
	*out_key = (struct authn_dkim_key){ 0 };
	for (size_t i = 0; i < a->count; i++) {
		struct authn_dkim_key key;

		authn_dkim_key_parse(a->records[i].data, &key);
		if (i > 0 && key.fault != AUTHN_KEY_GOOD) {
			authn_dkim_key_deinit(&key);
			continue;
		}
		if (i > 0)
			authn_dkim_key_deinit(out_key);
		*out_key = key;
		if (key.fault == AUTHN_KEY_GOOD)
			break;
	}
	return a->count > 0;
}

const char *authn_key_fault_text(enum authn_key_fault fault)
{
	static const char *const texts[] = {
		[AUTHN_KEY_GOOD] = "is in order",
		[AUTHN_KEY_SYNTAX] = "is not a list of tags (\"k=rsa; p=...\"), or has a tag twice",
		[AUTHN_KEY_VERSION] =
			"has another version than v=DKIM1, or v= is not its first tag",
		[AUTHN_KEY_TYPE] = "has a type (k=) that is neither rsa nor ed25519",
		[AUTHN_KEY_ABSENT] = "has no key (p=)",
		[AUTHN_KEY_REVOKED] = "is revoked: p= is empty",
		[AUTHN_KEY_BASE64] = "is damaged: p= is not base64; it may be cut off",
		[AUTHN_KEY_DATA] = "is damaged: p= holds no key of the type that k= names",
		[AUTHN_KEY_SERVICE] = "is not for mail: s= names other services",
		[AUTHN_KEY_HASHES] = "allows no known hash: h= has neither sha256 nor sha1",
	};

	static_assert(COUNT_OF(texts) == AUTHN_KEY_FAULT_COUNT, "a text for each");
	return texts[fault];
}
