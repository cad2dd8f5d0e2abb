/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/ask.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/sv.h"

#include <stdbool.h>

/*
 * The record of a DKIM key, SELECTOR._domainkey.DOMAIN TXT (RFC 6376 3.6.1, RFC 8463, RFC 8301). ARC's keys are the
 * same.
 */
enum authn_key_fault {
	AUTHN_KEY_GOOD,
	AUTHN_KEY_SYNTAX,  /* no list of tags, or a tag stands twice */
	AUTHN_KEY_VERSION, /* v= is not DKIM1, or not the first tag */
	AUTHN_KEY_TYPE,    /* k= is neither rsa nor ed25519 */
	AUTHN_KEY_ABSENT,  /* no p= */
	AUTHN_KEY_REVOKED, /* p= is empty */
	AUTHN_KEY_BASE64, /* p= is no base64: cut off, or quotes and backslashes of a zone file in it */
	AUTHN_KEY_DATA,    /* p= is base64 of something else than a key of this type */
	AUTHN_KEY_SERVICE, /* s= leaves mail out */
	AUTHN_KEY_HASHES,  /* h= names no hash that is known */
	AUTHN_KEY_FAULT_COUNT
};
enum authn_key_type {
	AUTHN_KEY_RSA,
	AUTHN_KEY_ED25519
};
enum {
	/* RFC 8301 3.2: a signature by a shorter key is not valid. */
	AUTHN_KEY_BITS_MIN = 1024,
	/* Verifiers need not take more than 4096 (RFC 8301 3.2), and what a key costs grows with its cube. */
	AUTHN_KEY_BITS_MAX = 8192,
};

struct authn_dkim_key {
	enum authn_key_fault fault;
	enum authn_key_type type;
	unsigned bits; /* of the modulus; 256 for Ed25519; 0: there is no key to count */
	bool sha256;   /* signatures by these hashes are allowed (h=) */
	bool sha1;
	bool testing;   /* t=y: the domain tries DKIM out */
	bool strict;    /* t=s: i= must have the very domain of d= */
	bool bare;      /* an RSAPublicKey without its wrapping, as few write and not all read it */
	struct sv note; /* n=, for people; a view into the record */
	struct evp_pkey_st *public_key; /* NULL when there is a fault before SERVICE */
};

/* Always fills *out_key; its `fault` says what is wrong first. authn_dkim_key_deinit() in any case. */
void authn_dkim_key_parse(struct sv record, struct authn_dkim_key *out_key);
void authn_dkim_key_deinit(struct authn_dkim_key *key);
/*
 * The same from an answer. Some domains have other records beside the key: the first without a fault is taken, else
 * the first. False: the answer has no record; *out_key is empty.
 */
NODISCARD bool authn_dkim_key_find(const struct authn_answer *a, struct authn_dkim_key *out_key);

/* A phrase behind "the key record": "is revoked: p= is empty". */
const char *authn_key_fault_text(enum authn_key_fault fault);

/* Decodes base64 with blanks and folds in it, as keys and signatures are. RC_PARSE, RC_LIMIT: nothing appended. */
NODISCARD int authn_base64_decode(struct buf *out, struct sv text);
