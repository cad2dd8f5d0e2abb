/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "conf/conf.h"

/*
 * By which doors mail of one sender leaves: the routes are asked as they are for a message, with recipients
 * of every kind that they tell apart.
 */
enum {
	CHECK_WAYS_MAX = 64,
	CHECK_RECIPIENTS_MAX = 32,
};

/* One route, and what it does with the mail. */
struct check_way {
	const struct conf_route *route;
	const struct conf_member *members[CONF_THROUGH_MAX];
	size_t member_count;
	/* The recipients of `struct check_ways` that take it: a bit each. */
	uint32_t recipients;
};

struct check_ways {
	struct sv
		recipients[CHECK_RECIPIENTS_MAX]; /* "anybody@contoso.com", "anybody@example.com" */
	size_t recipient_count;
	uint32_t refused; /* of them, whoever hands the mail in */
	struct check_way ways[CHECK_WAYS_MAX];
	size_t count;
	struct arena arena;
};

void check_ways_find(const struct conf *c, struct sv sender, struct check_ways *out);
void check_ways_deinit(struct check_ways *w);

/* The address that its mail has on `lane`, by that way. */
struct sv check_way_sender(
	const struct check_way *w, const struct conf_lane *lane, struct sv sender);
NODISCARD bool check_way_leads_to(const struct check_way *w, const struct conf_member *m);
