/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/test_rows.h"

/* The slips that people make in YAML: each is named, at its place. */
static const struct row slips[] = {
	{ "tab", "retry:\n\tfirst: 1m\n" GOOD, 2, 1, "a tab indents this line" },
	{ "tab after a value", "hostname: a.example\n\tqualify: b.example\n" GOOD, 2, 1, "a tab" },
	{ "spaces, then a tab", "retry:\n  \tfirst: 1m\n" GOOD, 2, 3, "a tab" },
	{ "star", "users:\n  - senders: [*@contoso.com]\n" GOOD, 2, 15, "begins with * needs" },
	{ "star without a list", "routes:\n  - sender: *@contoso.com\n", 2, 13, "needs quotes" },
	{ "star of an address", "listeners:\n  - address: *:587\n" GOOD, 2, 14, "\"*:587\"" },
	{ "star with a name", "qualify: *contoso\n" GOOD, 1, 10, "begins with * needs quotes" },
	{ "at", "qualify: @contoso.com\n" GOOD, 1, 10, "begins with @ needs quotes" },
	{ "percent", "qualify: %contoso\n" GOOD, 1, 10, "begins with % needs quotes" },
	{ "backtick", "qualify: `contoso`\n" GOOD, 1, 10, "begins with ` needs quotes" },
	{ "ampersand", "qualify: &contoso\n" GOOD, 1, 10, "begins with & needs quotes" },
	{ "exclamation mark", "qualify: !contoso\n" GOOD, 1, 10, "begins with ! needs quotes" },
	{ "colon in a value", "qualify: a: b\n" GOOD, 1, 11, "contains ': ' needs quotes" },
	{ "no space",
		"hostname:a.example\nqualify: b.example\n" GOOD,
		2,
		8,
		"line 1 has no space" },
	{ "one word", "hostname: a.example\nqualify\nretry: x\n", 2, 1, "no colon with a space" },
	{ "deeper", "hostname: a.example\n  qualify: b.example\n" GOOD, 2, 10, "same column" },
	{ "ragged list", "users:\n   - name: a\n  - name: b\n", 3, 3, "list item" },
	{ "ragged map", "retry:\n    first: 1m\n  expire: 1d\n", 3, 3, "fits nothing above" },
	{ "item beside keys", "hostname: a.example\n- b\n", 2, 1, "list item (- ) in a place" },
	{ "key beside items", "- a\nhostname: b\n", 2, 1, "in a place for a list item" },
	{ "item on the key's line", "routes: - a\n", 1, 9, "on a line of its own" },
	{ "open quote", "qualify: \"contoso\n" GOOD, 1, 10, "never closed" },
	{ "apostrophe", "qualify: 'it's'\n" GOOD, 1, 14, "follows the closing quote" },
	{ "after the quote", "qualify: \"a\" b\n" GOOD, 1, 14, "follows the closing quote" },
	{ "escape", "qualify: \"\\d\"\n" GOOD, 1, 11, "use single quotes" },
	{ "address as a list", "listeners:\n  - address: [::1]:25\n", 2, 15, "needs quotes" },
	{ "open list", "routes: [ a, b\nqualify: c\n", 1, 9, "not closed with ]" },
	{ "open map", "retry: { first: 1m\nqualify: c\n", 1, 8, "not closed with }" },
	{ "Latin-1", "qualify: m\xfcller.de\n" GOOD, 1, 1, "is not UTF-8" },
	{ "typographic quotes",
		"qualify: \xe2\x80\x9c"
		"contoso.com\xe2\x80\x9d\n" GOOD,
		1,
		10,
		"typographic quotes" },
	{ "no-break space", "retry:\n\xc2\xa0 first: 1m\n" GOOD, 2, 1, "no-break space" },
	{ "another character before it",
		"qualify: m\xc3\xbcller: *@a.b\n" GOOD,
		1,
		16,
		"contains ': '" },
};

static void slips_are_named(void **state)
{
	(void)state;
	rows_are_refused(slips, COUNT_OF(slips));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(slips_are_named) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
