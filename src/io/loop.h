/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/rng.h"
#include "base/sv.h"
#include "base/time.h"

#include <stdbool.h>

/*
 * The event loop: one thread, one owner of sessions, lanes and timers. Everything here is called on
 * that thread unless it says otherwise. The clock is read once per round of the loop.
 */
struct io_loop;

NODISCARD struct io_loop *io_loop_new(void);
/* For tests that are run again: the same dice, and a clock that they set. All zero is io_loop_new(). */
struct io_loop_options {
	uint64_t seed; /* of io_prng(); 0: from the kernel */
	/* What io_now() and io_wall() say, and timers go by; NULL: the machine's. Asked once a round. */
	void (*clock)(void *arg, struct mono_time *out_mono, struct wall_time *out_wall);
	void *clock_arg;
};
NODISCARD struct io_loop *io_loop_new_with(const struct io_loop_options *options);
void io_loop_free(struct io_loop *l);
/* Runs until io_loop_stop(). */
void io_loop_run(struct io_loop *l);
void io_loop_stop(struct io_loop *l);

/*
 * How long the loop was busy between two sleeps: whoever came meanwhile waited so long. By the machine's clock, to
 * the millisecond, rounded up. What else runs on the machine is in it, too.
 */
enum {
	IO_LOOP_TURN_STEPS = 8
};
struct io_loop_turns {
	uint64_t count;
	uint64_t longest_us;               /* since the start */
	uint64_t recent_us;                /* the longest of this minute and the one before */
	uint64_t over[IO_LOOP_TURN_STEPS]; /* that took longer than io_loop_turn_steps_ms[i] */
};
extern const uint16_t io_loop_turn_steps_ms[IO_LOOP_TURN_STEPS];
struct io_loop_turns io_loop_turns(const struct io_loop *l);

struct mono_time io_now(const struct io_loop *l);
struct wall_time io_wall(const struct io_loop *l);
/* The same two clocks for code without a loop (the CLI, other threads). */
struct mono_time io_clock_mono(void);
struct wall_time io_clock_wall(void);
/* Somebody has set the wall clock by a time server: the kernel knows. */
bool io_clock_is_synced(void);
/* Stops this thread, which is not that of a loop. */
void io_sleep(uint64_t us);
/*
 * Long work on the loop is done in slices, with everything else in between. Is the one that began then over?
 */
#define IO_SLICE_US US_PER_MS
static inline bool io_slice_is_over(struct mono_time began)
{
	return mono_span(began, io_clock_mono()) >= IO_SLICE_US;
}
/* "2026-11-30T03:35:00.123456+01:00": in the zone of this machine, NUL-ended; returns `out`. */
enum {
	IO_LOCAL_TIME_MAX = 80
};
const char *io_local_time(struct wall_time t, char out[IO_LOCAL_TIME_MAX]);
/* Kernel randomness: for ids, seeds and nonces. Never fails (aborts). */
void io_random(void *out, size_t len);
uint64_t io_random_u64(void);
/* Dice, seeded from the kernel: pauses, choices. Whoever sees some of them knows the rest, so what strangers see
 * comes from io_random(). */
struct prng *io_prng(struct io_loop *l);
/* The allocator keeps what was freed: after a rush the kernel gets it back. A few ms for 50 MB. */
void io_memory_give_back(void);

/*
 * A one-shot timer inside the owner's struct; all-zero is a valid stopped timer. Starting a running
 * timer moves it. The owner stops it before its memory goes.
 */
struct io_timer {
	struct io_loop *loop;
	void (*fire)(void *arg);
	void *arg;
	struct mono_time at;
	struct heap_node node; /* private to io/ */
};

void io_timer_init(struct io_timer *t, struct io_loop *l, void (*fire)(void *arg), void *arg);
void io_timer_start(struct io_timer *t, struct mono_time at); /* MONO_NEVER stops it */
void io_timer_stop(struct io_timer *t);

/* Runs `fn` once, after the current callback has returned and before the loop sleeps again. */
struct io_task {
	struct list node; /* all zero before the first time */
	void (*run)(void *arg);
	void *arg;
};
static inline bool io_task_is_queued(const struct io_task *t)
{
	return t->node.next && !list_empty(&t->node);
}

void io_task_post(struct io_loop *l, struct io_task *t); /* nothing when it is queued already */
/* The same, behind all tasks that were posted so, with what the round has brought. */
void io_task_post_last(struct io_loop *l, struct io_task *t);
void io_task_cancel(struct io_loop *l, struct io_task *t); /* nothing when it is not queued */

/*
 * Wakes the loop from another thread: `fn` runs on the loop thread some time after each
 * io_wakeup_send(); several sends may give one call.
 */
struct io_wakeup;
NODISCARD struct io_wakeup *io_wakeup_new(struct io_loop *l, void (*fn)(void *arg), void *arg);
void io_wakeup_send(struct io_wakeup *w); /* any thread */
void io_wakeup_free(struct io_wakeup *w); /* loop thread, when no other thread can send */

/* SIGTERM, SIGHUP, SIGINT and friends arrive as a callback on the loop. */
void io_signal_watch(struct io_loop *l, int signum, void (*fn)(void *arg, int signum), void *arg);

/*
 * Watches any descriptor (libmicrohttpd's epoll, a pipe). The owner closes the descriptor after. When
 * the kernel reports an error on it, the callback comes with both bits and the watch is paused:
 * whoever wants to go on sets it again. NULL for what cannot be watched (a plain file).
 */
enum {
	IO_READABLE = 1,
	IO_WRITABLE = 2
};
struct io_watch;
NODISCARD struct io_watch *io_watch_new(struct io_loop *l, int fd, unsigned events,
	void (*fn)(void *arg, unsigned events), void *arg);
void io_watch_set(struct io_watch *w, unsigned events); /* 0 pauses it */
void io_watch_free(struct io_watch *w);
