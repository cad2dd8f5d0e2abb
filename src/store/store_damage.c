/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/store_priv.h"

#include <stdio.h>

/*
 * What was met of the queue that the disk has damaged. A message that stands on it is passed over for a while, as
 * nothing but a repair helps it; but a disk may also have read badly once.
 */
#define AGAIN_AFTER_US US_PER_HOUR

void store_damage_words(struct store *s, const char *words)
{
	io_mutex_lock(&s->words_lock);
	if (!s->damage.met)
		(void)snprintf(s->damage.words, sizeof(s->damage.words), "%s", words);
	s->damage.met = true;
	io_mutex_unlock(&s->words_lock);
}

static struct store_damaged *find(struct store *s, uint64_t id, uint32_t index)
{
	for (size_t i = 0; i < s->damaged_count; i++)
		if (s->damaged[i].id == id && s->damaged[i].index == index)
			return &s->damaged[i];
	return NULL;
}

static bool is_named(const struct store *s, uint64_t id)
{
	for (size_t i = 0; i < s->damaged_count; i++)
		if (s->damaged[i].id == id)
			return true;
	return false;
}

static void count_message(struct store *s, uint64_t id)
{
	io_mutex_lock(&s->words_lock);
	if (s->damage.messages < STORE_DAMAGE_NAMED)
		s->damage.named[s->damage.messages] = id;
	s->damage.messages++;
	io_mutex_unlock(&s->words_lock);
}

void store_damage_note(struct store *s, uint64_t id, uint32_t index, const char *words)
{
	struct store_damaged *known = find(s, id, index);
	uint64_t until_us = io_clock_mono().us + AGAIN_AFTER_US;

	store_damage_words(s, words);
	if (known)
		known->until_us = until_us;
	if (known || s->damaged_count == STORE_DAMAGED_MAX)
		return;
	if (index != STORE_HISTORY_OF && !is_named(s, id))
		count_message(s, id);
	s->damaged[s->damaged_count++] = (struct store_damaged){ id, until_us, index };
}

bool store_damage_knows(struct store *s, uint64_t id, uint32_t index)
{
	const struct store_damaged *known = s->damaged_count ? find(s, id, index) : NULL;

	return known && io_clock_mono().us < known->until_us;
}

struct store_damage store_damage(struct store *s)
{
	struct store_damage d;

	io_mutex_lock(&s->words_lock);
	d = s->damage;
	io_mutex_unlock(&s->words_lock);
	return d;
}
