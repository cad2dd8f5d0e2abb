/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/oauth.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/must.h"
#include "base/time.h"
#include "identity/encode.h"

#include "cmocka_all.h"

#define LIFE(seconds) ((uint64_t)(seconds)*US_PER_S)

static void expect_body(struct secret *body, const char *text)
{
	assert_int_equal(secret_reveal(body).len, strlen(text));
	assert_memory_equal(secret_reveal(body).ptr, text, strlen(text));
	secret_free(body);
}

/* ---- bodies ---- */

static void bodies_are_what_the_services_document(void **state)
{
	struct secret *s = secret_new(SV("s3~cr_t+/=&")), *a = secret_new(SV("aa.bb.cc"));
	struct secret *r = secret_new(SV("0.AX-ref")), *d = secret_new(SV("dev")),
		      *c = secret_new(SV("0.c&o"));
	struct identity_oauth_client none = { .id = SV("id-1") };
	struct identity_oauth_client secret = { .id = SV("id-1"), .secret = s };
	struct identity_oauth_client key = { .id = SV("id-1"), .assertion = a };
	struct sv scope = SV("https://outlook.office365.com/.default");
	struct identity_oauth_code code = {
		.code = c,
		.redirect_uri = SV("http://localhost:4711"),
		.verifier = SV("v"),
		.scope = SV("x offline_access"),
	};

	(void)state;
	expect_body(identity_oauth_app_body(&secret, scope),
		"grant_type=client_credentials&scope=https%3A%2F%2Foutlook.office365.com%2F."
		"default&client_id=id-1&client_secret=s3~cr_t%2B%2F%3D%26");
	expect_body(identity_oauth_app_body(&key, scope),
		"grant_type=client_credentials&scope=https%3A%2F%2Foutlook.office365.com%2F."
		"default&client_id=id-1&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-"
		"assertion-type%3Ajwt-bearer&client_assertion=aa.bb.cc");
	expect_body(identity_oauth_service_body(a),
		"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=aa.bb."
		"cc");
	expect_body(identity_oauth_refresh_body(&none, r, SV("a b")),
		"grant_type=refresh_token&refresh_token=0.AX-ref&scope=a%20b&client_id=id-1");
	expect_body(identity_oauth_device_body(&none, SV("a")), "scope=a&client_id=id-1");
	expect_body(identity_oauth_poll_body(&none, d),
		"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=dev&"
		"client_id=id-1");
	expect_body(identity_oauth_code_body(&none, &code),
		"grant_type=authorization_code&code=0.c%26o&redirect_uri=http%3A%2F%2Flocalhost%"
		"3A4711&code_verifier=v&scope=x%20offline_access&client_id=id-1");
	secret_free(s);
	secret_free(a);
	secret_free(r);
	secret_free(d);
	secret_free(c);
}

/* RFC 7636, appendix B. */
static void pkce_is_that_of_the_rfc(void **state)
{
	char challenge[IDENTITY_OAUTH_VERIFIER_MAX], one[IDENTITY_OAUTH_VERIFIER_MAX];
	char other[IDENTITY_OAUTH_VERIFIER_MAX];

	(void)state;
	identity_oauth_challenge(SV("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), challenge);
	assert_string_equal(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
	identity_oauth_verifier_new(one);
	identity_oauth_verifier_new(other);
	assert_int_equal(strlen(one), 43);
	assert_string_not_equal(one, other);
}

static void base64url_is_strict(void **state)
{
	static const struct {
		const char *plain, *coded;
	} rows[] = { { "", "" },
		{ "f", "Zg" },
		{ "fo", "Zm8" },
		{ "foo", "Zm9v" },
		{ "\xff\xfe\xfd", "__79" } };
	static const char *const bad[] = {
		"Z", "Zg==", "Zh", "Zm9", "Zm+v", "Zm/v", "Zm v", "Zg\n"
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_deinitp) struct buf coded = BUF_INIT(64), plain = BUF_INIT(64);

		assert_int_equal(identity_base64url_encode(&coded, sv_from(rows[i].plain)), 0);
		assert_true(sv_eq(buf_sv(&coded), sv_from(rows[i].coded)));
		assert_int_equal(identity_base64url_decode(&plain, buf_sv(&coded)), 0);
		assert_true(sv_eq(buf_sv(&plain), sv_from(rows[i].plain)));
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		CLEANUP(buf_deinitp) struct buf plain = BUF_INIT(64);

		assert_int_equal(identity_base64url_decode(&plain, sv_from(bad[i])), RC_PARSE);
		assert_int_equal(plain.len, 0);
	}
}

static void guids(void **state)
{
	char id[IDENTITY_GUID_MAX];

	(void)state;
	identity_guid_random(id);
	assert_true(identity_is_guid(sv_from(id)));
	assert_int_equal(id[14], '4');
	assert_true(identity_is_guid(SV("8C3F7A52-0d1e-4b6a-9f00-5d2f6c1b7e44")));
	assert_false(identity_is_guid(SV("8C3F7A52-0d1e-4b6a-9f00-5d2f6c1b7e4")));
	assert_false(identity_is_guid(SV("8C3F7A52-0d1e-4b6a-9f00-5d2f6c1b7e4g")));
	assert_false(identity_is_guid(SV("8C3F7A5200d1e-4b6a-9f00-5d2f6c1b7e44")));
}

/* ---- answers ---- */

static void tokens_are_read(void **state)
{
	struct identity_oauth_tokens t;

	(void)state;
	identity_oauth_read_tokens(200,
		SV("{\"token_type\":\"Bearer\",\"scope\":\"x\",\"expires_in\":3599,\"ext_expires_"
		   "in\":3599,\"access_token\":\"eyJ.a.b\",\"refresh_token\":\"0.AX\",\"id_token\":"
		   "\"i.d.t\"}"),
		&t);
	assert_true(secret_eq(t.access_token, SV("eyJ.a.b")));
	assert_true(secret_eq(t.refresh_token, SV("0.AX")));
	assert_true(secret_eq(t.id_token, SV("i.d.t")));
	assert_int_equal(t.life_us, LIFE(3599));
	identity_oauth_tokens_deinit(&t);
	identity_oauth_read_tokens(200, SV("{\"access_token\":\"a\",\"expires_in\":\"1200\"}"), &t);
	assert_non_null(t.access_token);
	assert_null(t.refresh_token);
	assert_int_equal(t.life_us, LIFE(1200));
	identity_oauth_tokens_deinit(&t);
}

static void lives_are_bounded(void **state)
{
	static const struct {
		const char *value;
		unsigned seconds;
	} rows[] = {
		{ "3599.5", 3599 }, /* and a half */
		{ "0", 2 },
		{ "-1", 2 },
		{ "\"-1\"", 2 },
		{ "\"soon\"", 2 },
		{ "\"\"", 2 },
		{ "1e300", 28 * 3600 },
		{ "9223372036854775807", 28 * 3600 },
		{ "\"99999999999999999999999\"", 28 * 3600 },
		{ "86399", 86399 },
		{ "4", 4 },
		{ "null", 600 },
		{ "[1]", 600 },
		{ "true", 600 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct identity_oauth_tokens t;
		char text[200];

		(void)snprintf(text,
			sizeof(text),
			"{\"access_token\":\"a\",\"expires_in\":%s}",
			rows[i].value);
		identity_oauth_read_tokens(200, sv_from(text), &t);
		assert_non_null(t.access_token);
		assert_int_equal(t.life_us / US_PER_S, rows[i].seconds);
		identity_oauth_tokens_deinit(&t);
	}
}

static void refusals_are_read(void **state)
{
	struct identity_oauth_tokens t;

	(void)state;
	identity_oauth_read_tokens(401,
		SV("{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: Invalid "
		   "client secret provided.\\r\\nTrace ID: 8c3f7a52-0d1e-4b6a-9f00-5d2f6c1b7e44\","
		   "\"error_codes\":[7000215]}"),
		&t);
	assert_null(t.access_token);
	assert_string_equal(t.refusal.error, "invalid_client");
	assert_string_equal(t.refusal.description,
		"AADSTS7000215: Invalid client secret provided. Trace ID: "
		"8c3f7a52-0d1e-4b6a-9f00-5d2f6c1b7e44");
	identity_oauth_read_tokens(400, SV("{\"error\":\"invalid_grant\"}"), &t);
	assert_string_equal(t.refusal.error, "invalid_grant");
	assert_string_equal(
		t.refusal.description, "the token service says invalid_grant (HTTP 400)");
}

/* A token service that sends a secret back does not get it into a log or onto a terminal. */
static void words_of_others_are_cleaned(void **state)
{
	struct identity_oauth_tokens t;
	char text[4096] = "{\"error\":\"x\",\"error_description\":\"\xc3\xa9", *at;

	(void)state;
	identity_oauth_read_tokens(400,
		SV("{\"error\":\"x\",\"error_description\":\"bad secret "
		   "Abc8Q~abcdefghijklmnopqrstuvwxyz.0123456789 and "
		   "\\u001b[31m\\u009b5m\\ttab\\u007f \xc3\xa9 end\"}"),
		&t);
	assert_string_equal(t.refusal.description, "bad secret [...] and [31m 5m tab \xc3\xa9 end");
	/* Longer than there is room: cut between letters. */
	at = text + strlen(text);
	for (int i = 0; i < 1000; i++, at += 2)
		memcpy(at, "\xc3\xa9", 2);
	memcpy(at, "\"}", 3);
	identity_oauth_read_tokens(400, sv_from(text), &t);
	assert_in_range(strlen(t.refusal.description), 500, 599);
	assert_int_equal(strlen(t.refusal.description) % 2, 0);
}

static void what_is_no_answer_is_refused(void **state)
{
	static const struct {
		unsigned status;
		const char *body;
	} rows[] = {
		{ 200, "" },
		{ 200, "<html>Sign in to the hotel's network</html>" },
		{ 200, "[]" },
		{ 200, "{}" },
		{ 200, "{\"access_token\":\"\"}" },
		{ 200, "{\"access_token\":7}" },
		{ 200, "{\"access_token\":\"a b\"}" },
		{ 200, "{\"access_token\":\"a\\r\\nX: y\"}" },
		{ 200, "{\"access_token\":\"a\\u0000b\"}" },
		{ 200, "{\"access_token\":\"a\",\"access_token\":\"b\"}" },
		{ 200, "{\"access_token\":\"a\",\"token_type\":\"mac\"}" },
		{ 201, "{\"access_token\":\"a\"}" },
		{ 503, "{\"access_token\":\"a\"}" },
		{ 200, "{\"access_token\":\"a\"} trailing" },
		{ 200, "{\"access_token\":\"a\"" },
	};
	struct identity_oauth_tokens t;
	char *large = xcalloc(1, IDENTITY_OAUTH_ANSWER_MAX + 1);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		identity_oauth_read_tokens(rows[i].status, sv_from(rows[i].body), &t);
		if (t.access_token)
			fail_msg("row %zu is taken", i);
		assert_string_equal(t.refusal.error, "");
		assert_non_null(strstr(t.refusal.description, "HTTP"));
	}
	(void)snprintf(large, 64, "{\"access_token\":\"a\"}");
	memset(large + strlen(large), ' ', IDENTITY_OAUTH_ANSWER_MAX - strlen(large));
	identity_oauth_read_tokens(200, sv_make(large, IDENTITY_OAUTH_ANSWER_MAX + 1), &t);
	assert_null(t.access_token);
	/* A token that no AUTH line could carry. */
	memset(large, 'a', IDENTITY_OAUTH_TOKEN_MAX + 200);
	memcpy(large, "{\"access_token\":\"", 17);
	memcpy(large + IDENTITY_OAUTH_TOKEN_MAX + 100, "\"}", 2);
	identity_oauth_read_tokens(200, sv_make(large, IDENTITY_OAUTH_TOKEN_MAX + 102), &t);
	assert_null(t.access_token);
	free(large);
}

static void device_answers(void **state)
{
	struct identity_oauth_device d;

	(void)state;
	identity_oauth_read_device(200,
		SV("{\"user_code\":\"FJC3-9XK2\",\"device_code\":\"FAQABAA\",\"verification_uri\":"
		   "\"https://microsoft.com/devicelogin\",\"expires_in\":900,\"interval\":5,"
		   "\"message\":\"To sign in, use a web browser\\u001b\"}"),
		&d);
	assert_true(secret_eq(d.device_code, SV("FAQABAA")));
	assert_string_equal(d.user_code, "FJC3-9XK2");
	assert_string_equal(d.address, "https://microsoft.com/devicelogin");
	assert_string_equal(d.message, "To sign in, use a web browser");
	assert_int_equal(d.life_us, LIFE(900));
	assert_int_equal(d.interval_us, LIFE(5));
	identity_oauth_device_deinit(&d);
	/* Google's word for the address; no interval. */
	identity_oauth_read_device(200,
		SV("{\"user_code\":\"A\",\"device_code\":\"B\",\"verification_url\":\"https://x\","
		   "\"interval\":0}"),
		&d);
	assert_string_equal(d.address, "https://x");
	assert_int_equal(d.life_us, LIFE(900));
	assert_int_equal(d.interval_us, LIFE(1));
	identity_oauth_device_deinit(&d);
	identity_oauth_read_device(400, SV("{\"error\":\"unauthorized_client\"}"), &d);
	assert_null(d.device_code);
	assert_string_equal(d.refusal.error, "unauthorized_client");
	identity_oauth_read_device(200, SV("{\"device_code\":\"B\",\"user_code\":\"x y\"}"), &d);
	assert_null(d.device_code);
}

/* ---- the browser ---- */

static void redirects_are_read(void **state)
{
	static const struct {
		const char *request;
		int rc;
		const char *code, *error, *description;
	} rows[] = {
		{ "GET /?code=0.A%26b&state=st8 HTTP/1.1\r\nHost: x\r\n\r\n", 0, "0.A&b", "", "" },
		{ "GET /?state=st8&session_state=q&code=c HTTP/1.1\r\n", 0, "c", "", "" },
		{ "GET /?error=access_denied&error_description=AADSTS65004%3A+declined&state=st8 "
		  "HTTP/1.1\r\n",
			0,
			NULL,
			"access_denied",
			"AADSTS65004: declined" },
		{ "GET /favicon.ico HTTP/1.1\r\n\r\n", RC_NOT_FOUND, NULL, "", "" },
		{ "GET / HTTP/1.1\r\n\r\n", RC_NOT_FOUND, NULL, "", "" },
		{ "GET /x?code=c&state=st8 HTTP/1.1\r\n", RC_NOT_FOUND, NULL, "", "" },
		{ "GET /?code=c&state=other HTTP/1.1\r\n", RC_PARSE, NULL, "", "" },
		{ "GET /?code=c HTTP/1.1\r\n", RC_PARSE, NULL, "", "" },
		{ "GET /?state=st8 HTTP/1.1\r\n", RC_PARSE, NULL, "", "" },
		{ "GET /?code=%0a&state=st8 HTTP/1.1\r\n", RC_PARSE, NULL, "", "" },
		{ "GET /?code=%4&state=st8 HTTP/1.1\r\n", RC_PARSE, NULL, "", "" },
		{ "POST /?code=c&state=st8 HTTP/1.1\r\n", RC_PARSE, NULL, "", "" },
		{ "GET /?code=c&state=st8 HTTP/1.1", RC_PARSE, NULL, "", "" },
		{ "GET /?code=c&state=st8\r\n", RC_PARSE, NULL, "", "" },
		{ "", RC_PARSE, NULL, "", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct identity_oauth_refusal why = { 0 };
		struct secret *code = NULL;
		int rc = identity_oauth_read_redirect(
			sv_from(rows[i].request), SV("st8"), &code, &why);

		if (rc != rows[i].rc)
			fail_msg("row %zu: %d", i, rc);
		assert_int_equal(code != NULL, rows[i].code != NULL);
		if (code)
			assert_true(secret_eq(code, sv_from(rows[i].code)));
		assert_string_equal(why.error, rows[i].error);
		assert_string_equal(why.description, rows[i].description);
		secret_free(code);
	}
}

static void urls_carry_forms(void **state)
{
	const struct identity_pair pairs[] = {
		{ "a", SV("1 2") }, { "left_out", { NULL, 0 } }, { "b", SV("https://x/?") }
	};
	CLEANUP(buf_deinitp) struct buf url = BUF_INIT(256), small = BUF_INIT(20);

	(void)state;
	assert_int_equal(identity_form_url(&url, SV("https://y/z"), pairs, COUNT_OF(pairs)), 0);
	assert_true(sv_eq(buf_sv(&url), SV("https://y/z?a=1%202&b=https%3A%2F%2Fx%2F%3F")));
	assert_int_equal(
		identity_form_url(&small, SV("https://y/z"), pairs, COUNT_OF(pairs)), RC_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_are_what_the_services_document),
		cmocka_unit_test(pkce_is_that_of_the_rfc),
		cmocka_unit_test(base64url_is_strict),
		cmocka_unit_test(guids),
		cmocka_unit_test(tokens_are_read),
		cmocka_unit_test(lives_are_bounded),
		cmocka_unit_test(refusals_are_read),
		cmocka_unit_test(words_of_others_are_cleaned),
		cmocka_unit_test(what_is_no_answer_is_refused),
		cmocka_unit_test(device_answers),
		cmocka_unit_test(redirects_are_read),
		cmocka_unit_test(urls_carry_forms),
	};

	identity_oauth_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
