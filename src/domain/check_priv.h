/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "domain/check.h"
#include "provider/domain_facts.h"

struct domain_run {
	const struct domain_question *q;
	struct authn_memo *memo;
	struct domain_report *r;
	bool waits;
};

/* find.c: a formatted text in the report's memory. */
struct sv domain_text(struct domain_run *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
void domain_find(struct domain_run *d, enum domain_topic topic, enum domain_level level,
	struct sv text, struct sv step, struct sv record);
/* PREFIX.DOMAIN, or the domain itself. NULL: waits, and it is noted. */
const struct authn_answer *domain_look(struct domain_run *d, struct sv prefix, enum authn_rr type);
const struct authn_answer *domain_look_name(
	struct domain_run *d, struct sv name, enum authn_rr type);

struct sv domain_step(struct domain_run *d, const char *step); /* of the cloud, with its domain */
const struct provider_domain_row *domain_cloud(const struct domain_run *d);

void domain_check_spf(struct domain_run *d);   /* check_spf.c */
void domain_check_dkim(struct domain_run *d);  /* check_dkim.c */
void domain_check_dmarc(struct domain_run *d); /* check_dmarc.c */
void domain_check_mail(
	struct domain_run *d); /* check_mail.c: MX, autodiscover, MTA-STS, TLS-RPT, DANE */
void domain_check_addresses(struct domain_run *d); /* check_address.c */
