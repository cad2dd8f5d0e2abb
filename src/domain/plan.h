/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/ask.h"
#include "authn/spf_survey.h"
#include "base/arena.h"
#include "provider/cloud.h"

/*
 * What a domain's records should become, beside what they are. A function over a memo of answers (authn/ask.h), without the network; it
 * changes nothing. Only what is wished for is in it, and what it cannot do safely says why.
 *
 * Targets of DKIM and of the MX are Microsoft's to give (facts of 2025: they hold a letter that nobody can compute): they come in by
 * the wish, never from here.
 */
enum domain_stage {
	DOMAIN_STAGE_KEEP, /* the policy stays; without a record: none */
	DOMAIN_STAGE_NONE,
	DOMAIN_STAGE_QUARANTINE_TEST, /* p=quarantine; t=y: receivers of RFC 9989 take it for none */
	DOMAIN_STAGE_QUARANTINE,
	DOMAIN_STAGE_REJECT_TEST, /* p=reject; t=y: for quarantine */
	DOMAIN_STAGE_REJECT,
	DOMAIN_STAGE_COUNT
};
const char *domain_stage_name(enum domain_stage s); /* "quarantine-test"; NULL past the last */

enum {
	DOMAIN_TERMS_MAX = 16,  /* of SPF, added or dropped */
	DOMAIN_CHANGES_MAX = 8, /* SPF, DMARC, two selectors, MX */
	DOMAIN_VALUES_MAX = 16, /* of one change, on either side */
	DOMAIN_TTL_S = 3600,    /* of new records, as Microsoft's pages have it */
};

/* Views must live as long as the plan. */
struct domain_wish {
	struct sv domain; /* ASCII (A-labels) */
	enum provider_cloud cloud;
	const struct sv *spf_add; /* beside the include of the cloud */
	size_t spf_add_count;
	const struct sv *spf_drop;
	size_t spf_drop_count;
	char spf_all; /* '-', '~', '?'; 0: as it is */
	enum domain_stage stage;
	struct sv report_to; /* "mailto:dmarc@contoso.com"; empty: as it is */
	struct sv dkim[2];   /* targets of selector1 and selector2; empty: as they are */
	struct sv mx;        /* empty: as it is */
};

struct domain_value {
	uint16_t preference; /* MX */
	struct sv data;      /* a text, or a name */
	uint16_t type;       /* enum authn_rr: a key stands where a CNAME should */
};

enum domain_deed {
	DOMAIN_IS_RIGHT, /* as it is */
	DOMAIN_CHANGES,
	DOMAIN_BLOCKED, /* something is to be done by a person first */
};

/* The records of one name and type that the plan is about; others of that name stay as they are. */
struct domain_change {
	struct sv name;
	uint16_t type;     /* of what it becomes */
	const char *topic; /* "SPF" */
	enum domain_deed deed;
	struct domain_value before[DOMAIN_VALUES_MAX], after[DOMAIN_VALUES_MAX];
	size_t before_count, after_count;
	struct sv why;  /* a sentence without its full stop */
	struct sv risk; /* what may go wrong with mail by it; empty: nothing known */
	struct sv step; /* of BLOCKED */
	unsigned lookups_before, lookups_after; /* SPF: of ten */
};

struct domain_plan {
	struct sv domain;
	struct domain_change changes[DOMAIN_CHANGES_MAX];
	size_t change_count;
	struct arena arena;
};

/* False while it waits for answers: then *p is not to be read. Run again, it begins anew. */
NODISCARD bool domain_plan(
	const struct domain_wish *w, struct authn_memo *memo, struct domain_plan *p);
void domain_plan_deinit(struct domain_plan *p);
/* The first about this topic; NULL: none. */
const struct domain_change *domain_plan_of(const struct domain_plan *p, const char *topic);
size_t domain_plan_count(const struct domain_plan *p, enum domain_deed deed);
