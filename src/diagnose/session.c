/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "diagnose/diagnose_priv.h"
#include "provider/defaults.h"
#include "provider/public_ca.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * A session with the daemon's machine, while a second reader of replies looks on: the greeting and the EHLO
 * lists are for people, and the machine keeps none of them.
 */
struct diagnose_session {
	struct diagnose *d;
	struct io_stream *stream;
	struct smtp_client *client;
	struct smtp_reply_parser tap;
	bool sign_in, is_ready, is_over, by_hand, has_greeting, asked_tls, is_boxed;
	const char *step; /* what is waited for */
	/* by hand */
	struct smtp_reply reply;
	struct buf reply_text;
	bool has_reply;
	/* a message */
	struct sv body;
	bool has_result;
	struct verdict *v;
	struct sv *v_reply;
};

/* ---- what the server says of itself ---- */

static bool is_starred(struct sv text)
{
	return sv_find(text, SV("*****")) >= 0;
}

static bool is_exchange_door(const struct conf_lane *l)
{
	return provider_defaults(l->provider)->is_microsoft;
}

static void look_at_greeting(struct diagnose_session *s, const struct smtp_reply *r)
{
	struct diagnose *d = s->d;

	s->has_greeting = true;
	s->step = "EHLO";
	s->is_boxed = is_starred(r->text);
	/* What is no 220 the machine fails for. */
	if (s->sign_in || r->code != 220)
		return;
	if (s->is_boxed)
		diagnose_say(d,
			"greeting",
			DIAGNOSE_WARN,
			CAUSE_MIDDLE_BOX,
			"it was overwritten with stars on the way: a firewall inspects SMTP here");
	else if (is_exchange_door(d->lane) && sv_find_nocase(r->text, SV("Microsoft")) < 0)
		diagnose_say(d,
			"greeting",
			DIAGNOSE_WARN,
			CAUSE_NOT_MICROSOFT,
			"this is not Microsoft 365: %.*s",
			SV_ARG(diagnose_quote(d, r->text)));
	else
		diagnose_say(d,
			"greeting",
			DIAGNOSE_OK,
			CAUSE_NONE,
			"%.*s",
			SV_ARG(diagnose_quote(d, r->text)));
}

static void look_at_offers(struct diagnose_session *s, const struct smtp_reply *r)
{
	struct diagnose *d = s->d;
	char list[600] = "";
	struct sv rest = r->text, line;
	size_t at = 0;

	(void)sv_cut_char(&rest, '\n', &line);
	while (rest.len && at < sizeof(list) - 1) {
		(void)sv_cut_char(&rest, '\n', &line);
		at += (size_t)snprintf(
			list + at, sizeof(list) - at, "%s%.*s", at ? ", " : "", SV_ARG(line));
	}
	s->is_boxed |= sv_find(r->text, SV("XXXX")) >= 0;
	if (s->sign_in)
		return;
	diagnose_say(d,
		io_stream_is_tls(s->stream) ? "EHLO within TLS" : "EHLO",
		DIAGNOSE_OK,
		CAUSE_NONE,
		"%.*s",
		SV_ARG(diagnose_quote(d, sv_from(list))));
}

static void look(struct diagnose_session *s, const struct smtp_reply *r)
{
	if (!s->has_greeting)
		look_at_greeting(s, r);
	else if (!s->is_ready && r->code == 250 && strcmp(s->step, "EHLO") == 0) {
		look_at_offers(s, r);
		s->step =
			s->d->lane->tls == SMTP_CLIENT_TLS_REQUIRED && !io_stream_is_tls(s->stream)
				? "STARTTLS"
				: "sign-in";
	}
}

/* ---- TLS ---- */

static void say_secured(struct diagnose_session *s)
{
	struct diagnose *d = s->d;
	struct io_certificate c;
	char end[WALL_RFC3339_MAX];

	if (s->sign_in)
		return;
	if (!io_stream_certificate(s->stream, &c)) {
		diagnose_say(d,
			"TLS",
			DIAGNOSE_OK,
			CAUSE_NONE,
			"%.*s",
			SV_ARG(io_stream_tls_text(s->stream)));
		return;
	}
	diagnose_say(d,
		"TLS",
		DIAGNOSE_OK,
		CAUSE_NONE,
		"%.*s; certificate of %s by %s, until %.10s",
		SV_ARG(io_stream_tls_text(s->stream)),
		c.subject,
		c.issuer,
		wall_rfc3339(c.not_after, end));
}

static void say_issuer(struct diagnose_session *s, const struct io_certificate *c)
{
	struct diagnose *d = s->d;
	bool public = provider_is_public_ca(sv_from(c->issuer));
	bool intercepted =
		!public && c->fits_name && !provider_defaults(d->lane->provider)->is_any_server;

	diagnose_say(d,
		"TLS",
		DIAGNOSE_FAIL,
		public        ? CAUSE_CA_BUNDLE_OLD
		: intercepted ? CAUSE_TLS_INTERCEPTED
			      : CAUSE_CERTIFICATE_UNTRUSTED,
		"%s: the certificate of %s is signed by '%s', which this machine does not trust",
		public        ? "the list of CAs on this machine lacks a public one"
		: intercepted ? "TLS is intercepted on the way"
			      : "nobody vouches for the server",
		c->subject,
		c->issuer);
}

static void say_certificate(struct diagnose_session *s, const struct io_certificate *c)
{
	struct diagnose *d = s->d;
	char start[WALL_RFC3339_MAX], end[WALL_RFC3339_MAX];

	(void)wall_rfc3339(c->not_before, start);
	(void)wall_rfc3339(c->not_after, end);
	switch (c->trouble) {
	case IO_CERTIFICATE_EXPIRED:
		diagnose_say(d,
			"TLS",
			DIAGNOSE_FAIL,
			CAUSE_CERTIFICATE_EXPIRED,
			"the certificate of %s ended on %.10s by the clock of this machine",
			c->subject,
			end);
		return;
	case IO_CERTIFICATE_EARLY:
		diagnose_say(d,
			"TLS",
			DIAGNOSE_FAIL,
			CAUSE_CLOCK_OFF,
			"the certificate of %s begins on %.16s: the clock of this machine is wrong",
			c->subject,
			start);
		return;
	case IO_CERTIFICATE_NAME:
		diagnose_say(d,
			"TLS",
			DIAGNOSE_FAIL,
			CAUSE_CERTIFICATE_NAME,
			"the certificate is for %s, not for %.*s",
			c->subject,
			SV_ARG(d->host));
		return;
	case IO_CERTIFICATE_ISSUER:
		say_issuer(s, c);
		return;
	case IO_CERTIFICATE_FINE:
	case IO_CERTIFICATE_OTHER:
		break;
	}
	diagnose_say(
		d, "TLS", DIAGNOSE_FAIL, CAUSE_TLS_FAILED, "%s", io_stream_error(s->stream)->text);
}

static void say_tls_failed(struct diagnose_session *s)
{
	const struct err *err = io_stream_error(s->stream);
	struct sv words = sv_from(err->text);
	struct io_certificate c;

	if (sv_find_nocase(words, SV("certificate required")) >= 0 ||
		sv_find_nocase(words, SV("alert bad certificate")) >= 0 ||
		sv_find_nocase(words, SV("alert unknown ca")) >= 0)
		diagnose_say(s->d,
			"TLS",
			DIAGNOSE_FAIL,
			CAUSE_CLIENT_CERTIFICATE_REFUSED,
			"the server does not accept the certificate that is shown to it: %s",
			err->text);
	else if (io_stream_certificate(s->stream, &c) && c.trouble != IO_CERTIFICATE_FINE)
		say_certificate(s, &c);
	else if (sv_find_nocase(words, SV("wrong version number")) >= 0)
		diagnose_say(s->d,
			"TLS",
			DIAGNOSE_FAIL,
			CAUSE_NOT_TLS,
			"the other side does not speak TLS at once on port %u: this port wants "
			"STARTTLS",
			(unsigned)s->d->lane->port);
	else if (sv_find_nocase(words, SV("protocol")) >= 0 ||
		 sv_find_nocase(words, SV("handshake failure")) >= 0)
		diagnose_say(s->d,
			"TLS",
			DIAGNOSE_FAIL,
			CAUSE_SERVER_TLS_TOO_OLD,
			"both sides found no common TLS (1.2 or newer is needed): %s",
			err->text);
	else
		diagnose_say(s->d, "TLS", DIAGNOSE_FAIL, CAUSE_TLS_FAILED, "%s", err->text);
}

/* ---- how it failed ---- */

static const char *step_of(enum smtp_client_stage stage)
{
	switch (stage) {
	case SMTP_CLIENT_STAGE_CONNECT:
	case SMTP_CLIENT_STAGE_GREETING:
		return "greeting";
	case SMTP_CLIENT_STAGE_EHLO:
		return "EHLO";
	case SMTP_CLIENT_STAGE_STARTTLS:
		return "STARTTLS";
	case SMTP_CLIENT_STAGE_AUTH:
		return "sign-in";
	case SMTP_CLIENT_STAGE_MAIL:
	case SMTP_CLIENT_STAGE_RCPT:
	case SMTP_CLIENT_STAGE_DATA:
	case SMTP_CLIENT_STAGE_BODY:
	case SMTP_CLIENT_STAGE_DOT:
	case SMTP_CLIENT_STAGE_IDLE:
	case SMTP_CLIENT_STAGE_QUIT:
	case SMTP_CLIENT_STAGE_COUNT:
		break;
	}
	return "message";
}

static void say_no_starttls(struct diagnose_session *s)
{
	bool on_the_way = is_exchange_door(s->d->lane);

	diagnose_say(s->d,
		"STARTTLS",
		DIAGNOSE_FAIL,
		s->is_boxed  ? CAUSE_MIDDLE_BOX
		: on_the_way ? CAUSE_STARTTLS_STRIPPED
			     : CAUSE_NO_STARTTLS,
		"%s",
		s->is_boxed
			? "it is not offered, and greeting or EHLO were overwritten: a firewall "
			  "inspects SMTP and takes STARTTLS away"
		: on_the_way
			? "it is not offered, although Microsoft 365 always does: something on the "
			  "way takes it away"
			: "the server does not offer it");
}

/* What the reply means here, where more is known than the reply says. */
static void refine(struct diagnose *d, struct verdict *v)
{
	bool wrong = v->cause == CAUSE_WRONG_CREDENTIALS;

	if (v->cause == CAUSE_TOKEN_REFUSED && d->has_claims && d->claims_fit) {
		v->summary = "Exchange refuses the token and does not say why. What the token says "
			     "of itself is right (audience, permission, tenant, app), so it is "
			     "something that Exchange knows: what stands below, in that order";
	} else if (v->cause == CAUSE_TOKEN_REFUSED) {
		v->summary = "Exchange refuses the token and does not say why: see what stands "
			     "below, in that order";
	} else if (wrong && d->is_padded) {
		v->cause = CAUSE_PASTED_SPACES;
		v->summary =
			"The password is refused, and it begins or ends with a space or a line "
			"end";
	}
}

static void say_refused(struct diagnose_session *s, const struct smtp_client_event *e)
{
	struct diagnose *d = s->d;
	const struct provider_answer answer = { .provider = d->lane->provider,
		.stage = e->stage,
		.reply = &e->reply,
		.token = d->token != NULL };
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LIMIT_REPLY + 64);
	struct verdict v =
		e->failure == SMTP_CLIENT_FAIL_REPLY
			? provider_judge(&answer)
			: provider_judge_failure(d->lane->provider, e->stage, e->failure);

	if (e->failure == SMTP_CLIENT_FAIL_NO_STARTTLS) {
		say_no_starttls(s);
		return;
	}
	if (e->stage == SMTP_CLIENT_STAGE_AUTH)
		refine(d, &v);
	if (e->reply.code)
		must(smtp_reply_line(&e->reply, &line) == 0);
	diagnose_say_verdict(d, step_of(e->stage), &v, buf_sv(&line));
}

/* Ports on which nobody begins with TLS: there it is the server, or what is in between. */
enum cause diagnose_silence_cause(uint16_t port)
{
	return port == 25 || port == 587 || port == 2525 ? CAUSE_SLOW_GREETING : CAUSE_NO_GREETING;
}

static void say_silence(struct diagnose_session *s)
{
	struct diagnose *d = s->d;

	if (!s->has_greeting)
		diagnose_say(d,
			"greeting",
			DIAGNOSE_FAIL,
			diagnose_silence_cause(d->lane->port),
			"the connection is there, but no greeting comes within 10 seconds");
	else
		diagnose_say(
			d, s->step, DIAGNOSE_FAIL, CAUSE_SILENCE, "no answer within 10 seconds");
}

/* ---- the machine ---- */

static void finish_message(struct diagnose_session *s, const struct smtp_client_event *e)
{
	const struct provider_answer answer = { .provider = s->d->lane->provider,
		.stage = e->stage,
		.reply = &e->reply,
		.token = s->d->token != NULL };
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LIMIT_REPLY + 64);

	if (e->kind == SMTP_CLIENT_EV_RCPT && e->reply.code < 300)
		return;
	*s->v = e->kind == SMTP_CLIENT_EV_FAILED && e->failure != SMTP_CLIENT_FAIL_REPLY
			? provider_judge_failure(s->d->lane->provider, e->stage, e->failure)
			: provider_judge(&answer);
	if (e->reply.code)
		must(smtp_reply_line(&e->reply, &line) == 0);
	*s->v_reply = arena_sv(&s->d->arena, buf_sv(&line));
	s->has_result = true;
}

static void handle(struct diagnose_session *s, const struct smtp_client_event *e)
{
	struct mono_time now = io_now(s->d->loop);

	switch (e->kind) {
	case SMTP_CLIENT_EV_STARTTLS:
		s->asked_tls = true;
		s->step = "TLS";
		smtp_reply_parser_deinit(&s->tap);
		smtp_reply_parser_init(&s->tap);
		io_stream_tls_client(s->stream, s->d->tls, s->d->host);
		return;
	case SMTP_CLIENT_EV_READY:
		s->is_ready = true;
		return;
	case SMTP_CLIENT_EV_BODY:
		smtp_client_body(s->client, now, s->body);
		smtp_client_body_end(s->client, now);
		return;
	case SMTP_CLIENT_EV_RCPT:
	case SMTP_CLIENT_EV_RESULT:
		finish_message(s, e);
		return;
	case SMTP_CLIENT_EV_FAILED:
		if (s->is_ready && s->v)
			finish_message(s, e);
		else if (!s->is_over)
			say_refused(s, e);
		s->is_over = true;
		return;
	case SMTP_CLIENT_EV_CLOSED:
		s->is_over = true;
		return;
	case SMTP_CLIENT_EV_COUNT:
		return;
	}
}

static void pump(struct diagnose_session *s)
{
	struct smtp_client_event e;
	bool more = true;

	while (more && s->client) {
		struct sv out;

		more = false;
		while (smtp_client_next(s->client, &e)) {
			handle(s, &e);
			more = true;
		}
		out = smtp_client_output(s->client);
		if (out.len == 0 || s->is_over)
			continue;
		if (io_stream_write(s->stream, out) != 0)
			smtp_client_eof(s->client);
		else
			smtp_client_sent(s->client, io_now(s->d->loop), out.len);
		more = true;
	}
}

static void begin_client(struct diagnose_session *s)
{
	const struct conf_lane *l = s->d->lane;
	const struct smtp_client_options options = {
		.hostname = conf_general(s->d->o.conf)->hostname,
		.tls = l->tls,
		.login = s->sign_in ? l->login : SV(""),
		.password = s->sign_in ? s->d->password : NULL,
		.token = s->sign_in ? s->d->token : NULL,
		.transcript = &s->d->transcript,
	};

	s->client = smtp_client_new(&options);
	smtp_client_connected(s->client, io_now(s->d->loop));
}

static void read_input(struct diagnose_session *s)
{
	struct sv input = io_stream_input(s->stream), rest = input;
	struct smtp_reply r;

	/* First, so that what was said is there when its step is told. */
	if (s->client && !s->by_hand)
		smtp_client_feed(s->client, io_now(s->d->loop), input);
	while (smtp_reply_parse(&s->tap, &rest, &r) == 1) {
		if (s->by_hand && !s->has_reply) {
			s->reply = r;
			buf_reset(&s->reply_text);
			must(buf_append(&s->reply_text, r.text) == 0);
			s->reply.text = buf_sv(&s->reply_text);
			smtp_transcript_add_reply(&s->d->transcript, io_now(s->d->loop), &s->reply);
			s->has_reply = true;
		} else if (!s->by_hand) {
			look(s, &r);
		}
	}
	io_stream_consume(s->stream, input.len);
}

static void broken(struct diagnose_session *s)
{
	bool in_tls = s->step && strcmp(s->step, "TLS") == 0;

	if (!s->is_over && (io_stream_error(s->stream)->code == RC_TLS || in_tls)) {
		s->is_over = true;
		say_tls_failed(s);
	} else if (s->client && !s->by_hand) {
		smtp_client_eof(s->client);
	} else {
		s->is_over = true;
	}
}

static void on_stream(void *arg, enum io_stream_event event)
{
	struct diagnose_session *s = arg;

	switch (event) {
	case IO_STREAM_SECURED:
		say_secured(s);
		s->step = s->client ? "EHLO" : "greeting";
		if (s->client)
			smtp_client_tls_started(s->client, io_now(s->d->loop));
		else
			begin_client(s);
		break;
	case IO_STREAM_INPUT:
		read_input(s);
		break;
	case IO_STREAM_EOF:
		if (s->client && !s->by_hand)
			smtp_client_eof(s->client);
		else
			s->is_over = true;
		break;
	case IO_STREAM_FAILED:
		broken(s);
		break;
	case IO_STREAM_CONNECTED:
	case IO_STREAM_DRAINED:
		return;
	}
	pump(s);
	diagnose_done(s->d);
}

/* ---- what door.c asks for ---- */

struct diagnose_session *diagnose_session_open(struct diagnose *d, bool sign_in)
{
	struct diagnose_session *s = xcalloc(1, sizeof(*s));

	s->d = d;
	s->sign_in = sign_in;
	s->stream = TAKE(d->stream);
	s->step = "greeting";
	smtp_reply_parser_init(&s->tap);
	buf_init(&s->reply_text, LIMIT_REPLY);
	io_stream_set_owner(s->stream, on_stream, s);
	if (d->lane->tls == SMTP_CLIENT_TLS_IMPLICIT) {
		s->step = "TLS";
		io_stream_tls_client(s->stream, d->tls, d->host);
	} else {
		begin_client(s);
	}
	io_stream_resume(s->stream);
	while (!s->is_ready && !s->is_over) {
		diagnose_begin(d, sign_in ? "sign-in" : s->step);
		if (diagnose_wait(d))
			continue;
		say_silence(s);
		s->is_over = true;
	}
	return s;
}

bool diagnose_session_is_ready(const struct diagnose_session *s)
{
	return s->is_ready && !s->is_over;
}

bool diagnose_session_ask(
	struct diagnose_session *s, const char *line, const struct smtp_reply **out_reply)
{
	if (s->is_over || io_stream_write(s->stream, sv_from(line)) != 0)
		return false;
	smtp_transcript_add(&s->d->transcript,
		io_now(s->d->loop),
		SMTP_TRANSCRIPT_OURS,
		sv_head(sv_from(line), strlen(line) - 2));
	s->by_hand = true;
	s->has_reply = false;
	while (!s->has_reply && !s->is_over) {
		s->d->is_done = s->d->is_late = false;
		if (!diagnose_wait(s->d))
			break;
	}
	s->by_hand = false;
	*out_reply = &s->reply;
	return s->has_reply;
}

bool diagnose_session_send(struct diagnose_session *s, const struct smtp_client_message *m,
	struct sv body, struct verdict *out_v, struct sv *out_reply)
{
	s->body = body;
	s->v = out_v;
	s->v_reply = out_reply;
	s->has_result = false;
	s->is_ready = true;
	smtp_client_send(s->client, io_now(s->d->loop), m);
	pump(s);
	while (!s->has_result && !s->is_over) {
		diagnose_begin(s->d, "message");
		if (!diagnose_wait(s->d))
			break;
	}
	s->v = NULL;
	return s->has_result;
}

void diagnose_session_close(struct diagnose_session *s)
{
	const struct smtp_reply *r;

	if (diagnose_session_is_ready(s))
		(void)diagnose_session_ask(s, "QUIT\r\n", &r);
	io_stream_free(s->stream);
	smtp_client_free(s->client);
	smtp_reply_parser_deinit(&s->tap);
	buf_deinit(&s->reply_text);
	free(s);
}
