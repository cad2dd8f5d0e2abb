/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * How many connections a lane may have, as its server lets it (additive increase, multiplicative decrease). A reply that says there are
 * too many (432 4.3.2, 421 "too many connections", Graph's MailboxConcurrency) halves them; they rise again one by one, each after SCHED_PACE_ROUNDS
 * messages on every connection: a lower number would have one message in a few refused for ever. Several such replies to
 * connections of the same time are one. Pure.
 */
enum {
	SCHED_PACE_ROUNDS = 10
};

struct sched_pace {
	uint32_t limit;  /* 0: no reply has said anything yet, or all of it is over */
	uint32_t passed; /* messages since the last change */
	uint64_t era;    /* halvings so far */
};

/* How many connections: `most` is what is configured. At least 1, if that is. */
uint32_t sched_pace_connections(const struct sched_pace *p, uint32_t most);
/* The era in which a connection is opened: it is kept with it. */
uint64_t sched_pace_era(const struct sched_pace *p);
/*
 * "Too many", to a connection of that era, while `open` of them were open (it included). True: there may be fewer now. Nothing changes
 * where an earlier reply has lowered them since it was opened: both spoke of the same ones. Whoever is told so ends.
 */
bool sched_pace_too_many(struct sched_pace *p, uint64_t era, uint32_t open, uint32_t most);
/* A message got through, while `open` were open: only what has been used up is known to be too little. */
void sched_pace_passed(struct sched_pace *p, uint32_t open, uint32_t most);
