/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"
#include "outbound/test_bench.h"

/* What a door changes of the mail, and which mail goes by which door. */

#define LAB                                                                                     \
	"hostname: relay.example.com\n"                                                         \
	"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, connections: 1 } ]\n" \
	"routes: [ { through: lab } ]\n"

static void assert_body(const struct up_mail *m, struct sv body)
{
	assert_int_equal(m->body.len, body.len);
	assert_memory_equal(buf_sv(&m->body).ptr, body.ptr, body.len);
}

/* The file must be there before the configuration names it. */
static void open_with_secret(struct bench *b, const char *password, const char *conf)
{
	char path[128];

	bench_open(b, LAB);
	(void)snprintf(path, sizeof(path), "%s/secret", b->folder);
	must(io_file_write_durably(path, sv_from(password), 0600, NULL) == 0);
	bench_reload(b, conf);
}

/* ---- rewriting ---- */

static const struct letter rewritten = { .sender = "anna@old.example",
	.recipients = "bea@example.org",
	.rewrite_from = "erp@contoso.com",
	.body = SV_INIT(
		"From: Anna <anna@old.example>\r\nSubject: gr\xfc\xdf\r\n\r\nGood day.\r\n") };

#define REWRITTEN                                                              \
	SV("From: Anna <erp@contoso.com>\r\nSubject: gr\xfc\xdf\r\nReply-To: " \
	   "anna@old.example\r\n\r\nGood day.\r\n")

static void the_route_rewrites_fresh_and_queued_mail(void **state)
{
	struct bench b;
	bool claimed;
	uint64_t id;

	(void)state;
	bench_open(&b, LAB);
	bench_start(&b);
	bench_connect(&b, "smtp/lab");
	id = bench_fresh(&b, &rewritten, &claimed);
	assert_true(claimed);
	bench_wait_for_mails(&b, 1, 0);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	id = bench_queue(&b, &rewritten);
	bench_wait_for_mails(&b, 2, 0);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(b.a.mails[i].sender, "erp@contoso.com");
		assert_int_equal(b.a.mails[i].announced, REWRITTEN.len);
		assert_body(&b.a.mails[i], REWRITTEN);
	}
	bench_close(&b);
}

/* A header of 200 KB, a body of megabytes, each byte of it as it was. */
static void a_large_message_streams_behind_its_new_header(void **state)
{
	enum {
		FIELDS = 200,
		BODY = 3 << 20
	};
	struct letter large = rewritten;
	struct buf text = BUF_INIT(UP_BODY_MAX), want = BUF_INIT(UP_BODY_MAX);
	struct bench b;
	uint64_t id;

	(void)state;
	must(buf_append(&text, SV("From: Anna <anna@old.example>\r\n")) == 0);
	must(buf_append(&want, SV("From: Anna <erp@contoso.com>\r\n")) == 0);
	for (size_t f = 0; f < FIELDS; f++)
		for (size_t i = 0; i < 1000; i++) {
			const struct sv c = i == 0     ? SV("X-Long: \xe4")
					    : i == 999 ? SV("\r\n")
						       : SV("y");

			must(buf_append(&text, c) == 0);
			must(buf_append(&want, c) == 0);
		}
	must(buf_append(&text, SV("\r\n")) == 0);
	must(buf_append(&want, SV("Reply-To: anna@old.example\r\n\r\n")) == 0);
	for (size_t i = 0; i < BODY / 64; i++) {
		must(buf_printf(&text, "%061zu.\r\n", i) == 0);
		must(buf_printf(&want, "%061zu.\r\n", i) == 0);
	}
	large.body = buf_sv(&text);
	bench_open(&b, LAB);
	bench_start(&b);
	id = bench_queue(&b, &large);
	bench_wait_for_mails(&b, 1, 0);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	assert_int_equal(b.a.mails[0].announced, want.len);
	assert_body(&b.a.mails[0], buf_sv(&want));
	buf_deinit(&text);
	buf_deinit(&want);
	bench_close(&b);
}

/* The mailbox demands its own address, whatever the client or the route says. */
static void the_mailbox_rewrites(void **state)
{
	static const char conf[] =
		BENCH_CLEAR "hostname: relay.example.com\n"
			    "tenants: [ { name: c, id: contoso.com, domains: [contoso.com] } ]\n"
			    "mailboxes: [ { address: erp@contoso.com, tenant: c, provider: "
			    "submission, password: \"file:@F/secret\", sender: %s, "
			    "endpoint: { host: 127.0.0.1, port: @A } } ]\n"
			    "routes: [ { through: erp@contoso.com } ]\n";
	static const char *const words[] = { "rewrite", "force" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		struct letter l = rewritten;
		char text[1024];
		struct bench b;
		bool claimed;
		uint64_t id;

		(void)snprintf(text, sizeof(text), conf, words[i]);
		l.rewrite_from = NULL;
		l.queue = "m:erp@contoso.com";
		open_with_secret(&b, "right", text);
		bench_start(&b);
		bench_connect(&b, "submission/erp@contoso.com");
		id = bench_fresh(&b, &l, &claimed);
		assert_true(claimed);
		bench_wait_for_mails(&b, 1, 0);
		bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
		assert_string_equal(b.a.mails[0].sender, "erp@contoso.com");
		if (i == 0)
			assert_body(&b.a.mails[0], REWRITTEN);
		else
			assert_true(sv_find(buf_sv(&b.a.mails[0].body), SV("anna@")) < 0);
		bench_close(&b);
	}
}

static void recipients_of_two_plans_take_two_transactions(void **state)
{
	struct bench b;
	struct post p;
	uint64_t id;

	(void)state;
	bench_open(&b, LAB);
	bench_start(&b);
	post_make(&p,
		&b,
		&(struct letter){ .sender = "anna@old.example",
			.recipients = "a@x.example b@x.example c@x.example" });
	p.recipients[2].rewrite_from = SV("erp@contoso.com");
	id = p.m.id;
	p.put.body = buf_sv(&p.body);
	assert_null(outbound_claim(b.o, &p.arena, &p.put, &p.m, p.recipients));
	must(bench_run(&b, &p.put.op) == 0);
	bench_say_queued(&b, &p);
	post_free(&p);
	bench_wait_for_mails(&b, 2, 0);
	for (uint32_t i = 0; i < 3; i++)
		bench_wait_for(&b, id, i, STORE_RCPT_DELIVERED, NULL);
	assert_string_equal(b.a.mails[0].sender, "anna@old.example");
	assert_string_equal(b.a.mails[0].recipients, "a@x.example b@x.example ");
	assert_string_equal(b.a.mails[1].sender, "erp@contoso.com");
	assert_string_equal(b.a.mails[1].recipients, "c@x.example ");
	bench_close(&b);
}

/* ---- staging ---- */

static void redirected_mail_goes_to_one_address_only(void **state)
{
	struct bench b;
	bool claimed;
	uint64_t id;

	(void)state;
	bench_open(&b, "redirect_all: test@contoso.com\n" LAB);
	bench_start(&b);
	bench_connect(&b, "smtp/lab");
	id = bench_fresh(&b,
		&(struct letter){ .sender = "erp@contoso.com",
			.recipients = "a@x.example b@y.example c@z.example" },
		&claimed);
	assert_true(claimed);
	bench_wait_for_mails(&b, 1, 0);
	for (uint32_t i = 0; i < 3; i++)
		bench_wait_for(&b, id, i, STORE_RCPT_DELIVERED, NULL);
	assert_string_equal(b.a.mails[0].recipients, "test@contoso.com ");
	assert_true(
		sv_find(buf_sv(&b.a.mails[0].body),
			SV("\r\nX-Postern-Redirected-To: a@x.example, b@y.example,\r\n\tc@z.example"
			   "\r\n\r\nGood day.\r\n")) > 0 ||
		sv_find(buf_sv(&b.a.mails[0].body),
			SV("\r\nX-Postern-Redirected-To: a@x.example, b@y.example, c@z.example"
			   "\r\n\r\nGood day.\r\n")) > 0);
	assert_int_equal(b.a.mails[0].announced, b.a.mails[0].body.len);
	/* Its refusal is a refusal of all, and the notice goes there, too. */
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_RCPT,
		.times = 1,
		.code = 550,
		.enhanced = "5.1.1",
		.text = "No such user" };
	id = bench_queue(&b,
		&(struct letter){
			.sender = "erp@contoso.com", .recipients = "a@x.example b@y.example" });
	for (uint32_t i = 0; i < 2; i++)
		bench_wait_for(&b, id, i, STORE_RCPT_BOUNCED, NULL);
	bench_wait_for_mails(&b, 2, 0);
	assert_string_equal(b.a.mails[1].sender, "");
	assert_string_equal(b.a.mails[1].recipients, "test@contoso.com ");
	bench_close(&b);
}

/* ---- what a door takes ---- */

#define TENANT "tenants: [ { name: c, id: contoso.com, domains: [contoso.com] } ]\n"
#define DIRECT                                                                                    \
	"hostname: relay.example.com\n" TENANT "connectors:\n"                                    \
	"  - { name: inside, provider: direct, tenant: c, host: 127.0.0.1, port: @A, tls: none, " \
	"connections: 1, limits: { message_size: 64KB } }\n"                                      \
	"  - { name: lab, provider: smtp, host: 127.0.0.1, port: @B, tls: none, connections: 1 "  \
	"}\n"                                                                                     \
	"routes: [ { through: [inside, lab] } ]\n"

static void an_external_recipient_never_goes_by_an_internal_door(void **state)
{
	struct letter l = { .sender = "erp@contoso.com",
		.recipients = "anna@contoso.com bea@example.org",
		.queue = "c:inside" };
	struct look look;
	struct bench b;
	bool claimed;
	uint64_t id;

	(void)state;
	bench_open(&b, DIRECT);
	bench_start(&b);
	id = bench_fresh(&b, &l, &claimed);
	assert_false(claimed);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for(&b, id, 1, STORE_RCPT_QUEUED, "door-is-internal");
	bench_look(&b, id, 1, &look);
	assert_int_equal(look.attempts, 0);
	assert_string_equal(b.a.mails[0].recipients, "anna@contoso.com ");
	/* With another way it takes that. */
	l.queue = "c:inside\nc:lab";
	id = bench_fresh(&b, &l, &claimed);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for(&b, id, 1, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for_mails(&b, 2, 1);
	assert_string_equal(b.b.mails[0].recipients, "bea@example.org ");
	for (size_t i = 0; i < b.a.mail_count; i++)
		assert_null(strstr(b.a.mails[i].recipients, "example.org"));
	bench_close(&b);
}

static void a_message_too_large_for_its_door_is_told_so(void **state)
{
	static char body[70000];
	struct letter l = {
		.sender = "erp@contoso.com", .recipients = "anna@contoso.com", .queue = "c:inside"
	};
	struct look look;
	struct bench b;
	uint64_t id;

	(void)state;
	memset(body, 'x', sizeof(body));
	memcpy(body, "Subject: large\r\n\r\n", 18);
	memcpy(body + sizeof(body) - 2, "\r\n", 2);
	l.body = sv_make(body, sizeof(body));
	bench_open(&b, DIRECT);
	bench_start(&b);
	id = bench_queue(&b, &l);
	bench_wait_for(&b, id, 0, STORE_RCPT_BOUNCED, "message-too-large");
	bench_look(&b, id, 0, &look);
	assert_string_equal(look.reply, "70000 bytes, and direct/inside takes 65536");
	l.queue = "c:inside\nc:lab";
	id = bench_queue(&b, &l);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	assert_int_equal(b.b.mails[0].body.len, sizeof(body));
	bench_close(&b);
}

static void recipients_of_one_domain_are_split(void **state)
{
	struct buf to = BUF_INIT(65536);
	size_t total = 0;
	struct bench b;
	bool claimed;
	uint64_t id;

	(void)state;
	for (unsigned i = 0; i < 450; i++)
		must(buf_printf(&to, "%sr%03u@%s.example", i ? " " : "", i, i == 7 ? "Y" : "x") ==
			0);
	must(buf_append_char(&to, '\0') == 0);
	bench_open(&b,
		"hostname: relay.example.com\n"
		"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, connections: 1,"
		" limits: { recipients_per_domain: 200 } } ]\nroutes: [ { through: lab } ]\n");
	bench_start(&b);
	id = bench_fresh(&b,
		&(struct letter){ .sender = "erp@contoso.com", .recipients = buf_sv(&to).ptr },
		&claimed);
	assert_false(claimed);
	bench_wait_for_mails(&b, 3, 0);
	for (uint32_t i = 0; i < 450; i++)
		bench_wait_for(&b, id, i, STORE_RCPT_DELIVERED, NULL);
	assert_int_equal(b.a.mails[0].recipient_count, 201);
	assert_int_equal(b.a.mails[1].recipient_count, 200);
	for (size_t i = 0; i < 3; i++)
		total += b.a.mails[i].recipient_count;
	assert_int_equal(total, 450);
	buf_deinit(&to);
	bench_close(&b);
}

/* 4.5.3 at RCPT: they go in the next transaction, and each once. */
static void recipients_too_many_go_in_the_next_transaction(void **state)
{
	struct bench b;
	bool claimed;
	uint64_t id;

	(void)state;
	bench_open(&b, LAB);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_RCPT,
		.match = "@late.",
		.times = 2,
		.code = 452,
		.enhanced = "4.5.3",
		.text = "Too many recipients" };
	bench_start(&b);
	id = bench_fresh(&b,
		&(struct letter){ .sender = "erp@contoso.com",
			.recipients = "a@x.example b@late.example c@late.example" },
		&claimed);
	bench_wait_for_mails(&b, 2, 0);
	for (uint32_t i = 0; i < 3; i++)
		bench_wait_for(&b, id, i, STORE_RCPT_DELIVERED, NULL);
	assert_string_equal(b.a.mails[0].recipients, "a@x.example ");
	assert_string_equal(b.a.mails[1].recipients, "b@late.example c@late.example ");
	bench_close(&b);
}

/* ---- the next door ---- */

#define TWO                                                                                     \
	"hostname: relay.example.com\n"                                                         \
	"connectors:\n"                                                                         \
	"  - { name: lab, host: 127.0.0.1, port: @A, tls: none, connections: 1, login: relay, " \
	"password: \"file:@F/secret\" }\n"                                                      \
	"  - { name: other, host: 127.0.0.1, port: @B, tls: none, connections: 1 }\n"           \
	"routes: [ { through: [lab, other] } ]\n"

static const struct letter erp_alone = { .sender = "erp@contoso.com",
	.recipients = "bea@example.org" };
static const struct letter two_ways = {
	.sender = "erp@contoso.com", .recipients = "anna@example.org", .queue = "c:lab\nc:other"
};

static void open_two(struct bench *b, uint16_t code, const char *enhanced, const char *text)
{
	open_with_secret(b, "wrong", TWO);
	b->a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_AUTH_PASSWORD,
		.times = 1000,
		.code = code,
		.enhanced = enhanced,
		.text = text };
	bench_start(b);
}

static void mail_of_a_door_that_is_shut_goes_by_the_next(void **state)
{
	uint64_t first, second, third, late;
	struct look look;
	struct bench b;
	bool claimed;

	(void)state;
	open_two(&b, 535, "5.7.8", "Authentication unsuccessful");
	first = bench_fresh(&b, &two_ways, &claimed);
	assert_false(claimed);
	second = bench_queue(&b, &two_ways);
	/* What waited for the first door, and goes by the second. */
	bench_wait_for(&b, first, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for(&b, second, 0, STORE_RCPT_DELIVERED, NULL);
	bench_look(&b, second, 0, &look);
	assert_string_equal(look.lane, "smtp/other");
	assert_int_equal(look.attempts, 1);
	/* New mail does not even try the first, and takes the quick way. */
	third = bench_fresh(&b, &two_ways, &claimed);
	assert_true(claimed);
	bench_wait_for(&b, third, 0, STORE_RCPT_DELIVERED, NULL);
	late = bench_queue(&b, &two_ways);
	bench_wait_for(&b, late, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for_mails(&b, 0, 4);
	assert_int_equal(b.a.asked[SMTP_SERVER_EV_AUTH_PASSWORD], 1);
	assert_int_equal(bench_lane(&b, "smtp/lab").status.moved, 4);
	/* The first door opens: a probe must find out, and new mail goes there again. */
	b.a.rules[0].times = 0;
	first = bench_queue(&b, &erp_alone);
	bench_retry(&b);
	bench_wait_for(&b, first, 0, STORE_RCPT_DELIVERED, NULL);
	second = bench_fresh(&b, &two_ways, &claimed);
	bench_wait_for(&b, second, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for_mails(&b, 2, 4);
	assert_int_equal(bench_lane(&b, "smtp/lab").status.moved, 0);
	bench_close(&b);
}

static void both_doors_shut_keep_the_mail(void **state)
{
	struct look look;
	struct bench b;
	bool claimed;
	uint64_t id;

	(void)state;
	open_two(&b, 535, "5.7.8", "Authentication unsuccessful");
	b.b.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_GREET,
		.times = 1000,
		.code = 421,
		.enhanced = "4.3.2",
		.text = "Service not available" };
	id = bench_fresh(&b, &two_ways, &claimed);
	while (!bench_lane(&b, "smtp/lab").status.cause.len ||
		!bench_lane(&b, "smtp/other").status.cause.len)
		bench_turn(&b);
	for (unsigned i = 0; i < 20; i++)
		bench_turn(&b);
	bench_look(&b, id, 0, &look);
	assert_int_equal(look.state, STORE_RCPT_QUEUED);
	/* The second opens again. */
	b.b.rules[0].times = 0;
	bench_retry(&b);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for_mails(&b, 0, 1);
	bench_close(&b);
}

static const struct letter by_mailbox_or_other = { .sender = "erp@contoso.com",
	.recipients = "anna@example.org",
	.queue = "m:erp@contoso.com\nc:other" };

static const struct up_rule banned = { .at = SMTP_SERVER_EV_MAIL,
	.times = 1000,
	.code = 550,
	.enhanced = "5.1.8",
	.text = "Access denied, bad outbound sender. AS(42004)" };

#define MAILBOX_AND_OTHER                                                                         \
	BENCH_CLEAR "hostname: relay.example.com\n" TENANT                                        \
		    "mailboxes: [ { address: erp@contoso.com, tenant: c, provider: submission, "  \
		    "endpoint: { host: 127.0.0.1, port: @A }, password: \"file:@F/secret\" } ]\n" \
		    "connectors: [ { name: other, host: 127.0.0.1, port: @B, tls: none, "         \
		    "connections: 1 } ]\n"                                                        \
		    "routes: [ { through: [erp@contoso.com, other] } ]\n"

static void a_stop_for_reputation_is_a_persons_to_end(void **state)
{
	struct letter l = by_mailbox_or_other;
	struct look look;
	struct bench b;
	bool claimed;
	uint64_t id, second, later;

	(void)state;
	open_with_secret(&b, "right", MAILBOX_AND_OTHER);
	b.a.rules[0] = banned;
	bench_start(&b);
	id = bench_fresh(&b, &l, &claimed);
	bench_wait_for(&b, id, 0, STORE_RCPT_QUEUED, "mailbox-restricted");
	/* One message proves nothing; a second does. */
	assert_int_equal(
		bench_lane(&b, "submission/erp@contoso.com").status.state, SCHED_LANE_READY);
	second = bench_fresh(&b, &l, &claimed);
	assert_true(claimed);
	bench_wait_for(&b, second, 0, STORE_RCPT_QUEUED, "mailbox-restricted");
	later = bench_fresh(&b, &l, &claimed);
	assert_false(claimed);
	assert_int_equal(
		bench_lane(&b, "submission/erp@contoso.com").status.state, SCHED_LANE_PARKED);
	assert_int_equal(bench_lane(&b, "submission/erp@contoso.com").status.next_at.us, 0);
	/* Neither a reload, nor a restart, nor a general retry: and never by the other door. */
	bench_reload(&b, MAILBOX_AND_OTHER);
	bench_retry(&b);
	bench_restart(&b);
	bench_retry(&b);
	for (unsigned i = 0; i < 20; i++)
		bench_turn(&b);
	assert_int_equal(b.a.asked[SMTP_SERVER_EV_MAIL], 2);
	bench_look(&b, later, 0, &look);
	assert_string_equal(look.lane, "submission/erp@contoso.com");
	b.a.rules[0].times = 0;
	assert_false(outbound_probe(b.o, SV("smtp/other")));
	assert_int_equal(bench_lane(&b, "submission/erp@contoso.com").status.next_at.us, 0);
	assert_true(outbound_probe(b.o, SV("submission/erp@contoso.com")));
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for(&b, second, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for(&b, later, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for_mails(&b, 3, 0);
	bench_close(&b);
}

/* The same where it is the whole tenant that was stopped: its park, not the lane's. */
static void a_tenants_stop_for_reputation_is_a_persons_to_end(void **state)
{
	struct letter l = by_mailbox_or_other;
	struct look look;
	struct bench b;
	bool claimed;
	uint64_t id, second, later;

	(void)state;
	open_with_secret(&b, "right", MAILBOX_AND_OTHER);
	b.a.rules[0] = banned;
	b.a.rules[0].enhanced = "5.7.705";
	b.a.rules[0].text = "Access denied, tenant has exceeded threshold";
	bench_start(&b);
	id = bench_fresh(&b, &l, &claimed);
	bench_wait_for(&b, id, 0, STORE_RCPT_QUEUED, "tenant-blocked");
	second = bench_fresh(&b, &l, &claimed);
	assert_true(claimed);
	bench_wait_for(&b, second, 0, STORE_RCPT_QUEUED, "tenant-blocked");
	later = bench_fresh(&b, &l, &claimed);
	assert_false(claimed);
	bench_reload(&b, MAILBOX_AND_OTHER);
	bench_retry(&b);
	bench_restart(&b);
	bench_retry(&b);
	for (unsigned i = 0; i < 20; i++)
		bench_turn(&b);
	assert_int_equal(b.a.asked[SMTP_SERVER_EV_MAIL], 2);
	bench_look(&b, later, 0, &look);
	assert_string_equal(look.lane, "submission/erp@contoso.com");
	b.a.rules[0].times = 0;
	assert_true(outbound_probe(b.o, SV("submission/erp@contoso.com")));
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for(&b, second, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for(&b, later, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for_mails(&b, 3, 0);
	bench_close(&b);
}

/* The mailbox itself is well: only who is outside of the tenant goes elsewhere. */
static void what_a_tenant_may_not_send_out_goes_by_the_next_door(void **state)
{
	static const struct letter in = { .sender = "erp@contoso.com",
		.recipients = "anna@contoso.com",
		.queue = "m:erp@contoso.com\nc:other" };
	const struct letter out = by_mailbox_or_other;
	uint64_t first, second, within;
	struct look look;
	struct bench b;

	(void)state;
	open_with_secret(&b, "right", MAILBOX_AND_OTHER);
	b.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_RCPT,
		.times = 1,
		.code = 550,
		.enhanced = "5.7.233",
		.text = "Your message can't be sent because your tenant exceeded its daily limit" };
	bench_start(&b);
	first = bench_queue(&b, &out);
	bench_wait_for(&b, first, 0, STORE_RCPT_DELIVERED, NULL);
	second = bench_queue(&b, &out);
	bench_wait_for(&b, second, 0, STORE_RCPT_DELIVERED, NULL);
	within = bench_queue(&b, &in);
	bench_wait_for(&b, within, 0, STORE_RCPT_DELIVERED, NULL);
	bench_look(&b, second, 0, &look);
	assert_string_equal(look.lane, "smtp/other");
	assert_int_equal(look.attempts, 1);
	bench_wait_for_mails(&b, 1, 2);
	bench_close(&b);
}

/* ---- secrets ---- */

/* It is printed in a worker; mail waits for it and nothing else does. */
static void a_command_gives_the_password(void **state)
{
	struct bench b;
	uint64_t id;

	(void)state;
	bench_open(&b,
		"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, login: relay, "
		"password: \"command:/bin/echo right\" } ]\nroutes: [ { through: lab } ]\n");
	bench_start(&b);
	id = bench_queue(&b, &erp_alone);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	assert_string_equal(b.a.password, "right");
	bench_close(&b);
}

static void a_command_that_fails_parks_the_lane(void **state)
{
	struct bench b;
	uint64_t id;

	(void)state;
	bench_open(&b,
		"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, login: relay, "
		"password: \"command:/bin/false\" } ]\nroutes: [ { through: lab } ]\n");
	bench_start(&b);
	id = bench_queue(&b, &erp_alone);
	while (bench_lane(&b, "smtp/lab").status.state != SCHED_LANE_PARKED)
		bench_turn(&b);
	assert_string_equal(bench_lane(&b, "smtp/lab").cause, "password-unreadable");
	assert_int_equal(b.a.asked[SMTP_SERVER_EV_GREET], 0);
	bench_reload(&b,
		"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, login: relay, "
		"password: \"command:/bin/echo right\" } ]\nroutes: [ { through: lab } ]\n");
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_close(&b);
}

/* ---- what it costs ---- */

#define HVE                                                                                       \
	BENCH_CLEAR "hostname: relay.example.com\n" TENANT                                        \
		    "mailboxes: [ { address: bulk@contoso.com, tenant: c, provider: hve, "        \
		    "endpoint: { host: 127.0.0.1, port: @A }, password: \"file:@F/secret\" } ]\n" \
		    "routes: [ { through: bulk@contoso.com } ]\n"

static void what_high_volume_email_delivers_is_counted(void **state)
{
	static const struct letter l = { .sender = "erp@contoso.com",
		.recipients = "anna@contoso.com bea@contoso.com carla@example.org",
		.queue = "m:bulk@contoso.com" };
	struct lane_look look;
	struct bench b;
	uint64_t id;

	(void)state;
	open_with_secret(&b, "right", HVE);
	bench_start(&b);
	id = bench_queue(&b, &l);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for(&b, id, 1, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for(&b, id, 2, STORE_RCPT_QUEUED, "door-is-internal");
	look = bench_lane(&b, "hve/bulk@contoso.com");
	assert_true(look.status.has_cost);
	assert_int_equal(look.status.delivered_month, 2);
	assert_int_equal(look.status.cost_cents, 1);
	/* The account is the sender, whatever the client said. */
	assert_string_equal(b.a.mails[0].sender, "bulk@contoso.com");
	bench_restart(&b);
	id = bench_queue(&b, &l);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for(&b, id, 2, STORE_RCPT_QUEUED, "door-is-internal");
	assert_int_equal(bench_lane(&b, "hve/bulk@contoso.com").status.delivered_month, 4);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_route_rewrites_fresh_and_queued_mail),
		cmocka_unit_test(a_large_message_streams_behind_its_new_header),
		cmocka_unit_test(the_mailbox_rewrites),
		cmocka_unit_test(recipients_of_two_plans_take_two_transactions),
		cmocka_unit_test(redirected_mail_goes_to_one_address_only),
		cmocka_unit_test(an_external_recipient_never_goes_by_an_internal_door),
		cmocka_unit_test(a_message_too_large_for_its_door_is_told_so),
		cmocka_unit_test(recipients_of_one_domain_are_split),
		cmocka_unit_test(recipients_too_many_go_in_the_next_transaction),
		cmocka_unit_test(mail_of_a_door_that_is_shut_goes_by_the_next),
		cmocka_unit_test(both_doors_shut_keep_the_mail),
		cmocka_unit_test(a_stop_for_reputation_is_a_persons_to_end),
		cmocka_unit_test(a_tenants_stop_for_reputation_is_a_persons_to_end),
		cmocka_unit_test(what_a_tenant_may_not_send_out_goes_by_the_next_door),
		cmocka_unit_test(a_command_gives_the_password),
		cmocka_unit_test(a_command_that_fails_parks_the_lane),
		cmocka_unit_test(what_high_volume_email_delivers_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
