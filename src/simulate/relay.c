/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "simulate/simulate_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What outbound/ does with the engine's answers, without a queue on disk and without connections: a lane asks what to take, reserves,
 * sends, settles, and carries out what the verdict says.
 */
enum {
	MAILS_FIRST = 16,
	UNCERTAIN_LATER = 3,
	KEPT_HOURS = 26,
};
/* As outbound/ has it. */
#define UNCERTAIN_SETTLE_US (10 * US_PER_MIN)

static const struct sched_policy policy = {
	.retry = { US_PER_MIN, 2 * US_PER_HOUR },
	.uncertain = SCHED_UNCERTAIN_RETRY,
};
#define EXPIRE_US (4 * (int64_t)US_PER_DAY)

/* ---- mail ---- */

static struct mail *mail_at(const struct mails *m, size_t i)
{
	return &m->items[(m->head + i) & (m->cap - 1)];
}

static void mails_insert(struct mails *m, const struct mail *mail)
{
	size_t place = m->len;

	if (m->len == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : MAILS_FIRST;
		struct mail *items = xcalloc(cap, sizeof(*items));

		for (size_t i = 0; i < m->len; i++)
			items[i] = *mail_at(m, i);
		free(m->items);
		m->items = items;
		m->cap = cap;
		m->head = 0;
	}
	m->len++;
	for (; place && mail_at(m, place - 1)->due_us > mail->due_us; place--)
		*mail_at(m, place) = *mail_at(m, place - 1);
	*mail_at(m, place) = *mail;
}

static struct mail mails_pop(struct mails *m)
{
	struct mail mail = *mail_at(m, 0);

	m->head = (m->head + 1) & (m->cap - 1);
	m->len--;
	return mail;
}

static struct wall_time next_due(const struct box *b)
{
	int64_t at = b->fresh.len ? mail_at(&b->fresh, 0)->due_us : INT64_MAX;

	if (b->later.len && mail_at(&b->later, 0)->due_us < at)
		at = mail_at(&b->later, 0)->due_us;
	return (struct wall_time){ at };
}

static struct mail take_mail(struct box *b)
{
	bool later = !b->fresh.len || (b->later.len && mail_at(&b->later, 0)->due_us <
							       mail_at(&b->fresh, 0)->due_us);

	return mails_pop(later ? &b->later : &b->fresh);
}

uint64_t relay_waiting(const struct world *w)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < w->o->mailboxes; i++)
		n += w->boxes[i].fresh.len + w->boxes[i].later.len;
	return n;
}

/* ---- the ledger: what a restart finds ---- */

static void write_entry(struct ledger *l, const struct limit_entry *e)
{
	for (size_t i = l->count; i > 0; i--) {
		struct entry *old = &l->entries[i - 1];

		if (old->bucket != e->bucket)
			continue;
		old->messages += e->messages;
		old->recipients += e->recipients;
		return;
	}
	if (l->count == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 128;
		l->entries = xrealloc(l->entries, l->cap * sizeof(*l->entries));
	}
	l->entries[l->count++] = (struct entry){ e->bucket, e->messages, e->recipients };
}

static void write_entries(
	const struct world *w, struct box *b, const struct limit_entry *e, size_t count)
{
	/* Nobody will read it. */
	if (w->o->restarts == 0)
		return;
	for (size_t i = 0; i < count; i++)
		write_entry(sv_starts(e[i].scope, SV("t:")) ? &w->tenant_ledgers[b->is.tenant]
							    : &b->ledger,
			&e[i]);
}

static void read_ledger(struct world *w, const struct ledger *l, const struct limit_scope *s)
{
	for (size_t i = 0; i < l->count; i++)
		limit_book_restore(w->book,
			&(struct limit_entry){ .scope = limit_scope_key(s),
				.bucket = l->entries[i].bucket,
				.messages = l->entries[i].messages,
				.recipients = l->entries[i].recipients });
}

static void forget_before(struct ledger *l, int64_t bucket)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->count; i++)
		if (l->entries[i].bucket >= bucket)
			l->entries[kept++] = l->entries[i];
	l->count = kept;
}

void relay_forget_old(struct world *w)
{
	int64_t since = world_steady(w) / (int64_t)US_PER_MIN - KEPT_HOURS * 60;

	for (uint32_t i = 0; i < w->o->mailboxes; i++)
		forget_before(&w->boxes[i].ledger, since);
	for (uint32_t i = 0; i < w->o->tenants; i++)
		forget_before(&w->tenant_ledgers[i], since);
}

/* ---- start ---- */

static void make_key(struct box *b)
{
	(void)snprintf(b->lane_key,
		sizeof(b->lane_key),
		"%s/%s",
		b->is.by_graph ? "graph" : "submission",
		b->address);
}

static void plan_end(struct world *w, const struct box *b, struct mono_time until)
{
	if (until.us != MONO_NEVER.us)
		world_plan(w, until.us, EVENT_TRY, b->number);
}

static struct sched_lane_now push_state(struct world *w, struct box *b)
{
	const struct sched_lane_now now = sched_lane_now(b->lane, world_now(w));
	const struct sched_hold *outside = sched_lane_stops_outside(b->lane, world_now(w));
	const struct sched_taker_state state = { .is_configured = true,
		.held = now.held || now.probing,
		.probing = now.probing && !now.held,
		.external_held = outside != NULL };

	w->outside_held[b->is.tenant] = outside != NULL;
	if (now.held)
		plan_end(w, b, now.until);
	if (outside)
		plan_end(w, b, sched_hold_until(outside, world_now(w)));
	if (state.held == b->told.held && state.probing == b->told.probing &&
		state.external_held == b->told.external_held)
		return now;
	b->told = state;
	sched_taker_set(b->taker, &state);
	return now;
}

static void push_state_of_tenant(struct world *w, uint32_t tenant)
{
	for (uint32_t i = 0; i < w->o->mailboxes; i++)
		if (w->boxes[i].is.tenant == tenant)
			(void)push_state(w, &w->boxes[i]);
}

/* Ten thousand mailboxes are told only when it is another: that one of them tries, say, and the others wait for it. */
static void push_outside(struct world *w, const struct box *b)
{
	bool held = sched_lane_stops_outside(b->lane, world_now(w)) != NULL;

	if (held != w->outside_held[b->is.tenant])
		push_state_of_tenant(w, b->is.tenant);
}

static struct limit_scope *scope_of_tenant(struct world *w, uint32_t tenant)
{
	char key[24];

	(void)snprintf(key, sizeof(key), "t:%u", tenant);
	return limit_book_scope(w->book, sv_from(key));
}

/* As outbound/limits.c sets them. */
static void set_limits(struct world *w, struct box *b)
{
	struct limit_scope *own = limit_book_of_lane(w->book, sv_from(b->lane_key));

	b->limits = (struct limit_set){ .count = 0 };
	limit_set_add(&b->limits, own, LIMIT_ALL, LIMIT_BOTH);
	limit_set_add(&b->limits, scope_of_tenant(w, b->is.tenant), LIMIT_DAY, LIMIT_EXTERNAL);
	limit_scope_set(
		own, &(struct limit_caps){ b->is.messages_per_minute, b->is.recipients_per_day });
}

static void open_lane(struct world *w, struct box *b)
{
	struct sched_member *member = sched_member_get(w->order, sv_from(b->queue));
	char tenant[24];

	make_key(b);
	(void)snprintf(tenant, sizeof(tenant), "tenant%u", b->is.tenant);
	set_limits(w, b);
	b->lane = sched_lane_new(w->holds, sv_from(b->lane_key));
	sched_lane_set(b->lane, sv_from(tenant), false);
	b->taker = sched_taker_new(member, 0, b);
	b->told = (struct sched_taker_state){ .is_configured = true };
	sched_taker_set(b->taker, &b->told);
	(void)push_state(w, b);
}

static void open_flow(struct world *w, struct box *b)
{
	const struct mail_flow key = { .queue = sv_from(b->queue),
		.class = MAIL_CLASS_NORMAL,
		.principal = SV("app"),
		.external = true,
		.sender = SV("") };

	b->flow = sched_flow_get(w->order, &key);
}

static void start_tenant(struct world *w, uint32_t tenant)
{
	struct limit_scope *s = scope_of_tenant(w, tenant);
	uint32_t most = sandbox_model_limits(w->tenants[tenant])->tenant.external_per_day;

	limit_scope_set(s, &(struct limit_caps){ .recipients_per_day = most });
	read_ledger(w, &w->tenant_ledgers[tenant], s);
}

static void start_box(struct world *w, struct box *b)
{
	size_t waiting = b->fresh.len + b->later.len;

	b->open = 0;
	b->try_tick = UINT64_MAX;
	b->better = (struct sched_better){ 0 };
	open_lane(w, b);
	read_ledger(w, &b->ledger, b->limits.parts[0].scope);
	if (waiting) {
		open_flow(w, b);
		sched_flow_add(b->flow, (uint32_t)waiting, next_due(b));
	}
}

void relay_start(struct world *w)
{
	w->life++;
	w->wake_tick = UINT64_MAX;
	/* Steady time: that of the first day's clock, however that is set later. */
	w->book = limit_book_new(world_steady(w) - (int64_t)w->now_us, world_now(w));
	w->order = sched_order_new(w->o->seed);
	w->holds = sched_holds_new();
	for (uint32_t i = 0; i < w->o->tenants; i++)
		start_tenant(w, i);
	for (uint32_t i = 0; i < w->o->mailboxes; i++)
		start_box(w, &w->boxes[i]);
}

static void stop(struct world *w)
{
	sched_order_free(w->order);
	for (uint32_t i = 0; i < w->o->mailboxes; i++)
		sched_lane_free(w->boxes[i].lane);
	sched_holds_free(w->holds);
	limit_book_free(w->book);
}

/* What was under way: the store finds an open attempt, and nobody knows whether it got through. */
static void recover(struct world *w, struct attempt *a)
{
	struct box *b = &w->boxes[a->box];
	size_t count = limit_set_expect(
		&b->limits, mono_add(world_now(w), UNCERTAIN_SETTLE_US), 1, w->entries);

	write_entries(w, b, w->entries, count);
	a->mail.due_us = world_wall(w).us + (int64_t)sched_retry_pause(&policy.retry,
						    a->mail.attempts + UNCERTAIN_LATER,
						    &w->rng);
	/* Its connection is gone; the message may be counted all the same, and late. */
	b->exchange->sending--;
	a->mail.was_sent |= !a->refused;
	mails_insert(&b->later, &a->mail);
	w->today.uncertain++;
}

void relay_kill(struct world *w)
{
	/* An unused one is of no life. */
	for (uint32_t i = 0; i < w->attempt_count; i++)
		if (w->attempts[i].life == w->life)
			recover(w, &w->attempts[i]);
	stop(w);
	relay_start(w);
}

/* ---- sending ---- */

static uint32_t new_attempt(struct world *w)
{
	uint32_t n = w->attempt_unused;

	if (n) {
		w->attempt_unused = w->attempts[n - 1].next;
		return n - 1;
	}
	if (w->attempt_count == w->attempt_cap) {
		w->attempt_cap = w->attempt_cap ? w->attempt_cap * 2 : 64;
		w->attempts = xrealloc(w->attempts, w->attempt_cap * sizeof(*w->attempts));
	}
	return w->attempt_count++;
}

static void drop_attempt(struct world *w, uint32_t n)
{
	free(w->attempts[n].own);
	w->attempts[n].own = NULL;
	w->attempts[n].life = 0;
	w->attempts[n].next = w->attempt_unused;
	w->attempt_unused = n + 1;
}

static struct sched_mail mail_of(const struct box *b, const struct attempt *a)
{
	return (struct sched_mail){ .message = a->mail.id, .sender = b->name, .external = true };
}

static uint64_t delay(struct world *w)
{
	uint64_t most = w->o->delay_us_max ? w->o->delay_us_max : US_PER_S;

	return prng_below(&w->rng, most + 1);
}

static void send(struct world *w, struct box *b, bool probe)
{
	uint32_t n = new_attempt(w);
	struct attempt *a = &w->attempts[n];
	struct sched_mail mail;
	size_t count;

	*a = (struct attempt){ .box = b->number,
		.mail = take_mail(b),
		.begun = world_now(w),
		.life = w->life,
		.probe = probe };
	a->mail.attempts++;
	mail = mail_of(b, a);
	count = limit_slots_take(
		&a->slots, &b->limits, LIMIT_EXTERNAL, world_now(w), 1, w->entries);
	write_entries(w, b, w->entries, count);
	sched_lane_begin(b->lane, &mail, probe, world_now(w));
	sched_better_left(&b->better, MAIL_CLASS_NORMAL, world_now(w));
	b->open++;
	b->exchange->sending++;
	/* Counted as early as it can be, or as late. */
	if (prng_next(&w->rng) & 1)
		exchange_take(w, a);
	world_plan(w, w->now_us + delay(w) + delay(w), EVENT_REPLY, n);
	push_outside(w, b);
}

/* False: nothing more now. */
static bool send_next(struct world *w, struct box *b, const struct sched_lane_now *now)
{
	const struct limit_use use = limit_set_use(&b->limits, LIMIT_EXTERNAL, world_now(w));
	const struct sched_room room =
		sched_room_of(limit_set_room(&b->limits, LIMIT_EXTERNAL, world_now(w), 1),
			&use,
			&b->better,
			world_now(w));
	struct sched_pick pick;

	if (!sched_pick(b->taker, world_wall(w), &room, &pick)) {
		struct mono_time at = limit_set_room_at(&b->limits, LIMIT_EXTERNAL, world_now(w));

		/* What other mailboxes hold of their tenant's nobody tells this one. */
		if (at.us == MONO_NEVER.us && b->open == 0)
			at = mono_add(world_now(w), 5 * US_PER_S);
		if (room.wanted == 0 && at.us != MONO_NEVER.us)
			world_plan(w, at.us, EVENT_TRY, b->number);
		return false;
	}
	if (b->fresh.len + b->later.len == 0 || next_due(b).us > world_wall(w).us) {
		sched_took(&pick, 0, next_due(b));
		return true;
	}
	if (now->probing)
		sched_lane_take_turn(b->lane, world_now(w));
	send(w, b, now->probing);
	sched_took(&pick, 1, next_due(b));
	return true;
}

void relay_try(struct world *w, uint32_t box)
{
	struct box *b = &w->boxes[box];
	const struct sched_lane_now now = push_state(w, b);

	while (!now.held && b->open < b->is.connections &&
		!(now.probing && sched_lane_is_trying(b->lane)))
		if (!send_next(w, b, &now))
			return;
}

void relay_wake(struct world *w)
{
	struct sched_taker *t;
	struct wall_time next;

	while ((t = sched_wake(w->order, world_wall(w))))
		relay_try(w, ((struct box *)sched_taker_owner(t))->number);
	next = sched_order_next(w->order);
	if (next.us != SCHED_NEVER.us && next.us > world_wall(w).us)
		world_plan(w, (uint64_t)(next.us - w->wall_ahead_us), EVENT_WAKE, 0);
}

void relay_accept(struct world *w, uint32_t box, uint32_t count)
{
	struct box *b = &w->boxes[box];
	const struct wall_time now = world_wall(w);

	for (uint32_t i = 0; i < count; i++)
		mails_insert(&b->fresh,
			&(struct mail){
				.id = ++w->mail_count, .accepted_us = now.us, .due_us = now.us });
	open_flow(w, b);
	sched_flow_add(b->flow, count, now);
	w->today.came += count;
}

/* ---- what comes back ---- */

static void waits_again(struct world *w, struct box *b, struct mail *mail, int64_t due_us)
{
	mail->due_us = due_us;
	mails_insert(&b->later, mail);
	open_flow(w, b);
	sched_flow_add(b->flow, 1, (struct wall_time){ due_us });
}

static void carry_out(
	struct world *w, struct box *b, struct attempt *a, const struct sched_answer *answer)
{
	switch (answer->deed) {
	case SCHED_DELIVERED:
		w->today.sent++;
		w->total->duplicates += a->mail.was_sent;
		return;
	case SCHED_RETRY_AT:
		a->mail.was_sent |= a->breaks && !a->refused;
		if (a->breaks)
			w->today.uncertain++;
		else
			w->today.deferred++;
		waits_again(w, b, &a->mail, answer->next_at.us);
		return;
	case SCHED_WAIT_LANE:
		w->today.deferred++;
		waits_again(w, b, &a->mail, world_wall(w).us);
		return;
	case SCHED_HOLD:
		w->today.held++;
		return;
	case SCHED_BOUNCE:
	case SCHED_EXPIRE:
		w->today.bounced++;
		return;
	}
}

/* `b`: where they were heard of. */
static void drain_holds(struct world *w, struct box *b)
{
	struct sched_hold_event e;

	while (sched_holds_next_event(w->holds, &e))
		if (e.hold == sched_lane_own(b->lane))
			(void)push_state(w, b);
		else if (sched_hold_scope(e.hold) == SCHED_HOLD_EXTERNAL)
			push_outside(w, b);
		else if (sched_lane_shares(b->lane, e.hold))
			push_state_of_tenant(w, b->is.tenant);
}

static void settle(struct world *w, struct box *b, struct attempt *a)
{
	size_t count = a->breaks ? limit_slots_expect(&a->slots,
					   mono_add(world_now(w), UNCERTAIN_SETTLE_US),
					   w->entries)
				 : limit_slots_settle(&a->slots, world_now(w), w->entries);

	write_entries(w, b, w->entries, count);
}

static void decide(struct world *w, struct box *b, struct attempt *a)
{
	const struct answer *said = a->breaks ? &w->answers.broken : a->said;
	struct sched_part part = { .verdict = &said->verdict,
		.reply = sv_from(said->text),
		.said = SCHED_SAID_CONTENT,
		.accepted = true,
		.uncertain = a->breaks,
		.external = true,
		.attempts = a->mail.attempts };
	struct sched_attempt facts = { .lane = b->lane,
		.mail = mail_of(b, a),
		.parts = &part,
		.count = 1,
		.begun = a->begun,
		.probe = a->probe,
		.now = world_wall(w),
		.accepted_at = { a->mail.accepted_us },
		.expires_at = { a->mail.accepted_us + EXPIRE_US } };
	const struct sched_heard heard = { .verdict = &said->verdict,
		.reply = part.reply,
		.transcript = SV(""),
		.retry = &policy.retry,
		.wall = facts.now,
		.now = world_now(w),
		.rng = &w->rng };
	const struct sched_refusal refusal = { .verdict = &said->verdict,
		.said = part.said,
		.who = { .message = a->mail.id,
			.sender = b->number + 1U,
			.author = b->number + 1U,
			.content = a->mail.id,
			.recipient = a->mail.id,
			.domain = a->mail.id % 97 + 1,
			.cause = (uint64_t)said->verdict.cause,
			.at = facts.now },
		.own_author = true,
		.own_sender = true };
	struct sched_answer answer;

	if (a->refused && !a->breaks)
		part.alone = !sched_verdict_weigh(b->lane, facts.mail.sender, &refusal);
	answer = sched_attempt_answer(&facts, 0, &policy, &w->rng);
	if (sched_attempt_spread(&facts, &heard))
		(void)sched_hold_set(sched_lane_own(b->lane), &heard);
	drain_holds(w, b);
	carry_out(w, b, a, &answer);
}

void relay_reply(struct world *w, uint32_t attempt)
{
	struct attempt *a = &w->attempts[attempt];
	struct box *b = &w->boxes[a->box];

	if (!a->counted)
		exchange_take(w, a);
	/* Of a relay that was killed: its store has the message back. */
	if (a->life != w->life) {
		drop_attempt(w, attempt);
		return;
	}
	b->exchange->sending--;
	b->open--;
	settle(w, b, a);
	decide(w, b, a);
	drop_attempt(w, attempt);
	relay_try(w, b->number);
}

void relay_change_doors(struct world *w)
{
	for (uint32_t i = 0; i < w->o->mailboxes; i++) {
		struct box *b = &w->boxes[i];

		/* As a reload does: another lane of the same member. What is under way is no probe of that. */
		sched_taker_free(b->taker);
		sched_lane_free(b->lane);
		b->is.by_graph = !b->is.by_graph;
		open_lane(w, b);
	}
	for (uint32_t i = 0; i < w->attempt_count; i++)
		w->attempts[i].probe = false;
}
