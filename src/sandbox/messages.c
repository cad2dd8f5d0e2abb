/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/messages.h"

#include "base/htable.h"
#include "base/must.h"
#include "mail/address.h"
#include "sandbox/events.h"

#include <stdio.h>
#include <stdlib.h>

struct sandbox_messages {
	uint64_t keep_bytes, kept_bytes;
	struct sandbox_message **items; /* kept ones, rising numbers */
	size_t first, count, cap;       /* items[first .. count) */
	uint64_t last_number;
	uint64_t duplicates;
	struct htable
		seen; /* Message-ID + recipient -> count, as a number in the pointer's place */
};

static void message_free(struct sandbox_message *m)
{
	for (size_t i = 0; i < m->recipient_count; i++)
		free(m->recipients[i]);
	free(m->recipients);
	free(m->mailbox);
	free(m->sender);
	free(m->message_id);
	free(m->new_id);
	free(m->subject);
	free(m->raw);
	free(m->dialogue);
	json_decref(m->summary);
	free(m);
}

struct sandbox_messages *sandbox_messages_new(uint64_t keep_bytes)
{
	struct sandbox_messages *m = xcalloc(1, sizeof(*m));

	m->keep_bytes = keep_bytes;
	return m;
}

static void clear_seen(struct sandbox_messages *m)
{
	htable_each (&m->seen, slot)
		free(slot->value);
	htable_deinit(&m->seen);
}

void sandbox_messages_clear(struct sandbox_messages *m)
{
	for (size_t i = m->first; i < m->count; i++)
		message_free(m->items[i]);
	m->first = 0;
	m->count = 0;
	m->kept_bytes = 0;
	m->duplicates = 0;
	clear_seen(m);
}

void sandbox_messages_free(struct sandbox_messages *m)
{
	if (!m)
		return;
	sandbox_messages_clear(m);
	free(m->items);
	free(m);
}

/* A copy is the same Message-ID for the same recipient: what a person would see twice. */
static uint32_t count_copies(struct sandbox_messages *m, const struct sandbox_message *message)
{
	uint32_t most = 1;
	char key[2048];

	if (!message->message_id[0])
		return 1;
	for (size_t i = 0; i < message->recipient_count; i++) {
		uint32_t *times;

		(void)snprintf(
			key, sizeof(key), "%s %s", message->message_id, message->recipients[i]);
		times = htable_get(&m->seen, sv_from(key));
		if (!times) {
			times = xcalloc(1, sizeof(*times));
			htable_put(&m->seen, sv_from(key), times);
		}
		(*times)++;
		if (*times > 1)
			m->duplicates++;
		if (*times > most)
			most = *times;
	}
	return most;
}

static void forget_oldest(struct sandbox_messages *m)
{
	struct sandbox_message *oldest = m->items[m->first++];

	m->kept_bytes -= oldest->raw_len;
	message_free(oldest);
	if (m->first > 1024 && m->first > m->count / 2) {
		memmove(m->items, m->items + m->first, (m->count - m->first) * sizeof(*m->items));
		m->count -= m->first;
		m->first = 0;
	}
}

uint32_t sandbox_messages_add(struct sandbox_messages *m, struct sandbox_message *message)
{
	uint32_t copies = count_copies(m, message);

	message->number = ++m->last_number;
	message->copies = copies;
	if (m->count == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 256;
		m->items = xrealloc(m->items, m->cap * sizeof(struct sandbox_message *));
	}
	m->items[m->count++] = message;
	m->kept_bytes += message->raw_len;
	while (m->kept_bytes > m->keep_bytes && m->count - m->first > 1)
		forget_oldest(m);
	return copies;
}

uint64_t sandbox_messages_duplicates(const struct sandbox_messages *m)
{
	return m->duplicates;
}

/* The index of the first kept one whose number is not below `number`; `count` when all are. */
static size_t find(const struct sandbox_messages *m, uint64_t number)
{
	size_t low = m->first, high = m->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (m->items[middle]->number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct sandbox_message *sandbox_messages_get(const struct sandbox_messages *m, uint64_t number)
{
	size_t at = find(m, number);

	return at < m->count && m->items[at]->number == number ? m->items[at] : NULL;
}

size_t sandbox_messages_count(const struct sandbox_messages *m)
{
	return m->count - m->first;
}

uint64_t sandbox_messages_bytes(const struct sandbox_messages *m)
{
	return m->kept_bytes;
}

struct sandbox_message *sandbox_messages_at(const struct sandbox_messages *m, size_t place)
{
	return place < m->count - m->first ? m->items[m->count - 1 - place] : NULL;
}

bool sandbox_messages_remove(struct sandbox_messages *m, uint64_t number)
{
	size_t at = find(m, number);

	if (at == m->count || m->items[at]->number != number)
		return false;
	m->kept_bytes -= m->items[at]->raw_len;
	message_free(m->items[at]);
	memmove(m->items + at, m->items + at + 1, (m->count - at - 1) * sizeof(*m->items));
	m->count--;
	return true;
}

static bool fits(const struct sandbox_message *message, const struct sandbox_message_filter *f)
{
	bool to = f->to.len == 0;

	for (size_t i = 0; !to && i < message->recipient_count; i++)
		to = address_eq(sv_from(message->recipients[i]), f->to);
	return to && (f->from.len == 0 || address_eq(sv_from(message->sender), f->from)) &&
	       (f->subject.len == 0 || sv_find_nocase(sv_from(message->subject), f->subject) >= 0);
}

const struct sandbox_message *sandbox_messages_next(const struct sandbox_messages *m,
	uint64_t number, const struct sandbox_message_filter *filter)
{
	uint64_t after = number > filter->after ? number : filter->after;

	for (size_t i = find(m, after); i < m->count; i++) {
		if (m->items[i]->number > after && fits(m->items[i], filter))
			return m->items[i];
	}
	return NULL;
}

json_t *sandbox_message_json(const struct sandbox_message *message)
{
	json_t *o = json_object();
	json_t *to = json_array();
	char date[WALL_RFC3339_MAX];

	for (size_t i = 0; i < message->recipient_count; i++)
		must(json_array_append_new(
			     to, sandbox_json_text(sv_from(message->recipients[i]))) == 0);
	must(json_object_set_new(o, "number", json_integer((json_int_t)message->number)) == 0);
	must(json_object_set_new(o, "at", json_integer((json_int_t)message->at_us)) == 0);
	must(json_object_set_new(o, "date", json_string(wall_rfc3339(message->date, date))) == 0);
	must(json_object_set_new(o, "door", json_string(message->door)) == 0);
	must(json_object_set_new(o, "mailbox", sandbox_json_text(sv_from(message->mailbox))) == 0);
	must(json_object_set_new(o, "sender", sandbox_json_text(sv_from(message->sender))) == 0);
	must(json_object_set_new(o, "recipients", to) == 0);
	must(json_object_set_new(
		     o, "message_id", sandbox_json_text(sv_from(message->message_id))) == 0);
	must(json_object_set_new(o, "new_id", sandbox_json_text(sv_from(message->new_id))) == 0);
	must(json_object_set_new(o, "subject", sandbox_json_text(sv_from(message->subject))) == 0);
	must(json_object_set_new(o, "size", json_integer((json_int_t)message->raw_len)) == 0);
	must(json_object_set_new(o, "copies", json_integer(message->copies)) == 0);
	return o;
}
