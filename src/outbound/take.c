/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/route.h"
#include "io/log.h"
#include "outbound/attempt_priv.h"
#include "provider/defaults.h"

#include <stdio.h>
#include <string.h>

/*
 * A message leaves its flow for a lane: the attempt is open when it arrives here. What cannot leave after all, since its sender is
 * held, or no door of the mailbox can carry it, goes back in one commit, and never left.
 */

/* ---- which messages come last ---- */

/* What caused a hold is not its probe, while another message is there. */
static void set_last(struct delivery *d)
{
	uint64_t culprits[PARK_CULPRITS_MAX], *last;
	size_t n = park_culprits(d->lane, d->take.flow, culprits);

	if (n == 0)
		return;
	last = arena_alloc(&d->arena, n * sizeof(*last));
	memcpy(last, culprits, n * sizeof(*last));
	d->take.last = last;
	d->take.last_count = n;
}

/* ---- what cannot leave ---- */

/* Why a recipient does not leave by this lane now. */
struct stop {
	const struct sched_hold *park;
	enum conf_obstacle obstacle;
};

static struct stop stop_of(const struct delivery *d, size_t i)
{
	struct lane *l = d->lane;
	const struct store_recipient *r = &d->recipients[i].r;
	struct stop s = { .park = park_find(l, d->m.sender, r->address) };

	if (!s.park)
		s.obstacle = conf_lane_obstacle(l->o->conf, l->c, r->address, d->m.size);
	return s;
}

static bool stops(const struct stop *s)
{
	return s->park || s->obstacle != CONF_OBSTACLE_NONE;
}

static void wait_for_park(struct change *c, size_t i, const struct sched_hold *park)
{
	struct store_recipient_outcome *out = &c->outcomes[i];
	struct mail_flow *flow = arena_alloc(&c->arena, sizeof(*flow));
	const struct sched_hold_reason *why = sched_hold_why(park);

	*flow = c->recipients[i].flow;
	if (sched_hold_scope(park) == SCHED_HOLD_SENDER)
		flow->sender = park_sender(&c->arena, c->m.sender);
	else
		flow->external = true;
	out->flow = flow;
	/* The order should have known: so that they can disagree without a circle. */
	if (mail_flow_eq(flow, &c->recipients[i].flow))
		out->next_at = wall_add(outbound_due_now(c->lane->o), (int64_t)US_PER_S);
	out->verdict = (struct verdict){
		.kind = VERDICT_PARK, .scope = VERDICT_SCOPE_SENDER, .cause = why->cause
	};
	out->reply = arena_sv(&c->arena, sv_from(why->reply));
}

static struct sv obstacle_words(
	const struct lane *l, uint64_t size, enum conf_obstacle obstacle, struct arena *a)
{
	char text[LIMIT_ADDRESS + 128];

	if (obstacle == CONF_OBSTACLE_INTERNAL)
		(void)snprintf(text,
			sizeof(text),
			"%.*s takes no recipient outside of its organisation",
			SV_ARG(l->key));
	else
		(void)snprintf(text,
			sizeof(text),
			"%llu bytes, and %.*s takes %llu",
			(unsigned long long)size,
			SV_ARG(l->key),
			(unsigned long long)l->c->limits.message_bytes_max);
	return arena_sv(a, sv_from(text));
}

/* Another member of its queue that can carry it; else it is refused. */
static void meet_obstacle(
	struct change *c, const struct sched_attempt *a, size_t i, enum conf_obstacle obstacle)
{
	static const enum cause causes[] = { [CONF_OBSTACLE_INTERNAL] = CAUSE_DOOR_IS_INTERNAL,
		[CONF_OBSTACLE_SIZE] = CAUSE_MESSAGE_TOO_LARGE };
	const struct mail_flow *flow =
		flow_without(c->lane, false, &c->m, &c->recipients[i], &c->arena);
	struct sv words = obstacle_words(c->lane, c->m.size, obstacle, &c->arena);
	const struct verdict v = cause_verdict(causes[obstacle]);
	struct sched_attempt one = *a;
	struct sched_part part = a->parts[i];

	if (flow) {
		c->outcomes[i].flow = flow;
		c->outcomes[i].verdict = cause_verdict(CAUSE_OTHER_DOOR);
		c->outcomes[i].reply = words;
		return;
	}
	part.verdict = &v;
	part.reply = words;
	part.said = SCHED_SAID_SESSION;
	one.parts = &part;
	one.count = 1;
	change_decide_one(c, &one, 0, i);
	change_log(c, i, SV(""));
}

/* True: not all of it can leave, and it is on its way back. */
static bool goes_back(struct delivery *d)
{
	struct stop *all = arena_alloc(&d->arena, d->count * sizeof(*all));
	struct sched_attempt facts;
	struct change *c;
	bool any = false;

	for (size_t i = 0; i < d->count; i++) {
		all[i] = stop_of(d, i);
		any = any || stops(&all[i]);
	}
	if (!any)
		return false;
	facts = delivery_facts(d);
	c = delivery_return(d);
	for (size_t i = 0; i < c->count; i++)
		if (all[i].park)
			wait_for_park(c, i, all[i].park);
		else if (all[i].obstacle != CONF_OBSTACLE_NONE)
			meet_obstacle(c, &facts, i, all[i].obstacle);
	change_tell(c);
	return true;
}

/* Its time is over: a look ends it, which is asked for here, and it is no work till then. */
static bool is_over(struct delivery *d)
{
	struct change *c;

	if (!overdue_passes_over(d->lane, &d->m))
		return false;
	c = delivery_return(d);
	for (size_t i = 0; i < c->count; i++)
		c->outcomes[i].next_at =
			wall_add(outbound_due_now(c->lane->o), 2 * (int64_t)US_PER_S);
	change_write(c);
	return true;
}

/* ---- the take ---- */

/* The queue could not say. What stands on a damaged page is passed over from now on; a take that finds nothing else goes in no circle. */
static void take_failed(struct delivery *d, int rc)
{
	struct lane *l = d->lane;

	log_line(LOG_WARN, "qmgr", "an attempt could not begin: %s", d->take.op.err.text);
	if (rc == RC_CORRUPT && ++l->damaged_takes < DAMAGED_TAKES_MAX)
		sched_pick_withdraw(&d->pick);
	else
		sched_took(&d->pick,
			0,
			wall_add(outbound_due_now(l->o),
				(int64_t)outbound_queue_pause(rc, l->read_failures++)));
}

static void no_take(struct delivery *d)
{
	struct lane *l = d->lane;
	int rc = d->take.op.rc;

	if (rc == RC_NOT_FOUND)
		sched_took(&d->pick, 0, d->take.out_next_due);
	else
		take_failed(d, rc);
	(void)limit_slots_withdraw(&d->slots, NULL);
	l->probe_taken = l->probe_taken && !d->probe;
	delivery_free(d);
}

static void take_done(struct store_op *op)
{
	struct delivery *d = CONTAINER_OF(op, struct delivery, take.op);
	struct lane *l = d->lane;
	const struct store_message *m = d->take.out_message;
	bool probe;

	l->takes_running--;
	/* Whatever becomes of it, another one may be taken. */
	lane_poke(l);
	outbound_wake(l->o);
	if (op->rc != 0) {
		no_take(d);
		return;
	}
	l->read_failures = l->damaged_takes = 0;
	delivery_set_state(d, ATTEMPT_READY);
	d->m = *m;
	d->attempt.number = d->take.out_attempt;
	delivery_set_recipients(d, m->recipients, m->recipient_count);
	limit_slots_shrink(&d->slots, (uint32_t)d->count);
	lane_room_changed(l);
	sched_took(&d->pick, (uint32_t)d->count, d->take.out_next_due);
	l->probe_taken = l->probe_taken && !d->probe;
	if (l->o->draining || !l->c || lane_now(l).held) {
		d->probe = false;
		delivery_withdraw(d, NULL, SV(""));
		return;
	}
	probe = d->probe;
	d->probe = false;
	if (is_over(d) || goes_back(d))
		return;
	flow_left_by(l, &d->recipients[0].r.flow, d->count);
	park_begin(d, probe);
	delivery_wait(d);
}

void delivery_take(struct lane *l, const struct sched_pick *pick, bool probe)
{
	struct outbound *o = l->o;
	struct delivery *d = delivery_new(l);

	d->pick = *pick;
	d->probe = probe;
	l->probe_taken = l->probe_taken || probe;
	l->takes_running++;
	d->take = (struct store_take){ .op.kind = STORE_OP_TAKE,
		.op.done = take_done,
		.flow = sched_flow_key(pick->flow),
		.lane = l->key,
		.now = outbound_due_now(o),
		.at = io_wall(o->loop),
		.wanted = pick->wanted,
		.per_domain = lane_per_domain(l),
		.apart = provider_defaults(l->c->provider)->is_http,
		.ledger = d->ledger,
		.ledger_count = limit_slots_take(&d->slots,
			&l->limits,
			flow_side(sched_flow_key(pick->flow)),
			io_now(o->loop),
			pick->wanted,
			d->ledger),
		.body = &d->body,
		.out_arena = &d->arena };
	pool_tell(l->member);
	set_last(d);
	store_submit(o->store, &d->take.op);
}
