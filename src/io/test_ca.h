/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmocka_all.h"

/* A certificate authority for one run of the tests: keys and certificates that no one else knows. */
struct test_ca {
	char folder[64];
	char ca[96], other_ca[96]; /* the second one has signed nothing */
	char chain[96], key[96];   /* relay.test, *.pool.test, localhost and 127.0.0.1 */
};

static inline void test_ca_extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(x, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

/* Signed by itself without an issuer. */
static inline X509 *test_ca_certificate(
	const char *name, long serial, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *x = X509_new();
	X509_NAME *subject;

	assert_non_null(x);
	assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), serial), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -3600));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
	assert_int_equal(X509_set_pubkey(x, key), 1);
	subject = X509_get_subject_name(x);
	assert_int_equal(
		X509_NAME_add_entry_by_txt(
			subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0),
		1);
	assert_int_equal(
		X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : subject), 1);
	if (issuer) {
		test_ca_extend(x,
			issuer,
			NID_subject_alt_name,
			"DNS:relay.test,DNS:*.pool.test,DNS:localhost,IP:127.0.0.1");
	} else {
		test_ca_extend(x, x, NID_basic_constraints, "critical,CA:TRUE");
		test_ca_extend(x, x, NID_key_usage, "critical,keyCertSign");
	}
	assert_true(X509_sign(x, issuer_key, EVP_sha256()) > 0);
	return x;
}

static inline void test_ca_write(const char *path, X509 *x, EVP_PKEY *key)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	if (x)
		assert_int_equal(PEM_write_X509(file, x), 1);
	if (key)
		assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(fclose(file), 0);
}

static inline void test_ca_open(struct test_ca *t)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *other_key = EVP_EC_gen("P-256");
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *ca, *other, *leaf;

	assert_true(ca_key && other_key && key);
	ca = test_ca_certificate("Test CA", 1, ca_key, NULL, ca_key);
	other = test_ca_certificate("Other CA", 2, other_key, NULL, other_key);
	leaf = test_ca_certificate("relay", 3, key, ca, ca_key);
	(void)snprintf(t->folder, sizeof(t->folder), "/tmp/postern-test-XXXXXX");
	assert_non_null(mkdtemp(t->folder));
	(void)snprintf(t->ca, sizeof(t->ca), "%s/ca.pem", t->folder);
	(void)snprintf(t->other_ca, sizeof(t->other_ca), "%s/other.pem", t->folder);
	(void)snprintf(t->chain, sizeof(t->chain), "%s/chain.pem", t->folder);
	(void)snprintf(t->key, sizeof(t->key), "%s/key.pem", t->folder);
	test_ca_write(t->ca, ca, NULL);
	test_ca_write(t->other_ca, other, other_key);
	test_ca_write(t->chain, leaf, NULL);
	test_ca_write(t->key, NULL, key);
	X509_free(ca);
	X509_free(other);
	X509_free(leaf);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(other_key);
	EVP_PKEY_free(key);
}

static inline void test_ca_close(struct test_ca *t)
{
	(void)unlink(t->ca);
	(void)unlink(t->other_ca);
	(void)unlink(t->chain);
	(void)unlink(t->key);
	(void)rmdir(t->folder);
}
