/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include <time.h>
#include <unistd.h>

#include "cmocka_all.h"

/* ---- how long a turn takes ---- */

struct idler {
	struct io_loop *loop;
	struct io_timer timer;
	unsigned turns;
	struct io_loop_turns seen; /* after the first two */
};

/* The second turn is busy for 25 ms at least: no machine sleeps shorter than it was told to. */
static void on_idler(void *arg)
{
	const struct timespec busy = { .tv_nsec = 25000000 };
	struct idler *i = arg;

	switch (++i->turns) {
	case 2:
		(void)nanosleep(&busy, NULL);
		break;
	case 3:
		i->seen = io_loop_turns(i->loop);
		io_loop_stop(i->loop);
		return;
	default:
		break;
	}
	io_timer_start(&i->timer, mono_add(io_now(i->loop), US_PER_MS));
}

static void a_long_turn_is_noticed(void **state)
{
	struct idler i = { .loop = io_loop_new() };
	struct io_loop_turns none = io_loop_turns(i.loop);

	(void)state;
	assert_int_equal(none.count, 0);
	assert_int_equal(none.longest_us, 0);
	io_timer_init(&i.timer, i.loop, on_idler, &i);
	io_timer_start(&i.timer, io_now(i.loop));
	io_loop_run(i.loop);
	assert_true(i.seen.count >= 2);
	assert_true(i.seen.longest_us >= 25 * US_PER_MS);
	assert_true(i.seen.recent_us == i.seen.longest_us);
	for (size_t n = 0; n < IO_LOOP_TURN_STEPS; n++)
		assert_true(io_loop_turn_steps_ms[n] > 20 || i.seen.over[n] >= 1);
	io_loop_free(i.loop);
}

/* ---- much at once ---- */

enum {
	MANY = 100,
};

struct crowd {
	struct io_loop *loop;
	struct io_task tasks[MANY];
	struct io_timer timers[MANY];
	unsigned ran, ran_before_read;
	bool read;
};

/* No machine sleeps shorter than it was told to: a slice is over after a few of them. */
static void on_one(void *arg)
{
	const struct timespec busy = { .tv_nsec = 1000000 };
	struct crowd *c = arg;

	(void)nanosleep(&busy, NULL);
	if (++c->ran == MANY)
		io_loop_stop(c->loop);
}

static void on_readable(void *arg, unsigned events)
{
	struct crowd *c = arg;

	(void)events;
	if (!c->read)
		c->ran_before_read = c->ran;
	c->read = true;
}

static void a_crowd_leaves_room(bool tasks)
{
	struct crowd c = { .loop = io_loop_new() };
	struct io_watch *w;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	w = io_watch_new(c.loop, fds[0], IO_READABLE, on_readable, &c);
	for (size_t i = 0; i < MANY; i++) {
		c.tasks[i] = (struct io_task){ .run = on_one, .arg = &c };
		io_timer_init(&c.timers[i], c.loop, on_one, &c);
		if (tasks)
			io_task_post(c.loop, &c.tasks[i]);
		else
			io_timer_start(&c.timers[i], io_now(c.loop));
	}
	io_loop_run(c.loop);
	assert_int_equal(c.ran, MANY);
	assert_true(c.read);
	assert_true(c.ran_before_read < MANY / 2);
	io_watch_free(w);
	io_loop_free(c.loop);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void a_crowd_of_tasks_leaves_room(void **state)
{
	(void)state;
	a_crowd_leaves_room(true);
}

static void a_crowd_of_timers_leaves_room(void **state)
{
	(void)state;
	a_crowd_leaves_room(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_long_turn_is_noticed),
		cmocka_unit_test(a_crowd_of_tasks_leaves_room),
		cmocka_unit_test(a_crowd_of_timers_leaves_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
