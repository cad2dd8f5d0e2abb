/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store/store.h"

/*
 * The disk under the queue: what it has to be for store_open(), and how it is. No operation needs to know
 * any of this; who accepts mail asks for room, who watches asks how it is.
 */
struct store_disk {
	uint64_t ballast_bytes; /* preallocated; given up when the disk is full */
	const char *vfs;        /* SQLite VFS name; NULL: the default (tests inject faults) */
};

/* Space: 0, -EIO while the disk has a trouble, or RC_DISK_FULL below the floor. `promised_bytes`: what open sessions may still bring. */
NODISCARD int store_room(struct store *s, uint64_t min_free_bytes, uint64_t promised_bytes);
/* How much there is above the floor; 0 when the disk is full. */
uint64_t store_room_left(struct store *s, uint64_t min_free_bytes);

/* What keeps the disk from taking mail, besides being full. */
enum store_trouble {
	STORE_TROUBLE_NONE,
	STORE_TROUBLE_FAILS,     /* writes or syncs fail */
	STORE_TROUBLE_READ_ONLY, /* the file system was mounted so, or turned so after an error */
	STORE_TROUBLE_GONE,  /* data_dir was deleted, moved, or another disk is mounted over it */
	STORE_TROUBLE_HANGS, /* no answer since a while */
	STORE_TROUBLE_COUNT
};
const char *store_trouble_name(enum store_trouble trouble);

/* Counters for status and metrics; loop thread. */
struct store_health {
	uint64_t commits, operations, failed_commits, reopened;
	/* Attempts that the start found without their message or recipients: `postern doctor` names them. */
	uint64_t bad_rows;
	uint64_t free_bytes; /* on the disk, as last measured */
	bool disk_full;
	/* While there is one nothing is accepted, and operations fail soon instead of waiting for the disk. */
	enum store_trouble trouble;
	char trouble_words[240]; /* what the system said, with the path */
};
struct store_health store_health(struct store *s);

/*
 * What the disk has damaged, as far as this process has met it. It costs what stands on it: those messages wait until
 * `postern doctor --repair`, everything else goes on. Any thread.
 */
enum {
	STORE_DAMAGE_NAMED = 8
};
struct store_damage {
	bool met;
	uint64_t
		messages; /* that could not be read, claimed or settled; 0: it hit an index or a counter */
	uint64_t named[STORE_DAMAGE_NAMED]; /* the first of them */
	char words[240];                    /* of the first place */
};
struct store_damage store_damage(struct store *s);
