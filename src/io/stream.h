/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"
#include "io/loop.h"

#include <sys/socket.h>

/*
 * A connected byte stream: TCP or unix socket, with or without TLS (OpenSSL on the descriptor itself,
 * so that back-pressure is the kernel's). It tells its owner by one callback and holds bytes both
 * ways; the owner's machine looks at the input and consumes what it took.
 *
 * The callback may free the stream: nothing of it is touched after the callback returns.
 */
struct io_stream;
struct io_tls;
struct io_tlsa;
struct io_address;
struct secret;

enum io_stream_event {
	IO_STREAM_CONNECTED, /* client side: TCP is up (TLS not yet) */
	IO_STREAM_SECURED,   /* the TLS handshake is done and the peer verified, where asked for */
	IO_STREAM_INPUT,   /* new bytes in io_stream_input(); also after resume() with bytes left */
	IO_STREAM_DRAINED, /* output went from the low mark or more to empty */
	IO_STREAM_EOF,     /* the peer closed its side; input may still hold bytes. Sent once */
	IO_STREAM_FAILED, /* connect, TLS, or a socket error; io_stream_error() has the words. Last */
};
typedef void io_stream_fn(void *arg, enum io_stream_event event);

/* Takes an accepted, non-blocking descriptor (owned from now on), as a listener gives it; never fails. */
NODISCARD struct io_stream *io_stream_accepted(
	struct io_loop *l, int fd, io_stream_fn *fn, void *arg);
/* The same for whoever has asked for the peer's address already. */
NODISCARD struct io_stream *io_stream_accepted_from(
	struct io_loop *l, int fd, const struct io_address *peer, io_stream_fn *fn, void *arg);

/* Starts connecting; the outcome is an event, also for immediate errors. */
NODISCARD struct io_stream *io_stream_connect(struct io_loop *l, const struct sockaddr *addr,
	socklen_t addr_len, io_stream_fn *fn, void *arg);
/* The same from an address of this machine (its port is ignored); a family that does not fit fails.
 * NULL: the kernel chooses. */
NODISCARD struct io_stream *io_stream_connect_from(struct io_loop *l, const struct sockaddr *source,
	const struct sockaddr *addr, socklen_t addr_len, io_stream_fn *fn, void *arg);

/* Closes at once, dropping unsent output. NULL is allowed. */
void io_stream_free(struct io_stream *s);
DEFINE_CLEANUP(struct io_stream, io_stream_free);

/*
 * Lets the kernel and TLS finish what is in the output, then closes: for the owner that is done
 * after a last reply. Takes the stream; no more callbacks. The other side sees the end as soon as the
 * output is out; the descriptor goes when it has closed, too, or after `timeout_us`, or when it sends more than
 * LIMIT_OVERRUN.
 */
void io_stream_close_gently(struct io_stream *s, uint64_t timeout_us);
/* Told once, when the descriptor is closed, however that comes: for whoever counts connections. */
void io_stream_on_end(struct io_stream *s, void (*ended)(void *arg), void *arg);

void io_stream_set_owner(struct io_stream *s, io_stream_fn *fn, void *arg);

/* Unconsumed input. At most IO_STREAM_INPUT_MAX bytes are held; then the kernel holds the rest. */
enum {
	IO_STREAM_INPUT_MAX = 65536
};
struct sv io_stream_input(const struct io_stream *s);
void io_stream_consume(struct io_stream *s, size_t n);
/* Stops and starts reading from the kernel (back-pressure: waiting for an answer, full memory). */
void io_stream_pause(struct io_stream *s);
void io_stream_resume(struct io_stream *s);

/*
 * Queues bytes; all that is queued in one round leaves in one write. RC_LIMIT when more than
 * `IO_STREAM_OUTPUT_MAX` would wait: the owner checks io_stream_output_len() first when it streams.
 */
enum {
	IO_STREAM_OUTPUT_MAX = 1 << 20,
	IO_STREAM_OUTPUT_LOW = 128 * 1024
};
NODISCARD int io_stream_write(struct io_stream *s, struct sv bytes);
size_t io_stream_output_len(const struct io_stream *s);
size_t io_stream_memory(const struct io_stream *s); /* of its buffers, both ways */

/*
 * Begins TLS. Input that arrived in the clear before this is thrown away (RFC 3207 4.2, command
 * injection). Output still queued leaves in the clear first.
 */
void io_stream_tls_server(struct io_stream *s, struct io_tls *tls);
/* `host`: name the certificate must be for, and SNI. Verification cannot be switched off. */
void io_stream_tls_client(struct io_stream *s, struct io_tls *tls, struct sv host);
/* The same by DANE (RFC 7672): the records decide instead of the CAs. `count` 0: as above. */
void io_stream_tls_client_dane(struct io_stream *s, struct io_tls *tls, struct sv host,
	const struct io_tlsa *records, size_t count);

bool io_stream_is_tls(const struct io_stream *s);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384", and " DANE" behind it when a TLSA record vouched for the peer. */
struct sv io_stream_tls_text(const struct io_stream *s);
/*
 * The DNS names (subject alternative names, then the common name) of the certificate that the client
 * has shown, if it is valid; none otherwise. Only behind io_tls_server_ask_certificate().
 */
void io_stream_peer_names(
	const struct io_stream *s, void (*each)(void *arg, struct sv name), void *arg);
/*
 * What the server has shown in the handshake, also when it was refused (after FAILED, until the stream is
 * freed). For people: nothing here makes a connection trusted. False: no certificate was seen.
 */
enum io_certificate_trouble {
	IO_CERTIFICATE_FINE,
	IO_CERTIFICATE_EXPIRED,
	IO_CERTIFICATE_EARLY,  /* not valid yet: of this machine's clock, most of the time */
	IO_CERTIFICATE_NAME,   /* it is for another name */
	IO_CERTIFICATE_ISSUER, /* nobody that we trust has signed it */
	IO_CERTIFICATE_OTHER,
};
struct io_certificate {
	enum io_certificate_trouble trouble;
	char subject[160], issuer[160]; /* the common names, or the organizations */
	struct wall_time not_before, not_after;
	bool fits_name; /* whatever else is wrong with it */
};
NODISCARD bool io_stream_certificate(const struct io_stream *s, struct io_certificate *out);
const struct err *io_stream_error(const struct io_stream *s);

/* "192.0.2.1:587", "[2001:db8::1]:25", "unix:"; borrowed for the life of the stream. */
struct sv io_stream_peer(const struct io_stream *s);
/* The address alone, for networks and logs; family AF_UNIX for unix sockets. */
const struct sockaddr *io_stream_peer_addr(const struct io_stream *s);
/* SO_PEERCRED of a unix socket. RC_STATE on TCP. */
NODISCARD int io_stream_peer_uid(const struct io_stream *s, unsigned *out_uid, int *out_pid);

/* TLS contexts: reference counted, shared by connections. Load off the loop where keys are large. */
enum io_tls_profile {
	IO_TLS_MODERN, /* 1.2 and 1.3, no renegotiation, no compression */
	IO_TLS_LEGACY, /* 1.0 and up, RSA key exchange (needs an RSA certificate) and CBC too: old
			* devices on private networks */
};
/* Server: certificate chain (PEM) and key files. err says which file and why. */
NODISCARD struct io_tls *io_tls_server_new(
	const char *certificate_file, const char *key_file, struct err *err);
/* The same with an old profile. */
NODISCARD struct io_tls *io_tls_server_new_profile(const char *certificate_file,
	const char *key_file, enum io_tls_profile profile, struct err *err);
/*
 * Shows a certificate (PEM chain) to servers that ask: for connectors. The key is PEM text, maybe
 * encrypted with `passphrase` (NULL: not). Before the first connection.
 */
NODISCARD int io_tls_client_identity(struct io_tls *t, const char *certificate_file,
	struct sv key_pem, const struct secret *passphrase, struct err *err);
/*
 * The server asks its clients for a certificate of this CA. One who has none, or one of another's, is
 * served all the same: io_stream_peer_names() tells them apart. Before the first connection.
 */
NODISCARD int io_tls_server_ask_certificate(struct io_tls *t, const char *ca_file, struct err *err);
/* Client: CA file (PEM), or NULL for the system's. Sessions are resumed per host. */
NODISCARD struct io_tls *io_tls_client_new(const char *ca_file, struct err *err);
/* Made from the same files, as they were read: the older one may go on, and its sessions with it. */
NODISCARD bool io_tls_same(const struct io_tls *a, const struct io_tls *b);
struct io_tls *io_tls_ref(struct io_tls *t);
void io_tls_unref(struct io_tls *t);
/* When our certificate ends, of a server or of io_tls_client_identity(); for warnings. */
struct wall_time io_tls_not_after(const struct io_tls *t);
