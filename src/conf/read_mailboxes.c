/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"

#include <stdio.h>

/* Mailboxes: identities at a provider, and how each signs in. */
enum {
	SHARE_OF_MAILBOX = 80, /* people send from the same mailboxes */
	PORT_HTTPS = 443,
};

static const char *const auth_words[] = { "password", "app", "user", NULL };
static_assert(CONF_SIGN_IN_PASSWORD == 1, "order of auth_words");
static_assert(CONF_SIGN_IN_APP == 2, "order of auth_words");
static_assert(CONF_SIGN_IN_USER == 3, "order of auth_words");

void conf_read_sender(struct conf_load *ld, const struct conf_node *value, void *out)
{
	static const struct {
		struct sv word;
		enum conf_sender sender;
	} words[] = {
		{ SV_INIT("keep"), CONF_SENDER_KEEP },
		{ SV_INIT("rewrite"), CONF_SENDER_REWRITE },
		{ SV_INIT("mailbox"), CONF_SENDER_REWRITE },
		{ SV_INIT("force"), CONF_SENDER_FORCE },
	};
	enum conf_sender *sender = out;

	if (!conf_is_text(ld, value))
		return;
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (!sv_eq(value->text, words[i].word))
			continue;
		*sender = words[i].sender;
		return;
	}
	conf_error(ld, value, "sender: must be keep, rewrite or force");
}

/* conf_doors_read() has read them: they decide what the rest defaults to. */
static void skip_doors(struct conf_load *ld, const struct conf_node *value, void *out)
{
	(void)ld;
	(void)value;
	(void)out;
}

static const struct conf_field endpoint_fields[] = { CONF_LANE_SERVER_FIELDS, CONF_FIELDS_END };

static const struct conf_field mailbox_fields[] = {
	{ .name = SV_INIT("address"),
		.type = CONF_TYPE_READ,
		.flags = CONF_REQUIRED,
		.read = conf_read_mailbox_address },
	{ .name = SV_INIT("at_once"),
		.type = CONF_TYPE_U32,
		CONF_LANE_AT(at_once),
		.min = 1,
		.max = CONF_AT_ONCE_MAX },
	{ .name = SV_INIT("tenant"),
		.type = CONF_TYPE_READ,
		CONF_LANE_AT(tenant),
		.read = conf_read_tenant_name },
	{ .name = SV_INIT("provider"),
		.type = CONF_TYPE_READ,
		CONF_LANE_AT(provider),
		.read = conf_read_provider },
	{ .name = SV_INIT("doors"), .type = CONF_TYPE_READ, .read = skip_doors },
	{ .name = SV_INIT("auth"),
		.type = CONF_TYPE_CHOICE,
		.offset = offsetof(struct conf_lane_draft, auth),
		.words = auth_words },
	{ .name = SV_INIT("password"),
		.type = CONF_TYPE_SECRET,
		.flags = CONF_EXISTS | CONF_LATER,
		CONF_LANE_AT(password) },
	{ .name = SV_INIT("login"), .type = CONF_TYPE_TEXT, CONF_LANE_AT(login) },
	{ .name = SV_INIT("sender"),
		.type = CONF_TYPE_READ,
		CONF_LANE_AT(sender),
		.read = conf_read_sender },
	{ .name = SV_INIT("endpoint"), .type = CONF_TYPE_MAP, .fields = endpoint_fields },
	{ .name = SV_INIT("limits"), .type = CONF_TYPE_MAP, .fields = conf_lane_limits_fields },
	CONF_FIELDS_END,
};

/* A part of one mailbox's check, for one of its doors. */
struct checking {
	struct conf_load *ld;
	const struct conf_node *map;
	const struct conf_seen *seen;
	struct conf_lane *l;
	const struct conf_node *door; /* in `doors:`; NULL: `provider:` it is, or nothing */
	bool several;
	unsigned auth;
};

/* The value given for a key, or the whole where it is not given. */
static const struct conf_node *at(const struct checking *x, const char *name)
{
	const struct conf_node *value = conf_given(mailbox_fields, x->seen, name);

	return value ? value : x->map;
}

static bool is_given(const struct checking *x, const char *name)
{
	return conf_given(mailbox_fields, x->seen, name) != NULL;
}

/* The key that says the door, and its place. */
static const char *door_key(const struct checking *x)
{
	return x->door ? "doors" : "provider";
}

static const struct conf_node *at_door(const struct checking *x)
{
	return x->door ? x->door : at(x, "provider");
}

/* Where a sign-in is wrong: as it is written, or the door that follows from nothing written. */
static const struct conf_node *at_auth(const struct checking *x)
{
	return x->several && !is_given(x, "auth") ? x->door : at(x, "auth");
}

/* Is the provider one for mailboxes, and the tenant one for the provider? */
static bool check_provider(const struct checking *x)
{
	const struct conf_lane *l = x->l;
	bool google = l->tenant && l->tenant->cloud == PROVIDER_CLOUD_GOOGLE;
	const char *name = provider_name(l->provider);

	if (provider_defaults(l->provider)->is_connector) {
		conf_error(x->ld,
			at_door(x),
			"%s: %s needs no mailbox: list it under connectors",
			door_key(x),
			name);
		return false;
	}
	if (google && l->provider != PROVIDER_GMAIL && l->provider != PROVIDER_SMTP) {
		conf_error(x->ld,
			at_door(x),
			"%s: %s is a service of Microsoft, but tenant '%.*s' has cloud: "
			"google: write provider: gmail, or name another tenant",
			door_key(x),
			name,
			SV_ARG(l->tenant->name));
		return false;
	}
	if (!google && l->tenant && l->provider == PROVIDER_GMAIL) {
		conf_error(x->ld,
			at_door(x),
			"%s: gmail needs a tenant of Google, but '%.*s' has cloud: %s: "
			"write cloud: google there, or name another tenant",
			door_key(x),
			SV_ARG(l->tenant->name),
			provider_cloud(l->tenant->cloud)->name);
		return false;
	}
	return true;
}

static void check_password(const struct checking *x)
{
	const struct conf_lane *l = x->l;

	if (provider_defaults(l->provider)->is_http)
		conf_error(x->ld,
			at(x, "auth"),
			"auth: password is not possible with %s: %s: write auth: app or "
			"auth: user",
			door_key(x),
			provider_name(l->provider));
	else if (l->password.kind == CONF_SECRET_NONE)
		conf_error(x->ld,
			x->map,
			"password: is missing here: put it into a file and write password: "
			"file:/PATH, or sign in without one: auth: app or auth: user");
}

/* A token needs a tenant with an app, and a service that takes tokens. */
static bool check_token(const struct checking *x, const char *word)
{
	const struct conf_lane *l = x->l;
	char who[64];

	/* One door of several does what the others do not. */
	if (x->several)
		(void)snprintf(who, sizeof(who), "doors: %s", provider_name(l->provider));
	else
		(void)snprintf(who, sizeof(who), "auth: %s", word);
	if (is_given(x, "password") && !x->several)
		conf_error(x->ld,
			at(x, "password"),
			"password: is of no use with auth: %s: remove one of them",
			word);
	else if (!provider_defaults(l->provider)->app_scope)
		conf_error(x->ld,
			at(x, "auth"),
			"auth: %s is not possible with %s: %s: write auth: password",
			word,
			door_key(x),
			provider_name(l->provider));
	else if (!l->tenant && !is_given(x, "tenant"))
		conf_error(x->ld,
			at_auth(x),
			"%s signs in through the app of a tenant: add tenant: NAME%s",
			who,
			x->several ? ", or remove this door" : "");
	else if (l->tenant && !l->tenant->app.place.line && !x->ld->incomplete)
		conf_error(x->ld,
			at_auth(x),
			"%s signs in through the app of tenant '%.*s', but it has none: add "
			"app: { client_id: ID, secret: file:/PATH } to it%s",
			who,
			SV_ARG(l->tenant->name),
			x->several ? ", or remove this door" : "");
	else
		return l->tenant && l->tenant->app.client_id.len;
	return false;
}

static void check_app(const struct checking *x)
{
	const struct conf_lane *l = x->l;

	if (!check_token(x, "app"))
		return;
	if (conf_app_can_sign(l->tenant) || x->ld->incomplete)
		return;
	if (l->tenant->cloud == PROVIDER_CLOUD_GOOGLE)
		conf_error(x->ld,
			at_auth(x),
			"auth: app needs a service account of Google, but the app of tenant '%.*s' "
			"has no key: add key: file:/PATH, or write auth: user",
			SV_ARG(l->tenant->name));
	else
		conf_error(x->ld,
			at_auth(x),
			"auth: app needs a secret or a certificate, but the app of tenant '%.*s' "
			"has neither: add secret: file:/PATH, or certificate and key",
			SV_ARG(l->tenant->name));
}

static void check_person(const struct checking *x)
{
	if (check_token(x, "user") && x->ld->conf->general.vault_key.kind == CONF_SECRET_NONE &&
		!x->ld->incomplete)
		conf_error(x->ld,
			at(x, "auth"),
			"auth: user keeps what `postern login` gets in the vault, but there is "
			"none: add vault: { key: file:/PATH } (`postern vault key` makes one)");
}

/*
 * What is not written down follows from what is: a password, else the tenant's app. Of several doors the password is
 * for those that take one, and `auth:` for the others.
 */
static enum conf_sign_in sign_in_of(const struct checking *x)
{
	const struct conf_lane *l = x->l;
	const struct provider_defaults *d = provider_defaults(l->provider);
	enum conf_sign_in written = (enum conf_sign_in)(x->auth + CONF_SIGN_IN_PASSWORD);

	if (x->several && is_given(x, "password") && !d->is_http)
		return CONF_SIGN_IN_PASSWORD;
	if (x->several && d->is_http && written == CONF_SIGN_IN_PASSWORD)
		return CONF_SIGN_IN_APP;
	if (is_given(x, "auth"))
		return written;
	if (is_given(x, "password"))
		return CONF_SIGN_IN_PASSWORD;
	if (d->is_http || (d->app_scope && l->tenant && l->tenant->app.place.line))
		return CONF_SIGN_IN_APP;
	return d->needs_login ? CONF_SIGN_IN_PASSWORD : CONF_SIGN_IN_NONE;
}

static void check_sign_in(const struct checking *x)
{
	struct conf_lane *l = x->l;

	l->sign_in = sign_in_of(x);
	switch (l->sign_in) {
	case CONF_SIGN_IN_PASSWORD:
		check_password(x);
		break;
	case CONF_SIGN_IN_APP:
		check_app(x);
		break;
	case CONF_SIGN_IN_USER:
		check_person(x);
		break;
	case CONF_SIGN_IN_NONE:
		if (is_given(x, "login"))
			conf_error(x->ld,
				at(x, "login"),
				"login: needs a password beside it: add password: file:/PATH");
		return;
	}
	if (l->sign_in != CONF_SIGN_IN_PASSWORD)
		l->password = (struct conf_secret){ 0 };
	if (!l->login.len)
		l->login = l->name;
}

/* The host and port of "https://HOST[:PORT][/PATH]", which is sound. */
static void split_url(struct conf_load *ld, struct sv url, struct conf_lane *l)
{
	struct sv rest = sv_skip(url, SV("https://").len), host;
	ptrdiff_t colon;
	uint32_t port = PORT_HTTPS;

	(void)sv_cut_char(&rest, '/', &host);
	colon = sv_rfind_char(host, ':');
	if (colon >= 0 && sv_rfind_char(host, ']') < colon &&
		sv_parse_u32(sv_skip(host, (size_t)colon + 1), UINT16_MAX, &port) == 0)
		host = sv_head(host, (size_t)colon);
	if (host.len > 2 && host.ptr[0] == '[')
		host = sv_make(host.ptr + 1, host.len - 2);
	l->host = conf_keep(ld, host);
	l->port = (uint16_t)port;
}

static void check_host(const struct checking *x)
{
	struct conf_lane *l = x->l;

	if (provider_defaults(l->provider)->is_http) {
		if (is_given(x, "endpoint") && !x->several)
			conf_error(x->ld,
				at(x, "endpoint"),
				"endpoint: has no meaning with %s: %s: write endpoints: { "
				"graph: \"https://...\" } at the tenant",
				door_key(x),
				provider_name(l->provider));
		if (l->tenant)
			split_url(x->ld, l->tenant->graph_url, l);
		return;
	}
	if (!l->host.len)
		l->host = l->provider == PROVIDER_SUBMISSION && l->tenant
				  ? provider_cloud(l->tenant->cloud)->smtp
				  : provider_defaults(l->provider)->host;
	if (!l->host.len)
		conf_error(x->ld,
			x->map,
			"host: is missing: with provider: smtp add endpoint: { host: "
			"mail.example.com }");
}

static void check_domain(const struct checking *x)
{
	const struct conf_lane *l = x->l;

	if (!l->tenant || !l->tenant->domain_count ||
		conf_is_internal(x->ld->conf, l->tenant, l->name))
		return;
	conf_warn(x->ld,
		at(x, "address"),
		"address: its domain is not among the domains of tenant '%.*s': add it there, or "
		"correct the address",
		SV_ARG(l->tenant->name));
}

static void check_door(const struct checking *x, bool *judged)
{
	const struct conf_lane *l = x->l;

	if (!check_provider(x))
		return;
	if (l->is_wildcard) {
		x->l->sign_in = sign_in_of(x);
		if (conf_check_wildcard(x->ld,
			    &(struct conf_wildcard_check){ .lane = l,
				    .door = at_door(x),
				    .auth = at_auth(x),
				    .address = at(x, "address"),
				    .password = conf_given(mailbox_fields, x->seen, "password"),
				    .login = conf_given(mailbox_fields, x->seen, "login") }))
			return;
	}
	check_sign_in(x);
	check_host(x);
	if (l->sender == CONF_SENDER_KEEP && provider_defaults(l->provider)->own_sender)
		conf_error(x->ld,
			at(x, "sender"),
			"sender: keep is not possible with %s: %s, which takes mail From the "
			"account itself only: write rewrite (Reply-To keeps the original) or force",
			door_key(x),
			provider_name(l->provider));
	conf_lane_check_server(x->ld, x->map, l);
	*judged = *judged || conf_lane_check_limits(x->ld, x->map, l);
	if (l->door == 0 && !l->is_wildcard)
		check_domain(x);
}

/* A lane for each door. How much may leave is said once, for the mailbox. */
static void make_doors(struct checking *x, const struct conf_doors *doors, bool sound, bool keep)
{
	struct conf_lane *const draft = x->l;
	const struct conf_lane read = *draft;
	struct conf_limits shared = read.limits;
	bool judged = false;

	x->several = doors->count > 1;
	for (size_t i = 0; i < doors->count; i++) {
		struct conf_lane l =
			x->several ? conf_door_lane(&read, x->map, &doors->items[i]) : read;

		l.door = (uint32_t)i;
		if (i == 0)
			shared = l.limits;
		l.limits.messages_per_minute = shared.messages_per_minute;
		l.limits.recipients_per_day = shared.recipients_per_day;
		l.limits.external_per_hour = shared.external_per_hour;
		l.limits.internal_per_hour = shared.internal_per_hour;
		l.limits.recipients_per_hour = shared.recipients_per_hour;
		l.limits.external_per_day = shared.external_per_day;
		l.limits.messages_per_day = shared.messages_per_day;
		x->l = &l;
		x->door = doors->listed ? doors->items[i].at : NULL;
		if (sound)
			check_door(x, &judged);
		if (keep)
			conf_lane_keep(x->ld, &l);
	}
	x->l = draft;
}

void conf_read_mailbox(struct conf_load *ld, const struct conf_node *map)
{
	struct conf_lane_draft d = { .lane.kind = CONF_LANE_MAILBOX };
	struct conf_lane *l = &d.lane;
	struct conf_seen seen = { 0 };
	struct checking x = { .ld = ld, .map = map, .seen = &seen, .l = l };
	size_t errors = ld->error_count;
	struct conf_doors doors;
	bool sound;

	conf_doors_read(ld, map, &doors);
	l->provider = doors.items[0].provider;
	l->place = conf_place_of(ld, map);
	conf_lane_defaults(l, SHARE_OF_MAILBOX);
	(void)conf_read_map(ld, map, mailbox_fields, &d, &seen);
	if (!l->name.len)
		return;
	if (is_given(&x, "at_once") && !l->is_wildcard)
		conf_error(ld,
			at(&x, "at_once"),
			"at_once: is of a wildcard, address: \"*@contoso.com\": remove it here");
	else if (!l->at_once)
		l->at_once = CONF_AT_ONCE;
	l->name = conf_keep_lower(ld, l->name);
	x.auth = d.auth;
	sound = ld->error_count == errors;
	make_doors(&x,
		&doors,
		sound,
		!conf_lane_is_taken(ld, at(&x, "address"), l->name, "address: this mailbox"));
}

void conf_read_mailboxes(struct conf_load *ld)
{
	conf_read_sections(ld, CONF_SECTION_MAILBOXES, conf_read_mailbox);
}

/*
 * Once for all mailboxes. https://techcommunity.microsoft.com/blog/exchange/4489835, 2026-01-27; read on
 * 2026-11-23. High Volume Email keeps passwords until September 2028. Where another door carries on nothing is lost.
 */
void conf_check_basic_auth(struct conf_load *ld)
{
	const struct conf *c = ld->conf;
	const struct conf_lane *first = NULL;
	size_t count = 0;
	struct conf_node where;

	for (size_t i = 0; i < c->lane_count; i++) {
		const struct conf_lane *l = &c->lanes[i];

		if (l->provider != PROVIDER_SUBMISSION || l->sign_in != CONF_SIGN_IN_PASSWORD ||
			l->member->lane_count > 1)
			continue;
		first = first ? first : l;
		count++;
	}
	if (!first)
		return;
	where = conf_node_at(first->place);
	conf_warn(ld,
		&where,
		"auth: password: %zu mailbox%s in with a password, which Microsoft switches off by "
		"default at the end of December 2026 (administrators can switch it on again; the "
		"day of its final removal is told in the second half of 2027): write auth: app or "
		"auth: user, or doors: [submission, graph], so that Graph carries on",
		count,
		count == 1 ? " signs" : "es sign");
}
