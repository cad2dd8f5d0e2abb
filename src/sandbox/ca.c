/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/ca.h"

#include "base/buf.h"
#include "base/must.h"
#include "io/file.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#define CA_NAME "postern sandbox CA"

enum {
	VALID_DAYS =
		3652, /* ten years: a trusted CA that ends in a month breaks what was set up with it */
	RENEW_DAYS = 7,
	NAMES_MAX = 512
};

static X509 *new_certificate(EVP_PKEY *key, const char *name, long serial)
{
	X509 *x = X509_new();
	X509_NAME *subject;

	must(x != NULL);
	must(X509_set_version(x, 2) == 1);
	must(ASN1_INTEGER_set(X509_get_serialNumber(x), serial) == 1);
	must(X509_gmtime_adj(X509_getm_notBefore(x), -3600) != NULL);
	must(X509_time_adj_ex(X509_getm_notAfter(x), VALID_DAYS, 0, NULL) != NULL);
	must(X509_set_pubkey(x, key) == 1);
	subject = X509_get_subject_name(x);
	must(X509_NAME_add_entry_by_txt(
		     subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1);
	return x;
}

static bool extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;
	int ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!extension)
		return false;
	ok = X509_add_ext(x, extension, -1);
	X509_EXTENSION_free(extension);
	return ok == 1;
}

static int write_pem(struct sv folder, const char *name, X509 *first, X509 *second, EVP_PKEY *key,
	struct err *err)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char path[4096];
	char *bytes;
	long len;
	int rc;

	must(bio != NULL);
	if (key)
		must(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
	if (first)
		must(PEM_write_bio_X509(bio, first) == 1);
	if (second)
		must(PEM_write_bio_X509(bio, second) == 1);
	len = BIO_get_mem_data(bio, &bytes);
	(void)snprintf(path, sizeof(path), "%.*s/%s", SV_ARG(folder), name);
	rc = io_file_write_durably(path, sv_make(bytes, (size_t)len), key ? 0600 : 0644, err);
	BIO_free(bio);
	return rc;
}

/* A certificate that the CA has signed, for a server or for the connector's client. */
static int make_leaf(struct sv folder, const char *file, X509 *ca, EVP_PKEY *ca_key,
	const char *names, struct err *err)
{
	bool client = strcmp(file, "client") == 0;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char name[32];
	X509 *leaf;
	int rc;

	must(key != NULL);
	leaf = new_certificate(
		key, client ? SANDBOX_CLIENT_NAME : "postern sandbox", client ? 3 : 2);
	must(X509_set_issuer_name(leaf, X509_get_subject_name(ca)) == 1);
	if (extend(leaf, ca, NID_subject_alt_name, names) &&
		extend(leaf, ca, NID_ext_key_usage, client ? "clientAuth" : "serverAuth")) {
		must(X509_sign(leaf, ca_key, EVP_sha256()) > 0);
		(void)snprintf(name, sizeof(name), "%s.key", file);
		rc = write_pem(folder, name, NULL, NULL, key, err);
		(void)snprintf(name, sizeof(name), "%s.pem", file);
		if (rc == 0)
			rc = write_pem(folder, name, leaf, ca, NULL, err);
	} else {
		rc = err_set(err, RC_CONFIG, "'%s' cannot be certificate names", names);
	}
	X509_free(leaf);
	EVP_PKEY_free(key);
	return rc;
}

static int make_all(struct sv folder, const char *names, struct err *err)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256");
	X509 *ca;
	int rc;

	must(ca_key != NULL);
	ca = new_certificate(ca_key, CA_NAME, 1);
	must(X509_set_issuer_name(ca, X509_get_subject_name(ca)) == 1);
	must(extend(ca, ca, NID_basic_constraints, "critical,CA:TRUE") &&
		extend(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") &&
		extend(ca, ca, NID_subject_key_identifier, "hash"));
	must(X509_sign(ca, ca_key, EVP_sha256()) > 0);
	rc = make_leaf(folder, "server", ca, ca_key, names, err);
	if (rc == 0)
		rc = make_leaf(folder, "client", ca, ca_key, "DNS:" SANDBOX_CLIENT_NAME, err);
	if (rc == 0)
		rc = write_pem(folder, "ca.key", NULL, NULL, ca_key, err);
	if (rc == 0)
		rc = write_pem(folder, "ca.pem", ca, NULL, NULL, err);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	return rc;
}

static bool is_ours(const X509 *x)
{
	char name[64] = "";

	(void)X509_NAME_get_text_by_NID(
		X509_get_issuer_name(x), NID_commonName, name, sizeof(name));
	return strcmp(name, CA_NAME) == 0;
}

/*
 * One of ours that ends soon, or lacks the name that is asked for. What somebody else put there (a test
 * with an expired certificate, say) stays as it is.
 */
static bool is_over(struct sv folder, const char *file, struct sv host_name)
{
	int days = 0, seconds = 0;
	char path[4096];
	X509 *x;
	FILE *f;
	bool over;

	(void)snprintf(path, sizeof(path), "%.*s/%s", SV_ARG(folder), file);
	f = fopen(path, "re");
	if (!f)
		return false;
	x = PEM_read_X509(f, NULL, NULL, NULL);
	(void)fclose(f);
	over = x && is_ours(x) &&
	       (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x)) != 1 ||
		       days < RENEW_DAYS ||
		       (host_name.len &&
			       X509_check_host(x, host_name.ptr, host_name.len, 0, NULL) != 1));
	X509_free(x);
	return over;
}

int sandbox_ca_make(struct sv folder, struct sv host_name, struct err *err)
{
	char path[4096], names[NAMES_MAX];
	bool made;
	int rc;

	(void)snprintf(path, sizeof(path), "%.*s", SV_ARG(folder));
	rc = io_folder_make(path, 0755, err);
	if (rc != 0)
		return rc;
	/* Written last; a folder without it, or of a version that had no ca.key, is made anew. */
	(void)snprintf(path, sizeof(path), "%.*s/ca.key", SV_ARG(folder));
	made = access(path, R_OK) == 0;
	(void)snprintf(path, sizeof(path), "%.*s/ca.pem", SV_ARG(folder));
	if (made && access(path, R_OK) == 0 && !is_over(folder, "ca.pem", SV("")) &&
		!is_over(folder, "server.pem", host_name))
		return 0;
	(void)snprintf(names,
		sizeof(names),
		"DNS:localhost,IP:127.0.0.1,IP:::1,DNS:smtp.office365.com,"
		"DNS:smtp.hve.mx.microsoft,DNS:contoso-com.mail.protection.outlook.com,"
		"DNS:login.microsoftonline.com,DNS:graph.microsoft.com%s%.*s",
		host_name.len ? ",DNS:" : "",
		SV_ARG(host_name));
	return make_all(folder, names, err);
}
