/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "io/stream.h"

#include <openssl/ssl.h>

struct io_tls {
	SSL_CTX *ctx;
	bool server;
	unsigned refs;
	struct wall_time not_after;
	/* Client: the last session of each host, so that the next handshake is short. Few hosts: a list. */
	struct tls_session {
		struct tls_session *next;
		char *host;
		SSL_SESSION *session;
	} * sessions;
	size_t session_count;
};

SSL *io_tls_begin_server(struct io_tls *t, int fd);
struct tls_peer {
	struct sv host;
	const struct io_tlsa *tlsa;
	size_t tlsa_count;
};
/* NULL with an error text when the name cannot be set. */
SSL *io_tls_begin_client(struct io_tls *t, int fd, const struct tls_peer *peer, struct err *err);
/* Words for a failed handshake or record: the verify result first, then OpenSSL's queue. */
int io_tls_fail(SSL *ssl, struct sv host, int ssl_error, struct err *err);
