/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

/* How many connections a lane has, and when one gives way to another lane's. Pure. */

struct sched_burst {
	uint32_t waiting; /* messages that are due, as far as they are known */
	bool more;        /* and maybe more */
	uint32_t room;    /* messages that the windows let go now; UINT32_MAX: no limit */
	uint32_t open; /* connections, also those that are closing: the server counts them, too */
	uint32_t idle, handshakes; /* of these: without work; not ready yet */
	uint32_t max;
	bool one_at_a_time; /* a probe, or a sign-in that has not worked yet */
	bool scarce; /* others wait for a connection: everyone has one before anyone has two */
};

/*
 * How many connections to open now: never more than there are messages that may leave, less those that
 * can take them already. So a connection that carries nothing is the exception.
 */
uint32_t sched_burst_wanted(const struct sched_burst *b);

/* Nothing may leave by its idle connections now: they may be closed for a lane that needs one. */
bool sched_burst_rests(const struct sched_burst *b);

/*
 * A lane without a limit of its own could keep its connections for ever. After this many messages each of
 * them ends, if another lane waits for one.
 */
enum {
	SCHED_BURST_MESSAGES = 100
};

/* The share of a limit that may be used, rounded down; at least 1, and 0 stays "no limit". */
uint32_t sched_share(uint32_t limit, uint32_t percent);
/* Of connections: rounded up, since half a connection is none. */
uint32_t sched_share_of_connections(uint32_t limit, uint32_t percent);
