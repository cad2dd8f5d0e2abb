/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/domain_facts.h"

/* Suffixes are of all of Microsoft's clouds: tenants move, and a name of another one is still Microsoft's. */
static const struct sv onmicrosoft[] = {
	SV_INIT(".onmicrosoft.com"), SV_INIT(".onmicrosoft.us"), SV_INIT(".partner.onmschina.cn")
};
/* Domains that were added before May 2025 have CNAMEs to the tenant's domain, later ones to this, with a letter before
 * "-v1" that cannot be computed. */
static const struct sv dkim_targets[] = { SV_INIT(".dkim.mail.microsoft") };
/* The second since 2026-07-01 (MC1048624). */
static const struct sv exchange[] = { SV_INIT(".mail.protection.outlook.com"),
	SV_INIT(".mx.microsoft"),
	SV_INIT(".mail.protection.office365.us"),
	SV_INIT(".mail.protection.partner.outlook.cn") };
static const struct sv outlook[] = { SV_INIT("autodiscover.outlook.com"),
	SV_INIT("autodiscover.office365.us"),
	SV_INIT("autodiscover.partner.outlook.cn"),
	SV_INIT("autodiscover-s.office365.us") };
static const struct sv selectors[] = { SV_INIT("selector1"), SV_INIT("selector2") };

static const struct sv gappssmtp[] = { SV_INIT(".gappssmtp.com") };
static const struct sv gmail[] = { SV_INIT("smtp.google.com"),
	SV_INIT("aspmx.l.google.com"),
	SV_INIT(".aspmx.l.google.com"),
	SV_INIT(".googlemail.com") };
static const struct sv google_selectors[] = { SV_INIT("google") };

#define MICROSOFT(include, example)                                                                \
	{                                                                                          \
		.signer = "Microsoft", .mail = "Exchange Online", .spf_include = SV_INIT(include), \
		.selectors = selectors, .selector_count = COUNT_OF(selectors),                     \
		.selectors_are_cnames = true, .tenant_suffixes = onmicrosoft,                      \
		.tenant_suffix_count = COUNT_OF(onmicrosoft), .tenant_example = (example),         \
		.step_enable = "In Defender (Email authentication, DKIM) or by "                   \
			       "Get-DkimSigningConfig -Identity {domain}: publish both CNAMEs "    \
			       "as they are shown there, then enable signing "                     \
			       "(Set-DkimSigningConfig -Identity {domain} -Enabled $true)",        \
		.step_rotate = "Rotate to 2048: Rotate-DkimSigningConfig -Identity {domain} "      \
			       "-KeySize 2048",                                                    \
		.step_mx = "Publish the MX that the Microsoft 365 admin centre shows for "         \
			   "{domain}",                                                             \
		.exchangers = exchange, .exchanger_count = COUNT_OF(exchange),                     \
		.autodiscovers = outlook, .autodiscover_count = COUNT_OF(outlook),                 \
		.source = "learn.microsoft.com, defender-office-365, email-authentication-"        \
			  "spf-configure and -dkim-configure",                                     \
		.checked = "2026-11-23"                                                            \
	}

static const struct provider_domain_row rows[] = {
	[PROVIDER_CLOUD_GLOBAL] =
		MICROSOFT("spf.protection.outlook.com", "contoso.onmicrosoft.com"),
	[PROVIDER_CLOUD_GCC_HIGH] =
		MICROSOFT("spf.protection.office365.us", "contoso.onmicrosoft.us"),
	[PROVIDER_CLOUD_DOD] = MICROSOFT("spf.protection.office365.us", "contoso.onmicrosoft.us"),
	[PROVIDER_CLOUD_21VIANET] =
		MICROSOFT("spf.protection.partner.outlook.cn", "contoso.partner.onmschina.cn"),
	/* The include is as read; the rest is from secondary sources. */
	[PROVIDER_CLOUD_GOOGLE] = { .signer = "Google",
		.mail = "Gmail",
		.spf_include = SV_INIT("_spf.google.com"),
		.selectors = google_selectors,
		.selector_count = COUNT_OF(google_selectors),
		.tenant_suffixes = gappssmtp,
		.tenant_suffix_count = COUNT_OF(gappssmtp),
		.tenant_example = "contoso-com.20230601.gappssmtp.com",
		.step_enable = "In the Google Admin console (Apps, Google Workspace, Gmail, "
			       "Authenticate email) generate a key for {domain}, publish it as it "
			       "is shown there, then press Start authentication",
		.step_rotate = "Generate a key of 2048 bits for {domain} in the Google Admin "
			       "console (Apps, Google Workspace, Gmail, Authenticate email)",
		.step_mx = "Publish MX 1 smtp.google.com for {domain}",
		.exchangers = gmail,
		.exchanger_count = COUNT_OF(gmail),
		.source = "support.google.com/a/answer/33786",
		.checked = "2026-11-23" },
};
_Static_assert(COUNT_OF(rows) == PROVIDER_CLOUD_COUNT, "a cloud without a row");

static const struct provider_receiver receivers[] = {
	{ "Gmail",
		"who sends 5000 messages a day or more to gmail.com",
		"550-5.7.26",
		"support.google.com/a/answer/81126",
		"2026-11-23" },
	{ "Yahoo",
		"who sends bulk mail to yahoo.com and aol.com",
		"554 5.7.9",
		"senders.yahooinc.com/best-practices",
		"2026-11-23" },
	{ "Outlook.com",
		"who sends 5000 messages a day or more to outlook.com and hotmail.com",
		"550 5.7.515",
		"techcommunity.microsoft.com, 4399730",
		"2026-11-23" },
};

const struct provider_domain_row *provider_domain(enum provider_cloud cloud)
{
	return &rows[cloud];
}

bool provider_name_ends(struct sv name, const struct sv *suffixes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (sv_ends_nocase(name, suffixes[i]))
			return true;
	}
	return false;
}

const struct provider_domain_row *provider_domain_of_tenant(struct sv name)
{
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (provider_name_ends(name, rows[i].tenant_suffixes, rows[i].tenant_suffix_count))
			return &rows[i];
	}
	return NULL;
}

bool provider_is_dkim_target(struct sv name)
{
	return provider_name_ends(name, dkim_targets, COUNT_OF(dkim_targets)) ||
	       provider_domain_of_tenant(name) != NULL;
}

int provider_domain_step(struct buf *out, const char *step, struct sv domain)
{
	struct sv rest = sv_from(step);
	ptrdiff_t at;
	int rc = 0;

	while (rc == 0 && (at = sv_find(rest, SV("{domain}"))) >= 0) {
		rc = buf_append(out, sv_head(rest, (size_t)at));
		if (rc == 0)
			rc = buf_append(out, domain);
		rest = sv_skip(rest, (size_t)at + 8);
	}
	return rc == 0 ? buf_append(out, rest) : rc;
}

const struct provider_receiver *provider_receivers(size_t *out_count)
{
	*out_count = COUNT_OF(receivers);
	return receivers;
}
