/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/spf.h"

#include "authn/spf_priv.h"
#include "base/err.h"
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SPF_WAITS = SPF_RESULT_COUNT, /* an answer is missing: the whole is run again */
	SPF_NO_MATCH,
	/* Ten terms, each with ten hosts; the records; the PTR and its ten names. */
	QUESTIONS_MAX = SPF_TERMS_MAX * (SPF_HOSTS_MAX + 1) + SPF_TERMS_MAX + SPF_HOSTS_MAX + 8,
	EXPANDED_MAX = 4096,
};

struct eval {
	const struct spf_input *in;
	struct authn_memo *memo;
	struct spf_verdict *v;
	struct spf_macro macro;
	struct sv exp; /* of the record that decided last */
};

struct spf {
	struct spf_input in;
	struct authn_memo *memo;
	struct authn_question question;
	struct spf_verdict verdict;
};

static const char *const result_names[] = {
	[SPF_NONE] = "none",
	[SPF_NEUTRAL] = "neutral",
	[SPF_PASS] = "pass",
	[SPF_FAIL] = "fail",
	[SPF_SOFTFAIL] = "softfail",
	[SPF_TEMPERROR] = "temperror",
	[SPF_PERMERROR] = "permerror",
};
_Static_assert(sizeof(result_names) / sizeof(result_names[0]) == SPF_RESULT_COUNT,
	"a result without a name");

const char *spf_result_name(enum spf_result r)
{
	return result_names[r];
}

static int spf_error(struct eval *e, enum spf_result r, const char *what, struct sv where)
{
	(void)snprintf(e->v->problem,
		sizeof(e->v->problem),
		"%s: %.*s",
		what,
		SV_ARG(sv_head(where, 100)));
	return (int)r;
}

/* A term that asks (4.6.4). False: one too many. */
static bool count_term(struct eval *e)
{
	return ++e->v->lookups <= SPF_TERMS_MAX;
}

/* An answer of a term's own question. SPF_PASS: go on with it. */
static int take_answer(struct eval *e, const struct authn_answer *a, struct sv name)
{
	if (!a)
		return SPF_WAITS;
	if (a->status == AUTHN_FAILURE)
		return spf_error(
			e, SPF_TEMPERROR, "no answer for a name that a term asks for", name);
	if (a->count == 0 && ++e->v->voids > SPF_VOID_MAX)
		return spf_error(e,
			SPF_PERMERROR,
			"more than two terms ask for names without records, the third is",
			name);
	return SPF_PASS;
}

static bool in_network(const unsigned char *a, const unsigned char *b, unsigned prefix)
{
	unsigned whole = prefix / 8, bits = prefix % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return bits == 0 || ((a[whole] ^ b[whole]) >> (8 - bits)) == 0;
}

static bool address_is_among(
	const struct eval *e, const struct authn_answer *a, const struct spf_term *t)
{
	size_t size = e->in->is_ipv6 ? 16 : 4;
	unsigned prefix = e->in->is_ipv6 ? t->prefix6 : t->prefix4;

	for (size_t i = 0; i < a->count; i++) {
		if (a->records[i].data.len == size &&
			in_network((const unsigned char *)a->records[i].data.ptr,
				e->in->address,
				prefix))
			return true;
	}
	return false;
}

static enum authn_rr address_type(const struct eval *e)
{
	return e->in->is_ipv6 ? AUTHN_AAAA : AUTHN_A;
}

static int match_a(struct eval *e, const struct spf_term *t, struct sv name)
{
	const struct authn_answer *a = authn_memo_look(e->memo, name, address_type(e));
	int r = take_answer(e, a, name);

	if (r != SPF_PASS)
		return r;
	return address_is_among(e, a, t) ? SPF_PASS : SPF_NO_MATCH;
}

static int match_mx(struct eval *e, const struct spf_term *t, struct sv name)
{
	const struct authn_answer *mx = authn_memo_look(e->memo, name, AUTHN_MX), *a;
	int r = take_answer(e, mx, name);

	if (r != SPF_PASS)
		return r;
	if (mx->count > SPF_HOSTS_MAX)
		return spf_error(e, SPF_PERMERROR, "mx with more than ten exchangers", name);
	for (size_t i = 0; i < mx->count; i++) {
		struct sv host = mx->records[i].data;

		a = authn_memo_look(e->memo, host, address_type(e));
		if (!a)
			return SPF_WAITS;
		if (a->status == AUTHN_FAILURE)
			return spf_error(e, SPF_TEMPERROR, "no answer for an exchanger", host);
		if (address_is_among(e, a, t))
			return SPF_PASS;
	}
	return SPF_NO_MATCH;
}

static bool is_within(struct sv name, struct sv domain)
{
	return sv_eq_nocase(name, domain) || authn_name_is_below(name, domain);
}

static const struct authn_answer *ask_ptr(struct eval *e)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(128);

	spf_address_labels(e->in->address, e->in->is_ipv6, true, &name);
	must(buf_append(&name, e->in->is_ipv6 ? SV(".ip6.arpa") : SV(".in-addr.arpa")) == 0);
	return authn_memo_look(e->memo, buf_sv(&name), AUTHN_PTR);
}

/* The names of the address that lead back to it: the domain's own first, then one below it, then any (7.3).
 * SPF_PASS with *out_name, SPF_NO_MATCH, SPF_WAITS. */
static int find_validated(
	struct eval *e, const struct authn_answer *ptr, struct sv domain, struct sv *out_name)
{
	static const struct spf_term exact = { .prefix4 = 32, .prefix6 = 128 };
	unsigned best = 0;
	bool waits = false;

	for (size_t i = 0; i < ptr->count && i < SPF_HOSTS_MAX; i++) {
		struct sv name = ptr->records[i].data;
		const struct authn_answer *a = authn_memo_look(e->memo, name, address_type(e));
		unsigned rank = sv_eq_nocase(name, domain) ? 3 : is_within(name, domain) ? 2 : 1;

		waits = waits || !a;
		if (a && rank > best && address_is_among(e, a, &exact)) {
			best = rank;
			*out_name = name;
		}
	}
	return waits ? SPF_WAITS : best ? SPF_PASS : SPF_NO_MATCH;
}

static int match_ptr(struct eval *e, struct sv domain)
{
	const struct authn_answer *a = ask_ptr(e);
	struct sv name = { 0 };
	int r;

	if (a && a->status == AUTHN_FAILURE)
		return SPF_NO_MATCH;
	r = take_answer(e, a, domain);
	if (r == SPF_PASS)
		r = find_validated(e, a, domain, &name);
	return r == SPF_PASS && !is_within(name, domain) ? SPF_NO_MATCH : r;
}

/* Sets what %{p} stands for, where `text` has it. SPF_WAITS, or SPF_PASS. */
static int prepare_macro(struct eval *e, struct sv text)
{
	const struct authn_answer *a;

	e->macro.validated = SV("unknown");
	if (!spf_macro_wants_name(text))
		return SPF_PASS;
	a = ask_ptr(e);
	if (!a)
		return SPF_WAITS;
	return find_validated(e, a, e->macro.domain, &e->macro.validated) == SPF_WAITS ? SPF_WAITS
										       : SPF_PASS;
}

static int spf_host(struct eval *e, struct sv domain);

static int match_include(struct eval *e, struct sv name)
{
	struct sv outer = e->macro.domain;
	int r = spf_host(e, name);

	e->macro.domain = outer;
	switch (r) {
	case SPF_PASS:
	case SPF_WAITS:
	case SPF_TEMPERROR:
	case SPF_PERMERROR:
		return r;
	case SPF_NONE:
		return spf_error(e, SPF_PERMERROR, "include of a name without an SPF record", name);
	default:
		return SPF_NO_MATCH;
	}
}

static int match_exists(struct eval *e, struct sv name)
{
	const struct authn_answer *a = authn_memo_look(e->memo, name, AUTHN_A);
	int r = take_answer(e, a, name);

	return r == SPF_PASS && a->count == 0 ? SPF_NO_MATCH : r;
}

static int match_named(struct eval *e, const struct spf_term *t, struct sv name)
{
	if (t->kind == SPF_INCLUDE)
		return match_include(e, name);
	if (t->kind == SPF_A)
		return match_a(e, t, name);
	if (t->kind == SPF_MX)
		return match_mx(e, t, name);
	if (t->kind == SPF_PTR)
		return match_ptr(e, name);
	return match_exists(e, name);
}

/* A view into the memo's or the input's memory, or *text. */
static int target_name(struct eval *e, struct sv target, struct buf *text, struct sv *out_name)
{
	int r;

	*out_name = e->macro.domain;
	if (target.len == 0)
		return SPF_PASS;
	r = prepare_macro(e, target);
	if (r != SPF_PASS)
		return r;
	if (spf_macro_name(&e->macro, target, text) != 0)
		return spf_error(e, SPF_PERMERROR, "a name that is too long", target);
	*out_name = buf_sv(text);
	return SPF_PASS;
}

/* SPF_PASS: it matches. */
static int match_term(struct eval *e, const struct spf_term *t)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(EXPANDED_MAX);
	struct sv name;
	int r;

	if (t->kind == SPF_ALL)
		return SPF_PASS;
	if (t->kind == SPF_IP4)
		return !e->in->is_ipv6 && in_network(t->address, e->in->address, t->prefix4)
			       ? SPF_PASS
			       : SPF_NO_MATCH;
	if (t->kind == SPF_IP6)
		return e->in->is_ipv6 && in_network(t->address, e->in->address, t->prefix6)
			       ? SPF_PASS
			       : SPF_NO_MATCH;
	if (t->kind >= SPF_REDIRECT)
		return SPF_NO_MATCH; /* modifiers have their turn after the mechanisms */
	if (!count_term(e))
		return spf_error(
			e, SPF_PERMERROR, "more than ten terms that ask, the eleventh is", t->text);
	r = target_name(e, t->target, &text, &name);
	return r == SPF_PASS ? match_named(e, t, name) : r;
}

static int follow_redirect(struct eval *e, struct sv target)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(EXPANDED_MAX);
	struct sv name;
	int r;

	if (!count_term(e))
		return spf_error(e,
			SPF_PERMERROR,
			"more than ten terms that ask, the eleventh is redirect=",
			target);
	r = target_name(e, target, &text, &name);
	if (r != SPF_PASS)
		return r;
	r = spf_host(e, name);
	if (r == SPF_NONE)
		return spf_error(
			e, SPF_PERMERROR, "redirect to a name without an SPF record", name);
	return r;
}

static void note_decision(struct eval *e, struct sv term, struct sv exp)
{
	e->exp = exp;
	(void)snprintf(e->v->domain,
		sizeof(e->v->domain),
		"%.*s",
		SV_ARG(sv_head(e->macro.domain, LIMIT_DNS_NAME)));
	(void)snprintf(e->v->term, sizeof(e->v->term), "%.*s", SV_ARG(term));
}

/* The record of a name. SPF_PASS with *out_record and *out_domain, a view that stays. */
static int get_record(struct eval *e, struct sv domain, struct sv *out_record)
{
	const struct authn_answer *a = authn_memo_look(e->memo, domain, AUTHN_TXT);

	if (!a)
		return SPF_WAITS;
	if (a->status == AUTHN_FAILURE)
		return spf_error(e, SPF_TEMPERROR, "no answer for the record of", domain);
	switch (spf_record_find(a, out_record)) {
	case 0:
		return SPF_PASS;
	case RC_LIMIT:
		return spf_error(e, SPF_PERMERROR, "several SPF records at", domain);
	default:
		/* It may have been among those that were not kept. */
		return a->cut ? spf_error(e, SPF_TEMPERROR, "too many records at", domain)
			      : SPF_NONE;
	}
}

static int spf_terms(struct eval *e, struct sv record, struct sv redirect, struct sv exp)
{
	struct spf_term t;

	while (spf_term_next(&record, &t) == 1) {
		int r = match_term(e, &t);

		if (r == SPF_NO_MATCH)
			continue;
		if (r == SPF_PASS)
			note_decision(e, t.text, exp);
		return r == SPF_PASS ? (int)t.result : r;
	}
	if (redirect.len)
		return follow_redirect(e, redirect);
	note_decision(e, SV(""), exp);
	return SPF_NEUTRAL;
}

/* check_host() of 4. The name is copied: it may stand in a buffer of who calls. */
static int spf_host(struct eval *e, struct sv domain)
{
	struct spf_term redirect = { 0 }, exp = { 0 };
	struct sv record, bad = { 0 };
	char own[LIMIT_DNS_NAME + 1];
	int r;

	if (!authn_name_is_valid(domain))
		return SPF_NONE;
	r = get_record(e, domain, &record);
	if (r != SPF_PASS)
		return r;
	if (spf_record_check(record, &redirect, &exp, &bad) != 0)
		return spf_error(e, SPF_PERMERROR, "a term that cannot be read", bad);
	(void)snprintf(own, sizeof(own), "%.*s", SV_ARG(sv_head(domain, LIMIT_DNS_NAME)));
	e->macro.domain = sv_from(own);
	r = spf_terms(e, record, redirect.target, exp.target);
	e->macro.domain = (struct sv){ 0 }; /* it ends with this function */
	return r;
}

/* What exp= leads to (6.2). Whatever is wrong with it, there is no explanation then. False: waits. */
static bool explain(struct eval *e)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(EXPANDED_MAX);
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SPF_EXPLANATION_MAX);
	const struct authn_answer *a;
	bool is_spec;

	e->macro.domain = sv_from(e->v->domain);
	if (prepare_macro(e, e->exp) == SPF_WAITS)
		return false;
	if (spf_macro_name(&e->macro, e->exp, &name) != 0)
		return true;
	a = authn_memo_look(e->memo, buf_sv(&name), AUTHN_TXT);
	if (!a)
		return false;
	if (a->count != 1 || spf_macro_check(a->records[0].data, true, &is_spec) != 0)
		return true;
	if (prepare_macro(e, a->records[0].data) == SPF_WAITS)
		return false;
	if (spf_macro_expand(&e->macro, a->records[0].data, &text) == 0)
		(void)snprintf(e->v->explanation,
			sizeof(e->v->explanation),
			"%.*s",
			SV_ARG(buf_sv(&text)));
	return true;
}

static void set_sender(struct eval *e)
{
	ptrdiff_t at = sv_rfind_char(e->in->sender, '@');

	e->macro.local = at > 0 ? sv_head(e->in->sender, (size_t)at) : SV("postmaster");
	e->macro.sender_domain =
		e->in->sender.len ? sv_skip(e->in->sender, (size_t)(at + 1)) : e->in->helo;
}

bool spf_check(const struct spf_input *in, struct authn_memo *memo, struct spf_verdict *out_verdict)
{
	struct eval e = { .in = in, .memo = memo, .v = out_verdict, .macro = { .in = in } };
	struct sv domain;
	int r;

	*out_verdict = (struct spf_verdict){ .result = SPF_NONE };
	set_sender(&e);
	domain = e.macro.sender_domain;
	if (domain.len && domain.ptr[domain.len - 1] == '.')
		domain.len--;
	if (!authn_name_is_valid(domain) || sv_find_char(domain, '.') < 0)
		return true;
	r = spf_host(&e, domain);
	if (r == SPF_WAITS)
		return false;
	out_verdict->result = (enum spf_result)r;
	return r != SPF_FAIL || e.exp.len == 0 || explain(&e);
}

struct spf *spf_new(const struct spf_input *in)
{
	struct spf *s = xcalloc(1, sizeof(*s));

	s->in = *in;
	s->memo = authn_memo_new(QUESTIONS_MAX);
	return s;
}

void spf_free(struct spf *s)
{
	if (!s)
		return;
	authn_memo_free(s->memo);
	free(s);
}

void spf_freep(struct spf **s)
{
	spf_free(*s);
}

enum authn_next spf_next(struct spf *s, struct authn_question *out_question)
{
	if (spf_check(&s->in, s->memo, &s->verdict))
		return AUTHN_DONE;
	/* It waits for something, and that was not handed out: the last question was answered. */
	must(authn_memo_next(s->memo, &s->question));
	*out_question = s->question;
	return AUTHN_ASK;
}

void spf_answer(struct spf *s, const struct authn_answer *a)
{
	authn_memo_answer(s->memo, &s->question, a);
}

const struct spf_verdict *spf_verdict(const struct spf *s)
{
	return &s->verdict;
}
