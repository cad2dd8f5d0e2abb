/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/wire.h"

#include "base/must.h"

#include "cmocka_all.h"

static void records_become_text(void **state)
{
	static const struct {
		uint16_t type;
		struct sv rdata, data;
	} cases[] = {
		{ AUTHN_A, SV_INIT("\xc0\0\2\1"), SV_INIT("\xc0\0\2\1") },
		{ AUTHN_MX, SV_INIT("\0\x0a\2MX\4test\0"), SV_INIT("mx.test") },
		{ AUTHN_MX, SV_INIT("\0\x0a\0"), SV_INIT("") },
		{ AUTHN_CNAME, SV_INIT("\3a.b\1\\\0"), SV_INIT("a\\046b.\\092") },
		{ AUTHN_PTR, SV_INIT("\4mail\4test\0"), SV_INIT("mail.test") },
		{ AUTHN_TXT, SV_INIT("\2v=\4spf1"), SV_INIT("v=spf1") },
		{ AUTHN_TXT, SV_INIT("\0"), SV_INIT("") },
		{ AUTHN_TLSA, SV_INIT("\3\1\1x"), SV_INIT("\3\1\1x") },
	};
	struct authn_wire w;

	(void)state;
	authn_wire_init(&w);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		authn_wire_read(&w, cases[i].type, &cases[i].rdata, 1);
		assert_int_equal(w.answer.count, 1);
		assert_false(w.answer.cut);
		if (!sv_eq(w.answer.records[0].data, cases[i].data))
			fail_msg("%zu: %.*s", i, SV_ARG(w.answer.records[0].data));
		assert_int_equal(
			w.answer.records[0].preference, cases[i].type == AUTHN_MX ? 10 : 0);
	}
	authn_wire_deinit(&w);
}

static void what_contradicts_itself_is_left_out(void **state)
{
	static const struct {
		uint16_t type;
		struct sv rdata;
	} cases[] = {
		{ AUTHN_A, SV_INIT("\xc0\0\2") },
		{ AUTHN_AAAA, SV_INIT("\xc0\0\2\1") },
		{ AUTHN_MX, SV_INIT("\0\x0a") },
		{ AUTHN_MX, SV_INIT("\0\x0a\4mx") },
		{ AUTHN_CNAME, SV_INIT("") },
		{ AUTHN_CNAME, SV_INIT("\1a") },
		{ AUTHN_CNAME, SV_INIT("\1a\0\1") },
		{ AUTHN_CNAME, SV_INIT("\xc0\x0c") },
		{ AUTHN_TXT, SV_INIT("\5v=") },
	};
	static const struct sv good = SV_INIT("\1a\1b\0");
	struct authn_wire w;

	(void)state;
	authn_wire_init(&w);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		authn_wire_read(&w, cases[i].type, &cases[i].rdata, 1);
		assert_int_equal(w.answer.count, 0);
		assert_true(w.answer.cut);
	}
	authn_wire_read(&w, AUTHN_CNAME, (const struct sv[]){ SV("\1a"), good, SV("\xff") }, 3);
	assert_int_equal(w.answer.count, 1);
	assert_true(sv_eq(w.answer.records[0].data, SV("a.b")));
	authn_wire_deinit(&w);
}

/* 60 KB of TXT in one record, and more records than are kept. */
static void sizes_are_bounded(void **state)
{
	CLEANUP(buf_deinitp) struct buf big = BUF_INIT(65536);
	struct sv many[LIMIT_DNS_RECORDS + 1];
	struct authn_wire w;

	(void)state;
	authn_wire_init(&w);
	while (big.len < 60000) {
		assert_int_equal(buf_append(&big,
					 SV("\x14"
					    "12345678901234567890")),
			0);
	}
	authn_wire_read(&w, AUTHN_TXT, (const struct sv[]){ buf_sv(&big), SV("\3one") }, 2);
	assert_int_equal(w.answer.count, 1);
	assert_true(w.answer.cut);
	assert_true(sv_eq(w.answer.records[0].data, SV("one")));
	for (size_t i = 0; i < COUNT_OF(many); i++)
		many[i] = SV("\1x");
	authn_wire_read(&w, AUTHN_TXT, many, COUNT_OF(many));
	assert_int_equal(w.answer.count, LIMIT_DNS_RECORDS);
	assert_true(w.answer.cut);
	authn_wire_deinit(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_become_text),
		cmocka_unit_test(what_contradicts_itself_is_left_out),
		cmocka_unit_test(sizes_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
