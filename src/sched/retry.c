/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/retry.h"

enum {
	JITTER_PERCENT = 20
};

struct sched_retry sched_retry_after(const struct sched_retry *r, const struct verdict *v)
{
	struct sched_retry after = *r;

	if (v->of_line && after.first_us > SCHED_RETRY_OF_LINE_US)
		after.first_us = SCHED_RETRY_OF_LINE_US;
	return after;
}

uint64_t sched_retry_pause(const struct sched_retry *r, uint32_t attempts, struct prng *rng)
{
	uint64_t pause = r->first_us ? r->first_us : 1;

	for (uint32_t i = 1; i < attempts && pause < r->ceiling_us; i++)
		pause *= 2;
	if (r->ceiling_us && pause > r->ceiling_us)
		pause = r->ceiling_us;
	/* Without jitter, mail that failed together would come back together for ever. */
	return pause - pause * JITTER_PERCENT / 100 +
	       prng_below(rng, pause * 2 * JITTER_PERCENT / 100 + 1) + 1;
}

uint64_t sched_backoff_fail(struct sched_backoff *b, const struct sched_retry *r, uint64_t least_us,
	struct mono_time now, struct prng *rng)
{
	uint64_t pause = sched_retry_pause(r, ++b->in_row, rng);

	if (pause < least_us)
		pause = least_us;
	b->until = mono_add(now, pause);
	return pause;
}

void sched_backoff_lengthen(struct sched_backoff *b, uint64_t least_us, struct mono_time now)
{
	struct mono_time least = mono_add(now, least_us);

	if (mono_before(b->until, least))
		b->until = least;
}
