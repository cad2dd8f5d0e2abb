/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "sandbox/entra_priv.h"
#include "sandbox/events.h"
#include "sandbox/jwt.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

/* The grants of the token endpoint. Each checks in Entra's order: client, grant, scope. */

/* One request under way. */
struct call {
	struct sandbox_entra *e;
	const struct sandbox_entra_request *r;
	struct sandbox_entra_answer *out;
	struct sandbox_app *app;
};

static struct sv field(const struct call *c, const char *name)
{
	return sandbox_form_get(c->r->form, name);
}

/* How much of foreign text stands in an error. */
static int shown(struct sv text)
{
	return (int)(text.len < 200 ? text.len : 200);
}

static bool need(struct call *c, const char *name)
{
	if (field(c, name).len)
		return true;
	entra_error(c->r,
		c->out,
		900144,
		"The request body must contain the following parameter: '%s'.",
		name);
	return false;
}

static bool find_app(struct call *c)
{
	struct sv id = field(c, "client_id");

	if (!need(c, "client_id"))
		return false;
	c->app = sandbox_apps_find(&c->e->apps, id);
	(void)snprintf(c->out->client_id, sizeof(c->out->client_id), "%.*s", shown(id), id.ptr);
	if (!c->app)
		entra_error(c->r,
			c->out,
			700016,
			"Application with identifier '%.*s' was not found in the directory "
			"'Contoso'. This can happen if the application has not been installed by "
			"the administrator of the tenant or consented to by any user in the "
			"tenant. You may have sent your authentication request to the wrong "
			"tenant.",
			shown(id),
			id.ptr);
	else if (c->app->disabled)
		entra_error(
			c->r, c->out, 7000112, "Application '%s' is disabled.", c->app->client_id);
	return c->app && !c->app->disabled;
}

/* ---- who the client is ---- */

static bool same(struct sv a, struct sv b)
{
	return a.len == b.len && a.len && CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0;
}

static bool check_secret(struct call *c, struct sv secret)
{
	if (!c->app->secret || !same(sv_from(c->app->secret), secret)) {
		entra_error(c->r,
			c->out,
			7000215,
			"Invalid client secret provided. Ensure the secret being sent in the "
			"request is the client secret value, not the client secret ID, for a "
			"secret added to app '%s'.",
			c->app->client_id);
		return false;
	}
	if (c->app->secret_expired) {
		entra_error(c->r,
			c->out,
			7000222,
			"The provided client secret keys for app '%s' are expired. Visit the "
			"Azure portal to create new keys for your app: "
			"https://aka.ms/NewClientSecret, or consider using certificate "
			"credentials for added security: https://aka.ms/certCreds.",
			c->app->client_id);
		return false;
	}
	return true;
}

static const struct sandbox_app_certificate *find_certificate(
	const struct sandbox_app *app, const json_t *header)
{
	struct sv sha256 = sandbox_jwt_text(header, "x5t#S256");
	struct sv sha1 = sandbox_jwt_text(header, "x5t");

	for (size_t i = 0; i < app->certificate_count; i++) {
		const struct sandbox_app_certificate *k = &app->certificates[i];

		if (sha256.len ? sv_eq(sha256, sv_from(k->x5t_s256)) : sv_eq(sha1, sv_from(k->x5t)))
			return k;
	}
	return NULL;
}

/* The audience is the token endpoint, or the issuer, under any name of the sandbox or of Microsoft. */
static bool right_audience(const struct call *c, struct sv audience)
{
	char tail[160], id[64];
	const char *const paths[] = { "oauth2/v2.0/token", "v2.0", "" };
	struct sv tenants[] = { c->r->tenant,
		sv_from(sandbox_entra_tenant_id(c->e, c->r->tenant, id)) };

	if (!sv_starts(audience, SV("https://")))
		return false;
	for (size_t i = 0; i < COUNT_OF(paths) * COUNT_OF(tenants); i++) {
		(void)snprintf(tail,
			sizeof(tail),
			"/%.*s/%s",
			(int)(tenants[i % 2].len < 100 ? tenants[i % 2].len : 100),
			tenants[i % 2].ptr,
			paths[i / 2]);
		if (sv_ends_nocase(audience, sv_from(tail)))
			return true;
	}
	return false;
}

/* True the first time. */
static bool first_use(struct sandbox_entra *e, struct sv id)
{
	static char present;

	if (htable_get(&e->used, id))
		return false;
	if (e->used.count >= ENTRA_USED_MAX)
		htable_deinit(&e->used);
	htable_put(&e->used, id, &present);
	return true;
}

static bool check_claims(struct call *c, const json_t *claims)
{
	struct sv client = sv_from(c->app->client_id), id = sandbox_jwt_text(claims, "jti");
	uint64_t now = (uint64_t)((int64_t)c->r->at.wall_s + c->e->skew_s);
	uint64_t expires = sandbox_jwt_number(claims, "exp");
	uint64_t begins = sandbox_jwt_number(claims, "nbf");

	if (!sv_eq_nocase(sandbox_jwt_text(claims, "iss"), client) ||
		!sv_eq_nocase(sandbox_jwt_text(claims, "sub"), client))
		entra_error(c->r,
			c->out,
			700021,
			"Client assertion application identifier doesn't match 'client_id' "
			"parameter.");
	else if (!right_audience(c, sandbox_jwt_text(claims, "aud")))
		entra_error(c->r,
			c->out,
			700023,
			"Client assertion audience claim does not match Realm issuer.");
	else if (expires + 300 <= now || begins > now + 300)
		entra_error(c->r,
			c->out,
			700024,
			"Client assertion is not within its valid time range. Current time: %llu, "
			"assertion valid from %llu to %llu.",
			(unsigned long long)now,
			(unsigned long long)begins,
			(unsigned long long)expires);
	else if (id.len == 0)
		entra_error(c->r, c->out, 50027, "JWT token is invalid or malformed: no 'jti'.");
	else if (!first_use(c->e, id))
		entra_error(c->r,
			c->out,
			50013,
			"Assertion failed validation. [Reason - its 'jti' was used before.]");
	else
		return true;
	return false;
}

static bool check_assertion(struct call *c, struct sv text)
{
	const struct sandbox_app_certificate *certificate;
	struct sandbox_jwt j;
	bool ok = false;

	if (!sv_eq(field(c, "client_assertion_type"),
		    SV("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"))) {
		entra_error(c->r,
			c->out,
			900144,
			"The request body must contain the following parameter: "
			"'client_assertion_type'.");
		return false;
	}
	if (sandbox_jwt_parse(text, &j) != 0) {
		entra_error(c->r, c->out, 50027, "JWT token is invalid or malformed.");
		return false;
	}
	certificate = find_certificate(c->app, j.header);
	if (!certificate)
		entra_error(c->r,
			c->out,
			700027,
			"The certificate with identifier used to sign the client assertion is not "
			"registered on application. [Reason - The key was not found., Please "
			"visit the Azure Portal, Graph Explorer or directly use MS Graph to see "
			"configured keys for app Id '%s'.]",
			c->app->client_id);
	else if (!sandbox_jwt_verify(&j, certificate->key))
		entra_error(c->r,
			c->out,
			700027,
			"Client assertion failed signature validation. [Reason - The key was "
			"found, but use of the key to verify the signature failed.]");
	else
		ok = check_claims(c, j.claims);
	sandbox_jwt_deinit(&j);
	return ok;
}

/* `must_prove`: a public client may come without anything. */
static bool check_client(struct call *c, bool must_prove)
{
	struct sv secret = field(c, "client_secret");
	struct sv assertion = field(c, "client_assertion");

	if (assertion.len)
		return check_assertion(c, assertion);
	if (secret.len)
		return check_secret(c, secret);
	if (!must_prove && !c->app->confidential)
		return true;
	if (must_prove)
		entra_error(c->r,
			c->out,
			7000216,
			"'client_assertion', 'client_secret' or 'request' is required for the "
			"'client_credentials' grant type.");
	else
		entra_error(c->r,
			c->out,
			7000218,
			"The request body must contain the following parameter: "
			"'client_assertion' or 'client_secret'.");
	return false;
}

/* ---- scope and answer ---- */

static bool read_scope(struct call *c, struct sv text, struct entra_scope *out_scope)
{
	int rc = entra_scope_parse(text, out_scope);

	if (rc == RC_LIMIT)
		entra_error(c->r,
			c->out,
			28000,
			"Provided value for the input parameter scope is not valid because it "
			"contains more than one resource.");
	else if (rc != 0)
		entra_error(c->r,
			c->out,
			70011,
			"The provided request must include a 'scope' input parameter. The "
			"provided value for the input parameter 'scope' is not valid. The scope "
			"%.*s is not valid.",
			shown(text),
			text.ptr);
	return rc == 0;
}

static void issue(struct call *c, struct entra_grant *g)
{
	json_t *answer;

	g->app = c->app;
	(void)sandbox_entra_tenant_id(c->e, c->r->tenant, g->tenant_id);
	(void)snprintf(c->out->user, sizeof(c->out->user), "%.*s", shown(g->user), g->user.ptr);
	if (entra_issue(c->e, g, c->r->base, c->r->at.now_s, &answer) != 0) {
		entra_error(c->r, c->out, 9002313, "Invalid request. The scope is too large.");
		return;
	}
	c->out->status = 200;
	c->out->body = answer;
	(void)snprintf(c->out->note, sizeof(c->out->note), "%s", g->name);
}

static bool has_consent(struct call *c)
{
	if (!c->app->no_consent)
		return true;
	entra_error(c->r,
		c->out,
		65001,
		"The user or administrator has not consented to use the application with ID '%s' "
		"named 'postern'. Send an interactive authorization request for this user and "
		"resource.",
		c->app->client_id);
	return false;
}

/* ---- the grants ---- */

static void grant_client_credentials(struct call *c)
{
	struct sv scope = field(c, "scope");
	struct entra_grant g = { .name = "client_credentials" };

	if (!check_client(c, true) || !need(c, "scope"))
		return;
	if (!sv_ends_nocase(scope, SV("/.default"))) {
		entra_error(c->r,
			c->out,
			1002012,
			"The provided value for scope %.*s is not valid. Client credential flows "
			"must have a scope value with /.default suffixed to the resource "
			"identifier (application ID URI).",
			shown(scope),
			scope.ptr);
		return;
	}
	if (read_scope(c, scope, &g.scope))
		issue(c, &g);
}

static bool check_refresh(struct call *c, const struct sandbox_jwt *j)
{
	uint64_t made = sandbox_jwt_number(j->claims, "iat");

	if (!sv_eq(sandbox_jwt_text(j->header, "typ"), SV("RT")) ||
		!sandbox_jwt_verify(j, entra_key(c->e)))
		entra_error(
			c->r, c->out, 9002313, "Invalid request. Request is malformed or invalid.");
	else if (!sv_eq_nocase(sandbox_jwt_text(j->claims, "appid"), sv_from(c->app->client_id)))
		entra_error(c->r,
			c->out,
			70000,
			"Provided grant is invalid or malformed: it was issued to another app.");
	else if (made + c->e->refresh_life_s <= c->r->at.now_s)
		entra_error(c->r,
			c->out,
			700082,
			"The refresh token has expired due to inactivity. The token was issued on "
			"%llu and was inactive for %llu.00:00:00.",
			(unsigned long long)made,
			(unsigned long long)c->e->refresh_life_s / 86400);
	else if (sandbox_jwt_number(j->claims, "gen") != c->e->generation ||
		 (!first_use(c->e, sandbox_jwt_text(j->claims, "uti")) && c->e->refresh_once))
		entra_error(c->r,
			c->out,
			50173,
			"The provided grant has expired due to it being revoked, a fresh auth "
			"token is needed. The user might have changed or reset their password.");
	else
		return true;
	return false;
}

static void grant_refresh(struct call *c)
{
	struct sv scope = field(c, "scope");
	struct entra_grant g = { .name = "refresh_token" };
	struct sandbox_jwt j;

	if (!need(c, "refresh_token") || !check_client(c, false))
		return;
	if (sandbox_jwt_parse(field(c, "refresh_token"), &j) != 0) {
		entra_error(
			c->r, c->out, 9002313, "Invalid request. Request is malformed or invalid.");
		return;
	}
	g.user = sandbox_jwt_text(j.claims, "upn");
	g.scope_text = scope.len ? scope : sandbox_jwt_text(j.claims, "scope");
	if (check_refresh(c, &j) && has_consent(c) && read_scope(c, g.scope_text, &g.scope)) {
		g.scope.offline = true;
		issue(c, &g);
	}
	sandbox_jwt_deinit(&j);
}

static bool device_ready(struct call *c, struct entra_login *l)
{
	uint64_t now = c->r->at.now_s;
	uint64_t last = l->asked_s;

	l->asked_s = now;
	if (l->made_s + l->life_s <= now)
		entra_error(c->r,
			c->out,
			70020,
			"The provided value for the input parameter 'device_code' is not valid. "
			"Device code has expired.");
	else if (l->state == ENTRA_LOGIN_DECLINED)
		entra_error(c->r, c->out, 65004, "User declined to consent to access the app.");
	else if (l->state == ENTRA_LOGIN_USED)
		entra_error(c->r, c->out, 54005, "OAuth2 device code was already redeemed.");
	else if (l->state == ENTRA_LOGIN_ALLOWED)
		return true;
	else if (last && now < last + l->interval_s / 2) {
		/* RFC 8628 3.5; Microsoft's table has no such answer, but clients must know it. */
		l->interval_s += 5;
		entra_error_named(c->r,
			c->out,
			"slow_down",
			70016,
			"OAuth 2.0 device flow error. The client polls faster than the interval.");
		c->out->status = 400;
	} else
		entra_error(c->r,
			c->out,
			70016,
			"OAuth 2.0 device flow error. Authorization is pending. Continue "
			"polling.");
	return false;
}

static void grant_device_code(struct call *c)
{
	struct entra_login *l;
	struct entra_grant g = { .name = "device_code" };
	struct sv code = field(c, "device_code");

	if (code.len == 0)
		code = field(c, "code"); /* the first version of the flow; MSAL.NET still does */
	if (code.len == 0 && !need(c, "device_code"))
		return;
	l = entra_login_find(c->e, true, code);
	if (!l || !sv_eq_nocase(sv_from(l->client_id), sv_from(c->app->client_id))) {
		entra_error(c->r,
			c->out,
			70018,
			"Invalid verification code due to User typing in wrong user code for "
			"device code flow.");
		return;
	}
	if (!check_client(c, false) || !device_ready(c, l) || !has_consent(c))
		return;
	g.user = sv_from(l->user);
	g.scope_text = sv_from(l->scope);
	if (!read_scope(c, g.scope_text, &g.scope))
		return;
	l->state = ENTRA_LOGIN_USED;
	issue(c, &g);
}

static bool right_verifier(const struct entra_login *l, struct sv verifier)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(64);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!l->challenge || !l->challenge[0])
		return verifier.len == 0;
	must(EVP_Digest(verifier.ptr, verifier.len, digest, &len, EVP_sha256(), NULL) == 1);
	must(sandbox_base64url(&text, sv_make((const char *)digest, len)) == 0);
	return verifier.len >= 43 && verifier.len <= 128 &&
	       sv_eq(buf_sv(&text), sv_from(l->challenge));
}

static void grant_authorization_code(struct call *c)
{
	struct entra_login *l;
	struct entra_grant g = { .name = "authorization_code" };

	if (!need(c, "code") || !check_client(c, false))
		return;
	l = entra_login_find(c->e, false, field(c, "code"));
	if (!l || !sv_eq_nocase(sv_from(l->client_id), sv_from(c->app->client_id)))
		entra_error(c->r, c->out, 70000, "Provided grant is invalid or malformed.");
	else if (l->state == ENTRA_LOGIN_USED)
		entra_error(c->r,
			c->out,
			54005,
			"OAuth2 Authorization code was already redeemed, please retry with a new "
			"valid code or use an existing refresh token.");
	else if (l->made_s + l->life_s <= c->r->at.now_s)
		entra_error(c->r,
			c->out,
			70008,
			"The provided authorization code or refresh token has expired due to "
			"inactivity. Send a new interactive authorization request for this user "
			"and resource.");
	else if (!sv_eq(field(c, "redirect_uri"), sv_from(l->redirect_uri)))
		entra_error(c->r,
			c->out,
			50011,
			"The redirect URI specified in the request does not match the one of the "
			"authorization request.");
	else if (!right_verifier(l, field(c, "code_verifier")))
		entra_error(c->r,
			c->out,
			501481,
			"The Code_Verifier does not match the code_challenge supplied in the "
			"authorization request.");
	else if (has_consent(c) && read_scope(c, sv_from(l->scope), &g.scope)) {
		l->state = ENTRA_LOGIN_USED;
		g.user = sv_from(l->user);
		g.scope_text = sv_from(l->scope);
		g.nonce = sv_from(l->nonce);
		issue(c, &g);
	}
}

void sandbox_entra_token(struct sandbox_entra *e, const struct sandbox_entra_request *r,
	struct sandbox_entra_answer *out)
{
	static const struct {
		struct sv name;
		void (*run)(struct call *c);
	} grants[] = {
		{ SV_INIT("client_credentials"), grant_client_credentials },
		{ SV_INIT("refresh_token"), grant_refresh },
		{ SV_INIT("urn:ietf:params:oauth:grant-type:device_code"), grant_device_code },
		{ SV_INIT("device_code"), grant_device_code },
		{ SV_INIT("authorization_code"), grant_authorization_code },
	};
	struct call c = { e, r, out, NULL };
	struct sv grant = field(&c, "grant_type");

	*out = (struct sandbox_entra_answer){ .status = 400 };
	if (sandbox_entra_tenant_check(e, r, out) != 0 || !need(&c, "grant_type") || !find_app(&c))
		return;
	for (size_t i = 0; i < COUNT_OF(grants); i++) {
		if (sv_eq(grant, grants[i].name)) {
			grants[i].run(&c);
			return;
		}
	}
	entra_error(r,
		out,
		70003,
		"The app requested an unsupported grant type '%.*s'.",
		shown(grant),
		grant.ptr);
}

/* ---- codes ---- */

void sandbox_entra_device_code(struct sandbox_entra *e, const struct sandbox_entra_request *r,
	struct sandbox_entra_answer *out)
{
	struct call c = { e, r, out, NULL };
	struct entra_login *l;
	struct entra_scope scope;
	struct sv user = sandbox_entra_auto_user(e);

	*out = (struct sandbox_entra_answer){ .status = 400 };
	if (sandbox_entra_tenant_check(e, r, out) != 0 || !find_app(&c) || !need(&c, "scope") ||
		!read_scope(&c, field(&c, "scope"), &scope))
		return;
	l = entra_login_add(e, true);
	l->client_id = sv_dup(sv_from(c.app->client_id));
	l->scope = sv_dup(field(&c, "scope"));
	l->made_s = r->at.now_s;
	l->life_s = e->device_life_s;
	l->interval_s = e->device_interval_s;
	out->status = 200;
	out->body = json_pack("{s:s, s:s, s:o, s:I, s:I, s:o}",
		"user_code",
		l->user_code,
		"device_code",
		l->code,
		"verification_uri",
		json_sprintf("%.*s/devicelogin", SV_ARG(r->base)),
		"expires_in",
		(json_int_t)l->life_s,
		"interval",
		(json_int_t)l->interval_s,
		"message",
		json_sprintf("To sign in, use a web browser to open the page %.*s/devicelogin and "
			     "enter the code %s to authenticate.",
			SV_ARG(r->base),
			l->user_code));
	(void)snprintf(out->note, sizeof(out->note), "device code");
	if (user.len)
		(void)!sandbox_entra_device_answer(
			e, sv_from(l->user_code), user, true, r->at.now_s);
}

/* Only loopback: the sandbox must not be a way to anywhere else. */
static bool loopback_redirect(struct sv uri)
{
	static const struct sv starts[] = {
		SV_INIT("http://localhost"), SV_INIT("http://127.0.0.1"), SV_INIT("http://[::1]")
	};

	for (size_t i = 0; i < COUNT_OF(starts); i++) {
		struct sv rest = sv_skip(uri, starts[i].len);

		if (sv_starts(uri, starts[i]) &&
			(rest.len == 0 || rest.ptr[0] == ':' || rest.ptr[0] == '/'))
			return sv_find_char(uri, '\r') < 0 && sv_find_char(uri, '\n') < 0 &&
			       sv_find_char(uri, '#') < 0;
	}
	return false;
}

int sandbox_entra_authorize_check(struct sandbox_entra *e, const struct sandbox_entra_request *r,
	struct sandbox_entra_answer *out)
{
	struct call c = { e, r, out, NULL };
	struct entra_scope scope;
	struct sv uri = field(&c, "redirect_uri");

	*out = (struct sandbox_entra_answer){ .status = 400 };
	if (sandbox_entra_tenant_check(e, r, out) != 0 || !find_app(&c) || !need(&c, "scope") ||
		!read_scope(&c, field(&c, "scope"), &scope))
		return RC_STATE;
	if (!loopback_redirect(uri)) {
		entra_error(r,
			out,
			50011,
			"The redirect URI '%.*s' specified in the request does not match the "
			"redirect URIs configured for the application '%s'.",
			shown(uri),
			uri.ptr,
			c.app->client_id);
		return RC_STATE;
	}
	if (!sv_eq(field(&c, "response_type"), SV("code")) ||
		(field(&c, "code_challenge").len &&
			!sv_eq(field(&c, "code_challenge_method"), SV("S256")))) {
		entra_error(r,
			out,
			9002313,
			"Invalid request. Only response_type=code, and code_challenge_method=S256, "
			"are known here.");
		return RC_STATE;
	}
	return 0;
}

int sandbox_entra_authorize(struct sandbox_entra *e, const struct sandbox_entra_request *r,
	struct sv user, char out_code[512], struct sandbox_entra_answer *out)
{
	struct entra_login *l;
	int rc = sandbox_entra_authorize_check(e, r, out);

	if (rc != 0)
		return rc;
	l = entra_login_add(e, false);
	l->client_id = sv_dup(sandbox_form_get(r->form, "client_id"));
	l->scope = sv_dup(sandbox_form_get(r->form, "scope"));
	l->redirect_uri = sv_dup(sandbox_form_get(r->form, "redirect_uri"));
	l->challenge = sv_dup(sandbox_form_get(r->form, "code_challenge"));
	l->nonce = sv_dup(sandbox_form_get(r->form, "nonce"));
	l->user = sv_dup(user);
	l->made_s = r->at.now_s;
	l->life_s = ENTRA_CODE_LIFE_S;
	(void)snprintf(out_code, 512, "%s", l->code);
	return 0;
}
