/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "setup/plan.h"

enum {
	SETUP_SCRIPT_MAX = 16 * 1024 * 1024, /* 10,000 mailboxes with a KB each */
};

/*
 * The administrator's script for the whole plan. Each part looks before it changes anything, so that the
 * script can be run again. No name in it can end a string or a line: setup/quote.h. RC_LIMIT.
 */
NODISCARD int setup_powershell(const struct setup_plan *p, struct buf *out);

/* One step alone, comments included. `$app` and `$sp` are set by that of SETUP_APP. RC_LIMIT. */
NODISCARD int setup_powershell_step(const struct setup_step *step, struct buf *out);
