/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/secret.h"
#include "conf/conf.h"
#include "identity/vault.h"
#include "io/https.h"
#include "io/worker.h"
#include "provider/verdict.h"

/*
 * The token broker: one access token for each (tenant, app, user, scope), however many lanes want it;
 * refreshed ahead of its end (at least 20 minutes before, or at half of a shorter life), one refresh at
 * a time. A token service that is down is asked again with growing pauses by whoever still wants a
 * token. A refresh token that rotates is in the vault, durably, before the access token that came
 * with it is handed out; the one before it is kept until the new one has worked once.
 */
struct identity_tokens;

struct identity_tokens_options {
	struct io_loop *loop;
	struct io_https *https;
	struct io_workers *workers;   /* RSA signing */
	struct identity_vault *vault; /* refresh tokens; NULL: only app tokens work */
};
NODISCARD struct identity_tokens *identity_tokens_new(
	const struct identity_tokens_options *options);
/* Requests end without `done`. Before the workers and the vault: a job that runs needs both. */
void identity_tokens_free(struct identity_tokens *t);
/* After a reload, for each of identity_tokens_keys(): apps and secrets are read again, tokens that nobody changed stay. */
void identity_token_reload(struct identity_tokens *t, struct sv key, struct conf *conf);

struct identity_token {
	const struct secret *token; /* NULL: none could be had; `verdict` and `reply` say why */
	struct mono_time expires_at;
	uint64_t life_us;       /* its whole life, of which some may be over */
	uint64_t serial;        /* which token this is: for identity_token_refused() */
	struct verdict verdict; /* RETRY, or PARK of the mailbox or tenant */
	struct sv reply; /* "AADSTS7000215: Invalid client secret provided. ..."; no secret */
};
/* Views and the token are borrowed until the callback returns: copy the token with secret_new(). */
typedef void identity_token_fn(void *arg, const struct identity_token *answer);

/*
 * A token for this lane (its sign_in is APP or USER); `done` comes exactly once, maybe before the call
 * returns false; true: it comes later, *out_request can be cancelled. `left_us_min`: a token with less
 * life than that is not handed out.
 */
struct identity_token_request;
bool identity_token_get(struct identity_tokens *t, struct conf *conf, const struct conf_lane *lane,
	uint64_t left_us_min, identity_token_fn *done, void *arg,
	struct identity_token_request **out_request);
void identity_token_cancel(struct identity_token_request *r);
/*
 * The lane's server refused the token: it is not handed to this lane again, and the lane's next get() asks
 * for a new one; when the token came less than a minute ago, at once only if that was not done in the last
 * 15 minutes, else after that minute (RETRY meanwhile). True: the next get() brings another token without
 * such a wait. Other lanes go on with it: one mailbox without permission must not stop those that share the
 * app's token.
 */
NODISCARD bool identity_token_refused(
	struct identity_tokens *t, const struct conf_lane *lane, uint64_t serial);
/* Somebody has signed in for this lane: failures of before count no more, the next get() asks anew. */
void identity_tokens_signed_in(
	struct identity_tokens *t, struct conf *conf, const struct conf_lane *lane);

/* A person says that the app or its secret is put right: a failure of before is forgotten, so that the next get()
 * reads the secret again and asks. A token that is good stays. */
void identity_tokens_retry(
	struct identity_tokens *t, struct conf *conf, const struct conf_lane *lane);

/* The scope to ask for when a token for `lane` is wanted, NULL-ended text in `out`; RC_CONFIG: its provider
 * takes no tokens, or it has no tenant. */
enum {
	IDENTITY_SCOPE_MAX = 512
};
NODISCARD int identity_token_scope(const struct conf_lane *lane, char out[IDENTITY_SCOPE_MAX]);

/* For status: an identity that was asked for; its views are good for this turn of the loop. */
struct identity_token_status {
	struct sv tenant, user, scope; /* user empty: the app itself */
	struct wall_time expires_at, refreshed_at;
	uint64_t refreshes;
	struct sv cause, reply; /* of the last failure; empty: none */
};
/* The keys of all, to look at them one by one: copies in `a`. */
struct sv *identity_tokens_keys(
	const struct identity_tokens *t, struct arena *a, size_t *out_count);
/* False: it is gone. */
bool identity_token_look(
	const struct identity_tokens *t, struct sv key, struct identity_token_status *out_status);
