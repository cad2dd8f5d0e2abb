/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "identity/secrets.h"
#include "identity/tokens_priv.h"
#include "provider/reply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * One refresh of one identity:
 *
 *   begin -> QUEUED -> WORKING (prepare) -> ASKING -> took
 *                 ^                            |
 *                 +---- save, or once more ----+      took / failed from everywhere
 *
 * The identities of one person share a refresh token that changes with each use, so only one of them
 * refreshes at a time (broker->busy).
 */
#define ANSWER_US_MAX (30 * US_PER_S)
#define AGAIN_US (50 * US_PER_MS)

enum {
	REPLY_MAX = 1024
};

static void pump(struct identity_tokens *t);

/* `unsaved`: what was got is kept until it can be written. */
static void release(struct identity *id, bool unsaved)
{
	if (id->login_name.len && htable_get(&id->broker->busy, id->login_name) == id)
		(void)htable_take(&id->broker->busy, id->login_name);
	if (!unsaved)
		secret_free(TAKE(id->used));
	secret_free(TAKE(id->sent));
	id->use_previous = id->has_previous = false;
	id->state = IDENTITY_IDLE;
}

static void fail(struct identity *id, const struct verdict *verdict, struct sv reply, bool unsaved)
{
	struct identity_tokens *t = id->broker;

	release(id, unsaved);
	if (!unsaved)
		identity_oauth_tokens_deinit(&id->fresh);
	identity_failed(id, verdict, reply);
	pump(t);
}

static void fail_here(struct identity *id, const struct token_job *j)
{
	const struct verdict app = cause_verdict(CAUSE_APP_CREDENTIALS);
	const struct verdict person = cause_verdict(CAUSE_LOGIN_NEEDED);
	const struct verdict vault = cause_verdict(CAUSE_VAULT_UNWRITABLE);
	const enum cause in_vault = identity_secret_cause(j->rc, CAUSE_NONE);
	struct verdict kept = { 0 };
	const struct verdict *why = j->kind == TOKEN_JOB_SAVE ? &vault
				    : j->is_person            ? &person
							      : &app;

	/* A person's app with a key that cannot be read is the app's trouble. */
	if (j->kind == TOKEN_JOB_PREPARE && j->is_person && !j->nobody_signed_in && j->vault &&
		j->rc == RC_CONFIG)
		why = &app;
	if (j->kind == TOKEN_JOB_PREPARE && in_vault != CAUSE_NONE) {
		kept = cause_verdict(in_vault);
		why = &kept;
	}
	fail(id, why, sv_from(j->err.text), j->kind == TOKEN_JOB_SAVE);
}

/* ---- the answer ---- */

static void queue(struct identity *id, enum token_job_kind kind)
{
	id->state = IDENTITY_QUEUED;
	id->next = kind;
	/* Whoever is half done goes first. */
	if (kind == TOKEN_JOB_SAVE || id->use_previous)
		list_prepend(&id->broker->queued, &id->queued);
	else
		list_append(&id->broker->queued, &id->queued);
	pump(id->broker);
}

static void refused(struct identity *id, unsigned status, uint64_t retry_after_us,
	struct identity_oauth_refusal *why, bool repeats)
{
	const struct provider_http_answer answer = { .status = status,
		.error = sv_from(why->error),
		.description = sv_from(why->description),
		.retry_after_us = retry_after_us };
	struct verdict v = provider_judge_token(&answer);
	char reply[REPLY_MAX];

	/* Judged by its words; then nobody sees them. */
	if (repeats)
		(void)snprintf(why->description,
			sizeof(why->description),
			"the token service refuses (HTTP %u), and repeats what was sent in "
			"confidence: its words are not shown",
			status);
	/* A crash between the service's answer and our write left the one before in force. */
	if (id->login_name.len && id->has_previous && !id->use_previous &&
		strcmp(why->error, "invalid_grant") == 0) {
		id->use_previous = true;
		queue(id, TOKEN_JOB_PREPARE);
		return;
	}
	/* When to ask again is decided here, by pauses that grow, unless the service said it. */
	if (v.kind == VERDICT_RETRY)
		v.retry_after_us = retry_after_us;
	(void)snprintf(reply, sizeof(reply), "%s", why->description);
	if (id->login_name.len && v.kind == VERDICT_PARK && v.scope == VERDICT_SCOPE_MAILBOX)
		(void)snprintf(reply,
			sizeof(reply),
			"%s - to sign in again, run `postern login %.*s`",
			why->description,
			SV_ARG(id->user));
	fail(id, &v, sv_from(reply), false);
}

static void take(struct identity *id)
{
	struct identity_tokens *t = id->broker;

	release(id, false);
	identity_took(id);
	pump(t);
}

static void on_answer(void *arg, const struct io_https_answer *answer)
{
	struct identity *id = arg;
	char reply[REPLY_MAX];
	struct verdict v;

	id->request = NULL;
	if (answer->rc != 0) {
		v = provider_judge_network(id->lane->provider, answer->rc);
		v.scope = VERDICT_SCOPE_TENANT; /* the way to the mail server is another one */
		if (v.kind == VERDICT_RETRY)
			v.retry_after_us = 0;
		(void)snprintf(reply,
			sizeof(reply),
			"the token service did not answer: %.*s",
			SV_ARG(answer->error));
		fail(id, &v, sv_from(reply), false);
		return;
	}
	identity_oauth_tokens_deinit(&id->fresh);
	identity_oauth_read_tokens(answer->status, answer->body, &id->fresh);
	if (!id->fresh.access_token)
		refused(id,
			answer->status,
			answer->retry_after_us,
			&id->fresh.refusal,
			identity_oauth_repeats(answer->body, id->sent));
	else if (id->login_name.len && id->fresh.refresh_token)
		queue(id, TOKEN_JOB_SAVE);
	else
		take(id);
}

static void ask(struct identity *id, struct token_job *j)
{
	const struct io_https_call call = { .method = "POST",
		.url = sv_from(j->url),
		.ca_file = j->tenant->ca_file,
		.content_type = SV("application/x-www-form-urlencoded"),
		.secret_body = j->body,
		.answer_max = IDENTITY_OAUTH_ANSWER_MAX,
		.timeout_us = ANSWER_US_MAX };

	secret_free(id->used);
	id->used = TAKE(j->used);
	secret_free(id->sent);
	id->sent = secret_new(secret_reveal(j->body));
	id->has_previous = j->has_previous;
	id->state = IDENTITY_ASKING;
	id->request = io_https_start(id->broker->o.https, &call, on_answer, id);
}

/* ---- the workers ---- */

static void job_done(void *arg)
{
	struct token_job *j = arg;
	struct identity_tokens *t = j->broker;
	struct identity *id = j->identity;

	if (!t) {
		token_job_free(j);
		return;
	}
	t->running = NULL;
	if (!id) {
		pump(t);
	} else if (j->rc != 0) {
		fail_here(id, j);
	} else if (j->kind == TOKEN_JOB_SAVE) {
		take(id);
	} else {
		ask(id, j);
		pump(t);
	}
	token_job_free(j);
}

static struct sv keep(struct token_job *j, size_t *at, struct sv words)
{
	char *to = j->words + *at;

	if (words.len)
		memcpy(to, words.ptr, words.len);
	*at += words.len;
	return sv_make(to, words.len);
}

static struct token_job *job_new(struct identity *id)
{
	const struct conf_tenant *tenant = id->lane->tenant;
	struct token_job *j =
		xcalloc(1, sizeof(*j) + id->user.len + id->scope.len + id->login_name.len + 1);
	size_t at = 0;

	j->broker = id->broker;
	j->identity = id;
	j->kind = id->next;
	j->conf = conf_ref(id->conf);
	j->tenant = tenant;
	j->vault = id->broker->o.vault;
	j->is_person = id->login_name.len > 0;
	j->use_previous = id->use_previous;
	j->user = keep(j, &at, id->user);
	j->scope = keep(j, &at, id->scope);
	j->login_name = keep(j, &at, id->login_name);
	if (j->kind == TOKEN_JOB_SAVE) {
		j->used = secret_new(secret_reveal(id->used));
		j->fresh = secret_new(secret_reveal(id->fresh.refresh_token));
	}
	return j;
}

/* The first that may work now. */
static struct identity *next(struct identity_tokens *t)
{
	list_each (node, &t->queued) {
		struct identity *id = list_entry(node, struct identity, queued);
		struct identity *user =
			id->login_name.len ? htable_get(&t->busy, id->login_name) : NULL;

		if (!user || user == id)
			return id;
	}
	return NULL;
}

static void on_again(void *arg)
{
	pump(arg);
}

static void pump(struct identity_tokens *t)
{
	struct identity *id = t->running ? NULL : next(t);
	struct token_job *j;

	if (!id)
		return;
	j = job_new(id);
	if (io_workers_run(t->o.workers, token_job_run, job_done, j) != 0) {
		token_job_free(j);
		io_timer_init(&t->again, t->o.loop, on_again, t);
		io_timer_start(&t->again, mono_add(io_now(t->o.loop), AGAIN_US));
		return;
	}
	list_remove(&id->queued);
	id->state = IDENTITY_WORKING;
	if (id->login_name.len)
		htable_put(&t->busy, id->login_name, id);
	t->running = j;
}

/* What came of an earlier refresh and could not be written is written first. */
void identity_begin(struct identity *id)
{
	must(id->state == IDENTITY_IDLE);
	io_timer_stop(&id->timer);
	queue(id, id->used && id->fresh.access_token ? TOKEN_JOB_SAVE : TOKEN_JOB_PREPARE);
}

void identity_stop(struct identity *id)
{
	struct identity_tokens *t = id->broker;

	io_timer_stop(&id->timer);
	if (id->request)
		io_https_cancel(TAKE(id->request));
	if (id->state == IDENTITY_QUEUED)
		list_remove(&id->queued);
	if (t->running && t->running->identity == id)
		t->running->identity = NULL;
	release(id, false);
	identity_oauth_tokens_deinit(&id->fresh);
}
