/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/must.h"
#include "mail/dsn.h"
#include "smtp/client_priv.h"

#include <inttypes.h>

/* One transaction. envelope_pump() sends what may leave now; each reply calls it again. */

/* ---- commands ---- */

static void put_mail(struct smtp_client *c)
{
	const struct smtp_client_message *m = c->m;

	client_put(c, SV("MAIL FROM:<"));
	client_put(c, m->sender);
	client_put(c, SV(">"));
	if (c->offers.size)
		must(buf_printf(&c->out, " SIZE=%" PRIu64, m->size) == 0);
	if (m->needs_8bit && c->offers.eightbitmime)
		client_put(c, SV(" BODY=8BITMIME"));
	if (m->needs_utf8 || (m->wants_utf8 && c->offers.smtputf8))
		client_put(c, SV(" SMTPUTF8"));
	if (c->offers.dsn && m->dsn_ret != DSN_RET_NONE)
		client_put(c, m->dsn_ret == DSN_RET_FULL ? SV(" RET=FULL") : SV(" RET=HDRS"));
	if (c->offers.dsn && m->envid.len) {
		client_put(c, SV(" ENVID="));
		must(dsn_xtext_encode(&c->out, m->envid) == 0);
	}
	client_put(c, SV("\r\n"));
	client_expect(c, PENDING_MAIL, 0);
}

static void put_notify(struct smtp_client *c, uint8_t bits)
{
	static const struct {
		uint8_t bit;
		struct sv name;
	} names[] = {
		{ DSN_NOTIFY_NEVER, SV_INIT("NEVER") },
		{ DSN_NOTIFY_SUCCESS, SV_INIT("SUCCESS") },
		{ DSN_NOTIFY_FAILURE, SV_INIT("FAILURE") },
		{ DSN_NOTIFY_DELAY, SV_INIT("DELAY") },
	};
	bool any = false;

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (!(bits & names[i].bit))
			continue;
		client_put(c, any ? SV(",") : SV(" NOTIFY="));
		client_put(c, names[i].name);
		any = true;
	}
}

static void put_rcpt(struct smtp_client *c)
{
	const struct smtp_client_recipient *r = &c->m->recipients[c->rcpt_sent];

	client_put(c, SV("RCPT TO:<"));
	client_put(c, r->address);
	client_put(c, SV(">"));
	if (c->offers.dsn)
		put_notify(c, r->dsn_notify);
	if (c->offers.dsn && r->orcpt.len) {
		client_put(c, SV(" ORCPT="));
		client_put(c, r->orcpt);
	}
	client_put(c, SV("\r\n"));
	client_expect(c, PENDING_RCPT, (uint32_t)c->rcpt_sent);
	c->rcpt_sent++;
}

/* ---- the end of a transaction ---- */

/* The reply of the one who decided it; the parser reads on meanwhile. */
static void keep_refusal(
	struct smtp_client *c, enum smtp_client_stage stage, const struct smtp_reply *r)
{
	buf_reset(&c->refusal_text);
	must(buf_append(&c->refusal_text, r->text) == 0);
	c->refusal = *r;
	c->refusal.text = buf_sv(&c->refusal_text);
	c->refusal_stage = stage;
}

void client_push_refusal(struct smtp_client *c)
{
	struct smtp_client_event *e = client_push(c, SMTP_CLIENT_EV_RESULT);

	e->stage = c->refusal_stage;
	e->reply = c->refusal;
}

bool client_is_decided(const struct smtp_client *c)
{
	if (c->state == CLIENT_EMPTY)
		return true;
	if (c->state != CLIENT_ENVELOPE || !c->mail_answered)
		return false;
	return !c->mail_accepted ||
	       (c->rcpt_answered == c->m->recipient_count && c->rcpt_accepted == 0);
}

static void conclude(
	struct smtp_client *c, enum smtp_client_stage stage, const struct smtp_reply *r)
{
	struct smtp_client_event *e = client_push(c, SMTP_CLIENT_EV_RESULT);

	e->stage = stage;
	e->reply = *r;
	client_ready(c);
}

static void conclude_refused(struct smtp_client *c)
{
	client_push_refusal(c);
	client_ready(c);
}

static void conclude_local(
	struct smtp_client *c, uint16_t code, const char enhanced[6], struct sv text)
{
	struct smtp_client_event *e = client_push(c, SMTP_CLIENT_EV_RESULT);

	e->stage = SMTP_CLIENT_STAGE_MAIL;
	e->local = true;
	e->reply = (struct smtp_reply){ .code = code, .text = text };
	memcpy(e->reply.enhanced, enhanced, strlen(enhanced) + 1);
	client_ready(c);
}

/* ---- sending ---- */

static bool send_next(struct smtp_client *c)
{
	if (c->needs_rset) {
		c->needs_rset = false;
		client_put(c, SV("RSET\r\n"));
		client_expect(c, PENDING_RSET, 0);
	} else if (!c->mail_sent) {
		c->mail_sent = true;
		put_mail(c);
	} else if (client_is_decided(c)) {
		/* What is on its way stays on its way; no more is added to it. */
		return false;
	} else if (c->rcpt_sent < c->m->recipient_count) {
		put_rcpt(c);
	} else if (!c->data_sent) {
		/* Without pipelining every answer is in by now; with it, DATA goes along. */
		c->data_sent = true;
		client_put(c, SV("DATA\r\n"));
		client_expect(c, PENDING_DATA, 0);
	} else {
		return false;
	}
	return true;
}

static void envelope_pump(struct smtp_client *c)
{
	size_t max = c->offers.pipelining ? PIPELINE_MAX : 1;

	while (c->pending_count < max && send_next(c))
		;
}

void smtp_client_send(
	struct smtp_client *c, struct mono_time now, const struct smtp_client_message *message)
{
	c->now = now;
	client_listen(c);
	if (c->state != CLIENT_READY)
		return;
	must(message->recipient_count > 0);
	must(message->recipient_count <= UINT32_MAX);
	if (c->offers.size_max && message->size > c->offers.size_max) {
		conclude_local(c, 552, "5.3.4", SV("the message is larger than the server takes"));
		return;
	}
	if (message->needs_utf8 && !c->offers.smtputf8) {
		conclude_local(c, 550, "5.6.7", SV("the server does not speak SMTPUTF8"));
		return;
	}
	c->m = message;
	client_set_state(c, CLIENT_ENVELOPE);
	c->rcpt_sent = c->rcpt_answered = c->rcpt_accepted = 0;
	c->mail_sent = c->data_sent = c->mail_answered = c->mail_accepted = false;
	envelope_pump(c);
}

/* ---- replies ---- */

static void answered_mail(struct smtp_client *c, const struct smtp_reply *r)
{
	c->mail_answered = true;
	c->mail_accepted = r->code < 300;
	if (!c->mail_accepted)
		keep_refusal(c, SMTP_CLIENT_STAGE_MAIL, r);
}

static void answered_rcpt(struct smtp_client *c, uint32_t index, const struct smtp_reply *r)
{
	struct smtp_client_event *e;

	c->rcpt_answered++;
	/* After a refused MAIL these are its echoes. */
	if (!c->mail_accepted)
		return;
	c->rcpt_accepted += r->code < 300;
	if (c->rcpt_answered == c->m->recipient_count && c->rcpt_accepted == 0)
		keep_refusal(c, SMTP_CLIENT_STAGE_RCPT, r);
	e = client_push(c, SMTP_CLIENT_EV_RCPT);
	e->index = index;
	e->reply = *r;
}

static void answered_data(struct smtp_client *c, const struct smtp_reply *r)
{
	if (r->code != 354) {
		/* The server still has the sender, and those it took. */
		c->needs_rset = c->mail_accepted;
		if (client_is_decided(c))
			conclude_refused(c);
		else
			conclude(c, SMTP_CLIENT_STAGE_DATA, r);
	} else if (client_is_decided(c)) {
		/* It takes a body although there is nobody to get it (RFC 2920 3.1). */
		client_set_state(c, CLIENT_EMPTY);
		client_put(c, SV(".\r\n"));
		client_expect(c, PENDING_EMPTY_DOT, 0);
	} else {
		client_set_state(c, CLIENT_BODY);
		c->line_start = true;
		c->last_cr = false;
		c->body_bytes = 0;
		client_wait(c, TIMEOUT_BLOCK);
		(void)client_push(c, SMTP_CLIENT_EV_BODY);
	}
}

static void answered_envelope(struct smtp_client *c, struct pending p, const struct smtp_reply *r)
{
	if (p.kind == PENDING_MAIL)
		answered_mail(c, r);
	envelope_pump(c);
	if (c->pending_count)
		return;
	/* Nothing is due and DATA was not sent: refused before. */
	must(client_is_decided(c));
	c->needs_rset = c->mail_accepted;
	conclude_refused(c);
}

/* 421: the server leaves. What it said is the verdict of the step it said it to. */
static void leaves(struct smtp_client *c, const struct smtp_reply *r)
{
	if (client_is_decided(c))
		client_push_refusal(c);
	else
		client_push(c, SMTP_CLIENT_EV_RESULT)->reply = *r;
	client_close(c);
}

/*
 * A success of another kind is an answer to something else: the session is out of step. What follows the
 * dot must be the consent itself, since a message counts as sent by it.
 */
static bool is_due(enum pending_kind kind, uint16_t code)
{
	if (code >= 400)
		return true;
	if (kind == PENDING_DATA)
		return code == 354;
	if (kind == PENDING_DOT || kind == PENDING_EMPTY_DOT)
		return code == 250 || code == 251;
	/* Help, a greeting, a farewell, a sign-in. */
	return code < 300 && code != 211 && code != 214 && code != 220 && code != 221 &&
	       code != 235;
}

void client_message_reply(struct smtp_client *c, struct pending p, const struct smtp_reply *r)
{
	if (!is_due(p.kind, r->code)) {
		client_fail(c, SMTP_CLIENT_FAIL_PROTOCOL, NULL);
		return;
	}
	if (r->code == 421) {
		leaves(c, r);
		return;
	}
	/* While it is the head: the event takes its stage from there. */
	if (p.kind == PENDING_RCPT)
		answered_rcpt(c, p.index, r);
	client_answered(c);
	if (p.kind == PENDING_DATA)
		answered_data(c, r);
	else if (p.kind == PENDING_DOT)
		conclude(c, SMTP_CLIENT_STAGE_DOT, r);
	else if (p.kind == PENDING_EMPTY_DOT)
		conclude_refused(c);
	else
		answered_envelope(c, p, r);
}

/* ---- the body ---- */

/* Appends whole runs: a dot that begins a line is doubled where it stands (RFC 5321 4.5.2). */
static void put_stuffed(struct smtp_client *c, struct sv bytes)
{
	size_t done = 0, at = 0;

	for (;;) {
		const char *lf = memchr(bytes.ptr + at, '\n', bytes.len - at);

		if (!lf)
			break;
		at = (size_t)(lf - bytes.ptr) + 1;
		if (at == bytes.len)
			break;
		if (bytes.ptr[at] != '.')
			continue;
		/* The next run begins at this same dot, so that it leaves twice. */
		client_put(c, sv_make(bytes.ptr + done, at + 1 - done));
		done = at;
	}
	client_put(c, sv_skip(bytes, done));
}

void smtp_client_body(struct smtp_client *c, struct mono_time now, struct sv bytes)
{
	c->now = now;
	client_listen(c);
	if (c->state != CLIENT_BODY || bytes.len == 0)
		return;
	if (c->out.len == 0)
		client_wait(c, TIMEOUT_BLOCK);
	if (c->line_start && bytes.ptr[0] == '.')
		client_put(c, SV("."));
	c->body_bytes += bytes.len;
	c->line_start = bytes.ptr[bytes.len - 1] == '\n';
	c->last_cr = bytes.ptr[bytes.len - 1] == '\r';
	put_stuffed(c, bytes);
}

void smtp_client_body_end(struct smtp_client *c, struct mono_time now)
{
	c->now = now;
	/* A refusal that is here already must not become the answer to the dot. */
	client_listen(c);
	if (c->state != CLIENT_BODY)
		return;
	if (!c->line_start)
		client_put(c, c->last_cr ? SV("\n") : SV("\r\n"));
	client_put(c, SV(".\r\n"));
	client_set_state(c, CLIENT_DOT);
	client_expect(c, PENDING_DOT, 0);
}
