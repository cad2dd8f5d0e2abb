/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/buf.h"
#include "base/time.h"
#include "provider/limits.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Days of sending in seconds: the engine itself (limit/, sched/: what the daemon runs, not a copy) on a virtual clock,
 * against the sandbox's model of Exchange and receivers that defer mailboxes which they do not know. The same options and
 * seed give the same days. Pure.
 *
 * It leaves out connections, sign-in, the queue on disk and the ways of several doors: those have tests of their own.
 */
struct simulate_box {
	uint32_t tenant;
	/* As configured, after the share; 0: no limit; but at least 1 connection. */
	uint32_t messages_per_minute, recipients_per_day, connections;
	bool by_graph;
};
struct simulate_options {
	uint64_t seed;
	uint32_t days, mailboxes, tenants; /* all but the seed > 0 */
	uint32_t each_per_day; /* messages that come for each mailbox, of one recipient */
	uint32_t batch;        /* they come so many at once, from 8:00 to 18:00; 0: 10 */
	/* All mailboxes are alike, and spread over the tenants... */
	struct simulate_box alike;
	/* ...or each is another, and each tenant. NULL: alike. */
	const struct simulate_box *boxes;
	const struct provider_tenant *tenant_is;
	/* Of each tenant in Exchange; 0: as many licences as it has mailboxes. */
	uint32_t licences;
	uint32_t external_per_day; /* 0: by the licences */
	struct wall_time start;    /* midnight of the first day */
	/* Receivers answer a mailbox that they do not know yet with "later", so many in a hundred. */
	uint32_t defer_percent;
	uint32_t
		trouble_permille; /* replies of the catalogue, and lines that break, among a thousand */
	uint64_t delay_us_max; /* of a message on its way, and of its reply; 0: 1 s */
	/* What goes wrong with the machine, so many a day: kill -9 and a start; the wall clock is set, up to an hour. */
	uint32_t restarts, clock_steps;
	/* The clocks of people go forward by so many minutes (back: negative) at 2:00 of this day, from 1; 0: never. */
	uint32_t shift_day;
	int32_t shift_minutes;
	uint32_t
		door_day; /* at noon of this day each mailbox changes its door from SMTP to Graph; 0: never */
};

enum simulate_limit {
	SIMULATE_MINUTE, /* of the mailbox that used most of it */
	SIMULATE_DAY,
	SIMULATE_TENANT, /* external recipients */
	SIMULATE_LIMIT_COUNT,
};
const char *simulate_limit_name(enum simulate_limit limit); /* as the sandbox calls it */

struct simulate_day {
	char date[11];  /* "2026-11-30" */
	uint32_t hours; /* 23, 24 or 25 */
	uint64_t came, sent, deferred, uncertain, bounced, held;
	uint64_t waiting;  /* at its end */
	uint64_t restarts; /* and clocks set */
	uint32_t used[SIMULATE_LIMIT_COUNT], allowed[SIMULATE_LIMIT_COUNT];
	uint64_t violations;
};

struct simulate_total {
	struct simulate_day sum; /* date: of the last day; used: of the worst day */
	uint64_t duplicates;     /* sent again, since nobody knew */
	char first_violation[400];
};

typedef void simulate_day_fn(void *arg, const struct simulate_day *day);
/* `each` NULL: only the total. */
void simulate_run(const struct simulate_options *o, simulate_day_fn *each, void *arg,
	struct simulate_total *out);

/* A line of the table, and its head; width of the date as in ISO 8601. RC_LIMIT when `out` is full. */
NODISCARD int simulate_write_head(struct buf *out);
NODISCARD int simulate_write_day(const struct simulate_day *d, struct buf *out);
NODISCARD int simulate_write_total(
	const struct simulate_options *o, const struct simulate_total *t, struct buf *out);
