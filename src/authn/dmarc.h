/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/ask.h"

/*
 * DMARC (RFC 9989): the record of an author's domain, the organisational domain by a walk up the DNS tree, and whether
 * what SPF and DKIM have shown belongs to it.
 */
enum dmarc_policy {
	DMARC_P_NONE,
	DMARC_P_QUARANTINE,
	DMARC_P_REJECT,
	DMARC_POLICY_COUNT
};
enum dmarc_note { /* bits: what a record has that its owner should hear of */
	DMARC_HAS_PCT = 1,
	DMARC_HAS_RF = 2,
	DMARC_HAS_RI = 4,
	DMARC_HAS_SIZE = 8,     /* "!10m" behind a report address */
	DMARC_NO_P = 16,        /* counts as none */
	DMARC_BAD_VALUE = 32,   /* `bad` */
	DMARC_TWICE = 64,       /* `twice`: the first counts */
	DMARC_BAD_POLICY = 128, /* p, sp or np cannot be read: all three count as none (4.10.1) */
	DMARC_VOID = 256, /* the same without an address for reports: no policy applies at all */
};
enum dmarc_psd {
	DMARC_PSD_UNKNOWN,
	DMARC_PSD_YES,
	DMARC_PSD_NO
};

/* Views look at the text. */
struct dmarc_record {
	struct sv text;
	enum dmarc_policy p, sp, np; /* with what they default to */
	bool has_sp, has_np;
	bool testing; /* t=y: one step weaker */
	bool strict_dkim, strict_spf;
	enum dmarc_psd psd;
	struct sv rua, ruf;
	unsigned notes;
	struct sv bad, twice; /* the first tag that cannot be read; that is there again */
};
/* RC_NOT_FOUND: does not begin with v=DMARC1. What is wrong behind that is left out, and noted. */
NODISCARD int dmarc_record_parse(struct sv text, struct dmarc_record *out_record);
/* Cuts a report address off a list: "mailto:" gone, "!size" gone. *out_domain is empty for another kind of address.
 * False: there is none. */
NODISCARD bool dmarc_report_next(struct sv *list, struct sv *out_uri, struct sv *out_domain);

enum dmarc_status {
	DMARC_RECORD,    /* a policy applies */
	DMARC_NO_RECORD, /* none on the way up, or one whose notes have DMARC_VOID */
	DMARC_UNKNOWN,   /* a look-up failed */
	DMARC_STATUS_COUNT
};

struct dmarc_found {
	enum dmarc_status status;
	char organisation[LIMIT_DNS_NAME + 1];
	char at[LIMIT_DNS_NAME + 1];      /* whose record applies; of UNKNOWN: what was asked for */
	char several[LIMIT_DNS_NAME + 1]; /* a name with several records, which count as none */
	struct dmarc_record record;       /* views live as long as the memo */
	enum dmarc_policy policy;         /* of p, sp and np the one that applies, before `t` */
	char tag[3];                      /* which that is: "p", "sp", "np" */
	unsigned lookups;
};
/* False while it waits for answers. */
NODISCARD bool dmarc_discover(
	struct authn_memo *memo, struct sv domain, struct dmarc_found *out_found);
/* Of a name alone. False while it waits; a failed look-up leaves *out_status DMARC_UNKNOWN. */
NODISCARD bool dmarc_organisation(struct authn_memo *memo, struct sv name,
	char out_name[LIMIT_DNS_NAME + 1], enum dmarc_status *out_status);

enum dmarc_alignment {
	DMARC_ALIGNED,
	DMARC_NOT_ALIGNED,
	DMARC_ALIGNMENT_UNKNOWN
};
/* Does `name` belong to the author's domain? False while it waits. */
NODISCARD bool dmarc_align(struct authn_memo *memo, struct sv author, struct sv name, bool strict,
	enum dmarc_alignment *out);

/* May reports about `domain` go to an address at `to`? (RFC 9990: _report._dmarc; not needed within one organisation.) */
enum dmarc_consent {
	DMARC_CONSENT,
	DMARC_NO_CONSENT,
	DMARC_CONSENT_UNKNOWN
};
NODISCARD bool dmarc_report_consent(
	struct authn_memo *memo, struct sv domain, struct sv to, enum dmarc_consent *out);

/* The whole, for a message. A machine (authn/ask.h). */
enum dmarc_result {
	DMARC_NONE, /* no policy applies */
	DMARC_PASS,
	DMARC_FAIL,
	DMARC_TEMPERROR,
	DMARC_RESULT_COUNT
};
enum {
	DMARC_SIGNATURES_MAX = 20 /* more are not looked at */
};
struct dmarc_input {
	struct sv author;      /* domain of From */
	struct sv spf;         /* whose SPF passed; empty: none */
	const struct sv *dkim; /* d= of the signatures that are valid */
	size_t dkim_count;
	/* What DNS did not tell: whose SPF might have passed, and whose signatures might be valid. One that would count
	 * makes of a fail a temperror. */
	struct sv spf_unknown;
	const struct sv *dkim_unknown;
	size_t dkim_unknown_count;
};
struct dmarc_verdict {
	enum dmarc_result result;
	struct dmarc_found found;
	bool spf_aligned, dkim_aligned;
	enum dmarc_policy asked; /* what receivers are asked to do with a fail, after `t` */
};
struct dmarc;
NODISCARD struct dmarc *dmarc_new(const struct dmarc_input *in); /* views must live as long */
void dmarc_free(struct dmarc *d);
void dmarc_freep(struct dmarc **d);
NODISCARD enum authn_next dmarc_next(struct dmarc *d, struct authn_question *out_question);
void dmarc_answer(struct dmarc *d, const struct authn_answer *a);
const struct dmarc_verdict *dmarc_verdict(const struct dmarc *d);
/* The function below it. False while it waits. */
NODISCARD bool dmarc_check(
	const struct dmarc_input *in, struct authn_memo *memo, struct dmarc_verdict *out_verdict);

enum dmarc_policy dmarc_policy_weaker(enum dmarc_policy p); /* one step (t=y) */
const char *dmarc_policy_name(enum dmarc_policy p);
const char *dmarc_result_name(enum dmarc_result r);
