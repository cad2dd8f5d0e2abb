/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/spf_survey.h"

#include "authn/spf_priv.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>

enum {
	VERSION_LEN = 6, /* "v=spf1" */
};

struct surveyor {
	struct authn_memo *memo;
	struct spf_survey *s;
	struct sv given; /* stands for the first record; empty: what is published */
	bool waits;
	bool in_include;
	/* The records on the way down, for loops. */
	struct sv path[SPF_SURVEY_DEPTH_MAX + 1];
	size_t depth;
};

/* The first fault of the worst kind is told. */
static void survey_fault(
	struct surveyor *y, enum spf_survey_status status, const char *what, struct sv where)
{
	if (y->s->status >= status && y->s->status != SPF_SURVEY_GOOD)
		return;
	y->s->status = status;
	(void)snprintf(
		y->s->problem, sizeof(y->s->problem), "%s: %.*s", what, SV_ARG(sv_head(where, 90)));
}

static struct spf_survey_term *survey_note(
	struct surveyor *y, const struct spf_term *t, struct sv target)
{
	struct spf_survey *s = y->s;
	struct spf_survey_term *n;

	if (s->term_count == SPF_SURVEY_TERMS_MAX)
		return NULL;
	n = &s->terms[s->term_count++];
	*n = (struct spf_survey_term){ .text = t->text, .depth = (unsigned)y->depth - 1 };
	(void)snprintf(n->at, sizeof(n->at), "%.*s", SV_ARG(y->path[y->depth - 1]));
	(void)snprintf(
		n->target, sizeof(n->target), "%.*s", SV_ARG(sv_head(target, LIMIT_DNS_NAME)));
	return n;
}

static void survey_record(struct surveyor *y, struct sv domain, bool wanted);

/* a, mx and exists that find nothing: receivers stop at the third. */
static void survey_name(struct surveyor *y, const struct spf_term *t, struct sv name)
{
	const struct authn_answer *a =
		authn_memo_look(y->memo, name, t->kind == SPF_MX ? AUTHN_MX : AUTHN_A);

	if (!a)
		y->waits = true;
	else if (a->status == AUTHN_FAILURE)
		survey_fault(y, SPF_SURVEY_UNKNOWN, "no answer for", name);
	else if (t->kind == SPF_MX && a->count > SPF_HOSTS_MAX)
		survey_fault(y, SPF_SURVEY_BROKEN, "mx with more than ten exchangers", name);
	else if (a->count == 0)
		y->s->voids++;
}

static void survey_term(struct surveyor *y, const struct spf_term *t)
{
	struct sv target = t->target.len ? t->target : y->path[y->depth - 1];
	bool follows = t->kind == SPF_INCLUDE || t->kind == SPF_REDIRECT;
	bool in_include = y->in_include;
	struct spf_survey_term *note;

	if (!spf_kind_asks(t->kind))
		return;
	y->s->lookups++;
	if (target.ptr[target.len - 1] == '.')
		target.len--;
	note = survey_note(y, t, follows ? target : SV(""));
	if (!note)
		return;
	y->s->has_ptr = y->s->has_ptr || t->kind == SPF_PTR;
	if (t->kind != SPF_PTR && sv_find_char(target, '%') < 0) {
		unsigned before = y->s->lookups;

		y->in_include = in_include || t->kind == SPF_INCLUDE;
		if (follows)
			survey_record(y, target, true);
		else
			survey_name(y, t, target);
		y->in_include = in_include;
		note->lookups = y->s->lookups - before;
	}
	note->lookups++;
}

static void survey_terms(struct surveyor *y, struct sv record)
{
	struct spf_term t, redirect = { 0 };
	bool has_all = false;

	while (spf_term_next(&record, &t) == 1) {
		bool everybody = t.kind == SPF_ALL || (t.kind == SPF_IP4 && t.prefix4 == 0) ||
				 (t.kind == SPF_IP6 && t.prefix6 == 0);

		if (t.kind == SPF_REDIRECT) {
			redirect = t;
			continue;
		}
		if (everybody && t.result == SPF_PASS)
			y->s->allows_everybody = true;
		if (t.kind == SPF_ALL) {
			has_all = true;
			if (!y->in_include) {
				y->s->has_all = true;
				y->s->all = t.result;
			}
			break; /* nothing behind it is looked at by anybody */
		}
		survey_term(y, &t);
	}
	if (redirect.target.len && !has_all)
		survey_term(y, &redirect);
}

static bool survey_is_loop(const struct surveyor *y, struct sv domain)
{
	for (size_t i = 0; i < y->depth; i++) {
		if (sv_eq_nocase(y->path[i], domain))
			return true;
	}
	return false;
}

/* 1: here it is, without its version. 0: there is none, which is noted; or it waits. `wanted`: there has to be a record, as
 * another one leads to it. */
static int survey_find(struct surveyor *y, struct sv domain, bool wanted, struct sv *record)
{
	const struct authn_answer *a = authn_memo_look(y->memo, domain, AUTHN_TXT);

	if (!a) {
		y->waits = true;
		return 0;
	}
	if (a->status == AUTHN_FAILURE) {
		survey_fault(y, SPF_SURVEY_UNKNOWN, "no answer for the record of", domain);
		return 0;
	}
	switch (spf_record_find(a, record)) {
	case 0:
		return 1;
	case RC_LIMIT:
		survey_fault(y,
			wanted ? SPF_SURVEY_BROKEN : SPF_SURVEY_SEVERAL,
			"several SPF records at",
			domain);
		return 0;
	default:
		if (a->cut)
			survey_fault(y, SPF_SURVEY_UNKNOWN, "too many records at", domain);
		else if (wanted)
			survey_fault(y,
				SPF_SURVEY_BROKEN,
				"a name without an SPF record is included",
				domain);
		return 0;
	}
}

static void survey_record(struct surveyor *y, struct sv domain, bool wanted)
{
	struct spf_term redirect, exp;
	struct sv record = { 0 }, bad = { 0 };

	if (survey_is_loop(y, domain) || y->depth > SPF_SURVEY_DEPTH_MAX) {
		survey_fault(y, SPF_SURVEY_BROKEN, "records that include each other", domain);
		return;
	}
	if (!wanted && y->given.len)
		record = sv_skip(y->given, VERSION_LEN);
	else if (!survey_find(y, domain, wanted, &record))
		return;
	if (!wanted) {
		y->s->status = SPF_SURVEY_GOOD;
		y->s->record = sv_make(record.ptr - VERSION_LEN, record.len + VERSION_LEN);
	}
	y->path[y->depth++] = domain;
	if (spf_record_check(record, &redirect, &exp, &bad) != 0)
		survey_fault(y, SPF_SURVEY_BROKEN, "a term that cannot be read", bad);
	else
		survey_terms(y, record);
	y->depth--;
}

bool spf_survey_of(
	struct authn_memo *memo, struct sv domain, struct sv record, struct spf_survey *out_survey)
{
	struct surveyor y = { .memo = memo, .s = out_survey, .given = record };

	*out_survey = (struct spf_survey){ .status = SPF_SURVEY_NONE };
	survey_record(&y, domain, false);
	if (y.waits)
		return false;
	if (out_survey->status == SPF_SURVEY_GOOD && out_survey->lookups > SPF_TERMS_MAX)
		survey_fault(&y,
			SPF_SURVEY_TOO_MANY,
			"more than ten terms that ask, in all records together, from",
			domain);
	if (out_survey->status == SPF_SURVEY_GOOD && out_survey->voids > SPF_VOID_MAX)
		survey_fault(&y,
			SPF_SURVEY_TOO_MANY,
			"more than two terms ask for names without records, from",
			domain);
	return true;
}

bool spf_survey(struct authn_memo *memo, struct sv domain, struct spf_survey *out_survey)
{
	return spf_survey_of(memo, domain, SV(""), out_survey);
}

bool spf_survey_includes(const struct spf_survey *s, struct sv name)
{
	for (size_t i = 0; i < s->term_count; i++) {
		if (sv_eq_nocase(sv_from(s->terms[i].target), name))
			return true;
	}
	return false;
}
