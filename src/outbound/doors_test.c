/* SPDX-License-Identifier: Apache-2.0 */
#include "outbound/test_bench.h"

/* What a door changes of the mail, and which mail goes by which door. */

#define LAB                                                                                     \
	"hostname: relay.example.com\n"                                                         \
	"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none, connections: 1 } ]\n" \
	"routes: [ { through: lab } ]\n"

static size_t wanted_a, wanted_b;

static bool mails_are_there(struct bench *b)
{
	return b->a.mail_count >= wanted_a && b->b.mail_count >= wanted_b && b->o->deliveries == 0;
}

static void wait_for_mails(struct bench *b, size_t at_a, size_t at_b)
{
	wanted_a = at_a;
	wanted_b = at_b;
	bench_until(b, mails_are_there);
	assert_int_equal(b->a.mail_count, at_a);
	assert_int_equal(b->b.mail_count, at_b);
}

static void assert_body(const struct up_mail *m, struct sv body)
{
	assert_int_equal(m->body.len, body.len);
	assert_memory_equal(buf_sv(&m->body).ptr, body.ptr, body.len);
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
	id = bench_fresh(&b, &rewritten, &claimed);
	assert_true(claimed);
	wait_for_mails(&b, 1, 0);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	id = bench_queue(&b, &rewritten);
	wait_for_mails(&b, 2, 0);
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
	wait_for_mails(&b, 1, 0);
	bench_wait_for(&b, id, 0, STORE_RCPT_DELIVERED, NULL);
	assert_int_equal(b.a.mails[0].announced, want.len);
	assert_body(&b.a.mails[0], buf_sv(&want));
	buf_deinit(&text);
	buf_deinit(&want);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_route_rewrites_fresh_and_queued_mail),
		cmocka_unit_test(a_large_message_streams_behind_its_new_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
