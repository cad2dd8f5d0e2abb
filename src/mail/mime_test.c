/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/mime.h"

#include "base/err.h"

#include "cmocka_all.h"

/* ---- top ---- */

static const struct {
	const char *header;
	enum mime_top_kind kind;
	const char *boundary;
} tops[] = {
	{ "X: y\r\n\r\n", MIME_TOP_SINGLE, "" },
	{ "Content-Type: text/plain; charset=utf-8\r\n\r\n", MIME_TOP_SINGLE, "" },
	{ "Content-Type: Multipart/Mixed;\r\n boundary=\"=_a b\"\r\n\r\n",
		MIME_TOP_MULTIPART,
		"=_a b" },
	{ "Content-Type: multipart/related; type=x; BOUNDARY=q\r\n\r\n", MIME_TOP_MULTIPART, "q" },
	{ "Content-Type: multipart/mixed\r\n\r\n", MIME_TOP_UNREADABLE, "" },
	{ "Content-Type: multipart/mixed; boundary=a\r\nContent-Type: text/plain\r\n\r\n",
		MIME_TOP_UNREADABLE,
		"" },
	{ "Content-Type: pdf\r\n\r\n", MIME_TOP_UNREADABLE, "" },
	{ "Content-Type: app\xff/pdf\r\n\r\n", MIME_TOP_UNREADABLE, "" },
	{ "Content-Type: multipart/alternative; boundary=a\r\n\r\n", MIME_TOP_MULTIPART, "a" },
	{ "Content-Type: multipart/signed; boundary=a\r\n\r\n", MIME_TOP_SEALED, "" },
	{ "Content-Type: multipart/encrypted; boundary=a\r\n\r\n", MIME_TOP_SEALED, "" },
	{ "Content-Type: application/x-pkcs7-mime\r\n\r\n", MIME_TOP_SEALED, "" },
};

static struct mime_top top_of(struct sv text, size_t *out_used)
{
	CLEANUP(header_block_freep) struct header_block *h = header_block_new(100000, 100);
	struct mime_top top;

	assert_int_equal(header_block_feed(h, text, out_used), 1);
	mime_top(h, &top);
	return top;
}

static void test_top(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(tops); i++) {
		size_t used;
		struct mime_top top = top_of(sv_from(tops[i].header), &used);

		if (top.kind != tops[i].kind ||
			!sv_eq(sv_make(top.boundary, top.boundary_len), sv_from(tops[i].boundary)))
			fail_msg("%s: %d %.*s",
				tops[i].header,
				(int)top.kind,
				(int)top.boundary_len,
				top.boundary);
	}
}

/* ---- parameters ---- */

static const struct {
	const char *value, *out; /* NULL: none */
} parameters[] = {
	{ "attachment; filename=a.pdf", "a.pdf" },
	{ "attachment; filename=\"a; \\\"b\\\".pdf\"; x=y", "a; \"b\".pdf" },
	{ "attachment; FileName = a.pdf ", "a.pdf" },
	{ "attachment", NULL },
	{ "filename=a.pdf", NULL },
	{ "attachment; filename*=utf-8''%C3%A4%20b.pdf; filename=\"old.pdf\"", "\xc3\xa4 b.pdf" },
	{ "attachment; filename*=iso-8859-1'de'%E4.pdf", "\xc3\xa4.pdf" },
	{ "attachment; filename*1*=%A4b; filename*0*=utf-8''%C3; filename*2=\".pdf\"",
		"\xc3\xa4"
		"b.pdf" },
	{ "attachment; filename=\"=?utf-8?q?=C3?= =?utf-8?B?pA==?=_.pdf\"", "\xc3\xa4_.pdf" },
	{ "attachment; filename=\"=?iso-8859-1?Q?=E4_b?= c\"", "\xc3\xa4 b c" },
	{ "attachment; filename=\"=?koi8-r?q?=C1a?=\"", "_a" },
	{ "attachment; filename=\"a\x01\xff\"", "a__" },
	{ "attachment; filename=\"=?utf-8?q?open\"", "=?utf-8?q?open" },
};

static void test_parameters(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(parameters); i++) {
		CLEANUP(buf_deinitp) struct buf out = BUF_INIT(100);
		bool found = mime_parameter(sv_from(parameters[i].value), SV("filename"), &out);

		if (found != (parameters[i].out != NULL) ||
			!sv_eq(buf_sv(&out), sv_from(parameters[i].out)))
			fail_msg("%s: %.*s", parameters[i].value, SV_ARG(buf_sv(&out)));
	}
}

/* ---- decoding ---- */

static const struct {
	enum mime_encoding encoding;
	const char *in, *out;
	bool broken;
} codes[] = {
	{ MIME_BASE64, "aGFs\r\nbG8=\r\n", "hallo", false },
	{ MIME_BASE64, "aGFsbA==", "hall", false },
	{ MIME_BASE64, "aGFsbA", "hall", false },
	{ MIME_BASE64, "aGFsb", "hal", true },
	{ MIME_BASE64, "aGFs!bG8=", "hallo", true },
	{ MIME_BASE64, "aA==aA==", "h\x68", true },
	{ MIME_QUOTED_PRINTABLE, "a=3Db=\r\nc= \t\r\nd=e4\r\ne=", "a=bcd\xe4\r\ne", false },
	{ MIME_QUOTED_PRINTABLE, "a=zb", "azb", true },
	{ MIME_QUOTED_PRINTABLE, "a=4", "a", true },
	{ MIME_IDENTITY, "a=3D\r\n", "a=3D\r\n", false },
};

static void test_decode(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(codes); i++)
		for (size_t step = 1; step < 12; step++) {
			CLEANUP(buf_deinitp) struct buf out = BUF_INIT(100);
			struct mime_decoder d = { .encoding = codes[i].encoding };
			uint64_t count = 0, again = 0;
			struct sv in = sv_from(codes[i].in);

			for (; in.len; in = sv_skip(in, step))
				assert_int_equal(
					mime_decode(&d, sv_head(in, step), &out, &count), 0);
			assert_int_equal(mime_decode_end(&d, &out, &count), 0);
			assert_int_equal(count, out.len);
			assert_int_equal(d.broken, codes[i].broken);
			if (!codes[i].broken && !sv_eq(buf_sv(&out), sv_from(codes[i].out)))
				fail_msg("%s: %.*s", codes[i].in, SV_ARG(buf_sv(&out)));
			d = (struct mime_decoder){ .encoding = codes[i].encoding };
			assert_int_equal(mime_decode(&d, sv_from(codes[i].in), NULL, &again), 0);
			assert_int_equal(mime_decode_end(&d, NULL, &again), 0);
			assert_int_equal(count, again);
		}
}

/* ---- parts ---- */

#define TOP "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
static const char mixed[] =
	TOP "preamble\r\n"
	    "--b\r\n"
	    "Content-Type: text/plain\r\n\r\n"
	    "Hello\r\n--bb\r\n --b\r\n"
	    "--b \t\r\n"
	    "Content-Type: APPLICATION/pdf; name=\"x.pdf\"\r\n"
	    "Content-Transfer-Encoding: base64\r\n"
	    "Content-Disposition: inline; filename*=utf-8''%C3%A4.pdf\r\n"
	    "Content-ID: <c1@x>\r\n\r\n"
	    "aGFs\r\nbG8=\r\n\r\n"
	    "--b\r\n"
	    "Content-Type: text/csv\r\nContent-Disposition: attachment; filename=a.csv\r\n\r\n"
	    "a;b\r\n\r\n"
	    "--b\r\n"
	    "Content-Type: message/rfc822\r\n\r\nX: y\r\n\r\n"
	    "--b\r\n"
	    "Content-Type: image/png\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nM\r\n"
	    "--b\r\n"
	    "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!\r\n"
	    "--b\r\n"
	    "Content-Type: image/png\r\n\r\n"
	    "--b\r\n"
	    "Content-Type: image/p\xe4ng\r\n\r\n\r\n"
	    "--b\r\n"
	    "Content-Type: image/png\r\n"
	    "--b--\r\n"
	    "--b\r\nepilogue";

static struct mime_scan *scan(struct sv text, size_t step)
{
	CLEANUP(header_block_freep) struct header_block *h = header_block_new(100000, 100);
	struct mime_top top;
	struct mime_scan *s;
	size_t used;

	assert_int_equal(header_block_feed(h, text, &used), 1);
	mime_top(h, &top);
	s = mime_scan_new(&top, h, used, NULL);
	for (text = sv_skip(text, used); text.len; text = sv_skip(text, step))
		mime_scan_feed(s, sv_head(text, step));
	return s;
}

static void check_mixed(struct sv text, const struct mime_scan *s)
{
	static const struct {
		bool movable, is_inline;
		const char *type, *name, *body;
		uint64_t decoded;
	} wanted[] = {
		{ false, false, "text/plain", "", "Hello\r\n--bb\r\n --b", 17 },
		{ true, true, "application/pdf", "\xc3\xa4.pdf", "aGFs\r\nbG8=\r\n", 5 },
		{ true, false, "text/csv", "a.csv", "a;b\r\n", 5 },
		{ true, false, "message/rfc822", "attachment.eml", "X: y\r\n", 6 },
		{ false, false, "image/png", "", "M", 1 },
		{ false, false, "image/png", "attachment.png", "!!!!", 0 },
		{ true, false, "image/png", "attachment.png", "", 0 },
		{ false, false, "", "", "", 0 },
		{ false, false, "", "", "", 0 },
	};
	size_t count;
	const struct mime_part *p = mime_scan_parts(s, &count);

	assert_int_equal(count, COUNT_OF(wanted));
	for (size_t i = 0; i < count; i++, p++) {
		struct sv body = sv_head(sv_skip(text, p->body_at), p->end - p->body_at);

		assert_int_equal(p->movable, wanted[i].movable);
		assert_int_equal(p->is_inline, wanted[i].is_inline);
		assert_true(sv_eq(p->type, sv_from(wanted[i].type)));
		assert_true(sv_eq(p->name, sv_from(wanted[i].name)));
		assert_true(sv_eq(body, sv_from(wanted[i].body)));
		assert_int_equal(p->decoded_size, wanted[i].decoded);
		assert_true(sv_starts(sv_skip(text, p->from), SV("--b")));
		assert_true(sv_starts(sv_skip(text, p->next), SV("--b")));
	}
}

static void test_mixed(void **state)
{
	(void)state;
	for (size_t step = 1; step < 100; step++) {
		CLEANUP(mime_scan_freep) struct mime_scan *s = scan(sv_from(mixed), step);

		assert_int_equal(mime_scan_end(s, &(bool){ false }), 0);
		check_mixed(sv_from(mixed), s);
	}
}

static void test_related(void **state)
{
	static const char text[] = "Content-Type: multipart/related; boundary=b\r\n\r\n"
				   "--b\r\nContent-Type: image/gif\r\nContent-ID: <r>\r\n\r\nx\r\n"
				   "--b\r\nContent-Type: image/png\r\nContent-ID: <c>\r\n\r\nx\r\n"
				   "--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--";
	CLEANUP(mime_scan_freep) struct mime_scan *s = scan(sv_from(text), 7);
	const struct mime_part *p;
	size_t count;

	(void)state;
	assert_int_equal(mime_scan_end(s, &(bool){ false }), 0);
	p = mime_scan_parts(s, &count);
	assert_int_equal(count, 3);
	/* The first shows the others; what nothing can refer to is an attachment. */
	assert_false(p[0].movable);
	assert_true(p[1].movable && p[1].is_inline);
	assert_true(sv_eq(p[1].content_id, SV("c")));
	assert_true(p[2].movable && !p[2].is_inline);
}

/* Every leaf, its multipart, and whether it can leave. */
static const struct {
	const char *name, *text, *leaves; /* "type name movable|" */
	size_t containers;
	bool open;
} shapes[] = {
	{ "a document is all there is",
		"Content-Type: application/pdf; name=n.pdf\r\n"
		"Content-Transfer-Encoding: base64\r\n\r\naGFs\r\n",
		"application/pdf n.pdf 1 3|",
		0,
		false },
	{ "a text is all there is",
		"Content-Type: text/plain\r\n\r\nx\r\n",
		"text/plain  0 3|",
		0,
		false },
	{ "a text that is attached",
		"Content-Type: text/csv; charset=utf-8\r\nContent-Disposition: attachment; "
		"filename=a.csv\r\n\r\nx\r\n",
		"text/csv; charset=utf-8 a.csv 1 3|",
		0,
		false },
	{ "an image in a related in a mixed",
		TOP "--b\r\nContent-Type: multipart/related; boundary=r\r\n\r\n"
		    "--r\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n"
		    "--a\r\n\r\nt\r\n--a\r\nContent-Type: text/html; charset=x-y\r\n\r\nh\r\n"
		    "--a--\r\n"
		    "--r\r\nContent-Type: image/png\r\nContent-ID: <c>\r\n\r\nxx\r\n--r--\r\n"
		    "--b\r\nContent-Type: application/ms-tnef; name=winmail.dat\r\n\r\nx\r\n--b--",
		"text/plain  0 1|text/html; charset=x-y  0 1|image/png attachment.png 1 2|"
		"application/ms-tnef winmail.dat 1 1|",
		3,
		false },
	{ "an outer delimiter ends the inner multipart",
		TOP "--b\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n"
		    "--bb\r\nContent-Type: image/png\r\n\r\nx\r\n--b\r\n\r\nt\r\n--b--\r\n",
		"image/png attachment.png 1 1|text/plain  0 1|",
		2,
		false },
	{ "no last delimiter",
		TOP "--b\r\n\r\nt\r\n--b\r\nContent-Type: image/png\r\n\r\nxyz\r\n",
		"text/plain  0 1|image/png attachment.png 1 3|",
		1,
		true },
	{ "no last delimiter, no last line end",
		TOP "--b\r\nContent-Type: image/png\r\n\r\nx\r\nyz",
		"image/png attachment.png 1 5|",
		1,
		true },
	{ "what is signed stays closed",
		TOP "--b\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n"
		    "--s\r\nContent-Type: image/png\r\n\r\nx\r\n--s--\r\n--b--\r\n",
		"multipart/signed  0 40|",
		1,
		false },
	{ "alternatives are no attachments, reports keep their status",
		"Content-Type: multipart/report; boundary=b\r\n\r\n"
		"--b\r\n\r\nt\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nx\r\n"
		"--b\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\nx\r\n--b--\r\n",
		"text/plain  0 1|message/delivery-status  0 1|message/rfc822 attachment.eml 1 9|",
		1,
		false },
};

static void test_shapes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(shapes); i++)
		for (size_t step = 1; step < 60; step += 7) {
			CLEANUP(mime_scan_freep)
			struct mime_scan *s = scan(sv_from(shapes[i].text), step);
			CLEANUP(buf_deinitp) struct buf got = BUF_INIT(1000);
			const struct mime_part *p;
			size_t count, containers;
			bool open;

			assert_int_equal(mime_scan_end(s, &open), 0);
			p = mime_scan_parts(s, &count);
			(void)mime_scan_containers(s, &containers);
			for (size_t j = 0; j < count; j++)
				assert_int_equal(buf_printf(&got,
							 "%.*s %.*s %d %d|",
							 SV_ARG(p[j].content_type),
							 SV_ARG(p[j].name),
							 p[j].movable,
							 (int)p[j].decoded_size),
					0);
			if (!sv_eq(buf_sv(&got), sv_from(shapes[i].leaves)) ||
				containers != shapes[i].containers || open != shapes[i].open)
				fail_msg("%s by %zu: %.*s",
					shapes[i].name,
					step,
					SV_ARG(buf_sv(&got)));
		}
}

static void test_long_lines(void **state)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(100000);
	size_t at;

	(void)state;
	assert_int_equal(buf_append(&text, SV(TOP "--b\r\nContent-Type: image/png\r\n\r\n")), 0);
	at = text.len;
	assert_int_equal(buf_append(&text, SV("--b")), 0);
	for (int i = 0; i < 3000; i++)
		assert_int_equal(buf_append(&text, i % 700 ? SV("\r") : SV("\r \r\n")), 0);
	assert_int_equal(buf_append(&text, SV("\r\n--b--\r\n")), 0);
	for (size_t step = 1; step < 5000; step = step * 2 + 1) {
		CLEANUP(mime_scan_freep) struct mime_scan *s = scan(buf_sv(&text), step);
		const struct mime_part *p;
		size_t count;

		assert_int_equal(mime_scan_end(s, &(bool){ false }), 0);
		p = mime_scan_parts(s, &count);
		assert_int_equal(count, 1);
		assert_int_equal(p->body_at, at);
		assert_int_equal(p->end, text.len - 9);
		assert_int_equal(p->decoded_size, text.len - 9 - at);
	}
}

static void test_bounds(void **state)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(200000);
	CLEANUP(mime_scan_freep) struct mime_scan *none = scan(SV(TOP "x\r\n--b--\r\n"), 3);
	struct mime_scan *s;

	(void)state;
	assert_int_equal(mime_scan_end(none, &(bool){ false }), RC_PARSE);
	assert_int_equal(buf_append(&text, SV(TOP)), 0);
	for (int i = 0; i <= MIME_PARTS_MAX; i++)
		assert_int_equal(buf_append(&text, SV("--b\r\n\r\nx\r\n")), 0);
	assert_int_equal(buf_append(&text, SV("--b--\r\n")), 0);
	s = scan(buf_sv(&text), 100);
	assert_int_equal(mime_scan_end(s, &(bool){ false }), RC_LIMIT);
	mime_scan_free(s);
	buf_reset(&text);
	assert_int_equal(buf_append(&text, SV(TOP "--b\r\nContent-Type: image/png\r\nX: ")), 0);
	while (text.len < MIME_PART_HEADER + 100)
		assert_int_equal(buf_append_char(&text, 'x'), 0);
	assert_int_equal(buf_append(&text, SV("\r\n\r\nx\r\n--b--\r\n")), 0);
	s = scan(buf_sv(&text), 100);
	assert_int_equal(mime_scan_end(s, &(bool){ false }), 0);
	assert_false(mime_scan_parts(s, &(size_t){ 0 })->movable);
	mime_scan_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_top),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_related),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
