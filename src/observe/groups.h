/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/htable.h"
#include "conf/conf.h"
#include "provider/verdict.h"

/*
 * What is held, grouped: a fact for each mailbox, sender or recipient goes in, a line for each cause comes
 * out, so that 250 mailboxes with one wrong secret are one line. Pure; texts are borrowed.
 */
enum observe_scope {
	OBSERVE_SCOPE_MAILBOX,
	OBSERVE_SCOPE_CONNECTOR,
	OBSERVE_SCOPE_SENDER,
	OBSERVE_SCOPE_TENANT_EXTERNAL,
	OBSERVE_SCOPE_RECIPIENT,
	OBSERVE_SCOPE_COUNT,
};
const char *observe_scope_name(enum observe_scope scope); /* "mailbox", "sender", ... */

enum observe_needs {
	OBSERVE_NEEDS_PERSON,
	OBSERVE_NEEDS_TIME, /* it goes on by itself */
};

enum {
	OBSERVE_GROUP_NAMES = 3,
	/* More kinds of trouble than this at once are told without their tenants, then not at all. */
	OBSERVE_GROUPS_MAX = 20,
};
struct observe_group {
	enum observe_needs needs;
	enum observe_scope scope;
	struct sv state; /* "parked", "waiting", "held" */
	struct sv tenant, cause, summary, reply;
	enum verdict_nature nature;
	struct sv names[OBSERVE_GROUP_NAMES]; /* the first ones */
	uint64_t count, tenants, waiting;
	struct wall_time oldest_at, since, next_at; /* the earliest; 0: none */
	const struct conf_lane *lane;               /* where all are of one; else NULL */
	struct sv sender;                           /* likewise */
};

struct observe_groups {
	struct arena *arena;
	struct htable by_key;
	struct observe_group **items;
	size_t count, cap;
};
void observe_groups_deinit(struct observe_groups *g);
/* `fact`: a group of one: count, names[0] and what is known. Joins those of its needs, scope, tenant, cause. */
void observe_groups_add(struct observe_groups *g, const struct observe_group *fact);
/* Where there are more than OBSERVE_GROUPS_MAX: each goes into another set, without its tenant. */
void observe_groups_fold(struct observe_groups *to, const struct observe_group *group);
/* Persons first, then by how much waits. Nothing is added after this. */
void observe_groups_sort(struct observe_groups *g);
