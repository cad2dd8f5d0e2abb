/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/book.h"

#include "base/buf.h"
#include "base/htable.h"
#include "base/limits.h"
#include "base/must.h"
#include "limit/window.h"

#include <stdlib.h>

enum {
	KEY_MAX = LIMIT_ADDRESS + 128,
};
/* Of the ledger, and of a window in memory. */
#define BUCKET_US (LIMIT_BUCKET_MINUTES * US_PER_MIN)
#define WINDOW_BUCKET_US (5 * US_PER_MIN)

struct limit_book {
	struct htable scopes;
	int64_t steady_us;
	struct mono_time begun;
};

struct limit_scope {
	const struct limit_book *book;
	char *key;
	struct limit_caps caps;
	/* NULL: there was no limit yet. Without one now they count what is settled, and stop nothing. */
	struct limit_window *minute, *day;
	/* Reserved in these windows: less than what is under way when a limit came later than that. */
	uint32_t minute_open, day_open;
};

/* ---- the book ---- */

struct limit_book *limit_book_new(int64_t steady_us, struct mono_time now)
{
	struct limit_book *b = xcalloc(1, sizeof(*b));

	b->steady_us = steady_us;
	b->begun = now;
	return b;
}

void limit_book_free(struct limit_book *b)
{
	if (!b)
		return;
	htable_each (&b->scopes, slot) {
		struct limit_scope *s = slot->value;

		limit_window_free(s->minute);
		limit_window_free(s->day);
		free(s->key);
		free(s);
	}
	htable_deinit(&b->scopes);
	free(b);
}

static struct limit_scope *scope_of(struct limit_book *b, struct sv key)
{
	struct limit_scope *s = htable_get(&b->scopes, key);

	if (s)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->book = b;
	s->key = sv_dup(key);
	htable_put(&b->scopes, key, s);
	return s;
}

/* No connector has an @ in its name. */
static struct sv key_of(struct sv lane, struct buf *out)
{
	struct sv name = sv_skip(lane, (size_t)(sv_find_char(lane, '/') + 1));
	char kind = sv_find_char(name, '@') >= 0 ? 'm' : 'c';

	must(buf_printf(out, "%c:%.*s", kind, SV_ARG(name)) == 0);
	return buf_sv(out);
}

struct limit_scope *limit_book_of_lane(struct limit_book *b, struct sv lane)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(KEY_MAX);

	return scope_of(b, key_of(lane, &key));
}

bool limit_book_knows(const struct limit_book *b, struct sv lane)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(KEY_MAX);

	return htable_get(&b->scopes, key_of(lane, &key)) != NULL;
}

struct sv limit_scope_key(const struct limit_scope *s)
{
	return sv_from(s->key);
}

/* ---- windows ---- */

static void set_window(
	struct limit_window **w, uint32_t capacity, uint64_t length_us, uint64_t bucket_us)
{
	if (capacity == 0)
		return;
	if (*w)
		limit_window_set_capacity(*w, capacity);
	else
		*w = limit_window_new(
			&(struct limit_window_options){ capacity, length_us, bucket_us });
}

void limit_scope_set(struct limit_scope *s, const struct limit_caps *caps)
{
	s->caps = *caps;
	set_window(&s->minute, caps->messages_per_minute, US_PER_MIN, 0);
	set_window(&s->day, caps->recipients_per_day, US_PER_DAY, WINDOW_BUCKET_US);
}

/* The window where it is a limit; NULL: none. */
static struct limit_window *minute_of(const struct limit_scope *s)
{
	return s->caps.messages_per_minute ? s->minute : NULL;
}

static struct limit_window *day_of(const struct limit_scope *s)
{
	return s->caps.recipients_per_day ? s->day : NULL;
}

uint32_t limit_scope_room(struct limit_scope *s, struct mono_time now, uint32_t wanted)
{
	uint32_t room = wanted;

	if (minute_of(s) && limit_window_room(s->minute, now) == 0)
		return 0;
	if (day_of(s) && room > limit_window_room(s->day, now))
		room = limit_window_room(s->day, now);
	return room;
}

uint32_t limit_scope_messages(struct limit_scope *s, struct mono_time now)
{
	uint32_t minute = minute_of(s) ? limit_window_room(s->minute, now) : UINT32_MAX;
	uint32_t day = day_of(s) ? limit_window_room(s->day, now) : UINT32_MAX;

	return minute < day ? minute : day;
}

struct mono_time limit_scope_free_at(
	struct limit_scope *s, struct mono_time now, uint32_t messages, uint32_t recipients)
{
	struct mono_time at = now, day;

	if (minute_of(s))
		at = limit_window_room_at(s->minute, now, messages);
	day = day_of(s) ? limit_window_room_at(s->day, now, recipients) : now;
	return mono_before(at, day) ? day : at;
}

struct mono_time limit_scope_room_at(struct limit_scope *s, struct mono_time now)
{
	return limit_scope_free_at(s, now, 1, 1);
}

struct limit_use limit_scope_use(struct limit_scope *s, struct mono_time now)
{
	return (struct limit_use){
		.minute_used = minute_of(s) ? limit_window_used(s->minute, now) : 0,
		.minute_capacity = minute_of(s) ? limit_window_capacity(s->minute) : 0,
		.day_used = day_of(s) ? limit_window_used(s->day, now) : 0,
		.day_capacity = day_of(s) ? limit_window_capacity(s->day) : 0,
	};
}

static uint32_t take_open(uint32_t *open, uint32_t wanted)
{
	uint32_t n = wanted < *open ? wanted : *open;

	*open -= n;
	return n;
}

static void withdraw(struct limit_scope *s, uint32_t recipients)
{
	if (s->minute)
		limit_window_withdraw(s->minute, take_open(&s->minute_open, 1));
	if (s->day)
		limit_window_withdraw(s->day, take_open(&s->day_open, recipients));
}

static void settle(struct limit_scope *s, struct mono_time at, uint32_t recipients)
{
	uint32_t n;

	if (s->minute) {
		n = take_open(&s->minute_open, 1);
		limit_window_withdraw(s->minute, n);
		limit_window_restore(s->minute, mono_add(at, US_PER_MIN), 1);
	}
	if (s->day) {
		n = take_open(&s->day_open, recipients);
		limit_window_withdraw(s->day, n);
		limit_window_restore(s->day, mono_add(at, US_PER_DAY), recipients);
	}
}

/* ---- the ledger ---- */

static int64_t steady_of(const struct limit_book *b, struct mono_time t)
{
	return (int64_t)t.us + b->steady_us;
}

int64_t limit_bucket(int64_t steady_us)
{
	return (steady_us / (int64_t)BUCKET_US + 1) * LIMIT_BUCKET_MINUTES;
}

static int64_t bucket_of(const struct limit_book *b, struct mono_time now)
{
	return limit_bucket(steady_of(b, now));
}

/* Never in a bucket of many minutes: who reads that later takes all in it for past. */
static int64_t instant_of(const struct limit_book *b, struct mono_time latest)
{
	int64_t minute = steady_of(b, latest) / (int64_t)US_PER_MIN + 1;

	return minute % LIMIT_BUCKET_MINUTES ? minute : minute + 1;
}

int64_t limit_book_since(const struct limit_book *b)
{
	return (steady_of(b, b->begun) - (int64_t)US_PER_DAY) / (int64_t)US_PER_MIN;
}

/* What was used at `used_us` of steady time is free again at... */
static struct mono_time free_at(
	const struct limit_book *b, int64_t used_us, uint64_t length_us, struct mono_time now)
{
	int64_t at = used_us + (int64_t)length_us - b->steady_us;

	if (at > (int64_t)now.us)
		now.us = (uint64_t)at;
	return now;
}

void limit_book_restore(struct limit_book *b, const struct limit_entry *e)
{
	const struct mono_time now = b->begun;
	struct limit_scope *s = scope_of(b, e->scope);
	int64_t steady = steady_of(b, now), used = e->bucket * (int64_t)US_PER_MIN;
	struct mono_time minute_at, day_at;

	if (e->bucket % LIMIT_BUCKET_MINUTES == 0 && used > steady &&
		used - steady <= (int64_t)BUCKET_US)
		used = steady;
	minute_at = free_at(b, used, US_PER_MIN, now);
	day_at = free_at(b, used, US_PER_DAY, now);
	if (e->messages > 0 && mono_before(now, minute_at)) {
		uint32_t n = (uint32_t)e->messages, most = s->caps.messages_per_minute;

		set_window(&s->minute, s->minute ? 0 : 1, US_PER_MIN, 0);
		limit_window_restore(s->minute, minute_at, most && n > most ? most : n);
	}
	if (e->recipients > 0 && mono_before(now, day_at)) {
		set_window(&s->day, s->day ? 0 : 1, US_PER_DAY, WINDOW_BUCKET_US);
		limit_window_restore(s->day, day_at, (uint32_t)e->recipients);
	}
}

static size_t enter(const struct limit_slot *slot, int sign, struct limit_entry *out)
{
	*out = (struct limit_entry){ .scope = limit_scope_key(slot->scope),
		.bucket = slot->bucket,
		.messages = sign,
		.recipients = sign * (int32_t)slot->recipients };
	return 1;
}

static size_t move(struct limit_slot *slot, int64_t bucket, struct limit_entry *out)
{
	/* A limit may have come while the message was under way. */
	bool counts = slot->entered || slot->scope->minute || slot->scope->day;
	size_t n = 0;

	if (!counts || (slot->entered && bucket == slot->bucket))
		return 0;
	if (slot->entered)
		n = enter(slot, -1, out);
	slot->bucket = bucket;
	return n + enter(slot, 1, out + n);
}

size_t limit_slot_take(struct limit_slot *slot, struct limit_scope *s, struct mono_time now,
	uint32_t recipients, struct limit_entry out[LIMIT_ENTRIES_MAX])
{
	*slot = (struct limit_slot){ .scope = s,
		.recipients = recipients,
		.entered = s->minute || s->day,
		.bucket = bucket_of(s->book, now) };
	if (minute_of(s)) {
		limit_window_reserve(s->minute, now, 1);
		s->minute_open++;
	}
	if (day_of(s)) {
		limit_window_reserve(s->day, now, recipients);
		s->day_open += recipients;
	}
	return slot->entered ? enter(slot, 1, out) : 0;
}

void limit_slot_shrink(struct limit_slot *slot, uint32_t recipients)
{
	uint32_t rest = slot->recipients - recipients;

	must(recipients <= slot->recipients);
	slot->recipients = recipients;
	if (slot->scope->day)
		limit_window_withdraw(slot->scope->day, take_open(&slot->scope->day_open, rest));
}

static size_t end(
	struct limit_slot *slot, struct mono_time at, int64_t bucket, struct limit_entry *out)
{
	size_t n;

	settle(slot->scope, at, slot->recipients);
	n = move(slot, bucket, out);
	*slot = (struct limit_slot){ 0 };
	return n;
}

size_t limit_slot_settle(
	struct limit_slot *slot, struct mono_time now, struct limit_entry out[LIMIT_ENTRIES_MAX])
{
	return slot->scope ? end(slot, now, bucket_of(slot->scope->book, now), out) : 0;
}

size_t limit_slot_expect(
	struct limit_slot *slot, struct mono_time latest, struct limit_entry out[LIMIT_ENTRIES_MAX])
{
	return slot->scope ? end(slot, latest, instant_of(slot->scope->book, latest), out) : 0;
}

size_t limit_slot_withdraw(struct limit_slot *slot, struct limit_entry out[LIMIT_ENTRIES_MAX])
{
	size_t n = 0;

	if (!slot->scope)
		return 0;
	withdraw(slot->scope, slot->recipients);
	if (slot->entered && out)
		n = enter(slot, -1, out);
	*slot = (struct limit_slot){ 0 };
	return n;
}

struct limit_entry limit_scope_expect(
	struct limit_scope *s, struct mono_time latest, uint32_t recipients)
{
	const struct limit_slot slot = {
		.scope = s, .recipients = recipients, .bucket = instant_of(s->book, latest)
	};
	struct limit_entry e;

	(void)enter(&slot, 1, &e);
	return e;
}
