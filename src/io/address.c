/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "io/net.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* An IPv4 address inside IPv6 (::ffff:0:0/96, RFC 4291 2.5.5.2): what a "*" listener sees. */
static const unsigned char mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

enum {
	MAPPED_BITS = 96
};

static bool parse_ip(int family, struct sv text, void *out)
{
	char copy[INET6_ADDRSTRLEN];

	if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len))
		return false;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	return inet_pton(family, copy, out) == 1;
}

static int parse_unix(struct sv path, struct io_address *out_address)
{
	struct io_address a = { 0 };

	if (path.len == 0 || path.len >= sizeof(a.un.sun_path) || path.ptr[0] != '/' ||
		memchr(path.ptr, '\0', path.len))
		return RC_PARSE;
	a.un.sun_family = AF_UNIX;
	memcpy(a.un.sun_path, path.ptr, path.len);
	a.len = sizeof(a.un);
	*out_address = a;
	return 0;
}

static int parse_host(struct sv host, struct io_address *a)
{
	if (sv_eq(host, SV("*"))) {
		a->v6.sin6_family = AF_INET6;
		a->len = sizeof(a->v6);
		a->both_families = true;
		return 0;
	}
	if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
		if (!parse_ip(AF_INET6, sv_make(host.ptr + 1, host.len - 2), &a->v6.sin6_addr))
			return RC_PARSE;
		a->v6.sin6_family = AF_INET6;
		a->len = sizeof(a->v6);
		return 0;
	}
	if (!parse_ip(AF_INET, host, &a->v4.sin_addr))
		return RC_PARSE;
	a->v4.sin_family = AF_INET;
	a->len = sizeof(a->v4);
	return 0;
}

int io_address_parse(struct sv text, struct io_address *out_address)
{
	struct io_address a = { 0 };
	ptrdiff_t colon;
	uint32_t port;

	if (sv_starts(text, SV("unix:")))
		return parse_unix(sv_skip(text, 5), out_address);
	colon = sv_rfind_char(text, ':');
	if (colon < 0 || sv_parse_u32(sv_skip(text, (size_t)colon + 1), UINT16_MAX, &port) != 0)
		return RC_PARSE;
	if (parse_host(sv_head(text, (size_t)colon), &a) != 0)
		return RC_PARSE;
	/* The port stands at the same place in both. */
	a.v4.sin_port = htons((uint16_t)port);
	*out_address = a;
	return 0;
}

static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port),
	"io_address_parse() writes either through sin_port");

const char *io_address_text(const struct sockaddr *addr, char out[IO_ADDRESS_TEXT_MAX])
{
	const struct sockaddr_in *v4 = (const void *)addr;
	const struct sockaddr_in6 *v6 = (const void *)addr;
	const struct sockaddr_un *un = (const void *)addr;
	char ip[INET6_ADDRSTRLEN] = "";

	switch (addr->sa_family) {
	case AF_INET:
		(void)inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof(ip));
		(void)snprintf(out, IO_ADDRESS_TEXT_MAX, "%s:%u", ip, ntohs(v4->sin_port));
		break;
	case AF_INET6:
		(void)inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof(ip));
		(void)snprintf(out, IO_ADDRESS_TEXT_MAX, "[%s]:%u", ip, ntohs(v6->sin6_port));
		break;
	case AF_UNIX:
		(void)snprintf(out,
			IO_ADDRESS_TEXT_MAX,
			"unix:%.*s",
			(int)sizeof(un->sun_path),
			un->sun_path);
		break;
	default:
		(void)snprintf(out, IO_ADDRESS_TEXT_MAX, "unknown");
		break;
	}
	return out;
}

/* The bytes that a network is compared with, IPv4 taken out of its IPv6 clothes. */
static const unsigned char *ip_bytes(const struct sockaddr *addr, int *out_family)
{
	const struct sockaddr_in *v4 = (const void *)addr;
	const struct sockaddr_in6 *v6 = (const void *)addr;

	if (addr->sa_family == AF_INET) {
		*out_family = AF_INET;
		return (const unsigned char *)&v4->sin_addr;
	}
	if (addr->sa_family != AF_INET6)
		return NULL;
	if (memcmp(&v6->sin6_addr, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		*out_family = AF_INET;
		return (const unsigned char *)&v6->sin6_addr + sizeof(mapped_prefix);
	}
	*out_family = AF_INET6;
	return (const unsigned char *)&v6->sin6_addr;
}

const char *io_address_site(const struct sockaddr *addr, char out[IO_ADDRESS_TEXT_MAX])
{
	unsigned char site[16] = { 0 };
	char ip[INET6_ADDRSTRLEN] = "";
	int family = AF_UNSPEC;
	const unsigned char *bytes = ip_bytes(addr, &family);

	if (!bytes) {
		(void)snprintf(out,
			IO_ADDRESS_TEXT_MAX,
			"%s",
			addr->sa_family == AF_UNIX ? "unix" : "unknown");
		return out;
	}
	memcpy(site, bytes, family == AF_INET ? 4 : 8);
	(void)inet_ntop(family, site, ip, sizeof(ip));
	(void)snprintf(out, IO_ADDRESS_TEXT_MAX, "%s%s", ip, family == AF_INET ? "" : "/64");
	return out;
}

int io_peer_of(int fd, struct io_address *out_address, unsigned *out_uid)
{
	struct io_address peer = { .len = sizeof(peer.un) };
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	if (getpeername(fd, &peer.any, &peer.len) != 0)
		return RC_STATE;
	if (peer.any.sa_family == AF_UNIX &&
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return RC_STATE;
	*out_address = peer;
	*out_uid = cred.uid;
	return 0;
}

void io_peer_tell(int fd, struct sv bytes)
{
	(void)send(fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool io_address_is_loopback(const struct sockaddr *addr)
{
	int family;
	const unsigned char *bytes;

	if (addr->sa_family == AF_UNIX)
		return true;
	bytes = ip_bytes(addr, &family);
	if (!bytes)
		return false;
	return family == AF_INET ? bytes[0] == 127
				 : memcmp(bytes, &in6addr_loopback, sizeof(in6addr_loopback)) == 0;
}

static void mask_bytes(unsigned char *bytes, unsigned bits)
{
	for (unsigned i = 0; i < 16; i++) {
		if (bits <= i * 8)
			bytes[i] = 0;
		else if (bits < (i + 1) * 8)
			bytes[i] &= (unsigned char)(0xff << ((i + 1) * 8 - bits));
	}
}

int io_network_parse(struct sv text, struct io_network *out_network)
{
	struct io_network n = { .family = AF_INET, .bits = 32 };
	struct sv host;
	bool slash = sv_cut_char(&text, '/', &host);
	uint32_t bits;

	if (!parse_ip(AF_INET, host, n.bytes)) {
		if (!parse_ip(AF_INET6, host, n.bytes))
			return RC_PARSE;
		n.family = AF_INET6;
		n.bits = 128;
	}
	if (slash) {
		if (sv_parse_u32(text, n.bits, &bits) != 0)
			return RC_PARSE;
		n.bits = bits;
	}
	if (n.family == AF_INET6 && n.bits >= MAPPED_BITS &&
		memcmp(n.bytes, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		memmove(n.bytes, n.bytes + sizeof(mapped_prefix), 4);
		n.family = AF_INET;
		n.bits -= MAPPED_BITS;
	}
	mask_bytes(n.bytes, n.bits);
	*out_network = n;
	return 0;
}

bool io_network_holds(const struct io_network *n, const struct sockaddr *addr)
{
	unsigned char masked[16] = { 0 };
	int family;
	const unsigned char *bytes = ip_bytes(addr, &family);
	size_t len = n->family == AF_INET ? 4 : 16;

	if (!bytes || family != n->family)
		return false;
	memcpy(masked, bytes, len);
	mask_bytes(masked, n->bits);
	return memcmp(masked, n->bytes, len) == 0;
}

bool io_network_is_loopback(const struct io_network *n)
{
	if (n->family == AF_INET)
		return n->bits >= 8 && n->bytes[0] == 127;
	return n->bits == 128 && memcmp(n->bytes, &in6addr_loopback, sizeof(in6addr_loopback)) == 0;
}
