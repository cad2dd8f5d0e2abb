/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/trace.h"

#include "base/err.h"
#include "mail/verdict.h"

#include "cmocka_all.h"

struct trace_row {
	const char *name;
	struct trace trace;
	const char *out;
};

static const struct trace_row trace_rows[] = {
	{ "everything",
		{ .helo = SV_INIT("pc.lan"),
			.client = SV_INIT("[10.0.0.1]"),
			.hostname = SV_INIT("relay.contoso.com"),
			.protocol = SV_INIT("ESMTPSA"),
			.id = SV_INIT("0A1B2C3D4E5"),
			.for_address = SV_INIT("a@b.c"),
			.tls = SV_INIT("TLSv1.3 TLS_AES_256_GCM_SHA384") },
		"from pc.lan ([10.0.0.1])\r\n"
		"\tby relay.contoso.com (postern) with ESMTPSA\r\n"
		"\t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
		"\tid 0A1B2C3D4E5\r\n"
		"\tfor <a@b.c>;\r\n"
		"\tThu, 01 Jan 1970 00:00:00 +0000" },
	{ "local",
		{ .client = SV_INIT("unix"),
			.hostname = SV_INIT("h"),
			.protocol = SV_INIT("local") },
		"by h (postern, from unix) with local;\r\n\tThu, 01 Jan 1970 00:00:00 +0000" },
	{ "a HELO that would be another field",
		{ .helo = SV_INIT("x (evil);\r\nBcc: a\"\\\x80\0y"), .hostname = SV_INIT("h") },
		"from x??evil????Bcc:?a????y\r\n\tby h (postern);\r\n\tThu, 01 Jan 1970 00:00:00 "
		"+0000" },
};

static void received_has_only_what_is_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(trace_rows); i++) {
		struct buf out = BUF_INIT(4000);

		assert_int_equal(trace_render(&trace_rows[i].trace, &out), 0);
		if (!sv_eq(buf_sv(&out), sv_from(trace_rows[i].out)))
			fail_msg("%s: %.*s", trace_rows[i].name, SV_ARG(buf_sv(&out)));
		buf_deinit(&out);
	}
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
	struct buf out = BUF_INIT(30);

	(void)state;
	assert_int_equal(trace_render(&trace_rows[0].trace, &out), RC_LIMIT);
	assert_int_equal(message_id_render(&out, 1, 2, SV("relay.contoso.com")), RC_LIMIT);
	assert_int_equal(out.len, 0);
	buf_deinit(&out);
}

static void message_ids_are_made_of_id_random_and_host(void **state)
{
	struct buf out = BUF_INIT(100);

	(void)state;
	assert_int_equal(message_id_render(&out, 31, 0xabc, SV("h.example")), 0);
	assert_true(sv_eq(buf_sv(&out), SV("<0000000000Z.0000000000000abc@h.example>")));
	buf_deinit(&out);
}

static void names_of_verdicts_go_both_ways(void **state)
{
	(void)state;
	for (int i = 0; i < VERDICT_KIND_COUNT; i++) {
		enum verdict_kind kind;

		assert_int_equal(
			verdict_kind_parse(sv_from(verdict_kind_name((enum verdict_kind)i)), &kind),
			0);
		assert_int_equal(kind, i);
	}
	for (int i = 0; i < VERDICT_SCOPE_COUNT; i++) {
		enum verdict_scope scope;

		assert_int_equal(
			verdict_scope_parse(
				sv_from(verdict_scope_name((enum verdict_scope)i)), &scope),
			0);
		assert_int_equal(scope, i);
	}
	assert_string_equal(verdict_scope_name(VERDICT_SCOPE_TENANT_EXTERNAL), "tenant-external");
	assert_int_equal(verdict_kind_parse(SV("nope"), &(enum verdict_kind){ 0 }), RC_PARSE);
	assert_int_equal(verdict_scope_parse(SV(""), &(enum verdict_scope){ 0 }), RC_PARSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(received_has_only_what_is_known),
		cmocka_unit_test(a_full_buffer_is_left_as_it_was),
		cmocka_unit_test(message_ids_are_made_of_id_random_and_host),
		cmocka_unit_test(names_of_verdicts_go_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
