/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/sv.h"

#include <jansson.h>
#include <stdint.h>

struct conf;

/*
 * Who in a tenant still signs in to SMTP AUTH with a password, device by device, and where each moves.
 * Pure. Sources: Graph's sign-in log (auditLogs/signIns, clientAppUsed "Authenticated SMTP"; needs Entra ID
 * P1, keeps 30 days), the same as Entra's CSV, or the Exchange admin center's report of SMTP AUTH clients.
 * Microsoft switches SMTP AUTH with passwords off by default at the end of December 2026 (announced on
 * 27 January 2026; facts as of 2026-11).
 */
struct setup_device {
	struct sv from;  /* address it came from; empty: not told */
	struct sv agent; /* what it calls itself; empty: not told */
	struct sv tls;   /* versions seen, with commas; empty: not told */
	struct sv last;  /* the latest date, as the source writes it */
	uint64_t count;  /* sign-ins or messages, as the source counts */
};

enum setup_move {
	SETUP_MOVE_OURS,    /* it is a mailbox of this relay: `auth: app` */
	SETUP_MOVE_OLD_TLS, /* a listener with `tls: legacy`, and a device */
	SETUP_MOVE_DEVICE,  /* a printer or scanner: a device by its address */
	SETUP_MOVE_APP,     /* an application: a user of this relay */
	SETUP_MOVE_COUNT,
};

struct setup_sender {
	struct sv address;
	struct setup_device *devices;
	size_t count, room;
	uint64_t total;
};

struct setup_survey {
	struct arena arena;
	struct setup_sender *senders;
	size_t count, room, device_count;
	size_t passed_over; /* rows of other protocols, or without an address */
};

enum {
	SETUP_DEVICES_MAX =
		20000, /* of all senders; a home office is one, so real tenants stay below */
};

void setup_survey_deinit(struct setup_survey *s);
/* Adds the rows of a CSV export. RC_PARSE, RC_LIMIT. */
NODISCARD int setup_survey_csv(struct setup_survey *s, struct sv bytes, struct err *err);
/*
 * Adds one page of Graph's answer, {"value": [...]}. *out_next is the link of the next page, empty at the
 * end; it lives as long as `page`. RC_PARSE, RC_LIMIT.
 */
NODISCARD int setup_survey_page(
	struct setup_survey *s, const json_t *page, struct sv *out_next, struct err *err);
/* The busiest first. */
void setup_survey_sort(struct setup_survey *s);

/* `c` NULL: no configuration is known. */
enum setup_move setup_survey_move(
	const struct setup_sender *sender, const struct setup_device *device, const struct conf *c);
const char *setup_move_name(enum setup_move move);  /* for JSON: "device" */
const char *setup_move_steps(enum setup_move move); /* one sentence for the administrator */
