/* SPDX-License-Identifier: Apache-2.0 */
#include "inbound/test_bench.h"
#include "store/store_health.h"

/* Sessions, from the greeting to the commit. drop_test.c has the maildrop. */

#define LISTEN "listeners: [ { address: \"unix:@F/smtp\" } ]\n"
#define LAB "connectors: [ { name: lab, host: 127.0.0.1 } ]\nroutes: [ { through: lab } ]\n"

static const char message[] = "From: ERP <erp@contoso.com>\r\n"
			      "To: anna@example.org\r\n"
			      "Bcc: secret@example.org\r\n"
			      "Subject: Invoice\r\n"
			      "\r\n"
			      "Good day.\r\n"
			      "..a line with a dot";

/* ---- from MAIL to the queue ---- */

static void a_message_is_committed_before_it_is_taken(void **state)
{
	struct arena arena = { 0 };
	struct buf body = BUF_INIT(BENCH_BODY_MAX);
	const struct store_message *m;
	struct store_list list;
	struct client *c;
	struct bench b;
	struct sv text;

	(void)state;
	bench_open(&b, LISTEN LAB);
	c = client_hello(&b, "smtp");
	send_message(&b, c, "erp@contoso.com", "anna@example.org", message, "250 2.0.0");
	assert_true(store_health(b.store).commits > b.commits_at_claim);
	assert_int_equal(b.claimed, 1);
	assert_string_equal(b.queued, "c:lab=1 ");
	list = bench_list(&b, &arena);
	assert_int_equal(list.out_count, 1);
	m = &list.out_rows[0].message;
	assert_true(sv_eq(m->sender, SV("erp@contoso.com")));
	assert_true(sv_eq(m->subject, SV("Invoice")));
	assert_true(sv_starts(m->user, SV("local:")));
	assert_true(sv_ends_nocase(m->listener, SV("/smtp")));
	assert_true(sv_eq(list.out_rows[0].recipient.flow.queue, SV("c:lab")));
	bench_body(&b, m->id, &body);
	text = buf_sv(&body);
	assert_int_equal(body.len, m->size);
	assert_true(sv_starts(text, SV("Received: from erp.contoso.com")));
	assert_true(sv_find(text, SV("by relay.example.com")) > 0);
	assert_true(sv_find(text, SV("for <anna@example.org>")) > 0);
	assert_true(sv_find_nocase(text, SV("Bcc:")) < 0);
	assert_true(sv_find(text, SV("secret@")) < 0);
	assert_true(sv_find_nocase(text, SV("\r\nMessage-ID:")) > 0);
	assert_true(sv_find_nocase(text, SV("\r\nDate:")) > 0);
	/* The dot that was doubled on the way is single again. */
	assert_true(sv_ends_nocase(text, SV("Good day.\r\n.a line with a dot\r\n")));
	assert_int_equal(sv_find(text, SV("\r\n\r\n")) + 4, m->header_size);
	client_ask(&b, c, "QUIT", "221");
	buf_deinit(&body);
	arena_reset(&arena);
	bench_close(&b);
}

static void a_claimed_message_is_handed_over_with_its_body(void **state)
{
	struct client *c;
	struct bench b;

	(void)state;
	bench_open(&b, LISTEN LAB);
	b.claims = true;
	c = client_hello(&b, "smtp");
	for (unsigned i = 1; i < 4; i++) {
		send_message(&b, c, "erp@contoso.com", "anna@example.org", message, "250 2.0.0");
		assert_int_equal(b.committed, i);
		assert_true(b.body_taken > sizeof(message) / 2);
	}
	assert_string_equal(b.queued, "");
	assert_int_equal(b.withdrawn, 0);
	bench_close(&b);
}

static bool nothing_is_left(struct bench *b)
{
	return b->in->session_count == 0 && b->in->accepts == 0;
}

/* It has the dot, so it may have been taken: the message must be there, whoever hears of it. */
static void a_client_that_goes_before_its_answer_has_sent(void **state)
{
	struct client *c;
	struct bench b;

	(void)state;
	bench_open(&b, LISTEN LAB);
	for (unsigned i = 1; i < 4; i++) {
		c = client_hello(&b, "smtp");
		client_ask(&b, c, "MAIL FROM:<erp@contoso.com>", "250");
		client_ask(&b, c, "RCPT TO:<anna@example.org>", "250");
		client_ask(&b, c, "DATA", "354");
		client_say(&b, c, "Subject: gone\r\n\r\nx\r\n.\r\n");
		while (b.claimed < i) {
			io_timer_start(&b.poll, io_clock_mono());
			io_loop_run(b.loop);
		}
		client_close(c);
		bench_until(&b, nothing_is_left);
		assert_int_equal(bench_waiting(&b), i);
	}
	bench_close(&b);
}

static void fill(struct buf *out, size_t len)
{
	for (unsigned i = 0; out->len < len; i++)
		must(buf_printf(out, "%u lines of a large attachment\r\n", i) == 0);
}

static void a_large_message_goes_in_pieces(void **state)
{
	struct buf body = BUF_INIT(BENCH_BODY_MAX), stored = { 0 };
	struct arena arena = { 0 };
	struct store_list list;
	struct client *c;
	struct bench b;
	struct sv text;

	(void)state;
	must(buf_append(&body, SV("Subject: large\r\n\r\n")) == 0);
	fill(&body, 9 << 20);
	/* Memory for the whole of it is not there. */
	bench_open(&b, "limits: { inbound_memory: 1MB }\n" LISTEN LAB);
	c = client_hello(&b, "smtp");
	client_ask(&b, c, "MAIL FROM:<erp@contoso.com> SIZE=9500000", "250");
	client_ask(&b, c, "RCPT TO:<anna@example.org>", "250");
	client_ask(&b, c, "DATA", "354");
	client_send(&b, c, buf_sv(&body));
	client_ask(&b, c, ".", "250 2.0.0");
	list = bench_list(&b, &arena);
	assert_int_equal(list.out_count, 1);
	bench_body(&b, list.out_rows[0].message.id, &stored);
	text = buf_sv(&stored);
	assert_int_equal(text.len, list.out_rows[0].message.size);
	text = sv_skip(text, list.out_rows[0].message.header_size);
	assert_true(sv_eq(text, sv_skip(buf_sv(&body), strlen("Subject: large\r\n\r\n"))));
	buf_deinit(&body);
	buf_deinit(&stored);
	arena_reset(&arena);
	bench_close(&b);
}

static void a_client_that_is_cut_in_the_middle_leaves_nothing(void **state)
{
	struct buf body = BUF_INIT(BENCH_BODY_MAX);
	struct store_recovery found;
	struct client *c;
	struct bench b;

	(void)state;
	must(buf_append(&body, SV("Subject: large\r\n\r\n")) == 0);
	fill(&body, 3 << 20);
	bench_open(&b, LISTEN LAB);
	c = client_hello(&b, "smtp");
	client_ask(&b, c, "MAIL FROM:<erp@contoso.com>", "250");
	client_ask(&b, c, "RCPT TO:<anna@example.org>", "250");
	client_ask(&b, c, "DATA", "354");
	client_send(&b, c, buf_sv(&body));
	client_close(c);
	bench_until(&b, nothing_is_left);
	assert_int_equal(b.claimed, 0);
	assert_int_equal(limit_accounts_used(b.in->accounts, LIMIT_RESOURCE_BYTES), 0);
	assert_int_equal(bench_waiting(&b), 0);
	/* Not even its pieces are found in the next life. */
	store_close(b.store);
	found = bench_open_store(&b);
	b.in->store = b.store;
	assert_int_equal(found.orphan_chunks, 0);
	assert_int_equal(found.queued_count, 0);
	buf_deinit(&body);
	bench_close(&b);
}

/* ---- addresses ---- */

static void names_become_addresses(void **state)
{
	static const struct {
		const char *sender, *recipient; /* as said */
		const char *stored_sender, *stored_recipient;
	} rows[] = {
		{ "root", "root", "root@contoso.com", "it@contoso.com" },
		{ "root", "ROOT@relay.example.com", "root@contoso.com", "it@contoso.com" },
		{ "cron@srv", "root@contoso.com", "cron@srv", "it@contoso.com" },
		{ "a@b.example", "backup", "a@b.example", "backup@contoso.com" },
		{ "a@b.example", "root@b.example", "a@b.example", "root@b.example" },
		{ "", "root", "", "it@contoso.com" },
		{ "\"a@b.c\"", "\"root@x\"", "\"a@b.c\"@contoso.com", "\"root@x\"@contoso.com" },
	};
	struct arena arena = { 0 };
	struct store_list list;
	struct client *c;
	struct bench b;

	(void)state;
	bench_open(&b, "qualify: contoso.com\naliases: { root: it@contoso.com }\n" LISTEN LAB);
	c = client_hello(&b, "submit");
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		send_message(&b, c, rows[i].sender, rows[i].recipient, message, "250 2.0.0");
	list = bench_list(&b, &arena);
	assert_int_equal(list.out_count, COUNT_OF(rows));
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct store_list_row *r = &list.out_rows[i];

		if (!sv_eq(r->message.sender, sv_from(rows[i].stored_sender)) ||
			!sv_eq(r->recipient.address, sv_from(rows[i].stored_recipient)))
			fail_msg("row %zu: %.*s to %.*s",
				i,
				SV_ARG(r->message.sender),
				SV_ARG(r->recipient.address));
	}
	arena_reset(&arena);
	bench_close(&b);
}

static void without_a_domain_to_give_bare_names_are_refused(void **state)
{
	struct client *c;
	struct bench b;

	(void)state;
	bench_open(&b, LISTEN LAB);
	c = client_hello(&b, "smtp");
	client_ask(&b, c, "MAIL FROM:<root>", "553 5.1.7");
	client_ask(&b, c, "MAIL FROM:<a@b.example>", "250");
	client_ask(&b, c, "RCPT TO:<root>", "553 5.1.3");
	client_ask(&b, c, "RCPT TO:<\"root@b.example\">", "553 5.1.3");
	client_ask(&b, c, "RCPT TO:<anna@example.org>", "250");
	bench_close(&b);
}

static void what_no_route_takes_is_refused(void **state)
{
	struct client *c;
	struct bench b;

	(void)state;
	bench_open(&b,
		LISTEN "connectors: [ { name: lab, host: 127.0.0.1 } ]\n"
		       "routes: [ { sender: \"*@contoso.com\", recipient: \"*@example.org\","
		       " through: lab } ]\n");
	c = client_hello(&b, "smtp");
	client_ask(&b, c, "MAIL FROM:<a@b.example>", "550 5.7.1");
	client_ask(&b, c, "MAIL FROM:<erp@contoso.com>", "250");
	client_ask(&b, c, "RCPT TO:<anna@elsewhere.example>", "550 5.7.1");
	client_ask(&b, c, "RCPT TO:<anna@example.org>", "250");
	bench_close(&b);
}

static void a_loop_ends_here(void **state)
{
	struct buf text = BUF_INIT(BENCH_BODY_MAX);
	struct client *c;
	struct bench b;

	(void)state;
	bench_open(&b, LISTEN LAB);
	c = client_hello(&b, "smtp");
	for (unsigned i = 0; i < LIMIT_RECEIVED_HOPS; i++)
		must(buf_printf(&text,
			     "Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n") == 0);
	must(buf_printf(&text, "Subject: round\r\n\r\nand round%c", 0) == 0);
	send_message(&b, c, "erp@contoso.com", "anna@example.org", buf_sv(&text).ptr, "554 5.4.6");
	assert_int_equal(bench_waiting(&b), 0);
	/* The session goes on. */
	send_message(&b, c, "erp@contoso.com", "anna@example.org", message, "250 2.0.0");
	buf_deinit(&text);
	bench_close(&b);
}

/* ---- who may send as whom ---- */

#define SIGNED                                                                                 \
	"listeners: [ { address: \"unix:@F/smtp\", auth: required, plaintext_auth: true } ]\n" \
	"users: [ { name: erp, password: \"file:@F/erp\","                                     \
	" senders: [ erp@contoso.com, \"*@print.example\" ] } ]\n" LAB

static void a_user_sends_as_its_senders_only(void **state)
{
	struct arena arena = { 0 };
	struct client *c;
	struct bench b;

	(void)state;
	bench_make(&b);
	write_verifier(&b);
	bench_begin(&b, SIGNED);
	c = client_hello(&b, "smtp");
	client_ask(&b, c, "MAIL FROM:<erp@contoso.com>", "530 5.7.0");
	sign_in(&b, c, "sesame", "235 2.7.0");
	client_ask(&b, c, "MAIL FROM:<boss@contoso.com>", "553 5.7.1");
	/* Notices have no sender, and nobody's name is taken by that. */
	client_ask(&b, c, "MAIL FROM:<>", "250");
	client_ask(&b, c, "RSET", "250");
	client_ask(&b, c, "MAIL FROM:<p1@print.example>", "250");
	client_ask(&b, c, "RSET", "250");
	send_message(&b, c, "ERP@contoso.com", "anna@example.org", message, "250 2.0.0");
	assert_true(sv_eq(bench_list(&b, &arena).out_rows[0].message.user, SV("erp")));
	arena_reset(&arena);
	bench_close(&b);
}

static void a_wrong_password_is_refused_and_a_client_may_go_meanwhile(void **state)
{
	struct client *c;
	struct bench b;

	(void)state;
	bench_make(&b);
	write_verifier(&b);
	bench_begin(&b, SIGNED);
	c = client_hello(&b, "smtp");
	sign_in(&b, c, "mellon", "535 5.7.8");
	client_ask(&b, c, "MAIL FROM:<erp@contoso.com>", "530 5.7.0");
	/* Gone while its password is looked at, or while the answer is held back. */
	client_say(&b, c, "AUTH PLAIN AGVycABzZXNhbWU=\r\n");
	client_close(c);
	bench_until(&b, nothing_is_left);
	bench_close(&b);
}

/* ---- too much ---- */

static void a_full_disk_takes_no_mail(void **state)
{
	struct client *c;
	struct bench b;

	(void)state;
	bench_open(&b, "min_free: 1000000GB\n" LISTEN LAB);
	c = client_hello(&b, "smtp");
	client_ask(&b, c, "MAIL FROM:<erp@contoso.com>", "452 4.3.1");
	client_ask(&b, c, "NOOP", "250");
	client_close(c);
	bench_until(&b, nothing_is_left);
	/* There is room again, for who comes now. */
	bench_reload(&b, LISTEN LAB);
	c = client_hello(&b, "smtp");
	client_ask(&b, c, "MAIL FROM:<erp@contoso.com>", "250");
	bench_close(&b);
}

static uint64_t held(struct bench *b, enum limit_resource resource)
{
	return limit_accounts_used(b->in->accounts, resource);
}

/* One uid gets three quarters of it and no more, whatever it asks for: the rest is for others. */
static void the_memory_of_all_sessions_is_one_budget(void **state)
{
	struct client *c[64] = { NULL };
	unsigned open = 0;
	struct bench b;

	(void)state;
	bench_open(&b, "limits: { inbound_memory: 1MB }\n" LISTEN LAB);
	while (held(&b, LIMIT_RESOURCE_BYTES) + SESSION_COST < 3 << 18) {
		c[open] = client_hello(&b, "smtp");
		client_ask(&b, c[open++], "MAIL FROM:<erp@contoso.com>", "250");
	}
	assert_true(held(&b, LIMIT_RESOURCE_BYTES) < (3 << 18) + SESSION_COST);
	c[open] = client_open(&b, "smtp");
	client_expect(&b, c[open], "421 4.7.0 Too many connections from your user id");
	client_end(&b, c[open]);
	/* What one gives back another takes. */
	client_ask(&b, c[0], "RSET", "250");
	c[open] = client_hello(&b, "smtp");
	client_ask(&b, c[open], "MAIL FROM:<erp@contoso.com>", "452 4.3.1");
	for (unsigned i = 1; i < 4; i++)
		client_ask(&b, c[i], "RSET", "250");
	client_ask(&b, c[open], "MAIL FROM:<erp@contoso.com>", "250");
	bench_close(&b);
}

/* Recipients, header and body are charged as they come, and what ends gives all of it back. */
static void what_a_message_brings_is_charged_as_it_grows(void **state)
{
	uint64_t idle, begun, named;
	struct client *c;
	struct bench b;

	(void)state;
	bench_open(&b, LISTEN LAB);
	c = client_hello(&b, "smtp");
	idle = held(&b, LIMIT_RESOURCE_BYTES);
	assert_int_equal(idle, SESSION_COST);
	client_ask(&b, c, "MAIL FROM:<erp@contoso.com> SIZE=150000000", "250");
	begun = held(&b, LIMIT_RESOURCE_BYTES);
	/* A promise is no memory, and no room on the disk. */
	assert_int_equal(begun, idle + MESSAGE_COST);
	assert_int_equal(held(&b, LIMIT_RESOURCE_ROOM), 0);
	client_ask(&b, c, "RCPT TO:<anna@example.org>", "250");
	named = held(&b, LIMIT_RESOURCE_BYTES);
	assert_true(named > begun + sizeof(struct store_recipient));
	client_ask(&b, c, "RCPT TO:<anna@example.org>", "250 2.1.5 Ok, it is among");
	assert_true(held(&b, LIMIT_RESOURCE_BYTES) >= named);
	client_ask(&b, c, "DATA", "354");
	client_ask(&b, c, "Subject: x\r\n\r\ny\r\n.", "250 2.0.0");
	assert_int_equal(held(&b, LIMIT_RESOURCE_BYTES), idle);
	client_close(c);
	bench_until(&b, nothing_is_left);
	assert_int_equal(held(&b, LIMIT_RESOURCE_BYTES), 0);
	assert_int_equal(held(&b, LIMIT_RESOURCE_SESSIONS), 0);
	bench_close(&b);
}

/* One uid keeps a part of the sessions free for others, on every socket together. */
static void a_uid_gets_its_share_of_the_sessions(void **state)
{
	struct client *c[64];
	struct bench b;

	(void)state;
	bench_open(&b, "limits: { inbound_connections: 20 }\n" LISTEN LAB);
	for (unsigned i = 0; i < 15; i++)
		c[i] = client_hello(&b, i % 2 ? "smtp" : "submit");
	for (unsigned i = 0; i < 3; i++) {
		c[20] = client_open(&b, i % 2 ? "smtp" : "submit");
		client_expect(&b, c[20], "421 4.7.0 Too many connections from your user id");
		client_end(&b, c[20]);
	}
	client_ask(&b, c[0], "QUIT", "221");
	client_end(&b, c[0]);
	(void)client_hello(&b, "submit");
	/* More of them by a reload, and fewer: who is there stays. */
	bench_reload(&b, "limits: { inbound_connections: 40 }\n" LISTEN LAB);
	c[0] = client_hello(&b, "submit");
	bench_reload(&b, "limits: { inbound_connections: 8 }\n" LISTEN LAB);
	c[20] = client_open(&b, "submit");
	client_expect(&b, c[20], "421 4.3.2");
	client_end(&b, c[20]);
	client_ask(&b, c[0], "NOOP", "250");
	bench_close(&b);
}

static void a_listener_has_its_own_number_of_sessions(void **state)
{
	struct client *one, *two;
	struct bench b;

	(void)state;
	bench_open(&b, "listeners: [ { address: \"unix:@F/smtp\", connections: 1 } ]\n" LAB);
	one = client_hello(&b, "smtp");
	two = client_open(&b, "smtp");
	client_expect(&b, two, "421 4.3.2");
	client_end(&b, two);
	client_ask(&b, one, "QUIT", "221");
	client_end(&b, one);
	(void)client_hello(&b, "smtp");
	bench_close(&b);
}

/* ---- reload and drain ---- */

static void sessions_go_on_under_their_old_rules(void **state)
{
	struct client *old, *fresh;
	struct err err = { 0 };
	struct conf *bad;
	struct bench b;

	(void)state;
	bench_open(&b, LISTEN LAB);
	old = client_hello(&b, "smtp");
	bench_reload(&b,
		"listeners: [ { address: \"unix:@F/smtp\" }, { address: \"unix:@F/more\" } ]\n"
		"connectors: [ { name: x, host: 127.0.0.1 } ]\n"
		"routes: [ { sender: a@b.example, through: x } ]\n");
	fresh = client_hello(&b, "smtp");
	client_ask(&b, fresh, "MAIL FROM:<erp@contoso.com>", "550 5.7.1");
	send_message(&b, old, "erp@contoso.com", "anna@example.org", message, "250 2.0.0");
	fresh = client_hello(&b, "more");
	/* A socket that cannot be made changes nothing. */
	bad = bench_conf(&b, "listeners: [ { address: \"unix:@F/no/where\" } ]\n" LAB);
	assert_int_not_equal(bench_take(&b, bad, &err), 0);
	assert_true(strlen(err.text) > 0);
	conf_unref(bad);
	(void)client_hello(&b, "smtp");
	(void)client_hello(&b, "more");
	/* A listener that is gone keeps its sessions to their end. */
	bench_reload(&b, LISTEN LAB);
	client_ask(&b, fresh, "NOOP", "250");
	client_end(&b, client_open(&b, "more"));
	bench_close(&b);
}

static void draining_lets_what_is_committed_be_answered(void **state)
{
	struct client *idle, *busy;
	struct bench b;

	(void)state;
	bench_open(&b, LISTEN LAB);
	idle = client_hello(&b, "smtp");
	busy = client_hello(&b, "smtp");
	client_ask(&b, busy, "MAIL FROM:<erp@contoso.com>", "250");
	client_ask(&b, busy, "RCPT TO:<anna@example.org>", "250");
	client_ask(&b, busy, "DATA", "354");
	client_say(&b, busy, "Subject: last\r\n\r\nx\r\n.\r\n");
	while (b.claimed == 0) {
		io_timer_start(&b.poll, io_clock_mono());
		io_loop_run(b.loop);
	}
	inbound_drain(b.in, bench_on_drained, &b);
	client_expect(&b, idle, "421 4.3.2");
	client_expect(&b, busy, "250 2.0.0");
	client_expect(&b, busy, "421 4.3.2");
	bench_until(&b, bench_drained);
	assert_int_equal(bench_waiting(&b), 1);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_committed_before_it_is_taken),
		cmocka_unit_test(a_claimed_message_is_handed_over_with_its_body),
		cmocka_unit_test(a_client_that_goes_before_its_answer_has_sent),
		cmocka_unit_test(a_large_message_goes_in_pieces),
		cmocka_unit_test(a_client_that_is_cut_in_the_middle_leaves_nothing),
		cmocka_unit_test(names_become_addresses),
		cmocka_unit_test(without_a_domain_to_give_bare_names_are_refused),
		cmocka_unit_test(what_no_route_takes_is_refused),
		cmocka_unit_test(a_loop_ends_here),
		cmocka_unit_test(a_user_sends_as_its_senders_only),
		cmocka_unit_test(a_wrong_password_is_refused_and_a_client_may_go_meanwhile),
		cmocka_unit_test(a_full_disk_takes_no_mail),
		cmocka_unit_test(the_memory_of_all_sessions_is_one_budget),
		cmocka_unit_test(what_a_message_brings_is_charged_as_it_grows),
		cmocka_unit_test(a_uid_gets_its_share_of_the_sessions),
		cmocka_unit_test(a_listener_has_its_own_number_of_sessions),
		cmocka_unit_test(sessions_go_on_under_their_old_rules),
		cmocka_unit_test(draining_lets_what_is_committed_be_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
