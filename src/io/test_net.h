/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/must.h"
#include "io/file.h"
#include "io/stream.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#include "cmocka_all.h"

/* Two ends of a connection on one loop, for the tests of streams in the clear and with TLS. */

enum {
	GUARD_S = 60, /* a test that hangs fails instead */
	EVENT_COUNT = IO_STREAM_FAILED + 1,
	GOT_MAX = 256,
};

static const char test_letters[EVENT_COUNT + 1] = "CSIDEF";

/* One end of a connection, and what it shall do. */
struct end {
	struct net *net;
	struct io_stream *s;
	struct io_tls *tls; /* begun by start_tls() */
	const char *host;   /* client: the name that is asked for */
	char order[64];     /* letters of the events; repeated ones once */
	unsigned counts[EVENT_COUNT];
	int free_on;     /* an event, or -1 */
	bool gently;     /* ... by io_stream_close_gently() */
	bool keep_input; /* nothing is consumed */
	bool pauses;     /* now and then, and consumes by halves */
	bool corrupt;    /* other bytes than sent */
	uint64_t to_send, sent, received;
	char got[GOT_MAX]; /* the first bytes */
	struct io_timer wake;
	struct err err;
	void (*hook)(struct end *e, enum io_stream_event event);
};

struct net {
	struct io_loop *loop;
	struct io_timer guard, later;
	bool hung;
	struct end a, b;
	int raw;      /* the other end of `a` when it is no stream */
	int listener; /* of a TCP pair; -1 without */
	bool (*until)(struct net *n);
};

static inline void on_guard(void *arg)
{
	struct net *n = arg;

	n->hung = true;
	io_loop_stop(n->loop);
}

static inline void look(struct net *n)
{
	if (n->until && n->until(n))
		io_loop_stop(n->loop);
}

static inline char pattern(uint64_t at)
{
	return (char)(at * 7 + (at >> 11));
}

static inline void pump(struct end *e)
{
	char bytes[20000];

	while (e->sent < e->to_send && io_stream_output_len(e->s) < 4 * IO_STREAM_OUTPUT_LOW) {
		size_t len = (size_t)prng_below(io_prng(e->net->loop), sizeof(bytes)) + 1;

		if (len > e->to_send - e->sent)
			len = (size_t)(e->to_send - e->sent);
		for (size_t i = 0; i < len; i++)
			bytes[i] = pattern(e->sent + i);
		must(io_stream_write(e->s, sv_make(bytes, len)) == 0);
		e->sent += len;
	}
}

static inline void take_input(struct end *e)
{
	struct sv in = io_stream_input(e->s);
	size_t n = in.len;

	must(n <= IO_STREAM_INPUT_MAX);
	if (e->pauses && prng_below(io_prng(e->net->loop), 4) == 0) {
		n /= 2;
		io_stream_pause(e->s);
		io_timer_start(&e->wake,
			mono_add(io_now(e->net->loop), prng_below(io_prng(e->net->loop), 500)));
	}
	for (size_t i = 0; i < n; i++) {
		if (e->received + i < GOT_MAX - 1)
			e->got[e->received + i] = in.ptr[i];
		e->corrupt |= in.ptr[i] != pattern(e->received + i);
	}
	e->received += n;
	io_stream_consume(e->s, n);
}

static inline void on_wake(void *arg)
{
	struct end *e = arg;

	if (e->s)
		io_stream_resume(e->s);
}

static inline void on_event(void *arg, enum io_stream_event event)
{
	struct end *e = arg;
	size_t len = strlen(e->order);

	must(e->s != NULL); /* nothing is told after FAILED or a free */
	e->counts[event]++;
	if ((len == 0 || e->order[len - 1] != test_letters[event]) && len + 1 < sizeof(e->order))
		e->order[len] = test_letters[event];
	if (event == IO_STREAM_FAILED)
		e->err = *io_stream_error(e->s);
	if ((int)event == e->free_on) {
		if (e->gently)
			io_stream_close_gently(TAKE(e->s), US_PER_MIN);
		else
			io_stream_free(TAKE(e->s));
	} else {
		if (event == IO_STREAM_INPUT && !e->keep_input)
			take_input(e);
		if (event == IO_STREAM_CONNECTED || event == IO_STREAM_SECURED ||
			event == IO_STREAM_DRAINED)
			pump(e);
		if (e->hook)
			e->hook(e, event);
		if (event == IO_STREAM_FAILED && e->s)
			io_stream_free(TAKE(e->s));
	}
	look(e->net);
}

static inline void init_end(struct end *e, struct net *n)
{
	*e = (struct end){ .net = n, .free_on = -1 };
	io_timer_init(&e->wake, n->loop, on_wake, e);
}

static inline void open_net(struct net *n)
{
	*n = (struct net){ .loop = io_loop_new(), .raw = -1, .listener = -1 };
	init_end(&n->a, n);
	init_end(&n->b, n);
	io_timer_init(&n->guard, n->loop, on_guard, n);
	io_timer_start(&n->guard, mono_add(io_now(n->loop), GUARD_S * US_PER_S));
}

static inline void run_until(struct net *n, bool (*until)(struct net *n))
{
	n->until = until;
	if (!until(n))
		io_loop_run(n->loop);
	n->until = NULL;
	assert_false(n->hung);
}

static inline void close_net(struct net *n)
{
	io_stream_free(TAKE(n->a.s));
	io_stream_free(TAKE(n->b.s));
	io_tls_unref(n->a.tls);
	io_tls_unref(n->b.tls);
	io_closep(&n->raw);
	io_closep(&n->listener);
	io_loop_free(n->loop);
}

static inline struct sockaddr_in loopback(unsigned port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) },
		.sin_port = htons((uint16_t)port) };
}

/* Gives the listening descriptor, which holds the port. */
static inline int tcp_pair(int fds[2])
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = loopback(0);
	socklen_t len = sizeof(at);

	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (const struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fds[0] >= 0);
	assert_int_equal(connect(fds[0], (const struct sockaddr *)&at, len), 0);
	fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fds[1] >= 0);
	return listener;
}

static inline struct io_stream *stream_of(struct net *n, int fd, struct end *e)
{
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return io_stream_accepted(n->loop, fd, on_event, e);
}

static inline void open_pair(struct net *n, bool tcp)
{
	int fds[2];

	open_net(n);
	if (tcp)
		n->listener = tcp_pair(fds);
	else
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	n->a.s = stream_of(n, fds[0], &n->a);
	n->b.s = stream_of(n, fds[1], &n->b);
}

static inline bool b_is_full(struct net *n)
{
	return io_stream_input(n->b.s).len == IO_STREAM_INPUT_MAX;
}

/* `a` is a stream, the other end a descriptor. */
static inline void open_raw(struct net *n)
{
	int fds[2];

	open_net(n);
	n->listener = tcp_pair(fds);
	n->a.s = stream_of(n, fds[0], &n->a);
	n->raw = fds[1];
}

static inline void send_text(struct end *e, const char *text)
{
	assert_int_equal(io_stream_write(e->s, sv_from(text)), 0);
}

static inline void raw_text(struct net *n, const char *text)
{
	assert_int_equal(send(n->raw, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static inline void reset_raw(struct net *n)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	assert_int_equal(setsockopt(n->raw, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	io_closep(&n->raw);
}

static inline void on_later(void *arg)
{
	struct net *n = arg;

	io_loop_stop(n->loop);
}

/* Long enough for what is under way on loopback; nothing is asserted about how long. */
static inline void run_a_moment(struct net *n)
{
	io_timer_init(&n->later, n->loop, on_later, n);
	io_timer_start(&n->later, mono_add(io_now(n->loop), 20 * US_PER_MS));
	io_loop_run(n->loop);
	assert_false(n->hung);
}

/* Fills the output until the kernel takes no more of it. */
static inline void stuff_output(struct net *n, struct end *e)
{
	static char block[IO_STREAM_OUTPUT_MAX];
	size_t before;

	do {
		before = io_stream_output_len(e->s);
		must(io_stream_write(e->s, sv_make(block, sizeof(block) - before)) == 0);
		run_a_moment(n);
		run_a_moment(n);
	} while (io_stream_output_len(e->s) < sizeof(block));
}

static inline bool a_gone(struct net *n)
{
	return !n->a.s;
}

static inline bool b_gone(struct net *n)
{
	return !n->b.s;
}

static inline bool both_gone(struct net *n)
{
	return !n->a.s && !n->b.s;
}

static inline bool b_has_line(struct net *n)
{
	return strchr(n->b.got, '\n') != NULL;
}

static inline bool a_has_line(struct net *n)
{
	return strchr(n->a.got, '\n') != NULL;
}

static inline bool both_have_lines(struct net *n)
{
	return a_has_line(n) && b_has_line(n);
}

static inline bool all_arrived(struct net *n)
{
	return n->a.received == n->b.to_send && n->b.received == n->a.to_send;
}

static inline bool a_ended(struct net *n)
{
	return !n->a.s || n->a.counts[IO_STREAM_EOF];
}
