/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

/*
 * Map from bytes to a pointer (open addressing). Keys are copied; values are borrowed. Seed it with
 * a random number where a peer chooses the keys.
 */
struct htable_slot {
	char *key;
	size_t key_len;
	void *value;
};

struct htable {
	struct htable_slot *slots;
	size_t count, cap;
	uint64_t seed;
};

#define htable_each(t, slot)                                                                      \
	for (struct htable_slot *slot = (t)->slots; slot && slot < (t)->slots + (t)->cap; slot++) \
		if (slot->key)

void htable_deinit(struct htable *t);
void *htable_get(const struct htable *t, struct sv key);       /* NULL when absent */
void htable_put(struct htable *t, struct sv key, void *value); /* replaces; value not NULL */
void *htable_take(struct htable *t, struct sv key);            /* removes; NULL when absent */
