/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"
#include "provider/limits.h"

/* What mailboxes and connectors share: both become lanes. */
enum {
	PORT_SMTPS = 465
};

void conf_read_sections(struct conf_load *ld, enum conf_section s,
	void (*read)(struct conf_load *ld, const struct conf_node *map))
{
	for (size_t i = 0; i < ld->section_count[s]; i++) {
		const struct conf_node *list = ld->sections[s][i];

		if (conf_is_list(ld, list))
			for (const struct conf_node *n = list->first; n; n = n->next)
				read(ld, n);
	}
}

void conf_read_tenant_name(struct conf_load *ld, const struct conf_node *value, void *out)
{
	const struct conf_tenant **tenant = out;
	struct guess guess = { .name = value->text };
	char shown[CONF_SHOWN_MAX];

	if (!conf_is_text(ld, value))
		return;
	*tenant = htable_get(&ld->conf->tenant_by_name, value->text);
	if (*tenant || ld->incomplete)
		return;
	for (size_t i = 0; i < ld->conf->tenant_count && ld->error_count < CONF_GUESSES_MAX; i++)
		guess_try(&guess, ld->conf->tenants[i]->name);
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

void conf_read_provider(struct conf_load *ld, const struct conf_node *value, void *out)
{
	if (conf_is_text(ld, value) && provider_parse(value->text, out) != 0)
		conf_error(ld,
			value,
			"provider: must be submission, hve, graph, gmail or smtp for a mailbox, "
			"and "
			"connector, direct or smtp for a connector");
}

const char *const conf_lane_tls_words[] = { "none", "required", "implicit", NULL };
static_assert(SMTP_CLIENT_TLS_NONE == 0, "order of the words");
static_assert(SMTP_CLIENT_TLS_REQUIRED == 1, "order of the words");
static_assert(SMTP_CLIENT_TLS_IMPLICIT == 2, "order of the words");

enum {
	BUDGET_MAX = 10000000 /* dollars */
};

static void read_budget(struct conf_load *ld, const struct conf_node *value, void *out)
{
	if (conf_is_text(ld, value) && conf_parse_dollars(value->text, BUDGET_MAX, out) != 0)
		conf_error(ld,
			value,
			"budget: must be the dollars of a calendar month, from 0 to %d: write 50 "
			"or 49.90",
			BUDGET_MAX);
}

const struct conf_field conf_lane_limits_fields[] = {
	{ .name = SV_INIT("share"), .type = CONF_TYPE_PERCENT, CONF_LANE_AT(limits.share_percent) },
	{ .name = SV_INIT("connections"),
		.type = CONF_TYPE_U32,
		CONF_LANE_AT(limits.connections),
		.min = 1,
		.max = 1000 },
	{ .name = SV_INIT("messages_per_minute"),
		.type = CONF_TYPE_U32,
		CONF_LANE_AT(limits.messages_per_minute),
		.max = 10000000 },
	{ .name = SV_INIT("recipients_per_day"),
		.type = CONF_TYPE_U32,
		CONF_LANE_AT(limits.recipients_per_day),
		.max = 1000000000 },
	{ .name = SV_INIT("external_recipients_per_hour"),
		.type = CONF_TYPE_U32,
		CONF_LANE_AT(limits.external_per_hour),
		.max = 1000000000 },
	{ .name = SV_INIT("internal_recipients_per_hour"),
		.type = CONF_TYPE_U32,
		CONF_LANE_AT(limits.internal_per_hour),
		.max = 1000000000 },
	{ .name = SV_INIT("recipients_per_hour"),
		.type = CONF_TYPE_U32,
		CONF_LANE_AT(limits.recipients_per_hour),
		.max = 1000000000 },
	{ .name = SV_INIT("external_recipients_per_day"),
		.type = CONF_TYPE_U32,
		CONF_LANE_AT(limits.external_per_day),
		.max = 1000000000 },
	{ .name = SV_INIT("messages_per_day"),
		.type = CONF_TYPE_U32,
		CONF_LANE_AT(limits.messages_per_day),
		.max = 1000000000 },
	{ .name = SV_INIT("budget"),
		.type = CONF_TYPE_READ,
		CONF_LANE_AT(limits.budget_cents),
		.read = read_budget },
	{ .name = SV_INIT("recipients_per_message"),
		.type = CONF_TYPE_U32,
		CONF_LANE_AT(limits.recipients_per_message),
		.max = LIMIT_RCPT },
	{ .name = SV_INIT("recipients_per_domain"),
		.type = CONF_TYPE_U32,
		CONF_LANE_AT(limits.recipients_per_domain),
		.max = LIMIT_RCPT },
	{ .name = SV_INIT("message_size"),
		.type = CONF_TYPE_SIZE,
		.flags = CONF_OFF,
		CONF_LANE_AT(limits.message_bytes_max),
		.min = 65536,
		.max = UINT64_C(1) << 40 },
	CONF_FIELDS_END,
};

/* The provider decides what the other fields default to, so it is read before all of them. */
enum provider_kind conf_provider_of(const struct conf_node *map, enum provider_kind otherwise)
{
	const struct conf_node *value = conf_find(map, SV("provider"));
	enum provider_kind kind;

	return value && provider_parse(value->text, &kind) == 0 ? kind : otherwise;
}

/* The host is left out: it may come from the tenant. */
void conf_lane_defaults(struct conf_lane *l, unsigned share)
{
	const struct provider_defaults *d = provider_defaults(l->provider);

	l->port = d->port;
	l->tls = SMTP_CLIENT_TLS_REQUIRED;
	l->sender = d->own_sender ? CONF_SENDER_REWRITE : CONF_SENDER_KEEP;
	l->limits = (struct conf_limits){ .share_percent = share,
		.connections = d->connections,
		.messages_per_minute = d->messages_per_minute,
		.recipients_per_day = d->recipients_per_day,
		.recipients_per_hour = d->recipients_per_hour,
		.external_per_day = d->external_per_day,
		.messages_per_day = d->messages_per_day,
		.recipients_per_message = d->recipients_per_message,
		.recipients_per_domain = d->recipients_per_domain,
		.message_bytes_max = d->message_bytes_max };
}

static bool host_is_loopback(struct sv host)
{
	struct io_network n;

	return sv_eq_nocase(host, SV("localhost")) ||
	       (io_network_parse(host, &n) == 0 && io_network_is_loopback(&n));
}

void conf_lane_check_server(
	struct conf_load *ld, const struct conf_node *map, const struct conf_lane *l)
{
	bool clear = l->tls == SMTP_CLIENT_TLS_NONE;

	if (clear && l->provider != PROVIDER_SMTP && l->provider != PROVIDER_DIRECT)
		conf_error(ld,
			map,
			"tls: none is not possible with provider: %s: remove it, or use "
			"provider: smtp",
			provider_name(l->provider));
	else if (clear && l->login.len && !host_is_loopback(l->host))
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

/* A sandbox or a relay in between may have limits of its own. */
static bool is_providers_own(const struct conf_lane *l)
{
	const struct provider_defaults *d = provider_defaults(l->provider);
	const struct provider_cloud_row *row =
		provider_cloud(l->tenant ? l->tenant->cloud : PROVIDER_CLOUD_GLOBAL);

	if (l->mx_of.len || sv_ends_nocase(l->host, SV(".mail.protection.outlook.com")) ||
		sv_ends_nocase(l->host, SV(".mx.microsoft")))
		return true;
	if (d->is_http)
		return l->tenant && sv_eq(l->tenant->graph_url, row->graph);
	return (d->host.len && sv_eq_nocase(l->host, d->host)) ||
	       (l->provider == PROVIDER_SUBMISSION && sv_eq_nocase(l->host, row->smtp));
}

/* Where a limit is written; the lane, where it is a default. */
static const struct conf_node *place_of_limit(const struct conf_node *map, const char *name)
{
	const struct conf_node *limits = conf_find(map, SV("limits"));
	const struct conf_node *value = limits ? conf_find(limits, sv_from(name)) : NULL;

	return value ? value : map;
}

static void check_limit(struct conf_load *ld, const struct conf_node *map, const char *name,
	uint32_t given, uint32_t allowed)
{
	if (allowed && (given == 0 || given > allowed))
		conf_warn(ld,
			place_of_limit(map, name),
			"limits: %s is above the %u that the provider allows: lower it",
			name,
			allowed);
}

/* Connections at once; 0: no such limit is known. */
static uint32_t connections_most(enum provider_kind door)
{
	static const enum provider_limit_id limits[] = { PROVIDER_LIMIT_MAILBOX_CONNECTIONS,
		PROVIDER_LIMIT_GRAPH_CONNECTIONS };

	for (size_t i = 0; i < COUNT_OF(limits); i++)
		if (provider_limit_counts(provider_limit(limits[i]), door))
			return (uint32_t)provider_limit(limits[i])->amount;
	return 0;
}

/* Past them the answer is a refusal, or a blocked mailbox. */
bool conf_lane_check_limits(
	struct conf_load *ld, const struct conf_node *map, const struct conf_lane *l)
{
	const struct provider_defaults *d = provider_defaults(l->provider);
	const struct conf_limits *given = &l->limits;

	/* One of several doors may cost. */
	if (given->budget_cents && !d->has_cost && !conf_find(map, SV("doors")))
		conf_error(ld,
			place_of_limit(map, "budget"),
			"budget: what leaves by %s costs nothing: remove it, or set provider: hve",
			provider_name(l->provider));
	if (!is_providers_own(l))
		return false;
	check_limit(
		ld, map, "messages_per_minute", given->messages_per_minute, d->messages_per_minute);
	check_limit(
		ld, map, "recipients_per_day", given->recipients_per_day, d->recipients_per_day);
	check_limit(
		ld, map, "recipients_per_hour", given->recipients_per_hour, d->recipients_per_hour);
	check_limit(ld,
		map,
		"external_recipients_per_day",
		given->external_per_day,
		d->external_per_day);
	check_limit(ld, map, "messages_per_day", given->messages_per_day, d->messages_per_day);
	check_limit(ld,
		map,
		"recipients_per_domain",
		given->recipients_per_domain,
		d->recipients_per_domain);
	check_limit(ld, map, "connections", given->connections, connections_most(l->provider));
	/* By an outbound spam policy nobody may have more than the day of a mailbox. */
	if (given->external_per_hour)
		check_limit(ld,
			map,
			"external_recipients_per_hour",
			given->external_per_hour,
			d->recipients_per_day);
	if (given->internal_per_hour)
		check_limit(ld,
			map,
			"internal_recipients_per_hour",
			given->internal_per_hour,
			d->recipients_per_day);
	/* An administrator may raise the 500 of a mailbox; nobody raises those of HVE. */
	if (provider_limit_counts(provider_limit(PROVIDER_LIMIT_MESSAGE_RECIPIENTS), l->provider) &&
		given->recipients_per_message)
		check_limit(ld,
			map,
			"recipients_per_message",
			given->recipients_per_message,
			PROVIDER_RECIPIENTS_MOST);
	if (l->provider == PROVIDER_HVE || l->provider == PROVIDER_GMAIL) {
		check_limit(ld,
			map,
			"recipients_per_message",
			given->recipients_per_message,
			d->recipients_per_message);
		if (given->message_bytes_max == 0 ||
			given->message_bytes_max > d->message_bytes_max)
			conf_warn(ld,
				place_of_limit(map, "message_size"),
				"limits: message_size is above the %u MB that the provider allows: "
				"lower it",
				(unsigned)(d->message_bytes_max >> 20));
	}
	return true;
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
void conf_lane_keep(struct conf_load *ld, struct conf_lane *l)
{
	struct conf *c = ld->conf;
	size_t *place = arena_alloc(&c->arena, sizeof(*place));

	make_key(ld, l);
	c->lanes = conf_grow(c->lanes, c->lane_count, sizeof(*c->lanes));
	c->lanes[c->lane_count++] = *l;
	*place = c->lane_count;
	if (l->door == 0)
		htable_put(&c->lane_by_name, l->name, place);
	htable_put(&c->lane_by_key, l->key, place);
}

/* The lanes move no more. */
void conf_members_make(struct conf_load *ld)
{
	struct conf *c = ld->conf;
	struct conf_member *m = NULL;

	c->members = arena_alloc(&c->arena, (c->lane_count + 1) * sizeof(*c->members));
	for (size_t i = 0; i < c->lane_count; i++) {
		struct conf_lane *l = &c->lanes[i];

		if (l->door == 0) {
			CLEANUP(buf_deinitp) struct buf key = BUF_INIT(LIMIT_ADDRESS + 8);

			/* The scope of its limits, too (limit/book.h). */
			must(buf_printf(&key,
				     "%c:%.*s",
				     l->kind == CONF_LANE_MAILBOX ? 'm' : 'c',
				     SV_ARG(l->name)) == 0);
			m = &c->members[c->member_count++];
			*m = (struct conf_member){ .key = conf_keep(ld, buf_sv(&key)),
				.name = l->name,
				.kind = l->kind,
				.tenant = l->tenant,
				.lanes = l,
				.place = l->place };
			htable_put(&c->member_by_key, m->key, m);
		}
		m->lane_count++;
		l->member = m;
	}
}

bool conf_lane_is_taken(
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
