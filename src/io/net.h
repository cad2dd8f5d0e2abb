/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"
#include "io/loop.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Addresses, listeners and names. */

struct io_address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un un;
	};
	socklen_t len;
	bool both_families; /* "*": an IPv6 socket that takes IPv4 too */
};

/*
 * "127.0.0.1:2525", "[::1]:2525", "*:587" (both families), "unix:/run/postern/smtp". Numbers only, no
 * names. RC_PARSE.
 */
NODISCARD int io_address_parse(struct sv text, struct io_address *out_address);
enum {
	IO_ADDRESS_TEXT_MAX = 128
};
const char *io_address_text(const struct sockaddr *addr, char out[IO_ADDRESS_TEXT_MAX]);
bool io_address_is_loopback(const struct sockaddr *addr); /* also unix sockets */
/* What one customer of a network has: an IPv4 address, the /64 of an IPv6 address: "192.0.2.7",
 * "2001:db8:0:1::/64"; "unix", "unknown". Returns `out`. */
const char *io_address_site(const struct sockaddr *addr, char out[IO_ADDRESS_TEXT_MAX]);
/* Who is at the other end of a connected socket: the address, and of a unix socket the uid. RC_STATE when
 * the kernel does not know. */
NODISCARD int io_peer_of(int fd, struct io_address *out_address, unsigned *out_uid);
/* A last word to it: what the kernel takes at once. */
void io_peer_tell(int fd, struct sv bytes);
/*
 * Of a connection that is ours: a peer that has gone without a word, or a gateway that has forgotten it, is found
 * out within half a minute. Bytes that nobody acknowledges end it, and while nothing is to be sent, probes do. By
 * itself TCP would try for a quarter of an hour, and not look at all while it waits for a reply.
 */
void io_watch_peer(int fd);

/* "10.0.0.0/8", "::1/128", "192.0.2.7". IPv4-mapped IPv6 peers match IPv4 networks. */
struct io_network {
	unsigned char bytes[16];
	int family;
	unsigned bits;
};
NODISCARD int io_network_parse(struct sv text, struct io_network *out_network);
bool io_network_holds(const struct io_network *n, const struct sockaddr *addr);
bool io_network_is_loopback(const struct io_network *n);

/* Accepts connections; each accepted descriptor (non-blocking, CLOEXEC) is the callback's to own. */
struct io_listener;
typedef void io_accept_fn(void *arg, int fd);
NODISCARD struct io_listener *io_listener_open(struct io_loop *l, const struct io_address *address,
	unsigned unix_mode, io_accept_fn *fn, void *arg, struct err *err);
/* A socket handed over by systemd (LISTEN_FDS). */
NODISCARD struct io_listener *io_listener_adopt(
	struct io_loop *l, int fd, io_accept_fn *fn, void *arg);
/*
 * The same for one that a process before us had stored: only if it listens on `address`, and a unix
 * socket is still to be found there. NULL: it does not, and `fd` is closed.
 */
NODISCARD struct io_listener *io_listener_inherit(struct io_loop *l, int fd,
	const struct io_address *address, unsigned unix_mode, io_accept_fn *fn, void *arg);
int io_listener_fd(const struct io_listener *n);
void io_listener_close(struct io_listener *n); /* unlinks a unix socket it made */
void io_listener_leave(struct io_listener *n); /* does not: another process holds the socket, too */
void io_listener_pause(struct io_listener *n, bool paused);
int io_listener_port(const struct io_listener *n); /* the real one when 0 was asked for */

/*
 * Resolves a host name to addresses in the order to try them (c-ares; /etc/hosts is honoured). A
 * numeric host answers at once, but still on a later round. The callback comes exactly once, unless
 * cancelled: rc 0, RC_NO_NAME or RC_DNS. It must not free the resolver.
 */
struct io_resolver;
struct io_resolve;
typedef void io_resolve_fn(void *arg, int rc, const struct io_address *addresses, size_t count);
NODISCARD struct io_resolver *io_resolver_new(struct io_loop *l, struct err *err);
void io_resolver_free(struct io_resolver *r);
/* Name servers to ask instead of those of resolv.conf: "127.0.0.1:5301,192.0.2.1"; empty: those. Not
 * while a query runs. RC_PARSE, RC_DNS. */
NODISCARD int io_resolver_use(struct io_resolver *r, struct sv servers);
NODISCARD struct io_resolve *io_resolve_host(
	struct io_resolver *r, struct sv host, uint16_t port, io_resolve_fn *fn, void *arg);
void io_resolve_cancel(struct io_resolve *q);

/* Mail exchangers of a domain, best first, at most IO_MX_MAX (ties shuffled by the resolver). */
enum {
	IO_MX_MAX = 16
};
struct io_mx {
	uint16_t preference;
	char host[256]; /* without the dot at the end */
};
/* rc 0, RC_NO_NAME (no MX: the domain does not exist or has none), RC_DNS. */
typedef void io_mx_fn(void *arg, int rc, const struct io_mx *mx, size_t count);
NODISCARD struct io_resolve *io_resolve_mx(
	struct io_resolver *r, struct sv domain, io_mx_fn *fn, void *arg);
