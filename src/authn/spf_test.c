/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/spf.h"

#include "authn/spf_survey.h"
#include "authn/test_zone.h"

#include "cmocka_all.h"

/* Cases of our own, beside the suites (spf_suite_test.c), which are not everywhere. */
static const struct zone_row rows[] = {
	{ "m365.test",
		AUTHN_TXT,
		"v=spf1 include:spf.outlook.test ip4:192.0.2.0/25 -all exp=why.test" },
	{ "spf.outlook.test", AUTHN_TXT, "v=spf1 ip4:198.51.100.0/24 ip6:2001:db8::/32 ~all" },
	{ "why.test", AUTHN_TXT, "%{c} may not send for %{o}, says %{r}" },
	{ "two.test", AUTHN_TXT, "v=spf1 -all" },
	{ "two.test", AUTHN_TXT, "v=spf1 +all" },
	{ "loop.test", AUTHN_TXT, "v=spf1 include:loop.test -all" },
	{ "ring.test", AUTHN_TXT, "v=spf1 redirect=ring.test" },
	{ "void.test", AUTHN_TXT, "v=spf1 a:a.void.test a:b.void.test a:c.void.test -all" },
	{ "typo.test", AUTHN_TXT, "v=spf1 ip4:192.0.2.1 ipv4:192.0.2.2 -all" },
	{ "bare.test", AUTHN_TXT, "v=spf1 ip4:192.0.2.200" },
	{ "dead.test", 0, NULL },
	{ "needs.test", AUTHN_TXT, "v=spf1 include:dead.test -all" },
	{ "none.test", AUTHN_TXT, "google-site-verification=1" },
	{ "lost.test", AUTHN_TXT, "v=spf1 include:nowhere.test -all" },
	{ "mx.test", AUTHN_TXT, "v=spf1 mx/24 -all" },
	{ "mx.test", AUTHN_MX, "10 mail.mx.test" },
	{ "mail.mx.test", AUTHN_A, "192.0.2.9" },
	{ "%.test", AUTHN_TXT, "v=spf1 -all" },
	{ "macro.test", AUTHN_TXT, "v=spf1 exists:%{ir}.%{l1r-}.%{d2}.list.test -all" },
	{ "1.2.0.192.ann.macro.test.list.test", AUTHN_A, "127.0.0.2" },
	{ "six.test", AUTHN_TXT, "v=spf1 ip6:2001:db8:1::/48 a:six.test//64 -all" },
	{ "six.test", AUTHN_AAAA, "2001:db8:2::1" },
	{ "edge.test", AUTHN_TXT, "v=spf1 ip4:0.0.0.0/0 -all" },
};

static void check(
	const char *sender, const char *address, struct spf_verdict *out, unsigned *out_asked)
{
	struct zone z = ZONE(rows);
	struct spf_input in = {
		.sender = sv_from(sender), .helo = SV("mail.test"), .receiver = SV("mx.example")
	};
	CLEANUP(spf_freep) struct spf *s = NULL;
	struct authn_question q;

	in.is_ipv6 = strchr(address, ':') != NULL;
	assert_int_equal(inet_pton(in.is_ipv6 ? AF_INET6 : AF_INET, address, in.address), 1);
	s = spf_new(&in);
	while (spf_next(s, &q) == AUTHN_ASK)
		spf_answer(s, zone_ask(&z, &q));
	*out = *spf_verdict(s);
	*out_asked = z.asked;
}

static void results(void **state)
{
	static const struct {
		const char *sender, *address;
		enum spf_result result;
		const char *said; /* somewhere in the problem */
	} cases[] = {
		{ "a@m365.test", "198.51.100.7", SPF_PASS, "" },
		{ "a@m365.test", "2001:db8::7", SPF_PASS, "" },
		{ "a@m365.test", "192.0.2.127", SPF_PASS, "" },
		{ "a@m365.test", "192.0.2.128", SPF_FAIL, "" },
		{ "a@two.test", "192.0.2.1", SPF_PERMERROR, "several" },
		{ "a@loop.test", "192.0.2.1", SPF_PERMERROR, "eleventh" },
		{ "a@ring.test", "192.0.2.1", SPF_PERMERROR, "eleventh" },
		{ "a@void.test", "192.0.2.1", SPF_PERMERROR, "c.void.test" },
		{ "a@typo.test", "192.0.2.1", SPF_PERMERROR, "ipv4:192.0.2.2" },
		{ "a@bare.test", "192.0.2.1", SPF_NEUTRAL, "" },
		{ "a@dead.test", "192.0.2.1", SPF_TEMPERROR, "dead.test" },
		{ "a@needs.test", "192.0.2.1", SPF_TEMPERROR, "dead.test" },
		{ "a@none.test", "192.0.2.1", SPF_NONE, "" },
		{ "a@nowhere.test", "192.0.2.1", SPF_NONE, "" },
		{ "a@lost.test", "192.0.2.1", SPF_PERMERROR, "nowhere.test" },
		{ "a@mx.test", "192.0.2.77", SPF_PASS, "" },
		{ "a@mx.test", "192.0.3.9", SPF_FAIL, "" },
		{ "x-ann@macro.test", "192.0.2.1", SPF_FAIL, "" },
		{ "ann-x@macro.test", "192.0.2.1", SPF_PASS, "" },
		{ "a@six.test", "2001:db8:1:9::1", SPF_PASS, "" },
		{ "a@six.test", "2001:db8:2::ffff", SPF_PASS, "" },
		{ "a@six.test", "2001:db8:3::1", SPF_FAIL, "" },
		{ "a@edge.test", "255.255.255.255", SPF_PASS, "" },
		{ "a@edge.test", "2001:db8::1", SPF_FAIL, "" },
		{ "", "192.0.2.1", SPF_NONE, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct spf_verdict v;
		unsigned asked;

		check(cases[i].sender, cases[i].address, &v, &asked);
		if (v.result != cases[i].result ||
			sv_find(sv_from(v.problem), sv_from(cases[i].said)) < 0)
			fail_msg("%s from %s: %s, %s",
				cases[i].sender,
				cases[i].address,
				spf_result_name(v.result),
				v.problem);
		assert_true(asked <= 12);
	}
}

static void a_fail_says_who_decided_and_explains(void **state)
{
	struct spf_verdict v;
	unsigned asked;

	(void)state;
	check("a@m365.test", "203.0.113.9", &v, &asked);
	assert_string_equal(v.term, "-all");
	assert_string_equal(v.domain, "m365.test");
	assert_string_equal(
		v.explanation, "203.0.113.9 may not send for m365.test, says mx.example");
	assert_int_equal(v.lookups, 1);
	assert_int_equal(asked, 3);
	check("a@m365.test", "198.51.100.9", &v, &asked);
	assert_string_equal(v.term, "include:spf.outlook.test");
	assert_string_equal(v.explanation, "");
}

static void a_survey_tells_the_whole(void **state)
{
	static const struct {
		const char *domain;
		enum spf_survey_status status;
		unsigned lookups, voids;
		const char *said;
	} cases[] = {
		{ "m365.test", SPF_SURVEY_GOOD, 1, 0, "" },
		{ "two.test", SPF_SURVEY_SEVERAL, 0, 0, "several" },
		{ "loop.test", SPF_SURVEY_BROKEN, 1, 0, "each other" },
		{ "ring.test", SPF_SURVEY_BROKEN, 1, 0, "each other" },
		{ "void.test", SPF_SURVEY_TOO_MANY, 3, 3, "more than two" },
		{ "typo.test", SPF_SURVEY_BROKEN, 0, 0, "ipv4:192.0.2.2" },
		{ "needs.test", SPF_SURVEY_UNKNOWN, 1, 0, "dead.test" },
		{ "lost.test", SPF_SURVEY_BROKEN, 1, 0, "nowhere.test" },
		{ "none.test", SPF_SURVEY_NONE, 0, 0, "" },
		{ "mx.test", SPF_SURVEY_GOOD, 1, 0, "" },
		{ "macro.test", SPF_SURVEY_GOOD, 1, 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct zone z = ZONE(rows);
		struct authn_memo *memo = authn_memo_new(60);
		struct spf_survey s;

		while (!spf_survey(memo, sv_from(cases[i].domain), &s))
			assert_true(zone_serve(&z, memo) > 0);
		if (s.status != cases[i].status || s.lookups != cases[i].lookups ||
			s.voids != cases[i].voids ||
			sv_find(sv_from(s.problem), sv_from(cases[i].said)) < 0)
			fail_msg("%s: %d, %u, %u, %s",
				cases[i].domain,
				(int)s.status,
				s.lookups,
				s.voids,
				s.problem);
		if (i == 0) {
			assert_true(s.has_all && s.all == SPF_FAIL && !s.allows_everybody);
			assert_true(spf_survey_includes(&s, SV("SPF.outlook.test")));
			assert_false(spf_survey_includes(&s, SV("outlook.test")));
		}
		authn_memo_free(memo);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results),
		cmocka_unit_test(a_fail_says_who_decided_and_explains),
		cmocka_unit_test(a_survey_tells_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
