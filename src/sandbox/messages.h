/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/sv.h"
#include "base/time.h"

#include <jansson.h>

/* The messages the sandbox took, newest kept: for the API, for `wait`, and to count duplicates. */
struct sandbox_messages;

struct sandbox_message {
	uint64_t number;       /* 1.. in order of arrival */
	uint64_t at_us;        /* the sandbox's time */
	struct wall_time date; /* and the time of day there */
	const char *door;      /* "submission", "hve", ... */
	char *mailbox;         /* that signed in; "" when anonymous */
	char *sender;
	char **recipients;
	size_t recipient_count;
	char *message_id; /* as it came, with brackets; "" */
	char *new_id;     /* the one it was given; "" */
	char *subject;
	char *raw; /* the bytes */
	size_t raw_len;
	uint32_t copies; /* how often this Message-ID came for these recipients; 1: no duplicate */
	char *dialogue;  /* sandbox/dialogue.h; NULL: it did not come by SMTP */
	bool read;       /* somebody looked at it by Mailpit's API */
	json_t *summary; /* as a list of Mailpit's shows it; NULL until one was asked for */
};

NODISCARD struct sandbox_messages *sandbox_messages_new(uint64_t keep_bytes);
void sandbox_messages_free(struct sandbox_messages *m);

/* Takes the message and all its parts; numbers it. Returns its `copies`. */
uint32_t sandbox_messages_add(struct sandbox_messages *m, struct sandbox_message *message);
void sandbox_messages_clear(struct sandbox_messages *m);
struct sandbox_message *sandbox_messages_get(const struct sandbox_messages *m, uint64_t number);
size_t sandbox_messages_count(const struct sandbox_messages *m);   /* of the kept ones */
uint64_t sandbox_messages_bytes(const struct sandbox_messages *m); /* of them */
/* The kept ones by their place, 0 the newest; NULL past the oldest. */
struct sandbox_message *sandbox_messages_at(const struct sandbox_messages *m, size_t place);
/* Forgets it, not that it came: a copy of it is a duplicate still. False: there is none. */
bool sandbox_messages_remove(struct sandbox_messages *m, uint64_t number);
uint64_t sandbox_messages_duplicates(const struct sandbox_messages *m);

struct sandbox_message_filter {
	struct sv to, from, subject; /* addresses exact, subject contains; empty: any */
	uint64_t after;              /* numbers above this */
};
/* The next kept message that fits, after `number`; NULL: none. */
const struct sandbox_message *sandbox_messages_next(const struct sandbox_messages *m,
	uint64_t number, const struct sandbox_message_filter *filter);
json_t *sandbox_message_json(const struct sandbox_message *message);
/* The same with its content: headers, text and html as UTF-8, attachments with names, types and sizes. */
json_t *sandbox_message_parsed(const struct sandbox_message *message);
/* The decoded bytes of the attachment with that number, 1 the first, and its type with a NUL. */
NODISCARD bool sandbox_message_attachment(const struct sandbox_message *message, uint32_t number,
	struct buf *out, struct buf *out_type);
