/* SPDX-License-Identifier: Apache-2.0 */
#include "io/serial.h"

#include "base/must.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "cmocka_all.h"

enum {
	NOTES_MAX = 256,
	MANY = 20000,
};

/* Letters of what ran, a '|' behind each turn; and of what was told to the loop. */
struct desk {
	struct io_loop *loop;
	struct io_serial *serial;
	pthread_t loop_thread;
	sem_t started, gate;
	bool gated; /* the first turn waits at the gate */
	char ran[NOTES_MAX];
	size_t ran_len;
	char told[NOTES_MAX];
	size_t told_len, told_count, stop_after;
	char given_up[NOTES_MAX];
	size_t given_up_len;
	unsigned steps_left, steps, rests;
	uint64_t rest_us;
	struct errand *hands_next; /* handed over by the next completion */
	bool slow;                 /* each completion takes a millisecond */
	bool elsewhere;            /* everything ran off the loop's thread */
};

struct errand {
	struct io_serial_job job;
	struct desk *desk;
	char letter;
	unsigned again; /* so many turns more than one */
	bool own;       /* on the heap */
};

static struct errand *errand_of(struct io_serial_job *job)
{
	return CONTAINER_OF(job, struct errand, job);
}

static void pass(sem_t *s)
{
	while (sem_wait(s) != 0)
		continue;
}

static void note(char *to, size_t *len, char c)
{
	if (*len + 1 < NOTES_MAX)
		to[(*len)++] = c;
}

static void run(void *arg, struct io_serial_job *first)
{
	struct desk *d = arg;

	if (d->gated) {
		d->gated = false;
		(void)sem_post(&d->started);
		pass(&d->gate);
	}
	d->elsewhere &= !pthread_equal(pthread_self(), d->loop_thread);
	for (struct io_serial_job *job = first; job; job = job->next) {
		struct errand *e = errand_of(job);

		note(d->ran, &d->ran_len, e->letter);
		job->again = e->again > 0;
		e->again -= job->again;
	}
	note(d->ran, &d->ran_len, '|');
}

static bool step(void *arg)
{
	struct desk *d = arg;

	d->steps++;
	if (d->steps_left == 0)
		return false;
	d->steps_left--;
	return true;
}

static uint64_t rest(void *arg)
{
	struct desk *d = arg;

	if (++d->rests == 3)
		(void)sem_post(&d->started);
	return d->rest_us;
}

static void done(void *arg, struct io_serial_job *job)
{
	struct desk *d = arg;
	struct errand *e = errand_of(job), *next = TAKE(d->hands_next);

	must(pthread_equal(pthread_self(), d->loop_thread));
	if (d->slow)
		(void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	note(d->told, &d->told_len, e->letter);
	if (++d->told_count == d->stop_after)
		io_loop_stop(d->loop);
	if (e->own)
		free(e);
	if (next)
		io_serial_hand(d->serial, &next->job);
}

static void open_desk(struct desk *d, bool gated, uint64_t rest_us)
{
	struct io_serial_work work = { run, step, rest, done, NULL };

	*d = (struct desk){ .loop_thread = pthread_self(),
		.gated = gated,
		.rest_us = rest_us,
		.steps_left = 2,
		.elsewhere = true };
	assert_int_equal(sem_init(&d->started, 0, 0), 0);
	assert_int_equal(sem_init(&d->gate, 0, 0), 0);
	d->loop = io_loop_new();
	work.arg = d;
	d->serial = io_serial_new(d->loop, &work);
}

static void close_desk(struct desk *d)
{
	io_serial_free(d->serial);
	io_loop_free(d->loop);
	(void)sem_destroy(&d->started);
	(void)sem_destroy(&d->gate);
}

static void hand(struct desk *d, struct errand *e, char letter)
{
	e->desk = d;
	e->letter = letter;
	io_serial_hand(d->serial, &e->job);
}

static void stop(void *arg)
{
	io_loop_stop(arg);
}

static void end_round(struct desk *d)
{
	struct io_task task = { .run = stop, .arg = d->loop };

	io_task_post(d->loop, &task);
	io_loop_run(d->loop);
}

/* It runs, and waits at the gate. */
static void hand_first(struct desk *d, struct errand *e)
{
	hand(d, e, 'a');
	end_round(d);
	pass(&d->started);
}

static void what_waits_is_one_turn(void **state)
{
	struct errand e[5] = { { .again = 0 } };
	struct desk d;

	(void)state;
	open_desk(&d, true, US_PER_S);
	d.stop_after = 5;
	hand_first(&d, &e[0]);
	for (unsigned i = 1; i < 5; i++)
		hand(&d, &e[i], (char)('a' + i));
	(void)sem_post(&d.gate);
	io_loop_run(d.loop);
	io_serial_free(TAKE(d.serial));
	assert_string_equal(d.ran, "a|bcde|");
	assert_string_equal(d.told, "abcde");
	assert_true(d.elsewhere);
	close_desk(&d);
}

struct round {
	struct desk *desk;
	struct errand *errands;
};

static void hand_some(void *arg)
{
	const struct round *r = arg;

	for (unsigned i = 0; i < 3; i++) {
		hand(r->desk, &r->errands[i], (char)('a' + i));
		/* The thread could run the first meanwhile. */
		(void)nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
}

static void what_a_round_brings_is_one_turn(void **state)
{
	struct errand e[3] = { { .again = 0 } };
	struct desk d;
	struct round r = { &d, e };
	struct io_task task = { .run = hand_some, .arg = &r };

	(void)state;
	open_desk(&d, false, US_PER_S);
	d.stop_after = 3;
	io_task_post(d.loop, &task);
	io_loop_run(d.loop);
	io_serial_free(TAKE(d.serial));
	assert_string_equal(d.ran, "abc|");
	assert_string_equal(d.told, "abc");
	close_desk(&d);
}

static void the_unfinished_go_behind(void **state)
{
	struct errand e[3] = { { .again = 2 }, { .again = 0 }, { .again = 1 } };
	struct desk d;

	(void)state;
	open_desk(&d, true, US_PER_S);
	d.stop_after = 3;
	hand_first(&d, &e[0]);
	hand(&d, &e[1], 'b');
	hand(&d, &e[2], 'c');
	end_round(&d);
	(void)sem_post(&d.gate);
	io_loop_run(d.loop);
	io_serial_free(TAKE(d.serial));
	assert_string_equal(d.ran, "a|bca|ca|");
	assert_string_equal(d.told, "bca");
	close_desk(&d);
}

/* Nothing is handed over: it works off its steps, and comes again after each rest. */
static void steps_come_without_jobs(void **state)
{
	struct desk d;

	(void)state;
	open_desk(&d, false, 1);
	pass(&d.started);
	io_serial_free(TAKE(d.serial));
	assert_int_equal(d.steps_left, 0);
	assert_true(d.rests >= 3);
	assert_int_equal(d.steps, d.rests + 2);
	close_desk(&d);
}

/* A sleep of a day does not keep a job waiting. */
static void a_job_ends_the_rest(void **state)
{
	struct errand e[2] = { { .again = 0 } };
	struct desk d;

	(void)state;
	open_desk(&d, false, US_PER_DAY);
	d.stop_after = 1;
	hand(&d, &e[0], 'a');
	io_loop_run(d.loop);
	d.stop_after = 2;
	hand(&d, &e[1], 'b');
	io_loop_run(d.loop);
	assert_string_equal(d.told, "ab");
	close_desk(&d);
}

/* The loop does not run any more: free() finishes and tells, also what a completion hands over then. */
static void free_finishes_all(void **state)
{
	struct errand e[3] = { { .again = 0 }, { .again = 0 }, { .again = 1 } };
	struct desk d;

	(void)state;
	open_desk(&d, true, US_PER_S);
	hand_first(&d, &e[0]);
	hand(&d, &e[1], 'b');
	e[2].desk = &d;
	e[2].letter = 'c';
	d.hands_next = &e[2];
	(void)sem_post(&d.gate);
	io_serial_free(d.serial);
	d.serial = NULL;
	assert_string_equal(d.ran, "a|b|c|c|");
	assert_string_equal(d.told, "abc");
	close_desk(&d);
	io_serial_free(NULL);
}

static void give_one_up(void *arg, struct io_serial_job *job)
{
	struct desk *d = arg;

	note(d->given_up, &d->given_up_len, errand_of(job)->letter);
}

/* Those behind a turn that hangs are answered without it. */
static void who_is_given_up_is_told_and_does_not_run(void **state)
{
	struct errand e[4] = { { .again = 0 } };
	struct desk d;

	(void)state;
	open_desk(&d, true, US_PER_S);
	d.stop_after = 2;
	hand_first(&d, &e[0]);
	hand(&d, &e[1], 'b');
	hand(&d, &e[2], 'c');
	io_serial_give_up(d.serial, give_one_up, &d);
	io_loop_run(d.loop);
	assert_string_equal(d.given_up, "bc");
	assert_string_equal(d.told, "bc");
	assert_string_equal(d.ran, "");
	hand(&d, &e[3], 'd');
	(void)sem_post(&d.gate);
	io_serial_free(TAKE(d.serial));
	assert_string_equal(d.ran, "a|d|");
	assert_string_equal(d.told, "bcad");
	close_desk(&d);
}

/* A turn that hangs does not hold the end of the process. */
static void an_end_does_not_wait_for_ever(void **state)
{
	struct errand e[2] = { { .again = 0 } };
	struct desk d;

	(void)state;
	open_desk(&d, true, US_PER_S);
	hand_first(&d, &e[0]);
	hand(&d, &e[1], 'b');
	assert_false(io_serial_free_within(d.serial, 0));
	assert_false(io_serial_free_within(d.serial, 1));
	assert_string_equal(d.told, "");
	(void)sem_post(&d.gate);
	assert_true(io_serial_free_within(TAKE(d.serial), UINT64_MAX));
	assert_string_equal(d.ran, "a|b|");
	assert_string_equal(d.told, "ab");
	close_desk(&d);
}

/* For TSan: both threads at full speed, and jobs that are freed by their completions. */
static void many_jobs_each_once(void **state)
{
	struct desk d;

	(void)state;
	open_desk(&d, false, 1);
	d.stop_after = MANY;
	for (unsigned i = 0; i < MANY; i++) {
		struct errand *e = xcalloc(1, sizeof(*e));

		e->own = true;
		e->again = i % 7 == 0;
		hand(&d, e, 'x');
	}
	io_loop_run(d.loop);
	assert_int_equal(d.told_count, MANY);
	close_desk(&d);
}

/* How many completions came between two turns of the loop. */
struct turns {
	struct desk *desk;
	struct io_task task;
	size_t seen, most;
};

static void on_turn(void *arg)
{
	struct turns *t = arg;
	size_t came = t->desk->told_count - t->seen;

	t->seen = t->desk->told_count;
	t->most = came > t->most ? came : t->most;
	io_task_post(t->desk->loop, &t->task);
}

/* No machine sleeps shorter than it was told to: a slice is over after the first look at the clock. */
static void many_completions_leave_room(void **state)
{
	enum {
		COUNT = 100
	};
	struct errand e[COUNT] = { { .again = 0 } };
	struct turns t;
	struct desk d;

	(void)state;
	open_desk(&d, true, US_PER_S);
	d.stop_after = COUNT;
	d.slow = true;
	t = (struct turns){ .desk = &d, .task = { .run = on_turn, .arg = &t } };
	hand_first(&d, &e[0]);
	for (unsigned i = 1; i < COUNT; i++)
		hand(&d, &e[i], (char)('a' + i % 26));
	(void)sem_post(&d.gate);
	io_task_post(d.loop, &t.task);
	io_loop_run(d.loop);
	assert_int_equal(d.told_count, COUNT);
	assert_true(t.most < COUNT / 2);
	/* In the order of hand-over. */
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(d.told[i], 'a' + i % 26);
	io_task_cancel(d.loop, &t.task);
	close_desk(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_completions_leave_room),
		cmocka_unit_test(what_waits_is_one_turn),
		cmocka_unit_test(what_a_round_brings_is_one_turn),
		cmocka_unit_test(the_unfinished_go_behind),
		cmocka_unit_test(steps_come_without_jobs),
		cmocka_unit_test(a_job_ends_the_rest),
		cmocka_unit_test(free_finishes_all),
		cmocka_unit_test(who_is_given_up_is_told_and_does_not_run),
		cmocka_unit_test(an_end_does_not_wait_for_ever),
		cmocka_unit_test(many_jobs_each_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
