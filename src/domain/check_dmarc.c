/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/check_priv.h"

#include "authn/dmarc.h"

#include <libpsl.h>
#include <stdio.h>
#include <string.h>

enum {
	REPORTS_MAX = 6, /* addresses whose consent is looked for */
};

/* Receivers that still go by RFC 7489 find the organisation by this list. */
static void tell_suffix_list(struct domain_run *d, const struct dmarc_found *f)
{
	const psl_ctx_t *list = psl_builtin();
	char name[LIMIT_DNS_NAME + 1];
	const char *old;

	if (!list)
		return;
	(void)snprintf(name, sizeof(name), "%.*s", SV_ARG(sv_head(d->q->domain, LIMIT_DNS_NAME)));
	old = psl_registrable_domain(list, name);
	if (!old || sv_eq_nocase(sv_from(old), sv_from(f->organisation)) ||
		f->status != DMARC_RECORD)
		return;
	domain_find(d,
		DOMAIN_DMARC,
		DOMAIN_NOTE,
		domain_text(d,
			"receivers that still use the public suffix list take %s for the "
			"organisation, those of RFC 9989 %s: policy and alignment may differ",
			old,
			f->organisation),
		domain_text(d,
			"Publish a record at _dmarc.%.*s itself, and psd=n at _dmarc.%s",
			SV_ARG(d->q->domain),
			f->organisation),
		SV(""));
}

static void tell_notes(struct domain_run *d, const struct dmarc_record *r)
{
	static const struct {
		enum dmarc_note note;
		const char *text, *step;
	} notes[] = {
		{ DMARC_HAS_PCT,
			"pct was removed by RFC 9989: new receivers ignore it",
			"Remove pct; to try a policy out, use t=y" },
		{ DMARC_HAS_RF, "rf was removed by RFC 9989", "Remove rf" },
		{ DMARC_HAS_RI, "ri was removed by RFC 9989", "Remove ri" },
		{ DMARC_HAS_SIZE,
			"a size behind a report address (!10m) was removed by RFC 9989",
			"Remove the size" },
		{ DMARC_NO_P,
			"there is no p=, which counts as none",
			"Add p=none, p=quarantine or p=reject" },
	};

	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
		if (r->notes & (unsigned)notes[i].note)
			domain_find(d,
				DOMAIN_DMARC,
				DOMAIN_WARN,
				sv_from(notes[i].text),
				sv_from(notes[i].step),
				SV(""));
	}
	if (r->notes & DMARC_BAD_POLICY)
		domain_find(d,
			DOMAIN_DMARC,
			DOMAIN_WARN,
			SV("a policy (p, sp or np) cannot be read: receivers act as if all of them "
			   "were none"),
			SV("Write none, quarantine or reject"),
			SV(""));
	if (r->notes & DMARC_BAD_VALUE)
		domain_find(d,
			DOMAIN_DMARC,
			DOMAIN_WARN,
			domain_text(d,
				"\"%.*s\" cannot be read%s",
				SV_ARG(sv_head(r->bad, 100)),
				r->notes & DMARC_BAD_POLICY ? "" : " and is ignored"),
			SV("Correct it"),
			SV(""));
	if (r->notes & DMARC_TWICE)
		domain_find(d,
			DOMAIN_DMARC,
			DOMAIN_WARN,
			domain_text(d,
				"\"%.*s\" is a second value for its tag and is ignored",
				SV_ARG(sv_head(r->twice, 100))),
			SV("Keep one"),
			SV(""));
}

static void tell_reports(struct domain_run *d, const struct dmarc_found *f)
{
	struct sv list = f->record.rua, uri, domain;
	struct sv at = arena_sv(&d->r->arena, sv_from(f->at));

	if (list.len == 0)
		domain_find(d,
			DOMAIN_DMARC,
			DOMAIN_WARN,
			SV("nobody gets reports (no rua)"),
			domain_text(d,
				"Add rua=mailto:dmarc@%.*s, or the address of a service that reads "
				"reports",
				SV_ARG(d->q->domain)),
			SV(""));
	for (unsigned i = 0; i < REPORTS_MAX && dmarc_report_next(&list, &uri, &domain); i++) {
		enum dmarc_consent consent;

		if (domain.len == 0)
			domain_find(d,
				DOMAIN_DMARC,
				DOMAIN_WARN,
				domain_text(d,
					"\"%.*s\" is no mailto: address: no reports come there",
					SV_ARG(sv_head(uri, 100))),
				SV("Name an address by mailto:"),
				SV(""));
		else if (!dmarc_report_consent(d->memo, at, domain, &consent))
			d->waits = true;
		else if (consent == DMARC_NO_CONSENT)
			domain_find(d,
				DOMAIN_DMARC,
				DOMAIN_WARN,
				domain_text(d,
					"%.*s does not say that it takes reports about %.*s: "
					"receivers send none there",
					SV_ARG(sv_head(uri, 100)),
					SV_ARG(at)),
				domain_text(d,
					"Publish TXT \"v=DMARC1\" at %.*s._report._dmarc.%.*s",
					SV_ARG(at),
					SV_ARG(sv_head(domain, LIMIT_DNS_NAME))),
				SV(""));
	}
}

/* The policy, and what it means for mail of today. */
static void tell_policy(struct domain_run *d, const struct dmarc_found *f)
{
	struct sv from = sv_eq_nocase(sv_from(f->at), d->q->domain)
				 ? SV("")
				 : domain_text(d, ", from %s", f->at);
	const char *policy = dmarc_policy_name(f->policy);

	domain_find(d,
		DOMAIN_DMARC,
		DOMAIN_OK,
		domain_text(d, "the policy is %s=%s%.*s", f->tag, policy, SV_ARG(from)),
		SV(""),
		f->record.text);
	if (f->record.testing)
		domain_find(d,
			DOMAIN_DMARC,
			DOMAIN_NOTE,
			domain_text(d,
				"t=y asks receivers to do one step less: %s",
				dmarc_policy_name(dmarc_policy_weaker(f->policy))),
			SV(""),
			SV(""));
	if (f->policy == DMARC_P_NONE)
		domain_find(d,
			DOMAIN_DMARC,
			DOMAIN_NOTE,
			SV("with none, mail that others forge in this name is delivered"),
			SV("Read the reports; when all of your own mail passes, go to "
			   "p=quarantine; t=y, then p=reject"),
			SV(""));
}

/* What `-all` and a strict policy would do to mail that this configuration sends. */
static void tell_alignment(struct domain_run *d, const struct dmarc_found *f)
{
	bool spf = d->r->spf == DOMAIN_OK, dkim = d->r->dkim == DOMAIN_OK;

	if (spf && dkim)
		domain_find(d,
			DOMAIN_DMARC,
			DOMAIN_OK,
			SV("mail of this domain through its cloud is aligned by SPF and by DKIM"),
			SV(""),
			SV(""));
	else if (d->r->spf == DOMAIN_UNKNOWN || d->r->dkim == DOMAIN_UNKNOWN)
		domain_find(d,
			DOMAIN_DMARC,
			DOMAIN_UNKNOWN,
			SV("alignment cannot be told while SPF or DKIM is unknown"),
			SV(""),
			SV(""));
	else if (spf || dkim)
		domain_find(d,
			DOMAIN_DMARC,
			DOMAIN_WARN,
			domain_text(d,
				"mail is aligned by %s alone: %s",
				spf ? "SPF" : "DKIM",
				spf ? "when somebody forwards it, it fails"
				    : "one broken signature, and it fails"),
			spf ? SV("Enable DKIM") : SV("Repair SPF"),
			SV(""));
	else
		domain_find(d,
			DOMAIN_DMARC,
			f->policy == DMARC_P_NONE ? DOMAIN_WARN : DOMAIN_FAIL,
			domain_text(d,
				"mail of this domain fails DMARC: neither SPF nor DKIM is "
				"aligned%s",
				f->policy == DMARC_P_NONE
					? ""
					: ", and the policy asks receivers to act on it"),
			SV("Repair SPF and enable DKIM"),
			SV(""));
}

void domain_check_dmarc(struct domain_run *d)
{
	struct dmarc_found f;

	if (!dmarc_discover(d->memo, d->q->domain, &f)) {
		d->waits = true;
		return;
	}
	if (f.several[0])
		domain_find(d,
			DOMAIN_DMARC,
			DOMAIN_WARN,
			domain_text(d,
				"there are several records at _dmarc.%s: they count as none",
				f.several),
			SV("Keep one"),
			SV(""));
	if (f.status == DMARC_UNKNOWN) {
		d->r->dmarc = DOMAIN_UNKNOWN;
		domain_find(d,
			DOMAIN_DMARC,
			DOMAIN_UNKNOWN,
			domain_text(d, "no answer for _dmarc.%s", f.at),
			SV(""),
			SV(""));
		return;
	}
	if (f.status == DMARC_NO_RECORD) {
		domain_find(d,
			DOMAIN_DMARC,
			DOMAIN_FAIL,
			f.record.notes & DMARC_VOID
				? domain_text(d,
					  "\"%.*s\" at _dmarc.%s is no policy, and there is no rua "
					  "either: receivers apply no DMARC",
					  SV_ARG(sv_head(f.record.bad, 100)),
					  f.at)
				: SV("there is no DMARC record"),
			domain_text(d,
				"Publish TXT at _dmarc.%.*s: v=DMARC1; p=none; "
				"rua=mailto:dmarc@%.*s",
				SV_ARG(d->q->domain),
				SV_ARG(d->q->domain)),
			SV(""));
		return;
	}
	d->r->dmarc = DOMAIN_OK;
	tell_policy(d, &f);
	tell_alignment(d, &f);
	tell_notes(d, &f.record);
	tell_reports(d, &f);
	tell_suffix_list(d, &f);
}
