/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/burst.h"

#include "base/number.h"

static uint32_t may_leave(const struct sched_burst *b)
{
	return u32_min(b->waiting + (b->more ? 1 : 0), b->room);
}

uint32_t sched_burst_wanted(const struct sched_burst *b)
{
	uint32_t max = b->one_at_a_time || b->scarce ? u32_min(b->max, 1) : b->max;
	uint32_t takers = b->idle + b->handshakes, work = may_leave(b);

	if (work <= takers || max <= b->open)
		return 0;
	return u32_min(work - takers, max - b->open);
}

bool sched_burst_rests(const struct sched_burst *b)
{
	return may_leave(b) == 0;
}

uint32_t sched_share(uint32_t limit, uint32_t percent)
{
	uint64_t share = (uint64_t)limit * percent / 100;

	return limit == 0 ? 0 : share == 0 ? 1 : (uint32_t)share;
}

uint32_t sched_share_of_connections(uint32_t limit, uint32_t percent)
{
	return (uint32_t)(((uint64_t)limit * percent + 99) / 100);
}
