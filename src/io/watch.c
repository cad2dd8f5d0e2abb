/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/loop.h"
#include "io/loop_priv.h"

#include <stdlib.h>

/* Descriptors, signals and wake-ups: thin covers over libuv's handles. */

struct io_wakeup {
	uv_async_t async;
	void (*fn)(void *arg);
	void *arg;
};

struct io_watch {
	uv_poll_t poll;
	unsigned events;
	void (*fn)(void *arg, unsigned events);
	void *arg;
};

struct signal_watch {
	uv_signal_t signal;
	struct list node;
	void (*fn)(void *arg, int signum);
	void *arg;
};

static_assert((int)IO_READABLE == (int)UV_READABLE, "passed on as they are");
static_assert((int)IO_WRITABLE == (int)UV_WRITABLE, "passed on as they are");

void io_handle_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void on_wakeup(uv_async_t *async)
{
	const struct io_wakeup *w = async->data;

	w->fn(w->arg);
}

struct io_wakeup *io_wakeup_new(struct io_loop *l, void (*fn)(void *arg), void *arg)
{
	struct io_wakeup *w = xcalloc(1, sizeof(*w));

	must(uv_async_init(&l->uv, &w->async, on_wakeup) == 0);
	w->async.data = w;
	w->fn = fn;
	w->arg = arg;
	return w;
}

void io_wakeup_send(struct io_wakeup *w)
{
	must(uv_async_send(&w->async) == 0);
}

void io_wakeup_free(struct io_wakeup *w)
{
	if (w)
		uv_close((uv_handle_t *)&w->async, io_handle_closed);
}

static void on_signal(uv_signal_t *signal, int signum)
{
	const struct signal_watch *w = signal->data;

	w->fn(w->arg, signum);
}

void io_signal_watch(struct io_loop *l, int signum, void (*fn)(void *arg, int signum), void *arg)
{
	struct signal_watch *w = xcalloc(1, sizeof(*w));

	must(uv_signal_init(&l->uv, &w->signal) == 0);
	w->signal.data = w;
	w->fn = fn;
	w->arg = arg;
	list_append(&l->signals, &w->node);
	must(uv_signal_start(&w->signal, on_signal, signum) == 0);
}

void io_signal_drop(struct list *node)
{
	struct signal_watch *w = list_entry(node, struct signal_watch, node);

	uv_close((uv_handle_t *)&w->signal, io_handle_closed);
}

static void on_watch(uv_poll_t *poll, int status, int events)
{
	struct io_watch *w = poll->data;

	if (status < 0) {
		/* libuv has stopped the handle. */
		w->events = 0;
		events = IO_READABLE | IO_WRITABLE;
	}
	w->fn(w->arg, (unsigned)events);
}

struct io_watch *io_watch_new(struct io_loop *l, int fd, unsigned events,
	void (*fn)(void *arg, unsigned events), void *arg)
{
	struct io_watch *w = xcalloc(1, sizeof(*w));

	if (uv_poll_init(&l->uv, &w->poll, fd) != 0) {
		free(w);
		return NULL;
	}
	w->poll.data = w;
	w->fn = fn;
	w->arg = arg;
	io_watch_set(w, events);
	return w;
}

void io_watch_set(struct io_watch *w, unsigned events)
{
	if (w->events == events)
		return;
	w->events = events;
	must(uv_poll_start(&w->poll, (int)events, on_watch) == 0);
}

void io_watch_free(struct io_watch *w)
{
	if (w)
		uv_close((uv_handle_t *)&w->poll, io_handle_closed);
}
