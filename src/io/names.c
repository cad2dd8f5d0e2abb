/* SPDX-License-Identifier: Apache-2.0 */
#include "io/names.h"

#include "base/err.h"
#include "base/htable.h"
#include "base/list.h"
#include "base/must.h"
#include "io/confine.h"

#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define FRESH_US (5 * US_PER_MIN)

struct name {
	unsigned uid;
	bool known, found, asked; /* asked: the thread has it */
	int trouble;              /* of the last look-up, negative; 0: none */
	char text[IO_NAME_MAX];
	struct mono_time fresh_until;
};

struct io_name_query {
	struct list node; /* in io_names.queries */
	struct io_names *names;
	struct name *name;
	io_name_fn *fn;
	void *arg;
	struct io_timer timer; /* its answer or its end of patience */
};

/* A user that the thread is asked about, and its answer. */
struct job {
	struct list node;
	unsigned uid;
	int rc;
	char text[IO_NAME_MAX];
};

/* Shared with the thread, which may outlive everything: whoever leaves last frees it. */
struct shared {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct list waiting, finished; /* struct job */
	struct io_wakeup *wakeup;
	bool left; /* the loop's side has gone */
};

struct io_names {
	struct io_loop *loop;
	struct htable by_uid; /* -> struct name */
	struct list queries;
	struct shared *shared;
};

/* ---- the thread ---- */

static void lock(struct shared *s)
{
	must(pthread_mutex_lock(&s->lock) == 0);
}

static void unlock(struct shared *s)
{
	must(pthread_mutex_unlock(&s->lock) == 0);
}

static void free_jobs(struct list *jobs)
{
	while (!list_empty(jobs)) {
		struct job *j = list_entry(jobs->next, struct job, node);

		list_remove(&j->node);
		free(j);
	}
}

static void shared_free(struct shared *s)
{
	free_jobs(&s->waiting);
	free_jobs(&s->finished);
	must(pthread_cond_destroy(&s->work) == 0);
	must(pthread_mutex_destroy(&s->lock) == 0);
	free(s);
}

static void look_up(struct job *j)
{
	char names[4096];
	struct passwd entry, *found = NULL;
	int rc = getpwuid_r(j->uid, &entry, names, sizeof(names), &found);

	/* What the machine lacks at the moment is no answer; all else means that there is no such user. */
	if (rc == EMFILE || rc == ENFILE || rc == ENOMEM || rc == EIO || rc == EINTR)
		j->rc = -rc;
	else if (rc != 0 || !found)
		j->rc = RC_NO_NAME;
	else
		(void)snprintf(j->text, sizeof(j->text), "%s", found->pw_name);
}

static void *run(void *arg)
{
	struct shared *s = arg;

	io_confine_thread();
	lock(s);
	while (!s->left) {
		struct job *j;

		if (list_empty(&s->waiting)) {
			must(pthread_cond_wait(&s->work, &s->lock) == 0);
			continue;
		}
		j = list_entry(s->waiting.next, struct job, node);
		list_remove(&j->node);
		unlock(s);
		look_up(j);
		lock(s);
		list_append(&s->finished, &j->node);
		if (!s->left)
			io_wakeup_send(s->wakeup);
	}
	unlock(s);
	shared_free(s);
	return NULL;
}

/* ---- the loop's side ---- */

static void tell(struct io_name_query *q, int rc, struct sv name)
{
	io_name_fn *fn = q->fn;
	void *arg = q->arg;

	io_timer_stop(&q->timer);
	list_remove(&q->node);
	free(q);
	fn(arg, rc, name);
}

/* Patience is over, or the answer was there from the start. */
static void on_timer(void *arg)
{
	struct io_name_query *q = arg;
	const struct name *name = q->name;
	char text[IO_NAME_MAX];
	int rc = name->found ? 0 : RC_NO_NAME;

	if (!name->known)
		rc = name->trouble ? name->trouble : -ETIMEDOUT;
	(void)snprintf(text, sizeof(text), "%s", name->text);
	tell(q, rc, sv_from(text));
}

static struct sv key_of(const unsigned *uid)
{
	return sv_make((const char *)uid, sizeof(*uid));
}

static void take_answer(struct io_names *n, const struct job *j)
{
	struct name *name = htable_get(&n->by_uid, key_of(&j->uid));

	/* Names that are asked for are not forgotten. */
	must(name);
	name->asked = false;
	name->trouble = j->rc == RC_NO_NAME ? 0 : j->rc;
	if (name->trouble == 0) {
		name->known = true;
		name->found = j->rc == 0;
		memcpy(name->text, j->text, sizeof(name->text));
		name->fresh_until = mono_add(io_now(n->loop), FRESH_US);
	}
	list_each (at, &n->queries) {
		struct io_name_query *q = list_entry(at, struct io_name_query, node);

		if (q->name == name)
			io_timer_start(&q->timer, io_now(n->loop));
	}
}

static void on_finished(void *arg)
{
	struct io_names *n = arg;
	struct list finished;

	list_init(&finished);
	lock(n->shared);
	while (!list_empty(&n->shared->finished)) {
		struct list *first = n->shared->finished.next;

		list_remove(first);
		list_append(&finished, first);
	}
	unlock(n->shared);
	list_each (at, &finished)
		take_answer(n, list_entry(at, struct job, node));
	free_jobs(&finished);
}

static void ask_thread(struct io_names *n, struct name *name)
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->uid = name->uid;
	list_init(&j->node);
	name->asked = true;
	lock(n->shared);
	list_append(&n->shared->waiting, &j->node);
	must(pthread_cond_signal(&n->shared->work) == 0);
	unlock(n->shared);
}

static bool is_in_use(const struct io_names *n, const struct name *name)
{
	list_each (at, &n->queries)
		if (list_entry(at, struct io_name_query, node)->name == name)
			return true;
	return name->asked;
}

/* Room for one more: all that nobody waits for goes. */
static void forget_some(struct io_names *n)
{
	struct name *idle[IO_NAMES_KEPT];
	size_t count = 0;

	htable_each (&n->by_uid, slot)
		if (count < COUNT_OF(idle) && !is_in_use(n, slot->value))
			idle[count++] = slot->value;
	for (size_t i = 0; i < count; i++) {
		(void)htable_take(&n->by_uid, key_of(&idle[i]->uid));
		free(idle[i]);
	}
}

static struct name *name_of(struct io_names *n, unsigned uid)
{
	struct name *name = htable_get(&n->by_uid, key_of(&uid));

	if (name)
		return name;
	if (n->by_uid.count >= IO_NAMES_KEPT)
		forget_some(n);
	name = xcalloc(1, sizeof(*name));
	name->uid = uid;
	htable_put(&n->by_uid, key_of(&uid), name);
	return name;
}

struct io_name_query *io_names_ask(struct io_names *n, unsigned uid, io_name_fn *fn, void *arg)
{
	struct io_name_query *q = xcalloc(1, sizeof(*q));
	struct mono_time now = io_now(n->loop);

	q->names = n;
	q->name = name_of(n, uid);
	q->fn = fn;
	q->arg = arg;
	list_append(&n->queries, &q->node);
	io_timer_init(&q->timer, n->loop, on_timer, q);
	io_timer_start(&q->timer, q->name->known ? now : mono_add(now, IO_NAME_WAIT_US));
	if (!q->name->asked && !mono_before(now, q->name->fresh_until))
		ask_thread(n, q->name);
	return q;
}

void io_names_cancel(struct io_name_query *q)
{
	io_timer_stop(&q->timer);
	list_remove(&q->node);
	free(q);
}

struct io_names *io_names_new(struct io_loop *l)
{
	struct io_names *n = xcalloc(1, sizeof(*n));
	struct shared *s = xcalloc(1, sizeof(*s));
	sigset_t all, before;
	pthread_t thread;

	n->loop = l;
	n->shared = s;
	list_init(&n->queries);
	io_random(&n->by_uid.seed, sizeof(n->by_uid.seed));
	list_init(&s->waiting);
	list_init(&s->finished);
	must(pthread_mutex_init(&s->lock, NULL) == 0);
	must(pthread_cond_init(&s->work, NULL) == 0);
	s->wakeup = io_wakeup_new(l, on_finished, n);
	/* Signals are the loop's. */
	(void)sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	must(pthread_create(&thread, NULL, run, s) == 0);
	must(pthread_detach(thread) == 0);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	return n;
}

void io_names_free(struct io_names *n)
{
	struct shared *s;

	if (!n)
		return;
	s = n->shared;
	while (!list_empty(&n->queries))
		/* The analyzer loses sight of rings. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		tell(list_entry(n->queries.next, struct io_name_query, node), -ECANCELED, SV(""));
	htable_each (&n->by_uid, slot)
		free(slot->value);
	htable_deinit(&n->by_uid);
	lock(s);
	s->left = true;
	io_wakeup_free(s->wakeup);
	must(pthread_cond_signal(&s->work) == 0);
	unlock(s);
	free(n);
}
