/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_testing.h"

#include "base/text.h"

/* Signing in with a token; with a password: client_test.c. */

#define HELLO "EHLO relay.contoso.com\r\n"
#define BYE "QUIT\r\n"
#define TOKEN "tok3n-of-m0re-than-12"
/* user=erp, TOKEN */
#define XOAUTH2 "dXNlcj1lcnABYXV0aD1CZWFyZXIgdG9rM24tb2YtbTByZS10aGFuLTEyAQE="
/* n,a=erp, TOKEN */
#define OAUTHBEARER "bixhPWVycCwBYXV0aD1CZWFyZXIgdG9rM24tb2YtbTByZS10aGFuLTEyAQE="
/* {"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"} */
#define CHALLENGE                                                                                  \
	"eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNv" \
	"bS8ifQ=="
#define REFUSED "535 5.7.3 Authentication unsuccessful"

static const struct scenario scenarios[] = {
	{ .name = "XOAUTH2: Microsoft's own example",
		.tls = SMTP_CLIENT_TLS_REQUIRED,
		.login = "test@contoso.onmicrosoft.com",
		.token = "EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA",
		.offers = "STARTTLS\nAUTH LOGIN",
		.tls_offers = "SIZE 157286400\nAUTH LOGIN XOAUTH2\nSMTPUTF8",
		.said = HELLO "STARTTLS\r\n" HELLO "AUTH XOAUTH2 "
			      "dXNlcj10ZXN0QGNvbnRvc28ub25taWNyb3NvZnQuY29tAWF1dGg9QmVhcmVyIEV3QkFB"
			      "bDNCQUFVRkZwVUFvN0ozVmUwYmpMQldaV0NjbFJDM0VvQUEBAQ==\r\n" BYE,
		.events = "STARTTLS\nREADY\nCLOSED\n" },
	{ .name = "refused at once, as Exchange does",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.token = TOKEN,
		.offers = "AUTH LOGIN XOAUTH2",
		.answers = { { "AUTH", REFUSED " [SN2PR00CA0018.namprd00.prod.outlook.com]" } },
		.said = HELLO "AUTH XOAUTH2 " XOAUTH2 "\r\n",
		.events = "FAILED reply signing in: " REFUSED
			  " [SN2PR00CA0018.namprd00.prod.outlook.com]\n" },
	{ .name = "refused with a reason, as Google does",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.token = TOKEN,
		.offers = "AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH",
		.answers = { { "AUTH", "334 " CHALLENGE }, { "EMPTY", "535 5.7.8 no" } },
		.said = HELLO "AUTH XOAUTH2 " XOAUTH2 "\r\n\r\n",
		.events = "FAILED reply signing in: 535 5.7.8 no (challenge: status 400, schemes "
			  "Bearer, scope https://mail.google.com/)\n" },
	{ .name = "a reason that is none",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.token = TOKEN,
		.offers = "AUTH XOAUTH2",
		.answers = { { "AUTH", "334 what?" }, { "EMPTY", REFUSED } },
		.said = HELLO "AUTH XOAUTH2 " XOAUTH2 "\r\n\r\n",
		.events = "FAILED reply signing in: " REFUSED "\n" },
	{ .name = "a second reason is one too many",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.token = TOKEN,
		.offers = "AUTH XOAUTH2",
		.answers = { { "AUTH", "334 " CHALLENGE }, { "EMPTY", "334 " CHALLENGE } },
		.said = HELLO "AUTH XOAUTH2 " XOAUTH2 "\r\n\r\n",
		.events = "FAILED protocol signing in\n" },
	{ .name = "consent after a reason is none",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.token = TOKEN,
		.offers = "AUTH XOAUTH2",
		.answers = { { "AUTH", "334 " CHALLENGE }, { "EMPTY", "235 2.7.0 fine" } },
		.said = HELLO "AUTH XOAUTH2 " XOAUTH2 "\r\n\r\n",
		.events = "FAILED protocol signing in\n" },
	{ .name = "OAUTHBEARER where that is all there is for a token",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.token = TOKEN,
		.offers = "AUTH PLAIN LOGIN oauthbearer",
		.said = HELLO "AUTH OAUTHBEARER " OAUTHBEARER "\r\n" BYE,
		.events = "READY\nCLOSED\n" },
	{ .name = "OAUTHBEARER: a login with a comma and an equals sign",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "e=rp,x",
		.token = TOKEN,
		.offers = "AUTH OAUTHBEARER",
		.said = HELLO
		"AUTH OAUTHBEARER "
		"bixhPWU9M0RycD0yQ3gsAWF1dGg9QmVhcmVyIHRvazNuLW9mLW0wcmUtdGhhbi0xMgEB\r\n" BYE,
		.events = "READY\nCLOSED\n" },
	{ .name = "OAUTHBEARER refused with a reason",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.token = TOKEN,
		.offers = "AUTH OAUTHBEARER",
		.answers = { { "AUTH", "334 " CHALLENGE }, { "AQ==", "535 5.7.8 no" } },
		.said = HELLO "AUTH OAUTHBEARER " OAUTHBEARER "\r\nAQ==\r\n",
		.events = "FAILED reply signing in: 535 5.7.8 no (challenge: status 400, schemes "
			  "Bearer, scope https://mail.google.com/)\n" },
	{ .name = "a token is not tried as a password",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.token = TOKEN,
		.offers = "AUTH LOGIN PLAIN",
		.said = HELLO,
		.events = "FAILED no AUTH sending EHLO\n" },
	{ .name = "what is offered in the clear does not count",
		.tls = SMTP_CLIENT_TLS_REQUIRED,
		.login = "erp",
		.token = TOKEN,
		.offers = "STARTTLS\nAUTH XOAUTH2",
		.tls_offers = "AUTH LOGIN",
		.said = HELLO "STARTTLS\r\n" HELLO,
		.events = "STARTTLS\nFAILED no AUTH sending EHLO\n" },
	{ .name = "LOGIN before PLAIN: Exchange offers no PLAIN",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.offers = "AUTH LOGIN XOAUTH2",
		.answers = { { "AUTH LOGIN", "504 5.7.4 Unrecognized authentication type" } },
		.said = HELLO "AUTH LOGIN\r\n",
		.events = "FAILED reply signing in: 504 5.7.4 Unrecognized authentication type\n" },
	{ .name = "no XOAUTH2 with a password",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.offers = "AUTH XOAUTH2 OAUTHBEARER",
		.said = HELLO,
		.events = "FAILED no AUTH sending EHLO\n" },
	{ .name = "no mechanism at all",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.token = TOKEN,
		.offers = "SIZE 1000",
		.said = HELLO,
		.events = "FAILED no AUTH sending EHLO\n" },
	{ .name = "a server that repeats the token",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.token = TOKEN,
		.offers = "AUTH XOAUTH2",
		.answers = { { "AUTH", "500 5.5.2 '" XOAUTH2 "' and 'x" TOKEN "x'?" } },
		.said = HELLO "AUTH XOAUTH2 " XOAUTH2 "\r\n",
		.events = "FAILED reply signing in: 500 5.5.2 '[secret]' and 'x[secret]x'?\n" },
	{ .name = "a server that repeats the token in its reason",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.token = TOKEN,
		.offers = "AUTH XOAUTH2",
		.answers = { { "AUTH", "334 eyJzdGF0dXMiOiJ0b2szbi1vZi1tMHJlLXRoYW4tMTIifQ==" },
			{ "EMPTY", "535 5.7.8 no" } },
		.said = HELLO "AUTH XOAUTH2 " XOAUTH2 "\r\n\r\n",
		.events = "FAILED reply signing in: 535 5.7.8 no (challenge: status [secret])\n" },
	{ .name = "a server that repeats the half of it",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.token = TOKEN,
		.offers = "AUTH XOAUTH2",
		.answers = { { "AUTH",
			"500 5.5.2 AUTH XOAUTH2 dXNlcj1lcnABYXV0aD1CZWFyZXIgdG9rM24tb2Yt...?" } },
		.said = HELLO "AUTH XOAUTH2 " XOAUTH2 "\r\n",
		.events = "FAILED reply signing in: 500 5.5.2 AUTH XOAUTH2 [secret]...?\n" },
	{ .name = "a server that repeats the password",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.offers = "AUTH LOGIN",
		.answers = { { "czNjcmV0", "500 5.5.1 czNjcmV0 (s3cret): unknown, s3cre" } },
		.said = HELLO "AUTH LOGIN\r\nZXJw\r\nczNjcmV0\r\n",
		.events = "FAILED reply signing in: 500 5.5.1 [secret] ([secret]): unknown, "
			  "s3cre\n" },
};

/* ---- a token that is too long for one line ---- */

static const struct mono_time start = { US_PER_HOUR };

static void drain(struct smtp_client *c)
{
	smtp_client_sent(c, start, smtp_client_output(c).len);
}

static void feed(struct smtp_client *c, struct sv text)
{
	struct smtp_client_event e;

	drain(c);
	smtp_client_feed(c, start, text);
	assert_false(smtp_client_next(c, &e));
}

/* "user=erp\x01auth=Bearer " and "\x01\x01" are 24 bytes; 3 bytes become 4. */
enum {
	LINE_REST = sizeof("AUTH XOAUTH2 \r\n") - 1,
	LONGEST = (LIMIT_AUTH_COMMAND - LINE_REST) / 4 * 3 - 24
};

static struct smtp_client *said_hello(size_t token_len, struct secret **out_token)
{
	struct buf text = BUF_INIT(LIMIT_TOKEN + 1);
	struct smtp_client_options options = {
		.hostname = SV("relay.example"), .tls = SMTP_CLIENT_TLS_IMPLICIT, .login = SV("erp")
	};
	struct smtp_client *c;

	while (text.len < token_len)
		must(buf_append_char(&text, 't') == 0);
	*out_token = secret_new(buf_sv(&text));
	buf_deinit(&text);
	options.token = *out_token;
	c = smtp_client_new(&options);
	smtp_client_connected(c, start);
	feed(c, SV("220 hello\r\n"));
	drain(c);
	return c;
}

static void test_a_line_of_the_longest_length(void **state)
{
	struct secret *token;
	struct smtp_client *c = said_hello(LONGEST, &token);
	struct sv out;

	(void)state;
	feed(c, SV("250-x\r\n250 AUTH XOAUTH2\r\n"));
	out = smtp_client_output(c);
	assert_true(sv_starts(out, SV("AUTH XOAUTH2 dXNlcj1lcnAB")));
	assert_in_range(out.len, LIMIT_AUTH_COMMAND - 4, LIMIT_AUTH_COMMAND);
	smtp_client_free(c);
	secret_free(token);
}

static void test_a_token_too_long_for_a_line_goes_behind_334(void **state)
{
	struct secret *token;
	struct smtp_client *c = said_hello(LONGEST + 4, &token);
	struct smtp_client_event e;

	(void)state;
	feed(c, SV("250-x\r\n250 AUTH XOAUTH2\r\n"));
	assert_true(sv_eq(smtp_client_output(c), SV("AUTH XOAUTH2\r\n")));
	feed(c, SV("334 \r\n"));
	assert_true(sv_starts(smtp_client_output(c), SV("dXNlcj1lcnAB")));
	assert_true(smtp_client_output(c).len > LIMIT_AUTH_COMMAND - LINE_REST);
	drain(c);
	smtp_client_feed(c, start, SV("235 2.7.0 Authentication successful\r\n"));
	assert_true(smtp_client_next(c, &e));
	assert_int_equal(e.kind, SMTP_CLIENT_EV_READY);
	smtp_client_free(c);
	secret_free(token);
}

static void test_a_token_that_is_none(void **state)
{
	struct secret *token;
	struct smtp_client *c = said_hello(LIMIT_TOKEN + 1, &token);
	struct smtp_client_event e;

	(void)state;
	smtp_client_feed(c, start, SV("250-x\r\n250 AUTH XOAUTH2\r\n"));
	assert_true(smtp_client_next(c, &e));
	assert_int_equal(e.failure, SMTP_CLIENT_FAIL_NO_AUTH);
	smtp_client_free(c);
	secret_free(token);
}

/* A session that gives up keeps nothing that could leave in a core file, and says nothing more. */
static void test_half_a_token_ends_with_the_line(void **state)
{
	struct secret *token;
	struct smtp_client *c = said_hello(1000, &token);
	struct smtp_client_event e;

	(void)state;
	feed(c, SV("250-x\r\n250 AUTH XOAUTH2\r\n"));
	smtp_client_sent(c, start, 500);
	smtp_client_eof(c);
	assert_true(smtp_client_next(c, &e));
	assert_int_equal(e.kind, SMTP_CLIENT_EV_FAILED);
	assert_int_equal(e.stage, SMTP_CLIENT_STAGE_AUTH);
	assert_int_equal(smtp_client_output(c).len, 0);
	smtp_client_free(c);
	secret_free(token);
}

int main(void)
{
	static struct scenario_table table = { scenarios, COUNT_OF(scenarios) };
	const struct CMUnitTest tests[] = {
		SCENARIO_TESTS(&table),
		cmocka_unit_test(test_a_line_of_the_longest_length),
		cmocka_unit_test(test_a_token_too_long_for_a_line_goes_behind_334),
		cmocka_unit_test(test_a_token_that_is_none),
		cmocka_unit_test(test_half_a_token_ends_with_the_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
