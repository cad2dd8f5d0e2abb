/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/server.h"

#include "base/limits.h"

#include "smtp/server_testing.h"

/* ---- dialogues ---- */

struct line {
	const char *client, *reply, *events;
};

struct dialogue {
	const char *name;
	void (*tune)(struct smtp_server_options *o);
	struct line lines[20];
};

#define SYNTAX_MAIL "501 5.5.4 Syntax: MAIL FROM:<address>\r\n"
#define BAD_PARAM "501 5.5.4 Parameter cannot be read\r\n"
#define NO_PARAM "555 5.5.4 Parameter is not known here\r\n"
#define TOO_LARGE "552 5.3.4 Message is larger than this listener takes\r\n"
#define OK_MAIL "250 2.1.0 Ok\r\n"
#define OK_RCPT "250 2.1.5 Ok\r\n"
#define OK_NOOP "250 2.0.0 Ok\r\n"
#define UNKNOWN "500 5.5.1 Command is not known\r\n"
#define BYE "221 2.0.0 Bye\r\n"
#define BAD_LINE "500 5.5.2 Lines must end in CR LF and hold no other CR, LF or NUL\r\n"

static void no_extras(struct smtp_server_options *o)
{
	o->dsn = o->eightbitmime = o->smtputf8 = o->starttls = o->chunking = false;
	o->auth = 0;
	o->bad_command_max = 50;
}

static void patient(struct smtp_server_options *o)
{
	o->bad_command_max = 50;
}

static void tls_first(struct smtp_server_options *o)
{
	o->tls_required = true;
}

static void auth_first(struct smtp_server_options *o)
{
	o->auth_required = true;
}

static void old_device(struct smtp_server_options *o)
{
	o->lenient = true;
	o->strict = false;
}

static void as_postfix(struct smtp_server_options *o)
{
	o->strict = false;
	o->bad_command_max = 50;
}

static void listed(struct smtp_server_options *o)
{
	o->ehlo_text = SV("AB1.prod.outlook.com Hello [192.0.2.1]");
	o->banner = SV("AB1.prod.outlook.com Microsoft ESMTP MAIL Service ready");
	o->ready_tls_text = SV("2.0.0 SMTP server ready");
	o->size_announced = 157286400;
	o->binarymime_listed = true;
	o->auth_needs_tls = false;
	o->auth |= SMTP_SERVER_AUTH_XOAUTH2;
}

static const struct dialogue dialogues[] = {
	{ "a message",
		NULL,
		{ { "", "220 mx.test ESMTP postern\r\n", "GREET\n" },
			{ "EHLO c.test\r\n",
				"250-mx.test\r\n250-SIZE 1000\r\n250-PIPELINING\r\n250-DSN\r\n"
				"250-ENHANCEDSTATUSCODES\r\n250-STARTTLS\r\n"
				"250-8BITMIME\r\n250-CHUNKING\r\n250 SMTPUTF8\r\n",
				"" },
			{ "MAIL FROM:<a@b.test>\r\n", OK_MAIL, "MAIL <a@b.test>\n" },
			{ "RCPT TO:<c@d.test>\r\n", OK_RCPT, "RCPT <c@d.test>\n" },
			{ "DATA\r\n", "354 Go\r\n", "DATA\n" },
			{ "Subject: x\r\n\r\n..dot\r\n", "", "" },
			{ ".\r\n", "250 2.0.0 Queued\r\n", "END Subject: x\r\n\r\n.dot\r\n\n" },
			{ "QUIT\r\n", BYE, "CLOSE quit\n" } } },
	{ "what Exchange looks like",
		listed,
		{ { "",
			  "220 AB1.prod.outlook.com Microsoft ESMTP MAIL Service ready\r\n",
			  "GREET\n" },
			{ "ehlo c\r\n",
				"250-AB1.prod.outlook.com Hello [192.0.2.1]\r\n250-SIZE "
				"157286400\r\n"
				"250-PIPELINING\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250-"
				"STARTTLS\r\n"
				"250-AUTH SCRAM-SHA-256 PLAIN LOGIN XOAUTH2\r\n250-8BITMIME\r\n"
				"250-BINARYMIME\r\n250-CHUNKING\r\n250 SMTPUTF8\r\n",
				"" },
			{ "MAIL FROM:<a@b> BODY=BINARYMIME\r\n", BAD_PARAM, "" },
			{ "STARTTLS\r\n", "220 2.0.0 SMTP server ready\r\n", "STARTTLS\n" } } },
	{ "HELO and no extensions",
		no_extras,
		{ { "HELO c\r\n", "220 mx.test ESMTP postern\r\n250 mx.test\r\n", "GREET\n" },
			{ "MAIL FROM:<a@b> BODY=8BITMIME\r\n", NO_PARAM, "" },
			{ "MAIL FROM:<a@b> SMTPUTF8\r\n", NO_PARAM, "" },
			{ "MAIL FROM:<a@b> RET=FULL\r\n", NO_PARAM, "" },
			{ "MAIL FROM:<a@b> ENVID=x\r\n", NO_PARAM, "" },
			{ "MAIL FROM:<a@b> AUTH=<>\r\n", NO_PARAM, "" },
			{ "AUTH PLAIN\r\n", "503 5.5.1 Authentication is not offered\r\n", "" },
			{ "STARTTLS\r\n", "503 5.5.1 TLS is not offered\r\n", "" },
			{ "MAIL FROM:<a@b> SIZE=9\r\n", OK_MAIL, "MAIL <a@b> size=9\n" },
			{ "RCPT TO:<c@d> NOTIFY=NEVER\r\n", NO_PARAM, "" },
			{ "EHLO c\r\n",
				"250-mx.test\r\n250-SIZE 1000\r\n250-PIPELINING\r\n250 "
				"ENHANCEDSTATUSCODES\r\n",
				"RESET\n" },
			{ "BDAT 5\r\n",
				"501 5.5.4 Syntax: BDAT size [LAST]; where the chunk ends is "
				"unknown, goodbye\r\n",
				"CLOSE bad-chunk\n" } } },
	{ "order of commands",
		patient,
		{ { "MAIL FROM:<a@b>\r\n",
			  "220 mx.test ESMTP postern\r\n503 5.5.1 Say EHLO first\r\n",
			  "GREET\n" },
			{ "AUTH PLAIN\r\n", "503 5.5.1 Say EHLO first\r\n", "" },
			{ "EHLO\r\n", "501 5.5.4 Say your name: EHLO host.example\r\n", "" },
			{ "EHLO a b\r\n", "501 5.5.4 Say your name: EHLO host.example\r\n", "" },
			{ "HELO c\r\n", "250 mx.test\r\n", "" },
			{ "RCPT TO:<a@b>\r\n", "503 5.5.1 Say MAIL first\r\n", "" },
			{ "DATA\r\n", "503 5.5.1 Say MAIL first\r\n", "" },
			{ "MAIL FROM:<no@b>\r\n", "550 5.7.1 No\r\n", "MAIL <no@b>\n" },
			{ "MAIL FROM:<a@b>\r\n", OK_MAIL, "MAIL <a@b>\n" },
			{ "MAIL FROM:<a@b>\r\n",
				"503 5.5.1 A message is under way: end it or say RSET\r\n",
				"" },
			{ "AUTH PLAIN\r\n", "503 5.5.1 Not within a message\r\n", "" },
			{ "DATA\r\n", "554 5.5.1 No valid recipients\r\n", "" },
			{ "RCPT TO:<no@b>\r\n", "550 5.1.1 No\r\n", "RCPT <no@b>\n" },
			{ "DATA\r\n", "554 5.5.1 No valid recipients\r\n", "" },
			{ "RCPT TO:<c@d>\r\n", OK_RCPT, "RCPT <c@d>\n" },
			{ "DATA now\r\n", "501 5.5.4 DATA takes no parameter\r\n", "" },
			{ "RSET\r\n", OK_NOOP, "RESET\n" },
			{ "RSET\r\n", OK_NOOP, "" },
			{ "DATA\r\n", "503 5.5.1 Say MAIL first\r\n", "" } } },
	{ "small commands",
		patient,
		{ { "  noop what ever\t\r\n", "220 mx.test ESMTP postern\r\n" OK_NOOP, "GREET\n" },
			{ "HELP\r\n", "214 2.0.0 RFC 5321; see postern(8)\r\n", "" },
			{ "VRFY a\r\n", "252 2.5.2 Send the message and see\r\n", "" },
			{ "EXPN a\r\n", "502 5.5.1 Lists are not shown\r\n", "" },
			{ "\r\n", "500 5.5.1 Command is not known\r\n", "" },
			{ "NOOPS\r\n", "500 5.5.1 Command is not known\r\n", "" },
			{ "QUIT\r\nNOOP\r\n", BYE, "CLOSE quit\n" } } },
	{ "recipients past the limit",
		NULL,
		{ { "EHLO c\r\nMAIL FROM:<>\r\n", NULL, "GREET\nMAIL <>\n" },
			{ "RCPT TO:<1@b>\r\n", OK_RCPT, "RCPT <1@b>\n" },
			{ "RCPT TO:<no@b>\r\n", "550 5.1.1 No\r\n", "RCPT <no@b>\n" },
			{ "RCPT TO:<2@b>\r\n", OK_RCPT, "RCPT <2@b>\n" },
			{ "RCPT TO:<3@b>\r\n", OK_RCPT, "RCPT <3@b>\n" },
			{ "RCPT TO:<4@b>\r\n",
				"452 4.5.3 Too many recipients; send the others in another "
				"message\r\n",
				"" },
			{ "DATA\r\n.\r\n", "354 Go\r\n250 2.0.0 Queued\r\n", "DATA\nEND \n" },
			{ "MAIL FROM:<b@c>\r\nRCPT TO:<1@b>\r\n",
				OK_MAIL OK_RCPT,
				"MAIL <b@c>\nRCPT <1@b>\n" } } },
	{ "parameters of MAIL",
		patient,
		{ { "EHLO c\r\n", NULL, "GREET\n" },
			{ "MAIL FROM:<a@b> SIZE=1000 BODY=8bitmime SMTPUTF8 RET=HDRS ENVID=e+3D1 "
			  "AUTH=<>\r\nRSET\r\n",
				OK_MAIL OK_NOOP,
				"MAIL <a@b> size=1000 utf8 8bit ret=2 envid=e=1\nRESET\n" },
			{ "MAIL FROM:<a@b> body=7BIT ret=full\r\nRSET\r\n",
				OK_MAIL OK_NOOP,
				"MAIL <a@b> ret=1\nRESET\n" },
			{ "MAIL FROM:<a@b> SIZE=1001\r\n", TOO_LARGE, "" },
			{ "MAIL FROM:<a@b> SIZE=99999999999999999999\r\n", TOO_LARGE, "" },
			{ "MAIL FROM:<a@b> SIZE=\r\n", BAD_PARAM, "" },
			{ "MAIL FROM:<a@b> SIZE=-1\r\n", BAD_PARAM, "" },
			{ "MAIL FROM:<a@b> BODY=9BIT\r\n", BAD_PARAM, "" },
			{ "MAIL FROM:<a@b> SMTPUTF8=YES\r\n", BAD_PARAM, "" },
			{ "MAIL FROM:<a@b> RET=FULL RET=HDRS\r\n", BAD_PARAM, "" },
			{ "MAIL FROM:<a@b> ENVID=a ENVID=b\r\n", BAD_PARAM, "" },
			{ "MAIL FROM:<a@b> ENVID=a+0D+0AX:\r\n", BAD_PARAM, "" },
			{ "MAIL FROM:<a@b> ENVID=a+3d\r\n", BAD_PARAM, "" },
			{ "MAIL FROM:<a@b> =x\r\n", BAD_PARAM, "" },
			{ "MAIL FROM:<a@b> X-Y=1\r\n", NO_PARAM, "" },
			{ "MAIL FROM:<a@b> HOLDFOR=9\r\n", NO_PARAM, "" } } },
	{ "parameters of RCPT",
		patient,
		{ { "EHLO c\r\nMAIL FROM:<a@b>\r\n", NULL, "GREET\nMAIL <a@b>\n" },
			{ "RCPT TO:<c@d> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;c+2Bx@d\r\n",
				OK_RCPT,
				"RCPT <c@d> notify=14 orcpt=rfc822;c+2Bx@d\n" },
			{ "RCPT TO:<c@d> notify=never\r\n", OK_RCPT, "RCPT <c@d> notify=1\n" },
			{ "RCPT TO:<c@d> NOTIFY=NEVER,DELAY\r\n", BAD_PARAM, "" },
			{ "RCPT TO:<c@d> NOTIFY=,\r\n", BAD_PARAM, "" },
			{ "RCPT TO:<c@d> NOTIFY=DELAY NOTIFY=DELAY\r\n", BAD_PARAM, "" },
			{ "RCPT TO:<c@d> ORCPT=c@d\r\n", BAD_PARAM, "" },
			{ "RCPT TO:<c@d> ORCPT=;c@d\r\n", BAD_PARAM, "" },
			{ "RCPT TO:<c@d> ORCPT=rfc822;\r\n", BAD_PARAM, "" },
			{ "RCPT TO:<c@d> ORCPT=rf<2;c\r\n", BAD_PARAM, "" },
			{ "RCPT TO:<c@d> ORCPT=rfc822;c+0Ad\r\n", BAD_PARAM, "" },
			{ "RCPT TO:<c@d> SIZE=1\r\n", NO_PARAM, "" } } },
	{ "paths",
		patient,
		{ { "EHLO c\r\n", NULL, "GREET\n" },
			{ "MAIL\r\n", SYNTAX_MAIL, "" },
			{ "MAIL FROM\r\n", SYNTAX_MAIL, "" },
			{ "MAIL FROM:\r\n", SYNTAX_MAIL, "" },
			{ "MAIL FROM:<a@b\r\n", SYNTAX_MAIL, "" },
			{ "MAIL FROM:<a@b>SIZE=1\r\n", SYNTAX_MAIL, "" },
			{ "MAIL FROM:A <a@b>\r\n", "501 5.5.4 Parameter cannot be read\r\n", "" },
			{ "MAIL FROM:<a b@c>\r\n",
				"553 5.1.7 Sender address cannot be read\r\n",
				"" },
			{ "MAIL FROM:<\xc3\xa4@b>\r\n",
				"553 5.1.7 Sender address cannot be read\r\n",
				"" },
			{ "MAIL FROM:<@x:>\r\n",
				"553 5.1.7 Sender address cannot be read\r\n",
				"" },
			{ "MAIL FROM:<\xc3\xa4@b> SMTPUTF8\r\n",
				OK_MAIL,
				"MAIL <\xc3\xa4@b> utf8\n" },
			{ "RCPT TO:<\xc3\xb6@b>\r\n", OK_RCPT, "RCPT <\xc3\xb6@b>\n" },
			{ "RCPT TO:<>\r\n", "553 5.1.3 Recipient address cannot be read\r\n", "" },
			{ "RSET\r\nMAIL From: a@b SIZE=5\r\n",
				OK_NOOP OK_MAIL,
				"RESET\nMAIL <a@b> size=5\n" },
			{ "RCPT TO:<@r.test,@s.test:c@d>\r\n", OK_RCPT, "RCPT <c@d>\n" },
			{ "RCPT TO:<\"a>b\"@d>\r\n", OK_RCPT, "RCPT <\"a>b\"@d>\n" },
			{ "RSET\r\nMAIL FROM:<root>\r\n", OK_NOOP OK_MAIL, "RESET\nMAIL <root>\n" },
			{ "RCPT TO:<\xc3\xb6@b>\r\n",
				"553 5.1.3 Recipient address cannot be read\r\n",
				"" },
			{ "RCPT FROM:<a@b>\r\n",
				"501 5.5.4 Syntax: RCPT TO:<address>\r\n",
				"" } } },
	{ "an old device",
		old_device,
		{ { "mail from: scan@b\r\n", NULL, "GREET\nMAIL <scan@b>\n" },
			{ "rcpt to: <c@d>\r\n", OK_RCPT, "RCPT <c@d>\n" },
			{ "RSET\r\nHELO\r\n", OK_NOOP "250 mx.test\r\n", "RESET\n" },
			{ "HELO Scanner 3 (2nd floor)\r\n", "250 mx.test\r\n", "" },
			{ "MAIL FROM:<Scanner 3>\r\n", OK_MAIL, "MAIL <>\n" },
			{ "RCPT TO:<Scanner 3>\r\n",
				"553 5.1.3 Recipient address cannot be read\r\n",
				"" },
			{ "RSET\r\nMAIL FROM:<a@b> X=y =\r\n",
				OK_NOOP OK_MAIL,
				"RESET\nMAIL <a@b>\n" },
			{ "RSET\r\nMAIL FROM SCANNER\r\n",
				OK_NOOP OK_MAIL,
				"RESET\nMAIL <SCANNER>\n" },
			{ "RSET\r\nMAIL FROM:<a@b> SIZE=1001\r\n",
				OK_NOOP TOO_LARGE,
				"RESET\n" } } },
	{ "an old device writes paths in its own way",
		old_device,
		{ { "EHLO\r\nMAIL FROM <scan@b>\r\n", NULL, "GREET\nMAIL <scan@b>\n" },
			{ "RCPT TO <c@d>\r\n", OK_RCPT, "RCPT <c@d>\n" },
			{ "RSET\r\nMAIL FROM :scan@b\r\n",
				OK_NOOP OK_MAIL,
				"RESET\nMAIL <scan@b>\n" },
			{ "rcpt\tto: \t< e@d >\t \r\n", OK_RCPT, "RCPT <e@d>\n" },
			{ "RCPT TO:Anna <f@d>\r\n", OK_RCPT, "RCPT <f@d>\n" },
			{ "RSET\r\nMAIL FROM:\r\n", OK_NOOP OK_MAIL, "RESET\nMAIL <>\n" },
			{ "RCPT TO:\"Anna, <x>\" <g@d> X=y\r\n", OK_RCPT, "RCPT <g@d>\n" },
			{ "RCPT TO:<h@d\r\n", OK_RCPT, "RCPT <h@d>\n" },
			{ "RSET\r\nMAIL FROM:<a@b>\n", OK_NOOP OK_MAIL, "RESET\nMAIL <a@b>\n" },
			{ "RCPT TO:<i@d>\r", OK_RCPT, "RCPT <i@d>\n" },
			{ "\r\nRCPT TO:<j@d>\r\r\n", OK_RCPT, "RCPT <j@d>\n" } } },
	{ "an old device gets no recipient that it did not name",
		old_device,
		{ { "MAIL FROM:<a@b>\r\n", NULL, "GREET\nMAIL <a@b>\n" },
			{ "RCPT TO:Anna b@d\r\n", "501 5.5.4 Parameter cannot be read\r\n", "" },
			{ "RCPT TO:Anna Bea\r\n", NO_PARAM, "" },
			{ "RCPT TO:<b@d>,<c@d>\r\n",
				"501 5.5.4 Syntax: RCPT TO:<address>\r\n",
				"" },
			{ "RCPT TO:b@d <c@d>\r\n", "501 5.5.4 Parameter cannot be read\r\n", "" },
			{ "RCPT TO:Anna, Bea <c@d>\r\n", NO_PARAM, "" } } },
	{ "what Postfix takes from anybody",
		as_postfix,
		{ { "MAIL FROM:<a@b>\r\n", NULL, "GREET\nMAIL <a@b>\n" },
			{ "RSET\r\nHELO Plant Monitoring 2\r\n",
				OK_NOOP "250 mx.test\r\n",
				"RESET\n" },
			{ "HELO\r\n", "250 mx.test\r\n", "" },
			{ " MAIL  FROM:  <a@b>  \n", OK_MAIL, "MAIL <a@b>\n" },
			{ "RCPT TO:<a..b@d>\r\n", OK_RCPT, "RCPT <\"a..b\"@d>\n" },
			{ "RCPT TO: < a.@d. > \r\r\n", OK_RCPT, "RCPT <\"a.\"@d>\n" },
			{ "RCPT TO:<<c@d>>\r\n", OK_RCPT, "RCPT <c@d>\n" },
			{ "RSET\r\nMAIL FROM:<>\r\n", OK_NOOP OK_MAIL, "RESET\nMAIL <>\n" },
			{ "RCPT TO:d@d>\r\n", OK_RCPT, "RCPT <d@d>\n" },
			{ "RCPT TO:<e@d>;\r\n", OK_RCPT, "RCPT <e@d>\n" },
			{ "RCPT TO:<j\xc3\xb6@d>\r\n", OK_RCPT, "RCPT <j\xc3\xb6@d>\n" } } },
	{ "what Postfix takes from nobody",
		as_postfix,
		{ { "MAIL FROM <a@b>\r\nMAIL FROM:<a@b>\n", NULL, "GREET\nMAIL <a@b>\n" },
			{ "RCPT TO:Anna <b@d>\r\n", "501 5.5.4 Parameter cannot be read\r\n", "" },
			{ "RCPT TO:<b@d,c@d>\r\n",
				"553 5.1.3 Recipient address cannot be read\r\n",
				"" },
			{ "RCPT TO:<b@d> <c@d>\r\n", "501 5.5.4 Parameter cannot be read\r\n", "" },
			{ "RCPT TO:<b@d\r\n", "501 5.5.4 Syntax: RCPT TO:<address>\r\n", "" },
			{ "RCPT TO:<j\xf6@d>\r\n",
				"553 5.1.3 Recipient address cannot be read\r\n",
				"" } } },
	{ "TLS first",
		tls_first,
		{ { "EHLO c\r\n", NULL, "GREET\n" },
			{ "MAIL FROM:<a@b>\r\n", "530 5.7.0 Use STARTTLS first\r\n", "" },
			{ "AUTH SCRAM-SHA-256\r\n", "530 5.7.0 Use STARTTLS first\r\n", "" },
			{ "STARTTLS x\r\n", "501 5.5.4 STARTTLS takes no parameter\r\n", "" },
			{ "STARTTLS\r\n", "220 2.0.0 Ready to start TLS\r\n", "STARTTLS\n" } } },
	{ "AUTH first",
		auth_first,
		{ { "EHLO c\r\n", NULL, "GREET\n" },
			{ "MAIL FROM:<a@b>\r\n", "530 5.7.0 Authentication required\r\n", "" } } },
	{ "too many errors",
		NULL,
		{ { "X\r\nX\r\nX\r\nX\r\nX\r\n", NULL, "GREET\n" },
			{ "NOOP\r\n", OK_NOOP, "" },
			{ "X\r\nNOOP\r\n",
				"421 4.7.0 Too many errors, goodbye\r\n",
				"CLOSE too-many-errors\n" } } },
	{ "a good message forgives the errors before it; VRFY is none",
		NULL,
		{ { "X\r\nX\r\nX\r\nX\r\nX\r\nHELO c\r\nMAIL FROM:<>\r\n",
			  NULL,
			  "GREET\nMAIL <>\n" },
			{ "RCPT TO:<c@d>\r\n", OK_RCPT, "RCPT <c@d>\n" },
			{ "DATA\r\n", "354 Go\r\n", "DATA\n" },
			{ "x\r\n.\r\n", "250 2.0.0 Queued\r\n", "END x\r\n\n" },
			{ "VRFY a\r\n", "252 2.5.2 Send the message and see\r\n", "" },
			{ "X\r\nX\r\nX\r\nX\r\nX\r\n",
				UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN,
				"" },
			{ "X\r\nNOOP\r\n",
				"421 4.7.0 Too many errors, goodbye\r\n",
				"CLOSE too-many-errors\n" } } },
	{ "too many errors in a message",
		NULL,
		{ { "X\r\nX\r\nX\r\nX\r\nX\r\nHELO c\r\nMAIL FROM:<>\r\n",
			  NULL,
			  "GREET\nMAIL <>\n" },
			{ "X\r\n",
				"421 4.7.0 Too many errors, goodbye\r\n",
				"RESET\nCLOSE too-many-errors\n" } } },
	{ "a browser",
		NULL,
		{ { "POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<>\r\n",
			"220 mx.test ESMTP postern\r\n421 4.7.0 This is SMTP\r\n",
			"GREET\nCLOSE not-smtp\n" } } },
	{ "bare line ends in commands",
		patient,
		{ { "EHLO c\r\nMAIL FROM:<a@b>\r\n", NULL, "GREET\nMAIL <a@b>\n" },
			{ "RCPT TO:<x@y\n", BAD_LINE, "" },
			{ "RCPT TO:<z@y>\nRCPT TO:<z@y>\r\n", "", "" },
			{ "NOOP\r\n", OK_NOOP, "" },
			{ "RCPT TO:<x@y\rRCPT TO:<z@y>\r\n", BAD_LINE, "" },
			{ "NOOP\r\r\n", BAD_LINE, "" },
			{ "\nNOOP\r\n", BAD_LINE, "" },
			{ "NOOP\r\n", OK_NOOP, "" } } },
};

static void dialogues_go_as_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(dialogues); i++) {
		const struct dialogue *d = &dialogues[i];
		struct smtp_server_options options = plain_options();
		struct owner o;

		if (d->tune)
			d->tune(&options);
		owner_start(&o, &options);
		for (const struct line *l = d->lines;
			l < d->lines + COUNT_OF(d->lines) && l->client;
			l++) {
			char where[256];

			(void)snprintf(where, sizeof(where), "%s: %s", d->name, l->client);
			(void)owner_give(&o, sv_from(l->client));
			if (l->reply)
				expect(&o, where, l->reply, l->events);
			else
				expect_reply(&o, where, "220", l->events);
		}
		owner_end(&o);
	}
}

static void over_long_and_nul_lines_are_refused(void **state)
{
	struct smtp_server_options options = plain_options();
	static char text[20000];
	struct sv verb = SV("NOOP ");
	struct owner o;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, verb.ptr, verb.len);
	owner_hello(&o, &options);
	/* 2048 with the CR are taken, one more is not. */
	(void)owner_give(&o, sv_make(text, LIMIT_COMMAND_LINE - 1));
	owner_say(&o, "\r\n");
	expect(&o, "longest", OK_NOOP, "");
	(void)owner_give(&o, sv_make(text, LIMIT_COMMAND_LINE));
	owner_say(&o, "\r\n");
	expect(&o, "too long", "500 5.5.2 Line too long\r\n", "");
	(void)owner_give(&o, sv_make(text, sizeof(text)));
	(void)owner_give(&o, sv_make(text, sizeof(text)));
	expect(&o, "no end yet", "", "");
	owner_say(&o, "\r\nNOOP\r\n");
	expect(&o, "far too long", "500 5.5.2 Line too long\r\n" OK_NOOP, "");
	(void)owner_give(&o, SV("NOOP \0x\r\nNOOP\r\n"));
	expect(&o, "NUL", BAD_LINE OK_NOOP, "");
	owner_end(&o);
}

/* ---- the generic tests ---- */

static void fill(struct owner *o)
{
	static const unsigned char salt[16] = "0123456789abcde";

	smtp_scram_derive(SV("secret"), 4096, salt, &o->verifier);
}

static const char *const talks[] = {
	"EHLO c.test\r\nMAIL FROM:<a@b> SIZE=7 ENVID=e\r\nRCPT TO:<c@d> ORCPT=rfc822;x\r\nRCPT "
	"TO:<no@d>\r\n"
	"DATA\r\nA: b\r\n\r\n..x\r\n.y\r\n\r\n.\r\nMAIL FROM:<>\r\nQUIT\r\n",
	"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 6\r\nA: b\r\r\nBDAT 5\r\n\n\r\n.\rBDAT "
	"3 LAST\r\n\n.\nNOOP\r\n",
	"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 6\r\nA: b\r\nBDAT 5\r\n\r\n.\r\nBDAT 0 "
	"LAST\r\nNOOP\r\n",
	"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 6\r\nA: b\r\rBDAT 5 "
	"LAST\r\n\n\r\n.\nNOOP\r\n",
	"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\n.\r\ny\r\r\n.\r\nMAIL "
	"FROM:<x@y>\r\n",
	"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\n.\r\n\r.\r\n.\r\nMAIL "
	"FROM:<x@y>\r\n",
	"BDAT 3\r\nXYZBDAT 2 LAST\r\nXYNOOP\r\nEHLO c\r\nMAIL FROM:<>\r\nBDAT "
	"1\r\nZRSET\r\nSTARTTLS\r\nNOOP\r\n",
	"EHLO c\r\nAUTH PLAIN AHUAc2VjcmV0\r\nAUTH PLAIN\r\nMAIL FROM:<>\r\n",
	"EHLO c\r\nAUTH LOGIN\r\ndQ==\r\nd3Jvbmc=\r\nAUTH LOGIN dQ==\r\n*\r\nAUTH "
	"PLAIN\r\n=\r\nAUTH LOGIN\r\ndQ==\r\nc2VjcmV0\r\n",
	"EHLO c\r\nAUTH SCRAM-SHA-256 biwsbj11c2VyLHI9YWJj\r\nYmFk\r\nX\nY\r\nNOOP\r\nRCPT "
	"TO:<a\rb>\r\n",
};

static struct smtp_server_options talk_options(void)
{
	struct smtp_server_options options = plain_options();

	options.auth_needs_tls = false;
	return options;
}

static void a_cut_changes_nothing(const struct smtp_server_options *options, struct sv talk,
	const struct owner *whole, size_t cut, size_t step)
{
	struct owner o;
	char where[64];
	size_t used = 0, n = cut;

	(void)snprintf(where, sizeof(where), "cut at %zu", cut);
	owner_start(&o, options);
	fill(&o);
	while (used < talk.len) {
		size_t taken = owner_give(&o, sv_head(sv_skip(talk, used), n));

		used += taken;
		if (taken < n)
			break;
		n = step ? step : talk.len - used;
	}
	if (!sv_eq(buf_sv(&o.said), buf_sv(&whole->said)) ||
		!sv_eq(buf_sv(&o.log), buf_sv(&whole->log)))
		fail_msg("%s of\n%.*s\n-- said\n%.*s-- whole\n%.*s-- events\n%.*s-- whole\n%.*s",
			where,
			SV_ARG(talk),
			SV_ARG(buf_sv(&o.said)),
			SV_ARG(buf_sv(&whole->said)),
			SV_ARG(buf_sv(&o.log)),
			SV_ARG(buf_sv(&whole->log)));
	owner_end(&o);
}

static void split_everywhere(const struct smtp_server_options *options, struct sv talk)
{
	struct owner whole;

	owner_start(&whole, options);
	fill(&whole);
	(void)owner_give(&whole, talk);
	for (size_t cut = 1; cut < talk.len; cut++)
		a_cut_changes_nothing(options, talk, &whole, cut, 0);
	a_cut_changes_nothing(options, talk, &whole, 1, 1);
	a_cut_changes_nothing(options, talk, &whole, 3, 3);
	owner_end(&whole);
}

static void any_split_gives_the_same(void **state)
{
	struct smtp_server_options options = talk_options();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(talks); i++) {
		options.strict = true;
		split_everywhere(&options, sv_from(talks[i]));
		options.strict = false;
		split_everywhere(&options, sv_from(talks[i]));
	}
}

/* Each by its own line end, from EHLO to QUIT, a dot in the text and a stray other line end in it. */
static void a_client_may_end_its_lines_in_its_own_way(void **state)
{
	static const struct {
		const char *end;
		bool lenient;
	} rows[] = { { "\r\n", false },
		{ "\n", false },
		{ "\r\r\n", false },
		{ "\n", true },
		{ "\r\r\n", true },
		{ "\r", true } };
	static const char *const lines[] = { "EHLO c",
		"MAIL FROM:<a@b>",
		"RCPT TO:<c@d>",
		"DATA",
		"A: b",
		"",
		"..",
		"..x",
		"y.",
		".",
		"NOOP",
		"QUIT" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct smtp_server_options options = talk_options();
		CLEANUP(buf_deinitp) struct buf talk = BUF_INIT(1024), want = BUF_INIT(1024);
		/* A line end of CR alone becomes one that others know. */
		const char *end = strcmp(rows[i].end, "\r") == 0 ? "\r\n" : rows[i].end;
		struct owner o;

		options.strict = false;
		options.lenient = rows[i].lenient;
		for (size_t j = 0; j < COUNT_OF(lines); j++)
			assert_int_equal(buf_printf(&talk, "%s%s", lines[j], rows[i].end), 0);
		assert_int_equal(
			buf_printf(&want, "END A: b%s%s.%s.x%sy.%s\n", end, end, end, end, end), 0);
		owner_start(&o, &options);
		(void)owner_give(&o, buf_sv(&talk));
		if (o.mails != 1 || sv_find(buf_sv(&o.log), buf_sv(&want)) < 0 ||
			!sv_ends_nocase(buf_sv(&o.said), SV("250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n")))
			fail_msg("row %zu: said\n%.*s\nevents\n%.*s",
				i,
				SV_ARG(buf_sv(&o.said)),
				SV_ARG(buf_sv(&o.log)));
		owner_end(&o);
		split_everywhere(&options, buf_sv(&talk));
	}
}

/* Whether a message that was begun is told to be gone is checked by the owner, at CLOSE. */
static void eof_at_every_byte_closes_once(void **state)
{
	struct smtp_server_options options = talk_options();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(talks); i++) {
		struct sv talk = sv_from(talks[i]);

		for (size_t end = 0; end <= talk.len; end++) {
			struct owner o;
			bool was_open;

			owner_start(&o, &options);
			fill(&o);
			(void)owner_give(&o, sv_head(talk, end));
			was_open = o.open;
			buf_reset(&o.log);
			smtp_server_eof(o.s);
			smtp_server_eof(o.s);
			if (o.closes == 0) {
				owner_run(&o);
				assert_int_equal(
					sv_starts(buf_sv(&o.log), SV("RESET\n")), was_open);
			}
			owner_run(&o);
			assert_int_equal(o.closes, 1);
			assert_false(smtp_server_in_transaction(o.s));
			assert_false(smtp_server_waits_for_answer(o.s));
			assert_int_equal(smtp_server_deadline(o.s).us, UINT64_MAX);
			owner_end(&o);
		}
	}
}

/* The owner did not take the last events, and their views are dead: nothing but RESET and CLOSE is left. */
static void eof_before_the_events_were_taken(void **state)
{
	static const char *const ends[] = { "x\r\ny",
		"x\r\ny\r\n.\r\n",
		"x\r\ny\n",
		"x\r\n..\r\n.\n",
		"x\r\n..\r\n.\r\n",
		"x\r\n\r\n.\r\n",
		".\r\nMAIL FROM:<x@y>\r\n",
		".\r\nAUTH PLAIN AHUAc2VjcmV0\r\n" };
	struct smtp_server_options options = plain_options();

	(void)state;
	options.auth_needs_tls = false;
	for (size_t i = 0; i < COUNT_OF(ends); i++)
		for (size_t cut = 0; cut < strlen(ends[i]); cut++) {
			size_t left = strlen(ends[i]) - cut;
			char *copy = xmalloc(left);
			struct owner o;

			owner_envelope(&o, &options);
			owner_say(&o, "DATA\r\n");
			(void)owner_give(&o, sv_make(ends[i], cut));
			memcpy(copy, ends[i] + cut, left);
			assert_true(smtp_server_feed(o.s, o.now, sv_make(copy, left)) > 0);
			free(copy);
			buf_reset(&o.log);
			smtp_server_eof(o.s);
			/* The owner takes no BODY and no END then. */
			o.in_body = false;
			owner_run(&o);
			assert_int_equal(o.closes, 1);
			assert_true(sv_eq(buf_sv(&o.log), SV("CLOSE closed-by-client\n")) ||
				    sv_eq(buf_sv(&o.log), SV("RESET\nCLOSE closed-by-client\n")));
			owner_end(&o);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dialogues_go_as_written),
		cmocka_unit_test(over_long_and_nul_lines_are_refused),
		cmocka_unit_test(any_split_gives_the_same),
		cmocka_unit_test(a_client_may_end_its_lines_in_its_own_way),
		cmocka_unit_test(eof_at_every_byte_closes_once),
		cmocka_unit_test(eof_before_the_events_were_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
