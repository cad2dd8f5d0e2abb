/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/server.h"

#include "smtp/server_testing.h"

/* What ends a session: time, an owner that shuts it, a client that does not read. And what begins anew: TLS. */

static struct smtp_server_options clear_options(void)
{
	struct smtp_server_options options = plain_options();

	options.auth_needs_tls = false;
	return options;
}

static void an_answer_after_the_end_is_nothing(void **state)
{
	static const enum smtp_server_event_kind kinds[] = { SMTP_SERVER_EV_GREET,
		SMTP_SERVER_EV_MAIL,
		SMTP_SERVER_EV_RCPT,
		SMTP_SERVER_EV_DATA,
		SMTP_SERVER_EV_END };
	struct smtp_server_options options = plain_options();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct owner o;

		owner_start(&o, &options);
		o.held = kinds[i];
		owner_say(&o, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\nx\r\n.\r\n");
		assert_true(o.holding);
		assert_true(smtp_server_waits_for_answer(o.s));
		/* However long the owner thinks, the client is not to blame. */
		assert_int_equal(smtp_server_deadline(o.s).us, UINT64_MAX);
		o.now = mono_add(o.now, US_PER_DAY);
		smtp_server_tick(o.s, o.now);
		owner_run(&o);
		assert_int_equal(o.closes, 0);
		smtp_server_eof(o.s);
		owner_run(&o);
		assert_int_equal(o.closes, 1);
		buf_reset(&o.said);
		smtp_server_answer(o.s, o.now, 250, "2.0.0", SV("Late"));
		owner_run(&o);
		assert_int_equal(o.said.len, 0);
		owner_end(&o);
	}
}

static void silence_is_cut_in_every_state(void **state)
{
	static const struct {
		const char *talk;
		uint64_t after_s;
		const char *reply, *events;
	} rows[] = {
#define TIMEOUT "421 4.4.2 Timeout, closing the connection\r\n"
		{ "", 300, TIMEOUT, "CLOSE timeout\n" },
		{ "EHLO c\r\n", 300, TIMEOUT, "CLOSE timeout\n" },
		{ "EHLO c\r\nNOO", 60, TIMEOUT, "CLOSE slow\n" },
		{ "NOOP\nEHLO c", 60, TIMEOUT, "CLOSE slow\n" },
		{ "EHLO c\r\nAUTH LOGIN\r\n", 300, TIMEOUT, "CLOSE timeout\n" },
		{ "EHLO c\r\nAUTH LOGIN\r\nc2V", 60, TIMEOUT, "CLOSE slow\n" },
		{ "EHLO c\r\nMAIL FROM:<>\r\n", 300, TIMEOUT, "RESET\nCLOSE timeout\n" },
		{ "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n",
			60,
			TIMEOUT,
			"RESET\nCLOSE slow\n" },
		{ "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\nx\n",
			60,
			TIMEOUT,
			"CLOSE slow\n" },
		{ "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nBDAT 3\r\nx",
			60,
			TIMEOUT,
			"RESET\nCLOSE slow\n" },
		{ "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nBDAT 1\r\nx",
			300,
			TIMEOUT,
			"RESET\nCLOSE timeout\n" },
		{ "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nBDAT 1 LAST\r\nx",
			300,
			TIMEOUT,
			"CLOSE timeout\n" },
		/* The client waits for a handshake. */
		{ "EHLO c\r\nSTARTTLS\r\n", 300, "", "CLOSE timeout\n" },
	};
	struct smtp_server_options options = clear_options();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct mono_time end;
		struct owner o;

		owner_start(&o, &options);
		owner_say(&o, rows[i].talk);
		buf_reset(&o.said);
		buf_reset(&o.log);
		end = smtp_server_deadline(o.s);
		assert_int_equal(mono_span(o.now, end), rows[i].after_s * US_PER_S);
		smtp_server_tick(o.s, (struct mono_time){ end.us - 1 });
		owner_run(&o);
		expect(&o, "before", "", "");
		smtp_server_tick(o.s, end);
		owner_run(&o);
		expect(&o, rows[i].talk, rows[i].reply, rows[i].events);
		smtp_server_tick(o.s, end);
		owner_say(&o, "NOOP\r\n");
		expect(&o, "after", "", "");
		owner_end(&o);
	}
}

/* A byte every few seconds keeps neither a command nor a body alive; a session has an end too. */
static void tricklers_are_cut(void **state)
{
	struct smtp_server_options options = plain_options();
	static const char *const starts[] = { "", "DATA\r\n", "BDAT 9000\r\n" };
	struct owner o;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(starts); i++) {
		unsigned bytes = 0;

		owner_envelope(&o, &options);
		owner_say(&o, starts[i]);
		while (o.closes == 0 && bytes < 100) {
			o.now = mono_add(o.now, 5 * US_PER_S);
			smtp_server_tick(o.s, o.now);
			owner_say(&o, "x");
			bytes++;
		}
		assert_in_range(bytes, 12, 13);
		assert_true(sv_ends_nocase(buf_sv(&o.log), SV("RESET\nCLOSE slow\n")));
		owner_end(&o);
	}
	owner_hello(&o, &options);
	while (o.closes == 0) {
		o.now = mono_add(o.now, 100 * US_PER_S);
		smtp_server_tick(o.s, o.now);
		owner_say(&o, "NOOP\r\n");
	}
	assert_int_equal(o.now.us, (1000 + 3600) * US_PER_S);
	owner_end(&o);
}

/* A large body at a fair rate is not slow. */
static void a_fair_rate_is_not_slow(void **state)
{
	struct smtp_server_options options = plain_options();
	static char chunk[8192];
	struct owner o;

	(void)state;
	options.message_bytes_max = 100 << 20;
	memset(chunk, 'x', sizeof(chunk));
	owner_envelope(&o, &options);
	owner_say(&o, "DATA\r\n");
	for (int i = 0; i < 100; i++) {
		o.now = mono_add(o.now, 5 * US_PER_S);
		smtp_server_tick(o.s, o.now);
		assert_int_equal(owner_give(&o, sv_make(chunk, sizeof(chunk))), sizeof(chunk));
	}
	owner_say(&o, "\r\n.\r\n");
	assert_int_equal(o.closes, 0);
	assert_true(sv_ends_nocase(buf_sv(&o.said), SV("250 2.0.0 Queued\r\n")));
	owner_end(&o);
}

/* ---- TLS, output, shutdown ---- */

static void commands_behind_starttls_stay_outside(void **state)
{
	struct smtp_server_options options = plain_options();
	struct sv talk = SV(
		"EHLO c\r\nMAIL FROM:<a@b>\r\nSTARTTLS\r\nMAIL FROM:<evil@b>\r\nRCPT TO:<c@d>\r\n");
	struct owner o;

	(void)state;
	owner_start(&o, &options);
	assert_int_equal(
		owner_give(&o, talk), sizeof("EHLO c\r\nMAIL FROM:<a@b>\r\nSTARTTLS\r\n") - 1);
	assert_int_equal(owner_give(&o, SV("NOOP\r\n")), 0);
	assert_true(sv_ends_nocase(buf_sv(&o.log), SV("MAIL <a@b>\nRESET\nSTARTTLS\n")));
	smtp_server_tls_started(o.s, o.now);
	smtp_server_tls_started(o.s, o.now);
	assert_int_equal(smtp_server_helo(o.s).len, 0);
	buf_reset(&o.said);
	buf_reset(&o.log);
	owner_say(&o, "MAIL FROM:<a@b>\r\n");
	expect(&o, "anew", "503 5.5.1 Say EHLO first\r\n", "");
	owner_say(&o, "EHLO d.test\r\n");
	expect(&o,
		"secured",
		"250-mx.test\r\n250-SIZE "
		"1000\r\n250-PIPELINING\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n"
		"250-AUTH SCRAM-SHA-256 PLAIN LOGIN\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 "
		"SMTPUTF8\r\n",
		"");
	assert_true(sv_eq(smtp_server_helo(o.s), SV("d.test")));
	assert_true(sv_eq(smtp_server_protocol(o.s), SV("ESMTPS")));
	owner_say(&o, "STARTTLS\r\n");
	expect(&o, "twice", "503 5.5.1 TLS is on already\r\n", "");
	owner_end(&o);
}

/* RFC 3207 4.2: what was said in the clear is forgotten, the sign-in too. */
static void starttls_forgets_who_it_was(void **state)
{
	struct smtp_server_options options = clear_options();
	struct owner o;

	(void)state;
	options.auth_required = true;
	owner_start(&o, &options);
	owner_say(&o, "EHLO c\r\nAUTH PLAIN AHUAc2VjcmV0\r\n");
	assert_true(sv_eq(smtp_server_protocol(o.s), SV("ESMTPA")));
	owner_say(&o, "STARTTLS\r\n");
	smtp_server_tls_started(o.s, o.now);
	assert_true(sv_eq(smtp_server_protocol(o.s), SV("SMTP")));
	owner_say(&o, "EHLO c\r\n");
	assert_true(sv_eq(smtp_server_protocol(o.s), SV("ESMTPS")));
	buf_reset(&o.said);
	buf_reset(&o.log);
	owner_say(&o, "MAIL FROM:<>\r\n");
	expect(&o, "anew", "530 5.7.0 Authentication required\r\n", "");
	owner_end(&o);
}

static void a_client_that_reads_nothing_is_not_read(void **state)
{
	struct smtp_server_options options = plain_options();
	static char flood[600000];
	struct owner o;
	size_t used, n;

	(void)state;
	for (size_t i = 0; i < sizeof(flood); i++)
		flood[i] = "NOOP\r\n"[i % 6];
	owner_hello(&o, &options);
	o.keeps_output = true;
	used = owner_give(&o, sv_make(flood, sizeof(flood)));
	assert_true(used < 16384);
	n = smtp_server_output(o.s).len;
	assert_in_range(n, 16385, 16384 + 64);
	assert_int_equal(owner_give(&o, SV("NOOP\r\n")), 0);
	smtp_server_sent(o.s, n - 16384);
	assert_true(owner_give(&o, SV("NOOP\r\n")) == 6);
	smtp_server_sent(o.s, smtp_server_output(o.s).len);
	assert_true(owner_give(&o, sv_make(flood, 600)) == 600);
	/* It is still cut for its silence. */
	smtp_server_tick(o.s, smtp_server_deadline(o.s));
	owner_run(&o);
	assert_int_equal(o.closes, 1);
	owner_end(&o);
}

static void a_long_answer_fits_or_is_shortened(void **state)
{
	struct smtp_server_options options = plain_options();
	static char text[70000];
	struct sv first = SV("first");
	struct owner o;

	(void)state;
	memset(text, '\n', sizeof(text) - 1);
	memcpy(text, first.ptr, first.len);
	owner_hello(&o, &options);
	o.held = SMTP_SERVER_EV_MAIL;
	owner_say(&o, "MAIL FROM:<>\r\n");
	smtp_server_answer(o.s, o.now, 550, "5.7.1", sv_from(text));
	owner_run(&o);
	expect(&o, "lines", "550 5.7.1 first\r\n", "MAIL <>\n");
	owner_say(&o, "MAIL FROM:<>\r\n");
	smtp_server_answer(o.s, o.now, 550, "5.7.1", SV("one\ntwo"));
	owner_run(&o);
	expect(&o, "two", "550-5.7.1 one\r\n550 5.7.1 two\r\n", "MAIL <>\n");
	owner_end(&o);
}

static void shut_says_421_when_nothing_is_due(void **state)
{
	static const struct {
		const char *talk, *reply, *events;
	} rows[] = {
#define GOODBYE "421 4.3.2 Going down\r\n"
		{ "EHLO c\r\n", GOODBYE, "CLOSE shut\n" },
		{ "EHLO c\r\nNOO", GOODBYE, "CLOSE shut\n" },
		{ "EHLO c\r\nMAIL FROM:<>\r\n", GOODBYE, "RESET\nCLOSE shut\n" },
		{ "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\nx",
			GOODBYE,
			"RESET\nCLOSE shut\n" },
		{ "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\nx\n",
			GOODBYE,
			"CLOSE shut\n" },
		{ "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nBDAT 9\r\nx",
			GOODBYE,
			"RESET\nCLOSE shut\n" },
		{ "EHLO c\r\nAUTH LOGIN\r\n", GOODBYE, "CLOSE shut\n" },
		{ "EHLO c\r\nSTARTTLS\r\n", "", "CLOSE shut\n" },
		{ "QUIT\r\n", "", "" },
	};
	struct smtp_server_options options = clear_options();
	struct owner o;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		owner_start(&o, &options);
		owner_say(&o, rows[i].talk);
		buf_reset(&o.said);
		buf_reset(&o.log);
		smtp_server_shut(o.s, "4.3.2", SV("Going down"));
		smtp_server_shut(o.s, "4.3.2", SV("Going down again"));
		owner_run(&o);
		expect(&o, rows[i].talk, rows[i].reply, rows[i].events);
		owner_end(&o);
	}
	/* Before the greeting was asked for. */
	owner_start(&o, &options);
	smtp_server_shut(o.s, "4.3.2", SV("Going down"));
	owner_run(&o);
	expect(&o, "greeting", GOODBYE, "CLOSE shut\n");
	owner_end(&o);
}

/* A message under commit gets its 250 first: without it, the client would send it twice. */
static void shut_waits_for_an_answer(void **state)
{
	static const struct {
		enum smtp_server_event_kind kind;
		uint16_t code;
		const char *reply, *events;
	} rows[] = {
		{ SMTP_SERVER_EV_MAIL, 250, "250 2.0.0 Yes\r\n" GOODBYE, "RESET\nCLOSE shut\n" },
		{ SMTP_SERVER_EV_MAIL, 550, "550 2.0.0 Yes\r\n" GOODBYE, "CLOSE shut\n" },
		{ SMTP_SERVER_EV_RCPT, 250, "250 2.0.0 Yes\r\n" GOODBYE, "RESET\nCLOSE shut\n" },
		{ SMTP_SERVER_EV_DATA, 354, "354 2.0.0 Yes\r\n" GOODBYE, "RESET\nCLOSE shut\n" },
		{ SMTP_SERVER_EV_END, 250, "250 2.0.0 Yes\r\n" GOODBYE, "CLOSE shut\n" },
		{ SMTP_SERVER_EV_END, 452, "452 2.0.0 Yes\r\n" GOODBYE, "CLOSE shut\n" },
	};
	struct smtp_server_options options = plain_options();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct owner o;

		owner_start(&o, &options);
		o.held = rows[i].kind;
		owner_say(&o,
			"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\nx\r\n.\r\nNOOP\r\n");
		buf_reset(&o.said);
		buf_reset(&o.log);
		smtp_server_shut(o.s, "4.3.2", SV("Going down"));
		owner_run(&o);
		expect(&o, "waits", "", "");
		o.open = rows[i].kind == SMTP_SERVER_EV_MAIL ? rows[i].code == 250
							     : rows[i].kind != SMTP_SERVER_EV_END;
		smtp_server_answer(o.s, o.now, rows[i].code, "2.0.0", SV("Yes"));
		owner_run(&o);
		expect(&o, "shut", rows[i].reply, rows[i].events);
		owner_end(&o);
	}
}

static void the_owner_ends_it_with_421(void **state)
{
	static const struct {
		enum smtp_server_event_kind kind;
		const char *talk, *events;
	} rows[] = {
		{ SMTP_SERVER_EV_GREET, "", "GREET\nCLOSE refused\n" },
		{ SMTP_SERVER_EV_MAIL,
			"HELO c\r\nMAIL FROM:<>\r\n",
			"GREET\nMAIL <>\nCLOSE refused\n" },
		{ SMTP_SERVER_EV_RCPT,
			"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n",
			"GREET\nMAIL <>\nRCPT <a@b>\nRESET\nCLOSE refused\n" },
		{ SMTP_SERVER_EV_DATA,
			"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n",
			"GREET\nMAIL <>\nRCPT <a@b>\nDATA\nRESET\nCLOSE refused\n" },
		{ SMTP_SERVER_EV_DATA,
			"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nBDAT 5 LAST\r\nx",
			"GREET\nMAIL <>\nRCPT <a@b>\nDATA\nRESET\nCLOSE refused\n" },
		{ SMTP_SERVER_EV_END,
			"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n.\r\nNOOP\r\n",
			"GREET\nMAIL <>\nRCPT <a@b>\nDATA\nEND \nCLOSE refused\n" },
	};
	struct smtp_server_options options = plain_options();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct owner o;

		owner_start(&o, &options);
		o.codes[rows[i].kind] = 421;
		owner_say(&o, rows[i].talk);
		assert_true(sv_ends_nocase(buf_sv(&o.said), SV("421 4.3.0 As told\r\n")));
		expect_reply(&o, rows[i].talk, "", rows[i].events);
		owner_end(&o);
	}
}

static void the_protocol_is_named(void **state)
{
	struct smtp_server_options options = clear_options();
	struct owner o;

	(void)state;
	options.tls_on = true;
	owner_start(&o, &options);
	owner_say(&o, "HELO c\r\n");
	assert_true(sv_eq(smtp_server_protocol(o.s), SV("SMTP")));
	owner_say(&o, "EHLO c\r\n");
	assert_true(sv_eq(smtp_server_protocol(o.s), SV("ESMTPS")));
	owner_say(&o, "AUTH PLAIN AHUAc2VjcmV0\r\n");
	assert_true(sv_eq(smtp_server_protocol(o.s), SV("ESMTPSA")));
	owner_say(&o, "MAIL FROM:<> SMTPUTF8\r\n");
	assert_true(sv_eq(smtp_server_protocol(o.s), SV("UTF8SMTPSA")));
	owner_say(&o, "RSET\r\n");
	assert_true(sv_eq(smtp_server_protocol(o.s), SV("ESMTPSA")));
	owner_end(&o);
	smtp_server_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_after_the_end_is_nothing),
		cmocka_unit_test(silence_is_cut_in_every_state),
		cmocka_unit_test(tricklers_are_cut),
		cmocka_unit_test(a_fair_rate_is_not_slow),
		cmocka_unit_test(commands_behind_starttls_stay_outside),
		cmocka_unit_test(starttls_forgets_who_it_was),
		cmocka_unit_test(a_client_that_reads_nothing_is_not_read),
		cmocka_unit_test(a_long_answer_fits_or_is_shortened),
		cmocka_unit_test(shut_says_421_when_nothing_is_due),
		cmocka_unit_test(shut_waits_for_an_answer),
		cmocka_unit_test(the_owner_ends_it_with_421),
		cmocka_unit_test(the_protocol_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
