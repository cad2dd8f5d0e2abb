/* SPDX-License-Identifier: Apache-2.0 */
#include "outbound/session_priv.h"

/*
 * Who may connect next: to one endpoint by its budget of handshakes (sched/endpoint), to all of them by
 * that of connections. What has to wait stands in a list, and is served by a task when room comes back.
 */

enum {
	QUIET_LOOKED_AT = 16 /* of the longest waiting, for one to give up */
};

void endpoint_serve(void *endpoint)
{
	struct endpoint *e = endpoint;

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

void connections_give_way(struct lane *l)
{
	struct connection *c =
		list_empty(&l->o->starved) || connections_have_room(l->o) || !lane_rests(l)
			? NULL
			: lane_idle_connection(l);

	for (; c; c = lane_idle_connection(l))
		connection_quit(c);
}
