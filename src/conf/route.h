/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "conf/conf.h"

/* By which mailboxes and connectors a recipient of a message goes. A pure look-up in the snapshot. */
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
	const struct conf_member *members[CONF_THROUGH_MAX];
	size_t member_count;
	const struct conf_member *member; /* the first; NULL: none */
	/* Without a body: a route that asks for size or header stands before (or is) this one, so the
	 * answer may change after DATA. */
	bool undecided;
};

struct conf_route_answer conf_route_find(const struct conf *c, const struct conf_route_query *q);

/* At MAIL, before any recipient is known: could any recipient be routed? */
NODISCARD bool conf_route_possible(const struct conf *c, struct sv sender, struct sv user,
	struct sv listener, struct sv device);

/* Why a lane can never carry it, however free it is. */
enum conf_obstacle {
	CONF_OBSTACLE_NONE,
	CONF_OBSTACLE_INTERNAL, /* it takes nobody outside of its tenant */
	CONF_OBSTACLE_SIZE,     /* it takes no message as large as this */
};
/* `size` 0: not known. With `redirect_all` that is who it goes to. */
enum conf_obstacle conf_lane_obstacle(
	const struct conf *c, const struct conf_lane *lane, struct sv recipient, uint64_t size);
/* By one of its doors at least? */
NODISCARD bool conf_member_takes(
	const struct conf *c, const struct conf_member *m, struct sv recipient, uint64_t size);

/*
 * Where it waits (mail/flow.h): the key of the queue, less the members that never could carry it. If none of them could
 * it is all of them, so that whoever takes it can say why. `out_external`: outside of the tenant of the first.
 */
struct sv conf_queue_key(const struct conf *c, const struct conf_member *const *members,
	size_t count, struct sv recipient, uint64_t size, struct arena *arena, bool *out_external);
/*
 * Mail of a pool that one of its mailboxes has to carry, since an attempt of it ended uncertain or cost reputation: "b:outreach:a@go.contoso.com".
 * While the mailbox is not in the pool it waits.
 */
struct sv conf_bond_key(const struct conf_member *m, struct arena *arena);
bool conf_queue_is_bond(const struct conf *c, struct sv key); /* and the pool is there */
/* The name of the pool that mail of this queue waits for first, configured or not; empty: it waits for none. */
struct sv conf_queue_pool_name(struct sv key);
/* The pool as whose mail this mailbox carries mail of the queue; NULL: it is its own. */
const struct conf_pool *conf_queue_pool(const struct conf_member *m, struct sv key);
/* The members of a key that are there; returns how many. */
size_t conf_queue_members(
	const struct conf *c, struct sv key, const struct conf_member *out[CONF_THROUGH_MAX]);

/* The class of mail: of the route, else of the pool that it leads to first, else of whoever gave it, else of the listener. Each may be NULL. */
enum mail_class conf_class_of(const struct conf_route *route, const struct conf_user *user,
	const struct conf_device *device, const struct conf_listener *listener);
/* When mail of a class ends that was accepted at `accepted_at`; INT64_MAX: it has no time to live of its own. */
struct wall_time conf_class_end(
	const struct conf *c, enum mail_class class, struct wall_time accepted_at);
/* ... and when it ends if nothing lengthens it: the sooner of that and `queue: { expire }`. */
struct wall_time conf_mail_end(
	const struct conf *c, enum mail_class class, struct wall_time accepted_at);
