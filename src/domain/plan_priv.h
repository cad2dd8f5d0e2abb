/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "domain/plan.h"

struct domain_planning {
	const struct domain_wish *w;
	struct authn_memo *memo;
	struct domain_plan *p;
	bool waits;
};

/* plan.c */
struct sv plan_text(struct domain_planning *g, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A change to PREFIX.DOMAIN; the domain itself where `prefix` is empty. */
struct domain_change *plan_add(
	struct domain_planning *g, const char *topic, struct sv prefix, uint16_t type);
/* NULL: waits, and it is noted. */
const struct authn_answer *plan_look(struct domain_planning *g, struct sv name, uint16_t type);
/* All that is there of its name and type. NULL: it waits, or nobody told, and the change is blocked. */
const struct authn_answer *plan_read(struct domain_planning *g, struct domain_change *c);
void plan_block(struct domain_change *c, struct sv why, struct sv step);
void plan_before(struct domain_planning *g, struct domain_change *c, const struct domain_value *v);
void plan_after(struct domain_change *c, const struct domain_value *v);
/* CHANGES, if the two sides differ. */
void plan_judge(struct domain_change *c);

void plan_spf(struct domain_planning *g);   /* plan_spf.c */
void plan_dmarc(struct domain_planning *g); /* plan_dmarc.c */
