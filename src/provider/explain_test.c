/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/explain.h"

#include "base/time.h"
#include "cmocka_all.h"
#include "provider/remedy.h"

struct row {
	const char *text;
	const char *cause; /* NULL: nothing is found */
	const char *class;
	bool known;
};

#define BUSY "554 5.2.252 SendAsDenied; erp@contoso.com not allowed to send as boss@contoso.com; "

static const struct row rows[] = {
	/* one reply, whole */
	{ "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the "
	  "Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [AM0PR]",
		"smtp-auth-off",
		"park",
		true },
	{ "550 5.1.90 Your message can't be sent because you've reached your daily limit for "
	  "message recipients",
		"daily-limit",
		"wait",
		true },
	{ "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)",
		"server-busy",
		"retry",
		true },
	{ BUSY "STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied",
		"send-as-denied",
		"park",
		true },
	{ "550 5.2.252 Sender throttled due to continuous send as denied errors",
		"throttled-send-as",
		"wait",
		true },
	{ "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP",
		"tenant-untrusted",
		"park",
		true },
	{ "535 5.7.3 Authentication unsuccessful [SN2PR00CA0018.namprd00.prod.outlook.com]",
		"token-refused",
		"park",
		true },
	/* glued: the second reply is the reason */
	{ "5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Authentication "
	  "unsuccessful, the user credentials were incorrect.",
		"wrong-credentials",
		"park",
		true },
	{ "530 5.7.57 Client not authenticated to send mail. [AM0PR]",
		"not-signed-in",
		"park",
		true },
	/* folded, in lines of one reply, wrapped in quotes */
	{ "535-5.7.139 Authentication unsuccessful,\r\n535 5.7.139 basic authentication is "
	  "disabled.",
		"basic-auth-blocked",
		"park",
		true },
	{ "Remote Server returned '550 5.7.1 RESOLVER.RST.AuthRequired;\nauthentication "
	  "required'",
		"sender-not-allowed",
		"bounce",
		true },
	{ "Diagnostic-Code: smtp; 535 5.7.139 Authentication unsuccessful, the user\n"
	  "    credentials were incorrect.",
		"wrong-credentials",
		"park",
		true },
	/* exceptions */
	{ "System.Net.Mail.SmtpException: Mailbox unavailable. The server response was: 5.7.60 "
	  "SMTP; Client does not have permissions to send as this sender",
		"send-as-denied",
		"park",
		true },
	{ "smtplib.SMTPAuthenticationError: (535, b'5.7.139 Authentication unsuccessful, the "
	  "request did not meet the criteria to be authenticated successfully.')",
		"conditional-access",
		"park",
		true },
	{ "smtplib.SMTPRecipientsRefused: {'a@b.c': (550, b'5.1.1 User unknown')}",
		"no-such-recipient",
		"bounce",
		true },
	{ "MSAL: AADSTS7000222: The provided client secret keys for app "
	  "'11111111-2222-3333-4444-555555555555' are expired.",
		"app-secret-expired",
		"park",
		true },
	{ "{\"error\":{\"code\":\"ErrorSendAsDenied\",\"message\":\"The user account ...\"}}",
		"send-as-denied",
		"park",
		true },
	{ "Error: connect ECONNREFUSED: Connection refused", "connection-refused", "retry", true },
	/* bounces: another server speaks */
	{ "Final-Recipient: rfc822;a@b.c\nAction: failed\nStatus: 5.2.2\n"
	  "Diagnostic-Code: smtp;550 5.2.2 <a@b.c>... Mailbox Full",
		"recipient-mailbox-full",
		"bounce",
		true },
	{ "Remote Server returned '554 5.2.2 mailbox full; STOREDRV.Submission.Exception'",
		"mailbox-full",
		"wait",
		true },
	{ "Final-Recipient: rfc822;a@b.c\nAction: failed\nStatus: 4.4.7\n",
		"expired-there",
		"bounce",
		true },
	{ "Remote Server returned '550 5.0.350 Remote server returned an error -> 550 5.7.26 "
	  "Unauthenticated'",
		"domain-not-authenticated",
		"park",
		true },
	{ "Remote Server returned '550 5.1.351 Remote server returned unknown recipient -> 554 "
	  "5.7.1 Relay access denied'",
		"no-such-recipient",
		"bounce",
		true },
	{ "did not reach the following recipient(s):\n\na@b.c on Thu\n    The recipient name is "
	  "not "
	  "recognized\n",
		"no-such-recipient",
		"bounce",
		true },
	/* what says little gives way to what says more */
	{ "Final-Recipient: rfc822;a@b.c\nStatus: 5.5.0\n"
	  "Diagnostic-Code: smtp;550 domain [b.c] mismatches client ip 192.0.2.1.",
		"spf-failed",
		"park",
		true },
	{ "550 Market Street\n550 5.1.1 User unknown\n", "no-such-recipient", "bounce", true },
	{ "Status: 5.1.1\nDiagnostic-Code: smtp;550 not here\n",
		"no-such-recipient",
		"bounce",
		true },
	/* logs */
	{ "Nov 23 10:00:00 mx postfix/smtp[99]: 4Abc: to=<a@b.c>, relay=x[192.0.2.1]:25, "
	  "delay=450, dsn=5.1.10, status=bounced (host x[192.0.2.1] said: 550 5.1.10 "
	  "RESOLVER.ADR.RecipientNotFound; not found (in reply to RCPT TO command))",
		"no-such-recipient",
		"bounce",
		true },
	{ "msmtp: server message: 535 5.7.139 Authentication unsuccessful, basic authentication "
	  "is disabled.",
		"basic-auth-blocked",
		"park",
		true },
	/* unknown: by the class */
	{ "550 5.9.9 the moon is full", "unknown-permanent", "bounce", false },
	{ "450 4.9.9 the moon is half", "unknown-transient", "retry", false },
	/* none */
	{ "", NULL, NULL, false },
	{ "Windows NT 5.1.2600, 550 boxes, 5.5.2656.59, 192.5.1.1 and room 5.1",
		NULL,
		NULL,
		false },
	{ "550", NULL, NULL, false },
	{ "5.7.", NULL, NULL, false },
};

static void test_meanings(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct row *row = &rows[i];
		struct provider_explained ex;

		provider_explain(sv_from(row->text), &ex);
		if (!row->cause) {
			if (ex.count)
				fail_msg("%s: got %s",
					row->text,
					cause_name(ex.items[0].verdict.cause));
			continue;
		}
		if (ex.count == 0)
			fail_msg("%s: nothing was found", row->text);
		if (strcmp(cause_name(ex.items[0].verdict.cause), row->cause) != 0 ||
			strcmp(provider_class_name(&ex.items[0].verdict), row->class) != 0 ||
			ex.items[0].known != row->known || ex.count != 1)
			fail_msg("%s: got %s %s (%zu)",
				row->text,
				cause_name(ex.items[0].verdict.cause),
				provider_class_name(&ex.items[0].verdict),
				ex.count);
	}
}

static void test_all_replies_of_a_log_are_found_once(void **state)
{
	struct provider_explained ex;

	(void)state;
	provider_explain(SV("a: 550 5.1.10 x\nb: 535 5.7.139 Authentication unsuccessful, the user "
			    "credentials were incorrect.\nc: 550 5.1.10 x\nd: 550 5.1.10 y\n"),
		&ex);
	assert_int_equal(ex.count, 2);
	assert_string_equal(cause_name(ex.items[0].verdict.cause), "no-such-recipient");
	assert_string_equal(cause_name(ex.items[1].verdict.cause), "wrong-credentials");
}

static void test_facts(void **state)
{
	struct provider_explained ex;

	(void)state;
	provider_explain(SV(BUSY "x"), &ex);
	assert_true(sv_eq(ex.facts.mailbox, SV("erp@contoso.com")));
	assert_true(sv_eq(ex.facts.sender, SV("boss@contoso.com")));
	provider_explain(
		SV("Final-Recipient: rfc822;a@b.c\nDiagnostic-Code: smtp;550 5.1.1 x"), &ex);
	assert_true(sv_eq(ex.facts.recipient, SV("a@b.c")));
	provider_explain(SV("AADSTS700016: Application with identifier "
			    "'1f-2e' was not found in the directory 'Contoso'."),
		&ex);
	assert_true(sv_eq(ex.facts.app, SV("1f-2e")));
	assert_true(sv_eq(ex.facts.tenant, SV("Contoso")));
}

static void test_mail_is_decoded(void **state)
{
	static const char mail[] =
		"From: <>\r\nContent-Type: multipart/report; boundary=\"b\"\r\n\r\n"
		"--b\r\nContent-Type: text/plain\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		"Remote Server returned '550 5.7.1 TRANSPORT.RULES.Reject=\r\nMessage; x'\r\n"
		"--b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
		"NTUwIDUuNy43MDUgQWNjZXNzIGRlbmll\r\nZA==\r\n--b--\r\n";
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(4096);
	struct provider_explained ex;

	(void)state;
	assert_int_equal(provider_explain_decode(sv_from(mail), &text), 0);
	assert_true(sv_find(buf_sv(&text), SV("TRANSPORT.RULES.RejectMessage")) > 0);
	provider_explain(buf_sv(&text), &ex);
	assert_int_equal(ex.count, 2);
	assert_string_equal(cause_name(ex.items[0].verdict.cause), "refused-by-rule");
	assert_string_equal(cause_name(ex.items[1].verdict.cause), "tenant-blocked");
}

/* What people search for leads to the page that has it as its title. */
static void test_every_literal_has_its_own_meaning(void **state)
{
	unsigned count = 0;

	(void)state;
	for (int c = CAUSE_NONE + 1; c < CAUSE_COUNT; c++) {
		const struct provider_remedy *r = provider_remedy((enum cause)c, NULL);
		struct provider_explained ex;

		if (!r->literal)
			continue;
		count++;
		provider_explain(sv_from(r->literal), &ex);
		if (ex.count == 0 || ex.items[0].verdict.cause != r->cause)
			fail_msg("%s: got %s, not %s",
				r->literal,
				ex.count ? cause_name(ex.items[0].verdict.cause) : "nothing",
				cause_name(r->cause));
	}
	assert_in_range(count, 60, 200);
}

/* A long text of replies that differ is looked at in part, never for long. */
static void test_much_text(void **state)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(8 << 20);
	struct provider_explained ex;

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(buf_printf(&text, "550 5.%u.%u x%u 550 ", i % 10, i % 999, i), 0);
	provider_explain(buf_sv(&text), &ex);
	assert_in_range(ex.count, 1, PROVIDER_EXPLAIN_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_meanings),
		cmocka_unit_test(test_all_replies_of_a_log_are_found_once),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_mail_is_decoded),
		cmocka_unit_test(test_every_literal_has_its_own_meaning),
		cmocka_unit_test(test_much_text),
	};

	return cmocka_run_group_tests_name("provider/explain", tests, NULL, NULL);
}
