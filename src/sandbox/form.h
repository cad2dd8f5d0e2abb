/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"

/* application/x-www-form-urlencoded, as token requests come. Values may be secrets: nothing logs them. */
enum {
	SANDBOX_FORM_FIELDS_MAX = 64,
};

struct sandbox_form {
	struct {
		char *name, *value; /* decoded, NUL-ended; a NUL inside ends them */
	} fields[SANDBOX_FORM_FIELDS_MAX];
	size_t count;
};

/* RC_PARSE: a bad escape. RC_LIMIT: too many fields. Nothing is kept then. */
NODISCARD int sandbox_form_parse(struct sv text, struct sandbox_form *out_form);
void sandbox_form_deinit(struct sandbox_form *f);
/* The first field of that name; empty when absent. */
struct sv sandbox_form_get(const struct sandbox_form *f, const char *name);
