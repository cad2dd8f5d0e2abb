/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "identity/tokens_priv.h"
#include "io/loop.h"

#include <stdlib.h>

void token_job_free(struct token_job *j)
{
	if (!j)
		return;
	conf_unref(j->conf);
	secret_free(j->used);
	secret_free(j->fresh);
	secret_free(j->body);
	free(j);
}

static struct identity_oauth_client client_of(const struct token_job *j)
{
	return (struct identity_oauth_client){ .id = j->tenant->app.client_id };
}

/* Puts what the app presents into `client`; *out_assertion keeps it. */
static int present(struct token_job *j, const struct identity_app *app,
	struct identity_oauth_client *client, struct secret **out_assertion)
{
	const struct identity_app_subject self = { 0 };
	int rc;

	client->secret = identity_app_secret(app);
	if (client->secret)
		return 0;
	rc = identity_app_sign(app, sv_from(j->url), &self, out_assertion, &j->err);
	client->assertion = *out_assertion;
	return rc;
}

/* A token of the app itself; at Google one of the user for whom the service account may speak. */
static int prepare_app(struct token_job *j)
{
	CLEANUP(identity_app_freep) struct identity_app *app = NULL;
	CLEANUP(secret_freep) struct secret *assertion = NULL;
	struct identity_oauth_client client = client_of(j);
	int rc = identity_app_load(j->tenant, j->vault, &app, &j->err);

	if (rc != 0)
		return rc;
	if (j->tenant->cloud == PROVIDER_CLOUD_GOOGLE) {
		const struct identity_app_subject subject = { j->user, j->scope };

		rc = identity_app_sign(app, sv_from(j->url), &subject, &assertion, &j->err);
		if (rc == 0)
			j->body = identity_oauth_service_body(assertion);
		return rc;
	}
	rc = present(j, app, &client, &assertion);
	if (rc == 0)
		j->body = identity_oauth_app_body(&client, j->scope);
	return rc;
}

static int nobody(struct token_job *j, const char *why)
{
	j->nobody_signed_in = true;
	return err_set(&j->err,
		RC_NOT_FOUND,
		"%s %.*s: run `postern login %.*s`",
		why,
		SV_ARG(sv_head(j->user, 60)),
		SV_ARG(sv_head(j->user, 60)));
}

static int prepare_person(struct token_job *j)
{
	CLEANUP(identity_login_freep) struct identity_login *login = NULL;
	CLEANUP(identity_app_freep) struct identity_app *app = NULL;
	CLEANUP(secret_freep) struct secret *assertion = NULL;
	struct identity_oauth_client client = client_of(j);
	int rc;

	if (!j->vault)
		return err_set(&j->err,
			RC_CONFIG,
			"signing in people needs the vault: write vault: { key: ... } into the "
			"configuration, then run `postern login`");
	rc = identity_login_load(j->vault, j->login_name, &login, &j->err);
	if (rc == RC_NOT_FOUND)
		return nobody(j, "nobody has signed in yet as");
	if (rc != 0)
		return rc;
	if (!sv_eq_nocase(sv_from(login->client_id), client.id))
		return nobody(j, "the tenant has another app since somebody signed in as");
	if (login->confidential || (j->tenant->cloud == PROVIDER_CLOUD_GOOGLE &&
					   j->tenant->app.secret.kind != CONF_SECRET_NONE)) {
		rc = identity_app_load(j->tenant, j->vault, &app, &j->err);
		if (rc == 0)
			rc = present(j, app, &client, &assertion);
	}
	if (rc != 0)
		return rc;
	j->has_previous = login->previous != NULL;
	j->used = j->use_previous && login->previous ? TAKE(login->previous)
						     : TAKE(login->refresh_token);
	j->body = identity_oauth_refresh_body(&client, j->used, j->scope);
	return 0;
}

/*
 * The token service has given a new refresh token: written before anybody uses the access token that came
 * with it. When somebody has signed in anew meanwhile, theirs stays.
 */
static int save(struct token_job *j)
{
	CLEANUP(identity_login_freep) struct identity_login *login = NULL;
	int rc = identity_login_load(j->vault, j->login_name, &login, &j->err);

	if (rc == RC_NOT_FOUND)
		return 0; /* `postern login --forget` */
	if (rc != 0)
		return rc;
	if (!secret_eq(login->refresh_token, secret_reveal(j->used)) &&
		!(login->previous && secret_eq(login->previous, secret_reveal(j->used))))
		return 0;
	secret_free(login->previous);
	secret_free(login->refresh_token);
	login->previous = TAKE(j->used);
	login->refresh_token = TAKE(j->fresh);
	login->obtained_at = io_clock_wall();
	rc = identity_login_save(j->vault, j->login_name, login, &j->err);
	j->used = TAKE(login->previous);
	j->fresh = TAKE(login->refresh_token);
	return rc;
}

void token_job_run(void *arg)
{
	struct token_job *j = arg;

	if (j->kind == TOKEN_JOB_SAVE) {
		j->rc = save(j);
		return;
	}
	j->rc = identity_app_url(
		j->tenant, provider_cloud(j->tenant->cloud)->token_path, j->url, &j->err);
	if (j->rc == 0)
		j->rc = j->is_person ? prepare_person(j) : prepare_app(j);
}
