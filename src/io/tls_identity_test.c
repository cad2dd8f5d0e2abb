/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"
#include "io/stream.h"
#include "io/stream_priv.h"
#include "io/test_ca.h"
#include "io/test_net.h"

#include <openssl/err.h>

#include "cmocka_all.h"

/* Certificates of clients, and what old clients need. */

static struct test_ca ca;

struct identity {
	char chain[96];
	char *pem, *locked; /* the key, in the clear and behind "geheim" */
};
static struct identity good, expired, early, rsa;

static void read_pem(const char *path, X509 **out_x, EVP_PKEY **out_key)
{
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	*out_x = PEM_read_X509(file, NULL, NULL, NULL);
	*out_key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	assert_int_equal(fclose(file), 0);
	assert_true(*out_x && *out_key);
}

static char *key_text(EVP_PKEY *key, const char *passphrase)
{
	BIO *bio = BIO_new(BIO_s_mem());
	/* Not const in OpenSSL. */
	unsigned char pass[16] = { 0 };
	size_t len = passphrase ? strlen(passphrase) : 0;
	char *text, *bytes;
	long n;

	memcpy(pass, passphrase ? passphrase : "", len);
	assert_int_equal(PEM_write_bio_PrivateKey(bio,
				 key,
				 passphrase ? EVP_aes_128_cbc() : NULL,
				 passphrase ? pass : NULL,
				 (int)len,
				 NULL,
				 NULL),
		1);
	n = BIO_get_mem_data(bio, &bytes);
	text = sv_dup(sv_make(bytes, (size_t)n));
	BIO_free(bio);
	return text;
}

/* Signed by the other authority, valid from and until so many seconds from now. */
static void make_identity(
	struct identity *id, const char *name, EVP_PKEY *key, long from_s, long until_s)
{
	X509 *other, *x;
	EVP_PKEY *other_key;

	read_pem(ca.other_ca, &other, &other_key);
	x = test_ca_certificate(name, 9, key, other, other_key);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), from_s));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), until_s));
	assert_true(X509_sign(x, other_key, EVP_sha256()) > 0);
	(void)snprintf(id->chain, sizeof(id->chain), "%s/%s.pem", ca.folder, name);
	test_ca_write(id->chain, x, NULL);
	id->pem = key_text(key, NULL);
	id->locked = key_text(key, "geheim");
	X509_free(x);
	X509_free(other);
	EVP_PKEY_free(other_key);
	EVP_PKEY_free(key);
}

static void drop_identity(struct identity *id)
{
	(void)unlink(id->chain);
	free(id->pem);
	free(id->locked);
}

/* ---- the client's own certificate ---- */

struct identity_row {
	const struct identity *certificate, *key;
	bool locked;
	const char *passphrase;
	const char *words; /* NULL: it is good */
};

static const struct identity_row identity_rows[] = {
	{ &good, &good, false, NULL, NULL },
	{ &good, &good, false, "not needed", NULL },
	{ &good, &good, true, "geheim", NULL },
	{ &rsa, &rsa, true, "geheim", NULL },
	{ &good,
		&good,
		true,
		"falsch",
		"the passphrase does not open the key of the client certificate" },
	{ &good,
		&good,
		true,
		NULL,
		"the key of the client certificate is encrypted: a passphrase is needed" },
	{ &good, &expired, false, NULL, "good.pem: the key does not belong to it" },
	{ &good, &rsa, false, NULL, "good.pem: the key does not belong to it" },
	{ &expired, &expired, false, NULL, "expired.pem: it expired on 20" },
	{ &early, &early, false, NULL, "early.pem: it is not valid yet" },
};

static int use(struct io_tls *t, const struct identity_row *row, struct err *err)
{
	struct secret *pass = row->passphrase ? secret_new(sv_from(row->passphrase)) : NULL;
	int rc = io_tls_client_identity(t,
		row->certificate->chain,
		sv_from(row->locked ? row->key->locked : row->key->pem),
		pass,
		err);

	secret_free(pass);
	return rc;
}

static void identities_are_checked_with_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(identity_rows); i++) {
		const struct identity_row *row = &identity_rows[i];
		struct err err = { 0 };
		struct io_tls *t = io_tls_client_new(ca.ca, NULL);
		int rc;

		assert_non_null(t);
		assert_int_equal(io_tls_not_after(t).us, 0);
		rc = use(t, row, &err);
		if (rc != (row->words ? RC_TLS : 0) ||
			!strstr(err.text, row->words ? row->words : ""))
			fail_msg("row %zu: %d '%s'", i, rc, err.text);
		if (strstr(err.text, "geheim") || strstr(err.text, "falsch"))
			fail_msg("a passphrase in '%s'", err.text);
		if (rc == 0) {
			assert_true(io_tls_not_after(t).us > io_clock_wall().us);
			assert_string_equal(err.text, "");
		}
		assert_int_equal(ERR_peek_error(), 0);
		io_tls_unref(t);
	}
}

static void what_is_no_pem_is_refused(void **state)
{
	static const struct sv bad[] = {
		{ NULL, 0 }, SV_INIT("not a key"), SV_INIT("-----BEGIN PRIVATE KEY-----\nAAAA\n")
	};
	struct io_tls *t = io_tls_client_new(ca.ca, NULL);
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		err.text[0] = '\0';
		assert_int_equal(io_tls_client_identity(t, good.chain, bad[i], NULL, &err), RC_TLS);
		assert_non_null(strstr(err.text, "the key of the client certificate is "));
	}
	assert_int_equal(
		io_tls_client_identity(t, "/nonexistent/c.pem", sv_from(good.pem), NULL, &err),
		RC_TLS);
	assert_non_null(strstr(err.text, "certificate /nonexistent/c.pem: "));
	assert_int_equal(io_tls_client_identity(t, ca.key, sv_from(good.pem), NULL, &err), RC_TLS);
	assert_non_null(strstr(err.text, ca.key));
	io_tls_unref(t);
}

static bool both_secured(struct net *n)
{
	return n->a.counts[IO_STREAM_SECURED] && n->b.counts[IO_STREAM_SECURED];
}

static void servers_that_ask_see_the_certificate(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, 0 };
	struct net n;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		open_pair(&n, true);
		n.a.tls = io_tls_client_new(ca.ca, NULL);
		n.b.tls = io_tls_server_new(ca.chain, ca.key, NULL);
		assert_true(n.a.tls && n.b.tls);
		if (versions[i / 2])
			assert_int_equal(
				SSL_CTX_set_max_proto_version(n.b.tls->ctx, versions[i / 2]), 1);
		SSL_CTX_set_verify(
			n.b.tls->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		assert_int_equal(SSL_CTX_load_verify_file(n.b.tls->ctx, ca.other_ca), 1);
		if (i % 2)
			assert_int_equal(use(n.a.tls, &identity_rows[2], NULL), 0);
		io_stream_tls_server(n.b.s, n.b.tls);
		io_stream_tls_client(n.a.s, n.a.tls, SV("relay.test"));
		run_until(&n, i % 2 ? both_secured : b_gone);
		if (!(i % 2))
			assert_non_null(strstr(n.b.err.text, "did not return a certificate"));
		close_net(&n);
	}
}

static void keep_name(void *arg, struct sv name)
{
	char *names = arg;
	size_t len = strlen(names);

	must(len + name.len + 2 < GOT_MAX);
	(void)snprintf(names + len, GOT_MAX - len, "%.*s ", SV_ARG(name));
}

static void servers_that_only_ask_tell_clients_apart(void **state)
{
	static const struct {
		const struct identity *shown;
		const char *ca_file;
		const char *names;
	} asked[] = {
		{ NULL, ca.other_ca, "" },
		{ &good, ca.other_ca, "relay.test *.pool.test localhost good " },
		{ &good, ca.ca, "" }, /* of another authority */
	};
	struct err err = { 0 };

	(void)state;
	/* Twice: the second session is resumed, and says the same. */
	for (size_t i = 0; i < 2 * COUNT_OF(asked); i++) {
		static struct io_tls *client, *server;
		const struct identity *shown = asked[i / 2].shown;
		char names[GOT_MAX] = "";
		struct net n;

		if (i % 2 == 0) {
			client = io_tls_client_new(ca.ca, NULL);
			server = io_tls_server_new(ca.chain, ca.key, NULL);
			assert_true(client && server);
			if (shown)
				assert_int_equal(io_tls_client_identity(client,
							 shown->chain,
							 sv_from(shown->pem),
							 NULL,
							 NULL),
					0);
			assert_int_equal(
				io_tls_server_ask_certificate(server, asked[i / 2].ca_file, &err),
				0);
		}
		open_pair(&n, true);
		n.a.tls = io_tls_ref(client);
		n.b.tls = io_tls_ref(server);
		io_stream_tls_server(n.b.s, n.b.tls);
		io_stream_tls_client(n.a.s, n.a.tls, SV("relay.test"));
		run_until(&n, both_secured);
		io_stream_peer_names(n.b.s, keep_name, names);
		assert_string_equal(names, asked[i / 2].names);
		send_text(&n.a, "QUIT\n");
		send_text(&n.b, "221\n");
		run_until(&n, both_have_lines);
		close_net(&n);
		if (i % 2 == 1) {
			assert_int_equal(SSL_CTX_sess_hits(server->ctx), 1);
			assert_int_equal(
				io_tls_server_ask_certificate(server, "/nonexistent/ca.pem", &err),
				RC_TLS);
			assert_non_null(strstr(err.text, "CA file /nonexistent/ca.pem "));
			io_tls_unref(client);
			io_tls_unref(server);
		}
	}
}

/* ---- old clients ---- */

struct old_row {
	enum io_tls_profile profile;
	int version;
	const char *ciphers;
	const char *agreed; /* NULL: refused */
};

static const struct old_row old_rows[] = {
	{ IO_TLS_LEGACY, TLS1_VERSION, "AES128-SHA:@SECLEVEL=0", "TLSv1 AES128-SHA" },
	{ IO_TLS_LEGACY, TLS1_1_VERSION, "AES256-SHA:@SECLEVEL=0", "TLSv1.1 AES256-SHA" },
	{ IO_TLS_LEGACY, TLS1_2_VERSION, "AES128-SHA256:@SECLEVEL=0", "TLSv1.2 AES128-SHA256" },
	{ IO_TLS_LEGACY,
		TLS1_VERSION,
		"ECDHE-RSA-AES128-SHA:@SECLEVEL=0",
		"TLSv1 ECDHE-RSA-AES128-SHA" },
	{ IO_TLS_LEGACY,
		TLS1_VERSION,
		"DHE-RSA-AES128-SHA:@SECLEVEL=0",
		"TLSv1 DHE-RSA-AES128-SHA" },
	{ IO_TLS_LEGACY, TLS1_3_VERSION, "DEFAULT", "TLSv1.3 TLS_AES_256_GCM_SHA384" },
	/* Old, but never without a certificate or encryption. */
	{ IO_TLS_LEGACY, TLS1_VERSION, "aNULL:@SECLEVEL=0", NULL },
	{ IO_TLS_LEGACY, TLS1_VERSION, "eNULL:@SECLEVEL=0", NULL },
	{ IO_TLS_MODERN, TLS1_VERSION, "AES128-SHA:@SECLEVEL=0", NULL },
	{ IO_TLS_MODERN, TLS1_1_VERSION, "ALL:@SECLEVEL=0", NULL },
	{ IO_TLS_MODERN, TLS1_2_VERSION, "DEFAULT", "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384" },
};

static void old_clients_are_served_where_it_is_written_down(void **state)
{
	char key_file[128];
	FILE *file;

	(void)state;
	(void)snprintf(key_file, sizeof(key_file), "%s/rsa-key.pem", ca.folder);
	file = fopen(key_file, "w");
	assert_non_null(file);
	assert_true(fputs(rsa.pem, file) >= 0);
	assert_int_equal(fclose(file), 0);
	for (size_t i = 0; i < COUNT_OF(old_rows); i++) {
		const struct old_row *row = &old_rows[i];
		struct net n;

		open_pair(&n, true);
		n.b.tls = io_tls_server_new_profile(rsa.chain, key_file, row->profile, NULL);
		n.a.tls = io_tls_client_new(ca.other_ca, NULL);
		assert_true(n.a.tls && n.b.tls);
		assert_int_equal(SSL_CTX_set_min_proto_version(n.a.tls->ctx, row->version), 1);
		assert_int_equal(SSL_CTX_set_max_proto_version(n.a.tls->ctx, row->version), 1);
		assert_int_equal(SSL_CTX_set_cipher_list(n.a.tls->ctx, row->ciphers), 1);
		io_stream_tls_server(n.b.s, n.b.tls);
		io_stream_tls_client(n.a.s, n.a.tls, SV("relay.test"));
		run_until(&n, row->agreed ? both_secured : both_gone);
		if (row->agreed && !sv_eq(io_stream_tls_text(n.b.s), sv_from(row->agreed)))
			fail_msg("row %zu: %.*s", i, SV_ARG(io_stream_tls_text(n.b.s)));
		close_net(&n);
	}
	assert_int_equal(unlink(key_file), 0);
}

static int open_all(void **state)
{
	(void)state;
	test_ca_open(&ca);
	make_identity(&good, "good", EVP_EC_gen("P-256"), -60, 86400);
	make_identity(&expired, "expired", EVP_EC_gen("P-256"), -86400, -60);
	make_identity(&early, "early", EVP_EC_gen("P-256"), 3600, 86400);
	make_identity(&rsa, "rsa", EVP_RSA_gen(2048), -60, 86400);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	drop_identity(&good);
	drop_identity(&expired);
	drop_identity(&early);
	drop_identity(&rsa);
	test_ca_close(&ca);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identities_are_checked_with_words),
		cmocka_unit_test(what_is_no_pem_is_refused),
		cmocka_unit_test(servers_that_ask_see_the_certificate),
		cmocka_unit_test(servers_that_only_ask_tell_clients_apart),
		cmocka_unit_test(old_clients_are_served_where_it_is_written_down),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
