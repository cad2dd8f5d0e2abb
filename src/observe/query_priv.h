/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/sort.h"
#include "conf/conf.h"
#include "observe/json.h"
#include "observe/query.h"
#include "observe/rows.h"

/* What runs a request: `next` does one bounded step, at once or by a store operation. */
struct observe_query {
	const struct observe_sources *sources;
	struct observe_query_sink sink;
	struct conf *conf;          /* a reference: rows of several turns are of one snapshot */
	struct outbound *looked_at; /* outbound_look_begin(); NULL: no daemon runs */
	json_t *request;
	struct arena arena; /* filters and keys of the request: lives as long as the query */
	struct arena page;  /* one answer of the store */
	union {
		struct store_op op;
		struct store_list list;
		struct store_show show;
		struct store_edit edit;
		struct store_summary summary;
		struct store_parks_read parks;
	};
	/* Where no daemon runs: what the queue remembers of holds. In `arena`. */
	const struct store_park_row *park_rows;
	size_t park_count;
	void (*then)(struct observe_query *q);
	/* What goes on over several turns of the loop: see observe_query_turns(). */
	struct io_task turn;
	struct mono_time slice_began;
	size_t piece_count, piece_at;
	void (*piece)(struct observe_query *q, size_t at);
	void (*pieces_done)(struct observe_query *q);
	bool shows; /* a piece is a line */
	struct sort sort;
	struct observe_rows table; /* in `page` */
	void **shown;              /* of `table`, or what else is shown in an order; in `page` */
	struct mailboxes_wanted *wanted;
	struct observe_look *look; /* of `status`; NULL: none */
	struct {
		struct sv *items;
		size_t count;
	} names;                     /* of what is looked at one by one, in `page` */
	struct observe_list *listed; /* of `list`; NULL: none */
	struct observe_edit *edits;  /* of `edit`, in `arena` */
	json_t *totals;              /* goes with the end; NULL: none */
	void (*step)(struct observe_query *q);
	uint64_t rows, changed;
	uint64_t rows_max;     /* "limit"; 0: all */
	struct report *report; /* see query_report.c */
	struct observe_reload reload;
	int reload_rc;
	bool op_running, paused, freed, finished;
	bool in_spite_of_damage; /* it goes on with what the queue gave before it failed */
};

void observe_query_emit(struct observe_query *q, json_t *object); /* takes the object */
char *observe_query_line(json_t *object); /* likewise; for sink.line, on the heap */
void observe_query_end(struct observe_query *q);
void observe_query_fail(struct observe_query *q, int exit_code, const char *text);
/* Hands q->op over; `done` runs unless the query was freed meanwhile. */
void observe_query_submit(
	struct observe_query *q, enum store_op_kind kind, void (*done)(struct observe_query *q));

/* One line for each lane, state and cause of q->summary, over several turns. */
void observe_query_emit_waiting(struct observe_query *q, void (*done)(struct observe_query *q));

/*
 * Calls `each` for 0 to count - 1, some of them in each turn of the loop, then `done`: thousands of lines never hold
 * up the mail. turns() is for lines, and goes on only while the reader has room; work() is for what comes before.
 * One at a time; what `done` begins is part of the same slice.
 */
void observe_query_turns(struct observe_query *q, size_t count,
	void (*each)(struct observe_query *q, size_t at), void (*done)(struct observe_query *q));
void observe_query_work(struct observe_query *q, size_t count,
	void (*each)(struct observe_query *q, size_t at), void (*done)(struct observe_query *q));
/* q->shown, likewise. */
void observe_query_sort(struct observe_query *q, size_t count, sort_compare_fn *compare, void *arg,
	void (*done)(struct observe_query *q));
/* q->table, of q->summary, likewise. */
void observe_query_rows(struct observe_query *q, void (*done)(struct observe_query *q));

/* After an edit: running lanes look again (retry, release, reroute). */
void observe_query_edited(struct observe_query *q);

/* hold.c: then(q) with what holds mail known to the next two. */
void observe_query_with_holds(struct observe_query *q, void (*then)(struct observe_query *q));
/* Of senders and tenants; where no daemon runs, of mailboxes as well. */
void observe_each_hold(struct observe_query *q,
	void (*each)(void *arg, const struct outbound_hold *hold), void *arg);
/* What holds a recipient that waits. False: nothing but its turn. */
bool observe_hold_of(const struct observe_query *q, const struct store_recipient *r,
	struct sv sender, struct outbound_hold *out);
/* No row is written for a hold: what waits for one is found row by row. The cause of a filter, which it then has no
 * longer, if anything is held for it; else "", and the queue filters by it. */
struct sv observe_cause_of_hold(struct observe_query *q, struct store_filter *f);
/* By its own last answer, or by what holds it. */
bool observe_waits_by(
	const struct outbound_hold *h, const struct store_recipient *r, struct sv cause);

/* Of the request, checked: false when the query has failed with what is wrong. "" is all. */
NODISCARD bool observe_query_pool(
	struct observe_query *q, const struct conf_pool **out); /* NULL: none is asked for */
NODISCARD bool observe_query_tenant(struct observe_query *q, struct sv *out_name);
NODISCARD bool observe_query_cause(struct observe_query *q, struct sv cause);

NODISCARD bool observe_query_filter(struct observe_query *q, struct store_filter *f);

/* recipient.c: of one line of `list`, or of `show`. */
json_t *observe_message_json(const struct store_message *m);
/* With what holds it. True: it is parked. */
bool observe_recipient_put(const struct observe_query *q, json_t *o, const struct store_message *m,
	const struct store_recipient *r);
/* The expiry that is in force: parked mail has its own, longer time, within that of its class. */
struct wall_time observe_expires_at(const struct observe_query *q, const struct store_message *m,
	const struct store_recipient *r, bool parked);
void observe_list_free(struct observe_list *l);

/* row_json.c: a row as `mailboxes` shows it. */
json_t *observe_row_json(const struct observe_query *q, const struct observe_row *r);

/* Starters: read the request, set `step` or finish. */
void observe_query_list(struct observe_query *q);
void observe_query_show(struct observe_query *q);
void observe_query_edit(struct observe_query *q);
void observe_query_summary(struct observe_query *q);
void observe_query_status(struct observe_query *q);
void observe_query_mailboxes(struct observe_query *q);
void observe_query_probe(struct observe_query *q);
void observe_query_report(struct observe_query *q);
void observe_query_report_free(struct report *r);
void observe_look_free(struct observe_look *l);

/* query_look.c: lines for what is held in q->table, and for what is well. */
void observe_query_look(struct observe_query *q, void (*done)(struct observe_query *q));
