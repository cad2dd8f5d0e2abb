/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "diagnose/diagnose_priv.h"
#include "identity/encode.h"
#include "mail/address.h"
#include "provider/defaults.h"

#include <inttypes.h>
#include <stdio.h>

/* What is asked of a server by SMTP: who may send, to whom, and with --send one message. */

/* Nobody reads mail there (RFC 2606), and no DATA follows. */
#define SOMEBODY_ELSE "postern-check@example.com"

static bool signs_in(const struct conf_lane *l)
{
	return l->sign_in != CONF_SIGN_IN_NONE;
}

/* Asks; a refusal is judged as the daemon would. True: granted. */
static bool ask(struct diagnose *d, struct diagnose_session *s, const char *line,
	enum smtp_client_stage stage, const char *step)
{
	CLEANUP(buf_deinitp) struct buf said = BUF_INIT(LIMIT_REPLY + 64);
	const struct smtp_reply *r;
	struct provider_answer answer = {
		.provider = d->lane->provider, .stage = stage, .token = d->token != NULL
	};
	struct verdict v;

	if (!diagnose_session_ask(s, line, &r)) {
		diagnose_say(d, step, DIAGNOSE_FAIL, CAUSE_SILENCE, "no answer within 10 seconds");
		return false;
	}
	if (r->code < 400)
		return true;
	answer.reply = r;
	v = provider_judge(&answer);
	if (d->lane->certificate.len && v.cause == CAUSE_CONNECTOR_MISSING) {
		v.cause = CAUSE_CERTIFICATE_NOT_ACCEPTED;
		v.summary = "No inbound connector of the tenant goes by the certificate that is "
			    "shown, nor by our address.";
	}
	must(smtp_reply_line(r, &said) == 0);
	diagnose_say_verdict(d, step, &v, buf_sv(&said));
	return false;
}

static bool mail_from(struct diagnose *d, struct diagnose_session *s, struct sv sender)
{
	char line[LIMIT_ADDRESS + 32];

	d->sender = sender;
	(void)snprintf(line, sizeof(line), "MAIL FROM:<%.*s>\r\n", SV_ARG(sender));
	return ask(d, s, line, SMTP_CLIENT_STAGE_MAIL, "sender");
}

static void reset(struct diagnose_session *s)
{
	const struct smtp_reply *r;

	(void)diagnose_session_ask(s, "RSET\r\n", &r);
}

/* Exchange takes MAIL FROM as it comes, and compares it with the mailbox only when it has the message. */
static bool shows_after_data_only(const struct diagnose *d, struct sv sender)
{
	return provider_defaults(d->lane->provider)->is_smtp_auth &&
	       !address_eq(sender, d->lane->name);
}

static void say_sender(struct diagnose *d, struct sv sender)
{
	bool unproven = shows_after_data_only(d, sender);

	diagnose_say(d,
		"sender",
		unproven && d->as.len && !d->o.send ? DIAGNOSE_WARN : DIAGNOSE_OK,
		unproven && d->as.len && !d->o.send ? CAUSE_SEND_AS_UNPROVEN : CAUSE_NONE,
		"%.*s may begin a message%s%.*s%s",
		SV_ARG(sender),
		unproven ? "; whether " : "",
		SV_ARG(unproven ? d->lane->name : SV("")),
		unproven ? " may send as this address is said after a whole message only: --send"
			 : "");
}

static bool try_senders(struct diagnose *d, struct diagnose_session *s)
{
	bool all = true;

	for (size_t i = 0; i < d->sender_count && diagnose_session_is_ready(s); i++) {
		diagnose_begin(d, "sender");
		if (mail_from(d, s, d->senders[i]))
			say_sender(d, d->senders[i]);
		else
			all = false;
		reset(s);
	}
	if (d->has_patterns)
		diagnose_say(d,
			"sender",
			DIAGNOSE_OK,
			CAUSE_NONE,
			"routes with patterns lead here, too: other senders cannot be tried one by "
			"one");
	return all;
}

static void try_recipient(struct diagnose *d, struct diagnose_session *s)
{
	bool connector = provider_defaults(d->lane->provider)->knows_relay;
	struct sv to = d->o.to.len ? d->o.to : SV(SOMEBODY_ELSE);
	char line[LIMIT_ADDRESS + 32];

	if ((!connector && !d->o.to.len) || !d->sender_count || !diagnose_session_is_ready(s))
		return;
	diagnose_begin(d, "recipient");
	(void)snprintf(line, sizeof(line), "RCPT TO:<%.*s>\r\n", SV_ARG(to));
	if (mail_from(d, s, d->senders[0]) && ask(d, s, line, SMTP_CLIENT_STAGE_RCPT, "recipient"))
		diagnose_say(d,
			"recipient",
			DIAGNOSE_OK,
			CAUSE_NONE,
			"%.*s would be taken (nothing was sent)%s",
			SV_ARG(to),
			connector ? ": the connector knows us" : "");
	reset(s);
}

/* ---- one message ---- */

static int write_message(struct diagnose *d, struct sv from, struct sv to, struct buf *out)
{
	char date[WALL_RFC5322_MAX], id[IDENTITY_GUID_MAX];

	identity_guid_random(id);
	return buf_printf(out,
		"From: <%.*s>\r\nTo: <%.*s>\r\nSubject: postern check\r\nDate: %s\r\n"
		"Message-ID: <%s@%.*s>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n\r\n"
		"This message was sent by `postern check --send` through %.*s.\r\n"
		"That you can read it shows that the way is open. Nothing needs to be done.\r\n",
		SV_ARG(from),
		SV_ARG(to),
		wall_rfc5322(io_clock_wall(), date),
		id,
		SV_ARG(conf_general(d->o.conf)->hostname),
		SV_ARG(d->lane->name));
}

static void send_as(struct diagnose *d, struct diagnose_session *s, struct sv from)
{
	CLEANUP(buf_deinitp) struct buf body = BUF_INIT(4096);
	struct sv to = d->o.to.len                          ? d->o.to
		       : d->lane->kind == CONF_LANE_MAILBOX ? d->lane->name
							    : from;
	const struct smtp_client_recipient recipient = { .address = to };
	struct smtp_client_message m = {
		.sender = from, .recipients = &recipient, .recipient_count = 1
	};
	struct verdict v = { .cause = CAUSE_SILENCE, .summary = "No answer to the message." };
	struct sv reply = SV("");

	d->sender = from;
	must(write_message(d, from, to, &body) == 0);
	m.size = body.len;
	if (!diagnose_session_send(s, &m, buf_sv(&body), &v, &reply) || v.kind != VERDICT_DELIVERED)
		diagnose_say_verdict(d, "message", &v, reply);
	else
		diagnose_say(d,
			"message",
			DIAGNOSE_OK,
			CAUSE_NONE,
			"sent from %.*s to %.*s: %.*s",
			SV_ARG(from),
			SV_ARG(to),
			SV_ARG(diagnose_quote(d, reply)));
}

static void send_all(struct diagnose *d, struct diagnose_session *s)
{
	for (size_t i = 0; i < d->sender_count && diagnose_session_is_ready(s); i++)
		send_as(d, s, d->senders[i]);
}

static void note_copies(struct diagnose *d)
{
	if (provider_defaults(d->lane->provider)->is_smtp_auth)
		diagnose_say(d,
			"copies",
			DIAGNOSE_OK,
			CAUSE_NONE,
			"Exchange keeps a copy of each message in Sent Items, which can fill the "
			"mailbox; off with Set-Mailbox %.*s "
			"-MessageCopyForSMTPClientSubmissionEnabled "
			"$false",
			SV_ARG(d->lane->name));
}

/* ---- the whole ---- */

static void say_signed_in(struct diagnose *d)
{
	bool basic = provider_defaults(d->lane->provider)->is_smtp_auth && !d->token;

	/* Exchange opens the mailbox for the message, not for the sign-in: 430 4.2.0 "mailbox logon failure". */
	bool opens_later =
		d->token && provider_defaults(d->lane->provider)->is_smtp_auth && !d->o.send;

	diagnose_say(d,
		"sign-in",
		DIAGNOSE_OK,
		CAUSE_NONE,
		"signed in as %.*s with a %s%s%s",
		SV_ARG(d->lane->login),
		d->token ? "token" : "password",
		basic ? " (basic authentication, which Microsoft switches off at the end of "
			"December 2026 unless an administrator keeps it)"
		      : "",
		opens_later
			? "; that does not prove the right on the mailbox, which Exchange looks "
			  "at when a message comes: --send"
			: "");
}

static struct diagnose_session *sign_in(struct diagnose *d)
{
	struct diagnose_session *s;

	if (d->lane->sign_in != CONF_SIGN_IN_PASSWORD && !diagnose_token(d)) {
		diagnose_skip(d, "sign-in", "there is no token that the server could take");
		return NULL;
	}
	if (!diagnose_connect(d, true))
		return NULL;
	s = diagnose_session_open(d, true);
	if (diagnose_session_is_ready(s)) {
		say_signed_in(d);
		return s;
	}
	diagnose_session_close(s);
	return NULL;
}

void diagnose_door(struct diagnose *d)
{
	struct diagnose_session *s = diagnose_session_open(d, false);

	if (!diagnose_session_is_ready(s)) {
		diagnose_session_close(s);
		if (signs_in(d->lane))
			diagnose_skip(d, "sign-in", "the session does not come so far");
		diagnose_skip(d, "sender", "the session does not come so far");
		return;
	}
	if (signs_in(d->lane)) {
		diagnose_session_close(s);
		s = sign_in(d);
	}
	if (!s) {
		diagnose_skip(d, "sender", "nobody is signed in");
		return;
	}
	if (!try_senders(d, s))
		diagnose_skip(d, "recipient", "the sender is refused");
	else
		try_recipient(d, s);
	if (d->o.send && !d->failed)
		send_all(d, s);
	else if (d->o.send)
		diagnose_skip(d, "message", "it would be refused");
	note_copies(d);
	diagnose_session_close(s);
}

/* ---- limits ---- */

struct limit {
	const char *name;
	uint64_t ours, theirs;
};

void diagnose_limits(struct diagnose *d)
{
	const struct provider_defaults *p = provider_defaults(d->lane->provider);
	const struct conf_limits *l = &d->lane->limits;
	const struct limit rows[] = {
		{ "messages_per_minute", l->messages_per_minute, p->messages_per_minute },
		{ "recipients_per_day", l->recipients_per_day, p->recipients_per_day },
		{ "recipients_per_message", l->recipients_per_message, p->recipients_per_message },
		{ "recipients_per_domain", l->recipients_per_domain, p->recipients_per_domain },
		{ "message_bytes", l->message_bytes_max, p->message_bytes_max },
	};
	size_t over = 0;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (!rows[i].theirs || (rows[i].ours && rows[i].ours <= rows[i].theirs))
			continue;
		over++;
		diagnose_say(d,
			"limits",
			DIAGNOSE_WARN,
			CAUSE_LIMIT_ABOVE_PROVIDER,
			"%s is %s%" PRIu64 ", above the %" PRIu64 " that %s is known to allow",
			rows[i].name,
			rows[i].ours ? "" : "without limit: ",
			rows[i].ours,
			rows[i].theirs,
			provider_name(d->lane->provider));
	}
	if (!over)
		diagnose_say(d,
			"limits",
			DIAGNOSE_OK,
			CAUSE_NONE,
			"within those of %s; %u %% of them used",
			provider_name(d->lane->provider),
			(unsigned)l->share_percent);
}
