/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "outbound/attempt_priv.h"
#include "outbound/session_priv.h"
#include "provider/defaults.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * The life that every session with a provider has, whatever it speaks: lists, states, budgets. What is
 * spoken is its kind's (connection_smtp.c, graph.c). Everything goes through connection_pump(), which
 * frees the connection when it has ended: nobody touches a connection after calling it.
 */

/* ---- end ---- */

static void connection_free(struct connection *c)
{
	struct outbound *o = c->o;
	struct lane *l = c->lane;

	must(c->delivery == NULL);
	endpoint_end(c, SCHED_HANDSHAKE_LEFT);
	io_timer_stop(&c->timer);
	if (c->token_request)
		identity_token_cancel(c->token_request);
	c->kind->close(c);
	smtp_transcript_reset(&c->transcript);
	secret_free(c->password);
	secret_free(c->token);
	list_remove(&c->node);
	list_remove(&c->idle);
	l->connection_count--;
	o->connections--;
	conf_unref(c->conf);
	free(c);
	if (!list_empty(&o->starved))
		io_task_post(o->loop, &o->slots);
	lane_poke(l);
	outbound_check_drained(o);
}

struct sv connection_transcript(const struct connection *c, struct arena *a)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SMTP_MASK_GROWTH * LIMIT_TRANSCRIPT);
	const struct secret *secret = c->token ? c->token : c->password;
	const struct smtp_mask mask = { .secret = secret ? secret_reveal(secret) : SV(""),
		.is_token = c->token != NULL };

	must(smtp_transcript_text(&c->transcript, &mask, &text) == 0);
	return arena_sv(a, sv_head(buf_sv(&text), LIMIT_TRANSCRIPT));
}

void connection_unreachable(struct connection *c, int rc, const char *text)
{
	struct verdict v = provider_judge_network(c->c->provider, rc);
	struct arena a = { 0 };

	c->ended = true;
	endpoint_end(c, SCHED_HANDSHAKE_FAILED);
	lane_hold(c->lane, &v, sv_from(text), connection_transcript(c, &a));
	arena_reset(&a);
}

bool connection_is_too_many(struct connection *c, struct verdict *v)
{
	if (v->cause != CAUSE_TOO_MANY_CONNECTIONS)
		return false;
	c->worn = true;
	if (!lane_has_too_many(c->lane, c->era))
		return false;
	*v = cause_verdict(v->cause);
	v->scope = VERDICT_SCOPE_MESSAGE;
	return true;
}

/* ---- opening ---- */

static void on_timer(void *arg)
{
	struct connection *c = arg;

	if (c->state == CONNECTION_IDLE) {
		connection_quit(c);
		return;
	}
	if (c->state == CONNECTION_QUITTING)
		c->ended = true;
	else
		c->kind->tick(c);
	connection_pump(c);
}

static struct io_tls *lane_tls(struct lane *l)
{
	struct err err = { 0 };
	struct io_tls *tls = outbound_tls(l, &err);

	if (!tls) {
		const struct verdict v =
			cause_verdict(l->c->certificate.len ? CAUSE_CERTIFICATE : CAUSE_CA_FILE);

		/* The key is read again before the next try. */
		l->secrets_failed = l->c->certificate.len > 0;
		lane_hold(l, &v, sv_from(err.text), SV(""));
	}
	return tls;
}

static void no_graph(struct lane *l)
{
	const struct verdict v = cause_verdict(CAUSE_GRAPH_NOT_CONFIGURED);

	lane_hold(l, &v, SV("no tenant, or no app in it"), SV(""));
}

struct connection *connection_open(struct lane *l)
{
	struct outbound *o = l->o;
	struct connection *c;
	struct io_tls *tls = NULL;

	bool is_http = provider_defaults(l->c->provider)->is_http;

	if (is_http && (!o->https || !o->tokens || !l->c->tenant)) {
		no_graph(l);
		return NULL;
	}
	if (!is_http && l->c->tls != SMTP_CLIENT_TLS_NONE) {
		tls = lane_tls(l);
		if (!tls)
			return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	c->kind = is_http ? o->by_web : o->by_smtp;
	c->o = o;
	c->lane = l;
	c->conf = conf_ref(l->conf);
	c->c = l->c;
	c->endpoint = l->endpoint;
	c->era = sched_pace_era(&l->pace);
	c->tls = tls ? io_tls_ref(tls) : NULL;
	if (l->password)
		c->password = secret_new(secret_reveal(l->password));
	list_init(&c->idle);
	list_append(&l->connections, &c->node);
	l->connection_count++;
	o->connections++;
	io_timer_init(&c->timer, o->loop, on_timer, c);
	c->pumping = true;
	/* Graph asks for a token with each request. */
	if (!is_http && lane_needs_token(c->c)) {
		connection_ask_token(c);
	} else {
		endpoint_begin(c);
		c->kind->open(c);
	}
	c->pumping = false;
	if (c->ended) {
		connection_free(c);
		return NULL;
	}
	return c;
}

void connection_take_slot(struct connection *c)
{
	if (endpoint_has_room(c->endpoint)) {
		endpoint_begin(c);
		c->kind->open(c);
	} else {
		list_append(&c->endpoint->waiting, &c->idle);
	}
}

void connection_open_now(struct connection *c)
{
	/* Its token may have ended while it waited. */
	if (!mono_before(io_now(c->o->loop), connection_token_until(c))) {
		secret_free(TAKE(c->token));
		c->pumping = true;
		connection_ask_token(c);
		c->pumping = false;
	} else {
		endpoint_begin(c);
		c->kind->open(c);
	}
	connection_pump(c);
}

void connection_ready(struct connection *c)
{
	const struct provider_defaults *p = provider_defaults(c->c->provider);

	endpoint_end(c, SCHED_HANDSHAKE_DONE);
	c->lane->stale_serial = 0;
	/* How it began is of interest to its first message. */
	if (c->carried)
		smtp_transcript_reset(&c->transcript);
	c->state = CONNECTION_IDLE;
	c->idle_since = io_now(c->o->loop);
	list_append(&c->o->idle, &c->idle);
	/* Never near the age at which Exchange cuts; nor after its mailbox was reconfigured. */
	if ((p->connection_us_max &&
		    mono_span(c->connected_at, c->idle_since) > p->connection_us_max) ||
		c->c != c->lane->c || c->o->draining || c->worn ||
		(c->carried >= SCHED_BURST_MESSAGES && !list_empty(&c->o->starved)) ||
		!mono_before(c->idle_since, connection_token_until(c))) {
		connection_quit(c);
		return;
	}
	lane_poke(c->lane);
}

/* ---- the pump ---- */

static void set_timer(struct connection *c)
{
	const struct provider_defaults *p = provider_defaults(c->c->provider);
	struct mono_time now = io_now(c->o->loop), at;

	if (c->state == CONNECTION_IDLE) {
		at = p->idle_us_max ? mono_add(c->idle_since, p->idle_us_max) : MONO_NEVER;
		if (mono_before(connection_token_until(c), at))
			at = connection_token_until(c);
		io_timer_start(&c->timer, at);
	} else if (c->state == CONNECTION_QUITTING) {
		io_timer_start(&c->timer, mono_add(now, CONNECTION_QUIT_S * US_PER_S));
	} else {
		at = c->kind->deadline(c);
		/* None of its own: what runs already stands. */
		if (at.us != MONO_NEVER.us)
			io_timer_start(&c->timer, at);
	}
}

void connection_pump(struct connection *c)
{
	/* Deliveries call back in while they handle an event. */
	if (c->pumping)
		return;
	c->pumping = true;
	c->kind->run(c);
	if (c->ended && c->delivery && c->delivery->begun)
		c->kind->orphan(c);
	if (c->ended && c->delivery)
		delivery_withdraw(c->delivery, NULL, SV(""));
	c->pumping = false;
	if (c->ended)
		connection_free(c);
	else
		set_timer(c);
}

static void leave(struct connection *c, struct delivery *d, bool reached_all)
{
	if (!reached_all)
		d->transcript = connection_transcript(c, &d->arena);
	d->relay = arena_sv(&d->arena, sv_from(c->relay));
	c->delivery = NULL;
}

static const struct delivery_carrier carrier = { .has_room = connection_has_room,
	.body = connection_body,
	.begin = connection_begin,
	.pump = connection_pump,
	.abandon = connection_abandon,
	.leave = leave };

void connection_give(struct connection *c, struct delivery *d)
{
	must(c->state == CONNECTION_IDLE);
	list_remove(&c->idle);
	c->state = CONNECTION_BUSY;
	c->delivery = d;
	c->carried++;
	d->connection = c;
	d->by = &carrier;
	connection_begin(c);
}

void connection_begin(struct connection *c)
{
	c->pumping = true;
	if (delivery_ready(c->delivery, c->conf, c->c)) {
		c->delivery->begun = true;
		if (c->delivery->state == ATTEMPT_READY)
			delivery_set_state(c->delivery, ATTEMPT_RUNNING);
		c->kind->begin(c, c->delivery);
	} else if (!c->delivery) {
		connection_ready(c);
	}
	c->pumping = false;
	connection_pump(c);
}

bool connection_has_room(const struct connection *c)
{
	return c && !c->ended && c->kind->has_room(c);
}

void connection_body(struct connection *c, struct sv bytes, bool end)
{
	c->kind->body(c, bytes, end);
}

void connection_abandon(struct connection *c)
{
	c->delivery = NULL;
	c->ended = true;
	c->kind->abandon(c);
	connection_pump(c);
}

void connection_quit(struct connection *c)
{
	must(c->state == CONNECTION_IDLE);
	list_remove(&c->idle);
	c->state = CONNECTION_QUITTING;
	c->kind->quit(c);
	connection_pump(c);
}

/* ---- of a lane ---- */

uint32_t lane_ready_connections(const struct lane *l)
{
	uint32_t n = 0;

	list_each (at, &l->connections) {
		const struct connection *c = list_entry(at, struct connection, node);

		n += c->state == CONNECTION_IDLE &&
		     mono_before(io_now(l->o->loop), connection_token_until(c));
	}
	return n;
}

struct connection *lane_idle_connection(const struct lane *l)
{
	list_each (at, &l->connections) {
		struct connection *c = list_entry(at, struct connection, node);

		if (c->state == CONNECTION_IDLE)
			return c;
	}
	return NULL;
}

struct mono_time connection_token_until(const struct connection *c)
{
	return c->token ? c->token_until : MONO_NEVER;
}

static bool ends_soon(const struct connection *c)
{
	return c->state == CONNECTION_BUSY && !c->ended && !c->worn && c->c == c->lane->c &&
	       c->delivery && c->delivery->wants_body &&
	       mono_before(io_now(c->o->loop), connection_token_until(c));
}

struct lane_sessions lane_sessions(const struct lane *l)
{
	struct lane_sessions s = { 0 };

	list_each (at, &l->connections) {
		const struct connection *c = list_entry(at, struct connection, node);

		s.opening += c->state < CONNECTION_IDLE;
		s.idle += c->state == CONNECTION_IDLE;
		s.ending += ends_soon(c);
		s.has_session |= c->state == CONNECTION_IDLE || c->state == CONNECTION_BUSY;
	}
	return s;
}

/* One refused sign-in is enough: who is on the way to the door turns round. */
void lane_turn_back(struct lane *l)
{
	l->turns_back = false;
	list_each_safe (at, after, &l->connections) {
		struct connection *c = list_entry(at, struct connection, node);

		/* One that has ended says so itself, further up. */
		if (c->state < CONNECTION_IDLE && !c->ended) {
			c->ended = true;
			connection_pump(c);
		}
	}
}

void lane_drain_connections(struct lane *l)
{
	list_each_safe (at, after, &l->connections) {
		struct connection *c = list_entry(at, struct connection, node);

		if (c->state == CONNECTION_IDLE) {
			connection_quit(c);
		} else if (c->state < CONNECTION_IDLE) {
			c->ended = true;
			connection_pump(c);
		}
	}
}

void lane_give_up_connections(struct lane *l)
{
	list_each_safe (at, after, &l->connections) {
		struct connection *c = list_entry(at, struct connection, node);
		struct delivery *d = c->delivery;

		/* A request that may have sent the message and cannot be asked: its attempt stays
		 * open in the queue, and that is how the next start knows of it. */
		if (d && d->state == ATTEMPT_RELEASED && c->kind == c->o->by_web)
			continue;
		if (d && d->state != ATTEMPT_RELEASED) {
			delivery_withdraw(d, NULL, SV(""));
			connection_abandon(c);
			continue;
		}
		c->ended = true;
		connection_pump(c);
	}
}
