/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "io/log.h"
#include "mail/address.h"
#include "outbound/attempt_priv.h"

#include <stdlib.h>

/*
 * The hands of what is held (sched/hold, sched/lane): it is recorded in the queue, so that a restart does not hammer
 * on a door that was found shut; it is told, and logged; and lanes look again.
 */

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

static struct wall_time wall_at(struct outbound *o, struct mono_time at)
{
	if (at.us == MONO_NEVER.us)
		return (struct wall_time){ INT64_MAX };
	return wall_add(io_wall(o->loop), (int64_t)mono_span(io_now(o->loop), at));
}

static void record(struct outbound *o, const struct sched_hold *h)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SCHED_PROOF_TEXT_MAX);
	const struct sched_hold_reason *why = sched_hold_why(h);
	struct park_record *r = record_new(sched_hold_key(h));

	sched_hold_write_proof(h, &text);
	r->op.row.cause = arena_sv(&r->arena, sv_from(cause_name(why->cause)));
	r->op.row.summary = arena_sv(&r->arena, sv_from(why->summary));
	r->op.row.reply = arena_sv(&r->arena, sv_from(why->reply));
	r->op.row.transcript = arena_sv(&r->arena, sv_from(why->transcript));
	r->op.row.proof = arena_sv(&r->arena, buf_sv(&text));
	r->op.row.since = why->since;
	r->op.row.probe_at = wall_at(o, sched_hold_until(h, io_now(o->loop)));
	r->op.row.nature = why->nature;
	store_submit(o->store, &r->op.op);
}

void park_keep(struct outbound *o, const struct store_park_row *row, bool clear)
{
	struct park_record *r = record_new(row->key);
	struct sv key = r->op.row.key;

	r->op.row = *row;
	r->op.row.key = key;
	r->op.row.cause = arena_sv(&r->arena, row->cause);
	r->op.row.summary = arena_sv(&r->arena, row->summary);
	r->op.row.reply = arena_sv(&r->arena, row->reply);
	r->op.row.transcript = r->op.row.proof = SV("");
	r->op.clear = clear;
	store_submit(o->store, &r->op.op);
}

static void forget(struct outbound *o, const struct sched_hold *h)
{
	struct park_record *r = record_new(sched_hold_key(h));

	r->op.clear = true;
	store_submit(o->store, &r->op.op);
}

/* ---- who hears of it ---- */

static void tell(struct lane *l, const struct sched_hold *h, bool ended)
{
	const struct sched_hold_reason *why = sched_hold_why(h);
	struct outbound *o = l->o;
	struct mono_time until = sched_hold_until(h, io_now(o->loop));
	struct wall_time next_at = { 0 };

	if (!o->event)
		return;
	if (until.us != MONO_NEVER.us)
		next_at = wall_at(o, until);
	o->event(o->event_arg,
		&(struct outbound_event){ .ended = ended,
			.scope = sched_hold_key(h),
			.lane = l->key,
			.cause = sv_from(cause_name(why->cause)),
			.summary = sv_from(why->summary),
			.reply = sv_from(why->reply),
			.nature = why->nature,
			.since = why->since,
			.next_at = next_at });
}

static void log_held(struct lane *l, const struct sched_hold *h)
{
	const struct sched_hold_reason *why = sched_hold_why(h);
	bool of_lane = sched_hold_scope(h) == SCHED_HOLD_MAILBOX, parked = sched_hold_is_parked(h);
	struct mono_time now = io_now(l->o->loop), until = sched_hold_until(h, now);
	char span[TEXT_DURATION_MAX];

	log_event(parked ? LOG_WARN : LOG_INFO,
		"qmgr",
		SV(""),
		!of_lane ? "parked"
		: parked ? "lane parked"
			 : "lane waits",
		(const struct log_field[]){
			of_lane ? LOG_F("lane", l->key) : LOG_F("scope", sched_hold_key(h)),
			LOG_F("cause", sv_from(cause_name(why->cause))),
			LOG_F("again",
				until.us == MONO_NEVER.us
					? SV("when a person releases it")
					: sv_from(text_span(mono_span(now, until), span))),
			LOG_F("why", sv_from(why->summary)),
			LOG_F("reply", sv_from(why->reply)) },
		5);
}

static void log_ended(struct lane *l, const struct sched_hold *h)
{
	bool of_lane = sched_hold_scope(h) == SCHED_HOLD_MAILBOX;

	log_event(LOG_INFO,
		"qmgr",
		SV(""),
		of_lane ? "lane goes on" : "released",
		(const struct log_field[]){
			of_lane ? LOG_F("lane", l->key) : LOG_F("scope", sched_hold_key(h)),
			LOG_F("cause", sv_from(cause_name(sched_hold_why(h)->cause))) },
		2);
}

static void poke_lanes_of(struct outbound *o, const struct sched_hold *h)
{
	htable_each (&o->lanes, slot) {
		struct lane *l = slot->value;

		if (!sched_lane_shares(l->sched, h))
			continue;
		lane_tell_order(l);
		lane_poke(l);
	}
}

/* ---- what the order of mail hears ---- */

/* "LANE:ADDRESS", and either may have a colon in it. */
static struct lane *lane_of_sender(struct outbound *o, struct sv name, struct sv *out_address)
{
	ptrdiff_t first = sv_find_char(name, ':'), at = first;

	if (first < 0)
		return NULL;
	while (!conf_lane(o->conf, sv_head(name, (size_t)at))) {
		ptrdiff_t next = sv_find_char(sv_skip(name, (size_t)at + 1), ':');

		/* Not configured any more. */
		if (next < 0) {
			at = first;
			break;
		}
		at += next + 1;
	}
	*out_address = sv_skip(name, (size_t)at + 1);
	return lane_get(o, sv_head(name, (size_t)at));
}

static void tell_sender(struct outbound *o, const struct sched_hold *h, bool shut)
{
	enum sched_hold_scope scope;
	struct sv name, address;
	struct lane *l;

	if (!sched_hold_parse_key(sched_hold_key(h), &scope, &name))
		return;
	l = lane_of_sender(o, name, &address);
	if (l)
		sched_sender_set(l->taker, address, shut);
}

/* After each change of one that is no lane's own. */
static void tell_order(struct outbound *o, const struct sched_hold *h)
{
	struct mono_time now = io_now(o->loop), until = sched_hold_until(h, now);
	bool shut = sched_hold_is_shut(h, 0, now);

	if (sched_hold_scope(h) == SCHED_HOLD_SENDER)
		tell_sender(o, h, shut);
	if (shut && until.us != MONO_NEVER.us && mono_before(until, o->parks_next)) {
		o->parks_next = until;
		io_timer_start(&o->park_timer, until);
	}
	outbound_wake(o);
}

void parks_tell_order(void *outbound)
{
	struct outbound *o = outbound;

	o->parks_next = MONO_NEVER;
	for (const struct sched_hold *h = sched_holds_next(o->holds, NULL); h;
		h = sched_holds_next(o->holds, h)) {
		if (sched_hold_scope(h) == SCHED_HOLD_MAILBOX)
			continue;
		tell_order(o, h);
		if (sched_hold_scope(h) != SCHED_HOLD_SENDER)
			poke_lanes_of(o, h);
	}
}

static void execute_one(struct lane *l, const struct sched_hold_event *e)
{
	if (e->what & SCHED_HOLD_LOG)
		log_held(l, e->hold);
	if (e->what & SCHED_HOLD_ENDED)
		log_ended(l, e->hold);
	if (e->what & SCHED_HOLD_TELL)
		tell(l, e->hold, e->what & SCHED_HOLD_ENDED);
	if (!(e->what & (SCHED_HOLD_HELD | SCHED_HOLD_ENDED)))
		return;
	if (sched_hold_scope(e->hold) != SCHED_HOLD_MAILBOX)
		tell_order(l->o, e->hold);
	if (sched_hold_scope(e->hold) != SCHED_HOLD_MAILBOX)
		poke_lanes_of(l->o, e->hold);
	else
		lane_tell_doors(l);
}

void parks_execute(struct outbound *o, struct lane *l)
{
	struct sched_hold_event e;

	while (sched_holds_next_event(o->holds, &e)) {
		if (e.what & SCHED_HOLD_RECORD)
			record(o, e.hold);
		if (e.what & SCHED_HOLD_FORGET)
			forget(o, e.hold);
		/* Without a lane only what is recorded changes. */
		if (l)
			execute_one(l, &e);
	}
}

/* ---- what is heard ---- */

unsigned park_set(struct lane *l, struct sched_hold *h, const struct park_heard *heard)
{
	struct outbound *o = l->o;
	unsigned what = sched_hold_set(h,
		&(struct sched_heard){ .verdict = heard->verdict,
			.reply = heard->reply,
			.transcript = heard->transcript,
			.retry = heard->retry,
			.wall = io_wall(o->loop),
			.now = io_now(o->loop),
			.rng = io_prng(o->loop) });

	parks_execute(o, l);
	return what;
}

bool park_set_sign_in(struct lane *l, const struct verdict *v, struct sv reply)
{
	struct sched_hold *h = sched_lane_sign_in(l->sched);

	if (h)
		(void)park_set(l, h, &(struct park_heard){ .verdict = v, .reply = reply });
	return h != NULL;
}

void park_clear_sign_in(struct lane *l)
{
	struct sched_hold *h = sched_lane_sign_in(l->sched);

	if (!h)
		return;
	sched_hold_clear(h, MONO_NEVER);
	parks_execute(l->o, l);
}

/* ---- a message ---- */

bool park_is_external(const struct lane *l, struct sv recipient)
{
	return sched_lane_minds_external(l->sched) && l->c && l->c->tenant &&
	       !conf_is_internal(l->o->conf, l->c->tenant, recipient);
}

static struct sched_mail mail_of(
	const struct lane *l, uint64_t message, struct sv sender, struct sv recipient)
{
	return (struct sched_mail){
		.message = message, .sender = sender, .external = park_is_external(l, recipient)
	};
}

struct sv park_sender(struct arena *a, struct sv sender)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(LIMIT_ADDRESS + 16);

	if (address_key(&text, sender) == 0)
		return arena_sv(a, buf_sv(&text));
	return arena_sv(a, sv_head(sender, LIMIT_ADDRESS));
}

const struct sched_hold *park_find(struct lane *l, struct sv sender, struct sv recipient)
{
	const struct sched_mail m = mail_of(l, 0, sender, recipient);

	return sched_lane_stops(l->sched, &m, io_now(l->o->loop));
}

const struct sched_hold *park_of(struct lane *l, struct sv sender, struct sv recipient)
{
	const struct sched_mail m = mail_of(l, 0, sender, recipient);

	return sched_lane_holds(l->sched, &m);
}

struct sched_mail park_mail(const struct delivery *d)
{
	struct sched_mail m = { .message = d->m.id, .sender = d->m.sender };

	for (size_t i = 0; i < d->count && !m.external; i++)
		m.external = park_is_external(d->lane, d->recipients[i].r.address);
	return m;
}

/* Whose turn it is may have changed. */
static void tell_beyond(struct lane *l, const struct sched_mail *m)
{
	struct sched_hold *both[2];
	size_t n = sched_lane_beyond(l->sched, m, both);

	for (size_t i = 0; i < n; i++) {
		if (!sched_hold_holds(both[i]))
			continue;
		tell_order(l->o, both[i]);
		if (sched_hold_scope(both[i]) != SCHED_HOLD_SENDER)
			poke_lanes_of(l->o, both[i]);
	}
}

void park_begin(struct delivery *d, bool probe)
{
	const struct sched_mail m = park_mail(d);

	d->probe = probe;
	sched_lane_begin(d->lane->sched, &m, probe, io_now(d->lane->o->loop));
	tell_beyond(d->lane, &m);
}

void park_withdraw(struct delivery *d)
{
	const struct sched_mail m = park_mail(d);

	sched_lane_end(d->lane->sched, &m, d->probe, false);
	d->probe = false;
	tell_beyond(d->lane, &m);
}

size_t park_culprits(struct lane *l, const struct mail_flow *flow, uint64_t out[PARK_CULPRITS_MAX])
{
	const struct sched_mail m = { .sender = flow->sender, .external = flow->external };

	return sched_lane_culprits(l->sched, &m, out, PARK_CULPRITS_MAX);
}

const struct sched_part *park_spread(struct delivery *d, const struct sched_attempt *a)
{
	struct outbound *o = d->lane->o;
	const struct sched_part *own = sched_attempt_spread(a,
		&(struct sched_heard){ .wall = io_wall(o->loop),
			.now = io_now(o->loop),
			.rng = io_prng(o->loop) });

	d->probe = false;
	for (size_t i = 0; i < a->count; i++)
		if (a->parts[i].verdict->kind == VERDICT_DELIVERED)
			d->lane->delivered_at = io_wall(o->loop);
	parks_execute(o, d->lane);
	tell_beyond(d->lane, &a->mail);
	return own;
}

/* ---- what a refusal holds ---- */

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
		struct sched_refusal refusal;

		if (!sched_is_wide(&r->verdict))
			continue;
		refusal = witness_of(d, r);
		r->alone = !sched_verdict_weigh(d->lane->sched, d->m.sender, &refusal);
		if (r->alone && !told)
			tell_alone(d, r);
		told |= r->alone;
	}
}

/* ---- a person says so ---- */

void park_probe_all(struct outbound *o)
{
	sched_holds_probe_all(o->holds, io_now(o->loop));
	parks_execute(o, NULL);
}

bool park_probe_lane(struct lane *l)
{
	bool stopped = sched_lane_probe_now(l->sched, io_now(l->o->loop));

	parks_execute(l->o, NULL);
	return stopped;
}

/* ---- after a restart ---- */

static struct sched_hold *sender_of(struct outbound *o, struct sv name)
{
	struct sv address;
	struct lane *l = lane_of_sender(o, name, &address);

	return l ? sched_hold_of_sender(sched_lane_own(l->sched), address, true) : NULL;
}

static struct sched_hold *hold_of_row(struct outbound *o, const struct store_park_row *row)
{
	enum sched_hold_scope scope;
	struct sv name;

	/* Others keep their rows beside: observe/alerts.c does. */
	if (!sched_hold_parse_key(row->key, &scope, &name))
		return NULL;
	if (scope == SCHED_HOLD_SENDER)
		return sender_of(o, name);
	if (scope == SCHED_HOLD_MAILBOX)
		return sched_lane_own(lane_get(o, name)->sched);
	return sched_hold_get(o->holds, scope, name);
}

void park_loaded(struct outbound *o, const struct store_park_row *row)
{
	struct sched_hold *h = hold_of_row(o, row);
	struct arena a = { 0 };
	const struct sched_hold_row loaded = { .verdict = { .kind = VERDICT_PARK,
						       .nature = row->nature,
						       .cause = cause_parse(row->cause),
						       .summary = arena_str(&a, row->summary) },
		.reply = row->reply,
		.transcript = row->transcript,
		.proof = row->proof,
		.since = row->since,
		.probe_at = row->probe_at };

	limits_loaded(o, row);
	if (h)
		sched_hold_load(h, &loaded, io_wall(o->loop), io_now(o->loop));
	arena_reset(&a);
}

/* ---- what holds a lane ---- */

#define TOKEN_ASK_FIRST_US (5 * US_PER_S)
#define TOKEN_ASK_CEILING_US US_PER_MIN

static void hold(struct lane *l, const struct verdict *v, struct sv reply, struct sv transcript,
	const struct sched_retry *retry)
{
	struct sched_hold *own = sched_lane_own(l->sched);
	unsigned what = park_set(l,
		own,
		&(struct park_heard){
			.verdict = v, .reply = reply, .transcript = transcript, .retry = retry });

	if (what & SCHED_HOLD_HELD && sched_hold_parks(own, v)) {
		/* Not now: whoever puts it right in its file does so before the next try, not before this. */
		if (v->scope == VERDICT_SCOPE_MAILBOX)
			l->secrets_stale = true;
		l->turns_back = true;
	}
	lane_tell_order(l);
	/* It gives back what has not left. */
	lane_poke(l);
}

void lane_hold(struct lane *l, const struct verdict *v, struct sv reply, struct sv transcript)
{
	const struct sched_policy policy = outbound_policy(l->o);
	const struct sched_retry retry = sched_retry_after(&policy.retry, v);

	hold(l, v, reply, transcript, &retry);
}

void lane_hold_for_token(struct lane *l, const struct verdict *v, struct sv reply)
{
	/* The broker paces what is asked of the token service: the lane only asks the broker. */
	static const struct sched_retry ask = { TOKEN_ASK_FIRST_US, TOKEN_ASK_CEILING_US };

	hold(l, v, reply, SV(""), &ask);
}
