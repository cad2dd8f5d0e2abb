/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "io/loop.h"

/*
 * Jobs in order, on a thread of their own. They run in turns: one turn takes all that was handed over since
 * the turn before, and the whole of each round of the loop, so that one commit can serve it. Between the turns the
 * owner has a step of its own work.
 */
struct io_serial;

/* Inside the owner's struct, which stays where it is until `done`. */
struct io_serial_job {
	struct io_serial_job *next; /* of the same turn, for `run` to read; else private to io/ */
	bool again; /* set by `run`: not finished, it goes to the end of what waits, without `done` */
};

struct io_serial_work {
	/* On the thread: */
	void (*run)(void *arg, struct io_serial_job *first);
	/* After each turn, when the loop has what is finished; and while no job waits, until it is false. */
	bool (*step)(void *arg);
	/* No job waits, and there is no further step: so long may the thread sleep. */
	uint64_t (*rest)(void *arg);
	/* On the loop, in the order of hand-over. The job is the owner's again, and may be freed. */
	void (*done)(void *arg, struct io_serial_job *job);
	void *arg;
};

NODISCARD struct io_serial *io_serial_new(struct io_loop *l, const struct io_serial_work *work);
/* Finishes what was handed over, also what a `done` hands over meanwhile, and tells it. NULL is allowed. */
void io_serial_free(struct io_serial *s);
/* The same; false when the thread did not end in that time. It ends when it can; until then it, its jobs and its loop
 * stay as they are, and it may be freed again. */
NODISCARD bool io_serial_free_within(struct io_serial *s, uint64_t us);
/* What waits is finished without having run, before what runs: each job is shown to `each` first. From any thread. */
void io_serial_give_up(
	struct io_serial *s, void (*each)(void *arg, struct io_serial_job *job), void *arg);
void io_serial_hand(struct io_serial *s, struct io_serial_job *job);
