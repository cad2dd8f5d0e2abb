/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/fields.h"
#include "base/limits.h"
#include "base/time.h"

#include <stdint.h>

/*
 * Where a received message came from, as its receiver has written it down: the address and HELO name of the host that
 * handed it over, and the envelope's sender. What SPF was asked with is not in a message; this is the best guess, and says
 * what it was taken from. A message itself can claim anything below the fields of its receiver.
 */
enum authn_origin_from {
	AUTHN_ORIGIN_NOWHERE,
	AUTHN_ORIGIN_RECEIVED_SPF, /* client-ip= (RFC 7208 9.1) */
	AUTHN_ORIGIN_RESULTS, /* "sender IP is 192.0.2.1", as Microsoft writes into Authentication-Results */
	AUTHN_ORIGIN_RECEIVED,    /* the first Received with an address that is not a private one */
	AUTHN_ORIGIN_RETURN_PATH, /* of the sender */
	AUTHN_ORIGIN_GIVEN,       /* by the caller; never found here */
};

struct authn_origin {
	enum authn_origin_from address_from, sender_from;
	unsigned char address[16];
	bool is_ipv6;
	struct sv address_text;
	struct sv helo;   /* empty: unknown */
	struct sv sender; /* without brackets; empty with a source: the null sender */
	bool has_time;
	struct wall_time received; /* of the uppermost Received */
};

/* Views live as long as `f`. */
void authn_origin_find(const struct authn_fields *f, struct authn_origin *out);
/* "192.0.2.1", "2001:db8::1", "IPv6:..."; IPv4 in IPv6 becomes IPv4. */
NODISCARD bool authn_address_parse(
	struct sv text, unsigned char out_address[16], bool *out_is_ipv6);
/* Of a private network, this host or a link: no host of the world has it. */
NODISCARD bool authn_address_is_private(const unsigned char address[16], bool is_ipv6);
const char *authn_origin_name(enum authn_origin_from from); /* "Received-SPF" */
