/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "mail/address.h"
#include "provider/cloud.h"
#include "setup/import_priv.h"

#include <jansson.h>
#include <stdlib.h>

/*
 * What programs that sign in by OAuth 2.0 leave in their files: sasl-xoauth2 (its configuration and its token
 * files), MSAL's cache, mutt_oauth2 and scripts. The keys are known by their letters, whatever is between them.
 */
enum {
	KEY_MAX = 40,
	DEPTH_MAX = 12,
	TOKEN_MIN = 40, /* a bare word of this length, or longer, is a refresh token */
	VALUE_MAX = 16384,
};

enum key {
	KEY_CLIENT_ID,
	KEY_CLIENT_SECRET,
	KEY_REFRESH_TOKEN,
	KEY_ENDPOINT,
	KEY_CLIENT_CREDENTIALS,
	KEY_EXTERNAL,
	KEY_NONE,
};

static const struct {
	struct sv name;
	enum key key;
} keys[] = {
	{ SV_INIT("clientid"), KEY_CLIENT_ID },
	{ SV_INIT("appid"), KEY_CLIENT_ID },
	{ SV_INIT("clientsecret"), KEY_CLIENT_SECRET },
	{ SV_INIT("refreshtoken"), KEY_REFRESH_TOKEN },
	{ SV_INIT("tokenendpoint"), KEY_ENDPOINT },
	{ SV_INIT("tokenuri"), KEY_ENDPOINT },
	{ SV_INIT("tokenurl"), KEY_ENDPOINT },
	{ SV_INIT("useclientcredentials"), KEY_CLIENT_CREDENTIALS },
	{ SV_INIT("managetokenexternally"), KEY_EXTERNAL },
};

static enum key key_of(struct sv name)
{
	char low[KEY_MAX];
	size_t n = 0;

	for (size_t i = 0; i < name.len && n < sizeof(low); i++) {
		char c = ascii_lower(name.ptr[i]);

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			low[n++] = c;
	}
	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (sv_eq(keys[i].name, sv_make(low, n)))
			return keys[i].key;
	return KEY_NONE;
}

void import_token_deinit(struct import_token *t)
{
	secret_free(t->client_secret);
	secret_free(t->refresh_token);
	*t = (struct import_token){ 0 };
}

static void put_secret(struct secret **to, struct sv value)
{
	secret_free(*to);
	*to = secret_new(value);
}

static bool is_yes(struct sv value)
{
	return sv_eq_nocase(value, SV("yes")) || sv_eq_nocase(value, SV("true")) ||
	       sv_eq(value, SV("1"));
}

static void put(struct setup_import *im, struct import_token *t, enum key key, struct sv value)
{
	if (!value.len || value.len > VALUE_MAX)
		return;
	switch (key) {
	case KEY_CLIENT_ID:
		t->client_id = import_keep(im, value);
		break;
	case KEY_CLIENT_SECRET:
		put_secret(&t->client_secret, value);
		break;
	case KEY_REFRESH_TOKEN:
		put_secret(&t->refresh_token, value);
		break;
	case KEY_ENDPOINT:
		t->token_endpoint = import_keep(im, value);
		break;
	case KEY_CLIENT_CREDENTIALS:
		t->client_credentials = is_yes(value);
		break;
	case KEY_EXTERNAL:
		t->external = is_yes(value);
		break;
	case KEY_NONE:
		break;
	}
}

/* `in`: the object stands under a key of ours, as MSAL's "RefreshToken": { "...": { "secret": ... } }. */
static void walk(
	struct setup_import *im, struct import_token *t, json_t *node, enum key in, unsigned depth)
{
	const char *name;
	json_t *value;

	if (depth > DEPTH_MAX)
		return;
	if (json_is_array(node)) {
		for (size_t i = 0; i < json_array_size(node); i++)
			walk(im, t, json_array_get(node, i), in, depth + 1);
		return;
	}
	json_object_foreach(node, name, value)
	{
		enum key key = key_of(sv_from(name));

		if (in != KEY_NONE && sv_eq_nocase(sv_from(name), SV("secret")))
			key = in;
		if (json_is_string(value))
			put(im,
				t,
				key,
				sv_make(json_string_value(value), json_string_length(value)));
		else if (json_is_boolean(value))
			put(im, t, key, json_is_true(value) ? SV("true") : SV("false"));
		else
			walk(im, t, value, key == KEY_NONE ? in : key, depth + 1);
	}
}

static struct sv unquote(struct sv v)
{
	v = import_trim(v);
	if (v.len && v.ptr[v.len - 1] == ',')
		v = import_trim(sv_head(v, v.len - 1));
	if (v.len >= 2 && (v.ptr[0] == '"' || v.ptr[0] == '\'') && v.ptr[v.len - 1] == v.ptr[0])
		v = sv_make(v.ptr + 1, v.len - 2);
	return v;
}

static void read_lines(struct setup_import *im, struct import_token *t, struct sv text)
{
	struct sv line, bare = SV("");
	size_t lines = 0;

	while (import_line(&text, &line)) {
		struct sv rest = import_trim(line), name;
		size_t at = 0;

		if (!rest.len || rest.ptr[0] == '#')
			continue;
		lines++;
		bare = rest;
		while (at < rest.len && rest.ptr[at] != '=' && rest.ptr[at] != ':')
			at++;
		name = sv_head(rest, at);
		put(im, t, key_of(name), unquote(sv_skip(rest, at + 1)));
	}
	for (size_t i = 0; i < bare.len; i++)
		if ((unsigned char)bare.ptr[i] <= ' ')
			lines = 0;
	if (lines == 1 && bare.len >= TOKEN_MIN && !t->refresh_token)
		put(im, t, KEY_REFRESH_TOKEN, bare);
}

void import_token_read(struct setup_import *im, struct sv text, struct import_token *t)
{
	json_t *root = text.len ? json_loadb(text.ptr, text.len, 0, NULL) : NULL;

	if (json_is_object(root) || json_is_array(root))
		walk(im, t, root, KEY_NONE, 0);
	else
		read_lines(im, t, text);
	json_decref(root);
}

/* ---- what comes of it ---- */

/* "https://login.microsoftonline.com/TENANT/oauth2/v2.0/token": the cloud, and whose it is. */
static bool read_endpoint(struct sv url, struct setup_app *app)
{
	struct sv rest = url, host, tenant;

	if (!sv_starts_nocase(rest, SV("https://")))
		return false;
	rest = sv_skip(rest, SV("https://").len);
	(void)sv_cut_char(&rest, '/', &host);
	(void)sv_cut_char(&rest, '/', &tenant);
	if (sv_ends_nocase(host, SV("google.com")) || sv_ends_nocase(host, SV("googleapis.com"))) {
		app->cloud = SV("google");
		return true;
	}
	for (int i = 0; i < PROVIDER_CLOUD_COUNT; i++) {
		const struct provider_cloud_row *c = provider_cloud((enum provider_cloud)i);

		if (!sv_starts(c->login, SV("https://")) ||
			!sv_eq_nocase(sv_skip(c->login, SV("https://").len), host))
			continue;
		app->cloud = i ? sv_from(c->name) : SV("");
		if (!sv_eq(tenant, SV("common")) && !sv_eq(tenant, SV("organizations")) &&
			!sv_eq(tenant, SV("consumers")))
			app->id = tenant;
		return true;
	}
	return false;
}

static void keep_login(struct setup_import *im, const struct import_token *t,
	const struct import_server *s, struct sv client_id)
{
	struct setup_login *l = &im->logins[im->login_count];
	char lower[LIMIT_ADDRESS];
	size_t n = s->login.len < sizeof(lower) ? s->login.len : sizeof(lower);

	for (size_t i = 0; i < n; i++)
		lower[i] = ascii_lower(s->login.ptr[i]);
	for (size_t i = 0; i < im->login_count; i++)
		if (sv_eq(im->logins[i].user, sv_make(lower, n)) &&
			sv_eq(im->logins[i].tenant, s->tenant))
			return;
	if (im->login_count == COUNT_OF(im->logins)) {
		import_full(im, "logins");
		return;
	}
	im->login_count++;
	*l = (struct setup_login){ .tenant = s->tenant,
		.user = import_keep(im, sv_make(lower, n)),
		.client_id = import_keep(im, client_id),
		.refresh_token = secret_new(secret_reveal(t->refresh_token)),
		.confidential = t->client_secret != NULL };
}

void import_token_use(
	struct setup_import *im, const struct import_token *t, struct import_server *s)
{
	static const struct sv none = SV_INIT("00000000-0000-0000-0000-000000000000");
	struct sv address = s->from.len ? s->from : s->login;
	struct sv domain = sv_skip(address, (size_t)(sv_rfind_char(address, '@') + 1));
	struct setup_app app = { .tenant = domain,
		.client_id = t->client_id.len ? t->client_id : none };
	bool known = !t->token_endpoint.len || read_endpoint(t->token_endpoint, &app);

	if (!app.id.len && !sv_eq(app.cloud, SV("google")))
		app.id = domain;
	if (!known)
		import_note(im,
			SETUP_NOTE_LOST,
			s->at,
			"the token endpoint %.*s is neither Microsoft's nor Google's: write it as "
			"endpoints: login of the tenant",
			SV_ARG(sv_head(t->token_endpoint, 200)));
	if (!t->client_id.len)
		import_note(im,
			SETUP_NOTE_DIFFERENT,
			s->at,
			"the app that signs in for %.*s is not known: write its client_id under "
			"tenants (docs/entra-app.md)",
			SV_ARG(address));
	s->auth = t->client_credentials ? SV("app") : SV("user");
	s->tenant =
		import_app(im, &app, t->client_secret ? secret_reveal(t->client_secret) : SV(""));
	if (t->client_credentials)
		return;
	im->vault = true;
	if (t->refresh_token)
		keep_login(im, t, s, app.client_id);
	else
		import_note(im,
			SETUP_NOTE_DIFFERENT,
			s->at,
			"%.*s signs in with tokens, and its refresh token was not found: run "
			"postern login %.*s once",
			SV_ARG(address),
			SV_ARG(address));
}
