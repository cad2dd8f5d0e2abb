/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/htable.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/secret.h"
#include "io/stream.h"
#include "mail/domain_room.h"
#include "outbound/outbound.h"
#include "outbound/rewrite.h"
#include "provider/reply.h"
#include "sched/burst.h"
#include "sched/endpoint.h"
#include "sched/order.h"
#include "sched/pace.h"
#include "sched/proof.h"
#include "sched/room.h"
#include "sched/verdict.h"
#include "smtp/client.h"

/*
 * Each file uses only those that stand below it here; two or three that share a line know one another.
 *
 * outbound.c     life: start, drain, what others call; reload.c: a new snapshot
 * look.c         what others see of lanes and holds
 * sender.c, turns.c   what a lane sends next, on which connection; who connects next, who gives way
 * quick.c        the attempt of a fresh message
 * connection.c, token.c   one session with a provider: what all have. Kinds: connection_smtp.c, with answer.c: what the
 *                server has said of a message; graph.c, graph_call.c, graph_large.c: by HTTPS
 * take.c         an attempt of mail that leaves its flow, or goes back
 * delivery.c, delivery_end.c   one attempt: its message and body; its verdicts
 * flows_read.c   what waits where, at the start; queues without a member
 * overdue.c      mail that waits too long: expiry, notices of delay
 * waiting.c      what becomes of mail that waits, without an attempt
 * bounce.c       notices to the sender
 * change.c       how recipients change in the queue: an attempt's end, or what becomes of mail that waits
 * secrets.c      what lanes sign in with
 * park.c         the hands of what is held: records, alerts, the log; and what a message is to it
 * flows.c        where mail waits, and which lanes look for work
 * overdue_when.c when mail is looked at for its age
 * counters.c     what Exchange itself has counted is asked for
 * idle.c         mailboxes that a wildcard made go again; crowd.c: how many there are, and whose
 * lane.c, pools.c   what is known of a lane, and how it stands; who is in a pool, and what its mailboxes may take
 * endpoint.c     budgets of handshakes and connections
 * fresh.c        what a worker reads for a new snapshot
 * witness.c      what a refused message says of itself, for the verdict and for sched/hold
 * rewrite.c      what leaves differs from what is stored; charset.c
 * clocks.c       time as mail has it; work.c: what is under way
 */
enum {
	BODY_PIECE = 4 * LIMIT_CHUNK, /* of a body that is read from the queue */
	OUTCOME_TRIES_MAX = 5,        /* where the place in the queue is damaged */
	DAMAGED_TAKES_MAX = 4,        /* in a row: then the lane takes a pause */
	PARK_CULPRITS_MAX = 5 * SCHED_WITNESSES,
	HOURS_KEPT = 25,
	LEDGER_PAGE = 10000,
	CONNECTION_QUIT_S = 5, /* for a goodbye; then it is closed */
};
/* What is counted by the month, of a scope of the book: where each recipient costs. */
#define COUNT_HVE "hve "
/* An uncertain attempt may be counted by the receiver until its own time for the dot is over. */
#define UNCERTAIN_SETTLE_US (10 * US_PER_MIN)

/* Where connections go: host and port, or a domain whose mail exchangers are asked. */
struct endpoint {
	struct outbound *o;
	struct sched_endpoint budget;
	struct list starved; /* lanes that want a handshake */
	struct list waiting; /* connections that have their token, and wait for one */
	struct io_task serve;
	int family; /* of the address that answered last; AF_UNSPEC: none has */
};

struct lane;

/* What files further down have done further up: the other way round nobody could read one of them alone. */
struct outbound_hands {
	void (*pump)(struct lane *l);
	void (*serve)(void *endpoint); /* it has room again */
	void (*resolve)(struct outbound *o, const struct mail_flow *flow, uint64_t message);
};

/* Over all lanes at the start, some in a turn of the loop. */
struct start_walk {
	struct io_task task;
	size_t at;
};

struct outbound {
	const struct outbound_hands *hands;
	struct io_loop *loop;
	struct store *store;
	struct io_resolver *resolver;
	struct io_https *https;         /* NULL: no Graph */
	struct identity_tokens *tokens; /* NULL: only passwords sign in */
	struct io_workers *workers;
	struct identity_vault *vault; /* NULL: none */
	struct io_dnssec *dnssec;     /* NULL: no DANE */
	outbound_event_fn *event;     /* NULL: none */
	void *event_arg;
	const struct connection_kind *by_smtp, *by_web; /* what sessions speak */
	struct conf *conf;
	struct htable lanes;     /* key -> struct lane; "" is mail without a route */
	struct lane **all_lanes; /* the same, in the order in which they came */
	size_t lane_count, lane_cap;
	struct sched_holds *holds;
	struct htable tls; /* CA file, "" for the system's -> struct io_tls */
	struct {
		struct io_task task;
		struct outbound_fresh *fresh;
		size_t at, count; /* in all_lanes */
		void (*done)(void *arg);
		void *arg;
	} reload;
	struct htable endpoints; /* "HOST:PORT" -> struct endpoint */
	uint32_t connections;
	struct list starved; /* lanes that want a connection when the budget has one */
	struct list idle;    /* connections, longest idle first */
	struct list
		quiet; /* connections whose host has accepted and said nothing yet, oldest first */
	struct io_task slots;
	size_t deliveries; /* alive, outcomes under way included */
	struct list work;  /* what is counted there: struct work */
	struct overdue *overdue;

	struct sched_order *order;   /* of what waits */
	struct htable members;       /* "m:ADDRESS", "c:NAME" -> struct member */
	struct htable pools;         /* keys of those that mail has waited for */
	struct io_timer due_timer;   /* the next flow becomes due */
	struct io_timer park_timer;  /* the next hold lets a message try */
	struct mono_time parks_next; /* when that is */
	struct io_task wake;
	struct {
		struct store_flows op;
		struct arena arena;
		bool running, again;
		struct io_task task; /* what was read is taken over in slices */
		size_t at;
		struct io_timer retry; /* it could not be read */
		unsigned failures;
		void (*then)(struct outbound *o);
		bool is_far; /* some is planned for a time that nothing of ours waits for */
		struct store_edit near;
	} flows;
	struct list resolves;

	unsigned reads_left; /* of start() */
	bool started, draining;
	void (*drained)(void *arg);
	void *drained_arg;
	struct io_task drain_check;
	int64_t due_ahead_us;        /* of the wall clock, after it was turned back */
	struct wall_time started_at; /* what came to its time before is tried first */
	uint64_t doubtful_us;        /* store_doubtful_us(), till the clock is believed */
	struct mono_time doubted_at;
	struct wall_time last_wall, first_wall;
	struct mono_time last_mono, first_mono;
	struct start_walk used_walk, poke_walk;
	struct store_parks_read parks_op;
	/* Mailboxes that wildcards made. */
	struct {
		struct htable by_name; /* "*@contoso.com" -> struct crowd */
		struct list members;   /* of all of them: struct member */
		size_t count;
		struct io_timer timer;
		struct sv principal; /* whose mail makes lanes now */
		unsigned looked_at;  /* by others, over several turns: nobody goes */
		uint32_t dropped;
		struct mono_time book_at;
	} crowds;
	struct htable counters; /* tenant -> struct counters */
	struct limit_book *book;
	struct store_ledger_read ledger_op;
	struct store_counts_read counts_op;
	struct arena parks_arena, ledger_arena, counts_arena;
	/* Recipients whose attempt ended uncertain, by the hour. */
	struct {
		int64_t hour;
		uint64_t count;
	} uncertain[HOURS_KEPT];
};

/* What all doors of a mailbox share. */
struct member {
	struct sched_member *sched;
	struct list lanes;
	struct sched_better better;
	struct crowd_share *share; /* a wildcard made it; NULL: none did */
	struct list of_crowd;
	struct mono_time quiet_since; /* no mail waits for it; 0: some does */
};

struct lane {
	struct outbound *o;
	struct sv key;
	size_t at;                 /* in all_lanes */
	uint32_t uses;             /* deliveries and changes that have it */
	struct conf *conf;         /* the snapshot `c` belongs to */
	const struct conf_lane *c; /* NULL: not configured any more, or no route */
	struct sched_lane *sched;
	struct limit_scope *scope; /* what it may send: shared by all doors of a mailbox */
	struct limit_set limits;   /* that, and in what else its mail counts */
	struct member *member;
	struct list of_member;
	struct sched_taker *taker; /* as the order of mail sees it */
	bool turns_back;           /* who is on the way to its door, as that was found shut */
	bool waits_for_room;       /* of what its mailbox may send */
	struct sched_pace pace;    /* how many connections its server lets it have */
	struct secret *password, *certificate_key, *passphrase;
	struct secrets_job *secrets_job;    /* runs: no connection is opened before it ends */
	bool secrets_failed, secrets_stale; /* read again before the next connection */
	uint64_t stale_serial;              /* of a token that was refused, and is replaced; 0 */
	struct wall_time delivered_at;      /* the last message that got through; 0 */
	struct list fresh;                  /* claimed deliveries without a connection */
	uint32_t fresh_count;
	struct list connections;
	uint32_t connection_count;
	/* Of the quick way; and from a flow: handed to the queue, not committed yet. */
	uint32_t claims_running, takes_running;
	bool probe_taken;          /* one of these is to be a probe */
	struct endpoint *endpoint; /* NULL: by HTTPS, or not configured */
	struct list starved;       /* in that of its endpoint, or of all */
	struct io_timer timer;
	struct io_task task;
	unsigned read_failures; /* of the queue, in a row */
	unsigned damaged_takes; /* likewise */
	uint32_t month;         /* 202611; what was delivered in it, where deliveries cost */
	uint64_t delivered_month;
	/* Recipients that went by another door since it is held, and the last such door. */
	uint64_t moved;
	char *moved_to; /* its key; NULL: none */
};

struct connection;
struct connection_kind;
struct delivery;
struct delivery_recipient;
extern const struct connection_kind connection_smtp;
extern const struct connection_kind connection_web; /* graph.c */

/* What is to end before we do. */
struct work {
	struct outbound *o;
	struct list node; /* in outbound->work */
	uint64_t message;
};

/* Recipients change in the queue; see change.c. */
struct change {
	struct work work;
	bool of_look; /* overdue.c waits for it */
	struct lane *lane;
	struct arena arena;
	struct store_message m;
	struct store_recipient *recipients;
	size_t count;
	struct store_recipient_outcome *outcomes;
	struct store_outcome op;
	struct limit_entry ledger[LIMIT_ENTRIES_MAX];
	struct io_timer again;
	unsigned failures;
	bool next_hop_dsn;
};

/* ---- clocks.c ---- */
/* Time by which mail is due: the wall clock, but never going back while we run. */
struct wall_time outbound_due_now(struct outbound *o);
/* Till the queue is asked again, after it has failed so many times in a row for the same. */
uint64_t outbound_queue_pause(int rc, unsigned failures);
struct sched_policy outbound_policy(const struct outbound *o);
void outbound_count_uncertain(struct outbound *o, uint64_t recipients);
/*
 * By which the age of mail is measured, where no attempt has just failed: the wall clock, but a jump ahead
 * while we run does not make mail old.
 */
struct wall_time outbound_age_now(struct outbound *o);

/* ---- work.c ---- */
void work_begin(struct work *w, struct outbound *o);
void work_end(struct work *w);
void outbound_check_drained(struct outbound *o);

/* ---- crowd.c: how many mailboxes of a wildcard are at work, and whose mail made them ---- */
#define CROWD_LOOK_US (5 * US_PER_S)
#define CROWD_QUIET_US (10 * US_PER_MIN)
/* May mail of this principal make one more of these? No: it waits for a place. */
bool crowd_has_room(struct outbound *o, const struct conf_lane *c, struct sv principal);
void crowd_join(struct member *m, struct outbound *o, const struct conf_lane *c);
void crowd_leave(struct outbound *o, struct member *m);
bool crowd_is_denied(const struct outbound *o); /* mail of one of them waits for a place */
void crowd_forgive(struct outbound *o);
uint32_t crowd_count(const struct outbound *o, struct sv wildcard, bool *out_denied);
void crowds_free(struct outbound *o);

/* ---- counters.c: Exchange's own ---- */
void counters_configure(struct outbound *o);
void counters_stop(struct outbound *o); /* no more questions: it drains */
void counters_end(struct outbound *o);

/* ---- idle.c ---- */
void idle_look(void *outbound); /* what wildcards made and nobody needs goes; again and again */

/* ---- lane.c ---- */
struct lane *lane_get(struct outbound *o, struct sv key); /* makes it */
void lane_free(struct lane *l);
void lane_remove(struct lane *l); /* from all lanes, and frees it: nothing has it any more */
/* The snapshot of now; what it had goes to the caller. */
struct conf *lane_take_conf(struct lane *l);
bool lane_needs_token(const struct conf_lane *c);
void lane_poke(struct lane *l);                    /* looks for work soon */
uint32_t outbound_month(const struct outbound *o); /* 202611 */
void lane_count_delivered(struct lane *l, uint32_t month, uint64_t count);
struct sched_lane_now lane_now(struct lane *l);
enum provider_kind lane_provider(const struct lane *l); /* if it is gone: any server */
/* How many of these, which are of one class, may leave in one message now. */
uint32_t lane_room(struct lane *l, const struct store_recipient *recipients, size_t count);
struct sched_room lane_room_now(struct lane *l); /* for whatever comes next */

/* limits.c: the scopes in which mail of this lane counts, set to what they allow. `c` NULL: it is gone. */
void limits_of(
	struct outbound *o, struct sv lane, const struct conf_lane *c, struct limit_set *out);
/* What replies say of them (limit/learned.h). `cost`: what the refused message holds of them, in messages and in recipients. */
struct limits_cost {
	uint32_t messages, recipients;
};
void limits_refused(
	struct lane *l, const struct verdict *v, struct sv reply, struct limits_cost cost);
void limits_try_more(struct lane *l); /* a step upward, where it is time */
void limits_reopen(struct lane *l);   /* a person says so */
void limits_loaded(struct outbound *o, const struct store_park_row *row);
void limits_set_month(const struct lane *l); /* what it has delivered, or the month, has changed */
/* What Exchange's own counter of a tenant's mail to the outside says; and what of ours it has for certain now. */
void limits_observed(
	struct outbound *o, const struct conf_tenant *t, const struct limit_observation *seen);
uint32_t limits_ours(struct outbound *o, const struct conf_tenant *t);
enum limit_side flow_side(const struct mail_flow *flow);
/* What it may take now: of both sides, but where one has to wait and the other has not. */
enum limit_side limits_take_side(const struct lane *l);
/* When to look again for room. */
#define LIMIT_SCOPE_KINDS "mctoei" /* how the keys of these scopes begin (limit/book.h) */
#define LIMITS_LOOK_US (5 * US_PER_S)
struct mono_time limits_room_at(const struct lane *l, enum limit_side side);

uint32_t lane_per_domain(const struct lane *l); /* recipients of one domain; 0: no limit */
void lane_tell_order(struct lane *l);           /* how it stands: after each change */
void lane_tell_doors(const struct lane *l);     /* all of its mailbox */
/* What its mailbox may send has changed: its other doors may wait for that. */
void lane_room_changed(const struct lane *l);
/* Connections: as configured; and as its server lets it have them. */
uint32_t lane_connections_limit(const struct lane *l);
uint32_t lane_connections_max(const struct lane *l);
/* Its server has told a connection of that era that there are too many. True: having fewer is all that is to be done. */
bool lane_has_too_many(struct lane *l, uint64_t era);
void lane_message_passed(struct lane *l); /* by one of its connections */

/* ---- pools.c ---- */
/* Its mailboxes and their lanes, from when mail first waits for it. */
void pool_make(struct outbound *o, const struct conf_pool *p);
void pools_reload(struct outbound *o); /* all lanes have the new snapshot */
void pools_start(struct outbound *o);  /* the ledger is read */
/* What a mailbox may take has changed; one that is in no pool: nothing happens. */
void pool_tell(struct member *m);
void pools_tell_stale(struct outbound *o); /* those whose day has gone on */

void members_free(struct outbound *o);
void outbound_wake(struct outbound *o); /* lanes with work look for it soon */

/* ---- sender.c ---- */
void lane_configure(struct lane *l); /* after a new snapshot */
void lane_pump(struct lane *l);      /* looks for work now; never from inside a connection */
bool lane_rests(struct lane *l);     /* nothing may leave by its idle connections now */

/* ---- flows.c ---- */
struct sched_flow *flow_get(struct outbound *o, const struct mail_flow *key); /* and its lanes */
/* Mail waits there, due then; those who may take it are told. Recipients 0: it waited there before. */
void flow_add(
	struct outbound *o, const struct mail_flow *key, uint32_t recipients, struct wall_time due);
/* A wildcard's mailbox of which it waits to have a place (crowd.c). */
bool flow_is_crowded_out(struct outbound *o, const struct mail_flow *key);
/* The lane by which its mail would leave now; NULL: none. */
struct lane *lane_of_flow(struct outbound *o, const struct mail_flow *key);
struct lane *lane_first_of(struct outbound *o,
	const struct mail_flow *key); /* if none were held; NULL: none, or there is no place */
/*
 * Its flow in the queue of the other members that can carry it, `by` this lane's; of other tenants only: where all doors
 * of one share the trouble. NULL: there is none.
 */
const struct mail_flow *flow_without(const struct lane *by, bool other_tenant,
	const struct store_message *m, const struct store_recipient *r, struct arena *a);
/*
 * Of a pool's mail: the flow in which it waits for the mailbox of this lane alone, since an attempt of it ended uncertain (another one
 * would send it again, under another address) or was refused for reputation (so would be the next). NULL: it stays where it was.
 */
const struct mail_flow *flow_bound(
	const struct lane *l, const struct mail_flow *flow, struct arena *a);
void flows_wake(void *outbound);
/* It is committed: the lane that it would have gone by, were that not held, remembers where it went. */
void flow_left_by(const struct lane *l, const struct mail_flow *key, size_t recipients);

/* ---- flows_read.c ---- */
/* Mail there has no member any more: it looks for its route. Of one message; id 0: of all. */
void flows_resolve(struct outbound *o, const struct mail_flow *flow, uint64_t id);
void flows_take_over(void *outbound); /* some of what was read */
void flows_read_again(void *outbound);
/* Asks the queue what waits where; then `then`, if it is not NULL. */
void flows_look(struct outbound *o, void (*then)(struct outbound *o));

/* ---- take.c ---- */
void delivery_take(struct lane *l, const struct sched_pick *pick, bool probe);

/* ---- reload.c ---- */
/* What an administrator should not overlook, at the start and after each reload. */
void outbound_say_loudly(const struct conf *conf);

/* ---- fresh.c ---- */
/* Those that are not in `fresh`, which may be NULL, are made again when they are needed. */
void outbound_take_tls(struct outbound *o, struct outbound_fresh *fresh);
struct io_tls *outbound_tls(struct lane *l, struct err *err); /* borrowed */
/* NULL: nobody has read it. `f` may be NULL. */
const struct secret *outbound_fresh_secret(
	const struct outbound_fresh *f, const struct conf_secret *where, const char **out_warning);

/* ---- overdue.c, overdue_when.c ---- */
struct overdue *overdue_new(struct outbound *o);
void overdue_free(struct overdue *v);
void overdue_start(struct outbound *o, bool waits); /* `waits`: there is mail of before */
/* Something that waits is to be looked at then. */
void overdue_expect(struct outbound *o, struct wall_time at);
void overdue_expect_new(struct outbound *o); /* mail that came now */
/* Mail that is over when its turn comes is not sent: it ends by the look that comes now. */
bool overdue_passes_over(struct lane *l, const struct store_message *m);
/* A new change. True: it is of the look, which waits until overdue_written(). */
bool overdue_adopts(struct outbound *o);
void overdue_written(struct outbound *o);

/* ---- secrets.c ---- */
void lane_load_secrets(struct lane *l); /* may hold the lane; may take a while (secrets_job) */
/* After a reload; `before`: what it was, or NULL. */
void lane_reload_secrets(struct lane *l, const struct conf_lane *before);
void lane_forget_secrets(struct lane *l);

/* ---- token.c ---- */
/* Ends in connection_take_slot(), or in a hold and c->ended; maybe before it returns. */
void connection_ask_token(struct connection *c);
/* The server refused it. True: another one may do, and is tried at once. */
NODISCARD bool connection_token_refused(struct connection *c, const struct verdict *v);

/* ---- park.c ---- */
struct park_heard {
	const struct verdict *verdict;
	struct sv reply, transcript;
	const struct sched_retry *retry; /* for a lane that only waits */
};
/* What was heard holds it. Returns what happened (sched/hold.h); 0: a person must release it, and it stays as it is. */
unsigned park_set(struct lane *l, struct sched_hold *h, const struct park_heard *heard);
/* The tenant's sign-in does not work: every lane of it that needs a token. False: no tenant. */
NODISCARD bool park_set_sign_in(struct lane *l, const struct verdict *v, struct sv reply);
void park_clear_sign_in(struct lane *l); /* a token came */
/* What stops this message now, and is not its lane's; NULL: nothing, or its probe is due. */
const struct sched_hold *park_find(struct lane *l, struct sv sender, struct sv recipient);
/* The same, also where its probe is due. */
const struct sched_hold *park_of(struct lane *l, struct sv sender, struct sv recipient);
/* Who caused what may hold mail of this flow on this lane. How many. */
size_t park_culprits(struct lane *l, const struct mail_flow *flow, uint64_t out[PARK_CULPRITS_MAX]);
struct sv park_sender(struct arena *a, struct sv sender); /* as a flow's `sender` names it */
void parks_tell_order(void *outbound);                    /* what time, or a person, has changed */
/* What each refusal holds: sets `alone` where that is only its message, and remembers it. */
void park_weigh(struct delivery *d);
/* The message leaves. `probe`: for its lane; for what else is due for one, this is it. */
void park_begin(struct delivery *d, bool probe);
/* What it says of holds. Returns the part that holds its lane; NULL: none does. */
const struct sched_part *park_spread(struct delivery *d, const struct sched_attempt *a);
void park_withdraw(struct delivery *d); /* it never left */
struct sched_mail park_mail(const struct delivery *d);
/* To the outside of its tenant, where that matters now. */
bool park_is_external(const struct lane *l, struct sv recipient);
/* What was held is tried: all but lanes, and what a person must release. */
void park_probe_all(struct outbound *o);
/* What holds this lane or a sender on it is tried now. True: a stop for reputation was among it. */
bool park_probe_lane(struct lane *l);
void park_loaded(struct outbound *o, const struct store_park_row *row);
/* A row of what is no hold, kept beside them. Copies it. */
void park_keep(struct outbound *o, const struct store_park_row *row, bool clear);
/* Waits or parks by the verdict; the mail that has not left goes back to the queue soon. `transcript`: of the session that
 * failed; may be empty. */
void lane_hold(struct lane *l, const struct verdict *v, struct sv reply, struct sv transcript);
void lane_hold_for_token(struct lane *l, const struct verdict *v, struct sv reply);
/* Does what has happened to holds; `l`: where it showed. NULL: it only changed. */
void parks_execute(struct outbound *o, struct lane *l);

/* ---- witness.c ---- */
/* What a reply at this stage may repeat; `recipient`: at RCPT. In the delivery's memory. */
struct provider_own witness_words(
	struct delivery *d, enum smtp_client_stage stage, size_t recipient);
struct sched_refusal witness_of(struct delivery *d, const struct delivery_recipient *r);
void witness_keep_header(struct delivery *d); /* before its body is read on */

/* ---- delivery.c ---- */
struct delivery *delivery_new(struct lane *l);
void delivery_free(struct delivery *d);
void delivery_wait(struct delivery *d); /* it is committed, for a connection of its lane */
struct delivery *delivery_next(
	struct lane *l); /* that waits, and is the caller's now; NULL: none */
/*
 * It has its connection. Gets ready what leaves. False: not yet, connection_begin() is called again when
 * the header is read; or it is finished, and the connection has no delivery any more.
 */
NODISCARD bool delivery_ready(
	struct delivery *d, const struct conf *conf, const struct conf_lane *c);
/* What leaves, for any door: sender, recipients (one, when all are redirected), size. In its memory. */
const struct smtp_client_message *delivery_message(struct delivery *d);
void delivery_feed(struct delivery *d); /* the connection has room for more body */
void delivery_set_recipients(
	struct delivery *d, const struct store_recipient *recipients, size_t count);
/* The dot leaves, or whatever a door has for it: from here on a lost answer is uncertain. */
void attempt_release(struct delivery *d);

/* ---- delivery_end.c ---- */
/* Everybody who is not refused already gets this verdict; `said`: what the server had heard. */
void delivery_judge_rest(
	struct delivery *d, const struct verdict *v, struct sv reply, enum sched_said said);
/* The attempt is over: verdicts to deeds, deeds to the queue. The connection is free from here on; `d` is gone. */
void delivery_finish(struct delivery *d);
/* Never left: back to the queue, with the reason. NULL verdict: none. */
void delivery_withdraw(struct delivery *d, const struct verdict *v, struct sv reply);
/* What sched/verdict is told of it. In the delivery's memory. */
struct sched_attempt delivery_facts(struct delivery *d);
/* It never left: its place in the queue is given back, due now, unless the caller sets other outcomes. `d` is gone. */
struct change *delivery_return(struct delivery *d);

/* ---- change.c ---- */
/* Copies all. Outcomes are not set yet. */
struct change *change_new(struct lane *l, const struct store_message *m,
	const struct store_recipient *recipients, size_t count);
/* Takes the memory over in which all is. */
struct change *change_of(struct lane *l, struct arena *arena, const struct store_message *m,
	struct store_recipient *recipients, size_t count);
/* The same for all. */
void change_set(struct change *c, enum store_recipient_state state, struct wall_time next_at,
	const struct verdict *v, struct sv reply);
/* Of recipient `i`, by the answer that it got as this part of the attempt. */
void change_decide_one(struct change *c, const struct sched_attempt *a, size_t part, size_t i);
/* What holds the lane now sends mail on to another: who was refused for that does not wait for this one. */
void change_pass_on(struct change *c);
void change_log(const struct change *c, size_t i, struct sv redirected_to);
void change_write(struct change *c); /* and that is all */

/* ---- waiting.c ---- */
void waiting_expire(struct lane *l, const struct store_message *m);
/* Its sender is told; it is looked at again then. */
void waiting_delayed(struct lane *l, const struct store_message *m, struct wall_time look_at);
void waiting_reroute(struct lane *l, const struct store_message *m);

/* ---- answer.c ---- */
void delivery_event(struct delivery *d, const struct smtp_client_event *e);

/* ---- connection.c ---- */
/* How it stands with them. */
struct lane_sessions {
	uint32_t opening, idle;
	uint32_t ending;  /* its message is on its way; then it takes another */
	bool has_session; /* one is known to be let in */
};
struct lane_sessions lane_sessions(const struct lane *l);
void lane_turn_back(struct lane *l);                           /* who is on the way to its door */
void lane_drain_connections(struct lane *l);                   /* no more messages */
void lane_give_up_connections(struct lane *l);                 /* draining takes too long */
uint32_t lane_ready_connections(const struct lane *l);         /* idle ones, whose token is good */
struct connection *lane_idle_connection(const struct lane *l); /* NULL: none */
/* Till when messages may be given to it; MONO_NEVER without a token. */
struct mono_time connection_token_until(const struct connection *c);
struct connection *connection_open(struct lane *l);
void connection_give(struct connection *c, struct delivery *d);
void connection_body(struct connection *c, struct sv bytes, bool end);
void connection_begin(struct connection *c); /* its delivery, as soon as that is ready */
bool connection_has_room(const struct connection *c);
void connection_pump(struct connection *c);
void connection_abandon(struct connection *c); /* gives the running transaction up */
/* If it is one too many for its server, it ends with its message; the verdict says then what that means. True: only to it. */
bool connection_is_too_many(struct connection *c, struct verdict *v);
void connection_quit(struct connection *c);      /* an idle one */
void connection_take_slot(struct connection *c); /* it may connect, now or when its turn comes */
void connection_open_now(struct connection *c);  /* its turn has come */
/* For the kinds. A message may be given now; once it is idle, c may be closed in here. */
void connection_ready(struct connection *c);
/* What was said in it since it was idle, without secrets; in the arena. */
struct sv connection_transcript(const struct connection *c, struct arena *a);
/* The endpoint could not be reached: the lane waits or parks, and c has ended. */
void connection_unreachable(struct connection *c, int rc, const char *text);

/* ---- endpoint.c ---- */
struct endpoint *endpoint_get(struct outbound *o, const struct conf_lane *c); /* makes it */
void endpoints_free(struct outbound *o);
bool endpoint_has_room(struct endpoint *e);
void endpoint_wait(struct endpoint *e, struct lane *l); /* it is pumped when there is room */
/* The life of a handshake; a connection without an endpoint is left alone. */
void endpoint_begin(struct connection *c);
void endpoint_accepted(struct connection *c);
void endpoint_heard(struct connection *c);
void endpoint_end(
	struct connection *c, enum sched_handshake_end end); /* once; then it does nothing */
/* Connections of all endpoints together. */
bool connections_have_room(const struct outbound *o);
bool connections_are_scarce(
	const struct lane *l); /* others wait for one, of its endpoint or of all */

/* ---- turns.c ---- */
void endpoint_serve(void *endpoint);                       /* who waits for it */
void connections_wait(struct outbound *o, struct lane *l); /* and one that rests is closed for it */
void connections_serve(void *outbound);
void connections_give_way(struct lane *l); /* what rests is closed, if another lane waits */

/* ---- bounce.c ---- */
struct bounce_job;
void change_tell(struct change *c); /* its sender, where he wants it; then it is written */
/* Tells the sender; `then` runs when the notice is in the queue, or was not needed. */
void bounce_send(struct change *c, void (*then)(struct change *c));
