/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "observe/cause.h"
#include "observe/groups.h"
#include "observe/query_priv.h"
#include "observe/where.h"
#include "outbound/outbound.h"

/*
 * What `postern status` says of mailboxes: what needs a person and what heals by itself, a line for each cause; what
 * is well, a line for each tenant. Each step takes one row or hold, so that it spreads over turns of the loop.
 */

/* ---- what is held ---- */

/* What the steps below gather. */
struct observe_look {
	struct arena *arena;
	struct observe_groups groups,
		by_tenant;           /* by_tenant: too many to show, folded into groups */
	struct outbound_hold *holds; /* copies */
	size_t hold_count, hold_cap;
	struct htable told;     /* "KIND LANE CAUSE", "tenant NAME CAUSE": a hold tells of it */
	struct htable tenants;  /* name -> struct tenant_rows */
	struct htable wells_of; /* name -> struct well, which are in q->shown, too */
	size_t well_count;
	void (*done)(struct observe_query *q);
};

struct tenant_rows {
	struct tenant_row *first;
};
struct tenant_row {
	const struct observe_row *row;
	struct tenant_row *next;
};

void observe_look_free(struct observe_look *l)
{
	if (!l)
		return;
	observe_groups_deinit(&l->groups);
	observe_groups_deinit(&l->by_tenant);
	htable_deinit(&l->told);
	htable_deinit(&l->tenants);
	htable_deinit(&l->wells_of);
}

static struct sv tenant_of(const struct conf_lane *c)
{
	return c && c->tenant ? c->tenant->name : SV("");
}

static struct observe_group fact_of(const struct observe_row *r, enum observe_scope scope)
{
	return (struct observe_group){ .scope = scope,
		.tenant = tenant_of(r->c),
		.lane = r->c,
		.names = { r->c ? r->c->name : r->key } };
}

static void add_held_lane(struct observe_look *l, const struct observe_row *r)
{
	const struct outbound_lane_status *s = &r->status;
	bool parked = s->state == SCHED_LANE_PARKED || s->probing;
	struct observe_group fact = fact_of(r,
		r->c->kind == CONF_LANE_MAILBOX ? OBSERVE_SCOPE_MAILBOX : OBSERVE_SCOPE_CONNECTOR);

	fact.state = parked ? SV("parked") : SV("waiting");
	fact.needs = parked && observe_cause_needs_person(s->cause, s->nature)
			     ? OBSERVE_NEEDS_PERSON
			     : OBSERVE_NEEDS_TIME;
	fact.cause = s->cause;
	fact.summary = s->summary;
	fact.reply = s->reply;
	fact.nature = s->nature;
	fact.waiting = r->waiting - r->held;
	fact.oldest_at = r->oldest_at;
	fact.since = s->since;
	fact.next_at = s->next_at;
	observe_groups_add(&l->groups, &fact);
}

/* The minute's limit only sets the pace; the day's keeps mail back for hours. */
static bool is_pace(const struct observe_row *r)
{
	const struct limit_use *use = &r->status.use;

	return sv_eq(r->status.cause, SV("limit")) &&
	       !(use->day.capacity && use->day.used >= use->day.capacity);
}

static bool is_held(const struct observe_row *r)
{
	return observe_row_is_held(r) && !is_pace(r);
}

/* ---- holds of senders and of tenants ---- */

static void copy_hold(void *arg, const struct outbound_hold *hold)
{
	struct observe_look *l = arg;
	struct outbound_hold *all;

	if (l->hold_count == l->hold_cap) {
		l->hold_cap = l->hold_cap ? 2 * l->hold_cap : 16;
		all = arena_alloc(l->arena, l->hold_cap * sizeof(*all));
		if (l->hold_count)
			memcpy(all, l->holds, l->hold_count * sizeof(*all));
		l->holds = all;
	}
	all = &l->holds[l->hold_count++];
	*all = *hold;
	all->key = arena_sv(l->arena, hold->key);
	all->summary = arena_sv(l->arena, hold->summary);
	all->reply = arena_sv(l->arena, hold->reply);
}

/* "sender:LANE:ADDRESS": the row of the lane; of "mailbox:LANE" likewise. */
static struct observe_row *row_of_hold(
	const struct observe_query *q, struct sv kind, struct sv rest, struct sv *out_sender)
{
	*out_sender = SV("");
	if (sv_eq(kind, SV("mailbox")))
		return observe_rows_find(&q->table, rest);
	for (size_t i = 0; i < rest.len; i++) {
		struct observe_row *r;

		if (rest.ptr[i] != ':')
			continue;
		r = observe_rows_find(&q->table, sv_head(rest, i));
		if (!r)
			continue;
		*out_sender = sv_skip(rest, i + 1);
		return r;
	}
	return NULL;
}

static void told_key(struct buf *out, const char *kind, struct sv name, struct sv cause)
{
	must(buf_printf(out,
		     "%s %.*s %.*s",
		     kind,
		     SV_ARG(sv_head(name, 1024)),
		     SV_ARG(sv_head(cause, 512))) == 0);
}

static void note_hold(struct observe_query *q, size_t at)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(4096);
	const struct outbound_hold *hold = &q->look->holds[at];
	struct sv rest = hold->key, kind, sender;
	const struct observe_row *r;

	(void)sv_cut_char(&rest, ':', &kind);
	if (sv_eq(kind, SV("sender"))) {
		r = row_of_hold(q, kind, rest, &sender);
		told_key(&key, "sender", r ? r->key : rest, hold->cause);
	} else {
		told_key(&key, "tenant", rest, hold->cause);
	}
	htable_put(&q->look->told, buf_sv(&key), q->look);
}

/* Does a hold of a sender or of a tenant's outside tell of these already? */
static bool is_told(const struct observe_look *l, const struct observe_row *r, struct sv tenant,
	struct sv cause)
{
	CLEANUP(buf_deinitp) struct buf sender = BUF_INIT(4096), of_tenant = BUF_INIT(4096);

	if (l->told.count == 0)
		return false;
	told_key(&sender, "sender", r->key, cause);
	told_key(&of_tenant, "tenant", tenant, cause);
	return htable_get(&l->told, buf_sv(&sender)) || htable_get(&l->told, buf_sv(&of_tenant));
}

/* Recipients that wait on a door that is well, each for an answer of its own. */
static void add_recipients(
	struct observe_look *l, const struct observe_row *r, const struct store_summary_row *s)
{
	struct observe_group fact = fact_of(r, OBSERVE_SCOPE_RECIPIENT);
	bool held = s->state == STORE_RCPT_HELD, parked;

	if (!held && (s->state != STORE_RCPT_QUEUED || s->cause.len == 0 || is_held(r) ||
			     sv_eq(s->cause, SV("limit")) || is_told(l, r, fact.tenant, s->cause)))
		return;
	parked = !held && observe_cause_parks(s->cause);
	fact.cause = s->cause.len ? s->cause : SV("held");
	fact.state = held ? SV("held") : parked ? SV("parked") : SV("waiting");
	fact.needs = held || (parked && observe_cause_needs_person(s->cause, VERDICT_NATURE_OTHER))
			     ? OBSERVE_NEEDS_PERSON
			     : OBSERVE_NEEDS_TIME;
	fact.waiting = s->count;
	fact.oldest_at = s->oldest_at;
	observe_groups_add(&l->groups, &fact);
}

static uint64_t waiting_for(
	const struct observe_row *r, struct sv cause, struct wall_time *oldest_at)
{
	uint64_t count = 0;

	for (const struct observe_waiting *w = r->first; w; w = w->next) {
		if (w->row->state != STORE_RCPT_QUEUED || !sv_eq(w->row->cause, cause))
			continue;
		count += w->row->count;
		if (oldest_at->us == 0 || w->row->oldest_at.us < oldest_at->us)
			*oldest_at = w->row->oldest_at;
	}
	return count;
}

static void add_waiting(
	struct observe_group *fact, const struct observe_row *r, const struct outbound_hold *hold)
{
	fact->tenant = tenant_of(r->c);
	fact->lane = fact->scope == OBSERVE_SCOPE_TENANT_EXTERNAL ? NULL : r->c;
	fact->waiting += waiting_for(r, hold->cause, &fact->oldest_at);
}

/* A sender on a mailbox, or what a tenant sends to the outside; where no daemon runs, mailboxes, too. */
static void add_hold(struct observe_query *q, size_t at)
{
	struct observe_look *l = q->look;
	const struct outbound_hold *hold = &l->holds[at];
	struct sv rest = hold->key, kind, sender;
	const struct tenant_rows *all;
	const struct observe_row *r;
	struct observe_group fact = { .state = SV("parked"),
		.cause = hold->cause,
		.summary = hold->summary,
		.reply = hold->reply,
		.nature = hold->nature,
		.since = hold->since,
		.next_at = hold->next_at };

	(void)sv_cut_char(&rest, ':', &kind);
	fact.needs = observe_cause_needs_person(hold->cause, hold->nature) ? OBSERVE_NEEDS_PERSON
									   : OBSERVE_NEEDS_TIME;
	if (sv_eq(kind, SV("tenant-external")))
		fact.scope = OBSERVE_SCOPE_TENANT_EXTERNAL;
	else if (sv_eq(kind, SV("sender")))
		fact.scope = OBSERVE_SCOPE_SENDER;
	else if (q->sources->outbound)
		return; /* its mailboxes tell it */
	fact.names[0] = rest;
	if (sv_eq(kind, SV("sender")) || sv_eq(kind, SV("mailbox"))) {
		r = row_of_hold(q, kind, rest, &sender);
		if (r && sender.len)
			fact.names[0] = fact.sender = sender;
		else if (r && r->c)
			fact.names[0] = r->c->name;
		if (r)
			add_waiting(&fact, r, hold);
	} else {
		all = htable_get(&l->tenants, rest);
		for (const struct tenant_row *t = all ? all->first : NULL; t; t = t->next)
			add_waiting(&fact, t->row, hold);
	}
	observe_groups_add(&l->groups, &fact);
}

static const struct conf_tenant *tenant_named(const struct conf *conf, struct sv name)
{
	size_t count;
	const struct conf_tenant *const *tenants = conf_tenants(conf, &count);

	for (size_t i = 0; name.len && i < count; i++)
		if (sv_eq(tenants[i]->name, name))
			return tenants[i];
	return NULL;
}

static void emit_group(struct observe_query *q, size_t at)
{
	const struct observe_group *g = q->look->groups.items[at];
	const struct observe_cause_facts facts = { .lane = g->count == 1 ? g->lane : NULL,
		.tenant = tenant_named(q->conf, g->tenant),
		.sender = g->sender };
	json_t *o = json_object(), *names = json_array();

	observe_json_sv(o, "type", SV("group"));
	observe_json_sv(o, "needs", g->needs == OBSERVE_NEEDS_PERSON ? SV("person") : SV("time"));
	observe_json_sv(o, "scope", sv_from(observe_scope_name(g->scope)));
	observe_json_sv(o, "state", g->state);
	observe_json_int(o, "count", g->count);
	observe_json_sv(o, "tenant", g->tenant);
	observe_json_int(o, "tenants", g->tenants);
	for (size_t i = 0; i < OBSERVE_GROUP_NAMES && g->names[i].len; i++)
		(void)json_array_append_new(names, json_stringn(g->names[i].ptr, g->names[i].len));
	(void)json_object_set_new(o, "names", names);
	if (g->lane)
		observe_json_sv(o, "mailbox", g->lane->name);
	observe_json_sv(o, "reason", g->cause);
	observe_json_sv(o, "nature", sv_from(verdict_nature_name(g->nature)));
	observe_json_int(o, "waiting", g->waiting);
	observe_json_wall(o, "oldest_at", g->oldest_at);
	observe_json_wall(o, "since", g->since);
	observe_json_wall(o, "next_at", g->next_at);
	observe_json_sv(o, "summary", g->summary);
	observe_json_sv(o, "reply", g->reply);
	observe_cause_put(o, g->cause, &facts);
	observe_query_emit(q, o);
}

static void put_in_tenant(struct observe_look *l, const struct observe_row *r)
{
	struct tenant_row *node;
	struct tenant_rows *all;

	if (!r->c || !r->c->tenant)
		return;
	all = htable_get(&l->tenants, r->c->tenant->name);
	if (!all) {
		all = arena_alloc(l->arena, sizeof(*all));
		htable_put(&l->tenants, r->c->tenant->name, all);
	}
	node = arena_alloc(l->arena, sizeof(*node));
	*node = (struct tenant_row){ .row = r, .next = all->first };
	all->first = node;
}

static void add_row(struct observe_query *q, size_t at)
{
	const struct observe_row *r = q->table.items[at];
	struct observe_look *l = q->look;

	put_in_tenant(l, r);
	if (is_held(r))
		add_held_lane(l, r);
	for (const struct observe_waiting *w = r->first; w; w = w->next)
		add_recipients(l, r, w->row);
}

static void show_wells(struct observe_query *q);

static void groups_folded(struct observe_query *q)
{
	struct observe_groups *g = &q->look->groups;

	observe_groups_sort(g);
	observe_query_turns(q,
		g->count < OBSERVE_GROUPS_MAX ? g->count : OBSERVE_GROUPS_MAX,
		emit_group,
		show_wells);
}

static void fold_group(struct observe_query *q, size_t at)
{
	observe_groups_fold(&q->look->groups, q->look->by_tenant.items[at]);
}

static void holds_added(struct observe_query *q)
{
	struct observe_look *l = q->look;

	if (l->groups.count <= OBSERVE_GROUPS_MAX) {
		groups_folded(q);
		return;
	}
	l->by_tenant = l->groups;
	l->groups = (struct observe_groups){ .arena = l->arena };
	observe_query_work(q, l->by_tenant.count, fold_group, groups_folded);
}

static void rows_grouped(struct observe_query *q)
{
	observe_query_work(q, q->look->hold_count, add_hold, holds_added);
}

static void holds_noted(struct observe_query *q)
{
	observe_query_work(q, q->table.count, add_row, rows_grouped);
}

void observe_query_look(struct observe_query *q, void (*done)(struct observe_query *q))
{
	struct observe_look *l = arena_alloc(&q->arena, sizeof(*l));

	*l = (struct observe_look){ .arena = &q->page, .groups.arena = &q->page, .done = done };
	q->look = l;
	observe_each_hold(q, copy_hold, l);
	observe_query_work(q, l->hold_count, note_hold, holds_noted);
}

/* ---- what is well ---- */

struct well {
	struct sv tenant;
	uint64_t mailboxes, connectors, used, capacity, waiting;
	struct wall_time done_at;
	const struct observe_row *last; /* whose mail that is */
};

static int by_use(const void *a, const void *b, void *arg)
{
	const struct well *x = a, *y = b;

	(void)arg;
	if (x->used != y->used)
		return x->used > y->used ? -1 : 1;
	return sv_cmp(x->tenant, y->tenant);
}

static void add_well(struct observe_query *q, size_t at)
{
	const struct observe_row *r = q->table.items[at];
	struct observe_look *l = q->look;
	struct limit_use use;
	struct wall_time done;
	struct well *t;

	if (!r->c || is_held(r))
		return;
	t = htable_get(&l->wells_of, tenant_of(r->c));
	if (!t) {
		t = arena_alloc(l->arena, sizeof(*t));
		t->tenant = tenant_of(r->c);
		htable_put(&l->wells_of, t->tenant, t);
		q->shown[l->well_count++] = t;
	}
	use = observe_row_use(r);
	done = observe_row_done_at(r, io_wall(q->sources->loop));
	t->mailboxes += r->c->kind == CONF_LANE_MAILBOX;
	t->connectors += r->c->kind == CONF_LANE_CONNECTOR;
	t->used += use.day.used;
	t->capacity += use.day.capacity;
	t->waiting += r->waiting - r->held;
	if (done.us > t->done_at.us) {
		t->done_at = done;
		t->last = r;
	}
}

static void emit_well(struct observe_query *q, size_t at)
{
	const struct well *w = q->shown[at];
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("healthy"));
	observe_json_sv(o, "tenant", w->tenant);
	observe_json_int(o, "mailboxes", w->mailboxes);
	observe_json_int(o, "connectors", w->connectors);
	observe_json_int(o, "day_used", w->used);
	observe_json_int(o, "day_capacity", w->capacity);
	observe_json_int(o, "waiting", w->waiting);
	observe_json_wall(o, "done_at", w->done_at);
	if (w->last) {
		json_t *pace = json_object();

		observe_json_sv(pace, "mailbox", w->last->c->name);
		observe_pace_put(pace, &w->last->pace, w->last->c);
		must(json_object_set_new(o, "pace", pace) == 0);
	}
	observe_query_emit(q, o);
}

static void wells_sorted(struct observe_query *q)
{
	observe_query_turns(q, q->look->well_count, emit_well, q->look->done);
}

static void wells_added(struct observe_query *q)
{
	observe_query_sort(q, q->look->well_count, by_use, NULL, wells_sorted);
}

static void show_wells(struct observe_query *q)
{
	if (!q->sources->outbound) {
		q->look->done(q);
		return;
	}
	q->shown = arena_alloc(&q->page, (q->table.count + 1) * sizeof(*q->shown));
	observe_query_work(q, q->table.count, add_well, wells_added);
}
