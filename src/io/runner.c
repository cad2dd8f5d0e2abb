/* SPDX-License-Identifier: Apache-2.0 */
#include "io/runner.h"

#include "base/must.h"
#include "base/secret.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/spawn_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A request is one datagram: which line, how long, and as descriptors the pipe for the answer, then what the
 * program reads and what it prints to. Each has a child of the runner, which waits for the program; what is
 * printed goes straight to the asker. When he is gone, so is the other end of the answer's pipe, and the
 * program is ended.
 */
enum {
	RUNS_MAX = 16, /* two workers ask */
	FDS_MAX = 3,
	SOCKET_AT = 3, /* of the runner */
	GRACE_US = 2 * US_PER_S,
};

struct request {
	uint32_t line;
	bool has_in, has_out;
	uint64_t timeout_us;
};

struct answer {
	int32_t rc, status;
};

static struct {
	bool on;
	int socket; /* to the runner; -1: there is none */
	struct sv *lines;
	size_t line_count;
} runner = { .socket = -1 };

/* ---- in the runner ---- */

union control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

/* How many descriptors came; -1: the daemon is gone; 0 also for what is no request. */
static int receive(struct request *q, int fds[FDS_MAX])
{
	union control control = { 0 };
	struct iovec part = { q, sizeof(*q) };
	struct msghdr m = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(SOCKET_AT, &m, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	int count = 0;

	if (n == 0 || (n < 0 && errno != EINTR))
		return -1;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), (size_t)count * sizeof(int));
	}
	if (n == sizeof(*q) && q->line < runner.line_count &&
		count == 1 + (q->has_in ? 1 : 0) + (q->has_out ? 1 : 0))
		return count;
	while (count > 0)
		io_closep(&fds[--count]);
	return 0;
}

static void tell(int to, int rc, int status)
{
	const struct answer a = { rc, status };

	(void)!write(to, &a, sizeof(a));
}

/* In a child of its own. */
static void run_one(const struct request *q, int fds[FDS_MAX])
{
	struct io_command_words words;
	int out_at = q->has_in ? 2 : 1;
	struct io_spawn what = { .words = words.words,
		.in = q->has_in ? fds[1] : IO_SPAWN_NULL,
		.out = q->has_out ? fds[out_at] : IO_SPAWN_NULL,
		.err = IO_SPAWN_NULL };
	struct mono_time deadline = mono_add(io_clock_mono(), q->timeout_us);
	int status = 0, rc = RC_PARSE;
	pid_t child = 0;

	if (io_command_split(runner.lines[q->line], &words))
		rc = io_spawn_start(&what, &child);
	if (q->has_in)
		io_closep(&fds[1]);
	/* Or its reader would wait for us. */
	if (q->has_out)
		io_closep(&fds[out_at]);
	if (rc == 0)
		rc = io_spawn_wait_for(child, false, fds[0], deadline, &status);
	tell(fds[0], rc, status);
}

static void serve(void)
{
	struct request q;
	int fds[FDS_MAX], count;
	unsigned runs = 0;

	while ((count = receive(&q, fds)) >= 0) {
		pid_t child = -1;

		while (runs && waitpid(-1, NULL, WNOHANG) > 0)
			runs--;
		if (count > 0 && runs < RUNS_MAX)
			child = fork();
		if (child == 0) {
			run_one(&q, fds);
			_exit(0);
		}
		if (child > 0)
			runs++;
		else if (count > 0)
			tell(fds[0], -EAGAIN, 0);
		while (count > 0)
			io_closep(&fds[--count]);
	}
}

static void hide(struct sv name)
{
	char text[256], *value;

	if (name.len >= sizeof(text))
		return;
	memcpy(text, name.ptr, name.len);
	text[name.len] = '\0';
	value = getenv(text);
	if (value)
		secret_wipe(value, strlen(value));
	(void)unsetenv(text);
}

/*
 * Of the daemon it keeps its memory as it was at the start, and standard error. A service manager signals the
 * whole group: the daemon drains first, and the end of its socket ends us.
 */
static void NORETURN live(int socket, const struct sv *hidden, size_t hidden_count)
{
	static const int ignored[] = {
		SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE
	};

	for (size_t i = 0; i < COUNT_OF(ignored); i++)
		(void)signal(ignored[i], SIG_IGN);
	(void)prctl(PR_SET_NAME, "postern-runner");
	if (socket != SOCKET_AT && dup3(socket, SOCKET_AT, O_CLOEXEC) < 0)
		_exit(1);
	(void)syscall(SYS_close_range, SOCKET_AT + 1, ~0U, 0);
	for (size_t i = 0; i < hidden_count; i++)
		hide(hidden[i]);
	serve();
	_exit(0);
}

/* ---- in the daemon ---- */

static size_t find(struct sv line)
{
	size_t i = 0;

	while (i < runner.line_count && !sv_eq(runner.lines[i], line))
		i++;
	return i;
}

static void keep_lines(const struct sv *lines, size_t count)
{
	runner.lines = xcalloc(count + 1, sizeof(*runner.lines));
	for (size_t i = 0; i < count; i++)
		if (find(lines[i]) == runner.line_count)
			runner.lines[runner.line_count++] = sv_from(sv_dup(lines[i]));
}

int io_runner_start(const struct sv *lines, size_t line_count, const struct sv *hidden,
	size_t hidden_count, struct err *err)
{
	int ends[2];
	pid_t child;

	must(!runner.on);
	keep_lines(lines, line_count);
	runner.on = true;
	if (line_count == 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return err_set(err, -errno, "no socket for the runner: %s", rc_text(-errno));
	child = fork();
	if (child == 0)
		live(ends[1], hidden, hidden_count);
	(void)close(ends[1]);
	runner.socket = ends[0];
	if (child < 0)
		return err_set(err, -errno, "the runner cannot be started: %s", rc_text(-errno));
	return 0;
}

bool io_runner_takes(struct sv line)
{
	return !runner.on || find(line) < runner.line_count;
}

bool io_runner_is_on(void)
{
	return runner.on;
}

/* *out_answer: where the answer comes. */
int io_runner_ask(struct sv line, int in, int out, uint64_t timeout_us, int *out_answer)
{
	struct request q = { .line = (uint32_t)find(line),
		.has_in = in >= 0,
		.has_out = out >= 0,
		.timeout_us = timeout_us };
	union control control = { 0 };
	struct iovec part = { &q, sizeof(q) };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control };
	int fds[FDS_MAX], count = 1, ends[2], rc = 0;

	if (q.line == runner.line_count)
		return -EPERM;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return -errno;
	fds[0] = ends[1];
	if (in >= 0)
		fds[count++] = in;
	if (out >= 0)
		fds[count++] = out;
	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
	memcpy(CMSG_DATA(&control.head), fds, (size_t)count * sizeof(int));
	m.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
	if (sendmsg(runner.socket, &m, MSG_NOSIGNAL) < 0)
		rc = errno == EPIPE || errno == ECONNRESET ? RC_CLOSED : -errno;
	(void)close(ends[1]);
	if (rc == 0)
		*out_answer = ends[0];
	else
		(void)close(ends[0]);
	return rc;
}

int io_runner_wait(int answer, struct mono_time deadline, int *out_status)
{
	/* The deadline is the runner's: it ends the program, and says so. */
	struct mono_time late = mono_add(deadline, GRACE_US);

	for (;;) {
		struct pollfd wait = { .fd = answer, .events = POLLIN };
		uint64_t left_us = mono_span(io_clock_mono(), late);
		struct answer a;
		ssize_t n = 0;

		if (left_us == 0)
			return RC_TIMEOUT;
		if (poll(&wait, 1, (int)(left_us / US_PER_MS) + 1) <= 0)
			continue;
		n = read(answer, &a, sizeof(a));
		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(a))
			return RC_CLOSED;
		*out_status = a.status;
		return a.rc;
	}
}
