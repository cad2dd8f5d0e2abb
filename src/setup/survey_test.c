/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/survey.h"

#include "cmocka_all.h"

static void read_csv(const char *text, struct setup_survey *s)
{
	struct err err = { 0 };

	if (setup_survey_csv(s, sv_from(text), &err) != 0)
		fail_msg("%s", err.text);
	setup_survey_sort(s);
}

static void test_sign_in_log(void **state)
{
	static const char text[] =
		"Date (UTC),Username,IP address,Client app,User agent\n"
		"2026-11-01T10:00:00Z,erp@contoso.com,203.0.113.7,Authenticated SMTP,BAV2ROPC\n"
		"2026-11-03T10:00:00Z,ERP@contoso.com,203.0.113.7,Authenticated SMTP,BAV2ROPC\n"
		"2026-11-02T10:00:00Z,erp@contoso.com,203.0.113.8,Authenticated SMTP,\n"
		"2026-11-02T10:00:00Z,erp@contoso.com,203.0.113.8,Browser,Mozilla\n"
		"2026-11-02T10:00:00Z,anna@contoso.com,203.0.113.9,IMAP4,\n";
	struct setup_survey s = { 0 };

	(void)state;
	read_csv(text, &s);
	assert_int_equal(s.count, 1);
	assert_int_equal(s.senders[0].total, 3);
	assert_int_equal(s.senders[0].count, 2);
	assert_int_equal(s.passed_over, 2);
	assert_true(sv_eq(s.senders[0].devices[0].last, SV("2026-11-03T10:00:00Z")));
	assert_true(sv_eq(s.senders[0].devices[0].from, SV("203.0.113.7")));
	setup_survey_deinit(&s);
}

static void test_admin_center(void **state)
{
	static const char text[] =
		"Sender address,Authentication Protocol,TLS Version,Message count,Client IP\n"
		"scan@contoso.com,Basic auth,TLS 1.0,17,10.0.5.30\n"
		"drucker-2@contoso.com,Basic auth,TLS 1.2,9,10.0.5.31\n"
		"app@contoso.com,Basic auth,TLS 1.2,400,10.0.5.32\n"
		"modern@contoso.com,OAuth,TLS 1.2,400,10.0.5.33\n";
	static const enum setup_move moves[] = {
		SETUP_MOVE_APP, SETUP_MOVE_OLD_TLS, SETUP_MOVE_DEVICE
	};
	struct setup_survey s = { 0 };

	(void)state;
	read_csv(text, &s);
	assert_int_equal(s.count, 3);
	assert_int_equal(s.passed_over, 1);
	for (size_t i = 0; i < COUNT_OF(moves); i++)
		assert_int_equal(
			setup_survey_move(&s.senders[i], &s.senders[i].devices[0], NULL), moves[i]);
	setup_survey_deinit(&s);
}

static void test_pages(void **state)
{
	static const char *const bad[] = { "{}", "{\"value\":{}}", "[]" };
	json_t *page = json_loads(
		"{\"value\":[{\"userPrincipalName\":\"a@b.example\",\"ipAddress\":\"192.0.2.1\","
		"\"clientAppUsed\":\"Authenticated "
		"SMTP\",\"createdDateTime\":\"2026-11-01T00:00:00Z\","
		"\"userAgent\":\"x\\u001b[31m\"},{\"userPrincipalName\":\"no address\"},7],"
		"\"@odata.nextLink\":\"https://graph.microsoft.com/v1.0/auditLogs/"
		"signIns?$skiptoken=x\"}",
		0,
		NULL);
	struct setup_survey s = { 0 };
	struct err err = { 0 };
	struct sv next;

	(void)state;
	assert_non_null(page);
	assert_int_equal(setup_survey_page(&s, page, &next, &err), 0);
	assert_true(sv_ends_nocase(next, SV("$skiptoken=x")));
	assert_int_equal(s.count, 1);
	assert_int_equal(s.passed_over, 2);
	assert_true(sv_find_char(s.senders[0].devices[0].agent, '\x1b') < 0);
	json_decref(page);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		page = json_loads(bad[i], 0, NULL);
		assert_int_equal(setup_survey_page(&s, page, &next, &err), RC_PARSE);
		json_decref(page);
	}
	setup_survey_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sign_in_log),
		cmocka_unit_test(test_admin_center),
		cmocka_unit_test(test_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
