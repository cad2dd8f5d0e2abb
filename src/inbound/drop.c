/* SPDX-License-Identifier: Apache-2.0 */
#include "inbound/drop_priv.h"

#include "base/must.h"
#include "base/text.h"
#include "io/file.h"
#include "io/log.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * The maildrop: what `sendmail` left while the daemon was away. Some files at a time. Before its message is
 * handed to the queue a file is renamed to NAME.msg.ID; when we die between the commit and the unlink, the
 * next start finds the id in the queue and does not take the file again.
 */
#define SCAN_EVERY_US US_PER_MIN

enum {
	SCAN_PIECE = 512,    /* entries of the folder in one round of the loop */
	TROUBLE_FIRST_S = 5, /* EMFILE and the like pass: the pause doubles, up to SCAN_EVERY_US */
};

static void scan_soon(struct drop *d, uint64_t us)
{
	io_timer_start(&d->timer, mono_add(io_now(d->in->loop), us));
}

/* ---- choosing ---- */

/*
 * "1700000000000000.123.abc.msg" or the same with ".ID". What does not begin with a time is being written ("tmp.",
 * "import.") or was set aside ("bad.").
 */
static bool is_message(const char *name, uint64_t *out_id)
{
	struct sv v = sv_from(name);
	ptrdiff_t dot = sv_rfind_char(v, '.');

	*out_id = 0;
	if (name[0] < '0' || name[0] > '9')
		return false;
	if (sv_ends_nocase(v, SV(DROP_SUFFIX)))
		return true;
	if (dot < 0 || text_parse_id(sv_skip(v, (size_t)dot + 1), out_id) != 0)
		return false;
	return sv_ends_nocase(sv_head(v, (size_t)dot), SV(DROP_SUFFIX));
}

bool drop_is_older(const struct stat *st, int64_t seconds)
{
	return io_clock_wall().us / (int64_t)US_PER_S - st->st_ctim.tv_sec > seconds;
}

static bool is_stale(const char *path)
{
	struct stat st;

	return io_fs_stat_link(path, &st) == 0 && drop_is_older(&st, STALE_TMP_S);
}

/* What was set aside a month ago, and nobody came for. Also folders, links and fifos: strays of whoever. */
static void forget_bad(struct drop *d, const char *name)
{
	char path[PATH_MAX];
	struct stat st;
	int rc;

	(void)snprintf(path, sizeof(path), "%s/%s", d->path, name);
	if (io_fs_stat_link(path, &st) != 0 || !drop_is_older(&st, STALE_BAD_S))
		return;
	rc = S_ISDIR(st.st_mode) ? io_fs_remove_folder(path) : io_fs_unlink(path);
	log_event(rc == 0 ? LOG_INFO : LOG_WARN,
		"pickup",
		SV(""),
		rc == 0 ? "a file that was set aside is removed: nobody came for it"
			: "a file that was set aside cannot be removed",
		(const struct log_field[]){ LOG_F("file", sv_from(path)) },
		1);
}

/* ---- reading the folder ---- */

/*
 * Once for a batch, and some entries a round of the loop: a folder with 100,000 files must not keep the
 * sessions waiting. What a batch does not hold comes with the next one, which begins behind it.
 */
static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void batch_clear(struct drop *d)
{
	for (size_t i = 0; i < d->batch_count; i++)
		free(d->batch[i]);
	d->batch_count = d->batch_at = 0;
}

/* A heap with its greatest name on top, which leaves when a smaller one comes. */
static void batch_sink(struct drop *d)
{
	size_t at = 0;

	for (;;) {
		size_t child = 2 * at + 1;
		char *name = d->batch[at];

		if (child + 1 < d->batch_count && strcmp(d->batch[child], d->batch[child + 1]) < 0)
			child++;
		if (child >= d->batch_count || strcmp(name, d->batch[child]) >= 0)
			return;
		d->batch[at] = d->batch[child];
		d->batch[child] = name;
		at = child;
	}
}

static void batch_rise(struct drop *d)
{
	for (size_t at = d->batch_count - 1; at > 0;) {
		size_t parent = (at - 1) / 2;
		char *name = d->batch[at];

		if (strcmp(name, d->batch[parent]) <= 0)
			return;
		d->batch[at] = d->batch[parent];
		d->batch[parent] = name;
		at = parent;
	}
}

static void batch_put(struct drop *d, const char *name)
{
	if (d->batch_count < d->batch_max) {
		d->batch[d->batch_count++] = sv_dup(sv_from(name));
		batch_rise(d);
		return;
	}
	d->more_behind = true;
	if (strcmp(name, d->batch[0]) >= 0)
		return;
	free(d->batch[0]);
	d->batch[0] = sv_dup(sv_from(name));
	batch_sink(d);
}

static void take_entry(struct drop *d, const char *name)
{
	uint64_t id;

	if (sv_starts(sv_from(name), DROP_TMP_PREFIX_SV)) {
		char path[PATH_MAX];

		/* Somebody was killed while writing; a live writer is done in less. */
		(void)snprintf(path, sizeof(path), "%s/%s", d->path, name);
		if (is_stale(path))
			(void)io_fs_unlink(path);
	} else if (sv_starts(sv_from(name), SV(DROP_BAD_PREFIX))) {
		forget_bad(d, name);
	} else if (is_message(name, &id) && strcmp(name, d->after) > 0) {
		batch_put(d, name);
	}
}

static void scan_end(struct drop *d, int rc)
{
	io_fs_list_close(TAKE(d->list));
	if (rc != 0) {
		drop_trouble(d, rc, "read the maildrop");
		batch_clear(d);
		d->more_behind = false;
	}
	qsort(d->batch, d->batch_count, sizeof(d->batch[0]), compare);
	io_task_post(d->in->loop, &d->next);
}

static void scan_piece(void *arg)
{
	struct drop *d = arg;

	for (unsigned i = 0; i < SCAN_PIECE; i++) {
		const char *name;
		int rc = io_fs_list_next(d->list, &name);

		if (!name) {
			scan_end(d, rc);
			return;
		}
		take_entry(d, name);
	}
	io_task_post(d->in->loop, &d->scan);
}

/* The next scan is from the first name on. */
static void scan_later(struct drop *d)
{
	uint64_t pause = SCAN_EVERY_US;

	d->troubles = d->trouble ? d->troubles + 1 : 0;
	if (d->trouble && d->troubles < 4)
		pause = (TROUBLE_FIRST_S * US_PER_S) << (d->troubles - 1);
	d->trouble = false;
	d->after[0] = '\0';
	scan_soon(d, pause);
}

static void scan_begin(struct drop *d)
{
	int rc;

	batch_clear(d);
	d->more_behind = d->arrived = false;
	if (d->from_first)
		d->after[0] = '\0';
	d->from_first = false;
	rc = io_fs_list_open(d->path, &d->list);
	if (rc == 0) {
		io_task_post(d->in->loop, &d->scan);
		return;
	}
	drop_trouble(d, rc, "open the maildrop");
	scan_later(d);
}

void drop_trouble(struct drop *d, int rc, const char *what)
{
	/* Once for a batch: a minute of EMFILE is one line, not a thousand. */
	if (!d->trouble)
		log_line(LOG_WARN,
			"pickup",
			"cannot %s; it stays there, and postern tries again: %s",
			what,
			rc_text(rc));
	d->trouble = true;
}

static void take_next(void *arg)
{
	struct drop *d = arg;

	if (d->closing) {
		if (d->running == 0)
			drop_free(d);
		return;
	}
	while (d->batch_at < d->batch_count && d->running < DROP_RUNNING) {
		const char *name = d->batch[d->batch_at++];
		uint64_t id = 0;

		(void)is_message(name, &id);
		if (strcmp(name, d->after) > 0)
			(void)snprintf(d->after, sizeof(d->after), "%s", name);
		d->running++;
		drop_file_begin(d, name, id);
	}
	/* The last of them may have been done with at once: then this runs again, and ends the scan once. */
	if (d->running > 0 || io_task_is_queued(&d->next))
		return;
	if (d->more_behind || d->arrived)
		scan_begin(d);
	else
		scan_later(d);
}

void drop_done(struct drop *d, const char *name)
{
	must(d->running > 0);
	d->running--;
	/* It may have got its new name: the scan goes on behind that. */
	if (strcmp(name, d->after) > 0)
		(void)snprintf(d->after, sizeof(d->after), "%s", name);
	io_task_post(d->in->loop, &d->next);
}

/* With files, or with the folder; take_next() looks again afterwards, and may be about to. */
static bool is_busy(const struct drop *d)
{
	return d->running > 0 || d->list || d->batch_at < d->batch_count ||
	       io_task_is_queued(&d->next);
}

static void on_timer(void *arg)
{
	struct drop *d = arg;

	if (!is_busy(d) && d->path[0] && d->in->ledger_is_read)
		scan_begin(d);
}

static void on_arrival(void *arg)
{
	struct drop *d = arg;

	d->arrived = true;
	if (!is_busy(d))
		scan_soon(d, 0);
}

/* ---- life ---- */

static void watch(struct drop *d)
{
	struct err err = { 0 };
	int rc = 0;

	(void)snprintf(
		d->path, sizeof(d->path), "%.*s", SV_ARG(conf_general(d->in->conf)->maildrop));
	io_folder_watch_free(TAKE(d->watch));
	if (d->path[0] == '\0')
		return;
	if (!io_fs_exists(d->path) && io_folder_make(d->path, 0700, &err) != 0)
		log_line(LOG_WARN, "pickup", "no maildrop: %s", err.text);
	d->watch = io_folder_watch_new(d->in->loop, d->path, on_arrival, d, &rc);
	if (!d->watch)
		log_line(LOG_WARN,
			"pickup",
			"cannot watch the maildrop %s: %s; it is looked at every minute",
			d->path,
			rc_text(rc));
	/* Also of names that the scan under way has behind it: a reload may be what they wait for. */
	d->arrived = d->from_first = true;
	if (!is_busy(d))
		scan_soon(d, 0);
}

struct drop *drop_open(struct inbound *in)
{
	struct drop *d = xcalloc(1, sizeof(*d));

	d->in = in;
	d->batch_max = COUNT_OF(d->batch);
	d->scan = (struct io_task){ .run = scan_piece, .arg = d };
	d->sync = (struct io_task){ .run = drop_files_renamed, .arg = d };
	d->next = (struct io_task){ .run = take_next, .arg = d };
	io_timer_init(&d->timer, in->loop, on_timer, d);
	watch(d);
	return d;
}

void drop_reload(struct drop *d)
{
	if (d)
		watch(d);
}

void drop_free(struct drop *d)
{
	io_timer_stop(&d->timer);
	io_folder_watch_free(d->watch);
	io_task_cancel(d->in->loop, &d->scan);
	io_task_cancel(d->in->loop, &d->sync);
	io_task_cancel(d->in->loop, &d->next);
	io_fs_list_close(d->list);
	batch_clear(d);
	free(d);
}

void drop_close(struct drop *d)
{
	if (!d)
		return;
	d->closing = true;
	/* Files under way end first. */
	if (d->running == 0)
		drop_free(d);
}
