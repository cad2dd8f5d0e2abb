/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/time.h"
#include "smtp/mask.h"
#include "smtp/reply.h"

/*
 * What was said in a session, for people who ask why it failed: the last lines of both sides, with the time of each.
 * Our own secrets and bodies never come in here; what a server repeats of them goes when it is shown. All zero is an
 * empty one; it takes memory when something is said, and none after reset().
 *
 * As text: "MILLISECONDS > LINE\n" for each line, '>' for ours, '<' for the server's, '*' for what happened without
 * a word. The text is what is stored.
 */
struct smtp_transcript {
	struct buf text;
	size_t lines;
	size_t lines_max;       /* 0: SMTP_TRANSCRIPT_LINES */
	struct mono_time began; /* of the first line of all; 0: none yet */
};
enum {
	SMTP_TRANSCRIPT_LINES = 20,
};

enum smtp_transcript_side {
	SMTP_TRANSCRIPT_OURS,
	SMTP_TRANSCRIPT_THEIRS,
	SMTP_TRANSCRIPT_NOTE,
	SMTP_TRANSCRIPT_SIDE_COUNT,
};
const char *smtp_transcript_side_name(enum smtp_transcript_side side); /* "us", "server", "note" */

void smtp_transcript_reset(struct smtp_transcript *t); /* frees */
/* A line, cut at LIMIT_TRANSCRIPT_LINE. The first sets the time 0. */
void smtp_transcript_add(struct smtp_transcript *t, struct mono_time now,
	enum smtp_transcript_side side, struct sv line);
/* Each line of it, with its codes. */
void smtp_transcript_add_reply(
	struct smtp_transcript *t, struct mono_time now, const struct smtp_reply *r);
/* "DATA: 12,345 bytes": all that is ever said of a body. */
void smtp_transcript_add_body(struct smtp_transcript *t, struct mono_time now, uint64_t bytes);

/* The same of HTTPS. Where there is no token the URL is the permission, and its query is not shown. */
void smtp_transcript_add_request(struct smtp_transcript *t, struct mono_time now,
	const char *method, struct sv url, bool has_token, uint64_t body_bytes);
struct smtp_transcript_answer {
	unsigned status;
	struct sv request_id;    /* may be empty */
	uint64_t retry_after_us; /* 0: none */
	struct sv body;          /* shown where it refuses, its first lines */
};
void smtp_transcript_add_answer(struct smtp_transcript *t, struct mono_time now,
	const struct smtp_transcript_answer *a, const struct smtp_mask *m);

/* Appends the text, with what the server repeated of the secret taken out. At most LIMIT_TRANSCRIPT by default. */
NODISCARD int smtp_transcript_text(
	const struct smtp_transcript *t, const struct smtp_mask *m, struct buf *out);

/* The same, and they are gone; the time goes on. */
NODISCARD int smtp_transcript_take(
	struct smtp_transcript *t, const struct smtp_mask *m, struct buf *out);

struct smtp_transcript_line {
	uint64_t ms;
	enum smtp_transcript_side side;
	struct sv text;
};
/* Cuts the next line off such a text. False: no more; lines that are none are skipped. */
NODISCARD bool smtp_transcript_next(struct sv *text, struct smtp_transcript_line *out);
