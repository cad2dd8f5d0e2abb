/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/jwt.h"

#include "base/err.h"
#include "base/must.h"
#include "base/text.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>

int sandbox_base64url(struct buf *out, struct sv bytes)
{
	CLEANUP(buf_deinitp) struct buf plain = BUF_INIT(bytes.len * 2 + 8);
	struct sv text;
	int rc = text_base64_encode(&plain, bytes);

	must(rc == 0);
	text = buf_sv(&plain);
	while (text.len && text.ptr[text.len - 1] == '=')
		text.len--;
	for (size_t i = 0; rc == 0 && i < text.len; i++) {
		char c = text.ptr[i];

		rc = buf_append_char(out, c == '+' ? '-' : c == '/' ? '_' : c);
	}
	return rc;
}

int sandbox_base64url_decode(struct buf *out, struct sv text)
{
	CLEANUP(buf_deinitp) struct buf plain = BUF_INIT(text.len + 4);
	CLEANUP(buf_deinitp) struct buf bytes = BUF_INIT(text.len + 4);
	CLEANUP(buf_deinitp) struct buf again = BUF_INIT(text.len + 4);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '+' || c == '/' || c == '=')
			return RC_PARSE;
		rc = buf_append_char(&plain, c == '-' ? '+' : c == '_' ? '/' : c);
	}
	while (rc == 0 && plain.len % 4 != 0 && plain.len % 4 != 1)
		rc = buf_append_char(&plain, '=');
	if (rc == 0)
		rc = text_base64_decode(&bytes, buf_sv(&plain));
	/* Bits behind the last byte must be zero (RFC 4648 3.5): one token, one text. */
	if (rc == 0)
		rc = sandbox_base64url(&again, buf_sv(&bytes));
	if (rc == 0 && !sv_eq(buf_sv(&again), text))
		rc = RC_PARSE;
	return rc == 0 ? buf_append(out, buf_sv(&bytes)) : rc;
}

static json_t *decode_object(struct sv part)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SANDBOX_JWT_MAX);
	json_t *value;

	if (sandbox_base64url_decode(&text, part) != 0 || text.len == 0)
		return NULL;
	value = json_loadb(buf_sv(&text).ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(value))
		return value;
	json_decref(value);
	return NULL;
}

int sandbox_jwt_parse(struct sv text, struct sandbox_jwt *out_jwt)
{
	CLEANUP(buf_deinitp) struct buf signature = BUF_INIT(SANDBOX_JWT_SIGNATURE_MAX);
	struct sv rest = text, header, claims;
	struct sandbox_jwt j = { 0 };

	if (text.len > SANDBOX_JWT_MAX || !sv_cut_char(&rest, '.', &header) ||
		!sv_cut_char(&rest, '.', &claims) || sv_find_char(rest, '.') >= 0)
		return RC_PARSE;
	if (sandbox_base64url_decode(&signature, rest) != 0)
		return RC_PARSE;
	j.header = decode_object(header);
	j.claims = j.header ? decode_object(claims) : NULL;
	if (!j.claims) {
		sandbox_jwt_deinit(&j);
		return RC_PARSE;
	}
	j.signed_part = sv_head(text, header.len + 1 + claims.len);
	j.signature_len = signature.len;
	if (signature.len)
		memcpy(j.signature, buf_sv(&signature).ptr, signature.len);
	*out_jwt = j;
	return 0;
}

void sandbox_jwt_deinit(struct sandbox_jwt *j)
{
	json_decref(j->header);
	json_decref(j->claims);
	*j = (struct sandbox_jwt){ 0 };
}

bool sandbox_jwt_verify(const struct sandbox_jwt *j, EVP_PKEY *key)
{
	struct sv alg = sandbox_jwt_text(j->header, "alg");
	bool pss = sv_eq(alg, SV("PS256"));
	EVP_MD_CTX *md;
	EVP_PKEY_CTX *ctx;
	bool ok;

	if ((!pss && !sv_eq(alg, SV("RS256"))) || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
		return false;
	md = EVP_MD_CTX_new();
	must(md != NULL);
	ok = EVP_DigestVerifyInit(md, &ctx, EVP_sha256(), NULL, key) == 1;
	if (ok && pss)
		ok = EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
	ok = ok && EVP_DigestVerify(md,
			   (const unsigned char *)j->signature,
			   j->signature_len,
			   (const unsigned char *)j->signed_part.ptr,
			   j->signed_part.len) == 1;
	EVP_MD_CTX_free(md);
	return ok;
}

static int append_object(struct buf *out, const json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT);
	int rc;

	must(text != NULL);
	rc = sandbox_base64url(out, sv_from(text));
	free(text);
	return rc;
}

int sandbox_jwt_sign(struct buf *out, const json_t *header, const json_t *claims, EVP_PKEY *key)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SANDBOX_JWT_MAX);
	unsigned char signature[SANDBOX_JWT_SIGNATURE_MAX];
	size_t len = sizeof(signature);
	EVP_MD_CTX *md;
	int rc = append_object(&text, header);

	if (rc == 0)
		rc = buf_append_char(&text, '.');
	if (rc == 0)
		rc = append_object(&text, claims);
	if (rc != 0)
		return rc;
	md = EVP_MD_CTX_new();
	must(md != NULL);
	must(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) == 1);
	must(EVP_DigestSign(
		     md, signature, &len, (const unsigned char *)buf_sv(&text).ptr, text.len) == 1);
	EVP_MD_CTX_free(md);
	rc = buf_append_char(&text, '.');
	if (rc == 0)
		rc = sandbox_base64url(&text, sv_make((const char *)signature, len));
	return rc == 0 ? buf_append(out, buf_sv(&text)) : rc;
}

struct sv sandbox_jwt_text(const json_t *claims, const char *name)
{
	const json_t *value = json_object_get(claims, name);

	return json_is_string(value) ? sv_make(json_string_value(value), json_string_length(value))
				     : SV("");
}

uint64_t sandbox_jwt_number(const json_t *claims, const char *name)
{
	const json_t *value = json_object_get(claims, name);

	return json_is_integer(value) && json_integer_value(value) > 0
		       ? (uint64_t)json_integer_value(value)
		       : 0;
}
