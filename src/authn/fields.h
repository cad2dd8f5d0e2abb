/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The header of a message as it is, byte for byte, for signatures over it (mail/header.h edits one, and reads values).
 * Lines end in CR LF. What is no field ("From " of an mbox file) has an empty name, and no signature covers it.
 */
struct authn_field {
	struct sv name;  /* as written */
	struct sv value; /* behind the colon, folds and all, without the line end */
	struct sv whole; /* with its line end */
};

struct authn_fields;
NODISCARD struct authn_fields *authn_fields_new(void);
void authn_fields_free(struct authn_fields *f);
DEFINE_CLEANUP(struct authn_fields, authn_fields_free);
/*
 * 0: wants more, 1: the header is complete, and *out_used bytes were of it and of the empty line. RC_LIMIT: the
 * header is larger than LIMIT_HEADER or has more than LIMIT_HEADER_FIELDS fields; it stays so.
 */
NODISCARD int authn_fields_feed(struct authn_fields *f, struct sv bytes, size_t *out_used);
/* The message ended within its header. RC_LIMIT as above. */
NODISCARD int authn_fields_end(struct authn_fields *f);
/* Once it is complete; valid as long as `f`. */
const struct authn_field *authn_fields_list(const struct authn_fields *f, size_t *out_count);
