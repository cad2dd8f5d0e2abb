/* SPDX-License-Identifier: Apache-2.0 */
#include "io/https.h"

#include "io/test_https.h"

#include <openssl/ssl.h>

#include "cmocka_all.h"

/* Answers without an end: each place in an answer that a server may fill for ever, and each of a proxy's. */

enum {
	/* What a server can write before it hears of the end: the buffers of two sockets, and what is taken. */
	WRITTEN_MAX = 64 << 20,
	PIECE_MAX = 16384,
};

struct flood {
	const char *name;
	bool of_proxy; /* the answer to CONNECT, in the clear */
	const char *head, *piece;
};

static const struct flood floods[] = {
	{ "body", false, "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", "x" },
	{ "body to the end", false, "HTTP/1.1 200 OK\r\n\r\n", "x" },
	{ "field", false, "HTTP/1.1 200 OK\r\nX: ", "x" },
	{ "fields", false, "HTTP/1.1 200 OK\r\n", "X: y\r\n" },
	{ "status line", false, "HTTP/1.1 200 ", "x" },
	{ "folded field", false, "HTTP/1.1 200 OK\r\nX: y\r\n", " y\r\n" },
	{ "interim answers", false, "", "HTTP/1.1 100 Continue\r\n\r\n" },
	{ "early hints", false, "", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" },
	{ "chunk", false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", "x" },
	{ "chunks", false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n" },
	{ "chunk extension",
		false,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
		"x" },
	{ "chunk extensions",
		false,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"1;" /* 200 for one byte of body */
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxx"
		"\r\nx\r\n" },
	{ "chunk size", false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "0" },
	{ "trailer", false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", "x" },
	{ "trailers",
		false,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
		"X: y\r\n" },
	{ "a body that nobody wants", false, "HTTP/1.1 204 No Content\r\n\r\n", "x" },
	{ "proxy's field", true, "HTTP/1.1 200 OK\r\nX: ", "x" },
	{ "proxy's fields", true, "HTTP/1.1 200 OK\r\n", "X: y\r\n" },
	{ "proxy's interim answers", true, "", "HTTP/1.1 100 Continue\r\n\r\n" },
	{ "proxy's body", true, "HTTP/1.1 407 No\r\nContent-Length: 9999999999\r\n\r\n", "x" },
	{ "proxy's chunk extension",
		true,
		"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n1;",
		"x" },
};

/* ---- a server ---- */

struct source {
	const struct flood *flood;
	pthread_t thread;
	int listener;
	unsigned port;
	SSL_CTX *ctx;
	atomic_ullong written;
};

/* All of it, or the other side is gone. */
static bool put(SSL *tls, int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n =
			tls ? SSL_write(tls, bytes, (int)len) : send(fd, bytes, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

static void pour(struct source *s, SSL *tls, int fd)
{
	char pieces[PIECE_MAX], request[4096];
	size_t len = strlen(s->flood->piece), total = 0;
	ssize_t n = tls ? SSL_read(tls, request, sizeof(request))
			: recv(fd, request, sizeof(request), 0);

	if (n <= 0)
		return;
	while (total + len <= sizeof(pieces)) {
		memcpy(pieces + total, s->flood->piece, len);
		total += len;
	}
	if (!put(tls, fd, s->flood->head, strlen(s->flood->head)))
		return;
	while (atomic_load(&s->written) < 2ull * WRITTEN_MAX && put(tls, fd, pieces, total))
		atomic_fetch_add(&s->written, total);
}

static void *run_source(void *arg)
{
	struct source *s = arg;
	int fd;

	/* Until the listener is shut down. */
	while ((fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		SSL *tls = s->flood->of_proxy ? NULL : SSL_new(s->ctx);

		if (tls && SSL_set_fd(tls, fd) == 1 && SSL_accept(tls) == 1)
			pour(s, tls, fd);
		else if (!tls)
			pour(s, NULL, fd);
		SSL_free(tls);
		io_closep(&fd);
	}
	return NULL;
}

static void source_open(struct source *s, const struct flood *flood)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);

	memset(s, 0, sizeof(*s));
	s->flood = flood;
	s->ctx = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate_chain_file(s->ctx, ca.chain), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(s->ctx, ca.key, SSL_FILETYPE_PEM), 1);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (const struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(s->listener, 4), 0);
	assert_int_equal(getsockname(s->listener, (struct sockaddr *)&at, &len), 0);
	s->port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, run_source, s), 0);
}

static void source_close(struct source *s)
{
	assert_int_equal(shutdown(s->listener, SHUT_RDWR), 0);
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	io_closep(&s->listener);
	SSL_CTX_free(s->ctx);
}

static void check_flood(const struct flood *flood)
{
	struct source s;
	struct bench *b;
	const struct asked *a;
	char url[64];

	source_open(&s, flood);
	(void)snprintf(
		url, sizeof(url), "http%s://127.0.0.1:%u", flood->of_proxy ? "" : "s", s.port);
	b = bench_open(flood->of_proxy ? url : NULL);
	a = flood->of_proxy
		    ? GET(b, "127.0.0.1", "/ok")
		    : fetch(b, "127.0.0.1", "/", &(struct io_https_call){ .url = sv_from(url) });
	/* The server stands here when what it poured out has been refused. */
	io_https_free(TAKE(b->https));
	source_close(&s);
	/* An answer without a body is whole at its header: the rest ends with the connection. */
	if (a->rc == 0 && a->status != 204)
		fail_msg("%s: taken", flood->name);
	if (a->rc == RC_TIMEOUT)
		fail_msg("%s: only time has ended it", flood->name);
	if (atomic_load(&s.written) > WRITTEN_MAX)
		fail_msg("%s: %llu bytes were taken", flood->name, atomic_load(&s.written));
	bench_close(b);
}

static void no_answer_goes_on_for_ever(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(floods); i++)
		check_flood(&floods[i]);
}

/* Not counted together: a connection that is kept serves any number of answers. */
static void a_kept_connection_may_carry_more(void **state)
{
	struct bench *b = bench_open(NULL);

	(void)state;
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(
			fetch(b, "127.0.0.1", "/big", &(struct io_https_call){ .answer_max = BIG })
				->body_len,
			BIG);
	assert_int_equal(atomic_load(&b->server.connections), 1);
	bench_close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_answer_goes_on_for_ever),
		cmocka_unit_test(a_kept_connection_may_carry_more),
	};

	return cmocka_run_group_tests(tests, open_ca, close_ca);
}
