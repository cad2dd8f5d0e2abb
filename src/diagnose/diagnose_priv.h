/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "diagnose/diagnose.h"
#include "identity/claims.h"
#include "identity/tokens.h"
#include "io/https.h"
#include "io/net.h"
#include "io/stream.h"
#include "io/worker.h"
#include "smtp/client.h"

/*
 * diagnose.c  the order of the steps, waiting, the verdict
 * reach.c     name and TCP
 * session.c   SMTP up to READY, and commands of its own behind it
 * door.c      what the session is asked for: senders, recipients, a message
 * token.c     clock, token, claims
 * web.c       Graph
 * words.c     causes: whose they are, and what to do first
 *
 * Steps are written one after the other: an operation is begun, and diagnose_wait() runs the loop until its
 * callback has called diagnose_done(), or the step's time is over.
 */
enum {
	DIAGNOSE_TEXT_MAX = 2000,
	DIAGNOSE_SENDERS_MAX = 20,
	DIAGNOSE_LINES_MAX = 100, /* of one step */
};

struct diagnose_session;

/* What came of the steps so far, for one lane. */
struct diagnose {
	struct diagnose_options o;
	struct io_loop *loop;
	struct io_resolver *resolver;
	struct io_https *https;
	struct io_workers *workers;
	struct identity_tokens *tokens;
	struct io_timer timer;
	bool is_done, is_late;

	struct arena arena; /* of one lane */
	const struct conf_lane *lane;
	struct diagnose_verdict verdict;
	const char *failed; /* the name of the first step that failed; NULL: none */

	struct secret *password, *token;
	bool is_padded; /* the password begins or ends with a space */
	struct io_tls *tls;
	struct sv host; /* whose name the certificate must have */
	struct io_address addresses[LIMIT_HOST_ADDRESSES];
	size_t address_count;
	struct io_stream *stream; /* connected, not yet anybody's */
	bool has_claims, claims_fit;
	struct identity_claims claims;
	struct sv senders[DIAGNOSE_SENDERS_MAX];
	size_t sender_count;
	struct sv sender;                  /* the one that is tried */
	struct sv as;                      /* diagnose_as() */
	bool has_patterns;                 /* senders that cannot be tried one by one */
	struct smtp_transcript transcript; /* since the last step that was said */
};

/* ---- diagnose.c ---- */
void diagnose_begin(struct diagnose *d, const char *name);
/* Between begin and this, an operation is started whose callback calls done(). False: too late. */
bool diagnose_wait(struct diagnose *d);
void diagnose_done(struct diagnose *d);
/* The step has ended. The first failure is the verdict. */
void diagnose_say(struct diagnose *d, const char *name, enum diagnose_status status,
	enum cause cause, const char *fmt, ...) PRINTF_LIKE(5, 6);
/* A failure that the catalogue knows; `reply` is what the other side said, or empty. */
void diagnose_say_verdict(
	struct diagnose *d, const char *name, const struct verdict *v, struct sv reply);
/* "skipped", because of the step that failed. */
void diagnose_skip(struct diagnose *d, const char *name, const char *because);

/* ---- the steps: true when those behind it can go on ---- */
bool diagnose_secrets(struct diagnose *d);
bool diagnose_names(struct diagnose *d);
bool diagnose_connect(struct diagnose *d, bool quiet); /* leaves d->stream */
bool diagnose_token(struct diagnose *d);               /* leaves d->token */
void diagnose_door(struct diagnose *d); /* everything over SMTP, behind the connection */
void diagnose_web(struct diagnose *d);  /* everything over Graph, behind the token */
void diagnose_limits(struct diagnose *d);

/* ---- session.c ---- */
/* Takes d->stream, up to READY or a failure that was said. With `sign_in` only that step is said. */
struct diagnose_session *diagnose_session_open(struct diagnose *d, bool sign_in);
bool diagnose_session_is_ready(const struct diagnose_session *s);
/* Sends a line and waits for the answer, borrowed until the next call. False: none came. */
bool diagnose_session_ask(
	struct diagnose_session *s, const char *line, const struct smtp_reply **out_reply);
/* One message by the machine of the daemon; *out_v and *out_reply tell how it ended. */
bool diagnose_session_send(struct diagnose_session *s, const struct smtp_client_message *m,
	struct sv body, struct verdict *out_v, struct sv *out_reply);
void diagnose_session_close(struct diagnose_session *s);
enum cause diagnose_silence_cause(uint16_t port); /* a connection, and no greeting */

/* ---- words.c ---- */
/* What is sent in confidence to this lane. */
struct smtp_mask diagnose_mask(const struct diagnose *d);
/* Fills owner, first, then and exit_code of d->verdict by the cause; `v` NULL: no reply was judged. */
void diagnose_words(struct diagnose *d, enum cause cause, const struct verdict *v);
/* What the cause means, in one line. */
const char *diagnose_title(const struct diagnose *d, const struct verdict *v);
/* A reply on one line, cut, without what was sent in confidence. */
struct sv diagnose_quote(struct diagnose *d, struct sv reply);
