/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"
#include "conf/conf.h"
#include "identity/app.h"
#include "identity/logins.h"
#include "identity/oauth.h"
#include "identity/tokens.h"
#include "io/https.h"
#include "io/stream.h"

#include <jansson.h>

/*
 * login.c          the command: whose login, --list, --forget, and what follows a success
 * login_device.c   a code to be typed into any browser
 * login_browser.c  a browser on this machine
 */
enum {
	LOGIN_PEERS_MAX = 16,
	LOGIN_USER_MAX = IDENTITY_USER_MAX,
};

struct login_peer; /* login_browser.c: a connection of the browser */

struct login {
	struct cli_context *ctx;
	struct conf *conf;
	const struct conf_lane *lane;
	struct sv user;
	char user_text[LOGIN_USER_MAX];
	struct identity_vault *vault;
	struct identity_app *app;
	struct io_loop *loop;
	struct io_resolver *resolver;
	struct io_https *https;
	char token_url[IDENTITY_URL_MAX], scope[IDENTITY_SCOPE_MAX + 64];
	bool confidential; /* the app presents itself, too */
	bool by_browser;
	struct identity_oauth_tokens tokens;
	int exit_code;
	struct io_timer tick, end;
	struct mono_time deadline;

	/* Device code. */
	struct identity_oauth_device device;
	struct io_timer poll;
	uint64_t interval_us;

	/* Browser. */
	char verifier[IDENTITY_OAUTH_VERIFIER_MAX], state[IDENTITY_OAUTH_VERIFIER_MAX];
	char redirect_uri[64];
	struct secret *code;
	struct io_listener *listeners[2];
	struct io_watch *pasted; /* standard input, when that is a terminal */
	struct login_peer *peers[LOGIN_PEERS_MAX];
};

/* A POST of a form to the token service. Takes `body`. */
void login_post(struct login *l, const char *url, struct secret *body, io_https_fn *done);
/* Who asks: the client id, and what the app presents when `confidential`. *out_assertion keeps it. */
NODISCARD int login_client(struct login *l, struct identity_oauth_client *out_client,
	struct secret **out_assertion, struct err *err);
/* The service did not know the app without its secret: true when it can be asked once more, with it. */
NODISCARD bool login_may_present(struct login *l, const struct identity_oauth_refusal *why);
/* Shows what is left until the deadline, each second, on a terminal. */
void login_count_down(struct login *l);
/* Ends the loop; a message before the exit code. */
void login_fail(struct login *l, int exit_code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same with what the token service said, and what it means: `words`, or NULL for those of the catalogue. */
void login_fail_refused(struct login *l, unsigned status, const struct identity_oauth_refusal *why,
	const char *words);
/* l->tokens are there: writes the login down and ends the loop. */
void login_succeed(struct login *l);

/* One line; takes the object. */
void login_print_json(json_t *o);

void login_device_start(struct login *l);
void login_browser_start(struct login *l);
void login_browser_stop(struct login *l);
