/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/must.h"
#include "base/rng.h"
#include "simio/simio_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Time, loops, timers, tasks, dice. */
enum {
	TASK_US_MAX = 20,
	LOG_BYTES_MAX = 64 << 20,
};
/* 2026-11-30 08:00:00 UTC; an hour after the machine has started. */
#define WALL_AT_BEGIN INT64_C(1796025600000000)
#define UP_AT_BEGIN (US_PER_HOUR)
/* FNV-1a. */
#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

static struct {
	uint64_t now_us, boot_us;
	int64_t clock_us; /* what the wall clock is ahead */
	struct heap events;
	struct list loops;
	struct prng dice;
	struct buf log;
	uint64_t hash, steps;
	struct io_loop *thread_of; /* whose thread, and no loop, runs now */
	void (*abandon)(void);
} world;

void simio_begin(uint64_t seed)
{
	must(world.loops.next == NULL);
	prng_seed(&world.dice, seed);
	world.hash = HASH_BEGIN;
	list_init(&world.loops);
	buf_init(&world.log, LOG_BYTES_MAX);
	world.now_us = UP_AT_BEGIN;
}

/* ---- what has happened ---- */

void simio_hash_bytes(struct sv bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		world.hash = (world.hash ^ (unsigned char)bytes.ptr[i]) * HASH_PRIME;
}

static void hash_number(uint64_t n)
{
	world.hash = (world.hash ^ n) * HASH_PRIME;
	world.hash ^= world.hash >> 32;
}

uint64_t simio_hash(void)
{
	return world.hash;
}

uint64_t simio_steps(void)
{
	return world.steps;
}

uint64_t simio_now(void)
{
	return world.now_us - UP_AT_BEGIN;
}

uint64_t simio_below(uint64_t bound)
{
	return prng_below(&world.dice, bound);
}

bool simio_chance(unsigned percent)
{
	return simio_below(100) < percent;
}

void simio_reboot(void)
{
	world.boot_us = world.now_us - US_PER_S * (5 + simio_below(60));
}

void simio_set_clock(int64_t by_us)
{
	world.clock_us += by_us;
}

/* ---- events ---- */

struct simio_event *simio_later(
	struct io_loop *l, uint64_t delay_us, void (*run)(void *arg), void *arg)
{
	struct simio_event *e = xcalloc(1, sizeof(*e));

	e->loop = l;
	e->run = run;
	e->arg = arg;
	heap_insert(&world.events, &e->node, world.now_us + delay_us);
	return e;
}

void simio_never(struct simio_event *e)
{
	if (!e)
		return;
	heap_remove(&world.events, &e->node);
	free(e);
}

static void run_event(struct heap_node *node)
{
	struct simio_event e, *held = CONTAINER_OF(node, struct simio_event, node);

	heap_remove(&world.events, node);
	e = *held;
	free(held);
	if (!e.loop->dead)
		e.run(e.arg);
}

static void run_timer(struct io_loop *l, struct heap_node *node)
{
	struct io_timer *t = CONTAINER_OF(node, struct io_timer, node);

	heap_remove(&l->timers, node);
	t->fire(t->arg);
}

bool simio_step(uint64_t until_us)
{
	struct heap_node *first = heap_first(&world.events);
	uint64_t at = first ? first->key : UINT64_MAX;
	struct io_loop *of_timer = NULL;

	list_each (pos, &world.loops) {
		struct io_loop *l = list_entry(pos, struct io_loop, node);
		struct heap_node *timer = l->dead ? NULL : heap_first(&l->timers);
		uint64_t due = timer ? timer->key + l->boot_us : UINT64_MAX;

		/* Of two that are due together the dice choose. */
		if (due < at || (due == at && timer && (prng_next(&world.dice) & 1))) {
			at = due;
			of_timer = l;
		}
	}
	if (at == UINT64_MAX || (at > UP_AT_BEGIN && at - UP_AT_BEGIN > until_us)) {
		if (world.now_us < until_us + UP_AT_BEGIN)
			world.now_us = until_us + UP_AT_BEGIN;
		return false;
	}
	if (at > world.now_us)
		world.now_us = at;
	world.steps++;
	hash_number(at * 2 + (of_timer != NULL));
	if (of_timer)
		run_timer(of_timer, heap_first(&of_timer->timers));
	else
		run_event(first);
	return true;
}

/* ---- loops ---- */

struct io_loop *io_loop_new_with(const struct io_loop_options *options)
{
	struct io_loop *l = xcalloc(1, sizeof(*l));

	prng_seed(&l->prng, options->seed ? options->seed : prng_next(&world.dice));
	l->boot_us = world.boot_us;
	list_init(&l->tasks);
	list_init(&l->tasks_end);
	list_init(&l->streams);
	list_append(&world.loops, &l->node);
	return l;
}

struct io_loop *io_loop_new(void)
{
	return io_loop_new_with(&(struct io_loop_options){ .seed = 0 });
}

struct mono_time io_now(const struct io_loop *l)
{
	return (struct mono_time){ world.now_us - l->boot_us };
}

struct mono_time io_clock_mono(void)
{
	return (struct mono_time){ world.now_us - world.boot_us };
}

struct io_loop *simio_set_thread(struct io_loop *l)
{
	struct io_loop *before = world.thread_of;

	world.thread_of = l;
	return before;
}

void simio_on_abandon(void (*fn)(void))
{
	world.abandon = fn;
}

/* Whatever runs in a world takes no time, but a thread that waits lets all others run. */
void io_sleep(uint64_t us)
{
	struct io_loop *sleeper = simio_set_thread(NULL);
	uint64_t until = simio_now() + us;

	while (sleeper && simio_step(until)) {
		if (sleeper->dead && world.abandon)
			world.abandon();
	}
	(void)simio_set_thread(sleeper);
}

/* As on a machine that nobody has to doubt. */
bool io_clock_is_synced(void)
{
	return true;
}

struct wall_time io_clock_wall(void)
{
	return (struct wall_time){ WALL_AT_BEGIN + (int64_t)world.now_us + world.clock_us };
}

struct wall_time io_wall(const struct io_loop *l)
{
	must(!l->dead);
	return io_clock_wall();
}

struct prng *io_prng(struct io_loop *l)
{
	return &l->prng;
}

void io_random(void *out, size_t len)
{
	unsigned char *at = out;

	while (len--)
		*at++ = (unsigned char)prng_next(&world.dice);
}

uint64_t io_random_u64(void)
{
	return prng_next(&world.dice);
}

/* ---- timers and tasks ---- */

void io_timer_init(struct io_timer *t, struct io_loop *l, void (*fire)(void *arg), void *arg)
{
	*t = (struct io_timer){ .loop = l, .fire = fire, .arg = arg };
}

void io_timer_start(struct io_timer *t, struct mono_time at)
{
	uint64_t now = io_now(t->loop).us;

	if (at.us == MONO_NEVER.us) {
		io_timer_stop(t);
		return;
	}
	t->at = at;
	/* The real one is a round of the loop away at least, or one that asks for the past stops time. */
	heap_update(&t->loop->timers, &t->node, at.us > now ? at.us : now + 1);
}

void io_timer_stop(struct io_timer *t)
{
	if (heap_holds(&t->node))
		heap_remove(&t->loop->timers, &t->node);
}

static void run_tasks(void *arg)
{
	struct io_loop *l = arg;

	l->tasks_due = false;
	/* What they post waits for the next turn. */
	list_append(&l->tasks, &l->tasks_end);
	while (l->tasks.next != &l->tasks_end) {
		struct io_task *t = list_entry(l->tasks.next, struct io_task, node);

		io_task_cancel(l, t);
		t->run(t->arg);
	}
	list_remove(&l->tasks_end);
}

void io_task_post(struct io_loop *l, struct io_task *t)
{
	if (io_task_is_queued(t))
		return;
	list_append(&l->tasks, &t->node);
	if (!l->tasks_due)
		(void)simio_later(l, 1 + simio_below(TASK_US_MAX), run_tasks, l);
	l->tasks_due = true;
}

void io_task_cancel(struct io_loop *l, struct io_task *t)
{
	(void)l;
	if (io_task_is_queued(t))
		list_remove(&t->node);
}

/* ---- the log ---- */

void simio_note(const char *fmt, ...)
{
	char line[1024];
	uint64_t now = simio_now();
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	simio_hash_bytes(sv_from(line));
	must(buf_printf(&world.log,
		     "%02u:%02u:%02u.%06u %s\n",
		     (unsigned)(now / US_PER_HOUR),
		     (unsigned)(now / US_PER_MIN % 60),
		     (unsigned)(now / US_PER_S % 60),
		     (unsigned)(now % US_PER_S),
		     line) == 0);
}

struct sv simio_log(void)
{
	return buf_sv(&world.log);
}
