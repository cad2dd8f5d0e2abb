/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/address.h"

#include "base/err.h"
#include "mail/address_list.h"

#include "cmocka_all.h"

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct parse_row {
	const char *name;
	struct sv text;
	unsigned flags;
	int rc;
	const char *local;
	const char *domain;
};

static const struct parse_row parse_rows[] = {
	{ "plain", SV_INIT("Erp@Contoso.com"), 0, 0, "Erp", "Contoso.com" },
	{ "all of atext", SV_INIT("!#$%&'*+-/=?^_`{|}~@a.b"), 0, 0, "!#$%&'*+-/=?^_`{|}~", "a.b" },
	{ "quoted with at and blank", SV_INIT("\"a @ b\"@c.d"), 0, 0, "\"a @ b\"", "c.d" },
	{ "quoted pair", SV_INIT("\"a\\\"b\"@c.d"), 0, 0, "\"a\\\"b\"", "c.d" },
	{ "one label", SV_INIT("root@localhost"), 0, 0, "root", "localhost" },
	{ "underscore host", SV_INIT("a@my_host.lan"), 0, 0, "a", "my_host.lan" },
	{ "ipv4 literal", SV_INIT("a@[127.0.0.1]"), 0, 0, "a", "[127.0.0.1]" },
	{ "ipv6 literal", SV_INIT("a@[IPv6:2001:db8::1]"), 0, 0, "a", "[IPv6:2001:db8::1]" },
	{ "ipv6 with ipv4",
		SV_INIT("a@[IPv6:::ffff:1.2.3.4]"),
		0,
		0,
		"a",
		"[IPv6:::ffff:1.2.3.4]" },
	{ "ipv6 full", SV_INIT("a@[ipv6:1:2:3:4:5:6:7:8]"), 0, 0, "a", "[ipv6:1:2:3:4:5:6:7:8]" },
	{ "no domain allowed", SV_INIT("root"), ADDRESS_NO_DOMAIN, 0, "root", "" },
	{ "utf8 allowed",
		SV_INIT("j\xc3\xb6rg@b\xc3\xbc.de"),
		ADDRESS_UTF8,
		0,
		"j\xc3\xb6rg",
		"b\xc3\xbc.de" },
	{ "dots when loose", SV_INIT(".a..b.@b.c."), ADDRESS_LOOSE, 0, ".a..b.", "b.c." },
	{ "two dots behind", SV_INIT("a@b.c.."), ADDRESS_LOOSE, RC_PARSE, 0, 0 },
	{ "a dot for a domain", SV_INIT("a@."), ADDRESS_LOOSE, RC_PARSE, 0, 0 },
	{ "no local part", SV_INIT("@b.c"), ADDRESS_LOOSE, RC_PARSE, 0, 0 },
	{ "local of 64", SV_INIT(L63 "a@b.c"), 0, 0, L63 "a", "b.c" },
	{ "empty", SV_INIT(""), ADDRESS_NO_DOMAIN, RC_PARSE, 0, 0 },
	{ "no domain", SV_INIT("root"), 0, RC_PARSE, 0, 0 },
	{ "nothing behind at", SV_INIT("a@"), ADDRESS_NO_DOMAIN, RC_PARSE, 0, 0 },
	{ "nothing before at", SV_INIT("@b.c"), 0, RC_PARSE, 0, 0 },
	{ "two ats", SV_INIT("a@b@c"), 0, RC_PARSE, 0, 0 },
	{ "dot first", SV_INIT(".a@b.c"), 0, RC_PARSE, 0, 0 },
	{ "dot last", SV_INIT("a.@b.c"), 0, RC_PARSE, 0, 0 },
	{ "dots together", SV_INIT("a..b@b.c"), 0, RC_PARSE, 0, 0 },
	{ "domain dot last", SV_INIT("a@b.c."), 0, RC_PARSE, 0, 0 },
	{ "domain dots", SV_INIT("a@b..c"), 0, RC_PARSE, 0, 0 },
	{ "domain hyphen first", SV_INIT("a@-b.c"), 0, RC_PARSE, 0, 0 },
	{ "blank", SV_INIT("a b@c.d"), 0, RC_PARSE, 0, 0 },
	{ "blank at end", SV_INIT("a@c.d "), 0, RC_PARSE, 0, 0 },
	{ "angle", SV_INIT("a@c.d>"), 0, RC_PARSE, 0, 0 },
	{ "CR LF", SV_INIT("a@c.d\r\nRCPT TO:<x@y>"), 0, RC_PARSE, 0, 0 },
	{ "LF in quotes", SV_INIT("\"a\nb\"@c.d"), 0, RC_PARSE, 0, 0 },
	{ "escaped CR in quotes", SV_INIT("\"a\\\rb\"@c.d"), 0, RC_PARSE, 0, 0 },
	{ "NUL", SV_INIT("a\0b@c.d"), 0, RC_PARSE, 0, 0 },
	{ "NUL in domain", SV_INIT("a@c\0.d"), 0, RC_PARSE, 0, 0 },
	{ "DEL in quotes", SV_INIT("\"\x7f\"@c.d"), 0, RC_PARSE, 0, 0 },
	{ "quote not closed", SV_INIT("\"a@c.d"), 0, RC_PARSE, 0, 0 },
	{ "empty quotes", SV_INIT("\"\"@c.d"), 0, RC_PARSE, 0, 0 },
	{ "text behind quotes", SV_INIT("\"a\"b@c.d"), 0, RC_PARSE, 0, 0 },
	{ "utf8 not allowed", SV_INIT("j\xc3\xb6rg@b.de"), 0, RC_PARSE, 0, 0 },
	{ "broken utf8", SV_INIT("j\xc3@b.de"), ADDRESS_UTF8, RC_PARSE, 0, 0 },
	{ "c1 control", SV_INIT("j\xc2\x9b@b.de"), ADDRESS_UTF8, RC_PARSE, 0, 0 },
	{ "ipv4 too large", SV_INIT("a@[1.2.3.256]"), 0, RC_PARSE, 0, 0 },
	{ "ipv4 short", SV_INIT("a@[1.2.3]"), 0, RC_PARSE, 0, 0 },
	{ "ipv6 two gaps", SV_INIT("a@[IPv6:1::2::3]"), 0, RC_PARSE, 0, 0 },
	{ "ipv6 three colons", SV_INIT("a@[IPv6:1:::3]"), 0, RC_PARSE, 0, 0 },
	{ "ipv6 colon last", SV_INIT("a@[IPv6:1::3:]"), 0, RC_PARSE, 0, 0 },
	{ "literal not closed", SV_INIT("a@[1.2.3.4"), 0, RC_PARSE, 0, 0 },
	{ "literal of words", SV_INIT("a@[x y]"), 0, RC_PARSE, 0, 0 },
	{ "local of 65", SV_INIT(L63 "aa@b.c"), 0, 0, L63 "aa", "b.c" },
	{ "address of 513",
		SV_INIT(L63 L63 L63 L63 L63 L63 L63 L63 "aaaaa@b.c"),
		0,
		RC_LIMIT,
		0,
		0 },
	{ "label of 64", SV_INIT("a@" L63 "a.c"), 0, RC_LIMIT, 0, 0 },
	{ "domain of 256", SV_INIT("a@" L63 "." L63 "." L63 "." L63 ".b"), 0, RC_LIMIT, 0, 0 },
};

static void addresses_are_parsed_whole_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(parse_rows); i++) {
		const struct parse_row *row = &parse_rows[i];
		struct address a;
		int rc = address_parse(row->text, row->flags, &a);

		if (rc != row->rc)
			fail_msg("%s: rc %d", row->name, rc);
		if (rc != 0)
			continue;
		if (!sv_eq(a.local, sv_from(row->local)) || !sv_eq(a.domain, sv_from(row->domain)))
			fail_msg("%s: <%.*s> <%.*s>", row->name, SV_ARG(a.local), SV_ARG(a.domain));
	}
}

struct match_row {
	const char *pattern;
	const char *text;
	bool matches;
};

static const struct match_row match_rows[] = {
	{ "erp@contoso.com", "ERP@Contoso.COM", true },
	{ "erp@contoso.com", "erp2@contoso.com", false },
	{ "*@contoso.com", "erp@contoso.com", true },
	{ "*@contoso.com", "erp@mail.contoso.com", false },
	{ "*@contoso.com", "erp@contoso.com.evil.example", false },
	{ "*@contoso.com", "\"x@contoso.com\"@evil.example", false },
	{ "*@*.contoso.com", "erp@a.b.contoso.com", true },
	{ "*@*.contoso.com", "erp@contoso.com", false },
	{ "news-*@c.d", "news-@c.d", true },
	{ "a*b*c@d.e", "axxbyybzc@d.e", true },
	{ "a*b*c@d.e", "axxbyybz@d.e", false },
	{ "*", "x@y.z", true },
	{ "*", "", true },
	{ "*", "root", true },
	{ "", "", true },
	{ "", "x@y.z", false },
	{ "*@*", "", false },
	{ "*@contoso.com", "root", false },
	{ "a..b@c.d", "\"a..b\"@c.d", true },
	{ "\"a b\"@c.d", "\"A\\ b\"@c.d", true },
	{ "*@c.d", "\"a..b\"@c.d", true },
	{ "*@*", "\"a@b\"", false },
	{ "*@contoso.com", "\"x@contoso.com\"", false },
};

static void patterns_match_part_by_part(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(match_rows); i++) {
		const struct match_row *row = &match_rows[i];

		if (address_matches(sv_from(row->pattern), sv_from(row->text)) != row->matches)
			fail_msg("'%s' on '%s'", row->pattern, row->text);
		assert_int_equal(address_pattern_check(sv_from(row->pattern)), 0);
	}
}

static void an_at_in_quotes_begins_no_domain(void **state)
{
	static const struct {
		const char *text;
		ptrdiff_t at;
	} rows[] = {
		{ "a@b.c", 1 },
		{ "\"x@y\"@b.c", 5 },
		{ "root", -1 },
		{ "\"x@y\"", -1 },
		{ "\"x\\\"@y\"", -1 },
		{ "", -1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (address_at(sv_from(rows[i].text)) != rows[i].at)
			fail_msg("%s", rows[i].text);
	/* In the one form, too: quotes that are not needed go, and what they held stays. */
	assert_true(address_matches(SV("\"a )\\)@ ;\""), SV("\"a ))@ ;\"")));
}

static void what_is_no_pattern_is_refused(void **state)
{
	static const char *const bad[] = { "contoso.com",
		"@contoso.com",
		"a@",
		"a b@c.d",
		"*@",
		"*@.com",
		"a@b@c",
		"root",
		"**",
		"a@b.c\n" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		if (address_pattern_check(sv_from(bad[i])) != RC_PARSE)
			fail_msg("'%s' was taken", bad[i]);
	}
}

static void a_mean_pattern_costs_no_more_than_its_size(void **state)
{
	char pattern[300], text[300];

	(void)state;
	/* Exponential matchers need longer than the universe for this one. */
	for (size_t i = 0; i < 200; i++)
		pattern[i] = i % 2 ? '*' : 'a';
	memset(text, 'a', 299);
	memcpy(pattern + 200, "b@c", 3);
	memcpy(text + 297, "@c", 2);
	assert_false(address_matches(sv_make(pattern, 203), sv_make(text, 299)));
}

static void keys_and_equality_ignore_case(void **state)
{
	struct buf b = BUF_INIT(20);

	(void)state;
	assert_int_equal(address_key(&b, SV("Erp@Contoso.COM")), 0);
	assert_true(sv_eq(buf_sv(&b), SV("erp@contoso.com")));
	assert_int_equal(address_key(&b, SV("123456")), RC_LIMIT);
	assert_int_equal(address_key(&b, SV("")), 0);
	assert_true(address_eq(SV("A@b"), SV("a@B")));
	assert_false(address_eq(SV("A@b"), SV("a@Bc")));
	assert_true(address_needs_utf8(SV("\xc3\xb6@b")));
	assert_false(address_needs_utf8(SV("o@b")));
	buf_deinit(&b);
}

struct list_row {
	const char *name;
	const char *text;
	const char *found; /* addresses, each with a '|' behind it; "!" at the end: RC_PARSE */
};

static const struct list_row list_rows[] = {
	{ "one", "a@b.c", "a@b.c|" },
	{ "names", "Jane <a@b.c>, \"Smith, John\" <d@e.f>", "a@b.c|d@e.f|" },
	{ "comments", "a@b.c (Jane (the (best)) \\) of all), (x) d@e.f", "a@b.c|d@e.f|" },
	{ "folded", "a@b.c,\r\n\td@e.f\r\n", "a@b.c|d@e.f|" },
	{ "comments and folding inside",
		"john (x) .\r\n doe @ (y) example . com",
		"john.doe@example.com|" },
	{ "group", "Team: a@b.c, d@e.f;, g@h.i", "a@b.c|d@e.f|g@h.i|" },
	{ "empty group", "undisclosed-recipients:;", "" },
	{ "empty elements", ", a@b.c,, ,d@e.f,", "a@b.c|d@e.f|" },
	{ "source route", "<@x.y,@z:a@b.c>", "a@b.c|" },
	{ "null", "<>", "|" },
	{ "quoted local", "\"a, b\"@c.d", "\"a, b\"@c.d|" },
	{ "at in a quoted name", "\"me@evil.example\" <a@b.c>", "a@b.c|" },
	{ "bare", "root", "root|" },
	{ "name with dots", "John Q. Public <a@b.c>", "a@b.c|" },
	{ "encoded name", "=?utf-8?B?w7Y=?= <a@b.c>", "a@b.c|" },
	{ "nothing", " \r\n ", "" },
	{ "utf8", "\xc3\xb6@b.c", "\xc3\xb6@b.c|" },
	{ "a name only", "Mister Smith", "!" },
	{ "one good, then a name", "a@b.c, Mister Smith", "a@b.c|!" },
	{ "comment not closed", "a@b.c (", "!" },
	{ "comment ends in a backslash", "a@b.c (\\", "!" },
	{ "quote not closed", "a@b.c, \"x", "a@b.c|!" },
	{ "angle not closed", "Jane <a@b.c", "!" },
	{ "angle without opening", "a@b.c>", "!" },
	{ "text behind angle", "<a@b.c> d", "!" },
	{ "two angles", "<a@b.c> <d@e.f>", "!" },
	{ "semicolons", "a@b.c; Jane <d@e.f>; g@h.i;", "a@b.c|d@e.f|g@h.i|" },
	{ "semicolon behind a group", "T: a@b.c;; d@e.f; g@h.i", "a@b.c|d@e.f|g@h.i|" },
	{ "dots", "a..b@b.c, .a@b.c, \"c\"@b.c, a@b.c.", "\"a..b\"@b.c|\".a\"@b.c|c@b.c|a@b.c|" },
	{ "group in a group", "A: B: a@b.c;;", "!" },
	{ "two ats", "a@b@c", "!" },
	{ "control in quotes", "\"a\x01\"@c.d", "!" },
};

static void lists_give_their_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(list_rows); i++) {
		const struct list_row *row = &list_rows[i];
		struct buf found = BUF_INIT(1000);
		struct address_list list;
		struct address_list_item item;
		int rc;

		address_list_init(&list, sv_from(row->text));
		while ((rc = address_list_next(&list, &item)) == 1)
			assert_int_equal(buf_printf(&found, "%.*s|", SV_ARG(item.address)), 0);
		if (rc != 0)
			assert_int_equal(buf_append_char(&found, '!'), 0);
		if (!sv_eq(buf_sv(&found), sv_from(row->found)))
			fail_msg("%s: %.*s", row->name, SV_ARG(buf_sv(&found)));
		buf_deinit(&found);
	}
}

static void addresses_get_one_form(void **state)
{
	static const char *const clean[][2] = {
		{ "a@b.c", "a@b.c" },
		{ "taro..0707@docomo.example", "\"taro..0707\"@docomo.example" },
		{ ".a@b.c", "\".a\"@b.c" },
		{ "a.@b.c", "\"a.\"@b.c" },
		{ "\"abc\"@b.c", "abc@b.c" },
		{ "\"a\\b\"@b.c", "ab@b.c" },
		{ "\"a b\"@b.c", "\"a b\"@b.c" },
		{ "\"a\\\"b\"@b.c", "\"a\\\"b\"@b.c" },
		{ "a@b.c.", "a@b.c" },
		{ "a@[127.0.0.1]", "a@[127.0.0.1]" },
		{ "root", "root" },
		{ "J\xc3\xb6rg@b.c", "J\xc3\xb6rg@b.c" },
	};
	static const char *const bad[] = {
		"", "a@b..c", "a@b@c", "a b@c.d", "\"\"@b.c", "a@.", "<a@b.c>"
	};
	struct buf b = BUF_INIT(LIMIT_ADDRESS);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(clean); i++) {
		buf_reset(&b);
		assert_int_equal(
			address_clean(&b, sv_from(clean[i][0]), ADDRESS_UTF8 | ADDRESS_NO_DOMAIN),
			0);
		if (!sv_eq(buf_sv(&b), sv_from(clean[i][1])))
			fail_msg("%s: %.*s", clean[i][0], SV_ARG(buf_sv(&b)));
	}
	buf_reset(&b);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (address_clean(&b, sv_from(bad[i]), ADDRESS_UTF8) == 0)
			fail_msg("%s", bad[i]);
	assert_int_equal(b.len, 0);
	buf_deinit(&b);
}

static void a_list_goes_on_behind_what_is_no_address(void **state)
{
	static const char *const rows[][2] = {
		{ "a@b.c, Mister Smith, d@e.f", "a@b.c|!Mister Smith!d@e.f|" },
		{ "x@@y; a@b.c", "!x@@y!a@b.c|" },
		{ "\"no, end <a@b.c>, d@e.f", "!\"no!a@b.c|d@e.f|" },
		{ "a@b.c (, d@e.f", "!a@b.c (!d@e.f|" },
		{ "a@b.c, (", "a@b.c|!(!" },
		{ ">, <a@b.c> d, e@f.g", "!>!!<a@b.c> d!e@f.g|" },
	};
	struct buf found = BUF_INIT(1000);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct address_list list;
		struct address_list_item item;
		struct sv bad;
		int rc;

		buf_reset(&found);
		address_list_init(&list, sv_from(rows[i][0]));
		while ((rc = address_list_next(&list, &item)) != 0) {
			if (rc == 1)
				assert_int_equal(
					buf_printf(&found, "%.*s|", SV_ARG(item.address)), 0);
			else if (address_list_skip(&list, &bad))
				assert_int_equal(buf_printf(&found, "!%.*s!", SV_ARG(bad)), 0);
			else
				break;
		}
		if (!sv_eq(buf_sv(&found), sv_from(rows[i][1])))
			fail_msg("%s: %.*s", rows[i][0], SV_ARG(buf_sv(&found)));
	}
	buf_deinit(&found);
}

static void a_list_says_where_the_address_stands(void **state)
{
	struct sv text = SV(" Jane <@r:\ta (x) @b.c > (y)");
	struct address_list list;
	struct address_list_item item;

	(void)state;
	address_list_init(&list, text);
	assert_int_equal(address_list_next(&list, &item), 1);
	assert_true(sv_eq(sv_head(sv_skip(text, item.at), item.len), SV("a (x) @b.c")));
}

static void names_are_made_safe_for_a_header(void **state)
{
	static const char *const rows[][2] = {
		{ "", "" },
		{ "Cron Daemon", "Cron Daemon" },
		{ "Smith, John", "\"Smith, John\"" },
		{ "The \"x\" \\", "\"The \\\"x\\\" \\\\\"" },
		{ "a\r\nBcc: x@y", "\"a??Bcc: x@y\"" },
		{ "J\xc3\xb6rg", "=?utf-8?B?SsO2cmc=?=" },
		{ "bad \xc3", "\"bad ?\"" },
		{ "=?utf-8?B?eA==?=", "\"=?utf-8?B?eA==?=\"" },
	};
	struct buf b = BUF_INIT(1000);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		buf_reset(&b);
		assert_int_equal(address_name_render(&b, sv_from(rows[i][0])), 0);
		if (!sv_eq(buf_sv(&b), sv_from(rows[i][1])))
			fail_msg("%s: %.*s", rows[i][0], SV_ARG(buf_sv(&b)));
	}
	buf_deinit(&b);
}

static void a_long_name_becomes_several_words_of_whole_characters(void **state)
{
	struct buf name = BUF_INIT(1000), b = BUF_INIT(1000);

	(void)state;
	assert_int_equal(buf_append_char(&name, 'x'), 0);
	for (int i = 0; i < 40; i++)
		assert_int_equal(buf_append(&name, SV("\xe2\x82\xac")), 0);
	assert_int_equal(address_name_render(&b, buf_sv(&name)), 0);
	for (struct sv rest = buf_sv(&b), word; rest.len;) {
		(void)sv_cut_char(&rest, ' ', &word);
		assert_true(word.len <= 75);
	}
	buf_deinit(&name);
	buf_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_parsed_whole_or_refused),
		cmocka_unit_test(patterns_match_part_by_part),
		cmocka_unit_test(an_at_in_quotes_begins_no_domain),
		cmocka_unit_test(what_is_no_pattern_is_refused),
		cmocka_unit_test(a_mean_pattern_costs_no_more_than_its_size),
		cmocka_unit_test(keys_and_equality_ignore_case),
		cmocka_unit_test(lists_give_their_addresses),
		cmocka_unit_test(addresses_get_one_form),
		cmocka_unit_test(a_list_goes_on_behind_what_is_no_address),
		cmocka_unit_test(a_list_says_where_the_address_stands),
		cmocka_unit_test(names_are_made_safe_for_a_header),
		cmocka_unit_test(a_long_name_becomes_several_words_of_whole_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
