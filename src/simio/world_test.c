/* SPDX-License-Identifier: Apache-2.0 */
#include "io/worker.h"
#include "simio/test_world.h"

enum {
	SEEDS = 40
};

static char said[SAID_MAX], other[SAID_MAX];

/* ---- timers ---- */

static void on_timer(void *arg)
{
	simio_note("%s", (const char *)arg);
}

static void start(struct io_timer *t, struct io_loop *l, const char *name, uint64_t in_us)
{
	io_timer_init(t, l, on_timer, (void *)(uintptr_t)name);
	io_timer_start(t, mono_add(io_now(l), in_us));
}

/* Two machines, started in another order than they are due. */
static void several_timers(void)
{
	static struct io_timer t[6];
	struct io_loop *one = io_loop_new(), *two = io_loop_new();

	start(&t[0], one, "hour", US_PER_HOUR);
	start(&t[1], two, "minute", US_PER_MIN);
	start(&t[2], one, "moved", 1);
	start(&t[3], two, "stopped", 2);
	start(&t[4], two, "second", US_PER_S);
	start(&t[5], one, "never", 3);
	io_timer_start(&t[2], mono_add(io_now(one), 2 * US_PER_S));
	io_timer_stop(&t[3]);
	io_timer_start(&t[5], MONO_NEVER);
	run_for(30 * US_PER_MIN);
	simio_note("half");
	run_for(US_PER_HOUR);
}

static void timers_fire_in_the_order_of_time(void **state)
{
	(void)state;
	world_log(1, several_timers, said);
	assert_string_equal(said,
		"00:00:01.000000 second\n"
		"00:00:02.000000 moved\n"
		"00:01:00.000000 minute\n"
		"00:30:00.000000 half\n"
		"01:00:00.000000 hour\n");
}

static void run_named(void *arg)
{
	simio_note("%s", (const char *)arg);
}

static struct io_loop *tied_loop;

static int hand_to_worker(struct io_workers *w, const char *name)
{
	return io_workers_run(w, run_named, NULL, (void *)(uintptr_t)name);
}

static void tied_timers(void)
{
	static struct io_timer t[2];

	start(&t[0], io_loop_new(), "a", US_PER_S);
	start(&t[1], io_loop_new(), "b", US_PER_S);
	run_for(US_PER_MIN);
}

/* Both orders come, and no third. */
static void both_orders(void (*script)(void))
{
	unsigned ab = 0, ba = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		world_said(seed, script, said);
		ab += strcmp(said, "a b ") == 0;
		ba += strcmp(said, "b a ") == 0;
	}
	assert_true(ab > 0);
	assert_true(ba > 0);
	assert_int_equal(ab + ba, SEEDS);
}

static void of_timers_due_together_the_dice_choose(void **state)
{
	(void)state;
	both_orders(tied_timers);
}

static struct io_timer again;

static void on_again(void *arg)
{
	struct io_loop *l = arg;

	simio_note("again");
	io_timer_start(&again, mono_add(io_now(l), 0));
}

static void past_again_and_again(void)
{
	struct io_loop *l = io_loop_new();

	io_timer_init(&again, l, on_again, l);
	io_timer_start(&again, (struct mono_time){ 0 });
	run_for(3);
}

/* It has its turn in each microsecond, and time goes on. */
static void a_timer_in_the_past_does_not_stop_time(void **state)
{
	(void)state;
	world_said(1, past_again_and_again, said);
	assert_string_equal(said, "again again again ");
}

/* ---- tasks ---- */

static struct io_task tasks[3];

static void on_task(void *arg)
{
	struct io_task *next = arg;

	simio_note("%c", (char)('a' + (next ? next - tasks - 1 : 1)));
	if (next)
		io_task_post(tied_loop, next);
}

/* The first posts the second; the third was posted before that. */
static void some_tasks(void)
{
	tied_loop = io_loop_new();
	tasks[0] = (struct io_task){ .run = on_task, .arg = &tasks[1] };
	tasks[1] = (struct io_task){ .run = on_task };
	tasks[2] = (struct io_task){ .run = run_named, .arg = (void *)(uintptr_t) "c" };
	io_task_post(tied_loop, &tasks[2]);
	io_task_post(tied_loop, &tasks[0]);
	io_task_post(tied_loop, &tasks[2]);
	io_task_cancel(tied_loop, &tasks[2]);
	io_task_post(tied_loop, &tasks[2]);
	simio_note("posted");
	run_for(US_PER_S);
}

static void tasks_run_later_in_the_order_of_posting(void **state)
{
	(void)state;
	world_said(3, some_tasks, said);
	assert_string_equal(said, "posted a c b ");
	/* What a task posts has a later turn. */
	world_log(3, some_tasks, said);
	assert_memory_equal(
		strstr(said, " a\n") - TIME_LEN + 1, strstr(said, " c\n") - TIME_LEN + 1, TIME_LEN);
	assert_memory_not_equal(
		strstr(said, " b\n") - TIME_LEN + 1, strstr(said, " c\n") - TIME_LEN + 1, TIME_LEN);
}

/* ---- machines ---- */

static void death(void)
{
	static struct io_timer t[2];
	struct io_loop *dies = io_loop_new(), *lives = io_loop_new();
	struct io_workers *w = io_workers_new(dies, 1, 1);

	start(&t[0], dies, "of the dead", US_PER_S);
	start(&t[1], lives, "alive", US_PER_S);
	must(hand_to_worker(w, "of the dead, too") == 0);
	simio_kill(dies);
	run_for(US_PER_MIN);
}

static void what_is_dead_does_nothing(void **state)
{
	(void)state;
	world_said(1, death, said);
	assert_string_equal(said, "alive ");
}

static void reboot(void)
{
	static struct io_timer t;
	struct io_loop *before = io_loop_new(), *after;
	struct wall_time wall;

	run_for(US_PER_HOUR);
	must(io_now(before).us == io_clock_mono().us);
	wall = io_clock_wall();
	simio_reboot();
	after = io_loop_new();
	must(io_clock_wall().us == wall.us);
	must(io_now(after).us == io_clock_mono().us);
	must(io_now(after).us < US_PER_HOUR);
	must(io_now(before).us > US_PER_HOUR);
	start(&t, after, "timer", US_PER_S);
	run_for(US_PER_MIN);
}

static void a_reboot_begins_the_steady_clock_anew(void **state)
{
	(void)state;
	world_log(1, reboot, said);
	assert_string_equal(said, "01:00:01.000000 timer\n");
}

/* ---- workers ---- */

static void two_errands(void)
{
	struct io_workers *w = io_workers_new(io_loop_new(), 2, 2);

	must(hand_to_worker(w, "a") == 0);
	must(hand_to_worker(w, "b") == 0);
	must(simio_log().len == 0);
	run_for(US_PER_MIN);
}

static void workers_overtake_each_other(void **state)
{
	(void)state;
	both_orders(two_errands);
}

static void on_errand_done(void *arg)
{
	simio_note("%s is done", (const char *)arg);
}

static void one_errand(void)
{
	struct io_workers *w = io_workers_new(io_loop_new(), 1, 1);

	must(io_workers_run(w, run_named, on_errand_done, (void *)(uintptr_t) "a") == 0);
	simio_note("handed");
	run_for(US_PER_MIN);
}

static void an_errand_runs_and_is_told(void **state)
{
	(void)state;
	world_said(1, one_errand, said);
	assert_string_equal(said, "handed a a is done ");
}

/* ---- the same seed ---- */

static void much(void)
{
	static struct io_timer t[2];
	struct io_loop *l = io_loop_new();
	struct io_workers *w = io_workers_new(l, 2, 2);

	for (int i = 0; i < 20; i++)
		must(hand_to_worker(w, "errand") == 0);
	start(&t[0], l, "timer", simio_below(US_PER_S));
	start(&t[1], io_loop_new(), "another", io_random_u64() % US_PER_S);
	simio_note("%llu", (unsigned long long)prng_next(io_prng(l)));
	run_for(US_PER_MIN);
}

static void the_same_seed_is_the_same_run(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		world_log(seed, much, said);
		world_log(seed, much, other);
		assert_true(strlen(said) > 500);
		assert_string_equal(said, other);
		world_log(seed + 1, much, other);
		assert_string_not_equal(said, other);
	}
}

static void on_nothing(void *arg)
{
	(void)arg;
}

static void what_no_log_says(void)
{
	static struct io_timer t;
	struct io_loop *l = io_loop_new();

	io_timer_init(&t, l, on_nothing, NULL);
	io_timer_start(&t, mono_add(io_now(l), 1 + simio_below(US_PER_S)));
	run_for(US_PER_MIN);
	simio_note("%llu steps, %016llx",
		(unsigned long long)simio_steps(),
		(unsigned long long)simio_hash());
}

static void the_hash_is_of_more_than_the_log(void **state)
{
	(void)state;
	world_said(1, what_no_log_says, said);
	world_said(1, what_no_log_says, other);
	assert_string_equal(said, other);
	world_said(2, what_no_log_says, other);
	assert_memory_equal(said, "1 steps, ", 9);
	assert_memory_equal(other, "1 steps, ", 9);
	assert_string_not_equal(said, other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_the_order_of_time),
		cmocka_unit_test(of_timers_due_together_the_dice_choose),
		cmocka_unit_test(a_timer_in_the_past_does_not_stop_time),
		cmocka_unit_test(tasks_run_later_in_the_order_of_posting),
		cmocka_unit_test(what_is_dead_does_nothing),
		cmocka_unit_test(a_reboot_begins_the_steady_clock_anew),
		cmocka_unit_test(workers_overtake_each_other),
		cmocka_unit_test(an_errand_runs_and_is_told),
		cmocka_unit_test(the_same_seed_is_the_same_run),
		cmocka_unit_test(the_hash_is_of_more_than_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
