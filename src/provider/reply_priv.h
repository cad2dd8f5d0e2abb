/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "provider/reply.h"

/* The rows of the reply catalogue, shared between its tables and the judge. */

#define PROVIDER_AT(stage) (1U << SMTP_CLIENT_STAGE_##stage)

enum {
	PROVIDER_AT_AUTH = PROVIDER_AT(AUTH),
	PROVIDER_AT_RCPT = PROVIDER_AT(RCPT),
	/* Connecting, greeting, securing, resting: no message is spoken of. */
	PROVIDER_AT_SESSION = PROVIDER_AT(CONNECT) | PROVIDER_AT(GREETING) | PROVIDER_AT(EHLO) |
			      PROVIDER_AT(STARTTLS) | PROVIDER_AT(IDLE) | PROVIDER_AT(QUIT),
	/* The store of Exchange speaks only behind the dot. */
	PROVIDER_AT_DATA = PROVIDER_AT(DATA) | PROVIDER_AT(BODY) | PROVIDER_AT(DOT),
	PROVIDER_AT_MESSAGE = PROVIDER_AT(MAIL) | PROVIDER_AT_RCPT | PROVIDER_AT_DATA,
	/* A wrong sign-in is told at AUTH, or left to a command of the message (5.7.57). */
	PROVIDER_AT_SIGN_IN = PROVIDER_AT_AUTH | PROVIDER_AT_MESSAGE,
	PROVIDER_AT_ANY = PROVIDER_AT_SESSION | PROVIDER_AT_AUTH | PROVIDER_AT_MESSAGE,
};
static_assert(PROVIDER_AT_ANY == (1U << SMTP_CLIENT_STAGE_COUNT) - 1, "every stage is in a group");

enum {
	PROVIDER_OF_SUBMISSION = 1U << PROVIDER_SUBMISSION,
	PROVIDER_OF_SMTP = 1U << PROVIDER_SMTP,
	PROVIDER_OF_HVE = 1U << PROVIDER_HVE,
	PROVIDER_OF_CONNECTOR = 1U << PROVIDER_CONNECTOR,
	PROVIDER_OF_DIRECT = 1U << PROVIDER_DIRECT,
	PROVIDER_OF_GRAPH = 1U << PROVIDER_GRAPH,
	PROVIDER_OF_GMAIL = 1U << PROVIDER_GMAIL,
	/* Exchange Online with a sign-in, by the tenant's mail exchanger, and in all. */
	PROVIDER_OF_MAILBOX = PROVIDER_OF_SUBMISSION | PROVIDER_OF_HVE,
	PROVIDER_OF_EXCHANGER = PROVIDER_OF_CONNECTOR | PROVIDER_OF_DIRECT,
	PROVIDER_OF_EXCHANGE = PROVIDER_OF_MAILBOX | PROVIDER_OF_EXCHANGER,
};

/* Recipient at RCPT, mailbox at AUTH, route in a session step, else message. */
#define PROVIDER_SCOPE_BY_STAGE VERDICT_SCOPE_COUNT

/* With what the session signs in, where the same reply has another remedy. */
enum provider_sign_in {
	PROVIDER_WITH_ANY,
	PROVIDER_WITH_PASSWORD,
	PROVIDER_WITH_TOKEN,
};

/* The shape of a reply. All that is set must fit. */
struct provider_pattern {
	uint16_t code; /* 0: any; 4 or 5: that class; else this code */
	const char *
		enhanced; /* NULL: any; "": none was given; else this one, or the first of a range */
	uint16_t detail_max; /* the last number of the range's end; 0: no range */
	const char *text;   /* NULL: any; found anywhere, in any case; with '^' only at the start */
	unsigned stages;    /* PROVIDER_AT_* */
	unsigned providers; /* PROVIDER_OF_* */
	enum provider_sign_in sign_in;
	bool after_uncertain; /* only when an earlier attempt of the message ended uncertain */
};

struct provider_row {
	struct provider_pattern on;
	enum verdict_kind kind;
	enum verdict_scope scope;
	enum verdict_nature nature;
	uint64_t retry_after_us;
	enum cause cause;
	const char *summary;
	const char *source;  /* an address, or an RFC with its section */
	const char *checked; /* the day on which somebody read the source: 2026-11-23 */
};

/* Made by tools/catalogue of replies.txt. */
extern const struct provider_row provider_rows[];
extern const size_t provider_rows_count;

/* What people paste that no server said: exceptions of libraries, sentences of reports. */
struct provider_phrase {
	const char *text; /* found anywhere, in any case */
	enum verdict_kind kind;
	enum verdict_scope scope;
	enum verdict_nature nature;
	uint64_t retry_after_us;
	enum cause cause;
	const char *summary, *source, *checked;
};
extern const struct provider_phrase provider_phrases[];
extern const size_t provider_phrases_count;

/* What is known of the place where a reply was met: one bit in a session, more in a text. */
struct provider_question {
	unsigned stages;    /* PROVIDER_AT_* */
	unsigned providers; /* PROVIDER_OF_* */
	enum provider_sign_in sign_in;
	bool after_uncertain;
	struct provider_own own;
};

/*
 * The most specific row; NULL: no row knows the reply. A `code` of 4 or 5 stands for its class, where
 * only the enhanced code was handed on.
 */
const struct provider_row *provider_find_row(
	const struct provider_question *question, const struct smtp_reply *reply);
/* A row of NULL is judged by the class of the reply. */
struct verdict provider_row_verdict(const struct provider_row *row, enum smtp_client_stage stage,
	const struct smtp_reply *reply);
/* Narrows what only free words say of more than the message, and marks a limit that proves itself. */
void provider_bound(struct verdict *v, const struct provider_row *row,
	const struct provider_question *q, const struct smtp_reply *reply); /* reach.c */
