/* SPDX-License-Identifier: Apache-2.0 */
#include "io/spawn.h"

#include "base/err.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/test_command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_command_reads_prints_and_ends(void **state)
{
	static const struct command_case table[] = {
		{ "/bin/echo one two", "", "one two\n", 0, 0 },
		{ "  /bin/echo \t one ", "", "one\n", 0, 0 },
		{ "/bin/cat", "what it reads", "what it reads", 0, 0 },
		/* No input is the end of the input, not a terminal. */
		{ "/bin/cat", "", "", 0, 0 },
		{ "/bin/false", "input that nobody reads", "", 0, 1 },
		/* No shell: the quotes are the program's. */
		{ "/bin/echo 'a b' $HOME", "", "'a b' $HOME\n", 0, 0 },
		{ "/nonexistent/program", "", "", -ENOENT, 0 },
		{ "/etc/passwd", "", "", -EACCES, 0 },
		{ "", "", "", RC_PARSE, 0 },
		{ "  ", "", "", RC_PARSE, 0 },
		{ "a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a",
			"",
			"",
			RC_PARSE,
			0 },
	};

	(void)state;
	run_cases(table, COUNT_OF(table));
}

static void the_program_is_named(void **state)
{
	struct io_command_end end;

	(void)state;
	assert_int_equal(run("/bin/no/such x", "", NULL, 0, US_PER_S, &end), -ENOENT);
	assert_string_equal(end.program, "/bin/no/such");
}

static void too_much_output_is_cut_and_the_program_ended(void **state)
{
	struct io_command_end end;
	char out[1000];

	(void)state;
	assert_int_equal(
		run("/usr/bin/yes", "", out, sizeof(out), LONG_S * US_PER_S, &end), RC_LIMIT);
	assert_true(WIFSIGNALED(end.status));
	assert_int_equal(WTERMSIG(end.status), SIGKILL);
}

static void the_deadline_ends_it(void **state)
{
	struct io_command_end end;
	char out[100];

	(void)state;
	assert_int_equal(run("/bin/sleep 600", "", out, sizeof(out), 50000, &end), RC_TIMEOUT);
	assert_int_equal(run("/bin/sleep 600", "", NULL, 0, 50000, &end), RC_TIMEOUT);
	assert_int_equal(WTERMSIG(end.status), SIGKILL);
}

/* A grandchild that outlives its parent would keep what it inherited. */
static void the_deadline_ends_children_of_it_too(void **state)
{
	char folder[] = "/tmp/spawn_test.XXXXXX", line[200], path[100], pid_path[120];
	struct io_command_end end;
	const char script[] = "sleep 600 &\necho $! >\"$0.pid\"\nwait\n";
	CLEANUP(buf_deinitp) struct buf pid = BUF_INIT(100);
	struct err err = { 0 };
	uint32_t number;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/script", folder);
	assert_int_equal(io_file_write_durably(path, sv_from(script), 0700, &err), 0);
	(void)snprintf(line, sizeof(line), "/bin/sh %s", path);
	(void)snprintf(pid_path, sizeof(pid_path), "%s.pid", path);
	/* On a busy machine the first deadlines come before the script has said so much. */
	for (uint64_t us = US_PER_S / 8; us < LONG_S * US_PER_S && pid.len < 2; us *= 2) {
		assert_int_equal(run(line, "", NULL, 0, us, &end), RC_TIMEOUT);
		buf_reset(&pid);
		(void)!io_file_read(pid_path, 100, &pid, &err);
	}
	assert_true(pid.len >= 2);
	assert_int_equal(sv_parse_u32(sv_head(buf_sv(&pid), pid.len - 1), INT32_MAX, &number), 0);
	/* A zombie until its new parent has looked. */
	for (int i = 0; i < LONG_S * 100 && kill((pid_t)number, 0) == 0; i++)
		(void)usleep(10000);
	assert_int_not_equal(kill((pid_t)number, 0), 0);
	(void)unlink(pid_path);
	(void)unlink(path);
	(void)rmdir(folder);
}

/* Sockets and the database of the daemon are nothing for a program. */
static void nothing_else_is_inherited(void **state)
{
	CLEANUP(io_closep) int leak = open("/dev/null", O_RDONLY); /* without O_CLOEXEC */
	struct io_command_end end;
	char out[1000];

	(void)state;
	assert_true(leak > STDERR_FILENO);
	assert_int_equal(
		run("/bin/ls /proc/self/fd", "", out, sizeof(out), LONG_S * US_PER_S, &end), 0);
	/* 3 is the folder that ls reads. */
	assert_int_equal(end.output_len, strlen("0\n1\n2\n3\n"));
	assert_memory_equal(out, "0\n1\n2\n3\n", end.output_len);
}

static void a_fourth_descriptor_and_another_name(void **state)
{
	CLEANUP(io_closep) int cat = open("/bin/cat", O_RDONLY | O_CLOEXEC);
	char *words[] = { (char[]){ "other" }, (char[]){ "/proc/self/cmdline" }, NULL };
	int ends[2];
	struct io_spawn what = { .words = words,
		.program = "/proc/self/fd/3",
		.foreground = true,
		.fourth = cat,
		.in = IO_SPAWN_NULL,
		.err = IO_SPAWN_SAME };
	char out[100] = "";
	pid_t child;
	int status;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	what.out = ends[1];
	assert_int_equal(io_spawn_start(&what, &child), 0);
	(void)close(ends[1]);
	assert_int_equal(io_spawn_wait(child, true, MONO_NEVER, &status), 0);
	assert_int_equal(status, 0);
	assert_true(read(ends[0], out, sizeof(out)) > 0);
	assert_string_equal(out, "other");
	(void)close(ends[0]);
}

/* A worker blocks all signals; its children must not. */
static void signals_are_those_of_a_fresh_shell(void **state)
{
	sigset_t all, before;
	struct io_command_end end;
	char out[4000];
	const char *ignored;

	(void)state;
	(void)sigfillset(&all);
	assert_int_equal(sigprocmask(SIG_SETMASK, &all, &before), 0);
	(void)signal(SIGPIPE, SIG_IGN);
	assert_int_equal(run("/bin/grep -E ^Sig(Blk|Ign) /proc/self/status",
				 "",
				 out,
				 sizeof(out) - 1,
				 LONG_S * US_PER_S,
				 &end),
		0);
	out[end.output_len] = '\0';
	ignored = strstr(out, "SigIgn:");
	assert_non_null(strstr(out, "SigBlk:\t0000000000000000\n"));
	assert_non_null(ignored);
	/* libc ignores two of its own above these. */
	assert_int_equal(strtoull(ignored + strlen("SigIgn:"), NULL, 16) & 0x7fffffff, 0);
	(void)signal(SIGPIPE, SIG_DFL);
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_reads_prints_and_ends),
		cmocka_unit_test(the_program_is_named),
		cmocka_unit_test(too_much_output_is_cut_and_the_program_ended),
		cmocka_unit_test(the_deadline_ends_it),
		cmocka_unit_test(the_deadline_ends_children_of_it_too),
		cmocka_unit_test(nothing_else_is_inherited),
		cmocka_unit_test(a_fourth_descriptor_and_another_name),
		cmocka_unit_test(signals_are_those_of_a_fresh_shell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
