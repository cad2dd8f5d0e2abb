/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

/*
 * Memory that lives and dies together (one transaction, one configuration snapshot). The all-zero
 * value is a valid empty arena. The owner bounds what goes in; there is no single free.
 */
struct arena {
	struct arena_block *blocks;
	size_t used_bytes;
};

NODISCARD void *arena_alloc(struct arena *a, size_t size);      /* zeroed, aligned for any type */
NODISCARD struct sv arena_sv(struct arena *a, struct sv bytes); /* a copy, NUL-ended too */
NODISCARD const char *arena_str(struct arena *a, struct sv bytes);
/* Room for one more in a list of `count`: the list, or a longer copy of it. `cap` begins at 0. */
NODISCARD void *arena_more(struct arena *a, void *list, size_t count, size_t *cap, size_t size);
/* Everything of `other` lives as long as `a` from now on; `other` is empty. */
void arena_join(struct arena *a, struct arena *other);
void arena_wipe(
	struct arena *a); /* what is in it becomes zeros; before a reset, where it held secrets */
void arena_reset(struct arena *a); /* frees all but nothing is kept */
