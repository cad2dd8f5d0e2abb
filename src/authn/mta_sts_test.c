/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/mta_sts.h"

#include "cmocka_all.h"

struct row {
	const char *name;
	struct sv text;
	enum authn_sts_fault fault;
};

static const struct row sts_rows[] = {
	{ "usual", SV_INIT("v=STSv1; id=20160831085700Z;"), 0 },
	{ "no ; at the end, another field", SV_INIT("v=STSv1;x-1.y=z; id=1"), 0 },
	{ "other text", SV_INIT("v=spf1 -all"), AUTHN_STS_NONE },
	{ "other version", SV_INIT("v=STSv2; id=1"), AUTHN_STS_NONE },
	{ "id first", SV_INIT("id=1; v=STSv1"), AUTHN_STS_NONE },
	{ "nothing else", SV_INIT("v=STSv1"), AUTHN_STS_SYNTAX },
	{ "no id", SV_INIT("v=STSv1;"), AUTHN_STS_ID },
	{ "a sign in it", SV_INIT("v=STSv1; id=2016-08-31"), AUTHN_STS_ID },
	{ "too long", SV_INIT("v=STSv1; id=123456789012345678901234567890123"), AUTHN_STS_ID },
	{ "no value", SV_INIT("v=STSv1; id"), AUTHN_STS_SYNTAX },
};
static const struct row rpt_rows[] = {
	{ "usual", SV_INIT("v=TLSRPTv1; rua=mailto:tls@example.com"), 0 },
	{ "two", SV_INIT("v=TLSRPTv1;rua=mailto:a@b.c , https://r.example/v1;"), 0 },
	{ "none", SV_INIT("v=TLSRPTv1;"), AUTHN_STS_RUA },
	{ "http", SV_INIT("v=TLSRPTv1; rua=http://r.example"), AUTHN_STS_RUA },
	{ "address alone", SV_INIT("v=TLSRPTv1; rua=a@b.c"), AUTHN_STS_RUA },
	{ "other", SV_INIT("v=DMARC1; rua=mailto:a@b.c"), AUTHN_STS_NONE },
};
static const struct row policy_rows[] = {
	{ "RFC",
		SV_INIT("version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\n"
			"mx: backupmx.example.com\nmax_age: 604800\n"),
		0 },
	{ "CR LF, other order, others",
		SV_INIT("mx: a.b\r\nmax_age:1\r\nfoo: bar\r\nmode :testing\r\nversion: STSv1"),
		0 },
	{ "none needs no host", SV_INIT("version: STSv1\nmode: none\nmax_age: 86400"), 0 },
	{ "the first counts",
		SV_INIT("version: STSv1\nmode: enforce\nmode: x\nmax_age: 1\nmx: a.b\nversion: 2"),
		0 },
	{ "a page of the web", SV_INIT("<html>\n</html>"), AUTHN_STS_SYNTAX },
	{ "empty", SV_INIT(""), AUTHN_STS_VERSION },
	{ "no version", SV_INIT("mode: none\nmax_age: 1"), AUTHN_STS_VERSION },
	{ "mode", SV_INIT("version: STSv1\nmode: on\nmax_age: 1\nmx: a.b"), AUTHN_STS_MODE },
	{ "no mode", SV_INIT("version: STSv1\nmax_age: 1\nmx: a.b"), AUTHN_STS_MODE },
	{ "no age", SV_INIT("version: STSv1\nmode: none"), AUTHN_STS_MAX_AGE },
	{ "age", SV_INIT("version: STSv1\nmode: none\nmax_age: 31557601"), AUTHN_STS_MAX_AGE },
	{ "no host", SV_INIT("version: STSv1\nmode: testing\nmax_age: 1"), AUTHN_STS_MX },
	{ "host", SV_INIT("version: STSv1\nmode: none\nmax_age: 1\nmx: a.*.b"), AUTHN_STS_MX },
	{ "several hosts in a line",
		SV_INIT("version: STSv1\nmode: none\nmax_age: 1\nmx: a.b c.d"),
		AUTHN_STS_MX },
};

static struct authn_answer answer(struct authn_record *r, size_t count)
{
	return (struct authn_answer){ .status = AUTHN_FOUND, .records = r, .count = count };
}

static void records(void **state)
{
	struct sv value;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sts_rows); i++) {
		struct authn_record r = { .data = sts_rows[i].text };
		struct authn_answer a = answer(&r, 1);

		if (authn_sts_record(&a, &value) != sts_rows[i].fault)
			fail_msg("MTA-STS: %s", sts_rows[i].name);
	}
	for (size_t i = 0; i < COUNT_OF(rpt_rows); i++) {
		struct authn_record r = { .data = rpt_rows[i].text };
		struct authn_answer a = answer(&r, 1);

		if (authn_tls_rpt_record(&a, &value) != rpt_rows[i].fault)
			fail_msg("TLS-RPT: %s", rpt_rows[i].name);
	}
}

static void only_one_record(void **state)
{
	struct authn_record r[] = { { .data = SV_INIT("verification=1") },
		{ .data = SV_INIT("v=STSv1; id=a1;") },
		{ .data = SV_INIT("v=STSv1; id=a2;") } };
	struct authn_answer a = answer(r, 2);
	struct authn_answer failed = { .status = AUTHN_FAILURE };
	struct sv id;

	(void)state;
	assert_int_equal(authn_sts_record(&a, &id), AUTHN_STS_GOOD);
	assert_true(sv_eq(id, SV("a1")));
	a.count = 3;
	assert_int_equal(authn_sts_record(&a, &id), AUTHN_STS_SEVERAL);
	assert_int_equal(authn_sts_record(&failed, &id), AUTHN_STS_UNKNOWN);
}

static void policies(void **state)
{
	struct authn_sts_policy p;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(policy_rows); i++) {
		enum authn_sts_fault fault = authn_sts_policy_parse(policy_rows[i].text, &p);

		if (fault != policy_rows[i].fault)
			fail_msg("%s: %s", policy_rows[i].name, authn_sts_fault_text(fault));
	}
}

static void hosts(void **state)
{
	struct authn_sts_policy p;

	(void)state;
	assert_int_equal(authn_sts_policy_parse(policy_rows[0].text, &p), AUTHN_STS_GOOD);
	assert_int_equal(p.mode, AUTHN_STS_MODE_ENFORCE);
	assert_int_equal(p.max_age_s, 604800);
	assert_true(authn_sts_matches(&p, SV("Mail.Example.com.")));
	assert_true(authn_sts_matches(&p, SV("mx1.example.net")));
	assert_false(authn_sts_matches(&p, SV("a.mx1.example.net")));
	assert_false(authn_sts_matches(&p, SV("example.net")));
	assert_false(authn_sts_matches(&p, SV(".example.net")));
	assert_false(authn_sts_matches(&p, SV("other.example.com")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records),
		cmocka_unit_test(only_one_record),
		cmocka_unit_test(policies),
		cmocka_unit_test(hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
