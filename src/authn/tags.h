/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Tag lists, "a=x; b=y" (RFC 6376 3.2): signatures of DKIM and ARC, their key records, MTA-STS and TLS-RPT. Views
 * live as long as the text.
 */
struct authn_tag {
	struct sv name;  /* as written: case matters */
	struct sv value; /* without blanks and folds at its ends; those inside stay */
	struct sv
		whole; /* all between '=' and ';', for the "b=" that a signature leaves out of itself */
};

enum {
	AUTHN_TAGS_MAX = 40, /* the RFCs define 14; unknown ones are to be ignored, not refused */
};

struct authn_tags {
	struct authn_tag tags[AUTHN_TAGS_MAX];
	size_t count;
};

/* RC_PARSE: not a list, or a name stands twice, which makes all of it void. RC_LIMIT: too many. */
NODISCARD int authn_tags_parse(struct sv text, struct authn_tags *out_tags);
/* False, and an empty value: no such tag. */
bool authn_tags_get(const struct authn_tags *t, struct sv name, struct sv *out_value);

/* Blanks, and line ends within a folded field. */
static inline bool authn_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}
/* Without them at both ends. */
NODISCARD struct sv authn_trim(struct sv v);
/* Cuts the next item of a list "a : b : c" off its front. False: there is none. */
NODISCARD bool authn_list_next(struct sv *list, struct sv *out_item);
/* Whether such a list has this item (ASCII case ignored). */
NODISCARD bool authn_list_has(struct sv list, struct sv item);
