/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/buf.h"
#include "base/time.h"
#include "provider/limits.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * How many mailboxes and days an amount of mail needs, and which limit binds when: arithmetic on the limits of
 * provider/limits.h and our own. Pure. It plans with limits that are used up from the first instant on, which is the most
 * that may leave; when it does leave is the engine's (sched/), and `postern simulate` asks that.
 */

/* Mailboxes (or connectors, or accounts) that are alike. */
struct plan_group {
	enum provider_kind door;
	bool is_connector; /* else a mailbox, or an account */
	uint32_t count;
	uint32_t tenant;              /* index into plan_ask.tenants */
	uint32_t messages_per_minute; /* of each, after the share; 0: no limit */
	uint32_t recipients_per_day;  /* likewise */
	uint32_t each_per_day;        /* ours: what each may send a day at most; 0: no limit */
};

struct plan_tenant {
	struct provider_tenant is;
	bool onmicrosoft;  /* its senders are below onmicrosoft.com */
	bool licence_each; /* as many licences as mailboxes */
};

enum {
	PLAN_GROUPS_MAX = 64,
	PLAN_TENANTS_MAX = 64,
	PLAN_MAILBOXES_MAX = 100000,
	PLAN_DAYS_MAX = 3660,
	PLAN_STEPS_MAX = 24,
	PLAN_SHARE_USUAL = 80,
	/* More than this a day from one mailbox to people who do not expect the mail is what receivers take for abuse. */
	PLAN_EACH_USUAL = 50,
};

struct plan_ask {
	uint64_t volume;  /* recipients */
	uint64_t per_us;  /* as many in each such time; 0: once */
	uint32_t in_days; /* once: in so many days */
	uint32_t recipients_per_message;
	uint32_t external_percent; /* of the recipients, outside of the tenant */
	uint32_t share_percent;    /* of the limits of the tenants */
	bool fixed; /* the groups have their numbers; else the one group gets as many as it needs */
	struct plan_group groups[PLAN_GROUPS_MAX];
	size_t group_count;
	struct plan_tenant tenants[PLAN_TENANTS_MAX];
	size_t tenant_count;
};

/* One limit, as it stands to this volume. */
struct plan_line {
	const char *name; /* "mailbox-day"; "each-day": ours */
	const char *per;  /* whom it counts: "mailbox" */
	const char *unit; /* "recipients" */
	uint64_t window_us;
	uint64_t
		allowed; /* in its unit and window, of one of them; of tenants: of all; after the share */
	uint64_t carries; /* recipients a day by it, all together */
	uint32_t
		percent; /* of that what of a day's volume cannot leave past it needs; may pass 100 */
	uint32_t mailboxes; /* that it asks for; 0: more of them do not help */
	bool binds;         /* it is the first that a larger volume meets */
};
enum {
	PLAN_LINES_MAX = 8
};

/* What leaves in a step of time, if all of it is there at the beginning. */
struct plan_step {
	uint64_t from_us;
	uint64_t left;     /* recipients in this step */
	const char *binds; /* the limit that let no more go; "": none, all has left */
};

struct plan {
	uint32_t mailboxes;
	uint64_t a_day;       /* of the volume; once: all of it */
	uint64_t carries;     /* recipients a day */
	bool fits;            /* what comes in a day leaves in a day; once: it leaves at all */
	uint64_t finished_us; /* all of it has left after; 0: never (within PLAN_DAYS_MAX) */
	uint32_t days;        /* the same, begun ones counted; 0: never */
	uint32_t
		licences; /* that the tenant would need for the volume; 0: it has them, or it is no matter of licences */
	struct plan_line lines[PLAN_LINES_MAX];
	size_t line_count;
	uint64_t step_us;
	struct plan_step steps[PLAN_STEPS_MAX];
	size_t step_count;
};

/* What the services allow a mailbox at this door, less the share. */
struct plan_group plan_group_of(enum provider_kind door, uint32_t share_percent);
/* RC_STATE with the reason: no number of mailboxes carries it, or the question makes no sense. */
struct err;
NODISCARD int plan_compute(const struct plan_ask *ask, struct plan *out, struct err *err);

/* "1000/day", "50/hour", "7000/week", "24000": recipients. RC_PARSE, RC_LIMIT. */
NODISCARD int plan_parse_volume(struct sv text, uint64_t *out_volume, uint64_t *out_per_us);

struct plan_style {
	bool utf8;    /* bars of blocks; else of # */
	size_t width; /* columns */
};
/* For people. RC_LIMIT when `out` is full. */
NODISCARD int plan_write(const struct plan_ask *ask, const struct plan *p,
	const struct plan_style *style, struct buf *out);
