/* SPDX-License-Identifier: Apache-2.0 */
#include "inbound/drop_priv.h"

#include "base/must.h"
#include "base/text.h"
#include "io/file.h"
#include "io/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The maildrop: what `sendmail` left while the daemon was away. One file at a time. Before its message is
 * handed to the queue a file is renamed to NAME.msg.ID; when we die between the commit and the unlink, the
 * next start finds the id in the queue and does not take the file again.
 */
#define SCAN_EVERY_US US_PER_MIN

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

static bool is_stale(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 &&
	       io_clock_wall().us / (int64_t)US_PER_S - st.st_mtim.tv_sec > STALE_TMP_S;
}

/* The next file by name, which is by time. Names that had a problem wait for the next scan. */
static bool find_next(struct drop *d, char out_name[NAME_MAX + 1], uint64_t *out_id)
{
	DIR *dir = opendir(d->path);
	struct dirent *e;
	bool found = false;

	if (!dir)
		return false;
	while ((e = readdir(dir))) {
		uint64_t id;

		if (sv_starts(sv_from(e->d_name), DROP_TMP_PREFIX_SV)) {
			char path[PATH_MAX];

			/* Somebody was killed while writing; a live writer is done in less. */
			(void)snprintf(path, sizeof(path), "%s/%s", d->path, e->d_name);
			if (is_stale(path))
				(void)unlink(path);
			continue;
		}
		if (!is_message(e->d_name, &id) || strcmp(e->d_name, d->after) <= 0)
			continue;
		if (!found || strcmp(e->d_name, out_name) < 0) {
			(void)snprintf(out_name, NAME_MAX + 1, "%s", e->d_name);
			*out_id = id;
			found = true;
		}
	}
	(void)closedir(dir);
	return found;
}

void drop_next(struct drop *d)
{
	char name[NAME_MAX + 1] = "";
	uint64_t id = 0;

	must(!d->file);
	if (d->closing) {
		drop_free(d);
		return;
	}
	if (!find_next(d, name, &id)) {
		d->after[0] = '\0';
		scan_soon(d, SCAN_EVERY_US);
		return;
	}
	(void)snprintf(d->after, sizeof(d->after), "%s", name);
	drop_file_begin(d, name, id);
}

static void on_timer(void *arg)
{
	struct drop *d = arg;

	if (!d->file)
		drop_next(d);
}

static void on_notify(void *arg, unsigned events)
{
	struct drop *d = arg;
	char ignored[4096];

	(void)events;
	while (read(d->notify_fd, ignored, sizeof(ignored)) > 0)
		;
	if (!d->file)
		scan_soon(d, 0);
}

/* ---- life ---- */

static void watch(struct drop *d)
{
	struct err err = { 0 };

	(void)snprintf(
		d->path, sizeof(d->path), "%.*s", SV_ARG(conf_general(d->in->conf)->maildrop));
	io_watch_free(d->watch);
	d->watch = NULL;
	io_closep(&d->notify_fd);
	if (d->path[0] == '\0')
		return;
	if (access(d->path, F_OK) != 0 && io_folder_make(d->path, 0700, &err) != 0)
		log_line(LOG_WARN, "pickup", "no maildrop: %s", err.text);
	d->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (d->notify_fd < 0 || inotify_add_watch(d->notify_fd, d->path, IN_MOVED_TO) < 0)
		log_line(LOG_WARN,
			"pickup",
			"cannot watch the maildrop %s: it is looked at every minute",
			d->path);
	else
		d->watch = io_watch_new(d->in->loop, d->notify_fd, IO_READABLE, on_notify, d);
	if (!d->file)
		scan_soon(d, 0);
}

struct drop *drop_open(struct inbound *in)
{
	struct drop *d = xcalloc(1, sizeof(*d));

	d->in = in;
	d->notify_fd = -1;
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
	io_watch_free(d->watch);
	io_closep(&d->notify_fd);
	free(d);
}

void drop_close(struct drop *d)
{
	if (!d)
		return;
	d->closing = true;
	/* A file under way ends first, and calls drop_next(). */
	if (!d->file)
		drop_free(d);
}
