/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/lane.h"

#include "base/must.h"

#include <stdlib.h>

struct sched_lane {
	struct sched_holds *table;
	struct sched_hold *own, *tenant, *sign_in,
		*external; /* but own: NULL where there is none */
	unsigned probes;   /* messages that try for it */
};

/* What may hold all of a lane. */
enum {
	WHOLE_MAX = 3
};

const char *sched_lane_state_name(enum sched_lane_state state)
{
	static const char *const names[] = { "ready", "waiting", "parked", "parked" };

	return names[state];
}

struct sched_lane *sched_lane_new(struct sched_holds *t, struct sv key)
{
	struct sched_lane *l = xcalloc(1, sizeof(*l));

	l->table = t;
	l->own = sched_hold_get(t, SCHED_HOLD_MAILBOX, key);
	return l;
}

void sched_lane_free(struct sched_lane *l)
{
	free(l);
}

void sched_lane_set(struct sched_lane *l, struct sv tenant, bool needs_token)
{
	l->tenant = l->external = l->sign_in = NULL;
	if (tenant.len == 0)
		return;
	l->tenant = sched_hold_get(l->table, SCHED_HOLD_TENANT, tenant);
	l->external = sched_hold_get(l->table, SCHED_HOLD_EXTERNAL, tenant);
	if (needs_token)
		l->sign_in = sched_hold_get(l->table, SCHED_HOLD_SIGN_IN, tenant);
}

/* ---- the lane ---- */

static uint64_t number_of(const struct sched_lane *l)
{
	return (uint64_t)(uintptr_t)l;
}

struct sched_lane_now sched_lane_now(const struct sched_lane *l, struct mono_time now)
{
	const struct sched_hold *const shut_first[WHOLE_MAX] = { l->tenant, l->sign_in, l->own };
	const struct sched_hold *const probed_first[WHOLE_MAX] = { l->own, l->tenant, l->sign_in };

	for (size_t i = 0; i < WHOLE_MAX; i++)
		if (sched_hold_is_shut(shut_first[i], number_of(l), now))
			return (struct sched_lane_now){ .held = true,
				.parked = sched_hold_is_parked(shut_first[i]),
				.by = shut_first[i],
				.why = sched_hold_why(shut_first[i]),
				.until = sched_hold_until(shut_first[i], now) };
	for (size_t i = 0; i < WHOLE_MAX; i++)
		if (sched_hold_holds(probed_first[i]))
			return (struct sched_lane_now){ .parked = true,
				.probing = true,
				.by = probed_first[i],
				.why = sched_hold_why(probed_first[i]),
				.until = MONO_NEVER };
	return (struct sched_lane_now){ .until = MONO_NEVER };
}

enum sched_lane_state sched_lane_state(const struct sched_lane *l, struct mono_time now)
{
	bool parked = sched_hold_is_parked(l->own);

	if (sched_hold_is_shut(l->own, number_of(l), now))
		return parked ? SCHED_LANE_PARKED : SCHED_LANE_WAITING;
	return parked ? SCHED_LANE_PROBING : SCHED_LANE_READY;
}

struct sched_hold *sched_lane_own(const struct sched_lane *l)
{
	return l->own;
}

struct sched_hold *sched_lane_sign_in(const struct sched_lane *l)
{
	return l->sign_in;
}

bool sched_lane_shares(const struct sched_lane *l, const struct sched_hold *h)
{
	return h == l->tenant || h == l->sign_in || h == l->external;
}

struct sched_hold *sched_lane_hold_of(
	const struct sched_lane *l, const struct verdict *v, struct sv sender)
{
	switch (v->scope) {
	case VERDICT_SCOPE_SENDER:
		return sched_hold_of_sender(l->own, sender, true);
	case VERDICT_SCOPE_TENANT_EXTERNAL:
		return l->external;
	case VERDICT_SCOPE_TENANT:
		return l->tenant ? l->tenant : l->own;
	case VERDICT_SCOPE_MAILBOX:
	case VERDICT_SCOPE_MAILBOX_WINDOW:
	case VERDICT_SCOPE_ROUTE:
		return l->own;
	case VERDICT_SCOPE_RECIPIENT:
	case VERDICT_SCOPE_MESSAGE:
	case VERDICT_SCOPE_COUNT:
		break;
	}
	return NULL;
}

static bool concerns(const struct sched_lane *l, const struct sched_hold *h)
{
	return h == l->own || sched_lane_shares(l, h) || sched_hold_is_sender_on(h, l->own);
}

bool sched_lane_probe_now(struct sched_lane *l, struct mono_time now)
{
	bool stopped = false;

	for (struct sched_hold *h = sched_holds_next(l->table, NULL); h;
		h = sched_holds_next(l->table, h)) {
		if (!concerns(l, h))
			continue;
		stopped |= sched_hold_why(h)->nature == VERDICT_NATURE_REPUTATION;
		sched_hold_probe_now(h, now);
	}
	return stopped;
}

void sched_lane_take_turn(struct sched_lane *l, struct mono_time now)
{
	struct sched_hold *const whole[WHOLE_MAX] = { l->own, l->tenant, l->sign_in };

	for (size_t i = 0; i < WHOLE_MAX; i++)
		(void)sched_hold_try(whole[i], number_of(l), now);
}

bool sched_lane_is_trying(const struct sched_lane *l)
{
	return l->probes > 0;
}

/* ---- a message ---- */

bool sched_lane_minds_external(const struct sched_lane *l)
{
	return l->external && !sched_hold_is_clean(l->external);
}

size_t sched_lane_beyond(
	const struct sched_lane *l, const struct sched_mail *m, struct sched_hold *out[2])
{
	size_t n = 0;

	out[n] = sched_hold_of_sender(l->own, m->sender, false);
	n += out[n] != NULL;
	if (m->external && l->external)
		out[n++] = l->external;
	return n;
}

const struct sched_hold *sched_lane_stops(
	const struct sched_lane *l, const struct sched_mail *m, struct mono_time now)
{
	struct sched_hold *both[2];
	size_t n = sched_lane_beyond(l, m, both);

	for (size_t i = 0; i < n; i++)
		if (sched_hold_is_shut(both[i], 0, now))
			return both[i];
	return NULL;
}

const struct sched_hold *sched_lane_holds(const struct sched_lane *l, const struct sched_mail *m)
{
	struct sched_hold *both[2];
	size_t n = sched_lane_beyond(l, m, both);

	for (size_t i = 0; i < n; i++)
		if (sched_hold_holds(both[i]))
			return both[i];
	return NULL;
}

const struct sched_hold *sched_lane_stops_outside(const struct sched_lane *l, struct mono_time now)
{
	return sched_hold_is_shut(l->external, 0, now) ? l->external : NULL;
}

size_t sched_lane_culprits(
	const struct sched_lane *l, const struct sched_mail *m, uint64_t *out, size_t max)
{
	const struct sched_hold *all[WHOLE_MAX + 2] = { l->own, l->tenant, l->sign_in };
	struct sched_hold *both[2];
	size_t n = sched_lane_beyond(l, m, both), count = 0;

	for (size_t i = 0; i < n; i++)
		all[WHOLE_MAX + i] = both[i];
	for (size_t i = 0; i < WHOLE_MAX + n && count + SCHED_WITNESSES <= max; i++)
		count += sched_hold_culprits(all[i], out + count);
	return count;
}

void sched_lane_begin(
	struct sched_lane *l, const struct sched_mail *m, bool probe, struct mono_time now)
{
	struct sched_hold *both[2];
	size_t n = sched_lane_beyond(l, m, both);

	l->probes += probe;
	/* What was on its way when they were held is no probe. */
	for (size_t i = 0; i < n; i++)
		(void)sched_hold_try(both[i], m->message, now);
}

void sched_lane_succeed(struct sched_lane *l, const struct sched_mail *m, struct mono_time begun)
{
	struct sched_hold *both[2];
	size_t n = sched_lane_beyond(l, m, both);

	sched_hold_clear(l->own, begun);
	if (l->tenant)
		sched_hold_clear(l->tenant, begun);
	for (size_t i = 0; i < n; i++)
		sched_hold_clear(both[i], begun);
}

void sched_lane_end(struct sched_lane *l, const struct sched_mail *m, bool probe, bool left)
{
	struct sched_hold *const whole[WHOLE_MAX] = { l->own, l->tenant, l->sign_in };
	uint64_t culprit = left ? m->message : 0;
	struct sched_hold *both[2];
	size_t n = sched_lane_beyond(l, m, both);

	for (size_t i = 0; i < n; i++)
		sched_hold_tried(both[i], m->message, culprit);
	if (!probe)
		return;
	must(l->probes > 0);
	l->probes--;
	for (size_t i = 0; i < WHOLE_MAX; i++)
		sched_hold_tried(whole[i], number_of(l), culprit);
}
