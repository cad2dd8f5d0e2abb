/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/setup_priv.h"

#include "base/buf.h"
#include "base/must.h"
#include "identity/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Exchange's endpoint is the one that its PowerShell module uses. Microsoft does not publish it as a
 * contract: whatever it refuses, the script does. The two clients are those of Microsoft's own modules.
 */
#define EXCHANGE_CLIENT "fb78d390-0c51-40cd-8e17-fdbfab77341b"
#define GRAPH_CLIENT "14d82eec-204b-4c2f-b7e8-296a70dab67e"

enum {
	ANSWER_MAX = 4 << 20,
	URL_MAX = 2048,
	SLOWER_S = 5,
};

struct waiting {
	struct setup_admin *a;
	int rc;
	unsigned status;
	struct buf body;
};

static void keep_why(struct setup_admin *a, struct sv text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len && n + 1 < sizeof(a->why); i++)
		a->why[n++] = text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?';
	a->why[n] = '\0';
}

static void on_answer(void *arg, const struct io_https_answer *answer)
{
	struct waiting *w = arg;

	w->rc = answer->rc;
	w->status = answer->status;
	if (answer->rc != 0)
		keep_why(w->a, answer->error);
	else if (buf_append(&w->body, answer->body) != 0)
		w->rc = RC_LIMIT;
	io_loop_stop(w->a->loop);
}

static void forget(struct waiting *w)
{
	if (w->body.cap)
		secret_wipe(w->body.ptr, w->body.cap);
	buf_deinit(&w->body);
}

static void ask(struct setup_admin *a, const struct io_https_call *call, struct waiting *out)
{
	*out = (struct waiting){ .a = a, .body = BUF_INIT(ANSWER_MAX) };
	must(io_https_start(a->https, call, on_answer, out) != NULL);
	io_loop_run(a->loop);
}

int setup_admin_init(struct setup_admin *a, struct cli_context *ctx,
	const struct setup_given *given, const struct conf *c, const struct conf_tenant *t)
{
	struct err err = { 0 };

	*a = (struct setup_admin){ .ctx = ctx, .given = given, .conf = c, .tenant = t };
	identity_oauth_init();
	a->loop = io_loop_new();
	a->resolver = io_resolver_new(a->loop, &err);
	if (a->resolver)
		a->https = io_https_new(
			&(struct io_https_options){ a->loop, a->resolver, conf_general(c)->proxy },
			&err);
	return a->https ? EX_OK : cli_fail(EX_UNAVAILABLE, "%s", err.text);
}

void setup_admin_deinit(struct setup_admin *a)
{
	io_https_free(a->https);
	io_resolver_free(a->resolver);
	io_loop_free(a->loop);
	secret_free(a->exchange);
	secret_free(a->graph);
	json_decref(a->undo);
}

/* ---- sign-in ---- */

static void on_pause(void *arg)
{
	io_loop_stop(arg);
}

static void pause_us(struct setup_admin *a, uint64_t us)
{
	struct io_timer timer;

	io_timer_init(&timer, a->loop, on_pause, a->loop);
	io_timer_start(&timer, mono_add(io_now(a->loop), us));
	io_loop_run(a->loop);
	io_timer_stop(&timer);
}

static void post(struct setup_admin *a, const char *path, struct secret *body, struct waiting *out)
{
	char url[IDENTITY_URL_MAX];
	struct io_https_call call = { .method = "POST",
		.ca_file = a->tenant->ca_file,
		.content_type = SV("application/x-www-form-urlencoded"),
		.secret_body = body };
	struct err err = { 0 };

	if (identity_app_url(a->tenant, path, url, &err) != 0) {
		*out = (struct waiting){ .a = a, .rc = RC_CONFIG };
		keep_why(a, sv_from(err.text));
	} else {
		call.url = sv_from(url);
		ask(a, &call, out);
	}
	secret_free(body);
}

/* Until the person has signed in, or not. */
static struct secret *poll(struct setup_admin *a, const struct identity_oauth_client *client,
	struct identity_oauth_device *d)
{
	struct mono_time end = mono_add(io_now(a->loop), d->life_us);
	uint64_t interval_us = d->interval_us;
	struct secret *token = NULL;
	bool waits = true;

	while (waits && mono_before(io_now(a->loop), end)) {
		struct identity_oauth_tokens t = { 0 };
		struct waiting w;

		pause_us(a, interval_us);
		post(a,
			provider_cloud(a->tenant->cloud)->token_path,
			identity_oauth_poll_body(client, d->device_code),
			&w);
		if (w.rc == 0)
			identity_oauth_read_tokens(w.status, buf_sv(&w.body), &t);
		token = TAKE(t.access_token);
		waits = !token && (w.rc != 0 || w.status >= 500 || w.status == 429 ||
					  strcmp(t.refusal.error, "authorization_pending") == 0 ||
					  strcmp(t.refusal.error, "slow_down") == 0);
		if (waits && strcmp(t.refusal.error, "authorization_pending") != 0)
			interval_us += SLOWER_S * US_PER_S;
		if (!token && w.rc == 0)
			keep_why(a, sv_from(t.refusal.description));
		identity_oauth_tokens_deinit(&t);
		forget(&w);
	}
	return token;
}

static struct secret *sign_in(
	struct setup_admin *a, const char *what, const char *client_id, const char *scope)
{
	const struct identity_oauth_client client = { .id = sv_from(client_id) };
	struct identity_oauth_device d = { 0 };
	struct secret *token = NULL;
	struct waiting w;

	post(a,
		provider_cloud(a->tenant->cloud)->device_path,
		identity_oauth_device_body(&client, sv_from(scope)),
		&w);
	if (w.rc == 0)
		identity_oauth_read_device(w.status, buf_sv(&w.body), &d);
	forget(&w);
	if (d.device_code) {
		(void)printf("\nSign in as the administrator of %.*s (%s):\n  address  %s\n"
			     "  code     %s\n",
			SV_ARG(a->tenant->name),
			what,
			d.address,
			d.user_code);
		(void)fflush(stdout);
		token = poll(a, &client, &d);
	} else if (w.rc == 0) {
		keep_why(a, sv_from(d.refusal.description));
	}
	identity_oauth_device_deinit(&d);
	return token;
}

int setup_admin_sign_in(struct setup_admin *a, bool graph)
{
	const char *id = a->given->client_id;
	char scope[URL_MAX];

	(void)snprintf(scope, sizeof(scope), "%.*s/.default", SV_ARG(a->tenant->scope_host));
	a->exchange = sign_in(a, "Exchange", id ? id : EXCHANGE_CLIENT, scope);
	if (a->exchange && graph) {
		(void)snprintf(scope,
			sizeof(scope),
			"%.*s/Application.ReadWrite.All %.*s/AppRoleAssignment.ReadWrite.All",
			SV_ARG(a->tenant->graph_url),
			SV_ARG(a->tenant->graph_url));
		a->graph = sign_in(a, "Graph", id ? id : GRAPH_CLIENT, scope);
	}
	if (a->exchange && (a->graph || !graph))
		return EX_OK;
	return cli_fail(EX_NOPERM,
		"nobody signed in: %s. `postern setup powershell` does the same without it",
		a->why[0] ? a->why : "the code has expired");
}

int setup_admin_sign_in_log(struct setup_admin *a)
{
	char scope[URL_MAX];

	(void)snprintf(scope,
		sizeof(scope),
		"%.*s/AuditLog.Read.All %.*s/Directory.Read.All",
		SV_ARG(a->tenant->graph_url),
		SV_ARG(a->tenant->graph_url));
	a->graph = sign_in(
		a, "Graph", a->given->client_id ? a->given->client_id : GRAPH_CLIENT, scope);
	return a->graph ? EX_OK
			: cli_fail(EX_NOPERM,
				  "nobody signed in: %s. Without it: export the sign-in log, and "
				  "`postern setup survey --report FILE.csv`",
				  a->why[0] ? a->why : "the code has expired");
}

/* ---- calls ---- */

static json_t *finish(struct setup_admin *a, struct waiting *w)
{
	json_t *answer = NULL;
	const char *text;

	a->uncertain = w->rc != 0;
	if (w->rc == 0) {
		answer = json_loadb(w->body.len ? buf_sv(&w->body).ptr : "", w->body.len, 0, NULL);
		if (!answer)
			answer = json_object();
		if (w->status < 200 || w->status > 299) {
			text = json_string_value(
				json_object_get(json_object_get(answer, "error"), "message"));
			keep_why(a, sv_from(text ? text : "it was refused without a reason"));
			json_decref(answer);
			answer = NULL;
		}
	}
	forget(w);
	return answer;
}

static json_t *call_exchange(struct setup_admin *a, const json_t *call)
{
	char url[URL_MAX], anchor[URL_MAX];
	const char *headers[] = { anchor, NULL };
	json_t *input = json_pack("{s:{s:O, s:O}}",
		"CmdletInput",
		"CmdletName",
		json_object_get(call, "cmdlet"),
		"Parameters",
		json_object_get(call, "parameters"));
	char *body = input ? json_dumps(input, JSON_COMPACT) : NULL;
	struct io_https_call https = { .method = "POST",
		.ca_file = a->tenant->ca_file,
		.bearer = a->exchange,
		.content_type = SV("application/json; charset=utf-8"),
		.body = sv_from(body),
		.headers = headers,
		.answer_max = ANSWER_MAX };
	struct waiting w;

	(void)snprintf(anchor, sizeof(anchor), "X-AnchorMailbox: UPN:%s", a->given->admin);
	(void)snprintf(url,
		sizeof(url),
		"%.*s/adminapi/beta/%.*s/InvokeCommand",
		SV_ARG(a->given->exchange ? sv_from(a->given->exchange) : a->tenant->scope_host),
		SV_ARG(a->tenant->id));
	https.url = sv_from(url);
	json_decref(input);
	must(body != NULL);
	ask(a, &https, &w);
	free(body);
	return finish(a, &w);
}

static json_t *call_graph(struct setup_admin *a, const json_t *call)
{
	const json_t *given = json_object_get(call, "body");
	char url[URL_MAX], *body = given ? json_dumps(given, JSON_COMPACT) : NULL;
	struct io_https_call https = { .method = json_string_value(json_object_get(call, "method")),
		.ca_file = a->tenant->ca_file,
		.bearer = a->graph,
		.content_type = body ? SV("application/json") : SV(""),
		.body = sv_from(body),
		.answer_max = ANSWER_MAX };
	struct waiting w;

	(void)snprintf(url,
		sizeof(url),
		"%.*s/v1.0/%s",
		SV_ARG(a->tenant->graph_url),
		json_string_value(json_object_get(call, "path")));
	https.url = sv_from(url);
	ask(a, &https, &w);
	free(body);
	return finish(a, &w);
}

json_t *setup_admin_call(struct setup_admin *a, const json_t *call)
{
	bool exchange = json_is_string(json_object_get(call, "cmdlet"));

	a->why[0] = '\0';
	a->uncertain = false;
	if (exchange ? !a->exchange : !a->graph) {
		keep_why(a, SV("nobody has signed in for that"));
		return NULL;
	}
	if (!exchange && (!json_is_string(json_object_get(call, "method")) ||
				 !json_is_string(json_object_get(call, "path")))) {
		keep_why(a, SV("this is no call"));
		return NULL;
	}
	return exchange ? call_exchange(a, call) : call_graph(a, call);
}
