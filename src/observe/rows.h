/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/htable.h"
#include "conf/conf.h"
#include "outbound/outbound.h"
#include "store/store.h"

/*
 * Every mailbox and connector with what runs, what waits and what holds it: what `status` groups and
 * `mailboxes` lists. Those without mail too, and those that are gone from the configuration while mail
 * waits for them. Made in steps, over several turns of the loop.
 */
struct observe_row {
	struct sv key;
	const struct conf_lane *c;          /* NULL: not configured any more, or ("") no route */
	bool has_status;                    /* false: it never had mail, or no daemon runs */
	struct outbound_lane_status status; /* its texts are copies */
	struct sched_reason pace;           /* of the last that waits, if nothing holds it */
	uint64_t waiting, held;             /* recipients; held by an operator */
	struct wall_time oldest_at;
	const struct observe_waiting *first; /* what waits, by cause and state */
};
struct observe_waiting {
	const struct store_summary_row *row;
	const struct observe_waiting *next;
};
struct observe_rows {
	struct observe_row **items;
	size_t count;
	struct htable by_key;
	struct arena *arena;
	const struct conf *conf;
	struct outbound *outbound;
	const struct conf_lane *lanes;
	size_t lane_count, made_count;
	const struct store_summary *summary;
	size_t steps;
};

/* All is borrowed; then add() for each step from 0 on, and look() for each row, where a daemon runs (`outbound`). */
void observe_rows_begin(struct observe_rows *r, struct arena *a, const struct conf *conf,
	struct outbound *outbound, const struct store_summary *summary);
void observe_rows_add(struct observe_rows *r, size_t step);
void observe_row_look(struct observe_rows *r, size_t at);
struct observe_row *observe_rows_find(const struct observe_rows *r, struct sv key); /* or NULL */
void observe_rows_deinit(struct observe_rows *r);

/* "ready", "waiting", "parked", "probing", "unused", "gone", "stopped", "wildcard". */
const char *observe_row_state(const struct observe_row *r, bool running);
bool observe_row_is_held(const struct observe_row *r);
/* What is used of its limits; where nothing runs, the limits alone. */
struct limit_use observe_row_use(const struct observe_row *r);
/* About when all that waits has left, by its limits (`pace`); 0: nothing waits, or nobody can say. */
struct wall_time observe_row_done_at(const struct observe_row *r, struct wall_time now);
