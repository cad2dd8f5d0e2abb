/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Binary min-heap of intrusive nodes ordered by `key` (an instant, usually). Ties come out in the
 * order of insertion, so that a seed replays. The owner keeps the nodes alive while they are in.
 */
struct heap_node {
	uint64_t key;
	uint64_t order;
	size_t place; /* 1-based index, 0 = not in a heap */
};

struct heap {
	struct heap_node **nodes;
	size_t count, cap;
	uint64_t inserted;
};

void heap_deinit(struct heap *h);
void heap_insert(struct heap *h, struct heap_node *node, uint64_t key);
void heap_remove(struct heap *h, struct heap_node *node); /* nothing when it is not in */
void heap_update(struct heap *h, struct heap_node *node, uint64_t key); /* inserts if needed */
struct heap_node *heap_first(const struct heap *h);                     /* NULL when empty */

static inline bool heap_holds(const struct heap_node *node)
{
	return node->place != 0;
}
