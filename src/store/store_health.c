/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_health.h"

#include "base/must.h"
#include "io/fs.h"
#include "store/store_priv.h"

#include <errno.h>
#include <stdio.h>

enum {
	ROOM_FRESH_US = 200 * 1000, /* how old a measurement of the disk may be */
	ROOM_LOOK_AFTER_US = 1000000,
	HANGS_AFTER_US =
		10 *
		1000000, /* one group or step: commits of milliseconds, on a tired disk of a second */
};

/* ---- ballast ---- */

bool store_ballast_make(struct store *s)
{
	CLEANUP(io_closep) int fd = -1;
	uint64_t room = 0;
	struct stat st;

	if (s->ballast_bytes == 0)
		return true;
	if (io_fs_stat(s->ballast_path, &st) == 0 && (uint64_t)st.st_size >= s->ballast_bytes)
		return true;
	/* Only when it leaves as much again. */
	if (io_disk_free(s->folder, &room) != 0 || room < 2 * s->ballast_bytes)
		return false;
	fd = io_fs_create(s->ballast_path, O_WRONLY, 0600);
	if (fd < 0)
		return false;
	if (io_fs_allocate(fd, s->ballast_bytes) == 0)
		return true;
	(void)io_fs_unlink(s->ballast_path);
	return false;
}

void store_ballast_give(struct store *s)
{
	if (s->ballast_given)
		return;
	s->ballast_given = true;
	s->room_look_at = mono_add(io_clock_mono(), ROOM_LOOK_AFTER_US);
	(void)io_fs_unlink(s->ballast_path);
}

/* ---- trouble ---- */

const char *store_trouble_name(enum store_trouble trouble)
{
	static const char *const names[STORE_TROUBLE_COUNT] = {
		"none", "disk-fails", "disk-read-only", "data-dir-gone", "disk-hangs"
	};

	return names[trouble];
}

void store_trouble_set(struct store *s, enum store_trouble trouble, const char *words)
{
	io_mutex_lock(&s->words_lock);
	(void)snprintf(s->trouble_words,
		sizeof(s->trouble_words),
		"%.*s",
		(int)sizeof(s->trouble_words) - 1,
		words);
	atomic_store(&s->trouble, (int)trouble);
	io_mutex_unlock(&s->words_lock);
}

int store_trouble_fail(struct store *s, struct err *err)
{
	io_mutex_lock(&s->words_lock);
	(void)err_set(err,
		-EIO,
		"%.230s",
		s->trouble_words[0] ? s->trouble_words : "the disk under data_dir does not answer");
	io_mutex_unlock(&s->words_lock);
	return -EIO;
}

void store_trouble_clear(struct store *s)
{
	if (atomic_load_explicit(&s->trouble, memory_order_relaxed) != STORE_TROUBLE_NONE)
		store_trouble_set(s, STORE_TROUBLE_NONE, "");
}

enum store_trouble store_trouble_now(struct store *s)
{
	uint64_t since = atomic_load_explicit(&s->busy_since_us, memory_order_relaxed);
	int trouble = atomic_load_explicit(&s->trouble, memory_order_relaxed);

	if (trouble == STORE_TROUBLE_NONE && since && io_clock_mono().us > since + HANGS_AFTER_US)
		return STORE_TROUBLE_HANGS;
	return (enum store_trouble)trouble;
}

void store_folder_note(struct store *s)
{
	s->folder_known = io_fs_stat(s->db_path, &s->folder_file) == 0;
}

bool store_folder_is_there(struct store *s)
{
	struct stat st;
	char words[STORE_PATH_MAX + 200];

	if (!s->folder_known ||
		(io_fs_stat(s->db_path, &st) == 0 && io_fs_is_same(&st, &s->folder_file))) {
		if (atomic_load_explicit(&s->trouble, memory_order_relaxed) == STORE_TROUBLE_GONE)
			store_trouble_clear(s);
		return true;
	}
	(void)snprintf(words,
		sizeof(words),
		"%s is not the queue that is open: data_dir was deleted, moved, or mounted over",
		s->db_path);
	store_trouble_set(s, STORE_TROUBLE_GONE, words);
	return false;
}

/* ---- what the loop asks ---- */

static uint64_t free_bytes(struct store *s)
{
	struct mono_time now = io_now(s->loop);

	if (s->room_read.us == 0 || mono_span(s->room_read, now) > ROOM_FRESH_US) {
		s->room_read = now;
		if (io_disk_free(s->folder, &s->room_bytes) != 0) {
			s->room_bytes = 0;
			(void)store_folder_is_there(s);
		}
	}
	if (atomic_load_explicit(&s->disk_full, memory_order_relaxed))
		return 0;
	/* Pages that the file holds free are room as well: they are used first. */
	return s->room_bytes + atomic_load_explicit(&s->free_pages_bytes, memory_order_relaxed);
}

/* The log has each page, and later the file as well. */
void store_room_spend(struct store *s, size_t bytes)
{
	uint64_t spent = 2 * (uint64_t)bytes;

	s->room_bytes = s->room_bytes > spent ? s->room_bytes - spent : 0;
}

int store_room(struct store *s, uint64_t min_free_bytes, uint64_t promised_bytes)
{
	uint64_t is = free_bytes(s);

	if (store_trouble_now(s) != STORE_TROUBLE_NONE)
		return -EIO;
	if (atomic_load_explicit(&s->disk_full, memory_order_relaxed) ||
		is < min_free_bytes + promised_bytes)
		return RC_DISK_FULL;
	return 0;
}

uint64_t store_room_left(struct store *s, uint64_t min_free_bytes)
{
	uint64_t is = free_bytes(s);

	return is > min_free_bytes ? is - min_free_bytes : 0;
}

struct store_health store_health(struct store *s)
{
	struct store_health h = {
		.commits = atomic_load_explicit(&s->stat_commits, memory_order_relaxed),
		.operations = atomic_load_explicit(&s->stat_operations, memory_order_relaxed),
		.failed_commits = atomic_load_explicit(&s->stat_failed, memory_order_relaxed),
		.reopened = atomic_load_explicit(&s->stat_reopened, memory_order_relaxed),
		.bad_rows = atomic_load_explicit(&s->stat_bad_rows, memory_order_relaxed),
		.free_bytes = s->room_bytes,
		.disk_full = atomic_load_explicit(&s->disk_full, memory_order_relaxed),
		.trouble = store_trouble_now(s),
	};

	io_mutex_lock(&s->words_lock);
	(void)snprintf(h.trouble_words,
		sizeof(h.trouble_words),
		"%s",
		h.trouble == STORE_TROUBLE_HANGS ? "the disk under data_dir does not answer"
						 : s->trouble_words);
	io_mutex_unlock(&s->words_lock);
	return h;
}
