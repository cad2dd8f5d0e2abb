/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/sandbox_priv.h"

#include "base/arena.h"
#include "base/limits.h"
#include "base/must.h"
#include "mail/header.h"
#include "sandbox/dialogue.h"
#include "sandbox/exchange_words.h"
#include "smtp/server.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * One SMTP session of the sandbox: the product's own protocol machine, answering in Exchange Online's
 * words (public session log of 2025-11-23; NDR table of Microsoft's documentation).
 */
enum {
	SESSION_BODY_MAX = LIMIT_MESSAGE + 65536,
	HOST_NAME_MAX_LEN = 64,
	SIZE_ANNOUNCED = 157286400, /* always, whatever the mailbox may send */
};

struct session {
	struct list node;
	struct sandbox *sandbox;
	enum sandbox_door door;
	enum sandbox_attribution who; /* connector: of the open transaction */
	uint64_t number;
	struct io_stream *stream;
	struct smtp_server *smtp;
	struct io_timer deadline;
	struct io_timer slow; /* an answer that a fault holds back */
	void (*slow_answer)(struct session *s);
	struct sandbox_mailbox *mailbox;
	struct sandbox_mailbox
		*auth_mailbox; /* and what AUTH will be told, once no fault delays it */
	struct sandbox_reply auth_reply;
	enum smtp_server_event_kind auth_kind;
	bool mailbox_shut; /* signed in as an app that may not open the mailbox: said after DATA */
	bool transaction;  /* counted in mailbox->sending */
	bool stalled, cut_after_reply, closed;
	bool ehlo_held, ehlo_passed; /* a slow answer to EHLO: under way, over */
	bool input_ended;   /* the client has shut its side; what it sent is still answered */
	struct arena texts; /* banner and greeting: as long as the session */
	struct arena arena; /* of the transaction */
	struct sv sender;
	char **recipients; /* heap: handed to the message */
	size_t recipient_count, recipient_cap;
	struct buf body;
	struct sandbox_dialogue dialogue;
	char pop[HOST_NAME_MAX_LEN]; /* "AM0PR01CA0001.eurprd01" */
};

static void pump(struct session *s);

static void drop_transaction(struct session *s)
{
	if (s->transaction && s->mailbox && s->mailbox->sending)
		s->mailbox->sending--;
	s->transaction = false;
	for (size_t i = 0; i < s->recipient_count; i++)
		free(s->recipients[i]);
	s->recipient_count = 0;
	buf_deinit(&s->body);
	arena_reset(&s->arena);
}

static void session_free(struct session *s)
{
	drop_transaction(s);
	free(s->recipients);
	arena_reset(&s->texts);
	io_timer_stop(&s->deadline);
	io_timer_stop(&s->slow);
	io_stream_free(s->stream);
	smtp_server_free(s->smtp);
	sandbox_dialogue_deinit(&s->dialogue);
	list_remove(&s->node);
	free(s);
}

static void log_session(struct session *s, const char *event, struct sv text)
{
	json_t *o = json_object();

	(void)json_object_set_new(o, "session", json_integer((json_int_t)s->number));
	if (s->mailbox)
		(void)json_object_set_new(
			o, "mailbox", sandbox_json_text(sv_from(s->mailbox->address)));
	if (text.len)
		(void)json_object_set_new(o, "text", sandbox_json_text(text));
	sandbox_events_write(s->sandbox->events, event, sandbox_now_us(s->sandbox), o);
}

/* Exchange adds the server's name, the time and the session to its refusals. */
static void answer(
	struct session *s, enum smtp_server_event_kind kind, const struct sandbox_reply *r)
{
	struct mono_time now = io_now(s->sandbox->loop);
	char text[sizeof(r->text) + 128];
	char at[WALL_RFC3339_MAX];

	(void)snprintf(text, sizeof(text), "%s", r->text);
	if (r->code >= 400)
		(void)snprintf(text,
			sizeof(text),
			"%s [%s.prod.outlook.com %s %016llX]",
			r->text,
			s->pop,
			wall_rfc3339(io_wall(s->sandbox->loop), at),
			(unsigned long long)s->number);
	if (r->code >= 400) {
		log_session(s, "refused", sv_from(text));
		sandbox_tell(s->sandbox,
			"refused    %s  %u %s %s",
			s->mailbox ? s->mailbox->address : sandbox_door_name(s->door),
			r->code,
			r->enhanced,
			r->text);
	}
	if (kind == SMTP_SERVER_EV_AUTH_PASSWORD || kind == SMTP_SERVER_EV_AUTH_TOKEN)
		smtp_server_answer_auth(s->smtp, now, r->code, r->enhanced, sv_from(text));
	else
		smtp_server_answer(s->smtp, now, r->code, r->enhanced, sv_from(text));
}

static void slow_over(void *arg)
{
	struct session *s = arg;

	s->slow_answer(s);
	pump(s);
}

/* True when a fault took the answer over. */
static bool fault_strikes(struct session *s, enum sandbox_stage at, struct sv address,
	enum smtp_server_event_kind kind, void (*go_on)(struct session *s))
{
	uint32_t dice = (uint32_t)prng_next(io_prng(s->sandbox->loop));
	const struct sandbox_fault *fault =
		sandbox_faults_strike(&s->sandbox->faults, at, address, dice);
	struct sandbox_reply reply = { 0 };

	if (!fault)
		return false;
	log_session(s, "fault", sv_from(sandbox_stage_name(at)));
	switch (fault->deed) {
	case SANDBOX_DO_REPLY:
		reply.code = fault->code;
		memcpy(reply.enhanced, fault->enhanced, sizeof(reply.enhanced));
		memcpy(reply.text, fault->text, sizeof(reply.text));
		if (kind == SMTP_SERVER_EV_END)
			s->sandbox->totals.refused++;
		answer(s, kind, &reply);
		return true;
	case SANDBOX_DO_CUT:
		s->closed = true;
		return true;
	case SANDBOX_DO_CUT_AFTER:
		s->cut_after_reply = true;
		return false;
	case SANDBOX_DO_STALL:
		s->stalled = true;
		return true;
	case SANDBOX_DO_SLOW:
		s->slow_answer = go_on;
		io_timer_start(&s->slow, mono_add(io_now(s->sandbox->loop), fault->delay_us));
		return true;
	case SANDBOX_DO_COUNT:
		break;
	}
	return false;
}

static void greet(struct session *s)
{
	smtp_server_answer(s->smtp, io_now(s->sandbox->loop), 220, NULL, sv_make(NULL, 0));
}

static void auth_over(struct session *s)
{
	s->mailbox = s->auth_mailbox;
	if (s->mailbox)
		log_session(s, "signed-in", sv_from(s->mailbox->address));
	answer(s, s->auth_kind, &s->auth_reply);
}

/* The wire says 5.7.3 and no more; the event log says why. */
static bool token_is_good(struct session *s, const struct smtp_server_event *ev)
{
	struct sandbox_entra *entra = s->sandbox->entra;
	uint64_t now_s = sandbox_instant(s->sandbox).now_s;
	struct sandbox_bearer bearer = { 0 };
	const char *why = sandbox_entra_check(entra, ev->password, now_s, &bearer);

	if (!why)
		why = sandbox_bearer_smtp(entra, &bearer, ev->user, "SMTP.Send", "SMTP.SendAsApp");
	if (why)
		log_session(s, "token-rejected", sv_from(why));
	s->mailbox_shut = !why && !sandbox_bearer_owns(entra, &bearer, ev->user);
	sandbox_bearer_deinit(&bearer);
	return !why;
}

/* HVE is more talkative than the usual door. */
static void judge_hve_token(
	struct session *s, const struct smtp_server_event *ev, struct sandbox_reply *reply)
{
	static const struct sandbox_reply bare = { 535, "5.7.3", "Authentication unsuccessful" };
	static const struct sandbox_reply soon = { 535, "5.7.142", "Token will expire soon" };
	static const struct sandbox_reply expired = { 535, "5.7.143", "Expired token" };
	static const struct sandbox_reply permission = {
		535, "5.7.144", "XOAUTH2 authentication failed. Invalid API permissions"
	};
	static const struct sandbox_reply app = { 550,
		"5.7.240",
		"The application is not allowed for use with this High Volume Email account" };
	struct sandbox_entra *entra = s->sandbox->entra;
	uint64_t now_s = sandbox_instant(s->sandbox).now_s;
	struct sandbox_bearer b = { 0 };
	const char *why = sandbox_entra_check(entra, ev->password, now_s, &b);

	if (why == sandbox_bearer_expired)
		*reply = expired;
	else if (why || b.resource != SANDBOX_RESOURCE_EXCHANGE || !b.app)
		*reply = bare;
	else if (!sandbox_bearer_may(&b, "Mail.Send", "Mail.Send"))
		*reply = permission;
	else if (!sandbox_bearer_owns(entra, &b, ev->user))
		*reply = app;
	else if (b.expires_s < now_s + SANDBOX_HVE_TOKEN_LEFT_S)
		*reply = soon;
	else
		sandbox_hve_account(&s->sandbox->tenant, ev->user, reply);
	if (reply->code != 235)
		log_session(s, "token-rejected", sv_from(why ? why : reply->text));
	sandbox_bearer_deinit(&b);
}

static struct sandbox_mailbox *sign_in_hve(struct session *s, const struct smtp_server_event *ev)
{
	struct sandbox_model *m = s->sandbox->model;

	if (ev->kind == SMTP_SERVER_EV_AUTH_TOKEN)
		judge_hve_token(s, ev, &s->auth_reply);
	else if (sandbox_model_sign_in_hve(m, ev->user, ev->password, &s->auth_reply))
		sandbox_hve_account(&s->sandbox->tenant, ev->user, &s->auth_reply);
	return s->auth_reply.code == 235 ? sandbox_model_mailbox(m, ev->user, true) : NULL;
}

static void take_auth(struct session *s, const struct smtp_server_event *ev)
{
	struct sandbox_model *m = s->sandbox->model;

	s->auth_kind = ev->kind;
	if (s->door == SANDBOX_DOOR_HVE)
		s->auth_mailbox = sign_in_hve(s, ev);
	else if (ev->kind == SMTP_SERVER_EV_AUTH_TOKEN)
		s->auth_mailbox = sandbox_model_sign_in_token(
			m, ev->user, token_is_good(s, ev), &s->auth_reply);
	else
		s->auth_mailbox = sandbox_model_sign_in(m, ev->user, ev->password, &s->auth_reply);
	if (!fault_strikes(s, SANDBOX_AT_AUTH, ev->user, ev->kind, auth_over))
		auth_over(s);
}

static void mail_ok(struct session *s)
{
	smtp_server_answer(s->smtp, io_now(s->sandbox->loop), 250, "2.1.0", SV("Sender OK"));
}

static void look_at_name(void *arg, struct sv name)
{
	struct session *s = arg;

	if (sandbox_tenant_knows_certificate(&s->sandbox->tenant, name))
		s->who = SANDBOX_BY_CERTIFICATE;
}

/* Exchange decides at each message whose connector this is. */
static void attribute(struct session *s)
{
	const struct sandbox_tenant *t = &s->sandbox->tenant;

	s->who = sandbox_tenant_knows_source(t, io_stream_peer_addr(s->stream)) ? SANDBOX_BY_SOURCE
										: SANDBOX_ANONYMOUS;
	io_stream_peer_names(s->stream, look_at_name, s);
}

static void take_mail(struct session *s, const struct smtp_server_event *ev)
{
	static const struct sandbox_reply anonymous = {
		530, "5.7.57", "Client not authenticated to send mail."
	};
	struct sandbox_reply reply = { .code = 250 };

	drop_transaction(s);
	if (s->door == SANDBOX_DOOR_CONNECTOR)
		attribute(s);
	else if (!s->mailbox)
		reply = anonymous;
	else if (s->door == SANDBOX_DOOR_HVE)
		sandbox_hve_mail(sv_from(s->mailbox->address), ev->address, &reply);
	if (reply.code != 250) {
		answer(s, ev->kind, &reply);
		return;
	}
	s->sender = arena_sv(&s->arena, ev->address);
	s->transaction = true;
	if (s->mailbox)
		s->mailbox->sending++;
	buf_init(&s->body, SESSION_BODY_MAX);
	if (!fault_strikes(s, SANDBOX_AT_MAIL, ev->address, ev->kind, mail_ok))
		mail_ok(s);
}

static void rcpt_ok(struct session *s)
{
	smtp_server_answer(s->smtp, io_now(s->sandbox->loop), 250, "2.1.5", SV("Recipient OK"));
}

static size_t count_domain(const struct session *s, struct sv address)
{
	ptrdiff_t at = sv_rfind_char(address, '@');
	size_t count = 0;

	for (size_t i = 0; at >= 0 && i < s->recipient_count; i++)
		count += sv_ends_nocase(sv_from(s->recipients[i]), sv_skip(address, (size_t)at));
	return count;
}

static void take_rcpt(struct session *s, const struct smtp_server_event *ev)
{
	const struct sandbox_tenant *t = &s->sandbox->tenant;
	struct sandbox_reply reply = { .code = 250 };

	if (fault_strikes(s, SANDBOX_AT_RCPT, ev->address, ev->kind, rcpt_ok))
		return;
	if (s->door == SANDBOX_DOOR_HVE)
		sandbox_hve_rcpt(t, ev->address, s->recipient_count, &reply);
	else if (s->door == SANDBOX_DOOR_CONNECTOR)
		sandbox_connector_rcpt(
			t, s->who, s->sender, ev->address, count_domain(s, ev->address), &reply);
	if (reply.code != 250) {
		answer(s, ev->kind, &reply);
		return;
	}
	if (s->recipient_count == s->recipient_cap) {
		s->recipient_cap = s->recipient_cap ? s->recipient_cap * 2 : 4;
		s->recipients = xrealloc(s->recipients, s->recipient_cap * sizeof(char *));
	}
	s->recipients[s->recipient_count++] = sv_dup(ev->address);
	rcpt_ok(s);
}

static void data_ok(struct session *s)
{
	smtp_server_answer(s->smtp,
		io_now(s->sandbox->loop),
		354,
		NULL,
		SV("Start mail input; end with <CRLF>.<CRLF>"));
}

static struct header_block *read_header(const struct buf *body)
{
	struct header_block *h = header_block_new(LIMIT_HEADER, LIMIT_HEADER_FIELDS);
	size_t used;
	int rc = header_block_feed(h, buf_sv(body), &used);

	if (rc == 0)
		rc = header_block_end(h);
	if (rc < 0) {
		header_block_free(h);
		return NULL;
	}
	return h;
}

static void store_message(
	struct session *s, const struct header_facts *facts, struct sandbox_reply *reply)
{
	struct sandbox_message *m;
	struct sandbox_delivery delivery = {
		.door = s->door,
		.mailbox = sv_from(s->mailbox ? s->mailbox->address : ""),
		.sender = s->sender,
		.recipients = s->recipients,
		.recipient_count = s->recipient_count,
		.raw = buf_sv(&s->body),
		.facts = facts,
	};
	const char *id;

	m = sandbox_deliver(s->sandbox, &delivery);
	s->recipient_count = 0; /* they are the message's now */
	id = m->new_id[0] ? m->new_id : m->message_id;
	if (s->door != SANDBOX_DOOR_CONNECTOR) {
		(void)snprintf(reply->text,
			sizeof(reply->text),
			"OK %.200s [Hostname=%s.prod.outlook.com]",
			id[0] ? id : "<none>",
			s->pop);
		m->dialogue = sandbox_dialogue_text(&s->dialogue, io_now(s->sandbox->loop), reply);
		return;
	}
	(void)snprintf(reply->enhanced, sizeof(reply->enhanced), "2.6.0");
	(void)snprintf(reply->text,
		sizeof(reply->text),
		"%.200s [InternalId=%llu, Hostname=%s.prod.outlook.com] %zu bytes in 0.1, Queued "
		"mail for delivery",
		id[0] ? id : "<none>",
		(unsigned long long)m->number,
		s->pop,
		m->raw_len);
	m->dialogue = sandbox_dialogue_text(&s->dialogue, io_now(s->sandbox->loop), reply);
}

/* Exchange opens the mailbox for the message, not for the sign-in: its words of 2026-08. */
static void refuse_logon(struct session *s, struct sandbox_reply *out_reply)
{
	static const struct sandbox_reply shut = { 430,
		"4.2.0",
		"STOREDRV; mailbox logon failure; STOREDRV.Storage; MapiExceptionLogonFailed: "
		"Unable to "
		"make connection to the server." };

	log_session(s,
		"mailbox-shut",
		SV("the token's service principal has no full access to the mailbox"));
	*out_reply = shut;
}

/* What the door itself has to say; 250: nothing. */
static void ask_door(
	struct session *s, const struct header_facts *facts, struct sandbox_reply *reply)
{
	struct sandbox_submission submission = {
		.mailbox = s->mailbox,
		.sender = s->sender,
		.from = facts->from,
		.recipients = (uint32_t)s->recipient_count,
		.external = sandbox_tenant_external(
			&s->sandbox->tenant, s->recipients, s->recipient_count),
		.bytes = s->body.len,
		.now_us = sandbox_now_us(s->sandbox),
	};

	*reply = (struct sandbox_reply){ .code = 250, .enhanced = "2.0.0" };
	if (s->mailbox_shut) {
		refuse_logon(s, reply);
	} else if (s->door == SANDBOX_DOOR_HVE) {
		sandbox_hve_end(sv_from(s->mailbox->address), facts->from, reply);
		submission.counting = SANDBOX_COUNT_NONE;
	} else if (s->door == SANDBOX_DOOR_CONNECTOR) {
		if (s->who == SANDBOX_ANONYMOUS)
			sandbox_model_direct(s->sandbox->model,
				s->recipients,
				s->recipient_count,
				submission.now_us,
				reply);
		if (s->who == SANDBOX_ANONYMOUS || s->sender.len == 0)
			return;
		submission.mailbox = sandbox_model_mailbox(s->sandbox->model, s->sender, true);
		submission.counting = SANDBOX_COUNT_DAY;
		submission.relay = true;
	}
	if (reply->code == 250)
		sandbox_model_submit(s->sandbox->model, &submission, reply);
}

static void end_of_data(struct session *s)
{
	struct header_block *h = read_header(&s->body);
	struct header_facts facts = { 0 };
	struct sandbox_reply reply = { 0 };

	if (h)
		header_block_facts(h, &facts);
	s->dialogue.in_data = false;
	sandbox_dialogue_body(&s->dialogue, io_now(s->sandbox->loop), s->body.len);
	ask_door(s, &facts, &reply);
	if (reply.code == 250)
		store_message(s, &facts, &reply);
	else
		s->sandbox->totals.refused++;
	header_block_free(h);
	drop_transaction(s);
	if (s->cut_after_reply)
		s->closed = true;
	else
		answer(s, SMTP_SERVER_EV_END, &reply);
}

static void take_body(struct session *s, const struct smtp_server_event *ev)
{
	/* The machine enforces SIZE, which is less. */
	if (buf_append(&s->body, ev->bytes) != 0)
		s->closed = true;
}

static void handle(struct session *s, const struct smtp_server_event *ev)
{
	switch (ev->kind) {
	case SMTP_SERVER_EV_GREET:
		if (!fault_strikes(s, SANDBOX_AT_CONNECT, sv_make(NULL, 0), ev->kind, greet))
			greet(s);
		break;
	case SMTP_SERVER_EV_STARTTLS:
		sandbox_dialogue_said(
			&s->dialogue, io_now(s->sandbox->loop), smtp_server_output(s->smtp));
		if (io_stream_write(s->stream, smtp_server_output(s->smtp)) != 0)
			s->closed = true;
		smtp_server_sent(s->smtp, smtp_server_output(s->smtp).len);
		io_stream_tls_server(s->stream,
			s->door == SANDBOX_DOOR_CONNECTOR ? s->sandbox->connector_tls
							  : s->sandbox->tls);
		break;
	case SMTP_SERVER_EV_AUTH_PASSWORD:
	case SMTP_SERVER_EV_AUTH_TOKEN:
		take_auth(s, ev);
		break;
	case SMTP_SERVER_EV_AUTH_SCRAM: /* not offered */
	case SMTP_SERVER_EV_AUTH_DONE:
		break;
	case SMTP_SERVER_EV_MAIL:
		take_mail(s, ev);
		break;
	case SMTP_SERVER_EV_RCPT:
		take_rcpt(s, ev);
		break;
	case SMTP_SERVER_EV_DATA:
		if (!fault_strikes(s, SANDBOX_AT_DATA, s->sender, ev->kind, data_ok))
			data_ok(s);
		break;
	case SMTP_SERVER_EV_BODY:
		take_body(s, ev);
		break;
	case SMTP_SERVER_EV_END:
		if (!fault_strikes(s, SANDBOX_AT_DOT, s->sender, ev->kind, end_of_data))
			end_of_data(s);
		break;
	case SMTP_SERVER_EV_RESET:
		s->dialogue.in_data = false;
		drop_transaction(s);
		break;
	case SMTP_SERVER_EV_CLOSE:
		s->closed = true;
		break;
	case SMTP_SERVER_EV_COUNT:
		break;
	}
}

static void ehlo_over(struct session *s)
{
	s->ehlo_held = false;
	s->ehlo_passed = true;
}

static void refuse_ehlo(struct session *s, const struct sandbox_fault *fault, size_t line_len)
{
	char line[sizeof(fault->text) + 32];
	int n = snprintf(line,
		sizeof(line),
		"%u %s%s%s\r\n",
		fault->code,
		fault->enhanced,
		fault->enhanced[0] ? " " : "",
		fault->text);

	log_session(s, "refused", sv_make(line, (size_t)n - 2));
	if (io_stream_write(s->stream, sv_make(line, (size_t)n)) != 0 || fault->code == 421)
		s->closed = true;
	io_stream_consume(s->stream, line_len);
}

/*
 * The machine answers EHLO by itself, so a fault there is looked for before it reads the line. True: a
 * fault has taken the line, or holds it.
 */
static bool ehlo_fault_strikes(struct session *s)
{
	struct sv input = io_stream_input(s->stream);
	ptrdiff_t lf = sv_find_char(input, '\n');
	const struct sandbox_fault *fault;

	if (s->ehlo_held || s->ehlo_passed || lf < 0 || smtp_server_helo(s->smtp).len ||
		!sv_starts_nocase(input, SV("EHLO")))
		return s->ehlo_held;
	fault = sandbox_faults_strike(&s->sandbox->faults,
		SANDBOX_AT_EHLO,
		sv_make(NULL, 0),
		(uint32_t)prng_next(io_prng(s->sandbox->loop)));
	if (!fault)
		return false;
	log_session(s, "fault", sv_from(sandbox_stage_name(SANDBOX_AT_EHLO)));
	s->closed = fault->deed == SANDBOX_DO_CUT || fault->deed == SANDBOX_DO_CUT_AFTER;
	s->stalled = fault->deed == SANDBOX_DO_STALL;
	s->ehlo_held = fault->deed == SANDBOX_DO_SLOW;
	if (s->ehlo_held) {
		s->slow_answer = ehlo_over;
		io_timer_start(&s->slow, mono_add(io_now(s->sandbox->loop), fault->delay_us));
	}
	if (fault->deed == SANDBOX_DO_REPLY)
		refuse_ehlo(s, fault, (size_t)lf + 1);
	return true;
}

/* Moves bytes and events until both sides wait; may free the session. */
static void send_output(struct session *s)
{
	struct sv out = smtp_server_output(s->smtp);

	if (!s->stalled && out.len && io_stream_write(s->stream, out) == 0) {
		sandbox_dialogue_said(&s->dialogue, io_now(s->sandbox->loop), out);
		smtp_server_sent(s->smtp, out.len);
	}
}

/* Gives the machine what came; how much it took. */
static size_t feed(struct session *s, struct sv input)
{
	struct mono_time now = io_now(s->sandbox->loop);
	size_t used = smtp_server_feed(s->smtp, now, input);
	struct sv commands = sv_head(input, used);
	struct smtp_server_event ev;

	/* A body's events point into the input: it goes only after them. */
	while (!s->closed && !s->stalled && smtp_server_next(s->smtp, &ev)) {
		if (ev.kind == SMTP_SERVER_EV_BODY && commands.len)
			commands.len = (size_t)(ev.bytes.ptr - input.ptr);
		sandbox_dialogue_heard(&s->dialogue, now, commands);
		commands.len = 0;
		handle(s, &ev);
	}
	sandbox_dialogue_heard(&s->dialogue, now, commands);
	return used;
}

static void pump(struct session *s)
{
	struct smtp_server_event ev;
	bool progress = true;

	while (progress && !s->closed && !s->stalled) {
		struct sv input = io_stream_input(s->stream);
		size_t used = 0;

		progress = false;
		while (!s->closed && !s->stalled && smtp_server_next(s->smtp, &ev)) {
			progress = true;
			handle(s, &ev);
		}
		if (!s->closed && !s->stalled && input.len &&
			!smtp_server_waits_for_answer(s->smtp) && !ehlo_fault_strikes(s)) {
			input = io_stream_input(s->stream);
			used = feed(s, input);
			io_stream_consume(s->stream, used);
			progress = progress || used > 0;
		}
		/* Within the loop: the machine stops reading while many replies wait to leave. */
		send_output(s);
	}
	if (s->input_ended && (s->stalled || (io_stream_input(s->stream).len == 0 &&
						     !smtp_server_waits_for_answer(s->smtp))))
		s->closed = true;
	send_output(s);
	if (s->closed) {
		/* A cut is abrupt; a QUIT's answer still leaves. */
		if (!s->cut_after_reply)
			io_stream_close_gently(TAKE(s->stream), US_PER_S);
		session_free(s);
		return;
	}
	io_timer_start(&s->deadline, smtp_server_deadline(s->smtp));
}

static void deadline_over(void *arg)
{
	struct session *s = arg;

	smtp_server_tick(s->smtp, io_now(s->sandbox->loop));
	pump(s);
}

static void stream_event(void *arg, enum io_stream_event event)
{
	struct session *s = arg;

	switch (event) {
	case IO_STREAM_SECURED:
		s->ehlo_passed = false;
		smtp_server_tls_started(s->smtp, io_now(s->sandbox->loop));
		pump(s);
		break;
	case IO_STREAM_INPUT:
	case IO_STREAM_DRAINED:
		pump(s);
		break;
	case IO_STREAM_EOF:
		s->input_ended = true;
		pump(s);
		break;
	case IO_STREAM_FAILED:
		session_free(s);
		break;
	case IO_STREAM_CONNECTED:
		break;
	}
}

void sandbox_session_start(struct sandbox *sandbox, enum sandbox_door door, int fd)
{
	static const char *const hosts[] = {
		[SANDBOX_DOOR_SUBMISSION] = "outlook.office365.com",
		[SANDBOX_DOOR_HVE] = "smtp.hve.mx.microsoft",
		[SANDBOX_DOOR_CONNECTOR] = "mail.protection.outlook.com",
	};
	struct session *s = xcalloc(1, sizeof(*s));
	size_t words;
	char banner[256], hello[256], at[WALL_RFC5322_MAX];
	struct smtp_server_options options = {
		.message_bytes_max = LIMIT_MESSAGE,
		.size_announced = SIZE_ANNOUNCED,
		.rcpt_max = 1000,
		.bad_command_max = 20,
		.idle_us_max = 5 * US_PER_MIN,
		.data_us_max = 5 * US_PER_MIN,
		.slow_us_max = 10 * US_PER_MIN,
		.session_us_max = 20 * US_PER_MIN,
		.auth = SMTP_SERVER_AUTH_LOGIN | SMTP_SERVER_AUTH_XOAUTH2,
		.auth_needs_tls = true,
		.starttls = !sandbox->starttls_off,
		.pipelining = true,
		.eightbitmime = true,
		.chunking = true,
		.smtputf8 = true,
		.dsn = true,
		.binarymime_listed = true,
		.wordings = sandbox_exchange_words(&words),
		.strict = true,
	};

	options.wording_count = words;
	s->sandbox = sandbox;
	s->door = door;
	sandbox_dialogue_init(&s->dialogue);
	s->number = ++sandbox->next_session;
	sandbox->totals.sessions++;
	if (door == SANDBOX_DOOR_CONNECTOR)
		options.auth = 0;
	if (door == SANDBOX_DOOR_HVE) {
		options.message_bytes_max = SANDBOX_HVE_BYTES_MAX;
		options.size_announced = SANDBOX_HVE_BYTES_MAX;
	}
	(void)snprintf(s->pop,
		sizeof(s->pop),
		"AM0PR01CA%04llu.eurprd01",
		(unsigned long long)(s->number % 10000));
	(void)snprintf(banner,
		sizeof(banner),
		"%s.%s Microsoft ESMTP MAIL Service ready at %s [%016llX]",
		s->pop,
		hosts[door],
		wall_rfc5322(io_wall(sandbox->loop), at),
		(unsigned long long)s->number);
	s->stream = io_stream_accepted(sandbox->loop, fd, stream_event, s);
	(void)snprintf(hello, sizeof(hello), "%s.%s Hello [127.0.0.1]", s->pop, hosts[door]);
	options.hostname = SV("smtp.office365.com");
	options.banner = arena_sv(&s->texts, sv_from(banner));
	options.ehlo_text = arena_sv(&s->texts, sv_from(hello));
	options.ready_tls_text = SV("2.0.0 SMTP server ready");
	s->smtp = smtp_server_new(&options, io_now(sandbox->loop));
	io_timer_init(&s->deadline, sandbox->loop, deadline_over, s);
	io_timer_init(&s->slow, sandbox->loop, slow_over, s);
	list_append(&sandbox->sessions, &s->node);
	log_session(s, "connected", sv_make(NULL, 0));
	pump(s);
}

void sandbox_session_close_all(struct sandbox *sandbox)
{
	list_each_safe (node, after, &sandbox->sessions)
		session_free(list_entry(node, struct session, node));
}
