/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/htable.h"
#include "base/list.h"
#include "identity/app.h"
#include "identity/logins.h"
#include "identity/oauth.h"
#include "identity/tokens.h"
#include "sched/retry.h"

/*
 * tokens.c       the broker: identities, what they have, who waits for it
 * tokens_ask.c   one refresh: prepare (worker), ask (HTTPS), save (worker)
 * tokens_job.c   what the workers do
 */

/* The two steps of a refresh that read files, sign, or write the vault. */
enum token_job_kind {
	TOKEN_JOB_PREPARE, /* makes the body of the request */
	TOKEN_JOB_SAVE,    /* puts a new refresh token into the vault */
};

/*
 * Owned by whoever has it: the broker, then a worker, then the broker again. It holds all it needs, so
 * that a broker that is freed meanwhile only has to say so (broker = NULL).
 */
struct token_job {
	struct identity_tokens *broker;
	struct identity *identity;
	enum token_job_kind kind;
	struct conf *conf; /* a reference */
	const struct conf_tenant *tenant;
	struct identity_vault *vault;
	bool is_person; /* a refresh token of the vault; else the app itself */
	bool use_previous;
	struct sv user, scope; /* in `words` */
	struct sv login_name;
	char url[IDENTITY_URL_MAX];
	struct secret *used, *fresh; /* SAVE: the refresh token that was used, and the new one */
	/* What came of it. */
	int rc;
	struct err err;
	bool nobody_signed_in; /* rc is not 0 because of that */
	bool has_previous;
	struct secret *body;
	char words[];
};

void token_job_free(struct token_job *j);
void token_job_run(void *arg); /* in a worker */

enum identity_state {
	IDENTITY_IDLE,
	IDENTITY_QUEUED, /* for a worker, or for another identity of the same person */
	IDENTITY_WORKING,
	IDENTITY_ASKING,
};

struct identity {
	struct identity_tokens *broker;
	struct conf *conf; /* a reference; of who asked last */
	const struct conf_lane *lane;
	char *key; /* the other views look into it */
	struct sv user, scope;
	struct sv login_name; /* in the vault; empty: no person */
	enum identity_state state;
	enum token_job_kind next; /* while QUEUED */
	struct list queued;       /* in broker->queued while QUEUED */
	struct list waiters;      /* struct identity_token_request */
	struct io_https_request *request;
	bool gone; /* from the configuration; freed by the next reload */
	unsigned answering;

	/* The token. */
	struct secret *token;
	uint64_t serial, life_us;
	struct mono_time fetched_at, expires_at, refresh_at;
	struct wall_time expires_wall, refreshed_wall;
	uint64_t refreshes;
	struct htable refused; /* keys of lanes whose server refused `serial` */
	bool replaced;         /* at once, at `replaced_at` */
	struct mono_time replaced_at;

	/* One refresh. */
	struct secret *used; /* refresh token */
	struct secret *sent; /* the form that was sent: what an answer may not repeat */
	bool use_previous, has_previous;
	struct identity_oauth_tokens fresh; /* not yet saved */

	/* The last failure. */
	bool failed;
	struct sched_backoff backoff;
	struct verdict verdict;
	char *reply;

	struct mono_time asked_at;
	struct io_timer timer;
};

struct identity_tokens {
	struct identity_tokens_options o;
	struct htable identities; /* by key */
	struct htable busy;       /* login names that a refresh uses */
	struct list queued;
	struct token_job *running; /* one at a time: password checks need the other worker */
	struct io_timer again;     /* the workers' queue was full */
	uint64_t serial;
};

/* tokens_ask.c */
void identity_begin(struct identity *id); /* from IDLE */
void identity_stop(struct identity *id);  /* whatever runs is forgotten */
/* tokens.c: how a refresh ended. */
void identity_took(struct identity *id); /* id->fresh holds the token */
void identity_failed(struct identity *id, const struct verdict *verdict, struct sv reply);
