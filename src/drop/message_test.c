/* SPDX-License-Identifier: Apache-2.0 */
#include "drop/message.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"

#include "cmocka_all.h"

static int collect(void *arg, struct sv bytes)
{
	struct buf *out = arg;

	return buf_append(out, bytes);
}

struct row {
	const char *name;
	bool ignore_dots;
	struct sv in;
	struct sv out;
};

static const struct row rows[] = {
	{ "line ends", false, SV_INIT("A: 1\n\nx\ny\n"), SV_INIT("A: 1\r\n\r\nx\r\ny\r\n") },
	{ "CRLF stays", false, SV_INIT("A: 1\r\n\r\nx\r\n"), SV_INIT("A: 1\r\n\r\nx\r\n") },
	{ "CR CR LF is one end",
		false,
		SV_INIT("A: 1\r\r\n\nx\r\r\r\n"),
		SV_INIT("A: 1\r\n\r\nx\r\n") },
	{ "last line unended", false, SV_INIT("A: 1\n\nx"), SV_INIT("A: 1\r\n\r\nx\r\n") },
	{ "last CR", false, SV_INIT("A: 1\n\nx\r"), SV_INIT("A: 1\r\n\r\nx\r\n") },
	{ "only a header", false, SV_INIT("A: 1\nB: 2"), SV_INIT("A: 1\r\nB: 2\r\n\r\n") },
	{ "only a body", false, SV_INIT("hello you\nx\n"), SV_INIT("\r\nhello you\r\nx\r\n") },
	{ "nothing", false, SV_INIT(""), SV_INIT("\r\n") },
	{ "lone dot", false, SV_INIT("A: 1\n\nx\n.\nB\n"), SV_INIT("A: 1\r\n\r\nx\r\n") },
	{ "lone dot CRLF",
		false,
		SV_INIT("A: 1\r\n\r\nx\r\n.\r\nB\r\n"),
		SV_INIT("A: 1\r\n\r\nx\r\n") },
	{ "lone dot in the header", false, SV_INIT("A: 1\n.\nB: 2\n"), SV_INIT("A: 1\r\n\r\n") },
	{ "lone dot at the end", false, SV_INIT("A: 1\n\nx\n."), SV_INIT("A: 1\r\n\r\nx\r\n") },
	{ "dots count for nothing with -i",
		true,
		SV_INIT("A: 1\n\nx\n.\n..\nB\n."),
		SV_INIT("A: 1\r\n\r\nx\r\n.\r\n..\r\nB\r\n.\r\n") },
	{ "dots that are not alone",
		false,
		SV_INIT("A: 1\n\n..\n.a\na.\n"),
		SV_INIT("A: 1\r\n\r\n..\r\n.a\r\na.\r\n") },
	{ "bare CR in a body",
		false,
		SV_INIT("A: 1\n\n10%\r20%\r\n"),
		SV_INIT("A: 1\r\n\r\n10%\r\n20%\r\n") },
	{ "bare CR in a header",
		false,
		SV_INIT("Subject: x\rBcc: y\n\nz\n"),
		SV_INIT("Subject: x Bcc: y\r\n\r\nz\r\n") },
	{ "a dot behind a bare CR is text",
		false,
		SV_INIT("A: 1\n\nx\r.\ny\r.\rz\n"),
		SV_INIT("A: 1\r\n\r\nx\r\n.\r\ny\r\n.\r\nz\r\n") },
	{ "a dot before a bare CR is text",
		false,
		SV_INIT("A: 1\n\n.\rx\n"),
		SV_INIT("A: 1\r\n\r\n.\r\nx\r\n") },
	{ "NUL", false, SV_INIT("A: 1\n\nx\0y\n"), SV_INIT("A: 1\r\n\r\nx?y\r\n") },
	{ "mbox line",
		false,
		SV_INIT("From root Mon Nov 23\nA: 1\n\nFrom x\n"),
		SV_INIT("A: 1\r\n\r\nFrom x\r\n") },
	{ "quoted mbox line",
		false,
		SV_INIT(">From root Mon Nov 23\nA: 1\n\nx\n"),
		SV_INIT("A: 1\r\n\r\nx\r\n") },
	{ "From field stays",
		false,
		SV_INIT("From: root\nA: 1\n\nx\n"),
		SV_INIT("From: root\r\nA: 1\r\n\r\nx\r\n") },
	{ "smuggling",
		true,
		SV_INIT("A: 1\n\nx\n\r.\r\nMAIL FROM:<a>\n"),
		SV_INIT("A: 1\r\n\r\nx\r\n\r\n.\r\nMAIL FROM:<a>\r\n") },
};

static void feed_cut(struct drop_message *m, struct sv in, size_t step)
{
	int rc = 0;

	while (in.len && rc == 0) {
		rc = drop_message_feed(m, sv_head(in, step), NULL);
		in = sv_skip(in, step);
	}
	assert_true(rc >= 0);
	assert_int_equal(drop_message_end(m, NULL), 0);
}

static void input_becomes_what_smtp_carries_in_any_cutting(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		for (size_t step = 1; step <= rows[i].in.len + 1; step++) {
			struct header_edits none = { 0 };
			struct buf out = BUF_INIT(1000);
			struct drop_message m;

			drop_message_init(&m, rows[i].ignore_dots);
			feed_cut(&m, rows[i].in, step);
			assert_int_equal(drop_message_render(&m, &none, NULL), 0);
			assert_int_equal(drop_message_each(&m, collect, &out), 0);
			if (!sv_eq(buf_sv(&out), rows[i].out))
				fail_msg("%s, cut %zu: %.*s",
					rows[i].name,
					step,
					SV_ARG(buf_sv(&out)));
			assert_int_equal(drop_message_size(&m), out.len);
			drop_message_deinit(&m);
			buf_deinit(&out);
		}
	}
}

static void eight_bits_are_seen(void **state)
{
	struct drop_message m;

	(void)state;
	drop_message_init(&m, false);
	feed_cut(&m, SV("A: 1\n\nplain\n"), 100);
	assert_false(m.has_8bit);
	drop_message_deinit(&m);
	drop_message_init(&m, false);
	feed_cut(&m, SV("A: 1\n\nJ\xc3\xb6rg\n"), 100);
	assert_true(m.has_8bit);
	drop_message_deinit(&m);
}

/* Lines of many lengths, more than memory takes. */
static void a_large_message_comes_out_of_its_file(void **state)
{
	struct header_edits none = { 0 };
	struct buf in = BUF_INIT(8 << 20), want = BUF_INIT(8 << 20), out = BUF_INIT(8 << 20);
	struct drop_message m;
	int fd = memfd_create("test", 0);

	(void)state;
	assert_int_equal(buf_append(&in, SV("A: 1\n\n")), 0);
	assert_int_equal(buf_append(&want, SV("A: 1\r\n\r\n")), 0);
	for (int i = 0; in.len < (5 << 20); i++) {
		for (int k = 0; k < i % 3000; k++) {
			assert_int_equal(buf_append_char(&in, (char)('a' + k % 26)), 0);
			assert_int_equal(buf_append_char(&want, (char)('a' + k % 26)), 0);
		}
		assert_int_equal(buf_append(&in, SV("\n")), 0);
		assert_int_equal(buf_append(&want, SV("\r\n")), 0);
	}
	assert_int_equal(write(fd, buf_sv(&in).ptr, in.len), in.len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	drop_message_init(&m, false);
	assert_int_equal(drop_message_read(&m, fd, NULL), 0);
	assert_true(m.fd >= 0);
	assert_int_equal(drop_message_render(&m, &none, NULL), 0);
	assert_int_equal(drop_message_each(&m, collect, &out), 0);
	assert_true(sv_eq(buf_sv(&out), buf_sv(&want)));
	drop_message_deinit(&m);
	(void)close(fd);
	buf_deinit(&in);
	buf_deinit(&want);
	buf_deinit(&out);
}

static void what_is_too_large_is_refused(void **state)
{
	struct drop_message m;
	struct err err;
	char *block = xmalloc(1 << 20);
	int rc = 0;

	(void)state;
	memset(block, 'x', 1 << 20);
	drop_message_init(&m, false);
	assert_int_equal(drop_message_feed(&m, SV("A: 1\n\n"), NULL), 0);
	for (int i = 0; i < 151 && rc == 0; i++)
		rc = drop_message_feed(&m, sv_make(block, 1 << 20), &err);
	assert_int_equal(rc, RC_LIMIT);
	assert_non_null(strstr(err.text, "larger"));
	drop_message_deinit(&m);
	/* One field without end. */
	drop_message_init(&m, false);
	assert_int_equal(drop_message_feed(&m, SV("A: "), NULL), 0);
	assert_int_equal(drop_message_feed(&m, sv_make(block, 1 << 20), &err), RC_PARSE);
	assert_non_null(strstr(err.text, "header"));
	drop_message_deinit(&m);
	/* A first line without end that is no field is a body. */
	drop_message_init(&m, false);
	assert_int_equal(drop_message_feed(&m, sv_make(block, 1 << 20), NULL), 0);
	assert_int_equal(drop_message_end(&m, NULL), 0);
	drop_message_deinit(&m);
	free(block);
}

static void input_that_cannot_be_read_is_an_error(void **state)
{
	struct drop_message m;
	struct err err;

	(void)state;
	drop_message_init(&m, false);
	assert_int_equal(drop_message_read(&m, -1, &err), -EIO);
	drop_message_deinit(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(input_becomes_what_smtp_carries_in_any_cutting),
		cmocka_unit_test(eight_bits_are_seen),
		cmocka_unit_test(a_large_message_comes_out_of_its_file),
		cmocka_unit_test(what_is_too_large_is_refused),
		cmocka_unit_test(input_that_cannot_be_read_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
