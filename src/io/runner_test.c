/* SPDX-License-Identifier: Apache-2.0 */
#include "io/runner.h"

#include "io/loop.h"
#include "io/test_command.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	THREADS = 2,
};

static const struct sv lines[] = {
	SV_INIT("/bin/echo one two"),
	SV_INIT("/bin/cat"),
	SV_INIT("/bin/cat /dev/stdin"),
	SV_INIT("/bin/false"),
	SV_INIT("/usr/bin/yes"),
	SV_INIT("/bin/sleep 600"),
	SV_INIT("/usr/bin/env"),
	SV_INIT("/nonexistent/program"),
	SV_INIT("/bin/echo one two"), /* named twice */
	SV_INIT("/bin/ls /proc/self/fd"),
};
static const struct sv hidden[] = { SV_INIT("RUNNER_TEST_SECRET"), SV_INIT("RUNNER_TEST_UNSET") };

static void a_command_runs_as_without_it(void **state)
{
	static const struct command_case table[] = {
		{ "/bin/echo one two", "", "one two\n", 0, 0 },
		{ "/bin/cat", "what it reads", "what it reads", 0, 0 },
		{ "/bin/cat", "", "", 0, 0 },
		{ "/bin/false", "unread", "", 0, 1 },
		{ "/nonexistent/program", "", "", -ENOENT, 0 },
		/* Not one of those that it knows, however alike. */
		{ "/bin/echo one", "", "", -EPERM, 0 },
		{ "/bin/echo one two three", "", "", -EPERM, 0 },
		{ "/bin/sh", "echo hello", "", -EPERM, 0 },
		{ "", "", "", RC_PARSE, 0 },
	};

	(void)state;
	run_cases(table, COUNT_OF(table));
	assert_true(io_runner_takes(SV("/bin/false")));
	assert_false(io_runner_takes(SV("/bin/true")));
}

static void its_end_is_kept(void **state)
{
	struct io_command_end end;
	char out[1000];

	(void)state;
	assert_int_equal(
		run("/usr/bin/yes", "", out, sizeof(out), LONG_S * US_PER_S, &end), RC_LIMIT);
	assert_int_equal(run("/bin/sleep 600", "", out, sizeof(out), 50000, &end), RC_TIMEOUT);
	assert_int_equal(run("/bin/sleep 600", "", NULL, 0, 50000, &end), RC_TIMEOUT);
}

static void variables_with_secrets_are_not_passed_on(void **state)
{
	struct io_command_end end;
	char out[65536];

	(void)state;
	assert_int_equal(run("/usr/bin/env", "", out, sizeof(out), LONG_S * US_PER_S, &end), 0);
	assert_true(sv_find(sv_make(out, end.output_len), SV("RUNNER_TEST_PLAIN=visible\n")) >= 0);
	assert_true(sv_find(sv_make(out, end.output_len), SV("RUNNER_TEST_SECRET")) < 0);
	/* In this process it is as it was. */
	assert_string_equal(getenv("RUNNER_TEST_SECRET"), "hidden");
}

static void descriptors_are_the_three(void **state)
{
	struct io_command_end end;
	char out[1000];

	(void)state;
	assert_int_equal(
		run("/bin/ls /proc/self/fd", "", out, sizeof(out), LONG_S * US_PER_S, &end), 0);
	assert_int_equal(end.output_len, strlen("0\n1\n2\n3\n"));
	assert_memory_equal(out, "0\n1\n2\n3\n", end.output_len);
}

static void *ask_often(void *arg)
{
	const struct sv mine = sv_from(arg);

	for (int i = 0; i < 50; i++) {
		struct io_command_end end;
		char out[100];

		if (run("/bin/cat", mine.ptr, out, sizeof(out), LONG_S * US_PER_S, &end) != 0 ||
			!sv_eq(sv_make(out, end.output_len), mine))
			return arg;
	}
	return NULL;
}

/* Each gets its own answer. */
static void threads_ask_at_once(void **state)
{
	pthread_t threads[THREADS];
	char words[THREADS][16] = { "first", "second" };

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_often, words[i]), 0);
	for (int i = 0; i < THREADS; i++) {
		void *wrong = NULL;

		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
}

/* A daemon in a process of its own: what is written comes from it. */
static void it_ends_with_the_daemon_and_not_before(void **state)
{
	int ends[2], status = 0;
	pid_t daemon, ended;
	struct err err = { 0 };
	char c = 0;

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	assert_int_equal(pipe(ends), 0);
	daemon = fork();
	if (daemon == 0) {
		struct io_command_end end;

		if (io_runner_start(lines, COUNT_OF(lines), NULL, 0, &err) != 0 ||
			setpgid(0, 0) != 0)
			_exit(1);
		/* What a manager sends to all of the service does not end it: the daemon still drains. */
		(void)signal(SIGTERM, SIG_IGN);
		(void)kill(0, SIGTERM);
		_exit(run("/bin/false", "", NULL, 0, LONG_S * US_PER_S, &end) == 0 &&
					WEXITSTATUS(end.status) == 1
				? 0
				: 2);
	}
	(void)close(ends[1]);
	/* The runner keeps no descriptor of ours. */
	assert_int_equal(read(ends[0], &c, 1), 0);
	(void)close(ends[0]);
	assert_int_equal(waitpid(daemon, &status, 0), daemon);
	assert_int_equal(status, 0);
	/* The runner is ours now, and ends. */
	do
		ended = waitpid(-1, &status, 0);
	while (ended < 0 && errno == EINTR);
	assert_true(ended > 0 && ended != daemon);
	assert_true(WIFEXITED(status));
}

static int begin(void **state)
{
	struct err err = { 0 };

	(void)state;
	(void)setenv("RUNNER_TEST_SECRET", "hidden", 1);
	(void)setenv("RUNNER_TEST_PLAIN", "visible", 1);
	return io_runner_start(lines, COUNT_OF(lines), hidden, COUNT_OF(hidden), &err);
}

int main(void)
{
	const struct CMUnitTest before[] = {
		cmocka_unit_test(it_ends_with_the_daemon_and_not_before),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_runs_as_without_it),
		cmocka_unit_test(its_end_is_kept),
		cmocka_unit_test(variables_with_secrets_are_not_passed_on),
		cmocka_unit_test(descriptors_are_the_three),
		cmocka_unit_test(threads_ask_at_once),
	};
	int failed = cmocka_run_group_tests_name("life", before, NULL, NULL);

	return failed + cmocka_run_group_tests(tests, begin, NULL);
}
