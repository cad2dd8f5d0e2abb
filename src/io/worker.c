/* SPDX-License-Identifier: Apache-2.0 */
#include "io/worker.h"

#include "base/must.h"
#include "base/secret.h"
#include "io/confine.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

/* A job is in one of two chains, or in the hands of one thread. */
struct job {
	struct job *next;
	void (*run)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

struct chain {
	struct job *first, *last;
	unsigned count;
};

struct io_workers {
	struct io_wakeup *wakeup;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t work;
	struct chain waiting, finished;
	bool stopping;
	unsigned queue_max;
	unsigned thread_count;
	pthread_t threads[];
};

static void chain_put(struct chain *c, struct job *j)
{
	j->next = NULL;
	if (c->last)
		c->last->next = j;
	else
		c->first = j;
	c->last = j;
	c->count++;
}

static struct job *chain_take(struct chain *c)
{
	struct job *j = c->first;

	if (!j)
		return NULL;
	c->first = j->next;
	if (!c->first)
		c->last = NULL;
	c->count--;
	return j;
}

static void lock(struct io_workers *w)
{
	must(pthread_mutex_lock(&w->lock) == 0);
}

static void unlock(struct io_workers *w)
{
	must(pthread_mutex_unlock(&w->lock) == 0);
}

static void *work(void *arg)
{
	struct io_workers *w = arg;

	io_confine_thread();
	lock(w);
	for (;;) {
		struct job *j;

		secret_forget_registers();
		while (!w->stopping && !w->waiting.first)
			must(pthread_cond_wait(&w->work, &w->lock) == 0);
		if (w->stopping)
			break;
		j = chain_take(&w->waiting);
		unlock(w);
		j->run(j->arg);
		lock(w);
		chain_put(&w->finished, j);
		io_wakeup_send(w->wakeup);
	}
	unlock(w);
	return NULL;
}

static void tell_done(struct chain *c)
{
	struct job *j = chain_take(c);

	while (j) {
		void (*done)(void *arg) = j->done;
		void *arg = j->arg;

		free(j);
		if (done)
			done(arg);
		j = chain_take(c);
	}
}

static void on_finished(void *arg)
{
	struct io_workers *w = arg;
	struct chain finished;

	lock(w);
	finished = w->finished;
	w->finished = (struct chain){ 0 };
	unlock(w);
	/* `done` may free the workers: from here on they are not touched. */
	tell_done(&finished);
}

struct io_workers *io_workers_new(struct io_loop *l, unsigned threads, unsigned queue_max)
{
	struct io_workers *w = xcalloc(1, sizeof(*w) + threads * sizeof(w->threads[0]));
	sigset_t all, before;

	must(threads > 0);
	must(pthread_mutex_init(&w->lock, NULL) == 0);
	must(pthread_cond_init(&w->work, NULL) == 0);
	w->wakeup = io_wakeup_new(l, on_finished, w);
	w->queue_max = queue_max;
	w->thread_count = threads;
	/* Signals are the loop's. */
	(void)sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	for (unsigned i = 0; i < threads; i++)
		must(pthread_create(&w->threads[i], NULL, work, w) == 0);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	return w;
}

int io_workers_run(struct io_workers *w, void (*run)(void *arg), void (*done)(void *arg), void *arg)
{
	struct job *j = xmalloc(sizeof(*j));

	*j = (struct job){ .run = run, .done = done, .arg = arg };
	lock(w);
	if (w->waiting.count >= w->queue_max) {
		unlock(w);
		free(j);
		return -EAGAIN;
	}
	chain_put(&w->waiting, j);
	must(pthread_cond_signal(&w->work) == 0);
	unlock(w);
	return 0;
}

void io_workers_free(struct io_workers *w)
{
	struct chain finished;
	struct job *j;

	if (!w)
		return;
	lock(w);
	w->stopping = true;
	must(pthread_cond_broadcast(&w->work) == 0);
	unlock(w);
	for (unsigned i = 0; i < w->thread_count; i++)
		must(pthread_join(w->threads[i], NULL) == 0);
	for (j = chain_take(&w->waiting); j; j = chain_take(&w->waiting))
		free(j);
	finished = w->finished;
	io_wakeup_free(w->wakeup);
	must(pthread_mutex_destroy(&w->lock) == 0);
	must(pthread_cond_destroy(&w->work) == 0);
	free(w);
	tell_done(&finished);
}
