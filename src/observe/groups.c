/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/groups.h"

#include "base/must.h"

#include <stdlib.h>

const char *observe_scope_name(enum observe_scope scope)
{
	static const char *const names[] = {
		"mailbox", "connector", "sender", "tenant-external", "recipient"
	};

	static_assert(COUNT_OF(names) == OBSERVE_SCOPE_COUNT, "one name a scope");
	must(scope < OBSERVE_SCOPE_COUNT);
	return names[scope];
}

void observe_groups_deinit(struct observe_groups *g)
{
	htable_deinit(&g->by_key);
}

static void earlier(struct wall_time *at, struct wall_time other)
{
	if (other.us != 0 && (at->us == 0 || other.us < at->us))
		*at = other;
}

static void join(struct observe_group *to, const struct observe_group *from)
{
	for (size_t i = 0, at = to->count; i < OBSERVE_GROUP_NAMES && i < from->count; i++, at++)
		if (at < OBSERVE_GROUP_NAMES)
			to->names[at] = from->names[i];
	to->count += from->count;
	to->waiting += from->waiting;
	if (!sv_eq(to->tenant, from->tenant))
		to->tenants += from->tenants;
	earlier(&to->oldest_at, from->oldest_at);
	earlier(&to->since, from->since);
	earlier(&to->next_at, from->next_at);
	if (to->lane != from->lane)
		to->lane = NULL;
	if (!sv_eq(to->sender, from->sender))
		to->sender = SV("");
}

static void append(struct observe_groups *g, struct observe_group *group)
{
	if (g->count == g->cap) {
		size_t cap = g->cap ? g->cap * 2 : 16;
		struct observe_group **items =
			arena_alloc(g->arena, cap * sizeof(struct observe_group *));

		if (g->count)
			memcpy(items, g->items, g->count * sizeof(struct observe_group *));
		g->items = items;
		g->cap = cap;
	}
	g->items[g->count++] = group;
}

static void add(struct observe_groups *g, const struct observe_group *fact, bool with_tenant)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(4096);
	struct observe_group *group;

	must(buf_printf(&key,
		     "%d %d %.*s %.*s %.*s",
		     (int)fact->needs,
		     (int)fact->scope,
		     SV_ARG(fact->state),
		     SV_ARG(sv_head(fact->cause, 512)),
		     SV_ARG(with_tenant ? sv_head(fact->tenant, 512) : SV(""))) == 0);
	group = htable_get(&g->by_key, buf_sv(&key));
	if (group) {
		join(group, fact);
		return;
	}
	group = arena_alloc(g->arena, sizeof(*group));
	*group = *fact;
	htable_put(&g->by_key, buf_sv(&key), group);
	append(g, group);
}

void observe_groups_add(struct observe_groups *g, const struct observe_group *fact)
{
	struct observe_group one = *fact;

	one.count = 1;
	one.tenants = fact->tenant.len > 0;
	add(g, &one, true);
}

void observe_groups_fold(struct observe_groups *to, const struct observe_group *group)
{
	add(to, group, false);
}

static int compare(const void *a, const void *b)
{
	const struct observe_group *x = *(struct observe_group *const *)a;
	const struct observe_group *y = *(struct observe_group *const *)b;
	int state = (int)sv_eq(y->state, SV("parked")) - (int)sv_eq(x->state, SV("parked"));

	if (x->needs != y->needs)
		return x->needs < y->needs ? -1 : 1;
	if (x->waiting != y->waiting)
		return x->waiting > y->waiting ? -1 : 1;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return state ? state : sv_cmp(x->cause, y->cause);
}

void observe_groups_sort(struct observe_groups *g)
{
	if (g->count)
		qsort(g->items, g->count, sizeof(struct observe_group *), compare);
	for (size_t i = 0; i < g->count; i++)
		if (g->items[i]->tenants > 1)
			g->items[i]->tenant = SV("");
}
