/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "mail/address.h"
#include "sandbox/sandbox_priv.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * Microsoft's addresses over HTTPS:
 *
 *   /{tenant}/oauth2/v2.0/token, /devicecode, /authorize     /{tenant}/oauth2/nativeclient
 *   /{tenant}/v2.0/.well-known/openid-configuration          /{tenant}/discovery/v2.0/keys
 *   /common/discovery/instance                               /devicelogin
 */
enum {
	PAGE_MAX = 65536
};

static int append_html(struct buf *out, struct sv text)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '<' || c == '>' || c == '&' || c == '"' || c == '\'')
			rc = buf_printf(out, "&#%d;", c);
		else
			rc = buf_append_char(out, c);
	}
	return rc;
}

static int append_escaped(struct buf *out, struct sv text)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < text.len; i++) {
		char c = text.ptr[i], low = ascii_lower(c);

		if ((low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
			c == '.' || c == '~')
			rc = buf_append_char(out, c);
		else
			rc = buf_printf(out, "%%%02X", (unsigned char)c);
	}
	return rc;
}

static enum MHD_Result send_page(
	struct sandbox_web_request *r, unsigned status, const char *title, struct sv body)
{
	CLEANUP(buf_deinitp) struct buf page = BUF_INIT(2 * PAGE_MAX);
	int rc = buf_printf(&page,
		"<!doctype html>\n<meta charset=utf-8>\n<title>%s</title>\n"
		"<body style=\"font-family:sans-serif;max-width:36em;margin:3em auto\">\n"
		"<h1>%s</h1>\n%.*s\n<p><small>postern sandbox: not Microsoft, and no account is "
		"real here.</small>\n",
		title,
		title,
		SV_ARG(body));

	must(rc == 0);
	return sandbox_web_send(r, status, "text/html; charset=utf-8", buf_sv(&page));
}

/* ---- what comes in ---- */

struct entra_call {
	struct sandbox *s;
	struct sandbox_web_request *r;
	struct sandbox_form form;
	struct sandbox_entra_request request;
	char base[300];
};

static void log_answer(struct sandbox *s, const char *event, const struct sandbox_entra_answer *a)
{
	json_t *o = json_object();

	(void)json_object_set_new(o, "text", sandbox_json_text(sv_from(a->note)));
	if (a->client_id[0])
		(void)json_object_set_new(o, "client_id", sandbox_json_text(sv_from(a->client_id)));
	if (a->user[0])
		(void)json_object_set_new(o, "user", sandbox_json_text(sv_from(a->user)));
	(void)json_object_set_new(o, "status", json_integer(a->status));
	sandbox_events_write(s->events, event, sandbox_now_us(s), o);
}

static enum MHD_Result answer(struct entra_call *c, struct sandbox_entra_answer *a)
{
	log_answer(c->s, a->status == 200 ? "token" : "token-refused", a);
	sandbox_web_header(c->r, "Cache-Control", "no-store");
	return sandbox_web_json(c->r, a->status, a->body);
}

/* True: *out_result is what a fault makes of the request. */
static bool fault_strikes(struct entra_call *c, enum MHD_Result *out_result)
{
	const struct sandbox_fault *fault;
	struct sandbox_entra_answer a = { 0 };
	enum sandbox_strike strike = sandbox_web_strike(c->s,
		c->r,
		SANDBOX_AT_TOKEN,
		sandbox_form_get(&c->form, "client_id"),
		&fault,
		out_result);

	if (strike != SANDBOX_STRIKE_REPLY)
		return strike == SANDBOX_STRIKE_TAKEN;
	sandbox_entra_refuse(&c->request, fault->code, sv_from(fault->text), &a);
	*out_result = answer(c, &a);
	return true;
}

static enum MHD_Result on_token(struct entra_call *c)
{
	struct sandbox_entra_answer a = { 0 };
	enum MHD_Result result = MHD_NO;

	if (fault_strikes(c, &result))
		return result;
	sandbox_entra_token(c->s->entra, &c->request, &a);
	return answer(c, &a);
}

static enum MHD_Result on_device_code(struct entra_call *c)
{
	struct sandbox_entra_answer a = { 0 };
	enum MHD_Result result = MHD_NO;

	if (fault_strikes(c, &result))
		return result;
	sandbox_entra_device_code(c->s->entra, &c->request, &a);
	return answer(c, &a);
}

/* ---- pages ---- */

static int append_hidden(struct buf *out, struct sv name, struct sv value)
{
	int rc = buf_append(out, SV("<input type=hidden name=\""));

	if (rc == 0)
		rc = append_html(out, name);
	if (rc == 0)
		rc = buf_append(out, SV("\" value=\""));
	if (rc == 0)
		rc = append_html(out, value);
	return rc == 0 ? buf_append(out, SV("\">\n")) : rc;
}

/* The client's parameters go along with the form, so that the next request is whole. */
static enum MHD_Result ask_person(struct entra_call *c)
{
	CLEANUP(buf_deinitp) struct buf body = BUF_INIT(PAGE_MAX);
	struct sv hint = sandbox_form_get(&c->form, "login_hint");
	int rc = buf_append(&body, SV("<p>Sign in and allow the app.\n<form method=get>\n"));

	for (size_t i = 0; rc == 0 && i < c->form.count; i++)
		rc = append_hidden(
			&body, sv_from(c->form.fields[i].name), sv_from(c->form.fields[i].value));
	if (rc == 0)
		rc = buf_append(
			&body, SV("<input name=sandbox_user placeholder=you@contoso.com value=\""));
	if (rc == 0)
		rc = append_html(&body, hint);
	if (rc == 0)
		rc = buf_append(&body,
			SV("\">\n<button name=sandbox_answer value=allow>Allow</button>\n"
			   "<button name=sandbox_answer value=decline>Decline</button>\n</form>"));
	if (rc != 0)
		return sandbox_web_error(c->r, MHD_HTTP_BAD_REQUEST, "too many parameters");
	return send_page(c->r, MHD_HTTP_OK, "Sign in", buf_sv(&body));
}

/* response_mode=form_post: the answer goes to the client in a form that posts itself. */
static enum MHD_Result post_back(struct entra_call *c, const char *code)
{
	CLEANUP(buf_deinitp) struct buf body = BUF_INIT(PAGE_MAX);
	int rc = buf_append(&body, SV("<form method=post action=\""));

	if (rc == 0)
		rc = append_html(&body, sandbox_form_get(&c->form, "redirect_uri"));
	if (rc == 0)
		rc = buf_append(&body, SV("\">\n"));
	if (rc == 0 && code)
		rc = append_hidden(&body, SV("code"), sv_from(code));
	if (rc == 0 && !code)
		rc = append_hidden(&body, SV("error"), SV("access_denied"));
	if (rc == 0)
		rc = append_hidden(&body, SV("state"), sandbox_form_get(&c->form, "state"));
	if (rc == 0)
		rc = buf_append(&body,
			SV("<button>Go on</button>\n</form>\n<script>document.forms[0].submit()"
			   "</script>"));
	if (rc != 0)
		return sandbox_web_error(c->r, MHD_HTTP_BAD_REQUEST, "too many parameters");
	return send_page(c->r, MHD_HTTP_OK, "Back to the program", buf_sv(&body));
}

static enum MHD_Result redirect(struct entra_call *c, const char *code)
{
	CLEANUP(buf_deinitp) struct buf to = BUF_INIT(8192);
	struct sv uri = sandbox_form_get(&c->form, "redirect_uri");
	struct sv state = sandbox_form_get(&c->form, "state");
	int rc = buf_append(&to, uri);
	struct MHD_Response *response;
	enum MHD_Result result;

	if (sv_eq(sandbox_form_get(&c->form, "response_mode"), SV("form_post")))
		return post_back(c, code);
	if (rc == 0)
		rc = buf_printf(&to,
			"%c%s%s",
			sv_find_char(uri, '?') >= 0 ? '&' : '?',
			code ? "code=" : "error=access_denied&error_description=AADSTS65004",
			code ? code : "");
	if (rc == 0 && state.len)
		rc = buf_append(&to, SV("&state="));
	if (rc == 0)
		rc = append_escaped(&to, state);
	if (rc == 0)
		rc = buf_append_char(&to, '\0');
	if (rc != 0)
		return sandbox_web_error(c->r, MHD_HTTP_BAD_REQUEST, "the redirect is too long");
	response = MHD_create_response_from_buffer(0, buf_tail(&to), MHD_RESPMEM_PERSISTENT);
	must(response != NULL);
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, buf_sv(&to).ptr);
	result = MHD_queue_response(c->r->connection, MHD_HTTP_FOUND, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result on_authorize(struct entra_call *c)
{
	struct sandbox_entra_answer a = { 0 };
	struct sv user = sandbox_form_get(&c->form, "sandbox_user");
	struct sv said = sandbox_form_get(&c->form, "sandbox_answer");
	struct address parsed;
	char code[512];
	int rc;

	if (sandbox_entra_authorize_check(c->s->entra, &c->request, &a) != 0)
		return answer(c, &a);
	if (sv_eq(said, SV("decline")))
		return redirect(c, NULL);
	if (user.len == 0)
		user = sandbox_entra_auto_user(c->s->entra);
	if (user.len == 0 || address_parse(user, 0, &parsed) != 0)
		return ask_person(c);
	rc = sandbox_entra_authorize(c->s->entra, &c->request, user, code, &a);
	must(rc == 0); /* checked above */
	return redirect(c, code);
}

static enum MHD_Result on_device_login(struct entra_call *c)
{
	static const char form[] = "<p>Type the code that the program shows.\n<form method=post>\n"
				   "<input name=code placeholder=code autofocus>\n"
				   "<input name=user placeholder=you@contoso.com>\n"
				   "<button name=answer value=allow>Allow</button>\n"
				   "<button name=answer value=decline>Decline</button>\n</form>";
	struct sv user = sandbox_form_get(&c->form, "user");
	bool allow = !sv_eq(sandbox_form_get(&c->form, "answer"), SV("decline"));
	struct address parsed;

	if (sv_eq(c->r->method, SV("GET")))
		return send_page(c->r, MHD_HTTP_OK, "Enter code", sv_from(form));
	if (allow && address_parse(user, 0, &parsed) != 0)
		return send_page(c->r,
			MHD_HTTP_BAD_REQUEST,
			"Who are you?",
			SV("<p>That is no address. Go back and type yours."));
	if (sandbox_entra_device_answer(c->s->entra,
		    sv_trim(sandbox_form_get(&c->form, "code")),
		    user,
		    allow,
		    c->request.at.now_s) != 0)
		return send_page(c->r,
			MHD_HTTP_BAD_REQUEST,
			"That code did not work",
			SV("<p>Check the code and try again; it ends after 15 minutes."));
	return send_page(c->r,
		MHD_HTTP_OK,
		allow ? "You have signed in" : "You have declined",
		SV("<p>You may close this window."));
}

/* ---- metadata ---- */

static enum MHD_Result on_configuration(struct entra_call *c)
{
	struct sandbox_entra_answer a = { 0 };
	struct sv tenant = c->request.tenant;
	char id[64];
	int n = (int)tenant.len;
	const char *base = c->base;

	if (sandbox_entra_tenant_check(c->s->entra, &c->request, &a) != 0)
		return answer(c, &a);
	(void)sandbox_entra_tenant_id(c->s->entra, tenant, id);
	return sandbox_web_json(c->r,
		MHD_HTTP_OK,
		json_pack("{s:o, s:o, s:o, s:o, s:o, s:[s, s], s:[s], s:[s], s:[s, s, s, s], s:s}",
			"token_endpoint",
			json_sprintf("%s/%.*s/oauth2/v2.0/token", base, n, tenant.ptr),
			"authorization_endpoint",
			json_sprintf("%s/%.*s/oauth2/v2.0/authorize", base, n, tenant.ptr),
			"device_authorization_endpoint",
			json_sprintf("%s/%.*s/oauth2/v2.0/devicecode", base, n, tenant.ptr),
			"jwks_uri",
			json_sprintf("%s/%.*s/discovery/v2.0/keys", base, n, tenant.ptr),
			"issuer",
			json_sprintf("%s/%s/v2.0", base, id),
			"token_endpoint_auth_methods_supported",
			"client_secret_post",
			"private_key_jwt",
			"response_types_supported",
			"code",
			"id_token_signing_alg_values_supported",
			"RS256",
			"scopes_supported",
			"openid",
			"profile",
			"email",
			"offline_access",
			"cloud_instance_name",
			"microsoftonline.com"));
}

static enum MHD_Result on_instances(struct entra_call *c)
{
	const char *host = c->base + 8;

	return sandbox_web_json(c->r,
		MHD_HTTP_OK,
		json_pack("{s:o, s:s, s:[{s:s, s:s, s:[s]}]}",
			"tenant_discovery_endpoint",
			json_sprintf("%s/common/v2.0/.well-known/openid-configuration", c->base),
			"api-version",
			"1.1",
			"metadata",
			"preferred_network",
			host,
			"preferred_cache",
			host,
			"aliases",
			host));
}

static enum MHD_Result on_keys(struct entra_call *c)
{
	return sandbox_web_json(c->r, MHD_HTTP_OK, sandbox_entra_keys(c->s->entra));
}

/* ---- dispatch ---- */

static const struct {
	const char *method;
	struct sv path; /* behind the tenant */
	enum MHD_Result (*run)(struct entra_call *c);
} paths[] = {
	{ "POST", SV_INIT("oauth2/v2.0/token"), on_token },
	{ "POST", SV_INIT("oauth2/v2.0/devicecode"), on_device_code },
	{ "GET", SV_INIT("oauth2/v2.0/authorize"), on_authorize },
	{ "GET", SV_INIT("v2.0/.well-known/openid-configuration"), on_configuration },
	{ "GET", SV_INIT("discovery/v2.0/keys"), on_keys },
	{ "GET", SV_INIT("discovery/instance"), on_instances },
};

static enum MHD_Result copy_argument(
	void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct sandbox_form *f = cls;

	(void)kind;
	if (f->count == SANDBOX_FORM_FIELDS_MAX)
		return MHD_NO;
	f->fields[f->count].name = sv_dup(sv_from(key));
	f->fields[f->count].value = sv_dup(sv_from(value));
	f->count++;
	return MHD_YES;
}

static int read_call(struct entra_call *c)
{
	struct sv host = sandbox_web_field(c->r, "Host"), path = sv_skip(c->r->path, 1);
	int rc = 0;

	if (sv_eq(c->r->method, SV("GET")))
		(void)MHD_get_connection_values(
			c->r->connection, MHD_GET_ARGUMENT_KIND, copy_argument, &c->form);
	else
		rc = sandbox_form_parse(buf_sv(&c->r->body), &c->form);
	(void)snprintf(c->base,
		sizeof(c->base),
		"https://%.*s",
		host.len && host.len < 256 ? (int)host.len : 9,
		host.len && host.len < 256 ? host.ptr : "localhost");
	(void)sv_cut_char(&path, '/', &c->request.tenant);
	c->request.base = sv_from(c->base);
	c->request.form = &c->form;
	c->request.at = sandbox_instant(c->s);
	return rc;
}

enum MHD_Result sandbox_entra_web(struct sandbox *s, struct sandbox_web_request *r)
{
	struct entra_call c = { .s = s, .r = r };
	enum MHD_Result result;
	struct sv path = sv_skip(r->path, 1), tenant;

	(void)sv_cut_char(&path, '/', &tenant);
	if (read_call(&c) != 0)
		return sandbox_web_error(r, MHD_HTTP_BAD_REQUEST, "the form cannot be read");
	if (sv_eq(r->path, SV("/devicelogin"))) {
		result = on_device_login(&c);
		sandbox_form_deinit(&c.form);
		return result;
	}
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		if (!sv_eq(path, paths[i].path))
			continue;
		result = sv_eq(r->method, sv_from(paths[i].method))
				 ? paths[i].run(&c)
				 : sandbox_web_error(r,
					   MHD_HTTP_METHOD_NOT_ALLOWED,
					   "this address wants another method");
		sandbox_form_deinit(&c.form);
		return result;
	}
	sandbox_form_deinit(&c.form);
	return sandbox_web_error(
		r, MHD_HTTP_NOT_FOUND, "no such address at Microsoft, or not here");
}
