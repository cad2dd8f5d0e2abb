/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/htable.h"
#include "sandbox/model.h"

/* What is counted beyond the mailboxes, and what was broken. */
struct sandbox_count {
	struct sandbox_window external, onmicrosoft; /* recipients of a day */
	struct sandbox_people people;                /* to the outside */
	struct htable direct; /* domain -> struct sandbox_window of an hour */
	uint64_t hve_recipients;
	struct sandbox_peak peaks[SANDBOX_LIMIT_COUNT];
	struct sandbox_violation *violations;
	size_t violation_count, violation_cap;
};

struct sandbox_model {
	struct sandbox_limits limits;
	struct sandbox_switches switches;
	char *open_password;
	struct sandbox_mailbox **mailboxes;
	size_t mailbox_count, mailbox_cap;
	struct htable by_address;
	struct sandbox_count count;
};

void sandbox_say(struct sandbox_reply *r, uint16_t code, const char *enhanced, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

void sandbox_count_deinit(struct sandbox_count *c);
/* True: the submission breaks a limit, which is recorded; the reply says which. */
NODISCARD bool sandbox_count_refuses(
	struct sandbox_model *m, const struct sandbox_submission *s, struct sandbox_reply *r);
void sandbox_count(struct sandbox_model *m, const struct sandbox_submission *s);
