/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/must.h"
#include "base/secret.h"

#include <stdalign.h>
#include <stdlib.h>

enum {
	ARENA_BLOCK = 2048,
	MORE_FIRST = 16,
};

struct arena_block {
	struct arena_block *next;
	size_t used, cap;
	alignas(max_align_t) char bytes[];
};

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_block *block = a->blocks;
	void *at;

	size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (!block || block->cap - block->used < size) {
		size_t cap = size > ARENA_BLOCK ? size : ARENA_BLOCK;

		block = xmalloc(sizeof(*block) + cap);
		block->next = a->blocks;
		block->used = 0;
		block->cap = cap;
		a->blocks = block;
	}
	at = block->bytes + block->used;
	block->used += size;
	a->used_bytes += size;
	memset(at, 0, size);
	return at;
}

struct sv arena_sv(struct arena *a, struct sv bytes)
{
	char *copy = arena_alloc(a, bytes.len + 1);

	if (bytes.len)
		memcpy(copy, bytes.ptr, bytes.len);
	return sv_make(copy, bytes.len);
}

const char *arena_str(struct arena *a, struct sv bytes)
{
	return arena_sv(a, bytes).ptr;
}

void *arena_more(struct arena *a, void *list, size_t count, size_t *cap, size_t size)
{
	void *longer;

	if (count < *cap)
		return list;
	*cap = *cap ? *cap * 2 : MORE_FIRST;
	longer = arena_alloc(a, *cap * size);
	if (count)
		memcpy(longer, list, count * size);
	return longer;
}

void arena_reset(struct arena *a)
{
	struct arena_block *block = a->blocks;

	while (block) {
		struct arena_block *next = block->next;

		free(block);
		block = next;
	}
	*a = (struct arena){ 0 };
}

void arena_wipe(struct arena *a)
{
	for (struct arena_block *block = a->blocks; block; block = block->next)
		secret_wipe(block->bytes, block->used);
}

void arena_join(struct arena *a, struct arena *other)
{
	struct arena_block **last = &a->blocks;

	/* The first block is the one with room: it stays first. */
	while (*last)
		last = &(*last)->next;
	*last = other->blocks;
	a->used_bytes += other->used_bytes;
	*other = (struct arena){ 0 };
}
