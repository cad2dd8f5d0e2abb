/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/plan.h"

#include "base/must.h"
#include "domain/plan_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	TEXT_MAX = 1200,
};

static const char *const stage_names[] = {
	"keep", "none", "quarantine-test", "quarantine", "reject-test", "reject"
};
_Static_assert(COUNT_OF(stage_names) == DOMAIN_STAGE_COUNT, "a stage without a name");

const char *domain_stage_name(enum domain_stage s)
{
	return s < DOMAIN_STAGE_COUNT ? stage_names[s] : NULL;
}

struct sv plan_text(struct domain_planning *g, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return arena_sv(&g->p->arena, sv_from(text));
}

struct domain_change *plan_add(
	struct domain_planning *g, const char *topic, struct sv prefix, uint16_t type)
{
	struct domain_change *c;

	must(g->p->change_count < DOMAIN_CHANGES_MAX);
	c = &g->p->changes[g->p->change_count++];
	*c = (struct domain_change){ .topic = topic,
		.type = type,
		.name = prefix.len ? plan_text(g, "%.*s.%.*s", SV_ARG(prefix), SV_ARG(g->w->domain))
				   : g->w->domain };
	return c;
}

const struct authn_answer *plan_look(struct domain_planning *g, struct sv name, uint16_t type)
{
	const struct authn_answer *a = authn_memo_look(g->memo, name, (enum authn_rr)type);

	g->waits = g->waits || !a;
	return a;
}

void plan_block(struct domain_change *c, struct sv why, struct sv step)
{
	c->deed = DOMAIN_BLOCKED;
	c->why = why;
	c->step = step;
	c->after_count = 0;
}

const struct authn_answer *plan_read(struct domain_planning *g, struct domain_change *c)
{
	const struct authn_answer *a = plan_look(g, c->name, c->type);

	if (a && (a->status == AUTHN_FAILURE || a->cut)) {
		plan_block(c,
			SV("no name server told all that is there"),
			SV("Try again later, or with --dns"));
		return NULL;
	}
	return a;
}

void plan_before(struct domain_planning *g, struct domain_change *c, const struct domain_value *v)
{
	if (c->before_count < DOMAIN_VALUES_MAX)
		c->before[c->before_count++] = (struct domain_value){
			v->preference, arena_sv(&g->p->arena, v->data), v->type
		};
}

void plan_after(struct domain_change *c, const struct domain_value *v)
{
	must(c->after_count < DOMAIN_VALUES_MAX);
	c->after[c->after_count++] = *v;
}

static bool value_is(const struct domain_value *a, const struct domain_value *b)
{
	bool is_name = a->type != AUTHN_TXT;

	return a->type == b->type && a->preference == b->preference &&
	       (is_name ? sv_eq_nocase(a->data, b->data) : sv_eq(a->data, b->data));
}

void plan_judge(struct domain_change *c)
{
	bool same = c->before_count == c->after_count;

	for (size_t i = 0; same && i < c->before_count; i++)
		same = value_is(&c->before[i], &c->after[i]);
	c->deed = same ? DOMAIN_IS_RIGHT : DOMAIN_CHANGES;
}

/* ---- DKIM ---- */

/* What stands at a selector: Microsoft's CNAME, another's, or a key by itself. */
static void plan_selector(struct domain_planning *g, unsigned number, struct sv target)
{
	struct domain_change *c =
		plan_add(g, "DKIM", plan_text(g, "selector%u._domainkey", number), AUTHN_CNAME);
	const struct authn_answer *cname = plan_read(g, c), *txt = plan_look(g, c->name, AUTHN_TXT);

	if (!cname || !txt)
		return;
	if (cname->count)
		plan_before(g,
			c,
			&(struct domain_value){
				.type = AUTHN_CNAME, .data = cname->records[0].data });
	for (size_t i = 0; !cname->count && i < txt->count; i++)
		plan_before(g,
			c,
			&(struct domain_value){ .type = AUTHN_TXT, .data = txt->records[i].data });
	plan_after(c, &(struct domain_value){ .type = AUTHN_CNAME, .data = target });
	plan_judge(c);
	c->why = SV("Microsoft keeps the key behind this name, and rotates it there");
	if (c->deed == DOMAIN_CHANGES && c->before_count)
		c->risk = c->before[0].type == AUTHN_TXT
				  ? SV("a key stands here: what another system signs by it fails "
				       "from then on")
				  : SV("mail that is signed by what is here now fails until "
				       "Microsoft signs by the new name");
}

static void plan_dkim(struct domain_planning *g)
{
	for (unsigned i = 0; i < 2; i++) {
		if (g->w->dkim[i].len)
			plan_selector(g, i + 1, g->w->dkim[i]);
	}
}

/* ---- MX ---- */

static void plan_mx(struct domain_planning *g)
{
	struct domain_change *c;
	const struct authn_answer *a;

	if (g->w->mx.len == 0)
		return;
	c = plan_add(g, "MX", SV(""), AUTHN_MX);
	a = plan_read(g, c);
	if (!a)
		return;
	for (size_t i = 0; i < a->count; i++)
		plan_before(g,
			c,
			&(struct domain_value){ .type = AUTHN_MX,
				.preference = a->records[i].preference,
				.data = a->records[i].data });
	plan_after(c, &(struct domain_value){ .type = AUTHN_MX, .data = g->w->mx });
	plan_judge(c);
	c->why = SV("mail for the domain arrives at Microsoft 365");
	if (c->deed == DOMAIN_CHANGES && c->before_count)
		c->risk = SV("mail for the domain arrives elsewhere from then on: the mailboxes "
			     "have to be there first");
}

bool domain_plan(const struct domain_wish *w, struct authn_memo *memo, struct domain_plan *p)
{
	struct domain_planning g = { .w = w, .memo = memo, .p = p };

	arena_reset(&p->arena);
	*p = (struct domain_plan){ .domain = w->domain };
	plan_spf(&g);
	plan_dkim(&g);
	plan_dmarc(&g);
	plan_mx(&g);
	return !g.waits;
}

void domain_plan_deinit(struct domain_plan *p)
{
	arena_reset(&p->arena);
}

const struct domain_change *domain_plan_of(const struct domain_plan *p, const char *topic)
{
	for (size_t i = 0; i < p->change_count; i++) {
		if (strcmp(p->changes[i].topic, topic) == 0)
			return &p->changes[i];
	}
	return NULL;
}

size_t domain_plan_count(const struct domain_plan *p, enum domain_deed deed)
{
	size_t n = 0;

	for (size_t i = 0; i < p->change_count; i++)
		n += p->changes[i].deed == deed;
	return n;
}
