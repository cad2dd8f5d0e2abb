/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/heap.h"
#include "base/list.h"
#include "simio/simio.h"

struct io_loop {
	struct list node; /* of the world */
	struct heap timers;
	struct list tasks, tasks_end; /* those before the end are of this turn */
	bool tasks_due;               /* an event for them is on its way */
	struct prng prng;
	uint64_t boot_us; /* true time at which its clock began */
	struct list streams;
	bool dead, stopped;
};

/* Something that happens later. On the heap; the world frees it before it runs. */
struct simio_event {
	struct heap_node node;
	struct io_loop *loop;
	void (*run)(void *arg);
	void *arg;
};
struct simio_event *simio_later(
	struct io_loop *l, uint64_t delay_us, void (*run)(void *arg), void *arg);
void simio_never(struct simio_event *e); /* NULL is allowed */
/* What runs now is a thread of this one, which may sleep; NULL: it is a loop. Returns what was so before. */
struct io_loop *simio_set_thread(struct io_loop *l);
/* What went from one to another is a part of what has happened. */
void simio_hash_bytes(struct sv bytes);
