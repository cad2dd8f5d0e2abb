/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/dmarc.h"

#include "authn/tags.h"
#include "base/err.h"

#include <string.h>

static const char *const policy_names[] = { "none", "quarantine", "reject" };
_Static_assert(sizeof(policy_names) / sizeof(policy_names[0]) == DMARC_POLICY_COUNT,
	"a policy without a name");

const char *dmarc_policy_name(enum dmarc_policy p)
{
	return policy_names[p];
}

enum dmarc_policy dmarc_policy_weaker(enum dmarc_policy p)
{
	return p == DMARC_P_REJECT ? DMARC_P_QUARANTINE : DMARC_P_NONE;
}

enum tag {
	TAG_V,
	TAG_P,
	TAG_SP,
	TAG_NP,
	TAG_T,
	TAG_PSD,
	TAG_ADKIM,
	TAG_ASPF,
	TAG_RUA,
	TAG_RUF,
	TAG_FO,
	TAG_PCT,
	TAG_RF,
	TAG_RI,
	TAG_COUNT
};
static const char *const tag_names[] = {
	"v", "p", "sp", "np", "t", "psd", "adkim", "aspf", "rua", "ruf", "fo", "pct", "rf", "ri"
};
_Static_assert(sizeof(tag_names) / sizeof(tag_names[0]) == TAG_COUNT, "a tag without a name");

static bool read_policy(struct sv value, enum dmarc_policy *out)
{
	for (unsigned i = 0; i < DMARC_POLICY_COUNT; i++) {
		if (sv_eq_nocase(value, sv_from(policy_names[i]))) {
			*out = (enum dmarc_policy)i;
			return true;
		}
	}
	return false;
}

/* One letter of two. */
static bool read_choice(struct sv value, char no, char yes, bool *out)
{
	char c = value.len == 1 ? ascii_lower(value.ptr[0]) : '\0';

	if (c != no && c != yes)
		return false;
	*out = c == yes;
	return true;
}

static bool read_psd(struct sv value, enum dmarc_psd *out)
{
	bool yes = false;

	if (sv_eq_nocase(value, SV("u")))
		return true;
	if (!read_choice(value, 'n', 'y', &yes))
		return false;
	*out = yes ? DMARC_PSD_YES : DMARC_PSD_NO;
	return true;
}

/* False: the value cannot be read, and the tag keeps its default. */
static bool read_tag(struct dmarc_record *r, enum tag tag, struct sv value)
{
	switch (tag) {
	case TAG_P:
		return read_policy(value, &r->p);
	case TAG_SP:
		return r->has_sp = read_policy(value, &r->sp);
	case TAG_NP:
		return r->has_np = read_policy(value, &r->np);
	case TAG_T:
		return read_choice(value, 'n', 'y', &r->testing);
	case TAG_PSD:
		return read_psd(value, &r->psd);
	case TAG_ADKIM:
		return read_choice(value, 'r', 's', &r->strict_dkim);
	case TAG_ASPF:
		return read_choice(value, 'r', 's', &r->strict_spf);
	case TAG_RUA:
		r->rua = value;
		return value.len > 0;
	case TAG_RUF:
		r->ruf = value;
		return value.len > 0;
	case TAG_PCT:
		r->notes |= DMARC_HAS_PCT;
		return true;
	case TAG_RF:
		r->notes |= DMARC_HAS_RF;
		return true;
	case TAG_RI:
		r->notes |= DMARC_HAS_RI;
		return true;
	case TAG_FO:
		return true;
	case TAG_V:
	case TAG_COUNT:
		break;
	}
	return false;
}

static void note(struct dmarc_record *r, enum dmarc_note note, struct sv *first, struct sv part)
{
	r->notes |= note;
	if (first->len == 0)
		*first = part;
}

static void take_part(struct dmarc_record *r, struct sv part, bool seen[TAG_COUNT])
{
	struct sv value = part, name;

	part = authn_trim(part);
	if (part.len == 0)
		return;
	if (!sv_cut_char(&value, '=', &name)) {
		note(r, DMARC_BAD_VALUE, &r->bad, part);
		return;
	}
	name = authn_trim(name);
	for (unsigned i = 0; i < TAG_COUNT; i++) {
		if (!sv_eq_nocase(name, sv_from(tag_names[i])))
			continue;
		if (seen[i]) {
			note(r, DMARC_TWICE, &r->twice, part);
			return;
		}
		seen[i] = true;
		if (read_tag(r, (enum tag)i, authn_trim(value)))
			return;
		note(r, DMARC_BAD_VALUE, &r->bad, part);
		if (i == TAG_P || i == TAG_SP || i == TAG_NP)
			r->notes |= DMARC_BAD_POLICY;
		return;
	}
}

/* RFC 9989 4.10.1: one policy that cannot be read spoils the other two; with nowhere to send reports, the record. */
static void spoil(struct dmarc_record *r)
{
	struct sv list = r->rua, uri, domain = { 0 };

	r->p = r->sp = r->np = DMARC_P_NONE;
	while (domain.len == 0 && dmarc_report_next(&list, &uri, &domain))
		;
	if (domain.len == 0)
		r->notes |= DMARC_VOID;
}

int dmarc_record_parse(struct sv text, struct dmarc_record *out_record)
{
	struct dmarc_record r = { .text = text };
	bool seen[TAG_COUNT] = { true };
	struct sv rest = text, part, name;
	bool more = sv_cut_char(&rest, ';', &part);

	if (!sv_cut_char(&part, '=', &name) || !sv_eq(authn_trim(name), SV("v")) ||
		!sv_eq(authn_trim(part), SV("DMARC1")))
		return RC_NOT_FOUND;
	while (more) {
		more = sv_cut_char(&rest, ';', &part);
		take_part(&r, part, seen);
	}
	if (!seen[TAG_P])
		r.notes |= DMARC_NO_P;
	if (!r.has_sp)
		r.sp = r.p;
	if (!r.has_np)
		r.np = r.sp;
	if (r.notes & DMARC_BAD_POLICY)
		spoil(&r);
	if (sv_find_char(r.rua, '!') >= 0 || sv_find_char(r.ruf, '!') >= 0)
		r.notes |= DMARC_HAS_SIZE;
	*out_record = r;
	return 0;
}

bool dmarc_report_next(struct sv *list, struct sv *out_uri, struct sv *out_domain)
{
	struct sv uri, address;
	ptrdiff_t at;

	do {
		if (list->len == 0)
			return false;
		(void)sv_cut_char(list, ',', &uri);
		uri = authn_trim(uri);
	} while (uri.len == 0);
	(void)sv_cut_char(&uri, '!', &address);
	*out_uri = address;
	*out_domain = (struct sv){ 0 };
	if (!sv_starts_nocase(address, SV("mailto:")))
		return true;
	*out_uri = sv_skip(address, 7);
	at = sv_rfind_char(*out_uri, '@');
	if (at > 0)
		*out_domain = sv_skip(*out_uri, (size_t)at + 1);
	return true;
}
