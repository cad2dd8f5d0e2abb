/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "conf/conf.h"
#include "store/store.h"

/*
 * What leaves differs from what is stored: whose address it carries, and where it goes. Decided anew for
 * each transaction, so that a reload counts for mail that waits. The body is never touched.
 */
struct rewrite {
	struct sv sender;   /* of the envelope */
	struct sv from;     /* the address of From; empty: it stays */
	bool reply_to;      /* the original From stays as Reply-To, where there is none */
	struct sv redirect; /* the only recipient, instead of those of the message; empty: off */
};

/*
 * For a message and the plan of one of its recipients on a lane. Views belong to the arguments. True:
 * the header changes.
 */
NODISCARD bool rewrite_plan(struct rewrite *out, const struct conf *conf,
	const struct conf_lane *lane, const struct store_message *m,
	const struct store_recipient *plan);

enum {
	REWRITE_REDIRECTED_MAX = 16384, /* bytes of X-Postern-Redirected-To */
};

/* `header`: with its empty line. Appends what leaves instead. RC_LIMIT when it does not fit into `out`. */
NODISCARD int rewrite_header(const struct rewrite *r, struct sv header, const struct sv *recipients,
	size_t recipient_count, struct buf *out);
