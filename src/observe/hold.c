/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "mail/address.h"
#include "observe/cause.h"
#include "observe/query_priv.h"
#include "outbound/outbound.h"

/*
 * What holds mail: as the running daemon knows it, else as the queue remembers it. `sender:LANE:ADDRESS`,
 * `mailbox:LANE`, `tenant:NAME` and so on; see store.h.
 */

/* ---- where it is known from ---- */

static void parks_read(struct observe_query *q)
{
	q->park_rows = q->parks.out_rows;
	q->park_count = q->parks.out_count;
	q->then(q);
}

void observe_query_with_holds(struct observe_query *q, void (*then)(struct observe_query *q))
{
	if (q->sources->outbound || q->park_rows) {
		then(q);
		return;
	}
	q->then = then;
	q->parks = (struct store_parks_read){ .out_arena = &q->arena };
	observe_query_submit(q, STORE_OP_PARKS_READ, parks_read);
}

static struct outbound_hold of_record(const struct store_park_row *row)
{
	return (struct outbound_hold){ .key = row->key,
		.cause = row->cause,
		.summary = row->summary,
		.reply = row->reply,
		.transcript = row->transcript,
		.nature = row->nature,
		.parked = true,
		.since = row->since,
		.next_at = { row->probe_at.us == INT64_MAX ? 0 : row->probe_at.us } };
}

void observe_each_hold(struct observe_query *q,
	void (*each)(void *arg, const struct outbound_hold *hold), void *arg)
{
	if (q->sources->outbound) {
		outbound_each_hold(q->sources->outbound, each, arg);
		return;
	}
	for (size_t i = 0; i < q->park_count; i++) {
		const struct outbound_hold hold = of_record(&q->park_rows[i]);

		/* What was told in alerts lies there, too, and what was learned of limits. */
		if (!sv_starts(hold.key, SV("alert:")) && !sv_starts(hold.key, SV("learned:")))
			each(arg, &hold);
	}
}

static bool record_of(
	const struct observe_query *q, const char *kind, struct sv name, struct outbound_hold *out)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(2048);

	if (buf_printf(&key, "%s:%.*s", kind, SV_ARG(name)) != 0)
		return false;
	for (size_t i = 0; i < q->park_count; i++) {
		if (!sv_eq(q->park_rows[i].key, buf_sv(&key)))
			continue;
		*out = of_record(&q->park_rows[i]);
		out->key = sv_head(out->key, strlen(kind));
		return true;
	}
	return false;
}

static bool recorded_hold_of(const struct observe_query *q, const struct store_recipient *r,
	struct sv sender, struct outbound_hold *out)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(2048);
	const struct conf_lane *c = conf_lane(q->conf, r->lane);
	const struct conf_tenant *tenant = c ? c->tenant : NULL;

	if (record_of(q, "mailbox", r->lane, out) ||
		(tenant && (record_of(q, "tenant", tenant->name, out) ||
				   record_of(q, "tenant-sign-in", tenant->name, out))))
		return true;
	if (buf_printf(&name, "%.*s:", SV_ARG(r->lane)) == 0 &&
		(address_key(&name, sender) == 0 || buf_append(&name, sender) == 0) &&
		record_of(q, "sender", buf_sv(&name), out))
		return true;
	return tenant && !conf_is_internal(q->conf, tenant, r->address) &&
	       record_of(q, "tenant-external", tenant->name, out);
}

/* ---- one recipient ---- */

/* Nothing wider holds it: its own last answer does. */
static bool own_hold(const struct store_recipient *r, struct outbound_hold *out)
{
	*out = (struct outbound_hold){ .key = SV("recipient"),
		.cause = r->last_cause,
		.reply = r->last_reply,
		.next_at = r->next_at };
	if (r->state == STORE_RCPT_HELD) {
		out->parked = true;
		out->next_at.us = 0;
		if (r->last_cause.len == 0)
			out->cause = SV("held");
		return true;
	}
	out->parked = observe_cause_parks(r->last_cause);
	return r->last_cause.len > 0;
}

bool observe_hold_of(const struct observe_query *q, const struct store_recipient *r,
	struct sv sender, struct outbound_hold *out)
{
	if (r->state != STORE_RCPT_QUEUED && r->state != STORE_RCPT_HELD)
		return false;
	if (r->state != STORE_RCPT_HELD) {
		if (q->sources->outbound
				? outbound_hold_of(
					  q->sources->outbound, r->lane, sender, r->address, out)
				: recorded_hold_of(q, r, sender, out))
			return true;
	}
	return own_hold(r, out);
}

bool observe_waits_by(
	const struct outbound_hold *h, const struct store_recipient *r, struct sv cause)
{
	return sv_eq(cause, r->last_cause) || sv_eq(cause, h->cause);
}

struct held_for {
	struct sv cause;
	bool found;
};

static void look_for(void *arg, const struct outbound_hold *hold)
{
	struct held_for *h = arg;

	h->found = h->found || sv_eq(hold->cause, h->cause);
}

struct sv observe_cause_of_hold(struct observe_query *q, struct store_filter *f)
{
	struct held_for h = { .cause = f->cause };

	if (f->cause.len == 0)
		return SV("");
	if (q->sources->outbound)
		h.found = outbound_holds_for(q->sources->outbound, f->cause);
	else
		observe_each_hold(q, look_for, &h);
	if (!h.found)
		return SV("");
	f->cause = SV("");
	return h.cause;
}
