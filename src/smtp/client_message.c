/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/must.h"
#include "mail/dsn.h"
#include "smtp/client_priv.h"

#include <inttypes.h>
#include <stdlib.h>

/* One transaction. envelope_pump() sends what may leave now; each reply calls it again. */

static void envelope_pump(struct smtp_client *c);

/* ---- commands ---- */

static void put_mail(struct smtp_client *c)
{
	const struct smtp_client_message *m = c->m;

	must(buf_printf(&c->out, "MAIL FROM:<%.*s>", SV_ARG(m->sender)) == 0);
	if (c->offers.size)
		must(buf_printf(&c->out, " SIZE=%" PRIu64, m->size) == 0);
	if (m->needs_8bit && c->offers.eightbitmime)
		must(buf_append(&c->out, SV(" BODY=8BITMIME")) == 0);
	if (m->needs_utf8)
		must(buf_append(&c->out, SV(" SMTPUTF8")) == 0);
	if (c->offers.dsn && m->dsn_ret != DSN_RET_NONE)
		must(buf_append(&c->out, m->dsn_ret == DSN_RET_FULL ? SV(" RET=FULL") : SV(" RET=HDRS")) == 0);
	if (c->offers.dsn && m->envid.len) {
		must(buf_append(&c->out, SV(" ENVID=")) == 0);
		must(dsn_xtext_encode(&c->out, m->envid) == 0);
	}
	must(buf_append(&c->out, SV("\r\n")) == 0);
	client_expect(c, PENDING_MAIL, 0);
}

static void put_notify(struct smtp_client *c, uint8_t bits)
{
	static const struct {
		uint8_t bit;
		const char *name;
	} names[] = { { DSN_NOTIFY_NEVER, "NEVER" }, { DSN_NOTIFY_SUCCESS, "SUCCESS" },
		{ DSN_NOTIFY_FAILURE, "FAILURE" }, { DSN_NOTIFY_DELAY, "DELAY" } };
	bool any = false;

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (!(bits & names[i].bit))
			continue;
		must(buf_printf(&c->out, "%s%s", any ? "," : " NOTIFY=", names[i].name) == 0);
		any = true;
	}
}

static void put_rcpt(struct smtp_client *c)
{
	const struct smtp_client_recipient *r = &c->m->recipients[c->rcpt_sent];

	must(buf_printf(&c->out, "RCPT TO:<%.*s>", SV_ARG(r->address)) == 0);
	if (c->offers.dsn) {
		put_notify(c, r->dsn_notify);
		if (r->orcpt.len)
			must(buf_printf(&c->out, " ORCPT=%.*s", SV_ARG(r->orcpt)) == 0);
	}
	must(buf_append(&c->out, SV("\r\n")) == 0);
	client_expect(c, PENDING_RCPT, (uint32_t)c->rcpt_sent);
	c->rcpt_sent++;
}

/* ---- the end of a transaction ---- */

static void keep_result(struct smtp_client *c, enum smtp_client_stage stage, const struct smtp_reply *r)
{
	char *text = xmalloc(r->text.len + 1);

	if (r->text.len)
		memcpy(text, r->text.ptr, r->text.len);
	free(c->result_text);
	c->result_text = text;
	c->result = *r;
	c->result.text = sv_make(text, r->text.len);
	c->result_stage = stage;
}

static void conclude(struct smtp_client *c, enum smtp_client_stage stage, const struct smtp_reply *r)
{
	struct smtp_client_event *e = client_push(c, SMTP_CLIENT_EV_RESULT);

	e->stage = stage;
	e->reply = *r;
	client_ready(c);
}

static void conclude_without_body(struct smtp_client *c, enum smtp_client_stage stage, const struct smtp_reply *r)
{
	/* The server still has the sender of this one. */
	c->needs_rset = c->mail_ok;
	if (c->result.code)
		conclude(c, c->result_stage, &c->result);
	else
		conclude(c, stage, r);
}

static void conclude_local(struct smtp_client *c, uint16_t code, const char *enhanced, struct sv text)
{
	struct smtp_client_event *e = client_push(c, SMTP_CLIENT_EV_RESULT);

	e->stage = SMTP_CLIENT_STAGE_MAIL;
	e->local = true;
	e->reply = (struct smtp_reply){ .code = code, .text = text };
	memcpy(e->reply.enhanced, enhanced, strlen(enhanced) + 1);
	client_ready(c);
}

/* ---- sending ---- */

void smtp_client_send(struct smtp_client *c, struct mono_time now, const struct smtp_client_message *message)
{
	c->now = now;
	if (c->state != CLIENT_READY)
		return;
	must(message->recipient_count > 0);
	if (c->offers.size_max && message->size > c->offers.size_max) {
		conclude_local(c, 552, "5.3.4", SV("message is larger than the server takes"));
		return;
	}
	if (message->needs_utf8 && !c->offers.smtputf8) {
		conclude_local(c, 550, "5.6.7", SV("the server does not speak SMTPUTF8"));
		return;
	}
	c->m = message;
	c->state = CLIENT_ENVELOPE;
	c->rcpt_sent = c->rcpt_answered = c->rcpt_accepted = 0;
	c->mail_sent = c->data_sent = c->mail_ok = false;
	c->result.code = 0;
	envelope_pump(c);
}

/* All that could be accepted was refused: DATA would be for nobody. */
static bool is_hopeless(const struct smtp_client *c)
{
	return c->result.code != 0 || (c->rcpt_answered == c->m->recipient_count && c->rcpt_accepted == 0);
}

static bool send_next(struct smtp_client *c)
{
	if (c->needs_rset) {
		c->needs_rset = false;
		must(buf_append(&c->out, SV("RSET\r\n")) == 0);
		client_expect(c, PENDING_RSET, 0);
	} else if (!c->mail_sent) {
		c->mail_sent = true;
		put_mail(c);
	} else if (c->rcpt_sent < c->m->recipient_count && c->result.code == 0) {
		put_rcpt(c);
	} else if (!c->data_sent && !is_hopeless(c)) {
		/* Without pipelining every answer is in by now; with it, DATA goes along. */
		c->data_sent = true;
		must(buf_append(&c->out, SV("DATA\r\n")) == 0);
		client_expect(c, PENDING_DATA, 0);
	} else {
		return false;
	}
	return true;
}

static void envelope_pump(struct smtp_client *c)
{
	size_t max = c->offers.pipelining ? PIPELINE_MAX : 1;

	while (c->state == CLIENT_ENVELOPE && c->pending_count < max && send_next(c))
		;
}

/* ---- replies ---- */

static void answered_mail(struct smtp_client *c, const struct smtp_reply *r)
{
	c->mail_ok = r->code < 300;
	if (!c->mail_ok)
		keep_result(c, SMTP_CLIENT_STAGE_MAIL, r);
}

static void answered_rcpt(struct smtp_client *c, struct pending p, const struct smtp_reply *r)
{
	struct smtp_client_event *e;

	c->rcpt_answered++;
	c->rcpt_accepted += r->code < 300;
	/* After a refused MAIL these are its echoes. */
	if (!c->mail_ok)
		return;
	e = client_push(c, SMTP_CLIENT_EV_RCPT);
	e->index = p.index;
	e->reply = *r;
}

static void answered_data(struct smtp_client *c, const struct smtp_reply *r)
{
	if (r->code != 354) {
		conclude_without_body(
			c, c->rcpt_accepted ? SMTP_CLIENT_STAGE_DATA : SMTP_CLIENT_STAGE_RCPT, r);
		return;
	}
	if (c->mail_ok && c->rcpt_accepted) {
		c->state = CLIENT_BODY;
		c->line_start = true;
		c->last_cr = false;
		client_wait(c, TIMEOUT_BLOCK);
		(void)client_push(c, SMTP_CLIENT_EV_BODY);
		return;
	}
	/* It takes a body although there is nobody to get it (RFC 2920 3.1). */
	if (c->result.code == 0)
		keep_result(c, SMTP_CLIENT_STAGE_RCPT, r);
	c->state = CLIENT_EMPTY;
	must(buf_append(&c->out, SV(".\r\n")) == 0);
	client_expect(c, PENDING_EMPTY_DOT, 0);
}

/* 421: the server leaves. What it said is the result of the step it said it to. */
static void leaves(struct smtp_client *c, const struct smtp_reply *r)
{
	struct smtp_client_event *e = client_push(c, SMTP_CLIENT_EV_RESULT);

	e->reply = *r;
	(void)client_push(c, SMTP_CLIENT_EV_CLOSED);
	client_end(c);
}

static bool is_due(enum pending_kind kind, uint16_t code)
{
	if (code >= 400)
		return true;
	return kind == PENDING_DATA ? code == 354 : code < 300;
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
	if (p.kind == PENDING_RCPT)
		answered_rcpt(c, p, r);
	client_answered(c);
	if (p.kind == PENDING_DATA) {
		answered_data(c, r);
		return;
	}
	if (p.kind == PENDING_DOT || p.kind == PENDING_EMPTY_DOT) {
		conclude(c,
			p.kind == PENDING_DOT ? SMTP_CLIENT_STAGE_DOT : c->result_stage,
			p.kind == PENDING_DOT ? r : &c->result);
		return;
	}
	if (p.kind == PENDING_MAIL)
		answered_mail(c, r);
	envelope_pump(c);
	/* Nothing more can leave and nothing is due: no DATA was sent. */
	if (c->state == CLIENT_ENVELOPE && c->pending_count == 0)
		conclude_without_body(c, p.kind == PENDING_MAIL ? SMTP_CLIENT_STAGE_MAIL : SMTP_CLIENT_STAGE_RCPT, r);
}

/* ---- the body ---- */

void smtp_client_body(struct smtp_client *c, struct mono_time now, struct sv bytes)
{
	c->now = now;
	if (c->state != CLIENT_BODY || bytes.len == 0)
		return;
	if (c->line_start && bytes.ptr[0] == '.')
		must(buf_append_char(&c->out, '.') == 0);
	c->line_start = bytes.ptr[bytes.len - 1] == '\n';
	c->last_cr = bytes.ptr[bytes.len - 1] == '\r';
	while (bytes.len) {
		const char *dot = memmem(bytes.ptr, bytes.len, "\n.", 2);
		size_t run = dot ? (size_t)(dot - bytes.ptr) + 1 : bytes.len;

		must(buf_append(&c->out, sv_head(bytes, run)) == 0);
		bytes = sv_skip(bytes, run);
		if (dot)
			must(buf_append_char(&c->out, '.') == 0);
	}
}

void smtp_client_body_end(struct smtp_client *c, struct mono_time now)
{
	c->now = now;
	if (c->state != CLIENT_BODY)
		return;
	if (!c->line_start)
		must(buf_append(&c->out, c->last_cr ? SV("\n") : SV("\r\n")) == 0);
	must(buf_append(&c->out, SV(".\r\n")) == 0);
	c->state = CLIENT_DOT;
	client_expect(c, PENDING_DOT, 0);
}
