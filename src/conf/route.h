/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "conf/conf.h"

/* Which lane a recipient of a message goes through. A pure look-up in the snapshot. */
struct conf_route_query {
	struct sv sender; /* envelope sender; empty: null sender */
	struct sv recipient;
	struct sv user; /* authenticated user, "local:NAME" or empty */
	struct sv listener;
};

struct conf_route_answer {
	const struct conf_route *route; /* NULL: no route matches */
	const struct conf_lane
		*lane; /* NULL: none, or through: sender and there is no such mailbox */
};

struct conf_route_answer conf_route_find(const struct conf *c, const struct conf_route_query *q);

/* At MAIL, before any recipient is known: could any recipient be routed? */
NODISCARD bool conf_route_possible(
	const struct conf *c, struct sv sender, struct sv user, struct sv listener);
