/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/drop_format.h"

#include "base/limits.h"

#include "cmocka_all.h"

#define SIZE_LINE "size 00000000000000000012\n"
#define MINIMAL "postern-drop 1\nsender \nrecipient a@b.c\n" SIZE_LINE "\n"

static const struct sv two[] = { SV_INIT("a@b.c"), SV_INIT("j\xc3\xb6rg") };

static const struct drop_envelope full = {
	.sender = SV_INIT("erp@contoso.com"),
	.envid = SV_INIT("x y"),
	.ret = DSN_RET_HDRS,
	.notify = DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY,
	.body_8bit = true,
	.smtputf8 = true,
	.size = 12,
	.recipients = two,
	.recipient_count = 2,
};

static void an_envelope_goes_both_ways_in_any_cutting(void **state)
{
	struct buf out = BUF_INIT(10000);
	struct arena arena = { 0 };
	struct drop_envelope e;
	size_t size_at, used;

	(void)state;
	assert_int_equal(drop_envelope_render(&full, &out, &size_at), 0);
	assert_true(sv_eq(buf_sv(&out),
		SV("postern-drop 1\nsender erp@contoso.com\nret hdrs\nenvid x+20y\nbody "
		   "8bitmime\nsmtputf8\nnotify success,delay\nrecipient a@b.c\nrecipient "
		   "j\xc3\xb6rg\n" SIZE_LINE "\n")));
	assert_true(sv_starts(sv_skip(buf_sv(&out), size_at), SV("00000000000000000012\n\n")));
	for (size_t n = 0; n < out.len; n++)
		assert_int_equal(
			drop_envelope_parse(&arena, sv_head(buf_sv(&out), n), &e, &used, NULL), 0);
	assert_int_equal(buf_append(&out, SV("From: x\r\n\r\n")), 0);
	assert_int_equal(drop_envelope_parse(&arena, buf_sv(&out), &e, &used, NULL), 1);
	assert_int_equal(used, out.len - 11);
	assert_true(sv_eq(e.sender, full.sender));
	assert_true(sv_eq(e.envid, full.envid));
	assert_int_equal(e.ret, full.ret);
	assert_int_equal(e.notify, full.notify);
	assert_true(e.body_8bit);
	assert_true(e.smtputf8);
	assert_int_equal(e.size, 12);
	assert_int_equal(e.recipient_count, 2);
	assert_true(sv_eq(e.recipients[0], two[0]));
	assert_true(sv_eq(e.recipients[1], two[1]));
	assert_int_equal(drop_file_size(&e, used), used + 12 + 17);
	arena_reset(&arena);
	buf_deinit(&out);
}

struct bad_row {
	const char *text;
	int rc;
	const char *why;
};

static const struct bad_row bad_rows[] = {
	{ "postern-drop 2\n", RC_PARSE, "version" },
	{ "From: x", RC_PARSE, "not a message" },
	{ "postern-drop 1\n\n", RC_PARSE, "no sender" },
	{ "postern-drop 1\nsender\nrecipient a@b\n\n", RC_PARSE, "no size" },
	{ "postern-drop 1\nsender\n" SIZE_LINE "\n", RC_PARSE, "no recipient" },
	{ "postern-drop 1\nsender a\nsender b\n\n", RC_PARSE, "line 3: a second 'sender'" },
	{ "postern-drop 1\nsender a b\n\n", RC_PARSE, "line 2: unusable 'sender'" },
	{ "postern-drop 1\nrecipient \n\n", RC_PARSE, "unusable 'recipient'" },
	{ "postern-drop 1\nrecipient a@b\r\n\n", RC_PARSE, "unusable 'recipient'" },
	{ "postern-drop 1\nuid 0\n\n", RC_PARSE, "line 2: an unknown word" },
	{ "postern-drop 1\nsize 12\n\n", RC_PARSE, "unusable 'size'" },
	{ "postern-drop 1\nsize 00000000000157286401\n\n", RC_LIMIT, "unusable 'size'" },
	{ "postern-drop 1\nsize -0000000000000000001\n\n", RC_PARSE, "unusable 'size'" },
	{ "postern-drop 1\nnotify never,delay\n\n", RC_PARSE, "unusable 'notify'" },
	{ "postern-drop 1\nnotify \n\n", RC_PARSE, "unusable 'notify'" },
	{ "postern-drop 1\nret all\n\n", RC_PARSE, "unusable 'ret'" },
	{ "postern-drop 1\nenvid a b\n\n", RC_PARSE, "unusable 'envid'" },
	{ "postern-drop 1\nbody x\n\n", RC_PARSE, "unusable 'body'" },
	{ "postern-drop 1\nsmtputf8 x\n\n", RC_PARSE, "unusable 'smtputf8'" },
};

static void what_is_no_envelope_is_refused_with_its_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad_rows); i++) {
		const struct bad_row *row = &bad_rows[i];
		struct arena arena = { 0 };
		struct drop_envelope e;
		struct err err = { 0 };
		size_t used;
		int rc = drop_envelope_parse(&arena, sv_from(row->text), &e, &used, &err);

		if (rc != row->rc || !strstr(err.text, row->why))
			fail_msg("%s: %d, %s", row->text, rc, err.text);
		arena_reset(&arena);
	}
}

static void an_envelope_without_end_is_refused(void **state)
{
	struct buf in = BUF_INIT(DROP_ENVELOPE_MAX + 100);
	struct arena arena = { 0 };
	struct drop_envelope e;
	size_t used;

	(void)state;
	assert_int_equal(buf_append(&in, SV("postern-drop 1\nsender ")), 0);
	while (in.len <= DROP_ENVELOPE_MAX)
		assert_int_equal(buf_append(&in, SV("0123456789012345678901234567890")), 0);
	assert_int_equal(drop_envelope_parse(&arena, buf_sv(&in), &e, &used, NULL), RC_LIMIT);
	buf_reset(&in);
	assert_int_equal(buf_append(&in, SV("postern-drop 1\n")), 0);
	for (int i = 0; i <= LIMIT_RCPT; i++)
		assert_int_equal(buf_append(&in, SV("recipient a\n")), 0);
	assert_int_equal(drop_envelope_parse(&arena, buf_sv(&in), &e, &used, NULL), RC_LIMIT);
	arena_reset(&arena);
	buf_deinit(&in);
}

static void the_least_envelope_is_enough(void **state)
{
	struct arena arena = { 0 };
	struct drop_envelope e;
	size_t used;

	(void)state;
	assert_int_equal(drop_envelope_parse(&arena, SV(MINIMAL), &e, &used, NULL), 1);
	assert_int_equal(e.sender.len, 0);
	assert_int_equal(e.notify, 0);
	assert_int_equal(e.ret, DSN_RET_NONE);
	assert_false(e.smtputf8);
	arena_reset(&arena);
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
	size_t size_at;

	(void)state;
	for (size_t room = 0; room < 100; room++) {
		struct buf out = BUF_INIT(room);

		assert_int_equal(drop_envelope_render(&full, &out, &size_at), RC_LIMIT);
		assert_int_equal(out.len, 0);
		buf_deinit(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_envelope_goes_both_ways_in_any_cutting),
		cmocka_unit_test(what_is_no_envelope_is_refused_with_its_line),
		cmocka_unit_test(an_envelope_without_end_is_refused),
		cmocka_unit_test(the_least_envelope_is_enough),
		cmocka_unit_test(a_full_buffer_is_left_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
