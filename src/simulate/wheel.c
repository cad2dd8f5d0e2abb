/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/wheel.h"

#include "base/must.h"

#include <stdlib.h>

enum {
	/* Small enough for the cache; what is further away stays in its slot for the next round. */
	SLOTS = 2 * 3600 * WHEEL_TICKS_A_SECOND,
	NODES_FIRST = 1024,
	WORD_BITS = 64,
};
static_assert(SLOTS % WORD_BITS == 0, "whole words");

struct node {
	struct wheel_event event;
	uint32_t next; /* place + 1; 0: none */
};

struct slot {
	uint32_t first, last; /* likewise */
};

struct wheel {
	struct slot *slots;
	uint64_t *used; /* a bit for each slot that has something: most have not */
	struct node *nodes;
	uint32_t node_count, node_cap, unused;
	uint64_t now, count;
};

struct wheel *wheel_new(void)
{
	struct wheel *w = xcalloc(1, sizeof(*w));

	w->slots = xcalloc(SLOTS, sizeof(*w->slots));
	w->used = xcalloc(SLOTS / WORD_BITS, sizeof(*w->used));
	return w;
}

void wheel_free(struct wheel *w)
{
	if (!w)
		return;
	free(w->slots);
	free(w->used);
	free(w->nodes);
	free(w);
}

static uint32_t new_node(struct wheel *w)
{
	uint32_t n = w->unused;

	if (n) {
		w->unused = w->nodes[n - 1].next;
		return n;
	}
	if (w->node_count == w->node_cap) {
		w->node_cap = w->node_cap ? w->node_cap * 2 : NODES_FIRST;
		w->nodes = xrealloc(w->nodes, w->node_cap * sizeof(*w->nodes));
	}
	return ++w->node_count;
}

static void append(struct wheel *w, struct slot *s, uint32_t n)
{
	w->nodes[n - 1].next = 0;
	if (s->last)
		w->nodes[s->last - 1].next = n;
	else
		s->first = n;
	s->last = n;
}

void wheel_put(struct wheel *w, const struct wheel_event *e)
{
	uint32_t n = new_node(w);

	must(e->tick >= w->now);
	w->nodes[n - 1].event = *e;
	append(w, &w->slots[e->tick % SLOTS], n);
	w->used[e->tick % SLOTS / WORD_BITS] |= UINT64_C(1) << e->tick % WORD_BITS;
	w->count++;
}

static uint32_t pop(struct wheel *w, struct slot *s)
{
	uint32_t n = s->first;

	s->first = w->nodes[n - 1].next;
	if (s->first == 0)
		s->last = 0;
	return n;
}

/* Those of this slot that are due now come first; those of later rounds of the wheel stay, in order. */
static uint32_t take_due(struct wheel *w)
{
	struct slot *s = &w->slots[w->now % SLOTS];
	struct slot later = { 0 };
	uint32_t due = 0;

	while (s->first && !due) {
		uint32_t n = pop(w, s);

		if (w->nodes[n - 1].event.tick == w->now)
			due = n;
		else
			append(w, &later, n);
	}
	/* What was passed over goes behind the rest: that is due now, or was put later. */
	if (later.first) {
		if (s->last)
			w->nodes[s->last - 1].next = later.first;
		else
			s->first = later.first;
		s->last = later.last;
	}
	return due;
}

/* To the next tick whose slot has something, of this round or of a later one. */
static void step(struct wheel *w)
{
	uint64_t slot = w->now % SLOTS, bits;

	if (!w->slots[slot].first)
		w->used[slot / WORD_BITS] &= ~(UINT64_C(1) << slot % WORD_BITS);
	w->now++;
	slot = w->now % SLOTS;
	bits = w->used[slot / WORD_BITS] >> slot % WORD_BITS;
	while (!bits) {
		w->now += WORD_BITS - w->now % WORD_BITS;
		bits = w->used[w->now % SLOTS / WORD_BITS];
	}
	w->now += (unsigned)__builtin_ctzll(bits);
}

bool wheel_take(struct wheel *w, struct wheel_event *out)
{
	uint32_t n = 0;

	if (w->count == 0)
		return false;
	while ((n = take_due(w)) == 0)
		step(w);
	*out = w->nodes[n - 1].event;
	w->nodes[n - 1].next = w->unused;
	w->unused = n;
	w->count--;
	return true;
}

bool wheel_has_more(const struct wheel *w)
{
	for (uint32_t n = w->slots[w->now % SLOTS].first; n; n = w->nodes[n - 1].next)
		if (w->nodes[n - 1].event.tick == w->now)
			return true;
	return false;
}
