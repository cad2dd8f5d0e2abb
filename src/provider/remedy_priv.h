/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "provider/remedy.h"
#include "provider/verdict.h"

/* The tables that tools/catalogue makes of causes.txt. */

struct provider_cause {
	const char *name;
	enum verdict_kind kind;
	enum verdict_scope scope; /* VERDICT_SCOPE_COUNT: by the step of the session */
	enum verdict_nature nature;
	uint64_t retry_after_us;
	const char *status;  /* the enhanced status where no reply gives one; "" */
	size_t first, count; /* of provider_remedies; the last one holds everywhere */
};
extern const struct provider_cause provider_causes[CAUSE_COUNT];

struct provider_remedy_row {
	unsigned doors; /* PROVIDER_OF_*; 0: all */
	enum provider_who who;
	struct provider_remedy remedy;
};
extern const struct provider_remedy_row provider_remedies[];

/* Names that a cause had once; NULL ends them. */
struct provider_was {
	const char *name;
	enum cause cause;
};
extern const struct provider_was provider_was[];
