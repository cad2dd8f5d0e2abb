/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/verify.h"

#include <openssl/evp.h>

enum {
	/* Four ways to hash a body, and one more for each signature with l=. */
	BODIES_MAX = 4 + AUTHN_SIGNATURES_MAX,
};

/* A digest that canonical bytes go into. */
struct digest {
	EVP_MD_CTX *ctx;
	unsigned char bytes[EVP_MAX_MD_SIZE];
	size_t len;
};
void digest_init(struct digest *d, enum authn_algorithm algorithm);
void digest_end(struct digest *d); /* fills `bytes` */
void digest_deinit(struct digest *d);
struct authn_sink digest_sink(struct digest *d);

/* Hashes the fields that `names` (h=) selects, from the bottom up, but `own`. */
void digest_fields(const struct authn_fields *f, const struct authn_field *own, struct sv names,
	enum authn_canon canon, struct digest *d);
/* The field of a signature itself, without its value and its line end. */
void digest_own(const struct authn_field *own, struct sv value_whole, enum authn_canon canon,
	struct digest *d);

/* Signatures that hash the body in the same way share one digest. */
struct body_hash {
	struct authn_body body;
	struct digest digest;
	bool sha1;
};

struct authn_verify {
	struct authn_fields *fields;
	struct authn_memo *memo,
		*own_memo; /* the one that is looked into; and that of the machine */
	struct wall_time now;
	bool in_body, ended, done;
	int rc;
	struct authn_checked signatures[AUTHN_SIGNATURES_MAX];
	const struct authn_field *signature_fields[AUTHN_SIGNATURES_MAX];
	size_t count, more;
	struct body_hash *bodies[BODIES_MAX];
	size_t body_count;
	struct authn_arc arc;
	struct arc_chain *chain; /* NULL: no ARC in it */
};

/* ---- for arc.c, and from it ---- */

/* The digest of the body that this signature needs; made when there is none yet. */
void verify_want_body(struct authn_verify *v, const struct authn_signature *s);
/* What goes into the digest of a signature's value. */
typedef void verify_hash_fn(void *arg, const struct authn_signature *s, struct digest *d);
/* All of one signature. False: its key is not known yet. */
bool verify_check(struct authn_verify *v, struct authn_checked *c, verify_hash_fn *hash, void *arg);

void arc_read(struct authn_verify *v);
bool arc_judge(struct authn_verify *v); /* false: a key is not known yet */
void arc_free(struct arc_chain *chain);
