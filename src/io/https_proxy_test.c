/* SPDX-License-Identifier: Apache-2.0 */
#include "io/https.h"

#include "io/test_https.h"

#include <errno.h>
#include <poll.h>

#include "cmocka_all.h"

/* ---- a proxy ---- */

struct proxy {
	pthread_t thread;
	int listener;
	unsigned port;
	unsigned target; /* where every CONNECT leads */
	const char *reply;
	char head[2048]; /* of the last request */
	atomic_uint asked;
};

static bool read_head(int fd, char *head, size_t size)
{
	size_t len = 0;

	while (len + 1 < size && !strstr(head, "\r\n\r\n")) {
		ssize_t n = recv(fd, head + len, 1, 0);

		if (n <= 0)
			return false;
		len += (size_t)n;
		head[len] = '\0';
	}
	return true;
}

static void tunnel(int a, int b)
{
	struct pollfd fds[2] = { { a, POLLIN, 0 }, { b, POLLIN, 0 } };
	char bytes[4096];

	while (poll(fds, 2, -1) > 0) {
		for (unsigned i = 0; i < 2; i++) {
			ssize_t n;

			if (!fds[i].revents)
				continue;
			n = recv(fds[i].fd, bytes, sizeof(bytes), 0);
			if (n <= 0 || send(fds[1 - i].fd, bytes, (size_t)n, MSG_NOSIGNAL) != n)
				return;
		}
	}
}

static void *run_proxy(void *arg)
{
	struct proxy *p = arg;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd;

	/* Until the listener is shut down. */
	while ((fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		p->head[0] = '\0';
		to.sin_port = htons((uint16_t)p->target);
		if (read_head(fd, p->head, sizeof(p->head))) {
			atomic_fetch_add(&p->asked, 1);
			must(send(fd, p->reply, strlen(p->reply), MSG_NOSIGNAL) > 0);
			if (strstr(p->reply, " 200 ") &&
				connect(out, (const struct sockaddr *)&to, sizeof(to)) == 0)
				tunnel(fd, out);
		}
		io_closep(&out);
		io_closep(&fd);
	}
	return NULL;
}

static void proxy_open(struct proxy *p, const char *reply)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);

	memset(p, 0, sizeof(*p));
	p->reply = reply;
	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p->listener, (const struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(p->listener, 4), 0);
	assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &len), 0);
	p->port = ntohs(at.sin_port);
}

/* The thread begins when the target is known. */
static void proxy_start(struct proxy *p, unsigned target)
{
	p->target = target;
	assert_int_equal(pthread_create(&p->thread, NULL, run_proxy, p), 0);
}

static void proxy_close(struct proxy *p)
{
	assert_int_equal(shutdown(p->listener, SHUT_RDWR), 0);
	assert_int_equal(pthread_join(p->thread, NULL), 0);
	io_closep(&p->listener);
}

static void requests_go_through_the_proxy(void **state)
{
	struct secret *token = secret_new(SV("tok.en"));
	struct proxy p;
	struct bench *b;
	struct asked *a;
	char url[64], line[64];

	(void)state;
	proxy_open(&p, "HTTP/1.1 200 OK\r\n\r\n");
	(void)snprintf(url, sizeof(url), "http://localhost:%u", p.port);
	b = bench_open(url);
	proxy_start(&p, b->server.port);
	/* Names are the proxy's to resolve, and the certificate is the server's. */
	a = fetch(b, "relay.test", "/echo", &(struct io_https_call){ .bearer = token });
	assert_string_equal(a->error, "");
	assert_string_equal(a->body, "GET|-|Bearer tok.en|-||0");
	a = GET(b, "relay.test", "/busy");
	assert_int_equal(a->status, 503);
	/* One tunnel for both; the token is not for the proxy. */
	assert_int_equal(atomic_load(&p.asked), 1);
	(void)snprintf(line, sizeof(line), "CONNECT relay.test:%u HTTP/1.1\r\n", b->server.port);
	assert_true(strncmp(p.head, line, strlen(line)) == 0);
	assert_null(strstr(p.head, "tok.en"));
	/* Without it from now on. */
	io_https_set_proxy(b->https, SV(""));
	assert_int_equal(GET(b, "127.0.0.1", "/ok")->status, 200);
	assert_int_equal(atomic_load(&p.asked), 1);
	bench_close(b);
	proxy_close(&p);
	secret_free(token);
}

static void a_wrong_name_is_refused(void **state)
{
	struct proxy p;
	struct bench *b;
	char url[64];

	(void)state;
	proxy_open(&p, "HTTP/1.1 200 OK\r\n\r\n");
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", p.port);
	b = bench_open(url);
	proxy_start(&p, b->server.port);
	expect_fault(GET(b, "wrong.test", "/ok"), RC_TLS, "wrong.test: SSL");
	assert_int_equal(GET(b, "a.pool.test", "/ok")->status, 200);
	assert_int_equal(atomic_load(&b->server.requests), 1);
	bench_close(b);
	proxy_close(&p);
}

static void a_proxy_that_refuses_is_named(void **state)
{
	static const struct {
		const char *reply;
		int rc;
		const char *words;
	} rows[] = {
		{ "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
			RC_CONFIG,
			"the proxy localhost needs a user and a password (407)" },
		{ "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
			-ECONNREFUSED,
			"the proxy localhost does not connect to relay.test (403)" },
		{ "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
			-ECONNREFUSED,
			"the proxy localhost does not connect to relay.test (502)" },
	};
	struct bench *b;
	char url[64];

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		struct proxy p;

		proxy_open(&p, rows[i].reply);
		(void)snprintf(url, sizeof(url), "http://u:geheim@localhost:%u", p.port);
		b = bench_open(url);
		proxy_start(&p, b->server.port);
		expect_fault(GET(b, "relay.test", "/ok"), rows[i].rc, rows[i].words);
		assert_null(strstr(b->asked[0].error, "geheim"));
		assert_non_null(strstr(p.head, "Proxy-Authorization: Basic"));
		bench_close(b);
		proxy_close(&p);
	}
	b = bench_open(NULL);
	(void)snprintf(url, sizeof(url), "http://localhost:%u", closed_port());
	io_https_set_proxy(b->https, sv_from(url));
	expect_fault(GET(b, "relay.test", "/ok"), -ECONNREFUSED, "the proxy localhost: ");
	/* Rather nothing than around it. */
	io_https_set_proxy(b->https, SV("socks5://127.0.0.1:1"));
	expect_fault(GET(b, "127.0.0.1", "/ok"), RC_CONFIG, "http://proxy.example:3128");
	assert_int_equal(atomic_load(&b->server.requests), 0);
	bench_close(b);
}

static void the_environment_is_not_looked_at(void **state)
{
	struct bench *b;

	(void)state;
	assert_int_equal(setenv("https_proxy", "http://127.0.0.1:1", 1), 0);
	assert_int_equal(setenv("ALL_PROXY", "http://127.0.0.1:1", 1), 0);
	b = bench_open(NULL);
	assert_int_equal(GET(b, "127.0.0.1", "/ok")->status, 200);
	bench_close(b);
	assert_int_equal(unsetenv("https_proxy"), 0);
	assert_int_equal(unsetenv("ALL_PROXY"), 0);
}

static void a_bad_proxy_is_refused_at_the_start(void **state)
{
	static const char *const bad[] = {
		"proxy", "https://p:1", "socks5://p:1", "http://", "http://p:0"
	};
	struct io_loop *loop = io_loop_new();
	struct io_resolver *resolver = io_resolver_new(loop, NULL);
	struct err err = { 0 };

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(bad); i++) {
		assert_null(io_https_new(
			&(struct io_https_options){ loop, resolver, sv_from(bad[i]) }, &err));
		assert_int_equal(err.code, RC_CONFIG);
	}
	io_https_free(NULL);
	io_resolver_free(resolver);
	io_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_go_through_the_proxy),
		cmocka_unit_test(a_wrong_name_is_refused),
		cmocka_unit_test(a_proxy_that_refuses_is_named),
		cmocka_unit_test(the_environment_is_not_looked_at),
		cmocka_unit_test(a_bad_proxy_is_refused_at_the_start),
	};

	return cmocka_run_group_tests(tests, open_ca, close_ca);
}
