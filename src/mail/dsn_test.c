/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/dsn.h"

#include "base/err.h"

#include "cmocka_all.h"

static struct dsn_recipient recipient(void)
{
	return (struct dsn_recipient){
		.address = SV("jane@example.com"),
		.original = SV("rfc822;ja+2Bne@example.com"),
		.enhanced = SV("5.1.1"),
		.reply = SV("550-5.1.1 RESOLVER.ADR.RecipNotFound; not found\r\n550 5.1.1 see the "
			    "manual"),
		.relay = SV("smtp.office365.com"),
		.summary = SV("The mailbox does not exist."),
		.last_attempt_at = { 1000000 },
	};
}

static struct dsn notice(const struct dsn_recipient *r)
{
	return (struct dsn){
		.action = DSN_FAILED,
		.hostname = SV("relay.contoso.com"),
		.from = SV("relay@contoso.com"),
		.to = SV("erp@contoso.com"),
		.message_id = SV("<1@relay.contoso.com>"),
		.boundary = SV("b1234567890"),
		.envid = SV("env 1"),
		.queue_id = SV("0A1B2C3D4E5"),
		.arrived_at = { 1000000 },
		.now = { 2000000 },
		.expires_at = { 3000000 },
		.original_headers =
			SV("Subject: invoice\r\nFrom: erp@contoso.com\r\n\r\nsecret body\r\n"),
		.recipients = r,
		.recipient_count = 1,
	};
}

static void render(const struct dsn *d, struct buf *out)
{
	buf_init(out, 1 << 20);
	assert_int_equal(dsn_render(d, out), 0);
}

static bool has(const struct buf *out, const char *text)
{
	return sv_find(buf_sv(out), sv_from(text)) >= 0;
}

/* Whether every line ends in CRLF, is short enough and has no control character. */
static void check_lines(const struct buf *out)
{
	struct sv rest = buf_sv(out);
	struct sv line;

	while (sv_cut_line(&rest, &line)) {
		assert_true(line.len <= 998);
		for (size_t i = 0; i < line.len; i++)
			assert_true((unsigned char)line.ptr[i] >= 0x20 || line.ptr[i] == '\t');
	}
	assert_int_equal(rest.len, 0);
}

static void a_failure_says_who_why_and_what_to_do(void **state)
{
	static const char *const wanted[] = {
		"From: Mail Delivery System <relay@contoso.com>\r\n",
		"To: <erp@contoso.com>\r\n",
		"Auto-Submitted: auto-replied\r\n",
		"Content-Type: multipart/report; report-type=delivery-status;\r\n",
		"\r\n--b1234567890\r\nContent-Type: text/plain; charset=utf-8\r\n",
		"<jane@example.com>\r\n    Reason: The mailbox does not exist.\r\n",
		"    Answer of smtp.office365.com:\r\n        550-5.1.1 RESOLVER",
		"        550 5.1.1 see the manual\r\n",
		"    What to do: there is no such mailbox.",
		"Content-Type: message/delivery-status\r\n",
		"Reporting-MTA: dns; relay.contoso.com\r\n",
		"Original-Envelope-Id: env 1\r\n",
		"Original-Recipient: rfc822;ja+ne@example.com\r\n",
		"Final-Recipient: rfc822; jane@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n",
		"Remote-MTA: dns; smtp.office365.com\r\n",
		"Diagnostic-Code: smtp; 550-5.1.1",
		"Content-Type: text/rfc822-headers\r\n",
		"\r\nSubject: invoice\r\nFrom: erp@contoso.com\r\n\r\n--b1234567890--\r\n",
	};
	struct dsn_recipient r = recipient();
	struct dsn d = notice(&r);
	struct buf out;

	(void)state;
	r.step = SV("there is no such mailbox.");
	render(&d, &out);
	for (size_t i = 0; i < COUNT_OF(wanted); i++) {
		if (!has(&out, wanted[i]))
			fail_msg("no '%s' in %.*s", wanted[i], SV_ARG(buf_sv(&out)));
	}
	assert_false(has(&out, "secret body"));
	assert_false(has(&out, "8bit"));
	check_lines(&out);
	buf_deinit(&out);
}

static void a_delay_says_that_nothing_need_be_done(void **state)
{
	struct dsn_recipient r = recipient();
	struct dsn d = notice(&r);
	struct buf out;

	(void)state;
	d.action = DSN_DELAYED;
	r.enhanced = SV("4.4.1");
	render(&d, &out);
	assert_true(has(&out, "for your information"));
	assert_true(has(&out, "It will be tried until Thu, 01 Jan 1970 00:00:03 +0000."));
	assert_true(has(&out, "Action: delayed\r\nStatus: 4.4.1\r\n"));
	assert_true(has(&out, "Will-Retry-Until: "));
	assert_false(has(&out, "What to do"));
	buf_deinit(&out);
}

static void a_relay_notice_has_a_class_of_its_own(void **state)
{
	struct dsn_recipient r = { .address = SV("a@b.c"), .enhanced = SV("2.junk") };
	struct dsn d = notice(&r);
	struct buf out;

	(void)state;
	d.action = DSN_RELAYED;
	d.original_headers = SV("");
	render(&d, &out);
	assert_true(has(&out, "Action: relayed\r\nStatus: 2.0.0\r\n"));
	assert_false(has(&out, "Original-Recipient"));
	assert_false(has(&out, "Remote-MTA"));
	assert_false(has(&out, "text/rfc822-headers"));
	buf_deinit(&out);
}

static void utf8_addresses_get_the_global_types(void **state)
{
	struct dsn_recipient r = recipient();
	struct dsn d = notice(&r);
	struct buf out;

	(void)state;
	r.address = SV("j\xc3\xb6rg@example.com");
	d.original_headers = SV("Subject: \xc3\xb6\r\n");
	render(&d, &out);
	assert_true(has(&out, "Content-Type: message/global-delivery-status\r\n"));
	assert_true(has(&out, "Content-Type: message/global-headers\r\n"));
	assert_true(has(&out, "Final-Recipient: utf-8; j\xc3\xb6rg@example.com\r\n"));
	assert_true(has(&out, "MIME-Version: 1.0\r\nContent-Type: multipart/report"));
	buf_deinit(&out);
}

static void latin1_headers_stay_text_and_the_whole_says_8bit(void **state)
{
	struct dsn_recipient r = recipient();
	struct dsn d = notice(&r);
	struct buf out;
	ptrdiff_t first_part;

	(void)state;
	d.original_headers = SV("Subject: \xf6\r\n");
	r.reply = SV("550 5.1.1 \xf6\xff");
	render(&d, &out);
	assert_true(has(&out, "Content-Type: text/rfc822-headers\r\n"));
	assert_true(has(&out, "550 5.1.1 ??"));
	first_part = sv_find(buf_sv(&out), SV("--b1234567890"));
	assert_true(sv_find(buf_sv(&out), SV("Encoding: 8bit")) < first_part);
	buf_deinit(&out);
}

static void hostile_values_cannot_add_lines_or_parts(void **state)
{
	char word[9000];
	struct dsn_recipient r = recipient();
	struct dsn d = notice(&r);
	struct buf out;

	(void)state;
	memset(word, 'x', sizeof(word));
	r.reply = SV("550 5.1.1 a\r\nBcc: x@y\r\n\r\n--b1234567890--\r\n\0\x1b[31m");
	r.original = SV("rfc822;a+0D+0ABcc:x@y");
	r.summary = SV("one\nAction: delivered");
	d.envid = SV("a\r\n\r\nb");
	d.original_headers = sv_make(word, sizeof(word));
	render(&d, &out);
	check_lines(&out);
	assert_false(has(&out, "\r\nBcc: x@y"));
	assert_false(has(&out, "\r\nAction: delivered"));
	/* Three parts begin, one end: what the reply said of parts stands behind a blank. */
	assert_false(has(&out, "\r\n--b1234567890--\r\n\r\n"));
	buf_deinit(&out);
}

static void endless_words_and_header_lines_are_cut(void **state)
{
	static char word[70000];
	struct dsn_recipient r = recipient();
	struct dsn d = notice(&r);
	struct buf out, headers = BUF_INIT(200000);

	(void)state;
	memset(word, 'x', sizeof(word));
	r.reply = sv_make(word, sizeof(word));
	assert_int_equal(buf_append(&headers, SV("Subject: ")), 0);
	assert_int_equal(buf_append(&headers, sv_make(word, 5000)), 0);
	assert_int_equal(buf_append(&headers, SV("\r\nX: ")), 0);
	assert_int_equal(buf_append(&headers, sv_make(word, sizeof(word))), 0);
	assert_int_equal(buf_append(&headers, SV("\r\n")), 0);
	d.original_headers = buf_sv(&headers);
	render(&d, &out);
	check_lines(&out);
	assert_true(out.len < 40000);
	buf_deinit(&out);
	buf_deinit(&headers);
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
	struct dsn_recipient r = recipient();
	struct dsn d = notice(&r);
	struct buf whole;

	(void)state;
	render(&d, &whole);
	for (size_t room = 0; room < whole.len; room += 97) {
		struct buf out = BUF_INIT(room);

		assert_int_equal(dsn_render(&d, &out), RC_LIMIT);
		assert_int_equal(out.len, 0);
		buf_deinit(&out);
	}
	buf_deinit(&whole);
}

struct xtext_row {
	struct sv plain;
	struct sv xtext;
};

static const struct xtext_row xtext_rows[] = {
	{ SV_INIT(""), SV_INIT("") },
	{ SV_INIT("abc@d.e"), SV_INIT("abc@d.e") },
	{ SV_INIT("a+b=c d"), SV_INIT("a+2Bb+3Dc+20d") },
	{ SV_INIT("\r\n\0\xff"), SV_INIT("+0D+0A+00+FF") },
};

static void xtext_goes_both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(xtext_rows); i++) {
		struct buf b = BUF_INIT(100);

		assert_int_equal(dsn_xtext_encode(&b, xtext_rows[i].plain), 0);
		assert_true(sv_eq(buf_sv(&b), xtext_rows[i].xtext));
		buf_reset(&b);
		assert_int_equal(dsn_xtext_decode(&b, xtext_rows[i].xtext), 0);
		assert_true(sv_eq(buf_sv(&b), xtext_rows[i].plain));
		buf_deinit(&b);
	}
}

static void broken_xtext_is_refused(void **state)
{
	static const char *const bad[] = {
		"a=b", "a b", "+", "+1", "+1g", "+ab", "a+0a", "\x7f", "\xc3"
	};
	struct buf b = BUF_INIT(3);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		assert_int_equal(dsn_xtext_decode(&b, sv_from(bad[i])), RC_PARSE);
		assert_int_equal(b.len, 0);
	}
	assert_int_equal(dsn_xtext_decode(&b, SV("abcd")), RC_LIMIT);
	assert_int_equal(dsn_xtext_encode(&b, SV("ab+")), RC_LIMIT);
	assert_int_equal(b.len, 0);
	buf_deinit(&b);
}

/* With a file name, writes a sample notice there: for a look at it with other programs. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failure_says_who_why_and_what_to_do),
		cmocka_unit_test(a_delay_says_that_nothing_need_be_done),
		cmocka_unit_test(a_relay_notice_has_a_class_of_its_own),
		cmocka_unit_test(utf8_addresses_get_the_global_types),
		cmocka_unit_test(latin1_headers_stay_text_and_the_whole_says_8bit),
		cmocka_unit_test(hostile_values_cannot_add_lines_or_parts),
		cmocka_unit_test(endless_words_and_header_lines_are_cut),
		cmocka_unit_test(a_full_buffer_is_left_as_it_was),
		cmocka_unit_test(xtext_goes_both_ways),
		cmocka_unit_test(broken_xtext_is_refused),
	};

	if (argc > 1) {
		struct dsn_recipient r = recipient();
		struct dsn d = notice(&r);
		FILE *f = fopen(argv[1], "wbe");
		struct buf out;

		assert_non_null(f);
		render(&d, &out);
		(void)fwrite(buf_sv(&out).ptr, 1, out.len, f);
		(void)fclose(f);
		buf_deinit(&out);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
