/* SPDX-License-Identifier: Apache-2.0 */
#include "io/https.h"

#include "io/test_dns.h"
#include "io/test_https.h"

#include <errno.h>

#include "cmocka_all.h"

/* ---- answers ---- */

static void answers_come_whole(void **state)
{
	struct bench *b = bench_open(NULL);
	const struct asked *a;

	(void)state;
	a = GET(b, "127.0.0.1", "/ok");
	assert_string_equal(a->error, "");
	assert_int_equal(a->rc, 0);
	assert_int_equal(a->status, 200);
	assert_string_equal(a->body, "hello");
	assert_int_equal(a->retry_after_us, 0);
	assert_string_equal(a->location, "");
	/* By a name, too. */
	a = GET(b, "localhost", "/ok");
	assert_string_equal(a->error, "");
	assert_int_equal(a->status, 200);
	a = GET(b, "127.0.0.1", "/no");
	assert_int_equal(a->rc, 0);
	assert_int_equal(a->status, 401);
	assert_string_equal(a->body, "{\"error\":\"invalid_client\"}");
	a = GET(b, "127.0.0.1", "/busy");
	assert_int_equal(a->status, 503);
	assert_int_equal(a->retry_after_us, 7 * US_PER_S);
	a = GET(b, "127.0.0.1", "/later");
	assert_int_equal(a->status, 429);
	assert_in_range(a->retry_after_us, 1, 1000 * US_PER_S);
	/* Not followed. */
	a = GET(b, "127.0.0.1", "/moved");
	assert_int_equal(a->rc, 0);
	assert_int_equal(a->status, 302);
	assert_string_equal(a->location, "https://elsewhere.test/x?y=1");
	/* One connection for the number and one for the name. */
	assert_int_equal(atomic_load(&b->server.connections), 2);
	bench_close(b);
}

/* One that the machine does not know: libcurl would not find it by itself. */
static void names_come_from_our_resolver(void **state)
{
	static const char *const address[] = { "127.0.0.1", NULL };
	static const struct dns_row rows[] = { { "relay.test", DNS_A, DNS_NOERROR, address } };
	struct bench *b = bench_open(NULL);
	char servers[64];
	struct dns dns;
	unsigned asked;

	(void)state;
	dns_open(&dns, b->loop, rows, COUNT_OF(rows));
	(void)snprintf(servers, sizeof(servers), "127.0.0.1:%u", dns.port);
	assert_int_equal(io_resolver_use(b->resolver, sv_from(servers)), 0);
	for (unsigned i = 0; i < 20; i++)
		(void)ask(b,
			i % 2 ? "relay.test" : "RELAY.test",
			"/ok",
			&(struct io_https_call){ 0 });
	wait_for(b, 20);
	for (unsigned i = 0; i < 20; i++) {
		assert_string_equal(b->asked[i].error, "");
		assert_int_equal(b->asked[i].status, 200);
	}
	/* Once for all of them, and for a while: A and AAAA. */
	asked = dns.asked;
	assert_int_equal(asked, 2);
	assert_int_equal(GET(b, "relay.test", "/ok")->status, 200);
	assert_int_equal(dns.asked, asked);
	expect_fault(
		GET(b, "missing.test", "/ok"), RC_NO_NAME, "missing.test: the name does not exist");
	assert_false(b->asked[21].began);
	io_https_free(TAKE(b->https));
	io_resolver_free(TAKE(b->resolver));
	dns_close(&dns);
	bench_close(b);
}

static void requests_carry_what_they_shall(void **state)
{
	static const char *const headers[] = { "X-Extra: one", NULL };
	struct secret *token = secret_new(SV("tok.en-1")), *body = secret_new(SV("pass=word"));
	struct bench *b = bench_open(NULL);
	char *large = xcalloc(1, IO_HTTPS_BODY_MAX + 1);
	const struct asked *a;

	(void)state;
	a = GET(b, "127.0.0.1", "/echo");
	assert_string_equal(a->body, "GET|-|-|-||0");
	a = fetch(b,
		"127.0.0.1",
		"/echo",
		&(struct io_https_call){ .method = "POST",
			.content_type = SV("application/x-www-form-urlencoded"),
			.secret_body = body });
	assert_string_equal(a->body, "POST|application/x-www-form-urlencoded|-|-|pass=word|9");
	a = fetch(b,
		"127.0.0.1",
		"/echo",
		&(struct io_https_call){ .method = "PATCH",
			.content_type = SV("text/plain"),
			.body = SV("abc"),
			.bearer = token,
			.headers = headers });
	assert_string_equal(a->body, "PATCH|text/plain|Bearer tok.en-1|one|abc|3");
	a = fetch(b, "127.0.0.1", "/echo", &(struct io_https_call){ .method = "POST" });
	assert_string_equal(a->body, "POST|-|-|-||0");
	a = fetch(b,
		"127.0.0.1",
		"/echo",
		&(struct io_https_call){ .method = "DELETE", .bearer = token });
	assert_string_equal(a->body, "DELETE|-|Bearer tok.en-1|-||0");
	a = fetch(b,
		"127.0.0.1",
		"/echo",
		&(struct io_https_call){ .method = "PUT",
			.content_type = SV("a/b"),
			.body = sv_make(large, IO_HTTPS_BODY_MAX) });
	assert_string_equal(a->error, "");
	assert_true(strncmp(a->body, "PUT|a/b|-|-|", 12) == 0);
	a = fetch(b,
		"127.0.0.1",
		"/echo",
		&(struct io_https_call){ .method = "PUT",
			.content_type = SV("a/b"),
			.body = sv_make(large, IO_HTTPS_BODY_MAX + 1) });
	expect_fault(a, RC_LIMIT, "too large");
	free(large);
	secret_free(token);
	secret_free(body);
	bench_close(b);
}

static void what_could_forge_a_header_is_refused(void **state)
{
	static const char *const bad_headers[] = { "X-Extra: one\r\nX-Two: two", NULL };
	static const char *const bad_urls[] = { "http://127.0.0.1/",
		"ftp://127.0.0.1/",
		"file:///etc/passwd",
		"127.0.0.1",
		"https://",
		"https:///x",
		"https://user@127.0.0.1/",
		"https://127.0.0.1/a b",
		"https://127.0.0.1/a\r\nX: y",
		"https://127.0.0.1:0/",
		"https://127.0.0.1:65536/",
		"https://na;me.test/",
		"https://n\xc3\xa4me.test/" };
	struct secret *token = secret_new(SV("tok\nen"));
	struct bench *b = bench_open(NULL);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad_urls); i++)
		expect_fault(fetch(b,
				     "127.0.0.1",
				     "/",
				     &(struct io_https_call){
					     .url = sv_make(bad_urls[i], strlen(bad_urls[i])),
					     .ca_file = SV("/x") }),
			RC_PARSE,
			"https:// URL");
	expect_fault(
		fetch(b, "127.0.0.1", "/ok", &(struct io_https_call){ .headers = bad_headers }),
		RC_PARSE,
		"character");
	expect_fault(fetch(b, "127.0.0.1", "/ok", &(struct io_https_call){ .bearer = token }),
		RC_PARSE,
		"character");
	expect_fault(
		fetch(b,
			"127.0.0.1",
			"/ok",
			&(struct io_https_call){ .method = "POST", .content_type = SV("a\r\nb") }),
		RC_PARSE,
		"character");
	assert_int_equal(atomic_load(&b->server.requests), 0);
	secret_free(token);
	bench_close(b);
}

/* ---- failures ---- */

static void failures_have_a_code_and_words(void **state)
{
	struct bench *b = bench_open(NULL);
	const struct asked *a;
	bool hung = false;
	char url[64];

	(void)state;
	(void)snprintf(url, sizeof(url), "https://127.0.0.1:%u/", closed_port());
	expect_fault(fetch(b, "", "", &(struct io_https_call){ .url = sv_from(url) }),
		-ECONNREFUSED,
		"127.0.0.1: ");
	assert_false(b->asked[0].began);
	expect_fault(fetch(b,
			     "127.0.0.1",
			     "/ok",
			     &(struct io_https_call){ .ca_file = sv_from(ca.other_ca) }),
		RC_TLS,
		"127.0.0.1: SSL certificate problem");
	/* The authorities of the system did not sign it, either. */
	expect_fault(fetch(b,
			     "127.0.0.1",
			     "/ok",
			     &(struct io_https_call){
				     .ca_file = SV("/etc/ssl/certs/ca-certificates.crt") }),
		RC_TLS,
		"SSL certificate problem");
	expect_fault(fetch(b,
			     "127.0.0.1",
			     "/ok",
			     &(struct io_https_call){ .ca_file = SV("/nonexistent/ca.pem") }),
		RC_TLS,
		"/nonexistent/ca.pem");
	/* Until here nothing has left. */
	for (unsigned i = 0; i < b->count; i++)
		assert_false(b->asked[i].began);
	expect_fault(GET(b, "127.0.0.1", "/die"), RC_CLOSED, "127.0.0.1: ");
	assert_true(b->asked[b->count - 1].began);
	expect_fault(GET(b, "127.0.0.1", "/big"), RC_LIMIT, "larger");
	assert_int_equal(fetch(b, "127.0.0.1", "/big", &(struct io_https_call){ .answer_max = BIG })
				 ->body_len,
		BIG);
	expect_fault(
		fetch(b, "127.0.0.1", "/big", &(struct io_https_call){ .answer_max = BIG - 1 }),
		RC_LIMIT,
		"larger");
	expect_fault(GET(b, "127.0.0.1", "/heads"), RC_LIMIT, "larger");
	/* Before the request has left, too: on a busy machine the first of them are too short to get so far. */
	for (uint64_t us = 50 * US_PER_MS; us < US_PER_MIN && !hung; us *= 2) {
		a = fetch(b, "127.0.0.1", "/hang", &(struct io_https_call){ .timeout_us = us });
		expect_fault(a, RC_TIMEOUT, "127.0.0.1: no answer within ");
		hung = a->began;
	}
	assert_true(hung);
	bench_close(b);
}

static void names_that_do_not_resolve_are_told(void **state)
{
	struct bench *b = bench_open(NULL);
	const struct asked *a;

	(void)state;
	/* Without a name server that answers it is RC_DNS, or our time is over first. */
	a = fetch(b, "name.invalid", "/", &(struct io_https_call){ .timeout_us = 2 * US_PER_S });
	assert_true(a->rc == RC_NO_NAME || a->rc == RC_DNS || a->rc == RC_TIMEOUT);
	assert_non_null(strstr(a->error, "name.invalid: "));
	bench_close(b);
}

static void a_post_is_never_sent_twice(void **state)
{
	struct bench *b = bench_open(NULL);

	(void)state;
	/* On a kept connection, where libcurl would try again. */
	assert_int_equal(GET(b, "127.0.0.1", "/ok")->status, 200);
	expect_fault(fetch(b,
			     "127.0.0.1",
			     "/die",
			     &(struct io_https_call){ .method = "POST",
				     .content_type = SV("text/plain"),
				     .body = SV("a message") }),
		RC_CLOSED,
		"127.0.0.1: the connection closed before an answer came");
	assert_int_equal(atomic_load(&b->server.died), 1);
	assert_int_equal(GET(b, "127.0.0.1", "/ok")->status, 200);
	expect_fault(fetch(b, "127.0.0.1", "/die", &(struct io_https_call){ .method = "POST" }),
		RC_CLOSED,
		"127.0.0.1: ");
	assert_int_equal(atomic_load(&b->server.died), 2);
	/* A GET may be. */
	assert_int_equal(GET(b, "127.0.0.1", "/ok")->status, 200);
	expect_fault(GET(b, "127.0.0.1", "/die"), RC_CLOSED, "127.0.0.1: ");
	assert_int_equal(atomic_load(&b->server.died), 4);
	bench_close(b);
}

/* As every hour, when a token is fetched: the connection of the last time is long gone. */
static void a_kept_connection_that_was_closed_is_no_trouble(void **state)
{
	struct bench *b = bench_open(NULL);
	unsigned port = b->server.port;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		const struct asked *a = fetch(b,
			"127.0.0.1",
			"/echo",
			&(struct io_https_call){ .method = "POST",
				.content_type = SV("text/plain"),
				.body = SV("once") });

		assert_string_equal(a->error, "");
		assert_string_equal(a->body, "POST|text/plain|-|-|once|4");
		assert_int_equal(atomic_load(&b->server.requests), 1);
		server_close(&b->server);
		server_open(&b->server, port);
	}
	bench_close(b);
}

/* ---- cancelling ---- */

static void cancelled_requests_are_not_answered(void **state)
{
	struct bench *b = bench_open(NULL);
	struct asked *a[5];

	(void)state;
	/* Before anything, while a name is asked for, in flight, finished but not told. */
	a[0] = ask(b, "127.0.0.1", "/ok", &(struct io_https_call){ 0 });
	io_https_cancel(a[0]->request);
	a[1] = ask(b, "name.invalid", "/ok", &(struct io_https_call){ 0 });
	io_https_cancel(a[1]->request);
	a[2] = ask(b, "127.0.0.1", "/hang", &(struct io_https_call){ 0 });
	a[3] = ask(b, "127.0.0.1", "/hang", &(struct io_https_call){ 0 });
	a[4] = ask(b, "", "", &(struct io_https_call){ .url = SV("ftp://x") });
	io_https_cancel(a[4]->request);
	while (atomic_load(&b->server.requests) < 2)
		run_a_moment(b);
	io_https_cancel(a[2]->request);
	assert_int_equal(GET(b, "127.0.0.1", "/ok")->status, 200);
	io_https_cancel(a[3]->request);
	io_https_cancel(NULL);
	run_a_moment(b);
	for (unsigned i = 0; i < COUNT_OF(a); i++)
		assert_int_equal(a[i]->answers, 0);
	bench_close(b);
}

static unsigned answered_of(const struct bench *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->count; i++)
		n += b->asked[i].answers;
	return n;
}

static unsigned answered_then; /* when a hook ended the others */

static void cancel_others(struct asked *a)
{
	struct bench *b = a->b;

	answered_then = answered_of(b);
	/* Itself, too, which is over. */
	for (unsigned i = 0; i < b->count; i++) {
		if (!b->asked[i].answers || &b->asked[i] == a)
			io_https_cancel(b->asked[i].request);
	}
}

static void start_another(struct asked *a)
{
	(void)ask(a->b, "127.0.0.1", "/no", &(struct io_https_call){ 0 });
}

static void free_all(struct asked *a)
{
	answered_then = answered_of(a->b);
	io_https_free(TAKE(a->b->https));
}

static void owners_may_do_anything_in_the_callback(void **state)
{
	static void (*const hooks[])(struct asked * a) = { cancel_others, start_another, free_all };

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(hooks); i++) {
		struct bench *b = bench_open(NULL);

		for (unsigned k = 0; k < 6; k++)
			(void)ask(b,
				k == 5 ? "name.invalid" : "127.0.0.1",
				k % 2 ? "/hang" : "/ok",
				&(struct io_https_call){ 0 });
		b->asked[2].hook = hooks[i];
		while (!b->asked[2].answers)
			wait_for(b, 1);
		for (unsigned k = 0; k < 5; k++)
			run_a_moment(b);
		for (unsigned k = 0; hooks[i] == start_another && k <= 6; k += 2)
			while (!b->asked[k].answers)
				run_a_moment(b);
		if (hooks[i] == start_another) {
			assert_int_equal(b->asked[6].answers, 1);
			assert_int_equal(b->asked[6].status, 401);
			assert_in_range(answered_of(b), 4, 5); /* name.invalid may be among them */
		} else {
			/* However many came before it: none comes after. */
			assert_int_equal(b->asked[2].answers, 1);
			assert_int_equal(answered_of(b), answered_then);
		}
		bench_close(b);
	}
}

static void two_hundred_at_once_share_connections(void **state)
{
	struct bench *b = bench_open(NULL);

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		(void)ask(
			b, i % 2 ? "127.0.0.1" : "localhost", "/ok", &(struct io_https_call){ 0 });
	wait_for(b, 200);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(b->asked[i].answers, 1);
		assert_string_equal(b->asked[i].error, "");
		assert_int_equal(b->asked[i].status, 200);
	}
	assert_int_equal(atomic_load(&b->server.requests), 200);
	assert_in_range(atomic_load(&b->server.connections), 1, HTTPS_CONNECTIONS_MAX);
	bench_close(b);
}
/* ---- Retry-After ---- */

static void dates_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t at_s;
	} rows[] = {
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
		{ "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
		{ "Sun Nov  6 08:49:37 1994", 784111777 },
		{ "", 0 },
		{ "784111777", 0 },
		{ "tomorrow", 0 },
		{ "Sun, 06 Nov", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		int64_t got = https_date(sv_from(rows[i].text)).us;

		if (got != rows[i].at_s * (int64_t)US_PER_S)
			fail_msg("%s: %lld", rows[i].text, (long long)got);
	}
}

static void retry_after_is_read(void **state)
{
	/* 1994-11-06 08:49:37 UTC */
	const struct wall_time now = { INT64_C(784111777) * (int64_t)US_PER_S };
	static const struct {
		const char *text;
		uint64_t seconds;
	} rows[] = {
		{ "0", 0 },
		{ "1", 1 },
		{ " 120 ", 120 },
		{ "3600", 3600 },
		{ "3601", 3600 },
		{ "99999999999999999999999", 3600 },
		{ "-1", 0 },
		{ "1.5", 0 },
		{ "12 minutes", 0 },
		{ "", 0 },
		{ "soon", 0 },
		{ "Sun, 06 Nov 1994 08:50:37 GMT", 60 },
		{ "Sunday, 06-Nov-94 08:50:37 GMT", 60 },
		{ "Sun Nov  6 08:50:37 1994", 60 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 0 },
		{ "Sun, 06 Nov 1994 08:49:36 GMT", 0 },
		{ "Mon, 07 Nov 1994 08:49:37 GMT", 3600 },
		{ "Fri, 31 Dec 9999 23:59:59 GMT", 3600 },
		{ "Sun, 99 Nov 1994 08:49:37 GMT", 0 },
		{ "Sun, 06 Nov 1994 08:50:37 GMT and much more that nobody wants to read here", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint64_t got = https_retry_after(sv_from(rows[i].text), now);

		if (got != rows[i].seconds * US_PER_S)
			fail_msg("'%s': %llu", rows[i].text, (unsigned long long)got);
	}
	assert_int_equal(https_retry_after(sv_make("1\0", 2), now), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_come_whole),
		cmocka_unit_test(names_come_from_our_resolver),
		cmocka_unit_test(requests_carry_what_they_shall),
		cmocka_unit_test(what_could_forge_a_header_is_refused),
		cmocka_unit_test(failures_have_a_code_and_words),
		cmocka_unit_test(names_that_do_not_resolve_are_told),
		cmocka_unit_test(a_post_is_never_sent_twice),
		cmocka_unit_test(a_kept_connection_that_was_closed_is_no_trouble),
		cmocka_unit_test(cancelled_requests_are_not_answered),
		cmocka_unit_test(owners_may_do_anything_in_the_callback),
		cmocka_unit_test(two_hundred_at_once_share_connections),
		cmocka_unit_test(dates_are_read),
		cmocka_unit_test(retry_after_is_read),
	};

	return cmocka_run_group_tests(tests, open_ca, close_ca);
}
