/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store/store.h"

enum {
	STORE_KEPT_MAX = 1200 /* a folder that a repair leaves */
};

/*
 * A queue that a disk has damaged, read page by page without a daemon: every message whose pages are whole comes
 * out, and what does not is named. Looking changes nothing. A repair writes a new queue beside the old one and puts
 * it in its place in one step; what was there stays in a folder of its own.
 */
enum store_salvage_fate {
	STORE_SALVAGE_WHOLE,  /* it waits, and all of it can be read */
	STORE_SALVAGE_PARTLY, /* some of its recipients are lost: the others get it */
	STORE_SALVAGE_LOST,   /* it is not sent */
};
struct store_salvaged {
	uint64_t id;
	enum store_salvage_fate fate;
	bool held; /* it may have been sent before: a person releases it */
	struct sv sender, subject, recipients; /* what is known; recipients by ", " */
	uint64_t size;
	const char *why; /* of PARTLY and LOST */
};

struct store_salvage_report {
	uint32_t pages, damaged_pages;
	uint64_t wal_bytes;                 /* written last, and behind a damaged place */
	uint64_t whole, partly, lost, held; /* messages */
	uint64_t history;                   /* finished messages that can be read */
	uint64_t bad_rows; /* rows without what they belong to, or that do not fit their sum */
	char sqlite[160];  /* what SQLite's own check says; empty: nothing */
	bool needed;       /* a repair has something to do */
	char kept[STORE_KEPT_MAX];
};

struct store_salvage_options {
	struct sv data_dir;
	bool repair;
	/* A daemon has it open: only pages are looked at, and nothing is locked. */
	bool running;
	void (*each)(void *arg, const struct store_salvaged *message);
	void (*progress)(void *arg, uint64_t done, uint64_t of); /* NULL: none */
	void *arg;
};
/* RC_NOT_FOUND: there is no queue yet. -EBUSY: another postern has it. */
NODISCARD int store_salvage(const struct store_salvage_options *options,
	struct store_salvage_report *out, struct err *err);
