/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/ask.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/sv.h"

#include <stdbool.h>

/*
 * MTA-STS (RFC 8461): a domain says which hosts take its mail, with TLS, in a file that HTTPS protects, and by a TXT
 * record when the file has changed. TLS-RPT (RFC 8460): where reports of failures go. Reading only.
 */
enum authn_sts_fault {
	AUTHN_STS_GOOD,
	AUTHN_STS_NONE,     /* no record */
	AUTHN_STS_SEVERAL,  /* more than one, which counts as none */
	AUTHN_STS_UNKNOWN,  /* DNS gave no answer */
	AUTHN_STS_SYNTAX,   /* cannot be read as what it says to be */
	AUTHN_STS_VERSION,  /* of a policy: not STSv1 */
	AUTHN_STS_ID,       /* id= is not 1 to 32 letters and digits */
	AUTHN_STS_RUA,      /* rua= is missing, or none of it is mailto: or https: */
	AUTHN_STS_MODE,     /* is not enforce, testing or none */
	AUTHN_STS_MAX_AGE,  /* is missing, or is no number up to 31557600 */
	AUTHN_STS_MX,       /* there is none, and the mode is not none; or one that is no name */
	AUTHN_STS_TOO_LONG, /* the policy, or its list of hosts */
	AUTHN_STS_FAULT_COUNT
};

enum {
	AUTHN_STS_ID_MAX = 32,
	AUTHN_STS_POLICY_MAX = 65536, /* RFC 8461 3.3 advises 64 KB */
	AUTHN_STS_MX_MAX = 100,       /* real ones have up to ten */
};

/* From the answer to "_mta-sts.DOMAIN" TXT. `out_id` is a view into it. */
NODISCARD enum authn_sts_fault authn_sts_record(const struct authn_answer *a, struct sv *out_id);
/* From the answer to "_smtp._tls.DOMAIN" TXT: *out_rua are the addresses, with commas between. */
NODISCARD enum authn_sts_fault authn_tls_rpt_record(
	const struct authn_answer *a, struct sv *out_rua);

enum authn_sts_mode {
	AUTHN_STS_MODE_NONE,
	AUTHN_STS_MODE_TESTING,
	AUTHN_STS_MODE_ENFORCE,
};
struct authn_sts_policy {
	enum authn_sts_mode mode;
	uint32_t max_age_s;
	size_t mx_count;
	struct sv mx[AUTHN_STS_MX_MAX]; /* "mail.example.com", "*.example.net"; views */
};
/* The file of https://mta-sts.DOMAIN/.well-known/mta-sts.txt; lines end in LF or CR LF. */
NODISCARD enum authn_sts_fault authn_sts_policy_parse(
	struct sv text, struct authn_sts_policy *out_policy);
/* RFC 8461 4.1: a `*` stands for one label. */
NODISCARD bool authn_sts_matches(const struct authn_sts_policy *p, struct sv host);

const char *authn_sts_mode_name(enum authn_sts_mode mode);
/* A phrase: "there is no record". */
const char *authn_sts_fault_text(enum authn_sts_fault fault);
