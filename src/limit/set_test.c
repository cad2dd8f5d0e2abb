/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/set.h"

#include "cmocka_all.h"

/* A message counts in several scopes, and waits for each. */

static struct mono_time at_s(uint64_t s)
{
	return (struct mono_time){ s * US_PER_S };
}

enum {
	MAILBOXES = 3,
};

struct office {
	struct limit_book *b;
	struct limit_set of[MAILBOXES];
	struct limit_entry e[LIMIT_ENTRIES_MAX];
};

/* Three mailboxes that sign in as one account, of a tenant. */
static void office_open(struct office *o, uint32_t minute, uint32_t day, uint32_t external)
{
	static const char *const keys[MAILBOXES] = { "m:a@x", "m:b@x", "m:c@x" };
	struct limit_scope *account, *tenant;

	*o = (struct office){ .b = limit_book_new(INT64_C(1) << 50, at_s(0)) };
	account = limit_book_scope(o->b, SV("m:it@x"));
	tenant = limit_book_scope(o->b, SV("t:x"));
	limit_scope_set(account, &(struct limit_caps){ .messages_per_minute = minute });
	limit_scope_set(tenant, &(struct limit_caps){ .recipients_per_day = external });
	for (size_t i = 0; i < MAILBOXES; i++) {
		struct limit_scope *own = limit_book_scope(o->b, sv_from(keys[i]));

		limit_scope_set(own, &(struct limit_caps){ minute, day });
		limit_set_add(&o->of[i], own, LIMIT_HOUR | LIMIT_DAY, LIMIT_BOTH);
		limit_set_add(&o->of[i], account, LIMIT_MINUTE, LIMIT_BOTH);
		limit_set_add(&o->of[i], tenant, LIMIT_DAY, LIMIT_EXTERNAL);
	}
}

/* How many leave in this second, each to so many. */
static uint32_t drain(
	struct office *o, size_t who, enum limit_side side, uint64_t s, uint32_t recipients)
{
	uint32_t n = 0;

	while (limit_set_room(&o->of[who], side, at_s(s), recipients) == recipients) {
		struct limit_slots slots = { .count = 0 };

		(void)limit_slots_take(&slots, &o->of[who], side, at_s(s), recipients, o->e);
		(void)limit_slots_settle(&slots, at_s(s), o->e);
		n++;
	}
	return n;
}

static void who_signs_in_as_one_shares_its_minute(void **state)
{
	struct office o;

	(void)state;
	office_open(&o, 30, 1000, 0);
	assert_int_equal(drain(&o, 0, LIMIT_INTERNAL, 0, 1), 30);
	assert_int_equal(drain(&o, 1, LIMIT_INTERNAL, 59, 1), 0);
	assert_true(limit_set_room_at(&o.of[2], LIMIT_INTERNAL, at_s(1)).us == at_s(60).us);
	assert_int_equal(limit_set_messages(&o.of[1], LIMIT_INTERNAL, at_s(60)), 30);
	/* The day stays its own. */
	assert_int_equal(limit_set_use(&o.of[0], LIMIT_INTERNAL, at_s(60)).day.used, 30);
	assert_int_equal(limit_set_use(&o.of[1], LIMIT_INTERNAL, at_s(60)).day.used, 0);
	limit_book_free(o.b);
}

static void mail_to_the_outside_counts_for_the_tenant(void **state)
{
	struct limit_slots slots = { .count = 0 };
	struct limit_use use;
	struct office o;

	(void)state;
	office_open(&o, 0, 100, 10);
	assert_int_equal(drain(&o, 0, LIMIT_EXTERNAL, 0, 3), 3);
	assert_int_equal(limit_set_room(&o.of[1], LIMIT_EXTERNAL, at_s(0), 50), 1);
	use = limit_set_use(&o.of[1], LIMIT_EXTERNAL, at_s(0));
	assert_int_equal(use.day.used, 9);
	assert_string_equal(limit_scope_key(use.day.of).ptr, "t:x");
	/* What stays inside goes on. */
	assert_int_equal(limit_set_room(&o.of[1], LIMIT_INTERNAL, at_s(0), 50), 50);
	assert_int_equal(limit_set_use(&o.of[1], LIMIT_INTERNAL, at_s(0)).day.capacity, 100);
	/* Fewer than it was taken for, then none: all is given back. */
	(void)limit_slots_take(&slots, &o.of[2], LIMIT_EXTERNAL, at_s(0), 1, o.e);
	assert_int_equal(limit_set_room(&o.of[1], LIMIT_EXTERNAL, at_s(0), 1), 0);
	(void)limit_slots_withdraw(&slots, NULL);
	assert_int_equal(limit_set_room(&o.of[1], LIMIT_EXTERNAL, at_s(0), 9), 1);
	limit_book_free(o.b);
}

/* Each scope has its entry, with what it counts. */
static void the_ledger_says_it_all_after_a_restart(void **state)
{
	struct limit_slots slots = { .count = 0 };
	struct office o, next;
	size_t n;

	(void)state;
	office_open(&o, 30, 100, 10);
	n = limit_slots_take(&slots, &o.of[0], LIMIT_EXTERNAL, at_s(0), 4, o.e);
	assert_int_equal(n, 3);
	office_open(&next, 30, 100, 10);
	for (size_t i = 0; i < n; i++)
		limit_book_restore(next.b, &o.e[i]);
	assert_int_equal(limit_set_messages(&next.of[1], LIMIT_INTERNAL, at_s(0)), 29);
	assert_int_equal(limit_set_room(&next.of[1], LIMIT_EXTERNAL, at_s(0), 50), 6);
	assert_int_equal(limit_set_room(&next.of[0], LIMIT_INTERNAL, at_s(0), 100), 96);
	assert_int_equal(limit_set_room(&next.of[1], LIMIT_INTERNAL, at_s(0), 100), 100);
	/* Of an attempt without an answer nobody knows the side. */
	n = limit_set_expect(&next.of[1], at_s(600), 2, o.e);
	assert_int_equal(n, 3);
	(void)limit_slots_withdraw(&slots, NULL);
	limit_book_free(o.b);
	limit_book_free(next.b);
}

/* Recipients by the hour: exact to the buckets of its window, never before the hour is over. */
static void an_hour_is_a_window_too(void **state)
{
	const struct limit_caps caps = { .recipients_per_hour = 5 };
	struct limit_book *b = limit_book_new(INT64_C(1) << 50, at_s(0));
	struct limit_scope *s = limit_book_scope(b, SV("m:a@x"));
	struct office o = { .b = b };
	struct limit_use use;

	(void)state;
	limit_scope_set(s, &caps);
	limit_set_add(&o.of[0], s, LIMIT_ALL, LIMIT_BOTH);
	assert_int_equal(drain(&o, 0, LIMIT_EXTERNAL, 10, 1), 5);
	assert_int_equal(drain(&o, 0, LIMIT_EXTERNAL, 3609, 1), 0);
	assert_true(limit_set_room_at(&o.of[0], LIMIT_BOTH, at_s(11)).us >= at_s(3610).us);
	assert_true(limit_set_room_at(&o.of[0], LIMIT_BOTH, at_s(11)).us <= at_s(3910).us);
	use = limit_set_use(&o.of[0], LIMIT_BOTH, at_s(11));
	assert_true(use.hour.used == 5 && use.hour.capacity == 5 && use.hour.of == s);
	assert_int_equal(drain(&o, 0, LIMIT_EXTERNAL, 3910, 1), 5);
	limit_book_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_signs_in_as_one_shares_its_minute),
		cmocka_unit_test(mail_to_the_outside_counts_for_the_tenant),
		cmocka_unit_test(the_ledger_says_it_all_after_a_restart),
		cmocka_unit_test(an_hour_is_a_window_too),
	};

	return cmocka_run_group_tests_name("set", tests, NULL, NULL);
}
