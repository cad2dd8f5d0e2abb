/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/admin.h"
#include "sandbox/sandbox_priv.h"

#include <stdio.h>

enum {
	SIGN_INS_PAGE = 1000
};

/*
 *   POST /adminapi/beta/{tenant}/InvokeCommand             an Exchange cmdlet
 *   GET, POST, DELETE /v1.0/applications, /v1.0/servicePrincipals, .../appRoleAssignments
 *
 * An administrator is who has a token with Exchange.Manage (a person's) or Exchange.ManageAsApp (an app's own), or
 * Application.ReadWrite.All at Graph. That an app needs a role in Entra, too, is not looked at.
 * https://learn.microsoft.com/powershell/exchange/app-only-auth-powershell-v2, read on 2026-08-21.
 */
static enum MHD_Result refuse(struct sandbox_web_request *r, unsigned status, const char *text)
{
	return sandbox_web_json(r,
		status,
		json_pack("{s:{s:s, s:s}}", "error", "code", "Unauthorized", "message", text));
}

/* NULL, or why not. */
static const char *check(struct sandbox *s, struct sandbox_web_request *r,
	enum sandbox_resource resource, const char *scope, const char *role)
{
	struct sv field = sandbox_web_field(r, "Authorization");
	struct sandbox_bearer b = { 0 };
	const char *why = "Access token is empty.";

	if (sv_starts_nocase(field, SV("Bearer ")))
		why = sandbox_entra_check(
			s->entra, sv_skip(field, 7), sandbox_instant(s).now_s, &b);
	if (!why && (b.resource != resource || !sandbox_bearer_may(&b, scope, role)))
		why = "The token is for something else.";
	sandbox_bearer_deinit(&b);
	return why;
}

static enum MHD_Result invoke(struct sandbox *s, struct sandbox_web_request *r)
{
	const char *why =
		check(s, r, SANDBOX_RESOURCE_EXCHANGE, "Exchange.Manage", "Exchange.ManageAsApp");
	json_t *body, *answer;
	unsigned status = 0;

	if (why)
		return refuse(r, MHD_HTTP_UNAUTHORIZED, why);
	if (!sv_starts(sandbox_web_field(r, "X-AnchorMailbox"), SV("UPN:")))
		return refuse(r, MHD_HTTP_BAD_REQUEST, "X-AnchorMailbox is missing.");
	body = json_loadb(buf_sv(&r->body).ptr, r->body.len, 0, NULL);
	sandbox_admin_count(s);
	answer = sandbox_admin_invoke(s->admin, body, &status);
	if (status == MHD_HTTP_OK)
		sandbox_admin_unblock(s, body);
	json_decref(body);
	return sandbox_web_json(r, status, answer);
}

static enum MHD_Result graph(struct sandbox *s, struct sandbox_web_request *r)
{
	const char *why = check(s,
		r,
		SANDBOX_RESOURCE_GRAPH,
		"Application.ReadWrite.All",
		"Application.ReadWrite.All");
	json_t *body, *answer;
	unsigned status = 0;
	char method[16];

	if (why)
		return refuse(r, MHD_HTTP_UNAUTHORIZED, why);
	(void)snprintf(method, sizeof(method), "%.*s", SV_ARG(r->method));
	body = json_loadb(buf_sv(&r->body).ptr, r->body.len, 0, NULL);
	answer = sandbox_admin_graph(s->admin,
		method,
		sv_skip(r->path, 6),
		sandbox_web_argument(r, "$filter"),
		body,
		&status);
	json_decref(body);
	return answer ? sandbox_web_json(r, status, answer)
		      : sandbox_web_send(r, status, NULL, SV(""));
}

/* GET /v1.0/auditLogs/signIns: paged as Graph does, by a link that holds all of it. */
static enum MHD_Result sign_ins(struct sandbox *s, struct sandbox_web_request *r)
{
	const char *why =
		check(s, r, SANDBOX_RESOURCE_GRAPH, "AuditLog.Read.All", "AuditLog.Read.All");
	struct sv filter = sandbox_web_argument(r, "$filter"), app;
	uint32_t skip = 0, most = SIGN_INS_PAGE;
	char name[64];
	unsigned status = 0;
	json_t *answer;
	bool more;

	if (why)
		return refuse(r, MHD_HTTP_UNAUTHORIZED, why);
	(void)!sv_parse_u32(sandbox_web_argument(r, "$skiptoken"), UINT32_MAX, &skip);
	(void)!sv_parse_u32(sandbox_web_argument(r, "$top"), SIGN_INS_PAGE, &most);
	if (!sv_starts(filter, SV("clientAppUsed eq '")))
		return refuse(r, MHD_HTTP_BAD_REQUEST, "Invalid filter clause.");
	filter = sv_skip(filter, 18);
	(void)sv_cut_char(&filter, '\'', &app);
	(void)snprintf(name, sizeof(name), "%.*s", SV_ARG(sv_head(app, sizeof(name) - 1)));
	answer = sandbox_admin_sign_ins(s->admin, name, skip, most, &more, &status);
	if (more)
		(void)json_object_set_new(answer,
			"@odata.nextLink",
			json_sprintf("https://%.*s/v1.0/auditLogs/"
				     "signIns?$filter=clientAppUsed%%20eq%%20"
				     "'Authenticated%%20SMTP'&$top=%u&$skiptoken=%u",
				SV_ARG(sandbox_web_field(r, "Host")),
				most,
				skip + most));
	return sandbox_web_json(r, status, answer);
}

bool sandbox_admin_owns(struct sv path)
{
	return sv_starts(path, SV("/adminapi/")) || sv_starts(path, SV("/v1.0/auditLogs/")) ||
	       sv_starts(path, SV("/v1.0/applications")) ||
	       sv_starts(path, SV("/v1.0/servicePrincipals"));
}

enum MHD_Result sandbox_admin_web(struct sandbox *s, struct sandbox_web_request *r)
{
	bool command = sv_ends_nocase(r->path, SV("/InvokeCommand"));

	if (sv_eq(r->path, SV("/v1.0/auditLogs/signIns")))
		return sign_ins(s, r);
	if (sv_starts(r->path, SV("/v1.0/")))
		return graph(s, r);
	if (!command || !sv_eq(r->method, SV("POST")))
		return sandbox_web_error(r, MHD_HTTP_NOT_FOUND, "no such address");
	return invoke(s, r);
}
