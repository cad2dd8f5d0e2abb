/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/challenge.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"

#include "cmocka_all.h"

static int describe(const char *json, size_t len, struct buf *out)
{
	struct buf coded = BUF_INIT(1 << 20);
	int rc;

	must(text_base64_encode(&coded, sv_make(json, len)) == 0);
	rc = smtp_challenge_describe(buf_sv(&coded), out);
	buf_deinit(&coded);
	return rc;
}

static void test_reasons(void **state)
{
	static const struct {
		const char *json, *text; /* NULL: not understood */
	} rows[] = {
		/* Google's page on XOAUTH2 */
		{ "{\"status\":\"401\",\"schemes\":\"bearer "
		  "mac\",\"scope\":\"https://mail.google.com/\"}",
			"status 401, schemes bearer mac, scope https://mail.google.com/" },
		/* RFC 7628 4.3 */
		{ "{\"status\":\"invalid_token\",\"scope\":\"example_scope\","
		  "\"openid-configuration\":\"https://example.com/.well-known/"
		  "openid-configuration\"}",
			"status invalid_token, scope example_scope" },
		{ " {\n \"scope\" : \"s\" ,\t\"status\" : 400 }\r\n", "status 400, scope s" },
		{ "{\"a\":{\"status\":\"in\",\"b\":[\"}\",{}]},\"status\":\"out\",\"n\":[[1,2],"
		  "null]}",
			"status out" },
		{ "{\"status\":\"a\\\"b\\\\c\\/d\\ne\\u0041\"}", "status a\"b\\c/d?e?0041" },
		{ "{\"status\":\"\xc3\xa4\x01\x7f\"}", "status ????" },
		{ "{\"status\":true,\"status\":false}", "status false" },
		{ "", NULL },
		{ "{}", NULL },
		{ "[]", NULL },
		{ "\"status\"", NULL },
		{ "{\"status\":\"\"}", NULL },
		{ "{\"status\":{\"status\":1}}", NULL },
		{ "{\"other\":\"400\"}", NULL },
		{ "{\"status\":\"400\"", NULL },
		{ "{\"status\":\"400\"}x", NULL },
		{ "{\"status\":\"400}", NULL },
		{ "{\"status\":\"400\\", NULL },
		{ "{\"status\" \"400\"}", NULL },
		{ "{\"status\":}", NULL },
		{ "{\"status\":[1,{}", NULL },
		{ "{\"status\":1,}", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buf out = BUF_INIT(1000);
		int rc;

		must(buf_append(&out, SV("x ")) == 0);
		rc = describe(rows[i].json, strlen(rows[i].json), &out);
		if (rc != (rows[i].text ? 0 : RC_PARSE) ||
			!sv_eq(sv_skip(buf_sv(&out), 2), sv_from(rows[i].text)))
			fail_msg("%s: %d '%.*s'", rows[i].json, rc, SV_ARG(buf_sv(&out)));
		buf_deinit(&out);
	}
}

static void test_what_is_said_is_bounded(void **state)
{
	struct buf out = BUF_INIT(SMTP_CHALLENGE_TEXT_MAX), json = BUF_INIT(1 << 20);
	static const char *const names[] = { "status", "schemes", "scope" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		must(buf_printf(&json, "%c\"%s\":\"%0500d\"", i ? ',' : '{', names[i], 0) == 0);
	must(buf_append(&json, SV("}")) == 0);
	assert_int_equal(describe(buf_sv(&json).ptr, json.len, &out), 0);
	assert_int_equal(out.len, strlen("status , schemes , scope ") + 300);
	/* No room: nothing is added. */
	assert_int_equal(describe(buf_sv(&json).ptr, json.len, &out), RC_LIMIT);
	assert_int_equal(out.len, strlen("status , schemes , scope ") + 300);
	must(buf_printf(&json, "%*s", LIMIT_CHALLENGE, "") == 0);
	buf_reset(&out);
	assert_int_equal(describe(buf_sv(&json).ptr, json.len, &out), RC_LIMIT);
	assert_int_equal(out.len, 0);
	assert_int_equal(smtp_challenge_describe(SV("not base64"), &out), RC_PARSE);
	buf_deinit(&out);
	buf_deinit(&json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_what_is_said_is_bounded),
	};

	return cmocka_run_group_tests_name("smtp/challenge", tests, NULL, NULL);
}
