/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/check.h"

#include "base/must.h"
#include "domain/check_priv.h"
#include "provider/domain_facts.h"

/* ---- what receivers of bulk mail want ---- */

static const struct domain_finding *first_of(
	const struct domain_report *r, enum domain_topic topic, enum domain_level level)
{
	for (size_t i = 0; i < r->finding_count; i++) {
		if (r->findings[i].topic == topic && r->findings[i].level == level)
			return &r->findings[i];
	}
	return NULL;
}

static void judge(struct domain_run *d, const struct provider_receiver *receiver)
{
	struct domain_report *r = d->r;
	const struct {
		enum domain_topic topic;
		enum domain_level level;
	} parts[] = {
		{ DOMAIN_SPF, r->spf }, { DOMAIN_DKIM, r->dkim }, { DOMAIN_DMARC, r->dmarc }
	};
	struct domain_rule *rule = &r->rules[r->rule_count++];

	*rule = (struct domain_rule){ .receiver = receiver->name, .who = receiver->who };
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		const struct domain_finding *f = first_of(r, parts[i].topic, parts[i].level);
		struct sv text = f ? f->text : SV(""), first;

		(void)sv_cut_char(&text, ';', &first); /* the rest is for the finding itself */
		if (parts[i].level == DOMAIN_FAIL && rule->meets != DOMAIN_FAILS) {
			rule->meets = DOMAIN_FAILS;
			rule->why = domain_text(d,
				"%s: %.*s; it refuses such mail with %s",
				domain_topic_name(parts[i].topic),
				SV_ARG(first),
				receiver->says);
			rule->step = f ? f->step : SV("");
		} else if (parts[i].level == DOMAIN_UNKNOWN && rule->meets == DOMAIN_MEETS) {
			rule->meets = DOMAIN_MEETS_UNKNOWN;
			rule->why = domain_text(
				d, "%s: %.*s", domain_topic_name(parts[i].topic), SV_ARG(first));
			rule->step = SV("Try again later, or with another name server");
		}
	}
}

enum domain_meets domain_report_meets(const struct domain_report *r)
{
	enum domain_meets worst = DOMAIN_MEETS;

	for (size_t i = 0; i < r->rule_count; i++) {
		if (r->rules[i].meets == DOMAIN_FAILS)
			return DOMAIN_FAILS;
		if (r->rules[i].meets == DOMAIN_MEETS_UNKNOWN)
			worst = DOMAIN_MEETS_UNKNOWN;
	}
	return worst;
}

bool domain_check(const struct domain_question *q, struct authn_memo *memo, struct domain_report *r)
{
	struct domain_run d = { .q = q, .memo = memo, .r = r };
	size_t count;
	const struct provider_receiver *receivers = provider_receivers(&count);

	arena_reset(&r->arena);
	*r = (struct domain_report){
		.domain = q->domain, .spf = DOMAIN_FAIL, .dkim = DOMAIN_FAIL, .dmarc = DOMAIN_FAIL
	};
	domain_check_spf(&d);
	domain_check_dkim(&d);
	domain_check_dmarc(&d);
	domain_check_mail(&d);
	domain_check_addresses(&d);
	if (d.waits)
		return false;
	must(count <= DOMAIN_RECEIVERS_MAX);
	for (size_t i = 0; i < count; i++)
		judge(&d, &receivers[i]);
	r->lookups = (unsigned)authn_memo_count(memo);
	return true;
}

void domain_report_deinit(struct domain_report *r)
{
	arena_reset(&r->arena);
}
