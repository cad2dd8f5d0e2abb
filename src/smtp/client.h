/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/secret.h"
#include "base/sv.h"
#include "base/time.h"
#include "smtp/reply.h"
#include "smtp/transcript.h"

/*
 * SMTP client session, without I/O: one connection, many messages, two cursors (commands sent,
 * replies read), so that pipelining is a property of the machine. PIPELINING, SIZE, 8BITMIME,
 * SMTPUTF8, DSN, STARTTLS, AUTH LOGIN, PLAIN, XOAUTH2 and OAUTHBEARER; DATA only (BDAT is off: it hits
 * 552 5.3.4 at Exchange).
 *
 * Course of a session:
 *   connected() -> greeting, EHLO, [STARTTLS -> EV_STARTTLS -> tls_started() -> EHLO], [AUTH] -> EV_READY
 *   send() -> MAIL, RCPT..., DATA -> EV_RCPT for each -> EV_BODY: the dot is not released yet
 *   body() ... body_end() -> EV_RESULT -> EV_READY again, or EV_CLOSED
 *
 * With PIPELINING, MAIL, all RCPT and DATA leave together. When every recipient was refused, the
 * transaction ends with EV_RESULT without a body (a 354 that came all the same is answered by an empty
 * message's dot, RFC 2920 3.1, and its outcome ignored).
 *
 * Dot release: body_end() is the instant after which the message may have been accepted. The owner
 * commits its attempt first. A connection that dies after it gives EV_FAILED with `uncertain` set.
 *
 * A reply that comes when none is due, or bytes in the clear behind the answer to STARTTLS, are
 * protocol errors: EV_FAILED, never a verdict.
 */
struct smtp_client;

enum smtp_client_tls {
	SMTP_CLIENT_TLS_NONE,     /* tls: none was written down */
	SMTP_CLIENT_TLS_REQUIRED, /* STARTTLS, or no delivery */
	SMTP_CLIENT_TLS_IMPLICIT, /* the stream is secured before the greeting */
};

struct smtp_client_options {
	struct sv hostname; /* for EHLO; a valid name or address literal */
	enum smtp_client_tls tls;
	struct sv login;               /* empty: no AUTH */
	const struct secret *password; /* borrowed for the life of the session; NULL: no AUTH */
	/* An access token instead of a password, borrowed likewise: XOAUTH2, or OAUTHBEARER (RFC 7628)
	 * where only that is offered; a password is not tried then. The reason that a 334 gives for a
	 * refusal stands behind the text of the reply: "(challenge: status 400, ...)". */
	const struct secret *token;
	bool pipelining_off; /* the peer's PIPELINING is not used (broken middle boxes) */
	/* Borrowed likewise: what is said comes in here; NULL: nothing is kept. Shown by smtp_client_transcript(). */
	struct smtp_transcript *transcript;
};

struct smtp_client_recipient {
	struct sv address;
	uint8_t dsn_notify; /* DSN_NOTIFY_* */
	struct sv orcpt;    /* may be empty */
};

/* Borrowed until EV_RESULT or EV_FAILED. */
struct smtp_client_message {
	struct sv sender;
	const struct smtp_client_recipient *recipients;
	size_t recipient_count;
	uint64_t size;   /* for SIZE=; the exact size after header edits */
	bool needs_8bit; /* body has bytes above 0x7f: BODY=8BITMIME when offered, else sent as is */
	bool needs_utf8; /* an address needs SMTPUTF8: without it EV_RESULT is `local` 5.6.7 */
	bool wants_utf8; /* its header is UTF-8: SMTPUTF8 when offered, else sent as it is */
	uint8_t dsn_ret;
	struct sv envid;
};

enum smtp_client_event_kind {
	SMTP_CLIENT_EV_STARTTLS, /* secure the stream now, then tls_started() */
	SMTP_CLIENT_EV_READY,    /* send() may be called */
	SMTP_CLIENT_EV_RCPT,     /* answer to recipient `index` */
	SMTP_CLIENT_EV_BODY, /* 354 is here and at least one recipient was taken: give the body */
	SMTP_CLIENT_EV_RESULT, /* the transaction is over: `reply` is the final one (or MAIL's, DATA's) */
	SMTP_CLIENT_EV_FAILED, /* the session is over and broken; `stage`, `failure`, maybe `reply` */
	/* The session is over in good order: after quit() or abandon(), 4xx when idle, or behind EV_RESULT
	 * when the server left with its verdict (421, or a refusal and no more). */
	SMTP_CLIENT_EV_CLOSED,
	SMTP_CLIENT_EV_COUNT,
};

/* Where the session was: the words of Postfix's table. */
enum smtp_client_stage {
	SMTP_CLIENT_STAGE_CONNECT,
	SMTP_CLIENT_STAGE_GREETING,
	SMTP_CLIENT_STAGE_EHLO,
	SMTP_CLIENT_STAGE_STARTTLS,
	SMTP_CLIENT_STAGE_AUTH,
	SMTP_CLIENT_STAGE_MAIL,
	SMTP_CLIENT_STAGE_RCPT,
	SMTP_CLIENT_STAGE_DATA,
	SMTP_CLIENT_STAGE_BODY, /* body leaving, dot not released */
	SMTP_CLIENT_STAGE_DOT,  /* dot released, final reply awaited */
	SMTP_CLIENT_STAGE_IDLE,
	SMTP_CLIENT_STAGE_QUIT,
	SMTP_CLIENT_STAGE_COUNT,
};
const char *smtp_client_stage_text(enum smtp_client_stage stage); /* "sending RCPT TO" */

enum smtp_client_failure {
	SMTP_CLIENT_FAIL_REPLY, /* `reply` refused a session step (greeting, EHLO, STARTTLS, AUTH) */
	SMTP_CLIENT_FAIL_NO_STARTTLS, /* TLS is required and not offered */
	SMTP_CLIENT_FAIL_NO_AUTH,     /* no way to sign in with what we have is offered */
	SMTP_CLIENT_FAIL_PROTOCOL,    /* not SMTP, or a reply that was not due */
	SMTP_CLIENT_FAIL_TIMEOUT,
	SMTP_CLIENT_FAIL_CLOSED, /* the peer closed, or the owner reported a broken stream */
	SMTP_CLIENT_FAIL_COUNT,
};

struct smtp_client_event {
	enum smtp_client_event_kind kind;
	enum smtp_client_stage stage;
	enum smtp_client_failure failure;
	size_t index; /* RCPT */
	struct smtp_reply
		reply;  /* RCPT, RESULT, FAILED (code 0: none). Borrowed until the next call */
	bool local;     /* RESULT: decided here, no peer said it (SIZE too small, no SMTPUTF8) */
	bool uncertain; /* FAILED: the dot was released and no final reply came */
};

NODISCARD struct smtp_client *smtp_client_new(const struct smtp_client_options *options);
void smtp_client_free(struct smtp_client *c);
DEFINE_CLEANUP(struct smtp_client, smtp_client_free);

void smtp_client_connected(
	struct smtp_client *c, struct mono_time now); /* waits for the greeting */
void smtp_client_tls_started(struct smtp_client *c, struct mono_time now);
/* Consumes all of `bytes`, unless an event ended the session. */
void smtp_client_feed(struct smtp_client *c, struct mono_time now, struct sv bytes);
void smtp_client_eof(struct smtp_client *c); /* peer closed, or the stream failed */

NODISCARD bool smtp_client_next(struct smtp_client *c, struct smtp_client_event *out_event);

/* Only after EV_READY. */
void smtp_client_send(
	struct smtp_client *c, struct mono_time now, const struct smtp_client_message *message);
/* Only after EV_BODY: dot-stuffs into the output. Give more when the output has room. */
void smtp_client_body(struct smtp_client *c, struct mono_time now, struct sv bytes);
void smtp_client_body_end(struct smtp_client *c, struct mono_time now); /* dot release */
/* Before body_end(): gives the transaction up; the connection cannot be used again (EV_CLOSED). */
void smtp_client_abandon(struct smtp_client *c);
void smtp_client_quit(struct smtp_client *c, struct mono_time now); /* only when READY */

struct sv smtp_client_output(const struct smtp_client *c);
void smtp_client_sent(struct smtp_client *c, struct mono_time now, size_t n);
struct mono_time smtp_client_deadline(const struct smtp_client *c);
void smtp_client_tick(struct smtp_client *c, struct mono_time now);

/* What EHLO offered; valid from EV_READY on. */
struct smtp_client_offers {
	bool pipelining, eightbitmime, smtputf8, dsn, size, starttls, chunking;
	uint64_t size_max; /* 0: none given */
	bool auth_login, auth_plain, auth_xoauth2, auth_oauthbearer;
};
const struct smtp_client_offers *smtp_client_offers(const struct smtp_client *c);
enum smtp_client_stage smtp_client_stage(const struct smtp_client *c);
/* Appends what was said so far; nothing when nothing was kept. */
NODISCARD int smtp_client_transcript(const struct smtp_client *c, struct buf *out);
