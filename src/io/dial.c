/* SPDX-License-Identifier: Apache-2.0 */
#include "io/dial.h"

#include "base/must.h"

#include <stdlib.h>

struct dial_try {
	struct io_dial *dial;
	struct io_stream *stream;
	struct io_timer timeout;
};

struct io_dial {
	struct io_loop *loop;
	io_dial_fn *fn;
	void *arg;
	struct io_address source;
	bool has_source;
	uint64_t timeout_us, delay_us;
	struct io_address order[IO_DIAL_MAX];
	struct dial_try tries[IO_DIAL_MAX];
	size_t count, next, running;
	struct io_timer turn; /* the next address */
	struct err err;       /* of the last that failed */
};

/* RFC 8305 4: the families take turns, each in the order that the resolver has given. */
static size_t interleave(
	const struct io_address *in, size_t count, int family, struct io_address out[IO_DIAL_MAX])
{
	size_t mine = 0, other = 0, n = 0;
	bool turn = true;

	while (n < IO_DIAL_MAX) {
		while (mine < count && in[mine].any.sa_family != family)
			mine++;
		while (other < count && in[other].any.sa_family == family)
			other++;
		if (mine >= count && other >= count)
			break;
		if (mine < count && (turn || other >= count))
			out[n++] = in[mine++];
		else
			out[n++] = in[other++];
		turn = !turn;
	}
	return n;
}

static void dial_free(struct io_dial *d)
{
	io_timer_stop(&d->turn);
	for (size_t i = 0; i < d->next; i++) {
		io_timer_stop(&d->tries[i].timeout);
		io_stream_free(d->tries[i].stream);
	}
	free(d);
}

static void finish(struct io_dial *d, struct io_stream *stream)
{
	io_dial_fn *fn = d->fn;
	void *arg = d->arg;
	struct err err = d->err;

	dial_free(d);
	fn(arg, stream, stream ? NULL : &err);
}

static void dial_turn(void *arg);

static void failed(struct dial_try *t, const struct err *err)
{
	struct io_dial *d = t->dial;

	d->err = *err;
	io_timer_stop(&t->timeout);
	io_stream_free(TAKE(t->stream));
	d->running--;
	if (d->next < d->count)
		dial_turn(d);
	else if (d->running == 0)
		finish(d, NULL);
}

static void on_try(void *arg, enum io_stream_event event)
{
	struct dial_try *t = arg;

	if (event == IO_STREAM_FAILED)
		failed(t, io_stream_error(t->stream));
	else if (event == IO_STREAM_CONNECTED)
		finish(t->dial, TAKE(t->stream));
}

static void on_timeout(void *arg)
{
	struct dial_try *t = arg;
	struct err err = { 0 };

	(void)err_set(&err,
		RC_TIMEOUT,
		"connect to %.*s: no answer in %u s",
		SV_ARG(io_stream_peer(t->stream)),
		(unsigned)(t->dial->timeout_us / US_PER_S));
	failed(t, &err);
}

static void dial_turn(void *arg)
{
	struct io_dial *d = arg;
	const struct io_address *a = &d->order[d->next];
	struct dial_try *t = &d->tries[d->next++];
	struct mono_time now = io_now(d->loop);

	t->dial = d;
	d->running++;
	io_timer_init(&t->timeout, d->loop, on_timeout, t);
	io_timer_start(&t->timeout, mono_add(now, d->timeout_us));
	t->stream = io_stream_connect_from(
		d->loop, d->has_source ? &d->source.any : NULL, &a->any, a->len, on_try, t);
	if (d->next < d->count)
		io_timer_start(&d->turn, mono_add(now, d->delay_us));
	else
		io_timer_stop(&d->turn);
}

struct io_dial *io_dial_start(struct io_loop *l, const struct io_address *addresses, size_t count,
	const struct io_dial_options *options, io_dial_fn *fn, void *arg)
{
	struct io_dial *d = xcalloc(1, sizeof(*d));

	must(count > 0);
	must(options->timeout_us > 0);
	d->loop = l;
	d->fn = fn;
	d->arg = arg;
	d->timeout_us = options->timeout_us;
	d->delay_us = options->delay_us ? options->delay_us : IO_DIAL_DELAY_US;
	d->has_source = options->source && options->source->len;
	if (d->has_source)
		d->source = *options->source;
	d->count = interleave(addresses,
		count,
		options->first ? options->first : addresses[0].any.sa_family,
		d->order);
	io_timer_init(&d->turn, l, dial_turn, d);
	/* The outcome of a stream is an event of a later round, so `fn` cannot come in here. */
	dial_turn(d);
	return d;
}

void io_dial_cancel(struct io_dial *d)
{
	if (d)
		dial_free(d);
}
