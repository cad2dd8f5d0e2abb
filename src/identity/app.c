/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/app.h"

#include "base/buf.h"
#include "base/must.h"
#include "identity/encode.h"
#include "identity/jwt.h"
#include "identity/secrets.h"
#include "io/file.h"
#include "io/loop.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	FILE_MAX = 262144, /* certificates with their chain, PKCS#12 files: some 10 KB */
	KEY_ID_MAX = 128,
};

struct identity_app {
	struct secret *secret;
	struct identity_jwt_key *key;
	enum conf_jwt form;
	bool is_google;
	char id[256];
	char key_id[KEY_ID_MAX]; /* of a service account's key file */
};

void identity_app_free(struct identity_app *a)
{
	if (!a)
		return;
	secret_free(a->secret);
	identity_jwt_key_free(a->key);
	free(a);
}

const struct secret *identity_app_secret(const struct identity_app *a)
{
	return a->secret;
}

bool identity_app_has_key(const struct identity_app *a)
{
	return a->key != NULL;
}

/* ---- the tenant ---- */

static bool is_domain(struct sv v)
{
	if (v.len == 0 || v.len > LIMIT_DOMAIN || v.ptr[0] == '.' || v.ptr[v.len - 1] == '.' ||
		sv_find_char(v, '.') < 0)
		return false;
	for (size_t i = 0; i < v.len; i++) {
		char c = ascii_lower(v.ptr[i]);

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-'))
			return false;
	}
	return true;
}

static int check_tenant(const struct conf_tenant *tenant, struct err *err)
{
	if (tenant->cloud == PROVIDER_CLOUD_GOOGLE || identity_is_guid(tenant->id) ||
		is_domain(tenant->id))
		return 0;
	return err_set(err,
		RC_CONFIG,
		"tenant %.*s: id '%.*s' is neither a tenant id (a GUID, see Overview in the Entra "
		"admin center) nor a domain of the tenant",
		SV_ARG(sv_head(tenant->name, 40)),
		SV_ARG(sv_head(tenant->id, 40)));
}

int identity_app_url(const struct conf_tenant *tenant, const char *path, char out[IDENTITY_URL_MAX],
	struct err *err)
{
	CLEANUP(buf_deinitp) struct buf url = BUF_INIT(IDENTITY_URL_MAX - 1);
	struct sv rest = sv_from(path), marker = SV("{tenant}");
	ptrdiff_t at = sv_find(rest, marker);
	int rc = check_tenant(tenant, err);

	if (rc != 0)
		return rc;
	if (!sv_starts(rest, SV("https://")))
		rc = buf_append(&url, tenant->login_url);
	if (rc == 0 && at >= 0) {
		rc = buf_append(&url, sv_head(rest, (size_t)at));
		if (rc == 0)
			rc = buf_append(&url, tenant->id);
		rest = sv_skip(rest, (size_t)at + marker.len);
	}
	if (rc == 0)
		rc = buf_append(&url, rest);
	if (rc != 0)
		return err_set(err,
			RC_CONFIG,
			"tenant %.*s: the address of the token service is too long",
			SV_ARG(sv_head(tenant->name, 40)));
	memcpy(out, buf_sv(&url).ptr, url.len);
	out[url.len] = '\0';
	return 0;
}

/* ---- loading ---- */

static int read_file(struct sv path, struct buf *out, struct err *err)
{
	char name[PATH_MAX];
	int n = snprintf(name, sizeof(name), "%.*s", SV_ARG(path));

	if (n < 0 || (size_t)n >= sizeof(name))
		return err_set(err, RC_CONFIG, "the path of a certificate is too long");
	return io_file_read(name, FILE_MAX, out, err);
}

/* Where in the configuration the app stands, in front of a sentence about its files. */
static int place(const struct conf_app *app, struct err *err)
{
	if (app->place.file)
		return err_wrap(err, "%.80s:%u", app->place.file, app->place.line);
	return err ? err->code : RC_CONFIG;
}

static int load_secret(const struct conf_tenant *tenant, struct identity_vault *vault,
	struct identity_app *a, struct err *err)
{
	int rc = identity_secret_load(&tenant->app.secret, vault, &a->secret, NULL, err);

	if (rc != 0 || a->is_google || !identity_is_guid(sv_trim(secret_reveal(a->secret))))
		return rc;
	(void)err_set(err,
		RC_CONFIG,
		"this is the ID of a client secret (a GUID), not the secret: copy the column "
		"'Value', which Entra shows only once, or make a new secret");
	return place(&tenant->app, err);
}

/* The file that Google gives out: JSON with the key inside. */
static int unpack_service_account(struct identity_app *a, struct secret **key, struct err *err)
{
	struct sv text = secret_reveal(*key);
	json_t *root;
	const char *pem, *id;

	if (!sv_starts(text, SV("{")))
		return 0;
	root = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
	pem = json_string_value(json_object_get(root, "private_key"));
	id = json_string_value(json_object_get(root, "private_key_id"));
	if (pem) {
		struct secret *inner = secret_new(sv_from(pem));

		secret_free(*key);
		*key = inner;
		(void)snprintf(a->key_id, sizeof(a->key_id), "%s", id ? id : "");
	}
	json_decref(root);
	if (pem)
		return 0;
	return err_set(err,
		RC_CONFIG,
		"the key file of the service account has no private_key: download it anew");
}

static int load_pem(const struct conf_tenant *tenant, struct identity_vault *vault,
	const struct secret *passphrase, struct identity_app *a, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf certificate = BUF_INIT(FILE_MAX);
	CLEANUP(secret_freep) struct secret *key = NULL;
	int rc = identity_secret_load(&tenant->app.key, vault, &key, NULL, err);

	if (rc != 0)
		return rc;
	if (a->is_google)
		rc = unpack_service_account(a, &key, err);
	else if (tenant->app.certificate.len == 0)
		rc = err_set(err, RC_CONFIG, "the app has a key but no `certificate`");
	else
		rc = read_file(tenant->app.certificate, &certificate, err);
	if (rc == 0)
		rc = identity_jwt_key_pem(
			secret_reveal(key), passphrase, buf_sv(&certificate), &a->key, err);
	return rc == 0 ? 0 : place(&tenant->app, err);
}

static int load_pkcs12(const struct conf_tenant *tenant, const struct secret *passphrase,
	struct identity_app *a, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf bytes = BUF_INIT(FILE_MAX);
	int rc = read_file(tenant->app.pkcs12, &bytes, err);

	if (rc == 0)
		rc = identity_jwt_key_pkcs12(buf_sv(&bytes), passphrase, &a->key, err);
	return rc == 0 ? 0 : place(&tenant->app, err);
}

int identity_app_load(const struct conf_tenant *tenant, struct identity_vault *vault,
	struct identity_app **out_app, struct err *err)
{
	CLEANUP(identity_app_freep) struct identity_app *a = xcalloc(1, sizeof(*a));
	CLEANUP(secret_freep) struct secret *passphrase = NULL;
	const struct conf_app *app = &tenant->app;
	int rc = check_tenant(tenant, err);

	a->is_google = tenant->cloud == PROVIDER_CLOUD_GOOGLE;
	a->form = a->is_google ? CONF_JWT_RS256 : app->jwt;
	if (app->client_id.len == 0 || app->client_id.len >= sizeof(a->id))
		return err_set(err,
			RC_CONFIG,
			"tenant %.*s has no app: write app: { client_id: ..., secret: ... }",
			SV_ARG(sv_head(tenant->name, 60)));
	memcpy(a->id, app->client_id.ptr, app->client_id.len);
	if (rc == 0 && app->secret.kind != CONF_SECRET_NONE)
		rc = load_secret(tenant, vault, a, err);
	if (rc == 0 && app->passphrase.kind != CONF_SECRET_NONE)
		rc = identity_secret_load(&app->passphrase, vault, &passphrase, NULL, err);
	if (rc == 0 && app->pkcs12.len)
		rc = load_pkcs12(tenant, passphrase, a, err);
	else if (rc == 0 && app->key.kind != CONF_SECRET_NONE)
		rc = load_pem(tenant, vault, passphrase, a, err);
	if (rc == 0 && a->key) {
		rc = identity_jwt_key_check(a->key, io_clock_wall(), err);
		if (rc != 0)
			rc = place(app, err);
	}
	if (rc != 0)
		return rc;
	*out_app = TAKE(a);
	return 0;
}

int identity_app_sign(const struct identity_app *a, struct sv token_url,
	const struct identity_app_subject *subject, struct secret **out_assertion, struct err *err)
{
	struct identity_jwt_order order = { .form = a->form,
		.audience = token_url,
		.issuer = sv_from(a->id),
		.subject = subject->user.len ? subject->user : sv_from(a->id),
		.scope = subject->scope,
		.key_id = sv_from(a->key_id),
		.now = io_clock_wall() };

	if (!a->key)
		return err_set(err, RC_CONFIG, "the app has neither a secret nor a key");
	return identity_jwt_sign(a->key, &order, out_assertion, err);
}

int identity_app_check(const struct conf_tenant *tenant, struct identity_vault *vault,
	struct wall_time *out_not_after, struct err *err)
{
	CLEANUP(identity_app_freep) struct identity_app *a = NULL;
	int rc = 0;

	*out_not_after = (struct wall_time){ 0 };
	if (tenant->app.client_id.len)
		rc = identity_app_load(tenant, vault, &a, err);
	if (rc == 0 && a && a->key)
		*out_not_after = identity_jwt_key_not_after(a->key);
	return rc;
}
