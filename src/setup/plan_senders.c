/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/address.h"
#include "setup/plan_priv.h"

/* A sender that the configuration names, and who may use it. */
struct candidate {
	struct sv address;
	struct sv user, device; /* empty: anybody */
};

struct search {
	struct setup_plan *plan;
	const struct conf *conf;
	const struct conf_lane *lane;
	struct setup_step step;
};

static bool leads_to(const struct conf_route *r, const struct conf_lane *l)
{
	for (size_t i = 0; i < r->through_count; i++)
		if (!r->through[i].sender && r->through[i].member == l->member)
			return true;
	return false;
}

static bool takes(const struct conf_route *r, const struct candidate *k)
{
	return (r->any_sender || address_matches(r->sender, k->address)) &&
	       (r->any_user || !k->user.len || sv_eq(r->user, k->user)) &&
	       (r->any_device || !k->device.len || sv_eq(r->device, k->device));
}

static void allow(const struct search *s, struct sv address)
{
	struct setup_step step = s->step;

	if (sv_eq_nocase(address, s->lane->name))
		return;
	if (sv_find_char(address, '*') >= 0) {
		setup_plan_note(s->plan,
			"Mail of %.*s may leave by %.*s: SendAs is given for each address, so name "
			"the addresses in postern.yaml, or write sender: rewrite at the mailbox.",
			SV_ARG(address),
			SV_ARG(s->lane->name));
		return;
	}
	if (s->lane->tenant && s->lane->tenant->domain_count &&
		!conf_is_internal(s->conf, s->lane->tenant, address)) {
		setup_plan_note(s->plan,
			"%.*s is not in a domain of the tenant: %.*s cannot send as it.",
			SV_ARG(address),
			SV_ARG(s->lane->name));
		return;
	}
	step.kind = SETUP_SEND_AS;
	step.subject = address;
	setup_plan_add(s->plan, &step);
}

static void consider(const struct search *s, const struct candidate *k)
{
	size_t count;
	const struct conf_route *r = conf_routes(s->conf, &count);

	for (size_t i = 0; i < count; i++)
		if (leads_to(&r[i], s->lane) && !r[i].rewrite_from.len && takes(&r[i], k))
			allow(s, k->address);
}

static void consider_users(const struct search *s)
{
	size_t count;
	const struct conf_user *u = conf_users(s->conf, &count);

	for (size_t i = 0; i < count; i++) {
		if (u[i].sender != CONF_SENDER_KEEP) {
			consider(s, &(struct candidate){ .address = u[i].as, .user = u[i].name });
			continue;
		}
		for (size_t k = 0; k < u[i].sender_count; k++)
			consider(s,
				&(struct candidate){
					.address = u[i].senders[k], .user = u[i].name });
	}
}

void setup_plan_senders(struct setup_plan *p, const struct conf *c, const struct conf_lane *l,
	const struct setup_step *like)
{
	const struct search s = { p, c, l, *like };
	size_t count;
	const struct conf_device *d;
	const struct conf_route *r;

	if (l->sender != CONF_SENDER_KEEP)
		return;
	consider_users(&s);
	d = conf_devices(c, &count);
	for (size_t i = 0; i < count; i++)
		consider(&s, &(struct candidate){ .address = d[i].sender, .device = d[i].name });
	r = conf_routes(c, &count);
	for (size_t i = 0; i < count; i++) {
		if (!leads_to(&r[i], l))
			continue;
		if (r[i].rewrite_from.len)
			allow(&s, r[i].rewrite_from);
		else if (!r[i].any_sender && r[i].sender.len && sv_find_char(r[i].sender, '*') < 0)
			allow(&s, r[i].sender);
	}
}
