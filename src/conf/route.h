/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "conf/conf.h"

/* Which lane a recipient of a message goes through. A pure look-up in the snapshot. */
struct conf_route_query {
	struct sv sender; /* envelope sender; empty: null sender */
	struct sv recipient;
	struct sv user; /* authenticated user, "local:NAME" or empty */
	struct sv listener;
	struct sv device; /* name, or empty */
	/* After DATA only: */
	bool has_body;
	uint64_t size;
	/* The unfolded value of the first field of that name; false when absent. */
	bool (*header)(void *arg, struct sv name, struct sv *out_value);
	void *header_arg;
};

struct conf_route_answer {
	const struct conf_route *route; /* NULL: no route matches */
	/* The ways in order: NULL entries never. 0: none, or through: sender without such a mailbox. */
	const struct conf_lane *lanes[CONF_THROUGH_MAX];
	size_t lane_count;
	const struct conf_lane *lane; /* the first; NULL: none */
	/* Without a body: a route that asks for size or header stands before (or is) this one, so the
	 * answer may change after DATA. */
	bool undecided;
};

struct conf_route_answer conf_route_find(const struct conf *c, const struct conf_route_query *q);

/* At MAIL, before any recipient is known: could any recipient be routed? */
NODISCARD bool conf_route_possible(const struct conf *c, struct sv sender, struct sv user,
	struct sv listener, struct sv device);
