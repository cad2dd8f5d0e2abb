/* SPDX-License-Identifier: Apache-2.0 */
#include "outbound/session_priv.h"
#include "outbound/test_bench.h"

/* Which connections are opened and closed, and whom a host that says nothing delays: nobody. */

static unsigned wanted_sessions;

static bool sessions_are_there(struct bench *b)
{
	return b->a.most_sessions >= wanted_sessions;
}

static void wait_for_sessions(struct bench *b, unsigned count)
{
	wanted_sessions = count;
	bench_until(b, sessions_are_there);
}

static void queue(struct bench *b, const char *queue_key, unsigned count)
{
	while (count-- > 0)
		(void)bench_queue(b,
			&(struct letter){ .sender = "erp@contoso.com",
				.recipients = "anna@example.org",
				.queue = queue_key });
}

/* ---- a host that accepts and says nothing ---- */

#define SILENT_AND_GOOD                                                                  \
	"hostname: relay.example.com\n"                                                  \
	"connectors:\n"                                                                  \
	"  - { name: silent, host: 127.0.0.1, port: @A, tls: none, connections: 40 }\n"  \
	"  - { name: silent2, host: 127.0.0.1, port: @A, tls: none, connections: 40 }\n" \
	"  - { name: good, host: 127.0.0.1, port: @B, tls: none, connections: 2 }\n"     \
	"routes: [ { through: good } ]\n"

static void hold_greetings(struct bench *b)
{
	b->a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_GREET, .times = 1000, .hold = true };
}

static void a_silent_host_delays_nobody(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, SILENT_AND_GOOD);
	hold_greetings(&b);
	queue(&b, "c:silent", 40);
	queue(&b, "c:silent2", 40);
	bench_start(&b);
	wait_for_sessions(&b, SCHED_ENDPOINT_FIRST);
	queue(&b, "c:good", 3);
	bench_wait_for_mails(&b, 0, 3);
	/* However many mailboxes use it. */
	assert_int_equal(b.a.most_sessions, SCHED_ENDPOINT_FIRST);
	/* It speaks, and all of its mail leaves. */
	b.a.rules[0].times = 0;
	up_release(&b.a, SMTP_SERVER_EV_GREET);
	bench_wait_for_mails(&b, 80, 3);
	bench_close(&b);
}

static void silent_hosts_leave_connections_to_the_others(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, "limits: { upstream_connections: 10 }\n" SILENT_AND_GOOD);
	hold_greetings(&b);
	queue(&b, "c:silent", 20);
	bench_start(&b);
	wait_for_sessions(&b, 10);
	/* As if five seconds were over: so it is, when nobody has heard of it for so long. */
	list_each (at, &b.o->quiet)
		list_entry(at, struct connection, idle)->handshake.accepted_at.us -=
			SCHED_ENDPOINT_SILENT_US;
	queue(&b, "c:good", 1);
	bench_wait_for_mails(&b, 0, 1);
	bench_close(&b);
}

/* ---- no more than are of use ---- */

static void a_message_opens_one_connection(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b,
		"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, connections: 10 "
		"} ]\nroutes: [ { through: lab } ]\n");
	bench_start(&b);
	queue(&b, "c:lab", 1);
	bench_wait_for_mails(&b, 1, 0);
	queue(&b, "c:lab", 1);
	bench_wait_for_mails(&b, 2, 0);
	assert_int_equal(b.a.asked[SMTP_SERVER_EV_GREET], 1);
	bench_close(&b);
}

static void no_more_than_the_limit_lets_go(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b,
		"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, limits: { "
		"connections: 10, messages_per_minute: 2, share: 100% } } ]\n"
		"routes: [ { through: lab } ]\n");
	queue(&b, "c:lab", 9);
	bench_start(&b);
	bench_wait_for_mails(&b, 2, 0);
	assert_in_range(b.a.asked[SMTP_SERVER_EV_GREET], 1, 2);
	bench_close(&b);
}

static void two_connections_of_four_fifths_are_two(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b,
		"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, limits: { "
		"connections: 2, share: 80% } } ]\nroutes: [ { through: lab } ]\n");
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_DATA, .times = 2, .hold = true };
	queue(&b, "c:lab", 4);
	bench_start(&b);
	wait_for_sessions(&b, 2);
	while (b.a.rules[0].times)
		bench_turn(&b);
	up_release(&b.a, SMTP_SERVER_EV_DATA);
	bench_wait_for_mails(&b, 4, 0);
	assert_int_equal(b.a.most_sessions, 2);
	bench_close(&b);
}

/* ---- who gives way ---- */

enum {
	LANES = 12,
	PER_LANE = 5
};

static struct buf *many_lanes(struct buf *out, unsigned connections)
{
	must(buf_printf(out, "limits: { upstream_connections: 3 }\nconnectors:\n") == 0);
	for (unsigned i = 0; i < LANES; i++)
		must(buf_printf(out,
			     "  - { name: c%u, host: 127.0.0.1, port: @A, tls: none, connections: "
			     "%u }\n",
			     i,
			     connections) == 0);
	must(buf_append(out, sv_make("routes: [ { through: c0 } ]\n", 29)) == 0);
	return out;
}

static void a_connection_with_mail_is_not_closed_for_others(void **state)
{
	struct bench b;
	struct buf text = BUF_INIT(BENCH_TEXT_MAX);

	(void)state;
	for (unsigned connections = 1; connections <= 2; connections++) {
		text.len = 0;
		bench_open(&b, buf_sv(many_lanes(&text, connections)).ptr);
		for (unsigned i = 0; i < LANES; i++) {
			char member[32];

			(void)snprintf(member, sizeof(member), "c:c%u", i);
			queue(&b, member, PER_LANE);
		}
		bench_start(&b);
		bench_wait_for_mails(&b, LANES * PER_LANE, 0);
		/* Each lane had one, and only when nobody waited a second. */
		assert_in_range(
			b.a.asked[SMTP_SERVER_EV_GREET], LANES, LANES + 3 * (connections - 1));
		assert_in_range(b.a.most_sessions, 1, 3);
		bench_close(&b);
	}
	buf_deinit(&text);
}

static void a_lane_without_end_gives_way_now_and_then(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, "limits: { upstream_connections: 1 }\n" SILENT_AND_GOOD);
	queue(&b, "c:silent", 2 * SCHED_BURST_MESSAGES);
	bench_start(&b);
	wait_for_sessions(&b, 1);
	queue(&b, "c:good", 1);
	bench_wait_for_mails(&b, 2 * (size_t)SCHED_BURST_MESSAGES, 1);
	/* Its mail went in between: the first lane had to connect twice. */
	assert_int_equal(b.a.asked[SMTP_SERVER_EV_GREET], 2);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_silent_host_delays_nobody),
		cmocka_unit_test(silent_hosts_leave_connections_to_the_others),
		cmocka_unit_test(a_message_opens_one_connection),
		cmocka_unit_test(no_more_than_the_limit_lets_go),
		cmocka_unit_test(two_connections_of_four_fifths_are_two),
		cmocka_unit_test(a_connection_with_mail_is_not_closed_for_others),
		cmocka_unit_test(a_lane_without_end_gives_way_now_and_then),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
