/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/sv.h"
#include "base/time.h"
#include "io/loop.h"
#include "io/serial.h"
#include "limit/book.h"
#include "mail/flow.h"
#include "provider/verdict.h"

/*
 * The durable queue, history and ledger. One thread owns the database; operations are handed to it
 * and their completions run on the loop, in the order of hand-over. All operations handed over since
 * the last commit share one commit (group commit), made at once when the thread is idle, never on a
 * timer. What one bad operation has done is undone, and does not fail the group.
 *
 * docs/design-queue.md has the states, the transitions and the invariants (I1...) cited here.
 *
 * Views inside operations must stay valid until the completion ran (the caller owns them, usually in
 * an arena that lives as long as the operation). A completion gets rc 0 only when the change would
 * survive a power cut.
 *   RC_DISK_FULL        nothing of it remains; say 452
 *   RC_UNKNOWN_OUTCOME  does not reach the caller: the store reopens and looks (I4). One exception:
 *                       store_close() while the disk fails cannot wait for it; close without an answer
 *   other negative      nothing of it remains; say 451
 */
struct store;
struct store_disk;

/*
 * Message ids: microseconds since 2020-01-01 when the message began, made unique and rising (a clock
 * that jumps back does not repeat one); 51 bits. Shown by text_id().
 */
uint64_t store_new_id(struct store *s); /* loop thread; no disk access */

enum store_recipient_state {
	STORE_RCPT_QUEUED,    /* waits for `next_at` */
	STORE_RCPT_OPEN,      /* in an open attempt: outcome unknown if we die */
	STORE_RCPT_HELD,      /* by an operator, or by the policy for uncertain attempts */
	STORE_RCPT_DELIVERED, /* final states from here on */
	STORE_RCPT_BOUNCED,
	STORE_RCPT_EXPIRED,
	STORE_RCPT_DROPPED, /* by an operator */
	STORE_RCPT_COUNT,
};
const char *store_recipient_state_name(enum store_recipient_state state);

enum {
	STORE_MSG_BOUNCE = 1, /* a bounce of ours: never bounces itself (I7) */
	STORE_MSG_8BIT = 2,   /* the body has bytes above 0x7f */
	STORE_MSG_UTF8 =
		4, /* its header is UTF-8 by RFC 6532: SMTPUTF8 is said where it is offered */
	STORE_MSG_DELAY_NOTICED = 8,
	STORE_MSG_FORCE = 16, /* where From is replaced, no Reply-To remembers the original */
	STORE_MSG_APART = 32, /* by HTTPS each recipient gets a copy of his own */
};

struct store_recipient {
	uint32_t index; /* 0.. within the message */
	struct sv address;
	struct sv orcpt;
	uint8_t dsn_notify;
	struct mail_flow flow; /* where it waits, or waited */
	struct sv lane;        /* what carries or carried it: empty before its first attempt */
	struct sv
		rewrite_from; /* envelope sender and From become this when it leaves; usually empty */
	enum store_recipient_state state;
	struct wall_time next_at;
	struct wall_time look_at; /* see struct store_look; 0: soon */
	uint32_t attempts;
	uint32_t uncertain;   /* attempts that ended uncertain */
	struct sv last_reply; /* of the last attempt; or our own words */
	struct sv last_cause; /* slug; "no-route", "uncertain", "held" ... */
};

struct store_message {
	uint64_t id;
	struct wall_time accepted_at;
	struct wall_time expires_at;
	/* After qualify, and after what the user or device of the message prescribes; the plan of a
	 * recipient may replace it when the message leaves. */
	struct sv sender;
	struct sv envid;
	uint8_t dsn_ret;
	uint32_t flags;       /* STORE_MSG_* */
	uint64_t size;        /* bytes of the stored message, header and body */
	uint32_t header_size; /* of which header, with its empty line */
	struct sv message_id; /* ours, with brackets */
	struct sv subject;    /* cut; empty when not kept */
	struct sv user;       /* who gave it: "erp", "local:www-data", "" */
	struct sv client;     /* "[10.0.5.30]:4711", "unix", "maildrop" */
	struct sv listener;
	struct sv device;   /* name of the device that gave it; empty: none */
	uint64_t bounce_of; /* id of the message a bounce speaks of; 0 */
	const struct store_recipient *recipients;
	size_t recipient_count;
};

/* ---- life ---- */

struct store_options {
	struct sv data_dir;
	uint64_t history_keep_us, history_bytes_max;
	/* What can be opened of a damaged queue is opened; else that is RC_CORRUPT, as long as a look at the
	 * indexes and at the newest rows can tell. */
	bool in_spite_of_damage;
	/* store_health.h; NULL: no ballast, the default VFS. Read by store_open() only. */
	const struct store_disk *disk;
};

struct store_recovery {
	uint64_t queued_count;    /* recipients that wait */
	uint64_t uncertain_count; /* attempts found without an outcome */
	uint64_t orphan_chunks;
};

/*
 * Opens or makes the queue; takes an exclusive lock on the folder. Attempts without an outcome become
 * uncertain: their recipients stay OPEN until store_resolve_uncertain(). Runs on the caller's thread.
 */
NODISCARD struct store *store_open(struct io_loop *l, const struct store_options *options,
	struct store_recovery *out_recovery, struct err *err);
/*
 * Finishes what was handed over, commits, closes. False: the disk does not answer. Then the store, those who wait for
 * it and its loop must stay as they are until the process ends.
 */
bool store_close(struct store *s);

/* ---- operations: every one has the same head ---- */

enum store_op_kind {
	STORE_OP_CHUNK,
	STORE_OP_PUT,
	STORE_OP_ABORT,
	STORE_OP_TAKE,
	STORE_OP_OUTCOME,
	STORE_OP_LOOK,
	STORE_OP_LOOK_LATER,
	STORE_OP_BODY,
	STORE_OP_LIST,
	STORE_OP_SHOW,
	STORE_OP_EDIT,
	STORE_OP_SUMMARY,
	STORE_OP_FLOWS,
	STORE_OP_LEDGER_READ,
	STORE_OP_COUNTS_READ,
	STORE_OP_PARKS_READ,
	STORE_OP_PARK,
	STORE_OP_COUNT,
};

struct store_op {
	enum store_op_kind kind;
	struct io_serial_job job; /* these two: private to store/ */
	struct store_op *next;
	void (*done)(struct store_op *op); /* on the loop; the op is the caller's again */
	int rc;
	struct err err;
};

/* Hands an operation over. The op struct stays where it is until `done`. Never blocks on disk. */
void store_submit(struct store *s, struct store_op *op);

/* ---- accepting ---- */

/* One chunk of a large body, written ahead of its message (LIMIT_CHUNK bytes, the last may be less).
 * Chunks of a message that never gets its PUT are reaped at start, or by ABORT. */
struct store_chunk {
	struct store_op op;
	uint64_t message_id;
	uint32_t index;
	struct sv bytes;
};

/* An attempt is opened in the same commit as the message when its lane has room (two commits a message
 * instead of three), else by TAKE. */
struct store_attempt {
	uint64_t message_id;
	uint32_t
		number; /* 1.. within the message: set by TAKE; the attempts of a PUT are 1, 2, ... */
	struct sv lane;
	struct wall_time at;
	const uint32_t *recipients; /* their indexes */
	size_t recipient_count;
};

struct store_put {
	struct store_op op;
	const struct store_message *message;
	struct sv body;       /* chunk number `chunk_count`, i.e. the rest: may be all or empty */
	uint32_t chunk_count; /* chunks already written by CHUNK */
	const struct store_attempt *attempts; /* opened in the same commit */
	size_t attempt_count;
	const struct limit_entry *ledger;
	size_t ledger_count;
};

struct store_abort {
	struct store_op op;
	uint64_t message_id; /* its chunks go; done may be NULL-like: it still must be set */
};

/* ---- delivering ---- */

/*
 * Takes the first message of a flow that is due, with as many of its recipients as may go in one message, and opens their
 * attempt: all in one commit, so that the dot may be released (I5). Reads the first piece of the body, too.
 * RC_NOT_FOUND: nothing is due; nothing changed, out_next_due says when something is.
 */
struct store_take {
	struct store_op op;
	const struct mail_flow *flow;
	struct sv lane;       /* what will carry it */
	struct wall_time now; /* what is due at this time */
	struct wall_time at;  /* of the attempt */
	uint32_t wanted;      /* recipients; at least 1 */
	uint32_t per_domain;  /* at most so many of one domain; 0: no limit */
	bool apart;           /* of a message with STORE_MSG_APART one recipient */
	/* These messages only where nothing else is due: what caused a hold is not its probe. */
	const uint64_t *last;
	size_t last_count;
	/* `recipients` of each becomes the number that was taken, with its sign. */
	struct limit_entry *ledger;
	size_t ledger_count;
	/* From its beginning; its room bounds the read, but is made as large as the header, which may be edited as a whole. What cannot be
	 * read of it leaves it short: STORE_OP_BODY says why. */
	struct buf *body;
	/* Out: in `out_arena`. The message has only the recipients that were taken, OPEN. */
	struct arena *out_arena;
	struct store_message *out_message;
	uint32_t out_attempt; /* its number */
	/* Of what is left in the flow: the first due time, at most `now` if more is due; INT64_MAX: none. */
	struct wall_time out_next_due;
};

struct store_recipient_outcome {
	uint32_t index;
	enum store_recipient_state state; /* QUEUED (again), HELD, DELIVERED, BOUNCED, EXPIRED */
	struct wall_time next_at;         /* for QUEUED */
	struct wall_time look_at;         /* for QUEUED: the next look; 0: as it was */
	const struct mail_flow *flow; /* for QUEUED: it waits there now; NULL: where it waited */
	/* Its route was found anew: this replaces what it had. NULL ptr: it stays. */
	struct sv rewrite_from;
	struct verdict verdict;
	struct sv reply;             /* whole reply, cut at LIMIT_REPLY_KEPT */
	struct sv remote_message_id; /* the one Exchange gave; may be empty */
	bool uncertain;              /* counts one uncertain attempt */
};

enum {
	STORE_TRANSCRIPTS_KEPT = 1000 /* those of the newest failures: 6 MB at most */
};

/* What was counted in a period: "hve m:bulk@contoso.com" in 202611. Kept. */
struct store_count {
	struct sv name;
	uint32_t period;
	uint64_t amount; /* 0: none */
};

/*
 * Closes an attempt. When every recipient of the message is final the message becomes history and its
 * body goes (a few chunks a commit when it is large). A withdrawn attempt (never dot released) leaves
 * no trace but its recipients' states; without a cause of its own they keep what they had.
 *
 * An attempt is closed once, with all of its recipients: RC_NOT_FOUND when it is not open. A change
 * without an attempt leaves alone who does not wait any more (an operator was faster).
 */
struct store_outcome {
	struct store_op op;
	uint64_t message_id;
	uint32_t attempt; /* number; 0: a change without an attempt (expiry, no route) */
	struct wall_time at;
	bool withdrawn;
	struct sv relay; /* "smtp.office365.com[52.97.1.2]:587" */
	struct sv stage; /* words of the stage it ended in; for the timeline */
	/* What was said in an attempt that failed (smtp/transcript.h); empty: nothing. Kept of the last one of a
	 * message, and of so many messages that it stays small. */
	struct sv transcript;
	const struct store_recipient_outcome *recipients;
	size_t recipient_count;
	const struct limit_entry *ledger;
	size_t ledger_count;
	struct store_count count;
	uint32_t set_flags; /* STORE_MSG_DELAY_NOTICED, STORE_MSG_APART */
	bool out_finished;  /* the message is history now */
};

/*
 * Mail that waits is looked at for its age, whatever it waits for: each recipient has a time (look_at) at which it is
 * asked what becomes of it. This is when to ask, not when it ends: who asks gives it the next time, by an outcome or by
 * LOOK_LATER, else it comes with each page. PUT gives the first; it stays through attempts and holds.
 *
 * A page of messages with recipients that are QUEUED, due or not, whose time has come; the oldest time first. At most
 * LIMIT_PAGE recipients.
 */
struct store_look {
	struct store_op op;
	struct wall_time until;
	uint32_t
		limit; /* messages; one whose recipients have different times comes more than once */
	/* Out: only recipients that are to be looked at. */
	struct arena *out_arena;
	struct store_message *out_messages;
	size_t out_count;
	struct wall_time out_next_at; /* the first time after this page; INT64_MAX: none */
};

/* Nothing becomes of them now. Whoever does not wait any more is left alone. */
struct store_look_at {
	uint64_t message_id;
	uint32_t index;
	struct wall_time at;
};
struct store_look_later {
	struct store_op op;
	const struct store_look_at *looks; /* LIMIT_PAGE at most */
	size_t count;
};

/* Reads a piece of a stored message. */
struct store_body {
	struct store_op op;
	uint64_t message_id;
	uint64_t offset;
	struct buf *out;  /* appended; its room bounds the read */
	size_t begun_len; /* private to store/: where this call began, should it run twice */
};

/* ---- flows, parks, ledger ---- */

/* All flows with waiting mail. */
struct store_flow_info {
	struct mail_flow key;
	uint64_t waiting,
		bytes; /* recipients that are QUEUED, exact; bytes: of their messages, counted a recipient */
	struct wall_time next_at; /* first due */
	struct wall_time last_at; /* last due of those that nobody holds; 0: none */
};
struct store_flows {
	struct store_op op;
	struct arena *out_arena;
	struct store_flow_info *out_flows;
	size_t out_count;
};

/* A parked scope survives a restart. `key`: "mailbox:KEY", "sender:KEY:ADDRESS", "tenant:ID", ... */
struct store_park_row {
	struct sv key;
	struct sv cause;
	struct sv summary;
	struct sv reply;
	struct wall_time since;
	struct wall_time probe_at; /* INT64_MAX: none, a person releases it */
	enum verdict_nature nature;
	struct sv
		proof; /* who caused it: sched_proof_write(); empty: nobody, or of an older format */
	struct sv transcript; /* of the session that caused it; may be empty */
};
struct store_park {
	struct store_op op;
	struct store_park_row row;
	bool clear; /* remove instead of set */
};
struct store_parks_read {
	struct store_op op;
	struct arena *out_arena;
	struct store_park_row *out_rows;
	size_t out_count;
};

/*
 * Time for the ledger: rises steadily over restarts and wall clock jumps. Within one boot it follows
 * CLOCK_BOOTTIME; over a reboot it is the wall clock, never less than what was stored.
 */
int64_t store_steady_now(const struct store *s, struct mono_time now);
/*
 * How far the wall clock was ahead of what the queue knew when it was opened, where nobody could tell whether so much
 * time had passed: more than an hour, and no time server has set the clock. Else 0.
 */
uint64_t store_doubtful_us(const struct store *s);

/* A page of the ledger. The same struct again continues behind it. */
struct store_ledger_read {
	struct store_op op;
	int64_t since;     /* buckets behind this one */
	const char *kinds; /* of scopes, by their first letter: "mc" */
	size_t limit;      /* entries that are looked at */
	/* Out: in `out_arena`, which the caller resets. */
	struct arena *out_arena;
	struct limit_entry *out_entries;
	size_t out_count;
	bool out_more;
	bool resumed; /* private to store/, like the next lines: zero at first */
	int64_t after_bucket, after_scope;
	bool begun_resumed; /* where this call began, should it run twice */
	int64_t begun_bucket, begun_scope;
};

struct store_counts_read {
	struct store_op op;
	uint32_t period;
	struct arena *out_arena;
	struct store_count *out_counts;
	size_t out_count;
};

/* ---- looking and editing (control socket) ---- */

struct store_filter {
	uint64_t id;      /* 0: any */
	struct sv sender; /* address patterns; empty: any */
	struct sv recipient;
	/* Key of what carries or carried it, or a name that all doors of this name have ("graph/NAME"); or, while it
	 * waits, a member of its queue: the first, or any. Empty both: wherever it is. */
	struct sv lane, member;
	bool any_member;
	const struct mail_flow *flow;                   /* waits in this flow; NULL: any */
	struct sv cause;                                /* of the last attempt */
	int state;                                      /* enum store_recipient_state, or -1 */
	bool waiting_only;                              /* not final */
	struct wall_time accepted_from, accepted_until; /* 0: open */
	struct wall_time due_after; /* waits, and is due later than this; 0: any */
};

/* Recipients with their messages, newest id last; a page at a time. */
struct store_list_row {
	struct store_message message; /* without recipients[] */
	struct store_recipient recipient;
	struct wall_time finished_at; /* 0: not yet */
};
struct store_list {
	struct store_op op;
	struct store_filter filter;
	uint64_t after_id;
	uint32_t
		after_index; /* continue behind this recipient; UINT32_MAX with after_id 0: start */
	uint32_t limit;      /* rows, at most LIMIT_PAGE; the scan behind is bounded too */
	struct arena *out_arena;
	struct store_list_row *out_rows;
	size_t out_count;
	bool out_more;     /* after_id/after_index were moved; call again */
	uint64_t begun_id; /* private to store/: where this call began, should it run twice */
	uint32_t begun_index;
};

struct store_attempt_story {
	uint32_t number;
	struct sv lane, relay, stage;
	struct wall_time at, ended_at; /* ended_at 0: open */
	bool uncertain;
	uint32_t index; /* recipient */
	enum verdict_kind kind;
	enum verdict_scope scope;
	struct sv cause, reply, remote_message_id;
};
struct store_show {
	struct store_op op;
	uint64_t message_id;
	struct arena *out_arena;
	struct store_message *out_message; /* with all recipients */
	struct wall_time out_finished_at;
	struct store_attempt_story
		*out_attempts; /* oldest first; one row per attempt and recipient */
	size_t out_attempt_count;
	struct sv out_transcript; /* of the last attempt that failed; empty: not kept */
	uint32_t out_transcript_attempt;
	/* A number a recipient: messages that are due before it in its flow. Counted for the first few that
	 * are queued and up to a bound; else STORE_AHEAD_UNKNOWN. */
	uint64_t *out_ahead;
};
#define STORE_AHEAD_UNKNOWN UINT64_MAX

enum store_edit_kind {
	STORE_EDIT_RETRY,
	STORE_EDIT_HOLD,
	STORE_EDIT_RELEASE,
	STORE_EDIT_DROP,
	STORE_EDIT_REROUTE
};
struct store_edit_row {
	uint64_t id;
	uint32_t index;
};
/* Changes recipients that wait (QUEUED or HELD), never OPEN ones. Bounded: call again while out_more.
 * Who is rerouted waits for this member alone: an operator chose it and no other. */
struct store_edit {
	struct store_op op;
	enum store_edit_kind kind;
	struct store_filter filter;
	const struct store_edit_row *rows; /* of what the filter selects, these alone; NULL: all */
	size_t row_count;                  /* at most LIMIT_PAGE */
	struct sv queue;                   /* REROUTE: its new queue, one member */
	struct wall_time at;
	uint64_t after_id;
	uint64_t out_changed;
	bool out_more;
	uint64_t begun_id; /* private to store/: where this call began, should it run twice */
};

struct store_summary_row {
	struct mail_flow flow;
	int64_t number; /* of the flow; private to store/ */
	struct sv cause;
	enum store_recipient_state state;
	uint64_t count;
	struct wall_time oldest_at;
};
struct store_summary {
	struct store_op op;
	struct arena *out_arena;
	struct store_summary_row *out_rows;
	size_t out_count;
	uint64_t out_messages_waiting, out_bytes_waiting, out_history_messages;
	uint64_t out_delivered_day, out_bounced_day;
	bool resumed; /* private to store/, like the next line: zero at first */
	int64_t after_flow, after_due, after_id;
	size_t begin;
};

/* After start: what becomes of recipients of attempts that have no outcome. */
enum store_uncertain_policy {
	STORE_UNCERTAIN_RETRY,
	STORE_UNCERTAIN_HOLD,
	STORE_UNCERTAIN_ASSUME_SENT
};
/* Blocking; before the loop runs. Recipients wait until `retry_at` under RETRY. */
struct store_uncertain {
	enum store_uncertain_policy policy;
	struct wall_time now, retry_at;
	/* Entries that count such an attempt until nobody can have counted it later; NULL: none. How many. Asked
	 * again if the commit is repeated. */
	size_t (*ledger)(void *arg, struct sv lane, uint32_t recipients,
		struct limit_entry out[LIMIT_ENTRIES_MAX]);
	/* Where a recipient of it waits from now on; NULL: where it did. */
	const struct mail_flow *(*flow)(
		void *arg, struct sv lane, const struct mail_flow *flow, struct arena *arena);
	void *arg;
};
NODISCARD int store_resolve_uncertain(
	struct store *s, const struct store_uncertain *how, struct err *err);
/*
 * Before that: how much of each lane's limits the open attempts may have used. The owner counts it as
 * occupied from now on (docs: limits as the receiver sees them). Blocking; one call per lane.
 */
NODISCARD int store_each_uncertain(struct store *s,
	void (*each)(void *arg, struct sv lane, uint32_t messages, uint32_t recipients), void *arg,
	struct err *err);
