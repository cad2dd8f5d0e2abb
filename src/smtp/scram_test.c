/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/scram.h"

#include "base/err.h"
#include "base/must.h"
#include "base/text.h"

#include "cmocka_all.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

/* RFC 7677 3: user "user", password "pencil". */
#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define MESSAGE                                                                                  \
	"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"    \
	"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)" \
	"hNlF$k0"
#define PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define SIGNATURE "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
/* The same verifier as PostgreSQL writes it. */
#define RENDERED                                                                                   \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=" \
	":"                                                                                        \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static void decode(const char *text, unsigned char *out, size_t len)
{
	struct buf b = BUF_INIT(64);

	assert_int_equal(text_base64_decode(&b, sv_from(text)), 0);
	assert_int_equal(b.len, len);
	must(b.ptr != NULL);
	memcpy(out, buf_sv(&b).ptr, len);
	buf_deinit(&b);
}

static struct smtp_scram_verifier pencil(void)
{
	struct smtp_scram_verifier v;
	unsigned char salt[16];

	decode(SALT, salt, sizeof(salt));
	smtp_scram_derive(SV("pencil"), 4096, salt, &v);
	return v;
}

static void hmac(const unsigned char key[32], const char *text, unsigned char out[32])
{
	unsigned len;

	assert_non_null(
		HMAC(EVP_sha256(), key, 32, (const unsigned char *)text, strlen(text), out, &len));
}

/* The verifier accepts the proof of the RFC and makes the signature of the RFC. */
static void the_vector_of_rfc_7677(void **state)
{
	struct smtp_scram_verifier v = pencil();
	unsigned char signature[32], wanted[32], proof[32], hash[32];

	(void)state;
	decode(PROOF, proof, sizeof(proof));
	hmac(v.stored_key, MESSAGE, signature);
	for (size_t i = 0; i < sizeof(proof); i++)
		proof[i] ^= signature[i];
	assert_non_null(SHA256(proof, sizeof(proof), hash));
	assert_memory_equal(hash, v.stored_key, sizeof(hash));
	hmac(v.server_key, MESSAGE, signature);
	decode(SIGNATURE, wanted, sizeof(wanted));
	assert_memory_equal(signature, wanted, sizeof(wanted));
}

static void check_knows_the_password(void **state)
{
	static const char *const wrong[] = { "", "penci", "pencil ", "Pencil", "pencill" };
	struct smtp_scram_verifier v = pencil(), empty;

	(void)state;
	assert_true(smtp_scram_check(&v, SV("pencil")));
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_false(smtp_scram_check(&v, sv_from(wrong[i])));
	assert_false(smtp_scram_check(&v, sv_make(NULL, 0)));
	smtp_scram_derive(sv_make(NULL, 0), 4096, v.salt, &empty);
	assert_true(smtp_scram_check(&empty, SV("")));
	/* One bit of anything counts. */
	v.salt[15] ^= 1;
	assert_false(smtp_scram_check(&v, SV("pencil")));
	v = pencil();
	v.iterations++;
	assert_false(smtp_scram_check(&v, SV("pencil")));
	v = pencil();
	v.stored_key[31] ^= 0x80;
	assert_false(smtp_scram_check(&v, SV("pencil")));
}

static void what_is_rendered_is_parsed(void **state)
{
	struct smtp_scram_verifier v = pencil(), again;
	struct buf text = BUF_INIT(512), tight;

	(void)state;
	memset(&again, 0x55, sizeof(again));
	assert_int_equal(smtp_scram_render(&v, &text), 0);
	assert_true(sv_eq(buf_sv(&text), SV(RENDERED)));
	assert_int_equal(smtp_scram_parse(buf_sv(&text), &again), 0);
	assert_int_equal(again.iterations, v.iterations);
	assert_memory_equal(again.salt, v.salt, sizeof(v.salt));
	assert_memory_equal(again.stored_key, v.stored_key, sizeof(v.stored_key));
	assert_memory_equal(again.server_key, v.server_key, sizeof(v.server_key));
	for (size_t max = 0; max < text.len; max++) {
		buf_init(&tight, max);
		assert_int_equal(smtp_scram_render(&v, &tight), RC_LIMIT);
		buf_deinit(&tight);
	}
	buf_deinit(&text);
}

#define KEY "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="

static void what_is_no_verifier_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"SCRAM-SHA-256",
		"SCRAM-SHA-1$4096:" SALT "$" KEY ":" KEY,
		"scram-sha-256$4096:" SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256$:" SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256$x:" SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256$-4096:" SALT "$" KEY ":" KEY,
		/* RFC 7677 4 sets the least; the most bounds what a sign-in costs. */
		"SCRAM-SHA-256$4095:" SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256$10000001:" SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256$4294971392:" SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256$4096:$" KEY ":" KEY,
		"SCRAM-SHA-256$4096:QSXCR+Q6sek8bf92$" KEY ":" KEY,
		"SCRAM-SHA-256$4096:" SALT SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256$4096:" SALT ":" KEY ":" KEY,
		"SCRAM-SHA-256$4096:" SALT "$" KEY,
		"SCRAM-SHA-256$4096:" SALT "$" KEY ":",
		"SCRAM-SHA-256$4096:" SALT "$:" KEY,
		"SCRAM-SHA-256$4096:" SALT "$" KEY ":" KEY ":",
		"SCRAM-SHA-256$4096:" SALT "$" KEY ":" KEY "\n",
		" SCRAM-SHA-256$4096:" SALT "$" KEY ":" KEY,
	};
	struct smtp_scram_verifier v;

	(void)state;
	assert_int_equal(smtp_scram_parse(SV("SCRAM-SHA-256$4096:" SALT "$" KEY ":" KEY), &v), 0);
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct smtp_scram_verifier before;

		memset(&v, 0x55, sizeof(v));
		memcpy(&before, &v, sizeof(v));
		if (smtp_scram_parse(sv_from(texts[i]), &v) >= 0)
			fail_msg("taken: %s", texts[i]);
		/* A failure writes nothing. */
		assert_memory_equal(&v, &before, sizeof(v));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vector_of_rfc_7677),
		cmocka_unit_test(check_knows_the_password),
		cmocka_unit_test(what_is_rendered_is_parsed),
		cmocka_unit_test(what_is_no_verifier_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
