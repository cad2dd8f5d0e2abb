/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/report.h"

#include "setup/tenant.h"

#include "cmocka_all.h"

#define BOM "\xef\xbb\xbf"

static void read_ok(struct sv text, struct setup_report *r)
{
	struct err err = { 0 };

	if (setup_report_read(text, r, &err) != 0)
		fail_msg("%s", err.text);
}

static void test_report(void **state)
{
	static const char text[] =
		BOM "Date,\"Sender address\",\"Authentication Protocol\",\"TLS Version\",\"Message "
		    "count\",\"Client IP\"\r\n"
		    "2026-11-01,Scan@Contoso.com,Basic auth,TLS 1.2,17,10.0.5.30\r\n"
		    "2026-11-02,\"scan@contoso.com\",Basic auth,\"TLS 1.0\",3,10.0.5.30\r\n"
		    "\r\n"
		    "2026-11-02,\"erp@contoso.com\",OAuth,,\"5\",\r\n"
		    "2026-11-02,not an address,OAuth,,5,\r\n"
		    "2026-11-02,\"a\"\"b@contoso.com\",OAuth,,5,\r\n";
	struct setup_report r;

	(void)state;
	read_ok(sv_from(text), &r);
	assert_int_equal(r.count, 2);
	assert_int_equal(r.skipped, 2);
	assert_true(sv_eq(r.clients[0].address, SV("scan@contoso.com")));
	assert_true(sv_eq(r.clients[0].protocols, SV("Basic auth")));
	assert_true(sv_eq(r.clients[0].tls, SV("TLS 1.2, TLS 1.0")));
	assert_true(sv_eq(r.clients[0].from, SV("10.0.5.30")));
	assert_int_equal(r.clients[0].messages, 20);
	assert_true(sv_eq(r.clients[1].address, SV("erp@contoso.com")));
	assert_int_equal(r.clients[1].messages, 5);
	setup_report_deinit(&r);
}

static void test_shapes(void **state)
{
	static const struct sv texts[] = {
		SV_INIT("sender\na@b.c\n"),
		SV_INIT("User Principal Name;Count\r\na@b.c;1"),
		SV_INIT("#TYPE System.Object\n\"SenderAddress\"\t\"Messages\"\n\"a@b.c\"\t\"1\"\n"),
		SV_INIT("\xff\xfes\0e\0n\0d\0e\0r\0\n\0a\0@\0b\0.\0c\0\n\0"),
		SV_INIT("\xfe\xff\0s\0e\0n\0d\0e\0r\0\n\0a\0@\0b\0.\0c\0\n"),
		SV_INIT("s\0e\0n\0d\0e\0r\0\n\0a\0@\0b\0.\0c\0\n\0"),
	};
	struct setup_report r;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		read_ok(texts[i], &r);
		assert_int_equal(r.count, 1);
		assert_true(sv_eq(r.clients[0].address, SV("a@b.c")));
		setup_report_deinit(&r);
	}
}

static void test_faults(void **state)
{
	static const char *const texts[] = { "",
		"Date,Count\n1,2\n",
		"sender\n",
		"sender\nnobody\n",
		"sender\na@b.c\x01\n",
		"sender\n*@b.c\n" };
	struct setup_report r;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		assert_int_equal(setup_report_read(sv_from(texts[i]), &r, NULL), RC_PARSE);
}

static void test_tenant(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} rows[] = {
		{ "{\"issuer\":\"https://login.example/22222222-2222-2222-2222-22222222222A/"
		  "v2.0\"}",
			0 },
		{ "{\"issuer\":\"https://login.example/common/v2.0\"}", RC_PARSE },
		{ "{\"issuer\":\"https://login.example/{tenantid}/v2.0\"}", RC_PARSE },
		{ "{\"issuer\":7}", RC_PARSE },
		{ "{\"error\":\"invalid_tenant\"}", RC_PARSE },
		{ "[]", RC_PARSE },
		{ "", RC_PARSE },
	};
	char id[SETUP_TENANT_ID_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(setup_tenant_id(sv_from(rows[i].text), id), rows[i].rc);
		if (rows[i].rc == 0)
			assert_string_equal(id, "22222222-2222-2222-2222-22222222222a");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_tenant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
