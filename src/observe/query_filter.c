/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/cause.h"
#include "observe/query_priv.h"

#include "base/guess.h"
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "conf/conf.h"
#include "mail/address.h"

#include <stdio.h>
#include <sysexits.h>

/* What a request asks for: checked, so that a misspelt word is an error and not an empty list. */

/*
 * A mailbox, connector or pool by its name, with all its doors; one of them as "graph/erp@contoso.com", which tells what that carried; or
 * what is gone, by the name that it had.
 */
static void filter_lane(struct observe_query *q, struct sv name, struct store_filter *f)
{
	const struct conf *c = q->sources->conf ? *q->sources->conf : NULL;
	const struct conf_pool *pool = c ? conf_pool(c, name) : NULL;
	const struct conf_member *m = c && !pool ? conf_member_named(c, name) : NULL;
	const struct conf_lane *lane = m ? m->lanes : c ? conf_lane(c, name) : NULL;
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(LIMIT_ADDRESS + 128);
	struct sv bare = sv_skip(name, (size_t)(sv_rfind_char(name, '/') + 1));

	f->lane = arena_sv(&q->arena, m ? m->name : lane ? lane->key : name);
	if (pool)
		f->member = arena_sv(&q->arena, pool->key);
	else if (lane)
		f->member = arena_sv(&q->arena, lane->member->key);
	else if (buf_printf(
			 &key, "%c:%.*s", sv_find_char(bare, '@') < 0 ? 'c' : 'm', SV_ARG(bare)) ==
		 0)
		f->member = arena_sv(&q->arena, buf_sv(&key));
}

static bool parse_state(struct sv name, int *out_state)
{
	for (int i = 0; i < STORE_RCPT_COUNT; i++) {
		if (sv_eq_nocase(name,
			    sv_from(store_recipient_state_name((enum store_recipient_state)i)))) {
			*out_state = i;
			return true;
		}
	}
	return false;
}

static bool filter_age(struct observe_query *q, const char *key, struct wall_time *out_at)
{
	struct sv text = observe_json_get_sv(q->request, key);
	uint64_t us;

	if (text.len == 0)
		return true;
	if (text_parse_duration(text, &us) != 0) {
		observe_query_fail(q, EX_USAGE, "an age is a number with a unit: 30s, 5m, 1h, 2d");
		return false;
	}
	*out_at = wall_add(io_wall(q->sources->loop), -(int64_t)us);
	return true;
}

static bool filter_instant(struct observe_query *q, const char *key, struct wall_time *out_at)
{
	struct sv text = observe_json_get_sv(q->request, key);
	uint64_t us;

	if (text.len == 0)
		return true;
	if (text_parse_duration(text, &us) == 0) {
		*out_at = wall_add(io_wall(q->sources->loop), -(int64_t)us);
		return true;
	}
	if (wall_parse(text, out_at) != 0) {
		observe_query_fail(q,
			EX_USAGE,
			"a time is 2026-11-23, 2026-11-23T20:22:17Z, one with an offset as +01:00, "
			"or an "
			"age as 2h; without an offset it is UTC");
		return false;
	}
	return true;
}

static bool filter_patterns(struct observe_query *q, struct store_filter *f)
{
	f->sender = arena_sv(&q->arena, observe_json_get_sv(q->request, "sender"));
	f->recipient = arena_sv(&q->arena, observe_json_get_sv(q->request, "recipient"));
	if ((f->sender.len && address_pattern_check(f->sender) != 0) ||
		(f->recipient.len && address_pattern_check(f->recipient) != 0)) {
		observe_query_fail(q,
			EX_USAGE,
			"an address filter is an address or a pattern as *@contoso.com");
		return false;
	}
	return true;
}

/* ---- names ---- */

static void fail_with_guess(
	struct observe_query *q, const char *what, struct sv name, const struct guess *g)
{
	char text[400], near[200] = "";

	if (g->best.len)
		(void)snprintf(near,
			sizeof(near),
			"; did you mean '%.*s'?",
			SV_ARG(sv_head(g->best, 150)));
	(void)snprintf(text,
		sizeof(text),
		"there is no %s '%.*s'%s",
		what,
		SV_ARG(sv_head(name, 100)),
		near);
	observe_query_fail(q, EX_USAGE, text);
}

bool observe_query_tenant(struct observe_query *q, struct sv *out_name)
{
	struct sv name = observe_json_get_sv(q->request, "tenant");
	struct guess g = { .name = name };
	size_t count;
	const struct conf_tenant *const *tenants = conf_tenants(q->conf, &count);

	*out_name = name;
	for (size_t i = 0; name.len && i < count; i++) {
		if (sv_eq(name, tenants[i]->name))
			return true;
		guess_try(&g, tenants[i]->name);
	}
	if (name.len)
		fail_with_guess(q, "tenant", name, &g);
	return name.len == 0;
}

bool observe_query_pool(struct observe_query *q, const struct conf_pool **out)
{
	struct sv name = observe_json_get_sv(q->request, "pool");
	struct guess g = { .name = name };
	size_t count;
	const struct conf_pool *const *pools = conf_pools(q->conf, &count);

	*out = name.len ? conf_pool(q->conf, name) : NULL;
	if (!name.len || *out)
		return true;
	for (size_t i = 0; i < count; i++)
		guess_try(&g, pools[i]->name);
	fail_with_guess(q, "pool", name, &g);
	return false;
}

bool observe_query_cause(struct observe_query *q, struct sv cause)
{
	const struct guess g = { .name = cause, .best = observe_cause_guess(cause) };

	if (cause.len == 0 || observe_cause_is_known(cause))
		return true;
	fail_with_guess(q, "reason", cause, &g);
	return false;
}

/* ---- the filter of the queue ---- */

bool observe_query_filter(struct observe_query *q, struct store_filter *f)
{
	struct sv id = observe_json_get_sv(q->request, "id");
	struct sv state = observe_json_get_sv(q->request, "state");
	struct sv lane = observe_json_get_sv(q->request, "mailbox");

	*f = (struct store_filter){ .state = -1 };
	if (id.len && text_parse_id(id, &f->id) != 0) {
		observe_query_fail(
			q, EX_USAGE, "a queue id has 11 letters and digits, as in the log");
		return false;
	}
	if (state.len && !parse_state(state, &f->state)) {
		observe_query_fail(q,
			EX_USAGE,
			"a state is queued, open, held, delivered, bounced, expired or dropped; "
			"`list` and `trace` know parked, waiting and uncertain, too");
		return false;
	}
	if (lane.len)
		filter_lane(q, lane, f);
	f->cause = arena_sv(&q->arena, observe_json_get_sv(q->request, "reason"));
	return observe_query_cause(q, f->cause) && filter_patterns(q, f) &&
	       filter_age(q, "older", &f->accepted_until) &&
	       filter_age(q, "newer", &f->accepted_from) &&
	       filter_instant(q, "since", &f->accepted_from) &&
	       filter_instant(q, "until", &f->accepted_until);
}
