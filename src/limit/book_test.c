/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/book.h"

#include "base/rng.h"

#include "cmocka_all.h"

#include <stdio.h>

#define LANE SV("submission/erp@contoso.com")
#define STEADY_US (INT64_C(1) << 50) /* of the monotonic clock's 0 */

struct desk {
	struct limit_book *b;
	struct limit_scope *s;
	struct limit_part p; /* all of it */
	struct limit_entry e[LIMIT_ENTRIES_MAX];
};

static struct mono_time at_s(uint64_t s)
{
	return (struct mono_time){ s * US_PER_S };
}

static void open_at(struct desk *d, uint64_t now_s, uint32_t minute, uint32_t day)
{
	*d = (struct desk){ .b = limit_book_new(STEADY_US, at_s(now_s)) };
	d->s = limit_book_of_lane(d->b, LANE);
	d->p = (struct limit_part){ .scope = d->s, .windows = LIMIT_ALL };
	limit_scope_set(d->s, &(struct limit_caps){ minute, day });
}

static void open_desk(struct desk *d, uint32_t minute, uint32_t day)
{
	open_at(d, 0, minute, day);
}

/* From its dot to its reply. */
static void send(struct desk *d, uint64_t from_s, uint64_t to_s, uint32_t recipients)
{
	struct limit_slot slot = { 0 };

	(void)limit_slot_take(&slot, &d->p, at_s(from_s), recipients, d->e);
	(void)limit_slot_settle(&slot, at_s(to_s), d->e);
}

static void room_is_the_least_of_two_windows(void **state)
{
	struct limit_slot slot = { 0 };
	struct limit_use use;
	struct desk d;

	(void)state;
	open_desk(&d, 2, 10);
	assert_int_equal(limit_part_room(&d.p, at_s(0), 1), 1);
	assert_int_equal(limit_part_room(&d.p, at_s(0), 99), 10);
	send(&d, 0, 1, 4);
	(void)limit_slot_take(&slot, &d.p, at_s(1), 4, d.e);
	/* Two messages a minute: none, whatever the day has left. */
	assert_int_equal(limit_part_room(&d.p, at_s(2), 1), 0);
	(void)limit_slot_settle(&slot, at_s(2), d.e);
	/* The first slot ends a minute after its reply, not after its beginning. */
	assert_int_equal(limit_part_room(&d.p, at_s(60), 9), 0);
	assert_int_equal(limit_part_room(&d.p, at_s(61), 9), 2);
	assert_int_equal(limit_part_messages(&d.p, at_s(61)), 1);
	use = limit_part_use(&d.p, at_s(61));
	assert_int_equal(use.minute.used, 1);
	assert_int_equal(use.minute.capacity, 2);
	assert_int_equal(use.day.used, 8);
	assert_int_equal(use.day.capacity, 10);
	limit_book_free(d.b);
}

static void what_never_left_gives_its_room_back(void **state)
{
	struct limit_slot slot = { 0 };
	struct desk d;

	(void)state;
	open_desk(&d, 1, 5);
	assert_int_equal(limit_slot_take(&slot, &d.p, at_s(0), 5, d.e), 1);
	assert_int_equal(limit_part_room(&d.p, at_s(0), 5), 0);
	assert_int_equal(limit_slot_withdraw(&slot, d.e), 1);
	assert_int_equal(d.e[0].messages, -1);
	assert_int_equal(d.e[0].recipients, -5);
	assert_int_equal(limit_part_room(&d.p, at_s(0), 9), 5);
	assert_true(limit_part_free_at(&d.p, at_s(3), 1, 1).us == at_s(3).us);
	/* Once. And what the ledger never heard of it need not forget. */
	assert_int_equal(limit_slot_withdraw(&slot, d.e), 0);
	(void)limit_slot_take(&slot, &d.p, at_s(0), 5, d.e);
	assert_int_equal(limit_slot_withdraw(&slot, NULL), 0);
	assert_int_equal(limit_part_room(&d.p, at_s(0), 9), 5);
	limit_book_free(d.b);
}

static void room_comes_back_when_both_windows_have_some(void **state)
{
	struct limit_slot slot = { 0 };
	struct mono_time day;
	struct desk d;

	(void)state;
	open_desk(&d, 1, 3);
	(void)limit_slot_take(&slot, &d.p, at_s(0), 1, d.e);
	/* An open attempt has no end that could be known. */
	assert_true(limit_part_free_at(&d.p, at_s(0), 1, 1).us == MONO_NEVER.us);
	(void)limit_slot_settle(&slot, at_s(5), d.e);
	assert_true(limit_part_free_at(&d.p, at_s(10), 1, 1).us == at_s(65).us);
	send(&d, 65, 65, 2);
	/* Now the day is full: its oldest slot, kept at most a bucket longer. */
	day = limit_part_free_at(&d.p, at_s(70), 1, 1);
	assert_true(day.us >= at_s(5 + 86400).us && day.us <= at_s(65 + 86400).us);
	assert_int_equal(limit_part_room(&d.p, (struct mono_time){ day.us - 1 }, 1), 0);
	assert_true(limit_part_room(&d.p, day, 9) >= 1);
	limit_book_free(d.b);
}

static void without_limits_there_is_always_room(void **state)
{
	struct limit_slot slot = { 0 };
	struct desk d;

	(void)state;
	open_desk(&d, 0, 0);
	assert_int_equal(limit_slot_take(&slot, &d.p, at_s(0), 100000, d.e), 0);
	assert_int_equal(limit_slot_settle(&slot, at_s(0), d.e), 0);
	assert_int_equal(limit_part_room(&d.p, at_s(0), 4000), 4000);
	assert_true(limit_part_free_at(&d.p, at_s(0), 1, 1).us == at_s(0).us);
	assert_int_equal(limit_part_use(&d.p, at_s(0)).minute.capacity, 0);
	assert_true(limit_part_messages(&d.p, at_s(0)) == UINT32_MAX);
	limit_book_free(d.b);
}

static void limits_change_under_way(void **state)
{
	struct limit_slot slot = { 0 };
	struct desk d;

	(void)state;
	open_desk(&d, 2, 0);
	send(&d, 0, 0, 1);
	limit_scope_set(d.s, &(struct limit_caps){ .messages_per_minute = 1 });
	assert_int_equal(limit_part_room(&d.p, at_s(1), 1), 0);
	limit_scope_set(d.s, &(struct limit_caps){ .messages_per_minute = 4 });
	assert_int_equal(limit_part_use(&d.p, at_s(1)).minute.used, 1);
	assert_int_equal(limit_part_room(&d.p, at_s(1), 1), 1);
	limit_scope_set(d.s, &(struct limit_caps){ .recipients_per_day = 3 });
	assert_int_equal(limit_part_room(&d.p, at_s(1), 9), 3);
	(void)limit_slot_take(&slot, &d.p, at_s(1), 3, d.e);
	limit_scope_set(d.s, &(struct limit_caps){ 0 });
	(void)limit_slot_settle(&slot, at_s(1), d.e);
	assert_int_equal(limit_part_room(&d.p, at_s(1), 9), 9);
	limit_book_free(d.b);
}

static void a_limit_that_comes_later_counts_what_is_under_way(void **state)
{
	const struct limit_caps caps = { .messages_per_minute = 2, .recipients_per_day = 10 };
	struct limit_slot slots[4] = { { 0 } };
	struct desk d;

	(void)state;
	open_desk(&d, 0, 0);
	assert_int_equal(limit_slot_take(&slots[0], &d.p, at_s(0), 4, d.e), 0);
	(void)limit_slot_take(&slots[1], &d.p, at_s(0), 5, d.e);
	limit_scope_set(d.s, &caps);
	(void)limit_slot_take(&slots[2], &d.p, at_s(1), 6, d.e);
	/* The ledger hears of it at its end. */
	assert_int_equal(limit_slot_settle(&slots[0], at_s(2), d.e), 1);
	assert_int_equal(d.e[0].recipients, 4);
	assert_int_equal(limit_slot_withdraw(&slots[1], d.e), 0);
	(void)limit_slot_settle(&slots[2], at_s(3), d.e);
	assert_int_equal(limit_part_use(&d.p, at_s(3)).minute.used, 2);
	assert_int_equal(limit_part_use(&d.p, at_s(3)).day.used, 10);
	assert_int_equal(limit_part_room(&d.p, at_s(3), 1), 0);
	/* Removed, and set again: what was used is, and what began in between. */
	limit_scope_set(d.s, &(struct limit_caps){ 0 });
	(void)limit_slot_take(&slots[3], &d.p, at_s(4), 1, d.e);
	limit_scope_set(d.s, &caps);
	(void)limit_slot_settle(&slots[3], at_s(5), d.e);
	assert_int_equal(limit_part_use(&d.p, at_s(5)).day.used, 11);
	limit_book_free(d.b);
}

/* Sixty in a minute stay sixty, whatever an administrator tries meanwhile. */
static void a_limit_that_comes_back_has_counted_on(void **state)
{
	const struct limit_caps caps = { .messages_per_minute = 2, .recipients_per_day = 3 };
	struct desk d;

	(void)state;
	open_desk(&d, 2, 3);
	send(&d, 0, 0, 1);
	limit_scope_set(d.s, &(struct limit_caps){ 0 });
	assert_int_equal(limit_part_use(&d.p, at_s(1)).minute.capacity, 0);
	/* Without a limit nothing stops, also not what is beyond the old one. */
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(limit_part_room(&d.p, at_s(1), 1), 1);
		send(&d, 1, 1, 1);
	}
	limit_scope_set(d.s, &caps);
	assert_int_equal(limit_part_use(&d.p, at_s(2)).minute.used, 6);
	assert_int_equal(limit_part_use(&d.p, at_s(2)).day.used, 6);
	assert_int_equal(limit_part_room(&d.p, at_s(2), 1), 0);
	assert_int_equal(limit_part_room(&d.p, at_s(62), 1), 0);
	limit_book_free(d.b);
}

/* ---- who has which scope ---- */

static void all_doors_of_a_mailbox_have_one_scope(void **state)
{
	struct desk d;

	(void)state;
	open_desk(&d, 1, 0);
	assert_ptr_equal(limit_book_of_lane(d.b, SV("graph/erp@contoso.com")), d.s);
	assert_ptr_equal(limit_book_of_lane(d.b, SV("hve/erp@contoso.com")), d.s);
	assert_ptr_not_equal(limit_book_of_lane(d.b, SV("graph/hr@contoso.com")), d.s);
	assert_ptr_not_equal(limit_book_of_lane(d.b, SV("smtp/erp")), d.s);
	/* A / is legal in a local part. */
	assert_ptr_not_equal(limit_book_of_lane(d.b, SV("graph/a/erp@contoso.com")), d.s);
	assert_ptr_equal(limit_book_of_lane(d.b, SV("graph/a/erp@contoso.com")),
		limit_book_of_lane(d.b, SV("submission/a/erp@contoso.com")));
	limit_book_free(d.b);
}

/* ---- over restarts ---- */

static void the_ledger_is_read_before_the_limit_is_known(void **state)
{
	struct limit_book *b = limit_book_new(STEADY_US, at_s(0));
	const struct limit_caps caps = { .messages_per_minute = 2, .recipients_per_day = 3 };
	struct limit_scope *s = limit_book_of_lane(b, LANE);
	struct limit_part p = { .scope = s, .windows = LIMIT_ALL };
	struct limit_entry e[LIMIT_ENTRIES_MAX];
	struct limit_slot slot = { 0 };

	(void)state;
	limit_scope_set(s, &caps);
	assert_int_equal(limit_slot_take(&slot, &p, at_s(0), 1, e), 1);
	limit_book_free(b);
	b = limit_book_new(STEADY_US, at_s(10));
	e[0].scope = SV("m:erp@contoso.com");
	limit_book_restore(b, &e[0]);
	limit_book_restore(b, &e[0]);
	p.scope = s = limit_book_of_lane(b, LANE);
	assert_int_equal(limit_part_room(&p, at_s(10), 1), 1);
	limit_scope_set(s, &caps);
	assert_int_equal(limit_part_room(&p, at_s(10), 1), 0);
	assert_int_equal(limit_part_use(&p, at_s(10)).minute.used, 2);
	assert_int_equal(limit_part_use(&p, at_s(10)).day.used, 2);
	/* The bucket of now says nothing finer: a minute of it may be of this second. */
	assert_int_equal(limit_part_room(&p, at_s(69), 1), 0);
	assert_int_equal(limit_part_room(&p, at_s(70), 1), 1);
	limit_book_free(b);
}

static void a_minute_holds_no_more_slots_than_it_can_have(void **state)
{
	struct desk d;
	struct limit_entry e = { .scope = SV("m:erp@contoso.com"),
		.bucket = STEADY_US / (int64_t)US_PER_MIN / LIMIT_BUCKET_MINUTES *
			  LIMIT_BUCKET_MINUTES,
		.messages = INT32_MAX };

	(void)state;
	open_desk(&d, 30, 0);
	e.bucket += LIMIT_BUCKET_MINUTES;
	limit_book_restore(d.b, &e);
	assert_int_equal(limit_part_use(&d.p, at_s(0)).minute.used, 30);
	assert_int_equal(limit_part_room(&d.p, at_s(59), 1), 0);
	assert_int_equal(limit_part_room(&d.p, at_s(60), 1), 1);
	limit_book_free(d.b);
}

/* After a boot the monotonic clock begins at 0, and the day does not. */
static void a_boot_lengthens_no_day(void **state)
{
	struct limit_book *b = limit_book_new(STEADY_US, at_s(0));
	const int64_t day = 24 * 60, now = STEADY_US / (int64_t)US_PER_MIN;
	struct limit_scope *s = limit_book_of_lane(b, LANE);
	const struct limit_part p = { .scope = s, .windows = LIMIT_ALL };
	struct limit_entry e = { .scope = SV("m:erp@contoso.com"), .messages = 1, .recipients = 2 };

	(void)state;
	limit_scope_set(s, &(struct limit_caps){ 10, 10 });
	e.bucket = (now - day) / LIMIT_BUCKET_MINUTES * LIMIT_BUCKET_MINUTES; /* over */
	assert_true(e.bucket <= limit_book_since(b));
	limit_book_restore(b, &e);
	assert_int_equal(limit_part_use(&p, at_s(0)).day.used, 0);
	e.bucket += LIMIT_BUCKET_MINUTES;
	limit_book_restore(b, &e);
	assert_int_equal(limit_part_use(&p, at_s(0)).day.used, 2);
	assert_int_equal(limit_part_use(&p, at_s(0)).minute.used, 0);
	assert_int_equal(limit_part_use(&p, at_s(LIMIT_BUCKET_MINUTES * 60)).day.used, 0);
	limit_book_free(b);
}

/*
 * As a receiver may count: anywhere between the dot and `latest`. Whoever starts at any time in between or later, finds
 * the slot occupied until `latest` plus the window, also when it starts twice.
 */
static void an_uncertain_slot_stands_at_its_latest_instant(void **state)
{
	(void)state;
	for (uint64_t dot = 1; dot < 1000; dot += 37)
		for (uint64_t start = dot; start < dot + 700; start += 53) {
			const uint64_t latest = dot + 600;
			struct limit_slot slot = { 0 };
			struct limit_entry e;
			struct limit_use use;
			struct desk d;
			size_t n;

			open_desk(&d, 1, 1);
			e = limit_part_expect(&d.p, at_s(latest), 1);
			limit_book_free(d.b);
			open_at(&d, start, 1, 1);
			e.scope = SV("m:erp@contoso.com");
			limit_book_restore(d.b, &e);
			use = limit_part_use(&d.p, at_s(latest + 59));
			assert_true(use.minute.used == 1 || start >= latest + 60);
			assert_int_equal(limit_part_use(&d.p, at_s(latest + 86399)).day.used, 1);
			/* At most two minutes more: the grid of the ledger. */
			assert_int_equal(
				limit_part_use(&d.p, at_s(latest + 120 + 60)).minute.used, 0);
			limit_book_free(d.b);
			/* An attempt of this life moves there. */
			open_desk(&d, 1, 1);
			(void)limit_slot_take(&slot, &d.p, at_s(dot), 1, d.e);
			n = limit_slot_expect(&slot, at_s(latest), d.e);
			assert_int_equal(n, 2);
			assert_int_equal(d.e[0].messages, -1);
			assert_int_equal(d.e[1].bucket, e.bucket);
			assert_int_equal(limit_part_room(&d.p, at_s(latest + 59), 1), 0);
			limit_book_free(d.b);
		}
}

/* ---- under random schedules ---- */

enum {
	LIFE_S = 4000,
	SENT_MAX = 4000,
};

struct receiver {
	uint64_t counted_s[SENT_MAX]; /* in order */
	unsigned recipients[SENT_MAX];
	size_t count;
};

static void count(struct receiver *r, uint64_t at, unsigned recipients)
{
	size_t i = r->count++;

	assert_true(r->count <= SENT_MAX);
	for (; i > 0 && r->counted_s[i - 1] > at; i--) {
		r->counted_s[i] = r->counted_s[i - 1];
		r->recipients[i] = r->recipients[i - 1];
	}
	r->counted_s[i] = at;
	r->recipients[i] = recipients;
}

static unsigned most_messages(const struct receiver *r, uint64_t window_s)
{
	unsigned most = 0;

	for (size_t i = 0, from = 0; i < r->count; i++) {
		while (r->counted_s[i] - r->counted_s[from] >= window_s)
			from++;
		if (i - from + 1 > most)
			most = (unsigned)(i - from + 1);
	}
	return most;
}

static unsigned most_recipients(const struct receiver *r, uint64_t window_s)
{
	unsigned most = 0, n = 0;

	for (size_t i = 0, from = 0; i < r->count; i++) {
		n += r->recipients[i];
		while (r->counted_s[i] - r->counted_s[from] >= window_s)
			n -= r->recipients[from++];
		most = n > most ? n : most;
	}
	return most;
}

struct ledger {
	struct limit_entry e[SENT_MAX];
	size_t count;
};

static void commit(struct ledger *l, const struct limit_entry *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = 0;

		while (at < l->count && l->e[at].bucket != e[i].bucket)
			at++;
		if (at == l->count) {
			l->e[at] = (struct limit_entry){
				SV("m:erp@contoso.com"), e[i].bucket, 0, 0, 0
			};
			l->count++;
		}
		l->e[at].messages += e[i].messages;
		l->e[at].recipients += e[i].recipients;
	}
}

/*
 * A mailbox with always something to send, replies that take up to nine seconds, and a process that is killed now and
 * then with a message under way: nowhere does the receiver count more than the minute allows, wherever between dot and
 * reply it counts, and of what it never answered until ten minutes behind the dot.
 */
static void no_minute_is_exceeded_however_often_it_starts(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct receiver r = { .count = 0 };
		struct ledger l = { .count = 0 };
		struct prng rng;
		struct desk d;

		prng_seed(&rng, seed);
		open_desk(&d, 4, 0);
		for (uint64_t now = 0; now < LIFE_S;) {
			struct limit_slot slot = { 0 };
			uint64_t reply = now + prng_below(&rng, 10);
			size_t n;

			if (limit_part_room(&d.p, at_s(now), 1) == 0) {
				now++;
				continue;
			}
			n = limit_slot_take(&slot, &d.p, at_s(now), 1, d.e);
			commit(&l, d.e, n);
			if (prng_below(&rng, 20) == 0) {
				struct limit_entry e = limit_part_expect(&d.p, at_s(now + 600), 1);

				count(&r, now + prng_below(&rng, 601), 1);
				commit(&l, &e, 1);
				limit_book_free(d.b);
				now += prng_below(&rng, 700);
				open_at(&d, now, 4, 0);
				for (size_t i = 0; i < l.count; i++)
					limit_book_restore(d.b, &l.e[i]);
				continue;
			}
			count(&r, now + prng_below(&rng, reply - now + 1), 1);
			commit(&l, d.e, limit_slot_settle(&slot, at_s(reply), d.e));
			now = reply;
		}
		if (most_messages(&r, 60) > 4)
			fail_msg("seed %llu: %u in a minute of 4",
				(unsigned long long)seed,
				most_messages(&r, 60));
		assert_true(r.count > 20);
		limit_book_free(d.b);
	}
}

/* Likewise of a day, which a life reads from the ledger's buckets of those before it (I16). */
static void no_day_is_exceeded_however_often_it_starts(void **state)
{
	enum {
		DAY_S = 86400,
		CAP = 100
	};

	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct receiver r = { .count = 0 };
		struct ledger l = { .count = 0 };
		struct prng rng;
		struct desk d;

		prng_seed(&rng, seed);
		open_desk(&d, 0, CAP);
		for (uint64_t now = 0; now < (uint64_t)4 * DAY_S;) {
			struct limit_slot slot = { 0 };
			uint32_t fits =
				limit_part_room(&d.p, at_s(now), 1 + (uint32_t)prng_below(&rng, 5));
			uint64_t reply = now + prng_below(&rng, 10);

			if (fits == 0) {
				now += 1 + prng_below(&rng, 600);
				continue;
			}
			commit(&l, d.e, limit_slot_take(&slot, &d.p, at_s(now), fits, d.e));
			if (prng_below(&rng, 10) == 0) {
				struct limit_entry e =
					limit_part_expect(&d.p, at_s(now + 600), fits);

				count(&r, now + prng_below(&rng, 601), fits);
				commit(&l, &e, 1);
				limit_book_free(d.b);
				now += prng_below(&rng, 700);
				open_at(&d, now, 0, CAP);
				for (size_t i = 0; i < l.count; i++)
					if (l.e[i].bucket >= limit_book_since(d.b))
						limit_book_restore(d.b, &l.e[i]);
				continue;
			}
			count(&r, now + prng_below(&rng, reply - now + 1), fits);
			commit(&l, d.e, limit_slot_settle(&slot, at_s(reply), d.e));
			now = reply + prng_below(&rng, 600);
		}
		if (most_recipients(&r, DAY_S) > CAP)
			fail_msg("seed %llu: %u in a day of %u",
				(unsigned long long)seed,
				most_recipients(&r, DAY_S),
				CAP);
		assert_true(most_recipients(&r, DAY_S) > CAP / 2);
		limit_book_free(d.b);
	}
}

/* A month slides nowhere: what is under way counts beside what its owner says, until the month ends. */
static void a_month_is_its_owners(void **state)
{
	struct limit_slot slot = { 0 };
	struct limit_use use;
	struct desk d;

	(void)state;
	open_desk(&d, 0, 0);
	limit_scope_set_month(d.s, 10, 7, at_s(1000));
	assert_int_equal(limit_part_room(&d.p, at_s(0), 99), 3);
	assert_int_equal(limit_slot_take(&slot, &d.p, at_s(0), 3, d.e), 0);
	assert_int_equal(limit_part_room(&d.p, at_s(0), 1), 0);
	assert_int_equal(limit_part_messages(&d.p, at_s(0)), 0);
	assert_int_equal(limit_part_free_at(&d.p, at_s(0), 1, 1).us, at_s(1000).us);
	assert_int_equal(limit_part_free_at(&d.p, at_s(0), 1, 11).us, MONO_NEVER.us);
	limit_slot_shrink(&slot, 2);
	assert_int_equal(limit_part_room(&d.p, at_s(0), 9), 1);
	(void)limit_slot_settle(&slot, at_s(1), d.e);
	assert_int_equal(limit_part_room(&d.p, at_s(1), 9), 3);
	limit_scope_set_month(d.s, 10, 9, at_s(1000));
	use = limit_part_use(&d.p, at_s(1));
	assert_int_equal(use.month.used, 9);
	assert_int_equal(use.month.capacity, 10);
	(void)limit_slot_take(&slot, &d.p, at_s(1), 1, d.e);
	(void)limit_slot_withdraw(&slot, NULL);
	/* The next one. */
	limit_scope_set_month(d.s, 10, 0, at_s(9000));
	assert_int_equal(limit_part_room(&d.p, at_s(1001), 99), 10);
	limit_scope_set_month(d.s, 0, 0, at_s(9000));
	assert_int_equal(limit_part_room(&d.p, at_s(1001), 99), 99);
	limit_book_free(d.b);
}

static bool keeps_a(void *arg, struct sv scope)
{
	(void)arg;
	return sv_eq(scope, SV("m:a@b.c"));
}

/* What somebody has, or what counts still, stays; the rest goes. */
static void what_counts_no_more_goes(void **state)
{
	struct desk d;
	struct limit_scope *s;

	(void)state;
	open_desk(&d, 5, 10);
	send(&d, 0, 1, 4);
	s = limit_book_scope(d.b, SV("m:a@b.c"));
	limit_scope_set(s, &(struct limit_caps){ 5, 10 });
	s = limit_book_scope(d.b, SV("m:b@b.c"));
	limit_scope_set(s, &(struct limit_caps){ 5, 10 });
	assert_int_equal(limit_book_sweep(d.b, at_s(2), keeps_a, NULL), 1);
	assert_null(limit_book_known(d.b, SV("m:b@b.c")));
	assert_non_null(limit_book_known(d.b, SV("m:a@b.c")));
	assert_int_equal(limit_book_sweep(d.b, at_s(86400), keeps_a, NULL), 0);
	assert_true(limit_book_knows(d.b, LANE));
	assert_int_equal(limit_part_use(&d.p, at_s(86400)).day.used, 4);
	assert_int_equal(limit_book_sweep(d.b, at_s(86400 + 301), keeps_a, NULL), 1);
	assert_false(limit_book_knows(d.b, LANE));
	limit_book_free(d.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_counts_no_more_goes),
		cmocka_unit_test(room_is_the_least_of_two_windows),
		cmocka_unit_test(what_never_left_gives_its_room_back),
		cmocka_unit_test(room_comes_back_when_both_windows_have_some),
		cmocka_unit_test(without_limits_there_is_always_room),
		cmocka_unit_test(limits_change_under_way),
		cmocka_unit_test(a_limit_that_comes_later_counts_what_is_under_way),
		cmocka_unit_test(a_limit_that_comes_back_has_counted_on),
		cmocka_unit_test(all_doors_of_a_mailbox_have_one_scope),
		cmocka_unit_test(the_ledger_is_read_before_the_limit_is_known),
		cmocka_unit_test(a_minute_holds_no_more_slots_than_it_can_have),
		cmocka_unit_test(a_boot_lengthens_no_day),
		cmocka_unit_test(an_uncertain_slot_stands_at_its_latest_instant),
		cmocka_unit_test(no_minute_is_exceeded_however_often_it_starts),
		cmocka_unit_test(no_day_is_exceeded_however_often_it_starts),
		cmocka_unit_test(a_month_is_its_owners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
