/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/admin.h"

#include "base/must.h"
#include "sandbox/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * One JSON object holds it all. A list is known by the properties that make a row the same; Get- gives the
 * rows that have all that was asked for, Add- and New- append, Remove- takes away.
 */
enum {
	KEYS_MAX = 2,
	ROWS_MAX = 1000,
	STATUS_OK = 200,
	STATUS_CREATED = 201,
	STATUS_EMPTY = 204,
	STATUS_BAD = 400,
	STATUS_FORBIDDEN = 403,
	STATUS_ABSENT = 404,
};

struct sandbox_admin {
	json_t *state;
	unsigned next_id;
};

enum verb {
	VERB_GET,
	VERB_ADD,
	VERB_REMOVE,
	VERB_SET,
	VERB_MAILBOX_GET,
	VERB_MAILBOX_SET,
};

static const struct command {
	const char *name;
	enum verb verb;
	const char *list;
	const char *keys[KEYS_MAX]; /* of a row; Remove- and Set- name the first as Identity */
} commands[] = {
	{ "Get-CASMailbox", VERB_MAILBOX_GET, "mailboxes", { NULL } },
	{ "Set-CASMailbox", VERB_MAILBOX_SET, "mailboxes", { NULL } },
	{ "Get-Mailbox", VERB_MAILBOX_GET, "mailboxes", { NULL } },
	{ "Set-Mailbox", VERB_MAILBOX_SET, "mailboxes", { NULL } },
	{ "Get-MailboxPermission", VERB_GET, "permissions", { "Identity", "User" } },
	{ "Add-MailboxPermission", VERB_ADD, "permissions", { "Identity", "User" } },
	{ "Remove-MailboxPermission", VERB_REMOVE, "permissions", { "Identity", "User" } },
	{ "Get-RecipientPermission", VERB_GET, "sendas", { "Identity", "Trustee" } },
	{ "Add-RecipientPermission", VERB_ADD, "sendas", { "Identity", "Trustee" } },
	{ "Remove-RecipientPermission", VERB_REMOVE, "sendas", { "Identity", "Trustee" } },
	{ "Get-ServicePrincipal", VERB_GET, "principals", { "ObjectId" } },
	{ "New-ServicePrincipal", VERB_ADD, "principals", { "ObjectId" } },
	{ "Remove-ServicePrincipal", VERB_REMOVE, "principals", { "ObjectId" } },
	{ "Get-InboundConnector", VERB_GET, "connectors", { "Name" } },
	{ "New-InboundConnector", VERB_ADD, "connectors", { "Name" } },
	{ "Remove-InboundConnector", VERB_REMOVE, "connectors", { "Name" } },
	{ "Get-LimitsEnforcementStatus", VERB_GET, "limits", { NULL } },
	{ "Get-BlockedSenderAddress", VERB_GET, "blocked", { "SenderAddress" } },
	{ "Remove-BlockedSenderAddress", VERB_REMOVE, "blocked", { "SenderAddress" } },
	{ "Get-DkimSigningConfig", VERB_GET, "dkim", { "DomainName" } },
	{ "New-DkimSigningConfig", VERB_ADD, "dkim", { "DomainName" } },
	{ "Set-DkimSigningConfig", VERB_SET, "dkim", { "DomainName" } },
};

struct sandbox_admin *sandbox_admin_new(void)
{
	struct sandbox_admin *a = xcalloc(1, sizeof(*a));

	a->state = json_object();
	return a;
}

void sandbox_admin_free(struct sandbox_admin *a)
{
	if (!a)
		return;
	json_decref(a->state);
	free(a);
}

int sandbox_admin_apply(struct sandbox_admin *a, const json_t *settings, struct err *err)
{
	json_t *copy;

	if (!settings)
		return 0;
	if (!json_is_object(settings))
		return err_set(err, RC_PARSE, "admin must be an object");
	copy = json_deep_copy(settings);
	(void)json_object_update(a->state, copy);
	json_decref(copy);
	return 0;
}

json_t *sandbox_admin_json(const struct sandbox_admin *a)
{
	return json_deep_copy(a->state);
}

/* ---- rows ---- */

static json_t *list_of(struct sandbox_admin *a, const char *name)
{
	json_t *list = json_object_get(a->state, name);

	if (!json_is_array(list)) {
		list = json_array();
		(void)json_object_set_new(a->state, name, list);
	}
	return list;
}

static bool same_text(const json_t *x, const json_t *y)
{
	return json_is_string(x) && json_is_string(y) &&
	       sv_eq_nocase(sv_from(json_string_value(x)), sv_from(json_string_value(y)));
}

/* The first key may be called Identity. */
static const json_t *wanted(const json_t *parameters, const char *key)
{
	const json_t *value = json_object_get(parameters, key);

	return value ? value : json_object_get(parameters, "Identity");
}

static bool row_fits(const struct command *c, const json_t *row, const json_t *parameters)
{
	for (size_t i = 0; i < KEYS_MAX && c->keys[i]; i++) {
		const json_t *value = i == 0 ? wanted(parameters, c->keys[i])
					     : json_object_get(parameters, c->keys[i]);

		if (value && !same_text(value, json_object_get(row, c->keys[i])))
			return false;
	}
	return true;
}

static json_t *fail(unsigned *out_status, unsigned status, const char *text)
{
	*out_status = status;
	return json_pack("{s:{s:s, s:s}}",
		"error",
		"code",
		status == STATUS_FORBIDDEN ? "Forbidden" : "BadRequest",
		"message",
		text);
}

static json_t *values(unsigned *out_status, json_t *rows)
{
	*out_status = STATUS_OK;
	return json_pack("{s:o}", "value", rows);
}

static const char *refusal(const struct sandbox_admin *a, const char *name)
{
	return json_string_value(json_object_get(json_object_get(a->state, "refuse"), name));
}

/* ---- mailboxes ---- */

static json_t *mailbox_of(struct sandbox_admin *a, const json_t *parameters)
{
	const char *identity = json_string_value(json_object_get(parameters, "Identity"));
	json_t *all = json_object_get(a->state, "mailboxes"), *one;

	if (!identity || !strchr(identity, '@'))
		return NULL;
	if (!all) {
		all = json_object();
		(void)json_object_set_new(a->state, "mailboxes", all);
	}
	one = json_object_get(all, identity);
	if (!one && json_object_size(all) < ROWS_MAX) {
		one = json_pack("{s:s, s:n, s:b}",
			"Identity",
			identity,
			"SmtpClientAuthenticationDisabled",
			"MessageCopyForSMTPClientSubmissionEnabled",
			1);
		(void)json_object_set_new(all, identity, one);
	}
	return json_is_object(one) ? one : NULL;
}

/* ---- the verbs ---- */

static json_t *get_rows(struct sandbox_admin *a, const struct command *c, const json_t *parameters)
{
	json_t *rows = json_array(), *row;
	size_t i;

	json_array_foreach(list_of(a, c->list), i, row) if (row_fits(c, row, parameters))(void)
		json_array_append(rows, row);
	return rows;
}

static json_t *add_row(struct sandbox_admin *a, const struct command *c, const json_t *parameters,
	unsigned *status)
{
	json_t *row, *list = list_of(a, c->list), *found = get_rows(a, c, parameters);
	bool taken = json_array_size(found) > 0;
	char text[128];

	json_decref(found);
	if (taken || json_array_size(list) >= ROWS_MAX || !wanted(parameters, c->keys[0]))
		return fail(
			status, STATUS_BAD, taken ? "The object already exists." : "Bad request.");
	row = json_deep_copy(parameters);
	if (strcmp(c->list, "dkim") == 0)
		for (int i = 1; i <= 2; i++) {
			(void)snprintf(text, sizeof(text), "Selector%dCNAME", i);
			(void)json_object_set_new(row,
				text,
				json_sprintf("selector%d-sandbox._domainkey.sandbox.n-v1.dkim.mail."
					     "microsoft",
					i));
		}
	(void)json_array_append_new(list, row);
	return values(status, json_pack("[O]", row));
}

static json_t *remove_row(struct sandbox_admin *a, const struct command *c,
	const json_t *parameters, unsigned *status)
{
	json_t *list = list_of(a, c->list);

	for (size_t i = 0; i < json_array_size(list); i++) {
		if (!row_fits(c, json_array_get(list, i), parameters))
			continue;
		(void)json_array_remove(list, i);
		return values(status, json_array());
	}
	return fail(status, STATUS_BAD, "The object couldn't be found.");
}

static json_t *set_row(
	struct sandbox_admin *a, const struct command *c, json_t *parameters, unsigned *status)
{
	json_t *list = list_of(a, c->list), *row;
	size_t i;

	json_array_foreach(list, i, row)
	{
		if (!row_fits(c, row, parameters))
			continue;
		if (json_is_true(json_object_get(parameters, "Enabled")) &&
			json_is_false(json_object_get(a->state, "dkim_ready")))
			return fail(
				status, STATUS_BAD, "CNAME record does not exist for this config.");
		(void)json_object_update(row, parameters);
		return values(status, json_array());
	}
	return fail(status, STATUS_BAD, "The object couldn't be found.");
}

static json_t *run(
	struct sandbox_admin *a, const struct command *c, json_t *parameters, unsigned *status)
{
	json_t *mailbox;

	switch (c->verb) {
	case VERB_GET:
		return values(status, get_rows(a, c, parameters));
	case VERB_ADD:
		return add_row(a, c, parameters, status);
	case VERB_REMOVE:
		return remove_row(a, c, parameters, status);
	case VERB_SET:
		return set_row(a, c, parameters, status);
	case VERB_MAILBOX_GET:
	case VERB_MAILBOX_SET:
		mailbox = mailbox_of(a, parameters);
		if (!mailbox)
			return fail(status, STATUS_BAD, "The mailbox couldn't be found.");
		if (c->verb == VERB_MAILBOX_GET)
			return values(status, json_pack("[O]", mailbox));
		(void)json_object_update(mailbox, parameters);
		return values(status, json_array());
	}
	return fail(status, STATUS_BAD, "Bad request.");
}

json_t *sandbox_admin_invoke(struct sandbox_admin *a, const json_t *input, unsigned *out_status)
{
	const json_t *cmdlet = json_object_get(input, "CmdletInput");
	const char *name = json_string_value(json_object_get(cmdlet, "CmdletName"));
	json_t *parameters = json_object_get(cmdlet, "Parameters");

	if (!name || !json_is_object(parameters))
		return fail(out_status,
			STATUS_BAD,
			"CmdletInput with CmdletName and Parameters is missing.");
	if (refusal(a, name))
		return fail(out_status, STATUS_FORBIDDEN, refusal(a, name));
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return run(a, &commands[i], parameters, out_status);
	return fail(out_status, STATUS_BAD, "The term is not recognized as the name of a cmdlet.");
}

/* ---- Graph ---- */

/* Resources that every tenant has; their roles have ids that are the same in this tenant always. */
static void add_resources(struct sandbox_admin *a)
{
	json_t *list = list_of(a, "servicePrincipals");

	if (json_array_size(list))
		return;
	(void)json_array_append_new(list,
		json_pack("{s:s, s:s, s:[{s:s, s:s}, {s:s, s:s}]}",
			"id",
			"aaaaaaaa-0000-0000-0000-000000000001",
			"appId",
			"00000002-0000-0ff1-ce00-000000000000",
			"appRoles",
			"id",
			"bbbbbbbb-0000-0000-0000-000000000001",
			"value",
			"SMTP.SendAsApp",
			"id",
			"bbbbbbbb-0000-0000-0000-000000000002",
			"value",
			"Mail.Send"));
	(void)json_array_append_new(list,
		json_pack("{s:s, s:s, s:[{s:s, s:s}, {s:s, s:s}]}",
			"id",
			"aaaaaaaa-0000-0000-0000-000000000002",
			"appId",
			"00000003-0000-0000-c000-000000000000",
			"appRoles",
			"id",
			"cccccccc-0000-0000-0000-000000000001",
			"value",
			"Mail.Send",
			"id",
			"cccccccc-0000-0000-0000-000000000002",
			"value",
			"Mail.ReadWrite"));
}

static json_t *new_id(struct sandbox_admin *a)
{
	return json_sprintf("dddddddd-0000-0000-0000-%012u", ++a->next_id);
}

/* "appId eq 'X'" */
static json_t *filtered(json_t *list, struct sv filter)
{
	json_t *rows = json_array(), *row;
	struct sv rest = filter, key, value, compared;
	size_t i;

	(void)sv_cut_char(&rest, '\'', &compared);
	(void)sv_cut_char(&rest, '\'', &value);
	(void)sv_cut_char(&compared, ' ', &key);
	json_array_foreach(list, i, row)
	{
		char name[64];

		(void)snprintf(name, sizeof(name), "%.*s", SV_ARG(sv_head(key, 60)));
		if (!filter.len ||
			sv_eq_nocase(value, sv_from(json_string_value(json_object_get(row, name)))))
			(void)json_array_append(rows, row);
	}
	return rows;
}

static json_t *create(struct sandbox_admin *a, json_t *list, const json_t *body, bool application,
	unsigned *status)
{
	json_t *row = json_is_object(body) ? json_deep_copy(body) : json_object();

	if (json_array_size(list) >= ROWS_MAX) {
		json_decref(row);
		return fail(status, STATUS_BAD, "Too many objects.");
	}
	(void)json_object_set_new(row, "id", new_id(a));
	if (application)
		(void)json_object_set_new(row, "appId", new_id(a));
	(void)json_array_append_new(list, row);
	*status = STATUS_CREATED;
	return json_incref(row);
}

static json_t *take_away(json_t *list, struct sv id, unsigned *status)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);

		if (!sv_eq_nocase(id, sv_from(json_string_value(json_object_get(row, "id")))))
			continue;
		(void)json_array_remove(list, i);
		*status = STATUS_EMPTY;
		return NULL;
	}
	return fail(status, STATUS_ABSENT, "Resource does not exist.");
}

json_t *sandbox_admin_graph(struct sandbox_admin *a, const char *method, struct sv path,
	struct sv filter, const json_t *body, unsigned *out_status)
{
	struct sv rest = path, kind, id, below;
	bool assignments, application;
	char name[64];
	json_t *list;

	(void)sv_cut_char(&rest, '/', &kind);
	(void)sv_cut_char(&rest, '/', &id);
	(void)sv_cut_char(&rest, '/', &below);
	assignments = sv_eq(below, SV("appRoleAssignments"));
	application = sv_eq(kind, SV("applications"));
	add_resources(a);
	(void)snprintf(name,
		sizeof(name),
		"%s %s",
		method,
		assignments   ? "appRoleAssignments"
		: application ? "applications"
			      : "servicePrincipals");
	if (refusal(a, name))
		return fail(out_status, STATUS_FORBIDDEN, refusal(a, name));
	list = list_of(a, name + strlen(method) + 1);
	if (strcmp(method, "GET") == 0)
		return values(out_status, filtered(list, filter));
	if (strcmp(method, "POST") == 0)
		return create(a, list, body, application, out_status);
	if (strcmp(method, "DELETE") == 0)
		return take_away(list, assignments ? rest : id, out_status);
	return fail(out_status, STATUS_BAD, "GET, POST or DELETE.");
}

json_t *sandbox_admin_sign_ins(const struct sandbox_admin *a, const char *filter_app, size_t skip,
	size_t most, bool *out_more, unsigned *out_status)
{
	const json_t *all = json_object_get(a->state, "signIns");
	json_t *rows = json_array();
	size_t seen = 0;

	*out_more = false;
	if (refusal(a, "GET signIns")) {
		json_decref(rows);
		return fail(out_status, STATUS_FORBIDDEN, refusal(a, "GET signIns"));
	}
	for (size_t i = 0; i < json_array_size(all); i++) {
		json_t *row = json_array_get(all, i);
		const char *app = json_string_value(json_object_get(row, "clientAppUsed"));

		if (!app || strcmp(app, filter_app) != 0 || seen++ < skip)
			continue;
		if (json_array_size(rows) < most)
			must(json_array_append(rows, row) == 0);
		else
			*out_more = true;
	}
	return values(out_status, rows);
}
