/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/must.h"
#include "base/text.h"
#include "cli/login_priv.h"
#include "identity/encode.h"
#include "io/spawn.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * The authorization code flow with PKCE on a loopback address (RFC 8252): the browser runs on this machine,
 * or reaches it through a tunnel.
 */
#define WAIT_US_MAX (10 * US_PER_MIN)
#define GENTLY_US (2 * US_PER_S)

enum {
	REQUEST_MAX = 16384,
	PAGE_MAX = 2048,
};

struct login_peer {
	struct login *login;
	struct io_stream *stream;
};

/* ---- the browser's side ---- */

static void peer_free(struct login_peer *p)
{
	for (size_t i = 0; i < LOGIN_PEERS_MAX; i++)
		if (p->login->peers[i] == p)
			p->login->peers[i] = NULL;
	io_stream_free(p->stream);
	free(p);
}

static void answer(struct login_peer *p, const char *status, const char *words)
{
	CLEANUP(buf_deinitp) struct buf page = BUF_INIT(PAGE_MAX), text = BUF_INIT(2 * PAGE_MAX);
	int rc = buf_printf(&page,
		"<!DOCTYPE html><meta charset=utf-8><title>postern</title>"
		"<body style=\"font-family:sans-serif;margin:4em\"><h1>postern</h1><p>%s</p>\n",
		words);

	if (rc == 0)
		rc = buf_printf(&text,
			"HTTP/1.1 %s\r\nContent-Type: text/html; charset=utf-8\r\n"
			"Content-Length: %zu\r\nCache-Control: no-store\r\nReferrer-Policy: "
			"no-referrer\r\nConnection: close\r\n\r\n",
			status,
			page.len);
	if (rc == 0)
		rc = buf_append(&text, buf_sv(&page));
	if (rc == 0)
		rc = io_stream_write(p->stream, buf_sv(&text));
	if (rc == 0)
		io_stream_close_gently(TAKE(p->stream), GENTLY_US);
	peer_free(p);
}

static void exchange(struct login *l);

static void on_request(struct login_peer *p, struct sv request)
{
	struct login *l = p->login;
	struct identity_oauth_refusal why;
	struct secret *code = NULL;
	int rc = identity_oauth_read_redirect(request, sv_from(l->state), &code, &why);

	if (rc == RC_NOT_FOUND) {
		answer(p, "404 Not Found", "There is nothing here.");
		return;
	}
	if (rc != 0 || l->code) {
		secret_free(code);
		answer(p,
			"400 Bad Request",
			"This is not the answer that postern waits for: begin again at the address "
			"that the command printed.");
		return;
	}
	if (!code) {
		answer(p, "200 OK", "The sign-in was refused; the terminal says why.");
		login_fail_refused(l, 400, &why, NULL);
		return;
	}
	answer(p, "200 OK", "Done: you can close this page. The terminal says how it went.");
	l->code = code;
	exchange(l);
}

static void on_stream(void *arg, enum io_stream_event event)
{
	struct login_peer *p = arg;
	struct sv input;

	switch (event) {
	case IO_STREAM_INPUT:
		input = io_stream_input(p->stream);
		if (sv_find(input, SV("\r\n\r\n")) >= 0)
			on_request(p, input);
		else if (input.len > REQUEST_MAX)
			peer_free(p);
		break;
	case IO_STREAM_EOF:
	case IO_STREAM_FAILED:
		peer_free(p);
		break;
	case IO_STREAM_CONNECTED:
	case IO_STREAM_SECURED:
	case IO_STREAM_DRAINED:
		break;
	}
}

static void on_accept(void *arg, int fd)
{
	struct login *l = arg;
	struct login_peer *p = xcalloc(1, sizeof(*p));

	p->login = l;
	p->stream = io_stream_accepted(l->loop, fd, on_stream, p);
	for (size_t i = 0; i < LOGIN_PEERS_MAX; i++) {
		if (l->peers[i])
			continue;
		l->peers[i] = p;
		return;
	}
	peer_free(p);
}

/* ---- a browser elsewhere ---- */

/* Its last address, which it could not open there: "http://localhost:PORT/?code=...&state=...". */
static void on_pasted(void *arg, unsigned events)
{
	CLEANUP(buf_deinitp) struct buf request = BUF_INIT(REQUEST_MAX + 64);
	struct identity_oauth_refusal why = { 0 };
	struct secret *code = NULL;
	struct login *l = arg;
	char line[REQUEST_MAX];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line));
	struct sv rest = sv_make(line, n > 0 ? (size_t)n : 0), text;
	ptrdiff_t query;

	(void)events;
	if (n <= 0) {
		io_watch_set(l->pasted, 0);
		return;
	}
	(void)sv_cut_char(&rest, '\n', &text);
	query = sv_find_char(text, '?');
	if (query < 0 || l->code ||
		buf_printf(&request,
			"GET /%.*s HTTP/1.1\r\n\r\n",
			SV_ARG(sv_trim(sv_skip(text, (size_t)query)))) != 0 ||
		identity_oauth_read_redirect(buf_sv(&request), sv_from(l->state), &code, &why) !=
			0) {
		(void)fprintf(stderr,
			"\nThat is not the address at which this sign-in ends: it begins with "
			"%s/?\n",
			l->redirect_uri);
	} else if (!code) {
		login_fail_refused(l, 400, &why, NULL);
	} else {
		l->code = code;
		exchange(l);
	}
	secret_wipe(line, sizeof(line));
}

static void watch_terminal(struct login *l)
{
	if (!l->ctx->json && isatty(STDIN_FILENO))
		l->pasted = io_watch_new(l->loop, STDIN_FILENO, IO_READABLE, on_pasted, l);
}

void login_browser_stop(struct login *l)
{
	if (l->pasted)
		io_watch_free(TAKE(l->pasted));
	for (size_t i = 0; i < COUNT_OF(l->listeners); i++)
		if (l->listeners[i])
			io_listener_close(TAKE(l->listeners[i]));
	for (size_t i = 0; i < LOGIN_PEERS_MAX; i++)
		if (l->peers[i])
			peer_free(l->peers[i]);
	secret_free(TAKE(l->code));
	secret_wipe(l->verifier, sizeof(l->verifier));
}

/* ---- the service's side ---- */

static void on_tokens(void *arg, const struct io_https_answer *a)
{
	struct login *l = arg;

	if (a->rc != 0) {
		login_fail(l,
			EX_UNAVAILABLE,
			"the token service did not answer: %.*s",
			SV_ARG(a->error));
		return;
	}
	identity_oauth_read_tokens(a->status, a->body, &l->tokens);
	if (l->tokens.access_token)
		login_succeed(l);
	else if (login_may_present(l, &l->tokens.refusal))
		exchange(l);
	else
		login_fail_refused(l, a->status, &l->tokens.refusal, NULL);
}

static void exchange(struct login *l)
{
	CLEANUP(secret_freep) struct secret *assertion = NULL;
	struct identity_oauth_client client;
	const struct identity_oauth_code code = { .code = l->code,
		.redirect_uri = sv_from(l->redirect_uri),
		.verifier = sv_from(l->verifier),
		.scope = sv_from(l->scope) };
	struct err err = { 0 };

	if (login_client(l, &client, &assertion, &err) != 0)
		login_fail(l, EX_CONFIG, "%s", err.text);
	else
		login_post(l, l->token_url, identity_oauth_code_body(&client, &code), on_tokens);
}

/* ---- beginning ---- */

static int listen_on(struct login *l, size_t which, const char *text, struct err *err)
{
	struct io_address address;

	must(io_address_parse(sv_from(text), &address) == 0);
	l->listeners[which] = io_listener_open(l->loop, &address, 0, on_accept, l, err);
	return l->listeners[which] ? io_listener_port(l->listeners[which]) : -1;
}

/* "localhost" may mean either family to the browser; the second is a courtesy. */
static int open_loopback(struct login *l, struct err *err)
{
	char text[64];
	int port = listen_on(l, 0, "127.0.0.1:0", err);

	if (port < 0)
		return RC_STATE;
	(void)snprintf(text, sizeof(text), "[::1]:%d", port);
	(void)listen_on(l, 1, text, NULL);
	(void)snprintf(l->redirect_uri, sizeof(l->redirect_uri), "http://localhost:%d", port);
	return 0;
}

static int make_url(struct login *l, struct buf *out, struct err *err)
{
	const struct conf_tenant *tenant = l->lane->tenant;
	bool google = tenant->cloud == PROVIDER_CLOUD_GOOGLE;
	char challenge[IDENTITY_OAUTH_VERIFIER_MAX], url[IDENTITY_URL_MAX];
	const struct sv none = { NULL, 0 };
	int rc = identity_app_url(tenant, provider_cloud(tenant->cloud)->authorize_path, url, err);

	if (rc != 0)
		return rc;
	identity_oauth_verifier_new(l->verifier);
	identity_oauth_verifier_new(l->state);
	identity_oauth_challenge(sv_from(l->verifier), challenge);
	const struct identity_pair pairs[] = { { "client_id", tenant->app.client_id },
		{ "response_type", SV("code") },
		{ "redirect_uri", sv_from(l->redirect_uri) },
		{ "response_mode", google ? none : SV("query") },
		{ "scope", sv_from(l->scope) },
		{ "state", sv_from(l->state) },
		{ "code_challenge", sv_from(challenge) },
		{ "code_challenge_method", SV("S256") },
		{ "login_hint", l->user },
		/* Google gives a refresh token only so. */
		{ "access_type", google ? SV("offline") : none },
		{ "prompt", google ? SV("consent") : none } };

	if (identity_form_url(out, sv_from(url), pairs, COUNT_OF(pairs)) != 0 ||
		buf_append_char(out, '\0') != 0)
		return err_set(err, RC_LIMIT, "the sign-in address is too long");
	return 0;
}

/* Only where there is somebody to look at it. */
static void open_browser(const char *url)
{
	char program[] = "xdg-open", address[8192];
	char *argv[] = { program, address, NULL };
	const struct io_spawn what = { .words = argv,
		.search = true,
		.foreground = true,
		.in = IO_SPAWN_SAME,
		.out = IO_SPAWN_SAME,
		.err = IO_SPAWN_SAME };
	pid_t pid;

	if (!getenv("DISPLAY") && !getenv("WAYLAND_DISPLAY"))
		return;
	(void)snprintf(address, sizeof(address), "%s", url);
	/* It stays as long as it likes: whoever ends us inherits it. */
	(void)!io_spawn_start(&what, &pid);
}

void login_browser_start(struct login *l)
{
	CLEANUP(buf_deinitp) struct buf url = BUF_INIT(8192);
	struct err err = { 0 };

	if (open_loopback(l, &err) != 0 || make_url(l, &url, &err) != 0) {
		login_fail(l, EX_UNAVAILABLE, "%s", err.text);
		return;
	}
	if (l->ctx->json)
		login_print_json(json_pack("{s:s}", "url", buf_sv(&url).ptr));
	else
		(void)printf("Open this address in a browser, and sign in as %.*s:\n\n  %s\n\n"
			     "On this machine the rest happens by itself. A browser elsewhere ends "
			     "at an "
			     "address that it cannot\nopen, %s/?code=...: paste that one here.\n\n",
			SV_ARG(l->user),
			buf_sv(&url).ptr,
			l->redirect_uri);
	(void)fflush(stdout);
	watch_terminal(l);
	open_browser(buf_sv(&url).ptr);
	l->deadline = mono_add(io_now(l->loop), WAIT_US_MAX);
	login_count_down(l);
}
