/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/simulate.h"

#include "base/must.h"
#include "simulate/simulate_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BATCH_USUAL = 10,
	WORK_BEGINS = 8, /* of the people's clock */
	WORK_HOURS = 10,
	CLOCK_STEP_MINUTES = 60,
	SHIFT_HOUR = 2,
};

const char *simulate_limit_name(enum simulate_limit limit)
{
	static const enum sandbox_limit limits[] = {
		SANDBOX_LIMIT_MINUTE, SANDBOX_LIMIT_DAY, SANDBOX_LIMIT_EXTERNAL
	};

	static_assert(COUNT_OF(limits) == SIMULATE_LIMIT_COUNT, "one for each");
	return sandbox_limit_name(limits[limit]);
}

/* ---- time ---- */

void world_plan(struct world *w, uint64_t at_us, enum event_kind kind, uint32_t who)
{
	uint64_t tick = (at_us + TICK_US - 1) / TICK_US, now = w->now_us / TICK_US;
	uint64_t *planned = kind == EVENT_TRY    ? &w->boxes[who].try_tick
			    : kind == EVENT_WAKE ? &w->wake_tick
						 : NULL;

	/* What happens now has been looked at: a wake-up is for later. */
	if (tick <= now)
		tick = planned ? now + 1 : now;
	if (planned && *planned <= tick)
		return;
	if (planned)
		*planned = tick;
	wheel_put(w->wheel, &(struct wheel_event){ tick, kind, who });
}

/* What the people's clock is ahead of that of the first day, at midnight after `day` days. */
static int64_t shift_us(const struct simulate_options *o, uint32_t day)
{
	return o->shift_day && day >= o->shift_day ? (int64_t)o->shift_minutes * (int64_t)US_PER_MIN
						   : 0;
}

static uint64_t midnight(const struct simulate_options *o, uint32_t day)
{
	return (uint64_t)((int64_t)day * (int64_t)US_PER_DAY - shift_us(o, day));
}

/* So long after midnight by the people's clock. */
static uint64_t time_of(const struct simulate_options *o, uint32_t day, uint64_t us)
{
	uint64_t at = midnight(o, day) + us;

	if (o->shift_day == day + 1 && us >= SHIFT_HOUR * US_PER_HOUR)
		at = (uint64_t)((int64_t)at - shift_us(o, day + 1));
	return at;
}

/* ---- a day ---- */

static uint64_t violations(const struct world *w)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < w->o->tenants; i++)
		n += sandbox_model_violation_count(w->tenants[i]);
	return n;
}

static void plan_mail(struct world *w)
{
	const struct simulate_options *o = w->o;
	uint32_t batch = o->batch ? o->batch : BATCH_USUAL;
	uint32_t batches = (o->each_per_day + batch - 1) / batch;

	for (uint32_t i = 0; i < o->mailboxes; i++)
		for (uint32_t k = 0; k < batches; k++) {
			uint64_t us = WORK_BEGINS * US_PER_HOUR +
				      prng_below(&w->rng, WORK_HOURS * US_PER_HOUR);

			world_plan(w, time_of(o, w->day - 1, us), EVENT_MAIL, i * batches + k);
		}
}

static void plan_faults(struct world *w)
{
	const struct simulate_options *o = w->o;

	for (uint32_t i = 0; i < o->restarts; i++)
		world_plan(w,
			w->day_began_us + prng_below(&w->rng, 22 * US_PER_HOUR),
			EVENT_RESTART,
			0);
	for (uint32_t i = 0; i < o->clock_steps; i++)
		world_plan(
			w, w->day_began_us + prng_below(&w->rng, 22 * US_PER_HOUR), EVENT_CLOCK, 0);
	if (o->door_day == w->day)
		world_plan(w, time_of(o, w->day - 1, 12 * US_PER_HOUR), EVENT_NOON, 0);
}

static void begin_day(struct world *w)
{
	const struct simulate_options *o = w->o;
	char text[WALL_RFC3339_MAX];
	uint64_t end;

	w->day++;
	w->day_began_us = midnight(o, w->day - 1);
	end = midnight(o, w->day);
	w->violations_before = violations(w);
	w->today =
		(struct simulate_day){ .hours = (uint32_t)((end - w->day_began_us) / US_PER_HOUR) };
	(void)wall_rfc3339(wall_add(o->start, (int64_t)(w->day - 1) * (int64_t)US_PER_DAY), text);
	memcpy(w->today.date, text, sizeof(w->today.date) - 1);
	plan_mail(w);
	plan_faults(w);
	world_plan(w, end, EVENT_DAY, 0);
}

void simulate_note_use(
	struct simulate_day *d, enum simulate_limit limit, uint32_t used, uint32_t allowed)
{
	/* Limits of several mailboxes and tenants: what counts is how near one came to its own. */
	if (d->allowed[limit] &&
		(uint64_t)used * d->allowed[limit] <= (uint64_t)d->used[limit] * allowed)
		return;
	d->used[limit] = used;
	d->allowed[limit] = allowed;
}

static void end_day(struct world *w, simulate_day_fn *each, void *arg)
{
	struct simulate_day *d = &w->today, *sum = &w->total->sum;

	d->waiting = relay_waiting(w);
	d->violations = violations(w) - w->violations_before;
	memcpy(sum->date, d->date, sizeof(sum->date));
	sum->hours += d->hours;
	sum->came += d->came;
	sum->sent += d->sent;
	sum->deferred += d->deferred;
	sum->uncertain += d->uncertain;
	sum->bounced += d->bounced;
	sum->held += d->held;
	sum->waiting = d->waiting;
	sum->restarts += d->restarts;
	sum->violations += d->violations;
	for (unsigned i = 0; i < SIMULATE_LIMIT_COUNT; i++)
		simulate_note_use(sum, (enum simulate_limit)i, d->used[i], d->allowed[i]);
	if (each)
		each(arg, d);
	if (w->o->restarts)
		relay_forget_old(w);
}

/* ---- the world ---- */

static void make_tenants(struct world *w)
{
	const struct simulate_options *o = w->o;

	w->tenants = xcalloc(o->tenants, sizeof(*w->tenants));
	w->outside_held = xcalloc(o->tenants, sizeof(*w->outside_held));
	w->tenant_ledgers = xcalloc(o->tenants, sizeof(*w->tenant_ledgers));
	for (uint32_t i = 0; i < o->tenants; i++) {
		uint32_t own = o->mailboxes / o->tenants + (i < o->mailboxes % o->tenants);
		struct sandbox_limits *l;

		w->tenants[i] = sandbox_model_new();
		l = sandbox_model_limits(w->tenants[i]);
		l->strict = true;
		l->tenant.licences = o->licences ? o->licences : own;
		l->tenant.external_per_day = o->external_per_day;
		if (o->tenant_is)
			l->tenant = o->tenant_is[i];
		/* Once for all: the formula takes longer than a message. */
		l->tenant.external_per_day = provider_tenant_external(&l->tenant);
	}
}

static void make_boxes(struct world *w)
{
	w->boxes = xcalloc(w->o->mailboxes, sizeof(*w->boxes));
	for (uint32_t i = 0; i < w->o->mailboxes; i++) {
		struct box *b = &w->boxes[i];

		b->number = i;
		b->is = w->o->boxes ? w->o->boxes[i] : w->o->alike;
		if (!w->o->boxes)
			b->is.tenant = i % w->o->tenants;
		must(b->is.connections > 0 && b->is.tenant < w->o->tenants);
		(void)snprintf(b->address,
			sizeof(b->address),
			"m%u@t%u.example.com",
			i + 1,
			b->is.tenant + 1);
		b->name = sv_from(b->address);
		(void)snprintf(b->queue, sizeof(b->queue), "m:%.*s", SV_ARG(b->name));
		b->exchange =
			sandbox_model_mailbox(w->tenants[b->is.tenant], sv_from(b->address), true);
	}
}

static void free_world(struct world *w)
{
	for (uint32_t i = 0; i < w->o->mailboxes; i++) {
		sched_lane_free(w->boxes[i].lane);
		free(w->boxes[i].fresh.items);
		free(w->boxes[i].later.items);
		free(w->boxes[i].ledger.entries);
	}
	sched_order_free(w->order);
	sched_holds_free(w->holds);
	limit_book_free(w->book);
	for (uint32_t i = 0; i < w->o->tenants; i++)
		free(w->tenant_ledgers[i].entries);
	for (uint32_t i = 0; i < w->o->tenants; i++)
		sandbox_model_free(w->tenants[i]);
	free(w->tenant_ledgers);
	free(w->tenants);
	free(w->outside_held);
	free(w->boxes);
	for (uint32_t i = 0; i < w->attempt_count; i++)
		free(w->attempts[i].own);
	free(w->attempts);
	wheel_free(w->wheel);
}

static void set_clock(struct world *w)
{
	int64_t minutes = (int64_t)prng_below(&w->rng, 2 * CLOCK_STEP_MINUTES + 1);

	w->wall_ahead_us = w->o->start.us + (minutes - CLOCK_STEP_MINUTES) * (int64_t)US_PER_MIN;
	w->wake_tick = UINT64_MAX;
	w->today.restarts++;
}

static void accept_mail(struct world *w, uint32_t which)
{
	const struct simulate_options *o = w->o;
	uint32_t batch = o->batch ? o->batch : BATCH_USUAL;
	uint32_t batches = (o->each_per_day + batch - 1) / batch;
	uint32_t left = o->each_per_day - which % batches * batch;

	relay_accept(w, which / batches, left < batch ? left : batch);
}

static void happen(struct world *w, const struct wheel_event *e)
{
	switch ((enum event_kind)e->kind) {
	case EVENT_MAIL:
		accept_mail(w, e->who);
		return;
	case EVENT_TRY:
		w->boxes[e->who].try_tick = UINT64_MAX;
		relay_try(w, e->who);
		return;
	case EVENT_WAKE:
		w->wake_tick = UINT64_MAX;
		return;
	case EVENT_REPLY:
		relay_reply(w, e->who);
		return;
	case EVENT_NOON:
		relay_change_doors(w);
		return;
	case EVENT_RESTART:
		w->today.restarts++;
		relay_kill(w);
		return;
	case EVENT_CLOCK:
		set_clock(w);
		return;
	case EVENT_DAY:
		return;
	}
}

static void tell_first_violation(struct world *w)
{
	for (uint32_t i = 0; i < w->o->tenants; i++) {
		const struct sandbox_violation *v;

		if (w->total->first_violation[0] ||
			sandbox_model_violation_count(w->tenants[i]) == 0)
			continue;
		v = sandbox_model_violation(w->tenants[i], 0);
		(void)snprintf(w->total->first_violation,
			sizeof(w->total->first_violation),
			"%s of %s on day %u: %u of %u",
			v->limit,
			v->mailbox,
			(unsigned)(v->at_us / US_PER_DAY) + 1,
			v->used,
			v->allowed);
	}
}

void simulate_run(const struct simulate_options *o, simulate_day_fn *each, void *arg,
	struct simulate_total *out)
{
	struct world w = { .o = o, .total = out, .wall_ahead_us = o->start.us };
	struct wheel_event e;

	must(o->days > 0 && o->mailboxes > 0 && o->tenants > 0 && o->each_per_day > 0);
	*out = (struct simulate_total){ 0 };
	prng_seed(&w.rng, o->seed);
	answers_load(&w.answers);
	w.wheel = wheel_new();
	make_tenants(&w);
	make_boxes(&w);
	relay_start(&w);
	begin_day(&w);
	while (wheel_take(w.wheel, &e)) {
		w.now_us = e.tick * TICK_US;
		happen(&w, &e);
		if (e.kind == EVENT_DAY) {
			end_day(&w, each, arg);
			if (w.day == o->days)
				break;
			begin_day(&w);
		}
		if (!wheel_has_more(w.wheel))
			relay_wake(&w);
	}
	tell_first_violation(&w);
	free_world(&w);
}
