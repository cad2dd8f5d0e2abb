/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/plan.h"

#include "base/must.h"
#include "setup/plan_priv.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	NOTE_MAX = 512,
	ROOM_FIRST = 16
};

static bool same(const struct setup_step *a, const struct setup_step *b)
{
	return a->kind == b->kind && a->tenant == b->tenant && a->api == b->api &&
	       sv_eq_nocase(a->subject, b->subject) && sv_eq_nocase(a->trustee, b->trustee);
}

void setup_plan_add(struct setup_plan *p, const struct setup_step *step)
{
	for (size_t i = 0; i < p->count; i++)
		if (same(&p->steps[i], step))
			return;
	if (p->count == p->room) {
		p->room = p->room ? p->room * 2 : ROOM_FIRST;
		p->steps = xrealloc(p->steps, p->room * sizeof(p->steps[0]));
	}
	p->steps[p->count++] = *step;
}

void setup_plan_note(struct setup_plan *p, const char *fmt, ...)
{
	char text[NOTE_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (size_t i = 0; i < p->note_count; i++)
		if (sv_eq(p->notes[i], sv_from(text)))
			return;
	if (p->note_count == p->note_room) {
		p->note_room = p->note_room ? p->note_room * 2 : ROOM_FIRST;
		p->notes = xrealloc(p->notes, p->note_room * sizeof(p->notes[0]));
	}
	p->notes[p->note_count++] = arena_sv(&p->arena, sv_from(text));
}

/* ---- the app of a tenant ---- */

static void add_permissions(
	struct setup_plan *p, const struct setup_tenant *t, const struct conf_lane *l)
{
	const struct provider_defaults *d = provider_defaults(l->provider);
	struct setup_step s = { .kind = l->sign_in == CONF_SIGN_IN_APP ? SETUP_APP_ROLE
								       : SETUP_APP_SCOPE,
		.tenant = t,
		.api = d->is_http ? SETUP_API_GRAPH : SETUP_API_EXCHANGE,
		.subject = sv_from(
			l->sign_in == CONF_SIGN_IN_APP ? d->app_permission : d->user_permission) };

	setup_plan_add(p, &s);
	if (d->is_http) {
		/* Large messages are drafts first. */
		s.subject = SV("Mail.ReadWrite");
		setup_plan_add(p, &s);
	}
	if (l->sign_in == CONF_SIGN_IN_USER) {
		s.api = SETUP_API_GRAPH;
		s.subject = SV("offline_access");
		setup_plan_add(p, &s);
	}
}

static void add_app(struct setup_plan *p, const struct conf *c, const struct conf_tenant *from,
	const struct setup_tenant *t)
{
	size_t count;
	const struct conf_lane *lanes = conf_lanes(c, &count);
	bool principal = false;

	if (t->has_app || t->has_users)
		setup_plan_add(p, &(struct setup_step){ .kind = SETUP_APP, .tenant = t });
	for (size_t i = 0; i < count; i++) {
		const struct conf_lane *l = &lanes[i];

		if (l->tenant != from ||
			(l->sign_in != CONF_SIGN_IN_APP && l->sign_in != CONF_SIGN_IN_USER))
			continue;
		add_permissions(p, t, l);
		principal = principal || (l->sign_in == CONF_SIGN_IN_APP &&
						 provider_defaults(l->provider)->is_smtp_auth);
	}
	if (principal)
		setup_plan_add(p, &(struct setup_step){ .kind = SETUP_PRINCIPAL, .tenant = t });
}

/* ---- mailboxes, connectors, domains ---- */

static void add_submission(struct setup_plan *p, const struct conf *c, const struct conf_lane *l,
	const struct setup_tenant *t)
{
	bool app = l->sign_in == CONF_SIGN_IN_APP;
	bool delegate = !app && l->login.len && !sv_eq_nocase(l->login, l->name);
	struct setup_step s = { .tenant = t, .subject = l->name };

	if (app || delegate) {
		s.trustee = app ? SV("") : l->login;
		s.kind = SETUP_FULL_ACCESS;
		setup_plan_add(p, &s);
		if (delegate) {
			s.kind = SETUP_SEND_AS;
			setup_plan_add(p, &s);
		}
		s.trustee = SV("");
	}
	s.kind = SETUP_SMTP_AUTH;
	setup_plan_add(p, &s);
	if (delegate) {
		s.subject = l->login;
		setup_plan_add(p, &s);
		s.subject = l->name;
	}
	s.kind = SETUP_SENT_COPY;
	setup_plan_add(p, &s);
	s.trustee = app ? SV("") : l->login;
	setup_plan_senders(p, c, l, &s);
}

static void add_hve(struct setup_plan *p, const struct conf_lane *l, const struct setup_tenant *t)
{
	struct setup_step s = { .kind = SETUP_HVE_ACCOUNT,
		.tenant = t,
		.subject = l->name,
		.password = l->sign_in == CONF_SIGN_IN_PASSWORD };

	setup_plan_add(p, &s);
	if (l->sign_in != CONF_SIGN_IN_PASSWORD) {
		s.kind = SETUP_HVE_APP;
		setup_plan_add(p, &s);
	}
	setup_plan_note(p,
		"High Volume Email is billed since 2026-06-01: without a pay-as-you-go billing "
		"policy nothing is delivered (admin.microsoft.com > Setup > Pay-as-you-go; then "
		"Get-BillingPolicy -ResourceType HVE and Set-HVEAccountBillingPolicy).");
}

/* Not one that Microsoft could see. */
static bool is_public(const struct io_address *a)
{
	static const char *const inner[] = {
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8"
	};
	struct io_network n;

	if (!a->len || a->any.sa_family != AF_INET)
		return false;
	for (size_t i = 0; i < COUNT_OF(inner); i++)
		if (io_network_parse(sv_from(inner[i]), &n) != 0 || io_network_holds(&n, &a->any))
			return false;
	return true;
}

static void add_connector(struct setup_plan *p, const struct conf_lane *l,
	const struct setup_tenant *t, struct sv address)
{
	struct setup_step s = { .kind = SETUP_CONNECTOR, .tenant = t, .subject = l->name };
	char text[INET6_ADDRSTRLEN];

	if (l->certificate.len) {
		s.certificate = setup_certificate_name(&p->arena, l->certificate, l->tenant);
		if (!s.certificate.len)
			setup_plan_note(p,
				"The certificate %.*s cannot be read here: run this command as "
				"root "
				"to have its name in the script.",
				SV_ARG(l->certificate));
	} else if (address.len) {
		s.address = address;
	} else if (is_public(&l->source)) {
		(void)inet_ntop(AF_INET, &l->source.v4.sin_addr, text, sizeof(text));
		s.address = arena_sv(&p->arena, sv_from(text));
	}
	setup_plan_add(p, &s);
}

static void add_lane(struct setup_plan *p, const struct conf *c, const struct conf_lane *l,
	const struct setup_tenant *t, struct sv address)
{
	const struct provider_defaults *d = provider_defaults(l->provider);

	if (d->is_smtp_auth)
		add_submission(p, c, l, t);
	else if (d->needs_account)
		add_hve(p, l, t);
	else if (d->knows_relay)
		add_connector(p, l, t, address);
	else if (d->is_http && l->sign_in == CONF_SIGN_IN_APP)
		setup_plan_note(p,
			"Graph's Mail.Send lets the app send as every mailbox of the tenant. To "
			"confine it to these mailboxes use RBAC for Applications "
			"(learn.microsoft.com/exchange/permissions-exo/application-rbac) instead "
			"of the permission in Entra.");
}

static void add_domain(struct setup_plan *p, const struct setup_tenant *t, struct sv domain)
{
	/* Microsoft signs for these by itself. */
	if (domain.len && !sv_ends_nocase(domain, SV(".onmicrosoft.com")))
		setup_plan_add(p,
			&(struct setup_step){ .kind = SETUP_DKIM, .tenant = t, .subject = domain });
}

static void add_domains(struct setup_plan *p, const struct conf *c, const struct conf_tenant *from,
	const struct setup_tenant *t)
{
	size_t count;
	const struct conf_lane *lanes = conf_lanes(c, &count);

	for (size_t i = 0; i < from->domain_count; i++)
		add_domain(p, t, from->domains[i]);
	for (size_t i = 0; i < count; i++)
		if (lanes[i].tenant == from && lanes[i].kind == CONF_LANE_MAILBOX)
			add_domain(p,
				t,
				sv_skip(lanes[i].name,
					(size_t)(sv_rfind_char(lanes[i].name, '@') + 1)));
}

static struct setup_tenant *make_tenant(
	struct setup_plan *p, const struct conf *c, const struct conf_tenant *from)
{
	size_t count;
	const struct conf_lane *lanes = conf_lanes(c, &count);
	struct setup_tenant *t = arena_alloc(&p->arena, sizeof(*t));

	t->name = from->name;
	t->id = from->id.len ? from->id : from->domain_count ? from->domains[0] : SV("");
	t->cloud = from->cloud;
	if (!sv_eq(from->app.client_id, SV(SETUP_NO_CLIENT_ID)))
		t->client_id = from->app.client_id;
	for (size_t i = 0; i < count; i++) {
		if (lanes[i].tenant != from)
			continue;
		t->has_app = t->has_app || lanes[i].sign_in == CONF_SIGN_IN_APP;
		t->has_users = t->has_users || lanes[i].sign_in == CONF_SIGN_IN_USER;
	}
	return t;
}

void setup_plan_make(struct setup_plan *out_plan, const struct conf *c, struct sv address)
{
	size_t tenant_count, lane_count;
	const struct conf_tenant *const *tenants = conf_tenants(c, &tenant_count);
	const struct conf_lane *lanes = conf_lanes(c, &lane_count);

	*out_plan = (struct setup_plan){ 0 };
	for (size_t i = 0; i < tenant_count; i++) {
		const struct setup_tenant *t;

		if (tenants[i]->cloud == PROVIDER_CLOUD_GOOGLE)
			continue;
		t = make_tenant(out_plan, c, tenants[i]);
		add_app(out_plan, c, tenants[i], t);
		for (size_t k = 0; k < lane_count; k++)
			if (lanes[k].tenant == tenants[i] && !lanes[k].is_wildcard)
				add_lane(out_plan, c, &lanes[k], t, address);
		add_domains(out_plan, c, tenants[i], t);
	}
	for (size_t k = 0; k < lane_count; k++)
		if (!lanes[k].tenant && lanes[k].kind == CONF_LANE_MAILBOX &&
			provider_defaults(lanes[k].provider)->is_microsoft)
			setup_plan_note(out_plan,
				"%.*s has no tenant in postern.yaml: it is left out. Add tenant: "
				"NAME.",
				SV_ARG(lanes[k].name));
}

void setup_plan_deinit(struct setup_plan *p)
{
	free(p->steps);
	free(p->notes);
	arena_reset(&p->arena);
	*p = (struct setup_plan){ 0 };
}
