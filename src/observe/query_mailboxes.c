/* SPDX-License-Identifier: Apache-2.0 */
#include "base/guess.h"
#include "base/must.h"
#include "conf/route.h"
#include "observe/query_priv.h"
#include "outbound/outbound.h"

#include <stdlib.h>
#include <sysexits.h>

/* `postern mailboxes`: what is asked for, in the order that is asked for, page by page; and their sum. */

/* ---- order ---- */

static int by_name(const struct observe_row *a, const struct observe_row *b)
{
	return sv_cmp(a->c ? a->c->name : a->key, b->c ? b->c->name : b->key);
}

static int larger_first(uint64_t a, uint64_t b)
{
	return (a < b) - (a > b);
}

static int by_waiting(const struct observe_row *a, const struct observe_row *b)
{
	return larger_first(a->waiting, b->waiting);
}

static int by_oldest(const struct observe_row *a, const struct observe_row *b)
{
	/* Where nothing waits there is no oldest. */
	uint64_t x = a->oldest_at.us ? (uint64_t)a->oldest_at.us : UINT64_MAX;
	uint64_t y = b->oldest_at.us ? (uint64_t)b->oldest_at.us : UINT64_MAX;

	return (x > y) - (x < y);
}

static int by_used(const struct observe_row *a, const struct observe_row *b)
{
	return larger_first(observe_row_use(a).day.used, observe_row_use(b).day.used);
}

static struct sv tenant_of(const struct observe_row *r)
{
	return r->c && r->c->tenant ? r->c->tenant->name : SV("");
}

static int by_tenant(const struct observe_row *a, const struct observe_row *b)
{
	return sv_cmp(tenant_of(a), tenant_of(b));
}

/* What needs looking at comes first. */
static unsigned urgency(const struct observe_row *r)
{
	if (!r->c)
		return 0;
	if (!r->has_status)
		return 4;
	if (r->status.state == SCHED_LANE_PARKED)
		return r->status.next_at.us ? 2 : 1;
	return observe_row_is_held(r) ? 3 : 4;
}

static int by_state(const struct observe_row *a, const struct observe_row *b)
{
	int order = (int)urgency(a) - (int)urgency(b);

	return order ? order : by_waiting(a, b);
}

typedef int order_fn(const struct observe_row *a, const struct observe_row *b);
static const struct {
	const char *name;
	order_fn *order;
} orders[] = {
	{ "state", by_state },
	{ "name", by_name },
	{ "tenant", by_tenant },
	{ "waiting", by_waiting },
	{ "oldest", by_oldest },
	{ "used", by_used },
};

static int compare(const void *a, const void *b, void *arg)
{
	order_fn *const *order = arg;
	int by = (*order)(a, b);

	return by ? by : by_name(a, b);
}

/* ---- what is asked for ---- */

static const char *const states[] = {
	"ready", "waiting", "parked", "probing", "unused", "gone", "stopped", "wildcard"
};

struct mailboxes_wanted {
	struct sv tenant, state, cause, name;
	const struct conf_pool *pool; /* NULL: of all, and of none */
	order_fn *order;
	uint64_t limit; /* 0: all */
	/* What matches so far. */
	size_t count;
	uint64_t waiting, by_state[COUNT_OF(states)];
	uint64_t day_used, day_capacity; /* of the mailboxes of the pool, each once */
	struct sv stopped_by;            /* one that is held for reputation */
};

static bool has_state(const struct observe_query *q, const struct observe_row *r, struct sv state)
{
	const char *own = observe_row_state(r, q->sources->outbound != NULL);

	/* One message may try, but the park is not over. */
	if (sv_eq(state, SV("parked")) && strcmp(own, "probing") == 0)
		return true;
	return sv_eq(state, sv_from(own));
}

static bool is_named(const struct observe_row *r, struct sv name)
{
	return sv_eq_nocase(name, r->key) || (r->c && sv_eq_nocase(name, r->c->name));
}

static bool has_cause(const struct observe_row *r, struct sv cause)
{
	if (observe_row_is_held(r) && sv_eq(cause, r->status.cause))
		return true;
	for (const struct observe_waiting *w = r->first; w; w = w->next)
		if (sv_eq(cause, w->row->cause))
			return true;
	return false;
}

static bool matches(const struct observe_query *q, const struct observe_row *r,
	const struct mailboxes_wanted *w)
{
	return r->key.len && (!w->pool || (r->c && r->c->member->pool == w->pool)) &&
	       (!w->tenant.len || sv_eq(w->tenant, tenant_of(r))) &&
	       (!w->state.len || has_state(q, r, w->state)) &&
	       (!w->cause.len || has_cause(r, w->cause)) && (!w->name.len || is_named(r, w->name));
}

static bool read_order(struct observe_query *q, struct mailboxes_wanted *w)
{
	struct sv sort = observe_json_get_sv(q->request, "sort");

	w->order = by_state;
	for (size_t i = 0; sort.len && i < COUNT_OF(orders); i++) {
		if (!sv_eq(sort, sv_from(orders[i].name)))
			continue;
		w->order = orders[i].order;
		return true;
	}
	if (sort.len)
		observe_query_fail(q,
			EX_USAGE,
			"mailboxes are sorted by state, name, tenant, waiting, oldest or used");
	return sort.len == 0;
}

static bool read_state(struct observe_query *q, struct mailboxes_wanted *w)
{
	w->state = observe_json_get_sv(q->request, "state");
	for (size_t i = 0; i < COUNT_OF(states); i++)
		if (sv_eq(w->state, sv_from(states[i])))
			return true;
	if (w->state.len)
		observe_query_fail(q,
			EX_USAGE,
			"a mailbox is ready, waiting, parked, probing, unused, gone, stopped or "
			"wildcard");
	return w->state.len == 0;
}

static bool read_wanted(struct observe_query *q, struct mailboxes_wanted *w)
{
	*w = (struct mailboxes_wanted){ .cause = observe_json_get_sv(q->request, "reason"),
		.name = observe_json_get_sv(q->request, "mailbox"),
		.limit = (uint64_t)json_integer_value(json_object_get(q->request, "limit")) };
	return read_state(q, w) && read_order(q, w) && observe_query_pool(q, &w->pool) &&
	       observe_query_tenant(q, &w->tenant) && observe_query_cause(q, w->cause);
}

/* ---- the answer ---- */

static void emit_row(struct observe_query *q, size_t at)
{
	struct observe_row *r = q->shown[at];
	json_t *o = observe_row_json(q, r);

	observe_json_sv(o, "type", SV("mailbox"));
	observe_query_emit(q, o);
	q->rows++;
}

static void take_row(struct observe_query *q, size_t at)
{
	struct observe_row *r = q->table.items[at];
	struct mailboxes_wanted *w = q->wanted;
	const char *state;

	if (!matches(q, r, w))
		return;
	q->shown[w->count++] = r;
	w->waiting += r->waiting;
	if (w->pool && observe_row_is_held(r) && r->status.nature == VERDICT_NATURE_REPUTATION)
		w->stopped_by = r->c->name;
	if (w->pool && r->c->door == 0) {
		const struct limit_use use = observe_row_use(r);

		w->day_used += use.day.used;
		w->day_capacity += use.day.capacity;
	}
	state = observe_row_state(r, q->sources->outbound != NULL);
	for (size_t s = 0; s < COUNT_OF(states); s++)
		w->by_state[s] += strcmp(state, states[s]) == 0;
}

static bool is_waiting(enum store_recipient_state state)
{
	return state == STORE_RCPT_QUEUED || state == STORE_RCPT_HELD;
}

static uint64_t waiting_in(const struct observe_query *q, const struct conf_pool *pool)
{
	const struct store_summary *s = &q->summary;
	uint64_t n = 0;

	for (size_t i = 0; i < s->out_count; i++)
		if (is_waiting(s->out_rows[i].state) &&
			sv_eq(conf_queue_pool_name(s->out_rows[i].flow.queue), pool->name))
			n += s->out_rows[i].count;
	return n;
}

/* After its mailboxes. */
static void emit_pool(struct observe_query *q)
{
	static const char *const kinds[] = { [CONF_POOL_TRANSACTIONAL] = "transactional",
		[CONF_POOL_NEWSLETTER] = "newsletter",
		[CONF_POOL_OUTREACH] = "outreach" };
	const struct mailboxes_wanted *w = q->wanted;
	json_t *o;

	if (!w->pool) {
		observe_query_end(q);
		return;
	}
	o = json_object();
	observe_json_sv(o, "type", SV("pool"));
	observe_json_sv(o, "name", w->pool->name);
	observe_json_sv(o, "kind", sv_from(kinds[w->pool->kind]));
	observe_json_sv(o, "sender", w->pool->keeps_sender ? SV("keep") : SV("mailbox"));
	observe_json_int(o, "mailboxes", w->pool->seat_count);
	observe_json_int(o, "per_day", w->pool->per_day);
	observe_json_int(o, "day_used", w->day_used);
	observe_json_int(o, "day_capacity", w->day_capacity);
	observe_json_int(o, "waiting", waiting_in(q, w->pool));
	observe_json_sv(o, "stopped_by", w->stopped_by);
	observe_query_emit(q, o);
	observe_query_end(q);
}

static void sum_up(struct observe_query *q, size_t shown)
{
	const struct mailboxes_wanted *w = q->wanted;
	json_t *by = json_object();

	q->totals = json_object();
	observe_json_int(q->totals, "mailboxes", w->count);
	observe_json_int(q->totals, "shown", shown);
	observe_json_int(q->totals, "waiting", w->waiting);
	for (size_t s = 0; s < COUNT_OF(states); s++)
		if (w->by_state[s])
			observe_json_int(by, states[s], w->by_state[s]);
	must(json_object_set_new(q->totals, "states", by) == 0);
}

static void sorted(struct observe_query *q)
{
	const struct mailboxes_wanted *w = q->wanted;
	size_t shown = w->limit && w->limit < w->count ? w->limit : w->count;

	sum_up(q, shown);
	observe_query_turns(q, shown, emit_row, emit_pool);
}

static void taken(struct observe_query *q)
{
	struct mailboxes_wanted *w = q->wanted;

	if (w->name.len && w->count == 0)
		observe_query_fail(q, EX_NOUSER, "there is no mailbox or connector of this name");
	else
		observe_query_sort(q, w->count, compare, &w->order, sorted);
}

static void rows_made(struct observe_query *q)
{
	q->shown = arena_alloc(&q->page, (q->table.count + 1) * sizeof(*q->shown));
	observe_query_work(q, q->table.count, take_row, taken);
}

static void summed(struct observe_query *q)
{
	q->wanted = arena_alloc(&q->arena, sizeof(*q->wanted));
	if (read_wanted(q, q->wanted))
		observe_query_rows(q, rows_made);
}

void observe_query_mailboxes(struct observe_query *q)
{
	q->summary.out_arena = &q->page;
	observe_query_submit(q, STORE_OP_SUMMARY, summed);
}

/* ---- one is tried now ---- */

static void probe_page(struct observe_query *q);

/* Each of its doors tries. True: one was stopped for reputation. */
static bool probe_doors(struct observe_query *q)
{
	const struct conf_member *m = conf_member(*q->sources->conf, q->edit.filter.member);
	bool stopped = false;

	for (size_t i = 0; m && i < m->lane_count; i++)
		stopped |= outbound_probe(q->sources->outbound, m->lanes[i].key);
	return stopped;
}

/* Its mail is due now: the probe takes the first of it. */
static void made_due(struct observe_query *q)
{
	bool stopped;
	json_t *o;

	q->changed += q->edit.out_changed;
	if (q->edit.out_more) {
		probe_page(q);
		return;
	}
	stopped = probe_doors(q);
	o = json_object();
	observe_json_sv(o, "type", SV("probe"));
	observe_json_sv(o, "mailbox", sv_skip(q->edit.filter.member, 2));
	observe_json_int(o, "waiting", q->changed);
	must(json_object_set_new(o, "released_reputation", json_boolean(stopped)) == 0);
	observe_query_emit(q, o);
	observe_query_end(q);
}

static void probe_page(struct observe_query *q)
{
	q->edit.out_changed = 0;
	observe_query_submit(q, STORE_OP_EDIT, made_due);
}

void observe_query_probe(struct observe_query *q)
{
	struct sv name = observe_json_get_sv(q->request, "mailbox");
	const struct conf_member *m;
	const struct conf_lane *lane;

	if (!q->sources->outbound) {
		observe_query_fail(q,
			EX_UNAVAILABLE,
			"the daemon does not run: start it, and it tries by itself");
		return;
	}
	lane = conf_lane(*q->sources->conf, name);
	m = lane ? lane->member : conf_member_named(*q->sources->conf, name);
	if (!m) {
		observe_query_fail(q, EX_NOUSER, "there is no mailbox or connector of this name");
		return;
	}
	q->edit.kind = STORE_EDIT_RETRY;
	q->edit.at = io_wall(q->sources->loop);
	q->edit.filter = (struct store_filter){ .state = STORE_RCPT_QUEUED,
		.waiting_only = true,
		.member = arena_sv(&q->arena, m->key),
		.any_member = true };
	probe_page(q);
}
