/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "observe/query.h"

/*
 * The health file: figures for monitoring, beside the control socket. Everybody on the machine may read it,
 * so it holds numbers only, no address, name or reply. docs/decisions/0041-health-is-a-file.md.
 */
struct observe_health;

#define OBSERVE_HEALTH_NAME "health"
enum {
	OBSERVE_HEALTH_FILE_MAX = 4096,
};

/* Written at once, and again as often as `every` says. `sources` is borrowed. */
NODISCARD struct observe_health *observe_health_new(
	const struct observe_sources *sources, struct sv control_socket);
void observe_health_free(struct observe_health *h); /* the file stays: a restart is no fault */

/* Where it is for a control socket: beside it. RC_LIMIT. */
NODISCARD int observe_health_path(struct sv control_socket, struct buf *out);

/* One line each in the file, "name value". */
struct observe_health_figures {
	uint64_t unix_time; /* when they were taken */
	uint64_t
		boot_time; /* the same, by a clock that nobody can set: seconds since the machine started */
	uint64_t every; /* seconds until they are taken again, at most */
	uint64_t messages_waiting, oldest_seconds;
	uint64_t recipients_parked; /* wait for a person, not for time */
	uint64_t mailboxes_parked;
	uint64_t recipients_uncertain; /* may have arrived: held or to be sent again */
	uint64_t delivered_day, bounced_day;
	uint64_t disk_full;     /* 1: new mail is refused */
	uint64_t disk_trouble;  /* 1: the same, for a disk that fails */
	uint64_t queue_damaged; /* 1: some of it cannot be read or written until a repair */
	uint64_t disk_free_bytes;
	uint64_t inbound_sessions, inbound_sessions_max;
	uint64_t inbound_memory_bytes, inbound_memory_max_bytes;
	/* Since the start. */
	uint64_t inbound_refused_total, quota_refused_total;
	uint64_t sign_ins_failed_total, sign_ins_blocked_total;
	uint64_t loop_turn_us_max; /* of the last minute or two: who came then waited so long */
};
NODISCARD int observe_health_render(const struct observe_health_figures *f, struct buf *out);
/*
 * RC_PARSE: it is no health file. Lines that are not known are those of a newer version; an older one does not have
 * all of those behind disk_free_bytes, which are 0 then.
 */
NODISCARD int observe_health_parse(struct sv text, struct observe_health_figures *out);

enum observe_health_state {
	OBSERVE_HEALTH_OK,
	OBSERVE_HEALTH_WARNING,
	OBSERVE_HEALTH_CRITICAL,
};
/* Beyond one of these, it is a warning, or critical; 0: never. */
struct observe_health_limits {
	uint64_t oldest_warning_s, oldest_critical_s;
	uint64_t waiting_warning, waiting_critical;
};
/* Appends one line, without its end, for people, then "|" and the figures for monitoring. `now`: boot time. */
enum observe_health_state observe_health_judge(const struct observe_health_figures *f,
	const struct observe_health_limits *limits, uint64_t now, struct buf *out);
