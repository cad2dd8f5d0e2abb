/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/sv.h"
#include "base/time.h"

/* The parts of our Received field (RFC 5321 4.4). Empty views are left out. */
struct trace {
	struct sv helo;        /* as the client said it; anything odd in it is replaced by '?' */
	struct sv client;      /* "[127.0.0.1]" or "unix" */
	struct sv hostname;    /* ours */
	struct sv protocol;    /* "ESMTPSA" and the like (RFC 3848), "local" for a drop */
	struct sv id;          /* the queue id */
	struct sv for_address; /* only when there is exactly one recipient: others stay private */
	struct sv tls;         /* "TLSv1.3 TLS_AES_256_GCM_SHA384" */
	struct wall_time at;
};

/* Appends the folded value of the field, without its name and without a CRLF at the end. */
NODISCARD int trace_render(const struct trace *t, struct buf *out);

/* Appends "<id.random@hostname>" (RFC 5322 3.6.4). */
NODISCARD int message_id_render(struct buf *out, uint64_t id, uint64_t random, struct sv hostname);
