/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/sv.h"

#include <stdint.h>

/*
 * The Exchange admin center's report of SMTP AUTH clients, as it is exported (Reports > Mail flow > SMTP
 * AUTH clients): who sends with a password now. Names of columns are taken as they come; the sender's
 * address alone is needed.
 */
struct setup_client {
	struct sv address;              /* in lower case */
	struct sv protocols, tls, from; /* what was seen, with commas; empty: no such column */
	uint64_t messages;
};

struct setup_report {
	struct arena arena;
	struct setup_client *clients; /* one an address, in the order of the file */
	size_t count, room;
	size_t skipped; /* rows without an address */
};

enum {
	SETUP_REPORT_MAX = 16 * 1024 * 1024,
	SETUP_CLIENTS_MAX = 5000,
	SETUP_CELL_MAX = 512, /* of what was seen; the rest is cut off */
};

/* An address that postern.yaml can hold, in lower case, in `out`; false: it is none. */
NODISCARD bool setup_address(struct sv text, char out[LIMIT_ADDRESS], struct sv *out_address);

/* One row. Views are valid during the call; what the file has no column for is empty. */
struct setup_row {
	struct sv address; /* in lower case; empty: none that postern.yaml could hold */
	struct sv protocol, tls, from;
	struct sv app, agent, date; /* of Entra's sign-in log, exported as CSV */
	uint64_t messages;          /* 0: no such column */
};

/*
 * UTF-8 or UTF-16, with or without a byte order mark; comma, semicolon or tab. RC_PARSE; RC_LIMIT when it
 * is larger than SETUP_REPORT_MAX, or what `fn` returned other than 0.
 */
NODISCARD int setup_report_each(struct sv bytes, int (*fn)(void *arg, const struct setup_row *row),
	void *arg, struct err *err);
/* The senders of such a file. RC_PARSE, RC_LIMIT. */
NODISCARD int setup_report_read(struct sv bytes, struct setup_report *out_report, struct err *err);
void setup_report_deinit(struct setup_report *r);

/* Adds `what` to a list with commas, unless it is there; nothing that could steer a terminal. */
void setup_note(struct arena *arena, struct sv *list, struct sv what);
