/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client.h"

#include "base/err.h"
#include "base/must.h"
#include "smtp/client_priv.h"

#include <stdlib.h>

const char *smtp_client_stage_text(enum smtp_client_stage stage)
{
	static const char *const texts[SMTP_CLIENT_STAGE_COUNT] = { "connecting", "waiting for the greeting",
		"sending EHLO", "starting TLS", "signing in", "sending MAIL FROM", "sending RCPT TO",
		"sending DATA", "sending the message", "waiting for the end of the message", "idle", "sending QUIT" };

	return texts[stage];
}

struct smtp_client *smtp_client_new(const struct smtp_client_options *options)
{
	struct smtp_client *c = xcalloc(1, sizeof(*c));

	c->o = *options;
	smtp_reply_parser_init(&c->parser);
	buf_init(&c->out, CLIENT_OUTPUT_MAX);
	buf_init(&c->held, 4 * LIMIT_REPLY);
	c->tls = options->tls == SMTP_CLIENT_TLS_IMPLICIT;
	c->deadline = MONO_NEVER;
	return c;
}

static void wipe_output(struct smtp_client *c)
{
	if (c->secret_in_output && c->out.ptr)
		secret_wipe(c->out.ptr, c->out.cap);
	c->secret_in_output = false;
}

void smtp_client_free(struct smtp_client *c)
{
	if (!c)
		return;
	wipe_output(c);
	buf_deinit(&c->out);
	buf_deinit(&c->held);
	smtp_reply_parser_deinit(&c->parser);
	free(c->result_text);
	free(c);
}

/* ---- events ---- */

static enum smtp_client_stage stage_of(enum pending_kind kind)
{
	static const enum smtp_client_stage stages[] = {
		[PENDING_GREETING] = SMTP_CLIENT_STAGE_GREETING,
		[PENDING_EHLO] = SMTP_CLIENT_STAGE_EHLO,
		[PENDING_HELO] = SMTP_CLIENT_STAGE_EHLO,
		[PENDING_STARTTLS] = SMTP_CLIENT_STAGE_STARTTLS,
		[PENDING_AUTH] = SMTP_CLIENT_STAGE_AUTH,
		[PENDING_AUTH_USER] = SMTP_CLIENT_STAGE_AUTH,
		[PENDING_AUTH_PASSWORD] = SMTP_CLIENT_STAGE_AUTH,
		[PENDING_MAIL] = SMTP_CLIENT_STAGE_MAIL,
		[PENDING_RCPT] = SMTP_CLIENT_STAGE_RCPT,
		[PENDING_DATA] = SMTP_CLIENT_STAGE_DATA,
		[PENDING_DOT] = SMTP_CLIENT_STAGE_DOT,
		[PENDING_EMPTY_DOT] = SMTP_CLIENT_STAGE_DATA,
		[PENDING_RSET] = SMTP_CLIENT_STAGE_MAIL,
		[PENDING_QUIT] = SMTP_CLIENT_STAGE_QUIT,
	};

	return stages[kind];
}

enum smtp_client_stage smtp_client_stage(const struct smtp_client *c)
{
	if (c->pending_count)
		return stage_of(c->pending[c->pending_first].kind);
	if (c->state == CLIENT_BODY)
		return SMTP_CLIENT_STAGE_BODY;
	if (c->state == CLIENT_TLS_WAIT)
		return SMTP_CLIENT_STAGE_STARTTLS;
	return c->state == CLIENT_READY ? SMTP_CLIENT_STAGE_IDLE : SMTP_CLIENT_STAGE_CONNECT;
}

struct smtp_client_event *client_push(struct smtp_client *c, enum smtp_client_event_kind kind)
{
	struct smtp_client_event *e;

	must(c->event_count < CLIENT_EVENTS_MAX);
	e = &c->events[(c->event_first + c->event_count++) % CLIENT_EVENTS_MAX];
	*e = (struct smtp_client_event){ .kind = kind, .stage = smtp_client_stage(c) };
	return e;
}

void client_end(struct smtp_client *c)
{
	c->state = CLIENT_ENDED;
	c->pending_count = 0;
	c->deadline = MONO_NEVER;
	c->m = NULL;
}

void client_fail(struct smtp_client *c, enum smtp_client_failure failure, const struct smtp_reply *reply)
{
	struct smtp_client_event *e;

	if (c->state == CLIENT_ENDED)
		return;
	e = client_push(c, SMTP_CLIENT_EV_FAILED);
	e->failure = failure;
	e->uncertain = c->state == CLIENT_DOT;
	if (reply)
		e->reply = *reply;
	client_end(c);
}

void client_wait(struct smtp_client *c, uint64_t us)
{
	c->deadline = mono_add(c->now, us);
}

void client_ready(struct smtp_client *c)
{
	c->state = CLIENT_READY;
	c->m = NULL;
	c->deadline = MONO_NEVER;
	(void)client_push(c, SMTP_CLIENT_EV_READY);
}

/* ---- the two cursors ---- */

void client_expect(struct smtp_client *c, enum pending_kind kind, uint32_t index)
{
	must(c->pending_count < COUNT_OF(c->pending));
	c->pending[(c->pending_first + c->pending_count++) % COUNT_OF(c->pending)] = (struct pending){ kind, index };
	client_wait(c,
		kind == PENDING_DOT || kind == PENDING_EMPTY_DOT ? TIMEOUT_DOT
		: kind == PENDING_DATA				 ? TIMEOUT_DATA
								 : TIMEOUT_COMMAND);
}

/* A reply that nothing asked for. */
static void unasked(struct smtp_client *c, const struct smtp_reply *r)
{
	if (c->state == CLIENT_BODY && r->code >= 400) {
		client_fail(c, SMTP_CLIENT_FAIL_REPLY, r);
	} else if (c->state == CLIENT_READY && r->code == 421) {
		(void)client_push(c, SMTP_CLIENT_EV_CLOSED);
		client_end(c);
	} else {
		client_fail(c, SMTP_CLIENT_FAIL_PROTOCOL, NULL);
	}
}

static void one_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	struct pending p;

	if (c->pending_count == 0) {
		unasked(c, r);
		return;
	}
	/* The stage of an event is that of the reply it brings: the cursor moves after the push. */
	p = c->pending[c->pending_first];
	if (p.kind <= PENDING_AUTH_PASSWORD)
		client_session_reply(c, p, r);
	else if (p.kind == PENDING_QUIT) {
		(void)client_push(c, SMTP_CLIENT_EV_CLOSED);
		client_end(c);
	} else
		client_message_reply(c, p, r);
}

void client_answered(struct smtp_client *c)
{
	must(c->pending_count > 0);
	c->pending_first = (c->pending_first + 1) % COUNT_OF(c->pending);
	c->pending_count--;
}

/* Parses until an event waits: its reply borrows from the parser. */
static void process(struct smtp_client *c)
{
	while (c->event_count == 0 && c->held.len && c->state != CLIENT_ENDED) {
		struct sv rest = buf_sv(&c->held);
		struct smtp_reply reply;
		int rc = smtp_reply_parse(&c->parser, &rest, &reply);

		buf_consume(&c->held, c->held.len - rest.len);
		if (rc == 1)
			one_reply(c, &reply);
		else if (rc < 0 || c->state == CLIENT_TLS_WAIT)
			client_fail(c, SMTP_CLIENT_FAIL_PROTOCOL, NULL);
	}
}

void smtp_client_feed(struct smtp_client *c, struct mono_time now, struct sv bytes)
{
	c->now = now;
	if (c->state == CLIENT_ENDED || bytes.len == 0)
		return;
	/* In the clear behind the answer to STARTTLS: an attacker's (RFC 3207 4.2). */
	if (c->state == CLIENT_TLS_WAIT || c->state == CLIENT_NEW || buf_append(&c->held, bytes) != 0) {
		client_fail(c, SMTP_CLIENT_FAIL_PROTOCOL, NULL);
		return;
	}
	process(c);
}

bool smtp_client_next(struct smtp_client *c, struct smtp_client_event *out_event)
{
	if (c->event_count == 0)
		process(c);
	if (c->event_count == 0)
		return false;
	*out_event = c->events[c->event_first];
	c->event_first = (c->event_first + 1) % CLIENT_EVENTS_MAX;
	c->event_count--;
	return true;
}

void smtp_client_eof(struct smtp_client *c)
{
	if (c->state == CLIENT_ENDED)
		return;
	/* Replies that came before the end still count. */
	while (c->held.len && c->event_count < CLIENT_EVENTS_MAX - 3 && c->state != CLIENT_ENDED) {
		size_t before = c->held.len;

		if (c->event_count)
			break;
		process(c);
		if (c->held.len == before)
			break;
	}
	if (c->state == CLIENT_ENDED)
		return;
	if (c->state == CLIENT_QUIT) {
		(void)client_push(c, SMTP_CLIENT_EV_CLOSED);
		client_end(c);
	} else {
		client_fail(c, SMTP_CLIENT_FAIL_CLOSED, NULL);
	}
}

/* ---- what the owner does ---- */

void smtp_client_connected(struct smtp_client *c, struct mono_time now)
{
	must(c->state == CLIENT_NEW);
	c->now = now;
	c->state = CLIENT_STARTING;
	client_expect(c, PENDING_GREETING, 0);
}

void smtp_client_tls_started(struct smtp_client *c, struct mono_time now)
{
	if (c->state != CLIENT_TLS_WAIT)
		return;
	c->now = now;
	c->tls = true;
	c->state = CLIENT_STARTING;
	/* What was offered in the clear is forgotten (RFC 3207 4.2). */
	c->offers = (struct smtp_client_offers){ 0 };
	client_hello(c, true);
}

void smtp_client_abandon(struct smtp_client *c)
{
	if (c->state == CLIENT_ENDED)
		return;
	(void)client_push(c, SMTP_CLIENT_EV_CLOSED);
	client_end(c);
}

void smtp_client_quit(struct smtp_client *c, struct mono_time now)
{
	if (c->state != CLIENT_READY)
		return;
	c->now = now;
	c->state = CLIENT_QUIT;
	must(buf_append(&c->out, SV("QUIT\r\n")) == 0);
	client_expect(c, PENDING_QUIT, 0);
}

struct sv smtp_client_output(const struct smtp_client *c)
{
	return buf_sv(&c->out);
}

void smtp_client_sent(struct smtp_client *c, struct mono_time now, size_t n)
{
	c->now = now;
	buf_consume(&c->out, n);
	if (c->out.len == 0)
		wipe_output(c);
	if (c->out.len == 0 && c->out.cap > LIMIT_CHUNK)
		buf_deinit(&c->out);
	if (c->state == CLIENT_BODY && n)
		client_wait(c, TIMEOUT_BLOCK);
}

struct mono_time smtp_client_deadline(const struct smtp_client *c)
{
	return c->deadline;
}

void smtp_client_tick(struct smtp_client *c, struct mono_time now)
{
	if (mono_before(now, c->deadline))
		return;
	c->now = now;
	client_fail(c, SMTP_CLIENT_FAIL_TIMEOUT, NULL);
}

const struct smtp_client_offers *smtp_client_offers(const struct smtp_client *c)
{
	return &c->offers;
}
