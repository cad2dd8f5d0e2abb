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
	const char *reply;   /* "!" in front: and then the server hangs up. Empty: nothing is said */
};

struct scenario {
	const char *name;
	enum smtp_client_tls tls;
	const char *login, *password;
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
static const struct smtp_client_message large = {
	.sender = SV_INIT("erp@contoso.com"), .recipients = one, .recipient_count = 1, .size = 157286401
};

/* ---- the server ---- */

struct world {
	const struct scenario *s;
	struct smtp_client *c;
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
	struct sv rest = sv_from(w->secured && w->s->tls_offers ? w->s->tls_offers : w->s->offers), line;
	bool more = rest.len > 0;

	must(buf_printf(&w->replies, "250%cmail.example Hello [192.0.2.7]\r\n", more ? '-' : ' ') == 0);
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
		return w->auth_lines-- == 2 ? "334 UGFzc3dvcmQ6" : "235 2.7.0 Authentication successful";
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

static const char *const kinds[] = { "STARTTLS", "READY", "RCPT", "BODY", "RESULT", "FAILED", "CLOSED" };
static const char *const failures[] = { "reply", "no STARTTLS", "no AUTH", "protocol", "timeout", "closed" };

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
	smtp_client_body(w->c, w->now, sv_from(w->s->body ? w->s->body : "Subject: x\r\n\r\n.dot\r\n"));
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
}

static void world_init(struct world *w, const struct scenario *s, size_t piece, size_t stop_at)
{
	static const char password[] = "s3cret";
	const struct smtp_client_options options = { .hostname = SV("relay.contoso.com"),
		.tls = s->tls,
		.login = sv_from(s->login),
		.password = s->login ? secret_new(sv_from(s->password ? s->password : password)) : NULL,
		.pipelining_off = s->pipelining_off };

	*w = (struct world){ .s = s, .piece = piece, .stop_at = stop_at };
	w->now.us = US_PER_HOUR;
	buf_init(&w->line, 1 << 20);
	buf_init(&w->said, 1 << 20);
	buf_init(&w->replies, 1 << 20);
	buf_init(&w->events, 1 << 20);
	w->c = smtp_client_new(&options);
	smtp_client_connected(w->c, w->now);
	say(w, special_reply(w, SV("CONNECT")) ? special_reply(w, SV("CONNECT"))
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

static const struct secret *password_of(const struct world *w);

static void world_deinit(struct world *w)
{
	smtp_client_free(w->c);
	buf_deinit(&w->line);
	buf_deinit(&w->said);
	buf_deinit(&w->replies);
	buf_deinit(&w->events);
}
