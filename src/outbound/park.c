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
/* How long the others wait for the one that tries; then another may. */
#define PROBE_TURN_US (2 * US_PER_MIN)
/* Scopes that were refused something and are not held; more at once are forgotten together. */
enum {
	SUSPECTS_MAX = 4096
};

void hold_reason_clear(struct hold_reason *why)
{
	free(why->summary);
	free(why->reply);
	free(why->transcript);
	*why = (struct hold_reason){ 0 };
}

void hold_reason_set(struct hold_reason *why, struct wall_time now, const struct verdict *v,
	struct sv reply, struct sv transcript)
{
	struct wall_time since = why->cause && why->cause == v->cause ? why->since : now;

	hold_reason_clear(why);
	why->cause = v->cause;
	why->summary = sv_dup(sv_from(v->summary));
	why->reply = sv_dup(sv_head(reply, LIMIT_REPLY_KEPT));
	why->transcript = transcript.len ? sv_dup(transcript) : NULL;
	why->since = since;
	why->nature = v->nature;
}

/* ---- records ---- */

/* The op and its texts, so that nothing else must outlive it. */
struct park_record {
	struct store_park op;
	struct arena arena;
};

static void recorded(struct store_op *op)
{
	struct park_record *r = CONTAINER_OF(op, struct park_record, op.op);

	if (op->rc != 0)
		log_line(LOG_WARN, "qmgr", "a park could not be recorded: %s", op->err.text);
	arena_reset(&r->arena);
	free(r);
}

static struct park_record *record_new(struct sv key)
{
	struct park_record *r = xcalloc(1, sizeof(*r));

	r->op.op.kind = STORE_OP_PARK;
	r->op.op.done = recorded;
	r->op.row.key = arena_sv(&r->arena, key);
	return r;
}

static void record(struct outbound *o, struct sv key, const struct hold_reason *why,
	const struct sched_proof *proof, struct wall_time probe_at)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SCHED_PROOF_TEXT_MAX);
	struct park_record *r = record_new(key);

	sched_proof_write(proof, &text);
	r->op.row.cause = arena_sv(&r->arena, sv_from(cause_name(why->cause)));
	r->op.row.summary = arena_sv(&r->arena, sv_from(why->summary));
	r->op.row.reply = arena_sv(&r->arena, sv_from(why->reply));
	r->op.row.transcript = arena_sv(&r->arena, sv_from(why->transcript));
	r->op.row.proof = arena_sv(&r->arena, buf_sv(&text));
	r->op.row.since = why->since;
	r->op.row.probe_at = probe_at;
	r->op.row.nature = why->nature;
	store_submit(o->store, &r->op.op);
}

static void record_clear(struct outbound *o, struct sv key)
{
	struct park_record *r = record_new(key);

	r->op.clear = true;
	store_submit(o->store, &r->op.op);
}

static struct wall_time wall_at(struct outbound *o, struct mono_time at)
{
	if (at.us == MONO_NEVER.us)
		return (struct wall_time){ INT64_MAX };
	return wall_add(io_wall(o->loop), (int64_t)mono_span(io_now(o->loop), at));
}

/* Tells whoever wants to know. `until`: of the next probe. */
static void tell(struct lane *l, struct sv scope, const struct hold_reason *why,
	struct mono_time until, bool ended)
{
	struct outbound *o = l->o;
	struct wall_time next_at = { 0 };

	if (!o->event)
		return;
	if (until.us != MONO_NEVER.us)
		next_at = wall_at(o, until);
	o->event(o->event_arg,
		&(struct outbound_event){ .ended = ended,
			.scope = scope,
			.lane = l->key,
			.cause = sv_from(cause_name(why->cause)),
			.summary = sv_from(why->summary),
			.reply = sv_from(why->reply),
			.nature = why->nature,
			.since = why->since,
			.next_at = next_at });
}

void park_tell_lane(struct lane *l, bool ended)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(1024);

	must(buf_printf(&key, "mailbox:%.*s", SV_ARG(l->key)) == 0);
	l->parked_told = !ended;
	tell(l, buf_sv(&key), &l->why, sched_lane_until(l->sched), ended);
}

void park_record_lane(struct lane *l, bool clear)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(1024);

	must(buf_printf(&key, "mailbox:%.*s", SV_ARG(l->key)) == 0);
	if (clear)
		record_clear(l->o, buf_sv(&key));
	else
		record(l->o,
			buf_sv(&key),
			&l->why,
			&l->proof,
			wall_at(l->o, sched_lane_until(l->sched)));
}

/* ---- senders and tenants ---- */

static void sender_key(struct lane *l, struct sv sender, struct buf *out)
{
	must(buf_printf(out, "sender:%.*s:", SV_ARG(l->key)) == 0);
	if (address_key(out, sender) != 0)
		must(buf_append(out, sv_head(sender, LIMIT_ADDRESS)) == 0);
}

/* As it stands in the key of its park. */
struct sv park_sender(struct arena *a, struct sv sender)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(LIMIT_ADDRESS + 16);

	if (address_key(&text, sender) == 0)
		return arena_sv(a, buf_sv(&text));
	return arena_sv(a, sv_head(sender, LIMIT_ADDRESS));
}

static bool tenant_key(struct lane *l, const char *kind, struct buf *out)
{
	if (!l->c || !l->c->tenant)
		return false;
	must(buf_printf(out, "%s:%.*s", kind, SV_ARG(l->c->tenant->name)) == 0);
	return true;
}

static bool park_key(struct lane *l, enum verdict_scope scope, struct sv sender, struct buf *out)
{
	if (scope == VERDICT_SCOPE_SENDER) {
		sender_key(l, sender, out);
		return true;
	}
	if (scope == VERDICT_SCOPE_TENANT)
		return tenant_key(l, "tenant", out);
	return scope == VERDICT_SCOPE_TENANT_EXTERNAL && tenant_key(l, "tenant-external", out);
}

/* Those whose tenant was parked or released. */
static void poke_lanes_of(struct outbound *o, struct sv key)
{
	if (!sv_starts(key, SV("tenant")))
		return;
	htable_each (&o->lanes, slot) {
		struct lane *l = slot->value;

		if (l->c && l->c->tenant)
			lane_poke(l);
	}
}

/* ---- what the order of mail hears ---- */

bool hold_may_elsewhere(const struct hold_reason *why)
{
	const struct verdict v = { .nature = why->nature };

	return verdict_may_go_elsewhere(&v);
}

static bool is_held(struct outbound *o, const struct park *p)
{
	return mono_before(io_now(o->loop), p->probe_at);
}

/* "sender:LANE:ADDRESS": no lane has a colon in its key. */
static void tell_sender(struct outbound *o, struct sv key, bool held)
{
	struct sv lane, rest = sv_skip(key, sizeof("sender:") - 1);

	(void)sv_cut_char(&rest, ':', &lane);
	sched_sender_set(lane_get(o, lane)->member->sched, rest, held);
}

static void tell_lanes(struct outbound *o, struct sv key)
{
	struct sv tenant = sv_skip(key, (size_t)(sv_find_char(key, ':') + 1));

	htable_each (&o->lanes, slot) {
		struct lane *l = slot->value;

		if (l->c && l->c->tenant && sv_eq(l->c->tenant->name, tenant))
			lane_tell_order(l);
	}
}

/* After each change of a park. */
static void tell_order(struct outbound *o, struct sv key, const struct park *p, bool held)
{
	if (p->of_sender)
		tell_sender(o, key, held);
	else
		tell_lanes(o, key);
	if (held && p->probe_at.us != MONO_NEVER.us &&
		(o->parks_next.us == 0 || mono_before(p->probe_at, o->parks_next))) {
		o->parks_next = p->probe_at;
		io_timer_start(&o->park_timer, p->probe_at);
	}
	outbound_wake(o);
}

void parks_tell_order(void *outbound)
{
	struct outbound *o = outbound;

	o->parks_next.us = 0;
	htable_each (&o->parks, slot) {
		const struct park *p = slot->value;

		tell_order(o, sv_make(slot->key, slot->key_len), p, is_held(o, p));
	}
}

/* A message may try now. */
static void probe_now(struct outbound *o, struct sv key, struct park *p)
{
	p->probe_at = io_now(o->loop);
	p->prober = NULL;
	p->tried = 0;
	tell_order(o, key, p, false);
}

/* Stopped for reputation: neither what is heard meanwhile nor mail under way changes that. */
static bool is_stopped(const struct park *p)
{
	return p && p->why.nature == VERDICT_NATURE_REPUTATION && p->probe_at.us == MONO_NEVER.us;
}

static void drop_suspect(struct outbound *o, struct sv key, struct sched_proof *out)
{
	struct sched_proof *suspect = htable_take(&o->suspects, key);

	if (suspect && out)
		*out = *suspect;
	free(suspect);
}

static void drop_suspects(struct outbound *o)
{
	htable_each (&o->suspects, slot)
		free(slot->value);
	htable_deinit(&o->suspects);
	o->suspects = (struct htable){ 0 };
}

static void set(struct lane *l, struct sv key, const struct verdict *v, struct sv reply)
{
	struct outbound *o = l->o;
	struct park *p = htable_get(&o->parks, key);
	bool news = !p || p->why.cause != v->cause;

	if (is_stopped(p))
		return;
	if (!p) {
		p = xcalloc(1, sizeof(*p));
		p->of_sender = sv_starts(key, SV("sender:"));
		htable_put(&o->parks, key, p);
		drop_suspect(o, key, &p->proof);
		log_event(LOG_WARN,
			"qmgr",
			SV(""),
			"parked",
			(const struct log_field[]){ LOG_F("scope", key),
				LOG_F("cause", sv_from(cause_name(v->cause))),
				LOG_F("why", sv_from(v->summary)),
				LOG_F("reply", reply) },
			4);
	}
	hold_reason_set(&p->why, io_wall(o->loop), v, reply, SV(""));
	p->pause_us = p->pause_us ? p->pause_us * 2 : PROBE_FIRST_US;
	if (p->pause_us > PROBE_CEILING_US)
		p->pause_us = PROBE_CEILING_US;
	if (p->pause_us < v->retry_after_us)
		p->pause_us = v->retry_after_us;
	p->probe_at = mono_add(io_now(o->loop), p->pause_us);
	if (v->kind == VERDICT_PARK && v->nature == VERDICT_NATURE_REPUTATION)
		p->probe_at = MONO_NEVER;
	p->prober = NULL;
	p->tried = 0;
	record(o, key, &p->why, &p->proof, wall_at(o, p->probe_at));
	if (news)
		tell(l, key, &p->why, p->probe_at, false);
	tell_order(o, key, p, true);
	poke_lanes_of(o, key);
}

void park_set(struct lane *l, const struct verdict *v, struct sv sender, struct sv reply)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(1024);

	if (park_key(l, v->scope, sender, &key))
		set(l, buf_sv(&key), v, reply);
}

bool park_set_sign_in(struct lane *l, const struct verdict *v, struct sv reply)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(1024);

	if (!tenant_key(l, "tenant-sign-in", &key))
		return false;
	set(l, buf_sv(&key), v, reply);
	return true;
}

static struct park *tenants_park(struct lane *l)
{
	static const char *const kinds[] = { "tenant", "tenant-sign-in" };
	size_t count = l->c && lane_needs_token(l->c) ? 2 : 1;
	struct park *p = NULL;

	if (l->o->parks.count == 0)
		return NULL;
	for (size_t i = 0; i < count && !p; i++) {
		CLEANUP(buf_deinitp) struct buf key = BUF_INIT(1024);

		if (tenant_key(l, kinds[i], &key))
			p = htable_get(&l->o->parks, buf_sv(&key));
	}
	return p;
}

const struct park *park_of_lane(struct lane *l, bool *out_held)
{
	const struct park *p = tenants_park(l);

	*out_held = p && p->prober != l && mono_before(io_now(l->o->loop), p->probe_at);
	return p;
}

void park_take_probe(struct lane *l)
{
	struct park *p = tenants_park(l);

	if (!p || p->prober == l)
		return;
	p->prober = l;
	p->probe_at = mono_add(io_now(l->o->loop), PROBE_TURN_US);
}

static bool is_external(const struct lane *l, struct sv recipient)
{
	return !conf_is_internal(l->o->conf, l->c->tenant, recipient);
}

static struct park *find(struct lane *l, enum verdict_scope scope, struct sv sender)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(1024);

	return park_key(l, scope, sender, &key) ? htable_get(&l->o->parks, buf_sv(&key)) : NULL;
}

/* The parks that concern a message beside its lane's: of its sender, and of mail to the outside. */
static size_t find_both(struct lane *l, struct sv sender, struct sv recipient, struct park **out)
{
	size_t n = 0;

	if (l->o->parks.count == 0)
		return 0;
	out[n] = find(l, VERDICT_SCOPE_SENDER, sender);
	n += out[n] != NULL;
	if (!l->c || !l->c->tenant || !is_external(l, recipient))
		return n;
	out[n] = find(l, VERDICT_SCOPE_TENANT_EXTERNAL, sender);
	return n + (out[n] != NULL);
}

const struct park *park_find(struct lane *l, struct sv sender, struct sv recipient)
{
	struct park *both[2];
	size_t n = find_both(l, sender, recipient, both);

	for (size_t i = 0; i < n; i++)
		if (mono_before(io_now(l->o->loop), both[i]->probe_at))
			return both[i];
	return NULL;
}

const struct hold_reason *park_of_outside(struct lane *l)
{
	const struct park *p = l->o->parks.count && l->c && l->c->tenant
				       ? find(l, VERDICT_SCOPE_TENANT_EXTERNAL, SV(""))
				       : NULL;

	return p && is_held(l->o, p) ? &p->why : NULL;
}

size_t park_proofs(struct lane *l, const struct mail_flow *flow,
	const struct sched_proof *out[PARK_PROOFS_MAX])
{
	const struct park *p = tenants_park(l);
	size_t n = 0;

	if (l->o->parks.count == 0)
		return 0;
	if (p)
		out[n++] = &p->proof;
	p = flow->sender.len ? find(l, VERDICT_SCOPE_SENDER, flow->sender) : NULL;
	if (p)
		out[n++] = &p->proof;
	p = flow->external ? find(l, VERDICT_SCOPE_TENANT_EXTERNAL, flow->sender) : NULL;
	if (p)
		out[n++] = &p->proof;
	return n;
}

static void tell_of_both(struct lane *l, const struct park *p, struct sv sender, bool held)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(1024);
	enum verdict_scope scope =
		p->of_sender ? VERDICT_SCOPE_SENDER : VERDICT_SCOPE_TENANT_EXTERNAL;

	if (park_key(l, scope, sender, &key))
		tell_order(l->o, buf_sv(&key), p, held);
}

void park_begin(struct lane *l, const struct delivery *d)
{
	struct park *both[2];

	for (size_t r = 0; r < d->count; r++) {
		size_t n = find_both(l, d->m.sender, d->recipients[r].r.address, both);

		for (size_t i = 0; i < n; i++) {
			/* It was on its way when they were held: no probe, and no end of a stop. */
			if (mono_before(io_now(l->o->loop), both[i]->probe_at))
				continue;
			both[i]->tried = d->m.id;
			both[i]->probe_at = mono_add(io_now(l->o->loop), PROBE_TURN_US);
			tell_of_both(l, both[i], d->m.sender, true);
		}
	}
}

void park_tried(struct lane *l, const struct delivery *d)
{
	struct park *both[2];

	for (size_t r = 0; r < d->count; r++) {
		size_t n = find_both(l, d->m.sender, d->recipients[r].r.address, both);

		for (size_t i = 0; i < n; i++) {
			if (both[i]->tried != d->m.id)
				continue;
			sched_hold_probed(&both[i]->proof, d->m.id);
			both[i]->tried = 0;
			both[i]->probe_at = io_now(l->o->loop);
			tell_of_both(l, both[i], d->m.sender, false);
		}
	}
}

/* ---- what a refusal holds ---- */

/* What was refused in the verdict's scope so far; NULL: it has none here. */
static struct sched_proof *proof_of(struct lane *l, const struct verdict *v, struct sv sender)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(1024);
	struct outbound *o = l->o;
	struct sched_proof *proof;
	struct park *p;

	if (!park_key(l, v->scope, sender, &key))
		return sched_holds_lane(v) ? &l->proof : NULL;
	p = htable_get(&o->parks, buf_sv(&key));
	proof = p ? &p->proof : htable_get(&o->suspects, buf_sv(&key));
	if (proof)
		return proof;
	if (o->suspects.count >= SUSPECTS_MAX)
		drop_suspects(o);
	proof = xcalloc(1, sizeof(*proof));
	htable_put(&o->suspects, buf_sv(&key), proof);
	return proof;
}

static void tell_alone(const struct delivery *d, const struct delivery_recipient *r)
{
	char id[TEXT_ID_MAX];

	(void)text_id(d->m.id, id);
	log_event(LOG_INFO,
		"qmgr",
		sv_from(id),
		"only this message waits",
		(const struct log_field[]){ LOG_F("lane", d->lane->key),
			LOG_F("cause", sv_from(cause_name(r->verdict.cause))),
			LOG_F("speaks_of", sv_from(verdict_scope_name(r->verdict.scope))),
			LOG_F("why", SV("no other message was refused alike so far")) },
		4);
}

void park_weigh(struct delivery *d)
{
	bool told = false;

	for (size_t i = 0; i < d->count; i++) {
		struct delivery_recipient *r = &d->recipients[i];
		struct sched_proof *proof;
		struct sched_refusal refusal;

		if (!sched_hold_is_wide(&r->verdict))
			continue;
		proof = proof_of(d->lane, &r->verdict, d->m.sender);
		if (!proof)
			continue;
		refusal = witness_of(d, r);
		r->alone = !sched_hold_widens(&refusal, proof);
		sched_hold_note(proof, &refusal);
		if (r->alone && !told)
			tell_alone(d, r);
		told |= r->alone;
	}
}

static void drop_park(struct lane *l, struct sv key)
{
	struct outbound *o = l->o;
	struct park *p = htable_take(&o->parks, key);

	if (!p)
		return;
	log_event(LOG_INFO,
		"qmgr",
		SV(""),
		"released",
		(const struct log_field[]){
			LOG_F("scope", key), LOG_F("cause", sv_from(cause_name(p->why.cause))) },
		2);
	record_clear(o, key);
	tell(l, key, &p->why, MONO_NEVER, true);
	tell_order(o, key, p, false);
	poke_lanes_of(o, key);
	hold_reason_clear(&p->why);
	free(p);
}

void park_clear(struct lane *l, struct sv sender, bool external)
{
	static const enum verdict_scope scopes[] = {
		VERDICT_SCOPE_SENDER, VERDICT_SCOPE_TENANT, VERDICT_SCOPE_TENANT_EXTERNAL
	};

	/* While it is held, one that had left before says nothing. */
	if (!l->why.cause)
		l->proof.count = 0;
	if (l->o->parks.count + l->o->suspects.count == 0)
		return;
	for (size_t i = 0; i < COUNT_OF(scopes) - !external; i++) {
		CLEANUP(buf_deinitp) struct buf key = BUF_INIT(1024);

		if (!park_key(l, scopes[i], sender, &key))
			continue;
		drop_suspect(l->o, buf_sv(&key), NULL);
		if (!is_stopped(htable_get(&l->o->parks, buf_sv(&key))))
			drop_park(l, buf_sv(&key));
	}
}

void park_clear_sign_in(struct lane *l)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(1024);

	if (l->o->parks.count && tenant_key(l, "tenant-sign-in", &key))
		drop_park(l, buf_sv(&key));
}

/* Does the park hold this lane, or a sender on it? */
static bool concerns(const struct lane *l, struct sv key)
{
	ptrdiff_t colon = sv_find_char(key, ':');
	struct sv rest = sv_skip(key, (size_t)(colon + 1));

	if (sv_starts(key, SV("sender:")))
		return sv_starts(rest, l->key) && sv_starts(sv_skip(rest, l->key.len), SV(":"));
	return l->c && l->c->tenant && sv_eq(rest, l->c->tenant->name);
}

void park_probe_all(struct outbound *o, const struct lane *named)
{
	htable_each (&o->parks, slot) {
		struct park *p = slot->value;

		if (p->why.nature == VERDICT_NATURE_REPUTATION &&
			!(named && concerns(named, sv_make(slot->key, slot->key_len))))
			continue;
		probe_now(o, sv_make(slot->key, slot->key_len), p);
	}
}

bool park_probe_lane(const struct lane *l)
{
	bool stopped = false;

	htable_each (&l->o->parks, slot) {
		struct park *p = slot->value;

		if (!concerns(l, sv_make(slot->key, slot->key_len)))
			continue;
		stopped |= p->why.nature == VERDICT_NATURE_REPUTATION;
		probe_now(l->o, sv_make(slot->key, slot->key_len), p);
	}
	return stopped;
}

void parks_free(struct outbound *o)
{
	htable_each (&o->parks, slot) {
		struct park *p = slot->value;

		hold_reason_clear(&p->why);
		free(p);
	}
	htable_deinit(&o->parks);
	drop_suspects(o);
}

/* ---- after a restart ---- */

static struct verdict verdict_of(const struct store_park_row *row, struct arena *a)
{
	return (struct verdict){ .kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = row->nature,
		.cause = cause_parse(row->cause),
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

	if (sv_starts(row->key, SV("alert:"))) {
		/* No park: what observe/alerts.c has told already. */
	} else if (sv_starts(row->key, SV("mailbox:"))) {
		struct lane *l = lane_get(o, sv_skip(row->key, 8));

		l->parked_told = true;
		sched_proof_read(row->proof, &l->proof);
		hold_reason_set(&l->why, row->since, &v, row->reply, row->transcript);
		(void)sched_lane_park(l->sched, io_now(o->loop), 0, io_prng(o->loop));
		if (row->nature == VERDICT_NATURE_REPUTATION)
			sched_lane_stop(l->sched);
		else
			/* A restart is an administrator's act more often than not: it is tried soon. */
			sched_lane_probe_now(l->sched,
				mono_add(io_now(o->loop), pause < US_PER_S ? pause : US_PER_S));
	} else {
		struct park *p = xcalloc(1, sizeof(*p));

		p->of_sender = sv_starts(row->key, SV("sender:"));
		sched_proof_read(row->proof, &p->proof);
		hold_reason_set(&p->why, row->since, &v, row->reply, SV(""));
		p->probe_at = row->nature == VERDICT_NATURE_REPUTATION
				      ? MONO_NEVER
				      : mono_add(io_now(o->loop), pause);
		htable_put(&o->parks, row->key, p);
	}
	arena_reset(&a);
}
