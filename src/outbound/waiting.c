/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/route.h"
#include "mail/address.h"
#include "outbound/outbound_priv.h"

#include <stdio.h>

/* What becomes of mail that waits, without an attempt: it waits on, its sender is told, it is over, it finds a route. */

/* Mail that waits for its lane: the lane's reason is its reason. */
static struct change *change_waiting(
	struct lane *l, const struct store_message *m, enum store_recipient_state state)
{
	struct change *c = change_new(l, m, m->recipients, m->recipient_count);
	const struct sched_hold_reason *why = lane_now(l).why;
	const struct sched_hold *p = park_find(l, m->sender, m->recipients[0].address);
	bool full =
		limit_set_room(
			&l->limits, flow_side(&m->recipients[0].flow), io_now(l->o->loop), 1) == 0;
	struct verdict v = cause_verdict(full   ? CAUSE_LIMIT
					 : l->c ? CAUSE_EXPIRED
						: CAUSE_NO_ROUTE);
	struct sv reply;

	why = why ? why : sched_hold_why(p);
	v.kind = VERDICT_RETRY;
	v.scope = VERDICT_SCOPE_MESSAGE;
	(void)snprintf(v.enhanced, sizeof(v.enhanced), "4.4.7");
	v.cause = why ? why->cause : v.cause;
	v.summary = why ? arena_str(&c->arena, sv_from(why->summary)) : v.summary;
	/* What the last attempt was told, where nothing holds the lane and it waits for its turn. */
	reply = why    ? sv_from(why->reply)
		: full ? SV("the limit of the mailbox or connector is used up")
		       : c->recipients[0].last_reply;
	change_set(c, state, m->recipients[0].next_at, &v, reply);
	for (size_t i = 0; i < c->count; i++)
		c->outcomes[i].next_at = c->recipients[i].next_at;
	return c;
}

void waiting_expire(struct lane *l, const struct store_message *m)
{
	struct change *c = change_waiting(l, m, STORE_RCPT_EXPIRED);

	for (size_t i = 0; i < c->count; i++)
		change_log(c, i, SV(""));
	change_tell(c);
}

void waiting_delayed(struct lane *l, const struct store_message *m, struct wall_time look_at)
{
	struct change *c = change_waiting(l, m, STORE_RCPT_QUEUED);

	for (size_t i = 0; i < c->count; i++)
		c->outcomes[i].look_at = look_at;
	change_tell(c);
}

/* The header lies in the queue: routes by a header do not match here. */
static bool no_header(void *arg, struct sv name, struct sv *out_value)
{
	(void)arg;
	(void)name;
	(void)out_value;
	return false;
}

static const struct mail_flow *routed_flow(
	struct change *c, size_t i, const struct conf_route_answer *a)
{
	const struct store_recipient *r = &c->recipients[i];
	struct mail_flow *flow = arena_alloc(&c->arena, sizeof(*flow));

	*flow = (struct mail_flow){ .class = r->flow.class, .principal = r->flow.principal };
	flow->queue = conf_queue_key(c->lane->o->conf,
		a->members,
		a->member_count,
		r->address,
		c->m.size,
		&c->arena,
		&flow->external);
	return flow;
}

/* Local mail whose recipient got no domain when the maildrop was read: no route can ever lead there. */
static bool end_without_domain(struct change *c, size_t i)
{
	const struct store_recipient *r = &c->recipients[i];
	struct store_recipient_outcome *o = &c->outcomes[i];

	if (address_at(r->address) >= 0)
		return false;
	o->state = STORE_RCPT_BOUNCED;
	o->verdict = cause_verdict(CAUSE_BAD_RECIPIENT_ADDRESS);
	o->verdict.kind = VERDICT_BOUNCE;
	(void)snprintf(o->verdict.enhanced, sizeof(o->verdict.enhanced), "5.1.3");
	o->reply = r->last_reply.len ? r->last_reply : SV("553 5.1.3 The recipient has no domain");
	change_log(c, i, SV(""));
	return true;
}

void waiting_reroute(struct lane *l, const struct store_message *m)
{
	const struct verdict none = cause_verdict(CAUSE_NO_ROUTE);
	struct change *c = change_new(l, m, m->recipients, m->recipient_count);
	struct wall_time now = outbound_due_now(l->o);
	bool bounces = false;

	/* Nobody takes it, and once its queue has a member again it has waited long enough. */
	change_set(c,
		STORE_RCPT_QUEUED,
		now,
		&none,
		SV("no route leads to a mailbox or connector: change `routes:` or use `postern "
		   "queue reroute`"));
	for (size_t i = 0; i < c->count; i++) {
		const struct conf_route_query q = { .sender = c->m.sender,
			.recipient = c->recipients[i].address,
			.user = c->m.user,
			.listener = c->m.listener,
			.device = c->m.device,
			.has_body = true,
			.size = c->m.size,
			.header = no_header };
		struct conf_route_answer a = { 0 };

		if (end_without_domain(c, i)) {
			bounces = true;
			continue;
		}
		a = conf_route_find(l->o->conf, &q);
		if (!a.member)
			continue;
		c->outcomes[i].rewrite_from = arena_sv(&c->arena, a.route->rewrite_from);
		c->outcomes[i].flow = routed_flow(c, i, &a);
		c->outcomes[i].verdict.cause = CAUSE_NONE;
		c->outcomes[i].reply = SV("");
	}
	if (bounces)
		change_tell(c);
	else
		change_write(c);
}
