/* SPDX-License-Identifier: Apache-2.0 */
#include "io/spawn.h"

#include "base/err.h"
#include "base/must.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/spawn_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	NAP_MS = 5, /* where the kernel has no descriptor for a process */
	POLL_MS_MAX = 60000,
};

/* ---- one program ---- */

static int set_files(posix_spawn_file_actions_t *files, const struct io_spawn *what)
{
	const int wanted[] = { what->in, what->out, what->err };
	int rc = 0;

	for (int fd = 0; fd < (int)COUNT_OF(wanted) && rc == 0; fd++) {
		if (wanted[fd] == IO_SPAWN_NULL)
			rc = posix_spawn_file_actions_addopen(
				files, fd, "/dev/null", fd ? O_WRONLY : O_RDONLY, 0);
		else if (wanted[fd] >= 0)
			rc = posix_spawn_file_actions_adddup2(files, wanted[fd], fd);
	}
	if (rc == 0 && what->fourth)
		rc = posix_spawn_file_actions_adddup2(files, what->fourth, STDERR_FILENO + 1);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(
			files, STDERR_FILENO + (what->fourth ? 2 : 1));
	return rc;
}

static void set_attributes(posix_spawnattr_t *attributes, const struct io_spawn *what)
{
	int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	sigset_t none, all;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawnattr_setsigmask(attributes, &none);
	(void)posix_spawnattr_setsigdefault(attributes, &all);
	/* Its own group, so that a timeout ends its children, too. */
	if (!what->foreground) {
		(void)posix_spawnattr_setpgroup(attributes, 0);
		flags |= POSIX_SPAWN_SETPGROUP;
	}
	if (what->real_ids)
		flags |= POSIX_SPAWN_RESETIDS;
	(void)posix_spawnattr_setflags(attributes, (short)flags);
}

int io_spawn_start(const struct io_spawn *what, pid_t *out_child)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	int rc;

	must(posix_spawn_file_actions_init(&files) == 0);
	must(posix_spawnattr_init(&attributes) == 0);
	rc = set_files(&files, what);
	set_attributes(&attributes, what);
	if (rc == 0)
		rc = (what->search ? posix_spawnp : posix_spawn)(out_child,
			what->program ? what->program : what->words[0],
			&files,
			&attributes,
			what->words,
			environ);
	(void)posix_spawn_file_actions_destroy(&files);
	(void)posix_spawnattr_destroy(&attributes);
	return -rc;
}

static int poll_ms(struct mono_time deadline)
{
	uint64_t left_ms;

	if (deadline.us == MONO_NEVER.us)
		return POLL_MS_MAX;
	left_ms = mono_span(io_clock_mono(), deadline) / US_PER_MS + 1;
	return left_ms < POLL_MS_MAX ? (int)left_ms : POLL_MS_MAX;
}

/* Until something may have changed. False: nobody waits at the other end of `asker` any more. */
static bool rest(int process, int asker, struct mono_time deadline)
{
	struct pollfd waits[] = { { .fd = process, .events = POLLIN }, { .fd = asker } };

	(void)poll(waits, COUNT_OF(waits), process >= 0 ? poll_ms(deadline) : NAP_MS);
	return (waits[1].revents & (POLLERR | POLLHUP)) == 0;
}

int io_spawn_wait_for(
	pid_t child, bool foreground, int asker, struct mono_time deadline, int *out_status)
{
	/* Without one (an old kernel, a filter around us) it is looked at again and again. */
	CLEANUP(io_closep) int process = (int)syscall(SYS_pidfd_open, child, 0);

	for (;;) {
		pid_t ended = waitpid(child, out_status, WNOHANG);

		if (ended == child)
			return 0;
		if (ended < 0 && errno != EINTR)
			return -errno;
		if ((deadline.us != MONO_NEVER.us && mono_span(io_clock_mono(), deadline) == 0) ||
			!rest(process, asker, deadline))
			break;
	}
	(void)kill(foreground ? child : -child, SIGKILL);
	while (waitpid(child, out_status, 0) < 0 && errno == EINTR)
		;
	return RC_TIMEOUT;
}

int io_spawn_wait(pid_t child, bool foreground, struct mono_time deadline, int *out_status)
{
	return io_spawn_wait_for(child, foreground, -1, deadline, out_status);
}

/* ---- a command of the configuration ---- */

bool io_command_split(struct sv line, struct io_command_words *out)
{
	size_t count = 0;
	bool between = true;

	if (line.len >= sizeof(out->line))
		return false;
	memcpy(out->line, line.ptr, line.len);
	out->line[line.len] = '\0';
	for (char *at = out->line; *at; at++) {
		bool space = *at == ' ' || *at == '\t';

		if (space)
			*at = '\0';
		else if (between && count == IO_COMMAND_WORDS_MAX)
			return false;
		else if (between)
			out->words[count++] = at;
		between = space;
	}
	out->words[count] = NULL;
	return count > 0;
}

/* Of one run: what the program gets, and our end of what it prints. */
struct run {
	struct io_command_words words;
	struct mono_time deadline;
	pid_t child;
	int in, out; /* the program's */
	int printed; /* ours */
	int answer;  /* of the runner; -1: the child is ours */
};

/* A file in memory, not a pipe: a program that does not read cannot hold us up. */
static int open_input(struct run *r, struct sv text)
{
	if (text.len == 0)
		return 0;
	r->in = memfd_create("input", MFD_CLOEXEC);
	if (r->in < 0)
		return -errno;
	if (write(r->in, text.ptr, text.len) != (ssize_t)text.len || lseek(r->in, 0, SEEK_SET) != 0)
		return -EIO;
	return 0;
}

static int open_output(struct run *r, const struct io_command *c)
{
	int ends[2];

	if (!c->output)
		return 0;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return -errno;
	r->printed = ends[0];
	r->out = ends[1];
	return 0;
}

static int start(struct run *r, const struct io_command *c)
{
	const struct io_spawn what = {
		.words = r->words.words, .in = r->in, .out = r->out, .err = IO_SPAWN_NULL
	};

	if (io_runner_is_on())
		return io_runner_ask(c->line, r->in, r->out, c->timeout_us, &r->answer);
	return io_spawn_start(&what, &r->child);
}

/* The program has closed its output: it has the rest of the time to end, too. */
static int wait_end(struct run *r, int read_rc, int *out_status)
{
	int rc = read_rc;

	if (r->answer < 0)
		rc = io_spawn_wait(
			r->child, false, read_rc == 0 ? r->deadline : io_clock_mono(), out_status);
	else if (read_rc == 0)
		rc = io_runner_wait(r->answer, r->deadline, out_status);
	io_closep(&r->answer);
	return read_rc ? read_rc : rc;
}

/* To the end, or until the deadline. */
static int read_output(struct run *r, const struct io_command *c, size_t *out_len)
{
	size_t len = 0;

	for (;;) {
		struct pollfd wait = { .fd = r->printed, .events = POLLIN };
		int ready = poll(&wait, 1, poll_ms(r->deadline));
		ssize_t n = -1;

		if (mono_span(io_clock_mono(), r->deadline) == 0)
			return RC_TIMEOUT;
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready > 0)
			n = read(r->printed, c->output + len, c->output_max - len);
		if (n == 0) {
			*out_len = len;
			return 0;
		}
		if (n > 0)
			len += (size_t)n;
		if (len == c->output_max)
			return RC_LIMIT;
	}
}

int io_command_run(const struct io_command *c, struct io_command_end *out_end)
{
	struct run r = { .in = IO_SPAWN_NULL, .out = IO_SPAWN_NULL, .printed = -1, .answer = -1 };
	int rc;

	*out_end = (struct io_command_end){ 0 };
	if (!io_command_split(c->line, &r.words))
		return RC_PARSE;
	(void)snprintf(out_end->program, sizeof(out_end->program), "%s", r.words.words[0]);
	r.deadline = mono_add(io_clock_mono(), c->timeout_us);
	rc = open_input(&r, c->input);
	if (rc == 0)
		rc = open_output(&r, c);
	if (rc == 0)
		rc = start(&r, c);
	io_closep(&r.in);
	io_closep(&r.out);
	if (rc == 0) {
		if (c->output)
			rc = read_output(&r, c, &out_end->output_len);
		/* Our end stays open: a program that prints too much is ended by us, not by SIGPIPE. */
		rc = wait_end(&r, rc, &out_end->status);
	}
	io_closep(&r.printed);
	return rc;
}
