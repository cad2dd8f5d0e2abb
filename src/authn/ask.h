/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/limits.h"
#include "base/sv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How the machines of this folder ask for records. None of them knows a name server: whoever drives a machine
 * calls x_next(), which says AUTHN_ASK with a question or AUTHN_DONE with a verdict; the answer goes in by
 * x_answer(). An answer that failed is an answer, too. Answers are copied; they may go at once.
 *
 *     while (x_next(m, &question) == AUTHN_ASK)
 *             x_answer(m, &answer to the question);
 */
enum authn_rr {
	AUTHN_A = 1,
	AUTHN_NS = 2,
	AUTHN_CNAME = 5,
	AUTHN_SOA = 6,
	AUTHN_PTR = 12,
	AUTHN_MX = 15,
	AUTHN_TXT = 16,
	AUTHN_AAAA = 28,
	AUTHN_TLSA = 52,
};

enum authn_next {
	AUTHN_ASK,
	AUTHN_DONE
};

struct authn_question {
	char name[LIMIT_DNS_NAME +
		  1];  /* small letters, labels with dots between, none at the end */
	uint16_t type; /* enum authn_rr */
};

enum authn_status {
	AUTHN_FOUND,    /* `count` >= 1 records */
	AUTHN_NO_DATA,  /* the name exists, and has none of this type */
	AUTHN_NXDOMAIN, /* no such name */
	AUTHN_FAILURE, /* nobody knows: no answer, a refusal, a bogus signature, or too much of it */
	AUTHN_STATUS_COUNT
};

struct authn_record {
	uint16_t preference; /* MX */
	/* A, AAAA: 4 or 16 bytes. TXT: its strings joined, at most LIMIT_DNS_TEXT of them. MX, PTR, CNAME, NS: a name
	 * without the dot at its end; empty is the root ("null MX"). Others: what the record holds, as it is. */
	struct sv data;
};

/* At most LIMIT_DNS_RECORDS records, in the order in which they came. */
struct authn_answer {
	enum authn_status status;
	uint8_t rcode;
	bool secure; /* signed, and the signature holds */
	bool cut;    /* there were more records, or longer ones, than are kept */
	uint32_t ttl_s;
	struct sv alias; /* where CNAMEs led, empty without one */
	const struct authn_record *records;
	size_t count;
};

/* Fits a question: labels of 1 to 63 bytes, at most LIMIT_DNS_NAME in all, no NUL. A dot at the end is allowed. */
NODISCARD bool authn_name_is_valid(struct sv name);
/* "a.contoso.com" is below "contoso.com"; a name is not below itself. */
NODISCARD bool authn_name_is_below(struct sv lower, struct sv upper);

/*
 * A memo makes a machine of a plain function. The function looks things up in the memo; what is not known yet is
 * noted as a question, and the function gives up or goes on with what does not depend on it. Once the questions are
 * answered it runs again from its beginning, and finds a little more. It is done when it ran through.
 */
struct authn_memo;
/* At most `questions_max` different ones; those past it, and answers past LIMIT_DNS_MEMO bytes, are failures. */
NODISCARD struct authn_memo *authn_memo_new(size_t questions_max);
void authn_memo_free(struct authn_memo *m);
void authn_memo_freep(struct authn_memo **m);
/* NULL: not known yet. What it gives is valid as long as the memo. A name that cannot exist is AUTHN_NXDOMAIN. */
NODISCARD const struct authn_answer *authn_memo_look(
	struct authn_memo *m, struct sv name, enum authn_rr type);
/* The next question that was not handed out yet; false: none. */
NODISCARD bool authn_memo_next(struct authn_memo *m, struct authn_question *out_question);
/* A second answer to the same question changes nothing, nor does one to a question that nobody asked. */
void authn_memo_answer(
	struct authn_memo *m, const struct authn_question *question, const struct authn_answer *a);
NODISCARD size_t authn_memo_count(const struct authn_memo *m); /* questions asked so far */
NODISCARD bool authn_memo_is_full(const struct authn_memo *m); /* one was refused */
