/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "io/net.h"
#include "io/test_dns.h"

#include "cmocka_all.h"

/* Names and mail exchangers from a name server. Without one: net_test.c. */

enum {
	GUARD_S = 60,
	MANY = 22, /* of which 512 bytes hold so many; longer answers go over TCP */
};

static const char *const sorted[] = {
	"20 c.example.com", "10 a.example.com", "10 b.example.com", NULL
};
static const char *const null_mx[] = { "0 ", NULL };
static const char *const null_and_more[] = { "0 ", "5 a.example.com", NULL };
static const char *const strange[] = { "1 a b.example.com",
	"2 \x01.example.com",
	"3 a\\b.example.com",
	"4 good_1.EXAMPLE.com",
	NULL };
static const char *const broken[] = { "5 a.example.com", "!", NULL };
static const char *const address[] = { "192.0.2.7", NULL };
static char many_text[MANY][32];
static const char *many[MANY + 1];

static const struct dns_row rows[] = {
	{ "sorted.test", DNS_MX, DNS_NOERROR, sorted },
	{ "null.test", DNS_MX, DNS_NOERROR, null_mx },
	{ "null-and-more.test", DNS_MX, DNS_NOERROR, null_and_more },
	{ "none.test", DNS_MX, DNS_NOERROR, NULL },
	{ "sick.test", DNS_MX, DNS_SERVFAIL, NULL },
	{ "many.test", DNS_MX, DNS_NOERROR, many },
	{ "strange.test", DNS_MX, DNS_NOERROR, strange },
	{ "broken.test", DNS_MX, DNS_NOERROR, broken },
	{ "host.test", DNS_A, DNS_NOERROR, address },
};

struct ask {
	struct io_loop *loop;
	struct io_timer guard;
	bool hung;
	struct dns dns;
	struct io_resolver *resolver;
	unsigned answers;
	int rc;
	size_t count;
	struct io_mx mx[IO_MX_MAX];
	struct io_address host;
};

static void on_guard(void *arg)
{
	struct ask *a = arg;

	a->hung = true;
	io_loop_stop(a->loop);
}

static void open_ask(struct ask *a)
{
	char servers[64];

	*a = (struct ask){ .loop = io_loop_new() };
	io_timer_init(&a->guard, a->loop, on_guard, a);
	io_timer_start(&a->guard, mono_add(io_now(a->loop), GUARD_S * US_PER_S));
	dns_open(&a->dns, a->loop, rows, COUNT_OF(rows));
	a->resolver = io_resolver_new(a->loop, NULL);
	assert_non_null(a->resolver);
	(void)snprintf(servers, sizeof(servers), "127.0.0.1:%u", a->dns.port);
	assert_int_equal(io_resolver_use(a->resolver, sv_from(servers)), 0);
}

static void close_ask(struct ask *a)
{
	io_resolver_free(a->resolver);
	dns_close(&a->dns);
	io_loop_free(a->loop);
}

static void on_mx(void *arg, int rc, const struct io_mx *mx, size_t count)
{
	struct ask *a = arg;

	must(count <= IO_MX_MAX);
	a->answers++;
	a->rc = rc;
	a->count = count;
	if (count)
		memcpy(a->mx, mx, count * sizeof(*mx));
	io_loop_stop(a->loop);
}

static void ask_mx(struct ask *a, const char *domain)
{
	unsigned before = a->answers;

	assert_non_null(io_resolve_mx(a->resolver, sv_from(domain), on_mx, a));
	assert_int_equal(a->answers, before);
	io_loop_run(a->loop);
	assert_false(a->hung);
	assert_int_equal(a->answers, before + 1);
}

static void exchangers_come_best_first(void **state)
{
	unsigned first[2] = { 0, 0 };
	struct ask a;

	(void)state;
	open_ask(&a);
	/* One in 2^63 runs sees no other order. */
	for (unsigned i = 0; i < 64; i++) {
		bool swapped;

		ask_mx(&a, "sorted.test");
		assert_int_equal(a.rc, 0);
		assert_int_equal(a.count, 3);
		swapped = strcmp(a.mx[0].host, "b.example.com") == 0;
		first[swapped]++;
		assert_string_equal(a.mx[swapped].host, "a.example.com");
		assert_string_equal(a.mx[!swapped].host, "b.example.com");
		assert_int_equal(a.mx[0].preference, 10);
		assert_int_equal(a.mx[1].preference, 10);
		assert_string_equal(a.mx[2].host, "c.example.com");
		assert_int_equal(a.mx[2].preference, 20);
	}
	assert_true(first[0] > 0 && first[1] > 0);
	close_ask(&a);
}

static void domains_without_exchangers_are_told_from_faults(void **state)
{
	static const struct {
		const char *domain;
		int rc;
	} expected[] = {
		{ "null.test", RC_NO_NAME },
		{ "none.test", RC_NO_NAME },
		{ "missing.test", RC_NO_NAME },
		{ "a..b", RC_NO_NAME },
		{ "", RC_NO_NAME },
		{ "sick.test", RC_DNS },
		{ "broken.test", RC_DNS },
	};
	struct ask a;

	(void)state;
	open_ask(&a);
	for (unsigned i = 0; i < COUNT_OF(expected); i++) {
		ask_mx(&a, expected[i].domain);
		if (a.rc != expected[i].rc)
			fail_msg("'%s': %d", expected[i].domain, a.rc);
		assert_int_equal(a.count, 0);
	}
	ask_mx(&a, "null-and-more.test");
	assert_int_equal(a.rc, 0);
	assert_int_equal(a.count, 1);
	assert_string_equal(a.mx[0].host, "a.example.com");
	close_ask(&a);
}

static void only_the_best_and_sound_ones_are_kept(void **state)
{
	struct ask a;

	(void)state;
	open_ask(&a);
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(many_text[i],
			sizeof(many_text[i]),
			"%u m%u.t",
			1 + i * 5 % MANY,
			1 + i * 5 % MANY);
		many[i] = many_text[i];
	}
	ask_mx(&a, "many.test");
	assert_int_equal(a.rc, 0);
	assert_int_equal(a.count, IO_MX_MAX);
	for (unsigned i = 0; i < IO_MX_MAX; i++) {
		char host[32];

		(void)snprintf(host, sizeof(host), "m%u.t", i + 1);
		assert_string_equal(a.mx[i].host, host);
		assert_int_equal(a.mx[i].preference, i + 1);
	}
	ask_mx(&a, "strange.test");
	assert_int_equal(a.rc, 0);
	assert_int_equal(a.count, 1);
	assert_string_equal(a.mx[0].host, "good_1.EXAMPLE.com");
	close_ask(&a);
}

static void cancelled_exchangers_are_not_answered(void **state)
{
	struct ask a;

	(void)state;
	open_ask(&a);
	io_resolve_cancel(io_resolve_mx(a.resolver, SV("sorted.test"), on_mx, &a));
	ask_mx(&a, "sorted.test");
	assert_int_equal(a.answers, 1);
	/* The resolver goes with one that runs and one that has not begun. */
	assert_non_null(io_resolve_mx(a.resolver, SV("sorted.test"), on_mx, &a));
	close_ask(&a);
	assert_int_equal(a.answers, 1);
}

static void on_host(void *arg, int rc, const struct io_address *addresses, size_t count)
{
	struct ask *a = arg;

	a->answers++;
	a->rc = rc;
	a->count = count;
	if (count)
		a->host = addresses[0];
	io_loop_stop(a->loop);
}

static void hosts_are_asked_for_there_too(void **state)
{
	char text[IO_ADDRESS_TEXT_MAX];
	struct ask a;

	(void)state;
	open_ask(&a);
	assert_non_null(io_resolve_host(a.resolver, SV("host.test"), 25, on_host, &a));
	io_loop_run(a.loop);
	assert_int_equal(a.rc, 0);
	assert_int_equal(a.count, 1);
	assert_string_equal(io_address_text(&a.host.any, text), "192.0.2.7:25");
	assert_int_equal(io_resolver_use(a.resolver, SV("not an address")), RC_PARSE);
	/* None to ask at all now. */
	assert_non_null(io_resolve_host(a.resolver, SV("host.test"), 25, on_host, &a));
	io_loop_run(a.loop);
	assert_int_equal(a.rc, RC_DNS);
	ask_mx(&a, "sorted.test");
	assert_int_equal(a.rc, RC_DNS);
	assert_int_equal(io_resolver_use(a.resolver, SV("")), 0);
	close_ask(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exchangers_come_best_first),
		cmocka_unit_test(domains_without_exchangers_are_told_from_faults),
		cmocka_unit_test(only_the_best_and_sound_ones_are_kept),
		cmocka_unit_test(cancelled_exchangers_are_not_answered),
		cmocka_unit_test(hosts_are_asked_for_there_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
