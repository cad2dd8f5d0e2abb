/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include "base/must.h"
#include "io/file.h"
#include "io/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "cmocka_all.h"

enum {
	NOTES_MAX = 64,
	GUARD_S = 60, /* a test that hangs fails instead */
};

/* What happened, in order, as letters. */
struct diary {
	struct io_loop *loop;
	struct io_timer guard;
	char notes[NOTES_MAX];
	size_t len;
	bool hung;
};

static void note(struct diary *d, char c)
{
	must(d->len + 1 < NOTES_MAX);
	d->notes[d->len++] = c;
}

static void on_guard(void *arg)
{
	struct diary *d = arg;

	d->hung = true;
	io_loop_stop(d->loop);
}

static void open_diary(struct diary *d)
{
	*d = (struct diary){ .loop = io_loop_new() };
	io_timer_init(&d->guard, d->loop, on_guard, d);
	io_timer_start(&d->guard, mono_add(io_now(d->loop), GUARD_S * US_PER_S));
}

static void run(struct diary *d)
{
	io_loop_run(d->loop);
	assert_false(d->hung);
}

static void close_diary(struct diary *d)
{
	io_loop_free(d->loop);
}

/* ---- timers ---- */

struct tick {
	struct io_timer timer;
	struct diary *diary;
	char letter;
	unsigned again;      /* so many times more, at once */
	struct tick *stops;  /* stopped by this one */
	struct tick *starts; /* started for the past by this one */
	bool last;
};

static void on_tick(void *arg)
{
	struct tick *t = arg;

	note(t->diary, t->letter);
	if (t->again) {
		t->again--;
		io_timer_start(&t->timer, (struct mono_time){ 0 });
	} else if (t->last) {
		io_loop_stop(t->diary->loop);
	}
	if (t->stops)
		io_timer_stop(&t->stops->timer);
	if (t->starts)
		io_timer_start(&t->starts->timer, (struct mono_time){ 1 });
}

static void init_tick(struct tick *t, struct diary *d, char letter)
{
	*t = (struct tick){ .diary = d, .letter = letter };
	io_timer_init(&t->timer, d->loop, on_tick, t);
}

static void start_in(struct tick *t, uint64_t us)
{
	io_timer_start(&t->timer, mono_add(io_now(t->diary->loop), us));
}

static void timers_fire_in_the_order_of_their_time(void **state)
{
	struct diary d;
	struct tick t[5];

	(void)state;
	open_diary(&d);
	for (unsigned i = 0; i < COUNT_OF(t); i++)
		init_tick(&t[i], &d, (char)('a' + i));
	start_in(&t[0], 3000);
	start_in(&t[1], 2000);
	start_in(&t[2], 0);
	start_in(&t[3], 0);
	start_in(&t[4], 6000);
	t[4].last = true;
	run(&d);
	assert_string_equal(d.notes, "cdbae");
	close_diary(&d);
}

static void a_timer_moves_and_stops(void **state)
{
	struct diary d;
	struct tick t[4];

	(void)state;
	open_diary(&d);
	for (unsigned i = 0; i < COUNT_OF(t); i++)
		init_tick(&t[i], &d, (char)('a' + i));
	start_in(&t[0], 0);
	start_in(&t[1], 1000);
	start_in(&t[2], 0);
	start_in(&t[3], 3000);
	start_in(&t[0], 2000);
	assert_int_equal(t[0].timer.at.us, io_now(d.loop).us + 2000);
	io_timer_start(&t[2].timer, MONO_NEVER);
	io_timer_stop(&t[2].timer);
	t[3].last = true;
	run(&d);
	assert_string_equal(d.notes, "bad");
	close_diary(&d);
}

static void a_due_timer_can_be_stopped_by_another(void **state)
{
	struct diary d;
	struct tick a, b, c;

	(void)state;
	open_diary(&d);
	init_tick(&a, &d, 'a');
	init_tick(&b, &d, 'b');
	init_tick(&c, &d, 'c');
	a.stops = &b;
	c.last = true;
	start_in(&a, 0);
	start_in(&b, 0);
	start_in(&c, 0);
	run(&d);
	assert_string_equal(d.notes, "ac");
	close_diary(&d);
}

static void timers_that_ask_for_the_past_wait_for_the_next_round(void **state)
{
	struct diary d;
	struct tick a, b, c;

	(void)state;
	open_diary(&d);
	init_tick(&a, &d, 'a');
	init_tick(&b, &d, 'b');
	init_tick(&c, &d, 'c');
	a.again = 3;
	b.starts = &c;
	c.again = 2;
	c.last = true;
	start_in(&a, 0);
	start_in(&b, 0);
	run(&d);
	/* a and b are due; each of them again, and c, only in rounds of their own. */
	assert_string_equal(d.notes, "abacacac");
	close_diary(&d);
}

struct many {
	struct io_timer timer;
	struct diary *diary;
	struct mono_time *latest;
	unsigned *left;
	bool early, disordered;
};

static void on_many(void *arg)
{
	struct many *m = arg;

	m->disordered = m->timer.at.us < m->latest->us;
	*m->latest = m->timer.at;
	m->early = mono_before(io_clock_mono(), m->timer.at);
	if (--*m->left == 0)
		io_loop_stop(m->diary->loop);
}

static void many_timers_fire_in_order_and_never_early(void **state)
{
	enum {
		MANY = 1000
	};
	struct many *all = xcalloc(MANY, sizeof(*all));
	struct mono_time latest = { 0 };
	unsigned left = MANY;
	struct diary d;

	(void)state;
	open_diary(&d);
	for (unsigned i = 0; i < MANY; i++) {
		struct mono_time at = mono_add(io_now(d.loop), prng_below(io_prng(d.loop), 20000));

		all[i] = (struct many){ .diary = &d, .latest = &latest, .left = &left };
		io_timer_init(&all[i].timer, d.loop, on_many, &all[i]);
		io_timer_start(&all[i].timer, at);
	}
	run(&d);
	for (unsigned i = 0; i < MANY; i++) {
		assert_false(all[i].early);
		assert_false(all[i].disordered);
	}
	close_diary(&d);
	free(all);
}

/* ---- clocks ---- */

struct clock_look {
	struct io_timer timer;
	struct io_loop *loop;
	struct mono_time first;
	bool same, moved;
	unsigned rounds;
};

static void on_clock_look(void *arg)
{
	struct clock_look *c = arg;
	struct mono_time before = io_now(c->loop);
	struct mono_time outside = io_clock_mono();
	struct wall_time wall = io_wall(c->loop);

	/* Spins until the kernel's clock has moved: the loop's must not. */
	while (io_clock_mono().us == outside.us)
		wall = io_wall(c->loop);
	c->same = io_now(c->loop).us == before.us && io_wall(c->loop).us == wall.us;
	if (c->rounds++ == 0) {
		c->first = before;
		io_timer_start(&c->timer, mono_add(before, 1));
		return;
	}
	c->moved = mono_before(c->first, before);
	io_loop_stop(c->loop);
}

static void the_clock_stands_still_within_a_round(void **state)
{
	struct clock_look c = { .loop = io_loop_new() };
	unsigned char random[2][64] = { { 0 } };

	(void)state;
	io_timer_init(&c.timer, c.loop, on_clock_look, &c);
	io_timer_start(&c.timer, (struct mono_time){ 0 });
	io_loop_run(c.loop);
	assert_true(c.same);
	assert_true(c.moved);
	io_random(random[0], sizeof(random[0]));
	io_random(random[1], sizeof(random[1]));
	assert_memory_not_equal(random[0], random[1], sizeof(random[0]));
	io_loop_free(c.loop);
}

/* ---- tasks ---- */

struct chore {
	struct io_task task;
	struct diary *diary;
	char letter;
	struct chore *posts, *cancels;
	bool last;
};

static void on_chore(void *arg)
{
	struct chore *c = arg;

	note(c->diary, c->letter);
	if (c->posts)
		io_task_post(c->diary->loop, &c->posts->task);
	if (c->cancels)
		io_task_cancel(c->diary->loop, &c->cancels->task);
	if (c->last)
		io_loop_stop(c->diary->loop);
}

static void init_chores(struct chore *c, size_t count, struct diary *d)
{
	for (size_t i = 0; i < count; i++) {
		c[i] = (struct chore){ .diary = d, .letter = (char)('a' + i) };
		c[i].task = (struct io_task){ .run = on_chore, .arg = &c[i] };
	}
}

static void tasks_run_once_and_in_order(void **state)
{
	struct diary d;
	struct chore c[4];

	(void)state;
	open_diary(&d);
	init_chores(c, COUNT_OF(c), &d);
	for (unsigned i = 0; i < COUNT_OF(c); i++) {
		io_task_post(d.loop, &c[i].task);
		io_task_post(d.loop, &c[i].task);
	}
	c[3].last = true;
	run(&d);
	assert_string_equal(d.notes, "abcd");
	close_diary(&d);
}

static void tasks_are_cancelled_at_any_place(void **state)
{
	struct diary d;
	struct chore c[7];

	(void)state;
	open_diary(&d);
	init_chores(c, COUNT_OF(c), &d);
	for (unsigned i = 0; i < COUNT_OF(c); i++)
		io_task_post(d.loop, &c[i].task);
	io_task_cancel(d.loop, &c[0].task); /* first */
	io_task_cancel(d.loop, &c[3].task); /* between */
	io_task_cancel(d.loop, &c[6].task); /* last */
	io_task_cancel(d.loop, &c[6].task);
	c[1].cancels = &c[2]; /* by one that runs */
	io_task_post(d.loop, &c[0].task);
	c[0].last = true;
	run(&d);
	assert_string_equal(d.notes, "befa");
	close_diary(&d);
}

static void a_task_that_posts_itself_starves_nobody(void **state)
{
	struct diary d;
	struct chore c[2];
	struct tick end;

	(void)state;
	open_diary(&d);
	init_chores(c, COUNT_OF(c), &d);
	c[0].posts = &c[1];
	c[1].posts = &c[0];
	io_task_post(d.loop, &c[0].task);
	init_tick(&end, &d, '.');
	end.last = true;
	start_in(&end, 0);
	run(&d);
	assert_true(d.len >= 2);
	assert_int_equal(d.notes[0], 'a');
	io_task_cancel(d.loop, &c[0].task);
	io_task_cancel(d.loop, &c[1].task);
	close_diary(&d);
}

static void tasks_of_tasks_run_before_the_loop_sleeps(void **state)
{
	struct diary d;
	struct chore c[4];

	(void)state;
	open_diary(&d);
	init_chores(c, COUNT_OF(c), &d);
	/* Nothing but the guard could wake the loop. */
	for (unsigned i = 0; i + 1 < COUNT_OF(c); i++)
		c[i].posts = &c[i + 1];
	c[3].last = true;
	io_task_post(d.loop, &c[0].task);
	run(&d);
	assert_string_equal(d.notes, "abcd");
	close_diary(&d);
}

static void a_loop_that_is_stopped_before_it_runs_returns(void **state)
{
	struct diary d;
	struct tick t;

	(void)state;
	open_diary(&d);
	io_loop_stop(d.loop);
	io_loop_run(d.loop);
	init_tick(&t, &d, 't');
	t.last = true;
	start_in(&t, 0);
	run(&d);
	assert_string_equal(d.notes, "t");
	/* Freed with a timer that runs. */
	start_in(&t, 1000);
	close_diary(&d);
	io_loop_free(NULL);
}

/* ---- wake-ups ---- */

enum {
	SENDS = 2000
};

struct bell {
	struct diary diary;
	struct io_wakeup *wakeup;
	_Atomic unsigned sent;
	unsigned calls, seen;
};

static void on_bell(void *arg)
{
	struct bell *b = arg;

	b->calls++;
	b->seen = atomic_load(&b->sent);
	if (b->seen == SENDS)
		io_loop_stop(b->diary.loop);
}

static void *ring(void *arg)
{
	struct bell *b = arg;

	for (unsigned i = 0; i < SENDS / 2; i++) {
		atomic_fetch_add(&b->sent, 1);
		io_wakeup_send(b->wakeup);
	}
	return NULL;
}

static void wakeups_of_threads_are_not_lost(void **state)
{
	struct bell b = { .calls = 0 };
	pthread_t threads[2];

	(void)state;
	open_diary(&b.diary);
	b.wakeup = io_wakeup_new(b.diary.loop, on_bell, &b);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ring, &b), 0);
	run(&b.diary);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(b.seen, SENDS);
	assert_in_range(b.calls, 1, SENDS);
	io_wakeup_free(b.wakeup);
	io_wakeup_free(NULL);
	close_diary(&b.diary);
}

/* ---- workers ---- */

struct pool {
	struct diary diary;
	struct io_workers *workers;
	sem_t started, gate;
	pthread_t loop_thread;
	unsigned done_count, stop_after;
};

struct errand {
	struct pool *pool;
	char letter;
	bool ran, elsewhere, waits, frees;
};

static void run_errand(void *arg)
{
	struct errand *e = arg;

	e->ran = true;
	e->elsewhere = !pthread_equal(pthread_self(), e->pool->loop_thread);
	if (!e->waits)
		return;
	(void)sem_post(&e->pool->started);
	while (sem_wait(&e->pool->gate) != 0)
		continue;
}

static void errand_done(void *arg)
{
	struct errand *e = arg;
	struct pool *p = e->pool;

	must(pthread_equal(pthread_self(), p->loop_thread));
	note(&p->diary, e->letter);
	if (++p->done_count == p->stop_after || e->frees)
		io_loop_stop(p->diary.loop);
	if (e->frees)
		io_workers_free(TAKE(p->workers));
}

static void open_pool(struct pool *p, unsigned threads, unsigned queue_max)
{
	*p = (struct pool){ .loop_thread = pthread_self() };
	open_diary(&p->diary);
	assert_int_equal(sem_init(&p->started, 0, 0), 0);
	assert_int_equal(sem_init(&p->gate, 0, 0), 0);
	p->workers = io_workers_new(p->diary.loop, threads, queue_max);
}

static void close_pool(struct pool *p)
{
	io_workers_free(p->workers);
	close_diary(&p->diary);
	(void)sem_destroy(&p->started);
	(void)sem_destroy(&p->gate);
}

static void init_errands(struct errand *e, size_t count, struct pool *p)
{
	for (size_t i = 0; i < count; i++)
		e[i] = (struct errand){ .pool = p, .letter = (char)('a' + i) };
}

static void wait_for(sem_t *s)
{
	while (sem_wait(s) != 0)
		continue;
}

static void one_worker_keeps_the_order(void **state)
{
	struct pool p;
	struct errand e[10];

	(void)state;
	open_pool(&p, 1, 10);
	init_errands(e, COUNT_OF(e), &p);
	p.stop_after = COUNT_OF(e);
	for (unsigned i = 0; i < COUNT_OF(e); i++)
		assert_int_equal(io_workers_run(p.workers, run_errand, errand_done, &e[i]), 0);
	run(&p.diary);
	assert_string_equal(p.diary.notes, "abcdefghij");
	for (unsigned i = 0; i < COUNT_OF(e); i++)
		assert_true(e[i].elsewhere);
	close_pool(&p);
}

static void a_full_queue_says_so(void **state)
{
	struct pool p;
	struct errand e[4];

	(void)state;
	open_pool(&p, 1, 2);
	init_errands(e, COUNT_OF(e), &p);
	e[0].waits = true;
	assert_int_equal(io_workers_run(p.workers, run_errand, errand_done, &e[0]), 0);
	wait_for(&p.started);
	assert_int_equal(io_workers_run(p.workers, run_errand, errand_done, &e[1]), 0);
	assert_int_equal(io_workers_run(p.workers, run_errand, errand_done, &e[2]), 0);
	assert_int_equal(io_workers_run(p.workers, run_errand, errand_done, &e[3]), -EAGAIN);
	(void)sem_post(&p.gate);
	p.stop_after = 3;
	run(&p.diary);
	assert_string_equal(p.diary.notes, "abc");
	assert_false(e[3].ran);
	assert_int_equal(io_workers_run(p.workers, run_errand, errand_done, &e[3]), 0);
	p.stop_after = 4;
	run(&p.diary);
	close_pool(&p);
}

static void freeing_finishes_what_runs_and_drops_what_waits(void **state)
{
	struct pool p;
	struct errand e[3];

	(void)state;
	open_pool(&p, 1, 4);
	init_errands(e, COUNT_OF(e), &p);
	e[0].waits = true;
	for (unsigned i = 0; i < COUNT_OF(e); i++)
		assert_int_equal(io_workers_run(p.workers, run_errand, errand_done, &e[i]), 0);
	wait_for(&p.started);
	/* The gate opens before the workers stop: the one thread may take another errand, or not. */
	(void)sem_post(&p.gate);
	io_workers_free(TAKE(p.workers));
	assert_int_equal(p.diary.notes[0], 'a');
	assert_int_equal(p.done_count, 1u + e[1].ran + e[2].ran);
	close_pool(&p);
}

static void freeing_in_done_still_tells_the_others(void **state)
{
	struct pool p;
	struct errand e[4];

	(void)state;
	open_pool(&p, 2, 8);
	init_errands(e, COUNT_OF(e), &p);
	e[0].frees = true;
	for (unsigned i = 0; i < COUNT_OF(e); i++)
		assert_int_equal(io_workers_run(p.workers, run_errand, errand_done, &e[i]), 0);
	run(&p.diary);
	assert_null(p.workers);
	assert_int_equal(p.done_count, 0u + e[0].ran + e[1].ran + e[2].ran + e[3].ran);
	assert_int_equal(p.diary.len, p.done_count);
	close_pool(&p);
}

/* ---- signals ---- */

struct ears {
	struct diary diary;
	unsigned heard_1, heard_2;
};

static void on_signal(void *arg, int signum)
{
	struct ears *e = arg;

	e->heard_1 += signum == SIGUSR1;
	e->heard_2 += signum == SIGUSR2;
	if (e->heard_1 && e->heard_2)
		io_loop_stop(e->diary.loop);
}

static void signals_arrive_on_the_loop(void **state)
{
	struct ears e = { .heard_1 = 0 };

	(void)state;
	/* Twice: the second loop must find the signal machinery as the first one found it. */
	for (unsigned i = 0; i < 2; i++) {
		e = (struct ears){ .heard_1 = 0 };
		open_diary(&e.diary);
		io_signal_watch(e.diary.loop, SIGUSR1, on_signal, &e);
		io_signal_watch(e.diary.loop, SIGUSR2, on_signal, &e);
		assert_int_equal(raise(SIGUSR1), 0);
		assert_int_equal(raise(SIGUSR2), 0);
		run(&e.diary);
		assert_int_equal(e.heard_1, 1);
		assert_int_equal(e.heard_2, 1);
		/* One more is in flight while the loop goes. */
		assert_int_equal(raise(SIGUSR1), 0);
		close_diary(&e.diary);
	}
}

/* ---- watches ---- */

struct gaze {
	struct diary diary;
	struct io_watch *watch;
	unsigned events, calls;
	int fd;
	bool frees;
};

static void on_gaze(void *arg, unsigned events)
{
	struct gaze *g = arg;

	g->events = events;
	g->calls++;
	io_loop_stop(g->diary.loop);
	if (g->frees)
		io_watch_free(TAKE(g->watch));
}

static void open_pipe(int fds[2])
{
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
}

static void run_for_a_moment(struct gaze *g)
{
	struct tick t;

	init_tick(&t, &g->diary, '.');
	t.last = true;
	start_in(&t, 2000);
	run(&g->diary);
	io_timer_stop(&t.timer);
}

static void a_watch_tells_pauses_and_goes_on(void **state)
{
	struct gaze g = { .calls = 0 };
	int fds[2];
	char c;

	(void)state;
	open_diary(&g.diary);
	open_pipe(fds);
	g.watch = io_watch_new(g.diary.loop, fds[0], IO_READABLE, on_gaze, &g);
	assert_non_null(g.watch);
	assert_int_equal(write(fds[1], "x", 1), 1);
	run(&g.diary);
	assert_int_equal(g.events, IO_READABLE);
	io_watch_set(g.watch, 0);
	g.calls = 0;
	run_for_a_moment(&g);
	assert_int_equal(g.calls, 0);
	io_watch_set(g.watch, IO_READABLE);
	run(&g.diary);
	assert_int_equal(g.calls, 1);
	assert_int_equal(read(fds[0], &c, 1), 1);
	g.frees = true;
	assert_int_equal(write(fds[1], "x", 1), 1);
	run(&g.diary);
	assert_null(g.watch);
	/* The same descriptor can be watched again at once. */
	g.watch = io_watch_new(g.diary.loop, fds[0], 0, on_gaze, &g);
	assert_non_null(g.watch);
	io_watch_set(g.watch, IO_READABLE);
	run(&g.diary);
	io_watch_free(NULL);
	io_closep(&fds[0]);
	io_closep(&fds[1]);
	close_diary(&g.diary);
}

static void a_watch_tells_of_errors_once(void **state)
{
	struct gaze g = { .calls = 0 };
	int fds[2];

	(void)state;
	open_diary(&g.diary);
	open_pipe(fds);
	g.watch = io_watch_new(g.diary.loop, fds[1], IO_WRITABLE, on_gaze, &g);
	assert_non_null(g.watch);
	run(&g.diary);
	assert_int_equal(g.events, IO_WRITABLE);
	/* The write end of a pipe without readers is in an error state. */
	io_closep(&fds[0]);
	run(&g.diary);
	assert_int_equal(g.events, IO_READABLE | IO_WRITABLE);
	g.calls = 0;
	run_for_a_moment(&g);
	assert_int_equal(g.calls, 0);
	io_watch_set(g.watch, IO_WRITABLE);
	run(&g.diary);
	assert_int_equal(g.calls, 1);
	io_watch_free(g.watch);
	io_closep(&fds[1]);
	close_diary(&g.diary);
}

static void a_plain_file_cannot_be_watched(void **state)
{
	struct gaze g = { .calls = 0 };
	FILE *file = tmpfile();

	(void)state;
	assert_non_null(file);
	open_diary(&g.diary);
	assert_null(io_watch_new(g.diary.loop, fileno(file), IO_READABLE, on_gaze, &g));
	close_diary(&g.diary);
	(void)fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_the_order_of_their_time),
		cmocka_unit_test(a_timer_moves_and_stops),
		cmocka_unit_test(a_due_timer_can_be_stopped_by_another),
		cmocka_unit_test(timers_that_ask_for_the_past_wait_for_the_next_round),
		cmocka_unit_test(many_timers_fire_in_order_and_never_early),
		cmocka_unit_test(the_clock_stands_still_within_a_round),
		cmocka_unit_test(tasks_run_once_and_in_order),
		cmocka_unit_test(tasks_are_cancelled_at_any_place),
		cmocka_unit_test(a_task_that_posts_itself_starves_nobody),
		cmocka_unit_test(tasks_of_tasks_run_before_the_loop_sleeps),
		cmocka_unit_test(a_loop_that_is_stopped_before_it_runs_returns),
		cmocka_unit_test(wakeups_of_threads_are_not_lost),
		cmocka_unit_test(one_worker_keeps_the_order),
		cmocka_unit_test(a_full_queue_says_so),
		cmocka_unit_test(freeing_finishes_what_runs_and_drops_what_waits),
		cmocka_unit_test(freeing_in_done_still_tells_the_others),
		cmocka_unit_test(signals_arrive_on_the_loop),
		cmocka_unit_test(a_watch_tells_pauses_and_goes_on),
		cmocka_unit_test(a_watch_tells_of_errors_once),
		cmocka_unit_test(a_plain_file_cannot_be_watched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
