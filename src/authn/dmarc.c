/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/dmarc.h"

#include "base/buf.h"
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WALK_MAX = 8,    /* look-ups of one walk (RFC 9989 4.10) */
	WALK_LABELS = 7, /* what a name of more is cut to after the first */
	/* The author's walk, one for each identifier, and the look whether the author's domain exists. */
	DMARC_QUESTIONS_MAX = WALK_MAX * (DMARC_SIGNATURES_MAX + 2) + 1,
};

struct dmarc {
	struct dmarc_input in;
	struct sv signatures[DMARC_SIGNATURES_MAX], unknown[DMARC_SIGNATURES_MAX];
	struct authn_memo *memo;
	struct authn_question question;
	struct dmarc_verdict verdict;
};

static const char *const result_names[] = { "none", "pass", "fail", "temperror" };
_Static_assert(sizeof(result_names) / sizeof(result_names[0]) == DMARC_RESULT_COUNT,
	"a result without a name");

const char *dmarc_result_name(enum dmarc_result r)
{
	return result_names[r];
}

static size_t label_count(struct sv name)
{
	size_t count = name.len ? 1 : 0;

	for (size_t i = 0; i < name.len; i++)
		count += name.ptr[i] == '.';
	return count;
}

static struct sv parent_of(struct sv name)
{
	struct sv label;

	return sv_cut_char(&name, '.', &label) ? name : (struct sv){ 0 };
}

static struct sv without_dot(struct sv name)
{
	return name.len && name.ptr[name.len - 1] == '.' ? sv_head(name, name.len - 1) : name;
}

static void set_name(char out[LIMIT_DNS_NAME + 1], struct sv name)
{
	(void)snprintf(out, LIMIT_DNS_NAME + 1, "%.*s", SV_ARG(sv_head(name, LIMIT_DNS_NAME)));
}

enum seen {
	SEEN_NOTHING,
	SEEN_RECORD,
	SEEN_SEVERAL,
	SEEN_FAILURE,
	SEEN_WAITS
};

/* The record at a name itself. */
static enum seen look_at(struct authn_memo *memo, struct sv name, struct dmarc_record *out)
{
	CLEANUP(buf_deinitp) struct buf full = BUF_INIT(2 * LIMIT_DNS_NAME);
	const struct authn_answer *a;
	struct dmarc_record r;
	unsigned count = 0;

	/* Of any length: it may stand in a record, or in a message. */
	if (!authn_name_is_valid(name))
		return SEEN_NOTHING;
	must(buf_printf(&full, "_dmarc.%.*s", SV_ARG(name)) == 0);
	a = authn_memo_look(memo, buf_sv(&full), AUTHN_TXT);
	if (!a)
		return SEEN_WAITS;
	if (a->status == AUTHN_FAILURE)
		return SEEN_FAILURE;
	for (size_t i = 0; i < a->count; i++) {
		if (dmarc_record_parse(a->records[i].data, &r) == 0 && count++ == 0)
			*out = r;
	}
	/* It may have been among those that were not kept. */
	if (count == 0 && a->cut)
		return SEEN_FAILURE;
	return count == 0 ? SEEN_NOTHING : count == 1 ? SEEN_RECORD : SEEN_SEVERAL;
}

struct walk {
	struct sv start;
	struct sv organisation;
	struct sv failed, several;
	bool own_is_there, org_is_there, psd_is_there;
	struct dmarc_record own, org, psd;
	struct sv org_name, psd_name;
	unsigned lookups;
};

/* One label below `suffix`, on the way to `name`. */
static struct sv name_below(struct sv name, struct sv suffix)
{
	while (label_count(name) > label_count(suffix) + 1)
		name = parent_of(name);
	return name;
}

/* What the record at `name` means. True: the walk ends. */
static bool walk_take(struct walk *w, struct sv name, const struct dmarc_record *r)
{
	bool own = name.len == w->start.len;

	if (own) {
		w->own = *r;
		w->own_is_there = true;
	}
	if (r->psd == DMARC_PSD_YES && !own) {
		w->psd = *r;
		w->psd_is_there = true;
		w->psd_name = name;
		w->organisation = name_below(w->start, name);
		return true;
	}
	w->organisation = name;
	w->org_name = name;
	w->org = *r;
	w->org_is_there = true;
	return r->psd != DMARC_PSD_UNKNOWN;
}

/* SEEN_RECORD: walked to the end. */
static enum seen walk_up(struct authn_memo *memo, struct sv start, struct walk *w)
{
	struct sv name = start;
	struct dmarc_record r = { 0 };

	*w = (struct walk){ .start = start, .organisation = start };
	while (name.len && w->lookups < WALK_MAX) {
		enum seen s = look_at(memo, name, &r);

		if (s == SEEN_WAITS)
			return s;
		w->lookups++;
		if (s == SEEN_FAILURE) {
			w->failed = name;
			return s;
		}
		if (s == SEEN_SEVERAL && w->several.len == 0)
			w->several = name;
		if (s == SEEN_RECORD && walk_take(w, name, &r))
			break;
		do {
			name = parent_of(name);
		} while (label_count(name) > WALK_LABELS);
	}
	/* A suffix made another name the organisation than the last that has a record. */
	if (w->org_name.len != w->organisation.len)
		w->org_is_there = false;
	return SEEN_RECORD;
}

bool dmarc_organisation(struct authn_memo *memo, struct sv name, char out_name[LIMIT_DNS_NAME + 1],
	enum dmarc_status *out_status)
{
	struct walk w;
	enum seen s = walk_up(memo, without_dot(name), &w);

	if (s == SEEN_WAITS)
		return false;
	*out_status = s == SEEN_FAILURE                  ? DMARC_UNKNOWN
		      : w.org_is_there || w.psd_is_there ? DMARC_RECORD
							 : DMARC_NO_RECORD;
	set_name(out_name, w.organisation);
	return true;
}

/* A policy that was made for what lies below its name: np where the author's domain does not exist, else sp. */
static bool inherit(struct authn_memo *memo, struct sv domain, struct dmarc_found *f)
{
	const struct authn_answer *a;

	f->policy = f->record.sp;
	(void)snprintf(f->tag, sizeof(f->tag), "%s", f->record.has_sp ? "sp" : "p");
	if (!f->record.has_np)
		return true;
	a = authn_memo_look(memo, domain, AUTHN_A);
	if (a && a->status == AUTHN_NXDOMAIN) {
		f->policy = f->record.np;
		(void)snprintf(f->tag, sizeof(f->tag), "np");
	}
	return a != NULL;
}

static enum dmarc_status status_of(const struct dmarc_record *r)
{
	return r->notes & DMARC_VOID ? DMARC_NO_RECORD : DMARC_RECORD;
}

bool dmarc_discover(struct authn_memo *memo, struct sv domain, struct dmarc_found *out_found)
{
	struct dmarc_found f = { .status = DMARC_NO_RECORD, .tag = "p" };
	struct walk w;
	enum seen s;

	domain = without_dot(domain);
	s = walk_up(memo, domain, &w);
	if (s == SEEN_WAITS)
		return false;
	f.lookups = w.lookups;
	set_name(f.organisation, w.organisation);
	set_name(f.several, w.several);
	*out_found = f;
	/* The own record is enough to know the policy, whatever is above. */
	if (s == SEEN_FAILURE && !w.own_is_there) {
		out_found->status = DMARC_UNKNOWN;
		set_name(out_found->at, w.failed);
		return true;
	}
	if (w.own_is_there) {
		out_found->status = status_of(&w.own);
		out_found->record = w.own;
		out_found->policy = w.own.p;
		set_name(out_found->at, domain);
		return true;
	}
	if (!w.org_is_there && !w.psd_is_there)
		return true;
	out_found->record = w.org_is_there ? w.org : w.psd;
	out_found->status = status_of(&out_found->record);
	set_name(out_found->at, w.org_is_there ? w.organisation : w.psd_name);
	return inherit(memo, domain, out_found);
}

bool dmarc_align(struct authn_memo *memo, struct sv author, struct sv name, bool strict,
	enum dmarc_alignment *out)
{
	char a[LIMIT_DNS_NAME + 1], b[LIMIT_DNS_NAME + 1];
	enum dmarc_status of_a, of_b;

	author = without_dot(author);
	name = without_dot(name);
	*out = DMARC_NOT_ALIGNED;
	if (!authn_name_is_valid(author) || !authn_name_is_valid(name))
		return true;
	if (sv_eq_nocase(author, name))
		*out = DMARC_ALIGNED;
	if (*out == DMARC_ALIGNED || strict)
		return true;
	if (!dmarc_organisation(memo, author, a, &of_a) ||
		!dmarc_organisation(memo, name, b, &of_b))
		return false;
	if (of_a == DMARC_UNKNOWN || of_b == DMARC_UNKNOWN)
		*out = DMARC_ALIGNMENT_UNKNOWN;
	else if (sv_eq_nocase(sv_from(a), sv_from(b)))
		*out = DMARC_ALIGNED;
	return true;
}

bool dmarc_report_consent(
	struct authn_memo *memo, struct sv domain, struct sv to, enum dmarc_consent *out)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(4 * LIMIT_DNS_NAME);
	enum dmarc_alignment alignment;
	const struct authn_answer *a;
	struct dmarc_record r;

	if (!dmarc_align(memo, domain, to, false, &alignment))
		return false;
	*out = DMARC_CONSENT;
	if (alignment == DMARC_ALIGNED)
		return true;
	if (!authn_name_is_valid(domain) || !authn_name_is_valid(to)) {
		*out = DMARC_NO_CONSENT;
		return true;
	}
	must(buf_printf(&name, "%.*s._report._dmarc.%.*s", SV_ARG(domain), SV_ARG(to)) == 0);
	a = authn_memo_look(memo, buf_sv(&name), AUTHN_TXT);
	if (!a)
		return false;
	*out = a->status == AUTHN_FAILURE || alignment == DMARC_ALIGNMENT_UNKNOWN
		       ? DMARC_CONSENT_UNKNOWN
		       : DMARC_NO_CONSENT;
	for (size_t i = 0; i < a->count; i++) {
		if (dmarc_record_parse(a->records[i].data, &r) == 0)
			*out = DMARC_CONSENT;
	}
	return true;
}

/* Could one that DNS did not tell of have been aligned? False while it waits. */
static bool align_unknown(const struct dmarc_input *in, struct authn_memo *memo,
	const struct dmarc_record *r, bool *out_unknown)
{
	enum dmarc_alignment a = DMARC_NOT_ALIGNED;

	if (in->spf_unknown.len &&
		!dmarc_align(memo, in->author, in->spf_unknown, r->strict_spf, &a))
		return false;
	*out_unknown = *out_unknown || a != DMARC_NOT_ALIGNED;
	for (size_t i = 0; i < in->dkim_unknown_count && i < DMARC_SIGNATURES_MAX && !*out_unknown;
		i++) {
		if (!dmarc_align(memo, in->author, in->dkim_unknown[i], r->strict_dkim, &a))
			return false;
		*out_unknown = a != DMARC_NOT_ALIGNED;
	}
	return true;
}

/* False while it waits. */
static bool align_all(const struct dmarc_input *in, struct authn_memo *memo,
	struct dmarc_verdict *v, bool *out_unknown)
{
	const struct dmarc_record *r = &v->found.record;
	enum dmarc_alignment a;

	if (in->spf.len) {
		if (!dmarc_align(memo, in->author, in->spf, r->strict_spf, &a))
			return false;
		v->spf_aligned = a == DMARC_ALIGNED;
		*out_unknown = a == DMARC_ALIGNMENT_UNKNOWN;
	}
	for (size_t i = 0; i < in->dkim_count && i < DMARC_SIGNATURES_MAX && !v->dkim_aligned;
		i++) {
		if (!dmarc_align(memo, in->author, in->dkim[i], r->strict_dkim, &a))
			return false;
		v->dkim_aligned = a == DMARC_ALIGNED;
		*out_unknown = *out_unknown || a == DMARC_ALIGNMENT_UNKNOWN;
	}
	if (v->spf_aligned || v->dkim_aligned)
		return true;
	return align_unknown(in, memo, r, out_unknown);
}

bool dmarc_check(
	const struct dmarc_input *in, struct authn_memo *memo, struct dmarc_verdict *out_verdict)
{
	struct dmarc_verdict v = { .result = DMARC_NONE };
	bool unknown = false;

	if (!authn_name_is_valid(in->author)) {
		*out_verdict = v;
		return true;
	}
	if (!dmarc_discover(memo, in->author, &v.found))
		return false;
	if (v.found.status == DMARC_RECORD) {
		if (!align_all(in, memo, &v, &unknown))
			return false;
		v.asked = v.found.record.testing ? dmarc_policy_weaker(v.found.policy)
						 : v.found.policy;
		v.result = v.spf_aligned || v.dkim_aligned ? DMARC_PASS
			   : unknown                       ? DMARC_TEMPERROR
							   : DMARC_FAIL;
	} else if (v.found.status == DMARC_UNKNOWN) {
		v.result = DMARC_TEMPERROR;
	}
	*out_verdict = v;
	return true;
}

static size_t keep(struct sv into[DMARC_SIGNATURES_MAX], const struct sv *list, size_t count)
{
	count = count < DMARC_SIGNATURES_MAX ? count : DMARC_SIGNATURES_MAX;
	for (size_t i = 0; i < count; i++)
		into[i] = list[i];
	return count;
}

struct dmarc *dmarc_new(const struct dmarc_input *in)
{
	struct dmarc *d = xcalloc(1, sizeof(*d));

	d->in = *in;
	d->in.dkim_count = keep(d->signatures, in->dkim, in->dkim_count);
	d->in.dkim = d->signatures;
	d->in.dkim_unknown_count = keep(d->unknown, in->dkim_unknown, in->dkim_unknown_count);
	d->in.dkim_unknown = d->unknown;
	d->memo = authn_memo_new(DMARC_QUESTIONS_MAX);
	return d;
}

void dmarc_free(struct dmarc *d)
{
	if (!d)
		return;
	authn_memo_free(d->memo);
	free(d);
}

void dmarc_freep(struct dmarc **d)
{
	dmarc_free(*d);
}

enum authn_next dmarc_next(struct dmarc *d, struct authn_question *out_question)
{
	if (dmarc_check(&d->in, d->memo, &d->verdict))
		return AUTHN_DONE;
	must(authn_memo_next(d->memo, &d->question));
	*out_question = d->question;
	return AUTHN_ASK;
}

void dmarc_answer(struct dmarc *d, const struct authn_answer *a)
{
	authn_memo_answer(d->memo, &d->question, a);
}

const struct dmarc_verdict *dmarc_verdict(const struct dmarc *d)
{
	return &d->verdict;
}
