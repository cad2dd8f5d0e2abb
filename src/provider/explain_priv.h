/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "provider/explain.h"

/* How sure it is that a reply begins here. */
enum explain_sign {
	EXPLAIN_NONE,
	EXPLAIN_STATUS, /* "Status: 5.1.1" of a report: no words */
	EXPLAIN_WEAK,   /* "550 User unknown" */
	EXPLAIN_BARE,   /* "5.7.57 Client not authenticated": the code was left off */
	EXPLAIN_STRONG, /* "550 5.1.1" */
};

struct explain_start {
	enum explain_sign sign;
	size_t at;     /* of the reply */
	size_t behind; /* where its words begin */
	uint16_t code; /* 4 or 5: only the class is known */
	char enhanced[12];
	bool quoted; /* the reply stands in quotes and ends with them */
	bool nested; /* "... -> 550 ...": told by the reply before it */
};

/* Whether a reply begins at `at`. Constant work. */
struct explain_start explain_start_at(struct sv text, size_t at);

/*
 * The words of a reply that begins there, as a reader would join them: line ends and repeated codes are
 * gone. `end` is where the next reply begins, or the end of the text. Returns where it ends.
 */
enum {
	EXPLAIN_REPLY_MAX = 2048
};
size_t explain_words(
	struct sv text, const struct explain_start *start, size_t end, struct buf *out);

/* Addresses and ids in the text that a remedy can name. */
void explain_facts(struct sv text, struct provider_facts *out);
