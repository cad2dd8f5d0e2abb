/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/cause.h"
#include "observe/query_priv.h"
#include "observe/where.h"

#include "base/must.h"
#include "base/text.h"
#include "conf/route.h"

/* A message and its recipients for `queue list`, `queue show` and `trace`. */

json_t *observe_message_json(const struct store_message *m)
{
	json_t *o = json_object();
	char id[TEXT_ID_MAX];

	observe_json_sv(o, "id", sv_from(text_id(m->id, id)));
	/* The null sender is a value, not a missing one. */
	must(json_object_set_new(o, "sender", json_string("")) == 0);
	observe_json_sv(o, "sender", m->sender);
	observe_json_wall(o, "accepted_at", m->accepted_at);
	observe_json_wall(o, "expires_at", m->expires_at);
	observe_json_int(o, "size", m->size);
	observe_json_sv(o, "message_id", m->message_id);
	observe_json_sv(o, "subject", m->subject);
	observe_json_sv(o, "user", m->user);
	observe_json_sv(o, "client", m->client);
	observe_json_sv(o, "listener", m->listener);
	observe_json_sv(o, "device", m->device);
	observe_json_sv(o, "envid", m->envid);
	if (m->flags & STORE_MSG_BOUNCE)
		must(json_object_set_new(o, "bounce", json_true()) == 0);
	if (m->bounce_of)
		observe_json_sv(o, "bounce_of", sv_from(text_id(m->bounce_of, id)));
	return o;
}

static void hold_json(const struct observe_query *q, json_t *o, const struct store_message *m,
	const struct store_recipient *r, const struct outbound_hold *h)
{
	const struct observe_cause_facts facts = { .lane = conf_lane(q->conf, r->lane),
		.sender = m->sender };
	json_t *hold = json_object();

	observe_json_sv(hold, "scope", h->key);
	observe_json_sv(hold, "reason", h->cause);
	observe_json_wall(hold, "since", h->since);
	observe_json_wall(hold, "next_at", h->next_at);
	observe_json_sv(hold, "summary", h->summary);
	observe_cause_put(hold, h->cause, &facts);
	must(json_object_set_new(o, "hold", hold) == 0);
}

struct wall_time observe_expires_at(const struct observe_query *q, const struct store_message *m,
	const struct store_recipient *r, bool parked)
{
	struct wall_time at = m->expires_at, longer, class;

	longer = wall_add(m->accepted_at, (int64_t)conf_general(q->conf)->parked_expire_us);
	class = conf_class_end(q->conf, r->flow.class, m->accepted_at);
	at = parked && longer.us > at.us ? longer : at;
	return class.us < at.us ? class : at;
}

bool observe_recipient_put(const struct observe_query *q, json_t *o, const struct store_message *m,
	const struct store_recipient *r)
{
	struct outbound_hold hold = { .parked = false };
	bool held = observe_hold_of(q, r, m->sender, &hold);
	bool parked = r->state == STORE_RCPT_QUEUED && held && hold.parked;

	observe_json_sv(o, "recipient", r->address);
	observe_json_sv(o, "state", sv_from(store_recipient_state_name(r->state)));
	if (parked)
		must(json_object_set_new(o, "parked", json_true()) == 0);
	observe_json_sv(o, "lane", r->lane);
	if (r->flow.queue.len)
		must(json_object_set_new(o, "queue", observe_queue_json(r->flow.queue)) == 0);
	observe_json_sv(o, "pool", conf_queue_pool_name(r->flow.queue));
	observe_json_sv(o, "class", mail_class_name(r->flow.class));
	observe_json_sv(o, "principal", r->flow.principal);
	observe_json_sv(o, "rewrite_from", r->rewrite_from);
	if (r->state == STORE_RCPT_QUEUED)
		observe_json_wall(o, "next_at", r->next_at);
	observe_json_int(o, "attempts", r->attempts);
	if (r->uncertain)
		observe_json_int(o, "uncertain", r->uncertain);
	/* No row is written for a hold: what holds it is its reason, and only then what it was told last. */
	observe_json_sv(o, "reason", held ? hold.cause : r->last_cause);
	observe_json_sv(o, "reply", held && hold.reply.len ? hold.reply : r->last_reply);
	if (held)
		hold_json(q, o, m, r, &hold);
	return parked;
}
