/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/must.h"
#include "base/time.h"
#include "identity/secrets_priv.h"
#include "io/file.h"
#include "io/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * A secret that a program prints: a password manager, a cloud's tool. No shell stands between; the
 * program gets no input, and what it writes to its standard error is thrown away, for it might hold what
 * must not be in a log.
 */
enum {
	WORDS_MAX = 32,
	LINE_MAX_BYTES = 4096,
	OUTPUT_MAX = 65536,
};

struct run {
	char line[LINE_MAX_BYTES];
	char *words[WORDS_MAX + 1];
	pid_t child;
	int out; /* what the program prints */
};

static bool split(struct sv text, struct run *r)
{
	size_t count = 0;
	bool between = true;

	if (text.len >= sizeof(r->line))
		return false;
	memcpy(r->line, text.ptr, text.len);
	r->line[text.len] = '\0';
	for (char *at = r->line; *at; at++) {
		bool space = *at == ' ' || *at == '\t';

		if (space)
			*at = '\0';
		else if (between && count == WORDS_MAX)
			return false;
		else if (between)
			r->words[count++] = at;
		between = space;
	}
	return count > 0;
}

static int spawn(struct run *r)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int ends[2], rc;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -errno;
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	must(posix_spawn_file_actions_init(&files) == 0);
	must(posix_spawnattr_init(&attributes) == 0);
	(void)posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
	(void)posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	/* Its own group, so that a timeout ends its children, too. */
	(void)posix_spawnattr_setpgroup(&attributes, 0);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setsigdefault(&attributes, &all);
	(void)posix_spawnattr_setflags(&attributes,
		POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn(&r->child, r->words[0], &files, &attributes, r->words, environ);
	(void)posix_spawn_file_actions_destroy(&files);
	(void)posix_spawnattr_destroy(&attributes);
	(void)close(ends[1]);
	if (rc != 0)
		(void)close(ends[0]);
	else
		r->out = ends[0];
	return -rc;
}

/* Reads to the end, or until `deadline`. RC_TIMEOUT, RC_LIMIT, negated errno. */
static int read_output(const struct run *r, struct mono_time deadline, char *into, size_t *out_len)
{
	size_t len = 0;

	for (;;) {
		uint64_t left_us = mono_span(io_clock_mono(), deadline);
		struct pollfd wait = { .fd = r->out, .events = POLLIN };
		int ready = poll(&wait, 1, (int)(left_us / US_PER_MS) + 1);
		ssize_t n;

		if (left_us == 0 || ready == 0)
			return RC_TIMEOUT;
		if (ready < 0 && errno != EINTR)
			return -errno;
		n = ready > 0 ? read(r->out, into + len, OUTPUT_MAX - len) : -1;
		if (n == 0) {
			*out_len = len;
			return 0;
		}
		if (n > 0)
			len += (size_t)n;
		if (len == OUTPUT_MAX)
			return RC_LIMIT;
	}
}

/* The program has closed its output: it has the rest of the time to end, too. */
static int wait_end(const struct run *r, struct mono_time deadline, int *out_status)
{
	const struct timespec nap = { 0, 5 * 1000 * 1000 };

	for (;;) {
		pid_t ended = waitpid(r->child, out_status, WNOHANG);

		if (ended == r->child)
			return 0;
		if (mono_span(io_clock_mono(), deadline) == 0)
			return RC_TIMEOUT;
		(void)nanosleep(&nap, NULL);
	}
}

static int failed(
	const struct conf_secret *where, const struct run *r, int rc, int status, struct err *err)
{
	const char *program = r->words[0];

	if (rc == RC_TIMEOUT)
		return identity_secret_fail(where,
			err,
			rc,
			"%.100s did not end within %d seconds",
			program,
			(int)IDENTITY_COMMAND_S);
	if (rc == RC_LIMIT)
		return identity_secret_fail(
			where, err, rc, "%.100s prints more than %d bytes", program, OUTPUT_MAX);
	if (rc != 0)
		return identity_secret_fail(
			where, err, rc, "cannot run %.100s: %s", program, rc_text(rc));
	if (WIFSIGNALED(status))
		return identity_secret_fail(where,
			err,
			RC_CONFIG,
			"%.100s was ended by signal %d",
			program,
			WTERMSIG(status));
	return identity_secret_fail(where,
		err,
		RC_CONFIG,
		"%.100s ended with code %d: run it by hand, as the daemon's user, to see why",
		program,
		WEXITSTATUS(status));
}

static int take_output(struct run *r, char *bytes, size_t *out_len, int *out_status)
{
	struct mono_time deadline = mono_add(io_clock_mono(), IDENTITY_COMMAND_S * US_PER_S);
	int rc = read_output(r, deadline, bytes, out_len);

	io_closep(&r->out);
	if (rc == 0)
		rc = wait_end(r, deadline, out_status);
	if (rc != 0) {
		(void)kill(-r->child, SIGKILL);
		(void)waitpid(r->child, out_status, 0);
	}
	return rc;
}

int identity_command_run(
	const struct conf_secret *where, struct secret **out_secret, struct err *err)
{
	struct run r = { .out = -1 };
	size_t len = 0;
	int rc, status = 0;
	char *bytes;
	struct sv text;

	if (!split(where->name, &r))
		return identity_secret_fail(where,
			err,
			RC_CONFIG,
			"command: must be a program with at most %d words",
			WORDS_MAX);
	rc = spawn(&r);
	if (rc != 0)
		return failed(where, &r, rc, 0, err);
	CLEANUP(secret_freep) struct secret *printed = secret_alloc(OUTPUT_MAX, &bytes);
	rc = take_output(&r, bytes, &len, &status);
	if (rc != 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return failed(where, &r, rc, status, err);
	text = identity_secret_line(sv_head(secret_reveal(printed), len));
	if (text.len == 0)
		return identity_secret_fail(
			where, err, RC_CONFIG, "%.100s printed nothing", r.words[0]);
	*out_secret = secret_new(text);
	return 0;
}
