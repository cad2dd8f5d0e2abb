/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"
#include "provider/defaults.h"

#include <stdio.h>

/*
 * Which mail a door takes, and by which other door it goes when its own is held for authentication,
 * quota or outage: the further ones of `through:`, in their order. A recipient is in one lane at a
 * time; it changes lanes by an outcome without an attempt, while it waits and nothing else has it.
 */
enum door_obstacle door_obstacle(
	const struct lane *l, const struct store_message *m, const struct store_recipient *r)
{
	const struct sv redirect = conf_general(l->o->conf)->redirect_all;
	const struct conf_lane *c = l->c;

	if (c->limits.message_bytes_max && m->size > c->limits.message_bytes_max)
		return DOOR_TOO_SMALL;
	if (provider_defaults(c->provider)->internal_only &&
		!conf_is_internal(l->o->conf, c->tenant, redirect.len ? redirect : r->address))
		return DOOR_INTERNAL;
	return DOOR_OPEN;
}

struct lane *door_other(
	struct lane *l, const struct store_message *m, const struct store_recipient *r)
{
	struct sv rest = r->alternatives, key;
	bool more = rest.len > 0;

	while (more) {
		struct lane *other;

		more = sv_cut_char(&rest, '\n', &key);
		/* Its own door, or one that is not configured any more. */
		if (sv_eq(key, l->key) || !conf_lane(l->o->conf, key))
			continue;
		other = lane_get(l->o, key);
		if (!lane_now(other).held && door_obstacle(other, m, r) == DOOR_OPEN &&
			!park_find(other, m->sender, r->address))
			return other;
	}
	return NULL;
}

static struct sv words(struct lane *l, const struct lane *to, const struct sched_hold_reason *why,
	enum door_obstacle obstacle, struct arena *arena)
{
	char text[LIMIT_REPLY_KEPT];

	(void)snprintf(text,
		sizeof(text),
		"goes by %.*s: %.*s %s%s%s%.2000s",
		SV_ARG(to->key),
		SV_ARG(l->key),
		obstacle == DOOR_INTERNAL    ? "takes internal recipients only"
		: obstacle == DOOR_TOO_SMALL ? "takes no message of this size"
					     : "is held for ",
		obstacle == DOOR_OPEN && why ? cause_name(why->cause) : "",
		obstacle == DOOR_OPEN && why && why->reply[0] ? ": " : "",
		obstacle == DOOR_OPEN && why ? why->reply : "");
	return arena_sv(arena, sv_from(text));
}

static void count_move(struct lane *l, const struct lane *to, size_t count)
{
	l->moved += count;
	l->moved_to = to;
}

void door_choose(struct outbound *o, struct arena *arena, const struct store_message *m,
	struct store_recipient *recipients)
{
	for (size_t i = 0; i < m->recipient_count; i++) {
		struct store_recipient *r = &recipients[i];
		enum door_obstacle obstacle;
		struct sched_lane_now now;
		struct lane *l, *to;

		if (r->alternatives.len == 0)
			continue;
		l = lane_get(o, r->lane);
		if (!l->c)
			continue;
		now = lane_now(l);
		obstacle = door_obstacle(l, m, r);
		if (obstacle == DOOR_OPEN && !(now.held && sched_hold_may_leave(now.by)))
			continue;
		to = door_other(l, m, r);
		if (!to)
			continue;
		r->last_cause = sv_from(cause_name(CAUSE_OTHER_DOOR));
		r->last_reply = words(l, to, now.why, obstacle, arena);
		r->lane = arena_sv(arena, to->key);
		if (obstacle == DOOR_OPEN)
			count_move(l, to, 1);
	}
}

void door_move(struct lane *l, const struct store_message *m,
	const struct store_recipient *recipients, size_t count, struct lane *to)
{
	const struct verdict v = cause_verdict(CAUSE_OTHER_DOOR);
	enum door_obstacle obstacle = door_obstacle(l, m, recipients);
	const struct sched_hold *p = park_find(l, m->sender, recipients[0].address);
	const struct sched_hold_reason *why = p ? sched_hold_why(p) : lane_now(l).why;
	struct change *c = change_new(l, m, recipients, count);

	change_set(c,
		STORE_RCPT_QUEUED,
		outbound_due_now(l->o),
		&v,
		words(l, to, why, obstacle, &c->arena));
	for (size_t i = 0; i < count; i++)
		c->outcomes[i].lane = to->key;
	if (obstacle == DOOR_OPEN)
		count_move(l, to, count);
	change_write(c);
}

void door_refuse(struct lane *l, const struct store_message *m,
	const struct store_recipient *recipients, size_t count, enum door_obstacle obstacle)
{
	const struct verdict internal = cause_verdict(CAUSE_DOOR_IS_INTERNAL);
	const struct verdict small = cause_verdict(CAUSE_MESSAGE_TOO_LARGE);
	struct change *c = change_new(l, m, recipients, count);
	struct sched_part *parts = arena_alloc(&c->arena, count * sizeof(*parts));
	const struct sched_attempt a = { .lane = l->sched,
		.parts = parts,
		.count = count,
		.now = outbound_age_now(l->o),
		.accepted_at = m->accepted_at,
		.expires_at = m->expires_at,
		.parked_expire_us = conf_general(l->o->conf)->parked_expire_us };
	char text[LIMIT_ADDRESS + 128];

	if (obstacle == DOOR_INTERNAL)
		(void)snprintf(text,
			sizeof(text),
			"%.*s takes no recipient outside of its organisation",
			SV_ARG(l->key));
	else
		(void)snprintf(text,
			sizeof(text),
			"%llu bytes, and %.*s takes %llu",
			(unsigned long long)m->size,
			SV_ARG(l->key),
			(unsigned long long)l->c->limits.message_bytes_max);
	for (size_t i = 0; i < count; i++)
		parts[i] = (struct sched_part){ .verdict = obstacle == DOOR_INTERNAL ? &internal
										     : &small,
			.reply = arena_sv(&c->arena, sv_from(text)),
			.said = SCHED_SAID_SESSION,
			.attempts = recipients[i].attempts };
	change_decide(c, &a);
	for (size_t i = 0; i < count; i++)
		change_log(c, i, SV(""));
	change_tell(c);
}
