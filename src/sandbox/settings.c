/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/keys.h"
#include "sandbox/sandbox_priv.h"

#include "base/must.h"

/* What PUT /settings and the scenarios set, and GET /settings shows. Nothing is set unless all is right. */

static const struct sandbox_key top_keys[] = {
	{ "tenant_auth", SANDBOX_TYPE_BOOL },
	{ "basic_auth", SANDBOX_TYPE_BOOL },
	{ "security_defaults", SANDBOX_TYPE_BOOL },
	{ "rewrite_ids", SANDBOX_TYPE_BOOL },
	{ "all_full", SANDBOX_TYPE_BOOL },
	{ "limits", SANDBOX_TYPE_OBJECT },
	{ "tenant_limits", SANDBOX_TYPE_OBJECT },
	{ "mailboxes", SANDBOX_TYPE_LIST },
	{ "apps", SANDBOX_TYPE_LIST },
	{ "tenants", SANDBOX_TYPE_TEXTS },
	{ "token_life", SANDBOX_TYPE_COUNT },
	{ "refresh_life", SANDBOX_TYPE_COUNT },
	{ "device_life", SANDBOX_TYPE_COUNT },
	{ "device_interval", SANDBOX_TYPE_COUNT },
	{ "clock_skew", SANDBOX_TYPE_INTEGER },
	{ "auto_approve", SANDBOX_TYPE_TEXT_OR_NULL },
	{ "refresh_once", SANDBOX_TYPE_BOOL },
	{ "revoke_sessions", SANDBOX_TYPE_BOOL },
	{ "graph_audience", SANDBOX_TYPE_BOOL },
	{ "delegates", SANDBOX_TYPE_OBJECT },
	{ "accepted_domains", SANDBOX_TYPE_TEXTS },
	{ "hve_accounts", SANDBOX_TYPE_TEXTS },
	{ "bounces", SANDBOX_TYPE_TEXTS },
	{ "connector", SANDBOX_TYPE_OBJECT },
	{ "reject_direct_send", SANDBOX_TYPE_BOOL },
	{ "admin", SANDBOX_TYPE_OBJECT },
};

static const struct sandbox_key limit_keys[] = {
	{ "messages_per_minute", SANDBOX_TYPE_COUNT },
	{ "connections", SANDBOX_TYPE_COUNT },
	{ "recipients_per_day", SANDBOX_TYPE_COUNT },
	{ "recipients_per_message", SANDBOX_TYPE_COUNT },
	{ "graph_connections", SANDBOX_TYPE_COUNT },
	{ "graph_requests", SANDBOX_TYPE_COUNT },
	{ "graph_bytes", SANDBOX_TYPE_COUNT },
	{ "message_bytes", SANDBOX_TYPE_COUNT },
};

static const struct sandbox_key tenant_limit_keys[] = {
	{ "strict", SANDBOX_TYPE_BOOL },
	{ "licences", SANDBOX_TYPE_COUNT },
	{ "age_days", SANDBOX_TYPE_COUNT },
	{ "trial", SANDBOX_TYPE_BOOL },
	{ "external_per_day", SANDBOX_TYPE_COUNT },
	{ "onmicrosoft_per_day", SANDBOX_TYPE_COUNT },
	{ "direct_per_hour", SANDBOX_TYPE_COUNT },
	{ "hve_cents_per_million", SANDBOX_TYPE_COUNT },
	{ "hve_budget_cents", SANDBOX_TYPE_COUNT },
	{ "people_external_per_hour", SANDBOX_TYPE_COUNT },
};

static const struct sandbox_key mailbox_keys[] = {
	{ "address", SANDBOX_TYPE_TEXT },
	{ "password", SANDBOX_TYPE_TEXT },
	{ "smtp_auth", SANDBOX_TYPE_TEXT },
	{ "full", SANDBOX_TYPE_BOOL },
	{ "blocked", SANDBOX_TYPE_BOOL },
	{ "missing", SANDBOX_TYPE_BOOL },
	{ "send_as", SANDBOX_TYPE_TEXTS },
	{ "people_per_hour", SANDBOX_TYPE_COUNT },
};

static const struct sandbox_key app_keys[] = {
	{ "client_id", SANDBOX_TYPE_TEXT },
	{ "secret", SANDBOX_TYPE_TEXT_OR_NULL },
	{ "certificates", SANDBOX_TYPE_TEXTS },
	{ "roles", SANDBOX_TYPE_TEXTS },
	{ "scopes", SANDBOX_TYPE_TEXTS },
	{ "mailboxes", SANDBOX_TYPE_TEXTS },
	{ "secret_expired", SANDBOX_TYPE_BOOL },
	{ "disabled", SANDBOX_TYPE_BOOL },
	{ "consent", SANDBOX_TYPE_BOOL },
	{ "public", SANDBOX_TYPE_BOOL },
	{ "registered", SANDBOX_TYPE_BOOL },
};

static const struct sandbox_key connector_keys[] = {
	{ "sources", SANDBOX_TYPE_TEXTS },
	{ "certificate", SANDBOX_TYPE_BOOL },
};

static const char *const auth_names[] = {
	[SANDBOX_INHERIT] = "inherit",
	[SANDBOX_ON] = "on",
	[SANDBOX_OFF] = "off",
};

/* ---- checking ---- */

static int find_auth(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(auth_names); i++) {
		if (strcmp(auth_names[i], name) == 0)
			return (int)i;
	}
	return -1;
}

static int check_list(const json_t *list, const char *where, const struct sandbox_key *keys,
	size_t count, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++)
		rc = sandbox_keys_check(json_array_get(list, i), where, keys, count, err);
	return rc;
}

static int check_mailbox(const json_t *spec, struct err *err)
{
	const char *address = json_string_value(json_object_get(spec, "address"));
	const char *auth = json_string_value(json_object_get(spec, "smtp_auth"));

	if (!address || !address[0])
		return err_set(err, RC_PARSE, "mailboxes: each needs an \"address\"");
	if (auth && find_auth(auth) < 0)
		return err_set(
			err, RC_PARSE, "mailboxes: \"smtp_auth\" must be on, off or inherit");
	return 0;
}

static int check_settings(const json_t *settings, struct err *err)
{
	const json_t *mailboxes = json_object_get(settings, "mailboxes");
	const json_t *limits = json_object_get(settings, "limits");
	const json_t *tenant_limits = json_object_get(settings, "tenant_limits");
	const json_t *connector = json_object_get(settings, "connector");
	int rc = sandbox_keys_check(settings, "settings", top_keys, COUNT_OF(top_keys), err);

	if (rc == 0 && tenant_limits)
		rc = sandbox_keys_check(tenant_limits,
			"tenant_limits",
			tenant_limit_keys,
			COUNT_OF(tenant_limit_keys),
			err);

	if (rc == 0 && limits)
		rc = sandbox_keys_check(limits, "limits", limit_keys, COUNT_OF(limit_keys), err);
	if (rc == 0 && connector)
		rc = sandbox_keys_check(
			connector, "connector", connector_keys, COUNT_OF(connector_keys), err);
	if (rc == 0)
		rc = check_list(json_object_get(settings, "apps"),
			"apps",
			app_keys,
			COUNT_OF(app_keys),
			err);
	if (rc == 0)
		rc = check_list(mailboxes, "mailboxes", mailbox_keys, COUNT_OF(mailbox_keys), err);
	for (size_t i = 0; rc == 0 && i < json_array_size(mailboxes); i++)
		rc = check_mailbox(json_array_get(mailboxes, i), err);
	return rc;
}

/* ---- setting ---- */

static void read_bool(const json_t *settings, const char *key, bool *out_value)
{
	const json_t *value = json_object_get(settings, key);

	if (value)
		*out_value = json_is_true(value);
}

static void read_count(const json_t *settings, const char *key, uint32_t *out_value)
{
	const json_t *value = json_object_get(settings, key);

	if (value)
		*out_value = (uint32_t)json_integer_value(value);
}

static void apply_limits(struct sandbox_limits *l, const json_t *limits)
{
	uint32_t bytes = (uint32_t)l->message_bytes_max;

	read_count(limits, "messages_per_minute", &l->messages_per_minute);
	read_count(limits, "connections", &l->connections);
	read_count(limits, "recipients_per_day", &l->recipients_per_day);
	read_count(limits, "recipients_per_message", &l->recipients_per_message);
	read_count(limits, "graph_connections", &l->graph_connections);
	read_count(limits, "graph_requests", &l->graph_requests);
	read_count(limits, "graph_bytes", &l->graph_bytes);
	read_count(limits, "message_bytes", &bytes);
	l->message_bytes_max = bytes;
}

static void apply_tenant_limits(struct sandbox *s, const json_t *settings)
{
	struct sandbox_limits *l = sandbox_model_limits(s->model);
	const json_t *people = json_object_get(settings, "people_external_per_hour");

	read_bool(settings, "strict", &l->strict);
	read_count(settings, "licences", &l->tenant.licences);
	read_count(settings, "age_days", &l->tenant.age_days);
	read_bool(settings, "trial", &l->tenant.trial);
	read_count(settings, "external_per_day", &l->tenant.external_per_day);
	read_count(settings, "onmicrosoft_per_day", &l->onmicrosoft_per_day);
	read_count(settings, "direct_per_hour", &l->direct_per_hour);
	read_count(settings, "hve_cents_per_million", &l->hve_cents_per_million);
	read_count(settings, "hve_budget_cents", &l->hve_budget_cents);
	if (people)
		sandbox_model_people(
			s->model, (uint32_t)json_integer_value(people), sandbox_now_us(s));
}

static void apply_switches(struct sandbox_switches *w, const json_t *settings)
{
	read_bool(settings, "tenant_auth", &w->tenant_auth);
	read_bool(settings, "basic_auth", &w->basic_auth);
	read_bool(settings, "security_defaults", &w->security_defaults);
	read_bool(settings, "rewrite_ids", &w->rewrite_ids);
	read_bool(settings, "all_full", &w->all_full);
}

static void apply_mailbox(struct sandbox *s, const json_t *spec)
{
	const char *address = json_string_value(json_object_get(spec, "address"));
	const char *password = json_string_value(json_object_get(spec, "password"));
	const char *auth = json_string_value(json_object_get(spec, "smtp_auth"));
	const json_t *send_as = json_object_get(spec, "send_as");
	const json_t *people = json_object_get(spec, "people_per_hour");
	struct sandbox_mailbox *b = sandbox_model_mailbox(s->model, sv_from(address), true);

	if (people)
		sandbox_mailbox_people(b, (uint32_t)json_integer_value(people), sandbox_now_us(s));

	if (password)
		sandbox_mailbox_set_password(b, sv_from(password));
	if (auth)
		b->smtp_auth = (enum sandbox_switch)find_auth(auth);
	read_bool(spec, "full", &b->full);
	read_bool(spec, "blocked", &b->blocked);
	read_bool(spec, "missing", &b->missing);
	for (size_t i = 0; i < json_array_size(send_as); i++)
		sandbox_mailbox_allow_send_as(
			b, sv_from(json_string_value(json_array_get(send_as, i))));
}

int sandbox_settings_apply(struct sandbox *s, const json_t *settings, struct err *err)
{
	const json_t *mailboxes = json_object_get(settings, "mailboxes");
	int rc = check_settings(settings, err);

	if (rc == 0)
		rc = sandbox_tenant_apply(&s->tenant, settings, err);
	if (rc == 0)
		rc = sandbox_entra_apply(s->entra, settings, err);
	if (rc == 0)
		rc = sandbox_admin_apply(s->admin, json_object_get(settings, "admin"), err);
	if (rc != 0)
		return rc;
	apply_switches(sandbox_model_switches(s->model), settings);
	apply_limits(sandbox_model_limits(s->model), json_object_get(settings, "limits"));
	apply_tenant_limits(s, json_object_get(settings, "tenant_limits"));
	for (size_t i = 0; i < json_array_size(mailboxes); i++)
		apply_mailbox(s, json_array_get(mailboxes, i));
	return 0;
}

/* ---- showing ---- */

static void put_bool(json_t *o, const char *key, bool value)
{
	must(json_object_set_new(o, key, json_boolean(value)) == 0);
}

static void put_count(json_t *o, const char *key, uint64_t value)
{
	must(json_object_set_new(o, key, json_integer((json_int_t)value)) == 0);
}

static json_t *limits_json(const struct sandbox_limits *l)
{
	json_t *o = json_object();

	put_count(o, "messages_per_minute", l->messages_per_minute);
	put_count(o, "connections", l->connections);
	put_count(o, "recipients_per_day", l->recipients_per_day);
	put_count(o, "recipients_per_message", l->recipients_per_message);
	put_count(o, "graph_connections", l->graph_connections);
	put_count(o, "graph_requests", l->graph_requests);
	put_count(o, "graph_bytes", l->graph_bytes);
	put_count(o, "message_bytes", l->message_bytes_max);
	return o;
}

static json_t *tenant_limits_json(const struct sandbox *s)
{
	const struct sandbox_limits *l = sandbox_model_limits(s->model);
	json_t *o = json_object();

	put_bool(o, "strict", l->strict);
	put_count(o, "licences", l->tenant.licences);
	if (l->tenant.age_days != PROVIDER_AGE_UNKNOWN)
		put_count(o, "age_days", l->tenant.age_days);
	put_bool(o, "trial", l->tenant.trial);
	put_count(o, "external_per_day", provider_tenant_external(&l->tenant));
	put_count(o, "onmicrosoft_per_day", l->onmicrosoft_per_day);
	put_count(o, "direct_per_hour", l->direct_per_hour);
	put_count(o, "hve_cents_per_million", l->hve_cents_per_million);
	put_count(o, "hve_budget_cents", l->hve_budget_cents);
	return o;
}

static json_t *mailbox_json(const struct sandbox_mailbox *b)
{
	json_t *o = json_object();
	json_t *send_as = json_array();

	for (size_t i = 0; i < b->send_as_count; i++)
		must(json_array_append_new(send_as, sandbox_json_text(sv_from(b->send_as[i]))) ==
			0);
	must(json_object_set_new(o, "address", sandbox_json_text(sv_from(b->address))) == 0);
	must(json_object_set_new(o, "smtp_auth", json_string(auth_names[b->smtp_auth])) == 0);
	put_bool(o, "full", b->full);
	put_bool(o, "blocked", b->blocked);
	put_bool(o, "missing", b->missing);
	must(json_object_set_new(o, "send_as", send_as) == 0);
	put_count(o, "accepted", b->accepted);
	put_count(o, "sending", b->sending);
	return o;
}

json_t *sandbox_settings_json(const struct sandbox *s)
{
	const struct sandbox_switches *w = sandbox_model_switches(s->model);
	json_t *o = json_object();
	json_t *mailboxes = json_array();

	put_bool(o, "tenant_auth", w->tenant_auth);
	put_bool(o, "basic_auth", w->basic_auth);
	put_bool(o, "security_defaults", w->security_defaults);
	put_bool(o, "rewrite_ids", w->rewrite_ids);
	put_bool(o, "all_full", w->all_full);
	must(json_object_set_new(o, "limits", limits_json(sandbox_model_limits(s->model))) == 0);
	must(json_object_set_new(o, "tenant_limits", tenant_limits_json(s)) == 0);
	sandbox_entra_show(s->entra, o);
	sandbox_tenant_show(&s->tenant, o);
	must(json_object_set_new(o, "admin", sandbox_admin_json(s->admin)) == 0);
	for (size_t i = 0; i < sandbox_model_mailbox_count(s->model); i++)
		must(json_array_append_new(
			     mailboxes, mailbox_json(sandbox_model_mailbox_at(s->model, i))) == 0);
	must(json_object_set_new(o, "mailboxes", mailboxes) == 0);
	return o;
}
