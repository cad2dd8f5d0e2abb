/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/query_priv.h"
#include "observe/where.h"

#include "base/htable.h"
#include "base/limits.h"
#include "base/must.h"

#include <stdlib.h>
#include <string.h>

/*
 * What was accepted in a span of time and what became of it: totals, then by sender, mailbox and cause.
 * It goes through the history a page at a time, as `list` does, between other operations; what it keeps
 * is bounded, whatever the senders are called.
 */
enum {
	GROUPS_MAX = 5000, /* of a kind; the rest is counted as others */
	ROWS_DEFAULT = 20,
	EXAMPLE_MAX = 300,
};

enum report_kind {
	REPORT_SENDER,
	REPORT_MAILBOX,
	REPORT_CAUSE,
	REPORT_KINDS
};
static const char *const kind_names[] = { "sender", "mailbox", "cause" };
static_assert(COUNT_OF(kind_names) == REPORT_KINDS, "each has a name");

struct report_group {
	struct sv name;
	uint64_t recipients, bytes;
	uint64_t by_state[STORE_RCPT_COUNT];
	struct sv example; /* a reply */
};

struct report {
	struct observe_query *q;
	struct arena arena;
	struct htable groups[REPORT_KINDS];
	struct report_group others[REPORT_KINDS];
	struct report_group total;
	uint64_t messages, last_id;
	uint64_t delay_us, delay_us_max; /* of what was delivered */
};

static struct report_group *group_of(struct report *r, enum report_kind kind, struct sv name)
{
	struct report_group *g = htable_get(&r->groups[kind], name);

	if (g)
		return g;
	if (r->groups[kind].count >= GROUPS_MAX)
		return &r->others[kind];
	g = arena_alloc(&r->arena, sizeof(*g));
	g->name = arena_sv(&r->arena, name);
	htable_put(&r->groups[kind], name, g);
	return g;
}

static void count(struct report_group *g, const struct store_list_row *row)
{
	g->recipients++;
	g->bytes += row->message.size;
	g->by_state[row->recipient.state]++;
}

static void take_row(struct report *r, const struct store_list_row *row)
{
	const struct store_recipient *rcpt = &row->recipient;
	struct report_group *cause;
	uint64_t delay;

	if (row->message.id != r->last_id) {
		r->last_id = row->message.id;
		r->messages++;
		r->total.bytes += row->message.size;
	}
	r->total.recipients++;
	r->total.by_state[rcpt->state]++;
	count(group_of(r, REPORT_SENDER, row->message.sender), row);
	count(group_of(r, REPORT_MAILBOX, rcpt->lane), row);
	if (rcpt->state == STORE_RCPT_DELIVERED) {
		delay = row->finished_at.us > row->message.accepted_at.us
				? (uint64_t)(row->finished_at.us - row->message.accepted_at.us)
				: 0;
		r->delay_us += delay;
		if (delay > r->delay_us_max)
			r->delay_us_max = delay;
		return;
	}
	/* Not tried yet: nothing has gone wrong. */
	if (rcpt->last_cause.len == 0)
		return;
	cause = group_of(r, REPORT_CAUSE, rcpt->last_cause);
	count(cause, row);
	if (cause->example.len == 0 && rcpt->last_reply.len && cause != &r->others[REPORT_CAUSE])
		cause->example = arena_sv(&r->arena, sv_head(rcpt->last_reply, EXAMPLE_MAX));
}

/* ---- output ---- */

static void put_counts(json_t *o, const struct report_group *g)
{
	const uint64_t *n = g->by_state;

	observe_json_int(o, "recipients", g->recipients);
	observe_json_int(o, "bytes", g->bytes);
	observe_json_int(o, "delivered", n[STORE_RCPT_DELIVERED]);
	observe_json_int(o, "bounced", n[STORE_RCPT_BOUNCED]);
	observe_json_int(o, "expired", n[STORE_RCPT_EXPIRED]);
	observe_json_int(o, "dropped", n[STORE_RCPT_DROPPED]);
	observe_json_int(o, "held", n[STORE_RCPT_HELD]);
	observe_json_int(o, "waiting", n[STORE_RCPT_QUEUED] + n[STORE_RCPT_OPEN]);
}

static void emit_total(struct report *r)
{
	const struct store_filter *f = &r->q->list.filter;
	uint64_t delivered = r->total.by_state[STORE_RCPT_DELIVERED];
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("total"));
	observe_json_wall(o, "since", f->accepted_from);
	observe_json_wall(o, "until", f->accepted_until);
	observe_json_int(o, "messages", r->messages);
	put_counts(o, &r->total);
	observe_json_int(o, "delay_us", delivered ? r->delay_us / delivered : 0);
	observe_json_int(o, "delay_us_max", r->delay_us_max);
	observe_query_emit(r->q, o);
}

/* Most first; then by name, so that two reports of a day are alike. */
static int compare(const void *a, const void *b)
{
	const struct report_group *x = *(const struct report_group *const *)a;
	const struct report_group *y = *(const struct report_group *const *)b;

	if (x->recipients != y->recipients)
		return x->recipients > y->recipients ? -1 : 1;
	if (x->name.len != y->name.len)
		return x->name.len < y->name.len ? -1 : 1;
	return memcmp(x->name.ptr, y->name.ptr, x->name.len);
}

static void emit_kind(struct report *r, enum report_kind kind)
{
	size_t n = 0, shown = r->q->rows_max ? (size_t)r->q->rows_max : ROWS_DEFAULT;
	struct report_group **all = xcalloc(r->groups[kind].count + 1, sizeof(*all));
	struct report_group *others = &r->others[kind];
	uint64_t left_out = 0;
	json_t *o;

	htable_each (&r->groups[kind], slot)
		all[n++] = slot->value;
	qsort(all, n, sizeof(*all), compare);
	for (size_t i = 0; i < n; i++) {
		if (i >= shown) {
			left_out++;
			others->recipients += all[i]->recipients;
			others->bytes += all[i]->bytes;
			for (size_t s = 0; s < STORE_RCPT_COUNT; s++)
				others->by_state[s] += all[i]->by_state[s];
			continue;
		}
		o = json_object();
		observe_json_sv(o, "type", sv_from(kind_names[kind]));
		/* The null sender and "no route" are names, too. */
		must(json_object_set_new(o, "name", json_string("")) == 0);
		observe_json_sv(o, "name", all[i]->name);
		put_counts(o, all[i]);
		observe_json_sv(o, "reply", all[i]->example);
		observe_query_emit(r->q, o);
	}
	free(all);
	if (others->recipients == 0)
		return;
	o = json_object();
	observe_json_sv(o, "type", sv_from(kind_names[kind]));
	must(json_object_set_new(o, "others", json_true()) == 0);
	observe_json_int(o, "names", left_out);
	put_counts(o, others);
	observe_query_emit(r->q, o);
}

/* ---- the walk ---- */

void observe_query_report_free(struct report *r)
{
	if (!r)
		return;
	for (size_t kind = 0; kind < REPORT_KINDS; kind++)
		htable_deinit(&r->groups[kind]);
	arena_reset(&r->arena);
	free(r);
}

static void next_page(struct observe_query *q);

static void got_page(struct observe_query *q)
{
	for (size_t i = 0; i < q->list.out_count; i++) {
		observe_set_lane(q->sources->outbound, q->conf, &q->list.out_rows[i].recipient);
		take_row(q->report, &q->list.out_rows[i]);
	}
	arena_reset(&q->page);
	if (q->list.out_more) {
		next_page(q);
		return;
	}
	emit_total(q->report);
	for (unsigned kind = 0; kind < REPORT_KINDS; kind++)
		emit_kind(q->report, (enum report_kind)kind);
	observe_query_end(q);
}

static void next_page(struct observe_query *q)
{
	q->list.limit = LIMIT_PAGE;
	q->list.out_arena = &q->page;
	q->list.out_count = 0;
	observe_query_submit(q, STORE_OP_LIST, got_page);
}

void observe_query_report(struct observe_query *q)
{
	if (!observe_query_filter(q, &q->list.filter))
		return;
	q->list.after_index = UINT32_MAX;
	q->rows_max = (uint64_t)json_integer_value(json_object_get(q->request, "limit"));
	q->report = xcalloc(1, sizeof(*q->report));
	q->report->q = q;
	for (size_t kind = 0; kind < REPORT_KINDS; kind++)
		io_random(&q->report->groups[kind].seed, sizeof(q->report->groups[kind].seed));
	next_page(q);
}
