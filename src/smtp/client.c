/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client.h"

#include "base/err.h"
#include "base/must.h"
#include "smtp/challenge.h"
#include "smtp/client_priv.h"

#include <stdlib.h>

/*
 *   NEW -> STARTING <-> TLS_WAIT
 *             |
 *             v
 *  QUIT <-- READY -> ENVELOPE -> BODY -> DOT -.
 *             ^         |  `---> EMPTY -------|
 *             `---------'---------------------'
 *
 * Every state may go to ENDED, which nothing leaves. STARTING, ENVELOPE, DOT, EMPTY and QUIT await replies: the
 * pending commands say which. READY and BODY await the owner, TLS_WAIT the owner's handshake; there no
 * reply is due. Only DOT makes a lost connection uncertain.
 */

#define AFTER(state) (1U << (state))

static const uint16_t may_follow[] = {
	[CLIENT_NEW] = AFTER(CLIENT_STARTING) | AFTER(CLIENT_ENDED),
	[CLIENT_STARTING] = AFTER(CLIENT_TLS_WAIT) | AFTER(CLIENT_READY) | AFTER(CLIENT_ENDED),
	[CLIENT_TLS_WAIT] = AFTER(CLIENT_STARTING) | AFTER(CLIENT_ENDED),
	[CLIENT_READY] = AFTER(CLIENT_ENVELOPE) | AFTER(CLIENT_QUIT) | AFTER(CLIENT_ENDED),
	[CLIENT_ENVELOPE] = AFTER(CLIENT_READY) | AFTER(CLIENT_BODY) | AFTER(CLIENT_EMPTY) |
			    AFTER(CLIENT_ENDED),
	[CLIENT_BODY] = AFTER(CLIENT_DOT) | AFTER(CLIENT_ENDED),
	[CLIENT_DOT] = AFTER(CLIENT_READY) | AFTER(CLIENT_ENDED),
	[CLIENT_EMPTY] = AFTER(CLIENT_READY) | AFTER(CLIENT_ENDED),
	[CLIENT_QUIT] = AFTER(CLIENT_ENDED),
	[CLIENT_ENDED] = 0,
};
static_assert(COUNT_OF(may_follow) == CLIENT_STATE_COUNT, "a row for each state");

/* What the two cursors need to know of a command. */
static const struct {
	enum smtp_client_stage stage;
	uint64_t timeout_us;
} pending_rows[] = {
	[PENDING_GREETING] = { SMTP_CLIENT_STAGE_GREETING, TIMEOUT_GREETING },
	[PENDING_EHLO] = { SMTP_CLIENT_STAGE_EHLO, TIMEOUT_COMMAND },
	[PENDING_HELO] = { SMTP_CLIENT_STAGE_EHLO, TIMEOUT_COMMAND },
	[PENDING_STARTTLS] = { SMTP_CLIENT_STAGE_STARTTLS, TIMEOUT_COMMAND },
	[PENDING_AUTH] = { SMTP_CLIENT_STAGE_AUTH, TIMEOUT_COMMAND },
	[PENDING_AUTH_USER] = { SMTP_CLIENT_STAGE_AUTH, TIMEOUT_COMMAND },
	[PENDING_AUTH_PASSWORD] = { SMTP_CLIENT_STAGE_AUTH, TIMEOUT_COMMAND },
	[PENDING_AUTH_ASK] = { SMTP_CLIENT_STAGE_AUTH, TIMEOUT_COMMAND },
	[PENDING_AUTH_TOKEN] = { SMTP_CLIENT_STAGE_AUTH, TIMEOUT_COMMAND },
	[PENDING_AUTH_REASON] = { SMTP_CLIENT_STAGE_AUTH, TIMEOUT_COMMAND },
	[PENDING_MAIL] = { SMTP_CLIENT_STAGE_MAIL, TIMEOUT_COMMAND },
	[PENDING_RCPT] = { SMTP_CLIENT_STAGE_RCPT, TIMEOUT_COMMAND },
	[PENDING_DATA] = { SMTP_CLIENT_STAGE_DATA, TIMEOUT_DATA },
	[PENDING_DOT] = { SMTP_CLIENT_STAGE_DOT, TIMEOUT_DOT },
	[PENDING_EMPTY_DOT] = { SMTP_CLIENT_STAGE_DATA, TIMEOUT_DOT },
	[PENDING_RSET] = { SMTP_CLIENT_STAGE_MAIL, TIMEOUT_COMMAND },
	[PENDING_QUIT] = { SMTP_CLIENT_STAGE_QUIT, TIMEOUT_COMMAND },
};
static_assert(COUNT_OF(pending_rows) == PENDING_KIND_COUNT, "a row for each kind");

const char *smtp_client_stage_text(enum smtp_client_stage stage)
{
	static const char *const texts[] = {
		"connecting",
		"waiting for the greeting",
		"sending EHLO",
		"starting TLS",
		"signing in",
		"sending MAIL FROM",
		"sending RCPT TO",
		"sending DATA",
		"sending the message",
		"waiting for the end of the message",
		"idle",
		"sending QUIT",
	};

	static_assert(COUNT_OF(texts) == SMTP_CLIENT_STAGE_COUNT, "a text for each stage");
	must(stage < SMTP_CLIENT_STAGE_COUNT);
	return texts[stage];
}

struct smtp_client *smtp_client_new(const struct smtp_client_options *options)
{
	struct smtp_client *c = xcalloc(1, sizeof(*c));

	c->o = *options;
	smtp_reply_parser_init(&c->parser);
	buf_init(&c->out, CLIENT_OUTPUT_MAX);
	buf_init_wiping(&c->held, CLIENT_HELD_MAX);
	buf_init(&c->refusal_text, SMTP_MASK_GROWTH * (LIMIT_REPLY + SMTP_CHALLENGE_TEXT_MAX));
	buf_init_wiping(&c->challenge, SMTP_CHALLENGE_TEXT_MAX);
	buf_init(&c->masked, SMTP_MASK_GROWTH * LIMIT_REPLY);
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
	buf_deinit(&c->refusal_text);
	buf_deinit(&c->challenge);
	buf_deinit(&c->masked);
	smtp_reply_parser_deinit(&c->parser);
	free(c);
}

/* ---- events ---- */

enum smtp_client_stage smtp_client_stage(const struct smtp_client *c)
{
	if (c->pending_count)
		return pending_rows[c->pending[c->pending_first].kind].stage;
	if (c->state == CLIENT_BODY)
		return SMTP_CLIENT_STAGE_BODY;
	if (c->state == CLIENT_TLS_WAIT)
		return SMTP_CLIENT_STAGE_STARTTLS;
	/* Between an answer and the next question: EHLO did not offer what is needed. */
	if (c->state == CLIENT_STARTING)
		return SMTP_CLIENT_STAGE_EHLO;
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

void client_set_state(struct smtp_client *c, enum client_state next)
{
	must(may_follow[c->state] & AFTER(next));
	c->state = next;
}

static void end(struct smtp_client *c)
{
	client_set_state(c, CLIENT_ENDED);
	c->pending_count = 0;
	c->deadline = MONO_NEVER;
	c->m = NULL;
	/* Nothing leaves after the end: a lone dot behind half a body would deliver the half. */
	wipe_output(c);
	buf_reset(&c->out);
}

void client_close(struct smtp_client *c)
{
	(void)client_push(c, SMTP_CLIENT_EV_CLOSED);
	end(c);
}

void client_fail(
	struct smtp_client *c, enum smtp_client_failure failure, const struct smtp_reply *reply)
{
	struct smtp_client_event *e;

	if (c->state == CLIENT_ENDED)
		return;
	/* A peer that refuses MAIL and hangs up has given its verdict. */
	if ((failure == SMTP_CLIENT_FAIL_CLOSED || failure == SMTP_CLIENT_FAIL_TIMEOUT) &&
		client_is_decided(c)) {
		client_push_refusal(c);
		client_close(c);
		return;
	}
	client_record_end(c, failure);
	e = client_push(c, SMTP_CLIENT_EV_FAILED);
	e->failure = failure;
	e->uncertain = c->state == CLIENT_DOT;
	if (reply)
		e->reply = *reply;
	end(c);
}

void client_ready(struct smtp_client *c)
{
	if (c->state != CLIENT_READY)
		client_set_state(c, CLIENT_READY);
	c->m = NULL;
	c->deadline = MONO_NEVER;
	if (c->out.len == 0 && c->out.cap > CLIENT_OUTPUT_KEPT)
		buf_deinit(&c->out);
	(void)client_push(c, SMTP_CLIENT_EV_READY);
}

/* ---- the two cursors ---- */

void client_put(struct smtp_client *c, struct sv bytes)
{
	must(buf_append(&c->out, bytes) == 0);
}

void client_wait(struct smtp_client *c, uint64_t us)
{
	c->deadline = mono_add(c->now, us);
}

/* The time runs for the oldest question: each answer gives the next one its own. */
static void wait_for_head(struct smtp_client *c)
{
	client_wait(c, pending_rows[c->pending[c->pending_first].kind].timeout_us);
}

void client_expect(struct smtp_client *c, enum pending_kind kind, uint32_t index)
{
	must(c->pending_count < COUNT_OF(c->pending));
	client_record_command(c, kind);
	c->pending[(c->pending_first + c->pending_count++) % COUNT_OF(c->pending)] =
		(struct pending){ kind, index };
	if (c->pending_count == 1)
		wait_for_head(c);
}

void client_answered(struct smtp_client *c)
{
	must(c->pending_count > 0);
	c->pending_first = (c->pending_first + 1) % COUNT_OF(c->pending);
	c->pending_count--;
	if (c->pending_count)
		wait_for_head(c);
}

/* A reply that nothing asked for. */
static void unasked(struct smtp_client *c, const struct smtp_reply *r)
{
	/* A server that has seen enough of the body. No dot has left: it took nothing. */
	if (c->state == CLIENT_BODY && r->code >= 400)
		client_fail(c, SMTP_CLIENT_FAIL_REPLY, r);
	/* Exchange says 451 4.7.0 to the silent, others 421. */
	else if (c->state == CLIENT_READY && smtp_reply_class(r) == 4)
		client_close(c);
	else
		client_fail(c, SMTP_CLIENT_FAIL_PROTOCOL, NULL);
}

/* Some servers repeat what they did not like, and what they say is logged and stored. */
static void mask_refusal(struct smtp_client *c, struct smtp_reply *r)
{
	const struct smtp_mask mask = client_mask(c);

	if (r->code < 400 || mask.secret.len == 0)
		return;
	buf_reset(&c->masked);
	must(smtp_mask_text(&mask, r->text, &c->masked) == 0);
	r->text = buf_sv(&c->masked);
}

static void one_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	struct pending p;

	client_record_reply(c, r);
	if (c->pending_count == 0) {
		unasked(c, r);
		return;
	}
	/* A consent to what has not left yet was given to something else. A 250 among these would be
	 * a delivery that never was. */
	if (c->pending_count == 1 && c->out.len && r->code < 400) {
		client_fail(c, SMTP_CLIENT_FAIL_PROTOCOL, NULL);
		return;
	}
	/* The stage of an event is that of the reply it brings: the cursor moves after the push. */
	p = c->pending[c->pending_first];
	if (p.kind < PENDING_MAIL)
		client_session_reply(c, p, r);
	else if (p.kind == PENDING_QUIT)
		client_close(c);
	else
		client_message_reply(c, p, r);
}

/* Until an event waits: its reply borrows from the parser. */
void client_listen(struct smtp_client *c)
{
	while (c->event_count == 0 && c->held.len && c->state != CLIENT_ENDED) {
		struct sv held = buf_sv(&c->held), rest = held;
		struct smtp_reply reply;
		int rc = smtp_reply_parse(&c->parser, &rest, &reply);

		if (rc < 0)
			client_record_noise(c, held);
		buf_consume(&c->held, c->held.len - rest.len);
		if (rc < 0) {
			client_fail(c, SMTP_CLIENT_FAIL_PROTOCOL, NULL);
		} else if (rc == 1) {
			mask_refusal(c, &reply);
			one_reply(c, &reply);
		}
	}
	if (c->event_count || !c->eof || c->state == CLIENT_ENDED)
		return;
	if (c->state == CLIENT_QUIT)
		client_close(c);
	else
		client_fail(c, SMTP_CLIENT_FAIL_CLOSED, NULL);
}

void smtp_client_feed(struct smtp_client *c, struct mono_time now, struct sv bytes)
{
	c->now = now;
	while (bytes.len && c->state != CLIENT_ENDED) {
		struct sv piece = sv_head(bytes, buf_room(&c->held));

		/* In the clear behind the answer to STARTTLS: an attacker's (RFC 3207 4.2). */
		if (piece.len == 0 || c->state == CLIENT_TLS_WAIT || c->state == CLIENT_NEW) {
			client_fail(c, SMTP_CLIENT_FAIL_PROTOCOL, NULL);
			return;
		}
		must(buf_append(&c->held, piece) == 0);
		bytes = sv_skip(bytes, piece.len);
		client_listen(c);
	}
}

bool smtp_client_next(struct smtp_client *c, struct smtp_client_event *out_event)
{
	client_listen(c);
	if (c->event_count == 0)
		return false;
	*out_event = c->events[c->event_first];
	c->event_first = (c->event_first + 1) % CLIENT_EVENTS_MAX;
	c->event_count--;
	return true;
}

/* Replies that came before the end still count. */
void smtp_client_eof(struct smtp_client *c)
{
	c->eof = true;
	client_listen(c);
}

/* ---- what the owner does ---- */

void smtp_client_connected(struct smtp_client *c, struct mono_time now)
{
	c->now = now;
	client_set_state(c, CLIENT_STARTING);
	client_expect(c, PENDING_GREETING, 0);
}

void smtp_client_tls_started(struct smtp_client *c, struct mono_time now)
{
	c->now = now;
	if (c->state != CLIENT_TLS_WAIT)
		return;
	c->tls = true;
	client_record_tls(c);
	client_set_state(c, CLIENT_STARTING);
	/* What was offered in the clear is forgotten (RFC 3207 4.2). */
	c->offers = (struct smtp_client_offers){ 0 };
	client_hello(c, true);
}

void smtp_client_abandon(struct smtp_client *c)
{
	if (c->state != CLIENT_ENDED)
		client_close(c);
}

void smtp_client_quit(struct smtp_client *c, struct mono_time now)
{
	c->now = now;
	client_listen(c);
	if (c->state != CLIENT_READY)
		return;
	client_set_state(c, CLIENT_QUIT);
	client_put(c, SV("QUIT\r\n"));
	client_expect(c, PENDING_QUIT, 0);
}

struct sv smtp_client_output(const struct smtp_client *c)
{
	return buf_sv(&c->out);
}

void smtp_client_sent(struct smtp_client *c, struct mono_time now, size_t n)
{
	c->now = now;
	/* The session may have ended, and dropped its output, while a write was on its way. */
	n = n < c->out.len ? n : c->out.len;
	if (n == 0)
		return;
	buf_consume(&c->out, n);
	if (c->out.len == 0)
		wipe_output(c);
	/* The ten minutes of the dot run from when it has left, not from behind a slow body. */
	if (c->state == CLIENT_BODY || (c->state == CLIENT_DOT && c->out.len))
		client_wait(c, TIMEOUT_BLOCK);
	else if (c->state == CLIENT_DOT)
		client_wait(c, TIMEOUT_DOT);
}

struct mono_time smtp_client_deadline(const struct smtp_client *c)
{
	return c->deadline;
}

void smtp_client_tick(struct smtp_client *c, struct mono_time now)
{
	c->now = now;
	if (!mono_before(now, c->deadline))
		client_fail(c, SMTP_CLIENT_FAIL_TIMEOUT, NULL);
}

const struct smtp_client_offers *smtp_client_offers(const struct smtp_client *c)
{
	return &c->offers;
}

int smtp_client_transcript(const struct smtp_client *c, struct buf *out)
{
	const struct smtp_mask mask = client_mask(c);

	return c->o.transcript ? smtp_transcript_text(c->o.transcript, &mask, out) : 0;
}
