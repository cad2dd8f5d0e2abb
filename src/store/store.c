/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "base/must.h"
#include "io/file.h"
#include "store/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum {
	ROOM_FRESH_US = 200 * 1000, /* how old a measurement of the disk may be */
	IDLE_WAKE_S = 5,            /* housekeeping looks at the clock so often */
	FULL_WAKE_S = 1,
};

const char *store_recipient_state_name(enum store_recipient_state state)
{
	static const char *const names[STORE_RCPT_COUNT] = {
		"queued", "open", "held", "delivered", "bounced", "expired", "dropped"
	};

	return names[state];
}

/* ---- ids and steady time ---- */

uint64_t store_new_id(struct store *s)
{
	int64_t now = io_wall(s->loop).us - STORE_EPOCH_US;
	uint64_t id = now > 0 ? (uint64_t)now : 0;

	if (id <= s->last_id)
		id = s->last_id + 1;
	s->last_id = id;
	return id;
}

int64_t store_steady_now(const struct store *s, struct mono_time now)
{
	return (int64_t)now.us + s->steady_base_us;
}

/* Within one boot CLOCK_BOOTTIME goes on; over a reboot the wall clock stands in, never backwards. */
static void set_steady_base(struct store *s)
{
	struct mono_time now = io_clock_mono();
	CLEANUP(buf_deinitp) struct buf boot = BUF_INIT(BOOT_ID_MAX - 1);
	struct sv id;
	int64_t steady;

	if (io_file_read("/proc/sys/kernel/random/boot_id", BOOT_ID_MAX - 1, &boot, NULL) != 0)
		buf_reset(&boot);
	id = sv_trim(buf_sv(&boot));
	if (id.len && id.ptr[id.len - 1] == '\n')
		id.len--;
	if (id.len && sv_eq(id, sv_from(s->boot_id)) && (int64_t)now.us >= s->state.mono_us) {
		s->steady_base_us = s->state.steady_us - s->state.mono_us;
		return;
	}
	steady = io_clock_wall().us;
	if (steady < s->state.steady_us)
		steady = s->state.steady_us;
	s->steady_base_us = steady - (int64_t)now.us;
	(void)snprintf(s->boot_id, sizeof(s->boot_id), "%.*s", SV_ARG(id));
}

/* ---- the thread ---- */

static struct store_op *take_all(struct store *s, bool *out_closing)
{
	struct store_op *chain;

	must(pthread_mutex_lock(&s->lock) == 0);
	chain = s->in_first;
	s->in_first = s->in_last = NULL;
	*out_closing = atomic_load(&s->closing);
	must(pthread_mutex_unlock(&s->lock) == 0);
	return chain;
}

static void wait_for_work(struct store *s)
{
	struct timespec until;

	must(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
	/* While the disk is full somebody waits for the moment it is not. */
	until.tv_sec += s->ballast_given ? FULL_WAKE_S : IDLE_WAKE_S;
	must(pthread_mutex_lock(&s->lock) == 0);
	s->sleeping = true;
	if (!s->in_first && !atomic_load(&s->closing)) {
		int rc = pthread_cond_timedwait(&s->work, &s->lock, &until);

		must(rc == 0 || rc == ETIMEDOUT);
	}
	s->sleeping = false;
	must(pthread_mutex_unlock(&s->lock) == 0);
}

/* Hands the finished ones to the loop, and the unfinished ones back to the queue. */
static void give_back(struct store *s, struct store_op *chain)
{
	bool any_done = false;

	must(pthread_mutex_lock(&s->lock) == 0);
	while (chain) {
		struct store_op *op = chain;
		bool again = op->rc == STORE_AGAIN;
		struct store_op **first = again ? &s->in_first : &s->done_first;
		struct store_op **last = again ? &s->in_last : &s->done_last;

		chain = op->next;
		op->next = NULL;
		if (*last)
			(*last)->next = op;
		else
			*first = op;
		*last = op;
		any_done |= !again;
	}
	must(pthread_mutex_unlock(&s->lock) == 0);
	if (any_done)
		io_wakeup_send(s->wakeup);
}

int64_t store_free_pages(struct store *s)
{
	int64_t pages = 0;
	sqlite3_stmt *q = NULL;

	if (!s->db || sqlite3_prepare_v2(s->db, "PRAGMA freelist_count", -1, &q, NULL) != SQLITE_OK)
		return 0;
	if (sqlite3_step(q) == SQLITE_ROW)
		pages = sqlite3_column_int64(q, 0);
	(void)sqlite3_finalize(q);
	return pages;
}

static void measure(struct store *s)
{
	atomic_store_explicit(&s->free_pages_bytes,
		(uint64_t)store_free_pages(s) * STORE_PAGE_BYTES,
		memory_order_relaxed);
}

static void *run(void *arg)
{
	struct store *s = arg;
	bool closing = false;

	for (;;) {
		struct store_op *chain = take_all(s, &closing);

		if (chain) {
			store_group_run(s, chain);
			give_back(s, chain);
			(void)store_reap(s, io_clock_mono());
			continue;
		}
		if (closing)
			return NULL;
		if (store_reap(s, io_clock_mono()))
			continue;
		measure(s);
		wait_for_work(s);
	}
}

static void on_done(void *arg)
{
	struct store *s = arg;
	struct store_op *chain;

	must(pthread_mutex_lock(&s->lock) == 0);
	chain = s->done_first;
	s->done_first = s->done_last = NULL;
	must(pthread_mutex_unlock(&s->lock) == 0);
	while (chain) {
		struct store_op *op = chain;

		/* `done` may free the op. */
		chain = op->next;
		op->next = NULL;
		op->done(op);
	}
}

/* A group that was rolled back runs again, and what moves while it runs must begin where it began. */
static void note_begin(struct store_op *op)
{
	if (op->kind == STORE_OP_BODY) {
		struct store_body *body = CONTAINER_OF(op, struct store_body, op);

		body->begun_len = body->out->len;
	} else if (op->kind == STORE_OP_LIST) {
		struct store_list *list = CONTAINER_OF(op, struct store_list, op);

		list->begun_id = list->after_id;
		list->begun_index = list->after_index;
	} else if (op->kind == STORE_OP_EDIT) {
		struct store_edit *edit = CONTAINER_OF(op, struct store_edit, op);

		edit->begun_id = edit->after_id;
	}
}

void store_submit(struct store *s, struct store_op *op)
{
	bool wake;

	must(op->done != NULL);
	note_begin(op);
	op->next = NULL;
	op->rc = 0;
	must(pthread_mutex_lock(&s->lock) == 0);
	if (s->in_last)
		s->in_last->next = op;
	else
		s->in_first = op;
	s->in_last = op;
	wake = s->sleeping;
	must(pthread_mutex_unlock(&s->lock) == 0);
	atomic_fetch_add_explicit(&s->stat_operations, 1, memory_order_relaxed);
	if (!s->open_for_work)
		store_thread_start(s);
	else if (wake)
		must(pthread_cond_signal(&s->work) == 0);
}

void store_thread_start(struct store *s)
{
	sigset_t all, before;

	must(!s->open_for_work);
	s->open_for_work = true;
	/* Signals are the loop's. */
	(void)sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	must(pthread_create(&s->thread, NULL, run, s) == 0);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

/* ---- life ---- */

static int lock_folder(struct store *s, struct err *err)
{
	char path[STORE_PATH_MAX + 16];
	int rc;

	(void)snprintf(path, sizeof(path), "%s/lock", s->folder);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, rc_text(-errno));
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
	return err_set(err,
		rc,
		rc == -EBUSY ? "the queue in %s is in use by another postern"
			     : "cannot lock the queue in %s",
		s->folder);
}

static int set_paths(struct store *s, const struct store_options *o, struct err *err)
{
	int n = snprintf(s->folder, sizeof(s->folder), "%.*s", SV_ARG(o->data_dir));

	if (n <= 0 || (size_t)n + 32 > sizeof(s->folder))
		return err_set(err, -ENAMETOOLONG, "data_dir is too long");
	(void)snprintf(s->path, sizeof(s->path), "%.*s/queue.db", SV_ARG(o->data_dir));
	(void)snprintf(
		s->ballast_path, sizeof(s->ballast_path), "%.*s/ballast", SV_ARG(o->data_dir));
	return 0;
}

static int open_all(
	struct store *s, const struct store_options *o, struct store_recovery *out, struct err *err)
{
	int rc = set_paths(s, o, err);

	if (rc == 0)
		rc = io_folder_make(s->folder, 0700, err);
	if (rc == 0 && io_disk_is_network(s->folder))
		rc = err_set(err,
			RC_CONFIG,
			"data_dir %s is on a network file system, which cannot promise that a "
			"message is "
			"safe: use a local disk",
			s->folder);
	if (rc == 0)
		rc = lock_folder(s, err);
	if (rc == 0)
		rc = store_db_open(s, err);
	if (rc == 0)
		rc = store_recover(s, out, err);
	if (rc == RC_DISK_FULL) {
		store_ballast_give(s);
		/* Opening writes, too: then there is no database yet. */
		rc = s->db ? 0 : store_db_open(s, err);
		if (rc == 0)
			rc = store_recover(s, out, err);
	}
	if (rc == 0)
		set_steady_base(s);
	return rc;
}

static void free_store(struct store *s)
{
	store_db_close(s);
	store_names_free(&s->lanes);
	store_names_free(&s->causes);
	io_closep(&s->lock_fd);
	free(s->vfs);
	io_wakeup_free(s->wakeup);
	(void)pthread_cond_destroy(&s->work);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

struct store *store_open(struct io_loop *l, const struct store_options *options,
	struct store_recovery *out_recovery, struct err *err)
{
	struct store *s = xcalloc(1, sizeof(*s));
	pthread_condattr_t attr;

	must(pthread_condattr_init(&attr) == 0);
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	must(pthread_mutex_init(&s->lock, NULL) == 0);
	must(pthread_cond_init(&s->work, &attr) == 0);
	(void)pthread_condattr_destroy(&attr);
	s->loop = l;
	s->lock_fd = -1;
	s->vfs = options->vfs ? sv_dup(sv_from(options->vfs)) : NULL;
	s->ballast_bytes = options->ballast_bytes;
	s->history_keep_us = options->history_keep_us;
	s->history_bytes_max = options->history_bytes_max;
	s->wakeup = io_wakeup_new(l, on_done, s);
	if (open_all(s, options, out_recovery, err) != 0) {
		free_store(s);
		return NULL;
	}
	if (s->ballast_given || !store_ballast_make(s)) {
		s->ballast_given = true;
		atomic_store_explicit(&s->disk_full, true, memory_order_relaxed);
	}
	return s;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->open_for_work) {
		atomic_store(&s->closing, true);
		must(pthread_mutex_lock(&s->lock) == 0);
		must(pthread_cond_signal(&s->work) == 0);
		must(pthread_mutex_unlock(&s->lock) == 0);
		must(pthread_join(s->thread, NULL) == 0);
		/* A completion may hand over the next operation. */
		for (on_done(s); s->in_first; on_done(s))
			(void)run(s);
	}
	free_store(s);
}

/* ---- what the loop asks ---- */

int store_room(struct store *s, uint64_t min_free_bytes, uint64_t promised_bytes)
{
	struct mono_time now = io_now(s->loop);

	if (s->room_read.us == 0 || mono_span(s->room_read, now) > ROOM_FRESH_US) {
		s->room_read = now;
		if (io_disk_free(s->folder, &s->room_bytes, NULL) != 0)
			s->room_bytes = 0;
	}
	/* Pages that the file holds free are room as well: they are used first. */
	if (atomic_load_explicit(&s->disk_full, memory_order_relaxed) ||
		s->room_bytes + atomic_load_explicit(&s->free_pages_bytes, memory_order_relaxed) <
			min_free_bytes + promised_bytes)
		return RC_DISK_FULL;
	return 0;
}

struct store_stats store_stats(const struct store *s)
{
	return (struct store_stats){
		.commits = atomic_load_explicit(&s->stat_commits, memory_order_relaxed),
		.operations = atomic_load_explicit(&s->stat_operations, memory_order_relaxed),
		.failed_commits = atomic_load_explicit(&s->stat_failed, memory_order_relaxed),
		.reopened = atomic_load_explicit(&s->stat_reopened, memory_order_relaxed),
		.free_bytes = s->room_bytes,
		.disk_full = atomic_load_explicit(&s->disk_full, memory_order_relaxed),
	};
}
