/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include "base/must.h"
#include "base/secret.h"
#include "io/loop_priv.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>

/*
 * A round of libuv is: prepare, poll (sleeps, then runs the callbacks of descriptors, wake-ups and
 * signals), check, closing. Ours is laid over it:
 *
 *   poll      descriptors: streams read and tell their owners
 *   check     timers that are due, TLS handshakes, tasks, the last tasks, then every dirty stream writes once
 *   closing   libuv gives closed handles back
 *   prepare   the memory of freed streams goes: until here it can still be looked at; once more tasks and dirty streams (left-overs), then the sleep is measured
 *
 * The clock goes stale in prepare and is read again by the first who asks after the poll.
 */

enum {
	/* libuv's clock stands still while the machine is suspended, ours does not: with this bound a
	 * timer is at most this late after waking up. */
	SLEEP_MS_MAX = 60000,
	CLOSE_TURNS = 16,
	CALLS_A_LOOK = 32, /* at the clock */
};

static void sleep_over(uv_timer_t *timer)
{
	struct io_loop *l = timer->data;

	l->sleep_key = 0;
}

static void read_clock(const struct io_loop *l, struct io_clock *out)
{
	if (l->options.clock)
		l->options.clock(l->options.clock_arg, &out->mono, &out->wall);
	else
		*out = (struct io_clock){ io_clock_mono(), io_clock_wall(), false };
	out->fresh = true;
}

static void measure_sleep(struct io_loop *l)
{
	const struct heap_node *first = heap_first(&l->timers);
	struct io_clock now;
	uint64_t ms;

	if (!first) {
		if (l->sleep_key)
			(void)uv_timer_stop(&l->sleep);
		l->sleep_key = 0;
		return;
	}
	/* Key 0 cannot be told from "not set": it is measured again, and is due anyway. */
	if (first->key == l->sleep_key && l->sleep_key)
		return;
	read_clock(l, &now);
	ms = mono_span(now.mono, (struct mono_time){ first->key });
	ms = ms / US_PER_MS + (ms % US_PER_MS != 0);
	if (ms > SLEEP_MS_MAX)
		ms = SLEEP_MS_MAX;
	uv_update_time(&l->uv);
	must(uv_timer_start(&l->sleep, sleep_over, ms, 0) == 0);
	l->sleep_key = first->key;
}

/* Thousands of timers or tasks at once: a slice of them, with a poll before the next. */
static bool is_enough(size_t done, struct mono_time began)
{
	return done % CALLS_A_LOOK == CALLS_A_LOOK - 1 && io_slice_is_over(began);
}

static void fire_timers(struct io_loop *l)
{
	uint64_t newcomers = l->timers.inserted;
	struct heap_node *first = heap_first(&l->timers);
	struct mono_time began;
	size_t fired = 0;

	if (!first)
		return;
	began = io_clock_mono();
	l->firing = true;
	/* A timer that is started again here waits for the next round, or it could stop the world. */
	while (first && first->key <= io_now(l).us && first->order < newcomers &&
		!is_enough(fired++, began)) {
		struct io_timer *t = CONTAINER_OF(first, struct io_timer, node);

		heap_remove(&l->timers, first);
		t->fire(t->arg);
		first = heap_first(&l->timers);
	}
	l->firing = false;
}

static void run_tasks(struct io_loop *l)
{
	struct mono_time began;

	if (list_empty(&l->tasks))
		return;
	began = io_clock_mono();
	list_append(&l->tasks, &l->tasks_end);
	for (size_t i = 0; l->tasks.next != &l->tasks_end && !is_enough(i, began); i++) {
		struct io_task *t = list_entry(l->tasks.next, struct io_task, node);

		io_task_cancel(l, t);
		t->run(t->arg);
	}
	list_remove(&l->tasks_end);
}

/* One that is posted again here waits for the next round. */
static void run_last(struct io_loop *l)
{
	struct list now;

	if (list_empty(&l->last))
		return;
	list_init(&now);
	list_append(&l->last, &now);
	list_remove(&l->last);
	while (!list_empty(&now)) {
		struct io_task *t = list_entry(now.next, struct io_task, node);

		io_task_cancel(l, t);
		t->run(t->arg);
	}
}

/* An active idle handle keeps the poll from sleeping; that is all it is for. */
static void on_idle(uv_idle_t *idle)
{
	must(idle->data != NULL);
}

static void end_round(struct io_loop *l)
{
	run_tasks(l);
	run_last(l);
	io_streams_serve(l);
	if (!list_empty(&l->tasks) || !list_empty(&l->last) || !list_empty(&l->dirty) ||
		l->steps.waiting.count)
		must(uv_idle_start(&l->idle, on_idle) == 0);
	else
		must(uv_idle_stop(&l->idle) == 0);
}

/* ---- how long it takes ---- */

const uint16_t io_loop_turn_steps_ms[IO_LOOP_TURN_STEPS] = { 5, 10, 20, 50, 100, 200, 500, 1000 };

static void turn_ends(struct io_loop *l)
{
	struct io_turns *t = &l->turns;
	uint64_t now_us = uv_hrtime() / 1000, took, minute = now_us / US_PER_MIN;

	if (t->began_ms == 0)
		return;
	took = now_us - t->began_ms * US_PER_MS;
	t->began_ms = 0;
	t->seen.count++;
	if (minute != t->minute) {
		t->minute_before_us = minute == t->minute + 1 ? t->minute_us : 0;
		t->minute_us = 0;
		t->minute = minute;
	}
	if (took > t->minute_us)
		t->minute_us = took;
	if (took > t->seen.longest_us)
		t->seen.longest_us = took;
	for (size_t i = 0; i < IO_LOOP_TURN_STEPS && took > io_loop_turn_steps_ms[i] * US_PER_MS;
		i++)
		t->seen.over[i]++;
}

struct io_loop_turns io_loop_turns(const struct io_loop *l)
{
	const struct io_turns *t = &l->turns;
	struct io_loop_turns seen = t->seen;

	seen.recent_us = t->minute_us > t->minute_before_us ? t->minute_us : t->minute_before_us;
	return seen;
}

static void on_check(uv_check_t *check)
{
	struct io_loop *l = check->data;

	/* libuv has read its clock when the poll came back; what the poll called has been busy since. */
	l->turns.began_ms = uv_now(&l->uv);
	fire_timers(l);
	io_streams_step(l);
	end_round(l);
}

static void on_prepare(uv_prepare_t *prepare)
{
	struct io_loop *l = prepare->data;

	io_streams_reap(l);
	end_round(l);
	measure_sleep(l);
	l->clock->fresh = false;
	turn_ends(l);
	secret_forget_registers();
}

struct io_loop *io_loop_new(void)
{
	return io_loop_new_with(&(struct io_loop_options){ 0 });
}

struct io_loop *io_loop_new_with(const struct io_loop_options *options)
{
	struct io_loop *l = xcalloc(1, sizeof(*l));
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	uint64_t seed = options->seed;

	l->options = *options;
	/* OpenSSL writes with write(2), which has no MSG_NOSIGNAL. */
	must(sigaction(SIGPIPE, &ignore, NULL) == 0);
	must(uv_loop_init(&l->uv) == 0);
	must(uv_timer_init(&l->uv, &l->sleep) == 0);
	must(uv_prepare_init(&l->uv, &l->prepare) == 0);
	must(uv_check_init(&l->uv, &l->check) == 0);
	must(uv_idle_init(&l->uv, &l->idle) == 0);
	l->sleep.data = l;
	l->prepare.data = l;
	l->check.data = l;
	l->idle.data = l;
	io_polls_init(l);
	must(uv_prepare_start(&l->prepare, on_prepare) == 0);
	must(uv_check_start(&l->check, on_check) == 0);
	list_init(&l->tasks);
	list_init(&l->tasks_end);
	list_init(&l->last);
	list_init(&l->dirty);
	list_init(&l->closing);
	list_init(&l->gone);
	list_init(&l->signals);
	l->clock = xcalloc(1, sizeof(*l->clock));
	if (seed == 0)
		io_random(&seed, sizeof(seed));
	prng_seed(&l->prng, seed);
	io_steps_init(&l->steps, seed);
	return l;
}

void io_loop_run(struct io_loop *l)
{
	(void)uv_run(&l->uv, UV_RUN_DEFAULT);
}

void io_loop_stop(struct io_loop *l)
{
	uv_stop(&l->uv);
}

struct mono_time io_now(const struct io_loop *l)
{
	if (!l->clock->fresh)
		read_clock(l, l->clock);
	return l->clock->mono;
}

struct wall_time io_wall(const struct io_loop *l)
{
	(void)io_now(l);
	return l->clock->wall;
}

void io_memory_give_back(void)
{
#ifdef __GLIBC__
	(void)malloc_trim(0);
#endif
}

struct prng *io_prng(struct io_loop *l)
{
	return &l->prng;
}

void io_timer_init(struct io_timer *t, struct io_loop *l, void (*fire)(void *arg), void *arg)
{
	*t = (struct io_timer){ .loop = l, .fire = fire, .arg = arg };
}

void io_timer_start(struct io_timer *t, struct mono_time at)
{
	uint64_t key = at.us;

	if (at.us == MONO_NEVER.us) {
		io_timer_stop(t);
		return;
	}
	t->at = at;
	/* While timers fire, one that always asks for the past must queue behind the others. */
	if (t->loop->firing && key < io_now(t->loop).us)
		key = io_now(t->loop).us;
	heap_update(&t->loop->timers, &t->node, key);
}

void io_timer_stop(struct io_timer *t)
{
	if (heap_holds(&t->node))
		heap_remove(&t->loop->timers, &t->node);
}

void io_task_post(struct io_loop *l, struct io_task *t)
{
	if (!io_task_is_queued(t))
		list_append(&l->tasks, &t->node);
}

void io_task_post_last(struct io_loop *l, struct io_task *t)
{
	if (!io_task_is_queued(t))
		list_append(&l->last, &t->node);
}

void io_task_cancel(struct io_loop *l, struct io_task *t)
{
	(void)l;
	if (io_task_is_queued(t))
		list_remove(&t->node);
}

void io_loop_free(struct io_loop *l)
{
	struct heap_node *node;

	if (!l)
		return;
	io_streams_drop(l);
	io_streams_reap(l);
	io_polls_deinit(l);
	node = heap_first(&l->timers);
	while (node) {
		heap_remove(&l->timers, node);
		node = heap_first(&l->timers);
	}
	heap_deinit(&l->timers);
	io_steps_deinit(&l->steps);
	list_each_safe (at, after, &l->signals) {
		list_remove(at);
		io_signal_drop(at);
	}
	uv_close((uv_handle_t *)&l->sleep, NULL);
	uv_close((uv_handle_t *)&l->prepare, NULL);
	uv_close((uv_handle_t *)&l->check, NULL);
	uv_close((uv_handle_t *)&l->idle, NULL);
	/* A signal that is in flight keeps its handle for another turn. Runs out of turns only when a
	 * stream, watch, listener or wake-up outlives its loop. */
	for (unsigned turns = CLOSE_TURNS; uv_loop_close(&l->uv) != 0; turns--) {
		must(turns > 0);
		(void)uv_run(&l->uv, UV_RUN_NOWAIT);
	}
	free(l->clock);
	free(l);
}
