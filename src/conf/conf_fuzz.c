/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include "base/must.h"
#include "conf/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lanes(const struct conf *c)
{
	size_t count;
	const struct conf_lane *lanes = conf_lanes(c, &count);

	for (size_t i = 0; i < count; i++) {
		const struct conf_lane *l = &lanes[i];

		must(conf_lane(c, l->key) == l);
		must(conf_lane_named(c, l->name) == l - l->door);
		must(l->member->lanes + l->door == l && l->door < l->member->lane_count);
		must(l->member->lane_count <= CONF_DOORS_MAX);
		must((l->host.len > 0) != (l->mx_of.len > 0));
		must(l->port > 0);
		must(l->limits.share_percent >= 1 && l->limits.share_percent <= 100);
		must(l->limits.connections > 0);
		must((l->sign_in == CONF_SIGN_IN_NONE) == (l->login.len == 0));
		must((l->sign_in == CONF_SIGN_IN_PASSWORD) ==
			(l->password.kind != CONF_SECRET_NONE));
		if (l->sign_in == CONF_SIGN_IN_APP || l->sign_in == CONF_SIGN_IN_USER)
			must(l->tenant && l->tenant->app.client_id.len > 0);
		if (provider_defaults(l->provider)->own_sender)
			must(l->sender != CONF_SENDER_KEEP);
		must((l->certificate.len > 0) == (l->certificate_key.kind != CONF_SECRET_NONE));
		must((l->kind == CONF_LANE_CONNECTOR) || !l->certificate.len);
	}
}

/* A mailbox is one, by whatever door. */
static void check_members(const struct conf *c)
{
	size_t count, lanes, doors = 0;
	const struct conf_member *members = conf_members(c, &count);

	for (size_t i = 0; i < count; i++) {
		const struct conf_member *m = &members[i];

		must(conf_member(c, m->key) == m && conf_member_named(c, m->name) == m);
		must(m->lane_count > 0);
		for (size_t k = 0; k < m->lane_count; k++) {
			const struct conf_lane *l = &m->lanes[k];

			must(l->member == m && sv_eq(l->name, m->name) && l->kind == m->kind);
			must(l->limits.messages_per_minute == m->lanes->limits.messages_per_minute);
			must(l->limits.recipients_per_day == m->lanes->limits.recipients_per_day);
			must(l->limits.share_percent == m->lanes->limits.share_percent);
		}
		doors += m->lane_count;
	}
	(void)conf_lanes(c, &lanes);
	must(doors == lanes);
	for (unsigned i = 0; i < MAIL_CLASS_COUNT; i++)
		must(conf_general(c)->class_expire_us[i] <= conf_general(c)->retry_expire_us);
}

static void check_url(struct sv url, struct sv scheme)
{
	must(url.len == 0 || (sv_starts(url, scheme) && sv_find_char(url, '@') < 0));
}

static void check_tenants(const struct conf *c)
{
	size_t count;
	const struct conf_tenant *const *t = conf_tenants(c, &count);

	check_url(conf_general(c)->proxy, SV("http://"));
	for (size_t i = 0; i < count; i++) {
		const struct conf_app *a = &t[i]->app;

		check_url(t[i]->login_url, SV("https://"));
		check_url(t[i]->graph_url, SV("https://"));
		check_url(t[i]->scope_host, SV("https://"));
		must(t[i]->login_url.len > 0 && t[i]->scope_host.len > 0);
		must((a->secret.kind != CONF_SECRET_NONE) + (a->certificate.len > 0) +
				(a->pkcs12.len > 0) <=
			1);
		if (t[i]->cloud != PROVIDER_CLOUD_GOOGLE)
			must((a->certificate.len > 0) == (a->key.kind != CONF_SECRET_NONE));
	}
}

static void check_devices(const struct conf *c)
{
	size_t count;
	const struct conf_device *d = conf_devices(c, &count);

	for (size_t i = 0; i < count; i++) {
		must(d[i].from_count > 0 && d[i].sender.len > 0);
		must(conf_device(c, d[i].name) == &d[i]);
		must((d[i].recipients == CONF_DEVICE_LISTED) == (d[i].recipient_pattern_count > 0));
	}
}

static void check_listeners(const struct conf *c)
{
	size_t count;
	const struct conf_listener *l = conf_listeners(c, &count);

	for (size_t i = 0; i < count; i++) {
		must(l[i].name.len > 0);
		must(l[i].connections_max > 0 && l[i].connections_per_peer_max > 0);
		must(l[i].auth != CONF_AUTH_REQUIRED || l[i].no_password_count == 0);
		must(!l[i].legacy_tls || (l[i].tls != CONF_TLS_NONE && l[i].auth == CONF_AUTH_OFF &&
						 l[i].no_password_count == 0));
		must(l[i].tls == CONF_TLS_NONE || (l[i].certificate.len && l[i].key.name.len));
	}
}

static bool no_header(void *arg, struct sv name, struct sv *out_value)
{
	(void)arg;
	(void)name;
	(void)out_value;
	return false;
}

/* Some of the members, in their order, and no other. */
static void check_queue(
	const struct conf *c, const struct conf_route_answer *found, struct sv recipient)
{
	const struct conf_member *members[CONF_THROUGH_MAX];
	struct arena arena = { 0 };
	bool external;
	struct sv key = conf_queue_key(
		c, found->members, found->member_count, recipient, 1, &arena, &external);
	size_t count = conf_queue_members(c, key, members), at = 0;

	must((count == 0) == (found->member_count == 0));
	for (size_t i = 0; i < count; i++, at++) {
		while (at < found->member_count && found->members[at] != members[i])
			at++;
		must(at < found->member_count);
	}
	arena_reset(&arena);
}

/* What was decided before DATA stays so after it. */
static void check_answer(const struct conf *c, const struct conf_route_query *q)
{
	struct conf_route_query full = *q;
	struct conf_route_answer before = conf_route_find(c, q), after;

	full.has_body = true;
	full.size = 1000;
	full.header = no_header;
	after = conf_route_find(c, &full);
	must(before.member == (before.member_count ? before.members[0] : NULL));
	must(!before.member || before.route);
	must(!after.undecided);
	must(before.undecided ||
		(before.member == after.member && before.member_count == after.member_count));
	check_queue(c, &before, q->recipient);
}

static void check_routes(const struct conf *c)
{
	size_t count;
	const struct conf_route *r = conf_routes(c, &count);

	must(count > 0);
	for (size_t i = 0; i < count; i++) {
		const struct conf_route_query q = { .sender = r[i].sender,
			.recipient = r[i].recipient_count ? r[i].recipients[0] : SV("a@b.c"),
			.device = r[i].device,
			.user = r[i].user,
			.listener = r[i].listener };

		must(r[i].through_count > 0 && r[i].through_count <= CONF_THROUGH_MAX);
		must(r[i].any_recipient == (r[i].recipient_count == 0));
		check_answer(c, &q);
		if (r[i].recipient_class == CONF_RECIPIENT_ANY)
			must(conf_route_find(c, &q).route != NULL);
		(void)!conf_route_possible(c, q.sender, q.user, q.listener, q.device);
	}
}

/* What is accepted keeps its promises; what is refused says why, in order and on one line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_findings f;
	struct conf *c = conf_load_text(sv_make((const char *)data, size), &f);

	must((c == NULL) == (f.error_count > 0));
	for (size_t i = 0; i < f.count; i++) {
		must(f.items[i].line > 0 && f.items[i].column > 0);
		must(i == 0 || f.items[i].line >= f.items[i - 1].line);
		for (const char *p = f.items[i].text; *p; p++)
			must((unsigned char)*p >= 0x20 && *p != 0x7f);
	}
	if (c) {
		must(conf_general(c)->hostname.len > 0);
		check_tenants(c);
		check_devices(c);
		check_lanes(c);
		check_members(c);
		check_listeners(c);
		check_routes(c);
	}
	conf_findings_free(&f);
	conf_unref(c);
	return 0;
}
