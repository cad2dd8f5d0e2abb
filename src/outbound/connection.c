/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"
#include "provider/defaults.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * A session with a provider: name -> address -> TCP -> (TLS) -> SMTP -> messages, one after the other.
 * Everything goes through connection_pump(), which frees the connection when it has ended: nobody
 * touches a connection after calling it.
 */
enum {
	RESOLVE_CONNECT_S = 30,
	QUIT_S = 5
};

static void on_stream(void *arg, enum io_stream_event event);

/* ---- end ---- */

static void stop_connecting(struct connection *c)
{
	if (c->counted_connecting)
		c->o->connecting--;
	c->counted_connecting = false;
}

static void serve_starved(struct outbound *o)
{
	struct lane *l;

	if (list_empty(&o->starved))
		return;
	l = list_entry(o->starved.next, struct lane, starved);
	list_remove(&l->starved);
	lane_poke(l);
}

static void connection_free(struct connection *c)
{
	struct outbound *o = c->o;
	struct lane *l = c->lane;

	must(c->delivery == NULL);
	stop_connecting(c);
	io_resolve_cancel(c->resolve);
	io_timer_stop(&c->timer);
	if (c->stream)
		io_stream_close_gently(c->stream, QUIT_S * US_PER_S);
	smtp_client_free(c->client);
	secret_free(c->password);
	io_tls_unref(c->tls);
	list_remove(&c->node);
	list_remove(&c->idle);
	l->connection_count--;
	o->connections--;
	conf_unref(c->conf);
	free(c);
	serve_starved(o);
	lane_poke(l);
	outbound_check_drained(o);
}

/* The endpoint could not be reached: the lane waits or parks. */
static void unreachable(struct connection *c, int rc, const char *text)
{
	struct verdict v = provider_judge_network(c->c->provider, rc);

	c->ended = true;
	lane_hold(c->lane, &v, sv_from(text));
}

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
		SV_ARG(sv_head(c->c->host, LIMIT_ADDRESS - 120)),
		SV_ARG(ip),
		(unsigned)c->c->port);
}

static void try_address(struct connection *c)
{
	const struct io_address *a = &c->addresses[c->address_at++];

	io_stream_free(c->stream);
	set_relay(c, &a->any);
	c->stream = io_stream_connect(c->o->loop, &a->any, a->len, on_stream, c);
	io_timer_start(&c->timer, mono_add(io_now(c->o->loop), RESOLVE_CONNECT_S * US_PER_S));
}

static void on_resolved(void *arg, int rc, const struct io_address *addresses, size_t count)
{
	struct connection *c = arg;

	c->resolve = NULL;
	if (rc != 0) {
		char text[400];

		(void)snprintf(text, sizeof(text), "%.*s: %s", SV_ARG(c->c->host), rc_text(rc));
		unreachable(c, rc, text);
	} else {
		c->address_count = count < LIMIT_HOST_ADDRESSES ? count : LIMIT_HOST_ADDRESSES;
		memcpy(c->addresses, addresses, c->address_count * sizeof(*addresses));
		c->state = CONNECTION_CONNECTING;
		try_address(c);
	}
	connection_pump(c);
}

/* ---- opening ---- */

static void on_timer(void *arg)
{
	struct connection *c = arg;
	struct mono_time now = io_now(c->o->loop);

	if (c->state == CONNECTION_RESOLVING) {
		unreachable(c, RC_DNS, "the name could not be resolved in time");
	} else if (c->state == CONNECTION_CONNECTING) {
		if (c->address_at < c->address_count)
			try_address(c);
		else
			unreachable(c, RC_TIMEOUT, "connecting took too long");
	} else if (c->state == CONNECTION_IDLE) {
		connection_quit(c);
		return;
	} else if (c->state == CONNECTION_QUITTING) {
		c->ended = true;
	} else {
		smtp_client_tick(c->client, now);
	}
	connection_pump(c);
}

struct connection *connection_open(struct lane *l)
{
	struct outbound *o = l->o;
	struct connection *c;
	struct err err = { 0 };
	struct io_tls *tls = NULL;

	if (l->c->tls != SMTP_CLIENT_TLS_NONE) {
		tls = outbound_tls(o, l->c->ca_file, &err);
		if (!tls) {
			const struct verdict v = { .kind = VERDICT_PARK,
				.scope = VERDICT_SCOPE_ROUTE,
				.cause = "ca-file",
				.summary =
					"The CA certificates for this endpoint cannot be loaded." };

			lane_hold(l, &v, sv_from(err.text));
			return NULL;
		}
	}
	c = xcalloc(1, sizeof(*c));
	c->o = o;
	c->lane = l;
	c->conf = conf_ref(l->conf);
	c->c = l->c;
	c->tls = tls ? io_tls_ref(tls) : NULL;
	if (l->password)
		c->password = secret_new(secret_reveal(l->password));
	list_init(&c->idle);
	list_append(&l->connections, &c->node);
	l->connection_count++;
	o->connections++;
	o->connecting++;
	c->counted_connecting = true;
	io_timer_init(&c->timer, o->loop, on_timer, c);
	io_timer_start(&c->timer, mono_add(io_now(o->loop), RESOLVE_CONNECT_S * US_PER_S));
	c->resolve = io_resolve_host(o->resolver, c->c->host, c->c->port, on_resolved, c);
	return c;
}

static void begin_session(struct connection *c)
{
	const struct smtp_client_options options = { .hostname = conf_general(c->conf)->hostname,
		.tls = c->c->tls,
		.login = c->c->login,
		.password = c->password };

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
		if (err->code != RC_TLS && c->address_at < c->address_count)
			try_address(c);
		else
			unreachable(c, err->code, err->text);
		return;
	}
	/* TLS that does not verify is a matter of the endpoint, not of a broken line. */
	if (err->code == RC_TLS && c->state == CONNECTION_SESSION) {
		unreachable(c, RC_TLS, err->text);
		return;
	}
	smtp_client_eof(c->client);
}

static void on_stream(void *arg, enum io_stream_event event)
{
	struct connection *c = arg;
	struct mono_time now = io_now(c->o->loop);

	switch (event) {
	case IO_STREAM_CONNECTED:
		if (c->c->tls == SMTP_CLIENT_TLS_IMPLICIT)
			io_stream_tls_client(c->stream, c->tls, c->c->host);
		else
			begin_session(c);
		break;
	case IO_STREAM_SECURED:
		if (c->client)
			smtp_client_tls_started(c->client, now);
		else
			begin_session(c);
		break;
	case IO_STREAM_INPUT:
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

static void become_idle(struct connection *c)
{
	const struct provider_defaults *p = provider_defaults(c->c->provider);

	stop_connecting(c);
	if (c->state == CONNECTION_SESSION)
		serve_starved(c->o);
	c->state = CONNECTION_IDLE;
	c->idle_since = io_now(c->o->loop);
	list_append(&c->o->idle, &c->idle);
	/* Never near the age at which Exchange cuts; nor after its mailbox was reconfigured. */
	if (mono_span(c->connected_at, c->idle_since) > p->connection_us_max ||
		c->c != c->lane->c || c->o->draining) {
		connection_quit(c);
		return;
	}
	lane_poke(c->lane);
}

/* The session broke before it could carry anything: the lane learns why. */
static void session_refused(struct connection *c, const struct smtp_client_event *e)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LIMIT_REPLY + 64);
	const struct provider_answer answer = {
		.provider = c->c->provider, .stage = e->stage, .reply = &e->reply
	};
	struct verdict v = e->failure == SMTP_CLIENT_FAIL_REPLY
				   ? provider_judge(&answer)
				   : provider_judge_failure(c->c->provider, e->stage, e->failure);
	const struct err *err = c->stream ? io_stream_error(c->stream) : NULL;

	c->ended = true;
	if (c->state == CONNECTION_QUITTING)
		return;
	/* An idle connection that the provider closes is nobody's fault. */
	if (e->stage == SMTP_CLIENT_STAGE_IDLE)
		return;
	if (e->reply.code)
		must(smtp_reply_line(&e->reply, &line) == 0);
	else
		must(buf_printf(&line,
			     "%s%s%s%s%s",
			     e->failure == SMTP_CLIENT_FAIL_NO_STARTTLS ? "no STARTTLS is offered"
			     : e->failure == SMTP_CLIENT_FAIL_NO_AUTH
				     ? "neither AUTH LOGIN nor PLAIN is offered"
			     : e->failure == SMTP_CLIENT_FAIL_TIMEOUT ? "timeout"
			     : e->failure == SMTP_CLIENT_FAIL_PROTOCOL
				     ? "the answer is not SMTP or was not due"
				     : "the connection was lost",
			     " while ",
			     smtp_client_stage_text(e->stage),
			     err && err->code ? ": " : "",
			     err && err->code ? err->text : "") == 0);
	lane_hold(c->lane, &v, buf_sv(&line));
}

static void handle(struct connection *c, const struct smtp_client_event *e)
{
	struct delivery *d = c->delivery;

	switch (e->kind) {
	case SMTP_CLIENT_EV_STARTTLS:
		io_stream_tls_client(c->stream, c->tls, c->c->host);
		return;
	case SMTP_CLIENT_EV_READY:
		become_idle(c);
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
		if (!c->ended && c->delivery)
			delivery_feed(c->delivery);
		send_output(c);
	}
}

/* Nobody has said what became of the delivery: the machine tells, as for a lost line. */
static void orphan_delivery(struct connection *c)
{
	struct smtp_client_event e;

	if (c->client)
		smtp_client_eof(c->client);
	while (c->delivery && c->client && smtp_client_next(c->client, &e))
		handle(c, &e);
	if (c->delivery)
		delivery_withdraw(c->delivery, NULL, SV(""));
}

static void set_timer(struct connection *c)
{
	struct mono_time now = io_now(c->o->loop);

	if (c->state == CONNECTION_IDLE)
		io_timer_start(&c->timer,
			mono_add(c->idle_since, provider_defaults(c->c->provider)->idle_us_max));
	else if (c->state == CONNECTION_QUITTING)
		io_timer_start(&c->timer, mono_add(now, QUIT_S * US_PER_S));
	else if (c->client)
		io_timer_start(&c->timer, smtp_client_deadline(c->client));
}

void connection_pump(struct connection *c)
{
	/* Deliveries call back in while they handle an event. */
	if (c->pumping)
		return;
	c->pumping = true;
	run_events(c);
	if (c->ended && c->delivery)
		orphan_delivery(c);
	c->pumping = false;
	if (c->ended)
		connection_free(c);
	else
		set_timer(c);
}

void connection_give(struct connection *c, struct delivery *d)
{
	must(c->state == CONNECTION_IDLE);
	list_remove(&c->idle);
	c->state = CONNECTION_BUSY;
	c->delivery = d;
	delivery_begin(d, c);
	connection_pump(c);
}

bool connection_has_room(const struct connection *c)
{
	return c && c->client && !c->ended &&
	       smtp_client_output(c->client).len + io_stream_output_len(c->stream) <
		       IO_STREAM_OUTPUT_LOW;
}

void connection_body(struct connection *c, struct sv bytes, bool end)
{
	struct mono_time now = io_now(c->o->loop);

	smtp_client_body(c->client, now, bytes);
	if (end)
		smtp_client_body_end(c->client, now);
	send_output(c);
}

void connection_abandon(struct connection *c)
{
	c->delivery = NULL;
	c->ended = true;
	if (c->client)
		smtp_client_abandon(c->client);
	connection_pump(c);
}

void connection_quit(struct connection *c)
{
	must(c->state == CONNECTION_IDLE);
	list_remove(&c->idle);
	c->state = CONNECTION_QUITTING;
	smtp_client_quit(c->client, io_now(c->o->loop));
	connection_pump(c);
}

void connection_close_oldest_idle(struct outbound *o)
{
	if (!list_empty(&o->idle))
		connection_quit(list_entry(o->idle.next, struct connection, idle));
}
