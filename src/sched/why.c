/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/why.h"

#include "base/attr.h"
#include "base/number.h"

const char *sched_why_name(enum sched_why why)
{
	static const char *const names[] = {
		[SCHED_WHY_NO_DOOR] = "no-lane",
		[SCHED_WHY_CROWDED] = "crowded",
		[SCHED_WHY_HELD] = "held",
		[SCHED_WHY_EXTERNAL] = "external-held",
		[SCHED_WHY_SENDER] = "sender-held",
		[SCHED_WHY_DUE] = "due",
		[SCHED_WHY_DAY] = "day",
		[SCHED_WHY_HOUR] = "hour",
		[SCHED_WHY_MINUTE] = "minute",
		[SCHED_WHY_MONTH] = "month",
		[SCHED_WHY_TURN] = "turn",
		[SCHED_WHY_NEXT] = "next",
	};

	return names[why];
}

static enum sched_why why_of(const struct sched_question *q, const struct sched_standing *s)
{
	if (!s->taker)
		return SCHED_WHY_NO_DOOR;
	if (sched_taker_state(s->taker)->held)
		return SCHED_WHY_HELD;
	/* What is held for its sender would be held for that, wherever it goes. */
	if (s->sender_held)
		return SCHED_WHY_SENDER;
	if (!s->takes)
		return SCHED_WHY_EXTERNAL;
	if (q->due.us > q->now.us)
		return SCHED_WHY_DUE;
	return s->ahead > 0 ? SCHED_WHY_TURN : SCHED_WHY_NEXT;
}

struct sched_reason sched_why(const struct sched_question *q)
{
	const struct sched_standing s = sched_flow_standing(q->flow, q->before);
	struct sched_reason r = { .taker = s.taker, .due = q->due, .wait_us = UINT64_MAX };

	r.why = why_of(q, &s);
	if (r.why == SCHED_WHY_TURN)
		r.ahead = s.ahead;
	if (r.why == SCHED_WHY_DUE)
		r.wait_us = (uint64_t)(q->due.us - q->now.us);
	return r;
}

/* A window that is full opens for the first at `first_us`; from then on, or once it is, it lets its capacity go in its length. */
static uint64_t wait_of(
	uint64_t n, uint32_t used, uint32_t capacity, uint64_t length_us, uint64_t first_us)
{
	uint64_t free = used < capacity ? capacity - used : 0, rest, windows;

	if (capacity == 0 || n <= free)
		return 0;
	rest = free > 0 ? n - free : n - 1;
	/* A hundred years are as good as any. */
	windows = rest / capacity < 36500 ? rest / capacity : 36500;
	return (free > 0 ? 0 : first_us) + windows * length_us +
	       rest % capacity * length_us / capacity;
}

static bool is_of_limits(enum sched_why why)
{
	return why == SCHED_WHY_TURN || why == SCHED_WHY_NEXT;
}

void sched_why_limits(struct sched_reason *r, const struct limit_use *use, struct mono_time now,
	struct mono_time room_at)
{
	const struct {
		enum sched_limit limit;
		enum sched_why why;
		uint64_t length_us;
		const struct limit_window_use *use;
	} windows[] = {
		{ SCHED_LIMIT_MINUTE, SCHED_WHY_MINUTE, US_PER_MIN, &use->minute },
		{ SCHED_LIMIT_HOUR, SCHED_WHY_HOUR, US_PER_HOUR, &use->hour },
		{ SCHED_LIMIT_DAY_MESSAGES, SCHED_WHY_DAY, US_PER_DAY, &use->day_messages },
		{ SCHED_LIMIT_DAY, SCHED_WHY_DAY, US_PER_DAY, &use->day },
		{ SCHED_LIMIT_MONTH, SCHED_WHY_MONTH, 30 * US_PER_DAY, &use->month },
	};
	uint64_t slot_us = mono_span(now, room_at), longest = 0;
	enum sched_why full = SCHED_WHY_MINUTE;
	size_t binding = 0;

	if (!is_of_limits(r->why))
		return;
	/* What is full binds before what will be, the longer one first. */
	for (size_t i = 0; i < COUNT_OF(windows); i++) {
		const struct limit_window_use *w = windows[i].use;
		bool is_full = w->shut || (w->capacity > 0 && w->used >= w->capacity);
		uint64_t us =
			wait_of(r->ahead + 1, w->used, w->capacity, windows[i].length_us, slot_us);

		if (us > longest || (is_full && i > 0))
			binding = i;
		if (is_full)
			full = windows[i].why;
		longest = u64_max(longest, us);
	}
	if (slot_us > 0)
		r->why = full;
	r->wait_us = u64_max(longest, slot_us);
	if (r->wait_us == 0) {
		/* Only how quick the server is. */
		r->wait_us = r->ahead > 0 ? UINT64_MAX : 0;
		return;
	}
	/* Of one that only a reply has told of nobody knows how much it is. */
	if (windows[binding].use->capacity == 0)
		return;
	r->binding = windows[binding].limit;
	r->binding_of = windows[binding].use->of;
	r->rate = windows[binding].use->capacity;
}
