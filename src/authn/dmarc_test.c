/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/dmarc.h"

#include "authn/test_zone.h"
#include "base/err.h"

#include "cmocka_all.h"

/* From the rules of RFC 9989, section 4.10 above all. */
static const struct zone_row rows[] = {
	{ "_dmarc.plain.test",
		AUTHN_TXT,
		"v=DMARC1; p=reject; sp=quarantine; rua=mailto:d@plain.test" },
	{ "sub.plain.test", AUTHN_A, "192.0.2.1" },
	{ "_dmarc.np.test", AUTHN_TXT, "v=DMARC1; p=none; np=reject" },
	{ "sub.np.test", AUTHN_A, "192.0.2.1" },
	{ "_dmarc.own.plain.test", AUTHN_TXT, "v=DMARC1; p=none" },
	{ "_dmarc.split.plain.test", AUTHN_TXT, "v=DMARC1; p=reject; psd=n" },
	{ "_dmarc.suffix.test", AUTHN_TXT, "v=DMARC1; psd=y; p=reject; sp=quarantine" },
	{ "_dmarc.org.suffix.test", AUTHN_TXT, "v=DMARC1; p=none" },
	{ "_dmarc.two.test", AUTHN_TXT, "v=DMARC1; p=none" },
	{ "_dmarc.two.test", AUTHN_TXT, "v=DMARC1; p=reject" },
	{ "_dmarc.other.test", AUTHN_TXT, "v=spf1 -all" },
	{ "_dmarc.other.test", AUTHN_TXT, "v=DMARC1; p=quarantine; t=y" },
	{ "_dmarc.dead.test", 0, NULL },
	{ "_dmarc.typo.test",
		AUTHN_TXT,
		"v=DMARC1; p=reject; sp=quarantin; rua=mailto:d@typo.test" },
	{ "_dmarc.void.test", AUTHN_TXT, "v=DMARC1; p=rejct" },
	{ "_dmarc.deep.test", AUTHN_TXT, "v=DMARC1; p=reject" },
	{ "_dmarc.strict.test", AUTHN_TXT, "v=DMARC1; p=reject; aspf=s; adkim=s" },
	{ "plain.test._report._dmarc.reports.test", AUTHN_TXT, "v=DMARC1" },
};

static void discover(const char *domain, struct dmarc_found *out, unsigned *out_asked,
	struct authn_memo **out_memo)
{
	struct zone z = ZONE(rows);

	*out_memo = authn_memo_new(20);
	while (!dmarc_discover(*out_memo, sv_from(domain), out))
		assert_int_equal(zone_serve(&z, *out_memo), 1);
	*out_asked = z.asked;
}

static const struct {
	const char *domain;
	enum dmarc_status status;
	const char *organisation, *at, *tag;
	enum dmarc_policy policy;
	unsigned lookups;
} walks[] = {
	{ "plain.test", DMARC_RECORD, "plain.test", "plain.test", "p", DMARC_P_REJECT, 2 },
	{ "plain.test.", DMARC_RECORD, "plain.test", "plain.test", "p", DMARC_P_REJECT, 2 },
	{ "sub.plain.test", DMARC_RECORD, "plain.test", "plain.test", "sp", DMARC_P_QUARANTINE, 3 },
	{ "no.plain.test", DMARC_RECORD, "plain.test", "plain.test", "sp", DMARC_P_QUARANTINE, 3 },
	{ "own.plain.test", DMARC_RECORD, "plain.test", "own.plain.test", "p", DMARC_P_NONE, 3 },
	{ "sub.np.test", DMARC_RECORD, "np.test", "np.test", "p", DMARC_P_NONE, 3 },
	{ "no.np.test", DMARC_RECORD, "np.test", "np.test", "np", DMARC_P_REJECT, 3 },
	{ "a.split.plain.test",
		DMARC_RECORD,
		"split.plain.test",
		"split.plain.test",
		"p",
		DMARC_P_REJECT,
		2 },
	{ "a.org.suffix.test",
		DMARC_RECORD,
		"org.suffix.test",
		"org.suffix.test",
		"p",
		DMARC_P_NONE,
		3 },
	{ "a.bare.suffix.test",
		DMARC_RECORD,
		"bare.suffix.test",
		"suffix.test",
		"sp",
		DMARC_P_QUARANTINE,
		3 },
	{ "suffix.test", DMARC_RECORD, "suffix.test", "suffix.test", "p", DMARC_P_REJECT, 1 },
	{ "two.test", DMARC_NO_RECORD, "two.test", "", "p", DMARC_P_NONE, 2 },
	{ "nothing.test", DMARC_NO_RECORD, "nothing.test", "", "p", DMARC_P_NONE, 2 },
	{ "a.other.test", DMARC_RECORD, "other.test", "other.test", "p", DMARC_P_QUARANTINE, 3 },
	{ "a.dead.test", DMARC_UNKNOWN, "a.dead.test", "dead.test", "p", DMARC_P_NONE, 2 },
	{ "a.b.c.d.e.f.g.h.i.j.deep.test",
		DMARC_RECORD,
		"deep.test",
		"deep.test",
		"p",
		DMARC_P_REJECT,
		8 },
};

static void the_tree_is_walked(void **state)
{

	(void)state;
	for (size_t i = 0; i < sizeof(walks) / sizeof(walks[0]); i++) {
		struct authn_memo *memo;
		struct dmarc_found f;
		unsigned asked;

		discover(walks[i].domain, &f, &asked, &memo);
		if (f.status != walks[i].status || f.policy != walks[i].policy ||
			f.lookups != walks[i].lookups ||
			strcmp(f.organisation, walks[i].organisation) != 0 ||
			strcmp(f.at, walks[i].at) != 0 || strcmp(f.tag, walks[i].tag) != 0)
			fail_msg("%s: %d, of %s, at %s, %s, %s, %u look-ups",
				walks[i].domain,
				(int)f.status,
				f.organisation,
				f.at,
				f.tag,
				dmarc_policy_name(f.policy),
				f.lookups);
		assert_true(asked <= f.lookups + 1);
		authn_memo_free(memo);
	}
}

#define VOID (DMARC_BAD_VALUE | DMARC_BAD_POLICY | DMARC_VOID)

static const struct {
	const char *text;
	int rc;
	enum dmarc_policy p, sp, np;
	unsigned notes;
	const char *bad;
} texts[] = {
	{ "v=DMARC1; p=reject; pct=50; rf=afrf; ri=86400",
		0,
		2,
		2,
		2,
		DMARC_HAS_PCT | DMARC_HAS_RF | DMARC_HAS_RI,
		"" },
	{ "v=DMARC1;p=none;sp=reject", 0, 0, 2, 2, 0, "" },
	{ "v = DMARC1 ; p = none ; np=quarantine;", 0, 0, 0, 1, 0, "" },
	{ "v=DMARC1", 0, 0, 0, 0, DMARC_NO_P, "" },
	{ "v=DMARC1; p=rejct", 0, 0, 0, 0, VOID, "p=rejct" },
	{ "v=DMARC1; p=none p=reject", 0, 0, 0, 0, VOID, "p=none p=reject" },
	{ "v=DMARC1; p=none; p=reject", 0, 0, 0, 0, DMARC_TWICE, "" },
	{ "v=DMARC1; p=reject; p=none; t=x", 0, 2, 2, 2, DMARC_TWICE | DMARC_BAD_VALUE, "t=x" },
	/* One policy that cannot be read spoils all three (RFC 9989 4.10.1). */
	{ "v=DMARC1; p=reject; sp=quarantin; rua=mailto:a@b.test",
		0,
		0,
		0,
		0,
		DMARC_BAD_VALUE | DMARC_BAD_POLICY,
		"sp=quarantin" },
	{ "v=DMARC1; rua=https://b.test; np=; p=reject", 0, 0, 0, 0, VOID, "np=" },
	{ "v=DMARC1; p=none; unknown=1", 0, 0, 0, 0, 0, "" },
	{ "v=DMARC1; p=none; rua=mailto:a@b.test!10m", 0, 0, 0, 0, DMARC_HAS_SIZE, "" },
	{ "v=DMARC1; p=none, rua", 0, 0, 0, 0, VOID, "p=none, rua" },
	{ "v=dmarc1; p=none", RC_NOT_FOUND, 0, 0, 0, 0, "" },
	{ "v=DMARC10; p=none", RC_NOT_FOUND, 0, 0, 0, 0, "" },
	{ "p=none; v=DMARC1", RC_NOT_FOUND, 0, 0, 0, 0, "" },
	{ "", RC_NOT_FOUND, 0, 0, 0, 0, "" },
};

static void what_is_wrong_with_a_record_is_noted(void **state)
{

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct dmarc_record r = { 0 };

		if (dmarc_record_parse(sv_from(texts[i].text), &r) != texts[i].rc ||
			r.p != texts[i].p || r.sp != texts[i].sp || r.np != texts[i].np ||
			r.notes != texts[i].notes || !sv_eq(r.bad, sv_from(texts[i].bad)))
			fail_msg("%s: %d %d %d, notes %u, %.*s",
				texts[i].text,
				(int)r.p,
				(int)r.sp,
				(int)r.np,
				r.notes,
				SV_ARG(r.bad));
	}
}

static const struct {
	const char *author, *spf, *dkim;
	enum dmarc_result result;
	enum dmarc_policy asked;
	const char *spf_unknown, *dkim_unknown;
} messages[] = {
	{ "plain.test", "bounce.plain.test", NULL, DMARC_PASS, DMARC_P_REJECT },
	{ "plain.test", NULL, "mail.plain.test", DMARC_PASS, DMARC_P_REJECT },
	{ "sub.plain.test", NULL, "plain.test", DMARC_PASS, DMARC_P_QUARANTINE },
	{ "plain.test",
		"contoso.onmicrosoft.test",
		"contoso.onmicrosoft.test",
		DMARC_FAIL,
		DMARC_P_REJECT },
	{ "split.plain.test", "plain.test", NULL, DMARC_FAIL, DMARC_P_REJECT },
	{ "strict.test", "mail.strict.test", "mail.strict.test", DMARC_FAIL, DMARC_P_REJECT },
	{ "strict.test", "STRICT.test", NULL, DMARC_PASS, DMARC_P_REJECT },
	{ "a.suffix.test", "b.suffix.test", NULL, DMARC_FAIL, DMARC_P_QUARANTINE },
	{ "other.test", NULL, NULL, DMARC_FAIL, DMARC_P_NONE },
	{ "nothing.test", "nothing.test", NULL, DMARC_NONE, DMARC_P_NONE },
	{ "dead.test", "dead.test", NULL, DMARC_TEMPERROR, DMARC_P_NONE },
	{ "plain.test", NULL, "x.dead.test", DMARC_TEMPERROR, DMARC_P_REJECT },
	{ "", NULL, NULL, DMARC_NONE, DMARC_P_NONE },
	/* What DNS did not tell counts only where it would have counted, and never against a pass. */
	{ "plain.test", NULL, NULL, DMARC_TEMPERROR, DMARC_P_REJECT, "bounce.plain.test" },
	{ "plain.test", NULL, NULL, DMARC_TEMPERROR, DMARC_P_REJECT, NULL, "mail.plain.test" },
	{ "plain.test", NULL, NULL, DMARC_FAIL, DMARC_P_REJECT, "other.test", "elsewhere.test" },
	{ "strict.test", NULL, NULL, DMARC_FAIL, DMARC_P_REJECT, "a.strict.test", "a.strict.test" },
	{ "strict.test", NULL, NULL, DMARC_TEMPERROR, DMARC_P_REJECT, NULL, "strict.test" },
	{ "plain.test", "plain.test", NULL, DMARC_PASS, DMARC_P_REJECT, NULL, "plain.test" },
	{ "nothing.test", NULL, NULL, DMARC_NONE, DMARC_P_NONE, "nothing.test" },
	/* A policy that cannot be read: none, or no DMARC at all. */
	{ "a.typo.test", NULL, NULL, DMARC_FAIL, DMARC_P_NONE },
	{ "void.test", NULL, NULL, DMARC_NONE, DMARC_P_NONE },
};

static void what_belongs_to_the_author(void **state)
{

	(void)state;
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		struct zone z = ZONE(rows);
		const struct sv dkim[] = { SV("elsewhere.test"), sv_from(messages[i].dkim) },
				unknown[] = { SV("other.test"), sv_from(messages[i].dkim_unknown) };
		struct dmarc_input in = { .author = sv_from(messages[i].author),
			.spf = sv_from(messages[i].spf),
			.dkim = dkim,
			.dkim_count = messages[i].dkim ? 2 : 0,
			.spf_unknown = sv_from(messages[i].spf_unknown),
			.dkim_unknown = unknown,
			.dkim_unknown_count = messages[i].dkim_unknown ? 2 : 0 };
		CLEANUP(dmarc_freep) struct dmarc *d = dmarc_new(&in);
		struct authn_question q;

		while (dmarc_next(d, &q) == AUTHN_ASK)
			dmarc_answer(d, zone_ask(&z, &q));
		if (dmarc_verdict(d)->result != messages[i].result ||
			dmarc_verdict(d)->asked != messages[i].asked)
			fail_msg("%zu: %s is %s",
				i,
				messages[i].author,
				dmarc_result_name(dmarc_verdict(d)->result));
	}
}

static void reports_need_consent(void **state)
{
	static const struct {
		const char *domain, *to;
		enum dmarc_consent consent;
	} cases[] = {
		{ "plain.test", "sub.plain.test", DMARC_CONSENT },
		{ "plain.test", "reports.test", DMARC_CONSENT },
		{ "np.test", "reports.test", DMARC_NO_CONSENT },
		{ "plain.test", "dead.test", DMARC_CONSENT_UNKNOWN },
	};
	struct sv list = SV(" mailto:a@b.test!10m ,, https://x.test/ ,mailto:c@d.test"), uri,
		  domain;

	(void)state;
	assert_true(dmarc_report_next(&list, &uri, &domain));
	assert_true(sv_eq(uri, SV("a@b.test")) && sv_eq(domain, SV("b.test")));
	assert_true(dmarc_report_next(&list, &uri, &domain));
	assert_true(sv_eq(uri, SV("https://x.test/")) && domain.len == 0);
	assert_true(dmarc_report_next(&list, &uri, &domain));
	assert_true(sv_eq(domain, SV("d.test")));
	assert_false(dmarc_report_next(&list, &uri, &domain));
	/* Whoever publishes the record chooses the name, and its length. */
	for (size_t len = 200; len < 4000; len += 317) {
		struct authn_memo *memo = authn_memo_new(20);
		enum dmarc_consent c = DMARC_CONSENT_UNKNOWN;
		struct zone z = ZONE(rows);
		char name[4000];

		memset(name, 'a', len);
		while (!dmarc_report_consent(memo, SV("plain.test"), sv_make(name, len), &c))
			(void)zone_serve(&z, memo);
		assert_int_equal(c, DMARC_NO_CONSENT);
		authn_memo_free(memo);
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct zone z = ZONE(rows);
		struct authn_memo *memo = authn_memo_new(20);
		enum dmarc_consent c = DMARC_CONSENT_UNKNOWN;

		while (!dmarc_report_consent(
			memo, sv_from(cases[i].domain), sv_from(cases[i].to), &c))
			(void)zone_serve(&z, memo);
		if (c != cases[i].consent)
			fail_msg("%s to %s: %d", cases[i].domain, cases[i].to, (int)c);
		authn_memo_free(memo);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tree_is_walked),
		cmocka_unit_test(what_is_wrong_with_a_record_is_noted),
		cmocka_unit_test(what_belongs_to_the_author),
		cmocka_unit_test(reports_need_consent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
