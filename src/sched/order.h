/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"
#include "base/time.h"
#include "mail/flow.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The order of mail: what leaves next, and by which lane. Pure: it knows how much waits in which flow and from when on, never the
 * messages; `now` comes from outside.
 *
 * Mail waits in flows (mail/flow.h). A flow's queue is a list of members; a member has takers, its doors, and a taker is a lane, as
 * the order sees it. A lane that has a connection and room asks sched_pick() for what to take, and sched_wake() says which lanes
 * should ask.
 *
 * Which taker: that of the first member with a door that takes mail, and there the first door by rank. A hold stops mail where it
 * stands, unless it says `may_elsewhere`: then the next door, or else the next member, takes it until the hold ends. So a flow has one
 * taker at a time, or none.
 *
 * What next, at one taker:
 *   - between classes by weight, 100:10:1, counted in messages, since a minute is counted in them: of 111 takes bulk has one, and
 *     never none. In between, a better class goes first.
 *   - between the principals of a class by recipients: who sends to 500 at once has had 500.
 *   - between the flows of a principal by due time.
 * Who had nothing to send, or was held, begins where the others are now: it is owed nothing for that time.
 *
 * A member may be a pool, "p:outreach": then any of its mailboxes takes, the least used of those that are ready (sched_pool_set()). Mail that
 * one of them has to carry waits in "b:outreach:a@go.contoso.com", for as long as that is in the pool.
 *
 * What is held for the moment costs nothing. A hold that mail sits out moves nothing, nor does its end; one that sends mail elsewhere
 * moves the flows in which mail waits, here and nowhere else.
 */
struct sched_order;
struct sched_member; /* a mailbox with all of its doors, or a connector: "m:erp@contoso.com", "c:lab" */
struct sched_taker; /* belongs to one member */
struct sched_flow;
struct sched_share; /* private */

/* `seed`: random, since peers choose the senders. */
NODISCARD struct sched_order *sched_order_new(uint64_t seed);
/* With all that belongs to it; picks that are under way never end. */
void sched_order_free(struct sched_order *o);
DEFINE_CLEANUP(struct sched_order, sched_order_free);

/* ---- who takes ---- */

/* Made at first use; lives as long as the order, or until it is forgotten: it has no taker then, and whoever has it lets it go. */
struct sched_member *sched_member_get(struct sched_order *o, struct sv key);
void sched_member_forget(struct sched_member *m);
/* Mail waits in a queue that names it, or a pick of such mail is under way. */
bool sched_member_has_mail(const struct sched_member *m);
/* `rank`: the place of the door in its mailbox. Neither configured nor held until sched_taker_set(). */
NODISCARD struct sched_taker *sched_taker_new(struct sched_member *m, uint32_t rank, void *owner);
/* Its mail goes on by others. Picks that are under way may end later. */
void sched_taker_free(struct sched_taker *t);
void *sched_taker_owner(const struct sched_taker *t);
void sched_taker_rank(
	struct sched_taker *t, uint32_t rank); /* a reload gave the doors another order */

struct sched_taker_state {
	bool is_configured;
	bool held; /* takes nothing now */
	bool may_elsewhere; /* what holds it lets mail go by another door or member (authentication, quota, outage) */
	/*
	 * Held, and a message may try whether that is over: sched_pick() gives it of the mail that it would have if it were not
	 * held, although all other mail goes on elsewhere, or waits. How many at once is the owner's business: it asks for one.
	 */
	bool probing;
	bool external_held; /* takes no mail to the outside (of its tenant), not as a probe of all mail either */
	bool external_elsewhere; /* and that may go by another door or member */
	bool external_full; /* a limit of what goes to the outside has no room; the rest goes on, and its mail waits here */
	bool internal_full; /* likewise of what stays inside */
	bool stops_pool;    /* held for reputation: mail of its pool goes by nobody else either */
};
const struct sched_taker_state *sched_taker_state(const struct sched_taker *t);
/* Pushed at each change; false: it is the same as before, which costs nothing. */
bool sched_taker_set(struct sched_taker *t, const struct sched_taker_state *s);
/* Senders that are held at a door: while the mail of a flow with that `sender` stands there, nothing is taken of the flow. */
void sched_sender_set(struct sched_taker *t, struct sv sender, bool held);

/* ---- pools ---- */

/* A mailbox of a pool. */
struct sched_pool_member {
	struct sched_member *member; /* in no other pool from now on */
	struct sv domain; /* of its address: what is held for reputation holds it in all pools */
	uint32_t weight;  /* how much it takes beside the others */
	void *owner;      /* whom sched_load_stale() names */
};
/* These are in the pool now, and no others; `count` 0: it is gone. What is granted to those that stay is theirs. */
void sched_pool_set(struct sched_order *o, struct sv key, const struct sched_pool_member *members,
	size_t count);
/* What a mailbox of a pool may take, by its limits, its hours and its pace. */
struct sched_load {
	uint64_t used;             /* of its day, what is under way included: recipients */
	uint32_t cap;              /* of its day; 0: no limit */
	uint32_t slots;            /* messages that it may be about to take; 0: it takes nothing */
	struct wall_time ready_at; /* when it may take the next; INT64_MIN: now */
	struct wall_time bulk_at;  /* likewise, of class bulk */
};
/* At each change; nothing is granted to it before the first. A member in no pool: nothing happens. */
void sched_member_load(struct sched_member *m, const struct sched_load *load);
/* Whose load was told so long ago that its day has gone on: it is to be told again. NULL: none. */
void *sched_load_stale(struct sched_order *o, struct wall_time now);

/* ---- where mail waits ---- */

/*
 * Made at first use. It lives while mail waits in it or a pick of it is under way; else for the present turn of the loop (the last
 * SCHED_FLOWS_EMPTY empty ones are kept, more than a message has recipients). Who remembers it for longer asks for it anew.
 */
enum {
	SCHED_FLOWS_EMPTY = 8192
};
struct sched_flow *sched_flow_get(struct sched_order *o, const struct mail_flow *key);
const struct mail_flow *sched_flow_key(
	const struct sched_flow *f); /* its views live as long as the flow */
/*
 * So many recipients wait there, due then. At start: what the store says (all of the flow, and the earliest due); later: what came, or
 * came back, after its commit. 0 recipients: some that are known are due then, after all (an operator's `retry`).
 */
void sched_flow_add(struct sched_flow *f, uint32_t recipients, struct wall_time due);
/* Some left without a take: expired, dropped, held by an operator, put into another flow. What is not told is found out when a take
 * finds nothing, and costs that take. */
void sched_flow_left(struct sched_flow *f, uint32_t recipients);
uint64_t sched_flow_waiting(
	const struct sched_flow *f); /* without those of takes that have ended */
/* The taker by which mail of this flow would leave now; NULL: none, as each is held or the flow's sender is (sched/why.h says by what). */
struct sched_taker *sched_flow_taker(
	const struct sched_flow *f); /* of a pool: that which is next */
/* Where its mail stands, whether that takes it now or not (sched/why.h says it in other words). */
struct sched_standing {
	/* NULL: no member is configured. Where all doors let it go, and no other has it: the first. */
	struct sched_taker *taker;
	bool takes;
	bool sender_held;
	/* About how many recipients, of its own class and of better ones, leave before one that has `before` others of its flow before it. */
	uint64_t ahead;
};
struct sched_standing sched_flow_standing(const struct sched_flow *f, uint64_t before);

/* ---- what next ---- */

#define SCHED_NEVER ((struct wall_time){ INT64_MAX })

/* What a lane may take now, by its limits (sched/room.h): recipients at most; 0: nothing. */
struct sched_room {
	uint32_t wanted;
	uint32_t wanted_bulk; /* that for bulk alone */
	/* And for bulk while better mail is due beside it: what is kept is kept for such mail, so the weights decide. */
	uint32_t wanted_turn;
};
/* Handed back to sched_took() as it was; it may be copied meanwhile. */
struct sched_pick {
	struct sched_flow *flow;
	uint32_t wanted; /* recipients at most, of one message */
	/* private: */
	struct sched_share *share;
	uint64_t serial;
	struct wall_time at;
};
/* False: nothing for this room. Several picks of one flow may be under way, but never more than recipients are due in it. */
NODISCARD bool sched_pick(struct sched_taker *t, struct wall_time now,
	const struct sched_room *room, struct sched_pick *out);
/*
 * How the take ended; once for each pick. `taken` 0: nothing was due. `next_due`: of all that is left in the flow; SCHED_NEVER: nothing
 * is. What was added since the pick is remembered beside it, as the take may not have seen it. Takes of a flow look at the store in the
 * order of their picks; their ends may come in any.
 */
void sched_took(const struct sched_pick *p, uint32_t taken, struct wall_time next_due);
/* Instead of sched_took(): the take could not look. The flow is as it was, and so may be picked at once. */
void sched_pick_withdraw(const struct sched_pick *p);
/*
 * The quick way: may new mail of this flow leave by this taker at once? Not if it has another taker now, nor if mail of an equal or
 * better class waits there.
 */
NODISCARD bool sched_may_pass(struct sched_flow *f, struct sched_taker *t, struct wall_time now);
/* Recipients that could leave by it now, for sched/burst: an estimate, not less than 1 if there are any; 0: none. */
uint64_t sched_due_count(struct sched_taker *t, struct wall_time now);

/*
 * Takers that should ask for a pick, each once; NULL: no more. One that has been named is not named again before a pick of its has
 * found nothing: until then it asks by itself whenever it has a connection and room. A pick that found nothing because of its room counts,
 * too: its owner knows when there is more.
 */
struct sched_taker *sched_wake(struct sched_order *o, struct wall_time now);
/* It asks for no more now, but would open another connection for more: it is named when something comes, or comes back. What there is is not told again. */
void sched_taker_watch(struct sched_taker *t);
/* When the next flow becomes due: call sched_wake() then. (One of a taker that is held counts, once.) SCHED_NEVER: none. */
struct wall_time sched_order_next(const struct sched_order *o);
