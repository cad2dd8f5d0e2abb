/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/jwt.h"

#include "base/buf.h"
#include "identity/app.h"
#include "identity/encode.h"
#include "io/file.h"
#include "io/loop.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <unistd.h>

#include "cmocka_all.h"

/* Keys are made once: RSA takes its time. */
static EVP_PKEY *rsa, *other_rsa, *short_rsa, *ec;
static X509 *valid, *expired, *future;

static X509 *certificate(EVP_PKEY *key, long from_s, long to_s)
{
	X509 *x = X509_new();
	X509_NAME *subject;

	assert_non_null(x);
	assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 7), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), from_s));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), to_s));
	assert_int_equal(X509_set_pubkey(x, key), 1);
	subject = X509_get_subject_name(x);
	assert_int_equal(
		X509_NAME_add_entry_by_txt(
			subject, "CN", MBSTRING_ASC, (const unsigned char *)"postern", -1, -1, 0),
		1);
	assert_int_equal(X509_set_issuer_name(x, subject), 1);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	return x;
}

static int make_keys(void **state)
{
	(void)state;
	rsa = EVP_RSA_gen(2048);
	other_rsa = EVP_RSA_gen(2048);
	short_rsa = EVP_RSA_gen(1024);
	ec = EVP_EC_gen("P-256");
	assert_true(rsa && other_rsa && short_rsa && ec);
	valid = certificate(rsa, -3600, 86400);
	expired = certificate(rsa, -86400, -3600);
	future = certificate(rsa, 3600, 86400);
	return 0;
}

static int drop_keys(void **state)
{
	(void)state;
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(other_rsa);
	EVP_PKEY_free(short_rsa);
	EVP_PKEY_free(ec);
	X509_free(valid);
	X509_free(expired);
	X509_free(future);
	return 0;
}

static void take_bio(BIO *bio, struct buf *out)
{
	char *bytes = NULL;
	long len = BIO_get_mem_data(bio, &bytes);

	assert_true(len > 0);
	buf_init(out, 65536);
	assert_int_equal(buf_append(out, sv_make(bytes, (size_t)len)), 0);
	BIO_free(bio);
}

static void key_pem(EVP_PKEY *key, const char *passphrase, struct buf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char copy[64] = "";

	(void)snprintf(copy, sizeof(copy), "%s", passphrase ? passphrase : "");
	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio,
				 key,
				 passphrase ? EVP_aes_128_cbc() : NULL,
				 passphrase ? copy : NULL,
				 (int)strlen(copy),
				 NULL,
				 NULL),
		1);
	take_bio(bio, out);
}

static void certificate_pem(X509 *x, struct buf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_int_equal(PEM_write_bio_X509(bio, x), 1);
	take_bio(bio, out);
}

static void pkcs12(EVP_PKEY *key, X509 *x, const char *passphrase, struct buf *out)
{
	PKCS12 *p12 = PKCS12_create(passphrase, "postern", key, x, NULL, 0, 0, 0, 0, 0);
	BIO *bio = BIO_new(BIO_s_mem());

	assert_non_null(p12);
	assert_int_equal(i2d_PKCS12_bio(bio, p12), 1);
	PKCS12_free(p12);
	take_bio(bio, out);
}

static const struct identity_jwt_order order = {
	.audience = SV_INIT("https://login.test/contoso.com/oauth2/v2.0/token"),
	.issuer = SV_INIT("11111111-2222-3333-4444-555555555555"),
	.subject = SV_INIT("11111111-2222-3333-4444-555555555555"),
	.now = { 1700000000000000 },
};

static json_t *part(struct sv *token, bool last)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(16384);
	struct sv piece;
	json_t *root;

	assert_int_equal(sv_cut_char(token, '.', &piece), !last);
	assert_int_equal(identity_base64url_decode(&text, piece), 0);
	root = json_loadb(buf_sv(&text).ptr, text.len, 0, NULL);
	assert_non_null(root);
	return root;
}

static const char *word(const json_t *root, const char *key)
{
	return json_string_value(json_object_get(root, key));
}

static void expect_signature(struct sv token, bool pss)
{
	CLEANUP(buf_deinitp) struct buf signature = BUF_INIT(1024);
	ptrdiff_t dot = sv_rfind_char(token, '.');
	struct sv text = sv_head(token, (size_t)dot);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *params = NULL;

	assert_int_equal(identity_base64url_decode(&signature, sv_skip(token, (size_t)dot + 1)), 0);
	assert_int_equal(EVP_DigestVerifyInit(ctx, &params, EVP_sha256(), NULL, rsa), 1);
	if (pss) {
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(params, RSA_PKCS1_PSS_PADDING), 1);
		assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(params, 32), 1);
	}
	assert_int_equal(EVP_DigestVerify(ctx,
				 (const unsigned char *)buf_sv(&signature).ptr,
				 signature.len,
				 (const unsigned char *)text.ptr,
				 text.len),
		1);
	EVP_MD_CTX_free(ctx);
}

static void expect_thumbprint(const char *text, const EVP_MD *md)
{
	CLEANUP(buf_deinitp) struct buf expected = BUF_INIT(128);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	assert_int_equal(X509_digest(valid, md, digest, &len), 1);
	assert_int_equal(
		identity_base64url_encode(&expected, sv_make((const char *)digest, len)), 0);
	assert_true(sv_eq(buf_sv(&expected), sv_from(text)));
}

static void expect_assertion(const struct identity_jwt_key *k, enum conf_jwt form)
{
	struct identity_jwt_order o = order;
	struct secret *assertion = NULL, *again = NULL;
	struct err err = { 0 };
	json_t *header, *claims;
	struct sv rest;
	bool pss = form == CONF_JWT_PS256;

	o.form = form;
	assert_int_equal(identity_jwt_sign(k, &o, &assertion, &err), 0);
	assert_int_equal(identity_jwt_sign(k, &o, &again, &err), 0);
	assert_false(secret_eq(assertion, secret_reveal(again))); /* a jti of its own each time */
	expect_signature(secret_reveal(assertion), pss);
	rest = secret_reveal(assertion);
	header = part(&rest, false);
	claims = part(&rest, false);
	assert_string_equal(word(header, "alg"), pss ? "PS256" : "RS256");
	assert_string_equal(word(header, "typ"), "JWT");
	assert_int_equal(json_object_size(header), 3);
	expect_thumbprint(word(header, pss ? "x5t#S256" : "x5t"), pss ? EVP_sha256() : EVP_sha1());
	assert_string_equal(word(claims, "aud"), order.audience.ptr);
	assert_string_equal(word(claims, "iss"), order.issuer.ptr);
	assert_string_equal(word(claims, "sub"), order.issuer.ptr);
	assert_true(identity_is_guid(sv_from(word(claims, "jti"))));
	assert_int_equal(json_integer_value(json_object_get(claims, "nbf")), 1700000000 - 60);
	assert_int_equal(json_integer_value(json_object_get(claims, "iat")), 1700000000 - 60);
	assert_int_equal(json_integer_value(json_object_get(claims, "exp")), 1700000000 + 540);
	assert_null(json_object_get(claims, "scope"));
	json_decref(header);
	json_decref(claims);
	secret_free(assertion);
	secret_free(again);
}

static void assertions_are_signed_from_pem(void **state)
{
	CLEANUP(buf_deinitp) struct buf key = { 0 }, cert = { 0 };
	CLEANUP(identity_jwt_key_freep) struct identity_jwt_key *k = NULL;
	struct err err = { 0 };

	(void)state;
	key_pem(rsa, NULL, &key);
	certificate_pem(valid, &cert);
	assert_int_equal(identity_jwt_key_pem(buf_sv(&key), NULL, buf_sv(&cert), &k, &err), 0);
	assert_int_equal(identity_jwt_key_check(k, io_clock_wall(), &err), 0);
	assert_in_range((uint64_t)identity_jwt_key_not_after(k).us,
		(uint64_t)io_clock_wall().us + 80000 * US_PER_S,
		(uint64_t)io_clock_wall().us + 90000 * US_PER_S);
	expect_assertion(k, CONF_JWT_PS256);
	expect_assertion(k, CONF_JWT_RS256);
}

static void assertions_are_signed_from_pkcs12(void **state)
{
	static const char *const phrases[] = { "open sesame", "" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(phrases); i++) {
		CLEANUP(buf_deinitp) struct buf bytes = { 0 };
		CLEANUP(identity_jwt_key_freep) struct identity_jwt_key *k = NULL;
		CLEANUP(secret_freep) struct secret *phrase = secret_new(sv_from(phrases[i]));
		struct err err = { 0 };

		pkcs12(rsa, valid, phrases[i], &bytes);
		assert_int_equal(identity_jwt_key_pkcs12(
					 buf_sv(&bytes), phrases[i][0] ? phrase : NULL, &k, &err),
			0);
		expect_assertion(k, CONF_JWT_PS256);
	}
}

static void an_encrypted_key_opens_with_its_passphrase(void **state)
{
	CLEANUP(buf_deinitp) struct buf key = { 0 }, cert = { 0 };
	CLEANUP(identity_jwt_key_freep) struct identity_jwt_key *k = NULL;
	CLEANUP(secret_freep) struct secret *phrase = secret_new(SV("open sesame"));
	struct err err = { 0 };

	(void)state;
	key_pem(rsa, "open sesame", &key);
	certificate_pem(valid, &cert);
	assert_int_equal(identity_jwt_key_pem(buf_sv(&key), phrase, buf_sv(&cert), &k, &err), 0);
}

/* ---- what people get wrong ---- */

static void expect_pem_fault(
	struct buf *key, const char *phrase, struct buf *cert, const char *words)
{
	CLEANUP(secret_freep) struct secret *secret = phrase ? secret_new(sv_from(phrase)) : NULL;
	struct identity_jwt_key *k = NULL;
	struct err err = { 0 };

	assert_int_equal(
		identity_jwt_key_pem(buf_sv(key), secret, buf_sv(cert), &k, &err), RC_CONFIG);
	assert_null(k);
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
}

static void every_fault_of_pem_has_its_sentence(void **state)
{
	CLEANUP(buf_deinitp) struct buf key = { 0 }, cert = { 0 }, sealed = { 0 }, other = { 0 };
	CLEANUP(buf_deinitp) struct buf weak = { 0 }, curve = { 0 }, damaged = BUF_INIT(4096);
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(64), none = BUF_INIT(1);

	(void)state;
	key_pem(rsa, NULL, &key);
	key_pem(rsa, "open sesame", &sealed);
	key_pem(other_rsa, NULL, &other);
	key_pem(short_rsa, NULL, &weak);
	key_pem(ec, NULL, &curve);
	certificate_pem(valid, &cert);
	assert_int_equal(buf_append(&text, SV("my secret key")), 0);
	assert_int_equal(buf_append(&damaged, sv_head(buf_sv(&key), key.len / 2)), 0);
	assert_int_equal(buf_append(&damaged, SV("\n-----END PRIVATE KEY-----\n")), 0);
	expect_pem_fault(&text, NULL, &cert, "not PEM");
	expect_pem_fault(&none, NULL, &cert, "not PEM");
	expect_pem_fault(&damaged, NULL, &cert, "damaged");
	expect_pem_fault(&cert, NULL, &cert, "wants the private key");
	expect_pem_fault(&key, NULL, &key, "wants the other");
	expect_pem_fault(&key, NULL, &text, "certificate is not PEM");
	expect_pem_fault(&sealed, NULL, &cert, "name its `passphrase`");
	expect_pem_fault(&sealed, "wrong", &cert, "does not open the key");
	expect_pem_fault(&other, NULL, &cert, "do not match");
	expect_pem_fault(&curve, NULL, &cert, "not an RSA key");
	expect_pem_fault(&weak, NULL, &cert, "1024 bits");
}

static void every_fault_of_pkcs12_has_its_sentence(void **state)
{
	CLEANUP(buf_deinitp) struct buf bytes = { 0 }, no_key = { 0 }, open = { 0 };
	CLEANUP(secret_freep) struct secret *wrong = secret_new(SV("wrong"));
	struct identity_jwt_key *k = NULL;
	struct err err = { 0 };

	(void)state;
	pkcs12(rsa, valid, "open sesame", &bytes);
	pkcs12(NULL, valid, "", &no_key);
	pkcs12(rsa, valid, "", &open);
	assert_int_equal(identity_jwt_key_pkcs12(buf_sv(&bytes), wrong, &k, &err), RC_CONFIG);
	assert_non_null(strstr(err.text, "passphrase does not open"));
	assert_int_equal(identity_jwt_key_pkcs12(buf_sv(&bytes), NULL, &k, &err), RC_CONFIG);
	assert_non_null(strstr(err.text, "name its `passphrase`"));
	assert_int_equal(identity_jwt_key_pkcs12(SV("nothing"), NULL, &k, &err), RC_CONFIG);
	assert_non_null(strstr(err.text, "not PKCS#12"));
	assert_int_equal(identity_jwt_key_pkcs12(buf_sv(&no_key), NULL, &k, &err), RC_CONFIG);
	assert_non_null(strstr(err.text, "no private key"));
	assert_null(k);
}

static void certificates_have_their_days(void **state)
{
	X509 *const all[] = { expired, future };
	static const char *const words[] = { "expired on", "not valid before" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		CLEANUP(buf_deinitp) struct buf key = { 0 }, cert = { 0 };
		CLEANUP(identity_jwt_key_freep) struct identity_jwt_key *k = NULL;
		struct err err = { 0 };

		key_pem(rsa, NULL, &key);
		certificate_pem(all[i], &cert);
		assert_int_equal(
			identity_jwt_key_pem(buf_sv(&key), NULL, buf_sv(&cert), &k, &err), 0);
		assert_int_equal(identity_jwt_key_check(k, io_clock_wall(), &err), RC_CONFIG);
		assert_non_null(strstr(err.text, words[i]));
	}
}

/* ---- a tenant's app ---- */

struct files {
	char folder[64], secret[96], key[96], cert[96];
};

static void write_file(const char *path, struct sv bytes)
{
	struct err err = { 0 };

	assert_int_equal(io_file_write_durably(path, bytes, 0600, &err), 0);
}

static void files_open(struct files *f)
{
	CLEANUP(buf_deinitp) struct buf key = { 0 }, cert = { 0 };

	(void)snprintf(f->folder, sizeof(f->folder), "/tmp/postern-test-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	(void)snprintf(f->secret, sizeof(f->secret), "%s/secret", f->folder);
	(void)snprintf(f->key, sizeof(f->key), "%s/key", f->folder);
	(void)snprintf(f->cert, sizeof(f->cert), "%s/cert", f->folder);
	key_pem(rsa, NULL, &key);
	certificate_pem(expired, &cert);
	write_file(f->secret, SV("Abc8Q~value\n"));
	write_file(f->key, buf_sv(&key));
	write_file(f->cert, buf_sv(&cert));
}

static void files_close(struct files *f)
{
	(void)unlink(f->secret);
	(void)unlink(f->key);
	(void)unlink(f->cert);
	(void)rmdir(f->folder);
}

static void expect_app_fault(const struct conf_tenant *tenant, const char *words)
{
	struct identity_app *a = NULL;
	struct err err = { 0 };
	struct wall_time end;

	assert_true(identity_app_load(tenant, NULL, &a, &err) != 0);
	assert_null(a);
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
	assert_true(identity_app_check(tenant, NULL, &end, &err) != 0);
}

static void apps_are_loaded_and_their_faults_told(void **state)
{
	struct files f = { 0 };
	struct conf_tenant t = { .name = SV("contoso"), .id = SV("contoso.com") };
	CLEANUP(identity_app_freep) struct identity_app *a = NULL;
	CLEANUP(buf_deinitp) struct buf cert = { 0 };
	struct err err = { 0 };
	struct wall_time end;

	(void)state;
	files_open(&f);
	t.app.place = (struct conf_place){ "postern.yaml", 7, 5 };
	assert_int_equal(identity_app_check(&t, NULL, &end, &err), 0); /* no app, no fault */
	t.app.client_id = SV("11111111-2222-3333-4444-555555555555");
	t.app.secret = (struct conf_secret){ CONF_SECRET_FILE, sv_from(f.secret), { 0 } };
	assert_int_equal(identity_app_load(&t, NULL, &a, &err), 0);
	assert_true(secret_eq(identity_app_secret(a), SV("Abc8Q~value")));
	write_file(f.secret, SV("8c3f7a52-0d1e-4b6a-9f00-5d2f6c1b7e44\n"));
	expect_app_fault(&t, "postern.yaml:7: this is the ID of a client secret");
	t.id = SV("contoso");
	expect_app_fault(&t, "neither a tenant id");
	t.id = SV("contoso.com/../x");
	expect_app_fault(&t, "neither a tenant id");
	t.id = SV("8c3f7a52-0d1e-4b6a-9f00-5d2f6c1b7e44");
	t.app.secret.kind = CONF_SECRET_NONE;
	t.app.key = (struct conf_secret){ CONF_SECRET_FILE, sv_from(f.key), { 0 } };
	expect_app_fault(&t, "no `certificate`");
	t.app.certificate = sv_from(f.cert);
	expect_app_fault(&t, "postern.yaml:7: the certificate expired on");
	certificate_pem(valid, &cert);
	write_file(f.cert, buf_sv(&cert));
	assert_int_equal(identity_app_check(&t, NULL, &end, &err), 0);
	assert_true(end.us > io_clock_wall().us);
	t.app.certificate = SV("/does/not/exist");
	expect_app_fault(&t, "/does/not/exist");
	files_close(&f);
}

/* Google's key file as it comes, and its assertion: for a user, with the scope. */
static void service_accounts_speak_for_users(void **state)
{
	struct files f = { 0 };
	struct conf_tenant t = { .name = SV("ws"), .cloud = PROVIDER_CLOUD_GOOGLE };
	const struct identity_app_subject subject = { SV("a@x.test"),
		SV("https://mail.google.com/") };
	CLEANUP(identity_app_freep) struct identity_app *a = NULL;
	CLEANUP(buf_deinitp) struct buf key = { 0 };
	struct secret *assertion = NULL;
	struct err err = { 0 };
	json_t *header, *claims, *file;
	struct sv rest;
	char *text;

	(void)state;
	files_open(&f);
	key_pem(rsa, NULL, &key);
	assert_int_equal(buf_append_char(&key, '\0'), 0);
	file = json_pack("{s:s,s:s}", "private_key", buf_sv(&key).ptr, "private_key_id", "kid-1");
	text = json_dumps(file, 0);
	write_file(f.key, sv_from(text));
	free(text);
	json_decref(file);
	t.app.client_id = SV("relay@project.iam.gserviceaccount.com");
	t.app.key = (struct conf_secret){ CONF_SECRET_FILE, sv_from(f.key), { 0 } };
	assert_int_equal(identity_app_load(&t, NULL, &a, &err), 0);
	assert_int_equal(
		identity_app_sign(a, SV("https://g.test/token"), &subject, &assertion, &err), 0);
	expect_signature(secret_reveal(assertion), false);
	rest = secret_reveal(assertion);
	header = part(&rest, false);
	claims = part(&rest, false);
	assert_string_equal(word(header, "kid"), "kid-1");
	assert_string_equal(word(claims, "iss"), "relay@project.iam.gserviceaccount.com");
	assert_string_equal(word(claims, "sub"), "a@x.test");
	assert_string_equal(word(claims, "scope"), "https://mail.google.com/");
	json_decref(header);
	json_decref(claims);
	secret_free(assertion);
	write_file(f.key, SV("{\"type\":\"service_account\"}"));
	expect_app_fault(&t, "no private_key");
	files_close(&f);
}

static void urls_are_made_from_the_cloud(void **state)
{
	struct conf_tenant t = {
		.name = SV("c"), .id = SV("contoso.com"), .login_url = SV("https://login.test:8443")
	};
	char url[IDENTITY_URL_MAX];
	struct err err = { 0 };

	(void)state;
	assert_int_equal(identity_app_url(&t, "/{tenant}/oauth2/v2.0/token", url, &err), 0);
	assert_string_equal(url, "https://login.test:8443/contoso.com/oauth2/v2.0/token");
	assert_int_equal(identity_app_url(&t, "https://accounts.test/auth", url, &err), 0);
	assert_string_equal(url, "https://accounts.test/auth");
	t.id = SV("contoso com");
	assert_int_equal(identity_app_url(&t, "/token", url, &err), RC_CONFIG);
}

/* ---- claims ---- */

static void claims_are_read(void **state)
{
	static const struct {
		const char *body, *user;
	} rows[] = {
		{ "{\"upn\":\"anna@contoso.com\",\"preferred_username\":\"x@y\"}",
			"anna@contoso.com" },
		{ "{\"preferred_username\":\"x@y\",\"tid\":\"t\"}", "x@y" },
		{ "{\"email\":\"e@y\"}", "e@y" },
		{ "{\"upn\":7}", "" },
		{ "{\"upn\":\"a b\"}", "" },
		{ "{\"upn\":\"a\\u001bb\"}", "" },
		{ "{}", "" },
	};
	struct identity_jwt_claims claims;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_deinitp) struct buf token = BUF_INIT(1024);

		assert_int_equal(buf_append(&token, SV("e30.")), 0);
		assert_int_equal(identity_base64url_encode(&token, sv_from(rows[i].body)), 0);
		assert_int_equal(buf_append(&token, SV(".c2ln")), 0);
		assert_int_equal(identity_jwt_claims_read(buf_sv(&token), &claims), 0);
		assert_string_equal(claims.user, rows[i].user);
	}
	assert_int_equal(identity_jwt_claims_read(SV("EwBAAl3BAAUFFpUAo7J3"), &claims), RC_PARSE);
	assert_int_equal(identity_jwt_claims_read(SV("e30.W10.x"), &claims), RC_PARSE);
	assert_int_equal(identity_jwt_claims_read(SV("e30.!.x"), &claims), RC_PARSE);
	assert_int_equal(identity_jwt_claims_read(SV(""), &claims), RC_PARSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(assertions_are_signed_from_pem),
		cmocka_unit_test(assertions_are_signed_from_pkcs12),
		cmocka_unit_test(an_encrypted_key_opens_with_its_passphrase),
		cmocka_unit_test(every_fault_of_pem_has_its_sentence),
		cmocka_unit_test(every_fault_of_pkcs12_has_its_sentence),
		cmocka_unit_test(certificates_have_their_days),
		cmocka_unit_test(apps_are_loaded_and_their_faults_told),
		cmocka_unit_test(service_accounts_speak_for_users),
		cmocka_unit_test(urls_are_made_from_the_cloud),
		cmocka_unit_test(claims_are_read),
	};

	return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
