/* SPDX-License-Identifier: Apache-2.0 */
#include "io/serial.h"
#include "base/must.h"
#include "io/worker.h"
#include "simio/simio_priv.h"

#include <stdlib.h>

/* Threads that are none: a turn runs inline, some time after it was asked for; its answers come later still. */
#define TURN_US_MAX (8 * US_PER_MS)
#define TELL_US_MAX (2 * US_PER_MS)

struct chain {
	struct io_serial_job *first, *last;
};

struct io_serial {
	struct io_loop *loop;
	struct io_serial_work work;
	struct chain waiting, finished;
	struct simio_event *turn, *tell, *step;
	bool busy; /* in a turn, perhaps asleep there */
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

static struct io_serial_job *take_all(struct chain *c)
{
	struct io_serial_job *first = c->first;

	*c = (struct chain){ 0 };
	return first;
}

static void on_tell(void *arg)
{
	struct io_serial *s = arg;
	struct io_serial_job *job = take_all(&s->finished);

	s->tell = NULL;
	while (job) {
		struct io_serial_job *next = job->next;

		job->next = NULL;
		s->work.done(s->work.arg, job);
		job = next;
	}
}

static void on_turn(void *arg);
static void on_step(void *arg);

static struct io_loop *enter(struct io_serial *s)
{
	s->busy = true;
	return simio_set_thread(s->loop);
}

static void leave(struct io_serial *s, struct io_loop *before)
{
	s->busy = false;
	(void)simio_set_thread(before);
}

static bool run_step(struct io_serial *s)
{
	struct io_loop *before = enter(s);
	bool more = s->work.step(s->work.arg);

	leave(s, before);
	return more;
}

static void run_turn(struct io_serial *s, struct io_serial_job *first)
{
	struct io_loop *before;

	for (struct io_serial_job *job = first; job; job = job->next)
		job->again = false;
	before = enter(s);
	s->work.run(s->work.arg, first);
	leave(s, before);
	while (first) {
		struct io_serial_job *next = first->next;

		chain_put(first->again ? &s->waiting : &s->finished, first);
		first = next;
	}
}

static void on_turn(void *arg)
{
	struct io_serial *s = arg;

	s->turn = NULL;
	/* Who waited may have been given up, and the thread may be asleep. */
	if (!s->waiting.first || s->busy)
		return;
	run_turn(s, take_all(&s->waiting));
	if (s->finished.first && !s->tell)
		s->tell = simio_later(s->loop, simio_below(TELL_US_MAX), on_tell, s);
	(void)run_step(s);
	if (s->waiting.first)
		s->turn = simio_later(s->loop, simio_below(TURN_US_MAX), on_turn, s);
}

static void on_step(void *arg)
{
	struct io_serial *s = arg;
	bool more = s->busy || run_step(s);
	uint64_t rest = more ? simio_below(TURN_US_MAX) : s->work.rest(s->work.arg);

	s->step = simio_later(s->loop, rest, on_step, s);
	if (s->waiting.first && !s->turn)
		s->turn = simio_later(s->loop, simio_below(TURN_US_MAX), on_turn, s);
}

struct io_serial *io_serial_new(struct io_loop *l, const struct io_serial_work *work)
{
	struct io_serial *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->work = *work;
	s->step = simio_later(l, simio_below(TURN_US_MAX), on_step, s);
	return s;
}

void io_serial_hand(struct io_serial *s, struct io_serial_job *job)
{
	chain_put(&s->waiting, job);
	if (!s->turn && !s->busy)
		s->turn = simio_later(s->loop, simio_below(TURN_US_MAX), on_turn, s);
}

void io_serial_free(struct io_serial *s)
{
	if (!s)
		return;
	while (s->waiting.first || s->finished.first) {
		if (s->waiting.first)
			run_turn(s, take_all(&s->waiting));
		simio_never(TAKE(s->tell));
		on_tell(s);
	}
	simio_never(s->turn);
	simio_never(s->step);
	free(s);
}

/* Nothing hangs here. */
bool io_serial_free_within(struct io_serial *s, uint64_t us)
{
	(void)us;
	io_serial_free(s);
	return true;
}

void io_serial_give_up(
	struct io_serial *s, void (*each)(void *arg, struct io_serial_job *job), void *arg)
{
	struct io_serial_job *job = take_all(&s->waiting);

	while (job) {
		struct io_serial_job *next = job->next;

		job->again = false;
		each(arg, job);
		chain_put(&s->finished, job);
		job = next;
	}
	if (s->finished.first && !s->tell)
		s->tell = simio_later(s->loop, simio_below(TELL_US_MAX), on_tell, s);
}

/* ---- workers ---- */

struct io_workers {
	struct io_loop *loop;
};

struct errand {
	void (*run)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

struct io_workers *io_workers_new(struct io_loop *l, unsigned threads, unsigned queue_max)
{
	struct io_workers *w = xcalloc(1, sizeof(*w));

	must(threads > 0);
	must(queue_max > 0);
	w->loop = l;
	return w;
}

static void on_errand(void *arg)
{
	struct errand e = *(struct errand *)arg;

	free(arg);
	e.run(e.arg);
	if (e.done)
		e.done(e.arg);
}

int io_workers_run(struct io_workers *w, void (*run)(void *arg), void (*done)(void *arg), void *arg)
{
	struct errand *e = xcalloc(1, sizeof(*e));

	*e = (struct errand){ run, done, arg };
	(void)simio_later(w->loop, simio_below(TURN_US_MAX), on_errand, e);
	return 0;
}
