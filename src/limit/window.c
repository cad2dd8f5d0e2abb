/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/window.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

/*
 * Settled slots stand in a ring, ordered by the instant at which they expire. In an exact window each
 * slot has its own place and `counts` is not there; else a place is a bucket: the slots whose expiry
 * lies in one step of a grid of `bucket_us`, all of which expire with the last of them. So a bucket
 * errs by less than `bucket_us`, and always towards keeping a slot too long.
 */
struct limit_window {
	struct limit_window_options options;
	uint64_t *edges_us; /* ring */
	uint32_t *counts;   /* ring beside it; NULL in an exact window */
	size_t head, len, cap;
	uint64_t settled; /* sum of the ring */
	uint64_t open;    /* reserved, neither settled nor withdrawn */
};

enum {
	RING_FIRST = 16
};

struct limit_window *limit_window_new(const struct limit_window_options *options)
{
	struct limit_window *w;

	must(options->capacity > 0);
	must(options->length_us > 0);
	if (options->bucket_us == 0)
		must(options->length_us <= US_PER_HOUR);
	must(options->bucket_us <= 5 * US_PER_MIN);
	w = xcalloc(1, sizeof(*w));
	w->options = *options;
	return w;
}

void limit_window_free(struct limit_window *w)
{
	if (!w)
		return;
	free(w->edges_us);
	free(w->counts);
	free(w);
}

/* Where the `i`th place from the head is; `cap` is a power of two. */
static size_t slot_of(const struct limit_window *w, size_t i)
{
	return (w->head + i) & (w->cap - 1);
}

static uint32_t count_at(const struct limit_window *w, size_t slot)
{
	return w->counts ? w->counts[slot] : 1;
}

static void grow(struct limit_window *w, size_t need)
{
	size_t cap = w->cap ? w->cap : RING_FIRST;
	uint64_t *edges_us;
	uint32_t *counts = NULL;

	while (cap < need)
		cap *= 2;
	if (cap == w->cap)
		return;
	edges_us = xcalloc(cap, sizeof(*edges_us));
	if (w->options.bucket_us)
		counts = xcalloc(cap, sizeof(*counts));
	for (size_t i = 0; i < w->len; i++) {
		edges_us[i] = w->edges_us[slot_of(w, i)];
		if (counts)
			counts[i] = w->counts[slot_of(w, i)];
	}
	free(w->edges_us);
	free(w->counts);
	w->edges_us = edges_us;
	w->counts = counts;
	w->cap = cap;
	w->head = 0;
}

static void expire(struct limit_window *w, struct mono_time now)
{
	while (w->len && w->edges_us[w->head] <= now.us) {
		w->settled -= count_at(w, w->head);
		w->head = slot_of(w, 1);
		w->len--;
	}
}

/* How many places have an edge that is not behind `edge_us`. Settling comes in order: one step. */
static size_t place_of(const struct limit_window *w, uint64_t edge_us)
{
	size_t place = w->len;

	while (place && w->edges_us[slot_of(w, place - 1)] > edge_us)
		place--;
	return place;
}

/* Opens `n` places at `place`; their edges are set, their counts are the caller's. */
static void insert(struct limit_window *w, size_t place, size_t n, uint64_t edge_us)
{
	grow(w, w->len + n);
	for (size_t i = w->len; i > place; i--) {
		w->edges_us[slot_of(w, i - 1 + n)] = w->edges_us[slot_of(w, i - 1)];
		if (w->counts)
			w->counts[slot_of(w, i - 1 + n)] = w->counts[slot_of(w, i - 1)];
	}
	for (size_t i = 0; i < n; i++)
		w->edges_us[slot_of(w, place + i)] = edge_us;
	w->len += n;
}

static bool same_bucket(const struct limit_window *w, size_t slot, uint64_t edge_us)
{
	return w->edges_us[slot] / w->options.bucket_us == edge_us / w->options.bucket_us;
}

static void add(struct limit_window *w, uint64_t edge_us, uint32_t n)
{
	size_t place = place_of(w, edge_us);

	w->settled += n;
	if (w->options.bucket_us == 0) {
		insert(w, place, n, edge_us);
		return;
	}
	/* The bucket of this step lies before the place, or at it when its edge is the later one. */
	if (place < w->len && same_bucket(w, slot_of(w, place), edge_us)) {
		w->counts[slot_of(w, place)] += n;
		return;
	}
	if (place && same_bucket(w, slot_of(w, place - 1), edge_us)) {
		w->edges_us[slot_of(w, place - 1)] = edge_us;
		w->counts[slot_of(w, place - 1)] += n;
		return;
	}
	insert(w, place, 1, edge_us);
	w->counts[slot_of(w, place)] = n;
}

static uint64_t used(struct limit_window *w, struct mono_time now)
{
	expire(w, now);
	return w->settled + w->open;
}

uint32_t limit_window_used(struct limit_window *w, struct mono_time now)
{
	uint64_t n = used(w, now);

	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

uint32_t limit_window_settled_at(const struct limit_window *w, struct mono_time at)
{
	uint64_t n = 0;

	for (size_t i = w->len; i > 0 && w->edges_us[slot_of(w, i - 1)] > at.us; i--)
		n += count_at(w, slot_of(w, i - 1));
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

uint32_t limit_window_room(struct limit_window *w, struct mono_time now)
{
	uint64_t n = used(w, now);

	return n < w->options.capacity ? w->options.capacity - (uint32_t)n : 0;
}

struct mono_time limit_window_room_at(struct limit_window *w, struct mono_time now, uint32_t n)
{
	uint64_t need, freed = 0;

	if (w->open + n > w->options.capacity)
		return MONO_NEVER;
	if (used(w, now) + n <= w->options.capacity)
		return now;
	need = w->settled + w->open + n - w->options.capacity;
	if (!w->counts)
		return (struct mono_time){ w->edges_us[slot_of(w, need - 1)] };
	for (size_t i = 0; i < w->len; i++) {
		freed += w->counts[slot_of(w, i)];
		if (freed >= need)
			return (struct mono_time){ w->edges_us[slot_of(w, i)] };
	}
	return MONO_NEVER; /* not reached: open slots alone leave room for n */
}

void limit_window_reserve(struct limit_window *w, struct mono_time now, uint32_t n)
{
	must(n <= limit_window_room(w, now));
	w->open += n;
}

void limit_window_settle(struct limit_window *w, struct mono_time now, uint32_t n)
{
	must(n <= w->open);
	expire(w, now);
	w->open -= n;
	if (n)
		add(w, mono_add(now, w->options.length_us).us, n);
}

void limit_window_withdraw(struct limit_window *w, uint32_t n)
{
	must(n <= w->open);
	w->open -= n;
}

void limit_window_restore(struct limit_window *w, struct mono_time expires_at, uint32_t n)
{
	if (n)
		add(w, expires_at.us, n);
}

void limit_window_set_capacity(struct limit_window *w, uint32_t capacity)
{
	w->options.capacity = capacity;
}

uint32_t limit_window_capacity(const struct limit_window *w)
{
	return w->options.capacity;
}
