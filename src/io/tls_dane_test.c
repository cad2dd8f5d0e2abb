/* SPDX-License-Identifier: Apache-2.0 */
#include "io/dnssec.h"
#include "io/stream.h"
#include "io/stream_priv.h"
#include "io/test_ca.h"
#include "io/test_net.h"

#include <openssl/sha.h>

#include "cmocka_all.h"

/* Certificates by TLSA records. The server shows its certificate and its authority's. */

enum whose {
	LEAF,
	AUTHORITY,
	NOBODY,
	EXPIRED
};

static struct test_ca ca;
static char whole_chain[128], expired_chain[128];
static X509 *leaf, *authority, *expired;

static X509 *read_x509(const char *path)
{
	FILE *file = fopen(path, "r");
	X509 *x;

	assert_non_null(file);
	x = PEM_read_X509(file, NULL, NULL, NULL);
	assert_int_equal(fclose(file), 0);
	assert_non_null(x);
	return x;
}

static struct io_tlsa record(uint8_t usage, uint8_t selector, uint8_t matching, enum whose whose)
{
	struct io_tlsa r = { .usage = usage, .selector = selector, .matching = matching };
	X509 *x = whose == AUTHORITY ? authority : whose == EXPIRED ? expired : leaf;
	unsigned char *der = NULL;
	int n = selector == 1 ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der) : i2d_X509(x, &der);

	assert_in_range(n, 1, sizeof(r.data));
	if (matching == 1) {
		(void)SHA256(der, (size_t)n, r.data);
		r.len = SHA256_DIGEST_LENGTH;
	} else if (matching == 2) {
		(void)SHA512(der, (size_t)n, r.data);
		r.len = SHA512_DIGEST_LENGTH;
	} else {
		memcpy(r.data, der, (size_t)n);
		r.len = (size_t)n;
	}
	if (whose == NOBODY)
		r.data[5] ^= 1;
	OPENSSL_free(der);
	return r;
}

struct row {
	uint8_t usage, selector, matching;
	enum whose whose;
	const char *host;
	const char *ca_file;
	const char *words; /* NULL: it is good */
};

#define NO_MATCH "is not valid: no matching DANE TLSA records"

static const struct row rows[] = {
	/* The records decide, whatever the CAs say. */
	{ 3, 1, 1, LEAF, "relay.test", ca.other_ca, NULL },
	{ 3, 1, 2, LEAF, "relay.test", ca.other_ca, NULL },
	{ 3, 1, 0, LEAF, "relay.test", ca.other_ca, NULL },
	{ 3, 0, 1, LEAF, "relay.test", ca.other_ca, NULL },
	{ 3, 0, 0, LEAF, "relay.test", ca.other_ca, NULL },
	{ 3, 1, 1, NOBODY, "relay.test", ca.ca, NO_MATCH },
	{ 3, 0, 2, NOBODY, "relay.test", ca.ca, NO_MATCH },
	{ 3, 1, 1, AUTHORITY, "relay.test", ca.ca, NO_MATCH },
	/* DANE-EE asks for neither name nor date. */
	{ 3, 1, 1, LEAF, "wrong.test", ca.other_ca, NULL },
	{ 3, 1, 1, EXPIRED, "relay.test", ca.other_ca, NULL },
	/* DANE-TA asks for both. */
	{ 2, 1, 1, AUTHORITY, "relay.test", ca.other_ca, NULL },
	{ 2, 0, 2, AUTHORITY, "relay.test", ca.other_ca, NULL },
	{ 2, 1, 1, AUTHORITY, "wrong.test", ca.other_ca, "hostname mismatch" },
	{ 2, 1, 1, NOBODY, "relay.test", ca.ca, NO_MATCH },
	/* What mail does not know leaves it to the CAs. */
	{ 1, 1, 1, LEAF, "relay.test", ca.ca, NULL },
	{ 1,
		1,
		1,
		LEAF,
		"relay.test",
		ca.other_ca,
		"self-signed certificate in certificate chain" },
	{ 1, 1, 1, NOBODY, "relay.test", ca.ca, NULL },
	{ 0,
		1,
		1,
		AUTHORITY,
		"relay.test",
		ca.other_ca,
		"self-signed certificate in certificate chain" },
	{ 1, 1, 1, LEAF, "wrong.test", ca.ca, "hostname mismatch" },
	{ 3, 9, 1, LEAF, "relay.test", ca.ca, NULL },
	{ 3,
		1,
		9,
		LEAF,
		"relay.test",
		ca.other_ca,
		"self-signed certificate in certificate chain" },
	{ 200,
		1,
		1,
		LEAF,
		"relay.test",
		ca.other_ca,
		"self-signed certificate in certificate chain" },
};

static bool both_secured(struct net *n)
{
	return n->a.counts[IO_STREAM_SECURED] && n->b.counts[IO_STREAM_SECURED];
}

static void visit(struct io_tls *client, struct io_tls *server, const char *host,
	const struct io_tlsa *records, size_t count, const char *words)
{
	bool usable = false;
	struct net n;

	open_pair(&n, true);
	n.a.tls = client;
	n.b.tls = server;
	io_stream_tls_server(n.b.s, n.b.tls);
	io_stream_tls_client_dane(n.a.s, n.a.tls, sv_from(host), records, count);
	run_until(&n, words ? a_gone : both_secured);
	if (words) {
		assert_string_equal(n.a.order, "F");
		assert_int_equal(n.a.err.code, RC_TLS);
		if (!strstr(n.a.err.text, words))
			fail_msg("'%s' instead of '%s'", n.a.err.text, words);
	} else {
		for (size_t i = 0; i < count; i++)
			usable |= (records[i].usage == 2 || records[i].usage == 3) &&
				  records[i].selector < 2 && records[i].matching < 3;
		if (sv_ends_nocase(io_stream_tls_text(n.a.s), SV(" DANE")) != usable)
			fail_msg("%.*s", SV_ARG(io_stream_tls_text(n.a.s)));
		send_text(&n.a, "QUIT\n");
		send_text(&n.b, "221\n");
		run_until(&n, both_have_lines);
	}
	close_net(&n);
}

static struct io_tls *server_for(enum whose whose)
{
	struct io_tls *t =
		io_tls_server_new(whose == EXPIRED ? expired_chain : whole_chain, ca.key, NULL);

	assert_non_null(t);
	return t;
}

static void records_decide(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct row *row = &rows[i];
		struct io_tlsa r = record(row->usage, row->selector, row->matching, row->whose);

		visit(io_tls_client_new(row->ca_file, NULL),
			server_for(row->whose),
			row->host,
			&r,
			1,
			row->words);
	}
}

static void one_that_fits_is_enough(void **state)
{
	struct io_tlsa records[IO_TLSA_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(records); i++)
		records[i] = record((uint8_t)(i % 4), 1, 1, NOBODY);
	visit(io_tls_client_new(ca.ca, NULL),
		server_for(LEAF),
		"relay.test",
		records,
		IO_TLSA_MAX,
		NO_MATCH);
	records[IO_TLSA_MAX - 1] = record(3, 1, 1, LEAF);
	visit(io_tls_client_new(ca.other_ca, NULL),
		server_for(LEAF),
		"wrong.test",
		records,
		IO_TLSA_MAX,
		NULL);
	/* Half a digest is no record. */
	records[0] = record(3, 1, 1, LEAF);
	records[0].len = 16;
	visit(io_tls_client_new(ca.other_ca, NULL),
		server_for(LEAF),
		"relay.test",
		records,
		1,
		"self-signed certificate in certificate chain");
	visit(io_tls_client_new(ca.ca, NULL), server_for(LEAF), "relay.test", NULL, 0, NULL);
}

static void sessions_do_not_go_around_the_records(void **state)
{
	struct io_tls *client = io_tls_client_new(ca.ca, NULL), *server = server_for(LEAF);
	struct io_tlsa right = record(3, 1, 1, LEAF), wrong = record(3, 1, 1, NOBODY);

	(void)state;
	/* One that the CAs stand for is not resumed against a record... */
	visit(io_tls_ref(client), io_tls_ref(server), "relay.test", NULL, 0, NULL);
	visit(io_tls_ref(client), io_tls_ref(server), "relay.test", NULL, 0, NULL);
	assert_int_equal(SSL_CTX_sess_hits(server->ctx), 1);
	visit(io_tls_ref(client), io_tls_ref(server), "relay.test", &wrong, 1, NO_MATCH);
	/* ... nor one that a record stands for without it. */
	visit(io_tls_ref(client), io_tls_ref(server), "wrong.test", &right, 1, NULL);
	visit(io_tls_ref(client), io_tls_ref(server), "wrong.test", &right, 1, NULL);
	visit(io_tls_ref(client), io_tls_ref(server), "wrong.test", NULL, 0, "hostname mismatch");
	assert_int_equal(SSL_CTX_sess_hits(server->ctx), 1);
	io_tls_unref(client);
	io_tls_unref(server);
}

/* The same key as the leaf's, so that one key file does for both. */
static void make_expired(void)
{
	FILE *file = fopen(ca.key, "r");
	EVP_PKEY *key;

	assert_non_null(file);
	key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	assert_int_equal(fclose(file), 0);
	assert_non_null(key);
	expired = test_ca_certificate("expired", 10, key, authority, key);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(expired), -86400));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(expired), -60));
	assert_true(X509_sign(expired, key, EVP_sha256()) > 0);
	test_ca_write(expired_chain, expired, NULL);
	EVP_PKEY_free(key);
}

static int open_all(void **state)
{
	FILE *file;

	(void)state;
	test_ca_open(&ca);
	(void)snprintf(whole_chain, sizeof(whole_chain), "%s/whole.pem", ca.folder);
	(void)snprintf(expired_chain, sizeof(expired_chain), "%s/expired.pem", ca.folder);
	leaf = read_x509(ca.chain);
	authority = read_x509(ca.ca);
	file = fopen(whole_chain, "w");
	assert_non_null(file);
	assert_true(PEM_write_X509(file, leaf) == 1 && PEM_write_X509(file, authority) == 1);
	assert_int_equal(fclose(file), 0);
	make_expired();
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	(void)unlink(whole_chain);
	(void)unlink(expired_chain);
	X509_free(leaf);
	X509_free(authority);
	X509_free(expired);
	test_ca_close(&ca);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_decide),
		cmocka_unit_test(one_that_fits_is_enough),
		cmocka_unit_test(sessions_do_not_go_around_the_records),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
