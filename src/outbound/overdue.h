/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "outbound/outbound_priv.h"

/* Of overdue.c, which looks at a page, and overdue_when.c. */

enum {
	OVERDUE_PAGE = 50 /* messages */
};

struct overdue {
	struct outbound *o;
	struct io_timer timer;
	struct wall_time at;   /* nothing has to be looked at before; INT64_MAX: nothing waits */
	struct mono_time from; /* no look before */
	struct mono_time begun_at;
	bool running;  /* from the look until all of its page is written */
	bool in_page;  /* deliveries that are made now are its own */
	unsigned open; /* those, and the times that are written */
	unsigned failures;
	struct store_look look;
	struct store_look_later later;
	struct store_look_at *looks;   /* of `later` */
	uint64_t ending[OVERDUE_PAGE]; /* messages that end now */
	size_t ending_count;
	struct arena arena;
};

void overdue_set_timer(struct overdue *v);
void overdue_lower(struct overdue *v, struct wall_time at);
void overdue_part_ends(struct overdue *v); /* of the page */
