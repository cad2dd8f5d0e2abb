/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/rng.h"
#include "base/time.h"
#include "provider/verdict.h"
#include "sched/retry.h"

#include <stdbool.h>

/* What a verdict does to a recipient, and to the lane it was sent through. Pure. */

enum sched_uncertain {
	SCHED_UNCERTAIN_RETRY,
	SCHED_UNCERTAIN_HOLD,
	SCHED_UNCERTAIN_ASSUME_SENT
};

enum sched_deed {
	SCHED_DELIVERED,
	SCHED_RETRY_AT, /* at `next_at` */
	SCHED_WAIT_LANE, /* due as soon as the lane goes on: the hold is the lane's, not the mail's */
	SCHED_HOLD,      /* for an operator */
	SCHED_BOUNCE,
	SCHED_EXPIRE, /* tried for as long as promised */
};

struct sched_fact {
	const struct verdict *verdict;
	uint32_t attempts; /* this one included */
	bool uncertain;    /* the dot was released and no reply came */
	struct wall_time now, accepted_at, expires_at;
	uint64_t parked_expire_us;  /* mail that waits for a park has this long */
	struct wall_time class_end; /* of its class: through any park; 0: none */
	/* It was only one too many in its transaction, which took others (4.5.3). */
	bool next_transaction;
	bool alone;      /* what it was refused for is wide, but not proved: see sched/proof.h */
	bool of_session; /* it was said before anything of a message */
};

struct sched_policy {
	struct sched_retry retry;
	enum sched_uncertain uncertain;
};

struct sched_answer {
	enum sched_deed deed;
	struct wall_time next_at;
};

struct sched_answer sched_act(
	const struct sched_fact *fact, const struct sched_policy *policy, struct prng *rng);

/* Does the verdict hold more than this message? */
bool sched_holds_lane(const struct verdict *v);
