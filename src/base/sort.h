/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Sorts pointers one step after the other, so that a loop can do other things in between: merge sort, stable, a
 * comparison a step. All belongs to the caller; nothing is allocated.
 */
typedef int sort_compare_fn(const void *a, const void *b, void *arg);

struct sort {
	sort_compare_fn *compare;
	void *arg;
	void **from, **to; /* runs of `width` are sorted in `from`, and merged into `to` */
	size_t count, width;
	size_t left, right,
		at; /* next of the first run, next of the second, how many are in `to` */
};

/* `items` and `spare` have room for `count`. */
void sort_begin(struct sort *s, void **items, void **spare, size_t count, sort_compare_fn *compare,
	void *arg);
bool sort_step(struct sort *s); /* false: sorted */
/* When it is sorted: `items` or `spare`. */
void **sort_sorted(const struct sort *s);
