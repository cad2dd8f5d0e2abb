/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/reply.h"

#include "base/err.h"
#include "base/limits.h"

#include "cmocka_all.h"

/* Parses one reply, `piece` bytes at a time; what the parser says last, with *out_left bytes not taken. */
static int parse_by(struct smtp_reply_parser *p, struct sv input, size_t piece,
	struct smtp_reply *out_reply, size_t *out_left)
{
	int rc = 0;

	while (rc == 0 && input.len) {
		struct sv part = sv_head(input, piece);
		size_t before = part.len;

		rc = smtp_reply_parse(p, &part, out_reply);
		input = sv_skip(input, before - part.len);
	}
	*out_left = input.len;
	return rc;
}

static void assert_sv(struct sv got, const char *expected)
{
	if (!sv_eq(got, sv_from(expected)))
		fail_msg("got '%.*s', expected '%s'", SV_ARG(got), expected);
}

struct reply_row {
	const char *name;
	const char *wire;
	int rc;
	uint16_t code;
	const char *enhanced;
	const char *text;
};

static const struct reply_row rows[] = {
	{ "one line", "250 2.1.0 Sender OK\r\n", 1, 250, "2.1.0", "Sender OK" },
	{ "no enhanced code",
		"354 Start mail input; end with <CRLF>.<CRLF>\r\n",
		1,
		354,
		"",
		"Start mail input; end with <CRLF>.<CRLF>" },
	{ "greeting of Exchange",
		"220 LO4P123CA0313.outlook.office365.com Microsoft ESMTP MAIL Service ready at "
		"Sun, 23 Nov 2025 "
		"09:21:31 +0000 [08DE2A6028D26C22]\r\n",
		1,
		220,
		"",
		"LO4P123CA0313.outlook.office365.com Microsoft ESMTP MAIL Service ready at Sun, 23 "
		"Nov 2025 "
		"09:21:31 +0000 [08DE2A6028D26C22]" },
	{ "EHLO of Exchange",
		"250-LO4P123CA0313.outlook.office365.com Hello [192.0.2.7]\r\n250-SIZE "
		"157286400\r\n"
		"250-PIPELINING\r\n250-AUTH LOGIN XOAUTH2\r\n250 SMTPUTF8\r\n",
		1,
		250,
		"",
		"LO4P123CA0313.outlook.office365.com Hello [192.0.2.7]\nSIZE "
		"157286400\nPIPELINING\n"
		"AUTH LOGIN XOAUTH2\nSMTPUTF8" },
	{ "refused sign-in",
		"535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.\r\n",
		1,
		535,
		"5.7.139",
		"Authentication unsuccessful, the user credentials were incorrect." },
	{ "enhanced code on each line is form",
		"550-5.7.1 first\r\n550-5.7.1 second\r\n550 5.7.1\r\n",
		1,
		550,
		"5.7.1",
		"first\nsecond\n" },
	{ "another enhanced code is text",
		"530-5.7.57 Client not authenticated to send mail.\r\n530 5.7.139 basic "
		"authentication is disabled\r\n",
		1,
		530,
		"5.7.57",
		"Client not authenticated to send mail.\n5.7.139 basic authentication is "
		"disabled" },
	{ "enhanced code of another class is text",
		"550 4.4.7 QUEUE.Expired; message expired\r\n",
		1,
		550,
		"",
		"4.4.7 QUEUE.Expired; message expired" },
	{ "an address is no enhanced code",
		"550 5.1.2.3 is gone\r\n",
		1,
		550,
		"",
		"5.1.2.3 is gone" },
	{ "too many digits", "550 5.1.1234 gone\r\n", 1, 550, "", "5.1.1234 gone" },
	{ "two digits in front", "550 55.1.1 gone\r\n", 1, 550, "", "55.1.1 gone" },
	{ "code alone", "250\r\n", 1, 250, "", "" },
	{ "code and space", "250 \r\n", 1, 250, "", "" },
	{ "enhanced code alone", "250 2.0.0\r\n", 1, 250, "2.0.0", "" },
	{ "bare LF", "250-one\n250 two\n", 1, 250, "", "one\ntwo" },
	{ "lowest", "200 x\r\n", 1, 200, "", "x" },
	{ "highest", "599 x\r\n", 1, 599, "", "x" },
	{ "unfinished", "250-one\r\n250 tw", 0, 0, "", "" },
	{ "bare CR", "250 one\rtwo\r\n", RC_PARSE, 0, "", "" },
	{ "control character", "250 one\001\r\n", 1, 250, "", "one\001" },
	{ "codes differ", "250-one\r\n251 two\r\n", RC_PARSE, 0, "", "" },
	{ "code too low", "199 x\r\n", RC_PARSE, 0, "", "" },
	{ "code too high", "600 x\r\n", RC_PARSE, 0, "", "" },
	{ "no digits", "2x0 x\r\n", RC_PARSE, 0, "", "" },
	{ "two digits", "25\r\n", RC_PARSE, 0, "", "" },
	{ "four digits", "2500 x\r\n", RC_PARSE, 0, "", "" },
	{ "no space", "250x\r\n", RC_PARSE, 0, "", "" },
	{ "empty line", "\r\n", RC_PARSE, 0, "", "" },
	{ "another protocol", "HTTP/1.1 400 Bad Request\r\n", RC_PARSE, 0, "", "" },
};

static void check_row(const struct reply_row *row, size_t piece)
{
	struct smtp_reply_parser p;
	struct smtp_reply r = { 0 };
	size_t left;
	int rc;

	smtp_reply_parser_init(&p);
	rc = parse_by(&p, sv_from(row->wire), piece, &r, &left);
	if (rc != row->rc)
		fail_msg("%s, cut by %zu: got %d", row->name, piece, rc);
	if (rc == 1) {
		assert_int_equal(r.code, row->code);
		assert_string_equal(r.enhanced, row->enhanced);
		assert_sv(r.text, row->text);
		assert_int_equal(left, 0);
	}
	smtp_reply_parser_deinit(&p);
}

static void replies_read_the_same_however_they_are_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t piece = 1; piece <= strlen(rows[i].wire); piece++)
			check_row(&rows[i], piece);
}

static void a_nul_is_no_text(void **state)
{
	static const char wire[] = "250 a\0b\r\n";
	struct smtp_reply_parser p;
	struct smtp_reply r;
	struct sv input = sv_make(wire, sizeof(wire) - 1);

	(void)state;
	smtp_reply_parser_init(&p);
	assert_int_equal(smtp_reply_parse(&p, &input, &r), RC_PARSE);
	smtp_reply_parser_deinit(&p);
}

static void replies_in_one_piece_come_one_by_one(void **state)
{
	struct sv input = SV("250 2.1.0 Sender OK\r\n550 5.1.10 not found\r\n354 go\r\n25");
	struct smtp_reply_parser p;
	struct smtp_reply r;

	(void)state;
	smtp_reply_parser_init(&p);
	assert_int_equal(smtp_reply_parse(&p, &input, &r), 1);
	assert_int_equal(r.code, 250);
	assert_int_equal(smtp_reply_parse(&p, &input, &r), 1);
	assert_int_equal(r.code, 550);
	assert_string_equal(r.enhanced, "5.1.10");
	assert_int_equal(smtp_reply_parse(&p, &input, &r), 1);
	assert_int_equal(r.code, 354);
	/* Nothing of the reply before is left over. */
	assert_string_equal(r.enhanced, "");
	assert_sv(r.text, "go");
	assert_int_equal(smtp_reply_parse(&p, &input, &r), 0);
	assert_int_equal(input.len, 0);
	smtp_reply_parser_deinit(&p);
}

static void endless_replies_are_cut_and_the_parse_goes_on(void **state)
{
	struct smtp_reply_parser p;
	struct smtp_reply r;
	char line[1002];
	struct sv input;

	(void)state;
	smtp_reply_parser_init(&p);
	memset(line, 'x', sizeof(line));
	memcpy(line, "550-", 4);
	memcpy(line + 1000, "\r\n", 2);
	for (int i = 0; i < 200; i++) {
		input = sv_make(line, sizeof(line));
		assert_int_equal(smtp_reply_parse(&p, &input, &r), 0);
	}
	input = SV("550 last\r\n250 next\r\n");
	assert_int_equal(smtp_reply_parse(&p, &input, &r), 1);
	assert_int_equal(r.code, 550);
	assert_int_equal(r.text.len, LIMIT_REPLY);
	assert_int_equal(smtp_reply_parse(&p, &input, &r), 1);
	assert_int_equal(r.code, 250);
	assert_sv(r.text, "next");
	smtp_reply_parser_deinit(&p);
}

/* Lines without a last one, or one line without an end: at a megabyte nobody reads on. */
static void a_reply_that_never_ends_is_a_failure(void **state)
{
	static const char *const pieces[] = {
		"220-more\r\n", "220-no line end", "250 a\r\n220-x\r\n"
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(pieces); i++) {
		struct smtp_reply_parser p;
		struct smtp_reply r;
		size_t given = 0;
		int rc = 0;

		smtp_reply_parser_init(&p);
		while (rc >= 0 && given < 2 * LIMIT_REPLY_READ) {
			struct sv input = sv_from(pieces[i]);

			given += input.len;
			while (input.len && rc >= 0)
				rc = smtp_reply_parse(&p, &input, &r);
		}
		if (i == 2)
			assert_int_equal(rc, RC_PARSE);
		else
			assert_int_equal(rc, RC_LIMIT);
		assert_true(given < LIMIT_REPLY_READ + 100);
		smtp_reply_parser_deinit(&p);
	}
}

/* One line of 40,000 bytes, whole or byte by byte. */
static void endless_lines_are_cut_at_the_same_place(void **state)
{
	static char line[40000];

	(void)state;
	memset(line, 'y', sizeof(line));
	memcpy(line, "554 ", 4);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	for (size_t piece = 1; piece <= sizeof(line); piece *= 200) {
		struct smtp_reply_parser p;
		struct smtp_reply r;
		size_t left;

		smtp_reply_parser_init(&p);
		assert_int_equal(parse_by(&p, sv_make(line, sizeof(line)), piece, &r, &left), 1);
		assert_int_equal(r.text.len, LIMIT_REPLY_LINE - 4);
		assert_int_equal(left, 0);
		smtp_reply_parser_deinit(&p);
	}
}

static void replies_are_written(void **state)
{
	static const struct {
		struct smtp_reply reply;
		const char *wire, *line;
	} cases[] = {
		{ { 250, "2.0.0", SV_INIT("OK <a@b>") },
			"250 2.0.0 OK <a@b>\r\n",
			"250 2.0.0 OK <a@b>" },
		{ { 550, "5.1.1", SV_INIT("one\n\ntwo") },
			"550-5.1.1 one\r\n550-5.1.1 \r\n550 5.1.1 two\r\n",
			"550 5.1.1 one two" },
		{ { 354, "", SV_INIT("go") }, "354 go\r\n", "354 go" },
		{ { 250, "", SV_INIT("") }, "250 \r\n", "250" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out = BUF_INIT(1000);

		assert_int_equal(smtp_reply_render(&cases[i].reply, &out), 0);
		assert_sv(buf_sv(&out), cases[i].wire);
		buf_reset(&out);
		assert_int_equal(smtp_reply_line(&cases[i].reply, &out), 0);
		assert_sv(buf_sv(&out), cases[i].line);
		buf_deinit(&out);
	}
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
	const struct smtp_reply r = { 550, "5.1.1", SV_INIT("one\ntwo") };
	struct buf out = BUF_INIT(20);

	(void)state;
	assert_int_equal(buf_append(&out, SV("head")), 0);
	assert_int_equal(smtp_reply_render(&r, &out), RC_LIMIT);
	assert_sv(buf_sv(&out), "head");
	assert_int_equal(smtp_reply_line(&r, &out), RC_LIMIT);
	assert_sv(buf_sv(&out), "head");
	buf_deinit(&out);
}

static void the_message_id_of_exchange_is_found(void **state)
{
	static const struct {
		struct smtp_reply reply;
		const char *id;
	} cases[] = {
		{ { 250,
			  "2.0.0",
			  SV_INIT("OK <AM0P123@X.PROD.OUTLOOK.COM> "
				  "[Hostname=AM0P123.PROD.OUTLOOK.COM]") },
			"<AM0P123@X.PROD.OUTLOOK.COM>" },
		{ { 250, "2.0.0", SV_INIT("ok <a@b>") }, "<a@b>" },
		{ { 250, "2.0.0", SV_INIT("OK: queued as 12345") }, "" },
		{ { 250, "2.0.0", SV_INIT("OK  1234 <not.first@b>") }, "" },
		{ { 250, "2.0.0", SV_INIT("OK <>") }, "" },
		{ { 250, "2.0.0", SV_INIT("OK <a b@c>") }, "" },
		{ { 250, "2.0.0", SV_INIT("OK <a@b") }, "" },
		{ { 250, "", SV_INIT("") }, "" },
		{ { 554, "5.0.0", SV_INIT("OK <a@b>") }, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_sv(smtp_reply_message_id(&cases[i].reply), cases[i].id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_read_the_same_however_they_are_cut),
		cmocka_unit_test(a_nul_is_no_text),
		cmocka_unit_test(replies_in_one_piece_come_one_by_one),
		cmocka_unit_test(endless_replies_are_cut_and_the_parse_goes_on),
		cmocka_unit_test(a_reply_that_never_ends_is_a_failure),
		cmocka_unit_test(endless_lines_are_cut_at_the_same_place),
		cmocka_unit_test(replies_are_written),
		cmocka_unit_test(a_full_buffer_is_left_as_it_was),
		cmocka_unit_test(the_message_id_of_exchange_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
