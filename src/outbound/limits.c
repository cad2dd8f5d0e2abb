/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/limits.h"
#include "base/must.h"
#include "mail/address.h"
#include "outbound/outbound_priv.h"
#include "provider/defaults.h"
#include "sched/burst.h"

#include <stdio.h>

/* In which scopes the mail of a lane counts, and what each of them allows. */

/*
 * A part of one side. Where the limit was taken away it stops nothing, and is counted on: what leaves meanwhile counts when it comes
 * back. One that there never was is not counted.
 */
struct side {
	const char *kind; /* of the scope's key */
	struct sv name;
	enum limit_side side;
	struct limit_caps caps;
};

static void add_side(struct outbound *o, struct limit_set *set, const struct side *part)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(LIMIT_ADDRESS + 128);
	bool limits = part->caps.recipients_per_hour || part->caps.recipients_per_day;
	struct limit_scope *s;

	must(buf_printf(&key,
		     "%s:%.*s",
		     part->kind,
		     SV_ARG(sv_head(part->name, LIMIT_ADDRESS + 100))) == 0);
	s = limits ? limit_book_scope(o->book, buf_sv(&key))
		   : limit_book_known(o->book, buf_sv(&key));
	if (!s)
		return;
	limit_scope_set(s, &part->caps);
	limit_set_add(set, s, LIMIT_HOUR | LIMIT_DAY, part->side);
}

static bool counts_for(const struct conf_lane *c, enum provider_limit_id id)
{
	return provider_limit_counts(provider_limit(id), c->provider);
}

static struct sv tenant_key(const struct conf_tenant *t, struct buf *out)
{
	must(buf_printf(out, "t:%.*s", SV_ARG(t->first->name)) == 0);
	return buf_sv(out);
}

/* By Exchange's own counter; 0: it was not asked. */
static uint32_t limits_threshold(const struct outbound *o, const struct conf_tenant *t)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(LIMIT_ADDRESS);
	const struct limit_scope *s = limit_book_known(o->book, tenant_key(t, &key));

	return s ? limit_scope_observed(s)->threshold : 0;
}

uint32_t limits_ours(struct outbound *o, const struct conf_tenant *t)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(LIMIT_ADDRESS);

	return limit_scope_ours(limit_book_scope(o->book, tenant_key(t, &key)), io_now(o->loop));
}

/* 0: nobody has said how many licences it has. */
static uint32_t tenant_external(const struct outbound *o, const struct conf_tenant *t)
{
	const struct provider_tenant is = conf_tenant_is(t, io_wall(o->loop));
	const uint32_t said = limits_threshold(o, t);

	/* The licences are a guess beside that; what is written down is a wish. */
	if (said)
		return t->external_per_day && t->external_per_day < said ? t->external_per_day
									 : said;
	if (t->licences == 0 && t->external_per_day == 0 && !t->trial)
		return 0;
	return provider_tenant_external(&is);
}

static bool is_onmicrosoft(struct sv address)
{
	const struct sv suffix = SV(".onmicrosoft.com");
	struct sv domain = sv_skip(address, (size_t)(address_at(address) + 1));

	return domain.len > suffix.len &&
	       sv_eq_nocase(sv_skip(domain, domain.len - suffix.len), suffix);
}

/* Of one mailbox or connector, by its tenant's policy, or as its service has it. */
static void add_own_sides(struct outbound *o, struct limit_set *set, const struct conf_lane *c)
{
	const struct conf_limits *l = &c->limits;

	add_side(o,
		set,
		&(struct side){ "e",
			c->name,
			LIMIT_EXTERNAL,
			{ .recipients_per_hour =
					sched_share(l->external_per_hour, l->share_percent),
				.recipients_per_day =
					sched_share(l->external_per_day, l->share_percent) } });
	add_side(o,
		set,
		&(struct side){ "i",
			c->name,
			LIMIT_INTERNAL,
			{ .recipients_per_hour =
					sched_share(l->internal_per_hour, l->share_percent) } });
}

static void add_tenant(struct outbound *o, struct limit_set *set, const struct conf_lane *c)
{
	const uint64_t onmicrosoft = provider_limit(PROVIDER_LIMIT_ONMICROSOFT)->amount;

	if (counts_for(c, PROVIDER_LIMIT_TENANT_EXTERNAL))
		add_side(o,
			set,
			&(struct side){ "t",
				c->tenant->first->name,
				LIMIT_EXTERNAL,
				{ .recipients_per_day = tenant_external(o, c->tenant->first) } });
	if (c->kind == CONF_LANE_MAILBOX && is_onmicrosoft(c->name) &&
		counts_for(c, PROVIDER_LIMIT_ONMICROSOFT))
		add_side(o,
			set,
			&(struct side){ "o",
				c->tenant->first->name,
				LIMIT_EXTERNAL,
				{ .recipients_per_day = (uint32_t)onmicrosoft } });
}

/* A pool's `per_day` is what its mailboxes may send, nothing of it is kept for others: the share is taken of what the provider allows. */
static uint32_t recipients_per_day(const struct conf_lane *c)
{
	uint32_t own = sched_share(c->limits.recipients_per_day, c->limits.share_percent);
	uint32_t of_pool = c->member->pool ? c->member->pool->per_day : 0;

	return of_pool && (own == 0 || of_pool < own) ? of_pool : own;
}

static void set_own(struct limit_scope *own, const struct conf_lane *c)
{
	const struct conf_limits *minute = c->account ? c->account->limits : &c->limits;

	limit_scope_set(own,
		&(struct limit_caps){
			sched_share(minute->messages_per_minute, minute->share_percent),
			recipients_per_day(c),
			sched_share(c->limits.recipients_per_hour, c->limits.share_percent),
			sched_share(c->limits.messages_per_day, c->limits.share_percent) });
}

void limits_of(struct outbound *o, struct sv lane, const struct conf_lane *c, struct limit_set *out)
{
	struct limit_scope *own = limit_book_of_lane(o->book, lane);
	bool apart = c && c->account && !sv_eq(c->account->key, limit_scope_key(own));

	unsigned windows = apart ? LIMIT_ALL & ~(unsigned)LIMIT_MINUTE : LIMIT_ALL;

	/* Another door of the same mailbox costs nothing. */
	if (c && !provider_defaults(c->provider)->has_cost)
		windows &= ~(unsigned)LIMIT_MONTH;
	*out = (struct limit_set){ .count = 0 };
	limit_set_add(out, own, windows, LIMIT_BOTH);
	/* Of one that is gone they stay: it may come back within its windows. */
	if (!c)
		return;
	set_own(own, c);
	if (apart) {
		const struct conf_limits *minute = c->account->limits;
		struct limit_scope *account = limit_book_scope(o->book, c->account->key);

		limit_scope_set_minute(
			account, sched_share(minute->messages_per_minute, minute->share_percent));
		limit_set_add(out, account, LIMIT_MINUTE, LIMIT_BOTH);
	}
	if (c->tenant)
		add_tenant(o, out, c);
	add_own_sides(o, out, c);
}

/* The first instant of the next calendar month, in UTC as bills have it. */
static struct mono_time month_end(const struct outbound *o)
{
	struct wall_time now = io_wall(o->loop), end = now;
	struct civil_time t = wall_civil(now);
	char text[WALL_RFC3339_MAX];
	int month = t.month % 12 + 1, year = t.year + (t.month == 12);

	(void)snprintf(text, sizeof(text), "%04d-%02d-01", year, month);
	if (wall_parse(sv_from(text), &end) != 0 || end.us < now.us)
		return io_now(o->loop);
	return mono_add(io_now(o->loop), (uint64_t)(end.us - now.us));
}

void limits_set_month(const struct lane *l)
{
	uint32_t price = conf_general(l->o->conf)->hve_price_cents;
	uint64_t most;

	if (!l->c || !provider_defaults(l->c->provider)->has_cost)
		return;
	/* Of a million recipients. */
	most = price ? l->c->limits.budget_cents * UINT64_C(1000000) / price : 0;
	if (l->c->limits.budget_cents && price && most == 0)
		most = 1;
	limit_scope_set_month(l->scope,
		most < UINT32_MAX ? (uint32_t)most : UINT32_MAX - 1,
		l->month == outbound_month(l->o) ? l->delivered_month : 0,
		most ? month_end(l->o) : io_now(l->o->loop));
}

enum limit_side flow_side(const struct mail_flow *flow)
{
	return flow->external ? LIMIT_EXTERNAL : LIMIT_INTERNAL;
}

enum limit_side limits_take_side(const struct lane *l)
{
	struct mono_time now = io_now(l->o->loop);
	bool out = limit_set_room(&l->limits, LIMIT_EXTERNAL, now, 1) > 0;
	bool in = limit_set_room(&l->limits, LIMIT_INTERNAL, now, 1) > 0;

	return out == in ? LIMIT_BOTH : out ? LIMIT_EXTERNAL : LIMIT_INTERNAL;
}

/*
 * Of its own scope alone what its own connections hold ends with them. What others hold of a scope that it shares
 * nobody tells it: it looks again.
 */
struct mono_time limits_room_at(const struct lane *l, enum limit_side side)
{
	struct mono_time now = io_now(l->o->loop), at = limit_set_room_at(&l->limits, side, now);

	return limit_set_shares(&l->limits) ? mono_min(at, mono_add(now, LIMITS_LOOK_US)) : at;
}
