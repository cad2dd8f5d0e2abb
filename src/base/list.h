/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>

/* Intrusive doubly linked list. A node is in at most one list; an unlinked node points to itself. */
struct list {
	struct list *next, *prev;
};

#define LIST_INIT(name)          \
	{                        \
		&(name), &(name) \
	}
#define list_entry(node, type, member) CONTAINER_OF(node, type, member)
#define list_each(pos, head) for (struct list *pos = (head)->next; pos != (head); pos = pos->next)
#define list_each_safe(pos, after, head)                                         \
	for (struct list *pos = (head)->next, *after = pos->next; pos != (head); \
		pos = after, after = pos->next)

static inline void list_init(struct list *l)
{
	l->next = l;
	l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_append(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void list_prepend(struct list *head, struct list *node)
{
	list_append(head->next, node);
}

static inline void list_remove(struct list *node)
{
	/* The analyzer loses sight of rings. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}
