/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/limits.h"
#include "mail/header.h"

/*
 * The message as it comes in on standard input, made into what SMTP carries: lines end in CRLF, a NUL
 * becomes '?', a CR that ends no line becomes a blank in the header and a line end in the body (the
 * progress bars in the output of cron jobs). An mbox "From " line on top is taken off. It is read to
 * its end before anything is submitted, so a writer that dies leaves no half message behind.
 */
enum {
	/* Larger bodies go to an unnamed file: the usual message needs no disk but the queue's. */
	DROP_MEMORY_MAX = 1 << 20,
};

struct drop_message {
	struct header_block *header;
	struct buf line; /* of the header, while it is judged */
	struct buf head; /* the header as submitted, after drop_message_render() */
	struct buf body; /* in memory, or what is not yet in the file */
	int fd;          /* the unnamed file; -1: none */
	uint64_t body_bytes;
	bool ignore_dots;
	bool has_8bit;
	bool in_body;
	bool cr;          /* one or more CR were seen: a line end comes, or they are bare */
	bool held_dot;    /* the line begins with a dot; is that all of it? */
	bool inside_line; /* of the input */
	bool ended;
};

void drop_message_init(struct drop_message *m, bool ignore_dots);
void drop_message_deinit(struct drop_message *m);

/*
 * 0: wants more; 1: the lone dot came, nothing behind it belongs to the message. RC_LIMIT: larger than
 * LIMIT_MESSAGE; RC_PARSE: a header that is too large; a negated errno of the file.
 */
NODISCARD int drop_message_feed(struct drop_message *m, struct sv bytes, struct err *err);
NODISCARD int drop_message_end(struct drop_message *m, struct err *err);

/* Feeds all of `fd` and ends it. */
NODISCARD int drop_message_read(struct drop_message *m, int fd, struct err *err);

/* Fixes the header. Once, after the end. */
NODISCARD int drop_message_render(
	struct drop_message *m, const struct header_edits *edits, struct err *err);

/* What is known after that; the bytes come in pieces and end in CRLF. */
uint64_t drop_message_size(const struct drop_message *m);
NODISCARD int drop_message_each(
	const struct drop_message *m, int (*each)(void *arg, struct sv bytes), void *arg);
