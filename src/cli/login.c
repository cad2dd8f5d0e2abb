/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/login_priv.h"

#include "base/must.h"
#include "cli/ask.h"
#include "cli/start.h"
#include "identity/jwt.h"
#include "provider/reply.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"usage: postern login --browser MAILBOX\n"
	"       postern login MAILBOX\n"
	"       postern login --list\n"
	"       postern login --forget MAILBOX\n\n"
	"Signs a person in for a mailbox with `auth: user`. --browser uses a browser: on\n"
	"this machine, or on any other, whose last address is then pasted here. Without it\n"
	"an address and a code are shown, to be typed into any browser (device code); new\n"
	"tenants and Conditional Access often block that. What comes of it, a refresh\n"
	"token, goes into the vault, and the daemon sends what waits.\n\n"
	"  --browser      by a browser (authorization code with PKCE)\n"
	"  --list         who is signed in, since when, and last used when\n"
	"  --forget       take the login out of the vault again\n"
	"  --json         one object a line\n"
	"  --config FILE  default /etc/postern/postern.yaml\n\n"
	"examples:\n"
	"  postern login --browser scan@contoso.com\n"
	"  postern login --list\n";

enum {
	ANSWER_S_MAX = 30,
	/* The browser gets its last page meanwhile. */
	LINGER_MS = 200,
};

/* ---- what both flows need ---- */

void login_post(struct login *l, const char *url, struct secret *body, io_https_fn *done)
{
	const struct io_https_call call = { .method = "POST",
		.url = sv_from(url),
		.ca_file = l->lane->tenant->ca_file,
		.content_type = SV("application/x-www-form-urlencoded"),
		.secret_body = body,
		.answer_max = IDENTITY_OAUTH_ANSWER_MAX,
		.timeout_us = ANSWER_S_MAX * US_PER_S };

	must(io_https_start(l->https, &call, done, l) != NULL);
	secret_free(body);
}

int login_client(struct login *l, struct identity_oauth_client *out_client,
	struct secret **out_assertion, struct err *err)
{
	const struct identity_app_subject self = { 0 };
	int rc;

	*out_client = (struct identity_oauth_client){ .id = l->lane->tenant->app.client_id };
	if (!l->confidential)
		return 0;
	out_client->secret = identity_app_secret(l->app);
	if (out_client->secret)
		return 0;
	rc = identity_app_sign(l->app, sv_from(l->token_url), &self, out_assertion, err);
	out_client->assertion = *out_assertion;
	return rc;
}

bool login_may_present(struct login *l, const struct identity_oauth_refusal *why)
{
	if (l->confidential || strcmp(why->error, "invalid_client") != 0)
		return false;
	l->confidential = identity_app_secret(l->app) || identity_app_has_key(l->app);
	return l->confidential;
}

void login_print_json(json_t *o)
{
	cli_put_json(o);
	(void)fflush(stdout);
}

static void clear_line(struct login *l)
{
	if (!l->ctx->json && isatty(STDERR_FILENO))
		(void)fprintf(stderr, "%s", cli_mark(CLI_MARK_AGAIN));
}

static void on_tick(void *arg)
{
	struct login *l = arg;
	struct mono_time now = io_now(l->loop);
	uint64_t left_s = (mono_span(now, l->deadline) + US_PER_S - 1) / US_PER_S;

	if (!mono_before(now, l->deadline)) {
		login_fail(l, EX_TEMPFAIL, "nobody has signed in in time: run the command again");
		return;
	}
	if (!l->ctx->json && isatty(STDERR_FILENO))
		(void)fprintf(stderr,
			"%swaiting for you to sign in: %llu:%02llu left ",
			cli_mark(CLI_MARK_AGAIN),
			(unsigned long long)(left_s / 60),
			(unsigned long long)(left_s % 60));
	io_timer_start(&l->tick, mono_min(mono_add(now, US_PER_S), l->deadline));
}

void login_count_down(struct login *l)
{
	io_timer_init(&l->tick, l->loop, on_tick, l);
	on_tick(l);
}

static void on_end(void *arg)
{
	struct login *l = arg;

	io_loop_stop(l->loop);
}

static void end(struct login *l, int exit_code)
{
	io_timer_stop(&l->tick);
	io_timer_stop(&l->poll);
	l->exit_code = exit_code;
	io_timer_init(&l->end, l->loop, on_end, l);
	io_timer_start(&l->end, mono_add(io_now(l->loop), LINGER_MS * US_PER_MS));
}

void login_fail(struct login *l, int exit_code, const char *fmt, ...)
{
	char text[2048];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	clear_line(l);
	end(l, cli_fail(exit_code, "%s", text));
}

/* The default of new tenants blocks device codes, and says so in several ways. A fault of the app is none. */
static bool may_be_blocked(const struct login *l, const struct verdict *v)
{
	return !l->by_browser && v->kind != VERDICT_RETRY && v->scope != VERDICT_SCOPE_TENANT;
}

void login_fail_refused(struct login *l, unsigned status, const struct identity_oauth_refusal *why,
	const char *words)
{
	const struct provider_http_answer answer = { .status = status,
		.error = sv_from(why->error),
		.description = sv_from(why->description) };
	const struct verdict v = provider_judge_token(&answer);
	bool blocked = may_be_blocked(l, &v);

	login_fail(l,
		v.kind == VERDICT_RETRY ? EX_TEMPFAIL : EX_NOPERM,
		"%s%s%s%s%.*s",
		why->description,
		why->description[0] ? "\n" : "",
		words ? words : v.summary,
		blocked ? "\nDevice codes are often blocked (security defaults, Conditional "
			  "Access). "
			  "Another way: postern login --browser "
			: "",
		SV_ARG(blocked ? l->lane->name : SV("")));
}

/* ---- success ---- */

/* The name that the service knows the person by; "" when it does not say. */
static void read_claims(const struct login *l, struct identity_jwt_claims *out)
{
	const struct secret *const tokens[] = { l->tokens.id_token, l->tokens.access_token };

	*out = (struct identity_jwt_claims){ 0 };
	for (size_t i = 0; i < COUNT_OF(tokens) && !out->user[0]; i++)
		if (tokens[i])
			(void)!identity_jwt_claims_read(secret_reveal(tokens[i]), out);
}

static int save(struct login *l, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(VAULT_NAME_MAX);
	struct identity_login login = { .refresh_token = l->tokens.refresh_token,
		.confidential = l->confidential,
		.signed_in_at = io_clock_wall(),
		.obtained_at = io_clock_wall() };

	(void)snprintf(login.client_id,
		sizeof(login.client_id),
		"%.*s",
		SV_ARG(l->lane->tenant->app.client_id));
	(void)snprintf(login.scope,
		sizeof(login.scope),
		"%.*s",
		SV_ARG(sv_head(sv_from(l->scope), sizeof(login.scope) - 1)));
	if (identity_login_name(l->lane->tenant, l->user, &name) != 0)
		return err_set(err, RC_LIMIT, "the name of the mailbox is too long for the vault");
	return identity_login_save(l->vault, buf_sv(&name), &login, err);
}

void login_succeed(struct login *l)
{
	struct identity_jwt_claims claims;
	struct err err = { 0 };

	if (!l->tokens.refresh_token) {
		login_fail(l,
			EX_NOPERM,
			"the service gave no refresh token: allow the app offline_access");
		return;
	}
	if (save(l, &err) != 0) {
		login_fail(l, EX_CANTCREAT, "%s", err.text);
		return;
	}
	read_claims(l, &claims);
	clear_line(l);
	if (claims.user[0] && !sv_eq_nocase(sv_from(claims.user), l->user))
		(void)fprintf(stderr,
			"postern: warning: %s has signed in, and the configuration expects %.*s: "
			"sending may be refused. If it is meant so, write `login: %s`.\n",
			claims.user,
			SV_ARG(l->user),
			claims.user);
	if (l->ctx->json)
		login_print_json(json_pack("{s:s%, s:b}",
			"mailbox",
			l->lane->name.ptr,
			l->lane->name.len,
			"signed_in",
			1));
	else
		(void)printf("%s%.*s is signed in%s\n",
			cli_style(l->ctx, "green"),
			SV_ARG(l->lane->name),
			cli_style(l->ctx, "off"));
	end(l, EX_OK);
}

static void no_lines(void *arg, const json_t *line)
{
	(void)arg;
	(void)line;
}

/* A daemon that runs forgets what failed before, and tries what waits. */
static int tell_daemon(struct cli_context *ctx, const struct conf *c, struct sv mailbox)
{
	struct cli_context quiet = *ctx;
	int code;

	if (!cli_daemon_runs(c))
		return EX_OK;
	quiet.json = false;
	code = cli_ask(&quiet,
		json_pack("{s:s, s:s%}", "do", "login", "mailbox", mailbox.ptr, mailbox.len),
		no_lines,
		NULL);
	if (code == EX_OK)
		code = cli_ask(&quiet,
			json_pack("{s:s, s:s, s:s%}",
				"do",
				"edit",
				"kind",
				"retry",
				"mailbox",
				mailbox.ptr,
				mailbox.len),
			no_lines,
			NULL);
	return code;
}

/* ---- the forms of the command ---- */

static const struct conf_lane *find_lane(const struct conf *c, const char *mailbox)
{
	char name[LOGIN_USER_MAX];
	const struct conf_member *member;
	const struct conf_lane *lane;
	size_t len = strlen(mailbox);

	if (len >= sizeof(name)) {
		(void)cli_fail(0, "that is no mailbox");
		return NULL;
	}
	for (size_t i = 0; i <= len; i++)
		name[i] = ascii_lower(mailbox[i]);
	member = conf_member_named(c, sv_from(name));
	if (!member) {
		(void)cli_fail(0, "there is no mailbox '%s' in the configuration", mailbox);
		return NULL;
	}
	lane = conf_person_door(member);
	if (!lane)
		(void)cli_fail(0,
			"%s:%u: mailbox %s does not sign in by a person: write `auth: user` there",
			member->place.file,
			member->place.line,
			mailbox);
	return lane;
}

static int prepare(struct login *l, struct err *err)
{
	const struct conf_tenant *tenant = l->lane->tenant;
	bool google = tenant->cloud == PROVIDER_CLOUD_GOOGLE;
	size_t len;
	int rc;

	identity_oauth_init();
	rc = identity_token_scope(l->lane, l->scope);

	if (rc != 0)
		return err_set(err, rc, "this mailbox has no tenant, or its provider no tokens");
	/* So that the service says who has signed in. */
	len = strlen(l->scope);
	(void)snprintf(l->scope + len,
		sizeof(l->scope) - len,
		"%s",
		google ? " openid email" : " openid profile");
	l->user = identity_login_user(l->lane, l->user_text);
	rc = identity_app_url(tenant, provider_cloud(tenant->cloud)->token_path, l->token_url, err);
	if (rc == 0)
		rc = identity_app_load(tenant, l->vault, &l->app, err);
	/* An installed app of Google has a secret that is none, and must show it. */
	l->confidential = rc == 0 && google && identity_app_secret(l->app);
	if (rc == 0) {
		l->loop = io_loop_new();
		l->resolver = io_resolver_new(l->loop, err);
		rc = l->resolver ? 0 : RC_DNS;
	}
	if (rc == 0) {
		l->https = io_https_new(
			&(struct io_https_options){
				l->loop, l->resolver, conf_general(l->conf)->proxy },
			err);
		rc = l->https ? 0 : RC_CONFIG;
	}
	return rc;
}

static void login_deinit(struct login *l)
{
	login_browser_stop(l);
	identity_oauth_tokens_deinit(&l->tokens);
	identity_oauth_device_deinit(&l->device);
	io_https_free(l->https);
	io_resolver_free(l->resolver);
	io_loop_free(l->loop);
	identity_app_free(l->app);
}

static int sign_in(struct cli_context *ctx, struct conf *c, struct identity_vault *vault,
	const struct conf_lane *lane, bool browser)
{
	struct login l = {
		.ctx = ctx, .conf = c, .lane = lane, .vault = vault, .by_browser = browser
	};
	struct err err = { 0 };

	if (!browser && lane->tenant->cloud == PROVIDER_CLOUD_GOOGLE)
		return cli_fail(EX_USAGE, "Google allows mail only by --browser");
	if (prepare(&l, &err) != 0) {
		login_deinit(&l);
		return cli_fail(EX_CONFIG, "%s", err.text);
	}
	if (browser)
		login_browser_start(&l);
	else
		login_device_start(&l);
	io_loop_run(l.loop);
	login_deinit(&l);
	return l.exit_code == EX_OK ? tell_daemon(ctx, c, lane->name) : l.exit_code;
}

static int forget(struct cli_context *ctx, struct conf *c, struct identity_vault *vault,
	const struct conf_lane *lane)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(VAULT_NAME_MAX);
	char user[LOGIN_USER_MAX];
	struct err err = { 0 };
	int rc = identity_login_name(lane->tenant, identity_login_user(lane, user), &name);

	if (rc == 0)
		rc = identity_vault_remove(vault, buf_sv(&name), &err);
	if (rc == RC_NOT_FOUND)
		return cli_fail(EX_NOUSER, "nobody is signed in for %.*s", SV_ARG(lane->name));
	if (rc != 0)
		return cli_fail(EX_CANTCREAT, "%s", err.text);
	if (!ctx->json)
		(void)printf("the login of %s is forgotten; to end it at the service, too, revoke "
			     "its sessions there\n",
			user);
	return tell_daemon(ctx, c, lane->name);
}

static void print_login(struct cli_context *ctx, const struct conf_lane *lane, const char *user,
	const struct identity_login *login)
{
	char since[WALL_RFC3339_MAX] = "", used[WALL_RFC3339_MAX] = "";

	if (login) {
		(void)wall_rfc3339(login->signed_in_at, since);
		(void)wall_rfc3339(login->obtained_at, used);
	}
	if (!ctx->json) {
		if (login)
			(void)printf("%-32.*s %-32s since %.10s, last used %.10s\n",
				SV_ARG(lane->name),
				user,
				since,
				used);
		else
			(void)printf("%-32.*s %-32s not signed in: postern login --browser %.*s\n",
				SV_ARG(lane->name),
				user,
				SV_ARG(lane->name));
		return;
	}
	login_print_json(json_pack("{s:s%, s:s, s:s%, s:s?, s:s?}",
		"mailbox",
		lane->name.ptr,
		lane->name.len,
		"user",
		user,
		"tenant",
		lane->tenant->name.ptr,
		lane->tenant->name.len,
		"signed_in_at",
		login ? since : NULL,
		"last_used_at",
		login ? used : NULL));
}

static int list(struct cli_context *ctx, const struct conf *c, struct identity_vault *vault)
{
	size_t count;
	const struct conf_lane *lanes = conf_lanes(c, &count);

	for (size_t i = 0; i < count; i++) {
		CLEANUP(buf_deinitp) struct buf name = BUF_INIT(VAULT_NAME_MAX);
		CLEANUP(identity_login_freep) struct identity_login *login = NULL;
		char user[LOGIN_USER_MAX];
		struct err err = { 0 };
		int rc;

		if (conf_person_door(lanes[i].member) != &lanes[i])
			continue;
		rc = identity_login_name(
			lanes[i].tenant, identity_login_user(&lanes[i], user), &name);
		if (rc == 0)
			rc = identity_login_load(vault, buf_sv(&name), &login, &err);
		if (rc != 0 && rc != RC_NOT_FOUND)
			return cli_fail(EX_NOINPUT, "%s", err.text);
		print_login(ctx, &lanes[i], user, login);
	}
	return EX_OK;
}

int cli_login(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = {
		{ "browser", false }, { "list", false }, { "forget", false }, { NULL, false }
	};
	bool chosen[3] = { false, false, false };
	CLEANUP(conf_unrefp) struct conf *c = NULL;
	struct identity_vault *vault = NULL;
	const struct conf_lane *lane = NULL;
	const char *value = NULL;
	struct err err = { 0 };
	int seen, code;

	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0)
		chosen[seen] = true;
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	if (argc - optind != !chosen[1] || chosen[0] + chosen[1] + chosen[2] > 1) {
		(void)fputs(help, stderr);
		return EX_USAGE;
	}
	c = cli_load_conf(ctx);
	if (!c)
		return cli_conf_failed(ctx);
	if (!chosen[1]) {
		lane = find_lane(c, argv[optind]);
		if (!lane)
			return EX_NOUSER;
	}
	code = cli_become_daemon(ctx, c);
	if (code != EX_OK)
		return code;
	if (identity_vault_open(c, true, &vault, &err) != 0)
		return cli_fail(EX_CONFIG, "%s", err.text);
	if (chosen[1])
		code = list(ctx, c, vault);
	else if (chosen[2])
		code = forget(ctx, c, vault, lane);
	else
		code = sign_in(ctx, c, vault, lane, chosen[0]);
	identity_vault_free(vault);
	return code;
}
