/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/limits.h"
#include "io/mutex.h"
#include "store/store.h"
#include "store/store_health.h"

#include <stdatomic.h>
#include <sys/stat.h>

/*
 * Between the operations (store.c: hand-over, the thread, ids, time) and what keeps them. A backend is a
 * table of functions over a struct of its own that begins with this one; SQLite's are the files
 * sqlite_*.c. Nothing outside them knows what it is: the tests of the operations run over any backend,
 * and what the audit looks at is a function of the backend (test_bench.h).
 */
/* What one turn of an operation or of housekeeping may look at, whatever the backend. */
enum {
	STORE_REAP_MESSAGES = 200,  /* of old history in one commit */
	STORE_SCAN_MAX = 20000,     /* rows one operation looks at before others get their turn */
	STORE_LIST_SCAN_MAX = 5000, /* the same where each row is looked up by itself */
};

enum {
	STORE_BOOT_ID_MAX = 40,
	STORE_PATH_MAX = 1024,
	STORE_DAMAGED_MAX = 1024, /* messages; more are tried each time */
	STORE_AGAIN = 1, /* from an operation: not finished, put it at the end of the queue */
};

/* 2020-01-01 UTC: message ids count microseconds from here. */
#define STORE_EPOCH_US (INT64_C(1577836800) * (int64_t)US_PER_S)

struct store_damaged {
	uint64_t id, until_us; /* until then it is passed over */
	uint32_t index;        /* of a recipient, or STORE_WHOLE_MESSAGE */
};

struct store {
	const struct store_backend *backend;

	/* Loop thread. */
	struct io_loop *loop;
	struct io_serial *serial; /* NULL until the queue is open for work */
	uint64_t last_id;         /* set by the backend's open: the newest id it holds */
	struct mono_time room_read;
	uint64_t room_bytes;

	/* Between the threads. */
	_Atomic bool closing;
	_Atomic uint64_t stat_commits, stat_operations, stat_failed, stat_reopened;
	_Atomic uint64_t stat_bad_rows;
	_Atomic uint64_t free_pages_bytes;
	_Atomic bool disk_full;
	_Atomic int trouble; /* enum store_trouble; its words are under words_lock */
	struct io_mutex words_lock;
	char trouble_words[240];
	struct store_damage damage;     /* under words_lock, too */
	_Atomic uint64_t busy_since_us; /* the group or step under way began; 0: none is */
	struct io_timer look;           /* loop thread: does the disk answer? */
	bool looking;

	/* Store thread (and the caller of store_open() before it runs). */
	char folder[STORE_PATH_MAX], ballast_path[STORE_PATH_MAX];
	char *vfs;
	char db_path[STORE_PATH_MAX +
		     16]; /* what must stay in its place: see store_folder_is_there() */
	bool folder_known;
	struct mono_time folder_look_at; /* when housekeeping asks next whether it is there */
	struct stat folder_file;
	int lock_fd;
	uint64_t ballast_bytes;
	bool ballast_given, in_spite_of_damage;
	struct store_damaged damaged[STORE_DAMAGED_MAX];
	size_t damaged_count;
	struct mono_time room_look_at;
	uint64_t history_keep_us, history_bytes_max;
	/* As the last commit left them: see store_steady_now(). Read by the backend's open. */
	char boot_id[STORE_BOOT_ID_MAX];
	int64_t kept_steady_us, kept_mono_us;
	int64_t steady_base_us; /* steady time - mono time */
	uint64_t doubtful_us;
};

/* All on the store's thread, or on the opener's before it runs. */
struct store_backend {
	size_t size; /* of its struct */

	/* Opens or makes the queue in s->folder, and finds out what a crash left behind. */
	int (*open)(struct store *s, struct store_recovery *out, struct err *err);
	void (*close)(struct store *s); /* also after an open that failed */
	/* Runs the chain as one group and commits it; every op has its rc afterwards. */
	void (*run)(struct store *s, struct store_op *first);
	/* One bounded step of housekeeping. True: there is more to do now. */
	bool (*step)(struct store *s, struct mono_time now);
	void (*rest)(struct store *s); /* nothing to do: the thread goes to sleep */
	int (*each_uncertain)(struct store *s,
		void (*each)(void *arg, struct sv lane, uint32_t messages, uint32_t recipients),
		void *arg, struct err *err);
	int (*resolve_uncertain)(
		struct store *s, const struct store_uncertain *how, struct err *err);

	/* The operations: what one that fails has changed is undone. 0, STORE_AGAIN, or what went wrong. */
	int (*do_chunk)(struct store *s, struct store_chunk *op);
	int (*do_put)(struct store *s, struct store_put *op);
	int (*do_abort)(struct store *s, struct store_abort *op);
	int (*do_take)(struct store *s, struct store_take *op);
	int (*do_outcome)(struct store *s, struct store_outcome *op);
	int (*do_look)(struct store *s, struct store_look *op);
	int (*do_look_later)(struct store *s, struct store_look_later *op);
	int (*do_body)(struct store *s, struct store_body *op);
	int (*do_list)(struct store *s, struct store_list *op);
	int (*do_show)(struct store *s, struct store_show *op);
	int (*do_edit)(struct store *s, struct store_edit *op);
	int (*do_summary)(struct store *s, struct store_summary *op);
	int (*do_flows)(struct store *s, struct store_flows *op);
	int (*do_ledger_read)(struct store *s, struct store_ledger_read *op);
	int (*do_counts_read)(struct store *s, struct store_counts_read *op);
	int (*do_parks_read)(struct store *s, struct store_parks_read *op);
	int (*do_park)(struct store *s, struct store_park *op);
};

extern const struct store_backend store_backend_sqlite;

/* ---- store.c ---- */
/* Runs one operation by the backend's table. */
NODISCARD int store_op_run(struct store *s, struct store_op *op);
NODISCARD bool store_op_only_reads(const struct store_op *op);
NODISCARD bool store_op_needs_room(const struct store_op *op);

/* The disk does not take anything now: what waits for the thread fails instead of waiting on. */
void store_fail_waiting(struct store *s);

/* ---- store_health.c ---- */
/* Any thread. */
void store_trouble_set(struct store *s, enum store_trouble trouble, const char *words);
void store_trouble_clear(struct store *s);
int store_trouble_fail(struct store *s, struct err *err); /* -EIO, with its words */
enum store_trouble store_trouble_now(struct store *s);
/* Remembers the file that is open, and looks whether it is still where data_dir says. */
void store_folder_note(struct store *s);
bool store_folder_is_there(struct store *s);
/* False: there is no room for it. Nothing is accepted till there is. */
NODISCARD bool store_ballast_make(struct store *s);
/* What was handed over since the room was measured: of the measurement until the next. */
void store_room_spend(struct store *s, size_t bytes);
void store_ballast_give(struct store *s);

/* ---- store_damage.c, on the store's thread ---- */
/* The words count once. */
void store_damage_words(struct store *s, const char *words);
#define STORE_WHOLE_MESSAGE UINT32_MAX
#define STORE_HISTORY_OF (UINT32_MAX - 1) /* a finished one: counted as no message */
void store_damage_note(struct store *s, uint64_t id, uint32_t index, const char *words);
bool store_damage_knows(struct store *s, uint64_t id, uint32_t index);

/* ---- story.c: the results of an attempt as one text column ---- */
NODISCARD int story_open(struct buf *out, const uint32_t *recipients, size_t count);
NODISCARD int story_add(struct buf *out, const struct store_recipient_outcome *r);
/* Cuts one record; false at the end. Views borrow from *text. */
NODISCARD bool story_next(struct sv *text, struct store_attempt_story *out);
