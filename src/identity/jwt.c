/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/jwt.h"

#include "base/must.h"
#include "base/text.h"
#include "identity/encode.h"
#include "identity/jwt_priv.h"

#include <jansson.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Entra takes assertions whose exp is at most ten minutes behind nbf. The first minute lies in the past, so
 * that a clock that runs ahead a little does no harm.
 */
enum {
	BACK_S = 60,
	LIFE_S = 600,
	TEXT_MAX = 16384, /* header and claims: URLs, ids, an address */
	CLAIMS_MAX = 32768,
};

/* ---- signing ---- */

static int put_member(struct buf *out, const char *name, struct sv value)
{
	int rc = buf_append_char(out, out->len ? ',' : '{');

	if (rc == 0)
		rc = text_json_string(out, sv_from(name));
	if (rc == 0)
		rc = buf_append_char(out, ':');
	if (rc == 0)
		rc = text_json_string(out, value);
	return rc;
}

static int put_header(
	struct buf *out, const struct identity_jwt_key *k, const struct identity_jwt_order *order)
{
	bool pss = order->form == CONF_JWT_PS256;
	int rc = put_member(out, "alg", pss ? SV("PS256") : SV("RS256"));

	if (rc == 0)
		rc = put_member(out, "typ", SV("JWT"));
	if (rc == 0 && k->has_certificate)
		rc = pss ? put_member(out, "x5t#S256", sv_from(k->x5t_s256))
			 : put_member(out, "x5t", sv_from(k->x5t));
	if (rc == 0 && order->key_id.len)
		rc = put_member(out, "kid", order->key_id);
	return rc == 0 ? buf_append_char(out, '}') : rc;
}

static int put_claims(struct buf *out, const struct identity_jwt_order *order)
{
	long long now = (long long)(order->now.us / (int64_t)US_PER_S);
	char id[IDENTITY_GUID_MAX];
	int rc;

	identity_guid_random(id);
	rc = put_member(out, "aud", order->audience);
	if (rc == 0)
		rc = put_member(out, "iss", order->issuer);
	if (rc == 0)
		rc = put_member(out, "sub", order->subject);
	if (rc == 0)
		rc = put_member(out, "jti", sv_from(id));
	if (rc == 0 && order->scope.len)
		rc = put_member(out, "scope", order->scope);
	if (rc == 0)
		rc = buf_printf(out,
			",\"nbf\":%lld,\"iat\":%lld,\"exp\":%lld}",
			now - BACK_S,
			now - BACK_S,
			now - BACK_S + LIFE_S);
	return rc;
}

static int sign_text(const struct identity_jwt_key *k, enum conf_jwt form, struct sv text,
	unsigned char *out, size_t *len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *params = NULL;
	bool ok;

	must(ctx != NULL);
	ok = EVP_DigestSignInit(ctx, &params, EVP_sha256(), NULL, k->key) == 1;
	if (ok && form == CONF_JWT_PS256)
		ok = EVP_PKEY_CTX_set_rsa_padding(params, RSA_PKCS1_PSS_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_rsa_pss_saltlen(params, RSA_PSS_SALTLEN_DIGEST) == 1;
	if (ok)
		ok = EVP_DigestSign(ctx, out, len, (const unsigned char *)text.ptr, text.len) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok ? 0 : RC_CONFIG;
}

int identity_jwt_sign(const struct identity_jwt_key *k, const struct identity_jwt_order *order,
	struct secret **out_assertion, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf header = BUF_INIT(TEXT_MAX), claims = BUF_INIT(TEXT_MAX);
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(4 * TEXT_MAX);
	size_t len = (size_t)EVP_PKEY_get_size(k->key);
	unsigned char *signature = xmalloc(len);
	int rc = put_header(&header, k, order);

	if (rc == 0)
		rc = put_claims(&claims, order);
	/* Room for all at once, so that no copy is left behind. */
	if (rc == 0)
		rc = buf_reserve(&text, 3 * TEXT_MAX);
	if (rc == 0)
		rc = identity_base64url_encode(&text, buf_sv(&header));
	if (rc == 0)
		rc = buf_append_char(&text, '.');
	if (rc == 0)
		rc = identity_base64url_encode(&text, buf_sv(&claims));
	if (rc == 0)
		rc = sign_text(k, order->form, buf_sv(&text), signature, &len);
	if (rc == 0)
		rc = buf_append_char(&text, '.');
	if (rc == 0)
		rc = identity_base64url_encode(&text, sv_make((const char *)signature, len));
	if (rc == 0) {
		*out_assertion = secret_new(buf_sv(&text));
		secret_wipe(buf_tail(&text) - text.len, text.len);
	}
	secret_wipe(signature, (size_t)EVP_PKEY_get_size(k->key));
	free(signature);
	if (rc == 0)
		return 0;
	return err_set(err, rc, "the assertion of the app could not be signed: %s", rc_text(rc));
}

/* ---- reading ---- */

static void copy_claim(const json_t *claims, const char *name, char *out, size_t size)
{
	const char *text = json_string_value(json_object_get(claims, name));
	struct sv v = sv_from(text);

	if (v.len == 0 || v.len >= size || out[0])
		return;
	for (size_t i = 0; i < v.len; i++)
		if ((v.ptr[i] >= 0 && v.ptr[i] <= ' ') || v.ptr[i] == 0x7f)
			return;
	memcpy(out, v.ptr, v.len + 1);
}

json_t *identity_jwt_body(struct sv token)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(CLAIMS_MAX);
	struct sv header, body;
	json_t *root;

	if (!sv_cut_char(&token, '.', &header) || !sv_cut_char(&token, '.', &body) ||
		identity_base64url_decode(&text, body) != 0)
		return NULL;
	root = json_loadb(
		text.len ? buf_sv(&text).ptr : "", text.len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(root)) {
		json_decref(root);
		return NULL;
	}
	return root;
}

int identity_jwt_claims_read(struct sv token, struct identity_jwt_claims *out_claims)
{
	struct identity_jwt_claims claims = { 0 };
	json_t *root = identity_jwt_body(token);

	if (!root)
		return RC_PARSE;
	copy_claim(root, "upn", claims.user, sizeof(claims.user));
	copy_claim(root, "preferred_username", claims.user, sizeof(claims.user));
	copy_claim(root, "unique_name", claims.user, sizeof(claims.user));
	copy_claim(root, "email", claims.user, sizeof(claims.user));
	copy_claim(root, "tid", claims.tenant, sizeof(claims.tenant));
	json_decref(root);
	*out_claims = claims;
	return 0;
}
