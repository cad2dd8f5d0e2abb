/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "outbound/session_priv.h"

#include <stdlib.h>

/* What an endpoint lets in, by its budget of handshakes (sched/endpoint), and all of them by that of connections. */

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
	e->serve = (struct io_task){ .run = o->hands->serve, .arg = e };
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

bool connections_are_scarce(const struct lane *l)
{
	const struct endpoint *e = l->endpoint;

	return !list_empty(&l->o->starved) || (e && !list_empty(&e->starved));
}
