/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "io/loop_priv.h"
#include "io/net.h"
#include "io/stream.h"

#include <openssl/ssl.h>

/* RFC 9525: a name stands in subjectAltName, never in the subject alone, and a star is a whole label. */
#define IO_TLS_HOST_FLAGS \
	(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT)

/*
 * States: CONNECTING -> CLEAR -> HANDSHAKE -> TLS -> DEAD. A stream is DEAD after its FAILED event, or
 * while it is being freed; LEAVING comes before that when it closes gently. The memory goes at the end
 * of the round (io_streams_reap()), so what runs further up the stack may still
 * look at it; `gone` tells it to stop.
 */
enum stream_state {
	STREAM_CONNECTING,
	STREAM_CLEAR,
	STREAM_HANDSHAKE,
	STREAM_TLS,
	STREAM_LEAVING,
	STREAM_DEAD
};

struct io_stream {
	struct io_poll poll;
	struct io_loop *loop;
	int fd; /* -1: there was none to be had; the failure is told on the next round */
	enum stream_state state;
	bool paused, eof, gone, want_write, above_low;
	bool look_again; /* bytes are held here or in OpenSSL that no poll event will tell of */
	bool closing;    /* io_stream_close_gently(): no owner any more */
	io_stream_fn *fn;
	void *arg;
	void (*ended)(void *arg); /* io_stream_on_end() */
	void *ended_arg;
	struct buf in, out;
	struct list
		dirty; /* in loop->dirty while there is something to do at the end of the round */
	struct heap_node step; /* in loop->steps while its handshake can go on */
	struct list closers;   /* in loop->closing, then in loop->gone */
	struct io_timer close_timer;
	size_t discarded; /* bytes that came after the last output had left */
	SSL *ssl;
	struct io_tls *tls;
	struct io_tls *tls_next; /* handshake that begins once the output left in the clear */
	char *host;
	struct io_tlsa *tlsa; /* for the next handshake */
	size_t tlsa_count;
	struct err err;
	struct io_address peer;
	char peer_text[IO_ADDRESS_TEXT_MAX];
	char tls_text[64];
};

/* A reply leaves when it is written. Of a listener's descriptor those that it accepts have it, too. */
void io_no_delay(int fd);

struct io_tls {
	SSL_CTX *ctx;
	bool server;
	unsigned refs;
	struct wall_time not_after;
	unsigned char print[32]; /* SHA-256 of what it was made from; see io_tls_same() */
	/* Client: the last session of each host, so that the next handshake is short. Few hosts: a list. */
	struct tls_session {
		struct tls_session *next;
		char *host;
		SSL_SESSION *session;
	} * sessions;
	size_t session_count;
};

/* tls_print.c: takes in what it is made from. */
void io_tls_print_bytes(struct io_tls *t, struct sv bytes);
void io_tls_print_file(struct io_tls *t, const char *path);
void io_tls_print_system(struct io_tls *t);

SSL *io_tls_begin_server(struct io_tls *t, int fd);
struct tls_peer {
	struct sv host;
	const struct io_tlsa *tlsa;
	size_t tlsa_count;
};
/* NULL with an error text when the name cannot be set. */
SSL *io_tls_begin_client(struct io_tls *t, int fd, const struct tls_peer *peer, struct err *err);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384", and " DANE" when a record vouches for the peer. */
void io_tls_describe(SSL *ssl, char *out, size_t size);
/* Words for a failed handshake or record: the verify result first, then OpenSSL's queue. */
int io_tls_fail(SSL *ssl, struct sv host, int ssl_error, struct err *err);
/* See io_stream_certificate(). */
bool io_tls_certificate(SSL *ssl, const char *host, struct io_certificate *out);
/* See io_stream_peer_names(). */
void io_tls_peer_names(SSL *ssl, void (*each)(void *arg, struct sv name), void *arg);
