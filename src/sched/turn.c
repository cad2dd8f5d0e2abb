/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/turn.h"

#include "base/htable.h"
#include "base/must.h"
#include "base/number.h"

#include <stdlib.h>

static const uint64_t stride_of[MAIL_CLASS_COUNT] = {
	[MAIL_CLASS_TRANSACTIONAL] = 1,
	[MAIL_CLASS_NORMAL] = 10,
	[MAIL_CLASS_BULK] = 100,
};

uint64_t sched_class_stride(enum mail_class class)
{
	return stride_of[class];
}

enum side {
	INTERNAL,
	EXTERNAL,
	SIDES
};

struct class
{
	struct sched_turns *all;
	uint64_t clock;   /* in strides */
	uint64_t present; /* of its principals, in recipients */
	struct htable shares;
	uint64_t due[SIDES];      /* recipients */
	struct heap ready[SIDES]; /* shares with waiting mail there, by clock */
	struct heap resting;      /* those with none that had more than the others */
};

struct sched_turns {
	struct list of_home;
	uint64_t present;
	uint64_t seed;
	uint32_t takes; /* under way */
	bool gone;
	struct class classes[MAIL_CLASS_COUNT];
};

struct place {
	struct heap_node node; /* in class.ready */
	struct heap flows;     /* turns by due */
	uint64_t due;          /* recipients */
};

struct sched_share {
	struct class *class;
	char *principal;
	uint64_t clock;
	uint32_t takes;
	struct place places[SIDES];
	struct heap_node resting;
};

/* ---- all ---- */

struct sched_turns *sched_turns_new(uint64_t seed, struct list *home)
{
	struct sched_turns *all = xcalloc(1, sizeof(*all));

	list_init(&all->of_home);
	list_append(home, &all->of_home);
	all->seed = seed;
	for (size_t i = 0; i < COUNT_OF(all->classes); i++) {
		all->classes[i].all = all;
		all->classes[i].shares.seed = seed;
	}
	return all;
}

static void share_free(struct sched_share *s)
{
	for (size_t i = 0; i < SIDES; i++)
		heap_deinit(&s->places[i].flows);
	free(s->principal);
	free(s);
}

static void free_now(struct sched_turns *all)
{
	for (size_t i = 0; i < COUNT_OF(all->classes); i++) {
		struct class *c = &all->classes[i];

		htable_each (&c->shares, slot)
			share_free(slot->value);
		htable_deinit(&c->shares);
		heap_deinit(&c->resting);
		for (size_t k = 0; k < SIDES; k++)
			heap_deinit(&c->ready[k]);
	}
	list_remove(&all->of_home);
	free(all);
}

void sched_turns_free(struct sched_turns *all)
{
	if (!all)
		return;
	all->gone = true;
	if (all->takes == 0)
		free_now(all);
}

void sched_turns_free_home(struct list *home)
{
	while (!list_empty(home))
		free_now(list_entry(home->next, struct sched_turns, of_home));
}

/* ---- shares ---- */

static bool is_idle(const struct class *c)
{
	return c->ready[INTERNAL].count == 0 && c->ready[EXTERNAL].count == 0;
}

static bool share_waits(const struct sched_share *s)
{
	return heap_holds(&s->places[INTERNAL].node) || heap_holds(&s->places[EXTERNAL].node);
}

/* Those whom the present has reached. Where nobody waits nobody had too much. */
static void forget(struct class *c)
{
	struct heap_node *first;

	while ((first = heap_first(&c->resting)) != NULL &&
		(first->key <= c->present || is_idle(c))) {
		struct sched_share *s = CONTAINER_OF(first, struct sched_share, resting);

		heap_remove(&c->resting, first);
		(void)htable_take(&c->shares, sv_from(s->principal));
		share_free(s);
	}
}

/* After each change of what waits, is under way, or was given. */
static void share_settle(struct sched_share *s)
{
	struct class *c = s->class;

	for (size_t i = 0; i < SIDES; i++) {
		struct place *p = &s->places[i];

		if (heap_first(&p->flows) == NULL)
			heap_remove(&c->ready[i], &p->node);
		else if (!heap_holds(&p->node) || p->node.key != s->clock)
			heap_update(&c->ready[i], &p->node, s->clock);
	}
	if (share_waits(s) || s->takes > 0)
		heap_remove(&c->resting, &s->resting);
	else
		heap_update(&c->resting, &s->resting, s->clock);
	forget(c);
}

static struct sched_share *share_get(struct class *c, struct sv principal)
{
	struct sched_share *s = htable_get(&c->shares, principal);

	if (s)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->class = c;
	s->principal = sv_dup(principal);
	/* Among those that wait, not ahead of those that have waited for as long as the present lasts. */
	s->clock = c->present;
	htable_put(&c->shares, principal, s);
	return s;
}

/* ---- flows ---- */

static enum side side_of(const struct sched_turn *turn)
{
	return turn->external ? EXTERNAL : INTERNAL;
}

static void count(struct sched_turn *turn, uint64_t n)
{
	struct sched_share *s = turn->share;
	enum side side = side_of(turn);

	s->places[side].due += n - turn->count;
	s->class->due[side] += n - turn->count;
	turn->count = n;
}

void sched_turn_enter(struct sched_turns *all, struct sched_turn *turn, const struct mail_flow *key,
	struct wall_time due, uint64_t recipients)
{
	must(!turn->share && !all->gone);
	*turn = (struct sched_turn){ .external = key->external };
	turn->share = share_get(&all->classes[key->class], key->principal);
	heap_insert(&turn->share->places[side_of(turn)].flows, &turn->node, sched_due_key(due));
	count(turn, recipients);
	share_settle(turn->share);
}

void sched_turn_leave(struct sched_turn *turn)
{
	struct sched_share *s = turn->share;

	if (!s)
		return;
	count(turn, 0);
	heap_remove(&s->places[side_of(turn)].flows, &turn->node);
	turn->share = NULL;
	share_settle(s);
}

void sched_turn_set(struct sched_turn *turn, struct wall_time due, uint64_t recipients)
{
	must(turn->share != NULL);
	count(turn, recipients);
	if (turn->node.key != sched_due_key(due))
		heap_update(
			&turn->share->places[side_of(turn)].flows, &turn->node, sched_due_key(due));
}

/* ---- how much ---- */

static uint64_t due_of_class(const struct class *c)
{
	return c->due[INTERNAL] + c->due[EXTERNAL];
}

uint64_t sched_turns_due(const struct sched_turns *all, bool external)
{
	uint64_t n = 0;

	for (size_t i = 0; i < COUNT_OF(all->classes); i++)
		n += all->classes[i].due[external ? EXTERNAL : INTERNAL];
	return n;
}

uint64_t sched_turns_ahead(
	const struct sched_turns *all, const struct mail_flow *key, uint64_t before)
{
	const struct class *c = &all->classes[key->class];
	const struct sched_share *own = htable_get(&c->shares, key->principal);
	uint64_t ahead = before, better = 0;

	/* Each of the others has as much as this one, until it has had all. */
	htable_each (&c->shares, slot) {
		const struct sched_share *s = slot->value;

		if (s != own)
			ahead += u64_min(
				s->places[INTERNAL].due + s->places[EXTERNAL].due, before + 1);
	}
	for (unsigned i = 0; i < MAIL_CLASS_COUNT && i < key->class; i++)
		better += u64_min(due_of_class(&all->classes[i]),
			(ahead + 1) * (stride_of[key->class] / stride_of[i]));
	return ahead + better;
}

/* ---- turns ---- */

static struct sched_share *first_of(const struct class *c, enum side side)
{
	struct heap_node *node = heap_first(&c->ready[side]);

	return node ? CONTAINER_OF(node, struct sched_share, places[side].node) : NULL;
}

static struct sched_share *next_share(const struct class *c, const struct sched_turn_rule *rule)
{
	struct sched_share *in = rule->internal ? first_of(c, INTERNAL) : NULL;
	struct sched_share *out = rule->external ? first_of(c, EXTERNAL) : NULL;

	if (!in || !out)
		return in ? in : out;
	return out->clock < in->clock ? out : in;
}

static struct sched_turn *next_turn(const struct sched_share *s, const struct sched_turn_rule *rule)
{
	struct heap_node *in = rule->internal ? heap_first(&s->places[INTERNAL].flows) : NULL;
	struct heap_node *out = rule->external ? heap_first(&s->places[EXTERNAL].flows) : NULL;

	if (!in || (out && out->key < in->key))
		in = out;
	return in ? CONTAINER_OF(in, struct sched_turn, node) : NULL;
}

struct sched_turn *sched_turns_next(
	const struct sched_turns *all, const struct sched_turn_rule *rule)
{
	const struct class *best = NULL;
	const struct sched_share *share = NULL;

	for (size_t i = 0; i < COUNT_OF(all->classes); i++) {
		const struct class *c = &all->classes[i];
		const struct sched_share *s = rule->class[i] ? next_share(c, rule) : NULL;

		/* Of equals the better class, which stands before. */
		if (s && (!best || u64_max(c->clock, all->present) <
					   u64_max(best->clock, all->present))) {
			best = c;
			share = s;
		}
	}
	return share ? next_turn(share, rule) : NULL;
}

struct sched_share *sched_turn_begin(struct sched_turn *turn)
{
	struct sched_share *s = turn->share;
	struct class *c = s->class;
	struct sched_turns *all = c->all;

	all->present = u64_max(all->present, c->clock);
	c->clock = all->present + stride_of[c - all->classes];
	c->present = u64_max(c->present, s->clock);
	s->clock = c->present + 1;
	s->takes++;
	all->takes++;
	share_settle(s);
	return s;
}

void sched_share_end(struct sched_share *share, uint32_t recipients)
{
	struct sched_share *s = share;
	struct class *c = s->class;
	struct sched_turns *all = c->all;

	must(s->takes > 0 && all->takes > 0);
	s->takes--;
	all->takes--;
	if (recipients == 0)
		c->clock -= stride_of[c - all->classes];
	s->clock = s->clock - 1 + recipients;
	share_settle(s);
	if (all->gone && all->takes == 0)
		free_now(all);
}
