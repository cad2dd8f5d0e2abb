/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "smtp/client.h"

#include "base/attr.h"
#include "base/limits.h"
#include "base/must.h"

#include "cmocka_all.h"

/*
 * Scenarios: a server of a few lines, an owner that does what the header says, and the words and events
 * that must come of it. Each is then run again with its replies cut into pieces of every size, with the
 * line lost at every byte, and with silence from every byte on.
 */
struct answer {
	/* How the client's line begins; "BODY": the first line of a body; "EMPTY": an empty line. */
	const char *command;
	const char *reply; /* "!" in front: and then the server hangs up. Empty: nothing is said */
};

struct scenario {
	const char *name;
	enum smtp_client_tls tls;
	const char *login;
	const char *token; /* instead of the password */
	bool pipelining_off;
	const char *offers;     /* lines of EHLO after the first, apart by '\n' */
	const char *tls_offers; /* after STARTTLS */
	struct answer answers[6];
	const struct smtp_client_message *messages[3];
	const char *body;
	const char *said, *events;
};

struct scenario_table {
	const struct scenario *rows;
	size_t count;
};

/* ---- the server ---- */

struct world {
	const struct scenario *s;
	struct smtp_client *c;
	struct secret *password, *token;
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
		{ "AUTH XOAUTH2 ", "235 2.7.0 Authentication successful" },
		{ "AUTH OAUTHBEARER ", "235 2.7.0 Authentication successful" },
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
		if (sv_starts(line.len ? line : SV("EMPTY"), sv_from(w->s->answers[i].command)))
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
	w->token = s->token ? secret_new(sv_from(s->token)) : NULL;
	options.token = w->token;
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
	secret_free(w->token);
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
	const struct scenario_table *table = *state;

	for (size_t i = 0; i < table->count; i++) {
		struct world w;

		world_init(&w, &table->rows[i], SIZE_MAX, SIZE_MAX);
		world_run(&w);
		assert_text(
			&table->rows[i], "said", 0, buf_sv(&w.said), sv_from(table->rows[i].said));
		assert_text(&table->rows[i],
			"events",
			0,
			buf_sv(&w.events),
			sv_from(table->rows[i].events));
		assert_int_equal(w.endings, 1);
		world_deinit(&w);
	}
}

static void split_replies_give_the_same_events(void **state)
{
	const struct scenario_table *table = *state;

	for (size_t i = 0; i < table->count; i++) {
		for (size_t piece = 1; piece < 80; piece++) {
			struct world w;

			world_init(&w, &table->rows[i], piece, SIZE_MAX);
			world_run(&w);
			assert_text(&table->rows[i],
				"events",
				piece,
				buf_sv(&w.events),
				sv_from(table->rows[i].events));
			world_deinit(&w);
		}
	}
}

/* What the scenario says up to byte `stop_at`; false when it was over before. */
static bool run_until(struct world *w, const struct scenario *s, size_t stop_at)
{
	world_init(w, s, SIZE_MAX, stop_at);
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
	const struct scenario_table *table = *state;

	for (size_t i = 0; i < table->count; i++) {
		bool more = true;

		for (size_t at = 0; more; at++) {
			struct world w;

			more = run_until(&w, &table->rows[i], at);
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
	const struct scenario_table *table = *state;

	for (size_t i = 0; i < table->count; i++) {
		bool more = true;

		for (size_t at = 0; more; at++) {
			struct world w;
			uint64_t us;

			more = run_until(&w, &table->rows[i], at);
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

#define SCENARIO_TESTS(table)                                                         \
	cmocka_unit_test_prestate(scenarios_go_as_written, table),                    \
		cmocka_unit_test_prestate(split_replies_give_the_same_events, table), \
		cmocka_unit_test_prestate(a_line_cut_at_any_byte_ends_once, table),   \
		cmocka_unit_test_prestate(silence_from_any_byte_on_ends_in_time, table)
