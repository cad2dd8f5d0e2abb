/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/groups.h"

#include <stdio.h>

#include "cmocka_all.h"

/* Facts go in one by one, a line for each cause comes out. */

static struct observe_group fact(enum observe_needs needs, const char *tenant, const char *cause,
	const char *name, uint64_t waiting)
{
	return (struct observe_group){ .needs = needs,
		.scope = OBSERVE_SCOPE_MAILBOX,
		.state = SV("parked"),
		.tenant = sv_from(tenant),
		.cause = sv_from(cause),
		.names = { sv_from(name) },
		.waiting = waiting };
}

static void put(struct observe_groups *g, struct observe_group f)
{
	observe_groups_add(g, &f);
}

static void fold(struct observe_groups *g)
{
	struct observe_groups all = *g;

	*g = (struct observe_groups){ .arena = all.arena };
	for (size_t i = 0; i < all.count; i++)
		observe_groups_fold(g, all.items[i]);
	observe_groups_deinit(&all);
}

static void one_cause_is_one_line(void **state)
{
	struct arena arena = { 0 };
	struct observe_groups g = { .arena = &arena };
	char names[250][16];

	(void)state;
	for (int i = 0; i < 250; i++) {
		struct observe_group f;

		(void)snprintf(names[i], sizeof(names[i]), "m%03d", i);
		f = fact(OBSERVE_NEEDS_PERSON, "t03", "app-secret-wrong", names[i], 2);
		f.since.us = 1000 - i;
		f.next_at.us = i == 7 ? 5 : 0;
		put(&g, f);
	}
	put(&g, fact(OBSERVE_NEEDS_PERSON, "t03", "mailbox-restricted", "one", 900));
	put(&g, fact(OBSERVE_NEEDS_TIME, "t01", "mailbox-full", "full", 90000));
	observe_groups_sort(&g);
	assert_int_equal(g.count, 3);
	/* Persons first, then by what waits. */
	assert_true(sv_eq(g.items[0]->cause, SV("mailbox-restricted")));
	assert_true(sv_eq(g.items[1]->cause, SV("app-secret-wrong")));
	assert_true(sv_eq(g.items[2]->cause, SV("mailbox-full")));
	assert_int_equal(g.items[1]->count, 250);
	assert_int_equal(g.items[1]->waiting, 500);
	assert_int_equal(g.items[1]->since.us, 751);
	assert_int_equal(g.items[1]->next_at.us, 5);
	assert_true(sv_eq(g.items[1]->names[0], SV("m000")));
	assert_true(sv_eq(g.items[1]->names[2], SV("m002")));
	assert_true(sv_eq(g.items[1]->tenant, SV("t03")));
	observe_groups_deinit(&g);
	arena_reset(&arena);
}

static void what_differs_stays_apart(void **state)
{
	struct arena arena = { 0 };
	struct observe_groups g = { .arena = &arena };
	struct observe_group f = fact(OBSERVE_NEEDS_PERSON, "t1", "x", "a", 1);

	(void)state;
	put(&g, f);
	put(&g, fact(OBSERVE_NEEDS_PERSON, "t2", "x", "b", 1));
	put(&g, fact(OBSERVE_NEEDS_TIME, "t1", "x", "c", 1));
	put(&g, fact(OBSERVE_NEEDS_PERSON, "t1", "y", "d", 1));
	f.scope = OBSERVE_SCOPE_SENDER;
	put(&g, f);
	f.state = SV("held");
	put(&g, f);
	observe_groups_sort(&g);
	assert_int_equal(g.count, 6);
	observe_groups_deinit(&g);
	arena_reset(&arena);
}

static void too_many_lose_their_tenants(void **state)
{
	struct arena arena = { 0 };
	struct observe_groups g = { .arena = &arena };
	char tenants[100][16];

	(void)state;
	for (int i = 0; i < 100; i++) {
		(void)snprintf(tenants[i], sizeof(tenants[i]), "t%d", i);
		put(&g,
			fact(OBSERVE_NEEDS_PERSON,
				tenants[i],
				"app-secret-expired",
				tenants[i],
				3));
		put(&g,
			fact(OBSERVE_NEEDS_PERSON,
				tenants[i],
				"app-secret-expired",
				tenants[i],
				3));
	}
	assert_int_equal(g.count, 100);
	fold(&g);
	observe_groups_sort(&g);
	assert_int_equal(g.count, 1);
	assert_int_equal(g.items[0]->count, 200);
	assert_int_equal(g.items[0]->waiting, 600);
	assert_int_equal(g.items[0]->tenants, 100);
	assert_int_equal(g.items[0]->tenant.len, 0);
	assert_true(sv_eq(g.items[0]->names[2], SV("t1")));
	observe_groups_deinit(&g);
	arena_reset(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_cause_is_one_line),
		cmocka_unit_test(what_differs_stays_apart),
		cmocka_unit_test(too_many_lose_their_tenants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
