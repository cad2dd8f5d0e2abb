/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"
#include "io/loop.h"

/*
 * Look-ups whose answers are validated (libunbound, DNSSEC). An answer is secure, insecure (unsigned: no DANE), or
 * bogus (a failure). Answers are kept as long as they say.
 */
struct io_dnssec;

/* Any name, any type. */
struct io_dns_look;
enum io_dns_status {
	IO_DNS_FOUND,
	IO_DNS_NO_DATA,  /* the name exists, without this type */
	IO_DNS_NXDOMAIN, /* no such name */
	IO_DNS_FAILURE   /* no answer in time, a refusal, a bogus signature */
};
enum {
	IO_DNS_RECORDS_MAX = 64
};
struct io_dns_answer {
	enum io_dns_status status;
	uint8_t rcode;
	bool secure, bogus;
	bool cut; /* there are more records than IO_DNS_RECORDS_MAX */
	uint32_t ttl_s;
	struct sv alias;          /* where CNAMEs led, as text; empty without one */
	const struct sv *records; /* RDATA on the wire, names in it not compressed (RFC 1035 3.3) */
	size_t count;
};
/* Comes once, on a later round of the loop, unless cancelled. Its views are valid during the call. */
typedef void io_dns_fn(void *arg, const struct io_dns_answer *answer);
/* `name`: labels with dots between; whatever else is in it is asked for as it is. After `patience_us` it is a failure. */
NODISCARD struct io_dns_look *io_dns_ask(struct io_dnssec *d, struct sv name, uint16_t type,
	uint64_t patience_us, io_dns_fn *fn, void *arg);
void io_dns_cancel(struct io_dns_look *q);

/* For DANE: TLSA records of a server (RFC 6698, RFC 7672). */
struct io_dnssec_query;

struct io_tlsa {
	uint8_t usage, selector, matching;
	unsigned char data[512];
	size_t len;
};
enum {
	IO_TLSA_MAX = 8
};

/* `anchor`: file of trust anchors (/usr/share/dns/root.key); empty: no answer is secure, and none is bogus. `forward`: "127.0.0.1@5301", for tests and
 * for machines that may ask only their own server; empty: what resolv.conf names. */
NODISCARD struct io_dnssec *io_dnssec_new(
	struct io_loop *l, struct sv anchor, struct sv forward, struct err *err);
void io_dnssec_free(struct io_dnssec *d);
/* rc 0 with count 0: none, or the zone is unsigned. RC_DNS: bogus or no answer: do not deliver now. */
typedef void io_tlsa_fn(void *arg, int rc, const struct io_tlsa *records, size_t count);
NODISCARD struct io_dnssec_query *io_dnssec_tlsa(
	struct io_dnssec *d, struct sv host, uint16_t port, io_tlsa_fn *fn, void *arg);
void io_dnssec_cancel(struct io_dnssec_query *q);
