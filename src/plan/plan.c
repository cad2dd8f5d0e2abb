/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/plan.h"

#include "base/err.h"
#include "base/must.h"
#include "base/number.h"
#include "provider/defaults.h"
#include "sched/burst.h"

#include <stdlib.h>
#include <string.h>

enum {
	MINUTES_A_DAY = 1440,
	LICENCES_MAX = 10000000,
};

/* ---- what there is ---- */

static uint32_t share_of(uint64_t amount, uint32_t percent)
{
	return sched_share((uint32_t)amount, percent);
}

struct plan_group plan_group_of(enum provider_kind door, uint32_t share_percent)
{
	const struct provider_defaults *d = provider_defaults(door);

	return (struct plan_group){ .door = door,
		.is_connector = d->is_connector,
		.count = 1,
		.messages_per_minute = sched_share(d->messages_per_minute, share_percent),
		.recipients_per_day = sched_share(d->recipients_per_day, share_percent) };
}

static uint64_t up(uint64_t amount, uint64_t by)
{
	return by ? (amount + by - 1) / by : 0;
}

/* Recipients a day of one of the group, by each of its limits; UINT64_MAX: none. */
static uint64_t by_each(const struct plan_group *g)
{
	return g->each_per_day ? g->each_per_day : UINT64_MAX;
}

static uint64_t by_day(const struct plan_group *g)
{
	return g->recipients_per_day ? g->recipients_per_day : UINT64_MAX;
}

static uint64_t a_minute(const struct plan_ask *ask, const struct plan_group *g)
{
	return g->messages_per_minute
		       ? (uint64_t)g->messages_per_minute * ask->recipients_per_message
		       : UINT64_MAX;
}

static uint64_t by_minute(const struct plan_ask *ask, const struct plan_group *g)
{
	uint64_t n = a_minute(ask, g);

	return n == UINT64_MAX ? n : n * MINUTES_A_DAY;
}

static uint64_t one_carries(const struct plan_ask *ask, const struct plan_group *g)
{
	return u64_min(u64_min(by_each(g), by_day(g)), by_minute(ask, g));
}

static bool counts_external(const struct plan_group *g)
{
	return provider_limit_counts(provider_limit(PROVIDER_LIMIT_TENANT_EXTERNAL), g->door);
}

static uint32_t mailboxes_of(const struct plan_ask *ask, uint32_t tenant)
{
	uint32_t n = 0;

	for (size_t i = 0; i < ask->group_count; i++)
		if (ask->groups[i].tenant == tenant)
			n += ask->groups[i].count;
	return n;
}

/* External recipients a day of a tenant, after the share. */
static uint32_t tenant_external(const struct plan_ask *ask, uint32_t tenant)
{
	struct provider_tenant t = ask->tenants[tenant].is;

	if (ask->tenants[tenant].licence_each)
		t.licences = mailboxes_of(ask, tenant);
	return share_of(provider_tenant_external(&t), ask->share_percent);
}

static uint32_t onmicrosoft_external(const struct plan_ask *ask)
{
	return share_of(provider_limit(PROVIDER_LIMIT_ONMICROSOFT)->amount, ask->share_percent);
}

/* Of so many external recipients a day: recipients of our mix. */
static uint64_t mix_of(const struct plan_ask *ask, uint64_t external)
{
	return ask->external_percent ? external * 100 / ask->external_percent : UINT64_MAX;
}

/* ---- lines ---- */

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t times(uint64_t n, uint64_t count)
{
	return n == UINT64_MAX ? n : n * count;
}

static uint32_t percent_of(uint64_t used, uint64_t all)
{
	uint64_t n = all == UINT64_MAX ? 0 : all ? used * 100 / all : UINT32_MAX;

	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static struct plan_line *line_of(struct plan *p, const char *name)
{
	for (size_t i = 0; i < p->line_count; i++)
		if (strcmp(p->lines[i].name, name) == 0)
			return &p->lines[i];
	must(p->line_count < PLAN_LINES_MAX);
	p->lines[p->line_count] = (struct plan_line){ .name = name };
	return &p->lines[p->line_count++];
}

/* One more that has this limit; `allowed` differs: it is not said. */
static void add_to_line(struct plan_line *l, uint64_t allowed, uint64_t carries)
{
	if (l->carries == 0)
		l->allowed = allowed;
	else if (l->allowed != allowed)
		l->allowed = 0;
	l->carries = sum(l->carries, carries);
}

static void line_of_service(
	struct plan *p, const struct provider_limit *limit, uint64_t allowed, uint64_t carries)
{
	struct plan_line *l = line_of(p, limit->name);

	l->per = provider_scope_name(limit->scope);
	l->unit = provider_unit_name(limit->unit);
	l->window_us = limit->window_us;
	add_to_line(l, allowed, carries);
}

static void lines_of_group(const struct plan_ask *ask, const struct plan_group *g, struct plan *p)
{
	struct plan_line *l;

	if (g->each_per_day) {
		l = line_of(p, "each-day");
		l->per = "mailbox";
		l->unit = "recipients";
		l->window_us = US_PER_DAY;
		add_to_line(l, g->each_per_day, times(g->each_per_day, g->count));
	}
	if (g->recipients_per_day)
		line_of_service(p,
			provider_limit_of_day(g->door),
			g->recipients_per_day,
			times(g->recipients_per_day, g->count));
	if (g->messages_per_minute)
		line_of_service(p,
			provider_limit(PROVIDER_LIMIT_MAILBOX_MINUTE),
			g->messages_per_minute,
			times(by_minute(ask, g), g->count));
}

static void lines_of_tenants(const struct plan_ask *ask, struct plan *p)
{
	for (uint32_t i = 0; i < ask->tenant_count; i++) {
		uint32_t external = tenant_external(ask, i);
		bool counts = false;

		for (size_t k = 0; k < ask->group_count; k++)
			counts |= ask->groups[k].tenant == i && counts_external(&ask->groups[k]);
		if (!counts || ask->external_percent == 0)
			continue;
		line_of_service(p,
			provider_limit(PROVIDER_LIMIT_TENANT_EXTERNAL),
			external,
			mix_of(ask, external));
		if (ask->tenants[i].onmicrosoft)
			line_of_service(p,
				provider_limit(PROVIDER_LIMIT_ONMICROSOFT),
				onmicrosoft_external(ask),
				mix_of(ask, onmicrosoft_external(ask)));
	}
}

static bool is_of_tenant(const struct plan_line *l)
{
	return strcmp(l->per, "tenant") == 0 || strcmp(l->per, "onmicrosoft senders") == 0;
}

static bool counts_in(const struct plan_group *g, const struct plan_line *l)
{
	if (is_of_tenant(l))
		return counts_external(g);
	if (strcmp(l->name, "each-day") == 0)
		return g->each_per_day > 0;
	if (strcmp(l->name, provider_limit(PROVIDER_LIMIT_MAILBOX_MINUTE)->name) == 0)
		return g->messages_per_minute > 0;
	return g->recipients_per_day > 0 &&
	       strcmp(l->name, provider_limit_of_day(g->door)->name) == 0;
}

/* What leaves past this limit: by the others' own, or without end. */
static uint64_t others_carry(const struct plan_ask *ask, const struct plan_line *l)
{
	uint64_t n = 0;

	for (size_t i = 0; i < ask->group_count; i++) {
		const struct plan_group *g = &ask->groups[i];

		if (!counts_in(g, l))
			n = sum(n, times(one_carries(ask, g), g->count));
	}
	return n;
}

static void finish_lines(const struct plan_ask *ask, struct plan *p)
{
	struct plan_line *first = NULL;
	uint64_t first_at = UINT64_MAX;

	for (size_t i = 0; i < p->line_count; i++) {
		struct plan_line *l = &p->lines[i];
		uint64_t past = others_carry(ask, l);

		l->percent = percent_of(p->a_day > past ? p->a_day - past : 0, l->carries);
		if (!is_of_tenant(l) && p->mailboxes)
			l->mailboxes = (uint32_t)u64_min(
				UINT32_MAX, up(p->a_day, l->carries / p->mailboxes));
		if (sum(l->carries, past) < first_at) {
			first = l;
			first_at = sum(l->carries, past);
		}
	}
	if (first)
		first->binds = true;
}

/* ---- how much, in what time ---- */

/* A day that begins with all windows empty, minute by minute. */
struct day {
	const struct plan_ask *ask;
	uint64_t used[PLAN_GROUPS_MAX];      /* of each group */
	uint64_t external[PLAN_TENANTS_MAX]; /* recipients of our mix, until the tenant's limit */
	const char *binds;
};

static const char *name_of_full(const struct plan_group *g)
{
	return by_each(g) <= by_day(g) ? "each-day" : provider_limit_of_day(g->door)->name;
}

static uint64_t tenant_mix(const struct plan_ask *ask, uint32_t tenant)
{
	uint64_t external = tenant_external(ask, tenant);

	if (ask->tenants[tenant].onmicrosoft)
		external = u64_min(external, onmicrosoft_external(ask));
	return mix_of(ask, external);
}

static const char *name_of_tenant_full(const struct plan_ask *ask, uint32_t tenant)
{
	bool moera = ask->tenants[tenant].onmicrosoft &&
		     onmicrosoft_external(ask) < tenant_external(ask, tenant);

	return provider_limit(moera ? PROVIDER_LIMIT_ONMICROSOFT : PROVIDER_LIMIT_TENANT_EXTERNAL)
		->name;
}

/* Recipients that leave in the next minute, of `wanted`. */
static uint64_t minute_of(struct day *d, uint64_t wanted)
{
	const struct plan_ask *ask = d->ask;
	uint64_t left = 0;

	d->binds = "";
	for (size_t i = 0; i < ask->group_count && left < wanted; i++) {
		const struct plan_group *g = &ask->groups[i];
		uint64_t day = times(u64_min(by_each(g), by_day(g)), g->count);
		uint64_t minute = times(a_minute(ask, g), g->count);
		uint64_t room = day == UINT64_MAX ? day : day - d->used[i];
		uint64_t tenant = UINT64_MAX, n;

		if (ask->tenant_count && counts_external(g) && d->external[g->tenant] != UINT64_MAX)
			tenant = d->external[g->tenant];
		n = u64_min(u64_min(wanted - left, minute), u64_min(room, tenant));
		d->used[i] += n;
		if (tenant != UINT64_MAX)
			d->external[g->tenant] -= n;
		left += n;
		if (left == wanted)
			continue;
		if (n == room)
			d->binds = name_of_full(g);
		else if (n == tenant)
			d->binds = name_of_tenant_full(ask, g->tenant);
		else
			d->binds = provider_limit(PROVIDER_LIMIT_MAILBOX_MINUTE)->name;
	}
	if (left == wanted)
		d->binds = "";
	return left;
}

struct minutes {
	uint64_t left[MINUTES_A_DAY];
	const char *binds[MINUTES_A_DAY];
	uint64_t all;
	uint32_t last; /* minutes until all had left */
};

static void run_day(const struct plan_ask *ask, uint64_t volume, struct minutes *out)
{
	struct day d = { .ask = ask };

	for (uint32_t i = 0; i < ask->tenant_count; i++)
		d.external[i] = tenant_mix(ask, i);
	*out = (struct minutes){ 0 };
	for (uint32_t m = 0; m < MINUTES_A_DAY; m++) {
		out->left[m] = minute_of(&d, volume - out->all);
		out->binds[m] = d.binds;
		out->all += out->left[m];
		if (out->left[m])
			out->last = m + 1;
	}
}

static uint64_t carries_a_day(const struct plan_ask *ask, struct minutes *scratch)
{
	const uint64_t endless = UINT64_MAX / 2;

	run_day(ask, endless, scratch);
	return scratch->all < endless ? scratch->all : UINT64_MAX;
}

/* ---- steps ---- */

static uint64_t step_for(uint64_t span_us)
{
	static const uint64_t nice[] = { US_PER_MIN,
		5 * US_PER_MIN,
		15 * US_PER_MIN,
		US_PER_HOUR,
		US_PER_DAY,
		7 * US_PER_DAY,
		30 * US_PER_DAY };

	for (size_t i = 0; i < COUNT_OF(nice); i++)
		if (up(span_us, nice[i]) <= PLAN_STEPS_MAX)
			return nice[i];
	return up(up(span_us, PLAN_STEPS_MAX), US_PER_DAY) * US_PER_DAY;
}

static const char *first_line(const struct plan *p)
{
	for (size_t i = 0; i < p->line_count; i++)
		if (p->lines[i].binds)
			return p->lines[i].name;
	return "";
}

static void steps_of_days(struct plan *p, uint64_t volume)
{
	uint64_t rest = volume;

	p->step_us = step_for((uint64_t)p->days * US_PER_DAY);
	for (uint64_t at = 0; rest && p->step_count < PLAN_STEPS_MAX; at += p->step_us) {
		uint64_t n = u64_min(rest, p->carries * (p->step_us / US_PER_DAY));

		rest -= n;
		p->steps[p->step_count++] = (struct plan_step){
			.from_us = at, .left = n, .binds = rest ? first_line(p) : ""
		};
	}
}

static void steps_of_day(struct plan *p, const struct minutes *m)
{
	uint32_t minutes = m->last, per;

	p->step_us = step_for((minutes ? minutes : 1) * US_PER_MIN);
	per = (uint32_t)(p->step_us / US_PER_MIN);
	/* One more, to show what it waits for then. */
	if (!p->finished_us && up(minutes, per) < PLAN_STEPS_MAX)
		minutes = (uint32_t)u64_min(MINUTES_A_DAY, up(minutes, per) * per + 1);
	for (uint32_t at = 0; at < minutes; at += per) {
		struct plan_step *s = &p->steps[p->step_count++];

		*s = (struct plan_step){ .from_us = at * US_PER_MIN };
		for (uint32_t k = at; k < at + per && k < MINUTES_A_DAY; k++) {
			s->left += m->left[k];
			/* Until all has left: then nothing does. */
			if (m->binds[k] && m->binds[k][0])
				s->binds = m->binds[k];
		}
		if (!s->binds)
			s->binds = "";
	}
}

static void set_time(const struct plan_ask *ask, uint64_t volume, struct plan *p)
{
	struct minutes *m = xcalloc(1, sizeof(*m));
	uint64_t full;

	p->carries = p->line_count ? carries_a_day(ask, m) : UINT64_MAX;
	full = p->carries ? (volume - 1) / p->carries : PLAN_DAYS_MAX;
	/* What comes day after day, and does not leave in a day, never ends. */
	if (full < PLAN_DAYS_MAX && (ask->per_us == 0 || p->a_day <= p->carries)) {
		run_day(ask, volume - full * p->carries, m);
		p->days = (uint32_t)full + 1;
		p->finished_us = full * US_PER_DAY + m->last * US_PER_MIN;
		p->fits = (ask->per_us == 0 && ask->in_days == 0) || p->a_day <= p->carries;
	} else {
		run_day(ask, volume, m);
	}
	if (p->days > 1)
		steps_of_days(p, volume);
	else
		steps_of_day(p, m);
	free(m);
}

/* ---- the question ---- */

static bool is_carried(const struct plan_ask *ask, uint64_t a_day)
{
	const struct plan_group *g = &ask->groups[0];

	if (times(one_carries(ask, g), g->count) < a_day)
		return false;
	return ask->tenant_count == 0 || !counts_external(g) || tenant_mix(ask, g->tenant) >= a_day;
}

/* As many as it needs. Where more of them do not help: as many as their own limits ask for. */
static void choose_count(struct plan_ask *ask, uint64_t a_day)
{
	struct plan_group *g = &ask->groups[0];
	uint64_t one = one_carries(ask, g);
	uint64_t own = one == UINT64_MAX ? 1 : up(a_day, one);
	uint32_t first = (uint32_t)u64_min(own, PLAN_MAILBOXES_MAX);

	for (uint32_t n = first; n <= PLAN_MAILBOXES_MAX; n++) {
		g->count = n;
		if (is_carried(ask, a_day))
			return;
		if (ask->tenant_count && !ask->tenants[g->tenant].licence_each)
			break;
	}
	g->count = first;
}

static uint32_t licences_for(const struct plan_ask *ask, uint64_t a_day)
{
	struct plan_ask more = *ask;
	uint32_t low = 0, high = LICENCES_MAX;

	if (ask->tenant_count != 1 || ask->tenants[0].is.trial ||
		ask->tenants[0].is.external_per_day || ask->tenants[0].onmicrosoft ||
		!counts_external(&ask->groups[0]) || tenant_mix(ask, 0) >= a_day)
		return 0;
	more.tenants[0].licence_each = false;
	while (low < high) {
		more.tenants[0].is.licences = low + (high - low) / 2;
		if (tenant_mix(&more, 0) >= a_day)
			high = more.tenants[0].is.licences;
		else
			low = more.tenants[0].is.licences + 1;
	}
	return low < LICENCES_MAX ? low : 0;
}

static int check(const struct plan_ask *ask, struct err *err)
{
	uint64_t mailboxes = 0;

	for (size_t i = 0; i < ask->group_count; i++)
		mailboxes += ask->groups[i].count;
	if (ask->volume == 0)
		return err_set(err, RC_STATE, "a volume of 0 needs no mailbox");
	if (ask->group_count == 0 || mailboxes == 0)
		return err_set(err, RC_STATE, "there is no mailbox and no connector to plan with");
	if (mailboxes > PLAN_MAILBOXES_MAX)
		return err_set(err, RC_STATE, "more than %d mailboxes", PLAN_MAILBOXES_MAX);
	return 0;
}

int plan_compute(const struct plan_ask *question, struct plan *out, struct err *err)
{
	struct plan_ask ask = *question;
	uint32_t days = ask.in_days ? ask.in_days : 1;
	int rc = check(&ask, err);

	*out = (struct plan){ 0 };
	if (rc != 0)
		return rc;
	out->a_day = ask.per_us
			     ? up(ask.volume * (US_PER_DAY / US_PER_MIN), ask.per_us / US_PER_MIN)
			     : up(ask.volume, days);
	if (!ask.fixed)
		choose_count(&ask, out->a_day);
	for (size_t i = 0; i < ask.group_count; i++) {
		out->mailboxes += ask.groups[i].count;
		lines_of_group(&ask, &ask.groups[i], out);
	}
	lines_of_tenants(&ask, out);
	finish_lines(&ask, out);
	set_time(&ask, ask.per_us ? out->a_day : ask.volume, out);
	out->licences = licences_for(&ask, out->a_day);
	return 0;
}

int plan_parse_volume(struct sv text, uint64_t *out_volume, uint64_t *out_per_us)
{
	static const struct {
		const char *name;
		uint64_t us;
	} units[] = { { "hour", US_PER_HOUR }, { "day", US_PER_DAY }, { "week", 7 * US_PER_DAY } };
	struct sv rest = text, number;

	*out_per_us = 0;
	if (!sv_cut_char(&rest, '/', &number))
		return sv_parse_u64(text, UINT32_MAX, out_volume);
	for (size_t i = 0; i < COUNT_OF(units); i++)
		if (sv_eq(rest, sv_from(units[i].name)))
			*out_per_us = units[i].us;
	if (*out_per_us == 0)
		return RC_PARSE;
	return sv_parse_u64(number, UINT32_MAX, out_volume);
}
