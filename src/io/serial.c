/* SPDX-License-Identifier: Apache-2.0 */
#include "io/serial.h"

#include "base/must.h"
#include "io/confine.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum {
	JOBS_A_LOOK = 16, /* at the clock */
};

/* A job is in one of the two chains, or in the hands of one thread. */
struct chain {
	struct io_serial_job *first, *last;
};

struct io_serial {
	struct io_serial_work work;
	struct io_loop *loop;
	struct io_task round_ends;
	struct io_wakeup *wakeup;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake, end;
	struct chain handed; /* of this round of the loop */
	struct chain waiting, finished;
	bool sleeping, stopping, ended;
};

static void chain_put(struct chain *c, struct io_serial_job *job)
{
	job->next = NULL;
	if (c->last)
		c->last->next = job;
	else
		c->first = job;
	c->last = job;
}

static void chain_append(struct chain *c, struct chain *more)
{
	if (!more->first)
		return;
	if (c->last)
		c->last->next = more->first;
	else
		c->first = more->first;
	c->last = more->last;
	*more = (struct chain){ 0 };
}

static struct io_serial_job *take_all(struct io_serial *s, struct chain *c, bool *out_stopping)
{
	struct io_serial_job *first;

	must(pthread_mutex_lock(&s->lock) == 0);
	first = c->first;
	*c = (struct chain){ 0 };
	if (out_stopping)
		*out_stopping = s->stopping;
	must(pthread_mutex_unlock(&s->lock) == 0);
	return first;
}

static void give_back(struct io_serial *s, struct io_serial_job *job)
{
	bool any_done = false;

	must(pthread_mutex_lock(&s->lock) == 0);
	while (job) {
		struct io_serial_job *next = job->next;

		chain_put(job->again ? &s->waiting : &s->finished, job);
		any_done |= !job->again;
		job = next;
	}
	must(pthread_mutex_unlock(&s->lock) == 0);
	if (any_done)
		io_wakeup_send(s->wakeup);
}

static void run_turn(struct io_serial *s, struct io_serial_job *first)
{
	for (struct io_serial_job *job = first; job; job = job->next)
		job->again = false;
	s->work.run(s->work.arg, first);
	give_back(s, first);
}

static struct timespec now_and(uint64_t us)
{
	struct timespec t;

	must(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	t.tv_sec += (time_t)(us / US_PER_S);
	t.tv_nsec += (long)(us % US_PER_S * 1000);
	if (t.tv_nsec >= 1000000000L) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000L;
	}
	return t;
}

static void sleep_at_most(struct io_serial *s, uint64_t us)
{
	struct timespec until = now_and(us);

	must(pthread_mutex_lock(&s->lock) == 0);
	s->sleeping = true;
	if (!s->waiting.first && !s->stopping) {
		int rc = pthread_cond_timedwait(&s->wake, &s->lock, &until);

		must(rc == 0 || rc == ETIMEDOUT);
	}
	s->sleeping = false;
	must(pthread_mutex_unlock(&s->lock) == 0);
}

static void *work(void *arg)
{
	struct io_serial *s = arg;

	io_confine_thread();
	for (;;) {
		bool stopping = false;
		struct io_serial_job *first = take_all(s, &s->waiting, &stopping);

		if (first) {
			run_turn(s, first);
			(void)s->work.step(s->work.arg);
			continue;
		}
		if (stopping)
			break;
		if (!s->work.step(s->work.arg))
			sleep_at_most(s, s->work.rest(s->work.arg));
	}
	must(pthread_mutex_lock(&s->lock) == 0);
	s->ended = true;
	must(pthread_cond_signal(&s->end) == 0);
	must(pthread_mutex_unlock(&s->lock) == 0);
	return NULL;
}

/* Its turn comes before that of what is finished meanwhile. */
static void put_back(struct io_serial *s, struct chain rest)
{
	must(pthread_mutex_lock(&s->lock) == 0);
	if (s->finished.first)
		rest.last->next = s->finished.first;
	else
		s->finished.last = rest.last;
	s->finished.first = rest.first;
	must(pthread_mutex_unlock(&s->lock) == 0);
	io_wakeup_send(s->wakeup);
}

static void tell(struct io_serial *s, bool all)
{
	struct mono_time began = io_clock_mono();
	struct chain finished;

	must(pthread_mutex_lock(&s->lock) == 0);
	finished = s->finished;
	s->finished = (struct chain){ 0 };
	must(pthread_mutex_unlock(&s->lock) == 0);
	for (size_t told = 1; finished.first; told++) {
		struct io_serial_job *job = finished.first;

		finished.first = job->next;
		job->next = NULL;
		s->work.done(s->work.arg, job);
		/* Thousands at once: the rest in the next turn of the loop. */
		if (!all && finished.first && told % JOBS_A_LOOK == 0 && io_slice_is_over(began)) {
			put_back(s, finished);
			return;
		}
	}
}

static void on_finished(void *arg)
{
	tell(arg, false);
}

/*
 * What one round of the loop has handed over runs in one turn: a commit costs much, and the first of them would have
 * one for itself.
 */
static void on_round_ends(void *arg)
{
	struct io_serial *s = arg;
	bool wake;

	must(pthread_mutex_lock(&s->lock) == 0);
	chain_append(&s->waiting, &s->handed);
	wake = s->sleeping;
	must(pthread_mutex_unlock(&s->lock) == 0);
	if (wake)
		must(pthread_cond_signal(&s->wake) == 0);
}

struct io_serial *io_serial_new(struct io_loop *l, const struct io_serial_work *w)
{
	struct io_serial *s = xcalloc(1, sizeof(*s));
	pthread_condattr_t attr;
	sigset_t all, before;

	s->work = *w;
	s->loop = l;
	s->round_ends = (struct io_task){ .run = on_round_ends, .arg = s };
	must(pthread_condattr_init(&attr) == 0);
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	must(pthread_mutex_init(&s->lock, NULL) == 0);
	must(pthread_cond_init(&s->wake, &attr) == 0);
	must(pthread_cond_init(&s->end, &attr) == 0);
	(void)pthread_condattr_destroy(&attr);
	s->wakeup = io_wakeup_new(l, on_finished, s);
	/* Signals are the loop's. */
	(void)sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	must(pthread_create(&s->thread, NULL, work, s) == 0);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	return s;
}

void io_serial_hand(struct io_serial *s, struct io_serial_job *job)
{
	must(pthread_mutex_lock(&s->lock) == 0);
	chain_put(&s->handed, job);
	must(pthread_mutex_unlock(&s->lock) == 0);
	io_task_post_last(s->loop, &s->round_ends);
}

void io_serial_give_up(
	struct io_serial *s, void (*each)(void *arg, struct io_serial_job *job), void *arg)
{
	struct chain all;

	must(pthread_mutex_lock(&s->lock) == 0);
	all = s->waiting;
	s->waiting = (struct chain){ 0 };
	chain_append(&all, &s->handed);
	must(pthread_mutex_unlock(&s->lock) == 0);
	for (struct io_serial_job *at = all.first; at; at = at->next) {
		at->again = false;
		each(arg, at);
	}
	give_back(s, all.first);
}

void io_serial_free(struct io_serial *s)
{
	must(io_serial_free_within(s, UINT64_MAX));
}

static bool ends_within(struct io_serial *s, uint64_t us)
{
	struct timespec until;
	int rc = 0;
	bool ended;

	if (us == UINT64_MAX)
		return true;
	until = now_and(us);
	must(pthread_mutex_lock(&s->lock) == 0);
	while (!s->ended && rc == 0)
		rc = pthread_cond_timedwait(&s->end, &s->lock, &until);
	ended = s->ended;
	must(pthread_mutex_unlock(&s->lock) == 0);
	return ended;
}

bool io_serial_free_within(struct io_serial *s, uint64_t us)
{
	if (!s)
		return true;
	must(pthread_mutex_lock(&s->lock) == 0);
	chain_append(&s->waiting, &s->handed);
	s->stopping = true;
	must(pthread_cond_signal(&s->wake) == 0);
	must(pthread_mutex_unlock(&s->lock) == 0);
	if (!ends_within(s, us))
		return false;
	must(pthread_join(s->thread, NULL) == 0);
	/* Alone now; a completion may hand over the next job. */
	for (tell(s, true); s->waiting.first || s->handed.first; tell(s, true)) {
		chain_append(&s->waiting, &s->handed);
		run_turn(s, take_all(s, &s->waiting, NULL));
	}
	io_task_cancel(s->loop, &s->round_ends);
	io_wakeup_free(s->wakeup);
	(void)pthread_cond_destroy(&s->end);
	(void)pthread_cond_destroy(&s->wake);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
	return true;
}
