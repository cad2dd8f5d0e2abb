/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "smtp/client.h"

/*
 * client.c (life, replies, time), client_session.c (greeting to ready), client_sign_in.c (AUTH),
 * client_message.c (transactions), client_transcript.c (what is told of it).
 *
 * The two cursors: every command that leaves is a `struct pending` at the tail; every reply that comes
 * belongs to the head. What a reply means follows from the head alone, so pipelining needs no more code.
 */
enum pending_kind {
	PENDING_GREETING,
	PENDING_EHLO,
	PENDING_HELO,
	PENDING_STARTTLS,
	PENDING_AUTH,          /* AUTH LOGIN: 334 */
	PENDING_AUTH_USER,     /* the login left: 334 */
	PENDING_AUTH_PASSWORD, /* the password left, or all of PLAIN: 235 */
	PENDING_AUTH_ASK,      /* AUTH without the token, which was too long for its line: 334 */
	PENDING_AUTH_TOKEN,    /* the token left: 235, or 334 with the reason of the refusal */
	PENDING_AUTH_REASON,   /* the reason is read: a refusal */
	PENDING_MAIL,          /* from here on: a transaction */
	PENDING_RCPT,
	PENDING_DATA,
	PENDING_DOT,
	PENDING_EMPTY_DOT, /* of a body nobody is to get (RFC 2920 3.1) */
	PENDING_RSET,
	PENDING_QUIT,
	PENDING_KIND_COUNT,
};

struct pending {
	enum pending_kind kind;
	uint32_t index; /* RCPT */
};

/* Which may follow which: client.c, may_follow[]. */
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
	CLIENT_STATE_COUNT,
};

enum {
	/* One reply gives at most two events and the next is read when they are taken; an end adds one. */
	CLIENT_EVENTS_MAX = 8,
	/* A piece of body doubles at worst, 100 commands stay below 300 KB. */
	CLIENT_OUTPUT_MAX = 1 << 20,
	/* More than a window of honest replies; past it the peer does not wait for questions. */
	CLIENT_HELD_MAX = 4 * LIMIT_REPLY,
	/* Kept between messages; what a large one needed above that is given back. */
	CLIENT_OUTPUT_KEPT = 2 * LIMIT_CHUNK,
	/* On their way at once: neither side's buffers may fill (RFC 2920 3.1). */
	PIPELINE_MAX = 100,
};

/* RFC 5321 4.5.3.2. A shorter TIMEOUT_DOT would make us send messages twice. */
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
	bool tls;
	bool secret_in_output;
	bool eof;             /* nothing more comes; what came is answered first */
	struct buf challenge; /* what the 334 to a token said, for people */
	struct buf masked;    /* the text of a refusal, without our secret */
	struct buf out;
	struct pending pending[PIPELINE_MAX]; /* ring */
	size_t pending_first, pending_count;
	struct smtp_client_event events[CLIENT_EVENTS_MAX]; /* ring */
	size_t event_first, event_count;
	struct buf held; /* replies that came while events waited */
	struct mono_time deadline, now;

	/* The transaction. */
	const struct smtp_client_message *m;
	size_t rcpt_sent, rcpt_answered, rcpt_accepted;
	bool mail_sent, data_sent, mail_answered, mail_accepted;
	bool needs_rset; /* of the one before */
	bool line_start; /* of the body, for dot-stuffing */
	bool last_cr;
	uint64_t body_bytes; /* given so far */
	/* The reply that decided it before DATA, kept until DATA's own reply is in too. */
	struct smtp_reply refusal;
	struct buf refusal_text;
	enum smtp_client_stage refusal_stage;
};

/* client.c */
struct smtp_client_event *client_push(struct smtp_client *c, enum smtp_client_event_kind kind);
void client_set_state(struct smtp_client *c, enum client_state next);
void client_put(struct smtp_client *c, struct sv bytes);
void client_expect(struct smtp_client *c, enum pending_kind kind, uint32_t index);
/* The head of the pending commands has its reply. */
void client_answered(struct smtp_client *c);
void client_fail(
	struct smtp_client *c, enum smtp_client_failure failure, const struct smtp_reply *reply);
void client_close(struct smtp_client *c); /* EV_CLOSED and the end */
void client_ready(struct smtp_client *c);
void client_wait(struct smtp_client *c, uint64_t us);
/* Answers what has come already. The owner's next step must not be taken for its question. */
void client_listen(struct smtp_client *c);

/* client_session.c */
void client_hello(struct smtp_client *c, bool extended);
void client_session_reply(struct smtp_client *c, struct pending p, const struct smtp_reply *r);

/* client_sign_in.c */
bool client_wants_sign_in(const struct smtp_client *c);
void client_sign_in(struct smtp_client *c);
void client_sign_in_reply(struct smtp_client *c, struct pending p, const struct smtp_reply *r);

/* client_message.c */
void client_message_reply(struct smtp_client *c, struct pending p, const struct smtp_reply *r);
/* Whether the transaction has its verdict although replies are outstanding. */
bool client_is_decided(const struct smtp_client *c);
void client_push_refusal(struct smtp_client *c);

/* client_transcript.c */
struct smtp_mask client_mask(const struct smtp_client *c);
void client_record_command(
	struct smtp_client *c, enum pending_kind kind); /* it is the last of the output */
void client_record_body(struct smtp_client *c);
void client_record_reply(struct smtp_client *c, const struct smtp_reply *r);
void client_record_noise(struct smtp_client *c, struct sv bytes);
void client_record_end(struct smtp_client *c, enum smtp_client_failure failure);
void client_record_tls(struct smtp_client *c);
