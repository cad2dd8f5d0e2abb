/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/file.h"
#include "io/loop_priv.h"

#include <sys/epoll.h>

/*
 * The descriptors of streams are in an epoll set of their own, and the loop polls that set. As handles of libuv each
 * would cost five calls more: it tries a new descriptor in its set, takes it out again, makes it non-blocking once more,
 * and takes it out and in for every change of what is waited for.
 */

static unsigned bits_of(uint32_t events, unsigned armed)
{
	if (events & EPOLLERR)
		return IO_READABLE | IO_WRITABLE;
	/* Both directions are over: what is waited for gives its end. */
	if (events & EPOLLHUP)
		return armed;
	return (events & EPOLLIN ? (unsigned)IO_READABLE : 0U) |
	       (events & EPOLLOUT ? (unsigned)IO_WRITABLE : 0U);
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
	struct io_loop *l = handle->data;
	struct io_polls *polls = &l->polls;
	int count;

	(void)events;
	must(status == 0);
	count = epoll_wait(polls->fd, polls->batch, IO_POLL_BATCH, 0);
	polls->batch_len = count > 0 ? (size_t)count : 0;
	for (size_t i = 0; i < polls->batch_len; i++) {
		struct io_poll *p = polls->batch[i].data.ptr;

		if (p)
			p->ready(p, bits_of(polls->batch[i].events, p->armed));
	}
	polls->batch_len = 0;
}

void io_polls_init(struct io_loop *l)
{
	l->polls.fd = epoll_create1(EPOLL_CLOEXEC);
	must(l->polls.fd >= 0);
	must(uv_poll_init(&l->uv, &l->polls.uv, l->polls.fd) == 0);
	l->polls.uv.data = l;
	must(uv_poll_start(&l->polls.uv, UV_READABLE, on_ready) == 0);
}

void io_polls_deinit(struct io_loop *l)
{
	/* A stream outlives its loop. */
	must(l->polls.count == 0);
	uv_close((uv_handle_t *)&l->polls.uv, NULL);
	io_closep(&l->polls.fd);
}

void io_poll_begin(struct io_loop *l, struct io_poll *p, int fd)
{
	p->fd = fd;
	l->polls.count++;
}

void io_poll_set(struct io_loop *l, struct io_poll *p, unsigned events)
{
	struct epoll_event e = {
		.events = (events & IO_READABLE ? (uint32_t)EPOLLIN : 0U) |
			  (events & IO_WRITABLE ? (uint32_t)EPOLLOUT : 0U),
		.data.ptr = p,
	};

	if (events == p->armed)
		return;
	/* Out of the set when nothing is waited for: the end of both directions is told unasked. */
	must(epoll_ctl(l->polls.fd,
		     p->armed == 0 ? EPOLL_CTL_ADD
		     : events      ? EPOLL_CTL_MOD
				   : EPOLL_CTL_DEL,
		     p->fd,
		     &e) == 0);
	p->armed = events;
}

void io_poll_end(struct io_loop *l, struct io_poll *p)
{
	io_poll_set(l, p, 0);
	for (size_t i = 0; i < l->polls.batch_len; i++)
		if (l->polls.batch[i].data.ptr == p)
			l->polls.batch[i].data.ptr = NULL;
	must(l->polls.count > 0);
	l->polls.count--;
}
