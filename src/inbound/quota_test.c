/* SPDX-License-Identifier: Apache-2.0 */
#include "inbound/drop_priv.h"
#include "inbound/test_bench.h"
#include "mail/drop_format.h"

#include <pwd.h>

/* What users and accounts of this machine may send in a day; devices are device_test.c's. */

#define LAB "connectors: [ { name: lab, host: 127.0.0.1 } ]\nroutes: [ { through: lab } ]\n"
#define SOCKET LAB "listeners: [ { address: \"unix:@F/in\", auth: optional } ]\n"
#define ERP(quota)                                                                               \
	SOCKET "users: [ { name: erp, password: \"file:@F/erp\", senders: [ \"*\" ]" quota " } " \
	       "]\n"
#define LOCAL(quota) LAB "users: [ { name: \"local:*\"" quota " } ]\n"

static struct client *signed_in(struct bench *b)
{
	struct client *c = client_hello(b, "in");

	sign_in(b, c, "sesame", "235");
	return c;
}

static uint64_t used(struct bench *b, enum quota_kind kind)
{
	return bench_quota(b, false).of[kind].used;
}

static void restart(struct bench *b, const char *conf)
{
	bench_shut(b);
	(void)bench_open_store(b);
	bench_begin(b, conf);
}

static void a_user_has_its_messages_a_day_over_restarts_and_reloads(void **state)
{
	static const char two[] = ERP(", messages_per_day: 2");
	static const char over[] = "452 4.7.1 Quota of user erp is used up: 2 messages a day; see "
				   "its `messages_per_day:`";
	struct client *c;
	struct bench b;

	(void)state;
	bench_make(&b);
	write_verifier(&b);
	bench_begin(&b, two);
	c = signed_in(&b);
	/* What came to nothing was never counted. */
	client_ask(&b, c, "MAIL FROM:<a@b>", "250");
	client_ask(&b, c, "RSET", "250");
	send_message(&b, c, "a@b", "anna@contoso.com", "x", "250 2.0.0");
	restart(&b, two);
	c = signed_in(&b);
	send_message(&b, c, "a@b", "anna@contoso.com", "x", "250 2.0.0");
	client_ask(&b, c, "MAIL FROM:<a@b>", over);
	assert_int_equal(used(&b, QUOTA_MESSAGES), 2);
	assert_int_equal(bench_quota(&b, false).quota_refused, 1);
	/* The limit is that of now, in sessions that are open as well. */
	bench_reload(&b, ERP(", messages_per_day: 3"));
	send_message(&b, c, "a@b", "anna@contoso.com", "x", "250 2.0.0");
	client_ask(&b, c, "MAIL FROM:<a@b>", "452 4.7.1");
	/* While there is none it is counted on. */
	bench_reload(&b, ERP(""));
	send_message(&b, c, "a@b", "anna@contoso.com", "x", "250 2.0.0");
	bench_reload(&b, ERP(", messages_per_day: 4"));
	client_ask(&b, c, "MAIL FROM:<a@b>", "452 4.7.1");
	restart(&b, ERP(", messages_per_day: 5"));
	c = signed_in(&b);
	assert_int_equal(used(&b, QUOTA_MESSAGES), 4);
	send_message(&b, c, "a@b", "anna@contoso.com", "x", "250 2.0.0");
	client_ask(&b, c, "MAIL FROM:<a@b>", "452 4.7.1");
	bench_close(&b);
}

static void a_user_has_its_recipients_a_day(void **state)
{
	struct client *c;
	struct bench b;

	(void)state;
	bench_make(&b);
	write_verifier(&b);
	bench_begin(&b, ERP(", per_day: 2"));
	c = signed_in(&b);
	client_ask(&b, c, "MAIL FROM:<a@b>", "250");
	client_ask(&b, c, "RCPT TO:<anna@contoso.com>", "250");
	client_ask(&b, c, "RCPT TO:<bea@contoso.com>", "250");
	client_ask(&b,
		c,
		"RCPT TO:<cleo@contoso.com>",
		"452 4.7.1 Quota of user erp is used up: 2 recipients a day; see its `per_day:`");
	/* Those that were taken go. */
	client_ask(&b, c, "DATA", "354");
	client_ask(&b, c, "x\r\n.", "250 2.0.0");
	assert_int_equal(used(&b, QUOTA_RECIPIENTS), 2);
	bench_close(&b);
}

static void a_user_has_its_bytes_a_day(void **state)
{
	static const char ten[] = ERP(", bytes_per_day: 10KB");
	static const char over[] = "452 4.7.1 Quota of user erp is used up: 10 KB a day; see its "
				   "`bytes_per_day:`";
	char text[8001] = { 0 };
	struct client *c;
	struct bench b;

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = "0123456789abcdef0123456789abcd\r\n"[i % 32];
	bench_make(&b);
	write_verifier(&b);
	bench_begin(&b, ten);
	c = signed_in(&b);
	/* What could never come is not asked to come again. */
	client_ask(&b,
		c,
		"MAIL FROM:<a@b> SIZE=20000",
		"552 5.3.4 The message exceeds what user erp may send at all: 10 KB a day");
	send_message(&b, c, "a@b", "anna@contoso.com", text, "250 2.0.0");
	assert_int_equal(used(&b, QUOTA_BYTES), 8 * 1024);
	client_ask(&b, c, "MAIL FROM:<a@b> SIZE=8000", over);
	/* Not announced, and found at its end. */
	send_message(&b, c, "a@b", "anna@contoso.com", text, over);
	assert_int_equal(bench_waiting(&b), 1);
	restart(&b, ten);
	c = signed_in(&b);
	send_message(&b, c, "a@b", "anna@contoso.com", text, over);
	send_message(&b, c, "a@b", "anna@contoso.com", "small", "250 2.0.0");
	assert_int_equal(used(&b, QUOTA_BYTES), 9 * 1024);
	bench_close(&b);
}

/* ---- accounts of this machine ---- */

static void an_account_pays_on_the_socket_under_its_own_name(void **state)
{
	const struct passwd *me = getpwuid(getuid());
	char over[200];
	struct client *c;
	struct bench b;

	(void)state;
	if (!me)
		skip();
	bench_open(&b, LOCAL(", messages_per_day: 1"));
	c = client_hello(&b, "submit");
	send_message(&b, c, "a@b", "anna@contoso.com", "x", "250 2.0.0");
	c = client_hello(&b, "submit");
	(void)snprintf(over,
		sizeof(over),
		"452 4.7.1 Quota of user local:%s is used up: 1 messages a day",
		me->pw_name);
	client_ask(&b, c, "MAIL FROM:<a@b>", over);
	bench_close(&b);
}

static void leave(struct bench *b, const char *name, size_t recipients, size_t size)
{
	struct sv to[8];
	struct drop_envelope envelope = {
		.sender = SV("root@contoso.com"), .recipients = to, .recipient_count = recipients
	};
	char hidden[256], path[256], digits[DROP_SIZE_DIGITS + 1], address[8][32];
	struct buf file = BUF_INIT(BENCH_BODY_MAX);
	size_t at;

	for (size_t i = 0; i < recipients; i++) {
		(void)snprintf(address[i], sizeof(address[i]), "r%zu@example.org", i);
		to[i] = sv_from(address[i]);
	}
	must(drop_envelope_render(&envelope, &file, &at) == 0);
	drop_size_render(size, digits);
	memcpy(file.ptr + file.head + at, digits, DROP_SIZE_DIGITS);
	for (size_t i = 0; i < size; i++)
		must(buf_append_char(&file, "0123456789abcd\r\n"[i % 16]) == 0);
	must(buf_append(&file, DROP_END) == 0);
	(void)snprintf(hidden, sizeof(hidden), "%s/maildrop/tmp.1", b->folder);
	(void)snprintf(path, sizeof(path), "%s/maildrop/%s", b->folder, name);
	must(io_file_write_durably(hidden, buf_sv(&file), 0600, NULL) == 0);
	must(rename(hidden, path) == 0);
	buf_deinit(&file);
}

static bool is_there(struct bench *b, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/maildrop/%s", b->folder, name);
	return access(path, F_OK) == 0;
}

/* Until nothing is under way: the pause between two scans is longer than the test. */
static void wait_for_trouble(struct bench *b)
{
	while (b->in->accepts || !b->in->drop->troubles)
		bench_turn(b);
}

/* Whoever left it was told that it is taken: what may come later waits, what never may is for a person. */
static void the_maildrop_waits_for_the_quota(void **state)
{
	struct bench b;

	(void)state;
	bench_make(&b);
	leave(&b, "1.1.1.msg", 2, 160);
	leave(&b, "2.1.1.msg", 2, 160);
	leave(&b, "3.1.1.msg", 1, 160);
	leave(&b, "4.1.1.msg", 4, 160);
	bench_begin(&b, LOCAL(", per_day: 3"));
	bench_wait_for_messages(&b, 2);
	wait_for_trouble(&b);
	/* The third has room where the second has none; the fourth asks for more than there ever is. */
	assert_true(is_there(&b, "2.1.1.msg"));
	assert_true(is_there(&b, "bad.4.1.1.msg"));
	assert_int_equal(used(&b, QUOTA_RECIPIENTS), 3);
	restart(&b, LOCAL(", per_day: 3"));
	wait_for_trouble(&b);
	assert_true(is_there(&b, "2.1.1.msg"));
	assert_int_equal(bench_waiting(&b), 2);
	bench_reload(&b, LOCAL(", per_day: 5"));
	bench_wait_for_messages(&b, 3);
	while (is_there(&b, "2.1.1.msg"))
		bench_turn(&b);
	assert_int_equal(used(&b, QUOTA_RECIPIENTS), 5);
	bench_close(&b);
}

static void the_maildrop_pays_by_bytes_and_messages(void **state)
{
	struct bench b;

	(void)state;
	bench_make(&b);
	leave(&b, "1.1.1.msg", 1, 8000);
	leave(&b, "2.1.1.msg", 1, 8000);
	leave(&b, "3.1.1.msg", 1, 20000);
	leave(&b, "4.1.1.msg", 1, 160);
	leave(&b, "5.1.1.msg", 1, 160);
	bench_begin(&b, LOCAL(", bytes_per_day: 10KB, messages_per_day: 2"));
	bench_wait_for_messages(&b, 2);
	wait_for_trouble(&b);
	assert_true(is_there(&b, "2.1.1.msg"));
	assert_true(is_there(&b, "bad.3.1.1.msg"));
	assert_true(is_there(&b, "5.1.1.msg"));
	assert_int_equal(used(&b, QUOTA_BYTES), 9 * 1024);
	assert_int_equal(used(&b, QUOTA_MESSAGES), 2);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_user_has_its_messages_a_day_over_restarts_and_reloads),
		cmocka_unit_test(a_user_has_its_recipients_a_day),
		cmocka_unit_test(a_user_has_its_bytes_a_day),
		cmocka_unit_test(an_account_pays_on_the_socket_under_its_own_name),
		cmocka_unit_test(the_maildrop_waits_for_the_quota),
		cmocka_unit_test(the_maildrop_pays_by_bytes_and_messages),
	};

	return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
