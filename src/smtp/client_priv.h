/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "smtp/client.h"

/*
 * client.c (life, replies, time), client_session.c (greeting to ready), client_message.c (transactions).
 *
 * The two cursors: every command that leaves is a `struct pending` at the tail; every reply that comes
 * belongs to the head. What a reply means follows from the head alone, so pipelining needs no more code.
 */
enum pending_kind {
	PENDING_GREETING,
	PENDING_EHLO,
	PENDING_HELO,
	PENDING_STARTTLS,
	PENDING_AUTH,          /* LOGIN: 334; PLAIN: 235 */
	PENDING_AUTH_USER,
	PENDING_AUTH_PASSWORD,
	PENDING_MAIL,
	PENDING_RCPT,
	PENDING_DATA,
	PENDING_DOT,
	PENDING_EMPTY_DOT, /* of a body nobody is to get (RFC 2920 3.1) */
	PENDING_RSET,
	PENDING_QUIT,
};

struct pending {
	enum pending_kind kind;
	uint32_t index; /* RCPT */
};

enum client_state {
	CLIENT_NEW,
	CLIENT_STARTING, /* greeting to the last step before ready */
	CLIENT_TLS_WAIT,
	CLIENT_READY,
	CLIENT_ENVELOPE, /* MAIL to the answer to DATA */
	CLIENT_BODY,     /* the owner gives the body */
	CLIENT_DOT,      /* released; the final reply is awaited */
	CLIENT_EMPTY,    /* the reply to an empty body is awaited, and ignored */
	CLIENT_QUIT,
	CLIENT_ENDED,
};

enum {
	CLIENT_EVENTS_MAX = 8,
	CLIENT_OUTPUT_MAX = 1 << 20,
	PIPELINE_MAX = 100, /* commands on their way at once: neither side's buffers may fill (RFC 2920 3.1) */
};

/* RFC 5321 4.5.3.2 */
#define TIMEOUT_GREETING (5 * US_PER_MIN)
#define TIMEOUT_COMMAND (5 * US_PER_MIN)
#define TIMEOUT_DATA (2 * US_PER_MIN)
#define TIMEOUT_BLOCK (3 * US_PER_MIN)
#define TIMEOUT_DOT (10 * US_PER_MIN)

struct smtp_client {
	struct smtp_client_options o;
	enum client_state state;
	struct smtp_client_offers offers;
	struct smtp_reply_parser parser;
	bool tls, secret_in_output;
	struct buf out;
	struct pending pending[PIPELINE_MAX + 8]; /* ring */
	size_t pending_first, pending_count;
	struct smtp_client_event events[CLIENT_EVENTS_MAX];
	size_t event_first, event_count;
	struct buf held;           /* replies that came while events waited */
	struct mono_time deadline, now;

	/* The transaction. */
	const struct smtp_client_message *m;
	size_t rcpt_sent, rcpt_answered, rcpt_accepted;
	bool mail_sent, data_sent, mail_ok, needs_rset;
	bool line_start; /* of the body, for dot-stuffing */
	bool last_cr;
	/* The reply that ended it, until DATA's own reply is in too. */
	struct smtp_reply result;
	char *result_text;
	enum smtp_client_stage result_stage;
};

/* client.c */
struct smtp_client_event *client_push(struct smtp_client *c, enum smtp_client_event_kind kind);
void client_expect(struct smtp_client *c, enum pending_kind kind, uint32_t index);
/* The head of the pending commands has its reply. */
void client_answered(struct smtp_client *c);
void client_fail(struct smtp_client *c, enum smtp_client_failure failure, const struct smtp_reply *reply);
void client_end(struct smtp_client *c);
void client_ready(struct smtp_client *c);
void client_wait(struct smtp_client *c, uint64_t us);

/* client_session.c */
void client_hello(struct smtp_client *c, bool extended);
void client_session_reply(struct smtp_client *c, struct pending p, const struct smtp_reply *r);

/* client_message.c */
void client_message_reply(struct smtp_client *c, struct pending p, const struct smtp_reply *r);
