/* SPDX-License-Identifier: Apache-2.0 */
#include "io/stream.h"

#include "base/limits.h"
#include "io/net.h"
#include "io/test_net.h"

#include <errno.h>

#include "cmocka_all.h"

/* ---- connecting ---- */

static void on_accept(void *arg, int fd)
{
	struct net *n = arg;

	n->b.s = io_stream_accepted(n->loop, fd, on_event, &n->b);
	look(n);
}

static void connecting_works_and_early_output_leaves(void **state)
{
	struct net n;
	struct io_address at;
	struct io_listener *listener;
	struct sockaddr_in to;
	unsigned uid;
	int pid;

	(void)state;
	open_net(&n);
	assert_int_equal(io_address_parse(SV("127.0.0.1:0"), &at), 0);
	listener = io_listener_open(n.loop, &at, 0, on_accept, &n, NULL);
	assert_non_null(listener);
	to = loopback((unsigned)io_listener_port(listener));
	n.a.s = io_stream_connect(n.loop, (const struct sockaddr *)&to, sizeof(to), on_event, &n.a);
	send_text(&n.a, "early\n");
	assert_int_equal(n.a.order[0], '\0');
	run_until(&n, b_has_line);
	assert_string_equal(n.a.order, "C");
	assert_string_equal(n.b.got, "early\n");
	assert_false(io_stream_is_tls(n.a.s));
	assert_true(sv_starts(io_stream_peer(n.a.s), SV("127.0.0.1:")));
	assert_true(io_address_is_loopback(io_stream_peer_addr(n.b.s)));
	assert_int_equal(io_stream_peer_uid(n.b.s, &uid, &pid), RC_STATE);
	io_listener_close(listener);
	close_net(&n);
}

static void a_refused_connection_fails_with_words(void **state)
{
	struct net n;
	/* Bound and not listening: nobody else can get the port meanwhile. */
	CLEANUP(io_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = loopback(0);
	socklen_t len = sizeof(to);

	(void)state;
	open_net(&n);
	assert_int_equal(bind(fd, (const struct sockaddr *)&to, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &len), 0);
	n.a.s = io_stream_connect(n.loop, (const struct sockaddr *)&to, len, on_event, &n.a);
	run_until(&n, a_gone);
	assert_string_equal(n.a.order, "F");
	assert_int_equal(n.a.err.code, -ECONNREFUSED);
	assert_non_null(strstr(n.a.err.text, "connect to 127.0.0.1:"));
	close_net(&n);
}

static void immediate_errors_are_told_later(void **state)
{
	const struct sockaddr_un nowhere = { .sun_family = AF_UNIX, .sun_path = "/nonexistent/x" };
	const struct sockaddr strange = { .sa_family = 255 };
	const struct sockaddr *to[] = { (const struct sockaddr *)&nowhere, &strange };
	const socklen_t len[] = { sizeof(nowhere), sizeof(strange) };
	struct net n;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		open_net(&n);
		n.a.s = io_stream_connect(n.loop, to[i], len[i], on_event, &n.a);
		assert_int_equal(n.a.order[0], '\0');
		send_text(&n.a, "never leaves");
		run_until(&n, a_gone);
		assert_string_equal(n.a.order, "F");
		assert_int_equal(n.a.err.code, i ? -EAFNOSUPPORT : -ENOENT);
		/* Freed before it is told. */
		io_stream_free(io_stream_connect(n.loop, to[i], len[i], on_event, &n.b));
		run_a_moment(&n);
		assert_string_equal(n.b.order, "");
		close_net(&n);
	}
}

static void a_source_address_is_used(void **state)
{
	static const struct {
		const char *source;
		int code;
		const char *words; /* NULL: it connects */
	} rows[] = {
		{ "127.0.0.2:0", 0, NULL },
		{ "127.0.0.3:1", 0, NULL }, /* the port does not matter */
		{ "192.0.2.7:0", -EADDRNOTAVAIL, " from 192.0.2.7: " },
		{ "[::1]:0", -EAFNOSUPPORT, " from [::1]: one is IPv4 and the other is IPv6" },
		{ "unix:/x", -EAFNOSUPPORT, " from unix: " },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		struct io_address at, source;
		struct io_listener *listener;
		struct sockaddr_in to;
		struct net n;

		open_net(&n);
		assert_int_equal(io_address_parse(SV("127.0.0.1:0"), &at), 0);
		assert_int_equal(io_address_parse(sv_from(rows[i].source), &source), 0);
		listener = io_listener_open(n.loop, &at, 0, on_accept, &n, NULL);
		assert_non_null(listener);
		to = loopback((unsigned)io_listener_port(listener));
		n.a.s = io_stream_connect_from(n.loop,
			&source.any,
			(const struct sockaddr *)&to,
			sizeof(to),
			on_event,
			&n.a);
		send_text(&n.a, "early\n");
		run_until(&n, rows[i].words ? a_gone : b_has_line);
		assert_string_equal(n.a.order, rows[i].words ? "F" : "C");
		assert_int_equal(n.a.err.code, rows[i].code);
		if (rows[i].words && !strstr(n.a.err.text, rows[i].words))
			fail_msg("%s", n.a.err.text);
		/* The address, and another port than the one that was given. */
		if (!rows[i].words) {
			assert_true(sv_starts(io_stream_peer(n.b.s), sv_make(rows[i].source, 10)));
			assert_false(sv_eq(io_stream_peer(n.b.s), sv_from(rows[i].source)));
		}
		io_listener_close(listener);
		close_net(&n);
	}
}

static void a_unix_peer_has_a_uid(void **state)
{
	struct net n;
	unsigned uid = ~0u;
	int pid = 0;

	(void)state;
	open_pair(&n, false);
	assert_int_equal(io_stream_peer_uid(n.a.s, &uid, &pid), 0);
	assert_int_equal(uid, getuid());
	assert_int_equal(pid, getpid());
	assert_true(io_address_is_loopback(io_stream_peer_addr(n.a.s)));
	close_net(&n);
}

/* ---- bytes ---- */

static void much_goes_both_ways_with_back_pressure(void **state)
{
	struct net n;

	(void)state;
	for (unsigned tcp = 0; tcp < 2; tcp++) {
		open_pair(&n, tcp);
		n.a.to_send = 6 << 20;
		n.b.to_send = 5 << 20;
		n.a.pauses = n.b.pauses = true;
		pump(&n.a);
		pump(&n.b);
		run_until(&n, all_arrived);
		assert_false(n.a.corrupt || n.b.corrupt);
		assert_true(n.a.counts[IO_STREAM_DRAINED] > 1);
		close_net(&n);
	}
}

static void input_is_bounded(void **state)
{
	struct net n;

	(void)state;
	open_pair(&n, true);
	n.a.to_send = 10 * IO_STREAM_INPUT_MAX;
	n.b.keep_input = true;
	pump(&n.a);
	run_until(&n, b_is_full);
	run_a_moment(&n);
	assert_int_equal(io_stream_input(n.b.s).len, IO_STREAM_INPUT_MAX);
	/* Taken outside of any callback, as an owner does that waited for somebody else. */
	n.b.keep_input = false;
	take_input(&n.b);
	run_until(&n, all_arrived);
	assert_false(n.b.corrupt);
	close_net(&n);
}

static void output_is_bounded_and_drains_once(void **state)
{
	static char block[IO_STREAM_OUTPUT_LOW];
	struct net n;

	(void)state;
	open_pair(&n, true);
	io_stream_pause(n.b.s);
	for (unsigned i = 0; i < IO_STREAM_OUTPUT_MAX / IO_STREAM_OUTPUT_LOW; i++)
		assert_int_equal(io_stream_write(n.a.s, sv_make(block, sizeof(block))), 0);
	assert_int_equal(io_stream_output_len(n.a.s), IO_STREAM_OUTPUT_MAX);
	assert_int_equal(io_stream_write(n.a.s, SV("x")), RC_LIMIT);
	n.a.to_send = IO_STREAM_OUTPUT_MAX; /* only counted: it is sent already */
	n.a.sent = n.a.to_send;
	io_stream_resume(n.b.s);
	run_until(&n, all_arrived);
	run_a_moment(&n);
	assert_int_equal(n.a.counts[IO_STREAM_DRAINED], 1);
	assert_int_equal(io_stream_output_len(n.a.s), 0);
	/* Below the mark nothing is told. */
	assert_int_equal(io_stream_write(n.a.s, sv_make(block, sizeof(block) - 1)), 0);
	run_a_moment(&n);
	assert_int_equal(n.a.counts[IO_STREAM_DRAINED], 1);
	close_net(&n);
}

static void the_end_is_told_once_behind_the_input(void **state)
{
	struct net n;
	char reply[8] = "";

	(void)state;
	open_raw(&n);
	raw_text(&n, "QUIT\n");
	assert_int_equal(shutdown(n.raw, SHUT_WR), 0);
	run_until(&n, a_ended);
	assert_string_equal(n.a.order, "IE");
	assert_string_equal(n.a.got, "QUIT\n");
	/* The other direction is still open. */
	send_text(&n.a, "221\r\n");
	io_stream_pause(n.a.s);
	io_stream_resume(n.a.s);
	run_a_moment(&n);
	assert_int_equal(n.a.counts[IO_STREAM_EOF], 1);
	assert_int_equal(recv(n.raw, reply, sizeof(reply) - 1, 0), 5);
	assert_string_equal(reply, "221\r\n");
	close_net(&n);
}

static void the_end_waits_behind_a_pause(void **state)
{
	struct net n;

	(void)state;
	open_raw(&n);
	io_stream_pause(n.a.s);
	raw_text(&n, "MAIL\n");
	io_closep(&n.raw);
	run_a_moment(&n);
	assert_string_equal(n.a.order, "");
	io_stream_resume(n.a.s);
	run_until(&n, a_ended);
	assert_string_equal(n.a.order, "IE");
	close_net(&n);
}

static void a_reset_fails(void **state)
{
	struct net n;

	(void)state;
	open_raw(&n);
	reset_raw(&n);
	run_until(&n, a_gone);
	assert_string_equal(n.a.order, "F");
	assert_int_equal(n.a.err.code, -ECONNRESET);
	assert_non_null(strstr(n.a.err.text, "127.0.0.1:"));
	close_net(&n);
}

static void a_reply_before_a_failed_write_is_told(void **state)
{
	struct net n;
	int fds[2];

	(void)state;
	open_net(&n);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	n.a.s = stream_of(&n, fds[0], &n.a);
	n.raw = fds[1];
	/* The other side answers and goes: writing fails before anything was read. */
	raw_text(&n, "421 bye\n");
	io_closep(&n.raw);
	send_text(&n.a, "DATA\n");
	run_until(&n, a_gone);
	assert_string_equal(n.a.order, "IF");
	assert_string_equal(n.a.got, "421 bye\n");
	assert_int_equal(n.a.err.code, -EPIPE);
	close_net(&n);
}

/* ---- closing ---- */

static char block[IO_STREAM_OUTPUT_MAX];

static void cause(struct net *n, enum io_stream_event event)
{
	struct sockaddr_in to;
	socklen_t len = sizeof(to);

	switch (event) {
	case IO_STREAM_CONNECTED:
		io_stream_free(TAKE(n->a.s));
		assert_int_equal(getsockname(n->listener, (struct sockaddr *)&to, &len), 0);
		n->a.s = io_stream_connect(
			n->loop, (const struct sockaddr *)&to, len, on_event, &n->a);
		break;
	case IO_STREAM_INPUT:
		raw_text(n, "x\n");
		break;
	case IO_STREAM_DRAINED:
		assert_int_equal(
			io_stream_write(n->a.s, sv_make(block, IO_STREAM_OUTPUT_LOW + 1)), 0);
		break;
	case IO_STREAM_EOF:
		raw_text(n, "x\n");
		assert_int_equal(shutdown(n->raw, SHUT_WR), 0);
		break;
	case IO_STREAM_FAILED:
		reset_raw(n);
		break;
	case IO_STREAM_SECURED: /* tls_test.c */
		break;
	}
}

static void a_stream_may_be_freed_in_any_callback(void **state)
{
	struct net n;

	(void)state;
	for (int event = 0; event < EVENT_COUNT; event++) {
		for (unsigned gently = 0; gently < 2; gently++) {
			if (event == IO_STREAM_SECURED)
				continue;
			open_raw(&n);
			n.a.free_on = event;
			n.a.gently = gently;
			cause(&n, (enum io_stream_event)event);
			/* More is to come that nobody hears. */
			send_text(&n.a, "more\n");
			run_until(&n, a_gone);
			assert_int_equal(n.a.counts[event], 1);
			run_a_moment(&n);
			close_net(&n);
		}
	}
	io_stream_free(NULL);
	io_stream_close_gently(NULL, 0);
}

static void closing_gently_lets_everything_out(void **state)
{
	struct net n;

	(void)state;
	/* Second time with input that nobody read: the kernel answers a plain close() of that with a
	 * reset, which takes away what is under way. */
	for (unsigned unread = 0; unread < 2; unread++) {
		open_pair(&n, true);
		io_stream_pause(n.a.s);
		if (unread)
			send_text(&n.b, "pipelined\r\n");
		run_a_moment(&n);
		n.a.to_send = 4 * IO_STREAM_OUTPUT_LOW;
		io_stream_pause(n.b.s);
		pump(&n.a);
		io_stream_close_gently(TAKE(n.a.s), US_PER_MIN);
		run_a_moment(&n);
		io_stream_resume(n.b.s);
		n.b.free_on = IO_STREAM_EOF;
		run_until(&n, b_gone);
		assert_int_equal(n.b.received, n.a.to_send);
		assert_false(n.b.corrupt);
		assert_int_equal(n.b.counts[IO_STREAM_FAILED], 0);
		close_net(&n);
	}
}

static void closing_gently_without_output_tells_the_other_side(void **state)
{
	struct net n;

	(void)state;
	open_pair(&n, true);
	io_stream_close_gently(TAKE(n.a.s), US_PER_MIN);
	n.b.free_on = IO_STREAM_EOF;
	run_until(&n, b_gone);
	assert_string_equal(n.b.order, "E");
	close_net(&n);
}

static void closing_gently_is_bounded(void **state)
{
	struct net n;

	(void)state;
	open_pair(&n, true);
	io_stream_pause(n.b.s);
	stuff_output(&n, &n.a);
	io_stream_close_gently(TAKE(n.a.s), 1000);
	/* Its time is over before this moment is. */
	run_a_moment(&n);
	io_stream_resume(n.b.s);
	n.b.free_on = IO_STREAM_EOF;
	run_until(&n, b_gone);
	close_net(&n);
}

/* The other side hears the last words, and goes on all the same: no minute of reading for nobody. */
static void closing_gently_ends_for_one_that_sends_on_and_on(void **state)
{
	struct net n;

	(void)state;
	open_pair(&n, true);
	send_text(&n.a, "too much\n");
	io_stream_close_gently(TAKE(n.a.s), US_PER_MIN);
	n.b.to_send = 8 * (uint64_t)LIMIT_OVERRUN;
	pump(&n.b);
	run_until(&n, b_gone);
	assert_string_equal(n.b.got, "too much\n");
	assert_int_equal(n.b.counts[IO_STREAM_FAILED], 1);
	/* All that was under way in good faith was read. */
	assert_true(n.b.sent > LIMIT_OVERRUN);
	assert_true(n.b.sent < n.b.to_send);
	close_net(&n);
}

static void a_loop_goes_with_streams_that_close_gently(void **state)
{
	struct net n;

	(void)state;
	open_pair(&n, true);
	io_stream_pause(n.b.s);
	assert_int_equal(io_stream_write(n.a.s, sv_make(block, sizeof(block))), 0);
	io_stream_close_gently(TAKE(n.a.s), US_PER_MIN);
	run_a_moment(&n);
	close_net(&n);
}

static void another_owner_takes_over(void **state)
{
	struct net n;

	(void)state;
	open_raw(&n);
	n.b.s = TAKE(n.a.s);
	io_stream_set_owner(n.b.s, on_event, &n.b);
	raw_text(&n, "hello\n");
	run_until(&n, b_has_line);
	assert_string_equal(n.a.order, "");
	assert_string_equal(n.b.got, "hello\n");
	close_net(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connecting_works_and_early_output_leaves),
		cmocka_unit_test(a_refused_connection_fails_with_words),
		cmocka_unit_test(immediate_errors_are_told_later),
		cmocka_unit_test(a_source_address_is_used),
		cmocka_unit_test(a_unix_peer_has_a_uid),
		cmocka_unit_test(much_goes_both_ways_with_back_pressure),
		cmocka_unit_test(input_is_bounded),
		cmocka_unit_test(output_is_bounded_and_drains_once),
		cmocka_unit_test(the_end_is_told_once_behind_the_input),
		cmocka_unit_test(the_end_waits_behind_a_pause),
		cmocka_unit_test(a_reset_fails),
		cmocka_unit_test(a_reply_before_a_failed_write_is_told),
		cmocka_unit_test(a_stream_may_be_freed_in_any_callback),
		cmocka_unit_test(closing_gently_lets_everything_out),
		cmocka_unit_test(closing_gently_without_output_tells_the_other_side),
		cmocka_unit_test(closing_gently_is_bounded),
		cmocka_unit_test(closing_gently_ends_for_one_that_sends_on_and_on),
		cmocka_unit_test(a_loop_goes_with_streams_that_close_gently),
		cmocka_unit_test(another_owner_takes_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
