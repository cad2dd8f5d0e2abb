/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/check_priv.h"

#include "authn/mta_sts.h"

static void check_tlsa(struct domain_run *d, struct sv host)
{
	struct sv name = domain_text(d, "_25._tcp.%.*s", SV_ARG(host));
	const struct authn_answer *a = domain_look_name(d, name, AUTHN_TLSA);

	if (!a)
		return;
	if (a->status == AUTHN_FAILURE)
		domain_find(d,
			DOMAIN_DANE,
			DOMAIN_UNKNOWN,
			domain_text(d, "no answer for %.*s", SV_ARG(name)),
			SV(""),
			SV(""));
	else if (a->status == AUTHN_FOUND && a->secure)
		domain_find(d,
			DOMAIN_DANE,
			DOMAIN_OK,
			domain_text(d, "%.*s has TLSA records, and they are signed", SV_ARG(host)),
			SV(""),
			SV(""));
	else if (a->status == AUTHN_FOUND)
		domain_find(d,
			DOMAIN_DANE,
			DOMAIN_NOTE,
			domain_text(d,
				"%.*s has TLSA records; whether they are signed was not seen (no "
				"DNSSEC from here, or an unsigned zone, where they do not count)",
				SV_ARG(host)),
			SV(""),
			SV(""));
	else
		domain_find(d,
			DOMAIN_DANE,
			DOMAIN_NOTE,
			domain_text(d, "%.*s has no TLSA records", SV_ARG(host)),
			SV(""),
			SV(""));
}

static void check_mx(struct domain_run *d)
{
	const struct authn_answer *a = domain_look_name(d, d->q->domain, AUTHN_MX);
	const struct provider_domain_row *cloud = domain_cloud(d);
	const struct authn_record *best;
	bool ours;

	if (!a)
		return;
	if (a->status == AUTHN_FAILURE) {
		domain_find(d,
			DOMAIN_MX,
			DOMAIN_UNKNOWN,
			SV("no answer for the mail exchangers"),
			SV(""),
			SV(""));
		return;
	}
	if (a->count == 0) {
		domain_find(d,
			DOMAIN_MX,
			DOMAIN_WARN,
			SV("there is no MX: bounces and answers do not arrive, and some receivers "
			   "refuse such a sender"),
			domain_step(d, cloud->step_mx),
			SV(""));
		return;
	}
	best = &a->records[0];
	for (size_t i = 1; i < a->count; i++) {
		if (a->records[i].preference < best->preference)
			best = &a->records[i];
	}
	if (best->data.len == 0) {
		domain_find(d,
			DOMAIN_MX,
			DOMAIN_WARN,
			SV("a null MX says that this domain takes no mail: receivers may refuse it "
			   "as a sender (RFC 7505), and bounces are lost"),
			SV("Send from another domain, or publish a real MX"),
			SV("0 ."));
		return;
	}
	ours = provider_name_ends(best->data, cloud->exchangers, cloud->exchanger_count);
	domain_find(d,
		DOMAIN_MX,
		ours ? DOMAIN_OK : DOMAIN_NOTE,
		domain_text(d, "%.*s, %s%s", SV_ARG(best->data), ours ? "" : "not ", cloud->mail),
		SV(""),
		domain_text(d, "%u %.*s", (unsigned)best->preference, SV_ARG(best->data)));
	check_tlsa(d, best->data);
}

static void check_autodiscover(struct domain_run *d)
{
	const struct provider_domain_row *cloud = domain_cloud(d);
	const struct authn_answer *a;

	if (cloud->autodiscover_count == 0)
		return;
	a = domain_look(d, SV("autodiscover"), AUTHN_CNAME);
	if (!a)
		return;
	if (a->status == AUTHN_FAILURE)
		domain_find(
			d, DOMAIN_AUTODISCOVER, DOMAIN_UNKNOWN, SV("no answer"), SV(""), SV(""));
	else if (a->count &&
		 provider_name_ends(
			 a->records[0].data, cloud->autodiscovers, cloud->autodiscover_count))
		domain_find(d,
			DOMAIN_AUTODISCOVER,
			DOMAIN_OK,
			domain_text(d, "%.*s", SV_ARG(a->records[0].data)),
			SV(""),
			SV(""));
	else if (a->count)
		domain_find(d,
			DOMAIN_AUTODISCOVER,
			DOMAIN_NOTE,
			domain_text(d, "%.*s, not Outlook's", SV_ARG(a->records[0].data)),
			SV(""),
			SV(""));
	else
		domain_find(d,
			DOMAIN_AUTODISCOVER,
			DOMAIN_NOTE,
			SV("there is no CNAME; sending does not need one"),
			SV(""),
			SV(""));
}

static void check_sts(struct domain_run *d)
{
	const struct authn_answer *sts = domain_look(d, SV("_mta-sts"), AUTHN_TXT),
				  *rpt = domain_look(d, SV("_smtp._tls"), AUTHN_TXT);
	enum authn_sts_fault fault;
	struct sv value = { 0 };

	if (!sts || !rpt)
		return;
	fault = authn_sts_record(sts, &value);
	domain_find(d,
		DOMAIN_MTA_STS,
		fault == AUTHN_STS_GOOD      ? DOMAIN_OK
		: fault == AUTHN_STS_NONE    ? DOMAIN_NOTE
		: fault == AUTHN_STS_UNKNOWN ? DOMAIN_UNKNOWN
					     : DOMAIN_WARN,
		fault == AUTHN_STS_GOOD
			? domain_text(d, "there is a record, with id %.*s", SV_ARG(value))
			: sv_from(authn_sts_fault_text(fault)),
		SV(""),
		sts->count ? sts->records[0].data : SV(""));
	value = (struct sv){ 0 };
	fault = authn_tls_rpt_record(rpt, &value);
	domain_find(d,
		DOMAIN_TLS_RPT,
		fault == AUTHN_STS_GOOD      ? DOMAIN_OK
		: fault == AUTHN_STS_NONE    ? DOMAIN_NOTE
		: fault == AUTHN_STS_UNKNOWN ? DOMAIN_UNKNOWN
					     : DOMAIN_WARN,
		fault == AUTHN_STS_GOOD
			? domain_text(d, "reports go to %.*s", SV_ARG(sv_head(value, 200)))
			: sv_from(authn_sts_fault_text(fault)),
		SV(""),
		rpt->count ? rpt->records[0].data : SV(""));
}

void domain_check_mail(struct domain_run *d)
{
	check_mx(d);
	check_autodiscover(d);
	check_sts(d);
}
