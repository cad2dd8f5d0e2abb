/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/check_priv.h"

#include "authn/spf_survey.h"
#include "provider/domain_facts.h"

/* What a record without `include:` of the cloud that sends should be. */
static struct sv step_for_record(struct domain_run *d)
{
	return domain_text(d,
		"Publish one TXT record at %.*s: v=spf1 include:%.*s -all (with the other services "
		"that send for it)",
		SV_ARG(d->q->domain),
		SV_ARG(domain_cloud(d)->spf_include));
}

static void tell_all(struct domain_run *d, const struct spf_survey *s)
{
	if (s->allows_everybody)
		domain_find(d,
			DOMAIN_SPF,
			DOMAIN_WARN,
			SV("the record lets every address in the world send for this domain"),
			SV("Replace +all, or the network of everything, by -all"),
			SV(""));
	else if (!s->has_all)
		domain_find(d,
			DOMAIN_SPF,
			DOMAIN_WARN,
			SV("the record has no \"all\" at its end, so that no address ever fails"),
			SV("End it with -all once DKIM and DMARC are in place, with ~all before"),
			SV(""));
	else if (s->all == SPF_NEUTRAL)
		domain_find(d,
			DOMAIN_SPF,
			DOMAIN_WARN,
			SV("\"?all\" says nothing about other addresses"),
			SV("End the record with -all once DKIM and DMARC are in place, with ~all "
			   "before"),
			SV(""));
	else if (s->all == SPF_SOFTFAIL)
		domain_find(d,
			DOMAIN_SPF,
			DOMAIN_NOTE,
			SV("\"~all\" asks receivers to doubt other addresses, not to refuse them; "
			   "with DMARC that is enough"),
			SV(""),
			SV(""));
}

static void tell_budget(struct domain_run *d, const struct spf_survey *s)
{
	struct sv text = domain_text(d, "%u of 10 look-ups", s->lookups);

	for (size_t i = 0; i < s->term_count; i++) {
		if (s->terms[i].depth == 0)
			text = domain_text(d,
				"%.*s%s%.*s: %u",
				SV_ARG(text),
				i ? ", " : "; ",
				SV_ARG(sv_head(s->terms[i].text, 80)),
				s->terms[i].lookups);
	}
	domain_find(d,
		DOMAIN_SPF,
		s->lookups > 8 ? DOMAIN_WARN : DOMAIN_NOTE,
		text,
		s->lookups > 8 ? SV("Make room: the eleventh look-up makes SPF fail everywhere "
				    "(permerror)")
			       : SV(""),
		SV(""));
	if (s->has_ptr)
		domain_find(d,
			DOMAIN_SPF,
			DOMAIN_WARN,
			SV("\"ptr\" is slow and not to be used (RFC 7208 5.5)"),
			SV("Name the addresses by ip4: or ip6:"),
			SV(""));
}

static void tell_include(struct domain_run *d, const struct spf_survey *s)
{
	struct sv name = domain_cloud(d)->spf_include;
	static const enum provider_cloud clouds[] = { PROVIDER_CLOUD_GLOBAL,
		PROVIDER_CLOUD_GCC_HIGH,
		PROVIDER_CLOUD_21VIANET,
		PROVIDER_CLOUD_GOOGLE };

	if (spf_survey_includes(s, name)) {
		d->r->spf = DOMAIN_OK;
		domain_find(d,
			DOMAIN_SPF,
			DOMAIN_OK,
			domain_text(d, "the record includes %.*s", SV_ARG(name)),
			SV(""),
			s->record);
		return;
	}
	domain_find(d,
		DOMAIN_SPF,
		DOMAIN_FAIL,
		domain_text(d,
			"the record does not include %.*s: mail that this cloud sends is not "
			"covered",
			SV_ARG(name)),
		domain_text(d, "Add include:%.*s before the \"all\"", SV_ARG(name)),
		s->record);
	for (size_t i = 0; i < sizeof(clouds) / sizeof(clouds[0]); i++) {
		struct sv other = provider_domain(clouds[i])->spf_include;

		if (!sv_eq(other, name) && spf_survey_includes(s, other))
			domain_find(d,
				DOMAIN_SPF,
				DOMAIN_NOTE,
				domain_text(d,
					"it includes %.*s, which is another cloud's",
					SV_ARG(other)),
				SV(""),
				SV(""));
	}
}

static void tell_status(struct domain_run *d, const struct spf_survey *s)
{
	struct sv problem = domain_text(d, "%s", s->problem);

	if (s->status == SPF_SURVEY_NONE)
		domain_find(d,
			DOMAIN_SPF,
			DOMAIN_FAIL,
			SV("there is no SPF record"),
			step_for_record(d),
			SV(""));
	else if (s->status == SPF_SURVEY_SEVERAL)
		domain_find(d,
			DOMAIN_SPF,
			DOMAIN_FAIL,
			SV("there are several SPF records, so that none counts (permerror)"),
			SV("Merge them into one record that begins with v=spf1"),
			SV(""));
	else if (s->status == SPF_SURVEY_BROKEN)
		domain_find(d,
			DOMAIN_SPF,
			DOMAIN_FAIL,
			domain_text(d,
				"every receiver finds an error (permerror): %.*s",
				SV_ARG(problem)),
			SV("Correct or remove what is named here"),
			s->record);
	else if (s->status == SPF_SURVEY_TOO_MANY)
		domain_find(d,
			DOMAIN_SPF,
			DOMAIN_FAIL,
			domain_text(d,
				"the limits of SPF are passed (permerror for some or all mail): "
				"%.*s",
				SV_ARG(problem)),
			SV("Remove services that no longer send; name fixed addresses by ip4: or "
			   "ip6:, which cost nothing; give services a subdomain of their own"),
			s->record);
	else if (s->status == SPF_SURVEY_UNKNOWN)
		domain_find(d, DOMAIN_SPF, DOMAIN_UNKNOWN, problem, SV(""), s->record);
}

void domain_check_spf(struct domain_run *d)
{
	struct spf_survey s;

	if (!spf_survey(d->memo, d->q->domain, &s)) {
		d->waits = true;
		return;
	}
	tell_status(d, &s);
	if (s.status == SPF_SURVEY_UNKNOWN)
		d->r->spf = DOMAIN_UNKNOWN;
	if (s.status == SPF_SURVEY_GOOD)
		tell_include(d, &s);
	if (s.record.len)
		tell_budget(d, &s);
	/* What comes after a term that cannot be read was not looked at. */
	if (s.record.len && s.status != SPF_SURVEY_BROKEN)
		tell_all(d, &s);
}
