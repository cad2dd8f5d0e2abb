/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/account.h"

#include "base/htable.h"
#include "base/must.h"

#include <stdlib.h>

struct limit_account {
	struct list idle; /* in limit_accounts.idle while nobody has it open */
	struct limit_accounts *all;
	struct sv key; /* on the heap */
	unsigned share;
	uint32_t open;
	uint64_t used[LIMIT_RESOURCE_COUNT];
	/* The level was `failures` at this instant, and sinks since. */
	uint32_t failures;
	struct mono_time failures_at;
	struct mono_time good_until;
	uint64_t refused;
	struct mono_time told_until;
	uint64_t turn; /* its last number */
};

struct limit_accounts {
	struct htable by_key;
	struct list idle; /* the one that was closed first is first */
	size_t idle_count;
	uint64_t capacity[LIMIT_RESOURCE_COUNT];
	uint64_t used[LIMIT_RESOURCE_COUNT];
	uint64_t open;
	bool freed;
};

/* ---- the table ---- */

struct limit_accounts *limit_accounts_new(uint64_t seed)
{
	struct limit_accounts *all = xcalloc(1, sizeof(*all));

	all->by_key.seed = seed;
	list_init(&all->idle);
	return all;
}

static void forget(struct limit_account *a)
{
	struct limit_accounts *all = a->all;

	must(a->open == 0);
	if (!list_empty(&a->idle))
		all->idle_count--;
	list_remove(&a->idle);
	(void)htable_take(&all->by_key, a->key);
	free((void *)(uintptr_t)a->key.ptr);
	free(a);
}

void limit_accounts_free(struct limit_accounts *all)
{
	if (!all)
		return;
	all->freed = true;
	if (all->open)
		return;
	while (!list_empty(&all->idle))
		/* The analyzer loses sight of rings. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		forget(list_entry(all->idle.next, struct limit_account, idle));
	htable_deinit(&all->by_key);
	free(all);
}

void limit_accounts_set(struct limit_accounts *all, enum limit_resource resource, uint64_t capacity)
{
	all->capacity[resource] = capacity;
}

uint64_t limit_accounts_used(const struct limit_accounts *all, enum limit_resource resource)
{
	return all->used[resource];
}

uint64_t limit_accounts_capacity(const struct limit_accounts *all, enum limit_resource resource)
{
	return all->capacity[resource];
}

/* ---- one principal ---- */

struct limit_account *limit_account_open(struct limit_accounts *all, struct sv key, unsigned share)
{
	struct limit_account *a = htable_get(&all->by_key, key);

	must(share > 0);
	if (!a) {
		a = xcalloc(1, sizeof(*a));
		a->all = all;
		a->key = sv_make(sv_dup(key), key.len);
		list_init(&a->idle);
		htable_put(&all->by_key, key, a);
	}
	if (!list_empty(&a->idle)) {
		list_remove(&a->idle);
		all->idle_count--;
	}
	a->share = share;
	a->open++;
	all->open++;
	return a;
}

/* Whether there is anything that a later connection must be told. */
static bool has_memory(const struct limit_account *a, struct mono_time now)
{
	return limit_account_failures(a, now) > 0 || limit_account_is_good(a, now) ||
	       mono_before(now, a->told_until);
}

void limit_account_close(struct limit_account *a, struct mono_time now)
{
	struct limit_accounts *all = a->all;

	must(a->open > 0);
	a->open--;
	all->open--;
	if (a->open == 0 && !has_memory(a, now)) {
		forget(a);
	} else if (a->open == 0) {
		list_append(&all->idle, &a->idle);
		all->idle_count++;
		if (all->idle_count > LIMIT_ACCOUNTS_KEPT)
			forget(list_entry(all->idle.next, struct limit_account, idle));
	}
	if (all->freed)
		limit_accounts_free(all);
}

struct sv limit_account_key(const struct limit_account *a)
{
	return a->key;
}

uint64_t limit_account_used(const struct limit_account *a, enum limit_resource resource)
{
	return a->used[resource];
}

/* ---- failures ---- */

uint32_t limit_account_failures(const struct limit_account *a, struct mono_time now)
{
	uint64_t sunk = mono_before(a->failures_at, now)
				? (now.us - a->failures_at.us) / LIMIT_FAILURE_US
				: 0;

	return sunk < a->failures ? a->failures - (uint32_t)sunk : 0;
}

void limit_account_failed(struct limit_account *a, struct mono_time now)
{
	uint32_t level = limit_account_failures(a, now);

	/* What has passed of the present step stays passed, or one failure in 59 s would never sink. */
	if (level == 0)
		a->failures_at = now;
	else
		a->failures_at = mono_add(
			a->failures_at, (uint64_t)(a->failures - level) * LIMIT_FAILURE_US);
	a->failures = level < LIMIT_FAILURES_MAX ? level + 1 : level;
}

void limit_account_succeeded(struct limit_account *a, struct mono_time now)
{
	a->failures = 0;
	a->good_until = mono_add(now, LIMIT_GOOD_US);
}

bool limit_account_is_good(const struct limit_account *a, struct mono_time now)
{
	return mono_before(now, a->good_until);
}

struct mono_time limit_account_below_at(
	const struct limit_account *a, struct mono_time now, uint32_t level)
{
	if (limit_account_failures(a, now) < level)
		return now;
	return mono_add(a->failures_at, (uint64_t)(a->failures - level + 1) * LIMIT_FAILURE_US);
}

uint64_t limit_account_turn(struct limit_account *a, uint64_t now)
{
	a->turn = a->turn < now ? now : a->turn + 1;
	return a->turn;
}

bool limit_account_refused(struct limit_account *a, struct mono_time now, uint64_t *out_count)
{
	a->refused++;
	if (mono_before(now, a->told_until))
		return false;
	*out_count = a->refused;
	a->refused = 0;
	a->told_until = mono_add(now, LIMIT_TELL_US);
	return true;
}

/* ---- who pays ---- */

void limit_payer_init(struct limit_payer *p, struct limit_accounts *all)
{
	*p = (struct limit_payer){ .all = all };
}

static void charge(struct limit_payer *p, struct limit_account *a)
{
	for (size_t i = 0; i < LIMIT_RESOURCE_COUNT; i++)
		a->used[i] += p->held[i];
	p->accounts[p->count++] = a;
}

void limit_payer_add(struct limit_payer *p, struct sv key, unsigned share)
{
	must(p->count < LIMIT_PAYER_MAX);
	charge(p, limit_account_open(p->all, key, share));
}

void limit_payer_copy(struct limit_payer *p, const struct limit_payer *from)
{
	limit_payer_init(p, from->all);
	for (unsigned i = 0; i < from->count; i++)
		limit_payer_add(p, from->accounts[i]->key, from->accounts[i]->share);
}

/* Floating point: bytes of a disk, squared, fit nowhere else. */
static bool has_its_share(
	const struct limit_account *a, enum limit_resource resource, uint64_t room)
{
	double free_part = (double)room / (double)a->all->capacity[resource];
	double most = (double)a->share * (a->share + 1) * (double)room * free_part;

	return (double)a->used[resource] >= most;
}

enum limit_answer limit_payer_take(
	struct limit_payer *p, enum limit_resource resource, uint64_t amount)
{
	struct limit_accounts *all = p->all;
	uint64_t used = all->used[resource], capacity = all->capacity[resource];
	uint64_t room = used < capacity ? capacity - used : 0;

	if (amount == 0)
		return LIMIT_ANSWER_YES;
	if (amount > room)
		return LIMIT_ANSWER_FULL;
	for (unsigned i = 0; i < p->count; i++)
		if (has_its_share(p->accounts[i], resource, room))
			return LIMIT_ANSWER_TOO_MUCH;
	all->used[resource] += amount;
	p->held[resource] += amount;
	for (unsigned i = 0; i < p->count; i++)
		p->accounts[i]->used[resource] += amount;
	return LIMIT_ANSWER_YES;
}

void limit_payer_give(struct limit_payer *p, enum limit_resource resource, uint64_t amount)
{
	must(amount <= p->held[resource]);
	p->held[resource] -= amount;
	p->all->used[resource] -= amount;
	for (unsigned i = 0; i < p->count; i++)
		p->accounts[i]->used[resource] -= amount;
}

void limit_payer_end(struct limit_payer *p, struct mono_time now)
{
	for (unsigned i = 0; i < LIMIT_RESOURCE_COUNT && p->all; i++)
		limit_payer_give(p, i, p->held[i]);
	for (unsigned i = 0; i < p->count; i++)
		limit_account_close(p->accounts[i], now);
	*p = (struct limit_payer){ 0 };
}
