/* SPDX-License-Identifier: Apache-2.0 */
#include "io/dial.h"

#include "base/must.h"
#include "io/file.h"

#include <errno.h>
#include <unistd.h>

#include "cmocka_all.h"

/* Which of several addresses gets the connection. Nothing here asserts a time: an hour stands for never. */

enum {
	GUARD_S = 60,
	TAKEN_MAX = 8
};

struct call {
	struct io_loop *loop;
	struct io_timer guard, later;
	struct io_dial *dial;
	unsigned answers;
	struct io_stream *stream;
	struct err err;
};

static void on_guard(void *arg)
{
	(void)arg;
	must_fail("what the test waits for does not come", __FILE__, __LINE__);
}

static void stop(void *arg)
{
	struct call *c = arg;

	io_loop_stop(c->loop);
}

static void on_stream(void *arg, enum io_stream_event event)
{
	(void)arg;
	(void)event;
}

static void on_dial(void *arg, struct io_stream *stream, const struct err *err)
{
	struct call *c = arg;

	c->dial = NULL;
	c->answers++;
	c->stream = stream;
	if (stream)
		io_stream_set_owner(stream, on_stream, c);
	else
		c->err = *err;
	io_loop_stop(c->loop);
}

static void call_open(struct call *c)
{
	*c = (struct call){ .loop = io_loop_new() };
	io_timer_init(&c->guard, c->loop, on_guard, c);
	io_timer_start(&c->guard, mono_add(io_clock_mono(), GUARD_S * US_PER_S));
}

static void call_close(struct call *c)
{
	io_stream_free(c->stream);
	io_timer_stop(&c->guard);
	io_loop_free(c->loop);
}

static void call_run(struct call *c, const struct io_address *to, size_t count,
	const struct io_dial_options *options)
{
	c->dial = io_dial_start(c->loop, to, count, options, on_dial, c);
	assert_int_equal(c->answers, 0);
	io_loop_run(c->loop);
	assert_int_equal(c->answers, 1);
}

/* ---- hosts ---- */

/* A socket bound there, that refuses until it listens. Its port is in *out. */
static int host_bind(const char *text, struct io_address *out)
{
	int fd;

	assert_int_equal(io_address_parse(sv_from(text), out), 0);
	fd = socket(out->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, &out->any, out->len) != 0) {
		io_closep(&fd);
		return -1;
	}
	assert_int_equal(getsockname(fd, &out->any, &out->len), 0);
	return fd;
}

/* One whose queue is full: the kernel drops what would connect, as a filter on the way does. */
struct hole {
	int fd, taken[TAKEN_MAX];
};

static void hole_open(struct hole *h, struct io_address *out)
{
	h->fd = host_bind("127.0.0.1:0", out);
	assert_true(h->fd >= 0);
	assert_int_equal(listen(h->fd, 0), 0);
	for (size_t i = 0; i < TAKEN_MAX; i++) {
		h->taken[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(h->taken[i], &out->any, out->len);
	}
}

static void hole_close(struct hole *h)
{
	for (size_t i = 0; i < TAKEN_MAX; i++)
		io_closep(&h->taken[i]);
	io_closep(&h->fd);
}

static void assert_reached(const struct call *c, const struct io_address *a)
{
	char text[IO_ADDRESS_TEXT_MAX];

	assert_non_null(c->stream);
	assert_true(sv_eq(io_stream_peer(c->stream), sv_from(io_address_text(&a->any, text))));
}

/* ---- the tests ---- */

static void an_address_that_leads_nowhere_is_passed_by(void **state)
{
	struct call c;
	struct hole hole;
	struct io_address to[2];
	int fd = host_bind("127.0.0.1:0", &to[1]);

	(void)state;
	assert_int_equal(listen(fd, 8), 0);
	hole_open(&hole, &to[0]);
	call_open(&c);
	call_run(&c,
		to,
		2,
		&(struct io_dial_options){ .timeout_us = US_PER_HOUR, .delay_us = US_PER_MS });
	assert_reached(&c, &to[1]);
	call_close(&c);
	hole_close(&hole);
	io_closep(&fd);
}

static void a_refusal_does_not_wait_for_the_turn(void **state)
{
	struct call c;
	struct io_address to[3];
	int refuses = host_bind("127.0.0.1:0", &to[0]), fd = host_bind("127.0.0.1:0", &to[1]),
	    last = host_bind("127.0.0.1:0", &to[2]);

	(void)state;
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(listen(last, 8), 0);
	call_open(&c);
	call_run(&c,
		to,
		3,
		&(struct io_dial_options){ .timeout_us = US_PER_HOUR, .delay_us = US_PER_HOUR });
	assert_reached(&c, &to[1]);
	call_close(&c);
	io_closep(&refuses);
	io_closep(&fd);
	io_closep(&last);
}

static void all_that_fail_are_one_failure(void **state)
{
	struct call c;
	struct io_address to[2], from;
	int a = host_bind("127.0.0.1:0", &to[0]), b = host_bind("127.0.0.1:0", &to[1]);

	(void)state;
	call_open(&c);
	call_run(&c, to, 2, &(struct io_dial_options){ .timeout_us = US_PER_HOUR });
	assert_null(c.stream);
	assert_int_equal(c.err.code, -ECONNREFUSED);
	call_close(&c);
	/* From an address of the other family nothing can be reached. */
	call_open(&c);
	assert_int_equal(io_address_parse(SV("[::1]:0"), &from), 0);
	call_run(
		&c, to, 2, &(struct io_dial_options){ .timeout_us = US_PER_HOUR, .source = &from });
	assert_int_equal(c.err.code, -EAFNOSUPPORT);
	call_close(&c);
	io_closep(&a);
	io_closep(&b);
}

static void no_answer_is_a_timeout(void **state)
{
	struct call c;
	struct hole hole;
	struct io_address to;

	(void)state;
	hole_open(&hole, &to);
	call_open(&c);
	call_run(&c, &to, 1, &(struct io_dial_options){ .timeout_us = US_PER_MS });
	assert_null(c.stream);
	assert_int_equal(c.err.code, RC_TIMEOUT);
	call_close(&c);
	hole_close(&hole);
}

static void one_that_is_cancelled_says_nothing(void **state)
{
	struct call c;
	struct hole hole;
	struct io_address to[2];

	(void)state;
	hole_open(&hole, &to[0]);
	to[1] = to[0];
	call_open(&c);
	c.dial = io_dial_start(
		c.loop, to, 2, &(struct io_dial_options){ .timeout_us = US_PER_HOUR }, on_dial, &c);
	io_dial_cancel(c.dial);
	io_dial_cancel(NULL);
	/* Its turn, if it still had one, would come first. */
	io_timer_init(&c.later, c.loop, stop, &c);
	io_timer_start(&c.later, mono_add(io_clock_mono(), 5 * US_PER_MS));
	io_loop_run(c.loop);
	assert_int_equal(c.answers, 0);
	call_close(&c);
	hole_close(&hole);
}

static void the_families_take_turns(void **state)
{
	struct call c;
	struct io_address to[3];
	int four = host_bind("127.0.0.1:0", &to[0]), six = host_bind("[::1]:0", &to[2]);

	(void)state;
	if (six < 0) {
		print_message("no IPv6 on this machine: skipped\n");
		io_closep(&four);
		skip();
	}
	assert_int_equal(listen(six, 8), 0);
	call_open(&c);
	/* The first IPv4 refuses, and then it is IPv6's turn. */
	to[1] = to[0];
	call_run(&c,
		to,
		3,
		&(struct io_dial_options){ .timeout_us = US_PER_HOUR, .delay_us = US_PER_HOUR });
	assert_reached(&c, &to[2]);
	call_close(&c);
	/* Both answer: the one that is asked for is first. */
	assert_int_equal(listen(four, 8), 0);
	call_open(&c);
	call_run(&c,
		to,
		3,
		&(struct io_dial_options){
			.timeout_us = US_PER_HOUR, .delay_us = US_PER_HOUR, .first = AF_INET6 });
	assert_reached(&c, &to[2]);
	call_close(&c);
	io_closep(&four);
	io_closep(&six);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_that_leads_nowhere_is_passed_by),
		cmocka_unit_test(a_refusal_does_not_wait_for_the_turn),
		cmocka_unit_test(all_that_fail_are_one_failure),
		cmocka_unit_test(no_answer_is_a_timeout),
		cmocka_unit_test(one_that_is_cancelled_says_nothing),
		cmocka_unit_test(the_families_take_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
