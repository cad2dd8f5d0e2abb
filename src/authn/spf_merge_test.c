/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/spf_merge.h"

#include "authn/spf.h"
#include "authn/spf_survey.h"
#include "authn/test_zone.h"
#include "base/err.h"
#include "base/rng.h"

#include "cmocka_all.h"

/* Merging of SPF records: by hand, and as a property over generated ones. */

#define CLOUD SV("include:cloud.test")

static int merge(const char *const *records, size_t count, const struct sv *drop, size_t drops,
	char all, struct buf *out)
{
	struct sv views[4], add = CLOUD, bad;
	const struct spf_merge m = { .records = views,
		.record_count = count,
		.add = &add,
		.add_count = 1,
		.drop = drop,
		.drop_count = drops,
		.all = all };

	for (size_t i = 0; i < count; i++)
		views[i] = sv_from(records[i]);
	buf_reset(out);
	return spf_merge(&m, out, &bad);
}

static void new_terms_stand_in_front_and_one_record_stays(void **state)
{
	static const struct {
		const char *before[3];
		char all;
		const char *after;
	} rows[] = {
		{ { NULL }, 0, "v=spf1 include:cloud.test ~all" },
		{ { NULL }, '-', "v=spf1 include:cloud.test -all" },
		{ { "v=spf1 -all" }, 0, "v=spf1 include:cloud.test -all" },
		{ { "v=spf1 ip4:192.0.2.1 ~all" },
			0,
			"v=spf1 include:cloud.test ip4:192.0.2.1 ~all" },
		{ { "v=spf1 a include:CLOUD.test -all" }, 0, "v=spf1 include:cloud.test a -all" },
		{ { "v=spf1 +include:cloud.test -all" }, 0, "v=spf1 include:cloud.test -all" },
		{ { "v=spf1 ?include:cloud.test -all" },
			0,
			"v=spf1 include:cloud.test ?include:cloud.test -all" },
		{ { "v=spf1 a ~all" }, '-', "v=spf1 include:cloud.test a -all" },
		{ { "v=spf1 a" }, 0, "v=spf1 include:cloud.test a" },
		{ { "v=spf1 a redirect=x.test" },
			0,
			"v=spf1 include:cloud.test a redirect=x.test" },
		{ { "v=spf1 a redirect=x.test" },
			'-',
			"v=spf1 include:cloud.test a include:x.test -all" },
		{ { "v=spf1 a -all redirect=x.test" }, 0, "v=spf1 include:cloud.test a -all" },
		{ { "v=spf1 a -all mx exp=e.test" },
			0,
			"v=spf1 include:cloud.test a -all exp=e.test" },
		{ { "v=spf1 a -all", "v=spf1 mx ~all" }, 0, "v=spf1 include:cloud.test a mx ~all" },
		{ { "v=spf1 a -all exp=e.test", "v=spf1 redirect=x.test exp=f.test" },
			0,
			"v=spf1 include:cloud.test a include:x.test -all exp=e.test" },
	};
	struct buf out = BUF_INIT(4096);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		size_t count = 0;

		while (rows[i].before[count])
			count++;
		assert_int_equal(merge(rows[i].before, count, NULL, 0, rows[i].all, &out), 0);
		assert_true(buf_append_char(&out, '\0') == 0);
		assert_string_equal(buf_sv(&out).ptr, rows[i].after);
	}
	buf_deinit(&out);
}

static void what_cannot_be_read_is_not_guessed(void **state)
{
	const struct sv there = SV("include:old.test"), missing = SV("include:other.test"),
			broken = SV("ipv4:192.0.2.1");
	const char *good = "v=spf1 include:old.test -all", *bad = "v=spf1 ipv4:192.0.2.1 -all";
	const char *const twice[] = { "v=spf1 redirect=a.test", "v=spf1 redirect=b.test" };
	struct buf out = BUF_INIT(4096);

	(void)state;
	assert_int_equal(merge(&bad, 1, NULL, 0, 0, &out), RC_PARSE);
	assert_int_equal(merge(&bad, 1, &broken, 1, 0, &out), 0);
	assert_true(sv_eq(buf_sv(&out), SV("v=spf1 include:cloud.test -all")));
	assert_int_equal(merge(twice, 2, NULL, 0, 0, &out), RC_PARSE);
	assert_int_equal(merge(&good, 1, &missing, 1, 0, &out), RC_NOT_FOUND);
	assert_int_equal(merge(&good, 1, &there, 1, 0, &out), 0);
	assert_true(sv_eq(buf_sv(&out), SV("v=spf1 include:cloud.test -all")));
	buf_deinit(&out);
}

/* ---- property ---- */

enum {
	WORLDS = 3000,
	TERMS_MAX = 7,
	ADDRESSES = 12,
};

static const char *const terms[] = { "a",
	"mx",
	"a:h1.test",
	"a:h2.test/30",
	"mx:h1.test",
	"ip4:192.0.2.1",
	"ip4:192.0.2.4/30",
	"ip6:2001:db8::/64",
	"include:i1.test",
	"include:i2.test",
	"exists:%{i}.e.test",
	"-ip4:192.0.2.2",
	"?a:h1.test",
	"~include:i1.test",
	"-include:i2.test",
	"a:none.test",
	"ptr:h1.test",
	"-all",
	"~all",
	"+all",
	"?all" };

struct world {
	struct zone_row rows[24];
	char records[4][512];
	struct zone zone;
	size_t count; /* rows but the domain's own record */
};

static void make_record(struct prng *p, char *out, size_t size, bool may_redirect)
{
	size_t n = prng_below(p, TERMS_MAX), used = (size_t)snprintf(out, size, "v=spf1");

	for (size_t i = 0; i < n; i++)
		used += (size_t)snprintf(
			out + used, size - used, " %s", terms[prng_below(p, COUNT_OF(terms))]);
	if (may_redirect && prng_below(p, 4) == 0)
		(void)snprintf(out + used, size - used, " redirect=i1.test");
}

static void make_world(struct prng *p, struct world *w)
{
	static const struct zone_row fixed[] = {
		{ "h1.test", AUTHN_A, "192.0.2.1" },
		{ "h1.test", AUTHN_AAAA, "2001:db8::1" },
		{ "h2.test", AUTHN_A, "192.0.2.9" },
		{ "d.test", AUTHN_A, "192.0.2.3" },
		{ "d.test", AUTHN_AAAA, "2001:db8:1::3" },
		{ "d.test", AUTHN_MX, "10 h2.test" },
		{ "h1.test", AUTHN_MX, "10 h1.test" },
		{ "192.0.2.5.e.test", AUTHN_A, "127.0.0.2" },
		{ "cloud.test", AUTHN_TXT, "v=spf1 ip4:198.51.100.0/24 -all" },
	};

	w->count = COUNT_OF(fixed);
	memcpy(w->rows, fixed, sizeof(fixed));
	for (size_t i = 0; i < 2; i++) {
		make_record(p, w->records[i], sizeof(w->records[i]), false);
		w->rows[w->count++] =
			(struct zone_row){ i ? "i2.test" : "i1.test", AUTHN_TXT, w->records[i], 0 };
	}
	make_record(p, w->records[2], sizeof(w->records[2]), true);
}

static enum spf_result judge(struct world *w, const char *record, size_t which)
{
	static const char *const addresses[ADDRESSES] = { "192.0.2.1",
		"192.0.2.2",
		"192.0.2.3",
		"192.0.2.4",
		"192.0.2.5",
		"192.0.2.7",
		"192.0.2.9",
		"192.0.2.10",
		"198.51.100.7",
		"203.0.113.1",
		"2001:db8::1",
		"2001:db8:1::3" };
	struct spf_input in = {
		.sender = SV("x@d.test"), .helo = SV("d.test"), .is_ipv6 = which >= 10
	};
	struct authn_question q;
	enum spf_result result;
	struct spf *s;

	must(inet_pton(in.is_ipv6 ? AF_INET6 : AF_INET, addresses[which], in.address) == 1);
	w->rows[w->count] = (struct zone_row){ "d.test", AUTHN_TXT, record, 0 };
	w->zone = (struct zone){ .rows = w->rows, .row_count = w->count + 1 };
	s = spf_new(&in);
	while (spf_next(s, &q) == AUTHN_ASK)
		spf_answer(s, zone_ask(&w->zone, &q));
	result = spf_verdict(s)->result;
	spf_free(s);
	return result;
}

static bool is_within_limits(struct world *w, struct sv record)
{
	struct authn_memo *memo = authn_memo_new(200);
	struct spf_survey s;

	w->zone = (struct zone){ .rows = w->rows, .row_count = w->count };
	while (!spf_survey_of(memo, SV("d.test"), record, &s))
		(void)zone_serve(&w->zone, memo);
	authn_memo_free(memo);
	return s.status == SPF_SURVEY_GOOD;
}

static void every_address_that_passed_passes(void **state)
{
	struct buf out = BUF_INIT(4096);
	size_t kept = 0, passed = 0;
	struct prng p;

	(void)state;
	for (unsigned seed = 1; seed <= WORLDS; seed++) {
		const char marks[] = { 0, 0, '-', '~', '?' };
		struct world w = { .count = 0 };
		const char *before = w.records[2];
		char mark;

		prng_seed(&p, seed);
		make_world(&p, &w);
		/* Who asks for a stricter "all" takes away what "+all" gave. */
		mark = strstr(before, "+all") ? '\0' : marks[prng_below(&p, COUNT_OF(marks))];
		if (merge(&before, 1, NULL, 0, mark, &out) != 0 ||
			!is_within_limits(&w, buf_sv(&out)))
			continue;
		assert_true(buf_append_char(&out, '\0') == 0);
		kept++;
		for (size_t i = 0; i < ADDRESSES; i++) {
			if (judge(&w, before, i) != SPF_PASS)
				continue;
			passed++;
			if (judge(&w, buf_sv(&out).ptr, i) != SPF_PASS)
				fail_msg("seed %u, address %zu: %s became %s",
					seed,
					i,
					before,
					buf_sv(&out).ptr);
		}
		assert_int_equal(judge(&w, buf_sv(&out).ptr, 8), SPF_PASS);
	}
	/* It is worth something: most worlds are within the limits, and addresses pass in them. */
	assert_true(kept > WORLDS / 3 && passed > WORLDS);
	buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_terms_stand_in_front_and_one_record_stays),
		cmocka_unit_test(what_cannot_be_read_is_not_guessed),
		cmocka_unit_test(every_address_that_passed_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
