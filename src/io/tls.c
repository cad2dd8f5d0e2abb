/* SPDX-License-Identifier: Apache-2.0 */
#include "io/stream.h"

#include "base/limits.h"
#include "base/must.h"
#include "base/secret.h"
#include "io/dnssec.h"
#include "io/stream_priv.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	USAGE_DANE_TA = 2, /* RFC 7218 */
	USAGE_DANE_EE = 3
};

/* OpenSSL's places for what belongs to a context or a connection; contexts are made on any thread. */
static pthread_once_t slots_once = PTHREAD_ONCE_INIT;
static int ctx_slot, host_slot;

static void free_host(
	void *parent, void *host, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)argl;
	(void)argp;
	free(host);
}

static void make_slots(void)
{
	ctx_slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	host_slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_host);
	must(ctx_slot >= 0 && host_slot >= 0);
}

static struct tls_session *find_session(struct io_tls *t, struct sv host)
{
	for (struct tls_session *s = t->sessions; s; s = s->next) {
		if (sv_eq(sv_from(s->host), host))
			return s;
	}
	return NULL;
}

/* OpenSSL has a ticket for us: keep the newest of each host. Returns 1: the reference is ours. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct io_tls *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ctx_slot);
	const char *host = SSL_get_ex_data(ssl, host_slot);
	struct tls_session *s;

	if (!t || !host)
		return 0;
	s = find_session(t, sv_from(host));
	if (!s) {
		if (t->session_count == LIMIT_TLS_SESSIONS)
			return 0;
		s = xcalloc(1, sizeof(*s));
		s->host = sv_dup(sv_from(host));
		s->next = t->sessions;
		t->sessions = s;
		t->session_count++;
	}
	SSL_SESSION_free(s->session);
	s->session = session;
	return 1;
}

static struct io_tls *new_context(const SSL_METHOD *method, bool server, struct err *err)
{
	struct io_tls *t = xcalloc(1, sizeof(*t));

	must(pthread_once(&slots_once, make_slots) == 0);
	t->refs = 1;
	t->server = server;
	t->ctx = SSL_CTX_new(method);
	if (!t->ctx) {
		free(t);
		(void)err_set(err, RC_TLS, "OpenSSL gives no TLS context");
		return NULL;
	}
	must(SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION) == 1);
	(void)SSL_CTX_set_options(t->ctx,
		SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
			SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CLEANSE_PLAINTEXT);
	/* RELEASE_BUFFERS halves what an idle connection costs. */
	(void)SSL_CTX_set_mode(t->ctx,
		SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	must(SSL_CTX_set_ex_data(t->ctx, ctx_slot, t) == 1);
	return t;
}

static int openssl_fail(struct err *err, const char *what, const char *file)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	int rc = err_set(err, RC_TLS, "%s %s: %s", what, file, reason ? reason : "cannot be used");

	ERR_clear_error();
	return rc;
}

static void read_not_after(struct io_tls *t)
{
	const X509 *x = SSL_CTX_get0_certificate(t->ctx);
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days = 0, seconds = 0;

	if (x && epoch && ASN1_TIME_diff(&days, &seconds, epoch, X509_get0_notAfter(x)) == 1)
		t->not_after.us = ((int64_t)days * 86400 + seconds) * (int64_t)US_PER_S;
	ASN1_TIME_free(epoch);
}

/*
 * What old printers and scanners need: TLS 1.0, RSA key exchange, CBC with SHA-1. Level 0 of OpenSSL,
 * because TLS 1.0 signs with MD5 and SHA-1. 3DES is not built into Debian's OpenSSL 3. DEFAULT leaves
 * out for good what has no certificate or no encryption.
 */
static const char legacy_ciphers[] = "DEFAULT:@SECLEVEL=0";

/*
 * For TLS 1.2, all others: forward secrecy and authenticated encryption. DHE is for Windows Server 2012 R2, whose
 * only AEAD suites with an RSA certificate are these.
 */
static const char modern_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!DSS";

static void allow_old(SSL_CTX *ctx)
{
	must(SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION) == 1);
	must(SSL_CTX_set_cipher_list(ctx, legacy_ciphers) == 1);
}

struct io_tls *io_tls_server_new_profile(const char *certificate_file, const char *key_file,
	enum io_tls_profile profile, struct err *err)
{
	struct io_tls *t = new_context(TLS_server_method(), true, err);
	static const unsigned char session_name[] = "postern";

	if (!t)
		return NULL;
	if (profile == IO_TLS_LEGACY)
		allow_old(t->ctx);
	else
		must(SSL_CTX_set_cipher_list(t->ctx, modern_ciphers) == 1);
	(void)SSL_CTX_set_dh_auto(t->ctx, 1);
	io_tls_print_bytes(t, profile == IO_TLS_LEGACY ? SV("legacy") : SV("modern"));
	io_tls_print_file(t, certificate_file);
	io_tls_print_file(t, key_file);
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(t->ctx, certificate_file) != 1)
		(void)openssl_fail(err, "certificate", certificate_file);
	else if (SSL_CTX_use_PrivateKey_file(t->ctx, key_file, SSL_FILETYPE_PEM) != 1)
		(void)openssl_fail(err, "key", key_file);
	else if (SSL_CTX_check_private_key(t->ctx) != 1)
		(void)openssl_fail(err, "the certificate does not belong to the key", key_file);
	else {
		must(SSL_CTX_set_session_id_context(
			     t->ctx, session_name, sizeof(session_name) - 1) == 1);
		read_not_after(t);
		return t;
	}
	io_tls_unref(t);
	return NULL;
}

struct io_tls *io_tls_server_new(
	const char *certificate_file, const char *key_file, struct err *err)
{
	return io_tls_server_new_profile(certificate_file, key_file, IO_TLS_MODERN, err);
}

/* ---- the client's own certificate ---- */

struct passphrase {
	const struct secret *secret;
	bool asked;
};

static int give_passphrase(char *to, int size, int writing, void *arg)
{
	struct passphrase *p = arg;
	struct sv text = secret_reveal(p->secret);

	(void)writing;
	p->asked = true;
	if (!p->secret || size < 0 || text.len > (size_t)size)
		return -1;
	if (text.len)
		memcpy(to, text.ptr, text.len);
	return (int)text.len;
}

static EVP_PKEY *read_key(struct sv pem, const struct secret *passphrase, struct err *err)
{
	struct passphrase p = { .secret = passphrase };
	BIO *bio;
	EVP_PKEY *key;

	if (pem.len == 0 || pem.len > INT_MAX) {
		(void)err_set(err, RC_TLS, "the key of the client certificate is empty");
		return NULL;
	}
	bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
	must(bio != NULL);
	ERR_clear_error();
	key = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &p);
	BIO_free(bio);
	if (!key && p.asked)
		(void)err_set(err,
			RC_TLS,
			passphrase
				? "the passphrase does not open the key of the client certificate"
				: "the key of the client certificate is encrypted: a passphrase is "
				  "needed");
	else if (!key)
		(void)err_set(err,
			RC_TLS,
			"the key of the client certificate is not a private key in PEM form");
	ERR_clear_error();
	return key;
}

static int check_dates(const X509 *x, const char *file, struct wall_time not_after, struct err *err)
{
	char text[WALL_RFC3339_MAX];

	if (X509_cmp_current_time(X509_get0_notAfter(x)) <= 0)
		return err_set(err,
			RC_TLS,
			"certificate %s: it expired on %.10s: a new one is needed",
			file,
			wall_rfc3339(not_after, text));
	if (X509_cmp_current_time(X509_get0_notBefore(x)) > 0)
		return err_set(err,
			RC_TLS,
			"certificate %s: it is not valid yet: check the clock of this machine",
			file);
	return 0;
}

int io_tls_client_identity(struct io_tls *t, const char *certificate_file, struct sv key_pem,
	const struct secret *passphrase, struct err *err)
{
	EVP_PKEY *key;
	const X509 *x;
	int rc;

	must(!t->server);
	io_tls_print_file(t, certificate_file);
	io_tls_print_bytes(t, key_pem);
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(t->ctx, certificate_file) != 1)
		return openssl_fail(err, "certificate", certificate_file);
	read_not_after(t);
	x = SSL_CTX_get0_certificate(t->ctx);
	must(x != NULL);
	rc = check_dates(x, certificate_file, t->not_after, err);
	if (rc != 0)
		return rc;
	key = read_key(key_pem, passphrase, err);
	if (!key)
		return RC_TLS;
	if (SSL_CTX_use_PrivateKey(t->ctx, key) != 1 || SSL_CTX_check_private_key(t->ctx) != 1)
		rc = err_set(err,
			RC_TLS,
			"certificate %s: the key does not belong to it",
			certificate_file);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return rc;
}

struct io_tls *io_tls_client_new(const char *ca_file, struct err *err)
{
	struct io_tls *t = new_context(TLS_client_method(), false, err);
	int ok;

	if (!t)
		return NULL;
	if (ca_file)
		io_tls_print_file(t, ca_file);
	else
		io_tls_print_system(t);
	ERR_clear_error();
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
	must(SSL_CTX_dane_enable(t->ctx) == 1);
	ok = ca_file ? SSL_CTX_load_verify_file(t->ctx, ca_file)
		     : SSL_CTX_set_default_verify_paths(t->ctx);
	if (ok != 1) {
		(void)openssl_fail(err, "CA file", ca_file ? ca_file : "of the system");
		io_tls_unref(t);
		return NULL;
	}
	(void)SSL_CTX_set_session_cache_mode(
		t->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(t->ctx, on_new_session);
	return t;
}

struct io_tls *io_tls_ref(struct io_tls *t)
{
	t->refs++;
	return t;
}

void io_tls_unref(struct io_tls *t)
{
	if (!t || --t->refs > 0)
		return;
	while (t->sessions) {
		struct tls_session *s = t->sessions;

		t->sessions = s->next;
		SSL_SESSION_free(s->session);
		free(s->host);
		free(s);
	}
	SSL_CTX_free(t->ctx);
	free(t);
}

struct wall_time io_tls_not_after(const struct io_tls *t)
{
	return t->not_after;
}

SSL *io_tls_begin_server(struct io_tls *t, int fd)
{
	SSL *ssl = SSL_new(t->ctx);

	must(ssl != NULL);
	must(SSL_set_fd(ssl, fd) == 1);
	SSL_set_accept_state(ssl);
	return ssl;
}

/* `host` is not const only because SSL_set_tlsext_host_name() casts it so. */
static bool set_peer_name(SSL *ssl, char *host)
{
	unsigned char address[16];

	if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	SSL_set_hostflags(ssl, IO_TLS_HOST_FLAGS);
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

/*
 * Only DANE-EE(3) and DANE-TA(2) count in mail (RFC 7672 3.1.3); with none that can be used the CAs
 * decide as always. True when the records decide.
 */
static bool add_records(SSL *ssl, const char *host, const struct io_tlsa *records, size_t count)
{
	size_t usable = 0;

	must(SSL_dane_enable(ssl, host) > 0);
	/* DANE-EE: the record is the name, and its dates are the dates (RFC 7672 3.1.1). */
	(void)SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	for (size_t i = 0; i < count; i++) {
		const struct io_tlsa *r = &records[i];

		if (r->usage != USAGE_DANE_TA && r->usage != USAGE_DANE_EE)
			continue;
		if (SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching, r->data, r->len) > 0)
			usable++;
	}
	ERR_clear_error();
	return usable > 0;
}

SSL *io_tls_begin_client(struct io_tls *t, int fd, const struct tls_peer *peer, struct err *err)
{
	SSL *ssl = SSL_new(t->ctx);
	struct tls_session *resumed;
	struct sv host = peer->host;
	char *name;
	bool dane;

	must(ssl != NULL);
	must(SSL_set_fd(ssl, fd) == 1);
	name = sv_dup(host);
	/* Never without a name: a certificate of anybody would do. */
	if (host.len == 0 || !set_peer_name(ssl, name)) {
		(void)err_set(err, RC_TLS, "'%s' is no name that a certificate can be for", name);
		free(name);
		SSL_free(ssl);
		return NULL;
	}
	dane = peer->tlsa_count > 0 && add_records(ssl, name, peer->tlsa, peer->tlsa_count);
	SSL_set_connect_state(ssl);
	/* A resumed session shows no certificate that today's records could be held against. */
	if (dane) {
		free(name);
		return ssl;
	}
	must(SSL_set_ex_data(ssl, host_slot, name) == 1);
	resumed = find_session(t, host);
	if (resumed && SSL_SESSION_is_resumable(resumed->session))
		(void)SSL_set_session(ssl, resumed->session);
	return ssl;
}

void io_tls_describe(SSL *ssl, char *out, size_t size)
{
	(void)snprintf(out,
		size,
		"%s %s%s",
		SSL_get_version(ssl),
		SSL_get_cipher_name(ssl),
		SSL_get0_dane_authority(ssl, NULL, NULL) >= 0 ? " DANE" : "");
}

int io_tls_fail(SSL *ssl, struct sv host, int ssl_error, struct err *err)
{
	long verify = SSL_get_verify_result(ssl);
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	if (verify != X509_V_OK)
		return err_set(err,
			RC_TLS,
			"the certificate of %.*s is not valid: %s",
			SV_ARG(host),
			X509_verify_cert_error_string(verify));
	if (reason)
		return err_set(err, RC_TLS, "TLS: %s", reason);
	return err_set(err,
		ssl_error == SSL_ERROR_SYSCALL || ssl_error == SSL_ERROR_ZERO_RETURN ? RC_CLOSED
										     : RC_TLS,
		"TLS: the other side closed during the handshake");
}
