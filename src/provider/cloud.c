/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/cloud.h"

#include "base/err.h"
#include "base/must.h"

#define ENTRA_TOKEN "/{tenant}/oauth2/v2.0/token"
#define ENTRA_DEVICE "/{tenant}/oauth2/v2.0/devicecode"
#define ENTRA_AUTHORIZE "/{tenant}/oauth2/v2.0/authorize"
#define ENTRA_SOURCE \
	"https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud"

/* What is marked unverified was read in secondary sources only; `endpoints:` overrides it. */
static const struct provider_cloud_row rows[] = {
	[PROVIDER_CLOUD_GLOBAL] = { .name = "global",
		.login = SV_INIT("https://login.microsoftonline.com"),
		.graph = SV_INIT("https://graph.microsoft.com"),
		.smtp = SV_INIT("smtp.office365.com"),
		.scope_host = SV_INIT("https://outlook.office365.com"),
		.token_path = ENTRA_TOKEN,
		.device_path = ENTRA_DEVICE,
		.authorize_path = ENTRA_AUTHORIZE,
		.source = ENTRA_SOURCE,
		.checked = "2026-11-23" },
	[PROVIDER_CLOUD_GCC_HIGH] = { .name = "gcc-high",
		.login = SV_INIT("https://login.microsoftonline.us"),
		.graph = SV_INIT("https://graph.microsoft.us"),
		.smtp = SV_INIT("smtp.office365.us"),
		.scope_host = SV_INIT("https://outlook.office365.us"),
		.token_path = ENTRA_TOKEN,
		.device_path = ENTRA_DEVICE,
		.authorize_path = ENTRA_AUTHORIZE,
		.source = ENTRA_SOURCE,
		.checked = "2026-11-23" },
	/* The SMTP host is unverified. */
	[PROVIDER_CLOUD_DOD] = { .name = "dod",
		.login = SV_INIT("https://login.microsoftonline.us"),
		.graph = SV_INIT("https://dod-graph.microsoft.us"),
		.smtp = SV_INIT("outlook-dod.office365.us"),
		.scope_host = SV_INIT("https://outlook-dod.office365.us"),
		.token_path = ENTRA_TOKEN,
		.device_path = ENTRA_DEVICE,
		.authorize_path = ENTRA_AUTHORIZE,
		.source = ENTRA_SOURCE,
		.checked = "2026-11-23" },
	/* The scope host is unverified. */
	[PROVIDER_CLOUD_21VIANET] = { .name = "21vianet",
		.login = SV_INIT("https://login.partner.microsoftonline.cn"),
		.graph = SV_INIT("https://microsoftgraph.chinacloudapi.cn"),
		.smtp = SV_INIT("smtp.partner.outlook.cn"),
		.scope_host = SV_INIT("https://partner.outlook.cn"),
		.token_path = ENTRA_TOKEN,
		.device_path = ENTRA_DEVICE,
		.authorize_path = ENTRA_AUTHORIZE,
		.source = ENTRA_SOURCE,
		.checked = "2026-11-23" },
	/* The authorization page is on another host than the tokens: a full URL. */
	[PROVIDER_CLOUD_GOOGLE] = { .name = "google",
		.login = SV_INIT("https://oauth2.googleapis.com"),
		.graph = SV_INIT(""),
		.smtp = SV_INIT("smtp.gmail.com"),
		.scope_host = SV_INIT("https://mail.google.com"),
		.token_path = "/token",
		.device_path = "/device/code",
		.authorize_path = "https://accounts.google.com/o/oauth2/v2/auth",
		.source = "https://developers.google.com/identity/protocols/oauth2/native-app",
		.checked = "2026-11-23" },
};
static_assert(COUNT_OF(rows) == PROVIDER_CLOUD_COUNT, "a row for every cloud");

const struct provider_cloud_row *provider_cloud(enum provider_cloud cloud)
{
	must(cloud < PROVIDER_CLOUD_COUNT);
	return &rows[cloud];
}

int provider_cloud_parse(struct sv name, enum provider_cloud *out_cloud)
{
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (sv_eq_nocase(name, sv_from(rows[i].name))) {
			*out_cloud = (enum provider_cloud)i;
			return 0;
		}
	}
	return RC_PARSE;
}
