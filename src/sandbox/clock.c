/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/sandbox_priv.h"

/* The sandbox's own time, which may run faster than the wall. */

uint64_t sandbox_now_us(const struct sandbox *s)
{
	uint64_t passed = mono_span(s->clock_at, io_now(s->loop));

	return s->clock_us + (uint64_t)((double)passed * s->speed);
}

struct sandbox_instant sandbox_instant(const struct sandbox *s)
{
	uint64_t start_us = (uint64_t)s->started_at.us;

	return (struct sandbox_instant){
		.now_s = (start_us + sandbox_now_us(s)) / US_PER_S,
		.wall_s = (uint64_t)io_wall(s->loop).us / US_PER_S,
	};
}

void sandbox_set_speed(struct sandbox *s, double speed)
{
	s->clock_us = sandbox_now_us(s);
	s->clock_at = io_now(s->loop);
	s->speed = speed;
}

void sandbox_advance(struct sandbox *s, uint64_t us)
{
	s->clock_us += us;
}
