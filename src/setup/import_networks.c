/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/net.h"
#include "setup/import_priv.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * no_password_from knows no exceptions, so an excluded network is cut out of the others: 10.0.0.0/8 without
 * 10.1.0.0/16 is 10.0.0.0/16, 10.2.0.0/15 and so on. Postfix lets the first match decide; here an exclusion holds
 * wherever it stands, since a network must not be opened by a misunderstanding.
 */
enum {
	V4_BITS = 32,
	V6_BITS = 128,
	TEXT_MAX = 80,
};

struct net {
	bool v6;
	unsigned char bytes[16];
	unsigned bits;
};

struct cutting {
	struct setup_import *im;
	struct sv *out;
	size_t count;
	bool full;
};

static bool net_parse(struct sv text, struct net *out)
{
	char plain[TEXT_MAX];
	struct io_network n;
	size_t len = 0;
	unsigned total;

	/* Postfix writes [::1]/128. */
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '[' || text.ptr[i] == ']')
			continue;
		if (len + 1 == sizeof(plain))
			return false;
		plain[len++] = text.ptr[i];
	}
	if (io_network_parse(sv_make(plain, len), &n) != 0)
		return false;
	*out = (struct net){ .v6 = n.family == AF_INET6, .bits = n.bits };
	memcpy(out->bytes, n.bytes, out->v6 ? 16 : 4);
	/* ::ffff:127.0.0.0/104 is 127.0.0.0/8. */
	if (out->v6 && n.bits >= 96 && IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)n.bytes)) {
		*out = (struct net){ .bits = n.bits - 96 };
		memcpy(out->bytes, n.bytes + 12, 4);
	}
	total = out->v6 ? V6_BITS : V4_BITS;
	for (unsigned i = out->bits; i < total; i++)
		out->bytes[i / 8] &= (unsigned char)~(0x80u >> i % 8);
	return true;
}

static bool net_holds(const struct net *outer, const struct net *inner)
{
	if (outer->v6 != inner->v6 || outer->bits > inner->bits)
		return false;
	for (unsigned i = 0; i < outer->bits; i++)
		if ((outer->bytes[i / 8] ^ inner->bytes[i / 8]) & (0x80u >> i % 8))
			return false;
	return true;
}

bool import_network(
	struct setup_import *im, struct import_networks *n, struct sv network, bool closed)
{
	struct net ignored;
	size_t *count = closed ? &n->closed_count : &n->open_count;

	if (!net_parse(network, &ignored))
		return false;
	if (*count == SETUP_IMPORT_MAX) {
		import_full(im, closed ? "excluded networks" : "networks");
		/* What is not excluded must not stay open. */
		if (closed)
			n->open_count = 0;
		return true;
	}
	(closed ? n->closed : n->open)[(*count)++] = import_keep(im, network);
	return true;
}

static void emit(struct cutting *c, const struct net *n)
{
	char address[INET6_ADDRSTRLEN], text[TEXT_MAX];

	if (c->count == SETUP_IMPORT_MAX) {
		c->full = true;
		return;
	}
	(void)inet_ntop(n->v6 ? AF_INET6 : AF_INET, n->bytes, address, sizeof(address));
	if (n->bits == (n->v6 ? V6_BITS : V4_BITS))
		(void)snprintf(text, sizeof(text), "%s", address);
	else
		(void)snprintf(text, sizeof(text), "%s/%u", address, n->bits);
	for (size_t i = 0; i < c->count; i++)
		if (sv_eq(c->out[i], sv_from(text)))
			return;
	c->out[c->count++] = import_keep(c->im, sv_from(text));
}

/* What is left of `n`: halves, and halves of halves, down to the excluded ones. */
static void cut(struct cutting *c, const struct net *closed, size_t count, struct net n)
{
	struct net half = n;
	bool touched = false;

	for (size_t i = 0; i < count; i++) {
		if (net_holds(&closed[i], &n))
			return;
		touched = touched || net_holds(&n, &closed[i]);
	}
	if (!touched) {
		emit(c, &n);
		return;
	}
	if (c->full)
		return;
	half.bits++;
	cut(c, closed, count, half);
	half.bytes[n.bits / 8] |= (unsigned char)(0x80u >> n.bits % 8);
	cut(c, closed, count, half);
}

/* The whole internet, or half of it. */
static bool is_everybody(const struct net *n)
{
	return n->bits < (n->v6 ? 3U : 8U) || (n->v6 && n->bits < 16 && n->bytes[0] == 0x20);
}

const struct sv *import_networks_open(struct setup_import *im, const struct import_networks *n,
	struct import_place at, size_t *out_count)
{
	struct cutting c = { .im = im,
		.out = arena_alloc(&im->arena, SETUP_IMPORT_MAX * sizeof(struct sv)) };
	struct net *closed = xcalloc(n->closed_count + 1, sizeof(*closed)), open;

	for (size_t i = 0; i < n->closed_count; i++)
		must(net_parse(n->closed[i], &closed[i]));
	for (size_t i = 0; i < n->open_count; i++) {
		must(net_parse(n->open[i], &open));
		if (is_everybody(&open))
			import_note(im,
				SETUP_NOTE_LOST,
				at,
				"%.*s would let everybody send: it stays closed; write the "
				"networks "
				"that you know into no_password_from",
				SV_ARG(n->open[i]));
		else
			cut(&c, closed, n->closed_count, open);
	}
	if (c.full)
		import_full(im, "networks");
	free(closed);
	*out_count = c.count;
	return c.out;
}
