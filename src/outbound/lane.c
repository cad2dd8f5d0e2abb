/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"
#include "provider/defaults.h"

#include <stdlib.h>

/*
 * A lane decides what leaves next, and when it looks again. lane_pump() is the whole of it: as long as
 * there is work, room in the windows and a connection, it gives the work to the connection.
 */
#define TOKEN_ASK_FIRST_US (5 * US_PER_S)
#define TOKEN_ASK_CEILING_US US_PER_MIN

static void on_timer(void *arg);
static void pump(void *arg);

/* ---- life ---- */

struct lane *lane_get(struct outbound *o, struct sv key)
{
	struct lane *l = htable_get(&o->lanes, key);

	if (l)
		return l;
	l = xcalloc(1, sizeof(*l));
	l->o = o;
	l->key = sv_from(sv_dup(key));
	list_init(&l->fresh);
	list_init(&l->connections);
	list_init(&l->starved);
	l->next_due.us = INT64_MAX;
	io_timer_init(&l->timer, o->loop, on_timer, l);
	l->task = (struct io_task){ .run = pump, .arg = l };
	l->sched = sched_lane_new(o->holds, key);
	l->scope = limit_book_of_lane(o->book, key);
	htable_put(&o->lanes, key, l);
	if (o->lane_count == o->lane_cap) {
		o->lane_cap = o->lane_cap ? 2 * o->lane_cap : 16;
		o->all_lanes = xrealloc(o->all_lanes, o->lane_cap * sizeof(struct lane *));
	}
	o->all_lanes[o->lane_count++] = l;
	lane_configure(l);
	return l;
}

void lane_free(struct lane *l)
{
	io_timer_stop(&l->timer);
	io_task_cancel(l->o->loop, &l->task);
	list_remove(&l->starved);
	sched_lane_free(l->sched);
	lane_forget_secrets(l);
	arena_reset(&l->page);
	htable_deinit(&l->apart);
	conf_unref(l->conf);
	free((void *)(uintptr_t)l->key.ptr);
	free(l);
}

void lane_configure(struct lane *l)
{
	const struct conf_lane *c = conf_lane(l->o->conf, l->key), *before = l->c;
	struct conf *old = l->conf;

	l->conf = conf_ref(l->o->conf);
	l->c = c;
	sched_lane_set(
		l->sched, c && c->tenant ? c->tenant->name : SV(""), c && lane_needs_token(c));
	/* Of one that is gone they stay: it may come back within its windows. */
	if (c)
		limit_scope_set(l->scope,
			&(struct limit_caps){
				sched_share(c->limits.messages_per_minute, c->limits.share_percent),
				sched_share(
					c->limits.recipients_per_day, c->limits.share_percent) });
	list_remove(&l->starved);
	l->endpoint = c && !provider_defaults(c->provider)->is_http ? endpoint_get(l->o, c) : NULL;
	/* They were opened by the old settings. */
	for (struct connection *open = lane_idle_connection(l); open;
		open = lane_idle_connection(l))
		connection_quit(open);
	l->stale_serial = 0;
	lane_reload_secrets(l, before);
	conf_unref(old);
}

static uint32_t connections_max(const struct lane *l)
{
	return l->c ? sched_share_of_connections(
			      l->c->limits.connections, l->c->limits.share_percent)
		    : 0;
}

/* ---- being held ---- */

static void withdraw_fresh(struct lane *l, const struct verdict *v, struct sv reply)
{
	while (!list_empty(&l->fresh)) {
		struct delivery *d = list_entry(l->fresh.next, struct delivery, node);

		list_remove(&d->node);
		l->fresh_count--;
		delivery_withdraw(d, v, reply);
	}
}

/* The mail that a connection was opened for: it shows why it waits. */
static void tell_waiting(struct lane *l, const struct verdict *v, struct sv reply)
{
	size_t first = l->page_at + (l->recipient_at > 0);

	for (size_t i = first; !l->sweeping && !l->due_running && i < l->due.out_count; i++) {
		const struct store_message *m = &l->due.out_messages[i];
		struct change *c = change_new(l, m, m->recipients, m->recipient_count);

		change_set(c, STORE_RCPT_QUEUED, m->recipients[0].next_at, v, reply);
		change_write(c);
	}
}

/* One refused sign-in is enough: who is on the way to the door turns round. */
static void stop_opening(struct lane *l)
{
	list_each_safe (at, after, &l->connections) {
		struct connection *c = list_entry(at, struct connection, node);

		/* One that has ended says so itself, further up. */
		if (c->state < CONNECTION_IDLE && !c->ended) {
			c->ended = true;
			connection_pump(c);
		}
	}
}

static void hold(struct lane *l, const struct verdict *v, struct sv reply, struct sv transcript,
	const struct sched_retry *retry)
{
	struct sched_hold *own = sched_lane_own(l->sched);
	unsigned what = park_set(l,
		own,
		&(struct park_heard){
			.verdict = v, .reply = reply, .transcript = transcript, .retry = retry });

	if (what & SCHED_HOLD_HELD && sched_hold_parks(own, v)) {
		/* Not now: whoever puts it right in its file does so before the next try, not before this. */
		if (v->scope == VERDICT_SCOPE_MAILBOX)
			l->secrets_stale = true;
		stop_opening(l);
	}
	/* Its mail may have another door. */
	if (what && l->o->has_alternatives && sched_hold_may_leave(own))
		l->swept_at.us = 0;
	if (what & SCHED_HOLD_NEWS)
		tell_waiting(l, v, reply);
	withdraw_fresh(l, v, reply);
	if (what)
		lane_poke(l);
}

void lane_hold(struct lane *l, const struct verdict *v, struct sv reply, struct sv transcript)
{
	const struct sched_policy policy = outbound_policy(l->o);
	const struct sched_retry retry = sched_retry_after(&policy.retry, v);

	hold(l, v, reply, transcript, &retry);
}

void lane_hold_for_token(struct lane *l, const struct verdict *v, struct sv reply)
{
	/* The broker paces what is asked of the token service: the lane only asks the broker. */
	static const struct sched_retry ask = { TOKEN_ASK_FIRST_US, TOKEN_ASK_CEILING_US };

	hold(l, v, reply, SV(""), &ask);
}

/* A door opened: lanes that are held and may send elsewhere look at their mail again. */
static void look_elsewhere(struct outbound *o)
{
	if (!o->has_alternatives)
		return;
	htable_each (&o->lanes, slot) {
		struct lane *l = slot->value;
		struct sched_lane_now now = lane_now(l);

		if (l->c && now.held && sched_hold_may_leave(now.by)) {
			l->swept_at.us = 0;
			lane_poke(l);
		}
	}
}

void lane_goes_on(struct lane *l)
{
	l->moved = 0;
	look_elsewhere(l->o);
}

uint32_t outbound_month(const struct outbound *o)
{
	char text[WALL_RFC3339_MAX];
	uint32_t month = 0;

	/* "2026-11-25T..." */
	(void)wall_rfc3339(io_wall(o->loop), text);
	for (size_t i = 0; i < 7; i++)
		if (i != 4)
			month = month * 10 + (uint32_t)(text[i] - '0');
	return month;
}

void lane_count_delivered(struct lane *l, uint32_t month, uint64_t count)
{
	if (month < l->month)
		return;
	if (month > l->month)
		l->delivered_month = 0;
	l->month = month;
	l->delivered_month += count;
}

struct sched_lane_now lane_now(struct lane *l)
{
	return sched_lane_now(l->sched, io_now(l->o->loop));
}

/* ---- the page of due mail ---- */

static void page_read(struct store_op *op)
{
	struct lane *l = CONTAINER_OF(op, struct lane, due.op);

	l->due_running = false;
	l->page_at = 0;
	l->recipient_at = 0;
	l->next_due.us = INT64_MAX;
	if (op->rc != 0) {
		l->due.out_count = 0;
		l->next_due = wall_add(outbound_due_now(l->o),
			(int64_t)outbound_queue_pause(op->rc, l->read_failures++));
		log_line(LOG_WARN, "qmgr", "the queue could not be read: %s", op->err.text);
	} else {
		l->read_failures = 0;
		/* More than a page is due, or later mail is: look there after this page. */
		l->next_due = l->due.out_next_at;
	}
	lane_pump(l);
}

void lane_read_page(struct lane *l)
{
	l->due_running = true;
	arena_reset(&l->page);
	l->due.out_count = 0;
	l->due = (struct store_due){ .op.kind = STORE_OP_DUE,
		.op.done = page_read,
		.lane = l->key,
		.until = l->sweeping ? l->sweep_until : outbound_due_now(l->o),
		.after_at = l->sweeping ? l->sweep_after_at : (struct wall_time){ 0 },
		.after_id = l->sweeping ? l->sweep_after_id : 0,
		.limit = DUE_PAGE,
		.out_arena = &l->page };
	store_submit(l->o->store, &l->due.op);
}

bool lane_page_has_more(const struct lane *l)
{
	return !l->due_running && l->page_at < l->due.out_count;
}

void lane_page_skip(struct lane *l)
{
	l->page_at++;
	l->recipient_at = 0;
}

/* Mail of a lane that is not configured any more finds its new lane, or waits with the reason. */
static void reroute_page(struct lane *l)
{
	while (lane_page_has_more(l)) {
		waiting_reroute(l, &l->due.out_messages[l->page_at]);
		lane_page_skip(l);
	}
}

/* ---- what leaves next ---- */

/* What becomes of a recipient that is due. */
struct way {
	const struct sched_hold *park;
	enum door_obstacle obstacle;
	struct lane *other; /* where it can go in spite of them */
};

static struct way find_way(
	struct lane *l, const struct store_message *m, const struct store_recipient *r)
{
	struct way w = { .park = park_find(l, m->sender, r->address) };

	if (!w.park)
		w.obstacle = door_obstacle(l, m, r);
	if (w.obstacle != DOOR_OPEN || (w.park && sched_hold_may_leave(w.park)))
		w.other = door_other(l, m, r);
	return w;
}

/* Those with the same answer and the same plan go together. */
static size_t same_way(struct lane *l, const struct store_message *m,
	const struct store_recipient *first, size_t left, const struct way *way)
{
	size_t count = 1;

	for (; count < left; count++) {
		struct way w = find_way(l, m, &first[count]);

		if (w.park != way->park || w.obstacle != way->obstacle || w.other != way->other ||
			!sv_eq(first[count].rewrite_from, first->rewrite_from))
			break;
	}
	return count;
}

static struct sv address_of(const void *arg, size_t i)
{
	return ((const struct store_recipient *)arg)[i].address;
}

uint32_t lane_room(struct lane *l, const struct store_recipient *recipients, size_t count)
{
	/* All go to one address then: the domain of the others does not matter. */
	uint32_t max =
		conf_general(l->o->conf)->redirect_all.len ? 0 : l->c->limits.recipients_per_domain;

	count = sched_domain_room(count, max, address_of, recipients);
	max = l->c->limits.recipients_per_message;
	return limit_scope_room(
		l->scope, io_now(l->o->loop), (uint32_t)(max && count > max ? max : count));
}

/* A message behind this one in the page that may be the probe in its place. */
static bool others_may_probe(struct lane *l, const struct store_message *m, bool probing)
{
	bool of_sender = park_is_culprit(l, m, true);

	for (size_t i = l->page_at + 1; i < l->due.out_count; i++) {
		const struct store_message *other = &l->due.out_messages[i];
		const struct store_recipient *r = &other->recipients[0];

		if (park_is_culprit(l, other, false) || park_find(l, other->sender, r->address) ||
			door_obstacle(l, other, r) != DOOR_OPEN)
			continue;
		if (probing || (of_sender && sv_eq_nocase(other->sender, m->sender)))
			return true;
	}
	return false;
}

/* Leaves the probe to another; it is looked at again when this page is read to its end. */
static bool leaves_probe(struct lane *l, const struct store_message *m, bool probing)
{
	if (l->recipient_at > 0 || !park_is_culprit(l, m, false) ||
		!others_may_probe(l, m, probing))
		return false;
	lane_page_skip(l);
	l->next_due.us = 0;
	return true;
}

/* The next recipients of the page that may leave now; NULL: none in this page. */
static struct delivery *next_queued(struct lane *l, bool probing)
{
	while (lane_page_has_more(l)) {
		const struct store_message *m = &l->due.out_messages[l->page_at];
		const struct store_recipient *first = &m->recipients[l->recipient_at];

		if (leaves_probe(l, m, probing))
			continue;
		if (l->recipient_at == 0 && overdue_passes_over(l, m)) {
			lane_page_skip(l);
			continue;
		}
		struct way way = find_way(l, m, first);
		size_t count = same_way(l, m, first, m->recipient_count - l->recipient_at, &way);
		bool leaves = !way.park && way.obstacle == DOOR_OPEN;

		if (leaves)
			count = lane_room(l, first, count);
		if (count == 0)
			return NULL;
		if (leaves && graph_goes_apart(l, m->id))
			count = 1;
		l->recipient_at += (uint32_t)count;
		if (l->recipient_at >= m->recipient_count)
			lane_page_skip(l);
		if (leaves)
			return delivery_from_queue(l, m, first, count);
		if (way.other)
			door_move(l, m, first, count, way.other);
		else if (way.park)
			waiting_postpone(l, m, first, count, way.park);
		else
			door_refuse(l, m, first, count, way.obstacle);
	}
	return NULL;
}

static struct delivery *next_work(struct lane *l, bool probing)
{
	struct delivery *d;

	if (list_empty(&l->fresh))
		return next_queued(l, probing);
	d = list_entry(l->fresh.next, struct delivery, node);
	list_remove(&d->node);
	l->fresh_count--;
	return d;
}

uint32_t lane_ready_connections(const struct lane *l)
{
	uint32_t n = 0;

	list_each (at, &l->connections) {
		const struct connection *c = list_entry(at, struct connection, node);

		n += c->state == CONNECTION_IDLE &&
		     mono_before(io_now(l->o->loop), connection_token_until(c));
	}
	return n;
}

static bool has_due(struct lane *l)
{
	return lane_page_has_more(l) || l->next_due.us <= outbound_due_now(l->o).us;
}

struct connection *lane_idle_connection(const struct lane *l)
{
	list_each (at, &l->connections) {
		struct connection *c = list_entry(at, struct connection, node);

		if (c->state == CONNECTION_IDLE)
			return c;
	}
	return NULL;
}

/* How it stands with its connections. */
static struct sched_burst burst_of(struct lane *l, bool probing)
{
	bool has_session = false;
	struct sched_burst b = {
		.waiting = l->fresh_count +
			   (uint32_t)(l->due_running ? 0 : l->due.out_count - l->page_at),
		.more = l->due_running || l->next_due.us <= outbound_due_now(l->o).us,
		.room = limit_scope_messages(l->scope, io_now(l->o->loop)),
		.open = l->connection_count,
		.max = connections_max(l),
	};

	list_each (at, &l->connections) {
		const struct connection *c = list_entry(at, struct connection, node);

		b.handshakes += c->state < CONNECTION_IDLE;
		b.idle += c->state == CONNECTION_IDLE;
		has_session |= c->state == CONNECTION_IDLE || c->state == CONNECTION_BUSY;
	}
	/* One sign-in at a time until one is known to work: a refused one must be the only one. */
	b.one_at_a_time = probing || (l->c && l->c->sign_in != CONF_SIGN_IN_NONE && !has_session);
	b.scarce = connections_are_scarce(l);
	/* These have their slots already. */
	if (l->fresh_count && b.room < UINT32_MAX)
		b.room += l->fresh_count;
	return b;
}

bool lane_rests(struct lane *l)
{
	const struct sched_burst b = burst_of(l, false);

	return !l->c || lane_now(l).held || (sched_burst_rests(&b) && l->claims_running == 0);
}

/* Opens as many connections as the waiting work is worth. */
static void open_connections(struct lane *l, bool probing)
{
	struct outbound *o = l->o;
	struct sched_burst b;
	uint32_t wanted;

	/* They may be readable, or right, by now. */
	if (l->secrets_failed || l->secrets_stale)
		lane_load_secrets(l);
	if (l->secrets_failed || l->secrets_job || o->draining)
		return;
	b = burst_of(l, probing);
	for (wanted = sched_burst_wanted(&b); wanted > 0; wanted--) {
		if (!connections_have_room(o)) {
			connections_wait(o, l);
			return;
		}
		/* Whoever needs a token asks at once, and waits for its turn with it. */
		if (l->endpoint && !lane_needs_token(l->c) && !endpoint_has_room(l->endpoint)) {
			endpoint_wait(l->endpoint, l);
			return;
		}
		if (!connection_open(l))
			return;
	}
}

/* ---- the pump ---- */

static void set_timer(struct lane *l, const struct sched_lane_now *state)
{
	struct outbound *o = l->o;
	struct mono_time now = io_now(o->loop), at = MONO_NEVER;
	int64_t wait =
		l->next_due.us == INT64_MAX ? INT64_MAX : l->next_due.us - outbound_due_now(o).us;
	bool due = lane_page_has_more(l) || wait <= 0;

	if (state->held && l->c) {
		at = state->until;
	} else if (due && limit_scope_room(l->scope, now, 1) == 0)
		at = limit_scope_room_at(l->scope, now);
	else if (!due && wait != INT64_MAX)
		at = mono_add(now, (uint64_t)wait);
	/* An open reservation ends the wait when it settles, and says so; till then a slow look. */
	if (at.us == MONO_NEVER.us && has_due(l) && !(state->held && l->c))
		at = mono_add(now, US_PER_S);
	if (l->c)
		at = mono_min(at, elsewhere_at(l, state));
	io_timer_start(&l->timer, at);
}

/* True when the page must be read (again) first. */
static bool needs_page(struct lane *l)
{
	return !l->due_running && !lane_page_has_more(l) &&
	       l->next_due.us <= outbound_due_now(l->o).us;
}

static void withdraw_all(struct lane *l, const struct sched_lane_now *state)
{
	const struct verdict v = { .kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.cause = state->why->cause,
		.summary = state->why->summary };

	withdraw_fresh(l, &v, sv_from(state->why->reply));
}

static void send_pump(struct lane *l, bool probing)
{
	struct outbound *o = l->o;
	struct mono_time now = io_now(o->loop);

	while (!o->draining) {
		struct connection *c;
		struct delivery *d;

		if (probing && sched_lane_is_trying(l->sched))
			return;
		if (list_empty(&l->fresh) && (needs_page(l) || l->due_running)) {
			if (!l->due_running)
				lane_read_page(l);
			return;
		}
		if (list_empty(&l->fresh) &&
			(!lane_page_has_more(l) || limit_scope_room(l->scope, now, 1) == 0))
			return;
		if (probing)
			sched_lane_take_turn(l->sched, now);
		c = lane_idle_connection(l);
		if (!c) {
			open_connections(l, probing);
			return;
		}
		/* A token that ends is not used for another message. */
		if (!mono_before(now, connection_token_until(c))) {
			connection_quit(c);
			continue;
		}
		d = next_work(l, probing);
		if (!d)
			continue;
		park_begin(d, probing);
		connection_give(c, d);
	}
}

static void pump(void *arg)
{
	lane_pump(arg);
}

void lane_pump(struct lane *l)
{
	struct outbound *o = l->o;
	struct sched_lane_now state = lane_now(l);

	if (!o->started)
		return;
	if (!l->c) {
		withdraw_fresh(l, NULL, SV(""));
		if (needs_page(l) && !o->draining)
			lane_read_page(l);
		reroute_page(l);
	} else {
		if (state.held)
			withdraw_all(l, &state);
		if (!elsewhere_sweep(l, &state) && !state.held)
			/* After a hold, one message at a time until one gets through. */
			send_pump(l, state.probing);
	}
	set_timer(l, &state);
	connections_give_way(l);
}

static void on_timer(void *arg)
{
	lane_pump(arg);
}

void lane_poke(struct lane *l)
{
	io_task_post(l->o->loop, &l->task);
}

void lane_queued(struct lane *l)
{
	l->next_due.us = 0;
	l->new_mail = true;
	overdue_expect_new(l->o);
	lane_poke(l);
}
