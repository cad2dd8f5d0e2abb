/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/header.h"

#include "base/err.h"

#include "cmocka_all.h"

/* Feeds in pieces of `step` bytes as a session would; the body behind the block goes to `out_body`. */
static int feed(struct header_block *h, struct sv bytes, size_t step, struct sv *out_body)
{
	*out_body = sv_make(NULL, 0);
	while (bytes.len) {
		struct sv piece = sv_head(bytes, step);
		size_t used = 0;
		int rc = header_block_feed(h, piece, &used);

		if (rc < 0)
			return rc;
		assert_true(rc == 1 || used == piece.len);
		bytes = sv_skip(bytes, used);
		if (rc == 1) {
			*out_body = bytes;
			return 0;
		}
	}
	return header_block_end(h);
}

/* The whole way; returns the message as it would be stored. */
static int edit(struct sv text, size_t step, const struct header_edits *edits, struct buf *out)
{
	CLEANUP(header_block_freep) struct header_block *h = header_block_new(100000, 100);
	struct sv body;
	int rc = feed(h, text, step, &body);

	if (rc == 0)
		rc = header_block_render(h, edits, out);
	return rc == 0 ? buf_append(out, body) : rc;
}

#define RECEIVED SV_INIT("by h (postern) with local\r\n\tid 1;\r\n\tdate")
#define TOP "Received: by h (postern) with local\r\n\tid 1;\r\n\tdate\r\n"

struct edit_row {
	const char *name;
	struct header_edits edits;
	const char *in;
	const char *out;
};

static const struct edit_row edit_rows[] = {
	{ "nothing to do", { .received = { 0 } }, "A: b\r\n\r\nx\r\n", "A: b\r\n\r\nx\r\n" },
	{ "odd fields stay",
		{ .received = RECEIVED },
		"x-Odd :  a \r\n\t b  \r\nEMPTY:\r\n \r\nA:b\r\n\r\n",
		TOP "x-Odd :  a \r\n\t b  \r\nEMPTY:\r\n \r\nA:b\r\n\r\n" },
	{ "header only", { .received = RECEIVED }, "A: b\r\n", TOP "A: b\r\n\r\n" },
	{ "header without its last line end",
		{ .received = RECEIVED },
		"A: b",
		TOP "A: b\r\n\r\n" },
	{ "header that ends in CR", { .received = RECEIVED }, "A: b\r", TOP "A: b\r\n\r\n" },
	{ "empty message", { .received = RECEIVED }, "", TOP "\r\n" },
	{ "empty header", { .received = RECEIVED }, "\r\nx: y\r\n", TOP "\r\nx: y\r\n" },
	{ "body at once",
		{ .received = RECEIVED },
		"hello you\r\nA: b\r\n",
		TOP "\r\nhello you\r\nA: b\r\n" },
	{ "body at once, one word", { .received = RECEIVED }, "hello", TOP "\r\nhello" },
	{ "body begins with a blank", { .received = RECEIVED }, " A: b\r\n", TOP "\r\n A: b\r\n" },
	{ "body begins with CR", { .received = RECEIVED }, "\rA: b\r\n", TOP "\r\n\rA: b\r\n" },
	{ "body follows without an empty line",
		{ .received = RECEIVED },
		"A: b\r\nhello you\r\n\r\nmore\r\n",
		TOP "A: b\r\n\r\nhello you\r\n\r\nmore\r\n" },
	{ "colon first is no field",
		{ .received = RECEIVED },
		"A: b\r\n: c\r\n",
		TOP "A: b\r\n\r\n: c\r\n" },
	{ "8-bit name is no field",
		{ .received = RECEIVED },
		"\xc3\xb6: c\r\n",
		TOP "\r\n\xc3\xb6: c\r\n" },
	{ "bare line ends do not end a field",
		{ .drop_bcc = true },
		"A: b\nBcc: x\r\nC: d\rBcc: y\r\n\r\n",
		"A: b\nBcc: x\r\nC: d\rBcc: y\r\n\r\n" },
	{ "bcc goes, folding too",
		{ .drop_bcc = true },
		"To: a\r\nBCC : b,\r\n c\r\nResent-bcc:d\r\nX-Bcc: e\r\n\r\n",
		"To: a\r\nX-Bcc: e\r\n\r\n" },
	{ "return path goes",
		{ .drop_return_path = true, .received = RECEIVED },
		"Return-Path: <x>\r\nA: b\r\n\r\n",
		TOP "A: b\r\n\r\n" },
	{ "message id and date are added",
		{ .message_id = SV_INIT("<1@h>"), .date = { 1 } },
		"A: b\r\n\r\n",
		"A: b\r\nMessage-ID: <1@h>\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n\r\n" },
	{ "message id and date are kept",
		{ .message_id = SV_INIT("<1@h>"), .date = { 1 } },
		"DATE: x\r\nmessage-id: y\r\n\r\n",
		"DATE: x\r\nmessage-id: y\r\n\r\n" },
	{ "an empty message id counts as missing",
		{ .message_id = SV_INIT("<1@h>") },
		"Message-ID:\r\n\r\n",
		"Message-ID: <1@h>\r\n\r\n" },
	{ "an mbox line goes",
		{ .received = RECEIVED },
		"From 0123 Mon Sep 17 00:00:00 2001\r\nA: b\r\n\r\nFrom x\r\n",
		TOP "A: b\r\n\r\nFrom x\r\n" },
	{ "a quoted mbox line goes, only one",
		{ .received = RECEIVED },
		">From a@b Mon\r\nFrom a@b Mon\r\nA: b\r\n",
		TOP "\r\nFrom a@b Mon\r\nA: b\r\n" },
	{ "an mbox line and a body",
		{ .received = RECEIVED },
		"From a@b Mon\r\n\r\nx\r\n",
		TOP "\r\nx\r\n" },
	{ "an mbox line only", { .received = RECEIVED }, "From a@b Mon", TOP "\r\n" },
	{ "From with a blank is a field",
		{ .received = RECEIVED },
		"From  : a@b\r\n\r\nx",
		TOP "From  : a@b\r\n\r\nx" },
	{ "an mbox line later is body",
		{ .received = RECEIVED },
		"A: b\r\nFrom a@b Mon\r\nC: d\r\n",
		TOP "A: b\r\n\r\nFrom a@b Mon\r\nC: d\r\n" },
	{ "a byte order mark goes",
		{ .drop_bcc = true },
		"\xef\xbb\xbf"
		"Bcc: x\r\nA: b\r\n\r\n\xef\xbb\xbf",
		"A: b\r\n\r\n\xef\xbb\xbf" },
	{ "a byte order mark before an mbox line goes",
		{ .received = RECEIVED },
		"\xef\xbb\xbf"
		"From a Mon\r\nA: b\r\n",
		TOP "A: b\r\n\r\n" },
	{ "a byte order mark of a body stays",
		{ .received = RECEIVED },
		"\xef\xbb\xbfhello you\r\n",
		TOP "\r\n\xef\xbb\xbfhello you\r\n" },
	{ "a colon behind a byte order mark is no field",
		{ .received = RECEIVED },
		"\xef\xbb\xbf: x\r\n",
		TOP "\r\n\xef\xbb\xbf: x\r\n" },
	{ "half a byte order mark is no field",
		{ .received = RECEIVED },
		"\xef\xbb"
		"A: x\r\n",
		TOP "\r\n\xef\xbb"
		    "A: x\r\n" },
	{ "an empty from counts as missing",
		{ .from_missing = SV_INIT("n@w.x") },
		"From:\r\nA: b\r\nFrom: \r\n\r\n",
		"A: b\r\nFrom: n@w.x\r\n\r\n" },
	{ "a from behind an empty one is kept",
		{ .from_missing = SV_INIT("n@w.x") },
		"From:\r\nFrom: a@b\r\n\r\n",
		"From: a@b\r\n\r\n" },
	{ "from takes sender with it",
		{ .from = SV_INIT("n@w.x") },
		"sender: s@w.x\r\nFrom: a@b\r\nSender: t@w.x\r\n\r\n",
		"From: n@w.x\r\n\r\n" },
	{ "sender stays with from",
		{ .received = RECEIVED },
		"From: a@b\r\nSender: t@w.x\r\n\r\n",
		TOP "From: a@b\r\nSender: t@w.x\r\n\r\n" },
	{ "from keeps the name",
		{ .from = SV_INIT("n@w.x") },
		"From: \"Smith, J\" <a@b.c> (home)\r\n\r\n",
		"From: \"Smith, J\" <n@w.x> (home)\r\n\r\n" },
	{ "from keeps the comment",
		{ .from = SV_INIT("n@w.x") },
		"From:a@b.c (Cron)\r\n\r\n",
		"From:n@w.x (Cron)\r\n\r\n" },
	{ "from is bare",
		{ .from = SV_INIT("n@w.x") },
		"From: root\r\n\r\n",
		"From: n@w.x\r\n\r\n" },
	{ "from is empty angles",
		{ .from = SV_INIT("n@w.x") },
		"From: X <>\r\n\r\n",
		"From: X <n@w.x>\r\n\r\n" },
	{ "from is empty", { .from = SV_INIT("n@w.x") }, "From:\r\n\r\n", "From: n@w.x\r\n\r\n" },
	{ "from has two",
		{ .from = SV_INIT("n@w.x") },
		"From: X <a@b.c>,\r\n d@e.f\r\n\r\n",
		"From: n@w.x\r\n\r\n" },
	{ "from cannot be read",
		{ .from = SV_INIT("n@w.x") },
		"From: X <a@b.c\r\n\r\n",
		"From: n@w.x\r\n\r\n" },
	{ "a second from goes",
		{ .from = SV_INIT("n@w.x") },
		"From: a@b.c\r\nA: b\r\nFrom: c@d.e\r\n\r\n",
		"From: n@w.x\r\nA: b\r\n\r\n" },
	{ "a second from goes without another address, too",
		{ .one_from = true },
		"From: a@b.c\r\nA: b\r\nfrom: A <a@b.c>\r\n\r\n",
		"From: a@b.c\r\nA: b\r\n\r\n" },
	{ "from takes those who sent it on with it",
		{ .from = SV_INIT("n@w.x") },
		"Resent-From: X <r@b.c>\r\nResent-Sender: s@b.c\r\nFrom: a@b\r\nRESENT-FROM: "
		"<<\r\n\r\n",
		"Resent-From: X <n@w.x>\r\nFrom: n@w.x\r\nRESENT-FROM: n@w.x\r\n\r\n" },
	{ "from is missing",
		{ .from = SV_INIT("n@w.x"), .from_missing = SV_INIT("y") },
		"A: b\r\n\r\n",
		"A: b\r\nFrom: n@w.x\r\n\r\n" },
	{ "from of sendmail",
		{ .from_missing = SV_INIT("R <r@x>") },
		"A: b\r\n\r\n",
		"A: b\r\nFrom: R <r@x>\r\n\r\n" },
	{ "from of sendmail is not needed",
		{ .from_missing = SV_INIT("R <r@x>") },
		"From: b\r\n\r\n",
		"From: b\r\n\r\n" },
	{ "bare addresses get a domain",
		{ .qualify = SV_INIT("c.d") },
		"From: root (Cron)\r\nTo: a, B <b>,\r\n x@y.z,\"q r\"\r\nCc: G: e, f@g;\r\nX: "
		"a\r\nBcc: a\r\n\r\n",
		"From: root@c.d (Cron)\r\nTo: a@c.d, B <b@c.d>,\r\n x@y.z,\"q r\"@c.d\r\nCc: G: "
		"e@c.d, f@g;\r\nX: "
		"a\r\nBcc: a\r\n\r\n" },
	{ "what cannot be read is not qualified",
		{ .qualify = SV_INIT("c.d") },
		"To: a, Mister Smith\r\n\r\n",
		"To: a, Mister Smith\r\n\r\n" },
	{ "reply-to is added",
		{ .reply_to_missing = SV_INIT("o@w.x"), .from = SV_INIT("n@w.x") },
		"From: X <o@w.x>\r\n\r\n",
		"From: X <n@w.x>\r\nReply-To: o@w.x\r\n\r\n" },
	{ "reply-to is kept",
		{ .reply_to_missing = SV_INIT("o@w.x") },
		"reply-TO : a@b\r\n\r\n",
		"reply-TO : a@b\r\n\r\n" },
	{ "an empty reply-to counts as missing",
		{ .reply_to_missing = SV_INIT("o@w.x") },
		"Reply-To:\r\n \r\nA: b\r\n\r\n",
		"A: b\r\nReply-To: o@w.x\r\n\r\n" },
	{ "an empty reply-to stays where none is given",
		{ .received = RECEIVED },
		"Reply-To:\r\n\r\n",
		TOP "Reply-To:\r\n\r\n" },
	{ "every field that names recipients goes",
		{ .drop_recipients = true, .added = SV_INIT("To: z@z\r\n") },
		"TO: a\r\nCC : b,\r\n c\r\nBcc:d\r\nResent-To: e\r\nresent-cc: f\r\n"
		"Resent-Bcc: g\r\nTo: h\r\nX-To: i\r\nReply-To: j\r\n\r\nTo: body\r\n",
		"X-To: i\r\nReply-To: j\r\nTo: z@z\r\n\r\nTo: body\r\n" },
	{ "extra fields come last",
		{ .added = SV_INIT("X: 1\r\nY: 2\r\n"), .message_id = SV_INIT("<1@h>") },
		"A: b\r\n\r\n",
		"A: b\r\nMessage-ID: <1@h>\r\nX: 1\r\nY: 2\r\n\r\n" },
};

static void edits_change_what_they_name_in_any_splitting(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(edit_rows); i++) {
		const struct edit_row *row = &edit_rows[i];

		for (size_t step = 1; step <= strlen(row->in) + 1; step++) {
			struct buf out = BUF_INIT(100000);

			assert_int_equal(edit(sv_from(row->in), step, &row->edits, &out), 0);
			if (!sv_eq(buf_sv(&out), sv_from(row->out)))
				fail_msg("%s, step %zu: %.*s",
					row->name,
					step,
					SV_ARG(buf_sv(&out)));
			buf_deinit(&out);
		}
	}
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
	const struct header_edits edits = { .received = RECEIVED };

	(void)state;
	for (size_t room = 0; room < sizeof(TOP "A: b\r\n\r\n") - 1; room++) {
		CLEANUP(header_block_freep) struct header_block *h = header_block_new(100, 10);
		struct buf out = BUF_INIT(room + 1);
		struct sv body;

		assert_int_equal(buf_append_char(&out, 'x'), 0);
		assert_int_equal(feed(h, SV("A: b\r\n\r\n"), 100, &body), 0);
		assert_int_equal(header_block_render(h, &edits, &out), RC_LIMIT);
		assert_true(sv_eq(buf_sv(&out), SV("x")));
		buf_deinit(&out);
	}
}

static void limits_hold_for_bytes_and_fields(void **state)
{
	(void)state;
	for (size_t step = 1; step < 20; step++) {
		struct header_block *h = header_block_new(12, 100);
		struct sv body;

		assert_int_equal(feed(h, SV("A: b\r\nC: d\r\n\r\n"), step, &body), 0);
		header_block_free(h);
		h = header_block_new(11, 100);
		assert_int_equal(feed(h, SV("A: b\r\nC: d\r\n\r\n"), step, &body), RC_LIMIT);
		assert_int_equal(header_block_end(h), RC_LIMIT);
		header_block_free(h);
		h = header_block_new(100, 1);
		assert_int_equal(feed(h, SV("A: b\r\nC: d\r\n\r\n"), step, &body), RC_LIMIT);
		header_block_free(h);
	}
}

static void a_body_behind_the_limit_is_no_header(void **state)
{
	char line[5000];
	struct sv body;

	(void)state;
	memset(line, 'x', sizeof(line));
	for (size_t step = 1; step <= sizeof(line); step += 1666) {
		CLEANUP(header_block_freep) struct header_block *h = header_block_new(2000, 10);

		assert_int_equal(feed(h, sv_make(line, sizeof(line)), step, &body), 0);
		assert_true(header_block_body_bytes(h) < 1000);
		assert_int_equal(header_block_body_bytes(h) + body.len, sizeof(line));
	}
}

static void values_are_unfolded_and_counted(void **state)
{
	CLEANUP(header_block_freep) struct header_block *h = header_block_new(1000, 10);
	struct sv value, body;

	(void)state;
	assert_int_equal(
		feed(h, SV("Subject:  a\r\n\tb \r\n \r\nTo:x\r\nTO :\r\n\r\n"), 3, &body), 0);
	assert_true(header_block_get(h, SV("subject"), &value));
	assert_true(sv_eq(value, SV("a\tb")));
	assert_true(header_block_get(h, SV("To"), &value));
	assert_true(sv_eq(value, SV("x")));
	assert_int_equal(header_block_count(h, SV("to")), 2);
	assert_int_equal(header_block_count(h, SV("Bcc")), 0);
	assert_false(header_block_get(h, SV("Bcc"), &value));
	assert_int_equal(value.len, 0);
}

struct facts_row {
	const char *name;
	const char *in;
	const char *message_id, *subject, *from;
	uint32_t hops;
	bool auto_submitted, has_8bit;
};

static const struct facts_row facts_rows[] = {
	{ "usual",
		"Received: a\r\nReceived: b\r\nMessage-ID: <a@b>\r\nSubject: hi\r\nFrom: X <a (c) "
		"@b.c>, d@e\r\n\r\n",
		"<a@b>",
		"hi",
		"a@b.c",
		2,
		false,
		false },
	{ "nothing", "\r\n", "", "", "", 0, false, false },
	{ "8-bit and automatic",
		"Subject: \xf6\r\nAuto-Submitted: auto-replied (x)\r\n\r\n",
		"",
		"\xf6",
		"",
		0,
		true,
		true },
	{ "not automatic", "Auto-Submitted: NO; a=b\r\n\r\n", "", "", "", 0, false, false },
	{ "folded id with comment",
		"Message-ID: (c)\r\n <a@b> (d)\r\n\r\n",
		"<a@b>",
		"",
		"",
		0,
		false,
		false },
	{ "id with a blank", "Message-ID: <a b>\r\nFrom: <>\r\n\r\n", "", "", "", 0, false, false },
	{ "id with a bare LF",
		"Message-ID: <a\nb>\r\nFrom: Mister Smith\r\n\r\n",
		"",
		"",
		"",
		0,
		false,
		false },
	{ "8-bit body is no header", "hello \xf6\r\n", "", "", "", 0, false, false },
};

static void facts_are_taken_from_the_block(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(facts_rows); i++) {
		const struct facts_row *row = &facts_rows[i];
		CLEANUP(header_block_freep) struct header_block *h = header_block_new(1000, 10);
		struct header_facts facts;
		struct sv body;

		assert_int_equal(feed(h, sv_from(row->in), 1, &body), 0);
		header_block_facts(h, &facts);
		if (!sv_eq(facts.message_id, sv_from(row->message_id)) ||
			!sv_eq(facts.subject, sv_from(row->subject)) ||
			!sv_eq(facts.from, sv_from(row->from)) ||
			facts.received_hops != row->hops ||
			facts.auto_submitted != row->auto_submitted ||
			facts.has_8bit != row->has_8bit)
			fail_msg("%s: <%.*s> <%.*s> <%.*s>",
				row->name,
				SV_ARG(facts.message_id),
				SV_ARG(facts.subject),
				SV_ARG(facts.from));
	}
}

static void note_address(void *arg, struct sv address)
{
	assert_int_equal(buf_printf(arg, "%.*s|", SV_ARG(address)), 0);
}

static void addresses_come_from_every_field_of_the_name(void **state)
{
	CLEANUP(header_block_freep) struct header_block *h = header_block_new(1000, 10);
	struct buf found = BUF_INIT(1000);
	struct sv body;

	(void)state;
	assert_int_equal(
		feed(h,
			SV("To: a@b,\r\n c@d\r\nCc: <>,g: h@i;\r\nTo: e@f\r\nBcc: x, a b\r\n\r\n"),
			7,
			&body),
		0);
	assert_int_equal(header_block_addresses(h, SV("TO"), note_address, NULL, &found), 0);
	assert_int_equal(header_block_addresses(h, SV("Cc"), note_address, NULL, &found), 0);
	assert_int_equal(
		header_block_addresses(h, SV("Bcc"), note_address, NULL, &found), RC_PARSE);
	assert_true(sv_eq(buf_sv(&found), SV("a@b|c@d|e@f|h@i|x|")));
	buf_deinit(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits_change_what_they_name_in_any_splitting),
		cmocka_unit_test(a_full_buffer_is_left_as_it_was),
		cmocka_unit_test(limits_hold_for_bytes_and_fields),
		cmocka_unit_test(a_body_behind_the_limit_is_no_header),
		cmocka_unit_test(values_are_unfolded_and_counted),
		cmocka_unit_test(facts_are_taken_from_the_block),
		cmocka_unit_test(addresses_come_from_every_field_of_the_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
