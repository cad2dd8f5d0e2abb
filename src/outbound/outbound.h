/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "conf/conf.h"
#include "identity/tokens.h"
#include "io/dnssec.h"
#include "io/https.h"
#include "io/loop.h"
#include "io/net.h"
#include "io/worker.h"
#include "limit/set.h"
#include "sched/lane.h"
#include "sched/why.h"
#include "store/store.h"

/*
 * Delivers what the queue holds: lanes, connections, attempts, verdicts, bounces. Driven by the loop; one
 * object for the daemon. Limits, states and retry times are sched/'s; what a reply means is provider/'s.
 */
struct outbound;

/* A scope was parked, or goes on. Once for each, not for each message; not for what a restart finds. */
struct outbound_event {
	bool ended;
	struct sv scope; /* "mailbox:LANE", "sender:LANE:ADDRESS", "tenant:NAME", ... */
	struct sv lane;  /* where it showed */
	struct sv cause, summary, reply;
	enum verdict_nature nature;
	struct wall_time since, next_at; /* next_at 0: a person releases it */
};
/* Called with outbound in the middle of its work: only keeps what it needs. */
typedef void outbound_event_fn(void *arg, const struct outbound_event *e);

struct outbound_options {
	struct io_loop *loop;
	struct store *store;
	struct io_resolver *resolver;
	struct conf *conf;              /* a reference is taken */
	struct io_workers *workers;     /* secrets that a command gives */
	struct identity_vault *vault;   /* NULL: none */
	struct identity_tokens *tokens; /* NULL: only passwords sign in */
	struct io_https *https;         /* NULL: no Graph */
	struct io_dnssec *dnssec;       /* NULL: no DANE */
	outbound_event_fn *event;       /* NULL: nobody wants to know */
	void *event_arg;
};

NODISCARD struct outbound *outbound_new(const struct outbound_options *options);
void outbound_free(struct outbound *o);

/* Before start(), of each attempt without an outcome: it is counted in what ended uncertain. */
void outbound_restore_uncertain(void *arg, struct sv lane, uint32_t messages, uint32_t recipients);
/* And what it may have used of its lane's limits: see store_resolve_uncertain(). `arg`: the outbound. */
size_t outbound_uncertain_ledger(
	void *arg, struct sv lane, uint32_t recipients, struct limit_entry out[LIMIT_ENTRIES_MAX]);
/* And where its recipients wait then; NULL: where they did. */
const struct mail_flow *outbound_uncertain_flow(
	void *arg, struct sv lane, const struct mail_flow *flow, struct arena *arena);
/* Reads the ledger, what is parked and where mail waits, then delivers. */
void outbound_start(struct outbound *o);
/*
 * What lanes need of a new snapshot: secrets, TLS contexts. new() on the loop; read() in any thread: it knows the
 * lanes that there are, and touches nothing of outbound's but the vault.
 */
struct outbound_fresh;
NODISCARD struct outbound_fresh *outbound_fresh_new(const struct outbound *o);
void outbound_fresh_read(struct outbound_fresh *f, const struct conf *conf);
void outbound_fresh_free(struct outbound_fresh *f);
/*
 * Takes over both. Running deliveries end on their old snapshot. The lanes change over some in each turn of the loop;
 * then `done`, perhaps before this returns. One at a time.
 */
void outbound_reload(struct outbound *o, struct conf *conf, struct outbound_fresh *fresh,
	void (*done)(void *arg), void *arg);
/* Takes no more work, ends what runs, closes its connections; then `done`. */
void outbound_drain(struct outbound *o, void (*done)(void *arg), void *arg);
/*
 * Draining takes too long: what has not left goes back to the queue, what has left without an answer is
 * uncertain. `done` of outbound_drain() follows, soon, unless the queue or a request over HTTPS hangs.
 */
void outbound_give_up(struct outbound *o);

/*
 * The quick way of a fresh message (two commits instead of three). claim() comes before the PUT: when the
 * message can leave at once it adds the open attempt and the ledger rows to `put` and returns a handle.
 * Then either committed() (the body is in memory: *arena and *body are taken over and left empty) or
 * withdrawn(). NULL: the message waits in the queue; its recipients then show what holds the lane.
 */
void *outbound_claim(void *outbound, struct arena *arena, struct store_put *put,
	struct store_message *message, struct store_recipient *recipients);
void outbound_committed(void *outbound, void *claim, struct arena *arena, struct buf *body);
void outbound_withdrawn(void *outbound, void *claim);
/* So many recipients of a message were queued in this flow, due at once. */
void outbound_queued(
	void *outbound, uint64_t message_id, const struct mail_flow *flow, uint32_t recipients);

/* An operator changed what waits: every lane looks again; held ones probe when `probe`, but those that are stopped for
 * reputation. */
void outbound_kick(struct outbound *o, bool probe);
/* This lane alone probes now, a stop for reputation included: a person said so. True: there was one. */
bool outbound_probe(struct outbound *o, struct sv lane);
/* Whether mail for this lane would leave now, as far as is known. False: it is held, probing or unknown. */
NODISCARD bool outbound_is_healthy(struct outbound *o, struct sv lane);

struct outbound_lane_status {
	struct sv lane;
	enum sched_lane_state state;
	uint32_t connections;
	/* It may have so many, as its server lets it; and so many are configured. */
	uint32_t connections_max, connections_limit;
	struct limit_use use;
	struct wall_time next_at; /* when the state changes by itself; 0: it does not */
	struct wall_time since;   /* held since; 0 */
	struct sv cause, summary, reply;
	enum verdict_nature nature;    /* of what holds it; OTHER: nothing does */
	bool probing;                  /* one message may try, or tries */
	struct wall_time slot_at;      /* when its limits let the next message go */
	struct wall_time delivered_at; /* the last message that got through since the start; 0 */
	struct sv sign_in;             /* "none", "password", "app", "user" */
	bool has_cost;                 /* delivered recipients are paid for: the next two count */
	uint64_t delivered_month, cost_cents;
	uint64_t moved;     /* recipients that went by another door since it is held */
	struct sv moved_to; /* the last such door */
};
/* What is to be said of mailboxes of this provider that sign in with a password; NULL: there is none. */
const char *outbound_password_notice(const struct conf *conf, enum provider_kind provider);
/*
 * Who looks at lanes over several turns of the loop, and keeps what is said of them, begins and ends: meanwhile none goes that a
 * wildcard made (conf/made.h), nor what the snapshot has of it.
 */
void outbound_look_begin(struct outbound *o);
void outbound_look_end(struct outbound *o);
/* How many mailboxes this wildcard has at work, and whether mail waits for one of them to go. */
uint32_t outbound_wildcard_count(const struct outbound *o, struct sv wildcard, bool *out_crowded);
/* Those that had mail, one by one; new ones come at the end, and where one has gone the last takes its place. */
size_t outbound_lane_count(const struct outbound *o);
struct sv outbound_lane_key(const struct outbound *o, size_t at);
struct outbound_lane_status outbound_lane_at(struct outbound *o, size_t at);
/* One of them. False: it never had mail. */
bool outbound_lane_look(struct outbound *o, struct sv lane, struct outbound_lane_status *out);

/* One window of a scope in which its mail counts: a limit of it, or shut by a reply. */
struct outbound_limit {
	struct sv scope; /* limit/book.h */
	unsigned window; /* LIMIT_MINUTE ... */
	enum limit_side side;
	uint32_t used, capacity;                /* capacity 0: it is not known */
	struct wall_time free_at;               /* when it lets one more go; 0: now */
	uint32_t learned;                       /* before the share; 0: nothing */
	struct wall_time learned_at, shut_till; /* 0: nothing was, it is not */
	/* As the service's own counter said: what is used by others, and what there is. observed_at 0: it was not asked. */
	uint32_t others, threshold;
	struct wall_time observed_at;
};
enum {
	OUTBOUND_LIMITS_MAX = 5 * LIMIT_PARTS_MAX
};
/* Those of a lane: how many. */
size_t outbound_lane_limits(
	struct outbound *o, struct sv lane, struct outbound_limit out[OUTBOUND_LIMITS_MAX]);

/* The lane by which mail of this flow would leave now; if none can, its first; empty: none is configured. Lives as long as it. */
struct sv outbound_lane_of(struct outbound *o, const struct mail_flow *flow);

/*
 * Why mail of this flow that is due then does not leave now, and about when it does. `before`: so many messages of its flow leave before
 * it; UINT64_MAX: nobody has counted them, nor is it known then how long it waits.
 */
struct sched_reason outbound_why(
	struct outbound *o, const struct mail_flow *flow, uint64_t before, struct wall_time due);
/* About when the last of so many recipients leaves by this lane if nothing holds it, and which limit says so. */
struct sched_reason outbound_lane_pace(struct outbound *o, struct sv lane, uint64_t waiting);

/* What holds mail: a lane, or what reaches beyond it or only to a sender on it. */
struct outbound_hold {
	struct sv
		key; /* of each_hold(): as in outbound_event.scope; of hold_of(): what stands before the colon */
	struct sv cause, summary, reply;
	struct sv transcript; /* of the session in which it was heard; may be empty */
	enum verdict_nature nature;
	bool parked; /* else it waits for a time */
	struct wall_time since,
		next_at; /* next_at 0: a person releases it, or a message may try now */
};
/* Of senders and tenants; lanes tell theirs in their status. */
void outbound_each_hold(
	struct outbound *o, void (*each)(void *arg, const struct outbound_hold *hold), void *arg);
/* What holds mail of this sender to this recipient on this lane. False: nothing does. */
bool outbound_hold_of(struct outbound *o, struct sv lane, struct sv sender, struct sv recipient,
	struct outbound_hold *out);
/* Whether anything is held for this cause: mail that waits for it may have none of its own. */
bool outbound_holds_for(const struct outbound *o, struct sv cause);
/* Recipients whose attempt ended uncertain, in the last 24 hours or since the start. */
uint64_t outbound_uncertain_day(const struct outbound *o);
