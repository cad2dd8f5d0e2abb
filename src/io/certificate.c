/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "io/stream_priv.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>

/* The certificate of a server, for people who look for what is wrong with it. */

/* One line, whatever kind of string the name is: others' bytes. */
static void copy_name(const X509_NAME *name, char *out, size_t size)
{
	static const int parts[] = { NID_commonName, NID_organizationName };

	out[0] = '\0';
	for (size_t i = 0; i < COUNT_OF(parts) && !out[0]; i++) {
		int at = X509_NAME_get_index_by_NID(name, parts[i], -1);
		unsigned char *text = NULL;
		int len = at < 0 ? -1
				 : ASN1_STRING_to_UTF8(&text,
					   X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));

		if (len > 0)
			(void)text_line(sv_make((const char *)text, (size_t)len), out, size);
		OPENSSL_free(text);
	}
}

static struct wall_time wall_of(const ASN1_TIME *t)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	struct wall_time at = { 0 };
	int days = 0, seconds = 0;

	if (epoch && ASN1_TIME_diff(&days, &seconds, epoch, t) == 1)
		at.us = ((int64_t)days * 86400 + seconds) * (int64_t)US_PER_S;
	ASN1_TIME_free(epoch);
	return at;
}

static bool fits(X509 *x, const char *host)
{
	unsigned char address[16];

	if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
		return X509_check_ip_asc(x, host, 0) == 1;
	return X509_check_host(x, host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

static enum io_certificate_trouble trouble_of(long verify)
{
	switch (verify) {
	case X509_V_OK:
		return IO_CERTIFICATE_FINE;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return IO_CERTIFICATE_EXPIRED;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return IO_CERTIFICATE_EARLY;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return IO_CERTIFICATE_NAME;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
	case X509_V_ERR_CERT_UNTRUSTED:
		return IO_CERTIFICATE_ISSUER;
	default:
		return IO_CERTIFICATE_OTHER;
	}
}

bool io_tls_certificate(SSL *ssl, const char *host, struct io_certificate *out)
{
	/* Behind a refusal the chain is all that is left. */
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	X509 *x = SSL_get0_peer_certificate(ssl);

	if (!x && sk_X509_num(chain) > 0)
		x = sk_X509_value(chain, 0);
	if (!x)
		return false;
	out->trouble = trouble_of(SSL_get_verify_result(ssl));
	copy_name(X509_get_subject_name(x), out->subject, sizeof(out->subject));
	copy_name(X509_get_issuer_name(x), out->issuer, sizeof(out->issuer));
	out->not_before = wall_of(X509_get0_notBefore(x));
	out->not_after = wall_of(X509_get0_notAfter(x));
	out->fits_name = fits(x, host);
	return true;
}
