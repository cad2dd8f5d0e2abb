/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "outbound/outbound_priv.h"

#include <stdlib.h>

/*
 * Who may connect next: to one endpoint by its budget of handshakes (sched/endpoint), to all of them by
 * that of connections. What has to wait stands in a list, and is served by a task when room comes back.
 */

enum {
	QUIET_LOOKED_AT = 16 /* of the longest waiting, for one to give up */
};

static void serve(void *arg);

struct endpoint *endpoint_get(struct outbound *o, const struct conf_lane *c)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(LIMIT_ADDRESS + 512);
	struct endpoint *e;

	must(buf_printf(&key,
		     "%s%.*s:%u",
		     c->mx_of.len ? "mx:" : "",
		     SV_ARG(c->mx_of.len ? c->mx_of : c->host),
		     (unsigned)c->port) == 0);
	e = htable_get(&o->endpoints, buf_sv(&key));
	if (e)
		return e;
	e = xcalloc(1, sizeof(*e));
	e->o = o;
	sched_endpoint_init(&e->budget);
	list_init(&e->starved);
	list_init(&e->waiting);
	e->serve = (struct io_task){ .run = serve, .arg = e };
	htable_put(&o->endpoints, buf_sv(&key), e);
	return e;
}

void endpoints_free(struct outbound *o)
{
	htable_each (&o->endpoints, slot) {
		struct endpoint *e = slot->value;

		io_task_cancel(o->loop, &e->serve);
		free(e);
	}
	htable_deinit(&o->endpoints);
}

static void serve(void *arg)
{
	struct endpoint *e = arg;

	while (endpoint_has_room(e) && !list_empty(&e->waiting)) {
		struct connection *c = list_entry(e->waiting.next, struct connection, idle);

		list_remove(&c->idle);
		connection_open_now(c);
	}
	/* A lane that does not need it any more leaves the room to the next. */
	while (endpoint_has_room(e) && !list_empty(&e->starved)) {
		struct lane *l = list_entry(e->starved.next, struct lane, starved);

		list_remove(&l->starved);
		lane_pump(l);
	}
}

static void endpoint_changed(struct endpoint *e)
{
	if (!list_empty(&e->waiting) || !list_empty(&e->starved))
		io_task_post(e->o->loop, &e->serve);
}

bool endpoint_has_room(struct endpoint *e)
{
	return sched_endpoint_room(&e->budget, io_now(e->o->loop)) > 0;
}

void endpoint_wait(struct endpoint *e, struct lane *l)
{
	if (list_empty(&l->starved))
		list_append(&e->starved, &l->starved);
}

/* ---- one handshake ---- */

void endpoint_begin(struct connection *c)
{
	if (c->endpoint)
		sched_endpoint_begin(&c->endpoint->budget, &c->handshake);
}

void endpoint_accepted(struct connection *c)
{
	if (!c->endpoint)
		return;
	sched_endpoint_accepted(&c->endpoint->budget, &c->handshake, io_now(c->o->loop));
	/* Its second exchanger may be. */
	list_remove(&c->idle);
	list_append(&c->o->quiet, &c->idle);
}

void endpoint_heard(struct connection *c)
{
	/* Only of its first words. */
	if (!c->endpoint || !c->handshake.running || list_empty(&c->handshake.quiet))
		return;
	sched_endpoint_heard(&c->endpoint->budget, &c->handshake, io_now(c->o->loop));
	list_remove(&c->idle);
	endpoint_changed(c->endpoint);
}

void endpoint_end(struct connection *c, enum sched_handshake_end end)
{
	if (!c->endpoint || !c->handshake.running)
		return;
	sched_endpoint_end(&c->endpoint->budget, &c->handshake, io_now(c->o->loop), end);
	list_remove(&c->idle);
	endpoint_changed(c->endpoint);
}

/* ---- connections of all ---- */

bool connections_have_room(const struct outbound *o)
{
	return o->connections < conf_general(o->conf)->upstream_connections_max;
}

static bool close_resting(struct outbound *o)
{
	list_each (at, &o->idle) {
		struct connection *c = list_entry(at, struct connection, idle);

		if (lane_rests(c->lane)) {
			connection_quit(c);
			return true;
		}
	}
	return false;
}

/* Hosts that say nothing keep one connection each, when others need them. */
static void close_quiet(struct outbound *o)
{
	struct mono_time now = io_now(o->loop);
	unsigned left = QUIET_LOOKED_AT;

	list_each (at, &o->quiet) {
		struct connection *c = list_entry(at, struct connection, idle);
		struct sched_endpoint *budget = &c->endpoint->budget;

		if (left-- == 0 ||
			mono_span(c->handshake.accepted_at, now) < SCHED_ENDPOINT_SILENT_US)
			return;
		if (sched_endpoint_is_silent(budget, now) && budget->running > 1 && !c->pumping) {
			c->ended = true;
			connection_pump(c);
			return;
		}
	}
}

void connections_wait(struct outbound *o, struct lane *l)
{
	if (!list_empty(&l->starved))
		return;
	list_append(&o->starved, &l->starved);
	if (!close_resting(o))
		close_quiet(o);
}

void connections_serve(void *outbound)
{
	struct outbound *o = outbound;

	while (connections_have_room(o) && !list_empty(&o->starved)) {
		struct lane *l = list_entry(o->starved.next, struct lane, starved);

		list_remove(&l->starved);
		lane_pump(l);
	}
}

bool connections_are_scarce(const struct lane *l)
{
	const struct endpoint *e = l->endpoint;

	return !list_empty(&l->o->starved) || (e && !list_empty(&e->starved));
}

void connections_give_way(struct lane *l)
{
	struct connection *c =
		list_empty(&l->o->starved) || connections_have_room(l->o) || !lane_rests(l)
			? NULL
			: lane_idle_connection(l);

	for (; c; c = lane_idle_connection(l))
		connection_quit(c);
}
