/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/apps.h"

#include "base/must.h"
#include "sandbox/events.h"
#include "sandbox/jwt.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

void sandbox_texts_deinit(struct sandbox_texts *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->items[i]);
	free(t->items);
	*t = (struct sandbox_texts){ 0 };
}

static void texts_add(struct sandbox_texts *t, const char *text)
{
	t->items = xrealloc(t->items, (t->count + 1) * sizeof(*t->items));
	t->items[t->count++] = sv_dup(sv_from(text));
}

void sandbox_texts_set(struct sandbox_texts *t, const json_t *array)
{
	sandbox_texts_deinit(t);
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *text = json_string_value(json_array_get(array, i));

		if (text)
			texts_add(t, text);
	}
}

bool sandbox_texts_hold(const struct sandbox_texts *t, struct sv text)
{
	for (size_t i = 0; i < t->count; i++) {
		if (sv_eq_nocase(sv_from(t->items[i]), text))
			return true;
	}
	return false;
}

struct sandbox_app *sandbox_apps_find(const struct sandbox_apps *a, struct sv client_id)
{
	for (size_t i = 0; i < a->count; i++) {
		if (sv_eq_nocase(sv_from(a->items[i]->client_id), client_id))
			return a->items[i];
	}
	return NULL;
}

static struct sandbox_app *app_add(struct sandbox_apps *a, const char *client_id)
{
	static const char *const roles[] = {
		"SMTP.SendAsApp", "Mail.Send", "Mail.ReadWrite", "Mail.Read"
	};
	static const char *const scopes[] = {
		"SMTP.Send", "Mail.Send", "Mail.ReadWrite", "Mail.Read", "User.Read"
	};
	struct sandbox_app *app = xcalloc(1, sizeof(*app));

	app->client_id = sv_dup(sv_from(client_id));
	for (size_t i = 0; i < COUNT_OF(roles); i++)
		texts_add(&app->roles, roles[i]);
	for (size_t i = 0; i < COUNT_OF(scopes); i++)
		texts_add(&app->scopes, scopes[i]);
	texts_add(&app->mailboxes, "*");
	a->items = xrealloc(a->items, (a->count + 1) * sizeof(struct sandbox_app *));
	a->items[a->count++] = app;
	return app;
}

void sandbox_apps_init(struct sandbox_apps *a)
{
	*a = (struct sandbox_apps){ 0 };
	app_add(a, SANDBOX_APP_DEFAULT)->secret = sv_dup(SV("sandbox"));
}

static void forget_certificates(struct sandbox_app *app)
{
	for (size_t i = 0; i < app->certificate_count; i++)
		EVP_PKEY_free(app->certificates[i].key);
	app->certificate_count = 0;
}

void sandbox_apps_deinit(struct sandbox_apps *a)
{
	for (size_t i = 0; i < a->count; i++) {
		struct sandbox_app *app = a->items[i];

		forget_certificates(app);
		sandbox_texts_deinit(&app->roles);
		sandbox_texts_deinit(&app->scopes);
		sandbox_texts_deinit(&app->mailboxes);
		free(app->client_id);
		free(app->secret);
		free(app);
	}
	free(a->items);
	*a = (struct sandbox_apps){ 0 };
}

static void thumbprint(const X509 *x, const EVP_MD *md, char out[SANDBOX_THUMBPRINT_MAX])
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SANDBOX_THUMBPRINT_MAX);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	must(X509_digest(x, md, digest, &len) == 1);
	must(sandbox_base64url(&text, sv_make((const char *)digest, len)) == 0);
	(void)snprintf(out, SANDBOX_THUMBPRINT_MAX, "%.*s", SV_ARG(buf_sv(&text)));
}

static int add_certificate(struct sandbox_app *app, const char *pem, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	struct sandbox_app_certificate *c = &app->certificates[app->certificate_count];

	BIO_free(bio);
	if (!x)
		return err_set(err, RC_PARSE, "apps: a certificate is no PEM certificate");
	if (app->certificate_count == SANDBOX_APP_CERTIFICATES_MAX) {
		X509_free(x);
		return err_set(err, RC_LIMIT, "apps: too many certificates");
	}
	c->key = X509_get_pubkey(x);
	thumbprint(x, EVP_sha1(), c->x5t);
	thumbprint(x, EVP_sha256(), c->x5t_s256);
	X509_free(x);
	if (!c->key)
		return err_set(err, RC_PARSE, "apps: a certificate has no key that can be used");
	app->certificate_count++;
	return 0;
}

static void read_flag(const json_t *spec, const char *key, bool inverted, bool *out_value)
{
	const json_t *value = json_object_get(spec, key);

	if (json_is_boolean(value))
		*out_value = json_is_true(value) != inverted;
}

static int apply_one(struct sandbox_apps *a, const json_t *spec, struct err *err)
{
	const char *id = json_string_value(json_object_get(spec, "client_id"));
	const json_t *secret = json_object_get(spec, "secret");
	const json_t *certificates = json_object_get(spec, "certificates");
	struct sandbox_app *app;
	int rc = 0;

	if (!id || !id[0])
		return err_set(err, RC_PARSE, "apps: each needs a \"client_id\"");
	app = sandbox_apps_find(a, sv_from(id));
	if (!app && a->count == SANDBOX_APPS_MAX)
		return err_set(err, RC_LIMIT, "apps: at most %d", SANDBOX_APPS_MAX);
	if (!app)
		app = app_add(a, id);
	if (secret) {
		free(app->secret);
		app->secret =
			json_is_string(secret) ? sv_dup(sv_from(json_string_value(secret))) : NULL;
	}
	if (certificates)
		forget_certificates(app);
	for (size_t i = 0; rc == 0 && i < json_array_size(certificates); i++) {
		const char *pem = json_string_value(json_array_get(certificates, i));

		rc = add_certificate(app, pem ? pem : "", err);
	}
	if (json_object_get(spec, "roles"))
		sandbox_texts_set(&app->roles, json_object_get(spec, "roles"));
	if (json_object_get(spec, "scopes"))
		sandbox_texts_set(&app->scopes, json_object_get(spec, "scopes"));
	if (json_object_get(spec, "mailboxes"))
		sandbox_texts_set(&app->mailboxes, json_object_get(spec, "mailboxes"));
	read_flag(spec, "secret_expired", false, &app->secret_expired);
	read_flag(spec, "disabled", false, &app->disabled);
	read_flag(spec, "consent", true, &app->no_consent);
	read_flag(spec, "public", true, &app->confidential);
	read_flag(spec, "registered", true, &app->unregistered);
	return rc;
}

int sandbox_apps_apply(struct sandbox_apps *a, const json_t *list, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++)
		rc = apply_one(a, json_array_get(list, i), err);
	return rc;
}

json_t *sandbox_texts_json(const struct sandbox_texts *t)
{
	json_t *all = json_array();

	for (size_t i = 0; i < t->count; i++)
		must(json_array_append_new(all, sandbox_json_text(sv_from(t->items[i]))) == 0);
	return all;
}

json_t *sandbox_apps_json(const struct sandbox_apps *a)
{
	json_t *all = json_array();

	for (size_t i = 0; i < a->count; i++) {
		const struct sandbox_app *app = a->items[i];
		json_t *o = json_pack("{s:o, s:b, s:i, s:o, s:o, s:o, s:b, s:b, s:b, s:b, s:b}",
			"client_id",
			sandbox_json_text(sv_from(app->client_id)),
			"has_secret",
			app->secret != NULL,
			"certificate_count",
			(int)app->certificate_count,
			"roles",
			sandbox_texts_json(&app->roles),
			"scopes",
			sandbox_texts_json(&app->scopes),
			"mailboxes",
			sandbox_texts_json(&app->mailboxes),
			"secret_expired",
			app->secret_expired,
			"disabled",
			app->disabled,
			"consent",
			!app->no_consent,
			"public",
			!app->confidential,
			"registered",
			!app->unregistered);

		must(o != NULL && json_array_append_new(all, o) == 0);
	}
	return all;
}
