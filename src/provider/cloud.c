/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/cloud.h"

#include "base/err.h"
#include "base/must.h"

#include <string.h>

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
		.upload = SV_INIT("office.com office365.com"),
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
		.upload = SV_INIT("office365.us"),
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
		.upload = SV_INIT("office365.us"),
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
		.upload = SV_INIT("outlook.cn"),
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
		.upload = SV_INIT(""),
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

/* "https://HOST[:PORT]" in front of a path; empty: it is none, or has a user in it. */
static struct sv origin_of(struct sv url)
{
	size_t at = strlen("https://");

	/* Readers of URLs disagree on what a backslash is. */
	if (!sv_starts_nocase(url, SV("https://")) || sv_find_char(url, '\\') >= 0)
		return SV("");
	while (at < url.len && !memchr("/?#", url.ptr[at], 3))
		at++;
	return sv_find_char(sv_head(url, at), '@') < 0 ? sv_head(url, at) : SV("");
}

static bool is_within(struct sv host, struct sv domain)
{
	size_t front = host.len - domain.len;

	return host.len >= domain.len && sv_eq_nocase(sv_skip(host, front), domain) &&
	       (front == 0 || host.ptr[front - 1] == '.');
}

bool provider_cloud_upload_ok(enum provider_cloud cloud, struct sv graph, struct sv url)
{
	struct sv origin = origin_of(url), domains = provider_cloud(cloud)->upload, domain;

	if (origin.len == 0)
		return false;
	if (sv_eq_nocase(origin, origin_of(graph)))
		return true;
	while (domains.len) {
		(void)sv_cut_char(&domains, ' ', &domain);
		if (is_within(sv_skip(origin, strlen("https://")), domain))
			return true;
	}
	return false;
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
