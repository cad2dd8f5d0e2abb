/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/ask.h"
#include "base/buf.h"

/*
 * SPF (RFC 7208): may this address send for this domain? check_host() whole, with macros, redirect, exp, and the limits
 * of 4.6.4: ten terms that ask, two of them void, ten exchangers, ten names of a PTR. A machine (authn/ask.h).
 */
enum spf_result {
	SPF_NONE,
	SPF_NEUTRAL,
	SPF_PASS,
	SPF_FAIL,
	SPF_SOFTFAIL,
	SPF_TEMPERROR,
	SPF_PERMERROR,
	SPF_RESULT_COUNT
};

enum {
	SPF_TERMS_MAX = 10, /* that ask */
	SPF_VOID_MAX = 2,
	SPF_HOSTS_MAX = 10,        /* of an mx or ptr */
	SPF_EXPLANATION_MAX = 512, /* one line of a reply */
	SPF_TEXT_MAX = 160,
};

struct spf_input {
	struct sv sender; /* of MAIL; empty: the HELO name is checked, as postmaster */
	struct sv helo;
	unsigned char address[16];
	bool is_ipv6;
	/* For explanations only. */
	struct sv receiver;
	uint64_t now_s;
};

struct spf_verdict {
	enum spf_result result;
	unsigned lookups, voids;         /* terms that asked, and found nothing */
	char domain[LIMIT_DNS_NAME + 1]; /* whose record decided */
	char term[SPF_TEXT_MAX];         /* which of its terms, cut; empty: none matched */
	char problem[SPF_TEXT_MAX];      /* for people, of an error */
	char explanation[SPF_EXPLANATION_MAX + 1]; /* of a fail; empty: its domain gives none */
};

/* What views of `in` look at must live as long as the machine. */
struct spf;
NODISCARD struct spf *spf_new(const struct spf_input *in);
void spf_free(struct spf *s);
void spf_freep(struct spf **s);
NODISCARD enum authn_next spf_next(struct spf *s, struct authn_question *out_question);
void spf_answer(struct spf *s, const struct authn_answer *a); /* to the last question */
const struct spf_verdict *spf_verdict(const struct spf *s);   /* after AUTHN_DONE */

/* The function below the machine, for those who share a memo: false while it waits for answers. */
NODISCARD bool spf_check(
	const struct spf_input *in, struct authn_memo *memo, struct spf_verdict *out_verdict);

/* "192.0.2.1", or 32 digits with dots between; reversed as below in-addr.arpa and ip6.arpa. Appends up to 63 bytes. */
void spf_address_labels(const unsigned char *address, bool is_ipv6, bool reversed, struct buf *out);
const char *spf_result_name(enum spf_result r); /* "pass", "permerror" */
