/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/setup_priv.h"

#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each step looks first. What is right stays; what is not is changed, with the way back written down. */

static json_t *text(struct sv v)
{
	json_t *made = json_stringn(v.ptr ? v.ptr : "", v.len);

	return made ? made : json_string("?");
}

static json_t *cmdlet(const char *name, json_t *parameters)
{
	return json_pack("{s:s, s:o}", "cmdlet", name, "parameters", parameters);
}

static json_t *graph(const char *method, const char *path, json_t *body)
{
	json_t *call = json_pack("{s:s, s:s}", "method", method, "path", path);

	if (body)
		(void)json_object_set_new(call, "body", body);
	return call;
}

/* The rows of an answer; NULL: refused. Takes the call. */
static json_t *look(struct setup_admin *a, json_t *call)
{
	json_t *answer = setup_admin_call(a, call), *rows;

	json_decref(call);
	if (!answer)
		return NULL;
	rows = json_incref(json_object_get(answer, "value"));
	json_decref(answer);
	if (!json_is_array(rows)) {
		json_decref(rows);
		rows = json_array();
	}
	return rows;
}

static bool text_is(const json_t *row, const char *key, struct sv want)
{
	const char *have = json_string_value(json_object_get(row, key));

	return have && sv_eq_nocase(sv_from(have), want);
}

static json_t *find(const json_t *rows, const char *key, struct sv want)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) if (text_is(row, key, want)) return row;
	return NULL;
}

static enum setup_result confirmed_change(
	struct setup_admin *a, const struct setup_step *s, json_t *call, json_t *undo)
{
	char title[SETUP_WHY_MAX];

	if (setup_confirm(a, setup_step_title(s, title)))
		return setup_change(a, call, undo);
	json_decref(call);
	json_decref(undo);
	return SETUP_SKIPPED;
}

/* ---- Exchange ---- */

/* A switch of a mailbox. */
static enum setup_result apply_flag(struct setup_admin *a, const struct setup_step *s,
	const char *get, const char *set, const char *name)
{
	json_t *rows = look(a, cmdlet(get, json_pack("{s:o}", "Identity", text(s->subject))));
	const json_t *before;
	enum setup_result result;

	if (!rows)
		return SETUP_REFUSED;
	before = json_object_get(json_array_get(rows, 0), name);
	if (json_is_false(before))
		result = SETUP_RIGHT;
	else
		result = confirmed_change(a,
			s,
			cmdlet(set, json_pack("{s:o, s:b}", "Identity", text(s->subject), name, 0)),
			cmdlet(set,
				json_pack("{s:o, s:o}",
					"Identity",
					text(s->subject),
					name,
					before ? json_deep_copy(before) : json_null())));
	json_decref(rows);
	return result;
}

struct right {
	const char *get, *add, *remove, *who, *name;
};

static bool has_right(const json_t *rows, const char *name)
{
	const json_t *row, *right;
	size_t i, k;

	json_array_foreach(rows, i, row) json_array_foreach(json_object_get(row, "AccessRights"),
		k,
		right) if (json_is_string(right) &&
			   strcmp(json_string_value(right), name) == 0) return true;
	return false;
}

static enum setup_result apply_right(
	struct setup_admin *a, const struct setup_step *s, const struct right *r)
{
	struct sv who = s->trustee.len ? s->trustee : sv_from(a->principal_id);
	json_t *whole, *rows;
	enum setup_result result = SETUP_RIGHT;

	rows = look(a,
		cmdlet(r->get,
			json_pack("{s:o, s:o}", "Identity", text(s->subject), r->who, text(who))));
	if (!rows)
		return SETUP_REFUSED;
	if (!has_right(rows, r->name)) {
		whole = json_pack("{s:o, s:o, s:[s]}",
			"Identity",
			text(s->subject),
			r->who,
			text(who),
			"AccessRights",
			r->name);
		result = confirmed_change(a,
			s,
			cmdlet(r->add, json_deep_copy(whole)),
			cmdlet(r->remove, json_deep_copy(whole)));
		json_decref(whole);
	}
	json_decref(rows);
	return result;
}

static json_t *principal(const char *app, const char *object)
{
	return json_pack(
		"{s:s, s:s, s:s}", "AppId", app, "ObjectId", object, "DisplayName", "postern");
}

/* One that was registered with the id of the app registration is of no use, and in the way. */
static enum setup_result apply_principal(struct setup_admin *a, const struct setup_step *s)
{
	json_t *rows = look(a, cmdlet("Get-ServicePrincipal", json_object()));
	const json_t *known = find(rows, "AppId", sv_from(a->client_id));
	const char *object = json_string_value(json_object_get(known, "ObjectId"));
	enum setup_result result = SETUP_RIGHT;

	if (!rows)
		return SETUP_REFUSED;
	if (!object || strcmp(object, a->principal_id) != 0) {
		if (object)
			result = confirmed_change(a,
				s,
				cmdlet("Remove-ServicePrincipal",
					json_pack("{s:s}", "Identity", object)),
				cmdlet("New-ServicePrincipal", principal(a->client_id, object)));
		if (result == SETUP_RIGHT || result == SETUP_DONE)
			result = confirmed_change(a,
				s,
				cmdlet("New-ServicePrincipal",
					principal(a->client_id, a->principal_id)),
				cmdlet("Remove-ServicePrincipal",
					json_pack("{s:s}", "Identity", a->principal_id)));
	}
	json_decref(rows);
	return result;
}

static enum setup_result apply_connector(struct setup_admin *a, const struct setup_step *s)
{
	char name[SETUP_WHY_MAX];
	json_t *rows, *made;
	enum setup_result result = SETUP_RIGHT;

	if (!s->certificate.len && !s->address.len)
		return SETUP_BY_HAND;
	(void)snprintf(name, sizeof(name), "postern %.*s", SV_ARG(s->subject));
	rows = look(a, cmdlet("Get-InboundConnector", json_object()));
	if (!rows)
		return SETUP_REFUSED;
	if (!find(rows, "Name", sv_from(name))) {
		made = json_pack("{s:s, s:s, s:[s], s:b}",
			"Name",
			name,
			"ConnectorType",
			"OnPremises",
			"SenderDomains",
			"*",
			"RequireTls",
			1);
		if (s->certificate.len)
			(void)json_object_set_new(
				made, "TlsSenderCertificateName", text(s->certificate));
		else
			(void)json_object_set_new(
				made, "SenderIPAddresses", json_pack("[o]", text(s->address)));
		result = confirmed_change(a,
			s,
			cmdlet("New-InboundConnector", made),
			cmdlet("Remove-InboundConnector", json_pack("{s:s}", "Identity", name)));
	}
	json_decref(rows);
	return result;
}

static json_t *dkim_on(const struct setup_step *s, bool on)
{
	return cmdlet("Set-DkimSigningConfig",
		json_pack("{s:o, s:b}", "Identity", text(s->subject), "Enabled", on));
}

/* A configuration that is not on does nothing: it stays when all is undone. */
static enum setup_result apply_dkim(struct setup_admin *a, const struct setup_step *s)
{
	json_t *rows = look(a,
		cmdlet("Get-DkimSigningConfig", json_pack("{s:o}", "Identity", text(s->subject))));
	bool on = json_is_true(json_object_get(json_array_get(rows, 0), "Enabled"));
	enum setup_result result = SETUP_RIGHT;

	if (!rows)
		return SETUP_REFUSED;
	if (!json_array_size(rows))
		result = confirmed_change(a,
			s,
			cmdlet("New-DkimSigningConfig",
				json_pack("{s:o, s:b, s:i}",
					"DomainName",
					text(s->subject),
					"Enabled",
					0,
					"KeySize",
					2048)),
			NULL);
	if (!on && (result == SETUP_RIGHT || result == SETUP_DONE))
		result = confirmed_change(a, s, dkim_on(s, true), dkim_on(s, false));
	json_decref(rows);
	return result;
}

/* ---- Graph ---- */

/* The first row of a list by its appId; NULL: none, or refused (*out_refused). */
static json_t *by_app(struct setup_admin *a, const char *list, const char *id, bool *out_refused)
{
	char path[256];
	json_t *rows, *row;

	(void)snprintf(path, sizeof(path), "%s?$filter=appId%%20eq%%20'%s'", list, id);
	rows = look(a, graph("GET", path, NULL));
	*out_refused = !rows;
	row = json_incref(json_array_get(rows, 0));
	json_decref(rows);
	return row;
}

/* Only letters that can stand in an address. */
static bool take_id(const json_t *row, const char *key, char out[64])
{
	const char *id = json_string_value(json_object_get(row, key));

	if (!id || strlen(id) >= 64 || id[strspn(id, "0123456789abcdefABCDEF-")] != '\0')
		return false;
	(void)snprintf(out, 64, "%s", id);
	return true;
}

static enum setup_result refuse(struct setup_admin *a, const char *why)
{
	(void)snprintf(a->why, sizeof(a->why), "%s", why);
	return SETUP_REFUSED;
}

/* The registration that postern.yaml names must exist: making another one would not help. */
static enum setup_result apply_app(struct setup_admin *a, const struct setup_step *s)
{
	json_t *found = json_pack("{s:o}", "appId", text(s->tenant->client_id));
	bool refused, there, named = take_id(found, "appId", a->client_id);
	enum setup_result result = SETUP_RIGHT;

	json_decref(found);
	if (!s->tenant->client_id.len || !named)
		return SETUP_BY_HAND;
	found = by_app(a, "applications", a->client_id, &refused);
	there = found != NULL;
	json_decref(found);
	if (refused)
		return SETUP_REFUSED;
	if (!there)
		return refuse(a, "there is no app with this client_id: correct it in postern.yaml");
	found = by_app(a, "servicePrincipals", a->client_id, &refused);
	if (!found && !refused) {
		result = confirmed_change(a,
			s,
			graph("POST",
				"servicePrincipals",
				json_pack("{s:s}", "appId", a->client_id)),
			json_pack("{s:s, s:s}",
				"method",
				"DELETE",
				"path",
				"servicePrincipals/{id}"));
		if (result == SETUP_DONE)
			found = by_app(a, "servicePrincipals", a->client_id, &refused);
	}
	if (refused || (found && !take_id(found, "id", a->principal_id)))
		result = SETUP_REFUSED;
	json_decref(found);
	return result;
}

static enum setup_result apply_role(struct setup_admin *a, const struct setup_step *s)
{
	const char *id = s->api == SETUP_API_GRAPH ? "00000003-0000-0000-c000-000000000000"
						   : "00000002-0000-0ff1-ce00-000000000000";
	char path[256], back[sizeof(path) + 8], resource_id[64] = "", role_id[64] = "";
	bool refused;
	json_t *resource = by_app(a, "servicePrincipals", id, &refused), *rows;
	enum setup_result result = SETUP_RIGHT;

	if (refused)
		return SETUP_REFUSED;
	if (!take_id(resource, "id", resource_id) ||
		!take_id(find(json_object_get(resource, "appRoles"), "value", s->subject),
			"id",
			role_id)) {
		json_decref(resource);
		return refuse(a, "the tenant knows no such permission");
	}
	json_decref(resource);
	(void)snprintf(
		path, sizeof(path), "servicePrincipals/%s/appRoleAssignments", a->principal_id);
	(void)snprintf(back, sizeof(back), "%s/{id}", path);
	rows = look(a, graph("GET", path, NULL));
	if (!rows)
		return SETUP_REFUSED;
	if (!find(rows, "appRoleId", sv_from(role_id)))
		result = confirmed_change(a,
			s,
			graph("POST",
				path,
				json_pack("{s:s, s:s, s:s}",
					"principalId",
					a->principal_id,
					"resourceId",
					resource_id,
					"appRoleId",
					role_id)),
			json_pack("{s:s, s:s}", "method", "DELETE", "path", back));
	json_decref(rows);
	return result;
}

/* ---- all ---- */

const char *setup_step_title(const struct setup_step *s, char out[SETUP_WHY_MAX])
{
	static const char *const words[SETUP_KIND_COUNT] = {
		[SETUP_APP] = "the app and its Enterprise application",
		[SETUP_APP_ROLE] = "the app may use ",
		[SETUP_APP_SCOPE] = "people may use through the app: ",
		[SETUP_PRINCIPAL] = "Exchange knows the app",
		[SETUP_FULL_ACCESS] = "full access to ",
		[SETUP_SMTP_AUTH] = "SMTP AUTH on for ",
		[SETUP_SENT_COPY] = "no copies in Sent Items of ",
		[SETUP_SEND_AS] = "may send as ",
		[SETUP_CONNECTOR] = "inbound connector for ",
		[SETUP_HVE_ACCOUNT] = "High Volume Email account ",
		[SETUP_HVE_APP] = "the app may send as ",
		[SETUP_DKIM] = "DKIM on for ",
	};
	bool who = s->kind == SETUP_FULL_ACCESS || s->kind == SETUP_SEND_AS;

	(void)snprintf(out,
		SETUP_WHY_MAX,
		"%s%.*s%s%.*s",
		words[s->kind],
		SV_ARG(s->subject),
		who ? ": " : "",
		SV_ARG(!who              ? SV("")
			: s->trustee.len ? s->trustee
					 : SV("the app")));
	return out;
}

enum setup_result setup_step_apply(struct setup_admin *a, const struct setup_step *s)
{
	static const struct right full = { "Get-MailboxPermission",
		"Add-MailboxPermission",
		"Remove-MailboxPermission",
		"User",
		"FullAccess" };
	static const struct right send = { "Get-RecipientPermission",
		"Add-RecipientPermission",
		"Remove-RecipientPermission",
		"Trustee",
		"SendAs" };
	bool needs_app =
		s->kind == SETUP_APP_ROLE || s->kind == SETUP_PRINCIPAL ||
		((s->kind == SETUP_FULL_ACCESS || s->kind == SETUP_SEND_AS) && !s->trustee.len);

	if (needs_app && !a->principal_id[0])
		return refuse(a, "the Enterprise application is not there yet");
	switch (s->kind) {
	case SETUP_APP:
		return apply_app(a, s);
	case SETUP_APP_ROLE:
		return apply_role(a, s);
	case SETUP_PRINCIPAL:
		return apply_principal(a, s);
	case SETUP_FULL_ACCESS:
		return apply_right(a, s, &full);
	case SETUP_SEND_AS:
		return apply_right(a, s, &send);
	case SETUP_SMTP_AUTH:
		return apply_flag(a,
			s,
			"Get-CASMailbox",
			"Set-CASMailbox",
			"SmtpClientAuthenticationDisabled");
	case SETUP_SENT_COPY:
		return apply_flag(a,
			s,
			"Get-Mailbox",
			"Set-Mailbox",
			"MessageCopyForSMTPClientSubmissionEnabled");
	case SETUP_CONNECTOR:
		return apply_connector(a, s);
	case SETUP_DKIM:
		return apply_dkim(a, s);
	case SETUP_APP_SCOPE:
	case SETUP_HVE_ACCOUNT:
	case SETUP_HVE_APP:
	case SETUP_KIND_COUNT:
		break;
	}
	return SETUP_BY_HAND;
}
