/* SPDX-License-Identifier: Apache-2.0 */
#include "io/stream.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/must.h"
#include "base/secret.h"
#include "io/dnssec.h"
#include "io/file.h"
#include "io/loop_priv.h"
#include "io/net.h"
#include "io/stream_priv.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Reads from one stream before the others get their turn. */
enum {
	READS_PER_TURN = 4
};

/* ---- telling the owner ---- */

static void tell(struct io_stream *s, enum io_stream_event event)
{
	if (!s->gone && s->fn)
		s->fn(s->arg, event);
}

static void fail(struct io_stream *s)
{
	if (s->state == STREAM_DEAD)
		return;
	s->state = STREAM_DEAD;
	if (s->fd >= 0)
		io_poll_set(s->loop, &s->poll, 0);
	list_remove(&s->dirty);
	io_steps_remove(&s->loop->steps, s);
	if (s->closing)
		io_stream_free(s);
	else
		tell(s, IO_STREAM_FAILED);
}

static bool wants_input(const struct io_stream *s)
{
	switch (s->state) {
	case STREAM_HANDSHAKE:
	case STREAM_LEAVING:
		return true;
	case STREAM_CLEAR:
	case STREAM_TLS:
		/* What comes in the clear once TLS is planned is nobody's. */
		return !s->paused && !s->eof && !s->tls_next && s->in.len < IO_STREAM_INPUT_MAX;
	case STREAM_CONNECTING:
	case STREAM_DEAD:
		break;
	}
	return false;
}

static void arm(struct io_stream *s)
{
	unsigned events = 0;

	if (s->gone || s->state == STREAM_DEAD || s->fd < 0)
		return;
	/* Its last output leaves in this round, and what is polled for behind that is mostly what is now. */
	if (s->closing && !list_empty(&s->dirty))
		return;
	if (s->state == STREAM_CONNECTING || s->want_write)
		events |= IO_WRITABLE;
	if (wants_input(s))
		events |= IO_READABLE;
	io_poll_set(s->loop, &s->poll, events);
}

static void make_dirty(struct io_stream *s)
{
	if (!s->gone && s->state != STREAM_DEAD && list_empty(&s->dirty))
		list_append(&s->loop->dirty, &s->dirty);
}

/* A record that OpenSSL has read from the kernel already gives no poll event. */
static void look_again(struct io_stream *s)
{
	s->look_again = true;
	make_dirty(s);
}

/* ---- reading ---- */

/* Bytes read, 0 at the end, -EAGAIN, or RC_TLS and friends with s->err set. */
static ssize_t read_some(struct io_stream *s, char *to, size_t room)
{
	size_t got = 0;
	ssize_t n;
	int error;

	if (s->state != STREAM_TLS) {
		do
			n = recv(s->fd, to, room, 0);
		while (n < 0 && errno == EINTR);
		if (n >= 0)
			return n;
		if (errno == EAGAIN)
			return -EAGAIN;
		return err_set(&s->err, -errno, "%s: %s", s->peer_text, rc_text(-errno));
	}
	ERR_clear_error();
	if (SSL_read_ex(s->ssl, to, room, &got) == 1)
		return (ssize_t)got;
	error = SSL_get_error(s->ssl, 0);
	switch (error) {
	case SSL_ERROR_WANT_READ:
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		s->want_write = true;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		return err_set(&s->err, -ECONNRESET, "%s: connection reset", s->peer_text);
	default:
		return io_tls_fail(s->ssl, sv_from(s->host), error, &s->err);
	}
}

static void read_input(struct io_stream *s)
{
	bool grew = false;

	if ((s->state != STREAM_CLEAR && s->state != STREAM_TLS) || s->eof || s->tls_next)
		return;
	for (int turn = 0; turn < READS_PER_TURN; turn++) {
		size_t room = IO_STREAM_INPUT_MAX - s->in.len;
		ssize_t n;

		if (room == 0 || s->paused)
			break;
		n = read_some(s, s->loop->scratch, room);
		if (n == -EAGAIN)
			break;
		if (n < 0) {
			/* What came before the failure is told first. */
			if (grew)
				tell(s, IO_STREAM_INPUT);
			if (!s->gone)
				fail(s);
			return;
		}
		if (n == 0) {
			s->eof = true;
			break;
		}
		must(buf_append(&s->in, sv_make(s->loop->scratch, (size_t)n)) == 0);
		secret_wipe(s->loop->scratch, (size_t)n); /* a client's password, a server's echo */
		grew = true;
		/* A short read of a socket means there is no more now; TLS may still hold a record. */
		if ((size_t)n < room && s->state != STREAM_TLS)
			break;
	}
	if (s->state == STREAM_TLS && !s->eof && !s->paused && s->in.len < IO_STREAM_INPUT_MAX &&
		SSL_pending(s->ssl) > 0)
		look_again(s);
	if (grew)
		tell(s, IO_STREAM_INPUT);
	if (s->eof && !s->gone && s->state != STREAM_DEAD)
		tell(s, IO_STREAM_EOF);
}

/* ---- writing ---- */

static ssize_t write_some(struct io_stream *s, struct sv bytes)
{
	size_t sent = 0;
	ssize_t n;
	int error;

	if (s->state != STREAM_TLS) {
		do
			n = send(s->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
		if (n >= 0)
			return n;
		if (errno == EAGAIN)
			return -EAGAIN;
		return err_set(&s->err, -errno, "%s: %s", s->peer_text, rc_text(-errno));
	}
	ERR_clear_error();
	if (SSL_write_ex(s->ssl, bytes.ptr, bytes.len, &sent) == 1)
		return (ssize_t)sent;
	error = SSL_get_error(s->ssl, 0);
	if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ)
		return -EAGAIN;
	if (error == SSL_ERROR_SYSCALL)
		return err_set(&s->err, -ECONNRESET, "%s: connection reset", s->peer_text);
	return io_tls_fail(s->ssl, sv_from(s->host), error, &s->err);
}

static void begin_tls(struct io_stream *s);

static void drop_tls(struct io_stream *s)
{
	/* Without this OpenSSL takes the end for an accident, and the session is not resumed. */
	if (s->ssl && s->state == STREAM_TLS)
		SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(s->ssl);
	s->ssl = NULL;
}

/*
 * The kernel has all of the output. Closing while it also has input that nobody read makes it send a
 * reset, and that takes away the last reply on its way: so the other side closes first, or the time
 * is over.
 */
static void leave(struct io_stream *s)
{
	if (s->state == STREAM_TLS)
		(void)SSL_shutdown(s->ssl);
	if (s->eof || shutdown(s->fd, SHUT_WR) != 0) {
		io_stream_free(s);
		return;
	}
	drop_tls(s);
	buf_deinit(&s->in);
	s->state = STREAM_LEAVING;
	/* Nothing is left to flush. */
	list_remove(&s->dirty);
	arm(s);
}

/*
 * What was under way when the last reply left is less than the limit: whoever sends more does not stop. TCP does not
 * even copy what is only to be gone (MSG_TRUNC, tcp(7)).
 */
static void discard_input(struct io_stream *s)
{
	ssize_t n = recv(s->fd, s->loop->scratch, sizeof(s->loop->scratch), MSG_TRUNC);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0)
		s->discarded += (size_t)n;
	if (n <= 0 || s->discarded > LIMIT_OVERRUN)
		io_stream_free(s);
}

static void output_gone(struct io_stream *s)
{
	if (s->out.cap > IO_STREAM_OUTPUT_LOW / 4)
		buf_deinit(&s->out);
	if (s->closing) {
		leave(s);
		return;
	}
	if (s->tls_next) {
		begin_tls(s);
		return;
	}
	if (s->above_low) {
		s->above_low = false;
		tell(s, IO_STREAM_DRAINED);
	}
}

/* One that refuses us and closes may have said why: its words are told before the failure. */
static void write_failed(struct io_stream *s)
{
	struct err why = s->err;

	read_input(s);
	if (s->gone || s->state == STREAM_DEAD)
		return;
	s->err = why;
	fail(s);
}

static void flush(struct io_stream *s)
{
	if (s->state != STREAM_CLEAR && s->state != STREAM_TLS)
		return;
	while (s->out.len) {
		ssize_t n = write_some(s, buf_sv(&s->out));

		if (n == -EAGAIN) {
			s->want_write = true;
			arm(s);
			return;
		}
		if (n < 0) {
			write_failed(s);
			return;
		}
		buf_consume(&s->out, (size_t)n);
	}
	if (s->want_write) {
		s->want_write = false;
		arm(s);
	}
	output_gone(s);
}

/* ---- TLS ---- */

static void handshake(struct io_stream *s)
{
	int error;

	ERR_clear_error();
	s->want_write = false;
	if (SSL_do_handshake(s->ssl) == 1) {
		s->state = STREAM_TLS;
		io_tls_describe(s->ssl, s->tls_text, sizeof(s->tls_text));
		arm(s);
		tell(s, IO_STREAM_SECURED);
		/* Output may have waited for this, and a record behind the handshake be read already. */
		look_again(s);
		return;
	}
	error = SSL_get_error(s->ssl, 0);
	if (error == SSL_ERROR_WANT_WRITE)
		s->want_write = true;
	if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ) {
		arm(s);
		return;
	}
	(void)io_tls_fail(s->ssl, sv_from(s->host ? s->host : "the client"), error, &s->err);
	fail(s);
}

static void begin_tls(struct io_stream *s)
{
	s->tls = TAKE(s->tls_next);
	/* Bytes that arrived in the clear behind STARTTLS are an attacker's (RFC 3207 4.2). */
	buf_deinit(&s->in);
	s->ssl = s->tls->server
			 ? io_tls_begin_server(s->tls, s->fd)
			 : io_tls_begin_client(s->tls,
				   s->fd,
				   &(struct tls_peer){ sv_from(s->host), s->tlsa, s->tlsa_count },
				   &s->err);
	free(TAKE(s->tlsa));
	if (!s->ssl) {
		fail(s);
		return;
	}
	s->state = STREAM_HANDSHAKE;
	/* A client speaks first. A server signs what is there by now, and that has its turn. */
	if (s->tls->server)
		arm(s);
	else
		handshake(s);
}

static void plan_tls(struct io_stream *s, struct io_tls *tls)
{
	must(s->state == STREAM_CLEAR);
	must(!s->tls_next);
	s->tls_next = io_tls_ref(tls);
	make_dirty(s);
}

void io_stream_tls_server(struct io_stream *s, struct io_tls *tls)
{
	must(tls->server);
	plan_tls(s, tls);
}

void io_stream_tls_client(struct io_stream *s, struct io_tls *tls, struct sv host)
{
	io_stream_tls_client_dane(s, tls, host, NULL, 0);
}

void io_stream_tls_client_dane(struct io_stream *s, struct io_tls *tls, struct sv host,
	const struct io_tlsa *records, size_t count)
{
	must(!tls->server);
	must(count <= IO_TLSA_MAX);
	free(s->host);
	s->host = sv_dup(host);
	if (count) {
		s->tlsa = xcalloc(count, sizeof(*records));
		memcpy(s->tlsa, records, count * sizeof(*records));
	}
	s->tlsa_count = count;
	plan_tls(s, tls);
}

/* ---- events of the descriptor ---- */

static void connected(struct io_stream *s)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error == EINPROGRESS || error == EALREADY)
		return;
	if (error != 0) {
		(void)err_set(&s->err, -error, "connect to %s: %s", s->peer_text, rc_text(-error));
		fail(s);
		return;
	}
	s->state = STREAM_CLEAR;
	arm(s);
	make_dirty(s);
	tell(s, IO_STREAM_CONNECTED);
}

static void on_poll(struct io_poll *poll, unsigned events)
{
	struct io_stream *s = CONTAINER_OF(poll, struct io_stream, poll);

	switch (s->state) {
	case STREAM_CONNECTING:
		connected(s);
		return;
	case STREAM_HANDSHAKE:
		io_steps_add(&s->loop->steps, s);
		return;
	case STREAM_LEAVING:
		discard_input(s);
		arm(s);
		return;
	case STREAM_DEAD:
		return;
	case STREAM_CLEAR:
	case STREAM_TLS:
		break;
	}
	if ((events & IO_WRITABLE) && s->want_write) {
		s->want_write = false;
		flush(s);
	}
	if (!s->gone && s->state != STREAM_DEAD && (events & IO_READABLE))
		read_input(s);
	if (!s->gone)
		arm(s);
}

/* ---- life ---- */

static void serve_input(struct io_stream *s)
{
	s->look_again = false;
	if (s->paused || s->tls_next || (s->state != STREAM_CLEAR && s->state != STREAM_TLS))
		return;
	if (s->in.len)
		tell(s, IO_STREAM_INPUT);
	if (!s->gone && s->state == STREAM_TLS && !s->paused)
		read_input(s);
	if (!s->gone)
		arm(s);
}

void io_streams_serve(struct io_loop *l)
{
	struct list now;

	if (list_empty(&l->dirty))
		return;
	list_init(&now);
	list_append(&l->dirty, &now);
	/* The old head leaves the ring, so `now` heads what is dirty at this moment. */
	list_remove(&l->dirty);
	while (!list_empty(&now)) {
		struct io_stream *s = list_entry(now.next, struct io_stream, dirty);

		list_remove(&s->dirty);
		if (s->state == STREAM_CONNECTING && s->err.code != 0) {
			fail(s);
			continue;
		}
		if (s->look_again)
			serve_input(s);
		if (!s->gone)
			flush(s);
	}
}

void io_streams_step(struct io_loop *l)
{
	struct io_stream *s = io_steps_take(&l->steps);

	if (s)
		handshake(s);
}

void io_streams_reap(struct io_loop *l)
{
	list_each_safe (at, after, &l->gone) {
		list_remove(at);
		free(list_entry(at, struct io_stream, closers));
	}
}

void io_streams_drop(struct io_loop *l)
{
	while (!list_empty(&l->closing))
		io_stream_free(list_entry(l->closing.next, struct io_stream, closers));
}

static struct io_stream *stream_new(struct io_loop *l, int fd, io_stream_fn *fn, void *arg)
{
	struct io_stream *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->fd = fd;
	s->fn = fn;
	s->arg = arg;
	buf_init_wiping(&s->in, IO_STREAM_INPUT_MAX);
	buf_init(&s->out, IO_STREAM_OUTPUT_MAX);
	list_init(&s->dirty);
	list_init(&s->closers);
	s->poll.ready = on_poll;
	if (fd >= 0)
		io_poll_begin(l, &s->poll, fd);
	return s;
}

void io_no_delay(int fd)
{
	int on = 1;

	/* Fails on unix sockets, where it is not needed. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void io_watch_peer(int fd)
{
	const int on = 1, idle_s = 10, every_s = 5, probes = 3, unacknowledged_ms = 25000;

	/* They fail on unix sockets, where they are not needed. */
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof(every_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	(void)setsockopt(
		fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof(unacknowledged_ms));
}

struct io_stream *io_stream_accepted(struct io_loop *l, int fd, io_stream_fn *fn, void *arg)
{
	struct io_address peer = { .len = sizeof(peer.un) };

	if (getpeername(fd, &peer.any, &peer.len) != 0)
		peer.any.sa_family = AF_UNSPEC;
	return io_stream_accepted_from(l, fd, &peer, fn, arg);
}

struct io_stream *io_stream_accepted_from(
	struct io_loop *l, int fd, const struct io_address *peer, io_stream_fn *fn, void *arg)
{
	struct io_stream *s = stream_new(l, fd, fn, arg);

	s->peer = *peer;
	(void)io_address_text(&s->peer.any, s->peer_text);
	s->state = STREAM_CLEAR;
	arm(s);
	return s;
}

/* Any free port of that address; which one is left to connect(), where it need not be free for all. */
static int bind_source(int fd, const struct sockaddr *source)
{
	struct io_address from = { 0 };
	int on = 1;

	if (source->sa_family != AF_INET && source->sa_family != AF_INET6)
		return EAFNOSUPPORT;
	from.len = source->sa_family == AF_INET ? sizeof(from.v4) : sizeof(from.v6);
	memcpy(&from.any, source, from.len);
	/* sin_port and sin6_port stand at the same place. */
	from.v4.sin_port = 0;
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind(fd, &from.any, from.len) == 0 ? 0 : errno;
}

static void fail_source(struct io_stream *s, const struct sockaddr *source, int error)
{
	char text[IO_ADDRESS_TEXT_MAX];
	struct sv from = sv_from(io_address_text(source, text));
	ptrdiff_t port = sv_rfind_char(from, ':');

	(void)err_set(&s->err,
		-error,
		"connect to %s from %.*s: %s",
		s->peer_text,
		(int)(port < 0 ? (ptrdiff_t)from.len : port),
		from.ptr,
		error == EAFNOSUPPORT ? "one is IPv4 and the other is IPv6" : rc_text(-error));
}

struct io_stream *io_stream_connect_from(struct io_loop *l, const struct sockaddr *source,
	const struct sockaddr *addr, socklen_t addr_len, io_stream_fn *fn, void *arg)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = fd < 0 ? errno : 0;
	struct io_stream *s;

	s = stream_new(l, fd, fn, arg);
	must(addr_len <= sizeof(s->peer.un));
	memcpy(&s->peer.any, addr, addr_len);
	s->peer.len = addr_len;
	(void)io_address_text(addr, s->peer_text);
	s->state = STREAM_CONNECTING;
	if (error == 0 && source) {
		error = source->sa_family == addr->sa_family ? bind_source(fd, source)
							     : EAFNOSUPPORT;
		if (error != 0) {
			fail_source(s, source, error);
			make_dirty(s);
			return s;
		}
	}
	if (error == 0) {
		io_no_delay(fd);
		io_watch_peer(fd);
		if (connect(fd, addr, addr_len) != 0 && errno != EINPROGRESS)
			error = errno;
	}
	if (error != 0) {
		(void)err_set(&s->err, -error, "connect to %s: %s", s->peer_text, rc_text(-error));
		make_dirty(s);
	} else {
		arm(s);
	}
	return s;
}

struct io_stream *io_stream_connect(struct io_loop *l, const struct sockaddr *addr,
	socklen_t addr_len, io_stream_fn *fn, void *arg)
{
	return io_stream_connect_from(l, NULL, addr, addr_len, fn, arg);
}

void io_stream_free(struct io_stream *s)
{
	if (!s || s->gone)
		return;
	s->gone = true;
	drop_tls(s);
	s->state = STREAM_DEAD;
	io_timer_stop(&s->close_timer);
	list_remove(&s->dirty);
	io_steps_remove(&s->loop->steps, s);
	list_remove(&s->closers);
	io_tls_unref(s->tls);
	io_tls_unref(s->tls_next);
	free(TAKE(s->host));
	free(TAKE(s->tlsa));
	buf_deinit(&s->in);
	buf_deinit(&s->out);
	if (s->ended)
		s->ended(s->ended_arg);
	if (s->fd >= 0)
		io_poll_end(s->loop, &s->poll);
	io_closep(&s->fd);
	list_append(&s->loop->gone, &s->closers);
}

static void close_late(void *arg)
{
	io_stream_free(arg);
}

void io_stream_close_gently(struct io_stream *s, uint64_t timeout_us)
{
	if (!s)
		return;
	if (s->state == STREAM_DEAD || s->state == STREAM_CONNECTING ||
		(s->state == STREAM_HANDSHAKE && s->out.len == 0)) {
		io_stream_free(s);
		return;
	}
	s->closing = true;
	list_append(&s->loop->closing, &s->closers);
	s->fn = NULL;
	s->paused = true;
	io_timer_init(&s->close_timer, s->loop, close_late, s);
	io_timer_start(&s->close_timer, mono_add(io_now(s->loop), timeout_us));
	make_dirty(s);
	arm(s);
}

void io_stream_on_end(struct io_stream *s, void (*ended)(void *arg), void *arg)
{
	s->ended = ended;
	s->ended_arg = arg;
}

void io_stream_set_owner(struct io_stream *s, io_stream_fn *fn, void *arg)
{
	s->fn = fn;
	s->arg = arg;
}

/* ---- what owners ask ---- */

void io_stream_consume(struct io_stream *s, size_t n)
{
	bool was_full = s->in.len >= IO_STREAM_INPUT_MAX;

	buf_consume(&s->in, n);
	/* An idle connection holds no buffer. */
	if (s->in.len == 0 && s->in.cap)
		buf_deinit(&s->in);
	if (!was_full || n == 0 || s->gone)
		return;
	arm(s);
	if (s->state == STREAM_TLS && SSL_pending(s->ssl) > 0)
		look_again(s);
}

void io_stream_pause(struct io_stream *s)
{
	s->paused = true;
	arm(s);
}

void io_stream_resume(struct io_stream *s)
{
	s->paused = false;
	arm(s);
	if (s->in.len || (s->state == STREAM_TLS && SSL_pending(s->ssl) > 0))
		look_again(s);
}

int io_stream_write(struct io_stream *s, struct sv bytes)
{
	int rc = buf_append(&s->out, bytes);

	if (rc != 0)
		return rc;
	if (s->out.len >= IO_STREAM_OUTPUT_LOW)
		s->above_low = true;
	make_dirty(s);
	return 0;
}
