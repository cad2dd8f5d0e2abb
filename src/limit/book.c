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
/* Between a dot and its reply, as a rule at most. */
#define REPLY_US (5 * US_PER_S)

struct limit_book {
	struct htable scopes;
	int64_t steady_us;
	struct mono_time begun;
};

enum {
	WINDOWS = 4
};
/* In the order of their bits. A minute is exact. */
static const struct {
	uint64_t length_us, bucket_us;
} kinds[WINDOWS] = {
	{ US_PER_MIN, 0 },
	{ US_PER_HOUR, WINDOW_BUCKET_US },
	{ US_PER_DAY, WINDOW_BUCKET_US },
	{ US_PER_DAY, WINDOW_BUCKET_US },
};
#define OF_MESSAGES (LIMIT_MINUTE | LIMIT_DAY_MESSAGES)
/* So long may a slot be kept after the receiver has let it go: a bucket of the ledger, one of the window, a slow reply. */
#define KEPT_LONGER_US (BUCKET_US + WINDOW_BUCKET_US)
/* Till what others use is looked at again, where they have all of it. */
#define OTHERS_LOOK_US (5 * US_PER_MIN)

struct limit_scope {
	const struct limit_book *book;
	char *key;
	uint32_t caps[WINDOWS]; /* 0: no limit */
	/* NULL: there was no limit yet. Without one now they count what is settled, and stop nothing. */
	struct limit_window *windows[WINDOWS];
	/* Reserved in these windows: less than what is under way when a limit came later than that. */
	uint32_t open[WINDOWS];
	struct limit_learned learned[WINDOWS];
	struct limit_observed observed; /* of the day's recipients */
	struct {
		uint32_t capacity, used, open;
		struct mono_time ends_at;
	} month;
};

/* ---- the book ---- */

struct limit_book *limit_book_new(int64_t steady_us, struct mono_time now)
{
	struct limit_book *b = xcalloc(1, sizeof(*b));

	b->steady_us = steady_us;
	b->begun = now;
	return b;
}

static void scope_free(struct limit_scope *s)
{
	for (size_t i = 0; i < WINDOWS; i++)
		limit_window_free(s->windows[i]);
	free(s->key);
	free(s);
}

void limit_book_free(struct limit_book *b)
{
	if (!b)
		return;
	htable_each (&b->scopes, slot)
		scope_free(slot->value);
	htable_deinit(&b->scopes);
	free(b);
}

struct limit_scope *limit_book_scope(struct limit_book *b, struct sv key)
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

struct limit_scope *limit_book_known(const struct limit_book *b, struct sv key)
{
	return htable_get(&b->scopes, key);
}

static bool is_unused(const struct limit_scope *s, struct mono_time now)
{
	bool unused = s->month.used == 0 && s->month.open == 0;

	for (size_t i = 0; i < WINDOWS && unused; i++)
		unused = s->open[i] == 0 && !s->learned[i].limit && !s->learned[i].trying &&
			 (!s->windows[i] || limit_window_used(s->windows[i], now) == 0);
	return unused;
}

size_t limit_book_sweep(struct limit_book *b, struct mono_time now,
	bool (*keeps)(void *arg, struct sv scope), void *arg)
{
	struct htable left = { .seed = b->scopes.seed };
	size_t gone = 0;

	htable_each (&b->scopes, slot) {
		struct limit_scope *s = slot->value;

		if (is_unused(s, now) && !keeps(arg, sv_from(s->key))) {
			scope_free(s);
			gone++;
		} else {
			htable_put(&left, sv_from(s->key), s);
		}
	}
	htable_deinit(&b->scopes);
	b->scopes = left;
	return gone;
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

	return limit_book_scope(b, key_of(lane, &key));
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

static void set_window(struct limit_scope *s, size_t i, uint32_t capacity)
{
	if (capacity == 0)
		return;
	if (s->windows[i])
		limit_window_set_capacity(s->windows[i], capacity);
	else
		s->windows[i] = limit_window_new(&(struct limit_window_options){
			capacity, kinds[i].length_us, kinds[i].bucket_us });
}

/* What is configured, or less where that was learned. 0: no limit. */
static uint32_t cap_of(const struct limit_scope *s, size_t i)
{
	uint32_t learned = s->learned[i].limit ? limit_learned_cap(&s->learned[i]) : 0;

	return learned && (!s->caps[i] || learned < s->caps[i]) ? learned : s->caps[i];
}

void limit_scope_set(struct limit_scope *s, const struct limit_caps *caps)
{
	const uint32_t all[WINDOWS] = { caps->messages_per_minute,
		caps->recipients_per_hour,
		caps->recipients_per_day,
		caps->messages_per_day };

	for (size_t i = 0; i < WINDOWS; i++) {
		s->caps[i] = all[i];
		set_window(s, i, cap_of(s, i));
	}
}

void limit_scope_set_minute(struct limit_scope *s, uint32_t messages_per_minute)
{
	s->caps[0] = messages_per_minute;
	set_window(s, 0, cap_of(s, 0));
}

void limit_scope_set_month(
	struct limit_scope *s, uint32_t capacity, uint64_t used, struct mono_time ends_at)
{
	s->month.capacity = capacity;
	s->month.used = used < UINT32_MAX / 2 ? (uint32_t)used : UINT32_MAX / 2;
	s->month.ends_at = ends_at;
}

static uint32_t month_used(const struct limit_scope *s)
{
	return s->month.used + s->month.open;
}

/* What the month has left for this part. */
static uint32_t month_room(const struct limit_part *p)
{
	const struct limit_scope *s = p->scope;

	if (!(p->windows & LIMIT_MONTH) || s->month.capacity == 0)
		return UINT32_MAX;
	return month_used(s) < s->month.capacity ? s->month.capacity - month_used(s) : 0;
}

/* The window where it is a limit of this part; NULL: none. */
static struct limit_window *limit_of(const struct limit_part *p, size_t i)
{
	return p->windows & (1U << i) && cap_of(p->scope, i) ? p->scope->windows[i] : NULL;
}

/* A reply has shut it; or one message is to find out whether it is open again, and does. */
static bool is_shut(const struct limit_part *p, size_t i, struct mono_time now)
{
	const struct limit_learned *l = &p->scope->learned[i];

	return p->windows & (1U << i) && l->trying &&
	       (mono_before(now, l->shut_till) || p->scope->open[i] > 0);
}

bool limit_part_stops(const struct limit_part *p)
{
	bool any = month_room(p) < UINT32_MAX;

	for (size_t i = 0; i < WINDOWS; i++)
		any |= limit_of(p, i) || (p->windows & (1U << i) && p->scope->learned[i].trying);
	return any;
}

static bool counts_messages(size_t i)
{
	return (1U << i & OF_MESSAGES) != 0;
}

/* What a message of so many recipients takes of a window. */
static uint32_t amount_of(size_t i, uint32_t recipients)
{
	return counts_messages(i) ? 1 : recipients;
}

static uint32_t others_of(const struct limit_scope *s, size_t i, struct mono_time now)
{
	return 1U << i == LIMIT_DAY ? limit_observed_others(&s->observed, now) : 0;
}

static uint32_t less(uint32_t room, uint32_t others)
{
	return room > others ? room - others : 0;
}

uint32_t limit_part_room(const struct limit_part *p, struct mono_time now, uint32_t wanted)
{
	uint32_t month = month_room(p), room = wanted < month ? wanted : month;

	for (size_t i = 0; i < WINDOWS; i++) {
		struct limit_window *w = limit_of(p, i);
		uint32_t has = is_shut(p, i, now) ? 0
			       : w ? less(limit_window_room(w, now), others_of(p->scope, i, now))
				   : UINT32_MAX;

		if (counts_messages(i))
			room = has ? room : 0;
		else if (room > has)
			room = has;
	}
	return room;
}

uint32_t limit_part_messages(const struct limit_part *p, struct mono_time now)
{
	uint32_t least = month_room(p);

	for (size_t i = 0; i < WINDOWS; i++) {
		struct limit_window *w = limit_of(p, i);
		uint32_t has = w ? less(limit_window_room(w, now), others_of(p->scope, i, now))
				 : UINT32_MAX;

		if (has && p->windows & (1U << i) && p->scope->learned[i].trying)
			has = is_shut(p, i, now) ? 0 : 1;
		least = has < least ? has : least;
	}
	return least;
}

static struct mono_time later(struct mono_time a, struct mono_time b)
{
	return mono_before(a, b) ? b : a;
}

/* With others in it nobody knows when they leave: it is looked at again. */
static struct mono_time window_free_at(
	const struct limit_scope *s, size_t i, struct mono_time now, uint32_t n)
{
	uint32_t others = others_of(s, i, now);
	struct mono_time at = limit_window_room_at(s->windows[i], now, n + others);

	return at.us == MONO_NEVER.us && others && n <= limit_window_capacity(s->windows[i])
		       ? mono_add(now, OTHERS_LOOK_US)
		       : at;
}

struct mono_time limit_part_free_at(
	const struct limit_part *p, struct mono_time now, uint32_t messages, uint32_t recipients)
{
	struct mono_time at = month_room(p) >= recipients ? now
			      : recipients <= p->scope->month.capacity
				      ? later(now, p->scope->month.ends_at)
				      : MONO_NEVER;

	for (size_t i = 0; i < WINDOWS; i++) {
		struct limit_window *w = limit_of(p, i);
		struct mono_time free =
			w ? window_free_at(
				    p->scope, i, now, counts_messages(i) ? messages : recipients)
			  : now;

		if (is_shut(p, i, now))
			free = mono_before(now, p->scope->learned[i].shut_till)
				       ? later(free, p->scope->learned[i].shut_till)
				       : MONO_NEVER;
		at = later(at, free);
	}
	return at;
}

static size_t index_of(unsigned window)
{
	size_t i = 0;

	while (i + 1 < WINDOWS && 1U << i != window)
		i++;
	return i;
}

static struct limit_window_use month_use(const struct limit_part *p)
{
	if (month_room(p) == UINT32_MAX)
		return (struct limit_window_use){ 0 };
	return (struct limit_window_use){
		.used = month_used(p->scope), .capacity = p->scope->month.capacity, .of = p->scope
	};
}

struct limit_window_use limit_part_window_use(
	const struct limit_part *p, unsigned window, struct mono_time now)
{
	const size_t i = index_of(window);
	struct limit_window_use use = { 0 };
	struct limit_window *w;

	if (window == LIMIT_MONTH)
		return month_use(p);
	w = limit_of(p, i);
	use.shut = is_shut(p, i, now);
	use.used = w ? limit_window_used(w, now) + others_of(p->scope, i, now) : 0;
	use.capacity = w ? limit_window_capacity(w) : 0;
	use.of = w || use.shut ? p->scope : NULL;
	return use;
}

struct limit_use limit_part_use(const struct limit_part *p, struct mono_time now)
{
	return (struct limit_use){ .minute = limit_part_window_use(p, LIMIT_MINUTE, now),
		.hour = limit_part_window_use(p, LIMIT_HOUR, now),
		.day = limit_part_window_use(p, LIMIT_DAY, now),
		.day_messages = limit_part_window_use(p, LIMIT_DAY_MESSAGES, now),
		.month = month_use(p) };
}

static uint32_t take_open(uint32_t *open, uint32_t wanted)
{
	uint32_t n = wanted < *open ? wanted : *open;

	*open -= n;
	return n;
}

/* The windows of a slot that there are, be they limits or not. */
static struct limit_window *window_of(const struct limit_slot *slot, size_t i)
{
	return slot->windows & (1U << i) ? slot->scope->windows[i] : NULL;
}

/* It is not under way any more, or so much less. */
static void end_month(const struct limit_slot *slot, uint32_t recipients)
{
	if (slot->windows & LIMIT_MONTH)
		slot->scope->month.open -= recipients;
}

static void withdraw(const struct limit_slot *slot)
{
	end_month(slot, slot->recipients);
	for (size_t i = 0; i < WINDOWS; i++)
		if (window_of(slot, i))
			limit_window_withdraw(window_of(slot, i),
				take_open(&slot->scope->open[i], amount_of(i, slot->recipients)));
}

static void settle(const struct limit_slot *slot, struct mono_time at)
{
	end_month(slot, slot->recipients);
	for (size_t i = 0; i < WINDOWS; i++) {
		struct limit_window *w = window_of(slot, i);
		uint32_t n = amount_of(i, slot->recipients);

		if (!w)
			continue;
		limit_window_withdraw(w, take_open(&slot->scope->open[i], n));
		limit_window_restore(w, mono_add(at, kinds[i].length_us), n);
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
	struct limit_scope *s = limit_book_scope(b, e->scope);
	int64_t steady = steady_of(b, now), used = e->bucket * (int64_t)US_PER_MIN;

	if (e->bucket % LIMIT_BUCKET_MINUTES == 0 && used > steady &&
		used - steady <= (int64_t)BUCKET_US)
		used = steady;
	for (size_t i = 0; i < WINDOWS; i++) {
		struct mono_time at = free_at(b, used, kinds[i].length_us, now);
		int32_t n = counts_messages(i) ? e->messages : e->recipients;

		if (n <= 0 || !mono_before(now, at))
			continue;
		set_window(s, i, s->windows[i] ? 0 : 1);
		/* A bucket holds many minutes; no more than one of them was of the last. */
		if (1U << i == LIMIT_MINUTE && s->caps[i] && (uint32_t)n > s->caps[i])
			n = (int32_t)s->caps[i];
		limit_window_restore(s->windows[i], at, (uint32_t)n);
	}
}

static size_t enter(const struct limit_slot *slot, int sign, struct limit_entry *out)
{
	*out = (struct limit_entry){ .scope = limit_scope_key(slot->scope),
		.bucket = slot->bucket,
		.messages = slot->windows & OF_MESSAGES ? sign : 0,
		.recipients = slot->windows & (LIMIT_HOUR | LIMIT_DAY)
				      ? sign * (int32_t)slot->recipients
				      : 0 };
	return 1;
}

static bool is_counted(const struct limit_slot *slot)
{
	bool any = false;

	for (size_t i = 0; i < WINDOWS; i++)
		any |= window_of(slot, i) != NULL;
	return any;
}

static size_t move(struct limit_slot *slot, int64_t bucket, struct limit_entry *out)
{
	/* A limit may have come while the message was under way. */
	bool counts = slot->entered || is_counted(slot);
	size_t n = 0;

	if (!counts || (slot->entered && bucket == slot->bucket))
		return 0;
	if (slot->entered)
		n = enter(slot, -1, out);
	slot->bucket = bucket;
	return n + enter(slot, 1, out + n);
}

size_t limit_slot_take(struct limit_slot *slot, const struct limit_part *p, struct mono_time now,
	uint32_t recipients, struct limit_entry out[LIMIT_SLOT_ENTRIES])
{
	struct limit_scope *s = p->scope;

	*slot = (struct limit_slot){ .scope = s,
		.recipients = recipients,
		.windows = p->windows,
		.bucket = bucket_of(s->book, now) };
	slot->entered = is_counted(slot);
	if (p->windows & LIMIT_MONTH)
		s->month.open += recipients;
	for (size_t i = 0; i < WINDOWS; i++) {
		if (!limit_of(p, i))
			continue;
		limit_window_reserve(s->windows[i], now, amount_of(i, recipients));
		s->open[i] += amount_of(i, recipients);
	}
	return slot->entered ? enter(slot, 1, out) : 0;
}

void limit_slot_shrink(struct limit_slot *slot, uint32_t recipients)
{
	uint32_t rest = slot->recipients - recipients;

	must(recipients <= slot->recipients);
	slot->recipients = recipients;
	end_month(slot, rest);
	for (size_t i = 0; i < WINDOWS; i++)
		if (!counts_messages(i) && window_of(slot, i))
			limit_window_withdraw(
				window_of(slot, i), take_open(&slot->scope->open[i], rest));
}

static size_t end(
	struct limit_slot *slot, struct mono_time at, int64_t bucket, struct limit_entry *out)
{
	size_t n;

	settle(slot, at);
	n = move(slot, bucket, out);
	*slot = (struct limit_slot){ 0 };
	return n;
}

size_t limit_slot_settle(
	struct limit_slot *slot, struct mono_time now, struct limit_entry out[LIMIT_SLOT_ENTRIES])
{
	for (size_t i = 0; i < WINDOWS && slot->scope; i++)
		if (slot->windows & (1U << i))
			limit_learned_passed(&slot->scope->learned[i], now);
	return slot->scope ? end(slot, now, bucket_of(slot->scope->book, now), out) : 0;
}

size_t limit_slot_expect(struct limit_slot *slot, struct mono_time latest,
	struct limit_entry out[LIMIT_SLOT_ENTRIES])
{
	return slot->scope ? end(slot, latest, instant_of(slot->scope->book, latest), out) : 0;
}

size_t limit_slot_withdraw(struct limit_slot *slot, struct limit_entry out[LIMIT_SLOT_ENTRIES])
{
	size_t n = 0;

	if (!slot->scope)
		return 0;
	withdraw(slot);
	if (slot->entered && out)
		n = enter(slot, -1, out);
	*slot = (struct limit_slot){ 0 };
	return n;
}

struct limit_entry limit_part_expect(
	const struct limit_part *p, struct mono_time latest, uint32_t recipients)
{
	const struct limit_slot slot = { .scope = p->scope,
		.recipients = recipients,
		.windows = p->windows,
		.bucket = instant_of(p->scope->book, latest) };
	struct limit_entry e;

	(void)enter(&slot, 1, &e);
	return e;
}

/* ---- what replies say ---- */

bool limit_scope_refused(struct limit_scope *s, unsigned window, const struct limit_refusal *r)
{
	size_t i = index_of(window);
	/* What ends now may have ended at the receiver. */
	uint32_t used = s->windows[i]
				? limit_window_settled_at(s->windows[i], mono_add(r->now, REPLY_US))
				: 0;
	uint32_t taken = used > r->cost ? used - r->cost : 0;
	bool news =
		limit_learned_refused(&s->learned[i], r, kinds[i].length_us, taken, cap_of(s, i));

	/* Where there was no limit it counts from now on. */
	set_window(s, i, cap_of(s, i) ? cap_of(s, i) : s->windows[i] ? 0 : 1);
	return news;
}

bool limit_scope_raise(struct limit_scope *s, unsigned window, struct mono_time now)
{
	size_t i = index_of(window);
	bool changed = limit_learned_raise(&s->learned[i], kinds[i].length_us, s->caps[i], now);

	if (changed)
		set_window(s, i, cap_of(s, i));
	return changed;
}

void limit_scope_learn(struct limit_scope *s, unsigned window, const struct limit_learned *l)
{
	size_t i = index_of(window);

	s->learned[i] = *l;
	limit_learned_restore(&s->learned[i], kinds[i].length_us, s->book->begun);
	set_window(s, i, cap_of(s, i) ? cap_of(s, i) : s->windows[i] ? 0 : 1);
}

void limit_scope_reopen(struct limit_scope *s, struct mono_time now)
{
	for (size_t i = 0; i < WINDOWS; i++)
		if (mono_before(now, s->learned[i].shut_till))
			s->learned[i].shut_till = now;
}

const struct limit_learned *limit_scope_learned(const struct limit_scope *s, unsigned window)
{
	return &s->learned[index_of(window)];
}

/* ---- what the receiver's own counter says ---- */

uint32_t limit_scope_ours(const struct limit_scope *s, struct mono_time now)
{
	const struct limit_window *day = s->windows[index_of(LIMIT_DAY)];

	return day ? limit_window_settled_at(day, mono_add(now, KEPT_LONGER_US)) : 0;
}

void limit_scope_observe(struct limit_scope *s, const struct limit_observation *seen)
{
	limit_observed_take(&s->observed, seen);
}

void limit_scope_observe_again(struct limit_scope *s, const struct limit_observed *o)
{
	s->observed = *o;
}

const struct limit_observed *limit_scope_observed(const struct limit_scope *s)
{
	return &s->observed;
}
