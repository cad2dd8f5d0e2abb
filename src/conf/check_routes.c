/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_priv.h"
#include "conf/made.h"
#include "mail/address.h"

/*
 * What can be said of a route only beside the others: that one above takes all its mail, that its door
 * leads to internal recipients only, that `through: sender` finds no mailbox.
 */

/* What would be slow for many patterns is left out when it has been done so often. */
enum {
	SENDER_TRIES_MAX = 10000000, /* a pattern of `through: sender` on a mailbox */
	COMPARISONS_MAX = 20000000,  /* two routes */
};

/* One sender for certain? */
static bool is_exact(const struct conf_route *r)
{
	return !r->any_sender && sv_find_char(r->sender, '*') < 0;
}

/* Does it always lead somewhere? `sender` goes past senders without a mailbox. */
static bool always_leads(const struct conf *c, const struct conf_route *r)
{
	for (size_t i = 0; i < r->through_count; i++)
		if (!r->through[i].sender || (is_exact(r) && conf_mailbox_of(c, r->sender)))
			return true;
	return false;
}

static bool only_sender(const struct conf_route *r)
{
	return r->through_count == 1 && r->through[0].sender;
}

/* Are all recipients of the pattern internal? */
static bool pattern_is_internal(
	const struct conf *c, const struct conf_tenant *tenant, struct sv pattern)
{
	ptrdiff_t at = sv_rfind_char(pattern, '@');

	return at >= 0 && sv_find_char(sv_skip(pattern, (size_t)at), '*') < 0 &&
	       conf_is_internal(c, tenant, pattern);
}

/* Can none of its recipients be outside of the tenant (NULL: of all tenants)? */
static bool is_internal(
	const struct conf *c, const struct conf_tenant *tenant, const struct conf_route *r)
{
	bool all = !r->any_recipient;

	if (r->recipient_class == CONF_RECIPIENT_INTERNAL && (!tenant || c->tenant_count == 1))
		return true;
	for (size_t i = 0; i < r->recipient_count && all; i++)
		all = pattern_is_internal(c, tenant, r->recipients[i]);
	return all;
}

static bool covers_recipients(
	const struct conf *c, const struct conf_route *a, const struct conf_route *b)
{
	if (a->recipient_class == CONF_RECIPIENT_INTERNAL && !is_internal(c, NULL, b))
		return false;
	if (a->recipient_class == CONF_RECIPIENT_EXTERNAL &&
		b->recipient_class != CONF_RECIPIENT_EXTERNAL)
		return false;
	if (a->any_recipient)
		return true;
	for (size_t i = 0; i < b->recipient_count; i++) {
		bool hit = false;

		for (size_t k = 0; k < a->recipient_count && !hit; k++)
			hit = address_matches(a->recipients[k], b->recipients[i]);
		if (!hit)
			return false;
	}
	return !b->any_recipient;
}

static bool covers_body(const struct conf_route *a, const struct conf_route *b)
{
	if (a->size_over && b->size_over < a->size_over)
		return false;
	if (a->size_under && (!b->size_under || b->size_under > a->size_under))
		return false;
	return !a->header_name.len ||
	       (sv_eq_nocase(a->header_name, b->header_name) &&
		       sv_matches_nocase(a->header_pattern, b->header_pattern));
}

/*
 * Does `a` take all that `b` takes? A star of `b` is compared as a character, which only a star of `a`
 * takes; what that star took, it also takes in the place of whatever b's star stands for.
 */
static bool covers(const struct conf *c, const struct conf_route *a, const struct conf_route *b)
{
	if (!a->any_user && (b->any_user || !sv_eq(a->user, b->user)))
		return false;
	if (!a->any_listener && (b->any_listener || !sv_eq(a->listener, b->listener)))
		return false;
	if (!a->any_device && (b->any_device || !sv_eq(a->device, b->device)))
		return false;
	if (!a->any_sender && (b->any_sender || !address_matches(a->sender, b->sender)))
		return false;
	if (!covers_recipients(c, a, b) || !covers_body(a, b))
		return false;
	/* Senders without a mailbox go past `through: sender`. */
	return always_leads(c, a) || only_sender(b) ||
	       (is_exact(b) && conf_mailbox_of(c, b->sender));
}

/* The first above `place` that takes all that `b` takes, or NULL. */
static const struct conf_route *covered_by(
	struct conf_load *ld, const struct conf_route *place, const struct conf_route *b)
{
	const struct conf *c = ld->conf;
	const struct conf_route_scope scope = { .sender = b->any_sender ? NULL : &b->sender,
		.recipient = b->any_recipient ? NULL : &b->recipients[0],
		.user = b->user,
		.device = b->device };
	struct conf_route_scan scan = conf_route_scan_begin(c, &scope);
	const struct conf_route *a = conf_route_scan_next(&scan);

	for (; a && a < place; a = conf_route_scan_next(&scan)) {
		if (ld->comparisons++ > COMPARISONS_MAX)
			return NULL;
		if (covers(c, a, b))
			return a;
	}
	return NULL;
}

static void check_order(struct conf_load *ld)
{
	const struct conf *c = ld->conf;

	for (size_t i = 1; i < c->route_count; i++) {
		struct conf_node at = conf_node_at(c->routes[i].place);
		const struct conf_route *above = covered_by(ld, &c->routes[i], &c->routes[i]);

		if (above)
			conf_error(ld,
				&at,
				"this route can never match: the one in %s line %u takes "
				"everything first; move this one above it, or remove it",
				above->place.file,
				above->place.line);
	}
}

/* A wildcard: one of those that it stands for. */
static bool could_send(const struct conf_route *r, const struct conf_member *m)
{
	struct sv domain = sv_skip(m->name, (size_t)(sv_rfind_char(m->name, '@') + 1)),
		  pattern = sv_skip(r->sender, (size_t)(sv_rfind_char(r->sender, '@') + 1));

	if (r->any_sender || address_matches(r->sender, m->name))
		return true;
	return m->lanes[0].is_wildcard && sv_matches_nocase(pattern, domain);
}

/* Which mailbox could be the sender's? Of all, the first that is `wanted`. */
static const struct conf_member *sender_mailbox(struct conf_load *ld, const struct conf_route *r,
	bool (*wanted)(
		struct conf_load *ld, const struct conf_route *r, const struct conf_member *m))
{
	const struct conf *c = ld->conf;

	if (is_exact(r)) {
		const struct conf_member *m = conf_mailbox_of(c, r->sender);

		m = m ? m : conf_wildcard_of(c, r->sender);
		return m && wanted(ld, r, m) ? m : NULL;
	}
	for (size_t i = 0; i < c->member_count; i++)
		if (c->members[i].kind == CONF_LANE_MAILBOX && could_send(r, &c->members[i]) &&
			wanted(ld, r, &c->members[i]))
			return &c->members[i];
	return NULL;
}

/* Is it known soon which mailboxes may be the sender's? */
static bool may_try_senders(struct conf_load *ld, const struct conf_route *r)
{
	if (is_exact(r))
		return true;
	ld->sender_tries += ld->conf->member_count;
	return ld->sender_tries <= SENDER_TRIES_MAX;
}

static bool any_member(
	struct conf_load *ld, const struct conf_route *r, const struct conf_member *m)
{
	(void)ld;
	(void)r;
	(void)m;
	return true;
}

/* `through: sender` with a condition on the sender that no mailbox meets. */
void conf_check_route_sender(
	struct conf_load *ld, const struct conf_node *at, const struct conf_route *r)
{
	bool asked = false;

	for (size_t i = 0; i < r->through_count; i++)
		asked = asked || r->through[i].sender;
	if (!asked || ld->incomplete || !may_try_senders(ld, r) ||
		sender_mailbox(ld, r, any_member))
		return;
	if (r->any_sender)
		conf_error(ld,
			at,
			"through: sender means the sender's own mailbox, but there are none: add "
			"mailboxes, or name a connector");
	else
		conf_error(ld,
			at,
			"through: sender, but no mailbox has such an address, so this %s: correct "
			"the sender, or name a mailbox",
			only_sender(r) ? "route can never match" : "way is never taken");
}

static bool is_internal_only(const struct conf_member *m)
{
	bool all = true;

	for (size_t i = 0; i < m->lane_count; i++)
		all = all && provider_defaults(m->lanes[i].provider)->internal_only;
	return all;
}

/*
 * Does it refuse some of the recipients that the route sends there? Not when those outside are
 * taken by a route above `place`: `{ recipient: external, through: relay }`.
 */
static bool refuses_some(struct conf_load *ld, const struct conf_route *place,
	const struct conf_route *r, const struct conf_member *m)
{
	const struct conf *c = ld->conf;
	const struct conf_through way = { .member = m };
	struct conf_route outside = *r;

	if (!is_internal_only(m) || is_internal(c, m->tenant, r))
		return false;
	if (r->recipient_class == CONF_RECIPIENT_INTERNAL)
		return true; /* a tenant's door, and recipients of another tenant */
	outside.recipient_class = CONF_RECIPIENT_EXTERNAL;
	outside.through = &way;
	outside.through_count = 1;
	return !covered_by(ld, place, &outside) && ld->comparisons <= COMPARISONS_MAX;
}

/* The same for the mailbox of a sender: only its own mail is asked about. */
static bool refuses_some_of_its_own(
	struct conf_load *ld, const struct conf_route *r, const struct conf_member *m)
{
	struct conf_route own = *r;

	own.sender = m->name;
	own.any_sender = false;
	return refuses_some(ld, r, &own, m);
}

static void check_internal_only(struct conf_load *ld, const struct conf_route *r)
{
	struct conf_node at = conf_node_at(r->place);
	const struct conf_member *m = NULL;

	for (size_t i = 0; i < r->through_count && !m; i++) {
		const struct conf_through *t = &r->through[i];

		if (t->member)
			m = refuses_some(ld, r, r, t->member) ? t->member : NULL;
		else if (t->sender && may_try_senders(ld, r))
			m = sender_mailbox(ld, r, refuses_some_of_its_own);
	}
	if (m)
		conf_warn(ld,
			&at,
			"through: '%.*s' (%s, line %u) reaches recipients in the domains of its "
			"own tenant only, and mail for others is refused there, but this route "
			"takes others too: add recipient: internal, and a route for external",
			SV_ARG(m->name),
			provider_name(m->lanes[0].provider),
			m->place.line);
}

void conf_check_routes(struct conf_load *ld)
{
	const struct conf *c = ld->conf;

	check_order(ld);
	for (size_t i = 0; i < c->route_count; i++)
		check_internal_only(ld, &c->routes[i]);
}
