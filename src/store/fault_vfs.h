/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * For tests: a SQLite VFS around the default one that fails when it is told to, and that remembers what
 * was never synced, so that a power cut can take it away. Syncs do not reach the disk (nobody pulls the
 * real plug), which makes thousands of commits cheap. Any thread may call these.
 */
#define FAULT_VFS_NAME "fault"

enum fault_mode {
	FAULT_ONCE,   /* the Nth call */
	FAULT_ALWAYS, /* the Nth and all behind it, until fault_vfs_clear() */
};

/* Which calls are counted and fail. */
enum fault_calls {
	FAULT_CHANGES, /* writes, syncs, truncations, deletions */
	FAULT_SYNCS,
	FAULT_READS, /* with SQLITE_IOERR_READ */
};

struct fault_plan {
	uint64_t nth; /* 1: the next call counted; 0: none */
	enum fault_mode mode;
	int write_code; /* SQLITE_IOERR_WRITE or SQLITE_FULL; a sync, truncation or deletion that fails
	                 * gives the code of its own kind, SQLITE_FULL excepted */
	enum fault_calls calls;
	bool half;       /* a write that fails has written its first half */
	bool sync_loses; /* as Linux: what a failed sync had to write is clean afterwards, and lost */
	/* Called instead of failing, before the call does anything. It need not return (longjmp): whoever does
	 * that leaves everything of before alone for ever. */
	void (*struck)(void *arg);
	void *arg;
};

/* Registers the VFS (once), forgets all files and counts. */
void fault_vfs_reset(void);
void fault_vfs_plan(const struct fault_plan *plan);
void fault_vfs_clear(void);     /* no more failures, no quota */
uint64_t fault_vfs_calls(void); /* counted since the plan was set */
bool fault_vfs_struck(void);    /* the plan's call has come */

/*
 * A disk of `bytes` for all files of the VFS, and the file `ballast` on it while it exists: writes that
 * would grow past it fail with SQLITE_FULL. 0: no limit.
 */
void fault_vfs_quota(uint64_t bytes, const char *ballast);

/*
 * Takes the power away: every file goes back to what was synced, page by page, except those pages that a
 * dice of `seed` says reached the disk by themselves, whole or torn at 512 bytes. Call it when nothing
 * is open.
 */
void fault_vfs_power_loss(uint64_t seed);
