/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/dkim_canon.h"

#include "authn/fields.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/must.h"

#include "cmocka_all.h"

static void put(void *arg, struct sv bytes)
{
	must(buf_append(arg, bytes) == 0);
}

struct row {
	const char *name;
	struct sv text, simple, relaxed;
};

/* The first two are RFC 6376 3.4.5. */
static const struct row field_rows[] = {
	{ "RFC, A", SV_INIT("A: X\r\n"), SV_INIT("A: X\r\n"), SV_INIT("a:X\r\n") },
	{ "RFC, B",
		SV_INIT("B : Y\t\r\n\tZ  \r\n"),
		SV_INIT("B : Y\t\r\n\tZ  \r\n"),
		SV_INIT("b:Y Z\r\n") },
	{ "empty", SV_INIT("Subject:\r\n"), SV_INIT("Subject:\r\n"), SV_INIT("subject:\r\n") },
	{ "blanks only", SV_INIT("C: \r\n \t\r\n"), SV_INIT("C: \r\n \t\r\n"), SV_INIT("c:\r\n") },
	{ "fold at a word",
		SV_INIT("D: a\r\n b\r\n"),
		SV_INIT("D: a\r\n b\r\n"),
		SV_INIT("d:a b\r\n") },
	{ "colons", SV_INIT("E: a : b\r\n"), SV_INIT("E: a : b\r\n"), SV_INIT("e:a : b\r\n") },
	{ "lone CR", SV_INIT("F: a\rb\r\n"), SV_INIT("F: a\rb\r\n"), SV_INIT("f:a\rb\r\n") },
};
static const struct row body_rows[] = {
	{ "RFC",
		SV_INIT(" C \r\nD \t E\r\n\r\n\r\n"),
		SV_INIT(" C \r\nD \t E\r\n"),
		SV_INIT(" C\r\nD E\r\n") },
	{ "empty", SV_INIT(""), SV_INIT("\r\n"), SV_INIT("") },
	{ "empty lines", SV_INIT("\r\n\r\n"), SV_INIT("\r\n"), SV_INIT("") },
	{ "lines of blanks", SV_INIT(" \r\n\t\r\n"), SV_INIT(" \r\n\t\r\n"), SV_INIT("") },
	{ "no line end", SV_INIT("a"), SV_INIT("a\r\n"), SV_INIT("a\r\n") },
	{ "blanks at the very end", SV_INIT("a \t"), SV_INIT("a \t\r\n"), SV_INIT("a\r\n") },
	{ "an empty line within",
		SV_INIT("a\r\n\r\n b\r\n"),
		SV_INIT("a\r\n\r\n b\r\n"),
		SV_INIT("a\r\n\r\n b\r\n") },
	{ "lone CR and LF",
		SV_INIT("a \rb\nc\r"),
		SV_INIT("a \rb\nc\r\r\n"),
		SV_INIT("a \rb\nc\r\r\n") },
	{ "CR CR LF", SV_INIT("a\r\r\n\r\n"), SV_INIT("a\r\r\n"), SV_INIT("a\r\r\n") },
};

static void fields(void **state)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(1000);
	const struct authn_sink sink = { put, &out };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(field_rows); i++) {
		const struct row *row = &field_rows[i];

		for (int canon = AUTHN_SIMPLE; canon <= AUTHN_RELAXED; canon++) {
			struct sv wanted = canon == AUTHN_SIMPLE ? row->simple : row->relaxed;

			buf_reset(&out);
			authn_canon_field((enum authn_canon)canon, row->text, true, &sink);
			if (!sv_eq(buf_sv(&out), wanted))
				fail_msg("%s: %.*s", row->name, SV_ARG(buf_sv(&out)));
			buf_reset(&out);
			authn_canon_field((enum authn_canon)canon, row->text, false, &sink);
			assert_int_equal(out.len, wanted.len - 2);
		}
	}
}

static void body(enum authn_canon canon, struct sv text, uint64_t max, size_t step, struct buf *out)
{
	const struct authn_sink sink = { put, out };
	struct authn_body b;

	buf_reset(out);
	authn_body_init(&b, canon, max, &sink);
	for (; text.len; text = sv_skip(text, step))
		authn_body_feed(&b, sv_head(text, step));
	authn_body_end(&b);
	assert_true(b.total >= out->len);
}

static void bodies_in_any_pieces(void **state)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(1000);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(body_rows); i++)
		for (size_t step = 1; step < 8; step++) {
			const struct row *row = &body_rows[i];

			body(AUTHN_SIMPLE, row->text, UINT64_MAX, step, &out);
			if (!sv_eq(buf_sv(&out), row->simple))
				fail_msg("%s, simple, by %zu", row->name, step);
			body(AUTHN_RELAXED, row->text, UINT64_MAX, step, &out);
			if (!sv_eq(buf_sv(&out), row->relaxed))
				fail_msg("%s, relaxed, by %zu", row->name, step);
		}
}

static void length_counts_canonical_bytes(void **state)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(1000);

	(void)state;
	body(AUTHN_RELAXED, SV("a \t b\r\nc\r\n"), 4, 3, &out);
	assert_true(sv_eq(buf_sv(&out), SV("a b\r")));
	body(AUTHN_SIMPLE, SV("abc\r\n"), 0, 3, &out);
	assert_int_equal(out.len, 0);
}

static void headers_in_any_pieces(void **state)
{
	static const struct sv text =
		SV_INIT("From x 12:00\r\nA: 1\r\n 2\r\nB : 3\r\n\tc:\r\n\r\nD: body\r\n");

	(void)state;
	for (size_t step = 1; step <= text.len; step++) {
		CLEANUP(authn_fields_freep) struct authn_fields *f = authn_fields_new();
		struct sv rest = text;
		size_t count, used = 0;
		const struct authn_field *list;
		int rc = 0;

		while (rc == 0) {
			rc = authn_fields_feed(f, sv_head(rest, step), &used);
			rest = sv_skip(rest, used);
		}
		assert_int_equal(rc, 1);
		assert_true(sv_eq(rest, SV("D: body\r\n")));
		list = authn_fields_list(f, &count);
		assert_int_equal(count, 3);
		assert_int_equal(list[0].name.len, 0);
		assert_true(sv_eq(list[1].whole, SV("A: 1\r\n 2\r\n")));
		assert_true(sv_eq(list[2].name, SV("B")) && sv_eq(list[2].value, SV(" 3\r\n\tc:")));
	}
}

static void headers_that_end_otherwise(void **state)
{
	struct authn_fields *f = authn_fields_new();
	size_t count, used;

	(void)state;
	assert_int_equal(authn_fields_feed(f, SV("\r\nbody"), &used), 1);
	assert_int_equal(used, 2);
	authn_fields_free(f);
	f = authn_fields_new();
	assert_int_equal(authn_fields_feed(f, SV("A: 1\r\nB: 2"), &used), 0);
	assert_int_equal(authn_fields_end(f), 0);
	assert_true(sv_eq(authn_fields_list(f, &count)[1].whole, SV("B: 2\r\n")));
	assert_int_equal(count, 2);
	authn_fields_free(f);
	f = authn_fields_new();
	for (size_t i = 0; i <= LIMIT_HEADER_FIELDS; i++)
		assert_int_equal(authn_fields_feed(f, SV("A: 1\r\n"), &used), 0);
	assert_int_equal(authn_fields_end(f), RC_LIMIT);
	authn_fields_free(f);
	f = authn_fields_new();
	for (size_t i = 0; i < LIMIT_HEADER / 4; i++)
		assert_int_equal(authn_fields_feed(f, SV("abcd"), &used), 0);
	assert_int_equal(authn_fields_feed(f, SV("e"), &used), RC_LIMIT);
	authn_fields_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),
		cmocka_unit_test(bodies_in_any_pieces),
		cmocka_unit_test(length_counts_canonical_bytes),
		cmocka_unit_test(headers_in_any_pieces),
		cmocka_unit_test(headers_that_end_otherwise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
