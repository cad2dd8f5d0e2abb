/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/hold.h"

#include "base/htable.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/must.h"
#include "mail/address.h"

#include <stdlib.h>

#define PROBE_CEILING_US US_PER_HOUR
/* How long the others wait for the one that tries; then another may. */
#define TURN_US (2 * US_PER_MIN)
/* Mail that waits for what another one finds out looks soon what became of it. */
/* After a restart, which is an administrator's act more often than not, a lane is tried soon. */
#define AFTER_START_US US_PER_S
enum {
	SUSPECTS_MAX =
		4096, /* senders that were refused and are not held; more at once are forgotten together */
	KEY_MAX = 1024,
};

static const struct {
	struct sv name;
	uint64_t probe_first_us;
} scopes[] = {
	[SCHED_HOLD_MAILBOX] = { SV_INIT("mailbox"), 5 * US_PER_MIN },
	[SCHED_HOLD_SENDER] = { SV_INIT("sender"), 15 * US_PER_MIN },
	[SCHED_HOLD_SIGN_IN] = { SV_INIT("tenant-sign-in"), 15 * US_PER_MIN },
	[SCHED_HOLD_TENANT] = { SV_INIT("tenant"), 15 * US_PER_MIN },
	[SCHED_HOLD_EXTERNAL] = { SV_INIT("tenant-external"), 15 * US_PER_MIN },
};

struct sched_hold {
	struct sched_holds *table;
	enum sched_hold_scope scope;
	char *key;
	struct sched_hold *mailbox; /* of a sender */
	struct sv sender;           /* its part of the key */
	struct htable senders;      /* of a mailbox: address -> struct sched_hold */
	struct list node;    /* in the table's `held`, or of a sender that is not, in `suspects` */
	struct list changed; /* in that of the table */
	unsigned what;       /* has happened to it since it was asked for */
	bool held;
	bool parked;
	bool told; /* that it is parked */
	struct sched_hold_reason why;
	struct sched_backoff backoff; /* until: its next probe; MONO_NEVER: stopped */
	struct mono_time set_at;
	uint64_t prober; /* who tries; 0: nobody */
	struct mono_time turn_until;
	struct sched_proof *proof; /* NULL: empty */
};

struct sched_holds {
	struct htable named; /* by key: all but senders */
	struct list held, suspects, changed;
	size_t suspect_count;
	struct sched_hold *ended; /* the last event's: its reason is still there */
};

/* ---- life ---- */

struct sched_holds *sched_holds_new(void)
{
	struct sched_holds *t = xcalloc(1, sizeof(*t));

	list_init(&t->held);
	list_init(&t->suspects);
	list_init(&t->changed);
	return t;
}

static struct sched_hold *hold_new(
	struct sched_holds *t, enum sched_hold_scope scope, struct sv key)
{
	struct sched_hold *h = xcalloc(1, sizeof(*h));

	h->table = t;
	h->scope = scope;
	h->key = sv_dup(key);
	list_init(&h->node);
	list_init(&h->changed);
	return h;
}

static void forget_reason(struct sched_hold *h)
{
	free(h->why.summary);
	free(h->why.reply);
	free(h->why.transcript);
	h->why = (struct sched_hold_reason){ 0 };
}

static void hold_free(struct sched_hold *h)
{
	htable_each (&h->senders, slot)
		hold_free(slot->value);
	htable_deinit(&h->senders);
	list_remove(&h->node);
	list_remove(&h->changed);
	forget_reason(h);
	free(h->proof);
	free(h->key);
	free(h);
}

void sched_holds_free(struct sched_holds *t)
{
	if (!t)
		return;
	htable_each (&t->named, slot)
		hold_free(slot->value);
	htable_deinit(&t->named);
	free(t);
}

/* A sender of whom nothing is known is not kept. */
static void drop_sender(struct sched_hold *h)
{
	if (h->scope != SCHED_HOLD_SENDER || h->held || h->what || h->table->ended == h)
		return;
	(void)htable_take(&h->mailbox->senders, h->sender);
	h->table->suspect_count--;
	hold_free(h);
}

static void drop_suspects(struct sched_holds *t)
{
	list_each_safe (at, after, &t->suspects)
		drop_sender(list_entry(at, struct sched_hold, node));
}

/* ---- finding ---- */

struct sched_hold *sched_hold_get(
	struct sched_holds *t, enum sched_hold_scope scope, struct sv name)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(KEY_MAX);
	struct sched_hold *h;

	must(scope != SCHED_HOLD_SENDER);
	must(buf_printf(&key, "%s:%.*s", scopes[scope].name.ptr, SV_ARG(name)) == 0);
	h = htable_get(&t->named, buf_sv(&key));
	if (!h) {
		h = hold_new(t, scope, buf_sv(&key));
		htable_put(&t->named, buf_sv(&key), h);
	}
	return h;
}

static bool is_idle(const struct sched_hold *h)
{
	return !h->held && !h->what && h->table->ended != h;
}

bool sched_hold_may_go(const struct sched_hold *h)
{
	bool idle = is_idle(h);

	htable_each (&h->senders, slot)
		idle = idle && is_idle(slot->value);
	return idle;
}

void sched_hold_drop(struct sched_hold *h)
{
	must(h->scope == SCHED_HOLD_MAILBOX && sched_hold_may_go(h));
	h->table->suspect_count -= h->senders.count;
	(void)htable_take(&h->table->named, sv_from(h->key));
	hold_free(h);
}

static struct sched_hold *sender_new(struct sched_hold *mailbox, struct sv address)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(KEY_MAX);
	struct sched_holds *t = mailbox->table;
	struct sv lane = sv_skip(sv_from(mailbox->key), scopes[SCHED_HOLD_MAILBOX].name.len + 1);
	struct sched_hold *h;

	if (t->suspect_count >= SUSPECTS_MAX)
		drop_suspects(t);
	must(buf_printf(&key, "sender:%.*s:%.*s", SV_ARG(lane), SV_ARG(address)) == 0);
	h = hold_new(t, SCHED_HOLD_SENDER, buf_sv(&key));
	h->mailbox = mailbox;
	h->sender = sv_skip(sv_from(h->key), key.len - address.len);
	htable_put(&mailbox->senders, address, h);
	list_append(&t->suspects, &h->node);
	t->suspect_count++;
	return h;
}

struct sched_hold *sched_hold_of_sender(struct sched_hold *mailbox, struct sv sender, bool make)
{
	CLEANUP(buf_deinitp) struct buf address = BUF_INIT(2 * LIMIT_ADDRESS);
	struct sched_hold *h;

	if (!make && mailbox->senders.count == 0)
		return NULL;
	if (address_key(&address, sender) != 0) {
		buf_reset(&address);
		must(buf_append(&address, sv_head(sender, LIMIT_ADDRESS)) == 0);
	}
	h = htable_get(&mailbox->senders, buf_sv(&address));
	return h || !make ? h : sender_new(mailbox, buf_sv(&address));
}

bool sched_hold_parse_key(struct sv key, enum sched_hold_scope *out_scope, struct sv *out_name)
{
	struct sv name;

	if (!sv_cut_char(&key, ':', &name))
		return false;
	for (size_t i = 0; i < COUNT_OF(scopes); i++)
		if (sv_eq(scopes[i].name, name)) {
			*out_scope = (enum sched_hold_scope)i;
			*out_name = key;
			return true;
		}
	return false;
}

/* ---- events ---- */

static void happens(struct sched_hold *h, unsigned what)
{
	if (what & SCHED_HOLD_RECORD)
		h->what &= ~(unsigned)SCHED_HOLD_FORGET;
	if (what & SCHED_HOLD_FORGET)
		h->what &= ~(unsigned)SCHED_HOLD_RECORD;
	h->what |= what;
	if (h->what && list_empty(&h->changed))
		list_append(&h->table->changed, &h->changed);
}

/* What has ended keeps its reason until that was told. */
static void bury(struct sched_holds *t)
{
	struct sched_hold *h = t->ended;

	t->ended = NULL;
	if (!h || h->held)
		return;
	forget_reason(h);
	if (!h->proof)
		drop_sender(h);
}

bool sched_holds_next_event(struct sched_holds *t, struct sched_hold_event *out)
{
	struct sched_hold *h;

	bury(t);
	if (list_empty(&t->changed))
		return false;
	h = list_entry(t->changed.next, struct sched_hold, changed);
	list_remove(&h->changed);
	*out = (struct sched_hold_event){ h, h->what };
	h->what = 0;
	if (out->what & SCHED_HOLD_ENDED)
		t->ended = h;
	return true;
}

/* ---- being held ---- */

static bool is_stopped(const struct sched_hold *h)
{
	return h->held && h->backoff.until.us == MONO_NEVER.us;
}

bool sched_hold_parks(const struct sched_hold *h, const struct verdict *v)
{
	return h->scope != SCHED_HOLD_MAILBOX ||
	       (v->kind == VERDICT_PARK && v->scope != VERDICT_SCOPE_MAILBOX_WINDOW);
}

static void set_reason(struct sched_hold *h, const struct verdict *v, struct sv reply,
	struct sv transcript, struct wall_time since)
{
	forget_reason(h);
	h->why = (struct sched_hold_reason){ .cause = v->cause,
		.nature = v->nature,
		.since = since,
		.summary = sv_dup(sv_from(v->summary)),
		.reply = sv_dup(sv_head(reply, LIMIT_REPLY_KEPT)),
		.transcript = transcript.len ? sv_dup(transcript) : NULL };
}

static void become_held(struct sched_hold *h)
{
	if (h->held)
		return;
	h->held = true;
	h->backoff = (struct sched_backoff){ 0 };
	if (h->scope == SCHED_HOLD_SENDER)
		h->table->suspect_count--;
	list_remove(&h->node);
	list_append(&h->table->held, &h->node);
}

static void pause(struct sched_hold *h, const struct sched_heard *heard, bool parks, bool in_force)
{
	uint64_t least = heard->verdict->retry_after_us, first = scopes[h->scope].probe_first_us;
	const struct sched_retry probes = { least ? least : first,
		least > PROBE_CEILING_US ? least : PROBE_CEILING_US };

	if (parks && heard->verdict->nature == VERDICT_NATURE_REPUTATION &&
		heard->verdict->kind == VERDICT_PARK)
		h->backoff.until = MONO_NEVER;
	else if (in_force)
		sched_backoff_lengthen(&h->backoff, least, heard->now);
	else
		sched_backoff_fail(
			&h->backoff, parks ? &probes : heard->retry, least, heard->now, heard->rng);
}

unsigned sched_hold_set(struct sched_hold *h, const struct sched_heard *heard)
{
	const struct verdict *v = heard->verdict;
	bool parks = sched_hold_parks(h, v);
	bool news = !h->held || h->why.cause != v->cause;
	/* Several connections hear the same refusal: while a hold is in force, that is no second one. */
	bool in_force =
		h->held && (h->parked || !parks) && mono_before(heard->now, h->backoff.until);
	unsigned what = SCHED_HOLD_HELD;

	if (is_stopped(h))
		return 0;
	become_held(h);
	set_reason(h, v, heard->reply, heard->transcript, news ? heard->wall : h->why.since);
	pause(h, heard, parks, in_force);
	/* What is parked stays parked: the probe may hear of something else than the park. */
	h->parked |= parks;
	if (!in_force)
		h->set_at = heard->now;
	h->prober = 0;
	if (h->parked)
		what |= SCHED_HOLD_RECORD;
	if (news)
		what |= SCHED_HOLD_NEWS;
	if (news || (parks && !in_force))
		what |= SCHED_HOLD_LOG;
	if (parks && (news || !h->told))
		what |= SCHED_HOLD_TELL;
	h->told |= parks;
	happens(h, what);
	return what;
}

static void forget_proof(struct sched_hold *h)
{
	free(h->proof);
	h->proof = NULL;
}

void sched_hold_clear(struct sched_hold *h, struct mono_time begun)
{
	if (!h->held) {
		forget_proof(h);
		drop_sender(h);
		return;
	}
	if (is_stopped(h) || !mono_before(h->set_at, begun))
		return;
	h->held = false;
	list_remove(&h->node);
	if (h->scope == SCHED_HOLD_SENDER) {
		list_append(&h->table->suspects, &h->node);
		h->table->suspect_count++;
	}
	forget_proof(h);
	happens(h,
		SCHED_HOLD_ENDED | (h->parked ? SCHED_HOLD_FORGET : 0U) |
			(h->told ? SCHED_HOLD_TELL : 0U));
	h->parked = h->told = false;
	h->prober = 0;
}

bool sched_hold_weigh(struct sched_hold *h, const struct sched_refusal *r)
{
	const struct sched_proof none = { 0 };
	bool widens = sched_proof_widens(r, h->proof ? h->proof : &none);

	if (!h->proof)
		h->proof = xcalloc(1, sizeof(*h->proof));
	sched_proof_note(h->proof, r);
	return widens;
}

/* ---- probes ---- */

void sched_hold_probe_now(struct sched_hold *h, struct mono_time now)
{
	if (!h->held)
		return;
	/* Or a restart would stop it again. */
	if (is_stopped(h))
		happens(h, SCHED_HOLD_RECORD);
	h->backoff.until = now;
	h->prober = 0;
}

void sched_holds_probe_all(struct sched_holds *t, struct mono_time now)
{
	list_each (at, &t->held) {
		struct sched_hold *h = list_entry(at, struct sched_hold, node);

		if (h->scope != SCHED_HOLD_MAILBOX && h->why.nature != VERDICT_NATURE_REPUTATION)
			sched_hold_probe_now(h, now);
	}
}

static bool is_tried(const struct sched_hold *h, struct mono_time now)
{
	return h->prober && mono_before(now, h->turn_until);
}

bool sched_hold_is_shut(const struct sched_hold *h, uint64_t who, struct mono_time now)
{
	if (!sched_hold_holds(h))
		return false;
	return mono_before(now, h->backoff.until) ||
	       (is_tried(h, now) && (who == 0 || h->prober != who));
}

bool sched_hold_try(struct sched_hold *h, uint64_t who, struct mono_time now)
{
	if (!sched_hold_holds(h))
		return true;
	if (sched_hold_is_shut(h, who, now))
		return false;
	h->prober = who;
	h->turn_until = mono_add(now, TURN_US);
	return true;
}

void sched_hold_tried(struct sched_hold *h, uint64_t who, uint64_t message)
{
	if (!sched_hold_holds(h) || h->prober != who)
		return;
	h->prober = 0;
	if (message == 0)
		return;
	if (!h->proof)
		h->proof = xcalloc(1, sizeof(*h->proof));
	sched_proof_tried(h->proof, message);
}

/* ---- what is seen ---- */

bool sched_hold_holds(const struct sched_hold *h)
{
	return h && h->held;
}

bool sched_hold_is_clean(const struct sched_hold *h)
{
	return !h->held && !h->proof;
}

bool sched_hold_is_sender_on(const struct sched_hold *h, const struct sched_hold *mailbox)
{
	return h->mailbox == mailbox;
}

bool sched_hold_is_parked(const struct sched_hold *h)
{
	return sched_hold_holds(h) && h->parked;
}

struct mono_time sched_hold_until(const struct sched_hold *h, struct mono_time now)
{
	if (!sched_hold_holds(h))
		return MONO_NEVER;
	return is_tried(h, now) && !mono_before(now, h->backoff.until) ? h->turn_until
								       : h->backoff.until;
}

bool sched_hold_may_leave(const struct sched_hold *h)
{
	const struct verdict v = { .nature = h->why.nature };

	return h->held && verdict_may_go_elsewhere(&v);
}

bool sched_hold_is_culprit(const struct sched_hold *h, uint64_t message)
{
	return sched_hold_holds(h) && h->proof && sched_proof_has(h->proof, message);
}

size_t sched_hold_culprits(const struct sched_hold *h, uint64_t out[SCHED_WITNESSES])
{
	size_t n = sched_hold_holds(h) && h->proof ? h->proof->count : 0;

	for (size_t i = 0; i < n; i++)
		out[i] = h->proof->who[i].message;
	return n;
}

enum sched_hold_scope sched_hold_scope(const struct sched_hold *h)
{
	return h->scope;
}

struct sv sched_hold_key(const struct sched_hold *h)
{
	return sv_from(h->key);
}

const struct sched_hold_reason *sched_hold_why(const struct sched_hold *h)
{
	return h && (h->held || h->table->ended == h) ? &h->why : NULL;
}

void sched_hold_write_proof(const struct sched_hold *h, struct buf *out)
{
	if (h->proof)
		sched_proof_write(h->proof, out);
}

struct sched_hold *sched_holds_next(const struct sched_holds *t, const struct sched_hold *before)
{
	struct list *at = before ? before->node.next : t->held.next;

	return at == &t->held ? NULL : list_entry(at, struct sched_hold, node);
}

/* ---- after a restart ---- */

void sched_hold_load(struct sched_hold *h, const struct sched_hold_row *row, struct wall_time wall,
	struct mono_time now)
{
	uint64_t most = h->scope == SCHED_HOLD_MAILBOX ? AFTER_START_US : PROBE_CEILING_US;
	int64_t left = row->probe_at.us - wall.us;

	become_held(h);
	h->parked = h->told = true;
	set_reason(h, &row->verdict, row->reply, row->transcript, row->since);
	h->set_at.us = 0;
	h->proof = h->proof ? h->proof : xcalloc(1, sizeof(*h->proof));
	sched_proof_read(row->proof, h->proof);
	if (row->verdict.nature == VERDICT_NATURE_REPUTATION && row->probe_at.us == INT64_MAX)
		h->backoff.until = MONO_NEVER;
	else
		h->backoff.until = mono_add(now,
			left < 0                ? 0
			: (uint64_t)left > most ? most
						: (uint64_t)left);
}
