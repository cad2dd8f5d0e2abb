/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/set.h"

#include "base/rng.h"

#include "cmocka_all.h"

#include <string.h>

/* What replies say of a window, against a receiver that counts for itself: its limit, what others use of it, and what it refuses. */

#define STEADY_US (INT64_C(1) << 50)
enum {
	TAKEN_MAX = 4096
};

struct receiver {
	uint32_t limit;
	uint64_t length_us;
	uint64_t taken_us[TAKEN_MAX]; /* a ring of what it let in */
	size_t taken;
	uint32_t refused;
	uint64_t refused_us;
	uint64_t least_us; /* between two refusals */
};

static bool takes(struct receiver *r, uint64_t at_us)
{
	uint32_t in_window = 0;

	for (size_t i = r->taken; i > 0 && in_window <= r->limit && r->taken - i < TAKEN_MAX; i--) {
		if (r->taken_us[(i - 1) % TAKEN_MAX] + r->length_us <= at_us)
			break;
		in_window++;
	}
	if (in_window >= r->limit) {
		if (r->refused && at_us - r->refused_us < r->least_us)
			r->least_us = at_us - r->refused_us;
		r->refused++;
		r->refused_us = at_us;
		return false;
	}
	r->taken_us[r->taken++ % TAKEN_MAX] = at_us;
	return true;
}

struct desk {
	struct limit_book *b;
	struct limit_scope *s;
	struct limit_set set;
	struct receiver r;
	struct prng rng;
	uint64_t now_us;
	uint32_t percent;
	uint64_t sent, tried;
};

static void set_up(struct desk *d, uint32_t cap, uint32_t percent, uint32_t limit)
{
	memset(d, 0, sizeof(*d));
	d->b = limit_book_new(STEADY_US, (struct mono_time){ 0 });
	d->s = limit_book_scope(d->b, SV("m:erp@contoso.com"));
	limit_scope_set_minute(d->s, cap);
	limit_set_add(&d->set, d->s, LIMIT_ALL, LIMIT_BOTH);
	d->r = (struct receiver){ .limit = limit, .length_us = US_PER_MIN, .least_us = UINT64_MAX };
	d->percent = percent;
	d->now_us = US_PER_MIN;
}

/* One message: up to a second to the server's count, another one back. */
static void send(struct desk *d)
{
	struct limit_entry e[LIMIT_ENTRIES_MAX];
	struct limit_slots slots;
	bool ok;

	(void)limit_slots_take(&slots, &d->set, LIMIT_BOTH, (struct mono_time){ d->now_us }, 1, e);
	d->tried++;
	d->now_us += prng_below(&d->rng, US_PER_S) + 1;
	ok = takes(&d->r, d->now_us);
	d->now_us += prng_below(&d->rng, US_PER_S) + 1;
	d->sent += ok;
	(void)limit_slots_settle(&slots, (struct mono_time){ d->now_us }, e);
	if (!ok)
		(void)limit_scope_refused(d->s,
			LIMIT_MINUTE,
			&(struct limit_refusal){
				.cost = 1, .percent = d->percent, .now = { d->now_us } });
}

/* All that may leave, for so long. */
static void run(struct desk *d, uint64_t for_us)
{
	uint64_t end_us = d->now_us + for_us;

	while (d->now_us < end_us) {
		struct mono_time now = { d->now_us };

		(void)limit_scope_raise(d->s, LIMIT_MINUTE, now);
		if (limit_set_room(&d->set, LIMIT_BOTH, now, 1)) {
			send(d);
			continue;
		}
		d->now_us = mono_min(limit_set_room_at(&d->set, LIMIT_BOTH, now),
			(struct mono_time){ d->now_us + US_PER_S })
				    .us;
		d->now_us += d->now_us == now.us;
	}
}

/* 30 become 20, and nobody says so. */
static void a_lower_limit_is_learned(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct desk d;
		uint32_t learned_after;

		if (seed % 2)
			set_up(&d, 24, 80, 30);
		else
			set_up(&d, 30, 100, 30);
		prng_seed(&d.rng, seed);
		run(&d, 5 * US_PER_MIN);
		assert_int_equal(d.r.refused, 0);
		d.r.limit = 20;
		run(&d, 4 * US_PER_MIN);
		learned_after = d.r.refused;
		assert_in_range(learned_after, 1, 3);
		assert_in_range(limit_scope_learned(d.s, LIMIT_MINUTE)->limit, 17, 23);
		/* Then nothing is refused for as long as nothing more is tried. */
		run(&d, 5 * US_PER_MIN);
		assert_int_equal(d.r.refused, learned_after);
		assert_true(d.r.least_us >= US_PER_MIN);
		limit_book_free(d.b);
	}
}

/* It is lifted again: all of our share is had again in a while, and what was learned is forgotten. */
static void more_is_tried_later(void **state)
{
	struct desk d;

	(void)state;
	set_up(&d, 24, 80, 20);
	prng_seed(&d.rng, 7);
	run(&d, 10 * US_PER_MIN);
	assert_true(limit_scope_learned(d.s, LIMIT_MINUTE)->limit > 0);
	d.r.limit = 30;
	run(&d, 3 * US_PER_HOUR);
	assert_int_equal(limit_scope_learned(d.s, LIMIT_MINUTE)->limit, 0);
	d.sent = 0;
	run(&d, US_PER_HOUR);
	/* 24 slots of 61 seconds at most, as each counts from its dot to a minute after its reply. */
	assert_true(d.sent >= 24 * 56);
	limit_book_free(d.b);
}

/* Where it stays low, what is tried in vain is tried more and more rarely. */
static void in_vain_is_rare(void **state)
{
	uint32_t before;
	struct desk d;

	(void)state;
	set_up(&d, 30, 100, 20);
	prng_seed(&d.rng, 11);
	run(&d, 12 * US_PER_HOUR);
	before = d.r.refused;
	run(&d, 12 * US_PER_HOUR);
	assert_true(d.r.refused - before <= 12);
	assert_true(d.r.least_us >= US_PER_MIN);
	assert_true(d.sent >= 24 * 60 * 20 * 8 / 10);
	limit_book_free(d.b);
}

/* Others use nearly all of it: one refusal a window, one try when it is over, and nothing is learned from a single one. */
static void others_use_it_up(void **state)
{
	struct desk d;

	(void)state;
	set_up(&d, 24, 80, 30);
	prng_seed(&d.rng, 3);
	run(&d, 3 * US_PER_MIN);
	d.r.limit = 0;
	run(&d, 10 * US_PER_MIN);
	assert_in_range(d.r.refused, 8, 11);
	assert_true(d.r.least_us >= US_PER_MIN);
	d.r.limit = 30;
	run(&d, 2 * US_PER_MIN);
	d.sent = 0;
	run(&d, 10 * US_PER_MIN);
	assert_true(d.sent >= 10 * 18);
	limit_book_free(d.b);
}

/* Two at once ask after it was shut: one of them goes. */
static void one_tries(void **state)
{
	struct limit_entry e[LIMIT_ENTRIES_MAX];
	struct limit_slots slots;
	struct mono_time now;
	struct desk d;

	(void)state;
	set_up(&d, 24, 80, 0);
	prng_seed(&d.rng, 5);
	send(&d);
	now = (struct mono_time){ d.now_us };
	assert_int_equal(limit_set_room(&d.set, LIMIT_BOTH, now, 5), 0);
	assert_int_equal(limit_set_messages(&d.set, LIMIT_BOTH, now), 0);
	assert_int_equal(limit_set_room_at(&d.set, LIMIT_BOTH, now).us, d.now_us + US_PER_MIN);
	now = mono_add(now, US_PER_MIN);
	assert_int_equal(limit_set_messages(&d.set, LIMIT_BOTH, now), 1);
	(void)limit_slots_take(&slots, &d.set, LIMIT_BOTH, now, 1, e);
	assert_int_equal(limit_set_room(&d.set, LIMIT_BOTH, now, 5), 0);
	(void)limit_slots_settle(&slots, mono_add(now, US_PER_S), e);
	assert_int_equal(limit_set_room(&d.set, LIMIT_BOTH, mono_add(now, US_PER_S), 5), 5);
	/* A person says that it is open. */
	d.now_us = now.us + 10 * US_PER_MIN;
	send(&d);
	assert_int_equal(limit_set_room(&d.set, LIMIT_BOTH, (struct mono_time){ d.now_us }, 5), 0);
	limit_scope_reopen(d.s, (struct mono_time){ d.now_us });
	assert_int_equal(limit_set_messages(&d.set, LIMIT_BOTH, (struct mono_time){ d.now_us }), 1);
	limit_book_free(d.b);
}

/* What was recorded holds after a restart; a clock that jumped shuts nothing for longer than a window. */
static void a_restart_remembers(void **state)
{
	struct limit_learned l = {
		.limit = 20, .percent = 80, .failed = 99, .shut_till = { US_PER_DAY }
	};
	struct mono_time now = { 0 };
	struct desk d;

	(void)state;
	set_up(&d, 24, 80, 20);
	limit_scope_learn(d.s, LIMIT_MINUTE, &l);
	assert_int_equal(limit_set_room(&d.set, LIMIT_BOTH, now, 1), 0);
	assert_int_equal(limit_set_room_at(&d.set, LIMIT_BOTH, now).us, US_PER_MIN);
	assert_int_equal(limit_set_use(&d.set, LIMIT_BOTH, now).minute.capacity, 16);
	/* A reload with more changes nothing; one with less does. */
	limit_scope_set_minute(d.s, 300);
	assert_int_equal(limit_set_use(&d.set, LIMIT_BOTH, now).minute.capacity, 16);
	limit_scope_set_minute(d.s, 5);
	assert_int_equal(limit_set_use(&d.set, LIMIT_BOTH, now).minute.capacity, 5);
	limit_book_free(d.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lower_limit_is_learned),
		cmocka_unit_test(more_is_tried_later),
		cmocka_unit_test(in_vain_is_rare),
		cmocka_unit_test(others_use_it_up),
		cmocka_unit_test(one_tries),
		cmocka_unit_test(a_restart_remembers),
	};

	return cmocka_run_group_tests_name("learned", tests, NULL, NULL);
}
