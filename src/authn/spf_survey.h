/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/spf.h"

/*
 * A domain's SPF as a whole, for no address in particular: every term of its record and of those that it includes, what
 * they cost, and what is wrong with them. Terms whose names have macros are counted, not followed.
 */
enum spf_survey_status {
	SPF_SURVEY_NONE,
	SPF_SURVEY_GOOD,
	SPF_SURVEY_SEVERAL,
	SPF_SURVEY_BROKEN, /* for every receiver: a term that cannot be read, an include without a record, a loop */
	SPF_SURVEY_TOO_MANY, /* terms that ask, or that find nothing: for those mails that reach the eleventh */
	SPF_SURVEY_UNKNOWN, /* a look-up failed */
	SPF_SURVEY_STATUS_COUNT
};
enum {
	SPF_SURVEY_TERMS_MAX = 40, /* that ask; more are not followed */
	SPF_SURVEY_DEPTH_MAX = 10,
};
struct spf_survey_term {
	char at[LIMIT_DNS_NAME + 1];     /* whose record */
	char target[LIMIT_DNS_NAME + 1]; /* of an include or redirect */
	struct sv text;                  /* lives as long as the memo */
	unsigned depth;
	unsigned lookups; /* it costs, with all that is below it */
};
struct spf_survey {
	enum spf_survey_status status;
	struct sv record; /* the domain's own, with its version */
	unsigned lookups, voids;
	bool has_all;
	enum spf_result all; /* of the record itself, or of the one that it redirects to */
	bool has_ptr;
	bool allows_everybody; /* +all, or a network of everything */
	char problem[SPF_TEXT_MAX];
	struct spf_survey_term terms[SPF_SURVEY_TERMS_MAX]; /* those that ask, in their order */
	size_t term_count;
};
/* False while it waits for answers; what does not depend on each other is asked at once. */
NODISCARD bool spf_survey(struct authn_memo *memo, struct sv domain, struct spf_survey *out_survey);
/* The same as if `record` ("v=spf1 ...", which lives as long as the memo) were the domain's. */
NODISCARD bool spf_survey_of(
	struct authn_memo *memo, struct sv domain, struct sv record, struct spf_survey *out_survey);
/* Whether a record on the way includes this name. */
NODISCARD bool spf_survey_includes(const struct spf_survey *s, struct sv name);
