/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"
#include "provider/limits.h"

#include <stdio.h>

/*
 * What replies say of limits: which scope one speaks of, and that what was learned there outlives a restart. It is kept beside what
 * holds mail, as "learned:minute:m:erp@contoso.com": who counts in the scope, not the lane that heard it.
 */
enum {
	KEY_MAX = LIMIT_ADDRESS + 160,
};
static const struct {
	unsigned window;
	const char *name;
} windows[] = { { LIMIT_MINUTE, "minute" },
	{ LIMIT_HOUR, "hour" },
	{ LIMIT_DAY, "day" },
	{ LIMIT_DAY_MESSAGES, "day-messages" } };

static const char *name_of(unsigned window)
{
	size_t i = 0;

	while (windows[i].window != window)
		i++;
	return windows[i].name;
}

/* ---- records ---- */

static void keep(struct outbound *o, struct limit_scope *s, unsigned window, struct sv cause,
	struct sv reply)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(KEY_MAX), text = BUF_INIT(64);
	const struct limit_learned *l = limit_scope_learned(s, window);
	struct mono_time now = io_now(o->loop);
	bool shut = mono_before(now, l->shut_till);

	must(buf_printf(&key, "learned:%s:%.*s", name_of(window), SV_ARG(limit_scope_key(s))) == 0);
	must(buf_printf(&text, "%u %u %u", l->limit, l->percent, l->failed) == 0);
	park_keep(o,
		&(struct store_park_row){ .key = buf_sv(&key),
			.cause = cause,
			.summary = buf_sv(&text),
			.reply = reply,
			.since = l->limit ? l->at : io_wall(o->loop),
			.probe_at = shut ? wall_add(io_wall(o->loop),
						   (int64_t)mono_span(now, l->shut_till))
					 : (struct wall_time){ 0 },
			.nature = VERDICT_NATURE_QUOTA },
		l->limit == 0 && !shut);
}

static bool read_number(struct sv *text, uint32_t *out)
{
	struct sv word;
	uint64_t n;

	(void)sv_cut_char(text, ' ', &word);
	if (sv_parse_u64(word, UINT32_MAX, &n) != 0)
		return false;
	*out = (uint32_t)n;
	return true;
}

/* "threshold others growth", with the instant as the wall clock had it: "observed:t:contoso". */
#define OBSERVED SV("observed:")

static void keep_observed(struct outbound *o, const struct limit_scope *s)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(KEY_MAX), text = BUF_INIT(64);
	const struct limit_observed *seen = limit_scope_observed(s);

	must(buf_printf(&key, "observed:%.*s", SV_ARG(limit_scope_key(s))) == 0);
	must(buf_printf(&text, "%u %u %u", seen->threshold, seen->others, seen->growth) == 0);
	park_keep(o,
		&(struct store_park_row){ .key = buf_sv(&key),
			.cause = sv_from(cause_name(CAUSE_LIMIT)),
			.summary = buf_sv(&text),
			.since = seen->wall,
			.nature = VERDICT_NATURE_QUOTA },
		false);
}

/* As if it were said when we began: for how long we were away nobody has asked. */
static void observed_loaded(struct outbound *o, const struct store_park_row *row)
{
	struct limit_observed seen = { .at = io_now(o->loop), .wall = row->since };
	struct sv text = row->summary;

	if (!read_number(&text, &seen.threshold) || !read_number(&text, &seen.others) ||
		!read_number(&text, &seen.growth))
		return;
	/* What others sent then counts no more. */
	if (io_wall(o->loop).us - row->since.us > (int64_t)US_PER_DAY)
		seen.others = seen.growth = 0;
	seen.previous = seen.growth;
	limit_scope_observe_again(
		limit_book_scope(o->book, sv_skip(row->key, OBSERVED.len)), &seen);
}

void limits_loaded(struct outbound *o, const struct store_park_row *row)
{
	struct limit_learned l = { .at = row->since };
	struct sv key = row->key, text = row->summary, kind, name;
	struct wall_time wall = io_wall(o->loop);

	if (sv_starts(row->key, OBSERVED))
		observed_loaded(o, row);
	if (!sv_cut_char(&key, ':', &kind) || !sv_eq(kind, SV("learned")) ||
		!sv_cut_char(&key, ':', &name) || key.len == 0 || !read_number(&text, &l.limit) ||
		!read_number(&text, &l.percent) || !read_number(&text, &l.failed))
		return;
	if (row->probe_at.us > wall.us)
		l.shut_till =
			mono_add(io_now(o->loop), (uint64_t)row->probe_at.us - (uint64_t)wall.us);
	if (l.limit == 0 && l.shut_till.us == 0) {
		park_keep(o, row, true);
		return;
	}
	for (size_t i = 0; i < COUNT_OF(windows); i++)
		if (sv_eq(name, sv_from(windows[i].name)))
			limit_scope_learn(limit_book_scope(o->book, key), windows[i].window, &l);
}

/* ---- what is heard ---- */

/* Whose limit that is, and which of its windows. NULL: nobody's that is known. */
static struct limit_scope *scope_of(
	const struct lane *l, enum provider_limit_id id, unsigned *out_window)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(KEY_MAX);
	const struct provider_limit *limit = provider_limit(id);

	*out_window = limit->window_us == US_PER_MIN ? LIMIT_MINUTE : LIMIT_DAY;
	if (limit->scope == PROVIDER_SCOPE_TENANT || limit->scope == PROVIDER_SCOPE_ONMICROSOFT) {
		if (!l->c->tenant)
			return NULL;
		must(buf_printf(&key,
			     "%c:%.*s",
			     limit->scope == PROVIDER_SCOPE_TENANT ? 't' : 'o',
			     SV_ARG(l->c->tenant->first->name)) == 0);
		return limit_book_scope(l->o->book, buf_sv(&key));
	}
	for (size_t i = 0; i < l->limits.count; i++)
		if (l->limits.parts[i].windows & *out_window &&
			l->limits.parts[i].side == LIMIT_BOTH)
			return l->limits.parts[i].scope;
	return NULL;
}

static bool counts_in(const struct lane *l, const struct limit_scope *s)
{
	bool any = false;

	for (size_t i = 0; i < l->limits.count; i++)
		any |= l->limits.parts[i].scope == s;
	return any;
}

/* It may have had no limit before, and so was no part of their messages. */
static void tell_all(struct outbound *o, const struct conf_tenant *t, const struct limit_scope *s)
{
	htable_each (&o->lanes, slot) {
		struct lane *l = slot->value;

		if (l->c && l->c->tenant && t && sv_eq(l->c->tenant->first->name, t->first->name))
			limits_of(o, l->key, l->c, &l->limits);
		if (counts_in(l, s))
			lane_tell_order(l);
	}
}

static void log_heard(
	const struct limit_scope *s, unsigned window, struct sv cause, struct sv reply)
{
	const struct limit_learned *l = limit_scope_learned(s, window);
	char limit[16] = "not known";

	if (l->limit)
		(void)snprintf(limit, sizeof(limit), "%u", l->limit);
	log_event(LOG_WARN,
		"qmgr",
		SV(""),
		"a limit is used up",
		(const struct log_field[]){ LOG_F("scope", limit_scope_key(s)),
			LOG_F("window", sv_from(name_of(window))),
			LOG_F("cause", cause),
			LOG_F("learned", sv_from(limit)),
			LOG_F("reply", reply) },
		5);
}

/* A tenant's limit is not shared out. */
static uint32_t share_of(const struct lane *l, enum provider_limit_id id, unsigned window)
{
	if (id == PROVIDER_LIMIT_TENANT_EXTERNAL || id == PROVIDER_LIMIT_ONMICROSOFT)
		return 100;
	return window == LIMIT_MINUTE && l->c->account ? l->c->account->limits->share_percent
						       : l->c->limits.share_percent;
}

void limits_refused(
	struct lane *l, const struct verdict *v, struct sv reply, struct limits_cost cost)
{
	struct outbound *o = l->o;
	enum provider_limit_id id;
	struct limit_scope *s;
	unsigned window;

	if (!l->c || !provider_limit_of_reply(l->c->provider, v->cause, &id))
		return;
	s = scope_of(l, id, &window);
	if (!s || !limit_scope_refused(s,
			  window,
			  &(struct limit_refusal){
				  .cost = window == LIMIT_MINUTE ? cost.messages : cost.recipients,
				  .percent = share_of(l, id, window),
				  .wall = io_wall(o->loop),
				  .now = io_now(o->loop) }))
		return;
	log_heard(s, window, sv_from(cause_name(v->cause)), reply);
	keep(o, s, window, sv_from(cause_name(v->cause)), reply);
	tell_all(o, l->c->tenant, s);
}

void limits_try_more(struct lane *l)
{
	struct mono_time now = io_now(l->o->loop);

	for (size_t i = 0; i < l->limits.count; i++) {
		const struct limit_part *p = &l->limits.parts[i];

		for (size_t k = 0; k < COUNT_OF(windows); k++)
			if (p->windows & windows[k].window &&
				limit_scope_raise(p->scope, windows[k].window, now))
				keep(l->o,
					p->scope,
					windows[k].window,
					sv_from(cause_name(CAUSE_LIMIT)),
					SV(""));
	}
}

void limits_reopen(struct lane *l)
{
	for (size_t i = 0; i < l->limits.count; i++)
		limit_scope_reopen(l->limits.parts[i].scope, io_now(l->o->loop));
}

/* ---- what Exchange's own counter says ---- */

void limits_observed(
	struct outbound *o, const struct conf_tenant *t, const struct limit_observation *seen)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(KEY_MAX);
	struct limit_scope *s;
	uint32_t before;

	must(buf_printf(&key, "t:%.*s", SV_ARG(t->first->name)) == 0);
	s = limit_book_scope(o->book, buf_sv(&key));
	before = limit_scope_observed(s)->threshold;
	limit_scope_observe(s, seen);
	if (before != seen->threshold)
		log_line(LOG_INFO,
			"qmgr",
			"tenant %.*s: Exchange allows %u external recipients in 24 hours and has "
			"counted %u, %u of them of others",
			SV_ARG(t->name),
			seen->threshold,
			seen->observed,
			limit_scope_observed(s)->others);
	keep_observed(o, s);
	tell_all(o, t, s);
	outbound_wake(o);
}
