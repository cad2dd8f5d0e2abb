/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "observe/health.h"

#include "cmocka_all.h"

static const struct observe_health_figures healthy = { .unix_time = 1795600000,
	.boot_time = 1000,
	.every = 15,
	.messages_waiting = 12,
	.oldest_seconds = 120,
	.delivered_day = 3494,
	.disk_free_bytes = 1 << 30,
	.loop_turn_us_max = 1500 };
static const struct observe_health_limits limits = { .oldest_warning_s = 3600,
	.oldest_critical_s = 86400,
	.waiting_warning = 100,
	.waiting_critical = 1000 };

static void the_file_is_read_as_it_was_written(void **state)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(OBSERVE_HEALTH_FILE_MAX);
	struct observe_health_figures out;

	(void)state;
	assert_int_equal(observe_health_render(&healthy, &text), 0);
	/* A newer version may say more. */
	assert_int_equal(buf_append(&text, SV("lanes_waiting 3\n\n")), 0);
	assert_int_equal(observe_health_parse(buf_sv(&text), &out), 0);
	assert_memory_equal(&out, &healthy, sizeof(out));
}

static void what_is_no_health_file_is_refused(void **state)
{
	CLEANUP(buf_deinitp) struct buf whole = BUF_INIT(OBSERVE_HEALTH_FILE_MAX);
	static const char *const more[] = { "every 15\n", "oldest_seconds 1\n" };
	struct observe_health_figures out;
	struct sv text;
	size_t end;

	(void)state;
	assert_int_equal(observe_health_parse(SV(""), &out), RC_PARSE);
	assert_int_equal(observe_health_parse(SV("unix_time 1\n"), &out), RC_PARSE);
	assert_int_equal(observe_health_render(&healthy, &whole), 0);
	end = (size_t)sv_find(buf_sv(&whole), SV("disk_trouble"));
	/* Cut anywhere but behind the last digit of what is always there. */
	for (size_t i = 0; i + 12 < end; i++)
		assert_int_equal(observe_health_parse(sv_head(buf_sv(&whole), i), &out), RC_PARSE);
	for (size_t i = 0; i < COUNT_OF(more); i++) {
		size_t before = whole.len;

		assert_int_equal(buf_append(&whole, sv_from(more[i])), 0);
		text = buf_sv(&whole);
		assert_int_equal(observe_health_parse(text, &out), RC_PARSE);
		whole.len = before;
	}
}

static void an_older_file_has_less(void **state)
{
	CLEANUP(buf_deinitp) struct buf whole = BUF_INIT(OBSERVE_HEALTH_FILE_MAX);
	struct observe_health_figures out;
	size_t end;

	(void)state;
	assert_int_equal(observe_health_render(&healthy, &whole), 0);
	end = (size_t)sv_find(buf_sv(&whole), SV("disk_trouble"));
	assert_int_equal(observe_health_parse(sv_head(buf_sv(&whole), end), &out), 0);
	assert_int_equal(out.loop_turn_us_max, 0);
	assert_int_equal(out.disk_free_bytes, healthy.disk_free_bytes);
}

static void the_line_says_what_is_wrong(void **state)
{
	static const struct {
		struct observe_health_figures change; /* added to `healthy` */
		uint64_t now;
		enum observe_health_state state;
		const char *text;
	} rows[] = {
		{ { 0 }, 1010, OBSERVE_HEALTH_OK, "POSTERN OK - 12 waiting, oldest 2m" },
		{ { .oldest_seconds = 3600 },
			1010,
			OBSERVE_HEALTH_WARNING,
			"WARNING - 12 waiting" },
		{ { .oldest_seconds = 86400 },
			1010,
			OBSERVE_HEALTH_CRITICAL,
			"CRITICAL - 12 waiting" },
		{ { .messages_waiting = 88 }, 1010, OBSERVE_HEALTH_OK, "100 waiting" },
		{ { .messages_waiting = 89 }, 1010, OBSERVE_HEALTH_WARNING, "101 waiting" },
		{ { .messages_waiting = 989 }, 1010, OBSERVE_HEALTH_CRITICAL, "1001 waiting" },
		{ { .recipients_parked = 3 },
			1010,
			OBSERVE_HEALTH_WARNING,
			"3 recipients, 0 mailboxes" },
		{ { .mailboxes_parked = 1 },
			1010,
			OBSERVE_HEALTH_WARNING,
			"0 recipients, 1 mailbox " },
		{ { .disk_full = 1 }, 1010, OBSERVE_HEALTH_CRITICAL, "the disk is full" },
		{ { .disk_trouble = 1 }, 1010, OBSERVE_HEALTH_CRITICAL, "the disk fails" },
		{ { 0 }, 1075, OBSERVE_HEALTH_OK, "OK" },
		{ { 0 }, 1076, OBSERVE_HEALTH_CRITICAL, "no sign of life" },
		/* Another start of the machine. */
		{ { 0 }, 999, OBSERVE_HEALTH_CRITICAL, "no sign of life" },
		{ { .every = INT64_MAX - 15 },
			UINT64_MAX,
			OBSERVE_HEALTH_CRITICAL,
			"no sign of life" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_deinitp) struct buf line = BUF_INIT(OBSERVE_HEALTH_FILE_MAX);
		struct observe_health_figures f = healthy;
		const uint64_t *add = (const uint64_t *)&rows[i].change;
		uint64_t *to = (uint64_t *)&f;

		for (size_t k = 0; k < sizeof(f) / sizeof(*to); k++)
			to[k] += add[k];
		assert_int_equal(
			observe_health_judge(&f, &limits, rows[i].now, &line), rows[i].state);
		assert_true(sv_find(buf_sv(&line), sv_from(rows[i].text)) >= 0);
		assert_true(sv_find_char(buf_sv(&line), '\n') < 0);
	}
}

static void a_limit_of_nothing_is_none(void **state)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(OBSERVE_HEALTH_FILE_MAX);
	const struct observe_health_limits none = { 0 };
	struct observe_health_figures f = healthy;

	(void)state;
	f.oldest_seconds = 1U << 30;
	f.messages_waiting = 1U << 30;
	assert_int_equal(observe_health_judge(&f, &none, 1001, &line), OBSERVE_HEALTH_OK);
	assert_true(
		sv_find(buf_sv(&line), SV(" waiting=1073741824;;;0 oldest=1073741824s;;;0 ")) > 0);
}

static void it_lies_beside_the_control_socket(void **state)
{
	static const char *const rows[][2] = {
		{ "/run/postern/control.sock", "/run/postern/health" },
		{ "/control.sock", "/health" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_deinitp) struct buf path = BUF_INIT(4096);

		assert_int_equal(observe_health_path(sv_from(rows[i][0]), &path), 0);
		assert_true(sv_eq(buf_sv(&path), sv_from(rows[i][1])));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file_is_read_as_it_was_written),
		cmocka_unit_test(what_is_no_health_file_is_refused),
		cmocka_unit_test(an_older_file_has_less),
		cmocka_unit_test(the_line_says_what_is_wrong),
		cmocka_unit_test(a_limit_of_nothing_is_none),
		cmocka_unit_test(it_lies_beside_the_control_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
