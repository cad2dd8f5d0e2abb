/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/spf_merge.h"
#include "base/err.h"
#include "domain/plan_priv.h"
#include "provider/domain_facts.h"

/* SPF: merged with care. Every address that passes now passes then, but those that are dropped by name. */

static bool is_spf(struct sv text)
{
	return sv_starts_nocase(text, SV("v=spf1")) && (text.len == 6 || text.ptr[6] == ' ');
}

static struct sv merged(struct domain_planning *g, struct domain_change *c)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(2 * SPF_MERGE_MAX);
	const struct domain_wish *w = g->w;
	struct sv records[DOMAIN_VALUES_MAX], add[DOMAIN_TERMS_MAX + 1], bad = { 0 };
	struct spf_merge m = { .records = records,
		.record_count = c->before_count,
		.add = add,
		.drop = w->spf_drop,
		.drop_count = w->spf_drop_count,
		.all = w->spf_all };

	add[m.add_count++] =
		plan_text(g, "include:%.*s", SV_ARG(provider_domain(w->cloud)->spf_include));
	for (size_t i = 0; i < w->spf_add_count && i < DOMAIN_TERMS_MAX; i++)
		add[m.add_count++] = w->spf_add[i];
	for (size_t i = 0; i < c->before_count; i++)
		records[i] = c->before[i].data;
	switch (spf_merge(&m, &out, &bad)) {
	case 0:
		return arena_sv(&g->p->arena, buf_sv(&out));
	case RC_NOT_FOUND:
		plan_block(c,
			plan_text(
				g, "the record has no \"%.*s\" to drop", SV_ARG(sv_head(bad, 200))),
			SV("Write the term as it stands in the record"));
		break;
	case RC_PARSE:
		plan_block(c,
			plan_text(g,
				"\"%.*s\" cannot be read, or is there twice: no receiver takes the "
				"record as it is (permerror)",
				SV_ARG(sv_head(bad, 200))),
			plan_text(g,
				"Correct it, or drop it: --drop '%.*s'",
				SV_ARG(sv_head(bad, 200))));
		break;
	default:
		plan_block(c,
			SV("the new record would be longer than 2,048 bytes"),
			SV("Drop services that no longer send"));
		break;
	}
	return SV("");
}

/* Ten look-ups are all there are, and whoever is behind the tenth is refused by some receivers. */
static void judge_budget(
	struct domain_planning *g, struct domain_change *c, const struct spf_survey *after)
{
	c->lookups_after = after->lookups;
	if (after->status == SPF_SURVEY_GOOD)
		return;
	if (after->status == SPF_SURVEY_UNKNOWN)
		plan_block(c,
			plan_text(g, "%s", after->problem),
			SV("Try again later, or with --dns"));
	else if (after->status == SPF_SURVEY_TOO_MANY)
		plan_block(c,
			plan_text(g,
				"the new record would need %u of 10 look-ups, %u of at most 2 "
				"without an answer: SPF would fail for some or all "
				"mail (permerror)",
				after->lookups,
				after->voids),
			SV("Drop a service that no longer sends (--drop include:NAME), or name its "
			   "addresses (--add ip4:ADDRESS), which costs "
			   "no look-up"));
	else
		plan_block(c,
			plan_text(g,
				"the new record would not be taken (permerror): %s",
				after->problem),
			SV("Correct or drop what is named here"));
}

static void tell(
	struct domain_planning *g, struct domain_change *c, const struct spf_survey *before)
{
	c->lookups_before = before->lookups;
	if (c->before_count > 1)
		c->why = SV("several records are none (permerror): they become one");
	else if (c->before_count == 0)
		c->why = SV("there is no SPF record");
	else
		c->why = plan_text(g,
			"%.*s sends for the domain",
			SV_ARG(provider_domain(g->w->cloud)->spf_include));
	if (g->w->spf_drop_count)
		c->risk =
			SV("addresses that pass only by a term that is dropped fail from then on");
	else if (before->allows_everybody && g->w->spf_all)
		c->risk = SV("now every address passes; then only those that are named");
	else if (g->w->spf_all == '-' && !(before->has_all && before->all == SPF_FAIL))
		c->risk = SV("services that send for the domain and are not in the record are "
			     "refused from then on");
}

void plan_spf(struct domain_planning *g)
{
	struct domain_change *c = plan_add(g, "SPF", SV(""), AUTHN_TXT);
	const struct authn_answer *a = plan_read(g, c);
	struct spf_survey before, after;
	struct sv record;

	if (!a)
		return;
	for (size_t i = 0; i < a->count; i++) {
		if (is_spf(a->records[i].data))
			plan_before(g,
				c,
				&(struct domain_value){
					.type = AUTHN_TXT, .data = a->records[i].data });
	}
	record = merged(g, c);
	if (c->deed == DOMAIN_BLOCKED)
		return;
	if (!spf_survey(g->memo, g->w->domain, &before) ||
		!spf_survey_of(g->memo, g->w->domain, record, &after)) {
		g->waits = true;
		return;
	}
	plan_after(c, &(struct domain_value){ .type = AUTHN_TXT, .data = record });
	plan_judge(c);
	tell(g, c, &before);
	judge_budget(g, c, &after);
}
