/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include "cmocka_all.h"

/* A clock that stands still but for what its callbacks add to it. */
struct made_clock {
	struct io_loop *loop;
	struct mono_time mono;
	struct wall_time wall;
	struct io_timer timer;
	unsigned fired;
};

static void read_made_clock(void *arg, struct mono_time *out_mono, struct wall_time *out_wall)
{
	const struct made_clock *c = arg;

	*out_mono = c->mono;
	*out_wall = c->wall;
}

static void on_made_timer(void *arg)
{
	struct made_clock *c = arg;

	assert_int_equal(io_now(c->loop).us, c->mono.us);
	assert_int_equal(io_wall(c->loop).us, c->wall.us);
	if (++c->fired == 3) {
		io_loop_stop(c->loop);
		return;
	}
	/* A week passes between two rounds, and the wall clock goes back: the timer is due at once. */
	io_timer_start(&c->timer, mono_add(c->mono, 7 * US_PER_DAY));
	c->mono = mono_add(c->mono, 7 * US_PER_DAY);
	c->wall = wall_add(c->wall, -(int64_t)US_PER_HOUR);
}

static void seed_and_clock_may_be_given(void **state)
{
	struct made_clock c = { .mono = { 5 * US_PER_S }, .wall = { INT64_C(1700000000000000) } };
	const struct io_loop_options options = {
		.seed = 42, .clock = read_made_clock, .clock_arg = &c
	};
	struct io_loop *twin = io_loop_new_with(&options), *other = io_loop_new();
	uint64_t dice;

	(void)state;
	c.loop = io_loop_new_with(&options);
	dice = prng_next(io_prng(c.loop));
	assert_int_equal(dice, prng_next(io_prng(twin)));
	assert_int_not_equal(dice, prng_next(io_prng(other)));
	io_timer_init(&c.timer, c.loop, on_made_timer, &c);
	io_timer_start(&c.timer, c.mono);
	io_loop_run(c.loop);
	assert_int_equal(c.fired, 3);
	io_loop_free(c.loop);
	io_loop_free(twin);
	io_loop_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seed_and_clock_may_be_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
