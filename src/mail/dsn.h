/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/sv.h"
#include "base/time.h"

/*
 * Writes delivery status notifications: RFC 3461 (when), RFC 3462/6522 (multipart/report), RFC 3464
 * (the report), RFC 3834 (Auto-Submitted). Pure text making.
 */
enum dsn_action {
	DSN_FAILED,
	DSN_DELAYED,
	DSN_RELAYED, /* NOTIFY=SUCCESS was asked for, and the next hop does not speak DSN */
};

struct dsn_recipient {
	struct sv address;
	struct sv original; /* ORCPT value, "rfc822;..." ; may be empty */
	struct sv enhanced; /* "5.1.1" */
	struct sv reply;    /* the remote reply, line breaks inside allowed; may be empty */
	struct sv relay;    /* "smtp.office365.com"; empty when we never got there */
	struct sv summary;  /* our sentence for people; may be empty */
	struct sv whose;    /* to mend: "your administrator"; empty: not said */
	struct sv step;     /* what to do first; empty: by the status */
	struct wall_time last_attempt_at; /* .us == 0: none */
};

struct dsn {
	enum dsn_action action;
	struct sv hostname;
	struct sv from;       /* mailbox it is sent from: "relay@contoso.com" */
	struct sv to;         /* the original sender */
	struct sv message_id; /* of the notice itself, with brackets */
	struct sv boundary;   /* unique text, letters and digits, not in the headers */
	struct sv envid;      /* may be empty */
	struct sv queue_id;   /* of the original */
	struct wall_time arrived_at;
	struct wall_time now;
	struct wall_time expires_at; /* for DSN_DELAYED: until when we try */
	struct sv original_headers;  /* attached as text/rfc822-headers, never the body */
	const struct dsn_recipient *recipients;
	size_t recipient_count;
};

/* Appends the whole message, CRLF lines. Non-ASCII recipients give RFC 6533 types. RC_LIMIT. */
NODISCARD int dsn_render(const struct dsn *d, struct buf *out);

/* RFC 3461 NOTIFY bits, as kept in the queue. No bit set means the default: FAILURE and DELAY. */
enum {
	DSN_NOTIFY_NEVER = 1,
	DSN_NOTIFY_SUCCESS = 2,
	DSN_NOTIFY_FAILURE = 4,
	DSN_NOTIFY_DELAY = 8,
};
enum dsn_ret {
	DSN_RET_NONE,
	DSN_RET_FULL,
	DSN_RET_HDRS
};

/* xtext of RFC 3461 4: decode checks the form. RC_PARSE, RC_LIMIT. */
NODISCARD int dsn_xtext_encode(struct buf *out, struct sv text);
NODISCARD int dsn_xtext_decode(struct buf *out, struct sv text);
