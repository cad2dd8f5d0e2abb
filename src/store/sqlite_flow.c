/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/sqlite_priv.h"

#include <stdio.h>

/*
 * Flows: their names, and how much waits in each. A name is one text, so that flows are numbered as lanes are:
 *   class (t, n, b) TAB external (e, i) TAB principal TAB sender TAB queue
 * No part but the last has a tab, and none a control character that a person could have written into the configuration.
 */
enum {
	FLOW_TEXT_MAX = 8192,
	PART_MAX = 1024, /* of a principal, or a sender */
};
static const char letters[MAIL_CLASS_COUNT] = { 't', 'n', 'b' };

void store_flow_render(const struct mail_flow *flow, struct buf *out)
{
	must(buf_printf(out,
		     "%c\t%c\t%.*s\t%.*s\t%.*s",
		     letters[flow->class],
		     flow->external ? 'e' : 'i',
		     SV_ARG(sv_head(flow->principal, PART_MAX)),
		     SV_ARG(sv_head(flow->sender, PART_MAX)),
		     SV_ARG(flow->queue)) == 0);
}

static enum mail_class class_of(struct sv letter)
{
	for (unsigned i = 0; i < MAIL_CLASS_COUNT; i++)
		if (letter.len == 1 && letter.ptr[0] == letters[i])
			return (enum mail_class)i;
	return MAIL_CLASS_NORMAL;
}

struct mail_flow store_flow_parse(struct sv text)
{
	struct mail_flow flow = { .queue = text };
	struct sv class = SV(""), side = SV("");

	(void)sv_cut_char(&flow.queue, '\t', &class);
	(void)sv_cut_char(&flow.queue, '\t', &side);
	(void)sv_cut_char(&flow.queue, '\t', &flow.principal);
	(void)sv_cut_char(&flow.queue, '\t', &flow.sender);
	flow.class = class_of(class);
	flow.external = sv_eq(side, SV("e"));
	return flow;
}

int store_flow_number(
	struct store_sqlite *s, const struct mail_flow *flow, int64_t *out, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(FLOW_TEXT_MAX);

	store_flow_render(flow, &text);
	return store_flow_text_number(s, buf_sv(&text), out, err);
}

int64_t store_flow_known(const struct store_sqlite *s, const struct mail_flow *flow)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(FLOW_TEXT_MAX);

	store_flow_render(flow, &text);
	return store_flow_text_known(s, buf_sv(&text));
}

struct mail_flow store_flow_copy(const struct store_sqlite *s, int64_t number, struct arena *a)
{
	return store_flow_parse(arena_sv(a, store_flow_text(s, number)));
}

/* ---- how much waits ---- */

int store_flow_count(
	struct store_sqlite *s, int64_t flow, int64_t recipients, int64_t bytes, struct err *err)
{
	sqlite3_stmt *q;

	if (recipients == 0 || !store_part_begin(s, STORE_PART_FLOW))
		return 0;
	q = store_sql(s, SQL_FLOW_COUNT);
	(void)sqlite3_bind_int64(q, 1, flow);
	(void)sqlite3_bind_int64(q, 2, recipients);
	(void)sqlite3_bind_int64(q, 3, bytes);
	return store_part_end(s, store_run(s, q, err));
}

int store_flow_tally(struct store_sqlite *s, struct store_tally *t, int64_t flow, int sign,
	int64_t size, struct err *err)
{
	int rc = 0;

	if (t->flow != flow) {
		rc = store_flow_tally_end(s, t, err);
		t->flow = flow;
	}
	t->recipients += sign;
	t->bytes += sign * size;
	return rc;
}

int store_flow_tally_end(struct store_sqlite *s, struct store_tally *t, struct err *err)
{
	int rc = store_flow_count(s, t->flow, t->recipients, t->bytes, err);

	*t = (struct store_tally){ 0 };
	return rc;
}

static int flow_figures(struct store_sqlite *s, int64_t flow, struct store_flow_info *out)
{
	sqlite3_stmt *q = store_sql(s, SQL_FLOW_READ);
	int rc;

	(void)sqlite3_bind_int64(q, 1, flow);
	rc = store_step(s, q, NULL);
	if (rc == 1) {
		out->waiting = (uint64_t)sqlite3_column_int64(q, 0);
		out->bytes = (uint64_t)sqlite3_column_int64(q, 1);
		(void)sqlite3_reset(q);
	}
	/* What is due counts more than its number. */
	if (rc != 1 || out->waiting == 0)
		out->waiting = 1;
	return 0;
}

/* A name that was lost costs its mail a new route: nothing is configured for such a queue. */
static int name_lost(struct store_sqlite *s, int64_t flow, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(FLOW_TEXT_MAX);
	char name[32];

	if (store_flow_text(s, flow).len)
		return 0;
	if (flow > (int64_t)s->flows.count + STORE_SCAN_MAX)
		return err_set(err, RC_CORRUPT, "mail waits in a flow that there cannot be");
	/* Each its own, so that none is taken for another. */
	(void)snprintf(name, sizeof(name), "lost/%lld", (long long)flow);
	store_flow_render(&(struct mail_flow){ .queue = SV(""),
				  .class = MAIL_CLASS_NORMAL,
				  .principal = sv_from(name),
				  .sender = SV("") },
		&text);
	store_names_load(&s->flows, flow, buf_sv(&text));
	return 0;
}

/* 1: mail waits in a flow behind `flow`, which becomes that. */
static int next_flow(
	struct store_sqlite *s, int64_t *flow, struct wall_time *out_first, struct err *err)
{
	sqlite3_stmt *q = store_sql(s, SQL_FLOW_NEXT);
	int rc;

	(void)sqlite3_bind_int64(q, 1, *flow);
	rc = store_step(s, q, err);
	if (rc == 1) {
		*flow = sqlite3_column_int64(q, 0);
		out_first->us = sqlite3_column_int64(q, 1);
	}
	(void)sqlite3_reset(q);
	return rc;
}

static int read_last(struct store_sqlite *s, int64_t flow, struct wall_time *out, struct err *err)
{
	sqlite3_stmt *q = store_sql(s, SQL_FLOW_LAST);
	int rc;

	(void)sqlite3_bind_int64(q, 1, flow);
	rc = store_step(s, q, err);
	if (rc == 1)
		out->us = sqlite3_column_int64(q, 0);
	(void)sqlite3_reset(q);
	return rc < 0 ? rc : 0;
}

static int read_flow(
	struct store_sqlite *s, struct store_flows *op, int64_t flow, struct store_flow_info *info)
{
	int rc = name_lost(s, flow, &op->op.err);

	if (rc == 0)
		rc = read_last(s, flow, &info->last_at, &op->op.err);
	if (rc != 0)
		return rc;
	info->key = store_flow_copy(s, flow, op->out_arena);
	return flow_figures(s, flow, info);
}

int store_do_flows(struct store *front, struct store_flows *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	struct wall_time first = { 0 };
	size_t cap = 0;
	int64_t flow = 0;
	int rc;

	op->out_count = 0;
	op->out_flows = NULL;
	while ((rc = next_flow(s, &flow, &first, &op->op.err)) == 1) {
		/* All of it is held. */
		if (first.us == DUE_HELD)
			continue;
		op->out_flows = arena_more(
			op->out_arena, op->out_flows, op->out_count, &cap, sizeof(*op->out_flows));
		op->out_flows[op->out_count] = (struct store_flow_info){ .next_at = first };
		rc = read_flow(s, op, flow, &op->out_flows[op->out_count]);
		if (rc != 0)
			return rc;
		op->out_count++;
	}
	return rc;
}
