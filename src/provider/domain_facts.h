/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "provider/cloud.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * What a domain publishes when Microsoft 365 (or Google) sends for it, and what receivers of bulk mail ask for. Data with a
 * source and a day (the .c file has both).
 */
struct sv provider_spf_include(enum provider_cloud cloud); /* "spf.protection.outlook.com" */

enum provider_dkim_target {
	PROVIDER_DKIM_OTHER,
	PROVIDER_DKIM_ONMICROSOFT, /* selector1-contoso-com._domainkey.contoso.onmicrosoft.com */
	PROVIDER_DKIM_MICROSOFT, /* selector1-contoso-com._domainkey.contoso.n-v1.dkim.mail.microsoft */
};
/* Where a selector's CNAME leads to. */
enum provider_dkim_target provider_dkim_target(struct sv name);
bool provider_is_mx(struct sv host);           /* one of Exchange Online */
bool provider_is_autodiscover(struct sv host); /* of Outlook */

enum {
	PROVIDER_DKIM_SELECTORS = 2
};
extern const struct sv provider_dkim_selectors
	[PROVIDER_DKIM_SELECTORS]; /* Microsoft's: "selector1", "selector2" */

struct provider_receiver {
	const char *name; /* "Gmail" */
	const char *who;  /* whose mail these rules are for */
	const char
		*says; /* how its refusal begins; empty: it files the mail as spam, or delays it */
	const char *source, *checked;
};
/* All of them want SPF and DKIM, and DMARC with one of the two aligned. */
const struct provider_receiver *provider_receivers(size_t *out_count);
