/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/htable.h"
#include "store/store_priv.h"

#include <sqlite3.h>

/*
 * The embedded store (docs/design-queue.md). Row ids carry structure, so that one look-up finds what
 * belongs to a message:
 *   message.id                      51 bits
 *   chunk, recipient, attempt .id   message.id << 12 | number within the message
 * recipient.due is set while a recipient waits: its next attempt's time, or DUE_HELD; NULL while it is
 * in an open attempt or final. Only waiting rows stand in the indexes, so the usual message (stored
 * already claimed, delivered at once) never touches one. recipient.look stays through attempts; 0: soon.
 */
enum {
	STORE_NUMBER_BITS = 12,
	STORE_NUMBER_MAX = (1 << STORE_NUMBER_BITS) - 1,
	STORE_INLINE_CHUNKS =
		4, /* a body of so many chunks goes with the outcome; larger ones later */
	STORE_REAP_CHUNKS = 16,   /* of dead bodies in one commit: 1 MiB */
	STORE_SHRINK_PAGES = 256, /* given back to a full disk in one commit */
	STORE_PAGE_BYTES = 4096,
	STORE_WAL_PAGES = 2000, /* then a checkpoint */
};
#define DUE_HELD INT64_MAX

static inline int64_t row_id(uint64_t message_id, uint32_t number)
{
	return (int64_t)(message_id << STORE_NUMBER_BITS | number);
}

static inline uint64_t row_message(int64_t row)
{
	return (uint64_t)row >> STORE_NUMBER_BITS;
}

static inline uint32_t row_number(int64_t row)
{
	return (uint32_t)row & STORE_NUMBER_MAX;
}

enum store_sql {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_SAVEPOINT,
	SQL_RELEASE,
	SQL_ROLLBACK_TO,
	SQL_STATE_WRITE,
	SQL_DAY_ADD,
	SQL_DAY_SUM,
	SQL_LANE_ADD,
	SQL_CAUSE_ADD,
	SQL_PARTIAL_ADD,
	SQL_PARTIAL_DROP,
	SQL_DEAD_ADD,
	SQL_DEAD_FROM_PARTIAL,
	SQL_DEAD_FIRST,
	SQL_DEAD_DROP,
	SQL_CHUNK_ADD,
	SQL_CHUNK_DROP,
	SQL_CHUNK_READ,
	SQL_MESSAGE_ADD,
	SQL_MESSAGE_READ,
	SQL_MESSAGE_SUM,
	SQL_MESSAGE_PENDING,
	SQL_MESSAGE_UPDATE,
	SQL_RECIPIENT_ADD,
	SQL_RECIPIENT_READ,
	SQL_RECIPIENTS_OF,
	SQL_RECIPIENT_CLAIM,
	SQL_RECIPIENT_UPDATE,
	SQL_RECIPIENT_CHANGE,
	SQL_RECIPIENT_EDIT,
	SQL_RECIPIENT_FLOW,
	SQL_RECIPIENT_LOOK,
	SQL_ATTEMPT_LAST,
	SQL_ATTEMPT_ADD,
	SQL_ATTEMPT_END,
	SQL_ATTEMPT_DROP,
	SQL_ATTEMPTS_OF,
	SQL_ATTEMPTS_OPEN,
	SQL_ATTEMPT_OPEN_IDS,
	SQL_ATTEMPT_READ,
	SQL_DUE_FIRST,
	SQL_DUE,
	SQL_LOOK,
	SQL_LOOK_NEXT,
	SQL_FLOW_FIRST,
	SQL_FLOW_LAST,
	SQL_FLOW_ADD,
	SQL_FLOW_COUNT,
	SQL_FLOW_READ,
	SQL_FLOW_NEXT,
	SQL_FLOW_DROP,
	SQL_FLOWS_NAMED,
	SQL_AHEAD,
	SQL_SCOPE_ADD,
	SQL_LEDGER_ADD,
	SQL_LEDGER_READ,
	SQL_LEDGER_DROP,
	SQL_COUNT_ADD,
	SQL_COUNTS,
	SQL_PARK_SET,
	SQL_PARK_CLEAR,
	SQL_PARKS,
	SQL_WAITING_FROM,
	SQL_ALL_FROM,
	SQL_SUMMARY,
	SQL_HISTORY_FROM,
	SQL_HISTORY_RESTAMP,
	SQL_HISTORY_DROP_MESSAGE,
	SQL_HISTORY_DROP_RECIPIENTS,
	SQL_HISTORY_DROP_ATTEMPTS,
	SQL_TRANSCRIPT_SET,
	SQL_TRANSCRIPT_TRIM,
	SQL_TRANSCRIPT_READ,
	SQL_TRANSCRIPT_DROP,
	SQL_COUNT
};

/* Texts that repeat in every row are stored as a number; both ways are held in memory. */
struct store_names {
	struct htable numbers; /* text -> (void *)(number) */
	char **texts;          /* NULL: nobody has this number */
	size_t count, cap;
	/* Of flows: numbers that no row has any more. The last is given next. */
	int64_t *spare;
	size_t spare_count, spare_len,
		spare_cap; /* `len`: those that the open transaction has given, too */
};

/* One row, written with each commit that changes anything. */
struct store_state {
	int64_t commits;         /* tells after a failed COMMIT whether it happened (I4) */
	int64_t messages, bytes; /* that wait */
	int64_t history, history_bytes;
	int64_t steady_us, mono_us; /* see store_steady_now() */
};

enum {
	STORE_LEFT_OUT_MAX = 64
};

/* Which flows a row names: found out step by step. See sqlite_sweep.c. */
struct store_sweep {
	struct mono_time at; /* the next look whether it is worth the while; 0: none yet */
	bool running, reads; /* rows; then flows are dropped */
	uint8_t *named;      /* of each number up to `cap`, while it runs */
	size_t cap, dropped; /* so many of them have been looked at */
	int64_t after;       /* the last row that was read */
	size_t kept;         /* flows that the last one left */
};

struct store_sqlite {
	struct store front;    /* first: store_sqlite_of() */
	sqlite3_vfs gathering; /* of `db`; see sqlite_wal.c */
	sqlite3 *db;
	sqlite3_stmt *sql[SQL_COUNT];
	char path[STORE_PATH_MAX + 16];
	struct store_names lanes, causes, scopes, flows;
	struct store_sweep sweep;            /* of flows without mail */
	struct store_state state, committed; /* of the open transaction; of the last commit */
	bool writing;                        /* the open transaction has changed something */
	bool savepoints;                     /* one for each operation, this time */
	bool half_done;         /* without them: one failed that had changed something */
	unsigned part, without; /* enum store_part: under way; left out, a bit each */
	uint64_t corrupt;       /* times that SQLite met damage */
	uint64_t take_corrupt;  /* of them, when the take under way began */
	int64_t left_out[STORE_LEFT_OUT_MAX]; /* rows, of the operation under way */
	size_t left_out_count;
	int64_t delivered_now, bounced_now; /* of the open transaction */
	int64_t reap_from;                  /* cursor in the history */
	struct mono_time history_at, ledger_at, probe_at;
	bool ids_ahead; /* there are some of a clock that was ahead */
	bool dead_left, history_left, checkpoint_soon, shrink_left;
	int wal_pages;
};

static inline struct store_sqlite *store_sqlite_of(struct store *s)
{
	return CONTAINER_OF(s, struct store_sqlite, front);
}

/* ---- sqlite_migrate.c ---- */
enum {
	STORE_FORMAT = 7
};
/* What more than one format has. */
/* Buckets and kinds of scopes: limit/book.h. */
#define STORE_LEDGER                                                                        \
	"CREATE TABLE scope(id INTEGER PRIMARY KEY, key TEXT UNIQUE);"                      \
	"CREATE TABLE ledger(bucket INTEGER, scope INTEGER, messages, recipients, bytes,"   \
	" PRIMARY KEY(bucket, scope)) WITHOUT ROWID;"                                       \
	"CREATE TABLE count(period INTEGER, name TEXT, amount, PRIMARY KEY(period, name)) " \
	"WITHOUT ROWID;"

#define STORE_LOOK_INDEX "CREATE INDEX recipient_look ON recipient(look) WHERE state=0;"
/* A newer one is refused. */
NODISCARD int store_format_known(struct store_sqlite *s, int64_t version, struct err *err);
/* Brings an older format forward: all of it, or nothing. */
NODISCARD int store_migrate(struct store_sqlite *s, int64_t version, struct err *err);
/* Moves what stands in a table ledger_4, as format 4 had it, into scope, ledger and count; drops it. */
const char *store_ledger_from_4(void);

/* ---- sqlite_wal.c ---- */
/* Makes s->gathering, a VFS named as the path of the queue, around the usual one. */
void store_wal_gather(struct store_sqlite *s, const char *usual);

/* ---- sqlite_sql.c ---- */
/* What makes an empty queue. */
const char *store_schema(void);
NODISCARD int store_exec(struct store_sqlite *s, const char *sql, struct err *err);
/* salvage_replace.c: a repair that was cut short is finished. Before the file is opened. */
NODISCARD int store_finish_repair(struct sv data_dir, struct err *err);
NODISCARD int store_db_open(struct store_sqlite *s, struct err *err);
void store_db_close(struct store_sqlite *s);
/* SQLite's code to ours, with the words in err. */
int store_fail(struct store_sqlite *s, int sqlite_rc, struct err *err);
/* The statement, reset and ready to be bound. */
sqlite3_stmt *store_sql(struct store_sqlite *s, enum store_sql which);
/* Runs a bound statement that gives no rows. 0 or an error. */
NODISCARD int store_run(struct store_sqlite *s, sqlite3_stmt *q, struct err *err);
/* 1: a row, 0: the end (reset already), or an error. */
NODISCARD int store_step(struct store_sqlite *s, sqlite3_stmt *q, struct err *err);
void store_bind_sv(sqlite3_stmt *q, int at, struct sv text);
/* An empty text as NULL, which takes no room. */
void store_bind_optional(sqlite3_stmt *q, int at, struct sv text);
struct sv store_column_sv(sqlite3_stmt *q, int at); /* until the next step */
struct sv store_column_copy(sqlite3_stmt *q, int at, struct arena *a);

/* ---- sqlite_names.c ---- */
/* A row is about to name this flow: it is not swept away. */
void store_sweep_named(struct store_sqlite *s, int64_t flow);
NODISCARD int store_lane_number(
	struct store_sqlite *s, struct sv key, int64_t *out, struct err *err);
NODISCARD int store_scope_number(
	struct store_sqlite *s, struct sv key, int64_t *out, struct err *err);
NODISCARD int store_cause_number(
	struct store_sqlite *s, struct sv cause, int64_t *out, struct err *err);
/* sqlite_flow.c makes and reads these texts. */
NODISCARD int store_flow_text_number(
	struct store_sqlite *s, struct sv text, int64_t *out, struct err *err);
int64_t store_flow_text_known(
	const struct store_sqlite *s, struct sv text); /* 0: no mail ever waited there */
struct sv store_flow_text(const struct store_sqlite *s, int64_t number);
struct sv store_scope_text(const struct store_sqlite *s, int64_t number);
struct sv store_lane_text(const struct store_sqlite *s, int64_t number);
struct sv store_cause_text(const struct store_sqlite *s, int64_t number);
/* Numbers in between belong to nobody. */
void store_names_load(struct store_names *names, int64_t number, struct sv text);
void store_names_free(struct store_names *names);
/* How many there are, and how many are spare. */
struct store_names_mark {
	size_t count, spare;
};
struct store_names_mark store_names_now(const struct store_names *names);
/* Forgets what was given since: the transaction was rolled back. */
void store_names_cut(struct store_names *names, struct store_names_mark mark);
/* No row has this number: its text is forgotten, and another may have it. */
void store_names_spare(struct store_names *names, int64_t number);

/* ---- sqlite_flow.c ---- */
/* sqlite_from_6.c: what brings a format 6 forward, in this database. */
const char *store_flows_from_6(sqlite3 *db);
const char *store_flows_saved(sqlite3 *db); /* the same for a salvage */
void store_flow_render(const struct mail_flow *flow, struct buf *out);
struct mail_flow store_flow_parse(struct sv text);
NODISCARD int store_flow_number(
	struct store_sqlite *s, const struct mail_flow *flow, int64_t *out, struct err *err);
int64_t store_flow_known(const struct store_sqlite *s, const struct mail_flow *flow); /* 0: not */
struct mail_flow store_flow_copy(const struct store_sqlite *s, int64_t number, struct arena *a);
/* Recipients come to wait there, or leave (I15); `bytes`: of their messages. */
NODISCARD int store_flow_count(
	struct store_sqlite *s, int64_t flow, int64_t recipients, int64_t bytes, struct err *err);
/* The same for one after the other: one statement for all that are side by side in one flow. */
struct store_tally {
	int64_t flow, recipients, bytes;
};
struct store_tallies {
	struct store_tally from, to;
	int64_t size; /* of the message; 0: not read yet */
};
NODISCARD int store_flow_tally(struct store_sqlite *s, struct store_tally *t, int64_t flow,
	int sign, int64_t size, struct err *err);
NODISCARD int store_flow_tally_end(struct store_sqlite *s, struct store_tally *t, struct err *err);

/* ---- sqlite_sweep.c ---- */
/* One bounded step, if there is something to do. True: there is more to do now. */
bool store_sweep(struct store_sqlite *s, struct mono_time now);
void store_sweep_stop(struct store_sqlite *s);

/* ---- the operations: what one that fails has changed is undone ---- */
int store_do_chunk(struct store *front, struct store_chunk *op);
int store_do_put(struct store *front, struct store_put *op);
int store_do_abort(struct store *front, struct store_abort *op);
int store_do_take(struct store *front, struct store_take *op);
int store_do_outcome(struct store *front, struct store_outcome *op);
int store_do_look(struct store *front, struct store_look *op);
int store_do_look_later(struct store *front, struct store_look_later *op);
int store_do_body(struct store *front, struct store_body *op);
int store_do_list(struct store *front, struct store_list *op);
int store_do_show(struct store *front, struct store_show *op);
int store_do_edit(struct store *front, struct store_edit *op);
int store_do_summary(struct store *front, struct store_summary *op);
int store_do_flows(struct store *front, struct store_flows *op);
int store_do_ledger_read(struct store *front, struct store_ledger_read *op);
int store_do_counts_read(struct store *front, struct store_counts_read *op);
int store_do_parks_read(struct store *front, struct store_parks_read *op);
int store_do_park(struct store *front, struct store_park *op);

/*
 * ---- sqlite_sum.c: of what never changes in a row, kept with it ----
 * A page that the disk damaged can still look like one. A row of before format 4 has none (NULL).
 */
int64_t store_sum_chunk(int64_t row, struct sv bytes);
int64_t store_sum_message(const struct store_message *m);
int64_t store_sum_recipient(uint64_t message_id, const struct store_recipient *r);
/* Whether the sum in this column is that one, or is absent. */
NODISCARD bool store_sum_fits(sqlite3_stmt *q, int at, int64_t sum);

/* ---- sqlite_rows.c: what several operations read ---- */
/*
 * What an operation can do without, when its page is damaged: then it runs once more, and the part is left out.
 * False: leave it out. The end gives its rc back.
 */
enum store_part {
	STORE_PART_NONE,
	STORE_PART_ATTEMPT, /* the story of an attempt; the state of its recipients is kept */
	STORE_PART_MESSAGE, /* that it is finished: no recipient gets it again */
	STORE_PART_BODY,    /* of a message that is finished: `postern doctor` finds what is left */
	STORE_PART_LEDGER,  /* the windows in memory hold all the same, until a restart */
	STORE_PART_DAY,     /* figures for `status` */
	STORE_PART_FLOW,    /* how much waits in a flow */
	STORE_PART_ROW,     /* one of many: left_out, or known to be damaged */
};
NODISCARD bool store_part_begin(struct store_sqlite *s, enum store_part part);
NODISCARD int store_part_end(struct store_sqlite *s, int rc);
NODISCARD int store_read_message(struct store_sqlite *s, uint64_t id, struct arena *a,
	struct store_message *out, struct wall_time *out_finished_at, struct err *err);
/* With their sums; RC_CORRUPT where one does not fit, or the row is missing. */
NODISCARD int store_read_whole_message(struct store_sqlite *s, uint64_t id, struct arena *a,
	struct store_message *out, struct err *err);
NODISCARD int store_read_whole_recipient(struct store_sqlite *s, int64_t id, struct arena *a,
	struct store_recipient *out, struct err *err);
NODISCARD int store_message_size(
	struct store_sqlite *s, uint64_t id, int64_t *out, struct err *err);
/* Appends from `offset` on, till its end or as much as there is room for. */
NODISCARD int store_read_body(struct store_sqlite *s, uint64_t message_id, uint64_t offset,
	struct buf *out, struct err *err);
NODISCARD int store_next_attempt(
	struct store_sqlite *s, uint64_t message_id, uint32_t *out, struct err *err);
/* Reads the columns of SQL_RECIPIENT_READ and SQL_RECIPIENTS_OF. */
void store_recipient_row(
	struct store_sqlite *s, sqlite3_stmt *q, struct arena *a, struct store_recipient *out);
NODISCARD int store_add_ledger(
	struct store_sqlite *s, const struct limit_entry *rows, size_t count, struct err *err);
NODISCARD int store_put_attempt(
	struct store_sqlite *s, const struct store_attempt *a, struct err *err);
/* Takes `final` recipients off the message's pending count; ends the message at 0. */
NODISCARD int store_message_settle(struct store_sqlite *s, uint64_t id, uint32_t final,
	uint32_t set_flags, struct wall_time at, uint32_t story_bytes, bool *out_finished,
	struct err *err);
static inline bool store_state_is_final(enum store_recipient_state state)
{
	return state >= STORE_RCPT_DELIVERED;
}

/* ---- sqlite_look.c ---- */
NODISCARD bool store_filter_matches(const struct store_sqlite *s, const struct store_filter *f,
	const struct store_message *m, const struct store_recipient *r);
/* The next rows of recipients that may match, in the order of ids. */
NODISCARD size_t store_filter_rows(struct store_sqlite *s, const struct store_filter *f,
	uint64_t after_id, uint32_t after_index, int64_t *out_rows, size_t max, int *out_rc,
	struct err *err);

/* ---- sqlite_group.c: transactions ---- */
/* How far back a failed operation takes the store's own memory. */
struct store_mark {
	struct store_state state;
	struct store_names_mark lanes, causes, scopes, flows;
	int64_t delivered, bounced;
	bool writing;
};
struct store_mark store_mark_now(const struct store_sqlite *s);
void store_mark_back(struct store_sqlite *s, const struct store_mark *m);

/* Runs the chain and commits it; every op has its rc afterwards (STORE_AGAIN: it wants another turn). */
void store_group_run(struct store_sqlite *s, struct store_op *first);
/* Runs one step of housekeeping in a transaction of its own. False: it failed, try another time. */
NODISCARD bool store_group_step(struct store_sqlite *s, int (*step)(struct store_sqlite *s));
NODISCARD int store_write_state(struct store_sqlite *s);
void store_roll_back(struct store_sqlite *s);

/* ---- sqlite_recover.c: what a crash left behind ---- */
NODISCARD int store_recover(struct store_sqlite *s, struct store_recovery *out, struct err *err);
NODISCARD int store_sqlite_each_uncertain(struct store *front,
	void (*each)(void *arg, struct sv lane, uint32_t messages, uint32_t recipients), void *arg,
	struct err *err);
NODISCARD int store_sqlite_resolve_uncertain(
	struct store *front, const struct store_uncertain *how, struct err *err);

/* ---- sqlite_reap.c: bounded work when nobody waits ---- */
/* One step. True when there is more to do now. */
bool store_reap(struct store_sqlite *s, struct mono_time now);
/* Tells the loop how much of the file is free. */
void store_measure(struct store_sqlite *s);
