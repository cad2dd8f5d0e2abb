/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/dmarc.h"
#include "authn/origin.h"
#include "authn/spf.h"
#include "authn/verify.h"
#include "base/limits.h"
#include "cli/cli.h"

/* A received message and what became of its checks: `postern domain verify`. */
struct verified {
	struct authn_verify *signatures;
	struct authn_origin origin;
	struct wall_time at;            /* what signatures expire by */
	char author[LIMIT_ADDRESS + 1]; /* From */
	char author_domain[LIMIT_DOMAIN +
			   1]; /* as DNS has it; empty: there is none, or it is no domain */
	size_t authors;        /* addresses in From, over all of its fields */
	bool spf_asked;        /* an address and a name were there */
	struct sv spf_domain;  /* of the sender, or the HELO name */
	struct spf_verdict spf;
	struct dmarc_verdict dmarc;
	bool passes, unknown; /* receivers would believe it; an answer of DNS is missing */
};

/* domain_verify_show.c */
void domain_verified_print(const struct cli_context *ctx, const struct verified *v);
void domain_verified_json(const struct verified *v);
