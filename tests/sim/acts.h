/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Whatever is done to a run beside the passing of time is an act: mail, a death, an answer that a host does not give. Each has a
 * name, its kind and the how manieth of it ("death.1"), so that a run that failed can be run again with some of its acts
 * only, until no more can be left out (shrink.c). What is thrown for an act is thrown before it is asked for: leaving it
 * out moves the dice of the script for none of the others.
 */
enum act {
	ACT_MAIL,
	ACT_FLOOD,
	ACT_URGENT,
	ACT_STEADY,
	ACT_DEATH,
	ACT_CLOCK,
	ACT_DISK,
	ACT_SHUT,
	ACT_DENY,
	ACT_CLOSE,
	ACT_REFUSE,
	ACT_PAUSE,
	ACT_LATE,
	ACT_COUNT,
};
enum {
	ACTS_MAX = 4096, /* of a run */
	ACT_TEXT_MAX = 48,
	WHY_MAX = 600,
};
struct act_done {
	enum act kind;
	unsigned number;
	uint64_t at_us;
	char text[ACT_TEXT_MAX];
};
/* What the parent knows of a run: memory that both share, so that it is there even of one that crashed. */
struct run_report {
	uint64_t hash; /* of all that happened; 0: it did not come to its end */
	uint64_t steps;
	char why[WHY_MAX]; /* "limit: ..."; empty: no check failed */
	size_t count;
	struct act_done acts[ACTS_MAX];
};

/* In the run. */
void acts_begin(struct run_report *r);
struct run_report *acts_report(void);
/* One more of this kind is due. False: it is left out of this run. */
bool act_happens(enum act kind, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Before the run, in its parent. */
void acts_keep_all(void);
void acts_keep(const struct act_done *acts, size_t count);
bool acts_parse(const char *list); /* as acts_print() prints it */
void acts_print(const struct act_done *acts, size_t count);
