/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"
#include "provider/remedy_priv.h"

#include <ctype.h>

static void check_remedy(const struct provider_remedy *r)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(8192);
	static const struct provider_facts none;

	assert_true(r->owner < PROVIDER_OWNER_COUNT);
	assert_in_range(strlen(r->title), 10, 80);
	assert_true(isupper((unsigned char)r->title[0]));
	assert_true(r->title[strlen(r->title) - 1] != '.');
	assert_non_null(r->steps[0]);
	for (size_t i = 0; i < PROVIDER_STEPS_MAX; i++) {
		if (r->steps[i])
			assert_int_equal(provider_remedy_fill(r->steps[i], &none, &text), 0);
		if (r->powershell[i])
			assert_int_equal(provider_remedy_fill(r->powershell[i], &none, &text), 0);
	}
}

static void test_every_cause_has_a_remedy_at_every_door(void **state)
{
	struct provider_facts facts = { 0 };

	(void)state;
	for (int c = CAUSE_NONE + 1; c < CAUSE_COUNT; c++) {
		check_remedy(provider_remedy((enum cause)c, NULL));
		for (int p = 0; p < PROVIDER_COUNT; p++) {
			facts.provider = (enum provider_kind)p;
			for (int w = PROVIDER_WHO_ANY; w <= PROVIDER_WHO_PASSWORD; w++) {
				facts.who = (enum provider_who)w;
				check_remedy(provider_remedy((enum cause)c, &facts));
			}
		}
	}
	assert_null(provider_remedy(CAUSE_NONE, NULL));
}

static void test_places_take_plain_values_only(void **state)
{
	static const struct {
		struct sv mailbox;
		const char *out;
	} rows[] = {
		{ SV_INIT("erp@contoso.com"), "Get-Mailbox erp@contoso.com!" },
		{ SV_INIT(""), "Get-Mailbox MAILBOX!" },
		{ SV_INIT("a;Remove-Mailbox b"), "Get-Mailbox MAILBOX!" },
		{ SV_INIT("a'b@c.d"), "Get-Mailbox MAILBOX!" },
		{ SV_INIT("-Force"), "Get-Mailbox MAILBOX!" },
		{ SV_INIT("$(x)@c.d"), "Get-Mailbox MAILBOX!" },
		{ SV_INIT("a\n@c.d"), "Get-Mailbox MAILBOX!" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_deinitp) struct buf text = BUF_INIT(100);
		struct provider_facts facts = { .mailbox = rows[i].mailbox };

		assert_int_equal(provider_remedy_fill("Get-Mailbox {mailbox}!", &facts, &text), 0);
		assert_true(sv_eq(buf_sv(&text), sv_from(rows[i].out)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cause_has_a_remedy_at_every_door),
		cmocka_unit_test(test_places_take_plain_values_only),
	};

	return cmocka_run_group_tests_name("provider/remedy", tests, NULL, NULL);
}
