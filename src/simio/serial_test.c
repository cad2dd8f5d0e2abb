/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"
#include "io/serial.h"
#include "simio/test_world.h"

#include <setjmp.h>

/* As io/serial_test.c asks of the real one. */
enum {
	SEEDS = 40
};

static char said[SAID_MAX];

struct errand {
	struct io_serial_job job;
	char letter;
	unsigned again; /* so many turns more than one */
};

static struct {
	struct io_serial *serial;
	struct errand *hands_next; /* handed over by the next completion */
	unsigned steps_left;
	bool sleepy; /* a minute in each turn */
} desk;

static struct errand *errand_of(struct io_serial_job *job)
{
	return CONTAINER_OF(job, struct errand, job);
}

static void run(void *arg, struct io_serial_job *first)
{
	char turn[32];
	size_t len = 0;

	must(arg == &desk);
	for (struct io_serial_job *job = first; job; job = job->next) {
		struct errand *e = errand_of(job);

		must(len + 1 < sizeof(turn));
		turn[len++] = e->letter;
		job->again = e->again > 0;
		e->again -= job->again;
	}
	simio_note("run:%.*s", (int)len, turn);
	if (desk.sleepy) {
		io_sleep(US_PER_MIN);
		simio_note("awake");
	}
}

static bool step(void *arg)
{
	must(arg == &desk);
	if (desk.steps_left == 0)
		return false;
	desk.steps_left--;
	simio_note("step");
	return true;
}

static uint64_t rest(void *arg)
{
	must(arg == &desk);
	return US_PER_MIN;
}

static void done(void *arg, struct io_serial_job *job)
{
	struct errand *next = TAKE(desk.hands_next);

	must(arg == &desk);
	simio_note("%c", errand_of(job)->letter);
	if (next)
		io_serial_hand(desk.serial, &next->job);
}

static void open_desk(void)
{
	const struct io_serial_work work = { run, step, rest, done, &desk };

	desk.serial = io_serial_new(io_loop_new(), &work);
}

static void hand(struct errand *e, char letter)
{
	e->letter = letter;
	io_serial_hand(desk.serial, &e->job);
}

/* ---- turns ---- */

static void three_jobs(void)
{
	static struct errand e[4] = { { .again = 0 }, { .again = 1 } };

	open_desk();
	for (unsigned i = 0; i < 3; i++)
		hand(&e[i], (char)('a' + i));
	simio_note("handed");
	desk.hands_next = &e[3];
	e[3].letter = 'd';
	run_for(US_PER_S);
}

static void a_turn_has_all_that_waits(void **state)
{
	bool before = false, after = false;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		world_said(seed, three_jobs, said);
		/* The turn of what was not finished may come before the others are told. */
		if (strcmp(said, "handed run:abc run:b a c b run:d d ") == 0)
			before = true;
		else if (strcmp(said, "handed run:abc a c run:bd b d ") == 0)
			after = true;
		else
			fail_msg("seed %llu: %s", (unsigned long long)seed, said);
	}
	assert_true(before);
	assert_true(after);
}

static void one_job(void)
{
	static struct errand e;

	open_desk();
	hand(&e, 'a');
	run_for(US_PER_S);
}

/* The delays are the seed's. */
static void turns_and_answers_come_when_the_dice_say(void **state)
{
	char ran_before[TIME_LEN] = "", told_before[TIME_LEN] = "";
	unsigned runs = 0, answers = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		const char *ran = said, *told;

		world_log(seed, one_job, said);
		assert_memory_equal(ran + TIME_LEN, "run:a\n", 6);
		told = ran + TIME_LEN + 6;
		assert_string_equal(told + TIME_LEN, "a\n");
		runs += memcmp(ran, ran_before, TIME_LEN) != 0;
		answers += memcmp(told, told_before, TIME_LEN) != 0;
		memcpy(ran_before, ran, TIME_LEN);
		memcpy(told_before, told, TIME_LEN);
	}
	assert_true(runs > SEEDS / 2);
	assert_true(answers > SEEDS / 2);
}

static void some_steps(void)
{
	static struct errand e;

	desk.steps_left = 3;
	open_desk();
	run_for(US_PER_S);
	desk.steps_left = 1;
	run_for(US_PER_S);
	simio_note("rests");
	hand(&e, 'a');
	run_for(US_PER_S);
}

/* Until there are none; then after each turn, or after the rest. */
static void steps_come_without_jobs(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		world_said(seed, some_steps, said);
		assert_string_equal(said, "step step step rests run:a step a ");
	}
}

/* ---- ends ---- */

static void give_one_up(void *arg, struct io_serial_job *job)
{
	must(arg == &desk);
	simio_note("give-up:%c", errand_of(job)->letter);
}

static void two_given_up(void)
{
	static struct errand e[3];

	open_desk();
	hand(&e[0], 'a');
	hand(&e[1], 'b');
	io_serial_give_up(desk.serial, give_one_up, &desk);
	simio_note("later");
	run_for(US_PER_S);
	hand(&e[2], 'c');
	run_for(US_PER_S);
}

static void who_is_given_up_is_told_and_does_not_run(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		world_said(seed, two_given_up, said);
		assert_string_equal(said, "give-up:a give-up:b later a b run:c c ");
	}
}

static void end_with_work(void)
{
	static struct errand e[3] = { { .again = 1 } };

	open_desk();
	hand(&e[0], 'a');
	hand(&e[1], 'b');
	desk.hands_next = &e[2];
	e[2].letter = 'c';
	desk.steps_left = 5;
	io_serial_free(desk.serial);
	simio_note("freed");
	run_for(US_PER_HOUR);
}

/* And nothing of it comes later. */
static void free_finishes_all(void **state)
{
	(void)state;
	world_said(1, end_with_work, said);
	assert_string_equal(said, "run:ab b run:ac a c freed ");
}

/* ---- a thread that sleeps ---- */

static struct errand late;
static jmp_buf left;

static void on_half_a_minute(void *arg)
{
	simio_note("half");
	if (arg)
		simio_kill(arg);
	else
		hand(&late, 'b');
}

static void sleep_through(struct io_loop *dies)
{
	static struct errand first;
	static struct io_timer t;
	struct io_loop *other = io_loop_new();
	const struct io_serial_work work = { run, step, rest, done, &desk };

	desk.serial = io_serial_new(dies ? dies : io_loop_new(), &work);
	desk.sleepy = true;
	io_timer_init(&t, other, on_half_a_minute, dies);
	io_timer_start(&t, mono_add(io_now(other), US_PER_MIN / 2));
	hand(&first, 'a');
	run_for(US_PER_HOUR);
}

static void sleep_and_hand(void)
{
	sleep_through(NULL);
}

/* All others go on meanwhile, and what is handed to it waits for the next turn. */
static void who_sleeps_lets_others_run(void **state)
{
	(void)state;
	world_said(1, sleep_and_hand, said);
	assert_string_equal(said, "run:a half awake run:b a awake b ");
}

static void leave_it(void)
{
	longjmp(left, 1);
}

static void die_asleep(void)
{
	simio_on_abandon(leave_it);
	if (setjmp(left) == 0)
		sleep_through(io_loop_new());
	simio_note("left");
	run_for(US_PER_HOUR);
}

static void who_dies_asleep_does_not_wake(void **state)
{
	(void)state;
	world_said(1, die_asleep, said);
	assert_string_equal(said, "run:a half left ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_turn_has_all_that_waits),
		cmocka_unit_test(turns_and_answers_come_when_the_dice_say),
		cmocka_unit_test(steps_come_without_jobs),
		cmocka_unit_test(who_is_given_up_is_told_and_does_not_run),
		cmocka_unit_test(free_finishes_all),
		cmocka_unit_test(who_sleeps_lets_others_run),
		cmocka_unit_test(who_dies_asleep_does_not_wake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
