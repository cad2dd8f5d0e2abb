/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/look.h"

#include "cmocka_all.h"

#define H ((int64_t)US_PER_HOUR)

static const struct {
	const char *name;
	struct sched_waiting w;
	int64_t now;
	enum sched_look look;
	int64_t next; /* hours; 0: none */
} rows[] = {
	{ "young", { .expires_at = { 5 * H }, .notice_us = 4 * H }, H, SCHED_LOOK_LATER, 4 },
	{ "delayed", { .expires_at = { 5 * H }, .notice_us = 4 * H }, 4 * H, SCHED_LOOK_NOTICE, 5 },
	{ "told",
		{ .expires_at = { 5 * H }, .notice_us = 4 * H, .noticed = true },
		4 * H,
		SCHED_LOOK_LATER,
		5 },
	{ "no notices", { .expires_at = { 5 * H } }, 4 * H, SCHED_LOOK_LATER, 5 },
	{ "over", { .expires_at = { 5 * H }, .notice_us = 4 * H }, 5 * H, SCHED_LOOK_EXPIRE, 0 },
	{ "a notice that would come too late",
		{ .expires_at = { 5 * H }, .notice_us = 9 * H },
		H,
		SCHED_LOOK_LATER,
		5 },
	{ "parked mail has its own time",
		{ .expires_at = { 5 * H }, .parked = true, .parked_expire_us = 9 * H },
		6 * H,
		SCHED_LOOK_LATER,
		7 },
	{ "and its last hour",
		{ .expires_at = { 5 * H }, .parked = true, .parked_expire_us = 9 * H },
		8 * H + 1,
		SCHED_LOOK_LATER,
		9 },
	{ "it may not be parked then: looked at by its own end",
		{ .expires_at = { 5 * H }, .parked = true, .parked_expire_us = 9 * H },
		2 * H,
		SCHED_LOOK_LATER,
		5 },
	{ "each day", { .expires_at = { 99 * H } }, 2 * H, SCHED_LOOK_LATER, 26 },
	{ "which is never shorter",
		{ .expires_at = { 5 * H }, .parked = true, .parked_expire_us = H },
		2 * H,
		SCHED_LOOK_LATER,
		5 },
	{ "a class ends it sooner",
		{ .expires_at = { 5 * H }, .class_end = { 2 * H } },
		H,
		SCHED_LOOK_LATER,
		2 },
	{ "at that time",
		{ .expires_at = { 5 * H }, .class_end = { 2 * H } },
		2 * H,
		SCHED_LOOK_EXPIRE,
		0 },
	{ "no park lengthens it",
		{ .expires_at = { 5 * H },
			.class_end = { 2 * H },
			.parked = true,
			.parked_expire_us = 9 * H },
		2 * H,
		SCHED_LOOK_EXPIRE,
		0 },
	{ "no start either",
		{ .expires_at = { 5 * H },
			.class_end = { 2 * H },
			.started_at = { 6 * H },
			.try_us = H },
		6 * H,
		SCHED_LOOK_EXPIRE,
		0 },
	{ "a class lengthens nothing",
		{ .expires_at = { 5 * H }, .class_end = { 9 * H } },
		5 * H,
		SCHED_LOOK_EXPIRE,
		0 },
	{ "nor a class without an end",
		{ .expires_at = { 5 * H }, .class_end = { INT64_MAX } },
		5 * H,
		SCHED_LOOK_EXPIRE,
		0 },
	{ "over before the start: it has its try",
		{ .expires_at = { 5 * H }, .started_at = { 6 * H }, .try_us = H },
		6 * H,
		SCHED_LOOK_LATER,
		7 },
	{ "which ends",
		{ .expires_at = { 5 * H }, .started_at = { 6 * H }, .try_us = H },
		7 * H,
		SCHED_LOOK_EXPIRE,
		0 },
	{ "a start gives no time to what is not over",
		{ .expires_at = { 5 * H }, .started_at = { 4 * H }, .try_us = 2 * H },
		5 * H,
		SCHED_LOOK_EXPIRE,
		0 },
	{ "late before the start: the notice waits for the try",
		{ .expires_at = { 9 * H },
			.notice_us = 4 * H,
			.started_at = { 6 * H },
			.try_us = H },
		6 * H,
		SCHED_LOOK_LATER,
		7 },
	{ "and comes",
		{ .expires_at = { 9 * H },
			.notice_us = 4 * H,
			.started_at = { 6 * H },
			.try_us = H },
		7 * H,
		SCHED_LOOK_NOTICE,
		9 },
	{ "and ends, too",
		{ .expires_at = { 5 * H }, .parked = true, .parked_expire_us = 9 * H },
		9 * H,
		SCHED_LOOK_EXPIRE,
		0 },
};

static void mail_expires_and_its_sender_hears_of_the_delay(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wall_time next = { 0 };
		enum sched_look look =
			sched_look(&rows[i].w, (struct wall_time){ rows[i].now }, &next);

		if (look != rows[i].look || next.us != rows[i].next * H)
			fail_msg("%s: %d, %lld", rows[i].name, look, (long long)next.us);
	}
}

static void new_mail_is_looked_at_when_its_sender_should_hear_of_it(void **state)
{
	const struct wall_time now = { 7 * H }, ends = { 12 * H };

	(void)state;
	assert_int_equal(sched_look_first(now, ends, 4 * H).us, 11 * H);
	assert_int_equal(sched_look_first(now, ends, 6 * H).us, 12 * H);
	assert_int_equal(sched_look_first(now, ends, 0).us, 12 * H);
}

static void looking_is_a_small_part_of_the_time(void **state)
{
	(void)state;
	assert_int_equal(sched_look_pause(0), 0);
	assert_int_equal(sched_look_pause(3 * US_PER_S), 12 * US_PER_S);
	/* A disk was ill all the while: nothing was ended for hours after it. */
	assert_int_equal(sched_look_pause(3 * US_PER_HOUR), US_PER_MIN);
	assert_int_equal(sched_look_pause(UINT64_MAX), US_PER_MIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_expires_and_its_sender_hears_of_the_delay),
		cmocka_unit_test(new_mail_is_looked_at_when_its_sender_should_hear_of_it),
		cmocka_unit_test(looking_is_a_small_part_of_the_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
