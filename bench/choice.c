/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/rng.h"
#include "limit/set.h"
#include "sched/order.h"
#include "sched/room.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/*
 * What one choice of the engine costs: room by every limit, the pick, the slots, and the end of the take. With a mailbox each, of
 * three flows in which a hundred wait; as bench/run.py --only choice calls it, for 10, 100 ... 10,000 mailboxes.
 * usage: bench_choice MAILBOXES
 */
enum {
	CHOICES = 400000,
	WAITING = 100,
};

struct mailbox {
	struct sched_taker *taker;
	struct limit_set set;
	struct sched_better better;
};

static uint64_t cpu_ns(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static void add_flows(struct sched_order *o, const char *key)
{
	static const struct sv who[] = { SV_INIT("erp"), SV_INIT("crm"), SV_INIT("news") };

	for (size_t i = 0; i < COUNT_OF(who); i++) {
		const struct mail_flow flow = { .queue = sv_from(key),
			.class = i == 2 ? MAIL_CLASS_BULK : MAIL_CLASS_NORMAL,
			.principal = who[i] };

		sched_flow_add(sched_flow_get(o, &flow), WAITING, (struct wall_time){ 1 });
	}
}

static void make(struct mailbox *m, struct sched_order *o, struct limit_book *book, unsigned number)
{
	const struct limit_caps caps = { .messages_per_minute = 30000000,
		.recipients_per_day = 1000000000 };
	const struct sched_taker_state ready = { .is_configured = true };
	char key[64];

	(void)snprintf(key, sizeof(key), "m:m%u@contoso.com", number);
	m->taker = sched_taker_new(sched_member_get(o, sv_from(key)), 0, m);
	(void)sched_taker_set(m->taker, &ready);
	limit_set_add(&m->set, limit_book_scope(book, sv_from(key)), LIMIT_ALL, LIMIT_BOTH);
	limit_set_add(&m->set, limit_book_scope(book, SV("t:contoso")), LIMIT_DAY, LIMIT_EXTERNAL);
	limit_scope_set(limit_book_scope(book, sv_from(key)), &caps);
	limit_scope_set(limit_book_scope(book, SV("t:contoso")), &caps);
	add_flows(o, key);
}

/* As a lane asks: what is there room for, what is next, and its slots. */
static bool choose(struct mailbox *m, struct mono_time mono, struct wall_time wall)
{
	const struct limit_use use = limit_set_use(&m->set, LIMIT_BOTH, mono);
	const struct sched_room room = sched_room_of(
		limit_set_room(&m->set, LIMIT_BOTH, mono, 500), &use, &m->better, mono);
	struct limit_entry entries[LIMIT_ENTRIES_MAX];
	struct limit_slots slots = { 0 };
	struct sched_pick pick;

	if (!sched_pick(m->taker, wall, &room, &pick))
		return false;
	(void)limit_slots_take(&slots, &m->set, LIMIT_EXTERNAL, mono, 1, entries);
	sched_took(&pick, 1, (struct wall_time){ 1 });
	sched_better_left(&m->better, sched_flow_key(pick.flow)->class, mono);
	(void)limit_slots_settle(&slots, mono, entries);
	/* What leaves comes again: the queue stays as long as it is. */
	sched_flow_add(pick.flow, 1, (struct wall_time){ 1 });
	return true;
}

int main(int argc, char **argv)
{
	unsigned count = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
	struct mono_time mono = { US_PER_DAY };
	struct sched_order *o = sched_order_new(1);
	struct limit_book *book = limit_book_new(0, mono);
	struct mailbox *all = xcalloc(count ? count : 1, sizeof(*all));
	struct prng dice;
	uint64_t begin, chosen = 0;

	if (count == 0) {
		(void)fprintf(stderr, "usage: bench_choice MAILBOXES\n");
		return 64;
	}
	prng_seed(&dice, 1);
	for (unsigned i = 0; i < count; i++)
		make(&all[i], o, book, i);
	while (sched_wake(o, (struct wall_time){ 2 }))
		;
	begin = cpu_ns();
	for (unsigned i = 0; i < CHOICES; i++, mono.us += 10)
		chosen += choose(&all[prng_below(&dice, count)], mono, (struct wall_time){ 2 });
	(void)printf("{\"mailboxes\": %u, \"choices\": %llu, \"ns_a_choice\": %.0f}\n",
		count,
		(unsigned long long)chosen,
		(double)(cpu_ns() - begin) / CHOICES);
	sched_order_free(o);
	limit_book_free(book);
	free(all);
	return 0;
}
