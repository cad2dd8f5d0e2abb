/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/sv.h"
#include "mail/dsn.h"

/*
 * The envelope of a message in Postfix's queue, as `postcat -e` prints it: the sender, and the recipients that are
 * not done yet.
 */
enum {
	SETUP_QUEUE_ENVELOPE_MAX = 64 << 20,
	SETUP_QUEUE_RECIPIENTS_MAX = 200000,
};

struct setup_queued_recipient {
	struct sv address;
	uint8_t notify; /* DSN_NOTIFY_* bits; 0: not asked for */
};

struct setup_queued {
	struct sv sender;         /* empty: the null sender */
	struct sv envid, arrived; /* as printed: "Mon Nov 30 03:03:12 2026" */
	enum dsn_ret ret;
	struct setup_queued_recipient *recipients;
	size_t recipient_count, room, skipped; /* skipped: no addresses of ours */
	bool utf8;
};

/* Views live in the arena. RC_PARSE: it has no sender; RC_LIMIT. */
NODISCARD int setup_queue_parse(
	struct arena *arena, struct sv text, struct setup_queued *out, struct err *err);
