/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client.h"

#include "base/attr.h"
#include "base/limits.h"
#include "base/must.h"
#include "mail/dsn.h"

#include "cmocka_all.h"

/*
 * Most tests are scenarios: a server of a few lines, an owner that does what the header says, and the
 * words and events that must come of it. Each scenario is then run again with its replies cut into
 * pieces of every size, with the line lost at every byte, and with silence from every byte on.
 */
struct answer {
	const char *command; /* how the client's line begins; "BODY": the first line of a body */
	const char *reply; /* "!" in front: and then the server hangs up. Empty: nothing is said */
};

struct scenario {
	const char *name;
	enum smtp_client_tls tls;
	const char *login;
	bool pipelining_off;
	const char *offers;     /* lines of EHLO after the first, apart by '\n' */
	const char *tls_offers; /* after STARTTLS */
	struct answer answers[6];
	const struct smtp_client_message *messages[3];
	const char *body;
	const char *said, *events;
};

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

/* ---- the server ---- */

struct world {
	const struct scenario *s;
	struct smtp_client *c;
	struct secret *password;
	struct mono_time now;
	struct buf line;    /* of the client, in the making */
	struct buf said;    /* all that the client sent */
	struct buf replies; /* not fed yet */
	struct buf events;
	size_t fed, piece, stop_at;
	size_t message; /* next to send */
	bool secured, in_data, body_seen, hangs_up, deaf;
	unsigned auth_lines;
	bool released, ended, uncertain;
	enum smtp_client_stage end_stage;
	enum smtp_client_event_kind end_kind;
	size_t endings, results;
};

static void add(struct buf *b, struct sv v)
{
	must(buf_append(b, v) == 0);
}

static void say(struct world *w, const char *reply)
{
	struct sv rest, line;
	bool more = true;

	if (reply[0] == '!') {
		w->hangs_up = true;
		w->deaf = true;
		reply++;
	}
	rest = sv_from(reply);
	while (more && rest.len) {
		more = sv_cut_char(&rest, '\n', &line);
		add(&w->replies, line);
		add(&w->replies, SV("\r\n"));
	}
}

static void say_hello(struct world *w)
{
	struct sv rest = sv_from(w->secured && w->s->tls_offers ? w->s->tls_offers : w->s->offers),
		  line;
	bool more = rest.len > 0;

	must(buf_printf(&w->replies, "250%cmail.example Hello [192.0.2.7]\r\n", more ? '-' : ' ') ==
		0);
	while (more) {
		more = sv_cut_char(&rest, '\n', &line);
		must(buf_printf(&w->replies, "250%c%.*s\r\n", more ? '-' : ' ', SV_ARG(line)) == 0);
	}
}

static const char *usual_reply(struct world *w, struct sv line)
{
	static const struct answer usual[] = {
		{ "HELO", "250 mail.example" },
		{ "STARTTLS", "220 2.0.0 SMTP server ready" },
		{ "AUTH LOGIN", "334 VXNlcm5hbWU6" },
		{ "AUTH PLAIN", "235 2.7.0 Authentication successful" },
		{ "MAIL", "250 2.1.0 Sender OK" },
		{ "RCPT", "250 2.1.5 Recipient OK" },
		{ "DATA", "354 Start mail input; end with <CRLF>.<CRLF>" },
		{ "RSET", "250 2.0.0 Resetting" },
		{ "QUIT", "!221 2.0.0 Service closing transmission channel" },
		{ ".", "250 2.0.0 OK <new@id> [Hostname=x]" },
	};

	if (w->auth_lines == 2 || w->auth_lines == 1)
		return w->auth_lines-- == 2 ? "334 UGFzc3dvcmQ6"
					    : "235 2.7.0 Authentication successful";
	for (size_t i = 0; i < COUNT_OF(usual); i++)
		if (sv_starts(line, sv_from(usual[i].command)))
			return usual[i].reply;
	return "500 5.5.1 Unrecognized command";
}

static const char *special_reply(const struct world *w, struct sv line)
{
	for (size_t i = 0; i < COUNT_OF(w->s->answers) && w->s->answers[i].command; i++)
		if (sv_starts(line, sv_from(w->s->answers[i].command)))
			return w->s->answers[i].reply;
	return NULL;
}

static void serve_line(struct world *w, struct sv line)
{
	const char *reply;

	if (w->in_data && !sv_eq(line, SV("."))) {
		reply = w->body_seen ? NULL : special_reply(w, SV("BODY"));
		w->body_seen = true;
		if (reply)
			say(w, reply);
		return;
	}
	w->in_data = false;
	reply = special_reply(w, line);
	if (!reply && sv_starts(line, SV("EHLO"))) {
		say_hello(w);
		return;
	}
	if (!reply)
		reply = usual_reply(w, line);
	if (sv_starts(line, SV("AUTH LOGIN")))
		w->auth_lines = 2;
	w->in_data = sv_starts(sv_from(reply), SV("354"));
	w->body_seen = false;
	say(w, reply);
}

/* All that the client has to say leaves and is answered. */
static void serve(struct world *w)
{
	struct sv out = smtp_client_output(w->c), rest, line;

	add(&w->said, out);
	add(&w->line, out);
	smtp_client_sent(w->c, w->now, out.len);
	rest = buf_sv(&w->line);
	while (!w->deaf && sv_cut_line(&rest, &line))
		serve_line(w, line);
	buf_consume(&w->line, w->line.len - rest.len);
}

/* ---- the owner ---- */

static const char *const kinds[] = {
	"STARTTLS", "READY", "RCPT", "BODY", "RESULT", "FAILED", "CLOSED"
};
static const char *const failures[] = {
	"reply", "no STARTTLS", "no AUTH", "protocol", "timeout", "closed"
};

static void note(struct world *w, const struct smtp_client_event *e)
{
	must(buf_printf(&w->events, "%s", kinds[e->kind]) == 0);
	if (e->kind == SMTP_CLIENT_EV_RCPT)
		must(buf_printf(&w->events, " %zu", e->index) == 0);
	if (e->kind == SMTP_CLIENT_EV_FAILED)
		must(buf_printf(&w->events, " %s", failures[e->failure]) == 0);
	if (e->kind == SMTP_CLIENT_EV_FAILED || e->kind == SMTP_CLIENT_EV_RESULT)
		must(buf_printf(&w->events, " %s", smtp_client_stage_text(e->stage)) == 0);
	if (e->reply.code) {
		add(&w->events, SV(": "));
		must(smtp_reply_line(&e->reply, &w->events) == 0);
	}
	add(&w->events, e->local ? SV(", local") : SV(""));
	add(&w->events, e->uncertain ? SV(", uncertain\n") : SV("\n"));
}

static void give_body(struct world *w)
{
	smtp_client_body(
		w->c, w->now, sv_from(w->s->body ? w->s->body : "Subject: x\r\n\r\n.dot\r\n"));
	serve(w);
	smtp_client_body_end(w->c, w->now);
	w->released = smtp_client_output(w->c).len > 0;
}

static void react(struct world *w, const struct smtp_client_event *e)
{
	assert_false(w->ended);
	note(w, e);
	if (e->kind == SMTP_CLIENT_EV_STARTTLS) {
		w->secured = true;
		smtp_client_tls_started(w->c, w->now);
	} else if (e->kind == SMTP_CLIENT_EV_READY && w->s->messages[w->message]) {
		smtp_client_send(w->c, w->now, w->s->messages[w->message++]);
	} else if (e->kind == SMTP_CLIENT_EV_READY) {
		smtp_client_quit(w->c, w->now);
	} else if (e->kind == SMTP_CLIENT_EV_BODY) {
		give_body(w);
	} else if (e->kind == SMTP_CLIENT_EV_RESULT) {
		w->results++;
		w->released = false;
	} else if (e->kind == SMTP_CLIENT_EV_FAILED || e->kind == SMTP_CLIENT_EV_CLOSED) {
		w->endings++;
		w->ended = true;
		w->end_kind = e->kind;
		w->end_stage = e->stage;
		w->uncertain = e->uncertain;
	}
}

static void handle_events(struct world *w)
{
	struct smtp_client_event e;

	serve(w);
	while (smtp_client_next(w->c, &e)) {
		react(w, &e);
		serve(w);
	}
	/* A reply that gives no event may give a question. */
	serve(w);
}

static void world_init(struct world *w, const struct scenario *s, size_t piece, size_t stop_at)
{
	struct smtp_client_options options = { .hostname = SV("relay.contoso.com"),
		.tls = s->tls,
		.login = sv_from(s->login),
		.pipelining_off = s->pipelining_off };

	*w = (struct world){ .s = s, .piece = piece, .stop_at = stop_at };
	w->password = s->login ? secret_new(SV("s3cret")) : NULL;
	options.password = w->password;
	w->now.us = US_PER_HOUR;
	buf_init(&w->line, 1 << 20);
	buf_init(&w->said, 1 << 20);
	buf_init(&w->replies, 1 << 20);
	buf_init(&w->events, 1 << 20);
	w->c = smtp_client_new(&options);
	smtp_client_connected(w->c, w->now);
	say(w,
		special_reply(w, SV("CONNECT")) ? special_reply(w, SV("CONNECT"))
						: "220 mail.example ESMTP ready");
}

/* Feeds until all has been said or `stop_at` bytes were. */
static void world_run(struct world *w)
{
	handle_events(w);
	while (!w->ended && w->replies.len && w->fed < w->stop_at) {
		size_t n = w->stop_at - w->fed;
		struct sv part;

		n = n < w->piece ? n : w->piece;
		part = sv_head(buf_sv(&w->replies), n);
		w->fed += part.len;
		smtp_client_feed(w->c, w->now, part);
		buf_consume(&w->replies, part.len);
		handle_events(w);
	}
	if (w->hangs_up && w->replies.len == 0) {
		smtp_client_eof(w->c);
		handle_events(w);
	}
}

static void world_deinit(struct world *w)
{
	smtp_client_free(w->c);
	secret_free(w->password);
	buf_deinit(&w->line);
	buf_deinit(&w->said);
	buf_deinit(&w->replies);
	buf_deinit(&w->events);
}

/* ---- the tests ---- */

static void assert_text(
	const struct scenario *s, const char *what, size_t piece, struct sv got, struct sv want)
{
	if (!sv_eq(got, want))
		fail_msg("%s: %s, pieces of %zu:\n%.*s\nwanted:\n%.*s",
			s->name,
			what,
			piece,
			SV_ARG(got),
			SV_ARG(want));
}

static void scenarios_go_as_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
		struct world w;

		world_init(&w, &scenarios[i], SIZE_MAX, SIZE_MAX);
		world_run(&w);
		assert_text(&scenarios[i], "said", 0, buf_sv(&w.said), sv_from(scenarios[i].said));
		assert_text(&scenarios[i],
			"events",
			0,
			buf_sv(&w.events),
			sv_from(scenarios[i].events));
		assert_int_equal(w.endings, 1);
		world_deinit(&w);
	}
}

static void split_replies_give_the_same_events(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
		for (size_t piece = 1; piece < 80; piece++) {
			struct world w;

			world_init(&w, &scenarios[i], piece, SIZE_MAX);
			world_run(&w);
			assert_text(&scenarios[i],
				"events",
				piece,
				buf_sv(&w.events),
				sv_from(scenarios[i].events));
			world_deinit(&w);
		}
	}
}

/* What the scenario says up to byte `stop_at`; false when it was over before. */
static bool run_until(struct world *w, size_t i, size_t stop_at)
{
	world_init(w, &scenarios[i], SIZE_MAX, stop_at);
	world_run(w);
	/* Every scenario ends: else a test would run for ever. */
	assert_true(stop_at < 5000);
	return !w->ended;
}

static void check_end(const struct world *w, size_t at)
{
	bool uncertain = w->released;

	if (w->endings != 1 || w->uncertain != uncertain)
		fail_msg("%s, cut at %zu: %zu endings, uncertain %d, released %d\n%.*s",
			w->s->name,
			at,
			w->endings,
			w->uncertain,
			uncertain,
			SV_ARG(buf_sv(&w->events)));
	assert_int_equal(smtp_client_output(w->c).len, 0);
	assert_int_equal(smtp_client_deadline(w->c).us, MONO_NEVER.us);
}

static void a_line_cut_at_any_byte_ends_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
		bool more = true;

		for (size_t at = 0; more; at++) {
			struct world w;

			more = run_until(&w, i, at);
			smtp_client_eof(w.c);
			handle_events(&w);
			check_end(&w, at);
			/* Again changes nothing. */
			smtp_client_eof(w.c);
			smtp_client_tick(w.c, MONO_NEVER);
			smtp_client_feed(w.c, w.now, SV("250 x\r\n"));
			smtp_client_abandon(w.c);
			handle_events(&w);
			assert_int_equal(w.endings, 1);
			world_deinit(&w);
		}
	}
}

static uint64_t timeout_of(enum smtp_client_stage stage)
{
	return stage == SMTP_CLIENT_STAGE_DATA  ? 2 * US_PER_MIN
	       : stage == SMTP_CLIENT_STAGE_DOT ? 10 * US_PER_MIN
						: 5 * US_PER_MIN;
}

/* RFC 5321 4.5.3.2: in time, and not before. */
static void silence_from_any_byte_on_ends_in_time(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
		bool more = true;

		for (size_t at = 0; more; at++) {
			struct world w;
			uint64_t us;

			more = run_until(&w, i, at);
			if (more) {
				us = mono_span(w.now, smtp_client_deadline(w.c));
				/* An empty message is given the time of one. */
				if (us != timeout_of(smtp_client_stage(w.c)))
					assert_int_equal(us, 10 * US_PER_MIN);
				w.now.us += us - 1;
				smtp_client_tick(w.c, w.now);
				handle_events(&w);
				assert_int_equal(w.endings, 0);
				w.now.us++;
				smtp_client_tick(w.c, w.now);
				handle_events(&w);
			}
			check_end(&w, at);
			world_deinit(&w);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scenarios_go_as_written),
		cmocka_unit_test(split_replies_give_the_same_events),
		cmocka_unit_test(a_line_cut_at_any_byte_ends_once),
		cmocka_unit_test(silence_from_any_byte_on_ends_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
