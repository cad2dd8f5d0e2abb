/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/domain_facts.h"

/* learn.microsoft.com, defender-office-365/email-authentication-spf-configure, 2026-11-23. */
static const struct sv spf_includes[] = {
	[PROVIDER_CLOUD_GLOBAL] = SV_INIT("spf.protection.outlook.com"),
	[PROVIDER_CLOUD_GCC_HIGH] = SV_INIT("spf.protection.office365.us"),
	[PROVIDER_CLOUD_DOD] = SV_INIT("spf.protection.office365.us"),
	[PROVIDER_CLOUD_21VIANET] = SV_INIT("spf.protection.partner.outlook.cn"),
	[PROVIDER_CLOUD_GOOGLE] =
		SV_INIT("_spf.google.com"), /* support.google.com/a/answer/33786 */
};
_Static_assert(sizeof(spf_includes) / sizeof(spf_includes[0]) == PROVIDER_CLOUD_COUNT,
	"a cloud without an include");

/* learn.microsoft.com, defender-office-365/email-authentication-dkim-configure, 2026-11-23: domains that were added before
 * May 2025 have the first form, later ones the second, whose letter before "-v1" cannot be computed. */
static const struct sv onmicrosoft[] = {
	SV_INIT(".onmicrosoft.com"), SV_INIT(".onmicrosoft.us"), SV_INIT(".partner.onmschina.cn")
};
static const struct sv dkim_microsoft[] = { SV_INIT(".dkim.mail.microsoft") };
/* The second since 2026-07-01 (MC1048624). */
static const struct sv exchangers[] = { SV_INIT(".mail.protection.outlook.com"),
	SV_INIT(".mx.microsoft"),
	SV_INIT(".mail.protection.office365.us"),
	SV_INIT(".mail.protection.partner.outlook.cn") };
static const struct sv autodiscovers[] = { SV_INIT("autodiscover.outlook.com"),
	SV_INIT("autodiscover.office365.us"),
	SV_INIT("autodiscover.partner.outlook.cn"),
	SV_INIT("autodiscover-s.office365.us") };

const struct sv provider_dkim_selectors[PROVIDER_DKIM_SELECTORS] = { SV_INIT("selector1"),
	SV_INIT("selector2") };

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

struct sv provider_spf_include(enum provider_cloud cloud)
{
	return spf_includes[cloud];
}

static bool ends_in(struct sv name, const struct sv *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (sv_ends_nocase(name, list[i]))
			return true;
	}
	return false;
}

#define ENDS_IN(name, list) ends_in((name), (list), sizeof(list) / sizeof((list)[0]))

enum provider_dkim_target provider_dkim_target(struct sv name)
{
	if (ENDS_IN(name, onmicrosoft))
		return PROVIDER_DKIM_ONMICROSOFT;
	return ENDS_IN(name, dkim_microsoft) ? PROVIDER_DKIM_MICROSOFT : PROVIDER_DKIM_OTHER;
}

bool provider_is_mx(struct sv host)
{
	return ENDS_IN(host, exchangers);
}

bool provider_is_autodiscover(struct sv host)
{
	return ENDS_IN(host, autodiscovers);
}

const struct provider_receiver *provider_receivers(size_t *out_count)
{
	*out_count = sizeof(receivers) / sizeof(receivers[0]);
	return receivers;
}
