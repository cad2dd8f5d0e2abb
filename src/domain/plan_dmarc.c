/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/tags.h"
#include "domain/plan_priv.h"

#include "base/must.h"

/*
 * DMARC in stages, by RFC 9989: none, then quarantine and reject, each first with t=y, by which receivers ask for one step less. Tags
 * that the wish is not about stay as they are, in their order.
 */
static const struct {
	const char *policy;
	bool testing;
} stages[] = {
	[DOMAIN_STAGE_KEEP] = { "none", false },
	[DOMAIN_STAGE_NONE] = { "none", false },
	[DOMAIN_STAGE_QUARANTINE_TEST] = { "quarantine", true },
	[DOMAIN_STAGE_QUARANTINE] = { "quarantine", false },
	[DOMAIN_STAGE_REJECT_TEST] = { "reject", true },
	[DOMAIN_STAGE_REJECT] = { "reject", false },
};
_Static_assert(COUNT_OF(stages) == DOMAIN_STAGE_COUNT, "a stage without a row");

static enum domain_stage stage_of(const struct authn_tags *t)
{
	struct sv policy, testing;
	bool has = authn_tags_get(t, SV("p"), &policy);
	bool is_testing = authn_tags_get(t, SV("t"), &testing) && sv_eq_nocase(testing, SV("y"));

	for (unsigned s = DOMAIN_STAGE_REJECT; has && s > DOMAIN_STAGE_NONE; s--) {
		if (sv_eq_nocase(policy, sv_from(stages[s].policy)) &&
			stages[s].testing == is_testing)
			return (enum domain_stage)s;
	}
	return DOMAIN_STAGE_NONE;
}

static void put_tag(struct buf *out, struct sv name, struct sv value)
{
	must(buf_printf(out, "; %.*s=%.*s", SV_ARG(name), SV_ARG(value)) == 0);
}

/* Where there was none: at its end. */
static void put_new(struct buf *out, const struct authn_tags *t, const char *name, struct sv value)
{
	struct sv there;

	if (value.len && !authn_tags_get(t, sv_from(name), &there))
		put_tag(out, sv_from(name), value);
}

static void render(const struct domain_wish *w, const struct authn_tags *t, struct buf *out)
{
	bool staged = w->stage != DOMAIN_STAGE_KEEP;
	struct sv policy = sv_from(stages[w->stage].policy);

	must(buf_append(out, SV("v=DMARC1")) == 0);
	/* RFC 9989 lets p stand anywhere; older receivers want it second. */
	if (staged || t->count == 0)
		put_tag(out, SV("p"), policy);
	for (size_t i = 0; i < t->count; i++) {
		struct sv name = t->tags[i].name;
		bool removed =
			sv_eq(name, SV("pct")) || sv_eq(name, SV("t")) || sv_eq(name, SV("p"));

		if (sv_eq(name, SV("v")) || (staged && removed))
			continue;
		put_tag(out,
			name,
			w->report_to.len && sv_eq(name, SV("rua")) ? w->report_to
								   : t->tags[i].value);
	}
	if (staged && stages[w->stage].testing)
		put_tag(out, SV("t"), SV("y"));
	put_new(out, t, "rua", w->report_to);
}

static void tell(struct domain_planning *g, struct domain_change *c, enum domain_stage now,
	struct sv reports)
{
	enum domain_stage then = g->w->stage;
	bool stricter = then > now && then > DOMAIN_STAGE_NONE;

	if (c->before_count == 0)
		c->why = SV("there is no DMARC record: receivers of bulk mail want one, and "
			    "reports tell who sends for the domain");
	else if (then != DOMAIN_STAGE_KEEP && then != now)
		c->why = plan_text(
			g, "from %s to %s", domain_stage_name(now), domain_stage_name(then));
	else
		c->why = SV("where reports go");
	if (c->deed != DOMAIN_CHANGES)
		return;
	if (stricter && then - now > 1)
		c->risk = plan_text(g,
			"%s is skipped: what sends for the domain without SPF or DKIM of it is %s "
			"at once",
			domain_stage_name((enum domain_stage)(now + 1)),
			then >= DOMAIN_STAGE_REJECT_TEST ? "refused" : "filed as spam");
	else if (stricter)
		c->risk = stages[then].testing ? SV("receivers of the rules before RFC 9989 do not "
						    "know t=y and apply the policy in full")
					       : SV("what sends for the domain without SPF or DKIM "
						    "of it is filed as spam, or refused");
	else if (reports.len == 0 && g->w->report_to.len == 0)
		c->risk = SV("without rua= nobody tells what fails: give an address by --reports");
}

static void plan_record(
	struct domain_planning *g, struct domain_change *c, const struct authn_tags *t)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(2 * LIMIT_DNS_TEXT + 1024);
	struct sv reports = SV("");

	render(g->w, t, &out);
	plan_after(c,
		&(struct domain_value){
			.type = AUTHN_TXT, .data = arena_sv(&g->p->arena, buf_sv(&out)) });
	plan_judge(c);
	/* Only blanks differ: nobody reads it otherwise. */
	if (g->w->stage == DOMAIN_STAGE_KEEP && g->w->report_to.len == 0 && c->before_count) {
		c->after[0] = c->before[0];
		c->deed = DOMAIN_IS_RIGHT;
	}
	(void)authn_tags_get(t, SV("rua"), &reports);
	tell(g, c, stage_of(t), reports);
}

void plan_dmarc(struct domain_planning *g)
{
	struct domain_change *c = plan_add(g, "DMARC", SV("_dmarc"), AUTHN_TXT);
	const struct authn_answer *a = plan_read(g, c);
	struct authn_tags tags = { .count = 0 };

	if (!a)
		return;
	if (a->alias.len) {
		plan_block(c,
			plan_text(g,
				"the record is kept elsewhere: a CNAME leads to %.*s",
				SV_ARG(a->alias)),
			SV("Change the policy at the service that keeps it, or remove the CNAME "
			   "first"));
		return;
	}
	for (size_t i = 0; i < a->count; i++) {
		if (sv_starts_nocase(a->records[i].data, SV("v=DMARC1")))
			plan_before(g,
				c,
				&(struct domain_value){
					.type = AUTHN_TXT, .data = a->records[i].data });
	}
	if (c->before_count > 1) {
		plan_block(c,
			SV("there are several DMARC records, so that none counts"),
			SV("Remove all but one, then plan again"));
		return;
	}
	if (c->before_count && authn_tags_parse(c->before[0].data, &tags) != 0) {
		plan_block(c,
			SV("the DMARC record cannot be read"),
			SV("Correct it by hand: tags as p=none, with ';' between"));
		return;
	}
	plan_record(g, c, &tags);
}
