/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "observe/query_priv.h"
#include "observe/where.h"

#include <stdlib.h>
#include <sysexits.h>

/*
 * `queue list` and `trace`: one line a recipient. As they were accepted, they come page by page and the
 * scan ends with the limit. Sorted otherwise, all that match are looked at and the best are kept.
 */
enum {
	LIST_PAGE = 100,         /* rows that the queue gives at once */
	LIST_SORTED_MAX = 10000, /* kept, when no limit says less */
};

/* Beyond what the store can filter by. */
enum list_state {
	LIST_ANY,
	LIST_PARKED,
	LIST_WAITING, /* queued and not parked */
	LIST_UNCERTAIN,
};

struct list_kept {
	struct sv text; /* the key of the order: this, then `number`, then `at` */
	int64_t number;
	uint64_t at;
	char *line;
};

struct observe_list {
	enum list_state state;
	struct sv tenant;
	struct sv
		cause; /* of a hold, which is in no row; empty: the queue filters by it, or nobody does */
	bool (*key)(
		const struct store_list_row *row, struct list_kept *out); /* NULL: as accepted */
	struct list_kept **kept; /* has room for twice as many, and a page */
	size_t kept_count, kept_max;
	uint64_t matched, messages, bytes, parked, held, last_id;
	bool more; /* the limit ended the scan */
};

/* ---- order ---- */

static bool by_newest(const struct store_list_row *row, struct list_kept *k)
{
	k->number = -row->message.accepted_at.us;
	return true;
}

static bool by_size(const struct store_list_row *row, struct list_kept *k)
{
	k->number = -(int64_t)row->message.size;
	return true;
}

static bool by_next(const struct store_list_row *row, struct list_kept *k)
{
	k->number = row->recipient.next_at.us ? row->recipient.next_at.us : INT64_MAX;
	return true;
}

static bool by_attempts(const struct store_list_row *row, struct list_kept *k)
{
	k->number = -(int64_t)row->recipient.attempts;
	return true;
}

static bool by_sender(const struct store_list_row *row, struct list_kept *k)
{
	k->text = row->message.sender;
	return true;
}

static bool by_recipient(const struct store_list_row *row, struct list_kept *k)
{
	k->text = row->recipient.address;
	return true;
}

static bool by_mailbox(const struct store_list_row *row, struct list_kept *k)
{
	k->text = row->recipient.lane;
	return true;
}

static bool by_cause(const struct store_list_row *row, struct list_kept *k)
{
	k->text = row->recipient.last_cause;
	return true;
}

static const struct {
	const char *name;
	bool (*key)(const struct store_list_row *row, struct list_kept *out);
} orders[] = {
	{ "oldest", NULL },
	{ "newest", by_newest },
	{ "size", by_size },
	{ "next", by_next },
	{ "attempts", by_attempts },
	{ "sender", by_sender },
	{ "recipient", by_recipient },
	{ "mailbox", by_mailbox },
	{ "cause", by_cause },
};

static int compare(const void *a, const void *b, void *arg)
{
	const struct list_kept *x = a, *y = b;
	int text = sv_cmp(x->text, y->text);

	(void)arg;
	if (text)
		return text;
	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static void forget(struct list_kept *k)
{
	free(k->line);
	free((void *)(uintptr_t)k->text.ptr);
	free(k);
}

void observe_list_free(struct observe_list *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->kept_count; i++)
		forget(l->kept[i]);
	free(l->kept);
	free(l);
}

static void keep(struct observe_list *l, const struct store_list_row *row, json_t *line)
{
	struct list_kept *k = xcalloc(1, sizeof(*k));

	*k = (struct list_kept){ .at = l->matched, .line = observe_query_line(line) };
	(void)l->key(row, k);
	k->text = k->text.len ? sv_from(sv_dup(k->text)) : sv_make(NULL, 0);
	l->kept[l->kept_count++] = k;
}

/* ---- rows ---- */

static bool is_wanted(const struct observe_query *q, const struct store_list_row *row,
	const struct outbound_hold *h)
{
	const struct observe_list *l = q->listed;
	const struct conf_lane *c;

	if (l->tenant.len) {
		c = conf_lane(q->conf, row->recipient.lane);
		if (!c || !c->tenant || !sv_eq(c->tenant->name, l->tenant))
			return false;
	}
	if (l->cause.len && !observe_waits_by(h, &row->recipient, l->cause))
		return false;
	switch (l->state) {
	case LIST_PARKED:
		return h->parked;
	case LIST_WAITING:
		return !h->parked;
	case LIST_UNCERTAIN:
		return row->recipient.uncertain > 0;
	case LIST_ANY:
		break;
	}
	return true;
}

static void count(struct observe_list *l, const struct store_list_row *row, bool parked)
{
	l->matched++;
	l->parked += parked;
	l->held += row->recipient.state == STORE_RCPT_HELD;
	if (row->message.id == l->last_id)
		return;
	l->last_id = row->message.id;
	l->messages++;
	l->bytes += row->message.size;
}

static void take_row(struct observe_query *q, struct store_list_row *row)
{
	struct observe_list *l = q->listed;
	struct outbound_hold hold = { .parked = false };
	json_t *o;
	bool parked;

	observe_set_lane(q->sources->outbound, q->conf, &row->recipient);
	if (l->state == LIST_PARKED || l->state == LIST_WAITING || l->cause.len)
		(void)observe_hold_of(q, &row->recipient, row->message.sender, &hold);
	if (!is_wanted(q, row, &hold))
		return;
	o = observe_message_json(&row->message);
	parked = observe_recipient_put(q, o, &row->message, &row->recipient);
	observe_wait_put(o,
		q->sources->outbound,
		q->conf,
		&row->recipient,
		STORE_AHEAD_UNKNOWN,
		io_wall(q->sources->loop));
	observe_json_wall(
		o, "expires_at", observe_expires_at(q, &row->message, &row->recipient, parked));
	observe_json_wall(o, "finished_at", row->finished_at);
	count(l, row, parked);
	if (l->key) {
		keep(l, row, o);
		return;
	}
	observe_query_emit(q, o);
	q->rows++;
}

static void end(struct observe_query *q)
{
	const struct observe_list *l = q->listed;

	q->totals = json_object();
	observe_json_int(q->totals, "recipients", l->matched);
	observe_json_int(q->totals, "shown", q->rows);
	observe_json_int(q->totals, "messages", l->messages);
	observe_json_int(q->totals, "bytes", l->bytes);
	observe_json_int(q->totals, "parked", l->parked);
	observe_json_int(q->totals, "held", l->held);
	if (l->more)
		must(json_object_set_new(q->totals, "more", json_true()) == 0);
	observe_query_end(q);
}

static void emit_kept(struct observe_query *q, size_t at)
{
	q->sink.line(q->sink.arg, sv_from(q->listed->kept[at]->line));
	q->rows++;
}

static void list_page(struct observe_query *q);

static void take_row_at(struct observe_query *q, size_t at)
{
	if (q->rows_max && q->rows >= q->rows_max)
		q->listed->more = true;
	else
		take_row(q, &q->list.out_rows[at]);
}

static void page_ends(struct observe_query *q)
{
	struct observe_list *l = q->listed;

	arena_reset(&q->page);
	if (q->list.out_more && !l->more)
		list_page(q);
	else if (l->key)
		observe_query_turns(q, l->kept_count, emit_kept, end);
	else
		end(q);
}

static void forget_worst(struct observe_query *q, size_t at)
{
	(void)at;
	forget(q->listed->kept[--q->listed->kept_count]);
}

/* The best half stays. */
static void sorted(struct observe_query *q)
{
	struct observe_list *l = q->listed;

	if (l->kept_count)
		memcpy(l->kept, q->shown, l->kept_count * sizeof(struct list_kept *));
	observe_query_work(q,
		l->kept_count > l->kept_max ? l->kept_count - l->kept_max : 0,
		forget_worst,
		page_ends);
}

static void page_taken(struct observe_query *q)
{
	struct observe_list *l = q->listed;

	l->more |= q->list.out_more && q->rows_max && q->rows >= q->rows_max;
	if (!l->key || (q->list.out_more && l->kept_count < 2 * l->kept_max)) {
		page_ends(q);
		return;
	}
	q->shown = arena_alloc(&q->page, (l->kept_count + 1) * sizeof(*q->shown));
	if (l->kept_count)
		memcpy(q->shown, l->kept, l->kept_count * sizeof(*q->shown));
	observe_query_sort(q, l->kept_count, compare, NULL, sorted);
}

static void list_rows(struct observe_query *q)
{
	observe_query_work(q, q->list.out_count, take_row_at, page_taken);
}

static void list_page(struct observe_query *q)
{
	q->step = list_page;
	if (!q->sink.has_room(q->sink.arg)) {
		q->paused = true;
		return;
	}
	q->list.limit = LIST_PAGE;
	q->list.out_arena = &q->page;
	q->list.out_count = 0;
	observe_query_submit(q, STORE_OP_LIST, list_rows);
}

/* ---- the request ---- */

static bool read_order(struct observe_query *q)
{
	struct sv sort = observe_json_get_sv(q->request, "sort");

	for (size_t i = 0; sort.len && i < COUNT_OF(orders); i++) {
		if (!sv_eq(sort, sv_from(orders[i].name)))
			continue;
		q->listed->key = orders[i].key;
		return true;
	}
	if (sort.len)
		observe_query_fail(q,
			EX_USAGE,
			"mail is sorted by oldest, newest, size, next, attempts, sender, "
			"recipient, mailbox or cause");
	return sort.len == 0;
}

/* The states that only the daemon knows become one of the store's, and a look at each row. */
static void read_state(struct observe_query *q)
{
	static const struct {
		const char *name, *stored;
		enum list_state state;
	} states[] = {
		{ "parked", "queued", LIST_PARKED },
		{ "waiting", "queued", LIST_WAITING },
		{ "uncertain", NULL, LIST_UNCERTAIN },
	};
	struct sv name = observe_json_get_sv(q->request, "state");

	for (size_t i = 0; i < COUNT_OF(states); i++) {
		if (!sv_eq_nocase(name, sv_from(states[i].name)))
			continue;
		q->listed->state = states[i].state;
		if (states[i].stored)
			(void)json_object_set_new(
				q->request, "state", json_string(states[i].stored));
		else
			(void)json_object_del(q->request, "state");
		return;
	}
}

static void list(struct observe_query *q)
{
	struct observe_list *l = q->listed = xcalloc(1, sizeof(*q->listed));
	uint64_t limit = (uint64_t)json_integer_value(json_object_get(q->request, "limit"));

	read_state(q);
	if (!read_order(q) || !observe_query_tenant(q, &l->tenant) ||
		!observe_query_filter(q, &q->list.filter))
		return;
	l->cause = observe_cause_of_hold(q, &q->list.filter);
	q->list.filter.waiting_only = !json_is_true(json_object_get(q->request, "history"));
	q->list.after_index = UINT32_MAX;
	if (l->key) {
		l->kept_max = limit && limit < LIST_SORTED_MAX ? limit : LIST_SORTED_MAX;
		l->kept = xcalloc(2 * l->kept_max + LIST_PAGE, sizeof(struct list_kept *));
	} else {
		q->rows_max = limit;
	}
	list_page(q);
}

void observe_query_list(struct observe_query *q)
{
	observe_query_with_holds(q, list);
}
