/* SPDX-License-Identifier: Apache-2.0 */
#include "inbound/test_bench.h"

/* Thousands of commands in one piece, from many connections of one address: others have their turns between. */

#define CONF                                                                                \
	"listeners: [ { address: \"127.0.0.1:@P\", no_password_from: [ 127.0.0.0/8 ] } ]\n" \
	"connectors: [ { name: lab, host: 127.0.0.1 } ]\nroutes: [ { through: lab } ]\n"
#define BAD "127.0.0.9"
#define GOOD "127.0.0.3"

enum {
	BAD_CLIENTS = 20,
	FLOOD = 4000, /* commands of one; all of it fits into what is read at once */
};

static struct client *hello(struct bench *b, const char *source, unsigned port)
{
	struct client *c = client_from(b, source, port);

	client_expect(b, c, "220");
	client_ask(b, c, "EHLO x", "250");
	return c;
}

static void flood(struct client *c, const char *command)
{
	struct buf all = BUF_INIT(1 << 20);

	for (size_t i = 0; i < FLOOD; i++)
		must(buf_printf(&all, "%s\r\n", command) == 0);
	must(io_stream_write(c->stream, buf_sv(&all)) == 0);
	buf_deinit(&all);
}

/* Lines of reply that it has got. */
static size_t lines(const struct client *c)
{
	struct sv rest = buf_sv(&c->got), line;
	size_t n = 0;

	while (sv_cut_line(&rest, &line))
		n++;
	return n;
}

static size_t lines_of_all(struct client *const *clients)
{
	size_t sum = 0;

	for (size_t i = 0; i < BAD_CLIENTS; i++)
		sum += lines(clients[i]);
	return sum;
}

static void open_bad(struct bench *b, unsigned port, struct client *bad[BAD_CLIENTS])
{
	for (size_t i = 0; i < BAD_CLIENTS; i++)
		bad[i] = hello(b, BAD, port);
}

/* One round of the loop, and no more: what a flood gets done in a millisecond is the machine's. */
static void one_round(struct bench *b)
{
	struct io_task stop = { .run = bench_stop, .arg = b };

	io_task_post(b->loop, &stop);
	io_loop_run(b->loop);
}

/*
 * Of the flood's answers, before one of the good client comes: the least of several tries, as the kernel may deliver
 * late. None while the flood lasts: SIZE_MAX.
 */
static size_t least_before_an_answer(
	struct bench *b, struct client *good, struct client *const *bad)
{
	size_t least = SIZE_MAX;

	for (unsigned i = 0; i < 10; i++) {
		size_t before = lines_of_all(bad), after;

		client_say(b, good, "NOOP\r\n");
		while (client_reply_len(good) == 0)
			one_round(b);
		after = lines_of_all(bad);
		client_expect(b, good, "250");
		if (after < BAD_CLIENTS * FLOOD && after - before < least)
			least = after - before;
	}
	return least;
}

static void a_single_command_waits_for_few_of_a_flood(void **state)
{
	static const char *const commands[] = { "NOOP", "RSET", "MAIL FROM:<a@b>\r\nRSET" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		struct client *bad[BAD_CLIENTS], *good;
		struct bench b;
		unsigned port;

		bench_make(&b);
		port = bench_begin_tcp(&b, CONF);
		good = hello(&b, GOOD, port);
		open_bad(&b, port, bad);
		for (size_t k = 0; k < BAD_CLIENTS; k++)
			flood(bad[k], commands[i]);
		assert_true(least_before_an_answer(&b, good, bad) < FLOOD);
		client_ask(&b, good, "MAIL FROM:<a@b>", "250");
		client_ask(&b, good, "RCPT TO:<anna@contoso.com>", "250");
		client_ask(&b, good, "DATA", "354");
		client_ask(&b, good, "x\r\n.", "250");
		/* Whoever floods gets all of its answers, later. */
		while (lines_of_all(bad) < BAD_CLIENTS * FLOOD)
			bench_turn(&b);
		bench_close(&b);
	}
}

/* What the bad clients have got while the good one got all of its answers. */
static size_t got_by_bad_beside_a_flood_of_good(void)
{
	struct client *bad[BAD_CLIENTS], *good;
	struct bench b;
	unsigned port;
	size_t sum;

	bench_make(&b);
	port = bench_begin_tcp(&b, CONF);
	good = hello(&b, GOOD, port);
	open_bad(&b, port, bad);
	for (size_t i = 0; i < BAD_CLIENTS; i++)
		flood(bad[i], "NOOP");
	flood(good, "NOOP");
	while (lines(good) < FLOOD)
		bench_turn(&b);
	sum = lines_of_all(bad);
	bench_close(&b);
	return sum;
}

static void turns_go_by_address_and_not_by_connection(void **state)
{
	size_t least = SIZE_MAX;

	(void)state;
	/* Of several tries, too: by connection it would be all of their 20 floods each time. */
	for (unsigned i = 0; i < 10 && least >= 6 * FLOOD; i++) {
		size_t sum = got_by_bad_beside_a_flood_of_good();

		least = sum < least ? sum : least;
	}
	/* One against twenty: it has as many turns as all of them, but for the first one of each. */
	assert_true(least < 6 * FLOOD);
}

/* A message goes in pieces of 64 KB as before, not of 2. */
static void a_message_is_no_flood(void **state)
{
	struct buf text = BUF_INIT(1 << 20);
	struct client *c;
	struct bench b;
	unsigned port;

	(void)state;
	bench_make(&b);
	port = bench_begin_tcp(&b, CONF);
	c = hello(&b, GOOD, port);
	for (size_t i = 0; i < 30000; i++)
		must(buf_append(&text, SV("0123456789abcd\r\n")) == 0);
	client_ask(&b, c, "MAIL FROM:<a@b>", "250");
	client_ask(&b, c, "RCPT TO:<anna@contoso.com>", "250");
	client_ask(&b, c, "DATA", "354");
	client_send(&b, c, buf_sv(&text));
	client_ask(&b, c, "\r\n.", "250");
	assert_int_equal(b.in->turn_now, 0);
	assert_int_equal(bench_waiting(&b), 1);
	buf_deinit(&text);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_single_command_waits_for_few_of_a_flood),
		cmocka_unit_test(turns_go_by_address_and_not_by_connection),
		cmocka_unit_test(a_message_is_no_flood),
	};

	return cmocka_run_group_tests_name("turns", tests, NULL, NULL);
}
