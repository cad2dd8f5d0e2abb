/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "mail/envelope_header.h"
#include "mail/mime.h"
#include "outbound/attempt_priv.h"
#include "outbound/session_priv.h"

#include <jansson.h>

/*
 * graph.c        the life of a message at the door: it is read, becomes a copy, is sent, is judged
 * graph_call.c   one request: token, HTTPS, what the answer means
 * graph_large.c  a message that does not fit into one request: draft, attachments, send
 *
 *   READING -> READ -> SEND_MAIL* ------------------------------------------> OVER
 *                 \--> SKELETON -> (FIND, CLEAR...) -> DRAFT -> (UPLOAD -> PART -> PUT...)   -> SEND_DRAFT* -> OVER
 *                                                        \ (PART -> ATTACH)  \-> DELETE --> OVER
 *
 * A star is the dot release: from there on a lost answer is uncertain. Before it nothing has been sent,
 * whatever breaks; a draft that stays behind is never sent by itself, and is deleted where that works: at
 * once, or by the next attempt, which looks for it (FIND) so that nobody finds it in his folder and sends
 * it by hand.
 * Requests run, and answers are read, in callbacks; what ends a delivery is done in run() only.
 */
enum graph_step {
	GRAPH_READING,
	GRAPH_READ,
	GRAPH_SEND_MAIL,
	GRAPH_SKELETON,
	GRAPH_FIND,
	GRAPH_CLEAR,
	GRAPH_DRAFT,
	GRAPH_UPLOAD,
	GRAPH_PART,
	GRAPH_PUT,
	GRAPH_ATTACH,
	GRAPH_SEND_DRAFT,
	GRAPH_DELETE,
	GRAPH_OVER,
};

enum {
	/*
	 * A request of Graph has at most 4 MB (outlook-things-to-know-about-send-mail, read 2026-11-25; some
	 * parts of it count in powers of 10), and the MIME text in it is base64: 4 for 3.
	 */
	GRAPH_MIME_MAX = 2990000,
	/*
	 * https://learn.microsoft.com/graph/outlook-large-attachments, read 2026-11-25: an attachment under
	 * 3 MB is one request; an upload session takes none smaller
	 * (ErrorAttachmentSizeShouldNotBeLessThanMinimumSize). Ranges below 4 MB, in order; 320 KiB is the
	 * unit that the upload sessions of Graph share.
	 */
	GRAPH_SESSION_MIN = 3 << 20,
	GRAPH_RANGE = 10 * 320 * 1024,
	GRAPH_REPLY_MAX = 1000,
	GRAPH_ANSWER_MAX = 256 << 10, /* a draft comes back as JSON, with a preview of its body */
	GRAPH_URL_MAX = 8192,
};

/* A read of the queue; it outlives a session that closes meanwhile. */
struct graph_read {
	struct store_body op;
	struct buf out;
	struct graph_session *graph; /* NULL: gone */
};

struct graph_session {
	struct connection *c;
	enum graph_step step;
	struct io_task opened;
	bool is_open;
	/* What leaves: its bytes are counted as they come from delivery_feed(). */
	uint64_t size, come;
	struct header_block *block;
	bool header_known;
	uint64_t header_len;
	struct buf copy; /* the MIME text of the request: all of it, or the skeleton */
	bool large;
	struct mime_top top;
	struct mime_scan *scan;

	/* The request. */
	const char *method;
	struct sv content_type;
	struct buf url, body;
	struct sv payload; /* what is sent: a view of `body` or `data` */
	char range[96];    /* of Content-Range; empty: none */
	bool signed_url;   /* the URL itself is the permission: it gets no token */
	struct identity_token_request *token_request;
	struct secret *token;
	uint64_t token_serial;
	bool token_asked, token_refused;
	struct io_https_request *request;

	/* The parts that go apart. */
	const struct mime_part *parts;
	size_t part_count, part;
	bool *moved;
	const struct mime_container *containers;
	size_t *kept; /* of each container: children that do not go apart */
	bool open;    /* the last delimiter of the message is missing */
	struct graph_read *read;
	uint64_t at, end; /* what is read next, in bytes of what leaves */
	struct mime_decoder decoder;
	uint64_t decoded, uploaded;
	struct buf data; /* decoded, not uploaded yet */
	struct buf draft, upload_url;
	json_t *old_drafts; /* ids of what earlier attempts left */
	size_t old_draft;

	/* How it ended. */
	bool apart; /* each recipient for himself, by the next attempts */
	bool uncertain;
	bool of_session; /* it failed before Graph had heard of the message: token, connection */
	struct verdict verdict;
	const char *stage;
	char reply[GRAPH_REPLY_MAX];
};

/* ---- graph.c ---- */
/* The verdict for all recipients. A draft is deleted first; then run() ends the delivery. */
void graph_end(struct graph_session *g, const struct verdict *v, struct sv reply);
/* This message cannot leave by this door: `reply` says why. */
void graph_cannot_carry(struct graph_session *g, struct sv reply);

/* ---- graph_call.c ---- */
/* Sets g->url to "https://graph.../v1.0/users/ADDRESS", `before`, the escaped id, `after`. */
void graph_url(struct graph_session *g, const char *before, struct sv id, const char *after);
/* Appends as it may stand in a path or a query. */
NODISCARD int graph_append_escaped(struct buf *out, struct sv text);
/* Starts the request of the present step. Its answer goes to graph_answered() when it is good. */
void graph_call(struct graph_session *g);
void graph_call_cancel(struct graph_session *g);
/* Base64 of g->copy becomes g->body; the copy goes. */
void graph_encode_copy(struct graph_session *g);

/* ---- graph_large.c ---- */
/* Every byte was scanned: which parts go apart, then the skeleton. */
void graph_large_begin(struct graph_session *g);
/* What is left of earlier attempts could not be looked for or deleted: the flow goes on. */
void graph_large_unfound(struct graph_session *g);
/* A request of the flow succeeded; `body` is its JSON. */
void graph_large_answered(struct graph_session *g, unsigned status, struct sv body);
void graph_large_reset(struct graph_session *g);
