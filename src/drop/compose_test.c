/* SPDX-License-Identifier: Apache-2.0 */
#include "drop/compose.h"

#include "cmocka_all.h"

#define DATE "Date: Mon, 23 Nov 2026 20:22:17 +0000\r\n"

static const struct wall_time now = { INT64_C(1795465337000000) };
static const struct drop_user root = { SV_INIT("root"), SV_INIT("& Admin,Room 1,,") };

struct composed {
	struct arena arena;
	struct drop_message message;
	struct drop_envelope envelope;
	struct buf out, bad;
	struct err err;
	int rc;
};

static int collect(void *arg, struct sv bytes)
{
	struct buf *out = arg;

	return buf_append(out, bytes);
}

static void compose(struct composed *c, const struct drop_options *options, struct sv operand,
	const struct drop_user *user, struct sv in)
{
	const struct drop_compose_args args = {
		.options = options,
		.operands = &operand,
		.operand_count = operand.len ? 1 : 0,
		.user = user,
		.now = now,
		.bad = &c->bad,
	};

	*c = (struct composed){ 0 };
	buf_init(&c->bad, 1000);
	buf_init(&c->out, 100000);
	drop_message_init(&c->message, false);
	assert_int_equal(drop_message_feed(&c->message, in, NULL), 0);
	assert_int_equal(drop_message_end(&c->message, NULL), 0);
	c->rc = drop_compose(&c->arena, &args, &c->message, &c->envelope, &c->err);
	if (c->rc == 0) {
		assert_int_equal(drop_message_each(&c->message, collect, &c->out), 0);
		assert_int_equal(c->envelope.size, c->out.len);
	}
}

static void release(struct composed *c)
{
	drop_message_deinit(&c->message);
	buf_deinit(&c->out);
	buf_deinit(&c->bad);
	arena_reset(&c->arena);
}

static void assert_text(struct sv got, const char *want)
{
	if (!sv_eq(got, sv_from(want)))
		fail_msg("got: %.*s\nwant: %s", SV_ARG(got), want);
}

static void assert_recipients(const struct composed *c, const char *want)
{
	struct buf list = BUF_INIT(1000);

	for (size_t i = 0; i < c->envelope.recipient_count; i++) {
		assert_int_equal(buf_append(&list, i ? SV(" ") : SV("")), 0);
		assert_int_equal(buf_append(&list, c->envelope.recipients[i]), 0);
	}
	assert_text(buf_sv(&list), want);
	buf_deinit(&list);
}

static void what_is_missing_is_put_in(void **state)
{
	struct drop_options o = { 0 };
	struct composed c;

	(void)state;
	compose(&c, &o, SV("a@b.c"), &root, SV("Subject: x\n\nbody\n"));
	assert_int_equal(c.rc, 0);
	assert_text(c.envelope.sender, "root");
	assert_recipients(&c, "a@b.c");
	assert_text(
		buf_sv(&c.out), "Subject: x\r\nFrom: Root Admin <root>\r\n" DATE "\r\nbody\r\n");
	release(&c);
	o = (struct drop_options){
		.sender_given = true, .sender = SV("Erp <erp@x.y>"), .name = SV("J\xc3\xb6rg")
	};
	compose(&c, &o, SV("a@b.c"), &root, SV("Date: now\n\n"));
	assert_text(c.envelope.sender, "erp@x.y");
	assert_text(buf_sv(&c.out), "Date: now\r\nFrom: =?utf-8?B?SsO2cmc=?= <erp@x.y>\r\n\r\n");
	release(&c);
	o = (struct drop_options){ .sender_given = true, .sender = SV("<>") };
	compose(&c,
		&o,
		SV("a@b.c"),
		&(struct drop_user){ SV_INIT("www"), { 0 } },
		SV("Date: now\n"));
	assert_text(c.envelope.sender, "");
	assert_text(buf_sv(&c.out), "Date: now\r\nFrom: www\r\n\r\n");
	release(&c);
}

struct header_row {
	const char *name;
	struct sv operand;
	struct sv in;
	const char *recipients;
	const char *out;
};

#define FD "From: x\nDate: y\n"
#define FD_OUT "From: x\r\nDate: y\r\n"

static const struct header_row header_rows[] = {
	{ "to, cc and bcc",
		SV_INIT(""),
		SV_INIT(FD "To: A <a@x>, g: b@x;\nCc: root\nBcc: c@x\n\nt\n"),
		"a@x b@x root c@x",
		FD_OUT "To: A <a@x>, g: b@x;\r\nCc: root\r\n\r\nt\r\n" },
	{ "operands add",
		SV_INIT("z@x, Y <y@x>"),
		SV_INIT(FD "To: a@x\n\n"),
		"z@x y@x a@x",
		FD_OUT "To: a@x\r\n\r\n" },
	{ "once each",
		SV_INIT("A@x"),
		SV_INIT(FD "To: a@X, a@x\nTo: b@x\n\n"),
		"A@x b@x",
		FD_OUT "To: a@X, a@x\r\nTo: b@x\r\n\r\n" },
	{ "resent",
		SV_INIT(""),
		SV_INIT(FD "Resent-Bcc: r@x\nTo: a@x\nResent-To: s@x\n\n"),
		"s@x r@x",
		FD_OUT "To: a@x\r\nResent-To: s@x\r\n\r\n" },
	{ "folded",
		SV_INIT(""),
		SV_INIT(FD "To: a@x,\n  b@x\n\n"),
		"a@x b@x",
		FD_OUT "To: a@x,\r\n  b@x\r\n\r\n" },
	{ "only bcc",
		SV_INIT(""),
		SV_INIT(FD "To: undisclosed:;\nbcc: b@x\n\n"),
		"b@x",
		FD_OUT "To: undisclosed:;\r\n\r\n" },
};

static void recipients_come_from_the_header_too(void **state)
{
	struct drop_options o = { .recipients_from_header = true };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(header_rows); i++) {
		const struct header_row *row = &header_rows[i];
		struct composed c;

		compose(&c, &o, row->operand, &root, row->in);
		if (c.rc != 0)
			fail_msg("%s: %s", row->name, c.err.text);
		assert_recipients(&c, row->recipients);
		assert_text(buf_sv(&c.out), row->out);
		release(&c);
	}
}

static void bad_addresses_do_not_stop_the_good_ones(void **state)
{
	struct drop_options o = { .recipients_from_header = true };
	struct composed c;

	(void)state;
	compose(&c, &o, SV("a b@c"), &root, SV("To: a@b, <c, x y; d@e\nCc: f@g@h, <i@j>\n\n"));
	assert_int_equal(c.rc, 0);
	assert_recipients(&c, "a@b d@e i@j");
	assert_text(buf_sv(&c.bad), "a b@c\n<c\nx y\nf@g@h\n");
	release(&c);
	compose(&c, &o, SV("A@b, \"a\"@B"), &root, SV("To: a@b., a..b@c\n\n"));
	assert_recipients(&c, "A@b \"a..b\"@c");
	release(&c);
}

static void bad_addresses_stop_it(void **state)
{
	struct drop_options o = { .recipients_from_header = true };
	struct composed c;

	(void)state;
	compose(&c, &o, SV(""), &root, SV("Subject: x\n\nTo: a@b\n"));
	assert_int_equal(c.rc, RC_NOT_FOUND);
	release(&c);
	compose(&c, &o, SV(""), &root, SV("To: <c\n\n"));
	assert_int_equal(c.rc, RC_PARSE);
	assert_non_null(strstr(c.err.text, "'<c'"));
	release(&c);
	compose(&c, &o, SV("a b@c"), &root, SV("To: x y\n\n"));
	assert_int_equal(c.rc, RC_PARSE);
	assert_non_null(strstr(c.err.text, "'a b@c'"));
	release(&c);
	o = (struct drop_options){ .sender_given = true, .sender = SV("a@b\nRCPT TO:<c@d>") };
	compose(&c, &o, SV("a@b"), &root, SV("To: a@b\n\n"));
	assert_int_equal(c.rc, RC_PARSE);
	release(&c);
	o.sender = SV("a@b,c@d");
	compose(&c, &o, SV("a@b"), &root, SV("To: a@b\n\n"));
	assert_int_equal(c.rc, RC_PARSE);
	assert_non_null(strstr(c.err.text, "one sender"));
	release(&c);
}

static void odd_users_can_send(void **state)
{
	struct drop_options o = { 0 };
	struct composed c;

	(void)state;
	compose(&c,
		&o,
		SV("a@b"),
		&(struct drop_user){ SV_INIT("CONTOSO\\anna"), SV_INIT("A\nB: \"c\"") },
		SV("Date: y\n\n"));
	assert_int_equal(c.rc, 0);
	assert_text(c.envelope.sender, "\"CONTOSO\\\\anna\"");
	assert_text(buf_sv(&c.out),
		"Date: y\r\nFrom: \"A?B: \\\"c\\\"\" <\"CONTOSO\\\\anna\">\r\n\r\n");
	release(&c);
}

static void what_the_way_must_be_able_to_is_said(void **state)
{
	struct drop_options o = { 0 };
	struct composed c;

	(void)state;
	compose(&c, &o, SV("j\xc3\xb6rg@x.y"), &root, SV("Subject: x\n\nx\n"));
	assert_true(c.envelope.smtputf8);
	assert_false(c.envelope.body_8bit);
	release(&c);
	compose(&c, &o, SV("a@x.y"), &root, SV("Subject: x\n\n\xc3\xb6\n"));
	assert_false(c.envelope.smtputf8);
	assert_true(c.envelope.body_8bit);
	release(&c);
}

static void too_many_recipients_are_refused(void **state)
{
	struct drop_options o = { .recipients_from_header = true };
	struct buf in = BUF_INIT(200000);
	struct composed c;

	(void)state;
	assert_int_equal(buf_append(&in, SV("To: a\n")), 0);
	for (int i = 0; i < LIMIT_RCPT; i++)
		assert_int_equal(buf_printf(&in, " ,a%d@x.y\n", i), 0);
	compose(&c, &o, SV(""), &root, buf_sv(&in));
	assert_int_equal(c.rc, RC_LIMIT);
	release(&c);
	buf_deinit(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_missing_is_put_in),
		cmocka_unit_test(recipients_come_from_the_header_too),
		cmocka_unit_test(bad_addresses_do_not_stop_the_good_ones),
		cmocka_unit_test(bad_addresses_stop_it),
		cmocka_unit_test(odd_users_can_send),
		cmocka_unit_test(what_the_way_must_be_able_to_is_said),
		cmocka_unit_test(too_many_recipients_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
