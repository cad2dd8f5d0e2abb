/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/order.h"

#include "base/must.h"
#include "base/rng.h"

#include "cmocka_all.h"

/*
 * The order under random schedules beside a model that knows every message and looks at everything at each step: holds, probes, held
 * senders, doors that come and go, mail that comes, is retried and expires, takes that look late and end in any order, a clock that is set back.
 *
 *   - mail leaves only by a door that may have it
 *   - no wake-up is lost: whoever has nothing to do, as far as it was told, could not take anything
 *   - never more takes than recipients
 *   - once all holds are over, all leaves, though nobody asks but who is named
 */

enum {
	MEMBERS = 4,
	DOORS = 2,
	TAKERS = MEMBERS * DOORS,
	QUEUES = 6,
	FLOWS = 24,
	MESSAGES = 12, /* of a flow */
	TAKES = 16,
	STEPS = 4000,
};

struct message {
	uint32_t recipients;
	int64_t due;
};

struct model_flow {
	struct mail_flow key;
	unsigned members[3], member_count;
	int sender; /* -1: none */
	struct message messages[MESSAGES];
	size_t count;
	uint64_t
		known; /* recipients that the order has been told of and has not heard to have left */
	unsigned takes;
};

struct model_taker {
	struct sched_taker *t;
	unsigned member;
	uint32_t rank;
	uint64_t born; /* of equal ranks the older is first */
	struct sched_taker_state s;
	bool asleep; /* by what it was told */
	bool no_room;
};

struct model_take {
	struct sched_pick pick;
	struct model_flow *f;
	bool has_looked;
	uint32_t taken;
	int64_t next_due;
};

struct world {
	uint64_t seed;
	struct prng rng;
	struct sched_order *o;
	int64_t now;
	uint64_t births;
	struct model_flow flows[FLOWS];
	struct model_taker takers[TAKERS];
	bool held_senders[TAKERS][2];
	struct model_take takes[TAKES]; /* in the order of their picks */
	size_t take_count;
	uint64_t left; /* recipients that were taken */
};

static const char *const member_names[MEMBERS] = { "m:a", "m:b", "m:c", "c:lab" };
static const char *const queue_keys[QUEUES] = {
	"m:a", "m:b", "m:a\nm:b", "m:b\nm:a\nc:lab", "m:c\nm:c\nc:lab", "c:lab\nm:b"
};
static const unsigned queue_members[QUEUES][4] = {
	{ 1, 0 }, { 1, 1 }, { 2, 0, 1 }, { 3, 1, 0, 3 }, { 2, 2, 3 }, { 2, 3, 1 }
};
static const char *const senders[2] = { "boss@example.com", "news@example.com" };

static unsigned below(struct world *w, unsigned n)
{
	return (unsigned)prng_below(&w->rng, n);
}

#define CHECK(w, cond)                                                                          \
	do {                                                                                    \
		if (!(cond))                                                                    \
			fail_msg("seed %u: line %d: %s", (unsigned)(w)->seed, __LINE__, #cond); \
	} while (0)

/* ---- the model: by looking at everything ---- */

static bool comes_before(const struct model_taker *a, const struct model_taker *b)
{
	return a->rank != b->rank ? a->rank < b->rank : a->born < b->born;
}

/* The doors of a flow's members in their order. */
static size_t doors_of(struct world *w, const struct model_flow *f, struct model_taker *out[TAKERS])
{
	size_t n = 0;

	for (unsigned i = 0; i < f->member_count; i++) {
		size_t from = n;

		for (size_t k = 0; k < TAKERS; k++) {
			size_t at = n;

			if (!w->takers[k].t || w->takers[k].member != f->members[i])
				continue;
			for (; at > from && comes_before(&w->takers[k], out[at - 1]); at--)
				out[at] = out[at - 1];
			out[at] = &w->takers[k];
			n++;
		}
	}
	return n;
}

static bool lets_go(const struct model_taker *t, bool external)
{
	if (!t->s.is_configured)
		return true;
	if (t->s.held)
		return t->s.may_elsewhere;
	return external && t->s.external_held && t->s.external_elsewhere;
}

static bool sender_is_held(
	const struct world *w, const struct model_flow *f, const struct model_taker *t)
{
	return f->sender >= 0 && w->held_senders[t - w->takers][f->sender];
}

/* Where it stands; `*all`: all of its doors let it go, and it stands at the first of them. */
static struct model_taker *standing(struct world *w, const struct model_flow *f, bool *all)
{
	struct model_taker *doors[TAKERS];
	size_t n = doors_of(w, f, doors);

	*all = false;
	for (size_t i = 0; i < n; i++)
		if (!lets_go(doors[i], f->key.external))
			return doors[i];
	*all = true;
	for (size_t i = 0; i < n; i++)
		if (doors[i]->s.is_configured)
			return doors[i];
	return NULL;
}

static bool asks(const struct model_taker *t, bool external)
{
	if (!t->s.is_configured || (t->s.held && !t->s.probing))
		return false;
	return external ? !(t->s.external_held || t->s.external_full) : !t->s.internal_full;
}

static bool may_have(struct world *w, struct model_taker *t, const struct model_flow *f)
{
	struct model_taker *doors[TAKERS];
	size_t n = doors_of(w, f, doors), at = n, stands = n;
	bool all;
	const struct model_taker *s = standing(w, f, &all);

	if (sender_is_held(w, f, t) || !asks(t, f->key.external))
		return false;
	if (s == t)
		return true;
	for (size_t i = 0; i < n; i++) {
		at = doors[i] == t ? i : at;
		stands = doors[i] == s ? i : stands;
	}
	/* It lets it go, and may try it. */
	return t->s.probing && at < n && (all || at < stands);
}

static bool is_due(const struct world *w, const struct model_flow *f)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->messages[i].due <= w->now)
			return true;
	return false;
}

/* Surely: what is under way may take it. */
static bool could_leave(struct world *w, struct model_taker *t)
{
	for (size_t i = 0; i < FLOWS; i++) {
		struct model_flow *f = &w->flows[i];

		if (f->takes == 0 && is_due(w, f) && may_have(w, t, f))
			return true;
	}
	return false;
}

/* ---- the world ---- */

static struct wall_time wall(int64_t us)
{
	return (struct wall_time){ us };
}

static struct sched_flow *real(struct world *w, struct model_flow *f)
{
	return sched_flow_get(w->o, &f->key);
}

static void make_taker(struct world *w, unsigned i)
{
	struct model_taker *t = &w->takers[i];

	w->held_senders[i][0] = w->held_senders[i][1] = false;
	*t = (struct model_taker){
		.member = i / DOORS, .rank = below(w, 2), .born = ++w->births, .asleep = true
	};
	t->t = sched_taker_new(
		sched_member_get(w->o, sv_from(member_names[t->member])), t->rank, t);
}

static void world_start(struct world *w, uint64_t seed)
{
	*w = (struct world){ .seed = seed, .now = (int64_t)US_PER_DAY };
	prng_seed(&w->rng, seed);
	w->o = sched_order_new(seed);
	for (unsigned i = 0; i < TAKERS; i++)
		make_taker(w, i);
	for (unsigned i = 0; i < FLOWS; i++) {
		struct model_flow *f = &w->flows[i];
		unsigned q = i % QUEUES;

		f->sender = (int)below(w, 4) - 2;
		/* No two of them are the same: each of a queue has a principal of its own, or another border. */
		f->key = (struct mail_flow){ .queue = sv_from(queue_keys[q]),
			.class = below(w, MAIL_CLASS_COUNT),
			.principal = i / QUEUES < 2 ? SV("erp") : SV("crm"),
			.external = i / QUEUES % 2 == 1,
			.sender = f->sender >= 0 ? sv_from(senders[f->sender]) : SV("") };
		f->member_count = queue_members[q][0];
		for (unsigned k = 0; k < f->member_count; k++)
			f->members[k] = queue_members[q][k + 1];
	}
}

static void world_end(struct world *w)
{
	sched_order_free(w->o);
}

/* ---- steps ---- */

static void put(struct world *w)
{
	struct model_flow *f = &w->flows[below(w, FLOWS)];
	struct message *m = &f->messages[f->count];

	if (f->count == MESSAGES)
		return;
	m->recipients = 1 + below(w, 5);
	m->due = w->now + ((int64_t)below(w, 120) - 40) * (int64_t)US_PER_S;
	f->count++;
	f->known += m->recipients;
	sched_flow_add(real(w, f), m->recipients, wall(m->due));
}

static void cut_message(struct model_flow *f, size_t i)
{
	f->messages[i] = f->messages[--f->count];
}

static void retry_or_expire(struct world *w)
{
	struct model_flow *f = &w->flows[below(w, FLOWS)];
	struct message *m = &f->messages[0];

	if (f->count == 0)
		return;
	if (below(w, 2)) {
		m->due = w->now;
		sched_flow_add(real(w, f), 0, wall(w->now));
		return;
	}
	f->known -= m->recipients;
	sched_flow_left(real(w, f), m->recipients);
	cut_message(f, 0);
}

static void set_state(struct model_taker *t, const struct sched_taker_state *s)
{
	t->s = *s;
	sched_taker_set(t->t, s);
	if (!t->s.is_configured || (t->s.held && !t->s.probing)) {
		t->asleep = true;
		t->no_room = false;
	}
}

static void change_taker(struct world *w)
{
	unsigned i = below(w, TAKERS);
	struct model_taker *t = &w->takers[i];
	struct sched_taker_state s = { .is_configured = below(w, 6) > 0,
		.held = below(w, 3) == 0,
		.may_elsewhere = below(w, 3) > 0,
		.probing = below(w, 4) == 0,
		.external_held = below(w, 3) == 0,
		.external_elsewhere = below(w, 2) > 0,
		.external_full = below(w, 4) == 0,
		.internal_full = below(w, 4) == 0 };

	switch (below(w, 10)) {
	case 0:
		sched_taker_free(t->t);
		make_taker(w, i);
		break;
	case 1:
		t->rank = below(w, 3);
		/* It joins its equals as the youngest. */
		t->born = ++w->births;
		sched_taker_rank(t->t, 1000);
		sched_taker_rank(t->t, t->rank);
		break;
	default:
		set_state(t, &s);
	}
}

static void change_sender(struct world *w)
{
	unsigned t = below(w, TAKERS), s = below(w, 2);

	w->held_senders[t][s] = !w->held_senders[t][s];
	sched_sender_set(w->takers[t].t, sv_from(senders[s]), w->held_senders[t][s]);
}

static struct model_flow *flow_of_pick(struct world *w, const struct sched_pick *p)
{
	for (size_t i = 0; i < FLOWS; i++)
		if (real(w, &w->flows[i]) == p->flow)
			return &w->flows[i];
	return NULL;
}

/* Did it get something? */
static bool pick(struct world *w, struct model_taker *t, bool any_room)
{
	struct sched_room room = { any_room || below(w, 8) ? 1 + below(w, 5) : 0,
		any_room || below(w, 4) ? 1 + below(w, 5) : 0 };
	struct model_take *take = &w->takes[w->take_count];

	if (w->take_count == TAKES)
		return false;
	if (!sched_pick(t->t, wall(w->now), &room, &take->pick)) {
		t->asleep = true;
		t->no_room = room.wanted == 0 || room.wanted_bulk == 0;
		if (!t->no_room)
			CHECK(w, !could_leave(w, t));
		return false;
	}
	take->f = flow_of_pick(w, &take->pick);
	CHECK(w, take->f != NULL);
	CHECK(w, may_have(w, t, take->f));
	/* One more, where ends in the wrong order have left a doubt. */
	CHECK(w, ++take->f->takes <= take->f->known + 1);
	CHECK(w,
		take->pick.wanted > 0 && take->pick.wanted <= (take->f->key.class == MAIL_CLASS_BULK
									      ? room.wanted_bulk
									      : room.wanted));
	take->has_looked = false;
	w->take_count++;
	return true;
}

/* The store looks: in the order of the picks. */
static void look(struct world *w)
{
	struct model_take *take = NULL;
	struct message *first = NULL;

	for (size_t i = 0; i < w->take_count && !take; i++)
		take = w->takes[i].has_looked ? NULL : &w->takes[i];
	if (!take)
		return;
	take->has_looked = true;
	take->taken = 0;
	for (size_t i = 0; i < take->f->count; i++)
		if (!first || take->f->messages[i].due < first->due)
			first = &take->f->messages[i];
	if (first && first->due <= w->now) {
		take->taken = first->recipients < take->pick.wanted ? first->recipients
								    : take->pick.wanted;
		first->recipients -= take->taken;
		if (first->recipients == 0)
			cut_message(take->f, (size_t)(first - take->f->messages));
	}
	take->next_due = INT64_MAX;
	for (size_t i = 0; i < take->f->count; i++)
		if (take->f->messages[i].due < take->next_due)
			take->next_due = take->f->messages[i].due;
}

static void end_take(struct world *w)
{
	size_t i = w->take_count ? below(w, (unsigned)w->take_count) : 0;
	struct model_take *take = &w->takes[i];

	if (w->take_count == 0)
		return;
	take->f->takes--;
	if (take->has_looked) {
		take->f->known -= take->taken;
		w->left += take->taken;
		sched_took(&take->pick, take->taken, wall(take->next_due));
	} else {
		sched_pick_withdraw(&take->pick);
	}
	for (w->take_count--; i < w->take_count; i++)
		w->takes[i] = w->takes[i + 1];
}

static void advance(struct world *w)
{
	if (w->take_count == 0 && below(w, 10) == 0)
		w->now -= (int64_t)US_PER_MIN;
	else
		w->now += (int64_t)prng_below(&w->rng, 20 * US_PER_S);
}

/* A step of the time alone is no reason to ask, unless the order said so. */
static void hear(struct world *w, bool time_only)
{
	struct sched_taker *t;

	if (time_only && sched_order_next(w->o).us > w->now)
		return;
	while ((t = sched_wake(w->o, wall(w->now))) != NULL) {
		struct model_taker *m = sched_taker_owner(t);

		CHECK(w, m->asleep);
		m->asleep = false;
	}
}

static void check_all(struct world *w)
{
	for (size_t i = 0; i < TAKERS; i++) {
		struct model_taker *t = &w->takers[i];

		if (t->asleep && !t->no_room)
			CHECK(w, !could_leave(w, t));
		if (below(w, 4) == 0 && could_leave(w, t))
			CHECK(w, sched_due_count(t->t, wall(w->now)) > 0);
	}
	for (size_t i = 0; i < FLOWS; i++) {
		struct model_flow *f = &w->flows[i];
		bool all;
		struct model_taker *s = standing(w, f, &all);
		bool takes = s && !all && !s->s.held && !sender_is_held(w, f, s) &&
			     !(f->key.external && s->s.external_held);

		CHECK(w, sched_flow_taker(real(w, f)) == (takes ? s->t : NULL));
	}
}

/* New mail may pass nobody that could leave, and is not kept back where nothing waits at all. */
static void check_pass(struct world *w)
{
	struct model_flow *f = &w->flows[below(w, FLOWS)];
	struct model_taker *t = &w->takers[below(w, TAKERS)];
	bool may = sched_may_pass(real(w, f), t->t, wall(w->now)), as_good = false, waits = false,
	     all;

	if (sched_flow_taker(real(w, f)) != t->t) {
		CHECK(w, !may);
		return;
	}
	for (size_t i = 0; i < FLOWS; i++) {
		struct model_flow *g = &w->flows[i];

		if (g->key.class > f->key.class || standing(w, g, &all) != t || !may_have(w, t, g))
			continue;
		as_good |= g->takes == 0 && is_due(w, g);
		waits |= sched_flow_waiting(real(w, g)) > 0;
	}
	CHECK(w, !(may && as_good));
	CHECK(w, may || waits);
}

static void step(struct world *w)
{
	unsigned dice = below(w, 100);
	struct model_taker *t = &w->takers[below(w, TAKERS)];

	/* So that about as often nothing waits as something does. */
	if (dice < 9)
		put(w);
	else if (dice < 12)
		retry_or_expire(w);
	else if (dice < 18)
		change_taker(w);
	else if (dice < 20)
		change_sender(w);
	else if (dice < 50)
		(void)(!t->asleep || below(w, 8) == 0 ? pick(w, t, false) : false);
	else if (dice < 68)
		look(w);
	else if (dice < 86)
		end_take(w);
	else if (dice < 90)
		check_pass(w);
	else
		advance(w);
	hear(w, dice >= 90);
	check_all(w);
}

/* ---- and in the end all leaves ---- */

static void let_all_go(struct world *w)
{
	for (size_t i = 0; i < TAKERS; i++)
		set_state(&w->takers[i], &(struct sched_taker_state){ .is_configured = true });
	for (unsigned t = 0; t < TAKERS; t++)
		for (unsigned s = 0; s < 2; s++)
			sched_sender_set(
				w->takers[t].t, sv_from(senders[s]), w->held_senders[t][s] = false);
}

static uint64_t waiting(const struct world *w)
{
	uint64_t n = 0;

	for (size_t i = 0; i < FLOWS; i++)
		for (size_t k = 0; k < w->flows[i].count; k++)
			n += w->flows[i].messages[k].recipients;
	return n;
}

static void work_until_quiet(struct world *w)
{
	bool busy = true;

	while (busy) {
		hear(w, false);
		busy = w->take_count > 0;
		for (size_t i = 0; i < TAKERS; i++)
			/* Who had no room knows when there is. */
			while ((!w->takers[i].asleep || w->takers[i].no_room) &&
				w->take_count < TAKES)
				busy |= pick(w, &w->takers[i], true);
		while (w->take_count > 0) {
			look(w);
			end_take(w);
		}
	}
}

static void check_empty(struct world *w)
{
	CHECK(w, waiting(w) == 0);
	for (size_t i = 0; i < FLOWS; i++) {
		CHECK(w, w->flows[i].known == 0);
		CHECK(w, sched_flow_waiting(real(w, &w->flows[i])) == 0);
	}
	CHECK(w, sched_order_next(w->o).us == SCHED_NEVER.us);
}

static void everything_is_as_the_model_says(void **state)
{
	uint64_t left = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct world w;

		world_start(&w, seed);
		for (unsigned i = 0; i < STEPS; i++)
			step(&w);
		let_all_go(&w);
		for (unsigned i = 0; i < 100000; i++) {
			work_until_quiet(&w);
			if (sched_order_next(w.o).us == SCHED_NEVER.us)
				break;
			w.now = sched_order_next(w.o).us;
		}
		check_empty(&w);
		left += w.left;
		world_end(&w);
	}
	print_message("60 seeds from 1, %llu recipients left\n", (unsigned long long)left);
	assert_true(left > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_as_the_model_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
