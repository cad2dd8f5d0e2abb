/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"

/* Tenants: who they are, how their mailboxes sign in, and where. */
enum {
	GUID_LEN = 36
};
/* Not documented is how often Exchange may be asked: as rarely as it helps. */
#define COUNTERS_LEAST_US (5 * US_PER_MIN)

static bool is_guid(struct sv v)
{
	for (size_t i = 0; i < v.len; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		char c = ascii_lower(v.ptr[i]);

		if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	return v.len == GUID_LEN;
}

/* app */

static const char *const jwt_words[] = { "ps256", "rs256", NULL };
static_assert(CONF_JWT_PS256 == 0 && CONF_JWT_RS256 == 1, "order of jwt_words");

#define AT(member) .offset = offsetof(struct conf_app, member)

/* "2027-03-01": the first moment of that day, UTC. */
static void read_date(struct conf_load *ld, const struct conf_node *value, void *out)
{
	struct wall_time *at = out;
	uint32_t year = 0, month = 0, day = 0;
	int64_t shifted;
	struct civil_time back;

	if (!conf_is_text(ld, value))
		return;
	if (value->text.len != 10 || value->text.ptr[4] != '-' || value->text.ptr[7] != '-' ||
		sv_parse_u32(sv_head(value->text, 4), 9999, &year) != 0 || year < 2020 ||
		sv_parse_u32(sv_head(sv_skip(value->text, 5), 2), 12, &month) != 0 || month == 0 ||
		sv_parse_u32(sv_skip(value->text, 8), 31, &day) != 0 || day == 0) {
		conf_error(ld,
			value,
			"secret_expires: must be a day like 2027-03-01, as Entra shows it");
		return;
	}
	/* Days from civil: the inverse of base/time.c. */
	shifted = (int64_t)year - (month <= 2);
	shifted = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 +
		  (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1 -
		  719468;
	at->us = shifted * (int64_t)US_PER_DAY;
	back = wall_civil(*at);
	if (back.day != (int)day)
		conf_error(ld, value, "secret_expires: there is no such day");
}

static const struct conf_field app_fields[] = {
	{ .name = SV_INIT("client_id"),
		.type = CONF_TYPE_TEXT,
		.flags = CONF_REQUIRED,
		AT(client_id) },
	{ .name = SV_INIT("secret"),
		.type = CONF_TYPE_SECRET,
		.flags = CONF_EXISTS | CONF_LATER,
		AT(secret) },
	{ .name = SV_INIT("secret_expires"),
		.type = CONF_TYPE_READ,
		AT(secret_expires),
		.read = read_date },
	{ .name = SV_INIT("certificate"),
		.type = CONF_TYPE_PATH,
		.flags = CONF_EXISTS | CONF_LATER,
		AT(certificate) },
	{ .name = SV_INIT("key"),
		.type = CONF_TYPE_SECRET,
		.flags = CONF_EXISTS | CONF_LATER,
		AT(key) },
	{ .name = SV_INIT("pkcs12"),
		.type = CONF_TYPE_PATH,
		.flags = CONF_EXISTS | CONF_LATER,
		AT(pkcs12) },
	{ .name = SV_INIT("passphrase"),
		.type = CONF_TYPE_SECRET,
		.flags = CONF_EXISTS | CONF_LATER,
		AT(passphrase) },
	{ .name = SV_INIT("jwt"), .type = CONF_TYPE_CHOICE, AT(jwt), .words = jwt_words },
	CONF_FIELDS_END,
};

#undef AT

bool conf_app_can_sign(const struct conf_tenant *t)
{
	if (t->cloud == PROVIDER_CLOUD_GOOGLE)
		return t->app.key.kind != CONF_SECRET_NONE || t->app.pkcs12.len;
	return t->app.secret.kind != CONF_SECRET_NONE || t->app.certificate.len ||
	       t->app.pkcs12.len;
}

/* Microsoft wants the certificate with the key; Google's service accounts have a key file alone. */
static void check_key(
	struct conf_load *ld, const struct conf_node *map, const struct conf_tenant *t)
{
	const struct conf_node *certificate = conf_find(map, SV("certificate"));
	const struct conf_node *key = conf_find(map, SV("key"));

	if (t->cloud == PROVIDER_CLOUD_GOOGLE && certificate)
		conf_error(ld,
			certificate,
			"certificate: a service account of Google has none: remove it, and write "
			"key: with the file that Google made");
	else if (certificate && !key)
		conf_error(ld,
			certificate,
			"certificate: needs its private key beside it: add key: file:/PATH");
	else if (key && !certificate && t->cloud != PROVIDER_CLOUD_GOOGLE)
		conf_error(ld, key, "key: needs its certificate beside it: add certificate: /PATH");
}

/* One credential, whole. */
static void check_app(
	struct conf_load *ld, const struct conf_node *map, const struct conf_tenant *t)
{
	bool pair = conf_find(map, SV("certificate")) || conf_find(map, SV("key"));
	const struct conf_node *secret = conf_find(map, SV("secret"));
	const struct conf_node *pkcs12 = conf_find(map, SV("pkcs12"));
	const struct conf_node *passphrase = conf_find(map, SV("passphrase"));
	const struct conf_node *jwt = conf_find(map, SV("jwt"));
	const struct conf_node *expires = conf_find(map, SV("secret_expires"));

	if (expires && !secret)
		conf_error(ld,
			expires,
			"secret_expires: is the end of a secret, but there is none: remove it");
	if ((secret != NULL) + pair + (pkcs12 != NULL) > 1)
		conf_error(ld,
			map,
			"app: has more than one credential: keep secret, or certificate with key, "
			"or pkcs12, and remove the others");
	else
		check_key(ld, map, t);
	if (passphrase && !conf_find(map, SV("key")) && !pkcs12)
		conf_error(ld,
			passphrase,
			"passphrase: opens a key or a pkcs12 file, but there is none: remove it");
	if (jwt && !pair && !pkcs12)
		conf_error(
			ld, jwt, "jwt: is how a certificate signs, but there is none: remove it");
	if (t->cloud != PROVIDER_CLOUD_GOOGLE && !is_guid(t->app.client_id))
		conf_warn(ld,
			conf_find(map, SV("client_id")),
			"client_id: has not the form of an application id of Entra "
			"(00000000-0000-0000-0000-000000000000): copy \"Application (client) ID\" "
			"from the app's overview");
}

static void read_app(struct conf_load *ld, const struct conf_node *value, void *out)
{
	struct conf_app *app = out;

	app->place = conf_place_of(ld, value);
	(void)conf_read_map(ld, value, app_fields, app, NULL);
}

/* endpoints */

#define AT(member) .offset = offsetof(struct conf_tenant, member)

static const struct conf_field endpoint_fields[] = {
	{ .name = SV_INIT("login"), .type = CONF_TYPE_URL, AT(login_url) },
	{ .name = SV_INIT("graph"), .type = CONF_TYPE_URL, AT(graph_url) },
	{ .name = SV_INIT("exchange"), .type = CONF_TYPE_URL, AT(exchange_url) },
	{ .name = SV_INIT("scope"), .type = CONF_TYPE_URL, AT(scope_host) },
	{ .name = SV_INIT("ca_file"),
		.type = CONF_TYPE_PATH,
		.flags = CONF_EXISTS | CONF_EMPTY,
		AT(ca_file) },
	CONF_FIELDS_END,
};

static void read_cloud(struct conf_load *ld, const struct conf_node *value, void *out)
{
	if (conf_is_text(ld, value) && provider_cloud_parse(value->text, out) != 0)
		conf_error(ld, value, "cloud: must be global, gcc-high, dod, 21vianet or google");
}

static void read_created(struct conf_load *ld, const struct conf_node *value, void *out)
{
	struct wall_time at;

	if (!conf_is_text(ld, value))
		return;
	if (value->text.len == 10 && wall_parse(value->text, &at) == 0 && at.us > 0)
		*(int64_t *)out = at.us / (int64_t)US_PER_S;
	else
		conf_error(ld,
			value,
			"created: must be the day on which the tenant was made: 2026-11-30");
}

static const struct conf_field tenant_fields[] = {
	{ .name = SV_INIT("name"), .type = CONF_TYPE_NAME, .flags = CONF_REQUIRED, AT(name) },
	{ .name = SV_INIT("id"), .type = CONF_TYPE_TEXT, AT(id) },
	{ .name = SV_INIT("cloud"), .type = CONF_TYPE_READ, AT(cloud), .read = read_cloud },
	{ .name = SV_INIT("domains"), .type = CONF_TYPE_DOMAINS, AT(domains) },
	{ .name = SV_INIT("licences"), .type = CONF_TYPE_U32, AT(licences), .max = 10000000 },
	{ .name = SV_INIT("external_per_day"),
		.type = CONF_TYPE_U32,
		AT(external_per_day),
		.max = 1000000000 },
	{ .name = SV_INIT("trial"), .type = CONF_TYPE_BOOL, AT(trial) },
	{ .name = SV_INIT("created"), .type = CONF_TYPE_READ, AT(created_s), .read = read_created },
	{ .name = SV_INIT("counters"),
		.type = CONF_TYPE_DURATION,
		.flags = CONF_OFF,
		AT(counters_us),
		.min = COUNTERS_LEAST_US,
		.max = US_PER_DAY },
	{ .name = SV_INIT("app"), .type = CONF_TYPE_READ, AT(app), .read = read_app },
	{ .name = SV_INIT("endpoints"), .type = CONF_TYPE_MAP, .fields = endpoint_fields },
	CONF_FIELDS_END,
};

static_assert(offsetof(struct conf_tenant, domain_count) ==
		      offsetof(struct conf_tenant, domains) + sizeof(const struct sv *),
	"CONF_TYPE_DOMAINS writes a pointer and the count behind it");

static void check_id(struct conf_load *ld, const struct conf_node *map, const struct conf_tenant *t,
	const struct conf_seen *seen)
{
	const struct conf_node *id = conf_given(tenant_fields, seen, "id");
	struct io_network numeric;

	if (!t->id.len) {
		if (t->app.client_id.len && t->cloud != PROVIDER_CLOUD_GOOGLE)
			conf_error(ld,
				map,
				"id: is missing here: the app signs in at its tenant; add the id "
				"as Entra shows it (Overview, Tenant ID)");
		return;
	}
	/* A domain has a dot: a name without one is what somebody calls the tenant. */
	if (!is_guid(t->id) && (!conf_host_ok(t->id) || sv_find_char(t->id, '.') < 0 ||
				       io_network_parse(t->id, &numeric) == 0))
		conf_error(ld,
			id,
			"id: must be the tenant's id as Entra shows it "
			"(00000000-0000-0000-0000-000000000000), or one of its domains");
}

/* Only the app itself asks, as nobody is there to sign in. */
static void check_counters(
	struct conf_load *ld, const struct conf_node *at, const struct conf_tenant *t)
{
	if (t->cloud == PROVIDER_CLOUD_GOOGLE)
		conf_error(ld,
			at,
			"counters: are those of Exchange, and cloud: google has none: remove it");
	else if (!conf_app_can_sign(t) && !ld->incomplete)
		conf_error(ld,
			at,
			"counters: the app of the tenant asks Exchange for them, but there is none "
			"that can sign in: add app: { client_id: ID, secret: file:/PATH } (or a "
			"certificate and key), with the permission Exchange.ManageAsApp");
}

static void check_tenant(struct conf_load *ld, const struct conf_node *map, struct conf_tenant *t,
	const struct conf_seen *seen)
{
	const struct conf_node *app = conf_given(tenant_fields, seen, "app");
	const struct conf_node *endpoints = conf_given(tenant_fields, seen, "endpoints");

	check_id(ld, map, t, seen);
	if (t->counters_us)
		check_counters(ld, conf_given(tenant_fields, seen, "counters"), t);
	if (app)
		check_app(ld, app, t);
	if (t->cloud == PROVIDER_CLOUD_GOOGLE && t->graph_url.len)
		conf_error(ld,
			conf_find(endpoints, SV("graph")),
			"graph: cloud: google has no Graph: remove it");
}

/* Where the configuration says nothing, the cloud's own. */
static void default_endpoints(struct conf_tenant *t)
{
	const struct provider_cloud_row *row = provider_cloud(t->cloud);

	if (!t->login_url.len)
		t->login_url = row->login;
	if (!t->graph_url.len)
		t->graph_url = row->graph;
	if (!t->scope_host.len)
		t->scope_host = row->scope_host;
	if (!t->exchange_url.len)
		t->exchange_url = t->scope_host;
}

/* The tables are asked for each recipient: `recipient: internal`. */
static void keep_domains(struct conf_load *ld, struct conf_tenant *t)
{
	struct conf *c = ld->conf;

	for (size_t i = 0; i < t->domain_count; i++) {
		struct sv low = conf_keep_lower(ld, t->domains[i]);

		if (low.len && !htable_get(&c->tenant_by_domain, low))
			htable_put(&c->tenant_by_domain, low, t);
	}
}

/* Two entries of one tenant, for two apps: Microsoft counts what both send as one. */
static const struct conf_tenant *first_of(const struct conf *c, const struct conf_tenant *t)
{
	for (size_t i = 0; t->id.len && i < c->tenant_count; i++)
		if (sv_eq_nocase(c->tenants[i]->id, t->id))
			return c->tenants[i]->first;
	return t;
}

static void read_tenant(struct conf_load *ld, const struct conf_node *map)
{
	struct conf *c = ld->conf;
	struct conf_tenant *t = arena_alloc(&c->arena, sizeof(*t));
	struct conf_seen seen = { 0 };
	const struct conf_tenant *first;

	t->place = conf_place_of(ld, map);
	if (conf_read_map(ld, map, tenant_fields, t, &seen))
		check_tenant(ld, map, t, &seen);
	default_endpoints(t);
	if (!t->name.len)
		return;
	if (t->counters_us) {
		struct conf_lane *admin = arena_alloc(&c->arena, sizeof(*admin));

		*admin = (struct conf_lane){ .provider = PROVIDER_SUBMISSION,
			.tenant = t,
			.sign_in = CONF_SIGN_IN_APP,
			.key = SV("admin") };
		t->admin = admin;
	}
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
	t->first = first_of(c, t);
	c->tenants = conf_grow(c->tenants, c->tenant_count, sizeof(struct conf_tenant *));
	c->tenants[c->tenant_count++] = t;
	htable_put(&c->tenant_by_name, t->name, t);
	keep_domains(ld, t);
}

void conf_read_tenants(struct conf_load *ld)
{
	conf_read_sections(ld, CONF_SECTION_TENANTS, read_tenant);
}
