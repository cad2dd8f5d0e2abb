/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "mail/address.h"
#include "sandbox/entra_priv.h"
#include "sandbox/events.h"
#include "sandbox/jwt.h"

#include <stdio.h>
#include <stdlib.h>

/* Issuing tokens, and checking those that are shown. */

static void count(struct sandbox_entra *e, const struct entra_grant *g)
{
	struct entra_count *c;
	char key[1024];

	(void)snprintf(key,
		sizeof(key),
		"%s %s %.*s %s",
		g->name,
		g->app->client_id,
		SV_ARG(g->user),
		g->scope.audience);
	c = htable_get(&e->counts, sv_from(key));
	if (!c) {
		c = xcalloc(1, sizeof(*c));
		htable_put(&e->counts, sv_from(key), c);
	}
	c->count++;
}

json_t *sandbox_entra_counts(const struct sandbox_entra *e)
{
	json_t *by = json_array();
	uint64_t issued = 0;

	htable_each (&e->counts, slot) {
		const struct entra_count *c = slot->value;
		struct sv rest = sv_make(slot->key, slot->key_len), name, client, user;
		json_t *one = json_object();

		(void)sv_cut_char(&rest, ' ', &name);
		(void)sv_cut_char(&rest, ' ', &client);
		(void)sv_cut_char(&rest, ' ', &user);
		(void)json_object_set_new(one, "grant", sandbox_json_text(name));
		(void)json_object_set_new(one, "client_id", sandbox_json_text(client));
		(void)json_object_set_new(one, "user", sandbox_json_text(user));
		(void)json_object_set_new(one, "resource", sandbox_json_text(rest));
		(void)json_object_set_new(one, "count", json_integer((json_int_t)c->count));
		(void)json_array_append_new(by, one);
		issued += c->count;
	}
	return json_pack("{s:I, s:o}", "issued", (json_int_t)issued, "by", by);
}

static json_t *header_of(const struct sandbox_entra *e, const char *type)
{
	return json_pack("{s:s, s:s, s:s, s:s}",
		"typ",
		type,
		"alg",
		"RS256",
		"kid",
		e->key_id,
		"x5t",
		e->key_id);
}

static json_t *sign(struct sandbox_entra *e, const char *type, json_t *claims)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SANDBOX_JWT_MAX);
	EVP_PKEY *key = entra_key(e);
	json_t *header = header_of(e, type);
	int rc = sandbox_jwt_sign(&text, header, claims, key);

	json_decref(header);
	json_decref(claims);
	return rc == 0 ? sandbox_json_text(buf_sv(&text)) : NULL;
}

static json_t *common_claims(const struct entra_grant *g, uint64_t now_s, uint64_t life_s)
{
	char id[32], oid[40];
	json_t *c = json_object();

	entra_random_text(id, 24);
	entra_guid(g->user.len ? g->user : sv_from(g->app->client_id), oid);
	(void)json_object_set_new(c, "iat", json_integer((json_int_t)now_s));
	(void)json_object_set_new(c, "nbf", json_integer((json_int_t)now_s));
	(void)json_object_set_new(c, "exp", json_integer((json_int_t)now_s + (json_int_t)life_s));
	(void)json_object_set_new(c, "tid", json_string(g->tenant_id));
	(void)json_object_set_new(c, "oid", json_string(oid));
	(void)json_object_set_new(c, "sub", json_string(oid));
	(void)json_object_set_new(c, "uti", json_string(id));
	return c;
}

static json_t *roles_array(struct sv granted)
{
	json_t *roles = json_array();

	while (granted.len) {
		struct sv one;

		(void)sv_cut_char(&granted, ' ', &one);
		(void)json_array_append_new(roles, sandbox_json_text(one));
	}
	return roles;
}

static json_t *access_token(
	struct sandbox_entra *e, const struct entra_grant *g, struct sv granted, uint64_t now_s)
{
	uint64_t life = g->life_s ? g->life_s : e->token_life_s;
	json_t *c = common_claims(g, now_s, life);

	(void)json_object_set_new(c,
		"aud",
		json_string(e->graph_audience ? "https://graph.microsoft.com" : g->scope.audience));
	(void)json_object_set_new(
		c, "iss", json_sprintf("https://sts.windows.net/%s/", g->tenant_id));
	(void)json_object_set_new(c, "appid", json_string(g->app->client_id));
	(void)json_object_set_new(c, "ver", json_string("1.0"));
	(void)json_object_set_new(c, "idtyp", json_string(g->user.len ? "user" : "app"));
	if (g->user.len) {
		(void)json_object_set_new(c, "upn", sandbox_json_text(g->user));
		(void)json_object_set_new(c, "scp", sandbox_json_text(granted));
	} else if (granted.len) {
		(void)json_object_set_new(c, "roles", roles_array(granted));
	}
	return sign(e, "JWT", c);
}

static json_t *refresh_token(struct sandbox_entra *e, const struct entra_grant *g, uint64_t now_s)
{
	json_t *c = common_claims(g, now_s, e->refresh_life_s);

	(void)json_object_set_new(c, "appid", json_string(g->app->client_id));
	(void)json_object_set_new(c, "upn", sandbox_json_text(g->user));
	(void)json_object_set_new(c, "scope", sandbox_json_text(g->scope_text));
	(void)json_object_set_new(c, "gen", json_integer((json_int_t)e->generation));
	return sign(e, "RT", c);
}

static json_t *id_token(
	struct sandbox_entra *e, const struct entra_grant *g, struct sv base, uint64_t now_s)
{
	json_t *c = common_claims(g, now_s, e->token_life_s);

	(void)json_object_set_new(
		c, "iss", json_sprintf("%.*s/%s/v2.0", SV_ARG(base), g->tenant_id));
	(void)json_object_set_new(c, "aud", json_string(g->app->client_id));
	(void)json_object_set_new(c, "ver", json_string("2.0"));
	(void)json_object_set_new(c, "preferred_username", sandbox_json_text(g->user));
	(void)json_object_set_new(c, "name", sandbox_json_text(g->user));
	if (g->nonce.len)
		(void)json_object_set_new(c, "nonce", sandbox_json_text(g->nonce));
	return sign(e, "JWT", c);
}

/* MSAL keeps accounts by this. */
static json_t *client_info(const struct entra_grant *g)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(512);
	char json[256], oid[40];

	entra_guid(g->user, oid);
	(void)snprintf(json, sizeof(json), "{\"uid\":\"%s\",\"utid\":\"%s\"}", oid, g->tenant_id);
	must(sandbox_base64url(&text, sv_from(json)) == 0);
	return sandbox_json_text(buf_sv(&text));
}

/* "SMTP.Send" as "https://outlook.office.com/SMTP.Send". */
static json_t *scope_text(const struct entra_grant *g, struct sv granted)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(8192);
	int rc = 0;

	while (rc == 0 && granted.len) {
		struct sv one;

		(void)sv_cut_char(&granted, ' ', &one);
		rc = buf_printf(
			&text, "%s%s/%.*s", text.len ? " " : "", g->scope.audience, SV_ARG(one));
	}
	return sandbox_json_text(buf_sv(&text));
}

int entra_issue(struct sandbox_entra *e, const struct entra_grant *g, struct sv base,
	uint64_t now_s, json_t **out_answer)
{
	CLEANUP(buf_deinitp) struct buf granted = BUF_INIT(4096);
	uint64_t life = g->life_s ? g->life_s : e->token_life_s;
	json_t *o, *access;
	int rc = entra_scope_grant(
		&g->scope, g->user.len ? &g->app->scopes : &g->app->roles, &granted);

	if (rc != 0)
		return rc;
	(void)entra_key(e); /* its name stands in the header */
	access = access_token(e, g, buf_sv(&granted), now_s);
	if (!access)
		return RC_LIMIT;
	o = json_pack("{s:s, s:I, s:I, s:o}",
		"token_type",
		"Bearer",
		"expires_in",
		(json_int_t)life,
		"ext_expires_in",
		(json_int_t)life,
		"access_token",
		access);
	if (g->user.len) {
		(void)json_object_set_new(o, "scope", scope_text(g, buf_sv(&granted)));
		(void)json_object_set_new(o, "client_info", client_info(g));
		if (g->scope.offline)
			(void)json_object_set_new(o, "refresh_token", refresh_token(e, g, now_s));
		if (g->scope.openid)
			(void)json_object_set_new(o, "id_token", id_token(e, g, base, now_s));
	}
	count(e, g);
	*out_answer = o;
	return 0;
}

int sandbox_entra_mint(struct sandbox_entra *e, const json_t *spec, struct sandbox_instant at,
	json_t **out_answer, struct err *err)
{
	struct sv client = sandbox_jwt_text(spec, "client_id");
	struct sv tenant = sandbox_jwt_text(spec, "tenant");
	struct entra_grant g = {
		.name = "minted",
		.user = sandbox_jwt_text(spec, "user"),
		.scope_text = sandbox_jwt_text(spec, "scope"),
		.life_s = sandbox_jwt_number(spec, "life"),
	};
	const json_t *age = json_object_get(spec, "age");

	g.app = sandbox_apps_find(&e->apps, client.len ? client : SV(SANDBOX_APP_DEFAULT));
	if (!g.app)
		return err_set(err, RC_PARSE, "tokens: no app has this \"client_id\"");
	if (g.scope_text.len == 0)
		g.scope_text = g.user.len
				       ? SV("https://outlook.office.com/SMTP.Send offline_access")
				       : SV("https://outlook.office365.com/.default");
	if (entra_scope_parse(g.scope_text, &g.scope) != 0)
		return err_set(err, RC_PARSE, "tokens: \"scope\" names nothing that exists");
	(void)sandbox_entra_tenant_id(e, tenant, g.tenant_id);
	if (json_is_integer(age))
		at.now_s -= (uint64_t)json_integer_value(age);
	if (entra_issue(e, &g, SV("https://localhost"), at.now_s, out_answer) != 0)
		return err_set(err, RC_LIMIT, "tokens: that token would be too large");
	return 0;
}

/* ---- checking ---- */

static enum sandbox_resource resource_of(struct sv audience)
{
	struct entra_scope s;
	char text[256];

	if (audience.len > 128)
		return SANDBOX_RESOURCE_OTHER;
	(void)snprintf(text, sizeof(text), "%.*s/.default", SV_ARG(audience));
	return entra_scope_parse(sv_from(text), &s) == 0 ? s.resource : SANDBOX_RESOURCE_OTHER;
}

const char sandbox_bearer_expired[] = "it has expired";

const char *sandbox_entra_check(
	struct sandbox_entra *e, struct sv token, uint64_t now_s, struct sandbox_bearer *out_bearer)
{
	const char *why = NULL;
	struct sandbox_jwt j;
	uint64_t expires;

	if (sandbox_jwt_parse(token, &j) != 0)
		return "it is no token of this tenant: not a JWT";
	expires = sandbox_jwt_number(j.claims, "exp");
	if (!sv_eq(sandbox_jwt_text(j.header, "typ"), SV("JWT")))
		why = "it is no access token";
	else if (!sandbox_jwt_verify(&j, entra_key(e)))
		why = "its signature is wrong";
	else if (expires <= now_s)
		why = sandbox_bearer_expired;
	else if (sandbox_jwt_number(j.claims, "nbf") > now_s + 300)
		why = "it is not valid yet";
	if (!why)
		*out_bearer = (struct sandbox_bearer){
			.claims = json_incref(j.claims),
			.resource = resource_of(sandbox_jwt_text(j.claims, "aud")),
			.user = sandbox_jwt_text(j.claims, "upn"),
			.app = sandbox_apps_find(&e->apps, sandbox_jwt_text(j.claims, "appid")),
			.expires_s = expires,
		};
	sandbox_jwt_deinit(&j);
	return why;
}

void sandbox_bearer_deinit(struct sandbox_bearer *b)
{
	json_decref(b->claims);
	*b = (struct sandbox_bearer){ 0 };
}

bool sandbox_bearer_may(const struct sandbox_bearer *b, const char *scope, const char *role)
{
	const json_t *roles = json_object_get(b->claims, "roles");
	struct sv rest = sandbox_jwt_text(b->claims, "scp"), one;

	for (size_t i = 0; !b->user.len && i < json_array_size(roles); i++) {
		const char *text = json_string_value(json_array_get(roles, i));

		if (text && strcmp(text, role) == 0)
			return true;
	}
	while (b->user.len && rest.len) {
		(void)sv_cut_char(&rest, ' ', &one);
		if (sv_eq(one, sv_from(scope)))
			return true;
	}
	return false;
}

static bool is_delegate(const struct sandbox_entra *e, struct sv mailbox, struct sv user)
{
	const char *key;
	json_t *list;

	json_object_foreach(e->delegates, key, list)
	{
		if (!address_eq(sv_from(key), mailbox))
			continue;
		for (size_t i = 0; i < json_array_size(list); i++) {
			const char *pattern = json_string_value(json_array_get(list, i));

			if (pattern && address_matches(sv_from(pattern), user))
				return true;
		}
	}
	return false;
}

bool sandbox_bearer_owns(
	const struct sandbox_entra *e, const struct sandbox_bearer *b, struct sv mailbox)
{
	if (b->user.len)
		return address_eq(b->user, mailbox) || is_delegate(e, mailbox, b->user);
	for (size_t i = 0; b->app && i < b->app->mailboxes.count; i++) {
		if (address_matches(sv_from(b->app->mailboxes.items[i]), mailbox))
			return true;
	}
	return false;
}

const char *sandbox_bearer_smtp(const struct sandbox_entra *e, const struct sandbox_bearer *b,
	struct sv mailbox, const char *scope, const char *role)
{
	if (b->resource == SANDBOX_RESOURCE_GRAPH)
		return "its audience is Microsoft Graph, not Exchange";
	if (b->resource != SANDBOX_RESOURCE_EXCHANGE)
		return "its audience is not Exchange";
	if (!b->app)
		return "its app does not exist any more";
	if (!sandbox_bearer_may(b, scope, role))
		return b->user.len ? "it lacks the delegated permission"
				   : "it lacks the application permission";
	if (!b->user.len && b->app->unregistered)
		return "its service principal is not registered in Exchange";
	if (b->user.len && !sandbox_bearer_owns(e, b, mailbox))
		return "its user is not the mailbox, and has no full access to it";
	return NULL;
}
