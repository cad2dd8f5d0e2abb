/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/time.h"

#include <stdbool.h>

/* When waiting mail has waited too long: it expires, or its sender should hear of the delay. Pure. */
struct sched_waiting {
	struct wall_time accepted_at, expires_at;
	/* What came to its time before the relay was started (it was down, or a clock is wrong) is tried first,
	 * for so long: neither end nor notice comes before. */
	struct wall_time started_at;
	uint64_t try_us;
	/* The end that its class sets (conf_class_end()): nothing lengthens it, no hold and no start. 0: none. */
	struct wall_time class_end;
	bool parked; /* what holds it is for an administrator: it has `parked_expire_us`, if that is longer */
	bool noticed; /* the sender has been told */
	uint64_t parked_expire_us;
	uint64_t notice_us; /* 0: no notices */
};

enum sched_look {
	SCHED_LOOK_LATER,
	SCHED_LOOK_NOTICE,
	SCHED_LOOK_EXPIRE,
};

/* When mail that came is looked at first; `expires_at` is the sooner of its two ends. */
struct wall_time sched_look_first(
	struct wall_time accepted_at, struct wall_time expires_at, uint64_t notice_us);

/*
 * `out_next`: when to look at it again if it still waits then; unchanged after EXPIRE. Each day at least, as a clock may
 * have been wrong; each hour, once only what holds it keeps it, as that may end.
 */
enum sched_look sched_look(
	const struct sched_waiting *w, struct wall_time now, struct wall_time *out_next);

/* A page of it took so long: how long the next one waits, so that looking is a small part of what is done. A
 * minute at most: what took so long waited for a disk, and mail must not wait as long again. */
uint64_t sched_look_pause(uint64_t took_us);
