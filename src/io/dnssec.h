/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"
#include "io/loop.h"

/*
 * Look-ups whose answers are validated (libunbound, DNSSEC), for DANE: TLSA records of a server
 * (RFC 6698, RFC 7672). An answer is secure, insecure (unsigned: no DANE), or bogus (a failure).
 */
struct io_dnssec;
struct io_dnssec_query;

struct io_tlsa {
	uint8_t usage, selector, matching;
	unsigned char data[512];
	size_t len;
};
enum {
	IO_TLSA_MAX = 8
};

/* `anchor`: file of trust anchors (/usr/share/dns/root.key). `forward`: "127.0.0.1@5301", for tests and
 * for machines that may ask only their own server; empty: what resolv.conf names. */
NODISCARD struct io_dnssec *io_dnssec_new(
	struct io_loop *l, struct sv anchor, struct sv forward, struct err *err);
void io_dnssec_free(struct io_dnssec *d);
/* rc 0 with count 0: none, or the zone is unsigned. RC_DNS: bogus or no answer: do not deliver now. */
typedef void io_tlsa_fn(void *arg, int rc, const struct io_tlsa *records, size_t count);
NODISCARD struct io_dnssec_query *io_dnssec_tlsa(
	struct io_dnssec *d, struct sv host, uint16_t port, io_tlsa_fn *fn, void *arg);
void io_dnssec_cancel(struct io_dnssec_query *q);
