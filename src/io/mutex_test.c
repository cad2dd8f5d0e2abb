/* SPDX-License-Identifier: Apache-2.0 */
#include "io/mutex.h"

#include "base/must.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"

enum {
	THREADS = 4,
	ROUNDS = 20000
};

/* Not atomic: the mutex is what keeps them whole, and TSan what sees if it does not. */
struct shared {
	struct io_mutex lock;
	unsigned long a, b;
	unsigned long differed;
};

static void *count(void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		io_mutex_lock(&s->lock);
		s->a++;
		if (s->a != s->b + 1)
			s->differed++;
		s->b++;
		io_mutex_unlock(&s->lock);
	}
	return NULL;
}

static void one_thread_at_a_time(void **state)
{
	struct shared s = { 0 };
	pthread_t threads[THREADS];

	(void)state;
	io_mutex_init(&s.lock);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, &s), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	io_mutex_lock(&s.lock);
	assert_int_equal(s.a, THREADS * ROUNDS);
	assert_int_equal(s.b, THREADS * ROUNDS);
	assert_int_equal(s.differed, 0);
	io_mutex_unlock(&s.lock);
	io_mutex_deinit(&s.lock);
}

static void lock_twice(struct io_mutex *m)
{
	io_mutex_lock(m);
	io_mutex_lock(m);
}

static void unlock_what_is_free(struct io_mutex *m)
{
	io_mutex_unlock(m);
}

static int end_of(void (*bug)(struct io_mutex *m))
{
	const struct rlimit no_core = { 0, 0 };
	struct io_mutex m;
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)signal(SIGABRT, SIG_DFL);
		(void)!freopen("/dev/null", "w", stderr);
		io_mutex_init(&m);
		bug(&m);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

/* Instead of hanging, or of going on without it. */
static void bugs_abort(void **state)
{
	void (*const bugs[])(struct io_mutex * m) = { lock_twice, unlock_what_is_free };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bugs); i++) {
		int status = end_of(bugs[i]);

		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread_at_a_time),
		cmocka_unit_test(bugs_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
