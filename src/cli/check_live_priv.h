/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "cli/check_live.h"
#include "cli/check_relay.h"
#include "cli/check_ways.h"
#include "diagnose/diagnose.h"

#include <jansson.h>

/*
 * check_live.c    what is checked, its steps and verdicts
 * check_sender.c  how the routes take mail of a sender that was named
 * check_sum.c     many: what they come to
 * check_ways.c    the routes, asked
 * check_relay.c   the daemon, asked
 */
enum {
	LINE_MAX_BYTES = 16384,
	SCREEN_MAX = 1 << 20,
	TARGETS_MAX = 100000,
	SHOWN_MAX = 20, /* more than that: those which are well are only counted */
	TROUBLES_MAX = 100,
	TROUBLE_NAMES = 5,
	DEAD_MAX = 50,
	NAME_WIDTH = 15,
	STATUS_WIDTH = 12, /* two spaces, the word, one before and one behind the name */
};

struct check_run {
	const struct check_live_options *o;
	FILE *report;
	const struct conf_lane **lanes;
	size_t count;
	bool brief;       /* several: a line each unless one fails */
	bool many;        /* so many that those which are well are only counted */
	struct sv sender; /* the one that was named; empty: none */
	struct buf completed;
	struct check_ways ways;
	struct check_relay relay;
	struct arena arena;
	const char *progress;
	bool has_progress; /* a line that is not ended stands on the terminal */
	struct buf held;   /* the steps of a lane, until it is known whether they are shown */
	size_t done;
	size_t by_status[DIAGNOSE_STATUS_COUNT]; /* of lanes */
	struct trouble {
		const char *cause; /* static */
		const struct conf_lane *first;
		struct buf names;
		size_t count;
		bool is_broken;
	} troubles[TROUBLES_MAX];
	size_t trouble_count;
	/* Servers that cannot be reached: asked once, not for each mailbox. */
	struct dead {
		const struct conf_lane *lane;
		const char *step, *cause;
		int exit_code;
	} dead[DEAD_MAX];
	size_t dead_count;
};

/* ---- check_live.c ---- */
json_t *check_json_sv(struct sv v);
const char *check_owner_text(enum diagnose_owner owner);
/* "  first    ...", folded to the terminal. */
void check_print_word(FILE *to, const char *name, struct sv text);

/* ---- check_sender.c ---- */
/* Is the operand the name of the mailbox or connector itself? */
NODISCARD bool check_names_lane(const struct check_run *l);
/* An exit code: EX_CONFIG when nothing of its mail would leave. */
NODISCARD int check_say_ways(struct check_run *l);

/* ---- check_sum.c ---- */
void check_count(struct check_run *l, const struct conf_lane *lane, enum diagnose_status status,
	const char *cause);
NODISCARD bool check_was_counted(const struct check_run *l, const char *cause);
void check_print_sum(struct check_run *l);
