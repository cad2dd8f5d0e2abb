/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/oauth.h"

#include "base/err.h"
#include "base/must.h"
#include "base/text.h"
#include "base/time.h"
#include "identity/encode.h"
#include "io/loop.h"

#include <jansson.h>
#include <malloc.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>

/*
 * expires_in is honoured within these bounds. A life of nothing would ask again and again; Entra's longest
 * lives (continuous access evaluation) are 28 hours. An answer that does not say gets a short one.
 */
#define LIFE_US_MIN (2 * US_PER_S)
#define LIFE_US_MAX (28 * US_PER_HOUR)
#define LIFE_US_UNSAID (10 * US_PER_MIN)

/* RFC 8628 3.2: five seconds unless the service says otherwise. */
#define INTERVAL_US_USUAL (5 * US_PER_S)
#define INTERVAL_US_MAX (5 * US_PER_MIN)
#define DEVICE_US_USUAL (15 * US_PER_MIN)
#define DEVICE_US_MAX (2 * US_PER_HOUR)

enum {
	/* Longer words of a description are taken for a secret that the service sends back. A GUID has 36. */
	WORD_MAX = 36,
	WORDS_MAX = 4096, /* looked at of a description */
	REPEATED_MIN = 4, /* shorter secrets stand in any text */
	VERIFIER_BYTES = 32,
};

/* ---- bodies ---- */

static struct sv reveal(const struct secret *s)
{
	return s ? secret_reveal(s) : sv_make(NULL, 0);
}

/* `pairs` ends with the three that say who asks. */
#define CLIENT_PAIRS(c)                                                                        \
	{ "client_id", (c)->id }, { "client_secret", reveal((c)->secret) },                    \
		{ "client_assertion_type",                                                     \
			(c)->assertion ? SV("urn:ietf:params:oauth:client-assertion-type:jwt-" \
					    "bearer")                                          \
				       : sv_make(NULL, 0) },                                   \
	{                                                                                      \
		"client_assertion", reveal((c)->assertion)                                     \
	}

struct secret *identity_oauth_app_body(const struct identity_oauth_client *client, struct sv scope)
{
	const struct identity_pair pairs[] = {
		{ "grant_type", SV("client_credentials") }, { "scope", scope }, CLIENT_PAIRS(client)
	};

	return identity_form(pairs, COUNT_OF(pairs));
}

struct secret *identity_oauth_service_body(const struct secret *assertion)
{
	const struct identity_pair pairs[] = {
		{ "grant_type", SV("urn:ietf:params:oauth:grant-type:jwt-bearer") },
		{ "assertion", reveal(assertion) }
	};

	return identity_form(pairs, COUNT_OF(pairs));
}

struct secret *identity_oauth_refresh_body(const struct identity_oauth_client *client,
	const struct secret *refresh_token, struct sv scope)
{
	const struct identity_pair pairs[] = { { "grant_type", SV("refresh_token") },
		{ "refresh_token", reveal(refresh_token) },
		{ "scope", scope },
		CLIENT_PAIRS(client) };

	return identity_form(pairs, COUNT_OF(pairs));
}

struct secret *identity_oauth_device_body(
	const struct identity_oauth_client *client, struct sv scope)
{
	const struct identity_pair pairs[] = { { "scope", scope }, CLIENT_PAIRS(client) };

	return identity_form(pairs, COUNT_OF(pairs));
}

struct secret *identity_oauth_poll_body(
	const struct identity_oauth_client *client, const struct secret *device_code)
{
	const struct identity_pair pairs[] = {
		{ "grant_type", SV("urn:ietf:params:oauth:grant-type:device_code") },
		{ "device_code", reveal(device_code) },
		CLIENT_PAIRS(client)
	};

	return identity_form(pairs, COUNT_OF(pairs));
}

struct secret *identity_oauth_code_body(
	const struct identity_oauth_client *client, const struct identity_oauth_code *code)
{
	const struct identity_pair pairs[] = { { "grant_type", SV("authorization_code") },
		{ "code", reveal(code->code) },
		{ "redirect_uri", code->redirect_uri },
		{ "code_verifier", code->verifier },
		{ "scope", code->scope },
		CLIENT_PAIRS(client) };

	return identity_form(pairs, COUNT_OF(pairs));
}

static void encode_into(char out[IDENTITY_OAUTH_VERIFIER_MAX], const unsigned char *bytes)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(IDENTITY_OAUTH_VERIFIER_MAX);

	must(identity_base64url_encode(&text, sv_make((const char *)bytes, VERIFIER_BYTES)) == 0);
	must(text.len == IDENTITY_OAUTH_VERIFIER_MAX - 1);
	memcpy(out, buf_sv(&text).ptr, text.len);
	out[text.len] = '\0';
	secret_wipe(buf_tail(&text) - text.len, text.len);
}

void identity_oauth_verifier_new(char out[IDENTITY_OAUTH_VERIFIER_MAX])
{
	unsigned char bytes[VERIFIER_BYTES];

	io_random(bytes, sizeof(bytes));
	encode_into(out, bytes);
	secret_wipe(bytes, sizeof(bytes));
}

void identity_oauth_challenge(struct sv verifier, char out[IDENTITY_OAUTH_VERIFIER_MAX])
{
	unsigned char digest[VERIFIER_BYTES];

	must(EVP_Digest(verifier.ptr, verifier.len, digest, NULL, EVP_sha256(), NULL) == 1);
	encode_into(out, digest);
}

/* ---- answers ---- */

static void wiping_free(void *ptr)
{
	if (!ptr)
		return;
	secret_wipe(ptr, malloc_usable_size(ptr));
	free(ptr);
}

void identity_oauth_init(void)
{
	json_set_alloc_funcs(xmalloc, wiping_free);
}

/* An object, or NULL. */
static json_t *parse(struct sv body)
{
	json_t *root;

	if (body.len > IDENTITY_OAUTH_ANSWER_MAX)
		return NULL;
	root = json_loadb(body.ptr ? body.ptr : "", body.len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(root))
		return root;
	json_decref(root);
	return NULL;
}

static struct sv text_of(const json_t *root, const char *key)
{
	const json_t *value = json_object_get(root, key);

	if (!json_is_string(value))
		return sv_make(NULL, 0);
	return sv_make(json_string_value(value), json_string_length(value));
}

/* Seconds as a number or as digits in a string; `unsaid` when there are none. Bounded both ways. */
static uint64_t span_of(
	const json_t *root, const char *key, uint64_t unsaid, uint64_t min, uint64_t max)
{
	const json_t *value = json_object_get(root, key);
	double seconds;
	uint64_t whole, us = unsaid;

	if (json_is_number(value)) {
		seconds = json_number_value(value);
		if (isfinite(seconds) && seconds > 0)
			us = seconds > 1e9 ? UINT64_MAX : (uint64_t)(seconds * 1e6);
		else
			us = 0;
	} else if (json_is_string(value)) {
		int rc = sv_parse_u64(text_of(root, key), UINT32_MAX, &whole);

		us = rc == 0 ? whole * US_PER_S : rc == RC_LIMIT ? UINT64_MAX : 0;
	}
	if (us < min)
		return min;
	return us > max ? max : us;
}

static bool is_visible(struct sv v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.ptr[i] <= ' ' || v.ptr[i] >= 0x7f)
			return false;
	return v.len > 0;
}

/* A token goes into headers and AUTH lines: visible ASCII only. NULL: none, or not fit. */
static struct secret *token_of(const json_t *root, const char *key, size_t max)
{
	struct sv text = text_of(root, key);

	return text.len <= max && is_visible(text) ? secret_new(text) : NULL;
}

static bool in_word(char c)
{
	return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') ||
	       strchr("-_.~+=", c);
}

static size_t word_len(struct sv v)
{
	size_t n = 0;

	while (n < v.len && v.ptr[n] && in_word(v.ptr[n]))
		n++;
	return n;
}

/* What might be a secret is left out. */
static void copy_masked(struct sv from, char *out, size_t size)
{
	CLEANUP(buf_deinitp) struct buf masked = BUF_INIT(WORDS_MAX);

	while (from.len) {
		size_t n = word_len(from);
		struct sv word = sv_head(from, n ? n : 1);

		if (buf_append(&masked, n > WORD_MAX ? SV("[...]") : word) != 0)
			break;
		from = sv_skip(from, word.len);
	}
	(void)text_line(buf_sv(&masked), out, size);
}

static void read_refusal(const json_t *root, unsigned status, struct identity_oauth_refusal *out)
{
	struct sv text = text_of(root, "error_description");

	*out = (struct identity_oauth_refusal){ 0 };
	copy_masked(text_of(root, "error"), out->error, sizeof(out->error));
	copy_masked(text, out->description, sizeof(out->description));
	if (!out->description[0] && out->error[0])
		(void)snprintf(out->description,
			sizeof(out->description),
			"the token service says %s (HTTP %u)",
			out->error,
			status);
	if (!out->description[0])
		(void)snprintf(out->description,
			sizeof(out->description),
			"the token service gave an answer that is none (HTTP %u)",
			status);
}

static bool is_public(struct sv name)
{
	static const struct sv names[] = {
		SV_INIT("grant_type"),
		SV_INIT("client_id"),
		SV_INIT("client_assertion_type"),
		SV_INIT("scope"),
		SV_INIT("redirect_uri"),
		SV_INIT("requested_token_use"),
	};

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (sv_eq(name, names[i]))
			return true;
	return false;
}

static bool holds(struct sv body, struct sv text, struct sv value)
{
	struct buf plain = BUF_INIT(IDENTITY_OAUTH_ANSWER_MAX);
	bool found;

	if (value.len < REPEATED_MIN)
		return false;
	must(buf_reserve(&plain, value.len) == 0);
	found = sv_find(body, value) >= 0 || sv_find(text, value) >= 0 ||
		(identity_form_decode(&plain, value) == 0 && sv_find(text, buf_sv(&plain)) >= 0);
	if (plain.ptr)
		secret_wipe(plain.ptr, plain.cap);
	buf_deinit(&plain);
	return found;
}

bool identity_oauth_repeats(struct sv body, const struct secret *sent)
{
	struct sv form = sent ? secret_reveal(sent) : SV(""), pair, name;
	json_t *root = parse(body);
	struct sv text = text_of(root, "error_description");
	bool found = false;

	while (form.len && !found) {
		(void)sv_cut_char(&form, '&', &pair);
		if (sv_cut_char(&pair, '=', &name) && !is_public(name))
			found = holds(body, text, pair);
	}
	json_decref(root);
	return found;
}

void identity_oauth_tokens_deinit(struct identity_oauth_tokens *t)
{
	secret_free(TAKE(t->access_token));
	secret_free(TAKE(t->refresh_token));
	secret_free(TAKE(t->id_token));
}

void identity_oauth_read_tokens(unsigned status, struct sv body, struct identity_oauth_tokens *out)
{
	json_t *root = parse(body);
	struct sv type = text_of(root, "token_type");

	*out = (struct identity_oauth_tokens){ 0 };
	if (status == 200 && (type.len == 0 || sv_eq_nocase(type, SV("Bearer"))))
		out->access_token = token_of(root, "access_token", IDENTITY_OAUTH_TOKEN_MAX);
	if (out->access_token) {
		out->refresh_token = token_of(root, "refresh_token", IDENTITY_OAUTH_ANSWER_MAX / 2);
		out->id_token = token_of(root, "id_token", IDENTITY_OAUTH_ANSWER_MAX);
		out->life_us =
			span_of(root, "expires_in", LIFE_US_UNSAID, LIFE_US_MIN, LIFE_US_MAX);
	} else {
		read_refusal(root, status, &out->refusal);
	}
	json_decref(root);
}

void identity_oauth_device_deinit(struct identity_oauth_device *d)
{
	secret_free(TAKE(d->device_code));
}

void identity_oauth_read_device(unsigned status, struct sv body, struct identity_oauth_device *out)
{
	json_t *root = parse(body);
	struct sv address = text_of(root, "verification_uri");
	struct sv code = text_of(root, "user_code");

	*out = (struct identity_oauth_device){ 0 };
	if (address.len == 0)
		address = text_of(root, "verification_url"); /* Google's word */
	if (status == 200 && is_visible(address) && address.len < sizeof(out->address) &&
		is_visible(code) && code.len < sizeof(out->user_code))
		out->device_code = token_of(root, "device_code", IDENTITY_OAUTH_TOKEN_MAX);
	if (out->device_code) {
		memcpy(out->address, address.ptr, address.len);
		memcpy(out->user_code, code.ptr, code.len);
		(void)text_line(text_of(root, "message"), out->message, sizeof(out->message));
		out->life_us =
			span_of(root, "expires_in", DEVICE_US_USUAL, US_PER_MIN, DEVICE_US_MAX);
		out->interval_us =
			span_of(root, "interval", INTERVAL_US_USUAL, US_PER_S, INTERVAL_US_MAX);
	} else {
		read_refusal(root, status, &out->refusal);
	}
	json_decref(root);
}

/* ---- the browser ---- */

/* The value of `name` in a query, decoded; false when absent or not fit. */
static bool query_value(struct sv query, struct sv name, struct buf *out)
{
	struct sv pair, key;
	bool more = true;

	while (more) {
		more = sv_cut_char(&query, '&', &pair);
		if (!sv_cut_char(&pair, '=', &key) || !sv_eq(key, name))
			continue;
		return identity_form_decode(out, pair) == 0;
	}
	return false;
}

int identity_oauth_read_redirect(struct sv request, struct sv state, struct secret **out_code,
	struct identity_oauth_refusal *out_refusal)
{
	CLEANUP(buf_deinitp) struct buf code = BUF_INIT(IDENTITY_OAUTH_TOKEN_MAX);
	CLEANUP(buf_deinitp) struct buf theirs = BUF_INIT(256), error = BUF_INIT(1024);
	CLEANUP(buf_deinitp) struct buf words = BUF_INIT(4096);
	struct sv line, method, target, path;

	if (!sv_cut_line(&request, &line) || !sv_cut_char(&line, ' ', &method) ||
		!sv_cut_char(&line, ' ', &target) || !sv_starts(line, SV("HTTP/1.")))
		return RC_PARSE;
	if (!sv_eq(method, SV("GET")))
		return RC_PARSE;
	if (!sv_cut_char(&target, '?', &path) || !sv_eq(path, SV("/")))
		return RC_NOT_FOUND;
	if (!query_value(target, SV("state"), &theirs) || !sv_eq(buf_sv(&theirs), state))
		return RC_PARSE;
	*out_refusal = (struct identity_oauth_refusal){ 0 };
	if (query_value(target, SV("code"), &code) && is_visible(buf_sv(&code))) {
		*out_code = secret_new(buf_sv(&code));
		secret_wipe(buf_tail(&code) - code.len, code.len);
		return 0;
	}
	if (!query_value(target, SV("error"), &error))
		return RC_PARSE;
	copy_masked(buf_sv(&error), out_refusal->error, sizeof(out_refusal->error));
	if (query_value(target, SV("error_description"), &words))
		copy_masked(
			buf_sv(&words), out_refusal->description, sizeof(out_refusal->description));
	*out_code = NULL;
	return 0;
}
