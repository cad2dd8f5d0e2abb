/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/htable.h"
#include "base/rng.h"
#include "base/secret.h"
#include "base/sort.h"
#include "base/text.h"
#include "base/time.h"

#include "cmocka_all.h"

static void sv_cuts_lines_only_at_crlf(void **state)
{
	struct sv rest = SV("a\nb\rc\r\nd");
	struct sv line;

	(void)state;
	assert_true(sv_cut_line(&rest, &line));
	assert_true(sv_eq(line, SV("a\nb\rc")));
	assert_false(sv_cut_line(&rest, &line));
	assert_true(sv_eq(rest, SV("d")));
}

static void numbers_have_bounds(void **state)
{
	uint32_t n = 7;

	(void)state;
	assert_int_equal(sv_parse_u32(SV("65535"), 65535, &n), 0);
	assert_int_equal(n, 65535);
	assert_int_equal(sv_parse_u32(SV("65536"), 65535, &n), RC_LIMIT);
	assert_int_equal(sv_parse_u32(SV("99999999999999999999"), 65535, &n), RC_LIMIT);
	assert_int_equal(sv_parse_u32(SV(""), 65535, &n), RC_PARSE);
	assert_int_equal(sv_parse_u32(SV("+1"), 65535, &n), RC_PARSE);
	assert_int_equal(n, 65535);
}

static void buf_respects_its_maximum(void **state)
{
	struct buf b = BUF_INIT(10);

	(void)state;
	assert_int_equal(buf_append(&b, SV("12345678")), 0);
	assert_int_equal(buf_append(&b, SV("abc")), RC_LIMIT);
	assert_int_equal(buf_printf(&b, "%d", 12), 0);
	assert_int_equal(buf_printf(&b, "x"), RC_LIMIT);
	assert_true(sv_eq(buf_sv(&b), SV("1234567812")));
	buf_consume(&b, 9);
	assert_int_equal(buf_append(&b, SV("abcdefghi")), 0);
	assert_true(sv_eq(buf_sv(&b), SV("2abcdefghi")));
	buf_deinit(&b);
}

static void a_wiping_buf_leaves_nothing_behind(void **state)
{
	struct buf b;

	(void)state;
	buf_init_wiping(&b, 5000);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(buf_append(&b, SV("a secret, of which nothing stays")), 0);
	buf_consume(&b, 10);
	assert_int_equal(buf_append(&b, SV("more")), 0);
	assert_true(sv_starts(buf_sv(&b), SV("of which nothing staysa secret")));
	assert_int_equal(b.len, 100 * 32 - 10 + 4);
	buf_reset(&b);
	assert_true(b.cap >= 100 * 32);
	for (size_t i = 0; i < b.cap; i++)
		assert_int_equal(b.ptr[i], 0);
	buf_deinit(&b);
	/* And is one again. */
	assert_true(b.wipes && b.max == 5000);
}

static void buf_survives_random_use(void **state)
{
	struct buf b = BUF_INIT(5000);
	struct prng r;
	uint64_t written = 0, read = 0;

	(void)state;
	prng_seed(&r, 42);
	for (int i = 0; i < 20000; i++) {
		char bytes[700];
		size_t n = prng_below(&r, sizeof(bytes));

		for (size_t k = 0; k < n; k++)
			bytes[k] = (char)(written + k);
		if (buf_append(&b, sv_make(bytes, n)) == 0)
			written += n;
		n = prng_below(&r, b.len + 1);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(buf_sv(&b).ptr[k], (char)(read + k));
		buf_consume(&b, n);
		read += n;
	}
	buf_deinit(&b);
}

static void every_character_is_written_as_utf8(void **state)
{
	struct buf b = BUF_INIT(8);

	(void)state;
	for (uint32_t c = 0; c < 0x110010; c++) {
		bool is_one = c && c < 0x110000 && (c < 0xd800 || c >= 0xe000);

		buf_reset(&b);
		assert_int_equal(text_put_character(&b, c), 0);
		assert_true(text_is_utf8(buf_sv(&b)));
		assert_true(is_one || sv_eq(buf_sv(&b), SV("\xef\xbf\xbd")));
	}
	buf_reset(&b);
	assert_int_equal(text_put_character(&b, 0x20ac), 0);
	assert_true(sv_eq(buf_sv(&b), SV("\xe2\x82\xac")));
	buf_deinit(&b);
}

static void base64_both_ways(void **state)
{
	static const struct {
		struct sv plain, coded;
	} rows[] = {
		{ SV_INIT(""), SV_INIT("") },
		{ SV_INIT("f"), SV_INIT("Zg==") },
		{ SV_INIT("fo"), SV_INIT("Zm8=") },
		{ SV_INIT("foo"), SV_INIT("Zm9v") },
		{ SV_INIT("foobar"), SV_INIT("Zm9vYmFy") },
		{ SV_INIT("\0\377\0"), SV_INIT("AP8A") },
	};
	struct buf b = BUF_INIT(100);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		buf_reset(&b);
		assert_int_equal(text_base64_encode(&b, rows[i].plain), 0);
		assert_true(sv_eq(buf_sv(&b), rows[i].coded));
		buf_reset(&b);
		assert_int_equal(text_base64_decode(&b, rows[i].coded), 0);
		assert_true(sv_eq(buf_sv(&b), rows[i].plain));
	}
	buf_reset(&b);
	assert_int_equal(text_base64_decode(&b, SV("Zg=")), RC_PARSE);
	assert_int_equal(text_base64_decode(&b, SV("Zg==Zg==")), RC_PARSE);
	assert_int_equal(text_base64_decode(&b, SV("====")), RC_PARSE);
	assert_int_equal(text_base64_decode(&b, SV("Z\r\n=")), RC_PARSE);
	assert_int_equal(b.len, 0);
	buf_deinit(&b);
}

static void words_of_others_become_one_line(void **state)
{
	static const struct {
		struct sv from;
		const char *to;
	} rows[] = {
		{ SV_INIT(""), "" },
		{ SV_INIT(" \r\n\t"), "" },
		{ SV_INIT("  two\r\n  lines \n"), "two lines" },
		{ SV_INIT("\x1b[31mred\xc2\x9b"
			  "5m"),
			"[31mred 5m" },
		{ SV_INIT("a\0b"), "a b" },
		{ SV_INIT("caf\xc3\xa9 \xff\xe2\x80\xae!"), "caf\xc3\xa9 !" },
		{ SV_INIT("\xef\xbb\xbfname \xef\xbf\xbe\xef\xbf\xbf"), "name" },
		{ SV_INIT("0123456789 12"),
			"0123456789" }, /* 12 with the NUL: no room for the blank */
		{ SV_INIT("0123456789\xc3\xa9"), "0123456789" }, /* nor for half a letter */
		{ SV_INIT("0123456789a"), "0123456789a" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char out[12];

		assert_int_equal(text_line(rows[i].from, out, sizeof(out)), strlen(rows[i].to));
		assert_string_equal(out, rows[i].to);
	}
}

static void log_quote_lets_nothing_through(void **state)
{
	struct buf b = BUF_INIT(200);

	(void)state;
	assert_int_equal(text_log_quote(&b, SV("a\r\n\"\\\x1b[2J\xc2\x9b\xff \xc3\xa9")), 0);
	assert_true(sv_eq(buf_sv(&b), SV("a\\x0d\\x0a\\x22\\x5c\\x1b[2J\\xc2\\x9b\\xff \xc3\xa9")));
	buf_reset(&b);
	assert_int_equal(text_json_string(&b, SV("a\"\n\xff")), 0);
	assert_true(sv_eq(buf_sv(&b), SV("\"a\\\"\\u000a\xef\xbf\xbd\"")));
	buf_deinit(&b);
}

static void ids_keep_their_order(void **state)
{
	char a[TEXT_ID_MAX], b[TEXT_ID_MAX];
	uint64_t back;

	(void)state;
	text_id(UINT64_C(1) << 50, a);
	text_id((UINT64_C(1) << 50) + 1, b);
	assert_true(strcmp(a, b) < 0);
	assert_int_equal(text_parse_id(sv_from(b), &back), 0);
	assert_true(back == (UINT64_C(1) << 50) + 1);
	assert_int_equal(text_parse_id(SV("U0000000000"), &back), RC_PARSE);
}

static void units_parse_and_print(void **state)
{
	uint64_t v = 0;
	char out[TEXT_DURATION_MAX];

	(void)state;
	assert_int_equal(text_parse_duration(SV("5m"), &v), 0);
	assert_true(v == 5 * US_PER_MIN);
	assert_int_equal(text_parse_duration(SV("5"), &v), RC_PARSE);
	assert_int_equal(text_parse_duration(SV("99999999999999d"), &v), RC_LIMIT);
	assert_int_equal(text_parse_size(SV("64KB"), &v), 0);
	assert_true(v == 65536);
	assert_string_equal(text_duration(90 * US_PER_S, out), "90s");
	assert_string_equal(text_duration(0, out), "0ms");
	assert_string_equal(text_span(90 * US_PER_S, out), "1m 30s");
	assert_string_equal(text_size(1536, out), "1.5 KB");
	*text_digits(0, out) = '\0';
	assert_string_equal(out, "0");
	*text_digits(UINT64_MAX, out) = '\0';
	assert_string_equal(out, "18446744073709551615");
}

static void dates_are_right(void **state)
{
	char out[WALL_RFC3339_MAX], mail[WALL_RFC5322_MAX];

	(void)state;
	assert_string_equal(
		wall_rfc3339((struct wall_time){ 0 }, out), "1970-01-01T00:00:00.000000Z");
	assert_string_equal(wall_rfc5322((struct wall_time){ INT64_C(1709164800) * 1000000 }, mail),
		"Thu, 29 Feb 2024 00:00:00 +0000");
	assert_string_equal(
		wall_rfc3339((struct wall_time){ -1 }, out), "1969-12-31T23:59:59.999999Z");
	assert_string_equal(wall_rfc5322((struct wall_time){ INT64_C(4102444799) * 1000000 }, mail),
		"Thu, 31 Dec 2099 23:59:59 +0000");
}

static void heap_sorts_and_keeps_ties(void **state)
{
	struct heap h = { 0 };
	struct heap_node nodes[500] = { 0 };
	struct prng r;
	uint64_t last = 0;

	(void)state;
	prng_seed(&r, 7);
	for (size_t i = 0; i < COUNT_OF(nodes); i++)
		heap_insert(&h, &nodes[i], prng_below(&r, 50));
	for (size_t i = 0; i < COUNT_OF(nodes); i += 3)
		heap_remove(&h, &nodes[i]);
	for (size_t i = 1; i < COUNT_OF(nodes); i += 3)
		heap_update(&h, &nodes[i], prng_below(&r, 50));
	for (struct heap_node *first = heap_first(&h); first; first = heap_first(&h)) {
		assert_true(first->key >= last);
		last = first->key;
		heap_remove(&h, first);
	}
	heap_deinit(&h);
}

static void htable_finds_what_was_put(void **state)
{
	struct htable t = { .seed = 3 };
	static int values[1000];
	char key[16];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(key, sizeof(key), "k%d", i);
		htable_put(&t, sv_from(key), &values[i]);
	}
	for (int i = 0; i < 1000; i += 2) {
		(void)snprintf(key, sizeof(key), "k%d", i);
		assert_ptr_equal(htable_take(&t, sv_from(key)), &values[i]);
	}
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(key, sizeof(key), "k%d", i);
		assert_ptr_equal(htable_get(&t, sv_from(key)), i % 2 ? &values[i] : NULL);
	}
	assert_int_equal(t.count, 500);
	htable_deinit(&t);
}

struct sortable {
	uint32_t key, number;
};

static int by_key(const void *a, const void *b, void *arg)
{
	const struct sortable *x = a, *y = b;

	++*(size_t *)arg;
	return (x->key > y->key) - (x->key < y->key);
}

static void sort_is_stable_and_its_steps_are_small(void **state)
{
	struct sortable all[70];
	void *items[70], *spare[70], **sorted;
	struct prng r;

	(void)state;
	prng_seed(&r, 5);
	for (uint32_t count = 0; count <= COUNT_OF(all); count++) {
		size_t compared = 0, steps = 0;
		struct sort s;

		for (uint32_t i = 0; i < count; i++) {
			all[i] = (struct sortable){ (uint32_t)prng_below(&r, 1 + count / 3), i };
			items[i] = &all[i];
		}
		sort_begin(&s, items, spare, count, by_key, &compared);
		while (sort_step(&s))
			assert_true(compared <= ++steps);
		sorted = sort_sorted(&s);
		for (uint32_t i = 1; i < count; i++) {
			const struct sortable *a = sorted[i - 1], *b = sorted[i];

			assert_true(a->key < b->key || (a->key == b->key && a->number < b->number));
		}
		/* No more than merging takes: 70 items are merged 7 times. */
		assert_true(steps < 70 * 7);
	}
}

static void errors_carry_their_place(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(err_set(&err, RC_PARSE, "port '%s' is not a number", "x"), RC_PARSE);
	(void)err_wrap(&err, "listener %d", 2);
	assert_string_equal(err.text, "listener 2: port 'x' is not a number");
	assert_string_equal(rc_text(-2), "No such file or directory");
}

static void secrets_compare_and_arena_copies(void **state)
{
	struct arena a = { 0 };
	CLEANUP(secret_freep) struct secret *s = secret_new(SV("hunter2"));

	(void)state;
	assert_true(secret_eq(s, SV("hunter2")));
	assert_false(secret_eq(s, SV("hunter3")));
	assert_string_equal(arena_str(&a, SV("copy")), "copy");
	arena_reset(&a);
}

static void instants_are_read_as_they_are_written(void **state)
{
	static const struct {
		const char *text;
		int64_t us; /* -1: none */
	} rows[] = {
		{ "1970-01-01", 0 },
		{ "1970-01-01T00:00:00.000001Z", 1 },
		{ "1970-01-01T00:00:01.5", 1500000 },
		{ "1970-01-01 01:00 +01:00", 0 },
		{ "1969-12-31T23:30:00-00:30", 0 },
		{ "1970-01-01t00:01z", 60000000 },
		{ "2026-11-30T03:12:05+0100", INT64_C(1796004725000000) },
		{ "2024-02-29", INT64_C(1709164800000000) },
		{ "", -1 },
		{ "1970-1-1", -1 },
		{ "1970-00-01", -1 },
		{ "1970-13-01", -1 },
		{ "1970-01-01T24:00:00", -1 },
		{ "1970-01-01T00:00:00.", -1 },
		{ "1970-01-01T00:00:00+", -1 },
		{ "1970-01-01T00:00:00Zz", -1 },
		{ "1970-01-01x", -1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct wall_time at = { -1 };
		char back[WALL_RFC3339_MAX];

		assert_int_equal(
			wall_parse(sv_from(rows[i].text), &at), rows[i].us < 0 ? RC_PARSE : 0);
		if (at.us != rows[i].us)
			fail_msg("%s: %lld", rows[i].text, (long long)at.us);
		assert_true(
			rows[i].us < 0 || (wall_parse(sv_from(wall_rfc3339(at, back)), &at) == 0 &&
						  at.us == rows[i].us));
	}
}

static void instants_of_mail_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t s; /* -1: none */
	} rows[] = {
		{ "Mon, 30 Nov 2026 04:12:05 +0100", 1796008325 },
		{ " Mon,  30 nov 2026  03:12:05 +0000 (UTC)", 1796008325 },
		{ "30 Nov 2026 03:12 GMT", 1796008320 },
		{ "1 Jan 1970 00:00:01", 1 },
		{ "Thu, 1 Jan 1970 00:00:01.25 -0000", 1 },
		{ "", -1 },
		{ "Mon, Nov 30 2026 03:12:05 +0000", -1 },
		{ "32 Nov 2026 03:12:05 +0000", -1 },
		{ "30 Xov 2026 03:12:05 +0000", -1 },
		{ "30 Nov 26 03:12:05 +0000", -1 },
		{ "30 Nov 2026", -1 },
		{ "30 Nov 2026 03:12:05 +9999", -1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct wall_time at = { -(int64_t)US_PER_S };
		char back[WALL_RFC5322_MAX];

		assert_int_equal(wall_parse_rfc5322(sv_from(rows[i].text), &at),
			rows[i].s < 0 ? RC_PARSE : 0);
		if (at.us / (int64_t)US_PER_S != rows[i].s)
			fail_msg("%s: %lld", rows[i].text, (long long)at.us);
		assert_true(rows[i].s < 0 ||
			    (wall_parse_rfc5322(sv_from(wall_rfc5322(at, back)), &at) == 0 &&
				    at.us / (int64_t)US_PER_S == rows[i].s));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(instants_are_read_as_they_are_written),
		cmocka_unit_test(instants_of_mail_are_read),
		cmocka_unit_test(sv_cuts_lines_only_at_crlf),
		cmocka_unit_test(numbers_have_bounds),
		cmocka_unit_test(buf_respects_its_maximum),
		cmocka_unit_test(a_wiping_buf_leaves_nothing_behind),
		cmocka_unit_test(buf_survives_random_use),
		cmocka_unit_test(every_character_is_written_as_utf8),
		cmocka_unit_test(base64_both_ways),
		cmocka_unit_test(words_of_others_become_one_line),
		cmocka_unit_test(log_quote_lets_nothing_through),
		cmocka_unit_test(ids_keep_their_order),
		cmocka_unit_test(units_parse_and_print),
		cmocka_unit_test(dates_are_right),
		cmocka_unit_test(heap_sorts_and_keeps_ties),
		cmocka_unit_test(htable_finds_what_was_put),
		cmocka_unit_test(sort_is_stable_and_its_steps_are_small),
		cmocka_unit_test(errors_carry_their_place),
		cmocka_unit_test(secrets_compare_and_arena_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
