/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/trace.h"

#include "base/err.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(received_has_only_what_is_known),
		cmocka_unit_test(a_full_buffer_is_left_as_it_was),
		cmocka_unit_test(message_ids_are_made_of_id_random_and_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
