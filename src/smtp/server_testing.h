/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/must.h"
#include "mail/dsn.h"
#include "smtp/scram.h"
#include "smtp/server.h"

#include "cmocka_all.h"

/*
 * The owner of a server session, for tests: it answers by simple rules, writes every event down in
 * words, and checks the order that server.h promises. Input is given in copies of exactly its size,
 * freed after the events were taken, so that a view kept too long is seen by the sanitizer.
 */
struct owner {
	struct smtp_server *s;
	struct mono_time now;
	struct buf log;                       /* events, one a line */
	struct buf said;                      /* all output */
	struct buf body;                      /* of the message under way */
	enum smtp_server_event_kind held;     /* this event is taken, and not answered */
	uint16_t codes[SMTP_SERVER_EV_COUNT]; /* 0: what the rules say */
	struct smtp_scram_verifier verifier;
	bool holding, keeps_output;
	bool open, in_body; /* MAIL was accepted; DATA was */
	unsigned closes, mails;
	char user[64]; /* of the last AUTH event */
};

static inline struct smtp_server_options plain_options(void)
{
	return (struct smtp_server_options){ .hostname = SV("mx.test"),
		.message_bytes_max = 1000,
		.rcpt_max = 3,
		.bad_command_max = 5,
		.idle_us_max = 300 * US_PER_S,
		.data_us_max = 180 * US_PER_S,
		.slow_us_max = 60 * US_PER_S,
		.session_us_max = US_PER_HOUR,
		.auth = SMTP_SERVER_AUTH_PLAIN | SMTP_SERVER_AUTH_LOGIN |
			SMTP_SERVER_AUTH_SCRAM_SHA_256,
		.auth_needs_tls = true,
		.starttls = true,
		.strict = true,
		.pipelining = true,
		.eightbitmime = true,
		.chunking = true,
		.smtputf8 = true,
		.dsn = true,
		.nonce_key = { 7 } };
}

static inline void owner_start(struct owner *o, const struct smtp_server_options *options)
{
	*o = (struct owner){ .now = { 1000 * US_PER_S }, .held = SMTP_SERVER_EV_COUNT };
	buf_init(&o->log, 1 << 22);
	buf_init(&o->said, 1 << 22);
	buf_init(&o->body, 1 << 22);
	o->s = smtp_server_new(options, o->now);
}

static inline void owner_end(struct owner *o)
{
	smtp_server_free(o->s);
	buf_deinit(&o->log);
	buf_deinit(&o->said);
	buf_deinit(&o->body);
}

static inline void note(struct owner *o, const char *text)
{
	must(buf_printf(&o->log, "%s\n", text) == 0);
}

static inline void say(struct owner *o, enum smtp_server_event_kind kind, uint16_t code,
	const char *enhanced, const char *text)
{
	if (kind == o->held) {
		o->holding = true;
		return;
	}
	if (o->codes[kind] && o->codes[kind] != code) {
		code = o->codes[kind];
		enhanced = code < 500 ? "4.3.0" : "5.3.0";
		text = "As told";
	}
	if (kind == SMTP_SERVER_EV_MAIL)
		o->open = code < 400;
	if (kind == SMTP_SERVER_EV_DATA)
		o->in_body = code == 354;
	if (kind == SMTP_SERVER_EV_END)
		o->open = false;
	if (kind == SMTP_SERVER_EV_AUTH_PASSWORD || kind == SMTP_SERVER_EV_AUTH_TOKEN ||
		kind == SMTP_SERVER_EV_AUTH_DONE)
		smtp_server_answer_auth(o->s, o->now, code, enhanced, sv_from(text));
	else
		smtp_server_answer(o->s, o->now, code, enhanced, sv_from(text));
}

static inline void on_auth(struct owner *o, const struct smtp_server_event *e)
{
	static const char *const names[SMTP_SERVER_EV_COUNT] = {
		[SMTP_SERVER_EV_AUTH_PASSWORD] = "PASSWORD",
		[SMTP_SERVER_EV_AUTH_TOKEN] = "TOKEN",
		[SMTP_SERVER_EV_AUTH_SCRAM] = "SCRAM",
		[SMTP_SERVER_EV_AUTH_DONE] = "DONE",
	};
	bool ok = e->auth_ok || sv_eq(e->password, SV("secret"));

	must(buf_printf(&o->log,
		     "%s user=%.*s authzid=%.*s password=%.*s ok=%d\n",
		     names[e->kind],
		     SV_ARG(e->user),
		     SV_ARG(e->authzid),
		     SV_ARG(e->password),
		     e->auth_ok) == 0);
	(void)snprintf(o->user, sizeof(o->user), "%.*s", SV_ARG(e->user));
	if (e->kind != SMTP_SERVER_EV_AUTH_SCRAM)
		say(o, e->kind, ok ? 235 : 535, ok ? "2.7.0" : "5.7.8", ok ? "Welcome" : "Wrong");
	else if (o->held == SMTP_SERVER_EV_AUTH_SCRAM)
		o->holding = true;
	else
		smtp_server_answer_scram(o->s, o->now, &o->verifier);
}

static inline void note_params(struct owner *o, const struct smtp_server_event *e)
{
	int rc = 0;

	if (e->size)
		rc |= buf_printf(&o->log, " size=%llu", (unsigned long long)e->size);
	if (e->smtputf8 || e->body_8bit)
		rc |= buf_printf(
			&o->log, "%s%s", e->smtputf8 ? " utf8" : "", e->body_8bit ? " 8bit" : "");
	if (e->dsn_ret)
		rc |= buf_printf(&o->log, " ret=%d", e->dsn_ret);
	if (e->envid.len)
		rc |= buf_printf(&o->log, " envid=%.*s", SV_ARG(e->envid));
	if (e->dsn_notify)
		rc |= buf_printf(&o->log, " notify=%d", e->dsn_notify);
	if (e->orcpt.len)
		rc |= buf_printf(&o->log, " orcpt=%.*s", SV_ARG(e->orcpt));
	must(rc == 0 && buf_append_char(&o->log, '\n') == 0);
}

static inline void on_path(struct owner *o, const struct smtp_server_event *e)
{
	bool mail = e->kind == SMTP_SERVER_EV_MAIL;
	bool no = sv_starts(e->address, SV("no@"));

	o->mails += mail;
	must(buf_printf(&o->log, "%s <%.*s>", mail ? "MAIL" : "RCPT", SV_ARG(e->address)) == 0);
	note_params(o, e);
	if (mail)
		say(o, e->kind, no ? 550 : 250, no ? "5.7.1" : "2.1.0", no ? "No" : "Ok");
	else
		say(o, e->kind, no ? 550 : 250, no ? "5.1.1" : "2.1.5", no ? "No" : "Ok");
}

static inline void on_body(struct owner *o, const struct smtp_server_event *e)
{
	assert_true(o->open);
	assert_true(o->in_body);
	if (e->kind == SMTP_SERVER_EV_BODY) {
		assert_true(e->bytes.len > 0);
		must(buf_append(&o->body, e->bytes) == 0);
		return;
	}
	o->in_body = false;
	if (e->kind == SMTP_SERVER_EV_RESET) {
		note(o, "RESET");
	} else {
		must(buf_append(&o->log, SV("END ")) == 0);
		must(buf_append(&o->log, buf_sv(&o->body)) == 0);
		must(buf_append_char(&o->log, '\n') == 0);
	}
	buf_reset(&o->body);
}

static inline void on_event(struct owner *o, const struct smtp_server_event *e)
{
	assert_int_equal(o->closes, 0);
	switch (e->kind) {
	case SMTP_SERVER_EV_GREET:
		note(o, "GREET");
		say(o, e->kind, 220, NULL, "");
		return;
	case SMTP_SERVER_EV_STARTTLS:
		note(o, "STARTTLS");
		return;
	case SMTP_SERVER_EV_AUTH_PASSWORD:
	case SMTP_SERVER_EV_AUTH_TOKEN:
	case SMTP_SERVER_EV_AUTH_SCRAM:
	case SMTP_SERVER_EV_AUTH_DONE:
		on_auth(o, e);
		return;
	case SMTP_SERVER_EV_MAIL:
		assert_false(o->open);
		on_path(o, e);
		return;
	case SMTP_SERVER_EV_RCPT:
		assert_true(o->open);
		on_path(o, e);
		return;
	case SMTP_SERVER_EV_DATA:
		assert_true(o->open);
		note(o, "DATA");
		say(o, e->kind, 354, NULL, "Go");
		return;
	case SMTP_SERVER_EV_BODY:
		on_body(o, e);
		return;
	case SMTP_SERVER_EV_END:
		on_body(o, e);
		say(o, e->kind, 250, "2.0.0", "Queued");
		return;
	case SMTP_SERVER_EV_RESET:
		assert_true(o->open);
		o->in_body = true;
		on_body(o, e);
		o->open = false;
		return;
	case SMTP_SERVER_EV_CLOSE:
		assert_false(o->open);
		must(buf_printf(&o->log, "CLOSE %.*s\n", SV_ARG(e->reason)) == 0);
		o->closes++;
		return;
	case SMTP_SERVER_EV_COUNT:
		break;
	}
	fail();
}

/* Takes all events and all output. */
static inline void owner_run(struct owner *o)
{
	struct smtp_server_event e;
	struct sv out;

	while (smtp_server_next(o->s, &e))
		on_event(o, &e);
	out = smtp_server_output(o->s);
	if (o->keeps_output)
		return;
	must(buf_append(&o->said, out) == 0);
	smtp_server_sent(o->s, out.len);
}

/* Gives `bytes` in one piece, again and again until nothing more is consumed. Returns the consumed. */
static inline size_t owner_give(struct owner *o, struct sv bytes)
{
	size_t used = 0, step = 1;

	owner_run(o);
	while (used < bytes.len && step) {
		size_t left = bytes.len - used;
		char *copy = xmalloc(left);

		memcpy(copy, bytes.ptr + used, left);
		step = smtp_server_feed(o->s, o->now, sv_make(copy, left));
		assert_true(step <= left);
		used += step;
		owner_run(o);
		free(copy);
	}
	return used;
}

static inline void owner_say(struct owner *o, const char *text)
{
	(void)owner_give(o, sv_from(text));
}

/* What was said since the last call, and the same for the events. */
static inline void expect(struct owner *o, const char *where, const char *said, const char *log)
{
	if (!sv_eq(buf_sv(&o->said), sv_from(said)) || !sv_eq(buf_sv(&o->log), sv_from(log)))
		fail_msg("%s\n-- said:\n%.*s-- expected:\n%s-- events:\n%.*s-- expected:\n%s",
			where,
			SV_ARG(buf_sv(&o->said)),
			said,
			SV_ARG(buf_sv(&o->log)),
			log);
	buf_reset(&o->said);
	buf_reset(&o->log);
}

/* Only how the output begins, and the events; NULL: any. */
static inline void expect_reply(
	struct owner *o, const char *where, const char *start, const char *log)
{
	if (!sv_starts(buf_sv(&o->said), sv_from(start)) ||
		(log && !sv_eq(buf_sv(&o->log), sv_from(log))))
		fail_msg("%s\n-- said:\n%.*s-- expected:\n%s...\n-- events:\n%.*s-- expected:\n%s",
			where,
			SV_ARG(buf_sv(&o->said)),
			start,
			SV_ARG(buf_sv(&o->log)),
			log ? log : "any\n");
	buf_reset(&o->said);
	buf_reset(&o->log);
}

static inline void owner_hello(struct owner *o, const struct smtp_server_options *options)
{
	owner_start(o, options);
	owner_say(o, "EHLO c.test\r\n");
	buf_reset(&o->said);
	buf_reset(&o->log);
}

/* A message that waits for DATA or BDAT. */
static inline void owner_envelope(struct owner *o, const struct smtp_server_options *options)
{
	owner_hello(o, options);
	owner_say(o, "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n");
	buf_reset(&o->said);
	buf_reset(&o->log);
}
