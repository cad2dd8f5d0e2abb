/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/spf_merge.h"

#include "authn/spf_priv.h"
#include "base/err.h"

struct merging {
	const struct spf_merge *m;
	struct buf *out;
	struct sv *bad;
	bool has_all, has_exp;
	enum spf_result all;    /* the mildest of those that are there */
	struct sv redirect;     /* its domain; empty: none */
	struct sv modifiers[8]; /* exp= and those that nobody knows */
	size_t modifier_count;
	int rc;
};

/* "+a" is "a". */
static struct sv bare(struct sv term)
{
	return term.len && term.ptr[0] == '+' ? sv_skip(term, 1) : term;
}

static bool is_listed(const struct sv *list, size_t count, struct sv term)
{
	for (size_t i = 0; i < count; i++) {
		if (sv_eq_nocase(bare(list[i]), bare(term)))
			return true;
	}
	return false;
}

static void append(struct merging *g, struct sv term)
{
	if (g->rc == 0 && term.len) {
		g->rc = buf_append_char(g->out, ' ');
		if (g->rc == 0)
			g->rc = buf_append(g->out, term);
	}
}

/* It stands in the new record already. */
static bool is_there(const struct merging *g, struct sv term)
{
	struct sv rest = buf_sv(g->out), one;

	for (bool more = true; more;) {
		more = sv_cut_char(&rest, ' ', &one);
		if (sv_eq_nocase(bare(one), bare(term)))
			return true;
	}
	return false;
}

static void note_modifier(struct merging *g, const struct spf_term *t)
{
	if (t->kind == SPF_REDIRECT) {
		/* Two records that lead elsewhere: one of them has to be written out by a person. */
		if (g->redirect.len && !sv_eq_nocase(g->redirect, t->target)) {
			g->rc = RC_PARSE;
			*g->bad = t->text;
		}
		g->redirect = t->target;
	} else if ((t->kind != SPF_EXP || !g->has_exp) &&
		   g->modifier_count < sizeof(g->modifiers) / sizeof(g->modifiers[0])) {
		g->modifiers[g->modifier_count++] = t->text;
		g->has_exp = g->has_exp || t->kind == SPF_EXP; /* a second one is an error */
	}
}

static void take_all(struct merging *g, enum spf_result result)
{
	/* From the mildest to the strictest. */
	static const int order[SPF_RESULT_COUNT] = {
		[SPF_PASS] = 0, [SPF_NEUTRAL] = 1, [SPF_SOFTFAIL] = 2, [SPF_FAIL] = 3
	};

	if (!g->has_all || order[result] < order[g->all])
		g->all = result;
	g->has_all = true;
}

static void take_record(struct merging *g, struct sv record)
{
	bool over = false; /* behind its "all", where nobody looks */
	struct spf_term t;
	int rc;

	record = sv_skip(record, sizeof("v=spf1") - 1);
	while (g->rc == 0 && (rc = spf_term_next(&record, &t)) != 0) {
		/* What cannot be read can be dropped all the same. */
		if (is_listed(g->m->drop, g->m->drop_count, t.text)) {
			continue;
		} else if (rc != 1) {
			g->rc = RC_PARSE;
			*g->bad = t.text;
		} else if (t.kind == SPF_REDIRECT || t.kind == SPF_EXP || t.kind == SPF_MODIFIER) {
			note_modifier(g, &t);
		} else if (t.kind == SPF_ALL) {
			if (!over)
				take_all(g, t.result);
			over = true;
		} else if (!over && !is_there(g, t.text)) {
			append(g, t.text);
		}
	}
}

static void check_drops(struct merging *g)
{
	for (size_t d = 0; g->rc == 0 && d < g->m->drop_count; d++) {
		bool found = false;

		for (size_t i = 0; i < g->m->record_count; i++) {
			struct sv rest = g->m->records[i], term;

			for (bool more = true; more;) {
				more = sv_cut_char(&rest, ' ', &term);
				found = found || sv_eq_nocase(bare(term), bare(g->m->drop[d]));
			}
		}
		if (!found) {
			g->rc = RC_NOT_FOUND;
			*g->bad = g->m->drop[d];
		}
	}
}

static void append_all(struct merging *g)
{
	static const char marks[SPF_RESULT_COUNT] = {
		[SPF_PASS] = '+', [SPF_NEUTRAL] = '?', [SPF_SOFTFAIL] = '~', [SPF_FAIL] = '-'
	};
	char text[] = "~all";

	if (g->m->all)
		text[0] = g->m->all;
	else if (g->has_all)
		text[0] = marks[g->all];
	else if (g->m->record_count)
		return; /* it says neutral, as before */
	append(g, sv_from(text));
}

int spf_merge(const struct spf_merge *m, struct buf *out, struct sv *out_bad)
{
	struct merging g = { .m = m, .out = out, .bad = out_bad };
	bool redirects;

	g.rc = buf_append(out, SV("v=spf1"));
	for (size_t i = 0; i < m->add_count; i++) {
		if (!is_there(&g, m->add[i]))
			append(&g, m->add[i]);
	}
	for (size_t i = 0; i < m->record_count; i++)
		take_record(&g, m->records[i]);
	check_drops(&g);
	/* Beside an "all" a redirect says nothing. Where the "all" is new, or another record's, an include says what it said. */
	redirects = g.redirect.len && !g.has_all && !m->all;
	if (g.redirect.len && !redirects && !(m->record_count == 1 && g.has_all)) {
		append(&g, SV("include:"));
		if (g.rc == 0)
			g.rc = buf_append(out, g.redirect);
	}
	if (redirects) {
		append(&g, SV("redirect="));
		if (g.rc == 0)
			g.rc = buf_append(out, g.redirect);
	} else {
		append_all(&g);
	}
	for (size_t i = 0; i < g.modifier_count; i++)
		append(&g, g.modifiers[i]);
	if (g.rc == 0 && out->len > SPF_MERGE_MAX)
		g.rc = RC_LIMIT;
	return g.rc;
}

bool spf_merge_takes(struct sv term)
{
	struct sv rest = term;
	struct spf_term t;

	return sv_find_char(term, ' ') < 0 && spf_term_next(&rest, &t) == 1 && t.kind != SPF_ALL &&
	       t.kind < SPF_REDIRECT && t.result == SPF_PASS;
}
