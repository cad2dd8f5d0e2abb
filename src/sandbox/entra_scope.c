/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "sandbox/entra_priv.h"

#include <stdio.h>

/*
 * Scopes and permissions. A resource is the host in front: Exchange's under its names in all clouds,
 * Graph's likewise. A host on loopback is Graph: that is where a configuration points it at the sandbox.
 */
static const struct {
	struct sv host;
	enum sandbox_resource resource;
} hosts[] = {
	{ SV_INIT("https://outlook.office365.com"), SANDBOX_RESOURCE_EXCHANGE },
	{ SV_INIT("https://outlook.office.com"), SANDBOX_RESOURCE_EXCHANGE },
	{ SV_INIT("https://outlook.office365.us"), SANDBOX_RESOURCE_EXCHANGE },
	{ SV_INIT("https://outlook-dod.office365.us"), SANDBOX_RESOURCE_EXCHANGE },
	{ SV_INIT("https://partner.outlook.cn"), SANDBOX_RESOURCE_EXCHANGE },
	{ SV_INIT("https://graph.microsoft.com"), SANDBOX_RESOURCE_GRAPH },
	{ SV_INIT("https://graph.microsoft.us"), SANDBOX_RESOURCE_GRAPH },
	{ SV_INIT("https://dod-graph.microsoft.us"), SANDBOX_RESOURCE_GRAPH },
	{ SV_INIT("https://microsoftgraph.chinacloudapi.cn"), SANDBOX_RESOURCE_GRAPH },
	{ SV_INIT("https://localhost:"), SANDBOX_RESOURCE_GRAPH },
	{ SV_INIT("https://127.0.0.1:"), SANDBOX_RESOURCE_GRAPH },
};

static const struct {
	struct sv name;
	enum sandbox_resource resource; /* OTHER: both */
} permissions[] = {
	{ SV_INIT("SMTP.SendAsApp"), SANDBOX_RESOURCE_EXCHANGE },
	{ SV_INIT("SMTP.Send"), SANDBOX_RESOURCE_EXCHANGE },
	{ SV_INIT("IMAP.AccessAsUser.All"), SANDBOX_RESOURCE_EXCHANGE },
	{ SV_INIT("POP.AccessAsUser.All"), SANDBOX_RESOURCE_EXCHANGE },
	{ SV_INIT("Mail.Send"), SANDBOX_RESOURCE_OTHER },
	{ SV_INIT("Mail.ReadWrite"), SANDBOX_RESOURCE_OTHER },
	{ SV_INIT("Mail.Read"), SANDBOX_RESOURCE_OTHER },
	{ SV_INIT("User.Read"), SANDBOX_RESOURCE_GRAPH },
	{ SV_INIT("Exchange.Manage"), SANDBOX_RESOURCE_EXCHANGE },
	{ SV_INIT("Exchange.ManageAsApp"), SANDBOX_RESOURCE_EXCHANGE },
	{ SV_INIT("Application.ReadWrite.All"), SANDBOX_RESOURCE_GRAPH },
	{ SV_INIT("AppRoleAssignment.ReadWrite.All"), SANDBOX_RESOURCE_GRAPH },
	{ SV_INIT("AuditLog.Read.All"), SANDBOX_RESOURCE_GRAPH },
	{ SV_INIT("Directory.Read.All"), SANDBOX_RESOURCE_GRAPH },
};

static bool belongs(struct sv name, enum sandbox_resource resource)
{
	for (size_t i = 0; i < COUNT_OF(permissions); i++) {
		if (sv_eq_nocase(permissions[i].name, name))
			return permissions[i].resource == resource ||
			       permissions[i].resource == SANDBOX_RESOURCE_OTHER;
	}
	return false;
}

static bool find_host(struct sv host, enum sandbox_resource *out_resource)
{
	for (size_t i = 0; i < COUNT_OF(hosts); i++) {
		bool loopback = hosts[i].host.ptr[hosts[i].host.len - 1] == ':';

		if (loopback ? sv_starts_nocase(host, hosts[i].host)
			     : sv_eq_nocase(host, hosts[i].host)) {
			*out_resource = hosts[i].resource;
			return true;
		}
	}
	return false;
}

static int take_permission(struct entra_scope *s, struct sv word)
{
	struct sv host = SV("https://graph.microsoft.com"), name = word;
	enum sandbox_resource resource = SANDBOX_RESOURCE_GRAPH;
	size_t used = strlen(s->names);
	ptrdiff_t slash = sv_rfind_char(word, '/');

	if (slash >= 0) {
		name = sv_skip(word, (size_t)slash + 1);
		host = sv_head(word, (size_t)slash);
		while (host.len && host.ptr[host.len - 1] == '/')
			host.len--;
		if (!find_host(host, &resource))
			return RC_PARSE;
		if (sv_starts_nocase(host, SV("https://localhost:")) ||
			sv_starts_nocase(host, SV("https://127.0.0.1:")))
			host = SV("https://graph.microsoft.com");
	}
	if (s->audience[0] && s->resource != resource)
		return RC_LIMIT;
	s->resource = resource;
	(void)snprintf(s->audience, sizeof(s->audience), "%.*s", SV_ARG(host));
	if (sv_eq_nocase(name, SV(".default"))) {
		s->all = true;
		return 0;
	}
	if (!belongs(name, resource))
		return RC_PARSE;
	(void)snprintf(
		s->names + used, sizeof(s->names) - used, "%s%.*s", used ? " " : "", SV_ARG(name));
	return 0;
}

int entra_scope_parse(struct sv text, struct entra_scope *out_scope)
{
	struct entra_scope s = { .resource = SANDBOX_RESOURCE_GRAPH };

	if (text.len > ENTRA_SCOPE_MAX)
		return RC_PARSE;
	while (text.len) {
		struct sv word;
		int rc = 0;

		(void)sv_cut_char(&text, ' ', &word);
		if (sv_eq_nocase(word, SV("offline_access")))
			s.offline = true;
		else if (sv_eq_nocase(word, SV("openid")) || sv_eq_nocase(word, SV("profile")) ||
			 sv_eq_nocase(word, SV("email")))
			s.openid = true;
		else if (word.len)
			rc = take_permission(&s, word);
		if (rc != 0)
			return rc;
	}
	if (!s.audience[0] && !s.offline && !s.openid)
		return RC_PARSE;
	if (!s.audience[0])
		(void)snprintf(s.audience, sizeof(s.audience), "https://graph.microsoft.com");
	*out_scope = s;
	return 0;
}

int entra_scope_grant(
	const struct entra_scope *s, const struct sandbox_texts *known, struct buf *out)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < known->count; i++) {
		struct sv name = sv_from(known->items[i]), rest = sv_from(s->names), asked;
		bool wanted = s->all;

		while (!wanted && rest.len) {
			(void)sv_cut_char(&rest, ' ', &asked);
			wanted = sv_eq_nocase(asked, name);
		}
		if (wanted && belongs(name, s->resource))
			rc = buf_printf(out, "%s%.*s", out->len ? " " : "", SV_ARG(name));
	}
	return rc;
}
