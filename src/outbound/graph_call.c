/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "outbound/graph_priv.h"

#include <stdio.h>

/* One request of Graph: its token, its answer, and what that means. */

/* The dot has the time that SMTP gives it (RFC 5321 4.5.3.2.6): a shorter one makes us send twice. */
#define DOT_TIMEOUT_US (10 * US_PER_MIN)
#define TIMEOUT_US (5 * US_PER_MIN)
#define TOKEN_LEFT_US (2 * US_PER_MIN)
#define DELETE_TIMEOUT_US (10 * US_PER_S)

static void ask_token(struct graph_session *g);

static bool is_dot(const struct graph_session *g)
{
	return g->step == GRAPH_SEND_MAIL || g->step == GRAPH_SEND_DRAFT;
}

/* Its failure stops nothing. */
static bool is_tidying(const struct graph_session *g)
{
	return g->step == GRAPH_FIND || g->step == GRAPH_CLEAR;
}

/* ---- texts ---- */

int graph_append_escaped(struct buf *out, struct sv text)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			     (c >= 'A' && c <= 'Z') || (c && strchr("-._~@", c));

		rc = plain ? buf_append_char(out, (char)c) : buf_printf(out, "%%%02X", c);
	}
	return rc;
}

void graph_url(struct graph_session *g, const char *before, struct sv id, const char *after)
{
	const struct conf_lane *c = g->c->c;
	struct buf *url = &g->url;
	int rc;

	buf_reset(url);
	rc = buf_append(url, c->tenant->graph_url);
	if (rc == 0)
		rc = buf_append(url, SV("/v1.0/users/"));
	if (rc == 0)
		rc = graph_append_escaped(url, c->name);
	if (rc == 0)
		rc = buf_append(url, sv_from(before));
	if (rc == 0)
		rc = graph_append_escaped(url, id);
	if (rc == 0)
		rc = buf_append(url, sv_from(after));
	/* An empty URL is refused by io_https_start(). */
	if (rc != 0)
		buf_reset(url);
}

void graph_encode_copy(struct graph_session *g)
{
	buf_deinit(&g->body);
	buf_init(&g->body, g->copy.len / 3 * 4 + 8);
	must(text_base64_encode(&g->body, buf_sv(&g->copy)) == 0);
	buf_deinit(&g->copy);
}

/* ---- what is told of it ---- */

static void tell_answer(struct graph_session *g, const struct io_https_answer *a)
{
	struct sv url = buf_sv(&g->url);
	ptrdiff_t query = sv_find_char(url, '?');
	/* What was sent in confidence: the token, or what stands for one in the URL. */
	const struct smtp_mask mask = { .secret = g->signed_url ? sv_skip(url, (size_t)(query + 1))
						  : g->token    ? secret_reveal(g->token)
								: SV(""),
		.is_token = true };
	const struct smtp_transcript_answer answer = { .status = a->status,
		.request_id = a->request_id,
		.retry_after_us = a->retry_after_us,
		.body = a->body };
	struct mono_time now = io_now(g->c->o->loop);

	if (a->rc != 0)
		smtp_transcript_add(&g->c->transcript, now, SMTP_TRANSCRIPT_NOTE, a->error);
	else
		smtp_transcript_add_answer(&g->c->transcript, now, &answer, &mask);
}

/* ---- meaning ---- */

static void uncertain(struct graph_session *g, struct sv words)
{
	const struct verdict v = cause_verdict(CAUSE_UNCERTAIN);

	g->uncertain = true;
	graph_end(g, &v, words);
}

static void no_answer(struct graph_session *g, const struct io_https_answer *a)
{
	struct verdict v = cause_verdict(CAUSE_CONNECTION_LOST);

	/* It says nothing of Graph: one message was on its way. */
	v.nature = VERDICT_NATURE_OTHER;

	if (is_dot(g) && a->began) {
		uncertain(g, a->error);
		return;
	}
	if (is_dot(g))
		g->c->delivery->stayed = true;
	g->of_session = !a->began;
	if (!a->began)
		v = provider_judge_network(g->c->c->provider, a->rc);
	graph_end(g, &v, a->error);
}

static struct sv string_of(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	return json_is_string(value) ? sv_make(json_string_value(value), json_string_length(value))
				     : SV("");
}

static void refused(struct graph_session *g, const struct io_https_answer *a)
{
	json_t *root = json_loadb(a->body.len ? a->body.ptr : "", a->body.len, 0, NULL);
	json_t *error = json_object_get(root, "error");
	struct provider_http_answer answer = { .status = a->status,
		.error = string_of(error, "code"),
		.description = string_of(error, "message"),
		.retry_after_us = a->retry_after_us };
	struct verdict v = provider_judge_graph(&answer);
	char text[GRAPH_REPLY_MAX];

	/* Only one too many: the mailbox goes on with fewer, and this one when Graph says. */
	if (connection_is_too_many(g->c, &v) && answer.retry_after_us)
		v.retry_after_us = answer.retry_after_us;
	/* The token is refused whatever it is shown with. */
	g->of_session = a->status == 401;
	(void)snprintf(text,
		sizeof(text),
		"HTTP %u %.*s%s%.*s",
		a->status,
		SV_ARG(sv_head(answer.error, 200)),
		answer.description.len ? ": " : "",
		SV_ARG(sv_head(answer.description, 600)));
	/* What was found on the way is behind a gateway that did not hear the end. */
	if (is_dot(g) && (a->status == 502 || a->status == 504)) {
		uncertain(g, sv_from(text));
	} else if (a->status == 403 && !is_dot(g) && v.kind == VERDICT_PARK) {
		/* The mailbox itself works: its small messages need less. */
		v = cause_verdict(CAUSE_GRAPH_NEEDS_READWRITE);
		graph_end(g, &v, sv_from(text));
	} else {
		/* The permission in the URL ended, or the session is lost: another attempt has new ones. */
		if (g->signed_url && v.kind != VERDICT_RETRY)
			v = cause_verdict(CAUSE_GRAPH_UPLOAD_LOST);
		graph_end(g, &v, sv_from(text));
	}
	json_decref(root);
}

/* A new token may do: not where this one is for another service, or not allowed to send. */
static bool may_do_with_another(const struct io_https_answer *a, bool another)
{
	json_t *root = json_loadb(a->body.len ? a->body.ptr : "", a->body.len, 0, NULL);
	json_t *error = json_object_get(root, "error");
	const struct provider_http_answer answer = { .status = a->status,
		.error = string_of(error, "code"),
		.description = string_of(error, "message") };
	const struct verdict v = provider_judge_graph(&answer);

	json_decref(root);
	return v.kind == VERDICT_RETRY || (another && v.cause == CAUSE_TOKEN_REFUSED);
}

/*
 * sendMail and send promise 202 and nothing else. Other successes were seen from something between, with
 * nothing sent (microsoft-graph-docs issue 13979): whether Graph has the message is not known then.
 */
static void dot_answered(struct graph_session *g, unsigned status)
{
	const struct verdict done = {
		.kind = VERDICT_DELIVERED, .scope = VERDICT_SCOPE_MESSAGE, .enhanced = "2.0.0"
	};
	char text[96];

	if (status == 202) {
		graph_end(g, &done, SV("HTTP 202"));
		return;
	}
	(void)snprintf(text, sizeof(text), "HTTP %u, and only 202 says that Graph took it", status);
	uncertain(g, sv_from(text));
}

static void on_answer(void *arg, const struct io_https_answer *a)
{
	struct graph_session *g = arg;

	g->request = NULL;
	tell_answer(g, a);
	if (g->step == GRAPH_DELETE) {
		/* As well as it could be done; the verdict stands. */
		g->step = GRAPH_OVER;
	} else if (is_tidying(g) && a->status != 401 && (a->rc != 0 || a->status / 100 != 2)) {
		graph_large_unfound(g);
	} else if (a->rc != 0) {
		no_answer(g, a);
	} else if (a->status == 401 && !g->signed_url && !g->token_refused) {
		g->token_refused = true;
		if (may_do_with_another(
			    a, identity_token_refused(g->c->o->tokens, g->c->c, g->token_serial)))
			ask_token(g);
		else
			refused(g, a);
	} else if (a->status / 100 != 2) {
		refused(g, a);
	} else if (is_dot(g)) {
		dot_answered(g, a->status);
	} else {
		graph_large_answered(g, a->status, a->body);
	}
	connection_pump(g->c);
}

/* ---- asking ---- */

static void start(struct graph_session *g)
{
	const char *headers[] = { g->range, NULL };
	const struct io_https_call call = { .method = g->method,
		.url = buf_sv(&g->url),
		.ca_file = g->c->c->tenant->ca_file,
		.bearer = g->signed_url ? NULL : g->token,
		.content_type = g->content_type,
		.body = g->payload,
		.headers = g->range[0] ? headers : NULL,
		.answer_max = GRAPH_ANSWER_MAX,
		.timeout_us = is_dot(g)                                  ? DOT_TIMEOUT_US
			      : g->step == GRAPH_DELETE || is_tidying(g) ? DELETE_TIMEOUT_US
									 : TIMEOUT_US };

	if (is_dot(g))
		attempt_release(g->c->delivery);
	smtp_transcript_add_request(&g->c->transcript,
		io_now(g->c->o->loop),
		g->method,
		buf_sv(&g->url),
		!g->signed_url,
		g->payload.len);
	g->request = io_https_start(g->c->o->https, &call, on_answer, g);
}

static void take_token(struct graph_session *g, const struct identity_token *t)
{
	if (!t->token) {
		if (g->step == GRAPH_DELETE)
			g->step = GRAPH_OVER;
		else {
			g->of_session = true;
			graph_end(g, &t->verdict, t->reply);
		}
		return;
	}
	secret_free(g->token);
	g->token = secret_new(secret_reveal(t->token));
	g->token_serial = t->serial;
	start(g);
}

static void on_token(void *arg, const struct identity_token *t)
{
	struct graph_session *g = arg;
	bool later = !g->token_asked;

	g->token_request = NULL;
	take_token(g, t);
	/* At once: who asked goes on by himself. */
	if (later)
		connection_pump(g->c);
}

static void ask_token(struct graph_session *g)
{
	struct identity_token_request *request = NULL;

	g->token_asked = true;
	if (identity_token_get(
		    g->c->o->tokens, g->c->conf, g->c->c, TOKEN_LEFT_US, on_token, g, &request))
		g->token_request = request;
	g->token_asked = false;
}

void graph_call(struct graph_session *g)
{
	if (g->signed_url)
		start(g);
	else
		ask_token(g);
}

void graph_call_cancel(struct graph_session *g)
{
	identity_token_cancel(g->token_request);
	g->token_request = NULL;
	io_https_cancel(g->request);
	g->request = NULL;
	secret_free(g->token);
	g->token = NULL;
}
