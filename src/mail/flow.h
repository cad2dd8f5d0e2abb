/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"

/*
 * How soon a message matters to whoever waits for it. It comes from the user, the device, the listener or the route, never
 * from a header of the message. The numbers stand in the queue.
 */
enum mail_class {
	MAIL_CLASS_TRANSACTIONAL, /* somebody waits for it: passwords, receipts */
	MAIL_CLASS_NORMAL,
	MAIL_CLASS_BULK, /* newsletters, statements: tomorrow will do */
	MAIL_CLASS_COUNT,
};
struct sv mail_class_name(enum mail_class class); /* "transactional"; as in the configuration */

/*
 * Where mail waits: the unit of order and fairness. Which lane carries it is said when it is taken, not before (bound late).
 */
struct mail_flow {
	/*
	 * Tiers of members, a '\n' between them, the next only while the one before is held for authentication, quota or
	 * outage: "m:erp@contoso.com", a mailbox with all of its doors; "c:lab", a connector. Empty: no route.
	 */
	struct sv queue;
	enum mail_class class;
	struct sv principal; /* who gave it: a user, "local:NAME", a device, a listener */
	bool external;       /* the recipient is outside of the tenant of the first member */
	/* Its sender is held, or was: this mail waits apart, so that nobody looks at it in vain. Usually empty. */
	struct sv sender;
};

static inline bool mail_flow_eq(const struct mail_flow *a, const struct mail_flow *b)
{
	return a->class == b->class && a->external == b->external && sv_eq(a->queue, b->queue) &&
	       sv_eq(a->principal, b->principal) && sv_eq(a->sender, b->sender);
}
