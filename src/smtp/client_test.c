/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_testing.h"

#include "mail/dsn.h"

#define EXCHANGE "SIZE 157286400\nPIPELINING\nDSN\nENHANCEDSTATUSCODES\n"
#define EXCHANGE_REST "8BITMIME\nBINARYMIME\nCHUNKING\nSMTPUTF8"

static const struct smtp_client_recipient one[] = { { .address = SV_INIT("jane@example.com") } };
static const struct smtp_client_recipient two[] = { { .address = SV_INIT("gone@example.com") },
	{ .address = SV_INIT("jane@example.com") } };
static const struct smtp_client_recipient asked[] = {
	{ .address = SV_INIT("jane@example.com"),
		.dsn_notify = DSN_NOTIFY_SUCCESS | DSN_NOTIFY_FAILURE,
		.orcpt = SV_INIT("rfc822;ja+2Bne@example.com") },
	{ .address = SV_INIT("joe@example.com"), .dsn_notify = DSN_NOTIFY_NEVER },
};
static const struct smtp_client_message plain = {
	.sender = SV_INIT("erp@contoso.com"), .recipients = one, .recipient_count = 1, .size = 12
};
static const struct smtp_client_message second = {
	.sender = SV_INIT("crm@contoso.com"), .recipients = one, .recipient_count = 1, .size = 12
};
static const struct smtp_client_message pair = {
	.sender = SV_INIT("erp@contoso.com"), .recipients = two, .recipient_count = 2, .size = 12
};
static const struct smtp_client_message full = { .sender = SV_INIT(""),
	.recipients = asked,
	.recipient_count = 2,
	.size = 12,
	.needs_8bit = true,
	.needs_utf8 = true,
	.dsn_ret = DSN_RET_HDRS,
	.envid = SV_INIT("a+b") };
static const struct smtp_client_message eightbit = { .sender = SV_INIT("erp@contoso.com"),
	.recipients = asked,
	.recipient_count = 1,
	.size = 12,
	.needs_8bit = true,
	.dsn_ret = DSN_RET_FULL,
	.envid = SV_INIT("x") };
static const struct smtp_client_message large = { .sender = SV_INIT("erp@contoso.com"),
	.recipients = one,
	.recipient_count = 1,
	.size = 157286401 };

/* ---- the scenarios ---- */

#define HELLO "EHLO relay.contoso.com\r\n"
#define LETTER "Subject: x\r\n\r\n..dot\r\n.\r\n"
#define ACCEPTED ": 250 2.0.0 OK <new@id> [Hostname=x]\n"
#define TAKEN "RESULT waiting for the end of the message" ACCEPTED
#define DEFAULT_SAID \
	"MAIL FROM:<erp@contoso.com> SIZE=12\r\nRCPT TO:<jane@example.com>\r\nDATA\r\n" LETTER
#define PAIR_SAID                                 \
	"MAIL FROM:<erp@contoso.com> SIZE=12\r\n" \
	"RCPT TO:<gone@example.com>\r\n"          \
	"RCPT TO:<jane@example.com>\r\nDATA\r\n"
#define GONE "RCPT 0: 550 5.1.10 RESOLVER.ADR.RecipientNotFound\n"
#define GONE_ANSWER "RCPT TO:<gone", "550 5.1.10 RESOLVER.ADR.RecipientNotFound"
#define RCPT_OK(index) "RCPT " index ": 250 2.1.5 Recipient OK\n"
#define BYE "QUIT\r\n"

static const struct scenario scenarios[] = {
	{ .name = "Exchange: STARTTLS, LOGIN, a message, QUIT",
		.tls = SMTP_CLIENT_TLS_REQUIRED,
		.login = "erp@contoso.com",
		.offers = EXCHANGE "STARTTLS\n" EXCHANGE_REST,
		.tls_offers = EXCHANGE "AUTH LOGIN XOAUTH2\n" EXCHANGE_REST,
		.messages = { &plain },
		.said = HELLO "STARTTLS\r\n" HELLO
			      "AUTH LOGIN\r\nZXJwQGNvbnRvc28uY29t\r\nczNjcmV0\r\n" DEFAULT_SAID BYE,
		.events = "STARTTLS\nREADY\n" RCPT_OK("0") "BODY\n" TAKEN "READY\nCLOSED\n" },
	{ .name = "PLAIN where that is all there is",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.offers = "AUTH=PLAIN\nSTARTTLS",
		.said = HELLO "AUTH PLAIN AGVycABzM2NyZXQ=\r\n" BYE,
		.events = "READY\nCLOSED\n" },
	{ .name = "neither LOGIN nor PLAIN",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.offers = "AUTH XOAUTH2",
		.said = HELLO,
		.events = "FAILED no AUTH sending EHLO\n" },
	{ .name = "no STARTTLS where TLS is required",
		.tls = SMTP_CLIENT_TLS_REQUIRED,
		.login = "erp",
		.offers = "AUTH LOGIN",
		.said = HELLO,
		.events = "FAILED no STARTTLS sending EHLO\n" },
	{ .name = "STARTTLS refused",
		.tls = SMTP_CLIENT_TLS_REQUIRED,
		.offers = "STARTTLS",
		.answers = { { "STARTTLS", "454 4.7.0 TLS not available" } },
		.said = HELLO "STARTTLS\r\n",
		.events = "FAILED reply starting TLS: 454 4.7.0 TLS not available\n" },
	{ .name = "password refused",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.offers = "AUTH LOGIN",
		.answers = { { "czNjcmV0",
			"535 5.7.139 Authentication unsuccessful, the user credentials were "
			"incorrect." } },
		.said = HELLO "AUTH LOGIN\r\nZXJw\r\nczNjcmV0\r\n",
		.events = "FAILED reply signing in: 535 5.7.139 Authentication unsuccessful, the "
			  "user "
			  "credentials were incorrect.\n" },
	{ .name = "LOGIN refused at once",
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = "erp",
		.offers = "AUTH LOGIN",
		.answers = { { "AUTH", "504 5.7.4 Unrecognized authentication type" } },
		.said = HELLO "AUTH LOGIN\r\n",
		.events = "FAILED reply signing in: 504 5.7.4 Unrecognized authentication type\n" },
	{ .name = "greeting refuses",
		.answers = { { "CONNECT", "!421 4.3.2 Service not active" } },
		.said = "",
		.events = "FAILED reply waiting for the greeting: 421 4.3.2 Service not active\n" },
	{ .name = "not a mail server",
		.answers = { { "CONNECT", "!HTTP/1.1 400 Bad Request" } },
		.said = "",
		.events = "FAILED protocol waiting for the greeting\n" },
	{ .name = "HELO for an old server",
		.answers = { { "EHLO", "502 what?" } },
		.messages = { &plain },
		.said = HELLO "HELO relay.contoso.com\r\nMAIL FROM:<erp@contoso.com>\r\n"
			      "RCPT TO:<jane@example.com>\r\nDATA\r\n" LETTER BYE,
		.events = "READY\n" RCPT_OK("0") "BODY\n" TAKEN "READY\nCLOSED\n" },
	{ .name = "no HELO where TLS is required",
		.tls = SMTP_CLIENT_TLS_REQUIRED,
		.answers = { { "EHLO", "502 what?" } },
		.said = HELLO,
		.events = "FAILED reply sending EHLO: 502 what?\n" },
	{ .name = "no HELO where a login is given",
		.login = "erp",
		.answers = { { "EHLO", "502 what?" } },
		.said = HELLO,
		.events = "FAILED reply sending EHLO: 502 what?\n" },
	{ .name = "no HELO after 4xx",
		.answers = { { "EHLO", "450 4.3.2 later" } },
		.said = HELLO,
		.events = "FAILED reply sending EHLO: 450 4.3.2 later\n" },
	{ .name = "all parameters",
		.offers = EXCHANGE EXCHANGE_REST,
		.messages = { &full },
		.said = HELLO "MAIL FROM:<> SIZE=12 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb\r\n"
			      "RCPT TO:<jane@example.com> NOTIFY=SUCCESS,FAILURE "
			      "ORCPT=rfc822;ja+2Bne@example.com\r\n"
			      "RCPT TO:<joe@example.com> NOTIFY=NEVER\r\nDATA\r\n" LETTER BYE,
		.events = "READY\n" RCPT_OK("0") RCPT_OK("1") "BODY\n" TAKEN "READY\nCLOSED\n" },
	{ .name = "no parameter that is not offered",
		.offers = "HELP",
		.messages = { &eightbit },
		.said = HELLO
		"MAIL FROM:<erp@contoso.com>\r\nRCPT TO:<jane@example.com>\r\nDATA\r\n" LETTER BYE,
		.events = "READY\n" RCPT_OK("0") "BODY\n" TAKEN "READY\nCLOSED\n" },
	{ .name = "too large and no SMTPUTF8 are decided here",
		.offers = "SIZE 157286400",
		.messages = { &large, &full },
		.said = HELLO BYE,
		.events = "READY\n"
			  "RESULT sending MAIL FROM: 552 5.3.4 the message is larger than the "
			  "server takes, local\nREADY\n"
			  "RESULT sending MAIL FROM: 550 5.6.7 the server does not speak SMTPUTF8, "
			  "local\nREADY\n"
			  "CLOSED\n" },
	{ .name = "SIZE 0 is no maximum",
		.offers = "SIZE 0",
		.messages = { &large },
		.answers = { { "MAIL", "452 4.3.1 full" } },
		.said = HELLO "MAIL FROM:<erp@contoso.com> SIZE=157286401\r\n" BYE,
		.events = "READY\nRESULT sending MAIL FROM: 452 4.3.1 full\nREADY\nCLOSED\n" },
	{ .name = "two messages, one connection",
		.offers = EXCHANGE,
		.messages = { &plain, &second },
		.said = HELLO DEFAULT_SAID "MAIL FROM:<crm@contoso.com> SIZE=12\r\n"
					   "RCPT TO:<jane@example.com>\r\nDATA\r\n" LETTER BYE,
		.events = "READY\n" RCPT_OK("0") "BODY\n" TAKEN "READY\n" RCPT_OK(
			"0") "BODY\n" TAKEN "READY\nCLOSED\n" },
	{ .name = "refused after the dot",
		.offers = EXCHANGE,
		.answers = { { ".", "554 5.2.252 SendAsDenied; a not allowed to send as b" } },
		.messages = { &plain },
		.said = HELLO DEFAULT_SAID BYE,
		.events = "READY\n" RCPT_OK(
			"0") "BODY\nRESULT waiting for the end of the message: 554 5.2.252 "
			     "SendAsDenied; a not allowed to send as b\nREADY\nCLOSED\n" },
	{ .name = "one of two recipients refused",
		.offers = EXCHANGE,
		.answers = { { GONE_ANSWER } },
		.messages = { &pair },
		.said = HELLO PAIR_SAID LETTER BYE,
		.events = "READY\n" GONE RCPT_OK("1") "BODY\n" TAKEN "READY\nCLOSED\n" },
	{ .name = "all recipients refused, DATA refused: RSET goes with the next",
		.offers = EXCHANGE,
		.answers = { { GONE_ANSWER },
			{ "RCPT TO:<jane", "550 5.7.1 no" },
			{ "DATA", "503 5.5.2 no recipients" } },
		.messages = { &pair, &plain },
		.said = HELLO PAIR_SAID "RSET\r\nMAIL FROM:<erp@contoso.com> SIZE=12\r\n"
					"RCPT TO:<jane@example.com>\r\nDATA\r\n" BYE,
		.events = "READY\n" GONE
			  "RCPT 1: 550 5.7.1 no\nRESULT sending RCPT TO: 550 5.7.1 no\nREADY\n"
			  "RCPT 0: 550 5.7.1 no\nRESULT sending RCPT TO: 550 5.7.1 "
			  "no\nREADY\nCLOSED\n" },
	{ .name = "all recipients refused, DATA taken: an empty message, ignored",
		.offers = EXCHANGE,
		.answers = { { "RCPT TO:<jane", "550 5.7.1 no" },
			{ ".", "250 2.0.0 delivered to nobody" } },
		.messages = { &plain },
		.said = HELLO "MAIL FROM:<erp@contoso.com> SIZE=12\r\nRCPT "
			      "TO:<jane@example.com>\r\nDATA\r\n.\r\n" BYE,
		.events = "READY\nRCPT 0: 550 5.7.1 no\nRESULT sending RCPT TO: 550 5.7.1 "
			  "no\nREADY\nCLOSED\n" },
	{ .name = "MAIL refused, the rest are its echoes",
		.offers = EXCHANGE,
		.answers = { { "MAIL", "530 5.7.57 Client not authenticated to send mail." },
			{ "RCPT", "503 5.5.2 Need mail command" },
			{ "DATA", "503 5.5.2 Need mail command" } },
		.messages = { &pair },
		.said = HELLO PAIR_SAID BYE,
		.events = "READY\nRESULT sending MAIL FROM: 530 5.7.57 Client not authenticated to "
			  "send mail.\n"
			  "READY\nCLOSED\n" },
	{ .name = "MAIL refused, and yet DATA taken",
		.offers = EXCHANGE,
		.answers = { { "MAIL", "550 5.1.8 Access denied, bad outbound sender" },
			{ ".", "554 5.5.1 none" } },
		.messages = { &plain },
		.said = HELLO "MAIL FROM:<erp@contoso.com> SIZE=12\r\nRCPT "
			      "TO:<jane@example.com>\r\nDATA\r\n.\r\n" BYE,
		.events = "READY\nRESULT sending MAIL FROM: 550 5.1.8 Access denied, bad outbound "
			  "sender\n"
			  "READY\nCLOSED\n" },
	{ .name = "MAIL refused and the line closed",
		.offers = EXCHANGE,
		.answers = { { "MAIL",
			"!550 5.7.708 Access denied, traffic not accepted from this IP" } },
		.messages = { &plain },
		.said = HELLO
		"MAIL FROM:<erp@contoso.com> SIZE=12\r\nRCPT TO:<jane@example.com>\r\nDATA\r\n",
		.events = "READY\nRESULT sending MAIL FROM: 550 5.7.708 Access denied, traffic not "
			  "accepted "
			  "from this IP\nCLOSED\n" },
	{ .name = "DATA refused: RSET",
		.offers = EXCHANGE,
		.answers = { { "DATA",
			"451 4.7.0 Temporary server error. Please try again later. PRX2" } },
		.messages = { &plain, &second },
		.said = HELLO
		"MAIL FROM:<erp@contoso.com> SIZE=12\r\nRCPT TO:<jane@example.com>\r\nDATA\r\n"
		"RSET\r\nMAIL FROM:<crm@contoso.com> SIZE=12\r\nRCPT "
		"TO:<jane@example.com>\r\nDATA\r\n" BYE,
		.events = "READY\n" RCPT_OK(
			"0") "RESULT sending DATA: 451 4.7.0 Temporary server error. Please try "
			     "again later. PRX2\nREADY\n" RCPT_OK(
				     "0") "RESULT sending DATA: 451 4.7.0 Temporary server error. "
					  "Please try again later. PRX2\nREADY\nCLOSED\n" },
	{ .name = "one by one: refused recipients stop before DATA",
		.offers = "SIZE 1000\nPIPELINING",
		.pipelining_off = true,
		.answers = { { GONE_ANSWER }, { "RCPT TO:<jane", "450 4.2.1 later" } },
		.messages = { &pair, &second },
		.said = HELLO
		"MAIL FROM:<erp@contoso.com> SIZE=12\r\nRCPT TO:<gone@example.com>\r\n"
		"RCPT TO:<jane@example.com>\r\nRSET\r\nMAIL FROM:<crm@contoso.com> SIZE=12\r\n"
		"RCPT TO:<jane@example.com>\r\n" BYE,
		.events =
			"READY\n" GONE
			"RCPT 1: 450 4.2.1 later\nRESULT sending RCPT TO: 450 4.2.1 later\nREADY\n"
			"RCPT 0: 450 4.2.1 later\nRESULT sending RCPT TO: 450 4.2.1 "
			"later\nREADY\nCLOSED\n" },
	{ .name = "421 to a recipient",
		.offers = EXCHANGE,
		.answers = { { "RCPT TO:<jane",
			"!421 4.4.2 Message submission rate for this client has exceeded the "
			"configured limit" } },
		.messages = { &pair },
		.said = HELLO PAIR_SAID,
		.events = "READY\nRCPT 0: 250 2.1.5 Recipient OK\nRESULT sending RCPT TO: 421 "
			  "4.4.2 Message submission rate "
			  "for this client has exceeded the configured limit\nCLOSED\n" },
	{ .name = "421 after the dot",
		.offers = EXCHANGE,
		.answers = { { ".", "!421 4.3.2 Service not active" } },
		.messages = { &plain },
		.said = HELLO DEFAULT_SAID,
		.events = "READY\n" RCPT_OK("0") "BODY\nRESULT waiting for the end of the message: "
						 "421 4.3.2 Service not "
						 "active\nCLOSED\n" },
	{ .name = "421 to RSET",
		.offers = "SIZE 1000",
		.answers = { { "RSET", "!421 4.3.2 bye" }, { "DATA", "550 5.0.0 no" } },
		.messages = { &plain, &second },
		.said = HELLO "MAIL FROM:<erp@contoso.com> SIZE=12\r\nRCPT "
			      "TO:<jane@example.com>\r\nDATA\r\nRSET\r\n",
		.events = "READY\n" RCPT_OK(
			"0") "RESULT sending DATA: 550 5.0.0 no\nREADY\n"
			     "RESULT sending MAIL FROM: 421 4.3.2 bye\nCLOSED\n" },
	{ .name = "421 to the empty message keeps the verdict",
		.offers = EXCHANGE,
		.answers = { { "RCPT", "550 5.7.1 no" }, { ".", "!421 4.3.2 bye" } },
		.messages = { &plain },
		.said = HELLO "MAIL FROM:<erp@contoso.com> SIZE=12\r\nRCPT "
			      "TO:<jane@example.com>\r\nDATA\r\n.\r\n",
		.events = "READY\nRCPT 0: 550 5.7.1 no\nRESULT sending RCPT TO: 550 5.7.1 "
			  "no\nCLOSED\n" },
	{ .name = "refused while the body is leaving",
		.offers = EXCHANGE,
		.answers = { { "BODY",
			"!552 5.3.4 Message size exceeds fixed maximum message size" } },
		.messages = { &plain },
		/* The owner had released the dot: it cannot know, and the reply is its answer. */
		.said = HELLO DEFAULT_SAID BYE,
		.events = "READY\n" RCPT_OK("0") "BODY\nRESULT waiting for the end of the message: "
						 "552 5.3.4 Message size "
						 "exceeds fixed maximum message "
						 "size\nREADY\nCLOSED\n" },
	{ .name = "hangs up after the dot",
		.offers = EXCHANGE,
		.answers = { { ".", "!" } },
		.messages = { &plain },
		.said = HELLO DEFAULT_SAID,
		.events = "READY\n" RCPT_OK("0") "BODY\nFAILED closed waiting for the end of the "
						 "message, uncertain\n" },
	{ .name = "nonsense after the dot",
		.offers = EXCHANGE,
		.answers = { { ".", "354 go on" } },
		.messages = { &plain },
		.said = HELLO DEFAULT_SAID,
		.events = "READY\n" RCPT_OK("0") "BODY\nFAILED protocol waiting for the end of the "
						 "message, uncertain\n" },
	{ .name = "a success of another kind after the dot",
		.offers = EXCHANGE,
		.answers = { { ".", "252 2.0.0 perhaps" } },
		.messages = { &plain },
		.said = HELLO DEFAULT_SAID,
		.events = "READY\n" RCPT_OK("0") "BODY\nFAILED protocol waiting for the end of the "
						 "message, uncertain\n" },
	{ .name = "a second greeting for RCPT",
		.offers = EXCHANGE,
		.answers = { { "RCPT", "220 mx.example ESMTP" } },
		.messages = { &plain },
		.said = HELLO
		"MAIL FROM:<erp@contoso.com> SIZE=12\r\nRCPT TO:<jane@example.com>\r\nDATA\r\n",
		.events = "READY\nFAILED protocol sending RCPT TO\n" },
	{ .name = "DATA answered 250",
		.offers = EXCHANGE,
		.answers = { { "DATA", "250 2.0.0 sure" } },
		.messages = { &plain },
		.said = HELLO
		"MAIL FROM:<erp@contoso.com> SIZE=12\r\nRCPT TO:<jane@example.com>\r\nDATA\r\n",
		.events = "READY\n" RCPT_OK("0") "FAILED protocol sending DATA\n" },
	{ .name = "no 221",
		.answers = { { "QUIT", "!" } },
		.said = HELLO BYE,
		.events = "READY\nCLOSED\n" },
	{ .name = "a body without its last CRLF",
		.offers = EXCHANGE,
		.messages = { &plain },
		.body = "no end",
		.said = HELLO
		"MAIL FROM:<erp@contoso.com> SIZE=12\r\nRCPT TO:<jane@example.com>\r\nDATA\r\n"
		"no end\r\n.\r\n" BYE,
		.events = "READY\n" RCPT_OK("0") "BODY\n" TAKEN "READY\nCLOSED\n" },
};

int main(void)
{
	static struct scenario_table table = { scenarios, COUNT_OF(scenarios) };
	const struct CMUnitTest tests[] = { SCENARIO_TESTS(&table) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
