/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/dkim_sign.h"

#include "authn/verify_priv.h"
#include "base/err.h"
#include "base/must.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>

enum {
	FOLD_AT = 72,
	VALUE_MAX = 2048, /* bytes: an RSA key of 16384 bits, the longest that OpenSSL takes */
};

struct authn_sign {
	struct authn_sign_options options;
	struct authn_fields *fields;
	struct digest body_digest;
	struct authn_body body;
	bool in_body, rsa;
	int rc;
};

struct authn_sign *authn_sign_new(const struct authn_sign_options *options)
{
	struct authn_sign *s = xcalloc(1, sizeof(*s));
	struct authn_sink sink;

	s->options = *options;
	if (s->options.names.len == 0)
		s->options.names = SV(AUTHN_SIGN_NAMES);
	s->rsa = EVP_PKEY_get_base_id(options->key) == EVP_PKEY_RSA;
	s->fields = authn_fields_new();
	digest_init(&s->body_digest, AUTHN_RSA_SHA256);
	sink = digest_sink(&s->body_digest);
	authn_body_init(&s->body, options->body, UINT64_MAX, &sink);
	return s;
}

void authn_sign_free(struct authn_sign *s)
{
	if (!s)
		return;
	digest_deinit(&s->body_digest);
	authn_fields_free(s->fields);
	free(s);
}

int authn_sign_feed(struct authn_sign *s, struct sv bytes)
{
	if (s->rc == 0 && !s->in_body && bytes.len) {
		size_t used = 0;
		int rc = authn_fields_feed(s->fields, bytes, &used);

		s->rc = rc < 0 ? rc : 0;
		s->in_body = rc == 1;
		bytes = sv_skip(bytes, used);
	}
	if (s->rc == 0 && s->in_body)
		authn_body_feed(&s->body, bytes);
	return s->rc;
}

static int append_base64(struct buf *out, const unsigned char *bytes, size_t len)
{
	unsigned char text[4 * ((VALUE_MAX + 2) / 3) + 1];
	int n = EVP_EncodeBlock(text, bytes, (int)len);
	struct sv rest = sv_make((const char *)text, (size_t)n);

	while (rest.len) {
		if (buf_append(out, sv_head(rest, FOLD_AT)) != 0)
			return RC_LIMIT;
		rest = sv_skip(rest, FOLD_AT);
		if (rest.len && buf_append(out, SV("\r\n\t ")) != 0)
			return RC_LIMIT;
	}
	return 0;
}

static int append_names(struct buf *out, struct sv names)
{
	size_t column = 3;
	struct sv name;

	if (buf_append(out, SV("\r\n\th=")) != 0)
		return RC_LIMIT;
	for (bool first = true; authn_list_next(&names, &name); first = false) {
		bool fold = !first && column + name.len > FOLD_AT;

		column = fold ? 2 + name.len : column + name.len + 1;
		if ((!first && buf_append_char(out, ':') != 0) ||
			(fold && buf_append(out, SV("\r\n\t ")) != 0) || buf_append(out, name) != 0)
			return RC_LIMIT;
	}
	return buf_append_char(out, ';');
}

/* The field as far as "b=". */
static int append_field(const struct authn_sign *s, struct buf *out)
{
	static const char *const canon[] = { "simple", "relaxed" };
	const struct authn_sign_options *o = &s->options;
	int64_t now_s = o->now.us / (int64_t)US_PER_S;

	if (buf_printf(out,
		    "DKIM-Signature: v=1; a=%s; c=%s/%s;\r\n\td=%.*s; s=%.*s; t=%lld;",
		    s->rsa ? "rsa-sha256" : "ed25519-sha256",
		    canon[o->header],
		    canon[o->body],
		    SV_ARG(o->domain),
		    SV_ARG(o->selector),
		    (long long)now_s) != 0)
		return RC_LIMIT;
	if (o->valid_s &&
		buf_printf(out, " x=%lld;", (long long)now_s + (long long)o->valid_s) != 0)
		return RC_LIMIT;
	if (append_names(out, o->names) != 0 || buf_append(out, SV("\r\n\tbh=")) != 0 ||
		append_base64(out, s->body_digest.bytes, s->body_digest.len) != 0)
		return RC_LIMIT;
	return buf_append(out, SV(";\r\n\tb="));
}

static bool rsa_sign(EVP_PKEY *key, const struct digest *d, unsigned char *out, size_t *len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool good = ctx && EVP_PKEY_sign_init(ctx) == 1 &&
		    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
		    EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
		    EVP_PKEY_sign(ctx, out, len, d->bytes, d->len) == 1;

	EVP_PKEY_CTX_free(ctx);
	return good;
}

static bool ed25519_sign(EVP_PKEY *key, const struct digest *d, unsigned char *out, size_t *len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestSign(ctx, out, len, d->bytes, d->len) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

static int append_value(const struct authn_sign *s, const struct buf *field, struct buf *out)
{
	const struct authn_field own = { .whole = buf_sv(field) };
	unsigned char value[VALUE_MAX];
	size_t len = sizeof(value);
	struct digest d;
	bool good;

	digest_init(&d, AUTHN_RSA_SHA256);
	digest_fields(s->fields, NULL, s->options.names, s->options.header, &d);
	digest_own(&own, sv_skip(own.whole, own.whole.len), s->options.header, &d);
	digest_end(&d);
	good = s->rsa ? rsa_sign(s->options.key, &d, value, &len)
		      : ed25519_sign(s->options.key, &d, value, &len);
	digest_deinit(&d);
	ERR_clear_error();
	return good ? append_base64(out, value, len) : RC_STATE;
}

int authn_sign_end(struct authn_sign *s, struct buf *out)
{
	CLEANUP(buf_deinitp) struct buf field = BUF_INIT(LIMIT_HEADER);
	CLEANUP(buf_deinitp) struct buf value = BUF_INIT(LIMIT_HEADER);

	if (s->rc == 0 && !s->in_body)
		s->rc = authn_fields_end(s->fields);
	if (s->rc != 0)
		return s->rc;
	authn_body_end(&s->body);
	digest_end(&s->body_digest);
	s->rc = append_field(s, &field);
	if (s->rc == 0)
		s->rc = append_value(s, &field, &value);
	if (s->rc != 0)
		return s->rc;
	if (buf_room(out) < field.len + value.len + 2)
		return RC_LIMIT;
	must(buf_append(out, buf_sv(&field)) == 0 && buf_append(out, buf_sv(&value)) == 0 &&
		buf_append(out, SV("\r\n")) == 0);
	return 0;
}
