/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "provider/cloud.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * What a domain publishes when Microsoft 365 (or Google) sends for it, and what receivers of bulk mail ask for. Data with a
 * source and a day (the .c file has both).
 */
struct provider_domain_row {
	const char *signer; /* "Microsoft" */
	const char *mail;   /* "Exchange Online": what its mail exchangers belong to */
	struct sv spf_include;
	const struct sv *selectors; /* of DKIM, as the cloud names them unless told otherwise */
	size_t selector_count;
	/* They are CNAMEs, behind which the cloud rotates its keys. */
	bool selectors_are_cnames;
	/* Where the tenant has not enabled DKIM, signatures are by a domain that ends in one of these. */
	const struct sv *tenant_suffixes;
	size_t tenant_suffix_count;
	const char *tenant_example; /* "contoso.onmicrosoft.com" */
	/* Steps; "{domain}" is the domain. */
	const char *step_enable, *step_rotate, *step_mx;
	const struct sv *exchangers;
	size_t exchanger_count;
	const struct sv *autodiscovers; /* none: its users need no such name */
	size_t autodiscover_count;
	const char *source, *checked;
};
const struct provider_domain_row *provider_domain(enum provider_cloud cloud);
/* Whose tenants sign by this domain before they enable DKIM of their own; NULL: nobody's. */
const struct provider_domain_row *provider_domain_of_tenant(struct sv name);
/* A step with its domain. RC_LIMIT. */
NODISCARD int provider_domain_step(struct buf *out, const char *step, struct sv domain);

/* Does the name end in one of them? */
bool provider_name_ends(struct sv name, const struct sv *suffixes, size_t count);
/* Where a selector's CNAME leads to: to a place for keys of this cloud? */
bool provider_is_dkim_target(struct sv name);

struct provider_receiver {
	const char *name; /* "Gmail" */
	const char *who;  /* whose mail these rules are for */
	const char
		*says; /* how its refusal begins; empty: it files the mail as spam, or delays it */
	const char *source, *checked;
};
/* All of them want SPF and DKIM, and DMARC with one of the two aligned. */
const struct provider_receiver *provider_receivers(size_t *out_count);
