/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/entra.h"

#include "base/must.h"
#include "base/text.h"
#include "io/file.h"
#include "sandbox/entra_priv.h"
#include "sandbox/events.h"
#include "sandbox/jwt.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	KEY_BITS = 2048,
	KEY_FILE_MAX = 16384,
	PATH_LEN_MAX = 4096,
	REFRESH_LIFE_S = 90 * 86400,
	DEVICE_LIFE_S = 900,
	DEVICE_INTERVAL_S = 5,
	TOKEN_LIFE_S = 3599,
};

struct sandbox_entra *sandbox_entra_new(struct sv folder)
{
	struct sandbox_entra *e = xcalloc(1, sizeof(*e));

	e->folder = sv_dup(folder);
	e->token_life_s = TOKEN_LIFE_S;
	e->refresh_life_s = REFRESH_LIFE_S;
	e->device_life_s = DEVICE_LIFE_S;
	e->device_interval_s = DEVICE_INTERVAL_S;
	sandbox_apps_init(&e->apps);
	list_init(&e->logins);
	return e;
}

void sandbox_entra_free(struct sandbox_entra *e)
{
	if (!e)
		return;
	entra_logins_free(e);
	sandbox_apps_deinit(&e->apps);
	sandbox_texts_deinit(&e->tenants);
	json_decref(e->delegates);
	htable_deinit(&e->used);
	htable_each (&e->counts, slot)
		free(slot->value);
	htable_deinit(&e->counts);
	EVP_PKEY_free(e->key);
	free(e->auto_user);
	free(e->folder);
	free(e);
}

struct sv sandbox_entra_auto_user(const struct sandbox_entra *e)
{
	return sv_from(e->auto_user);
}

/* ---- the signing key ---- */

static EVP_PKEY *read_key(const char *path)
{
	CLEANUP(buf_deinitp) struct buf pem = BUF_INIT(KEY_FILE_MAX);
	EVP_PKEY *key;
	BIO *bio;

	if (access(path, R_OK) != 0 || io_file_read(path, KEY_FILE_MAX, &pem, NULL) != 0)
		return NULL;
	bio = BIO_new_mem_buf(buf_sv(&pem).ptr, (int)pem.len);
	key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	return key;
}

/* It is used again after a restart, if it could be written; if not, old tokens end with the process. */
static EVP_PKEY *make_key(const char *path)
{
	EVP_PKEY *key = EVP_RSA_gen(KEY_BITS);
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes;
	long len;

	must(key != NULL && bio != NULL);
	must(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
	len = BIO_get_mem_data(bio, &bytes);
	(void)!io_file_write_durably(path, sv_make(bytes, (size_t)len), 0600, NULL);
	BIO_free(bio);
	return key;
}

EVP_PKEY *entra_key(struct sandbox_entra *e)
{
	CLEANUP(buf_deinitp) struct buf id = BUF_INIT(64);
	unsigned char digest[EVP_MAX_MD_SIZE], *der = NULL;
	char path[PATH_LEN_MAX];
	unsigned digest_len = 0;
	int len;

	if (e->key)
		return e->key;
	(void)snprintf(path, sizeof(path), "%s/token.key", e->folder);
	e->key = read_key(path);
	if (!e->key)
		e->key = make_key(path);
	len = i2d_PUBKEY(e->key, &der);
	must(len > 0);
	must(EVP_Digest(der, (size_t)len, digest, &digest_len, EVP_sha256(), NULL) == 1);
	OPENSSL_free(der);
	must(sandbox_base64url(&id, sv_make((const char *)digest, 20)) == 0);
	(void)snprintf(e->key_id, sizeof(e->key_id), "%.*s", SV_ARG(buf_sv(&id)));
	return e->key;
}

static void set_number(json_t *jwk, const char *name, const EVP_PKEY *key, const char *param)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(2048);
	unsigned char bytes[1024];
	BIGNUM *n = NULL;
	int len;

	must(EVP_PKEY_get_bn_param(key, param, &n) == 1 && BN_num_bytes(n) <= (int)sizeof(bytes));
	len = BN_bn2bin(n, bytes);
	BN_free(n);
	must(sandbox_base64url(&text, sv_make((const char *)bytes, (size_t)len)) == 0);
	(void)json_object_set_new(jwk, name, sandbox_json_text(buf_sv(&text)));
}

json_t *sandbox_entra_keys(struct sandbox_entra *e)
{
	const EVP_PKEY *key = entra_key(e);
	json_t *jwk = json_pack("{s:s, s:s, s:s, s:s, s:s}",
		"kty",
		"RSA",
		"use",
		"sig",
		"alg",
		"RS256",
		"kid",
		e->key_id,
		"x5t",
		e->key_id);

	set_number(jwk, "n", key, "n");
	set_number(jwk, "e", key, "e");
	return json_pack("{s:[o]}", "keys", jwk);
}

/* ---- names and numbers ---- */

void entra_random_text(char *out, size_t size)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(512);
	unsigned char bytes[192];

	must(size <= sizeof(bytes) && RAND_bytes(bytes, (int)size) == 1);
	must(sandbox_base64url(&text, sv_make((const char *)bytes, size)) == 0);
	(void)snprintf(out, size, "%.*s", SV_ARG(buf_sv(&text)));
}

void entra_guid(struct sv seed, char out[40])
{
	unsigned long long a = sv_hash(seed, 1), b = sv_hash(seed, 2);

	(void)snprintf(out,
		40,
		"%08llx-%04llx-4%03llx-8%03llx-%012llx",
		a >> 32,
		(a >> 16) & 0xffff,
		a & 0xfff,
		b >> 52,
		b & 0xffffffffffffULL);
}

static bool is_guid(struct sv text)
{
	if (text.len != 36)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = ascii_lower(text.ptr[i]);
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	return true;
}

const char *sandbox_entra_tenant_id(const struct sandbox_entra *e, struct sv tenant, char out[64])
{
	(void)e;
	if (is_guid(tenant))
		(void)snprintf(out, 64, "%.*s", SV_ARG(tenant));
	else
		(void)snprintf(out, 64, "%s", SANDBOX_TENANT_DEFAULT);
	return out;
}

static bool is_any_tenant(struct sv tenant)
{
	return sv_eq(tenant, SV("common")) || sv_eq(tenant, SV("organizations"));
}

int sandbox_entra_tenant_check(struct sandbox_entra *e, const struct sandbox_entra_request *r,
	struct sandbox_entra_answer *out)
{
	if (!is_any_tenant(r->tenant) && !is_guid(r->tenant) && sv_find_char(r->tenant, '.') < 0) {
		entra_error(r,
			out,
			900023,
			"Specified tenant identifier '%.*s' is neither a valid DNS name, nor a "
			"valid external domain.",
			(int)(r->tenant.len < 100 ? r->tenant.len : 100),
			r->tenant.ptr);
		return RC_NOT_FOUND;
	}
	if (e->tenants.count && !is_any_tenant(r->tenant) &&
		!sandbox_texts_hold(&e->tenants, r->tenant)) {
		entra_error(r,
			out,
			90002,
			"Tenant '%.*s' not found. Check to make sure you have the correct tenant "
			"ID and are signing into the correct cloud. Check with your subscription "
			"administrator, this may happen if there are no active subscriptions for "
			"the tenant.",
			(int)(r->tenant.len < 100 ? r->tenant.len : 100),
			r->tenant.ptr);
		return RC_NOT_FOUND;
	}
	return 0;
}

/* ---- settings ---- */

static void read_seconds(const json_t *settings, const char *key, uint64_t *out_s)
{
	const json_t *value = json_object_get(settings, key);

	if (json_is_integer(value) && json_integer_value(value) >= 0)
		*out_s = (uint64_t)json_integer_value(value);
}

int sandbox_entra_apply(struct sandbox_entra *e, const json_t *settings, struct err *err)
{
	const json_t *skew = json_object_get(settings, "clock_skew");
	const json_t *user = json_object_get(settings, "auto_approve");
	json_t *delegates = json_object_get(settings, "delegates");

	read_seconds(settings, "token_life", &e->token_life_s);
	read_seconds(settings, "refresh_life", &e->refresh_life_s);
	read_seconds(settings, "device_life", &e->device_life_s);
	read_seconds(settings, "device_interval", &e->device_interval_s);
	if (json_is_integer(skew))
		e->skew_s = json_integer_value(skew);
	if (user) {
		free(e->auto_user);
		e->auto_user =
			json_is_string(user) ? sv_dup(sv_from(json_string_value(user))) : NULL;
	}
	if (json_object_get(settings, "refresh_once"))
		e->refresh_once = json_is_true(json_object_get(settings, "refresh_once"));
	if (json_object_get(settings, "graph_audience"))
		e->graph_audience = json_is_true(json_object_get(settings, "graph_audience"));
	if (json_is_true(json_object_get(settings, "revoke_sessions")))
		e->generation++;
	if (json_object_get(settings, "tenants"))
		sandbox_texts_set(&e->tenants, json_object_get(settings, "tenants"));
	if (json_is_object(delegates)) {
		json_decref(e->delegates);
		e->delegates = json_deep_copy(delegates);
	}
	return sandbox_apps_apply(&e->apps, json_object_get(settings, "apps"), err);
}

void sandbox_entra_show(const struct sandbox_entra *e, json_t *out)
{
	const struct {
		const char *key;
		json_int_t value;
	} numbers[] = {
		{ "token_life", (json_int_t)e->token_life_s },
		{ "refresh_life", (json_int_t)e->refresh_life_s },
		{ "device_life", (json_int_t)e->device_life_s },
		{ "device_interval", (json_int_t)e->device_interval_s },
		{ "clock_skew", (json_int_t)e->skew_s },
	};

	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		must(json_object_set_new(out, numbers[i].key, json_integer(numbers[i].value)) == 0);
	must(json_object_set_new(out,
		     "auto_approve",
		     e->auto_user ? sandbox_json_text(sv_from(e->auto_user)) : json_null()) == 0);
	must(json_object_set_new(out, "refresh_once", json_boolean(e->refresh_once)) == 0);
	must(json_object_set_new(out, "graph_audience", json_boolean(e->graph_audience)) == 0);
	must(json_object_set_new(out, "tenants", sandbox_texts_json(&e->tenants)) == 0);
	must(json_object_set_new(out,
		     "delegates",
		     e->delegates ? json_deep_copy(e->delegates) : json_object()) == 0);
	must(json_object_set_new(out, "apps", sandbox_apps_json(&e->apps)) == 0);
}

/* ---- errors ---- */

static const struct {
	unsigned number;
	unsigned status;
	const char *name;
} error_rows[] = {
	{ 7000112, 400, "unauthorized_client" },
	{ 7000215, 401, "invalid_client" },
	{ 7000216, 401, "invalid_client" },
	{ 7000218, 401, "invalid_client" },
	{ 7000222, 401, "invalid_client" },
	{ 700016, 400, "unauthorized_client" },
	{ 700021, 401, "invalid_client" },
	{ 700023, 401, "invalid_client" },
	{ 700024, 401, "invalid_client" },
	{ 700027, 401, "invalid_client" },
	{ 50013, 400, "invalid_grant" },
	{ 50027, 401, "invalid_client" },
	{ 700082, 400, "invalid_grant" },
	{ 70000, 400, "invalid_grant" },
	{ 70003, 400, "unsupported_grant_type" },
	{ 70008, 400, "invalid_grant" },
	{ 70011, 400, "invalid_scope" },
	{ 1002012, 400, "invalid_scope" },
	{ 28000, 400, "invalid_request" },
	{ 70016, 400, "authorization_pending" },
	{ 70018, 400, "bad_verification_code" },
	{ 70020, 400, "expired_token" },
	{ 65004, 400, "authorization_declined" },
	{ 65001, 400, "invalid_grant" },
	{ 50011, 400, "invalid_request" },
	{ 50076, 400, "invalid_grant" },
	{ 50079, 400, "invalid_grant" },
	{ 50173, 400, "invalid_grant" },
	{ 53003, 400, "invalid_grant" },
	{ 501481, 400, "invalid_grant" },
	{ 54005, 400, "invalid_grant" },
	{ 90002, 400, "invalid_request" },
	{ 900023, 400, "invalid_request" },
	{ 900144, 400, "invalid_request" },
	{ 9002313, 400, "invalid_request" },
	{ 90033, 503, "temporarily_unavailable" },
	{ 50196, 400, "invalid_grant" },
};

void entra_error_named(const struct sandbox_entra_request *r, struct sandbox_entra_answer *out,
	const char *name, unsigned number, const char *text)
{
	char trace[40], correlation[40], at[WALL_RFC3339_MAX], seed[64], stamp[32], prefix[32] = "";
	struct wall_time now = { (int64_t)(r->at.now_s * US_PER_S) };

	(void)snprintf(seed, sizeof(seed), "%llu", (unsigned long long)r->at.now_s);
	entra_guid(sv_from(seed), trace);
	entra_guid(sv_from(text), correlation);
	(void)wall_rfc3339(now, at);
	(void)snprintf(stamp, sizeof(stamp), "%.10s %.8sZ", at, at + 11);
	if (number)
		(void)snprintf(prefix, sizeof(prefix), "AADSTS%u: ", number);
	json_decref(out->body);
	out->body = json_pack("{s:s, s:o, s:[i], s:s, s:s, s:s, s:o}",
		"error",
		name,
		"error_description",
		json_sprintf("%s%s Trace ID: %s Correlation ID: %s Timestamp: %s",
			prefix,
			text,
			trace,
			correlation,
			stamp),
		"error_codes",
		(int)number,
		"timestamp",
		stamp,
		"trace_id",
		trace,
		"correlation_id",
		correlation,
		"error_uri",
		json_sprintf("%.*s/error?code=%u", SV_ARG(r->base), number));
	(void)snprintf(out->note, sizeof(out->note), "%s%s", prefix, text);
}

/* The OAuth error of a number that has no row above, by its family on Microsoft's page. */
static const char *name_of_family(unsigned number)
{
	unsigned lead = number;

	while (lead >= 1000)
		lead /= 10;
	if (lead / 10 == 50 || lead / 10 == 53 || lead / 10 == 65)
		return "invalid_grant";
	if (lead / 10 == 70 && number >= 700000)
		return "invalid_client";
	return lead / 10 == 70 ? "invalid_grant" : "invalid_request";
}

void entra_error(const struct sandbox_entra_request *r, struct sandbox_entra_answer *out,
	unsigned number, const char *fmt, ...)
{
	const char *name = name_of_family(number);
	char text[600];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	out->status = 400;
	for (size_t i = 0; i < COUNT_OF(error_rows); i++) {
		if (error_rows[i].number == number) {
			out->status = error_rows[i].status;
			name = error_rows[i].name;
		}
	}
	/* What the client sent may stand in the text. */
	entra_error_named(
		r, out, name, number, text_is_utf8(sv_from(text)) ? text : "Bad request.");
}

static bool cut_number(struct sv *text, uint32_t *out_number)
{
	struct sv rest = sv_skip(*text, 6), number;

	if (!sv_starts(*text, SV("AADSTS")) || !sv_cut_char(&rest, ':', &number) ||
		sv_parse_u32(number, 99999999, out_number) != 0)
		return false;
	*text = rest;
	return true;
}

static bool cut_name(struct sv *text, char *out, size_t size)
{
	size_t letters = 0;

	while (letters < text->len &&
		(text->ptr[letters] == '_' ||
			(text->ptr[letters] >= 'a' && text->ptr[letters] <= 'z')))
		letters++;
	if (letters == 0 || letters >= size || letters >= text->len || text->ptr[letters] != ':')
		return false;
	(void)snprintf(out, size, "%.*s", SV_ARG(sv_head(*text, letters)));
	*text = sv_trim(sv_skip(*text, letters + 1));
	return true;
}

void sandbox_entra_refuse(const struct sandbox_entra_request *r, unsigned status, struct sv text,
	struct sandbox_entra_answer *out)
{
	uint32_t number = status >= 500 ? 90033 : 0; /* 0: the very words, without a number */
	char name[64], words[401];
	bool named = cut_name(&text, name, sizeof(name));
	bool numbered = cut_number(&text, &number);

	(void)snprintf(words, sizeof(words), "%.*s", SV_ARG(sv_trim(text)));
	if (!text_is_utf8(sv_from(words)))
		words[0] = '\0';
	if (!named && !numbered && status < 500)
		(void)snprintf(name, sizeof(name), "unknown_error");
	if (named || (!numbered && status < 500))
		entra_error_named(r, out, name, number, words);
	else
		entra_error(r, out, number, "%s", words);
	out->status = status;
}
