/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/route.h"

#include "conf/conf_priv.h"
#include "mail/address.h"

/*
 * First match wins. `through: sender` matches only senders that have a mailbox, by one hash look-up, so
 * that routes for all others can stand below it; when nothing below matches either, it is the answer
 * all the same, without a lane: that says what is missing.
 */

void *conf_get_lower(const struct htable *t, struct sv name)
{
	char low[LIMIT_ADDRESS];

	if (name.len > sizeof(low))
		return NULL;
	for (size_t i = 0; i < name.len; i++)
		low[i] = ascii_lower(name.ptr[i]);
	return htable_get(t, sv_make(low, name.len));
}

const struct conf_lane *conf_mailbox_of(const struct conf *c, struct sv sender)
{
	const size_t *place = sender.len ? conf_get_lower(&c->lane_by_name, sender) : NULL;
	const struct conf_lane *lane = place ? &c->lanes[*place - 1] : NULL;

	return lane && lane->kind == CONF_LANE_MAILBOX ? lane : NULL;
}

/* All but the recipient. */
static bool route_takes(
	const struct conf_route *r, struct sv sender, struct sv user, struct sv listener)
{
	return (r->any_user || sv_eq(r->user, user)) &&
	       (r->any_listener || sv_eq(r->listener, listener)) &&
	       (r->any_sender || address_matches(r->sender, sender));
}

static const struct conf_lane *lane_of(
	const struct conf *c, const struct conf_route *r, struct sv sender)
{
	return r->through[0].sender ? conf_mailbox_of(c, sender) : r->through[0].lane;
}

struct conf_route_answer conf_route_find(const struct conf *c, const struct conf_route_query *q)
{
	struct conf_route_answer a = { 0 };

	for (size_t i = 0; i < c->route_count; i++) {
		const struct conf_route *r = &c->routes[i];

		if (!route_takes(r, q->sender, q->user, q->listener) ||
			!(r->any_recipient || address_matches(r->recipient, q->recipient)))
			continue;
		if (!a.route)
			a.route = r;
		a.lane = lane_of(c, r, q->sender);
		if (a.lane) {
			a.route = r;
			a.lanes[a.lane_count++] = a.lane;
			break;
		}
	}
	return a;
}

bool conf_route_possible(const struct conf *c, struct sv sender, struct sv user, struct sv listener)
{
	for (size_t i = 0; i < c->route_count; i++)
		if (route_takes(&c->routes[i], sender, user, listener) &&
			lane_of(c, &c->routes[i], sender))
			return true;
	return false;
}
