/* SPDX-License-Identifier: Apache-2.0 */
#include "inbound/test_bench.h"

/* What is decided at acceptance: whose name the mail bears, and by which door each recipient leaves. */

#define LISTEN "listeners: [ { address: \"unix:@F/smtp\" } ]\n"
#define LANES                                    \
	"connectors:\n"                          \
	"  - { name: lab, host: 127.0.0.1 }\n"   \
	"  - { name: other, host: 127.0.0.1 }\n" \
	"  - { name: large, host: 127.0.0.1 }\n"

static const char message[] = "From: ERP <erp@contoso.com>\r\n"
			      "Subject: Invoice\r\n"
			      "\r\n"
			      "Good day.";

static const struct store_recipient *row_of(const struct store_list *list, const char *address)
{
	const struct store_recipient *found = NULL;

	for (size_t i = 0; i < list->out_count; i++)
		if (sv_eq(list->out_rows[i].recipient.address, sv_from(address)))
			found = &list->out_rows[i].recipient;
	must(found != NULL);
	return found;
}

static void expect_row(
	const struct store_list *list, const char *address, const char *queue, const char *rewrite)
{
	const struct store_recipient *r = row_of(list, address);

	if (!sv_eq(r->flow.queue, sv_from(queue)) || !sv_eq(r->rewrite_from, sv_from(rewrite)) ||
		r->lane.len)
		fail_msg("%s: queue %.*s, rewrite %.*s, lane %.*s",
			address,
			SV_ARG(r->flow.queue),
			SV_ARG(r->rewrite_from),
			SV_ARG(r->lane));
}

static void one_message_leaves_by_several_doors(void **state)
{
	struct arena arena = { 0 };
	struct buf body = { 0 };
	struct store_list list;
	struct client *c;
	struct bench b;

	(void)state;
	bench_open(&b,
		LISTEN LANES "routes:\n"
			     "  - { recipient: \"*@inside.example\", through: other }\n"
			     "  - { recipient: \"*@far.example\", through: [large, other, lab] }\n"
			     "  - { through: lab, rewrite_from: noreply@contoso.com }\n");
	c = client_hello(&b, "smtp");
	client_ask(&b, c, "MAIL FROM:<erp@contoso.com>", "250");
	client_ask(&b, c, "RCPT TO:<anna@example.org>", "250");
	client_ask(&b, c, "RCPT TO:<bea@inside.example>", "250");
	client_ask(&b, c, "RCPT TO:<cleo@far.example>", "250");
	client_ask(&b, c, "DATA", "354");
	client_say(&b, c, message);
	client_ask(&b, c, "\r\n.", "250 2.0.0");
	list = bench_list(&b, &arena);
	assert_int_equal(list.out_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(list.out_rows[i].message.id, list.out_rows[0].message.id);
	expect_row(&list, "anna@example.org", "c:lab", "noreply@contoso.com");
	expect_row(&list, "bea@inside.example", "c:other", "");
	expect_row(&list, "cleo@far.example", "c:large\nc:other\nc:lab", "");
	assert_string_equal(b.queued, "c:lab=1 c:other=1 c:large\nc:other\nc:lab=1 ");
	/* What is stored is what was given: each leaves under its own name. */
	assert_true(sv_eq(list.out_rows[0].message.sender, SV("erp@contoso.com")));
	bench_body(&b, list.out_rows[0].message.id, &body);
	assert_true(sv_find(buf_sv(&body), SV("\r\nFrom: ERP <erp@contoso.com>\r\n")) > 0);
	/* Of several recipients none is named to the others. */
	assert_true(sv_find(buf_sv(&body), SV("for <")) < 0);
	buf_deinit(&body);
	arena_reset(&arena);
	bench_close(&b);
}

/* ---- what only the message says ---- */

#define BY_BODY                                                                     \
	"routes:\n"                                                                 \
	"  - { size: { over: 2KB }, through: large }\n"                             \
	"  - { header: \"X-Class: bulk*\", through: other, rewrite_from: b@w.x }\n" \
	"  - { recipient: \"*@example.org\", through: lab }\n"

static void fill(struct buf *out, const char *header, size_t len)
{
	buf_reset(out);
	must(buf_printf(out, "%s\r\n\r\n", header) == 0);
	while (out->len < len)
		must(buf_append(out, SV("a line of text\r\n")) == 0);
	must(buf_append_char(out, '\0') == 0);
}

static void size_and_header_choose_after_data(void **state)
{
	static const struct {
		const char *header;
		size_t len;
		const char *to, *queue, *rewrite, *reply;
	} rows[] = {
		{ "Subject: x", 100, "a0@example.org", "c:lab", "", "250 2.0.0" },
		{ "Subject: x", 5000, "a1@example.org", "c:large", "", "250 2.0.0" },
		{ "x-class:\r\n BULK mail",
			100,
			"a2@example.org",
			"c:other",
			"b@w.x",
			"250 2.0.0" },
		{ "X-Class: bulk", 5000, "a3@else.example", "c:large", "", "250 2.0.0" },
		{ "X-Class: bulk", 100000, "a4@else.example", "c:large", "", "250 2.0.0" },
		{ "X-Class: quick",
			100,
			"a5@else.example",
			"",
			"",
			"550 5.7.1 No route takes this message to <a5@" },
		{ "", 100, "a6@else.example", "", "", "550 5.7.1" },
	};
	struct buf text = BUF_INIT(BENCH_BODY_MAX);
	struct arena arena = { 0 };
	struct store_list list;
	struct client *c;
	struct bench b;
	size_t taken = 0;

	(void)state;
	bench_open(&b, LISTEN LANES BY_BODY);
	c = client_hello(&b, "smtp");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		fill(&text, rows[i].header, rows[i].len);
		send_message(
			&b, c, "erp@contoso.com", rows[i].to, buf_sv(&text).ptr, rows[i].reply);
		taken += rows[i].queue[0] != '\0';
	}
	list = bench_list(&b, &arena);
	assert_int_equal(list.out_count, taken);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (rows[i].queue[0])
			expect_row(&list, rows[i].to, rows[i].queue, rows[i].rewrite);
	buf_deinit(&text);
	arena_reset(&arena);
	bench_close(&b);
}

/* One has a door and the other has none: nobody is half sent, pieces in the queue included. */
static void without_a_door_for_one_nobody_gets_it(void **state)
{
	struct buf text = BUF_INIT(BENCH_BODY_MAX);
	struct store_recovery found;
	struct client *c;
	struct bench b;

	(void)state;
	fill(&text, "Subject: x", 300000);
	bench_open(&b,
		LISTEN LANES "routes:\n"
			     "  - { size: { under: 2KB }, through: other }\n"
			     "  - { recipient: \"*@example.org\", through: lab }\n");
	c = client_hello(&b, "smtp");
	client_ask(&b, c, "MAIL FROM:<erp@contoso.com>", "250");
	client_ask(&b, c, "RCPT TO:<anna@example.org>", "250");
	client_ask(&b, c, "RCPT TO:<bea@else.example>", "250");
	client_ask(&b, c, "DATA", "354");
	client_say(&b, c, buf_sv(&text).ptr);
	client_ask(&b, c, "\r\n.", "550 5.7.1");
	assert_int_equal(bench_waiting(&b), 0);
	assert_int_equal(b.claimed, 0);
	/* The session goes on. */
	send_message(&b, c, "erp@contoso.com", "bea@else.example", message, "250 2.0.0");
	client_close(c);
	store_close(b.store);
	found = bench_open_store(&b);
	b.in->store = b.store;
	assert_int_equal(found.orphan_chunks, 0);
	assert_int_equal(found.queued_count, 1);
	buf_deinit(&text);
	bench_close(&b);
}

/* A megabyte holds so many messages with their sessions, and one of their headers. */
enum {
	HELD_MESSAGES = 6,
	HELD_HEADER = 150000,
};

static bool a_header_is_held(struct bench *b)
{
	return limit_accounts_used(b->in->accounts, LIMIT_RESOURCE_BYTES) >
	       HELD_MESSAGES * (SESSION_COST + MESSAGE_COST) + HELD_HEADER;
}

/* A header that is held for its routes is memory like all other. */
static void a_held_header_counts(void **state)
{
	struct buf text = BUF_INIT(BENCH_BODY_MAX);
	struct client *c[HELD_MESSAGES];
	struct bench b;

	(void)state;
	must(buf_printf(&text, "Subject: x\r\n") == 0);
	while (text.len < HELD_HEADER)
		must(buf_printf(&text, "X-Long: %0500u\r\n", 0U) == 0);
	must(buf_printf(&text, "\r\nbody\r\n%c", 0) == 0);
	bench_open(&b, "limits: { inbound_memory: 1MB }\n" LISTEN LANES BY_BODY);
	for (unsigned i = 0; i < HELD_MESSAGES; i++) {
		c[i] = client_hello(&b, "smtp");
		client_ask(&b, c[i], "MAIL FROM:<erp@contoso.com>", "250");
		client_ask(&b, c[i], "RCPT TO:<anna@example.org>", "250");
		client_ask(&b, c[i], "DATA", "354");
	}
	client_say(&b, c[0], buf_sv(&text).ptr);
	bench_until(&b, a_header_is_held);
	client_say(&b, c[1], buf_sv(&text).ptr);
	client_ask(&b, c[1], ".", "452 4.3.1");
	client_ask(&b, c[0], ".", "250 2.0.0");
	for (unsigned i = 0; i < HELD_MESSAGES; i++)
		client_close(c[i]);
	buf_deinit(&text);
	bench_close(&b);
}

/* ---- the flow ---- */

/* Four recipients: two in one flow, one outside, and one whom a route puts into another class. */
static void recipients_of_one_kind_share_a_flow(void **state)
{
	static const struct {
		const char *to;
		enum mail_class class;
		bool external;
	} rows[] = {
		{ "anna@contoso.com", MAIL_CLASS_BULK, false },
		{ "Bea@Contoso.com", MAIL_CLASS_BULK, false },
		{ "cleo@example.org", MAIL_CLASS_BULK, true },
		{ "dora@quick.example", MAIL_CLASS_TRANSACTIONAL, true },
	};
	struct arena arena = { 0 };
	struct store_list list;
	struct client *c;
	struct bench b;
	char text[100];

	(void)state;
	bench_open(&b,
		"listeners: [ { address: \"unix:@F/smtp\", class: bulk } ]\n"
		"tenants: [ { name: t, domains: [contoso.com] } ]\n" LANES "routes:\n"
		"  - { recipient: \"*@quick.example\", through: lab, class: transactional }\n"
		"  - { through: lab }\n");
	c = client_hello(&b, "smtp");
	client_ask(&b, c, "MAIL FROM:<erp@contoso.com>", "250");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		(void)snprintf(text, sizeof(text), "RCPT TO:<%s>", rows[i].to);
		client_ask(&b, c, text, "250");
	}
	client_ask(&b, c, "DATA", "354");
	client_say(&b, c, message);
	client_ask(&b, c, "\r\n.", "250 2.0.0");
	list = bench_list(&b, &arena);
	assert_int_equal(list.out_count, COUNT_OF(rows));
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct store_recipient *r = row_of(&list, rows[i].to);

		assert_int_equal(r->flow.class, rows[i].class);
		assert_int_equal(r->flow.external, rows[i].external);
		assert_true(sv_starts(r->flow.principal, SV("local:")));
		assert_true(sv_eq(r->flow.queue, SV("c:lab")));
		assert_int_equal(r->flow.sender.len, 0);
	}
	assert_string_equal(b.queued, "c:lab=2 c:lab=1 c:lab=1 ");
	arena_reset(&arena);
	bench_close(&b);
}

/* Who claimed some of them leaves the others to wait. */
static void the_rest_of_a_claim_waits(void **state)
{
	struct client *c;
	struct bench b;

	(void)state;
	bench_open(&b, LISTEN LANES "routes: [ { through: lab } ]\n");
	b.claims = true;
	b.leaves = 1 << 1;
	c = client_hello(&b, "smtp");
	client_ask(&b, c, "MAIL FROM:<erp@contoso.com>", "250");
	client_ask(&b, c, "RCPT TO:<anna@example.org>", "250");
	client_ask(&b, c, "RCPT TO:<bea@example.org>", "250");
	client_ask(&b, c, "RCPT TO:<cleo@example.org>", "250");
	client_ask(&b, c, "DATA", "354");
	client_say(&b, c, message);
	client_ask(&b, c, "\r\n.", "250 2.0.0");
	assert_int_equal(b.committed, 1);
	assert_string_equal(b.queued, "c:lab=1 ");
	bench_close(&b);
}

/* A door that never could carry it is no way to wait for. */
static void what_is_too_large_or_outside_waits_elsewhere(void **state)
{
	static const struct {
		size_t len;
		const char *to, *queue;
	} rows[] = {
		{ 100, "a0@contoso.com", "c:inside\nc:lab\nc:small" },
		{ 100, "a1@example.org", "c:lab\nc:small" },
		{ 100000, "a2@contoso.com", "c:inside\nc:lab" },
		{ 100000, "a3@example.org", "c:lab" },
	};
	struct buf text = BUF_INIT(BENCH_BODY_MAX);
	struct arena arena = { 0 };
	struct store_list list;
	struct client *c;
	struct bench b;

	(void)state;
	bench_open(&b,
		LISTEN "tenants: [ { name: t, domains: [contoso.com] } ]\n"
		       "connectors:\n"
		       "  - { name: inside, provider: direct, tenant: t }\n"
		       "  - { name: lab, host: 127.0.0.1 }\n"
		       "  - { name: small, host: 127.0.0.1, limits: { message_size: 64KB } }\n"
		       "routes: [ { through: [inside, lab, small] } ]\n");
	c = client_hello(&b, "smtp");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		fill(&text, "Subject: x", rows[i].len);
		send_message(&b, c, "erp@contoso.com", rows[i].to, buf_sv(&text).ptr, "250 2.0.0");
	}
	list = bench_list(&b, &arena);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		expect_row(&list, rows[i].to, rows[i].queue, "");
	assert_true(row_of(&list, "a1@example.org")->flow.external);
	assert_false(row_of(&list, "a2@contoso.com")->flow.external);
	buf_deinit(&text);
	arena_reset(&arena);
	bench_close(&b);
}

/* A class ends its mail sooner, never later. */
static void a_class_has_a_time_to_live(void **state)
{
	static const struct {
		const char *sender;
		uint64_t us;
	} rows[] = {
		{ "code@contoso.com", 15 * US_PER_MIN },
		{ "erp@contoso.com", US_PER_DAY },
	};
	struct arena arena = { 0 };
	struct store_list list;
	struct client *c;
	struct bench b;

	(void)state;
	bench_open(&b,
		LISTEN "retry: { expire: 1d }\nclasses: { transactional: { expire: 15m } }\n" LANES
		       "routes:\n"
		       "  - { sender: code@contoso.com, through: lab, class: transactional }\n"
		       "  - { through: lab }\n");
	c = client_hello(&b, "smtp");
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		send_message(&b, c, rows[i].sender, "anna@example.org", message, "250 2.0.0");
	list = bench_list(&b, &arena);
	assert_int_equal(list.out_count, COUNT_OF(rows));
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct store_message *m = &list.out_rows[i].message;

		assert_int_equal(m->expires_at.us - m->accepted_at.us, rows[i].us);
	}
	arena_reset(&arena);
	bench_close(&b);
}

/* ---- whose name ---- */

#define AS(name)                                                                                  \
	"listeners: [ { address: \"unix:@F/smtp\", auth: required, plaintext_auth: true } ]\n"    \
	"users: [ { name: erp, password: \"file:@F/erp\", senders: [ \"*\" ]" name " } ]\n" LANES \
	"routes: [ { through: lab } ]\n"
#define REWRITE ", sender: rewrite, as: shared@contoso.com"
#define FORCE ", sender: force, as: shared@contoso.com"

/* Sends one message, and gives its row and text. */
static const struct store_message *send_as(struct bench *b, const char *conf, const char *from,
	const char *text, struct arena *arena, struct buf *body)
{
	struct store_list list;
	struct client *c;

	bench_make(b);
	write_verifier(b);
	bench_begin(b, conf);
	c = client_hello(b, "smtp");
	sign_in(b, c, "sesame", "235 2.7.0");
	send_message(b, c, from, "anna@example.org", text, "250 2.0.0");
	list = bench_list(b, arena);
	assert_int_equal(list.out_count, 1);
	bench_body(b, list.out_rows[0].message.id, body);
	return &list.out_rows[0].message;
}

struct name_row {
	const char *conf, *from, *text;
	const char *sender;  /* of the message */
	const char *with;    /* stands in it */
	const char *without; /* and this does not */
	uint32_t force;
};

static const struct name_row name_rows[] = {
	{ AS(REWRITE),
		"erp@contoso.com",
		message,
		"shared@contoso.com",
		"From: ERP <shared@contoso.com>\r\nSubject: Invoice\r\nReply-To: "
		"erp@contoso.com\r\n",
		"<erp@",
		0 },
	{ AS(REWRITE),
		"erp@contoso.com",
		"From: a@b\r\nReply-To: c@d\r\n\r\nx",
		"shared@contoso.com",
		"From: shared@contoso.com\r\nReply-To: c@d\r\n",
		"a@b",
		0 },
	/* Without a From the envelope knows who it was. */
	{ AS(REWRITE),
		"erp@contoso.com",
		"Subject: x\r\n\r\nx",
		"shared@contoso.com",
		"From: shared@contoso.com\r\nReply-To: erp@contoso.com\r\n",
		"From: erp",
		0 },
	{ AS(REWRITE),
		"shared@contoso.com",
		"From: Shared@contoso.com\r\n\r\nx",
		"shared@contoso.com",
		"From: shared@contoso.com\r\n",
		"Reply-To",
		0 },
	/* What is no address is no place to answer to: the envelope says who it was. */
	{ AS(REWRITE),
		"erp@contoso.com",
		"From: root\r\n\r\nx",
		"shared@contoso.com",
		"Reply-To: erp@contoso.com\r\n",
		"Reply-To: root",
		0 },
	{ AS(REWRITE),
		"erp@contoso.com",
		"From: <a@b..c>\r\n\r\nx",
		"shared@contoso.com",
		"Reply-To: erp@contoso.com\r\n",
		"Reply-To: a@b",
		0 },
	{ AS(REWRITE),
		"erp@contoso.com",
		"From: "
		"<xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx@b.c>"
		"\r\n\r\nx",
		"shared@contoso.com",
		"Reply-To: xx", /* longer than RFC 5321 4.5.3.1.1 says, as receivers take it */
		"Reply-To: erp",
		0 },
	{ AS(REWRITE), "", message, "", "From: ERP <shared@contoso.com>\r\n", "<erp@", 0 },
	{ AS(FORCE),
		"erp@contoso.com",
		message,
		"shared@contoso.com",
		"From: ERP <shared@contoso.com>\r\n",
		"Reply-To",
		STORE_MSG_FORCE },
	{ AS(""),
		"erp@contoso.com",
		message,
		"erp@contoso.com",
		"From: ERP <erp@contoso.com>\r\n",
		"Reply-To",
		0 },
};

static void a_user_sends_under_the_prescribed_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(name_rows); i++) {
		const struct name_row *row = &name_rows[i];
		struct arena arena = { 0 };
		struct buf body = { 0 };
		struct bench b;
		const struct store_message *m =
			send_as(&b, row->conf, row->from, row->text, &arena, &body);

		if (!sv_eq(m->sender, sv_from(row->sender)) ||
			(m->flags & STORE_MSG_FORCE) != row->force ||
			sv_find(buf_sv(&body), sv_from(row->with)) < 0 ||
			sv_find(buf_sv(&body), sv_from(row->without)) >= 0)
			fail_msg("row %zu: <%.*s> %.*s",
				i,
				SV_ARG(m->sender),
				SV_ARG(buf_sv(&body)));
		buf_deinit(&body);
		arena_reset(&arena);
		bench_close(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_message_leaves_by_several_doors),
		cmocka_unit_test(size_and_header_choose_after_data),
		cmocka_unit_test(without_a_door_for_one_nobody_gets_it),
		cmocka_unit_test(a_held_header_counts),
		cmocka_unit_test(recipients_of_one_kind_share_a_flow),
		cmocka_unit_test(the_rest_of_a_claim_waits),
		cmocka_unit_test(what_is_too_large_or_outside_waits_elsewhere),
		cmocka_unit_test(a_class_has_a_time_to_live),
		cmocka_unit_test(a_user_sends_under_the_prescribed_name),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
