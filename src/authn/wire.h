/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/ask.h"
#include "base/buf.h"

/*
 * From RDATA on the wire (RFC 1035 3.3; names not compressed, as a resolver library gives them) to the records of an
 * answer. A record that contradicts itself is left out, and `cut` says so.
 */
struct authn_wire {
	struct authn_answer answer;
	struct authn_record records[LIMIT_DNS_RECORDS];
	struct buf text; /* what the records' views look at */
};

void authn_wire_init(struct authn_wire *w);
void authn_wire_deinit(struct authn_wire *w);
/* `count` records of a type. The answer's records and `cut` are set, its `alias` is empty, the rest is the caller's. */
void authn_wire_read(struct authn_wire *w, uint16_t type, const struct sv *rdata, size_t count);
