/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/dkim_canon.h"
#include "authn/tags.h"
#include "base/limits.h"

#include <stdint.h>

/*
 * The fields that sign: DKIM-Signature (RFC 6376 3.5), and of ARC its ARC-Message-Signature and ARC-Seal (RFC 8617 4.1).
 * They are alike but for what must and must not be in them.
 */
enum authn_signature_kind {
	AUTHN_DKIM,
	AUTHN_ARC_MESSAGE,
	AUTHN_ARC_SEAL,
};
enum authn_algorithm {
	AUTHN_RSA_SHA256,
	AUTHN_ED25519_SHA256,
	AUTHN_RSA_SHA1, /* not valid since RFC 8301 */
};
enum authn_chain {
	AUTHN_CHAIN_NONE,
	AUTHN_CHAIN_PASS,
	AUTHN_CHAIN_FAIL,
};

enum {
	/* h= of one signature. Real ones name some 30 fields; those that name each twice some 60. */
	AUTHN_SIGNED_NAMES_MAX = 500,
	/* RFC 8617 4.2.1: a 51st set ends the chain. */
	AUTHN_ARC_SETS_MAX = 50,
};

/* Why a signature counts or not, in the order in which it is looked at. */
enum authn_reason {
	AUTHN_REASON_GOOD,
	/* the field itself */
	AUTHN_REASON_SYNTAX,   /* no list of tags, or a tag stands twice */
	AUTHN_REASON_VERSION,  /* v= */
	AUTHN_REASON_MISSING,  /* a required tag */
	AUTHN_REASON_EXCESS,   /* a tag that must not be in a seal: h= */
	AUTHN_REASON_INSTANCE, /* i= of ARC is no number from 1 to 50 */
	AUTHN_REASON_CHAIN,    /* cv= is not none, pass or fail */
	AUTHN_REASON_ALGORITHM,
	AUTHN_REASON_CANON,
	AUTHN_REASON_QUERY,    /* q= */
	AUTHN_REASON_DOMAIN,   /* d= or s= is no name */
	AUTHN_REASON_IDENTITY, /* i= is not within d= */
	AUTHN_REASON_LENGTH,   /* l= is no number */
	AUTHN_REASON_TIME,     /* t= or x= is no number, or x= is not behind t= */
	AUTHN_REASON_BASE64,   /* b= or bh= */
	AUTHN_REASON_NAMES,    /* h= is too long, or empty */
	AUTHN_REASON_FROM,     /* From is not signed */
	AUTHN_REASON_SEAL,     /* ARC: a message signature that signs a seal */
	AUTHN_REASON_EXPIRED,
	/* its key */
	AUTHN_REASON_KEY_UNKNOWN, /* DNS gave no answer */
	AUTHN_REASON_KEY_NONE,    /* there is no record */
	AUTHN_REASON_KEY_RECORD,  /* the record has a fault */
	AUTHN_REASON_KEY_TYPE,    /* the key is of another type than the signature */
	AUTHN_REASON_KEY_HASH,    /* h= of the record leaves this hash out */
	AUTHN_REASON_KEY_STRICT,  /* t=s, and i= is a subdomain */
	AUTHN_REASON_KEY_LONG,
	/* the message */
	AUTHN_REASON_BODY,       /* is not the one that was signed */
	AUTHN_REASON_BODY_SHORT, /* has fewer bytes than l= says */
	AUTHN_REASON_HEADER,     /* a signed field is not as it was, or the key is another */
	/* all is as it was signed, but RFC 8301 no longer lets it count */
	AUTHN_REASON_SHA1,
	AUTHN_REASON_KEY_SHORT,
	AUTHN_REASON_COUNT
};

/* Views into the field. */
struct authn_signature {
	enum authn_signature_kind kind;
	enum authn_reason fault; /* of the field itself; GOOD: none */
	enum authn_algorithm algorithm;
	enum authn_canon header_canon, body_canon;
	struct sv algorithm_name; /* as written */
	struct sv domain, selector;
	char identity[LIMIT_ADDRESS + 1]; /* i= of DKIM, decoded; empty: "@" and d= */
	bool identity_below;              /* its domain is one below d= */
	struct sv names;                  /* h= */
	struct sv body_hash;              /* bh=, base64 */
	struct sv value;                  /* b=, base64 */
	struct sv value_whole; /* the bytes that count as absent when the field itself is hashed */
	bool has_length, has_time, has_expiry;
	uint64_t length;           /* l= */
	uint64_t time_s, expiry_s; /* t=, x= */
	uint32_t instance;         /* i= of ARC */
	enum authn_chain chain;    /* cv= of a seal */
};

/* `value`: the field behind its colon. */
void authn_signature_parse(
	enum authn_signature_kind kind, struct sv value, struct authn_signature *out);

/* A phrase behind "the signature": "signs another body: ..." */
const char *authn_reason_text(enum authn_reason reason);
/* One word of it for machines: "body-changed". */
const char *authn_reason_name(enum authn_reason reason);
