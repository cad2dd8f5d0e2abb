/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/stream_priv.h"

#include <openssl/x509v3.h>

/* The other direction of a client certificate: a server that asks for one. */

/* Whoever has none, or a bad one, is served all the same: io_tls_peer_names() tells them apart. */
static int go_on(int ok, X509_STORE_CTX *ctx)
{
	(void)ok;
	(void)ctx;
	return 1;
}

int io_tls_server_ask_certificate(struct io_tls *t, const char *ca_file, struct err *err)
{
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca_file);

	must(t->server);
	if (!names || SSL_CTX_load_verify_file(t->ctx, ca_file) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return err_set(err, RC_TLS, "CA file %s cannot be used", ca_file);
	}
	SSL_CTX_set_client_CA_list(t->ctx, names);
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, go_on);
	return 0;
}

static void tell(const ASN1_STRING *text, void (*each)(void *arg, struct sv name), void *arg)
{
	struct sv name = sv_make(
		(const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));

	if (name.len && sv_find_char(name, '\0') < 0)
		each(arg, name);
}

void io_tls_peer_names(SSL *ssl, void (*each)(void *arg, struct sv name), void *arg)
{
	X509 *x = SSL_get0_peer_certificate(ssl);
	GENERAL_NAMES *names;
	int at;

	if (!x || SSL_get_verify_result(ssl) != X509_V_OK)
		return;
	names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			tell(name->d.dNSName, each, arg);
	}
	GENERAL_NAMES_free(names);
	at = X509_NAME_get_index_by_NID(X509_get_subject_name(x), NID_commonName, -1);
	if (at >= 0)
		tell(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(X509_get_subject_name(x), at)),
			each,
			arg);
}
