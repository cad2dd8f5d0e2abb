/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/mask.h"

#include "base/err.h"
#include "base/must.h"
#include "base/rng.h"
#include "base/text.h"

#include "cmocka_all.h"

#include <stdio.h>

#define TOKEN "EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA"
#define SECRET "[secret]"

static void what_is_taken_out(void **state)
{
	static const struct {
		const char *name, *secret, *text, *expected;
		bool is_token;
	} rows[] = {
		{ "nothing to hide", "hunter2", "Authentication unsuccessful", NULL, false },
		{ "no secret", "", "'hunter2'?", NULL, false },
		{ "one that is found everywhere", "abc", "abc", NULL, false },
		{ "the password", "hunter2", "'hunter2'? hunter2", "'" SECRET "'? " SECRET, false },
		{ "a piece of one is a word", "authenticate!", "please authenticate", NULL, false },
		{ "over a line end",
			"hunter2",
			"say hun\nter2?",
			"say " SECRET "\n" SECRET "?",
			false },
		{ "over codes", "hunter2", "hun\n5.7.8 ter2", SECRET "\n5.7.8 " SECRET, false },
		{ "over a transcript",
			"hunter2",
			"1 < 535-5.7.8 hun\n12 < 535 5.7.8 ter2\n",
			"1 < 535-5.7.8 " SECRET "\n12 < 535 5.7.8 " SECRET "\n",
			false },
		{ "one that looks like a code",
			"123-45-6789",
			"123-45-6789?\n123-45-\n6789",
			SECRET "?\n" SECRET "\n" SECRET,
			false },
		{ "a byte a line",
			"abcd",
			"a\nb\nc\nd",
			SECRET "\n" SECRET "\n" SECRET "\n" SECRET,
			false },
		{ "with spaces put in", "hunter2", "h u n t e r 2 !", SECRET " !", false },
		{ "with spaces of its own", "my pass word", "no mypassword", "no " SECRET, false },
		{ "its base64", "hunter2", "334 aHVudGVyMg== ?", "334 " SECRET " ?", false },
		/* \0erp\0hunter2 */
		{ "PLAIN", "hunter2", "AUTH PLAIN AGVycABodW50ZXIy", "AUTH PLAIN " SECRET, false },
		/* erp:hunter2, x:hunter2 */
		{ "at another place",
			"hunter2",
			"ZXJwOmh1bnRlcjI= eDpodW50ZXIy",
			SECRET " " SECRET,
			false },
		{ "a token", TOKEN, "<" TOKEN ">", "<" SECRET ">", true },
		{ "a piece of one",
			TOKEN,
			"BAAUFFpUAo7J3 is too long",
			SECRET " is too long",
			true },
		{ "too little of one", TOKEN, "BAAUFFpUAo7", NULL, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct smtp_mask m = { sv_from(rows[i].secret), rows[i].is_token };
		const char *expected = rows[i].expected ? rows[i].expected : rows[i].text;
		CLEANUP(buf_deinitp) struct buf out = BUF_INIT(1000);

		assert_int_equal(smtp_mask_text(&m, sv_from(rows[i].text), &out), 0);
		must(buf_append_char(&out, '\0') == 0);
		if (strcmp(buf_sv(&out).ptr, expected) != 0)
			fail_msg("%s: '%s', not '%s'", rows[i].name, buf_sv(&out).ptr, expected);
	}
}

static void a_full_buffer_is_told(void **state)
{
	const struct smtp_mask m = { SV("hunter2"), false };
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(10);

	(void)state;
	assert_int_equal(smtp_mask_text(&m, SV("'hunter2' and more"), &out), RC_LIMIT);
	assert_true(sv_find(buf_sv(&out), SV("hunter2")) < 0);
}

/* ---- a secret anywhere, however it is spread ---- */

static void put_random(struct prng *dice, struct buf *out, size_t count)
{
	static const char set[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_!%";

	for (size_t i = 0; i < count; i++)
		must(buf_append_char(out, set[prng_below(dice, sizeof(set) - 1)]) == 0);
}

static void put_spread(struct prng *dice, struct buf *out, struct sv text)
{
	static const char *const ends[] = {
		"\n", "\n5.7.8 ", " \n", "\n12 < 535-", "\n7 < 535 5.7.8 "
	};
	bool spread = prng_below(dice, 2);

	for (size_t i = 0; i < text.len; i++) {
		if (spread && prng_below(dice, 4) == 0)
			must(buf_append(out, sv_from(ends[prng_below(dice, COUNT_OF(ends))])) == 0);
		must(buf_append_char(out, text.ptr[i]) == 0);
	}
}

/* As a server has it that decoded the line, or did not. */
static void put_form(struct prng *dice, struct buf *out, struct sv secret)
{
	CLEANUP(buf_deinitp) struct buf plain = BUF_INIT(2000);

	switch (prng_below(dice, 3)) {
	case 0:
		must(buf_append(out, secret) == 0);
		return;
	case 1:
		put_random(dice, &plain, prng_below(dice, 20));
		break;
	default:
		break;
	}
	must(buf_append(&plain, secret) == 0);
	must(text_base64_encode(out, buf_sv(&plain)) == 0);
}

/* Without what form puts between the pieces, and without what stands for a secret. */
static void squeeze(struct sv text, struct buf *out)
{
	static const char *const forms[] = {
		"\n12 < 535-", "\n7 < 535 5.7.8 ", "\n5.7.8 ", "\n", " "
	};

	while (text.len) {
		size_t skip = 0;

		for (size_t i = 0; i < COUNT_OF(forms) && !skip; i++)
			if (sv_starts(text, sv_from(forms[i])))
				skip = strlen(forms[i]);
		if (!skip)
			must(buf_append_char(out, text.ptr[0]) == 0);
		text = sv_skip(text, skip ? skip : 1);
	}
}

static void no_secret_comes_through(void **state)
{
	struct prng dice;

	(void)state;
	prng_seed(&dice, 7);
	for (unsigned i = 0; i < 3000; i++) {
		CLEANUP(buf_deinitp)
		struct buf secret = BUF_INIT(1000), form = BUF_INIT(4000), text = BUF_INIT(60000),
			   out = BUF_INIT(600000), dense = BUF_INIT(600000);
		struct smtp_mask m = { .is_token = prng_below(&dice, 2) };

		put_random(&dice, &secret, 12 + prng_below(&dice, m.is_token ? 500 : 30));
		m.secret = buf_sv(&secret);
		put_form(&dice, &form, m.secret);
		must(buf_append(&text, SV("535 5.7.8 no: ")) == 0);
		put_random(&dice, &text, prng_below(&dice, 30));
		must(buf_append_char(&text, '\'') == 0);
		put_spread(&dice, &text, buf_sv(&form));
		must(buf_append(&text, SV("' is wrong")) == 0);
		assert_int_equal(smtp_mask_text(&m, buf_sv(&text), &out), 0);
		squeeze(buf_sv(&out), &dense);
		assert_true(out.len <= SMTP_MASK_GROWTH * text.len);
		/* Of the base64 what the secret alone decides: the last bytes, but for the very end. */
		form.len -= 4;
		buf_consume(&form, form.len - 8);
		if (sv_find(buf_sv(&dense), m.secret) >= 0 ||
			sv_find(buf_sv(&dense), buf_sv(&form)) >= 0)
			fail_msg("round %u: '%.*s' gives '%.*s'",
				i,
				SV_ARG(buf_sv(&text)),
				SV_ARG(buf_sv(&out)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_taken_out),
		cmocka_unit_test(a_full_buffer_is_told),
		cmocka_unit_test(no_secret_comes_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
