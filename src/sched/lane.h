/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/time.h"
#include "sched/hold.h"

#include <stdbool.h>

/*
 * What holds a lane and its mail, of all that is held (sched/hold.h): found once, and kept. Pure. What its limits
 * leave is limit/book.h's.
 */
struct sched_lane;

enum sched_lane_state {
	SCHED_LANE_READY,
	SCHED_LANE_WAITING, /* until a time: then ready again */
	SCHED_LANE_PARKED,  /* until somebody fixes it; a probe finds out */
	SCHED_LANE_PROBING, /* parked, and its probe is due: one message may try */
};
const char *sched_lane_state_name(enum sched_lane_state state); /* "ready", "waiting", "parked" */

NODISCARD struct sched_lane *sched_lane_new(struct sched_holds *t, struct sv key);
void sched_lane_free(struct sched_lane *l);
/* As it is configured now. `tenant` empty: none. */
void sched_lane_set(struct sched_lane *l, struct sv tenant, bool needs_token);

/* ---- the lane ---- */

/* What holds it now: itself, its tenant, or how that signs in. */
struct sched_lane_now {
	bool held;
	bool parked;  /* held, or trying again after it: expiry is that of parked mail */
	bool probing; /* one message may try */
	const struct sched_hold *by; /* NULL: nothing */
	const struct sched_hold_reason *why;
	struct mono_time until; /* held: till then; MONO_NEVER: till a person acts */
};
struct sched_lane_now sched_lane_now(const struct sched_lane *l, struct mono_time now);
enum sched_lane_state sched_lane_state(
	const struct sched_lane *l, struct mono_time now); /* its own */
struct sched_hold *sched_lane_own(const struct sched_lane *l);
struct sched_hold *sched_lane_sign_in(const struct sched_lane *l); /* NULL: none */
bool sched_lane_shares(
	const struct sched_lane *l, const struct sched_hold *h); /* h is of its tenant */
/* What the verdict speaks of beyond its message, on this lane; NULL: nothing there is. */
struct sched_hold *sched_lane_hold_of(
	const struct sched_lane *l, const struct verdict *v, struct sv sender);
/* What holds the lane or a sender on it is tried now, a stop included. True: one for reputation was among it. */
bool sched_lane_probe_now(struct sched_lane *l, struct mono_time now);
/* It is going to try for its tenant; the tenant's others wait for what it finds. */
void sched_lane_take_turn(struct sched_lane *l, struct mono_time now);
/* One message at a time, while it probes. */
bool sched_lane_is_trying(const struct sched_lane *l);

/* ---- a message ---- */

struct sched_mail {
	uint64_t message;
	struct sv sender;
	bool external; /* to somebody outside of the tenant; see below */
};
/* Whether it matters if mail goes to the outside: something is held, or suspected, for that. */
bool sched_lane_minds_external(const struct sched_lane *l);
/* What stops it, and is not the lane's; NULL: nothing, or its probe is due. */
const struct sched_hold *sched_lane_stops(
	const struct sched_lane *l, const struct sched_mail *m, struct mono_time now);
/* The same, also where its probe is due. */
const struct sched_hold *sched_lane_holds(const struct sched_lane *l, const struct sched_mail *m);
/* Of its sender and of the outside, whether they hold anything or not. How many. */
size_t sched_lane_beyond(
	const struct sched_lane *l, const struct sched_mail *m, struct sched_hold *out[2]);
/* Why mail to the outside may not leave now; NULL: it may. */
const struct sched_hold *sched_lane_stops_outside(const struct sched_lane *l, struct mono_time now);
/* Messages that caused what holds the lane or such mail: at most `max`. How many. */
size_t sched_lane_culprits(
	const struct sched_lane *l, const struct sched_mail *m, uint64_t *out, size_t max);
/* It leaves. Where a hold of its sender or of the outside is due for its probe, this is it; and the lane's, if `probe`. */
void sched_lane_begin(
	struct sched_lane *l, const struct sched_mail *m, bool probe, struct mono_time now);
/* It got through, and was begun then. External: to one of these. */
void sched_lane_succeed(struct sched_lane *l, const struct sched_mail *m, struct mono_time begun);
/*
 * It has ended, and what it got through is told: what it was the probe of, and is still held, another one may try. It
 * is no probe again while another one waits; unless it never left.
 */
void sched_lane_end(struct sched_lane *l, const struct sched_mail *m, bool probe, bool left);
