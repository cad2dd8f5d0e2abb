/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/rng.h"
#include "base/time.h"
#include "provider/verdict.h"
#include "sched/lane.h"
#include "sched/proof.h"
#include "sched/retry.h"

#include <stdbool.h>

/*
 * What the answers of an attempt do: to each recipient, and to what they speak of beyond the message. Pure: facts in,
 * deeds out; outbound/ carries them out.
 */

enum sched_uncertain {
	SCHED_UNCERTAIN_RETRY,
	SCHED_UNCERTAIN_HOLD,
	SCHED_UNCERTAIN_ASSUME_SENT
};

struct sched_policy {
	struct sched_retry retry;
	enum sched_uncertain uncertain;
};

/* What was said to one recipient of an attempt. */
struct sched_part {
	const struct verdict *verdict;
	struct sv reply;
	enum sched_said said; /* what the server had heard of it */
	bool accepted;        /* at RCPT */
	bool uncertain;       /* the dot was released and no reply came */
	bool alone; /* it is refused for more than this message, which is not proved: see sched_verdict_weigh() */
	bool external;     /* outside of the lane's tenant */
	uint32_t attempts; /* this one included */
};

struct sched_attempt {
	struct sched_lane *lane;
	struct sched_mail mail; /* external: any of its parts is */
	const struct sched_part *parts;
	size_t count;
	struct mono_time begun;
	bool probe;
	struct wall_time now, accepted_at, expires_at;
	uint64_t parked_expire_us;  /* mail that waits for a park has this long */
	struct wall_time class_end; /* of its class: through any park; 0: none */
};

/* ---- a recipient, and the message ---- */

enum sched_deed {
	SCHED_DELIVERED,
	SCHED_RETRY_AT, /* at `next_at` */
	SCHED_WAIT_LANE, /* due as soon as the lane goes on: the hold is the lane's, not the mail's */
	SCHED_HOLD,      /* for an operator */
	SCHED_BOUNCE,
	SCHED_EXPIRE, /* tried for as long as promised */
};
/* Whether another member of its queue may take it at once, while the lane goes on. */
enum sched_move {
	SCHED_MOVE_NOT,
	SCHED_MOVE_ANYWHERE,
	SCHED_MOVE_TO_OTHER_TENANT, /* those of one tenant share its limit */
};
struct sched_answer {
	enum sched_deed deed;
	struct wall_time next_at;
	enum sched_move move;
};
struct sched_answer sched_attempt_answer(const struct sched_attempt *a, size_t part,
	const struct sched_policy *policy, struct prng *rng);

/* ---- what it speaks of beyond the message ---- */

/* The refusal is remembered where its verdict belongs. False: that must wait alone, as nothing else proves it. */
NODISCARD bool sched_verdict_weigh(
	const struct sched_lane *l, struct sv sender, const struct sched_refusal *r);
/* The hold that the verdict sets; NULL: none. */
struct sched_hold *sched_verdict_hold(
	const struct sched_lane *l, struct sv sender, const struct verdict *v);
/*
 * All that the attempt says of holds beyond its lane: they are set, cleared, tried. `heard`: but for verdict and reply.
 * Returns the part that holds the lane itself, for those who must turn back then; NULL: none.
 */
const struct sched_part *sched_attempt_spread(
	const struct sched_attempt *a, const struct sched_heard *heard);

/* Does the verdict hold all that its lane has? */
bool sched_holds_lane(const struct verdict *v);
