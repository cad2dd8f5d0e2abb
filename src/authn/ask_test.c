/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/ask.h"

#include "authn/test_zone.h"

#include "cmocka_all.h"

static const struct zone_row rows[] = {
	{ "a.test", AUTHN_TXT, "one" },
	{ "a.test", AUTHN_TXT, "two" },
	{ "a.test", AUTHN_MX, "10 mx.a.test" },
	{ "mx.a.test", AUTHN_A, "192.0.2.1" },
	{ "mx.a.test", AUTHN_AAAA, "2001:db8::1" },
	{ "www.test", AUTHN_CNAME, "a.test" },
	{ "round.test", AUTHN_CNAME, "round.test" },
	{ "dead.test", 0, NULL },
};

static const struct authn_answer *look(
	struct zone *z, struct authn_memo *m, struct sv name, enum authn_rr type)
{
	if (!authn_memo_look(m, name, type))
		assert_int_equal(zone_serve(z, m), 1);
	return authn_memo_look(m, name, type);
}

static void a_question_is_asked_once(void **state)
{
	struct zone z = ZONE(rows);
	struct authn_memo *m = authn_memo_new(8);
	const struct authn_answer *a = look(&z, m, SV("A.Test."), AUTHN_TXT);

	(void)state;
	assert_int_equal(a->status, AUTHN_FOUND);
	assert_int_equal(a->count, 2);
	assert_true(sv_eq(a->records[0].data, SV("one")));
	assert_ptr_equal(look(&z, m, SV("a.test"), AUTHN_TXT), a);
	assert_int_equal(z.asked, 1);
	a = look(&z, m, SV("a.test"), AUTHN_MX);
	assert_int_equal(a->records[0].preference, 10);
	assert_true(sv_eq(a->records[0].data, SV("mx.a.test")));
	a = look(&z, m, SV("mx.a.test"), AUTHN_A);
	assert_memory_equal(a->records[0].data.ptr, "\xc0\0\2\1", 4);
	authn_memo_free(m);
}

static void every_status_has_its_answer(void **state)
{
	struct zone z = ZONE(rows);
	struct authn_memo *m = authn_memo_new(8);
	const struct authn_answer *a;

	(void)state;
	assert_int_equal(look(&z, m, SV("none.test"), AUTHN_A)->status, AUTHN_NXDOMAIN);
	assert_int_equal(look(&z, m, SV("a.test"), AUTHN_A)->status, AUTHN_NO_DATA);
	assert_int_equal(look(&z, m, SV("test"), AUTHN_A)->status, AUTHN_NO_DATA);
	assert_int_equal(look(&z, m, SV("dead.test"), AUTHN_A)->status, AUTHN_FAILURE);
	assert_int_equal(look(&z, m, SV("round.test"), AUTHN_A)->status, AUTHN_FAILURE);
	a = look(&z, m, SV("www.test"), AUTHN_TXT);
	assert_int_equal(a->count, 2);
	assert_true(sv_eq(a->alias, SV("a.test")));
	assert_int_equal(look(&z, m, SV("a..test"), AUTHN_A)->status, AUTHN_NXDOMAIN);
	authn_memo_free(m);
}

static void past_its_maximum_a_memo_says_failure(void **state)
{
	struct authn_memo *m = authn_memo_new(1);
	struct authn_question q;
	struct authn_record record = { 0 };
	struct authn_answer big = { .status = AUTHN_FOUND, .records = &record, .count = 1 };
	const struct authn_answer *a;
	char *text = xcalloc(1, LIMIT_DNS_MEMO + 1);

	(void)state;
	record.data = sv_make(text, LIMIT_DNS_MEMO + 1);
	assert_null(authn_memo_look(m, SV("a.test"), AUTHN_A));
	a = authn_memo_look(m, SV("b.test"), AUTHN_A);
	assert_int_equal(a->status, AUTHN_FAILURE);
	assert_true(authn_memo_is_full(m));
	assert_true(authn_memo_next(m, &q));
	assert_false(authn_memo_next(m, &(struct authn_question){ 0 }));
	authn_memo_answer(m, &q, &big);
	a = authn_memo_look(m, SV("a.test"), AUTHN_A);
	assert_int_equal(a->status, AUTHN_FAILURE);
	assert_true(a->cut);
	free(text);
	authn_memo_free(m);
}

static void names_that_cannot_be(void **state)
{
	char label[70];

	(void)state;
	memset(label, 'a', sizeof(label));
	assert_true(authn_name_is_valid(SV("a")));
	assert_true(authn_name_is_valid(SV("a.b.")));
	assert_true(authn_name_is_valid(sv_make(label, 63)));
	assert_false(authn_name_is_valid(sv_make(label, 64)));
	assert_false(authn_name_is_valid(SV("")));
	assert_false(authn_name_is_valid(SV(".")));
	assert_false(authn_name_is_valid(SV("a..b")));
	assert_false(authn_name_is_valid(SV(".a")));
	assert_false(authn_name_is_valid(SV("a\0b")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_is_asked_once),
		cmocka_unit_test(every_status_has_its_answer),
		cmocka_unit_test(past_its_maximum_a_memo_says_failure),
		cmocka_unit_test(names_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
