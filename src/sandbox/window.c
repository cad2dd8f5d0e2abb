/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/window.h"

#include "base/must.h"
#include "base/time.h"

#include <stdlib.h>

enum {
	RING_FIRST = 16
};

void sandbox_window_deinit(struct sandbox_window *w)
{
	free(w->ring);
	*w = (struct sandbox_window){ 0 };
}

static size_t place(const struct sandbox_window *w, size_t i)
{
	return (w->head + i) & (w->cap - 1);
}

uint64_t sandbox_window_used(struct sandbox_window *w, uint64_t now_us, uint64_t length_us)
{
	while (w->len && w->ring[w->head].at_us + length_us <= now_us) {
		w->sum -= w->ring[w->head].n;
		w->head = place(w, 1);
		w->len--;
	}
	return w->sum;
}

static void grow(struct sandbox_window *w)
{
	size_t cap = w->cap ? w->cap * 2 : RING_FIRST;
	struct sandbox_counted *ring = xcalloc(cap, sizeof(*ring));

	for (size_t i = 0; i < w->len; i++)
		ring[i] = w->ring[place(w, i)];
	free(w->ring);
	w->ring = ring;
	w->cap = cap;
	w->head = 0;
}

void sandbox_window_add(struct sandbox_window *w, uint64_t at_us, uint32_t n)
{
	struct sandbox_counted *last = w->len ? &w->ring[place(w, w->len - 1)] : NULL;

	w->sum += n;
	if (last) {
		must(last->at_us <= at_us);
		if (last->at_us == at_us) {
			last->n += n;
			return;
		}
	}
	if (w->len == w->cap)
		grow(w);
	w->ring[place(w, w->len++)] = (struct sandbox_counted){ at_us, n };
}

void sandbox_people_spend(
	struct sandbox_people *p, struct sandbox_window *w, uint64_t now_us, uint64_t length_us)
{
	uint64_t step = p->per_hour ? US_PER_HOUR / p->per_hour : 0, skipped;

	if (step == 0)
		return;
	/* What has left the window by now is not worth a step. */
	if (p->from_us + length_us < now_us) {
		skipped = (now_us - length_us - p->from_us) / step;
		p->from_us += skipped * step;
	}
	while (p->from_us + step <= now_us) {
		p->from_us += step;
		sandbox_window_add(w, p->from_us, 1);
	}
}
