/* SPDX-License-Identifier: Apache-2.0 */
#include "io/dnssec.h"

#include "base/must.h"
#include "io/test_dns.h"

#include "cmocka_all.h"

/* Any name and type, from a name server that signs nothing. What is signed: dnssec_test.c. */
enum {
	GUARD_S = 60,
	PATIENCE_S = 30,
	MANY = IO_DNS_RECORDS_MAX + 3,
};

static const char *const texts[] = { "v=spf1 include:|spf.example -all", "one", NULL };
static const char *const mx[] = { "10 mx.example.test", "0 ", NULL };
static const char *const broken[] = { "!", NULL };
static const char *const address[] = { "192.0.2.7", NULL };
static char many_text[MANY][16];
static const char *many[MANY + 1];

static const struct dns_row rows[] = {
	{ "texts.test", DNS_TXT, DNS_NOERROR, texts },
	{ "mx.test", DNS_MX, DNS_NOERROR, mx },
	{ "sick.test", DNS_TXT, DNS_SERVFAIL, texts },
	{ "broken.test", DNS_MX, DNS_NOERROR, broken },
	{ "a b.test", DNS_A, DNS_NOERROR, address },
	{ "many.test", DNS_A, DNS_NOERROR, many },
};

struct ask {
	struct io_loop *loop;
	struct io_timer guard;
	bool hung, frees;
	struct dns dns;
	struct io_dnssec *dnssec;
	unsigned answers;
	enum io_dns_status status;
	bool cut, secure;
	uint32_t ttl_s;
	size_t count, longest_len;
	unsigned char longest[64];
};

static void on_guard(void *arg)
{
	struct ask *a = arg;

	a->hung = true;
	io_loop_stop(a->loop);
}

static void open_ask(struct ask *a)
{
	char forward[64];

	*a = (struct ask){ .loop = io_loop_new() };
	io_timer_init(&a->guard, a->loop, on_guard, a);
	io_timer_start(&a->guard, mono_add(io_now(a->loop), GUARD_S * US_PER_S));
	dns_open(&a->dns, a->loop, rows, COUNT_OF(rows));
	(void)snprintf(forward, sizeof(forward), "127.0.0.1@%u", a->dns.port);
	a->dnssec = io_dnssec_new(a->loop, SV(""), sv_from(forward), NULL);
	assert_non_null(a->dnssec);
}

static void close_ask(struct ask *a)
{
	assert_false(a->hung);
	io_dnssec_free(a->dnssec);
	dns_close(&a->dns);
	io_timer_stop(&a->guard);
	io_loop_free(a->loop);
}

static void on_answer(void *arg, const struct io_dns_answer *answer)
{
	struct ask *a = arg;

	a->answers++;
	a->status = answer->status;
	a->cut = answer->cut;
	a->secure = answer->secure;
	a->ttl_s = answer->ttl_s;
	a->count = answer->count;
	/* A set has no order: the longest. */
	a->longest_len = 0;
	for (size_t i = 0; i < answer->count; i++) {
		struct sv r = answer->records[i];

		if (r.len > a->longest_len && r.len <= sizeof(a->longest)) {
			a->longest_len = r.len;
			memcpy(a->longest, r.ptr, r.len);
		}
	}
	if (a->frees)
		io_dnssec_free(TAKE(a->dnssec));
	io_loop_stop(a->loop);
}

static void ask(struct ask *a, struct sv name, unsigned type)
{
	assert_non_null(
		io_dns_ask(a->dnssec, name, (uint16_t)type, PATIENCE_S * US_PER_S, on_answer, a));
	io_loop_run(a->loop);
}

static void a_set_comes_as_it_is_on_the_wire(void **state)
{
	struct ask a;

	(void)state;
	open_ask(&a);
	ask(&a, SV("texts.test"), DNS_TXT);
	assert_int_equal(a.status, IO_DNS_FOUND);
	assert_int_equal(a.count, 2);
	assert_int_equal(a.ttl_s, 60);
	assert_false(a.secure);
	assert_int_equal(a.longest_len, 33);
	assert_memory_equal(a.longest, "\x0fv=spf1 include:\x10spf.example -all", 33);
	ask(&a, SV("mx.test."), DNS_MX);
	assert_memory_equal(a.longest, "\0\x0a\2mx\7example\4test", 19);
	ask(&a, SV("a b.test"), DNS_A);
	assert_memory_equal(a.longest, "\xc0\0\2\7", 4);
	close_ask(&a);
}

static void what_is_not_there(void **state)
{
	static const struct {
		const char *name;
		unsigned type;
		enum io_dns_status status;
	} cases[] = {
		{ "none.test", DNS_TXT, IO_DNS_NXDOMAIN },
		{ "texts.test", DNS_MX, IO_DNS_NO_DATA },
		{ "sick.test", DNS_TXT, IO_DNS_FAILURE },
		{ "broken.test", DNS_MX, IO_DNS_FAILURE },
		{ "", DNS_TXT, IO_DNS_FAILURE },
		{ "a..test", DNS_TXT, IO_DNS_FAILURE },
	};
	struct ask a;

	(void)state;
	open_ask(&a);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		ask(&a, sv_from(cases[i].name), cases[i].type);
		if (a.status != cases[i].status)
			fail_msg("%s: %d", cases[i].name, (int)a.status);
		assert_int_equal(a.count, 0);
	}
	close_ask(&a);
}

static void more_records_than_are_kept(void **state)
{
	struct ask a;

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		(void)snprintf(many_text[i], sizeof(many_text[i]), "192.0.2.%zu", i + 1);
		many[i] = many_text[i];
	}
	open_ask(&a);
	ask(&a, SV("many.test"), DNS_A);
	assert_true(a.cut);
	assert_int_equal(a.count, IO_DNS_RECORDS_MAX);
	close_ask(&a);
}

/* A server that never answers, an owner that leaves before the answer or with it. */
static void nobody_waits_for_ever(void **state)
{
	struct ask a;
	struct io_dns_look *q;

	(void)state;
	open_ask(&a);
	io_watch_set(a.dns.watch, 0);
	assert_non_null(
		io_dns_ask(a.dnssec, SV("texts.test"), DNS_TXT, US_PER_S / 100, on_answer, &a));
	io_loop_run(a.loop);
	assert_int_equal(a.status, IO_DNS_FAILURE);
	q = io_dns_ask(a.dnssec, SV("other.test"), DNS_TXT, US_PER_S, on_answer, &a);
	io_dns_cancel(q);
	q = io_dns_ask(a.dnssec, SV("mx.test"), DNS_TXT, US_PER_S / 100, on_answer, &a);
	assert_non_null(q);
	io_loop_run(a.loop);
	assert_int_equal(a.answers, 2);
	io_watch_set(a.dns.watch, IO_READABLE);
	io_dns_cancel(NULL);
	a.frees = true;
	ask(&a, SV("mx.test"), DNS_MX);
	assert_null(a.dnssec);
	close_ask(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_comes_as_it_is_on_the_wire),
		cmocka_unit_test(what_is_not_there),
		cmocka_unit_test(more_records_than_are_kept),
		cmocka_unit_test(nobody_waits_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
