/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "conf/conf.h"

/*
 * What an access token says of itself: for whom it is, what it may do, for which app and tenant, until when.
 * It came over TLS from the token service: nothing is verified, and nothing but words for people follows.
 */
enum {
	IDENTITY_CLAIM_MAX = 256,
	IDENTITY_PERMISSIONS_MAX = 1024,
};
struct identity_claims {
	char audience[IDENTITY_CLAIM_MAX];          /* aud */
	char permissions[IDENTITY_PERMISSIONS_MAX]; /* roles or scp, with a space between two */
	char app[64], tenant[64], object[64];       /* appid or azp; tid; oid */
	char user[LIMIT_ADDRESS + 1];               /* upn, preferred_username; empty: none */
	bool is_app;                                /* the app itself, not a person */
	/* Seconds since 1970; 0: not said. */
	int64_t issued_s, not_before_s, expires_s;
};

/* RC_PARSE: no JWT. Google's tokens are none, and Microsoft's need not be one. Texts are printable ASCII. */
NODISCARD int identity_claims_read(struct sv token, struct identity_claims *out_claims);

/* The first that is wrong with a token, in the order in which a person should look. */
enum identity_claims_fault {
	IDENTITY_CLAIMS_FINE,
	IDENTITY_CLAIMS_GRAPH_AUDIENCE, /* a Graph token where SMTP is spoken */
	IDENTITY_CLAIMS_AUDIENCE,       /* for something else */
	IDENTITY_CLAIMS_NO_ROLE,        /* the application permission is missing */
	IDENTITY_CLAIMS_NO_SCOPE,       /* the delegated permission is missing */
	IDENTITY_CLAIMS_EXPIRED,
	IDENTITY_CLAIMS_OTHER_APP,
	IDENTITY_CLAIMS_OTHER_TENANT,
	IDENTITY_CLAIMS_OTHER_USER, /* may be right: a person with full access to a shared mailbox */
	IDENTITY_CLAIMS_ENDS_SOON,
	IDENTITY_CLAIMS_FAULT_COUNT,
};
enum cause identity_claims_fault_cause(enum identity_claims_fault fault);
/* Will the server refuse the token for it? The others are only worth a look. */
bool identity_claims_is_fatal(enum identity_claims_fault fault);

/* The permission that this lane's token needs: "SMTP.SendAsApp", "SMTP.Send", "Mail.Send"; NULL: none. */
const char *identity_claims_needed(const struct conf_lane *lane);
enum identity_claims_fault identity_claims_judge(
	const struct identity_claims *c, const struct conf_lane *lane, struct wall_time now);
/* A sentence on it, with what to do. RC_LIMIT. */
NODISCARD int identity_claims_explain(enum identity_claims_fault fault,
	const struct identity_claims *c, const struct conf_lane *lane, struct wall_time now,
	struct buf *out);

/*
 * By how many seconds our clock is ahead of the token service's (negative: behind), from a token that was
 * issued a moment ago. Entra dates a token up to five minutes back, so up to that much says nothing: 0.
 */
int64_t identity_claims_skew_s(const struct identity_claims *c, struct wall_time now);
