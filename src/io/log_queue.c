/* SPDX-License-Identifier: Apache-2.0 */
#include "io/log_queue.h"

#include "base/limits.h"
#include "base/must.h"
#include "io/confine.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	LOG_STOP_MS = 1000,
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t work, emptied;
	struct log_entry *first, *last;
	size_t bytes;  /* of the entries, that being written included */
	uint64_t lost; /* since the last entry that was taken in */
	bool started, stopping, asleep, ended;
	bool to_file, to_pipe;
	struct log_entry *(*notice)(uint64_t lost);
	pthread_t thread;
	_Atomic uint64_t lost_all;
} queue = { .lock = PTHREAD_MUTEX_INITIALIZER,
	.work = PTHREAD_COND_INITIALIZER,
	.emptied = PTHREAD_COND_INITIALIZER };

/* ---- writing ---- */

/* A pipe may be non-blocking: whoever started us shares it. */
static bool write_all(const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, bytes, len);

		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

			if (poll(&p, 1, -1) < 0 && errno != EINTR)
				return false;
		} else if (n == 0 || errno != EINTR) {
			return false;
		}
	}
	return true;
}

static bool write_entry(const struct log_entry *e)
{
	if (e->journal >= 0 && send(e->journal, e->bytes, e->len, MSG_NOSIGNAL) >= 0)
		return true;
	return write_all(e->bytes + e->text_at, e->text_len);
}

/* False: not even that could be written. */
static bool write_notice(uint64_t lost)
{
	struct log_entry *e = queue.notice(lost);
	bool written = write_entry(e);

	free(e);
	return written;
}

/* ---- the thread ---- */

/* The next entry, or NULL: the end, or (with *out_lost) lines were lost and nothing came behind them. */
static struct log_entry *take(uint64_t *out_lost)
{
	struct log_entry *e;

	must(pthread_mutex_lock(&queue.lock) == 0);
	while (!queue.first && !queue.stopping && queue.lost == 0) {
		queue.asleep = true;
		must(pthread_cond_wait(&queue.work, &queue.lock) == 0);
		queue.asleep = false;
	}
	e = queue.first;
	*out_lost = e ? e->lost : queue.lost;
	if (e) {
		queue.first = e->next;
		if (!queue.first)
			queue.last = NULL;
	} else {
		queue.lost = 0;
	}
	must(pthread_mutex_unlock(&queue.lock) == 0);
	return e;
}

static void written(size_t bytes)
{
	must(pthread_mutex_lock(&queue.lock) == 0);
	queue.bytes -= bytes;
	must(pthread_mutex_unlock(&queue.lock) == 0);
}

static void *run(void *arg)
{
	uint64_t unsaid = 0; /* lines that are gone and not yet spoken of */

	(void)arg;
	io_confine_thread();
	for (;;) {
		uint64_t lost = 0;
		struct log_entry *e = take(&lost);

		unsaid += lost;
		if (unsaid && write_notice(unsaid))
			unsaid = 0;
		if (!e && lost == 0)
			break;
		if (!e)
			continue;
		if (!write_entry(e)) {
			unsaid++;
			atomic_fetch_add_explicit(&queue.lost_all, 1, memory_order_relaxed);
		}
		written(e->len);
		free(e);
	}
	must(pthread_mutex_lock(&queue.lock) == 0);
	queue.ended = true;
	must(pthread_cond_signal(&queue.emptied) == 0);
	must(pthread_mutex_unlock(&queue.lock) == 0);
	return NULL;
}

/* ---- the others ---- */

static bool fits(const struct log_entry *e)
{
	size_t room = e->urgent ? LIMIT_LOG_WAITING : LIMIT_LOG_WAITING / 4 * 3;

	return queue.bytes + e->len <= room;
}

/* False: whoever reads has no room now, or nobody can tell. */
static bool write_now(const struct log_entry *e)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (e->journal >= 0)
		return send(e->journal, e->bytes, e->len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
	/* A pipe that is writable takes so much whole. */
	if (!queue.to_file && (!queue.to_pipe || e->text_len > PIPE_BUF || poll(&p, 1, 0) != 1 ||
				      !(p.revents & POLLOUT)))
		return false;
	return write_all(e->bytes + e->text_at, e->text_len);
}

/* In the lock. False: there is no thread to write it. */
static bool hand_over(struct log_entry *e)
{
	if (!queue.started)
		return false;
	if (queue.bytes == 0 && queue.lost == 0 && write_now(e)) {
		free(e);
		return true;
	}
	if (!fits(e)) {
		queue.lost++;
		atomic_fetch_add_explicit(&queue.lost_all, 1, memory_order_relaxed);
		free(e);
		return true;
	}
	e->next = NULL;
	e->lost = queue.lost;
	queue.lost = 0;
	queue.bytes += e->len;
	if (queue.last)
		queue.last->next = e;
	else
		queue.first = e;
	queue.last = e;
	if (queue.asleep)
		must(pthread_cond_signal(&queue.work) == 0);
	return true;
}

void log_queue_put(struct log_entry *e)
{
	bool taken;

	must(pthread_mutex_lock(&queue.lock) == 0);
	taken = hand_over(e);
	must(pthread_mutex_unlock(&queue.lock) == 0);
	if (taken)
		return;
	(void)write_entry(e);
	free(e);
}

uint64_t log_queue_lost(void)
{
	return atomic_load_explicit(&queue.lost_all, memory_order_relaxed);
}

void log_queue_start(struct log_entry *(*notice)(uint64_t lost))
{
	sigset_t all, before;
	struct stat st;

	must(!queue.started);
	queue.to_file = queue.to_pipe = false;
	if (fstat(STDERR_FILENO, &st) == 0) {
		queue.to_file = S_ISREG(st.st_mode);
		queue.to_pipe = S_ISFIFO(st.st_mode);
	}
	queue.notice = notice;
	queue.started = true;
	queue.stopping = queue.ended = false;
	/* Signals are the loop's. */
	(void)sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	must(pthread_create(&queue.thread, NULL, run, NULL) == 0);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

void log_queue_stop(void)
{
	struct timespec until;
	bool ended;

	if (!queue.started)
		return;
	must(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
	until.tv_sec += LOG_STOP_MS / 1000;
	must(pthread_mutex_lock(&queue.lock) == 0);
	queue.stopping = true;
	must(pthread_cond_signal(&queue.work) == 0);
	while (!queue.ended &&
		pthread_cond_clockwait(&queue.emptied, &queue.lock, CLOCK_MONOTONIC, &until) !=
			ETIMEDOUT)
		;
	ended = queue.ended;
	queue.started = !ended;
	must(pthread_mutex_unlock(&queue.lock) == 0);
	if (ended)
		must(pthread_join(queue.thread, NULL) == 0);
}
