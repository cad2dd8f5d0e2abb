/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/dkim_canon.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/sv.h"
#include "base/time.h"

/*
 * Makes the DKIM signature of a message (RFC 6376 5, RFC 8463). A message goes in by pieces, its field comes out; what is
 * held is the header. A message with two keys has two of these.
 */

/*
 * What a usual message has signed: whatever a reader sees or that steers an answer, and each that must be there once
 * only is named twice, so that nobody can add a second (RFC 6376 5.4, 8.15). RFC 8058 4 asks for the two of lists.
 */
#define AUTHN_SIGN_NAMES                                                                           \
	"From:From:To:To:Cc:Cc:Subject:Subject:Date:Date:Message-ID:Message-ID:Reply-To:Reply-To:" \
	"Sender:Sender:In-Reply-To:References:MIME-Version:Content-Type:Content-Type:"             \
	"Content-Transfer-Encoding:List-Unsubscribe:List-Unsubscribe-Post:List-Id:Auto-Submitted"

struct authn_sign_options {
	struct evp_pkey_st
		*key; /* RSA or Ed25519, with its private half; lives longer than the machine */
	struct sv domain, selector; /* names that can be looked up; borrowed, too */
	struct sv names;            /* h=; empty: AUTHN_SIGN_NAMES */
	enum authn_canon header, body;
	struct wall_time now; /* t= */
	uint64_t valid_s;     /* x=: so long; 0: for ever */
};

struct authn_sign;
NODISCARD struct authn_sign *authn_sign_new(const struct authn_sign_options *options);
void authn_sign_free(struct authn_sign *s);
DEFINE_CLEANUP(struct authn_sign, authn_sign_free);
/* RC_LIMIT: the header is too large. */
NODISCARD int authn_sign_feed(struct authn_sign *s, struct sv bytes);
/*
 * The end of the message: appends "DKIM-Signature: ..." with its line end, to stand above all that is signed. RC_LIMIT;
 * RC_STATE: OpenSSL does not sign with this key.
 */
NODISCARD int authn_sign_end(struct authn_sign *s, struct buf *out);
