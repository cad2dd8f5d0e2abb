/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/sv.h"

/* A reply as a value (RFC 5321 4.2, RFC 2034, RFC 3463). Views are borrowed. */
struct smtp_reply {
	uint16_t code;     /* 200 to 599 */
	char enhanced[12]; /* "5.7.139"; empty string when there is none */
	struct sv text;    /* lines joined by '\n', codes removed; may be several KB */
};

/*
 * Reads replies from a stream of bytes. One reply may have any number of lines, LIMIT_REPLY bytes in
 * all; past that the text is cut, never the parse. Lines of one reply must carry one code.
 */
struct smtp_reply_parser {
	struct buf line; /* a line in the making */
	struct buf text;
	uint16_t code;
	char enhanced[12];
	bool started;
	size_t read; /* bytes of the reply under way */
};

void smtp_reply_parser_init(struct smtp_reply_parser *p);
void smtp_reply_parser_deinit(struct smtp_reply_parser *p);

/*
 * Takes bytes from the front of *input. Returns 1 with *out_reply (borrowed until the next call), 0
 * when all was taken and more is needed, RC_PARSE on what is no SMTP reply. A bare LF line end is
 * accepted here (old servers), a bare CR is not.
 */
NODISCARD int smtp_reply_parse(
	struct smtp_reply_parser *p, struct sv *input, struct smtp_reply *out_reply);

/* First digit: 2, 3, 4 or 5. */
static inline unsigned smtp_reply_class(const struct smtp_reply *r)
{
	return r->code / 100U;
}

/* Appends "250-first\r\n250 last\r\n", enhanced code on each line. Text lines part at '\n'. */
NODISCARD int smtp_reply_render(const struct smtp_reply *r, struct buf *out);

/* One line for logs and the queue: "250 2.0.0 OK <id> [Hostname=x]", lines joined by a space. */
NODISCARD int smtp_reply_line(const struct smtp_reply *r, struct buf *out);

/*
 * Exchange's final 250 names the Message-ID it gave the message: `2.0.0 OK <id> [Hostname=...]`.
 * Empty view when there is none. (git-send-email --outlook-id-fix)
 */
NODISCARD struct sv smtp_reply_message_id(const struct smtp_reply *r);
