/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/lines.h"

#include "base/buf.h"

#include "cmocka_all.h"

#include <limits.h>
#include <string.h>

struct row {
	struct sv in;
	struct sv in_header, in_body;
};

static const struct row rows[] = {
	{ SV_INIT("a\r\nb\r\n"), SV_INIT("a\r\nb\r\n"), SV_INIT("a\r\nb\r\n") },
	{ SV_INIT("a\nb\n"), SV_INIT("a\r\nb\r\n"), SV_INIT("a\r\nb\r\n") },
	{ SV_INIT("a\r\r\nb"), SV_INIT("a\r\nb"), SV_INIT("a\r\nb") },
	{ SV_INIT("10%\r20%\r\r30%\n"),
		SV_INIT("10% 20% 30%\r\n"),
		SV_INIT("10%\r\n20%\r\n30%\r\n") },
	{ SV_INIT("a\0b\0\0\r\n"), SV_INIT("a?b??\r\n"), SV_INIT("a?b??\r\n") },
	{ SV_INIT("\r"), SV_INIT("\r\n"), SV_INIT("\r\n") },
	{ SV_INIT("\n\n\r\n\r\n"), SV_INIT("\r\n\r\n\r\n\r\n"), SV_INIT("\r\n\r\n\r\n\r\n") },
	{ SV_INIT("\r\0\n"), SV_INIT(" ?\r\n"), SV_INIT("\r\n?\r\n") },
	{ SV_INIT(""), SV_INIT(""), SV_INIT("") },
	{ SV_INIT("no end"), SV_INIT("no end"), SV_INIT("no end") },
};

static void convert(struct sv in, bool in_header, size_t step, struct buf *out)
{
	struct mail_lines l = { 0 };
	struct sv piece;

	buf_reset(out);
	while (in.len) {
		struct sv part = sv_head(in, step);

		in = sv_skip(in, part.len);
		while (mail_lines_next(&l, &part, in_header, &piece)) {
			ptrdiff_t lf = sv_find_char(piece, '\n');

			assert_true(piece.len > 0);
			if (in_header && lf >= 0)
				assert_int_equal(lf + 1, piece.len);
			assert_int_equal(buf_append(out, piece), 0);
		}
		assert_int_equal(part.len, 0);
	}
	assert_int_equal(buf_append(out, mail_lines_end(&l)), 0);
}

static void lines_get_one_form_however_they_are_cut(void **state)
{
	struct buf out = BUF_INIT(1000);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		for (size_t step = 1; step < 20; step++) {
			convert(rows[i].in, true, step, &out);
			if (!sv_eq(buf_sv(&out), rows[i].in_header))
				fail_msg("row %zu, header, by %zu", i, step);
			convert(rows[i].in, false, step, &out);
			if (!sv_eq(buf_sv(&out), rows[i].in_body))
				fail_msg("row %zu, body, by %zu", i, step);
		}
	}
	buf_deinit(&out);
}

/* Eight bytes are looked at together: what matters is seen at each place, whatever the others are. */
static void hides_nowhere(char special, char around)
{
	for (size_t at = 1; at < 24; at++) {
		struct mail_lines l = { 0 };
		struct sv in, piece;
		char text[24];

		memset(text, around, sizeof(text));
		text[at] = special;
		in = sv_make(text, sizeof(text));
		assert_true(mail_lines_next(&l, &in, false, &piece));
		if (piece.len != at)
			fail_msg("%d at %zu among %d: %zu", special, at, around, piece.len);
	}
}

static void no_byte_hides_among_others(void **state)
{
	(void)state;
	for (int around = CHAR_MIN; around <= CHAR_MAX; around++) {
		if (around == '\0' || around == '\n' || around == '\r')
			continue;
		hides_nowhere('\0', (char)around);
		hides_nowhere('\n', (char)around);
		hides_nowhere('\r', (char)around);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_get_one_form_however_they_are_cut),
		cmocka_unit_test(no_byte_hides_among_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
