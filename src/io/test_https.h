/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/must.h"
#include "io/file.h"
#include "io/https_priv.h"
#include "io/test_ca.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmocka_all.h"

/* A real HTTPS server in a thread (libmicrohttpd), and requests to it. */

enum {
	GUARD_S = 60,
	BIG = 200000,
	CALLS_MAX = 256,
	ECHO_MAX = 1024,
};

static struct test_ca ca;

/* ---- a server ---- */

struct server {
	struct MHD_Daemon *daemon;
	unsigned port;
	char *key, *chain;
	atomic_uint requests, connections, died;
	pthread_mutex_t lock;
	struct MHD_Connection *hanging[CALLS_MAX];
	unsigned hanging_count;
};

struct upload {
	char bytes[ECHO_MAX];
	size_t len, total;
};

static char big[BIG];

static inline struct MHD_Response *text_response(const char *text)
{
	/* NOLINTNEXTLINE */
	return MHD_create_response_from_buffer(
		strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
}

static inline struct MHD_Response *echo(
	struct MHD_Connection *c, const char *method, const struct upload *body)
{
	const char *type = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Type");
	const char *token = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");
	const char *extra = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "X-Extra");
	char text[2 * ECHO_MAX];

	(void)snprintf(text,
		sizeof(text),
		"%s|%s|%s|%s|%.*s|%zu",
		method,
		type ? type : "-",
		token ? token : "-",
		extra ? extra : "-",
		(int)body->len,
		body->bytes,
		body->total);
	return text_response(text);
}

static inline unsigned choose(struct server *s, struct MHD_Connection *c, const char *url,
	struct MHD_Response **out_response)
{
	char date[WALL_RFC5322_MAX], text[2000];

	if (strcmp(url, "/no") == 0) {
		*out_response = text_response("{\"error\":\"invalid_client\"}");
		return 401;
	}
	if (strcmp(url, "/busy") == 0) {
		*out_response = text_response("");
		must(MHD_add_response_header(*out_response, "Retry-After", "7") == MHD_YES);
		return 503;
	}
	if (strcmp(url, "/later") == 0) {
		*out_response = text_response("");
		(void)wall_rfc5322(wall_add(io_clock_wall(), (int64_t)(1000 * US_PER_S)), date);
		memcpy(strchr(date, '+'), "GMT", 4);
		must(MHD_add_response_header(*out_response, "retry-after", date) == MHD_YES);
		return 429;
	}
	if (strcmp(url, "/moved") == 0) {
		*out_response = text_response("");
		must(MHD_add_response_header(
			     *out_response, "Location", "https://elsewhere.test/x?y=1") == MHD_YES);
		return 302;
	}
	if (strcmp(url, "/big") == 0) {
		*out_response =
			MHD_create_response_from_buffer(sizeof(big), big, MHD_RESPMEM_PERSISTENT);
		return 200;
	}
	if (strcmp(url, "/heads") == 0) {
		*out_response = text_response("");
		memset(text, 'x', sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		for (unsigned i = 0; i < HTTPS_HEADERS_MAX / sizeof(text) + 2; i++)
			must(MHD_add_response_header(*out_response, "X-Much", text) == MHD_YES);
		return 200;
	}
	if (strcmp(url, "/hang") == 0) {
		must(pthread_mutex_lock(&s->lock) == 0);
		must(s->hanging_count < CALLS_MAX);
		s->hanging[s->hanging_count++] = c;
		MHD_suspend_connection(c);
		must(pthread_mutex_unlock(&s->lock) == 0);
		return 0;
	}
	*out_response = text_response("hello");
	return 200;
}

static inline enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
	const char *method, const char *version, const char *bytes, size_t *len, void **state)
{
	struct server *s = arg;
	struct upload *u = *state;
	struct MHD_Response *response = NULL;
	unsigned status = 200;
	enum MHD_Result result;

	(void)version;
	if (!u) {
		*state = xcalloc(1, sizeof(*u));
		atomic_fetch_add(&s->requests, 1);
		return MHD_YES;
	}
	if (*len) {
		size_t n = *len < sizeof(u->bytes) - u->len ? *len : sizeof(u->bytes) - u->len;

		memcpy(u->bytes + u->len, bytes, n);
		u->len += n;
		u->total += *len;
		*len = 0;
		return MHD_YES;
	}
	if (strcmp(url, "/die") == 0) {
		atomic_fetch_add(&s->died, 1);
		return MHD_NO;
	}
	if (strcmp(url, "/echo") == 0)
		response = echo(c, method, u);
	else
		status = choose(s, c, url, &response);
	if (!response)
		return MHD_YES;
	result = MHD_queue_response(c, status, response);
	MHD_destroy_response(response);
	return result;
}

static inline void on_request_over(
	void *arg, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode why)
{
	(void)arg;
	(void)c;
	(void)why;
	free(*state);
	*state = NULL;
}

static inline void on_connection(
	void *arg, struct MHD_Connection *c, void **state, enum MHD_ConnectionNotificationCode what)
{
	struct server *s = arg;

	(void)c;
	(void)state;
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		atomic_fetch_add(&s->connections, 1);
}

static inline char *read_text(const char *path)
{
	char *text = xcalloc(1, 8192);
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_true(fread(text, 1, 8191, file) > 0);
	assert_int_equal(fclose(file), 0);
	return text;
}

/* Port 0: any. */
static inline void server_open(struct server *s, unsigned port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) },
		.sin_port = htons((uint16_t)port) };

	memset(s, 0, sizeof(*s));
	assert_int_equal(pthread_mutex_init(&s->lock, NULL), 0);
	s->key = read_text(ca.key);
	s->chain = read_text(ca.chain);
	s->daemon = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_TLS | MHD_ALLOW_SUSPEND_RESUME,
		0,
		NULL,
		NULL,
		on_request,
		s,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)4 * HTTPS_HEADERS_MAX,
		MHD_OPTION_LISTENING_ADDRESS_REUSE,
		1u,
		MHD_OPTION_SOCK_ADDR,
		&at,
		MHD_OPTION_HTTPS_MEM_KEY,
		s->key,
		MHD_OPTION_HTTPS_MEM_CERT,
		s->chain,
		MHD_OPTION_NOTIFY_COMPLETED,
		on_request_over,
		NULL,
		MHD_OPTION_NOTIFY_CONNECTION,
		on_connection,
		s,
		MHD_OPTION_END);
	assert_non_null(s->daemon);
	s->port = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
}

static inline void server_close(struct server *s)
{
	assert_int_equal(pthread_mutex_lock(&s->lock), 0);
	for (unsigned i = 0; i < s->hanging_count; i++)
		MHD_resume_connection(s->hanging[i]);
	s->hanging_count = CALLS_MAX;
	assert_int_equal(pthread_mutex_unlock(&s->lock), 0);
	MHD_stop_daemon(s->daemon);
	free(s->key);
	free(s->chain);
	(void)pthread_mutex_destroy(&s->lock);
}

/* ---- a client ---- */

struct bench;

struct asked {
	struct bench *b;
	unsigned answers;
	int rc;
	unsigned status;
	char body[ECHO_MAX], location[128], error[512];
	size_t body_len;
	bool began;
	uint64_t retry_after_us;
	struct io_https_request *request;
	void (*hook)(struct asked *a);
};

struct bench {
	struct server server;
	struct io_loop *loop;
	struct io_timer guard, later;
	bool hung;
	struct io_resolver *resolver;
	struct io_https *https;
	unsigned wanted, answers;
	struct asked asked[CALLS_MAX];
	unsigned count;
};

static inline void on_guard(void *arg)
{
	struct bench *b = arg;

	b->hung = true;
	io_loop_stop(b->loop);
}

static inline void on_later(void *arg)
{
	struct bench *b = arg;

	io_loop_stop(b->loop);
}

static inline struct bench *bench_open(const char *proxy)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	struct err err = { 0 };

	b->loop = io_loop_new();
	io_timer_init(&b->guard, b->loop, on_guard, b);
	io_timer_start(&b->guard, mono_add(io_now(b->loop), GUARD_S * US_PER_S));
	io_timer_init(&b->later, b->loop, on_later, b);
	b->resolver = io_resolver_new(b->loop, &err);
	assert_non_null(b->resolver);
	b->https = io_https_new(
		&(struct io_https_options){ b->loop, b->resolver, sv_from(proxy) }, &err);
	assert_string_equal(err.text, "");
	assert_non_null(b->https);
	server_open(&b->server, 0);
	return b;
}

static inline void bench_close(struct bench *b)
{
	io_https_free(b->https);
	io_resolver_free(b->resolver);
	io_loop_free(b->loop);
	server_close(&b->server);
	free(b);
}

static inline void run_a_moment(struct bench *b)
{
	io_timer_start(&b->later, mono_add(io_now(b->loop), 30 * US_PER_MS));
	io_loop_run(b->loop);
	assert_false(b->hung);
}

static inline void keep(char *to, size_t size, struct sv text)
{
	size_t n = text.len < size - 1 ? text.len : size - 1;

	if (n)
		memcpy(to, text.ptr, n);
	to[n] = '\0';
}

static inline void on_done(void *arg, const struct io_https_answer *answer)
{
	struct asked *a = arg;
	struct bench *b = a->b;

	a->answers++;
	a->rc = answer->rc;
	a->status = answer->status;
	a->began = answer->began;
	a->retry_after_us = answer->retry_after_us;
	a->body_len = answer->body.len;
	keep(a->body, sizeof(a->body), answer->body);
	keep(a->location, sizeof(a->location), answer->location);
	keep(a->error, sizeof(a->error), answer->error);
	if (a->hook)
		a->hook(a);
	if (++b->answers == b->wanted)
		io_loop_stop(b->loop);
}

static inline struct asked *ask(
	struct bench *b, const char *host, const char *path, struct io_https_call *call)
{
	struct asked *a = &b->asked[b->count++];
	char url[256];

	assert_true(b->count <= CALLS_MAX);
	a->b = b;
	(void)snprintf(url, sizeof(url), "https://%s:%u%s", host, b->server.port, path);
	if (!call->url.len)
		call->url = sv_from(url);
	if (!call->method)
		call->method = "GET";
	if (!call->ca_file.len)
		call->ca_file = sv_from(ca.ca);
	a->request = io_https_start(b->https, call, on_done, a);
	assert_non_null(a->request);
	assert_int_equal(a->answers, 0);
	return a;
}

static inline void wait_for(struct bench *b, unsigned answers)
{
	b->wanted = b->answers + answers;
	io_loop_run(b->loop);
	assert_false(b->hung);
}

static inline struct asked *fetch(
	struct bench *b, const char *host, const char *path, struct io_https_call *call)
{
	struct asked *a = ask(b, host, path, call);

	wait_for(b, 1);
	assert_int_equal(a->answers, 1);
	return a;
}

#define GET(b, host, path) fetch((b), (host), (path), &(struct io_https_call){ 0 })

static inline void expect_fault(const struct asked *a, int rc, const char *words)
{
	if (a->rc != rc || !strstr(a->error, words))
		fail_msg("%d '%s' instead of %d '%s'", a->rc, a->error, rc, words);
	assert_int_equal(a->body_len, 0);
	assert_int_equal(a->status, 0);
}
static inline unsigned closed_port(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)&at, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(close(fd), 0);
	return ntohs(at.sin_port);
}

static inline int open_ca(void **state)
{
	(void)state;
	test_ca_open(&ca);
	return 0;
}

static inline int close_ca(void **state)
{
	(void)state;
	test_ca_close(&ca);
	return 0;
}
