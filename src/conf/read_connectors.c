/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"

/* Connectors: doors without a mailbox. */
enum {
	SHARE_OF_CONNECTOR = 100
};

static const struct conf_field connector_fields[] = {
	{ .name = SV_INIT("name"),
		.type = CONF_TYPE_NAME,
		.flags = CONF_REQUIRED,
		CONF_LANE_AT(name) },
	{ .name = SV_INIT("tenant"),
		.type = CONF_TYPE_READ,
		CONF_LANE_AT(tenant),
		.read = conf_read_tenant_name },
	{ .name = SV_INIT("provider"),
		.type = CONF_TYPE_READ,
		CONF_LANE_AT(provider),
		.read = conf_read_provider },
	CONF_LANE_SERVER_FIELDS,
	{ .name = SV_INIT("domain"),
		.type = CONF_TYPE_HOST,
		.offset = offsetof(struct conf_lane_draft, domain) },
	{ .name = SV_INIT("certificate"),
		.type = CONF_TYPE_PATH,
		.flags = CONF_EXISTS | CONF_LATER,
		CONF_LANE_AT(certificate) },
	{ .name = SV_INIT("key"),
		.type = CONF_TYPE_SECRET,
		.flags = CONF_EXISTS | CONF_LATER,
		CONF_LANE_AT(certificate_key) },
	{ .name = SV_INIT("passphrase"),
		.type = CONF_TYPE_SECRET,
		.flags = CONF_EXISTS | CONF_LATER,
		CONF_LANE_AT(passphrase) },
	{ .name = SV_INIT("source"),
		.type = CONF_TYPE_TEXT,
		.offset = offsetof(struct conf_lane_draft, source) },
	{ .name = SV_INIT("login"), .type = CONF_TYPE_TEXT, CONF_LANE_AT(login) },
	{ .name = SV_INIT("password"),
		.type = CONF_TYPE_SECRET,
		.flags = CONF_EXISTS | CONF_LATER,
		CONF_LANE_AT(password) },
	{ .name = SV_INIT("connections"),
		.type = CONF_TYPE_U32,
		.offset = offsetof(struct conf_lane_draft, connections),
		.min = 1,
		.max = 1000 },
	{ .name = SV_INIT("limits"), .type = CONF_TYPE_MAP, .fields = conf_lane_limits_fields },
	CONF_FIELDS_END,
};

/* A part of one connector's check. */
struct checking {
	struct conf_load *ld;
	const struct conf_node *map;
	const struct conf_seen *seen;
	struct conf_lane_draft *d;
};

static const struct conf_node *given(const struct checking *x, const char *name)
{
	return conf_given(connector_fields, x->seen, name);
}

static void check_login(const struct checking *x)
{
	struct conf_lane *l = &x->d->lane;
	const struct conf_node *login = given(x, "login");
	const struct conf_node *password = given(x, "password");

	if (l->provider != PROVIDER_SMTP && (login || password)) {
		conf_error(x->ld,
			login ? login : password,
			"provider: %s has no sign-in: remove login and password",
			provider_name(l->provider));
		return;
	}
	if (login && !password)
		conf_error(x->ld,
			login,
			"login: needs a password beside it: add password: file:/PATH");
	if (password && !login)
		conf_error(x->ld,
			password,
			"password: needs the sign-in name beside it: add login: NAME");
	if (login && password)
		l->sign_in = CONF_SIGN_IN_PASSWORD;
}

static void check_certificate(const struct checking *x)
{
	const struct conf_node *certificate = given(x, "certificate");
	const struct conf_node *key = given(x, "key");
	const struct conf_node *passphrase = given(x, "passphrase");

	if (certificate && !key)
		conf_error(x->ld,
			certificate,
			"certificate: needs its private key beside it: add key: file:/PATH");
	else if (key && !certificate)
		conf_error(
			x->ld, key, "key: needs its certificate beside it: add certificate: /PATH");
	else if (certificate && x->d->lane.provider == PROVIDER_DIRECT)
		conf_error(x->ld,
			certificate,
			"certificate: provider: direct is unknown to Microsoft: write provider: "
			"connector, or remove certificate and key");
	else if (certificate && x->d->lane.tls == SMTP_CLIENT_TLS_NONE)
		conf_error(x->ld,
			certificate,
			"certificate: is shown in the TLS handshake only: remove tls: none");
	if (passphrase && !key)
		conf_error(
			x->ld, passphrase, "passphrase: opens a key, but there is none: remove it");
}

static void check_source(const struct checking *x)
{
	struct sv text = x->d->source;
	struct io_address *source = &x->d->lane.source;
	struct io_network n;

	if (!text.len)
		return;
	if (sv_find_char(text, '/') >= 0 || io_network_parse(text, &n) != 0) {
		conf_error(x->ld,
			given(x, "source"),
			"source: must be one address of this machine, like 192.0.2.7");
		return;
	}
	if (n.family == AF_INET) {
		source->v4.sin_family = AF_INET;
		memcpy(&source->v4.sin_addr, n.bytes, 4);
		source->len = sizeof(source->v4);
	} else {
		source->v6.sin6_family = AF_INET6;
		memcpy(&source->v6.sin6_addr, n.bytes, 16);
		source->len = sizeof(source->v6);
	}
}

/* Given, or the mail exchanger of the tenant's domain: Microsoft says not to put its name together. */
static void check_host(const struct checking *x)
{
	struct conf_lane *l = &x->d->lane;
	const struct conf_node *domain = given(x, "domain");

	if (domain && (l->host.len || l->provider == PROVIDER_SMTP)) {
		conf_error(x->ld,
			domain,
			l->host.len ? "domain: its mail exchanger is the host, but host is given "
				      "too: remove one of them"
				    : "domain: is for provider: connector and direct: write host, "
				      "or one of those");
		return;
	}
	if (l->host.len)
		return;
	if (domain)
		l->mx_of = x->d->domain;
	else if (l->provider != PROVIDER_SMTP && l->tenant && l->tenant->domain_count)
		l->mx_of = l->tenant->domains[0];
	else if (l->provider == PROVIDER_SMTP)
		conf_error(x->ld, x->map, "host: is missing here: add the smarthost's name");
	else if (l->tenant || !given(x, "tenant"))
		conf_error(x->ld,
			x->map,
			"host: is missing here: add the name in your domain's MX record, or a "
			"tenant with domains, and it is looked up");
}

static void check_connector(const struct checking *x)
{
	struct conf_lane *l = &x->d->lane;

	if (l->provider != PROVIDER_SMTP && !provider_defaults(l->provider)->is_connector) {
		conf_error(x->ld,
			given(x, "provider"),
			"provider: %s sends from a mailbox: list it under mailboxes, or use "
			"provider: smtp",
			provider_name(l->provider));
		return;
	}
	if (x->d->connections)
		l->limits.connections = x->d->connections;
	if (l->provider == PROVIDER_DIRECT && !given(x, "tenant"))
		conf_error(x->ld,
			x->map,
			"tenant: is missing here: direct send reaches the domains of one tenant "
			"only; add tenant: NAME");
	else if (l->provider == PROVIDER_DIRECT && l->tenant && !l->tenant->domain_count)
		conf_error(x->ld,
			given(x, "tenant"),
			"tenant: '%.*s' has no domains, so direct send could reach nobody: add "
			"domains: [...] to it",
			SV_ARG(l->tenant->name));
	else
		check_host(x);
	check_login(x);
	check_certificate(x);
	check_source(x);
	conf_lane_check_server(x->ld, x->map, l);
	conf_lane_check_limits(x->ld, x->map, l);
}

static void read_connector(struct conf_load *ld, const struct conf_node *map)
{
	struct conf_lane_draft d = { .lane = { .kind = CONF_LANE_CONNECTOR,
					     .provider = conf_provider_of(map, PROVIDER_SMTP) } };
	struct conf_lane *l = &d.lane;
	struct conf_seen seen = { 0 };
	const struct checking x = { ld, map, &seen, &d };
	const struct conf_node *name;

	l->place = conf_place_of(ld, map);
	conf_lane_defaults(l, SHARE_OF_CONNECTOR);
	if (conf_read_map(ld, map, connector_fields, &d, &seen))
		check_connector(&x);
	name = given(&x, "name");
	if (!l->name.len)
		return;
	if (sv_eq(l->name, SV("sender"))) {
		conf_error(ld,
			name,
			"name: 'sender' means the sender's own mailbox in routes: choose another");
		return;
	}
	if (!conf_lane_is_taken(ld, name, l->name, "name: this connector"))
		conf_lane_keep(ld, l);
}

void conf_read_connectors(struct conf_load *ld)
{
	conf_read_sections(ld, CONF_SECTION_CONNECTORS, read_connector);
}
