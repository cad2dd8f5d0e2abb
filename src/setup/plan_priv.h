/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "setup/plan.h"

/* The name in the certificate at `path` (PEM) that lies in one of the domains of `t`; else its first. */
NODISCARD struct sv setup_certificate_name(
	struct arena *arena, struct sv path, const struct conf_tenant *t);

/* Appends a copy of `step`, unless there is such a step. */
void setup_plan_add(struct setup_plan *p, const struct setup_step *step);
void setup_plan_note(struct setup_plan *p, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* SendAs for the addresses that leave by `l` and are not its own. */
void setup_plan_senders(struct setup_plan *p, const struct conf *c, const struct conf_lane *l,
	const struct setup_step *like);
