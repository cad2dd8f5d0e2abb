/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "conf/conf.h"
#include "observe/json.h"
#include "observe/query.h"

/* What runs a request: `next` does one bounded step, at once or by a store operation. */
struct observe_query {
	const struct observe_sources *sources;
	struct observe_query_sink sink;
	json_t *request;
	struct arena arena; /* filters and keys of the request: lives as long as the query */
	struct arena page;  /* one answer of the store */
	union {
		struct store_op op;
		struct store_list list;
		struct store_show show;
		struct store_edit edit;
		struct store_summary summary;
	};
	void (*step)(struct observe_query *q);
	uint64_t rows, changed;
	uint64_t rows_max;     /* "limit"; 0: all */
	struct report *report; /* see query_report.c */
	bool op_running, paused, freed, finished;
};

void observe_query_emit(struct observe_query *q, json_t *object); /* takes the object */
void observe_query_end(struct observe_query *q);
void observe_query_fail(struct observe_query *q, int exit_code, const char *text);
/* Hands q->op over; `done` runs unless the query was freed meanwhile. */
void observe_query_submit(
	struct observe_query *q, enum store_op_kind kind, void (*done)(struct observe_query *q));

/* One line for each lane, state and cause of q->summary. */
void observe_query_emit_waiting(struct observe_query *q);

/* After an edit: running lanes look again (retry, release, reroute). */
void observe_query_edited(struct observe_query *q);

/* Reads the filter keys of the request; false: the query has failed. */
NODISCARD bool observe_query_filter(struct observe_query *q, struct store_filter *out_filter);

/* Starters: read the request, set `step` or finish. */
void observe_query_list(struct observe_query *q);
void observe_query_show(struct observe_query *q);
void observe_query_edit(struct observe_query *q);
void observe_query_summary(struct observe_query *q);
void observe_query_status(struct observe_query *q);
struct outbound_lane_status;
/* The six things that must be right at once, {state, text} each. `c` NULL: not configured any more. */
json_t *observe_six(const struct conf_lane *c, const struct outbound_lane_status *status);
void observe_query_mailboxes(struct observe_query *q);
void observe_query_probe(struct observe_query *q);
void observe_query_report(struct observe_query *q);
void observe_query_report_free(struct report *r);
