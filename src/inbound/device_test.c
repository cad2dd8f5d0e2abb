/* SPDX-License-Identifier: Apache-2.0 */
#include "inbound/test_bench.h"
#include "io/test_ca.h"

/* Devices: known by their addresses, which are those of 127.0.0.0/8 here. */

#define DEVICE "127.0.0.2"
#define OTHER "127.0.0.3"

/* More of the listener, and more of scanner-3. */
#define CONF(listener, device)                                                              \
	"listeners: [ { address: \"127.0.0.1:@P\"" listener " } ]\n"                        \
	"tenants: [ { name: contoso, id: contoso.com, domains: [ contoso.com ] } ]\n"       \
	"devices: [ { name: scanner-3, from: 127.0.0.2, sender: scanner@contoso.com" device \
	" } ]\n"                                                                            \
	"connectors: [ { name: lab, host: 127.0.0.1 } ]\n"                                  \
	"routes: [ { through: lab } ]\n"
#define USERS "users: [ { name: erp, password: \"file:@F/erp\", senders: [ erp@contoso.com ] } ]\n"
#define PLAIN_LISTENER ", no_password_from: [ 127.0.0.9/32 ]"

static struct client *device_hello(struct bench *b, unsigned port)
{
	struct client *c = client_from(b, DEVICE, port);

	client_expect(b, c, "220");
	client_ask(b, c, "HELO Scanner 3", "250");
	return c;
}

static struct inbound_quota_status status_of(struct bench *b)
{
	return bench_quota(b, true);
}

static void a_device_sends_as_itself(void **state)
{
	struct arena arena = { 0 };
	struct buf body = { 0 };
	const struct store_message *m;
	struct store_list list;
	struct client *c;
	struct bench b;
	unsigned port;

	(void)state;
	bench_make(&b);
	port = bench_begin_tcp(&b, CONF(PLAIN_LISTENER, ", per_day: 10"));
	c = client_from(&b, DEVICE, port);
	client_expect(&b, c, "220");
	client_ask(&b, c, "mail from: Scanner 3rd floor", "250 2.1.0");
	client_ask(&b, c, "rcpt to: anna@contoso.com", "250 2.1.5");
	client_ask(&b, c, "data", "354");
	client_say(&b, c, "From: \"Printer\" <admin@evil.example>\r\nSender: x@y\r\n\r\nscan\r\n");
	client_ask(&b, c, ".", "250 2.0.0");
	list = bench_list(&b, &arena);
	assert_int_equal(list.out_count, 1);
	m = &list.out_rows[0].message;
	assert_true(sv_eq(m->sender, SV("scanner@contoso.com")));
	assert_true(sv_eq(m->device, SV("scanner-3")));
	assert_int_equal(m->flags & STORE_MSG_FORCE, STORE_MSG_FORCE);
	assert_int_equal(m->user.len, 0);
	bench_body(&b, m->id, &body);
	assert_true(
		sv_find(buf_sv(&body), SV("\r\nFrom: \"Printer\" <scanner@contoso.com>\r\n")) > 0);
	assert_true(sv_find(buf_sv(&body), SV("evil")) < 0);
	assert_true(sv_find(buf_sv(&body), SV("Sender")) < 0);
	assert_true(sv_find_nocase(buf_sv(&body), SV("Reply-To")) < 0);
	assert_true(sv_find(buf_sv(&body), SV("\r\nDate: ")) > 0);
	assert_true(sv_find(buf_sv(&body), SV("\r\nMessage-ID: ")) > 0);
	assert_int_equal(status_of(&b).accepted, 1);
	assert_int_equal(status_of(&b).of[QUOTA_RECIPIENTS].used, 1);
	assert_int_equal(status_of(&b).of[QUOTA_RECIPIENTS].limit, 10);
	/* Not even a null sender stays one: who would hear of trouble? */
	send_message(&b, c, "", "anna@contoso.com", "x", "250 2.0.0");
	arena_reset(&arena);
	list = bench_list(&b, &arena);
	assert_true(sv_eq(list.out_rows[1].message.sender, SV("scanner@contoso.com")));
	buf_deinit(&body);
	arena_reset(&arena);
	bench_close(&b);
}

static void who_has_another_address_is_no_device(void **state)
{
	struct client *c;
	struct bench b;
	unsigned port;

	(void)state;
	bench_make(&b);
	port = bench_begin_tcp(&b, CONF(PLAIN_LISTENER, ""));
	c = client_from(&b, OTHER, port);
	client_expect(&b, c, "554 5.7.1");
	client_end(&b, c);
	bench_close(&b);
	/* Where passwords are asked for, a device needs none, or one like all others. */
	bench_make(&b);
	write_verifier(&b);
	port = bench_begin_tcp(
		&b, CONF(", auth: optional, plaintext_auth: true, no_password_from: []", "") USERS);
	c = client_from(&b, OTHER, port);
	client_expect(&b, c, "220");
	client_ask(&b, c, "EHLO x", "250");
	client_ask(&b, c, "MAIL FROM:<a@contoso.com>", "530 5.7.0");
	c = device_hello(&b, port);
	client_ask(&b, c, "MAIL FROM:<a@contoso.com>", "250");
	bench_close(&b);
	bench_make(&b);
	write_verifier(&b);
	port = bench_begin_tcp(&b, CONF(", auth: required, plaintext_auth: true", "") USERS);
	c = client_from(&b, DEVICE, port);
	client_expect(&b, c, "220");
	client_ask(&b, c, "HELO Scanner 3", "250");
	client_ask(&b, c, "EHLO scanner", "250");
	client_ask(&b, c, "MAIL FROM:<a@contoso.com>", "530 5.7.0");
	bench_close(&b);
}

static void a_device_sends_to_its_recipients_only(void **state)
{
	static const struct {
		const char *conf, *to, *reply;
	} rows[] = {
		{ CONF(PLAIN_LISTENER, ""), "Anna@CONTOSO.com", "250" },
		{ CONF(PLAIN_LISTENER, ""),
			"anna@example.org",
			"550 5.7.1 Device scanner-3 may send to internal recipients only, not to "
			"<anna@example.org>; see its `recipients:`" },
		{ CONF(PLAIN_LISTENER, ", recipients: any"), "anna@example.org", "250" },
		{ CONF(PLAIN_LISTENER, ", recipients: [ \"*@print.example\" ]"),
			"a@print.example",
			"250" },
		{ CONF(PLAIN_LISTENER, ", recipients: [ \"*@print.example\" ]"),
			"anna@contoso.com",
			"550 5.7.1 Device scanner-3 may send to listed recipients only" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct client *c;
		struct bench b;
		unsigned port;
		char text[100];

		bench_make(&b);
		port = bench_begin_tcp(&b, rows[i].conf);
		c = device_hello(&b, port);
		client_ask(&b, c, "MAIL FROM:<a@b>", "250");
		(void)snprintf(text, sizeof(text), "RCPT TO:<%s>", rows[i].to);
		client_ask(&b, c, text, rows[i].reply);
		bench_close(&b);
	}
}

static void routes_match_on_the_device(void **state)
{
	struct arena arena = { 0 };
	struct store_list list;
	struct client *c;
	struct bench b;
	unsigned port;

	(void)state;
	bench_make(&b);
	port = bench_begin_tcp(&b,
		"listeners: [ { address: \"127.0.0.1:@P\", no_password_from: [ 127.0.0.3 ] } ]\n"
		"tenants: [ { name: contoso, id: contoso.com, domains: [ contoso.com ] } ]\n"
		"devices: [ { name: scanner-3, from: 127.0.0.2, sender: scanner@contoso.com } ]\n"
		"connectors: [ { name: lab, host: 127.0.0.1 }, { name: scans, host: 127.0.0.1 } ]\n"
		"routes:\n"
		"  - { device: scanner-3, through: [scans, lab] }\n"
		"  - { recipient: \"*@example.org\", through: lab }\n");
	c = client_from(&b, OTHER, port);
	client_expect(&b, c, "220");
	client_ask(&b, c, "EHLO x", "250");
	client_ask(&b, c, "MAIL FROM:<scanner@contoso.com>", "250");
	client_ask(&b, c, "RCPT TO:<anna@contoso.com>", "550 5.7.1");
	c = device_hello(&b, port);
	send_message(&b, c, "a@b", "anna@contoso.com", "x", "250 2.0.0");
	list = bench_list(&b, &arena);
	assert_int_equal(list.out_count, 1);
	assert_true(sv_eq(list.out_rows[0].recipient.flow.queue, SV("c:scans\nc:lab")));
	assert_true(sv_eq(list.out_rows[0].recipient.flow.principal, SV("scanner-3")));
	arena_reset(&arena);
	bench_close(&b);
}

/* ---- the quota ---- */

static void restart(struct bench *b, const char *conf, unsigned *out_port)
{
	bench_shut(b);
	(void)bench_open_store(b);
	*out_port = bench_begin_tcp(b, conf);
}

static void the_quota_of_a_day_outlives_a_restart(void **state)
{
	static const char conf[] = CONF(PLAIN_LISTENER, ", per_day: 3");
	static const char over[] = "452 4.7.1 Quota of device scanner-3 is used up: 3 recipients a "
				   "day";
	struct client *c, *d;
	struct bench b;
	unsigned port;

	(void)state;
	bench_make(&b);
	b.claims = true;
	port = bench_begin_tcp(&b, conf);
	c = device_hello(&b, port);
	send_message(&b, c, "a@b", "anna@contoso.com", "x", "250 2.0.0");
	/* What others have under way counts, until it comes to nothing. */
	client_ask(&b, c, "MAIL FROM:<a@b>", "250");
	client_ask(&b, c, "RCPT TO:<bea@contoso.com>", "250");
	client_ask(&b, c, "RCPT TO:<cleo@contoso.com>", "250");
	client_ask(&b, c, "RCPT TO:<dora@contoso.com>", over);
	d = device_hello(&b, port);
	client_ask(&b, d, "MAIL FROM:<a@b>", "250");
	client_ask(&b, d, "RCPT TO:<dora@contoso.com>", over);
	assert_int_equal(status_of(&b).quota_refused, 2);
	client_ask(&b, c, "RSET", "250");
	client_ask(&b, d, "RCPT TO:<dora@contoso.com>", "250");
	client_close(d);
	/* Only what was taken is written down. */
	client_ask(&b, c, "MAIL FROM:<a@b>", "250");
	client_ask(&b, c, "RCPT TO:<bea@contoso.com>", "250");
	client_ask(&b, c, "DATA", "354");
	client_ask(&b, c, "x\r\n.", "250 2.0.0");
	assert_int_equal(status_of(&b).of[QUOTA_RECIPIENTS].used, 2);
	restart(&b, conf, &port);
	c = device_hello(&b, port);
	assert_int_equal(status_of(&b).of[QUOTA_RECIPIENTS].used, 2);
	send_message(&b, c, "a@b", "anna@contoso.com", "x", "250 2.0.0");
	client_ask(&b, c, "MAIL FROM:<a@b>", "250");
	client_ask(&b, c, "RCPT TO:<dora@contoso.com>", over);
	/* A greater quota lets it go on, and one that is gone asks nothing. */
	restart(&b, CONF(PLAIN_LISTENER, ", per_day: 4"), &port);
	c = device_hello(&b, port);
	send_message(&b, c, "a@b", "anna@contoso.com", "x", "250 2.0.0");
	restart(&b, CONF(PLAIN_LISTENER, ""), &port);
	c = device_hello(&b, port);
	send_message(&b, c, "a@b", "anna@contoso.com", "x", "250 2.0.0");
	assert_int_equal(status_of(&b).of[QUOTA_RECIPIENTS].used, 5);
	bench_close(&b);
}

/* ---- legacy TLS ---- */

static struct inbound_listener_status found_listener;

static void note_listener(void *arg, const struct inbound_listener_status *status)
{
	(void)arg;
	if (sv_starts(status->name, SV("127.")))
		found_listener = *status;
}

/* Who may speak there; the handshake itself is tests/e2e/test_devices.py's. */
static void a_legacy_listener_is_for_legacy_devices(void **state)
{
	struct test_ca ca = { 0 };
	char conf[2048];
	struct client *c;
	struct bench b;
	unsigned port;

	(void)state;
	test_ca_open(&ca);
	(void)snprintf(conf,
		sizeof(conf),
		"listeners: [ { address: \"127.0.0.1:@P\", tls: starttls, legacy_tls: true,"
		" certificate: %s, key: \"file:%s\" } ]\n"
		"tenants: [ { name: contoso, id: contoso.com, domains: [ contoso.com ] } ]\n"
		"devices:\n"
		"  - { name: scanner-3, from: 127.0.0.2, sender: scanner@contoso.com, tls: legacy "
		"}\n"
		"  - { name: fax, from: 127.0.0.3, sender: fax@contoso.com }\n"
		"connectors: [ { name: lab, host: 127.0.0.1 } ]\n"
		"routes: [ { through: lab } ]\n",
		ca.chain,
		ca.key);
	bench_make(&b);
	port = bench_begin_tcp(&b, conf);
	c = client_from(&b, OTHER, port);
	client_expect(&b, c, "554 5.7.1 This address is for devices with `tls: legacy`");
	c = client_from(&b, "127.0.0.4", port);
	client_expect(&b, c, "554 5.7.1");
	c = device_hello(&b, port);
	send_message(&b, c, "a@b", "anna@contoso.com", "x", "250 2.0.0");
	inbound_each_listener(b.in, note_listener, NULL);
	assert_true(found_listener.legacy_tls);
	assert_int_equal(found_listener.legacy_sessions, 0);
	assert_int_equal(found_listener.legacy_messages, 0);
	assert_int_equal(found_listener.refused, 2);
	bench_close(&b);
	test_ca_close(&ca);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_sends_as_itself),
		cmocka_unit_test(who_has_another_address_is_no_device),
		cmocka_unit_test(a_device_sends_to_its_recipients_only),
		cmocka_unit_test(routes_match_on_the_device),
		cmocka_unit_test(the_quota_of_a_day_outlives_a_restart),
		cmocka_unit_test(a_legacy_listener_is_for_legacy_devices),
	};

	return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
