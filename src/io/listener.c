/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/file.h"
#include "io/loop_priv.h"
#include "io/net.h"
#include "io/stream_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BACKLOG = 4096, /* the kernel cuts it to net.core.somaxconn */
	ACCEPTS_PER_ROUND =
		8, /* some 50 us each; then sessions that exist already have their turn */
	REST_US = 100 * 1000, /* after running out of descriptors or memory */
};

struct io_listener {
	uv_poll_t poll;
	struct io_loop *loop;
	io_accept_fn *fn;
	void *arg;
	struct io_timer rest;
	int fd;
	/* Given up to accept, and so refuse, a connection when descriptors have run out: unaccepted it
	 * would wake the loop for ever. */
	int reserve_fd;
	bool paused, closed;
	char *unix_path; /* one that we made; ours only while the inode is the same */
	dev_t unix_dev;
	ino_t unix_ino;
};

static void set_polling(struct io_listener *n, bool on);

static void refuse_one(struct io_listener *n)
{
	int fd;

	io_closep(&n->reserve_fd);
	fd = accept4(n->fd, NULL, NULL, SOCK_CLOEXEC);
	io_closep(&fd);
	n->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void rest(struct io_listener *n)
{
	set_polling(n, false);
	io_timer_start(&n->rest, mono_add(io_now(n->loop), REST_US));
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
	struct io_listener *n = poll->data;

	(void)events;
	for (unsigned i = 0; i < ACCEPTS_PER_ROUND && !n->closed && !n->paused; i++) {
		int fd = accept4(n->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		int error = fd < 0 ? errno : 0;

		if (fd >= 0) {
			n->fn(n->arg, fd);
			continue;
		}
		if (error == EAGAIN)
			break;
		if (error == EMFILE || error == ENFILE)
			refuse_one(n);
		if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
			rest(n);
			return;
		}
		/* Everything else is the end of that one connection (accept(2), "Error handling"). */
	}
	/* An error state, and libuv has stopped the handle: it goes on, but not at once. */
	if (status < 0 && !n->closed && !n->paused)
		rest(n);
}

static void set_polling(struct io_listener *n, bool on)
{
	must(uv_poll_start(&n->poll, on ? UV_READABLE : 0, on_acceptable) == 0);
}

static void on_rested(void *arg)
{
	struct io_listener *n = arg;

	if (!n->paused)
		set_polling(n, true);
}

struct io_listener *io_listener_adopt(struct io_loop *l, int fd, io_accept_fn *fn, void *arg)
{
	struct io_listener *n = xcalloc(1, sizeof(*n));

	/* Also makes it non-blocking. Fails only for what is no socket at all. */
	if (uv_poll_init(&l->uv, &n->poll, fd) != 0) {
		free(n);
		return NULL;
	}
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	io_no_delay(fd);
	n->poll.data = n;
	n->loop = l;
	n->fn = fn;
	n->arg = arg;
	n->fd = fd;
	n->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	io_timer_init(&n->rest, l, on_rested, n);
	set_polling(n, true);
	return n;
}

/* Makes room for a unix socket: removes one that nobody listens on, and nothing else. */
static int clear_stale(const struct io_address *address, struct err *err)
{
	const char *path = address->un.sun_path;
	struct stat st;
	CLEANUP(io_closep) int fd = -1;

	if (lstat(path, &st) != 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EEXIST, "%s exists and is not a socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, -errno, "socket for %s: %s", path, rc_text(-errno));
	if (connect(fd, &address->any, address->len) == 0 || errno != ECONNREFUSED)
		return err_set(err, -EADDRINUSE, "%s is in use by another process", path);
	if (unlink(path) != 0)
		return err_set(err, -errno, "cannot remove %s: %s", path, rc_text(-errno));
	return 0;
}

static int make_socket(const struct io_address *address, struct io_address *out_used)
{
	const int on = 1, v6_only = !address->both_families;
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*out_used = *address;
	if (fd < 0 && address->both_families && errno == EAFNOSUPPORT) {
		/* A kernel without IPv6: "*" is what is left. */
		*out_used = (struct io_address){ .len = sizeof(out_used->v4) };
		out_used->v4.sin_family = AF_INET;
		out_used->v4.sin_port = address->v6.sin6_port;
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	}
	if (fd < 0)
		return -errno;
	if (address->any.sa_family != AF_UNIX)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (out_used->any.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only));
	return fd;
}

static int bind_and_listen(int fd, const struct io_address *address, unsigned unix_mode)
{
	/* The mode of the socket before bind() becomes that of the file (less the umask), so that
	 * nobody gets in before chmod(). */
	if (address->any.sa_family == AF_UNIX && fchmod(fd, 0600) != 0)
		return -errno;
	if (bind(fd, &address->any, address->len) != 0)
		return -errno;
	if (address->any.sa_family == AF_UNIX && unix_mode &&
		chmod(address->un.sun_path, unix_mode) != 0)
		return -errno;
	return listen(fd, BACKLOG) == 0 ? 0 : -errno;
}

static void remember_path(struct io_listener *n, const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return;
	n->unix_path = sv_dup(sv_from(path));
	n->unix_dev = st.st_dev;
	n->unix_ino = st.st_ino;
}

struct io_listener *io_listener_open(struct io_loop *l, const struct io_address *address,
	unsigned unix_mode, io_accept_fn *fn, void *arg, struct err *err)
{
	char text[IO_ADDRESS_TEXT_MAX];
	struct io_address used;
	struct io_listener *n;
	int fd, rc;

	if (address->any.sa_family == AF_UNIX && clear_stale(address, err) != 0)
		return NULL;
	fd = make_socket(address, &used);
	if (fd < 0) {
		(void)err_set(err,
			fd,
			"cannot listen on %s: %s",
			io_address_text(&address->any, text),
			rc_text(fd));
		return NULL;
	}
	rc = bind_and_listen(fd, &used, unix_mode);
	n = rc == 0 ? io_listener_adopt(l, fd, fn, arg) : NULL;
	if (!n) {
		io_closep(&fd);
		(void)err_set(err,
			rc ? rc : -EINVAL,
			"cannot listen on %s: %s",
			io_address_text(&address->any, text),
			rc_text(rc ? rc : -EINVAL));
		return NULL;
	}
	if (used.any.sa_family == AF_UNIX)
		remember_path(n, used.un.sun_path);
	return n;
}

/* What make_socket() and bind_and_listen() make of `wanted`. */
static bool listens_on(int fd, const struct io_address *wanted)
{
	struct io_address is = { .len = sizeof(is.un) };
	int listening = 0, v6_only = 0;
	socklen_t len = sizeof(listening);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 || !listening ||
		getsockname(fd, &is.any, &is.len) != 0)
		return false;
	if (wanted->any.sa_family == AF_UNIX)
		return is.any.sa_family == AF_UNIX &&
		       strcmp(is.un.sun_path, wanted->un.sun_path) == 0;
	if (is.any.sa_family == AF_INET && wanted->both_families)
		return is.v4.sin_addr.s_addr == INADDR_ANY &&
		       is.v4.sin_port == wanted->v6.sin6_port;
	if (is.any.sa_family != wanted->any.sa_family)
		return false;
	if (is.any.sa_family == AF_INET)
		return is.v4.sin_addr.s_addr == wanted->v4.sin_addr.s_addr &&
		       is.v4.sin_port == wanted->v4.sin_port;
	len = sizeof(v6_only);
	return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &len) == 0 &&
	       (v6_only == 0) == wanted->both_families && is.v6.sin6_port == wanted->v6.sin6_port &&
	       is.v6.sin6_scope_id == wanted->v6.sin6_scope_id &&
	       memcmp(&is.v6.sin6_addr, &wanted->v6.sin6_addr, sizeof(is.v6.sin6_addr)) == 0;
}

/* Its file may have been removed, or its mode may be another now. */
static bool is_reachable(const struct io_address *address, unsigned unix_mode)
{
	const char *path = address->un.sun_path;
	struct stat st;

	if (address->any.sa_family != AF_UNIX)
		return true;
	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	       (unix_mode == 0 || chmod(path, unix_mode) == 0);
}

struct io_listener *io_listener_inherit(struct io_loop *l, int fd, const struct io_address *address,
	unsigned unix_mode, io_accept_fn *fn, void *arg)
{
	struct io_listener *n = NULL;

	if (listens_on(fd, address) && is_reachable(address, unix_mode))
		n = io_listener_adopt(l, fd, fn, arg);
	if (!n)
		io_closep(&fd);
	else if (address->any.sa_family == AF_UNIX)
		remember_path(n, address->un.sun_path);
	return n;
}

int io_listener_fd(const struct io_listener *n)
{
	return n->fd;
}

void io_listener_leave(struct io_listener *n)
{
	if (!n)
		return;
	free(n->unix_path);
	n->unix_path = NULL;
	io_listener_close(n);
}

void io_listener_close(struct io_listener *n)
{
	struct stat st;

	if (!n)
		return;
	n->closed = true;
	io_timer_stop(&n->rest);
	/* A newer process may have put its own socket there. */
	if (n->unix_path && lstat(n->unix_path, &st) == 0 && st.st_dev == n->unix_dev &&
		st.st_ino == n->unix_ino)
		(void)unlink(n->unix_path);
	free(n->unix_path);
	n->unix_path = NULL;
	uv_close((uv_handle_t *)&n->poll, io_handle_closed);
	io_closep(&n->fd);
	io_closep(&n->reserve_fd);
}

void io_listener_pause(struct io_listener *n, bool paused)
{
	if (n->paused == paused)
		return;
	n->paused = paused;
	io_timer_stop(&n->rest);
	set_polling(n, !paused);
}

int io_listener_port(const struct io_listener *n)
{
	struct sockaddr_storage at = { 0 };
	socklen_t len = sizeof(at);

	if (getsockname(n->fd, (struct sockaddr *)&at, &len) != 0)
		return 0;
	if (at.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)(const void *)&at)->sin_port);
	if (at.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)(const void *)&at)->sin6_port);
	return 0;
}
