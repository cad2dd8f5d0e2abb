/* SPDX-License-Identifier: Apache-2.0 */
#include "base/htable.h"

#include "base/must.h"

#include <stdlib.h>

static size_t slot_of(const struct htable *t, struct sv key)
{
	size_t at = (size_t)sv_hash(key, t->seed) & (t->cap - 1);

	while (t->slots[at].key && !sv_eq(sv_make(t->slots[at].key, t->slots[at].key_len), key))
		at = (at + 1) & (t->cap - 1);
	return at;
}

static void grow(struct htable *t)
{
	struct htable old = *t;

	t->cap = old.cap ? old.cap * 2 : 16;
	t->slots = xcalloc(t->cap, sizeof(*t->slots));
	htable_each (&old, slot)
		t->slots[slot_of(t, sv_make(slot->key, slot->key_len))] = *slot;
	free(old.slots);
}

void htable_deinit(struct htable *t)
{
	htable_each (t, slot)
		free(slot->key);
	free(t->slots);
	*t = (struct htable){ .seed = t->seed };
}

void *htable_get(const struct htable *t, struct sv key)
{
	return t->count ? t->slots[slot_of(t, key)].value : NULL;
}

void htable_put(struct htable *t, struct sv key, void *value)
{
	struct htable_slot *slot;

	must(value != NULL);
	if ((t->count + 1) * 4 > t->cap * 3)
		grow(t);
	slot = &t->slots[slot_of(t, key)];
	if (!slot->key) {
		slot->key = xmalloc(key.len + 1);
		if (key.len)
			memcpy(slot->key, key.ptr, key.len);
		slot->key[key.len] = '\0';
		slot->key_len = key.len;
		t->count++;
	}
	slot->value = value;
}

/* Moves the followers of a removed slot back, so that no search stops early. */
static void close_gap(struct htable *t, size_t gap)
{
	size_t at = gap;

	for (;;) {
		size_t home;

		at = (at + 1) & (t->cap - 1);
		if (!t->slots[at].key)
			return;
		home = (size_t)sv_hash(sv_make(t->slots[at].key, t->slots[at].key_len), t->seed) &
		       (t->cap - 1);
		if (((at - home) & (t->cap - 1)) < ((at - gap) & (t->cap - 1)))
			continue;
		t->slots[gap] = t->slots[at];
		t->slots[at] = (struct htable_slot){ 0 };
		gap = at;
	}
}

void *htable_take(struct htable *t, struct sv key)
{
	size_t at;
	void *value;

	if (t->count == 0)
		return NULL;
	at = slot_of(t, key);
	if (!t->slots[at].key)
		return NULL;
	value = t->slots[at].value;
	free(t->slots[at].key);
	t->slots[at] = (struct htable_slot){ 0 };
	t->count--;
	close_gap(t, at);
	return value;
}
