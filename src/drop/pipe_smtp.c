/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/must.h"
#include "drop/submit.h"

/*
 * sendmail -bs: standard input to the daemon's socket, its replies to standard output, until one of them
 * ends. The daemon speaks the protocol; nothing is parsed here but line ends.
 */
enum {
	ROOM = 65536
};

struct bridge {
	int in, out, sock;
	struct buf up; /* what the socket has not taken yet */
	bool in_ended, sock_ended, shut;
	/* A shell script ends its lines in LF. Who ends the first line so does it everywhere. */
	bool seen_line, bare_lf, after_cr;
};

/* Appends `bytes`, each LF as CR LF. */
static void put_lines(struct buf *out, struct sv bytes)
{
	struct sv line;

	while (sv_cut_char(&bytes, '\n', &line))
		must(buf_append(out, line) == 0 && buf_append(out, SV("\r\n")) == 0);
	must(buf_append(out, line) == 0);
}

static void read_input(struct bridge *b)
{
	char bytes[ROOM / 2];
	ssize_t n = read(b->in, bytes, sizeof(bytes));
	struct sv got;
	ptrdiff_t lf;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	b->in_ended = n <= 0;
	got = sv_make(bytes, n > 0 ? (size_t)n : 0);
	lf = sv_find_char(got, '\n');
	if (!b->seen_line && lf >= 0) {
		b->seen_line = true;
		b->bare_lf = !(lf == 0 ? b->after_cr : got.ptr[lf - 1] == '\r');
	}
	b->after_cr = got.len && got.ptr[got.len - 1] == '\r';
	if (b->bare_lf)
		put_lines(&b->up, got);
	else
		must(buf_append(&b->up, got) == 0);
}

static void write_socket(struct bridge *b)
{
	struct sv rest = buf_sv(&b->up);
	ssize_t n = send(b->sock, rest.ptr, rest.len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n > 0)
		buf_consume(&b->up, (size_t)n);
	else if (n < 0 && errno != EINTR && errno != EAGAIN)
		/* It is gone; its last words may still be read. */
		buf_reset(&b->up);
}

/* false: nobody reads the replies. */
static bool write_out(const struct bridge *b, struct sv bytes)
{
	while (bytes.len) {
		ssize_t n = write(b->out, bytes.ptr, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes = sv_skip(bytes, (size_t)n);
	}
	return true;
}

static void read_socket(struct bridge *b)
{
	char bytes[4096];
	ssize_t n = recv(b->sock, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	b->sock_ended = n <= 0 || !write_out(b, sv_make(bytes, (size_t)n));
}

static int run(struct bridge *b)
{
	while (!b->sock_ended) {
		struct pollfd fds[2] = {
			{ .fd = b->sock, .events = (short)(POLLIN | (b->up.len ? POLLOUT : 0)) },
			/* The next piece when the last one has gone: a slow daemon slows the caller. */
			{ .fd = b->in_ended || b->up.len ? -1 : b->in, .events = POLLIN },
		};

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			read_input(b);
		if (b->up.len)
			write_socket(b);
		if (b->in_ended && b->up.len == 0 && !b->shut) {
			b->shut = true;
			(void)shutdown(b->sock, SHUT_WR);
		}
		if (fds[0].revents & (POLLIN | POLLHUP | POLLERR))
			read_socket(b);
	}
	return 0;
}

int drop_pipe_smtp(const char *path, int in, int out, struct err *err)
{
	struct bridge b = { .in = in, .out = out, .sock = -1 };
	int rc;

	b.sock = drop_connect(path, err);
	if (b.sock < 0)
		return b.sock;
	buf_init(&b.up, ROOM);
	rc = run(&b);
	if (rc != 0)
		(void)err_set(err, rc, "%s", rc_text(rc));
	(void)close(b.sock);
	buf_deinit(&b.up);
	return rc;
}
