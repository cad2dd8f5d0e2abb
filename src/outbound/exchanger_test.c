/* SPDX-License-Identifier: Apache-2.0 */
#include "io/test_dns.h"
#include "outbound/test_bench.h"

/* Which names of an MX record a connector goes to. */
#define LOOKED_UP(more)                                                                       \
	"hostname: relay.example.com\n"                                                       \
	"tenants: [ { name: contoso, id: contoso.com, domains: [ contoso.test ] } ]\n"        \
	"connectors: [ { name: lab, provider: connector, tenant: contoso, port: @A" more "}]" \
	"\nroutes: [ { through: lab } ]\n"

#define MINE "contoso-test.mail.protection.outlook.com"

static const char *const at_home[] = { "127.0.0.1", NULL };

static const struct dns_row forged[] = {
	{ "contoso.test", DNS_MX, DNS_NOERROR, (const char *const[]){ "10 mx.evil.test", NULL } },
	{ "mx.evil.test", DNS_A, DNS_NOERROR, at_home },
};

static const struct dns_row mixed[] = {
	{ "contoso.test",
		DNS_MX,
		DNS_NOERROR,
		(const char *const[]){ "0 mx.evil.test", "10 " MINE, NULL } },
	{ "mx.evil.test", DNS_A, DNS_NOERROR, at_home },
	{ MINE, DNS_A, DNS_NOERROR, at_home },
};

static struct sv cause_of_lab(struct bench *b)
{
	return sv_from(bench_lane(b, "connector/lab").cause);
}

static bool is_held(struct bench *b)
{
	return cause_of_lab(b).len > 0;
}

static void assert_cause(const char *conf, const struct dns_row *rows, size_t count,
	const char *cause, const char *reply, bool connects)
{
	static const struct letter letter = { .sender = "anna@contoso.test",
		.recipients = "bea@example.org",
		.body = SV_INIT("Subject: x\r\n\r\nx\r\n") };
	char servers[64];
	struct dns dns;
	struct bench b;

	bench_open(&b, conf);
	dns_open(&dns, b.loop, rows, count);
	(void)snprintf(servers, sizeof(servers), "127.0.0.1:%u", dns.port);
	assert_int_equal(io_resolver_use(b.resolver, sv_from(servers)), 0);
	bench_start(&b);
	(void)bench_queue(&b, &letter);
	bench_until(&b, is_held);
	assert_string_equal(cause_of_lab(&b).ptr, cause);
	assert_non_null(strstr(
		sched_hold_why(sched_lane_own(lane_get(b.o, SV("connector/lab"))->sched))->reply,
		reply));
	assert_int_equal(b.a.most_sessions > 0, connects);
	dns_close(&dns);
	bench_close(&b);
}

static void a_forged_exchanger_gets_no_connection(void **state)
{
	(void)state;
	assert_cause(LOOKED_UP(""),
		forged,
		COUNT_OF(forged),
		"exchanger-not-microsoft",
		"mx.evil.test",
		false);
}

static void one_of_microsofts_is_enough(void **state)
{
	(void)state;
	/* It offers no STARTTLS here: so far it came. */
	assert_cause(LOOKED_UP(""), mixed, COUNT_OF(mixed), "starttls-missing", "STARTTLS", true);
}

/* A CA of one's own signs for nobody else. */
static void a_ca_of_ones_own_vouches_for_any_name(void **state)
{
	(void)state;
	assert_cause(LOOKED_UP(", ca_file: /etc/ssl/certs/ca-certificates.crt"),
		forged,
		COUNT_OF(forged),
		"starttls-missing",
		"STARTTLS",
		true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_forged_exchanger_gets_no_connection),
		cmocka_unit_test(one_of_microsofts_is_enough),
		cmocka_unit_test(a_ca_of_ones_own_vouches_for_any_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
