/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/order.h"

#include "base/buf.h"
#include "base/must.h"
#include "base/number.h"
#include "base/text.h"
#include "sched/order_priv.h"

#include <stdlib.h>

enum {
	KEY_HEAD_MAX = 40, /* of a flow's text: what stands before and between its names */
};

struct sched_flow {
	struct sched_order *order;
	struct mail_flow key; /* into `text` */
	char *text;
	struct sched_lot *lot;
	struct list of_lot, empty;
	uint64_t waiting;
	uint64_t hot;           /* of these: due, as far as is known */
	uint32_t picks;         /* under way: each takes one recipient or more of the hot ones */
	struct wall_time due;   /* of the first of the hot ones */
	struct heap_node timer; /* the first of the others: then all that waits may be due */
	/* What was added later than the pick `unseen_since`: takes up to that one may not have seen it. */
	uint64_t unseen, unseen_since;
	struct wall_time unseen_due;
	bool is_in_doubt; /* `waiting` may be too small: takes have ended in another order than they looked */
	uint64_t heard; /* of the last pick whose take has told what is left */
	struct sched_turn turn;
	struct sched_taker *stands_at; /* with what is due; NULL: nowhere */
};

static struct wall_time time_of(const struct heap_node *node)
{
	return (struct wall_time){ (int64_t)(node->key ^ (UINT64_C(1) << 63)) };
}

static struct wall_time earlier(struct wall_time a, struct wall_time b)
{
	return a.us < b.us ? a : b;
}

/* ---- takers that should ask ---- */

static const struct sched_taker_state *state_of(const struct sched_taker *t)
{
	return sched_door_state(t->door);
}

bool sched_taker_may_ask(const struct sched_taker *t)
{
	const struct sched_taker_state *s = state_of(t);

	return s->is_configured && (!s->held || s->probing);
}

static bool may_external(const struct sched_taker *t)
{
	return !state_of(t)->external_held && !state_of(t)->external_full;
}

static bool may_internal(const struct sched_taker *t)
{
	return !state_of(t)->internal_full;
}

static bool may_take(const struct sched_taker *t, bool external)
{
	return sched_taker_may_ask(t) && (external ? may_external(t) : may_internal(t));
}

void sched_taker_wake(struct sched_taker *t)
{
	if (t->pool && !t->order->ends)
		sched_pool_touch(t->pool);
	if (t->pool || t->is_awake)
		return;
	t->is_awake = true;
	list_append(&t->order->wakes, &t->wake);
}

static void sleep_again(struct sched_taker *t)
{
	t->is_awake = false;
	list_remove(&t->wake);
}

/* ---- a flow, after any change ---- */

static bool has_due(const struct sched_flow *f)
{
	return f->hot > f->picks;
}

/* Whoever takes of this flow, or may try to while others take it. */
static void wake_for(struct sched_flow *f, struct sched_taker *t)
{
	if (t && may_take(t, f->key.external))
		sched_taker_wake(t);
	if (t && t->pool)
		sched_pool_wake_probes(t->pool, f->key.external);
	for (struct sched_door *d = sched_lot_passed(f->lot, NULL); d;
		d = sched_lot_passed(f->lot, d)) {
		struct sched_taker *passed = sched_door_taker(d);

		if (passed->pool)
			sched_pool_wake_probes(passed->pool, f->key.external);
		else if (state_of(passed)->probing && may_take(passed, f->key.external))
			sched_taker_wake(passed);
	}
}

static struct sched_turns *turns_of(struct sched_taker *t, const struct sched_flow *f)
{
	struct sched_turns **turns = sched_lot_is_bond(f->lot) ? &t->bound : &t->turns;

	if (!*turns)
		*turns = sched_turns_new(t->order->seed, &t->order->turns);
	return *turns;
}

/* Where it stands, if anything of it is due and its sender is not held. */
static void flow_stand(struct sched_flow *f)
{
	struct sched_door *d = sched_lot_door(f->lot);
	struct sched_taker *t =
		d && has_due(f) && !sched_lot_is_stopped(f->lot) ? sched_door_taker(d) : NULL;
	struct sched_taker *before = f->stands_at;

	f->stands_at = t;
	if (t && t == before) {
		sched_turn_set(&f->turn, f->due, f->hot - f->picks);
		return;
	}
	sched_turn_leave(&f->turn);
	if (t)
		sched_turn_enter(turns_of(t, f), &f->turn, &f->key, f->due, f->hot - f->picks);
	if (sched_lot_is_bond(f->lot) && before)
		sched_bound_changed(before);
	if (sched_lot_is_bond(f->lot) && t)
		sched_bound_changed(t);
	if (has_due(f))
		wake_for(f, t);
}

static void flow_free(struct sched_flow *f)
{
	struct sched_order *o = f->order;

	heap_remove(&o->timers, &f->timer);
	list_remove(&f->empty);
	list_remove(&f->of_lot);
	if (list_empty(sched_lot_flows(f->lot)))
		sched_lot_free(f->lot);
	(void)htable_take(&o->flows, sv_from(f->text));
	free(f->text);
	free(f);
}

static void flow_settle(struct sched_flow *f)
{
	struct sched_order *o = f->order;
	bool is_empty = f->waiting == 0 && f->picks == 0;

	if (f->waiting == 0)
		heap_remove(&o->timers, &f->timer);
	flow_stand(f);
	if (is_empty == !list_empty(&f->empty))
		return;
	list_remove(&f->empty);
	if (is_empty)
		list_append(&o->empty, &f->empty);
	o->empty_count = is_empty ? o->empty_count + 1 : o->empty_count - 1;
}

/* Those of lots that stand elsewhere now. */
void sched_order_moved(struct sched_order *o)
{
	struct sched_lot *lot;

	while ((lot = sched_queues_moved(o->queues)) != NULL)
		list_each (at, sched_lot_flows(lot)) {
			struct sched_flow *f = list_entry(at, struct sched_flow, of_lot);

			flow_settle(f);
			/* Where it stands still, another may try it now. */
			if (has_due(f))
				wake_for(f, f->stands_at);
		}
}

/* In doubt about what has left already one stays, for a take to find out. */
static uint64_t less(const struct sched_flow *f, uint64_t n, uint64_t left)
{
	return u64_max(n - u64_min(n, left), u64_min(n, f->is_in_doubt));
}

/* So many more are due, the first of them then. */
static void heat(struct sched_flow *f, uint64_t recipients, struct wall_time due)
{
	f->due = f->hot ? earlier(f->due, due) : due;
	f->hot = u64_min(f->hot + recipients, f->waiting);
}

static void set_timer(struct sched_flow *f, struct wall_time at)
{
	if (at.us == SCHED_NEVER.us)
		heap_remove(&f->order->timers, &f->timer);
	else
		heap_update(&f->order->timers, &f->timer, sched_due_key(at));
}

static struct wall_time timer_of(const struct sched_flow *f)
{
	return heap_holds(&f->timer) ? time_of(&f->timer) : SCHED_NEVER;
}

static void fire(struct sched_order *o, struct wall_time now)
{
	struct heap_node *node;

	o->now = now;
	while ((node = heap_first(&o->timers)) != NULL && time_of(node).us <= now.us) {
		struct sched_flow *f = CONTAINER_OF(node, struct sched_flow, timer);

		heap_remove(&o->timers, node);
		heat(f, f->waiting, time_of(node));
		flow_settle(f);
	}
}

/* ---- order, members, takers ---- */

struct sched_order *sched_order_new(uint64_t seed)
{
	struct sched_order *o = xcalloc(1, sizeof(*o));

	o->seed = o->flows.seed = seed;
	o->queues = sched_queues_new(seed, o);
	o->all_pools = sched_pools_new(seed);
	o->pools.seed = seed;
	o->now.us = INT64_MIN;
	list_init(&o->takers);
	list_init(&o->turns);
	list_init(&o->wakes);
	list_init(&o->empty);
	return o;
}

void sched_order_free(struct sched_order *o)
{
	if (!o)
		return;
	o->ends = true;
	list_each_safe (at, after, &o->takers)
		sched_taker_free(list_entry(at, struct sched_taker, of_order));
	htable_each (&o->flows, slot) {
		struct sched_flow *f = slot->value;

		list_remove(&f->of_lot);
		if (list_empty(sched_lot_flows(f->lot)))
			sched_lot_free(f->lot);
		free(f->text);
		free(f);
	}
	htable_deinit(&o->flows);
	sched_turns_free_home(&o->turns);
	heap_deinit(&o->timers);
	htable_deinit(&o->pools);
	sched_queues_free(o->queues);
	sched_pools_free(o->all_pools);
	free(o);
}

struct sched_member *sched_member_get(struct sched_order *o, struct sv key)
{
	return sched_queues_member(o->queues, key);
}

bool sched_member_has_mail(const struct sched_member *m)
{
	for (struct sched_lot *lot = sched_member_lot(m, NULL); lot; lot = sched_member_lot(m, lot))
		list_each (at, sched_lot_flows(lot)) {
			const struct sched_flow *f = list_entry(at, struct sched_flow, of_lot);

			if (f->waiting > 0 || f->picks > 0)
				return true;
		}
	return false;
}

struct sched_taker *sched_taker_new(struct sched_member *m, uint32_t rank, void *owner)
{
	struct sched_taker *t = xcalloc(1, sizeof(*t));

	t->order = sched_member_order(m);
	t->owner = owner;
	t->member = m;
	t->door = sched_door_new(m, rank, t);
	list_init(&t->wake);
	list_init(&t->of_order);
	list_append(&t->order->takers, &t->of_order);
	return t;
}

void sched_taker_free(struct sched_taker *t)
{
	if (!t)
		return;
	sched_door_free(t->door);
	sched_order_moved(t->order);
	sched_order_tell_pool(t->order, t->member);
	list_remove(&t->wake);
	list_remove(&t->of_order);
	sched_turns_free(t->turns);
	sched_turns_free(t->bound);
	free(t);
}

void *sched_taker_owner(const struct sched_taker *t)
{
	return t->owner;
}

const struct sched_taker_state *sched_taker_state(const struct sched_taker *t)
{
	return state_of(t);
}

void sched_sender_set(struct sched_taker *t, struct sv sender, bool held)
{
	sched_door_hold(t->door, sender, held);
	sched_order_moved(t->order);
}

/* A flow that goes by another taker, and that this one may try meanwhile. */
static struct sched_flow *flow_of_turn(struct sched_turn *turn)
{
	return turn ? CONTAINER_OF(turn, struct sched_flow, turn) : NULL;
}

static struct sched_flow *passed_by(const struct sched_door *d, const struct sched_turn_rule *rule)
{
	for (struct sched_lot *lot = sched_door_passed(d, NULL); lot;
		lot = sched_door_passed(d, lot))
		list_each (at, sched_lot_flows(lot)) {
			struct sched_flow *f = list_entry(at, struct sched_flow, of_lot);

			if (has_due(f) && rule->class[f->key.class] &&
				(f->key.external ? rule->external : rule->internal))
				return f;
		}
	return NULL;
}

static struct sched_flow *passed_flow(
	const struct sched_taker *t, const struct sched_turn_rule *rule)
{
	const struct sched_seat *seat = sched_member_seat(t->member);
	struct sched_flow *f;

	if (!state_of(t)->probing)
		return NULL;
	f = passed_by(t->door, rule);
	if (f || !seat)
		return f;
	f = flow_of_turn(sched_pool_probe_turn(t, rule));
	return f ? f : passed_by(sched_pool_front(sched_seat_pool(seat))->door, rule);
}

static struct sched_turn_rule rule_of(const struct sched_taker *t, enum mail_class worst)
{
	struct sched_turn_rule rule = { .external = may_external(t), .internal = may_internal(t) };

	for (unsigned i = 0; i <= worst; i++)
		rule.class[i] = true;
	return rule;
}

static uint64_t due_of(const struct sched_taker *t, bool external)
{
	return t->turns ? sched_turns_due(t->turns, external) : 0;
}

static bool has_work(const struct sched_taker *t)
{
	const struct sched_turn_rule all = rule_of(t, MAIL_CLASS_BULK);

	return (all.internal && due_of(t, false) > 0) || (all.external && due_of(t, true) > 0) ||
	       sched_pool_due_of(t, &all) > 0 || sched_bound_due(t, &all) > 0 ||
	       passed_flow(t, &all) != NULL;
}

void sched_taker_rank(struct sched_taker *t, uint32_t rank)
{
	sched_door_rank(t->door, rank);
	sched_order_moved(t->order);
	sched_order_tell_pool(t->order, t->member);
}

bool sched_taker_set(struct sched_taker *t, const struct sched_taker_state *s)
{
	if (memcmp(state_of(t), s, sizeof(*s)) == 0)
		return false;
	sched_door_set(t->door, s);
	sched_order_moved(t->order);
	sched_order_tell_pool(t->order, t->member);
	if (!sched_taker_may_ask(t))
		sleep_again(t);
	else if (has_work(t))
		sched_taker_wake(t);
	return true;
}

struct sched_taker *sched_wake(struct sched_order *o, struct wall_time now)
{
	fire(o, now);
	sched_pools_serve(o, now);
	while (!list_empty(&o->wakes)) {
		struct sched_taker *t = list_entry(o->wakes.next, struct sched_taker, wake);

		list_remove(&t->wake);
		if (sched_taker_may_ask(t) && has_work(t))
			return t;
		/* Somebody else has taken it, or it is held meanwhile. */
		t->is_awake = false;
	}
	return NULL;
}

void sched_taker_watch(struct sched_taker *t)
{
	sleep_again(t);
}

struct wall_time sched_order_next(const struct sched_order *o)
{
	const struct heap_node *first = heap_first(&o->timers);

	return earlier(first ? time_of(first) : SCHED_NEVER, sched_pools_next(o->all_pools));
}

/* ---- flows ---- */

/*
 * What tells flows apart, in one text: `out` has the same key as views of it. No address and no queue's key has a line's end where it
 * would make two of them equal.
 */
static void write_key(struct buf *b, const struct mail_flow *key)
{
	char head[2 + TEXT_COUNT_MAX] = { (char)('a' + (int)key->class),
		key->external ? 'e' : 'i' };
	char *end = text_digits(key->principal.len, head + 2);

	*end++ = ':';
	must(buf_append(b, (struct sv){ head, (size_t)(end - head) }) == 0);
	must(buf_append(b, key->principal) == 0);
	must(buf_append(b, key->sender) == 0);
	must(buf_append_char(b, '\n') == 0);
	must(buf_append(b, key->queue) == 0);
}

/* The same key, as views into that text. */
static struct mail_flow views_of(const char *text, const struct mail_flow *key)
{
	struct sv rest = sv_from(text), head;
	struct mail_flow out = { .class = key->class, .external = key->external };

	(void)sv_cut_char(&rest, ':', &head);
	out.principal = sv_head(rest, key->principal.len);
	rest = sv_skip(rest, key->principal.len);
	out.sender = sv_head(rest, key->sender.len);
	out.queue = sv_skip(rest, key->sender.len + 1);
	return out;
}

static void forget_empty(struct sched_order *o)
{
	list_each_safe (at, after, &o->empty) {
		if (o->empty_count <= SCHED_FLOWS_EMPTY)
			break;
		o->empty_count--;
		flow_free(list_entry(at, struct sched_flow, empty));
	}
}

static struct sched_flow *flow_new(
	struct sched_order *o, const struct mail_flow *key, struct sv text)
{
	struct sched_flow *f = xcalloc(1, sizeof(*f));

	f->order = o;
	f->text = sv_dup(text);
	f->key = views_of(f->text, key);
	f->unseen_due = SCHED_NEVER;
	f->lot = sched_lot_get(o->queues, &f->key);
	list_init(&f->of_lot);
	list_init(&f->empty);
	list_append(sched_lot_flows(f->lot), &f->of_lot);
	htable_put(&o->flows, text, f);
	flow_settle(f);
	sched_order_moved(o);
	return f;
}

struct sched_flow *sched_flow_get(struct sched_order *o, const struct mail_flow *key)
{
	CLEANUP(buf_deinitp)
	struct buf text =
		BUF_INIT(key->queue.len + key->principal.len + key->sender.len + KEY_HEAD_MAX);
	struct sched_flow *f;

	write_key(&text, key);
	f = htable_get(&o->flows, buf_sv(&text));
	if (!f) {
		f = flow_new(o, key, buf_sv(&text));
	} else if (!list_empty(&f->empty)) {
		list_remove(&f->empty);
		list_append(&o->empty, &f->empty);
	}
	forget_empty(o);
	return f;
}

const struct mail_flow *sched_flow_key(const struct sched_flow *f)
{
	return &f->key;
}

uint64_t sched_flow_waiting(const struct sched_flow *f)
{
	return f->waiting;
}

void sched_flow_add(struct sched_flow *f, uint32_t recipients, struct wall_time due)
{
	struct sched_order *o = f->order;

	f->waiting += recipients;
	if (f->waiting == 0)
		return;
	if (f->picks > 0) {
		f->unseen += recipients;
		f->unseen_due = earlier(f->unseen_due, due);
		f->unseen_since = o->serial;
	}
	if (due.us <= o->now.us)
		heat(f, recipients ? recipients : f->waiting, due);
	else
		set_timer(f, earlier(timer_of(f), due));
	flow_settle(f);
}

void sched_flow_left(struct sched_flow *f, uint32_t recipients)
{
	f->waiting = less(f, f->waiting, recipients);
	f->hot = u64_min(f->hot, f->waiting);
	flow_settle(f);
}

static bool takes_now(const struct sched_flow *f, const struct sched_door *d)
{
	return !sched_lot_is_stopped(f->lot) && sched_door_takes(d, f->key.external);
}

struct sched_standing sched_flow_standing(const struct sched_flow *f, uint64_t before)
{
	const struct sched_door *d = sched_lot_door(f->lot);
	const struct sched_pool *stopped = sched_lot_stopping_pool(f->lot);
	struct sched_standing s = { .taker = d ? sched_door_taker(d) : NULL,
		.sender_held = sched_lot_is_stopped(f->lot) };
	const struct sched_turns *turns;

	s.takes = d && takes_now(f, d);
	turns = d ? sched_lot_is_bond(f->lot) ? s.taker->bound : s.taker->turns : NULL;
	s.ahead = turns ? sched_turns_ahead(turns, &f->key, before) : before;
	if (stopped || (d && s.taker->pool))
		s.taker = sched_pool_next(stopped ? stopped : s.taker->pool, f->key.external);
	return s;
}

struct sched_taker *sched_flow_taker(const struct sched_flow *f)
{
	const struct sched_door *d = sched_lot_door(f->lot);
	struct sched_taker *t = d && takes_now(f, d) ? sched_door_taker(d) : NULL;

	return t && t->pool ? sched_pool_next(t->pool, f->key.external) : t;
}

/* ---- what next ---- */

static uint32_t wanted_of(const struct sched_room *room, enum mail_class class)
{
	uint32_t bulk = room->wanted_bulk ? room->wanted_bulk : room->wanted_turn;

	return class == MAIL_CLASS_BULK ? bulk : room->wanted;
}

/* Where better mail waits, bulk has its turn, or a minute that such mail fills would starve it. */
static bool bulk_may(const struct sched_taker *t, const struct sched_room *room)
{
	const struct sched_turn_rule better = rule_of(t, MAIL_CLASS_BULK - 1);

	return room->wanted_bulk > 0 ||
	       (room->wanted_turn > 0 && t->turns && sched_turns_next(t->turns, &better) != NULL);
}

static struct sched_flow *next_flow(struct sched_taker *t, const struct sched_room *room)
{
	struct sched_turn_rule rule = { .external = may_external(t), .internal = may_internal(t) };
	struct sched_turn *turns[SCHED_SOURCES];
	enum sched_source source;
	struct sched_flow *f;

	for (unsigned i = 0; i < MAIL_CLASS_BULK; i++)
		rule.class[i] = room->wanted > 0;
	rule.class[MAIL_CLASS_BULK] = bulk_may(t, room);
	f = passed_flow(t, &rule);
	if (f)
		return f;
	turns[SCHED_OWN] = t->turns ? sched_turns_next(t->turns, &rule) : NULL;
	turns[SCHED_OF_POOL] = sched_pool_turn(t, &rule);
	turns[SCHED_BOUND] = sched_bound_turn(t, &rule);
	source = sched_source_next(t, turns);
	f = flow_of_turn(turns[source]);
	if (f)
		sched_source_charge(t, source, f->key.class);
	return f;
}

static bool stands_at_pool(const struct sched_flow *f)
{
	const struct sched_door *d = sched_lot_door(f->lot);

	return d && sched_door_taker(d)->pool;
}

bool sched_pick(struct sched_taker *t, struct wall_time now, const struct sched_room *room,
	struct sched_pick *out)
{
	struct sched_order *o = t->order;
	struct sched_seat *seat;
	struct sched_flow *f;

	fire(o, now);
	f = sched_taker_may_ask(t) ? next_flow(t, room) : NULL;
	seat = sched_member_seat(t->member);
	if (!f) {
		sleep_again(t);
		if (seat)
			sched_seat_decline(seat);
		return false;
	}
	if (seat && (stands_at_pool(f) || sched_lot_is_bond(f->lot)))
		sched_seat_use(seat, f->key.external, stands_at_pool(f));
	*out = (struct sched_pick){ .flow = f, .serial = ++o->serial, .at = now };
	/* Each of those under way takes one or more. */
	out->wanted = (uint32_t)u64_min(wanted_of(room, f->key.class), f->waiting - f->picks);
	out->share = f->turn.share ? sched_turn_begin(&f->turn) : NULL;
	f->picks++;
	flow_settle(f);
	return true;
}

/* Something that is due was not taken: a clock that was set back meanwhile, or a flow whose messages nobody can take now. */
#define AGAIN_US ((int64_t)US_PER_S)

/* What a take says of the rest: it knows all but what it may not have seen. */
static void learn(struct sched_flow *f, struct wall_time next_due)
{
	struct wall_time now = f->order->now, next = earlier(next_due, f->unseen_due);

	if (next_due.us == SCHED_NEVER.us)
		f->waiting = u64_min(f->waiting, f->unseen);
	f->is_in_doubt &= next.us != SCHED_NEVER.us;
	if (next_due.us > now.us) {
		f->hot = u64_min(f->hot, f->unseen);
		set_timer(f,
			f->unseen_due.us == SCHED_NEVER.us ? next_due
							   : earlier(timer_of(f), next_due));
	}
	if (next.us <= now.us) {
		f->hot = u64_max(f->hot, 1);
		f->due = next;
	}
	f->waiting = u64_max(f->waiting, next.us == SCHED_NEVER.us ? f->hot : u64_max(f->hot, 1));
}

static void take_ended(const struct sched_pick *p, uint32_t taken)
{
	must(p->flow->picks > 0);
	p->flow->picks--;
	if (p->share)
		sched_share_end(p->share, taken);
}

void sched_took(const struct sched_pick *p, uint32_t taken, struct wall_time next_due)
{
	struct sched_flow *f = p->flow;
	bool old = p->serial < f->heard;

	take_ended(p, taken);
	/* It may have taken of what has been counted off already. */
	f->is_in_doubt |= old;
	f->waiting = less(f, f->waiting, taken);
	f->hot = less(f, f->hot, taken);
	if (p->serial > f->unseen_since) {
		f->unseen = 0;
		f->unseen_due = SCHED_NEVER;
	}
	if (taken == 0 && next_due.us <= p->at.us)
		next_due.us = f->order->now.us + AGAIN_US;
	if (!old) {
		f->heard = p->serial;
		learn(f, next_due);
	}
	flow_settle(f);
}

void sched_pick_withdraw(const struct sched_pick *p)
{
	take_ended(p, 0);
	flow_settle(p->flow);
}

bool sched_may_pass(struct sched_flow *f, struct sched_taker *t, struct wall_time now)
{
	const struct sched_turn_rule rule = rule_of(t, f->key.class);

	fire(t->order, now);
	if (sched_flow_taker(f) != t || stands_at_pool(f) || sched_lot_is_bond(f->lot) ||
		sched_pool_turn(t, &rule) || sched_bound_turn(t, &rule))
		return false;
	return !t->turns || sched_turns_next(t->turns, &rule) == NULL;
}

uint64_t sched_due_count(struct sched_taker *t, struct wall_time now)
{
	const struct sched_turn_rule all = rule_of(t, MAIL_CLASS_BULK);
	const struct sched_taker_state *s = state_of(t);
	uint64_t in, out;

	fire(t->order, now);
	if (!sched_taker_may_ask(t) || !has_work(t))
		return 0;
	if (s->held)
		return 1;
	in = may_internal(t) ? due_of(t, false) : 0;
	out = may_external(t) ? due_of(t, true) : 0;
	return u64_max(1, in + out + sched_pool_due_of(t, &all) + sched_bound_due(t, &all));
}
