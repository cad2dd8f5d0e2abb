/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/model.h"

#include "base/time.h"

#include "cmocka_all.h"

/* What the sandbox counts beyond one mailbox. Times are in seconds. */
#define AT(s) ((uint64_t)(s)*US_PER_S)

struct sent {
	const char *from;
	uint32_t recipients, external;
	enum sandbox_counting counting;
};

static struct sandbox_reply send_one(
	struct sandbox_model *m, const struct sent *what, uint64_t now_us)
{
	struct sandbox_reply reply = { 0 };
	struct sandbox_submission s = {
		.mailbox = sandbox_model_mailbox(m, sv_from(what->from), true),
		.counting = what->counting,
		.sender = sv_from(what->from),
		.recipients = what->recipients,
		.external = what->external,
		.bytes = 1000,
		.now_us = now_us,
	};

	sandbox_model_submit(m, &s, &reply);
	return reply;
}

static uint32_t send_until_refused(struct sandbox_model *m, const struct sent *what,
	uint64_t now_us, struct sandbox_reply *out)
{
	uint32_t n = 0;

	while (n < 100000) {
		*out = send_one(m, what, now_us);
		if (out->code != 250)
			break;
		n++;
	}
	return n;
}

static struct sandbox_model *strict_model(uint32_t external_per_day)
{
	struct sandbox_model *m = sandbox_model_new();
	struct sandbox_limits *l = sandbox_model_limits(m);

	l->strict = true;
	l->tenant.external_per_day = external_per_day;
	l->messages_per_minute = 0;
	return m;
}

static void tenant_counts_all_mailboxes(void **state)
{
	struct sandbox_model *m = strict_model(100);
	const struct sent a = { "a@contoso.com", 40, 30, SANDBOX_COUNT_ALL };
	const struct sent b = { "b@contoso.com", 50, 50, SANDBOX_COUNT_DAY };
	const struct sent inside = { "a@contoso.com", 400, 0, SANDBOX_COUNT_ALL };
	struct sandbox_reply r;
	uint64_t allowed;

	(void)state;
	assert_int_equal(send_one(m, &a, AT(0)).code, 250);
	assert_int_equal(send_one(m, &b, AT(60)).code, 250);
	assert_int_equal(sandbox_model_external(m, AT(60), &allowed), 80);
	/* 80 of 100: 30 more are too many, and what stays inside is not counted. */
	r = send_one(m, &a, AT(120));
	assert_int_equal(r.code, 550);
	assert_string_equal(r.enhanced, "5.7.233");
	assert_int_equal(send_one(m, &inside, AT(120)).code, 250);
	/* A sliding day: the first 30 are free again to the second. */
	assert_int_equal(send_one(m, &a, AT(86399)).code, 550);
	assert_int_equal(send_one(m, &a, AT(86400)).code, 250);
	assert_int_equal(sandbox_model_peak(m, SANDBOX_LIMIT_EXTERNAL)->broken, 2);
	assert_string_equal(sandbox_model_violation(m, 0)->limit, "tenant-external");
	sandbox_model_free(m);
}

static void only_strict_refuses_for_the_tenant(void **state)
{
	struct sandbox_model *m = strict_model(1);
	const struct sent a = { "a@contoso.com", 40, 40, SANDBOX_COUNT_ALL };
	uint64_t allowed;

	(void)state;
	sandbox_model_limits(m)->strict = false;
	assert_int_equal(send_one(m, &a, AT(0)).code, 250);
	assert_int_equal(sandbox_model_violation_count(m), 0);
	/* It is counted all the same: the admin endpoint shows it. */
	assert_int_equal(sandbox_model_external(m, AT(1), &allowed), 40);
	assert_int_equal(allowed, 1);
	sandbox_model_free(m);
}

static void young_and_trial_tenants(void **state)
{
	static const struct {
		uint32_t age;
		bool trial;
		uint32_t messages; /* of 100 recipients */
		const char *enhanced;
	} rows[] = { { PROVIDER_AGE_UNKNOWN, false, 100, "5.7.233" },
		{ 3, false, 10, "5.7.233" },
		{ 40, false, 25, "5.7.233" },
		{ 400, true, 5, "5.7.232" } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct sandbox_model *m = strict_model(0);
		const struct sent a = { "a@contoso.com", 100, 100, SANDBOX_COUNT_ALL };
		struct sandbox_reply r;

		sandbox_model_limits(m)->tenant.age_days = rows[i].age;
		sandbox_model_limits(m)->tenant.trial = rows[i].trial;
		sandbox_model_limits(m)->recipients_per_day = 0;
		assert_int_equal(send_until_refused(m, &a, AT(0), &r), rows[i].messages);
		assert_string_equal(r.enhanced, rows[i].enhanced);
		sandbox_model_free(m);
	}
}

static void onmicrosoft_senders(void **state)
{
	struct sandbox_model *m = strict_model(10000);
	const struct sent a = { "a@contoso.onmicrosoft.com", 1, 1, SANDBOX_COUNT_ALL };
	const struct sent b = { "b@contoso.onmicrosoft.com", 60, 60, SANDBOX_COUNT_DAY };
	struct sandbox_reply r;

	(void)state;
	assert_int_equal(send_one(m, &b, AT(0)).code, 250);
	assert_int_equal(send_until_refused(m, &a, AT(0), &r), 40);
	assert_string_equal(r.enhanced, "5.7.236");
	sandbox_model_free(m);
}

static void doors_of_a_mailbox_share_its_day(void **state)
{
	struct sandbox_model *m = strict_model(1000000);
	const struct sent smtp = { "a@contoso.com", 500, 0, SANDBOX_COUNT_ALL };
	const struct sent graph = { "A@Contoso.com", 500, 0, SANDBOX_COUNT_DAY };
	struct sandbox_reply r;

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(send_one(m, &smtp, AT(i)).code, 250);
	assert_int_equal(send_until_refused(m, &graph, AT(20), &r), 10);
	assert_string_equal(r.enhanced, "5.2.0");
	sandbox_model_free(m);
}

static void people_spend_beside_us(void **state)
{
	struct sandbox_model *m = strict_model(1000);
	struct sandbox_mailbox *b = sandbox_model_mailbox(m, SV("a@contoso.com"), true);
	const struct sent a = { "a@contoso.com", 1, 1, SANDBOX_COUNT_ALL };
	struct sandbox_reply r;
	uint64_t allowed;

	(void)state;
	sandbox_model_people(m, 30, AT(0));
	assert_int_equal(sandbox_model_external(m, AT(3600), &allowed), 30);
	assert_int_equal(send_until_refused(m, &a, AT(3600), &r), 970);
	/* Days later only those of the last 24 hours are in the window. */
	assert_int_equal(sandbox_model_external(m, AT(10 * 86400), &allowed), 720);
	sandbox_model_forget(m);
	/* 600 an hour are 10 of the 30 of a minute. */
	sandbox_model_people(m, 0, AT(20 * 86400));
	sandbox_model_limits(m)->messages_per_minute = 30;
	sandbox_mailbox_people(b, 600, AT(20 * 86400));
	assert_int_equal(send_until_refused(m, &a, AT(20 * 86400 + 60), &r), 20);
	assert_string_equal(r.enhanced, "4.4.2");
	sandbox_model_free(m);
}

static void direct_send_by_domain(void **state)
{
	char one[] = "a@contoso.com", two[] = "b@CONTOSO.com", other[] = "c@fabrikam.com";
	char *const both[] = { one, two, other };
	struct sandbox_model *m = strict_model(0);
	struct sandbox_reply r = { .code = 250 };

	(void)state;
	sandbox_model_limits(m)->direct_per_hour = 2;
	sandbox_model_direct(m, both, 2, AT(0), &r);
	sandbox_model_direct(m, both, 3, AT(1), &r);
	assert_int_equal(r.code, 250);
	sandbox_model_direct(m, both, 1, AT(2), &r);
	assert_int_equal(r.code, 451);
	r.code = 250;
	sandbox_model_direct(m, both + 2, 1, AT(3), &r);
	assert_int_equal(r.code, 250);
	sandbox_model_direct(m, both, 1, AT(3600), &r);
	assert_int_equal(r.code, 250);
	sandbox_model_free(m);
}

static void hve_costs_money(void **state)
{
	struct sandbox_model *m = strict_model(0);

	(void)state;
	sandbox_model_limits(m)->hve_budget_cents = 100;
	sandbox_model_hve(m, SV("hve@contoso.com"), 20000, AT(0));
	assert_int_equal(sandbox_model_hve_microdollars(m), 840000);
	assert_int_equal(sandbox_model_violation_count(m), 0);
	sandbox_model_hve(m, SV("hve@contoso.com"), 4000, AT(1));
	assert_int_equal(sandbox_model_hve_microdollars(m), 1008000);
	assert_string_equal(sandbox_model_violation(m, 0)->limit, "hve-money");
	sandbox_model_free(m);
}

static void ten_thousand_mailboxes_are_found(void **state)
{
	struct sandbox_model *m = sandbox_model_new();
	char address[64];

	(void)state;
	for (int i = 0; i < 10000; i++) {
		(void)snprintf(address, sizeof(address), "User%d@contoso.com", i);
		assert_non_null(sandbox_model_mailbox(m, sv_from(address), true));
	}
	assert_int_equal(sandbox_model_mailbox_count(m), 10000);
	assert_ptr_equal(sandbox_model_mailbox(m, SV("uSER77@CONTOSO.COM"), false),
		sandbox_model_mailbox_at(m, 77));
	assert_null(sandbox_model_mailbox(m, SV("user10000@contoso.com"), false));
	sandbox_model_free(m);
}

static void peaks_are_kept_and_forgotten(void **state)
{
	struct sandbox_model *m = strict_model(1000);
	const struct sent few = { "a@contoso.com", 3, 3, SANDBOX_COUNT_ALL };
	const struct sent many = { "b@contoso.com", 30, 0, SANDBOX_COUNT_ALL };
	const struct sandbox_peak *p = sandbox_model_peak(m, SANDBOX_LIMIT_DAY);

	(void)state;
	(void)send_one(m, &many, AT(0));
	(void)send_one(m, &few, AT(1));
	assert_string_equal(p->who, "b@contoso.com");
	assert_int_equal(p->used, 30);
	assert_int_equal(p->allowed, 10000);
	assert_int_equal(sandbox_model_peak(m, SANDBOX_LIMIT_EXTERNAL)->used, 3);
	sandbox_model_forget(m);
	assert_int_equal(p->used, 0);
	sandbox_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tenant_counts_all_mailboxes),
		cmocka_unit_test(only_strict_refuses_for_the_tenant),
		cmocka_unit_test(young_and_trial_tenants),
		cmocka_unit_test(onmicrosoft_senders),
		cmocka_unit_test(doors_of_a_mailbox_share_its_day),
		cmocka_unit_test(people_spend_beside_us),
		cmocka_unit_test(direct_send_by_domain),
		cmocka_unit_test(hve_costs_money),
		cmocka_unit_test(ten_thousand_mailboxes_are_found),
		cmocka_unit_test(peaks_are_kept_and_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
