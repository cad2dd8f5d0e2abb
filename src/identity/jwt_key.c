/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "identity/encode.h"
#include "identity/jwt.h"
#include "identity/jwt_priv.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <stdlib.h>

/* Loading keys: every fault that an administrator can make gets its own sentence. */

enum {
	BITS_MIN = 2048, /* Entra takes no less */
	/* A file with more rounds than any tool makes would hold a worker for minutes. */
	PKCS12_ROUNDS_MAX = 2000000,
	PASSPHRASE_MAX = 1024,
};

DEFINE_CLEANUP(BIO, BIO_free_all);
DEFINE_CLEANUP(PKCS12, PKCS12_free);
DEFINE_CLEANUP(X509, X509_free);
DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free);

void identity_jwt_key_free(struct identity_jwt_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->key);
	free(k);
}

static BIO *memory(struct sv bytes)
{
	BIO *bio = BIO_new_mem_buf(bytes.ptr ? bytes.ptr : "", (int)sv_head(bytes, INT32_MAX).len);

	must(bio != NULL);
	return bio;
}

struct passphrase {
	const struct secret *secret;
	bool asked;
};

static int give_passphrase(char *out, int size, int writing, void *arg)
{
	struct passphrase *p = arg;
	struct sv bytes;

	(void)writing;
	p->asked = true;
	if (!p->secret)
		return -1;
	bytes = secret_reveal(p->secret);
	if (bytes.len > (size_t)size)
		return -1;
	memcpy(out, bytes.ptr, bytes.len);
	return (int)bytes.len;
}

static int why_no_key(struct sv text, const struct passphrase *p, struct err *err)
{
	ERR_clear_error();
	if (p->asked && !p->secret)
		return err_set(err, RC_CONFIG, "the key is encrypted: name its `passphrase`");
	if (p->asked)
		return err_set(err, RC_CONFIG, "the passphrase does not open the key");
	if (sv_find(text, SV("PRIVATE KEY-----")) >= 0)
		return err_set(err, RC_CONFIG, "the key is damaged: OpenSSL cannot read it");
	if (sv_find(text, SV("BEGIN CERTIFICATE-----")) >= 0)
		return err_set(
			err, RC_CONFIG, "this is a certificate, and `key` wants the private key");
	return err_set(err, RC_CONFIG, "the key is not PEM text (-----BEGIN PRIVATE KEY-----)");
}

static int read_key(
	struct sv text, const struct secret *passphrase, EVP_PKEY **out_key, struct err *err)
{
	struct passphrase p = { .secret = passphrase };
	CLEANUP(BIO_free_allp) BIO *bio = memory(text);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &p);

	if (!key)
		return why_no_key(text, &p, err);
	*out_key = key;
	return 0;
}

static int read_certificate(struct sv text, X509 **out_certificate, struct err *err)
{
	CLEANUP(BIO_free_allp) BIO *bio = memory(text);
	struct passphrase none = { 0 };
	X509 *x = PEM_read_bio_X509(bio, NULL, give_passphrase, &none);

	if (x) {
		*out_certificate = x;
		return 0;
	}
	ERR_clear_error();
	if (sv_find(text, SV("BEGIN CERTIFICATE-----")) >= 0)
		return err_set(
			err, RC_CONFIG, "the certificate is damaged: OpenSSL cannot read it");
	if (sv_find(text, SV("PRIVATE KEY-----")) >= 0)
		return err_set(
			err, RC_CONFIG, "this is a private key, and `certificate` wants the other");
	return err_set(
		err, RC_CONFIG, "the certificate is not PEM text (-----BEGIN CERTIFICATE-----)");
}

static int check_key(const EVP_PKEY *key, struct err *err)
{
	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
		return err_set(err,
			RC_CONFIG,
			"the key is not an RSA key: the token service takes no other kind");
	if (EVP_PKEY_get_bits(key) < BITS_MIN)
		return err_set(err,
			RC_CONFIG,
			"the RSA key has %d bits; at least %d are needed",
			EVP_PKEY_get_bits(key),
			BITS_MIN);
	return 0;
}

static struct wall_time wall_of(const ASN1_TIME *t)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days = 0, seconds = 0;

	must(epoch != NULL);
	if (ASN1_TIME_diff(&days, &seconds, epoch, t) != 1)
		days = seconds = 0;
	ASN1_TIME_free(epoch);
	return (struct wall_time){ ((int64_t)days * 86400 + seconds) * (int64_t)US_PER_S };
}

static void print_of(X509 *x, const EVP_MD *md, char *out, size_t size)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(size);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	must(X509_digest(x, md, digest, &len) == 1);
	must(identity_base64url_encode(&text, sv_make((const char *)digest, len)) == 0);
	must(text.len < size);
	memcpy(out, buf_sv(&text).ptr, text.len);
	out[text.len] = '\0';
}

static int join(EVP_PKEY *key, X509 *x, struct identity_jwt_key **out_key, struct err *err)
{
	struct identity_jwt_key *k;
	int rc = check_key(key, err);

	if (rc != 0)
		return rc;
	if (x && X509_check_private_key(x, key) != 1) {
		ERR_clear_error();
		return err_set(err,
			RC_CONFIG,
			"the key does not belong to the certificate: they do not match");
	}
	k = xcalloc(1, sizeof(*k));
	if (x) {
		k->has_certificate = true;
		k->not_before = wall_of(X509_get0_notBefore(x));
		k->not_after = wall_of(X509_get0_notAfter(x));
		print_of(x, EVP_sha1(), k->x5t, sizeof(k->x5t));
		print_of(x, EVP_sha256(), k->x5t_s256, sizeof(k->x5t_s256));
	}
	must(EVP_PKEY_up_ref(key) == 1);
	k->key = key;
	*out_key = k;
	return 0;
}

int identity_jwt_key_pem(struct sv key, const struct secret *passphrase, struct sv certificate,
	struct identity_jwt_key **out_key, struct err *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
	CLEANUP(X509_freep) X509 *x = NULL;
	int rc = read_key(key, passphrase, &pkey, err);

	if (rc == 0 && certificate.len)
		rc = read_certificate(certificate, &x, err);
	return rc == 0 ? join(pkey, x, out_key, err) : rc;
}

static int check_mac(PKCS12 *p12, struct sv passphrase, struct err *err)
{
	const ASN1_INTEGER *rounds = NULL;

	if (PKCS12_mac_present(p12) != 1)
		return err_set(err,
			RC_CONFIG,
			"the PKCS#12 file has no checksum: export it again, without -nomac");
	PKCS12_get0_mac(NULL, NULL, NULL, &rounds, p12);
	if (rounds &&
		(ASN1_INTEGER_get(rounds) < 0 || ASN1_INTEGER_get(rounds) > PKCS12_ROUNDS_MAX))
		return err_set(
			err, RC_CONFIG, "the PKCS#12 file asks for more work than any tool writes");
	/* Empty and absent are two different passphrases to PKCS#12. */
	if (PKCS12_verify_mac(p12, passphrase.ptr, (int)passphrase.len) == 1 ||
		(passphrase.len == 0 && PKCS12_verify_mac(p12, "", 0) == 1))
		return 0;
	ERR_clear_error();
	return err_set(err,
		RC_CONFIG,
		"%s",
		passphrase.len ? "the passphrase does not open the PKCS#12 file"
			       : "the PKCS#12 file is encrypted: name its `passphrase`");
}

int identity_jwt_key_pkcs12(struct sv bytes, const struct secret *passphrase,
	struct identity_jwt_key **out_key, struct err *err)
{
	CLEANUP(BIO_free_allp) BIO *bio = memory(bytes);
	CLEANUP(PKCS12_freep) PKCS12 *p12 = d2i_PKCS12_bio(bio, NULL);
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	CLEANUP(X509_freep) X509 *x = NULL;
	struct sv pass = passphrase ? secret_reveal(passphrase) : sv_make(NULL, 0);
	char text[PASSPHRASE_MAX] = ""; /* OpenSSL wants it NUL-ended */
	int rc;

	if (pass.len >= sizeof(text))
		return err_set(err, RC_CONFIG, "the passphrase is too long");
	if (!p12) {
		ERR_clear_error();
		return err_set(err, RC_CONFIG, "the file is not PKCS#12 (.pfx or .p12)");
	}
	rc = check_mac(p12, pass, err);
	if (rc != 0)
		return rc;
	memcpy(text, pass.len ? pass.ptr : "", pass.len);
	rc = PKCS12_parse(p12, text, &key, &x, NULL) == 1 ? 0 : RC_CONFIG;
	secret_wipe(text, sizeof(text));
	if (rc != 0) {
		ERR_clear_error();
		return err_set(err,
			RC_CONFIG,
			"the PKCS#12 file cannot be opened: an old cipher (RC2)? Export it again, "
			"with AES");
	}
	if (!key || !x)
		return err_set(err,
			RC_CONFIG,
			"the PKCS#12 file has no %s: export the key and its certificate together",
			key ? "certificate" : "private key");
	return join(key, x, out_key, err);
}

int identity_jwt_key_check(const struct identity_jwt_key *k, struct wall_time now, struct err *err)
{
	char day[WALL_RFC3339_MAX];

	if (!k->has_certificate)
		return 0;
	if (now.us >= k->not_after.us)
		return err_set(err,
			RC_CONFIG,
			"the certificate expired on %.10s: make a new one, and upload it to the "
			"app registration",
			wall_rfc3339(k->not_after, day));
	if (now.us < k->not_before.us)
		return err_set(err,
			RC_CONFIG,
			"the certificate is not valid before %.10s: is the clock of this machine "
			"right?",
			wall_rfc3339(k->not_before, day));
	return 0;
}

struct wall_time identity_jwt_key_not_after(const struct identity_jwt_key *k)
{
	return k->not_after;
}
