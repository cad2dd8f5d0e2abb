/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/spf.h"
#include "base/buf.h"

/* The parts of SPF: records and their terms (spf_record.c), macros (spf_macro.c), evaluation (spf.c). */

enum spf_kind {
	SPF_ALL,
	SPF_INCLUDE,
	SPF_A,
	SPF_MX,
	SPF_PTR,
	SPF_IP4,
	SPF_IP6,
	SPF_EXISTS,
	SPF_REDIRECT,
	SPF_EXP,
	SPF_MODIFIER, /* one that nobody knows */
	SPF_KIND_COUNT
};

struct spf_term {
	enum spf_kind kind;
	enum spf_result result; /* when it matches */
	struct sv text;
	struct sv target; /* domain-spec, macros and all; empty: the record's own domain */
	unsigned char address[16];
	unsigned prefix4, prefix6;
};

/* The one SPF record of an answer. 0; RC_NOT_FOUND; RC_LIMIT: several. */
NODISCARD int spf_record_find(const struct authn_answer *a, struct sv *out_record);
/* Cuts a term off the front of a record (the version is one no more). 1: here it is; 0: that was the last;
 * RC_PARSE: `out_term->text` is wrong. */
NODISCARD int spf_term_next(struct sv *rest, struct spf_term *out_term);
/* Every term, before any is used (4.6). RC_PARSE: *out_bad is wrong, or there a second time. */
NODISCARD int spf_record_check(struct sv record, struct spf_term *out_redirect,
	struct spf_term *out_exp, struct sv *out_bad);
NODISCARD bool spf_kind_asks(enum spf_kind kind); /* counts towards SPF_TERMS_MAX */

/* RC_PARSE. In an explanation blanks and the letters c, r and t are allowed, too. */
NODISCARD int spf_macro_check(struct sv text, bool in_explanation, bool *out_is_spec);

struct spf_macro {
	const struct spf_input *in;
	struct sv local, sender_domain; /* of the sender, or of who stands for it */
	struct sv domain;               /* whose record it is */
	struct sv validated;            /* for %{p} */
};
NODISCARD bool spf_macro_wants_name(struct sv text); /* has a %{p} */
/* A text that was checked. RC_LIMIT: longer than `out` may become. */
NODISCARD int spf_macro_expand(const struct spf_macro *m, struct sv text, struct buf *out);
/* The same for a domain-spec: a name, cut from the left until it is short enough (7.3). */
NODISCARD int spf_macro_name(const struct spf_macro *m, struct sv text, struct buf *out);
