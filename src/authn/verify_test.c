/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/verify.h"

#include "authn/dkim_sign.h"
#include "authn/test_signed.h"
#include "authn/test_zone.h"
#include "base/err.h"
#include "base/must.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "cmocka_all.h"

static const struct wall_time now = { INT64_C(1796032800) * (int64_t)US_PER_S };

static struct authn_verify *verify_at(
	struct sv text, struct zone *z, size_t step, struct wall_time at)
{
	struct authn_verify *v = authn_verify_new();
	struct authn_question q;

	for (; text.len; text = sv_skip(text, step))
		assert_int_equal(authn_verify_feed(v, sv_head(text, step)), 0);
	assert_int_equal(authn_verify_end(v, at), 0);
	while (authn_verify_next(v, &q) == AUTHN_ASK)
		authn_verify_answer(v, &q, zone_ask(z, &q));
	return v;
}

static struct authn_verify *verify(struct sv text, struct zone *z, size_t step)
{
	return verify_at(text, z, step, now);
}

/* `text` with the first `from` in it as `to`. */
static struct sv change(struct buf *out, struct sv text, const char *from, const char *to)
{
	ptrdiff_t at = sv_find(text, sv_from(from));

	buf_reset(out);
	if (at < 0)
		fail_msg("there is no \"%s\"", from);
	must(buf_append(out, sv_head(text, (size_t)at)) == 0 && buf_append(out, sv_from(to)) == 0 &&
		buf_append(out, sv_skip(text, (size_t)at + strlen(from))) == 0);
	return buf_sv(out);
}

static const struct authn_checked *only(const struct authn_verify *v)
{
	size_t count, more;
	const struct authn_checked *c = authn_verify_signatures(v, &count, &more);

	assert_int_equal(count, 1);
	assert_int_equal(more, 0);
	return c;
}

/* ---- DKIM ---- */

#define RFC8463 RFC8463_SIGNATURE RFC8463_HEADER "\r\n" RFC8463_BODY
static const struct zone_row rfc8463_rows[] = { { RFC8463_NAME, AUTHN_TXT, RFC8463_KEY } };

static void the_message_of_the_rfc(void **state)
{
	(void)state;
	for (size_t step = 1; step < 600; step += 1 + step / 3) {
		struct zone z = ZONE(rfc8463_rows);
		CLEANUP(authn_verify_freep) struct authn_verify *v = verify(SV(RFC8463), &z, step);
		const struct authn_checked *c = only(v);

		assert_int_equal(c->reason, AUTHN_REASON_GOOD);
		assert_true(c->body == AUTHN_SAME && c->header == AUTHN_SAME);
		assert_int_equal(c->key_bits, 256);
		assert_int_equal(z.asked, 1);
		assert_string_equal(c->signature.identity, "@football.example.com");
		assert_int_equal(authn_verify_arc(v)->verdict, AUTHN_CHAIN_NONE);
	}
}

struct change_row {
	const char *from, *to;
	enum authn_reason reason;
	enum authn_match body, header;
};
static const struct change_row change_rows[] = {
	/* what relays may do, and what nobody may */
	{ "Subject: Is", "subject:\tIs", AUTHN_REASON_GOOD, AUTHN_SAME, AUTHN_SAME },
	{ "Joe.\r\n", "Joe. \r\n\r\n\r\n", AUTHN_REASON_GOOD, AUTHN_SAME, AUTHN_SAME },
	{ "From: Joe", "X-Spam: no\r\nFrom: Joe", AUTHN_REASON_GOOD, AUTHN_SAME, AUTHN_SAME },
	{ "Subject: Is", "Subject: [list] Is", AUTHN_REASON_HEADER, AUTHN_SAME, AUTHN_CHANGED },
	{ "From: Joe", "From: x@y.z\r\nFrom: Joe", AUTHN_REASON_HEADER, AUTHN_SAME, AUTHN_CHANGED },
	{ "Date: Fri", "Xate: Fri", AUTHN_REASON_HEADER, AUTHN_SAME, AUTHN_CHANGED },
	{ "We lost", "We won", AUTHN_REASON_BODY, AUTHN_CHANGED, AUTHN_SAME },
	{ "Joe.\r\n", "Joe.\r\n-- \r\nlist\r\n", AUTHN_REASON_BODY, AUTHN_CHANGED, AUTHN_SAME },
	{ "\r\n b=/g", "\r\n b=/h", AUTHN_REASON_HEADER, AUTHN_SAME, AUTHN_CHANGED },
	/* the field */
	{ "v=1; ", "", AUTHN_REASON_MISSING, 0, 0 },
	{ "v=1; ", "v=0.5; ", AUTHN_REASON_VERSION, 0, 0 },
	{ "v=1; ", "v=1; v=1; ", AUTHN_REASON_SYNTAX, 0, 0 },
	{ "v=1; ", "v=1;; ", AUTHN_REASON_SYNTAX, 0, 0 },
	{ "a=ed25519-sha256", "a=rsa-md5", AUTHN_REASON_ALGORITHM, 0, 0 },
	{ "c=relaxed/relaxed", "c=nowsp", AUTHN_REASON_CANON, 0, 0 },
	{ "c=relaxed/relaxed", "c=relaxed", AUTHN_REASON_BODY, AUTHN_CHANGED, AUTHN_CHANGED },
	{ "d=football.example.com", "d=", AUTHN_REASON_DOMAIN, 0, 0 },
	{ "d=football.example.com", "d=foot ball.example.com", AUTHN_REASON_DOMAIN, 0, 0 },
	{ "s=brisbane", "s=bris..bane", AUTHN_REASON_DOMAIN, 0, 0 },
	{ "i=@football", "i=@ball", AUTHN_REASON_IDENTITY, 0, 0 },
	{ "i=@football", "i=@xfootball", AUTHN_REASON_IDENTITY, 0, 0 },
	{ "i=@football", "i=football", AUTHN_REASON_IDENTITY, 0, 0 },
	{ "q=dns/txt", "q=http", AUTHN_REASON_QUERY, 0, 0 },
	{ "t=1528637909", "t=now", AUTHN_REASON_TIME, 0, 0 },
	{ "t=1528637909", "t=9; x=9", AUTHN_REASON_TIME, 0, 0 },
	{ "t=1528637909", "t=9; l=-1", AUTHN_REASON_LENGTH, 0, 0 },
	{ "h=from : to :\r\n subject : date : message-id : from", "h=to", AUTHN_REASON_FROM, 0, 0 },
	{ "bh=2", "bh=", AUTHN_REASON_BASE64, 0, 0 },
	{ "bh=2", "xh=2", AUTHN_REASON_MISSING, 0, 0 },
	{ "t=1528637909", "t=9; x=99", AUTHN_REASON_EXPIRED, AUTHN_SAME, AUTHN_CHANGED },
	{ "t=1528637909", "l=999", AUTHN_REASON_BODY_SHORT, AUTHN_SAME, AUTHN_CHANGED },
	{ "s=brisbane", "s=sydney", AUTHN_REASON_KEY_NONE, AUTHN_SAME, AUTHN_UNKNOWN },
};

static void what_was_changed_is_told(void **state)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(10000);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(change_rows); i++) {
		const struct change_row *row = &change_rows[i];
		struct zone z = ZONE(rfc8463_rows);
		CLEANUP(authn_verify_freep)
		struct authn_verify *v =
			verify(change(&text, SV(RFC8463), row->from, row->to), &z, 100);
		const struct authn_checked *c = only(v);

		if (c->reason != row->reason || c->body != row->body || c->header != row->header)
			fail_msg("%s -> %s: %s, body %d, header %d",
				row->from,
				row->to,
				authn_reason_name(c->reason),
				c->body,
				c->header);
	}
}

/* ---- messages of our own ---- */

#define MESSAGE "From: a@b.test\r\nTo: c@d.test\r\nSubject: s\r\n\r\nText.\r\n"

/* A record of 1,024 bits takes 250 bytes. */
static char rsa_record[700];

static EVP_PKEY *rsa_key(unsigned bits, const char *before)
{
	EVP_PKEY *key = EVP_RSA_gen(bits);
	unsigned char *der = NULL;
	int len;
	size_t n = strlen(before);

	assert_non_null(key);
	len = i2d_PUBKEY(key, &der);
	assert_true(len > 0 && n + 4 * (size_t)len / 3 + 8 < sizeof(rsa_record));
	memcpy(rsa_record, before, n);
	rsa_record[n + (size_t)EVP_EncodeBlock((unsigned char *)rsa_record + n, der, len)] = 0;
	OPENSSL_free(der);
	return key;
}

static void sign(struct buf *out, struct sv text, EVP_PKEY *key, enum authn_canon canon)
{
	struct authn_sign_options o = { .key = key,
		.domain = SV("b.test"),
		.selector = SV("s1"),
		.header = canon,
		.body = canon,
		.now = now,
		.valid_s = 3600 };
	CLEANUP(authn_sign_freep) struct authn_sign *s = authn_sign_new(&o);

	assert_int_equal(authn_sign_feed(s, sv_head(text, 20)), 0);
	assert_int_equal(authn_sign_feed(s, sv_skip(text, 20)), 0);
	assert_int_equal(authn_sign_end(s, out), 0);
	assert_int_equal(buf_append(out, text), 0);
}

static void what_we_sign_verifies(void **state)
{
	EVP_PKEY *key = rsa_key(1024, "v=DKIM1; p=");
	const struct zone_row rows[] = { { "s1._domainkey.b.test", AUTHN_TXT, rsa_record } };
	static const char *const texts[] = {
		MESSAGE, "From: a@b.test\r\n", "From: a@b.test\r\n\r\n"
	};

	(void)state;
	for (size_t i = 0; i < 2 * COUNT_OF(texts); i++) {
		CLEANUP(buf_deinitp) struct buf text = BUF_INIT(10000);
		struct zone z = ZONE(rows);
		CLEANUP(authn_verify_freep) struct authn_verify *v = NULL;

		sign(&text, sv_from(texts[i / 2]), key, (enum authn_canon)(i % 2));
		v = verify(buf_sv(&text), &z, 50);
		assert_int_equal(only(v)->reason, AUTHN_REASON_GOOD);
	}
	EVP_PKEY_free(key);
}

struct key_row {
	const char *name, *before;
	enum authn_reason reason;
	enum authn_match header;
};
/* What stands before the key; NULL: DNS does not answer. */
static const struct key_row key_rows[] = {
	{ "good", "v=DKIM1; t=y; p=", AUTHN_REASON_GOOD, AUTHN_SAME },
	{ "no answer", NULL, AUTHN_REASON_KEY_UNKNOWN, AUTHN_UNKNOWN },
	{ "another hash", "h=sha1; p=", AUTHN_REASON_KEY_HASH, AUTHN_SAME },
	{ "another service", "s=tlsrpt; p=", AUTHN_REASON_KEY_RECORD, AUTHN_SAME },
	{ "revoked", "p=; x=", AUTHN_REASON_KEY_RECORD, AUTHN_UNKNOWN },
	{ "another type",
		"k=ed25519; x=; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=; y=",
		AUTHN_REASON_KEY_TYPE,
		AUTHN_UNKNOWN },
	{ "the key of another",
		"p="
		"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOK"
		"b2"
		"jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/"
		"8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9"
		"PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB; y=",
		AUTHN_REASON_HEADER,
		AUTHN_CHANGED },
};

static void what_is_wrong_with_the_key_is_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(key_rows); i++) {
		const struct key_row *row = &key_rows[i];
		EVP_PKEY *key = rsa_key(1024, row->before ? row->before : "");
		const struct zone_row rows[] = {
			{ "s1._domainkey.b.test", AUTHN_TXT, row->before ? rsa_record : NULL },
		};
		struct zone z = ZONE(rows);
		CLEANUP(buf_deinitp) struct buf text = BUF_INIT(10000);
		CLEANUP(authn_verify_freep) struct authn_verify *v = NULL;

		sign(&text, SV(MESSAGE), key, AUTHN_RELAXED);
		v = verify(buf_sv(&text), &z, 50);
		if (only(v)->reason != row->reason || only(v)->header != row->header)
			fail_msg("%s: %s", row->name, authn_reason_name(only(v)->reason));
		EVP_PKEY_free(key);
	}
}

/* h= may name other signatures, but a signature never covers itself. */
static void signatures_may_be_signed(void **state)
{
	EVP_PKEY *key = rsa_key(1024, "p=");
	const struct zone_row rows[] = { { "s1._domainkey.b.test", AUTHN_TXT, rsa_record } };
	struct authn_sign_options o = { .key = key,
		.domain = SV("b.test"),
		.selector = SV("s1"),
		.names = SV("From:DKIM-Signature:DKIM-Signature"),
		.now = now };
	struct authn_sign *s = authn_sign_new(&o);
	struct zone z = ZONE(rows);
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(10000);
	struct authn_verify *v;

	(void)state;
	assert_int_equal(authn_sign_feed(s, SV(MESSAGE)), 0);
	assert_int_equal(authn_sign_end(s, &text), 0);
	must(buf_append(&text, SV(MESSAGE)) == 0);
	v = verify(buf_sv(&text), &z, 50);
	assert_int_equal(only(v)->reason, AUTHN_REASON_GOOD);
	authn_verify_free(v);
	authn_sign_free(s);
	EVP_PKEY_free(key);
}

static void identities_below_the_domain(void **state)
{
	static const struct zone_row lax[] = { { RFC8463_NAME, AUTHN_TXT, RFC8463_KEY } };
	static const struct zone_row strict[] = {
		{ RFC8463_NAME, AUTHN_TXT, "t=s; " RFC8463_KEY }
	};
	static const struct zone_row good[] = { { RFC8463_NAME, AUTHN_TXT, RFC8463_KEY "; t=s" } };
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(10000);
	struct sv below = change(&text, SV(RFC8463), "i=@foot", "i=a=40b@x.foot");
	const struct {
		struct zone zone;
		enum authn_reason reason;
	} tries[] = {
		{ ZONE(lax), AUTHN_REASON_HEADER },
		{ ZONE(strict), AUTHN_REASON_KEY_RECORD },
		{ ZONE(good), AUTHN_REASON_KEY_STRICT },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(tries); i++) {
		struct zone z = tries[i].zone;
		CLEANUP(authn_verify_freep) struct authn_verify *v = verify(below, &z, 100);

		assert_int_equal(only(v)->reason, tries[i].reason);
		assert_string_equal(only(v)->signature.identity, "a@b@x.football.example.com");
	}
}

/* What a key costs grows with the cube of its length: 9,000 bits are not computed with. */
static void a_key_that_is_too_long(void **state)
{
	enum {
		BYTES = 1125
	};
	static unsigned char der[BYTES + 14] = { 0x30, 0x82, 0x04, 0x6f, 0x02, 0x82, 0x04, 0x66 };
	static char record[2000] = "p=";
	const struct zone_row rows[] = { { "s1._domainkey.b.test", AUTHN_TXT, record } };
	struct zone z = ZONE(rows);
	EVP_PKEY *key = rsa_key(1024, "");
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(10000);
	struct authn_verify *v;

	(void)state;
	memset(der + 9, 0xff, BYTES);
	memcpy(der + 9 + BYTES, "\x02\x03\x01\x00\x01", 5);
	(void)EVP_EncodeBlock((unsigned char *)record + 2, der, BYTES + 14);
	sign(&text, SV(MESSAGE), key, AUTHN_SIMPLE);
	v = verify(buf_sv(&text), &z, 50);
	assert_int_equal(only(v)->key_bits, 9000);
	assert_int_equal(only(v)->reason, AUTHN_REASON_KEY_LONG);
	assert_int_equal(only(v)->header, AUTHN_UNKNOWN);
	authn_verify_free(v);
	EVP_PKEY_free(key);
}

/* RFC 8301: what is sound, but weak, does not count; what is not sound says that first. */
static void short_keys_do_not_count(void **state)
{
	EVP_PKEY *key = rsa_key(768, "p=");
	const struct zone_row rows[] = { { "s1._domainkey.b.test", AUTHN_TXT, rsa_record } };
	struct zone z = ZONE(rows);
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(10000), changed = BUF_INIT(10000);
	struct authn_verify *v;

	(void)state;
	sign(&text, SV(MESSAGE), key, AUTHN_SIMPLE);
	v = verify(buf_sv(&text), &z, 50);
	assert_int_equal(only(v)->reason, AUTHN_REASON_KEY_SHORT);
	assert_string_equal(authn_verdict_name(only(v)->reason), "permerror");
	authn_verify_free(v);
	v = verify(change(&changed, buf_sv(&text), "Text", "text"), &z, 50);
	assert_int_equal(only(v)->reason, AUTHN_REASON_BODY);
	assert_string_equal(authn_verdict_name(only(v)->reason), "fail");
	authn_verify_free(v);
	v = verify_at(buf_sv(&text), &z, 50, wall_add(now, 3601 * (int64_t)US_PER_S));
	assert_int_equal(only(v)->reason, AUTHN_REASON_EXPIRED);
	authn_verify_free(v);
	EVP_PKEY_free(key);
}

static void only_so_many_signatures_are_looked_at(void **state)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(100000);
	struct zone z = ZONE(rfc8463_rows);
	struct authn_verify *v;
	size_t count, more;

	(void)state;
	for (size_t i = 0; i < AUTHN_SIGNATURES_MAX + 3; i++)
		must(buf_append(&text, SV(RFC8463_SIGNATURE)) == 0);
	must(buf_append(&text, SV(RFC8463_HEADER "\r\n" RFC8463_BODY)) == 0);
	v = verify(buf_sv(&text), &z, 1000);
	(void)authn_verify_signatures(v, &count, &more);
	assert_int_equal(count, AUTHN_SIGNATURES_MAX);
	assert_int_equal(more, 3);
	assert_int_equal(z.asked, 1);
	authn_verify_free(v);
}

static void a_header_without_end_ends_it(void **state)
{
	struct authn_verify *v = authn_verify_new();
	struct authn_question q;
	int rc = 0;

	(void)state;
	for (size_t i = 0; rc == 0; i++) {
		rc = authn_verify_feed(v, SV("a very long field that never ends "));
		assert_true(i <= LIMIT_HEADER / 30);
	}
	assert_int_equal(rc, RC_LIMIT);
	assert_int_equal(authn_verify_end(v, now), RC_LIMIT);
	assert_int_equal(authn_verify_next(v, &q), AUTHN_DONE);
	authn_verify_free(v);
}

/* ---- ARC ---- */

#define CHAIN ARC_SECOND ARC_FIRST ARC_MESSAGE
static const struct zone_row arc_rows[] = {
	{ "s._domainkey.one.test", AUTHN_TXT, ARC_KEY },
	{ "s._domainkey.two.test", AUTHN_TXT, ARC_KEY },
	{ "lost._domainkey.two.test", AUTHN_TXT, NULL },
};

static void a_chain_of_two(void **state)
{
	struct zone z = ZONE(arc_rows);
	CLEANUP(authn_verify_freep) struct authn_verify *v = verify(SV(CHAIN), &z, 64);
	const struct authn_arc *arc = authn_verify_arc(v);

	(void)state;
	assert_int_equal(arc->verdict, AUTHN_CHAIN_PASS);
	assert_int_equal(arc->count, 2);
	assert_int_equal(arc->oldest_same, 2);
	assert_int_equal(arc->sets[0].message.reason, AUTHN_REASON_BODY);
	assert_int_equal(arc->sets[0].seal.reason, AUTHN_REASON_GOOD);
	assert_true(sv_eq(arc->sets[0].results, SV("one.test; arc=none")));
	assert_int_equal(z.asked, 2);
}

struct arc_row {
	const char *from, *to;
	enum authn_arc_fault fault;
	uint32_t instance;
	enum authn_reason reason;
};
static const struct arc_row arc_changes[] = {
	{ "Hello.", "Bye.", AUTHN_ARC_BAD_MESSAGE, 2, AUTHN_REASON_BODY },
	{ "Subject: [list]", "Subject:", AUTHN_ARC_BAD_MESSAGE, 2, AUTHN_REASON_HEADER },
	{ "two.test; arc=pass", "two.test; arc=none", AUTHN_ARC_BAD_SEAL, 2, AUTHN_REASON_HEADER },
	/* The seals are looked at from the newest on, and each covers what is older. */
	{ "one.test; arc=none", "one.test; arc=pass", AUTHN_ARC_BAD_SEAL, 2, AUTHN_REASON_HEADER },
	{ "i=2; cv=pass; a=rsa-sha256; d=two.test; s=s;",
		"i=2; cv=pass; a=rsa-sha256; d=two.test; s=gone;",
		AUTHN_ARC_BAD_SEAL,
		2,
		AUTHN_REASON_KEY_NONE },
	{ "i=2; cv=pass; a=rsa-sha256; d=two.test; s=s;",
		"i=2; cv=pass; a=rsa-sha256; d=two.test; s=lost;",
		AUTHN_ARC_BAD_SEAL,
		2,
		AUTHN_REASON_KEY_UNKNOWN },
	{ "cv=pass", "cv=fail", AUTHN_ARC_TOLD, 2, 0 },
	{ "cv=pass", "cv=none", AUTHN_ARC_ORDER, 2, 0 },
	{ "cv=none", "cv=pass", AUTHN_ARC_ORDER, 1, 0 },
	{ "cv=pass", "cv=good", AUTHN_ARC_BAD_SEAL, 2, AUTHN_REASON_CHAIN },
	{ "cv=pass", "cv=pass; h=from", AUTHN_ARC_BAD_SEAL, 2, AUTHN_REASON_EXCESS },
	{ "ARC-Seal: i=1", "X-Seal: i=1", AUTHN_ARC_GAP, 1, 0 },
	{ "ARC-Authentication-Results: i=2", "X: i=2", AUTHN_ARC_GAP, 2, 0 },
	{ "ARC-Authentication-Results: i=2",
		"ARC-Authentication-Results: i=3",
		AUTHN_ARC_GAP,
		3,
		0 },
	{ "ARC-Authentication-Results: i=2",
		"ARC-Authentication-Results: i=1",
		AUTHN_ARC_DOUBLE,
		1,
		0 },
	{ "ARC-Authentication-Results: i=2",
		"ARC-Authentication-Results: x; i=2",
		AUTHN_ARC_FIELD,
		0,
		AUTHN_REASON_INSTANCE },
	{ "Signature: i=2", "Signature: i=51", AUTHN_ARC_FIELD, 0, AUTHN_REASON_INSTANCE },
	{ "Signature: i=2", "Signature: i=0", AUTHN_ARC_FIELD, 0, AUTHN_REASON_INSTANCE },
	{ "Signature: i=2", "Signature: j=2", AUTHN_ARC_FIELD, 0, AUTHN_REASON_MISSING },
	{ "h=from", "h=arc-seal", AUTHN_ARC_BAD_MESSAGE, 2, AUTHN_REASON_SEAL },
};

static void a_chain_that_is_broken(void **state)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(10000);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(arc_changes); i++) {
		const struct arc_row *row = &arc_changes[i];
		struct zone z = ZONE(arc_rows);
		struct sv changed = change(&text, SV(CHAIN), row->from, row->to);
		CLEANUP(authn_verify_freep) struct authn_verify *v = verify(changed, &z, 64);
		const struct authn_arc *arc = authn_verify_arc(v);

		if (arc->fault != row->fault || arc->fault_instance != row->instance ||
			arc->reason != row->reason)
			fail_msg("%s -> %s: %s at %u, %s",
				row->from,
				row->to,
				authn_arc_fault_name(arc->fault),
				arc->fault_instance,
				authn_reason_name(arc->reason));
		assert_int_equal(arc->verdict, AUTHN_CHAIN_FAIL);
	}
}

static void sets_past_fifty(void **state)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(LIMIT_HEADER);
	struct zone z = ZONE(arc_rows);
	struct authn_verify *v;

	(void)state;
	for (unsigned i = 1; i <= 151; i++)
		must(buf_printf(&text, "ARC-Authentication-Results: i=%u; x\r\n", i % 50 + 1) == 0);
	v = verify(buf_sv(&text), &z, 4096);
	assert_int_equal(authn_verify_arc(v)->fault, AUTHN_ARC_TOO_MANY);
	assert_int_equal(z.asked, 0);
	authn_verify_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_message_of_the_rfc),
		cmocka_unit_test(what_was_changed_is_told),
		cmocka_unit_test(what_we_sign_verifies),
		cmocka_unit_test(what_is_wrong_with_the_key_is_told),
		cmocka_unit_test(signatures_may_be_signed),
		cmocka_unit_test(identities_below_the_domain),
		cmocka_unit_test(a_key_that_is_too_long),
		cmocka_unit_test(short_keys_do_not_count),
		cmocka_unit_test(only_so_many_signatures_are_looked_at),
		cmocka_unit_test(a_header_without_end_ends_it),
		cmocka_unit_test(a_chain_of_two),
		cmocka_unit_test(a_chain_that_is_broken),
		cmocka_unit_test(sets_past_fifty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
