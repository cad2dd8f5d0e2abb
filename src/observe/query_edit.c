/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "conf/conf.h"
#include "observe/query_priv.h"
#include "observe/where.h"

#include <sysexits.h>

/* What an operator changes in the queue. */

/*
 * The store edits by itself what its rows tell. Why mail waits for a hold stands in no row: then this goes from page to
 * page as `queue list` does, and names the rows, so that what the list shows is what is changed.
 */
struct observe_edit {
	enum store_edit_kind kind;
	struct store_filter filter;
	struct sv queue;
	struct wall_time at;
	struct sv cause; /* of a hold; empty: the store's rows tell all */
	uint64_t after_id;
	uint32_t after_index;
	bool more;
	struct store_edit_row *rows; /* of the page, in the query's `page` */
	size_t row_count;
};

static void next_page(struct observe_query *q);

static void end(struct observe_query *q)
{
	json_t *o = json_object();

	observe_json_int(o, "changed", q->changed);
	observe_query_emit(q, o);
	q->rows = q->changed;
	observe_query_edited(q);
	observe_query_end(q);
}

static void page_edited(struct observe_query *q)
{
	struct observe_edit *e = q->edits;

	q->changed += q->edit.out_changed;
	if (!e->cause.len) {
		e->more = q->edit.out_more;
		e->after_id = q->edit.after_id;
	}
	arena_reset(&q->page);
	if (e->more)
		next_page(q);
	else
		end(q);
}

static void edit_page(struct observe_query *q)
{
	const struct observe_edit *e = q->edits;

	q->edit = (struct store_edit){ .kind = e->kind,
		.filter = e->filter,
		.queue = e->queue,
		.at = e->at,
		.after_id = e->cause.len ? 0 : e->after_id,
		.rows = e->rows,
		.row_count = e->row_count };
	observe_query_submit(q, STORE_OP_EDIT, page_edited);
}

/* ---- what waits for a hold ---- */

static void choose(struct observe_query *q, size_t at)
{
	struct observe_edit *e = q->edits;
	struct store_list_row *row = &q->list.out_rows[at];
	struct outbound_hold hold = { .parked = false };

	observe_set_lane(q->sources->outbound, q->conf, &row->recipient);
	(void)observe_hold_of(q, &row->recipient, row->message.sender, &hold);
	if (observe_waits_by(&hold, &row->recipient, e->cause))
		e->rows[e->row_count++] =
			(struct store_edit_row){ row->message.id, row->recipient.index };
}

static void chosen(struct observe_query *q)
{
	struct observe_edit *e = q->edits;

	e->more = q->list.out_more;
	e->after_id = q->list.after_id;
	e->after_index = q->list.after_index;
	edit_page(q);
}

static void listed(struct observe_query *q)
{
	struct observe_edit *e = q->edits;

	e->row_count = 0;
	e->rows = arena_alloc(&q->page, (q->list.out_count + 1) * sizeof(*e->rows));
	observe_query_work(q, q->list.out_count, choose, chosen);
}

static void next_page(struct observe_query *q)
{
	const struct observe_edit *e = q->edits;

	if (!e->cause.len) {
		edit_page(q);
		return;
	}
	q->list = (struct store_list){ .filter = e->filter,
		.after_id = e->after_id,
		.after_index = e->after_index,
		.limit = LIMIT_PAGE,
		.out_arena = &q->page };
	observe_query_submit(q, STORE_OP_LIST, listed);
}

/* ---- the request ---- */

/* What the store cannot select by must not be left out silently: too much mail would be changed. */
static bool only_selects(struct observe_query *q)
{
	static const char *const keys[] = { "tenant", "sort", "limit" };

	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		if (!json_object_get(q->request, keys[i]))
			continue;
		observe_query_fail(q,
			EX_USAGE,
			"--tenant, --sort and --limit are for `queue list`: select by --mailbox, "
			"--reason, --sender, --recipient, --state or age");
		return false;
	}
	return true;
}

static bool read_kind(struct observe_query *q, enum store_edit_kind *out)
{
	static const struct {
		const char *name;
		enum store_edit_kind kind;
	} kinds[] = {
		{ "retry", STORE_EDIT_RETRY },
		{ "hold", STORE_EDIT_HOLD },
		{ "release", STORE_EDIT_RELEASE },
		{ "drop", STORE_EDIT_DROP },
		{ "reroute", STORE_EDIT_REROUTE },
	};
	struct sv name = observe_json_get_sv(q->request, "kind");

	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		if (sv_eq(name, sv_from(kinds[i].name))) {
			*out = kinds[i].kind;
			return true;
		}
	}
	observe_query_fail(q, EX_USAGE, "\"kind\" is none of retry, hold, release, drop, reroute");
	return false;
}

static bool read_queue(struct observe_query *q, struct sv *out)
{
	struct sv to = observe_json_get_sv(q->request, "to");
	const struct conf *c = q->sources->conf ? *q->sources->conf : NULL;
	const struct conf_pool *pool = c ? conf_pool(c, to) : NULL;
	const struct conf_member *m = pool ? pool->way : c ? conf_member_named(c, to) : NULL;

	if (m)
		*out = arena_sv(&q->arena, m->key);
	else
		observe_query_fail(
			q, EX_USAGE, "no mailbox, connector or pool of this name to reroute to");
	return m != NULL;
}

static void edit(struct observe_query *q)
{
	struct observe_edit *e = arena_alloc(&q->arena, sizeof(*e));

	*e = (struct observe_edit){ .after_index = UINT32_MAX };
	q->edits = e;
	e->at = io_wall(q->sources->loop);
	if (!read_kind(q, &e->kind) || !only_selects(q) || !observe_query_filter(q, &e->filter))
		return;
	if (e->kind == STORE_EDIT_REROUTE && !read_queue(q, &e->queue))
		return;
	e->filter.waiting_only = true;
	e->cause = observe_cause_of_hold(q, &e->filter);
	next_page(q);
}

void observe_query_edit(struct observe_query *q)
{
	observe_query_with_holds(q, edit);
}
