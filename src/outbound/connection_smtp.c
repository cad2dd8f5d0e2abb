/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/dial.h"
#include "outbound/attempt_priv.h"
#include "outbound/session_priv.h"
#include "provider/defaults.h"

#include <stdio.h>
#include <stdlib.h>

/* A session by SMTP: name -> address -> TCP -> (TLS) -> SMTP -> messages, one after the other. */
enum {
	RESOLVE_CONNECT_S = 30
};

static void on_stream(void *arg, enum io_stream_event event);

/* ---- name and address ---- */

static void set_relay(struct connection *c, const struct sockaddr *addr)
{
	char text[IO_ADDRESS_TEXT_MAX];
	struct sv at = sv_from(io_address_text(addr, text)), ip = at;
	ptrdiff_t colon = sv_rfind_char(at, ':');

	if (colon > 0)
		ip = sv_head(at, (size_t)colon);
	if (ip.len && ip.ptr[0] == '[')
		ip = sv_make(ip.ptr + 1, ip.len - 2);
	(void)snprintf(c->relay,
		sizeof(c->relay),
		"%.*s[%.*s]:%u",
		SV_ARG(sv_head(c->host, LIMIT_ADDRESS - 120)),
		SV_ARG(ip),
		(unsigned)c->c->port);
}

static void resolve_host(struct connection *c);

/* This host cannot be reached: the next mail exchanger, if there is one. */
static void next_host(struct connection *c, int rc, const char *why)
{
	char text[600];

	if (c->mx_at + 1 < c->mx_count) {
		c->mx_at++;
		resolve_host(c);
		return;
	}
	(void)snprintf(text, sizeof(text), "%.*s: %s", SV_ARG(c->host), why);
	connection_unreachable(c, rc, text);
}

static void on_dialled(void *arg, struct io_stream *stream, const struct err *err)
{
	struct connection *c = arg;

	c->dial = NULL;
	if (stream) {
		io_stream_free(c->stream);
		c->stream = stream;
		io_stream_set_owner(stream, on_stream, c);
		c->endpoint->family = io_stream_peer_addr(stream)->sa_family;
		set_relay(c, io_stream_peer_addr(stream));
		endpoint_accepted(c);
		on_stream(c, IO_STREAM_CONNECTED);
	} else {
		next_host(c, err->code, err->text);
		connection_pump(c);
	}
}

static void connect_now(struct connection *c)
{
	const struct io_dial_options options = { .source = &c->c->source,
		.first = c->endpoint->family,
		.timeout_us = RESOLVE_CONNECT_S * US_PER_S };

	c->state = CONNECTION_CONNECTING;
	/* If none is reached, the last one tried stands in the history. */
	set_relay(c, &c->addresses[c->address_count - 1].any);
	io_timer_stop(&c->timer);
	c->dial =
		io_dial_start(c->o->loop, c->addresses, c->address_count, &options, on_dialled, c);
}

static void on_tlsa(void *arg, int rc, const struct io_tlsa *records, size_t count)
{
	const struct verdict bogus = cause_verdict(CAUSE_DANE_UNKNOWN);
	struct connection *c = arg;

	c->tlsa_query = NULL;
	if (rc != 0) {
		c->ended = true;
		lane_hold(c->lane, &bogus, c->host, SV(""));
	} else {
		c->tlsa_count = count < IO_TLSA_MAX ? count : IO_TLSA_MAX;
		if (count) {
			c->tlsa = xcalloc(c->tlsa_count, sizeof(*records));
			memcpy(c->tlsa, records, c->tlsa_count * sizeof(*records));
		}
		connect_now(c);
	}
	connection_pump(c);
}

/* Where a CA was named, that one decides. */
static bool wants_dane(const struct connection *c)
{
	const struct provider_defaults *p = provider_defaults(c->c->provider);

	return c->o->dnssec && c->tls && c->c->ca_file.len == 0 &&
	       (p->is_connector || p->is_any_server);
}

static void on_resolved(void *arg, int rc, const struct io_address *addresses, size_t count)
{
	struct connection *c = arg;

	c->resolve = NULL;
	if (rc != 0) {
		next_host(c, rc, rc_text(rc));
	} else {
		c->address_count = count < LIMIT_HOST_ADDRESSES ? count : LIMIT_HOST_ADDRESSES;
		memcpy(c->addresses, addresses, c->address_count * sizeof(*addresses));
		if (wants_dane(c))
			c->tlsa_query =
				io_dnssec_tlsa(c->o->dnssec, c->host, c->c->port, on_tlsa, c);
		else
			connect_now(c);
	}
	connection_pump(c);
}

static void resolve_host(struct connection *c)
{
	c->state = CONNECTION_RESOLVING;
	c->host = c->mx_count ? sv_from(c->mx[c->mx_at].host) : c->c->host;
	free(c->tlsa);
	c->tlsa = NULL;
	c->tlsa_count = 0;
	io_timer_start(&c->timer, mono_add(io_now(c->o->loop), RESOLVE_CONNECT_S * US_PER_S));
	c->resolve = io_resolve_host(c->o->resolver, c->host, c->c->port, on_resolved, c);
}

/*
 * The MX record is not signed, and its names are all that a certificate is held against: whoever forges
 * it would get the mail by a good certificate of his own. So only names that Microsoft alone has count,
 * or those that a CA of one's own vouches for.
 */
static size_t keep_trusted(const struct connection *c, const struct io_mx *mx, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (!c->tls || c->c->ca_file.len || provider_is_exchanger(sv_from(mx[i].host)))
			c->mx[kept++] = mx[i];
	return kept;
}

static void not_trusted(struct connection *c, struct sv host)
{
	const struct verdict v = cause_verdict(CAUSE_EXCHANGER_NOT_MICROSOFT);

	c->ended = true;
	lane_hold(c->lane, &v, host, SV(""));
}

static void on_mx(void *arg, int rc, const struct io_mx *mx, size_t count)
{
	struct connection *c = arg;

	c->resolve = NULL;
	if (rc != 0 || count == 0) {
		next_host(c, rc ? rc : RC_NO_NAME, "its mail exchangers could not be looked up");
	} else {
		c->mx = xcalloc(count, sizeof(*mx));
		c->mx_count = keep_trusted(c, mx, count);
		if (c->mx_count)
			resolve_host(c);
		else
			not_trusted(c, sv_from(mx[0].host));
	}
	connection_pump(c);
}

static void smtp_open(struct connection *c)
{
	if (c->c->mx_of.len == 0) {
		resolve_host(c);
		return;
	}
	c->state = CONNECTION_RESOLVING;
	c->host = c->c->mx_of;
	io_timer_start(&c->timer, mono_add(io_now(c->o->loop), RESOLVE_CONNECT_S * US_PER_S));
	c->resolve = io_resolve_mx(c->o->resolver, c->c->mx_of, on_mx, c);
}

static void begin_session(struct connection *c)
{
	const struct smtp_client_options options = { .hostname = conf_general(c->conf)->hostname,
		.tls = c->c->tls,
		.login = c->c->login,
		.password = c->token ? NULL : c->password,
		.token = c->token,
		.transcript = &c->transcript };

	c->client = smtp_client_new(&options);
	c->state = CONNECTION_SESSION;
	c->connected_at = io_now(c->o->loop);
	smtp_client_connected(c->client, c->connected_at);
}

/* ---- the stream ---- */

static void stream_failed(struct connection *c)
{
	const struct err *err = io_stream_error(c->stream);

	if (c->state == CONNECTION_CONNECTING && !c->client) {
		/* Implicit TLS: another exchanger may do better where it is not the certificate. */
		if (err->code != RC_TLS)
			next_host(c, err->code, err->text);
		else
			connection_unreachable(c, err->code, err->text);
		return;
	}
	/* TLS that does not verify is a matter of the endpoint, not of a broken line. */
	if (err->code == RC_TLS && c->state == CONNECTION_SESSION) {
		connection_unreachable(c, RC_TLS, err->text);
		return;
	}
	smtp_client_eof(c->client);
}

static void secure(struct connection *c)
{
	io_stream_tls_client_dane(c->stream, c->tls, c->host, c->tlsa, c->tlsa_count);
}

static void on_stream(void *arg, enum io_stream_event event)
{
	struct connection *c = arg;
	struct mono_time now = io_now(c->o->loop);

	switch (event) {
	case IO_STREAM_CONNECTED:
		if (c->c->tls == SMTP_CLIENT_TLS_IMPLICIT) {
			io_timer_start(&c->timer, mono_add(now, RESOLVE_CONNECT_S * US_PER_S));
			secure(c);
		} else {
			begin_session(c);
		}
		break;
	case IO_STREAM_SECURED:
		endpoint_heard(c);
		if (c->client)
			smtp_client_tls_started(c->client, now);
		else
			begin_session(c);
		break;
	case IO_STREAM_INPUT:
		endpoint_heard(c);
		if (c->client) {
			struct sv input = io_stream_input(c->stream);

			smtp_client_feed(c->client, now, input);
			io_stream_consume(c->stream, input.len);
		}
		break;
	case IO_STREAM_DRAINED:
		break;
	case IO_STREAM_EOF:
		if (c->client)
			smtp_client_eof(c->client);
		break;
	case IO_STREAM_FAILED:
		stream_failed(c);
		break;
	}
	connection_pump(c);
}

/* ---- the session ---- */

/* A refused sign-in is a matter of the mailbox, and a good sign of the endpoint: it works. */
static enum sched_handshake_end handshake_end(
	const struct smtp_client_event *e, const struct verdict *v)
{
	if (e->failure == SMTP_CLIENT_FAIL_NO_STARTTLS || e->failure == SMTP_CLIENT_FAIL_NO_AUTH)
		return SCHED_HANDSHAKE_LEFT;
	return e->failure == SMTP_CLIENT_FAIL_REPLY && v->scope != VERDICT_SCOPE_ROUTE
		       ? SCHED_HANDSHAKE_LEFT
		       : SCHED_HANDSHAKE_FAILED;
}

/* The session broke before it could carry anything: the lane learns why. */
static void session_refused(struct connection *c, const struct smtp_client_event *e)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LIMIT_REPLY + 64);
	const struct sv hostname = conf_general(c->conf)->hostname;
	const struct provider_answer answer = { .provider = c->c->provider,
		.stage = e->stage,
		.reply = &e->reply,
		.token = c->token != NULL,
		.own = { &hostname, 1 } };
	struct verdict v = e->failure == SMTP_CLIENT_FAIL_REPLY
				   ? provider_judge(&answer)
				   : provider_judge_failure(c->c->provider, e->stage, e->failure);
	const struct err *err = c->stream ? io_stream_error(c->stream) : NULL;
	bool too_many = connection_is_too_many(c, &v);
	struct arena a = { 0 };

	c->ended = true;
	endpoint_end(c, handshake_end(e, &v));
	if (c->state == CONNECTION_QUITTING || too_many)
		return;
	/* An idle connection that the provider closes is nobody's fault. */
	if (e->stage == SMTP_CLIENT_STAGE_IDLE)
		return;
	if (c->token && e->stage == SMTP_CLIENT_STAGE_AUTH &&
		e->failure == SMTP_CLIENT_FAIL_REPLY && connection_token_refused(c, &v))
		return;
	if (e->reply.code)
		must(smtp_reply_line(&e->reply, &line) == 0);
	else
		must(buf_printf(&line,
			     "%s%s%s%s%s",
			     e->failure == SMTP_CLIENT_FAIL_NO_STARTTLS ? "no STARTTLS is offered"
			     : e->failure == SMTP_CLIENT_FAIL_NO_AUTH
				     ? "no way to sign in with what we have is offered"
			     : e->failure == SMTP_CLIENT_FAIL_TIMEOUT ? "timeout"
			     : e->failure == SMTP_CLIENT_FAIL_PROTOCOL
				     ? "the answer is not SMTP or was not due"
				     : "the connection was lost",
			     " while ",
			     smtp_client_stage_text(e->stage),
			     err && err->code ? ": " : "",
			     err && err->code ? err->text : "") == 0);
	lane_hold(c->lane, &v, buf_sv(&line), connection_transcript(c, &a));
	arena_reset(&a);
}

static void handle(struct connection *c, const struct smtp_client_event *e)
{
	/* Until it has begun, the connection is as good as idle. */
	struct delivery *d = c->delivery && c->delivery->begun ? c->delivery : NULL;

	switch (e->kind) {
	case SMTP_CLIENT_EV_STARTTLS:
		secure(c);
		return;
	case SMTP_CLIENT_EV_READY:
		connection_ready(c);
		return;
	case SMTP_CLIENT_EV_CLOSED:
		c->ended = true;
		return;
	case SMTP_CLIENT_EV_FAILED:
		c->ended = true;
		if (d)
			delivery_event(d, e);
		else
			session_refused(c, e);
		return;
	case SMTP_CLIENT_EV_RCPT:
	case SMTP_CLIENT_EV_BODY:
	case SMTP_CLIENT_EV_RESULT:
		if (d)
			delivery_event(d, e);
		return;
	case SMTP_CLIENT_EV_COUNT:
		return;
	}
}

static void send_output(struct connection *c)
{
	struct sv out = smtp_client_output(c->client);

	if (out.len == 0 || c->ended)
		return;
	/* The client holds little, and bodies are given only while there is room. */
	if (io_stream_write(c->stream, out) != 0) {
		c->ended = true;
		smtp_client_eof(c->client);
		return;
	}
	smtp_client_sent(c->client, io_now(c->o->loop), out.len);
}

static void run_events(struct connection *c)
{
	struct smtp_client_event e;
	bool more = c->client != NULL;

	while (more) {
		more = false;
		while (smtp_client_next(c->client, &e)) {
			handle(c, &e);
			more = true;
		}
		if (!c->ended && c->delivery && c->delivery->begun)
			delivery_feed(c->delivery);
		send_output(c);
	}
}

/* Nobody has said what became of the delivery: the machine tells, as for a lost line. */
static void smtp_orphan(struct connection *c)
{
	struct smtp_client_event e;

	if (c->client)
		smtp_client_eof(c->client);
	while (c->delivery && c->client && smtp_client_next(c->client, &e))
		handle(c, &e);
}

/* ---- what connection.c asks of a session ---- */

static void smtp_begin(struct connection *c, struct delivery *d)
{
	const struct smtp_client_message *m = delivery_message(d);

	smtp_client_send(c->client, io_now(c->o->loop), m);
}

static bool smtp_has_room(const struct connection *c)
{
	return c->client && !c->ended &&
	       smtp_client_output(c->client).len + io_stream_output_len(c->stream) <
		       IO_STREAM_OUTPUT_LOW;
}

static void smtp_body(struct connection *c, struct sv bytes, bool end)
{
	struct mono_time now = io_now(c->o->loop);

	if (end)
		attempt_release(c->delivery);
	smtp_client_body(c->client, now, bytes);
	if (end)
		smtp_client_body_end(c->client, now);
	send_output(c);
}

static struct mono_time smtp_deadline(const struct connection *c)
{
	return c->client ? smtp_client_deadline(c->client) : MONO_NEVER;
}

static void smtp_tick(struct connection *c)
{
	if (c->state == CONNECTION_RESOLVING) {
		io_resolve_cancel(c->resolve);
		c->resolve = NULL;
		io_dnssec_cancel(c->tlsa_query);
		c->tlsa_query = NULL;
		next_host(c, RC_DNS, "the name could not be resolved in time");
	} else if (c->state == CONNECTION_CONNECTING) {
		next_host(c, RC_TIMEOUT, "the TLS handshake took too long");
	} else if (c->client) {
		smtp_client_tick(c->client, io_now(c->o->loop));
	}
}

static void smtp_abandon(struct connection *c)
{
	if (c->client)
		smtp_client_abandon(c->client);
}

static void smtp_quit(struct connection *c)
{
	smtp_client_quit(c->client, io_now(c->o->loop));
}

static void smtp_close(struct connection *c)
{
	io_resolve_cancel(c->resolve);
	io_dnssec_cancel(c->tlsa_query);
	io_dial_cancel(c->dial);
	free(c->mx);
	free(c->tlsa);
	if (c->stream)
		io_stream_close_gently(c->stream, CONNECTION_QUIT_S * US_PER_S);
	smtp_client_free(c->client);
	io_tls_unref(c->tls);
}

const struct connection_kind connection_smtp = {
	.open = smtp_open,
	.begin = smtp_begin,
	.has_room = smtp_has_room,
	.body = smtp_body,
	.run = run_events,
	.orphan = smtp_orphan,
	.deadline = smtp_deadline,
	.tick = smtp_tick,
	.abandon = smtp_abandon,
	.quit = smtp_quit,
	.close = smtp_close,
};
