/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "io/log.h"
#include "mail/address.h"
#include "outbound/outbound_priv.h"

#include <stdlib.h>

/*
 * Parks that reach beyond one message. A lane's own state lives in the lane; a sender on a mailbox and
 * a tenant are kept here. All are recorded in the queue, so that a restart does not hammer on a door that
 * was found shut.
 */
#define PROBE_FIRST_US (15 * US_PER_MIN)
#define PROBE_CEILING_US US_PER_HOUR

void hold_reason_clear(struct hold_reason *why)
{
	free(why->cause);
	free(why->summary);
	free(why->reply);
	*why = (struct hold_reason){ 0 };
}

void hold_reason_set(
	struct hold_reason *why, struct wall_time now, const struct verdict *v, struct sv reply)
{
	struct wall_time since =
		why->cause && sv_eq(sv_from(why->cause), sv_from(v->cause)) ? why->since : now;

	hold_reason_clear(why);
	why->cause = sv_dup(sv_from(v->cause));
	why->summary = sv_dup(sv_from(v->summary));
	why->reply = sv_dup(sv_head(reply, LIMIT_REPLY_KEPT));
	why->since = since;
}

/* ---- records ---- */

static void recorded(struct store_op *op)
{
	if (op->rc != 0)
		log_line(LOG_WARN, "outbound", "a park could not be recorded: %s", op->err.text);
	free(op);
}

static void record(struct outbound *o, struct sv key, const struct hold_reason *why,
	struct wall_time probe_at, bool clear)
{
	/* One block: the op and its texts, so that nothing else must outlive it. */
	size_t cause = why ? strlen(why->cause) : 0, summary = why ? strlen(why->summary) : 0;
	size_t reply = why ? strlen(why->reply) : 0;
	struct store_park *op = xcalloc(1, sizeof(*op) + key.len + cause + summary + reply);
	char *at = (char *)(op + 1);

	op->op.kind = STORE_OP_PARK;
	op->op.done = recorded;
	op->clear = clear;
	memcpy(at, key.ptr, key.len);
	op->row.key = sv_make(at, key.len);
	at += key.len;
	if (why) {
		memcpy(at, why->cause, cause);
		op->row.cause = sv_make(at, cause);
		memcpy(at + cause, why->summary, summary);
		op->row.summary = sv_make(at + cause, summary);
		memcpy(at + cause + summary, why->reply, reply);
		op->row.reply = sv_make(at + cause + summary, reply);
		op->row.since = why->since;
		op->row.probe_at = probe_at;
	}
	store_submit(o->store, &op->op);
}

static struct wall_time wall_at(struct outbound *o, struct mono_time at)
{
	return wall_add(io_wall(o->loop), (int64_t)mono_span(io_now(o->loop), at));
}

void park_record_lane(struct lane *l, bool clear)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(1024);

	must(buf_printf(&key, "mailbox:%.*s", SV_ARG(l->key)) == 0);
	record(l->o,
		buf_sv(&key),
		clear ? NULL : &l->why,
		wall_at(l->o, sched_lane_until(l->sched)),
		clear);
}

/* ---- senders and tenants ---- */

static void sender_key(struct lane *l, struct sv sender, struct buf *out)
{
	must(buf_printf(out, "sender:%.*s:", SV_ARG(l->key)) == 0);
	if (address_key(out, sender) != 0)
		must(buf_append(out, sv_head(sender, LIMIT_ADDRESS)) == 0);
}

static bool tenant_key(struct lane *l, bool external, struct buf *out)
{
	if (!l->c || !l->c->tenant)
		return false;
	must(buf_printf(out,
		     external ? "tenant-external:%.*s" : "tenant:%.*s",
		     SV_ARG(l->c->tenant->name)) == 0);
	return true;
}

static bool park_key(struct lane *l, enum verdict_scope scope, struct sv sender, struct buf *out)
{
	if (scope == VERDICT_SCOPE_SENDER) {
		sender_key(l, sender, out);
		return true;
	}
	if (scope == VERDICT_SCOPE_TENANT)
		return tenant_key(l, false, out);
	return scope == VERDICT_SCOPE_TENANT_EXTERNAL && tenant_key(l, true, out);
}

void park_set(struct lane *l, const struct verdict *v, struct sv sender, struct sv reply)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(1024);
	struct outbound *o = l->o;
	struct park *p;

	if (!park_key(l, v->scope, sender, &key))
		return;
	p = htable_get(&o->parks, buf_sv(&key));
	if (!p) {
		p = xcalloc(1, sizeof(*p));
		htable_put(&o->parks, buf_sv(&key), p);
		log_event(LOG_WARN,
			"outbound",
			SV(""),
			"parked",
			(const struct log_field[]){ LOG_F("scope", buf_sv(&key)),
				LOG_F("cause", sv_from(v->cause)),
				LOG_F("why", sv_from(v->summary)),
				LOG_F("reply", reply) },
			4);
	}
	hold_reason_set(&p->why, io_wall(o->loop), v, reply);
	p->pause_us = p->pause_us ? p->pause_us * 2 : PROBE_FIRST_US;
	if (p->pause_us > PROBE_CEILING_US)
		p->pause_us = PROBE_CEILING_US;
	if (p->pause_us < v->retry_after_us)
		p->pause_us = v->retry_after_us;
	p->probe_at = mono_add(io_now(o->loop), p->pause_us);
	record(o, buf_sv(&key), &p->why, wall_at(o, p->probe_at), false);
}

static bool is_external(const struct lane *l, struct sv recipient)
{
	ptrdiff_t at = sv_rfind_char(recipient, '@');
	struct sv domain = sv_skip(recipient, (size_t)(at + 1));

	for (size_t i = 0; l->c && l->c->tenant && i < l->c->tenant->domain_count; i++)
		if (sv_eq_nocase(domain, l->c->tenant->domains[i]))
			return false;
	return true;
}

static const struct park *find(struct lane *l, enum verdict_scope scope, struct sv sender)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(1024);
	struct park *p;

	if (!park_key(l, scope, sender, &key))
		return NULL;
	p = htable_get(&l->o->parks, buf_sv(&key));
	return p && mono_before(io_now(l->o->loop), p->probe_at) ? p : NULL;
}

const struct park *park_find(struct lane *l, struct sv sender, struct sv recipient)
{
	const struct park *p;

	if (l->o->parks.count == 0)
		return NULL;
	p = find(l, VERDICT_SCOPE_TENANT, sender);
	if (!p)
		p = find(l, VERDICT_SCOPE_SENDER, sender);
	if (!p && is_external(l, recipient))
		p = find(l, VERDICT_SCOPE_TENANT_EXTERNAL, sender);
	return p;
}

static void drop_park(struct outbound *o, struct sv key)
{
	struct park *p = htable_take(&o->parks, key);

	if (!p)
		return;
	log_event(LOG_INFO,
		"outbound",
		SV(""),
		"released",
		(const struct log_field[]){
			LOG_F("scope", key), LOG_F("cause", sv_from(p->why.cause)) },
		2);
	record(o, key, NULL, (struct wall_time){ 0 }, true);
	hold_reason_clear(&p->why);
	free(p);
}

void park_clear(struct lane *l, struct sv sender)
{
	static const enum verdict_scope scopes[] = {
		VERDICT_SCOPE_SENDER, VERDICT_SCOPE_TENANT, VERDICT_SCOPE_TENANT_EXTERNAL
	};

	if (l->o->parks.count == 0)
		return;
	for (size_t i = 0; i < COUNT_OF(scopes); i++) {
		CLEANUP(buf_deinitp) struct buf key = BUF_INIT(1024);

		if (park_key(l, scopes[i], sender, &key))
			drop_park(l->o, buf_sv(&key));
	}
}

void park_probe_all(struct outbound *o)
{
	htable_each (&o->parks, slot) {
		struct park *p = slot->value;

		p->probe_at = io_now(o->loop);
	}
}

void parks_free(struct outbound *o)
{
	htable_each (&o->parks, slot) {
		struct park *p = slot->value;

		hold_reason_clear(&p->why);
		free(p);
	}
	htable_deinit(&o->parks);
}

/* ---- after a restart ---- */

static struct verdict verdict_of(const struct store_park_row *row, struct arena *a)
{
	return (struct verdict){ .kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.cause = arena_str(a, row->cause),
		.summary = arena_str(a, row->summary) };
}

void park_loaded(struct outbound *o, const struct store_park_row *row)
{
	struct arena a = { 0 };
	struct verdict v = verdict_of(row, &a);
	int64_t left = row->probe_at.us - io_wall(o->loop).us;
	uint64_t pause = left < 0                            ? 0
			 : (uint64_t)left > PROBE_CEILING_US ? PROBE_CEILING_US
							     : (uint64_t)left;

	if (sv_starts(row->key, SV("mailbox:"))) {
		struct lane *l = lane_get(o, sv_skip(row->key, 8));

		hold_reason_set(&l->why, row->since, &v, row->reply);
		(void)sched_lane_park(l->sched, io_now(o->loop), 0, io_prng(o->loop));
		/* A restart is an administrator's act more often than not: the door is tried soon. */
		sched_lane_probe_now(
			l->sched, mono_add(io_now(o->loop), pause < US_PER_S ? pause : US_PER_S));
	} else {
		struct park *p = xcalloc(1, sizeof(*p));

		hold_reason_set(&p->why, row->since, &v, row->reply);
		p->probe_at = mono_add(io_now(o->loop), pause);
		htable_put(&o->parks, row->key, p);
	}
	arena_reset(&a);
}
