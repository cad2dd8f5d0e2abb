/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/rng.h"
#include "limit/book.h"
#include "provider/verdict.h"
#include "sandbox/model.h"
#include "sched/order.h"
#include "sched/room.h"
#include "sched/verdict.h"
#include "simulate/simulate.h"
#include "simulate/wheel.h"

/* ---- what is said ---- */

/* A reply and its verdict, judged once by the real judge. */
struct answer {
	struct verdict verdict;
	char text[400];
};
enum {
	ANSWERS_MAX = 64,
};
struct answers {
	struct answer taken;  /* 250 */
	struct answer broken; /* the line breaks: nobody said anything */
	struct answer later;  /* of a receiver that does not know the mailbox */
	struct answer
		list[ANSWERS_MAX]; /* of the catalogue: what passes by itself, at the end of DATA */
	size_t count;
};
void answers_load(struct answers *a);
void answer_judge(struct answer *a, uint16_t code, const char *enhanced, const char *text);

/* ---- mail ---- */

struct mail {
	uint64_t id; /* from 1 */
	int64_t accepted_us, due_us;
	uint32_t attempts;
	bool was_sent; /* an attempt ended uncertain after Exchange had taken it */
};
/* A list in order, taken from the front. */
struct mails {
	struct mail *items;
	size_t head, len, cap;
};

struct entry {
	int64_t bucket;
	int32_t messages, recipients;
};
/* Of one scope, on disk. */
struct ledger {
	struct entry *entries;
	size_t count, cap;
};

/* ---- the relay and its world ---- */

/* A mailbox: what the relay knows of it (till a restart), its mail and its ledger on disk, and how the world sees it. */
struct box {
	char address[48], lane_key[64], queue[52];
	struct simulate_box is;
	uint32_t number;
	struct limit_set limits; /* what the mailbox may send, and its tenant to the outside */
	struct sched_taker *taker;
	struct sched_flow *flow;
	struct sched_lane *lane;
	struct sched_better better;
	struct sv name;                /* its address */
	struct sched_taker_state told; /* the order */
	uint32_t open;                 /* connections that carry something */
	uint64_t try_tick;             /* UINT64_MAX: none is planned */
	struct mails fresh, later;
	struct ledger ledger;
	struct sandbox_mailbox *exchange;
	uint64_t delivered; /* until the receivers know it */
};

struct attempt {
	uint32_t box;
	struct mail mail;
	struct limit_slots slots;
	struct mono_time begun;
	uint32_t life; /* of the relay that made it */
	uint32_t next; /* unused: place + 1 */
	bool probe, counted, refused, breaks;
	const struct answer *said;
	struct answer *own; /* what was said, if it is none of the usual ones; else NULL */
};

enum event_kind {
	EVENT_MAIL,  /* comes for a mailbox */
	EVENT_TRY,   /* a window of a mailbox opens, or its hold ends */
	EVENT_WAKE,  /* mail is due again */
	EVENT_REPLY, /* of an attempt */
	EVENT_DAY,   /* ends */
	EVENT_NOON,
	EVENT_RESTART,
	EVENT_CLOCK,
};

struct world {
	const struct simulate_options *o;
	struct prng rng;
	struct wheel *wheel;
	struct answers answers;
	struct sandbox_model **tenants;
	struct ledger *tenant_ledgers;
	bool *outside_held; /* mail of each tenant to the outside, as its mailboxes were told */
	struct box *boxes;
	struct attempt *attempts;
	uint32_t attempt_count, attempt_cap, attempt_unused;
	uint64_t mail_count, wake_tick;
	uint32_t day; /* from 1 */
	uint64_t day_began_us, violations_before;
	struct simulate_day today;
	struct simulate_total *total;
	/* Time: of the machine since its start, and what people's clock is ahead of it. */
	uint64_t now_us;
	int64_t wall_ahead_us;
	/* The relay, as long as it runs. */
	uint32_t life;
	struct limit_book *book;
	/* Of what happens now. Here, as each would be cleared for each message on a stack. */
	struct limit_entry entries[LIMIT_ENTRIES_MAX];
	struct sandbox_reply reply;
	struct sched_order *order;
	struct sched_holds *holds;
};

static inline struct mono_time world_now(const struct world *w)
{
	return (struct mono_time){ w->now_us };
}

static inline struct wall_time world_wall(const struct world *w)
{
	return (struct wall_time){ (int64_t)w->now_us + w->wall_ahead_us };
}

/* Since the beginning of the first day's clock, however that is set later. */
static inline int64_t world_steady(const struct world *w)
{
	return (int64_t)w->now_us + w->o->start.us;
}

void simulate_note_use(
	struct simulate_day *d, enum simulate_limit limit, uint32_t used, uint32_t allowed);

#define TICK_US (US_PER_S / WHEEL_TICKS_A_SECOND)
/* Not before the next tick but this one, where it may still happen in this. */
void world_plan(struct world *w, uint64_t at_us, enum event_kind kind, uint32_t who);

void relay_start(struct world *w);
void relay_kill(struct world *w);                                 /* and starts again */
void relay_accept(struct world *w, uint32_t box, uint32_t count); /* mail came */
void relay_try(struct world *w, uint32_t box);
void relay_wake(struct world *w); /* whoever should ask */
void relay_reply(struct world *w, uint32_t attempt);
void relay_change_doors(struct world *w);
uint64_t relay_waiting(const struct world *w);
void relay_forget_old(struct world *w); /* of the ledger */

/* Exchange, and the receivers behind it: what they say to an attempt. */
void exchange_take(struct world *w, struct attempt *a);
