/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/domain.h"

#include "cmocka_all.h"

static const struct {
	const char *text, *domain; /* NULL: none */
} rows[] = {
	{ "contoso.com", "contoso.com" },
	{ "  Contoso.COM. ", "contoso.com" },
	{ "erp@contoso.com", "contoso.com" },
	{ "@contoso.com", "contoso.com" },
	{ "Anna Example <anna@mail.contoso.com>", "mail.contoso.com" },
	{ "mailto:erp@contoso.com", "contoso.com" },
	{ "https://www.contoso.com/", "contoso.com" },
	{ "http://contoso.com:8080/index.html?a=b", "contoso.com" },
	{ "https://anna@contoso.com/x", "contoso.com" },
	{ "www.contoso.com/impressum", "contoso.com" },
	{ "www.contoso.com", "contoso.com" },
	{ "https://www.com/", "www.com" },
	{ "m\xc3\xbcller.de", "xn--mller-kva.de" },
	{ "M\xc3\x9cLLER.de", "xn--mller-kva.de" },
	{ "anna@m\xc3\xbcller.de", "xn--mller-kva.de" },
	{ "https://www.m\xc3\xbcller.de/", "xn--mller-kva.de" },
	{ "mu\xcc\x88ller.de", "xn--mller-kva.de" }, /* decomposed, as macOS writes it */
	{ "stra\xc3\x9f"
	  "e.de",
		"xn--strae-oqa.de" },
	{ "xn--mller-kva.de", "xn--mller-kva.de" },
	{ "contoso", NULL },
	{ "", NULL },
	{ "@", NULL },
	{ "https://", NULL },
	{ "contoso.com: x", NULL },
	{ "contoso .com", NULL },
	{ "con\ntoso.com", NULL },
	{ "a..b", NULL },
	{ "m\xfcller.de", NULL },
	{ "m\xc3\xbcller", NULL },
};

static void domains_are_found_in_what_people_write(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct setup_domain d;
		bool ok = setup_domain_read(sv_from(rows[i].text), &d);

		if (ok != (rows[i].domain != NULL))
			fail_msg("'%s'", rows[i].text);
		if (ok)
			assert_string_equal(d.text, rows[i].domain);
	}
}

static void what_was_made_of_it_is_told(void **state)
{
	struct setup_domain d;

	(void)state;
	assert_true(setup_domain_read(SV("contoso.com"), &d));
	assert_false(d.was_address || d.was_url || d.was_unicode);
	assert_true(setup_domain_read(SV("erp@contoso.com"), &d));
	assert_true(d.was_address);
	assert_true(setup_domain_read(SV("http://contoso.com"), &d));
	assert_true(d.was_url);
	assert_true(setup_domain_read(SV("m\xc3\xbcller.de"), &d));
	assert_true(d.was_unicode);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(domains_are_found_in_what_people_write),
		cmocka_unit_test(what_was_made_of_it_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
