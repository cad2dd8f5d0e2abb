/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/window.h"

#include "base/must.h"
#include "base/rng.h"

#include "cmocka_all.h"

static struct mono_time at(uint64_t us)
{
	return (struct mono_time){ us };
}

static struct limit_window *make(uint32_t capacity, uint64_t length_us, uint64_t bucket_us)
{
	const struct limit_window_options options = { capacity, length_us, bucket_us };

	return limit_window_new(&options);
}

static void test_slots_live_from_reserve_to_settle_and_length(void **state)
{
	CLEANUP(limit_window_freep) struct limit_window *w = make(2, 60, 0);

	(void)state;
	assert_int_equal(limit_window_room(w, at(0)), 2);
	limit_window_reserve(w, at(0), 1);
	limit_window_reserve(w, at(5), 1);
	assert_int_equal(limit_window_room(w, at(1000)), 0);
	assert_int_equal(limit_window_room_at(w, at(1000), 1).us, UINT64_MAX);
	limit_window_settle(w, at(1000), 1);
	assert_int_equal(limit_window_room_at(w, at(1000), 1).us, 1060);
	assert_int_equal(limit_window_room(w, at(1059)), 0);
	assert_int_equal(limit_window_room(w, at(1060)), 1);
	assert_int_equal(limit_window_room_at(w, at(1070), 1).us, 1070);
	assert_int_equal(limit_window_room_at(w, at(1070), 2).us, UINT64_MAX);
	limit_window_withdraw(w, 1);
	assert_int_equal(limit_window_room(w, at(1071)), 2);
	assert_int_equal(limit_window_room_at(w, at(1071), 3).us, UINT64_MAX);
}

static void test_restored_slots_may_pass_the_capacity(void **state)
{
	CLEANUP(limit_window_freep) struct limit_window *w = make(3, 100, 0);

	(void)state;
	limit_window_restore(w, at(50), 2);
	limit_window_restore(w, at(20), 2); /* out of order */
	limit_window_restore(w, at(30), 1);
	limit_window_restore(w, at(70), 0);
	assert_int_equal(limit_window_used(w, at(10)), 5);
	assert_int_equal(limit_window_room(w, at(10)), 0);
	assert_int_equal(limit_window_room_at(w, at(10), 1).us, 30);
	assert_int_equal(limit_window_room_at(w, at(10), 2).us, 50);
	assert_int_equal(limit_window_used(w, at(20)), 3);
	assert_int_equal(limit_window_used(w, at(49)), 2);
	assert_int_equal(limit_window_used(w, at(50)), 0);
}

static void test_a_new_capacity_leaves_what_is_occupied(void **state)
{
	CLEANUP(limit_window_freep) struct limit_window *w = make(4, 100, 0);

	(void)state;
	limit_window_reserve(w, at(0), 4);
	limit_window_settle(w, at(0), 3);
	limit_window_set_capacity(w, 2);
	assert_int_equal(limit_window_capacity(w), 2);
	assert_int_equal(limit_window_room(w, at(1)), 0);
	assert_int_equal(limit_window_used(w, at(1)), 4);
	assert_int_equal(limit_window_room_at(w, at(1), 1).us, 100);
	assert_int_equal(limit_window_room_at(w, at(1), 2).us, UINT64_MAX);
	limit_window_set_capacity(w, 10);
	assert_int_equal(limit_window_room(w, at(1)), 6);
	limit_window_set_capacity(w, 0);
	assert_int_equal(limit_window_room_at(w, at(500), 1).us, UINT64_MAX);
	limit_window_settle(w, at(500), 1);
}

static void test_a_bucket_expires_by_its_newest_edge(void **state)
{
	CLEANUP(limit_window_freep) struct limit_window *w = make(10, 1000, 100);

	(void)state;
	limit_window_reserve(w, at(0), 8);
	limit_window_settle(w, at(10), 2); /* bucket 1000..1099 */
	limit_window_settle(w, at(90), 3);
	limit_window_settle(w, at(110), 1);   /* the next */
	limit_window_restore(w, at(1020), 1); /* into the first, its edge stays */
	limit_window_restore(w, at(300), 1);
	assert_int_equal(limit_window_used(w, at(299)), 10);
	assert_int_equal(limit_window_room_at(w, at(200), 1).us, 300);
	assert_int_equal(limit_window_room_at(w, at(200), 2).us, 1090);
	assert_int_equal(limit_window_used(w, at(1089)), 9);
	assert_int_equal(limit_window_used(w, at(1090)), 3);
	assert_int_equal(limit_window_used(w, at(1110)), 2);
	limit_window_withdraw(w, 2);
	assert_int_equal(limit_window_room(w, at(1110)), 10);
}

static void test_the_end_of_time_is_no_overflow(void **state)
{
	CLEANUP(limit_window_freep) struct limit_window *w = make(1, 100, 0);

	(void)state;
	limit_window_reserve(w, at(UINT64_MAX - 5), 1);
	limit_window_settle(w, at(UINT64_MAX - 5), 1);
	assert_int_equal(limit_window_room(w, at(UINT64_MAX - 1)), 0);
	limit_window_free(NULL);
}

/*
 * The promise: whatever the order, and whenever the receiver counts a message between its dot release
 * and its final reply, no window of the receiver ever holds more than the capacity.
 */
enum {
	STEPS = 3000,
	OPEN_MAX = 64
};

struct trip { /* one reservation */
	struct mono_time reserved_at;
	uint32_t n;
};

struct slots { /* slots and the instant that matters of each */
	uint64_t us[STEPS * 8];
	size_t len;
};

struct play {
	struct prng rng;
	struct limit_window *w;
	struct limit_window_options options;
	struct mono_time now;
	struct trip open[OPEN_MAX];
	size_t open_count;
	struct slots counted; /* when the receiver counted it */
	struct slots expiry;  /* the naive model: exact expiry of each settled slot */
	unsigned receiver; /* 0: counts at the dot, 1: at its reply, 2: anywhere, 3: any of them */
};

static void push(struct slots *s, uint64_t us, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		must(s->len < COUNT_OF(s->us));
		s->us[s->len++] = us;
	}
}

static uint64_t counted_at(struct play *p, struct mono_time from)
{
	unsigned how = p->receiver < 3 ? p->receiver : (unsigned)prng_below(&p->rng, 3);

	if (how == 0)
		return from.us;
	if (how == 1)
		return p->now.us;
	return from.us + prng_below(&p->rng, p->now.us - from.us + 1);
}

static uint32_t open_slots(const struct play *p)
{
	uint32_t n = 0;

	for (size_t i = 0; i < p->open_count; i++)
		n += p->open[i].n;
	return n;
}

static uint32_t model_used(const struct play *p, uint64_t late_us)
{
	uint32_t n = open_slots(p);

	for (size_t i = 0; i < p->expiry.len; i++)
		n += p->expiry.us[i] + late_us > p->now.us;
	return n;
}

static void finish_one(struct play *p)
{
	size_t i = (size_t)prng_below(&p->rng, p->open_count);
	struct trip t = p->open[i];

	p->open[i] = p->open[--p->open_count];
	if (prng_below(&p->rng, 5) == 0) {
		limit_window_withdraw(p->w, t.n);
		return;
	}
	limit_window_settle(p->w, p->now, t.n);
	push(&p->expiry, p->now.us + p->options.length_us, t.n);
	push(&p->counted, counted_at(p, t.reserved_at), t.n);
}

static void reserve_some(struct play *p)
{
	uint32_t room = limit_window_room(p->w, p->now);
	uint32_t n;

	if (room == 0 || p->open_count == OPEN_MAX)
		return;
	n = 1 + (uint32_t)prng_below(&p->rng, room < 5 ? room : 5);
	limit_window_reserve(p->w, p->now, n);
	p->open[p->open_count++] = (struct trip){ p->now, n };
}

static void compare(struct play *p)
{
	uint32_t got = limit_window_used(p->w, p->now);
	uint32_t room = limit_window_room(p->w, p->now);
	uint32_t n = 1 + (uint32_t)prng_below(&p->rng, p->options.capacity);
	struct mono_time room_at = limit_window_room_at(p->w, p->now, n);

	assert_in_range(got, model_used(p, 0), model_used(p, p->options.bucket_us));
	assert_int_equal(room, p->options.capacity - got);
	if (n <= room) {
		assert_int_equal(room_at.us, p->now.us);
	} else if (open_slots(p) + n > p->options.capacity) {
		assert_int_equal(room_at.us, UINT64_MAX);
	} else {
		uint64_t later = 0;

		assert_true(room_at.us > p->now.us);
		for (size_t i = 0; i < p->expiry.len; i++)
			later += p->expiry.us[i] > room_at.us;
		assert_true(open_slots(p) + later + n <= p->options.capacity);
	}
	/* Half of the time go on at that very instant: the tightest schedule there is. */
	if (room_at.us != UINT64_MAX && prng_below(&p->rng, 2))
		p->now = room_at;
}

static int by_instant(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void play(struct limit_window_options options, uint64_t seed)
{
	static struct play p;

	p = (struct play){ .options = options, .w = limit_window_new(&options), .now = at(1) };
	prng_seed(&p.rng, seed);
	p.receiver = (unsigned)(seed % 4);
	for (int i = 0; i < STEPS; i++) {
		uint64_t dice = prng_below(&p.rng, 10);

		if (dice < 5)
			reserve_some(&p);
		else if (dice < 9 && p.open_count)
			finish_one(&p);
		else
			p.now = mono_add(p.now, prng_below(&p.rng, options.length_us / 2 + 2));
		compare(&p);
	}
	qsort(p.counted.us, p.counted.len, sizeof(p.counted.us[0]), by_instant);
	for (size_t i = options.capacity; i < p.counted.len; i++) {
		/* More than capacity slots in less than a length would be one window too full. */
		if (p.counted.us[i] - p.counted.us[i - options.capacity] < options.length_us)
			fail_msg("seed %llu: over the limit", (unsigned long long)seed);
	}
	assert_true(p.counted.len > options.capacity);
	limit_window_free(p.w);
}

static void test_the_receiver_never_sees_more_than_the_capacity(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		play((struct limit_window_options){ 30, US_PER_MIN, 0 }, seed);
		play((struct limit_window_options){ 1, 1000, 0 }, seed);
		play((struct limit_window_options){ 7, 50, 0 }, seed);
		play((struct limit_window_options){ 200, US_PER_DAY, 5 * US_PER_MIN }, seed);
		play((struct limit_window_options){ 40, 1000, 100 }, seed);
		play((struct limit_window_options){ 12, 90, 7 }, seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots_live_from_reserve_to_settle_and_length),
		cmocka_unit_test(test_restored_slots_may_pass_the_capacity),
		cmocka_unit_test(test_a_new_capacity_leaves_what_is_occupied),
		cmocka_unit_test(test_a_bucket_expires_by_its_newest_edge),
		cmocka_unit_test(test_the_end_of_time_is_no_overflow),
		cmocka_unit_test(test_the_receiver_never_sees_more_than_the_capacity),
	};

	return cmocka_run_group_tests_name("limit/window", tests, NULL, NULL);
}
