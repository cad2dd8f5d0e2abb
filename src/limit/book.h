/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"
#include "base/time.h"
#include "limit/learned.h"
#include "limit/observed.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The book: what each scope has used of its windows, and the entries of the ledger that say so durably. The only place
 * that makes and reads the ledger's keys and buckets. Pure: the owner writes the entries in the commit of the deed.
 *
 * A scope is what the receiver counts, whichever door carries it: "m:erp@contoso.com", a mailbox; "c:lab", a connector; "t:contoso",
 * what a tenant sends to the outside; "o:contoso", likewise from its addresses below onmicrosoft.com; "e:...",
 * what a mailbox sends there in an hour or a day, by its tenant's policy or Google's; "i:...", likewise what stays inside; and whom we count ourselves (inbound/quota.c): "d:scanner-3", a device; "u:erp", a user.
 * Its windows count messages by the minute and the day, and recipients by the hour and the day, as the receiver may see them
 * (limit/window.h). A limit that is taken away is counted on: it may come back within its window.
 */
struct limit_book;
struct limit_scope;

/*
 * What a scope has used by a minute of steady time (one that rises over restarts; its owner says how). Amounts may be
 * negative: given back. A bucket whose number is a multiple of LIMIT_BUCKET_MINUTES holds as many minutes, up to that
 * one. Any other is an instant: the latest at which an attempt without an answer may have been counted.
 *
 * There are no entries by the minute: after a start a minute is used by what the bucket of now says.
 */
struct limit_entry {
	struct sv scope;
	int64_t bucket;
	int32_t messages, recipients;
	int64_t bytes;
};
enum {
	LIMIT_BUCKET_MINUTES =
		15, /* what a restart makes of a day errs by so much, to the safe side */
	LIMIT_SLOT_ENTRIES = 2, /* of one call for one slot */
	LIMIT_PARTS_MAX = 6,    /* slots of one message: limit/set.h */
	LIMIT_ENTRIES_MAX = LIMIT_PARTS_MAX * LIMIT_SLOT_ENTRIES,
};
/* The bucket of what is counted at this steady time. */
int64_t limit_bucket(int64_t steady_us);

/* `steady_us`: the steady time at which the monotonic clock is 0. */
NODISCARD struct limit_book *limit_book_new(int64_t steady_us, struct mono_time now);
void limit_book_free(struct limit_book *b);
DEFINE_CLEANUP(struct limit_book, limit_book_free);

/* The first bucket that may still occupy something, when the book was made. */
int64_t limit_book_since(const struct limit_book *b);
/* At start: what the ledger says. An instant that lies ahead is used until it has passed. */
void limit_book_restore(struct limit_book *b, const struct limit_entry *e);
/* By its key. Made at first use; lives as long as the book. */
struct limit_scope *limit_book_scope(struct limit_book *b, struct sv key);
/* The same, if it was made before; else NULL. */
struct limit_scope *limit_book_known(const struct limit_book *b, struct sv key);
/* Of "submission/erp@contoso.com", "smtp/lab": the key of a lane. As limit_book_scope(). */
struct limit_scope *limit_book_of_lane(struct limit_book *b, struct sv lane);
bool limit_book_knows(const struct limit_book *b, struct sv lane); /* something was used, or made */
struct sv limit_scope_key(const struct limit_scope *s);            /* lives as long as it */
/*
 * Scopes of which nothing is used, learned or open go, unless `keeps` says that somebody has a pointer to it: what is used
 * is kept for as long as it counts, so that who comes back in time finds what he left. How many went.
 */
size_t limit_book_sweep(struct limit_book *b, struct mono_time now,
	bool (*keeps)(void *arg, struct sv scope), void *arg);

struct limit_caps {
	uint32_t messages_per_minute; /* 0: no limit */
	uint32_t recipients_per_day;  /* likewise */
	uint32_t recipients_per_hour;
	uint32_t messages_per_day;
};
/* Windows of a scope. */
enum {
	LIMIT_MINUTE = 1,
	LIMIT_HOUR = 2,
	LIMIT_DAY = 4,
	LIMIT_DAY_MESSAGES = 8,
	LIMIT_MONTH = 16, /* see limit_scope_set_month() */
	LIMIT_ALL = 31
};
void limit_scope_set(struct limit_scope *s, const struct limit_caps *caps);
/* Of the minute alone: that of an account, whose mailbox has the rest. */
void limit_scope_set_minute(struct limit_scope *s, uint32_t messages_per_minute);

/*
 * Recipients of a calendar month, which slides nowhere: its owner counts what was delivered, durably, and says it at each change and at
 * each turn of the month. Here it has what is under way beside. `capacity` 0: no limit.
 */
void limit_scope_set_month(
	struct limit_scope *s, uint32_t capacity, uint64_t used, struct mono_time ends_at);

/* ---- what replies say: limit/learned.h, of one window (LIMIT_MINUTE ...) ---- */

/* It is used up. True: that is to be recorded, and whoever counts in it looks again. */
bool limit_scope_refused(struct limit_scope *s, unsigned window, const struct limit_refusal *r);
/* A step upward, if it is time. True: likewise. */
bool limit_scope_raise(struct limit_scope *s, unsigned window, struct mono_time now);
/* After a restart: what was recorded. Its instants count from when the book was made. */
void limit_scope_learn(struct limit_scope *s, unsigned window, const struct limit_learned *l);
/* A person says that it is open: one message tries. */
void limit_scope_reopen(struct limit_scope *s, struct mono_time now);
const struct limit_learned *limit_scope_learned(const struct limit_scope *s, unsigned window);

/* ---- what the receiver's own counter says of its day (limit/observed.h) ---- */

/* Of ours, what it counts for certain at this time: to be asked just before it is. */
uint32_t limit_scope_ours(const struct limit_scope *s, struct mono_time now);
void limit_scope_observe(struct limit_scope *s, const struct limit_observation *seen);
void limit_scope_observe_again(
	struct limit_scope *s, const struct limit_observed *o); /* after a restart */
const struct limit_observed *limit_scope_observed(const struct limit_scope *s);

/* What a message asks of a scope, and in which of its windows. limit/set.h asks all of them. */
struct limit_part {
	struct limit_scope *scope;
	uint8_t windows; /* LIMIT_MINUTE ... */
	uint8_t side;    /* enum limit_side: of which recipients it counts */
};
bool limit_part_stops(const struct limit_part *p); /* one of its windows has a limit now */
/* How many of `wanted` recipients the next message may carry: 0 when nothing may leave. */
uint32_t limit_part_room(const struct limit_part *p, struct mono_time now, uint32_t wanted);
/* How many messages, of a recipient each, could leave now; UINT32_MAX: no limit. */
uint32_t limit_part_messages(const struct limit_part *p, struct mono_time now);
/* When so many messages, and so many recipients in all, could leave if nothing else did. MONO_NEVER: more than a limit has. */
struct mono_time limit_part_free_at(
	const struct limit_part *p, struct mono_time now, uint32_t messages, uint32_t recipients);

struct limit_window_use {
	uint32_t used, capacity;      /* capacity 0: no limit */
	bool shut;                    /* by a reply: nothing leaves, whatever is left */
	const struct limit_scope *of; /* NULL: neither */
};
struct limit_use {
	struct limit_window_use minute, hour, day, day_messages, month;
};
/* Of one window (LIMIT_MINUTE ...); nothing where this part does not count in it. */
struct limit_window_use limit_part_window_use(
	const struct limit_part *p, unsigned window, struct mono_time now);
struct limit_use limit_part_use(const struct limit_part *p, struct mono_time now);

/* What one message holds of a scope, from before its dot to its end; all zero: nothing. */
struct limit_slot {
	struct limit_scope *scope;
	uint32_t recipients;
	uint8_t windows; /* LIMIT_MINUTE ... */
	bool entered;    /* the ledger has it, in this bucket */
	int64_t bucket;
};
/* Takes it; must not exceed the room. This and the next return how many entries are in `out`. */
size_t limit_slot_take(struct limit_slot *slot, const struct limit_part *p, struct mono_time now,
	uint32_t recipients, struct limit_entry out[LIMIT_SLOT_ENTRIES]);
/* Fewer recipients than it was taken for: the rest is given back. The ledger's entries are the caller's to lower. */
void limit_slot_shrink(struct limit_slot *slot, uint32_t recipients);
/* The final reply came. */
size_t limit_slot_settle(
	struct limit_slot *slot, struct mono_time now, struct limit_entry out[LIMIT_SLOT_ENTRIES]);
/* No reply came: it may be counted until `latest`. */
size_t limit_slot_expect(struct limit_slot *slot, struct mono_time latest,
	struct limit_entry out[LIMIT_SLOT_ENTRIES]);
/* The dot never left. `out` NULL: nor is it in the ledger. */
size_t limit_slot_withdraw(struct limit_slot *slot, struct limit_entry out[LIMIT_SLOT_ENTRIES]);
/* An attempt of an earlier life, of which nobody knows more. */
struct limit_entry limit_part_expect(
	const struct limit_part *p, struct mono_time latest, uint32_t recipients);
