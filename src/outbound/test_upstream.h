/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/list.h"
#include "base/must.h"
#include "io/net.h"
#include "io/stream.h"
#include "smtp/server.h"

#include "cmocka_all.h"

/*
 * The provider, for tests: an SMTP server on 127.0.0.1 on the loop of the test. It takes everything,
 * unless a rule says otherwise.
 */
enum {
	UP_MAILS_MAX = 512,
	UP_RULES_MAX = 4,
	UP_TEXT_MAX = 512,
	UP_BODY_MAX = 8 << 20,
};

struct up_rule {
	enum smtp_server_event_kind at;
	const char *match; /* in the address of RCPT, else in the sender's; NULL: any */
	unsigned times;
	bool cut;  /* closes instead of an answer */
	bool hold; /* answers when the test says so */
	uint16_t code;
	const char *enhanced, *text;
};

struct up_mail {
	char sender[UP_TEXT_MAX];
	char recipients[UP_TEXT_MAX]; /* "a@b c@d " */
	size_t recipient_count;
	uint64_t announced; /* SIZE= */
	struct buf body;
};

struct upstream {
	struct io_loop *loop;
	struct io_listener *listener;
	struct list sessions;
	struct up_rule rules[UP_RULES_MAX];
	struct up_mail mails[UP_MAILS_MAX]; /* those whose end came */
	size_t mail_count;
	unsigned asked[SMTP_SERVER_EV_COUNT]; /* events of each kind */
	unsigned most_sessions;               /* at once */
	char user[UP_TEXT_MAX], password[UP_TEXT_MAX];
};

struct up_session {
	struct list node;
	struct upstream *u;
	struct io_stream *stream;
	struct smtp_server *smtp;
	struct up_mail mail;
	bool pumping, ended, cut, held;
};

static inline void up_session_free(struct up_session *s)
{
	list_remove(&s->node);
	smtp_server_free(s->smtp);
	if (s->cut)
		io_stream_free(s->stream);
	else
		io_stream_close_gently(s->stream, US_PER_S);
	buf_deinit(&s->mail.body);
	free(s);
}

static inline struct up_rule *up_find(
	struct up_session *s, enum smtp_server_event_kind at, struct sv address)
{
	for (size_t i = 0; i < UP_RULES_MAX; i++) {
		struct up_rule *r = &s->u->rules[i];

		if (r->times && r->at == at &&
			(!r->match || sv_find(address, sv_from(r->match)) >= 0)) {
			r->times--;
			return r;
		}
	}
	return NULL;
}

static inline void up_answer(struct up_session *s, enum smtp_server_event_kind kind, uint16_t code,
	const char *enhanced, const char *text)
{
	struct mono_time now = io_now(s->u->loop);

	if (kind == SMTP_SERVER_EV_AUTH_PASSWORD || kind == SMTP_SERVER_EV_AUTH_TOKEN)
		smtp_server_answer_auth(s->smtp, now, code, enhanced, sv_from(text));
	else
		smtp_server_answer(s->smtp, now, code, enhanced, sv_from(text));
}

static inline void up_say_yes(struct up_session *s, enum smtp_server_event_kind kind)
{
	if (kind == SMTP_SERVER_EV_GREET)
		up_answer(s, kind, 220, NULL, "");
	else if (kind == SMTP_SERVER_EV_DATA)
		up_answer(s, kind, 354, NULL, "Go ahead");
	else if (kind == SMTP_SERVER_EV_AUTH_PASSWORD || kind == SMTP_SERVER_EV_AUTH_TOKEN)
		up_answer(s, kind, 235, "2.7.0", "Welcome");
	else
		up_answer(s, kind, 250, "2.0.0", "OK <id@outlook.example>");
}

static inline void up_note(struct up_session *s, const struct smtp_server_event *e)
{
	struct up_mail *m = &s->mail;
	size_t len = strlen(m->recipients);

	switch (e->kind) {
	case SMTP_SERVER_EV_MAIL:
		(void)snprintf(m->sender, sizeof(m->sender), "%.*s", SV_ARG(e->address));
		m->recipients[0] = '\0';
		m->announced = e->size;
		m->recipient_count = 0;
		buf_deinit(&m->body);
		buf_init(&m->body, UP_BODY_MAX);
		break;
	case SMTP_SERVER_EV_RCPT:
		m->recipient_count++;
		(void)snprintf(m->recipients + len,
			sizeof(m->recipients) - len,
			"%.*s ",
			SV_ARG(e->address));
		break;
	case SMTP_SERVER_EV_BODY:
		must(buf_append(&m->body, e->bytes) == 0);
		break;
	case SMTP_SERVER_EV_END:
		must(s->u->mail_count < UP_MAILS_MAX);
		s->u->mails[s->u->mail_count++] = *m;
		m->body = (struct buf)BUF_INIT(UP_BODY_MAX);
		break;
	case SMTP_SERVER_EV_AUTH_PASSWORD:
	case SMTP_SERVER_EV_AUTH_TOKEN:
		(void)snprintf(s->u->user, UP_TEXT_MAX, "%.*s", SV_ARG(e->user));
		(void)snprintf(s->u->password, UP_TEXT_MAX, "%.*s", SV_ARG(e->password));
		break;
	case SMTP_SERVER_EV_GREET:
	case SMTP_SERVER_EV_STARTTLS:
	case SMTP_SERVER_EV_AUTH_SCRAM:
	case SMTP_SERVER_EV_AUTH_DONE:
	case SMTP_SERVER_EV_DATA:
	case SMTP_SERVER_EV_RESET:
	case SMTP_SERVER_EV_CLOSE:
	case SMTP_SERVER_EV_COUNT:
		break;
	}
}

static inline void up_handle(struct up_session *s, const struct smtp_server_event *e)
{
	struct sv address = e->kind == SMTP_SERVER_EV_MAIL || e->kind == SMTP_SERVER_EV_RCPT
				    ? e->address
				    : sv_from(s->mail.sender);
	struct up_rule *r = up_find(s, e->kind, address);

	s->u->asked[e->kind]++;
	if (!r || r->code < 400)
		up_note(s, e);
	s->cut = r && r->cut;
	s->ended = s->cut || e->kind == SMTP_SERVER_EV_CLOSE;
	if (e->kind == SMTP_SERVER_EV_BODY || e->kind == SMTP_SERVER_EV_RESET || s->ended)
		return;
	if (r && r->hold)
		s->held = true;
	else if (r)
		up_answer(s, e->kind, r->code, r->enhanced, r->text);
	else
		up_say_yes(s, e->kind);
}

static inline void up_events(struct up_session *s)
{
	struct smtp_server_event e;

	while (!s->ended && smtp_server_next(s->smtp, &e))
		up_handle(s, &e);
}

static inline void up_pump(struct up_session *s)
{
	bool again = true;

	if (s->pumping)
		return;
	s->pumping = true;
	up_events(s);
	while (again && !s->ended) {
		struct sv input = io_stream_input(s->stream);
		size_t used = input.len ? smtp_server_feed(s->smtp, io_now(s->u->loop), input) : 0;

		up_events(s);
		io_stream_consume(s->stream, used);
		again = used > 0;
	}
	if (!s->cut) {
		struct sv out = smtp_server_output(s->smtp);

		must(io_stream_write(s->stream, out) == 0);
		smtp_server_sent(s->smtp, out.len);
	}
	s->pumping = false;
	if (s->ended)
		up_session_free(s);
}

static inline void up_on_stream(void *arg, enum io_stream_event event)
{
	struct up_session *s = arg;

	if (event == IO_STREAM_FAILED) {
		s->cut = true;
		up_session_free(s);
		return;
	}
	if (event == IO_STREAM_EOF)
		smtp_server_eof(s->smtp);
	up_pump(s);
}

static inline void up_on_accept(void *arg, int fd)
{
	struct upstream *u = arg;
	struct up_session *s = xcalloc(1, sizeof(*s));
	const struct smtp_server_options options = { .hostname = SV("mx.outlook.example"),
		.message_bytes_max = UP_BODY_MAX,
		.rcpt_max = 1000,
		.bad_command_max = 10,
		.idle_us_max = US_PER_HOUR,
		.data_us_max = US_PER_HOUR,
		.slow_us_max = US_PER_HOUR,
		.session_us_max = US_PER_HOUR,
		.auth = SMTP_SERVER_AUTH_PLAIN | SMTP_SERVER_AUTH_LOGIN | SMTP_SERVER_AUTH_XOAUTH2,
		.pipelining = true,
		.eightbitmime = true,
		.smtputf8 = true };
	unsigned count = 0;

	s->u = u;
	buf_init(&s->mail.body, UP_BODY_MAX);
	s->smtp = smtp_server_new(&options, io_now(u->loop));
	s->stream = io_stream_accepted(u->loop, fd, up_on_stream, s);
	list_append(&u->sessions, &s->node);
	list_each (at, &u->sessions)
		count++;
	if (u->most_sessions < count)
		u->most_sessions = count;
	up_pump(s);
}

/* ---- for the tests ---- */

static inline void up_open(struct upstream *u, struct io_loop *loop)
{
	struct io_address any;
	struct err err = { 0 };

	u->loop = loop;
	list_init(&u->sessions);
	must(io_address_parse(SV("127.0.0.1:0"), &any) == 0);
	u->listener = io_listener_open(loop, &any, 0, up_on_accept, u, &err);
	must(u->listener != NULL);
}

static inline void up_close(struct upstream *u)
{
	io_listener_close(u->listener);
	list_each_safe (at, after, &u->sessions) {
		struct up_session *s = list_entry(at, struct up_session, node);

		s->cut = true;
		up_session_free(s);
	}
}

static inline void up_forget_mails(struct upstream *u)
{
	for (size_t i = 0; i < u->mail_count; i++)
		buf_deinit(&u->mails[i].body);
	u->mail_count = 0;
}

static inline bool up_is_holding(const struct upstream *u)
{
	list_each (at, &u->sessions) {
		if (list_entry(at, struct up_session, node)->held)
			return true;
	}
	return false;
}

/* Says yes to what was held. */
static inline void up_release(struct upstream *u, enum smtp_server_event_kind kind)
{
	list_each_safe (at, after, &u->sessions) {
		struct up_session *s = list_entry(at, struct up_session, node);

		if (!s->held)
			continue;
		s->held = false;
		up_say_yes(s, kind);
		up_pump(s);
	}
}
