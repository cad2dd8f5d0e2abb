/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/list.h"
#include "base/time.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * How many handshakes one endpoint (host and port, of all mailboxes that use it) may have at once. Pure.
 *
 * Slow start: SCHED_ENDPOINT_FIRST, multiplied by SCHED_ENDPOINT_GROWTH by every round without a failure
 * up to SCHED_ENDPOINT_MOST, halved by a failure. A round is as many successes as the budget, and counts
 * only if the budget was used up in it: what was never tried at once is not known to work at once. An
 * endpoint that has accepted a connection and said nothing for SCHED_ENDPOINT_SILENT_US gets one, until it
 * speaks. Each endpoint has a budget of its own, so that none can use up that of another.
 */
enum {
	SCHED_ENDPOINT_FIRST = 16,
	/* 400 sessions in three rounds, 16, 80 and the rest: of 0.8 s a handshake, as over long ways. Four rounds by three
	 * times and 256 were just quick enough on an idle machine. */
	SCHED_ENDPOINT_GROWTH = 5,
	SCHED_ENDPOINT_MOST = 320,
};
#define SCHED_ENDPOINT_SILENT_US (5 * US_PER_S)

struct sched_endpoint {
	uint32_t budget, running, succeeded; /* succeeded: in this round */
	uint64_t era;                        /* failures so far that counted */
	bool full;                           /* the budget was used up in this round */
	bool silent;                         /* until it speaks */
	struct list quiet;                   /* accepted and not heard of yet, oldest first */
	struct mono_time heard_at;
};

/* In the caller's storage. All zero: not begun. */
struct sched_handshake {
	struct list quiet;
	struct mono_time accepted_at;
	uint64_t era;
	bool running;
};

enum sched_handshake_end {
	SCHED_HANDSHAKE_DONE,
	SCHED_HANDSHAKE_FAILED, /* by the endpoint: not reached, broken off, too busy */
	SCHED_HANDSHAKE_LEFT,   /* by us, or for a reason that is no matter of the endpoint */
};

void sched_endpoint_init(struct sched_endpoint *e);
/* How many more may begin now. */
uint32_t sched_endpoint_room(struct sched_endpoint *e, struct mono_time now);
bool sched_endpoint_is_silent(struct sched_endpoint *e, struct mono_time now);

void sched_endpoint_begin(struct sched_endpoint *e, struct sched_handshake *h);
/* TCP is up: from now on the endpoint is waited for. */
void sched_endpoint_accepted(
	struct sched_endpoint *e, struct sched_handshake *h, struct mono_time now);
/* Its first words. */
void sched_endpoint_heard(
	struct sched_endpoint *e, struct sched_handshake *h, struct mono_time now);
/* Once for each begin(); one that has not begun is left alone. */
void sched_endpoint_end(struct sched_endpoint *e, struct sched_handshake *h, struct mono_time now,
	enum sched_handshake_end end);
