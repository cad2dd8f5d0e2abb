/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/pace.h"

#include "base/number.h"

uint32_t sched_pace_connections(const struct sched_pace *p, uint32_t most)
{
	return p->limit ? u32_min(p->limit, most) : most;
}

uint64_t sched_pace_era(const struct sched_pace *p)
{
	return p->era;
}

bool sched_pace_too_many(struct sched_pace *p, uint64_t era, uint32_t open, uint32_t most)
{
	uint32_t before = sched_pace_connections(p, most), now = u32_min(before, open) / 2;

	if (era != p->era)
		return false;
	p->era++;
	p->passed = 0;
	p->limit = now ? now : 1;
	return p->limit < before;
}

void sched_pace_passed(struct sched_pace *p, uint32_t open, uint32_t most)
{
	if (p->limit == 0 || open < p->limit)
		return;
	if (++p->passed < p->limit * SCHED_PACE_ROUNDS)
		return;
	p->passed = 0;
	p->limit = p->limit + 1 < most ? p->limit + 1 : 0;
}
