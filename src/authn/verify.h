/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/ask.h"
#include "authn/dkim_key.h"
#include "authn/fields.h"
#include "authn/signature.h"
#include "base/attr.h"
#include "base/time.h"

/*
 * What the signatures of a message are worth: DKIM (RFC 6376, 8301, 8463) and the chain of ARC (RFC 8617). A machine:
 * the message goes in by pieces, then the keys by answers. What it holds is the header, never the body.
 *
 *     while (there is more)
 *             authn_verify_feed(v, piece);
 *     authn_verify_end(v, now);
 *     while (authn_verify_next(v, &question) == AUTHN_ASK)
 *             authn_verify_answer(v, &question, &answer);
 */
enum {
	/* Real mail has up to six. What is behind these is counted, not looked at (RFC 6376 6.1 allows that). */
	AUTHN_SIGNATURES_MAX = 16,
	/* Different keys of one message: those of DKIM, and of ARC two a set. */
	AUTHN_VERIFY_QUESTIONS_MAX = 64,
};

enum authn_match {
	AUTHN_UNKNOWN,
	AUTHN_SAME,
	AUTHN_CHANGED,
};

struct authn_checked {
	struct authn_signature signature;
	enum authn_reason reason; /* GOOD: it is valid; else what is wrong first */
	/*
	 * Each by itself, whatever the reason: that the header is the signed one although the body is not says that
	 * somebody added to the text on the way; that both are, though the signature is void, that nobody did.
	 */
	enum authn_match body, header;
	uint64_t unsigned_bytes; /* of the body, behind l= */
	uint64_t missing_bytes;  /* of the body, before l= */
	bool has_record;         /* of the key; then: */
	enum authn_key_fault key_fault;
	unsigned key_bits;
	bool key_testing;
};

/* Why a chain of ARC is broken. */
enum authn_arc_fault {
	AUTHN_ARC_GOOD,
	AUTHN_ARC_TOO_MANY,    /* sets */
	AUTHN_ARC_FIELD,       /* one of its fields cannot be read */
	AUTHN_ARC_DOUBLE,      /* a set has a field twice */
	AUTHN_ARC_GAP,         /* a set lacks a field, or is not there at all */
	AUTHN_ARC_ORDER,       /* cv= is none behind the first set, or pass in it */
	AUTHN_ARC_TOLD,        /* a seal itself says that the chain was broken when it came */
	AUTHN_ARC_BAD_MESSAGE, /* the newest message signature is not valid */
	AUTHN_ARC_BAD_SEAL,    /* a seal is not valid */
	AUTHN_ARC_FAULT_COUNT
};

struct authn_arc_set {
	struct authn_checked message, seal;
	struct sv results; /* ARC-Authentication-Results, what is behind "i=1;" */
};

struct authn_arc {
	enum authn_chain verdict;
	enum authn_arc_fault fault;
	uint32_t fault_instance;  /* the set that it is in; 0: none in particular */
	enum authn_reason reason; /* of FIELD, BAD_MESSAGE and BAD_SEAL */
	size_t count;
	const struct authn_arc_set
		*sets; /* instance 1 first; of a chain whose structure is broken none */
	/* The message is as it was when this set was made; 0: unknown. Older sets saw another message. */
	uint32_t oldest_same;
};

struct authn_verify;
NODISCARD struct authn_verify *authn_verify_new(void);
void authn_verify_free(struct authn_verify *v);
DEFINE_CLEANUP(struct authn_verify, authn_verify_free);
/* Lines end in CR LF (mail/lines.h). RC_LIMIT: its header is too large; nothing can be said of this message. */
NODISCARD int authn_verify_feed(struct authn_verify *v, struct sv bytes);
/* `now` is what signatures expire by: when the message came. */
NODISCARD int authn_verify_end(struct authn_verify *v, struct wall_time now);
/* Another `now`, before the first question: one that the header itself tells. */
void authn_verify_at(struct authn_verify *v, struct wall_time now);
NODISCARD enum authn_next authn_verify_next(
	struct authn_verify *v, struct authn_question *out_question);
void authn_verify_answer(struct authn_verify *v, const struct authn_question *question,
	const struct authn_answer *answer);
/* The function below the machine, for those who share a memo: false while it waits for answers. After end(). */
NODISCARD bool authn_verify_check(struct authn_verify *v, struct authn_memo *memo);

/* When it is done; valid as long as `v`. In the order of the header; *out_more: so many more were left out. */
const struct authn_checked *authn_verify_signatures(
	const struct authn_verify *v, size_t *out_count, size_t *out_more);
const struct authn_arc *authn_verify_arc(const struct authn_verify *v);
/* The header that was read. */
const struct authn_fields *authn_verify_fields(const struct authn_verify *v);

/* The result's name as in Authentication-Results (RFC 8601 2.7.1): pass, fail, temperror, permerror. */
const char *authn_verdict_name(enum authn_reason reason);
/* "has a gap: a set is missing, or a field of one" ... a phrase after "the chain". */
const char *authn_arc_fault_text(enum authn_arc_fault fault);
const char *authn_arc_fault_name(enum authn_arc_fault fault);
const char *authn_chain_name(enum authn_chain chain);
