/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/verify.h"

#include "authn/verify_priv.h"
#include "base/err.h"
#include "base/must.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>

struct authn_verify *authn_verify_new(void)
{
	struct authn_verify *v = xcalloc(1, sizeof(*v));

	v->fields = authn_fields_new();
	v->own_memo = authn_memo_new(AUTHN_VERIFY_QUESTIONS_MAX);
	return v;
}

void authn_verify_free(struct authn_verify *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->body_count; i++) {
		digest_deinit(&v->bodies[i]->digest);
		free(v->bodies[i]);
	}
	arc_free(v->chain);
	authn_memo_free(v->own_memo);
	authn_fields_free(v->fields);
	free(v);
}

/* ---- the message goes in ---- */

static bool body_fits(const struct body_hash *b, const struct authn_signature *s)
{
	return b->sha1 == (s->algorithm == AUTHN_RSA_SHA1) && b->body.canon == s->body_canon &&
	       b->body.max == (s->has_length ? s->length : UINT64_MAX);
}

static struct body_hash *body_of(const struct authn_verify *v, const struct authn_signature *s)
{
	for (size_t i = 0; i < v->body_count; i++)
		if (body_fits(v->bodies[i], s))
			return v->bodies[i];
	return NULL;
}

void verify_want_body(struct authn_verify *v, const struct authn_signature *s)
{
	struct body_hash *b;
	struct authn_sink sink;

	if (s->fault != AUTHN_REASON_GOOD || s->kind == AUTHN_ARC_SEAL || body_of(v, s))
		return;
	must(v->body_count < BODIES_MAX);
	b = xcalloc(1, sizeof(*b));
	b->sha1 = s->algorithm == AUTHN_RSA_SHA1;
	digest_init(&b->digest, s->algorithm);
	sink = digest_sink(&b->digest);
	authn_body_init(&b->body, s->body_canon, s->has_length ? s->length : UINT64_MAX, &sink);
	v->bodies[v->body_count++] = b;
}

static void header_is_complete(struct authn_verify *v)
{
	size_t count;
	const struct authn_field *list = authn_fields_list(v->fields, &count);

	for (size_t i = 0; i < count; i++) {
		if (!sv_eq_nocase(list[i].name, SV("DKIM-Signature")))
			continue;
		if (v->count == AUTHN_SIGNATURES_MAX) {
			v->more++;
			continue;
		}
		authn_signature_parse(
			AUTHN_DKIM, list[i].value, &v->signatures[v->count].signature);
		verify_want_body(v, &v->signatures[v->count].signature);
		v->signature_fields[v->count++] = &list[i];
	}
	arc_read(v);
	v->in_body = true;
}

static void feed_body(const struct authn_verify *v, struct sv bytes)
{
	for (size_t i = 0; i < v->body_count; i++)
		authn_body_feed(&v->bodies[i]->body, bytes);
}

int authn_verify_feed(struct authn_verify *v, struct sv bytes)
{
	must(!v->ended);
	if (v->rc == 0 && !v->in_body && bytes.len) {
		size_t used = 0;
		int rc = authn_fields_feed(v->fields, bytes, &used);

		v->rc = rc < 0 ? rc : 0;
		bytes = sv_skip(bytes, used);
		if (rc == 1)
			header_is_complete(v);
	}
	if (v->rc == 0 && v->in_body)
		feed_body(v, bytes);
	return v->rc;
}

int authn_verify_end(struct authn_verify *v, struct wall_time now)
{
	must(!v->ended);
	v->now = now;
	if (v->rc == 0 && !v->in_body) {
		v->rc = authn_fields_end(v->fields);
		if (v->rc == 0)
			header_is_complete(v);
	}
	for (size_t i = 0; i < v->body_count; i++) {
		authn_body_end(&v->bodies[i]->body);
		digest_end(&v->bodies[i]->digest);
	}
	v->ended = true;
	v->done = v->rc != 0;
	return v->rc;
}

void authn_verify_at(struct authn_verify *v, struct wall_time now)
{
	v->now = now;
}

/* ---- one signature ---- */

static void compare_body(const struct authn_verify *v, struct authn_checked *c)
{
	CLEANUP(buf_deinitp) struct buf told = BUF_INIT(LIMIT_HEADER);
	const struct body_hash *b = body_of(v, &c->signature);

	if (!b || authn_base64_decode(&told, c->signature.body_hash) != 0)
		return;
	c->body = sv_eq(buf_sv(&told), sv_make((const char *)b->digest.bytes, b->digest.len))
			  ? AUTHN_SAME
			  : AUTHN_CHANGED;
	if (!c->signature.has_length)
		return;
	if (b->body.total < c->signature.length)
		c->missing_bytes = c->signature.length - b->body.total;
	else
		c->unsigned_bytes = b->body.total - c->signature.length;
}

/* NULL: not known yet. */
static const struct authn_answer *ask_key(struct authn_verify *v, const struct authn_signature *s)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(LIMIT_HEADER);

	must(buf_append(&name, s->selector) == 0 && buf_append(&name, SV("._domainkey.")) == 0 &&
		buf_append(&name, s->domain) == 0);
	return authn_memo_look(v->memo, buf_sv(&name), AUTHN_TXT);
}

static bool rsa_verifies(
	EVP_PKEY *key, enum authn_algorithm algorithm, struct sv value, const struct digest *d)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool good =
		ctx && EVP_PKEY_verify_init(ctx) == 1 &&
		EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
		EVP_PKEY_CTX_set_signature_md(
			ctx, algorithm == AUTHN_RSA_SHA1 ? EVP_sha1() : EVP_sha256()) == 1 &&
		EVP_PKEY_verify(
			ctx, (const unsigned char *)value.ptr, value.len, d->bytes, d->len) == 1;

	EVP_PKEY_CTX_free(ctx);
	return good;
}

/* What is signed is the digest, not what it is of (RFC 8463 3). */
static bool ed25519_verifies(EVP_PKEY *key, struct sv value, const struct digest *d)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good =
		ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
		EVP_DigestVerify(
			ctx, (const unsigned char *)value.ptr, value.len, d->bytes, d->len) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

static void check_value(
	struct authn_checked *c, const struct authn_dkim_key *key, verify_hash_fn *hash, void *arg)
{
	CLEANUP(buf_deinitp) struct buf value = BUF_INIT(LIMIT_HEADER);
	const struct authn_signature *s = &c->signature;
	struct digest d;
	bool good;

	if (authn_base64_decode(&value, s->value) != 0)
		return;
	digest_init(&d, s->algorithm);
	hash(arg, s, &d);
	digest_end(&d);
	good = key->type == AUTHN_KEY_RSA
		       ? rsa_verifies(key->public_key, s->algorithm, buf_sv(&value), &d)
		       : ed25519_verifies(key->public_key, buf_sv(&value), &d);
	c->header = good ? AUTHN_SAME : AUTHN_CHANGED;
	digest_deinit(&d);
	ERR_clear_error();
}

/* AUTHN_REASON_GOOD: nothing is wrong with the key for this signature. */
static enum authn_reason key_reason(const struct authn_checked *c, const struct authn_answer *a,
	const struct authn_dkim_key *key)
{
	const struct authn_signature *s = &c->signature;
	bool rsa = s->algorithm != AUTHN_ED25519_SHA256;

	if (a->status == AUTHN_FAILURE)
		return AUTHN_REASON_KEY_UNKNOWN;
	/* It may have been among those that were not kept. */
	if (!c->has_record)
		return a->cut ? AUTHN_REASON_KEY_UNKNOWN : AUTHN_REASON_KEY_NONE;
	if (key->fault != AUTHN_KEY_GOOD)
		return AUTHN_REASON_KEY_RECORD;
	if (rsa != (key->type == AUTHN_KEY_RSA))
		return AUTHN_REASON_KEY_TYPE;
	if (s->algorithm == AUTHN_RSA_SHA1 ? !key->sha1 : !key->sha256)
		return AUTHN_REASON_KEY_HASH;
	if (key->strict && s->identity_below)
		return AUTHN_REASON_KEY_STRICT;
	return rsa && key->bits > AUTHN_KEY_BITS_MAX ? AUTHN_REASON_KEY_LONG : AUTHN_REASON_GOOD;
}

static enum authn_reason reason_of(
	const struct authn_verify *v, const struct authn_checked *c, enum authn_reason of_key)
{
	const struct authn_signature *s = &c->signature;
	int64_t now_s = v->now.us / (int64_t)US_PER_S;

	if (s->has_expiry && now_s > (int64_t)s->expiry_s)
		return AUTHN_REASON_EXPIRED;
	if (of_key != AUTHN_REASON_GOOD)
		return of_key;
	if (c->missing_bytes)
		return AUTHN_REASON_BODY_SHORT;
	if (c->body == AUTHN_CHANGED)
		return AUTHN_REASON_BODY;
	if (c->header != AUTHN_SAME)
		return AUTHN_REASON_HEADER;
	if (s->algorithm == AUTHN_RSA_SHA1)
		return AUTHN_REASON_SHA1;
	return s->algorithm == AUTHN_RSA_SHA256 && c->key_bits < AUTHN_KEY_BITS_MIN
		       ? AUTHN_REASON_KEY_SHORT
		       : AUTHN_REASON_GOOD;
}

bool verify_check(struct authn_verify *v, struct authn_checked *c, verify_hash_fn *hash, void *arg)
{
	const struct authn_answer *a;
	struct authn_dkim_key key = { 0 };
	enum authn_reason of_key;

	c->reason = c->signature.fault;
	if (c->reason != AUTHN_REASON_GOOD)
		return true;
	compare_body(v, c);
	a = ask_key(v, &c->signature);
	if (!a)
		return false;
	c->has_record = a->status == AUTHN_FOUND && authn_dkim_key_find(a, &key);
	c->key_fault = key.fault;
	c->key_bits = key.bits;
	c->key_testing = key.testing;
	of_key = key_reason(c, a, &key);
	/* Also with a key that does not count, when it can be: it tells whether the header was changed. */
	if (key.public_key && of_key != AUTHN_REASON_KEY_TYPE && of_key != AUTHN_REASON_KEY_LONG)
		check_value(c, &key, hash, arg);
	authn_dkim_key_deinit(&key);
	c->reason = reason_of(v, c, of_key);
	return true;
}

/* ---- all of them ---- */

struct own {
	const struct authn_fields *fields;
	const struct authn_field *field;
};

static void hash_dkim(void *arg, const struct authn_signature *s, struct digest *d)
{
	const struct own *own = arg;

	digest_fields(own->fields, own->field, s->names, s->header_canon, d);
	digest_own(own->field, s->value_whole, s->header_canon, d);
}

static bool check_dkim(
	struct authn_verify *v, const struct authn_field *field, struct authn_checked *c)
{
	struct own own = { v->fields, field };

	return verify_check(v, c, hash_dkim, &own);
}

bool authn_verify_check(struct authn_verify *v, struct authn_memo *memo)
{
	bool known = true;

	must(v->ended);
	v->memo = memo;
	for (size_t i = 0; !v->done && i < v->count; i++)
		known &= check_dkim(v, v->signature_fields[i], &v->signatures[i]);
	if (!v->done)
		v->done = arc_judge(v) && known;
	return v->done;
}

enum authn_next authn_verify_next(struct authn_verify *v, struct authn_question *out_question)
{
	must(v->ended);
	if (v->done)
		return AUTHN_DONE;
	if (authn_memo_next(v->own_memo, out_question))
		return AUTHN_ASK;
	if (authn_verify_check(v, v->own_memo))
		return AUTHN_DONE;
	/* What is not known yet has just been noted. */
	must(authn_memo_next(v->own_memo, out_question));
	return AUTHN_ASK;
}

void authn_verify_answer(struct authn_verify *v, const struct authn_question *question,
	const struct authn_answer *answer)
{
	authn_memo_answer(v->own_memo, question, answer);
}

const struct authn_checked *authn_verify_signatures(
	const struct authn_verify *v, size_t *out_count, size_t *out_more)
{
	*out_count = v->count;
	*out_more = v->more;
	return v->signatures;
}

const struct authn_arc *authn_verify_arc(const struct authn_verify *v)
{
	return &v->arc;
}

const struct authn_fields *authn_verify_fields(const struct authn_verify *v)
{
	return v->fields;
}

const char *authn_verdict_name(enum authn_reason reason)
{
	if (reason == AUTHN_REASON_GOOD)
		return "pass";
	if (reason == AUTHN_REASON_KEY_UNKNOWN)
		return "temperror";
	return reason >= AUTHN_REASON_BODY && reason <= AUTHN_REASON_HEADER ? "fail" : "permerror";
}
