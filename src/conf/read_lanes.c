/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"
#include "mail/address.h"

/* Tenants, and the two doors to a provider: mailboxes and connectors. Both become lanes. */
enum {
	SHARE_OF_MAILBOX = 80, /* people send from the same mailboxes */
	SHARE_OF_CONNECTOR = 100,
	TENANT_ID_LEN = 36,
	PORT_SMTPS = 465,
};

static void read_sections(struct conf_load *ld, enum conf_section s,
	void (*read)(struct conf_load *ld, const struct conf_node *map))
{
	for (size_t i = 0; i < ld->section_count[s]; i++) {
		const struct conf_node *list = ld->sections[s][i];

		if (conf_is_list(ld, list))
			for (const struct conf_node *n = list->first; n; n = n->next)
				read(ld, n);
	}
}

/* tenants */

static const struct conf_field tenant_fields[] = {
	{ .name = SV_INIT("name"),
		.type = CONF_TYPE_NAME,
		.flags = CONF_REQUIRED,
		.offset = offsetof(struct conf_tenant, name) },
	{ .name = SV_INIT("id"),
		.type = CONF_TYPE_TEXT,
		.offset = offsetof(struct conf_tenant, id) },
	{ .name = SV_INIT("domains"),
		.type = CONF_TYPE_DOMAINS,
		.offset = offsetof(struct conf_tenant, domains) },
	{ .name = SV_INIT("licences"),
		.type = CONF_TYPE_U32,
		.offset = offsetof(struct conf_tenant, licences),
		.max = 10000000 },
	CONF_FIELDS_END,
};

static_assert(offsetof(struct conf_tenant, domain_count) ==
		      offsetof(struct conf_tenant, domains) + sizeof(const struct sv *),
	"CONF_TYPE_DOMAINS writes a pointer and the count behind it");

static bool is_guid(struct sv v)
{
	for (size_t i = 0; i < v.len; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		char c = ascii_lower(v.ptr[i]);

		if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	return v.len == TENANT_ID_LEN;
}

static void read_tenant(struct conf_load *ld, const struct conf_node *map)
{
	struct conf *c = ld->conf;
	struct conf_tenant *t = arena_alloc(&c->arena, sizeof(*t));
	struct conf_seen seen = { 0 };
	const struct conf_tenant *first;

	t->place = conf_place_of(ld, map);
	(void)conf_read_map(ld, map, tenant_fields, t, &seen);
	if (t->id.len && !is_guid(t->id))
		conf_error(ld,
			conf_given(tenant_fields, &seen, "id"),
			"id: must be the tenant's id as Entra shows it: "
			"00000000-0000-0000-0000-000000000000");
	if (!t->name.len)
		return;
	first = htable_get(&c->tenant_by_name, t->name);
	if (first) {
		conf_error(ld,
			conf_given(tenant_fields, &seen, "name"),
			"name: there is a tenant of this name in %s line %u already: choose "
			"another",
			first->place.file,
			first->place.line);
		return;
	}
	c->tenants = conf_grow(c->tenants, c->tenant_count, sizeof(struct conf_tenant *));
	c->tenants[c->tenant_count++] = t;
	htable_put(&c->tenant_by_name, t->name, t);
}

void conf_read_tenants(struct conf_load *ld)
{
	read_sections(ld, CONF_SECTION_TENANTS, read_tenant);
}

/* what mailboxes and connectors share */

static void read_tenant_name(struct conf_load *ld, const struct conf_node *value, void *out)
{
	const struct conf_tenant **tenant = out;
	struct conf_guess guess = { .name = value->text };
	char shown[CONF_SHOWN_MAX];

	if (!conf_is_text(ld, value))
		return;
	*tenant = htable_get(&ld->conf->tenant_by_name, value->text);
	if (*tenant || ld->incomplete)
		return;
	for (size_t i = 0; i < ld->conf->tenant_count && ld->error_count < CONF_GUESSES_MAX; i++)
		conf_guess_try(&guess, ld->conf->tenants[i]->name);
	if (guess.best.len)
		conf_error(ld,
			value,
			"tenant: there is no tenant %s: did you mean '%.*s'?",
			conf_shown(value->text, shown),
			SV_ARG(guess.best));
	else
		conf_error(ld,
			value,
			"tenant: there is no tenant %s: add it under tenants, or correct the name",
			conf_shown(value->text, shown));
}

static void read_provider(struct conf_load *ld, const struct conf_node *value, void *out)
{
	if (conf_is_text(ld, value) && provider_parse(value->text, out) != 0)
		conf_error(ld,
			value,
			"provider: must be submission (smtp.office365.com with a mailbox's "
			"password) or smtp (any smarthost)");
}

static const char *const auth_words[] = { "password", NULL };
static const char *const tls_words[] = { "none", "required", "implicit", NULL };
static_assert(SMTP_CLIENT_TLS_NONE == 0, "order of tls_words");
static_assert(SMTP_CLIENT_TLS_REQUIRED == 1, "order of tls_words");
static_assert(SMTP_CLIENT_TLS_IMPLICIT == 2, "order of tls_words");

/* `auth` is written down for the reader's sake: other ways to sign in will stand beside it. */
struct lane_draft {
	struct conf_lane lane;
	unsigned auth;
	uint32_t connections; /* of a connector, outside of limits */
};

#define AT(member) .offset = offsetof(struct lane_draft, lane.member)

static const struct conf_field limits_fields[] = {
	{ .name = SV_INIT("share"), .type = CONF_TYPE_PERCENT, AT(limits.share_percent) },
	{ .name = SV_INIT("connections"),
		.type = CONF_TYPE_U32,
		AT(limits.connections),
		.min = 1,
		.max = 1000 },
	{ .name = SV_INIT("messages_per_minute"),
		.type = CONF_TYPE_U32,
		AT(limits.messages_per_minute),
		.max = 10000000 },
	{ .name = SV_INIT("recipients_per_day"),
		.type = CONF_TYPE_U32,
		AT(limits.recipients_per_day),
		.max = 1000000000 },
	{ .name = SV_INIT("recipients_per_message"),
		.type = CONF_TYPE_U32,
		AT(limits.recipients_per_message),
		.max = LIMIT_RCPT },
	{ .name = SV_INIT("message_size"),
		.type = CONF_TYPE_SIZE,
		.flags = CONF_OFF,
		AT(limits.message_bytes_max),
		.min = 65536,
		.max = UINT64_C(1) << 40 },
	CONF_FIELDS_END,
};

#define SERVER_FIELDS                                                                         \
	{ .name = SV_INIT("host"), .type = CONF_TYPE_HOST, AT(host) },                        \
		{ .name = SV_INIT("port"), .type = CONF_TYPE_PORT, AT(port) },                \
		{ .name = SV_INIT("ca_file"),                                                 \
			.type = CONF_TYPE_PATH,                                               \
			.flags = CONF_EXISTS | CONF_EMPTY,                                    \
			AT(ca_file) },                                                        \
	{                                                                                     \
		.name = SV_INIT("tls"), .type = CONF_TYPE_CHOICE, AT(tls), .words = tls_words \
	}

static const struct conf_field endpoint_fields[] = { SERVER_FIELDS, CONF_FIELDS_END };

static const struct conf_field mailbox_fields[] = {
	{ .name = SV_INIT("address"), .type = CONF_TYPE_ADDRESS, .flags = CONF_REQUIRED, AT(name) },
	{ .name = SV_INIT("tenant"), .type = CONF_TYPE_READ, AT(tenant), .read = read_tenant_name },
	{ .name = SV_INIT("provider"),
		.type = CONF_TYPE_READ,
		AT(provider),
		.read = read_provider },
	{ .name = SV_INIT("auth"),
		.type = CONF_TYPE_CHOICE,
		.offset = offsetof(struct lane_draft, auth),
		.words = auth_words },
	{ .name = SV_INIT("password"),
		.type = CONF_TYPE_SECRET,
		.flags = CONF_EXISTS | CONF_LATER,
		AT(password) },
	{ .name = SV_INIT("login"), .type = CONF_TYPE_TEXT, AT(login) },
	{ .name = SV_INIT("endpoint"), .type = CONF_TYPE_MAP, .fields = endpoint_fields },
	{ .name = SV_INIT("limits"), .type = CONF_TYPE_MAP, .fields = limits_fields },
	CONF_FIELDS_END,
};

static const struct conf_field connector_fields[] = {
	{ .name = SV_INIT("name"), .type = CONF_TYPE_NAME, .flags = CONF_REQUIRED, AT(name) },
	{ .name = SV_INIT("tenant"), .type = CONF_TYPE_READ, AT(tenant), .read = read_tenant_name },
	{ .name = SV_INIT("provider"),
		.type = CONF_TYPE_READ,
		AT(provider),
		.read = read_provider },
	SERVER_FIELDS,
	{ .name = SV_INIT("login"), .type = CONF_TYPE_TEXT, AT(login) },
	{ .name = SV_INIT("password"),
		.type = CONF_TYPE_SECRET,
		.flags = CONF_EXISTS | CONF_LATER,
		AT(password) },
	{ .name = SV_INIT("connections"),
		.type = CONF_TYPE_U32,
		.offset = offsetof(struct lane_draft, connections),
		.min = 1,
		.max = 1000 },
	{ .name = SV_INIT("limits"), .type = CONF_TYPE_MAP, .fields = limits_fields },
	CONF_FIELDS_END,
};

/* The provider decides what the other fields default to, so it is read before all of them. */
static enum provider_kind provider_of(const struct conf_node *map, enum provider_kind otherwise)
{
	enum provider_kind kind = otherwise;

	if (map->kind != CONF_NODE_MAP)
		return otherwise;
	for (const struct conf_node *key = map->first; key; key = key->next)
		if (sv_eq(key->text, SV("provider")) &&
			provider_parse(key->value->text, &kind) == 0)
			return kind;
	return otherwise;
}

static void apply_defaults(struct conf_lane *l, unsigned share)
{
	const struct provider_defaults *d = provider_defaults(l->provider);

	l->port = d->port;
	l->host = d->host;
	l->tls = SMTP_CLIENT_TLS_REQUIRED;
	l->limits = (struct conf_limits){ .share_percent = share,
		.connections = d->connections,
		.messages_per_minute = d->messages_per_minute,
		.recipients_per_day = d->recipients_per_day,
		.recipients_per_message = d->recipients_per_message,
		.message_bytes_max = d->message_bytes_max };
}

static bool host_is_loopback(struct sv host)
{
	struct io_network n;

	return sv_eq_nocase(host, SV("localhost")) ||
	       (io_network_parse(host, &n) == 0 && io_network_is_loopback(&n));
}

static void check_server(
	struct conf_load *ld, const struct conf_node *map, const struct conf_lane *l)
{
	if (!l->host.len) {
		conf_error(ld,
			map,
			l->kind == CONF_LANE_MAILBOX
				? "host: is missing: with provider: smtp add endpoint: { host: "
				  "mail.example.com }"
				: "host: is missing here: add the smarthost's name");
		return;
	}
	if (l->provider == PROVIDER_SUBMISSION && l->tls == SMTP_CLIENT_TLS_NONE)
		conf_error(ld,
			map,
			"tls: none is not possible with provider: submission: remove it, or use "
			"provider: smtp");
	else if (l->tls == SMTP_CLIENT_TLS_NONE && l->login.len && !host_is_loopback(l->host))
		conf_warn(ld,
			map,
			"tls: none sends the password over the network in the clear: remove it, so "
			"that TLS is required");
	if (l->port == PORT_SMTPS && l->tls == SMTP_CLIENT_TLS_REQUIRED)
		conf_warn(ld,
			map,
			"port 465 speaks TLS from the first byte, but STARTTLS is asked for here: "
			"add tls: implicit, or use port 587");
}

/* Past Microsoft's own limits the answer is 4.3.2 or a blocked mailbox; a sandbox may have others. */
static void check_limits(
	struct conf_load *ld, const struct conf_node *map, const struct conf_lane *l)
{
	const struct provider_defaults *d = provider_defaults(l->provider);

	if (!d->host.len || !sv_eq_nocase(l->host, d->host))
		return;
	if (l->limits.messages_per_minute == 0 ||
		l->limits.messages_per_minute > d->messages_per_minute)
		conf_warn(ld,
			map,
			"limits: messages_per_minute is above the %u that Microsoft allows a "
			"mailbox: lower it",
			d->messages_per_minute);
	if (l->limits.recipients_per_day == 0 ||
		l->limits.recipients_per_day > d->recipients_per_day)
		conf_warn(ld,
			map,
			"limits: recipients_per_day is above the %u that Microsoft allows a "
			"mailbox: lower it",
			d->recipients_per_day);
}

static void make_key(struct conf_load *ld, struct conf_lane *l)
{
	struct sv provider = sv_from(provider_name(l->provider));
	char *key = arena_alloc(&ld->conf->arena, provider.len + 1 + l->name.len + 1);

	memcpy(key, provider.ptr, provider.len);
	key[provider.len] = '/';
	memcpy(key + provider.len + 1, l->name.ptr, l->name.len);
	l->key = sv_make(key, provider.len + 1 + l->name.len);
}

/* The tables keep places in the array, from 1: it moves while it grows. */
static void keep_lane(struct conf_load *ld, const struct conf_lane *l)
{
	struct conf *c = ld->conf;
	size_t *place = arena_alloc(&c->arena, sizeof(*place));

	c->lanes = conf_grow(c->lanes, c->lane_count, sizeof(*c->lanes));
	c->lanes[c->lane_count++] = *l;
	*place = c->lane_count;
	htable_put(&c->lane_by_name, l->name, place);
	htable_put(&c->lane_by_key, l->key, place);
}

static bool is_taken(
	struct conf_load *ld, const struct conf_node *at, struct sv name, const char *what)
{
	const struct conf_lane *first = conf_lane_named(ld->conf, name);

	if (first)
		conf_error(ld,
			at,
			"%s is listed twice, first in %s line %u: remove one of them",
			what,
			first->place.file,
			first->place.line);
	return first != NULL;
}

/* mailboxes */

static void check_domain(
	struct conf_load *ld, const struct conf_node *at, const struct conf_lane *l)
{
	struct sv domain = sv_skip(l->name, (size_t)sv_rfind_char(l->name, '@') + 1);

	if (!l->tenant || !l->tenant->domain_count)
		return;
	for (size_t i = 0; i < l->tenant->domain_count; i++)
		if (sv_eq_nocase(l->tenant->domains[i], domain))
			return;
	conf_warn(ld,
		at,
		"address: its domain is not among the domains of tenant '%.*s': add it there, or "
		"correct the address",
		SV_ARG(l->tenant->name));
}

static void check_mailbox(struct conf_load *ld, const struct conf_node *map, struct conf_lane *l,
	const struct conf_seen *seen)
{
	const struct conf_node *login = conf_given(mailbox_fields, seen, "login");

	if (l->password.kind == CONF_SECRET_NONE) {
		if (provider_defaults(l->provider)->needs_login)
			conf_error(ld,
				map,
				"password: is missing here: put it into a file and write password: "
				"file:/PATH");
		else if (login)
			conf_error(ld,
				login,
				"login: needs a password beside it: add password: file:/PATH");
	} else {
		l->sign_in = CONF_SIGN_IN_PASSWORD;
		if (!login)
			l->login = l->name;
	}
	check_server(ld, map, l);
	check_limits(ld, map, l);
	check_domain(ld, conf_given(mailbox_fields, seen, "address"), l);
}

void conf_read_mailbox(struct conf_load *ld, const struct conf_node *map)
{
	struct lane_draft d = { .lane = { .kind = CONF_LANE_MAILBOX,
					.provider = provider_of(map, PROVIDER_SUBMISSION) } };
	struct conf_lane *l = &d.lane;
	struct conf_seen seen = { 0 };
	bool ok;

	l->place = conf_place_of(ld, map);
	apply_defaults(l, SHARE_OF_MAILBOX);
	ok = conf_read_map(ld, map, mailbox_fields, &d, &seen);
	if (!l->name.len)
		return;
	l->name = conf_keep_lower(ld, l->name);
	if (ok)
		check_mailbox(ld, map, l, &seen);
	if (is_taken(ld,
		    conf_given(mailbox_fields, &seen, "address"),
		    l->name,
		    "address: this mailbox"))
		return;
	make_key(ld, l);
	keep_lane(ld, l);
}

void conf_read_mailboxes(struct conf_load *ld)
{
	read_sections(ld, CONF_SECTION_MAILBOXES, conf_read_mailbox);
}

/* connectors */

static void check_connector(struct conf_load *ld, const struct conf_node *map, struct lane_draft *d,
	const struct conf_seen *seen)
{
	struct conf_lane *l = &d->lane;
	const struct conf_node *login = conf_given(connector_fields, seen, "login");
	const struct conf_node *password = conf_given(connector_fields, seen, "password");

	if (l->provider == PROVIDER_SUBMISSION)
		conf_error(ld,
			conf_given(connector_fields, seen, "provider"),
			"provider: submission sends from a mailbox: list it under mailboxes, or "
			"use provider: smtp");
	if (login && !password)
		conf_error(
			ld, login, "login: needs a password beside it: add password: file:/PATH");
	if (password && !login)
		conf_error(ld,
			password,
			"password: needs the sign-in name beside it: add login: NAME");
	if (d->connections)
		l->limits.connections = d->connections;
	check_server(ld, map, l);
}

static void read_connector(struct conf_load *ld, const struct conf_node *map)
{
	struct lane_draft d = { .lane = { .kind = CONF_LANE_CONNECTOR,
					.provider = provider_of(map, PROVIDER_SMTP) } };
	struct conf_lane *l = &d.lane;
	struct conf_seen seen = { 0 };
	const struct conf_node *name;
	bool ok;

	l->place = conf_place_of(ld, map);
	apply_defaults(l, SHARE_OF_CONNECTOR);
	ok = conf_read_map(ld, map, connector_fields, &d, &seen);
	name = conf_given(connector_fields, &seen, "name");
	if (ok)
		check_connector(ld, map, &d, &seen);
	if (!l->name.len)
		return;
	if (sv_eq(l->name, SV("sender"))) {
		conf_error(ld,
			name,
			"name: 'sender' means the sender's own mailbox in routes: choose another");
		return;
	}
	if (is_taken(ld, name, l->name, "name: this connector"))
		return;
	make_key(ld, l);
	keep_lane(ld, l);
}

void conf_read_connectors(struct conf_load *ld)
{
	read_sections(ld, CONF_SECTION_CONNECTORS, read_connector);
}
