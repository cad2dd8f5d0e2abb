/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/plan.h"

#include "authn/test_zone.h"
#include "base/err.h"
#include "domain/dkim_targets.h"

#include "cmocka_all.h"

/* Plans over a table of records. */

static struct domain_plan plan;

static const struct domain_change *change_of(const char *topic, size_t nth)
{
	size_t i = 0;

	while (i < plan.change_count && (strcmp(plan.changes[i].topic, topic) != 0 || nth-- != 0))
		i++;
	must(i < plan.change_count);
	return &plan.changes[i];
}

static void run(struct domain_wish *w, const struct zone_row *rows, size_t count)
{
	struct zone z = { .rows = rows, .row_count = count };
	struct authn_memo *memo = authn_memo_new(200);

	w->domain = SV("contoso.com");
	while (!domain_plan(w, memo, &plan))
		(void)zone_serve(&z, memo);
	authn_memo_free(memo);
}

#define RUN(wish, rows) run(wish, rows, COUNT_OF(rows))
#define CLOUD_ROW                                                                       \
	{                                                                               \
		"spf.protection.outlook.com", AUTHN_TXT, "v=spf1 ip4:40.92.0.0/15 -all" \
	}

static void expect(const struct domain_change *c, enum domain_deed deed, const char *after)
{
	assert_int_equal(c->deed, deed);
	if (after) {
		assert_int_equal(c->after_count, 1);
		assert_true(sv_eq(c->after[0].data, sv_from(after)));
	}
}

static void a_domain_without_records_gets_them(void **state)
{
	static const struct zone_row rows[] = { CLOUD_ROW,
		{ "contoso.com", AUTHN_TXT, "google-site-verification=x" } };
	struct domain_wish w = { .report_to = SV("mailto:d@contoso.com"),
		.dkim = { SV("selector1-contoso-com._domainkey.contoso.n-v1.dkim.mail.microsoft"),
			SV("") },
		.mx = SV("contoso-com.mail.protection.outlook.com") };

	(void)state;
	RUN(&w, rows);
	expect(change_of("SPF", 0),
		DOMAIN_CHANGES,
		"v=spf1 include:spf.protection.outlook.com ~all");
	assert_int_equal(
		change_of("SPF", 0)->before_count, 0); /* the other text is not its business */
	assert_int_equal(change_of("SPF", 0)->lookups_after, 1);
	expect(change_of("DMARC", 0), DOMAIN_CHANGES, "v=DMARC1; p=none; rua=mailto:d@contoso.com");
	expect(change_of("DKIM", 0),
		DOMAIN_CHANGES,
		"selector1-contoso-com._domainkey.contoso.n-v1.dkim.mail.microsoft");
	assert_true(sv_eq(change_of("DKIM", 0)->name, SV("selector1._domainkey.contoso.com")));
	expect(change_of("MX", 0), DOMAIN_CHANGES, "contoso-com.mail.protection.outlook.com");
	assert_int_equal(plan.change_count, 4); /* selector2 was not wished for */
	domain_plan_deinit(&plan);
}

static void what_is_right_stays(void **state)
{
	static const struct zone_row rows[] = { CLOUD_ROW,
		{ "contoso.com", AUTHN_TXT, "v=spf1 include:spf.protection.outlook.com -all" },
		{ "_dmarc.contoso.com",
			AUTHN_TXT,
			"v=DMARC1;p=reject ;  rua=mailto:d@contoso.com" },
		{ "selector1._domainkey.contoso.com", AUTHN_CNAME, "S1.dkim.mail.microsoft" },
		{ "contoso.com", AUTHN_MX, "0 contoso-com.mail.protection.outlook.com" } };
	struct domain_wish w = { .dkim = { SV("s1.dkim.mail.microsoft"), SV("") },
		.mx = SV("contoso-com.mail.protection.outlook.com") };

	(void)state;
	RUN(&w, rows);
	assert_int_equal(domain_plan_count(&plan, DOMAIN_IS_RIGHT), 4);
	domain_plan_deinit(&plan);
}

static void dmarc_goes_by_stages(void **state)
{
	static const struct {
		const char *before;
		enum domain_stage stage;
		const char *after;
		bool risky;
	} rows[] = {
		{ "v=DMARC1; p=none; rua=mailto:d@contoso.com",
			DOMAIN_STAGE_QUARANTINE_TEST,
			"v=DMARC1; p=quarantine; rua=mailto:d@contoso.com; t=y",
			true },
		{ "v=DMARC1; p=quarantine; t=y; rua=mailto:d@contoso.com",
			DOMAIN_STAGE_QUARANTINE,
			"v=DMARC1; p=quarantine; rua=mailto:d@contoso.com",
			true },
		{ "v=DMARC1; p=quarantine; pct=20; sp=none",
			DOMAIN_STAGE_REJECT_TEST,
			"v=DMARC1; p=reject; sp=none; t=y",
			true },
		{ "v=DMARC1; p=reject; t=y", DOMAIN_STAGE_REJECT, "v=DMARC1; p=reject", true },
		{ "v=DMARC1; p=none", DOMAIN_STAGE_REJECT, "v=DMARC1; p=reject", true },
		{ "v=DMARC1; p=reject; rua=mailto:d@contoso.com",
			DOMAIN_STAGE_NONE,
			"v=DMARC1; p=none; rua=mailto:d@contoso.com",
			false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct zone_row zone[] = { CLOUD_ROW,
			{ "_dmarc.contoso.com", AUTHN_TXT, rows[i].before } };
		struct domain_wish w = { .stage = rows[i].stage };
		const struct domain_change *c;

		RUN(&w, zone);
		c = change_of("DMARC", 0);
		expect(c, DOMAIN_CHANGES, rows[i].after);
		assert_int_equal(c->risk.len > 0, rows[i].risky);
		assert_int_equal(sv_find(c->risk, SV("is skipped")) >= 0, i == 4);
		domain_plan_deinit(&plan);
	}
}

static void what_is_not_safe_is_left_to_a_person(void **state)
{
	static const struct {
		struct zone_row row;
		const char *topic, *says;
	} rows[] = {
		{ { "contoso.com", AUTHN_TXT, "v=spf1 ipv4:192.0.2.1 -all" },
			"SPF",
			"cannot be read" },
		{ { "contoso.com",
			  AUTHN_TXT,
			  "v=spf1 a:a.test a:b.test a:c.test a:d.test a:e.test a:f.test a:g.test "
			  "a:h.test a:i.test a:j.test -all" },
			"SPF",
			"11 of 10 look-ups" },
		{ { "contoso.com", AUTHN_TXT, NULL }, "SPF", "no name server told" },
		{ { "contoso.com", AUTHN_TXT, "v=spf1 include:gone.test -all" },
			"SPF",
			"would not be taken" },
		{ { "_dmarc.contoso.com", AUTHN_CNAME, "contoso.com.dmarc.vendor.test" },
			"DMARC",
			"kept elsewhere" },
		{ { "_dmarc.contoso.com", AUTHN_TXT, "v=DMARC1; p=none; p=reject" },
			"DMARC",
			"cannot be read" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct zone_row zone[] = { CLOUD_ROW,
			rows[i].row,
			{ "a.test", AUTHN_A, "192.0.2.1" },
			{ "b.test", AUTHN_A, "192.0.2.1" },
			{ "c.test", AUTHN_A, "192.0.2.1" },
			{ "d.test", AUTHN_A, "192.0.2.1" },
			{ "e.test", AUTHN_A, "192.0.2.1" },
			{ "f.test", AUTHN_A, "192.0.2.1" },
			{ "g.test", AUTHN_A, "192.0.2.1" },
			{ "h.test", AUTHN_A, "192.0.2.1" },
			{ "i.test", AUTHN_A, "192.0.2.1" },
			{ "j.test", AUTHN_A, "192.0.2.1" } };
		struct domain_wish w = { .stage = DOMAIN_STAGE_NONE };
		const struct domain_change *c;

		RUN(&w, zone);
		c = change_of(rows[i].topic, 0);
		expect(c, DOMAIN_BLOCKED, NULL);
		assert_true(sv_find(c->why, sv_from(rows[i].says)) >= 0);
		assert_int_equal(c->after_count, 0);
		assert_true(c->step.len > 0);
		domain_plan_deinit(&plan);
	}
}

static void a_key_that_stands_in_the_way_is_named(void **state)
{
	static const struct zone_row rows[] = { CLOUD_ROW,
		{ "selector1._domainkey.contoso.com", AUTHN_TXT, "v=DKIM1; p=AAAA" },
		{ "selector2._domainkey.contoso.com", AUTHN_CNAME, "old.vendor.test" } };
	struct domain_wish w = { .dkim = { SV("s1.dkim.mail.microsoft"),
					 SV("s2.dkim.mail.microsoft") } };

	(void)state;
	RUN(&w, rows);
	assert_int_equal(change_of("DKIM", 0)->before[0].type, AUTHN_TXT);
	assert_true(sv_find(change_of("DKIM", 0)->risk, SV("a key stands here")) == 0);
	assert_int_equal(change_of("DKIM", 1)->before[0].type, AUTHN_CNAME);
	assert_true(sv_find(change_of("DKIM", 1)->risk, SV("until Microsoft signs")) > 0);
	domain_plan_deinit(&plan);
}

static void a_dropped_service_is_a_risk_that_is_said(void **state)
{
	static const struct zone_row rows[] = { CLOUD_ROW,
		{ "contoso.com", AUTHN_TXT, "v=spf1 include:old.test -all" },
		{ "old.test", AUTHN_TXT, "v=spf1 -all" } };
	const struct sv drop = SV("include:old.test"), add = SV("ip4:203.0.113.9");
	struct domain_wish w = {
		.spf_drop = &drop, .spf_drop_count = 1, .spf_add = &add, .spf_add_count = 1
	};

	(void)state;
	RUN(&w, rows);
	expect(change_of("SPF", 0),
		DOMAIN_CHANGES,
		"v=spf1 include:spf.protection.outlook.com ip4:203.0.113.9 -all");
	assert_true(sv_find(change_of("SPF", 0)->risk, SV("dropped")) > 0);
	domain_plan_deinit(&plan);
}

/* ---- what is pasted ---- */

static void targets_are_found_in_what_microsoft_prints(void **state)
{
	static const struct {
		const char *text;
		int rc;
		const char *first;
	} rows[] = {
		{ "Domain         : contoso.com\r\nEnabled        : False\r\n"
		  "Selector1CNAME : selector1-contoso-com._domainkey.contoso.onmicrosoft.com\r\n"
		  "Selector2CNAME : selector2-contoso-com._domainkey.contoso.onmicrosoft.com\r\n",
			0,
			"selector1-contoso-com._domainkey.contoso.onmicrosoft.com" },
		{ "{\"value\":[{\"Domain\":\"contoso.com\",\"Selector1CNAME\":\"selector1-contoso-"
		  "com._domainkey.contoso.n-v1.dkim.mail.microsoft.\","
		  "\"Selector2CNAME\":\"selector2-contoso-com._domainkey.contoso.n-v1.dkim.mail."
		  "microsoft.\"}]}",
			0,
			"selector1-contoso-com._domainkey.contoso.n-v1.dkim.mail.microsoft" },
		{ "Domain : mail.contoso.com\nSelector1CNAME : "
		  "selector1-x._domainkey.x.onmicrosoft.com\n"
		  "Selector2CNAME : selector2-x._domainkey.x.onmicrosoft.com\n\n"
		  "Domain : contoso.com\nSelector1CNAME : "
		  "selector1-c._domainkey.c.onmicrosoft.com\n"
		  "Selector2CNAME : selector2-c._domainkey.c.onmicrosoft.com\n",
			0,
			"selector1-c._domainkey.c.onmicrosoft.com" },
		{ "Domain : a.test\nSelector1CNAME : x\nSelector2CNAME : y\nDomain : "
		  "b.test\nSelector1CNAME : x\nSelector2CNAME : y\n",
			RC_PARSE,
			NULL },
		{ "Selector1CNAME : selector1-c._domainkey.attacker.example\nSelector2CNAME : x\n",
			RC_PARSE,
			NULL },
		{ "Selector1CNAME : \nSelector2CNAME : \n", RC_PARSE, NULL },
		{ "nothing", RC_NOT_FOUND, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct sv targets[2];

		assert_int_equal(
			domain_dkim_targets(sv_from(rows[i].text), SV("contoso.com"), targets),
			rows[i].rc);
		if (rows[i].first)
			assert_true(sv_eq(targets[0], sv_from(rows[i].first)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_domain_without_records_gets_them),
		cmocka_unit_test(what_is_right_stays),
		cmocka_unit_test(dmarc_goes_by_stages),
		cmocka_unit_test(what_is_not_safe_is_left_to_a_person),
		cmocka_unit_test(a_key_that_stands_in_the_way_is_named),
		cmocka_unit_test(targets_are_found_in_what_microsoft_prints),
		cmocka_unit_test(a_dropped_service_is_a_risk_that_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
