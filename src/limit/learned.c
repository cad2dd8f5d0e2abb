/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/learned.h"

enum {
	NEAR = 2,          /* a half of what we thought, and more, is a limit */
	AGAIN_WINDOWS = 3, /* so soon after the last one, it is, too */
	LOWER = 10,        /* a tenth less, where it is refused once more at what was learned */
	RAISE = 4,         /* of what is missing, in one step */
	RAISE_WINDOWS_SHORT = 5, /* of a minute and an hour */
	RAISE_WINDOWS_DAY = 2,
	FAILED_MAX = 5, /* the steps come no slower than after so many */
};

static uint32_t part_of(uint32_t n, uint32_t part)
{
	return n / part ? n / part : 1;
}

static uint64_t raise_after(const struct limit_learned *l, uint64_t length_us)
{
	uint64_t windows = length_us < US_PER_DAY ? RAISE_WINDOWS_SHORT : RAISE_WINDOWS_DAY;

	return (windows << l->failed) * length_us;
}

static void learn(
	struct limit_learned *l, const struct limit_refusal *r, uint64_t length_us, uint32_t taken)
{
	bool again = l->limit > 0;

	if (again && taken >= l->limit)
		taken = l->limit > 1 ? l->limit - part_of(l->limit, LOWER) : 1;
	if (again && l->failed < FAILED_MAX)
		l->failed++;
	l->limit = taken;
	l->percent = r->percent;
	l->at = r->wall;
	l->raise_at = mono_add(r->now, raise_after(l, length_us));
}

bool limit_learned_refused(struct limit_learned *l, const struct limit_refusal *r,
	uint64_t length_us, uint32_t taken, uint32_t cap)
{
	bool again = l->heard_at.us && mono_span(l->heard_at, r->now) <= AGAIN_WINDOWS * length_us;
	/* Several had left before the first of them heard it. */
	bool known = mono_before(r->now, l->shut_till);

	l->heard_at = r->now;
	l->shut_till = mono_add(r->now, length_us);
	l->trying = true;
	if (known)
		return false;
	if (taken > 0 && (again || taken >= cap / NEAR))
		learn(l, r, length_us, taken);
	return true;
}

void limit_learned_passed(struct limit_learned *l, struct mono_time now)
{
	if (l->trying && !mono_before(now, l->shut_till))
		l->trying = false;
}

uint32_t limit_learned_cap(const struct limit_learned *l)
{
	uint64_t cap = (uint64_t)l->limit * l->percent / 100;

	return l->limit == 0 ? 0 : cap == 0 ? 1 : (uint32_t)cap;
}

bool limit_learned_raise(
	struct limit_learned *l, uint64_t length_us, uint32_t cap, struct mono_time now)
{
	uint64_t all = l->percent ? (uint64_t)cap * 100 / l->percent : cap;

	if (l->limit == 0 || mono_before(now, l->raise_at))
		return false;
	l->limit += all > l->limit ? part_of((uint32_t)(all - l->limit), RAISE) : 1;
	l->raise_at = mono_add(now, raise_after(l, length_us));
	if (limit_learned_cap(l) >= cap)
		l->limit = l->failed = 0;
	return true;
}

void limit_learned_restore(struct limit_learned *l, uint64_t length_us, struct mono_time now)
{
	if (l->failed > FAILED_MAX)
		l->failed = FAILED_MAX;
	l->raise_at = mono_add(now, raise_after(l, length_us));
	l->trying = mono_before(now, l->shut_till);
	/* A clock that jumped shuts nothing for longer than that. */
	if (mono_span(now, l->shut_till) > length_us)
		l->shut_till = mono_add(now, length_us);
}
