/* SPDX-License-Identifier: Apache-2.0 */
#include "base/heap.h"

#include "base/must.h"

#include <stdlib.h>

static bool before(const struct heap_node *a, const struct heap_node *b)
{
	return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void put(struct heap *h, size_t at, struct heap_node *node)
{
	h->nodes[at] = node;
	node->place = at + 1;
}

static void rise(struct heap *h, size_t at)
{
	struct heap_node *node = h->nodes[at];

	while (at > 0 && before(node, h->nodes[(at - 1) / 2])) {
		put(h, at, h->nodes[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(h, at, node);
}

static void sink(struct heap *h, size_t at)
{
	struct heap_node *node = h->nodes[at];

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= h->count)
			break;
		if (child + 1 < h->count && before(h->nodes[child + 1], h->nodes[child]))
			child++;
		if (!before(h->nodes[child], node))
			break;
		put(h, at, h->nodes[child]);
		at = child;
	}
	put(h, at, node);
}

void heap_deinit(struct heap *h)
{
	free(h->nodes);
	*h = (struct heap){ 0 };
}

void heap_insert(struct heap *h, struct heap_node *node, uint64_t key)
{
	must(node->place == 0);
	if (h->count == h->cap) {
		h->cap = h->cap ? h->cap * 2 : 4;
		h->nodes = xrealloc(h->nodes, h->cap * sizeof(struct heap_node *));
	}
	node->key = key;
	node->order = h->inserted++;
	put(h, h->count++, node);
	rise(h, h->count - 1);
}

void heap_remove(struct heap *h, struct heap_node *node)
{
	size_t at;
	struct heap_node *last;

	if (node->place == 0)
		return;
	at = node->place - 1;
	must(at < h->count && h->nodes[at] == node);
	last = h->nodes[--h->count];
	node->place = 0;
	if (last == node)
		return;
	put(h, at, last);
	rise(h, at);
	sink(h, last->place - 1);
}

void heap_update(struct heap *h, struct heap_node *node, uint64_t key)
{
	heap_remove(h, node);
	heap_insert(h, node, key);
}

struct heap_node *heap_first(const struct heap *h)
{
	return h->count ? h->nodes[0] : NULL;
}
