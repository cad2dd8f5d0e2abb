/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/expiry.h"

#include "base/must.h"

#include "cmocka_all.h"

#define DAY ((int64_t)US_PER_DAY)

static void thresholds_are_days_ahead(void **state)
{
	static const struct {
		int64_t left;
		int stage;
	} rows[] = {
		{ 61 * DAY, -1 },
		{ 60 * DAY + 1, -1 },
		{ 60 * DAY, 60 },
		{ 30 * DAY + 1, 60 },
		{ 30 * DAY, 30 },
		{ 7 * DAY + 1, 30 },
		{ 7 * DAY, 7 },
		{ 1, 7 },
		{ 0, 0 },
		{ -DAY, 0 },
	};
	const struct wall_time now = { 1764074407 * (int64_t)US_PER_S };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (identity_expiry_stage(now, wall_add(now, rows[i].left)) != rows[i].stage)
			fail_msg("row %zu", i);
}

struct found {
	unsigned count[IDENTITY_EXPIRY_KIND_COUNT];
	struct wall_time ends[IDENTITY_EXPIRY_KIND_COUNT];
	char text[512];
};

static void keep(void *arg, const struct identity_expiry *e)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(2048);
	struct found *f = arg;

	f->count[e->kind]++;
	f->ends[e->kind] = e->ends;
	if (e->kind != IDENTITY_EXPIRY_SECRET)
		return;
	must(identity_expiry_text(e, wall_add(e->ends, -3 * DAY), &text) == 0);
	(void)snprintf(f->text, sizeof(f->text), "%.*s", SV_ARG(buf_sv(&text)));
}

static const char yaml[] =
	"hostname: relay.example.com\n"
	"tenants: [ { name: contoso, id: contoso.com, domains: [contoso.com], app: { client_id: "
	"8c3f7a52-0d1e-4b6a-9f00-5d2f6c1b7e44, secret: env:S, secret_expires: 2028-02-29 } } ]\n"
	"mailboxes: [ { address: a@contoso.com, tenant: contoso, password: env:P }, { address: "
	"b@contoso.com, tenant: contoso, password: env:P } ]\n"
	"routes: [ { through: a@contoso.com } ]\n";

static void what_ends_is_found(void **state)
{
	struct found f = { 0 };
	struct conf_findings findings;
	struct conf *c = conf_load_text(sv_from(yaml), &findings);

	(void)state;
	conf_findings_free(&findings);
	assert_non_null(c);
	identity_expiry_each(c, NULL, keep, &f);
	assert_int_equal(f.count[IDENTITY_EXPIRY_SECRET], 1);
	assert_int_equal(f.ends[IDENTITY_EXPIRY_SECRET].us, 1835395200 * (int64_t)US_PER_S);
	/* Once for a provider, not once a mailbox. */
	assert_int_equal(f.count[IDENTITY_EXPIRY_PASSWORD], 1);
	assert_int_equal(f.ends[IDENTITY_EXPIRY_PASSWORD].us, 1798675200 * (int64_t)US_PER_S);
	assert_int_equal(f.count[IDENTITY_EXPIRY_LOGIN], 0);
	assert_non_null(
		strstr(f.text, "client-secret of contoso: it ends on 2028-02-29, in 3 days"));
	conf_unref(c);
}

static void days_that_are_none_are_refused(void **state)
{
	static const char *const days[] = { "2027-02-29",
		"2027-13-01",
		"2027-00-01",
		"27-01-01",
		"2027-1-1",
		"2027-01-32",
		"tomorrow",
		"2019-12-31",
		"2027/01/01" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(days); i++) {
		CLEANUP(buf_deinitp) struct buf text = BUF_INIT(4096);
		struct sv before = sv_from(yaml);
		ptrdiff_t at = sv_find(before, SV("2028-02-29"));
		struct conf_findings findings;
		struct conf *c;

		must(at > 0 &&
			buf_printf(&text, "%.*s%s%s", (int)at, yaml, days[i], yaml + at + 10) == 0);
		c = conf_load_text(buf_sv(&text), &findings);
		conf_findings_free(&findings);
		if (c)
			fail_msg("%s was taken", days[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thresholds_are_days_ahead),
		cmocka_unit_test(what_ends_is_found),
		cmocka_unit_test(days_that_are_none_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
