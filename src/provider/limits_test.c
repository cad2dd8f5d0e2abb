/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/limits.h"

#include "base/time.h"
#include "provider/defaults.h"

#include "cmocka_all.h"

static uint32_t external_of(uint32_t licences, uint32_t age_days, bool trial, uint32_t set)
{
	return provider_tenant_external(&(struct provider_tenant){ .licences = licences,
		.age_days = age_days,
		.trial = trial,
		.external_per_day = set });
}

/* Microsoft's own examples: 10 and 10,000 are rounded up, 25 and 100 down. */
static void tenant_external_by_licences(void **state)
{
	static const struct {
		uint32_t licences, external;
	} rows[] = { { 0, 9500 },
		{ 1, 10000 },
		{ 2, 10312 },
		{ 10, 12006 },
		{ 25, 14259 },
		{ 100, 22059 },
		{ 1000, 72446 },
		{ 10000, 324979 },
		{ 1000000, 7933966 } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(external_of(rows[i].licences, PROVIDER_AGE_UNKNOWN, false, 0),
			rows[i].external);
}

static void more_licences_never_allow_less(void **state)
{
	uint32_t before = 0;

	(void)state;
	for (uint32_t n = 0; n < 20000; n++) {
		uint32_t now = external_of(n, PROVIDER_AGE_UNKNOWN, false, 0);

		assert_true(now >= before);
		before = now;
	}
	assert_true(external_of(UINT32_MAX, PROVIDER_AGE_UNKNOWN, false, 0) > before);
}

static void young_tenants_and_trials(void **state)
{
	(void)state;
	assert_int_equal(external_of(100, 0, false, 0), 2205);
	assert_int_equal(external_of(100, 30, false, 0), 2205);
	assert_int_equal(external_of(100, 31, false, 0), 5514);
	assert_int_equal(external_of(100, 60, false, 0), 5514);
	assert_int_equal(external_of(100, 61, false, 0), 22059);
	assert_int_equal(external_of(0, 0, false, 0), 950);
	assert_int_equal(external_of(100, 400, true, 0), 500);
	/* What an administrator has read is what counts. */
	assert_int_equal(external_of(100, 3, true, 5000), 5000);
}

static void each_limit_has_its_name_and_source(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PROVIDER_LIMIT_COUNT; i++) {
		const struct provider_limit *l = provider_limit((enum provider_limit_id)i);

		assert_true(l->doors != 0);
		assert_true(sv_starts(sv_from(l->source), SV("https://")));
		assert_int_equal(sv_from(l->checked).len, 10);
		assert_ptr_equal(provider_limit_named(sv_from(l->name)), l);
		assert_true(provider_scope_name(l->scope)[0] && provider_unit_name(l->unit)[0]);
		assert_true(l->amount > 0 || i == PROVIDER_LIMIT_TENANT_EXTERNAL);
	}
	assert_null(provider_limit_named(SV("mailbox-week")));
}

static bool below(uint64_t used, enum provider_limit_id id)
{
	return used > 0 && used <= provider_limit(id)->amount;
}

/* The windows of a lane, and the table: the first may be lower. */
static void defaults_keep_to_the_table(void **state)
{
	const struct provider_defaults *d = provider_defaults(PROVIDER_SUBMISSION);

	(void)state;
	assert_true(below(d->messages_per_minute, PROVIDER_LIMIT_MAILBOX_MINUTE));
	assert_true(below(d->connections, PROVIDER_LIMIT_MAILBOX_CONNECTIONS));
	assert_true(below(d->recipients_per_day, PROVIDER_LIMIT_MAILBOX_DAY));
	assert_true(below(d->recipients_per_message, PROVIDER_LIMIT_MESSAGE_RECIPIENTS));
	assert_true(below(d->message_bytes_max, PROVIDER_LIMIT_MESSAGE_BYTES));
	d = provider_defaults(PROVIDER_GRAPH);
	assert_true(below(d->connections, PROVIDER_LIMIT_GRAPH_CONNECTIONS));
	assert_true(below(d->recipients_per_day, PROVIDER_LIMIT_MAILBOX_DAY));
	d = provider_defaults(PROVIDER_HVE);
	assert_true(below(d->recipients_per_message, PROVIDER_LIMIT_HVE_RECIPIENTS));
	assert_true(below(d->message_bytes_max, PROVIDER_LIMIT_HVE_BYTES));
	d = provider_defaults(PROVIDER_CONNECTOR);
	assert_true(below(d->recipients_per_day, PROVIDER_LIMIT_CONNECTOR_DAY));
	assert_true(below(d->recipients_per_domain, PROVIDER_LIMIT_CONNECTOR_DOMAIN));
	assert_true(below(provider_defaults(PROVIDER_DIRECT)->recipients_per_domain,
		PROVIDER_LIMIT_DIRECT_DOMAIN));
	d = provider_defaults(PROVIDER_GMAIL);
	assert_true(below(d->messages_per_day, PROVIDER_LIMIT_GMAIL_MESSAGES));
	assert_true(below(d->recipients_per_day, PROVIDER_LIMIT_GMAIL_DAY));
	assert_true(below(d->external_per_day, PROVIDER_LIMIT_GMAIL_EXTERNAL));
	assert_true(below(d->external_per_day, PROVIDER_LIMIT_GMAIL_UNIQUE));
	assert_true(below(provider_defaults(PROVIDER_DIRECT)->recipients_per_hour,
		PROVIDER_LIMIT_DIRECT_HOUR));
	assert_true(below(d->recipients_per_message, PROVIDER_LIMIT_GMAIL_MESSAGE));
}

static void doors_that_count(void **state)
{
	const struct provider_limit *external = provider_limit(PROVIDER_LIMIT_TENANT_EXTERNAL);

	(void)state;
	/* One mailbox, two doors, one count. HVE is counted by nobody but the bill. */
	assert_true(provider_limit_counts(
		provider_limit(PROVIDER_LIMIT_MAILBOX_DAY), PROVIDER_SUBMISSION));
	assert_true(
		provider_limit_counts(provider_limit(PROVIDER_LIMIT_MAILBOX_DAY), PROVIDER_GRAPH));
	assert_true(provider_limit_counts(external, PROVIDER_CONNECTOR));
	assert_false(provider_limit_counts(external, PROVIDER_HVE));
	assert_false(provider_limit_counts(external, PROVIDER_SMTP));
	assert_string_equal(provider_limit_of_day(PROVIDER_GRAPH)->name, "mailbox-day");
	assert_string_equal(provider_limit_of_day(PROVIDER_CONNECTOR)->name, "connector-day");
	assert_string_equal(provider_limit_of_day(PROVIDER_GMAIL)->name, "gmail-messages");
	assert_string_equal(provider_limit_of_day(PROVIDER_SMTP)->name, "mailbox-day");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tenant_external_by_licences),
		cmocka_unit_test(more_licences_never_allow_less),
		cmocka_unit_test(young_tenants_and_trials),
		cmocka_unit_test(each_limit_has_its_name_and_source),
		cmocka_unit_test(defaults_keep_to_the_table),
		cmocka_unit_test(doors_that_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
