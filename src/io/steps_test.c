/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "io/loop.h"
#include "io/net.h"
#include "io/stream.h"
#include "io/test_ca.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <string.h>

#include "cmocka_all.h"

/*
 * Clients that begin a handshake, see the server's answer, hang up and begin again. What is counted are answers: each is
 * a step of a handshake that the server did.
 */
enum {
	MANY = 40, /* connections of the flood */
	FEW = 8,
	SERVED_MAX = 4096,
	HELLO_MAX = 4096,
	GUARD_S = 300,
};

struct site;

struct client {
	struct site *site;
	struct io_stream *s;
};

/* Clients of one address. */
struct site {
	struct yard *yard;
	const char *address;
	struct client clients[MANY];
	size_t count;
	unsigned answers;
};

struct yard {
	struct io_loop *loop;
	struct io_listener *listener;
	struct io_tls *tls;
	struct io_stream *served[SERVED_MAX]; /* at the number of its descriptor */
	struct io_timer guard;
	struct site bad, good;
	char hello[HELLO_MAX];
	size_t hello_len;
	unsigned wanted;
};

static struct test_ca ca;
static struct yard yard;

static void on_guard(void *arg)
{
	(void)arg;
	fail_msg("the answers do not come");
}

/* ---- the server ---- */

static void on_served(void *arg, enum io_stream_event event)
{
	struct io_stream **s = arg;

	if (event == IO_STREAM_FAILED || event == IO_STREAM_EOF)
		io_stream_free(TAKE(*s));
}

static void on_accept(void *arg, int fd)
{
	struct yard *y = arg;

	assert_in_range(fd, 0, SERVED_MAX - 1);
	assert_null(y->served[fd]);
	y->served[fd] = io_stream_accepted(y->loop, fd, on_served, &y->served[fd]);
	io_stream_tls_server(y->served[fd], y->tls);
}

/* ---- the clients ---- */

static void begin(struct client *c);

static void on_client(void *arg, enum io_stream_event event)
{
	struct client *c = arg;
	struct yard *y = c->site->yard;

	if (event == IO_STREAM_CONNECTED)
		assert_int_equal(io_stream_write(c->s, sv_make(y->hello, y->hello_len)), 0);
	assert_int_not_equal(event, IO_STREAM_FAILED);
	if (event != IO_STREAM_INPUT)
		return;
	io_stream_free(TAKE(c->s));
	c->site->answers++;
	if (y->wanted && y->good.answers >= y->wanted)
		io_loop_stop(y->loop);
	begin(c);
}

static void begin(struct client *c)
{
	struct yard *y = c->site->yard;
	struct sockaddr_in from = { .sin_family = AF_INET }, to = from;

	assert_int_equal(inet_pton(AF_INET, c->site->address, &from.sin_addr), 1);
	assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &to.sin_addr), 1);
	to.sin_port = htons((uint16_t)io_listener_port(y->listener));
	c->s = io_stream_connect_from(y->loop,
		(const struct sockaddr *)&from,
		(const struct sockaddr *)&to,
		sizeof(to),
		on_client,
		c);
}

static void come(struct site *site, const char *address, size_t count)
{
	*site = (struct site){ .yard = &yard, .address = address, .count = count };
	for (size_t i = 0; i < count; i++) {
		site->clients[i].site = site;
		begin(&site->clients[i]);
	}
}

static void leave(struct site *site)
{
	for (size_t i = 0; i < site->count; i++)
		io_stream_free(TAKE(site->clients[i].s));
}

/* What any client says first, once for all of them. */
static size_t make_hello(char *out)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(context);
	BIO *there = BIO_new(BIO_s_mem());
	int len;

	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), there);
	assert_int_equal(SSL_connect(ssl), -1);
	len = BIO_read(there, out, HELLO_MAX);
	assert_in_range(len, 100, HELLO_MAX - 1);
	SSL_free(ssl);
	SSL_CTX_free(context);
	return (size_t)len;
}

static void open_yard(void)
{
	struct err err = { 0 };
	struct io_address at;

	yard = (struct yard){ .loop = io_loop_new() };
	yard.hello_len = make_hello(yard.hello);
	yard.tls = io_tls_server_new(ca.chain, ca.key, &err);
	assert_string_equal(err.text, "");
	assert_int_equal(io_address_parse(SV("127.0.0.1:0"), &at), 0);
	yard.listener = io_listener_open(yard.loop, &at, 0, on_accept, &yard, &err);
	assert_non_null(yard.listener);
	io_timer_init(&yard.guard, yard.loop, on_guard, NULL);
	io_timer_start(&yard.guard, mono_add(io_now(yard.loop), GUARD_S * US_PER_S));
}

static void close_yard(void)
{
	leave(&yard.bad);
	leave(&yard.good);
	for (size_t i = 0; i < SERVED_MAX; i++)
		io_stream_free(TAKE(yard.served[i]));
	io_listener_close(yard.listener);
	io_tls_unref(yard.tls);
	io_timer_stop(&yard.guard);
	io_loop_free(yard.loop);
}

static void run_until_good_has(unsigned answers)
{
	yard.wanted = answers;
	io_loop_run(yard.loop);
	yard.wanted = 0;
}

/* Forty against eight: by the connection the flood would have five times as much. */
static void steps_go_by_address_and_not_by_connection(void **state)
{
	enum {
		WARM = 10,
		ROUNDS = 100
	};
	unsigned before;

	(void)state;
	open_yard();
	come(&yard.bad, "127.0.0.9", MANY);
	come(&yard.good, "127.0.0.3", FEW);
	run_until_good_has(WARM);
	before = yard.bad.answers;
	run_until_good_has(WARM + ROUNDS);
	assert_true(yard.bad.answers - before > ROUNDS / 4);
	assert_true(yard.bad.answers - before < 2 * ROUNDS);
	close_yard();
}

static void stop(void *arg)
{
	io_loop_stop(arg);
}

/* However many want one: everything else goes on between two of them. */
static void a_round_has_one_step(void **state)
{
	enum {
		ROUNDS = 200
	};

	(void)state;
	open_yard();
	come(&yard.bad, "127.0.0.9", MANY);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct io_task task = { .run = stop, .arg = yard.loop };

		io_task_post(yard.loop, &task);
		io_loop_run(yard.loop);
	}
	assert_in_range(yard.bad.answers, 1, ROUNDS);
	close_yard();
}

static int open_ca(void **state)
{
	(void)state;
	test_ca_open(&ca);
	return 0;
}

static int close_ca(void **state)
{
	(void)state;
	test_ca_close(&ca);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_go_by_address_and_not_by_connection),
		cmocka_unit_test(a_round_has_one_step),
	};

	return cmocka_run_group_tests(tests, open_ca, close_ca);
}
