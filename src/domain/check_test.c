/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/check.h"

#include "authn/test_zone.h"

#include "cmocka_all.h"

/* Public halves of keys that nobody has any more. */
#define KEY_2048                                                                       \
	"v=DKIM1; k=rsa; p="                                                           \
	"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA27eOVeGoDgOQiG0vO83bKz3cN77t6h49" \
	"djEfNE+qBat8E2tf9dG4RmxZ2I3rV+M3hdwtFA4qwCtEdJcQv96D4Eafn49I8Tb1IFKGTx6v0TN4" \
	"/AgE5/AbBeW0D/3qJk+GOSudsUGG0g63utQViuyKmLGbjc2mKbnM/I5eZd9rTnmCpe0EiFZKXKZm" \
	"sgwt12sBjnlcbFxsJbFIZxTL7xl/1Xf99FJqxlkL2ZjEUAoSfoNioIkIkcLKG+1zgjVINTq9hzlN" \
	"8NPiGOVmgJ9oUbThmZVatpM/OEpzIKFB0bK8sFu4lFneWf9+C3SrYbdz6KKMZgn+40eHGJzlq6K3" \
	"jo+BnQIDAQAB"
#define KEY_1024                                                                       \
	"v=DKIM1; k=rsa; p="                                                           \
	"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC30wAwGfKw9cDFSgEuk7fUFJJd5djr/Z8hvoo9" \
	"0kmkiUuRcaxnl5dxNQJ/hEqQmUutv3cwCNGZXD74OKI+McP2mxwemTGkWnvhCDLhlHnb5IUGXAGj" \
	"cmQDQAFge+WRIanlsUYzUlOynJc1H912NJSnbnQcKQ5yuTDpLzGIFdtuTQIDAQAB"

#define TARGET "selector1-good-test._domainkey.contoso.n-v1.dkim.mail.microsoft"
#define OLD_TARGET "selector1-old-test._domainkey.contoso.onmicrosoft.com"

static const struct zone_row rows[] = {
	{ "spf.protection.outlook.com", AUTHN_TXT, "v=spf1 ip4:192.0.2.0/24 -all" },
	{ "spf.protection.office365.us", AUTHN_TXT, "v=spf1 ip4:198.51.100.0/24 -all" },
	/* good.test: everything as Microsoft's pages say. */
	{ "good.test", AUTHN_TXT, "v=spf1 include:spf.protection.outlook.com -all" },
	{ "good.test", AUTHN_MX, "0 good-test.mail.protection.outlook.com" },
	{ "selector1._domainkey.good.test", AUTHN_CNAME, TARGET },
	{ TARGET, AUTHN_TXT, KEY_2048 },
	{ "selector2._domainkey.good.test",
		AUTHN_CNAME,
		"selector2-good-test._domainkey.contoso.n-v1.dkim.mail.microsoft" },
	{ "_dmarc.good.test", AUTHN_TXT, "v=DMARC1; p=reject; rua=mailto:d@good.test" },
	{ "autodiscover.good.test", AUTHN_CNAME, "autodiscover.outlook.com" },
	{ "_mta-sts.good.test", AUTHN_TXT, "v=STSv1; id=20261130" },
	{ "_smtp._tls.good.test", AUTHN_TXT, "v=TLSRPTv1; rua=mailto:t@good.test" },
	/* old.test: DKIM published and not enabled, DMARC of old. */
	{ "old.test", AUTHN_TXT, "v=spf1 include:spf.protection.outlook.com ?all" },
	{ "old.test", AUTHN_MX, "0 old-test.x-v1.mx.microsoft" },
	{ "selector1._domainkey.old.test", AUTHN_CNAME, OLD_TARGET },
	{ "_dmarc.old.test",
		AUTHN_TXT,
		"v=DMARC1; p=quarantine; pct=20; ri=86400; rua=mailto:d@elsewhere.test" },
	/* flat.test: the CNAME became a TXT, the key is short. */
	{ "flat.test", AUTHN_TXT, "v=spf1 ip4:203.0.113.0/24 ~all" },
	{ "flat.test", AUTHN_MX, "0 " },
	{ "selector1._domainkey.flat.test", AUTHN_TXT, KEY_1024 },
	{ "selector2._domainkey.flat.test", AUTHN_TXT, "v=DKIM1; p=" },
	{ "_dmarc.flat.test", AUTHN_TXT, "v=DMARC1; p=none" },
	/* us.test: another cloud's record. */
	{ "us.test", AUTHN_TXT, "v=spf1 include:spf.protection.office365.us -all" },
	{ "own._domainkey.us.test", AUTHN_TXT, KEY_2048 },
	{ "_dmarc.us.test", AUTHN_TXT, "v=DMARC1; p=none; t=y" },
	/* deep.test: too many look-ups. */
	{ "deep.test",
		AUTHN_TXT,
		"v=spf1 mx a:good.test a:x.test include:spf.protection.outlook.com "
		"exists:%{i}.test exists:%{l}.test exists:%{s}.test exists:%{d}.test "
		"exists:%{h}.test exists:%{o}.test exists:%{v}.test -all" },
	/* star.test: what *.star.test answers. */
	{ "selector1._domainkey.star.test", AUTHN_TXT, "v=spf1 -all" },
	{ "selector2._domainkey.star.test", AUTHN_TXT, "v=spf1 -all" },
	{ "broken.test", AUTHN_TXT, "v=spf1 include:%{z}.test -all" },
	{ "dead.test", 0, NULL },
	{ "selector1._domainkey.dead.test", 0, NULL },
	{ "_dmarc.dead.test", 0, NULL },
	/* g.test: of Google, with a policy that cannot be read and a second one. */
	{ "_spf.google.com", AUTHN_TXT, "v=spf1 ip4:203.0.113.0/24 ~all" },
	{ "g.test", AUTHN_TXT, "v=spf1 include:_spf.google.com ~all" },
	{ "g.test", AUTHN_MX, "1 smtp.google.com" },
	{ "google._domainkey.g.test", AUTHN_TXT, KEY_2048 },
	{ "_dmarc.g.test",
		AUTHN_TXT,
		"v=DMARC1; p=quarantine; sp=x; p=reject; rua=mailto:d@g.test" },
	{ "_dmarc.void.test", AUTHN_TXT, "v=DMARC1; p=no" },
	/* A connector's address. */
	{ "25.113.0.203.in-addr.arpa", AUTHN_PTR, "relay.flat.test" },
	{ "relay.flat.test", AUTHN_A, "203.0.113.25" },
	{ "25.113.0.203.list.test", AUTHN_A, "127.0.0.2" },
	{ "25.113.0.203.refuses.test", AUTHN_A, "127.255.255.254" },
	{ "25.113.0.203.lies.test", AUTHN_A, "93.184.216.34" },
};

struct run {
	struct zone z;
	struct authn_memo *memo;
	struct domain_report r;
	unsigned rounds;
};

static void run(struct run *t, const struct domain_question *q)
{
	t->z = (struct zone)ZONE(rows);
	t->memo = authn_memo_new(DOMAIN_QUESTIONS_MAX);
	t->r = (struct domain_report){ 0 };
	for (t->rounds = 0; !domain_check(q, t->memo, &t->r); t->rounds++)
		assert_true(zone_serve(&t->z, t->memo) > 0);
}

static void end(struct run *t)
{
	domain_report_deinit(&t->r);
	authn_memo_free(t->memo);
}

static bool has(const struct domain_report *r, enum domain_topic topic, enum domain_level level,
	const char *text)
{
	for (size_t i = 0; i < r->finding_count; i++) {
		const struct domain_finding *f = &r->findings[i];

		if (f->topic == topic && f->level == level && sv_find(f->text, sv_from(text)) >= 0)
			return true;
	}
	return false;
}

static void want(const struct domain_report *r, enum domain_topic topic, enum domain_level level,
	const char *text)
{
	if (has(r, topic, level, text))
		return;
	for (size_t i = 0; i < r->finding_count; i++)
		print_message("%s %s: %.*s\n",
			domain_topic_name(r->findings[i].topic),
			domain_level_name(r->findings[i].level),
			SV_ARG(r->findings[i].text));
	fail_msg("no %s (%s): %s", domain_topic_name(topic), domain_level_name(level), text);
}

static void a_domain_as_it_should_be(void **state)
{
	const struct domain_question q = { .domain = SV("good.test") };
	struct run t;

	(void)state;
	run(&t, &q);
	assert_int_equal(domain_report_meets(&t.r), DOMAIN_MEETS);
	assert_int_equal(t.r.rule_count, 3);
	assert_true(t.r.lookups <= 12);
	assert_true(t.rounds <= 3);
	want(&t.r, DOMAIN_SPF, DOMAIN_OK, "includes spf.protection.outlook.com");
	want(&t.r, DOMAIN_SPF, DOMAIN_NOTE, "1 of 10 look-ups");
	want(&t.r, DOMAIN_DKIM, DOMAIN_OK, "leads to " TARGET ": RSA, 2048 bits");
	want(&t.r, DOMAIN_DKIM, DOMAIN_WARN, "this is the key's turn to come");
	want(&t.r, DOMAIN_DMARC, DOMAIN_OK, "p=reject");
	want(&t.r, DOMAIN_DMARC, DOMAIN_OK, "aligned by SPF and by DKIM");
	want(&t.r, DOMAIN_MX, DOMAIN_OK, "Exchange Online");
	want(&t.r, DOMAIN_AUTODISCOVER, DOMAIN_OK, "autodiscover.outlook.com");
	want(&t.r, DOMAIN_MTA_STS, DOMAIN_OK, "20261130");
	want(&t.r, DOMAIN_TLS_RPT, DOMAIN_OK, "t@good.test");
	want(&t.r, DOMAIN_DANE, DOMAIN_NOTE, "no TLSA");
	end(&t);
}

static void dkim_that_nobody_enabled(void **state)
{
	const struct domain_question q = { .domain = SV("old.test") };
	struct run t;

	(void)state;
	run(&t, &q);
	assert_int_equal(domain_report_meets(&t.r), DOMAIN_FAILS);
	want(&t.r, DOMAIN_DKIM, DOMAIN_WARN, "leads to " OLD_TARGET ", where there is no key");
	want(&t.r, DOMAIN_DKIM, DOMAIN_WARN, "selector2 is not published");
	want(&t.r, DOMAIN_DKIM, DOMAIN_FAIL, "onmicrosoft.com");
	want(&t.r, DOMAIN_DMARC, DOMAIN_WARN, "aligned by SPF alone");
	want(&t.r, DOMAIN_DMARC, DOMAIN_WARN, "pct was removed");
	want(&t.r, DOMAIN_DMARC, DOMAIN_WARN, "ri was removed");
	want(&t.r, DOMAIN_DMARC, DOMAIN_WARN, "d@elsewhere.test does not say");
	want(&t.r, DOMAIN_SPF, DOMAIN_WARN, "?all");
	want(&t.r, DOMAIN_MX, DOMAIN_OK, "mx.microsoft");
	assert_true(t.r.rules[0].step.len > 0);
	assert_true(sv_starts(t.r.rules[0].why, SV("DKIM: ")));
	end(&t);
}

static void a_connector_and_its_lists(void **state)
{
	static const struct sv lists[] = { SV_INIT("list.test"),
		SV_INIT("refuses.test"),
		SV_INIT("lies.test"),
		SV_INIT("none.test") };
	const struct domain_address addresses[] = {
		{ .text = SV("203.0.113.25"),
			.bytes = { 203, 0, 113, 25 },
			.why = SV("connector lab"),
			.sends = true },
		{ .text = SV("192.0.2.7"), .bytes = { 192, 0, 2, 7 }, .why = SV("--ip") },
	};
	const struct domain_question q = { .domain = SV("flat.test"),
		.addresses = addresses,
		.address_count = 2,
		.helo = SV("relay.flat.test"),
		.block_lists = lists,
		.block_list_count = 4 };
	struct run t;

	(void)state;
	run(&t, &q);
	want(&t.r, DOMAIN_SPF, DOMAIN_OK, "203.0.113.25 (connector lab): pass");
	want(&t.r,
		DOMAIN_SPF,
		DOMAIN_WARN,
		"192.0.2.7 (--ip): softfail by \"~all\" at flat.test; -all would refuse it");
	want(&t.r, DOMAIN_HOST, DOMAIN_OK, "is relay.flat.test, and that name leads back");
	want(&t.r, DOMAIN_HOST, DOMAIN_OK, "EHLO says relay.flat.test");
	want(&t.r, DOMAIN_LISTS, DOMAIN_FAIL, "is on list.test (127.0.0.2)");
	want(&t.r, DOMAIN_LISTS, DOMAIN_UNKNOWN, "refuses.test answered 127.255.255.254");
	want(&t.r, DOMAIN_LISTS, DOMAIN_UNKNOWN, "lies.test answered 93.184.216.34");
	want(&t.r, DOMAIN_LISTS, DOMAIN_OK, "not on none.test");
	want(&t.r, DOMAIN_DKIM, DOMAIN_OK, "flattened");
	want(&t.r, DOMAIN_DKIM, DOMAIN_WARN, "1024 bits are few");
	want(&t.r, DOMAIN_DKIM, DOMAIN_WARN, "revoked");
	want(&t.r, DOMAIN_DMARC, DOMAIN_WARN, "nobody gets reports");
	want(&t.r, DOMAIN_MX, DOMAIN_WARN, "null MX");
	end(&t);
}

static void clouds_limits_and_silence(void **state)
{
	static const struct sv own[] = { SV_INIT("own") };
	const struct domain_question us = { .domain = SV("us.test"),
		.cloud = PROVIDER_CLOUD_GCC_HIGH,
		.selectors = own,
		.selector_count = 1 };
	const struct domain_question wrong = { .domain = SV("us.test") };
	const struct domain_question deep = { .domain = SV("deep.test") };
	const struct domain_question dead = { .domain = SV("dead.test") };
	const struct domain_question none = { .domain = SV("nowhere.test") };
	struct run t;

	(void)state;
	run(&t, &us);
	assert_int_equal(domain_report_meets(&t.r), DOMAIN_MEETS);
	want(&t.r, DOMAIN_DMARC, DOMAIN_NOTE, "t=y");
	end(&t);
	run(&t, &wrong);
	want(&t.r, DOMAIN_SPF, DOMAIN_FAIL, "does not include spf.protection.outlook.com");
	want(&t.r, DOMAIN_SPF, DOMAIN_NOTE, "another cloud");
	end(&t);
	run(&t, &deep);
	want(&t.r, DOMAIN_SPF, DOMAIN_FAIL, "more than ten");
	end(&t);
	run(&t, &(struct domain_question){ .domain = SV("broken.test") });
	want(&t.r, DOMAIN_SPF, DOMAIN_FAIL, "cannot be read: include:%{z}.test");
	assert_false(has(&t.r, DOMAIN_SPF, DOMAIN_WARN, "no \"all\""));
	end(&t);
	run(&t, &dead);
	assert_int_equal(domain_report_meets(&t.r), DOMAIN_MEETS_UNKNOWN);
	want(&t.r, DOMAIN_DMARC, DOMAIN_UNKNOWN, "no answer");
	end(&t);
	run(&t, &none);
	assert_int_equal(domain_report_meets(&t.r), DOMAIN_FAILS);
	want(&t.r, DOMAIN_SPF, DOMAIN_FAIL, "no SPF record");
	want(&t.r, DOMAIN_DMARC, DOMAIN_FAIL, "no DMARC record");
	want(&t.r, DOMAIN_MX, DOMAIN_WARN, "no MX");
	end(&t);
}

/* Whatever is wrong, the other cloud's words are in no text and in no step. */
static void each_cloud_has_its_own_steps(void **state)
{
	static const char *const others[] = {
		"Microsoft", "microsoft", "DkimSigningConfig", "Defender", "Exchange", "selector1"
	};
	static const char *const names[] = { "nowhere.test", "flat.test", "g.test" };
	struct run t;

	(void)state;
	for (size_t n = 0; n < COUNT_OF(names); n++) {
		const struct domain_question q = { .domain = sv_from(names[n]),
			.cloud = PROVIDER_CLOUD_GOOGLE };

		run(&t, &q);
		for (size_t i = 0; i < t.r.finding_count; i++)
			for (size_t k = 0; k < COUNT_OF(others); k++) {
				assert_true(sv_find(t.r.findings[i].text, sv_from(others[k])) < 0);
				assert_true(sv_find(t.r.findings[i].step, sv_from(others[k])) < 0);
			}
		end(&t);
	}
	run(&t,
		&(struct domain_question){
			.domain = SV("g.test"), .cloud = PROVIDER_CLOUD_GOOGLE });
	assert_int_equal(domain_report_meets(&t.r), DOMAIN_MEETS);
	want(&t.r, DOMAIN_MX, DOMAIN_OK, "smtp.google.com, Gmail");
	want(&t.r, DOMAIN_DMARC, DOMAIN_WARN, "\"sp=x\" cannot be read");
	want(&t.r, DOMAIN_DMARC, DOMAIN_WARN, "\"p=reject\" is a second value");
	want(&t.r, DOMAIN_DMARC, DOMAIN_OK, "the policy is p=none");
	end(&t);
	run(&t, &(struct domain_question){ .domain = SV("star.test") });
	want(&t.r, DOMAIN_DKIM, DOMAIN_WARN, "selector2 has a record that is no key: a wildcard");
	assert_false(has(&t.r, DOMAIN_DKIM, DOMAIN_WARN, "flattened"));
	end(&t);
	run(&t, &(struct domain_question){ .domain = SV("void.test") });
	want(&t.r, DOMAIN_DMARC, DOMAIN_FAIL, "\"p=no\" at _dmarc.void.test is no policy");
	want(&t.r, DOMAIN_DKIM, DOMAIN_FAIL, "Microsoft signs as contoso.onmicrosoft.com");
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_domain_as_it_should_be),
		cmocka_unit_test(dkim_that_nobody_enabled),
		cmocka_unit_test(a_connector_and_its_lists),
		cmocka_unit_test(clouds_limits_and_silence),
		cmocka_unit_test(each_cloud_has_its_own_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
